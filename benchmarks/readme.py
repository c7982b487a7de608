"""The README's table of ratios, made from RESULTS.md, so that every number in it was measured there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
README = Path(__file__).parent.parent / "README.md"

_MARKED = re.compile(r"<!-- ratios -->\n.*?<!-- /ratios -->", re.DOTALL)


def ratios(results: str) -> str:
    """Make two tables: against scikit-learn by size, and against other packages on the largest data that all
    can take.
    """
    lines = [
        "Times on two cores, and those of scikit-learn in its faster setting, float32: clusters that overlap, with a",
        "power-law spectrum, and real word vectors. For scikit-learn, more than 20,000 samples are scaled from 10,000.",
        "",
        "| data | scikit-learn | fastsil | ratio | pairs computed |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in _rows(results, "speed"):
        if row["dtype"] == "float32":
            times = (row["scikit-learn"], row["with working_memory=32"])
            fastest = min((time.partition(" (")[0] for time in times), key=_seconds)
            lines.append(_line(row["data"], fastest, row["fastsil"], _ratio(row), row["pairs"]))
    others = list(_rows(results, "peers"))
    if others:
        lines += [
            "",
            f"Other packages that compute silhouettes, {others[-1]['data']}, each in its own environment. Difference:",
            "the largest to fastsil's silhouettes; rounding, where a package is exact. A sample that is alone",
            "in its cluster has the silhouette 0 by definition; another value is reported separately.",
            "",
            "| package | time | fastsil | ratio | memory | fastsil's | difference |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for row in others:
            if row["data"] == others[-1]["data"] and row["ratio"]:
                name = f"{row['contender']}, {row['metric']}" if row["metric"] != "euclidean" else row["contender"]
                cells = (
                    row["time"],
                    row["fastsil"],
                    _ratio(row),
                    row["memory"],
                    row["fastsil's memory"],
                    row["difference"],
                )
                lines.append(_line(name, *cells))
    return "\n".join(lines)


def write(readme: Path = README, results: Path = RESULTS) -> None:
    """Put the tables between their markers."""
    block = f"<!-- ratios -->\n{ratios(results.read_text('utf-8'))}\n<!-- /ratios -->"
    readme.write_text(_MARKED.sub(lambda _: block, readme.read_text("utf-8")), "utf-8")


def is_current(readme: Path = README, results: Path = RESULTS) -> bool:
    """Return whether the README agrees with RESULTS.md."""
    found = _MARKED.search(readme.read_text("utf-8"))
    return found is not None and ratios(results.read_text("utf-8")) in found.group()


def _rows(results: str, subject: str) -> Iterator[dict[str, str]]:
    found = re.search(rf"<!-- {subject} -->(.*?)<!-- /{subject} -->", results, re.DOTALL)
    table = [line for line in (found[1] if found else "").splitlines() if line.startswith("| ")]
    columns = _cells(table[0]) if table else []
    for line in table[2:]:
        yield dict(zip(columns, _cells(line), strict=True))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| \n").split(" | ")]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _ratio(row: dict[str, str]) -> str:
    return row["ratio"].partition(" (")[0]


def _seconds(time: str) -> float:
    value, unit = time.split()
    return float(value) / (1000 if unit == "ms" else 1)

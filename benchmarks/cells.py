"""Rows of results as the cells of a table: ``of_speed`` for the results of ``speed``, and so on."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from benchmarks.calibration import MEASURES
from benchmarks.choice import RULES
from benchmarks.scaling import GOAL_WORKERS, WORKERS


def seconds(value: float) -> str:
    return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"


def megabytes(value: float) -> str:
    return f"{value / 2**20:.1f} MiB"


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def verdict(met: bool | None) -> str:
    return "" if met is None else "yes" if met else "**no**"


def of_speed(row: dict[str, Any]) -> list[str]:
    return [*of_ratio(row), f"{row['share']:.2%}"]


def of_ratio(row: dict[str, Any]) -> list[str]:
    times = row["seconds"]
    scaled = "" if row["peer_rows"] == row["n"] else f" (from {row['peer_rows']:,} samples)"
    return [
        row["case"],
        row["dtype"],
        seconds(times["fastsil"]),
        *(seconds(times[name]) + scaled for name in ("scikit-learn", "scikit-learn, working_memory=32")),
        f"{row['ratio']:.1f} ({row['low']:.1f} to {row['high']:.1f}, {row['rounds']} rounds)",
        number(row["floor"]),
        verdict(None if row["floor"] is None else row["ratio"] >= row["floor"]),
    ]


def of_large(row: dict[str, Any]) -> list[str]:
    return [row["case"], row["dtype"], seconds(row["seconds"])]


def of_memory(row: dict[str, Any]) -> list[str]:
    shape = [f"{row[name]:,}" for name in ("n", "d", "k")]
    cut = "" if row["cut"] is None else f" in {row['cut']:.0f} s"
    return [
        *shape,
        row["dtype"],
        megabytes(row["X"]),
        megabytes(row["extra"]) + cut,
        "" if row["again"] is None else megabytes(row["again"]),
        megabytes(row["planned"]),
        megabytes(row["allowed"]),
        verdict(row["met"]),
    ]


def of_sweep_memory(row: dict[str, Any]) -> list[str]:
    sizes = [megabytes(row[name]) for name in ("X", "extra", "allowed")]
    return [f"{row['n']:,}", f"{row['d']:,}", row["dtype"], row["scores"], *sizes, verdict(row["met"])]


def of_calibration(row: dict[str, Any]) -> list[str]:
    shares = {name: found / row["sets"] for name, found in row["found"].items()}
    asked = row["asked"]
    return [
        row["case"],
        str(row["n_null"]),
        str(row["sets"]),
        *(f"{shares[name]:.1%}" for name in MEASURES),
        "" if asked is None else f"{asked[0]:.0%} to {asked[1]:.0%}",
        verdict(None if asked is None else asked[0] <= shares[MEASURES[0]] <= asked[1]),
    ]


def list_gap_cells(row: dict[str, Any]) -> list[str]:
    """Cells of a study of the test of gaps."""

    def share(count: int | None) -> str:
        return "" if count is None else f"{count / row['sets']:.0%}"

    asked = row["asked"]
    return [
        row["case"],
        str(row["sets"]),
        *(share(row[name]) for name in ("found", "right", "cautioned", "dip")),
        "" if asked is None else f"{asked[0]:.0%} to {asked[1]:.0%}",
        verdict(None if asked is None else asked[0] <= row["found"] / row["sets"] <= asked[1]),
    ]


def list_choice_cells(row: dict[str, Any]) -> list[str]:
    """Cells of a data set with known groups, or of the count of all."""
    return [row["case"], "" if row["k"] is None else str(row["k"]), *(str(row["chosen"][rule]) for rule in RULES)]


def of_accuracy(row: dict[str, Any]) -> list[str]:
    return [
        row["case"],
        row["dtype"],
        row["strategy"],
        *(f"{row[name]:.1e}" for name in ("fastsil", "scikit-learn", "promised")),
        verdict(row["met"]),
    ]


KERNELS = ("within", "between", "to")


def of_kernels(row: dict[str, Any]) -> list[str]:
    rates = row["rates"]
    shares = [
        f"{rates[name]['rate']:.1f} ({rates[name]['ratio']:.0%}, {rates[name]['low']:.0%} to {rates[name]['high']:.0%})"
        for name in KERNELS
    ]
    return [str(row["d"]), row["dtype"], f"{rates['BLAS']['rate']:.1f}", *shares]


def of_threads(row: dict[str, Any]) -> list[str]:
    times = [seconds(row["seconds"][name]) for name in ("one thread", "two threads", "two processes")]
    return [row["case"], row["dtype"], *times, f"{row['ratio']:.0%} ({row['low']:.0%} to {row['high']:.0%})"]


def of_estimate(row: dict[str, Any]) -> list[str]:
    return [
        row["case"],
        seconds(row["seconds"]),
        f"±{row['half_width']:.1e}",
        f"{row['tol']:g}",
        f"{row['n_exact']:,}",
        verdict(row["met"]),
    ]


def of_estimated_sweep(row: dict[str, Any]) -> list[str]:
    return [row["case"], seconds(row["fits"]), seconds(row["whole"]), number(row["ratio"]), verdict(row["met"])]


def of_coverage(row: dict[str, Any]) -> list[str]:
    return [
        row["case"],
        f"{row['n']:,}",
        f"{row['repetitions']:,}",
        f"{row['confidence']:.0%}",
        *(f"{row[name]:.1%}" for name in ("score", "macro", "negative", "clusters")),
        f"{row['tol']:g}",
        f"±{row['half_width']:.1e}",
        f"{row['computed']:.1%} in {row['rounds']:.1f} rounds",
        verdict(row["met"]),
    ]


WAYS = ("fastsil", "every sample guessed", "silhouette_scalable", "sample_size", "root mean square")


def of_estimates(row: dict[str, Any]) -> list[str]:
    cells = [row["case"]]
    for way in WAYS:
        found = row["ways"].get(way)
        if found is None:
            cells.append("")
            continue
        error = "exact" if found["error"] < 1e-9 else f"{found['error']:.1e}"
        largest = "" if found["largest"] != found["largest"] else f", samples {found['largest']:.1e}"
        size = f", t={found['size']:.0f}" if "size" in found else ""
        cells.append(f"{error}{largest} ({seconds(found['seconds'])}{size})")
    return [*cells, number(row["ratio"]), verdict(row["met"])]


def of_plans(row: dict[str, Any]) -> list[str]:
    times = (seconds(row[name]) for name in ("probe", "predicted", "measured"))
    pairs = "" if row["pairs"] is None else f"{row['pairs']:.2f}"
    return [row["case"], *times, f"{row['ratio']:.2f}", pairs, seconds(row["estimate"]), verdict(row["met"])]


def of_start(row: dict[str, Any]) -> list[str]:
    return [row["what"], row["measured"], row["wanted"], verdict(row["met"])]


def of_peers(row: dict[str, Any]) -> list[str]:
    name = row["name"] + ("" if row["is_exact"] else ", **not exact**")
    head = [row["case"], f"{name} ({row['note']})" if row["note"] else name, row["version"], row["metric"]]
    if "failed" in row:
        return [*head, f"failed: {row['failed']}", "", "", "", "", ""]
    return [
        *head,
        seconds(row["seconds"]),
        seconds(row["fastsil"]),
        f"{row['ratio']:.1f} ({row['low']:.1f} to {row['high']:.1f}, {row['rounds']} rounds)",
        "not counted, in Java" if row["package"] == "pyspark" else megabytes(row["memory"]),
        megabytes(row["fastsil_memory"]),
        f"{row['error']:.1e}"
        + (" of the mean" if row["of_mean"] else "")
        + (f"; {row['error_alone']:.1f} of single samples" if row["error_alone"] > 0.01 else ""),
    ]


def of_fits(row: dict[str, Any]) -> list[str]:
    return [
        row["case"],
        row["name"],
        row["version"],
        seconds(row["seconds"]),
        seconds(row["fastsil"]),
        f"{row['ratio']:.1f} ({row['low']:.1f} to {row['high']:.1f}, {row['rounds']} rounds)",
        f"{row['excess']:+.2%} ({row['least_excess']:+.2%} to {row['largest_excess']:+.2%})",
        verdict(row["met"]),
    ]


GROWTH = ("fastsil", "fastsil, one thread", "scikit-learn, working_memory=32", "torchdr")


def of_growth(row: dict[str, Any]) -> list[str]:
    times = row["seconds"]
    cells = [seconds(float(np.median(times[name]))) if name in times else "" for name in GROWTH]
    one, all_threads = (np.median(times[name]) for name in ("fastsil, one thread", "fastsil"))
    return [row["grows"], *(f"{row[name]:,}" for name in ("n", "d", "k")), *cells, f"{one / all_threads:.2f}"]


def of_compare(row: dict[str, Any]) -> list[str]:
    return [
        row["case"],
        row["dtype"],
        row["metric"],
        *map(seconds, row["seconds"]),
        f"{row['ratio']:.2f} ({row['low']:.2f} to {row['high']:.2f}, {row['rounds']} rounds)",
        f"{row['apart']:.1e}",
    ]


# As cProfile writes the functions of C.
_BUILT_IN, _NAME = re.compile(r"(?:~\.)?<(?:built-in )?method '?([\w.]+)'?.*>"), r"\1"


def of_scaling(row: dict[str, Any]) -> list[str]:
    bound, handed = ({int(workers): value for workers, value in row[name].items()} for name in ("bound", "handed"))
    return [
        row["case"],
        seconds(row["seconds"]),
        f"{row['serial']:.1%}",
        ", ".join(f"{_BUILT_IN.sub(_NAME, name)} {share:.1%}" for name, share in row["where"]),
        *(f"{bound[workers]:.1f}" for workers in WORKERS),
        *(f"{handed[workers]:.1f}" for workers in WORKERS[-2:]),
        number(row["goal"]),
        verdict(None if row["goal"] is None else bound[GOAL_WORKERS] >= row["goal"]),
    ]

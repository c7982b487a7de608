"""Run the code blocks of the pages, and compare what they print with what the page shows.

    python docs/pages.py [PAGE ...]             # compare
    python docs/pages.py --write [PAGE ...]     # write what was printed, and the pictures, into the pages

Blocks of ``python`` are run, and so are the lines after ``$`` of ``console`` blocks, which call ``fastsil``. The
blocks of a page share their names and run in a folder that looks like ``docs``. A block of ``text`` right after one
that is run is what it prints. Blocks of ``sh`` are for the reader only.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent

# A block, and the block of text that may follow it.
_BLOCK = re.compile(
    r"^```(?P<language>\w+)\n(?P<code>.*?)^```\n(?P<output>\n```text\n(?P<shown>.*?)^```\n)?", re.MULTILINE | re.DOTALL
)
_NUMBER = re.compile(r"[-\u2212]?\d[\d,]*(?:\.\d*)?(?:e[-+]?\d+)?")
# A page shows one run; another machine's k-means may stop a little elsewhere.
_TOLERANCE = 0.05


class Block(NamedTuple):
    """A code block of a page."""

    language: str
    code: str
    line: int
    shown: str | None
    span: tuple[int, int]  # of the text that was shown, or where it would stand


def pages() -> list[Path]:
    """Return the README and all pages of the documentation."""
    return [ROOT / "README.md", *sorted(page for page in DOCS.rglob("*.md"))]


def find_blocks(text: str) -> Iterator[Block]:
    """Yield all code blocks of a page, in order."""
    for found in _BLOCK.finditer(text):
        output = found.span("output") if found["output"] else (found.end(), found.end())
        line = text.count("\n", 0, found.start("code"))
        yield Block(found["language"], found["code"], line, found["shown"], output)


def run_page(page: Path, folder: Path) -> Iterator[tuple[Block, str]]:
    """Run each block of a page in ``folder``; yield it with its output."""
    names: dict[str, Any] = {"__name__": "__main__"}
    with contextlib.chdir(folder):
        for block in find_blocks(page.read_text(encoding="utf-8")):
            if block.language in _RUNNERS:
                printed = io.StringIO()
                with contextlib.redirect_stdout(printed):
                    _RUNNERS[block.language](block, page, names)
                yield block, printed.getvalue()


def _run_python(block: Block, page: Path, names: dict[str, Any]) -> None:
    # Empty lines before it give errors the line number of the page.
    exec(compile("\n" * block.line + block.code, str(page), "exec"), names)


def _run_console(block: Block, page: Path, names: dict[str, Any]) -> None:
    from fastsil.cli import main

    for line in block.code.splitlines():
        arguments = shlex.split(line.removeprefix("$ "), comments=True)
        if arguments[:1] != ["fastsil"]:
            raise ValueError(f"{page.name}, line {block.line}: only the command fastsil is run: {line}")
        with mock.patch.object(sys, "argv", arguments):
            try:
                main()
            except SystemExit as stop:
                if stop.code:
                    raise RuntimeError(f"{page.name}, line {block.line}: {line} ended with {stop.code}") from stop


_RUNNERS = {"python": _run_python, "console": _run_console}


def differences(shown: str, printed: str) -> list[str]:
    """Return the lines that differ: in words at all, or in a number by more than 5 % and more than one of its last
    digit.
    """
    left, right = shown.splitlines(), printed.splitlines()
    if len(left) != len(right):
        return [f"{len(left)} lines are shown, {len(right)} were printed:", *right]
    return [f"shown: {one}\nprinted: {other}" for one, other in zip(left, right, strict=True) if not _agree(one, other)]


def _agree(shown: str, printed: str) -> bool:
    if _NUMBER.sub("#", shown).split() != _NUMBER.sub("#", printed).split():
        return False
    return all(_close(one, other) for one, other in zip(_NUMBER.findall(shown), _NUMBER.findall(printed), strict=True))


def _close(shown: str, printed: str) -> bool:
    one, other = (float(text.replace(",", "").replace("\u2212", "-")) for text in (shown, printed))
    decimals = len(shown.partition(".")[2]) if "e" not in shown else 99
    return abs(one - other) <= max(_TOLERANCE * abs(one), 1.01 * 10.0**-decimals if decimals else 0.0)


def prepare(folder: Path) -> Path:
    """Make a folder look like ``docs`` to a block: the data are there."""
    shutil.copytree(DOCS / "data", folder / "data")
    return folder


def write_page(page: Path) -> None:
    """Write the output of its blocks into a page, and its pictures into ``images``."""
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as name:
        folder = prepare(Path(name))
        ran = list(run_page(page, folder))
        # A reader's run writes its pictures where it is; those of the pages are elsewhere.
        for picture in folder.glob("*.png"):
            shutil.copy(picture, DOCS / "images")
    for block, printed in reversed(ran):
        start, end = block.span
        text = text[:start] + (f"\n```text\n{printed}```\n" if printed else "") + text[end:]
    page.write_text(text, encoding="utf-8")


def compare_page(page: Path) -> int:
    """Print the places where a page differs from the output of its blocks; return their number."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for block, printed in run_page(page, prepare(Path(folder))):
            for line in differences(block.shown or "", printed):
                print(f"{page.relative_to(ROOT)}, line {block.line}: {line}")
                wrong += 1
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", type=Path, help="all of them by default")
    parser.add_argument("--write", action="store_true", help="write outputs and pictures")
    options = parser.parse_args()
    os.environ.setdefault("MPLBACKEND", "Agg")
    wrong = 0
    for page in [page.resolve() for page in options.pages] or pages():
        try:
            if options.write:
                write_page(page)
            else:
                wrong += compare_page(page)
        except ModuleNotFoundError as error:
            print(f"{page.relative_to(ROOT)}: left out, needs {error.name}", file=sys.stderr)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())

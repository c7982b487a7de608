"""Printing: results on standard output, progress and remarks on standard error.

On a terminal a sweep shows its table growing over a progress bar; elsewhere it writes a line for each k.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column as ProgressColumn
from rich.table import Table
from rich.text import Text

from fastsil.report.tables import Column, fit_columns, sweep_columns
from fastsil.report.words import count, show_text
from fastsil.scoring.diagnosis import Diagnosis
from fastsil.sweep.progress import SweepEvent
from fastsil.sweep.results import SweepRow, make_columns
from fastsil.sweep.verdict import Verdict

# Letters of a sentence, in which names of files and columns may stand.
_LONGEST = 4000


class _Output(Console):
    """A console whose reader may leave early, as ``head`` does: what it does not read is dropped, and no error."""

    def print(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().print(*args, **kwargs)
        except BrokenPipeError:
            self.on_broken_pipe()

    def on_broken_pipe(self) -> None:
        """Send what is still to come nowhere; also what Python itself writes out at its end."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


def results_console() -> Console:
    """Return the console of standard output; a pipe is as wide as the terminal of the command, or 80 characters."""
    return _Output(highlight=False)


def remarks_console() -> Console:
    """Return the console of standard error."""
    return _Output(stderr=True, highlight=False, soft_wrap=True)


def remark(text: str, *, style: str = "dim") -> None:
    """Print a remark that is no result."""
    remarks_console().print(Text(_escape(text), style=style))


def complain(text: str) -> None:
    """Print an error, in one sentence."""
    remarks_console().print(Text("Error: ", style="bold red") + Text(_escape(" ".join(text.split()))))


def show_heading(title: str, detail: str) -> None:
    """Print the name of the data."""
    results_console().print(Text(_escape(title), style="bold") + Text(f"  {_escape(detail)}"))


def show_table(columns: Sequence[Column], *, marked: int | None = None) -> None:
    """Print a table; the marked row is starred and bold.

    A table too wide is printed with fewer columns. If the columns that remain are still too wide, each table has as
    many of them as fit, after the first.
    """
    console = results_console()
    kept = fit_columns(columns, lambda some: _measure(some, console) <= console.width)
    first, *rest = kept
    while rest:
        count = next((n for n in range(len(rest), 1, -1) if _measure([first, *rest[:n]], console) <= console.width), 1)
        part = [first, *rest[:count]]
        wide = results_console()
        # A terminal too narrow for two columns wraps the lines; cut-off digits would be worse.
        wide.width = max(wide.width, _measure(part, console))
        wide.print(_table(part, marked=marked))
        rest = rest[count:]


def _measure(columns: Sequence[Column], console: Console) -> int:
    """Return the width of a table in characters, with the column of the star."""
    options = console.options.update(max_width=10_000)
    return console.measure(_table(columns, marked=0), options=options).maximum


def show_sentences(sentences: Sequence[str]) -> None:
    """Print sentences, the first one as the answer."""
    console = results_console()
    for number, sentence in enumerate(sentences):
        lines = "\n".join(map(_escape, sentence.split("\n")))
        console.print(Text(lines, style="bold" if number == 0 else ""), soft_wrap=not console.is_terminal)


def show_verdict(verdict: Verdict) -> None:
    """Print the verdict on a sweep."""
    show_sentences([verdict.headline, ""])
    show_list(verdict.reasons)
    for title, sentences in verdict.lists():
        show_sentences(["", title])
        show_list(sentences)


def show_list(sentences: Sequence[str]) -> None:
    """Print sentences as a list."""
    for sentence in sentences:
        _print_hanging(Text("- "), Text(_escape(sentence)))


def show_diagnosis(diagnosis: Diagnosis) -> None:
    """Print what a diagnosis found, and what to do."""
    n_found, n_checks = len(diagnosis), len(diagnosis.checked)
    if not n_found:
        show_sentences(["", f"No problem found in {count(n_checks, 'check')}."])
        return
    show_sentences(["", f"{count(n_found, 'problem')} found in {count(n_checks, 'check')}:"])
    for finding in diagnosis:
        _print_hanging(
            Text("- "), Text(_escape(f"{finding.severity.capitalize()} ({finding.code}): {finding.message}"))
        )
        _print_hanging(Text("  "), Text("What to do: ", style="bold") + Text(_escape(finding.advice)))


def show_pairs(pairs: Mapping[str, str]) -> None:
    """Print names and values in two columns."""
    _print_pairs(pairs, name_style="dim")


def show_written(folder: str, files: Mapping[str, str]) -> None:
    """Print the place of the results, and the meaning of each file."""
    results_console().print(Text("\nWritten to ") + Text(_escape(folder), style="bold"), soft_wrap=True)
    _print_pairs({f"  {name}": meaning for name, meaning in files.items()}, value_style="dim")


def _print_pairs(pairs: Mapping[str, str], *, name_style: str = "", value_style: str = "") -> None:
    width = max(map(len, pairs)) + 2
    for name, value in pairs.items():
        _print_hanging(Text(f"{name:<{width}}", style=name_style), Text(_escape(value), style=value_style))


def _print_hanging(start: Text, words: Text) -> None:
    """Print words after a start below which no further line begins; in a pipe they are one line, for other programs."""
    console = results_console()
    if not console.is_terminal:
        console.print(start + words, soft_wrap=True)
        return
    grid = Table.grid()
    grid.add_column(width=len(start), no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(start, words)
    console.print(grid)


def is_watched(*, quiet: bool) -> bool:
    """Return whether somebody may be looking at progress: standard error is a terminal."""
    return not quiet and remarks_console().is_terminal


@contextlib.contextmanager
def watching(ks: Sequence[int], *, quiet: bool) -> Iterator[Callable[[SweepEvent], None]]:
    """Show a sweep at work; the listener is for ``KMeansSweep(progress=...)``."""
    console = remarks_console()
    if quiet:
        yield lambda event: None
    elif console.is_terminal:
        with _Watch(ks, console) as watch:
            yield watch
    else:
        yield _write_line


def _write_line(event: SweepEvent) -> None:
    if event.row is None:
        return
    row = event.row
    result = row.error or f"inertia {row.inertia:.6g}, mean silhouette {row.silhouette:.4f}"
    remark(f"{event.share:4.0%}  {_where(event)}k = {event.n_clusters}: {result}", style="")


def _where(event: SweepEvent) -> str:
    return f"{event.geometry}: " if event.geometry else ""


class _Watch:
    """A table that grows, over a bar, gone at the end: the final table stands on standard output."""

    def __init__(self, ks: Sequence[int], console: Console) -> None:
        self._rows: list[SweepRow] = []
        self._geometry = ""
        self._bar = Progress(
            # Of a line too long, words are wrapped, and no numbers cut.
            TextColumn("{task.description}", markup=False, table_column=ProgressColumn(no_wrap=False)),
            BarColumn(bar_width=18),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task(f"k = {ks[0]}: clustering", total=1.0)
        self._live = Live(self._bar, console=console, transient=True, refresh_per_second=8)

    def __enter__(self) -> _Watch:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __call__(self, event: SweepEvent) -> None:
        if event.geometry != self._geometry:
            self._geometry, self._rows = event.geometry, []
        first = event.stage == "scoring" and not self._rows
        hint = " (may compile first)" if first else ""
        what = _where(event) + (f"k = {event.n_clusters}: {event.stage}" if event.n_clusters else event.stage)
        self._bar.update(self._task, completed=event.share, description=_escape(f"{what}{hint}"))
        if event.row is not None:
            self._rows.append(event.row)
            console = self._live.console
            # The latest rows that the screen has space for, under titles of two lines and over the bar.
            rows = self._rows[-max(1, console.height - 6) :]
            columns = fit_columns(
                sweep_columns(make_columns(rows)), lambda some: _measure(some, console) <= console.width
            )
            self._live.update(Group(_table(columns), self._bar))


def _table(columns: Sequence[Column], *, marked: int | None = None) -> Table:
    # Titles a word a line: eight columns of numbers then fit into 80 characters.
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(Text("\n".join(map(_escape, column.title.split(" ")))), justify="right", no_wrap=True)
    if marked is not None:
        table.add_column("", no_wrap=True)
    for number, cells in enumerate(zip(*(column.cells for column in columns), strict=True)):
        star = [] if marked is None else ["*" if number == marked else ""]
        table.add_row(*map(_to_text, cells), *star, style="bold green" if number == marked else "")
    return table


def _to_text(cell: str) -> Text:
    """Return a cell as it is: a string would be read as markup."""
    return Text(_escape(cell))


def _escape(text: str) -> str:
    return show_text(text, longest=_LONGEST)

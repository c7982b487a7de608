"""Tables on terminals and in pipes: fewer columns where there is little space, and never a number cut."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("typer")

from rich.console import Console

from fastsil.cli import console
from fastsil.report.tables import Column, side_by_side, sweep_columns
from fastsil.sweep.progress import SweepEvent
from fastsil.sweep.results import SweepRow, make_columns

ROWS = [
    SweepRow(
        k,
        inertia=1e9 / k,
        silhouette=-1 / k,
        macro_silhouette=0.5,
        n_negative=1_000_000,
        n_zero=1,
        n_positive=2_000_000,
        null_mean=0.3,
        null_z=111.1,
        null_excess=99.9,
        stability=0.75,
        fit_seconds=1000.0 * k,
        score_seconds=0.5,
    )
    for k in range(2, 41)
]


@pytest.mark.parametrize(("width", "titles"), [(60, 4), (80, 8), (120, 11)])
def test_a_table_has_as_many_columns_as_fit(width, titles, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    console.show_table(sweep_columns(make_columns(ROWS)), marked=1)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    cells = lines[4].split()
    assert len(cells) == titles
    assert cells[0] == "2"
    assert "-0.5000" in cells
    assert "1,000,000" in cells
    assert len(lines) == 4 + len(ROWS) + 1


def test_a_table_that_cannot_lose_a_column_is_printed_in_parts(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    names = [f"mahalanobis, pca {number}" for number in range(2, 11)]
    console.show_table(side_by_side({name: make_columns(ROWS[:2]) for name in names}))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(line.split()[:1] == ["2"] for line in lines) == 2
    assert sum(line.count("-0.5000") for line in lines) == len(names)


@pytest.mark.parametrize("geometry", ["", "mahalanobis, pca 50"])
def test_the_line_of_progress_cuts_no_number(geometry):
    screen = Console(file=io.StringIO(), force_terminal=True, width=80, height=30)
    with console._Watch([2, 3], screen) as watch:
        watch(SweepEvent(n_clusters=2, stage="scoring", share=0.1, row=None, geometry=geometry))
        watch._live.refresh()
    shown = screen.file.getvalue()
    assert "10%" in shown
    assert "…" not in shown


def test_a_cell_wider_than_the_terminal_is_printed_whole(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "20")
    console.show_table([Column("cluster", ("a" * 30,)), Column("samples", ("12,345",))])
    out = capsys.readouterr().out
    assert "a" * 30 in out
    assert "12,345" in out


def run_in_terminal(width, *args):
    """Run the command in a pseudo-terminal; return its exit code and its lines without escapes."""
    fcntl, pty, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios"))
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, np.array([40, width, 0, 0], dtype=np.uint16).tobytes())
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "fastsil", *args],
        stdin=terminal,
        stdout=terminal,
        stderr=subprocess.DEVNULL,
        env={**environment, "TERM": "xterm"},
    )
    os.close(terminal)
    shown = b""
    with open(main, "rb", buffering=0) as screen:
        try:
            while part := screen.read(65536):
                shown += part
        except OSError:  # as Linux says that the other end is closed
            pass
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    return process.wait(), text.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("width", [80, 120])
def test_the_first_command_fits_the_terminal(width, tmp_path):
    code, lines = run_in_terminal(width, "demo", "iris", "--k", "2:12", "--out", str(tmp_path / "out"))
    assert code == 0
    assert max(len(line.rstrip()) for line in lines if str(tmp_path) not in line) <= width
    assert not any("…" in line for line in lines)
    table = [line.split() for line in lines if re.match(r" *\d+ +[\d.,]+ +0\.\d{4} ", line)]
    assert [int(cells[0]) for cells in table] == list(range(2, 13))
    assert {len(cells) for cells in table[1:]} == {8 if width == 80 else 10}


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_a_reader_that_leaves_early_ends_the_output_only(tmp_path):
    reads, writes = os.pipe()
    os.close(reads)
    with open(writes, "w", buffering=1, encoding="utf-8") as pipe:
        output = console._Output(file=pipe)
        output.print("first")
        output.print("second")
        assert output.quiet


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_results_are_written_though_nobody_reads_the_output(tmp_path):
    np.save(tmp_path / "X.npy", np.arange(20.0)[:, None])
    np.save(tmp_path / "y.npy", np.arange(20) // 10)
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "fastsil", "score", "X.npy", "y.npy", "--out", "made"]
    done = subprocess.run(command, cwd=tmp_path, stdout=writes, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writes)
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr
    assert (tmp_path / "made" / "fastsil.json").exists()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_while_the_command_is_loaded_is_a_line():
    code = (
        "import os, signal, time; from fastsil.cli import _ending_on_interrupt\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "with _ending_on_interrupt(): os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted; nothing was begun.\n")

"""Comparison of two commits, in interleaved runs: ``python -m benchmarks compare REV_A REV_B``.

asv and pytest-benchmark time one commit after the other. On a machine that others use too, or that changes its clock,
minutes differ by more than the changes of interest; here each round has both commits, and ratios are taken within
rounds.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import cases, contest, harness

_SHAPES = (
    (2_000, 64, 10, "float64"),
    (20_000, 64, 2, "float32"),
    (20_000, 128, 10, "float32"),
    (20_000, 128, 10, "float64"),
    (20_000, 512, 100, "float32"),
    (50_000, 32, 100, "float32"),
)
_METRICS = ("euclidean", "cosine", "manhattan")


def compare(before: str, after: str, rounds: int, *, full: bool) -> Iterator[dict[str, Any]]:
    """Yield a row for each workload: paired ratios of the times of ``before`` to ``after``, and the difference of
    answers.
    """
    with _worktree(before) as old, _worktree(after) as new, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for n, d, k, dtype in _SHAPES if full else _SHAPES[:3]:
            data = cases.overlapping_groups(n, d, k, dtype)
            contest.write_data(folder, data)
            for metric in _METRICS if (n, d) == _SHAPES[0][:2] else _METRICS[:1]:
                contender = contest.Contender("fastsil", "fastsil", "", metric)
                seconds, apart = _take_turns(contender, folder, (old, new), rounds)
                yield {
                    "case": f"n={n} d={d} k={k}",
                    "dtype": dtype,
                    "metric": metric,
                    "seconds": [float(np.median(times)) for times in seconds],
                    **harness.paired_ratio(*seconds),
                    "rounds": rounds,
                    "apart": apart,
                }


def _take_turns(
    contender: contest.Contender, folder: Path, roots: tuple[Path, Path], rounds: int
) -> tuple[list[list[float]], float]:
    # Compiled code of two commits must not meet in one cache.
    workers = [contest.Worker(contender, folder, root=root, NUMBA_CACHE_DIR=str(root / ".numba")) for root in roots]
    try:
        for worker in workers:
            worker.wait_until_ready()
            worker.run()
            worker.forget()
        for turn in range(rounds):
            # Who goes first changes, since the first finds the caches cold.
            for worker in workers if turn % 2 else workers[::-1]:
                time.sleep(harness.REST)
                worker.run()
        apart = float(np.abs(workers[0].answer() - workers[1].answer()).max())
    finally:
        for worker in workers:
            worker.end()
    return [worker.seconds for worker in workers], apart


@contextmanager
def _worktree(revision: str) -> Iterator[Path]:
    """Check out a commit into a folder of its own, which is removed afterwards."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name) / "tree"
        _git("worktree", "add", "--quiet", "--detach", str(place), revision)
        try:
            yield place
        finally:
            _git("worktree", "remove", "--force", str(place))


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=harness.ROOT, check=True)

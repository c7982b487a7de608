"""Rates of the tile kernels against a matrix product, and of two threads against two processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.cases import overlapping_groups
from benchmarks.harness import ROOT, paired_ratio


def kernel_rates(n: int, d: int, dtype: str, rounds: int = 7) -> dict[str, dict[str, float]]:
    """Measure GFLOP/s of each kernel and of BLAS, all on one thread: 2 d for a pair, each pair counted once.

    Square roots, corrections and sums are the kernels' overhead: they count in the time only. The ratio to BLAS is the
    median over rounds in which all were called in turn.
    """
    from threadpoolctl import threadpool_limits

    X = overlapping_groups(n, d, 2, dtype).X
    # Two arrays: NumPy computes only half of X @ X.T.
    Y, out = X.copy(), np.empty((n, n), dtype)
    calls = [("BLAS", n * n, lambda: np.matmul(X, Y.T, out=out)), *_kernel_calls(X)]
    seconds: dict[str, list[float]] = {name: [] for name, *_ in calls}
    with threadpool_limits(limits=1):
        for turn in range(-1, rounds):
            for name, _, call in calls:
                start = time.perf_counter()
                call()
                if turn >= 0:
                    seconds[name].append(time.perf_counter() - start)
    rates = {name: 2e-9 * d * pairs / np.array(seconds[name]) for name, pairs, _ in calls}
    return {name: {"rate": float(np.median(rate)), **paired_ratio(rate, rates["BLAS"])} for name, rate in rates.items()}


def _kernel_calls(X: np.ndarray) -> Iterator[tuple[str, float, Callable[[], Any]]]:
    """Name, pairs computed and call of each kernel, with all samples in one cluster's origin."""
    from fastsil.kernels import euclidean as kernels
    from fastsil.kernels.tiles import Samples, make_workspace

    n, d = X.shape
    half = n // 2
    origins = X.mean(axis=0, dtype=np.float64, keepdims=True).astype(X.dtype)
    samples = Samples(X, np.arange(n), origins, X.dtype.type(1.0))
    workspace = make_workspace(X.dtype, d)
    sums, row_sums, squares, stop = np.zeros((1, n)), np.zeros(half), np.zeros(1), np.zeros(1, np.uint8)
    within = np.array([[0, n, 0]])
    between = np.array([[0, half, half, n, 0, 0, 0]])
    to = np.array([[0, half, half, n, 0]])
    rows = np.arange(half)
    yield (
        "within",
        n * (n + 1) / 2,
        lambda: kernels.add_distances_within(samples, within, workspace, sums, squares, stop),
    )
    yield (
        "between",
        half * (n - half),
        lambda: kernels.add_distances_between(samples, between, workspace, sums, squares, stop),
    )
    yield "to", half * (n - half), lambda: kernels.add_distances_to(samples, rows, to, workspace, row_sums, stop)


def thread_scaling(n: int, d: int, k: int, largest: float, dtype: str, rounds: int) -> dict[str, list[float]]:
    """Time a call on two threads, and two processes that make the call on one thread at once."""
    arguments = json.dumps({"n": n, "d": d, "k": k, "largest": largest, "dtype": dtype})
    command = [sys.executable, "-m", "benchmarks.probes", "threads", arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1, "cwd": ROOT}
    seconds: dict[str, list[float]] = {"two threads": [], "two processes": [], "one thread": []}
    with subprocess.Popen(command, **pipes) as one, subprocess.Popen(command, **pipes) as other:
        for process in (one, other):
            assert _ask(process) == "ready", "a probe did not start"
        for _ in range(rounds):
            seconds["one thread"].append(float(_ask(one, 1)))
            seconds["two threads"].append(float(_ask(one, 2)))
            other.stdin.write("1\n")
            both = [float(_ask(one, 1)), float(_ask(other))]
            seconds["two processes"].append(max(both))
        for process in (one, other):
            process.stdin.close()
    return seconds


def _ask(process: subprocess.Popen[str], n_threads: int | None = None) -> str:
    if n_threads is not None:
        process.stdin.write(f"{n_threads}\n")
    return process.stdout.readline().strip()

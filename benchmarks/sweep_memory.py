"""Memory of a whole sweep with its page, compared with what is promised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn import get_config

from benchmarks.harness import run_probe
from fastsil.sweep.memory import foresee_bytes

_KS = range(2, 17)  # the default of KMeansSweep


def measure(n: int, d: int, dtype: str, tol: float | None) -> dict[str, Any]:
    """Measure the peak of a sweep in a process of its own."""
    shape = {"n": n, "d": d, "dtype": dtype}
    peak = run_probe("sweep_memory", shape | {"tol": tol})["extra"]
    n_bytes = n * d * np.dtype(dtype).itemsize
    # Exact scores share a pass, whose sums are bounded by scikit-learn's setting.
    sums = 0 if tol is not None else min(8 * n * sum(_KS), get_config()["working_memory"] << 20)
    allowed = foresee_bytes((n, d), dtype, len(_KS)) + sums
    scores = "exact" if tol is None else f"±{tol:g}"
    return {**shape, "scores": scores, "X": n_bytes, "extra": peak, "allowed": allowed, "met": peak <= allowed}


def list_rows(full: bool) -> Iterator[dict[str, Any]]:
    """Measure sweeps with exact scores and with estimates."""
    exact, estimated = (60_000, 400_000) if full else (4_000, 20_000)
    yield measure(exact, 50, "float64", None)
    yield measure(estimated, 50, "float64", 1e-3)
    yield measure(estimated, 16, "float32", 1e-3)

"""Distances that run over features (Minkowski, Chebyshev, Hamming, Canberra, Bray-Curtis): all pairs, each once.

Distances and sums are float64 for all data.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.all_pairs import compute_all_pairs_terms
from fastsil.engines.pair_schedule import Piece, piece_rows, worthwhile_threads
from fastsil.engines.scaling import as_writable
from fastsil.engines.terms import SilhouetteTerms
from fastsil.kernels import coordinatewise as kernels
from fastsil.runtime.progress import ProgressCallback
from fastsil.validation.partition import Partition

# Magnitudes whose products neither overflow nor vanish.
_ORDINARY = (1e-100, 1e100)
# The same for powers up to the eighth, of differences too.
_ORDINARY_POWERS = (1e-18, 1e30)
_ORDINARY_POWER = 8.0
# Binary exponent of the largest sum of powers, below overflow.
_TOP = 1000

# Whole numbers that differ from their neighbors in any type.
_WHOLE = 1e6

# Samples that are looked at together.
_CHUNK = 1 << 13


def compute_terms(
    X: NDArray[Any],
    partition: Partition,
    *,
    metric: str,
    n_jobs: int,
    tick: ProgressCallback,
    p: float = 2.0,
    w: NDArray[np.float64] | None = None,
) -> SilhouetteTerms:
    """Compute the mean distances of every sample, exactly.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        Samples.
    partition : Partition
        Samples grouped by cluster.
    metric : {"chebyshev", "hamming", "braycurtis", "canberra", "minkowski"}
        Distance, as SciPy defines it.
    n_jobs : int
        Number of threads; the result does not depend on it.
    tick : callable
        Called with shares of the work as they are finished.
    p : float, default=2.0
        Power of a Minkowski distance, positive and finite.
    w : ndarray of shape (n_features,), float64, optional
        Weights of the features, for Hamming, Canberra and Bray-Curtis distances; not negative, not all 0.
    """
    X = as_writable(np.asarray(X))
    unit = 1.0
    if metric == "hamming":
        unit = 1.0 / (X.shape[1] if w is None else w.sum())
    if metric == "minkowski":
        exponent = _choose_power_scale(X, p)
        X, unit = (X if exponent == 0 else np.ldexp(X.astype(np.float64), exponent)), math.ldexp(1.0, -exponent)
    if metric in ("canberra", "braycurtis"):
        X = _without_overflow(X, 4.0 * (X.shape[1] if metric == "braycurtis" else 1))
        # Only the ratios of weights matter there.
        w = w if w is None or metric == "canberra" else w / w.max()
    loop = _choose_loop(metric, X, p, w)
    if loop == kernels.HAMMING_BYTES:
        X = (X - X.min()).astype(np.uint8)
    weights = np.zeros(-(-X.shape[1] // kernels.UNROLL) * kernels.UNROLL, X.dtype if X.dtype == np.uint8 else float)
    weights[: X.shape[1]] = 1.0 if w is None else w
    totals = X.sum(axis=1, dtype=np.float64) if loop == kernels.BRAYCURTIS_POSITIVE else np.zeros(len(X))
    counts = None if partition.sample_weight is None else partition.sample_weight[partition.order]
    samples = kernels.Samples(X, partition.order, partition.codes[partition.order], totals, weights, counts)

    def add(rows: Piece, columns: Piece, first: int, sums: NDArray[np.float64], stop: NDArray[np.uint8]) -> None:
        ranges = (rows.start, rows.end, columns.start, columns.end)
        kernels.add_distances(loop, samples, ranges, first, sums, stop)

    return compute_all_pairs_terms(
        add,
        partition,
        piece_rows=piece_rows(partition.n_samples, kernels.STRIP),
        strategy=f"coordinatewise: {metric}",
        n_jobs=worthwhile_threads(X.shape, n_jobs),
        tick=tick,
        unit=unit,
    )


def _choose_loop(metric: str, X: NDArray[Any], p: float, w: NDArray[np.float64] | None) -> kernels.Metric:
    """Return the kernel's tuple of the metric, for the fastest loop that the data allow."""
    if metric == "minkowski":
        return kernels.minkowski(p)
    if metric == "hamming":
        if w is not None:
            return kernels.HAMMING_WEIGHTED
        return kernels.HAMMING_BYTES if _fits_bytes(X) else kernels.HAMMING
    if metric == "braycurtis":
        if w is not None:
            return kernels.BRAYCURTIS_WEIGHTED
        return kernels.BRAYCURTIS_POSITIVE if X.min() >= 0 else kernels.BRAYCURTIS
    if metric == "canberra":
        if w is not None:
            return kernels.CANBERRA_WEIGHTED
        # With extreme values each feature needs a division of its own.
        return kernels.CANBERRA if X.dtype == np.float32 or _is_within(X, *_ORDINARY) else kernels.CANBERRA_EXTREME
    return kernels.CHEBYSHEV


def _without_overflow(X: NDArray[Any], n_terms: float) -> NDArray[Any]:
    """Return X, or X times a power of two where sums of ``n_terms`` values may overflow: these distances are ratios."""
    largest = max(float(X.max()), -float(X.min()))
    if X.dtype == np.float32 or largest <= np.finfo(np.float64).max / n_terms:
        return X
    return as_writable(X / 2.0 ** np.ceil(np.log2(n_terms)))


def _is_within(X: NDArray[Any], low: float, high: float) -> bool:
    """Return whether all magnitudes but 0 are between two bounds."""
    for start in range(0, len(X), _CHUNK):
        sizes = np.abs(X[start : start + _CHUNK])
        if ((sizes > 0) & ((sizes < low) | (sizes > high))).any():
            return False
    return True


def _fits_bytes(X: NDArray[Any]) -> bool:
    """Return whether all values are whole numbers within one byte of each other."""
    with np.errstate(over="ignore"):
        if not X.max() - X.min() <= np.iinfo(np.uint8).max or abs(X.max()) > _WHOLE:
            return False
    return all(bool((chunk == np.rint(chunk)).all()) for chunk in np.array_split(X, -(-len(X) // _CHUNK)))


def _choose_power_scale(X: NDArray[Any], p: float) -> int:
    """Return the exponent of the power of two that X is multiplied by, so that powers of differences do not overflow.

    For high powers it is as large as possible, because small differences vanish there.
    """
    largest = max(float(X.max()), -float(X.min()))
    low, high = _ORDINARY_POWERS
    if largest == 0 or (p <= _ORDINARY_POWER and low <= largest <= high):
        return 0
    top = 0 if p <= _ORDINARY_POWER else int((_TOP - math.log2(X.shape[1])) / p)
    # Differences are up to twice as large; exponents beyond would make the smallest numbers no normal ones.
    return max(-1000, min(1000, top - 1 - math.frexp(largest)[1]))

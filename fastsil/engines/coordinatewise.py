"""Chebyshev, Hamming, Canberra and Bray-Curtis distance: all pairs, each once, by vector loops over features.

Distances and sums are float64 whatever the data are. Sums of all samples to all clusters would be an array of shape
(n_samples, n_clusters); where that is more than the budget, a range of clusters is summed at a time.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.kernels import coordinatewise as kernels
from fastsil.pairs import Piece, piece_rows, run_pairs_of_pieces, worthwhile_threads
from fastsil.parallel import Tick, part_of
from fastsil.partition import Partition
from fastsil.scaling import as_writable
from fastsil.terms import SilhouetteTerms, Work

# Budget of the sums, and so many bytes a sample beyond, which is what lets a range have clusters where n is large.
_BYTES = 48 << 20
_BYTES_A_SAMPLE = 16

_METRICS = {
    "chebyshev": kernels.CHEBYSHEV,
    "hamming": kernels.HAMMING,
    "braycurtis": kernels.BRAYCURTIS,
    "canberra": kernels.CANBERRA,
}

# Magnitudes whose products neither overflow nor vanish.
_ORDINARY = (1e-100, 1e100)

# Samples whose sums are turned into means at a time.
_CHUNK = 1 << 13


def compute_terms(X: NDArray[Any], partition: Partition, *, metric: str, n_jobs: int, tick: Tick) -> SilhouetteTerms:
    """Mean distances of every sample, exactly.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        Samples.
    partition : Partition
        Samples grouped by cluster.
    metric : {"chebyshev", "hamming", "braycurtis", "canberra"}
        Distance, as SciPy defines it.
    n_jobs : int
        Number of threads; the result does not depend on it.
    tick : callable
        Told shares of the work as they are finished.
    """
    started = time.perf_counter()
    n_samples, n_clusters = partition.n_samples, partition.n_clusters
    X = as_writable(np.asarray(X))
    loop = _loop_of(metric, X)
    codes = partition.codes[partition.order]
    n_jobs = worthwhile_threads(X.shape, n_jobs)
    own, other = np.zeros(n_samples), np.full(n_samples, np.inf)
    which = np.full(n_samples, -1, dtype=np.int32)
    width = min(n_clusters, (_BYTES + _BYTES_A_SAMPLE * n_samples) // (8 * n_samples))
    pieces = _pieces(n_samples)
    pairs = 0
    for first in range(0, n_clusters, width):
        last = min(first + width, n_clusters)
        sums = np.zeros((last - first, n_samples))
        members = (int(partition.offsets[first]), int(partition.offsets[last]))

        def add(
            rows: Piece,
            columns: Piece,
            stop: NDArray[np.uint8],
            first: int = first,
            sums: NDArray[np.float64] = sums,
        ) -> None:
            ranges = (rows.start, rows.end, columns.start, columns.end)
            kernels.add_distances(loop, X, partition.order, codes, ranges, first, sums, stop)

        part = part_of(tick, (last - first) / n_clusters)
        pairs += run_pairs_of_pieces(add, pieces, members, n_jobs=n_jobs, tick=part)
        if metric == "hamming":
            sums /= X.shape[1]
        _keep_nearest(sums, partition, codes, first, own, other, which)
    # Bray-Curtis distances of x and -x are infinite; where all means are, the first other cluster is as near as any.
    lost = which < 0
    which[lost] = codes[lost] == 0
    place = np.empty_like(partition.order)
    place[partition.order] = np.arange(n_samples)
    seconds = {"distances": time.perf_counter() - started}
    work = Work(strategy=f"coordinatewise: {metric}", pairs=pairs, share=pairs / n_samples**2, seconds=seconds)
    return SilhouetteTerms(a=own[place], b=other[place], neighbor=which[place], work=work)


def _loop_of(metric: str, X: NDArray[Any]) -> tuple[int, ...]:
    """The kernel's name of the metric; Canberra distances of extreme values need a division for each feature."""
    if metric != "canberra" or X.dtype == np.float32:
        return _METRICS[metric]
    low, high = _ORDINARY
    for start in range(0, len(X), _CHUNK):
        sizes = np.abs(X[start : start + _CHUNK])
        if ((sizes > 0) & ((sizes < low) | (sizes > high))).any():
            return kernels.CANBERRA_EXTREME
    return kernels.CANBERRA


def _pieces(n_samples: int) -> list[Piece]:
    rows = piece_rows(n_samples, kernels.STRIP)
    return [Piece(start, min(start + rows, n_samples), 0) for start in range(0, n_samples, rows)]


def _keep_nearest(
    sums: NDArray[np.float64],
    partition: Partition,
    codes: NDArray[np.int32],
    first: int,
    own: NDArray[np.float64],
    other: NDArray[np.float64],
    which: NDArray[np.int32],
) -> None:
    """Keep the mean of the own cluster and the smallest other one, by position; NaN stays NaN, as in a minimum."""
    sizes = partition.sizes[first : first + len(sums), None]
    for start in range(0, partition.n_samples, _CHUNK):
        rows = slice(start, start + _CHUNK)
        means = sums[:, rows] / sizes
        slots = codes[rows] - first
        mine = np.flatnonzero((slots >= 0) & (slots < len(sums)))
        slots = slots[mine]
        own[start + mine] = sums[slots, start + mine] / np.maximum(sizes[slots, 0] - 1, 1)
        means[slots, mine] = np.inf
        nearest = means.argmin(axis=0)
        smallest = means[nearest, np.arange(means.shape[1])]
        # Also where a range held nothing but the own cluster, the infinite mean is no answer.
        better = (smallest < other[rows]) | (np.isnan(smallest) & ~np.isnan(other[rows]))
        other[rows][better] = smallest[better]
        which[rows][better] = nearest[better] + first

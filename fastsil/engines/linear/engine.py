"""Squared Euclidean, cosine and correlation: mean distances from moments of clusters, without pairs.

With ``u = z - mu`` relative to the mean of cluster C, and ``var`` the mean squared distance of its members to it,

    mean over y in C of |z - y|^2 = |u|^2 + var;

over the other members of its own cluster it is that, times |C| / (|C| - 1). With weights, means are weighted ones, and
the factor is W / (W - min(w, 1)). Cosine distance is
``1 - z . y = |z - y|^2 / 2`` on rows of length 1, a form that keeps the digits which 1 - z . y loses for rows of
nearly one direction; correlation distance is the same on rows whose mean is subtracted first. A row of zeros has
no direction: its cosine distance to every other row is 1, so such rows enter by their number only.

Cost: two passes over the rows, n k d multiplications in all, O(k d) memory on top of the results.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.linear.summaries import ClusterSummaries, NormalizedRows, dense_rows, normalize_lazily, summarize
from fastsil.engines.rescaling import OUT_OF_RANGE, check_given, check_lengths
from fastsil.engines.terms import SilhouetteTerms, Work
from fastsil.kernels import linear as kernels
from fastsil.runtime.memory import require
from fastsil.runtime.progress import ProgressCallback, ignore_progress, scale_progress
from fastsil.runtime.threads import enough_for_threads, run_over_rows, run_tasks
from fastsil.validation.partition import Partition, Weights

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

# Multiplications in one task of the second pass: about 1 ms, long compared with its start, and short enough for an
# interrupt.
TASK_PRODUCTS = 1 << 25
_TASK_ROWS = (4, 4096)
# Multiplications in all below which threads cost more than they save.
_WORTH_THREADS = 1e7

_SHARE_OF_MOMENTS = 0.3


def compute_terms(X: Any, partition: Partition, *, n_jobs: int, tick: ProgressCallback, metric: str) -> SilhouetteTerms:
    """Compute the mean distances of every sample, exactly, in O(n_samples * n_clusters * n_features).

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features), float32 or float64
        Samples. An array is C-contiguous and read in place; of a CSR matrix a few rows at a time are made dense.
    partition : Partition
        Samples grouped by cluster.
    n_jobs : int
        Number of threads; the result does not depend on it.
    tick : callable
        Called with shares of the work as they are finished.
    metric : {"sqeuclidean", "cosine", "correlation"}
        The distance.

    Raises
    ------
    ValueError
        If the metric is correlation and all entries of a row are equal.
    """
    require(
        5 * 8.0 * partition.n_clusters * X.shape[1],
        f"The table of {partition.n_clusters:,} clusters in {X.shape[1]:,} features",
        "Take fewer clusters, or reduce the features (by PCA).",
    )
    view = normalize_lazily(X, metric)
    started = time.perf_counter()
    n_jobs = enough_for_threads(n_jobs, float(X.shape[0]) * X.shape[1] * partition.n_clusters, _WORTH_THREADS)
    summaries = summarize(view, partition, n_jobs=n_jobs, tick=scale_progress(tick, _SHARE_OF_MOMENTS))
    check_directions(view, metric)
    if metric == "cosine":
        check_lengths(X, view.zero_norm_rows())
    moments_done = time.perf_counter()
    tick = scale_progress(tick, 1 - _SHARE_OF_MOMENTS)
    terms = _terms(view, partition.codes, summaries, n_jobs, tick, partition.weights)
    seconds = {"moments": moments_done - started, "distances": time.perf_counter() - moments_done}
    return replace(terms, work=Work(f"linear: {metric}", pairs=0, share=0.0, seconds=seconds))


def compute_row_terms(
    X: Any, codes: NDArray[np.int32], summaries: ClusterSummaries, *, n_jobs: int, metric: str
) -> SilhouetteTerms:
    """Compute the mean distances of some samples to clusters that are given by their summaries only.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_features), float32 or float64
        Samples that are among those summarized.
    codes : ndarray of shape (n_rows,), int32
        Cluster of each, by its place among the summaries.
    summaries : ClusterSummaries
        At least two, each of at least one sample.
    n_jobs : int
        Number of threads; the result does not depend on it.
    metric : {"sqeuclidean", "cosine", "correlation"}
        The distance, for which the summaries were made.

    Raises
    ------
    ValueError
        If squares of distances leave the range of float64.
    """
    view = normalize_lazily(X, metric)
    view.measure_all(n_jobs)
    terms = _terms(view, codes, summaries, n_jobs, ignore_progress)
    if metric == "sqeuclidean":
        _check_squares(X, codes, terms, summaries)
    return replace(terms, work=Work(f"linear: {metric}", pairs=0, share=0.0))


def check_directions(view: NormalizedRows, metric: str, *, first_row: int = 0) -> None:
    """Raise a ValueError if a row has no direction and the metric is correlation; the view begins at ``first_row``."""
    without = view.zero_norm_rows()
    if metric == "correlation" and len(without):
        raise ValueError(
            f"correlation has no value for a row whose entries are all equal: row {first_row + without[0]}"
            f"{f' and {len(without) - 1} more' if len(without) > 1 else ''}. Drop such rows first."
        )


def _check_squares(X: Any, codes: NDArray[np.int32], terms: SilhouetteTerms, summaries: ClusterSummaries) -> None:
    """Raise a ValueError if means of squares have overflowed, or are 0 though a row differs from a center."""
    check_given(terms)
    (same,) = np.nonzero(np.maximum(terms.a, terms.b) == 0)
    for clusters in (codes[same], terms.neighbor[same]):
        centers = summaries.origins[clusters] + summaries.offsets[clusters]
        if (dense_rows(X, same) != centers).any():
            raise ValueError(OUT_OF_RANGE)


def _terms(
    view: NormalizedRows,
    codes: NDArray[np.int32],
    summaries: ClusterSummaries,
    n_jobs: int,
    tick: ProgressCallback,
    weights: Weights | None = None,
) -> SilhouetteTerms:
    centers = _make_centers(summaries, view.metric.factor)
    if weights is not None:
        centers = centers._replace(own_factors=np.ones(len(summaries.sizes)))
    nearest = find_nearest(view, codes, centers, summaries.sizes, n_jobs=n_jobs, tick=tick)
    without = view.zero_norm_rows()
    if weights is None:
        own = (summaries.sizes > 1)[codes[without]].astype(np.float64)
    else:
        own = _exclude_itself(nearest.a, codes, weights, without)
    _set_rows_without_direction(nearest, without, codes, own)
    if view.metric.resolution > 0:
        _clear(nearest, view.metric.resolution, n_jobs)
    return SilhouetteTerms(a=nearest.a, b=nearest.b, neighbor=nearest.neighbor, work=Work("linear", pairs=0, share=0.0))


def _clear(nearest: kernels.Nearest, resolution: float, n_jobs: int) -> None:
    """Set mean distances that are rounding to 0."""

    def clear(rows: slice) -> None:
        for values in (nearest.a[rows], nearest.b[rows]):
            values[values < resolution] = 0.0

    run_over_rows(clear, len(nearest.a), n_jobs=n_jobs)


def _make_centers(summaries: ClusterSummaries, factor: float) -> kernels.Centers:
    """Write the mean distance to a cluster as ``weight * |z - mu|^2 + constant``; rows without direction are at
    distance 1.
    """
    sizes = summaries.sizes
    weights = factor * summaries.counts / sizes
    return kernels.Centers(
        origins=summaries.origins,
        offsets=summaries.offsets,
        weights=weights,
        constants=weights * summaries.variances + summaries.n_without / sizes,
        own_factors=np.where(sizes > 1, sizes / np.maximum(sizes - 1, 1), 0.0),
    )


def _make_screen(centers: kernels.Centers, sizes: Indices) -> kernels.Screen:
    """Move the centers to the mean of all samples, so that products are as small as possible."""
    shares = sizes / sizes.sum()
    origin = shares @ centers.origins + shares @ centers.offsets
    n_centers, n_features = centers.origins.shape
    n_padded = -(-n_centers // 4) * 4
    relative, weights, constants = np.zeros((n_padded, n_features)), np.zeros(n_padded), np.zeros(n_padded)
    np.subtract(centers.origins, origin, out=relative[:n_centers])
    relative[:n_centers] += centers.offsets
    weights[:n_centers], constants[:n_centers] = centers.weights, centers.constants
    return kernels.Screen(origin, relative, np.einsum("ij,ij->i", relative, relative), weights, constants)


def find_nearest(
    view: NormalizedRows,
    codes: NDArray[np.int32],
    centers: kernels.Centers,
    sizes: Indices,
    *,
    n_jobs: int,
    tick: ProgressCallback,
) -> kernels.Nearest:
    """Find the value of every row for the center of its own cluster, and the smallest for another center."""
    n_samples = len(codes)
    screen = _make_screen(centers, sizes)
    nearest = kernels.Nearest(np.empty(n_samples), np.empty(n_samples), np.empty(n_samples, dtype=np.int32))

    def find_rows(task: slice, interrupt: NDArray[np.uint8]) -> None:
        rows = kernels.ShiftedRows(dense_rows(view.X, task), view.shift[task], view.scale[task])
        here = kernels.Nearest(nearest.a[task], nearest.b[task], nearest.neighbor[task])
        kernels.find_nearest_rows(rows, codes[task], centers, screen, here, interrupt)

    step = view.limit_rows(int(np.clip(TASK_PRODUCTS // centers.origins.size, *_TASK_ROWS)))
    tasks = [slice(start, min(start + step, n_samples)) for start in range(0, n_samples, step)]
    run_tasks(find_rows, tasks, [task.stop - task.start for task in tasks], n_jobs=n_jobs, tick=tick)
    return nearest


def _exclude_itself(a: Floats, codes: NDArray[np.int32], weights: Weights, without: Indices) -> Floats:
    """Turn means over whole clusters into means over the others, in place; return those of rows without direction."""
    divisors = np.where(weights.of_others > 0, weights.of_others, np.inf)
    a *= weights.totals[codes] / divisors
    # All others are at distance 1; a sample that counts more than once is at distance 0 from itself.
    itself = np.maximum(weights.values[without] - 1.0, 0.0)
    return np.maximum(weights.of_others[without] - itself, 0.0) / divisors[without]


def _set_rows_without_direction(
    nearest: kernels.Nearest, without: Indices, codes: NDArray[np.int32], own: Floats
) -> None:
    """Set distance 1 to every other row: to all clusters alike, so the first other one is nearest."""
    nearest.a[without] = own
    nearest.b[without] = 1.0
    nearest.neighbor[without] = codes[without] == 0

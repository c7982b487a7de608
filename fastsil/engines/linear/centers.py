"""Distances to one center a cluster, in place of mean distances to its members: the terms of simplified silhouettes.

For a sample z of cluster A with center m(A),

    a = d(z, m(A)),     b = min over other clusters C of d(z, m(C)).

Centers are the means of the clusters, or points that are given (the means of a fit, medoids). For cosine and
correlation both are directions: of a cluster the direction of the mean of its members' directions, in which a member
without a direction does not count. To a center without a direction every distance is 1, as to a row of zeros.

Cost: one pass for the means and one for the distances, n k d multiplications, O(k d) memory.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.linear.engine import check_directions, find_nearest
from fastsil.engines.linear.summaries import NormalizedRows, normalize_lazily, summarize
from fastsil.engines.rescaling import check_lengths
from fastsil.engines.scaling import choose_scale, largest_magnitude
from fastsil.engines.terms import SilhouetteTerms, Work
from fastsil.kernels import linear as kernels
from fastsil.runtime.progress import ignore_progress
from fastsil.validation.partition import Partition

Floats = NDArray[np.float64]

METRICS = ("euclidean", "l2", "sqeuclidean", "cosine", "correlation")
"""Metrics for which a cluster has a center."""

_DIRECTIONS = ("cosine", "correlation")


def compute_center_terms(
    X: Any, partition: Partition, metric: str, *, centers: Floats | None, n_jobs: int
) -> SilhouetteTerms:
    """Compute the distances of every sample to its own center and to the nearest other one.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features), float32 or float64
        Samples, read in place.
    partition : Partition
        Samples grouped by cluster.
    metric : str
        One of ``METRICS``.
    centers : ndarray of shape (n_clusters, n_features), optional
        Center of each cluster; by default the mean of its members.
    n_jobs : int
        Number of threads; the result does not depend on it.

    Raises
    ------
    ValueError
        If the metric is correlation and all entries of a row are equal.
    """
    seen = "sqeuclidean" if metric in ("euclidean", "l2") else metric
    view = normalize_lazily(X, seen)
    exponent = 0
    if metric not in _DIRECTIONS:
        exponent = _scale_to_ordinary(view, centers)
    if centers is None:
        origins, offsets, empty = _find_means(view, partition, metric, n_jobs)
    else:
        view.measure_all(n_jobs)
        origins, offsets, empty = _split_given(centers, metric, 2.0**exponent)
    check_directions(view, metric)
    if metric == "cosine":
        check_lengths(X, view.zero_norm_rows())
    ones = np.ones(len(origins))
    weighted = kernels.Centers(
        origins, offsets, np.where(empty, 0.0, view.metric.factor), np.where(empty, 1.0, 0.0), ones
    )
    found = find_nearest(view, partition.codes, weighted, partition.totals, n_jobs=n_jobs, tick=ignore_progress)
    terms = SilhouetteTerms(found.a, found.b, found.neighbor, Work(f"centers: {metric}", pairs=0, share=0.0), exponent)
    if metric in ("euclidean", "l2"):
        return replace(terms, a=np.sqrt(terms.a), b=np.sqrt(terms.b))
    return _finish_directions(terms, view) if metric in _DIRECTIONS else replace(terms, exponent=2 * exponent)


def _scale_to_ordinary(view: NormalizedRows, centers: Floats | None) -> int:
    """Make the view multiply by a power of two with which squares stay in range; return its exponent."""
    largest = max(largest_magnitude(view.X), 0.0 if centers is None else largest_magnitude(centers))
    scale = choose_scale(np.array([[largest]]))
    view.scale[:] = scale
    return int(np.log2(scale))


def _find_means(
    view: NormalizedRows, partition: Partition, metric: str, n_jobs: int
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Return the means as two vectors each, and which of them have no direction."""
    summaries = summarize(view, partition, n_jobs=n_jobs)
    if metric not in _DIRECTIONS:
        return summaries.origins, summaries.offsets, np.zeros(partition.n_clusters, dtype=bool)
    return _split_directions(summaries.origins.astype(np.longdouble) + summaries.offsets)


def _split_given(centers: Floats, metric: str, scale: float) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    if metric not in _DIRECTIONS:
        return centers * scale, np.zeros_like(centers), np.zeros(len(centers), dtype=bool)
    wide = centers.astype(np.longdouble)
    # Relative to its first entry a row of equal entries is exactly 0, whatever the rounding of its mean.
    shifted = wide - wide[:, :1]
    return _split_directions(shifted - shifted.mean(axis=1, keepdims=True) if metric == "correlation" else wide)


def _split_directions(vectors: NDArray[np.longdouble]) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Bring vectors to length 1, each as two: rounded to one, it would be off by as much as narrow cones are wide."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    empty = largest[:, 0] == 0
    vectors = vectors / np.where(largest == 0, 1, largest)
    lengths = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
    directions = vectors / np.where(lengths == 0, 1, lengths)
    origins = directions.astype(np.float64)
    return origins, (directions - origins).astype(np.float64), empty


def _finish_directions(terms: SilhouetteTerms, view: NormalizedRows) -> SilhouetteTerms:
    """Set distance 1 of rows without a direction, and 0 where a distance is rounding."""
    for values in (terms.a, terms.b):
        values[view.zero_norm_rows()] = 1.0
        values[values < view.metric.resolution] = 0.0
    return terms

"""The highest mean silhouette that any labels of some data can have, from a sample of rows.

Let a sample x have N others, at distances d_1 <= ... <= d_N, and m of them in its own cluster. Then ``a`` is at least
the mean of the m nearest. ``b``, the smallest mean over other clusters, is at most the mean over all of the rest, which
is largest if the m nearest are not in it. Hence

    s(x) <= 1 - (d_1 + ... + d_m) / m  /  ((d_{m+1} + ... + d_N) / (N - m)),

and the largest of these over the m that clusters may have is a ceiling of s(x). With two clusters, the m nearest and
the rest, x reaches it. The mean over all samples is a ceiling of the mean silhouette; it is seldom reached, since the
samples want different clusters. A row costs its distances and a sort, and a mean of numbers from 0 to 1 is known well
from a sample of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from fastsil.engines.dispatch import find_euclidean_form
from fastsil.engines.metric_maps import directions, run_mapped, typical_row
from fastsil.engines.scaling import largest_magnitude, near_one
from fastsil.runtime.progress import ProgressCallback, progress_bar
from fastsil.runtime.sklearn_compat import VALID_METRICS
from fastsil.runtime.threads import resolve_n_jobs, run_tasks, shares_threads
from fastsil.scoring.estimate.confidence_interval import MeanIntervals
from fastsil.validation import (
    Metric,
    check_confidence,
    check_data,
    check_distance_row,
    check_integer,
    check_metric,
    check_metric_params,
    check_sparse,
    check_tol,
    get_metric_name,
)
from fastsil.validation.arrays import is_sparse

_FIRST_ROUND = 64
# Bytes of one task's distances, and of the samples that these are computed to at a time.
_TASK_BYTES, _BLOCK_BYTES = 16 << 20, 4 << 20
# Squares below this share of the squared lengths have lost digits, and are computed from differences.
_CANCELED = 1e-8
# The ceiling does not depend on the scale of the data: beyond these magnitudes they are brought near 1, so that powers
# of differences stay in range. Not for metrics whose distances do not grow with the data, or that have missing values.
_ORDINARY = (1e-9, 1e9)
_WITH_A_SCALE = ("haversine", "nan_euclidean", "precomputed")


@dataclass(frozen=True)
class SilhouetteCeiling:
    """A ceiling of the mean silhouette of any labels, with an interval.

    Made by :func:`fastsil.silhouette_ceiling`.

    Attributes
    ----------
    ceiling : float
        No labels with such clusters have a higher mean silhouette; estimated.
    interval : tuple of float
        Holds the ceiling with probability ``confidence`` at least, for any data; of no width where all rows were
        computed. To be on the safe side, quote its upper end.
    confidence, tol : float
        As requested.
    min_cluster_size, n_clusters : int
        As requested: the least that clusters have, and the least number of clusters.
    metric : str
        Name of the metric.
    n_samples, n_computed : int
        Number of samples, and of those among them that were computed.
    """

    ceiling: float
    interval: tuple[float, float]
    confidence: float
    tol: float
    min_cluster_size: int
    n_clusters: int
    metric: str
    n_samples: int
    n_computed: int


@shares_threads
def silhouette_ceiling(
    X: ArrayLike,
    *,
    min_cluster_size: int = 1,
    n_clusters: int = 2,
    tol: float = 0.01,
    confidence: float = 0.99,
    metric: Metric = "euclidean",
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
    **metric_params: Any,
) -> SilhouetteCeiling:
    """Compute a ceiling of the mean silhouette that any labels of these data can have, in O(n) memory.

    A score of 0.24 says more if no labels score above 0.38. The ceiling is seldom reached: that a score is far below it
    does not say that there are better labels.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features) or (n_samples, n_samples)
        Samples, or their distances for ``metric="precomputed"``.
    min_cluster_size : int, default=1
        Least size of a cluster of the labels: the larger, the lower the ceiling. With 1, pairs and
        single samples are clusters too, and the ceiling is high.
    n_clusters : int, default=2
        Least number of clusters of the labels.
    tol : float, default=0.01
        Requested half-width of the interval.
    confidence : float, default=0.99
        Probability with which the interval holds the ceiling.
    metric : str or callable, default="euclidean"
        As for :func:`fastsil.silhouette_samples`.
    random_state : int, RandomState or None, default=None
        Chooses the rows.
    n_jobs, progress, **metric_params
        As for :func:`fastsil.silhouette_samples`.

    Returns
    -------
    SilhouetteCeiling

    Raises
    ------
    ValueError
        If an argument is invalid, or no labels have such clusters.

    References
    ----------
    H. Sträng, T. Dinh (2025), "An upper bound on the silhouette evaluation metric for clustering", arXiv:2509.08625.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastsil import silhouette_ceiling, silhouette_score
    >>> X, species = load_iris(return_X_y=True)
    >>> found = silhouette_ceiling(X, min_cluster_size=30)
    >>> round(silhouette_score(X, species), 2), round(found.ceiling, 2)
    (0.5, 0.78)
    """
    check_metric(metric)
    check_metric_params(metric, metric_params)
    tol, confidence = check_tol(tol), check_confidence(confidence)
    data = check_data(X, metric=metric)
    check_sparse(data, metric)
    n_samples = data.shape[0]
    sizes = _find_sizes(n_samples, min_cluster_size, n_clusters)
    rows_of = _DistanceRows(data, metric, metric_params)
    with progress_bar("rows", enabled=progress) as tick:
        means, n_computed = _estimate_mean(
            rows_of, n_samples, sizes, tol, confidence, check_random_state(random_state), resolve_n_jobs(n_jobs), tick
        )
    low, high = float(means.low[0]), float(means.high[0])
    return SilhouetteCeiling(
        ceiling=float(means.mean[0]),
        interval=(low, high),
        confidence=confidence,
        tol=tol,
        min_cluster_size=min_cluster_size,
        n_clusters=n_clusters,
        metric=get_metric_name(metric),
        n_samples=n_samples,
        n_computed=n_computed,
    )


def _find_sizes(n_samples: int, min_cluster_size: Any, n_clusters: Any) -> tuple[int, int]:
    """Return the fewest and the most companions that a sample can have in its cluster, one at least."""
    check_integer("min_cluster_size", min_cluster_size)
    check_integer("n_clusters", n_clusters)
    if min_cluster_size < 1 or n_clusters < 2:
        raise ValueError(
            f"min_cluster_size={min_cluster_size} and n_clusters={n_clusters} must be 1 and 2 at least: a silhouette "
            "compares a cluster with another one."
        )
    most = n_samples - (n_clusters - 1) * min_cluster_size
    if most < max(min_cluster_size, 2):
        raise ValueError(
            f"X has {n_samples} samples, too few for {n_clusters} clusters of {max(min_cluster_size, 1)} or more, of "
            "which one has 2."
        )
    return max(min_cluster_size - 1, 1), most - 1


def _estimate_mean(
    rows_of: _DistanceRows,
    n_samples: int,
    sizes: tuple[int, int],
    tol: float,
    confidence: float,
    random_state: np.random.RandomState,
    n_jobs: int,
    tick: ProgressCallback,
) -> tuple[MeanIntervals, int]:
    """Draw rows until the interval is narrow enough, or compute all where that is no more work."""
    zero, one = np.zeros(1), np.ones(1)
    means = MeanIntervals(confidence, zero, one, np.full(1, 0.5))
    half_width, wanted, computed = np.full(1, tol), _FIRST_ROUND, 0
    while wanted:
        if computed + wanted >= n_samples:
            ceilings = _compute_ceilings(rows_of, np.arange(n_samples), sizes, n_jobs, tick)
            means.narrow(np.full(1, ceilings.mean()), np.full(1, ceilings.mean()))
            return means, n_samples
        drawn = random_state.randint(n_samples, size=wanted)
        ceilings = _compute_ceilings(rows_of, drawn, sizes, n_jobs, tick)
        means.add(np.zeros(wanted, dtype=np.intp), ceilings, zero, one)
        computed += wanted
        wanted = int(means.draws_needed(half_width, zero, one)[0])
    return means, computed


def _compute_ceilings(
    rows_of: _DistanceRows, rows: NDArray[np.intp], sizes: tuple[int, int], n_jobs: int, tick: ProgressCallback
) -> NDArray[np.float64]:
    """Compute the ceilings of some samples' silhouettes."""
    ceilings = np.empty(len(rows))
    step = max(1, min(64, _TASK_BYTES // (8 * rows_of.n_samples)))
    tasks = [slice(start, min(start + step, len(rows))) for start in range(0, len(rows), step)]

    def run(task: slice, stop: NDArray[np.uint8]) -> None:
        if not stop[0]:
            ceilings[task] = bound_rows(rows_of.compute(rows[task]), rows[task], *sizes)

    # A callable is called from the calling thread.
    threads = 1 if callable(rows_of.metric) else n_jobs
    with threadpool_limits(1):
        run_tasks(run, tasks, [float(task.stop - task.start) for task in tasks], n_jobs=threads, tick=tick)
    return ceilings


def bound_rows(distances: NDArray[np.float64], own: NDArray[np.intp], fewest: int, most: int) -> NDArray[np.float64]:
    """Return the highest silhouette that each sample can have.

    Parameters
    ----------
    distances : ndarray of shape (n_rows, n_samples)
        To all samples; overwritten.
    own : ndarray of shape (n_rows,)
        Place of the sample itself.
    fewest, most : int
        Companions in its cluster.
    """
    distances[np.arange(len(own)), own] = -np.inf
    distances.sort(axis=1)
    others = distances[:, 1:]
    m = np.arange(fewest, most + 1)
    near = np.cumsum(others, axis=1)[:, m - 1] / m
    # From the far end, so that nothing cancels.
    far = np.cumsum(others[:, ::-1], axis=1)[:, others.shape[1] - m - 1] / (others.shape[1] - m)
    ratio = np.divide(near, far, out=np.ones_like(near), where=far > 0)
    return np.asarray(np.clip(1 - ratio.min(axis=1), 0.0, 1.0))


def _are_centered(X: NDArray[np.float32]) -> bool:
    """Return whether the mean of samples is so near to 0 that rounding them to float32 moves no ceiling by 1.2e-6.

    Rounded, a distance d from y is off by u (2 |y| + d) at most, u = 6e-8, so the ratio of the mean distances to the m
    nearest and to the rest by 2 u (2 |y| / D + 1), D being the latter. D is no less than the mean distance to all
    others, and so no less than |y - μ|, μ being the mean of the samples, or half of R, the mean of |z - μ|. Hence
    |y| <= |y - μ| + |μ| <= 4 D where |μ| <= 1.5 R.
    """
    step = max(1, _BLOCK_BYTES // (8 * X.shape[1]))
    mean = X.mean(axis=0, dtype=np.float64)
    radii = [np.linalg.norm(X[start : start + step] - mean, axis=1).sum() for start in range(0, len(X), step)]
    return bool(np.linalg.norm(mean) <= 1.5 * sum(radii) / len(X))


class _DistanceRows:
    """Distances from some samples to all."""

    def __init__(self, X: Any, metric: Metric, metric_params: dict[str, Any]) -> None:
        if metric in ("cosine", "correlation"):
            # Of length 1 first: means of rows stay in range.
            X = directions(directions(X), centered=metric == "correlation")
        elif metric in VALID_METRICS and metric not in _WITH_A_SCALE:
            low, high = _ORDINARY
            X = X if low <= (largest_magnitude(X) or 1.0) <= high else near_one(X)[0]
        form = find_euclidean_form(X, metric, metric_params)
        mapped = None if form is None else run_mapped(form, lambda data: data, lambda data, _: _are_centered(data))
        self.n_samples = X.shape[0]
        self.metric: Metric = metric
        self._X = X if mapped is None else mapped
        self._params = metric_params
        self._origin = None if mapped is None else typical_row(mapped)

    def compute(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return distances as a new array of shape (n_rows, n_samples)."""
        if self._origin is not None:
            return self._compute_euclidean(rows, self._origin)
        if self.metric == "precomputed":
            for row in rows:
                check_distance_row(self._X, int(row))
            given = self._X[rows]
            return np.asarray(np.maximum(given.toarray() if is_sparse(given) else given, 0.0, dtype=np.float64))
        if self.metric == "sqeuclidean" and is_sparse(self._X):  # which SciPy does not take
            return np.array(euclidean_distances(self._X[rows], self._X, squared=True), np.float64)
        return np.array(pairwise_distances(self._X[rows], self._X, metric=self.metric, **self._params), np.float64)

    def _compute_euclidean(self, rows: NDArray[np.intp], origin: NDArray[np.float64]) -> NDArray[np.float64]:
        """Multiply relative to a typical sample, and compute pairs that nearly coincide from differences."""
        some = self._X[rows] - origin
        lengths = np.einsum("ij,ij->i", some, some)[:, None]
        distances = np.empty((len(rows), self.n_samples))
        step = max(1, _BLOCK_BYTES // (8 * some.shape[1]))
        for start in range(0, self.n_samples, step):
            block = self._X[start : start + step] - origin
            both = lengths + np.einsum("ij,ij->i", block, block)
            squares = both - 2 * (some @ block.T)
            i, j = np.nonzero(squares <= _CANCELED * both)
            squares[i, j] = ((some[i] - block[j]) ** 2).sum(axis=1)
            distances[:, start : start + step] = np.sqrt(squares)
        return distances

"""Manhattan distance: mean distances from sorted features, without pairs.

The distance is a sum over features, and for one feature the sums over all clusters fall out of one walk through
its sorted values (:mod:`fastsil.kernels.manhattan`): O(d n (log n + k)). With very many clusters all pairs cost less;
then the engine for coordinates takes the data.

The sums of all samples for all clusters would be an array of shape (n_samples, n_clusters). Where that is more than
the memory budget, clusters are taken a range at a time, and every range sorts the features again.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.scaling import without_repeats
from fastsil.engines.terms import SilhouetteTerms, Work
from fastsil.kernels import manhattan as kernels
from fastsil.kernels.nearest import keep_nearest
from fastsil.runtime.progress import ProgressCallback, scale_progress
from fastsil.runtime.threads import enough_for_threads, run_tasks
from fastsil.validation.arrays import is_sparse
from fastsil.validation.partition import Partition

Floats = NDArray[np.float64]

# Budgets, each: bytes, and bytes a sample beyond them, so that a range has clusters at all
# where n is large.
_BYTES = 24 << 20
_BYTES_A_SAMPLE = 16

# A sorted feature keeps a float64 and an int32 a sample (an int64 where int32 cannot count them).
_BYTES_SORTED = 12

# Clusters below which a walk costs the same for fewer.
_NARROWEST = 2

# Samples in one task of the last step: their sums are transposed in the cache.
_TASK_ROWS = 1 << 10

# Nanoseconds of a walk's step, of a feature of a pair, and of the rest of a pair, summed for both sides. Both ways cost
# the same at k = 850 for n = 10,000 and d = 300, at 280 for n = 3,000 and d = 100.
_STEP, _PAIR_FEATURE, _PAIR = 1.3, 0.1, 1.5

# Steps of walks, times clusters, below which threads cost more than they save.
_WORTH_THREADS = 1e6


class _Plan(NamedTuple):
    """Sizes that fit the memory budget; the result does not depend on them.

    Attributes
    ----------
    n_clusters : int
        Clusters summed at a time.
    width : int
        Clusters of one task.
    n_features : int
        Features kept sorted at a time.
    """

    n_clusters: int
    width: int
    n_features: int


def compute_terms(X: Any, partition: Partition, *, n_jobs: int, tick: ProgressCallback) -> SilhouetteTerms:
    """Compute the mean Manhattan distances of every sample, exactly.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features), float32 or float64
        Samples; read a feature at a time.
    partition : Partition
        Samples grouped by cluster.
    n_jobs : int
        Number of threads; the result does not depend on it.
    tick : callable
        Called with shares of the work as they are finished.
    """
    n_samples, n_clusters = partition.n_samples, partition.n_clusters
    X = _readable(X)
    plan = _plan(n_samples, n_clusters, X.shape[1], n_jobs)
    n_jobs = enough_for_threads(n_jobs, float(n_samples) * X.shape[1] * n_clusters, _WORTH_THREADS)
    seconds = {"sort": 0.0, "walk": 0.0}
    a, b = np.zeros(n_samples), np.full(n_samples, np.inf)
    neighbor = np.full(n_samples, -1, dtype=np.int32)
    for first in range(0, n_clusters, plan.n_clusters):
        last = min(first + plan.n_clusters, n_clusters)
        sums = [
            (start, np.zeros((n_samples, min(plan.width, last - start)))) for start in range(first, last, plan.width)
        ]
        for feature in range(0, X.shape[1], plan.n_features):
            features = range(feature, min(feature + plan.n_features, X.shape[1]))
            share = len(features) / X.shape[1] * (last - first) / n_clusters
            _add_features(X, features, partition, sums, seconds, n_jobs=n_jobs, tick=tick, share=share)
        _keep_nearest(sums, partition, a, b, neighbor, n_jobs)
    work = Work(strategy="manhattan: sorted features", pairs=0, share=0.0, seconds=seconds)
    return SilhouetteTerms(a=a, b=b, neighbor=neighbor, work=work)


def pairs_cost_less(partition: Partition, n_features: int) -> bool:
    """Return whether all pairs cost less than to sort the features: where clusters are very many."""
    return bool(_STEP * n_features * partition.n_clusters > (_PAIR_FEATURE * n_features + _PAIR) * partition.n_samples)


def _index_type(n_samples: int) -> type[np.signedinteger[Any]]:
    return np.int32 if n_samples <= np.iinfo(np.int32).max else np.int64


def _readable(X: Any) -> Any:
    """Return X for reading: a plain array, or CSR with sorted columns and without repeated entries."""
    return without_repeats(X) if is_sparse(X) else np.asarray(X)


def _plan(n_samples: int, n_clusters: int, n_features: int, n_jobs: int) -> _Plan:
    budget = _BYTES + _BYTES_A_SAMPLE * n_samples
    clusters = min(n_clusters, max(1, budget // (8 * n_samples)))
    return _Plan(
        n_clusters=clusters,
        width=max(_NARROWEST, -(-clusters // n_jobs)),
        n_features=min(n_features, max(1, budget // (_BYTES_SORTED * n_samples))),
    )


def _add_features(
    X: Any,
    features: range,
    partition: Partition,
    sums: list[tuple[int, Floats]],
    seconds: dict[str, float],
    *,
    n_jobs: int,
    tick: ProgressCallback,
    share: float,
) -> None:
    """Sort some features, then add their part to the sums of every range of clusters."""
    values = np.empty((len(features), partition.n_samples))
    order = np.empty(values.shape, dtype=_index_type(partition.n_samples))
    weights = partition.sample_weight

    def sort_feature(rank: int, interrupt: NDArray[np.uint8]) -> None:
        if not interrupt[0]:
            column = _column(X, features[rank])
            ranking = np.argsort(column)
            order[rank] = ranking
            np.take(column, ranking, out=values[rank])

    def walk_features(task: tuple[int, Floats], interrupt: NDArray[np.uint8]) -> None:
        kernels.add_differences_sorted(values, order, partition.codes, weights, task[0], task[1], interrupt)

    started = time.perf_counter()
    half = scale_progress(tick, share / 2)
    run_tasks(sort_feature, range(len(features)), [1.0] * len(features), n_jobs=n_jobs, tick=half)
    sorted_at = time.perf_counter()
    run_tasks(walk_features, sums, [float(task[1].shape[1]) for task in sums], n_jobs=n_jobs, tick=half)
    seconds["sort"] += sorted_at - started
    seconds["walk"] += time.perf_counter() - sorted_at


def _column(X: Any, feature: int) -> Floats:
    """Return one feature of all samples, float64."""
    if not is_sparse(X):
        return np.asarray(X[:, feature], dtype=np.float64, order="C")
    column = np.empty(X.shape[0])
    kernels.gather_column_sparse(X.data, X.indices, X.indptr, feature, column)
    return column


def _keep_nearest(
    sums: list[tuple[int, Floats]],
    partition: Partition,
    a: Floats,
    b: Floats,
    neighbor: NDArray[np.int32],
    n_jobs: int,
) -> None:
    """Turn sums into means, and keep the own cluster's and the smallest other one, ranges in order."""
    totals, own_totals = partition.totals, partition.own_totals

    def keep_rows(rows: slice, interrupt: NDArray[np.uint8]) -> None:
        for first, part in sums:
            by_cluster = np.ascontiguousarray(part[rows].T)
            of_rows = None if own_totals is None else own_totals[rows]
            codes = partition.codes[rows]
            keep_nearest(by_cluster, codes, first, totals, of_rows, a[rows], b[rows], neighbor[rows])

    tasks = [slice(start, start + _TASK_ROWS) for start in range(0, partition.n_samples, _TASK_ROWS)]
    run_tasks(keep_rows, tasks, [1.0] * len(tasks), n_jobs=n_jobs)

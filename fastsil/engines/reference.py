"""Any metric, through scikit-learn's own distances, chunk by chunk.

This is the engine of last resort: as slow as scikit-learn, as general, and with the same answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.parallel import Tick
from fastsil.partition import Partition
from fastsil.sklearn_compat import pairwise_distances_chunked
from fastsil.terms import SilhouetteTerms, Work


def compute_terms(
    X: Any,
    partition: Partition,
    *,
    metric: str | Callable[..., float],
    n_jobs: int,
    tick: Tick,
    metric_params: dict[str, Any],
) -> SilhouetteTerms:
    """Mean distances by scikit-learn's ``pairwise_distances_chunked``.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Samples.
    partition : Partition
        Samples grouped by cluster.
    metric : str or callable
        Anything that ``pairwise_distances`` takes.
    n_jobs : int
        Number of jobs for ``pairwise_distances``.
    tick : callable
        Told the share of the work that a finished chunk was.
    metric_params : dict
        Further keywords of the metric.
    """
    started = time.perf_counter()
    n_samples = partition.n_samples
    a = np.empty(n_samples)
    b = np.empty(n_samples)
    neighbor = np.empty(n_samples, dtype=np.int32)

    def reduce_chunk(distances: Any, start: int) -> None:
        rows = slice(start, start + distances.shape[0])
        sums = _dense_sums(distances, partition)
        a[rows], b[rows], neighbor[rows] = _terms_of_sums(sums, partition.codes[rows], partition.sizes)
        tick(distances.shape[0] / n_samples)

    for _ in pairwise_distances_chunked(X, reduce_func=reduce_chunk, metric=metric, n_jobs=n_jobs, **metric_params):
        pass
    work = Work(
        strategy=f"scikit-learn: {metric if isinstance(metric, str) else 'callable'}",
        pairs=n_samples**2,
        share=1.0,
        seconds={"distances": time.perf_counter() - started},
    )
    return SilhouetteTerms(a=a, b=b, neighbor=neighbor, work=work)


def _dense_sums(distances: NDArray[Any], partition: Partition) -> NDArray[np.float64]:
    """Sum of distances from each row of a chunk to each cluster, shape (n_rows, n_clusters)."""
    grouped = distances[:, partition.order]
    return np.add.reduceat(grouped, partition.offsets[:-1], axis=1, dtype=np.float64)


def _terms_of_sums(
    sums: NDArray[np.float64], codes: NDArray[np.int32], sizes: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp]]:
    rows = np.arange(len(codes))
    a = sums[rows, codes] / np.maximum(sizes[codes] - 1, 1)
    means = sums / sizes
    means[rows, codes] = np.inf
    neighbor = means.argmin(axis=1)
    return a, means[rows, neighbor], neighbor

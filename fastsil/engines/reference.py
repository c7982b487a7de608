"""Any metric, through scikit-learn's own distances, chunk by chunk.

This is the engine of last resort: as slow as scikit-learn, as general, and with the same answers. Chunks are cut by the
data alone and each is computed by one thread, so that the bits do not depend on how many threads there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn import config_context, get_config
from sklearn.metrics import pairwise_distances

from fastsil.engines.terms import SilhouetteTerms, Work, nearest_from_distances, nearest_from_sums
from fastsil.runtime.progress import ProgressCallback
from fastsil.runtime.sklearn_compat import pairwise_distances_chunked
from fastsil.runtime.threads import run_tasks
from fastsil.validation.arrays import is_sparse
from fastsil.validation.partition import Partition

# SciPy is deaf to Ctrl-C while it computes a chunk: 0.2 s with the slowest of its metrics (8 ns for each feature of a
# pair). A chunk has at least this number of rows, since scikit-learn reads all of the data for each.
_CHUNK_BYTES = 4 << 20
_CHUNK_PRODUCTS = 2e7
_CHUNK_ROWS = 2

# scikit-learn derives keywords of these from all of the data, if they are not given, and only in its own chunks.
_DERIVED = ("mahalanobis", "seuclidean")

_Keep = Callable[[Any, int], None]


def compute_terms(
    X: Any,
    partition: Partition,
    *,
    metric: str | Callable[..., float],
    n_jobs: int,
    tick: ProgressCallback,
    metric_params: dict[str, Any],
) -> SilhouetteTerms:
    """Compute the mean distances by scikit-learn's ``pairwise_distances``.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features)
        Samples.
    partition : Partition
        Samples grouped by cluster.
    metric : str or callable
        Anything that ``pairwise_distances`` takes. A callable is called from the calling thread.
    n_jobs : int
        Number of threads. The result has the same bits for any.
    tick : callable
        Called with the share of each finished chunk.
    metric_params : dict
        Further keywords of the metric.
    """
    started = time.perf_counter()
    n_samples = partition.n_samples
    a = np.empty(n_samples)
    b = np.empty(n_samples)
    neighbor = np.empty(n_samples, dtype=np.int32)

    def keep(distances: Any, start: int) -> None:
        rows = slice(start, start + distances.shape[0])
        a[rows], b[rows], neighbor[rows] = nearest_from_distances(distances, partition, rows)

    if callable(metric) or metric in _DERIVED:
        run_in_turn(X, metric, metric_params, keep, tick)
    else:
        _run_at_once(X, metric, metric_params, keep, tick, n_jobs)
    work = Work(
        strategy=f"scikit-learn: {metric if isinstance(metric, str) else 'callable'}",
        pairs=n_samples**2,
        share=1.0,
        seconds={"distances": time.perf_counter() - started},
    )
    return SilhouetteTerms(a=a, b=b, neighbor=neighbor, work=work)


def replace_rows(
    terms: SilhouetteTerms,
    rows: NDArray[np.intp],
    X: Any,
    partition: Partition,
    *,
    metric: str | Callable[..., float],
    metric_params: dict[str, Any],
) -> SilhouetteTerms:
    """Compute the mean distances of some samples again, by scikit-learn's ``pairwise_distances``."""
    a, b, neighbor = terms.a.copy(), terms.b.copy(), terms.neighbor.copy()
    step = max(_CHUNK_ROWS, int(_CHUNK_BYTES / 8 / partition.n_samples))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        distances = pairwise_distances(X[some], X, metric=metric, **metric_params)
        found = nearest_from_distances(distances, partition, some)
        a[some], b[some] = np.ldexp(found[0], terms.exponent), np.ldexp(found[1], terms.exponent)
        neighbor[some] = found[2]
    return replace(terms, a=a, b=b, neighbor=neighbor)


def compute_medoid_terms(
    X: Any,
    partition: Partition,
    medoids: NDArray[np.intp],
    *,
    metric: str | Callable[..., float],
    metric_params: dict[str, Any],
) -> SilhouetteTerms:
    """Compute the distance of every sample to the medoid of its own cluster, and to the nearest other one.

    Parameters
    ----------
    X : array-like or sparse matrix
        Samples, or distances that have been checked.
    partition : Partition
        Samples grouped by cluster.
    medoids : ndarray of shape (n_clusters,)
        Row of the medoid of each cluster.
    metric, metric_params
        As for :func:`compute_terms`; or ``"precomputed"``.
    """
    alone = np.ones(len(medoids), dtype=np.intp)
    parts, start = [], 0
    if metric == "precomputed":
        columns: Any = X[:, medoids]
        chunks: Iterable[Any] = [columns.toarray() if is_sparse(columns) else columns]
    else:
        chunks = pairwise_distances_chunked(X, X[medoids], metric=metric, n_jobs=1, **metric_params)
    for distances in chunks:
        own = partition.codes[start : start + len(distances)]
        # Given distances may be below 0 by rounding.
        parts.append(nearest_from_sums(np.maximum(distances, 0.0, dtype=np.float64).T, own, alone))
        start += len(distances)
    a, b, neighbor = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return SilhouetteTerms(a, b, neighbor, Work("scikit-learn: medoids", pairs=0, share=0.0))


def run_in_turn(
    X: Any, metric: str | Callable[..., float], params: dict[str, Any], keep: _Keep, tick: ProgressCallback
) -> None:
    """Run through scikit-learn's own chunks; in one chunk, a callable is called once for each pair."""
    n_samples = X.shape[0]

    def reduce_chunk(distances: Any, start: int) -> None:
        keep(distances, start)
        tick(distances.shape[0] / n_samples)

    chunks: Iterable[Any] = pairwise_distances_chunked(X, reduce_func=reduce_chunk, metric=metric, n_jobs=1, **params)
    for _ in chunks:
        pass


def _run_at_once(X: Any, metric: str, params: dict[str, Any], keep: _Keep, tick: ProgressCallback, n_jobs: int) -> None:
    n_samples = X.shape[0]
    sparse = bool(issparse(X))
    n_features = X.nnz / n_samples if sparse else X.shape[1]
    step = max(_CHUNK_ROWS, int(min(_CHUNK_BYTES / 8, _CHUNK_PRODUCTS / max(n_features, 1)) / n_samples))
    chunks = [slice(start, min(start + step, n_samples)) for start in range(0, n_samples, step)]
    # scikit-learn's settings are those of a thread.
    settings = get_config()

    def run(rows: slice, stop: NDArray[np.uint8]) -> None:
        with config_context(**settings):
            distances = pairwise_distances(X if len(chunks) == 1 else X[rows], X, metric=metric, n_jobs=1, **params)
        if metric in ("euclidean", "l2"):
            # By products, a sample is not quite at distance 0 from itself.
            distances[np.arange(len(distances)), np.arange(rows.start, rows.stop)] = 0
        keep(distances, rows.start)

    run_tasks(run, chunks, [float(rows.stop - rows.start) for rows in chunks], n_jobs=n_jobs, tick=tick)

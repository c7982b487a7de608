"""Euclidean distance between the rows of a CSR matrix, which is never made dense: all pairs, each once.

Distances and sums are float64 for all data. Apart from the sums, it takes a copy of the matrix, sorted by cluster, and
a few numbers for each feature.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.all_pairs import compute_all_pairs_terms
from fastsil.engines.pair_schedule import Piece, worthwhile_threads
from fastsil.engines.scaling import choose_scale
from fastsil.engines.terms import SilhouetteTerms
from fastsil.kernels import sparse as kernels
from fastsil.runtime.progress import ProgressCallback
from fastsil.validation.partition import Partition

# Samples of a piece. A strip of few samples has short lists, whose beginnings cost more than their entries; a few
# pieces make enough tasks for a few threads.
_PIECE_ROWS = 256, kernels.STRIP
_PIECES = 10

# Cost of a pair on top of its products, in products of the dense engine.
_PRODUCTS_A_PAIR = 16


def compute_terms(X: Any, partition: Partition, *, n_jobs: int, tick: ProgressCallback) -> SilhouetteTerms:
    """Compute the mean distances of every sample, exactly.

    Parameters
    ----------
    X : CSR matrix of shape (n_samples, n_features), float32 or float64
        Samples. Columns in any order; entries that are stored twice add up.
    partition : Partition
        Samples grouped by cluster.
    n_jobs : int
        Number of threads; the result does not depend on it.
    tick : callable
        Called with shares of the work as they are finished.
    """
    n_samples = partition.n_samples
    n_jobs = worthwhile_threads((n_samples, _PRODUCTS_A_PAIR + X.nnz // n_samples), n_jobs)
    scale = choose_scale(X.data) if X.dtype == np.float64 and X.nnz else 1.0
    rows, n_features = _rows_by_position(X, partition, scale)
    scratch: SimpleQueue[NDArray[np.int32]] = SimpleQueue()
    for _ in range(max(1, n_jobs)):
        scratch.put(np.full(n_features, -1, dtype=np.int32))

    @contextmanager
    def slots() -> Iterator[NDArray[np.int32]]:
        lent = scratch.get()
        try:
            yield lent
        finally:
            scratch.put(lent)

    def add(piece: Piece, columns: Piece, first: int, sums: NDArray[np.float64], stop: NDArray[np.uint8]) -> None:
        ranges = (piece.start, piece.end, columns.start, columns.end)
        with slots() as lent:
            kernels.add_distances_sparse(rows, ranges, first, lent, sums, stop)

    least, most = _PIECE_ROWS
    return compute_all_pairs_terms(
        add,
        partition,
        piece_rows=max(least, min(most, -(-n_samples // _PIECES))),
        strategy="sparse: all pairs",
        n_jobs=n_jobs,
        tick=tick,
        unit=1.0 / scale,
    )


def _rows_by_position(X: Any, partition: Partition, scale: float) -> tuple[kernels.SparseRows, int]:
    """Sort the matrix by cluster and number its features by frequency; return it with the number of features that
    occur.

    Frequent features, which are looked up most often, then lie side by side.
    """
    X = X[partition.order]
    if not X.has_canonical_format:
        X.sum_duplicates()
    X.eliminate_zeros()
    counts = np.bincount(X.indices, minlength=X.shape[1])
    ranking = np.argsort(-counts, kind="stable")
    number = np.empty(len(ranking), dtype=X.indptr.dtype)
    number[ranking] = np.arange(len(ranking))
    X.indices = number[X.indices]
    X.has_sorted_indices = False
    X.sort_indices()
    values = X.data.astype(np.float64) * scale
    row_of = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    squares: NDArray[np.float64] = np.bincount(row_of, weights=values**2, minlength=X.shape[0]).astype(np.float64)
    rows = kernels.SparseRows(
        values=values,
        features=X.indices.astype(np.int32, copy=False),
        bounds=X.indptr.astype(np.int64, copy=False),
        squares=squares,
        codes=partition.codes[partition.order],
        weights=None if partition.sample_weight is None else partition.sample_weight[partition.order],
    )
    return rows, int(np.count_nonzero(counts))

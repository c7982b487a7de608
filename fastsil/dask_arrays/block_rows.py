"""One block of rows inside a task, from raw arrays to the engines' input."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.linear.summaries import ClusterSummaries
from fastsil.validation import check_data, check_part_labels, have_another_label
from fastsil.validation.arrays import is_sparse, result_dtype, scatter_to_all
from fastsil.validation.partition import Partition, sorted_by_cluster


class Ignored(NamedTuple):
    """The label that is left out, if one is."""

    label: Any = None


class ScoredRows(NamedTuple):
    """The rows of a block that are scored.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_features)
        float32 or float64, C-contiguous.
    partition : Partition
        By the labels that occur in the block.
    kept : ndarray of bool
        Which rows of the block they are.
    """

    X: Any
    partition: Partition
    kept: NDArray[np.bool_]


def check_rows(X: Any, labels: Any, first_row: int, ignored: Ignored) -> ScoredRows | None:
    """Check a block, whose first row is row ``first_row`` of all; None if no row is scored.

    Raises
    ------
    TypeError
        If it is no NumPy array or SciPy CSR matrix.
    ValueError
        If a value is not finite or a label missing; the message names the row among all.
    """
    if not isinstance(X, np.ndarray) and not is_sparse(X):
        raise TypeError(
            f"a block of X is a {type(X).__module__}.{type(X).__name__}; pass a Dask array of NumPy arrays or of SciPy "
            "CSR matrices, for example X.map_blocks(cupy.asnumpy) or X.map_blocks(scipy.sparse.csr_array)."
        )
    data = check_data(X, first_row=first_row)
    labels, kept = _scored(labels, ignored)
    if not kept.any():
        return None
    partition = check_part_labels(labels[kept], int(kept.sum()), first_row=first_row)
    return ScoredRows(data if kept.all() else data[kept], partition, kept)


def scored_rows(X: Any, labels: Any, ignored: Ignored) -> Any:
    """Return the rows of a checked block that are scored, as data for an engine."""
    kept = _scored(labels, ignored)[1]
    rows = X if kept.all() else X[kept]
    dtype = result_dtype(X.dtype)
    return rows.tocsr().astype(dtype, copy=False) if is_sparse(X) else np.ascontiguousarray(rows, dtype=dtype)


def gather(X: Any, rows: NDArray[np.intp], dtype: Any) -> NDArray[Any]:
    """Copy some rows of a block to a dense array of a type."""
    return np.ascontiguousarray(X[rows].toarray() if is_sparse(X) else X[rows], dtype=dtype)


def members_by_cluster(codes: NDArray[np.int32], n_clusters: int) -> list[tuple[int, NDArray[np.intp]]]:
    """Return the clusters that occur among some rows, each with its rows; rows of code -1 are in none."""
    shifted = codes + 1
    order = sorted_by_cluster(shifted, n_clusters + 1)
    edges = np.cumsum(np.bincount(shifted, minlength=n_clusters + 1))
    return [(int(c), order[edges[c] : edges[c + 1]]) for c in np.flatnonzero(np.diff(edges))]


def encode_block(labels: Any, summaries: ClusterSummaries, ignored: Ignored) -> NDArray[np.int32]:
    """Cluster of each row of a checked block, by its place among all; -1 for a row that is not scored."""
    return scatter_to_all(encode_rows(labels, summaries, ignored), _scored(labels, ignored)[1], -1)


def encode_rows(labels: Any, summaries: ClusterSummaries, ignored: Ignored) -> NDArray[np.int32]:
    """Cluster of each scored row of a checked block, by its place among all."""
    labels, kept = _scored(labels, ignored)
    return np.asarray(np.searchsorted(summaries.classes, labels[kept]), dtype=np.int32)


def spread_rows(values: NDArray[Any], labels: Any, ignored: Ignored) -> NDArray[Any]:
    """Scatter values of the scored rows to all of a block; NaN for the others."""
    return scatter_to_all(values, _scored(labels, ignored)[1])


def _scored(labels: Any, ignored: Ignored) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    labels = np.asarray(labels).reshape(-1)
    return labels, have_another_label(labels, ignored.label)

"""Dask arrays as they come from a user, cut into blocks of rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from numpy.typing import NDArray

from fastsil.validation import check_scored_labels, mark_scored


class Blocks(NamedTuple):
    """Data and labels in blocks of equal rows, none of them empty.

    Attributes
    ----------
    X, labels : list of Delayed
        Data and labels of each block.
    sizes, starts : ndarray of shape (n_blocks,)
        Number of rows of each block, and of rows before it.
    dtype : dtype
        Type of X.
    """

    X: list[Any]
    labels: list[Any]
    sizes: NDArray[np.intp]
    starts: NDArray[np.intp]
    dtype: np.dtype[Any]


def check_array(X: Any) -> Any:
    """Return X in blocks of whole rows.

    Raises
    ------
    ValueError
        If it is not two-dimensional, is empty, or its chunks have unknown sizes.
    """
    if X.ndim != 2:
        raise ValueError(
            f"Expected 2D array, got a Dask array of shape {X.shape}; reshape it to (n_samples, n_features)."
        )
    if np.isnan(X.shape).any():
        raise ValueError(
            "the chunks of X have unknown sizes; call X.compute_chunk_sizes() first (or make X by "
            "frame.to_dask_array(lengths=True))."
        )
    if 0 in X.shape:
        raise ValueError(f"Found an empty Dask array of shape {X.shape}; pass at least one sample and one feature.")
    if X.dtype.kind not in "biuf":
        raise ValueError(f"X has dtype {X.dtype} and not numbers; convert it, for example X.astype(float).")
    # Rows are read whole; a float16 or integer has no arithmetic of its own.
    return X.rechunk({1: -1})


def check_label_array(labels: Any, X: Any, ignore_label: Any) -> Any:
    """Return the labels as a Dask array in the chunks of X's rows.

    Raises
    ------
    ValueError
        If they are not one for each row, have unknown chunk sizes, or (if they are in memory) cannot be scored.
    """
    if not isinstance(labels, da.Array):
        labels, _ = mark_scored(labels, X.shape[0], ignore_label)
        check_scored_labels(labels, X.shape[0], ignore_label)
        return da.from_array(labels, chunks=(X.chunks[0],))
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ValueError(f"labels is a Dask array of shape {labels.shape}; pass one label per row of X.")
    if np.isnan(labels.shape).any():
        raise ValueError("the chunks of labels have unknown sizes; call labels.compute_chunk_sizes() first.")
    if labels.shape[0] != X.shape[0]:
        raise ValueError(
            f"labels has {labels.shape[0]} entries but X has {X.shape[0]} rows "
            "(inconsistent numbers of samples); pass one label per row of X."
        )
    return labels.rechunk((X.chunks[0],))


def find_blocks(X: Any, labels: Any) -> Blocks:
    """Return checked data and labels as blocks."""
    sizes = np.array(X.chunks[0], dtype=np.intp)
    starts = np.cumsum(sizes) - sizes
    filled = np.flatnonzero(sizes)
    # The keys of X stay: X computed together with the silhouettes is computed once.
    of_X = X.to_delayed(optimize_graph=False)[:, 0]
    of_labels = labels.to_delayed(optimize_graph=False)
    return Blocks(list(of_X[filled]), list(of_labels[filled]), sizes[filled], starts[filled], X.dtype)

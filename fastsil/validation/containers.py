"""Samples in the containers in which people hold embeddings: columns of vectors, tensors, AnnData."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.validation.arrays import is_missing, is_sparse

# Entries of an AnnData's obsm that an error names.
_MOST_NAMED = 8


def unpack_samples(X: Any) -> Any:
    """Return a column of vectors as an array, a tensor as an array, the matrix of an AnnData; all else unchanged.

    Raises
    ------
    TypeError
        If X is a tensor on another device, or an AnnData with several representations.
    ValueError
        If vectors have different lengths, are missing, or are written as text.
    """
    if is_sparse(X) or (isinstance(X, np.ndarray) and X.dtype.kind not in "OV"):
        return X
    if type(X).__module__.partition(".")[0] == "anndata" and hasattr(X, "obsm"):
        return _choose_matrix(X)
    if hasattr(X, "detach") and hasattr(X, "cpu"):
        return _convert_tensor(X)
    if isinstance(X, np.ndarray) and X.dtype.kind == "V":
        return _convert_type(X)
    if isinstance(X, (list, tuple)):
        if X and is_vector(X[0]):
            _check_lengths(X)
        return X
    shape = getattr(X, "shape", None)
    if not hasattr(X, "__array__") or (shape is not None and len(shape) == 2 and shape[1] != 1):
        return X
    cells = np.asarray(X)
    if shape is None or len(shape) == 1:
        X = cells if cells.ndim == 2 else X
    if not cells.ndim or cells.dtype != object or not cells.size or cells.shape not in ((len(cells),), (len(cells), 1)):
        return _convert_type(cells) if cells.dtype.kind == "V" else X
    return _stack(cells.ravel(), X)


def is_vector(cell: Any) -> bool:
    """Return whether an entry is a sequence of numbers."""
    return isinstance(cell, (list, tuple)) or (isinstance(cell, np.ndarray) and cell.ndim == 1)


def _stack(cells: NDArray[Any], X: Any) -> Any:
    """Return cells that are vectors as the rows of an array; X, if they are none."""
    if isinstance(cells[0], str) and cells[0].lstrip().startswith("["):
        raise ValueError(
            "X has vectors that are written as text. Read them first: "
            "numpy.array([json.loads(text) for text in column]), where column is the column of X."
        )
    if not any(map(is_vector, cells[:2])):
        return X
    _check_lengths(cells)
    return np.array(cells.tolist()) if isinstance(cells[0], (list, tuple)) else np.stack(cells.tolist())


def _check_lengths(cells: Sequence[Any] | NDArray[Any]) -> None:
    """Raise a ValueError if the cells are not vectors of one length."""
    lengths = np.array([len(cell) if is_vector(cell) else -1 for cell in cells])
    usual = int(np.bincount(lengths[lengths >= 0]).argmax())
    for row in np.flatnonzero(lengths != usual)[:1]:
        cell = cells[row]
        what = f"{lengths[row]}" if lengths[row] >= 0 else "nothing" if is_missing(cell) else f"{repr(cell)[:40]}"
        raise ValueError(
            f"X has vectors of {usual} numbers, but row {row} has {what}. Drop such rows of X and labels, or make all "
            "vectors equally long."
        )


def _convert_tensor(X: Any) -> Any:
    """Return a tensor in the memory of the machine as an array."""
    device = str(getattr(X, "device", "cpu"))
    gradient = ".detach()" if getattr(X, "requires_grad", False) else ""
    if not device.startswith("cpu"):
        raise TypeError(f"X is a tensor on {device}; pass X{gradient}.cpu().")
    X = X.detach()
    return np.asarray(X.float() if "bfloat16" in str(X.dtype) else X)


def _convert_type(X: NDArray[Any]) -> NDArray[Any]:
    """Return numbers of the short types of machine learning (bfloat16, float8) as float64, which holds all of them."""
    return X.astype(np.float64) if X.dtype.type.__module__ == "ml_dtypes" else X


def _choose_matrix(X: Any) -> Any:
    """Return the only representation that an AnnData has of its samples."""
    names = list(X.obsm.keys())
    if names:
        named = ", ".join(f"adata.obsm[{name!r}]" for name in names[:_MOST_NAMED])
        raise TypeError(f"X is an AnnData with several representations; pass one of them: adata.X, {named}.")
    if X.X is None:
        raise TypeError("X is an AnnData without a matrix; pass an array.")
    return X.X

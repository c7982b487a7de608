"""Predicates and types of arrays that every package needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

# Rows looked at at a time where float64 copies are needed.
_CHUNK_BYTES = 8 << 20


def result_dtype(given: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of the silhouettes of data: float32 for float32 in either byte order, else float64."""
    return np.dtype(np.float32 if given.newbyteorder("=") == np.float32 else np.float64)


def scatter_to_all(values: NDArray[Any], kept: NDArray[np.bool_], fill: float = np.nan) -> NDArray[Any]:
    """Scatter the values of some rows to all; the others are ``fill``."""
    scattered = np.full((len(kept), *values.shape[1:]), fill, dtype=values.dtype)
    scattered[kept] = values
    return scattered


def is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN, or pandas' NA or NaT."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ArithmeticError):  # NA has no truth value; a signaling NaN of decimal raises
        return True
    except ValueError:  # an array
        return False


def is_sparse(X: Any) -> bool:
    """Return whether X is a sparse matrix of SciPy."""
    # SciPy's own guard narrows X to a class that declares next to nothing.
    return bool(issparse(X))


def iterate_chunks(X: Any) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield rows of samples, some at a time, dense and in float64, and which they are."""
    step = max(1, _CHUNK_BYTES // (8 * X.shape[1]))
    for start in range(0, X.shape[0], step):
        rows = slice(start, min(start + step, X.shape[0]))
        chunk = X[rows].toarray() if is_sparse(X) else X[rows]
        yield rows, np.asarray(chunk, dtype=np.float64)

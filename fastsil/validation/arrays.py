"""Predicates and types of arrays that every package needs."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse


def result_dtype(given: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of the silhouettes of data: float32 for float32 in either byte order, else float64."""
    return np.dtype(np.float32 if given.newbyteorder("=") == np.float32 else np.float64)


def is_sparse(X: Any) -> bool:
    """Return whether X is a sparse matrix of SciPy."""
    # SciPy's own guard narrows X to a class that declares next to nothing.
    return bool(issparse(X))

"""Data as the kernels read them: in place, with the type and the scale that distances are computed in.

Squares of distances and sums of their squares must neither overflow nor vanish. Data of ordinary size are computed in
their own type. float32 data of extreme size are computed in float64, float64 data of extreme size are multiplied by a
power of two, which changes no digits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.runtime.threads import CALLING_THREAD, run_over_rows
from fastsil.validation.arrays import is_sparse
from fastsil.validation.partition import Partition

# Magnitudes whose fourth powers, summed over a million features, stay inside the type; of float64 with a margin for the
# smallest differences.
_ORDINARY = {np.dtype(np.float32): (1e-7, 1e7), np.dtype(np.float64): (1e-20, 1e60)}
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class ScaledData:
    """Samples grouped by cluster, and how kernels are to read them.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features)
        float32 or float64, C-contiguous; never written to.
    scale : float
        Power of two that X is multiplied by when it is read.
    dtype : dtype
        float32 or float64: the type that distances are computed in.
    partition : Partition
        Samples grouped by cluster.
    """

    X: NDArray[Any]
    scale: float
    dtype: np.dtype[Any]
    partition: Partition

    @property
    def exponent(self) -> int:
        return math.frexp(self.scale)[1] - 1


def scale_data(X: NDArray[Any], partition: Partition, n_jobs: int = CALLING_THREAD) -> ScaledData:
    """Choose the type and the scale for some data.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64, C-contiguous
        Samples.
    partition : Partition
        Samples grouped by cluster.
    n_jobs : int
        Number of threads.
    """
    dtype = X.dtype
    scale = 1.0
    if X.dtype == np.float64:
        scale = choose_scale(X, n_jobs)
    elif not is_ordinary(largest_magnitude(X, n_jobs), X.dtype):
        dtype = np.dtype(np.float64)
    return ScaledData(X=as_writable(X), scale=scale, dtype=dtype, partition=partition)


def without_repeats(X: Any) -> Any:
    """Return a CSR matrix with sorted columns and no entry twice; a copy where X is not one."""
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def without_empty_columns(X: Any) -> Any:
    """Return a CSR matrix of the columns that have an entry, in their order."""
    columns, place = np.unique(X.indices, return_inverse=True)
    return type(X)((X.data, place, X.indptr), shape=(X.shape[0], len(columns)))


def choose_scale(values: NDArray[np.float64], n_jobs: int = CALLING_THREAD) -> float:
    """Return the power of two that brings the largest magnitude to about 1; 1 where it is of ordinary size."""
    largest = largest_magnitude(values, n_jobs)
    if is_ordinary(largest, values.dtype):
        return 1.0
    # 2**1000 times the smallest subnormal is still far from overflow.
    return math.ldexp(1.0, max(-1000, min(1000, -math.frexp(largest)[1])))


def is_ordinary(largest: float, dtype: np.dtype[Any]) -> bool:
    """Return whether data with this largest magnitude can be computed in float32, or float64, without scaling."""
    smallest, most = _ORDINARY[dtype]
    return largest == 0 or smallest <= largest <= most


def largest_magnitude(X: Any, n_jobs: int = CALLING_THREAD) -> float:
    """Return the largest absolute value in an array or a CSR matrix."""
    values = X.data if is_sparse(X) else X
    step = max(1, _CHUNK_BYTES // (values.itemsize * (values.shape[1] if values.ndim == 2 else 1)))
    largest = [0.0]

    def measure(rows: slice) -> None:
        chunk = values[rows]
        largest.append(max(float(chunk.max()), -float(chunk.min())))

    run_over_rows(measure, len(values), n_jobs=n_jobs, step=step)
    return max(largest)


def near_one(X: Any) -> tuple[Any, int]:
    """Return X as float64 with its largest magnitude near 1, and the power of two that it was multiplied by."""
    exponent = -math.frexp(largest_magnitude(X))[1]
    # In two steps: 2**1074 is beyond float64.
    half = exponent // 2
    return X.astype(np.float64) * math.ldexp(1.0, half) * math.ldexp(1.0, exponent - half), exponent


def as_writable(X: NDArray[Any]) -> NDArray[Any]:
    """View memory without the read-only mark, for which numba would compile every kernel a second time.

    The kernels only read it; memory that is mapped read-only stays protected by the system.
    """
    if X.flags.writeable:
        return X
    interface = dict(X.__array_interface__)
    interface["data"] = (interface["data"][0], False)

    class _Memory:
        __array_interface__ = interface
        owner = X

    return np.asarray(_Memory())

"""Checks of data: arrays and sparse matrices of samples, finite values, Dask arrays."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array

from fastsil.runtime.memory import require
from fastsil.runtime.sklearn_compat import BOOLEAN_METRICS
from fastsil.runtime.threads import count_threads_of_call, run_over_rows
from fastsil.validation.arguments import Metric
from fastsil.validation.arrays import is_missing, is_sparse, result_dtype
from fastsil.validation.containers import is_vector, unpack_samples
from fastsil.validation.distances import raise_not_finite
from fastsil.validation.mistakes import check_complete, warn_of_distances

# Rows checked for NaN and infinity at a time: small compared with X, large compared with the cost of a call.
_FINITE_CHUNK_BYTES = 1 << 20
_CONVERTED_BYTES = 16 << 20


def is_dask_array(X: Any) -> bool:
    """Return whether X is a Dask array, without importing Dask.

    Raises
    ------
    TypeError
        If it is another collection of Dask, which would silently be computed as a whole.
    """
    package = type(X).__module__.split(".")
    if package[0] not in ("dask", "dask_expr") or not hasattr(X, "__dask_graph__"):
        return False
    if type(X).__name__ == "Array":
        return True
    raise TypeError(
        f"X is a {package[0]} {type(X).__name__}; pass a Dask array, for example frame.to_dask_array(lengths=True)."
    )


def check_data(X: Any, *, metric: Metric = "euclidean", first_row: int = 0, warns: bool = True) -> Any:
    """Return X as a C-contiguous float32 or float64 array (or CSR matrix), copied only if it must be.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features)
        float32 stays float32; everything else that is a number becomes float64. A column of vectors is stacked.
        Distances
        (``metric="precomputed"``), samples for a callable and truth values for a metric of these keep their type.
    metric : str or callable
        Distances must be square. Their values are checked by :func:`fastsil.validation.check_distance_row`, in the
        pass that reads them.
    first_row : int
        Number of the first row, for messages, where X is a part of the data.
    warns : bool
        Whether to warn of samples that look like distances.

    Raises
    ------
    TypeError
        If X is a collection of Dask.
    ValueError
        If X is not a two-dimensional array of finite numbers with at least one row and column.
    """
    if is_dask_array(X):
        raise TypeError(
            "X is a Dask array, which would be computed as a whole here; pass X.compute(), or score it by "
            "silhouette_samples, silhouette_score, silhouette_profile or silhouette_estimate."
        )
    X = unpack_samples(X)
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        raise ValueError("X has masked entries; fill or drop them first (for example X.filled(0)).")
    if is_sparse(X) and X.format in ("csr", "csc"):
        _check_structure(X)
    X = _as_numbers(X, first_row)
    sparse = is_sparse(X)
    as_it_is = metric == "precomputed" or callable(metric) or (metric in BOOLEAN_METRICS and X.dtype == bool)
    if not sparse and not as_it_is:
        _check_room(X)
    # In the machine's byte order, which NumPy's sums and numba's kernels need; >f4 is float32 all the same.
    X = X.astype(X.dtype.newbyteorder("="), copy=False)
    if metric == "precomputed":
        if X.shape[0] != X.shape[1]:
            raise ValueError(f"metric='precomputed' needs a square matrix of distances, got X of shape {X.shape}.")
        if sparse:
            check_complete(X)
        return X
    dtype = X.dtype if as_it_is else result_dtype(X.dtype)
    # A number that is too large for float64 becomes infinite.
    with np.errstate(over="ignore"):
        converted = X.astype(dtype, copy=False) if sparse else _in_c_order(X, dtype)
    if X.dtype.kind not in "biu":
        check_finite(converted, first_row=first_row)
    if warns:
        warn_of_distances(converted, metric)
    return converted


def _in_c_order(X: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array in C order and of a type, copied only if it must be."""
    if X.dtype == dtype and X.flags.c_contiguous and X.flags.aligned:
        return np.asarray(X)
    # A block at a time, for Ctrl-C.
    converted = np.empty(X.shape, dtype)
    step = max(1, _CONVERTED_BYTES // (converted.itemsize * X.shape[1]))
    for start in range(0, len(X), step):
        converted[start : start + step] = X[start : start + step]
    return converted


def _as_numbers(X: Any, first_row: int) -> Any:
    """Return X as an array or CSR matrix of numbers; what is missing is NaN.

    Raises
    ------
    ValueError, TypeError
        If X has another shape, or an entry is no number.
    """
    try:
        numbers = cast(Any, check_array)(
            X, accept_sparse=["csr"], dtype="numeric", ensure_all_finite=False, input_name="X"
        )
        if numbers.dtype.kind == "O":
            numbers = numbers.astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        _raise_for_entry(X, first_row)
        raise
    if numbers.dtype.kind in "mM":
        numbers = np.where(np.isnat(numbers), np.nan, numbers.astype(np.float64))
    return numbers


def _raise_for_entry(X: Any, first_row: int) -> None:
    """Raise an error that gives row and column of the first entry that is no number, if there is one."""
    try:
        entries = np.asarray(X, dtype=object)
    except (TypeError, ValueError):
        return
    if entries.ndim != 2:
        return
    for (row, column), value in np.ndenumerate(entries):
        if is_missing(value):
            raise_not_finite(value, first_row + row, column)
        if isinstance(value, (complex, np.complexfloating)):
            return
        if is_vector(value):
            name = repr(list(X.columns)[column]) if hasattr(X, "columns") else f":, {column}"
            raise TypeError(
                f"X has a vector as an entry, in row {first_row + row}, column {column}, next to other columns. Pass "
                f"the vectors alone: numpy.stack(X[{name}])."
            )
        try:
            float(value)
        except (TypeError, ValueError, OverflowError) as error:
            kind = ValueError if isinstance(error, OverflowError) else type(error)
            raise kind(
                f"X has an entry that is no number of float64: row {first_row + row}, column {column} is "
                f"{repr(value)[:60]} ({error}). Convert or drop it."
            ) from error


def _check_structure(X: Any) -> None:
    """Raise a ValueError if a CSR or CSC matrix points outside of what it holds, which kernels would follow."""
    n_lines, n_places = X.shape if X.format == "csr" else X.shape[::-1]
    indptr, indices = X.indptr, X.indices
    if len(indptr) != n_lines + 1 or indptr[0] != 0 or (np.diff(indptr) < 0).any():
        raise ValueError(f"X.indptr must be {n_lines + 1} numbers that begin with 0 and do not decrease; X is damaged.")
    if len(indices) != len(X.data) or indptr[-1] > len(indices):
        raise ValueError(
            f"X stores {len(X.data)} values and {len(indices)} indices, and X.indptr ends with {indptr[-1]}; "
            "X is damaged."
        )
    stored = indices[: indptr[-1]]
    if len(stored) and not 0 <= stored.min() <= stored.max() < n_places:
        raise ValueError(
            f"X.indices runs from {stored.min()} to {stored.max()} and must lie in 0 to {n_places - 1}; X is damaged."
        )


def _check_room(X: NDArray[Any]) -> None:
    """Raise a MemoryError, before anything is read, if X must be copied and the copy does not fit."""
    wanted = result_dtype(X.dtype)
    if X.dtype == wanted and X.flags.c_contiguous:
        return
    order = "in C order" if X.flags.c_contiguous else f"in C order (it has strides {X.strides})"
    require(
        float(X.shape[0]) * X.shape[1] * wanted.itemsize,
        f"A copy of X ({X.dtype}, shape {X.shape}) as {wanted} {order}",
        "Give it as a float32 or float64 array in C order, which is read in place, in memory or from a file.",
    )


def check_finite(X: Any, *, first_row: int = 0) -> None:
    """Raise a ValueError that gives row and column if X (an array or a CSR matrix) has a NaN or an infinity."""
    sparse = is_sparse(X)
    # In the order of memory: a mapped file in Fortran order would be read page by page for every block of rows.
    flipped = not sparse and X.flags.f_contiguous and not X.flags.c_contiguous
    values = X.data if sparse else X.T if flipped else X
    if values.dtype.kind not in "fc":
        return
    step = max(1, _FINITE_CHUNK_BYTES // max(values.itemsize * (values.shape[1] if values.ndim == 2 else 1), 1))
    damaged: list[int] = []

    def look(rows: slice) -> None:
        if not _is_finite(values[rows]):
            damaged.append(rows.start)

    run_over_rows(look, len(values), n_jobs=count_threads_of_call(), step=step)
    if not damaged:
        return
    start = min(damaged)
    first, *second = (int(axis[0]) for axis in np.nonzero(~np.isfinite(values[start : start + step])))
    place = (start + first, *second)
    if sparse:
        row, column = int(np.searchsorted(X.indptr, place[0], side="right")) - 1, int(X.indices[place[0]])
    else:
        row, column = reversed(place) if flipped else place
    raise_not_finite(values[place], first_row + row, column)


def _is_finite(chunk: NDArray[Any]) -> bool:
    # NaN and infinity survive a sum (overflow makes one too, so a bad sum only means: look).
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(chunk.sum(dtype=chunk.dtype))) or bool(np.isfinite(chunk).all())


def take_samples(X: Any, rows: NDArray[np.intp], metric: Metric) -> Any:
    """Copy some samples of checked data; of distances, those between the samples."""
    if not is_sparse(X):
        require(
            float(len(rows)) * (len(rows) if metric == "precomputed" else X.shape[1]) * X.itemsize,
            f"A copy of the {len(rows):,} samples that are scored",
            "Leave out less, or draw fewer (sample_size).",
        )
    if metric != "precomputed":
        return X[rows]
    # At once where NumPy can, so that only the kept rows are copied.
    return X[np.ix_(rows, rows)] if isinstance(X, np.ndarray) else X[rows][:, rows]

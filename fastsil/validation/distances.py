"""Checks of given distances, row by row, by scikit-learn's rules."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.validation.arrays import is_missing, is_sparse


def check_distances_between(X: Any, rows: NDArray[np.intp], drawn: Any) -> None:
    """Raise a ValueError, with the row and column of X, if the distances between some samples are no distances.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_samples)
        Distances.
    rows : ndarray of shape (n_rows,)
        The samples, sorted.
    drawn : ndarray or CSR matrix of shape (n_rows, n_rows)
        The distances between them.
    """
    values = drawn.data if is_sparse(drawn) else drawn
    sizes = np.abs(drawn.diagonal().astype(np.float64))
    if values.size == 0 or (
        np.isfinite(values).all() and values.min() >= -_rounding(values) and sizes.max() <= diagonal_tolerance(X.dtype)
    ):
        return
    for row in rows:
        check_distance_row(X, int(row), of=rows)


def check_distance_row(X: Any, row: int, *, of: NDArray[np.intp] | None = None) -> None:
    """Raise a ValueError if a row of distances (an array or a CSR matrix) breaks scikit-learn's rules.

    Distances are finite and not negative. On the diagonal they are 0, up to 100 eps for floating-point types.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_samples)
        Distances.
    row : int
        The row.
    of : ndarray, optional
        Columns that are looked at, sorted; all by default.
    """
    if is_sparse(X):
        entries = slice(X.indptr[row], X.indptr[row + 1])
        values, columns = X.data[entries], X.indices[entries]
        diagonal = values[columns == row].sum(dtype=np.float64)
    else:
        values, columns, diagonal = X[row], np.arange(X.shape[1]), X[row, row]
    if of is not None:
        among = np.isin(columns, of)
        values, columns = values[among], columns[among]
    for place in np.flatnonzero(~np.isfinite(values))[:1]:
        raise_not_finite(values[place], row, columns[place])
    if abs(float(diagonal)) > diagonal_tolerance(X.dtype):
        others = values[columns != row]
        remedy = (
            "It is the largest of its row, as in similarities; pass distances, such as 1 - X."
            if len(others) and diagonal > others.max()
            else "Use np.fill_diagonal(X, 0)."
        )
        raise ValueError(
            "The precomputed distance matrix contains non-zero elements on the diagonal "
            f"(row {row}: {diagonal}). {remedy}"
        )
    for place in np.flatnonzero(values < -_rounding(values))[:1]:
        raise ValueError(
            f"Negative values in X: row {row}, column {columns[place]} is {values[place]}. metric='precomputed' takes "
            "distances, which are 0 or more. If this is rounding, pass numpy.maximum(X, 0); similarities have to be "
            "turned into distances."
        )


def _rounding(values: NDArray[Any]) -> float:
    """Return the size of a negative distance that may be rounding, as in ``1 - U @ U.T``, which is read as 0."""
    return diagonal_tolerance(values.dtype) * max(1.0, float(np.abs(values).max())) if values.size else 0.0


def diagonal_tolerance(dtype: np.dtype[Any]) -> float:
    """Return the largest absolute value on the diagonal of distances that counts as 0, which is scikit-learn's."""
    return 100 * float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0


def raise_not_finite(value: Any, row: int, column: int) -> None:
    kind = "NaN" if is_missing(value) else "infinity"
    raise ValueError(
        f"Input X contains {kind}: row {row}, column {column} is {value}. "
        "Drop or impute such rows first (sklearn.impute.SimpleImputer fills gaps)."
    )

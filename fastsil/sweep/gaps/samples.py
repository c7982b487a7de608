"""Rows for the test of gaps: a subsample, without the steps of a grid, in folds that keep copies together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

N_FOLDS = 5
MAX_ROWS = 20_000
# Values held at most (320 MB in float64), and rows taken whatever the number of features.
_MAX_VALUES = 40_000_000
_MIN_ROWS = 3_000
MAX_TRAINING_ROWS = 2_000
_SAFE = (1e-100, 1e100)


def draw_rows(shape: tuple[int, int], random: np.random.Generator, most: int = MAX_ROWS) -> NDArray[np.intp]:
    """Draw the rows to test, in rising order; fewer of many features."""
    n_rows, n_features = shape
    most = min(most, max(_MIN_ROWS, _MAX_VALUES // max(n_features, 1)))
    return np.arange(n_rows) if n_rows <= most else np.sort(random.choice(n_rows, most, replace=False))


def dither(X: Any, random: np.random.Generator) -> tuple[Any, bool]:
    """Spread values of a grid over the cells of that grid; gaps between whole numbers are no gaps between groups.

    Returns
    -------
    X : ndarray or CSR matrix
        A copy where anything changed. Sparse data stay as they are.
    all_on_grid : bool
        Whether every feature lies on a grid, so that equal rows may well be different samples.
    """
    if issparse(X):
        return X, True
    X = _rescale(X)
    steps = np.array([_grid_step(column) for column in X.T])
    on_grid = np.flatnonzero(steps > 0)
    if len(on_grid):
        X = np.array(X, dtype=np.float64)
        X[:, on_grid] += random.uniform(-0.5, 0.5, size=(len(X), len(on_grid))) * steps[on_grid]
    varying = np.ptp(X, axis=0) > 0
    return X, bool(np.all(steps[varying] > 0))


def _rescale(X: NDArray[Any]) -> NDArray[Any]:
    """Divide by the largest size where squares would leave the range of numbers; gaps do not depend on scale."""
    largest = float(np.abs(X).max(initial=0.0))
    return X if largest == 0 or _SAFE[0] <= largest <= _SAFE[1] else X / np.float64(largest)


def _grid_step(column: NDArray[Any]) -> float:
    """Return the step of the grid that all values lie on; 0 if there is none, or if hardly a value occurs twice."""
    values = np.unique(column).astype(np.float64)
    whole = bool(np.array_equal(values, np.rint(values)))
    if len(values) < 2 or (len(values) > len(column) / 2 and not whole):
        return 0.0
    step = float(np.diff(values).min())
    multiples = (values - values[0]) / step
    return step if np.allclose(multiples, np.rint(multiples), atol=1e-3) else 0.0


def find_copies(X: Any, *, look: bool) -> NDArray[np.intp]:
    """Enumerate the distinct rows: copies get equal numbers. Without ``look`` every row is one of its own."""
    if not look:
        return np.arange(X.shape[0])
    rows = np.ascontiguousarray(X)
    as_bytes = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, first, codes = np.unique(as_bytes, return_index=True, return_inverse=True)
    # In the order of their first rows, so that the folds depend on nothing else.
    return np.asarray(np.argsort(np.argsort(first))[codes.ravel()])


def draw_folds(copies: NDArray[np.intp], random: np.random.Generator) -> NDArray[np.intp]:
    """Draw the fold of every row; copies of a row share one."""
    n_distinct = int(copies.max()) + 1
    return np.asarray((random.permutation(n_distinct) % N_FOLDS)[copies])


def draw_training_rows(fold_of: NDArray[np.intp], fold: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Draw the rows outside a fold that centers are computed from."""
    rows = np.flatnonzero(fold_of != fold)
    return rows if len(rows) <= MAX_TRAINING_ROWS else np.sort(random.choice(rows, MAX_TRAINING_ROWS, replace=False))

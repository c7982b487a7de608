"""Principal axes of training rows, and gaps along them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from scipy.sparse.linalg import eigsh

# Axes with less than this share of the variance of the first are rounding.
_TINY = 1e-12
# Matrices larger than this are not decomposed as a whole.
_FULL_DECOMPOSITION = 400

# Windows along an axis, in standard deviations; the sides are wider, and their counts are scaled.
_WIDTH = 0.5
_SIDE_WIDTH = 0.75
_MIDDLES = np.arange(-15, 16) / 10
_SIDES = np.array([0.65, 0.9, 1.15, 1.4])


def project(X: Any, training: NDArray[np.intp], n_components: int) -> NDArray[np.float64]:
    """Return the scores of all rows on the first principal axes of the training rows.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_features)
        Rows.
    training : ndarray of int
        Rows that the axes are computed from.
    n_components : int
        Axes at most; fewer if the training rows span fewer.
    """
    rows = X[training]
    mean = np.asarray(rows.mean(axis=0), dtype=np.float64).ravel()
    if issparse(X):
        axes = _axes_from_products(_centered_products(rows), rows, mean, n_components)
        products: Any = X
        return np.asarray(products @ axes - mean @ axes)
    centered = np.asarray(rows - mean, dtype=np.float64)
    if centered.shape[1] > len(centered):
        axes = _axes_from_products(centered @ centered.T, centered, np.zeros(len(mean)), n_components)
    else:
        axes = _leading(centered.T @ centered, n_components)[1]
    return np.asarray((X - mean) @ axes, dtype=np.float64)


def _centered_products(rows: Any) -> NDArray[np.float64]:
    products = np.asarray((rows @ rows.T).toarray(), dtype=np.float64)
    means = products.mean(axis=0)
    return np.asarray(products - means - means[:, None] + means.mean())


def _axes_from_products(
    products: NDArray[np.float64], rows: Any, mean: NDArray[np.float64], n_components: int
) -> NDArray[np.float64]:
    """Return principal axes from the inner products of centered rows; ``mean`` has not been subtracted yet."""
    values, left = _leading(products, n_components)
    axes = rows.T @ left - np.outer(mean, left.sum(axis=0))
    return np.asarray(axes / np.sqrt(values))


def _leading(matrix: NDArray[np.float64], n_components: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the largest eigenvalues, falling, and their vectors; those that are rounding are left out."""
    size = len(matrix)
    if size > _FULL_DECOMPOSITION and n_components < size // 4:
        start = np.random.default_rng(0).normal(size=size)
        values, vectors = eigsh(matrix, n_components, v0=start)
    else:
        values, vectors = np.linalg.eigh(matrix)
    values, vectors = values[::-1][:n_components], vectors[:, ::-1][:, :n_components]
    kept = values > max(float(values[0]), 0.0) * _TINY
    return values[kept], vectors[:, kept]


def count_along_axis(
    scores: NDArray[np.float64], training: NDArray[np.intp], held_out: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Count the held-out rows of a valley along an axis, chosen on the training rows.

    Returns
    -------
    ndarray of shape (n_held_out,)
        Positive for rows on the thinner side, scaled to the width of the valley; -1 for rows in the valley.
    """
    drawn = scores[training]
    places = (scores - drawn.mean()) / max(float(drawn.std()), np.finfo(np.float64).tiny)
    low, valley = _choose_valley(np.sort(places[training]))
    rows = places[held_out]
    beside = np.abs(rows - low) <= _SIDE_WIDTH / 2
    return np.asarray(_WIDTH / _SIDE_WIDTH * beside - (np.abs(rows - valley) <= _WIDTH / 2))


def _choose_valley(places: NDArray[np.float64]) -> tuple[float, float]:
    """Find the middles of the thinner side and of the deepest valley in sorted places."""

    def count(middles: NDArray[np.float64], width: float) -> NDArray[np.float64]:
        edges = np.searchsorted(places, np.stack([middles - width / 2, middles + width / 2]))
        return np.asarray((edges[1] - edges[0]) * (_WIDTH / width))

    valley = count(_MIDDLES, _WIDTH)[:, None, None]
    left = count(_MIDDLES[:, None] - _SIDES, _SIDE_WIDTH)[:, :, None]
    right = count(_MIDDLES[:, None] + _SIDES, _SIDE_WIDTH)[:, None, :]
    thinner = np.minimum(left, right)
    depth = (thinner - valley) / np.sqrt(thinner + valley + 1)
    at, to_left, to_right = np.unravel_index(int(depth.argmax()), depth.shape)
    middle = float(_MIDDLES[at])
    is_left = left[at, to_left, 0] <= right[at, 0, to_right]
    return middle - float(_SIDES[to_left]) if is_left else middle + float(_SIDES[to_right]), middle

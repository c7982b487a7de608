"""Distances of a tile keep their digits: near pairs, and roundings of one direction."""

import numpy as np
import pytest
from numba import config

from fastsil.engines.euclidean.tiles import bound_product_rounding
from fastsil.kernels import tiles
from fastsil.kernels.micro import SLAB
from fastsil.kernels.tiles import Samples, make_workspace

interpreted = pytest.mark.skipif(config.DISABLE_JIT, reason="NumPy's products are summed in another order")


def pairs_at(share, n_pairs, n_features, dtype, seed=0):
    """Rows x and y, with |x - y|² a given share of |x|² + |y|²."""
    rng = np.random.default_rng(seed)
    x, u = rng.normal(size=(2, n_pairs, n_features))
    # |y - x| = t |u|, with u orthogonal to x and of its length: t² = share (2 + t²).
    u -= (u * x).sum(axis=1, keepdims=True) / (x * x).sum(axis=1, keepdims=True) * x
    u *= np.linalg.norm(x, axis=1, keepdims=True) / np.linalg.norm(u, axis=1, keepdims=True)
    return x.astype(dtype), (x + np.sqrt(2 * share / (1 - share)) * u).astype(dtype)


def errors_of_distances(x, y, *, shared=False):
    """Relative errors of |x_i - y_i|, from tiles of all x and all y about 0."""
    n_pairs, n_features = x.shape
    X = np.concatenate([x, y])
    workspace = make_workspace(X.dtype.type, n_features)
    samples = Samples(X, np.arange(len(X)), np.zeros((1, n_features), X.dtype), X.dtype.type(1.0))
    rows, columns = np.arange(n_pairs), np.arange(n_pairs, 2 * n_pairs)
    tiles.multiply_tile(samples, rows, n_pairs, columns, 0, False, workspace)
    tiles.finish_tile(samples, rows, n_pairs, columns, tiles.APART, shared, workspace)
    exact = np.linalg.norm(x.astype(np.longdouble) - y, axis=1)
    return np.abs(np.diagonal(workspace.tile[:n_pairs, :n_pairs]) / exact - 1).astype(float)


@pytest.mark.parametrize(
    ("dtype", "shared", "shares", "limit"),
    [
        (np.float32, False, (0.005, 0.015, 0.025, 0.038), 4e-7),
        (np.float32, True, (0.045, 0.1, 0.24), 4e-7),
        (np.float64, False, (1e-6, 1e-5, 1e-4, 9e-4), 8e-16),
        (np.float64, True, (1e-6, 1e-5, 1e-4, 9e-4), 8e-16),
    ],
    ids=["float32", "float32 shared", "float64", "float64 shared"],
)
def test_near_pairs_are_computed_by_differences(dtype, shared, shares, limit):
    """Up to the share that is near; from products they would be off by several times as much."""
    for share in shares:
        assert errors_of_distances(*pairs_at(share, 90, 40, dtype), shared=shared).max() < limit, share


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pairs_that_are_not_near_keep_their_digits(dtype):
    """Just above the share, products are off by what is promised and no more."""
    share = (tiles.NEAR_SINGLE if dtype == np.float32 else tiles.NEAR_DOUBLE) * 1.02
    assert errors_of_distances(*pairs_at(share, 90, 40, dtype)).max() < (8e-6 if dtype == np.float32 else 1e-12)


def error_of_product(x):
    """Relative error of x·x, from a tile about 0."""
    X = np.stack([x, x])
    workspace = make_workspace(X.dtype.type, len(x))
    samples = Samples(X, np.arange(2), np.zeros((1, len(x)), X.dtype), X.dtype.type(1.0))
    tiles.multiply_tile(samples, np.arange(1), 1, np.arange(1, 2), 0, False, workspace)
    return abs(float(workspace.tile[0, 0] / (x.astype(np.longdouble) ** 2).sum() - 1))


def turned_back(values, dtype):
    """Samples that a tile turns into these values."""
    half = len(values) // 2
    cosines, sines = make_workspace(dtype, len(values)).turns[:, :half].astype(float)
    near, far = values[:half], values[half:]
    return np.concatenate([cosines * near - sines * far, cosines * far + sines * near]).astype(dtype)


@interpreted
def test_roundings_of_one_direction_add_up_over_no_more_than_a_chunk():
    """Equal products a little above 1: each is rounded down by the same when it is added to a sum above 128."""
    values = np.sqrt(1 + 2.0 ** -np.arange(14, 20))
    largest = max(error_of_product(turned_back(np.full(SLAB, value), np.float32)) for value in values)
    assert 1e-6 < largest < 6e-6 < bound_product_rounding(np.dtype(np.float32), SLAB)


@interpreted
def test_the_bound_of_products_holds_where_all_roundings_are_of_one_direction():
    """Features too few to be turned, all equal."""
    values = np.sqrt(1 + 2.0 ** -np.arange(14, 24))
    largest = max(error_of_product(np.full(63, value, np.float32)) for value in values)
    assert 5 * np.finfo(np.float32).eps < largest < bound_product_rounding(np.dtype(np.float32), 63)


@interpreted
def test_equal_features_are_turned():
    """Summed in equal steps they would be off by several times as much."""
    values = np.sqrt(1 + 2.0 ** -np.arange(14, 24))
    assert max(error_of_product(np.full(256, value, np.float32)) for value in values) < 8e-7

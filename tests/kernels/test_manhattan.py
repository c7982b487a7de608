"""Sums of absolute differences from sorted values equal the naive sums."""

import numpy as np
import pytest
from numba import config
from scipy.sparse import csr_array

import reference
from fastsil.kernels import manhattan as kernels

GO = np.zeros(1, dtype=np.uint8)
interpreted = pytest.mark.skipif(config.DISABLE_JIT, reason="long walks are slow without compilation")


def sorted_features(X):
    """(values, order) as the kernel wants them: each feature's values sorted, and whose they are."""
    order = np.argsort(X.T, axis=1, kind="stable").astype(np.int32)
    return np.take_along_axis(X.T, order, axis=1), order


def clumps(n_samples, n_features, seed=0):
    """Clumps of radius 1e-3 up to 1e3 apart, far from 0, with ties."""
    rng = np.random.default_rng(seed)
    X = 1e4 + rng.choice([0.0, 1.0, 1e3], size=(n_samples, 1)) + 1e-3 * rng.normal(size=(n_samples, n_features))
    X[::4] = X[0]
    return X


@pytest.mark.parametrize("n_samples", [2, 9, 60, pytest.param(2100, marks=interpreted)])
@pytest.mark.parametrize("n_features", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_add_differences_sorted(n_samples, n_features, weighted):
    X = clumps(n_samples, n_features)
    groups = np.random.default_rng(1).integers(5, size=n_samples).astype(np.int32)
    weights = np.random.default_rng(2).integers(0, 4, size=n_samples) * 0.5 if weighted else None
    sums = np.ones((n_samples, 5))
    kernels.add_differences_sorted(*sorted_features(X), groups, weights, 0, sums, GO)
    expected = reference.add_differences_sorted(X, groups, 0, 5, 1 if weights is None else weights).astype(float)
    np.testing.assert_allclose(sums - 1, expected, rtol=1e-11, atol=1e-12)


def test_a_range_of_groups_sees_its_members_only():
    X = clumps(40, 2)
    groups = np.random.default_rng(2).integers(6, size=40).astype(np.int32)
    sums = np.zeros((40, 3))
    kernels.add_differences_sorted(*sorted_features(X), groups, None, 2, sums, GO)
    np.testing.assert_allclose(sums, reference.add_differences_sorted(X, groups, 2, 3).astype(float), rtol=1e-12)


def test_a_cluster_of_one_repeated_point_is_exactly_zero_from_itself():
    X = np.full((12, 3), 0.1) * [1, 1e8, -3]
    sums = np.zeros((12, 1))
    kernels.add_differences_sorted(*sorted_features(X), np.zeros(12, np.int32), None, 0, sums, GO)
    assert not sums.any()


def test_a_stop_leaves_early():
    sums = np.zeros((9, 1))
    stop = np.ones(1, dtype=np.uint8)
    kernels.add_differences_sorted(*sorted_features(clumps(9, 2)), np.zeros(9, np.int32), None, 0, sums, stop)
    assert not sums.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_gather_column_sparse(dtype, index_dtype):
    rng = np.random.default_rng(3)
    dense = np.where(rng.random(size=(20, 6)) < 0.3, rng.normal(size=(20, 6)), 0).astype(dtype)
    dense[:, 2] = 0
    dense[7] = 0
    sparse = csr_array(dense)
    for feature in range(6):
        column = np.full(20, np.nan)
        kernels.gather_column_sparse(
            sparse.data, sparse.indices.astype(index_dtype), sparse.indptr.astype(index_dtype), feature, column
        )
        np.testing.assert_array_equal(column, reference.gather_column_sparse(dense, feature))

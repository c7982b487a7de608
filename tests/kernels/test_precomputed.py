"""Sums of given distances equal the naive sums, in any type and layout, and in the same bits."""

import numpy as np
import pytest
from numba import config
from scipy.sparse import csr_array

import reference
from assertions import assert_same_bits
from fastsil.kernels import precomputed as kernels

GO = np.zeros(1, dtype=np.uint8)
# Each type is compiled for; without compilation they would all be the same code.
TYPES = [np.float32, np.float64, np.int8, np.uint8, np.int32, np.int64, np.uint64]
dtypes = pytest.mark.parametrize("dtype", TYPES if not config.DISABLE_JIT else [np.float32])


def distances(dtype, n_rows, n_samples, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.random(size=(n_rows, n_samples)).astype(dtype)
    return rng.integers(np.iinfo(dtype).max, size=(n_rows, n_samples), dtype=dtype)


def grouped(n_samples, n_groups, seed=1):
    """(groups, members, offsets)"""
    groups = np.random.default_rng(seed).permutation(np.arange(n_samples) % n_groups).astype(np.int32)
    return groups, np.argsort(groups, kind="stable"), np.r_[0, np.cumsum(np.bincount(groups))]


# For 61 columns.
WEIGHTS = np.random.default_rng(7).integers(0, 10, size=61) / 3
weightings = pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])


def sum_rows(D, groups, n_groups, weights=None):
    sums, lowest = np.full((n_groups, len(D)), np.nan), np.zeros(kernels.ROWS)
    kernels.sum_rows(D, groups, weights, sums, lowest, GO)
    return sums, lowest.min()


@dtypes
@pytest.mark.parametrize("n_rows", [1, 8, 19])
@pytest.mark.parametrize("n_samples", [5, 16, 61])
@weightings
def test_sum_rows(dtype, n_rows, n_samples, weights):
    D = distances(dtype, n_rows, n_samples)
    groups, *_ = grouped(n_samples, 4)
    weights = None if weights is None else weights[:n_samples]
    sums, lowest = sum_rows(D, groups, 4, weights)
    expected, _ = reference.sum_rows(D, groups, 4, weights)
    np.testing.assert_allclose(sums, expected.astype(float), rtol=1e-14)
    assert lowest == 0


@dtypes
@pytest.mark.parametrize("rows", [slice(0, 61), slice(7, 30)])
@weightings
def test_sum_columns_in_the_bits_of_sum_rows(dtype, rows, weights):
    D = distances(dtype, 61, 61)
    groups, members, offsets = grouped(61, 4)
    sums, lowest = np.full((2, rows.stop - rows.start), np.nan), np.zeros(rows.stop - rows.start, dtype)
    of_some = kernels.Members(members, offsets[1:], weights)
    kernels.sum_columns(np.ascontiguousarray(D.T), rows.start, of_some, sums, lowest, GO)
    expected, _ = reference.sum_columns(D[rows], groups, 4, weights)
    np.testing.assert_allclose(sums, expected[1:3].astype(float), rtol=1e-14)
    assert_same_bits(sums, sum_rows(D[rows], groups, 4, weights)[0][1:3])
    assert not lowest.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [slice(0, 61), slice(7, 30)])
@weightings
def test_sum_columns_many_in_the_bits_of_sum_rows(dtype, rows, weights):
    D = distances(dtype, 61, 61)
    groupings = [grouped(61, 4, seed)[0] for seed in (1, 2, 3)]
    slots = np.stack([groups + 4 * place for place, groups in enumerate(groupings)], axis=1)
    sums, lowest = np.full((12, rows.stop - rows.start), np.nan), np.zeros(rows.stop - rows.start, dtype)
    kernels.sum_columns_many(np.ascontiguousarray(D.T), rows.start, slots, weights, sums, lowest, GO)
    expected, _ = reference.sum_columns_many(D[rows], groupings, 4, weights)
    np.testing.assert_allclose(sums, expected.astype(float), rtol=1e-14)
    assert_same_bits(sums, np.concatenate([sum_rows(D[rows], groups, 4, weights)[0] for groups in groupings]))
    assert not lowest.any()


@dtypes
@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
@weightings
def test_sum_rows_sparse_in_the_bits_of_sum_rows(dtype, index_dtype, weights):
    D = distances(dtype, 30, 30) * (np.random.default_rng(2).random(size=(30, 30)) < 0.4).astype(dtype)
    stored = csr_array(D)
    groups, *_ = grouped(30, 5)
    weights = None if weights is None else weights[:30]
    sums, lowest = np.full((5, 11), np.nan), np.zeros(1)
    parts = stored.data, stored.indices.astype(index_dtype), stored.indptr.astype(index_dtype)
    kernels.sum_rows_sparse(parts, 12, groups, weights, sums, lowest, GO)
    expected, _ = reference.sum_rows_sparse(D[12:23], groups, 5, weights)
    np.testing.assert_allclose(sums, expected.astype(float), rtol=1e-14)
    assert_same_bits(sums, sum_rows(D[12:23], groups, 5, weights)[0])
    assert lowest == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
@pytest.mark.parametrize("place", [(0, 0), (3, 20), (8, 15), (17, 2), (18, 20)])
def test_a_negative_distance_is_seen_by_every_kernel(dtype, place):
    D = np.ones((21, 21), dtype)
    D[place] = -3
    groups, members, offsets = grouped(21, 3)
    assert sum_rows(D, groups, 3)[1] == reference.sum_rows(D, groups, 3)[1]
    sums, lowest = np.empty((3, 21)), np.zeros(21, dtype)
    kernels.sum_columns(np.ascontiguousarray(D.T), 0, kernels.Members(members, offsets, None), sums, lowest, GO)
    np.testing.assert_array_equal(lowest, np.where(np.arange(21) == place[0], -3, 0))
    lowest[:] = 0
    kernels.sum_columns_many(np.ascontiguousarray(D.T), 0, groups[:, None].astype(np.int64), None, sums, lowest, GO)
    np.testing.assert_array_equal(lowest, np.where(np.arange(21) == place[0], -3, 0))
    stored, lowest = csr_array(D), np.zeros(1)
    kernels.sum_rows_sparse((stored.data, stored.indices, stored.indptr), 0, groups, None, sums, lowest, GO)
    assert lowest == -3


def test_minus_zero_is_not_negative():
    assert sum_rows(np.full((9, 17), -0.0), grouped(17, 2)[0], 2)[1] == 0


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", [(0, 0), (3, 20), (8, 15)])
def test_what_is_not_finite_reaches_a_sum(value, place):
    D = np.ones((9, 21))
    D[place] = value
    assert not np.isfinite(sum_rows(D, grouped(21, 3)[0], 3)[0].sum())


def test_a_stop_leaves_early():
    stop = np.ones(1, dtype=np.uint8)
    groups, members, offsets = grouped(16, 2)
    D = np.ones((16, 16))
    sums = np.zeros((2, 16))
    kernels.sum_rows(D, groups, None, sums, np.zeros(kernels.ROWS), stop)
    kernels.sum_columns(D, 0, kernels.Members(members, offsets, None), sums, np.zeros(16), stop)
    kernels.sum_columns_many(D, 0, groups[:, None].astype(np.int64), None, sums, np.zeros(16), stop)
    stored = csr_array(D)
    kernels.sum_rows_sparse((stored.data, stored.indices, stored.indptr), 0, groups, None, sums, np.zeros(1), stop)
    assert not sums.any()

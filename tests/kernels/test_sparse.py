"""Sums of distances between sparse rows equal the naive sums."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import reference
from fastsil.kernels import sparse as kernels

STOP = np.zeros(1, dtype=np.uint8)


def as_kernels_take_it(X, codes, sample_weight=None):
    stored = csr_array(X)
    return kernels.SparseRows(
        stored.data,
        stored.indices.astype(np.int32),
        stored.indptr.astype(np.int64),
        (X**2).sum(axis=1),
        codes,
        sample_weight,
    )


def data(n_samples, n_features, density, seed=0):
    """A row of zeros, two equal rows, two that nearly are, and a feature that all have."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features)) * (rng.random(size=(n_samples, n_features)) < density)
    X[:, n_features // 2] = 1
    X[3], X[5] = X[4], 0
    X[7] = X[6]
    X[7, :2] += 1e-9
    return X, np.sort(np.arange(n_samples) % 5).astype(np.int32)


@pytest.mark.parametrize("density", [0.02, 0.3, 1.0])
@pytest.mark.parametrize("ranges", [((0, 40), (0, 40)), ((3, 10), (10, 33)), ((0, 1), (39, 40))])
@pytest.mark.parametrize(("first", "n_range", "weighted"), [(0, 5, False), (1, 2, False), (0, 5, True)])
def test_add_distances_sparse(density, ranges, first, n_range, weighted):
    X, codes = data(40, 25, density)
    sums, slots = np.ones((n_range, 40)), np.full(25, -1, dtype=np.int32)
    counts = np.random.default_rng(2).integers(0, 4, size=40) * 0.5 if weighted else None
    given = as_kernels_take_it(X, codes, counts)
    kernels.add_distances_sparse(given, (*ranges[0], *ranges[1]), first, slots, sums, STOP)
    expected = reference.add_distances_sparse(X, codes, *ranges, first, n_range, counts)
    np.testing.assert_allclose(sums - 1, expected.astype(float), rtol=1e-12, atol=1e-12)
    assert (slots == -1).all()


def test_strips_join():
    """More columns than a strip, cut inside a cluster; features that many have and features that few have."""
    n = kernels.STRIP + 200
    X, codes = data(n, 60, 0.03)
    codes = np.sort(codes)
    sums, slots = np.zeros((5, n)), np.full(60, -1, dtype=np.int32)
    kernels.add_distances_sparse(as_kernels_take_it(X, codes), (0, 6, 6, n), 0, slots, sums, STOP)
    expected = reference.add_distances_sparse(X, codes, (0, 6), (6, n), 0, 5)
    np.testing.assert_allclose(sums, expected.astype(float), rtol=1e-12, atol=1e-12)


def test_a_stop_leaves_early():
    X, codes = data(40, 25, 0.3)
    sums, slots = np.zeros((5, 40)), np.full(25, -1, dtype=np.int32)
    stop = np.ones(1, dtype=np.uint8)
    kernels.add_distances_sparse(as_kernels_take_it(X, codes), (0, 40, 0, 40), 0, slots, sums, stop)
    assert not sums.any()

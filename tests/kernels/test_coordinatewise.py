"""Sums of distances that run over features equal the naive sums."""

import numpy as np
import pytest

import reference
from fastsil.kernels import coordinatewise as kernels

METRICS = {
    "chebyshev": kernels.CHEBYSHEV,
    "hamming": kernels.HAMMING,
    "braycurtis": kernels.BRAYCURTIS,
    "canberra": kernels.CANBERRA,
    "canberra of extremes": kernels.CANBERRA_EXTREME,
}


def samples(dtype, n_features):
    """Small whole numbers, so that features are equal and 0 at times; no row is empty."""
    X = np.random.default_rng(n_features).integers(-2, 3, size=(40, n_features)).astype(dtype)
    X[:, 0] += 5
    return X


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_features", [1, 4, 7])
@pytest.mark.parametrize("ranges", [((0, 40), (0, 40)), ((3, 10), (10, 33)), ((0, 1), (39, 40))])
@pytest.mark.parametrize(("first", "n_range"), [(0, 5), (1, 2)])
def test_add_distances(metric, dtype, n_features, ranges, first, n_range):
    X, codes = samples(dtype, n_features), np.sort(np.arange(40) % 5).astype(np.int32)
    order = np.random.default_rng(1).permutation(40)
    sums, stop = np.ones((n_range, 40)), np.zeros(1, dtype=np.uint8)
    stored = np.empty_like(X)
    stored[order] = X
    kernels.add_distances(METRICS[metric], stored, order, codes, (*ranges[0], *ranges[1]), first, sums, stop)
    expected = reference.add_distances(metric.split()[0], X, codes, *ranges, first, n_range)
    np.testing.assert_allclose(sums - 1, expected.astype(float), rtol=1e-12, atol=1e-12)


def test_strips_join():
    """More columns than a strip, cut inside a cluster."""
    n = 2 * kernels.STRIP + 5
    X, codes = np.random.default_rng(2).normal(size=(n, 3)), np.repeat([0, 1], [150, n - 150]).astype(np.int32)
    sums = np.zeros((2, n))
    kernels.add_distances(kernels.CHEBYSHEV, X, np.arange(n), codes, (0, 4, 4, n), 0, sums, np.zeros(1, dtype=np.uint8))
    expected = reference.add_distances("chebyshev", X, codes, (0, 4), (4, n), 0, 2)
    np.testing.assert_allclose(sums, expected.astype(float), rtol=1e-12)


def test_a_stop_leaves_early():
    sums = np.zeros((1, 9))
    codes = np.zeros(9, dtype=np.int32)
    stop = np.ones(1, dtype=np.uint8)
    kernels.add_distances(kernels.CHEBYSHEV, samples(float, 3)[:9], np.arange(9), codes, (0, 9, 0, 9), 0, sums, stop)
    assert not sums.any()

"""Sums of distances that run over features equal the naive sums."""

import numpy as np
import pytest

import reference
from fastsil.kernels import coordinatewise as kernels

WEIGHTS = np.array([0.5, 0.0, 2.0, 1.0, 3.0, 0.25, 1.5])
METRICS = {
    "chebyshev": (kernels.CHEBYSHEV, {}),
    "hamming": (kernels.HAMMING, {}),
    "hamming of bytes": (kernels.HAMMING_BYTES, {}),
    "hamming with weights": (kernels.HAMMING_WEIGHTED, {"w": WEIGHTS}),
    "braycurtis": (kernels.BRAYCURTIS, {}),
    "braycurtis of positive numbers": (kernels.BRAYCURTIS_POSITIVE, {}),
    "braycurtis with weights": (kernels.BRAYCURTIS_WEIGHTED, {"w": WEIGHTS}),
    "canberra": (kernels.CANBERRA, {}),
    "canberra of extremes": (kernels.CANBERRA_EXTREME, {}),
    "canberra with weights": (kernels.CANBERRA_WEIGHTED, {"w": WEIGHTS}),
    "minkowski, whole": (kernels.minkowski(3), {"p": 3}),
    "minkowski, half": (kernels.minkowski(1.5), {"p": 1.5}),
    "minkowski, any": (kernels.minkowski(2.7), {"p": 2.7}),
}
STOP = np.zeros(1, dtype=np.uint8)


def samples(metric, n_features):
    """Small whole numbers, so that features are equal and 0 at times; no row is empty."""
    X = np.random.default_rng(n_features).integers(-2, 3, size=(40, n_features))
    X[:, 0] += 5
    if metric.endswith(("bytes", "positive numbers")):
        X += 2
    return X.astype(np.uint8 if metric.endswith("bytes") else np.float32 if metric == "chebyshev" else np.float64)


def as_kernels_take_it(X, order, codes, w=None, sample_weight=None):
    weights = np.zeros(-(-X.shape[1] // kernels.UNROLL) * kernels.UNROLL, X.dtype if X.dtype == np.uint8 else float)
    weights[: X.shape[1]] = 1 if w is None else w
    stored = np.empty_like(X)
    stored[order] = X
    return kernels.Samples(stored, order, codes, stored.sum(axis=1, dtype=np.float64), weights, sample_weight)


numbers_of_features = pytest.mark.parametrize("n_features", [1, 4, 7])
ranges_of_samples = pytest.mark.parametrize("ranges", [((0, 40), (0, 40)), ((3, 10), (10, 33)), ((0, 1), (39, 40))])


@pytest.mark.parametrize("metric", METRICS)
@numbers_of_features
@ranges_of_samples
@pytest.mark.parametrize(("first", "n_range"), [(0, 5), (1, 2)])
def test_add_distances(metric, n_features, ranges, first, n_range):
    check_sums(metric, n_features, ranges, first, n_range)


@pytest.mark.parametrize("metric", ["chebyshev", "hamming of bytes", "canberra with weights", "minkowski, any"])
@numbers_of_features
@ranges_of_samples
def test_add_distances_to_weighted_samples(metric, n_features, ranges):
    """One of each type: the loop over features sees no weights of samples."""
    check_sums(metric, n_features, ranges, 0, 5, weighted=True)


def check_sums(metric, n_features, ranges, first, n_range, *, weighted=False):
    loop, params = METRICS[metric]
    params = {name: value[:n_features] if name == "w" else value for name, value in params.items()}
    X, codes = samples(metric, n_features), np.sort(np.arange(40) % 5).astype(np.int32)
    counts = np.random.default_rng(2).integers(0, 4, size=40) * 0.5 if weighted else None
    given = as_kernels_take_it(X, np.random.default_rng(1).permutation(40), codes, params.get("w"), counts)
    sums = np.ones((n_range, 40))
    kernels.add_distances(loop, given, (*ranges[0], *ranges[1]), first, sums, STOP)
    name = metric.split()[0].strip(",")
    expected = reference.add_distances(name, X, codes, *ranges, first, n_range, sample_weight=counts, **params)
    np.testing.assert_allclose(sums - 1, expected.astype(float), rtol=1e-12, atol=1e-12)


def test_strips_join():
    """More columns than a strip, cut inside a cluster."""
    n = 2 * kernels.STRIP + 5
    X = np.random.default_rng(2).normal(size=(n, 3)).astype(np.float32)
    codes = np.repeat([0, 1], [150, n - 150]).astype(np.int32)
    sums = np.zeros((2, n))
    kernels.add_distances(kernels.CHEBYSHEV, as_kernels_take_it(X, np.arange(n), codes), (0, 4, 4, n), 0, sums, STOP)
    expected = reference.add_distances("chebyshev", X, codes, (0, 4), (4, n), 0, 2)
    np.testing.assert_allclose(sums, expected.astype(float), rtol=1e-12)


def test_more_features_than_a_byte_counts():
    X = np.zeros((4, 600), dtype=np.uint8)
    X[1:, :599], X[2, :300] = 255, 7
    codes = np.zeros(4, dtype=np.int32)
    sums = np.zeros((1, 4))
    kernels.add_distances(
        kernels.HAMMING_BYTES, as_kernels_take_it(X, np.arange(4), codes), (0, 4, 0, 4), 0, sums, STOP
    )
    np.testing.assert_array_equal(sums[0], [3 * 599, 599 + 300, 599 + 2 * 300, 599 + 300])


def test_a_stop_leaves_early():
    sums = np.zeros((1, 9))
    codes = np.zeros(9, dtype=np.int32)
    given = as_kernels_take_it(samples("chebyshev", 3)[:9], np.arange(9), codes)
    kernels.add_distances(kernels.CHEBYSHEV, given, (0, 9, 0, 9), 0, sums, np.ones(1, dtype=np.uint8))
    assert not sums.any()


@pytest.mark.parametrize("p", [0.01, 1 / 3, 2.7, 20, 1000])
def test_powers_are_within_their_bound(p):
    """Between the smallest and the largest power that is a normal number, and where logarithms nearly vanish."""
    rng = np.random.default_rng(0)
    exponents = np.concatenate([rng.uniform(-1, 1, 300), rng.uniform(-0.5, 0.5, 100) / 1000])
    x = np.append(2.0 ** (exponents * min(1000, 1000 / p)), [1, np.nextafter(1, 0), np.nextafter(1, 2), 0.5**0.5])
    powers = np.array([kernels._power(value, float(p)) for value in x])
    exact = x.astype(np.longdouble) ** np.longdouble(float(p))
    bound = np.abs(p * np.log2(x)) * 5e-16 + 1e-15
    assert (np.abs(powers / exact - 1) <= bound).all()


def test_powers_end_in_zero_and_infinity():
    assert kernels._power(0.0, 0.5) == kernels._power(0.0, 7.0) == kernels._power(1e-300, 3.0) == 0.0
    assert kernels._power(1e300, 3.0) == np.inf
    assert kernels._power(1.0, 123.4) == 1.0

"""What is particular to distances that run over features."""

import numpy as np
import pytest
import sklearn.metrics

import fastsil
from assertions import assert_same_bits
from fastsil.engines import all_pairs as allpairs

METRICS = ["chebyshev", "hamming", "canberra", "braycurtis"]


def groups(n_samples=900, n_features=6, n_clusters=7):
    rng = np.random.default_rng(0)
    labels = rng.integers(n_clusters, size=n_samples)
    return np.round(rng.normal(size=(n_samples, n_features)) + labels[:, None]) + 20, labels


@pytest.mark.parametrize("metric", METRICS)
def test_ranges_of_clusters_give_the_same(metric, monkeypatch):
    X, labels = groups()
    whole = fastsil.silhouette_profile(X, labels, metric=metric)
    monkeypatch.setattr(allpairs, "_BYTES", 0)
    ranged = fastsil.silhouette_profile(X, labels, metric=metric, n_jobs=2)
    assert ranged.work.pairs > whole.work.pairs
    assert_same_bits(ranged.silhouettes, whole.silhouettes)


@pytest.mark.parametrize(
    ("metric", "params"),
    [*((metric, {}) for metric in METRICS), *(("minkowski", {"p": p}) for p in (0.5, 2.7, 7, 60))],
    ids=str,
)
@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e150])
def test_extreme_sizes(metric, params, scale):
    X, labels = groups(n_samples=300)
    expected = fastsil.silhouette_samples(X, labels, metric=metric, **params)
    np.testing.assert_allclose(
        expected, sklearn.metrics.silhouette_samples(X, labels, metric=metric, **params), atol=1e-10
    )
    profile = fastsil.silhouette_profile(scale * X, labels, metric=metric, **params)
    np.testing.assert_allclose(profile.silhouettes, expected, atol=1e-10)
    if metric in ("minkowski", "chebyshev"):
        a = fastsil.silhouette_profile(X, labels, metric=metric, **params).a
        np.testing.assert_allclose(profile.a, scale * a, rtol=1e-10)


def test_rows_of_zeros_have_no_bray_curtis_distance():
    X, labels = groups(n_samples=60)
    X[[3, 8, 20]] = 0
    expected = sklearn.metrics.silhouette_samples(X, labels, metric="braycurtis")
    np.testing.assert_allclose(fastsil.silhouette_samples(X, labels, metric="braycurtis"), expected, atol=1e-12)


def test_the_largest_of_weightless_powers_is_chebyshev():
    X, labels = groups(n_samples=60)
    profile = fastsil.silhouette_profile(X, labels, metric="minkowski", p=np.inf)
    assert profile.work.strategy == "coordinatewise: chebyshev"


def test_infinite_bray_curtis_distances_leave_a_neighbor():
    profile = fastsil.silhouette_profile([[1.0], [1.0], [-1.0], [-1.0]], [0, 0, 1, 1], metric="braycurtis")
    np.testing.assert_array_equal(profile.neighbor, [1, 1, 0, 0])
    assert np.isinf(profile.b).all()

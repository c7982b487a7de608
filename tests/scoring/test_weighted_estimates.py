"""Intervals of estimates and guesses hold weighted scores."""

import numpy as np
import pytest

import fastsil
from assertions import assert_silhouettes_close


def many(n_samples=4000, n_features=5, n_clusters=8, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_clusters, size=n_samples)
    X = rng.normal(size=(n_clusters, n_features))[labels] + rng.normal(size=(n_samples, n_features))
    # Those that count much lie elsewhere than most.
    weights = np.where(X[:, 0] > 1, 10.0, 0.1) * rng.uniform(0.5, 2, size=n_samples)
    weights[rng.random(n_samples) < 0.1] = 0.0
    return X, labels, weights


@pytest.mark.parametrize("metric", ["euclidean", "chebyshev", "mahalanobis"])
@pytest.mark.parametrize("seed", range(4))
def test_intervals_of_estimates_hold_the_weighted_scores(metric, seed, monkeypatch):
    monkeypatch.setattr("fastsil.scoring.estimate.exact_is_as_cheap", lambda *_: False)
    monkeypatch.setattr("fastsil.scoring.estimate.rounds._MOST_ROWS", 1.0)
    X, labels, weights = many(seed=seed)
    exact = fastsil.silhouette_profile(X, labels, metric=metric, sample_weight=weights)
    asked = {"tol": 0.02, "confidence": 0.95, "metric": metric, "random_state": seed}
    found = fastsil.silhouette_estimate(X, labels, sample_weight=weights, **asked)
    assert found.rounds > 0
    assert found.interval[0] <= exact.score <= found.interval[1]
    assert found.macro_interval[0] <= exact.macro_score <= found.macro_interval[1]
    assert (found.clusters.low <= exact.clusters.silhouette).all()
    assert (exact.clusters.silhouette <= found.clusters.high).all()
    share = exact.n_negative / exact.n_samples
    assert found.negative_interval[0] <= share <= found.negative_interval[1]
    assert found.interval[1] - found.interval[0] <= 2 * 0.02


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["whole", "of all sizes", "one holds nearly all"])
@pytest.mark.parametrize("n_features", [3, 20, 250])
def test_guesses_lie_in_intervals_that_hold_the_weighted_silhouettes(kind, n_features, dtype):
    rng = np.random.default_rng(1)
    X, labels, _ = many(n_samples=900, n_features=n_features)
    X = X.astype(dtype)
    weights = rng.integers(0, 4, size=900).astype(float)
    if kind == "of all sizes":
        weights = 10.0 ** rng.uniform(-6, 6, size=900)
    if kind == "one holds nearly all":
        weights[:] = 1e-5
        weights[np.unique(labels, return_index=True)[1]] = 1e5
    exact = fastsil.silhouette_samples(X, labels, sample_weight=weights)
    found = fastsil.silhouette_profile(X, labels, exact=False, sample_weight=weights)
    assert (found.lower <= exact).all()
    assert (exact <= found.upper).all()
    refined = fastsil.silhouette_profile(X, labels, exact=False, refine_to=0.0, sample_weight=weights)
    assert_silhouettes_close(refined.silhouettes, exact, dtype=dtype)


def test_without_a_weight_of_some_label_estimates_are_exact():
    X, labels, weights = many()
    weights[labels == 3] = 0
    estimate = fastsil.silhouette_estimate(X, labels, sample_weight=weights)
    profile = fastsil.silhouette_profile(X, labels, sample_weight=weights, exact=False)
    assert estimate.exact
    assert estimate.score == fastsil.silhouette_score(X, labels, sample_weight=weights)
    assert estimate.score == profile.score
    score = fastsil.silhouette_score(X, labels, sample_weight=weights, tol=0.1, average="macro")
    assert score == pytest.approx(profile.macro_score, abs=1e-12)

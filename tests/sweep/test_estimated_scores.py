"""A sweep whose scores are estimated: intervals hold, profiles are guesses within bounds, nothing else changes."""

import numpy as np
import pytest

from fastsil import KMeansSweep, silhouette_profile

KS = [2, 4, 6]
TOL = 0.02


@pytest.fixture(autouse=True, scope="module")
def _estimates_of_few_samples():
    """Estimate although so few samples are computed as cheaply."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastsil.scoring.estimate.exact_is_as_cheap", lambda partition, _: partition.n_samples < 1000)
        yield


@pytest.fixture(scope="module")
def X():
    random = np.random.default_rng(0)
    centers = 3 * random.normal(size=(4, 8))
    return (centers[random.integers(4, size=6000)] + random.normal(size=(6000, 8))).astype(np.float32)


def sweep(X, **settings):
    return KMeansSweep(KS, n_init=1, gaps=False, random_state=0, n_jobs=2, **settings).fit(X)


@pytest.fixture(scope="module")
def estimated(X):
    return sweep(X, tol=TOL)


def test_intervals_hold_the_exact_scores(X, estimated):
    results = estimated.sweep_results_
    for place, k in enumerate(KS):
        exact = silhouette_profile(X, estimated.estimators_[k].labels_)
        low, high = results["silhouette_low"][place], results["silhouette_high"][place]
        assert low <= exact.score <= high
        assert 0 < high - low <= 2 * TOL
        assert low <= results["silhouette"][place] <= high
        assert abs(results["macro_silhouette"][place] - exact.macro_score) <= TOL
        assert abs(results["n_negative"][place] - exact.n_negative) <= 10 * TOL * len(X)
        guessed = estimated.profiles_[k]
        assert not guessed.exact
        # Silhouettes that were drawn are points, exact to what float32 data promise.
        assert (guessed.lower <= exact.silhouettes + 2e-6).all()
        assert (exact.silhouettes - 2e-6 <= guessed.upper).all()
    assert estimated.best_k_ == estimated.verdict_.k == 4


def test_counts_are_of_all_samples(X, estimated):
    results = estimated.sweep_results_
    assert (results["n_negative"] + results["n_zero"] + results["n_positive"] == len(X)).all()


def test_scores_that_are_cheap_are_exact(X):
    few = X[:300]
    exact, estimated = sweep(few), sweep(few, tol=TOL)
    for name in ("silhouette", "silhouette_low", "silhouette_high", "n_negative"):
        np.testing.assert_array_equal(exact.sweep_results_[name], estimated.sweep_results_[name])
    assert estimated.profiles_[4].exact


def test_metrics_without_guesses_are_exact(X):
    found = sweep(X[:300], tol=TOL, metric="chebyshev")
    assert all(profile.exact for profile in found.profiles_.values())
    np.testing.assert_array_equal(found.sweep_results_["silhouette_low"], found.sweep_results_["silhouette_high"])


def test_names_of_metrics_stay(X):
    assert sweep(X, tol=TOL, metric="mahalanobis").profiles_[4].metric == "mahalanobis"


def test_a_folder_gives_the_same_bits(X, estimated, tmp_path):
    first, again = (sweep(X, tol=TOL, checkpoint=tmp_path) for _ in range(2))
    for found in (first, again):
        for name, values in estimated.sweep_results_.items():
            if not name.endswith("seconds"):
                np.testing.assert_array_equal(found.sweep_results_[name], values)
        for name in ("silhouettes", "lower", "upper", "a", "b", "neighbor"):
            np.testing.assert_array_equal(getattr(found.profiles_[4], name), getattr(estimated.profiles_[4], name))
    with pytest.raises(ValueError, match="tol"):
        sweep(X, checkpoint=tmp_path)


@pytest.mark.parametrize("tol", [0.0, -1.0, np.nan, "narrow"])
def test_an_impossible_tolerance_is_refused(X, tol):
    with pytest.raises((TypeError, ValueError), match="tol"):
        sweep(X[:50], tol=tol)

"""Profiles without pairs: intervals that hold for every sample, and exact ones where those are too wide."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assertions import tolerance_of
from fastsil import silhouette_profile, silhouette_score
from strategies import labeled_data


def overlapping(n=1500, d=20, k=6, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    X = 0.8 * rng.normal(size=(k, d))[labels] + rng.normal(size=(n, d))
    return X.astype(dtype), labels


def assert_holds(guessed, exact):
    # What was computed row by row is as good as what was computed together, but not the same to the bit.
    slack = np.where(guessed.lower == guessed.upper, 2 * tolerance_of(guessed.silhouettes.dtype), 0.0)
    assert (guessed.lower - slack <= exact.silhouettes).all()
    assert (exact.silhouettes <= guessed.upper + slack).all()
    assert (guessed.lower <= guessed.silhouettes).all()
    assert (guessed.silhouettes <= guessed.upper).all()
    assert guessed.silhouettes.dtype == guessed.lower.dtype == guessed.upper.dtype == exact.silhouettes.dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_intervals_hold_for_drawn_data(dtype):
    @given(labeled_data(dtype=dtype), st.sampled_from([None, 0.0, 0.1]))
    def check(data, refine_to):
        assert_holds(silhouette_profile(*data, exact=False, refine_to=refine_to), silhouette_profile(*data))

    check()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis", "seuclidean"])
def test_guesses_are_near(metric, dtype):
    X, labels = overlapping(dtype=dtype)
    guessed, exact = (
        silhouette_profile(X, labels, metric=metric, exact=False),
        silhouette_profile(X, labels, metric=metric),
    )
    assert_holds(guessed, exact)
    assert not guessed.exact
    assert guessed.work.pairs == 0
    assert np.abs(guessed.silhouettes - exact.silhouettes).max() < 1e-2
    assert abs(guessed.score - exact.score) < 1e-3
    assert np.mean(guessed.neighbor == exact.neighbor) > 0.95
    np.testing.assert_allclose(guessed.a, exact.a, rtol=0.02)
    np.testing.assert_allclose(guessed.b, exact.b, rtol=0.02)
    assert (guessed.upper - guessed.lower).max() < 0.2


def test_wide_intervals_are_refined():
    X, labels = overlapping()
    rough, exact = silhouette_profile(X, labels, exact=False), silhouette_profile(X, labels)
    width = float(np.median(rough.upper - rough.lower))
    refined = silhouette_profile(X, labels, exact=False, refine_to=width)
    assert_holds(refined, exact)
    computed = rough.upper - rough.lower > width
    assert (refined.upper - refined.lower <= width).all()
    for name in ("silhouettes", "lower", "upper"):
        np.testing.assert_allclose(getattr(refined, name)[computed], exact.silhouettes[computed], rtol=0, atol=2e-6)
    np.testing.assert_allclose(refined.a[computed], exact.a[computed], rtol=1e-6)
    np.testing.assert_array_equal(refined.neighbor[computed], exact.neighbor[computed])
    np.testing.assert_array_equal(refined.silhouettes[~computed], rough.silhouettes[~computed])
    assert 0 < refined.work.pairs < np.count_nonzero(computed) * len(X)


def test_refined_to_nothing_is_exact():
    X, labels = overlapping(n=300)
    refined = silhouette_profile(X, labels, exact=False, refine_to=0)
    assert refined.exact
    np.testing.assert_allclose(refined.silhouettes, silhouette_profile(X, labels).silhouettes, rtol=0, atol=2e-6)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
def test_exact_profiles_have_intervals_that_are_points(metric):
    X, labels = overlapping(n=200)
    for exact in {True, metric == "euclidean"}:
        profile = silhouette_profile(X, labels, metric=metric, exact=exact)
        assert profile.exact
        np.testing.assert_array_equal(profile.lower, profile.silhouettes)
        np.testing.assert_array_equal(profile.upper, profile.silhouettes)
        assert "exact" not in repr(profile)


def test_a_label_is_left_out():
    X, labels = overlapping(n=300)
    labels[::5] = -1
    guessed = silhouette_profile(X, labels, exact=False, ignore_label=-1)
    exact = silhouette_profile(X, labels, ignore_label=-1)
    for name in ("silhouettes", "lower", "upper"):
        np.testing.assert_array_equal(np.isnan(getattr(guessed, name)), labels == -1)
    assert not guessed.exact
    assert exact.exact
    kept = labels != -1
    assert (guessed.lower[kept] <= exact.silhouettes[kept]).all()
    assert (exact.silhouettes[kept] <= guessed.upper[kept]).all()


def test_guesses_are_told_apart():
    pytest.importorskip("pandas")
    X, labels = overlapping(n=200)
    guessed, exact = silhouette_profile(X, labels, exact=False), silhouette_profile(X, labels)
    assert "exact=False" in repr(guessed)
    assert list(guessed.to_frame().columns) == [*exact.to_frame().columns, "lower", "upper"]


def test_errors():
    X, labels = overlapping(n=60)
    with pytest.raises(ValueError, match="silhouette_estimate"):
        silhouette_profile(X, labels, metric="chebyshev", exact=False)
    with pytest.raises(ValueError, match="exact=False"):
        silhouette_profile(X, labels, refine_to=0.1)
    for refine_to in (-1, "a", True, float("nan")):
        with pytest.raises(ValueError, match="refine_to"):
            silhouette_profile(X, labels, exact=False, refine_to=refine_to)


@pytest.mark.parametrize("average", ["micro", "macro"])
def test_a_score_to_within_a_tolerance(average):
    X, labels = overlapping(n=20_000, d=60, k=3)
    exact = silhouette_score(X, labels, average=average)
    estimate = silhouette_score(X, labels, average=average, tol=3e-3, random_state=0)
    assert estimate != exact
    assert abs(estimate - exact) < 3e-3
    with pytest.raises(ValueError, match="sample_size and tol"):
        silhouette_score(X, labels, tol=1e-3, sample_size=100)

"""Laws that hold for any labeled data, whatever the numbers are.

The changes of the data are exact in floating point (integers, powers of two), so that both sides of a law see the
same data and may differ by twice the promise at most.
"""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from assertions import TOLERANCE, assert_same_bits
from fastsil import silhouette_profile, silhouette_samples, silhouette_score
from strategies import labeled_data, labels, seeds

TRANSLATION_INVARIANT = ["euclidean", "sqeuclidean", "manhattan"]
metrics = st.sampled_from([*TRANSLATION_INVARIANT, "cosine"])
# Rounding a row to length 1 moves it by 1e-16, so that a cosine distance has an absolute error of that size, in
# scikit-learn as here: where a and b are both below this, rows are parallel and s has no digits to compare.
RESOLUTION = {"cosine": 1e-4}


@st.composite
def labeled_grid(draw, dtype=np.float64, min_features=1):
    """Labelled integers from -3 to 3, which additions and multiplications by integers keep exact."""
    n_samples, n_features = draw(st.integers(3, 24)), draw(st.integers(min_features, 6))
    rng = np.random.default_rng(draw(seeds()))
    return rng.integers(-3, 4, size=(n_samples, n_features)).astype(dtype), draw(labels(n_samples))


def assert_unchanged(metric, data, changed, *, rows=slice(None)):
    """The silhouettes of ``changed`` are those of ``data``, row i of ``changed`` being row ``rows[i]`` of ``data``."""
    before = silhouette_profile(*data, metric=metric)
    after = silhouette_profile(*changed, metric=metric)
    resolved = np.maximum(before.a, before.b)[rows] >= RESOLUTION.get(metric, 0)
    np.testing.assert_allclose(
        after.silhouettes[resolved],
        before.silhouettes[rows][resolved],
        rtol=0,
        atol=2 * TOLERANCE[before.silhouettes.dtype],
    )


@given(labeled_data(), metrics, seeds())
def test_order_of_rows_does_not_matter_hypothesis(data, metric, seed):
    X, codes = data
    order = np.random.default_rng(seed).permutation(len(X))
    assert_unchanged(metric, data, (X[order], codes[order]), rows=order)


@given(labeled_data(), metrics)
def test_order_of_features_does_not_matter_hypothesis(data, metric):
    X, codes = data
    assert_unchanged(metric, data, (X[:, ::-1], codes))


@given(labeled_data(), metrics)
def test_names_of_labels_do_not_matter_hypothesis(data, metric):
    X, codes = data
    silhouettes = silhouette_samples(X, codes, metric=metric)
    # The same order of clusters under other names is the same computation, to the bit.
    assert_same_bits(silhouette_samples(X, codes * 3 - 5, metric=metric), silhouettes)
    assert_same_bits(silhouette_samples(X, [f"{code:03d}" for code in codes], metric=metric), silhouettes)
    assert_unchanged(metric, data, (X, -codes))


@given(labeled_grid(), st.sampled_from(TRANSLATION_INVARIANT), st.integers(-(2**20), 2**20))
def test_translation_does_not_matter_hypothesis(data, metric, shift):
    X, codes = data
    assert_unchanged(metric, data, (X + shift * np.arange(1, X.shape[1] + 1), codes))


@given(labeled_grid(min_features=2), st.sampled_from(["euclidean", "sqeuclidean", "cosine"]))
def test_rotation_does_not_matter_hypothesis(data, metric):
    """3² + 4² = 5²: a rotation of two axes, times 5, is exact on integers."""
    X, codes = data
    turned = 5 * X
    turned[:, 0], turned[:, 1] = 3 * X[:, 0] - 4 * X[:, 1], 4 * X[:, 0] + 3 * X[:, 1]
    assert_unchanged(metric, data, (turned, codes))


@given(labeled_data(), metrics, st.integers(-60, 60))
def test_scale_does_not_matter_hypothesis(data, metric, exponent):
    X, codes = data
    assert_unchanged(metric, data, (X * 2.0**exponent, codes))


@given(labeled_data(), seeds())
def test_cosine_sees_no_length_of_rows_hypothesis(data, seed):
    X, codes = data
    lengths = 2.0 ** np.random.default_rng(seed).integers(-20, 20, size=(len(X), 1))
    assert_unchanged("cosine", data, (X * lengths, codes))


@given(st.integers(2, 5), seeds())
def test_mahalanobis_sees_no_linear_map_hypothesis(n_features, seed):
    rng = np.random.default_rng(seed)
    X = rng.integers(-50, 51, size=(40, n_features)).astype(float)
    assume(np.linalg.cond(np.cov(X.T)) < 1e3)
    # Whole numbers and determinant 1: exact, invertible, far from a rotation.
    linear_map = np.triu(rng.integers(-2, 3, size=(n_features, n_features)), 1) + np.eye(n_features)
    codes = rng.permutation(np.arange(40) % 3)
    assert_unchanged("mahalanobis", (X, codes), (X @ linear_map, codes))


@pytest.mark.parametrize(
    ("metric", "params"),
    [("mahalanobis", {"VI": np.eye(4)}), ("mahalanobis", {"V": np.eye(4)}), ("seuclidean", {"V": np.ones(4)})],
)
def test_metrics_with_the_identity_are_euclidean(metric, params):
    rng = np.random.default_rng(0)
    X, codes = rng.normal(size=(40, 4)), np.arange(40) % 3
    np.testing.assert_allclose(
        silhouette_samples(X, codes, metric=metric, **params), silhouette_samples(X, codes), rtol=0, atol=2e-10
    )


@given(labeled_data(dtype=np.float32), metrics)
def test_silhouettes_lie_between_minus_one_and_one_hypothesis(data, metric):
    silhouettes = silhouette_samples(*data, metric=metric)
    assert (np.abs(silhouettes) <= 1).all()


@given(labeled_data(), metrics)
def test_singletons_score_exactly_zero_hypothesis(data, metric):
    X, codes = data
    alone = np.bincount(codes)[codes] == 1
    assert (silhouette_samples(X, codes, metric=metric)[alone] == 0).all()


@given(labeled_grid(), st.sampled_from(["euclidean", "sqeuclidean", "manhattan"]))
def test_a_cluster_of_one_repeated_point_scores_exactly_one_hypothesis(data, metric):
    """a = 0 < b: as well separated as can be."""
    X, codes = data
    first = np.flatnonzero(codes == codes[0])
    assume(len(first) > 1)
    X[first] = 10.0
    assert (silhouette_samples(X, codes, metric=metric)[first] == 1).all()


@given(labeled_data(), metrics)
def test_two_clusters_see_the_same_total_of_distances_hypothesis(data, metric):
    """Sum over x in A and y in B of D(x, y), once from each side; with two clusters b is the mean to the other one."""
    X, codes = data
    codes = codes % 2
    assume(0 < codes.sum() < len(codes) - 1 or 1 < codes.sum() < len(codes))
    profile = silhouette_profile(X, codes, metric=metric)
    n_ones = codes.sum()
    from_zeros = profile.b[codes == 0].sum() * n_ones
    from_ones = profile.b[codes == 1].sum() * (len(codes) - n_ones)
    np.testing.assert_allclose(from_zeros, from_ones, rtol=2 * TOLERANCE[np.dtype(np.float64)], atol=1e-300)


@given(labeled_data(), metrics, st.integers(2, 4))
def test_repeating_every_sample_leaves_b_as_it_is_hypothesis(data, metric, times):
    X, codes = data
    b = silhouette_profile(X, codes, metric=metric).b
    repeated = silhouette_profile(np.tile(X, (times, 1)), np.tile(codes, times), metric=metric).b
    np.testing.assert_allclose(repeated, np.tile(b, times), rtol=0, atol=2e-10 * (b.max() or 1))


@given(labeled_data(), metrics)
def test_neighbor_is_another_cluster_and_scores_are_means_hypothesis(data, metric):
    X, codes = data
    profile = silhouette_profile(X, codes, metric=metric)
    assert (profile.neighbor != codes).all()
    assert np.isin(profile.neighbor, codes).all()
    assert profile.score == pytest.approx(profile.silhouettes.mean(), abs=1e-12)
    macro = np.mean([profile.silhouettes[codes == code].mean() for code in np.unique(codes)])
    assert profile.macro_score == pytest.approx(macro, abs=1e-12)
    assert silhouette_score(X, codes, metric=metric, average="macro") == pytest.approx(macro, abs=1e-12)

"""Linear maps that make another metric Euclidean."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from fastsil.engines.metric_maps import apply_map, mahalanobis_map, seuclidean_map, typical_row, unit_rows
from strategies import labeled_data, seeds


def correlated(n_samples=60, n_features=4, seed=0):
    rng = np.random.default_rng(seed)
    return 10 + rng.normal(size=(n_samples, n_features)) @ (
        rng.normal(size=(n_features, n_features)) + np.eye(n_features)
    )


@given(labeled_data(dtype=np.float32), st.sampled_from([np.float32, np.float64]))
def test_unit_rows_hypothesis(data, dtype):
    X = data[0].astype(dtype)
    before = X.copy()
    unit = unit_rows(X)
    assert unit.dtype == dtype
    np.testing.assert_allclose(unit, reference.unit_rows(X).astype(dtype), rtol=0, atol=2 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize(("dtype", "scale"), [(np.float32, 1e30), (np.float32, 1e-30), (np.float64, 1e200)])
def test_unit_rows_whose_squares_overflow_or_vanish(dtype, scale):
    X = np.array([[3, 4], [0, 0]], dtype=dtype) * dtype(scale)
    np.testing.assert_allclose(unit_rows(X), [[0.6, 0.8], [0, 0]], rtol=4 * np.finfo(dtype).eps)


def test_mahalanobis_distances_are_euclidean_after_the_map():
    X = correlated()
    VI = reference.inverse(reference.covariance(X))
    for params, VI_wanted in [
        ({}, VI),
        ({"V": np.cov(X.T)}, VI),
        ({"VI": VI.astype(float)}, VI),
        ({"V": np.diag([1.0, 2, 3, 4])}, np.diag(1 / np.array([1.0, 2, 3, 4]))),
        # The rest of the quadratic form sees the symmetric part only.
        ({"VI": np.triu(np.full((4, 4), 0.5)) + 2 * np.eye(4)}, np.full((4, 4), 0.25) + 2.25 * np.eye(4)),
    ]:
        mapped = apply_map(X, mahalanobis_map(X, **params))
        np.testing.assert_allclose(
            reference.pairwise_distances(mapped).astype(float),
            reference.pairwise_distances(X, "mahalanobis", VI=VI_wanted).astype(float),
            rtol=1e-11,
        )


def test_mahalanobis_of_one_feature_divides_by_the_deviation():
    X = correlated(n_features=1)
    mapped = apply_map(X, mahalanobis_map(X))
    assert mapped.std(ddof=1) == pytest.approx(1)


def test_a_semi_definite_inverse_is_taken():
    """Directions that do not count are no error: VI is a quadratic form, and some of its eigenvalues may be 0."""
    X = correlated()
    mapped = apply_map(X, mahalanobis_map(X, VI=np.diag([1.0, 0, 0, 4])))
    np.testing.assert_allclose(
        reference.pairwise_distances(mapped).astype(float),
        reference.pairwise_distances(X[:, [0, 3]] * [1, 2]).astype(float),
        rtol=1e-12,
    )


@pytest.mark.parametrize(
    ("params", "error", "match"),
    [
        ({"V": np.eye(3)}, ValueError, r"V has shape \(3, 3\); X has 4 features"),
        ({"VI": np.eye(5)}, ValueError, r"VI has shape \(5, 5\)"),
        ({"VI": np.ones(4)}, ValueError, r"VI has shape \(4,\)"),
        ({"VI": np.diag([1, 1, 1, np.nan])}, ValueError, "VI contains NaN"),
        ({"VI": np.diag([1.0, 1, 1, -1])}, ValueError, "VI has a negative eigenvalue"),
        ({"V": np.diag([1.0, 1, 1, -1])}, ValueError, "V has a negative eigenvalue"),
        ({"V": np.diag([1.0, 1, 1, 0])}, np.linalg.LinAlgError, "V has no inverse"),
        ({"V": np.zeros((4, 4))}, np.linalg.LinAlgError, "V has no inverse"),
    ],
)
def test_bad_matrices(params, error, match):
    with pytest.raises(error, match=match):
        mahalanobis_map(correlated(), **params)


@pytest.mark.parametrize("bad", ["constant", "repeated", "more features than samples"])
def test_data_without_an_inverse_covariance(bad):
    X = correlated()
    if bad == "constant":
        X[:, 1] = 3.0
    elif bad == "repeated":
        X[:, 1] = X[:, 0]
    else:
        X = correlated(n_samples=4, n_features=6)
    with pytest.raises(np.linalg.LinAlgError, match=r"covariance of X has no inverse.*pinv"):
        mahalanobis_map(X)


def test_seuclidean_scales_by_the_deviations():
    X = correlated()
    np.testing.assert_allclose(apply_map(X, seuclidean_map(X)).std(axis=0, ddof=1), np.ones(4))
    np.testing.assert_allclose(seuclidean_map(X, V=[1.0, 4, 16, 0.25]), [1, 0.5, 0.25, 2])


@pytest.mark.parametrize(
    ("V", "match"),
    [
        ([1.0, 1.0], r"V has shape \(2,\); pass one variance per feature, shape \(4,\)"),
        ([1.0, 0, 1, 1], "variance of feature 1 is 0.*correct V"),
        ([1.0, 1, -2, 1], "variance of feature 2 is -2"),
        ([1.0, 1, 1, np.nan], "variance of feature 3 is nan"),
        ([1.0, np.inf, 1, 1], "variance of feature 1 is inf"),
    ],
)
def test_bad_variances(V, match):
    with pytest.raises(ValueError, match=match):
        seuclidean_map(correlated(), V=V)


def test_a_constant_feature_has_no_standard_distance():
    X = correlated()
    X[:, 2] = 5
    with pytest.raises(ValueError, match=r"variance of feature 2 is 0.*pass V="):
        seuclidean_map(X)


@given(st.integers(1, 5), st.integers(1, 5), seeds())
def test_maps_are_applied_in_chunks_as_at_once_hypothesis(n_features, n_mapped, seed):
    rng = np.random.default_rng(seed)
    X, W = rng.normal(size=(50, n_features)).astype(np.float32), rng.normal(size=(n_features, n_mapped))
    expected = (X - typical_row(X)) @ W
    np.testing.assert_allclose(apply_map(X, W), expected, atol=1e-13)
    mapped = apply_map(X, W[:, 0])
    np.testing.assert_allclose(mapped, (X - typical_row(X)) * W[:, 0], atol=1e-13)
    assert mapped.dtype == np.float64


def test_an_offset_does_not_cost_digits():
    X = 1e6 + correlated()
    np.testing.assert_allclose(
        reference.pairwise_distances(apply_map(X, mahalanobis_map(X))).astype(float),
        reference.pairwise_distances(X, "mahalanobis").astype(float),
        rtol=1e-9,
    )

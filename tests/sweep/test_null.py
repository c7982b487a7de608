"""The null reference: exact mean and covariance, uniform rotations, and a test that keeps its level and has power."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import silhouette_score

from fastsil.sweep.clusterers import make_clusterers
from fastsil.sweep.feature_space import Identity
from fastsil.sweep.fit_and_score import search
from fastsil.sweep.null import NullComparison, compare_with_null, comparison, draw_gaussian, draw_uniform
from fastsil.sweep.null import samplers as sets
from fastsil.sweep.prepared_data import PreparedData


def prepare(X):
    return PreparedData(X, Identity(), "euclidean", {}, 1)


def compared(X, ks=(2, 3, 4), *, n_null=9, null_size=1000, reference="gaussian", seed=0, **params):
    clusterers = make_clusterers(KMeans(n_init=1, **params), ks, 0)
    findings, _ = search(prepare(X), clusterers, lambda event: None)
    known = [finding.row.silhouette for finding in findings], [finding.row.inertia for finding in findings]
    return compare_with_null(
        X,
        prepare,
        clusterers,
        known,
        n_null=n_null,
        null_size=null_size,
        reference=reference,
        random=np.random.default_rng(seed),
        n_jobs=1,
    )


@given(
    n_samples=st.integers(2, 40),
    n_features=st.integers(1, 60),
    rank=st.integers(1, 60),
    offset=st.sampled_from([0.0, 100.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_mean_and_covariance_are_those_of_the_data(n_samples, n_features, rank, offset, seed):
    random = np.random.default_rng(seed)
    X = random.exponential(size=(n_samples, rank)) @ random.normal(size=(rank, n_features)) + offset
    drawn = draw_gaussian(X, random)
    np.testing.assert_allclose(drawn.mean(axis=0), X.mean(axis=0), atol=1e-9 * (1 + np.abs(X).max()))
    np.testing.assert_allclose(
        np.cov(drawn.T), np.cov(X.T), atol=1e-9 * max(1.0, X.std()) * (1 + np.abs(np.cov(X.T)).max())
    )


def test_a_rotation_keeps_no_trace_of_the_order_of_samples():
    """Uniform on the orthonormal matrices that sum to 0: E[q] = 0 and E[q qᵀ] = (I - 1/n) / (n - 1) for each column."""
    random = np.random.default_rng(0)
    drawn = np.array([sets._random_orthonormal(4, 2, random) for _ in range(20_000)])
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.015)
    for column in (0, 1):
        second = np.einsum("si,sj->ij", drawn[:, :, column], drawn[:, :, column]) / len(drawn)
        np.testing.assert_allclose(second, (np.eye(4) - 1 / 4) / 3, atol=0.01)
    np.testing.assert_allclose(
        np.einsum("sij,sik->sjk", drawn, drawn), np.tile(np.eye(2), (len(drawn), 1, 1)), atol=1e-9
    )


def test_a_uniform_null_fills_the_box_along_the_principal_axes():
    random = np.random.default_rng(0)
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    X = (random.uniform([-5, -1], [5, 1], size=(500, 2))) @ turn + 7
    back = (draw_uniform(X, random) - 7) @ turn.T
    assert np.abs(back[:, 0]).max() == pytest.approx(5, abs=0.3)
    assert np.abs(back[:, 1]).max() == pytest.approx(1, abs=0.3)


def test_the_type_of_the_data_stays():
    X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    assert draw_gaussian(X, np.random.default_rng(0)).dtype == draw_uniform(X, np.random.default_rng(0)).dtype == "f4"


def test_the_data_and_a_null_set_are_scored_in_the_same_way():
    X = make_blobs(80, random_state=0)[0]
    result = compared(X)
    for place, k in enumerate(result.n_clusters):
        fitted = KMeans(k, n_init=1, random_state=0).fit(X)
        assert result.silhouette[place] == pytest.approx(silhouette_score(X, fitted.labels_), abs=1e-9)
        assert result.inertia[place] == pytest.approx(fitted.inertia_)
    drawn = draw_gaussian(X, np.random.default_rng(0).spawn(1)[0])
    fitted = KMeans(3, n_init=1, random_state=0).fit(drawn)
    assert result.null_silhouettes[0, 1] == pytest.approx(silhouette_score(drawn, fitted.labels_), abs=1e-9)
    assert result.null_inertias[0, 1] == pytest.approx(fitted.inertia_)
    assert result.null_totals[0] == pytest.approx(result.total)


@pytest.mark.parametrize("make", [np.asarray, csr_matrix])
def test_large_data_are_compared_at_the_size_of_the_null_sets(make):
    X = make_blobs(300, random_state=0)[0]
    result = compared(make(X), null_size=50)
    rows = np.sort(np.random.default_rng(0).choice(300, 50, replace=False))
    fitted = KMeans(3, n_init=1, random_state=0).fit(X[rows])
    assert result.n_samples == 50
    assert result.silhouette[1] == pytest.approx(silhouette_score(X[rows], fitted.labels_), abs=1e-9)


def test_the_same_seed_gives_the_same_sets():
    X = make_blobs(80, random_state=0)[0]
    first, second, other = compared(X, seed=1), compared(X, seed=1), compared(X, seed=2)
    np.testing.assert_array_equal(first.null_silhouettes, second.null_silhouettes)
    assert (first.null_silhouettes != other.null_silhouettes).any()


def shape(number, random):
    """Gaussian data of several shapes: round, one long axis, a power law, more features than samples."""
    n_features = (2, 5, 8, 60)[number % 4]
    spread = (np.ones(2), np.array([9, 1, 1, 1, 1]), 1 / np.arange(1, 9), np.ones(60))[number % 4]
    return random.normal(size=(40, n_features)) * spread


@pytest.mark.slow
def test_gaussian_data_of_any_shape_are_seldom_called_structure():
    """At a level of 0.2: 48 sets, 9.6 expected, with a standard deviation of 2.8."""
    random = np.random.default_rng(5)
    p_values = np.array([compared(shape(number, random), (2, 3, 4), seed=number).p_value for number in range(48)])
    assert 2 <= np.count_nonzero(p_values <= 0.2) <= 19


@pytest.mark.slow
@pytest.mark.parametrize("n_features", [2, 20])
def test_two_blobs_three_sigma_apart_are_found(n_features):
    random = np.random.default_rng(1)
    found = []
    for seed in range(3):
        X = random.normal(size=(300, n_features))
        X[::2, 0] += 3
        found.append(compared(X, n_null=39, seed=seed))
    assert all(result.p_value <= 0.05 for result in found)
    assert [result.gap_k for result in found] == [2] * 3
    assert all(result.z[0] > 2 for result in found)


def test_numbers_by_hand():
    random = np.random.default_rng(0)
    null_silhouettes, null_inertias = random.normal(size=(6, 3)), random.uniform(1, 9, size=(6, 3))
    totals = random.uniform(10, 12, size=6)
    ks, silhouette, inertia = np.array([2, 4, 5]), np.array([0.5, 2.0, -3.0]), np.array([4.0, 2.0, 1.0])
    mixture, null_mixture_gains = 4.0, random.uniform(0, 9, size=6)
    result = NullComparison(
        ks, 9, silhouette, inertia, null_silhouettes, null_inertias, 11.0, totals, mixture, null_mixture_gains
    )
    for place in range(3):
        column = null_silhouettes[:, place]
        mean, spread = sum(column) / 6, np.sqrt(sum((column - column.mean()) ** 2) / 5)
        assert result.mean[place] == pytest.approx(mean)
        assert result.z[place] == pytest.approx((result.silhouette[place] - mean) / spread)
        assert result.p_values[place] == (sum(column >= result.silhouette[place]) + 1) / 7
        logs = np.log(null_inertias[:, place])
        assert result.gap[place] == pytest.approx(logs.mean() - np.log(result.inertia[place]))
        assert result.gap_error[place] == pytest.approx(logs.std() * np.sqrt(1 + 1 / 6))
    scores = np.vstack([result.silhouette, null_silhouettes])
    explained = 1 - np.vstack([result.inertia, null_inertias]) / np.append(11.0, totals)[:, None]

    def beyond(values, own):
        others = [values[other] for other in range(7) if other != own]
        return (values[own] - np.mean(others, axis=0)) / np.std(others, axis=0, ddof=1)

    def p_of(statistic):
        highest = [max(statistic(own)) for own in range(7)]
        return (sum(np.array(highest[1:]) >= highest[0]) + 1) / 7

    assert result.p_silhouette == p_of(lambda own: beyond(scores, own))
    assert result.p_inertia == p_of(lambda own: beyond(explained, own))
    roots = np.sqrt(np.append(mixture, null_mixture_gains))[:, None]
    assert result.p_mixture == p_of(lambda own: beyond(roots, own))
    highest = np.array([[max(beyond(scores, own) + beyond(explained, own))] for own in range(7)])
    assert result.p_value == p_of(lambda own: beyond(highest, own) + beyond(roots, own))


@pytest.mark.parametrize(
    ("inertia", "chosen"),
    [([80.0, 70, 65], 1), ([70.3, 40, 30], 1), ([20.0, 18, 17], 2), ([60.0, 10, 9.5], 4), ([60.0, 30, 2], 5)],
)
def test_the_gap_chooses_the_smallest_k_that_the_next_does_not_beat(inertia, chosen):
    null_inertias = np.array([[70.0, 60, 55], [72.0, 61, 56], [71.0, 60, 55]])
    zeros = np.zeros((3, 3))
    result = NullComparison(
        np.array([2, 4, 5]),
        9,
        zeros[0],
        np.array(inertia),
        zeros,
        null_inertias,
        100.0,
        np.full(3, 100.0),
        0.0,
        zeros[0],
    )
    assert result.gap_k == chosen


def test_samples_that_are_all_alike_are_no_evidence():
    zeros = np.zeros((4, 2))
    none = zeros[:, 0]
    same = NullComparison(np.array([2, 3]), 9, zeros[0], zeros[0], zeros, zeros, 0.0, none, 0.0, none)
    assert "<b>p = 1.000</b>, one test for every k" in same._repr_html_()
    assert same._repr_html_().count("<tr>") == 1 + 2
    assert same.p_value == same.p_silhouette == same.p_inertia == same.p_mixture == 1.0
    np.testing.assert_array_equal(same.z, 0)
    np.testing.assert_array_equal(same.p_values, 1)


def test_a_k_that_fails_on_a_null_set_leaves_the_others(monkeypatch):
    X = make_blobs(60, random_state=0)[0]
    fit = PreparedData.fit

    def fail_at_three(self, clusterer):
        if clusterer.n_clusters == 3 and self.clustered is not X:
            raise RuntimeError("not this one")
        return fit(self, clusterer)

    monkeypatch.setattr(PreparedData, "fit", fail_at_three)
    result = compared(X)
    assert np.isnan(result.p_values[1])
    assert np.isfinite(result.p_values[[0, 2]]).all()
    assert 0 < result.p_value <= 1


def test_more_clusters_than_rows_drawn_are_left_out():
    X = make_blobs(60, random_state=0)[0]
    assert list(compared(X, (2, 9, 10, 20), null_size=10).n_clusters) == [2, 9]


def test_a_set_is_compared_with_all_others_and_not_with_itself():
    values = np.random.default_rng(0).normal(size=(5, 3))
    for own, beyond in enumerate(comparison._beyond_others(values)):
        others = values[[other for other in range(5) if other != own]]
        np.testing.assert_allclose(beyond, (values[own] - others.mean(axis=0)) / others.std(axis=0, ddof=1))

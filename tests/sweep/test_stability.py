"""Stability: parts that overlap, agreement by the adjusted Rand index, and nothing but the seed behind it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from fastsil import KMeansSweep
from fastsil.report.tables import sweep_columns
from fastsil.sweep import stability
from fastsil.sweep.clusterers import make_clusterers
from fastsil.sweep.feature_space import Identity
from fastsil.sweep.prepared_data import PreparedData
from fastsil.sweep.stability import measure_stability

BLOBS = make_blobs(150, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)[0]
NOISE = np.random.default_rng(0).normal(size=(150, 8))


def prepare(X):
    return PreparedData(X, Identity(), "euclidean", {}, 1)


def measured(X, ks=(2, 3, 4), *, n_stability=3, seed=0, n_jobs=1, estimator=None):
    clusterers = make_clusterers(estimator or KMeans(n_init=1), ks, 0)
    random = np.random.default_rng(seed)
    return measure_stability(X, prepare, clusterers, n_stability=n_stability, random=random, n_jobs=n_jobs)


@pytest.mark.parametrize("make", [np.asarray, csr_matrix])
def test_two_parts_are_clustered_and_compared_where_they_overlap(make):
    found = measured(make(NOISE))
    assert found.n_samples == 120
    for pair, random in enumerate(np.random.default_rng(0).spawn(3)):
        parts = stability._draw_parts(150, 120, random)
        both = np.intersect1d(*parts)
        assert len(both) >= 90
        for place, k in enumerate((2, 3, 4)):
            labels = []
            for part in parts:
                whole = np.full(150, -1)
                whole[part] = KMeans(k, n_init=1, random_state=0).fit(NOISE[part]).labels_
                labels.append(whole[both])
            assert found.scores[pair, place] == pytest.approx(adjusted_rand_score(*labels))


def test_clusters_that_are_there_are_found_again_and_others_are_not():
    assert measured(BLOBS).mean[1] == 1
    assert measured(NOISE).mean.max() < 0.7


def test_the_parts_are_random_and_only_by_the_seed():
    np.testing.assert_array_equal(measured(NOISE, n_jobs=1).scores, measured(NOISE, n_jobs=3).scores)
    assert (measured(NOISE).scores != measured(NOISE, seed=1).scores).any()
    rows = np.concatenate([np.concatenate(stability._draw_parts(50, 40, np.random.default_rng(s))) for s in range(500)])
    assert np.bincount(rows, minlength=50) == pytest.approx(np.full(50, 800), rel=0.08)


def test_parts_of_large_data_overlap_as_much():
    first, second = stability._draw_parts(10**6, 10_000, np.random.default_rng(0))
    assert len(first) == len(np.unique(first)) == 10_000
    assert len(np.intersect1d(first, second)) == pytest.approx(8000, abs=200)


def test_spread_and_mean_are_over_the_pairs():
    found = measured(NOISE, n_stability=4)
    np.testing.assert_allclose(found.mean, found.scores.sum(axis=0) / 4)
    np.testing.assert_allclose(found.std, np.std(found.scores, axis=0, ddof=1))
    assert (measured(NOISE, n_stability=1).std == 0).all()


def test_any_clusterer_and_a_k_that_fails():
    class FailsAtThree(ClusterMixin, BaseEstimator):
        def __init__(self, n_clusters=2):
            self.n_clusters = n_clusters

        def fit(self, X, y=None):
            if self.n_clusters == 3 and len(X) < 150:
                raise RuntimeError("not this one")
            self.labels_ = AgglomerativeClustering(self.n_clusters).fit(X).labels_
            return self

    found = measured(BLOBS, estimator=FailsAtThree())
    assert np.isnan(found.mean[1])
    assert np.isfinite(found.mean[[0, 2]]).all()


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "mahalanobis"])
def test_a_sweep_has_columns_of_it(metric):
    sweep = KMeansSweep(range(1, 5), metric=metric, n_init=1, n_stability=2, random_state=0).fit(BLOBS + 20)
    results = sweep.sweep_results_
    assert np.isnan(results["stability"][0])
    np.testing.assert_array_equal(results["stability"][1:], sweep.stability_.mean)
    np.testing.assert_array_equal(results["stability_std"][1:], sweep.stability_.std)
    assert "stability" in [column.title for column in sweep_columns(results)]
    again = KMeansSweep(range(1, 5), metric=metric, n_init=1, n_stability=2, random_state=0, n_jobs=1).fit(BLOBS + 20)
    np.testing.assert_array_equal(again.stability_.scores, sweep.stability_.scores)


def test_without_it_there_is_none():
    sweep = KMeansSweep(range(2, 4), n_init=1, random_state=0).fit(BLOBS)
    assert sweep.stability_ is None
    assert np.isnan(sweep.sweep_results_["stability"]).all()
    assert "stability" not in [column.title for column in sweep_columns(sweep.sweep_results_)]


def test_an_interrupt_keeps_the_sweep(monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastsil.sweep.one_space.measure_stability", interrupt)
    with pytest.warns(UserWarning, match="2 of 2 .*; missing: stability"):
        sweep = KMeansSweep(range(2, 4), n_init=1, n_stability=2, random_state=0).fit(BLOBS)
    assert sweep.interrupted_
    assert sweep.verdict_.k == sweep.best_k_ == 3


def test_progress_reaches_the_end():
    events = []
    KMeansSweep([2, 3], n_init=1, n_null=2, n_stability=2, random_state=0, progress=events.append).fit(BLOBS)
    shares = [event.share for event in events]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert events[-1].stage == "stability"


@pytest.mark.parametrize(("value", "error"), [(-1, ValueError), (2.5, TypeError), (True, TypeError)])
def test_wrong_numbers_of_pairs(value, error):
    with pytest.raises(error, match="n_stability"):
        KMeansSweep([2], n_stability=value).fit(BLOBS)


def test_the_picture_and_the_page_show_it(tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    sweep = KMeansSweep([2, 3], n_init=1, n_stability=2, random_state=0).fit(BLOBS)
    page = sweep.report(tmp_path / "report.html", BLOBS).read_text(encoding="utf-8")
    assert "<dt>Stability</dt>" in page
    assert "Curve of the agreement of clusterings" in page

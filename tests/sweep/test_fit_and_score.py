"""Fits that wait for one pass: the same scores, and what an interruption or a failure leaves."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.exceptions import FitFailedWarning
from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score
from sklearn.metrics import silhouette_samples as sklearn_silhouettes

from fastsil import KMeansSweep
from fastsil.engines.dispatch import estimate_pass_seconds
from fastsil.sweep import fit_and_score as search
from fastsil.sweep import prepared_data
from fastsil.sweep.clusterers import center_indices
from fastsil.sweep.prepared_data import PreparedData

IRIS = load_iris().data


@pytest.fixture
def passes(monkeypatch):
    """Numbers of labelings that were scored together; fits seem to be short compared with a pass."""
    seen: list[int] = []
    score = PreparedData.score

    def note(self, partitions, tick):
        seen.append(len(partitions))
        return score(self, partitions, tick)

    monkeypatch.setattr(PreparedData, "score", note)
    monkeypatch.setattr(prepared_data, "estimate_pass_seconds", lambda *args, **kwargs: 1000.0)
    return seen


class CutAt(ClusterMixin, BaseEstimator):
    """Cuts the first feature into ranges; fails at one k."""

    def __init__(self, n_clusters=2, bad=99, error=KeyboardInterrupt):
        self.n_clusters = n_clusters
        self.bad = bad
        self.error = error

    def fit(self, X, y=None):
        if self.n_clusters == self.bad:
            raise self.error("the disk is on fire")
        self.labels_ = np.argsort(np.argsort(X[:, 0])) * self.n_clusters // len(X)
        return self


def test_fits_that_are_short_beside_a_pass_are_scored_together(passes):
    events = []
    sweep = KMeansSweep(range(1, 9), random_state=0, progress=events.append).fit(IRIS)
    assert passes == [7]
    for k, profile in sweep.profiles_.items():
        np.testing.assert_allclose(
            profile.silhouettes, sklearn_silhouettes(IRIS, sweep.estimators_[k].labels_), atol=1e-9
        )
    assert (sweep.sweep_results_["score_seconds"][1:] > 0).all()
    shares = [event.share for event in events]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert [event.row.n_clusters for event in events if event.row is not None] == list(range(1, 9))


def test_a_pass_runs_once_the_fits_took_as_long(passes, monkeypatch):
    monkeypatch.setattr(PreparedData, "estimate_pass_seconds", lambda self: 5.0)
    monkeypatch.setattr(PreparedData, "estimate_fit_seconds", lambda self, asked, fitted, measured: measured)
    clock = iter(range(0, 1000, 2))  # every look at the clock comes 2 s after the last: so long is a fit
    monkeypatch.setattr(search.time, "perf_counter", lambda: float(next(clock)))
    KMeansSweep(range(2, 9), estimator=CutAt()).fit(IRIS)
    assert passes == [3, 3, 1]


def test_a_short_pass_waits_for_nobody():
    events = []
    KMeansSweep([2, 3], random_state=0, progress=events.append).fit(IRIS)
    assert [event.stage for event in events if event.stage in ("clustering", "done")] == ["clustering", "done"] * 2


def test_an_interrupt_keeps_fits_that_wait_for_their_scores(passes):
    with pytest.warns(UserWarning, match=r"3 of 5 .* \(k = 2, 3, 4\), none with a score\."):
        sweep = KMeansSweep(range(2, 7), estimator=CutAt(bad=5)).fit(IRIS)
    assert passes == []
    assert sweep.interrupted_
    assert np.isfinite(sweep.sweep_results_["inertia"]).all()
    assert np.isnan(sweep.sweep_results_["silhouette"]).all()
    assert sorted(sweep.estimators_) == [2, 3, 4]
    assert sweep.verdict_.headline == "No verdict yet: 3 k are clustered, from 2 to 4, but not scored."


def test_fits_that_wait_are_scored_after_an_interrupt_where_that_takes_seconds(passes, monkeypatch):
    monkeypatch.setattr(prepared_data, "estimate_pass_seconds", lambda *args, **kwargs: 1.0)
    with pytest.warns(UserWarning, match=r"3 of 5 clusterings are finished and kept \(k = 2, 3, 4\)\."):
        sweep = KMeansSweep(range(2, 7), estimator=CutAt(bad=5)).fit(IRIS)
    assert passes == [3]
    assert sweep.interrupted_
    assert sorted(sweep.profiles_) == [2, 3, 4]
    assert sweep.verdict_.k in (2, 3, 4)


def test_a_k_that_fails_does_not_hold_up_the_pass(passes):
    with pytest.warns(FitFailedWarning, match="k=4: RuntimeError"):
        sweep = KMeansSweep(range(2, 7), estimator=CutAt(bad=4, error=RuntimeError)).fit(IRIS)
    assert passes == [4]
    assert sorted(sweep.profiles_) == [2, 3, 5, 6]
    assert list(sweep.sweep_results_["n_clusters"]) == [2, 3, 4, 5, 6]


def test_if_a_pass_fails_each_is_scored_alone(monkeypatch):
    score = PreparedData.score

    def fail(self, partitions, tick):
        if len(partitions) > 1 or partitions[0].n_clusters == 3:
            raise MemoryError("too much")
        return score(self, partitions, tick)

    monkeypatch.setattr(PreparedData, "score", fail)
    monkeypatch.setattr(prepared_data, "estimate_pass_seconds", lambda *args, **kwargs: 1000.0)
    with pytest.warns(FitFailedWarning, match="1 of 3 .* k=3: MemoryError: too much"):
        sweep = KMeansSweep(range(2, 5), random_state=0).fit(IRIS)
    assert sorted(sweep.profiles_) == [2, 4]


def test_indices_are_scikit_learns_in_the_geometry_that_was_clustered_in():
    sweep = KMeansSweep(range(1, 5), estimator=KMeans(n_init=10), metric="seuclidean", random_state=0).fit(IRIS)
    scaled = (IRIS - IRIS.mean(0)) / IRIS.std(0, ddof=1)
    results = sweep.sweep_results_
    for row, k in enumerate(results["n_clusters"]):
        if k == 1:
            assert np.isnan(results["calinski_harabasz"][row])
            continue
        labels = KMeans(k, n_init=10, random_state=0).fit(scaled).labels_
        assert results["calinski_harabasz"][row] == pytest.approx(calinski_harabasz_score(scaled, labels))
        assert results["davies_bouldin"][row] == pytest.approx(davies_bouldin_score(scaled, labels))


@pytest.mark.parametrize("X", [np.random.default_rng(0).normal(1e3, 1, size=(60, 4)), np.ones((60, 2))])
@pytest.mark.parametrize("n_clusters", [2, 7])
def test_indices_of_chunks_are_scikit_learns(X, n_clusters, monkeypatch):
    monkeypatch.setattr("fastsil.validation.arrays._CHUNK_BYTES", 8 * 4 * 13)
    labels = np.arange(60) % n_clusters
    expected = calinski_harabasz_score(X, labels), davies_bouldin_score(X, labels)
    assert center_indices(X, labels) == pytest.approx(expected, rel=1e-6)


def test_a_shared_pass_is_estimated_for_metrics_that_have_one():
    def seconds(metric, n_jobs=1):
        params = {} if metric != "minkowski" else {"p": 2}
        return estimate_pass_seconds(IRIS, metric, params, n_jobs=n_jobs)

    assert seconds("euclidean") == seconds("minkowski") == seconds("mahalanobis") > 0
    assert seconds("euclidean", 2) == seconds("euclidean") / 2
    assert seconds("cosine") == seconds("manhattan") == seconds("chebyshev") == 0


def test_progress_goes_by_the_time_of_fits_and_scores():
    """A fit of k takes in proportion to k; before there is a score, one takes what the pass is said to take."""
    shares = []
    progress = search._Progress([1, 2, 3], 12.0, lambda event: shares.append(event.share))
    progress.report(1, "clustering")
    progress.add_fit(1, 1.0)
    progress.report(1, "done")
    progress.add_fit(2, 2.0)
    progress.add_fit(3, 3.0)
    tick = progress.part(3, "scoring", 2)
    tick(0.5)
    progress.add_score(3.0)
    progress.report(2, "done")
    progress.add_score(3.0)
    progress.report(3, "done")
    np.testing.assert_allclose(shares, [0, 1 / 18, (6 + 6) / 18, (6 + 3) / 12, 1])

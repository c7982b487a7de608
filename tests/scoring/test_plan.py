"""Plans predict the pairs that will be computed, and long calls are logged."""

import logging

import numpy as np
import pytest

import fastsil.scoring.plan as module
from assertions import with_peak
from fastsil import Plan, plan, silhouette_profile, silhouette_score
from fastsil.validation import check_labels


def overlapping(n, d, k, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    X = 0.8 * rng.normal(size=(k, d))[labels] + rng.normal(size=(n, d))
    return X.astype(np.float32), labels


@pytest.fixture
def small_probes(monkeypatch):
    """A run on few of the samples, so that something is predicted."""
    monkeypatch.setattr(module, "_PROBE_SAMPLES", (4_000, 4_000))
    monkeypatch.setattr(module, "_PROBE_LEAST_PRODUCTS", 1.0)
    monkeypatch.setattr(module, "_PROBE_SLOW", 500)


@pytest.mark.parametrize(("d", "k"), [(12, 3), (60, 12)])
def test_pairs_are_predicted(d, k, small_probes):
    X, labels = overlapping(9_000, d, k)
    found, work = plan(X, labels), silhouette_profile(X, labels).work
    assert found.strategy == work.strategy
    assert work.pairs / 1.5 < found.pairs < 1.5 * work.pairs
    assert found.share == found.pairs / 9_000**2
    assert found.seconds > 0
    assert (found.n_samples, found.n_features, found.n_clusters) == (9_000, d, k)


def cells(n, d, k):
    """Samples without groups, each with the nearest of k of them."""
    X = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    return X, np.square(X[:, None, :] - X[:k]).sum(axis=2).argmin(axis=1)


def test_pairs_of_clusters_of_ten_are_predicted(small_probes, monkeypatch):
    monkeypatch.setattr("fastsil.engines.euclidean.engine.SMALL_PRODUCTS", 0.0)
    monkeypatch.setattr("fastsil.engines.euclidean.engine._SMALL_SYMMETRIC", 0)
    monkeypatch.setattr(module, "_PROBE_SAMPLES", (1_500, 1_500))
    X, labels = cells(12_000, 2, 1_200)
    found, work = plan(X, labels), silhouette_profile(X, labels).work
    assert found.strategy == work.strategy == "euclidean: pruned"
    assert work.pairs / 1.5 < found.pairs < 1.5 * work.pairs
    assert found.phases["bounds"] > 0


def test_small_clusters_are_run_whole():
    """Some members of each are tighter than it is, and their number grows otherwise."""
    partition = check_labels(np.random.default_rng(0).integers(600, size=6_000), 6_000)
    rows = module._whole_clusters(partition, 1_000)
    assert 1_000 <= len(rows) < 1_100
    assert np.isin(np.bincount(partition.codes[rows], minlength=600) / partition.sizes, (0, 1)).all()
    assert module._takes_whole_clusters(partition, 1_000)
    one_is_large = check_labels(np.maximum(partition.codes - 300, 0), 6_000)
    assert not module._takes_whole_clusters(one_is_large, 1_000)


@pytest.mark.parametrize("metric", ["cosine", "manhattan", "chebyshev", "precomputed", "l1", "callable"])
def test_every_engine_has_a_plan(metric, small_probes):
    X, labels = overlapping(900, 4, 3)
    X = np.abs(X) if metric == "precomputed" else X
    if metric == "precomputed":
        X = np.abs(X[:, :1] - X[:, :1].T)
    if metric == "callable":
        X, labels = X[:300], labels[:300]
    found = plan(X, labels, metric=(lambda x, y: abs(x[0] - y[0])) if metric == "callable" else metric)
    assert found.metric == ("<lambda>" if metric == "callable" else metric)
    assert 0 < found.estimate_seconds <= found.seconds
    assert found.memory > 0
    assert f"{found.n_samples:,} samples" in str(found)


def test_small_clusters_are_in_the_probe(small_probes):
    X, labels = overlapping(5_000, 4, 3)
    labels[:2], labels[2] = 7, 8
    assert plan(X, labels).n_clusters == 5


def test_an_estimate_is_offered_where_it_is_sooner():
    sizes = {"n_samples": 10, "n_features": 2, "n_clusters": 2, "n_jobs": 1}
    long = Plan("way", 50.0, 7200.0, 1 << 20, 3.0, 1e-3, "euclidean", **sizes)
    assert "about 2.0 hours" in str(long)
    assert "tol=0.001): about 3 seconds" in str(long)
    assert "tol" not in str(Plan("way", 50.0, 3.0, 1 << 20, 3.0, 1e-3, "euclidean", **sizes))


def test_a_long_call_says_so_once(monkeypatch, caplog):
    X, labels = overlapping(4_000, 12, 3)
    with caplog.at_level(logging.WARNING, "fastsil"):
        silhouette_score(X, labels)
        assert not caplog.records
        monkeypatch.setattr(module, "_LONG_SECONDS", 0.0)
        for metric in ("cosine", "manhattan"):
            silhouette_score(X, labels, metric=metric)
        assert not caplog.records
        for metric in ("euclidean", "chebyshev"):
            silhouette_score(X, labels, metric=metric)
        assert [record.name for record in caplog.records] == ["fastsil"] * 2
        assert "Exact silhouettes of 4,000 samples in 3 clusters may take minutes" in caplog.text


def test_bad_arguments():
    X, labels = overlapping(30, 2, 3)
    with pytest.raises(ValueError, match="tol"):
        plan(X, labels, tol=-1)
    with pytest.raises(ValueError, match="metric"):
        plan(X, labels, metric="euclidian")


def test_the_phases_of_a_plan_are_its_time(small_probes):
    found = plan(*overlapping(6_000, 20, 12))
    assert sum(found.phases.values()) == pytest.approx(found.seconds)
    assert {"centers", "own clusters", "other clusters", "rest"} <= set(found.phases)
    assert all(seconds >= 0 for seconds in found.phases.values())


def test_a_plan_holds_little_of_many_features():
    """What it copies, and covariances of as many entries, are small."""
    rng = np.random.default_rng(0)
    X, labels = rng.standard_normal((16_000, 1024), np.float32), rng.integers(2, size=16_000)
    plan(X[:2000], labels[:2000])
    _, peak = with_peak(lambda: plan(X, labels, n_jobs=2))
    assert peak < 72 << 20


@pytest.mark.parametrize("metric", ["seuclidean", "mahalanobis"])
def test_a_part_in_which_a_feature_is_constant_is_planned(metric):
    """The variances are those of all samples; the part that runs may have none in a feature."""
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(40_000, 3)), rng.integers(5, size=40_000)
    X[:, 2] = 0.0
    X[-1, 2] = 1.0
    assert plan(X, labels, metric=metric).seconds > 0
    assert plan(X * 1e-200, labels, metric=metric, V=None).seconds > 0

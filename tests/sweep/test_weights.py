"""A sweep with weights clusters and judges by them."""

import numpy as np
import pytest
from sklearn.cluster import DBSCAN, HDBSCAN, AgglomerativeClustering, BisectingKMeans, KMeans, MiniBatchKMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score, calinski_harabasz_score, davies_bouldin_score
from sklearn.pipeline import make_pipeline

from fastsil import KMeansSweep, SilhouetteSweep, silhouette_samples, silhouette_score
from fastsil.sweep.kmeans import KMeansPath

X, _ = make_blobs(400, centers=[[0, 0, 0], [6, 0, 1], [0, 6, 0], [6, 6, 2]], random_state=2)
WEIGHTS = np.random.default_rng(0).integers(0, 4, size=400)
ROWS = np.repeat(np.arange(400), WEIGHTS)


def row_of(sweep, k):
    place = list(sweep.sweep_results_["n_clusters"]).index(k)
    return {name: column[place] for name, column in sweep.sweep_results_.items()}


@pytest.mark.parametrize("estimator", [None, KMeans(n_init=2), MiniBatchKMeans(n_init=1), BisectingKMeans()])
def test_rows_are_those_of_the_repeated_samples(estimator):
    sweep = KMeansSweep(range(2, 6), estimator=estimator, random_state=0).fit(X, sample_weight=WEIGHTS)
    for k, clusterer in sweep.estimators_.items():
        row, labels = row_of(sweep, k), clusterer.labels_
        repeated = X[ROWS], labels[ROWS]
        assert row["silhouette"] == pytest.approx(silhouette_score(*repeated), abs=1e-10)
        assert row["macro_silhouette"] == pytest.approx(silhouette_score(*repeated, average="macro"), abs=1e-10)
        assert row["calinski_harabasz"] == pytest.approx(calinski_harabasz_score(*repeated), rel=1e-9)
        assert row["davies_bouldin"] == pytest.approx(davies_bouldin_score(*repeated), rel=1e-9)
        if not isinstance(estimator, MiniBatchKMeans):  # whose inertia is that of its last centers
            means = np.stack([np.average(X[labels == c], axis=0, weights=WEIGHTS[labels == c]) for c in range(k)])
            inertia = WEIGHTS @ ((X - means[labels]) ** 2).sum(axis=1)
            assert row["inertia"] == pytest.approx(inertia, rel=1e-4)
        profile = sweep.profiles_[k]
        np.testing.assert_array_equal(profile.silhouettes, silhouette_samples(X, labels, sample_weight=WEIGHTS))
        np.testing.assert_array_equal(profile.sample_weight, WEIGHTS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_k_means_follows_the_weights(dtype):
    """As well as scikit-learn's restarts, and with an inertia that never rises."""
    points = np.random.default_rng(1).normal(size=(1500, 4)).astype(dtype)
    weights = np.exp(3 * points[:, 0].astype(float))
    path = KMeansPath(points, n_init=5, seed=0, sample_weight=weights)
    inertias = [path.fit(k).inertia_ for k in range(1, 9)]
    assert (np.diff(inertias) <= 0).all()
    for k in (2, 8):
        theirs = KMeans(k, n_init=5, random_state=0).fit(points, sample_weight=weights).inertia_
        assert inertias[k - 1] < 1.03 * theirs


def test_samples_without_weight_attract_no_cluster():
    far = np.vstack([X, X + 100])
    weights = np.repeat([1.0, 0.0], 400)
    sweep = KMeansSweep([4], random_state=0).fit(far, sample_weight=weights)
    alone = KMeansSweep([4], random_state=0).fit(X)
    assert adjusted_rand_score(sweep.labels_[:400], alone.labels_) == 1.0
    assert row_of(sweep, 4)["silhouette"] == pytest.approx(row_of(alone, 4)["silhouette"], abs=1e-12)
    # The test of gaps does not meet them either.
    assert sweep.verdict_.kind == alone.verdict_.kind == "groups"
    assert sweep.diagnosis_ is not None


def test_whitening_follows_the_weights():
    sweep = KMeansSweep([3, 4], metric=["mahalanobis", "cosine"], random_state=0).fit(X, sample_weight=WEIGHTS)
    for geometry in sweep.geometries_:
        for k, profile in geometry.profiles.items():
            labels = geometry.estimators[k].labels_
            expected = silhouette_samples(X, labels, metric=geometry.metric, sample_weight=WEIGHTS)
            np.testing.assert_allclose(profile.silhouettes, expected, atol=1e-9)
    # In the subspace in which the data lie.
    flat = np.column_stack([X, X[:, 0]])
    singular = KMeansSweep([3], metric="mahalanobis", random_state=0)
    with pytest.warns(UserWarning, match="rank 3 of 4"):
        singular.fit(flat, sample_weight=WEIGHTS)
    labels = singular.labels_
    expected = silhouette_score(X[ROWS], labels[ROWS], metric="mahalanobis")
    assert singular.best_score_ == pytest.approx(expected, abs=1e-9)


def test_estimated_scores_are_weighted(monkeypatch):
    monkeypatch.setattr("fastsil.scoring.estimate.exact_is_as_cheap", lambda *_: False)
    monkeypatch.setattr("fastsil.scoring.estimate.rounds._MOST_ROWS", 1.0)
    sweep = KMeansSweep([3, 4], tol=0.02, random_state=0).fit(X, sample_weight=WEIGHTS)
    for k, clusterer in sweep.estimators_.items():
        row = row_of(sweep, k)
        exact = silhouette_score(X, clusterer.labels_, sample_weight=WEIGHTS)
        assert row["silhouette_low"] <= exact <= row["silhouette_high"]
        assert (sweep.profiles_[k].sample_weight == WEIGHTS).all()


def test_a_checkpoint_is_of_its_weights(tmp_path):
    given = {"checkpoint": tmp_path, "random_state": 0}
    first = KMeansSweep([2, 4], **given).fit(X, sample_weight=WEIGHTS)
    again = KMeansSweep([2, 4], **given).fit(X, sample_weight=WEIGHTS)
    np.testing.assert_array_equal(again.sweep_results_["silhouette"], first.sweep_results_["silhouette"])
    assert again.profiles_[4].score == first.profiles_[4].score
    for weights in (None, WEIGHTS + 1):
        with pytest.raises(ValueError, match="sample_weight was"):
            KMeansSweep([2, 4], **given).fit(X, sample_weight=weights)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"pca": 2}, "pca=2 takes no sample_weight"),
        ({"pca": [None, 2]}, "takes no sample_weight; reduce X before"),
        ({"n_null": 19}, "n_null=19 takes no sample_weight"),
        ({"n_stability": 2}, "n_stability=2 takes no sample_weight"),
        ({"estimator": AgglomerativeClustering()}, r"AgglomerativeClustering\.fit takes no sample_weight"),
    ],
)
def test_what_takes_no_weights_says_so(changed, words):
    with pytest.raises(TypeError, match=words):
        KMeansSweep([2], **changed).fit(X, sample_weight=WEIGHTS)


def test_weights_of_a_dask_array_are_refused():
    da = pytest.importorskip("dask.array")
    with pytest.raises(TypeError, match="a Dask array takes no sample_weight"):
        KMeansSweep([2]).fit(da.from_array(X, chunks=(100, -1)), sample_weight=WEIGHTS)


def test_a_pipeline_hands_weights_on():
    direct = KMeansSweep([3, 4], random_state=0).fit(X, sample_weight=WEIGHTS)
    piped = make_pipeline(KMeansSweep([3, 4], random_state=0)).fit(X, kmeanssweep__sample_weight=WEIGHTS)
    np.testing.assert_array_equal(piped[-1].labels_, direct.labels_)
    np.testing.assert_array_equal(
        KMeansSweep([3, 4], random_state=0).fit_predict(X, sample_weight=WEIGHTS), direct.labels_
    )


def test_values_of_a_parameter_are_judged_by_the_weights():
    # A sample without weight can still join clusters of DBSCAN.
    weights = WEIGHTS + 1
    sweep = SilhouetteSweep(DBSCAN(min_samples=15), "eps", [0.7, 0.9, 1.5]).fit(X, sample_weight=weights)
    repeated = SilhouetteSweep(DBSCAN(min_samples=15), "eps", [0.7, 0.9, 1.5]).fit(np.repeat(X, weights, axis=0))
    for name in ("n_clusters", "noise_share", "score", "silhouette", "macro_silhouette"):
        found, expected = sweep.sweep_results_[name], repeated.sweep_results_[name]
        np.testing.assert_allclose(found, expected, atol=1e-10, err_msg=name)
    assert sweep.best_value_ == repeated.best_value_
    assert (sweep.sweep_results_["noise_share"][:2] > 0).all()


def test_noise_without_weight_is_left_out_all_the_same():
    weights = np.where(DBSCAN(eps=0.9, min_samples=8).fit_predict(X) == -1, 0.0, 1.0)
    sweep = SilhouetteSweep(lambda data, eps: DBSCAN(eps=eps, min_samples=8).fit_predict(data), "eps", [0.9])
    sweep.fit(X, sample_weight=weights)
    assert sweep.sweep_results_["noise_share"][0] == pytest.approx(0.0, abs=1e-12)
    kept = weights > 0
    assert sweep.best_score_ == pytest.approx(silhouette_score(X[kept], sweep.labels_[kept]), abs=1e-12)


def test_a_clusterer_without_weights_is_refused():
    with pytest.raises(TypeError, match=r"HDBSCAN\.fit takes no sample_weight"):
        SilhouetteSweep(HDBSCAN(copy=True), "min_cluster_size", [5, 9]).fit(X, sample_weight=WEIGHTS)

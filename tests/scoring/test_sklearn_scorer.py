"""Silhouettes as ``scoring``: in scikit-learn's searches, over clusterers of every kind."""

import copy
import pickle
import warnings

import numpy as np
import pytest
import sklearn
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.datasets import load_iris, make_blobs
from sklearn.decomposition import PCA
from sklearn.metrics import silhouette_samples, silhouette_score
from sklearn.model_selection import GridSearchCV, KFold, RandomizedSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastsil import KMeansSweep, SilhouetteScorer

X, _ = make_blobs(120, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
IRIS = load_iris().data * [1, 1000, 1, 1]
ALL = [(range(len(X)), range(len(X)))]


def k_means(**params):
    return KMeans(n_init=1, random_state=0, **params)


def close(expected):
    return pytest.approx(expected, abs=1e-10)


def test_it_scores_what_the_estimator_predicts():
    clusterer = k_means(n_clusters=3).fit(X[::2])
    expected = silhouette_score(X[1::2], clusterer.predict(X[1::2]))
    assert SilhouetteScorer()(clusterer, X[1::2]) == close(expected)
    assert SilhouetteScorer()(clusterer, X[1::2], y=np.zeros(60)) == close(expected)


def test_metric_its_keywords_and_average():
    clusterer = k_means(n_clusters=4).fit(X)
    labels = clusterer.labels_
    ours = SilhouetteScorer(metric="minkowski", metric_params={"p": 3})(clusterer, X)
    assert ours == close(silhouette_score(X, labels, metric="minkowski", p=3))
    samples = silhouette_samples(X, labels, metric="cosine")
    macro = np.mean([samples[labels == label].mean() for label in range(4)])
    assert SilhouetteScorer(metric="cosine", average="macro")(clusterer, X) == close(macro)


def test_splits():
    scores = cross_val_score(k_means(n_clusters=3), X, cv=KFold(3), scoring=SilhouetteScorer())
    for (train, test), score in zip(KFold(3).split(X), scores, strict=True):
        labels = k_means(n_clusters=3).fit(X[train]).predict(X[test])
        assert score == close(silhouette_score(X[test], labels))


def test_a_search_on_all_samples():
    search = GridSearchCV(k_means(), {"n_clusters": [2, 3, 4]}, scoring=SilhouetteScorer(), cv=ALL).fit(X)
    expected = [silhouette_score(X, k_means(n_clusters=k).fit_predict(X)) for k in (2, 3, 4)]
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], expected, atol=1e-10)
    assert search.best_params_ == {"n_clusters": 3}


@pytest.mark.slow
def test_several_scores_side_by_side_random_search_and_processes():
    scoring = {"micro": SilhouetteScorer(), "macro": SilhouetteScorer(average="macro")}
    results = cross_validate(k_means(n_clusters=3), X, scoring=scoring, cv=3, n_jobs=2)
    assert set(results) >= {"test_micro", "test_macro"}
    assert np.isfinite(results["test_macro"]).all()
    search = RandomizedSearchCV(
        k_means(), {"n_clusters": [2, 3]}, n_iter=2, scoring=scoring, refit="macro", cv=ALL, random_state=0
    )
    assert search.fit(X).best_params_ == {"n_clusters": 3}


@pytest.mark.parametrize("clusterer", [AgglomerativeClustering(3), DBSCAN(eps=1.5)], ids=lambda c: type(c).__name__)
def test_clusterers_that_cannot_predict_are_fitted_to_what_is_scored(clusterer):
    """Their labels_ are of other samples, even where these are as many."""
    fitted = clone(clusterer).fit(X[::2])
    before = fitted.labels_.copy()
    expected = silhouette_score(X[1::2], clone(clusterer).fit_predict(X[1::2]))
    assert SilhouetteScorer()(fitted, X[1::2]) == close(expected)
    np.testing.assert_array_equal(fitted.labels_, before)


def test_noise_is_left_out():
    clusterer = DBSCAN(eps=0.7).fit(X)
    labels = clusterer.labels_
    assert (labels == -1).any()
    expected = silhouette_score(X[labels != -1], labels[labels != -1])
    assert SilhouetteScorer(ignore_label=-1)(clusterer, X) == close(expected)


def test_pipelines_are_scored_where_they_cluster_or_where_samples_come_from():
    pipeline = make_pipeline(StandardScaler(), PCA(2), k_means(n_clusters=3)).fit(IRIS)
    labels = pipeline.predict(IRIS)
    there, here = silhouette_score(pipeline[:-1].transform(IRIS), labels), silhouette_score(IRIS, labels)
    assert abs(there - here) > 0.01
    assert SilhouetteScorer()(pipeline, IRIS) == close(there)
    assert SilhouetteScorer(space="input")(pipeline, IRIS) == close(here)
    nested = make_pipeline(StandardScaler(), make_pipeline(PCA(2), make_pipeline(k_means(n_clusters=3)))).fit(IRIS)
    assert SilhouetteScorer()(nested, IRIS) == close(there)


def test_a_pipeline_that_ends_in_a_clusterer_without_predict():
    pipeline = make_pipeline(StandardScaler(), AgglomerativeClustering(3)).fit(IRIS)
    scaled = StandardScaler().fit_transform(IRIS)
    labels = AgglomerativeClustering(3).fit_predict(scaled)
    assert SilhouetteScorer()(pipeline, IRIS) == close(silhouette_score(scaled, labels))
    assert SilhouetteScorer(space="input")(pipeline, IRIS) == close(silhouette_score(IRIS, labels))


def test_a_search_over_a_pipeline():
    pipeline = make_pipeline(StandardScaler(), PCA(2), k_means(n_clusters=3))
    grid = {"pca__n_components": [1, 2], "kmeans__n_clusters": [2, 3]}
    search = GridSearchCV(pipeline, grid, scoring=SilhouetteScorer(space="input"), cv=3).fit(IRIS)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    with sklearn.config_context(enable_metadata_routing=True):
        routed = GridSearchCV(pipeline, grid, scoring=SilhouetteScorer(space="input"), cv=3).fit(IRIS)
    np.testing.assert_array_equal(routed.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"])


def test_frames_and_sparse_data():
    pandas = pytest.importorskip("pandas")
    clusterer = k_means(n_clusters=3)
    expected = cross_val_score(clusterer, X, cv=3, scoring=SilhouetteScorer())
    frame = pandas.DataFrame(X, columns=["u", "v"])
    np.testing.assert_array_equal(cross_val_score(clusterer, frame, cv=3, scoring=SilhouetteScorer()), expected)
    sparse = cross_val_score(clusterer, csr_array(X), cv=3, scoring=SilhouetteScorer(metric="manhattan"))
    dense = cross_val_score(clusterer, X, cv=3, scoring=SilhouetteScorer(metric="manhattan"))
    np.testing.assert_allclose(sparse, dense, atol=1e-10)


@pytest.mark.parametrize("eps", [100.0, 1e-9], ids=["one cluster", "noise only"])
@pytest.mark.parametrize("ignore_label", [None, -1])
def test_labels_without_a_silhouette_are_the_worst_candidate(eps, ignore_label):
    scorer = SilhouetteScorer(ignore_label=ignore_label)
    assert scorer(DBSCAN(eps=eps).fit(X), X) == -1.0
    search = GridSearchCV(DBSCAN(), {"eps": [eps, 1.5]}, scoring=scorer, cv=ALL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert search.fit(X).best_params_ == {"eps": 1.5}


def test_as_many_clusters_as_samples_have_no_silhouette():
    clusterer = k_means(n_clusters=5).fit(X[:5])
    assert SilhouetteScorer()(clusterer, X[:5]) == -1.0
    assert np.isnan(SilhouetteScorer(undefined=np.nan)(clusterer, X[:5]))
    with pytest.raises(ValueError, match="Number of labels is 5"):
        SilhouetteScorer(undefined="raise")(clusterer, X[:5])


def test_the_search_decides_what_an_error_scores():
    scorer = SilhouetteScorer(undefined="raise")
    search = GridSearchCV(DBSCAN(), {"eps": [100.0, 1.5]}, scoring=scorer, cv=ALL, error_score=-7.0)
    with pytest.warns(UserWarning, match="Number of labels is 1"):
        search.fit(X)
    assert search.cv_results_["mean_test_score"][0] == -7.0


def test_other_errors_are_not_taken_for_a_bad_candidate():
    clusterer = k_means(n_clusters=3).fit(X)
    with pytest.raises(TypeError):
        SilhouetteScorer(metric="chebyshev", metric_params={"color": 1})(clusterer, X)
    with pytest.raises(TypeError, match="StandardScaler gives no labels"):
        SilhouetteScorer()(StandardScaler().fit(X), X)


def test_a_sweep_can_be_scored():
    sweep = KMeansSweep([2, 3, 4], n_init=1, random_state=0)
    assert (cross_val_score(sweep, X, cv=3, scoring=SilhouetteScorer()) > 0.5).all()


def test_it_is_a_plain_value():
    scorer = SilhouetteScorer(metric="mahalanobis", metric_params={"V": np.eye(2)}, n_jobs=1)
    clusterer = k_means(n_clusters=3).fit(X)
    for same in (pickle.loads(pickle.dumps(scorer)), copy.deepcopy(scorer), clone(scorer, safe=False)):
        assert same(clusterer, X) == scorer(clusterer, X)
    search = GridSearchCV(k_means(), {"n_clusters": [2]}, scoring=SilhouetteScorer(average="macro"))
    assert clone(search).scoring == search.scoring
    assert "average='macro'" in repr(search.scoring)
    with pytest.raises(AttributeError):
        scorer.metric = "cosine"


@pytest.mark.parametrize(
    "params",
    [{"metric": "euclidian"}, {"average": "weighted"}, {"space": "latent"}, {"undefined": "nan"}, {"undefined": None}],
    ids=str,
)
def test_bad_arguments_are_rejected_at_once(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        SilhouetteScorer(**params)

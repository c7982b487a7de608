"""A sweep over any clusterer's parameter: values, noise, numbers of clusters, and the verdict."""

import importlib.util

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.cluster import DBSCAN, HDBSCAN, AgglomerativeClustering, KMeans
from sklearn.datasets import make_blobs, make_circles, make_moons
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastsil import KMeansSweep, SilhouetteSweep, silhouette_profile, silhouette_score
from fastsil.sweep import density, parameter_sweep
from fastsil.sweep.results import ParameterRow, make_columns


def blobs_with_noise(seed=0):
    X, _ = make_blobs(240, centers=[[0, 0], [9, 0], [0, 9]], cluster_std=0.7, random_state=seed)
    return np.vstack([X, np.random.default_rng(seed).uniform(-5, 14, (40, 2))])


def columns_of(sweep, *names):
    return [sweep.sweep_results_[name].tolist() for name in names]


def test_rows_are_the_results_of_each_value():
    X, values = blobs_with_noise(), [0.05, 0.6, 1.0, 30.0]
    sweep = SilhouetteSweep(DBSCAN(), "eps", values, random_state=0).fit(X)
    assert sweep.sweep_results_["value"].tolist() == values
    for place, value in enumerate(values):
        labels = DBSCAN(eps=value).fit_predict(X)
        noise, found = float(np.mean(labels == -1)), len(set(labels) - {-1})
        assert sweep.sweep_results_["n_clusters"][place] == found
        assert sweep.sweep_results_["noise_share"][place] == pytest.approx(noise)
        if found < 2:
            assert sweep.profiles_[place] is None
            assert np.isnan(sweep.sweep_results_["silhouette"][place])
            continue
        profile = silhouette_profile(X, labels, ignore_label=-1)
        row = {name: column[place] for name, column in sweep.sweep_results_.items()}
        assert row["silhouette"] == pytest.approx(profile.score, abs=1e-12)
        assert row["macro_silhouette"] == pytest.approx(profile.macro_score, abs=1e-12)
        assert row["score"] == pytest.approx(profile.score * (1 - noise), abs=1e-12)
        assert (row["n_negative"], row["n_positive"]) == (profile.n_negative, profile.n_positive)
    assert not any(sweep.sweep_results_["error"])


def test_noise_counts_0_where_values_are_compared():
    """Two tight dots in noise score 1; a value that finds the groups wins all the same."""
    X = blobs_with_noise()
    X[:4], X[4:8] = [0, 0], [9, 0]
    sweep = SilhouetteSweep(DBSCAN(min_samples=4), "eps", [1e-9, 1.0], random_state=0).fit(X)
    assert sweep.sweep_results_["silhouette"][0] == 1
    assert sweep.sweep_results_["score"][0] == pytest.approx(8 / 280)
    assert sweep.best_value_ == 1.0
    by_score = SilhouetteSweep(DBSCAN(min_samples=4), "eps", [1e-9, 1.0], refit="silhouette").fit(X)
    assert by_score.best_value_ == 1.0


def test_the_verdict_is_that_of_the_gaps_and_names_value_and_noise():
    X = blobs_with_noise()
    sweep = SilhouetteSweep(HDBSCAN(copy=True), "min_cluster_size", [5, 10, 20], random_state=0).fit(X)
    verdict = sweep.verdict_
    assert (verdict.kind, verdict.k, verdict.headline) == ("groups", 3, "Separate groups: k = 3.")
    share = sweep.sweep_results_["noise_share"][sweep.best_index_]
    assert verdict.reasons[1].startswith(f"min_cluster_size = {sweep.best_value_} finds these 3 clusters, and leaves")
    assert f"{share:.1%} of the samples out as noise" in verdict.reasons[1]
    assert len(verdict.separate_pairs) == 3
    assert -1 not in np.ravel(verdict.separate_pairs)
    assert "set_params" not in str(verdict)
    assert sweep.labels_.tolist() == sweep.best_estimator_.labels_.tolist()


def test_without_groups_there_are_none():
    X = np.random.default_rng(1).normal(size=(300, 3))
    sweep = SilhouetteSweep(GaussianMixture(), "n_components", range(2, 6), random_state=0).fit(X)
    assert sweep.verdict_.structure == "none"
    assert sweep.verdict_.headline == "No separate groups found."
    assert "rings, chains or densities" in sweep.verdict_.advice[-1]


def test_it_is_the_sweep_over_k_for_k_means():
    X = blobs_with_noise()
    ks = range(2, 7)
    over_k = KMeansSweep(ks, estimator=KMeans(n_init=2), random_state=0).fit(X)
    sweep = SilhouetteSweep(KMeans(n_init=2), "n_clusters", ks, random_state=0).fit(X)
    np.testing.assert_allclose(sweep.sweep_results_["silhouette"], over_k.sweep_results_["silhouette"], atol=1e-12)
    assert (sweep.best_value_, sweep.best_k_) == (over_k.best_k_, over_k.best_k_)
    assert sweep.verdict_.headline == over_k.verdict_.headline
    assert sweep.verdict_.gap_p == over_k.verdict_.gap_p
    np.testing.assert_array_equal(sweep.predict(X[:5]), sweep.labels_[:5])


def test_a_callable_and_labels_of_text():
    X, names = blobs_with_noise(), np.array(["one", "two", "three", "four"])

    def cluster(X, resolution):
        return names[KMeans(round(3 * resolution), n_init=2, random_state=0).fit_predict(X)]

    sweep = SilhouetteSweep(cluster, "resolution", [0.7, 1.0, 1.3]).fit(X)
    assert columns_of(sweep, "value", "n_clusters") == [[0.7, 1.0, 1.3], [2, 3, 4]]
    assert (sweep.best_value_, sweep.best_k_) == (1.0, 3)
    assert set(sweep.labels_) <= set(names)
    assert not hasattr(sweep, "predict")


def test_a_parameter_of_a_pipeline():
    X = blobs_with_noise() * [1, 1000]
    pipeline = make_pipeline(StandardScaler(), AgglomerativeClustering(n_clusters=None))
    sweep = SilhouetteSweep(pipeline, "agglomerativeclustering__distance_threshold", [2.0, 8.0, 15.0]).fit(X)
    scaled = StandardScaler().fit_transform(X)
    expected = [len(set(AgglomerativeClustering(None, distance_threshold=t).fit_predict(scaled))) for t in (2, 8, 15)]
    assert sweep.sweep_results_["n_clusters"].tolist() == expected


@pytest.mark.parametrize("metric", ["cosine", "mahalanobis", "manhattan"])
def test_the_geometry_is_that_of_the_metric(metric):
    X = blobs_with_noise() + 20
    sweep = SilhouetteSweep(KMeans(n_init=2), "n_clusters", [2, 3, 4], metric=metric, random_state=0).fit(X)
    over_k = KMeansSweep([2, 3, 4], estimator=KMeans(n_init=2), metric=metric, random_state=0).fit(X)
    np.testing.assert_allclose(sweep.sweep_results_["silhouette"], over_k.sweep_results_["silhouette"], atol=1e-10)


def test_given_distances():
    X = blobs_with_noise()
    distances = cdist(X, X, "cityblock")
    clusterer = AgglomerativeClustering(metric="precomputed", linkage="average")
    sweep = SilhouetteSweep(clusterer, "n_clusters", [2, 3, 4], metric="precomputed").fit(distances)
    for k, score in zip([2, 3, 4], sweep.sweep_results_["score"], strict=True):
        labels = AgglomerativeClustering(k, metric="precomputed", linkage="average").fit_predict(distances)
        assert score == pytest.approx(silhouette_score(X, labels, metric="manhattan"), abs=1e-10)
    assert sweep.gaps_ is None
    with pytest.raises(ValueError, match="square matrix"):
        SilhouetteSweep(clusterer, "n_clusters", [2, 3], metric="precomputed").fit(X)


def test_values_that_fail_are_recorded_and_the_others_go_on():
    X = blobs_with_noise()
    with pytest.warns(FitFailedWarning, match=r"1 of 3 clusterings failed. eps=-1: InvalidParameterError"):
        sweep = SilhouetteSweep(DBSCAN(), "eps", [-1, 1.0, 1.2]).fit(X)
    assert sweep.estimators_[0] is None
    assert sweep.sweep_results_["error"][0].startswith("InvalidParameterError")
    assert sweep.best_value_ in (1.0, 1.2)


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"param_name": "epsilon"}, TypeError, "DBSCAN has no parameter 'epsilon'; it has algorithm, eps"),
        ({"values": []}, ValueError, "values is empty"),
        ({"estimator": 3}, TypeError, "estimator=3 is no clusterer"),
        ({"estimator": DBSCAN}, TypeError, "is no clusterer"),
        ({"values": [30.0, 40.0]}, ValueError, r"no value of eps gives a silhouette.*: 1 clusters were found"),
        ({"values": [-1]}, ValueError, "every clustering failed; eps=-1"),
        ({"refit": "score"}, ValueError, "refit='score' is not known"),
        ({"metric": ["euclidean", "cosine"]}, ValueError, "metric has several"),
        ({"estimator": lambda X, value: [0, 1]}, ValueError, "labels has 2 entries but X has 280 rows"),
        ({"estimator": lambda X, value: [None] * 280}, ValueError, "a missing value"),
    ],
)
def test_arguments_that_are_wrong(arguments, kind, words):
    with pytest.raises(kind, match=words):
        SilhouetteSweep(**{"estimator": DBSCAN(), "param_name": "eps", "values": [1.0], **arguments}).fit(
            blobs_with_noise()
        )


def test_a_sweep_over_k_points_to_it():
    X = blobs_with_noise()
    with pytest.raises(TypeError, match=r"no parameter n_clusters.*sweep another parameter with SilhouetteSweep"):
        KMeansSweep(estimator=DBSCAN()).fit(X)
    with pytest.raises(ValueError, match="takes distances with SilhouetteSweep"):
        KMeansSweep(metric="precomputed").fit(cdist(X, X))


def test_gaps_are_not_looked_for_between_hundreds_of_scraps(monkeypatch):
    monkeypatch.setattr(parameter_sweep, "_MOST_CLUSTERS", 3)
    sweep = SilhouetteSweep(KMeans(n_init=1), "n_clusters", [2, 3, 4, 5], random_state=0).fit(blobs_with_noise())
    assert sweep.gaps_.n_clusters.tolist() == [2, 3]


def test_pictures_and_page(tmp_path):
    pytest.importorskip("matplotlib", exc_type=ImportError)
    pytest.importorskip("jinja2", exc_type=ImportError)
    X = blobs_with_noise()
    sweep = SilhouetteSweep(HDBSCAN(copy=True), "min_cluster_size", [5, 20, 60])
    with pytest.raises(NotFittedError):
        sweep.report(tmp_path / "page.html")
    page = sweep.fit(X).report(tmp_path / "page.html", X).read_text()
    assert "samples left out" in page
    assert "min_cluster_size" in page
    ax = sweep.plot()
    assert [label.get_text() for label in ax.get_xticklabels()] == ["5", "20", "60"]
    counts = [text.get_text() for text in ax.texts]
    assert counts == [f"{k}" for k in sweep.sweep_results_["n_clusters"] if k > 1]


def test_a_frame_has_a_row_a_value():
    pytest.importorskip("pandas", exc_type=ImportError)
    X, _ = make_moons(200, noise=0.05, random_state=0)
    frame = SilhouetteSweep(DBSCAN(), "eps", [0.2, 0.3]).fit(X).to_frame()
    assert frame["value"].tolist() == [0.2, 0.3]


def test_columns_of_values_that_are_no_numbers():
    rows = [ParameterRow(2, value=value) for value in ("auto", None, (1, 2))]
    assert make_columns(rows)["value"].tolist() == ["auto", None, (1, 2)]
    assert make_columns([ParameterRow(2, value=value) for value in (1, 2.5)])["value"].dtype == np.float64


def circles():
    return make_circles(500, noise=0.04, factor=0.5, random_state=0)[0]


def test_density_finds_what_silhouettes_do_not():
    validity = pytest.importorskip("hdbscan.validity", exc_type=ImportError)
    X = circles()
    labelings = {"rings": (np.linalg.norm(X, axis=1) > 0.75).astype(int), "halves": (X[:, 0] > 0).astype(int)}

    def cluster(X, shape):
        return labelings[shape]

    sweep = SilhouetteSweep(cluster, "shape", ["rings", "halves"], density=True, random_state=0).fit(X)
    dbcv = sweep.sweep_results_["dbcv"]
    assert dbcv[0] == pytest.approx(validity.validity_index(X, labelings["rings"]))
    assert sweep.best_value_ == "halves"
    assert dbcv[0] > 0 > dbcv[1]
    assert f"highest at shape = rings: {dbcv[0]:.2f} (2 clusters, 0.0% noise)" in sweep.verdict_.reasons[-1]
    plain = SilhouetteSweep(cluster, "shape", ["halves"], random_state=0).fit(X)
    assert np.isnan(plain.sweep_results_["dbcv"]).all()
    assert plain.verdict_.advice[-1].endswith("sweep.set_params(density=True).fit(X).")


def test_density_of_scraps_and_of_many_samples(monkeypatch):
    pytest.importorskip("hdbscan", exc_type=ImportError)
    X, random = circles(), np.random.default_rng(0)
    labels = np.where(X[:, 0] > 0, 4, 9)
    assert np.isnan(density.measure_density(X, np.where(np.arange(500) < 2, 4, 9), -1, random))
    whole = density.measure_density(X, labels, -1, random)
    with_scraps = np.where(np.arange(500) < 2, 77, labels)
    assert density.measure_density(X, with_scraps, -1, random) == pytest.approx(
        density.measure_density(X, np.where(with_scraps == 77, -1, with_scraps), -1, random)
    )
    monkeypatch.setattr(density, "_MOST_SAMPLES", 300)
    assert density.measure_density(X, labels, -1, random) == pytest.approx(whole, abs=0.2)


def test_density_needs_samples_and_the_package(monkeypatch):
    X = circles()
    if importlib.util.find_spec("hdbscan"):
        with pytest.raises(ValueError, match="density=True takes samples"):
            SilhouetteSweep(DBSCAN(metric="precomputed"), "eps", [0.2], metric="precomputed", density=True).fit(
                cdist(X, X)
            )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"install it with: pip install 'fastsil\[density\]'"):
        SilhouetteSweep(DBSCAN(), "eps", [0.2], density=True).fit(X)


def test_a_sweep_over_k_points_to_it_where_groups_may_be_rings():
    sweep = KMeansSweep(range(2, 6), random_state=0).fit(circles())
    assert "try HDBSCAN in a SilhouetteSweep, and compare by DBCV" in " ".join(sweep.verdict_.advice)

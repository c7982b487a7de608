"""Each finding on data made to have just that fault, and none on healthy data."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.metrics import pairwise_distances

from fastsil import silhouette_profile
from fastsil.scoring.diagnosis import SEVERITIES, Diagnosis, Finding, NullReference

NULL = NullReference(score=0.5, mean=0.3, std=0.02, p_value=0.01)


def blobs(n_features=4, sizes=(60, 60, 60), distance=12.0, seed=0):
    """Round clusters of unit spread whose centers are ``distance`` apart."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.normal(size=(max(n_features, len(sizes)), len(sizes))))[0][:n_features].T
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return rng.normal(size=(len(labels), n_features)) + directions[labels] * distance / np.sqrt(2), labels


def found(X, labels, *, metric="euclidean", null=NULL, **params):
    return silhouette_profile(X, labels, metric=metric, **params).diagnose(X, null=null, **params)


def only(diagnosis, code):
    assert diagnosis.codes == (code,), str(diagnosis)
    return diagnosis.findings[0]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
@pytest.mark.parametrize(
    ("n_features", "sizes"),
    [(2, (50, 50)), (3, (200, 150, 250)), (16, (40,) * 8), (200, (100, 80, 120)), (5, (20,) * 40)],
)
def test_healthy_clusters_raise_nothing(n_features, sizes, seed):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    centers = rng.normal(size=(len(sizes), n_features)) * 30 / np.sqrt(min(n_features, 20))
    X = centers[labels] + rng.normal(size=(len(labels), n_features))
    if n_features == 2:
        X = np.concatenate([X, X[:, ::-1] * [1, -1]]) + 100
        labels = np.concatenate([labels, labels + len(sizes)])
    labels = KMeans(labels.max() + 1, n_init=20, random_state=0).fit(X).labels_
    diagnosis = found(X, labels)
    assert diagnosis.codes == (), str(diagnosis)
    assert not diagnosis.not_checked


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "correlation", "manhattan", "mahalanobis", "chebyshev"])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_healthy_clusters_raise_nothing_in_other_metrics(metric, seed):
    diagnosis = found(*blobs(n_features=6, distance=30.0, seed=seed), metric=metric)
    assert diagnosis.codes == (), str(diagnosis)


def test_elongated_clusters_that_are_apart_are_healthy():
    X, labels = blobs(n_features=2, sizes=(100, 100))
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    assert found((X * [3.0, 1.0]) @ turn, labels).codes == ()


def test_iris_is_healthy():
    X = load_iris().data
    assert found(X, KMeans(3, n_init=10, random_state=0).fit(X).labels_).codes == ()


def test_shuffled_labels():
    X, labels = blobs()
    finding = only(found(X, np.random.default_rng(1).permutation(labels)), "labels_shuffled")
    assert finding.severity == "fault"
    assert finding.numbers["p_value"] > 0.05
    assert "same order of rows" in finding.advice


def test_labels_of_another_fit():
    X, labels = blobs()
    labels = labels.copy()
    wrong = np.random.default_rng(0).permutation(180)[:45]
    labels[wrong] = (labels[wrong] + 1) % 3
    finding = only(found(X, labels), "labels_do_not_fit")
    assert finding.numbers["share"] == pytest.approx(45 / 180)
    assert "25.0%" in finding.message


def wide_and_tight(n_features=80):
    """Wide clusters around a tight one: their members are well placed, and yet nearer to it than to each other."""
    rng = np.random.default_rng(0)
    axes = np.eye(n_features)[:5] * 6.5
    labels = np.repeat(np.arange(11), 60)
    spread = np.where(labels == 10, 0.05, 1.0)
    noise = rng.normal(size=(len(labels), n_features)) * spread[:, None]
    return np.vstack([axes, -axes, np.zeros(n_features)])[labels] + noise, labels


def test_unequal_spread():
    diagnosis = found(*wide_and_tight())
    finding = only(diagnosis, "unequal_spread")
    assert finding.severity == "note"
    assert finding.numbers["mean_silhouette"] < 0
    assert finding.numbers["largest_radius"] == pytest.approx(np.sqrt(80), rel=0.05)
    assert finding.numbers["least_radius"] == pytest.approx(0.05 * np.sqrt(80), rel=0.1)
    assert finding.clusters == tuple(range(10))


def test_no_structure_beyond_the_null():
    X, labels = blobs()
    null = NullReference(score=0.21, mean=0.2, std=0.02, p_value=0.4)
    finding = only(found(X, labels, null=null), "no_structure")
    assert "0.200 ± 0.020" in finding.message
    assert "no_structure" in found(X, labels, null=None).not_checked


def test_distances_that_hardly_differ():
    X = np.random.default_rng(0).normal(size=(400, 300))
    labels = KMeans(3, n_init=3, random_state=0).fit(X).labels_
    finding = only(found(X, labels), "distances_alike")
    distances = pairwise_distances(X)[np.triu_indices(400, 1)]
    assert finding.numbers["relative_spread"] == pytest.approx(distances.std() / distances.mean())
    assert all(word in finding.advice for word in ("PCA", "cosine", "whitening"))


def test_one_feature_in_another_unit():
    X = np.random.default_rng(0).normal(size=(400, 5)) * [1, 1, 1000, 1, 1]
    labels = KMeans(3, n_init=3, random_state=0).fit(X).labels_
    finding = only(found(X, labels), "dominating_feature")
    assert finding.numbers["feature"] == 2
    assert finding.message.startswith("Feature 2 (counted from 0) makes 100.0% of all squared distances")
    named = silhouette_profile(X, labels).diagnose(X, null=NULL, feature_names=["a", "b", "income", "d", "e"])
    assert named.findings[0].message.startswith("Feature income makes")


@pytest.mark.parametrize(
    ("n_features", "large", "is_found"), [(9, 2, True), (9, 3, True), (6, 3, False), (3, 2, False)]
)
def test_few_features_in_another_unit(n_features, large, is_found):
    X = np.random.default_rng(0).normal(size=(400, n_features))
    X[:, 1 : 1 + large] *= 300
    diagnosis = found(X, KMeans(3, n_init=3, random_state=0).fit(X).labels_)
    assert ("dominating_feature" in diagnosis.codes) == is_found
    if is_found:
        finding = diagnosis.findings[0]
        assert finding.numbers["n_features"] == large
        assert finding.numbers["share"] > 0.99
        assert finding.advice.endswith(" StandardScaler().fit_transform(X)")


def test_features_that_two_data_sets_of_scikit_learn_are_known_for():
    pytest.importorskip("pandas")
    for data, names in (
        (load_breast_cancer(as_frame=True), "worst area and mean area"),
        (load_wine(as_frame=True), "proline"),
    ):
        labels = KMeans(2, n_init=3, random_state=0).fit(data.data).labels_
        messages = [one.message for one in silhouette_profile(data.data, labels).diagnose(data.data)]
        assert sum(f" {names} make" in message for message in messages) == 1


def test_a_common_direction_of_rows():
    X, labels = blobs(distance=30.0)
    finding = only(found(X + 100, labels, metric="cosine"), "dominating_offset")
    assert finding.numbers["mean_cosine"] == pytest.approx(1 - pairwise_distances(X + 100, metric="cosine").mean())


def test_an_offset_that_rounds_the_data():
    X, labels = blobs()
    finding = only(found((X + 3e6).astype(np.float32), labels), "dominating_offset")
    assert "float32" in finding.message
    assert found(X + 3e6, labels).codes == ()


def test_duplicates():
    X, labels = blobs()
    X[5:30] = X[4]
    finding = only(found(X, labels), "duplicates")
    assert finding.numbers["repeats"] == 25


def test_duplicates_are_equal_rows_and_no_others():
    rng = np.random.default_rng(0)
    X = rng.integers(-4, 5, size=(4000, 5)).astype(float)
    X[X == 0] *= rng.choice([-1.0, 1.0], size=np.count_nonzero(X == 0))  # -0.0 equals 0.0
    labels = np.arange(4000) % 4
    finding = next(f for f in found(X, labels) if f.code == "duplicates")
    assert finding.numbers["repeats"] == 4000 - len(np.unique(X + 0.0, axis=0))


def test_singletons():
    X, labels = blobs()
    X, labels = np.vstack([X, [[40.0] * 4, [-60.0] * 4]]), np.append(labels, [7, 9])
    diagnosis = found(X, labels)
    # The macro mean counts each of them as a cluster.
    assert diagnosis.codes == ("singletons", "means_disagree")
    assert diagnosis.findings[0].clusters == (7, 9)
    assert set(diagnosis.findings[1].clusters) <= {7, 9}


def test_tiny_clusters():
    X, labels = blobs(sizes=(400, 400, 5))
    finding = only(found(X, labels), "tiny_clusters")
    assert finding.clusters == (2,)
    assert finding.numbers["least_size"] == 5


@pytest.mark.parametrize("names", [np.array([0, 1, -1]), np.array(["0", "1", "-1"])])
def test_noise_scored_as_a_cluster(names):
    X, labels = blobs()
    finding = only(found(X, names[labels]), "noise_label")
    assert finding.numbers["samples"] == 60
    assert f"ignore_label={names.tolist()[-1]!r}" in finding.advice


def test_minus_one_and_one_are_two_classes():
    X, labels = blobs(sizes=(60, 60))
    assert found(X, np.array([-1, 1])[labels]).codes == ()


def test_means_that_disagree_name_the_cluster():
    X, labels = blobs(sizes=(400, 400, 40, 40), distance=30.0)
    X[840:] = X[800:840] + 1.0
    diagnosis = found(X, labels)
    finding = only(diagnosis, "means_disagree")
    assert set(finding.clusters) <= {2, 3}
    assert finding.numbers["micro"] - finding.numbers["macro"] > 0.05


def test_without_data_the_diagnosis_says_what_it_could_not_look_at():
    X, labels = blobs()
    diagnosis = silhouette_profile(X, labels).diagnose()
    assert {"labels_shuffled", "duplicates", "no_structure"} <= set(diagnosis.not_checked)
    assert "Not checked" in str(diagnosis)


@pytest.mark.parametrize("n_apart", [1, 3])
def test_an_outlier_in_a_cluster_of_its_own_is_not_taken_for_shuffled_labels(n_apart):
    """Of 5,000 samples some are drawn, and hardly one of the small cluster: all orders of their labels are alike."""
    X = np.random.default_rng(0).normal(size=(5000, 3))
    X[:n_apart] += 20
    assert "labels_shuffled" not in found(X, np.arange(5000) < n_apart).codes


def test_distances_alone_show_shuffled_labels():
    X, labels = blobs()
    distances = pairwise_distances(X)
    assert found(distances, labels, metric="precomputed").codes == ()
    shuffled = np.random.default_rng(1).permutation(labels)
    assert found(distances, shuffled, metric="precomputed").codes == ("labels_shuffled",)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_sparse_and_dense_data_get_the_same_diagnosis(metric):
    X, labels = blobs()
    X = np.maximum(X, 0)
    sparse = silhouette_profile(csr_matrix(X), labels, metric=metric).diagnose(csr_matrix(X))
    assert sparse.codes == silhouette_profile(X, labels, metric=metric).diagnose(X).codes


def test_a_callable_has_no_distances_to_look_at():
    X, labels = blobs(sizes=(10, 10))
    profile = silhouette_profile(X, labels, metric=lambda x, y: float(np.abs(x - y).max()))
    assert {"labels_shuffled", "distances_alike"} <= set(profile.diagnose(X).not_checked)


def test_keywords_of_the_metric_are_those_of_the_score():
    X, labels = blobs()
    assert found(X, labels, metric="mahalanobis", V=np.eye(4)).codes == ()
    assert found(X, labels, metric="minkowski", p=3).codes == ()


def test_other_data_are_refused():
    X, labels = blobs()
    with pytest.raises(ValueError, match="179 rows but 180 samples were scored"):
        silhouette_profile(X, labels).diagnose(X[:-1])


def test_the_worst_comes_first_and_the_input_stays():
    X, labels = wide_and_tight()
    labels = np.random.default_rng(0).permutation(labels)
    before = X.copy()
    severities = [SEVERITIES.index(finding.severity) for finding in found(X, labels)]
    assert severities == sorted(severities)
    np.testing.assert_array_equal(X, before)


def test_words_for_a_terminal_are_narrow_and_say_everything():
    diagnosis = found(*wide_and_tight())
    text = str(diagnosis)
    assert max(map(len, text.splitlines())) <= 92
    assert "NOTE  unequal_spread" in text
    assert " ".join(diagnosis.findings[0].advice.split()[:6]) in text


def test_html_shows_labels_as_text():
    X, labels = blobs(sizes=(400, 400, 5))
    names = np.array(["a", "b", "<script>alert(1)</script>"])[labels]
    html = found(X, names)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_a_diagnosis_is_a_sequence_of_findings():
    finding = Finding("code", "note", "message", "advice")
    diagnosis = Diagnosis((finding,), ("code",), ())
    assert list(diagnosis) == [finding]
    assert len(diagnosis) == 1
    assert "1 finding in 1 checks" in str(diagnosis)

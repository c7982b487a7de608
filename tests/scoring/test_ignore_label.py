"""Samples with an ignored label are as if they were not there."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import pairwise_distances

from assertions import assert_same_bits
from fastsil import silhouette_profile, silhouette_samples, silhouette_score
from strategies import labeled_data, seeds

METRICS = ["euclidean", "cosine", "sqeuclidean", "manhattan", "chebyshev", "precomputed"]


def blobs_with_noise(n_noise=15):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2, -1], [20, 25, 30, n_noise])
    X = rng.normal(size=(len(labels), 3)) + 6 * labels[:, None]
    shuffled = rng.permutation(len(labels))
    return X[shuffled], labels[shuffled]


def of_metric(X, metric):
    return pairwise_distances(X, metric="euclidean") if metric == "precomputed" else X


def subset(X, kept, metric):
    return X[np.ix_(kept, kept)] if metric == "precomputed" else X[kept]


@given(labeled_data(), st.sampled_from(METRICS), st.integers(1, 5), seeds())
def test_equals_the_subset(data, metric, n_noise, seed):
    X, labels = data
    rng = np.random.default_rng(seed)
    X = np.vstack([X, X[rng.integers(len(X), size=n_noise)] * 2 + 1])
    labels = np.append(labels, np.full(n_noise, -1))
    shuffled = rng.permutation(len(labels))
    X, labels = of_metric(X[shuffled], metric), labels[shuffled]
    kept = labels != -1
    samples = silhouette_samples(X, labels, metric=metric, ignore_label=-1)
    assert_same_bits(samples[kept], silhouette_samples(subset(X, kept, metric), labels[kept], metric=metric))
    assert np.isnan(samples[~kept]).all()


@pytest.mark.parametrize("metric", METRICS)
def test_scores_and_profile_equal_those_of_the_subset(metric):
    X, labels = blobs_with_noise()
    X, kept = of_metric(X, metric), labels != -1
    rest, of_rest = subset(X, kept, metric), labels[kept]
    for keywords in ({}, {"average": "macro"}, {"sample_size": 40, "random_state": 3}):
        score = silhouette_score(X, labels, metric=metric, ignore_label=-1, **keywords)
        assert score == silhouette_score(rest, of_rest, metric=metric, **keywords)
    profile = silhouette_profile(X, labels, metric=metric, ignore_label=-1)
    expected = silhouette_profile(rest, of_rest, metric=metric)
    for name in ("silhouettes", "a", "b"):
        assert_same_bits(getattr(profile, name)[kept], getattr(expected, name))
        assert np.isnan(getattr(profile, name)[~kept]).all()
    assert (profile.neighbor[kept] == expected.neighbor).all()
    assert (profile.neighbor[~kept] == -1).all()
    assert (profile.labels == labels).all()
    assert (profile.ignored == ~kept).all()
    assert profile.n_ignored == 15
    assert expected.n_ignored == 0
    for name in ("score", "macro_score", "n_samples", "n_clusters", "n_negative", "n_zero", "n_positive"):
        assert getattr(profile, name) == getattr(expected, name)
    for name, column in vars(expected.clusters).items():
        assert_same_bits(getattr(profile.clusters, name), column)
    assert [finding.code for finding in profile.diagnose(X)] == [finding.code for finding in expected.diagnose(rest)]


def test_what_a_profile_shows():
    pytest.importorskip("pandas")
    pytest.importorskip("matplotlib").use("agg")
    X, labels = blobs_with_noise()
    profile = silhouette_profile(X, labels, ignore_label=-1)
    assert profile.to_frame()["silhouette"].isna().sum() == 15
    assert "n_samples=75, n_ignored=15" in repr(profile)
    assert "15 more were left out" in profile._repr_html_()
    profile.plot()
    profile.plot_distribution()


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames(library):
    frames = pytest.importorskip(library)
    X, labels = blobs_with_noise()
    frame = frames.DataFrame({f"feature {j}": X[:, j] for j in range(3)})
    assert_same_bits(
        silhouette_samples(frame, frames.Series(labels), ignore_label=-1),
        silhouette_samples(X, labels, ignore_label=-1),
    )


@pytest.mark.parametrize("container", ["csr_array", "csc_matrix", "coo_array"])
@pytest.mark.parametrize("metric", ["cosine", "precomputed"])
def test_sparse(container, metric):
    X, labels = blobs_with_noise()
    X, kept = of_metric(X, metric), labels != -1
    samples = silhouette_samples(getattr(scipy.sparse, container)(X), labels, metric=metric, ignore_label=-1)
    np.testing.assert_allclose(
        samples, silhouette_samples(X, labels, metric=metric, ignore_label=-1), rtol=0, atol=1e-12
    )
    assert (np.isnan(samples) == ~kept).all()


@pytest.mark.parametrize(
    "names", [np.array(["a", "b", "c", "noise"]), np.array(["a", "b", "c", "noise"], dtype=object)]
)
def test_labels_of_other_kinds(names):
    X, labels = blobs_with_noise()
    profile = silhouette_profile(X.tolist(), names[labels].tolist(), ignore_label="noise")
    assert_same_bits(profile.silhouettes, silhouette_samples(X, labels, ignore_label=-1))
    assert set(profile.neighbor[labels == -1]) == {names[-1]}


@pytest.mark.parametrize("absent", [7, -1.5])
def test_an_absent_label_changes_nothing(absent):
    X, labels = blobs_with_noise()
    assert_same_bits(silhouette_samples(X, labels, ignore_label=absent), silhouette_samples(X, labels))
    names = labels.astype(str)
    assert_same_bits(silhouette_samples(X, names, ignore_label="noise"), silhouette_samples(X, labels))


def test_float32_stays():
    X, labels = blobs_with_noise()
    assert silhouette_samples(X.astype(np.float32), labels, ignore_label=-1).dtype == np.float32


@pytest.mark.parametrize("function", [silhouette_samples, silhouette_score, silhouette_profile])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([-1, -1, -1, -1], "All 4 samples have the label -1"),
        ([-1, 0, 0, 0], "Number of labels is 1 among the 3 samples"),
        ([-1, 0, 1, 2], "Number of labels is 3 among the 3 samples"),
        ([-1, 0, 1], "labels has 3 entries but X has 4 rows"),
    ],
)
def test_too_little_left(function, labels, message):
    with pytest.raises(ValueError, match=message):
        function([[0.0], [1.0], [2.0], [3.0]], labels, ignore_label=-1)


def test_one_label_only():
    with pytest.raises(ValueError, match="must be one label"):
        silhouette_samples([[0.0], [1.0], [2.0]], [0, 0, 1], ignore_label=[-1, 0])


@pytest.mark.parametrize("container", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ((5, 8, np.nan), "NaN: row 5, column 8"),
        ((5, 8, -1.0), "row 5, column 8 is -1.0"),
        ((5, 5, 2.0), r"diagonal \(row 5: 2.0\)"),
    ],
)
def test_what_is_no_distance_is_named_by_its_place_in_the_whole_matrix(wrong, match, container):
    labels = np.array([-1, -1, 0, 0, -1, 0, 1, 1, 1])
    D = np.ones((9, 9)) - np.eye(9)
    D[0, 1] = D[0, 0] = D[5, 0] = np.nan  # of samples that are left out
    silhouette_samples(container(D), labels, metric="precomputed", ignore_label=-1)
    D[wrong[:2]] = wrong[2]
    with pytest.raises(ValueError, match=match):
        silhouette_samples(container(D), labels, metric="precomputed", ignore_label=-1)


@pytest.mark.parametrize(
    ("labels", "ignored", "words"),
    [
        ([0, 1, 0, 1], "1", "ignore_label='1' is no label; labels are integers such as 0, 1"),
        ([0.0, 1.0, 0.0, 1.0], "1", "labels are numbers such as 0.0, 1.0"),
        (["0", "1", "0", "1"], 1, "ignore_label=1 is no label; labels are text such as '0', '1'"),
        (np.array(["0", "1", "0", "1"], dtype=object), -1, "labels are text such as '0', '1'"),
        (np.array([0, 1, 0, 1], dtype=object), "1", "labels are numbers such as 0, 1"),
    ],
)
def test_text_among_numbers_is_refused(labels, ignored, words):
    with pytest.raises(ValueError, match=words):
        silhouette_samples(np.eye(4), labels, ignore_label=ignored)

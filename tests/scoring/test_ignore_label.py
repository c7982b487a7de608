"""Samples with an ignored label are as if they were not there."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import pairwise_distances

from assertions import assert_same_bits
from fastsil import (
    SilhouetteStream,
    plan,
    silhouette_estimate,
    silhouette_profile,
    silhouette_profiles,
    silhouette_samples,
    silhouette_samples_many,
    silhouette_score,
)
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


@pytest.mark.parametrize("metric", METRICS)
def test_labelings_with_noise_of_their_own(metric):
    X, labels = blobs_with_noise()
    X = of_metric(X, metric)
    labelings = [labels, np.where(labels == 2, -1, labels + 1), labels % 2, np.where(labels == -1, -1, labels % 2)]
    silhouettes = silhouette_samples_many(X, labelings, metric=metric, ignore_label=-1)
    profiles = silhouette_profiles(X, labelings, metric=metric, ignore_label=-1)
    for row, profile, one in zip(silhouettes, profiles, labelings, strict=True):
        expected = silhouette_samples(X, one, metric=metric, ignore_label=-1)
        np.testing.assert_allclose(row, expected, atol=1e-10)
        np.testing.assert_allclose(profile.silhouettes, expected, atol=1e-10)
        np.testing.assert_array_equal(profile.labels, one)
    with pytest.raises(ValueError, match=r"labelings\[1\]: All 90 samples have the label -1"):
        silhouette_samples_many(X, [labels, np.full(90, -1)], metric=metric, ignore_label=-1)


@pytest.mark.parametrize("metric", ["sqeuclidean", "cosine", "correlation"])
def test_a_stream_leaves_noise_out(metric):
    X, labels = blobs_with_noise()
    noise_only = np.flatnonzero(labels == -1)[:5]
    rest = np.setdiff1d(np.arange(len(labels)), noise_only)
    batches = [(X[rows], labels[rows]) for rows in (noise_only, rest[:40], rest[40:])]
    first, second = (SilhouetteStream(metric, ignore_label=-1) for _ in range(2))
    for batch in batches[:2]:
        first.partial_fit(*batch)
    stream = first.merge(second.partial_fit(*batches[2]))
    assert stream.n_samples_seen_ == (labels != -1).sum()
    assert -1 not in stream.classes_
    found = np.empty(len(labels))
    for rows, batch in zip((noise_only, rest[:40], rest[40:]), batches, strict=True):
        found[rows] = stream.score_samples(*batch)
    expected = silhouette_samples(X, labels, metric=metric, ignore_label=-1)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    assert stream.score(batches) == pytest.approx(np.nanmean(expected))
    with pytest.raises(ValueError, match="other has ignore_label=None, this stream -1"):
        stream.merge(SilhouetteStream(metric))


KEPT = np.array([True, True, False, True, True, True, True, True])


def missing_labels():
    """Labels of two clusters, of which the third is missing."""
    text, numbers = ["a", "a", None, "b", "b", "b", "a", "b"], [0, 0, None, 1, 1, 1, 0, 1]
    days = np.array(["2020", "2020", "NaT", "2021", "2021", "2021", "2020", "2021"], dtype="M8[D]")
    found = [
        numbers,
        text,
        [float("nan") if label is None else label for label in text],
        np.array(numbers, dtype=float),
        np.array(text, dtype=object),
        days,
        np.ma.masked_equal([0, 0, 5, 1, 1, 1, 0, 1], 5),
        np.ma.masked_equal(np.array([0, 0, 5, 1, 1, 1, 0, 1], dtype=float), 5),
    ]
    try:
        import pandas
    except ImportError:
        return found
    return [
        *found,
        pandas.Series(numbers, dtype="Int64"),
        pandas.Series(text, dtype="string"),
        pandas.Series(text, dtype="category"),
        pandas.Series(days),
        [pandas.NA if label is None else label for label in numbers],
        [pandas.NA if label is None else label for label in text],
        [pandas.NaT if label is None else label for label in numbers],
    ]


@pytest.mark.parametrize("labels", missing_labels(), ids=lambda labels: type(labels).__name__)
def test_missing_labels_are_left_out_or_an_error_that_says_how(labels):
    X = np.arange(16.0).reshape(8, 2) ** 1.3
    clusters = np.array([0, 0, 0, 1, 1, 1, 0, 1])[KEPT]
    expected = silhouette_samples(X[KEPT], clusters)
    for function in (silhouette_samples, silhouette_score, silhouette_profile, silhouette_estimate, plan):
        with pytest.raises(ValueError, match=r"at row 2; leave such samples out with ignore_label=numpy\.nan"):
            function(X, labels)
    with pytest.raises(ValueError, match=r"labelings\[0\]: .* at row 2; leave such samples out"):
        silhouette_samples_many(X, [labels])
    with pytest.raises(ValueError, match="at row 2; leave such samples out"):
        SilhouetteStream("cosine").partial_fit(X, labels)
    for found in (
        silhouette_samples(X, labels, ignore_label=np.nan),
        silhouette_samples_many(X, [labels], ignore_label=np.nan)[0],
        silhouette_profile(X, labels, ignore_label=np.nan).silhouettes,
    ):
        np.testing.assert_allclose(found[KEPT], expected, atol=1e-12)
        assert np.isnan(found[2])
    stream = SilhouetteStream("sqeuclidean", ignore_label=np.nan).partial_fit(X, labels)
    assert np.isnan(stream.score_samples(X, labels)).tolist() == (~KEPT).tolist()
    assert stream.cluster_sizes_.sum() == KEPT.sum()
    assert silhouette_score(X, labels, ignore_label=np.nan) == pytest.approx(expected.mean())
    assert plan(X, labels, ignore_label=np.nan).n_samples == KEPT.sum()


def test_missing_labels_of_a_dask_array_are_left_out():
    dask_array = pytest.importorskip("dask.array")
    X = np.random.default_rng(0).normal(size=(30, 3))
    labels = np.where(np.arange(30) % 7 == 3, np.nan, np.arange(30) % 3)
    blocks = dask_array.from_array(X, chunks=(8, 3))
    for metric in ("euclidean", "cosine", "chebyshev"):
        expected = silhouette_samples(X, labels, metric=metric, ignore_label=np.nan)
        for of_blocks in (labels, dask_array.from_array(labels, chunks=8)):
            found = silhouette_samples(blocks, of_blocks, metric=metric, ignore_label=np.nan)
            np.testing.assert_allclose(found.compute(), expected, atol=1e-9)
    with pytest.raises(ValueError, match=r"at row 3; leave such samples out with ignore_label=numpy\.nan"):
        silhouette_samples(blocks, labels)


def test_infinity_is_no_missing_label():
    with pytest.raises(ValueError, match=r"labels contains inf \(infinity\) at row 2"):
        silhouette_samples(np.arange(6.0)[:, None], [0, 0, np.inf, 1, 1, 1], ignore_label=np.nan)

"""A stream gives what one call on all data gives, however the data are cut, ordered, merged and sent around."""

import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.sparse import csr_array

import reference
from assertions import assert_same_bits, assert_silhouettes_close
from fastsil import SilhouetteStream, silhouette_samples, silhouette_score
from fastsil.engines.linear.summaries import merge, normalize_lazily, summarize
from fastsil.validation import check_part_labels
from strategies import labeled_data, seeds

METRICS = ["sqeuclidean", "cosine", "correlation"]
metrics = pytest.mark.parametrize("metric", METRICS)


def cut(X, labels, edges):
    return list(zip(np.split(X, edges), np.split(labels, edges), strict=True))


def streamed(metric, batches):
    stream = SilhouetteStream(metric)
    for X, labels in batches:
        stream.partial_fit(X, labels)
    return stream


def far_clusters(dtype=np.float64):
    """Tight clusters far from 0 and, unequally, from each other; the first member of each batch is an outlier."""
    rng = np.random.default_rng(3)
    labels = rng.permutation(np.arange(240) % 4)
    centers = np.array([0.0, 1e-2, 10.0, 1e5])[:, None] * rng.normal(size=(4, 6))
    X = 100 + centers[labels] + 1e-3 * rng.normal(size=(240, 6))
    X[::60] += 1e3
    return X.astype(dtype), labels


@metrics
@given(data=labeled_data(scales=st.integers(-3, 3)), seed=seeds())
def test_any_cut_in_any_order_gives_the_samples_of_one_call(metric, data, seed):
    X, labels = data
    assume(metric != "correlation" or not (X[:, :1] == X).all(axis=1).any())
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(X))
    edges = np.unique(rng.integers(1, len(X), size=3))
    stream = streamed(metric, cut(X[shuffled], labels[shuffled], edges))
    assert_silhouettes_close(
        stream.score_samples(X, labels), silhouette_samples(X, labels, metric=metric), dtype=np.float64
    )


@metrics
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_batches", [4, 240])
def test_digits_are_kept_however_small_the_batches(metric, dtype, n_batches):
    X, labels = far_clusters(dtype)
    stream = streamed(metric, cut(X, labels, np.arange(1, n_batches) * 240 // n_batches))
    a, b = reference.compute_terms(X, labels, metric)[:2]
    expected = (b - a) / np.maximum(a, b)
    assert_silhouettes_close(stream.score_samples(X, labels), expected, dtype=dtype)


def test_merging_is_as_good_as_one_stream():
    X, labels = far_clusters()
    whole = streamed("sqeuclidean", [(X, labels)])
    parts = [streamed("sqeuclidean", [batch]) for batch in cut(X, labels, [10, 11, 200])]
    merged = SilhouetteStream("sqeuclidean")
    for part in (pickle.loads(pickle.dumps(part)) for part in reversed(parts)):
        merged.merge(part)
    assert_same_bits(merged.cluster_sizes_, whole.cluster_sizes_)
    assert_silhouettes_close(merged.score_samples(X, labels), whole.score_samples(X, labels), dtype=np.float64)


def test_a_merged_stream_stays_as_it_is():
    X, labels = far_clusters()
    first, second = (streamed("cosine", [batch]) for batch in cut(X, labels, [100]))
    before = second.score_samples(X[100:], labels[100:])
    first.merge(second).partial_fit(X[:3], labels[:3])
    assert_same_bits(second.score_samples(X[100:], labels[100:]), before)


def test_an_empty_stream_merges_with_any():
    X, labels = far_clusters()
    full = streamed("cosine", [(X, labels)])
    samples = full.score_samples(X, labels)
    assert_same_bits(SilhouetteStream("cosine").merge(full).score_samples(X, labels), samples)
    assert_same_bits(full.merge(SilhouetteStream("cosine")).score_samples(X, labels), samples)


def test_the_mean_of_many_merges_keeps_its_digits():
    """Rounded to one vector at each merge, the mean would wander by the rounding of where the data lie."""
    rng = np.random.default_rng(0)
    X = 1e8 + rng.normal(size=(2000, 3))
    one = summarize(normalize_lazily(X, "sqeuclidean"), check_part_labels(np.zeros(2000, int), 2000), n_jobs=1)
    merged = None
    for batch in np.split(X, 500):
        part = summarize(normalize_lazily(batch, "sqeuclidean"), check_part_labels(np.zeros(4, int), 4), n_jobs=1)
        merged = part if merged is None else merge(merged, part)
    apart = (merged.origins - one.origins) + (merged.offsets - one.offsets)
    assert np.abs(apart).max() < 1e-14
    np.testing.assert_allclose(merged.squares, one.squares, rtol=1e-13)


@pytest.mark.parametrize("average", ["micro", "macro"])
def test_score_is_that_of_one_call(average):
    X, labels = far_clusters()
    names = np.array(["d", "b", "c", "a"])[labels]
    batches = cut(X, names, [1, 100])
    stream = streamed("cosine", batches)
    expected = silhouette_score(X, names, metric="cosine", average=average)
    assert stream.score(batches, average=average) == pytest.approx(expected, abs=1e-12)
    assert stream.classes_.tolist() == ["a", "b", "c", "d"]
    assert stream.n_samples_seen_ == 240


def test_rows_without_direction_and_sparse_batches():
    X = np.random.default_rng(5).integers(-1, 2, size=(80, 5)).astype(float)
    X[::7] = 0
    labels = np.arange(80) % 3
    X[labels == 2] = 0  # a cluster of nothing else
    stream = streamed("cosine", [(csr_array(part), of_part) for part, of_part in cut(X, labels, [3, 50])])
    expected = silhouette_samples(X, labels, metric="cosine")
    assert_silhouettes_close(stream.score_samples(csr_array(X), labels), expected, dtype=np.float64)


def test_what_is_wrong_is_said():
    X, labels = far_clusters()
    with pytest.raises(ValueError, match="'euclidean' needs pairs"):
        SilhouetteStream("euclidean")
    stream = SilhouetteStream("cosine")
    with pytest.raises(ValueError, match="nothing in; call partial_fit"):
        stream.score_samples(X, labels)
    stream.partial_fit(X[:10], labels[:10] * 0)
    with pytest.raises(ValueError, match="Number of labels is 1"):
        stream.score_samples(X[:10], labels[:10] * 0)
    with pytest.raises(ValueError, match="X has 2 features, but the samples taken in have 6"):
        stream.partial_fit(X[:, :2], labels)
    with pytest.raises(ValueError, match="row 3, column 1 is nan"):
        stream.partial_fit(np.where(np.arange(240)[:, None] * 6 + np.arange(6) == 19, np.nan, X), labels)
    with pytest.raises(TypeError, match="no order"):
        stream.partial_fit(X, labels.astype(str))
    with pytest.raises(ValueError, match="other has metric='sqeuclidean'"):
        stream.merge(SilhouetteStream("sqeuclidean"))
    assert stream.n_samples_seen_ == 10
    stream.partial_fit(X[10:], labels[10:] + 1)
    with pytest.raises(ValueError, match="labels has 9, which no batch"):
        stream.score_samples(X[:1], [9])
    with pytest.raises(ValueError, match="batches has 0 samples, but 240 were"):
        stream.score(iter(()))
    with pytest.raises(ValueError, match="all equal: row 1"):
        SilhouetteStream("correlation").partial_fit([[1.0, 2], [3, 3]], [0, 1])


@pytest.mark.parametrize("scale", [1e200, 1e-170])
def test_squares_beyond_their_range_are_refused(scale):
    """A stream does not see all data at once, and cannot choose their scale as one call does."""
    X, labels = far_clusters()
    with pytest.raises(ValueError, match="multiply X by a constant"):
        streamed("sqeuclidean", [(X * scale, labels)]).score_samples(X * scale, labels)
    same = np.repeat(X[:4], 3, axis=0), np.arange(12) % 4
    assert (streamed("sqeuclidean", [same]).score_samples(*same) <= 1).all()
    equal = np.full((6, 2), 1.5), np.arange(6) % 2
    np.testing.assert_array_equal(streamed("sqeuclidean", [equal]).score_samples(*equal), np.zeros(6))

"""Weights of samples: a weight of 2 is the sample twice, 0 leaves it out, and fractions follow the definition."""

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.cluster import KMeans

import fastsil
import reference
from assertions import assert_same_bits, assert_silhouettes_close, tolerance_of
from strategies import labeled_data

METRICS = {
    "euclidean": {},
    "sqeuclidean": {},
    "cosine": {},
    "correlation": {},
    "manhattan": {},
    "minkowski": {"p": 3},
    "chebyshev": {},
    "hamming": {},
    "canberra": {},
    "braycurtis": {},
    "mahalanobis": {},
    "seuclidean": {},
    "precomputed": {},
}
metrics = pytest.mark.parametrize("metric", METRICS)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def data(n_samples=90, n_features=6, n_clusters=5, dtype=np.float64, seed=0):
    """(X, labels, whole weights); positive numbers, which Bray-Curtis distance needs."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n_samples) % n_clusters)
    X = np.abs(rng.normal(size=(n_clusters, n_features))[labels] * 2 + rng.normal(size=(n_samples, n_features)))
    weights = rng.integers(0, 4, size=n_samples)
    # A cluster without weight, one of a single sample that counts twice, one of a single sample that counts once.
    weights[labels == 0] = 0
    labels[:2] = n_clusters, n_clusters + 1
    weights[:2] = 2, 1
    return X.astype(dtype), labels, weights


def as_given(X, metric):
    return sklearn.metrics.pairwise_distances(X, metric="manhattan").astype(X.dtype) if metric == "precomputed" else X


def repeat(X, labels, weights, metric):
    """The data with repetitions, and the first of each sample that has weight."""
    rows = np.repeat(np.arange(len(weights)), weights)
    X = X[np.ix_(rows, rows)] if metric == "precomputed" else X[rows]
    return X, labels[rows], np.r_[0, np.cumsum(weights)[:-1]][weights > 0]


@metrics
@dtypes
def test_whole_weights_are_repetitions(metric, dtype):
    X, labels, weights = data(dtype=dtype)
    X, params = as_given(X, metric), METRICS[metric]
    repeated, of_repeated, first = repeat(X, labels, weights, metric)
    found = fastsil.silhouette_profile(X, labels, metric=metric, sample_weight=weights, **params)
    expected = fastsil.silhouette_profile(repeated, of_repeated, metric=metric, **params)
    counts = weights > 0
    tolerance = tolerance_of(dtype)
    np.testing.assert_allclose(found.silhouettes[counts], expected.silhouettes[first], atol=tolerance)
    np.testing.assert_allclose(found.a[counts], expected.a[first], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(found.b[counts], expected.b[first], rtol=tolerance)
    np.testing.assert_array_equal(found.neighbor[counts], expected.neighbor[first])
    assert found.score == pytest.approx(expected.score, abs=tolerance)
    assert found.macro_score == pytest.approx(expected.macro_score, abs=tolerance)
    rows = np.isin(found.clusters.label, expected.clusters.label)
    for name in ("silhouette", "a", "b"):
        means = getattr(found.clusters, name)[rows]
        np.testing.assert_allclose(means, getattr(expected.clusters, name), rtol=1e-5, atol=tolerance)
    np.testing.assert_array_equal(found.clusters.neighbor[rows], expected.clusters.neighbor)
    for average in ("micro", "macro"):
        score = fastsil.silhouette_score(X, labels, metric=metric, average=average, sample_weight=weights, **params)
        wanted = fastsil.silhouette_score(repeated, of_repeated, metric=metric, average=average, **params)
        assert score == pytest.approx(wanted, abs=tolerance)
    if metric != "braycurtis":  # of which scikit-learn has no silhouettes in float32
        theirs = sklearn.metrics.silhouette_samples(repeated, of_repeated, metric=metric, **params)
        np.testing.assert_allclose(found.silhouettes[counts], theirs[first], atol=1e-4)


@metrics
def test_a_sample_without_weight_is_scored_and_does_not_count(metric):
    """As if it were the only one of them."""
    X, labels, weights = data()
    X, params = as_given(X, metric), METRICS[metric]
    if metric in ("mahalanobis", "seuclidean"):
        params = {"V": np.eye(6) if metric == "mahalanobis" else np.ones(6)}
    found = fastsil.silhouette_samples(X, labels, metric=metric, sample_weight=weights, **params)
    for one in np.flatnonzero(weights == 0)[::4]:
        kept = np.append(np.flatnonzero(weights > 0), one)
        part = X[np.ix_(kept, kept)] if metric == "precomputed" else X[kept]
        alone = fastsil.silhouette_samples(part, labels[kept], metric=metric, sample_weight=weights[kept], **params)
        np.testing.assert_allclose(alone[-1], found[one], atol=1e-10)
        np.testing.assert_allclose(alone[:-1], found[kept[:-1]], atol=1e-10)
    # In its cluster nothing counts.
    assert (found[labels == 0] == 0).all()
    # But its distance to the nearest other cluster is known.
    profile = fastsil.silhouette_profile(X, labels, metric=metric, sample_weight=weights, **params)
    expected = reference.compute_terms(X, labels, metric, sample_weight=weights, **params)
    of_none = labels == 0
    np.testing.assert_allclose(profile.b[of_none], expected.b[of_none].astype(float), rtol=1e-9)
    np.testing.assert_array_equal(profile.neighbor[of_none], expected.neighbor[of_none])
    assert (profile.a[of_none] == 0).all()


@pytest.mark.parametrize("metric", ["cosine", "sqeuclidean"])
def test_rows_without_a_direction(metric):
    """A row of zeros is at distance 1 from every other one, and at 0 from itself, however often it counts."""
    X = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    labels, weights = np.array([0, 0, 0, 1, 1, 1]), np.array([3.0, 1.0, 0.5, 2.0, 0.25, 1.0])
    found = fastsil.silhouette_profile(X, labels, metric=metric, sample_weight=weights)
    expected = reference.compute_terms(X, labels, metric, sample_weight=weights)
    np.testing.assert_allclose(found.a, expected.a.astype(float), atol=1e-12)
    np.testing.assert_allclose(found.b, expected.b.astype(float), atol=1e-12)


def test_equally_near_a_sample_of_a_label_without_weight_the_first_label_is_its_neighbor():
    X = np.array([[0.0], [-1.0], [-2.0], [1.0], [2.0], [9.0]])
    profile = fastsil.silhouette_profile(X, [0, 1, 1, 2, 2, 3], sample_weight=[0, 1, 1, 1, 1, 0])
    assert (profile.neighbor[0], profile.b[0]) == (1, 1.5)
    assert (profile.neighbor[5], profile.b[5]) == (2, 7.5)
    assert (profile.silhouettes[[0, 5]] == 0).all()


def test_digits_that_are_lost_are_told_by_the_samples_that_count():
    """Of a cluster of one point, a sample without weight elsewhere makes no distance that was lost."""
    X = np.array([[0.0, 0], [0, 0], [0.5, 0], [0, 0], [0, 0], [1, 0], [1, 0]])
    labels = [0, 0, 0, 1, 1, 2, 2]
    weights = [1, 1, 0, 1, 1, 1, 1]
    assert (fastsil.silhouette_samples(X, labels, sample_weight=weights)[[0, 1, 3, 4]] == 0).all()


@st.composite
def weighted_data(draw, dtype):
    """Data, labels, and weights of many magnitudes, some of them 0; two clusters have weight."""
    X, labels = draw(labeled_data(dtype=dtype))
    labels = np.unique(labels, return_inverse=True)[1]
    sizes = st.sampled_from([0.0, 1e-6, 1e-3, 0.25, 0.5, 1.0, 1.0, 2.0, 3.5, 1e3, 1e6])
    weights = np.array(draw(st.lists(sizes, min_size=len(X), max_size=len(X))))
    assume(np.count_nonzero(np.bincount(labels, weights=weights)) > 1)
    assume(not reference.is_alone(labels, weights)[weights > 0].all())
    return X, labels, weights


def assert_as_defined(X, labels, weights, metric):
    params = METRICS[metric]
    if metric in ("cosine", "correlation"):
        assume((np.ptp(X, axis=1) > 0).all() and X.any(axis=1).all())
    if metric == "braycurtis":
        X = np.abs(X)
        assume(X.any(axis=1).all())
    X = as_given(X, metric)
    terms = reference.compute_terms(X, labels, metric, sample_weight=weights, **params)
    if metric in ("cosine", "correlation"):
        # Below, rows are parallel but for the rounding of their lengths.
        assume((np.maximum(terms.a, terms.b) > 1e-4).all())
    expected = reference.compute_silhouettes(terms.a, terms.b, labels, weights)
    found = fastsil.silhouette_samples(X, labels, metric=metric, sample_weight=weights, **params)
    assert_silhouettes_close(found, expected, dtype=X.dtype)


DIRECT = [metric for metric in METRICS if metric not in ("mahalanobis", "seuclidean", "hamming")]


@given(st.sampled_from(DIRECT), weighted_data(np.float64))
def test_any_weights_hypothesis_float64(metric, drawn):
    assert_as_defined(*drawn, metric)


@pytest.mark.slow
@given(st.sampled_from(DIRECT), weighted_data(np.float32))
def test_any_weights_hypothesis_float32(metric, drawn):
    assert_as_defined(*drawn, metric)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan", "chebyshev"])
def test_sparse_data(metric):
    X, labels, _ = data()
    X[X < 1] = 0
    X[:, 0] += 1
    weights = np.random.default_rng(1).uniform(0, 2, size=len(X))
    given_to = X if metric == "chebyshev" else csr_array(X)
    found = fastsil.silhouette_samples(given_to, labels, metric=metric, sample_weight=weights)
    expected = reference.silhouette_samples(X, labels, metric, sample_weight=weights)
    assert_silhouettes_close(found, expected, dtype=X.dtype)


@pytest.mark.parametrize("metric", ["jaccard", "yule", lambda x, y: float(np.abs(x - y).max())])
def test_metrics_of_scikit_learn(metric):
    X, labels, weights = data(n_features=12)
    X = X > 0.7 if isinstance(metric, str) else X
    X[:, 0] = True
    repeated, of_repeated, first = repeat(X, labels, weights, metric)
    found = fastsil.silhouette_samples(X, labels, metric=metric, sample_weight=weights)
    expected = fastsil.silhouette_samples(repeated, of_repeated, metric=metric)
    np.testing.assert_allclose(found[weights > 0], expected[first], atol=1e-12)


@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis", "sqeuclidean", "precomputed"])
@pytest.mark.parametrize("fortran", [False, True])
def test_many_labelings(metric, fortran):
    X, _, weights = data(n_samples=300)
    weights = weights + 0.5 * (np.arange(300) % 3)
    X = as_given(X, metric)
    X = np.asfortranarray(X) if fortran else X
    labelings = [np.arange(300) % k for k in (2, 3, 5, 8)]
    together = fastsil.silhouette_samples_many(X, labelings, metric=metric, sample_weight=weights)
    profiles = fastsil.silhouette_profiles(X, labelings, metric=metric, sample_weight=weights)
    for labels, found, profile in zip(labelings, together, profiles, strict=True):
        alone = fastsil.silhouette_samples(X, labels, metric=metric, sample_weight=weights)
        np.testing.assert_allclose(found, alone, atol=1e-10)
        assert profile.score == pytest.approx(np.average(alone, weights=weights), abs=1e-10)


def test_a_block_of_many_labelings_may_have_no_weight():
    """Its origin is no mean of nothing: its samples have silhouettes all the same."""
    X, weights = np.random.default_rng(3).normal(size=(4000, 8)), np.ones(4000)
    labelings = [np.arange(4000) * k // 4000 for k in (2, 3, 4)]
    weights[3500:] = 0
    together = fastsil.silhouette_samples_many(X, labelings, sample_weight=weights)
    for labels, found in zip(labelings, together, strict=True):
        alone = fastsil.silhouette_samples(X, labels, sample_weight=weights)
        np.testing.assert_allclose(found, alone, atol=1e-10)


@metrics
def test_same_bits_for_any_number_of_threads(metric):
    X, labels, _ = data(n_samples=1200, n_features=20, n_clusters=40)
    weights = np.random.default_rng(2).uniform(0, 3, size=len(X))
    X, params = as_given(X, metric), METRICS[metric]
    alone = fastsil.silhouette_samples(X, labels, metric=metric, sample_weight=weights, n_jobs=1, **params)
    for n_jobs in (2, 5):
        several = fastsil.silhouette_samples(X, labels, metric=metric, sample_weight=weights, n_jobs=n_jobs, **params)
        assert_same_bits(several, alone)


@pytest.mark.parametrize(
    "weights", [np.ones(90), np.ones(90, dtype=int), [1] * 90, [True] * 90, pd.Series(np.ones(90))]
)
def test_weights_of_one_are_none(weights):
    X, labels, _ = data()
    found = fastsil.silhouette_samples(X, labels, sample_weight=weights)
    np.testing.assert_allclose(found, fastsil.silhouette_samples(X, labels), atol=1e-15)


def test_weights_of_three_are_not_none():
    """Each sample then has two companions at distance 0."""
    X, labels, _ = data()
    found = fastsil.silhouette_samples(X, labels, sample_weight=np.full(90, 3))
    assert (np.abs(found - fastsil.silhouette_samples(X, labels)) > 1e-3).any()


def test_means_over_samples_and_clusters():
    X, labels, _ = data()
    weights = np.random.default_rng(3).uniform(0, 2, size=90)
    s = fastsil.silhouette_samples(X, labels, sample_weight=weights)
    score = fastsil.silhouette_score(X, labels, sample_weight=weights)
    assert score == pytest.approx((weights * s).sum() / weights.sum(), abs=1e-14)
    macro = fastsil.silhouette_score(X, labels, sample_weight=weights, average="macro")
    of_clusters = [np.average(s[labels == label], weights=weights[labels == label]) for label in np.unique(labels)]
    assert macro == pytest.approx(np.mean(of_clusters), abs=1e-14)
    profile = fastsil.silhouette_profile(X, labels, sample_weight=weights)
    assert profile.n_negative == np.count_nonzero(s < 0)
    assert_same_bits(profile.sample_weight, weights)


def test_the_heaviest_sample_keeps_its_digits():
    """Its companions are what is left of the weight of the cluster, which rounding would hide."""
    X = np.array([[0.0], [1.0], [3.0], [10.0], [12.0]])
    weights = np.array([0.9, 1e-30, 2e-30, 1.0, 1.0])
    found = fastsil.silhouette_profile(X, [0, 0, 0, 1, 1], sample_weight=weights)
    assert found.a[0] == pytest.approx(7 / 3, rel=1e-14)
    with_nothing = fastsil.silhouette_profile(X, [0, 0, 0, 1, 1], sample_weight=[0.9, 0, 0, 1.0, 1.0])
    assert with_nothing.silhouettes[0] == 0
    assert with_nothing.a[1] == 1


def test_ignored_samples_have_no_weight():
    X, labels, weights = data()
    labels = np.where(np.arange(90) % 7 == 3, -1, labels)
    kept = labels != -1
    found = fastsil.silhouette_profile(X, labels, ignore_label=-1, sample_weight=weights)
    expected = fastsil.silhouette_profile(X[kept], labels[kept], sample_weight=weights[kept])
    np.testing.assert_array_equal(found.silhouettes[kept], expected.silhouettes)
    assert found.score == expected.score
    assert (found.sample_weight[~kept] == 0).all()


def test_a_subset_takes_its_weights_along():
    X, labels, _ = data()
    weights = np.random.default_rng(4).uniform(0.1, 2, size=90)
    rows = np.random.RandomState(5).permutation(90)[:60]
    found = fastsil.silhouette_score(X, labels, sample_weight=weights, sample_size=60, random_state=5)
    expected = fastsil.silhouette_score(X[rows], labels[rows], sample_weight=weights[rows])
    assert found == expected


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (np.ones(89), "shape (89,) but X has 90 rows"),
        (np.ones((90, 1)), "shape (90, 1)"),
        (2.0, "shape ()"),
        (np.r_[np.ones(89), np.nan], "nan at row 89"),
        (np.r_[np.ones(89), np.inf], "inf at row 89"),
        (np.r_[-1.0, np.ones(89)], "-1 at row 0"),
        (np.r_[1e-200, np.ones(89)], "1e-200 at row 0"),
        (np.zeros(90), "zero for all samples"),
        ([None, *[1.0] * 89], "nan at row 0"),
        (["a"] * 90, "type <U1"),
    ],
)
def test_wrong_weights(weights, words):
    X, labels, _ = data()
    with pytest.raises((ValueError, TypeError)) as caught:
        fastsil.silhouette_samples(X, labels, sample_weight=weights)
    assert "sample_weight" in str(caught.value)
    assert words in str(caught.value)


def test_too_few_clusters_with_weight():
    X, labels = np.arange(6.0)[:, None], [0, 0, 1, 1, 2, 2]
    for weights in ([1, 1, 0, 0, 0, 0], [1, 0, 0.5, 0, 0, 1]):
        with pytest.raises(ValueError, match=r"Number of labels is [13], counting those with a positive sample_weight"):
            fastsil.silhouette_score(X, labels, sample_weight=weights)


def test_samples_that_are_clusters_of_their_own_may_count_twice():
    X = np.arange(3.0)[:, None]
    np.testing.assert_array_equal(fastsil.silhouette_samples(X, [0, 1, 2], sample_weight=[2, 2, 1]), [1, 1, 0])


def test_weights_in_another_order_are_told():
    X, labels, weights = data()
    frame = pd.DataFrame(X)
    with pytest.warns(UserWarning, match="sample_weight and X have different indexes"):
        fastsil.silhouette_samples(frame, labels, sample_weight=pd.Series(weights, index=range(90, 0, -1)))


def test_a_weight_cannot_make_up_for_a_covariance():
    X, labels, _ = data()
    with pytest.raises(ValueError, match=r"sample_weight adds up to 0\.9"):
        fastsil.silhouette_samples(X, labels, metric="mahalanobis", sample_weight=np.full(90, 0.01))


def test_labels_of_distances_that_are_not_finite():
    """A distance that does not count must be a distance all the same, where it is given."""
    D = np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0)))
    D[1, 5] = np.nan
    with pytest.raises(ValueError, match="row 1"):
        fastsil.silhouette_samples(D, [0, 0, 0, 1, 1, 1], metric="precomputed", sample_weight=[1, 1, 1, 1, 1, 0])


def test_diagnosis_of_weighted_scores():
    X, labels, weights = data()
    profile = fastsil.silhouette_profile(X, labels, metric="mahalanobis", sample_weight=weights)
    assert profile.diagnose(X).checked
    assert "SilhouetteProfile" in repr(profile)


@pytest.mark.parametrize("other", ["nearest", "mean", "furthest"])
@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis", "precomputed"])
def test_within_groups(other, metric):
    X, labels, weights = data()
    weights = np.maximum(weights, labels > 0)
    groups = np.arange(90) // 45
    X = as_given(X, metric)
    rows = np.repeat(np.arange(90), weights)
    repeated, of_repeated, first = repeat(X, labels, weights, metric)
    found = fastsil.silhouette_by(X, labels, groups, metric=metric, other=other, sample_weight=weights)
    expected = fastsil.silhouette_by(repeated, of_repeated, groups[rows], metric=metric, other=other)
    np.testing.assert_allclose(found.silhouettes[weights > 0], expected.silhouettes[first], atol=1e-10)
    for name in ("scores", "macro_scores", "mixing_scores"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-10)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "mahalanobis"])
@pytest.mark.parametrize("medoids", [False, True])
def test_simplified_silhouettes(metric, medoids):
    X, labels, weights = data()
    rows = np.repeat(np.arange(90), weights)
    repeated, of_repeated, first = repeat(X, labels, weights, metric)
    centers = of_centers = None
    if medoids:
        centers = np.array(
            [np.flatnonzero((labels == label) & ((weights > 0) | (label == 0)))[0] for label in range(7)]
        )
        of_centers = np.searchsorted(rows, centers[1:])
    found = fastsil.simplified_silhouette_samples(X, labels, metric=metric, centers=centers, sample_weight=weights)
    expected = fastsil.simplified_silhouette_samples(repeated, of_repeated, metric=metric, centers=of_centers)
    np.testing.assert_allclose(found[weights > 0], expected[first], atol=1e-10)
    score = fastsil.simplified_silhouette_score(X, labels, metric=metric, centers=centers, sample_weight=weights)
    assert score == pytest.approx(expected.mean(), abs=1e-10)


def test_the_scorer_takes_weights():
    X, _, weights = data()
    clusterer = KMeans(3, n_init=1, random_state=0).fit(X, sample_weight=weights)
    score = fastsil.SilhouetteScorer()(clusterer, X, sample_weight=weights)
    assert score == fastsil.silhouette_score(X, clusterer.labels_, sample_weight=weights)
    none_but_one = np.where(clusterer.labels_ == 0, weights, 0.0)
    assert fastsil.SilhouetteScorer(undefined=-2.0)(clusterer, X, sample_weight=none_but_one) == -2.0


def test_scikit_learns_function_takes_weights_where_it_is_patched():
    X, labels, weights = data()
    with fastsil.patch_sklearn():
        score = sklearn.metrics.silhouette_score(X, labels, sample_weight=weights)
    assert score == fastsil.silhouette_score(X, labels, sample_weight=weights)


def test_where_there_is_no_way_weights_are_refused():
    da = pytest.importorskip("dask.array")
    X, labels, weights = data()
    chunked = da.from_array(X, chunks=(45, -1))
    for name in ("samples", "score", "profile", "estimate"):
        with pytest.raises(TypeError, match="a Dask array takes no sample_weight"):
            getattr(fastsil, f"silhouette_{name}")(chunked, labels, sample_weight=weights)
    with pytest.raises(TypeError, match="sample_weight"):
        fastsil.plan(X, labels, sample_weight=weights)

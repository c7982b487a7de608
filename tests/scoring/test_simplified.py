"""Silhouettes by distances to centers: equal to the naive twin, for any centers; no estimate of the exact ones."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_iris

import reference
from assertions import assert_same_bits, assert_silhouettes_close, tolerance_of
from fastsil import silhouette_profile, silhouette_samples, simplified_silhouette_samples, simplified_silhouette_score
from strategies import labeled_data

METRICS = ["euclidean", "l2", "sqeuclidean", "cosine", "correlation"]
# Rounding a row to length 1 moves it by 1e-16: where distances are below this, rows are parallel but for that.
PARALLEL = 1e-8


def expected(X, labels, centers=None, metric="euclidean", **params):
    codes = np.unique(labels, return_inverse=True)[1]
    terms = reference.compute_center_terms(X, codes, centers, metric, **params)
    return reference.compute_silhouettes(terms.a, terms.b, codes), terms


def medoids_of(X, labels, metric="euclidean"):
    distances = cdist(X, X, metric)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return np.array([rows[distances[np.ix_(rows, rows)].sum(axis=1).argmin()] for rows in members])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", METRICS)
@given(data=st.data())
def test_equal_to_the_twin(metric, dtype, data):
    X, labels = data.draw(labeled_data(dtype=dtype))
    if metric == "correlation":  # no row, and no center, of equal entries
        X = np.hstack([X, np.full((len(X), 1), X.max() + 1), np.full((len(X), 1), X.min() - 2)]).astype(dtype)
        assume((X[:, -1] < X[:, -2]).all())
    centers = None
    if data.draw(st.booleans()):
        centers = X[[np.flatnonzero(labels == label)[-1] for label in np.unique(labels)]] + data.draw(
            st.sampled_from([0.0, 0.25])
        )
    silhouettes, terms = expected(X, labels, centers, metric)
    if metric in ("cosine", "correlation"):
        assume((np.maximum(terms.a, terms.b) > PARALLEL).all())
    found = simplified_silhouette_samples(X, labels, metric=metric, centers=centers)
    assert_silhouettes_close(found, silhouettes, dtype=dtype)


@pytest.mark.parametrize("metric", METRICS)
def test_narrow_cones_and_far_offsets_keep_their_digits(metric):
    """A center rounded to one vector would be off by 1e-9 of these distances."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(120) % 4)
    X = 1e7 + rng.normal(size=(120, 8)) + rng.normal(size=(4, 8))[labels]
    for centers in (None, X[:4] + 0.5):
        silhouettes, _ = expected(X, labels, centers, metric)
        found = simplified_silhouette_samples(X, labels, metric=metric, centers=centers)
        assert_silhouettes_close(found, silhouettes, dtype=np.float64)


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
def test_scale_does_not_matter(metric, scale):
    X, labels = load_iris(return_X_y=True)
    centers = X[[3, 80, 120]] * scale
    for given_centers in (None, centers, [3, 80, 120]):
        whole = simplified_silhouette_samples(X * scale, labels, metric=metric, centers=given_centers)
        unscaled = X[[3, 80, 120]] if given_centers is not None else None
        assert_silhouettes_close(whole, expected(X, labels, unscaled, metric)[0], dtype=np.float64)


@pytest.mark.parametrize("metric", METRICS)
def test_containers_and_threads(metric):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 20)) * (rng.random((300, 20)) < 0.3)
    X[:, 0] += 1
    labels = np.arange(300) % 5
    for centers in (None, rng.normal(size=(5, 20)), [5, 1, 2, 3, 4]):
        dense = simplified_silhouette_samples(X, labels, metric=metric, centers=centers, n_jobs=1)
        assert_same_bits(simplified_silhouette_samples(X, labels, metric=metric, centers=centers, n_jobs=3), dense)
        sparse = simplified_silhouette_samples(csr_array(X), labels, metric=metric, centers=centers)
        np.testing.assert_allclose(sparse, dense, atol=1e-12)


def test_rows_and_centers_without_direction():
    X = np.array([[0.0, 0], [1, 0], [1, 1], [-1, 0], [1, 0], [-1, 0]])
    labels = np.array([0, 0, 0, 1, 2, 2])
    silhouettes, _ = expected(X, labels, None, "cosine")
    np.testing.assert_allclose(simplified_silhouette_samples(X, labels, metric="cosine"), silhouettes, atol=1e-15)
    centers = np.array([[1.0, 0], [0, 0], [0, 1]])
    silhouettes, _ = expected(X, labels, centers, "cosine")
    found = simplified_silhouette_samples(X, labels, metric="cosine", centers=centers)
    np.testing.assert_allclose(found, silhouettes, atol=1e-15)
    with pytest.raises(ValueError, match="correlation has no value for a row"):
        simplified_silhouette_samples(X, labels, metric="correlation")


@pytest.mark.parametrize("metric", ["manhattan", "chebyshev", "canberra", "braycurtis", "minkowski", "euclidean"])
def test_medoids_of_any_metric(metric):
    X, labels = load_iris(return_X_y=True)
    params = {"p": 3} if metric == "minkowski" else {}
    distances = cdist(X, X, {"manhattan": "cityblock"}.get(metric, metric), **params)
    medoids = np.random.default_rng(0).permutation(medoids_of(X, labels))
    centers = X[medoids[np.argsort(labels[medoids])]]
    silhouettes, _ = expected(X, labels, centers, metric, **params)
    found = simplified_silhouette_samples(X, labels, metric=metric, centers=medoids, **params)
    assert_silhouettes_close(found, silhouettes, dtype=np.float64)
    given = simplified_silhouette_samples(distances, labels, metric="precomputed", centers=medoids)
    assert_silhouettes_close(given, silhouettes, dtype=np.float64)


def test_a_callable_takes_medoids():
    X, labels = load_iris(return_X_y=True)
    found = simplified_silhouette_samples(X, labels, metric=lambda x, y: abs(x - y).sum(), centers=[0, 60, 110])
    assert_silhouettes_close(found, expected(X, labels, X[[0, 60, 110]], "manhattan")[0], dtype=np.float64)


@pytest.mark.parametrize("metric", ["mahalanobis", "seuclidean"])
def test_metrics_that_are_linear_maps(metric):
    X, labels = load_iris(return_X_y=True)
    means = np.stack([X[labels == label].mean(axis=0) for label in range(3)])
    scale = np.cov(X.T) if metric == "mahalanobis" else X.var(axis=0, ddof=1)
    for centers, points in ((None, means), ([0, 60, 110], X[[0, 60, 110]])):
        params = {"VI": np.linalg.inv(scale)} if metric == "mahalanobis" else {"V": scale}
        silhouettes, _ = expected(X, labels, points, metric, **params)
        found = simplified_silhouette_samples(X, labels, metric=metric, centers=centers)
        assert_silhouettes_close(found, silhouettes, dtype=np.float64)


def test_samples_that_are_left_out():
    X, labels = load_iris(return_X_y=True)
    noisy = np.where(np.arange(150) % 7 == 0, -1, labels)
    kept = noisy != -1
    for centers, among in ((None, None), ([120, 1, 71], np.searchsorted(np.flatnonzero(kept), [120, 1, 71]))):
        found = simplified_silhouette_samples(X, noisy, ignore_label=-1, centers=centers)
        assert np.isnan(found[~kept]).all()
        assert_same_bits(found[kept], simplified_silhouette_samples(X[kept], noisy[kept], centers=among))
    score = simplified_silhouette_score(X, noisy, ignore_label=-1)
    assert score == np.nanmean(simplified_silhouette_samples(X, noisy, ignore_label=-1))


def test_macro_is_the_mean_of_the_clusters_means():
    X, labels = load_iris(return_X_y=True)
    labels = np.where(np.arange(150) < 20, 2, labels)
    silhouettes = simplified_silhouette_samples(X, labels)
    means = [silhouettes[labels == label].mean() for label in range(3)]
    assert simplified_silhouette_score(X, labels, average="macro") == pytest.approx(np.mean(means))


@given(data=labeled_data(dtype=np.float64, scales=st.just(0)))
def test_centers_are_nearer_than_members(data):
    """The law of which the page speaks: a mean distance is at least the distance to the mean."""
    X, labels = data
    profile = silhouette_profile(X, labels)
    codes = np.unique(labels, return_inverse=True)[1]
    sizes = np.bincount(codes)[codes]
    terms = expected(X, labels)[1]
    rounding = tolerance_of(np.float64) * np.maximum(profile.a, profile.b)
    own = np.asarray(terms.a, dtype=float) * sizes / np.maximum(sizes - 1, 1)
    assert (own[sizes > 1] <= (profile.a + rounding)[sizes > 1]).all()
    assert (np.asarray(terms.b, dtype=float) <= profile.b + rounding).all()


def test_they_are_far_from_the_exact_ones_in_many_features():
    X = load_digits().data
    fit = KMeans(10, n_init=1, random_state=0).fit(X)
    simplified = simplified_silhouette_score(X, fit.labels_, centers=fit.cluster_centers_)
    bounds = silhouette_profile(X, fit.labels_, exact=False)
    assert simplified > bounds.upper.mean() + 0.05
    assert bounds.lower.mean() <= silhouette_samples(X, fit.labels_).mean() <= bounds.upper.mean()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"centers": np.zeros((2, 4))}, r"centers has shape \(2, 4\)"),
        ({"centers": np.zeros((3, 5))}, r"of shape \(3, 4\)"),
        ({"centers": np.full((3, 4), np.nan)}, "centers has nan at row 0, column 0"),
        ({"centers": [0, 60]}, "2 medoids for 3 labels; label 2 has none"),
        ({"centers": [0, 1, 60]}, "3 medoids for 3 labels; label 2 has none"),
        ({"centers": [0, 60, 200]}, "the medoid 200, but X has rows 0 to 149"),
        ({"centers": [0, 60, -1]}, "the medoid -1, but X has rows 0 to 149"),
        ({"centers": [0, 60, 110], "ignore_label": 0}, "the medoid 0, but ignore_label leaves it out"),
        ({"centers": [0.5, 60, 110]}, r"centers has shape \(3,\) and type float64"),
        ({"metric": "manhattan"}, "metric='manhattan' takes no means for centers; pass the rows"),
        ({"metric": "manhattan", "centers": np.zeros((3, 4))}, "metric='manhattan' takes no points"),
        ({"metric": "mahalanobis", "centers": np.zeros((3, 4))}, "metric='mahalanobis' takes no points"),
    ],
)
def test_centers_that_are_none(arguments, words):
    X, labels = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=words):
        simplified_silhouette_samples(X, labels, **arguments)


def test_given_distances_are_checked():
    X, labels = load_iris(return_X_y=True)
    distances = cdist(X, X)
    with pytest.raises(ValueError, match="takes no means"):
        simplified_silhouette_samples(distances, labels, metric="precomputed")
    distances[7, 60] = -1
    with pytest.raises(ValueError, match="Negative values in X: row 7, column 60"):
        simplified_silhouette_samples(distances, labels, metric="precomputed", centers=[0, 60, 110])
    assert np.isfinite(
        simplified_silhouette_samples(distances, labels, metric="precomputed", centers=[0, 61, 110])
    ).all()

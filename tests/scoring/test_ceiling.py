"""The ceiling: above every labeling there is, reached sample by sample, and held by its interval."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_iris

import reference
from assertions import with_peak
from fastsil import silhouette_ceiling, silhouette_score
from fastsil.scoring.ceiling import bound_rows
from strategies import points, seeds


def labelings_of(n_samples):
    """Every labeling: the label of a sample is one of those before it, or the next new one."""
    if n_samples == 1:
        yield [0]
        return
    for start in labelings_of(n_samples - 1):
        for label in range(max(start) + 2):
            yield [*start, label]


LABELINGS = {n: np.array([row for row in labelings_of(n) if 1 < max(row) + 1 < n]) for n in (4, 5, 6)}


def silhouettes_of(distances, codes):
    terms = reference.compute_terms(distances, codes, "precomputed")
    return np.asarray(reference.compute_silhouettes(terms.a, terms.b, codes), dtype=float)


@given(data=st.data(), n_samples=st.sampled_from(sorted(LABELINGS)))
def test_no_labels_of_all_there_are_score_higher(data, n_samples):
    X = data.draw(points(n_samples, 2, scales=st.just(0)))
    distances = cdist(X, X)
    sizes = data.draw(st.sampled_from([1, 2]))
    n_clusters = data.draw(st.integers(2, n_samples // max(sizes, 2)))
    allowed = []
    for codes in LABELINGS[n_samples]:
        counts = np.bincount(codes)
        if len(counts) >= n_clusters and counts.min() >= sizes:
            allowed.append(silhouettes_of(distances, codes))
    found = silhouette_ceiling(distances, metric="precomputed", min_cluster_size=sizes, n_clusters=n_clusters)
    assert found.n_computed == n_samples
    assert found.interval == (found.ceiling, found.ceiling)
    assert np.mean(allowed, axis=1).max() <= found.ceiling + 1e-9
    if n_clusters == 2:  # every sample reaches its own, each in other labels
        own = bound_rows(distances.copy(), np.arange(n_samples), max(sizes - 1, 1), n_samples - sizes - 1)
        np.testing.assert_allclose(np.max(allowed, axis=0).clip(0), own, atol=1e-9)
        assert found.ceiling == pytest.approx(own.mean(), abs=1e-9)


@given(seed=seeds(), n_samples=st.integers(3, 30))
def test_rows_equal_the_twin(seed, n_samples):
    rng = np.random.default_rng(seed)
    distances = rng.random((n_samples, n_samples)) * (rng.random((n_samples, n_samples)) < 0.8)
    own = rng.integers(n_samples, size=5)
    fewest = int(rng.integers(1, n_samples - 1))
    most = int(rng.integers(fewest, n_samples - 1))
    expected = reference.bound_rows(distances[own], own, fewest, most)
    np.testing.assert_allclose(bound_rows(distances[own], own, fewest, most), expected.astype(float), atol=1e-12)


@pytest.mark.parametrize(
    "metric", ["euclidean", "sqeuclidean", "cosine", "manhattan", "chebyshev", "mahalanobis", "precomputed"]
)
def test_every_metric(metric):
    X, species = load_iris(return_X_y=True)
    distances = (
        np.asarray(reference.pairwise_distances(X, metric), dtype=float) if metric != "precomputed" else cdist(X, X)
    )
    found = silhouette_ceiling(distances if metric == "precomputed" else X, metric=metric, min_cluster_size=30)
    rows = np.arange(150)
    expected = reference.bound_rows(distances, rows, 29, 119).mean()
    assert found.ceiling == pytest.approx(float(expected), abs=1e-9)
    if metric != "precomputed":
        assert silhouette_score(X, species, metric=metric) <= found.ceiling


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_digits_survive_offsets_and_duplicates(dtype):
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(60, 5)), 2, axis=0)
    X[::3] += 1e-6 * rng.normal(size=(40, 5))
    X = (X + 1e4).astype(dtype)
    expected = reference.bound_rows(reference.pairwise_distances(X), np.arange(120), 1, 117).mean()
    assert silhouette_ceiling(X).ceiling == pytest.approx(float(expected), abs=1e-9)


def test_the_interval_holds_the_ceiling_and_is_as_narrow_as_requested():
    X = np.vstack([load_digits().data] * 3) + np.random.default_rng(0).normal(size=(5391, 64))
    exact = silhouette_ceiling(X, tol=1e-6, min_cluster_size=50)
    assert exact.n_computed == len(X)
    for seed in range(10):
        found = silhouette_ceiling(X, tol=0.02, min_cluster_size=50, random_state=seed)
        assert found.n_computed < len(X) / 5
        low, high = found.interval
        assert low <= exact.ceiling <= high
        assert (high - low) / 2 <= 0.02


def test_containers_threads_and_seeds():
    X = load_digits().data
    one = silhouette_ceiling(X, tol=0.02, random_state=0, n_jobs=1)
    assert silhouette_ceiling(X, tol=0.02, random_state=0, n_jobs=3) == one
    assert silhouette_ceiling(X, tol=0.02, random_state=1) != one
    sparse = silhouette_ceiling(csr_array(X), tol=0.02, random_state=0)
    assert sparse.ceiling == pytest.approx(one.ceiling, abs=1e-7)


def test_larger_clusters_have_lower_ceilings():
    X = load_digits().data
    ceilings = [silhouette_ceiling(X, min_cluster_size=size, tol=1e-6).ceiling for size in (1, 10, 100)]
    assert ceilings == sorted(ceilings, reverse=True)
    many = silhouette_ceiling(X, min_cluster_size=100, n_clusters=15, tol=1e-6).ceiling
    labels = KMeans(10, n_init=1, random_state=0).fit_predict(X)
    assert silhouette_score(X, labels) <= many <= ceilings[-1]


def test_memory_is_that_of_a_few_rows():
    X = np.random.default_rng(0).normal(size=(40_000, 4))
    silhouette_ceiling(X[:500])
    _, peak = with_peak(lambda: silhouette_ceiling(X, tol=0.05, random_state=0, n_jobs=1))
    assert peak < 40_000**2 / 10


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"min_cluster_size": 0}, ValueError, "min_cluster_size=0 and n_clusters=2 must be 1 and 2"),
        ({"n_clusters": 1}, ValueError, "n_clusters=1 must be"),
        ({"n_clusters": 2.5}, TypeError, "n_clusters must be an integer"),
        ({"min_cluster_size": 80}, ValueError, "X has 150 samples, too few for 2 clusters of 80 or more"),
        ({"tol": 0}, ValueError, "tol=0"),
        ({"metric": "nothing"}, ValueError, "metric='nothing'"),
    ],
)
def test_arguments_that_are_wrong(arguments, kind, words):
    with pytest.raises(kind, match=words):
        silhouette_ceiling(load_iris().data, **arguments)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "minkowski"])
@pytest.mark.parametrize("scale", [2.0**-900, 2.0**900])
def test_a_ceiling_does_not_depend_on_the_scale(scale, metric):
    X = np.random.default_rng(0).normal(size=(50, 4))
    params = {"metric": metric} | ({"p": 3} if metric == "minkowski" else {})
    assert silhouette_ceiling(X * scale, **params).ceiling == pytest.approx(silhouette_ceiling(X, **params).ceiling)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "manhattan", "cosine"])
def test_sparse_data_have_the_ceiling_of_full_ones(metric):
    X = np.random.default_rng(0).poisson(0.5, size=(40, 12)).astype(float)
    X[:, 0] += 1
    found, full = silhouette_ceiling(csr_array(X), metric=metric), silhouette_ceiling(X, metric=metric)
    assert found.ceiling == pytest.approx(full.ceiling, abs=1e-6)


@pytest.mark.parametrize("metric", ["cosine", "correlation"])
def test_directions_of_rows_do_not_depend_on_their_lengths(metric):
    X = np.random.default_rng(0).normal(size=(40, 5))
    lengths = 10.0 ** np.random.default_rng(1).integers(-150, 150, size=(40, 1))
    X[0] /= np.abs(X[0]).max()
    lengths[0] = 1.5e308
    found = silhouette_ceiling(X * lengths, metric=metric)
    assert found.ceiling == pytest.approx(silhouette_ceiling(X, metric=metric).ceiling)

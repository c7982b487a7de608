"""What is particular to Euclidean distance between sparse rows."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array, csr_matrix, random

import fastsil
import reference
from assertions import assert_same_bits, assert_silhouettes_close
from fastsil.engines import all_pairs as allpairs
from fastsil.engines.dispatch import find_engine
from strategies import labeled_data


def documents(n_samples=700, n_features=900, density=0.03):
    """Counts; some features are in most samples, most are in few; a sample without any, and equal ones."""
    rng = np.random.default_rng(0)
    often = np.minimum(0.9, 20 * density / np.arange(1, n_features + 1))
    X = rng.poisson(2, size=(n_samples, n_features)) * (rng.random(size=(n_samples, n_features)) < often)
    X[5], X[6] = 0, X[7]
    return csr_array(X.astype(float)), rng.integers(6, size=n_samples)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_as_scikit_learn_and_as_dense(dtype):
    X, labels = documents()
    X = X.astype(dtype)
    profile = fastsil.silhouette_profile(X, labels)
    assert profile.work.strategy == "sparse: all pairs"
    tolerance = 1e-5 if dtype == np.float32 else 1e-10
    np.testing.assert_allclose(profile.silhouettes, sklearn.metrics.silhouette_samples(X, labels), atol=tolerance)
    dense = fastsil.silhouette_profile(X.toarray(), labels)
    np.testing.assert_allclose(profile.a, dense.a, rtol=tolerance)
    np.testing.assert_allclose(profile.b, dense.b, rtol=tolerance)


@given(labeled_data(), st.integers(1, 3), st.booleans())
def test_terms_hypothesis(data, sparseness, narrow):
    """Drawn data with zeros: duplicates, near-duplicates far from 0, rows of zeros, extreme scales."""
    X, labels = data
    X = X * (np.add.outer(np.arange(len(X)), np.arange(X.shape[1])) % 4 < sparseness)
    # So that a dense array would be larger; zeros that are stored in the first row keep the columns.
    wide = np.hstack([X, np.zeros((len(X), 40))])
    rows, columns = np.nonzero((wide != 0) | (np.arange(len(X)) == 0)[:, None])
    stored = csr_array((wide[rows, columns], (rows, columns)), shape=wide.shape)
    if narrow:
        stored.indices, stored.indptr = stored.indices.astype(np.int64), stored.indptr.astype(np.int64)
    profile = fastsil.silhouette_profile(stored, labels)
    assert profile.work.strategy.startswith("sparse")
    assert_silhouettes_close(profile.silhouettes, reference.silhouette_samples(X, labels), dtype=X.dtype)


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1e30, 1e200])
def test_extreme_sizes(scale):
    X, labels = documents(n_samples=300)
    plain, scaled = fastsil.silhouette_profile(X, labels), fastsil.silhouette_profile(scale * X, labels)
    np.testing.assert_allclose(scaled.silhouettes, plain.silhouettes, atol=1e-10)
    np.testing.assert_allclose(scaled.b, scale * plain.b, rtol=1e-10)


def test_entries_out_of_order_and_stored_twice_add_up_and_stay():
    X, labels = documents(n_samples=200)
    halves = X.copy()
    halves.data /= 2
    stored = csr_matrix(
        (
            np.concatenate([halves.data, halves.data])[::-1],
            (np.concatenate([X.tocoo().row] * 2)[::-1], np.concatenate([X.tocoo().col] * 2)[::-1]),
        ),
        shape=X.shape,
    )
    twice = csr_matrix((np.repeat(halves.data, 2), np.repeat(X.indices, 2), 2 * X.indptr), shape=X.shape)
    before = twice.data.copy(), twice.indices.copy(), twice.indptr.copy()
    expected = fastsil.silhouette_samples(X, labels)
    for form in (stored, twice):
        np.testing.assert_allclose(fastsil.silhouette_samples(form, labels), expected, atol=1e-12)
    for now, then in zip((twice.data, twice.indices, twice.indptr), before, strict=True):
        assert_same_bits(now, then)


def test_ranges_of_clusters_give_the_same(monkeypatch):
    X, labels = documents()
    whole = fastsil.silhouette_profile(X, labels)
    monkeypatch.setattr(allpairs, "_BYTES", 0)
    ranged = fastsil.silhouette_profile(X, labels, n_jobs=2)
    assert ranged.work.pairs > whole.work.pairs
    assert_same_bits(ranged.silhouettes, whole.silhouettes)


def test_nothing_stored():
    X = csr_array((6, 100))
    np.testing.assert_array_equal(fastsil.silhouette_samples(X, [0, 0, 1, 1, 2, 2]), np.zeros(6))


def test_memory_does_not_grow_with_the_features():
    """A million features of a few samples: a dense array would be 3 GB."""
    X = csr_array(random(400, 1_000_000, density=1e-5, random_state=np.random.default_rng(0), format="csr"))
    labels = np.arange(400) % 4
    expected = sklearn.metrics.silhouette_samples(X, labels)
    np.testing.assert_allclose(fastsil.silhouette_samples(X, labels), expected, atol=1e-10)


def test_a_full_matrix_is_scored_as_an_array():
    """Which takes no more memory, and less time."""
    full, empty = np.ones((20, 6)), np.eye(20, 6)
    assert find_engine(csr_matrix(full), "euclidean", {}) == "euclidean"
    assert find_engine(csr_matrix(empty), "euclidean", {}) == "sparse"

"""Counts of rows between centers, and k-means on few rows."""

import numpy as np
import pytest

import reference
from fastsil.kernels import gaps as kernels

N_BINS = 40


def make_rows(n_features, k, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(120, n_features)), random.normal(size=(k, n_features))


def squares(X, Y):
    return ((X[:, None] - Y) ** 2).sum(axis=2)


@pytest.mark.parametrize("k", [2, 3, 6])
@pytest.mark.parametrize("n_features", [1, 2, 5])
def test_rows_are_binned_between_the_centers_whose_facet_they_stand_on(n_features, k):
    X, centers = make_rows(n_features, k)
    bins = np.empty((len(X), k * (k - 1) // 2), dtype=np.int8)
    kernels.bin_between_centers(squares(X, centers), squares(centers, centers), N_BINS, bins)
    np.testing.assert_array_equal(bins, reference.bin_between_centers(X, centers, N_BINS))
    assert (bins >= 0).any()


def test_centers_that_are_one_have_nothing_between_them():
    X, centers = make_rows(3, 2)
    centers[1] = centers[0]
    bins = np.empty((len(X), 1), dtype=np.int8)
    kernels.bin_between_centers(squares(X, centers), squares(centers, centers), N_BINS, bins)
    assert (bins == -1).all()


def test_bins_are_counted_and_weighted():
    random = np.random.default_rng(0)
    bins = random.integers(-1, 5, size=(50, 3)).astype(np.int8)
    counts, sums, weights = np.zeros((3, 5), dtype=np.int64), np.empty(50), random.normal(size=(3, 5))
    kernels.count_bins(bins, counts)
    kernels.sum_bin_weights(bins, weights, sums)
    np.testing.assert_array_equal(counts, reference.count_bins(bins, 5))
    np.testing.assert_allclose(sums, reference.sum_bin_weights(bins, weights))
    kernels.count_bins(bins, counts)
    np.testing.assert_array_equal(counts, 2 * reference.count_bins(bins, 5))


@pytest.mark.parametrize("max_iter", [1, 2, 50])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_k_means_goes_from_its_start_until_no_label_changes(k, max_iter):
    X, start = make_rows(3, k)
    start[-1] = 100.0 if k == 5 else start[-1]  # nearest to no row: stays
    centers, labels = start.copy(), np.empty(len(X), dtype=np.int64)
    inertia = kernels.run_lloyd(X, max_iter, centers, labels)
    expected = reference.run_lloyd(X, max_iter, start)
    np.testing.assert_allclose(centers, expected[0])
    np.testing.assert_array_equal(labels, expected[1])
    assert inertia == pytest.approx(expected[2])

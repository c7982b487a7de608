"""Moments of the members of a cluster equal the naive sums, far from 0 too."""

import numpy as np
import pytest

import reference
from fastsil.kernels import moments as kernels


@pytest.fixture(params=[np.float32, np.float64])
def data(request):
    """(X, rows, scale, center): a few rows of a larger array, far from 0."""
    rng = np.random.default_rng(0)
    X = (1000 + rng.normal(size=(30, 7))).astype(request.param)
    rows = rng.permutation(30)[:11]
    scale = 0.5
    return X, rows, scale, (X[rows].astype(float) * scale).mean(axis=0)


WEIGHTS = np.random.default_rng(6).integers(0, 4, size=30) * 0.5
weightings = pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])


def of_rows(weights, rows):
    return 1 if weights is None else weights[rows]


@weightings
def test_add_differences(data, weights):
    X, rows, scale, center = data
    sums = np.ones(7)
    kernels.add_differences(X, rows, scale, center + 1, weights, sums)
    expected = reference.add_differences(X[rows], scale, center + 1, of_rows(weights, rows))
    np.testing.assert_allclose(sums - 1, expected.astype(float), rtol=1e-12)


@weightings
def test_add_radial_moments(data, weights):
    X, rows, scale, center = data
    skew, radial = np.ones(7), np.ones(2)
    kernels.add_radial_moments(X, rows, scale, center, weights, skew, radial)
    expected_skew, expected_radial = reference.add_radial_moments(X[rows], scale, center, of_rows(weights, rows))
    np.testing.assert_allclose(skew - 1, expected_skew.astype(float), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(radial - 1, expected_radial.astype(float), rtol=1e-12)


@weightings
def test_add_covariance_products(data, weights):
    X, rows, scale, center = data
    basis = np.random.default_rng(1).normal(size=(4, 7))
    products = np.ones((4, 7))
    # Samples of two clusters, each relative to its own center.
    codes = np.arange(len(X), dtype=np.int32) % 2
    centers = np.stack([center, center + 1])
    kernels.add_covariance_products(X, rows, scale, centers, codes, weights, basis, products)
    members = [rows[codes[rows] == code] for code in (0, 1)]
    expected = sum(
        reference.add_covariance_products(X[of], scale, centers[code], basis, of_rows(weights, of))
        for code, of in enumerate(members)
    )
    np.testing.assert_allclose(products - 1, expected.astype(float), rtol=1e-10, atol=1e-12)


def test_no_rows_add_nothing(data):
    X, _, scale, center = data
    nobody = np.empty(0, dtype=np.intp)
    sums, radial = np.zeros(7), np.zeros(2)
    kernels.add_differences(X, nobody, scale, center, None, sums)
    kernels.add_radial_moments(X, nobody, scale, center, None, sums, radial)
    assert not sums.any()
    assert not radial.any()


def test_orthonormalize_rows():
    vectors = np.random.default_rng(2).normal(size=(5, 8))
    vectors[2] = 3 * vectors[0] - vectors[1]
    vectors[3] = vectors[0] + 1e-6 * vectors[3]
    expected = reference.orthonormalize_rows(vectors).astype(float)
    kernels.orthonormalize_rows(vectors)
    np.testing.assert_allclose(vectors, expected, atol=1e-9)
    assert not vectors[2].any()
    np.testing.assert_allclose(vectors @ vectors.T, np.diag([1.0, 1.0, 0.0, 1.0, 1.0]), atol=1e-14)


def test_turn_members(data):
    X, rows, scale, center = data
    turned = np.empty((X.shape[1] - 1, len(rows)))
    kernels.turn_members(X, rows, scale, center, 1, turned)
    expected = reference.turn_members(X[rows], scale, center).astype(float)[1:]
    np.testing.assert_allclose(turned, expected, rtol=1e-12, atol=1e-12)


def test_fill_inner_products():
    left, right = np.random.default_rng(3).normal(size=(2, 4, 9))
    products = np.empty((4, 4))
    kernels.fill_inner_products(left, right, products)
    np.testing.assert_allclose(products, reference.fill_inner_products(left, right), rtol=1e-12)


def test_combine_rows():
    rng = np.random.default_rng(4)
    weights, vectors = rng.normal(size=(3, 4)), rng.normal(size=(4, 9))
    combinations = np.empty((3, 9))
    kernels.combine_rows(weights, vectors, combinations)
    np.testing.assert_allclose(combinations, reference.combine_rows(weights, vectors), rtol=1e-12)


@pytest.mark.parametrize("spectrum", [[3.0, 2.0, 1e-9, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [5.0]])
def test_diagonalize(spectrum):
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(len(spectrum), len(spectrum))))[0]
    matrix = turn @ np.diag(spectrum) @ turn.T
    matrix = (matrix + matrix.T) / 2
    values, expected = reference.diagonalize(matrix)
    turned, vectors = matrix.copy(), np.empty_like(matrix)
    kernels.diagonalize(turned, vectors)
    np.testing.assert_allclose(np.sort(np.diagonal(turned)), values, atol=1e-12)
    np.testing.assert_allclose(vectors @ vectors.T, expected @ expected.T, atol=1e-12)
    np.testing.assert_allclose(vectors @ matrix @ vectors.T, np.diag(np.diagonal(turned)), atol=1e-11)

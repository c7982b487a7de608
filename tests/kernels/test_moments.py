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


def test_add_differences(data):
    X, rows, scale, center = data
    sums = np.ones(7)
    kernels.add_differences(X, rows, scale, center + 1, sums)
    np.testing.assert_allclose(
        sums - 1, reference.add_differences(X[rows], scale, center + 1).astype(float), rtol=1e-12
    )


def test_add_radial_moments(data):
    X, rows, scale, center = data
    skew, radial = np.ones(7), np.ones(2)
    kernels.add_radial_moments(X, rows, scale, center, skew, radial)
    expected_skew, expected_radial = reference.add_radial_moments(X[rows], scale, center)
    np.testing.assert_allclose(skew - 1, expected_skew.astype(float), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(radial - 1, expected_radial.astype(float), rtol=1e-12)


def test_add_covariance_products(data):
    X, rows, scale, center = data
    basis = np.random.default_rng(1).normal(size=(3, 7))
    products = np.ones((3, 7))
    kernels.add_covariance_products(X, rows, scale, center, basis, products)
    expected = reference.add_covariance_products(X[rows], scale, center, basis).astype(float)
    np.testing.assert_allclose(products - 1, expected, rtol=1e-10, atol=1e-12)


def test_no_rows_add_nothing(data):
    X, _, scale, center = data
    nobody = np.empty(0, dtype=np.intp)
    sums, radial = np.zeros(7), np.zeros(2)
    kernels.add_differences(X, nobody, scale, center, sums)
    kernels.add_radial_moments(X, nobody, scale, center, sums, radial)
    assert not sums.any()
    assert not radial.any()

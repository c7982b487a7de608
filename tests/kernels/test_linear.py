"""Moments of groups and values for centers equal the naive ones, far from 0 and for near-duplicates too."""

import numpy as np
import pytest
from numba import config

import reference
from fastsil.kernels import linear as kernels

dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
interpreted = pytest.mark.skipif(config.DISABLE_JIT, reason="many rows are slow without compilation")
GO = np.zeros(1, dtype=np.uint8)


def awkward_rows(dtype):
    """Rows of zeros, constant rows, near-constant rows, and rows whose squares overflow or vanish."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12, 5))
    X[1] = 0
    X[2] = 0.1
    X[3] = 1e4 + 1e-2 * X[3]
    X[4] *= 1e30
    X[5] *= 1e-30
    if dtype == np.float64:
        X[6] *= 1e200
        X[7] *= 1e-200
    return X.astype(dtype)


@dtypes
def test_measure_lengths(dtype):
    X = awkward_rows(dtype)
    members = np.array([11, 0, 1, 2, 4, 5, 6, 7])
    scale = np.full(12, -1.0)
    kernels.measure_lengths(X, members, scale)
    np.testing.assert_allclose(scale[members], reference.measure_lengths(X)[members].astype(float), rtol=1e-14)
    assert (np.delete(scale, members) == -1).all()


@dtypes
def test_measure_spreads(dtype):
    X = awkward_rows(dtype)
    members = np.array([11, 0, 1, 2, 3, 4, 5, 6, 7])
    shift, scale = np.full(12, -1.0), np.full(12, -1.0)
    kernels.measure_spreads(X, members, shift, scale)
    expected_shift, expected_scale = (values[members].astype(float) for values in reference.measure_spreads(X))
    extent = np.abs(X[members].astype(float)).max(axis=1)
    assert (np.abs(shift[members] - expected_shift) <= 4e-16 * extent).all()
    # A shift that is off by rounding of a large offset shows in the length of what is left.
    np.testing.assert_allclose(scale[members], expected_scale, rtol=1e-9)
    assert (np.delete(scale, members) == -1).all()


class Case:
    """Rows in groups, seen through a shift and a scale, with the groups' exact means as two vectors each."""

    def __init__(self, n_rows, n_features, n_groups, dtype, *, offset=0.0, seed=1):
        rng = np.random.default_rng(seed)
        X = offset + rng.normal(size=(n_rows, n_features)) * 10.0 ** rng.integers(-4, 1, size=(n_rows, 1))
        X[::5] = X[0]
        self.rows = kernels.ShiftedRows(X.astype(dtype), rng.normal(size=n_rows), rng.uniform(0.5, 2, size=n_rows))
        self.Z = reference.seen_rows(*self.rows)
        self.groups = rng.permutation(np.arange(n_rows) % n_groups).astype(np.int32)
        self.means = np.stack([self.Z[self.groups == group].mean(axis=0) for group in range(n_groups)])
        origins = np.stack([self.Z[self.groups == group][0] for group in range(n_groups)]).astype(float)
        self.centers = kernels.Centers(
            origins,
            (self.means - origins).astype(float),
            rng.uniform(0.5, 1, size=n_groups),
            rng.uniform(0, 1e-6, size=n_groups),
            rng.uniform(1, 2, size=n_groups),
        )
        self.screen = self._screen(n_groups)

    def _screen(self, n_groups):
        origin = self.means.mean(axis=0).astype(float)
        n_padded = -(-n_groups // 4) * 4
        centers = np.zeros((n_padded, len(origin)))
        centers[:n_groups] = (self.means - origin).astype(float)
        weights, constants = np.zeros(n_padded), np.zeros(n_padded)
        weights[:n_groups], constants[:n_groups] = self.centers.weights, self.centers.constants
        return kernels.Screen(origin, centers, (centers**2).sum(axis=1), weights, constants)

    def expected(self):
        _, _, weights, constants, own_factors = self.centers
        return reference.find_nearest_rows(self.Z, self.groups, self.means, weights, constants, own_factors)


@dtypes
@pytest.mark.parametrize("weighted", [False, True])
def test_sum_offsets_pieces(dtype, weighted):
    case = Case(30, 6, 3, dtype, offset=100.0)
    case.rows.scale[[4, 9]] = 0
    order = np.random.default_rng(2).permutation(30)
    bounds, groups = np.array([0, 7, 7, 8, 30]), np.array([2, 0, 1, 0])
    totals, squares = np.full((4, 6), np.nan), np.full(4, np.nan)
    weights = np.random.default_rng(3).integers(0, 4, size=30) * 0.5 if weighted else None
    kernels.sum_offsets_pieces(case.rows, order, weights, bounds, groups, case.centers.origins, totals, squares)
    for piece, group in enumerate(groups):
        places = np.arange(bounds[piece], bounds[piece + 1])
        places = places[case.rows.scale[order[places]] != 0]
        counts = 1 if weights is None else weights[places]
        total, square = reference.sum_offsets_pieces(case.Z[order[places]], case.centers.origins[group], counts)
        np.testing.assert_allclose(totals[piece], total.astype(float), rtol=1e-12, atol=1e-10)
        np.testing.assert_allclose(squares[piece], float(square), rtol=1e-12)


@dtypes
def test_pack_rows(dtype):
    case = Case(20, 5, 2, dtype, offset=10.0)
    packed, lengths = np.full((8, 5), 7.0), np.full(8, 7.0)
    kernels.pack_rows(case.rows, 3, 9, case.screen.origin, packed, lengths)
    expected_packed, expected_lengths = reference.pack_rows(case.Z[3:9], case.screen.origin)
    np.testing.assert_allclose(packed[:6], expected_packed.astype(float), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(lengths[:6], expected_lengths.astype(float), rtol=1e-12)
    assert (packed[6:] == 7).all()
    assert (lengths[6:] == 7).all()


@pytest.mark.parametrize("n_rows", [4, 12])
@pytest.mark.parametrize("n_centers", [4, 16])
@pytest.mark.parametrize("n_features", [1, 7, 40])
def test_multiply_rows(n_rows, n_centers, n_features):
    rng = np.random.default_rng(3)
    packed, centers = rng.normal(size=(n_rows, n_features)), rng.normal(size=(n_centers, n_features))
    products = np.full((n_rows, n_centers), np.nan)
    kernels.multiply_rows(packed, centers, products)
    np.testing.assert_allclose(products, reference.multiply_rows(packed, centers).astype(float), atol=1e-13)


@dtypes
def test_bound_values_contain_the_values(dtype):
    case = Case(24, 9, 6, dtype, offset=1000.0)
    packed, lengths, products = np.zeros((24, 9)), np.zeros(24), np.empty((24, 8))
    kernels.pack_rows(case.rows, 0, 24, case.screen.origin, packed, lengths)
    kernels.multiply_rows(packed, case.screen.centers, products)
    values = reference.bound_values(case.Z, case.means, case.centers.weights, case.centers.constants)
    bounds = np.empty((2, 8))
    for i in range(24):
        kernels.bound_values(products[i], lengths[i], case.screen, bounds)
        assert (bounds[0, :6] <= values[i]).all()
        assert (values[i] <= bounds[1, :6]).all()
        # Otherwise infinite bounds would do.
        assert (bounds[1, :6] - bounds[0, :6] <= 1e-13 * (lengths[i] + case.screen.squares[:6])).all()


@dtypes
def test_choose_nearest(dtype):
    case = Case(16, 9, 6, dtype, offset=1000.0)
    packed, lengths, products = np.zeros((16, 9)), np.zeros(16), np.empty((16, 8))
    kernels.pack_rows(case.rows, 0, 16, case.screen.origin, packed, lengths)
    kernels.multiply_rows(packed, case.screen.centers, products)
    nearest = kernels.Nearest(np.empty(16), np.empty(16), np.empty(16, np.int32))
    kernels.choose_nearest(case.rows, 0, case.groups, case.centers, case.screen, products, lengths, nearest)
    assert_nearest_close(nearest, case.expected())


@dtypes
@pytest.mark.parametrize(
    ("n_rows", "n_features", "n_groups"),
    [(3, 1, 2), (10, 3, 9), (70, 11, 5), pytest.param(300, 40, 130, marks=interpreted)],
)
def test_find_nearest_rows(n_rows, n_features, n_groups, dtype):
    case = Case(n_rows, n_features, n_groups, dtype, offset=100.0)
    nearest = kernels.Nearest(np.empty(n_rows), np.empty(n_rows), np.empty(n_rows, np.int32))
    kernels.find_nearest_rows(case.rows, case.groups, case.centers, case.screen, nearest, GO)
    assert_nearest_close(nearest, case.expected())


def assert_nearest_close(nearest, expected):
    own, other, which = expected
    np.testing.assert_allclose(nearest.a, own.astype(float), rtol=1e-10)
    np.testing.assert_allclose(nearest.b, other.astype(float), rtol=1e-10)
    np.testing.assert_array_equal(nearest.neighbor, which)


def test_of_groups_that_tie_the_first_is_taken():
    case = Case(12, 4, 4, np.float64)
    for array in (case.centers.origins, case.centers.offsets, case.screen.centers):
        array[3] = array[1]
    case.screen.squares[3] = case.screen.squares[1]
    for record in (case.centers, case.screen):
        record.weights[:4] = 1
        record.constants[:4] = 0
    nearest = kernels.Nearest(np.empty(12), np.empty(12), np.empty(12, np.int32))
    kernels.find_nearest_rows(case.rows, case.groups, case.centers, case.screen, nearest, GO)
    assert not (nearest.neighbor[case.groups != 1] == 3).any()


def test_a_stop_leaves_early():
    case = Case(9, 4, 3, np.float64)
    nearest = kernels.Nearest(np.full(9, 7.0), np.full(9, 7.0), np.full(9, 7, np.int32))
    kernels.find_nearest_rows(case.rows, case.groups, case.centers, case.screen, nearest, np.ones(1, np.uint8))
    assert all((values == 7).all() for values in nearest)

"""Moments of clusters are no less than they are, as bounds need; the tables of clusters, which may be larger than all
else of a call, are held once.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from assertions import with_peak
from fastsil.engines.euclidean.moments import _form, _majorize, cluster_centers, radial_bounds, shared_basis
from fastsil.engines.scaling import scale_data
from fastsil.validation.partition import partition_from_codes

N_CLUSTERS, N_FEATURES = 3000, 400
TABLE = 8 * N_CLUSTERS * N_FEATURES  # 9 MiB


def held(function):
    """What a function gives, and its peak of memory in tables of clusters and features."""
    function()  # what is compiled is no table
    result, peak = with_peak(function)
    return result, peak / TABLE


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_few_tables_are_held_at_a_time(dtype):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2 * N_CLUSTERS, N_FEATURES)).astype(dtype)
    codes = np.arange(len(X)) % N_CLUSTERS
    data = scale_data(X, partition_from_codes(np.arange(N_CLUSTERS), codes))
    centers, tables = held(lambda: cluster_centers(data, 1))
    np.testing.assert_allclose(centers, (X[:N_CLUSTERS].astype(float) + X[N_CLUSTERS:]) / 2, atol=1e-6)
    assert tables < 2.6  # the first members, their type or scale changed, and the sums
    origin = centers.mean(axis=0).astype(dtype)
    given = {"rounding": 1e-6, "n_jobs": 1}
    (bounds, skew), tables = held(lambda: radial_bounds(data, centers, np.zeros(N_CLUSTERS), origin, **given))
    np.testing.assert_allclose(bounds.center_norms, ((centers - origin) ** 2).sum(axis=1))
    np.testing.assert_allclose(bounds.skew_norm, np.linalg.norm(skew, axis=1))
    assert tables < 2.0  # the skewness, and blocks
    vectors, shared, _ = shared_basis(data, bounds, skew, origin, 16, 0, n_jobs=1)
    np.testing.assert_allclose(shared.skew_outside, skew - (skew @ vectors.T) @ vectors, atol=1e-4)
    np.testing.assert_allclose(shared.centers, (centers - origin) @ vectors.T, atol=1e-4)


def measured(X, codes=None, dtype=np.float64, weights=None, **params):
    """Data, centers, first bounds and skew of some clusters, from products without an error."""
    codes = np.zeros(len(X), np.int32) if codes is None else codes
    partition = partition_from_codes(np.arange(codes.max() + 1), codes).weighted(weights)
    data = scale_data(np.ascontiguousarray(X, dtype), partition)
    centers = cluster_centers(data, 1)
    given = {
        "squared_products": np.zeros(len(centers)),
        "origin": np.zeros(X.shape[1], dtype),
        "rounding": 1e-6,
        **params,
    }
    bounds, skew = radial_bounds(data, centers, n_jobs=1, **given)
    return data, centers, bounds, skew


def exact_center(X, weights=None):
    counts = [Fraction(1)] * len(X) if weights is None else [Fraction(weight) for weight in weights.tolist()]
    columns = [zip(map(Fraction, column), counts, strict=True) for column in X.T.tolist()]
    return [sum(value * count for value, count in column) / sum(counts) for column in columns]


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e9])
def test_centers_are_off_by_less_than_is_allowed_for(offset):
    """Far from 0 by the rounding of the center, near 0 by that of the sum."""
    for seed in range(20):
        half = np.random.default_rng(seed).normal(size=(50, 3))
        X = np.concatenate([half, -half if offset == 0 else -half[:-1]]) + offset
        data, centers, bounds, _ = measured(X)
        exact = exact_center(X * data.scale)
        off2 = sum((Fraction(given) - true) ** 2 for given, true in zip(centers[0].tolist(), exact, strict=True))
        assert off2 <= Fraction(bounds.center_rounding[0]) ** 2


@pytest.mark.parametrize("n_members", [100, 8192, 200_000])
def test_a_member_far_from_all_others_moves_no_center_by_more_than_is_allowed_for(n_members):
    """Differences are taken from it: all are equal and large, and their sum is rounded in one direction."""
    X = np.full((n_members, 1), 1 / 3)
    X[0] = 1000 / 7
    data, centers, bounds, _ = measured(X)
    off = Fraction(centers[0, 0]) - exact_center(X * data.scale)[0]
    assert abs(off) <= Fraction(bounds.center_rounding[0])


@pytest.mark.parametrize("weight", [0.0, 1e-30, 1e-9, 0.5])
def test_a_member_that_hardly_counts_moves_no_center_by_more_than_is_allowed_for(weight):
    """It may be any distance from the center, so that no differences are taken from it."""
    X = np.full((8192, 1), 1 / 3) + 1e-3 * np.random.default_rng(0).normal(size=(8192, 1))
    X[0] = 1e12 / 7
    weights = np.random.default_rng(1).uniform(0.5, 1.0, size=8192)
    weights[0] = weight
    data, centers, bounds, _ = measured(X, weights=weights)
    off = Fraction(centers[0, 0]) - exact_center(X * data.scale, weights)[0]
    assert abs(off) <= Fraction(bounds.center_rounding[0])


def test_moments_with_whole_weights_are_those_of_repetitions():
    rng = np.random.default_rng(2)
    X, weights = rng.normal(size=(60, 20)), rng.integers(0, 4, size=60)
    weights[:3] = 2
    codes = np.arange(60) % 3
    rows = np.repeat(np.arange(60), weights)
    found = measured(X, codes, weights=weights.astype(float))
    expected = measured(X[rows], codes[rows])
    for name in ("variance", "variance_r2", "skew_norm", "spectral", "centers"):
        np.testing.assert_allclose(getattr(found[2], name), getattr(expected[2], name), rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(found[3], expected[3], rtol=1e-9, atol=1e-12)
    origin = np.zeros(20)
    bases = [
        shared_basis(data, bounds, skew, origin, 32, 0, n_jobs=1)[1] for data, _, bounds, skew in (found, expected)
    ]
    for name in ("centers", "forms", "form_norms", "skew"):
        np.testing.assert_allclose(getattr(bases[0], name), getattr(bases[1], name), rtol=1e-8, atol=1e-9, err_msg=name)


def test_the_variance_of_squared_radii_is_not_less_than_it_is():
    """Members at nearly one distance: what differs is lost in the difference of fourth and second moments."""
    for seed in range(20):
        u = np.random.default_rng(seed).normal(size=(40, 3))
        u = np.concatenate([u, -u]) / np.tile(np.linalg.norm(u, axis=1), 2)[:, None]
        data, _, bounds, _ = measured(u)
        x = u * data.scale
        squares = [sum(Fraction(value) ** 2 for value in row) for row in x.tolist()]
        mean = sum(squares) / len(squares)
        assert sum((square - mean) ** 2 for square in squares) / len(squares) <= Fraction(bounds.variance_r2[0])


def test_the_norm_of_a_covariance_is_not_less_than_it_is():
    """Products may be too small, each by `rounding` of the product of the norms; of samples on a line, all are."""
    rounding = 1e-6
    line = np.outer(np.random.default_rng(0).normal(size=50), np.ones(7))
    data, centers, _, _ = measured(line)
    u = line * data.scale - centers
    products = (u @ u.T) * (1 - rounding)
    *_, bounds, _ = measured(line, squared_products=np.array([(products**2).sum()]), rounding=rounding)
    assert bounds.spectral[0] >= np.linalg.norm(u.T @ u / len(u), 2)
    assert bounds.spectral[0] < 1.001 * np.linalg.norm(u.T @ u / len(u), 2)


@pytest.mark.parametrize("seed", range(5))
def test_forms_bound_the_covariance(seed):
    """M inside the basis and ρ + 1/α outside are no less than Σ, as quadratic forms."""
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(200, 9)) * np.arange(1, 10) ** -1.0
    covariance = u.T @ u / len(u)
    basis = np.linalg.qr(rng.normal(size=(9, 4)))[0].T
    frobenius = np.linalg.norm(covariance) * (1 + 1e-9)
    form, norm, back = _form(basis, basis @ covariance, np.trace(covariance), frobenius)
    bound = basis.T @ form @ basis + (norm + back) * (np.eye(9) - basis.T @ basis)
    assert np.linalg.eigvalsh(bound - covariance)[0] >= 0


@pytest.mark.parametrize("seed", range(3))
def test_moments_along_a_basis_bound_the_covariance(seed):
    X = np.random.default_rng(seed).normal(size=(300, 24)) * np.arange(1, 25) ** -0.5
    data, centers, bounds, skew = measured(X)
    basis, shared, norms = shared_basis(data, bounds, skew, np.zeros(24), 16, 0, n_jobs=1)
    u = X * data.scale - centers
    covariance = u.T @ u / len(u)
    outside = np.eye(24) - basis.T @ basis
    assert np.linalg.norm(outside @ covariance @ outside, 2) <= norms.outside[0] < shared.rest[0]
    assert np.linalg.norm(shared.forms[0], 2) <= norms.inside[0] < shared.form_norms[0]
    bound = basis.T @ shared.forms[0] @ basis + shared.rest[0] * outside
    assert np.linalg.eigvalsh(bound - covariance)[0] >= -1e-12


def is_definite(matrix):
    """Whether no quadratic form of the matrix is negative: its pivots, in exact arithmetic."""
    rest = matrix.tolist()
    while rest:
        (pivot, *row), *others = rest
        if pivot < 0 or (pivot == 0 and any(row)):
            return False
        rest = [[a - other[0] * b / (pivot or 1) for a, b in zip(other[1:], row, strict=True)] for other in others]
    return True


@pytest.mark.parametrize("seed", range(60))
def test_forms_bound_covariances_that_the_basis_holds_but_for_rounding(seed):
    """Two of three directions; all that the covariance has along the third (almost nothing) goes with the first two."""
    rng = np.random.default_rng(seed)
    inside, outside = 10.0 ** rng.uniform([-16, -20], [0, -6])
    first, second = np.sqrt(outside / 2), np.sqrt(inside * outside / 2)
    covariance = np.array([[1.0, 0.0, first], [0.0, inside, second], [first, second, outside * (1 + 1e-15)]])
    exact = np.vectorize(Fraction, otypes=[object])
    assert is_definite(exact(covariance))
    frobenius = np.linalg.norm(covariance) * (1 + 1e-15)
    form, norm, back = _form(np.eye(2, 3), covariance[:2].copy(), np.trace(covariance), frobenius)
    bound = np.zeros((3, 3))
    bound[:2, :2], bound[2, 2] = form, norm + back
    assert is_definite(exact(bound) - exact(covariance))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_skew_outside_the_basis_is_not_less_than_it_is(dtype):
    """Skew along the only direction there is: what is outside is the rounding of the basis."""
    rng = np.random.default_rng(0)
    X = np.outer(rng.exponential(size=80), rng.normal(size=20))
    data, _, bounds, skew = measured(X, dtype=dtype)
    vectors, shared, _ = shared_basis(data, bounds, skew, np.zeros(20, dtype), 16, 0, n_jobs=1)
    given = vectors.astype(np.longdouble)
    outside = skew[0] - given.T @ (given @ skew[0])
    assert 0 < np.linalg.norm(outside) <= shared.skew_rest[0]


def test_the_norm_of_a_form_is_not_less_than_it_is():
    """Of the form in single precision, which may be rounded up: of samples on a line it is one number."""
    for seed in range(20):
        X = np.random.default_rng(seed).normal(size=(30, 1))
        data, _, bounds, skew = measured(X, dtype=np.float32)
        _, shared, _ = shared_basis(data, bounds, skew, np.zeros(1, np.float32), 16, 0, n_jobs=1)
        assert np.linalg.norm(shared.forms[0].astype(np.longdouble)) <= shared.form_norms[0]


def test_the_largest_eigenvalue_of_samples_on_a_line_is_not_less_than_it_is():
    """It is all of the variance, in exact arithmetic."""
    for seed in range(20):
        X = np.random.default_rng(seed).normal(size=(30, 1))
        data, _, bounds, _ = measured(X)
        x = [Fraction(value) for value in (X[:, 0] * data.scale).tolist()]
        center = sum(x) / len(x)
        assert sum((value - center) ** 2 for value in x) / len(x) <= Fraction(bounds.spectral[0])


def test_a_form_of_all_directions_is_not_less_than_the_covariance():
    """In exact arithmetic, for directions along which there is next to no variance."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(20, 3)) * [1.0, 1.0, 1e-9]
        data, _, bounds, skew = measured(X)
        _, shared, _ = shared_basis(data, bounds, skew, np.zeros(3), 16, 0, n_jobs=1)
        form = [[Fraction(value) for value in row] for row in shared.forms[0, :3, :3].tolist()]
        center = exact_center(X * data.scale)
        u = [[Fraction(value) - c for value, c in zip(row, center, strict=True)] for row in (X * data.scale).tolist()]
        for z in ([0, 0, 1], [1, 0, 0], [1, -1, 0]):
            quadratic = sum(z[i] * z[j] * form[i][j] for i in range(3) for j in range(3))
            assert sum(sum(a * b for a, b in zip(z, row, strict=True)) ** 2 for row in u) / len(u) <= quadratic


def test_a_majorant_is_not_less_than_its_form():
    """In float32, of a diagonal, where the two are the same."""
    rng = np.random.default_rng(0)
    for n_vectors in (1, 16, 64):
        for _ in range(20):
            form, z = rng.exponential(size=n_vectors), rng.normal(size=n_vectors).astype(np.float32)
            majorant = _majorize(np.diag(form)).astype(np.float32)
            # Summed one after the other, the worst order.
            total = np.cumsum(majorant * z * z, dtype=np.float32)[-1]
            assert float(total) >= form @ z.astype(np.float64) ** 2


def test_a_majorant_bounds_forms_of_any_shape():
    rng = np.random.default_rng(1)
    for _ in range(50):
        factor = rng.normal(size=(12, 16)) * rng.exponential(size=16) ** 4
        factor[:, rng.random(16) < 0.2] = 0.0
        form = factor.T @ factor
        values = np.linalg.eigvalsh(np.diag(_majorize(form)) - form)
        assert values[0] >= -1e-12 * np.trace(form)

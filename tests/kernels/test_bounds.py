"""Bounds contain the mean distances that they bound, whatever the shape of the cluster."""

from typing import NamedTuple

import numpy as np
import pytest

import reference
from fastsil.kernels import bounds as kernels

ROUNDING = 1e-13


def round_clusters(rng, n_features):
    return rng.normal(size=(40, n_features))


def sticks(rng, n_features):
    return np.outer(rng.normal(size=40), rng.normal(size=n_features)) + 1e-3 * rng.normal(size=(40, n_features))


def heavy_tails(rng, n_features):
    return rng.standard_t(1.2, size=(40, n_features))


def two_clumps(rng, n_features):
    return rng.choice([-1.0, 1.0], size=40)[:, None] + 1e-2 * rng.normal(size=(40, n_features))


def one_sided_tails(rng, n_features):
    return rng.exponential(size=(40, n_features)) ** 1.5


def one_repeated_point(rng, n_features):
    return np.zeros((40, n_features))


SHAPES = [round_clusters, sticks, heavy_tails, one_sided_tails, two_clumps, one_repeated_point]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
features = pytest.mark.parametrize("n_features", [1, 2, 9])


class Moments(NamedTuple):
    """Of one cluster: center μ, E r², Var r², g = E r² (y - μ), covariance Σ."""

    center: np.ndarray
    variance: float
    variance_r2: float
    skew: np.ndarray
    covariance: np.ndarray

    def spread(self, u):
        """V = Var |x - y|²."""
        return 4 * u @ self.covariance @ u + self.variance_r2 - 4 * u @ self.skew


def moments_of(members):
    center = members.mean(axis=0)
    u = members - center
    r2 = (u**2).sum(axis=1)
    return Moments(center, r2.mean(), r2.var(), r2 @ u / len(u), u.T @ u / len(u))


class Case:
    """Four clusters of one shape, and what the kernels need to know of them, from naive moments."""

    def __init__(self, shape, n_features, seed=0):
        rng = np.random.default_rng(seed)
        self.codes = np.repeat(np.arange(4, dtype=np.int32), 40)
        self.X = np.concatenate([shape(rng, n_features) + 2 * rng.normal(size=n_features) for _ in range(4)])
        self.moments = moments = [moments_of(self.X[self.codes == code]) for code in range(4)]
        self.centers = np.stack([m.center for m in moments])
        self.squares = ((self.X[:, None] - self.centers) ** 2).sum(axis=2)
        self.clusters = kernels.ClusterBounds(
            centers=self.centers,
            center_rounding=np.full(4, 1e-14),
            center_norms=(self.centers**2).sum(axis=1),
            variance=np.array([m.variance for m in moments]),
            variance_r2=np.array([m.variance_r2 for m in moments]) * (1 + 1e-12),
            skew_norm=np.array([np.linalg.norm(m.skew) for m in moments]),
            spectral=np.array([np.linalg.norm(m.covariance, 2) for m in moments]) * (1 + 1e-12),
        )

    @property
    def rows(self):
        return kernels.BlockRows(self.X, np.arange(len(self.X)), 1.0)

    def block(self, components):
        return kernels.Block(self.codes, self.squares, (self.X**2).sum(axis=1), components)

    def selected(self, block):
        """Candidates that the first bounds leave, their number, and the least upper bounds."""
        found = kernels.make_candidates(4 * len(self.X))
        least_upper = np.empty(len(self.X))
        return found, kernels.select_by_centers(block, self.clusters, ROUNDING, least_upper, found), least_upper

    def assert_valid(self, found, n_found, twin):
        """The nearest cluster is there, and lower bounds are below the truth."""
        rows, clusters = found.row[:n_found], found.cluster[:n_found]
        for i in range(len(self.X)):
            nearest, _ = twin(self.X[i], self.codes[i], self.X, self.codes)
            candidates = clusters[rows == i]
            assert nearest in candidates
            assert self.codes[i] not in candidates
            for cluster, lower in zip(candidates, found.lower[:n_found][rows == i], strict=True):
                truth = reference.bound_mean_distance(self.X[i], self.X[self.codes == cluster])
                assert lower <= truth * (1 + 1e-11) + 1e-14


def shared_basis(moments, n_vectors, alpha, rng):
    """Return a random basis of at most ``n_vectors`` directions, padded with 0, and the form of each cluster in it."""
    n_features = len(moments[0].center)
    basis = np.zeros((n_vectors, n_features))
    used = min(n_vectors, n_features)
    basis[:used] = np.linalg.qr(rng.normal(size=(n_features, used)))[0].T
    outside = np.eye(n_features) - basis.T @ basis
    leaks = [outside @ m.covariance @ basis.T for m in moments]
    pairs = zip(moments, leaks, strict=True)
    forms = np.stack([basis @ m.covariance @ basis.T + alpha * leak.T @ leak for m, leak in pairs])
    forms += 1e-13 * np.linalg.norm(forms) * np.eye(n_vectors)
    rest = np.array([np.linalg.norm(outside @ m.covariance @ outside, 2) for m in moments])
    return basis, kernels.SharedBasis(
        first=2,
        centers=np.stack([basis @ m.center for m in moments]),
        forms=forms,
        majorants=np.abs(forms).sum(axis=2) * (1 + 1e-12),
        form_norms=np.linalg.norm(forms, axis=(1, 2)),
        # With all directions nothing leaks.
        rest=rest + 1e-13 + (1 / alpha if used < n_features else 0.0),
        skew=np.stack([basis @ m.skew for m in moments]),
        skew_outside=np.stack([outside @ m.skew for m in moments]),
        skew_rest=np.array([np.linalg.norm(outside @ m.skew) for m in moments]) + 1e-13,
    )


@shapes
@features
def test_bound_mean_distance(shape, n_features):
    rng = np.random.default_rng(1)
    members = shape(rng, n_features)
    moments = moments_of(members)
    for distance in (0, 1e-3, 1, 30):
        x = moments.center + distance * rng.normal(size=n_features)
        u = x - moments.center
        lower, upper = kernels.bound_mean_distance(u @ u, 1e-13 * (u @ u), moments.variance, moments.spread(u))
        truth = reference.bound_mean_distance(x, members)
        assert lower <= truth * (1 + 1e-12) + 1e-14
        assert truth <= upper * (1 + 1e-12)


def test_bounds_close_far_away():
    members = round_clusters(np.random.default_rng(2), 3)
    moments = moments_of(members)
    x = moments.center + np.array([100, 0, 0])
    u = x - moments.center
    lower, upper = kernels.bound_mean_distance(u @ u, 0.0, moments.variance, moments.spread(u))
    np.testing.assert_allclose([lower, upper], float(reference.bound_mean_distance(x, members)), rtol=3e-4)


@shapes
@features
def test_select_by_centers(shape, n_features):
    case = Case(shape, n_features)
    found, n_found, least_upper = case.selected(case.block(np.empty((len(case.X), 0))))
    case.assert_valid(found, n_found, reference.select_by_centers)
    means = [
        reference.select_by_centers(x, own, case.X, case.codes)[1] for x, own in zip(case.X, case.codes, strict=True)
    ]
    assert (means <= least_upper).all()


def test_clusters_far_away_are_excluded():
    case = Case(round_clusters, 4)
    shift = np.array([0, 5, 100, 1000])[case.codes][:, None]
    X = case.X + shift
    centers = case.centers + np.array([0, 5, 100, 1000])[:, None]
    clusters = case.clusters._replace(centers=centers, center_norms=(centers**2).sum(axis=1))
    squares = ((X[:40, None] - centers) ** 2).sum(axis=2)
    block = kernels.Block(case.codes[:40], squares, (X[:40] ** 2).sum(axis=1), np.empty((40, 0)))
    found = kernels.make_candidates(160)
    n_found = kernels.select_by_centers(block, clusters, ROUNDING, np.empty(40), found)
    np.testing.assert_array_equal(found.cluster[:n_found], np.ones(40))


@shapes
@pytest.mark.parametrize("n_features", [1, 2, 9, 60])
@pytest.mark.parametrize("n_vectors", [4, 12])
@pytest.mark.parametrize("alpha", [1e-3, 1.0])
def test_exclude_by_shared_basis(shape, n_features, n_vectors, alpha):
    case = Case(shape, n_features)
    basis, shared = shared_basis(case.moments, n_vectors, alpha, np.random.default_rng(3))
    # Columns of another basis stand before.
    block = case.block(np.hstack([np.full((len(case.X), 2), np.nan), case.X @ basis.T]))
    found, n_found, least_upper = case.selected(block)
    n_left = kernels.exclude_by_shared_basis(
        case.rows, block, case.clusters, shared, ROUNDING, least_upper, found, n_found
    )
    assert n_left <= n_found
    case.assert_valid(found, n_left, reference.exclude_by_shared_basis)
    assert np.isfinite(found.guess[:n_left]).all()


def test_bounds_are_those_of_the_formula():
    """Candidates that stay have been given all that is known, the part of g outside the basis among it."""
    case = Case(one_sided_tails, 9)
    basis, shared = shared_basis(case.moments, 4, 0.5, np.random.default_rng(3))
    block = case.block(np.hstack([np.zeros((len(case.X), 2)), case.X @ basis.T]))
    found, n_found, least_upper = case.selected(block)
    n_left = kernels.exclude_by_shared_basis(
        case.rows, block, case.clusters, shared, ROUNDING, least_upper, found, n_found
    )
    assert n_left > len(case.X)
    for i, c, lower, guess in zip(*(part[:n_left] for part in found), strict=True):
        m, u = case.moments[c], case.X[i] - case.centers[c]
        z = basis @ u
        spread = z @ shared.forms[c] @ z + shared.rest[c] * (u @ u - z @ z) - u @ m.skew
        spread = m.variance_r2 + 4 * spread
        naive, _ = kernels.bound_mean_distance(u @ u, 0.0, m.variance, spread)
        np.testing.assert_allclose(lower, naive, rtol=1e-4)
        mean = u @ u + m.variance
        np.testing.assert_allclose(guess, np.sqrt(mean) * (1 - spread / (8 * mean**2)), rtol=1e-9)


@shapes
def test_majorants_exclude_no_cluster_that_its_form_would_keep(shape):
    case = Case(shape, 9)
    basis, shared = shared_basis(case.moments, 8, 1.0, np.random.default_rng(3))
    block = case.block(np.hstack([np.zeros((len(case.X), 2)), case.X @ basis.T]))
    left = []
    for majorants in (shared.majorants, np.full_like(shared.majorants, 1e30)):
        found, n_found, least_upper = case.selected(block)
        given = shared._replace(majorants=majorants)
        n_left = kernels.exclude_by_shared_basis(
            case.rows, block, case.clusters, given, ROUNDING, least_upper, found, n_found
        )
        left.append(np.array([part[:n_left] for part in found]))
    np.testing.assert_array_equal(*left)


def test_the_whole_covariance_excludes_more_than_its_norm():
    case = Case(sticks, 8)
    basis, shared = shared_basis(case.moments, 8, 1.0, np.random.default_rng(3))
    block = case.block(np.hstack([np.zeros((len(case.X), 2)), case.X @ basis.T]))
    found, n_found, least_upper = case.selected(block)
    assert (
        kernels.exclude_by_shared_basis(case.rows, block, case.clusters, shared, ROUNDING, least_upper, found, n_found)
        < n_found
    )


def test_the_most_promising_candidate_is_the_first_of_those_that_tie():
    rng = np.random.default_rng(6)
    row = np.repeat(np.arange(7, dtype=np.int32), 4)
    found = kernels.Candidates(row, np.tile(np.arange(4, dtype=np.int32), 7), np.zeros(28), rng.choice([1.0, 2.0], 28))
    best = np.empty(7, np.int32)
    # Those beyond the number that was found are not looked at.
    kernels.find_best_candidates(found._replace(guess=np.where(row < 6, found.guess, -1.0)), 24, best)
    wanted = reference.find_best_candidates(*(part[:24] for part in (found.row, found.cluster, found.guess)))
    np.testing.assert_array_equal(best, [*wanted, -1])


@pytest.mark.parametrize("n_found", [0, 1, 50])
def test_sort_by_cluster(n_found):
    clusters = np.random.default_rng(0).integers(7, size=60).astype(np.int32)
    order = kernels.sort_by_cluster(clusters, n_found, 8)
    np.testing.assert_array_equal(order, reference.sort_by_cluster(clusters[:n_found]))

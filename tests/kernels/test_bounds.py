"""Bounds contain the mean distances that they bound, whatever the shape of the cluster."""

from fractions import Fraction
from itertools import product
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
        self.codes = np.repeat(np.arange(4), 40)
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


def test_the_whole_covariance_excludes_more_than_its_norm():
    case = Case(sticks, 8)
    basis, shared = shared_basis(case.moments, 8, 1.0, np.random.default_rng(3))
    block = case.block(np.hstack([np.zeros((len(case.X), 2)), case.X @ basis.T]))
    found, n_found, least_upper = case.selected(block)
    assert (
        kernels.exclude_by_shared_basis(case.rows, block, case.clusters, shared, ROUNDING, least_upper, found, n_found)
        < n_found
    )


# Below, inputs of the kernels are as far from the truth as their contract allows, all on the worst side, and rounding
# is made large: without a margin a bound passes the truth.


def one_cluster(**changed):
    """Moments of a single cluster about 0 in one feature; what is not given is 0."""
    given = {name: np.zeros(1) for name in kernels.ClusterBounds._fields} | {"centers": np.zeros((1, 1))}
    return kernels.ClusterBounds(**given | {name: np.atleast_1d(value) for name, value in changed.items()})


def one_sample(square, norm, components=0.0):
    """A sample of another cluster, its squared distance to the only center, and its components."""
    return kernels.Block(np.array([-1]), np.array([[square]]), np.array([norm]), np.atleast_2d(components))


def bounds_by_centers(block, clusters, rounding):
    """Lower bound, and the limit."""
    # No sample has its own cluster here; index -1 would be the last one.
    block = block._replace(codes=np.array([1]), squares=np.append(block.squares, [[0.0]], axis=1))
    clusters = kernels.ClusterBounds(*(np.concatenate([part, part]) for part in clusters))
    found, limit = kernels.make_candidates(2), np.empty(1)
    assert kernels.select_by_centers(block, clusters, rounding, limit, found) == 1
    return found.lower[0], limit[0]


def two_points(delta):
    """Points -a and b with weights so that their mean is 0: moments, and the mean distance at x between them."""
    points, weights = np.array([-1 - delta, 1 - delta]), np.array([1 - delta, 1 + delta]) / 2
    moments = {
        "variance": weights @ points**2,
        "variance_r2": weights @ points**4 - (weights @ points**2) ** 2,
        "skew_norm": abs(weights @ points**3),
        "spectral": weights @ points**2,
    }
    return moments, lambda x: weights @ np.abs(points - x)


def test_the_spread_is_that_of_the_farthest_sample_that_it_may_be():
    """A sample that seems to be at the center of a skewed cluster may be nearer to the median, where the mean falls."""
    moments, mean_distance = two_points(0.1)
    for distance in (0.2, 0.4, 0.6):
        slack = distance**2
        lower, limit = bounds_by_centers(one_sample(0.0, 1.0), one_cluster(**moments), slack)
        assert lower <= mean_distance(distance) <= limit
        assert lower <= mean_distance(-distance) <= limit


def test_the_limit_allows_for_the_rounding_of_the_variance():
    """A sample in the middle of a cluster of equal radii: its mean distance is that radius, in exact arithmetic."""
    for x, y in np.random.default_rng(0).normal(size=(50, 2)):
        radius2 = Fraction(x) ** 2 + Fraction(y) ** 2
        _, limit = bounds_by_centers(one_sample(0.0, 0.0), one_cluster(variance=float(radius2)), 0.0)
        assert radius2 <= Fraction(limit) ** 2


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_center_may_be_off_either_way(sign):
    """One repeated point, whose mean distance is that to the true center."""
    off = 0.25
    clusters = one_cluster(center_rounding=off)
    lower, limit = bounds_by_centers(one_sample(1.0, 1.0), clusters, 0.0)
    assert lower <= 1 + sign * off <= limit * (1 + 1e-12)


def test_g_about_a_rounded_center_is_another():
    """By as much as the center is off, times the variance."""
    off, variance, spectral = 0.01, 1.0, 0.3
    clusters = one_cluster(variance=variance, spectral=spectral, center_rounding=off)
    lower, _ = bounds_by_centers(one_sample(1.0, 0.0), clusters, 0.0)
    for u2 in ((1 - off) ** 2, 1.0):
        # The rest of the margin, for u and its square, is taken out: what is left is that of g.
        spread = 4 * spectral * (1 + off) ** 2 + 4 * (1 + off) * off * variance
        assert lower <= lower_bound(u2, spread, variance) + 1e-12


def cone(n_features):
    """Members on a ring about an axis, and a tenth of them at its apex, as many features as the ring needs to be round.

    Of a sample at the apex, u·g is negative, and the lower bound is reached to first order: all distances are 0 or 1.
    """
    ring = np.concatenate([np.eye(n_features - 1), -np.eye(n_features - 1)]) * np.sqrt(0.75)
    members = np.column_stack([ring, np.full(len(ring), 0.5)])
    return np.concatenate([members, np.zeros((len(ring) // 9, n_features))])


class Apex:
    """The cone as a cluster, and a sample at its apex, for which a basis without directions knows nothing."""

    def __init__(self):
        members = cone(46)
        self.m = moments_of(members)
        self.truth = np.linalg.norm(members, axis=1).mean()
        self.u2 = self.m.center @ self.m.center
        self.clusters = kernels.ClusterBounds(
            centers=self.m.center[None],
            center_rounding=np.zeros(1),
            center_norms=np.array([self.u2]),
            variance=np.array([self.m.variance]),
            variance_r2=np.array([self.m.variance_r2]),
            skew_norm=np.array([np.linalg.norm(self.m.skew)]),
            spectral=np.array([np.linalg.norm(self.m.covariance, 2)]),
        )
        n_features = len(self.m.center)
        self.shared = kernels.SharedBasis(
            first=0,
            centers=np.zeros((1, 4)),
            forms=np.zeros((1, 4, 4)),
            form_norms=np.zeros(1),
            rest=self.clusters.spectral,
            skew=np.zeros((1, 4)),
            skew_outside=self.m.skew[None],
            skew_rest=self.clusters.skew_norm,
        )
        self.rows = kernels.BlockRows(np.zeros((1, n_features)), np.array([0]), 1.0)

    def is_kept(self, limit):
        """Return whether the bounds by a basis keep the cluster, and the lower bound."""
        found = kernels.make_candidates(1)
        found.row[0] = found.cluster[0] = 0
        block = kernels.Block(np.array([1]), np.array([[self.u2]]), np.zeros(1), np.zeros((1, 4)))
        n_left = kernels.exclude_by_shared_basis(
            self.rows, block, self.clusters, self.shared, 0.0, np.array([limit]), found, 1
        )
        return n_left == 1, found.lower[0]


def test_skewness_away_from_the_sample_lowers_its_mean_distance():
    apex = Apex()
    lower, limit = bounds_by_centers(one_sample(apex.u2, 0.0), apex.clusters, 0.0)
    assert lower <= apex.truth <= limit
    # Without its last term the bound would be broken: the data are the worst case.
    spread = 4 * apex.clusters.spectral[0] * apex.u2 + apex.m.variance_r2
    assert kernels.bound_mean_distance(apex.u2, 0.0, apex.m.variance, spread)[0] > apex.truth


def test_skewness_outside_of_the_basis_lowers_its_mean_distance():
    """First by |w||h|, then by w·h; a cluster at the limit itself stays."""
    apex = Apex()
    kept, lower = apex.is_kept(apex.truth)
    assert kept
    assert lower <= apex.truth


def bounds_by_basis(*, z, square, norm, rest, rounding, variance=1.0, center_rounding=0.0, center_norm=0.0, **shared):
    """Lower bound of a sample with components z, whose true |z| and |u|² may differ by rounding, in a basis of four."""
    clusters = one_cluster(
        variance=variance,
        center_rounding=center_rounding,
        center_norms=center_norm,
        skew_norm=shared.pop("skew_norm", 0.0),
    )
    given = {
        "first": 0,
        "centers": np.zeros((1, 4)),
        "forms": np.zeros((1, 4, 4)),
        "form_norms": np.zeros(1),
        "rest": np.array([rest]),
        "skew": np.zeros((1, 4)),
        "skew_outside": np.zeros((1, 1)),
        "skew_rest": np.zeros(1),
    }
    found = kernels.make_candidates(1)
    found.row[0] = found.cluster[0] = 0
    block = one_sample(square, norm, [z, 0.0, 0.0, 0.0])
    rows = kernels.BlockRows(shared.pop("x", np.zeros((1, 1))), np.array([0]), 1.0)
    limit = np.array([shared.pop("limit", np.inf)])
    kernels.exclude_by_shared_basis(
        rows, block, clusters, kernels.SharedBasis(**given | shared), rounding, limit, found, 1
    )
    return found.lower[0]


def lower_bound(u2, spread, variance=1.0):
    """The formula, for what is true."""
    return max(np.sqrt(u2), np.sqrt(u2 + variance) * (1 - spread / (2 * (u2 + variance) ** 2)))


def test_components_may_be_shorter_than_they_seem():
    """What is not inside the basis is outside, where the covariance is larger."""
    rounding, norm, seen, rest = 1e-3, 1.0, 0.5, 0.4
    wander = rounding * 2 * np.sqrt(4 * norm)
    lower = bounds_by_basis(z=seen, square=norm, norm=norm, rest=rest, rounding=rounding)
    u2 = norm - rounding * norm
    assert lower <= lower_bound(u2, 4 * rest * (norm + rounding * norm - (seen - wander) ** 2)) + 1e-12
    for true_u2 in np.linspace(u2, norm + rounding * norm, 5):
        assert lower <= lower_bound(true_u2, 4 * rest * (true_u2 - (seen - wander) ** 2))


def test_components_may_be_longer_than_they_seem():
    """The form of what they may be, and a skewness that takes them away, count."""
    rounding, norm, seen, top, g = 1e-3, 1.0, 0.5, 0.4, 0.3
    wander = rounding * 2 * np.sqrt(4 * norm)
    true = seen + wander
    lower = bounds_by_basis(
        z=seen,
        square=norm,
        norm=norm,
        rest=0.0,
        rounding=rounding,
        skew_norm=g,
        forms=top * np.eye(4)[None],
        form_norms=np.array([top]),
        skew=np.array([[-g, 0.0, 0.0, 0.0]]),
    )
    for true_u2 in (norm - rounding * norm, norm, norm + rounding * norm):
        assert lower <= lower_bound(true_u2, 4 * (top * true**2 + g * true))


def test_a_rounded_center_widens_the_bounds_by_a_basis():
    """It may be nearer and farther, and g about the true center is another."""
    off, variance, rest = 0.01, 1.0, 0.3
    lower = bounds_by_basis(
        z=0.0, square=1.0, norm=0.0, rest=rest, rounding=0.0, variance=variance, center_rounding=off
    )
    spread = 4 * rest * (1 + off) ** 2 + 4 * (1 + off) * off * variance
    assert lower <= lower_bound((1 - off) ** 2 - 2 * off**2, spread) + 1e-12


def test_what_is_outside_of_the_basis_may_be_farther_than_it_seems():
    """Near the center of a cluster that is long there, the bound falls with the distance."""
    lower = bounds_by_basis(z=0.0, square=0.0, norm=1.0, rest=1.0, rounding=0.01)
    for u2 in (0.0, 0.005, 0.01):
        assert lower <= lower_bound(u2, 4 * u2)


def test_g_outside_of_the_basis_may_be_kept_in_single_precision():
    """Its product with u is then off by its rounding."""
    g, rest = 0.2, 0.1
    kept = g * (1 - 5e-7)
    lower = bounds_by_basis(
        z=0.0,
        square=1.0,
        norm=0.0,
        rest=rest,
        rounding=0.0,
        x=np.ones((1, 1)),
        skew_outside=np.array([[-kept]]),
        skew_rest=np.array([g]),
    )
    assert lower <= lower_bound(1.0, 4 * rest + 4 * g)
    assert lower >= lower_bound(1.0, 4 * rest + 4 * g) - 1e-4


def test_a_bound_by_a_basis_is_reached_in_the_middle_of_a_sphere():
    """The mean distance is the radius; the variance, its square, is not enlarged in a lower bound."""
    exact = {"z": 0.0, "square": 0.0, "norm": 0.0, "rest": 0.0, "rounding": 0.0}
    # A cluster beyond the limit is not looked at a second time.
    for radius2, limit in product((0.3, 1.0, 7.0), (0.0, np.inf)):
        lower = bounds_by_basis(**exact, variance=radius2, limit=limit)
        assert np.sqrt(radius2) * (1 - 1e-15) <= lower <= np.sqrt(radius2) * (1 + 1e-15)

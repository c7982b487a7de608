"""Bounds hold for inputs that are as far from the truth as the kernels' contract allows, all on the worst side.

Rounding is made large: without a margin a bound passes the truth.
"""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from fastsil.kernels import bounds as kernels


class Moments:
    """Of one cluster: center μ, E r², Var r², g = E r² (y - μ), covariance Σ."""

    def __init__(self, members):
        self.center = members.mean(axis=0)
        u = members - self.center
        r2 = (u**2).sum(axis=1)
        self.variance, self.variance_r2 = r2.mean(), r2.var()
        self.skew, self.covariance = r2 @ u / len(u), u.T @ u / len(u)


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
    block = block._replace(codes=np.array([1], np.int32), squares=np.append(block.squares, [[0.0]], axis=1))
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
        self.m = Moments(members)
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
            majorants=np.zeros((1, 4)),
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
        "majorants": np.abs(shared.get("forms", np.zeros((1, 4, 4)))).sum(axis=2),
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

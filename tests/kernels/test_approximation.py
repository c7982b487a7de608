"""Guesses of mean distances lie in their intervals, which hold the truth."""

import numpy as np
import pytest
from numba import config

import reference
from fastsil.kernels import approximation as kernels
from fastsil.kernels.micro import ROWS
from fastsil.kernels.tiles import Samples, make_workspace

ROUNDING = 1e-13
interpreted = pytest.mark.skipif(config.DISABLE_JIT, reason="whole tiles are slow without compilation")


def round_cluster(rng, n_features):
    return rng.normal(size=(60, n_features))


def stick(rng, n_features):
    return np.outer(rng.normal(size=60), rng.normal(size=n_features)) + 1e-3 * rng.normal(size=(60, n_features))


def heavy_tails(rng, n_features):
    return rng.standard_t(1.2, size=(60, n_features))


def two_clumps(rng, n_features):
    return rng.choice([-1.0, 1.0], size=60)[:, None] + 1e-2 * rng.normal(size=(60, n_features))


def one_repeated_point(rng, n_features):
    return np.zeros((60, n_features))


def two_points(rng, n_features):
    return np.repeat([np.zeros(n_features), np.ones(n_features)], 30, axis=0)


SHAPES = [round_cluster, stick, heavy_tails, two_clumps, one_repeated_point, two_points]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
features = pytest.mark.parametrize("n_features", [1, 2, 9])


def look(X, members, n_vectors, *, among, weights=None):
    """(n_rows, 3) bounds and guesses of the mean distances to one cluster, from naive moments."""
    weights = np.ones(len(members)) if weights is None else weights
    share = weights / weights.sum()
    center = share @ members
    r = members - center
    r2 = (r**2).sum(axis=1)
    covariance = (share * r.T) @ r
    theta, vectors = np.linalg.eigh(covariance)
    left = theta[: len(theta) - n_vectors]
    skew = (share * r2) @ r
    others = np.full(len(X), np.inf)
    if among:
        left_out = np.minimum(weights, 1.0)
        others = np.divide(weights.sum() - left_out, left_out, out=others, where=weights > 0)
    moments = kernels.Moments(
        sizes=np.array([float(len(members))]),
        variance=np.array([share @ r2]),
        fourth=np.array([share @ r2**2]),
        skew_norm=np.array([np.linalg.norm(skew)]),
        radius=np.array([np.sqrt(r2.max()) * (1 + 1e-12)]),
        wander=np.array([1e-14]),
        theta=np.maximum(theta[len(theta) - n_vectors :], 0)[None],
        leak=np.array([1e-14]),
        rest=np.array([left.max(initial=0) + 1e-14]),
        rest_mean=np.array([left.mean() if len(left) else 0.0]),
    )
    u = X - center
    components = np.column_stack([u @ vectors[:, len(theta) - n_vectors :], u @ skew])
    means = np.empty((len(X), 3))
    kernels.bound_and_guess(components, (u**2).sum(axis=1), 0, moments, ROUNDING, others, means)
    return means


@pytest.mark.parametrize("n_pairs", [0, 1, 40, pytest.param(3 * ROWS + 5, marks=interpreted)])
def test_bound_pairs(n_pairs):
    """Runs of pairs with one cluster, longer than a tile and of one pair, as if each pair were alone."""
    rng = np.random.default_rng(7)
    n_features, n_clusters, n_vectors = 5, 4, 2
    X = rng.normal(size=(50, n_features))
    # The second cluster has no pairs, the last one has one.
    clusters = np.sort(rng.choice([0, 2], size=n_pairs)).astype(np.int32)
    clusters[-1:] = 3
    rows, others = rng.integers(50, size=n_pairs), rng.choice([np.inf, 3.0], size=n_pairs)
    centers, vectors = rng.normal(size=(4, n_features)), rng.normal(size=(4, n_vectors + 1, n_features))
    moments = kernels.Moments(
        *rng.uniform(1, 2, size=(6, n_clusters)),
        rng.uniform(1, 2, (4, n_vectors)),
        *rng.uniform(0, 1, size=(3, n_clusters)),
    )
    samples = Samples(X, np.arange(0), np.zeros((1, n_features)), 0.5, None)
    found, wanted = np.empty((n_pairs, 3)), np.empty((n_pairs, 3))
    workspace = make_workspace(np.dtype(np.float64), n_features)
    pairs, shapes = kernels.Pairs(rows, clusters, others), kernels.Shapes(centers, vectors, moments, ROUNDING)
    kernels.bound_pairs(samples, pairs, shapes, workspace, found)
    terms = reference.bound_pairs(0.5 * X[rows], clusters, centers, vectors)
    for i, (cluster, of_pair) in enumerate(zip(clusters, terms, strict=True)):
        components, squares = (part.astype(float) for part in of_pair)
        kernels.bound_and_guess(components, squares, cluster, moments, ROUNDING, others[i : i + 1], wanted[i : i + 1])
    np.testing.assert_allclose(found, wanted, rtol=1e-9)


@shapes
@features
@pytest.mark.parametrize("all_directions", [True, False])
def test_bound_and_guess_from_outside(shape, n_features, all_directions):
    rng = np.random.default_rng(1)
    members = shape(rng, n_features)
    X = members[:20] + np.repeat([0.0, 1e-3, 1.0, 30.0], 5)[:, None] * rng.normal(size=(20, n_features))
    means = look(X, members, n_features if all_directions else 1, among=False)
    truth = np.array([float(reference.bound_and_guess(x, members)) for x in X])
    assert (means[:, 0] <= truth * (1 + 1e-12) + 1e-14).all()
    assert (truth <= means[:, 2] * (1 + 1e-12) + 1e-14).all()
    assert (means[:, 0] <= means[:, 1]).all()
    assert (means[:, 1] <= means[:, 2]).all()


# Whole numbers and shares, one sample that counts more than all others, and some that do not count.
COUNTS = np.concatenate([np.zeros(5), [300.0], 10.0 ** np.random.default_rng(5).uniform(-3, 1, size=54)])


@shapes
@features
def test_bound_and_guess_with_weights(shape, n_features):
    rng = np.random.default_rng(6)
    members = shape(rng, n_features)
    X = members[:20] + np.repeat([0.0, 1e-3, 1.0, 30.0], 5)[:, None] * rng.normal(size=(20, n_features))
    means = look(X, members, n_features, among=False, weights=COUNTS)
    truth = np.array([float(reference.bound_and_guess(x, members, COUNTS)) for x in X])
    assert (means[:, 0] <= truth * (1 + 1e-12) + 1e-14).all()
    assert (truth <= means[:, 2] * (1 + 1e-12) + 1e-14).all()
    means = look(members, members, n_features, among=True, weights=COUNTS)
    left = [np.where(np.arange(60) == i, np.maximum(COUNTS - 1, 0), COUNTS) for i in range(60)]
    truth = np.array([float(reference.bound_and_guess(x, members, w)) for x, w in zip(members, left, strict=True)])
    assert (means[:, 0] <= truth * (1 + 1e-12) + 1e-14).all()
    assert (truth <= means[:, 2] * (1 + 1e-12) + 1e-14).all()


@shapes
@features
def test_bound_and_guess_among_the_members(shape, n_features):
    members = shape(np.random.default_rng(2), n_features)
    means = look(members, members, n_features, among=True)
    others = [np.delete(members, i, axis=0) for i in range(len(members))]
    truth = np.array([float(reference.bound_and_guess(x, rest)) for x, rest in zip(members, others, strict=True)])
    assert (means[:, 0] <= truth * (1 + 1e-12) + 1e-14).all()
    assert (truth <= means[:, 2] * (1 + 1e-12) + 1e-14).all()
    assert (means[:, 0] <= means[:, 1]).all()
    assert (means[:, 1] <= means[:, 2]).all()


def test_the_lower_bound_is_reached_by_two_points():
    """Hölder's inequality is an equality where distances take the values 0 and one other."""
    members = two_points(None, 3)
    means = look(members[:1], members, 3, among=False)
    np.testing.assert_allclose(means[0, 0], float(reference.bound_and_guess(members[0], members)), rtol=1e-6)


def test_guesses_are_near_for_gaussian_clusters():
    """To second order, where distances of a root mean square are off by a tenth of that and more."""
    rng = np.random.default_rng(3)
    members = rng.normal(size=(4000, 30))
    X = members[:50]
    means = look(X, members, 30, among=False)
    truth = np.array([float(reference.bound_and_guess(x, members)) for x in X])
    assert np.abs(means[:, 1] / truth - 1).max() < 3e-4
    assert np.abs(means[:, 2] / truth - 1).max() < 1e-2


def test_largest_square():
    X = (1000 + np.random.default_rng(4).normal(size=(30, 7))).astype(np.float32)
    rows = np.array([3, 8, 5])
    center = np.full(7, 500.0)
    expected = float(reference.largest_square(X[rows], 0.5, center))
    np.testing.assert_allclose(kernels.largest_square(X, rows, 0.5, center), expected, rtol=1e-12)
    assert kernels.largest_square(X, rows[:0], 0.5, center) == 0


@pytest.mark.parametrize("n_features", [1, 2, 7])
def test_factor_matrix(n_features):
    vectors = np.random.default_rng(5).normal(size=(9, n_features))
    expected = reference.factor_matrix(vectors).astype(float)
    factor = expected.copy()
    assert kernels.factor_matrix(factor)
    np.testing.assert_allclose(factor.T @ factor, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(factor, np.triu(factor))


def test_a_matrix_without_a_factor_is_told():
    assert not kernels.factor_matrix(np.array([[1.0, 2.0], [2.0, 1.0]]))
    assert not kernels.factor_matrix(np.zeros((2, 2)))


def pair(**changed):
    """A cluster of the two samples -1 and 1."""
    one = np.ones(1)
    given = dict.fromkeys(kernels.Moments._fields, 0 * one) | {"sizes": 2 * one, "variance": one, "fourth": one}
    return kernels.Moments(**given | {"radius": one, "theta": one[None]} | changed)


def bounds_of(square, component, moments, rounding, *, among):
    means = np.empty((1, 3))
    components = np.array([[component, 0.0]])
    others = np.full(1, moments.sizes[0] - 1 if among else np.inf)
    kernels.bound_and_guess(components, np.array([square]), 0, moments, rounding, others, means)
    return means[0]


def test_the_other_member_is_no_nearer_though_all_is_rounded_the_worst_way():
    """A square that is too small and a component that is too large, by as much as may be: V seems to be above 0."""
    rounding, exact = 1e-3, 1e-12
    square = 2 / (1 + rounding + exact) - 1
    slack = 32 * rounding * square + 4 * exact * (1 + square)
    radius = np.array([1 + rounding])
    _, _, upper = bounds_of(square, np.sqrt(1 + slack / 4), pair(radius=radius), rounding, among=True)
    assert 2 * (1 - 1e-12) <= upper < 2.01


@pytest.mark.parametrize("sign", [-1, 1])
def test_one_point_may_be_nearer_and_farther_than_it_seems(sign):
    """By the rounding of the square, and by how far the center may be off."""
    point = pair(variance=np.zeros(1), fourth=np.zeros(1), radius=np.zeros(1), theta=np.zeros((1, 1)))
    lower, _, upper = bounds_of(1.0, 1.0, point, 1e-3, among=False)
    assert lower <= np.sqrt(1 + sign * 1e-3) <= upper * (1 + 1e-15)
    lower, _, upper = bounds_of(1.0, 1.0, point._replace(wander=np.array([0.25])), 0.0, among=False)
    assert lower <= 1 + sign * 0.25 <= upper


def test_the_bounds_are_reached_in_a_basis_that_splits_the_covariance():
    """Two points on a diagonal, seen from one of them, in the basis of one feature: all parts of V add up."""
    truth = np.sqrt(2)  # half of the distance, which is 2 √2
    rest = {"leak": np.ones(1), "rest": np.ones(1), "rest_mean": np.ones(1)}
    moments = pair(variance=np.full(1, 2.0), fourth=np.full(1, 4.0), radius=np.full(1, np.sqrt(2)), **rest)
    lower, _, upper = bounds_of(2.0, 1.0, moments, 0.0, among=False)
    np.testing.assert_allclose(lower, truth, rtol=1e-9)
    assert lower <= truth * (1 + 1e-15) <= upper


def test_the_upper_bound_takes_no_more_of_the_spread_than_is_certain():
    """What crosses between the basis and the rest may lessen V as well: the pair of points on the other diagonal."""
    members = np.array([[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, 1.0]])
    x = np.array([1.0, 1.0])
    rest = {"leak": np.ones(1), "rest": np.ones(1), "rest_mean": np.ones(1)}
    moments = pair(variance=np.full(1, 2.0), fourth=np.full(1, 4.0), radius=np.full(1, np.sqrt(2)), **rest)
    _, _, upper = bounds_of(x @ x, x[0], moments, 0.0, among=False)
    assert np.linalg.norm(members - x, axis=1).mean() <= upper * (1 + 1e-12)


def test_the_least_of_each_row_is_kept_with_the_first_group_that_has_it():
    rng = np.random.default_rng(0)
    rows = rng.permutation(np.arange(60) % 12).astype(np.int32)
    groups = np.sort(rng.integers(0, 9, size=60)).astype(np.int32)
    means = rng.integers(1, 5, size=(60, 3)).astype(float)
    b, neighbor = np.empty((12, 3)), np.empty(12, np.int32)
    kernels.keep_least(rows, groups, means, b, neighbor)
    for found, wanted in zip((b, neighbor), reference.keep_least(rows, groups, means, 12), strict=True):
        np.testing.assert_array_equal(found, wanted)

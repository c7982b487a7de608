"""A guess of a mean distance, and an interval that holds it, from moments of the cluster.

For a sample x and a cluster with center μ, let Z = |x - y|² for a random member y, m = E Z and V = Var Z, as in
:mod:`fastsil.kernels.bounds`, and D = |x - μ| + max |y - μ|, which no distance exceeds. Then

    √m / √(1 + V / m²)  <=  E √Z  <=  √m · (1 - V / (2 (m + D √m)²)).

The lower bound is Hölder's inequality, (E Z)³ <= (E √Z)² E Z². The upper bound takes the mean of

    √t  <=  1 + (t - 1) / 2 - (t - 1)² / (2 (1 + D / √m)²),     0 <= t = Z / m <= D² / m,

which holds since 1 + (t - 1) / 2 - √t = (√t - 1)² / 2 = (t - 1)² / (2 (√t + 1)²). The guess is

    E √Z  ≈  √m · exp(-V / (8 m²)),

which agrees with the mean of √Z to second order in V / m² where Z has a gamma distribution, as a sum of squares of
Gaussian variables nearly has.

A sample of the cluster itself is no distance away from itself. The mean over the other n - 1 members has the moments
f m and f (V - m² / (n - 1)), and their center is f |x - μ| away, for f = n / (n - 1). With weights, n - 1 is the
number (W - min(w, 1)) / min(w, 1) of times that the others count if what is left out of the sample counts once.
"""

from typing import NamedTuple

import numpy as np

from fastsil.kernels.caching import jit
from fastsil.kernels.euclidean import fill_components
from fastsil.kernels.micro import ROWS

_FLAGS = {"fastmath": {"contract", "reassoc", "nsz"}}


class Moments(NamedTuple):
    """Moments of each cluster that guesses and intervals need; μ is given up to ``wander``."""

    sizes: np.ndarray  # (n_clusters,) number of members
    variance: np.ndarray  # (n_clusters,) E r² for r = |y - μ|
    fourth: np.ndarray  # (n_clusters,) E r⁴
    skew_norm: np.ndarray  # (n_clusters,) |E r² (y - μ)|
    radius: np.ndarray  # (n_clusters,) max r or more
    wander: np.ndarray  # (n_clusters,) how far the center may be from the mean of the members
    theta: np.ndarray  # (n_clusters, n_vectors) uᵀΣu = Σ_v θ_v z_v² + the rest, for z = the components of u
    leak: np.ndarray  # (n_clusters,) norm of the part of Σ between the vectors and the rest; 0 if there is no rest
    rest: np.ndarray  # (n_clusters,) norm of Σ on the rest
    rest_mean: np.ndarray  # (n_clusters,) what it probably is along a sample's own part there


class Shapes(NamedTuple):
    """Moments of all clusters, and the directions that they are given along."""

    centers: np.ndarray  # (n_clusters, n_features)
    vectors: np.ndarray  # (n_clusters, n_vectors + 1, n_features) directions, and g last
    moments: Moments
    rounding: float  # of inner products, relative to the product of the norms


class Pairs(NamedTuple):
    """Pairs of a sample and a cluster."""

    rows: np.ndarray  # (n_pairs,) samples
    clusters: np.ndarray  # (n_pairs,) ascending
    others: np.ndarray  # (n_pairs,) how often the other members count for the sample; infinity for no member


# Relative rounding of sums in float64, with a margin: 2^-40.
_EXACT = 1e-12
# Where the square of a mean has no digits left, V / m² is unknown.
_SMALLEST = 1e-140


@jit(**_FLAGS)
def largest_square(
    X,  # IN (n_samples, n_features)
    rows,  # IN (n_rows,) samples
    scale,  # IN scalar
    center,  # IN (n_features,)
):
    """Return the largest |x · scale - center|² of some samples; 0 of none."""
    largest = 0.0
    for i in rows:
        row = X[i]
        square = 0.0
        for f in range(X.shape[1]):
            u = row[f] * scale - center[f]
            square += u * u
        largest = max(largest, square)
    return largest


@jit(**_FLAGS)
def factor_matrix(
    matrix,  # INOUT (n, n) symmetric, positive definite; becomes U with UᵀU = matrix, 0 below the diagonal
):
    """Compute Cholesky's factor, by rows; return whether the matrix is positive definite.

    Not LAPACK's: the threads of a BLAS spin for 0.1 s after a call, on the cores that the tiles need next.
    """
    n = matrix.shape[0]
    for i in range(n):
        row = matrix[i]
        if not row[i] > 0.0:
            return False
        factor = 1.0 / np.sqrt(row[i])
        for j in range(i):
            row[j] = 0.0
        for j in range(i, n):
            row[j] *= factor
        for k in range(i + 1, n):
            below = matrix[k]
            share = row[k]
            for j in range(k, n):
                below[j] -= share * row[j]
    return True


@jit(**_FLAGS)
def bound_pairs(
    samples,  # IN Samples
    pairs,  # IN Pairs
    shapes,  # IN Shapes
    workspace,  # WORK Workspace
    means,  # OUT (n_pairs, 3) lower bound, guess and upper bound of the mean distance
):
    """Compute bounds and a guess of the mean distance of each pair."""
    vectors, clusters, n_pairs = shapes.vectors, pairs.clusters, len(pairs.rows)
    components, squares = np.empty((ROWS, vectors.shape[1]), vectors.dtype), np.empty(ROWS, vectors.dtype)
    start = 0
    while start < n_pairs:
        c = clusters[start]
        end = start + 1
        while end < min(start + ROWS, n_pairs) and clusters[end] == c:
            end += 1
        n_rows = end - start
        rows, of_pairs = pairs.rows[start:end], (pairs.others[start:end], means[start:end])
        fill_components(samples, rows, shapes.centers[c], vectors[c], workspace, components, squares)
        bound_and_guess(components[:n_rows], squares[:n_rows], c, shapes.moments, shapes.rounding, *of_pairs)
        start = end


@jit(**_FLAGS)
def bound_and_guess(
    components,  # IN (n_rows, n_vectors + 1) z, and u·g last
    squares,  # IN (n_rows,) |u|²
    cluster,  # IN the cluster
    moments,  # IN Moments
    rounding,  # IN rounding of inner products, relative to the product of the norms
    others,  # IN (n_rows,) how often the other members count if the sample counts once; infinity for no member
    means,  # OUT (n_rows, 3) lower bound, guess and upper bound of the mean distance
):
    """Compute bounds and a guess of the mean distance from some samples to one cluster (to its other members)."""
    variance = moments.variance[cluster]
    fourth = moments.fourth[cluster]
    wander = moments.wander[cluster]
    for i in range(squares.shape[0]):
        count = others[i]
        among = count < np.inf
        factor = (count + 1.0) / count if among and count > 0.0 else 1.0
        square = np.float64(squares[i])
        low, guess, high = _spread(components[i], square, cluster, moments)
        # Of the products, and of the covariance that the vectors are made from.
        slack = rounding * (
            32.0 * variance * square + 4.0 * np.sqrt(square) * moments.skew_norm[cluster]
        ) + 4.0 * _EXACT * (fourth + variance * square)
        # The center may be off, and second and third moments with it.
        slack += 4.0 * np.sqrt(square) * wander * (variance + np.sqrt(square) * wander)
        off = (rounding + _EXACT) * (square + variance) + 2.0 * np.sqrt(square) * wander + wander * wander
        mean = square + variance
        least, most = max(mean - off, 0.0), mean + off
        low, high = low - slack, high + slack
        if among:
            # The square of a mean that is off is off as well.
            low = factor * (low - most * most / count) if count > 0.0 else 0.0
            high = factor * (high - least * least / count) if count > 0.0 else 0.0
            guess = factor * (guess - mean * mean / count) if count > 0.0 else 0.0
            least, mean, most = factor * least, factor * mean, factor * most
        low, guess, high = max(low, 0.0), max(guess, 0.0), max(high, 0.0)
        distance = np.sqrt(square)
        apart = factor * max(distance * (1.0 - rounding) - wander, 0.0)
        reach = distance * (1.0 + rounding) + 2.0 * wander + moments.radius[cluster]
        means[i, 0] = max(apart, _lower(least, high))
        means[i, 2] = min(reach, _upper(most, low, reach))
        value = np.sqrt(mean) * np.exp(-guess / (8.0 * mean * mean)) if mean > _SMALLEST else np.sqrt(mean)
        means[i, 1] = min(max(value, means[i, 0]), means[i, 2])


@jit(**_FLAGS)
def _spread(
    components,  # IN (n_vectors + 1,) z, and u·g last
    square,  # IN |u|²
    cluster,  # IN the cluster
    moments,  # IN Moments
):
    """Return the least, the probable and the greatest value of V = 4 uᵀΣu + Var r² - 4 u·g."""
    n_vectors = moments.theta.shape[1]
    theta = moments.theta[cluster]
    inside, quadratic = 0.0, 0.0
    for v in range(n_vectors):
        component = np.float64(components[v]) * components[v]
        inside += component
        quadratic += theta[v] * component
    outside = max(square - inside, 0.0)
    crossing = 2.0 * moments.leak[cluster] * np.sqrt(inside * outside)
    fixed = moments.fourth[cluster] - moments.variance[cluster] ** 2 - 4.0 * np.float64(components[n_vectors])
    return (
        fixed + 4.0 * (quadratic - crossing),
        fixed + 4.0 * (quadratic + moments.rest_mean[cluster] * outside),
        fixed + 4.0 * (quadratic + crossing + moments.rest[cluster] * outside),
    )


@jit(**_FLAGS)
def _lower(
    mean,  # IN E Z or less
    spread,  # IN Var Z or more
):
    """Return a lower bound on E √Z."""
    return np.sqrt(mean) / np.sqrt(1.0 + spread / (mean * mean)) if mean > _SMALLEST else 0.0


@jit(**_FLAGS)
def _upper(
    mean,  # IN E Z or more
    spread,  # IN Var Z or less
    reach,  # IN largest distance or more
):
    """Return an upper bound on E √Z."""
    if not mean > _SMALLEST:
        return np.sqrt(mean)
    root = np.sqrt(mean)
    within = mean + max(reach, root) * root
    return root * max(1.0 - spread / (2.0 * within * within), 0.0)


@jit(**_FLAGS)
def keep_least(
    rows,  # IN (n_pairs,) row of each pair; every row occurs
    groups,  # IN (n_pairs,) its cluster, ascending
    means,  # IN (n_pairs, 3) lower bound, guess and upper bound of their mean distance
    b,  # OUT (n_rows, 3) the least of each; the guess is not above the upper bound
    neighbor,  # OUT (n_rows,) cluster of the least guess; the first of those that tie
):
    """Find the least mean distance of each row."""
    for i in range(len(b)):
        neighbor[i] = -1
        for column in range(3):
            b[i, column] = np.inf
    for e in range(len(rows)):
        i = rows[e]
        b[i, 0] = min(b[i, 0], means[e, 0])
        b[i, 2] = min(b[i, 2], means[e, 2])
        if neighbor[i] < 0 or means[e, 1] < b[i, 1]:
            b[i, 1] = means[e, 1]
            neighbor[i] = groups[e]
    for i in range(len(b)):
        b[i, 1] = min(b[i, 1], b[i, 2])

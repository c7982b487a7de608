"""Bounds on the mean distance from a sample to a cluster, and the clusters that they cannot exclude.

For a sample x and a cluster with center μ, covariance Σ (mean over members) and r = |y - μ|, let u = x - μ. The
squared distance Z = |x - y|² to a random member y has

    m = E Z   = |u|² + E r²
    V = Var Z = 4 uᵀΣu + Var r² - 4 u·g,     g = E r² (y - μ),

and the mean distance lies in

    √m · (1 - V / (2 m²))  <=  E √Z  <=  √m,     |u| <= E √Z:

the upper bound and the last one are Jensen's inequality, the first follows from √t >= 1 + (t-1)/2 - (t-1)²/2
for t = Z/m >= 0. uᵀΣu is bounded twice. First by λ|u|² for some λ >= λmax(Σ). Then, with an orthonormal basis Q of
some leading directions, T = QᵀΣQ = diag(θ), z = Qᵀu, w = u - Qz, the norm ε of the part of ΣQ outside Q, and the
norm ρ of Σ outside Q:

    uᵀΣu  <=  Σ θ_v z_v²  +  2 ε |z| |w|  +  ρ |w|².

Every bound is widened by the rounding of what it is computed from.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

_FLAGS = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}


class ClusterBounds(NamedTuple):
    """What the bounds need to know of each cluster."""

    centers: np.ndarray  # (n_clusters, n_features) μ, float64
    center_rounding: np.ndarray  # (n_clusters,) how far μ may be from the true center
    center_norms: np.ndarray  # (n_clusters,) |μ - origin|²
    variance: np.ndarray  # (n_clusters,) E r²
    variance_r2: np.ndarray  # (n_clusters,) Var r²
    skew_norm: np.ndarray  # (n_clusters,) |g|
    spectral: np.ndarray  # (n_clusters,) λ >= λmax(Σ)
    table: np.ndarray  # (n_clusters,) row in the arrays below, or -1: bounded by λ only
    vectors: np.ndarray  # (n_tables, n_vectors + 1, n_features) Qᵀ, and g last
    theta: np.ndarray  # (n_tables, n_vectors) θ
    leak: np.ndarray  # (n_tables,) ε
    rest: np.ndarray  # (n_tables,) ρ


class Block(NamedTuple):
    """A block of samples and its distances to the clusters' centers."""

    codes: np.ndarray  # (n_rows,) own cluster
    squares: np.ndarray  # (n_rows, n_clusters) |x - μ|², rounded
    norms: np.ndarray  # (n_rows,) |x - origin|²


class Candidates(NamedTuple):
    """Pairs of a sample and a cluster that may be its nearest other one."""

    row: np.ndarray  # (capacity,) sample
    cluster: np.ndarray  # (capacity,)
    lower: np.ndarray  # (capacity,) lower bound on the mean distance
    guess: np.ndarray  # (capacity,) what the mean distance probably is


@njit(**_FLAGS)
def bound_mean_distance(
    square,  # IN |u|²
    slack,  # IN how far |u|² may be from the truth
    variance,  # IN E r²
    spread,  # IN V or more
):
    """Lower and upper bound on a mean distance."""
    low = max(square - slack, 0.0)
    center_distance = np.sqrt(low)
    low += variance
    high = square + slack + variance
    # Where the square of a mean has no digits left, nothing is excluded.
    below = np.sqrt(low) * (1.0 - spread / (2.0 * low * low)) if low > _SMALLEST else 0.0
    return max(center_distance, below), np.sqrt(high)


_SMALLEST = 1e-140
# Relative rounding of sums in float64, with room: 2^-40.
_EXACT = 1e-12


@njit(**_FLAGS)
def select_by_centers(
    block,  # IN Block
    clusters,  # IN ClusterBounds
    rounding,  # IN rounding of inner products, relative to the product of the norms
    least_upper,  # OUT (n_rows,) least upper bound on the mean distance to another cluster
    found,  # OUT Candidates, by row of the block; room for all
):
    """For each sample of a block, the clusters that |u| and λ cannot exclude; returns how many they are."""
    n_clusters = clusters.variance.shape[0]
    lower = np.empty(n_clusters)
    upper = np.empty(n_clusters)
    n_found = 0
    for i in range(block.codes.shape[0]):
        _bound_by_spectral_norm(block.squares[i], block.norms[i], clusters, rounding, lower, upper)
        own = block.codes[i]
        lower[own] = np.inf
        upper[own] = np.inf
        limit = np.inf
        for c in range(n_clusters):
            limit = min(limit, upper[c])
        limit *= 1.0 + _EXACT
        least_upper[i] = limit
        for c in range(n_clusters):
            if lower[c] <= limit:
                found.row[n_found] = i
                found.cluster[n_found] = c
                found.lower[n_found] = lower[c]
                found.guess[n_found] = upper[c]
                n_found += 1
    return n_found


@njit(**_FLAGS)
def _bound_by_spectral_norm(
    squares,  # IN (n_clusters,) |u|², rounded
    norm,  # IN |x - origin|²
    clusters,  # IN ClusterBounds
    rounding,  # IN scalar
    lower,  # OUT (n_clusters,)
    upper,  # OUT (n_clusters,)
):
    """Bounds on the mean distance from one sample to every cluster, from |u|² alone."""
    for c in range(squares.shape[0]):
        square = max(np.float64(squares[c]), 0.0)
        slack = rounding * (np.float64(norm) + clusters.center_norms[c])
        reach = square + slack
        spread = (
            4.0 * clusters.spectral[c] * reach + clusters.variance_r2[c] + 4.0 * clusters.skew_norm[c] * np.sqrt(reach)
        )
        lower[c], upper[c] = bound_mean_distance(square, slack, clusters.variance[c], spread)


@njit(**_FLAGS)
def bound_by_basis(
    components,  # IN (n_rows, n_vectors + 1) z, and u·g last
    squares,  # IN (n_rows,) |u|²
    cluster,  # IN the cluster; it has a table
    clusters,  # IN ClusterBounds
    rounding,  # IN rounding of inner products, relative to the product of the norms
    lower,  # OUT (n_rows,) lower bound on the mean distance
    guess,  # OUT (n_rows,) what the mean distance probably is
):
    """Tighter bounds on the mean distance from some samples to one cluster."""
    t = clusters.table[cluster]
    n_vectors = clusters.theta.shape[1]
    variance = clusters.variance[cluster]
    wander = clusters.center_rounding[cluster]
    for i in range(squares.shape[0]):
        square = np.float64(squares[i])
        inside, quadratic = 0.0, 0.0
        for v in range(n_vectors):
            component = np.float64(components[i, v]) * components[i, v]
            inside += component
            quadratic += clusters.theta[t, v] * component
        outside = max(square - inside, 0.0)
        quadratic += 2.0 * clusters.leak[t] * np.sqrt(inside * outside) + clusters.rest[t] * outside
        spread = 4.0 * quadratic + clusters.variance_r2[cluster] - 4.0 * np.float64(components[i, n_vectors])
        spread = max(spread, 0.0)
        mean = square + variance
        guess[i] = np.sqrt(mean) * (1.0 - spread / (8.0 * mean * mean)) if mean > _SMALLEST else 0.0
        # Each of the components may be off by rounding · |u|, and |u|² by that of a sum of squares.
        distance = np.sqrt(square)
        spread += rounding * (
            (16.0 + 4.0 * n_vectors) * clusters.spectral[cluster] * square
            + 4.0 * distance * clusters.skew_norm[cluster]
        )
        slack = rounding * square + 2.0 * distance * wander + wander * wander
        lower[i], _ = bound_mean_distance(square, slack, variance * (1.0 + _EXACT), spread)

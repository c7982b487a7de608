"""Bounds on the mean distance from a sample to a cluster, and the clusters that they cannot exclude.

For a sample x and a cluster with center μ, covariance Σ (mean over members) and r = |y - μ|, let u = x - μ. The
squared distance Z = |x - y|² to a random member y has

    m = E Z   = |u|² + E r²
    V = Var Z = 4 uᵀΣu + Var r² - 4 u·g,     g = E r² (y - μ),

and the mean distance lies in

    √m · (1 - V / (2 m²))  <=  E √Z  <=  √m,     |u| <= E √Z:

the upper bound and the last one are Jensen's inequality, the first follows from √t >= 1 + (t-1)/2 - (t-1)²/2
for t = Z/m >= 0. uᵀΣu is bounded by λ|u|² for some λ >= λmax(Σ), and then, with an orthonormal basis Q of some
directions, T = QᵀΣQ, z = Qᵀu, w = u - Qz, E the part of ΣQ outside Q, and the norm ρ of Σ outside Q, by

    uᵀΣu  <=  zᵀTz  +  2 |Ez| |w|  +  ρ |w|².

Where all clusters share Q, z comes with the distances to the centers. For any α > 0, 2 |Ez| |w| is at most
α |Ez|² + |w|² / α, and with M = T + α EᵀE

    uᵀΣu  <=  zᵀMz  +  (ρ + 1/α) |w|².

Most clusters are excluded without the form: 2 |z_v z_w| <= z_v² s_w / s_v + z_w² s_v / s_w for any s > 0, and so

    zᵀMz  <=  Σ_v d_v z_v²,     d_v = M_vv + Σ_{w ≠ v} |M_vw| s_w / s_v.

Every bound is widened by the rounding of its terms.
"""

from typing import NamedTuple

import numpy as np

from fastsil.kernels.caching import jit

_FLAGS = {"fastmath": {"contract", "reassoc", "nsz"}}


class ClusterBounds(NamedTuple):
    """Moments of each cluster that the bounds need."""

    centers: np.ndarray  # (n_clusters, n_features) μ, float64
    center_rounding: np.ndarray  # (n_clusters,) how far μ may be from the true center
    center_norms: np.ndarray  # (n_clusters,) |μ - origin|²
    variance: np.ndarray  # (n_clusters,) E r²
    variance_r2: np.ndarray  # (n_clusters,) Var r²
    skew_norm: np.ndarray  # (n_clusters,) |g|
    spectral: np.ndarray  # (n_clusters,) λ >= λmax(Σ)


class SharedBasis(NamedTuple):
    """Moments of all clusters in a basis Q that they share; n_vectors is a multiple of 4."""

    first: int  # column of Block.components where those of this basis begin
    centers: np.ndarray  # (n_clusters, n_vectors) Qᵀ(μ - origin)
    forms: np.ndarray  # (n_clusters, n_vectors, n_vectors) M, in the type that distances are computed in
    majorants: (
        np.ndarray
    )  # (n_clusters, n_vectors) d with zᵀMz <= Σ d_v z_v², with a margin for its sum, in the same type
    form_norms: np.ndarray  # (n_clusters,) |M|
    rest: np.ndarray  # (n_clusters,) ρ + 1/α
    skew: np.ndarray  # (n_clusters, n_vectors) Qᵀg, in the same type
    skew_outside: np.ndarray  # (n_clusters, n_features) the part of g outside Q, in the same type
    skew_rest: np.ndarray  # (n_clusters,) its norm


class BlockRows(NamedTuple):
    """The samples of a block: ``X[indices[i]] * scale``."""

    X: np.ndarray  # (n_samples, n_features)
    indices: np.ndarray  # (n_rows,)
    scale: float


class Block(NamedTuple):
    """A block of samples, its distances to the clusters' centers, and its components in shared bases."""

    codes: np.ndarray  # (n_rows,) own cluster
    squares: np.ndarray  # (n_rows, n_clusters) |x - μ|², rounded
    norms: np.ndarray  # (n_rows,) |x - origin|²
    components: np.ndarray  # (n_rows, n_vectors of all bases) Qᵀ(x - origin), rounded


class Candidates(NamedTuple):
    """Pairs of a sample and a cluster that may be its nearest other one."""

    row: np.ndarray  # (capacity,) sample
    cluster: np.ndarray  # (capacity,)
    lower: np.ndarray  # (capacity,) lower bound on the mean distance
    guess: np.ndarray  # (capacity,) what the mean distance probably is


def make_candidates(size):
    """Allocate ``size`` candidates, of one type for all searches: kernels are compiled once for each type."""
    return Candidates(np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size), np.empty(size))


# Where the square of a mean has no digits left, V / m² is unknown.
_SMALLEST = 1e-140
# Relative rounding of sums in float64, with a margin: 2^-40.
_EXACT = 1e-12
# Relative rounding of a product with g outside Q, which may be kept in float32, with a margin.
_SKEW_ROUNDING = 1e-5


@jit(**_FLAGS)
def bound_mean_distance(
    square,  # IN |u|²
    slack,  # IN how far |u|² may be from the truth
    variance,  # IN E r²
    spread,  # IN V or more
):
    """Return a lower and an upper bound on a mean distance."""
    low = max(square - slack, 0.0)
    center_distance = np.sqrt(low)
    low += variance
    high = square + slack + variance
    # Where the square of a mean has no digits left, nothing is excluded.
    below = np.sqrt(low) * (1.0 - spread / (2.0 * low * low)) if low > _SMALLEST else 0.0
    return max(center_distance, below), np.sqrt(high)


@jit(**_FLAGS)
def _widen_slack(
    square,  # IN |u|², rounded
    slack,  # IN how far it may be from the square of the distance to the center that is known
    off,  # IN how far that center may be from the true one
):
    """Return how far |u|² may be from the truth."""
    return slack + 2.0 * np.sqrt(square + slack) * off + off * off


@jit(**_FLAGS)
def select_by_centers(
    block,  # IN Block
    clusters,  # IN ClusterBounds
    rounding,  # IN rounding of inner products, relative to the product of the norms
    least_upper,  # OUT (n_rows,) least upper bound on the mean distance to another cluster
    found,  # OUT Candidates, by row of the block; long enough for all
):
    """Find, for each sample of a block, the clusters that |u| and λ cannot exclude; return their number."""
    n_clusters = clusters.variance.shape[0]
    lower = np.empty(n_clusters)
    upper = np.empty(n_clusters)
    n_found = 0
    for i in range(block.codes.shape[0]):
        _bound_by_spectral_norm(block.squares[i], block.norms[i], clusters, rounding, lower, upper)
        own = block.codes[i]
        lower[own] = np.inf
        upper[own] = np.inf
        limit = _find_least(upper)
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


@jit(**_FLAGS)
def _find_least(
    values,  # IN (n_values,)
):
    """Return the least value. Eight at a time: each comparison waits for the one before it."""
    a = b = c = d = e = f = g = h = np.inf
    whole = len(values) - len(values) % 8
    for i in range(0, whole, 8):
        a, b, c, d = min(a, values[i]), min(b, values[i + 1]), min(c, values[i + 2]), min(d, values[i + 3])
        e, f, g, h = min(e, values[i + 4]), min(f, values[i + 5]), min(g, values[i + 6]), min(h, values[i + 7])
    for i in range(whole, len(values)):
        a = min(a, values[i])
    return min(min(min(a, b), min(c, d)), min(min(e, f), min(g, h)))


@jit(**_FLAGS)
def _bound_by_spectral_norm(
    squares,  # IN (n_clusters,) |u|², rounded
    norm,  # IN |x - origin|²
    clusters,  # IN ClusterBounds
    rounding,  # IN scalar
    lower,  # OUT (n_clusters,)
    upper,  # OUT (n_clusters,)
):
    """Bound the mean distance from one sample to every cluster, from |u|² alone."""
    for c in range(squares.shape[0]):
        square, off = max(np.float64(squares[c]), 0.0), clusters.center_rounding[c]
        slack = _widen_slack(square, rounding * (np.float64(norm) + clusters.center_norms[c]), off)
        reach = square + slack
        skew = clusters.skew_norm[c] + off * clusters.variance[c]
        spread = 4.0 * clusters.spectral[c] * reach + clusters.variance_r2[c] + 4.0 * skew * np.sqrt(reach)
        lower[c], upper[c] = bound_mean_distance(square, slack, clusters.variance[c], spread)


@jit(**_FLAGS)
def exclude_by_shared_basis(
    rows,  # IN BlockRows
    block,  # IN Block
    clusters,  # IN ClusterBounds
    shared,  # IN SharedBasis
    rounding,  # IN rounding of inner products, relative to the product of the norms
    least_upper,  # IN (n_rows,) least upper bound on the mean distance to another cluster
    found,  # INOUT Candidates, by row of the block; those that stay move to the front
    n_found,  # IN how many they are
):
    """Tighten the bounds on the mean distances of candidates; return the number of candidates left."""
    order = sort_by_cluster(found.cluster, n_found, clusters.variance.shape[0])
    start = 0
    while start < n_found:
        c = found.cluster[order[start]]
        end = start + 1
        while end < n_found and found.cluster[order[end]] == c:
            end += 1
        # A call for each cluster, not for each candidate: to pass all these arrays takes longer than a bound.
        _bound_by_forms(rows, block, clusters, shared, rounding, least_upper, c, order[start:end], found)
        start = end
    n_left = 0
    for e in range(n_found):
        if found.lower[e] <= least_upper[found.row[e]]:
            found.row[n_left] = found.row[e]
            found.cluster[n_left] = found.cluster[e]
            found.lower[n_left] = found.lower[e]
            found.guess[n_left] = found.guess[e]
            n_left += 1
    return n_left


@jit(**_FLAGS)
def find_best_candidates(
    found,  # IN Candidates, of which those of a row are sorted by cluster; every row occurs
    n_found,  # IN how many they are
    best,  # OUT (n_rows,) the cluster whose guess is the least; the first of those that tie
):
    """Find the most promising candidate of each row of a block."""
    least = np.full(len(best), np.inf)
    for i in range(len(best)):
        best[i] = -1
    for e in range(n_found):
        i = found.row[e]
        if best[i] < 0 or found.guess[e] < least[i]:
            least[i] = found.guess[e]
            best[i] = found.cluster[e]


@jit(**_FLAGS)
def sort_by_cluster(
    cluster,  # IN (>= n_found,)
    n_found,  # IN scalar
    n_clusters,  # IN scalar
):
    """Return the indices of candidates, sorted by cluster."""
    places = np.zeros(n_clusters + 1, np.intp)
    for e in range(n_found):
        places[cluster[e] + 1] += 1
    for c in range(n_clusters):
        places[c + 1] += places[c]
    order = np.empty(n_found, np.intp)
    for e in range(n_found):
        order[places[cluster[e]]] = e
        places[cluster[e]] += 1
    return order


@jit(**_FLAGS)
def _fill_quadratic_forms(
    matrix,  # IN (n_vectors, n_vectors); n_vectors is a multiple of 4
    z,  # IN (4, n_vectors)
    forms,  # OUT (4,) zᵀ matrix z
):
    """Compute the quadratic forms of four vectors, in their type."""
    za, zb, zc, zd = z[0], z[1], z[2], z[3]
    zero = z.dtype.type(0.0)
    a, b, c, d = zero, zero, zero, zero
    for v in range(0, z.shape[1], 4):
        m0, m1, m2, m3 = matrix[v], matrix[v + 1], matrix[v + 2], matrix[v + 3]
        a0, a1, a2, a3 = za[v], za[v + 1], za[v + 2], za[v + 3]
        b0, b1, b2, b3 = zb[v], zb[v + 1], zb[v + 2], zb[v + 3]
        c0, c1, c2, c3 = zc[v], zc[v + 1], zc[v + 2], zc[v + 3]
        d0, d1, d2, d3 = zd[v], zd[v + 1], zd[v + 2], zd[v + 3]
        for w in range(z.shape[1]):
            a += (a0 * m0[w] + a1 * m1[w] + a2 * m2[w] + a3 * m3[w]) * za[w]
            b += (b0 * m0[w] + b1 * m1[w] + b2 * m2[w] + b3 * m3[w]) * zb[w]
            c += (c0 * m0[w] + c1 * m1[w] + c2 * m2[w] + c3 * m3[w]) * zc[w]
            d += (d0 * m0[w] + d1 * m1[w] + d2 * m2[w] + d3 * m3[w]) * zd[w]
    forms[0], forms[1], forms[2], forms[3] = a, b, c, d


@jit(**_FLAGS)
def _bound_by_forms(
    rows,  # IN BlockRows
    block,  # IN Block
    clusters,  # IN ClusterBounds
    shared,  # IN SharedBasis
    rounding,  # IN scalar
    least_upper,  # IN (n_rows,)
    c,  # IN cluster
    entries,  # IN its candidates
    found,  # INOUT Candidates: their lower bounds and guesses
):
    """Tighten the bounds on the mean distances to one cluster."""
    z = np.empty((len(entries), shared.skew.shape[1]), shared.forms.dtype)
    squares, norms, forms, along, inside, spread, off, slack, lower = np.empty((9, len(entries)))
    _fill_terms(block, shared, c, entries, found, z, squares, norms, forms, along, inside)
    _bound_all(clusters, shared, rounding, c, squares, norms, forms, along, inside, spread, off, slack, lower)
    n_left = 0
    for k in range(len(entries)):
        found.lower[entries[k]] = lower[k]
        if lower[k] <= least_upper[found.row[entries[k]]]:
            for values in (squares, norms, along, inside):
                values[n_left] = values[k]
            entries[n_left] = entries[k]
            for v in range(z.shape[1]):
                z[n_left, v] = z[k, v]
            n_left += 1
    _fill_forms(shared.forms[c], z[:n_left], forms)
    _bound_all(clusters, shared, rounding, c, squares[:n_left], norms, forms, along, inside, spread, off, slack, lower)
    variance, skew_rest = clusters.variance[c], shared.skew_rest[c]
    for k in range(n_left):
        e = entries[k]
        if lower[k] <= least_upper[found.row[e]]:
            # u·g outside Q is mostly noise, far below the product of the norms; it is computed from the sample itself.
            spread[k] -= 4.0 * _component(rows, found.row[e], clusters.centers[c], shared.skew_outside[c])
            off[k] += _SKEW_ROUNDING * skew_rest * np.sqrt(squares[k] + slack[k])
            lower[k], _ = bound_mean_distance(squares[k], slack[k], variance, max(spread[k], 0.0) + off[k])
        found.lower[e] = lower[k]
        found.guess[e] = _guess(squares[k] + variance, max(spread[k], 0.0))


@jit(**_FLAGS)
def _bound_all(
    clusters,  # IN ClusterBounds
    shared,  # IN SharedBasis
    rounding,  # IN scalar
    c,  # IN cluster
    squares,  # IN (n_entries,) |u|²
    norms,  # IN (>= n_entries,) |x - origin|²
    forms,  # IN (>= n_entries,) zᵀMz or more
    along,  # IN (>= n_entries,) z·Qᵀg
    inside,  # IN (>= n_entries,) |z|²
    spread,  # OUT (>= n_entries,) V without the part of g outside Q
    off,  # OUT (>= n_entries,) how far it may be from the truth
    slack,  # OUT (>= n_entries,) how far |u|² may be
    lower,  # OUT (>= n_entries,) lower bound on the mean distance
):
    """Bound the mean distances to one cluster; all at once: roots and quotients of eight take the time of one."""
    variance, variance_r2 = clusters.variance[c], clusters.variance_r2[c]
    center_norm, center_off, skew_norm = clusters.center_norms[c], clusters.center_rounding[c], clusters.skew_norm[c]
    form_norm, rest, skew_rest = shared.form_norms[c], shared.rest[c], shared.skew_rest[c]
    n_vectors = shared.skew.shape[1]
    for k in range(len(squares)):
        square, length = squares[k], np.sqrt(inside[k])
        slack[k] = _widen_slack(square, rounding * (norms[k] + center_norm), center_off)
        # Each component is off by rounding · |x - origin|, from its vector and from the product, and by the center's.
        wander = rounding * (2.0 * np.sqrt(n_vectors * norms[k]) + np.sqrt(center_norm)) + center_off
        certain = max(length - wander, 0.0)
        outside = max(square + slack[k] - certain * certain, 0.0)
        spread[k] = variance_r2 + 4.0 * (forms[k] + rest * outside - along[k])
        off[k] = 4.0 * (wander + rounding * length) * (form_norm * (2.0 * length + wander) + skew_norm)
        # g is taken about the center that is known.
        off[k] += 4.0 * np.sqrt(square + slack[k]) * center_off * variance
        beyond = 4.0 * skew_rest * np.sqrt(outside)
        lower[k], _ = bound_mean_distance(square, slack[k], variance, max(spread[k] + beyond, 0.0) + off[k])


@jit(**_FLAGS)
def _fill_terms(
    block,  # IN Block
    shared,  # IN SharedBasis
    c,  # IN cluster
    entries,  # IN its candidates
    found,  # IN Candidates
    z,  # OUT (n_entries, n_vectors) Qᵀu
    squares,  # OUT (n_entries,) |u|²
    norms,  # OUT (n_entries,) |x - origin|²
    forms,  # OUT (n_entries,) zᵀMz or more
    along,  # OUT (n_entries,) z·Qᵀg
    inside,  # OUT (n_entries,) |z|²
):
    """Compute the terms of the bounds on the mean distances to one cluster, for each candidate; all are rounded."""
    skew, majorant = shared.skew[c], shared.majorants[c]
    center = np.empty(len(skew), z.dtype)
    for v in range(len(skew)):
        center[v] = shared.centers[c, v]
    for k in range(len(entries)):
        i = found.row[entries[k]]
        components = block.components[i, shared.first : shared.first + len(skew)]
        z_k = z[k]
        form = z.dtype.type(0.0)
        for v in range(len(skew)):
            value = components[v] - center[v]
            z_k[v] = value
            form += majorant[v] * value * value
        total, length2 = 0.0, 0.0
        for v in range(len(skew)):
            value = np.float64(z_k[v])
            total += value * skew[v]
            length2 += value * value
        squares[k] = max(np.float64(block.squares[i, c]), 0.0)
        norms[k] = block.norms[i]
        along[k], inside[k], forms[k] = total, length2, form


@jit(**_FLAGS)
def _fill_forms(
    form,  # IN (n_vectors, n_vectors) M
    z,  # IN (n_entries, n_vectors)
    forms,  # OUT (>= n_entries,) zᵀMz
):
    """Compute quadratic forms, four at a time: M is loaded once for them, and stays in the cache for the next four."""
    four, of_four = np.empty((4, z.shape[1]), z.dtype), np.empty(4, z.dtype)
    for start in range(0, len(z), 4):
        n_forms = min(4, len(z) - start)
        for k in range(4):
            z_k = z[start + min(k, n_forms - 1)]
            for v in range(z.shape[1]):
                four[k, v] = z_k[v]
        _fill_quadratic_forms(form, four, of_four)
        for k in range(n_forms):
            forms[start + k] = of_four[k]


@jit(**_FLAGS)
def _guess(
    mean,  # IN E Z
    spread,  # IN Var Z
):
    """Approximate the mean distance by the second-order expansion of E √Z."""
    return np.sqrt(mean) * (1.0 - spread / (8.0 * mean * mean)) if mean > _SMALLEST else 0.0


@jit(**_FLAGS)
def _component(
    rows,  # IN BlockRows
    i,  # IN row of the block
    center,  # IN (n_features,) float64
    vector,  # IN (n_features,)
):
    """Return the inner product of u with a vector, in float64."""
    row = rows.X[rows.indices[i]]
    total = 0.0
    for f in range(len(center)):
        total += (np.float64(row[f]) * rows.scale - center[f]) * np.float64(vector[f])
    return total

"""Moments of the members of a cluster, from which mean distances are bounded.

All sums run in float64. Differences from a center are taken before anything is squared, so that data far from
0 lose no digits.
"""

import numpy as np

from fastsil.kernels.caching import jit
from fastsil.kernels.weights import take_weight, weigh

_FLAGS = {"fastmath": {"contract", "reassoc", "nsz"}}

# Samples that are transposed at a time: their values of one feature fill a line of the cache.
_LINE = 16


@jit(**_FLAGS)
def add_differences(
    X,  # IN (n_samples, n_features)
    rows,  # IN (n_rows,) samples
    scale,  # IN scalar
    origin,  # IN (n_features,)
    weights,  # IN (n_samples,) or None
    sums,  # OUT (n_features,) added to
):
    """Add x · scale - origin of each sample."""
    for i in rows:
        row = X[i]
        weight = take_weight(weights, i)
        for f in range(X.shape[1]):
            sums[f] += weigh(row[f] * scale - origin[f], weight)


@jit(**_FLAGS)
def add_radial_moments(
    X,  # IN (n_samples, n_features)
    rows,  # IN (n_rows,) samples
    scale,  # IN scalar
    center,  # IN (n_features,)
    weights,  # IN (n_samples,) or None
    skew,  # OUT (n_features,) sum of r² u, added to, for u = x · scale - center and r = |u|
    radial,  # OUT (2,) sums of r² and r⁴, added to
):
    """Add the moments of the distance from the center."""
    for i in rows:
        row = X[i]
        square = 0.0
        for f in range(X.shape[1]):
            u = row[f] * scale - center[f]
            square += u * u
        weighted = weigh(square, take_weight(weights, i))
        for f in range(X.shape[1]):
            skew[f] += weighted * (row[f] * scale - center[f])
        radial[0] += weighted
        radial[1] += weighted * square


@jit(**_FLAGS)
def add_covariance_products(
    X,  # IN (n_samples, n_features)
    rows,  # IN (n_rows,) samples
    scale,  # IN scalar
    centers,  # IN (n_clusters, n_features)
    codes,  # IN (n_samples,) cluster of each sample
    weights,  # IN (n_samples,) of the type of the basis, or None
    basis,  # IN (n_vectors, n_features); its type is the type of the arithmetic; n_vectors is even
    products,  # OUT (n_vectors, n_features) sum of (basis · u) u, added to, for u = x · scale - its center
):
    """Multiply the vectors of a basis by the scatter matrix within clusters, which is never formed."""
    # Four samples and two vectors at a time: loaded numbers serve several products. Vectors that straddle two lines of
    # the cache halve the rate (float64, one core: 83 GFLOP/s, 13 to 45 where all of them do), so u begins with a line.
    n_features = X.shape[1]
    zero = basis.dtype.type(0.0)
    room = np.zeros(4 * n_features + 64 // basis.itemsize, basis.dtype)
    first = (-room.ctypes.data) % 64 // basis.itemsize
    u = room[first : first + 4 * n_features].reshape(4, n_features)
    u0, u1, u2, u3 = u[0], u[1], u[2], u[3]
    for start in range(0, len(rows), 4):
        for k in range(4):
            difference = u[k]
            if start + k < len(rows):
                row = X[rows[start + k]]
                center = centers[codes[rows[start + k]]]
                for f in range(n_features):
                    difference[f] = row[f] * scale - center[f]
            else:
                for f in range(n_features):
                    difference[f] = zero
        for v in range(0, basis.shape[0], 2):
            a, b = basis[v], basis[v + 1]
            a0, a1, a2, a3 = zero, zero, zero, zero
            b0, b1, b2, b3 = zero, zero, zero, zero
            for f in range(n_features):
                a0 += a[f] * u0[f]
                a1 += a[f] * u1[f]
                a2 += a[f] * u2[f]
                a3 += a[f] * u3[f]
                b0 += b[f] * u0[f]
                b1 += b[f] * u1[f]
                b2 += b[f] * u2[f]
                b3 += b[f] * u3[f]
            w0, w1 = _weight_at(weights, rows, start), _weight_at(weights, rows, start + 1)
            w2, w3 = _weight_at(weights, rows, start + 2), _weight_at(weights, rows, start + 3)
            a0, a1, a2, a3 = weigh(a0, w0), weigh(a1, w1), weigh(a2, w2), weigh(a3, w3)
            b0, b1, b2, b3 = weigh(b0, w0), weigh(b1, w1), weigh(b2, w2), weigh(b3, w3)
            of_a, of_b = products[v], products[v + 1]
            for f in range(n_features):
                of_a[f] += a0 * u0[f] + a1 * u1[f] + a2 * u2[f] + a3 * u3[f]
                of_b[f] += b0 * u0[f] + b1 * u1[f] + b2 * u2[f] + b3 * u3[f]


@jit(**_FLAGS)
def _weight_at(
    weights,  # IN (n_samples,) or None
    rows,  # IN (n_rows,)
    place,  # IN place among the rows; beyond the end, the last one
):
    """Return the weight of one of some samples, or None."""
    return take_weight(weights, rows[min(place, len(rows) - 1)])


@jit(**_FLAGS)
def orthonormalize_rows(
    vectors,  # INOUT (n_vectors, n_features)
):
    """Make rows orthonormal by Gram-Schmidt, twice over; rows that depend on earlier ones become 0.

    Not by LAPACK's QR: the threads of a BLAS spin for 0.1 s after a call, on the cores that the tiles need next.
    """
    n_features = vectors.shape[1]
    for v in range(vectors.shape[0]):
        row = vectors[v]
        before = 0.0
        for f in range(n_features):
            before += row[f] * row[f]
        for _ in range(2):
            for w in range(v):
                earlier = vectors[w]
                component = 0.0
                for f in range(n_features):
                    component += earlier[f] * row[f]
                for f in range(n_features):
                    row[f] -= component * earlier[f]
        after = 0.0
        for f in range(n_features):
            after += row[f] * row[f]
        # Where nearly all has cancelled, the rest is rounding.
        factor = 1.0 / np.sqrt(after) if after > 1e-20 * before else 0.0
        for f in range(n_features):
            row[f] *= factor


@jit(**_FLAGS)
def turn_members(
    X,  # IN (n_samples, n_features)
    rows,  # IN (n_rows,) samples
    scale,  # IN scalar
    center,  # IN (n_features,) scaled
    first,  # IN first feature
    turned,  # OUT (n_some, n_rows) some features of the samples about the center, a row for each feature
):
    """Transpose some features of some samples."""
    for low in range(0, rows.shape[0], _LINE):
        for f in range(turned.shape[0]):
            origin = center[first + f]
            for i in range(low, min(low + _LINE, rows.shape[0])):
                turned[f, i] = X[rows[i], first + f] * scale - origin


@jit(**_FLAGS)
def fill_inner_products(
    left,  # IN (n_left, n_features)
    right,  # IN (n_right, n_features)
    products,  # OUT (n_left, n_right)
):
    """Compute the inner products of the rows of two small matrices."""
    for v in range(left.shape[0]):
        for w in range(right.shape[0]):
            total = 0.0
            for f in range(left.shape[1]):
                total += left[v, f] * right[w, f]
            products[v, w] = total


@jit(**_FLAGS)
def combine_rows(
    weights,  # IN (n_combinations, n_vectors)
    vectors,  # IN (n_vectors, n_features)
    combinations,  # OUT (n_combinations, n_features)
):
    """Compute linear combinations of the rows of a small matrix."""
    for c in range(weights.shape[0]):
        for f in range(vectors.shape[1]):
            combinations[c, f] = 0.0
        for v in range(vectors.shape[0]):
            for f in range(vectors.shape[1]):
                combinations[c, f] += weights[c, v] * vectors[v, f]


@jit(**_FLAGS)
def diagonalize(
    matrix,  # INOUT (n, n) symmetric; becomes diagonal to 1e-12 of its norm
    vectors,  # OUT (n, n) eigenvectors as rows, in the order of the diagonal
):
    """Compute eigenvalues and eigenvectors of a small symmetric matrix, by Jacobi's rotations.

    Not LAPACK's, for the same reason as in orthonormalize_rows.
    """
    n = matrix.shape[0]
    total = 0.0
    for i in range(n):
        for j in range(n):
            vectors[i, j] = 1.0 if i == j else 0.0
            total += matrix[i, j] * matrix[i, j]
    for _ in range(_MOST_SWEEPS):
        off_diagonal = 0.0
        for i in range(n):
            for j in range(i):
                off_diagonal += 2.0 * matrix[i, j] * matrix[i, j]
        if off_diagonal <= 1e-24 * total:
            return
        for i in range(n):
            for j in range(i):
                _rotate(matrix, vectors, i, j)


# The convergence is quadratic: six or seven sweeps are usual.
_MOST_SWEEPS = 60


@jit(**_FLAGS)
def _rotate(
    matrix,  # INOUT (n, n) symmetric
    vectors,  # INOUT (n, n)
    i,  # IN row
    j,  # IN column; matrix[i, j] becomes 0
):
    """Apply one rotation of Jacobi's method."""
    if matrix[i, j] == 0.0:
        return
    slope = (matrix[j, j] - matrix[i, i]) / (2.0 * matrix[i, j])
    tangent = 1.0 / (abs(slope) + np.sqrt(slope * slope + 1.0))
    tangent = -tangent if slope < 0.0 else tangent
    cosine = 1.0 / np.sqrt(tangent * tangent + 1.0)
    sine = tangent * cosine
    for k in range(matrix.shape[0]):
        a, b = matrix[k, i], matrix[k, j]
        matrix[k, i], matrix[k, j] = cosine * a - sine * b, sine * a + cosine * b
    for k in range(matrix.shape[0]):
        a, b = matrix[i, k], matrix[j, k]
        matrix[i, k], matrix[j, k] = cosine * a - sine * b, sine * a + cosine * b
        a, b = vectors[i, k], vectors[j, k]
        vectors[i, k], vectors[j, k] = cosine * a - sine * b, sine * a + cosine * b

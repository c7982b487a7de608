"""Moments of the members of a cluster: what the bounds on mean distances are made of.

All sums run in float64. Differences from a center are taken before anything is squared, so that data far from
0 lose no digits.
"""

import numpy as np
from numba import njit

_FLAGS = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}


@njit(**_FLAGS)
def add_differences(
    X,  # IN (n_samples, n_features)
    rows,  # IN (n_rows,) samples
    scale,  # IN scalar
    origin,  # IN (n_features,)
    sums,  # OUT (n_features,) added to
):
    """Add x · scale - origin of each sample."""
    for i in rows:
        row = X[i]
        for f in range(X.shape[1]):
            sums[f] += row[f] * scale - origin[f]


@njit(**_FLAGS)
def add_radial_moments(
    X,  # IN (n_samples, n_features)
    rows,  # IN (n_rows,) samples
    scale,  # IN scalar
    center,  # IN (n_features,)
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
        for f in range(X.shape[1]):
            skew[f] += square * (row[f] * scale - center[f])
        radial[0] += square
        radial[1] += square * square


@njit(**_FLAGS)
def add_covariance_products(
    X,  # IN (n_samples, n_features)
    rows,  # IN (n_rows,) samples
    scale,  # IN scalar
    center,  # IN (n_features,)
    basis,  # IN (n_vectors, n_features); its type is the type of the arithmetic
    products,  # OUT (n_vectors, n_features) sum of (basis · u) u, added to, for u = x · scale - center
):
    """Multiply the vectors of a basis by the members' scatter matrix, which is never formed."""
    # Four samples at a time: a vector that is loaded serves four, and a product is stored once for four.
    n_features = X.shape[1]
    zero = basis.dtype.type(0.0)
    u = np.zeros((4, n_features), basis.dtype)
    u0, u1, u2, u3 = u[0], u[1], u[2], u[3]
    for start in range(0, len(rows), 4):
        for k in range(4):
            difference = u[k]
            if start + k < len(rows):
                row = X[rows[start + k]]
                for f in range(n_features):
                    difference[f] = row[f] * scale - center[f]
            else:
                for f in range(n_features):
                    difference[f] = zero
        for v in range(basis.shape[0]):
            vector, product = basis[v], products[v]
            c0, c1, c2, c3 = zero, zero, zero, zero
            for f in range(n_features):
                c0 += vector[f] * u0[f]
                c1 += vector[f] * u1[f]
                c2 += vector[f] * u2[f]
                c3 += vector[f] * u3[f]
            for f in range(n_features):
                product[f] += c0 * u0[f] + c1 * u1[f] + c2 * u2[f] + c3 * u3[f]

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
        for f in range(X.shape[1]):
            sums[f] += X[i, f] * scale - origin[f]


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
        square = 0.0
        for f in range(X.shape[1]):
            u = X[i, f] * scale - center[f]
            square += u * u
        for f in range(X.shape[1]):
            skew[f] += square * (X[i, f] * scale - center[f])
        radial[0] += square
        radial[1] += square * square


@njit(**_FLAGS)
def add_covariance_products(
    X,  # IN (n_samples, n_features)
    rows,  # IN (n_rows,) samples
    scale,  # IN scalar
    center,  # IN (n_features,)
    basis,  # IN (n_vectors, n_features)
    products,  # OUT (n_vectors, n_features) sum of (basis · u) u, added to, for u = x · scale - center
):
    """Multiply the vectors of a basis by the members' scatter matrix, which is never formed."""
    u = np.empty(X.shape[1])
    for i in rows:
        for f in range(X.shape[1]):
            u[f] = X[i, f] * scale - center[f]
        for v in range(basis.shape[0]):
            component = 0.0
            for f in range(X.shape[1]):
                component += basis[v, f] * u[f]
            for f in range(X.shape[1]):
                products[v, f] += component * u[f]

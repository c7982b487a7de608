"""Counts of samples along the lines between cluster centers, and k-means on few rows."""

from __future__ import annotations

import numpy as np

from fastsil.kernels.caching import jit

_FLAGS = {"fastmath": {"contract"}}


@jit(**_FLAGS)
def bin_between_centers(
    squares,  # IN (n_rows, k) squared distances from rows to centers
    center_squares,  # IN (k, k) squared distances between centers
    n_bins,  # IN bins of equal width on [-1, 1)
    bins,  # OUT (n_rows, k * (k - 1) // 2) int8, a column for each pair i < j; -1 for rows that do not count
):
    """Place rows along the line through each pair of centers.

    The place is -1/2 at center i and 1/2 at center j. A row counts for a pair if its foot point on the plane midway has
    these two as its nearest centers, and if it lies in [-1, 1).
    """
    n_rows, k = squares.shape
    for row in range(n_rows):
        own = squares[row]
        pair = 0
        for i in range(k):
            for j in range(i + 1, k):
                length = center_squares[i, j]
                bins[row, pair] = -1
                if length > 0:
                    place = (own[i] - own[j]) / (2 * length)
                    if -1 <= place < 1 and _is_on_facet(own, center_squares, i, j, place):
                        bins[row, pair] = min(int((place + 1) * n_bins / 2), n_bins - 1)
                pair += 1


@jit(**_FLAGS)
def _is_on_facet(own, center_squares, i, j, place):
    # Squared distances of the foot point, all less place² · |c_i - c_j|².
    nearest = own[i] - place * center_squares[i, j]
    for other in range(len(own)):
        slope = center_squares[j, other] - center_squares[i, other]
        if other != i and other != j and own[other] - place * slope < nearest:
            return False
    return True


@jit(**_FLAGS)
def count_bins(
    bins,  # IN (n_rows, n_pairs) int8, negative for rows that do not count
    counts,  # IN and OUT (n_pairs, n_bins) int64
):
    """Add the number of rows in each bin of each pair."""
    for row in range(len(bins)):
        for pair in range(bins.shape[1]):
            if bins[row, pair] >= 0:
                counts[pair, bins[row, pair]] += 1


@jit(**_FLAGS)
def sum_bin_weights(
    bins,  # IN (n_rows, n_pairs) int8, negative for rows that do not count
    weights,  # IN (n_pairs, n_bins)
    sums,  # OUT (n_rows,)
):
    """Sum the weights of the bins that each row lies in."""
    for row in range(len(bins)):
        total = 0.0
        for pair in range(bins.shape[1]):
            if bins[row, pair] >= 0:
                total += weights[pair, bins[row, pair]]
        sums[row] = total


@jit(**_FLAGS)
def run_lloyd(
    X,  # IN (n_rows, n_features)
    max_iter,  # IN iterations at most
    centers,  # IN and OUT (k, n_features); a center that no row is nearest to stays
    labels,  # OUT (n_rows,) int64, the nearest center of each row
):
    """Run k-means from these centers until no label changes, and return the sum of squares."""
    n_rows, n_features = X.shape
    k = len(centers)
    sums = np.empty_like(centers)
    sizes = np.empty(k, dtype=np.int64)
    labels[:] = -1
    inertia = 0.0
    for _ in range(max_iter):
        inertia = 0.0
        changed = False
        sums[:] = 0.0
        sizes[:] = 0
        for row in range(n_rows):
            nearest, least = 0, np.inf
            for center in range(k):
                square = 0.0
                for feature in range(n_features):
                    difference = X[row, feature] - centers[center, feature]
                    square += difference * difference
                if square < least:
                    nearest, least = center, square
            changed = changed or nearest != labels[row]
            labels[row] = nearest
            inertia += least
            sizes[nearest] += 1
            for feature in range(n_features):
                sums[nearest, feature] += X[row, feature]
        if not changed:
            break
        for center in range(k):
            if sizes[center] > 0:
                for feature in range(n_features):
                    centers[center, feature] = sums[center, feature] / sizes[center]
    return inertia

"""Sums of absolute differences from every sample to every group, one feature at a time, from sorted values.

Walk the samples by growing value x of a feature. The sum over the members y of a group that lie to the left,

    L(x) = sum over y <= x of (x - y),

is linear between two neighboring values, with the number (or the weight) of members passed so far as its slope. A walk
from the other end gives the rest, and L + R is the sum of |x - y|. All terms are positive and every difference is one
of neighbors, so no digit is lost, however far from zero the data or from each other the groups are (prefix sums
of values would lose them).
"""

from __future__ import annotations

import numpy as np

from fastsil.kernels.caching import jit
from fastsil.kernels.weights import take_weight, weigh

_FLAGS = {"fastmath": {"contract"}}

# Steps of a walk that are summed from zero before they are added to the sum of earlier ones: rounding then grows with
# n / 1024 + 1024 instead of n.
_STRETCH = 1024


@jit(**_FLAGS)
def gather_column_sparse(
    data,  # IN (n_stored,) values of a CSR matrix
    indices,  # IN (n_stored,) their columns, sorted within a row
    indptr,  # IN (n_rows + 1,)
    feature,  # IN column wanted
    column,  # OUT (n_rows,)
):
    """Write one column of a CSR matrix."""
    for i in range(len(column)):
        low, high = indptr[i], indptr[i + 1]
        end = high
        while low < high:
            middle = (low + high) // 2
            if indices[middle] < feature:
                low = middle + 1
            else:
                high = middle
        column[i] = data[low] if low < end and indices[low] == feature else 0.0


@jit(**_FLAGS)
def add_differences_sorted(
    values,  # IN (n_features, n_samples) sorted values of some features
    order,  # IN (n_features, n_samples) int32, the sample that each belongs to
    groups,  # IN (n_samples,) group of every sample
    weights,  # IN (n_samples,) of the samples, or None
    first,  # IN first group of the range that is summed
    sums,  # OUT (n_samples, n_groups) sum of |x - y| over the members y of each group of the range: added to
    stop,  # IN (1,) not 0: leave early
):
    """Add the sums of absolute differences in some features."""
    n_samples, n_groups = sums.shape
    counts = np.empty(n_groups)
    near = np.empty(n_groups)
    far = np.empty(n_groups)
    for f in range(len(values)):
        for direction in (1, -1):
            counts[:] = 0.0
            far[:] = 0.0
            last = values[f, 0] if direction == 1 else values[f, n_samples - 1]
            for start in range(0, n_samples, _STRETCH):
                if stop[0] != 0:
                    return
                near[:] = 0.0
                for step in range(start, min(start + _STRETCH, n_samples)):
                    position = step if direction == 1 else n_samples - 1 - step
                    i = order[f, position]
                    gap = abs(values[f, position] - last)
                    last = values[f, position]
                    target = sums[i]
                    for c in range(n_groups):
                        near[c] += gap * counts[c]
                        target[c] += far[c] + near[c]
                    own = groups[i] - first
                    if 0 <= own < n_groups:
                        counts[own] += weigh(1.0, take_weight(weights, i))
                for c in range(n_groups):
                    far[c] += near[c]

"""Euclidean distances between rows of a CSR matrix, from products of sparse rows with a strip of columns.

A strip is some samples, turned so that features are at hand: a feature that many of them have is a dense row of the
strip, a feature that few have is a list of samples and values. A row then adds, feature by feature, a multiple of a
dense row or of a list to its products with all samples of the strip. Squared distances are
``|x|² + |y|² - 2 x·y`` in float64; where most digits cancel, they are computed again from differences.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.kernels.caching import jit
from fastsil.kernels.weights import take_weight, take_weights, weigh

_FLAGS = {"fastmath": {"contract", "reassoc", "nsz"}}

# Samples of a strip: its products stay in the first cache, and looking a feature up is shared by many samples.
STRIP = 4096
# Lists are filled up to a multiple of this with values of 0: short loops that end as expected.
_PADDED, _FIRST, _SECOND, _THIRD = np.uintp(4), np.uintp(1), np.uintp(2), np.uintp(3)
# A feature is a dense row if more than one in this number of samples of the strip has it.
_DENSE_SHARE = 6
# A squared distance below this part of |x|² + |y|² has lost digits.
_CANCELLED = 2.0**-12


class SparseRows(NamedTuple):
    """A CSR matrix by position, columns of each row sorted, none stored twice."""

    values: NDArray[np.float64]  # (n_stored,)
    features: NDArray[np.int32]  # (n_stored,)
    bounds: NDArray[np.int64]  # (n_samples + 1,)
    squares: NDArray[np.float64]  # (n_samples,) squared lengths
    codes: NDArray[np.int32]  # (n_samples,) cluster, sorted
    weights: NDArray[np.float64] | None  # (n_samples,)


@jit(**_FLAGS)
def add_distances_sparse(
    rows,  # IN SparseRows
    ranges,  # IN (4,) start and end of rows, of columns; equal ranges: each pair of them is met from both sides
    first,  # IN first cluster of the range that is summed
    slots,  # IN, OUT (n_features,) int32, all -1: scratch memory of a thread
    sums,  # OUT (n_range, n_samples) by position, sums of distances to each cluster of the range: added to
    stop,  # IN (1,) not 0: leave early
):
    """Add the distances between two ranges of samples to the sums of both."""
    start, end, low, high = ranges
    within = start == low
    codes = rows.codes
    carried, distances = np.zeros(STRIP), np.zeros(STRIP + 1)
    cuts = np.empty(STRIP + 1, np.int64)
    longest = 0
    for i in range(start, end):
        longest = max(longest, rows.bounds[i + 1] - rows.bounds[i])
    places, factors = np.empty((3, longest + 1), np.int64), np.empty((2, longest + 1))
    for strip in range(low, high, STRIP):
        width = min(STRIP, high - strip)
        n_runs = _cut(codes, strip, width, cuts)
        touched, dense, begins, members, values, panel = _turn(rows, strip, width, slots)
        for i in range(start, end):
            if stop[0] != 0:
                return
            n_dense, n_listed = _look_up(rows, i, slots, dense, begins, places, factors)
            _multiply_dense(panel, places[0], factors[0], n_dense, width, distances)
            _add_lists(members, values, places, factors, n_listed, distances)
            _take_roots(rows, i, strip, width, distances)
            if within and 0 <= i - strip < width:
                distances[i - strip] = 0.0
            _add_runs(distances, codes, take_weights(rows.weights, strip), strip, cuts, n_runs, first, i, sums)
            if within:
                continue
            weight = take_weight(rows.weights, i)
            for j in range(width):
                carried[j] += weigh(distances[j], weight)
            if i + 1 == end or codes[i + 1] != codes[i]:
                _flush(carried, codes[i] - first, strip, width, sums)
        for k in range(len(touched)):
            slots[touched[k]] = -1


@jit(**_FLAGS)
def _turn(rows, strip, width, slots):
    """Transpose a strip: from sparse rows to features.

    Returns the features that occur, whose numbers among them are left in the slots; the dense row of each, or -1; where
    the list of each begins; samples and values of the lists; the dense rows.
    """
    low, high = rows.bounds[strip], rows.bounds[strip + width]
    touched = np.empty(high - low, np.int32)
    counts = np.zeros(high - low, np.int32)
    n_touched = 0
    for at in range(low, high):
        feature = rows.features[at]
        if slots[feature] < 0:
            slots[feature] = n_touched
            touched[n_touched] = feature
            n_touched += 1
        counts[slots[feature]] += 1
    dense = np.empty(n_touched, np.int32)
    begins = np.zeros(n_touched + 1, np.int64)  # a strip may have more entries than 32 bits count
    n_dense = 0
    for k in range(n_touched):
        is_dense = counts[k] * _DENSE_SHARE > width
        dense[k] = n_dense if is_dense else -1
        n_dense += is_dense
        begins[k + 1] = begins[k] + (0 if is_dense else (counts[k] + 3) // 4 * 4)
    panel = np.zeros((n_dense, STRIP))
    members, values = np.full(begins[n_touched], STRIP, np.uint16), np.zeros(begins[n_touched])
    filled = begins.copy()
    for j in range(width):
        for at in range(rows.bounds[strip + j], rows.bounds[strip + j + 1]):
            k = slots[rows.features[at]]
            if dense[k] >= 0:
                panel[dense[k], j] = rows.values[at]
            else:
                members[filled[k]] = j
                values[filled[k]] = rows.values[at]
                filled[k] += 1
    return touched[:n_touched], dense, begins, members, values, panel


@jit(**_FLAGS)
def _look_up(rows, i, slots, dense, begins, places, factors):
    """Sort the features of a row into those with a dense row and those with a list; the number of either."""
    n_dense, n_listed = 0, 0
    for at in range(rows.bounds[i], rows.bounds[i + 1]):
        k = slots[rows.features[at]]
        if k < 0:
            continue
        # Without a branch, which would be guessed wrong half of the time; entries that are not counted are overwritten.
        places[0, n_dense], factors[0, n_dense] = dense[k], rows.values[at]
        places[1, n_listed], factors[1, n_listed] = begins[k], rows.values[at]
        places[2, n_listed] = begins[k + 1]
        n_dense += dense[k] >= 0
        n_listed += dense[k] < 0
    return n_dense, n_listed


@jit(**_FLAGS)
def _multiply_dense(panel, places, factors, n_dense, width, products):
    """Overwrite the products with those of the dense rows, four rows at a time."""
    for j in range(width):
        products[j] = 0.0
    whole = n_dense - n_dense % 4
    for k in range(0, whole, 4):
        a, b, c, d = panel[places[k]], panel[places[k + 1]], panel[places[k + 2]], panel[places[k + 3]]
        x, y, z, t = factors[k], factors[k + 1], factors[k + 2], factors[k + 3]
        for j in range(width):
            products[j] += (x * a[j] + y * b[j]) + (z * c[j] + t * d[j])
    for k in range(whole, n_dense):
        a, x = panel[places[k]], factors[k]
        for j in range(width):
            products[j] += x * a[j]


@jit(**_FLAGS)
def _add_lists(members, values, places, factors, n_lists, products):
    """Add the products with the lists."""
    for k in range(n_lists):
        factor = factors[1, k]
        # Without a sign: no look at whether an index counts from the end.
        at, end = np.uintp(places[1, k]), np.uintp(places[2, k])
        while at < end:
            products[members[at]] += factor * values[at]
            products[members[at + _FIRST]] += factor * values[at + _FIRST]
            products[members[at + _SECOND]] += factor * values[at + _SECOND]
            products[members[at + _THIRD]] += factor * values[at + _THIRD]
            at += _PADDED


@jit(**_FLAGS)
def _take_roots(rows, i, strip, width, products):
    """Turn products into distances, in place."""
    square = rows.squares[i]
    others = rows.squares[strip : strip + width]
    n_cancelled = 0
    for j in range(width):
        size = square + others[j]
        difference = size - 2.0 * products[j]
        n_cancelled += difference < _CANCELLED * size
        products[j] = np.sqrt(max(difference, 0.0))
    if n_cancelled == 0:
        return
    for j in range(width):
        # By a little more than above, as a root has been taken.
        if products[j] * products[j] <= 1.001 * _CANCELLED * (square + others[j]):
            products[j] = _distance(rows, i, strip + j)


@jit(**_FLAGS)
def _distance(rows, i, j):
    """Return the distance of two rows from the differences of their entries."""
    at, end = rows.bounds[i], rows.bounds[i + 1]
    other, other_end = rows.bounds[j], rows.bounds[j + 1]
    total = 0.0
    while at < end and other < other_end:
        feature, other_feature = rows.features[at], rows.features[other]
        x = rows.values[at] if feature <= other_feature else 0.0
        y = rows.values[other] if other_feature <= feature else 0.0
        total += (x - y) * (x - y)
        at += feature <= other_feature
        other += other_feature <= feature
    for k in range(at, end):
        total += rows.values[k] * rows.values[k]
    for k in range(other, other_end):
        total += rows.values[k] * rows.values[k]
    return np.sqrt(total)


@jit(**_FLAGS)
def _cut(codes, start, width, cuts):
    """Find where runs of one cluster begin and end; return their number."""
    n_runs = 0
    cuts[0] = 0
    for j in range(1, width + 1):
        if j == width or codes[start + j] != codes[start + j - 1]:
            n_runs += 1
            cuts[n_runs] = j
    return n_runs


@jit(**_FLAGS)
def _add_runs(distances, codes, weights, start, cuts, n_runs, first, row, sums):
    for run in range(n_runs):
        slot = codes[start + cuts[run]] - first
        if 0 <= slot < len(sums):
            total = 0.0
            for j in range(cuts[run], cuts[run + 1]):
                total += weigh(distances[j], take_weight(weights, j))
            sums[slot, row] += total


@jit(**_FLAGS)
def _flush(carried, slot, start, width, sums):
    if 0 <= slot < len(sums):
        target = sums[slot, start : start + width]
        for j in range(width):
            target[j] += carried[j]
    for j in range(width):
        carried[j] = 0.0

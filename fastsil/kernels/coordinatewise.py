"""Distances that are sums or maxima over features, two rows against a strip of columns at a time.

The columns of a strip are packed feature by feature, so that a loop over them is one of whole vectors; four features
are taken in one go, so that partial distances are read and written a quarter as often. Everything is float64.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_FLAGS = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}

# Columns of a strip: the partial distances of two rows, and four features of the columns, stay in the first cache.
STRIP = 192
# Features taken in one go.
UNROLL = 4

# A metric is a tuple, told by its length: numba knows the length when it compiles, and leaves the other metrics out.
CHEBYSHEV, HAMMING, BRAYCURTIS, CANBERRA, CANBERRA_EXTREME = (0,), (0,) * 2, (0,) * 3, (0,) * 4, (0,) * 5


@njit(**_FLAGS)
def add_distances(
    metric,  # IN one of the tuples above
    X,  # IN (n_samples, n_features)
    order,  # IN (n_samples,) rows of X by position
    codes,  # IN (n_samples,) int32, cluster by position, sorted
    ranges,  # IN (4,) start and end of rows, of columns; equal ranges: each pair of them is met from both sides
    first,  # IN first cluster of the range that is summed
    sums,  # OUT (n_range, n_samples) by position, sums of distances to each cluster of the range: added to
    stop,  # IN (1,) not 0: leave early
):
    """Add the distances between two ranges of samples to the sums of both; of Hamming distances, the counts."""
    start, end, low, high = ranges
    within = start == low
    n_features = -(-X.shape[1] // UNROLL) * UNROLL
    n_rows = end - start
    rows = np.zeros((n_rows + n_rows % 2, n_features))
    for i in range(n_rows):
        for f in range(X.shape[1]):
            rows[i, f] = X[order[start + i], f]
    panel = np.zeros((n_features, STRIP))
    scratch = np.empty((4, STRIP))
    carried = np.zeros(STRIP)
    cuts = np.empty(STRIP + 1, np.int64)
    for strip in range(low, high, STRIP):
        width = min(STRIP, high - strip)
        for j in range(width):
            for f in range(X.shape[1]):
                panel[f, j] = X[order[strip + j], f]
        n_runs = _cut(codes, strip, width, cuts)
        for i in range(0, n_rows, 2):
            if stop[0] != 0:
                return
            _distances(metric, rows[i], rows[i + 1], panel, scratch)
            for side in range(min(2, n_rows - i)):
                row = start + i + side
                distances = scratch[side]
                if within and 0 <= row - strip < width:
                    distances[row - strip] = 0.0
                _add_runs(distances, codes, strip, cuts, n_runs, first, row, sums)
                if within:
                    continue
                for j in range(STRIP):
                    carried[j] += distances[j]
                if row + 1 == end or codes[row + 1] != codes[row]:
                    _flush(carried, codes[row] - first, strip, width, sums)


@njit(**_FLAGS)
def _cut(codes, start, width, cuts):
    """Where runs of one cluster begin and end; their number."""
    n_runs = 0
    cuts[0] = 0
    for j in range(1, width + 1):
        if j == width or codes[start + j] != codes[start + j - 1]:
            n_runs += 1
            cuts[n_runs] = j
    return n_runs


@njit(**_FLAGS)
def _add_runs(distances, codes, start, cuts, n_runs, first, row, sums):
    for run in range(n_runs):
        slot = codes[start + cuts[run]] - first
        if 0 <= slot < len(sums):
            total = 0.0
            for j in range(cuts[run], cuts[run + 1]):
                total += distances[j]
            sums[slot, row] += total


@njit(**_FLAGS)
def _flush(carried, slot, start, width, sums):
    if 0 <= slot < len(sums):
        target = sums[slot, start : start + width]
        for j in range(width):
            target[j] += carried[j]
    for j in range(STRIP):
        carried[j] = 0.0


@njit(**_FLAGS)
def _distances(metric, x, y, panel, scratch):
    """Distances of two rows to a strip, in the first two rows of the scratch memory."""
    s, t, u, v = scratch[0], scratch[1], scratch[2], scratch[3]
    for j in range(STRIP):
        s[j] = t[j] = u[j] = v[j] = 0.0
    for f in range(0, len(x), UNROLL):
        a, b, c, d = panel[f], panel[f + 1], panel[f + 2], panel[f + 3]
        x0, x1, x2, x3 = x[f], x[f + 1], x[f + 2], x[f + 3]
        y0, y1, y2, y3 = y[f], y[f + 1], y[f + 2], y[f + 3]
        for j in range(STRIP):
            if len(metric) == 1:
                s[j] = _largest(x0, x1, x2, x3, a[j], b[j], c[j], d[j], s[j])
                t[j] = _largest(y0, y1, y2, y3, a[j], b[j], c[j], d[j], t[j])
            if len(metric) == 2:
                s[j] += _unequal(x0, x1, x2, x3, a[j], b[j], c[j], d[j])
                t[j] += _unequal(y0, y1, y2, y3, a[j], b[j], c[j], d[j])
            if len(metric) == 3:
                s[j] += _size(x0 - a[j], x1 - b[j], x2 - c[j], x3 - d[j])
                t[j] += _size(y0 - a[j], y1 - b[j], y2 - c[j], y3 - d[j])
                u[j] += _size(x0 + a[j], x1 + b[j], x2 + c[j], x3 + d[j])
                v[j] += _size(y0 + a[j], y1 + b[j], y2 + c[j], y3 + d[j])
            if len(metric) == 4:
                s[j] += _ratios(x0, x1, a[j], b[j]) + _ratios(x2, x3, c[j], d[j])
                t[j] += _ratios(y0, y1, a[j], b[j]) + _ratios(y2, y3, c[j], d[j])
            if len(metric) == 5:
                s[j] += (_ratio(x0, a[j]) + _ratio(x1, b[j])) + (_ratio(x2, c[j]) + _ratio(x3, d[j]))
                t[j] += (_ratio(y0, a[j]) + _ratio(y1, b[j])) + (_ratio(y2, c[j]) + _ratio(y3, d[j]))
    if len(metric) == 3:
        for j in range(STRIP):
            s[j] /= u[j]
            t[j] /= v[j]


@njit(**_FLAGS)
def _largest(x0, x1, x2, x3, a, b, c, d, largest):
    p, q, r, t = abs(x0 - a), abs(x1 - b), abs(x2 - c), abs(x3 - d)
    largest = p if p > largest else largest
    largest = q if q > largest else largest
    largest = r if r > largest else largest
    return t if t > largest else largest


@njit(**_FLAGS)
def _unequal(x0, x1, x2, x3, a, b, c, d):
    near = (1.0 if x0 != a else 0.0) + (1.0 if x1 != b else 0.0)
    return near + ((1.0 if x2 != c else 0.0) + (1.0 if x3 != d else 0.0))


@njit(**_FLAGS)
def _size(a, b, c, d):
    return (abs(a) + abs(b)) + (abs(c) + abs(d))


@njit(**_FLAGS)
def _ratios(x, y, a, b):
    """One division for two features: p / q + r / t = (p t + r q) / (q t)."""
    q, t = abs(x) + abs(a), abs(y) + abs(b)
    q = q if q > 0.0 else 1.0
    t = t if t > 0.0 else 1.0
    return (abs(x - a) * t + abs(y - b) * q) / (q * t)


@njit(**_FLAGS)
def _ratio(x, y):
    size = abs(x) + abs(y)
    return abs(x - y) / (size if size > 0.0 else 1.0)

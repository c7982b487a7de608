"""Distances that are sums or maxima over features, two rows against a strip of columns at a time.

The columns of a strip are packed feature by feature, so that a loop over them is one of whole vectors; four features
are taken in one go, so that partial distances are read and written a quarter as often. Everything is float64.

A Minkowski distance is ``sum(|x - y|^p)^(1/p)``. A power is ``2^(p log2 x)`` with both functions as polynomials, which
compile to vectors where calls of a library do not; its relative error is below ``|p log2 x| * 5e-16 + 1e-15``, 6e-13
where it neither overflows nor vanishes. Whole and half powers are products and square roots.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from fastsil.kernels.caching import jit
from fastsil.kernels.weights import take_weight, take_weights

_FLAGS = {"fastmath": {"contract", "reassoc", "nsz"}}
# Where only the order of additions rounds.
_FLAGS_POWER = {"fastmath": {"contract"}}

# Rows that are taken together: loaded columns serve both. More gain nothing.
ROWS = 2
# Columns of a strip: the partial distances of the rows, and four features of the columns, stay in the first cache.
STRIP = 192
# Features taken in one go.
UNROLL = 4

# Features counted in a byte.
_COUNTED = 252

# A metric is a tuple of numbers, identified by its length: numba has the length when it compiles, and leaves the other
# metrics out. The numbers are the powers of Minkowski distances.
Metric = tuple[float, ...]
CHEBYSHEV, HAMMING, BRAYCURTIS, CANBERRA, CANBERRA_EXTREME = (0.0,), (0.0,) * 2, (0.0,) * 3, (0.0,) * 4, (0.0,) * 5
# Of data without negative values: x + y needs no look at each feature.
BRAYCURTIS_POSITIVE = (0.0,) * 6
HAMMING_WEIGHTED, CANBERRA_WEIGHTED = (0.0,) * 7, (0.0,) * 8
# Of whole numbers that fit a byte: 64 of them are compared at once.
HAMMING_BYTES = (0.0,) * 13
# Weights multiply differences and sums of two values: multiplied before, these would lose digits far from 0.
BRAYCURTIS_WEIGHTED = (0.0,) * 14
# The lower half of a Bray-Curtis fraction.
_SIZES, _SIZES_WEIGHTED = (0.0,) * 11, (0.0,) * 15

# Sums of powers below have lost digits or vanished.
_VANISHING = 1e-280


class Samples(NamedTuple):
    """Samples grouped by cluster."""

    X: NDArray[Any]  # (n_samples, n_features)
    order: NDArray[np.intp]  # (n_samples,) rows of X by position
    codes: NDArray[np.int32]  # (n_samples,) cluster by position, sorted
    totals: NDArray[np.float64]  # (n_samples,) sum of each row of X, for the metrics that need it
    weights: NDArray[Any]  # (at least n_features, a multiple of UNROLL) of the features, in the type to compute with
    sample_weights: NDArray[np.float64] | None  # (n_samples,) by position


def minkowski(p: float) -> Metric:
    """Return the kernel's tuple for a Minkowski distance, p > 0."""
    doubled = 2 * p
    if doubled != int(doubled) or p >= 8:
        return (p,) * 9
    # Which of the first three binary digits of p are set: x^p is the product of x, x² and x⁴ where they are.
    digits = [float(int(p) >> digit & 1) for digit in range(3)]
    return (p, *digits) * 3 if doubled % 2 else (*(p, *digits) * 2, 0.0, 0.0)


@jit(**_FLAGS)
def add_distances(
    metric,  # IN one of the tuples above
    samples,  # IN Samples
    ranges,  # IN (4,) start and end of rows, of columns; equal ranges: each pair of them is met from both sides
    first,  # IN first cluster of the range that is summed
    sums,  # OUT (n_range, n_samples) by position, sums of distances to each cluster of the range: added to
    stop,  # IN (1,) not 0: leave early
):
    """Add the distances between two ranges of samples to the sums of both; Hamming distances unscaled."""
    start, end, low, high = ranges
    within = start == low
    codes = samples.codes
    n_features = -(-samples.X.shape[1] // UNROLL) * UNROLL
    n_rows = end - start
    rows = np.zeros((-(-n_rows // ROWS) * ROWS, n_features + 1), samples.weights.dtype)
    for i in range(n_rows):
        _pack(samples, start + i, rows[i])
    panel = _strips(n_features + 1, samples.weights)
    scratch = _strips(2 * ROWS if len(metric) == 3 or len(metric) == 14 else ROWS, samples.totals)
    carried = np.zeros(STRIP)
    cuts = np.empty(STRIP + 1, np.int64)
    for strip in range(low, high, STRIP):
        width = min(STRIP, high - strip)
        for j in range(width):
            _pack(samples, strip + j, panel[:, j])
        n_runs = _cut(codes, strip, width, cuts)
        # Within a range, rows before the strip meet it from both sides, and those in it meet each other.
        n_met, n_both = (min(n_rows, strip + width - start), strip - start) if within else (n_rows, n_rows)
        for i in range(0, n_met, ROWS):
            if stop[0] != 0:
                return
            _distances(metric, rows[i : i + ROWS], panel, samples.weights, scratch)
            for side in range(i, min(i + ROWS, n_met)):
                row = start + side
                distances = scratch[side - i]
                if side >= n_both:
                    distances[row - strip] = 0.0
                of_columns = take_weights(samples.sample_weights, strip)
                _add_runs(distances, codes, of_columns, strip, cuts, n_runs, first, row, sums)
                if side >= n_both:
                    continue
                weight = take_weight(samples.sample_weights, row)
                for j in range(STRIP):
                    carried[j] += _count(distances[j], weight)
                if side + 1 == n_both or codes[row + 1] != codes[row]:
                    _flush(carried, codes[row] - first, strip, width, sums)


@jit(**_FLAGS)
def _strips(n_strips, like):
    """Allocate strips of zeros, each at the start of a line of the cache: 1.1 times as fast."""
    size = n_strips * STRIP
    room = np.zeros(size + 64 // like.itemsize, like.dtype)
    first = (-room.ctypes.data) % 64 // like.itemsize
    return room[first : first + size].reshape(n_strips, STRIP)


@jit(**_FLAGS)
def _pack(samples, position, target):
    """Copy the features of a sample, zeros up to a whole number of steps, and the sum of its row."""
    i = samples.order[position]
    n_features = samples.X.shape[1]
    for f in range(n_features):
        target[f] = samples.X[i, f]
    target[len(target) - 1] = samples.totals[i]


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
                total += _count(distances[j], take_weight(weights, j))
            sums[slot, row] += total


@jit(**_FLAGS)
def _count(distance, weight):
    """Return a distance as often as it counts: what does not count may be infinite, or no number."""
    if weight is None:
        return distance
    return distance * weight if weight > 0.0 else 0.0


@jit(**_FLAGS)
def _flush(carried, slot, start, width, sums):
    if 0 <= slot < len(sums):
        target = sums[slot, start : start + width]
        for j in range(width):
            target[j] += carried[j]
    for j in range(STRIP):
        carried[j] = 0.0


@jit(**_FLAGS)
def _distances(metric, rows, panel, weights, scratch):
    """Compute the distances of two rows to a strip, in the first two rows of the scratch memory."""
    for r in range(len(scratch)):
        for j in range(STRIP):
            scratch[r, j] = 0.0
    if len(metric) == 13:
        _count_unequal(rows, panel, scratch)
        return
    if len(metric) == 9:
        _add_powers(metric[0], rows, panel, scratch)
    else:
        _add_features(metric, rows, panel, weights, scratch[:ROWS])
    if len(metric) == 3:
        _add_features(_SIZES, rows, panel, weights, scratch[ROWS:])
    if len(metric) == 14:
        _add_features(_SIZES_WEIGHTED, rows, panel, weights, scratch[ROWS:])
    last = len(panel) - 1
    for r in range(ROWS):
        if len(metric) == 3 or len(metric) == 14:
            for j in range(STRIP):
                scratch[r, j] /= scratch[ROWS + r, j]
        if len(metric) == 6:
            for j in range(STRIP):
                scratch[r, j] /= rows[r, last] + panel[last, j]
        if 9 <= len(metric) <= 12:
            _take_root(metric[0], rows[r], panel, scratch[r])


@jit(**_FLAGS)
def _add_features(metric, rows, panel, weights, totals):
    x, y, x_total, y_total = rows[0], rows[1], totals[0], totals[1]
    for f in range(0, len(panel) - 1, UNROLL):
        a, b, c, d = panel[f], panel[f + 1], panel[f + 2], panel[f + 3]
        x0, x1, x2, x3 = x[f], x[f + 1], x[f + 2], x[f + 3]
        y0, y1, y2, y3 = y[f], y[f + 1], y[f + 2], y[f + 3]
        w = weights[f], weights[f + 1], weights[f + 2], weights[f + 3]
        for j in range(STRIP):
            column = a[j], b[j], c[j], d[j]
            x_total[j] = _step(metric, x0, x1, x2, x3, column, w, x_total[j])
            y_total[j] = _step(metric, y0, y1, y2, y3, column, w, y_total[j])


@jit(**_FLAGS)
def _add_powers(p, rows, panel, totals):
    """Add one power in a loop: several are too much code to become vectors."""
    for f in range(len(panel) - 1):
        a = panel[f]
        for r in range(ROWS):
            x, total = rows[r, f], totals[r]
            for j in range(STRIP):
                total[j] += _power(abs(x - a[j]), p)


@jit(**_FLAGS)
def _count_unequal(rows, panel, totals):
    counts = np.empty((ROWS, STRIP), np.uint8)
    x, y, x_count, y_count = rows[0], rows[1], counts[0], counts[1]
    n_features = len(panel) - 1
    for start in range(0, n_features, _COUNTED):
        for j in range(STRIP):
            x_count[j] = y_count[j] = 0
        for f in range(start, min(start + _COUNTED, n_features), UNROLL):
            a, b, c, d = panel[f], panel[f + 1], panel[f + 2], panel[f + 3]
            x0, x1, x2, x3 = x[f], x[f + 1], x[f + 2], x[f + 3]
            y0, y1, y2, y3 = y[f], y[f + 1], y[f + 2], y[f + 3]
            for j in range(STRIP):
                x_count[j] += int(x0 != a[j]) + int(x1 != b[j]) + int(x2 != c[j]) + int(x3 != d[j])
                y_count[j] += int(y0 != a[j]) + int(y1 != b[j]) + int(y2 != c[j]) + int(y3 != d[j])
        for r in range(ROWS):
            for j in range(STRIP):
                totals[r, j] += counts[r, j]


@jit(**_FLAGS)
def _step(metric, x0, x1, x2, x3, column, w, total):
    """Return a distance's share of four features."""
    a, b, c, d = column
    if len(metric) == 1:
        return _largest(x0, x1, x2, x3, a, b, c, d, total)
    if len(metric) == 2:
        return total + _unequal(x0, x1, x2, x3, a, b, c, d)
    if len(metric) == 3 or len(metric) == 6:
        return total + _size(x0 - a, x1 - b, x2 - c, x3 - d)
    if len(metric) == 4:
        return total + (_ratios(x0, x1, a, b) + _ratios(x2, x3, c, d))
    if len(metric) == 5:
        return total + ((_ratio(x0, a) + _ratio(x1, b)) + (_ratio(x2, c) + _ratio(x3, d)))
    if len(metric) == 7:
        return total + (_weigh_unequal(x0, x1, a, b, w[0], w[1]) + _weigh_unequal(x2, x3, c, d, w[2], w[3]))
    if len(metric) == 8:
        return total + ((_ratio(x0, a) * w[0] + _ratio(x1, b) * w[1]) + (_ratio(x2, c) * w[2] + _ratio(x3, d) * w[3]))
    if len(metric) == 11:
        return total + _size(x0 + a, x1 + b, x2 + c, x3 + d)
    if len(metric) == 14:
        return total + _size(w[0] * (x0 - a), w[1] * (x1 - b), w[2] * (x2 - c), w[3] * (x3 - d))
    if len(metric) == 15:
        return total + _size(w[0] * (x0 + a), w[1] * (x1 + b), w[2] * (x2 + c), w[3] * (x3 + d))
    powers = _power_of(metric, x0 - a) + _power_of(metric, x1 - b)
    return total + (powers + (_power_of(metric, x2 - c) + _power_of(metric, x3 - d)))


@jit(**_FLAGS)
def _largest(x0, x1, x2, x3, a, b, c, d, largest):
    p, q, r, t = abs(x0 - a), abs(x1 - b), abs(x2 - c), abs(x3 - d)
    largest = p if p > largest else largest
    largest = q if q > largest else largest
    largest = r if r > largest else largest
    return t if t > largest else largest


@jit(**_FLAGS)
def _unequal(x0, x1, x2, x3, a, b, c, d):
    near = (1.0 if x0 != a else 0.0) + (1.0 if x1 != b else 0.0)
    return near + ((1.0 if x2 != c else 0.0) + (1.0 if x3 != d else 0.0))


@jit(**_FLAGS)
def _weigh_unequal(x, y, a, b, w, v):
    return (w if x != a else 0.0) + (v if y != b else 0.0)


@jit(**_FLAGS)
def _size(a, b, c, d):
    return (abs(a) + abs(b)) + (abs(c) + abs(d))


@jit(**_FLAGS)
def _ratios(x, y, a, b):
    """Return p / q + r / t = (p t + r q) / (q t), one division for two features."""
    q, t = abs(x) + abs(a), abs(y) + abs(b)
    q = q if q > 0.0 else 1.0
    t = t if t > 0.0 else 1.0
    return (abs(x - a) * t + abs(y - b) * q) / (q * t)


@jit(**_FLAGS)
def _ratio(x, y):
    size = abs(x) + abs(y)
    return abs(x - y) / (size if size > 0.0 else 1.0)


@jit(**_FLAGS)
def _power_of(metric, difference):
    """Return |difference| to a whole or half power."""
    size = abs(difference)
    square = size * size
    fourth = square * square
    # Factors that are not needed are 1, without a branch.
    whole = ((1.0 - metric[1]) + metric[1] * size) * ((1.0 - metric[2]) + metric[2] * square)
    whole *= (1.0 - metric[3]) + metric[3] * fourth
    return whole * np.sqrt(size) if len(metric) == 12 else whole


@jit(**_FLAGS)
def _take_root(p, x, panel, sums):
    """Turn sums of powers into distances."""
    lowest = np.inf
    inverse = 1.0 / p
    for j in range(STRIP):
        lowest = sums[j] if sums[j] < lowest else lowest
    if lowest < _VANISHING:
        for j in range(STRIP):
            sums[j] = _minkowski(p, x, panel, j) if sums[j] < _VANISHING else _power(sums[j], inverse)
    else:
        for j in range(STRIP):
            sums[j] = _power(sums[j], inverse)


@jit(**_FLAGS)
def _minkowski(p, x, panel, j):
    """Return one distance, computed relative to its largest difference."""
    largest = 0.0
    for f in range(len(x) - 1):
        largest = max(largest, abs(x[f] - panel[f, j]))
    if largest == 0.0:
        return 0.0
    total = 0.0
    for f in range(len(x) - 1):
        total += _power(abs(x[f] - panel[f, j]) / largest, p)
    return largest * _power(total, 1.0 / p)


_SMALLEST = 2.2250738585072014e-308  # normal number
_EXPONENT_BITS = np.int64(52)
_LOW_HALF = np.int64(0x3FE6A09E667F3BCD)  # the bits of the square root of 1/2
_ONE = np.int64(0x3FF0000000000000)
_WHOLE = np.int64(0x4330000000000000)  # the bits of 2^52: with a whole number below in its last bits, 2^52 and that
_TO_WHOLE = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to a whole number
_WHOLE_AND_BIAS = 4503599627370496.0 + 1023.0
_LOG2_E = 1.4426950408889634
_LN_2 = 0.6931471805599453


@jit(**_FLAGS_POWER)
def _power(x, p):
    """Return x^p for x >= 0 and p > 0; values below the normal numbers are 0."""
    # x = 2^exponent m with m from sqrt(1/2) to sqrt(2), and log m = 2 artanh((m - 1) / (m + 1)).
    bits = _bits_of(x)
    biased = (bits + (_ONE - _LOW_HALF)) >> _EXPONENT_BITS
    m = _float_of(bits - (biased << _EXPONENT_BITS) + _ONE)
    exponent = _float_of(biased | _WHOLE) - _WHOLE_AND_BIAS
    z = (m - 1.0) / (m + 1.0)
    w = z * z
    series = 1 / 17 + w * (1 / 19)
    series = 1 / 15 + w * series
    series = 1 / 13 + w * series
    series = 1 / 11 + w * series
    series = 1 / 9 + w * series
    series = 1 / 7 + w * series
    series = 1 / 5 + w * series
    series = 1 / 3 + w * series
    t = p * (exponent + _LOG2_E * (2.0 * z + 2.0 * z * w * series))
    # 2^t = 2^whole 2^rest with |rest| <= 1/2; the exponents at the ends give 0 and infinity.
    t = min(max(t, -1023.0), 1024.0)
    shifted = t + _TO_WHOLE
    rest = (t - (shifted - _TO_WHOLE)) * _LN_2
    e = 1 / 39916800 + rest * (1 / 479001600)
    e = 1 / 3628800 + rest * e
    e = 1 / 362880 + rest * e
    e = 1 / 40320 + rest * e
    e = 1 / 5040 + rest * e
    e = 1 / 720 + rest * e
    e = 1 / 120 + rest * e
    e = 1 / 24 + rest * e
    e = 1 / 6 + rest * e
    e = 0.5 + rest * e
    e = 1.0 + rest * (1.0 + rest * e)
    result = _float_of(_bits_of(e) + (_bits_of(shifted) << _EXPONENT_BITS))
    return result if x >= _SMALLEST else 0.0


if config.DISABLE_JIT:

    def _bits_of(x):
        """Return the bits of a float64 as an int64."""
        return np.float64(x).view(np.int64)

    def _float_of(bits):
        """Return the float64 of these bits."""
        return np.int64(bits).view(np.float64)

else:

    @intrinsic
    def _bits_of(typing_context, x):
        """Return the bits of a float64 as an int64."""
        return types.int64(types.float64), lambda context, builder, signature, arguments: builder.bitcast(
            arguments[0], ir.IntType(64)
        )

    @intrinsic
    def _float_of(typing_context, bits):
        """Return the float64 of these bits."""
        return types.float64(types.int64), lambda context, builder, signature, arguments: builder.bitcast(
            arguments[0], ir.DoubleType()
        )

"""Moments of groups of rows, and squared distances from rows to centers.

A row is seen through its own shift and scale, ``z = (x - shift) * scale``; nothing of it is stored. For a
group of rows with mean ``mu`` and mean squared distance to it ``var``, the mean squared distance from a
point z to the group's members is

    mean |z - y|^2 = |z - mu|^2 + var.

Digits: ``mu`` rounded to one vector would be off by ``eps |mu|``, an error that enters linearly. It is kept as
two, ``mu = origin + offset`` with ``offset = mean(y - origin)``, and ``z - mu`` is ``(z - origin) - offset``, whose
error is relative to the extent of the data, however far from zero they lie. That takes four operations an
entry, so it is done only where a value is reported. Which center is nearest is screened by the dot-product
form, one operation an entry, with a bound on its rounding: every center that might be nearest is then
computed from differences.

``reassoc`` is not allowed where differences are formed: ``(z - origin) - offset`` must not become
``z - (origin + offset)``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastsil.kernels.caching import jit
from fastsil.kernels.weights import take_weight, weigh

_FLAGS = {"fastmath": {"contract", "reassoc"}}
_FLAGS_DIFFERENCE = {**_FLAGS, "fastmath": {"contract"}}

# Sums of squares outside this range have lost digits to underflow or are about to overflow.
_SMALL_SQUARES = 1e-250
_LARGE_SQUARES = 1e250

# Bytes of packed rows that are multiplied at a time: they stay in a second-level cache of 1 MiB
# while the centers pass by.
_PACKED_BYTES = 1 << 19


class ShiftedRows(NamedTuple):
    """Rows as they are stored, and the shift and scale through which they are seen.

    Fields: ``X`` (n_rows, n_features) float32 or float64; ``shift`` (n_rows,); ``scale`` (n_rows,), 0 for a row
    without a direction.
    """

    X: np.ndarray
    shift: np.ndarray
    scale: np.ndarray


class Centers(NamedTuple):
    """Groups of rows: their means as two vectors, and how a squared distance becomes a reported value.

    Fields: ``origins`` and ``offsets`` (n_centers, n_features); ``weights`` and ``constants`` (n_centers,): the value
    of a row for a center is ``weight * |z - mu|^2 + constant``; ``own_factors`` (n_centers,): multiplies it for the
    center of the row's own group.
    """

    origins: np.ndarray
    offsets: np.ndarray
    weights: np.ndarray
    constants: np.ndarray
    own_factors: np.ndarray


class Screen(NamedTuple):
    """Centers for dot products, padded to a multiple of 4.

    Fields: ``origin`` (n_features,), subtracted from all; ``centers`` (n_padded, n_features); ``squares`` (n_padded,),
    their squared lengths; ``weights`` and ``constants`` (n_padded,) as in Centers. Padding is zero, and
    its bounds are not read.
    """

    origin: np.ndarray
    centers: np.ndarray
    squares: np.ndarray
    weights: np.ndarray
    constants: np.ndarray


class Nearest(NamedTuple):
    """Arrays for results, an entry a row.

    Fields: ``a`` (n_rows,) value for the row's own group; ``b`` (n_rows,) the smallest value for another group;
    ``neighbor`` (n_rows,) int32, the group that gives it, the first of those that tie.
    """

    a: np.ndarray
    b: np.ndarray
    neighbor: np.ndarray


@jit(**_FLAGS)
def measure_lengths(
    X,  # IN (n_rows, n_features)
    members,  # IN (n_members,) rows to look at
    scale,  # OUT (n_rows,) 1 / length at members, 0 for a row of zeros
):
    """Compute the factors that bring rows to length 1."""
    for i in members:
        squares = 0.0
        for j in range(X.shape[1]):
            x = np.float64(X[i, j])
            squares += x * x
        if _SMALL_SQUARES < squares < _LARGE_SQUARES:
            scale[i] = 1.0 / np.sqrt(squares)
        else:
            scale[i] = _careful_inverse_length(X[i], 0.0)


@jit(**_FLAGS)
def measure_spreads(
    X,  # IN (n_rows, n_features)
    members,  # IN (n_members,) rows to look at
    shift,  # OUT (n_rows,) mean over features at members
    scale,  # OUT (n_rows,) 1 / length of x - shift at members, 0 for a row whose entries are all equal
):
    """Compute the shifts and factors that bring rows to mean 0 and length 1."""
    n_features = X.shape[1]
    for i in members:
        # Relative to its first entry a constant row is exactly 0, whatever the rounding of its mean.
        first = np.float64(X[i, 0])
        total = 0.0
        for j in range(n_features):
            total += _difference(X[i, j], first, 1.0, 0.0)
        shift[i] = first + total / n_features
        squares = 0.0
        n_different = 0
        for j in range(n_features):
            n_different += X[i, j] != X[i, 0]
            centered = _difference(X[i, j], shift[i], 1.0, 0.0)
            squares += centered * centered
        if n_different == 0:
            scale[i] = 0.0
        elif _SMALL_SQUARES < squares < _LARGE_SQUARES:
            scale[i] = 1.0 / np.sqrt(squares)
        else:
            scale[i] = _careful_inverse_length(X[i], shift[i])


@jit(**_FLAGS)
def sum_offsets_pieces(
    rows,  # IN ShiftedRows
    order,  # IN (n_members,) rows, piece by piece
    weights,  # IN (n_members,) of these, or None
    bounds,  # IN (n_pieces + 1,) where each piece begins in order
    groups,  # IN (n_pieces,) group of each piece
    origins,  # IN (n_groups, n_features)
    totals,  # OUT (n_pieces, n_features) sum of z - origin over the piece
    squares,  # OUT (n_pieces,) sum of |z - origin|^2 over the piece
):
    """Sum first and second moments of pieces of groups, relative to each group's origin, without rows of scale 0."""
    for piece in range(len(groups)):
        totals[piece] = 0.0
        squares[piece] = 0.0
        for position in range(bounds[piece], bounds[piece + 1]):
            i = order[position]
            if rows.scale[i] != 0.0:
                shift, scale, weight = rows.shift[i], rows.scale[i], take_weight(weights, position)
                squares[piece] += _add_offset(rows.X[i], shift, scale, origins[groups[piece]], weight, totals[piece])


@jit(**_FLAGS)
def find_nearest_rows(
    rows,  # IN ShiftedRows
    groups,  # IN (n_rows,) own group of every row
    centers,  # IN Centers
    screen,  # IN Screen
    nearest,  # OUT Nearest
    stop,  # IN (1,) not 0: leave early
):
    """Find the value of every row for its own group, and the smallest for another one."""
    n_rows, n_features = rows.X.shape
    n_block = min(max(_PACKED_BYTES // (32 * n_features) * 4, 4), 64)
    packed = np.zeros((n_block, n_features))
    lengths = np.zeros(n_block)
    products = np.empty((n_block, len(screen.centers)))
    for first in range(0, n_rows, n_block):
        if stop[0] != 0:
            return
        last = min(first + n_block, n_rows)
        pack_rows(rows, first, last, screen.origin, packed, lengths)
        multiply_rows(packed, screen.centers, products)
        choose_nearest(rows, first, groups[first:last], centers, screen, products, lengths, nearest)


@jit(**_FLAGS)
def pack_rows(
    rows,  # IN ShiftedRows
    first,  # IN first row of the block
    last,  # IN row after its last one
    origin,  # IN (n_features,)
    packed,  # OUT (n_block, n_features) z - origin; rows beyond the block stay
    lengths,  # OUT (n_block,) its squared length
):
    """Write a block of rows relative to one origin."""
    for i in range(first, last):
        target = packed[i - first]
        total = 0.0
        for j in range(len(origin)):
            entry = _difference(rows.X[i, j], rows.shift[i], rows.scale[i], origin[j])
            target[j] = entry
            total += entry * entry
        lengths[i - first] = total


@jit(**_FLAGS)
def multiply_rows(
    packed,  # IN (n_block, n_features), n_block a multiple of 4
    centers,  # IN (n_padded, n_features), n_padded a multiple of 4
    products,  # OUT (n_block, n_padded)
):
    """Multiply every row with every center.

    Sixteen sums at once, along the features: they stay in registers, and eight loads feed sixteen
    multiply-adds. Measured in float64 with AVX-512, one core: 100-120 GFLOP/s, where strips of centers that lie
    feature-major reach 53.
    """
    for c in range(0, len(centers), 4):
        y0, y1, y2, y3 = centers[c], centers[c + 1], centers[c + 2], centers[c + 3]
        for r in range(0, len(packed), 4):
            x0, x1, x2, x3 = packed[r], packed[r + 1], packed[r + 2], packed[r + 3]
            s00, s01, s02, s03 = 0.0, 0.0, 0.0, 0.0
            s10, s11, s12, s13 = 0.0, 0.0, 0.0, 0.0
            s20, s21, s22, s23 = 0.0, 0.0, 0.0, 0.0
            s30, s31, s32, s33 = 0.0, 0.0, 0.0, 0.0
            for j in range(packed.shape[1]):
                u0, u1, u2, u3 = x0[j], x1[j], x2[j], x3[j]
                v0, v1, v2, v3 = y0[j], y1[j], y2[j], y3[j]
                s00, s01, s02, s03 = s00 + u0 * v0, s01 + u0 * v1, s02 + u0 * v2, s03 + u0 * v3
                s10, s11, s12, s13 = s10 + u1 * v0, s11 + u1 * v1, s12 + u1 * v2, s13 + u1 * v3
                s20, s21, s22, s23 = s20 + u2 * v0, s21 + u2 * v1, s22 + u2 * v2, s23 + u2 * v3
                s30, s31, s32, s33 = s30 + u3 * v0, s31 + u3 * v1, s32 + u3 * v2, s33 + u3 * v3
            _store4(products[r], c, s00, s01, s02, s03)
            _store4(products[r + 1], c, s10, s11, s12, s13)
            _store4(products[r + 2], c, s20, s21, s22, s23)
            _store4(products[r + 3], c, s30, s31, s32, s33)


@jit(**_FLAGS)
def bound_values(
    products,  # IN (n_padded,) dot products of a row with all centers
    length,  # IN squared length of the row
    screen,  # IN Screen
    bounds,  # OUT (2, n_padded) what the row's values are not below, and not above
):
    """Turn dot products into bounds of values.

    A dot product of d terms in floating point is off by at most ``d eps / 2`` times the lengths' product,
    whatever the order of its sum; twice that covers the squared lengths, a few more the steps after it.
    """
    slack = 2.3e-16 * (len(screen.origin) + 16)
    for c in range(len(products)):
        size = length + screen.squares[c]
        value = screen.weights[c] * (size - 2.0 * products[c]) + screen.constants[c]
        doubt = slack * (screen.weights[c] * size + screen.constants[c])
        bounds[0, c] = value - doubt
        bounds[1, c] = value + doubt


@jit(**_FLAGS)
def choose_nearest(
    rows,  # IN ShiftedRows
    first,  # IN first row of the block
    groups,  # IN (n_block,) own group of every row of the block
    centers,  # IN Centers
    screen,  # IN Screen
    products,  # IN (at least n_block, n_padded) dot products
    lengths,  # IN (at least n_block,) squared lengths
    nearest,  # OUT Nearest, entries of the block
):
    """Find the values of a block of rows, from differences to all centers that bounds cannot exclude."""
    X, origins, offsets = rows.X, centers.origins, centers.offsets
    bounds = np.empty((2, products.shape[1]))
    for r in range(len(groups)):
        i, own = first + r, groups[r]
        shift, scale = rows.shift[i], rows.scale[i]
        bound_values(products[r], lengths[r], screen, bounds)
        limit = np.inf
        for c in range(len(origins)):
            upper = bounds[1, c] if c != own else np.inf
            limit = upper if upper < limit else limit
        best = np.inf
        neighbor = -1
        for c in range(len(origins)):
            # "not above" also lets a value through that is not a number.
            if c == own or not bounds[0, c] > limit:
                square = _squared_distance(X[i], shift, scale, origins[c], offsets[c])
                value = centers.weights[c] * square + centers.constants[c]
                if c == own:
                    nearest.a[i] = value * centers.own_factors[c]
                elif neighbor < 0 or value < best:
                    best = value
                    neighbor = c
        nearest.b[i] = best
        nearest.neighbor[i] = neighbor


@jit(**_FLAGS)
def _squared_distance(row, shift, scale, origin, offset):
    total = 0.0
    for j in range(len(origin)):
        entry = _difference(_difference(row[j], shift, scale, origin[j]), offset[j], 1.0, 0.0)
        total += entry * entry
    return total


@jit(**_FLAGS)
def _add_offset(row, shift, scale, origin, weight, total):
    squares = 0.0
    for j in range(len(origin)):
        entry = _difference(row[j], shift, scale, origin[j])
        total[j] += weigh(entry, weight)
        squares += entry * entry
    return weigh(squares, weight)


@jit(**_FLAGS_DIFFERENCE)
def _difference(x, shift, scale, origin):
    return (np.float64(x) - shift) * scale - origin


@jit(**_FLAGS)
def _careful_inverse_length(row, shift):
    """Return 1 / length of ``row - shift`` where squares overflow or vanish; 0 if the length is 0."""
    largest = 0.0
    for j in range(len(row)):
        largest = max(largest, abs(np.float64(row[j]) - shift))
    if largest == 0.0 or not np.isfinite(1.0 / largest):
        return 0.0
    squares = 0.0
    for j in range(len(row)):
        entry = (np.float64(row[j]) - shift) / largest
        squares += entry * entry
    return 1.0 / largest / np.sqrt(squares)


@jit(**_FLAGS)
def _store4(target, c, s0, s1, s2, s3):
    target[c] = s0
    target[c + 1] = s1
    target[c + 2] = s2
    target[c + 3] = s3

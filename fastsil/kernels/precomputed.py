"""Sums of given distances from every sample to every group, in the order in which the distances lie in memory.

Each sum is taken over the members of a group one after the other, whatever the layout: a matrix gives the same bits in
C order, in Fortran order and, where entries that are not stored are 0, as CSR.

Sums are arrays of shape (n_groups, n_rows): samples side by side, the order for vector instructions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from fastsil.kernels.caching import jit
from fastsil.kernels.weights import take_weight, weigh

_FLAGS = {"fastmath": {"contract"}}

# Rows (and columns) of a square that is transposed in registers.
ROWS = 8


class Members(NamedTuple):
    """Columns sorted by group."""

    order: NDArray[np.intp]  # (n_samples,) columns
    offsets: NDArray[np.intp]  # (n_groups + 1,) where those of each group begin
    weights: NDArray[np.float64] | None  # (n_samples,) by column


@jit(**_FLAGS)
def sum_rows(
    distances,  # IN (n_rows, n_samples) C order, any integers or floats
    groups,  # IN (n_samples,) int32, group of every column
    weights,  # IN (n_samples,) of the columns, or None
    sums,  # OUT (n_groups, n_rows) sum of each row over each group's columns
    lowest,  # OUT (ROWS,) smallest of the distances that are below what stands there, some in each entry
    stop,  # IN (1,) not 0: leave early
):
    """Sum rows of distances by group of the column, eight rows at a time."""
    n_rows, n_samples = distances.shape
    n_groups = len(sums)
    together = np.empty((n_groups, ROWS))
    whole = n_samples - n_samples % ROWS
    for first in range(0, n_rows - n_rows % ROWS, ROWS):
        if stop[0] != 0:
            return
        rows = distances[first : first + ROWS]
        for c in range(n_groups):
            for r in range(ROWS):
                together[c, r] = 0.0
        for j in range(0, whole, ROWS):
            if weights is None:
                _add_square(rows, j, groups, weights, together, lowest)
            else:
                _add_square_weighted(rows, j, groups, weights, together, lowest)
        for j in range(whole, n_samples):
            for r in range(ROWS):
                together[groups[j], r] += weigh(rows[r, j], take_weight(weights, j))
                lowest[0] = min(lowest[0], float(rows[r, j]))
        for c in range(n_groups):
            for r in range(ROWS):
                sums[c, first + r] = together[c, r]
    alone = np.empty(n_groups)
    for i in range(n_rows - n_rows % ROWS, n_rows):
        for c in range(n_groups):
            alone[c] = 0.0
        row = distances[i]
        for j in range(n_samples):
            alone[groups[j]] += weigh(row[j], take_weight(weights, j))
            lowest[0] = min(lowest[0], float(row[j]))
        for c in range(n_groups):
            sums[c, i] = alone[c]


@jit(fastmath=False)
def _add_square_weighted(rows, j, groups, weights, sums, lowest):
    """Add a square without flags, which would let products and sums round together, unlike those of other kernels."""
    _add_square(rows, j, groups, weights, sums, lowest)


@jit(**_FLAGS)
def sum_columns(
    columns,  # IN (n_samples, n_samples) C order: column j of the distances is row j
    first_row,  # IN first sample whose distances are summed
    members,  # IN Members
    sums,  # OUT (n_groups, n_rows) sum over each group's columns
    lowest,  # OUT (n_rows,) of the type of the distances: smallest of each row that is below what stands there
    stop,  # IN (1,) not 0: leave early
):
    """Sum a strip of rows, column by column of each group in turn, up to eight columns at a time."""
    last_row = first_row + sums.shape[1]
    order, offsets, weights = members.order, members.offsets, members.weights
    for c in range(len(sums)):
        total = sums[c]
        for i in range(len(total)):
            total[i] = 0.0
        place = offsets[c]
        while place + 8 <= offsets[c + 1]:
            if stop[0] != 0:
                return
            x0 = columns[order[place], first_row:last_row]
            x1 = columns[order[place + 1], first_row:last_row]
            x2 = columns[order[place + 2], first_row:last_row]
            x3 = columns[order[place + 3], first_row:last_row]
            x4 = columns[order[place + 4], first_row:last_row]
            x5 = columns[order[place + 5], first_row:last_row]
            x6 = columns[order[place + 6], first_row:last_row]
            x7 = columns[order[place + 7], first_row:last_row]
            for i in range(len(total)):
                low = min(min(min(x0[i], x1[i]), min(x2[i], x3[i])), min(min(x4[i], x5[i]), min(x6[i], x7[i])))
                lowest[i] = min(lowest[i], low)
            w0, w1 = take_weight(weights, order[place]), take_weight(weights, order[place + 1])
            w2, w3 = take_weight(weights, order[place + 2]), take_weight(weights, order[place + 3])
            w4, w5 = take_weight(weights, order[place + 4]), take_weight(weights, order[place + 5])
            w6, w7 = take_weight(weights, order[place + 6]), take_weight(weights, order[place + 7])
            for i in range(len(total)):
                # One after the other, as the other kernels add.
                four = total[i] + weigh(x0[i], w0) + weigh(x1[i], w1) + weigh(x2[i], w2) + weigh(x3[i], w3)
                total[i] = four + weigh(x4[i], w4) + weigh(x5[i], w5) + weigh(x6[i], w6) + weigh(x7[i], w7)
            place += 8
        if place + 4 <= offsets[c + 1]:
            x0 = columns[order[place], first_row:last_row]
            x1 = columns[order[place + 1], first_row:last_row]
            x2 = columns[order[place + 2], first_row:last_row]
            x3 = columns[order[place + 3], first_row:last_row]
            for i in range(len(total)):
                lowest[i] = min(lowest[i], min(min(x0[i], x1[i]), min(x2[i], x3[i])))
            w0, w1 = take_weight(weights, order[place]), take_weight(weights, order[place + 1])
            w2, w3 = take_weight(weights, order[place + 2]), take_weight(weights, order[place + 3])
            for i in range(len(total)):
                total[i] = total[i] + weigh(x0[i], w0) + weigh(x1[i], w1) + weigh(x2[i], w2) + weigh(x3[i], w3)
            place += 4
        while place < offsets[c + 1]:
            if stop[0] != 0:
                return
            x = columns[order[place], first_row:last_row]
            w = take_weight(weights, order[place])
            for i in range(len(total)):
                lowest[i] = min(lowest[i], x[i])
                total[i] += weigh(x[i], w)
            place += 1


@jit(**_FLAGS)
def sum_columns_many(
    columns,  # IN (n_samples, n_samples) C order: column j of the distances is row j
    first_row,  # IN first sample whose distances are summed
    slots,  # IN (n_samples, n_groupings) where in the sums the group of every column stands, for each grouping
    weights,  # IN (n_samples,) of the columns, or None
    sums,  # OUT (n_slots, n_rows) sum over each group's columns
    lowest,  # OUT (n_rows,) of the type of the distances: smallest of each row that is below what stands there
    stop,  # IN (1,) not 0: leave early
):
    """Sum a strip of rows for several groupings, column by column."""
    n_slots, n_rows = sums.shape
    for c in range(n_slots):
        for i in range(n_rows):
            sums[c, i] = 0.0
    for j in range(len(columns)):
        if stop[0] != 0:
            return
        x = columns[j, first_row : first_row + n_rows]
        for i in range(n_rows):
            lowest[i] = min(lowest[i], x[i])
        w = take_weight(weights, j)
        for g in range(slots.shape[1]):
            total = sums[slots[j, g]]
            for i in range(n_rows):
                total[i] += weigh(x[i], w)


@jit(**_FLAGS)
def sum_rows_sparse(
    stored,  # IN data, indices and indptr of a CSR matrix: distances, any integers or floats
    first_row,  # IN first row that is summed
    groups,  # IN (n_samples,) group of every column
    weights,  # IN (n_samples,) of the columns, or None
    sums,  # OUT (n_groups, n_rows) sum of the entries that each row stores in each group's columns
    lowest,  # OUT (1,) smallest of the distances, if below what stands there
    stop,  # IN (1,) not 0: leave early
):
    """Sum rows of a CSR matrix by group of the column; an entry stored twice counts twice."""
    data, indices, indptr = stored
    n_groups, n_rows = sums.shape
    for i in range(n_rows):
        if stop[0] != 0:
            return
        for c in range(n_groups):
            sums[c, i] = 0.0
        for at in range(indptr[first_row + i], indptr[first_row + i + 1]):
            sums[groups[indices[at]], i] += weigh(data[at], take_weight(weights, indices[at]))
            lowest[0] = min(lowest[0], float(data[at]))


def _emit_add_square(builder, widened, stride, rows, groups, weights, sums, lowest):
    """Emit sums[groups[j]] += column j of a square of distances in LLVM, and the smallest of each column's lane.

    Interleaving the upper half of the vectors with the lower half, three times, transposes the square: a third of the
    instructions that eight scalar sums take.
    """
    word, lane, double = ir.IntType(64), ir.IntType(32), ir.DoubleType()
    vector = ir.VectorType(double, ROWS)

    def vector_at(pointer):
        return builder.bitcast(pointer, vector.as_pointer())

    def load(pointer):
        loaded = builder.load(vector_at(pointer))
        loaded.align = 8
        return loaded

    def store(value, pointer):
        builder.store(value, vector_at(pointer)).align = 8

    def interleave(a, b, first):
        picks = [first + k // 2 + (ROWS if k % 2 else 0) for k in range(ROWS)]
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(lane, ROWS), picks))

    square = [widened(builder.gep(rows, [builder.mul(stride, word(r))])) for r in range(ROWS)]
    low = load(lowest)
    for row in square:
        low = builder.select(builder.fcmp_ordered("<", row, low), row, low)
    store(low, lowest)
    half = ROWS // 2
    for _ in range(ROWS.bit_length() - 1):
        square = [interleave(square[k // 2], square[k // 2 + half], k % 2 * half) for k in range(ROWS)]
    for j, column in enumerate(square):
        group = builder.sext(builder.load(builder.gep(groups, [word(j)])), word)
        target = builder.gep(sums, [builder.mul(group, word(ROWS))])
        if weights is not None:
            weight = builder.load(builder.gep(weights, [word(j)]))
            first = builder.insert_element(ir.Constant(vector, ir.Undefined), weight, lane(0))
            everywhere = ir.Constant(ir.VectorType(lane, ROWS), [0] * ROWS)
            column = builder.fmul(column, builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), everywhere))
        store(builder.fadd(load(target), column), target)


if config.DISABLE_JIT:

    def _add_square(rows, j, groups, weights, sums, lowest):
        """Add a square in NumPy, for runs without compilation."""
        square = rows[:, j : j + ROWS].astype(np.float64)
        for k in range(ROWS):
            sums[groups[j + k]] += weigh(square[:, k], take_weight(weights, j + k))
        lowest[:] = np.fmin(lowest, np.fmin.reduce(square))

else:

    def _widened(builder, element, kind, pointer):
        """Emit a vector of distances of any type as float64 in LLVM."""
        loaded = builder.load(builder.bitcast(pointer, ir.VectorType(element, ROWS).as_pointer()))
        loaded.align = kind.bitwidth // 8
        vector = ir.VectorType(ir.DoubleType(), ROWS)
        if isinstance(kind, types.Float):
            return loaded if kind.bitwidth == 64 else builder.fpext(loaded, vector)
        return builder.sitofp(loaded, vector) if kind.signed else builder.uitofp(loaded, vector)

    @intrinsic
    def _add_square(typing_context, rows, j, groups, weights, sums, lowest):
        """Add columns j and following of eight rows to the sums of their groups."""
        signature = types.void(rows, types.intp, groups, weights, sums, lowest)

        def generate(context, builder, signature, arguments):
            kinds = signature.args
            element = context.get_data_type(kinds[0].dtype)

            def array(place):
                return context.make_array(kinds[place])(context, builder, arguments[place])

            _emit_add_square(
                builder,
                lambda pointer: _widened(builder, element, kinds[0].dtype, pointer),
                builder.extract_value(array(0).shape, 1),
                builder.gep(array(0).data, [arguments[1]]),
                builder.gep(array(2).data, [arguments[1]]),
                None if kinds[3] == types.none else builder.gep(array(3).data, [arguments[1]]),
                array(4).data,
                array(5).data,
            )
            return context.get_dummy_value()

        return signature, generate

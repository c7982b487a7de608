"""Sums of Euclidean distances over tiles: the innermost loop of the library.

Tiles (:mod:`fastsil.kernels.tiles`) are summed along their rows, along their columns, or both. Where samples have
weights, a distance counts as often as the sample that it leads to, and a squared product as often as the product of
both weights says.
"""

import numpy as np

from fastsil.kernels.caching import jit
from fastsil.kernels.micro import COLUMNS, MICRO_VECTORS, ROWS, transpose
from fastsil.kernels.tiles import (
    APART,
    DIRECT_FEATURES,
    Side,
    finish_tile,
    multiply_sides,
    multiply_tile,
    padded,
)
from fastsil.kernels.weights import take_weight, take_weights, weigh

_FLAGS = {"fastmath": {"contract", "reassoc", "nsz"}}


@jit(**_FLAGS)
def add_distances_within(
    samples,  # IN Samples
    tasks,  # IN (n_tasks, 3): start, stop in the order; origin
    workspace,  # WORK Workspace
    sums,  # OUT (n_slots, n_samples) by position in the order; slot 0 is added to
    squares,  # OUT (n_tasks,) sum over all ordered pairs of (x·y)², from the origin; 0 with few features
    stop,  # IN (1,) not 0: leave early
):
    """Add, for each member of a range of samples, its distances to all members of the range.

    Each pair is computed once and added on both sides.
    """
    order = samples.order
    for t in range(tasks.shape[0]):
        start, end, origin = tasks[t, 0], tasks[t, 1], tasks[t, 2]
        squares[t] = 0.0
        for r in range(start, end, ROWS):
            rows = order[r : min(r + ROWS, end)]
            for c in range(r, end, COLUMNS):
                if stop[0]:
                    return
                columns = order[c : min(c + COLUMNS, end)]
                # Rows up to the end of these columns; those before the columns count on both sides.
                n_rows = min(len(rows), c - r + COLUMNS)
                n_before = min(c - r, n_rows)
                multiply_tile(samples, rows, n_rows, columns, origin, c > r, workspace)
                of_rows, of_columns = take_weights(samples.weights, r), take_weights(samples.weights, c)
                if samples.X.shape[1] > DIRECT_FEATURES:
                    squares[t] += 2.0 * _sum_squares(workspace.tile, 0, n_before, len(columns), of_rows, of_columns)
                    squares[t] += _sum_squares(workspace.tile, n_before, n_rows, len(columns), of_rows, of_columns)
                finish_tile(samples, rows, n_rows, columns, c - r, False, workspace)
                _add_rows(workspace.tile, n_rows, len(columns), of_columns, sums[0, r:])
                _add_columns(workspace.tile, n_before, len(columns), of_rows, sums[0, c:])


@jit(**_FLAGS)
def add_distances_between(
    samples,  # IN Samples
    tasks,  # IN (n_tasks, 7): start, stop of the rows, of the columns; origin; slot for rows, for columns
    workspace,  # WORK Workspace
    sums,  # OUT (n_slots, n_samples) by position in the order, added to
    squares,  # OUT (n_tasks,) sum over both orders of each pair of (x·y)², from the origin; 0 with few features
    stop,  # IN (1,) not 0: leave early
):
    """Add the distances between two ranges of samples, for the members of either."""
    order = samples.order
    for t in range(tasks.shape[0]):
        squares[t] = 0.0
        for r in range(tasks[t, 0], tasks[t, 1], ROWS):
            rows = order[r : min(r + ROWS, tasks[t, 1])]
            for c in range(tasks[t, 2], tasks[t, 3], COLUMNS):
                if stop[0]:
                    return
                columns = order[c : min(c + COLUMNS, tasks[t, 3])]
                multiply_tile(samples, rows, len(rows), columns, tasks[t, 4], c > tasks[t, 2], workspace)
                of_rows, of_columns = take_weights(samples.weights, r), take_weights(samples.weights, c)
                if samples.X.shape[1] > DIRECT_FEATURES:
                    squares[t] += 2.0 * _sum_squares(workspace.tile, 0, len(rows), len(columns), of_rows, of_columns)
                finish_tile(samples, rows, len(rows), columns, APART, False, workspace)
                _add_rows(workspace.tile, len(rows), len(columns), of_columns, sums[tasks[t, 5], r:])
                _add_columns(workspace.tile, len(rows), len(columns), of_rows, sums[tasks[t, 6], c:])


@jit(**_FLAGS)
def add_distances_to(
    samples,  # IN Samples
    rows,  # IN (n_rows,) samples
    tasks,  # IN (n_tasks, 5): start, stop in rows; start, stop of the columns in the order; origin
    workspace,  # WORK Workspace
    sums,  # OUT (n_rows,) added to
    stop,  # IN (1,) not 0: leave early
):
    """Add the distances from listed samples to a range of samples that has none of them."""
    for t in range(tasks.shape[0]):
        for r in range(tasks[t, 0], tasks[t, 1], ROWS):
            block = rows[r : min(r + ROWS, tasks[t, 1])]
            for c in range(tasks[t, 2], tasks[t, 3], COLUMNS):
                if stop[0]:
                    return
                columns = samples.order[c : min(c + COLUMNS, tasks[t, 3])]
                multiply_tile(samples, block, len(block), columns, tasks[t, 4], c > tasks[t, 2], workspace)
                finish_tile(samples, block, len(block), columns, APART, False, workspace)
                _add_rows(workspace.tile, len(block), len(columns), take_weights(samples.weights, c), sums[r:])


@jit(**_FLAGS)
def add_distances_by_groups(
    samples,  # IN Samples
    tasks,  # IN (n_tasks, 6): start, stop of the rows, of the columns; origin; whether it is that of several clusters.
    # Ranges are equal or disjoint
    cells,  # IN (n_samples,) by position in the order; neighbors with equal cells have equal slots; rising in a range
    slots,  # IN (n_samples, n_groupings) by position: slot of the sample's group in each grouping
    workspace,  # WORK Workspace
    row_sums,  # OUT (n_slots, n_samples) by position, added to for the rows
    column_sums,  # OUT of the same shape, or the same, for the columns
    stop,  # IN (1,) not 0: leave early
):
    """Add the distances between two ranges of samples, by the groups of several groupings at once.

    Each pair is computed once: for a member of either range, its distance to a member of the other is added to the
    slot of the other's group in every grouping. Sums over a run of equal cells are taken first.
    """
    tile = workspace.tile
    width = MICRO_VECTORS * workspace.strip.shape[0]
    turned = np.empty(COLUMNS * width, tile.dtype)
    total = np.empty(width)
    of_rows = np.empty(ROWS)
    for t in range(tasks.shape[0]):
        within = tasks[t, 0] == tasks[t, 2]
        for r in range(tasks[t, 0], tasks[t, 1], ROWS):
            rows = samples.order[r : min(r + ROWS, tasks[t, 1])]
            first = r if within else tasks[t, 2]
            for c in range(first, tasks[t, 3], COLUMNS):
                if stop[0]:
                    return
                columns = samples.order[c : min(c + COLUMNS, tasks[t, 3])]
                n_columns = len(columns)
                # As in add_distances_within: rows up to the end of these columns; those before count on both sides.
                n_rows = min(len(rows), c - r + COLUMNS) if within else len(rows)
                n_before = min(c - r, n_rows) if within else n_rows
                multiply_tile(samples, rows, n_rows, columns, tasks[t, 4], c > first, workspace)
                finish_tile(samples, rows, n_rows, columns, c - r if within else APART, tasks[t, 5] != 0, workspace)
                weights_of_rows, weights_of_columns = take_weights(samples.weights, r), take_weights(samples.weights, c)
                if cells[c] == cells[c + n_columns - 1]:
                    for i in range(n_rows):
                        of_rows[i] = 0.0
                    _add_rows(tile, n_rows, n_columns, weights_of_columns, of_rows)
                    _add_to_slots(of_rows, slots[c], row_sums[:, r : r + n_rows])
                else:
                    for i in range(0, n_rows, width):
                        _turn_rows(tile, i, n_columns, turned)
                        used = min(width, n_rows - i)
                        part = row_sums[:, r + i : r + i + used]
                        _add_runs(turned, width, n_columns, cells[c:], slots[c:], weights_of_columns, total, part)
                flat = tile.reshape(ROWS * COLUMNS)
                for j in range(0, n_columns, width):
                    used = min(width, n_columns - j)
                    part = column_sums[:, c + j : c + j + used]
                    _add_runs(flat[j:], COLUMNS, n_before, cells[r:], slots[r:], weights_of_rows, total, part)


@jit(**_FLAGS)
def fill_squares_to_centers(
    samples,  # IN Samples
    rows,  # IN (<= ROWS,) samples
    centers,  # IN (n_clusters, n_features) float64, scaled
    vectors,  # IN (n_vectors, n_features), of length 1 or 0
    origin,  # IN row of samples.origins, near the middle of the data
    workspace,  # WORK Workspace
    block,  # OUT squares: (n_rows, n_clusters) |x - center|², off by rounding of |x - origin|² + |center - origin|²;
    # norms: (n_rows,) |x - origin|²; components: (n_rows, n_vectors) (x - origin)·vector
):
    """Compute squared distances from a block of samples to all centers, and components along vectors, by products."""
    middle = samples.origins[origin]
    tile = workspace.tile
    one, two = tile.dtype.type(1.0), tile.dtype.type(2.0)
    left = Side(samples.X, rows, middle, samples.scale)
    for c in range(0, centers.shape[0], COLUMNS):
        columns = np.arange(c, min(c + COLUMNS, centers.shape[0]))
        multiply_sides(left, Side(centers, columns, middle, one), len(rows), c > 0, workspace)
        for i in range(len(rows)):
            for j in range(len(columns)):
                block.squares[i, c + j] = workspace.row_norms[i] + workspace.column_norms[j] - two * tile[i, j]
    for i in range(len(rows)):
        block.norms[i] = workspace.row_norms[i]
    zero = np.zeros(vectors.shape[1], tile.dtype)
    for v in range(0, vectors.shape[0], COLUMNS):
        columns = np.arange(v, min(v + COLUMNS, vectors.shape[0]))
        multiply_sides(left, Side(vectors, columns, zero, one), len(rows), True, workspace)
        for i in range(len(rows)):
            for j in range(len(columns)):
                block.components[i, v + j] = tile[i, j]


@jit(**_FLAGS)
def fill_components(
    samples,  # IN Samples
    rows,  # IN (<= ROWS,) samples
    center,  # IN (n_features,) float64, scaled
    vectors,  # IN (<= COLUMNS, n_features)
    workspace,  # WORK Workspace
    components,  # OUT (n_rows, n_vectors) u·v for u = x - center
    squares,  # OUT (n_rows,) |u|²
):
    """Compute the components of a block of samples, relative to a center, along some vectors."""
    tile = workspace.tile
    n_vectors = vectors.shape[0]
    right = Side(vectors, np.arange(n_vectors), np.zeros(vectors.shape[1], tile.dtype), tile.dtype.type(1.0))
    multiply_sides(Side(samples.X, rows, center, samples.scale), right, len(rows), False, workspace)
    for i in range(len(rows)):
        squares[i] = workspace.row_norms[i]
        for v in range(n_vectors):
            components[i, v] = tile[i, v]


@jit(**_FLAGS)
def _sum_squares(
    tile,  # IN (ROWS, COLUMNS)
    start,  # IN first row
    end,  # IN one past the last row
    n_columns,  # IN scalar
    of_rows,  # IN (>= end,) weights, or None
    of_columns,  # IN (>= n_columns,) weights, or None
):
    """Sum of the squared entries of some rows of a tile."""
    if of_rows is None:
        total = 0.0
        for i in range(start, end):
            for j in range(n_columns):
                total += np.float64(tile[i, j]) * np.float64(tile[i, j])
        return total
    total = 0.0
    for i in range(start, end):
        of_row = 0.0
        for j in range(n_columns):
            of_row += of_columns[j] * (np.float64(tile[i, j]) * np.float64(tile[i, j]))
        total += of_rows[i] * of_row
    return total


@jit(**_FLAGS)
def _add_rows(
    tile,  # IN (ROWS, COLUMNS)
    n_rows,  # IN scalar
    n_columns,  # IN scalar
    weights,  # IN (>= n_columns,) of the columns, or None
    sums,  # OUT (>= n_rows,) added to, float64
):
    """Add the sum of each row of a tile."""
    for i in range(n_rows):
        total = 0.0
        for j in range(n_columns):
            total += weigh(np.float64(tile[i, j]), take_weight(weights, j))
        sums[i] += total


@jit(**_FLAGS)
def _add_columns(
    tile,  # IN (ROWS, COLUMNS)
    n_rows,  # IN scalar
    n_columns,  # IN scalar
    weights,  # IN (>= n_rows,) of the rows, or None
    sums,  # OUT (>= n_columns,) added to, float64
):
    """Add the sum of each column of a tile."""
    for i in range(n_rows):
        weight = take_weight(weights, i)
        for j in range(n_columns):
            sums[j] += weigh(np.float64(tile[i, j]), weight)


@jit(**_FLAGS)
def _add_runs(
    strips,  # IN flat; strip i begins at i * stride
    stride,  # IN scalar
    n_strips,  # IN scalar
    cells,  # IN (>= n_strips,)
    slots,  # IN (>= n_strips, n_groupings)
    weights,  # IN (>= n_strips,) or None
    total,  # WORK (width of a strip,) float64
    sums,  # OUT (n_slots, <= width) added to, float64
):
    """Sum the strips of each run of equal cells, and add the sum to the slots of the run."""
    width = total.shape[0]
    i = 0
    while i < n_strips:
        cell, first = cells[i], i
        for k in range(width):
            total[k] = 0.0
        while i < n_strips and cells[i] == cell:
            strip = strips[i * stride : i * stride + width]
            weight = take_weight(weights, i)
            for k in range(width):
                total[k] += weigh(np.float64(strip[k]), weight)
            i += 1
        _add_to_slots(total, slots[first], sums)


@jit(**_FLAGS)
def _add_to_slots(
    total,  # IN (>= width,)
    slots,  # IN (n_groupings,)
    sums,  # OUT (n_slots, width) added to
):
    """Add some sums to the slot of every grouping."""
    for grouping in range(slots.shape[0]):
        target = sums[slots[grouping]]
        for k in range(sums.shape[1]):
            target[k] += total[k]


@jit(**_FLAGS)
def _turn_rows(
    tile,  # IN (ROWS, COLUMNS)
    first,  # IN first of the rows, as many as a micro block has columns
    n_columns,  # IN scalar
    turned,  # OUT flat; the rows' entries of a column stand side by side, column by column
):
    """Transpose some rows of a tile."""
    lanes = len(turned) // (COLUMNS * MICRO_VECTORS)
    width = MICRO_VECTORS * lanes
    for half in range(0, width, lanes):
        block = tile[first + half : first + half + lanes]
        for f in range(0, padded(n_columns, lanes), lanes):
            transpose(block, f, turned, f * width + half)

"""Sums of Euclidean distances over tiles: the innermost loop of the library.

A tile is a block of up to ``ROWS`` samples against up to ``COLUMNS`` samples. Its distances are computed in
three steps that never leave the cache: both sides are packed (gathered through the order of the partition, moved
to an origin, laid out for vectors), multiplied, and turned into distances,

    |x - y|² = |x|² + |y|² - 2 x·y,

which are summed along the rows, along the columns, or both.

Digits. The formula cancels where |x - y| is small compared with |x| and |y|. Three things keep the digits: the origin
is the center μ of the columns' (or the rows') cluster, so that |x - μ| is never more than the mean distance from
x to that cluster (Jensen's inequality) and errors are relative to the mean that is being computed; products are
summed over ``DEPTH`` features at a time; and a pair with |x - y|² < ``NEAR`` · (|x|² + |y|²) is computed again by
differences (from a larger share on where an origin serves several clusters, and Jensen's inequality says nothing).
With few features all pairs are computed by differences: there it is also faster.

Equal features would be summed in equal steps, all of which round the same way. So features are first turned in pairs,
each pair by an angle of its own, which no distance sees: steps differ, and roundings cancel as random ones do.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import binding, ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

# Loops, not slices, assign: the error that numba prepares for a slice of the wrong shape takes a second to compile.
# nogil: tiles run on a thread pool. Contraction gives fused multiply-add, reordering gives vector sums; NaN and
# infinity keep their meaning.
_FLAGS = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "nsz"}}


def _cpu_features():
    """Return the feature string of the CPU that numba compiles for."""
    if config.CPU_FEATURES is not None:
        return config.CPU_FEATURES
    if config.CPU_NAME not in (None, "host"):
        return ""
    return binding.get_host_cpu_features().flatten()


# The block of a tile that stays in vector registers: MICRO_ROWS samples against MICRO_VECTORS vectors of samples.
# With AVX-512: 24 of 32 registers of 64 bytes are sums. Else vectors of 32 bytes, 12 sums: that fits the 16 registers
# of AVX2 and, two registers a vector, the 32 of NEON. Measured with AVX-512 at depth 256: 260 GFLOP/s in float32 and
# 130 in float64 on a core whose OpenBLAS (SkylakeX kernels) reaches 245 and 105.
_WIDE = "+avx512f" in _cpu_features()
_VECTOR_BYTES = 64 if _WIDE else 32
_MICRO_ROWS = 12 if _WIDE else 6
_MICRO_VECTORS = 2

# A tile of ROWS x COLUMNS float64 is 590 KB: with one packed chunk it stays in a second-level cache of 1 MB. Both are
# multiples of every micro block.
ROWS = 384
COLUMNS = 192
# Features that are packed at a time: bounds the workspace (5.3 MB in float64) for any number of features.
SLAB = 1024
# Distance between rows in memory: constant, so that the micro kernel addresses all rows from one register, and not a
# power of two, which would put them all into one set of the first-level cache.
_ROW_STRIDE = SLAB + 16
# Vectors that are prefetched while as many are gathered, and bytes of a line of the cache. For rows that lie apart in
# 300 MB, float32, one thread, in GFLOP/s: d = 128 141 -> 163, d = 512 176 -> 197, d = 768 186 -> 195.
_AHEAD = 8
_LINE = 64
# Features summed in registers before they are added to the tile: a micro panel of 256 x 32 float32 fits the first-level
# cache, and a sum of 256 products loses less than one of thousands.
DEPTH = 256
# Up to this number of features, differences are faster than packing, multiplying and correcting. Nanoseconds a pair in
# float32 and float64: differences of 4 features 0.45 and 0.68, of 6 0.56 and 0.97; products of 6 0.48 and 0.62.
DIRECT_FEATURES = 4
# Relative rounding of a squared distance is that of a product over NEAR. In float64 the worst case of the latter,
# 6e-14, over 1e-3 leaves what is promised; in float32 typical rounding does, 3e-7.
NEAR_SINGLE = 0.04
NEAR_SINGLE_SHARED = 0.25
# Up to this number of features NEAR_SINGLE serves shared origins too (8.6e-7); with more pairs near, 8 features take
# 1.7 times as long.
_SHARED_ALIKE = 12
NEAR_DOUBLE = 1e-3
# Features from which on pairs of them are turned; fewer add less than 1e-6 of a product where all round the same way.
_TURNED_FEATURES = 64
# Its multiples, modulo 1, repeat as late as those of any number: angles of pairs.
_GOLDEN_RATIO = 0.6180339887498949


class Samples(NamedTuple):
    """The data that tiles are cut from."""

    X: np.ndarray  # (n_samples, n_features)
    order: np.ndarray  # (n_samples,) samples sorted by cluster
    origins: np.ndarray  # (n_origins, n_features), scaled, in the workspace's type
    scale: float  # X is multiplied by it, in the workspace's type; a power of two


class Side(NamedTuple):
    """One side of a tile: vectors that are read as ``data[i] * scale - center``."""

    data: np.ndarray  # (n_vectors, n_features)
    indices: np.ndarray  # (n_rows,) vectors of the tile
    center: np.ndarray  # (n_features,)
    scale: float


class Workspace(NamedTuple):
    """Memory of one thread; its type is the type that distances are computed in."""

    rows: np.ndarray  # (ROWS, _ROW_STRIDE) a chunk of features of each row
    strip: np.ndarray  # (lanes of a vector, slab) the same of a few columns, on the way to the panel
    panel: np.ndarray  # (COLUMNS * slab,) packed (block, feature, columns of a micro block)
    tile: np.ndarray  # (ROWS, COLUMNS)
    row_norms: np.ndarray  # (ROWS,) |x|²
    column_norms: np.ndarray  # (COLUMNS,) |y|²
    turns: np.ndarray  # (2, slab // 2) cosines and sines of the angles that pairs of features are turned by


def make_workspace(dtype, n_features):
    """Allocate the memory of one thread.

    Parameters
    ----------
    dtype : dtype
        float32 or float64: the type that distances are computed in.
    n_features : int
        Features of the data; a workspace for few of them is smaller.
    """
    lanes = _VECTOR_BYTES // np.dtype(dtype).itemsize
    slab = min(SLAB, -(-n_features // lanes) * lanes)
    angles = 2 * np.pi * (np.arange(slab // 2) * _GOLDEN_RATIO % 1.0)
    return Workspace(
        rows=np.empty((ROWS, _ROW_STRIDE), dtype),
        strip=np.empty((lanes, slab), dtype),
        panel=np.empty(COLUMNS * slab, dtype),
        tile=np.empty((ROWS, COLUMNS), dtype),
        row_norms=np.empty(ROWS, dtype),
        column_norms=np.empty(COLUMNS, dtype),
        turns=np.stack([np.cos(angles), np.sin(angles)]).astype(dtype),
    )


@njit(**_FLAGS)
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
                _multiply_tile(samples, rows, n_rows, columns, origin, c > r, workspace)
                if samples.X.shape[1] > DIRECT_FEATURES:
                    squares[t] += 2.0 * _sum_squares(workspace.tile, 0, n_before, len(columns))
                    squares[t] += _sum_squares(workspace.tile, n_before, n_rows, len(columns))
                _finish_tile(samples, rows, n_rows, columns, c - r, False, workspace)
                _add_rows(workspace.tile, n_rows, len(columns), sums[0, r:])
                _add_columns(workspace.tile, n_before, len(columns), sums[0, c:])


@njit(**_FLAGS)
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
                _multiply_tile(samples, rows, len(rows), columns, tasks[t, 4], c > tasks[t, 2], workspace)
                if samples.X.shape[1] > DIRECT_FEATURES:
                    squares[t] += 2.0 * _sum_squares(workspace.tile, 0, len(rows), len(columns))
                _finish_tile(samples, rows, len(rows), columns, _APART, False, workspace)
                _add_rows(workspace.tile, len(rows), len(columns), sums[tasks[t, 5], r:])
                _add_columns(workspace.tile, len(rows), len(columns), sums[tasks[t, 6], c:])


@njit(**_FLAGS)
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
                _multiply_tile(samples, block, len(block), columns, tasks[t, 4], c > tasks[t, 2], workspace)
                _finish_tile(samples, block, len(block), columns, _APART, False, workspace)
                _add_rows(workspace.tile, len(block), len(columns), sums[r:])


@njit(**_FLAGS)
def add_distances_by_groups(
    samples,  # IN Samples
    tasks,  # IN (n_tasks, 5): start, stop of the rows, of the columns; origin. Ranges are equal or disjoint
    cells,  # IN (n_samples,) by position in the order; neighbors with equal cells have equal slots
    slots,  # IN (n_samples, n_groupings) by position: slot of the sample's group in each grouping
    workspace,  # WORK Workspace
    sums,  # OUT (n_slots, n_samples) by position, added to
    stop,  # IN (1,) not 0: leave early
):
    """Add the distances between two ranges of samples, by the groups of several groupings at once.

    Each pair is computed once: for a member of either range, its distance to a member of the other is added to the
    slot of the other's group in every grouping. Sums over a run of equal cells are taken first.
    """
    tile = workspace.tile
    width = _MICRO_VECTORS * workspace.strip.shape[0]
    turned = np.empty(COLUMNS * width, tile.dtype)
    total = np.empty(width)
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
                _multiply_tile(samples, rows, n_rows, columns, tasks[t, 4], c > first, workspace)
                _finish_tile(samples, rows, n_rows, columns, c - r if within else _APART, True, workspace)
                for i in range(0, n_rows, width):
                    _turn_rows(tile, i, n_columns, turned)
                    used = min(width, n_rows - i)
                    _add_runs(turned, width, n_columns, cells[c:], slots[c:], total, sums[:, r + i : r + i + used])
                flat = tile.reshape(ROWS * COLUMNS)
                for j in range(0, n_columns, width):
                    used = min(width, n_columns - j)
                    _add_runs(flat[j:], COLUMNS, n_before, cells[r:], slots[r:], total, sums[:, c + j : c + j + used])


@njit(**_FLAGS)
def fill_nearest_cluster(
    samples,  # IN Samples
    task,  # IN (3,): start, stop of the rows in the order; origin
    offsets,  # IN (n_clusters + 1,) where the clusters begin in the order
    codes,  # IN (n_samples,) cluster of each sample
    workspace,  # WORK Workspace
    mean,  # OUT (n_samples,) by position: least mean distance to a cluster but the own; inf if there is none
    cluster,  # OUT (n_samples,) by position: the first cluster that has it
    stop,  # IN (1,) not 0: leave early
):
    """Find the nearest other cluster of some samples, from their distances to all samples.

    Columns run through the clusters in turn, however small these are.
    """
    tile = workspace.tile
    width = _MICRO_VECTORS * workspace.strip.shape[0]
    turned = np.empty(COLUMNS * width, tile.dtype)
    total = np.empty(ROWS)
    own = np.empty(ROWS, codes.dtype)
    for r in range(task[0], task[1], ROWS):
        rows = samples.order[r : min(r + ROWS, task[1])]
        n_rows = len(rows)
        for i in range(n_rows):
            own[i] = codes[rows[i]]
            mean[r + i] = np.inf
        for i in range(ROWS):
            total[i] = 0.0
        c = 0
        for first in range(0, len(samples.order), COLUMNS):
            if stop[0]:
                return
            columns = samples.order[first : min(first + COLUMNS, len(samples.order))]
            n_columns = len(columns)
            _multiply_tile(samples, rows, n_rows, columns, task[2], first > 0, workspace)
            _finish_tile(samples, rows, n_rows, columns, _APART, True, workspace)
            following = c
            for i in range(0, n_rows, width):
                _turn_rows(tile, i, n_columns, turned)
                low, high = r + i, r + min(i + width, n_rows)
                following = _take_nearer(
                    turned, width, n_columns, first, offsets, c, own[i:], total[i:], mean[low:high], cluster[low:high]
                )
            c = following


@njit(**_FLAGS)
def _turn_rows(
    tile,  # IN (ROWS, COLUMNS)
    first,  # IN first of the rows, as many as a micro block has columns
    n_columns,  # IN scalar
    turned,  # OUT flat; the rows' entries of a column stand side by side, column by column
):
    """Transpose some rows of a tile."""
    lanes = len(turned) // (COLUMNS * _MICRO_VECTORS)
    width = _MICRO_VECTORS * lanes
    for half in range(0, width, lanes):
        block = tile[first + half : first + half + lanes]
        for f in range(0, _padded(n_columns, lanes), lanes):
            _transpose(block, f, turned, f * width + half)


@njit(**_FLAGS)
def _take_nearer(
    strips,  # IN flat; the distances of the rows to column j begin at j * width
    width,  # IN scalar
    n_columns,  # IN scalar
    first,  # IN position of the first column
    offsets,  # IN (n_clusters + 1,) where the clusters begin
    c,  # IN cluster of the first column
    own,  # IN (>= n_rows,) cluster of each row
    total,  # INOUT (>= width,) sum of each row over the columns of a cluster so far, float64
    mean,  # INOUT (n_rows,) least mean distance to another cluster so far
    cluster,  # INOUT (n_rows,) where it is
):
    """Add up columns; where a cluster ends, see whether it is nearer than all before. Returns the next column's."""
    n_rows = len(mean)
    j = 0
    while j < n_columns:
        end = offsets[c + 1] - first
        for column in range(j, min(end, n_columns)):
            strip = strips[column * width : (column + 1) * width]
            for k in range(width):
                total[k] += np.float64(strip[k])
        if end <= n_columns:
            size = offsets[c + 1] - offsets[c]
            for k in range(n_rows):
                value = total[k] / size
                if value < mean[k] and own[k] != c:
                    mean[k] = value
                    cluster[k] = c
            for k in range(width):
                total[k] = 0.0
            c += 1
        j = min(end, n_columns)
    return c


@njit(**_FLAGS)
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
        _multiply_sides(left, Side(centers, columns, middle, one), len(rows), c > 0, workspace)
        for i in range(len(rows)):
            for j in range(len(columns)):
                block.squares[i, c + j] = workspace.row_norms[i] + workspace.column_norms[j] - two * tile[i, j]
    for i in range(len(rows)):
        block.norms[i] = workspace.row_norms[i]
    zero = np.zeros(vectors.shape[1], tile.dtype)
    for v in range(0, vectors.shape[0], COLUMNS):
        columns = np.arange(v, min(v + COLUMNS, vectors.shape[0]))
        _multiply_sides(left, Side(vectors, columns, zero, one), len(rows), True, workspace)
        for i in range(len(rows)):
            for j in range(len(columns)):
                block.components[i, v + j] = tile[i, j]


@njit(**_FLAGS)
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
    _multiply_sides(Side(samples.X, rows, center, samples.scale), right, len(rows), False, workspace)
    for i in range(len(rows)):
        squares[i] = workspace.row_norms[i]
        for v in range(n_vectors):
            components[i, v] = tile[i, v]


# Place of the diagonal in a tile that has none.
_APART = -(1 << 40)


@njit(**_FLAGS)
def _multiply_tile(
    samples,  # IN Samples
    rows,  # IN (<= ROWS,) samples
    n_rows,  # IN how many of the rows are wanted
    columns,  # IN (<= COLUMNS,) samples
    origin,  # IN row of samples.origins
    rows_packed,  # IN whether an earlier call has packed these very rows
    workspace,  # OUT tile: x·y; norms: |x|², |y|²
):
    """Compute the inner products of a block of samples with another, relative to an origin."""
    X = samples.X
    n_features = X.shape[1]
    if n_features <= DIRECT_FEATURES:
        _subtract_tile(samples, rows, n_rows, columns, workspace)
        return
    center = samples.origins[origin]
    _multiply_sides(
        Side(X, rows, center, samples.scale),
        Side(X, columns, center, samples.scale),
        n_rows,
        rows_packed,
        workspace,
    )


@njit(**_FLAGS)
def _multiply_sides(
    left,  # IN Side of the rows
    right,  # IN Side of the columns
    n_rows,  # IN how many of the rows are wanted
    rows_packed,  # IN whether an earlier call has packed these very rows
    workspace,  # OUT tile: x·y; norms: |x|², |y|²
):
    """Compute the inner products of two blocks of vectors."""
    n_features = left.data.shape[1]
    for start in range(0, n_features, SLAB):
        end = min(start + SLAB, n_features)
        if n_features > SLAB or not rows_packed:
            _pack_rows(left, start, end, workspace)
        _pack_panel(right, start, end, workspace)
        _add_products_tile(workspace, n_rows, len(right.indices), end - start, start == 0)


@njit(**_FLAGS)
def _finish_tile(
    samples,  # IN Samples
    rows,  # IN (<= ROWS,) samples
    n_rows,  # IN how many of the rows are wanted
    columns,  # IN (<= COLUMNS,) samples
    diagonal,  # IN columns[j] is rows[diagonal + j]
    shared,  # IN whether the origin is that of several clusters
    workspace,  # INOUT tile: products -> distances
):
    """Turn products into distances."""
    near = NEAR_DOUBLE
    if workspace.tile.itemsize == 4:
        near = NEAR_SINGLE_SHARED if shared and samples.X.shape[1] > _SHARED_ALIKE else NEAR_SINGLE
    for i in range(n_rows):
        _finish_row(samples, rows[i], i, columns, i - diagonal, near, workspace)


@njit(**_FLAGS)
def _gather(
    side,  # IN Side
    i,  # IN which of its vectors
    start,  # IN first feature
    end,  # IN one past the last feature
    turns,  # IN (2, >= (end - start) // 2) cosines, sines
    gathered,  # OUT (>= end - start,)
):
    """Copy a chunk of a vector, relative to the center and turned; returns its squared length."""
    # Slices, not offsets: LLVM can then infer that no index is negative, and vectorizes.
    row = side.data[side.indices[i], start:end]
    center = side.center[start:end]
    scale = side.scale
    total = 0.0
    for f in range(end - start):
        value = row[f] * scale - center[f]
        gathered[f] = value
        total += np.float64(value) * value
    half = (end - start) // 2 if end - start >= _TURNED_FEATURES else 0
    near, far = gathered[:half], gathered[half : 2 * half]
    cosines, sines = turns[0], turns[1]
    for f in range(half):
        x, y = near[f], far[f]
        near[f] = cosines[f] * x + sines[f] * y
        far[f] = cosines[f] * y - sines[f] * x
    return total


@njit(**_FLAGS)
def _prefetch_rows(
    side,  # IN Side
    first,  # IN first of its vectors
    last,  # IN one past the last; may be beyond the end
    start,  # IN first feature
    end,  # IN one past the last feature
):
    """Prefetch chunks of vectors that are read soon: they lie anywhere in the memory, and no hardware foresees them."""
    for i in range(first, min(last, len(side.indices))):
        row = side.data[side.indices[i], start:end]
        for f in range(0, end - start, _LINE // row.itemsize):
            _prefetch(row, f)


@njit(**_FLAGS)
def _pack_rows(
    side,  # IN Side
    start,  # IN first feature
    end,  # IN one past the last feature
    workspace,  # OUT rows; row_norms, added to unless start is 0
):
    """Gather the rows of a tile; rows that fill up the last micro block are 0."""
    n_rows = len(side.indices)
    for i in range(n_rows):
        if i % _AHEAD == 0:
            _prefetch_rows(side, i + _AHEAD, i + 2 * _AHEAD, start, end)
        norm = _gather(side, i, start, end, workspace.turns, workspace.rows[i])
        workspace.row_norms[i] = norm if start == 0 else workspace.row_norms[i] + norm
    for i in range(n_rows, -(-n_rows // _MICRO_ROWS) * _MICRO_ROWS):
        for f in range(end - start):
            workspace.rows[i, f] = 0.0


@njit(**_FLAGS)
def _pack_panel(
    side,  # IN Side
    start,  # IN first feature
    end,  # IN one past the last feature
    workspace,  # OUT panel; column_norms, added to unless start is 0; strip is overwritten
):
    """Gather the columns of a tile into blocks with the columns of a block side by side.

    Columns that fill up the last block are 0, and so are features that fill up the last vector.
    """
    strip, panel = workspace.strip, workspace.panel
    lanes = strip.shape[0]
    width = _MICRO_VECTORS * lanes
    depth = _padded(end - start, lanes)
    n_columns = len(side.indices)
    for first in range(0, _padded(n_columns, width), lanes):
        for k in range(lanes):
            if k % _AHEAD == 0:
                _prefetch_rows(side, first + k + _AHEAD, first + k + 2 * _AHEAD, start, end)
            if first + k < n_columns:
                norm = _gather(side, first + k, start, end, workspace.turns, strip[k])
                old = workspace.column_norms[first + k]
                workspace.column_norms[first + k] = norm if start == 0 else old + norm
            for f in range(end - start if first + k < n_columns else 0, depth):
                strip[k, f] = 0.0
        at = first // width * width * depth + first % width
        for f in range(0, depth, lanes):
            _transpose(strip, f, panel, at + f * width)


@njit(**_FLAGS)
def _padded(
    n,  # IN scalar
    unit,  # IN scalar
):
    """Return the least multiple of the unit that is n or more."""
    return -(-n // unit) * unit


@njit(**_FLAGS)
def _add_products_tile(
    workspace,  # IN rows, panel; OUT tile
    n_rows,  # IN rows wanted
    n_columns,  # IN columns wanted
    n_features,  # IN features packed
    fresh,  # IN whether the tile is to be overwritten, not added to
):
    """Add the inner products of packed rows and columns, in micro blocks."""
    tile = workspace.tile
    lanes = workspace.strip.shape[0]
    width = _MICRO_VECTORS * lanes
    block = _padded(n_features, lanes)
    if fresh:
        for i in range(n_rows):
            for j in range(COLUMNS):
                tile[i, j] = 0.0
    for start in range(0, n_features, DEPTH):
        depth = min(DEPTH, n_features - start)
        for c in range(0, n_columns, width):
            for r in range(0, n_rows, _MICRO_ROWS):
                _add_products(
                    workspace.rows,
                    r * _ROW_STRIDE + start,
                    workspace.panel,
                    c * block + start * width,
                    depth,
                    tile,
                    r * COLUMNS + c,
                )


@njit(**_FLAGS)
def _subtract_tile(
    samples,  # IN Samples
    rows,  # IN (<= ROWS,) samples
    n_rows,  # IN how many of the rows are wanted
    columns,  # IN (<= COLUMNS,) samples
    workspace,  # OUT tile: -|x - y|² / 2; norms: 0
):
    """Compute the results of :func:`_multiply_tile` by differences, for samples of few features."""
    X = samples.X
    n_features = X.shape[1]
    n_columns = len(columns)
    panel, tile = workspace.panel, workspace.tile
    scale = samples.scale
    minus_half = tile.dtype.type(-0.5)
    for j in range(n_columns):
        for f in range(n_features):
            panel[f * COLUMNS + j] = X[columns[j], f] * scale
        workspace.column_norms[j] = 0.0
    for i in range(n_rows):
        workspace.row_norms[i] = 0.0
        strip = tile[i]
        value = X[rows[i], 0] * scale
        for j in range(n_columns):
            difference = value - panel[j]
            strip[j] = minus_half * difference * difference
        for f in range(1, n_features):
            value = X[rows[i], f] * scale
            feature = panel[f * COLUMNS : f * COLUMNS + n_columns]
            for j in range(n_columns):
                difference = value - feature[j]
                strip[j] += minus_half * difference * difference


@njit(**_FLAGS)
def _finish_row(
    samples,  # IN Samples
    row,  # IN sample
    i,  # IN its row in the tile
    columns,  # IN (n_columns,) samples
    itself,  # IN its own column, if it is one
    near,  # IN share of |x|² + |y|² below which a squared distance has lost digits
    workspace,  # INOUT tile: products -> distances
):
    """Turn a row of products into distances; pairs that lost digits are computed again."""
    strip = workspace.tile[i]
    n_columns = len(columns)
    zero, one, two = strip.dtype.type(0.0), strip.dtype.type(1.0), strip.dtype.type(2.0)
    share = strip.dtype.type(near)
    norm = workspace.row_norms[i]
    column_norms = workspace.column_norms
    is_column = 0 <= itself < n_columns
    if is_column:
        # Any value that is not near: the distance to itself is set below.
        strip[itself] = -norm
    n_near = zero
    for j in range(n_columns):
        norms = norm + column_norms[j]
        square = norms - two * strip[j]
        n_near += one if square < share * norms else zero
        strip[j] = np.sqrt(square if square > zero else zero)
    if n_near > zero:
        n_features = samples.X.shape[1]
        for j in range(n_columns):
            if strip[j] * strip[j] <= two * share * (norm + column_norms[j]):
                if n_features <= SLAB:
                    strip[j] = _distance(samples.X, row, columns[j], samples.scale)
                else:
                    strip[j] = _distance_many_features(samples.X, row, columns[j], samples.scale)
    if is_column:
        strip[itself] = zero


@njit(**_FLAGS)
def _distance(
    X,  # IN (n_samples, n_features)
    i,  # IN sample
    j,  # IN sample
    scale,  # IN scalar, of the type to compute in
):
    """Return |x_i - x_j| by differences."""
    total = scale - scale  # a zero of the type to compute in
    for f in range(X.shape[1]):
        difference = X[i, f] * scale - X[j, f] * scale
        total += difference * difference
    return np.sqrt(total)


@njit(**_FLAGS)
def _distance_many_features(
    X,  # IN (n_samples, n_features)
    i,  # IN sample
    j,  # IN sample
    scale,  # IN scalar, of the type to compute in
):
    """Return |x_i - x_j| by differences, summed in float64: equal ones round the same way."""
    total = 0.0
    for f in range(X.shape[1]):
        difference = np.float64(X[i, f] * scale - X[j, f] * scale)
        total += difference * difference
    return np.sqrt(total)


@njit(**_FLAGS)
def _sum_squares(
    tile,  # IN (ROWS, COLUMNS)
    start,  # IN first row
    end,  # IN one past the last row
    n_columns,  # IN scalar
):
    """Sum of the squared entries of some rows of a tile."""
    total = 0.0
    for i in range(start, end):
        for j in range(n_columns):
            total += np.float64(tile[i, j]) * np.float64(tile[i, j])
    return total


@njit(**_FLAGS)
def _add_rows(
    tile,  # IN (ROWS, COLUMNS)
    n_rows,  # IN scalar
    n_columns,  # IN scalar
    sums,  # OUT (>= n_rows,) added to, float64
):
    """Add the sum of each row of a tile."""
    for i in range(n_rows):
        total = 0.0
        for j in range(n_columns):
            total += np.float64(tile[i, j])
        sums[i] += total


@njit(**_FLAGS)
def _add_columns(
    tile,  # IN (ROWS, COLUMNS)
    n_rows,  # IN scalar
    n_columns,  # IN scalar
    sums,  # OUT (>= n_columns,) added to, float64
):
    """Add the sum of each column of a tile."""
    for i in range(n_rows):
        for j in range(n_columns):
            sums[j] += np.float64(tile[i, j])


@njit(**_FLAGS)
def _add_runs(
    strips,  # IN flat; strip i begins at i * stride
    stride,  # IN scalar
    n_strips,  # IN scalar
    cells,  # IN (>= n_strips,)
    slots,  # IN (>= n_strips, n_groupings)
    total,  # WORK (width of a strip,) float64
    sums,  # OUT (n_slots, <= width) added to, float64
):
    """Sum the strips of each run of equal cells, and add the sum to the slots of the run."""
    width, used = total.shape[0], sums.shape[1]
    i = 0
    while i < n_strips:
        cell, first = cells[i], i
        for k in range(width):
            total[k] = 0.0
        while i < n_strips and cells[i] == cell:
            strip = strips[i * stride : i * stride + width]
            for k in range(width):
                total[k] += np.float64(strip[k])
            i += 1
        for grouping in range(slots.shape[1]):
            target = sums[slots[first, grouping]]
            for k in range(used):
                target[k] += total[k]


def _emit_add_products(builder, element, lanes, rows, panel, depth, tile):
    """Emit tile[r, c] += Σ_f rows[r, f] · panel[f, c] in LLVM, with all sums in vector registers.

    numba's loop vectorizer keeps sums in memory; only vector types make LLVM keep a block of them in registers.
    LLVM splits vectors that are wider than the machine's, so any lane count is right everywhere.
    """
    word = ir.IntType(64)
    lane = ir.IntType(32)
    vector = ir.VectorType(element, lanes)
    size = 4 if element == ir.FloatType() else 8
    multiply_add = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(vector, [vector] * 3),
        f"llvm.fmuladd.v{lanes}f{8 * size}",
    )

    def vector_at(pointer, offset):
        return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())

    def load_vector(pointer, offset):
        loaded = builder.load(vector_at(pointer, offset))
        loaded.align = size
        return loaded

    def spread(scalar):
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, lane(0))
        return builder.shuffle_vector(
            first, ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(lane, lanes), [0] * lanes)
        )

    before = builder.block
    body = builder.append_basic_block("products")
    after = builder.append_basic_block("products.end")
    builder.branch(body)

    builder.position_at_end(body)
    feature = builder.phi(word)
    feature.add_incoming(word(0), before)
    sums = [builder.phi(vector) for _ in range(_MICRO_ROWS * _MICRO_VECTORS)]
    columns = [
        load_vector(panel, builder.add(builder.mul(feature, word(_MICRO_VECTORS * lanes)), word(v * lanes)))
        for v in range(_MICRO_VECTORS)
    ]
    grown = []
    for r in range(_MICRO_ROWS):
        row = spread(builder.load(builder.gep(rows, [builder.add(feature, word(r * _ROW_STRIDE))])))
        grown += [
            builder.call(multiply_add, [row, column, sums[r * _MICRO_VECTORS + v]]) for v, column in enumerate(columns)
        ]
    following = builder.add(feature, word(1))
    feature.add_incoming(following, body)
    for old, new in zip(sums, grown, strict=True):
        old.add_incoming(ir.Constant(vector, None), before)
        old.add_incoming(new, body)
    builder.cbranch(builder.icmp_signed("<", following, depth), body, after)

    builder.position_at_end(after)
    for index, total in enumerate(grown):
        r, v = divmod(index, _MICRO_VECTORS)
        offset = word(r * COLUMNS + v * lanes)
        stored = builder.store(builder.fadd(load_vector(tile, offset), total), vector_at(tile, offset))
        stored.align = size


def _emit_transpose(builder, element, lanes, strip, stride, panel):
    """Emit panel[f, k] = strip[k, f] in LLVM, for a square of one vector by one vector.

    Interleaving the upper half of the vectors with the lower half, log2(lanes) times, transposes the square.
    (Left to itself, LLVM scatters: 1 ns an element instead of 0.1.)
    """
    word, lane = ir.IntType(64), ir.IntType(32)
    vector = ir.VectorType(element, lanes)
    size = 4 if element == ir.FloatType() else 8

    def vector_at(pointer, offset):
        return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())

    def interleave(a, b, first):
        picks = [first + k // 2 + (lanes if k % 2 else 0) for k in range(lanes)]
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(lane, lanes), picks))

    square = []
    for k in range(lanes):
        loaded = builder.load(vector_at(strip, builder.mul(stride, word(k))))
        loaded.align = size
        square.append(loaded)
    half = lanes // 2
    for _ in range(lanes.bit_length() - 1):
        square = [interleave(square[k // 2], square[k // 2 + half], k % 2 * half) for k in range(lanes)]
    for f, column in enumerate(square):
        builder.store(column, vector_at(panel, word(f * _MICRO_VECTORS * lanes))).align = size


if config.DISABLE_JIT:

    def _add_products(rows, row_at, panel, column_at, depth, tile, tile_at):
        """Add products of a micro block in NumPy, for runs without compilation."""
        width = _MICRO_VECTORS * _VECTOR_BYTES // tile.itemsize
        i, f = divmod(row_at, _ROW_STRIDE)
        right = panel[column_at : column_at + depth * width].reshape(depth, width)
        r, c = divmod(tile_at, COLUMNS)
        tile[r : r + _MICRO_ROWS, c : c + width] += rows[i : i + _MICRO_ROWS, f : f + depth] @ right

    def _prefetch(row, f):
        """Do nothing: NumPy has no prefetch."""

    def _transpose(strip, f, panel, at):
        """Transpose a square in NumPy, for runs without compilation."""
        lanes = strip.shape[0]
        for k in range(lanes):
            panel[at + k * _MICRO_VECTORS * lanes :][:lanes] = strip[:, f + k]

else:

    def _pointer(context, builder, kind, array, offset):
        return builder.gep(context.make_array(kind)(context, builder, array).data, [offset])

    @intrinsic
    def _add_products(typing_context, rows, row_at, panel, column_at, depth, tile, tile_at):
        """Add the inner products of one micro block to the tile; depth is at least 1."""
        word = types.intp
        signature = types.void(rows, word, panel, word, word, tile, word)

        def generate(context, builder, signature, arguments):
            kinds = signature.args
            element = context.get_data_type(kinds[0].dtype)
            lanes = _VECTOR_BYTES // (4 if element == ir.FloatType() else 8)
            _emit_add_products(
                builder,
                element,
                lanes,
                _pointer(context, builder, kinds[0], arguments[0], arguments[1]),
                _pointer(context, builder, kinds[2], arguments[2], arguments[3]),
                arguments[4],
                _pointer(context, builder, kinds[5], arguments[5], arguments[6]),
            )
            return context.get_dummy_value()

        return signature, generate

    @intrinsic
    def _prefetch(typing_context, row, f):
        """Prefetch the line of the cache that holds an entry."""
        signature = types.void(row, types.intp)

        def generate(context, builder, signature, arguments):
            byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
            prefetch = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(ir.VoidType(), [byte, word, word, word]), "llvm.prefetch.p0i8"
            )
            address = builder.bitcast(_pointer(context, builder, signature.args[0], *arguments), byte)
            # To be read; into all caches; data.
            builder.call(prefetch, [address, word(0), word(3), word(1)])
            return context.get_dummy_value()

        return signature, generate

    @intrinsic
    def _transpose(typing_context, strip, f, panel, at):
        """Write a square of the strip into the panel: features f and following, all columns of the strip."""
        signature = types.void(strip, types.intp, panel, types.intp)

        def generate(context, builder, signature, arguments):
            kinds = signature.args
            element = context.get_data_type(kinds[0].dtype)
            shape = context.make_array(kinds[0])(context, builder, arguments[0]).shape
            _emit_transpose(
                builder,
                element,
                _VECTOR_BYTES // (4 if element == ir.FloatType() else 8),
                _pointer(context, builder, kinds[0], arguments[0], arguments[1]),
                builder.extract_value(shape, 1),
                _pointer(context, builder, kinds[2], arguments[2], arguments[3]),
            )
            return context.get_dummy_value()

        return signature, generate

"""A tile: the distances of a block of samples to another, computed without leaving the cache.

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

from fastsil.kernels.caching import jit
from fastsil.kernels.micro import (
    COLUMNS,
    MICRO_ROWS,
    MICRO_VECTORS,
    ROW_STRIDE,
    ROWS,
    SLAB,
    VECTOR_BYTES,
    add_products,
    prefetch,
    transpose,
)

# Loops, not slices, assign: the error that numba prepares for a slice of the wrong shape takes a second to compile.
# nogil: tiles run on a thread pool. Contraction gives fused multiply-add, reordering gives vector sums; NaN and
# infinity keep their meaning.
_FLAGS = {"fastmath": {"contract", "reassoc", "nsz"}}

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
    weights: np.ndarray | None = None  # (n_samples,) by position in the order


class Side(NamedTuple):
    """One side of a tile: vectors that are read as ``data[i] * scale - center``."""

    data: np.ndarray  # (n_vectors, n_features)
    indices: np.ndarray  # (n_rows,) vectors of the tile
    center: np.ndarray  # (n_features,)
    scale: float


class Workspace(NamedTuple):
    """Memory of one thread; its type is the type that distances are computed in."""

    rows: np.ndarray  # (ROWS, ROW_STRIDE) a chunk of features of each row
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
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    slab = min(SLAB, -(-n_features // lanes) * lanes)
    angles = 2 * np.pi * (np.arange(slab // 2) * _GOLDEN_RATIO % 1.0)
    return Workspace(
        rows=np.empty((ROWS, ROW_STRIDE), dtype),
        strip=np.empty((lanes, slab), dtype),
        panel=np.empty(COLUMNS * slab, dtype),
        tile=np.empty((ROWS, COLUMNS), dtype),
        row_norms=np.empty(ROWS, dtype),
        column_norms=np.empty(COLUMNS, dtype),
        turns=np.stack([np.cos(angles), np.sin(angles)]).astype(dtype),
    )


# Place of the diagonal in a tile that has none.
APART = -(1 << 40)


@jit(**_FLAGS)
def multiply_tile(
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
    multiply_sides(
        Side(X, rows, center, samples.scale),
        Side(X, columns, center, samples.scale),
        n_rows,
        rows_packed,
        workspace,
    )


@jit(**_FLAGS)
def multiply_sides(
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


@jit(**_FLAGS)
def finish_tile(
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


@jit(**_FLAGS)
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


@jit(**_FLAGS)
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
            prefetch(row, f)


@jit(**_FLAGS)
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
    for i in range(n_rows, -(-n_rows // MICRO_ROWS) * MICRO_ROWS):
        for f in range(end - start):
            workspace.rows[i, f] = 0.0


@jit(**_FLAGS)
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
    width = MICRO_VECTORS * lanes
    depth = padded(end - start, lanes)
    n_columns = len(side.indices)
    for first in range(0, padded(n_columns, width), lanes):
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
            transpose(strip, f, panel, at + f * width)


@jit(**_FLAGS)
def padded(
    n,  # IN scalar
    unit,  # IN scalar
):
    """Return the least multiple of the unit that is n or more."""
    return -(-n // unit) * unit


@jit(**_FLAGS)
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
    width = MICRO_VECTORS * lanes
    block = padded(n_features, lanes)
    if fresh:
        for i in range(n_rows):
            for j in range(COLUMNS):
                tile[i, j] = 0.0
    for start in range(0, n_features, DEPTH):
        depth = min(DEPTH, n_features - start)
        for c in range(0, n_columns, width):
            for r in range(0, n_rows, MICRO_ROWS):
                add_products(
                    workspace.rows,
                    r * ROW_STRIDE + start,
                    workspace.panel,
                    c * block + start * width,
                    depth,
                    tile,
                    r * COLUMNS + c,
                )


@jit(**_FLAGS)
def _subtract_tile(
    samples,  # IN Samples
    rows,  # IN (<= ROWS,) samples
    n_rows,  # IN how many of the rows are wanted
    columns,  # IN (<= COLUMNS,) samples
    workspace,  # OUT tile: -|x - y|² / 2; norms: 0
):
    """Compute the results of :func:`multiply_tile` by differences, for samples of few features."""
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


@jit(**_FLAGS)
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


@jit(**_FLAGS)
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


@jit(**_FLAGS)
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

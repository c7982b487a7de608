"""Tiles of Euclidean distances equal the naive sums, for sizes around every block of the kernel."""

import numpy as np
import pytest
from numba import config

import reference
from assertions import tolerance_of
from fastsil.kernels import euclidean as kernels
from fastsil.kernels.bounds import Block
from fastsil.kernels.micro import COLUMNS, ROWS, SLAB
from fastsil.kernels.tiles import DEPTH, DIRECT_FEATURES, Samples, make_workspace

dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
interpreted = pytest.mark.skipif(config.DISABLE_JIT, reason="whole tiles are slow without compilation")
weightings = pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
# Around the block in registers (6 or 12 rows), and around a tile.
TINY = [1, 2, 5, 13]
SIZES = [
    *(pytest.param(size) for size in TINY),
    *(pytest.param(size, marks=interpreted) for size in (COLUMNS, COLUMNS + 1, ROWS + 3)),
]
FEATURES = [1, DIRECT_FEATURES, DIRECT_FEATURES + 1, 33]
MANY_FEATURES = [
    pytest.param(DEPTH + 1, marks=interpreted),
    pytest.param(SLAB + 7, marks=interpreted),
]
GO = np.zeros(1, dtype=np.uint8)


class Tiles:
    """Samples in a shuffled order, the origins 0 and their mean, and scratch memory."""

    def __init__(self, n_samples, n_features, dtype, *, scale=1.0, seed=0, weighted=False):
        rng = np.random.default_rng(seed)
        self.X = rng.normal(size=(n_samples, n_features)).astype(dtype)
        self.order = rng.permutation(n_samples)
        self.sorted = self.X[self.order] * dtype(scale)
        self.origins = np.stack([np.zeros(n_features), self.sorted.mean(axis=0)]).astype(dtype)
        # By position.
        self.weights = rng.integers(0, 4, size=n_samples) * 0.5 if weighted else np.ones(n_samples)
        self.samples = Samples(self.X, self.order, self.origins, dtype(scale), self.weights if weighted else None)
        self.workspace = make_workspace(dtype, n_features)
        # What an earlier tile left must not matter.
        for name, array in self.workspace._asdict().items():
            if name != "turns":
                array[:] = np.nan


def assert_sums_close(actual, expected, dtype):
    np.testing.assert_allclose(actual, expected.astype(float), rtol=tolerance_of(dtype) / 4)


def assert_squares_close(actual, expected, n_features, dtype):
    # With few features there are no products to be squared.
    wanted = float(expected) if n_features > DIRECT_FEATURES else 0.0
    np.testing.assert_allclose(actual, wanted, rtol=1e-4 if dtype == np.float32 else 1e-9)


@dtypes
@pytest.mark.parametrize("n_samples", SIZES)
@pytest.mark.parametrize("n_features", FEATURES)
@weightings
def test_add_distances_within(n_samples, n_features, weighted, dtype):
    tiles = Tiles(n_samples, n_features, dtype, weighted=weighted)
    sums, squares = np.ones((1, n_samples)), np.full(1, np.nan)
    tasks = np.array([[0, n_samples, 1]])
    kernels.add_distances_within(tiles.samples, tasks, tiles.workspace, sums, squares, GO)
    expected_sums, expected_squares = reference.add_distances_within(tiles.sorted, tiles.origins[1], tiles.weights)
    assert_sums_close(sums[0] - 1, expected_sums, dtype)
    assert_squares_close(squares[0], expected_squares, n_features, dtype)


@dtypes
@pytest.mark.parametrize("n_features", MANY_FEATURES)
def test_add_distances_within_many_features(n_features, dtype):
    test_add_distances_within(20, n_features, False, dtype)


@dtypes
@pytest.mark.parametrize("n_features", [2, 20])
def test_several_ranges_in_one_call(n_features, dtype):
    tiles = Tiles(30, n_features, dtype)
    sums, squares = np.zeros((1, 30)), np.zeros(3)
    ranges = [(0, 11), (11, 12), (12, 30)]
    tasks = np.array([[low, high, 1] for low, high in ranges])
    kernels.add_distances_within(tiles.samples, tasks, tiles.workspace, sums, squares, GO)
    for (low, high), square in zip(ranges, squares, strict=True):
        expected_sums, expected_squares = reference.add_distances_within(tiles.sorted[low:high], tiles.origins[1])
        assert_sums_close(sums[0, low:high], expected_sums, dtype)
        assert_squares_close(square, expected_squares, n_features, dtype)


@dtypes
@pytest.mark.parametrize("n_rows", SIZES)
@pytest.mark.parametrize("n_columns", [1, 14])
@pytest.mark.parametrize("n_features", FEATURES)
@weightings
def test_add_distances_between(n_rows, n_columns, n_features, weighted, dtype):
    n_samples = n_rows + n_columns
    tiles = Tiles(n_samples, n_features, dtype, weighted=weighted)
    sums, squares = np.zeros((2, n_samples)), np.zeros(1)
    tasks = np.array([[0, n_rows, n_rows, n_samples, 1, 1, 0]])
    kernels.add_distances_between(tiles.samples, tasks, tiles.workspace, sums, squares, GO)
    of_rows, of_columns, expected_squares = reference.add_distances_between(
        tiles.sorted[:n_rows], tiles.sorted[n_rows:], tiles.origins[1], tiles.weights[:n_rows], tiles.weights[n_rows:]
    )
    assert_sums_close(sums[1, :n_rows], of_rows, dtype)
    assert_sums_close(sums[0, n_rows:], of_columns, dtype)
    assert not sums[0, :n_rows].any()
    assert not sums[1, n_rows:].any()
    assert_squares_close(squares[0], expected_squares, n_features, dtype)


@interpreted
@dtypes
@pytest.mark.parametrize("n_features", [3, SLAB + 7])
def test_add_distances_between_many_columns(n_features, dtype):
    test_add_distances_between(15, COLUMNS + 9, n_features, False, dtype)


@dtypes
@pytest.mark.parametrize("n_rows", SIZES)
@pytest.mark.parametrize("n_features", FEATURES)
@weightings
def test_add_distances_to(n_rows, n_features, weighted, dtype):
    tiles = Tiles(n_rows + 17, n_features, dtype, weighted=weighted)
    rows = np.random.default_rng(1).permutation(tiles.order[17:])
    sums = np.ones(n_rows)
    tasks = np.array([[0, n_rows, 0, 17, 0]])
    kernels.add_distances_to(tiles.samples, rows, tasks, tiles.workspace, sums, GO)
    expected = reference.add_distances_to(tiles.X[rows], tiles.sorted[:17], tiles.weights[:17])
    assert_sums_close(sums - 1, expected, dtype)


def sums_by_groups(tiles, tasks, groups):
    """Sums for two groupings: the groups given, and the same groups in reverse, in slots behind them."""
    n_groups = int(groups.max()) + 1
    slots = np.stack([groups, 2 * n_groups - 1 - groups], axis=1).astype(np.int32)
    cells = np.concatenate([[0], np.cumsum(np.diff(groups) != 0)]).astype(np.int32)
    sums = np.ones((2 * n_groups, len(groups)))
    kernels.add_distances_by_groups(tiles.samples, np.array(tasks), cells, slots, tiles.workspace, sums, sums, GO)
    np.testing.assert_array_equal(sums[n_groups:], sums[:n_groups][::-1])
    # Kept apart, sums of rows and of columns are the same.
    of_rows, of_columns = np.zeros((2, *sums.shape))
    kernels.add_distances_by_groups(
        tiles.samples, np.array(tasks), cells, slots, tiles.workspace, of_rows, of_columns, GO
    )
    np.testing.assert_allclose(1 + of_rows + of_columns, sums, rtol=1e-14)
    start, end, other = tasks[0][:3]
    if other != start:
        assert not of_rows[:, end:].any()
        assert not of_columns[:, :other].any()
    return sums[:n_groups] - 1


@dtypes
@pytest.mark.parametrize("n_samples", SIZES)
@pytest.mark.parametrize("n_features", FEATURES)
@pytest.mark.parametrize(("is_mixed", "weighted"), [(0, False), (1, False), (1, True)])
def test_add_distances_by_groups_within(n_samples, n_features, is_mixed, weighted, dtype):
    tiles = Tiles(n_samples, n_features, dtype, weighted=weighted)
    groups = np.arange(n_samples) * 2 % 7 // 2
    sums = sums_by_groups(tiles, [[0, n_samples, 0, n_samples, 1, is_mixed]], groups)
    expected, _ = reference.add_distances_by_groups(
        tiles.sorted, tiles.sorted, groups, groups, groups.max() + 1, tiles.weights, tiles.weights
    )
    assert_sums_close(sums, expected, dtype)


@dtypes
@pytest.mark.parametrize("n_rows", SIZES)
@pytest.mark.parametrize("n_columns", [1, 14])
@pytest.mark.parametrize("n_features", FEATURES)
@weightings
def test_add_distances_by_groups_between(n_rows, n_columns, n_features, weighted, dtype):
    n_samples = n_rows + n_columns
    tiles = Tiles(n_samples, n_features, dtype, weighted=weighted)
    groups = np.arange(n_samples) // 5 % 3
    sums = sums_by_groups(tiles, [[0, n_rows, n_rows, n_samples, 1, 1]], groups)
    of_rows, of_columns = reference.add_distances_by_groups(
        tiles.sorted[:n_rows],
        tiles.sorted[n_rows:],
        groups[:n_rows],
        groups[n_rows:],
        groups.max() + 1,
        tiles.weights[:n_rows],
        tiles.weights[n_rows:],
    )
    assert_sums_close(sums[:, :n_rows], of_rows, dtype)
    assert_sums_close(sums[:, n_rows:], of_columns, dtype)


@dtypes
@pytest.mark.parametrize("n_rows", SIZES)
@weightings
def test_add_distances_by_groups_between_whole_groups(n_rows, weighted, dtype):
    """Columns of one group are summed at once."""
    tiles = Tiles(n_rows + 9, 20, dtype, weighted=weighted)
    groups = np.repeat([0, 1], [n_rows, 9])
    sums = sums_by_groups(tiles, [[0, n_rows, n_rows, n_rows + 9, 1, 0]], groups)
    of_rows, of_columns = reference.add_distances_by_groups(
        tiles.sorted[:n_rows],
        tiles.sorted[n_rows:],
        groups[:n_rows],
        groups[n_rows:],
        2,
        tiles.weights[:n_rows],
        tiles.weights[n_rows:],
    )
    assert_sums_close(sums[:, :n_rows], of_rows, dtype)
    assert_sums_close(sums[:, n_rows:], of_columns, dtype)


@interpreted
@dtypes
def test_add_distances_by_groups_between_many_columns(dtype):
    test_add_distances_by_groups_between(15, COLUMNS + 9, 20, False, dtype)


@dtypes
@pytest.mark.parametrize("n_centers", [1, 2, 33, pytest.param(COLUMNS + 5, marks=interpreted)])
@pytest.mark.parametrize("n_features", [*FEATURES, *MANY_FEATURES])
def test_fill_squares_to_centers(n_features, n_centers, dtype):
    tiles = Tiles(9, n_features, dtype, scale=0.5)
    centers = np.random.default_rng(2).normal(size=(n_centers, n_features))
    vectors = np.linalg.qr(np.random.default_rng(3).normal(size=(n_features, min(n_features, 3))))[0].T
    vectors = np.ascontiguousarray(vectors, dtype)
    block = Block(
        codes=np.zeros(9, np.int32),
        squares=np.empty((9, n_centers), dtype),
        norms=np.empty(9, dtype),
        components=np.empty((9, len(vectors)), dtype),
    )
    kernels.fill_squares_to_centers(tiles.samples, tiles.order, centers, vectors, 1, tiles.workspace, block)
    squares, norms, components = reference.fill_squares_to_centers(tiles.sorted, centers, vectors, tiles.origins[1])
    rounding = np.finfo(dtype).eps * (DEPTH + 16)
    reach = norms[:, None] + ((centers - tiles.origins[1]) ** 2).sum(axis=1)
    assert (np.abs(block.squares - squares) <= rounding * reach).all()
    np.testing.assert_allclose(block.norms, norms.astype(float), rtol=rounding)
    assert (np.abs(block.components - components) <= rounding * np.sqrt(norms)[:, None]).all()


@dtypes
@pytest.mark.parametrize("n_vectors", [1, 2, 17])
@pytest.mark.parametrize("n_features", [*FEATURES, *MANY_FEATURES])
def test_fill_components(n_features, n_vectors, dtype):
    tiles = Tiles(9, n_features, dtype, scale=0.5)
    rng = np.random.default_rng(2)
    center, vectors = rng.normal(size=n_features), rng.normal(size=(n_vectors, n_features)).astype(dtype)
    components, squares = np.empty((9, n_vectors), dtype), np.empty(9, dtype)
    kernels.fill_components(tiles.samples, tiles.order, center, vectors, tiles.workspace, components, squares)
    expected_components, expected_squares = reference.fill_components(tiles.sorted, center, vectors)
    rounding = np.finfo(dtype).eps * (DEPTH + 16)
    reach = np.sqrt(expected_squares[:, None] * (vectors.astype(float) ** 2).sum(axis=1))
    assert (np.abs(components - expected_components) <= rounding * reach).all()
    np.testing.assert_allclose(squares, expected_squares.astype(float), rtol=rounding)


@dtypes
@pytest.mark.parametrize("n_features", [4, 40])
def test_near_duplicates_far_from_the_origin_keep_their_digits(n_features, dtype):
    """Products lose all digits here: the pairs have to be computed again by differences."""
    tiles = Tiles(12, n_features, dtype)
    tiles.X[:] = (100 + np.random.default_rng(3).normal(size=(12, n_features)) * 1e-3).astype(dtype)
    tiles.X[::3] = tiles.X[0]
    tiles.sorted = tiles.X[tiles.order]
    sums = np.zeros((1, 12))
    kernels.add_distances_within(tiles.samples, np.array([[0, 12, 0]]), tiles.workspace, sums, np.zeros(1), GO)
    assert_sums_close(sums[0], reference.add_distances_within(tiles.sorted, 0)[0], dtype)


@dtypes
@pytest.mark.parametrize("n_features", [4, 40])
def test_exact_duplicates_are_exactly_zero_apart(n_features, dtype):
    tiles = Tiles(10, n_features, dtype)
    tiles.X[:] = tiles.X[0]
    sums = np.zeros((1, 10))
    kernels.add_distances_within(tiles.samples, np.array([[0, 10, 0]]), tiles.workspace, sums, np.zeros(1), GO)
    assert not sums.any()


@pytest.mark.parametrize("n_features", [3, 30])
def test_the_scale_multiplies_the_data(n_features):
    plain, scaled = Tiles(9, n_features, np.float64), Tiles(9, n_features, np.float64, scale=0.25)
    sums = np.zeros((2, 9))
    for slot, tiles in enumerate((plain, scaled)):
        kernels.add_distances_within(
            tiles.samples, np.array([[0, 9, 1]]), tiles.workspace, sums[slot : slot + 1], np.zeros(1), GO
        )
    np.testing.assert_allclose(sums[1], sums[0] / 4, rtol=1e-14)


def test_a_stop_leaves_early():
    tiles = Tiles(9, 20, np.float64)
    sums, stop = np.zeros((1, 9)), np.ones(1, dtype=np.uint8)
    kernels.add_distances_within(tiles.samples, np.array([[0, 9, 1]]), tiles.workspace, sums, np.zeros(1), stop)
    kernels.add_distances_between(
        tiles.samples, np.array([[0, 4, 4, 9, 1, 0, 0]]), tiles.workspace, sums, np.zeros(1), stop
    )
    kernels.add_distances_to(tiles.samples, tiles.order, np.array([[0, 4, 4, 9, 1]]), tiles.workspace, sums[0], stop)
    zeros = np.zeros(9, dtype=np.int32)
    kernels.add_distances_by_groups(
        tiles.samples,
        np.array([[0, 9, 0, 9, 1, 1]]),
        zeros,
        zeros[:, None],
        tiles.workspace,
        sums,
        sums,
        stop,
    )
    assert not sums.any()

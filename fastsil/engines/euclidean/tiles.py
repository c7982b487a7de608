"""Sums of Euclidean distances over many pairs, tile by tile, in the order of the pair schedule."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, zip_longest
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.pair_schedule import (
    N_TASKS,
    TASK_PRODUCTS,
    Piece,
    Task,
    count_pairs,
    make_pieces,
    piece_rows,
    run_in_turn,
    schedule_tournament,
)
from fastsil.engines.scaling import ScaledData
from fastsil.kernels import euclidean as kernels
from fastsil.kernels.bounds import Block
from fastsil.kernels.micro import COLUMNS, ROWS
from fastsil.kernels.nearest import keep_nearer
from fastsil.kernels.tiles import DEPTH, Samples, make_workspace
from fastsil.runtime.progress import ProgressCallback
from fastsil.runtime.threads import run_over_rows, run_tasks
from fastsil.validation.partition import count_up, sorted_by_cluster

# A mean distance from these sums is off by less than this share, by the type that distances are computed in.
MARGIN = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-11}


# Members of a part of a cluster, at least: rows are packed for each part. To pack a member costs as much as its
# distances to this number of rows (n = 1,000,000, d = 128: 1.6 microseconds, as the rows lie apart).
_LEAST_PART = 8 * COLUMNS
_COLUMN_ROWS = 256
# Samples of a block times clusters. A block reads all centers, and so has 16 samples at least, unless there are so few
# features that what it holds is more than the centers.
_BLOCK_ENTRIES = 1 << 18
_BLOCK_LEAST = 16
_BLOCK_FEATURES = 4


class Candidates(NamedTuple):
    """Clusters that may be the nearest other one of some consecutive samples.

    Attributes
    ----------
    start : int
        Place of the first sample.
    row : ndarray of shape (n_candidates,), int32
        Place of the sample, from the start.
    cluster : ndarray of shape (n_candidates,), int32
        Cluster.
    lower : ndarray of shape (n_candidates,)
        Lower bound of the mean distance, scaled.
    """

    start: int
    row: NDArray[np.int32]
    cluster: NDArray[np.int32]
    lower: NDArray[np.float64]


class Lender:
    """Memory that kernels run in, lent to one thread at a time, and made where one finds none left.

    Pages that are new for each task cost more than its work.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._free: SimpleQueue[Any] = SimpleQueue()

    @contextmanager
    def lend(self) -> Iterator[Any]:
        """Lend the memory of one thread, for a while."""
        try:
            memory = self._free.get_nowait()
        except Empty:
            memory = self._make()
        try:
            yield memory
        finally:
            self._free.put(memory)


def tile_workspaces(dtype: np.dtype[Any], n_features: int) -> Lender:
    """Return the memory of the kernels of tiles."""
    return Lender(lambda: make_workspace(dtype, n_features))


def samples_from(data: ScaledData, order: NDArray[np.intp], origins: NDArray[Any]) -> Samples:
    """Return data as the kernels take them: some samples in an order, with their weights."""
    weights = data.partition.sample_weight
    scale = data.dtype.type(data.scale)
    return Samples(data.X, order, origins, scale, None if weights is None else weights[order])


class PairSums:
    """Runs the tile kernels over one set of data.

    Parameters
    ----------
    data : ScaledData
        Samples grouped by cluster.
    origins : ndarray of shape (n_origins, n_features)
        Scaled center of each cluster, in the type that distances are computed in; more may follow.
    n_jobs : int
        Number of threads.

    Attributes
    ----------
    samples : Samples
        The data as the kernels take them.
    workspaces : Lender
        Memory of the threads.
    pairs : int
        Pairs computed so far.
    """

    def __init__(self, data: ScaledData, origins: NDArray[Any], n_jobs: int) -> None:
        self.samples = samples_from(data, data.partition.order, origins)
        self.pairs = 0
        self._partition = data.partition
        self._n_features: int = data.X.shape[1]
        self._n_jobs = n_jobs
        self.workspaces = tile_workspaces(data.dtype, self._n_features)

    def within_clusters(self, tick: ProgressCallback) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sum of distances from each sample to its own cluster.

        Returns
        -------
        sums : ndarray of shape (n_samples,)
            By position in the order, scaled.
        squared_products : ndarray of shape (n_clusters,)
            Sum of squared inner products over all ordered pairs of members, relative to the center; 0 with so few
            features that distances are computed by differences.
        """
        sums = np.zeros((1, self._partition.n_samples))
        pieces = self._pieces()
        costs = (pieces[:, 1] - pieces[:, 0]).astype(np.float64) ** 2 / 2
        diagonal = [Task(pieces[low:high], None, costs[low:high].sum()) for low, high in self._batches(costs)]
        # Round by round over all clusters, so that tasks that may run at once stand together.
        edges = np.searchsorted(pieces[:, 2], np.arange(self._partition.n_clusters + 1))
        cut = np.flatnonzero(np.diff(edges) > 1)
        tournaments = [schedule_tournament(make_pieces(pieces[edges[cluster] : edges[cluster + 1]])) for cluster in cut]
        turns = chain.from_iterable(zip_longest(*tournaments, fillvalue=[]))
        crossing = [Task([rows], columns, count_pairs(rows, columns)) for rows, columns in chain.from_iterable(turns)]
        squared_products = np.zeros(self._partition.n_clusters)

        def add(task: Task, stop: NDArray[np.uint8]) -> NDArray[np.float64]:
            if task.columns is not None:
                return self._add_between(task.rows[0], task.columns, (0, 0), sums, stop)
            squares = np.zeros(len(task.rows))
            with self.workspaces.lend() as workspace:
                kernels.add_distances_within(self.samples, np.asarray(task.rows), workspace, sums, squares, stop)
            return squares

        # The longest first.
        tasks = crossing + diagonal
        for task, squares in zip(tasks, self._run(add, tasks, tick), strict=True):
            np.add.at(squared_products, np.asarray(task.rows)[:, 2], squares)
        return sums[0], squared_products

    def _add_between(
        self,
        rows: Piece,
        columns: Piece,
        slots: tuple[int, int],
        sums: NDArray[np.float64],
        stop: NDArray[np.uint8],
    ) -> NDArray[np.float64]:
        """Add distances between two pieces to a slot for the rows and one for the columns; return the squared
        products.
        """
        squares = np.zeros(1)
        ranges = np.array([[*rows[:2], *columns[:2], columns.cluster, *slots]])
        with self.workspaces.lend() as workspace:
            kernels.add_distances_between(self.samples, ranges, workspace, sums, squares, stop)
        return squares

    def to_clusters(self, rows: NDArray[np.intp], clusters: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Sum of distances from listed samples to one cluster each, scaled.

        Parameters
        ----------
        rows : ndarray of shape (n_entries,)
            Samples, as rows of X.
        clusters : ndarray of shape (n_entries,)
            Cluster of each entry, sorted; not the sample's own.

        Returns
        -------
        ndarray of shape (n_entries,)
        """
        edges = np.searchsorted(clusters, np.arange(self._partition.n_clusters + 1, dtype=clusters.dtype))
        n_parts = self._count_parts(np.diff(edges))
        if (n_parts == 1).all():
            return self._sum_ranges(rows, edges, np.arange(len(n_parts)), n_parts)
        # The entries of a cluster once for each part of its members, whose sums are added in their order.
        owner, part = np.repeat(np.arange(len(n_parts)), n_parts), count_up(n_parts)
        counts = np.diff(edges)[owner]
        entry = np.repeat(edges[owner], counts) + count_up(counts)
        found = self._sum_ranges(rows[entry], np.concatenate([[0], np.cumsum(counts)]), owner, n_parts)
        sums, part_of_entry = np.zeros(len(rows)), np.repeat(part, counts)
        for one in range(int(n_parts.max())):
            some = part_of_entry == one
            sums[entry[some]] += found[some]
        return sums

    def _sum_ranges(
        self,
        rows: NDArray[np.intp],
        edges: NDArray[np.intp],
        owner: NDArray[np.intp],
        n_parts: NDArray[np.intp],
    ) -> NDArray[np.float64]:
        """Sum the distances of runs of entries, which begin at ``edges``, each to a part of its cluster, the owner."""
        sums = np.zeros(len(rows))
        ranges = self._ranges_to(edges, owner, n_parts)
        n_rows, n_columns = ranges[:, 1] - ranges[:, 0], ranges[:, 3] - ranges[:, 2]
        self.pairs += int(n_rows @ n_columns)
        batches = self._batches(((n_rows + _COLUMN_ROWS) * n_columns).astype(np.float64))

        def add(batch: tuple[int, int], stop: NDArray[np.uint8]) -> None:
            with self.workspaces.lend() as workspace:
                kernels.add_distances_to(self.samples, rows, ranges[slice(*batch)], workspace, sums, stop)

        run_tasks(add, batches, [1.0] * len(batches), n_jobs=self._n_jobs)
        return sums

    def _count_parts(self, counts: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the number of parts of each cluster: several where one tile of rows to all members is a long task."""
        sizes = self._partition.sizes
        costs = np.where(counts > 0, counts + _COLUMN_ROWS, 0) @ sizes
        wanted = (np.minimum(counts, ROWS) + _COLUMN_ROWS) * sizes / self._task_pairs(float(costs))
        return np.clip(np.ceil(wanted).astype(np.intp), 1, np.maximum(sizes // _LEAST_PART, 1))

    def nearest_candidates(
        self, rows: NDArray[np.intp], best: NDArray[np.int32], candidates: Sequence[Candidates]
    ) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Return the mean distance from each listed sample to the nearest of its candidates, scaled, and that cluster.

        The most promising candidate is computed first; its mean excludes others.

        Parameters
        ----------
        rows : ndarray of shape (n_rows,)
            Samples, as rows of X.
        best : ndarray of shape (n_rows,)
            Most promising candidate of each sample.
        candidates : sequence of Candidates
            All candidates.
        """
        mean, nearest = self._means_to(rows, best), best.copy()
        left: list[Any] = [None] * len(candidates)

        def exclude(index: int, stop: NDArray[np.uint8]) -> None:
            start, row, cluster, lower = candidates[index]
            end = start + int(row.max()) + 1
            # A candidate whose bound is within the rounding of what was computed may yet be nearer.
            limit = mean[start:end] * (1.0 + MARGIN[self.samples.origins.dtype])
            stays = np.flatnonzero((lower <= limit[row]) & (cluster != best[start:end][row]))
            left[index] = row[stays] + start, cluster[stays]

        run_tasks(exclude, range(len(candidates)), [1.0] * len(candidates), n_jobs=self._n_jobs)
        row, cluster = (np.concatenate(parts) for parts in zip(*left, strict=True))
        keep_nearer(row, cluster, self._means_to(rows[row], cluster), mean, nearest)
        return mean, nearest

    def _means_to(self, rows: NDArray[np.intp], clusters: NDArray[np.int32]) -> NDArray[np.float64]:
        """Compute the mean distances from listed samples to one cluster each, in any order; not the sample's own."""
        order = sorted_by_cluster(clusters, self._partition.n_clusters)
        sorted_rows, sorted_clusters = np.empty_like(rows), np.empty_like(clusters)
        totals, means = self._partition.totals, np.empty(len(rows))

        def sort(places: slice) -> None:
            sorted_rows[places], sorted_clusters[places] = rows[order[places]], clusters[order[places]]

        run_over_rows(sort, len(rows), n_jobs=self._n_jobs)
        sums = self.to_clusters(sorted_rows, sorted_clusters)

        def divide(places: slice) -> None:
            means[order[places]] = sums[places] / totals[sorted_clusters[places]]

        run_over_rows(divide, len(rows), n_jobs=self._n_jobs)
        return means

    def _ranges_to(
        self, edges: NDArray[np.intp], owner: NDArray[np.intp], n_parts: NDArray[np.intp]
    ) -> NDArray[np.intp]:
        """Cut runs of entries into ranges: start and end of the entries, of the members; the cluster."""
        offsets, sizes = self._partition.offsets, self._partition.sizes
        part = np.arange(len(owner)) - np.searchsorted(owner, owner)
        cuts = [offsets[owner] + sizes[owner] * (part + end) // n_parts[owner] for end in (0, 1)]
        counts, lengths = np.diff(edges), cuts[1] - cuts[0]
        tiles = (self._task_pairs(float(counts @ lengths)) / (ROWS * lengths)).astype(np.intp)
        steps = np.maximum(tiles, 1) * ROWS
        n_ranges = -(-counts // steps)
        run = np.repeat(np.arange(len(owner)), n_ranges)
        starts = edges[run] + steps[run] * count_up(n_ranges)
        ends = np.minimum(starts + steps[run], edges[run + 1])
        return np.stack([starts, ends, cuts[0][run], cuts[1][run], owner[run]], axis=1)

    def _pieces(self) -> NDArray[np.intp]:
        """Cut each cluster into equal pieces, sorted: (n_pieces, 3) start, end, cluster."""
        offsets, sizes = self._partition.offsets, self._partition.sizes
        n_pieces = -(-sizes // piece_rows(self._partition.n_samples))
        cluster, index = np.repeat(np.arange(len(sizes)), n_pieces), count_up(n_pieces)
        cuts = [offsets[cluster] + sizes[cluster] * (index + end) // n_pieces[cluster] for end in (0, 1)]
        return np.stack([*cuts, cluster], axis=1)

    def _batches(self, costs: NDArray[np.float64]) -> list[tuple[int, int]]:
        """Return runs of tasks that together are worth scheduling, the longest first."""
        begins = np.cumsum(costs) - costs
        edges = np.flatnonzero(np.diff(begins // self._task_pairs(float(costs.sum())), prepend=-1.0, append=np.inf))
        order = np.argsort(-np.add.reduceat(costs, edges[:-1]), kind="stable") if len(costs) else edges[:-1]
        return list(zip(edges[order].tolist(), edges[order + 1].tolist(), strict=True))

    def _task_pairs(self, pairs: float) -> float:
        """Return the number of pairs of a task, given the number of all pairs."""
        least, most = TASK_PRODUCTS
        return max(least, min(most, pairs * self._n_features / N_TASKS)) / self._n_features

    def _run(
        self, add: Callable[[Task, NDArray[np.uint8]], Any], tasks: list[Task], tick: ProgressCallback
    ) -> list[Any]:
        """Run tasks after the earlier tasks of their own pieces; return their results."""
        self.pairs += int(sum(task.cost for task in tasks))
        answers: list[Any] = [None] * len(tasks)

        def run(index: int, stop: NDArray[np.uint8]) -> None:
            answers[index] = add(tasks[index], stop)

        run_in_turn(run, tasks, n_jobs=self._n_jobs, tick=tick)
        return answers


def count_block_rows(n_clusters: int, n_features: int) -> int:
    """Return the number of samples whose distances to all centers are computed at a time."""
    least = int(np.clip(n_features // _BLOCK_FEATURES, 1, _BLOCK_LEAST))
    return int(np.clip(_BLOCK_ENTRIES // n_clusters, least, ROWS))


def measure_block(
    samples: Samples,
    rows: NDArray[np.intp],
    codes: NDArray[np.int32],
    centers: NDArray[np.float64],
    vectors: NDArray[Any],
    workspaces: Lender,
) -> Block:
    """Compute the distances of a block of samples from all centers, and their components along some vectors; by
    products from the last of the origins.
    """
    dtype = samples.origins.dtype
    block = Block(
        codes=codes[rows],
        squares=np.empty((len(rows), len(centers)), dtype),
        norms=np.empty(len(rows), dtype),
        components=np.empty((len(rows), len(vectors)), dtype),
    )
    origin = len(samples.origins) - 1
    with workspaces.lend() as workspace:
        kernels.fill_squares_to_centers(samples, rows, centers, vectors, origin, workspace, block)
    return block


def multiply_rows(left: NDArray[Any], right: NDArray[Any], workspace: Any) -> NDArray[Any]:
    """Compute the inner products of up to ROWS rows with up to COLUMNS rows, in the type of the workspace."""
    rows, zero = np.arange(len(left)), np.zeros(left.shape[1])
    side = Samples(left, rows[:0], zero[None].astype(left.dtype), left.dtype.type(1.0))
    products, norms = np.empty((len(left), len(right)), left.dtype), np.empty(len(left), left.dtype)
    kernels.fill_components(side, rows, zero, right, workspace, products, norms)
    return products


def bound_product_rounding(dtype: np.dtype[Any], length: int) -> float:
    """Bound the error of inner products in a tile, relative to the product of the norms: sums of DEPTH at a time."""
    return float(np.finfo(dtype).eps) * (DEPTH + length / DEPTH + 16)

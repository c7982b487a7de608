"""Guesses and intervals for rows of any data, from a table of the clusters' moments.

As in the exact engine, a first bound that needs only the distances to centers leaves few clusters as a sample's
nearest other one; those are looked at closely.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.euclidean.approximation.moment_table import MomentTable
from fastsil.engines.euclidean.tiles import Workspaces
from fastsil.engines.scaling import as_writable
from fastsil.kernels import approximation as kernels
from fastsil.kernels import bounds as bound_kernels
from fastsil.kernels import euclidean as tile_kernels
from fastsil.kernels.micro import ROWS
from fastsil.kernels.tiles import Samples
from fastsil.runtime.progress import ProgressCallback, ignore_progress
from fastsil.runtime.threads import in_batches, run_over_rows, run_tasks
from fastsil.validation.partition import count_up, sorted_by_cluster

# Candidates that are held at a time, about 50 bytes each, samples of a round, and samples of a block times clusters.
# The first round is cut as if all clusters were left, each later one by what the one before it had.
_ROUND_CANDIDATES = 1 << 19
_ROUND_SAMPLES = (1 << 6, 1 << 17)
_BLOCK_ENTRIES = 1 << 20

LOWER, GUESS, UPPER = range(3)


class Approximation(NamedTuple):
    """Mean distances of some rows; columns are the lower bound, the guess and the upper bound."""

    a: NDArray[np.float64]  # (n_rows, 3) to the other members of the own cluster; 0 for a cluster of one sample
    b: NDArray[np.float64]  # (n_rows, 3) to the nearest other cluster
    neighbor: NDArray[np.int32]  # (n_rows,) the cluster that is probably the nearest


class Candidates(NamedTuple):
    """Pairs of a row (by its place among the rows requested) and a cluster, sorted by cluster; every row occurs."""

    row: NDArray[np.int32]
    cluster: NDArray[np.int32]
    means: NDArray[np.float64]  # (n_pairs, 3) lower bound, guess and upper bound of the mean distance, scaled


class Approximator:
    """Guesses and intervals of mean Euclidean distances.

    Parameters
    ----------
    table : MomentTable
        Moments of the clusters.
    X : ndarray of shape (n_samples, n_features), float32 or float64, C-contiguous
        Samples, or a block of them; read in place.
    codes : ndarray of shape (n_samples,), int32
        Their clusters.
    scale : float
        X is multiplied by it; the table is of scaled data.
    n_jobs : int
        Number of threads. The result has the same bits for any.
    others : ndarray of shape (n_samples,), optional
        How often the other members of its cluster count for each sample, as kernels take it; by default their number.
    """

    def __init__(
        self,
        table: MomentTable,
        X: NDArray[Any],
        codes: NDArray[np.int32],
        *,
        scale: float,
        n_jobs: int,
        others: NDArray[np.float64] | None = None,
    ) -> None:
        self._table = table
        self._others = (table.moments.sizes - 1.0)[codes] if others is None else others
        self._codes = codes
        self._scale = scale
        self._dtype = table.vectors.dtype
        self._n_clusters = len(table.moments.sizes)
        self._n_jobs = n_jobs
        self._samples = Samples(as_writable(X), np.arange(0), table.origin[None], self._dtype.type(scale))
        self._workspaces = Workspaces(self._dtype, X.shape[1])

    def approximate(self, rows: NDArray[np.intp], tick: ProgressCallback = ignore_progress) -> Approximation:
        """Compute guesses and intervals for some rows.

        Parameters
        ----------
        rows : ndarray of shape (n_rows,)
            Rows of X, sorted by cluster.
        tick : callable
            Called with the share of the work that has been finished.
        """
        found = Approximation(np.zeros((len(rows), 3)), np.zeros((len(rows), 3)), np.zeros(len(rows), dtype=np.int32))
        for start, end, candidates in self.rounds(rows):
            part = Approximation(found.a[start:end], found.b[start:end], found.neighbor[start:end])
            self._fill(rows[start:end], candidates, part)
            tick((end - start) / len(rows))
        return found

    def rounds(self, rows: NDArray[np.intp]) -> Iterator[tuple[int, int, Candidates]]:
        """Yield ranges of the rows, and the clusters that may be the nearest other one of each row in it."""
        start, step = 0, int(np.clip(_ROUND_CANDIDATES // self._n_clusters, *_ROUND_SAMPLES))
        while start < len(rows):
            end = min(start + step, len(rows))
            row, cluster = self._select_all(rows[start:end])
            step = int(np.clip(_ROUND_CANDIDATES * (end - start) / len(row), *_ROUND_SAMPLES))
            looked_at = np.empty(len(row), np.intp)
            self._take(rows[start:end], row, looked_at)
            yield start, end, Candidates(row, cluster, self._look_closely(looked_at, cluster))
            start = end

    def _fill(self, rows: NDArray[np.intp], candidates: Candidates, found: Approximation) -> None:
        codes = self._codes[rows]
        others = self._others[rows]
        found.a[:] = self._look_closely(rows, codes, others)
        found.a[others == 0] = 0.0
        kernels.keep_least(candidates.row, candidates.cluster, candidates.means, found.b, found.neighbor)
        if self._scale != 1:
            for values in (found.a, found.b):
                values /= self._scale

    def _select_all(self, rows: NDArray[np.intp]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the pairs of a row and a cluster that the first bounds leave, sorted by cluster."""
        step = int(np.clip(_BLOCK_ENTRIES // self._n_clusters, 16, ROWS))
        starts = range(0, len(rows), step)
        found: list[Any] = [None] * len(starts)

        def select(index: int, stop: NDArray[np.uint8]) -> None:
            found[index] = self._select(rows[starts[index] : starts[index] + step], starts[index])

        run_tasks(select, range(len(starts)), [1.0] * len(starts), n_jobs=self._n_jobs)
        row, cluster = (np.concatenate(parts) for parts in zip(*found, strict=True))
        by_cluster = sorted_by_cluster(cluster, self._n_clusters)
        sorted_row, sorted_cluster = np.empty_like(row), np.empty_like(cluster)
        self._take(row, by_cluster, sorted_row)
        self._take(cluster, by_cluster, sorted_cluster)
        return sorted_row, sorted_cluster

    def _take(self, values: NDArray[Any], places: NDArray[np.integer[Any]], taken: NDArray[Any]) -> None:
        """Write some entries of an array, on all threads."""

        def take(some: slice) -> None:
            taken[some] = values[places[some]]

        run_over_rows(take, len(places), n_jobs=self._n_jobs)

    def _select(self, rows: NDArray[np.intp], first: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return these pairs for a block of rows; the block's first row has the number ``first``."""
        block = bound_kernels.Block(
            codes=self._codes[rows],
            squares=np.empty((len(rows), self._n_clusters), self._dtype),
            norms=np.empty(len(rows), self._dtype),
            components=np.empty((len(rows), 0), self._dtype),
        )
        bounds = self._table.bounds
        with self._workspaces.lend() as workspace:
            no_vectors = np.empty((0, bounds.centers.shape[1]), self._dtype)
            tile_kernels.fill_squares_to_centers(self._samples, rows, bounds.centers, no_vectors, 0, workspace, block)
        found = bound_kernels.make_candidates(block.squares.size)
        n_found = bound_kernels.select_by_centers(block, bounds, self._table.rounding, np.empty(len(rows)), found)
        return found.row[:n_found] + first, found.cluster[:n_found].copy()

    def _look_closely(
        self, rows: NDArray[np.intp], clusters: NDArray[np.int32], others: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Compute lower bound, guess and upper bound for pairs of a row and a cluster, sorted by cluster; scaled.

        Without ``others`` no row is a member of its cluster.
        """
        means = np.empty((len(rows), 3))
        others = np.full(len(rows), np.inf) if others is None else others
        edges = np.searchsorted(clusters, np.arange(self._n_clusters + 1))
        n_blocks = -(-np.diff(edges) // ROWS)
        owner = np.repeat(np.arange(self._n_clusters), n_blocks)
        lows = edges[owner] + ROWS * count_up(n_blocks)
        blocks = list(
            zip(owner.tolist(), lows.tolist(), np.minimum(lows + ROWS, edges[owner + 1]).tolist(), strict=True)
        )

        def look(batch: range, stop: NDArray[np.uint8]) -> None:
            with self._workspaces.lend() as workspace:
                for cluster, low, high in blocks[batch.start : batch.stop]:
                    self._bound_block(rows[low:high], cluster, others[low:high], workspace, means[low:high])

        batches = in_batches(len(blocks), n_jobs=self._n_jobs)
        run_tasks(look, batches, [len(batch) for batch in batches], n_jobs=self._n_jobs)
        return means

    def _bound_block(
        self,
        rows: NDArray[np.intp],
        cluster: int,
        others: NDArray[np.float64],
        workspace: Any,
        means: NDArray[np.float64],
    ) -> None:
        vectors = self._table.vectors[cluster]
        components = np.empty((len(rows), len(vectors)), self._dtype)
        squares = np.empty(len(rows), self._dtype)
        center = self._table.bounds.centers[cluster]
        tile_kernels.fill_components(self._samples, rows, center, vectors, workspace, components, squares)
        kernels.bound_and_guess(components, squares, cluster, self._table.moments, self._table.rounding, others, means)

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
from fastsil.engines.euclidean.tiles import Lender, count_block_rows, measure_block, tile_workspaces
from fastsil.engines.scaling import as_writable
from fastsil.kernels import approximation as kernels
from fastsil.kernels import bounds as bound_kernels
from fastsil.kernels.tiles import Samples
from fastsil.runtime.progress import ProgressCallback, ignore_progress
from fastsil.runtime.threads import run_tasks
from fastsil.validation.partition import find_group_argmin

# Candidates that are held at a time, about 40 bytes each, and samples of such a round. The first round is cut as if all
# clusters were left, each later one by what the one before it had.
_ROUND_CANDIDATES = 1 << 19
_ROUND_SAMPLES = (1 << 6, 1 << 17)
# Blocks of a task, at most, and tasks before there are as many: the pairs of a task with one cluster are looked at
# together. With few rows a task is part of a block, of this number of rows at least.
_BLOCKS, _TASKS = 2, 128
_LEAST_ROWS = 16

LOWER, GUESS, UPPER = range(3)


class Approximation(NamedTuple):
    """Mean distances of some rows; columns are the lower bound, the guess and the upper bound."""

    a: NDArray[np.float64]  # (n_rows, 3) to the other members of the own cluster; 0 for a cluster of one sample
    b: NDArray[np.float64]  # (n_rows, 3) to the nearest other cluster
    neighbor: NDArray[np.int32]  # (n_rows,) the cluster that is probably the nearest


class Candidates(NamedTuple):
    """Pairs of one of some consecutive rows and a cluster, sorted by cluster; every row occurs."""

    start: int  # place of the first row among those requested
    row: NDArray[np.int32]  # (n_pairs,) place of the row, from the start
    cluster: NDArray[np.int32]
    means: NDArray[np.float64]  # (n_pairs, 3) lower bound, guess and upper bound of the mean distance, scaled

    @property
    def n_rows(self) -> int:
        return int(self.row.max()) + 1

    def find_most_promising(self) -> NDArray[np.int32]:
        """Return the cluster of each row whose mean distance is probably the least."""
        return self.cluster[find_group_argmin(self.row, self.means[:, GUESS], self.n_rows)]


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
        self._workspaces = tile_workspaces(self._dtype, X.shape[1])
        self._block_rows = count_block_rows(self._n_clusters, X.shape[1])
        self._candidates = Lender(lambda: bound_kernels.make_candidates(self._block_rows * self._n_clusters))
        self._no_vectors = np.empty((0, X.shape[1]), self._dtype)

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

        def fill(some: slice, stop: NDArray[np.uint8]) -> None:
            self._fill(rows[some], Approximation(found.a[some], found.b[some], found.neighbor[some]))

        tasks = self._cut(len(rows))
        run_tasks(fill, tasks, [1.0] * len(tasks), n_jobs=self._n_jobs, tick=tick)
        return found

    def rounds(self, rows: NDArray[np.intp]) -> Iterator[tuple[int, int, list[Candidates]]]:
        """Yield ranges of the rows, and the clusters that may be the nearest other one of each row in it."""
        start, step = 0, int(np.clip(_ROUND_CANDIDATES // self._n_clusters, *_ROUND_SAMPLES))
        while start < len(rows):
            end = min(start + step, len(rows))
            found = self._find_all(rows[start:end])
            n_found = sum(len(part.row) for part in found)
            step = int(np.clip(_ROUND_CANDIDATES * (end - start) / n_found, *_ROUND_SAMPLES))
            yield start, end, found
            start = end

    def _find_all(self, rows: NDArray[np.intp]) -> list[Candidates]:
        tasks = self._cut(len(rows))
        found: list[Any] = [None] * len(tasks)

        def find(index: int, stop: NDArray[np.uint8]) -> None:
            found[index] = self._find_candidates(rows[tasks[index]])._replace(start=tasks[index].start)

        run_tasks(find, range(len(tasks)), [1.0] * len(tasks), n_jobs=self._n_jobs)
        return found

    def _cut(self, n_rows: int) -> list[slice]:
        """Cut rows into tasks: parts of a block where there are few."""
        step = min(max(_LEAST_ROWS, n_rows // _TASKS), self._block_rows)
        step *= int(np.clip(n_rows // (_TASKS * step), 1, _BLOCKS))
        return [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]

    def _fill(self, rows: NDArray[np.intp], found: Approximation) -> None:
        """Write guesses and intervals of the rows of a task, one thread's work."""
        codes, others = self._codes[rows], self._others[rows]
        self._bound(rows, np.arange(len(rows), dtype=np.int32), codes, others, found.a)
        found.a[others == 0] = 0.0
        candidates = self._find_candidates(rows)
        kernels.keep_least(candidates.row, candidates.cluster, candidates.means, found.b, found.neighbor)
        if self._scale != 1:
            for values in (found.a, found.b):
                values /= self._scale

    def _find_candidates(self, rows: NDArray[np.intp]) -> Candidates:
        """Find the clusters that the first bounds leave, and look at each closely."""
        step = self._block_rows
        found = [self._select(rows[start : start + step], start) for start in range(0, len(rows), step)]
        row, cluster = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = bound_kernels.sort_by_cluster(cluster, len(cluster), self._n_clusters)
        row, cluster, means = row[order], cluster[order], np.empty((len(row), 3))
        # No row is a member of these.
        self._bound(rows, row, cluster, np.full(len(row), np.inf), means)
        return Candidates(0, row, cluster, means)

    def _select(self, rows: NDArray[np.intp], first: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return the pairs of a row and a cluster that the first bounds leave, for a block; its first row has the
        number ``first``.
        """
        bounds = self._table.bounds
        block = measure_block(self._samples, rows, self._codes, bounds.centers, self._no_vectors, self._workspaces)
        with self._candidates.lend() as found:
            n_found = bound_kernels.select_by_centers(block, bounds, self._table.rounding, np.empty(len(rows)), found)
            return found.row[:n_found] + first, found.cluster[:n_found].copy()

    def _bound(
        self,
        rows: NDArray[np.intp],
        row: NDArray[np.int32],
        cluster: NDArray[np.int32],
        others: NDArray[np.float64],
        means: NDArray[np.float64],
    ) -> None:
        """Compute lower bound, guess and upper bound for pairs of one of the rows and a cluster, sorted by cluster;
        scaled.
        """
        table = self._table
        pairs = kernels.Pairs(rows[row], cluster, others)
        shapes = kernels.Shapes(table.bounds.centers, table.vectors, table.moments, table.rounding)
        with self._workspaces.lend() as workspace:
            kernels.bound_pairs(self._samples, pairs, shapes, workspace, means)

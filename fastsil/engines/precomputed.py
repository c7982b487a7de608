"""Given distances: mean distances in one pass over the matrix, in the order in which it lies in memory.

In C order the kernel sums one block of rows after another. In Fortran order a strip of rows is summed column by column,
the columns of one cluster after those of another, so that only the sums of a few clusters are held; for several
labelings, in the order of memory and into the sums of all of them. In both cases a matrix, even one mapped from a file,
is read once for all labelings, and needs only blocks that stay in the cache.

The same pass checks the distances, because a separate check would read the matrix again: the sum of a block shows
whether all of it is finite, and the smallest distance whether any is negative.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.rescaling import check_given
from fastsil.engines.scaling import as_writable
from fastsil.engines.terms import SilhouetteTerms, Work
from fastsil.kernels import precomputed as kernels
from fastsil.kernels.nearest import keep_nearest
from fastsil.runtime.caller import warn_caller
from fastsil.runtime.progress import ProgressCallback
from fastsil.runtime.threads import enough_for_threads, run_tasks
from fastsil.validation import check_distance_row, diagonal_tolerance
from fastsil.validation.arrays import is_sparse
from fastsil.validation.partition import Partition

Array = NDArray[Any]
Bytes = NDArray[np.uint8]

# Memory of all blocks of rows together, and of one of them.
_BYTES = 32 << 20
_BLOCK_BYTES = 4 << 20

# Sums of a strip of rows, which are to stay in a core's second cache; and the rows of a strip, at least as many as are
# read at full speed.
_STRIP_BYTES = 1 << 20
_STRIP_ROWS = 512, 8192

# Rows that several groupings are summed from one after the other: less than a core's second cache.
_CACHE_BYTES = 512 << 10

# Bytes read a second by a thread, roughly.
_RATE = 1.5e10

# Tasks a thread: few, but enough that no thread is idle for long at the end.
_TASKS_A_THREAD = 4

# Below, threads cost more than they save.
_ALONE_BYTES = 32 << 20

# What kernels read as it is; other types are made float64, a block at a time.
_READABLE = "bhilqBHILQfd"


class _Check:
    """The first row with values that are no distances, independent of the number of threads.

    A task that finds one does not end the run, since a task of an earlier row may still be running; later tasks leave
    at once.
    """

    def __init__(self, X: Any) -> None:
        self._X = X
        self._stored_diagonal = X.diagonal() if is_sparse(X) else None
        self._tolerance = diagonal_tolerance(X.dtype)
        self._lock = threading.Lock()
        self._row = X.shape[0]
        self._error: ValueError | None = None
        self.lowest = 0.0
        """The smallest distance, where that is rounding below 0."""

    def is_over(self, rows: slice) -> bool:
        return bool(self._row < rows.start)

    def look(self, rows: slice, total: float, lowest: float) -> None:
        """Check rows again, one by one, if their sum, their smallest distance or their diagonal is suspicious."""
        # A sum that is not finite may have overflowed.
        if np.isfinite(total) and not lowest < 0 and not (np.abs(self._diagonal(rows)) > self._tolerance).any():
            return
        for row in range(rows.start, rows.stop):
            try:
                check_distance_row(self._X, row)
            except ValueError as error:
                with self._lock:
                    if row < self._row:
                        self._row, self._error = row, error
                return
        with self._lock:
            self.lowest = min(self.lowest, lowest)

    def _diagonal(self, rows: slice) -> NDArray[np.float64]:
        # After the rows themselves: the diagonal alone of a mapped file would be read page by page.
        stored = self._stored_diagonal
        diagonal = self._X[rows, rows].diagonal() if stored is None else stored[rows]
        return np.asarray(diagonal, dtype=np.float64)

    def end(self) -> None:
        if self._error is not None:
            raise self._error


def choose_together(partitions: Sequence[Partition], n_features: int) -> list[int]:
    """Return the places of the partitions that one reading serves better than one each: all of them, of any size."""
    return list(range(len(partitions)))


def estimate_seconds(shape: tuple[int, int], n_jobs: int) -> float:
    """Estimate the time of reading a matrix of this shape."""
    return 8.0 * shape[0] * shape[1] / (_RATE * n_jobs)


def compute_terms(X: Any, partition: Partition, *, n_jobs: int, tick: ProgressCallback) -> SilhouetteTerms:
    """Compute the mean distances of every sample, exactly, from distances to all.

    Parameters
    ----------
    X, partition, n_jobs, tick
        As for :func:`compute_terms_many`, with one partition.

    Raises
    ------
    ValueError
        If a distance is NaN, infinite or negative, or a sample is not at distance 0 from itself.
    """
    return compute_terms_many(X, [partition], n_jobs=n_jobs, tick=tick)[0]


def compute_terms_many(
    X: Any, partitions: Sequence[Partition], *, n_jobs: int, tick: ProgressCallback, clip: bool = False
) -> list[SilhouetteTerms]:
    """Compute the mean distances of every sample in each of several partitions, from one reading of the distances to
    all.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_samples)
        Distances from the sample of a row to the samples of the columns. In C or Fortran order and in a type of the
        machine it is read in place, else a block of rows is copied at a time. What a CSR matrix does not store is 0.
    partitions : sequence of Partition
        Several partitions of these samples.
    n_jobs : int
        Number of threads; the result does not depend on it.
    tick : callable
        Called with shares of the work as they are finished.
    clip : bool
        Whether to read negative distances as 0, of a matrix that was found to have no others than rounding.

    Raises
    ------
    ValueError
        If a distance is NaN, infinite or negative by more than rounding, or a sample is not at distance 0 from itself.
    """
    started = time.perf_counter()
    n_samples = partitions[0].n_samples
    sparse = is_sparse(X)
    X = X if sparse else _plain(X)
    groupings = [_Grouping(partition) for partition in partitions]
    check = _Check(X)
    n_jobs = enough_for_threads(n_jobs, (X.data if sparse else X).nbytes, _ALONE_BYTES)
    reading = _plan_reading(X, groupings, check, n_jobs, clip=clip)
    step = reading.n_rows
    tasks = [slice(start, min(start + step, n_samples)) for start in range(0, n_samples, step)]
    run_tasks(reading.run, tasks, [float(rows.stop - rows.start) for rows in tasks], n_jobs=n_jobs, tick=tick)
    check.end()
    if check.lowest < 0 and not clip:
        warn_caller(f"X has negative distances down to {check.lowest:.2g}, which are rounding; they are read as 0.")
        return compute_terms_many(X, partitions, n_jobs=n_jobs, tick=tick, clip=True)
    pairs = int(X.nnz) if sparse else n_samples**2
    work = Work(
        strategy=f"precomputed: {reading.order}"
        + (f", for {len(partitions)} labelings" if len(partitions) > 1 else ""),
        pairs=pairs,
        share=pairs / n_samples**2,
        seconds={"read": time.perf_counter() - started},
    )
    found = [SilhouetteTerms(a=each.a, b=each.b, neighbor=each.neighbor, work=work) for each in groupings]
    for each in found:
        check_given(each)
    return found


class _Grouping:
    """A partition, and where tasks write their rows: arrays of shape (n_samples,)."""

    def __init__(self, partition: Partition) -> None:
        n_samples = partition.n_samples
        self.partition = partition
        self._totals, self._own_totals = partition.totals, partition.own_totals
        self.a, self.b = np.zeros(n_samples), np.full(n_samples, np.inf)
        self.neighbor = np.full(n_samples, -1, dtype=np.int32)

    def keep(self, sums: NDArray[np.float64], first: int, rows: slice) -> None:
        """Take the sums of a range of clusters."""
        own_totals = None if self._own_totals is None else self._own_totals[rows]
        codes, totals = self.partition.codes[rows], self._totals
        keep_nearest(sums, codes, first, totals, own_totals, self.a[rows], self.b[rows], self.neighbor[rows])


class _Reading(NamedTuple):
    """Order in which the matrix is read, and the tasks."""

    order: str
    n_rows: int  # of a task
    run: Callable[[slice, Bytes], None]


def _plan_reading(X: Any, groupings: Sequence[_Grouping], check: _Check, n_jobs: int, *, clip: bool) -> _Reading:
    """Plan the reading in the order of memory: rows in blocks, or columns in strips of rows."""
    n_clusters = sum(grouping.partition.n_clusters for grouping in groupings)
    if clip or is_sparse(X) or X.flags.c_contiguous or not _is_readable(X.T):
        order = "stored entries" if is_sparse(X) else "rows"
        return _Reading(order, _count_block_rows(X, n_clusters, n_jobs), _blocks(X, groupings, check, clip=clip))
    least, most = _STRIP_ROWS
    n_rows = min(most, max(least, _count_task_rows(X.shape[0], n_jobs)))
    if len(groupings) > 1:
        # All sums of a strip are held at a time.
        n_rows = max(kernels.ROWS, min(n_rows, _STRIP_BYTES // (8 * n_clusters)))
    return _Reading("columns", n_rows, _strips(X, groupings, check))


def _blocks(X: Any, groupings: Sequence[_Grouping], check: _Check, *, clip: bool) -> Callable[[slice, Bytes], None]:
    """Make a task that sums a block of rows, which stay in the cache from one grouping to the next."""
    stored = _sparse_parts(X, clip=clip) if is_sparse(X) else None
    step = X.shape[0]
    if len(groupings) > 1 and stored is None:
        step = max(1, _CACHE_BYTES // (X.itemsize * X.shape[0] * kernels.ROWS)) * kernels.ROWS

    def run_block(rows: slice, stop: Bytes) -> None:
        if check.is_over(rows):
            return
        lowest = np.zeros(kernels.ROWS)
        total = 0.0
        for start in range(rows.start, rows.stop, step):
            part = slice(start, min(start + step, rows.stop))
            block = _readable_rows(X, part, clip=clip) if stored is None else None
            for grouping in groupings:
                sums = np.empty((grouping.partition.n_clusters, part.stop - part.start))
                codes, weights = grouping.partition.codes, grouping.partition.sample_weight
                if stored is not None:
                    kernels.sum_rows_sparse(stored, part.start, codes, weights, sums, lowest, stop)
                else:
                    kernels.sum_rows(block, codes, weights, sums, lowest, stop)
                if stop[0]:
                    return
                grouping.keep(sums, 0, part)
            # Of any grouping: each adds up all distances of these rows, weighted alike.
            total += _total(sums)
        check.look(rows, total, lowest.min())

    return run_block


def _readable_rows(X: Array, rows: slice, *, clip: bool) -> Array:
    block = np.maximum(X[rows], 0) if clip else X[rows]
    if _is_readable(block):
        return block
    return np.array(block, dtype=X.dtype if X.dtype.char in _READABLE else np.float64, order="C")


def _strips(X: Array, groupings: Sequence[_Grouping], check: _Check) -> Callable[[slice, Bytes], None]:
    """Make a task that sums a strip of rows."""
    columns = X.T
    firsts = np.cumsum([0, *(grouping.partition.n_clusters for grouping in groupings)])
    weights = groupings[0].partition.sample_weight
    slots = np.stack([each.partition.codes + first for each, first in zip(groupings, firsts, strict=False)], axis=1)

    def run_strip(rows: slice, stop: Bytes) -> None:
        lowest = np.zeros(rows.stop - rows.start, dtype=X.dtype)
        if check.is_over(rows):
            return
        if len(groupings) == 1:
            total = _sum_by_cluster(columns, groupings[0], rows, lowest, stop)
        else:
            sums = np.empty((firsts[-1], rows.stop - rows.start))
            kernels.sum_columns_many(columns, rows.start, slots, weights, sums, lowest, stop)
            total = _total(sums)
            if stop[0]:
                return
            for grouping, first, last in zip(groupings, firsts, firsts[1:], strict=False):
                grouping.keep(sums[first:last], 0, rows)
        if not stop[0]:
            check.look(rows, total, lowest.min())

    return run_strip


def _sum_by_cluster(columns: Array, grouping: _Grouping, rows: slice, lowest: Array, stop: Bytes) -> float:
    """Sum the columns of one cluster after those of another, a few clusters at a time; return the sum of all
    distances.
    """
    partition = grouping.partition
    n_rows = rows.stop - rows.start
    width = max(1, min(partition.n_clusters, _STRIP_BYTES // (8 * n_rows)))
    sums = np.empty((width, n_rows))
    total = 0.0
    for first in range(0, partition.n_clusters, width):
        if stop[0]:
            break
        part = sums[: partition.n_clusters - first]
        members = kernels.Members(partition.order, partition.offsets[first:], partition.sample_weight)
        kernels.sum_columns(columns, rows.start, members, part, lowest, stop)
        total += _total(part)
        grouping.keep(part, first, rows)
    return total


def _total(sums: NDArray[np.float64]) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        return float(sums.sum())


def _count_block_rows(X: Any, n_clusters: int, n_jobs: int) -> int:
    """Count the rows of a task: whole squares of the kernel that fit the budget together with their sums."""
    n_samples = X.shape[0]
    of_a_row = X.nnz / n_samples * 12 if is_sparse(X) else n_samples * max(X.itemsize, 0 if _is_readable(X) else 8)
    budget = min(_BLOCK_BYTES, _BYTES // max(1, n_jobs))
    of_a_row += 8 * n_clusters
    rows = min(int(budget / of_a_row), _count_task_rows(n_samples, n_jobs))
    return max(kernels.ROWS, rows // kernels.ROWS * kernels.ROWS)


def _count_task_rows(n_samples: int, n_jobs: int) -> int:
    return -(-n_samples // (_TASKS_A_THREAD * max(1, n_jobs)))


def _is_readable(X: Array) -> bool:
    return bool(X.flags.c_contiguous and X.flags.aligned and X.dtype.char in _READABLE)


def _plain(values: Array) -> Array:
    """Return a view of the memory as a plain array, of a type that kernels support if possible."""
    plain = values.view(np.ndarray)
    return as_writable(plain.view(np.uint8) if plain.dtype == bool else plain)


def _sparse_parts(X: Any, *, clip: bool) -> tuple[Array, Array, Array]:
    data = _plain(np.maximum(X.data, 0) if clip else X.data)
    return data if _is_readable(data) else data.astype(np.float64), _plain(X.indices), _plain(X.indptr)

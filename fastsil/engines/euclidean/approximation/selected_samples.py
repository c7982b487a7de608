"""Mean Euclidean distances of all samples as guesses, and of chosen samples exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.euclidean.approximation.approximator import GUESS, LOWER, Approximation, Approximator
from fastsil.engines.euclidean.approximation.moment_table import (
    ClusterMoments,
    make_table,
    measure_clusters,
    vanishes_in_single,
)
from fastsil.engines.euclidean.tiles import Candidates, PairSums
from fastsil.engines.scaling import ScaledData, scale_data
from fastsil.runtime.progress import ProgressCallback, ignore_progress
from fastsil.validation.partition import Partition

# Mean distances below this have squares that float32 is about to lose.
_LEAST_MEAN = 1e-15


class EuclideanRows:
    """Guesses, intervals and exact values of mean distances, for one set of data.

    Rows are named by their position in the order of the partition, ascending.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64, C-contiguous
        Samples; read in place.
    partition : Partition
        Samples grouped by cluster.
    n_jobs : int
        Number of threads. The results have the same bits for any.
    tick : callable
        Called with the share of the work of the moments that has been finished.

    Attributes
    ----------
    pairs : int
        Pairs of samples computed so far.
    """

    def __init__(
        self, X: NDArray[Any], partition: Partition, *, n_jobs: int, tick: ProgressCallback = ignore_progress
    ) -> None:
        self._partition = partition = partition.with_relative_weights()
        self._n_jobs = n_jobs
        self._pairs_before = 0
        data = scale_data(X, partition, n_jobs)
        moments = measure_clusters(data, n_jobs=n_jobs, tick=tick)
        if data.dtype == np.float32 and vanishes_in_single(moments.variance):
            data = replace(data, dtype=np.dtype(np.float64))
            moments = measure_clusters(data, n_jobs=n_jobs)
        self._open(data, moments)

    def _open(self, data: ScaledData, moments: ClusterMoments) -> None:
        self._data = data
        table = make_table(moments, data.dtype)
        codes, weights = self._partition.codes, self._partition.weights
        others = None if weights is None else weights.relative_others(codes)
        self._approximator = Approximator(table, data.X, codes, scale=data.scale, n_jobs=self._n_jobs, others=others)
        centers = np.vstack([table.bounds.centers, table.origin]).astype(data.dtype)
        self._sums = PairSums(data, centers, self._n_jobs)

    @property
    def pairs(self) -> int:
        return self._pairs_before + self._sums.pairs

    def approximate(self, tick: ProgressCallback = ignore_progress) -> Approximation:
        """Compute guesses and intervals of all samples, by position."""
        return self._keep_digits(lambda: self._approximator.approximate(self._partition.order, tick))

    def compute(self, positions: NDArray[np.intp], tick: ProgressCallback = ignore_progress) -> Approximation:
        """Compute the exact mean distances of some samples, in all three columns, from all pairs with the candidate
        clusters.
        """
        return self._keep_digits(lambda: self._compute(positions, tick))

    def _keep_digits(self, approximate: Callable[[], Approximation]) -> Approximation:
        """Return what a function gives; in float64 where squares in float32 have vanished."""
        found = approximate()
        means = np.maximum(found.a[:, GUESS], found.b[:, GUESS])
        if self._data.dtype == np.float64 or means.min(initial=1.0) >= _LEAST_MEAN:
            return found
        self._pairs_before = self.pairs
        data = replace(self._data, dtype=np.dtype(np.float64))
        self._open(data, measure_clusters(data, n_jobs=self._n_jobs))
        return approximate()

    def _compute(self, positions: NDArray[np.intp], tick: ProgressCallback) -> Approximation:
        rows = self._partition.order[positions]
        n_rows = len(rows)
        found = Approximation(np.zeros((n_rows, 3)), np.zeros((n_rows, 3)), np.zeros(n_rows, dtype=np.int32))
        for start, end, candidates in self._approximator.rounds(rows):
            chosen = rows[start:end]
            found.a[start:end] = self._own_means(chosen)[:, None]
            best = np.concatenate([part.find_most_promising() for part in candidates])
            bounds = [Candidates(part.start, part.row, part.cluster, part.means[:, LOWER]) for part in candidates]
            b, found.neighbor[start:end] = self._sums.nearest_candidates(chosen, best, bounds)
            found.b[start:end] = b[:, None] / self._data.scale
            tick((end - start) / n_rows)
        return found

    def _own_means(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        codes, own_totals = self._partition.codes[rows], self._partition.own_totals
        # A sample's distance to itself is computed as well; it is exactly 0.
        sums = self._sums.to_clusters(rows, codes)
        divisors = np.maximum(self._partition.sizes[codes] - 1, 1) if own_totals is None else own_totals[rows]
        return np.asarray(sums / (divisors * self._data.scale))

"""Silhouettes row by row: a guess with an interval for every sample, and exact values of chosen samples.

Samples are named by their position in the order of the partition.
"""

from __future__ import annotations

import time
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances

from fastsil.engines.dispatch import SQUARES, find_euclidean_form
from fastsil.engines.euclidean.approximation import GUESS, LOWER, UPPER, Approximation, EuclideanRows
from fastsil.engines.metric_maps import MappedData
from fastsil.engines.rescaling import is_rounding_harmless
from fastsil.engines.terms import SilhouetteTerms, Work, combine_terms, nearest_from_distances
from fastsil.runtime.progress import ProgressCallback, ignore_progress, scale_progress
from fastsil.runtime.threads import count_threads_of_call, run_over_rows
from fastsil.validation import Metric, check_distance_row, get_metric_name
from fastsil.validation.arrays import result_dtype
from fastsil.validation.partition import Partition

# Exact silhouettes are within this of the truth, so that an interval that is wider by it holds them too.
_PROMISE = {np.dtype(np.float32): 2e-6, np.dtype(np.float64): 1e-10}
# Distances of other metrics held at a time.
_CHUNK_BYTES = 32 << 20


class SilhouetteRows(Protocol):
    """Guesses, intervals and exact values of single silhouettes."""

    @property
    def pairs(self) -> int:
        """Pairs of samples computed so far."""

    def intervals(self, tick: ProgressCallback = ignore_progress) -> NDArray[np.float64]:
        """Return lower bound, guess and upper bound of every silhouette, (n_samples, 3)."""

    def exact(self, positions: NDArray[np.intp], tick: ProgressCallback = ignore_progress) -> NDArray[np.float64]:
        """Compute the silhouettes of some samples, given by ascending positions."""


def open_rows(
    X: Any,
    partition: Partition,
    metric: Metric,
    metric_params: dict[str, Any],
    *,
    n_jobs: int,
    tick: ProgressCallback = ignore_progress,
) -> SilhouetteRows:
    """Open guesses from moments where the metric has a Euclidean form; else rows of scikit-learn's distances, no
    guesses.
    """
    data = find_euclidean_form(X, metric, metric_params, partition.sample_weight)
    if data is None:
        return DistanceRows(X, partition, metric, metric_params, n_jobs=n_jobs)
    return MomentRows(data, partition, n_jobs=n_jobs, tick=tick)


def guess_terms(
    X: Any,
    partition: Partition,
    metric: Metric,
    metric_params: dict[str, Any],
    *,
    refine_to: float | None,
    n_jobs: int,
    tick: ProgressCallback,
) -> tuple[SilhouetteTerms, NDArray[np.float64]]:
    """Compute guesses of all terms, and intervals of the silhouettes, (n_samples, 3); both by row of X.

    Samples whose interval is wider than ``refine_to`` are computed exactly.

    Raises
    ------
    ValueError
        If the metric has no Euclidean form.
    """
    data = find_euclidean_form(X, metric, metric_params, partition.sample_weight)
    if data is None:
        raise ValueError(
            f"exact=False guesses from moments, which metric={get_metric_name(metric)!r} does not have for such data. "
            "Pass exact=True, or call silhouette_estimate: it draws random samples for any metric."
        )
    started = time.perf_counter()
    rows = MomentRows(data, partition, n_jobs=n_jobs, tick=scale_progress(tick, 0.2))
    return rows.terms(refine_to, scale_progress(tick, 0.8), started)


class MomentRows:
    """Silhouettes in a Euclidean geometry.

    Parameters
    ----------
    data : MappedData
        Samples, float32 or float64, and the map after which distances are Euclidean.
    partition : Partition
        Samples grouped by cluster.
    n_jobs : int
        Number of threads.
    tick : callable
        Called with the share of the work of the moments that has been finished.
    """

    def __init__(
        self, data: MappedData, partition: Partition, *, n_jobs: int, tick: ProgressCallback = ignore_progress
    ) -> None:
        self._partition = partition
        # Silhouettes are as good as is promised for the data that were given.
        self._dtype = data.X.dtype
        self._alone = partition.is_alone[partition.order]
        self._data = data
        self._n_jobs = n_jobs
        self._in_single = data.compute_in_single()
        self._open(data.compute() if self._in_single is None else self._in_single, tick)

    def _open(self, X: NDArray[Any], tick: ProgressCallback = ignore_progress) -> None:
        self._rows = EuclideanRows(X, self._partition, n_jobs=self._n_jobs, tick=tick)

    @property
    def pairs(self) -> int:
        return self._rows.pairs

    def intervals(self, tick: ProgressCallback = ignore_progress) -> NDArray[np.float64]:
        return self.guess(tick)[1]

    def compute_intervals(self, found: Approximation) -> NDArray[np.float64]:
        """Compute the intervals of all silhouettes from those of their mean distances."""
        return intervals_from(found, self._alone, self._dtype)

    def exact(self, positions: NDArray[np.intp], tick: ProgressCallback = ignore_progress) -> NDArray[np.float64]:
        found = self._rows.compute(positions, tick)
        silhouettes = combine_terms(found.a[:, GUESS], found.b[:, GUESS])
        silhouettes[self._alone[positions]] = 0.0
        return silhouettes

    def guess(self, tick: ProgressCallback = ignore_progress) -> tuple[Approximation, NDArray[np.float64]]:
        """Return the mean distances of all samples, as far as they are known without pairs, and the intervals."""
        found = self._rows.approximate(tick)
        if self._in_single is not None and not self._keeps_digits(self._in_single, found):
            self._in_single = None
            self._open(self._data.compute())
            found = self._rows.approximate()
        return found, self.compute_intervals(found)

    def _keeps_digits(self, mapped: NDArray[np.float32], found: Approximation) -> bool:
        """Return whether silhouettes are certain to be right although mapped values were rounded to float32."""
        least = np.empty(self._partition.n_samples)
        least[self._partition.order] = np.maximum(found.a[:, LOWER], found.b[:, LOWER])
        return is_rounding_harmless(mapped, least, 2.0, SQUARES)

    def terms(
        self, refine_to: float | None, tick: ProgressCallback, started: float
    ) -> tuple[SilhouetteTerms, NDArray[np.float64]]:
        """Return the result of :func:`guess_terms`; ``started`` is the time at which its work began."""
        found, intervals = self.guess(scale_progress(tick, 1.0 if refine_to is None else 0.5))
        seconds = {"guesses": time.perf_counter() - started}
        if refine_to is not None:
            wide = np.flatnonzero(intervals[:, UPPER] - intervals[:, LOWER] > refine_to)
            exact = self._rows.compute(wide, scale_progress(tick, 0.5))
            found.a[wide], found.b[wide], found.neighbor[wide] = exact
            intervals[wide] = combine_terms(exact.a[:, GUESS], exact.b[:, GUESS])[:, None]
            seconds["refined"] = time.perf_counter() - started - seconds["guesses"]
        return self.order_by_row(found, intervals, seconds)

    def order_by_row(
        self, found: Approximation, intervals: NDArray[np.float64], seconds: dict[str, float]
    ) -> tuple[SilhouetteTerms, NDArray[np.float64]]:
        """Return guesses as the terms of an engine, and the intervals, by row of X."""
        order, n_samples = self._partition.order, self._partition.n_samples
        a, b = np.empty(n_samples), np.empty(n_samples)
        neighbor = np.empty(n_samples, dtype=np.int32)
        by_row = np.empty((n_samples, 3))
        a[order], b[order], neighbor[order] = found.a[:, GUESS], found.b[:, GUESS], found.neighbor
        by_row[order] = intervals
        work = Work("moments", self.pairs, self.pairs / n_samples**2, seconds)
        return SilhouetteTerms(a=a, b=b, neighbor=neighbor, work=work), by_row


def intervals_from(found: Approximation, alone: NDArray[np.bool_], dtype: np.dtype[Any]) -> NDArray[np.float64]:
    """Compute intervals of silhouettes, (n_rows, 3), from those of mean distances.

    Parameters
    ----------
    found : Approximation
        Mean distances of some samples.
    alone : ndarray of shape (n_rows,), bool
        Which of them are a cluster of one sample.
    dtype : dtype
        Type of the data that were given: silhouettes are as good as it promises.
    """
    margin = _PROMISE[result_dtype(dtype)]
    intervals = np.empty((len(found.a), 3))

    def compute(rows: slice) -> None:
        some = intervals[rows]
        for column in (LOWER, GUESS, UPPER):
            # A silhouette falls with a and grows with b.
            some[:, column] = combine_terms(found.a[rows, UPPER - column], found.b[rows, column])
        some[:, LOWER] = np.maximum(some[:, LOWER] - margin, -1.0)
        some[:, UPPER] = np.minimum(some[:, UPPER] + margin, 1.0)
        some[alone[rows]] = 0.0

    run_over_rows(compute, len(intervals), n_jobs=count_threads_of_call())
    return intervals


class DistanceRows:
    """Silhouettes in any metric, by scikit-learn's distances from single samples; nothing is known without."""

    def __init__(
        self, X: Any, partition: Partition, metric: Metric, metric_params: dict[str, Any], *, n_jobs: int
    ) -> None:
        self._X = X
        self._partition = partition
        self._metric = metric
        self._metric_params = metric_params
        self._n_jobs = n_jobs
        self.pairs = 0

    def intervals(self, tick: ProgressCallback = ignore_progress) -> NDArray[np.float64]:
        intervals = np.tile([-1.0, 0.0, 1.0], (self._partition.n_samples, 1))
        intervals[self._partition.is_alone[self._partition.order]] = 0.0
        tick(1.0)
        return intervals

    def exact(self, positions: NDArray[np.intp], tick: ProgressCallback = ignore_progress) -> NDArray[np.float64]:
        partition = self._partition
        step = max(1, _CHUNK_BYTES // (8 * partition.n_samples))
        silhouettes = np.empty(len(positions))
        for start in range(0, len(positions), step):
            rows = partition.order[positions[start : start + step]]
            distances = self._distances_from(rows)
            self.pairs += distances.size
            a, b, _ = nearest_from_distances(distances, partition, rows)
            found = combine_terms(a, b)
            found[partition.is_alone[rows]] = 0.0
            silhouettes[start : start + len(rows)] = found
            tick(len(rows) / len(positions))
        return silhouettes

    def _distances_from(self, rows: NDArray[np.intp]) -> NDArray[Any]:
        if self._metric != "precomputed":
            distances = pairwise_distances(
                self._X[rows], self._X, metric=self._metric, n_jobs=self._n_jobs, **self._metric_params
            )
            # Rounded, a distance to itself need not be 0.
            distances[np.arange(len(rows)), rows] = 0.0
            return np.asarray(distances)
        for row in rows:
            check_distance_row(self._X, int(row))
        distances = self._X[rows]
        # Negative ones are rounding.
        return np.maximum(distances if isinstance(distances, np.ndarray) else distances.toarray(), 0)

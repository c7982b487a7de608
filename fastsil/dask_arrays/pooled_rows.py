"""Euclidean silhouettes of a pool of rows, where intervals of all rows would not fit in the caller's memory.

The moments of the clusters are of all rows, and the guesses too, of which only sums leave a task. An estimate draws
from the pool (:mod:`fastsil.scoring.estimate`), and corrects the pool's mean of the guesses to that of all rows. With
fewer rows than the pool may have, it is all of them.

The rows of the pool are drawn with replacement, so that the mean error of the guesses r = s - g over the pool is a mean
of independent draws from all rows. It misses the mean over all rows, with probability 1 - δ, by no more than

    √(2 V log(4 / δ) / m) + 28 log(4 / δ) / (3 (m - 1)),

V the variance of r in the pool, m its rows, since r is between -2 and 2. The certain intervals bound V.

References
----------
A. Maurer, M. Pontil (2009), "Empirical Bernstein bounds and sample variance penalization", COLT 2009.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.dask_arrays import euclidean
from fastsil.dask_arrays.approximation import approximate_block, make_moment_table
from fastsil.dask_arrays.block_rows import Ignored, encode_block
from fastsil.dask_arrays.covariance_sketches import CovarianceSketch, merge_shapes
from fastsil.dask_arrays.drawn_rows import list_blocks
from fastsil.dask_arrays.graph import add_arrays
from fastsil.dask_arrays.row_blocks import RowBlocks
from fastsil.engines.euclidean.approximation import GUESS, MomentTable
from fastsil.engines.intervals import intervals_from
from fastsil.engines.terms import SilhouetteTerms, Work, compute_row_silhouettes
from fastsil.runtime.progress import ProgressCallback, ignore_progress
from fastsil.validation.partition import partition_from_codes

_ALL = Ignored()

# Rows of a pool at most: an estimate takes 200 bytes for each.
_MOST_ROWS = 1_000_000


class Guesses(NamedTuple):
    """Guesses of silhouettes, added up by cluster, and those of some rows.

    Attributes
    ----------
    sums, negative : ndarray of shape (n_clusters,)
        Sum of the guesses of all rows, and number of those below 0.
    codes : ndarray of shape (n_rows,), int32
        Cluster of the requested rows.
    intervals : ndarray of shape (n_rows, 3)
        Lower bound, guess and upper bound of their silhouettes.
    """

    sums: NDArray[np.float64]
    negative: NDArray[np.float64]
    codes: NDArray[np.int32]
    intervals: NDArray[np.float64]


class PooledRows:
    """Rows of :class:`~fastsil.engines.intervals.SilhouetteRows`: the pool, by position in the order of its partition.

    Parameters
    ----------
    X : RowBlocks of shape (n_samples, n_features)
        Samples where distances are Euclidean.
    labels : dask.array.Array of shape (n_samples,)
        Cluster of each, lazy.
    random : numpy Generator
        Draws the pool.

    Attributes
    ----------
    partition : Partition
        The pool.
    is_whole : bool
        Whether the pool is all rows.
    guesses : Guesses
        Sums over all rows, and what is known of the pool, by row.
    pairs : int
        Pairs of samples computed so far.
    """

    def __init__(self, X: RowBlocks, labels: Any, random: np.random.Generator) -> None:
        n_samples = len(X)
        self.is_whole = n_samples <= _MOST_ROWS
        self._rows = np.arange(n_samples) if self.is_whole else np.sort(random.integers(n_samples, size=_MOST_ROWS))
        self._X, self._labels = X, list_blocks(labels)
        extent = X.reduce(euclidean.measure_block, euclidean.merge_extents, _ALL, of_blocks=[self._labels, X.starts])
        self._survey = euclidean.make_survey(extent, X.dtype, _ALL)
        shapes = X.reduce(_sketch_block, merge_shapes, self._survey, of_blocks=[self._labels])
        self._table = make_moment_table(shapes, self._survey)
        edges = np.searchsorted(self._rows, [*X.starts, n_samples])
        wanted = [self._rows[low:high] - start for low, high, start in zip(edges, edges[1:], X.starts, strict=False)]
        self.guesses: Guesses = X.reduce(
            _guess_block, _merge_guesses, self._survey, self._table, X.dtype, of_blocks=[self._labels, wanted]
        )
        classes, codes = np.unique(self.guesses.codes, return_inverse=True)
        self.partition = partition_from_codes(self._survey.summaries.classes[classes], codes)
        self.pairs = 0

    def intervals(self, tick: ProgressCallback = ignore_progress) -> NDArray[np.float64]:
        """Return lower bound, guess and upper bound of every silhouette, (n_rows, 3), by position."""
        tick(1.0)
        return self.guesses.intervals[self.partition.order]

    def exact(self, positions: NDArray[np.intp], tick: ProgressCallback = ignore_progress) -> NDArray[np.float64]:
        """Compute the silhouettes of some rows, given by ascending positions: the rows go to every block."""
        places = self.partition.order[positions]
        # In the order of the rows, so that every block is read once.
        by_row = np.argsort(places)
        places = places[by_row]
        codes = self.guesses.codes[places]
        drawn = self._X[self._rows[places]]
        needed = euclidean.find_needed(drawn, codes, self._survey, self._table)
        sums = self._X.reduce(_add_block, add_arrays, drawn, needed, self._survey, of_blocks=[self._labels])
        terms = euclidean.combine_sums(sums, needed, codes, self._survey)
        self.pairs += terms.work.pairs
        silhouettes = np.empty(len(positions))
        silhouettes[by_row] = compute_row_silhouettes(terms, self._survey.sizes[codes] == 1)
        tick(1.0)
        return silhouettes

    def guess(self, drawn: NDArray[Any], codes: NDArray[np.int32]) -> tuple[SilhouetteTerms, NDArray[np.float64]]:
        """Approximate the terms of some samples, of given clusters, with intervals of their silhouettes."""
        found = approximate_block(drawn, codes, self._survey, self._table)
        terms = SilhouetteTerms(found.a[:, GUESS], found.b[:, GUESS], found.neighbor, Work("moments", 0, 0.0))
        return terms, intervals_from(found, self._survey.sizes[codes] == 1, self._X.dtype)

    def correct(self) -> tuple[float, float, float]:
        """Return what the means of the guesses over all rows are above those over the pool: of all rows, of the
        clusters' means, of the share below 0.
        """
        if self.is_whole:
            return 0.0, 0.0, 0.0
        guess, n_samples = self.guesses.intervals[:, GUESS], len(self._X)
        return (
            float(self.guesses.sums.sum() / n_samples - guess.mean()),
            float((self.guesses.sums / self._survey.sizes).mean() - self.partition.means(guess).mean()),
            float(self.guesses.negative.sum() / n_samples - (guess < 0).mean()),
        )

    def bound_error(self, delta: float) -> float:
        """Bound how far the mean error of the guesses over the pool is from that over all rows, with probability
        1 - ``delta``.
        """
        return 0.0 if self.is_whole else bound_pool_error(self.guesses.intervals, delta)


def bound_pool_error(intervals: NDArray[np.float64], delta: float) -> float:
    """Bound the error of the mean of s - g over independent draws, of which intervals (lower, g, upper) hold s."""
    lower, guess, upper = intervals.T
    m, logarithm = len(guess), math.log(4 / delta)
    variance = float(np.square(np.maximum(guess - lower, upper - guess)).sum()) / (m - 1)
    return math.sqrt(2 * variance * logarithm / m) + 28 * logarithm / (3 * (m - 1))


def _sketch_block(X: NDArray[Any], labels: Any, survey: euclidean.Survey) -> CovarianceSketch | None:
    return euclidean.sketch_block(X, encode_block(labels, survey.summaries, _ALL), survey)


def _guess_block(
    X: NDArray[Any],
    labels: Any,
    wanted: NDArray[np.intp],
    survey: euclidean.Survey,
    table: MomentTable,
    dtype: np.dtype[Any],
) -> Guesses:
    codes, n_clusters = encode_block(labels, survey.summaries, _ALL), len(survey.sizes)
    intervals = intervals_from(approximate_block(X, codes, survey, table), survey.sizes[codes] == 1, dtype)
    guess = intervals[:, GUESS]
    sums, negative = (
        np.bincount(codes, weights=values, minlength=n_clusters).astype(np.float64, copy=False)
        for values in (guess, guess < 0)
    )
    return Guesses(sums, negative, codes[wanted], intervals[wanted])


def _merge_guesses(parts: list[Guesses]) -> Guesses:
    sums, negative, codes, intervals = zip(*parts, strict=True)
    return Guesses(np.sum(sums, axis=0), np.sum(negative, axis=0), np.concatenate(codes), np.concatenate(intervals))


def _add_block(
    X: NDArray[Any], labels: Any, drawn: NDArray[Any], needed: euclidean.Needed, survey: euclidean.Survey
) -> NDArray[np.float64]:
    codes = encode_block(labels, survey.summaries, _ALL)
    return euclidean.add_block(None, drawn, needed, X, codes, survey)

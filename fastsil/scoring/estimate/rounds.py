"""Rounds of random samples: their choice, their number, and the intervals that follow from their exact silhouettes.

Every sample has a silhouette that is guessed from moments, and an interval [l, u] that certainly holds it. The average
error of the guesses is found from random samples that are computed exactly. A draw i of a round, taken with probability
p_i, gives

    mean of the guesses + (s_i - g_i) / (n p_i),
whose mean is the score for any p that leaves out no sample whose silhouette is open; it lies inside a range that is
fixed before the draw. From such draws,
:class:`~fastsil.scoring.estimate.confidence_interval.MeanIntervals` makes an interval that holds with the stated
confidence for any data, any number of rounds, and any rule for stopping.

The range below is the narrowest for p in proportion to g - l, that above for u - g. Samples are drawn in proportion to
the larger of g - l and κ (u - g), where κ is the ratio of their sums: the ranges are then nearly as narrow together as
the sum of u - l. Draws for one purpose serve the others too, so that a sample gets the largest of the chances that it
has for each of them, not their sum. What single clusters still need is drawn last, in the number that each needs.
A computed sample has a point for its interval, and is not drawn again.

Where samples have weights, 1 / n is the weight's share of all weights (but not in the share of negative samples, which
counts samples), and so chances are in proportion to weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.euclidean.approximation import GUESS, LOWER, UPPER
from fastsil.engines.intervals import SilhouetteRows
from fastsil.runtime.threads import count_threads_of_call, run_over_rows
from fastsil.scoring.estimate.confidence_interval import MeanIntervals
from fastsil.scoring.estimate.result import ClusterEstimates, SilhouetteEstimate
from fastsil.validation.partition import Partition

# Places of the means: of all samples, of the clusters' means, of the share of negative samples, of the clusters.
_SCORE, _MACRO, _SHARE, _CLUSTERS = range(4)
# Half-widths of the intervals of single clusters and of the share of negative samples, in units of `tol`.
_LOOSER = 10.0
# With more of all samples to compute one by one, computing all of them together is less work.
_MOST_ROWS = 0.5


class Request(NamedTuple):
    tol: float
    confidence: float
    random_state: np.random.RandomState
    n_jobs: int


class _Means:
    """Means of samples that follow each other, and sums over them, on the threads of the call.

    Sums run over stretches of a fixed number of samples, and are then added in order.
    """

    def __init__(self, starts: NDArray[np.intp], n_samples: int) -> None:
        self.starts = starts
        self.n_samples = n_samples
        # Where a mean begins, or a stretch.
        self._edges = np.union1d(starts, np.arange(0, n_samples, _STRETCH))
        self._firsts = np.searchsorted(self._edges, starts)

    def reduce(self, operation: np.ufunc, compute: Callable[[slice], NDArray[np.float64]]) -> NDArray[np.float64]:
        """Reduce what ``compute(rows)`` returns over the samples of each mean."""
        of_edges = np.empty(len(self._edges))

        def reduce(rows: slice) -> None:
            inside = slice(*np.searchsorted(self._edges, (rows.start, rows.stop)))
            of_edges[inside] = operation.reduceat(compute(rows), self._edges[inside] - rows.start)

        run_over_rows(reduce, self.n_samples, n_jobs=count_threads_of_call(), step=_STRETCH)
        return np.asarray(operation.reduceat(of_edges, self._firsts))

    def spread(self, values: NDArray[np.float64], rows: slice) -> NDArray[np.float64]:
        """Return the value of the mean of each of some samples."""
        inside = np.append(self.starts, self.n_samples).clip(rows.start, rows.stop)
        return np.repeat(values, np.diff(inside))


# Samples of a stretch.
_STRETCH = 1 << 14


class _Purpose(NamedTuple):
    """Purpose of draws: one mean, or one for each cluster.

    Attributes
    ----------
    means : _Means
        Which samples are those of each mean.
    part : ndarray of shape (n_samples,)
        Weight of each sample in its mean.
    below, above : ndarray of shape (n_samples,)
        How far each sample can be below, and above, what is guessed.
    """

    means: _Means
    part: NDArray[np.float64]
    below: NDArray[np.float64]
    above: NDArray[np.float64]

    def find_chances(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return chances in a draw that make its range narrow, and the chance of each mean's samples together."""
        below, above = (self.add(self.part, reach) for reach in (self.below, self.above))
        one_sided = np.minimum(below, above) == 0
        ratio = np.where(one_sided, 1.0, below / np.where(one_sided, 1.0, above))
        chances = np.empty(len(self.part))

        def fill(rows: slice) -> NDArray[np.float64]:
            wider = np.maximum(self.below[rows], self.means.spread(ratio, rows) * self.above[rows])
            return np.multiply(self.part[rows], wider, out=chances[rows])

        return chances, self.means.reduce(np.add, fill)

    def find_range(self, chances: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return how far draws with these chances can be below, and above, each guessed mean; inf where the chances
        leave a sample out.
        """

        def reach_with(reach: NDArray[np.float64], rows: slice) -> NDArray[np.float64]:
            part, some, chance = self.part[rows], reach[rows], chances[rows]
            # What is no part of the mean need not be drawn.
            stands = np.divide(part, chance, out=np.where(part > 0, np.inf, 0.0), where=chance > 0)
            return np.multiply(some, stands, out=np.zeros_like(stands), where=some > 0)

        total = np.maximum(self.add(chances), 1e-300)
        below, above = (self.means.reduce(np.maximum, partial(reach_with, reach)) for reach in (self.below, self.above))
        return below * total, above * total

    def find_stakes(self, drawn: NDArray[np.intp], chances: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far each draw moves its mean, in units of its sample."""
        mean = np.searchsorted(self.means.starts, drawn, side="right") - 1
        return np.asarray(self.part[drawn] * self.add(chances)[mean] / chances[drawn])

    def add(self, values: NDArray[np.float64], factors: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Add up values, times their factors, for each mean."""
        return self.means.reduce(np.add, lambda rows: values[rows] if factors is None else values[rows] * factors[rows])


class Rounds:
    """Rounds of random samples. Arrays are by position in the order of the partition, so cluster after cluster.

    ``intervals`` are narrowed in place: a computed sample has a point there.
    """

    def __init__(
        self, rows: SilhouetteRows, partition: Partition, request: Request, intervals: NDArray[np.float64]
    ) -> None:
        self._rows = rows
        self._partition = partition
        self._request = request
        self._intervals = intervals
        self._known = intervals[:, UPPER] == intervals[:, LOWER]
        self._computed = 0
        self._rounds = 0
        self._starts = partition.offsets[:-1]
        self._whole = _Means(self._starts[:1], partition.n_samples)
        self._by_cluster = _Means(self._starts, partition.n_samples)
        self._codes = partition.codes[partition.order]
        weights = partition.sample_weight
        # Of all samples, and of each in its cluster.
        self._equal = np.full(partition.n_samples, 1 / partition.n_samples)
        self._of_all = self._equal if weights is None else weights[partition.order] / weights.sum()
        in_order = np.ones(partition.n_samples) if weights is None else weights[partition.order]
        self._in_cluster = in_order / partition.totals[self._codes]

        guess = self._guessed_means()
        low, tol = np.full(len(guess), -1.0), np.full(len(guess), request.tol)
        low[_SHARE], tol[_SHARE:] = 0.0, _LOOSER * request.tol
        self._means = MeanIntervals(request.confidence, low, np.ones(len(guess)), guess)
        self._tol = tol

    def run(self) -> bool:
        """Draw until all intervals are narrow enough; False if computing all samples is less work."""
        while True:
            self._narrow()
            purposes = self._purposes()
            of_all, of_clusters = self._needs(purposes)
            small = np.flatnonzero(self._small_clusters(of_clusters)[self._codes] & ~self._known)
            wanted = len(small) or max(math.ceil(of_all.sum()), int(of_clusters.sum()))
            if wanted == 0:
                return True
            if self._computed + wanted > _MOST_ROWS * self._partition.n_samples:
                return False
            if len(small):
                self._learn(small)
                continue
            if of_all.any():
                self._draw(of_all, np.array([math.ceil(of_all.sum())]), purposes)
            else:
                self._draw(purposes[-1].find_chances()[0], of_clusters, purposes)
            self._rounds += 1

    def finish(self) -> SilhouetteEstimate:
        partition = self._partition
        low, mean, high = self._means.low, self._means.mean, self._means.high
        intervals = list(zip(low.tolist(), high.tolist(), strict=True))
        of_clusters = (column[_CLUSTERS:] for column in (mean, low, high))
        return SilhouetteEstimate(
            score=float(mean[_SCORE]),
            interval=intervals[_SCORE],
            macro_score=float(mean[_MACRO]),
            macro_interval=intervals[_MACRO],
            clusters=ClusterEstimates(partition.classes, partition.sizes, *of_clusters),
            negative_share=float(mean[_SHARE]),
            negative_interval=intervals[_SHARE],
            confidence=self._request.confidence,
            tol=self._request.tol,
            metric="",
            n_samples=partition.n_samples,
            n_exact=int(np.count_nonzero(self._known)),
            rounds=self._rounds,
            pairs=self._rows.pairs,
            seconds=0.0,
        )

    def _narrow(self) -> None:
        """Narrow all intervals to certain bounds."""
        lower, upper = self._intervals[:, LOWER], self._intervals[:, UPPER]
        self._means.narrow(self._all_means(lower, upper < 0), self._all_means(upper, lower < 0))

    def _purposes(self) -> list[_Purpose]:
        """Return what draws are for, in the order of the means."""
        n_clusters = self._partition.n_clusters
        lower, guess, upper = self._intervals.T
        below, above = guess - lower, upper - guess
        doubtful, negative = self._doubtful(), guess < 0
        too_low, too_high = doubtful & negative, doubtful & ~negative
        return [
            _Purpose(self._whole, self._of_all, below, above),
            _Purpose(self._whole, self._in_cluster / n_clusters, below, above),
            _Purpose(self._whole, self._equal, too_low.astype(float), too_high.astype(float)),
            _Purpose(self._by_cluster, self._in_cluster, below, above),
        ]

    def _needs(self, purposes: list[_Purpose]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return how often each sample should be drawn for the results of all samples, and how many draws each
        cluster's mean needs.
        """
        chances, totals = zip(*(purpose.find_chances() for purpose in purposes), strict=True)
        needed = self._means.draws_needed(self._tol, *self._find_ranges(purposes, list(chances)))
        of_all = np.zeros(self._partition.n_samples)
        for some, total, number in zip(chances[:-1], totals[:-1], needed[:_CLUSTERS], strict=True):
            if number:
                np.maximum(of_all, some * (number / total), out=of_all)
        return of_all, needed[_CLUSTERS:]

    def _find_ranges(
        self, purposes: list[_Purpose], chances: list[NDArray[np.float64]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the least and the most that draws for each mean can be."""
        ranges = [purpose.find_range(some) for purpose, some in zip(purposes, chances, strict=True)]
        below, above = (np.concatenate(side) for side in zip(*ranges, strict=True))
        means = self._guessed_means()
        return means - below, means + above

    def _guessed_means(self) -> NDArray[np.float64]:
        guess = self._intervals[:, GUESS]
        return self._all_means(guess, guess < 0)

    def _all_means(self, values: NDArray[np.float64], negative: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return all means of values by sample, with what counts as negative for their share."""
        means = self._cluster_means(values)
        return np.concatenate([[self._mean(values), means.mean(), negative.mean()], means])

    def _small_clusters(self, needed: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the clusters whose draws would cost no less than all of their samples."""
        unknown = np.add.reduceat((~self._known).astype(np.int64), self._starts)
        return (unknown > 0) & (unknown <= needed)

    def _draw(self, chances: NDArray[np.float64], counts: NDArray[np.int64], purposes: list[_Purpose]) -> None:
        """Run one round: draw, compute, and update the intervals.

        ``counts`` are the numbers of draws from all samples, or from each cluster.
        """
        drawn = self._draw_positions(chances, counts)
        chosen, at = np.unique(drawn, return_inverse=True)
        silhouettes = self._rows.exact(chosen)
        least, most = self._find_ranges(purposes, [chances] * len(purposes))
        # A mean that is certain, such as the share of negative samples where none is doubtful, learns nothing.
        told = np.isfinite(least) & np.isfinite(most) & (least < most)
        # Draws in a number that is fixed for each cluster are no draws from all samples.
        told[:_CLUSTERS] &= len(counts) == 1
        means, values = self._values(drawn, silhouettes[at], chances, purposes)
        kept = told[means]
        self._means.add(means[kept], values[kept], least, most)
        self._learn(chosen, silhouettes)

    def _values(
        self,
        drawn: NDArray[np.intp],
        silhouettes: NDArray[np.float64],
        chances: NDArray[np.float64],
        purposes: list[_Purpose],
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return what the draws say of each mean, and of which, (n_purposes, n_draws)."""
        means = np.repeat(np.arange(len(purposes))[:, None], len(drawn), axis=1)
        means[_CLUSTERS] += self._codes[drawn]
        guess = self._intervals[drawn, GUESS]
        missed, signs = silhouettes - guess, (silhouettes < 0).astype(np.float64) - (guess < 0)
        stakes = np.stack([purpose.find_stakes(drawn, chances) for purpose in purposes])
        return means, self._guessed_means()[means] + stakes * np.stack([missed, missed, signs, missed])

    def _draw_positions(self, chances: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.intp]:
        ends = np.cumsum(chances)
        tops = ends[-1:] if len(counts) == 1 else ends[self._partition.offsets[1:] - 1]
        bottoms = np.append(0.0, tops[:-1])
        part = np.repeat(np.arange(len(counts)), counts)
        points = bottoms[part] + self._request.random_state.random_sample(len(part)) * (tops - bottoms)[part]
        # Rounded up to the end, a point would be that of the next cluster.
        points = np.minimum(points, np.nextafter(tops, 0)[part])
        return np.asarray(np.searchsorted(ends, points, side="right"))

    def _learn(self, positions: NDArray[np.intp], silhouettes: NDArray[np.float64] | None = None) -> None:
        """Set the silhouettes of some samples to exact values."""
        found = self._rows.exact(positions) if silhouettes is None else silhouettes
        self._intervals[positions] = found[:, None]
        self._known[positions] = True
        self._computed += len(positions)

    def _doubtful(self) -> NDArray[np.bool_]:
        """Return the samples whose interval contains 0."""
        return np.asarray((self._intervals[:, LOWER] < 0) & (self._intervals[:, UPPER] >= 0) & ~self._known)

    def _cluster_means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._partition.weights is None:
            return self._by_cluster.reduce(np.add, lambda rows: values[rows]) / self._partition.sizes
        return self._by_cluster.reduce(np.add, lambda rows: values[rows] * self._in_cluster[rows])

    def _mean(self, values: NDArray[np.float64]) -> float:
        return float(values.mean() if self._partition.weights is None else values @ self._of_all)

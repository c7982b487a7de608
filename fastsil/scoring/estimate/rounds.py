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
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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


class _Clusters:
    """Sums over the samples of each cluster, which follow each other, on the threads of the call.

    Sums run over stretches of a fixed number of samples, and are then added in order.
    """

    def __init__(self, starts: NDArray[np.intp], n_samples: int) -> None:
        self.starts = starts
        self.n_samples = n_samples
        # Where a cluster begins, or a stretch.
        self._edges = np.union1d(starts, np.arange(0, n_samples, _STRETCH))
        self._firsts = np.searchsorted(self._edges, starts)

    def reduce(
        self, operations: Sequence[np.ufunc], compute: Callable[[slice], Sequence[NDArray[Any]]]
    ) -> list[NDArray[np.float64]]:
        """Reduce what ``compute(rows)`` returns, an array for each operation, over the samples of each cluster."""
        of_edges = np.empty((len(operations), len(self._edges)))

        def reduce(rows: slice) -> None:
            inside = slice(*np.searchsorted(self._edges, (rows.start, rows.stop)))
            edges = self._edges[inside] - rows.start
            for reduced, operation, values in zip(of_edges, operations, compute(rows), strict=True):
                reduced[inside] = operation.reduceat(values, edges, dtype=np.float64)

        run_over_rows(reduce, self.n_samples, n_jobs=count_threads_of_call(), step=_STRETCH)
        pairs = zip(of_edges, operations, strict=True)
        return [np.asarray(operation.reduceat(reduced, self._firsts)) for reduced, operation in pairs]

    def accumulate(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums of all values up to each sample; they never fall."""
        ends = np.empty(self.n_samples)

        def sum_up(rows: slice) -> None:
            np.cumsum(values[rows], out=ends[rows])

        run_over_rows(sum_up, self.n_samples, n_jobs=count_threads_of_call(), step=_STRETCH)
        before = np.append(0.0, ends[_STRETCH - 1 :: _STRETCH].cumsum())

        def add(rows: slice) -> None:
            ends[rows] += before[rows.start // _STRETCH]

        run_over_rows(add, self.n_samples, n_jobs=count_threads_of_call(), step=_STRETCH)
        return ends

    def spread(self, values: NDArray[np.float64], rows: slice) -> NDArray[np.float64]:
        """Return the value of the cluster of each of some samples."""
        inside = np.append(self.starts, self.n_samples).clip(rows.start, rows.stop)
        return np.repeat(values, np.diff(inside))


# Samples of a stretch.
_STRETCH = 1 << 14


class _Purpose(NamedTuple):
    """Purpose of draws: one mean of all samples, or one for each cluster.

    Attributes
    ----------
    is_whole : bool
        Whether it is one mean of all samples.
    part : callable
        ``part(some)`` returns the weights of some samples, a slice or positions, in their mean.
    reach : callable
        ``reach(rows)`` returns how far each of some samples can be below, and above, what is guessed.
    """

    is_whole: bool
    part: Callable[[Any], NDArray[np.float64]]
    reach: Callable[[slice], tuple[NDArray[np.float64], NDArray[np.float64]]]

    def reduce(self, operation: np.ufunc, of_clusters: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn what a reduction found for each cluster into that of each mean."""
        return np.atleast_1d(operation.reduce(of_clusters)) if self.is_whole else of_clusters

    def weigh_reach(self, rows: slice) -> list[NDArray[np.float64]]:
        part = self.part(rows)
        return [part * reach for reach in self.reach(rows)]

    def find_chances(self, ratio: NDArray[np.float64], rows: slice, clusters: _Clusters) -> NDArray[np.float64]:
        """Return chances in a draw that make the range of each mean narrow, given the ratio of its sides."""
        below, above = self.reach(rows)
        ratio_of_rows = ratio if self.is_whole else clusters.spread(ratio, rows)
        return np.asarray(self.part(rows) * np.maximum(below, ratio_of_rows * above))

    def stretch_reach(self, chance: NDArray[np.float64], rows: slice) -> list[NDArray[np.float64]]:
        """Return how far a draw with these chances can be below, and above, in units of all chances; inf where they
        leave a sample out.
        """
        part = self.part(rows)
        # What is no part of the mean need not be drawn.
        stands = np.divide(part, chance, out=np.where(part > 0, np.inf, 0.0), where=chance > 0)
        return [np.multiply(reach, stands, out=np.zeros_like(stands), where=reach > 0) for reach in self.reach(rows)]


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
        self._clusters = _Clusters(partition.offsets[:-1], partition.n_samples)
        self._codes = np.empty_like(partition.codes)
        # Share of each sample in its cluster, and of each cluster in all.
        self._in_cluster = np.empty(partition.n_samples)
        self._of_clusters = partition.totals / partition.totals.sum()
        weights = partition.sample_weight

        def fill(rows: slice) -> None:
            samples = partition.order[rows]
            self._codes[rows] = partition.codes[samples]
            own = 1.0 if weights is None else weights[samples]
            self._in_cluster[rows] = own / partition.totals[self._codes[rows]]

        run_over_rows(fill, partition.n_samples, n_jobs=count_threads_of_call())
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
            of_all, n_draws, of_clusters = self._needs(purposes)
            small = self._find_small_clusters(of_clusters)
            wanted = len(small) or max(math.ceil(n_draws), int(of_clusters.sum()))
            if wanted == 0:
                return True
            if self._computed + wanted > _MOST_ROWS * self._partition.n_samples:
                return False
            if len(small):
                self._learn(small)
                continue
            if n_draws:
                self._draw(of_all, np.array([math.ceil(n_draws)]), purposes)
            else:
                self._draw(self._find_chances(purposes[-1:])[0][0], of_clusters, purposes)
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
        # A sample is negative for certain where its upper bound is.
        self._means.narrow(self._all_means(LOWER, UPPER), self._all_means(UPPER, LOWER))

    def _purposes(self) -> list[_Purpose]:
        """Return what draws are for, in the order of the means."""
        n_samples, n_clusters = self._partition.n_samples, self._partition.n_clusters

        def share_of_all(some: Any) -> NDArray[np.float64]:
            return np.asarray(self._in_cluster[some] * self._of_clusters[self._codes[some]])

        def find_reach(rows: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            lower, guess, upper = self._intervals[rows].T
            return guess - lower, upper - guess

        def find_doubt(rows: slice) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            lower, guess, upper = self._intervals[rows].T
            doubtful, negative = (lower < 0) & (upper >= 0) & ~self._known[rows], guess < 0
            return (doubtful & negative).astype(np.float64), (doubtful & ~negative).astype(np.float64)

        return [
            _Purpose(True, share_of_all, find_reach),
            _Purpose(True, lambda some: self._in_cluster[some] / n_clusters, find_reach),
            _Purpose(True, lambda some: np.full(len(self._codes[some]), 1 / n_samples), find_doubt),
            _Purpose(False, lambda some: self._in_cluster[some], find_reach),
        ]

    def _needs(self, purposes: list[_Purpose]) -> tuple[NDArray[np.float64], float, NDArray[np.int64]]:
        """Return how often each sample should be drawn for the results of all samples, the sum of that, and how many
        draws each cluster's mean needs.
        """
        chances, totals = self._find_chances(purposes)
        needed = self._means.draws_needed(self._tol, *self._find_ranges(purposes, chances)[-2:])
        factors = [number / total[0] if number else 0.0 for number, total in zip(needed, totals[:-1], strict=False)]
        of_all = np.zeros(self._partition.n_samples)

        def fill(rows: slice) -> list[NDArray[np.float64]]:
            for some, factor in zip(chances, factors, strict=False):
                np.maximum(of_all[rows], some[rows] * factor, out=of_all[rows])
            return [of_all[rows]]

        total = self._clusters.reduce([np.add], fill)[0].sum() if any(factors) else 0.0
        return of_all, float(total), needed[_CLUSTERS:]

    def _find_chances(self, purposes: list[_Purpose]) -> tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]:
        """Return chances for each purpose, and the chance of each mean's samples together."""

        def weigh(rows: slice) -> list[NDArray[np.float64]]:
            return [side for purpose in purposes for side in purpose.weigh_reach(rows)]

        sides = iter(self._clusters.reduce([np.add] * (2 * len(purposes)), weigh))
        ratios = []
        for purpose in purposes:
            below, above = purpose.reduce(np.add, next(sides)), purpose.reduce(np.add, next(sides))
            one_sided = np.minimum(below, above) == 0
            ratios.append(np.where(one_sided, 1.0, below / np.where(one_sided, 1.0, above)))
        chances = [np.empty(self._partition.n_samples) for _ in purposes]

        def fill(rows: slice) -> list[NDArray[np.float64]]:
            for some, purpose, ratio in zip(chances, purposes, ratios, strict=True):
                some[rows] = purpose.find_chances(ratio, rows, self._clusters)
            return [some[rows] for some in chances]

        sums = self._clusters.reduce([np.add] * len(purposes), fill)
        return chances, [purpose.reduce(np.add, some) for purpose, some in zip(purposes, sums, strict=True)]

    def _find_ranges(
        self, purposes: list[_Purpose], chances: list[NDArray[np.float64]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the chance of each mean's samples together, its guess, and the least and the most that draws with
        these chances can be.
        """

        def find(rows: slice) -> list[NDArray[np.float64]]:
            pairs = [(purpose, some[rows]) for purpose, some in zip(purposes, chances, strict=True)]
            return [values for purpose, chance in pairs for values in (chance, *purpose.stretch_reach(chance, rows))]

        operations = [np.add, np.maximum, np.maximum] * len(purposes)
        found = iter(self._clusters.reduce(operations, find))
        totals, below, above = [], [], []
        for purpose in purposes:
            total, low, high = (purpose.reduce(some, next(found)) for some in operations[:3])
            total = np.maximum(total, 1e-300)
            totals.append(total)
            below.append(low * total)
            above.append(high * total)
        means = self._guessed_means()
        return np.concatenate(totals), means, means - np.concatenate(below), means + np.concatenate(above)

    def _guessed_means(self) -> NDArray[np.float64]:
        return self._all_means(GUESS, GUESS)

    def _all_means(self, column: int, sign: int) -> NDArray[np.float64]:
        """Return all means of one end of the intervals, or of the guesses; negative is a sample whose ``sign`` is."""

        def find(rows: slice) -> list[NDArray[Any]]:
            return [self._intervals[rows, column] * self._in_cluster[rows], self._intervals[rows, sign] < 0]

        means, n_negative = self._clusters.reduce([np.add, np.add], find)
        share = n_negative.sum() / self._partition.n_samples
        return np.concatenate([[self._of_clusters @ means, means.mean(), share], means])

    def _find_small_clusters(self, needed: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return the open samples of clusters whose draws would cost no less than all of these samples."""
        unknown = self._clusters.reduce([np.add], lambda rows: [~self._known[rows]])[0]
        small = (unknown > 0) & (unknown <= needed)
        return np.flatnonzero(small[self._codes] & ~self._known) if small.any() else np.zeros(0, np.intp)

    def _draw(self, chances: NDArray[np.float64], counts: NDArray[np.int64], purposes: list[_Purpose]) -> None:
        """Run one round: draw, compute, and update the intervals.

        ``counts`` are the numbers of draws from all samples, or from each cluster.
        """
        drawn = self._draw_positions(chances, counts)
        chosen, at = np.unique(drawn, return_inverse=True)
        silhouettes = self._rows.exact(chosen)
        totals, guesses, least, most = self._find_ranges(purposes, [chances] * len(purposes))
        # A mean that is certain, such as the share of negative samples where none is doubtful, learns nothing.
        told = np.isfinite(least) & np.isfinite(most) & (least < most)
        # Draws in a number that is fixed for each cluster are no draws from all samples.
        told[:_CLUSTERS] &= len(counts) == 1
        means, values = self._values(drawn, silhouettes[at], chances, purposes, totals, guesses)
        kept = told[means]
        self._means.add(means[kept], values[kept], least, most)
        self._learn(chosen, silhouettes)

    def _values(
        self,
        drawn: NDArray[np.intp],
        silhouettes: NDArray[np.float64],
        chances: NDArray[np.float64],
        purposes: list[_Purpose],
        totals: NDArray[np.float64],
        guesses: NDArray[np.float64],
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return what the draws say of each mean, and of which, (n_purposes, n_draws)."""
        means = np.repeat(np.arange(len(purposes))[:, None], len(drawn), axis=1)
        means[_CLUSTERS] += self._codes[drawn]
        guess = self._intervals[drawn, GUESS]
        missed, signs = silhouettes - guess, (silhouettes < 0).astype(np.float64) - (guess < 0)
        # How far each draw moves its mean, in units of its sample.
        stakes = np.stack([purpose.part(drawn) for purpose in purposes]) * totals[means] / chances[drawn]
        return means, guesses[means] + stakes * np.stack([missed, missed, signs, missed])

    def _draw_positions(self, chances: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.intp]:
        ends = self._clusters.accumulate(chances)
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

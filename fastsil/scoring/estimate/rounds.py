"""Rounds of random samples: their choice, their number, and the intervals that follow from their exact silhouettes.

Every sample has a silhouette that is guessed from moments, and an interval [l, u] that certainly holds it. The average
error of the guesses is found from random samples that are computed exactly. A draw i of a round, taken with probability
p_i, gives

    mean of the guesses + (s_i - g_i) / (n p_i),
whose mean is the score for any p; it lies inside a range that is fixed before the draw. From such draws,
:class:`~fastsil.scoring.estimate.confidence_interval.MeanInterval` makes an interval that holds with the stated
confidence for any data, any number of rounds, and any rule for stopping. Samples are drawn in proportion to u - l, for
the score from all samples, for the other results from each cluster separately, in the number that each of them needs. A
computed sample has a point for its interval, and is not drawn again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.euclidean.approximation import GUESS, LOWER, UPPER
from fastsil.engines.intervals import SilhouetteRows
from fastsil.scoring.estimate.confidence_interval import MeanInterval
from fastsil.scoring.estimate.result import ClusterEstimates, SilhouetteEstimate
from fastsil.validation.partition import Partition

# Half-widths of the intervals of single clusters and of the share of negative samples, in units of `tol`.
_LOOSER = 10.0
# A first round takes this share of the draws that seem to be needed: spreads are known better after it.
_FIRST_ROUND = 0.5
# With more of all samples to compute one by one, computing all of them together is less work.
_MOST_ROWS = 0.5


class Request(NamedTuple):
    tol: float
    confidence: float
    random_state: np.random.RandomState
    n_jobs: int


class _Needs(NamedTuple):
    """Draws of a round, by purpose."""

    score: int
    macro: int
    share: int
    of_clusters: NDArray[np.int64]

    @property
    def total(self) -> int:
        return int(self.score + self.macro + self.share + self.of_clusters.sum())

    def scale(self, share: float) -> _Needs:
        score, macro, negative = (int(np.ceil(share * needed)) for needed in (self.score, self.macro, self.share))
        return _Needs(score, macro, negative, np.ceil(share * self.of_clusters).astype(np.int64))


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
        self._codes = partition.codes[partition.order]
        self._sizes = partition.sizes.astype(np.float64)

        def unknown(low: float, guess: float) -> MeanInterval:
            return MeanInterval(request.confidence, low, 1.0, guess)

        guesses = intervals[:, GUESS]
        means = self._cluster_means(guesses)
        self._score = unknown(-1.0, float(guesses.mean()))
        self._macro = unknown(-1.0, float(means.mean()))
        self._share = unknown(0.0, float((guesses < 0).mean()))
        self._means = [unknown(-1.0, mean) for mean in means.tolist()]

    def run(self) -> bool:
        """Draw until all intervals are narrow enough; False if computing all samples is less work."""
        while True:
            self._narrow()
            needs = self._needs()
            small = np.flatnonzero(self._small_clusters(needs.of_clusters)[self._codes] & ~self._known)
            wanted = len(small) or needs.total
            if wanted == 0:
                return True
            if self._computed + wanted > _MOST_ROWS * self._partition.n_samples:
                return False
            if len(small):
                self._learn(small)
                continue
            self._draw(needs if self._rounds else needs.scale(_FIRST_ROUND))
            self._rounds += 1

    def finish(self) -> SilhouetteEstimate:
        partition = self._partition
        low, mean, high = (
            np.array([getattr(interval, name) for interval in self._means]) for name in ("low", "mean", "high")
        )
        return SilhouetteEstimate(
            score=self._score.mean,
            interval=(self._score.low, self._score.high),
            macro_score=self._macro.mean,
            macro_interval=(self._macro.low, self._macro.high),
            clusters=ClusterEstimates(partition.classes, partition.sizes, mean, low, high),
            negative_share=self._share.mean,
            negative_interval=(self._share.low, self._share.high),
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
        lows, highs = self._cluster_means(lower), self._cluster_means(upper)
        self._score.narrow(float(lower.mean()), float(upper.mean()))
        self._macro.narrow(float(lows.mean()), float(highs.mean()))
        self._share.narrow(float((upper < 0).mean()), float((lower < 0).mean()))
        for interval, low, high in zip(self._means, lows.tolist(), highs.tolist(), strict=True):
            interval.narrow(low, high)

    def _needs(self) -> _Needs:
        """Return the draws that each interval probably needs: samples in proportion to the width of their intervals."""
        tol = self._request.tol
        n_samples, n_clusters = self._partition.n_samples, self._partition.n_clusters
        lower, guess, upper = self._intervals.T
        widths = upper - lower
        # Where a draw can lie, in units of its own width.
        divisor = np.where(widths > 0, widths, 1.0)
        lows = np.minimum.reduceat((lower - guess) / divisor, self._starts)
        highs = np.maximum.reduceat((upper - guess) / divisor, self._starts)
        open_widths = self._cluster_means(widths)
        n_open = np.count_nonzero(open_widths)
        means = self._cluster_means(guess)
        base, mean_width = float(guess.mean()), float(widths.mean())
        macro_width = open_widths * (n_open / n_clusters)
        macro = float(means.mean())
        negative = float((guess < 0).mean())
        doubtful = np.count_nonzero(self._doubtful()) / n_samples
        return _Needs(
            score=self._score.draws_needed(tol, base + mean_width * lows.min(), base + mean_width * highs.max()),
            macro=self._macro.draws_needed(
                tol, macro + float((macro_width * lows).min()), macro + float((macro_width * highs).max())
            ),
            share=self._share.draws_needed(_LOOSER * tol, negative - doubtful, negative + doubtful),
            of_clusters=np.array(
                [
                    interval.draws_needed(_LOOSER * tol, mean + width * low, mean + width * high)
                    for interval, mean, width, low, high in zip(
                        self._means, means.tolist(), open_widths.tolist(), lows.tolist(), highs.tolist(), strict=True
                    )
                ],
                dtype=np.int64,
            ),
        )

    def _small_clusters(self, needed: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the clusters whose draws would cost no less than all of their samples."""
        unknown = np.add.reduceat((~self._known).astype(np.int64), self._starts)
        return (unknown > 0) & (unknown <= needed)

    def _draw(self, needs: _Needs) -> None:
        """Run one round: draw, compute, and update every interval."""
        lower, guess, upper = self._intervals.T
        chances = self._chances(needs)
        drawn = self._draw_positions(chances, needs.total)
        chosen, at = np.unique(drawn, return_inverse=True)
        silhouettes = self._rows.exact(chosen)
        missed = silhouettes[at] - guess[drawn]
        # 1 / p, 0 where nothing is drawn; a draw stands for as many samples.
        stands = np.divide(1.0, chances, out=np.zeros_like(chances), where=chances > 0)
        below, above = (lower - guess) * stands, (upper - guess) * stands
        self._tell_means(drawn, missed * stands[drawn], below, above, chances)
        self._tell_share(drawn, silhouettes[at] < 0, stands)
        self._learn(chosen, silhouettes)

    def _chances(self, needs: _Needs) -> NDArray[np.float64]:
        """Return the probability of each sample in a draw."""
        widths = self._intervals[:, UPPER] - self._intervals[:, LOWER]
        sums = np.add.reduceat(widths, self._starts)
        of_clusters = needs.of_clusters + needs.macro / max(int(np.count_nonzero(sums)), 1)
        a_width = needs.score / max(float(sums.sum()), 1e-300) + of_clusters / np.where(sums > 0, sums, 1.0)
        doubtful = self._doubtful()
        chances = a_width[self._codes] * widths + doubtful * (needs.share / max(int(np.count_nonzero(doubtful)), 1))
        return np.asarray(chances / chances.sum())

    def _draw_positions(self, chances: NDArray[np.float64], n_draws: int) -> NDArray[np.intp]:
        ends = np.cumsum(chances)
        drawn = np.searchsorted(ends, self._request.random_state.random_sample(n_draws) * ends[-1], side="right")
        return np.asarray(np.minimum(drawn, np.flatnonzero(chances)[-1]))

    def _tell_means(
        self,
        drawn: NDArray[np.intp],
        missed: NDArray[np.float64],
        below: NDArray[np.float64],
        above: NDArray[np.float64],
        chances: NDArray[np.float64],
    ) -> None:
        """Update the intervals of all means; ``missed`` is (s - g) / p of the draws, ``below`` to ``above`` its
        range.
        """
        n_samples, n_clusters = self._partition.n_samples, self._partition.n_clusters
        guess = self._intervals[:, GUESS]
        base = float(guess.mean())
        self._score.add(base + missed / n_samples, base + below.min() / n_samples, base + above.max() / n_samples)
        lows = np.minimum.reduceat(below, self._starts) / self._sizes
        highs = np.maximum.reduceat(above, self._starts) / self._sizes
        means = self._cluster_means(guess)
        macro = float(means.mean())
        codes = self._codes[drawn]
        self._macro.add(
            macro + missed / (n_clusters * self._sizes[codes]),
            macro + lows.min() / n_clusters,
            macro + highs.max() / n_clusters,
        )
        by_cluster = np.argsort(codes, kind="stable")
        cuts = np.searchsorted(codes[by_cluster], np.arange(n_clusters + 1))
        # Among the draws of a cluster, a sample has this probability times as much.
        shares = np.add.reduceat(chances, self._starts)
        for cluster in np.unique(codes).tolist():
            of_cluster = by_cluster[cuts[cluster] : cuts[cluster + 1]]
            mean, share = means[cluster], shares[cluster]
            values = mean + missed[of_cluster] * (share / self._sizes[cluster])
            self._means[cluster].add(values, mean + share * lows[cluster], mean + share * highs[cluster])

    def _tell_share(self, drawn: NDArray[np.intp], negative: NDArray[np.bool_], stands: NDArray[np.float64]) -> None:
        """Update the interval of the share of negative samples."""
        n_samples = self._partition.n_samples
        guessed = self._intervals[:, GUESS] < 0
        doubtful = stands * self._doubtful()
        base = float(guessed.mean())
        self._share.add(
            base + (negative.astype(np.float64) - guessed[drawn]) * stands[drawn] / n_samples,
            base - float((doubtful * guessed).max()) / n_samples,
            base + float((doubtful * ~guessed).max()) / n_samples,
        )

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
        return np.asarray(np.add.reduceat(values, self._starts) / self._sizes)

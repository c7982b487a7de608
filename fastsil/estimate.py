"""The mean silhouette with an interval, where the exact one would take long.

Every sample has a silhouette that is guessed from moments, and an interval [l, u] that certainly holds it. What the
guesses miss on average is found from random samples that are computed exactly. A draw i of a round, taken with
probability p_i, gives

    mean of the guesses + (s_i - g_i) / (n p_i),

whose mean is the score, whatever p is; it cannot lie outside a range that is known before. From such draws,
:class:`fastsil.confidence.MeanInterval` makes an interval that holds with the stated confidence for any data, any
number of rounds, and whenever one stops. Samples are drawn in proportion to u - l, for the score from all samples, for
the other results from each cluster apart, as many as each of them needs. A sample that has been computed is known from
then on: its interval is a point, and it is not drawn again.
"""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from fastsil.approximation import GUESS, LOWER, UPPER
from fastsil.confidence import MeanInterval
from fastsil.dispatch import NO_PAIRS, compute_terms, engine_of, silhouettes_of
from fastsil.forks import LOADING
from fastsil.parallel import Tick, part_of, progress_bar, resolve_n_jobs
from fastsil.partition import Partition
from fastsil.planning import exact_is_as_cheap
from fastsil.rows import Rows, open_rows
from fastsil.summaries import GEOMETRIES
from fastsil.terms import SilhouetteTerms
from fastsil.validation import (
    Metric,
    check_confidence,
    check_metric,
    check_scored,
    check_scored_labels,
    check_tol,
    is_dask_array,
    name_of_metric,
)

# Half-widths of the intervals of single clusters and of the share of negative samples, in units of `tol`.
_LOOSER = 10.0
# A first round takes this share of the draws that seem to be needed: spreads are known better after it.
_FIRST_ROUND = 0.5
# With more of all samples to compute one by one, computing all of them together is less work.
_MOST_ROWS = 0.5


@dataclass(frozen=True)
class ClusterEstimates:
    """One row a cluster, as arrays of shape (n_clusters,).

    Attributes
    ----------
    label : ndarray
        Label of the cluster.
    size : ndarray of intp
        Number of samples.
    silhouette : ndarray of float64
        Mean silhouette of its samples, estimated.
    low, high : ndarray of float64
        Interval of that mean; each holds with the stated confidence on its own.
    """

    label: NDArray[Any]
    size: NDArray[np.intp]
    silhouette: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SilhouetteEstimate:
    """A mean silhouette with an interval, and what else was estimated on the way.

    Made by :func:`fastsil.silhouette_estimate`. Each interval holds the exact value with probability ``confidence`` at
    least, whatever the data are. Where everything was computed, intervals have no width.

    Attributes
    ----------
    score : float
        Mean silhouette over samples ("micro").
    interval : tuple of float
        Interval of the score.
    macro_score : float
        Mean of the clusters' mean silhouettes.
    macro_interval : tuple of float
        Interval of that.
    clusters : ClusterEstimates
        One row a cluster.
    negative_share : float
        Share of samples with a silhouette below 0.
    negative_interval : tuple of float
        Interval of that.
    confidence, tol : float
        As they were asked for.
    metric : str
        Name of the metric.
    n_samples : int
        Number of samples that were scored.
    n_exact : int
        How many of them were computed exactly.
    rounds : int
        Rounds of random samples; 0 where all samples were computed.
    pairs : int
        Pairs of samples computed.
    seconds : float
        Wall-clock time.

    Examples
    --------
    >>> from fastsil import silhouette_estimate
    >>> estimate = silhouette_estimate([[0.0], [1.0], [5.0], [6.0], [7.0]], [0, 0, 1, 1, 1])
    >>> round(estimate.score, 4), estimate.exact
    (0.7775, True)
    """

    score: float
    interval: tuple[float, float]
    macro_score: float
    macro_interval: tuple[float, float]
    clusters: ClusterEstimates
    negative_share: float
    negative_interval: tuple[float, float]
    confidence: float
    tol: float
    metric: str
    n_samples: int
    n_exact: int
    rounds: int
    pairs: int
    seconds: float

    @property
    def n_clusters(self) -> int:
        return len(self.clusters.size)

    @property
    def exact(self) -> bool:
        """Whether every sample was computed, so that nothing is an estimate."""
        return self.n_exact == self.n_samples

    def __repr__(self) -> str:
        how = "exact" if self.exact else f"confidence={self.confidence:g}, n_exact={self.n_exact}"
        return (
            f"SilhouetteEstimate(score={_with_margin(self.score, self.interval)}, "
            f"macro_score={_with_margin(self.macro_score, self.macro_interval)}, "
            f"negative_share={_with_margin(self.negative_share, self.negative_interval)}, {how}, "
            f"n_samples={self.n_samples}, n_clusters={self.n_clusters}, metric={self.metric!r}, "
            f"seconds={self.seconds:.2f})"
        )

    def _repr_html_(self) -> str:
        """The table of clusters under the score, for notebooks."""
        from fastsil.report import estimate_columns, html_table

        how = (
            f"All {self.n_samples:,} samples were computed."
            if self.exact
            else f"{self.n_exact:,} of {self.n_samples:,} samples were computed; each interval holds with "
            f"{self.confidence:.4g} confidence."
        )
        words = (
            f"<b>Mean silhouette {_with_margin(self.score, self.interval)}</b> (mean of the clusters' means "
            f"{_with_margin(self.macro_score, self.macro_interval)}). Negative: "
            f"{_with_margin(self.negative_share, self.negative_interval)} of the samples. {how}"
        )
        return f"<div><p>{words}</p>{html_table(estimate_columns(self.clusters))}</div>"


def silhouette_estimate(
    X: ArrayLike,
    labels: ArrayLike,
    *,
    tol: float = 1e-3,
    confidence: float = 0.99,
    metric: Metric = "euclidean",
    random_state: int | np.random.RandomState | None = None,
    ignore_label: Any = None,
    n_jobs: int | None = None,
    progress: bool = False,
    **metric_params: Any,
) -> SilhouetteEstimate:
    """Mean silhouette to within ``tol``, with an interval, in a small part of the time of the exact one.

    For metrics that are Euclidean, or are after a linear map, moments of the clusters give a guess and a certain
    interval of every silhouette in O(n · k · d + n · d²), and a few thousand random samples, computed exactly, say how
    far off the guesses are on average. The interval is not asymptotic: it holds with the stated confidence for any data
    and few draws too. Other metrics have no guesses, so that many more samples are drawn. Metrics that need no pairs
    (squared Euclidean, cosine, correlation, Manhattan) and small data are computed exactly, and so are data where the
    samples that ``tol`` would need are half of all; the intervals then have no width.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features) or (n_samples, n_samples)
        Samples, or their distances for ``metric="precomputed"``.
    labels : array-like of shape (n_samples,)
        Label of every sample.
    tol : float, default=1e-3
        Half-width of the intervals of the score and of the macro score that is asked for. Those of single clusters
        and of the share of negative samples may be ten times as wide.
    confidence : float, default=0.99
        Probability with which each interval holds the exact value.
    metric : str or callable, default="euclidean"
        As for :func:`fastsil.silhouette_samples`. Of a Dask array, one that is Euclidean, is after a linear map, or
        needs no pairs.
    random_state : int, RandomState or None, default=None
        Chooses the samples.
    ignore_label, n_jobs, progress, **metric_params
        As for :func:`fastsil.silhouette_samples`.

    Returns
    -------
    SilhouetteEstimate

    Raises
    ------
    ValueError
        If an argument is not what it should be; the message says which and where.

    Examples
    --------
    >>> import numpy as np
    >>> from fastsil import silhouette_estimate, silhouette_score
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(20_000) % 20
    >>> X = rng.normal(size=(20_000, 16)) + 2 * rng.normal(size=(20, 16))[labels]
    >>> estimate = silhouette_estimate(X, labels, random_state=0)
    >>> low, high = estimate.interval
    >>> bool(low <= silhouette_score(X, labels) <= high)
    True
    """
    started = time.perf_counter()
    tol, confidence = check_tol(tol), check_confidence(confidence)
    request = _Request(tol, confidence, check_random_state(random_state), resolve_n_jobs(n_jobs))
    if is_dask_array(X):
        found = _estimate_blocks(X, labels, metric, metric_params, ignore_label, request)
        return replace(found, metric=name_of_metric(metric), seconds=time.perf_counter() - started)
    X, partition, _ = check_scored(X, labels, metric, ignore_label)
    with progress_bar("silhouettes", enabled=progress) as tick:
        found = _estimate(X, partition, metric, metric_params, request, tick)
    return replace(found, metric=name_of_metric(metric), seconds=time.perf_counter() - started)


class _Request(NamedTuple):
    tol: float
    confidence: float
    random_state: np.random.RandomState
    n_jobs: int


def _estimate(
    X: Any, partition: Partition, metric: Metric, metric_params: dict[str, Any], request: _Request, tick: Tick
) -> SilhouetteEstimate:
    n_jobs = request.n_jobs
    engine = engine_of(X, metric, metric_params)
    if engine in NO_PAIRS or (engine == "euclidean" and exact_is_as_cheap(partition, X.shape[1])):
        return _all_of_them(X, partition, metric, metric_params, request, tick)
    rows = open_rows(X, partition, metric, metric_params, n_jobs=n_jobs, tick=part_of(tick, 0.4))
    rounds = _Rounds(rows, partition, request, rows.intervals(part_of(tick, 0.4)))
    if not rounds.run():
        # What is left to compute is most of the work.
        return _all_of_them(X, partition, metric, metric_params, request, part_of(tick, 0.2))
    tick(0.2)
    return rounds.finish()


def _estimate_blocks(
    X: Any, labels: Any, metric: Metric, metric_params: dict[str, Any], ignore_label: Any, request: _Request
) -> SilhouetteEstimate:
    """The same of a Dask array. All labels and an interval for each sample are in memory, and nothing else."""
    check_metric(metric)
    with LOADING:
        blocks = importlib.import_module("fastsil.blocks")
    if metric not in GEOMETRIES:
        rows = blocks.BlockRows(X, labels, metric, metric_params, ignore_label)
        rounds = _Rounds(rows, rows.partition, request, rows.intervals())
        if rounds.run():
            return rounds.finish()
    terms, _, in_memory = blocks.terms_by_blocks(X, labels, metric, metric_params, ignore_label)
    return _without_doubt(terms, check_scored_labels(in_memory, len(in_memory), ignore_label)[0], request)


def _all_of_them(
    X: Any, partition: Partition, metric: Metric, metric_params: dict[str, Any], request: _Request, tick: Tick
) -> SilhouetteEstimate:
    """The exact values, as an estimate without doubt."""
    terms = compute_terms(X, partition, metric, metric_params, n_jobs=request.n_jobs, tick=tick)
    return _without_doubt(terms, partition, request)


def _without_doubt(terms: SilhouetteTerms, partition: Partition, request: _Request) -> SilhouetteEstimate:
    silhouettes = silhouettes_of(terms, partition)
    means = partition.means(silhouettes)
    score, macro, share = float(silhouettes.mean()), float(means.mean()), float((silhouettes < 0).mean())
    return SilhouetteEstimate(
        score=score,
        interval=(score, score),
        macro_score=macro,
        macro_interval=(macro, macro),
        clusters=ClusterEstimates(partition.classes, partition.sizes, means, means, means),
        negative_share=share,
        negative_interval=(share, share),
        confidence=request.confidence,
        tol=request.tol,
        metric="",
        n_samples=partition.n_samples,
        n_exact=partition.n_samples,
        rounds=0,
        pairs=terms.work.pairs,
        seconds=0.0,
    )


class _Needs(NamedTuple):
    """Draws of a round, by what they are for."""

    score: int
    macro: int
    share: int
    of_clusters: NDArray[np.int64]

    @property
    def total(self) -> int:
        return int(self.score + self.macro + self.share + self.of_clusters.sum())

    def scaled(self, share: float) -> _Needs:
        score, macro, negative = (int(np.ceil(share * needed)) for needed in (self.score, self.macro, self.share))
        return _Needs(score, macro, negative, np.ceil(share * self.of_clusters).astype(np.int64))


class _Rounds:
    """Rounds of random samples. Arrays are by position in the order of the partition, so cluster after cluster."""

    def __init__(self, rows: Rows, partition: Partition, request: _Request, intervals: NDArray[np.float64]) -> None:
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
            self._draw(needs if self._rounds else needs.scaled(_FIRST_ROUND))
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
        """Take in what is known for certain."""
        lower, upper = self._intervals[:, LOWER], self._intervals[:, UPPER]
        lows, highs = self._cluster_means(lower), self._cluster_means(upper)
        self._score.narrow(float(lower.mean()), float(upper.mean()))
        self._macro.narrow(float(lows.mean()), float(highs.mean()))
        self._share.narrow(float((upper < 0).mean()), float((lower < 0).mean()))
        for interval, low, high in zip(self._means, lows.tolist(), highs.tolist(), strict=True):
            interval.narrow(low, high)

    def _needs(self) -> _Needs:
        """Draws that each interval probably needs: samples in proportion to what is not known of them."""
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
        """Clusters that would be drawn so often that all of their samples are as soon computed."""
        unknown = np.add.reduceat((~self._known).astype(np.int64), self._starts)
        return (unknown > 0) & (unknown <= needed)

    def _draw(self, needs: _Needs) -> None:
        """One round: draw, compute, and tell every interval."""
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
        """Probability of each sample in a draw."""
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
        """Tell the intervals of all means; ``missed`` is (s - g) / p of the draws, ``below`` to ``above`` its range."""
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
        """Tell the interval of the share of negative samples."""
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
        """Know the silhouettes of some samples from now on."""
        found = self._rows.exact(positions) if silhouettes is None else silhouettes
        self._intervals[positions] = found[:, None]
        self._known[positions] = True
        self._computed += len(positions)

    def _doubtful(self) -> NDArray[np.bool_]:
        """Samples whose silhouette may be below 0 or not."""
        return np.asarray((self._intervals[:, LOWER] < 0) & (self._intervals[:, UPPER] >= 0) & ~self._known)

    def _cluster_means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.add.reduceat(values, self._starts) / self._sizes)


def _with_margin(value: float, interval: tuple[float, float]) -> str:
    """A number with half the width of its interval."""
    half = (interval[1] - interval[0]) / 2
    return f"{value:.4f}" if half == 0 else f"{value:.4f} ± {half:.1g}"

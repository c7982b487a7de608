"""Stability of a clustering: two random parts of the data, clustered separately and compared.

Clusters that are in the data are found again in another part of them; where k-means divides a cloud arbitrarily, each
part is divided differently. The two parts share samples, and on these the two clusterings are compared by the adjusted
Rand index: 1 if they are equal, 0 on average if they are unrelated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score

from fastsil.runtime.progress import ProgressCallback, ignore_progress
from fastsil.runtime.threads import run_tasks
from fastsil.sweep.checkpoint import Arrays, CachedCall, no_cache
from fastsil.sweep.clusterers import fits_at_once
from fastsil.sweep.prepared_data import PreparedData
from fastsil.sweep.results import SweepRow, with_columns
from fastsil.validation import check_integer

# Share of the samples in each part: two parts then have 64 % of them in common.
_SHARE = 0.8

# More samples than this take longer without a better estimate of the agreement: parts of 10,000.
_MOST_SAMPLES = 12_500


@dataclass(frozen=True, eq=False)
class Stability:
    """Agreement of clusterings of two random parts of the data, several times.

    Attributes
    ----------
    n_clusters : ndarray of shape (n_tried,), int
        Numbers of clusters from 2 on, rising.
    n_samples : int
        Samples of each part.
    scores : ndarray of shape (n_stability, n_tried)
        Adjusted Rand index, 1 at most, of each pair of parts; NaN where a fit failed.

    References
    ----------
    A. Ben-Hur, A. Elisseeff, I. Guyon (2002), "A stability based method for discovering structure in clustered data",
    Pacific Symposium on Biocomputing 7, 6-17.

    L. Hubert, P. Arabie (1985), "Comparing partitions", Journal of Classification 2, 193-218.

    Examples
    --------
    >>> import numpy as np
    >>> from fastsil.sweep.stability import Stability
    >>> Stability(np.array([2, 3]), 80, np.array([[1.0, 0.5], [0.9, 0.3]])).mean
    array([0.95, 0.4 ])
    """

    n_clusters: NDArray[np.int64]
    n_samples: int
    scores: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean over the pairs of parts, for each k; of shape (n_tried,)."""
        return np.asarray(self.scores.mean(axis=0))

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation over the pairs of parts, for each k; 0 for a single pair."""
        return np.asarray(self.scores.std(axis=0, ddof=1 if len(self.scores) > 1 else 0))


def check_n_stability(n_stability: Any) -> None:
    """Check the number of pairs of parts.

    Raises
    ------
    ValueError
        If it is negative.
    TypeError
        If it is not an integer.
    """
    check_integer("n_stability", n_stability)
    if n_stability < 0:
        raise ValueError(f"n_stability={n_stability} is negative; pass 0 for none, or some pairs of parts, such as 5.")


def choose_sample_share(n_samples: int) -> float:
    """Share of the samples that one part has."""
    return _part_size(n_samples) / n_samples


def measure_stability(
    X: Any,
    prepare: Callable[[Any], PreparedData],
    clusterers: Sequence[Any],
    *,
    n_stability: int,
    random: np.random.Generator,
    n_jobs: int,
    tick: ProgressCallback = ignore_progress,
    cached: CachedCall = no_cache,
) -> Stability:
    """Cluster pairs of random parts of the data, and compare each pair where it overlaps.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data. Of more than 12,500 samples, 12,500 are drawn for each pair.
    prepare : callable
        ``prepare(X)``: samples in the form that is clustered.
    clusterers : sequence of clusterer
        One for each k from 2 on, rising; they are cloned.
    n_stability : int
        Number of pairs, 1 at least.
    random : numpy Generator
        Draws the parts.
    n_jobs : int
        Threads; the result does not depend on it.
    tick : callable
        Called with the share of the work that has been finished.
    cached : callable
        Keeps how far each pair agrees, and has it of an earlier run.
    """
    size = _part_size(X.shape[0])
    clusterers = [clusterer for clusterer in clusterers if clusterer.get_params()["n_clusters"] < size]
    scores = np.full((n_stability, len(clusterers)), np.nan)
    generators = random.spawn(n_stability)

    def compare(pair: int, stop: NDArray[np.uint8]) -> None:
        def compute() -> Arrays | None:
            agreement = _agreement(X, prepare, clusterers, _draw_parts(X.shape[0], size, generators[pair]), stop)
            return None if stop[0] else {"scores": agreement}

        kept = cached(f"stability-{pair}", compute)
        if kept is not None:
            scores[pair] = kept["scores"]

    with fits_at_once(clusterers, n_jobs) as threads:
        run_tasks(compare, range(n_stability), [1.0] * n_stability, n_jobs=threads, tick=tick)
    ks = np.array([clusterer.get_params()["n_clusters"] for clusterer in clusterers])
    return Stability(ks, size, scores)


def _agreement(
    X: Any,
    prepare: Callable[[Any], PreparedData],
    clusterers: Sequence[Any],
    parts: tuple[NDArray[np.intp], NDArray[np.intp]],
    stop: NDArray[np.uint8],
) -> NDArray[np.float64]:
    """Compute the adjusted Rand index of the clusterings of two parts for each clusterer; NaN where one fails."""
    scores = np.full(len(clusterers), np.nan)
    shared, in_first, in_second = np.intersect1d(*parts, assume_unique=True, return_indices=True)
    spaces = [prepare(X[rows]) for rows in parts]
    for place, clusterer in enumerate(clusterers):
        if stop[0] or not len(shared):
            break
        try:
            labels, others = (space.fit(clone(clusterer))[0] for space in spaces)
        except Exception:  # as in the sweep itself: a k that fails leaves the others
            continue
        scores[place] = adjusted_rand_score(labels[in_first], others[in_second])
    return scores


def with_stability_columns(rows: Sequence[SweepRow], stability: Stability) -> list[SweepRow]:
    """Extend rows of a sweep by the stability of their k."""
    return with_columns(rows, stability.n_clusters, {"stability": stability.mean, "stability_std": stability.std})


def _part_size(n_samples: int) -> int:
    return int(_SHARE * min(n_samples, _MOST_SAMPLES))


def _draw_parts(n_samples: int, size: int, random: np.random.Generator) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Draw the rows of two parts, each in order, from the same few samples, so that they overlap."""
    pool = random.choice(n_samples, min(n_samples, _MOST_SAMPLES), replace=False)
    first, second = (np.sort(random.choice(pool, size, replace=False)) for _ in range(2))
    return first, second

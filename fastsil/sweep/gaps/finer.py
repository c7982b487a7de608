"""A closer look at separate clusters: do finer clusters leave gaps between them, too?

k-means cuts a ring or a horseshoe into arcs. Across the chord between the middles of two arcs there is a gap, and yet
the arcs touch: of the finer clusters, two at the ends of both arcs have many samples midway. So have groups that touch.
Between groups that lie far apart there are hardly any, whichever finer clusters one takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fastsil.sweep.gaps.axes import project
from fastsil.sweep.gaps.clusters import bin_rows, choose_windows, count_rows, fit_kmeans, squared_distances
from fastsil.sweep.gaps.samples import N_FOLDS, dither, draw_folds, draw_rows, draw_training_rows

# Finer clusters for each cluster, and samples for each of them at least.
_FINER = 3
_SAMPLES_EACH = 12
_MAX_ROWS = 5_000
_N_REPEATS = 3
# Samples midway and on the thinner side of two finer clusters, in the training rows, that show how dense a bridge is.
_FEWEST_SAMPLES = 8


def measure_finer_depth(
    X: Any, transform: Callable[[Any], Any], labels: NDArray[Any], random: np.random.Generator
) -> float:
    """Measure how dense samples are on the densest bridge of finer clusters that leads out of each cluster.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Samples. Of many, 5,000 are drawn.
    transform : callable
        Takes samples to where they are clustered.
    labels : ndarray of shape (n_samples,)
        Cluster of each sample.
    random : numpy Generator
        Draws rows, folds and seedings.

    Returns
    -------
    float
        Density midway, as a share of the density near the centers of the finer clusters; NaN if there are too few
        samples. Measured: up to 0.4 for groups 5 standard deviations apart, 0.6 to 2 for arcs of curves, and anything
        between for groups 3 to 4 apart.
    """
    rows = draw_rows(X.shape, random, most=_MAX_ROWS)
    samples = transform(dither(X[rows], random)[0])
    codes = np.unique(labels[rows], return_inverse=True)[1]
    k = int(codes.max()) + 1
    n_fine = min(_FINER * k, len(rows) // _SAMPLES_EACH)
    if n_fine <= k:
        return float(np.nan)
    midway, thinner = 0.0, 0.0
    with threadpool_limits(1):
        for _ in range(_N_REPEATS):
            fold_of = draw_folds(np.arange(len(rows)), random)
            for fold in range(N_FOLDS):
                training = draw_training_rows(fold_of, fold, random)
                scores = project(samples, training, min(k, samples.shape[1], len(training) - 1))
                found = _count_across(scores, codes, training, np.flatnonzero(fold_of == fold), n_fine, random)
                midway, thinner = midway + found[0], thinner + found[1]
    return midway / max(thinner, 1.0)


def _count_across(
    scores: NDArray[np.float64],
    codes: NDArray[np.intp],
    training: NDArray[np.intp],
    held_out: NDArray[np.intp],
    n_fine: int,
    random: np.random.Generator,
) -> tuple[float, float]:
    """Count held-out rows midway and on the thinner side, over the densest bridge of each cluster."""
    centers, own = fit_kmeans(scores[training], n_fine, random)
    votes = np.zeros((n_fine, int(codes.max()) + 1))
    np.add.at(votes, (own, codes[training]), 1)
    cluster_of = votes.argmax(axis=1)[np.column_stack(np.triu_indices(n_fine, 1))]
    center_squares = squared_distances(centers, centers)
    counts = count_rows(bin_rows(scores[training], centers, center_squares))
    windows, thinner_first = choose_windows(counts, shifts=(0,))

    def count(rows: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        near_i, midway, near_j = (windows * rows).sum(axis=2)
        return midway, np.where(thinner_first, near_i, near_j)

    chosen = _choose_bridges(cluster_of, *count(counts))
    midway, thinner = count(count_rows(bin_rows(scores[held_out], centers, center_squares)))
    return float(midway[chosen].sum()), float(thinner[chosen].sum())


def _choose_bridges(
    cluster_of: NDArray[np.intp], midway: NDArray[np.float64], thinner: NDArray[np.float64]
) -> list[int]:
    """Choose the pair of finer clusters that leads most densely out of each cluster, by the training rows."""
    seen = (cluster_of[:, 0] != cluster_of[:, 1]) & (midway + thinner >= _FEWEST_SAMPLES)
    density = np.where(seen, midway / np.maximum(thinner, 1), -1.0)
    chosen = []
    for cluster in range(int(cluster_of.max()) + 1):
        leads_out = np.where((cluster_of == cluster).any(axis=1), density, -1.0)
        if leads_out.max() >= 0:
            chosen.append(int(leads_out.argmax()))
    return chosen

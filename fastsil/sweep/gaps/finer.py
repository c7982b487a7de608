"""A closer look at separate clusters: do finer clusters leave gaps between them, too?

k-means cuts a ring or a horseshoe into arcs. Across the chord between the middles of two arcs there is a gap, and yet
the arcs touch: finer clusters, of which one belongs to each arc, have many samples midway. So have groups that touch.
Between groups that lie far apart there are hardly any.
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


def measure_finer_depth(
    X: Any, transform: Callable[[Any], Any], labels: NDArray[Any], random: np.random.Generator
) -> float:
    """Measure how dense samples are midway between finer clusters that belong to different clusters.

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
        samples. Measured: 0.1 to 0.5 for groups 5 standard deviations apart, 0.5 to 1.2 for groups 3 to 4 apart and
        for arcs of curves.
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
    """Count held-out rows midway and on the thinner side, over pairs of finer clusters of different clusters."""
    centers, own = fit_kmeans(scores[training], n_fine, random)
    votes = np.zeros((n_fine, int(codes.max()) + 1))
    np.add.at(votes, (own, codes[training]), 1)
    cluster_of = votes.argmax(axis=1)
    center_squares = squared_distances(centers, centers)
    windows, thinner_first = choose_windows(
        count_rows(bin_rows(scores[training], centers, center_squares)), shifts=(0,)
    )
    near_i, midway, near_j = (windows * count_rows(bin_rows(scores[held_out], centers, center_squares))).sum(axis=2)
    i, j = np.triu_indices(n_fine, 1)
    is_across = cluster_of[i] != cluster_of[j]
    return float(midway[is_across].sum()), float(np.where(thinner_first, near_i, near_j)[is_across].sum())

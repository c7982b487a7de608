"""Gaps between clusters: k-means on training rows, counts of the other rows between and near the centers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from fastsil.kernels.gaps import bin_between_centers, count_bins, run_lloyd, sum_bin_weights

N_BINS = 40
# Bins are 0.05 of the distance between two centers, which are at 10 and 30. A window has six bins. The one midway may
# lie off the middle by a few; those near the centers lie a little inside. (Wider ones, of 8 and 10 bins around the
# centers, find pairs of unequal size better, and many groups of few samples much worse.)
_WINDOW = 6
_SHIFTS = (0, -2, 2, -4, 4)
_NEAR = 8
# A shift must show a deeper valley by this, in standard deviations.
_SHIFT_PENALTY = 0.25
# Clusters of the training rows stand for a cluster of all rows if they share this part of their union.
_MIN_JACCARD = 0.5
_N_SEEDINGS = 3
_MAX_ITER = 50


@dataclass(frozen=True, eq=False)
class FoldCounts:
    """Counts of the rows of one fold; windows are chosen on the training rows.

    Attributes
    ----------
    sums : ndarray of shape (n_rows,)
        Times that each row lies near the center on the thinner side, less times that it lies midway.
    near : ndarray of shape (n_pairs, 2)
        Rows near the two centers.
    midway, thinner : ndarray of shape (n_pairs,)
        Rows midway, and near the center on the side that is thinner in the training rows.
    profiles : ndarray of shape (n_pairs, N_BINS)
        Rows along the line through both centers.
    """

    sums: NDArray[np.float64]
    near: NDArray[np.float64]
    midway: NDArray[np.float64]
    thinner: NDArray[np.float64]
    profiles: NDArray[np.int64]


def count_fold(
    training: NDArray[np.float64],
    held_out: NDArray[np.float64],
    labels: NDArray[np.intp],
    k: int,
    random: np.random.Generator,
) -> FoldCounts:
    """Cluster the training rows, and count the held-out rows between and near the centers.

    Parameters
    ----------
    training, held_out : ndarray of shape (n_rows, n_components)
        Scores on the principal axes of the training rows.
    labels : ndarray of shape (n_training,)
        Clusters 0 to k - 1 that the pairs are named by, of the training rows.
    k : int
        Number of clusters.
    random : numpy Generator
        Draws seedings.
    """
    centers, own = fit_kmeans(training, k, random)
    order, found = _match(labels, own, k)
    centers = np.ascontiguousarray(centers[order])
    center_squares = squared_distances(centers, centers)
    counts = count_rows(bin_rows(training, centers, center_squares))
    windows, thinner_first = choose_windows(counts)
    bins = bin_rows(held_out, centers, center_squares)
    i, j = np.triu_indices(k, 1)
    bins[:, ~(found[i] & found[j])] = -1
    profiles = count_rows(bins)
    near_i, midway, near_j = (windows * profiles).sum(axis=2)
    sums = np.empty(len(bins))
    sum_bin_weights(bins, np.where(thinner_first[:, None], windows[0], windows[2]) - windows[1], sums)
    thinner = np.where(thinner_first, near_i, near_j)
    return FoldCounts(sums, np.column_stack([near_i, near_j]), midway, thinner, profiles)


def fit_kmeans(
    X: NDArray[np.float64], k: int, random: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return centers and labels of the best of several runs of k-means, seeded by greedy k-means++."""
    best, best_centers, best_labels = np.inf, X[:k], np.zeros(len(X), dtype=np.int64)
    for _ in range(_N_SEEDINGS):
        centers, labels = _seed(X, k, random), np.empty(len(X), dtype=np.int64)
        inertia = run_lloyd(X, _MAX_ITER, centers, labels)
        if inertia < best:
            best, best_centers, best_labels = inertia, centers, labels
    return best_centers, best_labels


def bin_rows(
    X: NDArray[np.float64], centers: NDArray[np.float64], center_squares: NDArray[np.float64]
) -> NDArray[np.int8]:
    """Return the bin of each row for each pair of centers; -1 where it does not count."""
    bins = np.empty((len(X), len(centers) * (len(centers) - 1) // 2), dtype=np.int8)
    bin_between_centers(squared_distances(X, centers), center_squares, N_BINS, bins)
    return bins


def _seed(X: NDArray[np.float64], k: int, random: np.random.Generator) -> NDArray[np.float64]:
    chosen = [int(random.integers(len(X)))]
    nearest = ((X - X[chosen[0]]) ** 2).sum(axis=1)
    trials = 2 + int(np.log(k))
    for _ in range(1, k):
        cumulated = np.cumsum(nearest)
        rows = np.searchsorted(cumulated, random.uniform(size=trials) * cumulated[-1])
        rows = np.minimum(rows, len(X) - 1)
        candidates = np.minimum(squared_distances(X[rows], X), nearest)
        best = int(candidates.sum(axis=1).argmin())
        chosen.append(int(rows[best]))
        nearest = candidates[best]
    return X[chosen]


def squared_distances(X: NDArray[np.float64], Y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return squared distances, of shape (len(X), len(Y))."""
    squares = (X * X).sum(axis=1)[:, None] + (Y * Y).sum(axis=1) - 2 * (X @ Y.T)
    return np.asarray(np.maximum(squares, 0.0))


def _match(labels: NDArray[np.intp], own: NDArray[np.int64], k: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Match each cluster of ``labels`` to the cluster of ``own`` that stands for it; return whether the match is good
    enough.
    """
    shared = np.zeros((k, k))
    np.add.at(shared, (labels, own), 1)
    union = shared.sum(axis=1)[:, None] + shared.sum(axis=0) - shared
    rows, order = linear_sum_assignment(-shared)
    return order, (shared / np.maximum(union, 1))[rows, order] >= _MIN_JACCARD


def count_rows(bins: NDArray[np.int8]) -> NDArray[np.int64]:
    """Return the number of rows in each bin of each pair."""
    counts = np.zeros((bins.shape[1], N_BINS), dtype=np.int64)
    count_bins(bins, counts)
    return counts


def _windows(shift: int) -> NDArray[np.float64]:
    """Return weights of the bins near center i, midway and near center j, of shape (3, N_BINS)."""
    midway = (N_BINS - _WINDOW) // 2 + shift
    weights = np.zeros((3, N_BINS))
    for window, start in zip(weights, (_NEAR, midway, N_BINS - _NEAR - _WINDOW), strict=True):
        window[start : start + _WINDOW] = 1.0
    # With the largest shifts a window near a center and the one midway share a bin, which then counts for neither.
    return weights


def choose_windows(
    counts: NDArray[np.int64], shifts: Sequence[int] = _SHIFTS
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Choose the windows of the deepest valley for each pair; return also whether the first side is the thinner one."""
    chosen = np.empty((3, *counts.shape))
    thinner_first = np.zeros(len(counts), dtype=bool)
    deepest = np.full(len(counts), -np.inf)
    for shift in shifts:
        windows = _windows(shift)
        near_i, midway, near_j = windows @ counts.T
        thinner = np.minimum(near_i, near_j)
        valley = (thinner - midway) / np.sqrt(thinner + midway + 1) - (_SHIFT_PENALTY if shift else 0.0)
        deeper = valley > deepest
        deepest[deeper] = valley[deeper]
        chosen[:, deeper] = windows[:, None]
        thinner_first[deeper] = (near_i <= near_j)[deeper]
    return chosen, thinner_first

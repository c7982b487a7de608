"""The test of gaps, over folds and repeats."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fastsil.runtime.progress import ProgressCallback, ignore_progress
from fastsil.runtime.threads import run_tasks
from fastsil.sweep.gaps.axes import count_along_axis, project
from fastsil.sweep.gaps.clusters import FoldCounts, count_fold
from fastsil.sweep.gaps.record import GapsAtK, GapTest
from fastsil.sweep.gaps.samples import N_FOLDS, dither, draw_folds, draw_rows, draw_training_rows, find_copies

# Folds are drawn anew this many times, and z averaged: it then depends less on how the folds fell. One time is enough
# for many samples.
_N_REPEATS = 3
MANY_SAMPLES = 5_000
_N_AXES = 3
# Fewer distinct samples than this show no gap of any depth.
_MIN_SAMPLES = 20
# Samples of a cluster at least, on average over the training rows.
_MIN_CLUSTER_SIZE = 2


class _Fold(NamedTuple):
    """Results of one fold: rows, counts for each k, contributions for each axis."""

    held_out: NDArray[np.intp]
    counts: list[FoldCounts]
    axes: list[NDArray[np.float64]]


def find_gaps(
    X: Any,
    transform: Callable[[Any], Any],
    labelings: Mapping[int, NDArray[Any]],
    *,
    random: np.random.Generator,
    n_jobs: int,
    tick: ProgressCallback = ignore_progress,
) -> GapTest | None:
    """Test whether there are gaps between clusters, or along a principal axis.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Samples. Of many, up to 20,000 are drawn.
    transform : callable
        Takes samples to where they are clustered.
    labelings : mapping of int to ndarray of shape (n_samples,)
        Cluster of each sample for each number of clusters; k-means on parts of the data must find these clusters again.
    random : numpy Generator
        Draws rows, folds and seedings.
    n_jobs : int
        Threads; the result does not depend on it.
    tick : callable
        Called with the share of the work that has been finished.

    Returns
    -------
    GapTest or None
        None if there are too few distinct samples.
    """
    rows = draw_rows(X.shape, random)
    drawn, all_on_grid = dither(X[rows], random)
    copies = find_copies(drawn, look=not all_on_grid)
    n_distinct = int(copies.max(initial=-1)) + 1
    smallest_part = n_distinct * (N_FOLDS - 1) // N_FOLDS
    ks = sorted(k for k in labelings if 2 <= k <= smallest_part // _MIN_CLUSTER_SIZE)
    if n_distinct < _MIN_SAMPLES or not ks:
        return None
    samples = transform(drawn)
    labels = {k: np.unique(labelings[k][rows], return_inverse=True)[1] for k in ks}
    ks = [k for k in ks if labels[k].max() == k - 1]
    n_repeats = _N_REPEATS if len(rows) <= MANY_SAMPLES else 1
    tasks = [(repeat, fold) for repeat in range(n_repeats) for fold in range(N_FOLDS)]
    folds_of = [draw_folds(copies, random) for _ in range(n_repeats)]
    generators = random.spawn(len(tasks))
    found: list[_Fold | None] = [None] * len(tasks)

    def run_fold(place: int, stop: NDArray[np.uint8]) -> None:
        repeat, fold = tasks[place]
        found[place] = _run_fold(samples, labels, ks, folds_of[repeat], fold, generators[place], stop)

    with threadpool_limits(1):
        run_tasks(run_fold, range(len(tasks)), [1.0] * len(tasks), n_jobs=n_jobs, tick=tick)
    results = [fold for fold in found if fold is not None]
    if any(not fold.axes for fold in results):  # samples that are all alike
        return None
    repeats = [results[low : low + N_FOLDS] for low in range(0, len(results), N_FOLDS)]
    n_axes = min(len(fold.axes) for fold in results)
    axes = np.array([[_along_axis(folds, axis, copies) for axis in range(n_axes)] for folds in repeats]).mean(axis=0)
    clusters = tuple(_at_k(repeats, place, k, copies) for place, k in enumerate(ks))
    return GapTest(len(rows), clusters, axis_z=axes[:, 0], axis_depth=axes[:, 1])


def _run_fold(
    samples: Any,
    labels: Mapping[int, NDArray[np.intp]],
    ks: Sequence[int],
    fold_of: NDArray[np.intp],
    fold: int,
    random: np.random.Generator,
    stop: NDArray[np.uint8],
) -> _Fold | None:
    held_out = np.flatnonzero(fold_of == fold)
    training = draw_training_rows(fold_of, fold, random)
    n_components = min(max([*ks, _N_AXES]), samples.shape[1], len(training) - 1)
    scores = project(samples, training, n_components)
    counts = []
    for k in ks:
        if stop[0]:
            return None
        part = np.ascontiguousarray(scores[:, :k])
        counts.append(count_fold(part[training], part[held_out], labels[k][training], k, random))
    axes = [count_along_axis(scores[:, axis], training, held_out) for axis in range(min(_N_AXES, scores.shape[1]))]
    return _Fold(held_out, counts, axes)


def _standardize(sums: NDArray[np.float64], copies: NDArray[np.intp]) -> float:
    """Divide the sum of the rows' contributions by its standard deviation; copies of a row count as one."""
    total = np.bincount(copies, weights=sums)
    variance = float((total**2).sum())
    return float(total.sum() / np.sqrt(variance)) if variance > 0 else 0.0


def _along_axis(folds: Sequence[_Fold], axis: int, copies: NDArray[np.intp]) -> tuple[float, float]:
    sums = np.zeros(len(copies))
    for fold in folds:
        sums[fold.held_out] = fold.axes[axis]
    valley, low = -sums[sums < 0].sum(), sums[sums > 0].sum()
    return _standardize(sums, copies), float(valley / max(low, 1.0))


def _at_k(repeats: Sequence[Sequence[_Fold]], place: int, k: int, copies: NDArray[np.intp]) -> GapsAtK:
    z = []
    for folds in repeats:
        sums = np.zeros(len(copies))
        for fold in folds:
            sums[fold.held_out] = fold.counts[place].sums
        z.append(_standardize(sums, copies))
    counts = [fold.counts[place] for folds in repeats for fold in folds]
    midway = np.sum([count.midway for count in counts], axis=0)
    thinner = np.sum([count.thinner for count in counts], axis=0)
    return GapsAtK(
        n_clusters=k,
        z=float(np.mean(z)),
        depth=float(midway.sum() / max(thinner.sum(), 1)),
        pairs=np.column_stack(np.triu_indices(k, 1)),
        near=np.sum([count.near for count in counts], axis=0) / len(repeats),
        midway=midway / len(repeats),
        profiles=np.sum([count.profiles for count in counts], axis=0) / len(repeats),
    )

"""Data and sets without clusters, clustered and scored alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import clone

from fastsil.runtime.progress import ProgressCallback, ignore_progress, scale_progress
from fastsil.runtime.threads import run_tasks
from fastsil.sweep.checkpoint import Arrays, CachedCall, no_cache
from fastsil.sweep.clusterers import fits_at_once, sum_squares_within
from fastsil.sweep.null.comparison import NullComparison
from fastsil.sweep.null.mixture import mixture_gain
from fastsil.sweep.null.samplers import REFERENCES, drawer
from fastsil.sweep.prepared_data import PreparedData
from fastsil.validation import check_integer


def check_null(n_null: Any, null_size: Any, reference: Any) -> None:
    """Check the parameters of a comparison.

    Raises
    ------
    ValueError
        If one is out of its range.
    TypeError
        If a number is not an integer.
    """
    for name, value in (("n_null", n_null), ("null_size", null_size)):
        check_integer(name, value)
    if n_null < 0 or n_null == 1:
        raise ValueError(f"n_null={n_null} gives no spread; pass 0 for none, or 19 or more for a test at 5 %.")
    if null_size < 3:
        raise ValueError(f"null_size={null_size} is too few samples to cluster; pass more, such as 1000.")
    if reference not in REFERENCES:
        raise ValueError(f"null_reference={reference!r} is not known; choose one of: {', '.join(REFERENCES)}.")


def compare_with_null(
    X: Any,
    prepare: Callable[[Any], PreparedData],
    clusterers: Sequence[Any],
    known: tuple[Sequence[float], Sequence[float]],
    *,
    n_null: int,
    null_size: int,
    reference: str,
    random: np.random.Generator,
    n_jobs: int,
    tick: ProgressCallback = ignore_progress,
    cached: CachedCall = no_cache,
) -> NullComparison:
    """Cluster and score null sets, and the data at an equal number of samples.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data.
    prepare : callable
        ``prepare(X)``: a set of samples in the forms that are clustered and scored.
    clusterers : sequence of clusterer
        One for each k from 2 on, rising; they are cloned.
    known : tuple of two sequences of float
        Mean silhouettes and inertias of the data for these clusterers: taken where X has at most ``null_size`` rows.
        Otherwise this number of rows is drawn, clustered and scored as well.
    n_null : int
        Number of null sets, 2 at least.
    null_size : int
        Samples of a set at most.
    reference : {"gaussian", "uniform"}
        Law from which the null sets are drawn.
    random : numpy Generator
        Draws rows and null sets.
    n_jobs : int
        Threads; the result does not depend on it.
    tick : callable
        Called with the share of the work that has been finished.
    cached : callable
        Keeps what each set scores, and has it of an earlier run.
    """
    rows = np.arange(X.shape[0])
    if X.shape[0] > null_size:
        rows = np.sort(random.choice(X.shape[0], null_size, replace=False))
    drawn: Any = X[rows]
    subset = drawn.toarray() if issparse(X) else np.asarray(drawn)
    draw = drawer(subset, reference)
    ks = [clusterer.get_params()["n_clusters"] for clusterer in clusterers]
    usable = [place for place, k in enumerate(ks) if k < len(subset)]
    clusterers = [clusterers[place] for place in usable]
    subset_space = prepare(subset)
    if len(subset) == X.shape[0]:
        silhouette, inertia = (np.array([column[place] for place in usable], dtype=np.float64) for column in known)
    else:
        kept = cached("null-data", lambda: _as_arrays(*_scores(subset_space, clusterers)))
        assert kept is not None
        silhouette, inertia = kept["silhouettes"], kept["inertias"]
    tick(1 / (n_null + 1))
    null_silhouettes, null_inertias = (np.full((n_null, len(clusterers)), np.nan) for _ in range(2))
    null_totals, null_mixture_gains = np.full(n_null, np.nan), np.full(n_null, np.nan)
    generators = random.spawn(n_null)

    def score_set(number: int, stop: NDArray[np.uint8]) -> None:
        def compute() -> Arrays | None:
            space = prepare(draw(generators[number]))
            scores = _as_arrays(*_scores(space, clusterers, stop))
            scores |= {"total": np.array(_total(space)), "mixture": np.array(mixture_gain(space.spread))}
            return None if stop[0] else scores

        kept = cached(f"null-{number}", compute)
        if kept is not None:
            null_totals[number], null_mixture_gains[number] = kept["total"], kept["mixture"]
            null_silhouettes[number], null_inertias[number] = kept["silhouettes"], kept["inertias"]

    with fits_at_once(clusterers, n_jobs) as threads:
        gain_of_data = mixture_gain(subset_space.spread)
        run_tasks(
            score_set, range(n_null), [1.0] * n_null, n_jobs=threads, tick=scale_progress(tick, n_null / (n_null + 1))
        )
    return NullComparison(
        n_clusters=np.array([ks[place] for place in usable]),
        n_samples=len(subset),
        silhouette=silhouette,
        inertia=inertia,
        null_silhouettes=null_silhouettes,
        null_inertias=null_inertias,
        total=_total(subset_space),
        null_totals=null_totals,
        mixture_gain=gain_of_data,
        null_mixture_gains=null_mixture_gains,
    )


def _scores(
    space: PreparedData, clusterers: Sequence[Any], stop: NDArray[np.uint8] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute mean silhouette and inertia for each clusterer; NaN where it fails, or once ``stop`` is set."""
    silhouettes, inertias = np.full(len(clusterers), np.nan), np.full(len(clusterers), np.nan)
    partitions = {}
    for place, clusterer in enumerate(clusterers):
        if stop is not None and stop[0]:
            break
        try:
            labels, inertias[place] = space.fit(clone(clusterer))
            partitions[place] = space.partition(labels)
        except Exception:  # as in the sweep itself: a k that fails leaves the others
            continue
    if partitions:
        scored = space.score(list(partitions.values()), ignore_progress)
        silhouettes[list(partitions)] = [of_one.values["silhouette"] for of_one in scored]
    return silhouettes, inertias


def _as_arrays(silhouettes: NDArray[np.float64], inertias: NDArray[np.float64]) -> Arrays:
    return {"silhouettes": silhouettes, "inertias": inertias}


def _total(space: PreparedData) -> float:
    return sum_squares_within(space.clustered, np.zeros(space.clustered.shape[0], dtype=int))

"""The mean silhouette with an interval, where the exact one would take long.

``rounds`` draw samples, compute them exactly and narrow the intervals of all results; ``result`` is the record. This
module chooses between an estimate and the computation of all samples, whichever is less work.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from fastsil.engines.dispatch import NO_PAIRS, compute_terms, find_engine
from fastsil.engines.intervals import MomentRows, open_rows
from fastsil.engines.linear.summaries import SQUARED_METRICS
from fastsil.engines.terms import SilhouetteTerms, compute_silhouettes
from fastsil.runtime.lazy_imports import import_on_first_use
from fastsil.runtime.progress import ProgressCallback, progress_bar, scale_progress
from fastsil.runtime.threads import resolve_n_jobs, shares_threads
from fastsil.scoring.estimate.result import ClusterEstimates, SilhouetteEstimate
from fastsil.scoring.estimate.rounds import Request, Rounds
from fastsil.scoring.plan import exact_is_as_cheap
from fastsil.scoring.profile import SilhouetteProfile, make_profile
from fastsil.validation import (
    Metric,
    check_confidence,
    check_metric,
    check_metric_params,
    check_scored,
    check_scored_labels,
    check_sparse,
    check_tol,
    get_metric_name,
    is_dask_array,
    refuse_sample_weight,
)
from fastsil.validation.arrays import result_dtype
from fastsil.validation.partition import Partition

__all__ = [
    "ClusterEstimates",
    "SilhouetteEstimate",
    "compute_blocks",
    "estimate_profile",
    "estimate_rows",
    "silhouette_estimate",
]


@shares_threads
def silhouette_estimate(
    X: ArrayLike,
    labels: ArrayLike,
    *,
    tol: float = 1e-3,
    confidence: float = 0.99,
    metric: Metric = "euclidean",
    random_state: int | np.random.RandomState | None = None,
    ignore_label: Any = None,
    sample_weight: ArrayLike | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
    **metric_params: Any,
) -> SilhouetteEstimate:
    """Estimate the mean silhouette to within ``tol``, with an interval, in a small part of the time of the exact one.

    For metrics that are Euclidean, or are after a linear map, moments of the clusters give a guess and a certain
    interval of every silhouette in O(n · k · d + n · d²), and a few thousand random samples, computed exactly, give the
    average error of the guesses. The interval is not asymptotic: it holds with the stated confidence for any data and
    few draws too. Other metrics have no guesses, so that many more samples are drawn. Metrics that need no pairs
    (squared Euclidean, cosine, correlation, Manhattan) and small data are computed exactly, and so are data where
    ``tol`` would need half of all samples; the intervals then have no width.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features) or (n_samples, n_samples)
        Samples, or their distances for ``metric="precomputed"``.
    labels : array-like of shape (n_samples,)
        Label of every sample.
    tol : float, default=1e-3
        Requested half-width of the intervals of the score and of the macro score. Those of single clusters
        and of the share of negative samples may be ten times as wide.
    confidence : float, default=0.99
        Probability with which each interval holds the exact value.
    metric : str or callable, default="euclidean"
        As for :func:`fastsil.silhouette_samples`. Of a Dask array, one that is Euclidean, is after a linear map, or
        needs no pairs.
    random_state : int, RandomState or None, default=None
        Chooses the samples.
    ignore_label, sample_weight, n_jobs, progress, **metric_params
        As for :func:`fastsil.silhouette_samples`. With weights, samples are drawn in proportion to them, too. Where a
        label has no weight, all is computed exactly.

    Returns
    -------
    SilhouetteEstimate

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it and the place.

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
    request = Request(tol, confidence, check_random_state(random_state), resolve_n_jobs(n_jobs))
    if is_dask_array(X):
        refuse_sample_weight(sample_weight, "a Dask array", "pass X.compute() if it fits in memory.")
        found = _estimate_blocks(X, labels, metric, metric_params, ignore_label, request)
        return replace(found, metric=get_metric_name(metric), seconds=time.perf_counter() - started)
    X, partition, _ = check_scored(X, labels, metric, metric_params, ignore_label, sample_weight)
    check_sparse(X, metric)
    with progress_bar("silhouettes", enabled=progress) as tick:
        found = _estimate(X, partition, metric, metric_params, request, tick)
    return replace(found, metric=get_metric_name(metric), seconds=time.perf_counter() - started)


def estimate_profile(
    X: Any,
    partition: Partition,
    metric: Metric,
    metric_params: dict[str, Any],
    request: Request,
    tick: ProgressCallback,
) -> tuple[SilhouetteEstimate, SilhouetteProfile]:
    """Estimate the mean silhouette, and return the profile of the guesses that the estimate rests on.

    Silhouettes that were drawn are exact in the profile, as are all where exact ones cost no more, or where the metric
    has no guesses.
    """
    started, name, dtype = time.perf_counter(), get_metric_name(metric), result_dtype(X.dtype)
    rows = None
    if not _is_exact(X, partition, metric, metric_params):
        rows = open_rows(X, partition, metric, metric_params, n_jobs=request.n_jobs, tick=scale_progress(tick, 0.4))
    if isinstance(rows, MomentRows):
        found, intervals = rows.guess(scale_progress(tick, 0.4))
        rounds = Rounds(rows, partition, request, intervals)
        if rounds.run():
            tick(0.2)
            seconds = time.perf_counter() - started
            terms, by_row = rows.order_by_row(found, intervals, {"estimate": seconds})
            profile = make_profile(terms, partition, dtype=dtype, metric=name, intervals=by_row)
            return replace(rounds.finish(), metric=name, seconds=seconds), profile
        tick = scale_progress(tick, 0.2)
    estimate, terms = _compute_exactly(X, partition, metric, metric_params, request, tick)
    profile = make_profile(terms, partition, dtype=dtype, metric=name)
    return replace(estimate, metric=name, seconds=time.perf_counter() - started), profile


def _is_exact(X: Any, partition: Partition, metric: Metric, metric_params: dict[str, Any]) -> bool:
    """Return whether exact silhouettes cost no more than an estimate."""
    engine = find_engine(X, metric, metric_params)
    # Moments of a cluster without weight do not exist.
    return (
        partition.has_weightless
        or engine in NO_PAIRS
        or (engine == "euclidean" and exact_is_as_cheap(partition, X.shape[1]))
    )


def _estimate(
    X: Any,
    partition: Partition,
    metric: Metric,
    metric_params: dict[str, Any],
    request: Request,
    tick: ProgressCallback,
) -> SilhouetteEstimate:
    n_jobs = request.n_jobs
    if _is_exact(X, partition, metric, metric_params):
        return _compute_exactly(X, partition, metric, metric_params, request, tick)[0]
    rows = open_rows(X, partition, metric, metric_params, n_jobs=n_jobs, tick=scale_progress(tick, 0.4))
    rounds = Rounds(rows, partition, request, rows.intervals(scale_progress(tick, 0.4)))
    if not rounds.run():
        # The remaining samples are most of the work.
        return _compute_exactly(X, partition, metric, metric_params, request, scale_progress(tick, 0.2))[0]
    tick(0.2)
    return rounds.finish()


def _estimate_blocks(
    X: Any, labels: Any, metric: Metric, metric_params: dict[str, Any], ignore_label: Any, request: Request
) -> SilhouetteEstimate:
    """Estimate a Dask array's silhouettes; only labels and an interval for each sample are held in memory."""
    check_metric(metric)
    check_metric_params(metric, metric_params)
    if metric not in SQUARED_METRICS:
        blocks = import_on_first_use("fastsil.dask_arrays")
        found = estimate_rows(blocks.BlockRows(X, labels, metric, metric_params, ignore_label), request)
        if found is not None:
            return found
    return compute_blocks(X, labels, metric, metric_params, ignore_label, request)


def estimate_rows(rows: Any, request: Request, *, give_up: bool = True) -> SilhouetteEstimate | None:
    """Estimate from rows of a Dask array (``BlockRows``, ``PooledRows``); None if computing all is less work.

    Where it cannot give up, the intervals may then be wider than requested.
    """
    rounds = Rounds(rows, rows.partition, request, rows.intervals())
    return rounds.finish() if rounds.run() or not give_up else None


def compute_blocks(
    X: Any, labels: Any, metric: Metric, metric_params: dict[str, Any], ignore_label: Any, request: Request
) -> SilhouetteEstimate:
    """Compute the exact values of a Dask array, as an estimate with intervals of no width."""
    blocks = import_on_first_use("fastsil.dask_arrays")
    terms, _, in_memory = blocks.terms_by_blocks(X, labels, metric, metric_params, ignore_label)
    return _make_exact_estimate(terms, check_scored_labels(in_memory, len(in_memory), ignore_label)[0], request)


def _compute_exactly(
    X: Any,
    partition: Partition,
    metric: Metric,
    metric_params: dict[str, Any],
    request: Request,
    tick: ProgressCallback,
) -> tuple[SilhouetteEstimate, SilhouetteTerms]:
    """Return the exact values, as an estimate with intervals of no width, and the terms that they are made from."""
    terms = compute_terms(X, partition, metric, metric_params, n_jobs=request.n_jobs, tick=tick)
    return _make_exact_estimate(terms, partition, request), terms


def _make_exact_estimate(terms: SilhouetteTerms, partition: Partition, request: Request) -> SilhouetteEstimate:
    silhouettes = compute_silhouettes(terms, partition)
    means = partition.means(silhouettes)
    score, macro = partition.mean(silhouettes), partition.mean_of_means(silhouettes)
    share = float((silhouettes < 0).mean())
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

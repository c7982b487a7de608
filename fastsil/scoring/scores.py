"""The public functions that score one labeling: check, choose, compute, finish."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state

from fastsil.engines.dispatch import NO_PAIRS, compute_terms, find_engine
from fastsil.engines.terms import SilhouetteTerms, compute_silhouettes
from fastsil.runtime.lazy_imports import import_on_first_use
from fastsil.runtime.progress import progress_bar
from fastsil.runtime.threads import resolve_n_jobs, shares_threads
from fastsil.scoring.plan import log_if_long
from fastsil.scoring.profile import SilhouetteProfile, add_ignored, make_profile
from fastsil.scoring.result_cache import RESULT_CACHE
from fastsil.validation import (
    Metric,
    check_average,
    check_drawn,
    check_finite,
    check_labels,
    check_metric,
    check_metric_params,
    check_part_labels,
    check_refine_to,
    check_sample_size,
    check_scored,
    check_scored_labels,
    check_sparse,
    check_weighted,
    get_metric_name,
    is_dask_array,
    refuse_sample_weight,
    take_samples,
)
from fastsil.validation.arrays import result_dtype, scatter_to_all
from fastsil.validation.partition import Partition


@shares_threads
def silhouette_samples(
    X: ArrayLike,
    labels: ArrayLike,
    *,
    metric: Metric = "euclidean",
    ignore_label: Any = None,
    sample_weight: ArrayLike | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
    **metric_params: Any,
) -> NDArray[Any]:
    """Compute the silhouette of every sample, exactly; a drop-in for :func:`sklearn.metrics.silhouette_samples`.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features) or (n_samples, n_samples)
        Samples, or their distances for ``metric="precomputed"``. A C-contiguous float32 or float64 array
        or memmap is read in place, never copied as a whole; so are distances in Fortran order or of integers.
        A Dask array of samples is scored block by block on Dask's scheduler (with one thread a task, regardless of what
        ``n_jobs`` and ``progress`` request), and labels may be one too.
    labels : array-like of shape (n_samples,)
        Label of every sample: integers, strings, anything that sorts.
    metric : str or callable, default="euclidean"
        Any that :func:`sklearn.metrics.pairwise_distances` takes. Euclidean, Mahalanobis
        (``V=`` covariance or ``VI=`` its inverse; by default the covariance of X), standardized Euclidean
        (``V=`` variances), squared Euclidean, cosine, correlation, Manhattan, Chebyshev, Hamming, Canberra,
        Bray-Curtis and given distances run on fastsil's engines, others on scikit-learn's distances.
    ignore_label : label, optional
        Samples with this label are left out of everything: ``-1`` for the noise of DBSCAN and HDBSCAN, which is
        otherwise one more cluster; ``numpy.nan`` for missing labels (NaN, None, pandas' NA and NaT). Their silhouettes
        are NaN. The others are copied once (of distances, their rows and columns).
    sample_weight : array-like of shape (n_samples,), optional
        How often each sample counts: 2 is the sample twice, 0 is the sample left out for all others, though it has a
        silhouette itself. With W the total weight of a cluster C, the mean distance from sample i to another cluster C
        is ``sum_j w_j d(i, j) / W``, and to its own ``sum_j w_j d(i, j) / (W - min(w_i, 1))``: for whole numbers what
        repetition gives, and for weights below 1 the mean without the sample itself. So weights that are all 3 are not
        the same as none. Not for Dask arrays.
    n_jobs : int, optional
        Threads. By default all cores that the process may use. The result is the same to the bit for any number.
    progress : bool, default=False
        Show a progress bar (needs tqdm).
    **metric_params
        Keywords of the metric.

    Returns
    -------
    ndarray of shape (n_samples,)
        Silhouettes from -1 to 1, without a unit: float32 for float32 input, else float64. 0 for a cluster
        of one sample, and where no other sample of the cluster has weight. Of a Dask array, a Dask array in the chunks
        of its rows: nothing is computed before its values are needed, and errors of a block are raised then.

    Raises
    ------
    ValueError
        If X or labels is invalid; the message names the place.
    TypeError
        If labels mixes types that have no order.

    References
    ----------
    P. J. Rousseeuw (1987), "Silhouettes: a graphical aid to the interpretation and validation of cluster
    analysis", Journal of Computational and Applied Mathematics 20, 53-65.

    Examples
    --------
    >>> from fastsil import silhouette_samples
    >>> silhouette_samples([[0.0], [1.0], [5.0], [6.0], [7.0]], [0, 0, 1, 1, 1]).round(3)
    array([0.833, 0.8  , 0.667, 0.818, 0.769])
    >>> silhouette_samples([[0.0], [1.0], [5.0], [6.0], [99.0]], [0, 0, 1, 1, -1], ignore_label=-1).round(3)
    array([0.818, 0.778, 0.778, 0.818,   nan])
    >>> silhouette_samples([[0.0], [1.0], [5.0], [6.0]], [0, 0, 1, 1], sample_weight=[1, 3, 1, 1]).round(3)
    array([0.818, 0.926, 0.765, 0.81 ])
    >>> silhouette_samples([[0.0], [1.0], [1.0], [1.0], [5.0], [6.0]], [0, 0, 0, 0, 1, 1])[[0, 1, 4, 5]].round(3)
    array([0.818, 0.926, 0.765, 0.81 ])
    """
    if is_dask_array(X):
        _refuse_weights(sample_weight)
        found: NDArray[Any] = _blocks(metric, metric_params).silhouettes_by_blocks(
            X, labels, metric, metric_params, ignore_label
        )
        return found
    data, partition, kept = check_scored(X, labels, metric, metric_params, ignore_label, sample_weight)
    terms = _compute(data, partition, metric, metric_params, n_jobs=n_jobs, progress=progress)
    silhouettes = compute_silhouettes(terms, partition).astype(result_dtype(data.dtype), copy=False)
    return silhouettes if kept is None else scatter_to_all(silhouettes, kept)


@shares_threads
def silhouette_score(
    X: ArrayLike,
    labels: ArrayLike,
    *,
    metric: Metric = "euclidean",
    sample_size: int | None = None,
    random_state: int | np.random.RandomState | None = None,
    average: Literal["micro", "macro"] = "micro",
    tol: float | None = None,
    ignore_label: Any = None,
    sample_weight: ArrayLike | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
    **metric_params: Any,
) -> float:
    """Compute the mean silhouette, exactly; a drop-in for :func:`sklearn.metrics.silhouette_score`.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features) or (n_samples, n_samples)
        Samples, or their distances for ``metric="precomputed"``. A Dask array of samples is computed at once, on
        Dask's scheduler; ``silhouette_samples(X, labels).mean()`` is the same number, not yet computed.
    labels : array-like of shape (n_samples,)
        Label of every sample.
    metric : str or callable, default="euclidean"
        As for :func:`silhouette_samples`.
    sample_size : int, optional
        Score a random subset of this size instead of all samples, chosen as scikit-learn chooses it (from those that
        ``ignore_label`` leaves).
    random_state : int, RandomState or None, default=None
        Chooses the subset.
    average : {"micro", "macro"}, default="micro"
        ``"micro"``: mean over samples, as in scikit-learn. ``"macro"``: mean of the clusters' means, in which
        every cluster counts alike.
    tol : float, optional
        An estimate to within ``tol`` with 99 % confidence is enough: :func:`silhouette_estimate`, which reports its
        interval too.
    ignore_label : label, optional
        Samples with this label are left out of everything: ``-1`` for the noise of DBSCAN and HDBSCAN, which is
        otherwise one more cluster; ``numpy.nan`` for missing labels. The others are copied once (of distances, their
        rows and columns).
    sample_weight : array-like of shape (n_samples,), optional
        How often each sample counts, as for :func:`silhouette_samples`, in distances and in the means: micro is
        ``sum_i w_i s_i / sum_i w_i``, macro the mean of the clusters' weighted means.
    n_jobs : int, optional
        Threads. By default all cores that the process may use.
    progress : bool, default=False
        Show a progress bar (needs tqdm).
    **metric_params
        Keywords of the metric.

    Returns
    -------
    float
        From -1 to 1.

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it and the place.

    Examples
    --------
    >>> from fastsil import silhouette_score
    >>> X, labels = [[0.0], [1.0], [5.0], [6.0], [7.0]], [0, 0, 1, 1, 1]
    >>> round(silhouette_score(X, labels), 4), round(silhouette_score(X, labels, average="macro"), 4)
    (0.7775, 0.784)
    """
    check_average(average)
    sample_size = check_sample_size(sample_size)
    if tol is not None:
        if sample_size is not None:
            raise ValueError("sample_size and tol both mean fewer samples; pass one of them.")
        estimate = import_on_first_use("fastsil.scoring.estimate").silhouette_estimate(
            X,
            labels,
            tol=tol,
            metric=metric,
            random_state=random_state,
            ignore_label=ignore_label,
            sample_weight=sample_weight,
            n_jobs=n_jobs,
            progress=progress,
            **metric_params,
        )
        return float(estimate.score if average == "micro" else estimate.macro_score)
    if is_dask_array(X):
        _refuse_weights(sample_weight)
        if sample_size is None:
            return float(
                _blocks(metric, metric_params).score_by_blocks(X, labels, metric, metric_params, average, ignore_label)
            )
        X, drawn = _blocks(metric, metric_params).draw_rows(X, labels, sample_size, random_state, ignore_label)
        check_drawn(check_part_labels(drawn, len(drawn)).n_clusters, len(drawn))
        labels = drawn
        sample_size, ignore_label = None, None
    X, partition, _ = check_scored(X, labels, metric, metric_params, ignore_label, sample_weight)
    if sample_size is not None:
        X, partition = _draw_subset(X, partition, metric, sample_size, random_state)
    terms = _compute(X, partition, metric, metric_params, n_jobs=n_jobs, progress=progress)
    silhouettes = compute_silhouettes(terms, partition)
    return partition.mean(silhouettes) if average == "micro" else partition.mean_of_means(silhouettes)


@shares_threads
def silhouette_profile(
    X: ArrayLike,
    labels: ArrayLike,
    *,
    metric: Metric = "euclidean",
    exact: bool = True,
    refine_to: float | None = None,
    ignore_label: Any = None,
    sample_weight: ArrayLike | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
    **metric_params: Any,
) -> SilhouetteProfile:
    """Compute silhouettes, ``a``, ``b``, nearest clusters, counts and a row a cluster in one pass.

    Parameters
    ----------
    X, labels, metric, ignore_label, sample_weight, n_jobs, progress, **metric_params
        As for :func:`silhouette_samples`; a Dask array is computed at once, and the profile is in memory: about 40
        bytes a sample. Where ``ignore_label`` leaves a sample out, its silhouette, ``a`` and ``b``
        are NaN, its ``neighbor`` is its own label, and no score, count or table of the profile includes it.
    exact : bool, default=True
        ``False``: silhouettes, ``a`` and ``b`` are guessed from moments of the clusters, in O(n · k · d + n · d²), and
        ``lower`` and ``upper`` of the profile certainly hold the exact silhouette of every sample. For metrics that are
        Euclidean, or are after a linear map; those that need no pairs are exact all the same.
    refine_to : float, optional
        With ``exact=False``: samples whose interval is wider than this are computed exactly, one by one.

    Returns
    -------
    SilhouetteProfile

    Raises
    ------
    ValueError
        If X or labels is invalid, or there are no guesses for the metric; the message names the place.

    Examples
    --------
    >>> from fastsil import silhouette_profile
    >>> profile = silhouette_profile([[0.0], [1.0], [5.0], [6.0], [7.0]], list("uuvvv"))
    >>> profile.neighbor
    array(['v', 'v', 'u', 'u', 'u'], dtype='<U1')
    >>> X, labels = [[0.0], [1.0], [5.0], [6.0], [7.0]], [0, 0, 1, 1, 1]
    >>> guessed = silhouette_profile(X, labels, exact=False)
    >>> bool((guessed.lower <= profile.silhouettes).all() and (profile.silhouettes <= guessed.upper).all())
    True
    """
    refine_to = check_refine_to(refine_to, exact=exact)
    data: Any = X
    intervals = None
    if is_dask_array(data):
        _refuse_weights(sample_weight)
        terms, intervals, in_memory = _blocks(metric, metric_params).terms_by_blocks(
            data, labels, metric, metric_params, ignore_label, exact=exact, refine_to=refine_to
        )
        partition, kept = check_scored_labels(in_memory, len(in_memory), ignore_label)
    else:
        data, partition, kept = check_scored(data, labels, metric, metric_params, ignore_label, sample_weight)
        if exact or partition.has_weightless or find_engine(data, metric, metric_params) in NO_PAIRS:
            terms = _compute(data, partition, metric, metric_params, n_jobs=n_jobs, progress=progress)
        else:
            with progress_bar("silhouettes", enabled=progress) as tick:
                terms, intervals = import_on_first_use("fastsil.engines.intervals").guess_terms(
                    data,
                    partition,
                    metric,
                    metric_params,
                    refine_to=refine_to,
                    n_jobs=resolve_n_jobs(n_jobs),
                    tick=tick,
                )
    profile = make_profile(
        terms, partition, dtype=result_dtype(data.dtype), metric=get_metric_name(metric), intervals=intervals
    )
    return profile if kept is None else add_ignored(profile, kept, ignore_label)


def _refuse_weights(sample_weight: Any) -> None:
    refuse_sample_weight(sample_weight, "a Dask array", "pass X.compute() if it fits in memory.")


def _blocks(metric: Metric, metric_params: dict[str, Any]) -> Any:
    """Return the package for Dask arrays, for a metric that it supports."""
    check_metric(metric)
    check_metric_params(metric, metric_params)
    if metric == "precomputed":
        raise ValueError(
            "metric='precomputed' takes no Dask array; pass the samples and their metric, or distances mapped from a "
            "file (numpy.load(path, mmap_mode='r')), which are read in place."
        )
    return import_on_first_use("fastsil.dask_arrays")


def _compute(
    X: Any,
    partition: Partition,
    metric: Metric,
    metric_params: dict[str, Any],
    *,
    n_jobs: int | None,
    progress: bool,
) -> SilhouetteTerms:
    check_sparse(X, metric)
    threads = resolve_n_jobs(n_jobs)
    log_if_long(X, partition, metric, metric_params, threads)

    def compute() -> SilhouetteTerms:
        with progress_bar("silhouettes", enabled=progress) as tick:
            return compute_terms(X, partition, metric, metric_params, n_jobs=threads, tick=tick)

    is_kept = metric == "euclidean" and not metric_params and partition.weights is None
    return RESULT_CACHE.get(X, partition, compute) if is_kept else compute()


def _draw_subset(
    X: Any, partition: Partition, metric: Metric, sample_size: int, random_state: Any
) -> tuple[Any, Partition]:
    """Draw rows by the calls that scikit-learn makes, so that a seed gives an equal subset."""
    rows = check_random_state(random_state).permutation(X.shape[0])[:sample_size]
    if metric == "precomputed":
        # Distances that are not drawn are looked at too, but as scikit-learn does, for gaps only.
        check_finite(X)
    labels = partition.classes[partition.codes[rows]]
    if partition.weights is not None:
        drawn = check_weighted(check_part_labels(labels, len(rows)), partition.weights.values[rows])
        return take_samples(X, rows, metric), drawn
    check_drawn(len(np.unique(partition.codes[rows])), len(rows))
    return take_samples(X, rows, metric), check_labels(labels, len(rows))

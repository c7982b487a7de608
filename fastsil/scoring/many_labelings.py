"""Public functions that score several labelings of one data set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsil.engines.dispatch import compute_terms_many
from fastsil.engines.terms import SilhouetteTerms, compute_silhouettes
from fastsil.runtime.memory import require
from fastsil.runtime.progress import progress_bar, scale_progress
from fastsil.runtime.threads import resolve_n_jobs, shares_threads
from fastsil.scoring.profile import SilhouetteProfile, add_ignored, make_profile
from fastsil.validation import (
    Metric,
    check_data,
    check_labelings,
    check_metric,
    check_metric_params,
    check_sample_weight,
    check_sparse,
    get_metric_name,
    take_scored,
    warn_of_order,
)
from fastsil.validation.arrays import result_dtype
from fastsil.validation.partition import Partition

_Labeling = tuple[Partition, NDArray[np.bool_] | None]


@shares_threads
def silhouette_samples_many(
    X: ArrayLike,
    labelings: Iterable[ArrayLike],
    *,
    metric: Metric = "euclidean",
    ignore_label: Any = None,
    sample_weight: ArrayLike | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
    **metric_params: Any,
) -> NDArray[Any]:
    """Compute the silhouette of every sample in each of several labelings of one data set, exactly.

    Work that does not depend on the labels is done once for all of them. Euclidean distances (also those after a linear
    map) are shared as long as 16 bytes a sample and cluster fit scikit-learn's ``working_memory``; labelings beyond it,
    or with so few distances to compute that sharing does not pay, are scored one by one.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features) or (n_samples, n_samples)
        Samples, or their distances for ``metric="precomputed"``.
    labelings : sequence of array-like of shape (n_samples,)
        Labels of every sample, one array for each labeling: the clusterings of a sweep over k, or any others.
    metric, ignore_label, sample_weight, n_jobs, progress, **metric_params
        As for :func:`silhouette_samples`; the weights are those of all labelings. Where ``ignore_label`` leaves out
        different samples of different labelings, these share no work.

    Returns
    -------
    ndarray of shape (n_labelings, n_samples)
        Row ``i`` holds the silhouettes for ``labelings[i]``, to the digits that :func:`silhouette_samples` promises.

    Raises
    ------
    ValueError
        If X or a labeling is invalid; the message names it and the place.
    TypeError
        If labelings is no sequence, or a labeling mixes types that have no order.

    Examples
    --------
    >>> from fastsil import silhouette_samples_many
    >>> X = [[0.0], [1.0], [5.0], [6.0], [7.0]]
    >>> silhouette_samples_many(X, [[0, 0, 1, 1, 1], [0, 0, 1, 2, 2]]).mean(axis=1).round(3)
    array([0.777, 0.41 ])
    """
    data, checked = _check_many(X, labelings, metric, metric_params, ignore_label, sample_weight)
    require(
        28.0 * len(checked) * data.shape[0],
        f"The result of {data.shape[0]:,} samples in {len(checked):,} labelings",
        "Score fewer labelings at once.",
    )
    terms = _compute_many(data, checked, metric, metric_params, n_jobs=n_jobs, progress=progress)
    silhouettes = np.full((len(checked), data.shape[0]), np.nan, result_dtype(data.dtype))
    for row, of_labeling, (partition, kept) in zip(silhouettes, terms, checked, strict=True):
        row[slice(None) if kept is None else kept] = compute_silhouettes(of_labeling, partition)
    return silhouettes


@shares_threads
def silhouette_profiles(
    X: ArrayLike,
    labelings: Iterable[ArrayLike],
    *,
    metric: Metric = "euclidean",
    ignore_label: Any = None,
    sample_weight: ArrayLike | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
    **metric_params: Any,
) -> list[SilhouetteProfile]:
    """Make a :class:`SilhouetteProfile` for each of several labelings of one data set.

    Parameters
    ----------
    X, labelings, metric, ignore_label, sample_weight, n_jobs, progress, **metric_params
        As for :func:`silhouette_samples_many`.

    Returns
    -------
    list of SilhouetteProfile
        One for each labeling. Where distances were shared, the ``work`` of each is that of the shared pass.

    Raises
    ------
    ValueError
        If X or a labeling is invalid; the message names it and the place.
    TypeError
        If labelings is no sequence, or a labeling mixes types that have no order.

    Examples
    --------
    >>> from fastsil import silhouette_profiles
    >>> X = [[0.0], [1.0], [5.0], [6.0], [7.0]]
    >>> [profile.n_clusters for profile in silhouette_profiles(X, [[0, 0, 1, 1, 1], [0, 0, 1, 2, 2]])]
    [2, 3]
    """
    data, checked = _check_many(X, labelings, metric, metric_params, ignore_label, sample_weight)
    terms = _compute_many(data, checked, metric, metric_params, n_jobs=n_jobs, progress=progress)
    profiles = []
    for of_labeling, (partition, kept) in zip(terms, checked, strict=True):
        profile = make_profile(of_labeling, partition, dtype=result_dtype(data.dtype), metric=get_metric_name(metric))
        profiles.append(profile if kept is None else add_ignored(profile, kept, ignore_label))
    return profiles


def _check_many(
    X: Any,
    labelings: Any,
    metric: Metric,
    metric_params: dict[str, Any],
    ignore_label: Any,
    sample_weight: Any,
) -> tuple[Any, list[_Labeling]]:
    check_metric(metric)
    check_metric_params(metric, metric_params)
    data = check_data(X, metric=metric)
    listed = list(labelings) if isinstance(labelings, Iterable) and not isinstance(labelings, str) else labelings
    weights = check_sample_weight(sample_weight, data.shape[0])
    checked = check_labelings(listed, data.shape[0], ignore_label, weights)
    warn_of_order(X, sample_weight, "sample_weight")
    for labels in listed:
        warn_of_order(X, labels)
    check_sparse(data, metric)
    return data, checked


def _compute_many(
    X: Any,
    labelings: list[_Labeling],
    metric: Metric,
    metric_params: dict[str, Any],
    *,
    n_jobs: int | None,
    progress: bool,
) -> list[SilhouetteTerms]:
    """Compute the terms of every labeling; those that score the same samples share work."""
    threads = resolve_n_jobs(n_jobs)
    groups: dict[bytes, list[int]] = {}
    for place, (_, kept) in enumerate(labelings):
        groups.setdefault(b"" if kept is None else np.packbits(kept).tobytes(), []).append(place)
    terms: dict[int, SilhouetteTerms] = {}
    with progress_bar("silhouettes", enabled=progress) as tick:
        for places in groups.values():
            kept = labelings[places[0]][1]
            scored = X if kept is None else take_scored(X, kept, metric)
            partitions = [labelings[place][0] for place in places]
            part = scale_progress(tick, len(places) / len(labelings))
            found = compute_terms_many(scored, partitions, metric, metric_params, n_jobs=threads, tick=part)
            terms.update(zip(places, found, strict=True))
    return [terms[place] for place in range(len(labelings))]

"""Silhouettes within groups of the samples: sentences of a language, cells of a type, rows of a site."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsil.engines.dispatch import SQUARES, compute_terms, find_euclidean_form
from fastsil.engines.metric_maps import MappedData, run_mapped
from fastsil.engines.rescaling import is_rounding_harmless
from fastsil.engines.terms import SilhouetteTerms, Work, compute_silhouettes
from fastsil.runtime.progress import ProgressCallback, progress_bar, scale_progress
from fastsil.runtime.sklearn_compat import InvalidParameterError
from fastsil.runtime.threads import resolve_n_jobs, shares_threads
from fastsil.validation import (
    Metric,
    check_data,
    check_metric,
    check_metric_params,
    check_part_labels,
    check_sample_weight,
    check_sparse,
    mark_scored,
    take_rows,
    take_samples,
    warn_of_order,
)
from fastsil.validation.arrays import result_dtype
from fastsil.validation.partition import Partition, partition_from_codes

if TYPE_CHECKING:
    import pandas as pd

Other = Literal["nearest", "mean", "furthest"]

# Metrics that derive a scale from the data: from all samples, so that every group is measured alike.
_DERIVED = ("mahalanobis", "seuclidean")


@dataclass(frozen=True, eq=False)
class SilhouettesByGroup:
    """Silhouettes within each group of the samples, one entry a group in the order of ``groups``.

    Made by :func:`fastsil.silhouette_by`. A group has no silhouettes if its samples have one label, or each its own:
    its scores are NaN, and no mean over groups includes it.

    Attributes
    ----------
    groups : ndarray of shape (n_groups,)
        The groups, sorted.
    sizes : ndarray of shape (n_groups,), intp
        Samples of each group, without those that ``ignore_label`` leaves out.
    n_labels : ndarray of shape (n_groups,), intp
        Distinct labels of each group.
    scores : ndarray of shape (n_groups,), float64
        Mean silhouette over the samples of the group ("micro").
    macro_scores : ndarray of shape (n_groups,), float64
        Mean of the labels' mean silhouettes within the group ("macro").
    mixing_scores : ndarray of shape (n_groups,), float64
        Mean of ``1 - |silhouette|`` over the samples of the group: 1 where labels are mixed, 0 where they are apart.
    silhouettes : ndarray of shape (n_samples,)
        Silhouette of each sample among its group, in the order of the rows of X; NaN where there is none.
    """

    groups: NDArray[Any]
    sizes: NDArray[np.intp]
    n_labels: NDArray[np.intp]
    scores: NDArray[np.float64]
    macro_scores: NDArray[np.float64]
    mixing_scores: NDArray[np.float64]
    silhouettes: NDArray[Any]

    @cached_property
    def score(self) -> float:
        """Mean of ``scores``: every group counts alike."""
        return float(np.nanmean(self.scores))

    @cached_property
    def macro_score(self) -> float:
        """Mean of ``macro_scores``: every group counts alike, and in it every label."""
        return float(np.nanmean(self.macro_scores))

    @cached_property
    def mixing_score(self) -> float:
        """Mean of ``mixing_scores``: of batches within cell types, the rescaled batch ASW of scib."""
        return float(np.nanmean(self.mixing_scores))

    def to_frame(self) -> pd.DataFrame:
        """Return one row a group: size, n_labels, score, macro_score, mixing_score.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("to_frame needs pandas; install it with: pip install 'fastsil[frames]'") from error
        columns = {
            "size": self.sizes,
            "n_labels": self.n_labels,
            "score": self.scores,
            "macro_score": self.macro_scores,
            "mixing_score": self.mixing_scores,
        }
        return pd.DataFrame(columns, index=pd.Index(self.groups, name="group"))

    def __repr__(self) -> str:
        without = int(np.isnan(self.scores).sum())
        return (
            f"SilhouettesByGroup(n_groups={len(self.groups)}, {f'without_score={without}, ' if without else ''}"
            f"score={self.score:.4f}, macro_score={self.macro_score:.4f}, mixing_score={self.mixing_score:.4f})"
        )


@shares_threads
def silhouette_by(
    X: ArrayLike,
    labels: ArrayLike,
    groups: ArrayLike,
    *,
    metric: Metric = "euclidean",
    other: Other = "nearest",
    ignore_label: Any = None,
    sample_weight: ArrayLike | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
    **metric_params: Any,
) -> SilhouettesByGroup:
    """Compute silhouettes within each group of the samples alone: no sample is compared with another group's.

    Are topics separate among the sentences of each language? ``labels`` are topics, ``groups`` languages. Are batches
    mixed among the cells of each type? ``labels`` are batches, ``groups`` cell types.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features) or (n_samples, n_samples)
        Samples, or their distances for ``metric="precomputed"``.
    labels : array-like of shape (n_samples,)
        Label of every sample. A label may occur in several groups.
    groups : array-like of shape (n_samples,)
        Group of every sample.
    metric : str or callable, default="euclidean"
        As for :func:`silhouette_samples`. Mahalanobis and standardized Euclidean distance take the covariance or the
        variances of all samples, if they are not given.
    other : {"nearest", "mean", "furthest"}, default="nearest"
        What ``b`` of a sample is: the mean distance to the nearest other label's samples, which makes it a silhouette;
        to the samples of all other labels together; or to the furthest other label's. The last two are those of BRAS.
    ignore_label, sample_weight, n_jobs, progress, **metric_params
        As for :func:`silhouette_samples`. Weights enter the mean distances and the means within a group; every group
        counts alike all the same.

    Returns
    -------
    SilhouettesByGroup

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it and the place. Or if no group has silhouettes.

    References
    ----------
    M. D. Luecken and others (2022), "Benchmarking atlas-level data integration in single-cell genomics", Nature Methods
    19, 41-50.

    P. Rautenstrauch, U. Ohler (2025), "Shortcomings of silhouette in single-cell integration benchmarking", Nature
    Biotechnology, doi:10.1038/s41587-025-02743-4.

    Examples
    --------
    >>> from fastsil import silhouette_by
    >>> X = [[0.0], [1.0], [5.0], [6.0], [0.0], [5.0], [1.0], [6.0]]
    >>> by = silhouette_by(X, labels=list("uuvvuuvv"), groups=["en"] * 4 + ["fr"] * 4)
    >>> by.scores.round(3)
    array([ 0.798, -0.4  ])
    >>> by
    SilhouettesByGroup(n_groups=2, score=0.1990, macro_score=0.1990, mixing_score=0.4010)
    """
    check_metric(metric)
    check_metric_params(metric, metric_params)
    if other not in ("nearest", "mean", "furthest"):
        raise InvalidParameterError(f"other={other!r} is not known; pass 'nearest', 'mean' or 'furthest'.")
    warn_of_order(X, labels)
    warn_of_order(X, sample_weight, "sample_weight")
    data = check_data(X, metric=metric)
    check_sparse(data, metric)
    weights = check_sample_weight(sample_weight, data.shape[0])
    labels, kept = mark_scored(labels, data.shape[0], ignore_label)
    grouped = _check_groups(groups, data.shape[0])
    dtype, W = result_dtype(data.dtype), None
    form = find_euclidean_form(data, metric, metric_params, weights) if metric in _DERIVED else None
    if form is not None:
        data, W, metric, metric_params = form.X, form.W, "euclidean", {}

    with progress_bar("silhouettes", enabled=progress) as tick:
        measure = _Measure(metric, metric_params, W, other, resolve_n_jobs(n_jobs), tick)
        by = _score_groups(data, labels, kept, weights, grouped, measure, dtype)
    if np.isnan(by.scores).all():
        raise ValueError(
            "no group has silhouettes: within each, samples have one label, or each its own. labels are what is "
            "compared within a group; are labels and groups in each other's place?"
        )
    return by


def _score_groups(
    X: Any,
    labels: NDArray[Any],
    kept: NDArray[np.bool_],
    weights: NDArray[np.float64] | None,
    grouped: Partition,
    measure: _Measure,
    dtype: np.dtype[Any],
) -> SilhouettesByGroup:
    """Score the samples of one group after the other."""
    scores, macro_scores, mixing_scores = np.full((3, grouped.n_clusters), np.nan)
    sizes, n_labels = np.zeros((2, grouped.n_clusters), dtype=np.intp)
    silhouettes = np.full(len(kept), np.nan, dtype=dtype)
    pairs = grouped.sizes.astype(np.float64) ** 2
    for group, members in enumerate(np.split(grouped.order, grouped.offsets[1:-1])):
        rows = members[kept[members]]
        sizes[group] = len(rows)
        if not len(rows):
            continue
        partition = check_part_labels(labels[rows], len(rows)).weighted(None if weights is None else weights[rows])
        n_labels[group] = partition.n_clusters
        if partition.has_silhouettes:
            share = float(pairs[group] / pairs.sum())
            values = measure.compute(take_rows(X, rows, measure.metric), partition, share)
            silhouettes[rows] = values
            scores[group], macro_scores[group] = partition.mean(values), partition.mean_of_means(values)
            mixing_scores[group] = 1 - partition.mean(np.abs(values))
    return SilhouettesByGroup(grouped.classes, sizes, n_labels, scores, macro_scores, mixing_scores, silhouettes)


def _check_groups(groups: Any, n_samples: int) -> Partition:
    """Return the groups as a partition; one group is enough."""
    try:
        array, present = mark_scored(groups, n_samples, np.nan)
        if not present.all():
            row = int(np.flatnonzero(~present)[0])
            raise ValueError(f"labels contains {array[row]} (a missing value) at row {row}; drop those rows of X.")
        return check_part_labels(array, n_samples)
    except (ValueError, TypeError) as error:
        raise type(error)(str(error).replace("labels", "groups").replace("one label", "one group")) from error


@dataclass(frozen=True)
class _Measure:
    """The distance and the rule by which the samples of a group are scored."""

    metric: Metric
    metric_params: dict[str, Any]
    W: NDArray[np.float64] | None  # map after which the metric is this one, of all groups
    other: Other
    n_jobs: int
    tick: ProgressCallback

    def compute(self, X: Any, partition: Partition, share: float) -> NDArray[np.float64]:
        """Compute the silhouettes of one group, which is a share of the work."""
        compute = self._compute_terms if self.other == "nearest" else self._compare_pairs
        terms = run_mapped(
            MappedData(X, self.W),
            lambda mapped: compute(mapped, partition, share),
            lambda mapped, found: is_rounding_harmless(mapped, found.larger_means, 2.0, SQUARES),
        )
        return compute_silhouettes(terms, partition)

    def _compute_terms(self, X: Any, partition: Partition, share: float) -> SilhouetteTerms:
        tick = scale_progress(self.tick, share)
        return compute_terms(X, partition, self.metric, self.metric_params, n_jobs=self.n_jobs, tick=tick)

    def _compare_pairs(self, X: Any, partition: Partition, share: float) -> SilhouetteTerms:
        """Compute the mean distances within clusters and to others, from two clusters at a time.

        Of two clusters the nearest other one is the other. Distances within a cluster are computed once for each other
        one, at most as much work again, and every metric is served.
        """
        weights, totals = partition.sample_weight, partition.totals
        a, b = np.zeros((2, partition.n_samples))
        members = np.split(partition.order, partition.offsets[1:-1])
        # Members of a label without weight are at none, and no other label is compared with it.
        counted = np.flatnonzero(totals)
        share /= math.comb(len(counted), 2)
        for clusters in combinations(counted, 2):
            two = [members[cluster] for cluster in clusters]
            rows, sizes = np.concatenate(two), [len(two[0]), len(two[1])]
            pair = partition_from_codes(np.arange(2), np.repeat([0, 1], sizes))
            pair = pair.weighted(None if weights is None else weights[rows])
            terms = self._compute_terms(take_samples(X, rows, self.metric), pair, share)
            a[rows] = np.ldexp(terms.a, -terms.exponent)
            to_other = np.ldexp(terms.b, -terms.exponent)
            if self.other == "furthest":
                b[rows] = np.maximum(b[rows], to_other)
            else:
                own, other = (np.repeat(of_two, sizes) for of_two in (totals[[*clusters]], totals[[*clusters[::-1]]]))
                b[rows] += to_other * other / (totals.sum() - own)
        work = Work("pairs of labels", pairs=0, share=0.0)
        return SilhouetteTerms(a, b, np.zeros(len(a), dtype=np.int32), work)

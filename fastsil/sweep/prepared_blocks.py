"""Samples in blocks in both forms, as they are clustered and as they are scored; labels of all rows stay lazy.

Profiles are of drawn rows: their mean distances to all samples of the clusters, computed where the metric needs no
pairs and guessed from moments otherwise. Where the drawn rows are all rows, they are scored as an array is.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.terms import SilhouetteTerms
from fastsil.runtime.lazy_imports import import_on_first_use
from fastsil.runtime.progress import ProgressCallback, ignore_progress
from fastsil.scoring.estimate import SilhouetteEstimate, compute_blocks, estimate_rows
from fastsil.scoring.estimate.rounds import Request
from fastsil.scoring.profile import make_profile
from fastsil.sweep.block_kmeans import LazyLabels, assign_lazily, open_labels
from fastsil.sweep.checkpoint import Arrays
from fastsil.sweep.clusterers import Fitter, combine_spreads, extract_state, generator_for, get_fitted
from fastsil.sweep.feature_space import FeatureSpace, LinearMap
from fastsil.sweep.kept_profiles import KeptProfile, keep_arrays, keep_profile
from fastsil.sweep.prepared_data import CONFIDENCE, Estimation, PreparedData, Scored, list_estimates
from fastsil.validation import check_n_classes
from fastsil.validation.arrays import result_dtype
from fastsil.validation.partition import Partition, partition_from_codes

if TYPE_CHECKING:
    from fastsil.dask_arrays import RowBlocks

# Rows of the profiles.
_MOST_ROWS = 20_000

BLOCK_TOL = 1e-3
"""Half-width to which scores that need pairs are estimated, where none is requested."""

METRICS_WITHOUT_PAIRS = ("cosine", "correlation", "sqeuclidean")
METRICS = ("euclidean", "l2", "mahalanobis", "seuclidean", *METRICS_WITHOUT_PAIRS)
"""Metrics in which samples in blocks can be swept."""


class LazyPartition(NamedTuple):
    """Labels of samples in blocks.

    Attributes
    ----------
    labels : dask.array.Array of shape (n_samples,)
        Cluster of each sample, by its place among the centers.
    centers : ndarray of shape (k, n_features)
        The centers.
    counts : ndarray of shape (k,)
        Members of each center; some may have none.
    """

    labels: Any
    centers: NDArray[Any]
    counts: NDArray[np.int64]

    @property
    def n_clusters(self) -> int:
        return int(np.count_nonzero(self.counts))


class PreparedBlocks:
    """The data in both forms, with the methods of :class:`fastsil.sweep.prepared_data.SweptData`.

    Parameters
    ----------
    X : RowBlocks of shape (n_samples, n_features)
        Samples.
    space : FeatureSpace
        The geometry.
    estimation : Estimation
        Scores that need pairs are estimated so.
    prepare : callable
        ``prepare(X)``: samples in memory in both forms, for data of which all rows are drawn.
    n_jobs : int
        Threads, for what is in memory.
    """

    estimates = True
    """Whether scores may take long, so that Ctrl-C does not wait for them."""

    def __init__(
        self,
        X: RowBlocks,
        space: FeatureSpace,
        estimation: Estimation,
        prepare: Callable[[Any], PreparedData],
        n_jobs: int,
    ) -> None:
        self.clustered = space.place(X)
        self.n_jobs = n_jobs
        self._X = X
        self._scored = self.clustered if isinstance(space.geometry, LinearMap) else X
        self._metric = str(space.metric)
        self._dtype = result_dtype(X.dtype)
        self._estimation = estimation
        self._prepare = prepare
        self._rows = np.arange(n_samples := X.shape[0])[:_MOST_ROWS]
        if n_samples > _MOST_ROWS:
            random = generator_for("profiles", estimation.seed)
            self._rows = np.sort(random.choice(n_samples, _MOST_ROWS, replace=False))
        self._fitter = Fitter(self.clustered, n_jobs=n_jobs)
        self._counted: tuple[Any, Any] = (None, None)

    def fit(self, clusterer: Any) -> tuple[Any, float]:
        """Fit once, in place; labels and inertia."""
        return self._fitter.fit(clusterer)

    def extract_state(self, fitted: Any) -> Arrays | None:
        """Return what a fit can be restored from; labels follow from the centers."""
        without_labels = copy.copy(fitted)
        del without_labels.labels_
        return extract_state(without_labels)

    def restore(self, clusterer: Any, state: Mapping[str, Any]) -> None:
        """Take a fit of an earlier run for this one's."""
        self._fitter.restore(clusterer, state)
        fitted = get_fitted(clusterer)
        fitted.labels_ = assign_lazily(self.clustered, fitted.cluster_centers_)

    def open_labels(self, fitted: Any) -> LazyLabels:
        """Return labels of which some rows can be read."""
        return open_labels(self.clustered, fitted.cluster_centers_)

    def measure_centers(self, fitted: Any) -> tuple[float, float]:
        """Compute the indices of Calinski and Harabasz and of Davies and Bouldin, in two passes.

        Raises
        ------
        ValueError
            If all samples are in one cluster.
        """
        members, centers = self._count(fitted), self._place(fitted)
        kept = members.counts > 0
        if kept.sum() < 2:
            raise ValueError("all samples are in one cluster, which has no silhouette; are they all the same?")
        means = members.sums / np.maximum(members.counts, 1)[:, None]
        spread = self.clustered.reduce(_lloyd().measure_spread, _lloyd().add_fields, centers, means)
        return combine_spreads(means[kept], members.counts[kept], float(spread.squares.sum()), spread.distances[kept])

    def partition_fit(self, fitted: Any) -> LazyPartition:
        """Return the labels of a fit with the sizes of their clusters."""
        partition = LazyPartition(fitted.labels_, fitted.cluster_centers_, self._count(fitted).counts)
        check_n_classes(partition.n_clusters, self.clustered.shape[0])
        return partition

    def estimate_pass_seconds(self) -> float:
        """Return 0: labelings are scored one by one."""
        return 0.0

    def estimate_fit_seconds(self, unfitted: Any, fitted: Any, measured: float) -> float:
        return measured

    def name_pass(self, partitions: Sequence[LazyPartition]) -> str:
        """Return a digest that names the scores of these partitions."""
        return hashlib.sha256(b"".join(each.centers.tobytes() for each in partitions)).hexdigest()[:12]

    def score(self, partitions: Sequence[LazyPartition], tick: ProgressCallback) -> list[Scored]:
        """Score each partition, and keep the profiles of the drawn rows."""
        score_one = (
            self._score_in_memory
            if self._is_small
            else self._score_without_pairs
            if self._metric in METRICS_WITHOUT_PAIRS
            else self._estimate
        )
        scored = []
        for partition in partitions:
            scored.append(score_one(partition))
            tick(1 / len(partitions))
        return scored

    def read_scored(self, k: int, arrays: Arrays, partition: LazyPartition) -> Scored:
        """Return silhouettes as an earlier run kept them."""
        rows, classes, codes = (arrays[f"{name}-{k}"] for name in ("rows", "classes", "codes"))
        of_rows = partition_from_codes(classes, codes)
        kept = keep_arrays(k, arrays, of_rows, dtype=self._dtype, metric=self._metric)
        return Scored(replace(kept, rows=rows), json.loads(str(arrays[f"values-{k}"])))

    @property
    def _is_small(self) -> bool:
        """Return whether all rows are drawn."""
        return len(self._rows) == len(self.clustered)

    @cached_property
    def _in_memory(self) -> PreparedData:
        return self._prepare(self._X[:])

    def _place(self, fitted: Any) -> Any:
        return _lloyd().place_centers(self.clustered, fitted.cluster_centers_)

    def _count(self, fitted: Any) -> Any:
        """Return counts and sums of the members of each center, in one pass; those of the last fit are kept."""
        if self._counted[0] is not fitted:
            members = self.clustered.reduce(_lloyd().sum_members, _lloyd().add_fields, self._place(fitted))
            self._counted = fitted, members
        return self._counted[1]

    def _score_in_memory(self, partition: LazyPartition) -> Scored:
        known = self._in_memory.partition(partition.labels.compute())
        kept, values = self._in_memory.score([known], ignore_progress)[0]
        return Scored(replace(kept, rows=self._rows), values)

    def _score_without_pairs(self, partition: LazyPartition) -> Scored:
        drawn_rows = import_on_first_use("fastsil.dask_arrays.drawn_rows")
        summaries = drawn_rows.summarize_labels(self._scored, partition.labels, self._metric)
        tally = drawn_rows.tally_labels(self._scored, partition.labels, summaries, self._metric)
        rows, of_rows = self._draw(partition)
        terms, silhouettes = drawn_rows.compute_drawn(
            self._scored[rows], of_rows.codes, summaries, self._metric, self.n_jobs
        )
        n_samples, n_negative, n_zero = (int(counts.sum()) for counts in (tally.sizes, tally.negative, tally.zero))
        score = float(tally.silhouettes.sum() / n_samples)
        values = {
            "silhouette": score,
            "silhouette_low": score,
            "silhouette_high": score,
            "macro_silhouette": float((tally.silhouettes / tally.sizes).mean()),
            "n_negative": n_negative,
            "n_zero": n_zero,
            "n_positive": n_samples - n_negative - n_zero,
        }
        return Scored(self._keep(rows, of_rows, terms, np.repeat(silhouettes[:, None], 3, axis=1)), values)

    def _estimate(self, partition: LazyPartition) -> Scored:
        pooled_rows = import_on_first_use("fastsil.dask_arrays.pooled_rows")
        tol, seed = self._estimation
        pool = pooled_rows.PooledRows(self._scored, partition.labels, generator_for("pool", seed))
        rows, of_rows = self._draw(partition)
        kept = self._keep(rows, of_rows, *pool.guess(self._scored[rows], of_rows.codes))
        # Half of what may fail is the draw of the pool, half the draws from it.
        uncertain = 1 - CONFIDENCE if pool.is_whole else (1 - CONFIDENCE) / 2
        error = pool.bound_error(uncertain)
        request = Request(max(tol - error, tol / 4), 1 - uncertain, np.random.RandomState(seed), self.n_jobs)
        estimate = estimate_rows(pool, request, give_up=pool.is_whole)
        if estimate is None:
            estimate = compute_blocks(self._scored.array, partition.labels, "euclidean", {}, None, request)
        n_alone = int(np.count_nonzero(partition.counts == 1))
        return Scored(kept, list_estimates(_correct(estimate, pool, error, len(self.clustered)), n_alone))

    def _draw(self, partition: LazyPartition) -> tuple[NDArray[np.intp], Partition]:
        """Return the rows of a profile and their clusters: the drawn ones, and one of each cluster without any."""
        labels_at = open_labels(self.clustered, partition.centers)
        classes = np.flatnonzero(partition.counts).astype(np.int32)
        rows, labels = self._rows, labels_at[self._rows]
        missing = np.setdiff1d(classes, labels)
        if len(missing):
            first = import_on_first_use("fastsil.dask_arrays.drawn_rows").find_first_rows
            rows = np.union1d(rows, first(self.clustered, partition.labels, missing))
            labels = labels_at[rows]
        return rows, partition_from_codes(classes, np.searchsorted(classes, labels))

    def _keep(
        self, rows: NDArray[np.intp], of_rows: Partition, terms: SilhouetteTerms, intervals: NDArray[np.float64]
    ) -> KeptProfile:
        profile = make_profile(terms, of_rows, dtype=self._dtype, metric=self._metric, intervals=intervals)
        return replace(keep_profile(profile, of_rows), rows=rows)


def _correct(estimate: SilhouetteEstimate, pool: Any, error: float, n_samples: int) -> SilhouetteEstimate:
    """Return an estimate of the pool as one of all rows."""
    score, macro, share = pool.correct()
    low, high = estimate.interval
    return replace(
        estimate,
        score=estimate.score + score,
        interval=(max(low + score - error, -1.0), min(high + score + error, 1.0)),
        macro_score=estimate.macro_score + macro,
        negative_share=min(max(estimate.negative_share + share, 0.0), 1.0),
        n_samples=n_samples,
    )


def _lloyd() -> Any:
    return import_on_first_use("fastsil.dask_arrays.lloyd")

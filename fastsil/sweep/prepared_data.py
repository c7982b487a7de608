"""Samples in the forms that a sweep needs: as they are clustered and as they are scored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.dispatch import compute_terms_many, estimate_pass_seconds
from fastsil.engines.scaling import largest_magnitude
from fastsil.runtime.progress import ProgressCallback, scale_progress
from fastsil.runtime.sklearn_compat import BOOLEAN_METRICS
from fastsil.scoring.estimate import SilhouetteEstimate, estimate_profile
from fastsil.scoring.estimate.rounds import Request
from fastsil.scoring.profile import SilhouetteProfile, make_profile
from fastsil.sweep.checkpoint import Arrays
from fastsil.sweep.clusterers import Fitter, center_indices, extract_state, get_labels
from fastsil.sweep.feature_space import FeatureMap, LinearMap
from fastsil.sweep.kept_profiles import KeptProfile, keep_arrays, keep_profile
from fastsil.sweep.kmeans import SharedKMeans, estimate_seconds_of_products
from fastsil.validation import Metric, check_scored_labels, get_metric_name
from fastsil.validation.arrays import is_sparse, result_dtype
from fastsil.validation.partition import Partition

CONFIDENCE = 0.99
"""Confidence with which the intervals of estimated scores hold."""


class Estimation(NamedTuple):
    """Half-width of the intervals that scores are estimated to, and the seed of the samples that are drawn for it."""

    tol: float
    seed: int


class Scored(NamedTuple):
    """Silhouettes of a clustering, and the values of its row in the results."""

    kept: KeptProfile
    values: dict[str, float]


class SweptData(Protocol):
    """Samples that a sweep clusters and scores: in memory (:class:`PreparedData`) or in blocks of a Dask array.

    A partition is the labels of a fit in the form that the same object scores.
    """

    @property
    def n_jobs(self) -> int:
        """Threads."""

    @property
    def estimates(self) -> bool:
        """Return whether scores of large data are estimated."""

    def fit(self, clusterer: Any) -> tuple[Any, float]:
        """Fit once, in place; labels and inertia. k-means is fitted for rising k."""

    def extract_state(self, fitted: Any) -> Arrays | None:
        """Return what a fit can be restored from; None if it cannot be kept."""

    def restore(self, clusterer: Any, state: Mapping[str, Any]) -> None:
        """Take a fit of an earlier run for this one's."""

    def measure_centers(self, fitted: Any) -> tuple[float, float]:
        """Compute the indices of Calinski and Harabasz and of Davies and Bouldin.

        Raises
        ------
        ValueError
            If all samples are in one cluster.
        """

    def open_labels(self, fitted: Any) -> Any:
        """Return labels of which some rows can be read by an index."""

    def partition_fit(self, fitted: Any) -> Any:
        """Return the partition of a fit; its ``n_clusters`` are those that have samples."""

    def name_pass(self, partitions: Sequence[Any]) -> str:
        """Return a digest that names the scores of these partitions in one pass."""

    def estimate_pass_seconds(self) -> float:
        """Estimate the time of a pass for several labelings on one core; 0 if there is no such pass."""

    def estimate_fit_seconds(self, unfitted: Any, fitted: Any, measured: float) -> float:
        """Estimate the time of a fit on one core."""

    def score(self, partitions: Sequence[Any], tick: ProgressCallback) -> list[Scored]:
        """Compute the silhouettes of each partition, or estimate them."""

    def read_scored(self, k: int, arrays: Arrays, partition: Any) -> Scored:
        """Return silhouettes as an earlier run kept them."""


class PreparedData:
    """The data in both forms, made once: as they are clustered and as they are scored.

    Silhouettes after a linear map are Euclidean ones of the mapped data, which are there already; after any
    other map they are computed from the data as given, by the metric's own engine.

    Whitened data spread alike in all directions: the axes along which they ``spread`` are those of before.
    """

    def __init__(
        self,
        X: Any,
        geometry: FeatureMap,
        metric: Metric,
        metric_params: dict[str, Any],
        n_jobs: int,
        row_dtype: np.dtype[Any] | None = None,
        estimation: Estimation | None = None,
        sample_weight: NDArray[np.float64] | None = None,
    ) -> None:
        self._weights = sample_weight
        linear = isinstance(geometry, LinearMap)
        self.clustered = geometry.apply(X)
        self.scored = self.clustered if linear else X
        if metric in BOOLEAN_METRICS and not is_sparse(X) and ((X == 0) | (X == 1)).all():
            self.scored = X.astype(bool)
        # Null sets are no integers and no truth values, whatever the data are.
        if row_dtype is not None and _are_equal(as_given := X.astype(row_dtype), X):
            self.scored = as_given
        self.spread = X if isinstance(geometry, LinearMap) and geometry.whitens else self.clustered
        self._metric: Metric = "euclidean" if linear else metric
        self._metric_params = {} if linear else metric_params
        self._metric_name = get_metric_name(metric)
        self._dtype = X.dtype
        self.n_jobs = n_jobs
        self._estimation = estimation
        self._fitter = Fitter(self.clustered, n_jobs=n_jobs, sample_weight=sample_weight)

    def fit(self, clusterer: Any) -> tuple[Any, float]:
        """Fit once, in place; labels and inertia. k-means is fitted for rising k."""
        return self._fitter.fit(clusterer)

    def extract_state(self, fitted: Any) -> Arrays | None:
        """Return what a fit can be restored from; None if it cannot be kept."""
        return extract_state(fitted)

    def restore(self, clusterer: Any, state: Mapping[str, Any]) -> None:
        """Take a fit of an earlier run for this one's."""
        self._fitter.restore(clusterer, state)

    def open_labels(self, fitted: Any) -> Any:
        """Return labels of which some rows can be read."""
        return get_labels(fitted)

    def measure_centers(self, fitted: Any) -> tuple[float, float]:
        """Compute the indices of Calinski and Harabasz and of Davies and Bouldin.

        Raises
        ------
        ValueError
            If all samples are in one cluster.
        """
        labels = get_labels(fitted)
        if np.all(labels == labels[0]):
            raise ValueError(f"all samples are in one cluster, which has no silhouette; {self._explain_one_cluster()}")
        return center_indices(self.clustered, labels, self._weights)

    def partition_fit(self, fitted: Any) -> Partition:
        """Group samples by cluster, from the labels of a fit."""
        return self.partition(get_labels(fitted))

    def partition(self, labels: Any) -> Partition:
        """Group samples by cluster, from checked labels."""
        return check_scored_labels(labels, self.scored.shape[0], None, self._weights)[0]

    @property
    def estimates(self) -> bool:
        """Return whether scores of large data are estimated."""
        return self._estimation is not None

    def estimate_pass_seconds(self) -> float:
        """Estimate the time of a pass for several labelings on one core; 0 if there is no such pass."""
        if self.estimates:
            return 0.0
        return estimate_pass_seconds(self.scored, self._metric, self._metric_params, n_jobs=1)

    def name_pass(self, partitions: Sequence[Partition]) -> str:
        """Return a digest that names the scores of these partitions in one pass."""
        return hashlib.sha256(b"".join(partition.codes.tobytes() for partition in partitions)).hexdigest()[:12]

    def _explain_one_cluster(self) -> str:
        """Return a probable reason for which all samples are in one cluster."""
        largest = largest_magnitude(self.clustered) if self.clustered.dtype.kind == "f" else 1.0
        smallest, most = np.sqrt(np.finfo(np.float32).smallest_normal), np.sqrt(np.finfo(np.float32).max)
        if largest == 0 or smallest < largest < most:
            return "are they all the same?"
        return f"are squares of {largest:.2g} beyond {self.clustered.dtype}? Multiply X so that it is near 1."

    def estimate_fit_seconds(self, unfitted: Any, fitted: Any, measured: float) -> float:
        """Estimate the time of a fit on one core, by its iterations if these are reported, since clocks differ between
        runs.
        """
        if isinstance(unfitted, SharedKMeans):
            return estimate_seconds_of_products(fitted, self.clustered.shape[0], unfitted.n_init)
        return measured * self.n_jobs

    def score(self, partitions: Sequence[Partition], tick: ProgressCallback) -> list[Scored]:
        """Compute the silhouettes of each partition, or estimate them."""
        if self._estimation is not None:
            return [self._estimate(partition, scale_progress(tick, 1 / len(partitions))) for partition in partitions]
        terms = compute_terms_many(
            self.scored, partitions, self._metric, self._metric_params, n_jobs=self.n_jobs, tick=tick
        )
        scored = []
        # One by one, so that no more than one whole profile is held at a time.
        for of_one, partition in zip(terms, partitions, strict=True):
            profile = make_profile(of_one, partition, dtype=self._dtype, metric=self._metric_name)
            scored.append(Scored(keep_profile(profile, partition), _list_values(profile)))
        return scored

    def read_scored(self, k: int, arrays: Arrays, partition: Partition) -> Scored:
        """Return silhouettes as an earlier run kept them."""
        kept = keep_arrays(k, arrays, partition, dtype=result_dtype(self._dtype), metric=self._metric_name)
        name = f"values-{k}"
        return Scored(kept, json.loads(str(arrays[name])) if name in arrays else _list_values(kept.read()))

    def _estimate(self, partition: Partition, tick: ProgressCallback) -> Scored:
        assert self._estimation is not None
        tol, seed = self._estimation
        # The seed is that of every k, so that a score does not depend on which other k are tried.
        request = Request(tol, CONFIDENCE, np.random.RandomState(seed), self.n_jobs)
        estimate, profile = estimate_profile(self.scored, partition, self._metric, self._metric_params, request, tick)
        profile = replace(profile, metric=self._metric_name)
        values = _list_values(profile) if estimate.exact else list_estimates(estimate, profile.n_zero)
        return Scored(keep_profile(profile, partition), values)


def _are_equal(as_given: Any, X: Any) -> bool:
    return not (as_given != X).nnz if is_sparse(X) else bool((as_given == X).all())


def _list_values(profile: SilhouetteProfile) -> dict[str, float]:
    return {
        "silhouette": profile.score,
        "silhouette_low": profile.score,
        "silhouette_high": profile.score,
        "macro_silhouette": profile.macro_score,
        "n_negative": profile.n_negative,
        "n_zero": profile.n_zero,
        "n_positive": profile.n_positive,
    }


def list_estimates(estimate: SilhouetteEstimate, n_zero: int) -> dict[str, float]:
    """Return the values of a row from an estimate, and the number of silhouettes of exactly 0."""
    n_negative = round(estimate.negative_share * estimate.n_samples)
    return {
        "silhouette": estimate.score,
        "silhouette_low": estimate.interval[0],
        "silhouette_high": estimate.interval[1],
        "macro_silhouette": estimate.macro_score,
        "n_negative": n_negative,
        "n_zero": n_zero,
        "n_positive": estimate.n_samples - n_negative - n_zero,
    }

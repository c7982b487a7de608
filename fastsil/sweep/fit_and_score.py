"""One fit and one score for each number of clusters.

Fits are collected for scoring, because one pass over all pairs of samples serves several labelings. The pass runs once
these fits have taken as long as its estimated time, so that scoring stays below clustering, and an interruption loses
little.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from fastsil.engines.dispatch import compute_terms_many, estimate_pass_seconds
from fastsil.engines.scaling import largest_magnitude
from fastsil.runtime.progress import ProgressCallback, scale_progress
from fastsil.runtime.sklearn_compat import BOOLEAN_METRICS
from fastsil.scoring.estimate import SilhouetteEstimate, estimate_profile
from fastsil.scoring.estimate.rounds import Request
from fastsil.scoring.profile import SilhouetteProfile, make_profile
from fastsil.sweep.checkpoint import Arrays, CachedCall, no_cache
from fastsil.sweep.clusterers import Fitter, center_indices, extract_state, get_fitted, get_labels
from fastsil.sweep.feature_space import FeatureMap, LinearMap
from fastsil.sweep.kept_profiles import KeptProfile, keep_arrays, keep_profile
from fastsil.sweep.kmeans import SharedKMeans, estimate_seconds_of_products
from fastsil.sweep.progress import Listener, SweepEvent
from fastsil.sweep.results import SweepRow
from fastsil.validation import Metric, check_labels, get_metric_name
from fastsil.validation.arrays import is_sparse, result_dtype
from fastsil.validation.partition import Partition

# A pass of fewer seconds is not worth waiting for.
_SHORT_PASS = 0.05
# Seconds that a pass may take after Ctrl-C.
_QUICK_PASS = 3.0
# With which the intervals of estimated scores hold.
_CONFIDENCE = 0.99


class Estimation(NamedTuple):
    """Half-width of the intervals that scores are estimated to, and the seed of the samples that are drawn for it."""

    tol: float
    seed: int


class Scored(NamedTuple):
    """Silhouettes of a clustering, and the values of its row in the results."""

    kept: KeptProfile
    values: dict[str, float]


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
    ) -> None:
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
        self._fitter = Fitter(self.clustered, n_jobs=n_jobs)

    def fit(self, clusterer: Any) -> tuple[Any, float]:
        """Fit once, in place; labels and inertia. k-means is fitted for rising k."""
        return self._fitter.fit(clusterer)

    def restore(self, clusterer: Any, state: Mapping[str, Any]) -> None:
        """Take a fit of an earlier run for this one's."""
        self._fitter.restore(clusterer, state)

    def partition(self, labels: Any) -> Partition:
        """Group samples by cluster, from checked labels."""
        return check_labels(labels, self.scored.shape[0])

    @property
    def estimates(self) -> bool:
        """Return whether scores of large data are estimated."""
        return self._estimation is not None

    def estimate_pass_seconds(self) -> float:
        """Estimate the time of a pass for several labelings on one core; 0 if there is no such pass."""
        if self.estimates:
            return 0.0
        return estimate_pass_seconds(self.scored, self._metric, self._metric_params, n_jobs=1)

    def explain_one_cluster(self) -> str:
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
        request = Request(tol, _CONFIDENCE, np.random.RandomState(seed), self.n_jobs)
        estimate, profile = estimate_profile(self.scored, partition, self._metric, self._metric_params, request, tick)
        profile = replace(profile, metric=self._metric_name)
        values = _list_values(profile) if estimate.exact else _list_estimates(estimate, profile)
        return Scored(keep_profile(profile, partition), values)


@dataclass(frozen=True)
class FittedK:
    """A row, and the objects behind it (None if it failed, or has no score); ``unfitted``: before its fit."""

    row: SweepRow
    unfitted: Any
    clusterer: Any = None
    kept: KeptProfile | None = None


def search(
    space: PreparedData, clusterers: Sequence[Any], listen: Listener, cached: CachedCall = no_cache
) -> tuple[list[FittedK], bool]:
    """Search all clusterers; return the fits of each, and whether Ctrl-C interrupted the search.

    Parameters
    ----------
    space : PreparedData
        The samples.
    clusterers : sequence of clusterer
        One for each k, rising; they are cloned.
    listen : callable
        Called with every event.
    cached : callable
        Keeps fits and scores, and has those of an earlier run.

    Raises
    ------
    ValueError
        If all fail.
    KeyboardInterrupt
        If it comes before anything is found.
    """
    run = _Run(space, [clusterer.get_params()["n_clusters"] for clusterer in clusterers], listen, cached)
    interrupted = False
    try:
        for clusterer in clusterers:
            run.fit(clusterer)
            if run.is_pass_due():
                run.score_waiting()
        run.score_waiting()
    except KeyboardInterrupt:
        if len(run.fits) == len(run.failures):
            raise
        interrupted = True
        run.score_what_is_quick()
    fits = [run.fits[k] for k in sorted(run.fits)]
    if len(fits) == len(run.failures):
        first, cause = fits[0].row, run.failures[0]
        raise ValueError(f"every k failed; k={first.n_clusters}: {first.error}") from cause
    return fits, interrupted


class _Run:
    """Findings of a search in progress, and the fits that are not scored yet."""

    def __init__(self, space: PreparedData, ks: Sequence[int], listen: Listener, cached: CachedCall) -> None:
        self.fits: dict[int, FittedK] = {}
        self.failures: list[Exception] = []
        self._space = space
        self._cached = cached
        self._unfitted: dict[int, Any] = {}
        self._waiting: dict[int, Partition] = {}
        self._waited = 0.0
        self._pass_seconds = space.estimate_pass_seconds()
        self._progress = _Progress(ks, self._pass_seconds, listen)

    def fit(self, unfitted: Any) -> None:
        k = unfitted.get_params()["n_clusters"]
        self._unfitted[k] = unfitted
        self._progress.report(k, "clustering")
        try:
            clusterer, row = self._fit_or_load(unfitted, k)
            if k > 1:
                self._waiting[k] = self._space.partition(get_labels(clusterer))
                row = replace(row, n_found=self._waiting[k].n_clusters)
                self._waited += self._space.estimate_fit_seconds(unfitted, get_fitted(clusterer), row.fit_seconds)
            self.fits[k] = FittedK(row, unfitted, get_fitted(clusterer))
        except Exception as error:
            self._fail(k, error)
        self._progress.add_fit(k, self.fits[k].row.fit_seconds)
        if k not in self._waiting:
            self._finish(k)

    def _fit_or_load(self, unfitted: Any, k: int) -> tuple[Any, SweepRow]:
        """Return the clusterer after its fit, or after that of an earlier run."""
        clusterer = clone(unfitted)
        numbers: NDArray[np.float64] | None = None

        def fit() -> Arrays | None:
            nonlocal numbers
            started = time.perf_counter()
            with warnings.catch_warnings():
                # The row says how many clusters were found.
                warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
                labels, inertia = self._space.fit(clusterer)
            seconds = time.perf_counter() - started
            if k > 1 and np.all(labels == labels[0]):
                raise ValueError(
                    f"all samples are in one cluster, which has no silhouette; {self._space.explain_one_cluster()}"
                )
            indices = center_indices(self._space.clustered, labels) if k > 1 else (np.nan, np.nan)
            numbers = np.array([inertia, seconds, *indices])
            state = extract_state(get_fitted(clusterer))
            return None if state is None else state | {"numbers": numbers}

        kept = self._cached(f"fit-{k}", fit)
        if numbers is None:
            assert kept is not None
            self._space.restore(clusterer, kept)
            numbers = kept["numbers"]
        inertia, seconds, calinski_harabasz, davies_bouldin = numbers.tolist()
        row = SweepRow(
            k,
            n_found=1,
            inertia=inertia,
            fit_seconds=seconds,
            calinski_harabasz=calinski_harabasz,
            davies_bouldin=davies_bouldin,
        )
        return clusterer, row

    def is_pass_due(self) -> bool:
        return self._pass_seconds < _SHORT_PASS or self._waited >= self._pass_seconds

    def score_waiting(self) -> None:
        if not self._waiting:
            return
        try:
            self._score(list(self._waiting))
        except Exception:
            # Whose fault it was, shows when each is scored alone.
            for k in list(self._waiting):
                try:
                    self._score([k])
                except Exception as error:
                    self._fail(k, error)
                    self._finish(k)

    def score_what_is_quick(self) -> None:
        """Score the fits that wait after Ctrl-C, if it takes seconds; another Ctrl-C ends that."""
        if not self._space.estimates and self._pass_seconds <= _QUICK_PASS * self._space.n_jobs:
            with contextlib.suppress(KeyboardInterrupt):
                self.score_waiting()

    def _score(self, ks: list[int]) -> None:
        self._progress.report(ks[-1], "scoring")
        scored, seconds = self._score_or_load(ks)
        for k, (kept, values) in zip(ks, scored, strict=True):
            row: SweepRow = replace(self.fits[k].row, score_seconds=seconds / len(ks), **values)  # type: ignore[arg-type]
            self.fits[k] = replace(self.fits[k], row=row, kept=kept)
            self._finish(k)

    def _score_or_load(self, ks: list[int]) -> tuple[list[Scored], float]:
        """Return the scores of a pass, or those of an earlier run, and the seconds of the pass."""
        partitions = [self._waiting[k] for k in ks]
        # A pass has one file, since its last digits depend on the labelings that share it, which name the file.
        name = f"scores-{ks[0]}-{ks[-1]}-{_digest(partitions)}"
        found: list[Scored] = []

        def score() -> Arrays:
            started = time.perf_counter()
            found.extend(self._space.score(partitions, self._progress.part(ks[-1], "scoring", len(ks))))
            return _as_arrays(ks, found) | {"seconds": np.array(time.perf_counter() - started)}

        kept = self._cached(name, score)
        assert kept is not None
        found = found or [
            self._space.read_scored(k, kept, partition) for k, partition in zip(ks, partitions, strict=True)
        ]
        return found, float(kept["seconds"])

    def _fail(self, k: int, error: Exception) -> None:
        self.failures.append(error)
        self.fits[k] = FittedK(SweepRow(k, error=f"{type(error).__name__}: {error}"), self._unfitted[k])

    def _finish(self, k: int) -> None:
        self._waiting.pop(k, None)
        self._waited = self._waited if self._waiting else 0.0
        if k > 1:
            self._progress.add_score(self.fits[k].row.score_seconds)
        self._progress.report(k, "done", self.fits[k].row)


def _are_equal(as_given: Any, X: Any) -> bool:
    return not (as_given != X).nnz if is_sparse(X) else bool((as_given == X).all())


def _digest(partitions: Sequence[Partition]) -> str:
    return hashlib.sha256(b"".join(partition.codes.tobytes() for partition in partitions)).hexdigest()[:12]


def _as_arrays(ks: Sequence[int], scored: Sequence[Scored]) -> Arrays:
    arrays: Arrays = {}
    for k, (kept, values) in zip(ks, scored, strict=True):
        arrays |= kept.as_arrays(k)
        if kept.guesses:
            arrays[f"values-{k}"] = np.array(json.dumps(values))
    return arrays


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


def _list_estimates(estimate: SilhouetteEstimate, profile: SilhouetteProfile) -> dict[str, float]:
    n_negative = round(estimate.negative_share * estimate.n_samples)
    return {
        "silhouette": estimate.score,
        "silhouette_low": estimate.interval[0],
        "silhouette_high": estimate.interval[1],
        "macro_silhouette": estimate.macro_score,
        "n_negative": n_negative,
        "n_zero": profile.n_zero,
        "n_positive": estimate.n_samples - n_negative - profile.n_zero,
    }


class _Progress:
    """The finished share of the sweep, by time: that of k-means grows with k, that of a score hardly does.

    The remaining time is predicted from the fits and scores so far; that of scores, while there are none, from the
    estimate for a pass over all pairs.
    """

    def __init__(self, ks: Sequence[int], pass_seconds: float, listen: Listener) -> None:
        self._all_k = sum(ks)
        self._n_scores = sum(k > 1 for k in ks)
        self._pass_seconds = pass_seconds
        self._fitted_k, self._fit_seconds = 0, 0.0
        self._scored, self._score_seconds = 0, 0.0
        self._shown = 0.0
        self._listen = listen

    def add_fit(self, k: int, seconds: float) -> None:
        self._fitted_k += k
        self._fit_seconds += np.nan_to_num(seconds)

    def add_score(self, seconds: float) -> None:
        self._scored += 1
        self._score_seconds += np.nan_to_num(seconds)

    def report(self, n_clusters: int, stage: str, row: SweepRow | None = None, *, ahead: float = 0.0) -> None:
        """Report to the listener; ``ahead`` are scores that are being computed."""
        # The estimate of the remaining time improves with each fit; the bar never goes back.
        self._shown = min(1.0, max(self._shown, self._share(ahead)))
        self._listen(SweepEvent(n_clusters, stage, self._shown, row))

    def part(self, n_clusters: int, stage: str, n_scores: int) -> ProgressCallback:
        """Return a callback for the progress of ``n_scores`` scores at once."""
        ahead = 0.0

        def tick(share: float) -> None:
            nonlocal ahead
            ahead += share * n_scores
            self.report(n_clusters, stage, ahead=ahead)

        return tick

    def _share(self, ahead: float) -> float:
        if self._fitted_k == self._all_k and self._scored == self._n_scores:
            return 1.0
        fits = self._fit_seconds * self._all_k / self._fitted_k if self._fitted_k else 0.0
        scores = self._pass_seconds or fits
        if self._scored:
            scores = self._score_seconds * self._n_scores / self._scored
        done = self._fit_seconds + self._score_seconds + scores * ahead / max(self._n_scores, 1)
        return done / (fits + scores) if fits + scores else 0.0

"""One fit and one exact score for each number of clusters.

Fits wait for their scores: one pass over all pairs of samples serves several labelings. It runs once the fits that
wait have taken as long as it will, so that scoring stays below clustering, and an interruption loses little.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.clustering import Geometry, LinearMap, centre_indices, fit_clusterer
from fastsil.dispatch import compute_terms_many, seconds_of_shared_pass
from fastsil.parallel import Tick
from fastsil.partition import Partition
from fastsil.profile import SilhouetteProfile, profile_of
from fastsil.validation import Metric, check_labels, name_of_metric

# A pass of fewer seconds is not worth waiting for.
_SHORT_PASS = 0.05


@dataclass(frozen=True)
class SweepRow:
    """What was found for one number of clusters.

    Attributes
    ----------
    n_clusters : int
        The k asked for.
    inertia : float
        Within-cluster sum of squares, in the units of the geometry that was clustered in, squared.
    silhouette, macro_silhouette : float
        Mean over samples, and mean of the clusters' means. NaN for k = 1.
    n_negative, n_zero, n_positive : int
        Samples with a silhouette below, at and above 0.
    calinski_harabasz, davies_bouldin : float
        scikit-learn's indices of those names, in the geometry that was clustered in: a high Calinski-Harabasz index
        is good, and a low Davies-Bouldin index. NaN for k = 1 and for sparse data.
    null_score : float
        Mean silhouette of the data at the number of samples of the null sets: that of all samples, or of those drawn.
    null_mean, null_std, null_z, null_p : float
        Mean and standard deviation of the null sets' mean silhouettes, how many of these ``null_score`` lies above,
        and ``(r + 1) / (n_null + 1)``, r of them being as high. NaN where no null sets were drawn.
    gap, gap_error : float
        Gap statistic (logarithm of the inertia, null less data) and its standard error.
    stability, stability_std : float
        Mean and standard deviation of the agreement of clusterings of two random parts of the data: adjusted Rand
        index, 1 at most. NaN where it was not asked for.
    fit_seconds, score_seconds : float
        Wall-clock time of the clustering and of the exact scores; of a pass that served several k, an equal share.
    error : str
        Empty, or why there is no result.
    """

    n_clusters: int
    inertia: float = np.nan
    silhouette: float = np.nan
    macro_silhouette: float = np.nan
    n_negative: int = 0
    n_zero: int = 0
    n_positive: int = 0
    calinski_harabasz: float = np.nan
    davies_bouldin: float = np.nan
    null_score: float = np.nan
    null_mean: float = np.nan
    null_std: float = np.nan
    null_z: float = np.nan
    null_p: float = np.nan
    gap: float = np.nan
    gap_error: float = np.nan
    stability: float = np.nan
    stability_std: float = np.nan
    fit_seconds: float = np.nan
    score_seconds: float = np.nan
    error: str = ""


def columns_of(rows: Sequence[SweepRow]) -> dict[str, NDArray[Any]]:
    """Rows as columns, the shape of ``sweep_results_``."""
    return {field.name: np.array([getattr(row, field.name) for row in rows]) for field in fields(SweepRow)}


def with_columns(
    rows: Sequence[SweepRow], n_clusters: NDArray[Any], columns: Mapping[str, NDArray[Any]]
) -> list[SweepRow]:
    """Rows with further values for those k that are among ``n_clusters``, the k of the columns' entries."""
    place = {int(k): at for at, k in enumerate(n_clusters)}

    def of_row(row: SweepRow) -> dict[str, Any]:
        return {name: float(column[place[row.n_clusters]]) for name, column in columns.items()}

    return [replace(row, **of_row(row)) if row.n_clusters in place else row for row in rows]


@dataclass(frozen=True)
class SweepEvent:
    """What a callable given as ``progress`` is told.

    Attributes
    ----------
    n_clusters : int
        The k at work; of several that are scored together the last. 0 where it is all of them.
    stage : str
        ``"clustering"``, ``"scoring"``, ``"done"``, or ``"null sets"``.
    share : float
        Share of the whole sweep that is done, 0 to 1.
    row : SweepRow or None
        The result, once it is there (stage ``"done"``).
    """

    n_clusters: int
    stage: str
    share: float
    row: SweepRow | None = None


Listener = Callable[[SweepEvent], None]


class Space:
    """The data in both forms, made once: as they are clustered and as they are scored.

    Silhouettes after a linear map are Euclidean ones of the mapped data, which are there already; after any
    other map they are computed from the data as given, by the metric's own engine.
    """

    def __init__(self, X: Any, geometry: Geometry, metric: Metric, metric_params: dict[str, Any], n_jobs: int) -> None:
        linear = isinstance(geometry, LinearMap)
        self.clustered = geometry.apply(X)
        self.scored = self.clustered if linear else X
        self._metric: Metric = "euclidean" if linear else metric
        self._metric_params = {} if linear else metric_params
        self._metric_name = name_of_metric(metric)
        self._dtype = X.dtype
        self._n_jobs = n_jobs

    def fit(self, clusterer: Any) -> tuple[Any, float]:
        """Fit once; labels and inertia."""
        return fit_clusterer(clusterer, self.clustered, n_jobs=self._n_jobs)

    def partition(self, labels: Any) -> Partition:
        """Labels, checked, as samples grouped by cluster."""
        return check_labels(labels, self.scored.shape[0])

    def seconds_of_pass(self) -> float:
        """Rough time of a pass for several labelings; 0 if none is to be had."""
        return seconds_of_shared_pass(self.scored, self._metric, self._metric_params, n_jobs=self._n_jobs)

    def score(self, partitions: Sequence[Partition], tick: Tick) -> list[SilhouetteProfile]:
        """Exact silhouettes of each partition."""
        terms = compute_terms_many(
            self.scored, partitions, self._metric, self._metric_params, n_jobs=self._n_jobs, tick=tick
        )
        return [
            profile_of(of_one, partition, dtype=self._dtype, metric=self._metric_name)
            for of_one, partition in zip(terms, partitions, strict=True)
        ]


@dataclass(frozen=True)
class Finding:
    """A row, and the objects behind it (None if it failed, or has no score)."""

    row: SweepRow
    clusterer: Any = None
    profile: SilhouetteProfile | None = None


def search(space: Space, clusterers: Sequence[Any], listen: Listener) -> tuple[list[Finding], bool]:
    """Findings for each clusterer, and whether Ctrl-C cut them short.

    Raises
    ------
    ValueError
        If all fail.
    KeyboardInterrupt
        If it comes before anything is found.
    """
    run = _Run(space, len(clusterers), listen)
    interrupted = False
    try:
        for clusterer in clusterers:
            run.fit(clusterer)
            if run.is_pass_due():
                run.score_waiting()
        run.score_waiting()
    except KeyboardInterrupt:
        if len(run.findings) == len(run.failures):
            raise
        interrupted = True
    findings = [run.findings[k] for k in sorted(run.findings)]
    if len(findings) == len(run.failures):
        raise ValueError(f"every k failed; k={findings[0].row.n_clusters}: {findings[0].row.error}") from run.failures[
            0
        ]
    return findings, interrupted


class _Run:
    """What is found as it goes, and which fits wait for their scores."""

    def __init__(self, space: Space, total: int, listen: Listener) -> None:
        self.findings: dict[int, Finding] = {}
        self.failures: list[Exception] = []
        self._space = space
        self._progress = _Progress(total, listen)
        self._waiting: dict[int, Partition] = {}
        self._pass_seconds = space.seconds_of_pass()

    def fit(self, clusterer: Any) -> None:
        k = clusterer.get_params()["n_clusters"]
        self._progress.tell(k, "clustering")
        try:
            started = time.perf_counter()
            labels, inertia = self._space.fit(clusterer)
            row = SweepRow(k, inertia=inertia, fit_seconds=time.perf_counter() - started)
            if k > 1:
                partition = self._space.partition(labels)
                calinski_harabasz, davies_bouldin = centre_indices(self._space.clustered, labels)
                row = replace(row, calinski_harabasz=calinski_harabasz, davies_bouldin=davies_bouldin)
                self._waiting[k] = partition
            self.findings[k] = Finding(row, clusterer)
        except Exception as error:
            self._fail(k, error)
        self._progress.add(1)
        if k not in self._waiting:
            self._finish(k)

    def is_pass_due(self) -> bool:
        waited = sum(self.findings[k].row.fit_seconds for k in self._waiting)
        return self._pass_seconds < _SHORT_PASS or waited >= self._pass_seconds

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

    def _score(self, ks: list[int]) -> None:
        self._progress.tell(ks[-1], "scoring")
        started = time.perf_counter()
        profiles = self._space.score([self._waiting[k] for k in ks], self._progress.part(ks[-1], "scoring", len(ks)))
        seconds = (time.perf_counter() - started) / len(ks)
        for k, profile in zip(ks, profiles, strict=True):
            row = _with_scores(self.findings[k].row, profile, seconds)
            self.findings[k] = replace(self.findings[k], row=row, profile=profile)
            self._finish(k)

    def _fail(self, k: int, error: Exception) -> None:
        self.failures.append(error)
        self.findings[k] = Finding(SweepRow(k, error=f"{type(error).__name__}: {error}"))

    def _finish(self, k: int) -> None:
        self._waiting.pop(k, None)
        self._progress.add(1)
        self._progress.tell(k, "done", self.findings[k].row)


def _with_scores(row: SweepRow, profile: SilhouetteProfile, seconds: float) -> SweepRow:
    return replace(
        row,
        silhouette=profile.score,
        macro_silhouette=profile.macro_score,
        n_negative=profile.n_negative,
        n_zero=profile.n_zero,
        n_positive=profile.n_positive,
        score_seconds=seconds,
    )


class _Progress:
    """The share of the sweep that is done: clustering is one half of the work of a k, scoring the other."""

    def __init__(self, total: int, listen: Listener) -> None:
        self._halves = 2 * total
        self._done = 0.0
        self._shown = 0.0
        self._listen = listen

    def add(self, halves: int) -> None:
        self._done += halves

    def tell(self, n_clusters: int, stage: str, row: SweepRow | None = None, *, ahead: float = 0.0) -> None:
        # What is told of a pass at work runs ahead of the rows that it will finish; the bar never goes back.
        self._shown = min(1.0, max(self._shown, (self._done + ahead) / self._halves))
        self._listen(SweepEvent(n_clusters, stage, self._shown, row))

    def part(self, n_clusters: int, stage: str, halves: int) -> Tick:
        """Progress of work in so many halves at once."""
        ahead = 0.0

        def tick(share: float) -> None:
            nonlocal ahead
            ahead += share * halves
            self.tell(n_clusters, stage, ahead=ahead)

        return tick

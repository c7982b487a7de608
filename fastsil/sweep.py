"""One clustering for each number of clusters, each scored exactly: :class:`KMeansSweep`.

The way of a fit: check the data once, map it into the geometry of the metric, then for every k one fit
and one exact score of the very labels of that fit. What has been found for a k is one :class:`SweepRow`;
the arrays of ``sweep_results_`` are the columns of those rows.
"""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import KMeans
from sklearn.exceptions import FitFailedWarning
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from fastsil.clustering import (
    Geometry,
    LinearMap,
    check_n_clusters,
    fit_clusterer,
    geometry_of,
    labels_of,
    make_clusterers,
)
from fastsil.dispatch import compute_terms
from fastsil.parallel import Tick, progress_bar, resolve_n_jobs
from fastsil.profile import SilhouetteProfile, profile_of
from fastsil.validation import Metric, check_data, check_labels, check_metric

if TYPE_CHECKING:
    import pandas as pd

_DEFAULT_N_CLUSTERS = tuple(range(2, 17))


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
    fit_seconds, score_seconds : float
        Wall-clock time of the clustering and of the exact scores.
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
    fit_seconds: float = np.nan
    score_seconds: float = np.nan
    error: str = ""


@dataclass(frozen=True)
class SweepEvent:
    """What a callable given as ``progress`` is told.

    Attributes
    ----------
    n_clusters : int
        The k at work.
    stage : str
        ``"clustering"``, ``"scoring"`` or ``"done"``.
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


def _best_can_predict(sweep: KMeansSweep) -> bool:
    clusterer = getattr(sweep, "best_estimator_", sweep.estimator)
    return clusterer is None or hasattr(clusterer, "predict")


class KMeansSweep(ClusterMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Cluster for every k, score each clustering exactly, and keep the k of the highest mean silhouette.

    There is one fit for each k, and the labels that are scored are the labels of the inertia that is shown.
    Clustering happens in the geometry of the metric: rows of length 1 for cosine, whitened features for
    Mahalanobis. A k that fails is recorded and the others go on; Ctrl-C keeps every k that is finished.

    Parameters
    ----------
    n_clusters : int or iterable of int, default=(2, 3, ..., 16)
        Numbers of clusters to try, each from 1 to n_samples - 1. (For 1 there is an inertia, no silhouette.)
    estimator : clusterer, optional
        Any clusterer with a parameter ``n_clusters``; it is cloned for each k. By default
        ``KMeans(n_init=n_init)``.
    metric : str or callable, default="euclidean"
        Metric of the silhouettes, and by it the geometry of the clustering: rows of length 1 for
        ``"cosine"`` (centred first for ``"correlation"``), whitened features for ``"mahalanobis"``,
        features of unit variance for ``"seuclidean"``; the data as they are for ``"euclidean"`` and every
        other metric, in which k-means has no meaning of its own.
    metric_params : dict, optional
        Keywords of the metric, such as ``{"V": covariance}`` for ``"mahalanobis"``.
    n_init : int or "auto", default=10
        Restarts of k-means for each k, of which the one of least inertia is kept. Ignored if ``estimator``
        is given. Fewer are faster and leave more luck in the curves.
    random_state : int, RandomState or None, default=None
        Given to each fit: an int as it is, so that a row is what ``KMeans(k, random_state=...)`` gives. An
        ``estimator`` that has a random state of its own keeps it.
    n_jobs : int, optional
        Threads. By default all cores that the process may use. Small fits use one.
    progress : bool or callable, default=False
        True: a progress bar on standard error (needs tqdm). A callable is told each :class:`SweepEvent`.

    Attributes
    ----------
    best_k_ : int
        The k of the highest mean silhouette; of equal ones the smallest.
    best_score_ : float
        Its mean silhouette.
    best_estimator_ : clusterer
        Its fitted clusterer.
    labels_ : ndarray of shape (n_samples,)
        Its labels.
    sweep_results_ : dict of str to ndarray of shape (n_tried,)
        One entry for each k that was tried, in columns named as the attributes of :class:`SweepRow`.
    profiles_ : dict of int to SilhouetteProfile
        For each k that was scored.
    estimators_ : dict of int to clusterer
        The fitted clusterer of each k; its ``labels_`` are the labels that were scored.
    interrupted_ : bool
        Whether Ctrl-C ended the sweep before every k was tried.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X had names that are all strings.

    Raises
    ------
    ValueError
        By ``fit``, if an argument is not what it should be, or if every k failed.

    Warns
    -----
    FitFailedWarning
        If some k failed.
    UserWarning
        If the sweep was interrupted.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from fastsil import KMeansSweep
    >>> X, _ = make_blobs(150, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    >>> sweep = KMeansSweep(range(2, 6), random_state=0).fit(X)
    >>> sweep.best_k_
    3
    >>> sweep.sweep_results_["silhouette"].round(2)
    array([0.6 , 0.79, 0.64, 0.48])
    >>> sweep.predict([[9.0, 0.0]]) == sweep.labels_[X[:, 0].argmax()]
    array([ True])
    """

    def __init__(
        self,
        n_clusters: int | Iterable[int] = _DEFAULT_N_CLUSTERS,
        *,
        estimator: Any = None,
        metric: Metric = "euclidean",
        metric_params: dict[str, Any] | None = None,
        n_init: int | str = 10,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        progress: bool | Listener = False,
    ) -> None:
        self.n_clusters = n_clusters
        self.estimator = estimator
        self.metric = metric
        self.metric_params = metric_params
        self.n_init = n_init
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.progress = progress

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Cluster and score for every k.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_samples, n_features)
            Samples.
        y : object
            Ignored.

        Returns
        -------
        KMeansSweep
            The fitted sweep itself.

        Raises
        ------
        ValueError
            If an argument is not what it should be, or if every k failed.
        KeyboardInterrupt
            If the sweep is interrupted before any k is finished.
        """
        if check_metric(self.metric) == "precomputed":
            raise ValueError(
                "metric='precomputed' leaves a sweep no samples to cluster; pass the samples and their metric, or "
                "score labels that you have with silhouette_profile(distances, labels, metric='precomputed')."
            )
        data: Any = check_data(X)
        validate_data(self, X, skip_check_array=True)
        ks = check_n_clusters(self.n_clusters, data.shape[0])
        prototype = KMeans(n_init=self.n_init) if self.estimator is None else self.estimator
        clusterers = make_clusterers(prototype, ks, self.random_state)
        params = self.metric_params or {}
        geometry = geometry_of(data, self.metric, params)
        work = _Work(data, geometry, self.metric, params, resolve_n_jobs(self.n_jobs))
        with _listener(self.progress) as listen:
            findings, interrupted = _sweep(work, clusterers, listen)
        self._geometry = geometry
        self._keep(findings, interrupted)
        _warn_of_gaps(findings, ks, interrupted)
        return self

    @available_if(_best_can_predict)  # type: ignore[untyped-decorator]
    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Cluster of each sample, by the chosen clusterer in the geometry that it was fitted in.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the sweep is not fitted.
        ValueError
            If X is not an array of finite numbers with as many features as the data of the fit.
        """
        check_is_fitted(self)
        data: Any = check_data(X)
        validate_data(self, X, reset=False, skip_check_array=True)
        return np.asarray(self.best_estimator_.predict(self._geometry.apply(data)))

    def to_frame(self) -> pd.DataFrame:
        """``sweep_results_`` as a pandas frame, one row for each k.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        check_is_fitted(self)
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("to_frame needs pandas; install it with: pip install 'fastsil[frames]'") from error
        return pd.DataFrame(self.sweep_results_)

    def plot(self, axes: Any = None) -> NDArray[Any]:
        """Draw the elbow and the silhouettes against k.

        Parameters
        ----------
        axes : sequence of two matplotlib Axes, optional
            Where to draw; a new figure's by default.

        Returns
        -------
        ndarray of two matplotlib Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        check_is_fitted(self)
        from fastsil.plots import draw_sweep

        return draw_sweep(self.sweep_results_, best_k=self.best_k_, axes=axes)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _keep(self, findings: Sequence[_Finding], interrupted: bool) -> None:
        """Set the fitted attributes."""
        rows = [finding.row for finding in findings]
        fitted = {finding.row.n_clusters: finding for finding in findings if not finding.row.error}
        # max() keeps the first of equals: the smallest k. A lone k = 1 has no score, yet is the best there is.
        best = max(fitted.values(), key=lambda finding: np.nan_to_num(finding.row.silhouette, nan=-2.0))
        self.sweep_results_ = {
            field.name: np.array([getattr(row, field.name) for row in rows]) for field in fields(SweepRow)
        }
        self.estimators_ = {k: finding.clusterer for k, finding in fitted.items()}
        self.profiles_ = {k: finding.profile for k, finding in fitted.items() if finding.profile is not None}
        self.best_k_ = best.row.n_clusters
        self.best_score_ = best.row.silhouette
        self.best_estimator_ = best.clusterer
        self.labels_ = np.asarray(labels_of(best.clusterer))
        self.interrupted_ = interrupted


class _Work:
    """The data in both forms, made once: as they are clustered and as they are scored.

    Silhouettes after a linear map are Euclidean ones of the mapped data, which are there already; after any
    other map they are computed from the data as given, by the metric's own engine.
    """

    def __init__(self, X: Any, geometry: Geometry, metric: Metric, metric_params: dict[str, Any], n_jobs: int) -> None:
        linear = isinstance(geometry, LinearMap)
        self.clustered = geometry.apply(X)
        self.scored = self.clustered if linear else X
        self.metric: Metric = "euclidean" if linear else metric
        self.metric_params = {} if linear else metric_params
        self.metric_name = metric if isinstance(metric, str) else getattr(metric, "__name__", "callable")
        self.dtype = X.dtype
        self.n_jobs = n_jobs

    def fit(self, clusterer: Any) -> tuple[Any, float]:
        return fit_clusterer(clusterer, self.clustered, n_jobs=self.n_jobs)

    def score(self, labels: Any, tick: Tick) -> SilhouetteProfile:
        partition = check_labels(labels, self.scored.shape[0])
        terms = compute_terms(self.scored, partition, self.metric, self.metric_params, n_jobs=self.n_jobs, tick=tick)
        return profile_of(terms, partition, dtype=self.dtype, metric=self.metric_name)


@dataclass(frozen=True)
class _Finding:
    """A row, and the objects behind it (None if it failed)."""

    row: SweepRow
    clusterer: Any = None
    profile: SilhouetteProfile | None = None


def _sweep(work: _Work, clusterers: Sequence[Any], listen: Listener) -> tuple[list[_Finding], bool]:
    """Findings for each clusterer, and whether Ctrl-C cut them short.

    Raises
    ------
    ValueError
        If all fail.
    KeyboardInterrupt
        If it comes before anything is found.
    """
    findings: list[_Finding] = []
    failures: list[Exception] = []
    interrupted = False
    try:
        for done, clusterer in enumerate(clusterers):
            part = _Part(clusterer.get_params()["n_clusters"], done, len(clusterers), listen)
            try:
                findings.append(_find(work, clusterer, part))
            except Exception as error:
                failures.append(error)
                findings.append(_Finding(SweepRow(part.n_clusters, error=f"{type(error).__name__}: {error}")))
            part.tell("done", 1.0, findings[-1].row)
    except KeyboardInterrupt:
        if len(findings) == len(failures):
            raise
        interrupted = True
    if len(findings) == len(failures):
        raise ValueError(f"every k failed; k={findings[0].row.n_clusters}: {findings[0].row.error}") from failures[0]
    return findings, interrupted


def _find(work: _Work, clusterer: Any, part: _Part) -> _Finding:
    part.tell("clustering", 0.0)
    started = time.perf_counter()
    labels, inertia = work.fit(clusterer)
    row = SweepRow(part.n_clusters, inertia=inertia, fit_seconds=time.perf_counter() - started)
    if part.n_clusters == 1:
        return _Finding(row, clusterer)
    part.tell("scoring", 0.5)
    started = time.perf_counter()
    profile = work.score(labels, part.tick_scoring)
    row = replace(
        row,
        silhouette=profile.score,
        macro_silhouette=profile.macro_score,
        n_negative=profile.n_negative,
        n_zero=profile.n_zero,
        n_positive=profile.n_positive,
        score_seconds=time.perf_counter() - started,
    )
    return _Finding(row, clusterer, profile)


class _Part:
    """The part of the progress that one k is: clustering is its first half, scoring its second."""

    def __init__(self, n_clusters: int, done: int, total: int, listen: Listener) -> None:
        self.n_clusters = n_clusters
        self._done, self._total, self._listen = done, total, listen
        self._scored = 0.0

    def tell(self, stage: str, share: float, row: SweepRow | None = None) -> None:
        self._listen(SweepEvent(self.n_clusters, stage, (self._done + share) / self._total, row))

    def tick_scoring(self, share: float) -> None:
        self._scored += share
        self.tell("scoring", 0.5 + self._scored / 2)


@contextlib.contextmanager
def _listener(progress: bool | Listener) -> Iterator[Listener]:
    if callable(progress):
        yield progress
        return
    with progress_bar("sweep", enabled=progress) as tick:
        shown = 0.0

        def listen(event: SweepEvent) -> None:
            nonlocal shown
            tick(event.share - shown)
            shown = event.share

        yield listen


def _warn_of_gaps(findings: Sequence[_Finding], ks: Sequence[int], interrupted: bool) -> None:
    failed = [finding.row for finding in findings if finding.row.error]
    if failed:
        what = "; ".join(f"k={row.n_clusters}: {row.error}" for row in failed)
        warnings.warn(f"{len(failed)} of {len(ks)} clusterings failed. {what}", FitFailedWarning, stacklevel=3)
    if interrupted:
        done = ", ".join(str(finding.row.n_clusters) for finding in findings if not finding.row.error)
        warnings.warn(
            f"interrupted: {len(findings)} of {len(ks)} clusterings are finished and kept (k = {done}).",
            UserWarning,
            stacklevel=3,
        )

"""One clustering for each number of clusters, each scored exactly: :class:`KMeansSweep`.

The way of a fit: check the data once, map it into the geometry of the metric, then search: for every k one fit
and one exact score of the very labels of that fit. What has been found for a k is one :class:`SweepRow`;
the arrays of ``sweep_results_`` are the columns of those rows.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import KMeans
from sklearn.exceptions import FitFailedWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from fastsil.clustering import check_n_clusters, generator_for, geometry_of, labels_of, make_clusterers
from fastsil.diagnosis import Diagnosis
from fastsil.null import NullComparison, check_null, compare_with_null, with_null_columns
from fastsil.parallel import Tick, progress_bar, resolve_n_jobs
from fastsil.search import Finding, Listener, Space, SweepEvent, SweepRow, columns_of, search
from fastsil.sklearn_compat import available_if
from fastsil.stability import (
    Stability,
    check_n_stability,
    measure_stability,
    share_of_samples,
    with_stability_columns,
)
from fastsil.validation import Metric, check_data, check_metric
from fastsil.verdict import choose_k, judge, lowest_k

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KMeansSweep", "SweepEvent", "SweepRow"]

_DEFAULT_N_CLUSTERS = tuple(range(2, 17))


def _best_can_predict(sweep: KMeansSweep) -> bool:
    clusterer = getattr(sweep, "best_estimator_", sweep.estimator)
    return clusterer is None or hasattr(clusterer, "predict")


class KMeansSweep(ClusterMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Cluster for every k, score each clustering exactly, and keep the k of the highest mean silhouette.

    There is one fit for each k, and the labels that are scored are the labels of the inertia that is shown.
    Clustering happens in the geometry of the metric: rows of length 1 for cosine, whitened features for
    Mahalanobis. A k that fails is recorded and the others go on; Ctrl-C keeps every k whose fit is finished.
    Fits wait for their scores until one pass over the pairs of samples costs no more than they took; it then
    serves all of them.

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
    n_null : int, default=0
        Number of data sets without clusters that are clustered and scored as the data are, to tell whether the data
        score higher: each costs a sweep of ``null_size`` samples. A test at 5 % needs 19, of whom not one may then
        score as high; 39 find more. With 0 there is no such test.
    null_size : int, default=1000
        Samples of a null set at most. Larger data are compared by so many of their rows, drawn at random.
    null_reference : {"gaussian", "uniform"}, default="gaussian"
        ``"gaussian"``: Gaussian sets of exactly the data's mean and covariance. ``"uniform"``: uniform over the box
        along the principal axes, as in the gap statistic's paper; a test against it is not exact.
    n_stability : int, default=0
        Number of pairs of random parts (80 % of the samples each, 10,000 at most) that are clustered apart and compared
        where they overlap, for every k. Each pair costs two fits of every k on such a part.
    random_state : int, RandomState or None, default=None
        Given to each fit: an int as it is, so that a row is what ``KMeans(k, random_state=...)`` gives. An
        ``estimator`` that has a random state of its own keeps it. Draws the null sets and the random parts too.
    n_jobs : int, optional
        Threads. By default all cores that the process may use. Small fits use one.
    progress : bool or callable, default=False
        True: a progress bar on standard error (needs tqdm). A callable is told each :class:`~fastsil.sweep.SweepEvent`.

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
        One entry for each k that was tried, in columns named as the attributes of :class:`~fastsil.sweep.SweepRow`.
    profiles_ : dict of int to SilhouetteProfile
        For each k that was scored.
    estimators_ : dict of int to clusterer
        The fitted clusterer of each k; its ``labels_`` are the labels that were scored.
    null_ : NullComparison or None
        Scores of the data beside those of the null sets; None without.
    p_value_ : float
        Of the test whether the data score higher than the null sets at any k, one test for all of them. NaN without.
    stability_ : Stability or None
        Agreement of clusterings of random parts of the data; None without.
    diagnosis_ : Diagnosis or None
        What speaks against the clustering of the chosen k; None if nothing was scored.
    verdict_ : Verdict
        Whether there is structure, the chosen k, the reasons and what to try next, in plain words by ``str()``. Its k
        may differ from ``best_k_``: with null sets it is the k at which the data are furthest above them.
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
    >>> sweep.verdict_.structure, sweep.verdict_.k, sweep.verdict_.tested
    ('strong', 3, False)
    """

    def __init__(
        self,
        n_clusters: int | Iterable[int] = _DEFAULT_N_CLUSTERS,
        *,
        estimator: Any = None,
        metric: Metric = "euclidean",
        metric_params: dict[str, Any] | None = None,
        n_init: int | str = 10,
        n_null: int = 0,
        null_size: int = 1000,
        null_reference: str = "gaussian",
        n_stability: int = 0,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        progress: bool | Listener = False,
    ) -> None:
        self.n_clusters = n_clusters
        self.estimator = estimator
        self.metric = metric
        self.metric_params = metric_params
        self.n_init = n_init
        self.n_null = n_null
        self.null_size = null_size
        self.null_reference = null_reference
        self.n_stability = n_stability
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
        check_null(self.n_null, self.null_size, self.null_reference)
        check_n_stability(self.n_stability)
        data: Any = check_data(X)
        validate_data(self, X, skip_check_array=True)
        ks = check_n_clusters(self.n_clusters, data.shape[0])
        prototype = KMeans(n_init=self.n_init) if self.estimator is None else self.estimator
        clusterers = make_clusterers(prototype, ks, self.random_state)
        params = self.metric_params or {}
        geometry = geometry_of(data, self.metric, params)

        threads = resolve_n_jobs(self.n_jobs)

        def space_of(samples: Any, n_jobs: int = 1) -> Space:
            return Space(samples, geometry, self.metric, params, n_jobs)

        null_work = self.n_null and (self.n_null + 1) * min(self.null_size, data.shape[0]) / data.shape[0]
        stability_work = 2 * self.n_stability * share_of_samples(data.shape[0])
        with _listener(self.progress) as listen:
            stages = _Stages(listen, {"sweep": 1.0, "null sets": null_work, "stability": stability_work})
            findings, interrupted = search(space_of(data, threads), clusterers, stages.listener("sweep"))
            null, stability = None, None
            if not interrupted:
                null, stability, interrupted = self._compare(data, space_of, findings, stages)
        self._geometry = geometry
        self._keep(findings, null, stability, interrupted)
        self._judge(data)
        wanted = {"null sets": (self.n_null, null), "stability": (self.n_stability, stability)}
        _warn_of_gaps(findings, ks, interrupted, [name for name, (n, found) in wanted.items() if n and found is None])
        return self

    def _compare(
        self, data: Any, space_of: Callable[[Any], Space], findings: Sequence[Finding], stages: _Stages
    ) -> tuple[NullComparison | None, Stability | None, bool]:
        """What was asked for beyond the sweep, and whether Ctrl-C cut it short; None also if no k has a score."""
        scored = [finding for finding in findings if finding.profile is not None]
        clusterers = [finding.clusterer for finding in scored]
        n_jobs = resolve_n_jobs(self.n_jobs)
        null, stability = None, None
        try:
            if self.n_null and scored:
                null = compare_with_null(
                    data,
                    space_of,
                    clusterers,
                    ([finding.row.silhouette for finding in scored], [finding.row.inertia for finding in scored]),
                    n_null=self.n_null,
                    null_size=self.null_size,
                    reference=self.null_reference,
                    random=generator_for("null sets", self.random_state),
                    n_jobs=n_jobs,
                    tick=stages.tick("null sets"),
                )
            if self.n_stability and scored:
                stability = measure_stability(
                    data,
                    space_of,
                    clusterers,
                    n_stability=self.n_stability,
                    random=generator_for("stability", self.random_state),
                    n_jobs=n_jobs,
                    tick=stages.tick("stability"),
                )
        except KeyboardInterrupt:
            return null, stability, True
        return null, stability, False

    def _judge(self, data: Any) -> None:
        """Set the diagnosis and the verdict."""
        k, lowest = choose_k(self.sweep_results_, self.null_), lowest_k(self.sweep_results_)
        looked_at = [each for each in self.profiles_ if each in (k, lowest)]
        diagnoses = {each: self._diagnose(each, data) for each in looked_at}
        found = {each: diagnosis.findings for each, diagnosis in diagnoses.items()}
        self.diagnosis_ = diagnoses.get(k)
        self.verdict_ = judge(
            self.sweep_results_,
            k,
            n_features=self.n_features_in_,
            null=self.null_,
            findings=found.get(k, ()),
            lowest_findings=() if lowest is None else found[lowest],
        )

    def _diagnose(self, k: int, data: Any) -> Diagnosis:
        # A profile knows a callable only by its name, with which nothing can be measured.
        looked_at = None if callable(self.metric) else data
        reference = None if self.null_ is None else self.null_.reference_at(k)
        return self.profiles_[k].diagnose(looked_at, null=reference, **(self.metric_params or {}))

    @available_if(_best_can_predict)
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

        return draw_sweep(self.sweep_results_, best_k=self.best_k_, chosen_k=self.verdict_.k, axes=axes)

    def report(self, path: str | Path, X: ArrayLike | None = None, *, name: str = "") -> Path:
        """Write all that the sweep found as one HTML page that needs nothing else: no network, no other files.

        Parameters
        ----------
        path : str or Path
            Where to write, such as ``"report.html"``; a file that is there is replaced.
        X : array-like or CSR matrix of shape (n_samples, n_features), optional
            The samples of the fit, for a map of them; the sweep does not keep them.
        name : str, default=""
            What the data are called.

        Returns
        -------
        Path
            Of the file.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the sweep is not fitted.
        ValueError
            If X is not an array of finite numbers of the shape of the data of the fit.
        ImportError
            If Jinja2 or matplotlib is not installed.
        OSError
            If the file cannot be written.
        """
        check_is_fitted(self)
        from fastsil.page import SweepContent, write_sweep_page

        data: Any = None if X is None else check_data(X)
        if data is not None:
            validate_data(self, X, reset=False, skip_check_array=True)
            if data.shape[0] != len(self.labels_):
                raise ValueError(
                    f"X has {data.shape[0]} rows but {len(self.labels_)} were fitted; pass the data of the fit."
                )
        content = SweepContent(
            name=name,
            n_features=self.n_features_in_,
            results=self.sweep_results_,
            best_k=self.best_k_,
            verdict=self.verdict_,
            profiles=self.profiles_,
            coordinates=None if data is None else self._geometry.apply(data),
            diagnosis=self.diagnosis_,
        )
        write_sweep_page(Path(path), content)
        return Path(path)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _keep(
        self,
        findings: Sequence[Finding],
        null: NullComparison | None,
        stability: Stability | None,
        interrupted: bool,
    ) -> None:
        """Set the fitted attributes."""
        rows = [finding.row for finding in findings]
        self.null_ = null
        self.p_value_ = np.nan if null is None else null.p_value
        if null is not None:
            rows = with_null_columns(rows, null)
        self.stability_ = stability
        if stability is not None:
            rows = with_stability_columns(rows, stability)
        fitted = {finding.row.n_clusters: finding for finding in findings if not finding.row.error}
        # max() keeps the first of equals: the smallest k. A lone k = 1 has no score, yet is the best there is.
        best = max(fitted.values(), key=lambda finding: np.nan_to_num(finding.row.silhouette, nan=-2.0))
        self.sweep_results_ = columns_of(rows)
        self.estimators_ = {k: finding.clusterer for k, finding in fitted.items()}
        self.profiles_ = {k: finding.profile for k, finding in fitted.items() if finding.profile is not None}
        self.best_k_ = best.row.n_clusters
        self.best_score_ = best.row.silhouette
        self.best_estimator_ = best.clusterer
        self.labels_ = np.asarray(labels_of(best.clusterer))
        self.interrupted_ = interrupted


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


class _Stages:
    """Progress of work in stages, one after the other, each of a known part of the whole."""

    def __init__(self, listen: Listener, work: Mapping[str, float]) -> None:
        self._listen = listen
        ends = np.cumsum(list(work.values())) / sum(work.values())
        self._spans = dict(zip(work, pairwise([0.0, *ends.tolist()]), strict=True))

    def listener(self, name: str) -> Listener:
        """Of the stage that tells its own events; the first one."""
        end = self._spans[name][1]
        return lambda event: self._listen(replace(event, share=event.share * end))

    def tick(self, name: str) -> Tick:
        """Of a further stage."""
        done, end = self._spans[name]
        whole = end - done

        def tick(part: float) -> None:
            nonlocal done
            done = min(end, done + part * whole)
            self._listen(SweepEvent(0, name, done))

        return tick


def _warn_of_gaps(findings: Sequence[Finding], ks: Sequence[int], interrupted: bool, missing: Sequence[str]) -> None:
    failed = [finding.row for finding in findings if finding.row.error]
    if failed:
        what = "; ".join(f"k={row.n_clusters}: {row.error}" for row in failed)
        warnings.warn(f"{len(failed)} of {len(ks)} clusterings failed. {what}", FitFailedWarning, stacklevel=3)
    if interrupted:
        kept = [finding.row for finding in findings if not finding.row.error]
        waiting = [row for row in kept if row.n_clusters > 1 and np.isnan(row.silhouette)]
        warnings.warn(
            f"interrupted: {len(findings)} of {len(ks)} clusterings are finished and kept (k = {_listed(kept)})"
            + (f", those of k = {_listed(waiting)} without a score" if waiting else "")
            + (f", without {' and '.join(missing)}." if missing else "."),
            UserWarning,
            stacklevel=3,
        )


def _listed(rows: Sequence[SweepRow]) -> str:
    return ", ".join(str(row.n_clusters) for row in rows)

"""One clustering for each number of clusters, each scored exactly: :class:`KMeansSweep`.

A fit checks the data once, then sweeps in the geometry of each metric: for every k one fit and one exact score of the
labels of that fit. The results for a k are one :class:`SweepRow`; the arrays of ``sweep_results_`` are the columns of
those rows.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from fastsil.runtime.lazy_imports import import_on_first_use
from fastsil.runtime.threads import resolve_n_jobs
from fastsil.sweep.base import BaseSweep
from fastsil.sweep.block_kmeans import are_blocks
from fastsil.sweep.checkpoint import Checkpoint, compute_digest, described
from fastsil.sweep.clusterers import (
    DEFAULT_N_CLUSTERS,
    check_n_clusters,
    draw_seed,
    get_labels,
    make_clusterers,
    refuse_params,
)
from fastsil.sweep.feature_space import Components, FailedSpace, check_metrics, check_pca, make_feature_spaces
from fastsil.sweep.geometry_sweep import GeometrySweep
from fastsil.sweep.null import check_null
from fastsil.sweep.one_space import (
    SweepSettings,
    choose_geometry,
    judge_space,
    list_made,
    list_shortfalls,
    long_table,
    sweep_each,
)
from fastsil.sweep.prepared_blocks import METRICS
from fastsil.sweep.progress import Listener, SweepEvent, make_listener
from fastsil.sweep.results import SweepRow
from fastsil.sweep.stability import check_n_stability
from fastsil.validation import (
    Metric,
    check_sample_weight,
    check_takes_weights,
    check_tol,
    get_metric_name,
    is_dask_array,
    refuse_sample_weight,
    warn_of_order,
)

__all__ = ["GeometrySweep", "KMeansSweep", "SweepEvent", "SweepRow"]

_REFIT = ("verdict", "silhouette")


class KMeansSweep(BaseSweep):
    """Cluster for every k, score each clustering exactly, and keep the k whose clusters are separate and score highest.

    There is one fit for each k: its inertia, labels and scores belong together. Clustering happens in the geometry of
    the metric: rows of length 1 for cosine, whitened features for Mahalanobis. A k that fails is recorded, and the
    others go on; Ctrl-C keeps every k whose fit is finished.

    Parameters
    ----------
    n_clusters : int or iterable of int, default=(2, 3, ..., 16)
        Numbers of clusters to try, each from 1 to n_samples - 1; 1 has an inertia, but no silhouette. With 16 samples
        or fewer the default stops at n_samples - 1, with a warning.
    estimator : clusterer, optional
        Any clusterer with a parameter ``n_clusters``; it is cloned for each k and fitted as it is. By default k-means
        with work that the fits share: see ``n_init``.
    metric : str, callable or sequence of these, default="euclidean"
        Metric of the silhouettes, and by it the geometry of the clustering: rows of length 1 for
        ``"cosine"`` (centered first for ``"correlation"``), whitened features for ``"mahalanobis"``,
        features of unit variance for ``"seuclidean"``; the data as they are for ``"euclidean"`` and every
        other metric, in which k-means has no meaning of its own.
    metrics : sequence of str or callable, optional
        Deprecated: pass several metrics as ``metric``.
    metric_params : dict, optional
        Keywords of the metric, such as ``{"V": covariance}``; for several metrics, a dict of these by metric.
    pca : int, float, None or sequence of these, default=None
        Number of principal components to keep before clustering, or the share of the variance that they must have; None
        keeps the data as they are. Each of several is tried with every metric.
    n_init : int or "auto", default=10
        Restarts of k-means for each k; fewer are faster, and the curves less smooth. Each draws an order of points, as
        k-means++ does, whose first k points seed k. The restarts, and the centers of the k before with a point added,
        run for a few iterations on about 4,096 rows. The best is improved by moving centers, and fitted to all rows by
        :class:`sklearn.cluster.KMeans`. The inertia is about that of ``KMeans(n_init=n_init)``, and never rises with k.
        Of more than 14,000 rows, the three best are compared on up to 20,000 before; where starts competed on part of
        the rows, the fit ends when an iteration gains little, its ``tol``.
        Ignored if ``estimator`` is given.
    n_null : int, default=0
        Number of data sets without clusters that are clustered and scored like the data, to test whether the data score
        higher. Each costs a sweep of ``null_size`` samples. A test at 5 % needs 19, and then none of them may score as
        high; 39 find more. 0: no test.
    null_size : int, default=1000
        Largest number of samples of a null set. Of larger data, this many rows are drawn at random for the comparison.
    null_reference : {"gaussian", "uniform"}, default="gaussian"
        ``"gaussian"``: Gaussian sets of exactly the data's mean and covariance. ``"uniform"``: uniform over the box
        along the principal axes, as in the gap statistic's paper; a test against it is not exact.
    n_stability : int, default=0
        Number of pairs of random parts (80 % of the samples each, 10,000 at most) that are clustered and compared
        where they overlap, for every k. Each pair costs two fits of every k on such a part.
    gaps : bool, default=True
        Whether to test if there are fewer samples between the clusters than inside them. The verdict needs it to say
        whether there are separate groups. It takes seconds at most, for any number of samples.
    tol : float, optional
        Estimate scores to within this much, as :func:`fastsil.silhouette_estimate` does with 99 % confidence. Scores
        stay exact where that costs no more, and in metrics that are not Euclidean after a linear map. By default all
        are exact; those of a Dask array that need pairs are estimated to 1e-3, if it has more than 20,000 rows.
    refit : {"verdict", "silhouette"}, default="verdict"
        The k of ``best_k_``, ``labels_`` and ``predict``: that of the verdict, or that of the highest mean silhouette.
    checkpoint : str or Path, optional
        Folder for every fit, pass of scores and null set that is finished. Another call with the same data and
        parameters resumes from it, with the result of an uninterrupted run (bit for bit with one thread or two).
        ``n_null``, ``n_stability`` and ``n_jobs`` may change. Fits of a clusterer that learns more than arrays and
        numbers, such as ``BisectingKMeans``, are repeated.
    random_state : int, RandomState or None, default=None
        Equal ints give equal sweeps. An ``estimator`` without a random state of its own gets this int, so that each row
        is the result of ``KMeans(k, random_state=...)``; from a RandomState one int is drawn.
    n_jobs : int, optional
        Threads. By default all cores that the process may use. Small fits use one.
    progress : bool or callable, default=False
        True: a progress bar on standard error (needs tqdm). A callable gets each :class:`fastsil.SweepEvent`.

    Attributes
    ----------
    best_k_ : int
        The k of the verdict; with ``refit="silhouette"`` that of the highest mean silhouette.
    best_score_ : float
        Its mean silhouette.
    best_estimator_ : clusterer
        Its fitted clusterer.
    labels_ : ndarray of shape (n_samples,)
        Its labels; of a Dask array a lazy one, in the chunks of its rows.
    sweep_results_ : dict of str to ndarray of shape (n_tried,)
        One entry for each k that was tried, in columns named as the attributes of :class:`fastsil.SweepRow`.
    profiles_ : mapping of int to SilhouetteProfile
        For each k that was scored. Only their mean distances are kept: a profile is made whenever it is read. Of a
        Dask array with more than 20,000 rows, that many drawn rows, with their distances to all samples; where these
        need pairs, they are guessed within bounds.
    failed_geometries_ : dict of str to str
        Geometries in which these data cannot be clustered, and why.
    estimators_ : dict of int to clusterer
        The fitted clusterer of each k; its ``labels_`` are the labels that were scored.
    null_ : NullComparison or None
        Scores of the data and of the null sets; None without.
    p_value_ : float
        P-value of one test for all k that the data score higher than the null sets at any k. NaN without null sets.
    stability_ : Stability or None
        Agreement of clusterings of random parts of the data; None without.
    gaps_ : GapTest or None
        Test of gaps between the clusters, and along the first principal axes; None without it, or for too few samples.
    diagnosis_ : Diagnosis or None
        Problems of the clustering of the chosen k; None if nothing was scored.
    verdict_ : Verdict
        Whether the data are one cloud, a continuum or separate groups, the chosen k, the reasons and what to try next,
        in plain words by ``str()``.
    interrupted_ : bool
        Whether Ctrl-C ended the sweep before every k was tried.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X had names that are all strings.

    Raises
    ------
    ValueError
        By ``fit``, if an argument is invalid, or if every k failed.

    Warns
    -----
    FitFailedWarning
        If some k failed.
    FutureWarning
        If ``metrics`` is given.
    UserWarning
        If the sweep was interrupted, or if a file of the checkpoint is damaged.

    Notes
    -----
    It is a clusterer, not a transformer: it has no ``transform``, and so no ``get_feature_names_out``.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from fastsil import KMeansSweep
    >>> X, _ = make_blobs(150, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    >>> sweep = KMeansSweep(range(2, 6), random_state=0).fit(X)
    >>> sweep.best_k_
    3
    >>> sweep.sweep_results_["silhouette"].round(2)
    array([0.6 , 0.79, 0.64, 0.49])
    >>> sweep.predict([[9.0, 0.0]]) == sweep.labels_[X[:, 0].argmax()]
    array([ True])
    >>> sweep.verdict_.structure, sweep.verdict_.k, sweep.verdict_.tested
    ('strong', 3, True)
    """

    def __init__(
        self,
        n_clusters: int | Iterable[int] = DEFAULT_N_CLUSTERS,
        *,
        estimator: Any = None,
        metric: Metric | Sequence[Metric] = "euclidean",
        metrics: Sequence[Metric] | None = None,
        metric_params: dict[str, Any] | None = None,
        pca: Components | Sequence[Components] = None,
        n_init: int | str = 10,
        n_null: int = 0,
        null_size: int = 1000,
        null_reference: str = "gaussian",
        n_stability: int = 0,
        gaps: bool = True,
        tol: float | None = None,
        refit: str = "verdict",
        checkpoint: str | Path | None = None,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        progress: bool | Listener = False,
    ) -> None:
        self.n_clusters = n_clusters
        self.estimator = estimator
        self.metric = metric
        self.metrics = metrics
        self.metric_params = metric_params
        self.pca = pca
        self.n_init = n_init
        self.n_null = n_null
        self.null_size = null_size
        self.null_reference = null_reference
        self.n_stability = n_stability
        self.gaps = gaps
        self.tol = tol
        self.refit = refit
        self.checkpoint = checkpoint
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.progress = progress

    def fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None, **params: object) -> Self:
        """Cluster and score for every k.

        Parameters
        ----------
        X : array-like, CSR matrix or Dask array of shape (n_samples, n_features)
            Samples. A Dask array stays in its blocks of rows: k-means runs over them, and no more than 20,000 rows (and
            200 MB while an estimate runs) come into memory. Its blocks are NumPy arrays; the metric is Euclidean, is
            after a linear map, or needs no pairs; the clusterer is k-means.
        y : object
            Ignored.
        sample_weight : array-like of shape (n_samples,), optional
            How often each sample counts, in the fits, their inertia and the silhouettes (see
            :func:`fastsil.silhouette_samples`). The test of gaps counts each sample that has weight once. Not with
            ``pca``, ``n_null``, ``n_stability`` or a Dask array; ``estimator.fit`` must take it.
        **params : object
            Refused.

        Returns
        -------
        KMeansSweep
            The fitted sweep itself.

        Raises
        ------
        ValueError
            If an argument is invalid, if every k failed, or if the checkpoint is of another sweep.
        TypeError
            If there is a further argument, or there are weights where none are taken.
        KeyboardInterrupt
            If the sweep is interrupted before any k is finished.
        """
        refuse_params(params)
        metrics, params_of = check_metrics(self.metric, self.metrics, self.metric_params)
        check_null(self.n_null, self.null_size, self.null_reference)
        check_n_stability(self.n_stability)
        tol = None if self.tol is None else check_tol(self.tol)
        if self.refit not in _REFIT:
            raise ValueError(f"refit={self.refit!r} is not known; choose one of: {', '.join(_REFIT)}.")
        data = self._check_blocks(X, metrics) if is_dask_array(X) else self._check(X, reset=True)
        ks = check_n_clusters(self.n_clusters, data.shape[0])
        pcas = check_pca(self.pca, data.shape)
        weights = self._check_weights(X, sample_weight, data.shape[0], pcas)
        frames = make_feature_spaces(data, metrics, params_of, pcas, given=X, sample_weight=weights)
        checkpoint, seed = self._open_checkpoint(data, ks, weights)
        clusterers = make_clusterers(self.estimator, ks, seed, n_init=self.n_init)
        n_jobs = resolve_n_jobs(self.n_jobs)
        parameters = {name: getattr(self, name) for name in ("n_null", "null_size", "null_reference", "n_stability")}
        settings = SweepSettings(
            len(ks), **parameters, gaps=bool(self.gaps), tol=tol, seed=seed, n_jobs=n_jobs, sample_weight=weights
        )
        with make_listener(self.progress) as listen:
            outcomes = sweep_each(frames, data, clusterers, settings, listen, checkpoint)
        self._keep(outcomes, ks, complete=len(outcomes) == len(frames))
        names = getattr(self, "feature_names_in_", ())
        self.diagnosis_, self.verdict_ = judge_space(self.best_geometry_, data, outcomes, seed=seed, names=names)
        for words, kind in list_shortfalls(outcomes, frames, settings):
            warnings.warn(words, kind, stacklevel=2)
        return self

    def _check_weights(
        self, X: Any, sample_weight: Any, n_samples: int, pcas: Sequence[Components]
    ) -> NDArray[np.float64] | None:
        """Return checked weights, or None; refuse them where the sweep cannot take them into account."""
        if sample_weight is None:
            return None
        if is_dask_array(X):
            refuse_sample_weight(sample_weight, "a Dask array", "pass X.compute() if it fits in memory.")
        for name, is_set, remedy in (
            ("pca", any(pca is not None for pca in pcas), "reduce X before, by components of your choice."),
            ("n_null", self.n_null > 0, "pass n_null=0, or repeat rows."),
            ("n_stability", self.n_stability > 0, "pass n_stability=0, or repeat rows."),
        ):
            if is_set:
                refuse_sample_weight(sample_weight, f"{name}={getattr(self, name)!r}", remedy)
        check_takes_weights(self.estimator)
        warn_of_order(X, sample_weight, "sample_weight")
        return check_sample_weight(sample_weight, n_samples)

    def _check_blocks(self, X: Any, metrics: Sequence[Metric]) -> Any:
        """Return a checked Dask array as blocks of rows, with the number of features recorded."""
        if self.estimator is not None:
            raise ValueError(
                f"estimator={self.estimator!r} takes no Dask array; leave it out for k-means, or sweep some rows: "
                "X[rows].compute()."
            )
        others = [get_metric_name(metric) for metric in metrics if metric not in METRICS]
        if others:
            raise ValueError(
                f"metric={others[0]!r} needs all pairs of samples, which a sweep of a Dask array does not compute; "
                f"choose one of: {', '.join(METRICS)}, or sweep some rows: X[rows].compute()."
            )
        blocks = import_on_first_use("fastsil.dask_arrays").check_samples(X)
        validate_data(self, blocks, reset=True, skip_check_array=True)
        return blocks

    def _open_checkpoint(
        self, data: Any, ks: Sequence[int], sample_weight: NDArray[np.float64] | None
    ) -> tuple[Checkpoint | None, int]:
        """Return the folder to go on from, if there is one, and the seed of the sweep, which a folder may hold."""
        seed = draw_seed(self.random_state)
        if self.checkpoint is None:
            return None, seed
        state = self.random_state
        known = state is None or isinstance(state, (int, np.integer))
        parameters = {
            "n_clusters": described(list(ks)),
            "random_state": described(state if known else seed),
            "metric": described(self.metric if self.metrics is None else self.metrics),
        }
        for name in ("estimator", "metric_params", "pca", "n_init", "null_size", "null_reference", "tol"):
            parameters[name] = described(getattr(self, name))
        if sample_weight is not None:
            parameters["sample_weight"] = described(sample_weight)
        digest = data.compute_digest() if are_blocks(data) else compute_digest(data)
        checkpoint = Checkpoint(self.checkpoint, data=digest, parameters=parameters, seed=seed)
        return checkpoint, checkpoint.seed

    def plot(self, axes: Any = None) -> NDArray[Any]:
        """Draw the elbow and the silhouettes against k, in the chosen geometry.

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
        from fastsil.report.plots import draw_sweep

        return draw_sweep(
            self.best_geometry_.results, best_k=self.best_geometry_.best_k, chosen_k=self.verdict_.k, axes=axes
        )

    def plot_geometries(self, axes: Any = None) -> NDArray[Any]:
        """Draw all geometries side by side: mean silhouettes, and how far they lie above data without clusters.

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
        from fastsil.report.plots import draw_geometries

        return draw_geometries({sweep.name: sweep.results for sweep in self.geometries_}, axes=axes)

    def _keep(self, outcomes: Sequence[GeometrySweep | FailedSpace], ks: Sequence[int], *, complete: bool) -> None:
        """Set the fitted attributes."""
        sweeps = list_made(outcomes)
        chosen = sweeps[choose_geometry(sweeps) if complete else 0]
        self.geometries_ = tuple(sweeps)
        self.failed_geometries_ = {one.name: one.reason for one in outcomes if isinstance(one, FailedSpace)}
        self.best_geometry_ = chosen
        self.sweep_results_ = chosen.results if complete and len(outcomes) == 1 else long_table(outcomes, ks)
        self.estimators_ = chosen.estimators
        self.profiles_ = chosen.profiles
        self.null_ = chosen.null
        self.p_value_ = chosen.p_value
        self.stability_ = chosen.stability
        self.gaps_ = chosen.gaps
        self.best_k_ = chosen.chosen_k if self.refit == "verdict" else chosen.best_k
        self.best_score_ = chosen.score_of(self.best_k_)
        self.best_estimator_ = chosen.estimators[self.best_k_]
        labels = get_labels(self.best_estimator_)
        self.labels_ = labels if is_dask_array(labels) else np.asarray(labels)
        self.interrupted_ = not complete or any(sweep.interrupted for sweep in sweeps)

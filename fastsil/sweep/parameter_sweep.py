"""One clustering for each value of any clusterer's parameter: :class:`SilhouetteSweep`.

Clusterers of densities find their own number of clusters, and leave some samples out as noise. Values are therefore
compared by the mean silhouette over all samples in which noise counts 0; and for each number of clusters that was
found, the best value stands in the verdict, which is then that of a sweep over k.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import FitFailedWarning
from sklearn.utils.validation import check_is_fitted

from fastsil.report.suggestions import for_python
from fastsil.report.words import join_words
from fastsil.runtime.progress import ProgressCallback, progress_bar, scale_progress
from fastsil.runtime.threads import resolve_n_jobs
from fastsil.scoring.many_labelings import silhouette_profiles
from fastsil.sweep.base import BaseSweep
from fastsil.sweep.clusterers import draw_seed, generator_for
from fastsil.sweep.density import check_density, measure_density
from fastsil.sweep.feature_space import FeatureSpace, Identity, check_metrics, make_feature_spaces
from fastsil.sweep.gaps import find_gaps
from fastsil.sweep.geometry_sweep import GeometrySweep
from fastsil.sweep.one_space import judge_space, take_counted
from fastsil.sweep.parameter_fits import (
    NOISE,
    ParameterFit,
    add_scores,
    assign_noise,
    check_weighable,
    find_best,
    fit_all,
    make_for_values,
)
from fastsil.sweep.results import ParameterRow, make_columns
from fastsil.sweep.verdict import Verdict
from fastsil.validation import Metric, check_sample_weight, warn_of_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# The test of gaps compares every two clusters; a small ``eps`` makes hundreds of scraps.
_MOST_CLUSTERS = 100

_COLUMNS = (
    "value",
    "n_clusters",
    "noise_share",
    "score",
    "silhouette",
    "macro_silhouette",
    "dbcv",
    "n_negative",
    "n_zero",
    "n_positive",
    "fit_seconds",
    "score_seconds",
    "error",
)


class SilhouetteSweep(BaseSweep):
    """Cluster for every value of a parameter, score each clustering exactly, and choose the value.

    For clusterers that find their own number of clusters: ``eps`` of DBSCAN, ``min_cluster_size`` of HDBSCAN,
    ``distance_threshold`` of agglomerative clustering, ``n_components`` of a mixture, the resolution of a partition of
    a graph. Samples that are left out as noise (label -1) are not scored, and count 0 where values are compared.
    For k-means over k, with null sets and much less work, see :class:`KMeansSweep`.

    Parameters
    ----------
    estimator : clusterer or callable
        Any clusterer of scikit-learn's kind; it is cloned for each value. Or ``estimator(X, value)``, which returns a
        label for each sample.
    param_name : str
        Name of the parameter that is set, such as ``"min_cluster_size"``; for a callable, a name for tables.
    values : iterable
        Its values, in the order of the tables.
    metric : str or callable, default="euclidean"
        Metric of the silhouettes, and by it the geometry in which the samples are clustered, as for
        :class:`KMeansSweep`. ``"precomputed"``: X holds distances, which the estimator must take too.
    metric_params : dict, optional
        Keywords of the metric.
    gaps : bool, default=True
        Whether to test if there are fewer samples between the clusters than inside them, as for :class:`KMeansSweep`;
        not of distances.
    density : bool, default=False
        Whether to measure DBCV as well, which takes clusters of any shape (needs hdbscan): of 5,000 samples at most, in
        seconds a value.
    refit : {"verdict", "silhouette"}, default="verdict"
        Which value ``best_value_`` and ``labels_`` are of: that of the verdict, or that of the highest score.
    random_state : int, RandomState or None, default=None
        Equal ints give equal sweeps. An estimator that leaves its random state open is given it.
    n_jobs : int, optional
        Threads of the scores. By default all cores that the process may use.
    progress : bool, default=False
        Show a progress bar (needs tqdm).

    Attributes
    ----------
    best_value_ : object
        The chosen value.
    best_index_ : int
        Its place among the values.
    best_k_ : int
        Number of clusters that it finds.
    best_score_ : float
        Its score.
    best_estimator_ : clusterer or callable
        Its fitted clusterer.
    labels_ : ndarray of shape (n_samples,)
        Its labels; noise keeps the label -1.
    sweep_results_ : dict of str to ndarray of shape (n_values,)
        One entry for each value: ``value``, ``n_clusters`` (found), ``noise_share``, ``score`` (mean silhouette, noise
        counted 0), ``silhouette`` and ``macro_silhouette`` (of the samples in clusters), ``n_negative``, ``n_zero``,
        ``n_positive``, ``dbcv``, ``fit_seconds``, ``score_seconds``, ``error``. Fewer than two clusters have no
        silhouette: NaN.
    profiles_ : list of SilhouetteProfile or None, of length n_values
        None where there is no silhouette.
    estimators_ : list of clusterer or None, of length n_values
        None where the clustering failed.
    gaps_ : GapTest or None
        Test of gaps between the clusters; None without, of distances, or of too few samples.
    diagnosis_ : Diagnosis or None
        Problems of the chosen clustering.
    verdict_ : Verdict
        Whether the data are separate groups, the chosen number of clusters and value, the reasons; plain words by
        ``str()``.
    n_features_in_ : int
        Number of features.

    Raises
    ------
    ValueError
        By ``fit``, if an argument is invalid, or if no value gives two clusters.

    Warns
    -----
    FitFailedWarning
        If the clustering failed for some values.

    Examples
    --------
    >>> from sklearn.cluster import DBSCAN
    >>> from sklearn.datasets import make_blobs
    >>> from fastsil import SilhouetteSweep
    >>> X, _ = make_blobs(150, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    >>> sweep = SilhouetteSweep(DBSCAN(), "eps", [0.3, 0.6, 1.2, 2.4], random_state=0).fit(X)
    >>> sweep.best_value_, sweep.best_k_
    (2.4, 3)
    >>> sweep.sweep_results_["n_clusters"]
    array([3, 4, 3, 3])
    >>> sweep.sweep_results_["noise_share"].round(2)
    array([0.88, 0.29, 0.01, 0.  ])
    """

    def __init__(
        self,
        estimator: Any,
        param_name: str,
        values: Iterable[Any],
        *,
        metric: Metric = "euclidean",
        metric_params: dict[str, Any] | None = None,
        gaps: bool = True,
        density: bool = False,
        refit: str = "verdict",
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        progress: bool = False,
    ) -> None:
        self.estimator = estimator
        self.param_name = param_name
        self.values = values
        self.metric = metric
        self.metric_params = metric_params
        self.gaps = gaps
        self.density = density
        self.refit = refit
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.progress = progress

    def fit(self, X: ArrayLike, y: object = None, sample_weight: ArrayLike | None = None) -> Self:
        """Cluster and score for every value.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_samples, n_features) or (n_samples, n_samples)
            Samples, or their distances for ``metric="precomputed"``.
        y : object
            Ignored.
        sample_weight : array-like of shape (n_samples,), optional
            How often each sample counts, in the clusterings, the silhouettes and the share of noise (see
            :func:`fastsil.silhouette_samples`); the estimator's ``fit`` must take it, while a callable is not given it.
            The test of gaps counts each sample that has weight once, DBCV every sample.

        Returns
        -------
        SilhouetteSweep
            The fitted sweep itself.

        Raises
        ------
        ValueError
            If an argument is invalid, or if no value gives two clusters.
        TypeError
            If the estimator is no clusterer, has no such parameter, or takes no weights where there are some.
        """
        if self.refit not in ("verdict", "silhouette"):
            raise ValueError(f"refit={self.refit!r} is not known; choose one of: verdict, silhouette.")
        if self.density:
            check_density(are_distances=self._are_distances)
        seed = draw_seed(self.random_state)
        values = list(self.values)
        clusterers = make_for_values(self.estimator, self.param_name, values, seed)
        data = self._check(X, reset=True)
        weights = check_sample_weight(sample_weight, data.shape[0])
        if weights is not None:
            check_weighable(clusterers)
            warn_of_order(X, sample_weight, "sample_weight")
        space = self._make_space(data, X, weights)
        with progress_bar("sweep", enabled=bool(self.progress)) as tick:
            fits = fit_all(clusterers, values, space.apply(data), scale_progress(tick, 0.5), weights)
            fits = self._score_all(fits, data, space, scale_progress(tick, 0.5))
        fits = _measure_all(fits, space.apply(data), seed) if self.density else fits
        self._keep(fits, data, space, seed)
        failed = [fit.row for fit in fits if fit.row.error]
        if failed:
            what = "; ".join(f"{self.param_name}={row.value!r}: {row.error}" for row in failed)
            warnings.warn(f"{len(failed)} of {len(fits)} clusterings failed. {what}", FitFailedWarning, stacklevel=2)
        return self

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the scores against the values, with the number of clusters and the share of noise.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure's by default.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        check_is_fitted(self)
        from fastsil.report.plots import draw_parameter_sweep

        return draw_parameter_sweep(self.sweep_results_, self.param_name, chosen=self.best_index_, ax=ax)

    @property
    def _checked_as(self) -> Metric:  # type: ignore[override]
        return "precomputed" if self._are_distances else "euclidean"

    @property
    def _are_distances(self) -> bool:
        return isinstance(self.metric, str) and self.metric == "precomputed"

    def _make_space(self, data: Any, given: Any, sample_weight: NDArray[np.float64] | None) -> FeatureSpace:
        if self._are_distances:
            return FeatureSpace("precomputed", {}, None, None, Identity())
        metrics, params_of = check_metrics(self.metric, None, self.metric_params)
        if len(metrics) > 1:
            raise ValueError("metric has several; a SilhouetteSweep takes one.")
        (space,) = make_feature_spaces(data, metrics, params_of, [None], given=given, sample_weight=sample_weight)
        assert isinstance(space, FeatureSpace)
        return space

    def _score_all(
        self, fits: Sequence[ParameterFit], data: Any, space: FeatureSpace, tick: ProgressCallback
    ) -> list[ParameterFit]:
        """Score the labelings that have silhouettes; those without noise share their distances."""
        scored, places = list(fits), [place for place, fit in enumerate(fits) if fit.can_be_scored]
        whole = [place for place in places if not fits[place].has_noise]
        with_noise = [[place] for place in places if fits[place].has_noise]
        for together in [whole, *with_noise] if whole else with_noise:
            started = time.perf_counter()
            profiles = silhouette_profiles(
                data,
                [fits[place].labels for place in together],
                metric=space.metric,
                ignore_label=None if together is whole else NOISE,
                sample_weight=fits[together[0]].sample_weight,
                n_jobs=self.n_jobs,
                **space.params,
            )
            seconds = (time.perf_counter() - started) / len(together)
            for place, profile in zip(together, profiles, strict=True):
                row = add_scores(fits[place].row, profile, seconds)
                scored[place] = replace(fits[place], row=row, profile=profile)
            tick(len(together) / len(places))
        return scored

    def _keep(self, fits: Sequence[ParameterFit], data: Any, space: FeatureSpace, seed: int) -> None:
        """Set the fitted attributes."""
        best_of = find_best(fits)
        if not best_of:
            raise ValueError(_explain_nothing(fits, self.param_name))
        gaps = None
        if self.gaps and not self._are_distances:
            random, n_jobs = generator_for("gaps", seed), resolve_n_jobs(self.n_jobs)
            labelings = {k: assign_noise(space.apply(data), fit) for k, fit in best_of.items() if k <= _MOST_CLUSTERS}
            samples, counted = take_counted(data, labelings, fits[0].sample_weight)
            if labelings:
                gaps = find_gaps(samples, space.geometry.apply, counted, random=random, n_jobs=n_jobs)
        chosen = _as_geometry_sweep(best_of, space, gaps)
        names = getattr(self, "feature_names_in_", ())
        self.diagnosis_, verdict = judge_space(chosen, data, [chosen], seed=seed, names=names, can_change=False)
        self.best_geometry_ = chosen
        self.geometries_ = (chosen,)
        self.gaps_ = gaps
        columns = make_columns([fit.row for fit in fits])
        self.sweep_results_ = {name: columns[name] for name in _COLUMNS}
        self.profiles_ = [fit.profile for fit in fits]
        self.estimators_ = [fit.clusterer for fit in fits]
        self.best_k_ = chosen.chosen_k if self.refit == "verdict" else chosen.best_k
        best = best_of[self.best_k_]
        self.best_index_ = next(place for place, fit in enumerate(fits) if fit is best)
        self.best_value_, self.best_score_ = best.row.value, best.row.score
        self.best_estimator_, self.labels_ = best.clusterer, best.labels
        self.verdict_ = _name_value(verdict, best_of[chosen.chosen_k].row, self.param_name, columns)


def _measure_all(fits: Sequence[ParameterFit], X: Any, seed: int) -> list[ParameterFit]:
    """Add DBCV to the rows of labelings with silhouettes."""
    measured = []
    for fit in fits:
        if fit.profile is not None:
            dbcv = measure_density(X, fit.labels, NOISE, generator_for("density", seed))
            fit = replace(fit, row=replace(fit.row, dbcv=dbcv))
        measured.append(fit)
    return measured


def _as_geometry_sweep(best_of: dict[int, ParameterFit], space: FeatureSpace, gaps: Any) -> GeometrySweep:
    """Return the best values as a sweep over k, in whose means noise counts 0."""
    rows = []
    for fit in best_of.values():
        macro = fit.row.macro_silhouette * (1 - fit.row.noise_share)
        score = fit.row.score
        rows.append(
            replace(fit.row, silhouette=score, silhouette_low=score, silhouette_high=score, macro_silhouette=macro)
        )
    return GeometrySweep(
        frame=space,
        rows=tuple(rows),
        estimators={k: fit.clusterer for k, fit in best_of.items()},
        profiles={k: fit.profile for k, fit in best_of.items() if fit.profile is not None},
        null=None,
        stability=None,
        gaps=gaps,
        interrupted=False,
    )


def _name_value(verdict: Verdict, row: ParameterRow, param_name: str, results: Mapping[str, NDArray[Any]]) -> Verdict:
    """Add the value and the noise to the reasons, and what silhouettes do not see."""
    sentence = f"{param_name} = {row.value} finds these {row.n_clusters} clusters"
    if row.noise_share:
        sentence += (
            f", and leaves {row.noise_share:.1%} of the samples out as noise, which counts 0 in these means. "
            f"Without it the mean silhouette is {row.silhouette:.3f}"
        )
    decision, *evidence = verdict.reasons
    reasons, advice = [decision, f"{sentence}.", *evidence], list(verdict.advice)
    if np.isfinite(results["dbcv"]).any():
        reasons.append(_write_density(row, param_name, results))
    elif verdict.structure in ("none", "weak"):
        advice.append(
            "Silhouettes and gaps speak for round clusters. If yours may be rings, chains or densities, look at a map, "
            f"and at DBCV{for_python(': sweep.set_params(density=True).fit(X)')}."
        )
    return replace(verdict, reasons=tuple(reasons), advice=tuple(advice))


def _write_density(row: ParameterRow, param_name: str, results: Mapping[str, NDArray[Any]]) -> str:
    best = int(np.nanargmax(results["dbcv"]))
    words = f"DBCV, which takes clusters of any shape, is {row.dbcv:.2f} here"
    if results["dbcv"][best] <= row.dbcv:
        return f"{words}, the highest."
    found = f"{results['n_clusters'][best]} clusters, {results['noise_share'][best]:.1%} noise"
    return f"{words}, and highest at {param_name} = {results['value'][best]}: {results['dbcv'][best]:.2f} ({found})."


def _explain_nothing(fits: Sequence[ParameterFit], param_name: str) -> str:
    failed = [fit.row for fit in fits if fit.row.error]
    if len(failed) == len(fits):
        return f"every clustering failed; {param_name}={failed[0].value!r}: {failed[0].error}"
    found = sorted({fit.row.n_clusters for fit in fits if not fit.row.error})
    return (
        f"no value of {param_name} gives a silhouette, which needs 2 clusters or more, and fewer than samples: "
        f"{join_words([str(k) for k in found])} clusters were found. Try other values."
    )

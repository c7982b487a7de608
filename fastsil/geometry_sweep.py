"""A sweep in one geometry, and the choice among several.

A geometry is a metric after an optional reduction by principal components. Data are clustered and scored in each as if
it were the only one. Mean silhouettes of different geometries do not compare: fewer dimensions or another metric raise
or lower all of them, in data without clusters too. How far the data rise above such data does compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from fastsil.checkpoint import Recall
from fastsil.clustering import Geometry, generator_for, geometry_of
from fastsil.null import NullComparison, compare_with_null, with_null_columns
from fastsil.profile import SilhouetteProfile
from fastsil.progress import Listener, Stages
from fastsil.results import SweepRow, columns_of
from fastsil.search import Finding, Space, search
from fastsil.stability import Stability, measure_stability, share_of_samples, with_stability_columns
from fastsil.validation import Metric, check_metric, name_of_metric

Components = int | float | None


@dataclass(frozen=True)
class Frame:
    """A geometry, made for some data.

    Attributes
    ----------
    metric : str or callable
        Metric of the silhouettes.
    params : dict
        Its keywords.
    pca : int, float or None
        Principal components kept before, or the share of the variance that they have at least.
    reduction : PCA or None
        Fitted.
    geometry : Geometry
        The map in front of the clusterer, after the reduction.
    """

    metric: Metric
    params: dict[str, Any]
    pca: Components
    reduction: PCA | None
    geometry: Geometry

    @property
    def name(self) -> str:
        """Such as ``"cosine, pca 50"``."""
        name = name_of_metric(self.metric)
        return name if self.pca is None else f"{name}, pca {self.pca:g}"

    def reduce(self, X: Any) -> Any:
        """Samples as they are scored."""
        return X if self.reduction is None else np.ascontiguousarray(self.reduction.transform(X))

    def apply(self, X: Any) -> Any:
        """Samples as they are clustered."""
        return self.geometry.apply(self.reduce(X))


def frames_for(
    X: Any,
    metrics: Sequence[Metric],
    params_of: Callable[[Metric], dict[str, Any]],
    pcas: Sequence[Components],
) -> list[Frame]:
    """Every metric after every reduction, in the order given.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The samples that will be clustered.
    metrics : sequence of str or callable
        Metrics of the silhouettes.
    params_of : callable
        Keywords of a metric.
    pcas : sequence of int, float or None
        Principal components to keep.

    Raises
    ------
    ValueError
        If a number of components is out of range, or a map does not exist for these data.
    TypeError
        If a number of components is no number.
    """
    reductions = {pca: _fitted_pca(X, pca) for pca in pcas}
    frames = []
    for metric, pca in product(metrics, pcas):
        reduction = reductions[pca]
        reduced = X if reduction is None else reduction.transform(X)
        params = params_of(metric)
        frames.append(Frame(metric, params, pca, reduction, geometry_of(reduced, metric, params)))
    return frames


def check_pca(pca: Any, shape: tuple[int, int]) -> list[Components]:
    """Numbers of components as a list, as scikit-learn's PCA takes them.

    Raises
    ------
    ValueError
        If one is out of range, or there is none.
    TypeError
        If one is no number.
    """
    several = isinstance(pca, Iterable) and not isinstance(pca, str)
    pcas = list(dict.fromkeys(pca if several else [pca]))
    if not pcas:
        raise ValueError("pca is empty; pass numbers of components, such as [None, 50].")
    most = min(shape)
    for one in pcas:
        if one is None:
            continue
        if isinstance(one, bool) or not isinstance(one, (int, float, np.integer, np.floating)):
            raise TypeError(f"pca has {one!r}; pass a number of components, a share of the variance under 1, or None.")
        whole = isinstance(one, (int, np.integer))
        if not (1 <= one <= most if whole else 0 < one < 1):
            raise ValueError(
                f"pca={one} is out of range; pass 1 to {most} components (X has {shape[0]} samples of {shape[1]} "
                "features), a share of the variance between 0 and 1, or None for the data as they are."
            )
    return pcas


def check_metrics(metric: Any, metrics: Any, params: Any) -> tuple[list[Metric], Callable[[Metric], dict[str, Any]]]:
    """The metrics asked for, and what gives their keywords.

    Raises
    ------
    ValueError
        If a metric is not known or is precomputed, or if keywords belong to no metric.
    TypeError
        If ``metrics`` is no sequence.
    """
    if metrics is None:
        asked = [metric]
    elif callable(metric) or metric != "euclidean":
        raise ValueError("both metric and metrics are given; pass all of them as metrics.")
    elif isinstance(metrics, str) or not isinstance(metrics, Iterable):
        raise TypeError(f"metrics={metrics!r} is no list; pass several, or a single one as metric={metrics!r}.")
    else:
        asked = list(dict.fromkeys(metrics))
        if not asked:
            raise ValueError("metrics is empty; pass some, such as ['euclidean', 'cosine'].")
    if any(check_metric(one) == "precomputed" for one in asked):
        raise ValueError(
            "metric='precomputed' leaves a sweep no samples to cluster; pass the samples and their metric, or "
            "score labels that you have with silhouette_profile(distances, labels, metric='precomputed')."
        )
    given: Mapping[Any, Any] = params or {}
    if metrics is None:
        return asked, lambda _: dict(given)
    strangers = [name for name in given if name not in asked or not isinstance(given[name], Mapping)]
    if strangers:
        raise ValueError(
            f"metric_params has {strangers[0]!r}; with metrics, pass keywords by metric: "
            "metric_params={'mahalanobis': {'V': covariance}}."
        )
    return asked, lambda one: dict(given.get(one, {}))


@dataclass(frozen=True)
class Effort:
    """What a sweep does beside clustering and scoring, and with what.

    Attributes
    ----------
    n_null, null_size, null_reference, n_stability
        As :class:`fastsil.KMeansSweep` has them.
    seed : int
        Of what is drawn.
    n_jobs : int
        Threads.
    """

    n_null: int
    null_size: int
    null_reference: str
    n_stability: int
    seed: int
    n_jobs: int


@dataclass(frozen=True, eq=False)
class GeometrySweep:
    """What a sweep found in one geometry.

    Attributes
    ----------
    name : str
        Of the geometry, such as ``"cosine, pca 50"``.
    metric : str
        Name of the metric.
    pca : int, float or None
        Principal components kept before.
    frame : Frame
        The geometry; ``frame.apply(X)`` takes new samples there.
    rows : tuple of SweepRow
        One for each k that was tried.
    estimators : dict of int to clusterer
        The fitted clusterer of each k.
    profiles : dict of int to SilhouetteProfile
        For each k that was scored.
    null : NullComparison or None
        Comparison with data without clusters.
    stability : Stability or None
        Agreement of clusterings of parts of the data.
    interrupted : bool
        Whether Ctrl-C ended it before all was done.
    """

    frame: Frame
    rows: tuple[SweepRow, ...]
    estimators: dict[int, Any]
    profiles: dict[int, SilhouetteProfile]
    null: NullComparison | None
    stability: Stability | None
    interrupted: bool

    @property
    def name(self) -> str:
        return self.frame.name

    @property
    def metric(self) -> str:
        return name_of_metric(self.frame.metric)

    @property
    def pca(self) -> Components:
        return self.frame.pca

    @cached_property
    def results(self) -> dict[str, NDArray[Any]]:
        """The rows as columns."""
        return columns_of(self.rows)

    @property
    def best_k(self) -> int:
        """The k of the highest mean silhouette; of equal ones the smallest."""
        # max() keeps the first of equals: the smallest k. A lone k = 1 has no score, yet is the best there is.
        found = [row for row in self.rows if not row.error]
        return max(found, key=lambda row: np.nan_to_num(row.silhouette, nan=-2.0)).n_clusters

    @property
    def best_score(self) -> float:
        return float(self.results["silhouette"][self.results["n_clusters"] == self.best_k][0])

    @property
    def p_value(self) -> float:
        """Of one test for all k against data without clusters; NaN without."""
        return float(np.nan) if self.null is None else self.null.p_value

    @property
    def highest_z(self) -> float:
        """How far the data rise above data without clusters at most, in standard deviations of these; NaN without."""
        z = self.results["null_z"]
        return float(np.nanmax(z)) if np.isfinite(z).any() else float(np.nan)


def sweep_in(
    frame: Frame, X: Any, clusterers: Sequence[Any], effort: Effort, listen: Listener, recall: Recall
) -> GeometrySweep:
    """Cluster, score and compare in one geometry.

    Raises
    ------
    ValueError
        If every k fails.
    KeyboardInterrupt
        If it comes before anything is found.
    """
    data = frame.reduce(X)

    def space_of(samples: Any, n_jobs: int = 1) -> Space:
        return Space(samples, frame.geometry, frame.metric, frame.params, n_jobs)

    stages = Stages(listen, _work(effort, data.shape[0]))
    findings, interrupted = search(space_of(data, effort.n_jobs), clusterers, stages.listener("sweep"), recall)
    null, stability = None, None
    if not interrupted:
        null, stability, interrupted = _compare(data, space_of, findings, effort, stages, recall)
    rows = [finding.row for finding in findings]
    rows = rows if null is None else with_null_columns(rows, null)
    rows = rows if stability is None else with_stability_columns(rows, stability)
    fitted = [finding for finding in findings if not finding.row.error]
    return GeometrySweep(
        frame=frame,
        rows=tuple(rows),
        estimators={finding.row.n_clusters: finding.clusterer for finding in fitted},
        profiles={finding.row.n_clusters: finding.profile for finding in fitted if finding.profile is not None},
        null=null,
        stability=stability,
        interrupted=interrupted,
    )


def choose_geometry(sweeps: Sequence[GeometrySweep]) -> int:
    """Place of the geometry in which the data rise furthest above data without clusters; the first without these.

    Of those with the lowest p-value, the one of the highest z.
    """
    if len(sweeps) == 1 or any(np.isnan(sweep.p_value) or np.isnan(sweep.highest_z) for sweep in sweeps):
        return 0
    return max(range(len(sweeps)), key=lambda place: (-sweeps[place].p_value, sweeps[place].highest_z))


def long_table(sweeps: Sequence[GeometrySweep]) -> dict[str, NDArray[Any]]:
    """Results of several geometries below each other, with columns that tell which."""
    counts = [len(sweep.rows) for sweep in sweeps]
    pcas = [np.nan if sweep.pca is None else float(sweep.pca) for sweep in sweeps]
    return {
        "metric": np.repeat([sweep.metric for sweep in sweeps], counts),
        "pca": np.repeat(pcas, counts),
        **columns_of([row for sweep in sweeps for row in sweep.rows]),
    }


def _fitted_pca(X: Any, pca: Components) -> PCA | None:
    return None if pca is None else PCA(pca, random_state=0).fit(X)


def _work(effort: Effort, n_samples: int) -> dict[str, float]:
    """Work of the stages, in sweeps of all samples."""
    null = effort.n_null and (effort.n_null + 1) * min(effort.null_size, n_samples) / n_samples
    return {"sweep": 1.0, "null sets": null, "stability": 2 * effort.n_stability * share_of_samples(n_samples)}


def _compare(
    data: Any,
    space_of: Callable[[Any], Space],
    findings: Sequence[Finding],
    effort: Effort,
    stages: Stages,
    recall: Recall,
) -> tuple[NullComparison | None, Stability | None, bool]:
    """What was asked for beyond the sweep, and whether Ctrl-C cut it short; None also if no k has a score."""
    scored = [finding for finding in findings if finding.profile is not None]
    clusterers = [finding.asked for finding in scored]
    null, stability = None, None
    try:
        if effort.n_null and scored:
            null = compare_with_null(
                data,
                space_of,
                clusterers,
                ([finding.row.silhouette for finding in scored], [finding.row.inertia for finding in scored]),
                n_null=effort.n_null,
                null_size=effort.null_size,
                reference=effort.null_reference,
                random=generator_for("null sets", effort.seed),
                n_jobs=effort.n_jobs,
                tick=stages.tick("null sets"),
                recall=recall,
            )
        if effort.n_stability and scored:
            stability = measure_stability(
                data,
                space_of,
                clusterers,
                n_stability=effort.n_stability,
                random=generator_for("stability", effort.seed),
                n_jobs=effort.n_jobs,
                tick=stages.tick("stability"),
                recall=recall,
            )
    except KeyboardInterrupt:
        return null, stability, True
    return null, stability, False

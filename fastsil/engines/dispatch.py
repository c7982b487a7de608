"""The table of engines, and calls of the engine for a metric.

The public functions check their input; :func:`compute_terms` picks the engine from one table;
:func:`compute_silhouettes` turns mean distances into silhouettes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances

from fastsil.engines.metric_maps import (
    MappedData,
    directions,
    make_weight_factors,
    run_mapped,
    standardize,
    whiten,
)
from fastsil.engines.rescaling import (
    ScaleBehavior,
    find_far_rows,
    find_reference_behavior,
    is_rounding_harmless,
    make_power_behavior,
    retry_rescaled,
)
from fastsil.engines.scaling import without_empty_columns
from fastsil.engines.terms import SilhouetteTerms, merge_weightless, split_weightless
from fastsil.runtime.lazy_imports import import_on_first_use
from fastsil.runtime.progress import ProgressCallback, only_once, scale_progress
from fastsil.runtime.sklearn_compat import BOOLEAN_METRICS, VALID_METRICS
from fastsil.validation import Metric, check_finite, take_samples
from fastsil.validation.arrays import is_sparse
from fastsil.validation.partition import Partition


@dataclass(frozen=True)
class Route:
    """An engine for a metric, and the map that is applied to the data first.

    Attributes
    ----------
    engine : str
        Module under ``fastsil.engines`` (imported on first use: compiled kernels cost time to load).
    params : tuple of str
        Keywords that ``prepare`` takes; a call with any other goes to scikit-learn.
    prepare : callable, optional
        ``prepare(X, **metric_params)``: X with the map that it is seen after.
    sparse : str
        Engine that takes CSR matrices, if there is one.
    power : float, optional
        Power of the differences that weights ``w`` of the features multiply; 0 where the engine itself takes ``w``.
        None: there are no weights under this name.
    fixed : mapping of str to object
        Keywords with which the engine is always called.
    many_labelings : str
        Engine that serves several partitions in one pass, if there is one.
    scale_behavior : ScaleBehavior, optional
        Range of differences that the engine can resolve; None for engines that check it themselves.
    has_weights : bool
        Whether ``prepare`` multiplies by weights: samples far from 0 then lose digits of their differences.
    """

    engine: str
    params: tuple[str, ...] = ()
    prepare: Callable[..., MappedData] | None = None
    sparse: str = ""
    power: float | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    many_labelings: str = ""
    scale_behavior: ScaleBehavior | None = None
    has_weights: bool = False


SQUARES = ScaleBehavior(power=2, keeps_single=True)
"""Euclidean distance."""

_ROUTES = {
    "mahalanobis": Route(
        "euclidean",
        params=("V", "VI"),
        prepare=whiten,
        many_labelings="euclidean.many_labelings",
        scale_behavior=SQUARES,
    ),
    "seuclidean": Route(
        "euclidean",
        params=("V",),
        prepare=standardize,
        many_labelings="euclidean.many_labelings",
        scale_behavior=SQUARES,
    ),
    "euclidean": Route("euclidean", sparse="sparse", many_labelings="euclidean.many_labelings", scale_behavior=SQUARES),
    "l2": Route("euclidean", sparse="sparse", many_labelings="euclidean.many_labelings", scale_behavior=SQUARES),
    "sqeuclidean": Route(
        "linear", sparse="linear", power=2, fixed={"metric": "sqeuclidean"}, scale_behavior=ScaleBehavior(2, 2)
    ),
    "cosine": Route("linear", sparse="linear", fixed={"metric": "cosine"}, scale_behavior=ScaleBehavior(0)),
    "correlation": Route("linear", sparse="linear", fixed={"metric": "correlation"}, scale_behavior=ScaleBehavior(0)),
    "manhattan": Route("manhattan", sparse="manhattan", scale_behavior=ScaleBehavior()),
    "cityblock": Route("manhattan", sparse="manhattan", scale_behavior=ScaleBehavior()),
    "l1": Route("manhattan", sparse="manhattan", scale_behavior=ScaleBehavior()),
    "precomputed": Route("precomputed", sparse="precomputed", many_labelings="precomputed"),
    "chebyshev": Route("coordinatewise", power=math.inf, fixed={"metric": "chebyshev"}, scale_behavior=ScaleBehavior()),
    "hamming": Route("coordinatewise", power=0, fixed={"metric": "hamming"}),
    "canberra": Route("coordinatewise", power=0, fixed={"metric": "canberra"}),
    "braycurtis": Route("coordinatewise", power=0, fixed={"metric": "braycurtis"}),
}

# Engines whose exact results cost no more than a few readings of the data.
NO_PAIRS = ("linear", "manhattan")

# Samples whose distances to each other are looked at for a diagnosis.
_DIAGNOSED_SAMPLES = 512

# Metrics that a feature which is 0 in every sample does not change.
_BLIND_TO_ZEROS = ("euclidean", "l2", "sqeuclidean", "cosine", "manhattan", "cityblock", "l1")

# Minkowski distances of these powers are metrics with a name and an engine of their own.
_NAMED_POWERS: dict[float, str] = {1: "manhattan", 2: "euclidean", math.inf: "chebyshev"}


def compute_terms(
    X: Any,
    partition: Partition,
    metric: Metric,
    metric_params: dict[str, Any],
    *,
    n_jobs: int,
    tick: ProgressCallback,
) -> SilhouetteTerms:
    """Compute the mean distances of every sample, by the engine for the metric.

    A metric, container or keyword that no engine takes goes to scikit-learn's distances.
    """
    return compute_terms_many(X, [partition], metric, metric_params, n_jobs=n_jobs, tick=tick)[0]


def compute_terms_many(
    X: Any,
    partitions: Sequence[Partition],
    metric: Metric,
    metric_params: dict[str, Any],
    *,
    n_jobs: int,
    tick: ProgressCallback,
) -> list[SilhouetteTerms]:
    """Compute the mean distances of every sample for several partitions; work that is common to them is done once."""
    found = _compute_merged(X, [merge_weightless(one) for one in partitions], metric, metric_params, n_jobs, tick)
    return [split_weightless(terms, one) for terms, one in zip(found, partitions, strict=True)]


def _compute_merged(
    X: Any,
    partitions: Sequence[Partition],
    metric: Metric,
    metric_params: dict[str, Any],
    n_jobs: int,
    tick: ProgressCallback,
) -> list[SilhouetteTerms]:
    """Compute the terms of partitions whose clusters all have weight."""
    X = _compact(X, metric, metric_params)
    given, route = _find_route(X.shape[1], metric, metric_params, sparse=is_sparse(X))
    given |= _weigh_spread(given, route, partitions[0].sample_weight)
    tick = only_once(tick)
    if route is None:
        behavior = find_reference_behavior(metric, metric_params)

        def compute(data: Any) -> list[SilhouetteTerms]:
            return _run_reference(data, partitions, metric, metric_params, n_jobs, tick)
    else:
        behavior = route.scale_behavior

        def compute(data: Any) -> list[SilhouetteTerms]:
            return _run_route(route, data, partitions, n_jobs, tick)

    data = MappedData(X) if route is None or route.prepare is None else route.prepare(X, **given)
    power = 2.0 if route is None or route.power is None else route.power

    def run(mapped: Any) -> list[SilhouetteTerms]:
        found = compute(mapped) if behavior is None else retry_rescaled(compute, mapped, partitions, behavior)
        if route is not None and route.has_weights and mapped.dtype == np.float64:
            _replace_far_rows(found, mapped, route, X, partitions, metric, metric_params)
        return found

    def is_harmless(mapped: NDArray[np.float32], found: list[SilhouetteTerms]) -> bool:
        # Only metrics whose distances grow with the data have a map.
        return behavior is not None and all(
            is_rounding_harmless(mapped, one.larger_means, power, behavior) for one in found
        )

    return run_mapped(data, run, is_harmless)


def _replace_far_rows(
    found: list[SilhouetteTerms],
    mapped: NDArray[Any],
    route: Route,
    X: Any,
    partitions: Sequence[Partition],
    metric: Metric,
    metric_params: dict[str, Any],
) -> None:
    """Compute samples again, by the engine ``reference``, whose weighted values have lost digits."""
    if route.power is None:
        return
    degree = 1 if route.scale_behavior is None else route.scale_behavior.degree
    for place, partition in enumerate(partitions):
        rows = find_far_rows(mapped, found[place].larger_means, route.power, degree)
        if len(rows):
            replace_rows = _engine("reference").replace_rows
            found[place] = replace_rows(found[place], rows, X, partition, metric=metric, metric_params=metric_params)


def compute_center_terms(
    X: Any,
    partition: Partition,
    metric: Metric,
    metric_params: dict[str, Any],
    centers: NDArray[Any] | None,
    *,
    n_jobs: int,
) -> SilhouetteTerms | None:
    """Compute the distances of every sample to the center of its own cluster, and to the nearest other one.

    Parameters
    ----------
    X, partition, metric, metric_params, n_jobs
        As for :func:`compute_terms`.
    centers : ndarray, optional
        Shape (n_clusters, n_features): points. Shape (n_clusters,), integer: rows of X, the medoids. By default means.

    Returns
    -------
    SilhouetteTerms, or None if there is no such center for the metric: points where the metric maps X first, and any
    but medoids where it has no means.
    """
    engine = _engine("linear.centers")
    are_rows = centers is not None and centers.ndim == 1
    if metric in engine.METRICS and not metric_params:
        points: Any = X[centers] if are_rows else centers
        points = points.toarray() if is_sparse(points) else points
    else:
        form = find_euclidean_form(X, metric, metric_params, partition.sample_weight)
        if form is None:
            if not are_rows:
                return None
            compute = _engine("reference").compute_medoid_terms
            found: SilhouetteTerms = compute(X, partition, centers, metric=metric, metric_params=metric_params)
            return found
        if centers is not None and not are_rows:
            return None
        X, metric = form.compute(), "euclidean"
        points = None if centers is None else X[centers]
    points = None if points is None else np.asarray(points, dtype=np.float64)
    terms: SilhouetteTerms = engine.compute_center_terms(X, partition, metric, centers=points, n_jobs=n_jobs)
    return terms


def _run_reference(
    X: Any,
    partitions: Sequence[Partition],
    metric: Metric,
    metric_params: dict[str, Any],
    n_jobs: int,
    tick: ProgressCallback,
) -> list[SilhouetteTerms]:
    engine = _engine("reference")
    part = scale_progress(tick, 1 / len(partitions))
    return [
        engine.compute_terms(X, partition, metric=metric, n_jobs=n_jobs, tick=part, metric_params=metric_params)
        for partition in partitions
    ]


def find_euclidean_form(
    X: Any, metric: Metric, metric_params: dict[str, Any], sample_weight: NDArray[np.float64] | None = None
) -> MappedData | None:
    """Return data whose Euclidean distances are the distances of the metric; None where there are none."""
    X = _compact(X, metric, metric_params)
    given, route = _find_route(X.shape[1], metric, metric_params, sparse=is_sparse(X))
    if route is None or _engine_on(route, sparse=is_sparse(X)) != "euclidean":
        return None
    if route.prepare is None:
        return MappedData(X)
    return route.prepare(X, **given, **_weigh_spread(given, route, sample_weight))


def find_engine(X: Any, metric: Metric, metric_params: dict[str, Any]) -> str:
    """Name of the engine that computes the metric for such data."""
    X = _without_idle_columns(X, metric, metric_params)
    sparse = is_sparse(X) and not _is_smaller_dense(X, metric)
    route = _find_route(X.shape[1], metric, metric_params, sparse=sparse)[1]
    return "reference" if route is None else _engine_on(route, sparse=sparse)


def estimate_pass_seconds(X: Any, metric: Metric, metric_params: dict[str, Any], *, n_jobs: int) -> float:
    """Estimate the time of a pass that serves several partitions at once; 0 for a metric without an engine for it."""
    route = _find_route(X.shape[1], metric, metric_params, sparse=is_sparse(X))[1]
    if route is None or not _takes_many(route, X):
        return 0.0
    many_labelings = _engine(route.many_labelings)
    return float(many_labelings.estimate_seconds(X.shape, n_jobs))


def _find_route(
    n_features: int, metric: Metric, metric_params: dict[str, Any], *, sparse: bool
) -> tuple[dict[str, Any], Route | None]:
    """Return the keywords that the data are prepared with, and the route; without a route, the metric is
    scikit-learn's.
    """
    if metric == "precomputed":
        return {}, _ROUTES[metric]
    given = dict(metric_params)
    route = _ROUTES.get(metric) if isinstance(metric, str) else None
    if metric == "minkowski" and not sparse:  # scikit-learn refuses sparse data under this name
        route = _minkowski_route(given.pop("p", 2))
    if route is not None and route.power is not None and "w" in given and not sparse:
        w = given.pop("w")
        route = route if w is None else _weighted_route(route, route.power, w, n_features)
    if route is None or not set(given) <= set(route.params) or (sparse and not route.sparse):
        return {}, None
    return {name: value for name, value in given.items() if value is not None}, route


def _weigh_spread(
    given: dict[str, Any], route: Route | None, sample_weight: NDArray[np.float64] | None
) -> dict[str, Any]:
    """Return the weights as a keyword of the map that measures the spread of the data, where none is given."""
    measures = route is not None and "V" in route.params and not given.keys() & {"V", "VI"}
    return {"sample_weight": sample_weight} if measures and sample_weight is not None else {}


def _compact(X: Any, metric: Metric, metric_params: dict[str, Any]) -> Any:
    """Drop columns of a CSR matrix that do not count, or return it as an array if that takes no more memory."""
    X = _without_idle_columns(X, metric, metric_params)
    return X.toarray() if is_sparse(X) and _is_smaller_dense(X, metric) else X


def _without_idle_columns(X: Any, metric: Metric, metric_params: dict[str, Any]) -> Any:
    """Drop the empty columns of a CSR matrix with more columns than entries, for a metric that ignores them.

    Hashed words, for example, may have any number of columns.
    """
    idle = is_sparse(X) and metric in _BLIND_TO_ZEROS and not metric_params and X.shape[1] > X.nnz > 0
    return without_empty_columns(X) if idle else X


def _is_smaller_dense(X: Any, metric: Metric) -> bool:
    if metric not in ("euclidean", "l2"):
        return False
    held = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    return bool(X.shape[0] * X.shape[1] * X.dtype.itemsize <= held)


def _run_route(
    route: Route, X: Any, partitions: Sequence[Partition], n_jobs: int, tick: ProgressCallback
) -> list[SilhouetteTerms]:
    """Run the partitions that are worth one pass together, then the others one by one."""
    together: list[int] = []
    terms: dict[int, SilhouetteTerms] = {}
    if len(partitions) > 1 and _takes_many(route, X):
        many_labelings = _engine(route.many_labelings)
        together = many_labelings.choose_together(partitions, X.shape[1])
    alone = [place for place in range(len(partitions)) if place not in set(together)]
    part = scale_progress(tick, 1 / (len(alone) + bool(together)))
    if together:
        found = many_labelings.compute_terms_many(
            X, [partitions[place] for place in together], n_jobs=n_jobs, tick=part
        )
        terms.update(zip(together, found, strict=True))
    for place in alone:
        name, fixed = _choose_engine(route, X, partitions[place])
        terms[place] = _engine(name).compute_terms(X, partitions[place], n_jobs=n_jobs, tick=part, **fixed)
    return [terms[place] for place in range(len(partitions))]


def _choose_engine(route: Route, X: Any, partition: Partition) -> tuple[str, Mapping[str, Any]]:
    """Return the engine for a partition, and its keywords: of very many clusters, all pairs cost less than sorting."""
    name = _engine_on(route, sparse=is_sparse(X))
    if name == "manhattan" and not is_sparse(X) and _engine(name).pairs_cost_less(partition, X.shape[1]):
        return "coordinatewise", {"metric": "minkowski", "p": 1.0}
    return name, route.fixed


def _engine_on(route: Route, *, sparse: bool) -> str:
    return route.sparse if sparse else route.engine


def _takes_many(route: Route, X: Any) -> bool:
    return bool(route.many_labelings) and (not is_sparse(X) or route.many_labelings == route.sparse)


def _engine(name: str) -> Any:
    return import_on_first_use(f"fastsil.engines.{name}")


def _minkowski_route(p: Any) -> Route | None:
    """Return the route for a power; None where no engine of its own exists."""
    if not isinstance(p, (int, float, np.number)) or not p > 0:
        return None
    if float(p) in _NAMED_POWERS:
        return replace(_ROUTES[_NAMED_POWERS[float(p)]], power=float(p))
    fixed = {"metric": "minkowski", "p": float(p)}
    return Route("coordinatewise", power=float(p), fixed=fixed, scale_behavior=make_power_behavior(float(p)))


def _weighted_route(route: Route, power: float, w: Any, n_features: int) -> Route | None:
    """Return the route for features with weights; None for weights that scikit-learn refuses or interprets."""
    try:
        weights = np.asarray(w, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    if weights.shape != (n_features,) or not (weights >= 0).all():
        return None
    factors = make_weight_factors(weights, power or 1.0)
    if not 0 < factors.max() < np.inf:
        return None
    if power == 0:
        return replace(route, fixed={**route.fixed, "w": weights})
    if power < 1:
        return None  # the roundings of a sample's features add up to more than that of their sum
    return replace(route, prepare=partial(MappedData, W=factors), has_weights=True)


def find_coordinates(X: Any, metric: str, metric_params: dict[str, Any]) -> Any:
    """Return coordinates in which means and squared Euclidean distances belong to the metric; None for distances.

    Truth values become numbers.

    Whitened for Mahalanobis, rows of length 1 for cosine; unchanged for metrics without such coordinates.
    """
    if metric == "precomputed":
        return None
    if metric in ("cosine", "correlation"):
        return directions(X, centered=metric == "correlation")
    return _find_coordinates(X, metric, metric_params).compute()


def _find_coordinates(X: Any, metric: str, metric_params: dict[str, Any]) -> MappedData:
    prepare = _ROUTES[metric].prepare if metric in _ROUTES else None
    X = X.astype(np.float64) if X.dtype == bool else X
    return MappedData(X) if prepare is None else prepare(X, **metric_params)


def distances_between_some(X: Any, metric: str, metric_params: dict[str, Any]) -> tuple[Any, Any]:
    """Return some samples, chosen by their number alone, and their distances; None twice for a metric without a
    name.
    """
    if metric not in VALID_METRICS:
        return None, None
    rows = np.sort(np.random.default_rng(0).permutation(X.shape[0])[:_DIAGNOSED_SAMPLES])
    if metric == "precomputed":
        sparse = is_sparse(X)
        drawn: Any = take_samples(X, rows, metric)
        check_finite(drawn)
        return rows, (drawn.astype(np.float64).toarray() if sparse else np.asarray(drawn, dtype=np.float64))
    if metric in _ROUTES and _ROUTES[metric].prepare is not None:
        # By the covariance of all samples, not of the few.
        return rows, pairwise_distances(_find_coordinates(X, metric, metric_params).take(rows).compute())
    some = X[rows].astype(bool if metric in BOOLEAN_METRICS else np.float64)
    return rows, pairwise_distances(some, metric=metric, **metric_params)

"""Geometries that are asked for: a metric after an optional reduction by principal components, made for some data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from sklearn.decomposition import PCA

from fastsil.sweep.clusterers import Geometry, geometry_of
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
    made = {}
    for pca in pcas:
        reduction = _fitted_pca(X, pca)
        reduced = X if reduction is None else reduction.transform(X)
        for metric in metrics:
            params = params_of(metric)
            made[metric, pca] = Frame(metric, params, pca, reduction, geometry_of(reduced, metric, params))
    return [made[wanted] for wanted in product(metrics, pcas)]


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


def _fitted_pca(X: Any, pca: Components) -> PCA | None:
    return None if pca is None else PCA(pca, random_state=0).fit(X)

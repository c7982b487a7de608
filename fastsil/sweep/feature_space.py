"""Feature spaces: a metric after an optional reduction by principal components, and the map in front of k-means."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.decomposition import PCA

from fastsil.engines.metric_maps import (
    apply_map,
    directions,
    mahalanobis_map,
    seuclidean_map,
    typical_row,
    whiten_own_subspace,
)
from fastsil.sweep.block_kmeans import are_blocks
from fastsil.validation import Metric, check_data, check_metric, check_metric_params, get_metric_name

Components = int | float | None


@dataclass(frozen=True)
class FeatureSpace:
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
    note : str
        What users should know of the map; mostly empty.
    row_dtype : dtype or None
        Type in which a callable metric gets the rows, as the data were given.
    """

    metric: Metric
    params: dict[str, Any]
    pca: Components
    reduction: PCA | None
    geometry: FeatureMap
    note: str = ""
    row_dtype: np.dtype[Any] | None = None

    @property
    def name(self) -> str:
        """Such as ``"cosine, pca 50"``."""
        return name_space(self.metric, self.pca)

    def reduce(self, X: Any) -> Any:
        """Return samples as they are scored; those in blocks stay in blocks."""
        if self.reduction is None:
            return X
        return X.map_rows(self._project) if are_blocks(X) else self._project(X)

    def place(self, X: Any) -> Any:
        """Return samples as they are clustered, from those of :meth:`reduce`."""
        if isinstance(self.geometry, Identity):
            return X
        return X.map_rows(self.geometry.apply) if are_blocks(X) else self.geometry.apply(X)

    def apply(self, X: Any) -> Any:
        """Return samples as they are clustered."""
        return self.place(self.reduce(X))

    def _project(self, X: NDArray[Any]) -> NDArray[Any]:
        assert self.reduction is not None
        return np.ascontiguousarray(self.reduction.transform(X))


@dataclass(frozen=True)
class FailedSpace:
    """A geometry in which the data could not be clustered, and why."""

    metric: Metric
    pca: Components
    error: Exception

    @property
    def name(self) -> str:
        return name_space(self.metric, self.pca)

    @property
    def reason(self) -> str:
        return " ".join(str(self.error).split()) or type(self.error).__name__


def name_space(metric: Metric, pca: Components) -> str:
    """Return a name such as ``"cosine, pca 50"``."""
    name = get_metric_name(metric)
    return name if pca is None else f"{name}, pca {pca:g}"


def make_feature_spaces(
    X: Any,
    metrics: Sequence[Metric],
    params_of: Callable[[Metric], dict[str, Any]],
    pcas: Sequence[Components],
    *,
    given: Any,
    sample_weight: NDArray[np.float64] | None = None,
) -> list[FeatureSpace | FailedSpace]:
    """Make a space for every metric after every reduction, in the order given.

    Of several, those that do not exist for these data are returned as failed.

    Parameters
    ----------
    X : ndarray, CSR matrix or RowBlocks of shape (n_samples, n_features)
        The samples that will be clustered.
    metrics : sequence of str or callable
        Metrics of the silhouettes.
    params_of : callable
        Keywords of a metric.
    pcas : sequence of int, float or None
        Principal components to keep.
    given : array-like
        The samples as they were given, in whose type a callable gets their rows.
    sample_weight : ndarray of shape (n_samples,), optional
        How often each sample counts in a covariance.

    Raises
    ------
    ValueError
        If none of them exists for these data, or one does not because of its keywords.
    """
    made: dict[tuple[Metric, Components], FeatureSpace | FailedSpace] = {}
    row_dtype = _find_row_dtype(given, metrics)
    if are_blocks(X):
        X = _make_stand_in(X, of_pairs="mahalanobis" in metrics or any(pca is not None for pca in pcas))
    for pca in pcas:
        try:
            reduction = _fit_pca(X, pca)
            reduced = X if reduction is None else reduction.transform(X)
        except (ValueError, TypeError) as error:
            made |= {(metric, pca): FailedSpace(metric, pca, error) for metric in metrics}
            continue
        for metric in metrics:
            try:
                space = _make_space(reduced, metric, params_of(metric), pca, reduction, sample_weight)
                made[metric, pca] = replace(space, row_dtype=row_dtype if callable(metric) and pca is None else None)
            except ValueError as error:
                if params_of(metric):
                    raise
                made[metric, pca] = FailedSpace(metric, pca, error)
    spaces = [made[wanted] for wanted in product(metrics, pcas)]
    raise_if_all_failed(spaces)
    return spaces


def _make_stand_in(X: Any, *, of_pairs: bool) -> NDArray[np.float64]:
    """Return few samples that have the mean and the covariance of samples in blocks, all that maps are made from.

    Two for each axis; without ``of_pairs`` the features vary one by one.
    """
    moments = X.compute_products() if of_pairs else X.moments
    n_features, n_samples = X.shape[1], X.shape[0]
    if of_pairs:
        values, vectors = np.linalg.eigh(moments.scatter)
    else:
        values, vectors = moments.scatter, np.eye(n_features)
    # Of 2 n_features samples, each axis has two; n - 1 in the denominators.
    share = (2 * n_features - 1) / 2 / max(n_samples - 1, 1)
    axes = vectors.T * np.sqrt(np.maximum(values, 0.0) * share)[:, None]
    return np.asarray(moments.mean + np.concatenate([axes, -axes]))


def _find_row_dtype(X: Any, metrics: Sequence[Metric]) -> np.dtype[Any] | None:
    """Return the type in which callables among the metrics get the rows of X; None without."""
    asked = [metric for metric in metrics if callable(metric)]
    return np.dtype(check_data(X, metric=asked[0], warns=False).dtype) if asked else None


def raise_if_all_failed(outcomes: Sequence[Any]) -> None:
    """Raise the error of the first of the geometries, if all have failed."""
    failed = [outcome for outcome in outcomes if isinstance(outcome, FailedSpace)]
    if failed and len(failed) == len(outcomes):
        raise failed[0].error


def _make_space(
    reduced: Any,
    metric: Metric,
    params: dict[str, Any],
    pca: Components,
    reduction: PCA | None,
    sample_weight: NDArray[np.float64] | None,
) -> FeatureSpace:
    """Make a space; where the covariance of the data has no inverse, in the subspace in which they lie."""
    try:
        return FeatureSpace(metric, params, pca, reduction, make_feature_map(reduced, metric, params, sample_weight))
    except np.linalg.LinAlgError:
        if params:
            raise
        W = whiten_own_subspace(reduced, sample_weight)
    note = (
        f"the covariance has rank {W.shape[1]:,} of {W.shape[0]:,} features; distances are measured in the directions "
        "in which the data spread, by the pseudo-inverse."
    )
    # The keywords with which the scoring functions give the same silhouettes.
    params = {"VI": W @ W.T}
    return FeatureSpace(metric, params, pca, reduction, LinearMap(_mean(reduced), W), note)


def check_pca(pca: Any, shape: tuple[int, int]) -> list[Components]:
    """Return numbers of components as a list, as scikit-learn's PCA takes them.

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
    """Return the requested metrics, and a function that returns their keywords.

    Parameters
    ----------
    metric : str, callable or iterable of these
        One metric or several.
    metrics : iterable of str or callable, optional
        Several, by the old name of the parameter.
    params : mapping or None
        Keywords of one metric; of several, keywords by metric.

    Raises
    ------
    ValueError
        If a metric is not known or is precomputed, or if keywords belong to no metric.
    TypeError
        If ``metrics`` is no sequence.

    Warns
    -----
    FutureWarning
        If ``metrics`` is given.
    """
    if metrics is not None:
        warnings.warn("metrics is now called metric, which takes one or several.", FutureWarning, stacklevel=3)
        if callable(metric) or metric != "euclidean":
            raise ValueError("both metric and metrics are given; pass all of them as metric.")
        if isinstance(metrics, str) or not isinstance(metrics, Iterable):
            raise TypeError(f"metrics={metrics!r} is no list; pass metric={metrics!r}.")
        metric = metrics
    single = isinstance(metric, str) or not isinstance(metric, Iterable)
    asked = [metric] if single else list(dict.fromkeys(metric))
    if not asked:
        raise ValueError("metric is empty; pass one, or several such as ['euclidean', 'cosine'].")
    if any(check_metric(one) == "precomputed" for one in asked):
        raise ValueError(
            "metric='precomputed' leaves k-means no samples to cluster; pass the samples and their metric, or sweep a "
            "clusterer that takes distances with SilhouetteSweep."
        )
    given: Mapping[Any, Any] = params or {}
    if single:
        check_metric_params(asked[0], given)
        return asked, lambda _: dict(given)
    strangers = [name for name in given if name not in asked or not isinstance(given[name], Mapping)]
    if strangers:
        raise ValueError(
            f"metric_params has {strangers[0]!r}; with several metrics, pass keywords by metric: "
            "metric_params={'mahalanobis': {'V': covariance}}."
        )
    for name, of_one in given.items():
        check_metric_params(name, of_one)
    return asked, lambda one: dict(given.get(one, {}))


def _fit_pca(X: Any, pca: Components) -> PCA | None:
    return None if pca is None else PCA(pca, random_state=0).fit(X)


@dataclass(frozen=True)
class Identity:
    """The data as they are."""

    def apply(self, X: Any) -> Any:
        return X


@dataclass(frozen=True)
class UnitRows:
    """Rows of length 1, each centered before if ``centered``: cosine (correlation) distance becomes Euclidean."""

    centered: bool = False

    def apply(self, X: Any) -> Any:
        return directions(X, centered=self.centered)


@dataclass(frozen=True)
class LinearMap:
    """``(x - mean) W``, after which a metric is the Euclidean one; for new samples too.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
        Mean of the samples that were clustered.
    W : ndarray of shape (n_features, n_features) or (n_features,)
        As :func:`fastsil.engines.metric_maps.apply_map` takes it.
    """

    mean: NDArray[np.float64]
    W: NDArray[np.float64]

    @property
    def whitens(self) -> bool:
        """Return whether directions are mapped too, and not features scaled only."""
        return self.W.ndim == 2

    def apply(self, X: Any) -> Any:
        # apply_map subtracts a typical row of its samples; the rest of the shift leads from there to our mean.
        shift = typical_row(X) - self.mean
        return apply_map(X, self.W) + (shift * self.W if self.W.ndim == 1 else shift @ self.W)


FeatureMap = Identity | UnitRows | LinearMap
_LINEAR_MAPS: dict[str, Callable[..., NDArray[np.float64]]] = {
    "mahalanobis": mahalanobis_map,
    "seuclidean": seuclidean_map,
}


_ROW_MAPS: dict[str, FeatureMap] = {"cosine": UnitRows(), "correlation": UnitRows(centered=True)}
_MAKE_DENSE = {*_LINEAR_MAPS, "correlation"}


def make_feature_map(
    X: Any, metric: Metric, params: dict[str, Any], sample_weight: NDArray[np.float64] | None = None
) -> FeatureMap:
    """Make the map in front of a clusterer that stands for a metric; the identity if there is none.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The samples that will be clustered.
    metric : str or callable
        Metric of the silhouettes.
    params : dict
        Its keywords.
    sample_weight : ndarray of shape (n_samples,), optional
        How often each sample counts in a covariance.

    Raises
    ------
    ValueError
        If X is sparse and the map would make it dense, or if a parameter is wrong.
    """
    name = metric if isinstance(metric, str) else ""
    if issparse(X) and name in _MAKE_DENSE:
        raise ValueError(f"metric={name!r} makes sparse X dense; pass X.toarray(), or reduce X by TruncatedSVD.")
    if name in _LINEAR_MAPS:
        return LinearMap(_mean(X), _LINEAR_MAPS[name](X, **params, sample_weight=sample_weight))
    return _ROW_MAPS.get(name, Identity())


def _mean(X: Any) -> NDArray[np.float64]:
    return np.asarray(X.mean(axis=0, dtype=np.float64))

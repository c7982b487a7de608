"""Fits of a clusterer for the values of a parameter: labels, numbers of clusters, noise."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.metrics import pairwise_distances_argmin

from fastsil.report.words import join_words
from fastsil.runtime.progress import ProgressCallback
from fastsil.scoring.profile import SilhouetteProfile
from fastsil.sweep.results import ParameterRow
from fastsil.validation import check_part_labels, check_takes_weights, have_another_label, mark_scored

NOISE = -1
"""Label of samples that belong to no cluster, in scikit-learn and in the packages that follow it."""


@dataclass(frozen=True)
class ParameterFit:
    """Results for one value: its row, the fitted clusterer, the labels; None where it failed or is not scored."""

    row: ParameterRow
    clusterer: Any = None
    labels: Any = None
    profile: SilhouetteProfile | None = None
    sample_weight: NDArray[np.float64] | None = None

    @property
    def can_be_scored(self) -> bool:
        """Return whether there are two clusters, and fewer than samples in them; with weights, those that count."""
        if self.labels is None or self.row.n_clusters < 2:
            return False
        kept = have_another_label(self.labels, NOISE)
        weights = None if self.sample_weight is None else self.sample_weight[kept]
        return check_part_labels(self.labels[kept], int(kept.sum())).weighted(weights).has_silhouettes

    @property
    def has_noise(self) -> bool:
        """Return whether a sample belongs to no cluster."""
        return self.labels is not None and not bool(have_another_label(self.labels, NOISE).all())


def make_for_values(estimator: Any, param_name: str, values: Sequence[Any], seed: int) -> list[Any]:
    """Make one unfitted clusterer for each value; a callable is wrapped, and called with the value.

    Raises
    ------
    ValueError
        If there are no values.
    TypeError
        If the estimator is no clusterer, or has no such parameter.
    """
    if not values:
        raise ValueError(f"values is empty; pass the values of {param_name} to try.")
    if not hasattr(estimator, "get_params") or isinstance(estimator, type):
        if callable(estimator) and not isinstance(estimator, type):
            return [_Called(estimator, value) for value in values]
        raise TypeError(f"estimator={estimator!r} is no clusterer; pass one such as HDBSCAN(), or a callable.")
    params = estimator.get_params()
    if param_name not in params:
        near = join_words(sorted(name for name in params if "__" not in name))
        raise TypeError(f"{type(estimator).__name__} has no parameter {param_name!r}; it has {near}.")
    is_open = "random_state" in params and params["random_state"] is None and param_name != "random_state"
    random_state = {"random_state": seed} if is_open else {}
    return [clone(estimator).set_params(**{param_name: value}, **random_state) for value in values]


@dataclass(frozen=True)
class _Called:
    """A callable in the place of a clusterer."""

    function: Callable[[Any, Any], Any]
    value: Any

    def fit_predict(self, X: Any) -> Any:
        return self.function(X, self.value)


def fit_all(
    clusterers: Sequence[Any],
    values: Sequence[Any],
    X: Any,
    tick: ProgressCallback,
    sample_weight: NDArray[np.float64] | None = None,
) -> list[ParameterFit]:
    """Fit every clusterer, and count clusters and noise; failures are recorded.

    With weights, which a callable is not given, the share of noise is that of the weight.
    """
    fits = []
    for clusterer, value in zip(clusterers, values, strict=True):
        started = time.perf_counter()
        try:
            labels, _ = mark_scored(_get_labels(clusterer, X, sample_weight), X.shape[0], None)
            kept = have_another_label(labels, NOISE)
            share = float(1 - np.average(kept, weights=sample_weight))
            row = ParameterRow(n_clusters=len(np.unique(labels[kept])), value=value, noise_share=share)
            row = replace(row, n_found=row.n_clusters, fit_seconds=time.perf_counter() - started)
            fits.append(
                ParameterFit(row, getattr(clusterer, "function", clusterer), labels, sample_weight=sample_weight)
            )
        except Exception as error:
            row = ParameterRow(0, value=value, noise_share=np.nan, error=f"{type(error).__name__}: {error}")
            fits.append(ParameterFit(row))
        tick(1 / len(values))
    return fits


def check_weighable(clusterers: Sequence[Any]) -> None:
    """Raise a TypeError if clusterers take no weights; a function may have them of its own."""
    if not isinstance(clusterers[0], _Called):
        check_takes_weights(clusterers[0])


def _get_labels(clusterer: Any, X: Any, sample_weight: NDArray[np.float64] | None) -> Any:
    """Fit, and return the labels: mixtures keep none."""
    weighted = sample_weight is not None and not isinstance(clusterer, _Called)
    if hasattr(clusterer, "fit_predict") and not weighted:
        return clusterer.fit_predict(X)
    clusterer.fit(X, **({"sample_weight": sample_weight} if weighted else {}))
    return clusterer.labels_ if hasattr(clusterer, "labels_") else clusterer.predict(X)


def add_scores(row: ParameterRow, profile: SilhouetteProfile, seconds: float) -> ParameterRow:
    """Return the row with the scores of a profile."""
    return replace(
        row,
        silhouette=profile.score,
        macro_silhouette=profile.macro_score,
        score=profile.score * (1 - row.noise_share),
        n_negative=profile.n_negative,
        n_zero=profile.n_zero,
        n_positive=profile.n_positive,
        score_seconds=seconds,
    )


def find_best(fits: Sequence[ParameterFit]) -> dict[int, ParameterFit]:
    """Return for each number of clusters the fit of the highest score, the first of equal ones; k rises."""
    best: dict[int, ParameterFit] = {}
    for fit in fits:
        k = fit.row.n_clusters
        if fit.profile is not None and (k not in best or fit.row.score > best[k].row.score):
            best[k] = fit
    return dict(sorted(best.items()))


def assign_noise(X: Any, fit: ParameterFit) -> NDArray[Any]:
    """Return the labels, noise with that of the nearest mean of a cluster: the test of gaps takes all samples."""
    labels = np.array(fit.labels)
    if not fit.has_noise:
        return labels
    kept = have_another_label(labels, NOISE)
    classes = np.unique(labels[kept])
    means = np.vstack([np.asarray(X[labels == label].mean(axis=0)).reshape(1, -1) for label in classes])
    labels[~kept] = classes[pairwise_distances_argmin(X[~kept], means)]
    return labels

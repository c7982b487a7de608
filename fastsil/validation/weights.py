"""Weights of samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import has_fit_parameter

from fastsil.validation.arrays import is_missing

# Between these, sums of weights times distances neither overflow nor vanish.
_SMALLEST, _LARGEST = 1e-100, 1e100


def check_sample_weight(sample_weight: Any, n_samples: int) -> NDArray[np.float64] | None:
    """Return the weights of all samples as float64, or None.

    Raises
    ------
    ValueError
        If there is not one weight for each sample; or one is missing, infinite, negative or of extreme size; or all
        are 0.
    TypeError
        If weights are no numbers, or a Dask array.
    """
    if sample_weight is None:
        return None
    if hasattr(sample_weight, "__dask_graph__"):
        raise TypeError("sample_weight is a collection of Dask; pass an array in memory: sample_weight.compute().")
    given = np.asarray(sample_weight)
    if given.ndim != 1 or len(given) != n_samples:
        raise ValueError(
            f"sample_weight has shape {given.shape} but X has {n_samples} rows; pass one weight per row of X, or None "
            "where each counts once."
        )
    if given.dtype == object:
        given = np.array([np.nan if is_missing(weight) else weight for weight in given])
    if given.dtype.kind not in "biuf":
        raise TypeError(f"sample_weight has type {given.dtype}; pass numbers that are not negative.")
    weights = given.astype(np.float64)
    wrong = ~((weights == 0) | ((weights >= _SMALLEST) & (weights <= _LARGEST)))
    for row in np.flatnonzero(wrong)[:1]:
        raise ValueError(
            f"sample_weight has {weights[row]:g} at row {row}; pass 0 (the sample does not count) or a number between "
            f"{_SMALLEST:g} and {_LARGEST:g}."
        )
    if not weights.any():
        raise ValueError("sample_weight is zero for all samples, so that none counts; pass weights that are positive.")
    return weights


def refuse_sample_weight(sample_weight: Any, what: str, remedy: str) -> None:
    """Raise a TypeError where weights are given and there is no way to take them into account."""
    if sample_weight is not None:
        raise TypeError(f"{what} takes no sample_weight; {remedy}")


def check_takes_weights(clusterer: Any) -> None:
    """Raise a TypeError if a clusterer's ``fit`` takes no weights: it would cluster otherwise than it is judged."""
    if clusterer is not None and not has_fit_parameter(clusterer, "sample_weight"):
        name = type(clusterer).__name__
        raise TypeError(
            f"{name}.fit takes no sample_weight, so that its clusters would not follow the weights by which they are "
            f"judged. Pass a clusterer that takes it, such as KMeans or DBSCAN, or score the labels of {name} by "
            "silhouette_profile(X, labels, sample_weight=...)."
        )

"""All checks of user input, once, in the public functions. The packages below rely on them.

Errors have scikit-learn's types and name the argument, the value that came, the value wanted, and the remedy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.validation.arguments import (
    Metric,
    check_average,
    check_confidence,
    check_integer,
    check_metric,
    check_refine_to,
    check_sample_size,
    check_space,
    check_tol,
    check_undefined,
    get_metric_name,
)
from fastsil.validation.centers import check_centers
from fastsil.validation.containers import unpack_samples
from fastsil.validation.data import check_data, check_finite, is_dask_array, take_samples
from fastsil.validation.distances import check_distance_row, check_distances_between, diagonal_tolerance
from fastsil.validation.keywords import check_metric_params
from fastsil.validation.labels import (
    check_drawn,
    check_ignored,
    check_labelings,
    check_labels,
    check_n_classes,
    check_part_labels,
    check_scored_labels,
    check_weighted,
    have_another_label,
    mark_scored,
)
from fastsil.validation.mistakes import check_sparse, look_like_distances, warn_of_order
from fastsil.validation.partition import Partition
from fastsil.validation.weights import check_sample_weight, check_takes_weights, refuse_sample_weight

__all__ = [
    "Metric",
    "check_average",
    "check_centers",
    "check_confidence",
    "check_data",
    "check_distance_row",
    "check_drawn",
    "check_finite",
    "check_ignored",
    "check_integer",
    "check_labelings",
    "check_labels",
    "check_metric",
    "check_metric_params",
    "check_n_classes",
    "check_part_labels",
    "check_refine_to",
    "check_sample_size",
    "check_sample_weight",
    "check_scored",
    "check_scored_labels",
    "check_space",
    "check_sparse",
    "check_takes_weights",
    "check_tol",
    "check_undefined",
    "check_weighted",
    "diagonal_tolerance",
    "get_metric_name",
    "have_another_label",
    "is_dask_array",
    "look_like_distances",
    "mark_scored",
    "refuse_sample_weight",
    "take_rows",
    "take_samples",
    "take_scored",
    "unpack_samples",
    "warn_of_order",
]


def check_scored(
    X: Any,
    labels: Any,
    metric: Metric,
    metric_params: Mapping[str, Any],
    ignore_label: Any,
    sample_weight: Any = None,
) -> tuple[Any, Partition, NDArray[np.bool_] | None]:
    """Return data and partition of the samples that are scored, and which these are (None for all)."""
    check_metric(metric)
    check_metric_params(metric, metric_params)
    warn_of_order(X, labels)
    warn_of_order(X, sample_weight, "sample_weight")
    X = check_data(X, metric=metric)
    sample_weight = check_sample_weight(sample_weight, X.shape[0])
    partition, kept = check_scored_labels(labels, X.shape[0], ignore_label, sample_weight)
    if kept is None:
        return X, partition, None
    return take_scored(X, kept, metric), partition, kept


def take_scored(X: Any, kept: NDArray[np.bool_], metric: Metric) -> Any:
    """Copy the samples of checked data that are scored; of distances, those between them."""
    return take_rows(X, np.flatnonzero(kept), metric)


def take_rows(X: Any, rows: NDArray[np.intp], metric: Metric) -> Any:
    """Copy some samples of checked data, in the order of X; of distances, those between them."""
    drawn = take_samples(X, rows, metric)
    if metric == "precomputed":
        # Here, where rows have the caller's numbers.
        check_distances_between(X, rows, drawn)
    return drawn

"""Centers of clusters that users pass: points, or the rows of medoids."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.validation.containers import unpack_samples
from fastsil.validation.partition import Partition


def check_centers(
    centers: Any, n_features: int, partition: Partition, kept: NDArray[np.bool_] | None
) -> NDArray[Any] | None:
    """Return centers as float64 points (n_clusters, n_features), or as rows of the samples that are scored.

    Parameters
    ----------
    centers : array-like or None
        Points, one for each label in sorted order; or rows of X, one in each cluster, in any order.
    n_features : int
        Number of features of X.
    partition : Partition
        Samples that are scored, grouped by cluster.
    kept : ndarray of shape (n_rows_of_X,), bool, optional
        Which rows of X these samples are; None for all.

    Raises
    ------
    ValueError
        If there is not one center for each cluster, or a point is not finite.
    """
    if centers is None:
        return None
    given = np.asarray(unpack_samples(centers))
    if given.ndim == 1 and given.dtype.kind in "iu":
        return _check_medoids(given, partition, kept)
    if given.dtype.kind not in "fiu" or given.shape != (partition.n_clusters, n_features):
        raise ValueError(
            f"centers has shape {given.shape} and type {given.dtype}; pass one point for each label, sorted by label, "
            f"of shape ({partition.n_clusters}, {n_features}); or the rows of {partition.n_clusters} medoids, integers."
        )
    points = given.astype(np.float64)
    wrong = np.argwhere(~np.isfinite(points))
    for row, column in wrong[:1]:
        raise ValueError(f"centers has {points[row, column]} at row {row}, column {column}; pass finite numbers.")
    return points


def _check_medoids(rows: NDArray[Any], partition: Partition, kept: NDArray[np.bool_] | None) -> NDArray[np.intp]:
    """Return the rows of medoids in the order of the clusters, counted among the samples that are scored."""
    places = np.arange(partition.n_samples) if kept is None else np.flatnonzero(kept)
    found = np.searchsorted(places, rows)
    known = (rows >= 0) & (found < len(places))
    known[known] = places[found[known]] == rows[known]
    for row in rows[~known][:1]:
        n_rows = partition.n_samples if kept is None else len(kept)
        why = f"X has rows 0 to {n_rows - 1}" if not 0 <= row < n_rows else "ignore_label leaves it out"
        raise ValueError(f"centers has the medoid {row}, but {why}.")
    codes = partition.codes[found]
    if len(rows) != partition.n_clusters or len(np.unique(codes)) != len(rows):
        missing = np.setdiff1d(np.arange(partition.n_clusters), codes)
        lacking = f"; label {partition.classes[missing].tolist()[0]!r} has none" if len(missing) else ""
        raise ValueError(
            f"centers has {len(rows)} medoids for {partition.n_clusters} labels{lacking}. Pass one row for each label."
        )
    return np.asarray(found[np.argsort(codes)], dtype=np.intp)

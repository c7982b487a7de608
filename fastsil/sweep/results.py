"""Results of a sweep as a table: one row for each k."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SweepRow:
    """Results for one number of clusters.

    Attributes
    ----------
    n_clusters : int
        The requested k.
    n_found : int
        Clusters that were found: fewer than requested, if X has fewer distinct samples. 0 if it failed.
    inertia : float
        Sum of squared distances to the centers, in the geometry of the clustering.
    silhouette, macro_silhouette : float
        Mean over samples, and mean of the clusters' means. NaN for k = 1.
    silhouette_low, silhouette_high : float
        Interval of ``silhouette`` where it was estimated, which holds with 99 % confidence; else ``silhouette`` itself.
    n_negative, n_zero, n_positive : int
        Samples with a silhouette below, at and above 0; estimated where ``silhouette`` is.
    calinski_harabasz, davies_bouldin : float
        scikit-learn's indices of those names, in the geometry that was clustered in: a high Calinski-Harabasz index
        is good, and a low Davies-Bouldin index. NaN for k = 1 and for sparse data.
    null_score : float
        Mean silhouette of the data at the number of samples of the null sets: that of all samples, or of those drawn.
    null_mean, null_std, null_z, null_p : float
        Mean and standard deviation of the null sets' mean silhouettes; the number of standard deviations that
        ``null_score`` lies above the mean; ``(r + 1) / (n_null + 1)``, if r null sets score as high. NaN without null
        sets.
    null_excess : float
        Number of standard deviations that ``silhouette``, the score of all samples, lies above ``null_mean``. It
        depends less than ``null_z`` on the samples that were drawn, and is no test.
    gap, gap_error : float
        Gap statistic (logarithm of the inertia, null less data) and its standard error.
    stability, stability_std : float
        Mean and standard deviation of the agreement of clusterings of two random parts of the data: adjusted Rand
        index, 1 at most. NaN where it was not requested.
    fit_seconds, score_seconds : float
        Wall-clock time of the clustering and of the scores; of a pass that served several k, an equal share.
    error : str
        Empty, or why there is no result.
    """

    n_clusters: int
    n_found: int = 0
    inertia: float = np.nan
    silhouette: float = np.nan
    macro_silhouette: float = np.nan
    silhouette_low: float = np.nan
    silhouette_high: float = np.nan
    n_negative: int = 0
    n_zero: int = 0
    n_positive: int = 0
    calinski_harabasz: float = np.nan
    davies_bouldin: float = np.nan
    null_score: float = np.nan
    null_mean: float = np.nan
    null_std: float = np.nan
    null_z: float = np.nan
    null_p: float = np.nan
    null_excess: float = np.nan
    gap: float = np.nan
    gap_error: float = np.nan
    stability: float = np.nan
    stability_std: float = np.nan
    fit_seconds: float = np.nan
    score_seconds: float = np.nan
    error: str = ""


@dataclass(frozen=True)
class ParameterRow(SweepRow):
    """Results for one value of a parameter; ``n_clusters`` is the number of clusters that were found.

    Attributes
    ----------
    value : object
        The value.
    noise_share : float
        Share of the samples that the clusterer left out as noise.
    score : float
        ``silhouette`` of the samples in clusters times their share: the mean over all samples if noise counts 0.
    dbcv : float
        Density-based validity, where it was requested; else NaN.
    """

    value: Any = None
    noise_share: float = 0.0
    score: float = np.nan
    dbcv: float = np.nan


def make_columns(rows: Sequence[SweepRow]) -> dict[str, NDArray[Any]]:
    """Return rows of one kind as columns, the shape of ``sweep_results_``."""
    kind = type(rows[0]) if rows else SweepRow
    return {field.name: _as_column([getattr(row, field.name) for row in rows]) for field in fields(kind)}


def _as_column(values: list[Any]) -> NDArray[Any]:
    """Return an array of one dimension, of objects where values are not all of one plain kind."""
    if len({type(value) for value in values}) == 1 and np.isscalar(values[0]):
        return np.array(values)
    if all(isinstance(value, (int, float, np.number)) for value in values):
        return np.array(values)
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def with_columns(
    rows: Sequence[SweepRow], n_clusters: NDArray[Any], columns: Mapping[str, NDArray[Any]]
) -> list[SweepRow]:
    """Extend rows by further values for those k that are among ``n_clusters``, the k of the columns' entries."""
    place = {int(k): at for at, k in enumerate(n_clusters)}

    def row_values(row: SweepRow) -> dict[str, Any]:
        return {name: float(column[place[row.n_clusters]]) for name, column in columns.items()}

    return [replace(row, **row_values(row)) if row.n_clusters in place else row for row in rows]

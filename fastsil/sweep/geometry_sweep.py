"""The record of a sweep in one geometry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.scoring.profile import SilhouetteProfile
from fastsil.sweep.feature_space import Components, FeatureSpace
from fastsil.sweep.gaps import GapTest
from fastsil.sweep.null import NullComparison
from fastsil.sweep.results import SweepRow, make_columns
from fastsil.sweep.stability import Stability
from fastsil.sweep.verdict import choose_k, has_gaps, k_with_largest_excess
from fastsil.validation import get_metric_name


@dataclass(frozen=True, eq=False)
class GeometrySweep:
    """Results of a sweep in one geometry.

    Attributes
    ----------
    name : str
        Name of the geometry, such as ``"cosine, pca 50"``.
    metric : str
        Name of the metric.
    pca : int, float or None
        Principal components kept before.
    frame : FeatureSpace
        The geometry; ``frame.apply(X)`` takes new samples there.
    rows : tuple of SweepRow
        One for each k that was tried.
    estimators : dict of int to clusterer
        The fitted clusterer of each k.
    profiles : mapping of int to SilhouetteProfile
        For each k that was scored.
    null : NullComparison or None
        Comparison with data without clusters.
    stability : Stability or None
        Agreement of clusterings of parts of the data.
    gaps : GapTest or None
        Test of gaps between the clusters.
    interrupted : bool
        Whether Ctrl-C ended it before all was done.
    profiled_rows : mapping of int to ndarray
        Rows that each profile is of; empty where all are of all rows.
    """

    frame: FeatureSpace
    rows: tuple[SweepRow, ...]
    estimators: dict[int, Any]
    profiles: Mapping[int, SilhouetteProfile]
    null: NullComparison | None
    stability: Stability | None
    gaps: GapTest | None
    interrupted: bool
    profiled_rows: Mapping[int, NDArray[np.intp]] = field(default_factory=dict)

    def take_profiled(self, X: Any, k: int) -> Any:
        """Return the samples that the profile of k is of."""
        return X[self.profiled_rows[k]] if k in self.profiled_rows else X

    @property
    def name(self) -> str:
        return self.frame.name

    @property
    def metric(self) -> str:
        return get_metric_name(self.frame.metric)

    @property
    def pca(self) -> Components:
        return self.frame.pca

    @cached_property
    def results(self) -> dict[str, NDArray[Any]]:
        """The rows as columns."""
        return make_columns(self.rows)

    @property
    def best_k(self) -> int:
        """The k of the highest mean silhouette; of equal ones the smallest."""
        # max() keeps the first of equals: the smallest k. A lone k = 1 has no score, yet is the best there is.
        found = [row for row in self.rows if not row.error]
        return max(found, key=lambda row: np.nan_to_num(row.silhouette, nan=-2.0)).n_clusters

    @cached_property
    def chosen_k(self) -> int:
        """The k of the verdict."""
        return choose_k(self.results, self.null, self.gaps)

    @property
    def clearest_gap(self) -> float:
        """The largest statistic of the test of gaps, over all k; -inf where there are no gaps between clusters."""
        return float(np.max(self.gaps.z)) if self.gaps is not None and has_gaps(self.gaps) else -np.inf

    def score_of(self, k: int) -> float:
        """Return the mean silhouette of k."""
        return float(self.results["silhouette"][self.results["n_clusters"] == k][0])

    @property
    def best_score(self) -> float:
        return self.score_of(self.best_k)

    @property
    def p_value(self) -> float:
        """P-value of one test for all k against data without clusters; NaN without."""
        return float(np.nan) if self.null is None else self.null.p_value

    @property
    def furthest(self) -> SweepRow | None:
        """The row at which the data rise furthest above data without clusters."""
        if not np.isfinite(self.results["null_excess"]).any():
            return None
        k = k_with_largest_excess(self.results)
        return next(row for row in self.rows if row.n_clusters == k)

    @property
    def excess(self) -> float:
        """Excess in standard deviations of the null sets' scores; NaN without null sets."""
        return float(np.nan) if self.furthest is None else self.furthest.null_excess

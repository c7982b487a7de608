"""The record of an estimate: the score and further results, each with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ClusterEstimates:
    """One row a cluster, as arrays of shape (n_clusters,).

    Attributes
    ----------
    label : ndarray
        Label of the cluster.
    size : ndarray of intp
        Number of samples.
    silhouette : ndarray of float64
        Mean silhouette of its samples, estimated.
    low, high : ndarray of float64
        Interval of that mean; each holds with the stated confidence on its own.
    """

    label: NDArray[Any]
    size: NDArray[np.intp]
    silhouette: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SilhouetteEstimate:
    """A mean silhouette and other estimates, each with an interval.

    Made by :func:`fastsil.silhouette_estimate`. Each interval holds the exact value with probability ``confidence`` at
    least, for any data. Where everything was computed, intervals have no width.

    Attributes
    ----------
    score : float
        Mean silhouette over samples ("micro").
    interval : tuple of float
        Interval of the score.
    macro_score : float
        Mean of the clusters' mean silhouettes.
    macro_interval : tuple of float
        Interval of that.
    clusters : ClusterEstimates
        One row a cluster.
    negative_share : float
        Share of samples with a silhouette below 0; of their number, with weights too.
    negative_interval : tuple of float
        Interval of that.
    confidence, tol : float
        As requested.
    metric : str
        Name of the metric.
    n_samples : int
        Number of samples that were scored.
    n_exact : int
        Number of samples that were computed exactly.
    rounds : int
        Rounds of random samples; 0 where all samples were computed.
    pairs : int
        Pairs of samples computed.
    seconds : float
        Wall-clock time.

    Examples
    --------
    >>> from fastsil import silhouette_estimate
    >>> estimate = silhouette_estimate([[0.0], [1.0], [5.0], [6.0], [7.0]], [0, 0, 1, 1, 1])
    >>> round(estimate.score, 4), estimate.exact
    (0.7775, True)
    """

    score: float
    interval: tuple[float, float]
    macro_score: float
    macro_interval: tuple[float, float]
    clusters: ClusterEstimates
    negative_share: float
    negative_interval: tuple[float, float]
    confidence: float
    tol: float
    metric: str
    n_samples: int
    n_exact: int
    rounds: int
    pairs: int
    seconds: float

    @property
    def n_clusters(self) -> int:
        return len(self.clusters.size)

    @property
    def exact(self) -> bool:
        """Return whether every sample was computed, so that nothing is an estimate."""
        return self.n_exact == self.n_samples

    def __repr__(self) -> str:
        how = "exact" if self.exact else f"confidence={self.confidence:g}, n_exact={self.n_exact}"
        return (
            f"SilhouetteEstimate(score={_with_margin(self.score, self.interval)}, "
            f"macro_score={_with_margin(self.macro_score, self.macro_interval)}, "
            f"negative_share={_with_margin(self.negative_share, self.negative_interval)}, {how}, "
            f"n_samples={self.n_samples}, n_clusters={self.n_clusters}, metric={self.metric!r}, "
            f"seconds={self.seconds:.2f})"
        )

    def _repr_html_(self) -> str:
        """Return the table of clusters under the score, for notebooks."""
        from fastsil.report.tables import estimate_columns, html_table

        how = (
            f"All {self.n_samples:,} samples were computed."
            if self.exact
            else f"{self.n_exact:,} of {self.n_samples:,} samples were computed; each interval holds with "
            f"{self.confidence:.4g} confidence."
        )
        words = (
            f"<b>Mean silhouette {_with_margin(self.score, self.interval)}</b> (mean of the clusters' means "
            f"{_with_margin(self.macro_score, self.macro_interval)}). Negative: "
            f"{_with_margin(self.negative_share, self.negative_interval)} of the samples. {how}"
        )
        return f"<div><p>{words}</p>{html_table(estimate_columns(self.clusters))}</div>"


def _with_margin(value: float, interval: tuple[float, float]) -> str:
    """Format a number with half the width of its interval."""
    half = (interval[1] - interval[0]) / 2
    return f"{value:.4f}" if half == 0 else f"{value:.4f} ± {half:.1g}"

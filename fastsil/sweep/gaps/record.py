"""Results of the test of gaps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

MAX_DEPTH = 0.85
"""Two clusters are separate if samples midway are at most this share as dense as near the centers."""

# A pair with fewer samples midway and near the centers (of the thinner side) shows no valley and no bridge.
_FEWEST_SAMPLES = 4

# Standard deviations of z where the density is flat, the hardest case (measured on uniform data, n = 100 to 1,000: 1.0
# to 1.1 between clusters). Rows are shared by the folds, and along an axis the windows are chosen among hundreds (1.03
# to 1.2). Groups that are there have a z of 4 and more.
_CLUSTER_SPREAD, _AXIS_SPREAD = 1.1, 1.2


@dataclass(frozen=True, eq=False)
class GapsAtK:
    """Counts of samples between and next to the centers of k clusters, in rows that the clusters were not made from.

    Attributes
    ----------
    n_clusters : int
        k.
    z : float
        Samples missing midway, summed over all pairs, in standard deviations.
    depth : float
        Density midway between two centers, as a share of the density on the thinner side.
    pairs : ndarray of shape (n_pairs, 2), int
        Clusters of each pair, as places in the sorted labels.
    near : ndarray of shape (n_pairs, 2)
        Samples near the two centers, in windows of equal width.
    midway : ndarray of shape (n_pairs,)
        Samples midway.
    profiles : ndarray of shape (n_pairs, 40)
        Samples along the line through both centers, from -1 to 1; the centers are at -1/2 and 1/2.
    """

    n_clusters: int
    z: float
    depth: float
    pairs: NDArray[np.int64]
    near: NDArray[np.float64]
    midway: NDArray[np.float64]
    profiles: NDArray[np.float64]

    @property
    def depths(self) -> NDArray[np.float64]:
        """Density midway as a share of the thinner side, for each pair; 0 where there is hardly a sample."""
        thinner = self.near.min(axis=1)
        seen = thinner + self.midway >= _FEWEST_SAMPLES
        return np.where(seen, self.midway / np.maximum(thinner, 1), 0.0)

    @property
    def separate(self) -> NDArray[np.bool_]:
        """Return whether there is a gap between the clusters of each pair."""
        return np.asarray(self.depths <= MAX_DEPTH)

    @property
    def closest(self) -> NDArray[np.int64]:
        """Places of the pairs that share samples, densest bridge first."""
        seen = np.flatnonzero(self.near.min(axis=1) + self.midway >= _FEWEST_SAMPLES)
        return np.asarray(seen[np.argsort(-self.depths[seen], kind="stable")])


@dataclass(frozen=True, eq=False)
class GapTest:
    """Result of the test whether there are gaps in the data.

    A valley between two clusters, or along a principal axis, is more than chance brings to data whose density has one
    peak along every line.

    Attributes
    ----------
    n_samples : int
        Samples that were used.
    clusters : tuple of GapsAtK
        One for each number of clusters, rising.
    axis_z : ndarray of shape (n_axes,)
        Samples missing in the deepest valley along each of the first principal axes, in standard deviations.
    axis_depth : ndarray of shape (n_axes,)
        Density in this valley, as a share of the density on its thinner side.
    """

    n_samples: int
    clusters: tuple[GapsAtK, ...]
    axis_z: NDArray[np.float64]
    axis_depth: NDArray[np.float64]

    @cached_property
    def p_values(self) -> NDArray[np.float64]:
        """P-value of each k, then of each axis, all of them looked at; 1 where the valley is too shallow.

        Small k and the first axes have more weight in the correction for several tests: where there are few pairs,
        there are few samples to see a gap with.
        """
        orders = [*(gaps.n_clusters - 1 for gaps in self.clusters), *range(1, len(self.axis_z) + 1)]
        weights = np.array(orders) ** -0.75
        z = np.concatenate([self.z / _CLUSTER_SPREAD, self.axis_z / _AXIS_SPREAD])
        depths = np.concatenate([[gaps.depth for gaps in self.clusters], self.axis_depth])
        p_values = np.minimum(norm.sf(z) * weights.sum() / weights, 1.0)
        return np.where(depths <= MAX_DEPTH, p_values, 1.0)

    @property
    def p_value(self) -> float:
        """P-value of one test for every k and axis."""
        return float(self.p_values.min())

    @property
    def z(self) -> NDArray[np.float64]:
        """The statistic of each k."""
        return np.array([gaps.z for gaps in self.clusters])

    @property
    def n_clusters(self) -> NDArray[np.int64]:
        """The numbers of clusters that were tested."""
        return np.array([gaps.n_clusters for gaps in self.clusters])

    @property
    def p_clusters(self) -> float:
        """P-value without the axes: small only if the clusters of some k lie apart."""
        return float(self.p_values[: len(self.clusters)].min(initial=1.0))

    def at(self, k: int) -> GapsAtK | None:
        """Return the counts between the clusters of k; None if that k was not tested."""
        return next((gaps for gaps in self.clusters if gaps.n_clusters == k), None)

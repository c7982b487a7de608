"""Evidence for the checks: arrays and derived quantities, each computed once and only on use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fastsil.validation.arrays import iterate_chunks
from fastsil.validation.partition import Partition

# Shuffled orders that labels are compared with; pairs within clusters, and samples outside the largest of them, that
# for a meaningful comparison: where nearly all samples are of one cluster, every order is about the same.
_SHUFFLES = 199
_LEAST_PAIRS = 30
_LEAST_OUTSIDE = 5


@dataclass(frozen=True)
class NullReference:
    """Scores of data without clusters, clustered as the data are.

    Attributes
    ----------
    score : float
        Mean silhouette of the data, at the number of samples of the null data.
    mean, std : float
        Mean and standard deviation of the null data's mean silhouettes.
    p_value : float
        Share of null data that score as high, 0 to 1.

    Examples
    --------
    >>> from fastsil import NullReference, silhouette_profile
    >>> null = NullReference(score=0.21, mean=0.2, std=0.02, p_value=0.4)
    >>> silhouette_profile([[0.0], [1.0], [5.0], [6.0]], [0, 0, 1, 1]).diagnose(null=null).codes
    ('no_structure',)
    """

    score: float
    mean: float
    std: float
    p_value: float


@dataclass(frozen=True, eq=False)
class Evidence:
    """Arrays and derived quantities that the checks examine.

    Attributes
    ----------
    silhouettes : ndarray of shape (n_samples,)
        Silhouettes.
    partition : Partition
        Samples grouped by cluster.
    coordinates : ndarray or CSR matrix of shape (n_samples, n_features), optional
        The samples where means and squared Euclidean distances belong to the metric: rows of length 1 for cosine.
    distances : ndarray of shape (n_drawn, n_drawn), optional
        Distances in the metric between some samples.
    drawn : ndarray of shape (n_drawn,), integer, optional
        Which samples those are.
    unit_rows : bool
        Whether the coordinates are rows of length 1 that were not centered.
    are_distances : bool
        Whether the samples look like distances.
    null : NullReference, optional
        Scores of data without structure.
    feature_names : sequence of str
        Names of the features, if they have names.
    """

    silhouettes: NDArray[Any]
    partition: Partition
    coordinates: Any = None
    distances: NDArray[np.float64] | None = None
    drawn: NDArray[np.intp] | None = None
    unit_rows: bool = False
    are_distances: bool = False
    null: NullReference | None = None
    feature_names: Sequence[Any] = ()

    @property
    def classes(self) -> NDArray[Any]:
        return self.partition.classes

    @cached_property
    def sizes(self) -> NDArray[np.intp]:
        return self.partition.sizes

    @cached_property
    def score(self) -> float:
        return self.partition.mean(self.silhouettes)

    @cached_property
    def cluster_scores(self) -> NDArray[np.float64]:
        return self.partition.means(self.silhouettes)

    @cached_property
    def centers(self) -> Centers:
        return _find_centers(self.coordinates, self.partition)

    @cached_property
    def shuffled_p(self) -> float:
        return _compare_with_shuffled(self)


@dataclass(frozen=True)
class Centers:
    """Positions of the samples around the clusters' means.

    Attributes
    ----------
    misfit : float
        Share of samples that are nearer to another cluster's mean than to their own's.
    radius : ndarray of shape (n_clusters,)
        Root of the mean squared distance of the members to their mean.
    variance, variance_within : ndarray of shape (n_features,)
        Variance of each feature about the mean of all samples, and about the clusters' means.
    mean : ndarray of shape (n_features,)
        Mean of all samples.
    """

    misfit: float
    radius: NDArray[np.float64]
    variance: NDArray[np.float64]
    variance_within: NDArray[np.float64]
    mean: NDArray[np.float64]


def _find_centers(X: Any, partition: Partition) -> Centers:
    """Read the rows twice, a few at a time, relative to the first row, so that offsets cost no digits."""
    first = next(iterate_chunks(X[:1]))[1][0]
    n_samples, n_clusters, sizes = partition.n_samples, partition.n_clusters, partition.sizes
    sums, squares = np.zeros((n_clusters, len(first))), np.zeros(len(first))
    for rows, chunk in iterate_chunks(X):
        codes = partition.codes[rows]
        one_hot = csr_matrix((np.ones(len(codes)), (codes, np.arange(len(codes)))), shape=(n_clusters, len(codes)))
        sums += np.asarray(one_hot @ (chunk - first))
    centers, mean = sums / sizes[:, None], sums.sum(axis=0) / n_samples
    within, radius2, misfits = np.zeros(len(first)), np.zeros(n_clusters), 0
    norms = ((centers - mean) ** 2).sum(axis=1)
    for rows, chunk in iterate_chunks(X):
        codes, shifted = partition.codes[rows], chunk - first
        scores = norms - 2 * (shifted - mean) @ (centers - mean).T
        own = scores[np.arange(len(codes)), codes]
        # Distances that are equal but for rounding are no misfit.
        misfits += int(np.count_nonzero(scores.min(axis=1) < own - 1e-9 * norms.max()))
        squares += ((shifted - mean) ** 2).sum(axis=0)
        from_center = (shifted - centers[codes]) ** 2
        within += from_center.sum(axis=0)
        radius2 += np.bincount(codes, weights=from_center.sum(axis=1), minlength=n_clusters)
    return Centers(misfits / n_samples, np.sqrt(radius2 / sizes), squares / n_samples, within / n_samples, first + mean)


def _compare_with_shuffled(evidence: Evidence) -> float:
    """Return p of the labels against shuffled ones, by the squares within clusters; NaN if too few samples were drawn.

    References
    ----------
    M. J. Anderson (2001), "A new method for non-parametric multivariate analysis of variance", Austral Ecology 26,
    32-46.
    """
    drawn = evidence.drawn
    if drawn is None or evidence.distances is None:
        return np.nan
    squares = evidence.distances**2
    codes = np.unique(evidence.partition.codes[drawn], return_inverse=True)[1]
    sizes = np.bincount(codes)
    if (sizes * (sizes - 1)).sum() / 2 < _LEAST_PAIRS or len(codes) - sizes.max() < _LEAST_OUTSIDE:
        return np.nan
    rng = np.random.default_rng(0)

    def within(order: NDArray[np.intp]) -> float:
        one_hot = csr_matrix((np.ones(len(order)), (codes[order], np.arange(len(order)))))
        # Entry (c, j) of the first product is the sum over members of c of the squared distance to j.
        sums = np.asarray(one_hot @ squares)[codes[order], np.arange(len(order))]
        return float((sums / sizes[codes[order]]).sum())

    actual = within(np.arange(len(codes)))
    as_good = sum(within(rng.permutation(len(codes))) <= actual for _ in range(_SHUFFLES))
    return (as_good + 1) / (_SHUFFLES + 1)


def hash_rows(X: Any) -> NDArray[np.uint64]:
    """Return 64 bits of each row, equal for equal rows; others agree by chance in about n² / 2**65 pairs."""
    random = np.random.default_rng(0)
    factors = random.integers(1, 2**63, size=X.shape[1], dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    hashes = np.empty(X.shape[0], dtype=np.uint64)
    for rows, chunk in iterate_chunks(X):
        # Adding 0 turns -0.0 into 0.0. Small integers fill the high bits of a float only: these are spread first.
        bits = np.ascontiguousarray(chunk + 0.0).view(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        bits ^= bits >> np.uint64(32)
        hashes[rows] = (bits * factors).sum(axis=1, dtype=np.uint64)
    return hashes

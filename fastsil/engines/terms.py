"""Terms that an engine returns: the two mean distances of every sample, and the work done for them.

Every engine has one entry point, ``compute_terms(X, partition, *, n_jobs, tick, **params)``, and returns a
:class:`SilhouetteTerms`. The last formula, ``s = (b - a) / max(a, b)``, is common to all engines.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.runtime.threads import count_threads_of_call, run_over_rows
from fastsil.validation.partition import Partition, partition_from_codes

SHARE_OF_OWN = 0.4
"""Share of the work that the Euclidean engine reports when own clusters are done."""


@dataclass(frozen=True)
class Work:
    """Work done for a result.

    Attributes
    ----------
    strategy : str
        Engine and strategy chosen, for example ``"euclidean: symmetric"``.
    pairs : int
        Pairs of samples whose distance was computed; a pair that was computed twice counts twice.
    share : float
        ``pairs`` as a share of all n² ordered pairs; a brute-force computation has 1.0.
    seconds : dict of str to float
        Wall-clock seconds of each phase.
    """

    strategy: str
    pairs: int
    share: float
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class SilhouetteTerms:
    """Mean distances of every sample, in the order of the rows of X.

    Attributes
    ----------
    a : ndarray of shape (n_samples,), float64
        Mean distance to the other members of the own cluster; 0 for a cluster of one sample.
    b : ndarray of shape (n_samples,), float64
        Smallest mean distance to the members of another cluster.
    neighbor : ndarray of shape (n_samples,), int32
        Code of the cluster that gives ``b``; of clusters that tie, the first.
    work : Work
        Work that was done.
    exponent : int
        ``a`` and ``b`` are 2**exponent times the mean distances: not 0 only where these would leave the range of
        float64, or lose digits there.
    """

    a: NDArray[np.float64]
    b: NDArray[np.float64]
    neighbor: NDArray[np.int32]
    work: Work
    exponent: int = 0

    @property
    def larger_means(self) -> NDArray[np.float64]:
        """Return the larger of each sample's two mean distances, not scaled."""
        return np.asarray(np.ldexp(np.maximum(self.a, self.b), -self.exponent))


def nearest_from_sums(
    sums: NDArray[np.float64],
    codes: NDArray[np.int32],
    sizes: NDArray[Any],
    own_totals: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]]:
    """Return ``a``, ``b`` and ``neighbor`` of some samples, from their sums of distances to every cluster.

    Parameters
    ----------
    sums : ndarray of shape (n_clusters, n_rows)
        Sums; overwritten.
    codes : ndarray of shape (n_rows,)
        Own cluster of each sample.
    sizes : ndarray of shape (n_clusters,)
        Members of each cluster, or their total weight.
    own_totals : ndarray of shape (n_rows,), optional
        What the sum over the own cluster is divided by; by default the number of the other members.
    """
    rows = np.arange(len(codes))
    a = sums[codes, rows] / (np.maximum(sizes - 1, 1)[codes] if own_totals is None else own_totals)
    sums /= sizes[:, None]
    sums[codes, rows] = np.inf
    neighbor = sums.argmin(axis=0).astype(np.int32)
    return a, sums[neighbor, rows], neighbor


def nearest_from_distances(
    distances: NDArray[Any], partition: Partition, rows: NDArray[np.intp] | slice
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32]]:
    """Return ``a``, ``b`` and ``neighbor`` of some samples, from their distances to all, (n_rows, n_samples)."""
    weights, own_totals = partition.sample_weight, partition.own_totals
    if weights is not None:
        # A distance that does not count may be infinite, or no number.
        distances = np.where(weights > 0, distances * weights, 0.0)
    grouped = distances[:, partition.order]
    sums = np.add.reduceat(grouped, partition.offsets[:-1], axis=1, dtype=np.float64)
    own_totals = None if own_totals is None else own_totals[rows]
    return nearest_from_sums(sums.T, partition.codes[rows], partition.totals, own_totals)


def merge_weightless(partition: Partition) -> Partition:
    """Move the members of clusters without weight to the first cluster that has weight, where they do not count.

    Engines thus meet no cluster without weight.
    """
    if partition.weights is None or not partition.has_weightless:
        return partition
    has_weight = partition.weights.totals > 0
    # A cluster without weight gets the number of the first one that has it: 0.
    codes = np.where(has_weight, np.cumsum(has_weight) - 1, 0)[partition.codes]
    return partition_from_codes(partition.classes[has_weight], codes).weighted(partition.weights.values)


def split_weightless(terms: SilhouetteTerms, partition: Partition) -> SilhouetteTerms:
    """Turn the terms of the merged partition into those of the partition: of a sample that was moved, both mean
    distances are to other clusters.
    """
    if partition.weights is None or not partition.has_weightless:
        return terms
    has_weight = partition.weights.totals > 0
    a, b, neighbor = terms.a.copy(), terms.b.copy(), np.flatnonzero(has_weight)[terms.neighbor].astype(np.int32)
    moved = ~has_weight[partition.codes]
    to_first = moved & (a <= b)
    b[to_first] = a[to_first]
    neighbor[to_first] = np.flatnonzero(has_weight)[0]
    a[moved] = 0.0
    return replace(terms, a=a, b=b, neighbor=neighbor)


def compute_silhouettes(terms: SilhouetteTerms, partition: Partition) -> NDArray[np.float64]:
    """Compute ``s = (b - a) / max(a, b)``; 0 for a cluster of one sample, where a = b = 0, and where either is NaN.

    References
    ----------
    P. J. Rousseeuw (1987), "Silhouettes: a graphical aid to the interpretation and validation of cluster
    analysis", Journal of Computational and Applied Mathematics 20, 53-65.
    """
    silhouettes = np.empty(partition.n_samples)
    is_single, weights = partition.sizes == 1, partition.weights

    def compute(rows: slice) -> None:
        some = replace(terms, a=terms.a[rows], b=terms.b[rows])
        is_alone = is_single[partition.codes[rows]] if weights is None else weights.of_others[rows] == 0
        silhouettes[rows] = compute_row_silhouettes(some, is_alone)

    run_over_rows(compute, partition.n_samples, n_jobs=count_threads_of_call())
    return silhouettes


def compute_row_silhouettes(terms: SilhouetteTerms, is_alone: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Compute the silhouettes of some samples, given whether each is alone in its cluster."""
    silhouettes = combine_terms(terms.a, terms.b)
    silhouettes[is_alone] = 0.0
    return silhouettes


def combine_terms(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute ``(b - a) / max(a, b)``, which falls with a and grows with b; 0 where both are 0, and where either is
    NaN.
    """
    larger = np.maximum(a, b)
    larger[larger == 0] = 1.0
    # Bray-Curtis distances of x and -x are infinite.
    with np.errstate(invalid="ignore"):
        silhouettes = np.asarray((b - a) / larger)
    # A distance that is no number (Bray-Curtis between two rows of zeros) leaves none; scikit-learn answers 0 as well.
    silhouettes[np.isnan(silhouettes)] = 0.0
    return silhouettes

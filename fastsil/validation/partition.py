"""Labels as a partition: which samples form which cluster, as index arrays.

Engines never see labels. They see samples grouped by cluster: ``order`` lists the samples cluster
by cluster, and ``order[offsets[c]:offsets[c + 1]]`` are the members of cluster ``c``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.runtime.threads import count_threads_of_call, run_over_rows


@dataclass(frozen=True)
class Weights:
    """Weights of samples, and what weighted sums of distances are divided by.

    With W the total weight of a cluster C, the mean distance from a sample i outside is ``sum_j w_j d(i, j) / W``, and
    from a member ``sum_j w_j d(i, j) / (W - min(w_i, 1))``: for whole numbers what it is when each sample occurs as
    often, and for weights below 1 what it is without the sample itself.

    Attributes
    ----------
    values : ndarray of shape (n_samples,), float64
        Weight of every sample.
    totals : ndarray of shape (n_clusters,), float64
        Total weight of each cluster.
    of_others : ndarray of shape (n_samples,), float64
        W - min(w, 1) for the own cluster of each sample; 0 exactly where no other weight is left in it.
    """

    values: NDArray[np.float64]
    totals: NDArray[np.float64]
    of_others: NDArray[np.float64]

    def relative_others(self, codes: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return how often the others of its cluster count for each sample, if what is left out of it, min(w, 1),
        counts once; infinity where its own weight is 0, so that nothing is left out.
        """
        left_out = self.totals[codes] - self.of_others
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.of_others > 0, self.of_others / left_out, 0.0)


@dataclass(frozen=True)
class Partition:
    """Samples grouped by cluster.

    Attributes
    ----------
    classes : ndarray of shape (n_clusters,)
        The distinct labels, sorted; cluster ``c`` is the cluster of label ``classes[c]``.
    codes : ndarray of shape (n_samples,), int32
        Cluster of every sample.
    order : ndarray of shape (n_samples,), intp
        Samples sorted by cluster, within a cluster in the order of the rows of X.
    offsets : ndarray of shape (n_clusters + 1,), intp
        Where each cluster begins in ``order``.
    weights : Weights, optional
        Weights of the samples; None where each counts once.
    """

    classes: NDArray[Any]
    codes: NDArray[np.int32]
    order: NDArray[np.intp]
    offsets: NDArray[np.intp]
    weights: Weights | None = None

    @property
    def n_samples(self) -> int:
        return len(self.codes)

    @property
    def n_clusters(self) -> int:
        return len(self.classes)

    @cached_property
    def sizes(self) -> NDArray[np.intp]:
        return np.diff(self.offsets)

    @property
    def sample_weight(self) -> NDArray[np.float64] | None:
        """Weight of every sample; None where each counts once."""
        return None if self.weights is None else self.weights.values

    @property
    def totals(self) -> NDArray[Any]:
        """What sums over the members of each cluster are divided by: their number, or their total weight."""
        return self.sizes if self.weights is None else self.weights.totals

    @property
    def own_totals(self) -> NDArray[np.float64] | None:
        """What sums over the own cluster are divided by, for every sample: 1 where they are 0, since nothing else is
        in it; None where that is the number of the other members.
        """
        if self.weights is None:
            return None
        return np.where(self.weights.of_others > 0, self.weights.of_others, 1.0)

    @property
    def is_alone(self) -> NDArray[np.bool_]:
        """Whether nothing else counts in the sample's own cluster, so that it has no mean distance to it."""
        if self.weights is None:
            return np.asarray((self.sizes == 1)[self.codes])
        return np.asarray(self.weights.of_others == 0)

    @property
    def has_weightless(self) -> bool:
        """Whether a cluster has no weight."""
        return self.weights is not None and not self.weights.totals.all()

    @property
    def has_silhouettes(self) -> bool:
        """Whether there are two clusters, and a sample that is not alone; counting those with weight."""
        if self.weights is None:
            return 1 < self.n_clusters < self.n_samples
        counted = self.weights.values > 0
        return int(np.count_nonzero(self.weights.totals)) > 1 and not bool(self.is_alone[counted].all())

    def means(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the mean of one value a sample over the members of each cluster, of shape (n_clusters,); of a cluster
        without weight, that in which each counts once.
        """
        plain = np.bincount(self.codes, weights=values, minlength=self.n_clusters) / self.sizes
        if self.weights is None:
            return plain
        has_weight = self.weights.totals > 0
        return np.divide(self._sums(values * self.weights.values), self.weights.totals, out=plain, where=has_weight)

    def mean(self, values: NDArray[Any]) -> float:
        """Return the mean of one value a sample."""
        if self.weights is None:
            return float(np.mean(values, dtype=np.float64))
        return float(np.average(values.astype(np.float64), weights=self.weights.values))

    def mean_of_means(self, values: NDArray[Any]) -> float:
        """Return the mean of the clusters' means; of those that have weight."""
        means = self.means(values)
        return float((means if self.weights is None else means[self.weights.totals > 0]).mean())

    def weighted(self, values: NDArray[np.float64] | None) -> Partition:
        """Return the partition with weights of its samples; None for none."""
        if values is None:
            return replace(self, weights=None)
        heaviest = find_group_argmin(self.codes, -values, self.n_clusters)
        rest = values.copy()
        rest[heaviest] = 0.0
        # For all but the heaviest member of a cluster at least half of W is left, and no digit is lost. Of that one the
        # rest may be far below W.
        totals = self._sums(values)
        of_others = totals[self.codes] - np.minimum(values, 1.0)
        of_others[heaviest] = self._sums(rest) + np.maximum(values[heaviest] - 1.0, 0.0)
        return replace(self, weights=Weights(values, totals, of_others))

    def with_relative_weights(self) -> Partition:
        """Return the partition with the weights of each cluster multiplied by a power of two, so that the greatest is
        about 1: means are the same, and products of two weights neither overflow nor vanish.
        """
        if self.weights is None:
            return self
        heaviest = np.zeros(self.n_clusters)
        np.maximum.at(heaviest, self.codes, self.weights.values)
        unit = np.ldexp(1.0, -np.frexp(heaviest)[1])
        weights = Weights(
            self.weights.values * unit[self.codes],
            self.weights.totals * unit,
            self.weights.of_others * unit[self.codes],
        )
        return replace(self, weights=weights)

    def _sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum one value a sample over the members of each cluster, in extended precision where there is one."""
        grouped = values[self.order].astype(np.longdouble)
        return np.add.reduceat(grouped, self.offsets[:-1]).astype(np.float64)


def partition_from_codes(classes: NDArray[Any], codes: NDArray[np.integer[Any]]) -> Partition:
    """Group samples by cluster.

    Parameters
    ----------
    classes : ndarray of shape (n_clusters,)
        The distinct labels, sorted.
    codes : ndarray of shape (n_samples,), integer
        Index into ``classes`` for every sample; every class occurs.

    Raises
    ------
    ValueError
        If there are more clusters than a partition has codes, 2**31 - 1.
    """
    if len(classes) > np.iinfo(np.int32).max:
        raise ValueError(
            f"labels has {len(classes):,} distinct values; at most {np.iinfo(np.int32).max:,} are supported."
        )
    clusters: NDArray[np.int32] = codes.astype(np.int32, copy=False)
    offsets = np.zeros(len(classes) + 1, dtype=np.intp)
    counts = _count_in_stretches(clusters, len(classes))
    np.cumsum(counts.sum(axis=0), out=offsets[1:])
    return Partition(classes=classes, codes=clusters, order=_sort_stretches(clusters, counts), offsets=offsets)


def sorted_by_cluster(clusters: NDArray[np.integer[Any]], n_clusters: int) -> NDArray[np.intp]:
    """Return the indices that sort cluster numbers, 0 to n_clusters - 1; those of one cluster stay in their order.

    Rows of a cluster are thus read in the order of memory.
    """
    return _sort_stretches(clusters, _count_in_stretches(clusters, n_clusters))


def _count_in_stretches(clusters: NDArray[np.integer[Any]], n_clusters: int) -> NDArray[np.intp]:
    """Count the samples of each cluster, in each of the stretches that are sorted alone; in one, where that is fast."""
    n_samples = len(clusters)
    if n_samples <= MANY_LABELS or n_clusters > _SORTED_CLUSTERS:
        return np.bincount(clusters, minlength=n_clusters)[None]
    counts = np.empty((-(-n_samples // _SORTED_ROWS), n_clusters), dtype=np.intp)

    def count(rows: slice) -> None:
        counts[rows.start // _SORTED_ROWS] = np.bincount(clusters[rows], minlength=n_clusters)

    run_over_rows(count, n_samples, n_jobs=count_threads_of_call(), step=_SORTED_ROWS)
    return counts


def _sort_stretches(clusters: NDArray[np.integer[Any]], counts: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the indices that sort cluster numbers, given the counts of each stretch."""
    n_samples, n_clusters = len(clusters), counts.shape[1]
    if len(counts) == 1:
        return _sort(clusters, n_clusters)
    # Samples of a stretch are written behind those of the stretches before it.
    starts = np.cumsum(counts, axis=0) - counts
    starts += np.cumsum(counts.sum(axis=0)) - counts.sum(axis=0)
    order = np.empty(n_samples, dtype=np.intp)

    def write(rows: slice) -> None:
        own = rows.start // _SORTED_ROWS
        shifts = starts[own] - (np.cumsum(counts[own]) - counts[own])
        places = np.arange(rows.stop - rows.start) + np.repeat(shifts, counts[own])
        order[places] = rows.start + _sort(clusters[rows], n_clusters)

    run_over_rows(write, n_samples, n_jobs=count_threads_of_call(), step=_SORTED_ROWS)
    return order


# Samples whose labels are worth threads; those that one thread sorts at a time; clusters up to which the counts of each
# such stretch are few.
MANY_LABELS = 1 << 16
_SORTED_ROWS = 1 << 14
_SORTED_CLUSTERS = 1 << 11


def _sort(clusters: NDArray[np.integer[Any]], n_clusters: int) -> NDArray[np.intp]:
    # NumPy sorts 16 bits in linear time.
    narrow = clusters.astype(np.uint16) if n_clusters <= 1 << 16 else clusters
    return np.argsort(narrow, kind="stable").astype(np.intp, copy=False)


def find_group_minima(
    groups: NDArray[np.integer[Any]], values: NDArray[np.float64], n_groups: int
) -> NDArray[np.float64]:
    """Return the least value of each group."""
    smallest = np.full(n_groups, np.inf)
    np.minimum.at(smallest, groups, values)
    return smallest


def find_group_argmin(groups: NDArray[np.integer[Any]], values: NDArray[np.float64], n_groups: int) -> NDArray[np.intp]:
    """Return, for each group, the first index of its least value; every group occurs."""
    indices = np.flatnonzero(values == find_group_minima(groups, values, n_groups)[groups])
    first = np.empty(n_groups, dtype=np.intp)
    # Written from the last to the first, so that the first one stays.
    first[groups[indices[::-1]]] = indices[::-1]
    return first


def count_up(counts: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Return 0, 1, ... for as many entries as each count says."""
    return np.asarray(np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts))

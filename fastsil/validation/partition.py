"""Labels as a partition: which samples form which cluster, as index arrays.

Engines never see labels. They see samples grouped by cluster: ``order`` lists the samples cluster
by cluster, and ``order[offsets[c]:offsets[c + 1]]`` are the members of cluster ``c``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.runtime.threads import count_threads_of_call, run_over_rows


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
    """

    classes: NDArray[Any]
    codes: NDArray[np.int32]
    order: NDArray[np.intp]
    offsets: NDArray[np.intp]

    @property
    def n_samples(self) -> int:
        return len(self.codes)

    @property
    def n_clusters(self) -> int:
        return len(self.classes)

    @property
    def sizes(self) -> NDArray[np.intp]:
        return np.diff(self.offsets)

    def means(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the mean of one value a sample over the members of each cluster, of shape (n_clusters,)."""
        return np.bincount(self.codes, weights=values, minlength=self.n_clusters) / self.sizes


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
    np.cumsum(np.bincount(clusters, minlength=len(classes)), out=offsets[1:])
    order = sorted_by_cluster(clusters, len(classes))
    return Partition(classes=classes, codes=clusters, order=order, offsets=offsets)


def sorted_by_cluster(clusters: NDArray[np.integer[Any]], n_clusters: int) -> NDArray[np.intp]:
    """Return the indices that sort cluster numbers, 0 to n_clusters - 1; those of one cluster stay in their order.

    Rows of a cluster are thus read in the order of memory.
    """
    n_samples = len(clusters)
    if n_samples <= MANY_LABELS or n_clusters > _SORTED_CLUSTERS:
        return _sort(clusters, n_clusters)
    # Each stretch is sorted, and its samples are written behind those of the stretches before it.
    counts = np.empty((-(-n_samples // _SORTED_ROWS), n_clusters), dtype=np.intp)

    def count(rows: slice) -> None:
        counts[rows.start // _SORTED_ROWS] = np.bincount(clusters[rows], minlength=n_clusters)

    n_jobs = count_threads_of_call()
    run_over_rows(count, n_samples, n_jobs=n_jobs, step=_SORTED_ROWS)
    starts = np.cumsum(counts, axis=0) - counts
    starts += np.cumsum(counts.sum(axis=0)) - counts.sum(axis=0)
    order = np.empty(n_samples, dtype=np.intp)

    def write(rows: slice) -> None:
        own = rows.start // _SORTED_ROWS
        shifts = starts[own] - (np.cumsum(counts[own]) - counts[own])
        places = np.arange(rows.stop - rows.start) + np.repeat(shifts, counts[own])
        order[places] = rows.start + _sort(clusters[rows], n_clusters)

    run_over_rows(write, n_samples, n_jobs=n_jobs, step=_SORTED_ROWS)
    return order


# Samples whose labels are worth threads; those that one thread sorts at a time; clusters up to which the counts of each
# such stretch are few.
MANY_LABELS = 1 << 18
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

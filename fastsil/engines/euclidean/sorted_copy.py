"""A mapped file larger than memory, copied once so that the rows of each cluster lie together.

Euclidean distance gathers the rows of a cluster, and of two clusters, again and again. Of a file in no order that does
not fit the memory that is left for it, each gather reads nearly all pages from the disk. A copy in the order of the
partition is read in stretches. It is made block by block, so that the file itself is read once, from front to back.
"""

from __future__ import annotations

from functools import partial
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from fastsil.runtime.memory import available_bytes
from fastsil.runtime.temporary_arrays import find_mapped_file, write_array, write_through
from fastsil.validation.partition import Partition, partition_from_codes

# Rows that are sorted in memory at a time, and at most this part of the memory available, which also holds their pages
# of the file and the pages of the copy that are not yet on the disk.
_BLOCK_BYTES = 64 << 20
_PART_OF_MEMORY = 16

_WORDS = (
    "X is a file of %.1f GiB that does not fit in memory; its rows are copied once, cluster by cluster, to a temporary "
    "file in %s."
)


def sort_rows_to_file(X: Any, partition: Partition) -> tuple[Any, Partition]:
    """Return the samples, copied in the order of the partition if that is faster, and their partition.

    Row i of the copy is row ``partition.order[i]`` of X. The copy is a temporary file without a name, in the folder of
    X if that can be written to, else where temporary files are; it is removed when the call ends, in every case.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), or another container
        Samples; a copy is made only of a mapped file that does not fit in memory, and only if it fits on the disk.
    partition : Partition
        Samples grouped by cluster.
    """
    if find_mapped_file(X) is None or not _is_too_large(X) or _is_sorted(partition):
        return X, partition
    rows = write_array(partial(_write_sorted, X, partition), X.shape, X.dtype, near=X, words=_WORDS)
    if rows is None:
        return X, partition
    weights = None if partition.sample_weight is None else partition.sample_weight[partition.order]
    return rows, partition_from_codes(partition.classes, partition.codes[partition.order]).weighted(weights)


def _is_too_large(X: NDArray[Any]) -> bool:
    available = available_bytes()
    return available is not None and X.nbytes > available


def _is_sorted(partition: Partition) -> bool:
    return bool((np.diff(partition.order) > 0).all())


def _write_sorted(X: NDArray[Any], partition: Partition, copy: IO[bytes]) -> None:
    """Write rows to their places, block by block: of each cluster one stretch of the file."""
    row_bytes = X.shape[1] * X.itemsize
    block_bytes = min(_BLOCK_BYTES, (available_bytes() or _BLOCK_BYTES) // _PART_OF_MEMORY)
    step = max(1, block_bytes // row_bytes)
    ends = partition.offsets[:-1].copy()
    copy.truncate(X.nbytes)
    for start in range(0, len(X), step):
        codes = partition.codes[start : start + step]
        order = np.argsort(codes, kind="stable")
        rows = X[start : start + step][order]
        counts = np.bincount(codes, minlength=partition.n_clusters)
        first = 0
        for cluster in np.flatnonzero(counts):
            copy.seek(int(ends[cluster]) * row_bytes)
            copy.write(rows[first : first + counts[cluster]].data)
            first += counts[cluster]
        ends += counts
        write_through(copy)

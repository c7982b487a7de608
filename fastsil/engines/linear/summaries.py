"""Clusters in a few numbers each: size, mean and spread of their members, as squared distances see them.

A sample x is seen as a point ``z = (x - shift) * scale``: as it is for squared Euclidean distance, of length 1 for
cosine, centered and of length 1 for correlation. The mean of a cluster is kept as two vectors, origin and offset, so
that it loses nothing to the place of the data (:mod:`fastsil.kernels.linear`); the spread is the sum of squared
distances to it.

Summaries of disjoint samples are merged: for n and m members with means μ and ν, and sums of squares S and T,

    mean = μ + (ν - μ) m / (n + m),     sum of squares = S + T + |ν - μ|² n m / (n + m).

Nothing cancels in it, so that blocks may come in any number, size and order.

References
----------
T. F. Chan, G. H. Golub, R. J. LeVeque (1983), "Algorithms for computing the sample variance: analysis and
recommendations", The American Statistician 37, 242-247.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.scaling import without_repeats
from fastsil.kernels import linear as kernels
from fastsil.runtime.progress import ProgressCallback, ignore_progress, scale_progress
from fastsil.runtime.threads import count_threads_of_call, run_over_rows, run_tasks
from fastsil.validation.arrays import is_sparse, scatter_to_all
from fastsil.validation.partition import Partition

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

# A piece of a cluster is summed by one thread; its rows should stay in a second-level cache between the pass
# that measures them and the one that adds them up. Sums of more rows than that would lose digits.
_PIECE_BYTES = 1 << 20
_PIECE_ROWS = 4096

# Partial sums in flight, all threads together.
_SUMS_BYTES = 16 << 20

# Rows of larger data are summed block by block: a file that does not fit into memory, in no order of its clusters,
# would be read from the disk once for each cluster.
_BLOCK_BYTES = 256 << 20

# Bytes of one task's rows when they are made dense for it, for sparse input.
_DENSE_BYTES = 1 << 20

# Where the squared distance between origin and mean exceeds this multiple of the variance, the variance has lost as
# much of its digits: its cluster is summed again around the mean.
_FAR_ORIGIN = 64.0

# Rows of length 1 carry rounding of a few 1e-16; half of a squared distance below that squared is none.
_SAME_DIRECTION = 2.0**-98


def _measure_nothing(X: Any, members: Indices, shift: Floats, scale: Floats) -> None:
    """Leave shift and scale as they are: squared Euclidean distance takes rows unchanged."""


def _measure_lengths(X: Any, members: Indices, shift: Floats, scale: Floats) -> None:
    kernels.measure_lengths(X, members, scale)


@dataclass(frozen=True)
class SquaredMetric:
    """A metric that is a multiple of the squared distance between rows as it sees them.

    Attributes
    ----------
    measure : callable
        ``measure(X, members, shift, scale)``: writes shift and scale of some rows.
    factor : float
        Distance in the metric for a squared distance of 1.
    resolution : float
        A mean distance below it is rounding, and reported as 0.
    """

    measure: Callable[[Any, Indices, Floats, Floats], None]
    factor: float
    resolution: float


SQUARED_METRICS = {
    "sqeuclidean": SquaredMetric(_measure_nothing, factor=1.0, resolution=0.0),
    "cosine": SquaredMetric(_measure_lengths, factor=0.5, resolution=_SAME_DIRECTION),
    "correlation": SquaredMetric(kernels.measure_spreads, factor=0.5, resolution=_SAME_DIRECTION),
}


@dataclass(frozen=True)
class NormalizedRows:
    """Samples as a metric sees them: through a shift and a scale each, which are written as they become known.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Samples.
    metric : SquaredMetric
        Metric that defines the view.
    shift, scale : ndarray of shape (n_samples,)
        A scale of 0 marks a row without a direction.
    """

    X: Any
    metric: SquaredMetric
    shift: Floats
    scale: Floats

    def measure(self, members: Indices) -> tuple[kernels.ShiftedRows, Indices]:
        """Find shift and scale of some rows; return rows to hand to a kernel, and where in them these are."""
        if not is_sparse(self.X):
            self.metric.measure(self.X, members, self.shift, self.scale)
            return kernels.ShiftedRows(self.X, self.shift, self.scale), members
        rows = kernels.ShiftedRows(dense_rows(self.X, members), self.shift[members], self.scale[members])
        places = np.arange(len(members))
        self.metric.measure(rows.X, places, rows.shift, rows.scale)
        self.shift[members], self.scale[members] = rows.shift, rows.scale
        return rows, places

    def block(self, rows: slice) -> NormalizedRows:
        """Return the view of some rows; measurements of its rows are shared with this view."""
        return NormalizedRows(
            self.X if is_sparse(self.X) else self.X[rows], self.metric, self.shift[rows], self.scale[rows]
        )

    def measure_all(self, n_jobs: int) -> None:
        """Find shift and scale of all rows."""
        n_samples, step = self.X.shape[0], self.limit_rows(_PIECE_ROWS)
        tasks = [np.arange(start, min(start + step, n_samples)) for start in range(0, n_samples, step)]

        def measure(members: Indices, interrupt: NDArray[np.uint8]) -> None:
            if not interrupt[0]:
                self.measure(members)

        run_tasks(measure, tasks, [float(len(members)) for members in tasks], n_jobs=n_jobs)

    def limit_rows(self, n_rows: int) -> int:
        """Return ``n_rows``, or for sparse data the number of rows that are dense in little memory."""
        return min(n_rows, max(1, _DENSE_BYTES // (8 * self.X.shape[1]))) if is_sparse(self.X) else n_rows

    def zero_norm_rows(self) -> Indices:
        """Return the rows that have no direction."""
        found: list[Indices] = []

        def find(rows: slice) -> None:
            if not (scale := self.scale[rows]).all():
                found.append(rows.start + np.flatnonzero(scale == 0.0))

        run_over_rows(find, len(self.scale), n_jobs=count_threads_of_call())
        return np.sort(np.concatenate([*found, np.arange(0)]))


def normalize_lazily(X: Any, metric: str) -> NormalizedRows:
    """View samples as ``metric`` takes them: ``"sqeuclidean"``, ``"cosine"`` or ``"correlation"``."""
    return NormalizedRows(_readable(X), SQUARED_METRICS[metric], np.zeros(X.shape[0]), np.ones(X.shape[0]))


def dense_rows(X: Any, members: Indices | slice) -> NDArray[Any]:
    """Return some rows as a dense array, a view if possible; read-only, so that kernels are compiled for one type."""
    rows = X[members].toarray() if is_sparse(X) else X[members]
    rows.flags.writeable = False
    return rows  # type: ignore[no-any-return]


def _readable(X: Any) -> Any:
    """Return X for reading: a read-only view of a plain array; CSR without repeated entries."""
    return without_repeats(X) if is_sparse(X) else dense_rows(np.asarray(X), slice(None))


@dataclass(frozen=True)
class ClusterSummaries:
    """Moments of each cluster.

    Attributes
    ----------
    classes : ndarray of shape (n_clusters,)
        Their labels, sorted.
    sizes : ndarray of shape (n_clusters,), intp or float64
        Number of members, or their total weight.
    n_without : ndarray of shape (n_clusters,), intp or float64
        Those among them that have no direction; mean and spread are of the others.
    origins, offsets : ndarray of shape (n_clusters, n_features)
        The mean is their sum.
    squares : ndarray of shape (n_clusters,)
        Sum of squared distances to the mean.
    """

    classes: NDArray[Any]
    sizes: NDArray[Any]
    n_without: NDArray[Any]
    origins: Floats
    offsets: Floats
    squares: Floats

    @property
    def counts(self) -> NDArray[Any]:
        """Number, or total weight, of the members that have a direction."""
        return np.asarray(self.sizes - self.n_without)

    @property
    def variances(self) -> Floats:
        """Mean squared distance to the mean; 0 for a cluster without directions."""
        return np.asarray(self.squares / _or_one(self.counts))

    def centers(self) -> Floats:
        """Return the means, one vector each."""
        return self.origins + self.offsets


def summarize(
    view: NormalizedRows, partition: Partition, *, n_jobs: int, tick: ProgressCallback = ignore_progress
) -> ClusterSummaries:
    """Summarize the clusters of some samples; shift and scale of every sample are set afterwards.

    Parameters
    ----------
    view : View
        Samples.
    partition : Partition
        Samples grouped by cluster.
    n_jobs : int
        Number of threads; the result does not depend on it.
    tick : callable
        Called with shares of the work as they are finished.
    """
    step = len(partition.codes) if is_sparse(view.X) else max(1, _BLOCK_BYTES // view.X[:1].nbytes)
    merged = None
    for start in range(0, partition.n_samples, step):
        rows = slice(start, min(start + step, partition.n_samples))
        part = scale_progress(tick, (rows.stop - rows.start) / partition.n_samples)
        block = _summarize_block(view.block(rows), _partition_rows(partition, rows), n_jobs, part)
        merged = block if merged is None else merge(merged, block)
    assert merged is not None
    return merged


def _partition_rows(partition: Partition, rows: slice) -> Partition:
    """Group some rows by cluster, for the clusters that occur among them."""
    if rows.stop - rows.start == partition.n_samples:
        return partition
    edges = partition.offsets
    members = [partition.order[low:high] for low, high in pairwise(edges)]
    # Members of a cluster are in the order of the rows.
    inside = [some[slice(*np.searchsorted(some, (rows.start, rows.stop)))] for some in members]
    sizes = np.array([len(some) for some in inside])
    present = np.flatnonzero(sizes)
    codes = partition.codes[rows]
    weights = partition.sample_weight
    block = Partition(
        partition.classes[present],
        codes if len(present) == len(sizes) else np.searchsorted(present, codes).astype(np.int32),
        np.concatenate(inside) - rows.start,
        np.concatenate([[0], np.cumsum(sizes[present])]),
    )
    return block.weighted(None if weights is None else weights[rows])


def _summarize_block(
    view: NormalizedRows, partition: Partition, n_jobs: int, tick: ProgressCallback
) -> ClusterSummaries:
    origins = _first_members(view, partition)
    offsets, variances = np.zeros_like(origins), np.zeros(len(origins))
    _sum_around_origins(view, partition, np.arange(len(origins)), origins, offsets, variances, n_jobs, tick)
    # A second round for the few clusters whose first member lies far outside; it is not part of the progress.
    far = np.flatnonzero(np.einsum("ij,ij->i", offsets, offsets) > _FAR_ORIGIN * variances)
    if len(far):
        origins[far] += offsets[far]
        _sum_around_origins(view, partition, far, origins, offsets, variances, n_jobs, ignore_progress)
    sizes, n_without = _count_members(view, partition)
    return ClusterSummaries(partition.classes, sizes, n_without, origins, offsets, variances * (sizes - n_without))


def _count_members(view: NormalizedRows, partition: Partition) -> tuple[NDArray[Any], NDArray[Any]]:
    """Count the members of each cluster, or add up their weights; and those that have no direction."""
    without = view.zero_norm_rows()
    if partition.weights is None:
        return partition.sizes, np.bincount(partition.codes[without], minlength=partition.n_clusters)
    weights = partition.weights.values
    n_without = np.bincount(partition.codes[without], weights=weights[without], minlength=partition.n_clusters)
    with_direction = np.bincount(
        partition.codes, weights=np.where(view.scale == 0.0, 0.0, weights), minlength=partition.n_clusters
    )
    # Their sum, so that the difference is 0 exactly where no member with a direction counts.
    return n_without + with_direction, n_without


def _or_one(counts: NDArray[Any]) -> NDArray[Any]:
    """Return divisors: 1 in place of 0."""
    return np.asarray(np.where(counts == 0, 1, counts))


def merge(first: ClusterSummaries, second: ClusterSummaries) -> ClusterSummaries:
    """Merge the summaries of two sets of samples; a class may occur in either or in both.

    Raises
    ------
    TypeError
        If one has numbers for labels and the other has strings.
    """
    classes = _all_classes(first.classes, second.classes)
    first, second = _among_all(classes, first), _among_all(classes, second)
    n, m = first.counts, second.counts
    share = m / _or_one(n + m)
    shift = (second.origins - first.origins) + (second.offsets - first.offsets)
    mean = _exact_sum(first.origins, first.offsets + share[:, None] * shift)
    alone = (n == 0)[:, None]  # no members yet, not even an origin
    return ClusterSummaries(
        classes=classes,
        sizes=first.sizes + second.sizes,
        n_without=first.n_without + second.n_without,
        origins=np.where(alone, second.origins, mean[0]),
        offsets=np.where(alone, second.offsets, mean[1]),
        squares=first.squares + second.squares + np.einsum("ij,ij->i", shift, shift) * n * share,
    )


def _all_classes(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    if len(first) == len(second) and (first == second).all():
        return first
    # NumPy would turn numbers into strings, to sort them with the others.
    if (first.dtype.kind in "US") != (second.dtype.kind in "US") and "O" not in (first.dtype.kind, second.dtype.kind):
        raise TypeError(f"labels mixes types that have no order ({first.dtype}, {second.dtype}); convert them to one.")
    return np.union1d(first, second)


def _among_all(classes: NDArray[Any], summaries: ClusterSummaries) -> ClusterSummaries:
    """Extend summaries to more classes; the others have no members."""
    if len(classes) == len(summaries.classes):
        return summaries
    occurs = np.zeros(len(classes), dtype=bool)
    occurs[np.searchsorted(classes, summaries.classes)] = True
    kept = (summaries.sizes, summaries.n_without, summaries.origins, summaries.offsets, summaries.squares)
    return ClusterSummaries(classes, *(scatter_to_all(values, occurs, 0) for values in kept))


def _exact_sum(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return the rounded sum and its rounding error, which is a number too (Knuth's two-sum)."""
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


def _first_members(view: NormalizedRows, partition: Partition) -> Floats:
    """Return one member of each cluster, shape (n_clusters, n_features): exact in float64, so nothing is lost to it."""
    firsts = partition.order[partition.offsets[:-1]]
    origins = np.empty((len(firsts), view.X.shape[1]))
    step = max(1, _DENSE_BYTES // (8 * origins.shape[1]))
    for start in range(0, len(firsts), step):
        rows, places = view.measure(firsts[start : start + step])
        origins[start : start + step] = (rows.X[places] - rows.shift[places, None]) * rows.scale[places, None]
    return origins


def _sum_around_origins(
    view: NormalizedRows,
    partition: Partition,
    clusters: Indices,
    origins: Floats,
    offsets: Floats,
    variances: Floats,
    n_jobs: int,
    tick: ProgressCallback,
) -> None:
    """Write offsets and variances of some clusters: sums over pieces of fixed size, added in order."""
    n_features = origins.shape[1]
    order = _find_members(partition, clusters)
    weights = None if partition.sample_weight is None else partition.sample_weight[order]
    piece_rows = int(np.clip(_PIECE_BYTES // (view.X.dtype.itemsize * n_features), 1, _PIECE_ROWS))
    groups, bounds = _cut_pieces(clusters, partition.sizes[clusters], piece_rows)
    offsets[clusters], variances[clusters] = 0.0, 0.0
    wave = max(16, _SUMS_BYTES // (8 * n_features))
    sums, squares = np.empty((min(wave, len(groups)), n_features)), np.empty(min(wave, len(groups)))

    for start in range(0, len(groups), wave):
        stop = min(start + wave, len(groups))

        def sum_pieces(task: slice, interrupt: NDArray[np.uint8], start: int = start) -> None:
            if interrupt[0]:
                return
            edges = bounds[task.start : task.stop + 1]
            rows, places = view.measure(order[edges[0] : edges[-1]])
            here = slice(task.start - start, task.stop - start)
            kernels.sum_offsets_pieces(
                rows,
                places,
                None if weights is None else weights[edges[0] : edges[-1]],
                edges - edges[0],
                groups[task],
                origins,
                sums[here],
                squares[here],
            )

        tasks = _bundle_pieces(bounds, start, stop, piece_rows)
        costs = [float(bounds[task.stop] - bounds[task.start]) for task in tasks]
        run_tasks(sum_pieces, tasks, costs, n_jobs=n_jobs, tick=scale_progress(tick, sum(costs) / len(order)))
        for group, total, square in zip(groups[start:stop], sums, squares, strict=False):
            offsets[group] += total
            variances[group] += square
    _divide_moments(view, partition, clusters, offsets, variances)


def _divide_moments(
    view: NormalizedRows, partition: Partition, clusters: Indices, offsets: Floats, variances: Floats
) -> None:
    """Turn sums into a mean and a variance; a cluster whose rows have no direction keeps zeros."""
    sizes, without = _count_members(view, partition)
    counts = _or_one(sizes - without)[clusters]
    offsets[clusters] /= counts[:, None]
    means = offsets[clusters]
    variances[clusters] = np.maximum(variances[clusters] / counts - np.einsum("ij,ij->i", means, means), 0.0)


def _find_members(partition: Partition, clusters: Indices) -> Indices:
    if len(clusters) == partition.n_clusters:
        return partition.order
    edges = partition.offsets
    return np.concatenate([partition.order[edges[c] : edges[c + 1]] for c in clusters])


def _cut_pieces(clusters: Indices, sizes: Indices, piece_rows: int) -> tuple[Indices, Indices]:
    """Cluster of every piece, and where each begins among the members of these clusters."""
    counts = -(-sizes // piece_rows)
    groups = np.repeat(clusters, counts)
    ranks = np.arange(len(groups)) - np.repeat(np.cumsum(counts) - counts, counts)
    lengths = np.minimum(np.repeat(sizes, counts) - ranks * piece_rows, piece_rows)
    return groups, np.concatenate([[0], np.cumsum(lengths)]).astype(np.intp)


def _bundle_pieces(bounds: Indices, start: int, stop: int, piece_rows: int) -> list[slice]:
    """Bundle neighboring pieces until they have rows enough for one task."""
    marks = np.arange(bounds[start], bounds[stop], piece_rows)
    cuts = np.unique(np.append(np.searchsorted(bounds[start:stop], marks), stop - start)) + start
    return [slice(int(a), int(b)) for a, b in pairwise(cuts)]

"""Squared Euclidean, cosine and correlation: mean distances from moments of clusters, without pairs.

With ``u = z - mu`` relative to the mean of cluster C, and ``var`` the mean squared distance of its members to it,

    mean over y in C of |z - y|^2 = |u|^2 + var;

over the other members of its own cluster it is that, times |C| / (|C| - 1). Cosine distance is
``1 - z . y = |z - y|^2 / 2`` on rows of length 1, a form that keeps the digits which 1 - z . y loses for rows of
nearly one direction; correlation distance is the same on rows whose mean is subtracted first. A row of zeros has
no direction: its cosine distance to every other row is 1, so such rows enter by their number only.

Cost: two passes over the rows, n k d multiplications in all, O(k d) memory beside the results.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from fastsil.kernels import linear as kernels
from fastsil.parallel import Tick, ignore_progress, part_of, run_tasks
from fastsil.partition import Partition
from fastsil.terms import SilhouetteTerms, Work

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

# A piece of a cluster is summed by one thread; its rows should stay in a second-level cache between the pass
# that measures them and the one that adds them up. Sums of more rows than that would lose digits.
_PIECE_BYTES = 1 << 20
_PIECE_ROWS = 4096

# Partial sums in flight, all threads together.
_SUMS_BYTES = 16 << 20

# Multiplications in one task of the second pass: about 1 ms, long beside its start, short beside an interrupt.
_TASK_PRODUCTS = 1 << 25
_TASK_ROWS = (64, 4096)

# Bytes of one task's rows when they are made dense for it, for sparse input.
_DENSE_BYTES = 1 << 20

# Where the squared distance between origin and mean is so many times the variance, the variance has lost as
# much of its digits: its cluster is summed again around the mean.
_FAR_ORIGIN = 64.0

# Rows of length 1 carry rounding of a few 1e-16; half of a squared distance below that squared is none.
_SAME_DIRECTION = 2.0**-98

_SHARE_OF_MOMENTS = 0.3


def _measure_nothing(X: Any, members: Indices, shift: Floats, scale: Floats) -> None:
    """Squared Euclidean distance takes rows as they are."""


def _measure_lengths(X: Any, members: Indices, shift: Floats, scale: Floats) -> None:
    kernels.measure_lengths(X, members, scale)


@dataclass(frozen=True)
class _Geometry:
    """How rows are seen, and what a squared distance between them stands for.

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


_GEOMETRIES = {
    "sqeuclidean": _Geometry(_measure_nothing, factor=1.0, resolution=0.0),
    "cosine": _Geometry(_measure_lengths, factor=0.5, resolution=_SAME_DIRECTION),
    "correlation": _Geometry(kernels.measure_spreads, factor=0.5, resolution=_SAME_DIRECTION),
}


def compute_terms(X: Any, partition: Partition, *, n_jobs: int, tick: Tick, metric: str) -> SilhouetteTerms:
    """Mean distances of every sample, exactly, in O(n_samples * n_clusters * n_features).

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features), float32 or float64
        Samples. An array is C-contiguous and read in place; of a CSR matrix a few rows at a time are made dense.
    partition : Partition
        Samples grouped by cluster.
    n_jobs : int
        Number of threads; the result does not depend on it.
    tick : callable
        Told shares of the work as they are finished.
    metric : {"sqeuclidean", "cosine", "correlation"}
        The distance.

    Raises
    ------
    ValueError
        If the metric is correlation and all entries of a row are equal.
    """
    geometry = _GEOMETRIES[metric]
    source = _Source(_readable(X), geometry, np.zeros(partition.n_samples), np.ones(partition.n_samples))
    started = time.perf_counter()
    origins, offsets, variances = _sum_moments(source, partition, n_jobs, part_of(tick, _SHARE_OF_MOMENTS))
    without = np.flatnonzero(source.scale == 0.0)
    if metric == "correlation" and len(without):
        raise ValueError(
            f"correlation has no value for a row whose entries are all equal: row {without[0]}"
            f"{f' and {len(without) - 1} more' if len(without) > 1 else ''}. Drop such rows first."
        )
    centres = _centres_of(origins, offsets, variances, without, partition, geometry)
    moments_done = time.perf_counter()
    nearest = _find_nearest(source, partition, centres, n_jobs, part_of(tick, 1 - _SHARE_OF_MOMENTS))
    _set_rows_without_direction(nearest, without, partition)
    for values in (nearest.own, nearest.other):
        values[values < geometry.resolution] = 0.0
    seconds = {"moments": moments_done - started, "distances": time.perf_counter() - moments_done}
    work = Work(strategy=f"linear: {metric}", pairs=0, share=0.0, seconds=seconds)
    return SilhouetteTerms(a=nearest.own, b=nearest.other, neighbor=nearest.which, work=work)


@dataclass(frozen=True)
class _Source:
    """The samples, seen through a shift and a scale each, which are written as they become known."""

    X: Any
    geometry: _Geometry
    shift: Floats
    scale: Floats

    def measure(self, members: Indices) -> tuple[kernels.Rows, Indices]:
        """Find shift and scale of some rows; return rows to hand to a kernel, and where in them these are."""
        if not _is_sparse(self.X):
            self.geometry.measure(self.X, members, self.shift, self.scale)
            return kernels.Rows(self.X, self.shift, self.scale), members
        rows = kernels.Rows(_dense_rows(self.X, members), self.shift[members], self.scale[members])
        places = np.arange(len(members))
        self.geometry.measure(rows.X, places, rows.shift, rows.scale)
        self.shift[members], self.scale[members] = rows.shift, rows.scale
        return rows, places


def _is_sparse(X: Any) -> bool:
    return bool(issparse(X))


def _dense_rows(X: Any, members: Indices | slice) -> NDArray[Any]:
    """Some rows as a dense array, a view if it can be; read-only, so that kernels meet one type."""
    rows = X[members].toarray() if _is_sparse(X) else X[members]
    rows.flags.writeable = False
    return rows  # type: ignore[no-any-return]


def _readable(X: Any) -> Any:
    """X as the engine reads it: a read-only view of a plain array; CSR without repeated entries."""
    if not _is_sparse(X):
        return _dense_rows(np.asarray(X), slice(None))
    if not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    return X


def _sum_moments(source: _Source, partition: Partition, n_jobs: int, tick: Tick) -> tuple[Floats, Floats, Floats]:
    """Mean of each cluster as origin and offset, and its variance; rows without direction left out."""
    origins = _first_members(source, partition)
    offsets, variances = np.zeros_like(origins), np.zeros(len(origins))
    _sum_around_origins(source, partition, np.arange(len(origins)), origins, offsets, variances, n_jobs, tick)
    # A second round for the few clusters whose first member lies far outside; it is not part of the progress.
    far = np.flatnonzero(np.einsum("ij,ij->i", offsets, offsets) > _FAR_ORIGIN * variances)
    if len(far):
        origins[far] += offsets[far]
        _sum_around_origins(source, partition, far, origins, offsets, variances, n_jobs, ignore_progress)
    return origins, offsets, variances


def _first_members(source: _Source, partition: Partition) -> Floats:
    """One member of each cluster, shape (n_clusters, n_features): exact in float64, so nothing is lost to it."""
    firsts = partition.order[partition.offsets[:-1]]
    origins = np.empty((len(firsts), source.X.shape[1]))
    step = max(1, _DENSE_BYTES // (8 * origins.shape[1]))
    for start in range(0, len(firsts), step):
        rows, places = source.measure(firsts[start : start + step])
        origins[start : start + step] = (rows.X[places] - rows.shift[places, None]) * rows.scale[places, None]
    return origins


def _sum_around_origins(
    source: _Source,
    partition: Partition,
    clusters: Indices,
    origins: Floats,
    offsets: Floats,
    variances: Floats,
    n_jobs: int,
    tick: Tick,
) -> None:
    """Write offsets and variances of some clusters: sums over pieces of fixed size, added in order."""
    n_features = origins.shape[1]
    order = _members_of(partition, clusters)
    piece_rows = int(np.clip(_PIECE_BYTES // (source.X.dtype.itemsize * n_features), 1, _PIECE_ROWS))
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
            rows, places = source.measure(order[edges[0] : edges[-1]])
            here = slice(task.start - start, task.stop - start)
            kernels.sum_offsets_pieces(rows, places, edges - edges[0], groups[task], origins, sums[here], squares[here])

        tasks = _bundle_pieces(bounds, start, stop, piece_rows)
        costs = [float(bounds[task.stop] - bounds[task.start]) for task in tasks]
        run_tasks(sum_pieces, tasks, costs, n_jobs=n_jobs, tick=part_of(tick, sum(costs) / len(order)))
        for group, total, square in zip(groups[start:stop], sums, squares, strict=False):
            offsets[group] += total
            variances[group] += square
    _divide_moments(source, partition, clusters, offsets, variances)


def _divide_moments(
    source: _Source, partition: Partition, clusters: Indices, offsets: Floats, variances: Floats
) -> None:
    """Turn sums into a mean and a variance; a cluster whose rows have no direction keeps zeros."""
    without = np.bincount(partition.codes[source.scale == 0.0], minlength=len(offsets))
    counts = np.maximum(partition.sizes - without, 1)[clusters]
    offsets[clusters] /= counts[:, None]
    means = offsets[clusters]
    variances[clusters] = np.maximum(variances[clusters] / counts - np.einsum("ij,ij->i", means, means), 0.0)


def _members_of(partition: Partition, clusters: Indices) -> Indices:
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
    """Neighbouring pieces, until they have rows enough for one task."""
    marks = np.arange(bounds[start], bounds[stop], piece_rows)
    cuts = np.unique(np.append(np.searchsorted(bounds[start:stop], marks), stop - start)) + start
    return [slice(int(a), int(b)) for a, b in pairwise(cuts)]


def _centres_of(
    origins: Floats,
    offsets: Floats,
    variances: Floats,
    without: Indices,
    partition: Partition,
    geometry: _Geometry,
) -> kernels.Centres:
    """Mean distance to a cluster as ``weight * |z - mu|^2 + constant``; rows without direction are at distance 1."""
    sizes = partition.sizes
    n_without = np.bincount(partition.codes[without], minlength=len(sizes))
    weights = geometry.factor * (sizes - n_without) / sizes
    return kernels.Centres(
        origins=origins,
        offsets=offsets,
        weights=weights,
        constants=weights * variances + n_without / sizes,
        own_factors=np.where(sizes > 1, sizes / np.maximum(sizes - 1, 1), 0.0),
    )


def _screen_of(centres: kernels.Centres, partition: Partition) -> kernels.Screen:
    """The centres relative to the mean of all samples, so that products are as small as they can be."""
    shares = partition.sizes / partition.n_samples
    origin = shares @ centres.origins + shares @ centres.offsets
    n_centres, n_features = centres.origins.shape
    n_padded = -(-n_centres // 4) * 4
    relative, weights, constants = np.zeros((n_padded, n_features)), np.zeros(n_padded), np.zeros(n_padded)
    np.subtract(centres.origins, origin, out=relative[:n_centres])
    relative[:n_centres] += centres.offsets
    weights[:n_centres], constants[:n_centres] = centres.weights, centres.constants
    return kernels.Screen(origin, relative, np.einsum("ij,ij->i", relative, relative), weights, constants)


def _find_nearest(
    source: _Source, partition: Partition, centres: kernels.Centres, n_jobs: int, tick: Tick
) -> kernels.Nearest:
    n_samples = partition.n_samples
    screen = _screen_of(centres, partition)
    nearest = kernels.Nearest(np.empty(n_samples), np.empty(n_samples), np.empty(n_samples, dtype=np.int32))

    def find_rows(task: slice, interrupt: NDArray[np.uint8]) -> None:
        rows = kernels.Rows(_dense_rows(source.X, task), source.shift[task], source.scale[task])
        here = kernels.Nearest(nearest.own[task], nearest.other[task], nearest.which[task])
        kernels.find_nearest_rows(rows, partition.codes[task], centres, screen, here, interrupt)

    step = int(np.clip(_TASK_PRODUCTS // centres.origins.size, *_TASK_ROWS))
    if _is_sparse(source.X):
        step = min(step, max(1, _DENSE_BYTES // (8 * source.X.shape[1])))
    tasks = [slice(start, min(start + step, n_samples)) for start in range(0, n_samples, step)]
    run_tasks(find_rows, tasks, [task.stop - task.start for task in tasks], n_jobs=n_jobs, tick=tick)
    return nearest


def _set_rows_without_direction(nearest: kernels.Nearest, without: Indices, partition: Partition) -> None:
    """Distance 1 to every other row: to all clusters alike, so the first other one is nearest."""
    codes = partition.codes[without]
    nearest.own[without] = partition.sizes[codes] > 1
    nearest.other[without] = 1.0
    nearest.which[without] = codes == 0

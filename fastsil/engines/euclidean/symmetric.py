"""Sums of distances from every sample to every group, from all pairs, each computed once for both sides.

The order of the samples is cut into parts, and every two parts meet once: in a tile of their distances, a row is
summed over runs of columns of equal groups, and a column over such runs of rows. Groups may thus be far smaller than
a tile, and there may be several groupings at once.
"""

from __future__ import annotations

from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.euclidean.tiles import samples_from, tile_workspaces
from fastsil.engines.pair_schedule import find_earlier_tasks, piece_rows, schedule_tournament
from fastsil.engines.scaling import ScaledData
from fastsil.kernels import euclidean as kernels
from fastsil.kernels.micro import ROWS
from fastsil.kernels.nearest import keep_nearest
from fastsil.kernels.tiles import Samples
from fastsil.runtime.progress import ProgressCallback, scale_progress
from fastsil.runtime.threads import in_batches, run_tasks
from fastsil.validation.partition import Partition

# More clusters than this are cut together where they are small, into blocks of this number of samples, so that tiles
# are full. Pairs within a cluster are computed a second time there; smaller blocks take longer for n = 2,000 to 10,000.
_MANY_CLUSTERS = 48
_BLOCK = ROWS
# Bytes of the sums that are held at a time: of all, or a sample, whichever is more. From 8 MB to 128 they take the same
# time (n = 40,000, d = 100, k = 100 and 1,000).
_SUMS_BYTES = 16 << 20
_SUMS_BYTES_A_SAMPLE = 16


class Part(NamedTuple):
    """A range of positions in the order: some members of one cluster, or of several."""

    start: int
    end: int
    origin: int  # row of the origins that its distances are computed from
    is_mixed: bool  # whether the origin is that of several clusters


class Groups(NamedTuple):
    """Groups that distances are summed by; all arrays by position in the order.

    Attributes
    ----------
    cells : ndarray of shape (n_samples,), int32
        Neighbors with equal cells are in the same groups; cells rise within a part.
    slots : ndarray of shape (n_samples, n_groupings), int32
        Where the sample's group of each grouping is summed.
    n_slots : int
        Number of sums of a sample.
    """

    cells: NDArray[np.int32]
    slots: NDArray[np.int32]
    n_slots: int


def sum_by_groups(
    samples: Samples,
    meetings: list[tuple[Part, Part]],
    groups: Groups,
    *,
    n_jobs: int,
    tick: ProgressCallback,
    apart: bool = False,
) -> tuple[NDArray[np.float64], int]:
    """Sum the distances between parts, and within those that meet themselves, by groups.

    Parameters
    ----------
    samples : Samples
        Data, order and origins as the kernels take them.
    meetings : list of pairs of Part
        In the order in which they are added.
    groups : Groups
        What is summed.
    n_jobs : int
        Number of threads. The result has the same bits for any.
    tick : callable
        Called with the share of the work that has been finished.
    apart : bool
        Whether sums of parts that are the first in their meeting are kept apart from those of the second: a part can
        then be in two meetings at once, in either place.

    Returns
    -------
    sums : ndarray of shape (n_slots, n_samples), or (2, n_slots, n_samples) where they are kept apart
        By position, scaled.
    n_pairs : int
        Pairs that were computed.
    """
    n_samples = len(samples.order)
    sums = np.zeros((1 + apart, groups.n_slots, n_samples))
    workspaces = tile_workspaces(samples.origins.dtype, samples.X.shape[1])
    # The origin is best that of one cluster.
    ordered = [(two, one) if two.is_mixed and not one.is_mixed else (one, two) for one, two in meetings]
    listed = [(*rows[:2], *columns[:2], columns.origin, columns.is_mixed) for rows, columns in ordered]
    tasks = np.array(listed, dtype=np.intp).reshape(-1, 6)
    pairs = (tasks[:, 1] - tasks[:, 0]) * (tasks[:, 3] - tasks[:, 2]) / np.where(tasks[:, 0] == tasks[:, 2], 2, 1)
    # Sums are named by where they begin.
    begins = (tasks[:, (0, 2)] + (0, n_samples if apart else 0)).tolist()

    def add(index: int, stop: NDArray[np.uint8]) -> None:
        task = tasks[index : index + 1]
        with workspaces.lend() as workspace:
            kernels.add_distances_by_groups(
                samples, task, groups.cells, groups.slots, workspace, sums[0], sums[-1], stop
            )

    run_tasks(add, range(len(tasks)), pairs.tolist(), n_jobs=n_jobs, tick=tick, after=find_earlier_tasks(begins))
    return sums if apart else sums[0], int(pairs.sum())


def find_nearest_clusters(
    data: ScaledData, centers: NDArray[np.float64], *, n_jobs: int, tick: ProgressCallback
) -> tuple[NDArray[np.float64], NDArray[np.int32], int]:
    """Find the least mean distance from each sample to another cluster, and that cluster, from all pairs.

    Sums to all clusters would take too much memory where these are many. So clusters are cut into ranges, and only
    what two ranges are to each other is held at a time.

    Parameters
    ----------
    data : ScaledData
        Samples and partition.
    centers : ndarray of shape (n_clusters, n_features)
        Mean of every cluster, scaled.
    n_jobs, tick
        As for :func:`sum_by_groups`.

    Returns
    -------
    mean : ndarray of shape (n_samples,)
        By position in the order, scaled.
    cluster : ndarray of shape (n_samples,), int32
        The first cluster that has it.
    n_pairs : int
        Pairs that were computed.
    """
    mean = np.full(data.partition.n_samples, np.inf)
    cluster = np.full(data.partition.n_samples, -1, dtype=np.int32)
    ranges = [_Range(data, centers, *clusters) for clusters in pairwise(_cut_clusters(data.partition))]
    # A sample meets the ranges in their order, so that of clusters that tie the first is found.
    pairs = [(one, other) for index, one in enumerate(ranges) for other in ranges[index:]]
    work = np.array([float(len(one.order) * len(other.order)) for one, other in pairs])
    n_pairs = 0
    for (one, other), share in zip(pairs, work / work.sum(), strict=True):
        sides = [one] if one is other else [one, other]
        sums, computed = sum_by_groups(
            samples_from(
                data,
                np.concatenate([side.order for side in sides]),
                np.concatenate([side.origins for side in sides]),
            ),
            one.meetings_within() if one is other else one.meetings_with(other),
            Groups(
                np.concatenate([side.codes for side in sides]),
                np.concatenate([side.codes - side.first for side in sides])[:, None],
                max(side.n_clusters for side in sides),
            ),
            n_jobs=n_jobs,
            tick=scale_progress(tick, share),
        )
        n_pairs += computed
        at = 0
        for side, others in zip(sides, reversed(sides), strict=True):
            end = at + len(side.order)
            places = slice(side.start, side.start + len(side.order))
            _keep_nearest(
                sums[: others.n_clusters, at:end],
                side.codes,
                others,
                data.partition,
                mean[places],
                cluster[places],
                n_jobs,
            )
            at = end
        # Not to be held together with those of the next two.
        del sums
    return mean, cluster, n_pairs


class _Range:
    """A range of clusters, cut into parts: large clusters into equal ones, runs of small clusters into blocks."""

    def __init__(self, data: ScaledData, centers: NDArray[np.float64], first: int, last: int) -> None:
        offsets = data.partition.offsets
        self.first = first
        self.n_clusters = last - first
        self.start = int(offsets[first])
        self.order = data.partition.order[self.start : offsets[last]]
        self.codes = data.partition.codes[self.order]
        cuts = _cut_positions(data.partition, first, last)
        firsts = np.searchsorted(offsets, cuts[:-1], side="right") - 1
        ends = np.searchsorted(offsets, cuts[1:])
        self.origins = np.empty((len(firsts), centers.shape[1]), data.dtype)
        self.parts = []
        for index, (start, end) in enumerate(pairwise(cuts.tolist())):
            inside = slice(firsts[index], ends[index])
            counts = np.diff(offsets[inside.start : inside.stop + 1].clip(start, end))
            self.origins[index] = counts @ centers[inside] / (end - start)
            self.parts.append(Part(start - self.start, end - self.start, index, len(counts) > 1))

    def meetings_within(self) -> list[tuple[Part, Part]]:
        """List the meetings of the parts, but for those of one cluster."""
        diagonal = [(part, part) for part in self.parts if part.is_mixed]
        crossing = chain.from_iterable(schedule_tournament(self.parts))
        return diagonal + [(one, two) for one, two in crossing if self._cluster(one) != self._cluster(two)]

    def meetings_with(self, other: _Range) -> list[tuple[Part, Part]]:
        """List the meetings with the parts of another range, whose positions come after those of this one."""
        moved = [
            Part(start + len(self.order), end + len(self.order), origin + len(self.parts), is_mixed)
            for start, end, origin, is_mixed in other.parts
        ]
        few, many = sorted((self.parts, moved), key=len)
        # In turns in which no part occurs twice.
        return [(part, many[(place + turn) % len(many)]) for turn in range(len(many)) for place, part in enumerate(few)]

    def _cluster(self, part: Part) -> int:
        """Return the cluster of a part, or a number that is none where there are several."""
        return -1 - part.origin if part.is_mixed else int(self.codes[part.start])


def _cut_positions(partition: Partition, first: int, last: int) -> NDArray[np.intp]:
    """Cut a range of clusters into parts; return where they begin, and where the last one ends."""
    offsets, n_samples = partition.offsets, partition.n_samples
    block = _BLOCK if partition.n_clusters > _MANY_CLUSTERS else 0
    is_small = np.diff(offsets[first : last + 1]) <= block
    # Runs of small clusters, and large clusters.
    edges = first + np.flatnonzero(~(is_small[1:] & is_small[:-1])) + 1
    cuts = []
    for low, high in pairwise([first, *edges.tolist(), last]):
        start, end = offsets[low], offsets[high]
        if is_small[low - first]:
            cuts.append(np.arange(start, end, block))
        else:
            n_parts = -(-(end - start) // piece_rows(n_samples))
            cuts.append(start + (end - start) * np.arange(n_parts) // n_parts)
    return np.concatenate([*cuts, offsets[last : last + 1]])


def _cut_clusters(partition: Partition) -> list[int]:
    """Cut the clusters into ranges whose sums to each other fit; return where they begin, and the number of all."""
    n_samples, n_clusters = partition.n_samples, partition.n_clusters
    most = max(_SUMS_BYTES, _SUMS_BYTES_A_SAMPLE * n_samples)
    # Ranges have as many clusters and samples, together, as each other.
    load = partition.offsets / n_samples + np.arange(n_clusters + 1) / n_clusters
    n_ranges = 1
    while True:
        edges = np.unique(np.searchsorted(load, np.linspace(0.0, load[-1], n_ranges + 1)))
        n_samples_held = np.diff(partition.offsets[edges]).max() * min(2, len(edges) - 1)
        if 8 * n_samples_held * np.diff(edges).max() <= most:
            return [int(edge) for edge in edges]
        if n_ranges >= n_clusters:
            return list(range(n_clusters + 1))
        n_ranges += 1


def _keep_nearest(
    sums: NDArray[np.float64],
    own: NDArray[np.int32],
    others: _Range,
    partition: Partition,
    mean: NDArray[np.float64],
    cluster: NDArray[np.int32],
    n_jobs: int,
) -> None:
    """Update the nearest clusters of some samples with their sums to the clusters of a range."""
    unused = np.empty(len(own))

    def keep(batch: range, stop: NDArray[np.uint8]) -> None:
        rows = slice(batch.start, batch.stop)
        means = unused[rows], mean[rows], cluster[rows]
        keep_nearest(sums[:, rows], own[rows], others.first, partition.totals, None, *means)

    batches = in_batches(len(own), n_jobs=n_jobs)
    run_tasks(keep, batches, [len(batch) for batch in batches], n_jobs=n_jobs)

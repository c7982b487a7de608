"""Euclidean distance for several partitions of the same samples: one pass over all pairs serves all of them.

Distances do not depend on labels. Each tile of distances is computed once, for both sides, and added into the sums of
every partition (:func:`fastsil.kernels.euclidean.add_distances_by_groups`). Samples are sorted by the finest
partition, then by the others, so that neighbors mostly share all their clusters: a tile is first summed over such
runs, and only those sums are added for each partition.

The order also makes blocks of neighbors compact. The center of the columns' block is the origin of a tile; a pair
that is much nearer than its distance to the origin is computed again by differences, for all labels.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config

from fastsil.engines.euclidean.moments import cluster_centers
from fastsil.engines.euclidean.symmetric import Groups, Part, sum_by_groups
from fastsil.engines.euclidean.tiles import samples_from
from fastsil.engines.pair_schedule import piece_rows, worthwhile_threads
from fastsil.engines.scaling import scale_data
from fastsil.engines.terms import SilhouetteTerms, Work, nearest_from_sums
from fastsil.kernels.micro import ROWS
from fastsil.runtime.memory import require
from fastsil.runtime.progress import ProgressCallback
from fastsil.runtime.threads import run_over_rows
from fastsil.validation.partition import Partition

# Costs of an ordered pair in products of one feature, from n = 20,000, d = 128 and 512, k = 2 to 16: what a pair costs
# beyond its products, and what one more partition costs in the pass.
_PAIR_COST = 160.0
_PARTITION_COST = 10.0
# Products a second of one core in such a pass, from the same measurements.
_RATE = 1e11
# Blocks, of which each can be in two meetings at once; for more threads than blocks they are cut into units of a tile,
# whose rows are packed more often: a tenth more time. Blocks of 384, 768 and 1,152 samples (n = 20,000, k = 2 to 16,
# two cores) take 0.73, 0.69 and 0.65 s at d = 512, 0.50, 0.44 and 0.42 at d = 128.
_BLOCKS = 24
# Of the sums of a sample for a cluster: its block is the first of a meeting, or the second.
_SUM_BYTES = 16
# Samples whose sums one thread looks through, in all partitions.
_STEP = 1 << 9
# Pairs that the engine for one partition computes: all, each once for both sides, or this number of clusters a sample.
_SYMMETRIC_SHARE = 0.5
_PRUNED_CLUSTERS = 2.2


def choose_together(partitions: Sequence[Partition], n_features: int) -> list[int]:
    """Choose the partitions that one pass serves faster than one pass each; return their places, empty if there are
    none.

    The sums of all of them, 16 bytes for each sample and cluster, stay within scikit-learn's ``working_memory``.
    """
    budget = get_config()["working_memory"] * 2**20 / (_SUM_BYTES * partitions[0].n_samples)
    pair = n_features + _PAIR_COST
    gains = [pair * _share_alone(partition) - _PARTITION_COST for partition in partitions]
    chosen: list[int] = []
    for place in sorted(range(len(partitions)), key=lambda place: (-gains[place], place)):
        if gains[place] > 0 and partitions[place].n_clusters <= budget:
            budget -= partitions[place].n_clusters
            chosen.append(place)
    return sorted(chosen) if sum(gains[place] for place in chosen) > pair * _SYMMETRIC_SHARE else []


def estimate_seconds(shape: tuple[int, int], n_jobs: int) -> float:
    """Estimate the time of a pass over all pairs of ``shape[0]`` samples of ``shape[1]`` features."""
    return _SYMMETRIC_SHARE * shape[0] ** 2 * (shape[1] + _PAIR_COST) / (_RATE * n_jobs)


def _share_alone(partition: Partition) -> float:
    """Share of all pairs that the engine for one partition is likely to compute."""
    typical = float(np.sum((partition.sizes / partition.n_samples) ** 2))
    return min(_SYMMETRIC_SHARE, _PRUNED_CLUSTERS * typical)


def compute_terms(X: NDArray[Any], partition: Partition, *, n_jobs: int, tick: ProgressCallback) -> SilhouetteTerms:
    """Compute the mean Euclidean distances of every sample, from all pairs.

    Parameters
    ----------
    X, partition, n_jobs, tick
        As for :func:`compute_terms_many`, with one partition.
    """
    return compute_terms_many(X, [partition], n_jobs=n_jobs, tick=tick)[0]


def compute_terms_many(
    X: NDArray[Any], partitions: Sequence[Partition], *, n_jobs: int, tick: ProgressCallback
) -> list[SilhouetteTerms]:
    """Compute the mean Euclidean distances of every sample in each of several partitions.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64, C-contiguous
        Samples; read in place.
    partitions : sequence of Partition
        Several partitions of these samples.
    n_jobs : int
        Number of threads. The result has the same bits for any.
    tick : callable
        Called with the share of the work that has been finished.
    """
    n_clusters = sum(partition.n_clusters for partition in partitions)
    require(
        float(_SUM_BYTES) * n_clusters * len(X),
        f"Sums of distances from {len(X):,} samples to {n_clusters:,} clusters",
        "Score fewer labelings at once, or lower scikit-learn's working_memory (sklearn.set_config).",
    )
    started = time.perf_counter()
    n_jobs = worthwhile_threads(X.shape, n_jobs)
    blocks, cells = _blocks_and_cells(partitions)
    data = scale_data(X, blocks, n_jobs)
    # Without weights: a block may have none.
    origins = cluster_centers(data, n_jobs).astype(data.dtype)
    data = replace(data, partition=blocks.weighted(partitions[0].sample_weight))
    firsts = np.cumsum([0, *(partition.n_clusters for partition in partitions)])
    slots = np.empty((len(X), len(partitions)), dtype=np.int32)

    def fill(places: slice) -> None:
        for column, (partition, first) in enumerate(zip(partitions, firsts, strict=False)):
            slots[places, column] = partition.codes[blocks.order[places]] + first

    run_over_rows(fill, len(X), n_jobs=n_jobs, step=_STEP)
    parts = [Part(start, end, block, True) for block, (start, end) in enumerate(pairwise(blocks.offsets.tolist()))]
    sums, n_pairs = sum_by_groups(
        samples_from(data, blocks.order, origins),
        _schedule_meetings(parts, n_jobs),
        Groups(cells, slots, int(firsts[-1])),
        n_jobs=n_jobs,
        tick=tick,
        apart=True,
    )
    work = Work(
        strategy=f"euclidean: all pairs, for {len(partitions)} labelings",
        pairs=n_pairs,
        share=n_pairs / len(X) ** 2,
        seconds={"all pairs": time.perf_counter() - started},
    )
    found = [_make_terms(len(X), data.exponent, work) for _ in partitions]

    def finish(places: slice) -> None:
        rows = blocks.order[places]
        for partition, first, terms in zip(partitions, firsts, found, strict=False):
            own_totals = None if partition.own_totals is None else partition.own_totals[rows]
            some = sums[:, first : first + partition.n_clusters, places].sum(axis=0)
            terms.a[rows], terms.b[rows], terms.neighbor[rows] = nearest_from_sums(
                some, partition.codes[rows], partition.totals, own_totals
            )

    run_over_rows(finish, len(X), n_jobs=n_jobs, step=_STEP)
    return found


def _make_terms(n_samples: int, exponent: int, work: Work) -> SilhouetteTerms:
    a, b = np.empty((2, n_samples))
    return SilhouetteTerms(a, b, np.empty(n_samples, dtype=np.int32), work, exponent)


def _schedule_meetings(parts: list[Part], n_jobs: int) -> list[tuple[Part, Part]]:
    """List the meetings of all blocks; for more threads than blocks, cut into those of units.

    Every unit is in the same sums in the same order, so that the results are the same to the bit.
    """
    turns = [[(part, part) for part in parts], *_schedule_turns(parts)]
    if n_jobs > len(parts):
        units = {part: _cut_part(part) for part in parts}
        turns = [_cut_meetings(meetings, units) for meetings in turns]
    return list(chain.from_iterable(turns))


def _schedule_turns(parts: list[Part]) -> list[list[tuple[Part, Part]]]:
    """Schedule the meetings of all blocks with others, in turns in which each is the first of one and the second of
    another; in the last turn of an even number, of one.
    """
    n_parts = len(parts)
    return [
        [(parts[place], parts[(place + turn) % n_parts]) for place in range(n_parts if 2 * turn < n_parts else turn)]
        for turn in range(1, n_parts // 2 + 1)
    ]


def _cut_meetings(meetings: list[tuple[Part, Part]], units: dict[Part, list[Part]]) -> list[tuple[Part, Part]]:
    """Cut the meetings of blocks into those of their units.

    A unit meets the units of the other block in their order. Where each begins a turn after the one before it, all are
    at work all the time, as that is so in the next meeting too.
    """
    cut = [
        (a + b, one, other)
        for rows, columns in meetings
        for a, one in enumerate(units[rows])
        for b, other in enumerate(units[columns])
        if rows != columns or a <= b
    ]
    cut.sort(key=lambda meeting: meeting[0])
    return [(one, other) for _, one, other in cut]


def _cut_part(part: Part) -> list[Part]:
    starts = range(part.start, part.end, ROWS)
    return [part._replace(start=start, end=min(start + ROWS, part.end)) for start in starts]


def _blocks_and_cells(partitions: Sequence[Partition]) -> tuple[Partition, NDArray[np.int32]]:
    """Order samples so that those with equal labels are together; return them cut into blocks, and the runs of equal
    labels.
    """
    by_fineness = sorted(partitions, key=lambda partition: partition.n_clusters)
    codes = np.stack([partition.codes for partition in by_fineness])
    order = np.lexsort(codes)
    n_samples = len(order)
    changes = (np.diff(codes[:, order], axis=1) != 0).any(axis=0)
    cells = np.concatenate([[0], np.cumsum(changes)]).astype(np.int32)
    n_blocks = -(-n_samples // piece_rows(n_samples, n_pieces=_BLOCKS))
    offsets = np.array([n_samples * block // n_blocks for block in range(n_blocks + 1)], dtype=np.intp)
    block_codes = np.empty(n_samples, dtype=np.int32)
    block_codes[order] = np.repeat(np.arange(n_blocks, dtype=np.int32), np.diff(offsets))
    return Partition(np.arange(n_blocks), block_codes, order, offsets), cells

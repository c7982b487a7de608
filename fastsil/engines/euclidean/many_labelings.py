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
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import get_config

from fastsil.engines.euclidean.moments import cluster_centers
from fastsil.engines.euclidean.symmetric import Groups, Part, sum_by_groups
from fastsil.engines.euclidean.tiles import samples_from
from fastsil.engines.pair_schedule import piece_rows, schedule_tournament, worthwhile_threads
from fastsil.engines.scaling import scale_data
from fastsil.engines.terms import SilhouetteTerms, Work, nearest_from_sums
from fastsil.runtime.memory import require
from fastsil.runtime.progress import ProgressCallback
from fastsil.validation.partition import Partition

# Costs of an ordered pair in products of one feature, from n = 20,000, d = 128 and 512, k = 2 to 16: what a pair costs
# beyond its products, and what one more partition costs in the pass.
_PAIR_COST = 160.0
_PARTITION_COST = 10.0
# Products a second of one core in such a pass, from the same measurements.
_RATE = 1e11
# Blocks, of which half are at work at once at most. n = 20,000, k = 2 to 16, two cores, with blocks of 384 samples, 768
# and 1,152: 0.73, 0.69 and 0.65 s at d = 512, 0.50, 0.44 and 0.42 at d = 128.
_BLOCKS = 24
# Pairs that the engine for one partition computes: all, each once for both sides, or this number of clusters a sample.
_SYMMETRIC_SHARE = 0.5
_PRUNED_CLUSTERS = 2.2


def choose_together(partitions: Sequence[Partition], n_features: int) -> list[int]:
    """Choose the partitions that one pass serves faster than one pass each; return their places, empty if there are
    none.

    The sums of all of them, 8 bytes for each sample and cluster, stay within scikit-learn's ``working_memory``.
    """
    budget = get_config()["working_memory"] * 2**20 / (8 * partitions[0].n_samples)
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
        8.0 * n_clusters * len(X),
        f"Sums of distances from {len(X):,} samples to {n_clusters:,} clusters",
        "Score fewer labelings at once, or lower scikit-learn's working_memory (sklearn.set_config).",
    )
    started = time.perf_counter()
    n_jobs = worthwhile_threads(X.shape, n_jobs)
    blocks, cells = _blocks_and_cells(partitions)
    data = scale_data(X, blocks.weighted(partitions[0].sample_weight), n_jobs)
    origins = cluster_centers(data, n_jobs).astype(data.dtype)
    firsts = np.cumsum([0, *(partition.n_clusters for partition in partitions)])
    slots = np.stack(
        [partition.codes[blocks.order] + first for partition, first in zip(partitions, firsts, strict=False)], axis=1
    ).astype(np.int32)
    parts = [Part(start, end, block, True) for block, (start, end) in enumerate(pairwise(blocks.offsets.tolist()))]
    sums, n_pairs = sum_by_groups(
        samples_from(data, blocks.order, origins),
        [(part, part) for part in parts] + list(chain.from_iterable(schedule_tournament(parts))),
        Groups(cells, slots, int(firsts[-1])),
        n_jobs=n_jobs,
        tick=tick,
    )
    work = Work(
        strategy=f"euclidean: all pairs, for {len(partitions)} labelings",
        pairs=n_pairs,
        share=n_pairs / len(X) ** 2,
        seconds={"all pairs": time.perf_counter() - started},
    )
    return [
        _finish(partition, blocks.order, sums[first : first + partition.n_clusters], data.exponent, work)
        for partition, first in zip(partitions, firsts, strict=False)
    ]


def _blocks_and_cells(partitions: Sequence[Partition]) -> tuple[Partition, NDArray[np.intp]]:
    """Order samples so that those with equal labels are together; return them cut into blocks, and the runs of equal
    labels.
    """
    by_fineness = sorted(partitions, key=lambda partition: partition.n_clusters)
    codes = np.stack([partition.codes for partition in by_fineness])
    order = np.lexsort(codes)
    n_samples = len(order)
    changes = (np.diff(codes[:, order], axis=1) != 0).any(axis=0)
    cells = np.concatenate([[0], np.cumsum(changes)]).astype(np.intp)
    n_blocks = -(-n_samples // piece_rows(n_samples, n_pieces=_BLOCKS))
    offsets = np.array([n_samples * block // n_blocks for block in range(n_blocks + 1)], dtype=np.intp)
    block_codes = np.empty(n_samples, dtype=np.int32)
    block_codes[order] = np.repeat(np.arange(n_blocks, dtype=np.int32), np.diff(offsets))
    return Partition(np.arange(n_blocks), block_codes, order, offsets), cells


def _finish(
    partition: Partition, order: NDArray[np.intp], sums: NDArray[np.float64], exponent: int, work: Work
) -> SilhouetteTerms:
    """Turn sums by position (overwritten) into terms by row of X."""
    own_totals = None if partition.own_totals is None else partition.own_totals[order]
    a, b, neighbor = nearest_from_sums(sums, partition.codes[order], partition.totals, own_totals)
    by_row = np.argsort(order)
    return SilhouetteTerms(a[by_row], b[by_row], neighbor[by_row], work, exponent)

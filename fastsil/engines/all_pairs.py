"""All pairs of samples, each met once, summed from every sample to every cluster.

For metrics and data without bounds. Sums of all samples to all clusters would be an array of shape
(n_samples, n_clusters); where that is more than the budget, a range of clusters is summed at a time, and a pair of
pieces is met again for another range only if one of the two has members in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.pair_schedule import Piece, run_piece_pairs
from fastsil.engines.terms import SilhouetteTerms, Work
from fastsil.kernels.nearest import keep_nearest
from fastsil.runtime.progress import ProgressCallback, scale_progress
from fastsil.validation.partition import Partition

# Budget of the sums, and bytes a sample beyond it, so that a range has clusters where n is large.
_BYTES = 48 << 20
_BYTES_A_SAMPLE = 16

AddDistances = Callable[[Piece, Piece, int, NDArray[np.float64], NDArray[np.uint8]], None]
"""``add(rows, columns, first, sums, stop)`` adds the distances between two pieces to the sums of both, by position:
``sums[c, i]`` is the sum from the sample at position ``i`` to cluster ``first + c``."""


def compute_all_pairs_terms(
    add: AddDistances,
    partition: Partition,
    *,
    piece_rows: int,
    strategy: str,
    n_jobs: int,
    tick: ProgressCallback,
    unit: float = 1.0,
) -> SilhouetteTerms:
    """Compute the mean distances of every sample from the distances of all pairs.

    Parameters
    ----------
    add : callable
        Function that computes the distances; see :data:`AddDistances`.
    partition : Partition
        Samples grouped by cluster.
    piece_rows : int
        Samples of a piece.
    strategy : str
        Strategy, for ``work``.
    n_jobs : int
        Number of threads; the result does not depend on it.
    tick : callable
        Called with shares of the work as they are finished.
    unit : float
        Factor of the sums.
    """
    started = time.perf_counter()
    n_samples, n_clusters = partition.n_samples, partition.n_clusters
    codes = partition.codes[partition.order]
    own_totals = None if partition.own_totals is None else partition.own_totals[partition.order]
    a, b = np.zeros(n_samples), np.full(n_samples, np.inf)
    neighbor = np.full(n_samples, -1, dtype=np.int32)
    pieces = [Piece(start, min(start + piece_rows, n_samples), 0) for start in range(0, n_samples, piece_rows)]
    width = min(n_clusters, (_BYTES + _BYTES_A_SAMPLE * n_samples) // (8 * n_samples))
    pairs = 0
    for first in range(0, n_clusters, width):
        sums = np.zeros((min(width, n_clusters - first), n_samples))
        last = first + len(sums)

        def add_pieces(
            rows: Piece,
            columns: Piece,
            stop: NDArray[np.uint8],
            first: int = first,
            sums: NDArray[np.float64] = sums,
        ) -> None:
            add(rows, columns, first, sums, stop)

        members = (int(partition.offsets[first]), int(partition.offsets[last]))
        part = scale_progress(tick, len(sums) / n_clusters)
        pairs += run_piece_pairs(add_pieces, pieces, members, n_jobs=n_jobs, tick=part)
        if unit != 1.0:
            sums *= unit
        keep_nearest(sums, codes, first, partition.totals, own_totals, a, b, neighbor)
    place = np.empty_like(partition.order)
    place[partition.order] = np.arange(n_samples)
    seconds = {"distances": time.perf_counter() - started}
    work = Work(strategy=strategy, pairs=pairs, share=pairs / n_samples**2, seconds=seconds)
    return SilhouetteTerms(a=a[place], b=b[place], neighbor=neighbor[place], work=work)

"""Euclidean distance, exact, from few of the pairs.

``a`` needs all pairs within a cluster, each computed once. ``b`` is a minimum over the other clusters, and a cluster
that cannot be the nearest needs no distances. Two ways lead to ``b``:

* *pruned*: bounds on mean distances (:mod:`fastsil.kernels.bounds`) leave a few candidate clusters a sample; the most
  promising one is computed, its exact mean excludes others, the rest is computed;
* *symmetric*: all pairs between clusters, each computed once for both sides. With few clusters, or where the bounds
  exclude little, this is less work.

The bounds only ever exclude what cannot be the minimum in exact arithmetic, so that both ways give the same answer to
rounding, and every sum is taken in an order that does not depend on the number of threads.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.kernels import bounds as bound_kernels
from fastsil.kernels import euclidean as tile_kernels
from fastsil.moments import cluster_bounds, cluster_centers
from fastsil.pairs import PairSums
from fastsil.parallel import Tick, ignore_progress, run_tasks
from fastsil.partition import Partition
from fastsil.scaling import ScaledData, scale_data
from fastsil.terms import SilhouetteTerms, Work

# With so few clusters nothing can be excluded that symmetry does not save.
_ALWAYS_SYMMETRIC = 3
# The symmetric way keeps a sum from every sample to every cluster; a task a pair of clusters bounds their number.
_SYMMETRIC_BYTES = 48 << 20
_SYMMETRIC_CLUSTERS = (6, 32)
# Both sides of a pair cost a little more than one.
_SYMMETRIC_COST = 1.1
# Candidate pairs of one round are kept; so many samples have room for all clusters to be candidates.
_ROUND_BYTES = 48 << 20
_ROUND_SAMPLES = (1 << 14, 1 << 18)
_BLOCK_ENTRIES = 1 << 20
# A computed mean distance is off by less than this share; a candidate whose bound is within it is computed.
_MARGIN = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-11}


class _Nearest(NamedTuple):
    """Nearest other cluster of each sample, by position in the order."""

    mean: NDArray[np.float64]
    cluster: NDArray[np.int32]


def compute_terms(X: NDArray[Any], partition: Partition, *, n_jobs: int, tick: Tick) -> SilhouetteTerms:
    """Mean Euclidean distances of every sample.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64, C-contiguous
        Samples; read in place.
    partition : Partition
        Samples grouped by cluster.
    n_jobs : int
        Number of threads. The result has the same bits for any.
    tick : callable
        Told the share of the work that has been finished.
    """
    seconds: dict[str, float] = {}
    data = scale_data(X, partition)
    with _timed(seconds, "centers"):
        centers = cluster_centers(data, n_jobs)
        # One more origin, in the middle of the data: the one of the products with centers.
        middle = np.average(centers, axis=0, weights=partition.sizes)
        pairs = PairSums(data, np.vstack([centers, middle]).astype(data.dtype), n_jobs)
    with _timed(seconds, "own clusters"):
        own_sums, squared_products = pairs.within_clusters(_share(tick, 0.4))
    if partition.n_clusters <= _ALWAYS_SYMMETRIC:
        strategy = "symmetric"
        with _timed(seconds, "other clusters"):
            nearest = _nearest_by_symmetry(pairs, partition, _share(tick, 0.6))
    else:
        search = _Search(data, pairs, centers, squared_products, n_jobs, seconds)
        strategy, nearest = search.nearest(_share(tick, 0.6))
    return _finish(
        data,
        own_sums,
        nearest,
        Work(f"euclidean: {strategy}", pairs.pairs, pairs.pairs / partition.n_samples**2, seconds),
    )


def _nearest_by_symmetry(pairs: PairSums, partition: Partition, tick: Tick) -> _Nearest:
    means = pairs.between_clusters(tick)
    means /= partition.sizes[:, None]
    for cluster in range(partition.n_clusters):
        means[cluster, partition.offsets[cluster] : partition.offsets[cluster + 1]] = np.inf
    cluster = means.argmin(axis=0).astype(np.int32)
    return _Nearest(means[cluster, np.arange(partition.n_samples)], cluster)


class _Search:
    """The pruned way, round by round over the samples; it gives up for the symmetric way if that is less work."""

    def __init__(
        self,
        data: ScaledData,
        pairs: PairSums,
        centers: NDArray[np.float64],
        squared_products: NDArray[np.float64],
        n_jobs: int,
        seconds: dict[str, float],
    ) -> None:
        self._data = data
        self._partition = data.partition
        self._pairs = pairs
        self._n_jobs = n_jobs
        self._seconds = seconds
        n_features = data.X.shape[1]
        # Worst case of a sum of products that is taken DEPTH at a time.
        self._rounding = float(np.finfo(data.dtype).eps) * (tile_kernels.DEPTH + n_features / tile_kernels.DEPTH + 16)
        with _timed(seconds, "bounds"):
            self._bounds = cluster_bounds(
                data,
                centers,
                squared_products,
                pairs.samples.origins[-1],
                rounding=self._rounding,
                n_jobs=n_jobs,
            )

    def nearest(self, tick: Tick) -> tuple[str, _Nearest]:
        """Strategy that was taken, and the nearest other clusters."""
        partition = self._partition
        n_samples = partition.n_samples
        nearest = _Nearest(np.empty(n_samples), np.empty(n_samples, dtype=np.int32))
        step = int(np.clip(_ROUND_BYTES // (16 * partition.n_clusters), *_ROUND_SAMPLES))
        for start in range(0, n_samples, step):
            end = min(start + step, n_samples)
            with _timed(self._seconds, "bounds"):
                best, candidates = self._candidates(start, end)
            if start == 0 and self._symmetry_is_less_work(best, candidates):
                with _timed(self._seconds, "other clusters"):
                    return "symmetric", _nearest_by_symmetry(self._pairs, partition, tick)
            with _timed(self._seconds, "other clusters"):
                self._compute(start, end, best, candidates, nearest)
            tick((end - start) / n_samples)
        return "pruned", nearest

    def _candidates(self, start: int, end: int) -> tuple[NDArray[np.int32], bound_kernels.Candidates]:
        """Most promising cluster of each sample of a range, and the other candidates, by position."""
        partition = self._partition
        n_clusters = partition.n_clusters
        step = int(np.clip(_BLOCK_ENTRIES // n_clusters, 16, tile_kernels.ROWS))
        starts = range(start, end, step)
        best = np.empty(end - start, dtype=np.int32)
        found: list[bound_kernels.Candidates | None] = [None] * len(starts)

        def select(index: int, stop: NDArray[np.uint8]) -> None:
            low, high = starts[index], min(starts[index] + step, end)
            rows = partition.order[low:high]
            squares = np.empty((high - low, n_clusters), self._data.dtype)
            norms = np.empty(high - low, self._data.dtype)
            with self._pairs.workspace() as workspace:
                tile_kernels.fill_squares_to_centers(
                    self._pairs.samples, rows, self._bounds.centers, n_clusters, workspace, squares, norms
                )
            room = (high - low) * n_clusters
            others = bound_kernels.Candidates(np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room))
            n_found = bound_kernels.select_candidates(
                self._data.X,
                self._data.scale,
                bound_kernels.Block(rows, partition.codes[rows], squares, norms),
                self._bounds,
                self._rounding,
                best[low - start : high - start],
                others,
            )
            found[index] = bound_kernels.Candidates(
                others.row[:n_found].astype(np.intp) + low, *(part[:n_found].copy() for part in others[1:])
            )

        run_tasks(select, range(len(starts)), [1.0] * len(starts), n_jobs=self._n_jobs)
        return best, bound_kernels.Candidates(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def _symmetry_is_less_work(self, best: NDArray[np.int32], candidates: bound_kernels.Candidates) -> bool:
        partition = self._partition
        always, most = _SYMMETRIC_CLUSTERS
        fits = 8 * partition.n_samples * partition.n_clusters <= _SYMMETRIC_BYTES
        if partition.n_clusters > (most if fits else always):
            return False
        sizes = partition.sizes.astype(np.float64)
        # Half of the other candidates are excluded once the most promising one is known.
        pruned = (sizes[best].sum() + sizes[candidates.cluster].sum() / 2) * partition.n_samples / len(best)
        symmetric = (partition.n_samples**2 - (sizes**2).sum()) / 2
        return bool(pruned > _SYMMETRIC_COST * symmetric)

    def _compute(
        self,
        start: int,
        end: int,
        best: NDArray[np.int32],
        candidates: bound_kernels.Candidates,
        nearest: _Nearest,
    ) -> None:
        """Exact means to the candidates of a range of positions, and the smallest of them."""
        mean, cluster = nearest.mean[start:end], nearest.cluster[start:end]
        cluster[:] = best
        guessed = self._means(np.arange(start, end), best)
        mean[:] = guessed
        margin = 1.0 + _MARGIN[self._data.dtype]
        left = np.flatnonzero(candidates.lower <= mean[candidates.row - start] * margin)
        positions, others = candidates.row[left], candidates.cluster[left]
        means = self._means(positions, others)
        at = positions - start
        np.minimum.at(mean, at, means)
        # Of clusters that tie, the first: forget the best guess where it was beaten, then take the least code.
        ties = means == mean[at]
        beaten = at[ties & (means < guessed[at])]
        cluster[beaten] = self._partition.n_clusters
        np.minimum.at(cluster, at[ties], others[ties])

    def _means(self, positions: NDArray[np.intp], clusters: NDArray[np.int32]) -> NDArray[np.float64]:
        """Mean distance from each listed sample to its listed cluster."""
        by_cluster = np.argsort(clusters, kind="stable")
        sums = np.empty(len(positions))
        sums[by_cluster] = self._pairs.to_clusters(positions[by_cluster], clusters[by_cluster], ignore_progress)
        return sums / self._partition.sizes[clusters]


def _finish(data: ScaledData, own_sums: NDArray[np.float64], nearest: _Nearest, work: Work) -> SilhouetteTerms:
    """From sums by position to terms by row of X."""
    partition = data.partition
    a, b = np.empty(partition.n_samples), np.empty(partition.n_samples)
    neighbor = np.empty(partition.n_samples, dtype=np.int32)
    a[partition.order] = own_sums
    a /= np.maximum(partition.sizes - 1, 1)[partition.codes] * data.scale
    b[partition.order] = nearest.mean / data.scale
    neighbor[partition.order] = nearest.cluster
    return SilhouetteTerms(a=a, b=b, neighbor=neighbor, work=work)


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[phase] = seconds.get(phase, 0.0) + time.perf_counter() - started


def _share(tick: Tick, part: float) -> Tick:
    return lambda share: tick(part * share)

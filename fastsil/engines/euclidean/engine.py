"""Euclidean distance, exact, from few of the pairs.

``a`` needs all pairs within a cluster, each computed once. ``b`` is a minimum over the other clusters, and a cluster
that cannot be the nearest needs no distances. Two strategies lead to ``b``:

* *pruned*: bounds on mean distances (:mod:`fastsil.kernels.bounds`) leave a few candidate clusters a sample; the most
  promising one is computed, its exact mean excludes others, the rest is computed;
* *symmetric*: all pairs between clusters, each computed once for both sides
  (:mod:`fastsil.engines.euclidean.symmetric`). With few clusters, or where the bounds exclude little, that is less
  work.

The bounds only exclude clusters that cannot be the minimum in exact arithmetic, so that both strategies agree to
rounding, and every sum is taken in an order that does not depend on the number of threads.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.euclidean.basis_cost import (
    SHARED_DIRECTIONS,
    CandidateCount,
    choose_basis_size,
    count_symmetric_pairs,
    tighter_norms_pay,
)
from fastsil.engines.euclidean.moments import cluster_centers, radial_bounds, shared_basis
from fastsil.engines.euclidean.sorted_copy import sort_rows_to_file
from fastsil.engines.euclidean.spectra import bound_outside, guess_norms
from fastsil.engines.euclidean.symmetric import find_nearest_clusters
from fastsil.engines.euclidean.tiles import (
    Candidates,
    Lender,
    PairSums,
    bound_product_rounding,
    count_block_rows,
    measure_block,
)
from fastsil.engines.pair_schedule import worthwhile_threads
from fastsil.engines.scaling import ScaledData, scale_data
from fastsil.engines.terms import SHARE_OF_OWN, SilhouetteTerms, Work
from fastsil.kernels import bounds as bound_kernels
from fastsil.runtime.memory import require
from fastsil.runtime.progress import ProgressCallback, scale_progress
from fastsil.runtime.threads import run_over_rows, run_tasks
from fastsil.validation.partition import Partition

# With so few clusters nothing can be excluded that symmetry does not save.
_ALWAYS_SYMMETRIC = 3
# Nor with a few more if all pairs cost less than the bounds do. Measured with one thread, pruned and symmetric, in ms:
# digits, n = 1,797, d = 64, k = 10: 4.4 and 3.0; normal, n = 1,000, d = 512, k = 10: 10.4 and 5.2; n = 500, d = 16,
# k = 10: both 1.0. Kernels of the bounds are not compiled then, either.
_SMALL_SYMMETRIC = 10
SMALL_PRODUCTS = 6e8
# Candidate pairs of one round are kept, and sorted at this number of bytes each. Rounds of few samples read
# each cluster for little work; so a round has 256 at least, unless that leaves more candidates than twice as many and
# one for every four samples, which are small compared with the arrays of samples.
CANDIDATE_BYTES = 64
ROUND_CANDIDATES = 1 << 18
_ROUND_SAMPLES = (1 << 8, 1 << 18)
_ROUND_SHARE = 0.25
# Samples whose candidates are counted before more bounds are prepared, at most; those of a task; of small data one of
# eight.
_PROBE_SAMPLES = 1024
_PROBE_ROWS = 48
_PROBE_STEP = 8
# What the best bounds leave, as if they excluded each mean distance that is greater than the least one by more than
# this share: word vectors of 300 features, k = 10 and 50, 0.45 and 0.035 of all pairs; by this rule 0.37 and 0.026.
_APART = 0.02


class _Nearest(NamedTuple):
    """Nearest other cluster of each sample, by position in the order."""

    mean: NDArray[np.float64]
    cluster: NDArray[np.int32]


class _Round(NamedTuple):
    """Clusters that may be the nearest other one of a range of positions, block by block."""

    start: int
    end: int
    blocks: list[Candidates]
    best: NDArray[np.int32]  # the most promising one of each sample
    load: CandidateCount  # all of them


def compute_terms(X: NDArray[Any], partition: Partition, *, n_jobs: int, tick: ProgressCallback) -> SilhouetteTerms:
    """Compute the mean Euclidean distances of every sample.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64, C-contiguous
        Samples; read in place.
    partition : Partition
        Samples grouped by cluster.
    n_jobs : int
        Number of threads. The result has the same bits for any.
    tick : callable
        Called with the share of the work that has been finished.
    """
    rows, of_rows = sort_rows_to_file(X, partition)
    found = _compute_terms(rows, of_rows.with_relative_weights(), n_jobs=n_jobs, tick=tick)
    if of_rows is partition:
        return found
    by_row = np.argsort(partition.order)
    return replace(found, a=found.a[by_row], b=found.b[by_row], neighbor=found.neighbor[by_row])


def _compute_terms(X: NDArray[Any], partition: Partition, *, n_jobs: int, tick: ProgressCallback) -> SilhouetteTerms:
    require(
        5 * 8.0 * partition.n_clusters * X.shape[1],
        f"The table of {partition.n_clusters:,} clusters in {X.shape[1]:,} features",
        "Take fewer clusters, or reduce the features (by PCA).",
    )
    seconds: dict[str, float] = {}
    n_jobs = worthwhile_threads(X.shape, n_jobs)
    products = float(len(X)) ** 2 * X.shape[1]
    data = scale_data(X, partition, n_jobs)
    with _timed(seconds, "centers"):
        centers = cluster_centers(data, n_jobs)
        # One more origin, in the middle of the data: the one of the products with centers.
        origins = np.empty((len(centers) + 1, X.shape[1]), data.dtype)
        origins[:-1] = centers
        origins[-1] = np.einsum("i,ij->j", partition.sizes / len(X), centers)
        pairs = PairSums(data, origins, n_jobs)
    with _timed(seconds, "own clusters"):
        own_sums, squared_products = pairs.within_clusters(scale_progress(tick, SHARE_OF_OWN))
    if partition.n_clusters <= (_SMALL_SYMMETRIC if products < SMALL_PRODUCTS else _ALWAYS_SYMMETRIC):
        strategy = "symmetric"
        with _timed(seconds, "other clusters"):
            nearest = _nearest_by_symmetry(data, centers, pairs, n_jobs, scale_progress(tick, 1 - SHARE_OF_OWN))
    else:
        search = _Search(data, pairs, centers, squared_products, n_jobs, seconds)
        strategy, nearest = search.nearest(scale_progress(tick, 1 - SHARE_OF_OWN))
    return _finish(
        data,
        own_sums,
        nearest,
        Work(f"euclidean: {strategy}", pairs.pairs, pairs.pairs / partition.n_samples**2, seconds),
        n_jobs,
    )


def _nearest_by_symmetry(
    data: ScaledData, centers: NDArray[np.float64], pairs: PairSums, n_jobs: int, tick: ProgressCallback
) -> _Nearest:
    mean, cluster, n_pairs = find_nearest_clusters(data, centers, n_jobs=n_jobs, tick=tick)
    pairs.pairs += n_pairs
    return _Nearest(mean, cluster)


class _Search:
    """The pruned strategy, round by round over the samples, or the symmetric one if that is less work."""

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
        self._partition = partition = data.partition
        self._pairs = pairs
        self._n_jobs = n_jobs
        self._seconds = seconds
        self._block_rows = count_block_rows(partition.n_clusters, data.X.shape[1])
        self._free_candidates = Lender(lambda: bound_kernels.make_candidates(self._block_rows * partition.n_clusters))
        self._rounding = bound_product_rounding(data.dtype, data.X.shape[1])
        with _timed(seconds, "bounds"):
            self._prepare_bounds(centers, squared_products)

    def _prepare_bounds(self, centers: NDArray[np.float64], squared_products: NDArray[np.float64]) -> None:
        """Make the first bounds; then those that save more than they cost, measured on some samples."""
        data, origin = self._data, self._pairs.samples.origins[-1]
        self._vectors = np.empty((0, data.X.shape[1]), dtype=data.dtype)
        self._shared: list[bound_kernels.SharedBasis] = []
        self._first_bounds, skew = radial_bounds(
            data, centers, squared_products, origin, rounding=self._rounding, n_jobs=self._n_jobs
        )
        self._bounds = self._first_bounds
        # Candidates a sample, to begin with.
        self._expected = float(self._partition.n_clusters)
        self._is_hopeless = False
        if float(len(data.X)) ** 2 * data.X.shape[1] < SMALL_PRODUCTS:
            return
        self._is_hopeless = self._symmetry_is_less_work(self._count_alike())
        if self._is_hopeless:
            return
        load = self._probe()
        for choice in SHARED_DIRECTIONS:
            n_vectors = choose_basis_size(data, choice, load)
            if n_vectors > 0:
                load = self._add_basis(skew, origin, n_vectors)
            if n_vectors >= data.X.shape[1]:
                break
        self._expected = load.candidates

    def _add_basis(self, skew: NDArray[np.float64], origin: NDArray[np.floating], n_vectors: int) -> CandidateCount:
        """Add a basis that all clusters share, with tighter norms outside it where they pay; return the work left."""
        data, first = self._data, self._first_bounds
        vectors, shared, norms = shared_basis(
            data, first, skew, origin, n_vectors, len(self._vectors), n_jobs=self._n_jobs
        )
        self._vectors = np.vstack([self._vectors, vectors])
        self._shared.append(shared)
        bounds, rest, n_outside = self._bounds, shared.rest.copy(), data.X.shape[1] - n_vectors

        def take(outside: NDArray[np.float64]) -> None:
            shared.rest[:] = rest - np.maximum(norms.outside - outside, 0.0)
            # zᵀMz + (ρ + 1/α) |w|² is no more than this times |u|².
            largest = np.maximum(norms.inside, shared.rest)
            self._bounds = bounds._replace(spectral=np.minimum(bounds.spectral, largest))

        def count_if_flat() -> CandidateCount:
            take(guess_norms(norms.outside, first.variance, n_outside))
            return self._probe()

        take(norms.outside)
        load = self._probe()
        if n_outside > 0 and tighter_norms_pay(data, n_vectors, load, count_if_flat):
            take(bound_outside(data, first.centers, first.variance, vectors, n_jobs=self._n_jobs))
            return self._probe()
        take(norms.outside)
        return load

    def nearest(self, tick: ProgressCallback) -> tuple[str, _Nearest]:
        """Return the strategy that was taken, and the nearest other clusters."""
        partition = self._partition
        n_samples = partition.n_samples
        if self._is_hopeless:
            return self._nearest_by_symmetry(tick)
        nearest = _Nearest(np.empty(n_samples), np.empty(n_samples, dtype=np.int32))
        start, step = 0, round_samples(self._expected, n_samples)
        while start < n_samples:
            end = min(start + step, n_samples)
            with _timed(self._seconds, "bounds"):
                found = self._round(start, end)
            step = round_samples(found.load.candidates, n_samples)
            if start == 0 and self._symmetry_is_less_work(self._count_work(found)):
                del found
                return self._nearest_by_symmetry(tick)
            with _timed(self._seconds, "other clusters"):
                nearest.mean[start:end], nearest.cluster[start:end] = self._pairs.nearest_candidates(
                    partition.order[start:end], found.best, found.blocks
                )
            # One at a time: the arrays of two rounds are never held together.
            del found
            tick((end - start) / n_samples)
            start = end
        return "pruned", nearest

    def _nearest_by_symmetry(self, tick: ProgressCallback) -> tuple[str, _Nearest]:
        with _timed(self._seconds, "other clusters"):
            return "symmetric", _nearest_by_symmetry(self._data, self._bounds.centers, self._pairs, self._n_jobs, tick)

    def _probe(self) -> CandidateCount:
        """Count the work that the bounds so far leave, on some samples of every part of the data."""
        return self._count_on_some(lambda rows: self._select(0, rows, np.empty(len(rows), np.int32)).cluster)

    def _count_alike(self) -> CandidateCount:
        """Count the work that the best bounds would leave, on the same samples: other clusters whose mean distance is
        about the least one, by their centers and variances.
        """

        def find_alike(rows: NDArray[np.intp]) -> NDArray[np.intp]:
            block = self._measure(rows)
            means = np.sqrt(block.squares.clip(min=0) + self._bounds.variance)
            means[np.arange(len(rows)), block.codes] = np.inf
            return np.nonzero(means <= (1 + _APART) * means.min(axis=1, keepdims=True))[1]

        return self._count_on_some(find_alike)

    def _count_on_some(self, find: Callable[[NDArray[np.intp]], NDArray[np.integer[Any]]]) -> CandidateCount:
        """Count the clusters, and their members, that are found for some samples of every part of the data."""
        partition = self._partition
        # Contiguous, or kernels would be compiled once more for rows with gaps.
        rows = np.ascontiguousarray(partition.order[:: max(_PROBE_STEP, partition.n_samples // _PROBE_SAMPLES)])
        step = min(self._block_rows, _PROBE_ROWS)
        starts = range(0, len(rows), step)
        counts = np.zeros((len(starts), 2), dtype=np.intp)

        def count(index: int, stop: NDArray[np.uint8]) -> None:
            counts[index] = self._count(find(rows[starts[index] : starts[index] + step]))

        run_tasks(count, range(len(starts)), [1.0] * len(starts), n_jobs=self._n_jobs)
        return _average(counts, len(rows))

    def _measure(self, rows: NDArray[np.intp]) -> bound_kernels.Block:
        """Compute the distances of a block of samples from all centers, and their components."""
        pairs = self._pairs
        return measure_block(
            pairs.samples, rows, self._partition.codes, self._bounds.centers, self._vectors, pairs.workspaces
        )

    def _select(self, start: int, rows: NDArray[np.intp], best: NDArray[np.int32]) -> Candidates:
        """Find the candidates of a block of samples, and the most promising one of each."""
        block = self._measure(rows)
        samples = bound_kernels.BlockRows(self._data.X, rows, self._data.scale)
        with self._free_candidates.lend() as found:
            least_upper = np.empty(len(rows))
            n_found = bound_kernels.select_by_centers(block, self._bounds, self._rounding, least_upper, found)
            for shared in self._shared:
                n_found = bound_kernels.exclude_by_shared_basis(
                    samples, block, self._bounds, shared, self._rounding, least_upper, found, n_found
                )
            bound_kernels.find_best_candidates(found, n_found, best)
            row, cluster, lower = (part[:n_found].copy() for part in found[:3])
            return Candidates(start, row, cluster, lower)

    def _round(self, start: int, end: int) -> _Round:
        """Collect the candidates of a range of positions."""
        step = self._block_rows
        starts = range(start, end, step)
        found: list[Any] = [None] * len(starts)
        counts = np.zeros((len(starts), 2), dtype=np.intp)
        best = np.empty(end - start, dtype=np.int32)

        def select(index: int, stop: NDArray[np.uint8]) -> None:
            low, high = starts[index] - start, min(starts[index] + step, end) - start
            found[index] = self._select(low, self._partition.order[low + start : high + start], best[low:high])
            counts[index] = self._count(found[index].cluster)

        run_tasks(select, range(len(starts)), [1.0] * len(starts), n_jobs=self._n_jobs)
        return _Round(start, end, found, best, _average(counts, end - start))

    def _count(self, clusters: NDArray[np.integer[Any]]) -> tuple[int, int]:
        """Count clusters, each as often as it occurs, and their members."""
        return len(clusters), int(self._partition.sizes[clusters].sum())

    def _count_work(self, found: _Round) -> CandidateCount:
        """Count the work that the candidates of a round mean, where half are excluded once the best one is known."""
        of_best = self._count(found.best)[1] / (found.end - found.start)
        return CandidateCount((found.load.candidates + 1) / 2, (found.load.pairs + of_best) / 2)

    def _symmetry_is_less_work(self, pruned: CandidateCount) -> bool:
        return pruned.in_pairs(self._data.X.shape[1]) > count_symmetric_pairs(self._partition)


def _average(counts: NDArray[np.intp], n_rows: int) -> CandidateCount:
    """Return the work of one sample, from numbers of candidates and pairs of several blocks."""
    candidates, pairs = counts.sum(axis=0) / n_rows
    return CandidateCount(float(candidates), float(pairs))


def round_samples(candidates_per_sample: float, n_samples: int) -> int:
    """Return the number of samples in a round of the pruned strategy."""
    most = 2 * ROUND_CANDIDATES + _ROUND_SHARE * n_samples
    wanted = np.clip(ROUND_CANDIDATES / candidates_per_sample, *_ROUND_SAMPLES)
    return max(1, int(min(wanted, most / candidates_per_sample)))


def _finish(
    data: ScaledData, own_sums: NDArray[np.float64], nearest: _Nearest, work: Work, n_jobs: int
) -> SilhouetteTerms:
    """Turn sums by position into terms by row of X."""
    partition = data.partition
    a, b = np.empty(partition.n_samples), np.empty(partition.n_samples)
    neighbor = np.empty(partition.n_samples, dtype=np.int32)
    others, own_totals = np.maximum(partition.sizes - 1, 1), partition.own_totals

    def write(places: slice) -> None:
        rows = partition.order[places]
        a[rows] = own_sums[places] / (others[partition.codes[rows]] if own_totals is None else own_totals[rows])
        b[rows], neighbor[rows] = nearest.mean[places], nearest.cluster[places]

    run_over_rows(write, partition.n_samples, n_jobs=n_jobs)
    return SilhouetteTerms(a=a, b=b, neighbor=neighbor, work=work, exponent=data.exponent)


@contextmanager
def _timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[phase] = seconds.get(phase, 0.0) + time.perf_counter() - started

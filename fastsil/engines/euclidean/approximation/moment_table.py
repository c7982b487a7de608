"""Moments of clusters up to the fourth, and the table for the kernels that is made from them.

Of a covariance, a summary is kept: a factor of it, or with many features its leading directions and the norm of the
rest. Covariances are formed for few clusters at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastsil.engines.euclidean.moments import cluster_bounds, cluster_centers
from fastsil.engines.euclidean.tiles import bound_product_rounding, multiply_rows, tile_workspaces
from fastsil.engines.scaling import ScaledData
from fastsil.kernels import approximation as kernels
from fastsil.kernels import bounds as bound_kernels
from fastsil.kernels import moments as moment_kernels
from fastsil.kernels.micro import COLUMNS, ROWS, SLAB
from fastsil.runtime.progress import ProgressCallback, ignore_progress, scale_progress
from fastsil.runtime.threads import in_batches, run_tasks
from fastsil.validation.partition import count_up

# Members that a tile sums over at a time, and members of a task.
_BLOCK = SLAB
_PIECE = 8 * _BLOCK
# Budget of the covariances that are being summed, and of the factors of all of them.
_SUMS_BYTES = 32 << 20
_FACTORS_BYTES = 64 << 20
# Up to this number of features, all of a covariance is used: with g, its factor is one panel of a tile. Beyond, this
# number of leading directions, and the norm of the residual.
_FACTOR_FEATURES = COLUMNS - 1
_DIRECTIONS = 31
_SEARCH_ROUNDS = 3

# Variance below which fourth powers of distances, which moments are made of, vanish in float32. The intervals allow for
# an error of 4e-12 of the fourth moment, which is the square of the variance at least: 4e-38, more than the smallest
# float32 number, 1.4e-45, in each product over a million features.
_LEAST_VARIANCE = 1e-13


class CovarianceSummary(NamedTuple):
    """A covariance in few numbers; see :class:`fastsil.kernels.approximation.Moments`."""

    vectors: NDArray[np.floating]  # (n_vectors, n_features)
    theta: NDArray[np.float64]  # (n_vectors,)
    leak: float
    rest: float
    rest_mean: float
    spectral: float  # the largest eigenvalue, or more


class CovarianceSummaries(NamedTuple):
    """Summaries of the covariances of all clusters.

    Filled in place: with many clusters the directions are the largest part of the memory, and a record for each cluster
    would take as much again.
    """

    vectors: NDArray[np.floating]  # (n_clusters, n_vectors + 1, n_features), the last of each is that of the skew
    theta: NDArray[np.float64]  # (n_clusters, n_vectors)
    leak: NDArray[np.float64]  # (n_clusters,)
    rest: NDArray[np.float64]  # (n_clusters,)
    rest_mean: NDArray[np.float64]  # (n_clusters,)
    spectral: NDArray[np.float64]  # (n_clusters,)

    def set(self, cluster: int, summary: CovarianceSummary) -> None:
        """Set the summary of one cluster."""
        self.vectors[cluster, :-1] = summary.vectors
        self.theta[cluster] = summary.theta
        self.leak[cluster], self.rest[cluster] = summary.leak, summary.rest
        self.rest_mean[cluster], self.spectral[cluster] = summary.rest_mean, summary.spectral


def make_summaries(n_clusters: int, n_vectors: int, n_features: int, dtype: DTypeLike) -> CovarianceSummaries:
    """Allocate the summaries of covariances."""
    theta = np.empty((n_clusters, n_vectors))
    return CovarianceSummaries(
        np.empty((n_clusters, n_vectors + 1, n_features), dtype), theta, *np.empty((4, n_clusters))
    )


class ClusterMoments(NamedTuple):
    """Moments of every cluster, scaled; r = |y - center| over the members y, means over all of them."""

    sizes: NDArray[np.intp]  # (n_clusters,)
    centers: NDArray[np.float64]  # (n_clusters, n_features)
    variance: NDArray[np.float64]  # (n_clusters,) mean of r²
    fourth: NDArray[np.float64]  # (n_clusters,) mean of r⁴
    skew: NDArray[np.float64]  # (n_clusters, n_features) mean of r² (y - center)
    radius: NDArray[np.float64]  # (n_clusters,) largest r
    covariances: CovarianceSummaries


class MomentTable(NamedTuple):
    """Moments of all clusters that the kernels need."""

    bounds: bound_kernels.ClusterBounds  # for the first bounds, which need distances to centers only
    moments: kernels.Moments
    vectors: NDArray[Any]  # (n_clusters, n_vectors + 1, n_features), the skew last
    origin: NDArray[Any]  # (n_features,) of the products that distances to centers are computed from
    rounding: float  # of inner products, relative to the product of the norms


def _bound_rounding(dtype: np.dtype[Any], n_features: int) -> float:
    """Bound the rounding of products over features, and of covariances, which are products over a block of members."""
    return bound_product_rounding(dtype, max(n_features, _BLOCK))


def vanishes_in_single(variance: NDArray[np.float64]) -> bool:
    """Return whether a cluster with some of these variances needs products in float64."""
    return bool(((variance > 0) & (variance < _LEAST_VARIANCE)).any())


def measure_clusters(data: ScaledData, *, n_jobs: int, tick: ProgressCallback = ignore_progress) -> ClusterMoments:
    """Compute the moments of all clusters of some data.

    Parameters
    ----------
    data : ScaledData
        Samples and partition.
    n_jobs : int
        Number of threads. The result has the same bits for any.
    tick : callable
        Called with the share of the work that has been finished.
    """
    sizes, totals = data.partition.sizes, data.partition.totals
    centers = cluster_centers(data, n_jobs)
    variance, fourth, skew, radius = _radial_moments(data, centers, n_jobs, scale_progress(tick, 0.2))
    return ClusterMoments(
        sizes=sizes,
        centers=centers,
        variance=variance / totals,
        fourth=fourth / totals,
        skew=skew / totals[:, None],
        radius=radius,
        covariances=_summarize_covariances(data, centers, n_jobs, scale_progress(tick, 0.8)),
    )


def make_table(moments: ClusterMoments, dtype: np.dtype[Any]) -> MomentTable:
    """Make the table for the kernels.

    Parameters
    ----------
    moments : ClusterMoments
        Moments of all clusters.
    dtype : dtype
        float32 or float64: the type that distances are computed in.
    """
    centers, variance, fourth = moments.centers, moments.variance, moments.fourth
    rounding = _bound_rounding(dtype, centers.shape[1])
    origin = np.average(centers, axis=0, weights=moments.sizes).astype(dtype)
    covariances = moments.covariances
    bounds = cluster_bounds(
        centers,
        origin,
        sizes=moments.sizes,
        variance=variance,
        fourth=fourth,
        skew=moments.skew,
        spectral=np.minimum(variance, covariances.spectral + 2 * rounding * variance),
    )
    numbers = kernels.Moments(
        sizes=moments.sizes.astype(np.float64),
        variance=variance,
        fourth=fourth,
        skew_norm=bounds.skew_norm,
        radius=moments.radius * (1 + 1e-9),
        wander=bounds.center_rounding,
        theta=covariances.theta,
        leak=covariances.leak,
        rest=covariances.rest,
        rest_mean=covariances.rest_mean,
    )
    vectors = covariances.vectors.astype(dtype, copy=False)
    vectors[:, -1] = moments.skew
    return MomentTable(bounds, numbers, vectors, origin, rounding)


def _radial_moments(
    data: ScaledData, centers: NDArray[np.float64], n_jobs: int, tick: ProgressCallback
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sum r², r⁴ and r² (y - center), and find the largest r, for all clusters."""
    partition = data.partition
    n_pieces = -(-partition.sizes // _PIECE)
    owner = np.repeat(np.arange(len(centers)), n_pieces)
    lows = partition.offsets[owner] + _PIECE * count_up(n_pieces)
    highs = np.minimum(lows + _PIECE, partition.offsets[owner + 1])
    sums = np.zeros((len(owner), centers.shape[1] + 2))
    largest = np.zeros(len(owner))
    weights = partition.sample_weight

    def add(batch: range, stop: NDArray[np.uint8]) -> None:
        for index in batch:
            if stop[0]:
                return
            rows = partition.order[lows[index] : highs[index]]
            members = data.X, rows, data.scale, centers[owner[index]]
            moment_kernels.add_radial_moments(*members, weights, sums[index, 2:], sums[index, :2])
            largest[index] = kernels.largest_square(*members)

    batches = in_batches(len(owner), n_jobs=n_jobs)
    sizes = [float(highs[batch.stop - 1] - lows[batch.start]) for batch in batches]
    run_tasks(add, batches, sizes, n_jobs=n_jobs, tick=tick)
    firsts = np.cumsum(n_pieces) - n_pieces
    if len(owner) > len(firsts):
        sums = np.add.reduceat(sums, firsts, axis=0)
    radius = np.sqrt(np.maximum.reduceat(largest, firsts))
    return np.ascontiguousarray(sums[:, 0]), np.ascontiguousarray(sums[:, 1]), sums[:, 2:], radius


def _summarize_covariances(
    data: ScaledData, centers: NDArray[np.float64], n_jobs: int, tick: ProgressCallback
) -> CovarianceSummaries:
    """Compute and summarize the covariances; of large clusters, in pieces, as few at a time as fit the budget."""
    partition = data.partition
    n_clusters, n_features = centers.shape
    rounding = _bound_rounding(data.dtype, n_features)
    at_once = max(4, _SUMS_BYTES // (8 * n_features**2))
    size = max(_PIECE, -(-int(partition.sizes.max()) // at_once))
    n_vectors = n_features if _keeps_whole(n_clusters, n_features) else min(_DIRECTIONS, n_features)
    summaries = make_summaries(n_clusters, n_vectors, n_features, data.dtype)
    workspaces = tile_workspaces(data.dtype, _BLOCK)

    def scatter(cluster: int, low: int, high: int) -> NDArray[np.float64]:
        with workspaces.lend() as workspace:
            return _scatter(data, partition.order[low:high], centers[cluster], workspace)

    def summarize(cluster: int, scatter: NDArray[np.float64]) -> None:
        covariance = scatter / partition.totals[cluster]
        summaries.set(cluster, summarize_covariance(covariance, n_clusters, rounding))

    def summarize_whole(batch: range, stop: NDArray[np.uint8]) -> None:
        for cluster in whole[batch.start : batch.stop]:
            if stop[0]:
                return
            summarize(cluster, scatter(cluster, partition.offsets[cluster], partition.offsets[cluster + 1]))

    def summarize_in_pieces(clusters: list[int]) -> None:
        pieces = [
            (cluster, low, min(low + size, partition.offsets[cluster + 1]))
            for cluster in clusters
            for low in range(partition.offsets[cluster], partition.offsets[cluster + 1], size)
        ]
        sums: list[Any] = [None] * len(pieces)

        def add(index: int, stop: NDArray[np.uint8]) -> None:
            sums[index] = scatter(*pieces[index])

        def finish(cluster: int, stop: NDArray[np.uint8]) -> None:
            summarize(cluster, sum(part for part, piece in zip(sums, pieces, strict=True) if piece[0] == cluster))

        n_members = [float(high - low) for _, low, high in pieces]
        part = scale_progress(tick, sum(n_members) / partition.n_samples)
        run_tasks(add, range(len(pieces)), n_members, n_jobs=n_jobs, tick=part)
        run_tasks(finish, clusters, [1.0] * len(clusters), n_jobs=n_jobs)

    whole = np.flatnonzero(partition.sizes <= size).tolist()
    if whole:
        batches = in_batches(len(whole), n_jobs=n_jobs)
        n_members = [float(partition.sizes[whole[batch.start : batch.stop]].sum()) for batch in batches]
        part = scale_progress(tick, sum(n_members) / partition.n_samples)
        run_tasks(summarize_whole, batches, n_members, n_jobs=n_jobs, tick=part)
    for some in _together(np.flatnonzero(partition.sizes > size), -(-partition.sizes // size), at_once):
        summarize_in_pieces(some)
    return summaries


def _together(clusters: NDArray[np.intp], n_pieces: NDArray[np.intp], most: int) -> Iterator[list[int]]:
    """Yield clusters in turn, as many together as have at most ``most`` pieces; one at least."""
    some: list[int] = []
    for cluster in clusters.tolist():
        if some and n_pieces[[*some, cluster]].sum() > most:
            yield some
            some = []
        some.append(cluster)
    if some:
        yield some


def _scatter(
    data: ScaledData, rows: NDArray[np.intp], center: NDArray[np.float64], workspace: Any
) -> NDArray[np.float64]:
    """Sum of (y - center)(y - center)ᵀ over some members, by the tiles of the exact engine, turned on their side."""
    n_features = len(center)
    weights = data.partition.sample_weight
    total = np.zeros((n_features, n_features))
    for start in range(0, len(rows), _BLOCK):
        members = rows[start : start + _BLOCK]
        turned = np.empty((n_features, len(members)), data.dtype)
        moment_kernels.turn_members(data.X, members, data.scale, center, 0, turned)
        if weights is not None:
            turned *= np.sqrt(weights[members])
        for low in range(0, n_features, ROWS):
            features = slice(low, low + ROWS)
            for first in range(low, n_features, COLUMNS):
                columns = slice(first, first + COLUMNS)
                total[features, columns] += multiply_rows(turned[features], turned[columns], workspace)
    # Tiles on the diagonal were filled as a whole, those below it not at all.
    for row in range(1, n_features):
        total[row, :row] = total[:row, row]
    return total


def summarize_covariance(covariance: NDArray[np.float64], n_clusters: int, rounding: float) -> CovarianceSummary:
    """Reduce a covariance to its summary, by the number of clusters; its entries are off by ``rounding``."""
    whole = _keeps_whole(n_clusters, len(covariance))
    return _factor(covariance, rounding) if whole else _leading_directions(covariance)


def _keeps_whole(n_clusters: int, n_features: int) -> bool:
    return n_features <= _FACTOR_FEATURES and 8 * n_clusters * n_features**2 <= _FACTORS_BYTES


def _factor(covariance: NDArray[np.float64], rounding: float) -> CovarianceSummary:
    """Keep all of a covariance: uᵀΣu is the sum of the squares of the components along the rows of a factor."""
    n_features = len(covariance)
    square = np.empty_like(covariance)
    moment_kernels.fill_inner_products(covariance, covariance, square)
    factor = np.zeros_like(covariance)
    # Rounded, it may have lost its definiteness by as much.
    shift = rounding * float(np.trace(covariance))
    definite = shift == 0
    while not definite:
        factor[:] = covariance
        factor[np.diag_indices(n_features)] += shift
        definite = kernels.factor_matrix(factor)
        shift *= 2
    # λ² is an eigenvalue of Σ², and no more than its norm.
    spectral = float(np.sqrt(np.sqrt((square**2).sum())))
    return CovarianceSummary(factor, np.ones(n_features), leak=0.0, rest=0.0, rest_mean=0.0, spectral=spectral)


def _leading_directions(covariance: NDArray[np.float64]) -> CovarianceSummary:
    """Compute the leading directions of a covariance, by subspace iteration, and norms of the residual."""
    n_features = len(covariance)
    n_vectors = min(_DIRECTIONS, n_features)
    # Spread over the features, not random: a result then never depends on a seed.
    vectors = covariance[np.linspace(0, n_features - 1, n_vectors).astype(np.intp)]
    products = np.empty_like(vectors)
    for _ in range(_SEARCH_ROUNDS):
        moment_kernels.orthonormalize_rows(vectors)
        moment_kernels.fill_inner_products(vectors, covariance, products)
        vectors[:] = products
    moment_kernels.orthonormalize_rows(vectors)
    moment_kernels.fill_inner_products(vectors, covariance, products)
    inner, turn = np.empty((n_vectors, n_vectors)), np.empty((n_vectors, n_vectors))
    moment_kernels.fill_inner_products(vectors, products, inner)
    diagonal = (inner + inner.T) / 2
    moment_kernels.diagonalize(diagonal, turn)
    turned = np.empty_like(vectors)
    moment_kernels.combine_rows(turn, vectors, turned)
    theta = np.maximum(np.diagonal(diagonal), 0.0)
    # Σ in the basis and its complement is [[QᵀΣQ, Eᵀ], [E, Σ_rest]], and |ΣQ|² = |QᵀΣQ|² + |E|².
    touching, inside, whole = (float((matrix**2).sum()) for matrix in (products, inner, covariance))
    leak = float(np.sqrt(max(touching - inside, 0.0) + 1e-13 * touching))
    rest = float(np.sqrt(max(whole - 2 * touching + inside, 0.0) + 1e-13 * whole))
    trace = float(np.trace(covariance))
    left = trace - float(theta.sum())
    # Largest eigenvalue of [[θ1, ε], [ε, ρ]]: nothing in or outside the basis can be more.
    half = (float(theta.max(initial=0.0)) - rest) / 2
    return CovarianceSummary(
        vectors=turned,
        theta=theta,
        leak=leak,
        rest=rest,
        # As a member of the cluster meets it, on average.
        rest_mean=min(rest, rest**2 / left) if left > 1e-9 * trace else 0.0,
        spectral=rest + half + float(np.sqrt(half**2 + leak**2)),
    )

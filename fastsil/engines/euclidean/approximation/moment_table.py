"""Moments of clusters up to the fourth, and the table for the kernels that is made from them.

Of a covariance, a summary is kept: a factor of it, or with many features its leading directions and the norm of the
rest. Covariances are formed for few clusters at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.euclidean.moments import cluster_bounds, cluster_centers
from fastsil.engines.euclidean.tiles import bound_product_rounding, multiply_rows
from fastsil.engines.scaling import ScaledData
from fastsil.kernels import approximation as kernels
from fastsil.kernels import bounds as bound_kernels
from fastsil.kernels import moments as moment_kernels
from fastsil.kernels.micro import COLUMNS, ROWS, SLAB
from fastsil.kernels.tiles import make_workspace
from fastsil.runtime.progress import ProgressCallback, ignore_progress, scale_progress
from fastsil.runtime.threads import run_tasks
from fastsil.validation.partition import Partition

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


class ClusterMoments(NamedTuple):
    """Moments of every cluster, scaled; r = |y - center| over the members y, means over all of them."""

    sizes: NDArray[np.intp]  # (n_clusters,)
    centers: NDArray[np.float64]  # (n_clusters, n_features)
    variance: NDArray[np.float64]  # (n_clusters,) mean of r²
    fourth: NDArray[np.float64]  # (n_clusters,) mean of r⁴
    skew: NDArray[np.float64]  # (n_clusters, n_features) mean of r² (y - center)
    radius: NDArray[np.float64]  # (n_clusters,) largest r
    covariances: Sequence[CovarianceSummary]


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
    spectral = np.array([summary.spectral for summary in moments.covariances])
    bounds = cluster_bounds(
        centers,
        origin,
        sizes=moments.sizes,
        variance=variance,
        fourth=fourth,
        skew=moments.skew,
        spectral=np.minimum(variance, spectral + 2 * rounding * variance),
    )
    numbers = kernels.Moments(
        sizes=moments.sizes.astype(np.float64),
        variance=variance,
        fourth=fourth,
        skew_norm=bounds.skew_norm,
        radius=moments.radius * (1 + 1e-9),
        wander=bounds.center_rounding,
        theta=np.stack([summary.theta for summary in moments.covariances]),
        leak=np.array([summary.leak for summary in moments.covariances]),
        rest=np.array([summary.rest for summary in moments.covariances]),
        rest_mean=np.array([summary.rest_mean for summary in moments.covariances]),
    )
    # Filled in place: with many clusters this table is the largest part of the memory.
    n_vectors = len(moments.covariances[0].vectors)
    with_skew = np.empty((len(centers), n_vectors + 1, centers.shape[1]), dtype)
    for cluster, summary in enumerate(moments.covariances):
        with_skew[cluster, :n_vectors] = summary.vectors
    with_skew[:, n_vectors] = moments.skew
    return MomentTable(bounds, numbers, with_skew, origin, rounding)


def _radial_moments(
    data: ScaledData, centers: NDArray[np.float64], n_jobs: int, tick: ProgressCallback
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sum r², r⁴ and r² (y - center), and find the largest r, for all clusters."""
    pieces = _pieces(data.partition, range(len(centers)), _PIECE)
    sums = np.zeros((len(pieces), centers.shape[1] + 2))
    largest = np.zeros(len(pieces))
    weights = data.partition.sample_weight

    def add(index: int, stop: NDArray[np.uint8]) -> None:
        cluster, rows = pieces[index]
        members = data.X, rows, data.scale, centers[cluster]
        moment_kernels.add_radial_moments(*members, weights, sums[index, 2:], sums[index, :2])
        largest[index] = kernels.largest_square(*members)

    run_tasks(add, range(len(pieces)), [len(rows) for _, rows in pieces], n_jobs=n_jobs, tick=tick)
    owners = np.array([cluster for cluster, _ in pieces])
    firsts = np.searchsorted(owners, np.arange(len(centers)))
    sums = np.add.reduceat(sums, firsts, axis=0)
    radius = np.sqrt(np.maximum.reduceat(largest, firsts))
    return np.ascontiguousarray(sums[:, 0]), np.ascontiguousarray(sums[:, 1]), sums[:, 2:], radius


def _pieces(partition: Partition, clusters: Iterable[int], size: int) -> list[tuple[int, NDArray[np.intp]]]:
    """Cut the members of some clusters into runs of at most ``size``."""
    return [
        (cluster, partition.order[low : min(low + size, partition.offsets[cluster + 1])])
        for cluster in clusters
        for low in range(partition.offsets[cluster], partition.offsets[cluster + 1], size)
    ]


def _summarize_covariances(
    data: ScaledData, centers: NDArray[np.float64], n_jobs: int, tick: ProgressCallback
) -> list[CovarianceSummary]:
    """Compute and summarize the covariances, as few at a time as fit the budget."""
    partition = data.partition
    n_clusters, n_features = centers.shape
    rounding = _bound_rounding(data.dtype, n_features)
    at_once = max(4, _SUMS_BYTES // (8 * n_features**2))
    size = max(_PIECE, -(-int(partition.sizes.max()) // at_once))
    summaries: list[Any] = [None] * n_clusters

    def summarize_some(clusters: list[int]) -> None:
        pieces = _pieces(partition, clusters, size)
        sums: list[Any] = [None] * len(pieces)
        of_cluster: dict[int, list[int]] = {cluster: [] for cluster in clusters}
        for index, (cluster, _) in enumerate(pieces):
            of_cluster[cluster].append(index)

        def add(index: int, stop: NDArray[np.uint8]) -> None:
            cluster, rows = pieces[index]
            sums[index] = _scatter(data, rows, centers[cluster])

        def finish(cluster: int, stop: NDArray[np.uint8]) -> None:
            scatter = sum(sums[index] for index in of_cluster[cluster])
            covariance = np.asarray(scatter) / partition.totals[cluster]
            summary = summarize_covariance(covariance, n_clusters, rounding)
            summaries[cluster] = summary._replace(vectors=summary.vectors.astype(data.dtype))

        share = sum(len(rows) for _, rows in pieces) / partition.n_samples
        run_tasks(
            add, range(len(pieces)), [len(rows) for _, rows in pieces], n_jobs=n_jobs, tick=scale_progress(tick, share)
        )
        run_tasks(finish, clusters, [1.0] * len(clusters), n_jobs=n_jobs)

    for some in _together(-(-partition.sizes // size), at_once):
        summarize_some(some)
    return summaries


def _together(n_pieces: NDArray[np.intp], most: int) -> Iterator[list[int]]:
    """Yield clusters in turn, as many together as have at most ``most`` pieces; one at least."""
    some: list[int] = []
    held = 0
    for cluster, count in enumerate(n_pieces.tolist()):
        if some and held + count > most:
            yield some
            some, held = [], 0
        some.append(cluster)
        held += count
    yield some


def _scatter(data: ScaledData, rows: NDArray[np.intp], center: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of (y - center)(y - center)ᵀ over some members, by the tiles of the exact engine, turned on their side."""
    n_features = len(center)
    weights = data.partition.sample_weight
    workspace = make_workspace(data.dtype, min(_BLOCK, len(rows)))
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
    n_features = len(covariance)
    whole = n_features <= _FACTOR_FEATURES and 8 * n_clusters * n_features**2 <= _FACTORS_BYTES
    return _factor(covariance, rounding) if whole else _leading_directions(covariance)


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

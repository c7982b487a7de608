"""Moments of clusters, and the table of bounds on mean distances that they give.

Sums run over pieces of a fixed number of samples and are then added in order, so that they have the same bits for
any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fastsil.kernels import moments as kernels
from fastsil.kernels.bounds import ClusterBounds
from fastsil.parallel import in_batches, run_tasks
from fastsil.partition import Partition
from fastsil.scaling import ScaledData

# Samples of a piece.
_PIECE = 8192
# Leading directions of a cluster's covariance, by its size. A direction costs a product of n_features for each
# candidate pair, a candidate costs as many as the cluster has members. With the skew, the directions fill a micro
# block. They need not be exact: what they leave out is bounded, not neglected. Measured, seconds with 31 and with 15:
# n = 100,000, d = 128, k = 100: 0.362 and 0.336; n = 50,000, d = 768, k = 30: 1.125 and 1.176.
_DIRECTIONS = ((1536, 31), (64, 15))
# With so few features the whole spectrum is known, for clusters of any size.
_ALL_DIRECTIONS = 8
# Members that the search looks at, and its rounds.
_SEARCH_MEMBERS = 2048
_SEARCH_ROUNDS = 2


def cluster_centers(data: ScaledData, n_jobs: int) -> NDArray[np.float64]:
    """Mean of every cluster, shape (n_clusters, n_features), scaled.

    Differences from one of the members are averaged, so that data far from 0 lose no digits.
    """
    order, offsets = data.partition.order, data.partition.offsets
    first = data.X[order[offsets[:-1]]].astype(np.float64) * data.scale

    def add(rows: NDArray[np.intp], cluster: int, sums: NDArray[np.float64]) -> None:
        kernels.add_differences(data.X, rows, data.scale, first[cluster], sums)

    sums = _sum_over_members(data, add, data.X.shape[1], n_jobs)
    return np.asarray(first + sums / data.partition.sizes[:, None])


def radial_bounds(
    data: ScaledData,
    centers: NDArray[np.float64],
    squared_products: NDArray[np.float64],
    origin: NDArray[np.floating],
    *,
    rounding: float,
    n_jobs: int,
) -> tuple[ClusterBounds, NDArray[np.float64]]:
    """What :mod:`fastsil.kernels.bounds` needs to know of each cluster for its first bounds.

    Parameters
    ----------
    data : ScaledData
        Samples and partition.
    centers : ndarray of shape (n_clusters, n_features)
        Mean of every cluster.
    squared_products : ndarray of shape (n_clusters,)
        Sum of (u·u')² over all ordered pairs of members, u relative to the center: the squared Frobenius norm of
        the covariance, times |C|². 0 where it is not known, with few features.
    origin : ndarray of shape (n_features,)
        Origin of the products that distances to centers are computed from.
    rounding : float
        Rounding of inner products, relative to the product of the norms.
    n_jobs : int
        Number of threads.

    Returns
    -------
    bounds : ClusterBounds
        Without tables.
    skew : ndarray of shape (n_clusters, n_features)
        Mean of r² (y - center) over the members y.
    """
    sizes = data.partition.sizes
    n_features = data.X.shape[1]

    def add_radial(rows: NDArray[np.intp], cluster: int, sums: NDArray[np.float64]) -> None:
        kernels.add_radial_moments(data.X, rows, data.scale, centers[cluster], sums[2:], sums[:2])

    sums = _sum_over_members(data, add_radial, n_features + 2, n_jobs) / sizes[:, None]
    variance, fourth, skew = np.ascontiguousarray(sums[:, 0]), sums[:, 1], sums[:, 2:]
    spectral = np.array(variance)
    if n_features > _ALL_DIRECTIONS:
        # The products that the norm was summed from are rounded, by at most `rounding` of the product of the norms.
        frobenius = np.sqrt(squared_products) / sizes
        spectral = np.minimum(spectral, np.sqrt((frobenius + rounding * variance) ** 2 + (rounding * variance) ** 2))
    bounds = ClusterBounds(
        centers=centers,
        center_rounding=2.0**-48 * np.linalg.norm(centers, axis=1) + 1e-12 * np.sqrt(variance),
        center_norms=((centers - origin) ** 2).sum(axis=1),
        variance=variance,
        variance_r2=np.maximum(fourth - variance**2, 0.0) + 1e-12 * fourth,
        skew_norm=np.linalg.norm(skew, axis=1),
        spectral=spectral * (1 + 1e-9),
        table=np.full(len(sizes), -1, dtype=np.int64),
        vectors=np.empty((0, 1, n_features), dtype=data.dtype),
        theta=np.empty((0, 0)),
        leak=np.empty(0),
        rest=np.empty(0),
    )
    return bounds, skew


def directions_are_worth_it(data: ScaledData, count_candidates: Callable[[], float]) -> bool:
    """Whether leading directions save more distances than they cost, given the candidates a sample that remain without.

    Counted in products of n_features a sample. The directions leave about 1.3 candidates on data of all kinds, and
    the loops that find them run at a third of the rate of the tiles.
    """
    chosen, n_vectors = _clusters_with_table(data.partition.sizes, data.X.shape[1])
    if n_vectors == data.X.shape[1]:
        return True
    if len(chosen) == 0:
        return False
    candidates_per_sample = count_candidates()
    size = _typical_size(data.partition.sizes)
    rounds = _SEARCH_ROUNDS * min(1.0, _SEARCH_MEMBERS / size)
    cost = 3 * n_vectors * 2 * (1 + rounds) + candidates_per_sample * n_vectors
    return (candidates_per_sample - 1.3) * size > cost


def add_directions(data: ScaledData, bounds: ClusterBounds, skew: NDArray[np.float64], *, n_jobs: int) -> ClusterBounds:
    """The same bounds with a table of leading directions for every cluster that is large enough.

    Parameters
    ----------
    data : ScaledData
        Samples and partition.
    bounds : ClusterBounds
        From :func:`radial_bounds`.
    skew : ndarray of shape (n_clusters, n_features)
        Likewise.
    n_jobs : int
        Number of threads.
    """
    chosen, n_vectors = _clusters_with_table(data.partition.sizes, data.X.shape[1])
    basis = _leading_directions(data, bounds.centers, chosen, n_vectors, n_jobs)
    products = _covariance_products(data, bounds.centers, chosen, basis, n_jobs)
    basis, theta, leak, inside = _ritz(basis, products, n_jobs)
    if n_vectors == data.X.shape[1]:
        rest = np.zeros(len(chosen))
    else:
        # So far, λ is the Frobenius norm of the covariance (or its trace, which is not less).
        frobenius2 = bounds.spectral[chosen] ** 2
        rest = np.sqrt(np.maximum(frobenius2 - inside, 0.0) + 1e-12 * frobenius2)
    # Largest eigenvalue of [[θ1, ε], [ε, ρ]]: nothing in or outside the basis can be more.
    half = (theta.max(axis=1, initial=0.0) - rest) / 2
    spectral = bounds.spectral.copy()
    spectral[chosen] = np.minimum(spectral[chosen], (rest + half + np.sqrt(half**2 + leak**2)) * (1 + 1e-9))
    table = bounds.table.copy()
    table[chosen] = np.arange(len(chosen))
    return bounds._replace(
        spectral=spectral,
        table=table,
        vectors=np.concatenate([basis, skew[chosen, None]], axis=1).astype(data.dtype),
        theta=theta,
        leak=leak,
        rest=rest,
    )


def _clusters_with_table(sizes: NDArray[np.intp], n_features: int) -> tuple[NDArray[np.intp], int]:
    """Clusters that get directions, and how many."""
    if n_features <= _ALL_DIRECTIONS:
        return np.arange(len(sizes)), n_features
    typical = _typical_size(sizes)
    for least, n_vectors in _DIRECTIONS:
        if typical >= least:
            return np.flatnonzero(sizes >= _DIRECTIONS[-1][0]), min(n_vectors, n_features)
    return np.arange(0), 0


def _typical_size(sizes: NDArray[np.intp]) -> float:
    """Mean over samples of the size of their cluster."""
    return float(np.sum(sizes.astype(np.float64) ** 2) / sizes.sum())


def _leading_directions(
    data: ScaledData,
    centers: NDArray[np.float64],
    chosen: NDArray[np.intp],
    n_vectors: int,
    n_jobs: int,
) -> NDArray[np.float64]:
    """Orthonormal vectors near the leading eigenvectors, (n_chosen, n_vectors, n_features), by subspace iteration."""
    n_features = data.X.shape[1]
    basis = np.zeros((len(chosen), n_vectors, n_features))
    if n_vectors == n_features:
        basis[:] = np.eye(n_features)
        return basis

    def search(index: int, stop: NDArray[np.uint8]) -> None:
        cluster = chosen[index]
        members = _members(data.partition, cluster)
        # Spread over the members, not random: a result then never depends on a seed.
        start = members[np.linspace(0, len(members) - 1, n_vectors).astype(np.intp)]
        vectors = data.X[start].astype(np.float64) * data.scale - centers[cluster]
        looked_at = members[:: -(-len(members) // _SEARCH_MEMBERS)]
        for _ in range(_SEARCH_ROUNDS):
            vectors = (vectors / (np.abs(vectors).max() or 1.0)).astype(data.dtype)
            products = np.zeros_like(vectors)
            kernels.add_covariance_products(data.X, looked_at, data.scale, centers[cluster], vectors, products)
            vectors = products
        basis[index] = vectors
        kernels.orthonormalize_rows(basis[index])

    run_tasks(search, range(len(chosen)), np.ones(len(chosen)), n_jobs=n_jobs)
    return basis


def _covariance_products(
    data: ScaledData, centers: NDArray[np.float64], chosen: NDArray[np.intp], basis: NDArray[np.float64], n_jobs: int
) -> NDArray[np.float64]:
    """Covariance times basis, (n_chosen, n_vectors, n_features)."""
    table = {int(cluster): index for index, cluster in enumerate(chosen)}
    shape = basis.shape[1:]

    def add(rows: NDArray[np.intp], cluster: int, sums: NDArray[np.float64]) -> None:
        kernels.add_covariance_products(
            data.X, rows, data.scale, centers[cluster], basis[table[cluster]], sums.reshape(shape)
        )

    sums = _sum_over_members(data, add, shape[0] * shape[1], n_jobs, clusters=chosen)
    return sums.reshape(basis.shape) / data.partition.sizes[chosen, None, None]


def _ritz(
    basis: NDArray[np.float64], products: NDArray[np.float64], n_jobs: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Turn a basis so that QᵀΣQ is diagonal.

    Returns the basis, θ, ε = the Frobenius norm of the part of ΣQ outside Q, and the squared Frobenius norm of the
    part of Σ that touches Q.
    """
    n_tables, n_vectors, _ = basis.shape
    inner = np.empty((n_tables, n_vectors, n_vectors))
    turned = np.empty_like(basis)
    theta = np.empty((n_tables, n_vectors))

    def turn(table: int, stop: NDArray[np.uint8]) -> None:
        kernels.fill_inner_products(basis[table], products[table], inner[table])
        diagonal = (inner[table] + inner[table].T) / 2
        vectors = np.empty_like(diagonal)
        kernels.diagonalize(diagonal, vectors)
        kernels.combine_rows(vectors, basis[table], turned[table])
        # What is not quite diagonal is less than this share of the whole.
        theta[table] = np.maximum(np.diagonal(diagonal), 0.0) + 1e-11 * np.sqrt((inner[table] ** 2).sum())

    run_tasks(turn, range(n_tables), [1.0] * n_tables, n_jobs=n_jobs)
    length2 = np.einsum("tvf,tvf->t", products, products)
    inner2 = np.einsum("tvw,tvw->t", inner, inner)
    leak = np.sqrt(np.maximum(length2 - inner2, 0.0) + 1e-13 * length2)
    return turned, theta, leak, 2 * length2 - inner2


def _members(partition: Partition, cluster: int) -> NDArray[np.intp]:
    return partition.order[partition.offsets[cluster] : partition.offsets[cluster + 1]]


def _sum_over_members(
    data: ScaledData,
    add: Callable[[NDArray[np.intp], int, NDArray[np.float64]], None],
    width: int,
    n_jobs: int,
    *,
    clusters: NDArray[np.intp] | None = None,
) -> NDArray[np.float64]:
    """Sums of ``add(rows, cluster, sums)`` over the members of each cluster, (n_clusters, width)."""
    partition = data.partition
    if clusters is None:
        clusters = np.arange(partition.n_clusters)
    sizes = partition.sizes[clusters]
    n_pieces = np.maximum(-(-sizes // _PIECE), 1)
    first = np.concatenate([[0], np.cumsum(n_pieces)])
    sums = np.zeros((first[-1], width))
    owner = np.repeat(np.arange(len(clusters)), n_pieces)

    def add_pieces(batch: range, stop: NDArray[np.uint8]) -> None:
        for piece in batch:
            if stop[0]:
                return
            cluster = int(clusters[owner[piece]])
            start = partition.offsets[cluster] + (piece - first[owner[piece]]) * _PIECE
            end = min(start + _PIECE, partition.offsets[cluster + 1])
            add(partition.order[start:end], cluster, sums[piece])

    batches = in_batches(len(owner), n_jobs=n_jobs)
    run_tasks(add_pieces, batches, [len(batch) for batch in batches], n_jobs=n_jobs)
    if len(owner) == len(clusters):
        return sums
    return np.add.reduceat(sums, first[:-1], axis=0)

"""Moments of clusters, and the table of bounds on mean distances that they give.

Sums run over pieces of a fixed number of samples and are then added in order, so that they have the same bits for
any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastsil.engines.euclidean.basis_cost import SEARCH_MEMBERS, SEARCH_ROUNDS, SHARED_DIRECTIONS, most_directions
from fastsil.engines.scaling import ScaledData
from fastsil.kernels import moments as kernels
from fastsil.kernels.bounds import ClusterBounds, SharedBasis
from fastsil.runtime.threads import in_batches, run_tasks
from fastsil.validation.partition import Partition, count_up, find_group_argmin

# Members that are summed in one go, at least and at most, and pieces of all samples between: sums of pieces are added
# in order, and take memory.
_PIECE = (1024, 8192)
_PIECES = 64
# Of the samples that a search for directions looks at.
_SEARCH_PIECES = 8
# Bytes of the products of covariances with a basis that are held at a time.
_PRODUCTS_BYTES = 16 << 20
_BLOCK_BYTES = 4 << 20


class BasisNorms(NamedTuple):
    """Bounds on eigenvalues of the moments along a basis."""

    inside: NDArray[np.float64]  # (n_clusters,) no less than the largest one of M: the fourth root of the trace of M⁴
    outside: NDArray[np.float64]  # (n_clusters,) ρ, as in `rest`: the Frobenius norm of the covariance outside


def cluster_centers(data: ScaledData, n_jobs: int) -> NDArray[np.float64]:
    """Compute the mean of every cluster, shape (n_clusters, n_features), scaled.

    Differences from one of the members are averaged, so that data far from 0 lose no digits.
    """
    weights = data.partition.sample_weight
    first = data.X[_pick_members(data.partition)].astype(np.float64) * data.scale

    def add(rows: NDArray[np.intp], cluster: int, sums: NDArray[np.float64]) -> None:
        kernels.add_differences(data.X, rows, data.scale, first[cluster], weights, sums)

    sums = _sum_over_members(data, add, data.X.shape[1], n_jobs)
    sums /= data.partition.totals[:, None]
    sums += first
    return sums


def _pick_members(partition: Partition) -> NDArray[np.intp]:
    """Return a member of each cluster that is no farther from the center than √(n E r²): the first one, or the one of
    the greatest weight.
    """
    if partition.sample_weight is None:
        return partition.order[partition.offsets[:-1]]
    return find_group_argmin(partition.codes, -partition.sample_weight, partition.n_clusters)


def radial_bounds(
    data: ScaledData,
    centers: NDArray[np.float64],
    squared_products: NDArray[np.float64],
    origin: NDArray[np.floating],
    *,
    rounding: float,
    n_jobs: int,
) -> tuple[ClusterBounds, NDArray[np.float64]]:
    """Compute the moments of each cluster that the first bounds of :mod:`fastsil.kernels.bounds` need.

    Parameters
    ----------
    data : ScaledData
        Samples and partition.
    centers : ndarray of shape (n_clusters, n_features)
        Mean of every cluster.
    squared_products : ndarray of shape (n_clusters,)
        Sum of (u·u')² over all ordered pairs of members, u relative to the center: the squared Frobenius norm of
        the covariance, times |C|² (or, with weights, the square of their total). 0 where it is not known, with few
        features.
    origin : ndarray of shape (n_features,)
        Origin of the products that distances to centers are computed from.
    rounding : float
        Rounding of inner products, relative to the product of the norms.
    n_jobs : int
        Number of threads.

    Returns
    -------
    bounds : ClusterBounds
        ``spectral`` is no less than the Frobenius norm of the covariance, which :func:`shared_basis` relies on.
    skew : ndarray of shape (n_clusters, n_features)
        Mean of r² (y - center) over the members y.
    """
    totals, weights = data.partition.totals, data.partition.sample_weight
    n_features = data.X.shape[1]

    def add_radial(rows: NDArray[np.intp], cluster: int, sums: NDArray[np.float64]) -> None:
        kernels.add_radial_moments(data.X, rows, data.scale, centers[cluster], weights, sums[2:], sums[:2])

    sums = _sum_over_members(data, add_radial, n_features + 2, n_jobs)
    sums /= totals[:, None]
    variance, fourth, skew = np.ascontiguousarray(sums[:, 0]), sums[:, 1], sums[:, 2:]
    # The products that the norm was summed from are rounded, by at most `rounding` of the product of the norms.
    frobenius = np.sqrt(squared_products) / totals
    frobenius = np.sqrt((frobenius + rounding * variance) ** 2 + (rounding * variance) ** 2)
    spectral = np.where(squared_products > 0, np.minimum(variance, frobenius), variance)
    given = {"variance": variance, "fourth": fourth, "skew": skew, "spectral": spectral}
    return cluster_bounds(centers, origin, sizes=data.partition.sizes, **given), skew


def cluster_bounds(
    centers: NDArray[np.float64],
    origin: NDArray[np.floating],
    *,
    sizes: NDArray[np.intp],
    variance: NDArray[np.float64],
    fourth: NDArray[np.float64],
    skew: NDArray[np.float64],
    spectral: NDArray[np.float64],
) -> ClusterBounds:
    """Make the table for the first bounds, from moments of the members y of each cluster, with r = |y - center|.

    Parameters
    ----------
    centers : ndarray of shape (n_clusters, n_features)
        Means of the members.
    origin : ndarray of shape (n_features,)
        Origin of the products that distances to centers are computed from.
    sizes : ndarray of shape (n_clusters,)
        Numbers of members.
    variance, fourth : ndarray of shape (n_clusters,)
        Means of r² and r⁴.
    skew : ndarray of shape (n_clusters, n_features)
        Mean of r² (y - center).
    spectral : ndarray of shape (n_clusters,)
        Largest eigenvalue of the covariance, or more.
    """
    lengths, center_norms, skew_norm = np.empty((3, len(centers)))
    for some in _row_blocks(centers):
        lengths[some] = np.linalg.norm(centers[some], axis=1)
        center_norms[some] = ((centers[some] - origin) ** 2).sum(axis=1)
        skew_norm[some] = np.linalg.norm(skew[some], axis=1)
    return ClusterBounds(
        centers=centers,
        # Differences from a member are summed, which may be √(n E r²) from the center, the most that a member can be,
        # or with weights the heaviest one.
        center_rounding=2.0**-52 * lengths + 4e-12 * np.sqrt(sizes * variance),
        center_norms=center_norms,
        variance=variance,
        variance_r2=np.maximum(fourth - variance**2, 0.0) + 1e-12 * fourth,
        skew_norm=skew_norm,
        spectral=spectral * (1 + 1e-9),
    )


def shared_basis(
    data: ScaledData,
    bounds: ClusterBounds,
    skew: NDArray[np.float64],
    origin: NDArray[np.floating],
    n_vectors: int,
    first: int,
    *,
    n_jobs: int,
) -> tuple[NDArray[np.floating], SharedBasis, BasisNorms]:
    """Compute leading directions of the scatter within clusters, and the moments of each cluster along them.

    Parameters
    ----------
    data, bounds, skew, origin, n_jobs
        As for and from :func:`radial_bounds`.
    n_vectors : int
        Number of directions, a multiple of 16; those beyond n_features are 0.
    first : int
        Column of components where those of this basis begin.

    Returns
    -------
    vectors : ndarray of shape (n_vectors, n_features)
        The basis.
    shared : SharedBasis
    norms : BasisNorms
    """
    n_clusters, n_features = bounds.centers.shape
    basis = _zeros((n_vectors, n_features), np.float64)
    basis[:] = _shared_directions(data, bounds.centers, n_vectors, n_jobs)
    shared = SharedBasis(
        first=first,
        centers=np.empty((n_clusters, n_vectors)),
        forms=np.empty((n_clusters, n_vectors, n_vectors), data.dtype),
        majorants=np.empty((n_clusters, n_vectors), data.dtype),
        form_norms=np.empty(n_clusters),
        rest=np.zeros(n_clusters),
        skew=np.empty((n_clusters, n_vectors), data.dtype),
        skew_outside=np.empty(skew.shape, data.dtype),
        skew_rest=np.empty(n_clusters),
    )
    norms = BasisNorms(np.empty(n_clusters), np.zeros(n_clusters))
    step = max(1, _PRODUCTS_BYTES // (8 * n_vectors * max(n_features, 4 * n_vectors)))
    for start in range(0, n_clusters, step):
        some = np.arange(start, min(start + step, n_clusters))
        products = _covariance_products(data, bounds.centers, some, basis, n_jobs)

        def fill(batch: range, stop: NDArray[np.uint8]) -> None:
            chosen = slice(start + batch.start, start + batch.stop)  # noqa: B023
            of_batch = products[batch.start : batch.stop]  # noqa: B023
            _fill_moments(shared, norms, chosen, basis, of_batch, bounds, skew, origin)

        batches = in_batches(len(some), n_jobs=n_jobs)
        run_tasks(fill, batches, [len(batch) for batch in batches], n_jobs=n_jobs)
    return basis.astype(data.dtype), shared, norms


def count_shared_basis_bytes(n_clusters: int, n_features: int, itemsize: int) -> int:
    """Count the memory of the first basis, with its products, for as few directions as it may have."""
    n_vectors = min(SHARED_DIRECTIONS[0][0], most_directions(n_clusters, n_features, itemsize))
    products = 8 * n_clusters * n_vectors * max(n_features, 4 * n_vectors)
    forms = (8 + itemsize) * n_clusters * n_vectors**2
    return min(_PRODUCTS_BYTES, products) + forms + (8 + itemsize) * n_clusters * n_features


def _shared_directions(
    data: ScaledData, centers: NDArray[np.float64], n_vectors: int, n_jobs: int
) -> NDArray[np.float64]:
    """Compute orthonormal rows near the leading eigenvectors of the scatter within clusters, by subspace iteration."""
    n_samples, n_features = data.X.shape
    if n_features <= n_vectors:
        return np.eye(n_vectors, n_features)
    codes, order, weights = data.partition.codes, data.partition.order, data.partition.sample_weight
    if weights is not None:
        weights = (weights / weights.max()).astype(data.dtype)
    # Contiguous, or kernels would be compiled once more for rows with gaps.
    looked_at = np.ascontiguousarray(order[:: -(-n_samples // SEARCH_MEMBERS)])
    start = looked_at[np.linspace(0, len(looked_at) - 1, n_vectors).astype(np.intp)]
    vectors = data.X[start].astype(np.float64) * data.scale - centers[codes[start]]
    cuts = np.linspace(0, len(looked_at), _SEARCH_PIECES + 1).astype(np.intp)
    for _ in range(SEARCH_ROUNDS):
        basis = _zeros(vectors.shape, data.dtype)
        basis[:] = vectors / (np.abs(vectors).max() or 1.0)
        products = _zeros((_SEARCH_PIECES, *basis.shape), data.dtype)

        def add(piece: int, stop: NDArray[np.uint8]) -> None:
            rows = looked_at[cuts[piece] : cuts[piece + 1]]
            seen = data.X, rows, data.scale, centers, codes, weights
            kernels.add_covariance_products(*seen, basis, products[piece])  # noqa: B023

        run_tasks(add, range(_SEARCH_PIECES), [1.0] * _SEARCH_PIECES, n_jobs=n_jobs)
        vectors = products.sum(axis=0, dtype=np.float64)
    kernels.orthonormalize_rows(vectors)
    return vectors


def _fill_moments(
    shared: SharedBasis,
    norms: BasisNorms,
    some: slice,
    basis: NDArray[np.float64],
    products: NDArray[np.float64],
    bounds: ClusterBounds,
    skew: NDArray[np.float64],
    origin: NDArray[np.floating],
) -> None:
    """Fill in the moments of some clusters along a basis, from Σ times the basis."""
    n_vectors, n_features = basis.shape
    square = np.empty((n_vectors, n_vectors))
    for cluster, product in zip(range(some.start, some.stop), products, strict=True):
        # Here `spectral` must bound the Frobenius norm: it is that norm, or the trace.
        form, norm, back = _form(basis, product, bounds.variance[cluster], bounds.spectral[cluster])
        shared.forms[cluster] = form
        shared.majorants[cluster] = _majorize(form)
        shared.form_norms[cluster] = np.sqrt((form**2).sum()) * (1 + 1e-6)
        kernels.fill_inner_products(form, form, square)
        norms.inside[cluster] = (square**2).sum() ** 0.25 * (1 + 1e-9)
        if n_features > n_vectors:
            norms.outside[cluster], shared.rest[cluster] = norm, norm + back
    inside, outside = np.empty((len(products), n_vectors)), np.empty((len(products), n_features))
    kernels.fill_inner_products(bounds.centers[some] - origin, basis, shared.centers[some])
    kernels.fill_inner_products(skew[some], basis, inside)
    kernels.combine_rows(inside, basis, outside)
    np.subtract(skew[some], outside, out=outside)
    shared.skew[some], shared.skew_outside[some] = inside, outside
    shared.skew_rest[some] = np.linalg.norm(outside, axis=1) + 1e-7 * bounds.skew_norm[some]


def _majorize(form: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the d of :mod:`fastsil.kernels.bounds`, s being the roots of the diagonal."""
    diagonal = np.diagonal(form)
    roots = np.sqrt(np.maximum(diagonal, 0.0))
    roots = np.where(roots > 0, roots, 1.0)
    # Rounded to float32, and summed there over the directions.
    margin = 1 + 1e-5
    return np.asarray((diagonal + ((np.abs(form) * roots).sum(axis=1) - np.abs(diagonal) * roots) / roots) * margin)


def _form(
    basis: NDArray[np.float64], products: NDArray[np.float64], variance: float, frobenius: float
) -> tuple[NDArray[np.float64], float, float]:
    """Compute M, ρ and 1/α."""
    # QᵀΣQ, QᵀΣΣQ, and the part of the latter that stays inside.
    inner, lengths, twice = np.empty((3, len(basis), len(basis)))
    kernels.fill_inner_products(basis, products, inner)
    kernels.fill_inner_products(products, products, lengths)
    kernels.fill_inner_products(inner, inner, twice)
    length2, inner2 = np.trace(lengths), np.trace(twice)
    form = (inner + inner.T) / 2
    # Cancellation and all other rounding are less than these shares of the whole: of the crossing, which α times covers
    # that of the form too, and of what is outside, so that α is not 0 and 1 / α covers that of the rest.
    crossing = lengths - twice + 1e-13 * length2 * np.eye(len(basis))
    outside = max(variance - np.trace(form), 0.0) + 1e-9 * variance
    # α is best where α |Ez|² = |w|² / α; the typical u is taken to be spread as the members are.
    typical = (crossing * form).sum()
    alpha = np.sqrt(outside / typical) if typical > 0 else 0.0
    back = 1.0 / alpha if alpha > 0 else 0.0
    norm = np.sqrt(max(frobenius**2 - 2 * length2 + inner2, 0.0))
    return form + alpha * crossing, float(norm), float(back)


def _covariance_products(
    data: ScaledData,
    centers: NDArray[np.float64],
    chosen: NDArray[np.intp],
    basis: NDArray[np.float64],
    n_jobs: int,
) -> NDArray[np.float64]:
    """Compute covariance times basis for each chosen cluster, (n_chosen, n_vectors, n_features)."""
    partition = data.partition

    def add(rows: NDArray[np.intp], cluster: int, sums: NDArray[np.float64]) -> None:
        kernels.add_covariance_products(
            data.X,
            rows,
            data.scale,
            centers,
            partition.codes,
            partition.sample_weight,
            basis,
            sums.reshape(basis.shape),
        )

    sums = _sum_over_members(data, add, basis.size, n_jobs, clusters=chosen)
    sums /= partition.totals[chosen, None]
    return sums.reshape(-1, *basis.shape)


def _sum_over_members(
    data: ScaledData,
    add: Callable[[NDArray[np.intp], int, NDArray[np.float64]], None],
    width: int,
    n_jobs: int,
    *,
    clusters: NDArray[np.intp] | None = None,
) -> NDArray[np.float64]:
    """Sum ``add(rows, cluster, sums)`` over the members of each cluster, (n_clusters, width).

    The first piece of each cluster is summed in its place; the others are added to it in their order.
    """
    partition = data.partition
    if clusters is None:
        clusters = np.arange(partition.n_clusters)
    sizes = partition.sizes[clusters]
    length = int(np.clip(partition.n_samples // _PIECES, *_PIECE))
    n_others = np.maximum(-(-sizes // length) - 1, 0)
    sums, others = (_zeros((n, width), np.float64) for n in (len(clusters), int(n_others.sum())))
    # Cluster and place in it of each piece.
    owner = np.concatenate([np.arange(len(clusters)), np.repeat(np.arange(len(clusters)), n_others)])
    place = np.concatenate([np.zeros(len(clusters), np.intp), count_up(n_others) + 1])

    def add_pieces(batch: range, stop: NDArray[np.uint8]) -> None:
        for piece in batch:
            if stop[0]:
                return
            cluster = int(clusters[owner[piece]])
            start = partition.offsets[cluster] + place[piece] * length
            end = min(start + length, partition.offsets[cluster + 1])
            target = sums[piece] if piece < len(sums) else others[piece - len(sums)]
            add(partition.order[start:end], cluster, target)

    n_rows = np.minimum(length, sizes[owner] - place * length)
    # The longest first.
    batches = sorted(in_batches(len(owner), n_jobs=n_jobs), key=lambda batch: -n_rows[batch.start])
    run_tasks(add_pieces, batches, [len(batch) for batch in batches], n_jobs=n_jobs)
    for index, total in zip(owner[len(sums) :], others, strict=True):
        sums[index] += total
    return sums


def _row_blocks(table: NDArray[Any]) -> Iterator[slice]:
    """Yield blocks of rows of clusters times features, small enough that temporary arrays are small as well."""
    step = max(1, _BLOCK_BYTES // (8 * table.shape[1]))
    return (slice(start, start + step) for start in range(0, len(table), step))


def _zeros(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Allocate zeros that begin with a line of the cache: see
    :func:`fastsil.kernels.moments.add_covariance_products`.
    """
    itemsize = np.dtype(dtype).itemsize
    size = math.prod(shape)
    padded = np.zeros(size + 64 // itemsize, dtype)
    first = -padded.ctypes.data % 64 // itemsize
    return padded[first : first + size].reshape(shape)

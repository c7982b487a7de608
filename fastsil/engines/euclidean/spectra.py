"""Bounds on the largest eigenvalue of each cluster's covariance outside a basis that all clusters share.

The fourth root of the trace of the fourth power of a symmetric matrix is no less than any of its eigenvalues, and in
flat spectra far less than its Frobenius norm: of m equal eigenvalues it is m^(1/4) times one, not m^(1/2) times. It
is the root of the Frobenius norm of the matrix's square, which tiles compute at their full rate.

For a basis of orthonormal rows Q the part of a covariance Σ outside it is

    (I - QᵀQ) Σ (I - QᵀQ)  =  Σ - QᵀH - HᵀQ,     H = QΣ - QΣQᵀQ / 2.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.euclidean.basis_cost import covariances_at_once
from fastsil.engines.euclidean.tiles import bound_product_rounding, multiply_rows, tile_workspaces
from fastsil.engines.scaling import ScaledData
from fastsil.kernels.micro import COLUMNS, SLAB
from fastsil.kernels.moments import combine_rows, fill_inner_products, turn_members
from fastsil.runtime.threads import run_tasks

# Variance of a cluster below which products in float32 vanish; its variance is the bound then.
_LEAST_VARIANCE = 1e-30


def bound_outside(
    data: ScaledData,
    centers: NDArray[np.float64],
    variance: NDArray[np.float64],
    basis: NDArray[np.floating],
    *,
    n_jobs: int,
) -> NDArray[np.float64]:
    """Bound the norm of each cluster's covariance outside a basis.

    Parameters
    ----------
    data : ScaledData
        Samples and partition.
    centers : ndarray of shape (n_clusters, n_features)
        Mean of every cluster.
    variance : ndarray of shape (n_clusters,)
        Mean of the squared distances of the members from it.
    basis : ndarray of shape (n_vectors, n_features)
        Orthonormal rows, or rows of 0.
    n_jobs : int
        Number of threads. The result has the same bits for any.

    Returns
    -------
    bounds : ndarray of shape (n_clusters,)
        No less than the largest eigenvalue of ``(I - QᵀQ) Σ (I - QᵀQ)``.
    """
    at_once = max(1, covariances_at_once(centers.shape[1], data.dtype.itemsize))
    bounds = variance.copy()
    clusters = np.flatnonzero(variance > _LEAST_VARIANCE)
    for start in range(0, len(clusters), at_once):
        some = clusters[start : start + at_once]
        bounds[some] *= _Group(data, centers, variance, basis, some, n_jobs).bound()
    return bounds


def guess_norms(frobenius: NDArray[np.float64], variance: NDArray[np.float64], n_outside: int) -> NDArray[np.float64]:
    """Estimate what :func:`bound_outside` would find, from Frobenius norms: as of equal eigenvalues.

    Parameters
    ----------
    frobenius, variance : ndarray of shape (n_clusters,)
        Norms outside the basis, and traces of the whole covariances.
    n_outside : int
        Number of dimensions outside the basis.
    """
    root = np.divide(variance, frobenius, out=np.ones(len(variance)), where=frobenius > 0)
    return np.asarray(frobenius / np.sqrt(np.clip(root, 1.0, n_outside**0.5)))


class _Tile(NamedTuple):
    """A part of a symmetric matrix, on or above the diagonal."""

    place: int  # of its matrix among those of the group
    rows: slice
    columns: slice

    @property
    def copies(self) -> int:
        return 1 if self.rows == self.columns else 2


class _Group:
    """The covariances of some clusters, as shares of their variances."""

    def __init__(
        self,
        data: ScaledData,
        centers: NDArray[np.float64],
        variance: NDArray[np.float64],
        basis: NDArray[np.floating],
        clusters: NDArray[np.intp],
        n_jobs: int,
    ) -> None:
        n_features = centers.shape[1]
        blocks = [slice(low, low + COLUMNS) for low in range(0, n_features, COLUMNS)]
        self._data = data
        self._centers = centers
        self._variance = variance
        self._basis = basis.astype(np.float64)
        self._clusters = clusters
        self._n_jobs = n_jobs
        self._tiles = [
            _Tile(place, *pair) for place in range(len(clusters)) for pair in combinations_with_replacement(blocks, 2)
        ]
        self._workspaces = tile_workspaces(data.dtype, SLAB)
        self._factors: list[Any] = [None] * len(clusters)
        self._covariances = np.empty((len(clusters), n_features, n_features))
        self._outside = np.empty(self._covariances.shape, data.dtype)

    def bound(self) -> NDArray[np.float64]:
        """Return the bounds."""
        whole = self._sum_squares(self._fill_covariance)
        self._each(range(len(self._clusters)), self._factor_inside)
        outside = self._sum_squares(self._fill_outside)
        squared = self._sum_squares(self._square)
        # A product is off by this share of the product of the norms: those of the covariance, of what is taken off it
        # (in two steps), and of the square, whose norm is no less than that of the matrix, squared, over √n_features.
        n_features = self._centers.shape[1]
        rounding = bound_product_rounding(self._data.dtype, max(n_features, SLAB))
        off = 1.0 + 6.0 * np.sqrt(len(self._basis) * whole) + 0.5 * n_features**0.25 * np.sqrt(outside)
        return np.asarray(squared**0.25 + rounding * off)

    def _each(self, tasks: Any, run: Callable[[Any], None]) -> None:
        run_tasks(lambda task, _: run(task), tasks, [1.0] * len(tasks), n_jobs=self._n_jobs)

    def _sum_squares(self, fill: Callable[[_Tile], NDArray[Any]]) -> NDArray[np.float64]:
        """Run a step for all tiles, and sum the squares of the matrices that it makes."""
        squares = np.empty(len(self._tiles))

        def run(number: int) -> None:
            tile = self._tiles[number]
            squares[number] = tile.copies * np.square(fill(tile), dtype=np.float64).sum()

        self._each(range(len(squares)), run)
        return np.asarray(squares.reshape(len(self._clusters), -1).sum(axis=1))

    def _fill_covariance(self, tile: _Tile) -> NDArray[np.float64]:
        cluster = self._clusters[tile.place]
        partition = self._data.partition
        members = partition.order[partition.offsets[cluster] : partition.offsets[cluster + 1]]
        total: Any = 0.0
        for start in range(0, len(members), SLAB):
            rows = members[start : start + SLAB]
            left = self._features(rows, cluster, tile.rows)
            right = left if tile.copies == 1 else self._features(rows, cluster, tile.columns)
            total = total + self._multiply(left, right).astype(np.float64)
        total /= len(members) * self._variance[cluster]
        self._covariances[tile.place, tile.rows, tile.columns] = total
        self._covariances[tile.place, tile.columns, tile.rows] = total.T
        return np.asarray(total)

    def _features(self, rows: NDArray[np.intp], cluster: np.intp, some: slice) -> NDArray[Any]:
        """Return some features of samples, about the center: a row for each feature, times the roots of their weights,
        which are 1 on average.
        """
        center, partition = self._centers[cluster], self._data.partition
        weights = partition.sample_weight
        turned = np.empty((len(center[some]), len(rows)), self._data.dtype)
        turn_members(self._data.X, rows, self._data.scale, center, some.start, turned)
        if weights is not None:
            turned *= np.sqrt(weights[rows] / (partition.totals[cluster] / partition.sizes[cluster]))
        return turned

    def _factor_inside(self, place: int) -> None:
        """Factor what is to be taken off a covariance: QᵀH + HᵀQ, the products of rows with rows."""
        covariance, basis = self._covariances[place].astype(self._data.dtype), self._basis
        single = basis.astype(self._data.dtype)
        products, inside, halves = np.empty(basis.shape), np.empty((len(basis), len(basis))), np.empty(basis.shape)
        for start in range(0, len(covariance), COLUMNS):
            some = slice(start, start + COLUMNS)
            products[:, some] = self._multiply(single, covariance[some])
        fill_inner_products(products, basis, inside)
        combine_rows(inside, basis, halves)
        halves = products - halves / 2
        # Both of one length: rounding is relative to it.
        balance = (np.square(halves).sum() / np.square(basis).sum()) ** 0.25 or 1.0
        factors = (balance * basis).T, (halves / balance).T
        pairs = factors, factors[::-1]
        self._factors[place] = tuple(np.hstack(pair).astype(single.dtype, order="C") for pair in pairs)

    def _fill_outside(self, tile: _Tile) -> NDArray[Any]:
        left, right = self._factors[tile.place]
        inside = self._multiply(left[tile.rows], right[tile.columns])
        outside = self._outside[tile.place]
        outside[tile.rows, tile.columns] = self._covariances[tile.place, tile.rows, tile.columns] - inside
        part = outside[tile.rows, tile.columns]
        outside[tile.columns, tile.rows] = part.T
        return np.asarray(part)

    def _square(self, tile: _Tile) -> NDArray[Any]:
        outside = self._outside[tile.place]
        return self._multiply(outside[tile.rows], outside[tile.columns])

    def _multiply(self, left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
        """Return the inner products of rows with rows."""
        with self._workspaces.lend() as workspace:
            return multiply_rows(left, right, workspace)

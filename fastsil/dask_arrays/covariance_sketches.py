"""Covariances of clusters as sketches of blocks that can be merged, for the bounds on mean distances.

With u = x - μ for the members x of a cluster, blocks add up r² = |u|², r⁴ and the skew r²u. Of the scatter matrix
S = Σ u uᵀ each block keeps a few rows B that stand for its leading directions, and a number m with

    BᵀB  <=  S  <=  BᵀB + m I    (as quadratic forms),

since the residual has no larger eigenvalue. Two such pairs are merged by stacking the rows, keeping the leading
directions of the stack, and adding to both m the first eigenvalue that is dropped: the bound holds for every order
of merges, while a block sends some rows instead of a matrix of n_features². So for every vector v, with θ the squared
lengths of the rows of B, z the components of v along them and w the residual of v,

    vᵀSv  <=  Σ (θ + m) z²  +  m |w|²,

which is what the bounds of :mod:`fastsil.kernels.approximation` take.

References
----------
M. Ghashami, E. Liberty, J. M. Phillips, D. P. Woodruff (2016), "Frequent directions: simple and deterministic matrix
sketching", SIAM Journal on Computing 45, 1762-1792 (there the dropped eigenvalue is taken from all, here it is added
to the bound).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.dask_arrays.block_rows import gather, members_by_cluster

Floats = NDArray[np.float64]

# Rows kept a cluster, and bytes of all of them: they travel from task to task.
_MOST_ROWS = 31
_ROW_BYTES = 32 << 20
# Members whose directions are found at once where there are more features than that; the work is cubic in it.
_PIECE_MEMBERS = 256
# Eigenvalues are exact to this share of their sum.
_EXACT = 1e-11


class CovarianceSketch(NamedTuple):
    """Sums over the members of each cluster.

    Attributes
    ----------
    squares, fourths : ndarray of shape (n_clusters,)
        Sums of r² and r⁴.
    max_squared_radius : ndarray of shape (n_clusters,)
        Largest r².
    skews : ndarray of shape (n_clusters, n_features)
        Sums of r² u.
    rows : ndarray of shape (n_clusters, n_rows, n_features)
        B.
    residual_bound : ndarray of shape (n_clusters,)
        m.
    """

    squares: Floats
    fourths: Floats
    max_squared_radius: Floats
    skews: Floats
    rows: Floats
    residual_bound: Floats


def sketch_rows(X: Any, codes: NDArray[np.int32], centers: Floats) -> CovarianceSketch:
    """Sketch the clusters of some samples, around the centers of all.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_rows, n_features)
        Samples.
    codes : ndarray of shape (n_rows,), int32
        Cluster of each; -1 for none.
    centers : ndarray of shape (n_clusters, n_features)
        Mean of each cluster among all samples.
    """
    n_clusters, n_features = centers.shape
    n_rows = int(np.clip(_ROW_BYTES // (8 * n_clusters * n_features), 1, min(_MOST_ROWS, n_features)))
    sketch = CovarianceSketch(
        squares=np.zeros(n_clusters),
        fourths=np.zeros(n_clusters),
        max_squared_radius=np.zeros(n_clusters),
        skews=np.zeros((n_clusters, n_features)),
        rows=np.zeros((n_clusters, n_rows, n_features)),
        residual_bound=np.zeros(n_clusters),
    )
    for cluster, members in members_by_cluster(codes, n_clusters):
        u = gather(X, members, np.float64) - centers[cluster]
        r2 = np.einsum("ij,ij->i", u, u)
        sketch.squares[cluster], sketch.fourths[cluster] = r2.sum(), r2 @ r2
        sketch.max_squared_radius[cluster], sketch.skews[cluster] = r2.max(), r2 @ u
        sketch.rows[cluster], sketch.residual_bound[cluster] = _leading_rows(u, n_rows)
    return sketch


def merge_shapes(parts: list[CovarianceSketch | None]) -> CovarianceSketch | None:
    """Merge the sketches of several blocks, in the order given."""
    merged = None
    for part in parts:
        if part is not None:
            merged = part if merged is None else _merge_two(merged, part)
    return merged


def find_directions(sketch: CovarianceSketch, sizes: NDArray[np.intp]) -> tuple[Floats, Floats, Floats]:
    """Compute unit vectors along B, (n_clusters, n_rows, n_features), and θ and m for covariances instead of
    scatters.
    """
    lengths2 = np.einsum("kvf,kvf->kv", sketch.rows, sketch.rows)
    residual_bound = np.minimum(sketch.residual_bound, np.maximum(sketch.squares - lengths2.sum(axis=1), 0.0))
    residual_bound = residual_bound + _EXACT * sketch.squares
    directions = sketch.rows / np.sqrt(np.where(lengths2 > 0, lengths2, 1.0))[:, :, None]
    return directions, lengths2 / sizes[:, None], residual_bound / sizes


def _leading_rows(u: Floats, n_rows: int) -> tuple[Floats, float]:
    """Compute rows B and number m for the scatter of some vectors."""
    if u.shape[1] <= _PIECE_MEMBERS:
        return _find_leading_of_scatter(u.T @ u, n_rows)
    rows, residual_bound = np.zeros((n_rows, u.shape[1])), 0.0
    for start in range(0, len(u), _PIECE_MEMBERS):
        rows, dropped = _find_leading_of_rows(np.concatenate([rows, u[start : start + _PIECE_MEMBERS]]), n_rows)
        residual_bound += float(dropped)
    return rows, residual_bound


def _find_leading_of_scatter(scatter: Floats, n_rows: int) -> tuple[Floats, float]:
    values, vectors = np.linalg.eigh(scatter)
    values = np.maximum(values, 0.0)
    rows = np.sqrt(values[: -n_rows - 1 : -1])[:, None] * vectors.T[: -n_rows - 1 : -1]
    dropped = values[-n_rows - 1] if len(values) > n_rows else 0.0
    return rows, float(dropped + _EXACT * values.sum())


def _find_leading_of_rows(rows: Floats, n_rows: int) -> tuple[Floats, Any]:
    """Compute B and m for the scatter of given rows, of one cluster or of each of several."""
    values, vectors = np.linalg.eigh(rows @ rows.swapaxes(-1, -2))
    dropped = values[..., -n_rows - 1] if values.shape[-1] > n_rows else np.zeros(values.shape[:-1])
    leading = vectors[..., : -n_rows - 1 : -1].swapaxes(-1, -2) @ rows
    if leading.shape[-2] < n_rows:
        missing = np.zeros((*leading.shape[:-2], n_rows - leading.shape[-2], leading.shape[-1]))
        leading = np.concatenate([leading, missing], axis=-2)
    return leading, np.maximum(dropped, 0.0) + _EXACT * np.abs(values).sum(axis=-1)


def _merge_two(first: CovarianceSketch, second: CovarianceSketch) -> CovarianceSketch:
    rows, dropped = _find_leading_of_rows(np.concatenate([first.rows, second.rows], axis=1), first.rows.shape[1])
    return CovarianceSketch(
        squares=first.squares + second.squares,
        fourths=first.fourths + second.fourths,
        max_squared_radius=np.maximum(first.max_squared_radius, second.max_squared_radius),
        skews=first.skews + second.skews,
        rows=rows,
        residual_bound=first.residual_bound + second.residual_bound + dropped,
    )

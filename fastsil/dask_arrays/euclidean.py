"""Tasks of Euclidean distance: which clusters a sample needs distances to, and sums of distances between two blocks.

The order of things, each needing all blocks of what is before it: extents (sizes, centers, magnitude), shapes, then for
every block by itself the distances that its samples need: to the own cluster, and to those that bounds cannot exclude.
A task on two blocks adds the distances to the second block's members to the sums of the first block's samples; their
rows are grouped by cluster inside the task, a few thousand at a time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.dask_arrays.block_rows import Ignored, gather, members_by_cluster
from fastsil.dask_arrays.covariance_sketches import CovarianceSketch, SketchBounds, make_bounds, sketch_rows
from fastsil.dask_arrays.linear import check_summaries, merge_summaries, summarize_block
from fastsil.engines.linear.summaries import ClusterSummaries
from fastsil.engines.scaling import is_ordinary
from fastsil.engines.terms import SilhouetteTerms, Work
from fastsil.kernels import bounds as bound_kernels
from fastsil.kernels import euclidean as tile_kernels
from fastsil.validation.arrays import result_dtype

# Rows of either side that are copied side by side for the kernel, and distances to centers that are kept at a time.
_GATHERED = 4096
_ENTRIES = 1 << 20


class Extent(NamedTuple):
    """Summaries of clusters, and the largest magnitude of an entry."""

    summaries: ClusterSummaries
    largest: float


class Survey(NamedTuple):
    """What every task on samples needs to know of all of them.

    Attributes
    ----------
    summaries : ClusterSummaries
        Of all samples.
    centers : ndarray of shape (n_clusters, n_features)
        Mean of each cluster.
    origin : ndarray of shape (n_features,)
        Mean of all samples.
    dtype : dtype
        float32 or float64: the type that distances are computed in.
    """

    summaries: ClusterSummaries
    centers: NDArray[np.float64]
    origin: NDArray[np.float64]
    dtype: np.dtype[Any]

    @property
    def sizes(self) -> NDArray[np.intp]:
        return self.summaries.sizes


class Needed(NamedTuple):
    """Sums of distances from samples of a block to clusters, sorted by cluster, then by sample.

    Attributes
    ----------
    rows : ndarray of shape (n_sums,)
        Row of the block.
    clusters : ndarray of shape (n_sums,)
        The cluster.
    """

    rows: NDArray[np.intp]
    clusters: NDArray[np.int32]


def measure_block(X: Any, labels: Any, first_row: int, ignored: Ignored) -> Extent | None:
    """Check a block, and measure it; None if no row is scored."""
    summaries = summarize_block(X, labels, first_row, ignored)
    return None if summaries is None else Extent(summaries, float(max(abs(X.max()), abs(X.min()))))


def merge_extents(parts: list[Extent | None]) -> Extent | None:
    """Extents of several blocks as that of all of them."""
    found = [part for part in parts if part is not None]
    summaries = merge_summaries([part.summaries for part in found])
    return None if summaries is None else Extent(summaries, max(part.largest for part in found))


def make_survey(extent: Extent | None, dtype: np.dtype[Any], ignored: Ignored) -> Survey:
    """The survey of all samples, whose type is ``dtype``.

    Raises
    ------
    ValueError
        If there are too few or too many labels, or if squares of squares would overflow or vanish.
    """
    summaries = check_summaries(None if extent is None else extent.summaries, ignored)
    largest = 0.0 if extent is None else extent.largest
    double = np.dtype(np.float64)
    if not is_ordinary(largest, double):
        raise ValueError(
            f"the largest magnitude in X is {largest:.3g}, where fourth powers leave the range of float64; multiply X "
            "by a power of two first (silhouettes do not change)."
        )
    centers = summaries.centers()
    origin = np.average(centers, axis=0, weights=summaries.sizes)
    given = result_dtype(dtype)
    return Survey(summaries, centers, origin, given if is_ordinary(largest, given) else double)


def sketch_block(X: Any, codes: NDArray[np.int32], survey: Survey) -> CovarianceSketch | None:
    """Shapes of the clusters in a block."""
    return sketch_rows(X, codes, survey.centers) if (codes >= 0).any() else None


def bound_clusters(shapes: CovarianceSketch, survey: Survey) -> SketchBounds:
    """The tables of bounds, once the shapes of all blocks are merged."""
    return make_bounds(shapes, survey.sizes, survey.centers, survey.origin)


def find_needed(X: Any, codes: NDArray[np.int32], survey: Survey, bounds: SketchBounds) -> Needed:
    """The sums that a block's scored samples need: to the own cluster, and to all that may be the nearest other."""
    scored = np.flatnonzero(codes >= 0)
    rows, clusters = [scored], [codes[scored]]
    step = int(np.clip(_ENTRIES // len(survey.sizes), 64, _GATHERED))
    for start in range(0, len(scored), step):
        some = scored[start : start + step]
        row, cluster = _candidates(gather(X, some, np.float64), codes[some], survey, bounds)
        rows.append(some[row])
        clusters.append(cluster)
    joined = Needed(np.concatenate(rows), np.concatenate(clusters))
    order = np.lexsort((joined.rows, joined.clusters))
    return Needed(joined.rows[order], joined.clusters[order])


def add_block(
    sums: NDArray[np.float64] | None,
    X: Any,
    needed: Needed,
    columns: Any,
    codes_of_columns: NDArray[np.int32],
    survey: Survey,
) -> NDArray[np.float64]:
    """Add the distances from samples of one block (X) to the members of the clusters that they need, in another.

    Parameters
    ----------
    sums : ndarray of shape (n_sums,) or None
        What other blocks gave; stays as it is. None for the first.
    X : ndarray or CSR matrix of shape (n_rows, n_features)
        Samples.
    needed : Needed
        Their sums.
    columns : ndarray or CSR matrix of shape (n_columns, n_features)
        Samples of the other block, or of the same.
    codes_of_columns : ndarray of shape (n_columns,), int32
        Their clusters; -1 for none.
    survey : Survey
        Centers and type.
    """
    sums = np.zeros(len(needed.rows)) if sums is None else sums.copy()
    workspace = tile_kernels.make_workspace(survey.dtype, columns.shape[1])
    edges = np.searchsorted(needed.clusters, np.arange(len(survey.sizes) + 1))
    for cluster, members in members_by_cluster(codes_of_columns, len(survey.sizes)):
        center = survey.centers[cluster : cluster + 1].astype(survey.dtype)
        for low in range(edges[cluster], edges[cluster + 1], _GATHERED):
            high = min(low + _GATHERED, edges[cluster + 1])
            rows = gather(X, needed.rows[low:high], survey.dtype)
            for first in range(0, len(members), _GATHERED):
                others = gather(columns, members[first : first + _GATHERED], survey.dtype)
                _add_distances(rows, others, center, workspace, sums[low:high])
    return sums


def combine_sums(
    sums: NDArray[np.float64], needed: Needed, codes: NDArray[np.int32], survey: Survey
) -> SilhouetteTerms:
    """Terms of the scored samples of a block, in their order, once the sums over all blocks are there."""
    own = needed.clusters == codes[needed.rows]
    scored = codes >= 0
    place = np.cumsum(scored) - 1  # of a row of the block among those that are scored
    a, b = np.empty(int(scored.sum())), np.empty(int(scored.sum()))
    neighbor = np.empty(len(a), dtype=np.int32)
    sizes = survey.sizes[needed.clusters]
    a[place[needed.rows[own]]] = sums[own] / np.maximum(sizes[own] - 1, 1)
    means, rows, clusters = (sums / sizes)[~own], needed.rows[~own], needed.clusters[~own]
    # By row, nearest cluster first; of clusters that tie, the first.
    order = np.lexsort((clusters, means, rows))
    first = order[np.flatnonzero(np.diff(rows[order], prepend=-1))]
    b[place[rows[first]]], neighbor[place[rows[first]]] = means[first], clusters[first]
    pairs = int(sizes.sum())
    work = Work("euclidean: pruned", pairs, pairs / (len(a) * float(survey.sizes.sum())) if len(a) else 0.0)
    return SilhouetteTerms(a=a, b=b, neighbor=neighbor, work=work)


def _candidates(
    X: NDArray[np.float64], codes: NDArray[np.int32], survey: Survey, bounds: SketchBounds
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Samples and the clusters, other than their own, that no bound excludes as the nearest."""
    n_clusters, n_features = survey.centers.shape
    rounding = float(np.finfo(np.float64).eps) * (n_features + 16)
    z, centers = X - survey.origin, survey.centers - survey.origin
    norms = np.einsum("ij,ij->i", z, z)
    squares = norms[:, None] + bounds.clusters.center_norms - 2.0 * (z @ centers.T)
    block = bound_kernels.Block(codes, squares, norms, np.empty((len(X), 0)))
    found = bound_kernels.make_candidates(len(X) * n_clusters)
    least_upper = np.empty(len(X))
    n_found = bound_kernels.select_by_centers(block, bounds.clusters, rounding, least_upper, found)
    row, cluster, lower = found.row[:n_found], found.cluster[:n_found], found.lower[:n_found]
    for c, entries in members_by_cluster(cluster, n_clusters):
        u = X[row[entries]] - survey.centers[c]
        components, lengths2 = u @ bounds.bases.vectors[c].T, np.einsum("ij,ij->i", u, u)
        tighter = np.empty(len(entries))
        bound_kernels.bound_by_basis(components, lengths2, c, bounds.clusters, bounds.bases, rounding, tighter)
        lower[entries] = tighter
    left = lower <= least_upper[row]
    return row[left], cluster[left]


def _add_distances(
    rows: NDArray[Any], columns: NDArray[Any], center: NDArray[Any], workspace: Any, sums: NDArray[np.float64]
) -> None:
    """Add to each row's sum its distances to all columns, which are of one cluster."""
    n_rows, n_both = len(rows), len(rows) + len(columns)
    one = center.dtype.type(1.0)
    samples = tile_kernels.Samples(np.concatenate([rows, columns]), np.arange(n_both), center, one)
    task = np.array([[0, n_rows, n_rows, n_both, 0]])
    tile_kernels.add_distances_to(samples, np.arange(n_rows), task, workspace, sums, np.zeros(1, dtype=np.uint8))

"""Tasks of Euclidean distance: the clusters to which a sample needs distances, and sums of distances of two blocks.

Each step needs the step before it for all blocks: extents (sizes, centers, magnitude), covariance sketches, then for
every block by itself the distances that its samples need: to the own cluster, and to those that bounds cannot exclude.
A task on two blocks adds the distances to the second block's members to the sums of the first block's samples; their
rows are grouped by cluster inside the task, a few thousand at a time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.dask_arrays.block_rows import Ignored, gather, members_by_cluster
from fastsil.dask_arrays.covariance_sketches import CovarianceSketch, sketch_rows
from fastsil.dask_arrays.linear import check_summaries, merge_summaries, summarize_block
from fastsil.engines.euclidean.approximation import LOWER, UPPER, Approximator, MomentTable
from fastsil.engines.linear.summaries import ClusterSummaries
from fastsil.engines.scaling import is_ordinary
from fastsil.engines.terms import SilhouetteTerms, Work
from fastsil.kernels import euclidean as tile_kernels
from fastsil.kernels.tiles import Samples, make_workspace
from fastsil.validation.arrays import result_dtype
from fastsil.validation.partition import find_group_minima

# Rows that are copied at a time for a kernel.
_GATHERED = 4096


class Extent(NamedTuple):
    """Summaries of clusters, and the largest magnitude of an entry."""

    summaries: ClusterSummaries
    largest: float


class Survey(NamedTuple):
    """Facts about all samples that every task on some of them needs.

    Attributes
    ----------
    summaries : ClusterSummaries
        Summaries of all samples.
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
    """Merge the extents of several blocks."""
    found = [part for part in parts if part is not None]
    summaries = merge_summaries([part.summaries for part in found])
    return None if summaries is None else Extent(summaries, max(part.largest for part in found))


def make_survey(extent: Extent | None, dtype: np.dtype[Any], ignored: Ignored) -> Survey:
    """Make the survey of all samples, whose type is ``dtype``.

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
    """Sketch the clusters in a block."""
    return sketch_rows(X, codes, survey.centers) if (codes >= 0).any() else None


def find_needed(X: Any, codes: NDArray[np.int32], survey: Survey, table: MomentTable) -> Needed:
    """Find the sums that the scored samples need: to the own cluster, and to all that may be the nearest other."""
    scored = np.flatnonzero(codes >= 0)
    rows, clusters = [scored], [codes[scored]]
    for start in range(0, len(scored), _GATHERED):
        some = scored[start : start + _GATHERED]
        approximator = Approximator(table, gather(X, some, survey.dtype), codes[some], scale=1.0, n_jobs=1)
        for low, _, parts in approximator.rounds(np.arange(len(some))):
            for found in parts:
                upper = find_group_minima(found.row, found.means[:, UPPER], found.n_rows)
                left = found.means[:, LOWER] <= upper[found.row]
                rows.append(some[low + found.start + found.row[left]])
                clusters.append(found.cluster[left])
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
        Sums of other blocks, which stay unchanged; None for the first.
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
    workspace = make_workspace(survey.dtype, columns.shape[1])
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
    """Turn the sums over all blocks into terms of the scored samples of a block, in their order."""
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


def _add_distances(
    rows: NDArray[Any], columns: NDArray[Any], center: NDArray[Any], workspace: Any, sums: NDArray[np.float64]
) -> None:
    """Add to each row's sum its distances to all columns, which are of one cluster."""
    n_rows, n_both = len(rows), len(rows) + len(columns)
    one = center.dtype.type(1.0)
    samples = Samples(np.concatenate([rows, columns]), np.arange(n_both), center, one)
    task = np.array([[0, n_rows, n_rows, n_both, 0]])
    tile_kernels.add_distances_to(samples, np.arange(n_rows), task, workspace, sums, np.zeros(1, dtype=np.uint8))

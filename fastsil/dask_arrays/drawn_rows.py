"""Scores of all rows, and the silhouettes of some: what stays of labels of which there are too many for memory."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.dask_arrays.block_rows import Ignored, encode_rows
from fastsil.dask_arrays.linear import check_summaries, compute_block_terms, merge_summaries, summarize_block
from fastsil.dask_arrays.lloyd import add_fields
from fastsil.dask_arrays.row_blocks import RowBlocks
from fastsil.engines.linear.engine import compute_row_terms
from fastsil.engines.linear.summaries import ClusterSummaries
from fastsil.engines.terms import SilhouetteTerms, compute_row_silhouettes

_ALL = Ignored()


class Tally(NamedTuple):
    """Sums over the members of each cluster, of shape (n_clusters,).

    Attributes
    ----------
    silhouettes : ndarray
        Sum of the silhouettes.
    sizes, negative, zero : ndarray of int
        Number of members, and of those with a silhouette below and at 0.
    """

    silhouettes: NDArray[np.float64]
    sizes: NDArray[np.int64]
    negative: NDArray[np.int64]
    zero: NDArray[np.int64]


def summarize_labels(X: RowBlocks, labels: Any, metric: str) -> ClusterSummaries:
    """Summarize the clusters for a metric without pairs, in one pass."""
    of_blocks = [list_blocks(labels), X.starts]
    return check_summaries(X.reduce(summarize_block, merge_summaries, _ALL, metric, of_blocks=of_blocks), _ALL)


def tally_labels(X: RowBlocks, labels: Any, summaries: ClusterSummaries, metric: str) -> Tally:
    """Compute the silhouettes of all rows for a metric without pairs, and add them up by cluster, in one pass."""
    found: Tally = X.reduce(tally_block, add_fields, summaries, metric, of_blocks=[list_blocks(labels)])
    return found


def tally_block(X: NDArray[Any], labels: NDArray[np.int32], summaries: ClusterSummaries, metric: str) -> Tally:
    """Compute the silhouettes of a block, rounded to the type of X, and add them up by cluster."""
    terms = compute_block_terms(X, labels, summaries, _ALL, metric)
    codes = encode_rows(labels, summaries, _ALL)
    silhouettes = compute_row_silhouettes(terms, summaries.sizes[codes] == 1).astype(X.dtype, copy=False)
    n_clusters = len(summaries.classes)

    def add(weights: NDArray[Any]) -> NDArray[np.float64]:
        return np.bincount(codes, weights=weights, minlength=n_clusters).astype(np.float64, copy=False)

    counts = (add(counted).astype(np.int64) for counted in (np.ones(len(codes)), silhouettes < 0, silhouettes == 0))
    return Tally(add(silhouettes), *counts)


def compute_drawn(
    drawn: NDArray[Any], codes: NDArray[np.int32], summaries: ClusterSummaries, metric: str, n_jobs: int
) -> tuple[SilhouetteTerms, NDArray[np.float64]]:
    """Compute the mean distances of some rows to all clusters, and their silhouettes."""
    terms = compute_row_terms(drawn, codes, summaries, n_jobs=n_jobs, metric=metric)
    return terms, compute_row_silhouettes(terms, summaries.sizes[codes] == 1)


def find_first_rows(X: RowBlocks, labels: Any, wanted: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Return the first row of each of some labels, which occur."""
    of_blocks = [list_blocks(labels), X.starts]
    return np.asarray(X.reduce(_find_first, _take_least, wanted, of_blocks=of_blocks))


def list_blocks(labels: Any) -> list[Any]:
    """Return the blocks of lazy labels, as delayed arrays."""
    return list(labels.to_delayed(optimize_graph=False))


def _find_first(
    X: NDArray[Any], labels: NDArray[np.int32], start: int, wanted: NDArray[np.integer[Any]]
) -> NDArray[np.intp]:
    classes, first = np.unique(labels, return_index=True)
    rows = np.full(len(wanted), np.iinfo(np.intp).max)
    there = np.isin(wanted, classes)
    rows[there] = start + first[np.searchsorted(classes, wanted[there])]
    return rows


def _take_least(parts: list[NDArray[np.intp]]) -> NDArray[np.intp]:
    return np.asarray(np.min(parts, axis=0))

"""Tasks on blocks and their dependencies as a Dask graph, made without a look at the data.

With B blocks: metrics without pairs take 3 B tasks and a tree of B / 7 merges; others take B² tasks for the pairs of
blocks, Euclidean distance 6 B more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import uuid4

import dask
import dask.array as da
import numpy as np
from dask import delayed
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph
from numpy.typing import NDArray
from sklearn.utils import check_random_state

from fastsil.dask_arrays import all_pairs, euclidean, linear
from fastsil.dask_arrays.approximation import make_moment_table
from fastsil.dask_arrays.block_rows import Ignored, encode_block, encode_rows, spread_rows
from fastsil.dask_arrays.covariance_sketches import merge_shapes
from fastsil.dask_arrays.inputs import Blocks, check_array, check_label_array, find_blocks
from fastsil.dask_arrays.metric_maps import LINEAR_MAPS, mapped_array
from fastsil.engines.linear.summaries import SQUARED_METRICS, ClusterSummaries
from fastsil.engines.terms import SilhouetteTerms, compute_row_silhouettes
from fastsil.validation import Metric, check_ignored, check_sparse
from fastsil.validation.arrays import result_dtype

# Parts that one task merges: a tree of few levels, whose tasks still hold little.
_MERGED = 8


class Scored(NamedTuple):
    """The graph up to the terms of each block."""

    blocks: Blocks
    summaries: Any
    terms: list[Any]
    ignored: Ignored


def silhouettes_by_blocks(
    X: Any, labels: Any, metric: Metric, metric_params: dict[str, Any], ignore_label: Any = None
) -> Any:
    """Return silhouettes as a Dask array in the row chunks of X, without computing anything.

    Parameters
    ----------
    X : dask.array.Array of shape (n_samples, n_features)
        Samples.
    labels : dask.array.Array or array-like of shape (n_samples,)
        Label of each.
    metric : str or callable
        Any but precomputed distances.
    metric_params : dict
        Its keywords.
    ignore_label : label, optional
        Samples with it are left out; their silhouettes are NaN.
    """
    X = check_array(X)
    dtype = result_dtype(X.dtype)
    scored = score_blocks(X, labels, metric, metric_params, ignore_label)
    values = _silhouettes(scored, dtype)
    if not values:
        return da.empty((0,), dtype=dtype)
    parts = [
        da.from_delayed(value, shape=(int(size),), dtype=dtype)
        for value, size in zip(values, scored.blocks.sizes, strict=True)
    ]
    return da.concatenate(parts).rechunk((X.chunks[0],))


def score_by_blocks(
    X: Any, labels: Any, metric: Metric, metric_params: dict[str, Any], average: str, ignore_label: Any = None
) -> float:
    """Compute the mean silhouette at once; of each block, only a sum a cluster leaves its worker."""
    scored = score_blocks(check_array(X), labels, metric, metric_params, ignore_label)
    totals = [
        delayed(_sum_clusters)(silhouettes, of_block, scored.summaries, scored.ignored)
        for silhouettes, of_block in zip(_silhouettes(scored, np.dtype(np.float64)), scored.blocks.labels, strict=True)
    ]
    total, summaries = dask.compute(tree(add_arrays, totals), scored.summaries)
    if average == "micro":
        return float(total.sum() / summaries.sizes.sum())
    return float((total / summaries.sizes).mean())


def draw_rows(
    X: Any, labels: Any, sample_size: int, random_state: Any, ignore_label: Any = None
) -> tuple[Any, NDArray[Any]]:
    """Draw some rows of X and their labels into memory, as they would be drawn from an array of equal length."""
    X = check_array(X)
    labels = check_label_array(labels, X, ignore_label)
    rows = np.arange(X.shape[0])
    if ignore_label is not None:
        rows = np.flatnonzero(check_ignored(np.asarray(labels), X.shape[0], ignore_label)[1])
    # In the order of the rows, so that every block is read once.
    drawn = np.sort(rows[check_random_state(random_state).permutation(len(rows))[:sample_size]])
    in_memory: tuple[Any, NDArray[Any]] = dask.compute(X[drawn], labels[drawn])
    return in_memory


def score_blocks(X: Any, labels: Any, metric: Metric, metric_params: dict[str, Any], ignore_label: Any) -> Scored:
    """Make the graph for a metric, of a checked X."""
    ignored = Ignored(ignore_label)
    labels = check_label_array(labels, X, ignore_label)
    X, metric, metric_params = as_euclidean_array(X, metric, metric_params, ignored)
    blocks = find_blocks(X, labels)
    if metric in SQUARED_METRICS and not metric_params:
        return _score_linear(blocks, str(metric), ignored)
    if metric == "euclidean" and not metric_params:
        return _score_euclidean(blocks, ignored)
    return _score_all_pairs(blocks, ignored, metric, metric_params)


def as_euclidean_array(
    X: Any, metric: Metric, metric_params: dict[str, Any], ignored: Ignored
) -> tuple[Any, Metric, dict[str, Any]]:
    """Map X to where its metric is ``"euclidean"``, if a linear map does so; else return it unchanged."""
    check_sparse(X, metric)
    given = {name: value for name, value in metric_params.items() if value is not None}
    if (metric in ("euclidean", "l2") and not given) or (metric == "minkowski" and given in ({}, {"p": 2})):
        return X, "euclidean", {}
    if metric in LINEAR_MAPS and set(given) <= set(LINEAR_MAPS[str(metric)].params):
        return mapped_array(X, str(metric), given, some_ignored=ignored.label is not None), "euclidean", {}
    return X, metric, given


def _score_linear(blocks: Blocks, metric: str, ignored: Ignored) -> Scored:
    summaries = _summaries(blocks, ignored, metric)
    compute_block_terms = delayed(linear.compute_block_terms)
    terms = [
        compute_block_terms(X, labels, summaries, ignored, metric)
        for X, labels in zip(blocks.X, blocks.labels, strict=True)
    ]
    return Scored(blocks, summaries, terms, ignored)


class Shaped(NamedTuple):
    """The graph up to the moments of clusters: a survey, the codes of each block, the table of moments."""

    survey: Any
    codes: list[Any]
    table: Any


def shape_blocks(blocks: Blocks, ignored: Ignored) -> Shaped:
    """Make the survey and the sketch of the clusters in Euclidean geometry, without computing anything."""
    measure_block, sketch_block = delayed(euclidean.measure_block), delayed(euclidean.sketch_block)
    extents = [
        measure_block(X, labels, int(start), ignored)
        for X, labels, start in zip(blocks.X, blocks.labels, blocks.starts, strict=True)
    ]
    survey = delayed(euclidean.make_survey)(tree(euclidean.merge_extents, extents), blocks.dtype, ignored)
    codes = _codes(blocks, survey.summaries, ignored)
    shapes = tree(
        merge_shapes, [sketch_block(X, of_block, survey) for X, of_block in zip(blocks.X, codes, strict=True)]
    )
    return Shaped(survey, codes, delayed(make_moment_table)(shapes, survey))


def _score_euclidean(blocks: Blocks, ignored: Ignored) -> Scored:
    find_needed, combine_sums = delayed(euclidean.find_needed), delayed(euclidean.combine_sums)
    survey, codes, table = shape_blocks(blocks, ignored)
    needed = [find_needed(X, of_block, survey, table) for X, of_block in zip(blocks.X, codes, strict=True)]
    of_rows, of_columns = list(zip(blocks.X, needed, strict=True)), list(zip(blocks.X, codes, strict=True))
    sums = _sums_over_blocks(euclidean.add_block, of_rows, of_columns, survey)
    terms = [combine_sums(*of_block, survey) for of_block in zip(sums, needed, codes, strict=True)]
    return Scored(blocks, survey.summaries, terms, ignored)


def _score_all_pairs(blocks: Blocks, ignored: Ignored, metric: Metric, metric_params: dict[str, Any]) -> Scored:
    # Summaries only for the check of the data and the sizes of clusters.
    summaries = _summaries(blocks, ignored, "sqeuclidean")
    codes = _codes(blocks, summaries, ignored)
    combine_sums = delayed(all_pairs.combine_sums)
    add_block = partial(all_pairs.add_block, metric=metric, metric_params=metric_params)
    of_rows, of_columns = [(X,) for X in blocks.X], list(zip(blocks.X, codes, strict=True))
    sums = _sums_over_blocks(add_block, of_rows, of_columns, summaries)
    terms = [combine_sums(*of_block, summaries, metric) for of_block in zip(sums, codes, strict=True)]
    return Scored(blocks, summaries, terms, ignored)


def _codes(blocks: Blocks, summaries: Any, ignored: Ignored) -> list[Any]:
    codes = delayed(encode_block)
    return [codes(labels, summaries, ignored) for labels in blocks.labels]


def _sums_over_blocks(
    add_block: Callable[..., Any], of_rows: Sequence[tuple[Any, ...]], of_columns: Sequence[tuple[Any, ...]], known: Any
) -> list[Any]:
    """Chain ``add_block(sums, *of_rows[i], *of_columns[j], known)`` over all blocks j, for each block of rows i.

    In a chain, one array of sums is alive for each block of rows, and the order of additions is fixed. Each chain
    begins with its own block and goes on with the next, so that the blocks are read evenly at any time.
    """
    # One layer of the graph for all of them: delayed() makes one a call, which takes a minute for 300 blocks.
    name, n_blocks = f"add_block-{uuid4().hex}", len(of_rows)
    tasks = {}
    for row in range(n_blocks):
        for step in range(n_blocks):
            sums = (name, row, step - 1) if step else None
            given = (*of_rows[row], *of_columns[(row + step) % n_blocks], known)
            tasks[name, row, step] = (add_block, sums, *(argument.key for argument in given))
    inputs = [argument for arguments in (*of_rows, *of_columns, (known,)) for argument in arguments]
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=inputs)
    return [Delayed((name, row, n_blocks - 1), graph, layer=name) for row in range(n_blocks)]


def _summaries(blocks: Blocks, ignored: Ignored, metric: str) -> Any:
    summarize_block = delayed(linear.summarize_block)
    parts = [
        summarize_block(X, labels, int(start), ignored, metric)
        for X, labels, start in zip(blocks.X, blocks.labels, blocks.starts, strict=True)
    ]
    return delayed(linear.check_summaries)(tree(linear.merge_summaries, parts), ignored)


def _silhouettes(scored: Scored, dtype: np.dtype[Any]) -> list[Any]:
    silhouettes_of_block = delayed(_compute_block_silhouettes)
    return [
        silhouettes_of_block(terms, labels, scored.summaries, scored.ignored, dtype)
        for terms, labels in zip(scored.terms, scored.blocks.labels, strict=True)
    ]


def tree(merge: Callable[[list[Any]], Any], parts: Sequence[Any]) -> Any:
    """Merge parts a few at a time, in their order."""
    merge_some = delayed(merge)
    while True:
        parts = [merge_some(list(parts[low : low + _MERGED])) for low in range(0, len(parts), _MERGED)]
        if len(parts) == 1:
            return parts[0]


def _compute_block_silhouettes(
    terms: SilhouetteTerms, labels: Any, summaries: ClusterSummaries, ignored: Ignored, dtype: np.dtype[Any]
) -> NDArray[Any]:
    codes = encode_rows(labels, summaries, ignored)
    silhouettes = compute_row_silhouettes(terms, summaries.sizes[codes] == 1).astype(dtype, copy=False)
    return spread_rows(silhouettes, labels, ignored)


def _sum_clusters(
    silhouettes: NDArray[np.float64], labels: Any, summaries: ClusterSummaries, ignored: Ignored
) -> NDArray[np.float64]:
    """Sum of silhouettes over the block's members of each cluster."""
    codes = encode_rows(labels, summaries, ignored)
    scored = silhouettes[~np.isnan(silhouettes)]
    return np.bincount(codes, weights=scored, minlength=len(summaries.classes)).astype(np.float64, copy=False)


def add_arrays(parts: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Add the sums of several blocks."""
    return np.asarray(np.sum(parts, axis=0))

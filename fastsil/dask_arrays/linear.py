"""Tasks of metrics without pairs: summaries of a block, and its terms once those of all blocks are merged."""

from __future__ import annotations

from typing import Any

from fastsil.dask_arrays.block_rows import Ignored, check_rows, encode_rows, scored_rows
from fastsil.engines.linear.engine import check_directions, compute_row_terms
from fastsil.engines.linear.summaries import ClusterSummaries, merge, normalize_lazily, summarize
from fastsil.engines.terms import SilhouetteTerms
from fastsil.validation import check_n_classes


def summarize_block(
    X: Any, labels: Any, first_row: int, ignored: Ignored, metric: str = "sqeuclidean"
) -> ClusterSummaries | None:
    """Check a block and summarize its clusters; None if no row is scored."""
    rows = check_rows(X, labels, first_row, ignored)
    if rows is None:
        return None
    view = normalize_lazily(rows.X, metric)
    summaries = summarize(view, rows.partition, n_jobs=1)
    check_directions(view, metric, first_row=first_row)
    return summaries


def merge_summaries(parts: list[ClusterSummaries | None]) -> ClusterSummaries | None:
    """Merge the summaries of several blocks, in the order given."""
    merged = None
    for part in parts:
        if part is not None:
            merged = part if merged is None else merge(merged, part)
    return merged


def check_summaries(summaries: ClusterSummaries | None, ignored: Ignored) -> ClusterSummaries:
    """Return the summaries of all samples; raise an error if these cannot have silhouettes.

    Raises
    ------
    ValueError
        If there are too few or too many labels.
    """
    if summaries is None:
        raise ValueError(f"All samples have the label {ignored.label!r} that ignore_label leaves out.")
    check_n_classes(len(summaries.classes), int(summaries.sizes.sum()))
    return summaries


def compute_block_terms(
    X: Any, labels: Any, summaries: ClusterSummaries, ignored: Ignored, metric: str
) -> SilhouetteTerms:
    """Compute the mean distances of the scored rows of a block."""
    data = scored_rows(X, labels, ignored)
    codes = encode_rows(labels, summaries, ignored)
    return compute_row_terms(data, codes, summaries, n_jobs=1, metric=metric)

"""Tasks of any metric, through scikit-learn's distances between two blocks: every pair, at its speed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances

from fastsil.dask_arrays.block_rows import members_by_cluster
from fastsil.engines.linear.summaries import ClusterSummaries
from fastsil.engines.terms import SilhouetteTerms, Work, nearest_from_sums

# Distances that are held at a time.
_DISTANCES = 1 << 22


def add_block(
    sums: NDArray[np.float64] | None,
    X: Any,
    columns: Any,
    codes_of_columns: NDArray[np.int32],
    summaries: ClusterSummaries,
    metric: Any,
    metric_params: dict[str, Any],
) -> NDArray[np.float64]:
    """Add the distances from the samples of one block to every cluster's members in another, (n_rows, n_clusters)."""
    n_clusters = len(summaries.classes)
    sums = np.zeros((X.shape[0], n_clusters)) if sums is None else sums.copy()
    members = members_by_cluster(codes_of_columns, n_clusters)
    step = max(1, _DISTANCES // columns.shape[0])
    for start in range(0, X.shape[0], step):
        rows = slice(start, start + step)
        distances = pairwise_distances(X[rows], columns, metric=metric, **metric_params)
        for cluster, of_cluster in members:
            sums[rows, cluster] += distances[:, of_cluster].sum(axis=1, dtype=np.float64)
    return sums


def combine_sums(
    sums: NDArray[np.float64], codes: NDArray[np.int32], summaries: ClusterSummaries, metric: Any
) -> SilhouetteTerms:
    """Turn the sums over all blocks into terms of the scored samples of a block."""
    scored = np.flatnonzero(codes >= 0)
    a, b, neighbor = nearest_from_sums(sums[scored].T, codes[scored], summaries.sizes)
    name = metric if isinstance(metric, str) else "callable"
    work = Work(f"scikit-learn: {name}", len(scored) * int(summaries.sizes.sum()), 1.0)
    return SilhouetteTerms(a=a, b=b, neighbor=neighbor, work=work)

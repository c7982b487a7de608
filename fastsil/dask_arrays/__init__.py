"""Dask arrays: silhouettes computed block by block, on any scheduler of Dask.

Only ``graph``, ``inputs``, ``metric_maps``, ``row_blocks`` and ``selected_samples`` use Dask. The tasks are plain
functions of blocks of rows and of summaries of the clusters; the scheduler runs a lost task again, with equal results.

* ``linear``: metrics without pairs. Summaries of blocks are merged in a tree, then one task a block.
* ``euclidean``: summaries, then shapes of clusters (``covariance_sketches``), then the clusters to
  which each sample needs distances, then for every two blocks one task that adds to the first one's sums.
* ``approximation``, ``selected_samples``: intervals of silhouettes without pairs, and exact silhouettes of chosen
  samples, for estimates.
* ``row_blocks``, ``lloyd``, ``drawn_rows``, ``pooled_rows``: what a sweep over k needs: passes over all rows, some rows
  in memory; iterations of k-means; scores of labels, with the silhouettes of some rows; estimates.
* ``all_pairs``: any other metric, every pair of samples, by scikit-learn.
"""

try:
    import dask.array  # noqa: F401
except ImportError as error:
    raise ImportError("Dask arrays need dask; install it with: pip install 'fastsil[dask]'") from error

from fastsil.dask_arrays.graph import draw_rows, score_by_blocks, silhouettes_by_blocks
from fastsil.dask_arrays.row_blocks import RowBlocks, check_samples, open_samples
from fastsil.dask_arrays.selected_samples import BlockRows, terms_by_blocks

__all__ = [
    "BlockRows",
    "RowBlocks",
    "check_samples",
    "draw_rows",
    "open_samples",
    "score_by_blocks",
    "silhouettes_by_blocks",
    "terms_by_blocks",
]

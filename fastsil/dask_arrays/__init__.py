"""Dask arrays: the same silhouettes, block by block, on whatever scheduler Dask has.

Only ``graph``, ``arrays``, ``maps`` and ``sampled`` know Dask. The tasks are plain functions of blocks of rows and of
what is known of the clusters; a task that is lost is run again by the scheduler, and gives the same.

* ``linear``: metrics without pairs. Summaries of blocks are merged in a tree, then one task a block.
* ``euclidean``: summaries, then shapes of clusters (``shapes``), then the clusters that each sample needs distances to,
  then for every two blocks one task that adds to the sums of the first block's samples.
* ``guesses``, ``sampled``: intervals of silhouettes without pairs, and exact ones of chosen samples, for estimates.
* ``all_pairs``: any other metric, every pair of samples, by scikit-learn.
"""

try:
    import dask.array  # noqa: F401
except ImportError as error:
    raise ImportError("Dask arrays need dask; install it with: pip install 'fastsil[dask]'") from error

from fastsil.dask_arrays.graph import draw_rows, score_by_blocks, silhouettes_by_blocks
from fastsil.dask_arrays.selected_samples import BlockRows, terms_by_blocks

__all__ = ["BlockRows", "draw_rows", "score_by_blocks", "silhouettes_by_blocks", "terms_by_blocks"]

"""Silhouettes of Dask arrays without pairs: intervals of all, from moments, and exact ones of chosen rows.

The sketches that exclude clusters (:mod:`fastsil.dask_arrays.covariance_sketches`) give guesses and intervals too, by
the kernels of :mod:`fastsil.engines.euclidean.approximation`. The exact silhouettes of some rows are sums over blocks:
the rows go to every block.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.dask_arrays.block_rows import gather
from fastsil.dask_arrays.covariance_sketches import CovarianceSketch, find_directions
from fastsil.dask_arrays.euclidean import Survey
from fastsil.engines.euclidean.approximation import (
    Approximation,
    Approximator,
    ClusterMoments,
    CovarianceSummaries,
    MomentTable,
    make_table,
    vanishes_in_single,
)

# The norm of what the directions leave out is a bound along them too. The kernel applies it outside of them only: so
# they are made so short, by a power of two, that nearly all is outside; and the bound is larger by more than the rest.
_SHORT = 2.0**-17
_ROOM = 1 + 1e-9


def make_moment_table(sketch: CovarianceSketch, survey: Survey) -> MomentTable:
    """Make the moments of clusters that guesses need."""
    sizes = survey.sizes
    directions, theta, rest = find_directions(sketch, sizes)
    n_features, n_vectors = directions.shape[2], directions.shape[1]
    left = np.maximum(sketch.squares / sizes - theta.sum(axis=1), 0.0)
    rest_mean = np.minimum(rest, left / max(n_features - n_vectors, 1))
    covariances = CovarianceSummaries(
        vectors=np.pad(_SHORT * directions, ((0, 0), (0, 1), (0, 0))),
        theta=theta / _SHORT**2,
        leak=np.zeros(len(sizes)),
        rest=_ROOM * rest,
        rest_mean=rest_mean,
        spectral=theta.max(axis=1) + rest,
    )
    moments = ClusterMoments(
        sizes=sizes,
        centers=survey.centers,
        variance=sketch.squares / sizes,
        fourth=sketch.fourths / sizes,
        skew=sketch.skews / sizes[:, None],
        radius=np.sqrt(sketch.max_squared_radius),
        covariances=covariances,
    )
    return make_table(moments, np.dtype(np.float64) if vanishes_in_single(moments.variance) else survey.dtype)


def approximate_block(X: Any, codes: NDArray[np.int32], survey: Survey, table: MomentTable) -> Approximation:
    """Compute guesses and intervals of the mean distances of the scored rows of a block, in their order."""
    scored = np.flatnonzero(codes >= 0)
    of_scored = codes[scored]
    data = gather(X, scored, survey.dtype)
    by_cluster = np.argsort(of_scored, kind="stable")
    found = Approximator(table, data, of_scored, scale=1.0, n_jobs=1).approximate(by_cluster)
    places = np.empty_like(by_cluster)
    places[by_cluster] = np.arange(len(by_cluster))
    return Approximation(found.a[places], found.b[places], found.neighbor[places])

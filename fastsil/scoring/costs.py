"""What can be known of a call's cost without a run: whether it may be long, and whether an estimate would be sooner."""

from __future__ import annotations

import numpy as np

from fastsil.engines.dispatch import NO_PAIRS
from fastsil.validation.partition import Partition

# Clusters' worth of pairs that the exact engine computes a sample: half of the own cluster and a little more than one
# other, but never more than half of all pairs.
_EXACT_CLUSTERS = 2.0
_SYMMETRIC_SHARE = 0.5
# Products of the moments a sample: this often those of all vectors of a table, and a covariance. How many vectors there
# are stands in fastsil.engines.euclidean.approximation.moment_table too, which would load compiled code with this
# module.
_MOMENT_VECTORS = 5.0
_FACTOR_FEATURES = 191
_DIRECTIONS = 32
# Rows that an estimate computes at least.
LEAST_ROWS = 1500
# What loading the estimate's compiled code and drawing costs at least.
_LEAST_PRODUCTS = 1e10
# Floating-point operations a second of a core, more than any has in these loops; distances a second in scikit-learn.
_FAST = 4e11
_SLOW_PAIRS = 1e9
# A call that takes longer says what an estimate would cost.
LONG_SECONDS = 60.0


def may_be_long(partition: Partition, n_features: int, engine: str, n_jobs: int) -> bool:
    """Whether a call may take longer than :data:`LONG_SECONDS`: no, if it would not even on a very fast machine."""
    n_samples = float(partition.n_samples)
    if engine == "euclidean":
        within = float((partition.sizes.astype(np.float64) ** 2).sum())
        least = 2 * n_features * min(0.5 * within, _SYMMETRIC_SHARE * n_samples**2) / _FAST
    else:
        least = 0.0 if engine in NO_PAIRS else n_samples**2 / _SLOW_PAIRS
    return least / n_jobs > LONG_SECONDS / 8


def exact_is_as_cheap(partition: Partition, n_features: int) -> bool:
    """Whether exact silhouettes of small data, or small clusters, are as soon computed as an estimate; Euclidean."""
    n_samples = partition.n_samples
    within = float((partition.sizes.astype(np.float64) ** 2).sum())
    exact = n_features * min(_EXACT_CLUSTERS * within, _SYMMETRIC_SHARE * n_samples**2)
    moments = count_moment_products(n_samples, n_features, partition.n_clusters)
    rows = LEAST_ROWS * n_features * 3 * within / n_samples
    return exact <= max(moments + rows, _LEAST_PRODUCTS)


def count_moment_products(n_samples: int, n_features: int, n_clusters: int) -> float:
    """Products that the moments of an estimate take."""
    vectors = n_features + 1 if n_features <= _FACTOR_FEATURES else _DIRECTIONS
    return n_samples * n_features * (n_clusters + n_features + _MOMENT_VECTORS * vectors)

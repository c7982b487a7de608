"""What a call will cost, before it is made."""

from __future__ import annotations

import numpy as np

from fastsil.partition import Partition

# Clusters' worth of pairs that the exact engine computes a sample: half of the own cluster and a little more than one
# other, but never more than half of all pairs.
_EXACT_CLUSTERS = 2.0
_SYMMETRIC_SHARE = 0.5
# Products of the moments a sample, in units of features squared: covariance, own cluster and some candidates.
_MOMENT_PRODUCTS = 5.0
_FACTOR_FEATURES = 191
_DIRECTIONS = 32
# Rows that an estimate computes at least.
_ROWS = 1500
# What loading the estimate's compiled code and drawing costs at least.
_LEAST_PRODUCTS = 1e10


def exact_is_as_cheap(partition: Partition, n_features: int) -> bool:
    """Whether exact silhouettes of small data, or small clusters, are as soon computed as an estimate; Euclidean."""
    n_samples = partition.n_samples
    within = float((partition.sizes.astype(np.float64) ** 2).sum())
    exact = n_features * min(_EXACT_CLUSTERS * within, _SYMMETRIC_SHARE * n_samples**2)
    vectors = n_features + 1 if n_features <= _FACTOR_FEATURES else _DIRECTIONS
    moments = n_samples * n_features * (partition.n_clusters + n_features + _MOMENT_PRODUCTS * vectors)
    rows = _ROWS * n_features * 3 * within / n_samples
    return exact <= max(moments + rows, _LEAST_PRODUCTS)

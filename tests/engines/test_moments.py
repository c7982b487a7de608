"""The tables of clusters are held once: they may be larger than all else of a call."""

from __future__ import annotations

import numpy as np
import pytest

from assertions import with_peak
from fastsil.engines.euclidean.moments import cluster_centers, radial_bounds, shared_basis
from fastsil.engines.scaling import scale_data
from fastsil.validation.partition import partition_from_codes

N_CLUSTERS, N_FEATURES = 3000, 400
TABLE = 8 * N_CLUSTERS * N_FEATURES  # 9 MiB


def held(function):
    """What a function gives, and its peak of memory in tables of clusters and features."""
    function()  # what is compiled is no table
    result, peak = with_peak(function)
    return result, peak / TABLE


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_few_tables_are_held_at_a_time(dtype):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2 * N_CLUSTERS, N_FEATURES)).astype(dtype)
    codes = np.arange(len(X)) % N_CLUSTERS
    data = scale_data(X, partition_from_codes(np.arange(N_CLUSTERS), codes))
    centers, tables = held(lambda: cluster_centers(data, 1))
    np.testing.assert_allclose(centers, (X[:N_CLUSTERS].astype(float) + X[N_CLUSTERS:]) / 2, atol=1e-6)
    assert tables < 2.6  # the first members, their type or scale changed, and the sums
    origin = centers.mean(axis=0).astype(dtype)
    given = {"rounding": 1e-6, "n_jobs": 1}
    (bounds, skew), tables = held(lambda: radial_bounds(data, centers, np.zeros(N_CLUSTERS), origin, **given))
    np.testing.assert_allclose(bounds.center_norms, ((centers - origin) ** 2).sum(axis=1))
    np.testing.assert_allclose(bounds.skew_norm, np.linalg.norm(skew, axis=1))
    assert tables < 2.0  # the skewness, and blocks
    vectors, shared = shared_basis(data, bounds, skew, origin, 16, 0, n_jobs=1)
    np.testing.assert_allclose(shared.skew_outside, skew - (skew @ vectors.T) @ vectors, atol=1e-4)
    np.testing.assert_allclose(shared.centers, (centers - origin) @ vectors.T, atol=1e-4)

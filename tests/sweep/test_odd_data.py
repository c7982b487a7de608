"""Sweeps of data that are too few, or all the same."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from fastsil import KMeansSweep
from fastsil.report.tables import sweep_columns
from fastsil.sweep.results import SweepRow, make_columns


def test_k_with_the_clusters_of_a_smaller_k_are_not_called_as_good():
    points = np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0], [9.0, 9.0]], 30, axis=0)
    for gaps in (True, False):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sweep = KMeansSweep(range(3, 8), random_state=0, gaps=gaps).fit(points)
        np.testing.assert_array_equal(sweep.sweep_results_["n_found"], [3, 4, 4, 4, 4])
        assert sweep.best_k_ == 4
        assert sweep.verdict_.good_k in ((4,), ())
        text = " ".join(str(sweep.verdict_).split())
        assert "For k = 5, 6 and 7 only 4 clusters were found" in text
        assert "within 0.005" not in text
        cells = {column.title: column.cells for column in sweep_columns(sweep.sweep_results_)}
        assert cells["found"] == ("3", "4", "4", "4", "4")
    assert KMeansSweep([6, 7], random_state=0).fit(points).best_k_ == 6
    assert "found" not in {column.title for column in sweep_columns(make_columns([SweepRow(2, n_found=2)]))}


def test_samples_that_are_all_the_same_are_named_as_the_reason():
    with pytest.raises(
        ValueError, match="all samples are in one cluster, which has no silhouette; are they all the same"
    ):
        KMeansSweep(range(2, 4)).fit(np.ones((20, 2)))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("scale", "dtype"), [(1e23, np.float32), (1e-23, np.float32), (1e-200, np.float64)])
def test_squares_beyond_the_type_are_named_as_the_reason(scale, dtype):
    X = (scale * np.random.default_rng(0).normal(size=(30, 2))).astype(dtype)
    with pytest.raises(ValueError, match=r"are squares of .* beyond .*\? Multiply X so"):
        KMeansSweep([2, 3]).fit(X)


def test_the_default_range_ends_with_the_samples():
    X = np.random.default_rng(0).normal(size=(12, 2))
    with pytest.warns(UserWarning, match=r"X has 12 samples.* k goes up to 11, and not to 16") as caught:
        sweep = KMeansSweep(random_state=0, n_init=1).fit(X)
    assert caught[0].filename == __file__
    np.testing.assert_array_equal(sweep.sweep_results_["n_clusters"], range(2, 12))
    with pytest.raises(ValueError, match="n_clusters goes up to 12 but X has n_samples=12"):
        KMeansSweep(range(2, 13)).fit(X)

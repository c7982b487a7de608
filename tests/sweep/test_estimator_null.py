"""A sweep beside data without clusters: columns, words, seeds, interruption."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from threadpoolctl import threadpool_info

from fastsil import KMeansSweep
from fastsil.report.tables import sweep_columns
from fastsil.sweep.clusterers import generator_for
from fastsil.sweep.null import samplers as sets
from fastsil.sweep.prepared_data import PreparedData

BLOBS = make_blobs(120, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)[0]
NOISE = np.random.default_rng(3).normal(size=(120, 2)) * [5, 1]


def swept(X, **params):
    return KMeansSweep(range(1, 6), **{"n_init": 2, "n_null": 19, "random_state": 0, **params}).fit(X)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "mahalanobis"])
def test_columns_are_those_of_the_comparison(metric):
    sweep = swept(BLOBS + 20, metric=metric, n_null=4)
    results = sweep.sweep_results_
    assert np.isnan(results["null_mean"][0])
    np.testing.assert_array_equal(results["null_mean"][1:], sweep.null_.null_silhouettes.mean(axis=0))
    np.testing.assert_array_equal(results["null_std"][1:], sweep.null_.null_silhouettes.std(axis=0, ddof=1))
    np.testing.assert_array_equal(results["null_z"][1:], sweep.null_.z)
    # No more samples than a null set has: the score that is tested is that of all of them.
    np.testing.assert_allclose(results["null_excess"][1:], sweep.null_.z)
    np.testing.assert_array_equal(results["null_p"][1:], sweep.null_.p_values)
    np.testing.assert_array_equal(results["gap"][1:], sweep.null_.gap)
    np.testing.assert_array_equal(results["gap_error"][1:], sweep.null_.gap_error)
    np.testing.assert_array_equal(results["null_score"], results["silhouette"])
    np.testing.assert_allclose(
        sweep.null_.inertia, [sweep.estimators_[k].inertia_ for k in sweep.null_.n_clusters], rtol=1e-12
    )


def test_blobs_are_structure_and_an_elongated_gaussian_is_none():
    blobs, noise = swept(BLOBS), swept(NOISE)
    assert (blobs.p_value_, blobs.null_.gap_k, blobs.best_k_) == (0.05, 3, 3)
    assert noise.p_value_ > 0.05
    assert noise.best_score_ > 0.4  # for whom the score alone would be taken for structure


def test_without_null_sets_there_is_no_comparison():
    sweep = swept(BLOBS, n_null=0)
    assert sweep.null_ is None
    assert np.isnan(sweep.p_value_)
    assert np.isnan(sweep.sweep_results_["null_mean"]).all()
    assert "null mean" not in [column.title for column in sweep_columns(sweep.sweep_results_)]


@pytest.mark.slow
def test_large_data_are_compared_at_the_null_size():
    sweep = swept(BLOBS, null_size=60)
    assert sweep.null_.n_samples == 60
    assert (sweep.sweep_results_["null_score"][1:] != sweep.sweep_results_["silhouette"][1:]).all()
    assert sweep.p_value_ == 0.05


@pytest.mark.slow
def test_the_uniform_reference():
    # Nothing keeps the total of uniform sets: the gap of one cluster is not 0.
    assert np.ptp(swept(BLOBS, null_reference="uniform").null_.null_totals) > 1
    assert np.ptp(swept(BLOBS).null_.null_totals) < 1e-6


def test_the_seed_draws_the_null_sets():
    first, again, other = (swept(NOISE, random_state=seed).null_.null_inertias for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    states = [swept(NOISE, random_state=np.random.RandomState(0)).null_.null_inertias for _ in range(2)]
    np.testing.assert_array_equal(*states)


def test_null_sets_are_not_made_of_the_numbers_of_a_user_with_the_same_seed():
    drawn = {generator_for(purpose, 0).normal() for purpose in ("null sets", "stability", "gaps", "closer look")}
    assert len(drawn | {np.random.default_rng(0).normal()}) == 5


@pytest.mark.slow
def test_threads_do_not_change_a_bit():
    one, three = (swept(NOISE, n_jobs=n_jobs).null_ for n_jobs in (1, 3))
    np.testing.assert_array_equal(one.null_silhouettes, three.null_silhouettes)
    np.testing.assert_array_equal(one.null_inertias, three.null_inertias)
    np.testing.assert_array_equal(one.null_totals, three.null_totals)


@pytest.mark.slow
def test_limits_of_threads_are_given_back():
    before = [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()]
    swept(NOISE, n_jobs=3, n_stability=3)
    assert [(pool["filepath"], pool["num_threads"]) for pool in threadpool_info()] == before


def test_an_interrupt_among_null_sets_keeps_the_sweep(monkeypatch):
    score, seen = PreparedData.score, []

    def interrupt(self, partitions, tick):
        seen.append(len(self.clustered))
        if len(seen) > 6:
            raise KeyboardInterrupt
        return score(self, partitions, tick)

    monkeypatch.setattr(PreparedData, "score", interrupt)
    with pytest.warns(UserWarning, match="5 of 5 .*; missing: null sets"):
        sweep = swept(BLOBS)
    assert sweep.interrupted_
    assert sweep.best_k_ == 3
    assert sweep.null_ is None


def test_progress_reaches_the_end_with_null_sets():
    events = []
    swept(BLOBS, n_null=3, progress=events.append)
    shares = [event.share for event in events]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert {event.stage for event in events} == {"clustering", "scoring", "done", "gaps", "null sets"}
    done = next(event.share for event in events if event.stage == "null sets")
    # The null sets and the data beside them cost as much as five sweeps with the data's own; the gaps a fifth of one.
    assert done == pytest.approx((1 + 0.2 + 1) / 5.2)


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"n_null": 1}, ValueError, "n_null=1 gives no spread"),
        ({"n_null": -3}, ValueError, "n_null=-3"),
        ({"n_null": 2.5}, TypeError, "n_null must be an integer, got 2.5"),
        ({"null_size": 2}, ValueError, "null_size=2"),
        ({"null_reference": "poisson"}, ValueError, "choose one of: gaussian, uniform"),
    ],
)
def test_wrong_parameters(params, error, words):
    with pytest.raises(error, match=words):
        swept(BLOBS, **params)


def test_table_and_picture_show_the_null():
    sweep = swept(BLOBS, n_null=3)
    columns = {column.title: column.cells for column in sweep_columns(sweep.sweep_results_)}
    assert columns["null mean"][0] == columns["null z"][0] == "-"
    assert columns["null z"][2].startswith("+")
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    for ax in sweep.plot():
        assert any("without clusters" in text.get_text() for text in ax.get_legend().get_texts())
    matplotlib.pyplot.close("all")


def test_the_report_says_no_structure(tmp_path):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    path = swept(NOISE).report(tmp_path / "report.html", NOISE)
    page = path.read_text(encoding="utf-8")
    assert "No groups found: the data look like one random cloud." in page
    assert "Data without any clusters score as high" in page


def test_references_are_those_that_are_drawn():
    for reference in sets.REFERENCES:
        assert sets.drawer(BLOBS, reference)(np.random.default_rng(0)).shape == BLOBS.shape


def test_numpys_global_state_is_neither_read_nor_changed():
    outcomes = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002
        sweep = swept(NOISE, n_null=3, n_stability=2)
        drawn = np.random.random()  # noqa: NPY002
        np.random.seed(seed)  # noqa: NPY002
        assert drawn == np.random.random()  # noqa: NPY002
        columns = {name: values for name, values in sweep.sweep_results_.items() if not name.endswith("_seconds")}
        outcomes.append([*columns.values(), sweep.null_.null_inertias, sweep.labels_])
    for one, other in zip(*outcomes, strict=True):
        np.testing.assert_array_equal(one, other)

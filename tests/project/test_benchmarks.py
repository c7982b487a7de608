"""The benchmarks neither rot nor time the wrong function: every case runs, small, and all contenders agree."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

# Last, so that `fastsil` stays the package that the other tests meet.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from benchmarks import (
    calibration,
    cases,
    cells,
    choice,
    estimates,
    harness,
    many,
    metrics,
    peers,
    rates,
    scaling,
    sweep_memory,
    table,
)

N = 200


# Data that come with optional packages are tried where those are installed.
MADE_HERE = [case for case in (*cases.CASES, *cases.LABELINGS) if not case.missing()]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", MADE_HERE, ids=lambda case: case.name)
def test_contenders_agree_on_every_case(case, dtype):
    data = case.make(N, dtype)
    # Noise is left out.
    assert data.X.shape[0] == len(data.labels) <= N
    assert data.X.dtype == dtype
    assert len(np.unique(data.labels)) > 1
    for peer in peers.installed():
        harness.check_agreement(peer, data, peer.samples(*data))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fastsil_keeps_its_promise_on_adversarial_data(dtype):
    for name, data in cases.adversarial(dtype).items():
        rows = np.arange(0, len(data.X), 8 if data.X.shape[1] > 64 else 2)
        error = np.abs(peers.FASTSIL.samples(*data)[rows] - peers.reference(*data, rows)).max()
        assert error <= peers.FASTSIL.tolerance[dtype], name


def test_a_wrong_answer_is_not_timed():
    data = cases.overlapping_groups(N, 8, 3, "float64")
    wrong = peers.FASTSIL._replace(samples=lambda X, labels: np.zeros(len(X)))
    with pytest.raises(AssertionError, match="not timed"):
        harness.time_in_turn([harness.Entry(wrong, data, 1.0)], rounds=1, budget=1.0)


def test_compiling_is_not_timed(monkeypatch):
    sizes = []

    def samples(X, labels):
        sizes.append(len(X))
        return peers.FASTSIL.samples(X, labels)

    counted = peers.FASTSIL._replace(samples=samples)
    monkeypatch.setattr(harness, "FASTSIL", counted)
    monkeypatch.setattr(harness, "_WARM_UP_ROWS", 100)
    data = cases.overlapping_groups(N, 8, 3, "float64")
    timed = harness.time_in_turn([harness.Entry(counted, data, 1.0)], rounds=1, budget=1e-9)
    assert sizes == [100, N, N]
    assert len(timed.seconds["fastsil"]) == 1


def test_a_subset_is_scaled_by_pairs():
    data = cases.overlapping_groups(N, 8, 3, "float32")
    entry = harness.scaled_entry(peers.FASTSIL, data, N // 4)
    assert len(entry.data.X) == N // 4
    assert entry.scale == 16
    assert harness.scaled_entry(peers.FASTSIL, data, N).scale == 1


@pytest.mark.slow
def test_a_sweep_in_one_call_is_checked_and_scaled(monkeypatch):
    row = many.time_sweep(N, 8, "float32", peer_samples=N // 2, rounds=1)
    assert (row["n"], row["peer_rows"], row["floor"]) == (N, N // 2, None)
    assert row["ratio"] > 0
    wrong = np.zeros((len(many.N_CLUSTERS), N))
    monkeypatch.setattr("fastsil.silhouette_samples_many", lambda X, labelings: wrong)
    with pytest.raises(AssertionError, match="not timed"):
        many.time_sweep(N, 8, "float32", peer_samples=N // 2, rounds=1)


def test_blobs_are_as_far_apart_as_they_are_said_to_be():
    random = np.random.default_rng(0)
    for n_blobs, every in ((2, None), (3, None), (2, 5)):
        X = calibration.blobs(3000, 6, n_blobs, every=every)(random)
        of = np.arange(3000) % n_blobs if every is None else np.arange(3000) % every == 0
        centers = np.array([X[of == blob].mean(axis=0) for blob in range(n_blobs)])
        distances = np.linalg.norm(centers[:, None] - centers, axis=2)[np.triu_indices(n_blobs, 1)]
        assert distances == pytest.approx(3, abs=0.2)


@pytest.mark.slow
def test_a_study_counts_what_the_test_finds():
    clear = calibration.Study("clear", calibration.blobs(60, 2, apart=12.0), 19, 1, 3, True, (0.95, 1.0))
    row = calibration.run_study(clear, 2)
    assert row["found"] == dict.fromkeys(calibration.MEASURES, 2)
    assert cells.of_calibration(row)[-6:] == ["100.0%"] * 4 + ["95% to 100%", "yes"]
    assert cells.of_calibration({**row, "found": dict.fromkeys(calibration.MEASURES, 1)})[-1] == "**no**"
    total = calibration.total_of_alarms([row, row])
    assert (total["sets"], total["found"]["p_value"]) == (4, 4)
    assert cells.of_calibration(total)[-1] == "**no**"


@pytest.mark.slow
def test_estimates_are_compared_with_the_exact_values():
    data = cases.overlapping_groups(N, 8, 3, "float64")
    exact = peers.FASTSIL.samples(*data)
    by_means = estimates.root_mean_square(*data)
    assert 0 < np.abs(by_means - exact).max() < 0.1
    found = estimates._measure(lambda some, seed: exact, data, exact)
    assert (found["error"], found["largest"]) == (0, 0)
    assert estimates._measure(lambda some, seed: exact.mean() + 0.25, data, exact)["error"] == pytest.approx(0.25)


@pytest.mark.slow
def test_coverage_is_that_of_the_exact_values():
    data = estimates._skewed_sizes(1500)
    row = estimates._repeat(data, 0.03, 0.9, repetitions=5)
    assert row["met"]
    assert 0 < row["half_width"] <= 0.03


@pytest.mark.slow
@pytest.mark.parametrize("case", metrics.CASES, ids=lambda case: f"{case.name}-{case.dtype}")
def test_contenders_agree_on_other_metrics(case):
    data = case.make(N, case.dtype)
    assert data.X.dtype == ("bool" if "bool" in case.name else case.dtype)
    metrics.check_agreement(case, data)


@pytest.mark.slow
def test_other_metrics_are_checked_and_scaled(monkeypatch):
    case = metrics.CASES[0]._replace(peer_samples=N // 2)
    row = metrics.time_case(case, N, rounds=1, budget=1.0)
    assert (row["n"], row["peer_rows"], row["floor"]) == (N, N // 2, None)
    monkeypatch.setattr("fastsil.silhouette_samples", lambda X, labels, **params: np.zeros(N))
    with pytest.raises(AssertionError, match="not timed"):
        metrics.time_case(case, N, rounds=1, budget=1.0)


@pytest.mark.slow
def test_a_large_example_is_read_from_memory_and_from_a_file():
    rows = list(metrics.time_large(N, rounds=1))
    assert ["mapped" in row["case"] for row in rows] == [False, True]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells memory as Linux does")
def test_a_call_whose_memory_is_measured_is_interrupted_at_its_limit():
    shape = {"n": 4000, "d": 16, "k": 2, "dtype": "float32"}
    whole, cut = (harness.run_probe("memory", shape | {"limit": limit}) for limit in (600.0, 1e-4))
    assert whole["cut"] is None
    assert min(whole["again"], whole["planned"]) > 0
    assert (cut["cut"], cut["again"]) == (1e-4, None)
    row = {**shape, **cut, "X": 4 * 4000 * 16, "allowed": 1 << 26, "met": True}
    assert cells.of_memory(row)[5].endswith(" in 0 s")
    assert cells.of_memory(row)[6] == ""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells memory as Linux does")
@pytest.mark.parametrize(("n", "tol"), [(400_000, 1e-3), (40_000, None)])
def test_a_sweep_and_its_page_take_the_memory_that_is_promised(n, tol):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    row = sweep_memory.measure(n, 8, "float64", tol)
    assert row["met"], row
    assert cells.of_sweep_memory(row)[3] == ("exact" if tol is None else "±0.001")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_that_are_timed_compute_the_pairs_that_are_counted(dtype):
    X = cases.overlapping_groups(N, 8, 2, dtype).X
    assert {name for name, _, _ in rates._kernel_calls(X)} == {"within", "between", "to"}
    assert all(entry["rate"] > 0 for entry in rates.kernel_rates(N, 8, dtype, rounds=1).values())


def test_sections_of_results_keep_their_neighbors(tmp_path, monkeypatch):
    row = {
        "case": "data",
        "dtype": "float32",
        "strategy": "w",
        "fastsil": 1e-7,
        "scikit-learn": 1e-4,
        "promised": 2e-6,
        "met": True,
    }
    names = ("cpu", "cores", "system", "fastsil", "numpy", "numba", "scikit-learn", "python", "blas")
    origin = {"machine": dict.fromkeys(names, "x"), "command": "c", "commit": "abc", "date": "2000-01-01 00:00"}
    result = {**row, **origin, "key": "data"}
    monkeypatch.setattr(table, "stored", lambda subject: [result])
    path = tmp_path / "RESULTS.md"
    path.write_text("before\n<!-- accuracy -->\nold\n<!-- /accuracy -->\nafter\n")
    table.write(["accuracy"], path)
    text = path.read_text()
    assert text.startswith("before\n<!-- accuracy -->\n## Accuracy")
    assert text.endswith("<!-- /accuracy -->\nafter\n")
    assert "old" not in text
    assert "1.0e-07" in text


@pytest.mark.parametrize("number", range(0, 60, 7))
def test_drawn_groups_are_as_far_apart_as_their_name_says(number):
    data = choice.draw_mixture(number)
    again = choice.draw_mixture(number)
    np.testing.assert_array_equal(data.X, again.X)
    assert data.name.startswith(f"{data.k} groups, {data.X.shape[0]} x {data.X.shape[1]}, ")


@pytest.mark.slow
def test_rules_find_clear_groups_and_are_counted():
    X = calibration.blobs(200, 3, 3, apart=25.0)(np.random.default_rng(0))
    chosen = choice.choose(choice.Labeled("clear", X, 3))
    assert chosen == dict.fromkeys(choice.RULES, 3)
    rows = [{"case": "clear", "k": k, "chosen": chosen} for k in (3, 3, 4)]
    total = choice.sum_up(rows)
    assert cells.list_choice_cells(total) == ["right, of 3", "", *["2"] * len(choice.RULES)]


def test_a_replay_keeps_order_dependencies_and_one_interpreter():
    tasks = [scaling.Task(1.0, 3.0), scaling.Task(1.0, 1.0), scaling.Task(1.0, 1.0)]
    record = scaling.Record(total=10.0, serial=2.0, runs=[scaling.Run(tasks, None, 8)])
    assert [scaling._replay(record, workers) for workers in (1, 2, 3)] == [10.0, 6.0, 6.0]
    chained = record._replace(runs=[scaling.Run(tasks, [[], [0], [1]], 8)])
    assert scaling._replay(chained, 3) == 10.0
    # One thread after the other starts, and Python is run by one at a time.
    assert scaling._replay(record, 3, scaling.HandOut(0.0, 0.0, 0.0)) == 2.0 + 4.0
    alike = record._replace(runs=[scaling.Run([scaling.Task(1.0, 1.0)] * 3, None, 8)])
    assert scaling._replay(alike, 3) == 2.0 + 2.0
    assert scaling._replay(alike, 3, scaling.HandOut(0.0, 0.0, 0.0)) == 2.0 + 4.0
    costs = scaling.HandOut(thread=0.5, wake=0.125, task=0.25)
    assert scaling._replay(alike, 3, costs) == 2.0 + 0.5 + 3 * 1.25 + 1.0
    assert scaling._replay(alike._replace(runs=alike.runs * 2), 3, costs) == 7.25 + 0.125 + 3 * 1.25 + 1.0
    alone = record._replace(runs=[scaling.Run(tasks, None, 0)])
    assert scaling._replay(alone, 3) == 10.0


@pytest.mark.slow
def test_calls_that_are_recorded_are_whole():
    (row,) = scaling.measure(3_000, ["samples, n=3,000 d=512"])
    assert row["n_tasks"] > 10
    assert 0 < row["serial"] < 1
    assert 1 < row["bound"][8] <= row["bound"][64] < 64
    assert all(row["handed"][workers] <= row["bound"][workers] for workers in scaling.WORKERS)
    assert cells.of_scaling({**row, "goal": 1.0})[-1] == "yes"

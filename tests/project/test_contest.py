"""Contenders in processes of their own: answers are compared, failures reported, the README shows the measurements."""

import sys
from pathlib import Path

import numpy as np
import pytest

# Last, so that `fastsil` stays the package that the other tests meet.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from benchmarks import cases, contest, growth, readme

DATA = cases.overlapping_groups(200, 8, 3, "float32")


@pytest.mark.slow
def test_contenders_take_turns_and_agree():
    (row,) = contest.hold("data", DATA, contest.CONTENDERS[:1], rounds=2)
    assert (row["name"], row["rounds"], row["of_mean"]) == ("scikit-learn", 2, False)
    assert row["error"] < 1e-6
    assert row["low"] <= row["ratio"] <= row["high"]


def test_samples_without_company_are_told_apart():
    labels, ours = np.array([0, 0, 1]), np.array([0.5, 0.25, 0.0])
    apart = contest._apart(ours, np.array([0.5, 0.125, 1.0]), labels)
    assert (apart["error"], apart["error_alone"], apart["of_mean"]) == (0.125, 1.0, False)
    assert contest._apart(ours, np.array(0.5), labels)["error"] == 0.25


def test_a_contender_that_fails_is_told_of(tmp_path):
    contest.write_data(tmp_path, DATA)
    with (
        contest.Worker(contest.Contender("nobody", "nobody", ""), tmp_path) as worker,
        pytest.raises(RuntimeError, match="KeyError: 'nobody'"),
    ):
        worker.wait_until_ready()


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "manhattan", "cosine"])
def test_a_wrong_answer_of_fastsil_is_an_error(metric):
    from fastsil import silhouette_samples

    silhouettes = silhouette_samples(*DATA, metric=metric)
    contest.check(silhouettes, DATA, metric)
    with pytest.raises(AssertionError, match="off by"):
        contest.check(silhouettes + np.float32(1e-5), DATA, metric)


def test_the_exponent_is_the_slope_of_the_upper_half():
    rows = [{"grows": "n", "n": n, "seconds": {"it": [1.0 + (n / 10) ** 2]}} for n in (1, 10, 1000, 10_000, 100_000)]
    assert growth.exponent(rows, "it") == pytest.approx(2, abs=0.1)


def test_the_readme_says_what_the_results_say():
    assert readme.is_current(), "run: python -m benchmarks table"


def test_the_readme_takes_the_faster_setting(tmp_path):
    results, page = tmp_path / "RESULTS.md", tmp_path / "README.md"
    columns = "| data | dtype | fastsil | scikit-learn | with working_memory=32 | ratio | pairs |\n| --- |\n"
    row = "| words | float32 | 5 ms | 2 s (from 10 samples) | 900 ms | 180.0 (1 to 2, 2 rounds) | 2% |\n"
    results.write_text(f"<!-- speed -->\n{columns}{row}<!-- /speed -->\n")
    page.write_text("above\n<!-- ratios -->\nold\n<!-- /ratios -->\nbelow\n")
    assert not readme.is_current(page, results)
    readme.write(page, results)
    assert "| words | 900 ms | 5 ms | 180.0 | 2% |" in page.read_text()
    assert page.read_text().startswith("above\n")
    assert page.read_text().endswith("\nbelow\n")
    assert readme.is_current(page, results)

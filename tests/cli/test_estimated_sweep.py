"""Estimated scores on the command line: chosen where exact ones would take long, or by ``--tol``."""

import json

import numpy as np
import pytest

pytest.importorskip("typer")
pandas = pytest.importorskip("pandas")

from typer.testing import CliRunner  # noqa: E402

from fastsil.cli.commands import app  # noqa: E402

FEW = ("--k", "2:3", "--n-init", "1", "--n-null", "0", "--force")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    np.save("X.npy", random.normal(size=(500, 4)) + 20 * random.integers(2, size=(500, 1)))
    return tmp_path


def sweep(*args, exit_code=0):
    result = CliRunner().invoke(app, ["sweep", "X.npy", *FEW, *args], catch_exceptions=False)
    assert result.exit_code == exit_code, result.output
    return result


def test_scores_that_would_take_long_are_estimated_unless_exact_ones_are_wanted(folder, monkeypatch):
    monkeypatch.setattr("fastsil.cli.sweep._LONG_SECONDS", 0.0)
    monkeypatch.setattr("fastsil.scoring.estimate.exact_is_as_cheap", lambda *_: False)
    result = sweep()
    assert "They are estimated to within 0.001 instead; --exact computes them." in " ".join(result.stderr.split())
    table = pandas.read_csv("fastsil-X/sweep.csv")
    # At k = 3 the tolerance would need so many samples that all are computed.
    widths = (table["silhouette_high"] - table["silhouette_low"]).tolist()
    assert 0 < widths[0] <= 0.002
    assert widths[1] == 0
    assert json.loads((folder / "fastsil-X" / "fastsil.json").read_text(encoding="utf-8"))["tol"] == 0.001
    exact = sweep("--exact")
    assert "estimated" not in exact.stderr
    table = pandas.read_csv("fastsil-X/sweep.csv")
    assert (table["silhouette_low"] == table["silhouette_high"]).all()


def test_fits_that_would_take_long_are_announced(monkeypatch):
    assert "will take about" not in sweep().stderr
    monkeypatch.setattr("fastsil.cli.sweep._LONG_SECONDS", 0.0)
    assert "k-means for 2 numbers of clusters will take about" in " ".join(sweep().stderr.split())
    assert "will take about" not in sweep("--clusterer", "minibatch").stderr


def test_so_few_samples_are_computed_exactly():
    assert "±" not in sweep("--tol", "0.01").stdout


@pytest.mark.parametrize(
    ("args", "words"), [(["--tol", "0.01", "--exact"], "one of the two"), (["--tol", "-1"], "tol")]
)
def test_an_impossible_tolerance_is_refused(args, words):
    failed = sweep(*args, exit_code=2)
    assert words in failed.stderr
    assert "Traceback" not in failed.output

"""``fastsil score``: labels that exist."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.metrics import silhouette_score

pytest.importorskip("typer")
pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")
pandas = pytest.importorskip("pandas")

from typer.testing import CliRunner  # noqa: E402

from fastsil.cli.commands import app  # noqa: E402
from fastsil.scoring.scores import silhouette_profile  # noqa: E402
from tests.report_pages import Page, assert_pictures_are_those_of_the_page  # noqa: E402

pytestmark = pytest.mark.usefixtures("folder")

IRIS = load_iris(as_frame=True)


def run(*args, exit_code=0):
    result = CliRunner().invoke(app, ["score", *args], catch_exceptions=False)
    assert result.exit_code == exit_code, result.output
    return result


def test_score_of_given_labels(folder):
    expected = silhouette_score(IRIS.data, IRIS.target)
    by_file = run("iris.npy", "species.npy").stdout
    by_column = run("iris.csv", "--labels-column", "species", "--out", "scored").stdout
    assert f"Mean silhouette {expected:.4f}" in by_file
    assert f"Mean silhouette {expected:.4f}" in by_column
    assert "versicolor" in by_column
    made = {path.name for path in (folder / "scored").iterdir()}
    assert made == {"clusters.csv", "fastsil.json", "report.html", "samples.parquet", "silhouette.png"}
    page = Page(folder / "scored" / "report.html")
    assert "How good are these clusters? · iris.csv" in page.text
    assert_pictures_are_those_of_the_page(folder / "scored", page)
    assert pandas.read_csv(folder / "scored" / "clusters.csv")["size"].tolist() == [50, 50, 50]
    assert not (folder / "fastsil-iris").exists()


def test_the_same_scores_again_leave_the_same_files(folder):
    """The record of an equal run is equal too: it must not be taken for one of a file that is no longer made."""
    for _ in range(3):
        run("iris.npy", "species.npy", "--out", "scored")
        made = {path.name for path in (folder / "scored").iterdir()}
        assert made == {"clusters.csv", "fastsil.json", "report.html", "samples.parquet", "silhouette.png"}


def test_score_diagnoses_and_leaves_a_label_out(folder):
    shuffled = np.random.default_rng(0).permutation(IRIS.target.to_numpy())
    np.save("shuffled.npy", shuffled)
    assert "(labels_shuffled)" in run("iris.npy", "shuffled.npy").stdout
    without = run("iris.npy", "species.npy", "--ignore-label", "2").stdout
    kept = IRIS.target != 2
    assert f"Mean silhouette {silhouette_score(IRIS.data[kept], IRIS.target[kept]):.4f}" in without
    assert "100 samples in 2 clusters. 50 samples left out." in without
    assert "--ignore-label x is no number" in run("iris.npy", "species.npy", "--ignore-label", "x", exit_code=2).stderr
    by_name = run("iris.csv", "--labels-column", "species", "--ignore-label", "virginica").stdout
    assert "50 samples left out" in by_name


def test_many_clusters_are_summarized(folder):
    np.save("pairs.npy", np.arange(150) // 2)
    printed = run("iris.npy", "pairs.npy", "--out", "scored").stdout
    assert "the 20 of 75 clusters with the lowest mean silhouettes" in " ".join(printed.split())
    rows = [line.split() for line in printed.splitlines() if line.split()[1:2] == ["2"]]
    means = pandas.read_csv("scored/clusters.csv")["silhouette"]
    assert [float(cells[2]) for cells in rows] == pytest.approx(sorted(means)[:20], abs=1e-4)


def test_a_score_writes_the_columns_of_to_frame(folder):
    run("iris.npy", "species.npy", "--out", "scored")
    expected = silhouette_profile(IRIS.data, IRIS.target).to_frame()
    pandas.testing.assert_frame_equal(pandas.read_parquet(folder / "scored" / "samples.parquet"), expected)


@pytest.mark.parametrize("name", ["gaps.csv", "gaps.npy", "gaps.parquet"])
def test_rows_with_gaps_are_left_out_by_the_command_that_the_error_says(folder, name):
    X = IRIS.data.to_numpy().copy()
    X[[3, 70], 1] = np.nan
    frame = pandas.DataFrame(X, columns=list("abcd"))
    frame.to_csv("gaps.csv", index=False)
    np.save("gaps.npy", X)
    frame.to_parquet("gaps.parquet")
    refused = " ".join(run(name, "species.npy", exit_code=2).stderr.split())
    assert f"fastsil score {name} species.npy --drop-missing" in refused
    assert "sklearn" not in refused
    result = run(name, "species.npy", "--drop-missing")
    kept = ~np.isnan(X).any(axis=1)
    expected = silhouette_score(X[kept], IRIS.target[kept])
    assert f"Mean silhouette {expected:.4f}" in result.stdout
    assert "rows left out, with empty or NaN cells: 2 of 150, the first is row 4" in result.stderr
    np.save("none.npy", np.full((150, 2), np.nan))
    assert "every row has empty or NaN cells" in run("none.npy", "species.npy", "--drop-missing", exit_code=2).stderr


def test_standardized_features_are_scored(folder):
    X = (IRIS.data - IRIS.data.mean()) / IRIS.data.std(ddof=0)
    assert f"{silhouette_score(X, IRIS.target):.4f}" in run("iris.npy", "species.npy", "--standardize").stdout


def test_weights_are_a_column_of_the_samples(folder):
    weights = np.arange(150) % 4 * 0.5
    table = IRIS.data.assign(species=IRIS.target, count=weights)
    table.to_csv("weighted.csv", index=False)
    table.to_parquet("weighted.parquet")
    expected = silhouette_profile(IRIS.data, IRIS.target, sample_weight=weights)
    for file in ("weighted.csv", "weighted.parquet"):
        shown = run(file, "--labels-column", "species", "--weight", "count", "--out", "scored", "--force").stdout
        assert f"Mean silhouette {expected.score:.4f}, mean of the clusters' means {expected.macro_score:.4f}" in shown
        assert "4 features" in shown
    kept = pandas.read_parquet(folder / "scored" / "samples.parquet")
    np.testing.assert_allclose(kept["silhouette"], expected.silhouettes, atol=1e-9)
    assert "total weight 111.5" in Page(folder / "scored" / "report.html").text
    assert '"weight": "count"' in (folder / "scored" / "fastsil.json").read_text()


def test_weights_go_with_their_rows():
    table = IRIS.data.assign(species=IRIS.target, count=np.arange(150) % 3)
    table.iloc[5, 0] = np.nan
    table.to_csv("gaps.csv", index=False)
    rest = table.drop(index=5)
    expected = silhouette_profile(rest.iloc[:, :4], rest.species, sample_weight=rest["count"])
    shown = run("gaps.csv", "--labels-column", "species", "--weight", "count", "--drop-missing").stdout
    assert f"Mean silhouette {expected.score:.4f}" in shown


def test_weights_that_are_none():
    IRIS.data.assign(species=IRIS.target_names[IRIS.target]).to_csv("named.csv", index=False)
    named = run("named.csv", "species.npy", "--weight", "species", exit_code=2)
    assert "column species of named.csv has entries that are no numbers" in named.stderr
    assert "has no column 'none'" in run("named.csv", "species.npy", "--weight", "none", exit_code=2).stderr

"""A sweep over a clusterer's parameter on the command line."""

import csv
import json

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.cluster import HDBSCAN

pytest.importorskip("typer")
pytest.importorskip("matplotlib")
pytest.importorskip("pandas")

from typer.testing import CliRunner

from fastsil import silhouette_score
from fastsil.cli.commands import app
from fastsil.cli.parameter_sweep import parse_param

pytestmark = pytest.mark.usefixtures("folder")


def run(*args, exit_code=0):
    result = CliRunner().invoke(app, ["sweep", *args], catch_exceptions=False)
    assert result.exit_code == exit_code, result.output
    return result


def test_values_are_tried_printed_and_written(folder):
    result = run("iris.npy", "--clusterer", "hdbscan", "--param", "min_cluster_size=5:15:5")
    made = folder / "fastsil-iris"
    with (made / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    X = np.load("iris.npy")
    assert [row["value"] for row in rows] == ["5", "10", "15"]
    for row in rows:
        labels = HDBSCAN(int(row["value"]), copy=True).fit_predict(X)
        assert int(row["n_clusters"]) == len(set(labels) - {-1})
        assert float(row["noise_share"]) == pytest.approx((labels == -1).mean())
        assert float(row["silhouette"]) == pytest.approx(silhouette_score(X, labels, ignore_label=-1))
    record = json.loads((made / "fastsil.json").read_text())
    assert record["param"] == "min_cluster_size=5:15:5"
    assert str(record["best_value"]) in ("5", "10", "15")
    assert {"parameter.png", "report.html"} <= {path.name for path in made.iterdir()} | {"report.html"}
    assert f"min_cluster_size = {record['best_value']} finds" in result.stdout
    run("iris.npy", "--clusterer", "hdbscan", "--param", "min_cluster_size=5:15:5")  # its own files are replaced


def test_given_distances(folder):
    X = np.load("iris.npy")
    np.save("distances.npy", cdist(X, X))
    result = run(
        "distances.npy", "--metric", "precomputed", "--clusterer", "agglomerative", "--param", "n_clusters=2,3"
    )
    assert "n_clusters = 2 finds these 2 clusters" in result.stdout
    error = run("distances.npy", "--metric", "precomputed", "--param", "n_clusters=2,3", exit_code=2).stderr
    assert "--clusterer kmeans takes no distances" in error


def test_a_threshold_needs_no_number_of_clusters():
    result = run("iris.npy", "--clusterer", "agglomerative", "--param", "distance_threshold=10,20")
    assert "distance_threshold = 20.0 finds" in result.stdout or "distance_threshold = 20 finds" in result.stdout


def test_density_is_another_column():
    pytest.importorskip("hdbscan", exc_type=ImportError)
    result = run("iris.npy", "--clusterer", "hdbscan", "--param", "min_cluster_size=5,15", "--density")
    assert "DBCV, which takes clusters of any shape, is" in result.stdout
    with open("fastsil-iris/sweep.csv") as file:
        assert all(-1 <= float(row["dbcv"]) <= 1 for row in csv.DictReader(file))


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--param", "eps"], "--param eps is not understood; write NAME=FIRST:LAST:STEP"),
        (["--param", "eps=1:2:0"], "is not understood"),
        (["--param", "eps=2:1"], "--param eps=2:1 has no value in it"),
        ([], "--clusterer dbscan finds its own number of clusters; name a parameter"),
        (["--density"], "--density goes with --param"),
        (["--param", "eps=1,2", "--k", "2:4"], "--k is for a sweep over k"),
        (["--param", "eps=1,2", "--n-null", "9"], "--n-null is for a sweep over k"),
        (["--param", "eps=1,2", "--metric", "cosine", "--metric", "euclidean"], "--param takes one --metric"),
        (["--param", "epsilon=1,2"], "DBSCAN has no parameter 'epsilon'"),
        (["--param", "eps=1,2", "--clusterer", "tree"], "--clusterer tree is not known; choose one of: kmeans"),
    ],
)
def test_options_that_are_wrong(args, words):
    error = run("iris.npy", *([] if "--clusterer" in args else ["--clusterer", "dbscan"]), *args, exit_code=2).stderr
    assert words in " ".join(error.split())


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a=5:50:15", [5, 20, 35, 50]),
        ("a=0.1:0.5:0.1", [0.1, 0.2, 0.3, 0.4, 0.5]),
        ("a=2:4", [2, 3, 4]),
        ("a=1e-3", [1e-3]),
    ],
)
def test_ranges_include_both_ends(text, values):
    assert parse_param(text) == ("a", values)

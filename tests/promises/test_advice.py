"""Every expression and command that a sentence suggests runs, on the data that it was suggested for."""

from __future__ import annotations

import re
import shlex
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse import random as random_sparse
from sklearn.datasets import make_blobs
from sklearn.preprocessing import StandardScaler

from fastsil import KMeansSweep, silhouette_profile, silhouette_samples

RANDOM = np.random.default_rng(0)
CLOUD = RANDOM.normal(size=(60, 2))
GROUPS = make_blobs(120, centers=12 * np.eye(4), random_state=0)[0]
UNITS = RANDOM.normal(size=(80, 6)) * [1, 900, 1, 700, 1, 1]
REPEATED = np.repeat(RANDOM.normal(size=(40, 3)), 3, axis=0)
COUNTS = random_sparse(60, 30, 0.2, format="csr", random_state=0)

# Data, and parameters of a sweep.
CASES = {
    "cloud": (CLOUD, {}),
    "larger k": (GROUPS, {}),
    "no test at all": (CLOUD, {"gaps": False}),
    "only null sets": (CLOUD, {"gaps": False, "n_null": 19}),
    "several geometries": (CLOUD, {"metric": ["euclidean", "cosine"]}),
    "another metric": (CLOUD, {"metric": "manhattan", "pca": 2}),
    "units": (UNITS, {}),
    "units of sparse data": (csr_matrix(UNITS), {}),
    "one direction": (CLOUD + 100, {"metric": "cosine"}),
    "one direction, sparse": (csr_matrix(CLOUD + 100), {"metric": "cosine"}),
    "repeated": (REPEATED, {}),
    "repeated, sparse": (csr_matrix(REPEATED), {}),
    "more features than samples": (RANDOM.normal(size=(40, 90)), {}),
    "as many features as samples": (RANDOM.normal(size=(41, 40)), {}),
    "sparse": (COUNTS, {}),
    "constant features": (np.c_[CLOUD, np.ones((60, 12))], {}),
    "one feature": (CLOUD[:, :1], {}),
    "few samples": (CLOUD[:7], {}),
}


def list_sentences(sweep, X):
    labels = sweep.profiles_[sweep.verdict_.k].labels
    findings = silhouette_profile(X, labels, metric=sweep.best_geometry_.metric).diagnose(X)
    verdict = sweep.verdict_
    return [*verdict.advice, *verdict.geometries, *(finding.advice for finding in (*findings, *sweep.diagnosis_))]


def find_code(sentence):
    """Return what a sentence suggests to run; it stands after the last colon followed by a blank."""
    _, _, code = sentence.rpartition(": ")
    code = code if re.match(r"sweep\.|X = |Standard|rows = ", code) else ""
    assert not re.search(r"\w\(|\w=", sentence.removesuffix(code)), sentence
    return code


@pytest.mark.slow
def test_expressions():
    kinds, run = set(), set()
    for X, params in CASES.values():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sweep = KMeansSweep(range(2, 5), n_init=2, random_state=0, **params).fit(X)
        sentences = list_sentences(sweep, X)
        assert not any("--" in sentence for sentence in sentences), sentences
        for code in {find_code(sentence) for sentence in sentences} - {"", *run}:
            # Null sets take a second, whatever the data.
            run |= {code} if "n_null" in code else set()
            kinds |= set(re.findall(r"n_null|n_clusters|metric|pca|StandardScaler|mean\(|unique", code))
            scope = {"sweep": KMeansSweep(**sweep.get_params()), "X": X, "StandardScaler": StandardScaler, "numpy": np}
            # What warns of a geometry that is left out does not run in full.
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                warnings.filterwarnings("ignore", message=".*pseudo-inverse|.*did not converge")
                exec(code.replace("Standard", "X = Standard"), scope)
            rows = scope.get("rows", slice(None))
            assert KMeansSweep(2, random_state=0).fit(scope["X"][rows]).best_k_ == 2
    assert kinds == {"n_null", "n_clusters", "metric", "pca", "StandardScaler", "mean(", "unique"}


@pytest.mark.slow
def test_commands(tmp_path, monkeypatch):
    runner = pytest.importorskip("typer.testing").CliRunner()
    from fastsil.cli import results_folder
    from fastsil.cli.commands import app

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(results_folder, "pictures_missing", lambda: "they take time")
    kinds = set()
    for name, (X, params) in CASES.items():
        if name not in ("cloud", "larger k", "units", "one direction", "more features than samples"):
            continue
        np.save("some data.npy", X)
        words = ["sweep", "some data.npy", "-q", "--k", "2:4", "--n-init", "2", "--n-null", "0"]
        first = runner.invoke(app, [*words, "--metric", params.get("metric", "euclidean")])
        assert first.exit_code == 0, first.output
        commands = {line.rpartition(": ")[2] for line in first.stdout.splitlines() if ": fastsil " in line}
        assert "sweep." not in first.stdout.replace("sweep.csv", ""), (name, first.stdout)
        for command in commands:
            assert f"--k {'' if '--k 4:' in command else '2:4'}" in command
            kinds |= set(re.findall(r"--(n-null 39|k 4|metric|pca|standardize)", command))
            again = runner.invoke(app, [*shlex.split(command)[1:], "-q", "--n-null", "0"])
            assert again.exit_code == 0, (name, command, again.output)
            assert "is left out" not in again.output, (name, command, again.output)
    assert kinds == {"n-null 39", "k 4", "metric", "pca", "standardize"}


def test_what_an_error_suggests():
    X = np.c_[CLOUD, CLOUD[:, 0]]
    labels = np.arange(60) % 2
    with pytest.raises(np.linalg.LinAlgError, match=r"VI=numpy\.linalg\.pinv\(numpy\.cov\(X\.T\)\)"):
        silhouette_samples(X, labels, metric="mahalanobis")
    found = silhouette_samples(X, labels, metric="mahalanobis", VI=np.linalg.pinv(np.cov(X.T)))
    np.testing.assert_allclose(found, silhouette_samples(CLOUD, labels, metric="mahalanobis"), atol=1e-9)


def test_a_sweep_that_is_gone_on_with_suggests_its_own_settings(tmp_path, monkeypatch):
    runner = pytest.importorskip("typer.testing").CliRunner()
    from fastsil.cli.commands import app
    from fastsil.cli.readers import Reading
    from fastsil.cli.results_folder import open_resumable
    from fastsil.cli.sweep import Asked, Settings

    monkeypatch.chdir(tmp_path)
    np.save("X.npy", CLOUD)
    asked = Asked("X.npy", Reading(), Settings("X", "2:3", ["euclidean"], ["none"], "kmeans", 2, 0, 0, 5))
    (tmp_path / "out").mkdir()
    with open_resumable(tmp_path / "out", asked.as_record()) as place:
        (place / "keep-it.npz").touch()
        again = runner.invoke(app, ["sweep", "--resume", "out", "-q"])
    assert again.exit_code == 0, again.output
    assert f"fastsil sweep {tmp_path / 'X.npy'} --k 2:3 --out out --n-init 2 --n-null 39 --seed 5" in again.output

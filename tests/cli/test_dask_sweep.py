"""``fastsil sweep --dask``: data that stay in blocks give the files of data in memory."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("typer")
pandas = pytest.importorskip("pandas")
pytest.importorskip("distributed", exc_type=ImportError)
dask = pytest.importorskip("dask")

from typer.testing import CliRunner  # noqa: E402

from clusters import local_cluster  # noqa: E402
from fastsil.cli import readers  # noqa: E402
from fastsil.cli.commands import app  # noqa: E402
from fastsil.sweep import prepared_blocks  # noqa: E402

FEW = ("--k", "2:4", "--n-init", "1", "--n-null", "0", "--force", "--quiet")


def samples():
    random = np.random.default_rng(0)
    return (random.normal(size=(900, 4)) + 8 * random.integers(3, size=(900, 1))).astype(np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X = samples()
    np.save("X.npy", X)
    (tmp_path / "parts").mkdir()
    for part, rows in enumerate(np.split(X, [200, 200, 650])):
        pandas.DataFrame(rows, columns=list("abcd")).to_parquet(f"parts/{part}.parquet")
    return tmp_path


def run(*args, exit_code=0):
    result = CliRunner().invoke(app, ["sweep", *args, *FEW], catch_exceptions=False)
    assert result.exit_code == exit_code, result.output
    return result


def read(folder):
    return pandas.read_csv(folder / "sweep.csv").drop(columns=["fit_seconds", "score_seconds"])


def test_a_folder_of_tables_is_an_array_in_blocks():
    found = readers.read_data("parts", in_blocks=True)
    assert found.X.chunks == ((200, 450, 250), (4,))
    assert found.columns == tuple("abcd")
    np.testing.assert_array_equal(found.X.compute(), samples())
    chosen = readers.read_data("parts", in_blocks=True, exclude=["b"])
    np.testing.assert_array_equal(chosen.X.compute(), samples()[:, [0, 2, 3]])


def test_rows_of_an_array_are_its_blocks(monkeypatch):
    monkeypatch.setattr("fastsil.cli.readers.blocks._BLOCK_BYTES", 400 * 16)
    found = readers.read_data("X.npy", in_blocks=True)
    assert found.X.chunks == ((400, 400, 100), (4,))
    np.testing.assert_array_equal(found.X.compute(), samples())


def test_chunks_of_a_zarr_stay_whole(monkeypatch):
    zarr = pytest.importorskip("zarr")
    monkeypatch.setattr("fastsil.cli.readers.blocks._BLOCK_BYTES", 500 * 16)
    group = zarr.open("two.zarr", mode="w")
    for name in ("X", "Y"):
        group.create_array(name, shape=(900, 4), chunks=(200, 2), dtype="f4")[:] = samples() + (name == "Y")
    assert readers.read_data("two.zarr", in_blocks=True).X.chunks == ((400, 400, 100), (4,))
    np.testing.assert_array_equal(readers.read_data("two.zarr:Y", in_blocks=True).X.compute(), samples() + 1)
    np.testing.assert_array_equal(readers.read_data("two.zarr").X, samples())
    assert readers.name_data("two.zarr:Y") == "two-Y"
    with pytest.raises(readers.DataFileError, match="no array 'Z'"):
        readers.read_data("two.zarr:Z")


def test_without_zarr_the_error_names_the_extra(folder, monkeypatch):
    (folder / "X.zarr").mkdir()
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ImportError, match=r"pip install 'fastsil\[zarr\]'"):
        readers.read_data("X.zarr")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["X.npy", "--dask", "local", "--standardize"], "--metric seuclidean"),
        (["X.npy", "--dask", "local", "--param", "n_clusters=2,3"], "--dask is for a sweep over k"),
        (["X.npy", "--dask", "tcp://127.0.0.1:1"], "no Dask scheduler at tcp://127.0.0.1:1"),
    ],
)
def test_what_is_wrong_is_said(args, words, monkeypatch):
    monkeypatch.setattr("fastsil.cli.cluster._PATIENCE", "0.2s")
    failed = run(*args, exit_code=2)
    assert words in " ".join(failed.stderr.split())
    assert "Traceback" not in failed.output


@pytest.mark.slow
def test_a_cluster_gives_the_files_of_memory(folder, monkeypatch):
    run("X.npy", "--out", "memory")
    with local_cluster() as client:
        address = client.scheduler.address
        run("parts", "--dask", address, "--out", "blocks")
        failed = run("parts", "--dask", address, "--exact", exit_code=2)
        assert "--exact computes pairs" in " ".join(failed.stderr.split())
        monkeypatch.setattr(prepared_blocks, "_MOST_ROWS", 300)
        run("X.npy", "--dask", address, "--out", "drawn", "--metric", "cosine")
    pandas.testing.assert_frame_equal(read(folder / "blocks"), read(folder / "memory"), rtol=1e-5)
    record = json.loads((folder / "blocks" / "fastsil.json").read_text(encoding="utf-8"))
    known = json.loads((folder / "memory" / "fastsil.json").read_text(encoding="utf-8"))
    assert record["verdict"] == known["verdict"]
    table = pandas.read_parquet("memory/samples.parquet")
    labels = np.load("blocks/labels.npy")
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, table[f"label_k{record['best_k']}"])
    drawn = pandas.read_parquet("drawn/samples.parquet")
    assert len(drawn) == 300
    best_k = json.loads((folder / "drawn" / "fastsil.json").read_text(encoding="utf-8"))["best_k"]
    np.testing.assert_array_equal(np.load("drawn/labels.npy")[drawn["row"]], drawn[f"label_k{best_k}"])


@pytest.mark.slow
def test_ctrl_c_ends_the_processes_and_the_sweep_is_resumed(folder, request):
    np.save("large.npy", np.tile(samples(), (100, 1)) + np.random.default_rng(1).normal(size=(90_000, 4)))
    command = [sys.executable, "-m", "fastsil", "sweep", "large.npy", "--dask", "local", *FEW, "--n-jobs", "2"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    request.addfinalizer(lambda: running.poll() is None and os.killpg(running.pid, signal.SIGKILL))
    pieces = folder / "fastsil-large" / "fastsil-checkpoint"
    while not list(pieces.glob("*.piece")):
        assert running.poll() is None, running.communicate()
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: the workers get it too
    _, words = running.communicate(timeout=60)
    assert running.returncode == 130, words
    assert "fastsil sweep --resume" in words
    finished = subprocess.run(
        [*command[:4], "--resume", "fastsil-large", "--quiet"], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert len(np.load(folder / "fastsil-large" / "labels.npy")) == 90_000


def test_what_does_not_fit_in_memory_goes_to_processes_by_itself(monkeypatch):
    opened = []
    monkeypatch.setattr("fastsil.cli.cluster.available_bytes", lambda: 1 << 20)
    monkeypatch.setattr(
        "fastsil.cli.cluster.open_cluster",
        lambda settings, n_jobs: contextlib.nullcontext(opened.append(settings.dask)),
    )
    with dask.config.set(scheduler="synchronous"):
        moved = run("X.npy", "--out", "blocks")
    assert "takes up to 160.3 MiB, and 1.0 MiB are free: it goes through the file in blocks" in joined(moved.stderr)
    assert json.loads(Path("blocks/fastsil.json").read_text(encoding="utf-8"))["dask"] == "local"
    assert len(np.load("blocks/labels.npy")) == 900
    stayed = run("X.npy", "--out", "stayed", "--clusterer", "minibatch")
    assert "In blocks it would fit, but for --clusterer minibatch." in joined(stayed.stderr)
    assert opened == ["local"]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'fastsil[dask]'" in joined(run("X.npy", exit_code=2).stderr)


@pytest.mark.parametrize(
    ("args", "obstacle"),
    [
        (["X.npy", "--standardize"], "--standardize (take --metric seuclidean)"),
        (["X.npy", "--metric", "chebyshev"], "--metric chebyshev"),
        (["X.csv"], "the ending of X.csv"),
    ],
)
def test_what_blocks_do_not_take_stays_in_memory(monkeypatch, args, obstacle):
    np.savetxt("X.csv", samples(), delimiter=",")
    monkeypatch.setattr("fastsil.cli.cluster.available_bytes", lambda: 1 << 20)
    assert f"In blocks it would fit, but for {obstacle}." in joined(run(*args, "--out", "stayed").stderr)


def test_what_fits_in_memory_stays_there(monkeypatch):
    monkeypatch.setattr("fastsil.cli.cluster.available_bytes", lambda: 1 << 30)
    assert "in blocks" not in joined(run("X.npy").stderr)


def joined(text):
    return " ".join(text.split())

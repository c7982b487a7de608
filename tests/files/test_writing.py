"""Results appear whole or not at all, and come back as they were."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from fastsil.files import read_json, replacing, write_columns, write_csv, write_json

WRITE = """
import os, resource, sys
from pathlib import Path
import numpy as np
from fastsil.files import write_columns, write_csv, write_json

folder = Path(sys.argv[1])
columns = {"value": np.random.default_rng(0).normal(size=20_000)}

def write_all():
    write_csv(folder / "a.csv", columns)
    write_json(folder / "b.json", {"values": columns["value"].tolist()})
    write_columns(folder / "c", columns)

if sys.argv[2] == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    failed = 0
    for write in (
        lambda: write_csv(folder / "a.csv", columns),
        lambda: write_json(folder / "b.json", {"values": columns["value"].tolist()}),
        lambda: write_columns(folder / "c", columns),
    ):
        try:
            write()
        except OSError:
            failed += 1
    print(failed)
else:
    write_all()
    print("ready", flush=True)
    while True:
        write_all()
"""


def test_half_a_file_is_never_seen(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")

    def write_half():
        with replacing(path) as draft:
            draft.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_half()
    assert path.read_text() == "old"
    with replacing(path) as draft:
        draft.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_written_columns_come_back(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    columns = {"k": np.array([2, 3]), "score": np.array([0.1, np.nan]), "error": np.array(["", 'a, "b"'])}
    write_csv(tmp_path / "t.csv", columns)
    frame = pandas.read_csv(tmp_path / "t.csv", keep_default_na=False)
    assert list(frame["score"]) == [0.1, ""] or list(frame["score"]) == ["0.1", ""]
    assert frame["error"][1] == 'a, "b"'
    path = write_columns(tmp_path / "s", {"label": np.array([3, 1, 1, 2]), "word": np.array(list("abcd"))})
    assert path == tmp_path / "s.parquet"
    assert list(pandas.read_parquet(path)["word"]) == list("abcd")


def test_without_pyarrow_columns_go_to_npz(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = write_columns(tmp_path / "s", {"label": np.array([3, 1, 1, 2])})
    assert path == tmp_path / "s.npz"
    np.testing.assert_array_equal(np.load(path)["label"], np.array([3, 1, 1, 2]))


def test_json_comes_back_or_is_empty(tmp_path):
    write_json(tmp_path / "r.json", {"a": [1, "ü"]})
    assert read_json(tmp_path / "r.json") == {"a": [1, "ü"]}
    (tmp_path / "r.json").write_text("[1")
    assert read_json(tmp_path / "r.json") == {}
    assert read_json(tmp_path / "none.json") == {}


@pytest.mark.skipif(os.name != "posix", reason="limits and signals of POSIX")
def test_a_full_disk_leaves_the_old_files(tmp_path):
    pytest.importorskip("pyarrow")
    for name in ("a.csv", "b.json", "c.parquet"):
        (tmp_path / name).write_text("old")
    command = [sys.executable, "-c", WRITE, str(tmp_path), "full"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout == "3\n"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ("a.csv", "b.json", "c.parquet"), "old"
    )


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_kill_at_any_moment_leaves_whole_files(tmp_path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    for delay in (0.0, 0.01, 0.02, 0.035):
        command = [sys.executable, "-c", WRITE, str(tmp_path), "for ever"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(delay)
            process.kill()
        assert len(pandas.read_csv(tmp_path / "a.csv")) == 20_000
        assert len(read_json(tmp_path / "b.json")["values"]) == 20_000
        assert len(pandas.read_parquet(tmp_path / "c.parquet")) == 20_000

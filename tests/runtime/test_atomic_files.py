"""Results appear whole or not at all, and come back as they were."""

import contextlib
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from fastsil.runtime.atomic_files import read_record, replacing, write_columns, write_csv, write_record

WRITE = """
import os, resource, sys
from pathlib import Path
import numpy as np
from fastsil.runtime.atomic_files import write_columns, write_csv, write_record

folder = Path(sys.argv[1])
columns = {"value": np.random.default_rng(0).normal(size=20_000)}

def write_all():
    write_csv(folder / "a.csv", columns)
    write_record(folder / "b.json", {"values": columns["value"].tolist()})
    write_columns(folder / "c", columns)

if sys.argv[2] == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    failed = 0
    for write in (
        lambda: write_csv(folder / "a.csv", columns),
        lambda: write_record(folder / "b.json", {"values": columns["value"].tolist()}),
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


def test_a_record_comes_back_is_damaged_or_of_somebody_else(tmp_path):
    path = tmp_path / "r.json"
    assert read_record(path) is None
    write_record(path, {"a": [1, "ü", "\udcff"], "b": None})
    assert read_record(path) == {"a": [1, "ü", "\udcff"], "b": None}
    whole = path.read_bytes()
    for place in range(len(whole)):
        for byte in (0, 0x31, 0x22, 0xFF):
            path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
            with contextlib.suppress(ValueError):  # where the name of the digest is damaged
                assert read_record(path) in ({}, {"a": [1, "ü", "\udcff"], "b": None})
    for damaged in (whole[:-20], b"", b"[" * 100_000, b"9" * 5000, b"\xff"):
        path.write_bytes(damaged)
        assert read_record(path) == {}
    for other in ("[1]", '{"a": 1}'):
        path.write_text(other)
        with pytest.raises(ValueError, match=r"r\.json is no record of fastsil"):
            read_record(path)


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
def test_drafts_follow_no_links_and_have_names_of_their_own(tmp_path, monkeypatch):
    (tmp_path / "mine").write_text("keep")
    monkeypatch.setattr("secrets.token_hex", lambda n: "ab" * n)
    (tmp_path / f".fastsil-{'ab' * 8}").symlink_to(tmp_path / "mine")
    with pytest.raises(FileExistsError), replacing(tmp_path / "x.txt"):
        raise AssertionError
    assert (tmp_path / "mine").read_text() == "keep"
    monkeypatch.undo()
    with replacing(tmp_path / "x.txt") as one, replacing(tmp_path / "x.txt") as other:
        assert one != other
    (tmp_path / "link.txt").symlink_to(tmp_path / "mine")
    with replacing(tmp_path / "link.txt") as draft:
        draft.write_text("new")
    assert (tmp_path / "mine").read_text() == "keep"
    assert (tmp_path / "link.txt").read_text() == "new"


@pytest.mark.skipif(os.name != "posix", reason="limits and signals of POSIX")
def test_a_full_disk_leaves_the_old_files(tmp_path):
    pytest.importorskip("pyarrow")
    for name in ("a.csv", "b.json", "c.parquet"):
        (tmp_path / name).write_text("old")
    command = [sys.executable, "-c", WRITE, str(tmp_path), "full"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    assert result.stdout == "3\n"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ("a.csv", "b.json", "c.parquet"), "old"
    )


@pytest.mark.slow
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
        assert len(read_record(tmp_path / "b.json")["values"]) == 20_000
        assert len(pandas.read_parquet(tmp_path / "c.parquet")) == 20_000


SWEEP = """
import csv, json, os, shutil, signal, sys, traceback
from pathlib import Path
import matplotlib.image
import numpy as np
import fastsil
from fastsil.cli.results_folder import write_sweep

os.environ["TQDM_DISABLE"] = "1"
X = np.random.default_rng(0).normal(size=(200, 3))
sweep = fastsil.KMeansSweep([2, 3], n_init=1, random_state=0).fit(X)


def write(folder):
    write_sweep(folder, sweep, X, {"name": "x.npy"}, pictures=True)


def count_whole(folder):
    count = 0
    for path in folder.iterdir():
        if path.name.startswith("."):  # a draft of a process that was killed
            continue
        count += 1
        if path.suffix == ".png":
            assert matplotlib.image.imread(path).size > 1000
        elif path.suffix == ".html":
            assert path.read_text().rstrip().endswith("</html>")
        elif path.suffix == ".csv":
            assert len(list(csv.reader(path.open()))) == 3
        elif path.suffix == ".npz":
            assert len(np.load(path)["label_k2"]) == len(X)
        elif path.suffix == ".parquet":
            import pyarrow.parquet
            assert pyarrow.parquet.read_table(path).num_rows == len(X)
        else:
            assert json.loads(path.read_text())["kind"] == "sweep"
    return count


def in_child(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    return child
"""

KILLS = """
folder = Path(sys.argv[1])
write(folder)
names = sorted(path.name for path in folder.iterdir())
for name in names:
    def write_for_ever(parent=os.getpid()):
        while os.getppid() == parent:  # a child whose parent is killed ends too
            write(folder)

    child = in_child(write_for_ever)
    try:
        while not list(folder.glob(f".fastsil-*/{name}")):
            ended = os.waitpid(child, os.WNOHANG)
            assert ended == (0, 0), ended
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    for draft in folder.glob(".fastsil-*"):
        shutil.rmtree(draft)
    found = sorted(path.name for path in folder.iterdir())
    assert count_whole(folder) == len(names), (name, found)
print(*names)
"""

FULL_DISK = """
import resource

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
write(Path(sys.argv[1]))  # what is loaded on first use, fonts for one
n_files = []
for limit in (0, 100, 3_000, 12_000, 40_000, 80_000, 160_000):
    folder = Path(sys.argv[1]) / str(limit)
    folder.mkdir()

    def fill():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            write(folder)
        except OSError:
            return
        write(folder)

    os.waitpid(in_child(fill), 0)
    n_files.append(count_whole(folder))
    assert not [path for path in folder.iterdir() if path.name.startswith(".")], limit
print(n_files)
"""


def run_of_sweep(tmp_path, code):
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    command = [sys.executable, "-W", "ignore", "-c", SWEEP + code, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    result = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="children of a process that has drawn before")
def test_a_kill_at_any_moment_leaves_whole_results_of_a_sweep(tmp_path):
    names = run_of_sweep(tmp_path, KILLS).split()
    assert {name.partition(".")[2] for name in names} >= {"csv", "html", "json", "png"}
    assert len(names) == 7


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="children of a process that has drawn before")
def test_a_full_disk_leaves_no_part_of_the_results(tmp_path):
    assert set(json.loads(run_of_sweep(tmp_path, FULL_DISK))) == {0}

"""What Linux alone has is taken away; scores stay what they are."""

import errno
import functools
import os
import subprocess
import sys
from types import SimpleNamespace

import joblib
import numpy as np
import pytest

from fastsil.runtime import memory, threads

WITHOUT_FILES = """
import builtins, io

def refuse(opens):
    def open_elsewhere(file, *args, **kwargs):
        if str(file).startswith(("/proc/", "/sys/")):
            raise FileNotFoundError(2, "there is none", str(file))
        return opens(file, *args, **kwargs)
    return open_elsewhere

builtins.open = io.open = refuse(open)
"""
# With what Python itself, or psutil, cannot be without.
WITHOUT = {
    "files of the system": WITHOUT_FILES,
    "forks": "import os; del os.fork, os.register_at_fork\n",
    "sched_getaffinity": "import os; del os.sched_getaffinity\n",
    "sysconf": "import os, sys; del os.sysconf; sys.modules['psutil'] = None\n",
    **{name: f"import sys; sys.modules[{name!r}] = None\n" for name in ("resource", "fcntl", "psutil")},
}
WITHOUT["all of these"] = "".join(WITHOUT.values())

SCORES = """
import warnings
warnings.simplefilter("ignore")  # joblib misses psutil
import numpy as np
import fastsil
from fastsil.runtime.memory import available_bytes

X = np.random.default_rng(0).normal(size=(60, 3))
labels = np.arange(60) % 3
for metric in ("euclidean", "cosine", "manhattan", "minkowski"):
    print(fastsil.silhouette_samples(X, labels, metric=metric).sum())
print(available_bytes())
"""


@functools.cache
def run(script):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="takes away what Linux has")
@pytest.mark.parametrize("what", WITHOUT)
def test_silhouettes_need_nothing_that_linux_alone_has(what):
    taken_away, everything = run(WITHOUT[what] + SCORES), run(SCORES)
    assert taken_away[:-1] == everything[:-1]
    assert int(everything[-1]) > 0
    if what == "all of these":
        assert taken_away[-1] == "None"


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM])
def test_a_file_that_is_open_elsewhere_is_named_and_no_work_is_lost(code, tmp_path, monkeypatch):
    """On Windows no file is replaced while a table of it is open in another program."""
    pytest.importorskip("typer")
    from typer.testing import CliRunner

    from fastsil.cli.commands import app

    monkeypatch.chdir(tmp_path)
    np.save("X.npy", np.random.default_rng(0).normal(size=(60, 2)))
    options = ["sweep", "X.npy", "--k", "2:3", "--n-null", "0", "-q", "--force"]
    assert CliRunner().invoke(app, options).exit_code == 0
    table = tmp_path / "fastsil-X" / "sweep.csv"
    before, replace = table.read_bytes(), os.replace

    def refuse(source, target):
        if os.path.basename(target) == "sweep.csv":
            raise PermissionError(code, "it is open elsewhere", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    failed = CliRunner().invoke(app, options)
    assert failed.exit_code == 2
    assert "sweep.csv" in failed.stderr
    assert "Traceback" not in failed.output
    assert table.read_bytes() == before
    assert not list(table.parent.glob(".fastsil-*"))
    monkeypatch.setattr(os, "replace", replace)
    assert CliRunner().invoke(app, ["sweep", "--resume", "fastsil-X", "-q"]).exit_code == 0


def test_cores_are_counted_where_their_limits_cannot_be_read(monkeypatch):
    def refuse():
        raise FileNotFoundError(2, "there is none", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us")

    monkeypatch.setattr(joblib, "cpu_count", refuse)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads.resolve_n_jobs(None) == os.cpu_count()


def test_psutil_says_what_is_free_where_the_system_has_no_file_for_it(monkeypatch):
    monkeypatch.setattr(memory, "_lines", lambda path: [])
    psutil = SimpleNamespace(virtual_memory=lambda: SimpleNamespace(total=4000, available=1000))
    monkeypatch.setitem(sys.modules, "psutil", psutil)
    assert list(memory._free_in_machine()) == [1000]


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="what is left without psutil")
def test_psutil_may_be_refused_what_it_reads(monkeypatch):
    def refuse():
        raise FileNotFoundError(2, "there is none", "/proc/meminfo")

    monkeypatch.setattr(memory, "_lines", lambda path: [])
    monkeypatch.setitem(sys.modules, "psutil", SimpleNamespace(virtual_memory=refuse))
    assert list(memory._free_in_machine()) == [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]

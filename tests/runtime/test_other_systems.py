"""What Linux alone has is taken away; scores stay what they are."""

import os
import subprocess
import sys
from types import SimpleNamespace

import joblib
import pytest

from fastsil.runtime import memory, threads

WITHOUT_LINUX = """
import builtins, io, os, sys

def refuse(opens):
    def open_elsewhere(file, *args, **kwargs):
        if str(file).startswith(("/proc/", "/sys/")):
            raise FileNotFoundError(2, "there is none", str(file))
        return opens(file, *args, **kwargs)
    return open_elsewhere

builtins.open = io.open = refuse(open)
for module, name in [(os, "sched_getaffinity"), (os, "register_at_fork"), (os, "sysconf"), (os, "fork")]:
    delattr(module, name)
sys.modules["resource"] = sys.modules["fcntl"] = sys.modules["psutil"] = None
"""

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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="takes away what Linux has")
def test_silhouettes_need_nothing_that_linux_alone_has():
    def run(script):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
        command = [sys.executable, "-c", script]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()

    taken_away = run(WITHOUT_LINUX + SCORES)
    everything = run(SCORES)
    assert taken_away[:-1] == everything[:-1]
    assert taken_away[-1] == "None"
    assert int(everything[-1]) > 0


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

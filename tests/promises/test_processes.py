"""Callers of every kind: threads, forked and spawned processes, pools. Each gets the bits that it gets alone, and ends.

The scripts run in processes of their own, under a limit of time: what hangs, fails.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

LIMIT = 900  # seconds: only what hangs takes as long

DATA = """
import numpy as np
import fastsil

def data(n_samples=1500, n_features=6, n_clusters=5):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n_samples, n_features)), rng.integers(n_clusters, size=n_samples)

LARGE = data(4100, 64)  # more than one thread is worth

def score(n_jobs=None):
    X, labels = LARGE
    return fastsil.silhouette_samples(X, labels, n_jobs=n_jobs).tobytes()
"""


def run_script(tmp_path: Path, body: str, **environment: str) -> str:
    """Standard output of a script in a file of its own, which other processes can import."""
    path = tmp_path / "script.py"
    path.write_text(DATA + body)
    search = os.pathsep.join(entry for entry in sys.path if entry)
    result = subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        env={**os.environ, "PYTHONPATH": search, **environment},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


THREADS = """
import threading, time
import joblib
from concurrent.futures import ThreadPoolExecutor

alone = score(n_jobs=1)
most = 0
over = threading.Event()

def watch():
    global most
    while not over.is_set():
        names = [thread.name for thread in threading.enumerate()]
        most = max(most, sum(name.startswith("fastsil") for name in names))
        time.sleep(0.0005)

watcher = threading.Thread(target=watch)
watcher.start()
with ThreadPoolExecutor(8) as pool:
    assert set(pool.map(score, [None, 4] * 8)) == {alone}
over.set()
watcher.join()
# On top of the callers, who compute too, no more threads than one of them alone may have.
assert 1 <= most <= max(4, joblib.cpu_count()), most

assert set(joblib.Parallel(n_jobs=4, backend="threading")(joblib.delayed(score)() for _ in range(4))) == {alone}

def inner():
    return fastsil.silhouette_score([[0.0], [1.0], [5.0]], [0, 0, 1])

once = inner()

few, labels = data(20, 2, 3)
expected = fastsil.silhouette_samples(few, labels, metric=lambda x, y: abs(x[0] - y[0]) + once)
nested = fastsil.silhouette_samples(few, labels, metric=lambda x, y: abs(x[0] - y[0]) + inner(), n_jobs=4)
np.testing.assert_array_equal(nested, expected)
print("done")
"""


@pytest.mark.slow
def test_threads_share_the_cores_and_get_the_same_bits(tmp_path):
    assert run_script(tmp_path, THREADS) == "done\n"


FORKS = """
import os, threading, time, warnings

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of threads at a fork; they are the point
alone = score(n_jobs=1)
assert score(n_jobs=3) == alone

def child_agrees():
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if score(n_jobs=3) == alone == score() else 1)
        finally:
            os._exit(2)
    for _ in range(600):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.05)
    os.kill(pid, 9)
    raise TimeoutError("the child hangs")

assert child_agrees()  # after use

running = True

def keep_running():
    while running:
        assert score(n_jobs=2) == alone
        with fastsil.patch_sklearn():
            pass

callers = [threading.Thread(target=keep_running) for _ in range(2)]
for caller in callers:
    caller.start()
try:
    for _ in range(5):
        time.sleep(0.02)
        assert child_agrees()  # in the middle of other threads' runs
finally:
    running = False
for caller in callers:
    caller.join()
print("done")
"""

FIRST_FORK = """
import os, threading, time, warnings

warnings.simplefilter("ignore", DeprecationWarning)
caller = threading.Thread(target=score)
caller.start()
time.sleep({delay})
pid = os.fork()  # while the other thread imports, loads or compiles
if pid == 0:
    score(n_jobs=2)
    os._exit(0)
caller.join()
assert os.waitpid(pid, 0)[1] == 0
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_fork_after_and_in_the_middle_of_runs(tmp_path):
    assert run_script(tmp_path, FORKS) == "done\n"


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.parametrize("delay", [0.3, 1.0])
def test_a_fork_in_the_middle_of_the_first_call(tmp_path, delay):
    assert run_script(tmp_path, FIRST_FORK.format(delay=delay)) == "done\n"


PROCESSES = """
import multiprocessing
import joblib

if __name__ == "__main__":
    alone = score(n_jobs=1)
    assert score(n_jobs=2) == alone
    for method in {"spawn", "forkserver"} & set(multiprocessing.get_all_start_methods()):
        with multiprocessing.get_context(method).Pool(1) as pool:
            assert pool.map(score, [None, 2]) == [alone, alone], method
    assert set(joblib.Parallel(n_jobs=2, backend="loky")(joblib.delayed(score)() for _ in range(4))) == {alone}
    print("done")
"""


@pytest.mark.slow
def test_spawned_processes_and_joblibs_workers(tmp_path):
    assert run_script(tmp_path, PROCESSES) == "done\n"

"""Threads: how many, every task once, and an end that is an end."""

import os
import signal
import subprocess
import sys
import threading
import time

import joblib
import numpy as np
import pytest

from fastsil.runtime.progress import progress_bar
from fastsil.runtime.threads import resolve_n_jobs, run_tasks


def count_tasks(n_tasks, n_jobs, **kwargs):
    counts = np.zeros(n_tasks, dtype=int)

    def function(task, stop):
        counts[task] += 1

    run_tasks(function, range(n_tasks), [1.0] * n_tasks, n_jobs=n_jobs, **kwargs)
    return counts


@pytest.mark.parametrize("n_jobs", [1, 2, 7])
@pytest.mark.parametrize("n_tasks", [0, 1, 2, 100])
def test_every_task_runs_once(n_tasks, n_jobs):
    np.testing.assert_array_equal(count_tasks(n_tasks, n_jobs), np.ones(n_tasks))


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_progress_adds_up_by_cost_and_comes_from_the_calling_thread(n_jobs):
    told = []
    run_tasks(
        lambda task, stop: None,
        range(4),
        [1, 2, 3, 4],
        n_jobs=n_jobs,
        tick=lambda share: told.append((share, threading.current_thread())),
    )
    assert sorted(share for share, _ in told) == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert {thread for _, thread in told} == {threading.current_thread()}


def test_tasks_run_at_the_same_time():
    barrier = threading.Barrier(3)
    # Three tasks that wait for each other would never end on fewer threads.
    run_tasks(lambda task, stop: barrier.wait(timeout=30), range(3), [1] * 3, n_jobs=3)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_exception_of_a_task_stops_the_run(n_jobs):
    started = []

    def function(task, stop):
        started.append(task)
        if task == 1:
            raise ZeroDivisionError("task 1")
        while task == 0 and n_jobs == 2 and not stop[0]:
            time.sleep(0.001)

    with pytest.raises(ZeroDivisionError, match="task 1"):
        run_tasks(function, range(1000), [1] * 1000, n_jobs=n_jobs)
    assert len(started) < 1000
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fastsil")]


def test_no_thread_outlives_a_run():
    before = threading.active_count()
    count_tasks(50, 4)
    assert threading.active_count() == before


def test_many_callers_at_once():
    failures = []

    def call():
        try:
            np.testing.assert_array_equal(count_tasks(40, 3), np.ones(40))
        except BaseException as error:
            failures.append(error)

    callers = [threading.Thread(target=call) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
    assert not failures


INTERRUPTED = """
import signal, time, threading
from fastsil.runtime.threads import run_tasks

# Where the tests run in the background of a shell, signals of the keyboard are ignored, also by what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

def function(task, stop):
    if {at_once}:
        print("now", flush=True)
    while not stop[0]:
        time.sleep(0.01)

def tell_when_handed_out():
    time.sleep(0.3)
    print("now", flush=True)

if not {at_once}:
    threading.Thread(target=tell_when_handed_out).start()
try:
    run_tasks(function, range(4), [1] * 4, n_jobs=2)
except KeyboardInterrupt:
    print("interrupted", [t.name for t in threading.enumerate() if t.name.startswith("fastsil")], flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGINT is sent as POSIX does")
@pytest.mark.parametrize("at_once", [True, False], ids=["while threads start", "while tasks run"])
def test_ctrl_c_ends_a_run_and_its_threads(at_once):
    script = INTERRUPTED.format(at_once=at_once)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "now\n"
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert "interrupted []" in output
    assert process.returncode == 0
    assert time.monotonic() - sent < 5


def test_all_cores_by_default(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert resolve_n_jobs(None) == resolve_n_jobs(-1) == joblib.cpu_count()


@pytest.mark.parametrize(
    ("value", "wanted"), [("1", 1), ("0", joblib.cpu_count()), ("4,2", joblib.cpu_count()), ("", joblib.cpu_count())]
)
def test_omp_num_threads_limits_the_default(monkeypatch, value, wanted):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert resolve_n_jobs(None) == wanted
    assert resolve_n_jobs(3) == 3


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_joblibs_context_is_honoured(n_jobs):
    with joblib.parallel_config(n_jobs=n_jobs):
        assert resolve_n_jobs(None) == n_jobs
        assert resolve_n_jobs(2) == 2
    with joblib.parallel_config(n_jobs=-1):
        assert resolve_n_jobs(None) == joblib.cpu_count()


def test_negative_numbers_count_from_the_cores():
    assert resolve_n_jobs(-2) == max(1, joblib.cpu_count() - 1)
    assert resolve_n_jobs(-1000) == 1


@pytest.mark.parametrize(
    ("n_jobs", "error"), [(0, ValueError), (2.0, TypeError), ("all", TypeError), (False, TypeError)]
)
def test_bad_numbers(n_jobs, error):
    with pytest.raises(error, match="n_jobs"):
        resolve_n_jobs(n_jobs)


def test_the_bar_reaches_its_end_and_not_beyond(capsys):
    pytest.importorskip("tqdm")
    with progress_bar("counting", enabled=True) as tick:
        # Ten times a tenth is a hair less or more than 1; a bar beyond its end is a warning of tqdm, an error here.
        for _ in range(10):
            tick(0.1 + 1e-12)
    assert "100%" in capsys.readouterr().err


def test_no_bar_unless_asked(capsys):
    with progress_bar("counting", enabled=False) as tick:
        tick(1.0)
    assert capsys.readouterr().err == ""

"""Threads: how many, every task once, and an end that is an end."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from _thread import _count

import joblib
import numpy as np
import pytest

from fastsil.runtime.progress import progress_bar
from fastsil.runtime.threads import (
    CALLING_THREAD,
    count_threads_of_call,
    resolve_n_jobs,
    run_over_rows,
    run_tasks,
    shares_threads,
)


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
    reported = []
    run_tasks(
        lambda task, stop: time.sleep(0.15 if task == 1 else 0),
        range(4),
        [1, 2, 3, 4],
        n_jobs=n_jobs,
        tick=lambda share: reported.append((share, threading.current_thread())),
    )
    assert sum(share for share, _ in reported) == pytest.approx(1.0)
    assert len(reported) >= 2, "progress comes while tasks run"
    assert {thread for _, thread in reported} == {threading.current_thread()}


@pytest.mark.parametrize("n_jobs", [1, 2, 5])
def test_a_task_starts_after_the_earlier_ones_that_it_needs(n_jobs):
    rng = np.random.default_rng(0)
    after = [sorted(rng.choice(index, min(index, 3), replace=False).tolist()) for index in range(200)]
    done = [False] * len(after)

    def function(task, stop):
        assert all(done[earlier] for earlier in after[task])
        done[task] = True

    run_tasks(function, range(len(after)), [1.0] * len(after), n_jobs=n_jobs, after=after)
    assert all(done)


def test_a_failure_ends_the_wait_for_an_earlier_task():
    def function(task, stop):
        raise ZeroDivisionError(f"task {task}")

    with pytest.raises(ZeroDivisionError, match="task 0"):
        run_tasks(function, range(3), [1.0] * 3, n_jobs=3, after=[[], [0], [1]])


def test_callers_leave_each_other_the_cores():
    """While one call has all threads, another is left one; without any, the calling thread computes by itself."""
    names = []
    n_threads = joblib.cpu_count() + 1
    full, over = threading.Barrier(n_threads + 1), threading.Event()

    def hold(task, stop):
        full.wait()
        over.wait()

    holder = threading.Thread(
        target=run_tasks, args=(hold, range(n_threads), [1] * n_threads), kwargs={"n_jobs": n_threads}
    )
    holder.start()
    try:
        full.wait()

        def call():
            run_tasks(lambda task, stop: names.append(threading.current_thread().name), range(9), [1] * 9, n_jobs=3)

        call()
        assert set(names) == {"fastsil-0"}, "the main thread has to listen to Ctrl-C"
        names.clear()
        caller = threading.Thread(target=call, name="caller")
        caller.start()
        caller.join()
        assert set(names) == {"caller"}
    finally:
        over.set()
        holder.join()


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


@pytest.mark.parametrize("n_rows", [0, 1, 7, 40])
def test_rows_are_covered_once(n_rows):
    covered = np.zeros(n_rows, int)

    def add(rows):
        covered[rows] += 1

    run_over_rows(add, n_rows, n_jobs=3, step=4)
    assert (covered == 1).all()


def test_the_runs_of_a_call_share_threads_that_end_with_it():
    n_before, seen = _count(), []

    def meet(meeting):
        meeting.wait()
        return threading.get_ident()

    @shares_threads
    def call(fails, *, n_jobs):
        for _ in range(3):
            # Each task waits for the other, so that both threads take one.
            run_tasks(lambda meeting, stop: seen.append(meet(meeting)), [threading.Barrier(2)] * 2, [1, 1], n_jobs=2)
        assert _count() == n_before + 2
        if fails:
            raise ZeroDivisionError

    call(False, n_jobs=2)
    assert len(seen) == 6
    assert len(set(seen)) == 2
    with pytest.raises(ZeroDivisionError):
        call(True, n_jobs=2)
    while _count() > n_before:  # a thread of C ends a moment after its last line of Python
        time.sleep(0.001)


def test_nothing_of_a_run_is_held_after_it():
    class Task:
        pass

    @shares_threads
    def call(*, n_jobs):
        task = Task()
        run_tasks(lambda task, stop: None, [task, task], [1, 1], n_jobs=2)
        held = weakref.ref(task)
        del task
        gc.collect()
        return held()

    assert call(n_jobs=2) is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_fork_in_the_middle_of_a_call_has_no_threads_and_ends():
    @shares_threads
    def call(*, n_jobs):
        run_tasks(lambda task, stop: None, [0, 1], [1, 1], n_jobs=2)
        child = os.fork()
        if not child:
            np.testing.assert_array_equal(count_tasks(10, 2), np.ones(10))
        return child

    child = call(n_jobs=2)
    if not child:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_the_threads_of_a_call_are_those_of_the_outermost_function():
    @shares_threads
    def count(*, n_jobs=None):
        return count_threads_of_call()

    @shares_threads
    def outer(*, n_jobs):
        return count(n_jobs=1), count()

    assert outer(n_jobs=3) == (3, 3)
    assert count_threads_of_call() == CALLING_THREAD
    with pytest.raises(ValueError, match="n_jobs"):
        count(n_jobs=0)
    assert count(n_jobs=2) == 2


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
        caller.join(timeout=600)
    assert not failures


INTERRUPTED = """
import os, signal, threading
from fastsil.runtime.threads import run_tasks

# Where the tests run in the background of a shell, signals of the keyboard are ignored, also by what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
both_run = threading.Barrier(2)

def function(task, stop):
    if both_run.wait() == 0:
        os.write(1, b"now\\n")
    while not stop[0]:
        pass

try:
    run_tasks(function, range(2), [1] * 2, n_jobs=2)
except KeyboardInterrupt:
    print("interrupted", [t.name for t in threading.enumerate() if t.name.startswith("fastsil")], flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGINT is sent as POSIX does")
def test_ctrl_c_ends_a_run_and_its_threads():
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "now\n"
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate()
        finally:
            process.kill()
    assert output == "interrupted []\n"
    assert process.returncode == 0


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

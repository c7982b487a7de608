"""Scaling to many cores, on a machine that has few: a call is recorded on one thread and replayed on more.

Every task of ``run_tasks`` is timed alone, by CPU time, so that other load of the machine does not count. What a call
spends outside of tasks is serial. The replay hands the tasks out as the pool does: in their order, or in that in
which those that they need are finished, to the worker that is free first. It is compared with the call that is asked
for one thread.

Two figures come of it. The first is a bound from above: only serial parts, dependencies and unequal tasks keep workers
waiting. In the second a thread takes time to start and to wake, and what a task does beside its kernels is done by one
worker at a time, as under the GIL. Neither has a limit of memory bandwidth.
"""

from __future__ import annotations

import heapq
import importlib
import pkgutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from cProfile import Profile
from functools import partial
from pathlib import Path
from pstats import Stats
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks import cases

WORKERS = (8, 16, 32, 64)
# Some work is cut finer for more threads; the record is of a call that is asked for this number.
GOAL_WORKERS = 32
# Goals of the first figure there, by the number of samples from which they hold.
_GOALS = ((100_000, 24.0), (20_000, 12.0))
_MANY_GOAL = 24.0
_ROUNDS = 2
# Functions that are named, at most, and the least share of the call that is worth a name.
_NAMED, _LEAST_SHARE = 3, 1e-3


# What is called, and the shape of the data.
_CALLS = (
    ("samples", 20_000, 128, 10),
    ("samples", 20_000, 512, 100),
    ("samples", 50_000, 768, 30),
    ("samples", 100_000, 128, 100),
    ("samples", 200_000, 128, 100),
    ("samples, manhattan", 100_000, 128, 100),
    ("samples, cosine", 1_000_000, 128, 100),
    ("estimate", 1_000_000, 128, 100),
)


# A task that calls no kernel calls NumPy, on arrays for which it gives the GIL away; this part of it is Python.
_PYTHON_OF_NUMPY = 1e-5


class Workload(NamedTuple):
    """A function to record, and its arguments."""

    name: str
    make: Callable[[], Any]
    call: Callable[..., Any]
    goal: float | None


class Task(NamedTuple):
    """Seconds of a task: in Python and NumPy, and in kernels, which need no GIL."""

    python: float
    kernel: float


class Run(NamedTuple):
    """The tasks of one call of ``run_tasks``, and for each the earlier ones that it needs."""

    tasks: list[Task]
    after: Sequence[Sequence[int]] | None
    n_threads: int


class Record(NamedTuple):
    """Seconds of a call on one thread, those outside of tasks, and the runs."""

    total: float
    serial: float
    runs: list[Run]


def measure(n: int | None, chosen: Sequence[str] | None) -> Iterator[dict[str, Any]]:
    """Yield a row for each workload that has a part of its name chosen, with at most n samples."""
    hand_out = _measure_hand_out()
    for workload in _list_workloads(n):
        if chosen and not any(part in workload.name for part in chosen):
            continue
        data = workload.make()

        def call(n_jobs: int, workload: Workload = workload, data: Any = data) -> None:
            workload.call(*data, n_jobs=n_jobs)

        call(1)
        alone = min(_record(partial(call, 1)).total for _ in range(_ROUNDS))
        record = min((_record(partial(call, GOAL_WORKERS)) for _ in range(_ROUNDS)), key=lambda record: record.total)
        yield {
            "case": workload.name,
            "seconds": alone,
            "serial": record.serial / alone,
            "bound": {workers: alone / _replay(record, workers) for workers in WORKERS},
            "handed": {workers: alone / _replay(record, workers, hand_out) for workers in WORKERS},
            "n_tasks": sum(len(run.tasks) for run in record.runs),
            "python": sum(task.python for run in record.runs for task in run.tasks) / alone,
            "where": _find_serial_functions(partial(call, GOAL_WORKERS), alone),
            "goal": workload.goal,
        }


def _list_workloads(most: int | None) -> Iterator[Workload]:
    """Yield large calls, of float32 data."""
    from fastsil import silhouette_estimate, silhouette_samples, silhouette_samples_many

    estimate = partial(silhouette_estimate, random_state=0)
    kinds = {"samples": silhouette_samples, "estimate": estimate} | {
        f"samples, {metric}": partial(silhouette_samples, metric=metric) for metric in ("manhattan", "cosine")
    }
    for kind, n, d, k in _CALLS:
        n_drawn = min(n, most or n)
        goal = next((goal for least, goal in _GOALS if n_drawn >= least), None)
        make = partial(cases.embedding_like(d, k), n_drawn, "float32")
        yield Workload(f"{kind}, n={n_drawn:,} d={d} k={k}", make, kinds[kind], goal)
    n_drawn = min(20_000, most or 20_000)
    goal = _MANY_GOAL if n_drawn == 20_000 else None
    yield Workload(
        f"many, n={n_drawn:,} d=512 k=2..16", partial(_draw_labelings, n_drawn), silhouette_samples_many, goal
    )


def _draw_labelings(n: int) -> tuple[Any, list[Any]]:
    X = cases.overlapping_groups(n, 512, 10, "float32").X
    return X, [cases.cluster(X, k) for k in range(2, 17)]


def _record(call: Callable[[], Any]) -> Record:
    """Run a call on this thread, its tasks one after the other, and time each."""
    runs: list[Run] = []
    inside = 0.0
    in_kernels = 0.0

    def run_tasks(function: Any, tasks: Any, costs: Any, *, n_jobs: int, after: Any = None, **_: Any) -> None:
        nonlocal inside, in_kernels
        entered = time.thread_time()
        stop, timed = np.zeros(1, np.uint8), []
        for task in tasks:
            in_kernels, started = 0.0, time.thread_time()
            function(task, stop)
            spent = time.thread_time() - started
            python = spent - in_kernels if in_kernels else min(spent, _PYTHON_OF_NUMPY)
            timed.append(Task(python, spent - python))
        runs.append(Run(timed, after, n_jobs))
        inside += time.thread_time() - entered

    def timed_kernel(kernel: Any) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            nonlocal in_kernels
            started = time.thread_time()
            try:
                return kernel(*arguments)
            finally:
                in_kernels += time.thread_time() - started

        return run

    with _replaced(run_tasks, timed_kernel), threadpool_limits(1):
        started = time.thread_time()
        call()
        total = time.thread_time() - started
    return Record(total, total - inside, runs)


def _find_serial_functions(call: Callable[[], Any], total: float) -> list[tuple[str, float]]:
    """Return the functions in which a call spends most of its time outside of tasks, and their share of the call."""
    profile = Profile(time.thread_time)

    def run_tasks(function: Any, tasks: Any, costs: Any, **_: Any) -> None:
        profile.disable()
        stop = np.zeros(1, np.uint8)
        for task in tasks:
            function(task, stop)
        profile.enable()

    with _replaced(run_tasks, lambda kernel: kernel), threadpool_limits(1):
        profile.enable()
        call()
        profile.disable()
    spent = [
        (name if path == "~" else f"{Path(path).stem}.{name}", own / total)
        for (path, _, name), (_, _, own, _, _) in Stats(profile).stats.items()  # type: ignore[attr-defined]
    ]
    spent.sort(key=lambda entry: -entry[1])
    return [entry for entry in spent[:_NAMED] if entry[1] >= _LEAST_SHARE]


@contextmanager
def _replaced(run_tasks: Callable[..., None], wrap_kernel: Callable[[Any], Any]) -> Iterator[None]:
    """Replace ``run_tasks``, and kernels where Python calls them, in all modules of fastsil."""
    from numba.core.registry import CPUDispatcher

    import fastsil
    from fastsil.runtime import threads

    original = threads.run_tasks
    replaced = []
    for found in pkgutil.walk_packages(fastsil.__path__, "fastsil."):
        if found.name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(found.name)
        except ImportError:  # a package that it needs is not installed
            continue
        for name, value in vars(module).items():
            if value is original:
                replaced.append(patch.object(module, name, run_tasks))
            elif isinstance(value, CPUDispatcher):
                replaced.append(patch.object(module, name, wrap_kernel(value)))
    for one in replaced:
        one.start()
    try:
        yield
    finally:
        for one in replaced:
            one.stop()


class HandOut(NamedTuple):
    """Seconds that it takes to start a thread, to wake it for another run of the call, and to hand it a task."""

    thread: float
    wake: float
    task: float


def _replay(record: Record, n_workers: int, hand_out: HandOut | None = None) -> float:
    """Return the seconds of a call on some workers; given what hand-out costs, Python is run by one at a time."""
    from fastsil.runtime.threads import CALLING_THREAD

    seconds, have_started = record.serial, False
    for run in record.runs:
        n_used = 1 if run.n_threads == CALLING_THREAD else min(n_workers, len(run.tasks))
        begins = [0.0] * n_used
        if hand_out and n_used > 1:
            # One thread after the other.
            delay = hand_out.wake if have_started else hand_out.thread
            begins = [delay * (worker + 1) for worker in range(n_used)]
            have_started = True
        seconds += _replay_run(run, begins, hand_out)
    return seconds


def _replay_run(run: Run, begins: list[float], hand_out: HandOut | None) -> float:
    after = run.after if run.after is not None else [()] * len(run.tasks)
    n_earlier = [len(earlier) for earlier in after]
    later: list[list[int]] = [[] for _ in run.tasks]
    for index, earlier in enumerate(after):
        for one in earlier:
            later[one].append(index)
    # When each task may begin: in this order they are handed out.
    ready = [(0.0, index) for index, n in enumerate(n_earlier) if not n]
    free, ends, interpreter = begins, [0.0] * len(run.tasks), 0.0
    while ready:
        begin, index = heapq.heappop(ready)
        start, task = max(begin, heapq.heappop(free)), run.tasks[index]
        if hand_out is not None:
            start = max(start, interpreter) + hand_out.task
            interpreter = start + task.python
        ends[index] = start + task.python + task.kernel
        heapq.heappush(free, ends[index])
        for one in later[index]:
            n_earlier[one] -= 1
            if not n_earlier[one]:
                heapq.heappush(ready, (max(ends[earlier] for earlier in after[one]), one))
    return max(ends, default=0.0)


def _measure_hand_out() -> HandOut:
    """Measure it on this machine, with tasks that do nothing."""
    from fastsil.runtime.threads import run_tasks, shares_threads

    def run(n_tasks: int, n_threads: int) -> float:
        started = time.process_time()
        run_tasks(lambda task, stop: None, range(n_tasks), [1.0] * n_tasks, n_jobs=n_threads)
        return time.process_time() - started

    @shares_threads
    def run_twice(n_tasks: int, *, n_jobs: int) -> tuple[float, float]:
        return run(n_tasks, n_jobs), run(n_tasks, n_jobs)

    most = WORKERS[-1]
    (start, wake), (_, many) = (
        np.median([run_twice(n_tasks, n_jobs=n_jobs) for _ in range(9)], axis=0)
        for n_tasks, n_jobs in ((most, most), (_MANY_TASKS, 2))
    )
    return HandOut(start / most, wake / most, many / _MANY_TASKS)


_MANY_TASKS = 20_000

"""Threads: how many, how work is handed out, and how it stops.

Kernels are compiled with ``nogil=True`` and run on threads that live for one call. numba's own parallel layers are not
used: GNU OpenMP ends a child that was forked after a parallel call, and the workqueue layer ends the process when two
threads call at once.

No state outlives a call. Callers at the same time share the cores: each counts the threads that are at work. A fork
waits until none is being started (:mod:`fastsil.runtime.lazy_imports`).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import joblib
import numpy as np
from numpy.typing import NDArray

from fastsil.runtime.lazy_imports import make_fork_safe_lock
from fastsil.runtime.progress import ProgressCallback, ignore_progress

Task = TypeVar("Task")

CALLING_THREAD = 0
"""Number of threads for work that is over sooner than a thread starts: the calling thread does it."""

# How long the calling thread waits for news before it looks whether it was interrupted; POSIX interrupts the wait.
_PATIENCE = 0.1


def resolve_n_jobs(n_jobs: int | None) -> int:
    """Number of threads to use.

    Parameters
    ----------
    n_jobs : int or None
        ``None``: what an enclosing ``joblib.parallel_config(n_jobs=...)`` says, else all cores that
        this process may use (CPU affinity, cgroup limits and ``OMP_NUM_THREADS`` respected, the
        last because process pools set it in their workers to share the cores out). Negative:
        counted from the number of cores, as in joblib (-1: all, -2: all but one).

    Raises
    ------
    ValueError
        If ``n_jobs`` is 0.
    TypeError
        If ``n_jobs`` is not an integer.
    """
    if n_jobs is None:
        configured = joblib.parallel.get_active_backend()[1]
        # Without a context that sets it, joblib answers None.
        n_jobs = _default_threads() if configured is None else configured
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, (int, np.integer)):
        raise TypeError(f"n_jobs must be an integer or None, got {n_jobs!r} of type {type(n_jobs).__name__}.")
    if n_jobs == 0:
        raise ValueError("n_jobs == 0 has no meaning; pass None or -1 for all cores, or a positive number.")
    if n_jobs < 0:
        return max(1, int(joblib.cpu_count()) + 1 + int(n_jobs))
    return int(n_jobs)


def _default_threads() -> int:
    cores = int(joblib.cpu_count())
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(limit))) if limit.isdigit() and int(limit) > 0 else cores


def enough_for_threads(n_jobs: int, work: float, least: float) -> int:
    """``n_jobs``, or :data:`CALLING_THREAD` where there is less work than pays for threads."""
    return n_jobs if work >= least else CALLING_THREAD


_STARTING = make_fork_safe_lock()


def run_tasks(
    function: Callable[[Task, NDArray[np.uint8]], None],
    tasks: Sequence[Task],
    costs: Iterable[float],
    *,
    n_jobs: int,
    tick: ProgressCallback = ignore_progress,
    after: Sequence[Sequence[int]] | None = None,
) -> None:
    """Run ``function(task, stop)`` for every task on up to ``n_jobs`` threads.

    Tasks are handed out in the order given; whoever is free takes the next. Tasks that write to the same place
    must stand in each other's ``after``: then the result does not depend on who ran when. Callers in several threads
    get fewer threads each, so that all of them together have about as many as there are cores.

    Parameters
    ----------
    function : callable
        Called as ``function(task, stop)``. ``stop`` is an array of one byte that turns from 0 to 1
        when the run is to end early; a kernel looks at it between tiles.
    tasks : sequence
        What to run.
    costs : iterable of float
        Cost of each task in any common unit, for progress.
    n_jobs : int
        Number of threads. With :data:`CALLING_THREAD` the calling thread does all, deaf to Ctrl-C until a task ends;
        with 1 it waits for another thread.
    tick : callable
        Told the share of the total cost that has just been finished, from the calling thread.
    after : sequence of sequences of int, optional
        For each task, indices of earlier tasks that must be done before it starts.

    Raises
    ------
    BaseException
        The first exception of a task, or KeyboardInterrupt in the calling thread; in either case
        no task is running any more when it leaves.
    """
    costs = list(costs)
    total = sum(costs) or 1.0
    stop = np.zeros(1, dtype=np.uint8)
    team = _ThreadPool(function, tasks, after, stop)
    try:
        if n_jobs == CALLING_THREAD or not team.start(min(n_jobs, len(tasks))):
            for task, cost in zip(tasks, costs, strict=True):
                function(task, stop)
                tick(cost / total)
            return
        for index in team.finished():
            tick(costs[index] / total)
    finally:
        team.end()


class _Worker(threading.Thread):
    """One of ours, so that they can be counted."""


class _ThreadPool:
    """Threads that share tasks."""

    def __init__(
        self,
        function: Callable[[Any, NDArray[np.uint8]], None],
        tasks: Sequence[Any],
        after: Sequence[Sequence[int]] | None,
        stop: NDArray[np.uint8],
    ) -> None:
        self._function = function
        self._tasks = tasks
        self._after = after
        self._stop = stop
        self._next = itertools.count()
        self._done = [False] * len(tasks)
        self._condition = threading.Condition()
        self._reports: SimpleQueue[tuple[int, BaseException | None]] = SimpleQueue()
        self._threads: list[threading.Thread] = []

    def start(self, wanted: int) -> bool:
        """Start threads, or say that the calling one may as well do it: there is one to be had, or none."""
        with _STARTING:
            granted = _count_available_threads(wanted)
            if granted == 1 and threading.current_thread() is not threading.main_thread():
                return False  # only the main thread is interrupted, and has to listen
            for number in range(granted):
                self._threads.append(_Worker(target=self._work, name=f"fastsil-{number}"))
                try:
                    self._threads[-1].start()
                except RuntimeError:  # the system gives no more, or the interpreter is about to end
                    self._threads.pop()
                    break
        return bool(self._threads) or not self._tasks

    def finished(self) -> Iterator[int]:
        """Tasks as they are finished; raises what a task raised."""
        for _ in range(len(self._tasks)):
            index, error = self._report()
            if error is not None:
                raise error
            yield index

    def end(self) -> None:
        """Tell all threads to leave, and wait until they have."""
        self._stop[0] = 1
        with self._condition:
            self._condition.notify_all()
        # Where an interrupt fell into the start of a thread, it may not run yet, and cannot be joined until it does.
        while living := [thread for thread in threading.enumerate() if thread in self._threads]:
            for thread in living:
                with contextlib.suppress(RuntimeError):
                    thread.join()
            time.sleep(0)

    def _report(self) -> tuple[int, BaseException | None]:
        while True:
            try:
                return self._reports.get(timeout=_PATIENCE)
            except Empty:
                continue

    def _work(self) -> None:
        while not self._stop[0] and (index := next(self._next)) < len(self._tasks):
            error = None
            try:
                self._wait_for_earlier(index)
                if not self._stop[0]:
                    self._function(self._tasks[index], self._stop)
            except BaseException as raised:
                error = raised
                self._stop[0] = 1
            self._done[index] = True
            if self._after is not None:
                with self._condition:
                    self._condition.notify_all()
            self._reports.put((index, error))

    def _wait_for_earlier(self, index: int) -> None:
        # Earlier tasks have been taken already, so that this always ends.
        earlier = self._after[index] if self._after is not None else ()
        if not all(self._done[one] for one in earlier):
            with self._condition:
                self._condition.wait_for(lambda: self._stop[0] or all(self._done[one] for one in earlier))


def _count_available_threads(wanted: int) -> int:
    """So many threads as are wanted if nobody is at work; else what others leave of the cores, but at least one."""
    at_work = sum(isinstance(thread, _Worker) for thread in threading.enumerate())
    if not at_work:
        return wanted
    return max(1, min(wanted, max(wanted, int(joblib.cpu_count())) - at_work))


def in_batches(n_items: int, *, n_jobs: int) -> list[range]:
    """Equal runs of small items, so many that no thread is left waiting for long, so few that handing out is cheap."""
    step = max(1, n_items // (_BATCHES_PER_THREAD * max(1, n_jobs)))
    return [range(low, min(low + step, n_items)) for low in range(0, n_items, step)]


_BATCHES_PER_THREAD = 24

"""Threads: how many, how work is handed out, and how it stops.

Kernels are compiled with ``nogil=True`` and run on threads that live for one call, or for one run where none of the
functions that share them is at work. numba's own parallel layers are not
used: GNU OpenMP ends a child that was forked after a parallel call, and the workqueue layer ends the process when two
threads call at once.

Python may raise KeyboardInterrupt after any instruction of the main thread, also within ``Thread.start``,
``Thread.join`` and ``Condition.__enter__``, whose locks then stay locked for ever. The calling thread uses none of
them: it starts all threads in one call of compiled code, and then compares two lists, of threads started and ended.
Workers do the rest, since nothing interrupts them. There are no locks, so that a fork at any moment is safe.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from _thread import get_ident, start_new_thread
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from itertools import count, repeat
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

import joblib
import numpy as np
from numpy.typing import NDArray

from fastsil.runtime.progress import ProgressCallback, ignore_progress

Task = TypeVar("Task")
Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

CALLING_THREAD = 0
"""Number of threads for work that is over sooner than a thread starts: the calling thread does it."""

# Seconds between two reports of progress; also the delay of Ctrl-C on Windows, where it ends no wait.
_INTERVAL = 0.1
# Waits within each other: each interrupt in the microsecond between two steps of a wait ends one of them.
_ATTEMPTS = 16


def resolve_n_jobs(n_jobs: int | None) -> int:
    """Return the number of threads to use.

    Parameters
    ----------
    n_jobs : int or None
        ``None``: that of an enclosing ``joblib.parallel_config(n_jobs=...)``, else all cores that
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
        return max(1, _count_cores() + 1 + int(n_jobs))
    return int(n_jobs)


def _default_threads() -> int:
    cores = _count_cores()
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(cores, int(limit))) if limit.isdigit() and int(limit) > 0 else cores


def _count_cores() -> int:
    try:
        return int(joblib.cpu_count())
    except (OSError, ValueError):  # it finds files below /sys, and cannot read them
        return os.cpu_count() or 1


def shares_threads(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Give a public function threads that serve all runs of one call, and make their number known to all that it calls.

    A call has a dozen runs; to start 64 threads takes as long as one of them.
    """

    @wraps(function)
    def call(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        if count_threads_of_call() != CALLING_THREAD:
            return function(*args, **kwargs)
        n_jobs: Any = kwargs.get("n_jobs")
        team = _Team(resolve_n_jobs(n_jobs))
        # In each other, as attempts of a run are: each interrupt may end one of the waits for the end of all threads.
        with team, team, team, team, team, team, team, team, team, team, team, team, team, team, team, team:
            _call.team = team
            return function(*args, **kwargs)

    return call


def count_threads_of_call() -> int:
    """Return the number of threads of the public function that runs, where it is one that shares them; else
    CALLING_THREAD.
    """
    team = _find_team()
    return CALLING_THREAD if team is None else team.n_jobs


class _Team:
    """Threads of a public function, which wait for the next run between two."""

    def __init__(self, n_jobs: int) -> None:
        self.n_jobs = n_jobs
        self.process = os.getpid()
        self._jobs: SimpleQueue[tuple[Callable[[int], None], int] | None] = SimpleQueue()
        self._over: SimpleQueue[None] = SimpleQueue()
        self._started: list[int] = []
        self._told: list[None] = []
        self._ended: list[None] = []

    def start(self, work: Callable[[int], None], n_threads: int) -> Iterable[None]:
        """Return an iterator that makes up to ``n_threads`` threads call ``work(number)``, one for each step."""
        missing = max(0, n_threads - len(self._started))
        with contextlib.suppress(RuntimeError):  # the system gives no more
            self._started.extend(map(start_new_thread, repeat(self._serve, missing), repeat(())))
        return map(self._jobs.put, zip(repeat(work), range(min(n_threads, len(self._started)))))

    def __enter__(self) -> None:
        """Do nothing: what an interrupt of this method left would have no end."""

    def __exit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        """End all threads; an interrupt comes out, unless another exception is on its way."""
        _call.team = None
        if self.process != os.getpid():
            return
        while len(self._started) > len(self._ended):
            try:
                self._told.extend(map(self._jobs.put, repeat(None, len(self._started) - len(self._told))))
                self._over.get(timeout=_INTERVAL)
            except Empty:
                continue
            except BaseException:
                if kind is None:
                    raise

    def _serve(self) -> None:
        """Do what is to be done, as a thread of its own, until the call ends."""
        try:
            while self._do_next():
                pass
        finally:
            self._ended.append(None)
            if len(self._ended) >= len(self._started):
                self._over.put(None)

    def _do_next(self) -> bool:
        # A function of its own, so that nothing of a run is held while the thread waits.
        job = self._jobs.get()
        if job is None:
            return False
        work, number = job
        work(number)
        return True


def _find_team() -> _Team | None:
    """Return the threads of the public function that runs; a fork has none of them."""
    team: _Team | None = getattr(_call, "team", None)
    return team if team is not None and team.process == os.getpid() else None


# Of each thread that calls a public function.
_call = threading.local()


def enough_for_threads(n_jobs: int, work: float, least: float) -> int:
    """Return ``n_jobs``, or :data:`CALLING_THREAD` where there is less work than pays for threads."""
    return n_jobs if work >= least else CALLING_THREAD


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

    Tasks are handed out in the order given, or in the order in which the last of the earlier tasks that they need is
    finished, each to the next free thread. Tasks that write to the same array must stand in each other's ``after``:
    then the result does not depend on the schedule. Callers in several threads get fewer threads each, so that all of
    them together have about one thread for each core.

    Parameters
    ----------
    function : callable
        Called as ``function(task, stop)``. ``stop`` is an array of one byte that turns from 0 to 1
        when the run is to end early; a kernel looks at it between tiles.
    tasks : sequence
        Tasks to run.
    costs : iterable of float
        Cost of each task in any common unit, for progress.
    n_jobs : int
        Number of threads. With :data:`CALLING_THREAD` the calling thread does all, deaf to Ctrl-C until a task ends;
        with 1 it joins another thread.
    tick : callable
        Called in the calling thread, a few times a second, with the share of the total cost finished since.
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
    pool = _ThreadPool(function, tasks, after)

    def report(indices: list[int]) -> None:
        tick(sum([costs[index] for index in indices]) / total)

    if n_jobs == CALLING_THREAD or not pool.run(min(n_jobs, len(tasks)), report):
        for index, task in enumerate(tasks):
            function(task, pool.stop)
            report([index])


class _ThreadPool:
    """Threads that share the tasks of one call."""

    def __init__(
        self,
        function: Callable[[Any, NDArray[np.uint8]], None],
        tasks: Sequence[Any],
        after: Sequence[Sequence[int]] | None,
    ) -> None:
        self.stop = np.zeros(1, dtype=np.uint8)
        self._function = function
        self._tasks = tasks
        self._n_threads = 0
        self._n_certain = 0
        self._started: list[int | None] = []
        self._working: list[int] = []
        self._ended: list[int] = []
        self._finished: deque[int] = deque()
        self._errors: list[BaseException] = []
        self._messages: SimpleQueue[None] = SimpleQueue()
        self._ready: SimpleQueue[int | None] = SimpleQueue()
        # Threads draw from counters, since two of them never get the same number.
        self._n_finished = count(1)
        self._earlier = [(len(earlier), count(1)) for earlier in after or ()]
        self._later: dict[int, list[int]] = {}
        for index, earlier in enumerate(after or ()):
            for one in earlier:
                self._later.setdefault(one, []).append(index)

    def run(self, n_threads: int, report: Callable[[list[int]], None], attempts: int = _ATTEMPTS) -> bool:
        """Run all tasks, or return False where the calling thread may as well do it.

        All threads have ended when it leaves: a wait that an interrupt cuts short goes on in the call further out.
        """
        try:
            if attempts:
                return self.run(n_threads, report, attempts - 1)
            return self._start(n_threads) and self._wait(report)
        finally:
            while len(self._started) > len(self._ended):
                self.stop[0] = 1
                try:
                    self._messages.get(timeout=_INTERVAL)
                except BaseException:
                    continue  # Empty, or another interrupt, while the first one is on its way

    def _start(self, n_threads: int) -> bool:
        n_free = n_threads
        if _at_work:
            n_free = max(1, min(n_threads, max(n_threads, _count_cores()) - len(_at_work)))
        # Only the main thread is interrupted, and has to be free for it.
        is_main = threading.current_thread() is threading.main_thread()
        if not n_threads or (n_free == 1 and not is_main):
            return False
        self._n_threads = n_threads
        self._n_certain = int(is_main)
        first = [index for index in range(len(self._tasks)) if not self._earlier or not self._earlier[index][0]]
        deque(map(self._ready.put, first), maxlen=0)
        team = _find_team()
        with contextlib.suppress(RuntimeError):  # the system gives no more, or the interpreter is about to end
            # No interrupt comes between the start of a thread and its entry in the list.
            if team is None:
                self._started.extend(map(start_new_thread, repeat(self._work, n_free), zip(range(n_free))))
            else:
                self._started.extend(team.start(self._work, n_free))
        return bool(self._started)

    def _wait(self, report: Callable[[list[int]], None]) -> bool:
        """Report tasks that are finished until all threads have ended; return False where none took a task."""
        while len(self._started) > len(self._ended):
            with contextlib.suppress(Empty):
                self._messages.get(timeout=_INTERVAL)
            if done := [self._finished.popleft() for _ in range(len(self._finished))]:
                report(done)
        if self._errors:
            raise self._errors.pop(0)
        return bool(self._working)

    def _work(self, number: int) -> None:
        """Run tasks, as a thread of its own, until none is left."""
        identifier = get_ident()
        try:
            _at_work.add(identifier)
            # Callers that start threads at the same moment start too many. Each adds itself before it counts, so that
            # those who stay are never more than allowed; where all leave, the calling thread does the work.
            n_at_work = len(_at_work)
            if number < self._n_certain or n_at_work <= self._n_threads or n_at_work <= _count_cores():
                self._working.append(number)
                # What a thread of Python's own has: a name, and the hooks of debuggers.
                threading.current_thread().name = f"fastsil-{number}"
                sys.settrace(threading.gettrace())
                sys.setprofile(threading.getprofile())
                self._take_tasks()
        except BaseException as error:
            self._errors.append(error)
            self.stop[0] = 1
        finally:
            _at_work.discard(identifier)
            threading._active.pop(identifier, None)  # type: ignore[attr-defined]
            self._ended.append(number)
            if len(self._ended) >= len(self._started):
                self._messages.put(None)

    def _take_tasks(self) -> None:
        try:
            while not self.stop[0] and (index := self._ready.get()) is not None:
                self._function(self._tasks[index], self.stop)
                for later in self._later.get(index, ()):
                    n_earlier, counter = self._earlier[later]
                    if next(counter) == n_earlier:
                        self._ready.put(later)
                self._finished.append(index)
                if next(self._n_finished) == len(self._tasks):
                    break
        finally:
            self._ready.put(None)  # for another thread, which waits for a task


_at_work: set[int] = set()
"""Identifiers of all threads of all pools."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_at_work.clear)


def run_over_rows(function: Callable[[slice], None], n_rows: int, *, n_jobs: int, step: int = 1 << 13) -> None:
    """Call ``function(rows)`` for slices of ``step`` rows each, on threads where there are several.

    Parameters
    ----------
    function : callable
        Writes to the places of its rows only.
    n_rows : int
        Number of rows.
    n_jobs : int
        Number of threads.
    step : int, default=8192
        For steps of NumPy that take some nanoseconds a row: 0.1 ms.
    """

    def run(rows: slice, stop: NDArray[np.uint8]) -> None:
        if not stop[0]:
            function(rows)

    tasks = [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]
    n_jobs = n_jobs if len(tasks) > _FEW_STEPS else CALLING_THREAD
    run_tasks(run, tasks, [1.0] * len(tasks), n_jobs=n_jobs)


# Steps that are over sooner than threads start.
_FEW_STEPS = 4


def in_batches(n_items: int, *, n_jobs: int) -> list[range]:
    """Cut small items into runs of equal length: enough for an even load on all threads, few enough for cheap
    scheduling.
    """
    step = max(1, n_items // (_BATCHES_PER_THREAD * max(1, n_jobs)))
    return [range(low, min(low + step, n_items)) for low in range(0, n_items, step)]


_BATCHES_PER_THREAD = 24

"""Threads: how many, how work is handed out, and how it stops.

Kernels are compiled with ``nogil=True`` and run on a thread pool that lives for one call. No state
outlives a call, so a forked child, a caller in another thread or a joblib worker meets nothing of
an earlier run. numba's own parallel layers are not used: GNU OpenMP ends a child that was forked
after a parallel call, and the workqueue layer ends the process when two threads call at once.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

import joblib
import numpy as np
from numpy.typing import NDArray

Task = TypeVar("Task")

# Numbers the runs, so that each knows its own threads.
_RUNS = itertools.count()

Tick = Callable[[float], None]
"""Told the share (0 to 1) of the whole work that has just been finished."""


def ignore_progress(share: float) -> None:
    """Report progress to nobody."""


def part_of(tick: Tick, share: float) -> Tick:
    """Progress of a part of the work that is this share of the whole."""
    return lambda done: tick(done * share)


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


def run_tasks(
    function: Callable[[Task, NDArray[np.uint8]], None],
    tasks: Sequence[Task],
    costs: Iterable[float],
    *,
    n_jobs: int,
    tick: Tick = ignore_progress,
    after: Sequence[Sequence[int]] | None = None,
) -> None:
    """Run ``function(task, stop)`` for every task on up to ``n_jobs`` threads.

    Tasks are handed out in the order given; whoever is free takes the next. Tasks that write to the same place
    must stand in each other's ``after``: then the result does not depend on who ran when.

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
        Number of threads.
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
    if len(tasks) <= 1 or n_jobs == 1:
        for task, cost in zip(tasks, costs, strict=True):
            function(task, stop)
            tick(cost / total)
        return
    futures: list[Future[None]] = []

    def run_when_free(index: int) -> None:
        # Earlier tasks have been handed out already, so that a wait here always ends.
        for earlier in after[index] if after is not None else ():
            futures[earlier].result()
        function(tasks[index], stop)

    prefix = f"fastsil-{next(_RUNS)}-"
    with ThreadPoolExecutor(min(n_jobs, len(tasks)), thread_name_prefix=prefix) as pool:
        try:
            for index in range(len(tasks)):
                futures.append(pool.submit(run_when_free, index))  # noqa: PERF401 - tasks look into it as it grows
            pending = dict(zip(futures, costs, strict=True))
            while pending:
                done, _ = wait(pending, timeout=0.1, return_when=FIRST_EXCEPTION)
                for future in done:
                    tick(pending.pop(future) / total)
                    future.result()
        except BaseException:
            stop[0] = 1
            pool.shutdown(wait=False, cancel_futures=True)
            # An interrupt that falls into the start of a thread leaves it running but unknown to the pool.
            for thread in threading.enumerate():
                if thread.name.startswith(prefix):
                    thread.join()
            raise


def in_batches(n_items: int, *, n_jobs: int) -> list[range]:
    """Equal runs of small items, so many that no thread is left waiting for long, so few that handing out is cheap."""
    step = max(1, n_items // (_BATCHES_PER_THREAD * n_jobs))
    return [range(low, min(low + step, n_items)) for low in range(0, n_items, step)]


_BATCHES_PER_THREAD = 24


@contextlib.contextmanager
def progress_bar(description: str, *, enabled: bool) -> Iterator[Tick]:
    """A tqdm bar from 0 to 100 % on standard error, as a :data:`Tick`; silent if not enabled.

    Raises
    ------
    ImportError
        If it is enabled and tqdm is not installed.
    """
    if not enabled:
        yield ignore_progress
        return
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError("progress=True needs tqdm; install it with: pip install 'fastsil[progress]'") from error
    lock = threading.Lock()
    with tqdm(total=100, desc=description, unit="%", file=sys.stderr, bar_format=_BAR_FORMAT) as bar:

        def tick(share: float) -> None:
            with lock:
                # Shares need not add up to 1 to the last bit, and tqdm warns about a bar beyond its end.
                bar.update(min(100 * share, 100 - bar.n))

        yield tick


_BAR_FORMAT = "{desc}: {percentage:3.0f}% |{bar}| {elapsed} elapsed, {remaining} left"

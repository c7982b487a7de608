"""Interrupts at every moment: no thread stays, no interrupt is lost, and the next call is right.

In the calling thread KeyboardInterrupt is raised before each instruction of a run in turn, also of the functions of
Python's library that it calls; then once more by a timer; then by a timer alone, as fast as the machine sends them.
"""

from __future__ import annotations

import contextlib
import gc
import random
import signal
import sys
import threading
import time
import traceback
from _thread import _count

import pytest

from fastsil.runtime import threads
from fastsil.runtime.threads import run_tasks, shares_threads

AFTER = [[], [0], [], [1, 2]]


def finish_at_once(task, stop):
    pass


def finish_when_stopped(task, stop):
    """Go on for a few milliseconds, unless the run is stopped."""
    end = time.monotonic() + 0.003
    while not stop[0] and time.monotonic() < end:
        time.sleep(0.0002)


class Interrupt:
    """Raise KeyboardInterrupt before one instruction of a run, and once more where the timer of the process ends."""

    def __init__(self, at_instruction, again_after=0.0):
        self._n_instructions = at_instruction
        self._again_after = again_after
        self.n_raised = 0

    def __enter__(self):
        if self._again_after:
            self._handler = signal.signal(signal.SIGALRM, self._raise_again)
        sys.settrace(self._trace)

    def __exit__(self, *raised):
        sys.settrace(None)
        if self._again_after:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._handler)

    def _trace(self, frame, event, arg):
        if event == "call" and not is_in_run(frame):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self._n_instructions -= 1
            if self._n_instructions == 0:
                self.n_raised += 1
                if self._again_after:
                    signal.setitimer(signal.ITIMER_REAL, self._again_after)
                raise KeyboardInterrupt
        return self._trace

    def _raise_again(self, signum, frame):
        if is_in_run(frame):
            self.n_raised += 1
            raise KeyboardInterrupt


def is_in_run(frame):
    while frame is not None and frame.f_code not in (run_once.__code__, run_twice.__code__):
        frame = frame.f_back
    return frame is not None


def run_once(function):
    run_tasks(function, range(4), [1.0] * 4, n_jobs=2, after=AFTER)


def run_twice(function):
    run_shared(function, n_jobs=2)


@shares_threads
def run_shared(function, n_jobs):
    run_once(function)
    run_once(function)


def run_interrupted(run, function, interrupt):
    """Run four tasks; nothing may be left, and an interrupt that was raised must come out."""
    before = threading.enumerate()
    n_before = _count()
    came = None
    try:
        with interrupt:
            run(function)
    except KeyboardInterrupt as error:
        came = error
    assert (came is not None) == (interrupt.n_raised > 0), traceback.format_exception(came)
    assert not threads._at_work
    assert threads.count_threads_of_call() == threads.CALLING_THREAD
    assert threading.enumerate() == before
    assert_threads_end(n_before)


def assert_threads_end(n_before):
    """A thread of C ends a moment after its last line of Python."""
    end = time.monotonic() + 60
    while _count() > n_before and time.monotonic() < end:
        time.sleep(0.0001)
    assert _count() == n_before


def check_next_run():
    done = []
    run_tasks(lambda task, stop: done.append(task), range(4), [1.0] * 4, n_jobs=2, after=AFTER)
    assert sorted(done) == [0, 1, 2, 3]
    assert done.index(3) > max(done.index(1), done.index(2))


def count_instructions(function, run=run_once):
    """Interrupt each instruction of a run in turn; return how many there are."""
    number = 0
    while True:
        number += 1
        interrupt = Interrupt(number)
        run_interrupted(run, function, interrupt)
        check_next_run()
        if not interrupt.n_raised:
            return number


@pytest.fixture(autouse=True)
def _restored_hooks():
    """Python swallows what is raised in a callback of its garbage collector, and pytest reports that."""
    hooks = sys.gettrace(), sys.unraisablehook
    sys.unraisablehook = lambda unraisable: None
    gc.disable()
    yield
    gc.enable()
    sys.settrace(hooks[0])
    sys.unraisablehook = hooks[1]


@pytest.mark.parametrize("function", [finish_at_once, finish_when_stopped])
def test_an_interrupt_before_any_instruction_leaves_nothing(function):
    assert count_instructions(function) > 300


def test_an_interrupt_before_any_instruction_of_a_call_leaves_nothing():
    assert count_instructions(finish_at_once, run_twice) > 800


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="timers of POSIX")
@pytest.mark.parametrize(("run", "seed", "n_runs"), [(run_once, 0, 2000), (run_once, 1, 2000), (run_twice, 0, 500)])
def test_a_second_interrupt_at_any_moment_leaves_nothing(run, seed, n_runs):
    most = count_instructions(finish_at_once, run)
    rng = random.Random(seed)
    n_twice = 0
    for _ in range(n_runs):
        interrupt = Interrupt(rng.randrange(1, most), again_after=rng.uniform(1e-6, 150e-6))
        run_interrupted(run, finish_when_stopped, interrupt)
        n_twice += interrupt.n_raised == 2
    check_next_run()
    assert n_twice > n_runs / 40


def run_in_storm(n_calls, seed, run=run_once):
    """Interrupt runs by a timer every 20 to 300 microseconds; return how many interrupts were raised."""
    rng = random.Random(seed)
    n_raised = 0
    on = True

    def interrupt(signum, frame):
        nonlocal n_raised
        if on:
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(20e-6, 300e-6))
        if is_in_run(frame):
            n_raised += 1
            raise KeyboardInterrupt

    before = threading.enumerate()
    n_before = _count()
    handler = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-3)
        for _ in range(n_calls):
            with contextlib.suppress(KeyboardInterrupt):
                run(finish_when_stopped)
            assert threading.enumerate() == before
            assert_threads_end(n_before)
            assert not threads._at_work
    finally:
        on = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    check_next_run()
    return n_raised


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="timers of POSIX")
@pytest.mark.parametrize("run", [run_once, run_twice])
def test_a_storm_of_interrupts_leaves_nothing(run):
    assert run_in_storm(300, 0, run) > 300


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="timers of POSIX")
@pytest.mark.parametrize("run", [run_once, run_twice])
@pytest.mark.parametrize("seed", range(1, 3))
def test_a_long_storm_of_interrupts_leaves_nothing(seed, run):
    assert run_in_storm(3000, seed, run) > 3000

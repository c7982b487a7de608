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

import pytest

from fastsil.runtime import threads
from fastsil.runtime.threads import run_tasks

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
    while frame is not None and frame.f_code is not run_tasks.__code__:
        frame = frame.f_back
    return frame is not None


def run_interrupted(function, interrupt):
    """Run four tasks; nothing may be left, and an interrupt that was raised must come out."""
    before = threading.enumerate()
    came = None
    try:
        with interrupt:
            run_tasks(function, range(4), [1.0] * 4, n_jobs=2, after=AFTER)
    except KeyboardInterrupt as error:
        came = error
    assert (came is not None) == (interrupt.n_raised > 0), traceback.format_exception(came)
    assert not threads._at_work
    assert threading.enumerate() == before


def check_next_run():
    done = []
    run_tasks(lambda task, stop: done.append(task), range(4), [1.0] * 4, n_jobs=2, after=AFTER)
    assert sorted(done) == [0, 1, 2, 3]
    assert done.index(3) > max(done.index(1), done.index(2))


def count_instructions(function):
    """Interrupt each instruction of a run in turn; return how many there are."""
    number = 0
    while True:
        number += 1
        interrupt = Interrupt(number)
        run_interrupted(function, interrupt)
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


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="timers of POSIX")
@pytest.mark.parametrize("seed", range(2))
def test_a_second_interrupt_at_any_moment_leaves_nothing(seed):
    most = count_instructions(finish_when_stopped)
    rng = random.Random(seed)
    n_twice = 0
    for _ in range(2000):
        interrupt = Interrupt(rng.randrange(1, most), again_after=rng.uniform(1e-6, 150e-6))
        run_interrupted(finish_when_stopped, interrupt)
        n_twice += interrupt.n_raised == 2
    check_next_run()
    assert n_twice > 50


def run_in_storm(n_calls, seed):
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
    handler = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1e-3)
        for _ in range(n_calls):
            with contextlib.suppress(KeyboardInterrupt):
                run_tasks(finish_when_stopped, range(4), [1.0] * 4, n_jobs=2, after=AFTER)
            assert threading.enumerate() == before
            assert not threads._at_work
    finally:
        on = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    check_next_run()
    return n_raised


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="timers of POSIX")
def test_a_storm_of_interrupts_leaves_nothing():
    assert run_in_storm(300, seed=0) > 300


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="timers of POSIX")
@pytest.mark.parametrize("seed", range(1, 3))
def test_a_long_storm_of_interrupts_leaves_nothing(seed):
    assert run_in_storm(3000, seed) > 3000

"""First imports: on demand, complete, by one thread at a time, and interrupted neither by Ctrl-C nor by a fork.

A child process has only the thread that forked. A lock that another thread of the parent held stays locked in the child
for ever. A fork therefore waits until these locks are free: it comes before or after a first import or a compilation,
never in the middle.

Ctrl-C is delayed too, because an interrupted import cannot be repaired in the same process. Modules of a half imported
package stay in ``sys.modules`` while the package is imported again without them; numba takes the registrations of its
types from lists that the second import finds empty; every later call then fails.
"""

from __future__ import annotations

# Threads of pools and logging take locks of their own before a fork. The hook registered last runs first, which must be
# that of this module: a thread that holds a lock of this module may need one of theirs.
import concurrent.futures.thread  # noqa: F401
import contextlib
import importlib
import logging  # noqa: F401
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

LOADING: Any = threading.RLock()
"""Held while modules of ours are imported on first use, with all that they import."""

_LOCKS: list[Any] = []
_HELD: list[Any] = []


def make_fork_safe_lock() -> Any:
    """Make a lock that is free in a forked child.

    A thread that holds one may only wait for locks that were made earlier.
    """
    _LOCKS.append(threading.RLock())
    return _LOCKS[-1]


def _hold_all() -> None:
    # Imports first: they may make more locks.
    for take in (lambda: [LOADING], lambda: reversed(_LOCKS), _compiler_locks):
        for lock in take():
            lock.acquire()
            _HELD.append(lock)


def _free_all() -> None:
    while _HELD:
        _HELD.pop().release()


def _compiler_locks() -> list[Any]:
    """Return the locks of numba's compiler; an empty list until numba is loaded."""
    lock = getattr(sys.modules.get("numba.core.compiler_lock"), "global_compiler_lock", None)
    return [] if lock is None else [lock]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_all, after_in_parent=_free_all, after_in_child=_free_all)


def import_on_first_use(module: str) -> Any:
    """Return a proxy of one of fastsil's modules that imports it on first use: compiled kernels take as long to import
    as all of scikit-learn's metrics.
    """
    with LOADING:
        if module in sys.modules:
            return sys.modules[module]
        with delay_interrupts():
            return importlib.import_module(module)


@contextlib.contextmanager
def delay_interrupts() -> Iterator[None]:
    """Let Ctrl-C take effect after the block."""
    handler = signal.getsignal(signal.SIGINT)
    # Handlers run in the main thread, and only it may set them.
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    came: list[Any] = []
    signal.signal(signal.SIGINT, lambda *received: came.append(received))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            handler(*came[0])

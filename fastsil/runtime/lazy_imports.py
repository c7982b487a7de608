"""Locks that a forked child finds free.

A child has only the thread that forked. A lock that another thread of the parent held stays locked in it for ever, so
a fork waits until nobody holds these: it comes before or after a first import, a compilation, the start of threads,
never in the middle.
"""

from __future__ import annotations

# Threads of pools and logging take locks of their own before a fork. The last to be registered is asked first, which
# must be this module: who holds a lock of these rooms may want one of theirs.
import concurrent.futures.thread  # noqa: F401
import logging  # noqa: F401
import os
import sys
import threading
from typing import Any

LOADING: Any = threading.RLock()
"""Held while modules of ours are imported on first use, with all that they import."""

_LOCKS: list[Any] = []
_HELD: list[Any] = []


def lock_across_forks() -> Any:
    """A lock that is free in a forked child. Whoever holds one may wait for one that was made before it."""
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
    """numba's, once numba is loaded."""
    lock = getattr(sys.modules.get("numba.core.compiler_lock"), "global_compiler_lock", None)
    return [] if lock is None else [lock]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_all, after_in_parent=_free_all, after_in_child=_free_all)

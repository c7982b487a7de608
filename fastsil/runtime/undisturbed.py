"""Blocks that neither Ctrl-C nor Python's collector of cycles may disturb: imports and compilations.

What Ctrl-C cuts short there cannot be made good in the same process. Modules of a half imported package stay while the
package is made anew without them; what numba knows of types is taken from its lists and never arrives; and every later
call fails. So an interrupt waits. And thousands of objects are made that stay: the collector would look through all of
them again and again and free next to nothing, for a quarter of a first call in a process.
"""

from __future__ import annotations

import contextlib
import gc
import signal
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Ctrl-C takes effect after the block, and no garbage is collected within it."""
    with _interrupts_wait(), _collector_rests():
        yield


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
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


@contextlib.contextmanager
def _collector_rests() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()

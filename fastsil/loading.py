"""Modules of ours that are imported on first use, whole, and by one thread at a time.

The import of a package that Ctrl-C cuts short cannot be made good in the same process: modules within it stay, the
package that they belong to is made anew without them, and every later call fails. So an interrupt waits for it.
"""

from __future__ import annotations

import contextlib
import importlib
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from fastsil.forks import LOADING


def loaded(module: str) -> Any:
    """A module of ours, imported on first use: compiled kernels take as long as all of scikit-learn's metrics."""
    with LOADING:
        if module in sys.modules:
            return sys.modules[module]
        with _interrupts_wait():
            return importlib.import_module(module)


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Ctrl-C takes effect after the block."""
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

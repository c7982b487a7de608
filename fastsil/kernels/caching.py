"""The cache of compiled kernels.

Compiled code is cached in the folder that numba finds. The cache is a convenience, but without a folder (no home, a
folder that cannot be written to), on a full disk, or with damaged files in it, numba raises; kernels are then compiled
without a cache.
"""

from __future__ import annotations

import contextlib
from typing import Any

from numba.core import caching, dispatcher, event

from fastsil.runtime.lazy_imports import delay_interrupts

_PACKAGE = __name__.rpartition(".")[0]


class _FallbackCache(caching.FunctionCache):
    """numba's cache of a function; where it cannot be used, the function is compiled without it."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            with delay_interrupts():
                return super().load_overload(sig, target_context)
        except Exception:
            # Damaged, or out of reach. Emptied if possible, or it would be met again when the new code is saved.
            with contextlib.suppress(Exception):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(Exception):
            super().save_overload(sig, data)


def _make_cache(py_func: Any) -> Any:
    """Return a fallback cache for kernels, numba's own for all other functions."""
    if not py_func.__module__.startswith(f"{_PACKAGE}."):
        return _numbas_cache(py_func)
    try:
        return _FallbackCache(py_func)
    except Exception:
        return caching.NullCache()


class _DelayInterrupts(event.Listener):
    """Kernels, and the functions that they call, are compiled before Ctrl-C takes effect."""

    def on_start(self, event: Any) -> None:
        function = getattr(event.data.get("dispatcher"), "py_func", None)
        if getattr(function, "__module__", "").startswith(f"{_PACKAGE}."):
            block = contextlib.ExitStack()
            block.enter_context(delay_interrupts())
            event.data[__name__] = block

    def on_end(self, event: Any) -> None:
        # The same record as at the start.
        block = event.data.pop(__name__, None)
        if block is not None:
            block.close()


event.register("numba:compile", _DelayInterrupts())

# numba has no setting for it: a decorated function takes its cache from this name of its module.
_numbas_cache = dispatcher.FunctionCache
dispatcher.FunctionCache = _make_cache

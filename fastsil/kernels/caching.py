"""The compiler of kernels, and the cache of what it has compiled.

Compiled code is cached in the folder that numba finds. The cache is a convenience, but without a folder (no home, a
folder that cannot be written to), on a full disk, or with damaged files in it, numba raises; kernels are then compiled
without a cache.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.resources
from collections.abc import Callable
from typing import Any

from numba import config, njit
from numba.core import caching, event

from fastsil.runtime.lazy_imports import delay_interrupts

_PACKAGE = __name__.rpartition(".")[0]


def jit(**options: Any) -> Callable[[Any], Any]:
    """Compile a function without the GIL, with NumPy's division by 0; its code is kept in the cache of kernels."""

    def decorate(function: Any) -> Any:
        compiled = njit(nogil=True, error_model="numpy", **options)(function)
        if not config.DISABLE_JIT:
            # As numba's cache=True sets it.
            compiled._cache = _make_cache(function)
        return compiled

    return decorate


def _make_cache(function: Any) -> Any:
    try:
        return _KernelCache(function)
    except Exception:
        return caching.NullCache()


class _KernelCache(caching.FunctionCache):
    """numba's cache of a function; where it cannot be used, the function is compiled without it.

    numba compiles anew when the file of the function changes. Here it is any file of kernels, since they call each
    other.
    """

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._cache_file = caching.IndexDataCacheFile(
            cache_path=self._cache_path, filename_base=self._impl.filename_base, source_stamp=_digest_of_kernels()
        )

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


@functools.cache
def _digest_of_kernels() -> str:
    digest = hashlib.sha256()
    for file in sorted(importlib.resources.files(_PACKAGE).iterdir(), key=lambda file: file.name):
        if file.name.endswith(".py"):
            digest.update(file.read_bytes())
    return digest.hexdigest()


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

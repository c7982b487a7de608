"""Arrays in temporary files, for copies of data that do not fit in memory."""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

# Bytes that are left free on the disk.
_SPARE_BYTES = 256 << 20
_MOUNTS = Path("/proc/self/mounts")


def write_array(
    write: Callable[[IO[bytes]], None], shape: tuple[int, ...], dtype: Any, *, near: Any, words: str
) -> NDArray[Any] | None:
    """Return an array that is mapped, read-only, from a temporary file; None if it fits on no disk.

    The file has no name, and is gone when nothing refers to the array.

    Parameters
    ----------
    write : callable
        ``write(file)`` fills the file.
    shape, dtype
        Of the array.
    near : ndarray, or another container
        Data that are copied: the folder of their file is tried first, then those for temporary files.
    words : str
        Line for the log, with places for the size in GiB and the folder.
    """
    n_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    file = find_mapped_file(near)
    beside = [Path(file).parent] if isinstance(file, (str, os.PathLike)) else []
    for folder in (*beside, Path(tempfile.gettempdir()), Path("/var/tmp")):
        try:
            if _is_memory(folder) or shutil.disk_usage(folder).free < n_bytes + _SPARE_BYTES:
                continue
            with tempfile.TemporaryFile(prefix=".fastsil-", dir=folder) as copy:
                logging.getLogger("fastsil").warning(words, n_bytes / 2**30, folder)
                write(copy)
                copy.flush()
                return np.memmap(copy, dtype=dtype, mode="r", shape=shape)
        except OSError:
            continue  # a folder or disk that takes no such file
    return None


def write_through(file: IO[bytes]) -> None:
    """Wait until the file is on the disk: control groups end a process whose unwritten pages exceed their limit."""
    file.flush()
    os.fsync(file.fileno())


def find_mapped_file(X: Any) -> Any:
    """Return the path of the file that an array is mapped from, True if it is unknown, None for other arrays."""
    while isinstance(X, np.ndarray):
        if isinstance(X, np.memmap) and X.filename is not None:
            return X.filename
        X = X.base
    if isinstance(X, memoryview):
        X = X.obj
    return True if isinstance(X, mmap.mmap) else None


def _is_memory(folder: Path) -> bool:
    """Return whether files of a folder are kept in memory, as those of /tmp are on some systems."""
    device = os.stat(folder).st_dev
    with contextlib.suppress(OSError):
        for line in _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines():
            _, point, kind, *_ = line.split(" ")
            if kind in ("tmpfs", "ramfs") and os.path.isdir(point) and os.stat(point).st_dev == device:
                return True
    return False

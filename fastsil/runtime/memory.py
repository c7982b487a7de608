"""Available memory, checked before much is taken.

Most systems promise memory that they do not have and end the process, without a message, when it is used: minutes into
a run. A request that does not fit is refused here first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# Requests below this are not checked.
_SMALL = 64 << 20

_CGROUPS = Path("/sys/fs/cgroup")
_GROUPS_OF_PROCESS = Path("/proc/self/cgroup")


def require(n_bytes: float, what: str, advice: str) -> None:
    """Raise a MemoryError if ``n_bytes`` are not available.

    Parameters
    ----------
    n_bytes : float
        Bytes that are about to be taken.
    what : str
        Purpose, as the subject of a sentence.
    advice : str
        Remedy for the user, as a sentence.

    Raises
    ------
    MemoryError
        With the bytes requested and the bytes available.

    Examples
    --------
    >>> require(2.0**60, "A copy of X", "Pass fewer rows.")
    Traceback (most recent call last):
    ...
    MemoryError: A copy of X needs 1,073,741,824.0 GiB (1,152,921,504,606,846,976 bytes) of memory, but ...
    """
    if n_bytes <= _SMALL:
        return
    available = available_bytes()
    if available is not None and n_bytes > available:
        raise MemoryError(
            f"{what} needs {n_bytes / 2**30:,.1f} GiB ({int(n_bytes):,} bytes) of memory, but only "
            f"{available / 2**30:,.1f} GiB are free. {advice}"
        )


def available_bytes() -> int | None:
    """Return the number of bytes that this process can still take without swapping; None where the system does not
    report it.

    It is the least of three figures: free memory of the machine, of the control groups around the process (containers,
    batch jobs), and under its limit of address space.
    """
    limits = [*_free_in_machine(), *_free_in_groups(), *_free_addresses()]
    return max(0, min(limits)) if limits else None


def _free_in_machine() -> Iterator[int]:
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) << 10
            return
    try:
        import psutil

        available = int(psutil.virtual_memory().available)
    except Exception:  # not installed, or refused what it reads
        available = None
    if available is not None:
        yield available
        return
    try:
        # Without psutil, all that other systems have.
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return


def _free_in_groups() -> Iterator[int]:
    for line in _lines(_GROUPS_OF_PROCESS):
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            names, folder = ("memory.max", "memory.current", "inactive_file "), _CGROUPS
        elif "memory" in controllers.split(","):
            names = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "
            folder = _CGROUPS / "memory"
        else:
            continue
        # In a container the path is that outside of it, and only its end, or nothing, is there.
        group = folder / path.strip("/")
        for place in (group, *group.parents):
            if place == folder.parent:
                break
            limit, used = _number(place / names[0]), _number(place / names[1])
            if limit is not None and used is not None:
                # The kernel drops cached files before it ends a process.
                kept = [int(one.split()[1]) for one in _lines(place / "memory.stat") if one.startswith(names[2])]
                yield limit - used + sum(kept[:1])


def _free_addresses() -> Iterator[int]:
    try:
        import resource
    except ImportError:  # there is none on Windows
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    taken = next(iter(_lines(Path("/proc/self/statm"))), "")
    if limit != resource.RLIM_INFINITY and taken:
        yield limit - int(taken.split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _number(path: Path) -> int | None:
    text = next(iter(_lines(path)), "")
    return int(text) if text.isdigit() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []

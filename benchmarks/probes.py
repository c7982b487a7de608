"""Measurements that need a process of their own. ``python -m benchmarks.probes NAME JSON`` prints one JSON line."""

import json
import sys
import time

# No import of NumPy or fastsil up here: imports are among the things that are timed.


def memory(n: int, d: int, k: int, dtype: str, limit: float) -> dict[str, int | float | None]:
    """Measure peaks of resident memory (bytes) in two equal calls, beyond the memory resident before; return them and
    the plan.

    A first call that takes longer than the limit (seconds) is interrupted, and counts alone with the peak until then;
    so does one of half as long, since there is no time for a second.
    """
    import gc

    from benchmarks.cases import overlapping_groups
    from fastsil import plan, silhouette_samples

    # The same ways through the code, small: compiled code and its compiler are not the data's memory.
    silhouette_samples(*overlapping_groups(max(2000, 3 * k), d, k, dtype), n_jobs=2)
    data = overlapping_groups(n, d, k, dtype)
    peaks: list[int] = []
    cut = False
    start = time.perf_counter()
    while len(peaks) < 2 and time.perf_counter() - start < limit / 2:
        gc.collect()
        _give_free_memory_back()
        with PeakMemory() as peak:
            cut = not _ends(silhouette_samples, data, limit)
        peaks.append(peak.extra)
    return {
        "extra": peaks[0],
        "again": peaks[1] if len(peaks) > 1 else None,
        "planned": plan(*data).memory,
        "cut": limit if cut else None,
    }


def sweep_memory(n: int, d: int, dtype: str, tol: float | None) -> dict[str, int]:
    """Measure the peak of resident memory (bytes) of a sweep over k = 2 to 16 and its page, beyond the memory resident
    before.
    """
    import gc
    import tempfile
    from pathlib import Path

    from benchmarks.cases import overlapping_groups
    from fastsil import KMeansSweep

    def run(n: int) -> int:
        X = overlapping_groups(n, d, 8, dtype).X
        gc.collect()
        _give_free_memory_back()
        with tempfile.TemporaryDirectory() as folder, PeakMemory() as peak:
            KMeansSweep(n_init=1, tol=tol, random_state=0).fit(X).report(Path(folder) / "page.html")
        return peak.extra

    # Compiled code and libraries are not the data's memory.
    run(2000)
    return {"extra": run(n)}


def _ends(function, arguments, limit: float) -> bool:  # type: ignore[no-untyped-def]
    """Return whether a call ended by itself, and was not interrupted after ``limit`` seconds."""
    import signal

    # Not Ctrl-C itself, which a shell has its background processes ignore.
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        function(*arguments)
    except KeyboardInterrupt:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return True


class PeakMemory:
    """Linux's own high-water mark, reset at the start; where that is not allowed, a thread that looks often."""

    def __enter__(self) -> "PeakMemory":
        import threading

        self._before = _status("VmRSS")
        self._done = threading.Event()
        self._seen = self._before
        self._watcher = None
        try:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
        except OSError:
            self._watcher = threading.Thread(target=self._watch)
            self._watcher.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.002):
            self._seen = max(self._seen, _status("VmRSS"))

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        if self._watcher is None:
            self._seen = _status("VmHWM")
        else:
            self._watcher.join()
        self.extra = self._seen - self._before


def _status(name: str) -> int:
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(name + ":"):
                return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {name}")


def _give_free_memory_back() -> None:
    """Return the allocator's free memory to the system, where it would hide as much of the call's own memory."""
    import contextlib
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def threads(n: int, d: int, k: int, largest: float, dtype: str) -> None:
    """Stand ready; for each line read (a number of threads), time one call and print its seconds."""
    from benchmarks.cases import overlapping_groups
    from fastsil import silhouette_samples

    data = overlapping_groups(n, d, k, dtype, largest=largest)
    silhouette_samples(*data, n_jobs=2)
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        silhouette_samples(*data, n_jobs=int(line))
        print(time.perf_counter() - start, flush=True)


def import_time(module: str, name: str | None = None) -> dict[str, float]:
    """Time the import of a module in a new process, or of a name from it: fastsil loads a module when a name is
    used.
    """
    import importlib

    start = time.perf_counter()
    loaded = importlib.import_module(module)
    if name is not None:
        getattr(loaded, name)
    return {"seconds": time.perf_counter() - start}


def first_call(n: int, d: int, k: int, dtype: str) -> dict[str, float]:
    """Time the first call in a process, and a second call of it."""
    from benchmarks.cases import overlapping_groups
    from fastsil import silhouette_samples

    data = overlapping_groups(n, d, k, dtype)
    start = time.perf_counter()
    silhouette_samples(*data)
    first = time.perf_counter() - start
    again = []
    for _ in range(5):
        start = time.perf_counter()
        silhouette_samples(*data)
        again.append(time.perf_counter() - start)
    return {"first": first, "again": sorted(again)[2]}


_PROBES = {probe.__name__: probe for probe in (memory, sweep_memory, threads, import_time, first_call)}

if __name__ == "__main__":
    answer = _PROBES[sys.argv[1]](**json.loads(sys.argv[2]))
    if answer is not None:
        print(json.dumps(answer))

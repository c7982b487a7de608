"""The samples of a sweep: in memory, or in blocks on a Dask cluster."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator
from typing import Any

from fastsil.cli import console
from fastsil.cli.readers import DataFile, can_be_blocks, read_data
from fastsil.cli.sweep import Asked, Settings, parse_k
from fastsil.report.words import format_bytes
from fastsil.runtime.memory import available_bytes
from fastsil.runtime.threads import resolve_n_jobs
from fastsil.sweep.memory import foresee_bytes
from fastsil.sweep.prepared_blocks import METRICS

# Seconds to wait for a scheduler.
_PATIENCE = "20s"

# A terminal sends Ctrl-C to all its processes; what is finished is still to be written, by these workers.
_IGNORE_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"


# While it writes the file of samples the command takes half as much again for each sample.
_WRITING = 1.5


@contextlib.contextmanager
def open_samples(asked: Asked, n_jobs: int | None, *, may_move: bool) -> Iterator[tuple[Asked, DataFile]]:
    """Read the samples of a sweep for the block: on the cluster of the settings, or else in memory, if they fit.

    Parameters
    ----------
    asked : Asked
        The sweep.
    n_jobs : int or None
        Threads, or processes of a cluster on this machine.
    may_move : bool
        Whether samples with which a sweep in memory would not fit are put on such a cluster; a remark says so.

    Yields
    ------
    Asked
        With the cluster that is taken.
    DataFile
        The samples.

    Raises
    ------
    ValueError, OSError, ImportError
        As :func:`open_cluster` and :func:`fastsil.cli.readers.read_data`.
    MemoryError
        If a sweep in memory would not fit, and there is no Dask.
    """
    if asked.settings.dask is None:
        found = read_data(asked.file, **asked.reading._asdict())
        if not (may_move and _is_too_large(found.X, asked)):
            yield asked, found
            return
        del found
        asked = asked._replace(settings=asked.settings._replace(dask="local"))
    with open_cluster(asked.settings, n_jobs):
        yield asked, read_data(asked.file, in_blocks=True, **asked.reading._asdict())


def _is_too_large(X: Any, asked: Asked) -> bool:
    """Return whether a sweep fits in blocks and not in memory, and say so.

    Raises
    ------
    MemoryError
        If it would fit in blocks, but there is no Dask.
    """
    settings, free = asked.settings, available_bytes()
    maps = settings.standardize or any(metric not in ("euclidean", "l2") for metric in settings.metric)
    wanted = foresee_bytes(X.shape, X.dtype, len(parse_k(settings.k)), maps=maps, a_sample=_WRITING)
    if free is None or wanted <= free:
        return False
    lack = f"A sweep in memory takes up to {format_bytes(wanted)}, and {format_bytes(free)} are free"
    if obstacle := _find_obstacle(asked):
        console.remark(f"{lack}. In blocks it would fit, but for {obstacle}.", style="yellow")
        return False
    if importlib.util.find_spec("distributed") is None:
        raise MemoryError(f"{lack}. With Dask it goes through the file in blocks: pip install 'fastsil[dask]'")
    console.remark(f"{lack}: it goes through the file in blocks, as with --dask local.", style="yellow")
    return True


def _find_obstacle(asked: Asked) -> str:
    """Return what a sweep in blocks does not take, as it is written on the command line; nothing, if it takes all."""
    settings = asked.settings
    obstacles = {
        f"the ending of {asked.file}": not can_be_blocks(asked.file),
        "--standardize (take --metric seuclidean)": settings.standardize,
        "--drop-missing": asked.reading.drop_missing,
        f"--clusterer {settings.clusterer}": settings.clusterer != "kmeans",
        **{f"--metric {metric}": metric not in METRICS for metric in settings.metric},
    }
    return next((name for name, is_one in obstacles.items() if is_one), "")


@contextlib.contextmanager
def open_cluster(settings: Settings, n_jobs: int | None) -> Iterator[None]:
    """Connect to the cluster of a sweep, if it has one, for the block; ``local``: a process for each core.

    Raises
    ------
    ValueError
        If the sweep has something that samples in blocks have not.
    OSError
        If there is no scheduler at the address.
    ImportError
        Without Dask.
    """
    if settings.dask is None:
        yield
        return
    if settings.standardize:
        raise ValueError("--standardize makes a copy of the data in memory; with --dask, take --metric seuclidean.")
    try:
        import distributed
    except ImportError as error:
        raise ImportError("--dask needs dask; install it with: pip install 'fastsil[dask]'") from error
    with contextlib.ExitStack() as opened:
        address = settings.dask
        if address == "local":
            cluster = distributed.LocalCluster(
                n_workers=resolve_n_jobs(n_jobs), threads_per_worker=1, dashboard_address=None, preload=_IGNORE_CTRL_C
            )
            address = opened.enter_context(cluster).scheduler_address
        try:
            opened.enter_context(distributed.Client(address, timeout=_PATIENCE))
        except (OSError, ValueError) as error:
            raise OSError(
                f"there is no Dask scheduler at {address} ({error}); start one (dask scheduler), or write --dask local."
            ) from error
        yield

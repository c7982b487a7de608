"""The Dask cluster of a command."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from fastsil.cli.sweep import Settings
from fastsil.runtime.threads import resolve_n_jobs

# Seconds to wait for a scheduler.
_PATIENCE = "20s"

# A terminal sends Ctrl-C to all its processes; what is finished is still to be written, by these workers.
_IGNORE_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"


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

"""A cluster of Dask on this machine, for tests."""

import contextlib

import pytest


@contextlib.contextmanager
def local_cluster():
    """Yield a client of two processes of one thread each, that starts a worker again when one is lost."""
    dask = pytest.importorskip("dask")
    distributed = pytest.importorskip("distributed", exc_type=ImportError)
    settings_of_test = {"distributed.worker.daemon": True, "distributed.comm.timeouts.connect": "3s"}
    with (
        dask.config.set(settings_of_test),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client

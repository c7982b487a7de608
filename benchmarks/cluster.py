"""Dask arrays on a cluster of processes: time, tasks, bytes between workers, and the peak memory of a worker.

    python -m benchmarks.cluster METRIC|estimate|sweep[-METRIC] N_SAMPLES N_FEATURES N_CLUSTERS BLOCK_ROWS [N_WORKERS]

Each block is made where it is scored, from a seed. A sweep tries k = 2, 4, 8 and so on, up to N_CLUSTERS. One JSON line
for each run.
"""

import json
import resource
import sys
import time

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster, wait

from fastsil import KMeansSweep, silhouette_estimate, silhouette_score


def make_block(block, n_features, n_clusters, block_info=None):
    """Make overlapping clusters with a power-law spectrum; the labels are the first column, cut off later."""
    place = block_info[0]["chunk-location"][0]
    rng = np.random.default_rng([place, 1])
    spectrum = np.arange(1, n_features + 1, dtype=np.float32) ** -0.5
    centers = np.random.default_rng(0).normal(size=(n_clusters, n_features)).astype(np.float32) * spectrum
    labels = rng.integers(n_clusters, size=len(block))
    X = rng.standard_normal(size=(len(block), n_features), dtype=np.float32) * spectrum + centers[labels]
    return np.column_stack([labels.astype(np.float32), X])


def score_of(X, labels, metric):
    if metric == "estimate":
        return silhouette_estimate(X, labels, tol=1e-3, random_state=0).score
    return silhouette_score(X, labels, metric=metric)


def sweep_over(X, metric, n_clusters):
    """Sweep over powers of two; return the number of iterations of k-means, all of them passes over X."""
    ks = [k for k in (2**power for power in range(1, 12)) if k <= n_clusters]
    sweep = KMeansSweep(ks, metric=metric.partition("-")[2] or "euclidean", random_state=0, n_jobs=1).fit(X)
    return {
        "best_k": sweep.best_k_,
        "iterations": sum(fitted.n_iter_ for fitted in sweep.estimators_.values()),
        "fits_seconds": round(float(sweep.sweep_results_["fit_seconds"].sum()), 1),
        "scores_seconds": round(float(sweep.sweep_results_["score_seconds"].sum()), 1),
    }


def warm_up(metric, n_features):
    """Load compiled code, in a worker of its own."""
    rng = np.random.default_rng(0)
    X = da.from_array(rng.normal(size=(3000, n_features)).astype(np.float32), chunks=(1000, -1))
    metric = "estimate" if metric == "sweep" else metric.removeprefix("sweep-")
    with dask.config.set(scheduler="synchronous"):
        score_of(X, rng.integers(5, size=3000), metric)


def peak_megabytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cpu_seconds():
    return time.process_time()


def moved_bytes(dask_worker):
    """Count the bytes that a worker fetched from others."""
    return sum(entry["total"] for entry in dask_worker.transfer_incoming_log)


def main(metric, n_samples, n_features, n_clusters, block_rows, n_workers=2):
    dask.config.set({"distributed.worker.memory.spill": False, "distributed.worker.memory.target": False})
    with (
        LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None, memory_limit=0) as cluster,
        Client(cluster) as client,
    ):
        empty = da.zeros((n_samples, 1), chunks=(block_rows, 1), dtype=np.float32)
        made = empty.map_blocks(
            make_block, n_features, n_clusters, chunks=(empty.chunks[0], n_features + 1), dtype=np.float32
        ).persist()
        X, labels = made[:, 1:].persist(), made[:, 0].astype(np.int32).persist()
        wait([X, labels])
        del made
        client.run(warm_up, metric, n_features)
        warm_up(metric, n_features)
        before = sum(client.run(moved_bytes).values())
        of_workers, of_caller = sum(client.run(cpu_seconds).values()), cpu_seconds()
        started = time.perf_counter()
        if metric.startswith("sweep"):
            found = sweep_over(X, metric, n_clusters)
        else:
            found = {"score": round(score_of(X, labels, metric), 6)}
        seconds = time.perf_counter() - started
        record = {
            "metric": metric,
            "n_samples": n_samples,
            "n_features": n_features,
            "n_clusters": n_clusters,
            "blocks": X.numblocks[0],
            "workers": n_workers,
            "seconds": round(seconds, 2),
            "cpu_seconds": round(sum(client.run(cpu_seconds).values()) - of_workers, 1),
            "caller_cpu_seconds": round(cpu_seconds() - of_caller, 1),
            **found,
            "moved_MB": round((sum(client.run(moved_bytes).values()) - before) / 1e6, 1),
            "data_MB": round(X.nbytes / 1e6, 1),
            "worker_peak_MB": round(max(client.run(peak_megabytes).values())),
            "caller_peak_MB": round(peak_megabytes()),
        }
        print(json.dumps(record))


if __name__ == "__main__":
    main(sys.argv[1], *(int(argument) for argument in sys.argv[2:]))

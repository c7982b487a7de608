"""A contender in a process of its own: ``python benchmarks/worker.py NAME METRIC X.npy LABELS.npy OUT.npy``.

It prints "ready", and for each line that it reads it scores once and prints a JSON line: seconds, and the peak of
resident memory beyond what was resident before (bytes). After the first call OUT.npy holds the silhouettes, or their
mean.

A peer's environment has the peer and NumPy, and perhaps no fastsil: each function imports what it calls.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

# In the folder of this file: the packages on the path may be those of another commit.
from probes import PeakMemory

# Samples of a call that only loads libraries, so that these do not count as a call's memory.
_WARM_UP = 300


def fastsil(X, labels, metric):
    from fastsil import silhouette_samples

    return silhouette_samples(X, labels, metric=metric)


def fastsil_one_thread(X, labels, metric):
    from fastsil import silhouette_samples

    return silhouette_samples(X, labels, metric=metric, n_jobs=1)


def sklearn(X, labels, metric):
    from sklearn.metrics import silhouette_samples

    return silhouette_samples(X, labels, metric=metric)


def sklearn_32(X, labels, metric):
    from sklearn import config_context
    from sklearn.metrics import silhouette_samples

    with config_context(working_memory=32):
        return silhouette_samples(X, labels, metric=metric)


def intelex(X, labels, metric):
    from sklearnex import patch_sklearn

    patch_sklearn(verbose=False)
    return sklearn(X, labels, metric)


def torchdr(X, labels, metric):
    import torch
    from torchdr import silhouette_samples

    return silhouette_samples(torch.from_numpy(X), torch.from_numpy(labels), metric=metric, warn=False).numpy()


def kmedoids(X, labels, metric):
    """Compute the distances, as part of the time, and the silhouettes, with all threads in both halves."""
    from kmedoids import silhouette

    squares = (X**2).sum(axis=1)
    distances = X @ X.T
    distances *= -2
    distances += squares
    distances += squares[:, None]
    np.sqrt(np.maximum(distances, 0, out=distances), out=distances)
    np.fill_diagonal(distances, 0)
    return silhouette(distances, labels, n_cpu=len(os.sched_getaffinity(0)))[0]


def scib_metrics(X, labels, metric):
    from scib_metrics.utils import silhouette_samples

    return np.asarray(silhouette_samples(X, labels, metric=metric))


def _batches(n_samples):
    """Draw one of four batches for every sample."""
    return np.random.default_rng(0).integers(4, size=n_samples)


def fastsil_batches(X, labels, metric):
    """Score how well batches are mixed within each cluster."""
    from fastsil import silhouette_by

    return silhouette_by(X, _batches(len(X)), labels, metric=metric).mixing_score


def scib_batches(X, labels, metric):
    from scib_metrics import silhouette_batch

    return silhouette_batch(X, labels, _batches(len(X)), metric=metric)


def fastsil_bras(X, labels, metric):
    from fastsil import silhouette_by

    return silhouette_by(X, _batches(len(X)), labels, metric=metric, other="mean").mixing_score


def scib_bras(X, labels, metric):
    from scib_metrics import bras

    return bras(X, labels, _batches(len(X)), metric=metric)


def sil_score(X, labels, metric):
    from sil_score import sil_samples

    return sil_samples(X, labels)


def sil_score_centers(X, labels, metric):
    from sil_score import sil_samples

    return sil_samples(X, labels, approximation=True)


def silhouette_scalable(X, labels, metric):
    from silhouette_scalable import compute_exact

    return np.array(compute_exact(X, labels, distance=metric)["local_silhouette"])


def silhouette_scalable_sampled(X, labels, metric):
    from silhouette_scalable import compute_local

    threads = len(os.sched_getaffinity(0))
    return np.array(compute_local(X, labels, distance=metric, threads=threads)["local_silhouette"])


def manhattan_silhouette(X, labels, metric):
    from manhattan_silhouette import silhouette_samples_manhattan

    answer = silhouette_samples_manhattan(X, labels)
    return np.asarray(answer[0] if isinstance(answer, tuple) else answer)


_KS = range(2, 17)


def sweep_kmeans(X, labels, metric):
    """Return the sum of squares for each k, as all k-means here do."""
    from fastsil.sweep.kmeans import KMeansPath

    path = KMeansPath(X, n_init=10, seed=0)
    return np.array([path.fit(k).inertia_ for k in _KS])


def faiss_kmeans(X, labels, metric):
    import faiss

    sums = []
    for k in _KS:
        fitted = faiss.Kmeans(X.shape[1], k, niter=25, max_points_per_centroid=len(X), seed=0)
        fitted.train(X)
        sums.append(fitted.index.search(X, 1)[0].sum(dtype=np.float64))
    return np.array(sums)


def sklearn_kmeans(X, labels, metric):
    from sklearn.cluster import KMeans

    return np.array([KMeans(k, random_state=0).fit(X).inertia_ for k in _KS])


def sklearn_minibatch(X, labels, metric):
    from sklearn.cluster import MiniBatchKMeans

    return np.array([MiniBatchKMeans(k, random_state=0).fit(X).inertia_ for k in _KS])


def pyspark(X, labels, metric):
    """Convert the data and start the Java machine before the clock runs: users have both."""
    from pyspark.ml.evaluation import ClusteringEvaluator

    distance = {"sqeuclidean": "squaredEuclidean", "cosine": "cosine"}[metric]
    frame = _frame_of(X, labels)
    evaluator = ClusteringEvaluator(distanceMeasure=distance, featuresCol="features", predictionCol="label")
    return evaluator.evaluate(frame)


_FRAMES: dict[tuple[int, ...], Any] = {}


def _frame_of(X, labels):
    if X.shape not in _FRAMES:
        from pyspark.ml.functions import array_to_vector
        from pyspark.sql import SparkSession

        cores = len(os.sched_getaffinity(0))
        session = SparkSession.builder.master(f"local[{cores}]").config("spark.driver.memory", "6g")
        session = session.config("spark.ui.enabled", "false").getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        import pandas as pd

        rows = pd.DataFrame({"values": list(X.astype(float)), "label": labels.astype(int)})
        frame = session.createDataFrame(rows)
        frame = frame.select(array_to_vector("values").alias("features"), "label").repartition(cores).cache()
        frame.count()
        _FRAMES[X.shape] = frame
    return _FRAMES[X.shape]


# What is not part of the time.
_PREPARE: dict[str, Callable[..., Any]] = {"pyspark": _frame_of}


def main(name: str, metric: str, data: str, labels: str, out: str) -> None:
    warnings.simplefilter("ignore")
    call = globals()[name]
    X, codes = np.load(data), np.load(labels)
    few = np.random.default_rng(0).permutation(len(X))[:_WARM_UP]
    call(np.ascontiguousarray(X[few]), np.unique(codes[few], return_inverse=True)[1], metric)
    _PREPARE.get(name, lambda *_: None)(X, codes)
    print("ready", flush=True)
    for turn, _ in enumerate(sys.stdin):
        with PeakMemory() as peak:
            start = time.perf_counter()
            answer = call(X, codes, metric)
            seconds = time.perf_counter() - start
        if turn == 0:
            np.save(out, answer)
        print(json.dumps({"seconds": seconds, "memory": peak.extra}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

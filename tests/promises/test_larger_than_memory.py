"""Files larger than memory: what a process holds of its own while it scores a mapped file, a parquet file, or batches.

Pages of a mapped file are the system's to take back, and are not counted: the anonymous memory of a process is.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

MEBI = 1 << 20
N_SAMPLES, N_FEATURES, N_CLUSTERS = 220_000, 256, 200
FILE_BYTES = 4 * N_SAMPLES * N_FEATURES  # 215 MiB

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells memory as Linux does")

# What follows is run in a process of its own. A first, small call loads and compiles.
PREPARE = """
import json, sys, threading, time, tracemalloc
import numpy as np
import fastsil

def anonymous_bytes():
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith("RssAnon"))

def peak_of(function):
    before, peak, over = anonymous_bytes(), 0, threading.Event()
    def watch():
        nonlocal peak
        while not over.is_set():
            peak = max(peak, anonymous_bytes())
            time.sleep(0.002)
    thread = threading.Thread(target=watch)
    thread.start()
    try:
        result = function()
    finally:
        over.set()
        thread.join()
    return {"result": result, "grown": max(peak, anonymous_bytes()) - before}

folder = sys.argv[1]
labels = np.load(folder + "/labels.npy")
"""


def run(folder, code):
    done = subprocess.run([sys.executable, "-c", PREPARE + code, str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Overlapping clusters in no order, written block by block."""
    folder = tmp_path_factory.mktemp("large")
    rng = np.random.default_rng(0)
    labels = rng.integers(N_CLUSTERS, size=N_SAMPLES)
    centers = 4 * rng.normal(size=(N_CLUSTERS, N_FEATURES)).astype(np.float32)
    X = np.lib.format.open_memmap(folder / "X.npy", mode="w+", dtype=np.float32, shape=(N_SAMPLES, N_FEATURES))
    for start in range(0, N_SAMPLES, 20_000):
        of_block = labels[start : start + 20_000]
        X[start : start + 20_000] = centers[of_block] + rng.standard_normal((len(of_block), N_FEATURES), np.float32)
    X.flush()
    np.save(folder / "labels.npy", labels)
    return folder


# Up to 100 bytes a sample and 64 MiB; the file is 215 MiB.
LIMIT = 100 * N_SAMPLES + 64 * MEBI


@pytest.mark.parametrize(
    "metric", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("cosine", "correlation")), "sqeuclidean"]
)
def test_a_mapped_file_is_not_held(folder, metric):
    found = run(
        folder,
        f"""
X = np.load(folder + "/X.npy", mmap_mode="r")
def score():
    return fastsil.silhouette_score(X, labels, metric={metric!r}, n_jobs=1)
fastsil.silhouette_score(np.array(X[:4000]), labels[:4000], metric={metric!r}, n_jobs=1)
print(json.dumps(peak_of(score)))
""",
    )
    assert found["grown"] < LIMIT < FILE_BYTES / 2
    assert 0 < found["result"] < 1


@pytest.mark.slow
def test_a_mapped_file_is_not_held_by_the_pairs_of_euclidean_distance(folder):
    """Rows of a cluster are gathered block by block."""
    found = run(
        folder,
        """
X = np.load(folder + "/X.npy", mmap_mode="r")
fastsil.silhouette_score(np.array(X[:4000]), labels[:4000], n_jobs=1)
def score():
    return fastsil.silhouette_score(X, labels, n_jobs=1)
found = peak_of(score)
# A peak may come and go between two looks: what the plan bounds is what NumPy counts.
tracemalloc.start()
before, _ = tracemalloc.get_traced_memory()
score()
_, peak = tracemalloc.get_traced_memory()
tracemalloc.stop()
print(json.dumps(found | {"held": peak - before, "planned": fastsil.plan(X, labels, n_jobs=1).memory}))
""",
    )
    assert max(found["grown"], found["held"]) < LIMIT < FILE_BYTES / 2
    assert found["held"] < found["planned"] < LIMIT + 32 * N_CLUSTERS * N_FEATURES
    assert 0 < found["result"] < 1


@pytest.mark.slow
def test_a_stream_holds_a_batch(folder):
    found = run(
        folder,
        """
X = np.load(folder + "/X.npy", mmap_mode="r")
def batches(rows):
    for start in range(0, rows, 20_000):
        yield X[start : start + 20_000], labels[start : start + 20_000]
def score(rows=len(X)):
    stream = fastsil.SilhouetteStream("cosine", n_jobs=1)
    for batch, of_batch in batches(rows):
        stream.partial_fit(batch, of_batch)
    return stream.score(batches(rows))
score(2000)
print(json.dumps(peak_of(score)))
""",
    )
    assert found["grown"] < 32 * MEBI


@pytest.mark.slow
def test_parquet_is_held_nowhere(folder):
    """Read a file twice the size that is held in memory through a temporary file, with its labels."""
    pytest.importorskip("pyarrow")
    found = run(
        folder,
        """
import pyarrow as pa, pyarrow.parquet as pq
from fastsil.cli.readers import read_data
from fastsil.cli.readers import arrow
X = np.load(folder + "/X.npy", mmap_mode="r")
schema = pa.schema([("embedding", pa.list_(pa.float32(), X.shape[1])), ("y", pa.int64())])
with pq.ParquetWriter(folder + "/x.parquet", schema, compression="none", use_dictionary=["y"]) as writer:
    for start in range(0, len(X), 20_000):
        values = pa.array(np.ravel(X[start : start + 20_000]))
        vectors = pa.FixedSizeListArray.from_arrays(values, X.shape[1])
        writer.write_table(pa.table({"embedding": vectors, "y": labels[start : start + 20_000]}, schema=schema))
arrow._HELD_BYTES = 100 << 20
pa.default_memory_pool().release_unused()
def score():
    found = read_data(folder + "/x.parquet", labels_column="y")
    assert isinstance(found.X, np.memmap) and np.array_equal(found.X[-1], X[-1])
    return fastsil.silhouette_score(found.X, found.labels, metric="cosine", n_jobs=1)
fastsil.silhouette_score(np.array(X[:4000]), labels[:4000], metric="cosine", n_jobs=1)
print(json.dumps(peak_of(score)))
""",
    )
    assert found["grown"] < LIMIT + 32 * MEBI

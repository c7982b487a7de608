"""Memory: what does not fit is refused at once and in words, and nothing is left behind by a call."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from fastsil import silhouette_samples, silhouette_samples_many, silhouette_score
from fastsil.engines.euclidean import many_labelings as shared
from fastsil.runtime import memory, temporary_arrays
from fastsil.runtime.progress import ignore_progress
from fastsil.validation.partition import partition_from_codes

MIB = 1 << 20


def test_what_is_free_is_less_than_what_there_is():
    free = memory.available_bytes()
    if sys.platform != "linux":
        assert free is None or free > 0
        return
    assert 0 < free <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_the_limits_of_control_groups_count(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "_GROUPS_OF_PROCESS", tmp_path / "mine")
    job = tmp_path / "batch" / "job"
    job.mkdir(parents=True)
    (tmp_path / "mine").write_text("0::/batch/job/step\n")
    (job / "memory.max").write_text("max\n")
    (job / "memory.current").write_text("1000\n")
    assert list(memory._free_in_groups()) == []
    (job.parent / "memory.max").write_text(f"{300 * MIB}\n")
    (job.parent / "memory.current").write_text(f"{250 * MIB}\n")
    (job.parent / "memory.stat").write_text(f"anon 5\ninactive_file {20 * MIB}\n")
    assert list(memory._free_in_groups()) == [70 * MIB]
    assert memory.available_bytes() <= 70 * MIB

    old = tmp_path / "memory" / "docker"
    old.mkdir(parents=True)
    (tmp_path / "mine").write_text("5:cpu:/x\n4:memory:/docker\n")
    (old / "memory.limit_in_bytes").write_text(f"{80 * MIB}\n")
    (old / "memory.usage_in_bytes").write_text(f"{75 * MIB}\n")
    assert list(memory._free_in_groups()) == [5 * MIB]


def test_a_limit_of_addresses_counts():
    resource = pytest.importorskip("resource")
    code = (
        "import resource; from fastsil.runtime.memory import available_bytes\n"
        f"resource.setrlimit(resource.RLIMIT_AS, ({800 * MIB}, {resource.RLIM_INFINITY})); print(available_bytes())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0 <= int(found.stdout) < 800 * MIB


def test_data_that_would_have_to_be_copied_are_refused_before_they_are_read():
    """Of 8 billion rows nobody could read one column in time; all of them are the same one."""
    X = np.broadcast_to(np.ones(64, dtype=np.float32), (2**33, 64))
    labels = np.broadcast_to(np.int8(0), (2**33,))
    started = time.perf_counter()
    with pytest.raises(MemoryError, match=r"copy of X.*2,048\.0 GiB \(2,199,023,255,552 bytes\).*free.*in place"):
        silhouette_samples(X, labels)
    assert time.perf_counter() - started < 2


def labeled(n_samples, n_features, n_clusters=3, dtype=np.float32, order="C"):
    return np.zeros((n_samples, n_features), dtype, order=order), np.arange(n_samples) % n_clusters


REFUSED = {
    "a copy in C order": lambda: silhouette_samples(*labeled(1000, 9000, dtype=np.float64, order="F")),
    "a copy in float64": lambda: silhouette_samples(*labeled(1000, 9000, dtype=np.int8)),
    "a linear map": lambda: silhouette_samples(
        *labeled(9000, 1000, dtype=np.float64), metric="seuclidean", V=np.ones(1000)
    ),
    "centers": lambda: silhouette_samples(*labeled(1001, 2000, 1000)),
    "means": lambda: silhouette_samples(*labeled(1001, 2000, 1000), metric="cosine"),
    "samples that are drawn": lambda: silhouette_score(*labeled(10_000, 2000), sample_size=9000, random_state=0),
    "many labelings": lambda: silhouette_samples_many(labeled(100_000, 1)[0], [labeled(100_000, 1)[1]] * 26),
    "sums of a shared pass": lambda: shared.compute_terms(
        labeled(3000, 1)[0],
        partition_from_codes(np.arange(2999), labeled(3000, 1, 2999)[1]),
        n_jobs=1,
        tick=ignore_progress,
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_before_the_wait(case, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 65 * MIB)
    monkeypatch.setattr(temporary_arrays, "_SPARE_BYTES", 1 << 62)  # nor does it fit on the disk
    started = time.perf_counter()
    with pytest.raises(
        MemoryError, match=r"needs [0-9.,]+ GiB \([0-9,]+ bytes\) of memory, but only 0\.1 GiB are free\. [A-Z]"
    ):
        REFUSED[case]()
    assert time.perf_counter() - started < 2


LEAK = """
import numpy as np
import fastsil
from fastsil.runtime.threads import run_tasks

rng = np.random.default_rng(0)
X, labels = rng.normal(size=(30, 3)), np.arange(30) % 3
metrics = ["euclidean", "cosine", "manhattan", "chebyshev"]

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

def call(times):
    for number in range(times):
        fastsil.silhouette_samples(X, labels, metric=metrics[number % 4])
        if number % 50 == 0:
            fastsil.silhouette_profile(X, labels)
            run_tasks(lambda task, stop: None, range(4), [1] * 4, n_jobs=2)

call(2000)
before = resident()
call(10_000)
print(resident() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ten_thousand_calls_leave_nothing():
    search = os.pathsep.join(entry for entry in sys.path if entry)
    command = [sys.executable, "-c", LEAK]
    result = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=600, env={**os.environ, "PYTHONPATH": search}
    )
    assert result.returncode == 0, result.stderr
    # 100 bytes a call would be a megabyte.
    assert int(result.stdout) < MIB

"""Other packages that compute silhouettes: equal data, cores and type, each contender in its own process.

Each contender takes turns with fastsil; the results are the paired ratios of their times, the peaks of their memory,
and the differences of their answers. fastsil's own answers are compared with plain sums.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from scipy.spatial.distance import cdist

from benchmarks import cases, environments, harness, peers


class Contender(NamedTuple):
    """A function of :mod:`benchmarks.worker`, the package whose environment it runs in ("" for this one), and the
    function of fastsil that it takes turns with.
    """

    name: str
    call: str
    package: str
    metric: str = "euclidean"
    is_exact: bool = True
    note: str = ""
    ours: str = "fastsil"


_SCIB_NOTE = "mean only; compiles for each size of a group"
CONTENDERS = (
    Contender("scikit-learn", "sklearn", ""),
    Contender("scikit-learn, working_memory=32", "sklearn_32", ""),
    Contender("scikit-learn-intelex", "intelex", "scikit-learn-intelex"),
    Contender("torchdr", "torchdr", "torchdr"),
    Contender("kmedoids", "kmedoids", "kmedoids", note="mean only; the distances by NumPy"),
    Contender("scib-metrics", "scib_metrics", "scib-metrics"),
    Contender("scib-metrics, batches", "scib_batches", "scib-metrics", note=_SCIB_NOTE, ours="fastsil_batches"),
    Contender("scib-metrics, BRAS", "scib_bras", "scib-metrics", "cosine", note=_SCIB_NOTE, ours="fastsil_bras"),
    Contender("sil-score", "sil_score", "sil-score"),
    Contender("sil-score, approximation", "sil_score_centers", "sil-score", is_exact=False),
    Contender("silhouette-scalable", "silhouette_scalable", "silhouette-scalable", note="one thread"),
    Contender("silhouette-scalable, sampled", "silhouette_scalable_sampled", "silhouette-scalable", is_exact=False),
    Contender("manhattan-silhouette", "manhattan_silhouette", "manhattan-silhouette", "manhattan"),
    Contender("pyspark", "pyspark", "pyspark", "sqeuclidean", note="mean only"),
)

_WORKER = Path(__file__).with_name("worker.py")
# The first call compiles and loads, and is not counted; but a contender that takes longer (s) has only that one.
_LONG = 15.0
_FASTSIL = Contender("fastsil", "fastsil", "")


class Worker:
    """A process that holds the data and runs in turn."""

    def __init__(self, contender: Contender, folder: Path, *, root: Path = harness.ROOT, **environment: str) -> None:
        self.contender = contender
        self.seconds: list[float] = []
        self.memory = 0
        self._out = folder / f"{contender.call}-{contender.metric}-{id(self)}.npy"
        self._log = folder / f"{contender.call}-{id(self)}.log"
        python = environments.python_of(contender.package) if contender.package else sys.executable
        data = [str(folder / "X.npy"), str(folder / "labels.npy"), str(self._out)]
        command = [str(python), str(_WORKER), contender.call, contender.metric, *data]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, "PYTHONPATH": str(root), **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()

    def end(self) -> None:
        """Let the process go."""
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def wait_until_ready(self) -> None:
        self._read("ready")

    def run(self) -> None:
        """Make one call."""
        print(file=self._process.stdin, flush=True)
        answer = json.loads(self._read("{"))
        self.seconds.append(answer["seconds"])
        self.memory = max(self.memory, answer["memory"])

    def forget(self) -> None:
        """Do not count the time of the calls so far. Their memory counts: some libraries keep it for the next call."""
        self.seconds.clear()

    def answer(self) -> np.ndarray:
        """Return the silhouettes of the first call, or their mean as an array without dimensions."""
        return np.load(self._out)

    def _read(self, wanted: str) -> str:
        # Libraries print what they like before it.
        for line in self._process.stdout:
            if line.startswith(wanted):
                return line
        last = (self._log.read_text(errors="replace").strip() or "it ended without a word").splitlines()[-1]
        # Results are public: nothing of where files lie.
        raise RuntimeError(re.sub(r"\(?/\S+", "", last)[:200].strip())


def packages_of(contenders: Iterable[Contender]) -> list[str]:
    """Return the packages that need an environment, each once."""
    return list(dict.fromkeys(contender.package for contender in contenders if contender.package))


def missing(contenders: Iterable[Contender] = CONTENDERS) -> list[str]:
    """Return the packages without an environment."""
    return [package for package in packages_of(contenders) if environments.python_of(package) is None]


def present(contenders: Iterable[Contender] = CONTENDERS) -> list[Contender]:
    """Return the contenders that can be started."""
    return [each for each in contenders if not each.package or environments.python_of(each.package)]


def hold(name: str, data: cases.Data, contenders: Sequence[Contender], *, rounds: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each contender that is installed; raise if fastsil is wrong.

    Each contender runs in turn with fastsil alone, so that a long one does not keep the others' memory.
    """
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        write_data(folder, data)
        for contender in contenders:
            ours = _FASTSIL._replace(call=contender.ours, metric=contender.metric)
            row = {"case": name, "dtype": str(data.X.dtype), **contender._asdict()}
            row["version"] = environments.version_of(contender.package or "scikit-learn")
            try:
                with Worker(ours, folder) as fastsil, Worker(contender, folder) as other:
                    take_turns(fastsil, other, rounds)
                    if contender.ours == _FASTSIL.call:
                        check(fastsil.answer(), data, contender.metric)
                    apart = _apart(fastsil.answer(), other.answer(), data.labels)
            except RuntimeError as failure:
                yield {**row, "failed": str(failure)}
                continue
            yield {
                **row,
                **harness.paired_ratio(other.seconds, fastsil.seconds),
                "rounds": len(other.seconds),
                "seconds": float(np.median(other.seconds)),
                "fastsil": float(np.median(fastsil.seconds)),
                "memory": other.memory,
                "fastsil_memory": fastsil.memory,
                **apart,
            }


def write_data(folder: Path, data: cases.Data) -> None:
    """Write the data for the workers."""
    np.save(folder / "X.npy", data.X)
    np.save(folder / "labels.npy", np.unique(data.labels, return_inverse=True)[1].astype(np.int64))


def take_turns(fastsil: Worker, other: Worker, rounds: int) -> None:
    """Run both in turn; a call that is long is made once, and not counted twice."""
    for worker in (fastsil, other):
        worker.wait_until_ready()
        worker.run()
    if other.seconds[0] > _LONG:
        fastsil.forget()
        fastsil.run()
        return
    for worker in (fastsil, other):
        worker.forget()
    for _ in range(rounds):
        for worker in (fastsil, other):
            time.sleep(harness.REST)
            worker.run()


def _apart(silhouettes: np.ndarray, answer: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Compute the largest differences to fastsil: of the mean, if that is the answer; else of samples, with company and
    without.
    """
    if answer.ndim == 0:
        error = abs(float(silhouettes.mean(dtype=np.float64)) - float(answer))
        return {"error": error, "of_mean": True, "error_alone": 0.0}
    _, codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    alone = sizes[codes] == 1
    differences = np.abs(silhouettes - answer)
    return {
        "error": float(differences[~alone].max()),
        "of_mean": False,
        "error_alone": float(differences[alone].max(initial=0.0)),
    }


def check(silhouettes: np.ndarray, data: cases.Data, metric: str) -> None:
    """Compare some silhouettes of fastsil with plain sums.

    Raises
    ------
    AssertionError
        If one is off by more than is promised.
    """
    rows = np.random.default_rng(1).permutation(len(data.X))[:16]
    codes = np.unique(data.labels, return_inverse=True)[1]
    sizes = np.bincount(codes)
    X = data.X.astype(np.float64)
    distances = cdist(X[rows], X, {"manhattan": "cityblock"}.get(metric, metric))
    sums = np.array([np.bincount(codes, weights=row) for row in distances])
    at, own = np.arange(len(rows)), codes[rows]
    a = sums[at, own] / np.maximum(sizes[own] - 1, 1)
    means = sums / sizes
    means[at, own] = np.inf
    b = means.min(axis=1)
    expected = np.where(sizes[own] == 1, 0, (b - a) / np.maximum(a, b))
    error = np.abs(silhouettes[rows] - expected).max()
    allowed = peers.FASTSIL.tolerance[str(data.X.dtype)]
    assert error <= allowed, f"fastsil is off by {error:.3g} in {metric}, more than {allowed:g}"


def contest_cases(full: bool) -> Iterator[tuple[str, cases.Data]]:
    """Yield names and data; the quick ones take two minutes with every environment, and seconds without."""
    if not full:
        X = cases.overlapping_groups(4_000, 64, 10, "float32").X
        yield "n=4k d=64 k=10", cases.Data(X, cases.cluster(X, 10))
        return
    for n, d, k in ((10_000, 128, 10), (20_000, 128, 100)):
        X = cases.overlapping_groups(n, d, k, "float32").X
        yield f"n={n // 1000}k d={d} k={k}", cases.Data(X, cases.cluster(X, k))
    words = next(case for case in cases.REAL if case.name == "word vectors n=20k d=300 k=100")
    if not words.missing():
        yield words.name, words.make(words.n, "float32")

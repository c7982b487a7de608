"""How things are measured: agreement first, contenders in turn, medians of paired ratios, one JSON line a result."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.cases import Data
from benchmarks.peers import FASTSIL, SKLEARN, Peer, reference

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"

_CHECKED_ROWS = 16
_WARM_UP_ROWS = 2000
# Calls of milliseconds are repeated for so long (s), or so often: where other work runs too, three of them say nothing.
_LEAST_SECONDS = 5.0
_MOST_ROUNDS = 60


class Entry(NamedTuple):
    """A contender and its data: all samples, or a subset whose time is scaled."""

    peer: Peer
    data: Data
    scale: float


class Timing(NamedTuple):
    seconds: dict[str, list[float]]  # by contender, scaled, a value a round


def subset(data: Data, n: int, seed: int = 0) -> Data:
    """Draw random samples, at most n."""
    if n >= len(data.X):
        return data
    rows = np.sort(np.random.default_rng(seed).permutation(len(data.X))[:n])
    return Data(np.ascontiguousarray(data.X[rows]), data.labels[rows])


def scaled_entry(peer: Peer, data: Data, most: int) -> Entry:
    """Make an entry of all samples, or of a random subset with its time scaled by the number of pairs."""
    part = subset(data, most)
    return Entry(peer, part, (len(data.X) / len(part.X)) ** 2)


def check_agreement(peer: Peer, data: Data, silhouettes: Any) -> float:
    """Return the largest error over some random rows; raise where it exceeds the contender's tolerance."""
    n = len(data.X)
    rows = np.random.default_rng(1).permutation(n)[:_CHECKED_ROWS]
    expected = reference(data.X, data.labels, rows, np.float64)
    error = float(np.abs(np.asarray(silhouettes)[rows] - expected).max())
    allowed = peer.tolerance[str(data.X.dtype)]
    if np.shape(silhouettes) != (n,) or not error <= allowed:
        raise AssertionError(f"{peer.name} is off by {error:.3g}, more than {allowed:g}: not timed.")
    return error


# Seconds before each call: the threads of a BLAS go on spinning for 0.1 s after a call, and nobody is to pay for those
# of another contender.
REST = 0.2


def time_in_turn(entries: Sequence[Entry], rounds: int, budget: float) -> Timing:
    """Run all contenders after one another, round after round, until the budget (s) is spent; at least one round.

    Short rounds are followed by more rounds than requested.
    """
    for entry in entries:
        small = subset(entry.data, _WARM_UP_ROWS)
        check_agreement(entry.peer, small, entry.peer.samples(*small))
        if entry.peer is FASTSIL:
            # Large data may take a strategy whose kernels are not compiled yet; `start` measures the cost of that.
            entry.peer.samples(*entry.data)
    seconds: dict[str, list[float]] = {entry.peer.name: [] for entry in entries}
    begin = time.perf_counter()
    for turn in range(max(rounds, _MOST_ROUNDS)):
        for entry in entries:
            time.sleep(REST)
            start = time.perf_counter()
            silhouettes = entry.peer.samples(*entry.data)
            seconds[entry.peer.name].append((time.perf_counter() - start) * entry.scale)
            if turn == 0:
                check_agreement(entry.peer, entry.data, silhouettes)
        spent = time.perf_counter() - begin
        enough = turn + 1 >= rounds and spent >= min(_LEAST_SECONDS, budget)
        if enough or spent + spent / (turn + 1) > budget:
            break
    return Timing(seconds)


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> dict[str, float]:
    """Compute median and extremes of the ratios within rounds."""
    ratios = np.array(numerators) / np.array(denominators)
    return {"ratio": float(np.median(ratios)), "low": float(ratios.min()), "high": float(ratios.max())}


def against_sklearn(seconds: dict[str, list[float]]) -> dict[str, Any]:
    """Compute median times by contender, and the paired ratios of the faster of scikit-learn's settings to fastsil."""
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    fastest = min((peer.name for peer in SKLEARN), key=medians.__getitem__)
    ratio = paired_ratio(seconds[fastest], seconds["fastsil"])
    return {"seconds": medians, "rounds": len(seconds["fastsil"]), **ratio}


def run_probe(name: str, arguments: dict[str, Any], **environment: str) -> dict[str, Any]:
    """Run a function of :mod:`benchmarks.probes` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.probes", name, json.dumps(arguments)]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def describe_machine() -> dict[str, Any]:
    """Describe CPU, cores that may be used, versions, and the BLAS kernels that run."""
    import joblib
    import numba
    import sklearn
    from threadpoolctl import threadpool_info

    import fastsil

    libraries = [
        f"{entry['internal_api']} {entry.get('version')} {entry.get('architecture', '')}".strip()
        for entry in threadpool_info()
        if entry["user_api"] == "blas"
    ]
    return {
        "cpu": _cpu_model(),
        "cores": int(joblib.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "numba": numba.__version__,
        "scikit-learn": sklearn.__version__,
        "fastsil": fastsil.__version__,
        "blas": ", ".join(sorted(set(libraries))),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown"


def commit() -> str:
    """Return the commit of the working tree, with a + where the library differs from it."""
    try:
        name = _git("rev-parse", "--short", "HEAD")
        return name + ("+" if _git("status", "--porcelain", "--", "fastsil") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


class Recorder:
    """Appends results of one subcommand to its file of JSON lines."""

    def __init__(self, subject: str, command: str) -> None:
        self.subject = subject
        self._common = {
            "subject": subject,
            "command": command,
            "commit": commit(),
            "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
            "machine": describe_machine(),
        }

    @property
    def machine(self) -> dict[str, Any]:
        return self._common["machine"]

    def add(self, key: str, **values: Any) -> None:
        """Keep a result. A later one with an equal key replaces it in the table."""
        RESULTS.mkdir(exist_ok=True)
        with (RESULTS / f"{self.subject}.jsonl").open("a") as file:
            file.write(json.dumps({**self._common, "key": key, **values}) + "\n")


def stored(subject: str) -> list[dict[str, Any]]:
    """Read the latest result of each key, as far as it is from the machine of the last one."""
    path = RESULTS / f"{subject}.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    latest = {line["key"]: line for line in lines if line["machine"] == lines[-1]["machine"]}
    return list(latest.values())

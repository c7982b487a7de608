"""Estimates: coverage of their intervals, errors compared with other methods, predictions of plans."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import cases, harness
from benchmarks.cases import Data

# The published way to sample, and its sample a cluster.
SAMPLING = "silhouette_scalable"
_SAMPLE = 64
_SEEDS = 5
# An error below this is rounding, and the estimate exact.
_EXACT = 1e-9
# How many times smaller our error is to be at no more time.
FLOOR = 10.0
# A plan is right to this factor.
_FACTOR = 2.0
# A whole sweep is to take this many times as long as its fits at most.
_SWEEP_FACTOR = 2.5


def _heavy_tails(n: int) -> Data:
    rng = np.random.default_rng(0)
    labels = rng.integers(6, size=n)
    return Data(rng.standard_t(2.5, (n, 8)) + 3 * rng.standard_normal((6, 8))[labels], labels)


def _skewed_sizes(n: int) -> Data:
    rng = np.random.default_rng(1)
    labels = np.minimum(rng.geometric(0.4, n), 9)
    return Data(rng.standard_normal((n, 12)) + 1.5 * rng.standard_normal((10, 12))[labels], labels)


def _covered(n: int) -> Iterator[tuple[str, Data, float]]:
    """Name, data and tolerance of each case: small, since all that is repeated are the draws."""
    yield "overlapping groups d=32 k=10", cases.embedding_like(32, 10)(n, "float64"), 5e-3
    yield "digits d=64 k=10", cases.digits(10)(1797, "float64"), 1e-2
    yield "plane d=2 k=10", cases.embedding_like(2, 10)(n, "float64"), 2e-2
    yield "heavy tails d=8 k=6", _heavy_tails(n), 3e-2
    yield "sizes 1:100 d=12", _skewed_sizes(n), 1e-2


def coverage(repetitions: int, n: int) -> Iterator[dict[str, Any]]:
    """Count how often the intervals of repeated draws hold the exact values."""
    for name, data, tol in _covered(n):
        for confidence in (0.8, 0.99):
            yield {"case": name, "n": len(data.X), **_repeat(data, tol, confidence, repetitions)}


class _Known:
    """Rows that are known already: only the draws are repeated."""

    pairs = 0

    def __init__(self, silhouettes: NDArray[np.float64]) -> None:
        self._silhouettes = silhouettes

    def exact(self, positions: NDArray[np.intp]) -> NDArray[np.float64]:
        return self._silhouettes[positions]


def _repeat(data: Data, tol: float, confidence: float, repetitions: int) -> dict[str, Any]:
    from fastsil.engines.intervals import open_rows
    from fastsil.scoring.estimate.rounds import Request, Rounds
    from fastsil.validation import check_labels

    partition = check_labels(data.labels, len(data.X))
    rows = open_rows(data.X, partition, "euclidean", {}, n_jobs=1)
    intervals, silhouettes = rows.intervals(), rows.exact(np.arange(len(data.X)))
    means = np.add.reduceat(silhouettes, partition.offsets[:-1]) / partition.sizes
    truths = np.array([silhouettes.mean(), means.mean(), (silhouettes < 0).mean(), *means])
    held, halves, computed, rounds = np.zeros(len(truths)), [], [], []
    for seed in range(repetitions):
        request = Request(tol, confidence, np.random.RandomState(seed), 1)
        sampler = Rounds(_Known(silhouettes), partition, request, intervals.copy())
        if not sampler.run():
            raise AssertionError("tol is so small that all samples would be computed: nothing is drawn")
        found = sampler.finish()
        lows = [found.interval[0], found.macro_interval[0], found.negative_interval[0], *found.clusters.low]
        highs = [found.interval[1], found.macro_interval[1], found.negative_interval[1], *found.clusters.high]
        # Sums in another order may differ in the last digits.
        held += (np.array(lows) <= truths + 1e-12) & (truths <= np.array(highs) + 1e-12)
        halves.append((highs[0] - lows[0]) / 2)
        computed.append(found.n_exact / found.n_samples)
        rounds.append(found.rounds)
    share = held / repetitions
    return {
        "confidence": confidence,
        "repetitions": repetitions,
        "score": share[0],
        "macro": share[1],
        "negative": share[2],
        "clusters": share[3:].min(),
        "half_width": float(np.mean(halves)),
        "tol": tol,
        "computed": float(np.mean(computed)),
        "rounds": float(np.mean(rounds)),
        "met": bool((share >= confidence).all()),
    }


def _compared(n: int) -> Iterator[tuple[str, Data]]:
    yield f"overlapping n={n} d=128 k=20", cases.embedding_like(128, 20)(n, "float64")
    # With fewer features the exact answer is soon computed, and it takes more samples to be worth an estimate.
    yield f"overlapping n={2 * n} d=32 k=10", cases.embedding_like(32, 10)(2 * n, "float64")
    yield f"sizes 1:100 n={2 * n} d=12", _skewed_sizes(2 * n)
    yield f"plane n={2 * n} d=2 k=20", cases.embedding_like(2, 20)(2 * n, "float64")


def comparison(n: int) -> Iterator[dict[str, Any]]:
    """Measure each method: the error of the mean silhouette and of single samples, and the time."""
    from fastsil import silhouette_samples

    for name, data in _compared(n):
        exact = silhouette_samples(*data).astype(np.float64)
        found = {}
        for way, call in _ways().items():
            call(harness.subset(data, 2000), 0)
            found[way] = _measure(call, data, exact)
        ours, ratio, met = found["fastsil"], None, None
        if find_spec(SAMPLING):
            other = _measure_sampling(data, exact, ours["seconds"])
            found[SAMPLING] = other
            ratio = other["error"] / max(ours["error"], _EXACT)
            met = bool(ratio >= FLOOR and ours["seconds"] <= other["seconds"])
        yield {"case": name, "ways": found, "ratio": ratio, "met": met}


_Call = Callable[[Data, int], Any]


def _ways() -> dict[str, _Call]:
    """Return every method as a function of data and a seed that returns a mean, or all silhouettes."""
    from sklearn.metrics import silhouette_score

    from fastsil import silhouette_estimate, silhouette_profile

    return {
        "fastsil": lambda some, seed: silhouette_estimate(*some, random_state=seed).score,
        "every sample guessed": lambda some, seed: silhouette_profile(*some, exact=False).silhouettes,
        "sample_size": lambda some, seed: silhouette_score(*some, sample_size=len(some.X) // 10, random_state=seed),
        "root mean square": lambda some, seed: root_mean_square(*some),
    }


def _measure_sampling(data: Data, exact: NDArray[np.float64], seconds: float) -> dict[str, float]:
    """Measure the published method, with a sample that grows until it takes as long as an estimate."""
    import silhouette_scalable

    codes = np.unique(data.labels, return_inverse=True)[1]
    size = _SAMPLE
    while True:

        def call(some: Data, seed: int, size: int = size) -> Any:
            return np.asarray(silhouette_scalable.compute_local(some.X, codes, t=size, seed=seed)["local_silhouette"])

        found = _measure(call, data, exact)
        if found["seconds"] >= seconds or size >= len(data.X):
            return {**found, "size": size}
        size *= 2


def root_mean_square(X: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Compute silhouettes from root mean square distances, the own cluster's over its other members."""
    codes = np.unique(labels, return_inverse=True)[1]
    sizes = np.bincount(codes).astype(np.float64)
    centers = np.stack([X[codes == code].mean(axis=0) for code in range(len(sizes))])
    spreads = np.array([((X[codes == code] - center) ** 2).sum(axis=1).mean() for code, center in enumerate(centers)])
    squares = (X**2).sum(axis=1)[:, None] + (centers**2).sum(axis=1) - 2 * X @ centers.T + spreads
    at = np.arange(len(X))
    a = np.sqrt(squares[at, codes] * sizes[codes] / np.maximum(sizes[codes] - 1, 1))
    squares[at, codes] = np.inf
    b = np.sqrt(squares.min(axis=1))
    return np.where(sizes[codes] == 1, 0.0, (b - a) / np.maximum(a, b))


def _measure(call: _Call, data: Data, exact: NDArray[np.float64]) -> dict[str, float]:
    """Measure the root mean square error of the mean over some seeds, the largest error of a sample, and the median
    time.
    """
    errors, seconds, largest = [], [], float("nan")
    for seed in range(_SEEDS):
        time.sleep(harness.REST)
        started = time.perf_counter()
        found = call(data, seed)
        seconds.append(time.perf_counter() - started)
        errors.append(float(np.mean(found, dtype=np.float64)) - exact.mean())
        if np.ndim(found):
            largest = float(np.abs(found - exact).max())
    return {
        "error": float(np.sqrt(np.mean(np.square(errors)))),
        "largest": largest,
        "seconds": float(np.median(seconds)),
    }


def _planned(full: bool) -> Iterator[tuple[str, str, Data]]:
    """Yield metric, name and data of the calls that are planned and then made."""
    shapes = [(100_000, 128, 100), (50_000, 128, 10), (60_000, 16, 2), (50_000, 512, 30)]
    shapes += [(300_000, 128, 100), (200_000, 2, 20), (100_000, 64, 300)] if full else []
    shapes += [(50_000, 64, 5_000), (100_000, 2, 10_000)] if full else []
    for n, d, k in shapes:
        yield "euclidean", f"n={n:,} d={d} k={k}", cases.embedding_like(d, k)(n, "float32")
    for metric, n, d in (("chebyshev", 30_000, 16), ("manhattan", 200_000, 32), ("russellrao", 6_000, 16)):
        data = cases.embedding_like(d, 10)(n, "float32")
        yield metric, f"n={n:,} d={d} k=10", Data(data.X > 0, data.labels) if metric == "russellrao" else data


def plans(full: bool) -> Iterator[dict[str, Any]]:
    """Yield prediction and measurement, for every shape."""
    from fastsil import plan, silhouette_profile

    for metric, name, data in _planned(full):
        silhouette_profile(*harness.subset(data, 20_000 if metric != "russellrao" else 1_000), metric=metric)
        started = time.perf_counter()
        found = plan(*data, metric=metric)
        probed = time.perf_counter()
        work = silhouette_profile(*data, metric=metric).work
        seconds = time.perf_counter() - probed
        ratio = found.seconds / seconds
        yield {
            "case": f"{metric} {name}",
            "probe": probed - started,
            "predicted": found.seconds,
            "measured": seconds,
            "ratio": ratio,
            "pairs": found.pairs / work.pairs if work.pairs else None,
            "estimate": found.estimate_seconds,
            "met": bool(1 / _FACTOR <= ratio <= _FACTOR),
        }


def million(n: int, d: int, k: int) -> Iterator[dict[str, Any]]:
    """Yield one estimate of many samples."""
    from fastsil import silhouette_estimate

    X, labels = cases.embedding_like(d, k)(n, "float32")
    silhouette_estimate(X[:30_000], labels[:30_000], random_state=0)
    found = silhouette_estimate(X, labels, random_state=0)
    yield {
        "case": f"n={n:,} d={d} k={k}",
        "seconds": found.seconds,
        "half_width": (found.interval[1] - found.interval[0]) / 2,
        "tol": found.tol,
        "n_exact": found.n_exact,
        "met": bool(found.seconds <= 10),
    }


def sweep(n: int, d: int) -> Iterator[dict[str, Any]]:
    """Yield the time of a sweep with estimates and its page, compared with that of its fits."""
    from fastsil import KMeansSweep

    def run(X: NDArray[Any]) -> tuple[float, float]:
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            found = KMeansSweep(tol=1e-3, random_state=0).fit(X)
            found.report(Path(folder) / "page.html")
        return time.perf_counter() - started, float(found.sweep_results_["fit_seconds"].sum())

    X = cases.overlapping_groups(n, d, 20, "float32").X
    run(X[:30_000])
    whole, fits = run(X)
    ratio = whole / fits
    case = f"n={n:,} d={d}, k = 2 to 16"
    yield {"case": case, "fits": fits, "whole": whole, "ratio": ratio, "met": ratio <= _SWEEP_FACTOR}

"""Other metrics than the Euclidean one, other inputs than arrays: against scikit-learn, and at a size beyond it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from benchmarks import cases, harness, peers
from benchmarks.cases import Data

# Samples on which silhouettes of both are compared, before anything is timed.
_COMPARED = 600
_ALLOWED = {"float32": 2e-5, "float64": 1e-9}


class Case(NamedTuple):
    """A metric on some data: the goal of its ratio, and the number of samples that scikit-learn is timed on."""

    name: str
    metric: str
    n: int
    make: Callable[[int, str], Data]
    dtype: str = "float64"
    floor: float | None = None
    peer_samples: int = 6_000
    params: dict[str, Any] = {}  # noqa: RUF012 - never changed

    def call(self, function: Callable[..., Any], data: Data) -> Any:
        return function(*data, metric=self.metric, **self.params)


def _groups(d: int, k: int) -> Callable[[int, str], Data]:
    return lambda n, dtype: cases.overlapping_groups(n, d, k, dtype)


def _counts(n: int, dtype: str) -> Data:
    X, labels = cases.overlapping_groups(n, 64, 10, dtype)
    return Data(np.abs(np.round(20 * X)), labels)


def _bits(n: int, dtype: str) -> Data:
    X, labels = cases.overlapping_groups(n, 64, 10, dtype)
    return Data(X > 0, labels)


def _distances(n: int, dtype: str) -> Data:
    X, labels = cases.overlapping_groups(n, 2, 10, dtype)
    D = np.empty((n, n), dtype)
    for i in range(n):
        np.abs(X - X[i]).max(axis=1, out=D[i])
    return Data(D, labels)


def text_like(words: int, *, n_features: int = 20_000, n_topics: int = 20) -> Callable[[int, str], Data]:
    """Make the recipe of rows of some words each, drawn with probabilities ~ 1 / rank, three of ten from the topic's
    own 300.
    """

    def make(n: int, dtype: str) -> Data:
        rng = np.random.default_rng(0)
        chances = 1 / (np.arange(n_features) + 10.0)
        labels = rng.integers(n_topics, size=n)
        rows = np.repeat(np.arange(n), words)
        drawn = np.searchsorted(np.cumsum(chances / chances.sum()), rng.random(len(rows))).clip(0, n_features - 1)
        topical = rng.random(len(rows)) < 0.3
        own = labels[rows] * 1000 + rng.integers(300, size=len(rows))
        X = sparse.csr_matrix(
            (np.ones(len(rows), dtype), (rows, np.where(topical, own % n_features, drawn))), (n, n_features)
        )
        X.data = np.log1p(X.data) + rng.random(len(X.data)).astype(dtype)
        return Data(X, labels)

    return make


def random_entries(density: float, *, n_features: int = 20_000) -> Callable[[int, str], Data]:
    def make(n: int, dtype: str) -> Data:
        X = sparse.random(n, n_features, density=density, format="csr", dtype=dtype, random_state=0)
        return Data(X, np.random.default_rng(1).integers(10, size=n))

    return make


_WEIGHTS = np.linspace(0.5, 2.0, 64)
_FEATURES = (
    ("chebyshev", "chebyshev", _groups(64, 10), {}, 6_000),
    ("hamming, counts", "hamming", _counts, {}, 6_000),
    ("hamming, bool", "hamming", _bits, {}, 6_000),
    ("hamming, counts, w", "hamming", _counts, {"w": _WEIGHTS}, 6_000),
    ("canberra", "canberra", _groups(64, 10), {}, 6_000),
    ("canberra, w", "canberra", _groups(64, 10), {"w": _WEIGHTS}, 6_000),
    ("braycurtis, counts", "braycurtis", _counts, {}, 6_000),
    ("braycurtis, signed", "braycurtis", _groups(64, 10), {}, 6_000),
    ("minkowski, p = 3", "minkowski", _groups(64, 10), {"p": 3}, 2_000),
    ("minkowski, p = 1.5", "minkowski", _groups(64, 10), {"p": 1.5}, 2_000),
    ("minkowski, p = 2.7", "minkowski", _groups(64, 10), {"p": 2.7}, 2_000),
    ("minkowski, p = 2, w", "minkowski", _groups(64, 10), {"p": 2, "w": _WEIGHTS}, 3_000),
)
CASES = (
    Case("cosine n=50k d=256 k=50", "cosine", 50_000, _groups(256, 50), "float32", 500, 10_000),
    Case("sqeuclidean n=50k d=256 k=50", "sqeuclidean", 50_000, _groups(256, 50), "float32", 500, 6_000),
    Case("correlation n=50k d=256 k=50", "correlation", 50_000, _groups(256, 50), "float32", None, 4_000),
    Case("manhattan n=20k d=64 k=10", "manhattan", 20_000, _groups(64, 10), "float64", 100, 6_000),
    *(
        Case(
            f"{name} n=6k d=64 k=10",
            metric,
            6_000,
            make,
            floor=10,
            peer_samples=most,
            params=params,
        )
        for name, metric, make, params, most in _FEATURES
    ),
    Case("precomputed n=12k k=10", "precomputed", 12_000, _distances, "float64", None, 12_000),
    Case("precomputed n=12k k=10", "precomputed", 12_000, _distances, "float32", None, 12_000),
    Case("CSR euclidean n=20k d=20k, text-like", "euclidean", 20_000, text_like(80), "float64", None, 8_000),
    Case("CSR euclidean n=20k d=20k, 1 %", "euclidean", 20_000, random_entries(0.01), "float64", None, 8_000),
    Case("CSR euclidean n=20k d=20k, 0.3 %", "euclidean", 20_000, random_entries(0.003), "float64", None, 8_000),
)


def subset(case: Case, data: Data, n: int) -> Data:
    """Draw random samples, at most n; of distances, those between them."""
    if n >= data.X.shape[0]:
        return data
    rows = np.sort(np.random.default_rng(0).permutation(data.X.shape[0])[:n])
    return Data(data.X[np.ix_(rows, rows)] if case.metric == "precomputed" else data.X[rows], data.labels[rows])


def time_case(case: Case, n: int, *, rounds: int, budget: float) -> dict[str, Any]:
    """Time rounds in which all contenders run in turn; return paired ratios; scikit-learn's times are scaled."""
    from fastsil import silhouette_profile, silhouette_samples

    data = case.make(n, case.dtype)
    check_agreement(case, subset(case, data, _COMPARED))
    part = subset(case, data, case.peer_samples)
    scale = (n / part.X.shape[0]) ** 2
    seconds: dict[str, list[float]] = {peer.name: [] for peer in peers.PEERS}
    # All samples may take another strategy than the few above: its code is loaded, or compiled, before it is timed.
    case.call(silhouette_samples, data)
    begin = time.perf_counter()
    for _ in range(rounds):
        seconds["fastsil"].append(_seconds(lambda: case.call(silhouette_samples, data)))
        for peer in peers.SKLEARN:
            seconds[peer.name].append(scale * _seconds(lambda peer=peer: _call_peer(case, peer, part)))
        if time.perf_counter() - begin > budget:
            break
    work = case.call(silhouette_profile, data).work
    return {
        "case": case.name if n == case.n else f"{case.name}, cut to {n}",
        "dtype": case.dtype,
        "n": n,
        "peer_rows": part.X.shape[0],
        **harness.against_sklearn(seconds),
        "floor": case.floor if n == case.n else None,
        "strategy": work.strategy,
    }


def check_agreement(case: Case, data: Data) -> None:
    """Raise if the contenders' answers differ."""
    from fastsil import silhouette_samples

    expected = _call_peer(case, peers.SKLEARN[0], data)
    error = np.abs(case.call(silhouette_samples, data) - expected).max()
    if not error <= _ALLOWED[case.dtype]:
        raise AssertionError(f"{case.name}: off by {error:.3g}: not timed.")


def _call_peer(case: Case, peer: peers.Peer, data: Data) -> Any:
    return peer.samples(*data, metric=case.metric, **case.params)


def _seconds(call: Callable[[], Any]) -> float:
    time.sleep(harness.REST)
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def time_large(n: int, *, rounds: int) -> Iterator[dict[str, Any]]:
    """Time cosine silhouettes of d = 256, k = 100, float32, from memory and from a mapped file."""
    from fastsil import silhouette_samples

    data = cases.overlapping_groups(n, 256, 100, "float32")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "X.npy"
        np.save(path, data.X)
        for name, X in (("in memory", data.X), ("from a mapped file", np.load(path, mmap_mode="r"))):
            taken = [_seconds(lambda X=X: silhouette_samples(X, data.labels, metric="cosine")) for _ in range(rounds)]
            yield {
                "case": f"cosine n={n:,} d=256 k=100, {name}",
                "dtype": "float32",
                "seconds": float(np.median(taken)),
            }

"""Silhouettes of a whole sweep, k = 2 to 16, in one call, against scikit-learn called for each k on equal labels."""

from __future__ import annotations

import time
from typing import Any

from benchmarks import cases, harness, peers

N_CLUSTERS = range(2, 17)
# Labelings that scikit-learn is timed on; its time hardly depends on k.
_TIMED = (0, 7, 14)
# Goals of the ratios, by features and dtype, at n = 20,000.
FLOORS = {(128, "float32"): 60.0, (512, "float32"): 80.0}


def time_sweep(n: int, d: int, dtype: str, *, peer_samples: int, rounds: int) -> dict[str, Any]:
    """Time rounds in which all contenders run in turn; return paired ratios."""
    from fastsil import silhouette_samples_many

    X = cases.overlapping_groups(n, d, 10, dtype).X
    labelings = [cases.cluster(X, k) for k in N_CLUSTERS]
    subsets = [harness.subset(cases.Data(X, labelings[index]), peer_samples) for index in _TIMED]
    scale = len(labelings) / len(_TIMED) * (n / len(subsets[0].X)) ** 2
    _check(X, labelings, silhouette_samples_many(X, labelings))
    seconds: dict[str, list[float]] = {peer.name: [] for peer in peers.PEERS}
    for _ in range(rounds):
        _time(seconds["fastsil"], lambda: silhouette_samples_many(X, labelings))
        for peer in peers.SKLEARN:
            _time(seconds[peer.name], lambda peer=peer: [peer.samples(*data) for data in subsets], scale)
    return {
        "case": f"n={n:,} d={d} k=2..16",
        "dtype": dtype,
        "n": n,
        "peer_rows": len(subsets[0].X),
        **harness.against_sklearn(seconds),
        "floor": FLOORS.get((d, dtype)) if n == 20_000 else None,
    }


def _check(X: Any, labelings: list[Any], silhouettes: Any) -> None:
    """Raise if a labeling's silhouettes are off."""
    for labels, row in zip(labelings, silhouettes, strict=True):
        harness.check_agreement(peers.FASTSIL, cases.Data(X, labels), row)


def _time(seconds: list[float], call: Any, scale: float = 1.0) -> None:
    time.sleep(harness.REST)
    start = time.perf_counter()
    call()
    seconds.append((time.perf_counter() - start) * scale)

"""The fits of a sweep against other k-means, each in its own process, in turn."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import cases, environments, harness
from benchmarks.contest import Contender, Worker, present, take_turns, write_data

CONTENDERS = (
    Contender("faiss-cpu, 25 iterations on all rows", "faiss_kmeans", "faiss-cpu"),
    Contender("KMeans(n_init=1)", "sklearn_kmeans", ""),
    Contender("MiniBatchKMeans()", "sklearn_minibatch", ""),
)
_OURS = Contender("fastsil", "sweep_kmeans", "")


def _cases(full: bool) -> Iterator[tuple[str, Callable[[], cases.Data]]]:
    for n, d in ((400_000, 50), (1_000_000, 128)) if full else ((20_000, 32),):
        yield f"n={n:,} d={d}", partial(cases.overlapping_groups, n, d, 30, "float32")
    words = cases.word_vectors(lambda X: np.zeros(len(X), int))
    if full and not cases.REAL[-1].missing():
        yield "word vectors n=200,000 d=300", partial(words, 200_000, "float32")


def measure(full: bool, rounds: int, chosen: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the times and sums of squares of each contender, beside those of a sweep's fits on the same data."""
    for name, make in _cases(full):
        contenders = [
            each for each in present(CONTENDERS) if not chosen or any(part in f"{name} {each.name}" for part in chosen)
        ]
        if not contenders:
            continue
        data = make()
        with tempfile.TemporaryDirectory() as folder_name:
            folder = Path(folder_name)
            write_data(folder, data)
            for contender in contenders:
                yield {"case": name, **_hold(contender, folder, rounds)}


def _hold(contender: Contender, folder: Path, rounds: int) -> dict[str, Any]:
    with Worker(_OURS, folder) as ours, Worker(contender, folder) as other:
        take_turns(ours, other, rounds)
        answers = ours.answer(), other.answer()
    ratio = harness.paired_ratio(other.seconds, ours.seconds)
    excess = answers[1] / answers[0] - 1
    return {
        "name": contender.name,
        "version": environments.version_of(contender.package or "scikit-learn"),
        **ratio,
        "rounds": len(other.seconds),
        "seconds": float(np.median(other.seconds)),
        "fastsil": float(np.median(ours.seconds)),
        "excess": float(excess.mean()),
        "largest_excess": float(excess.max()),
        "least_excess": float(excess.min()),
        "met": bool(ratio["ratio"] >= 1 and excess.mean() >= 0),
    }

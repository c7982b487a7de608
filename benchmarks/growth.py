"""How time grows with the numbers of samples, features and clusters, and falls with threads."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import cases, contest, harness

# More samples than this take the others too long.
_PEER_SAMPLES = 20_000
_RIVALS = tuple(
    contender for contender in contest.CONTENDERS if contender.name in ("scikit-learn, working_memory=32", "torchdr")
)
_FASTSIL = contest.Contender("fastsil", "fastsil", "")
_ONE_THREAD = contest.Contender("fastsil, one thread", "fastsil_one_thread", "")


class Shape(NamedTuple):
    n: int
    d: int
    k: int


def shapes(full: bool) -> dict[str, list[Shape]]:
    """Return shapes by the quantity that grows; the others stay."""
    if not full:
        return {
            "n": [Shape(n, 64, 20) for n in (1_000, 2_000, 4_000)],
            "d": [Shape(2_000, d, 20) for d in (8, 64, 512)],
            "k": [Shape(4_000, 64, k) for k in (2, 20, 100)],
        }
    return {
        "n": [Shape(n, 128, 50) for n in (2_500, 5_000, 10_000, 20_000, 40_000, 80_000, 160_000)],
        "d": [Shape(10_000, d, 20) for d in (2, 8, 32, 128, 512, 2048)],
        "k": [Shape(20_000, 128, k) for k in (2, 5, 10, 30, 100, 300)],
    }


def measure(full: bool, rounds: int, growing: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a row for each shape in which one of these grows: seconds of each contender."""
    contenders = [_FASTSIL, _ONE_THREAD, *contest.present(_RIVALS)]
    families = {grows: family for grows, family in shapes(full).items() if grows in growing}
    for grows, family in families.items():
        for shape in family:
            data = cases.overlapping_groups(*shape, "float32")
            # Others feel k hardly at all; they are timed at every n and d.
            wanted = [each for each in contenders if each.call.startswith("fastsil") or shape.n <= _PEER_SAMPLES]
            yield {"grows": grows, **shape._asdict(), "seconds": time_each(data, wanted, rounds)}


def time_each(data: cases.Data, contenders: Sequence[contest.Contender], rounds: int) -> dict[str, list[float]]:
    """Time each contender, in turn, round after round."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        contest.write_data(folder, data)
        workers = [contest.Worker(contender, folder) for contender in contenders]
        try:
            for worker in workers:
                worker.wait_until_ready()
                worker.run()
                worker.forget()
            for _ in range(rounds):
                for worker in workers:
                    time.sleep(harness.REST)
                    worker.run()
            contest.check(workers[0].answer(), data, "euclidean")
        finally:
            for worker in workers:
                worker.end()
        return {worker.contender.name: worker.seconds for worker in workers}


def exponent(rows: Sequence[dict[str, Any]], contender: str) -> float:
    """Compute the slope of the logarithm of the time over that of the growing quantity, from the upper half of the
    shapes.
    """
    grows = rows[0]["grows"]
    known = [row for row in rows if contender in row["seconds"]]
    upper = known[len(known) // 2 - 1 :] if len(known) > 2 else known
    sizes = np.log([row[grows] for row in upper])
    times = np.log([np.median(row["seconds"][contender]) for row in upper])
    return float(np.polyfit(sizes, times, 1)[0])

"""Does the comparison with null sets keep its level on data without clusters, and find clusters that are there?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Draw = Callable[[np.random.Generator], NDArray[np.float64]]

# What the p-values of the whole test, and of its three measures alone, are called in a result.
MEASURES = ("p_value", "p_silhouette", "p_inertia", "p_mixture")
LEVEL = 0.05


@dataclass(frozen=True)
class Study:
    """Data sets of one kind, each clustered for k = 2 to 4 and compared with null sets.

    Attributes
    ----------
    name : str
        What is drawn.
    draw : callable
        ``draw(random)``: a data set.
    n_null, n_init : int
        Null sets, and restarts of k-means.
    n_sets : int
        Data sets for the record.
    has_clusters : bool
        Whether there are any to be found.
    asked : tuple of two floats, optional
        Least and largest share of the sets that are to be found.
    """

    name: str
    draw: Draw
    n_null: int
    n_init: int
    n_sets: int
    has_clusters: bool
    asked: tuple[float, float] | None = None


def gaussian(n: int, spread: Any) -> Draw:
    """Make the recipe of data without clusters: a Gaussian of these standard deviations."""
    return lambda random: random.normal(size=(n, len(spread))) * spread


def blobs(
    n: int, d: int, n_blobs: int = 2, *, apart: float = 3.0, every: int | None = None, longest: float = 1.0
) -> Draw:
    """Make the recipe of round blobs of standard deviation 1 at equal distances; every ``every``-th sample is in the
    second of two.

    The last feature, ``longest`` times as wide, may spread more than the distance between the blobs.
    """

    def draw(random: np.random.Generator) -> NDArray[np.float64]:
        of = np.arange(n) % n_blobs if every is None else (np.arange(n) % every == 0).astype(int)
        # Unit vectors are sqrt(2) apart; two blobs need one direction only.
        centers = np.eye(n_blobs, d) * apart / np.sqrt(2) if n_blobs > 2 else apart * np.eye(2, d, k=-1)
        return (random.normal(size=(n, d)) + centers[of]) * np.append(np.ones(d - 1), longest)

    return draw


_ALARMS = {"n_null": 19, "n_init": 1, "n_sets": 40, "has_clusters": False}
_FOUND = {"n_null": 39, "n_init": 10, "n_sets": 60, "has_clusters": True}
_POWER = {**_FOUND, "asked": (0.95, 1.0)}

# Of all sets without clusters together.
_ALARMS_ASKED = (0.02, 0.08)

STUDIES = (
    Study("no clusters: n=40 d=2, round", gaussian(40, np.ones(2)), **_ALARMS),
    Study("no clusters: n=40 d=5, one long axis", gaussian(40, np.array([9, 1, 1, 1, 1])), **_ALARMS),
    Study("no clusters: n=40 d=8, power law", gaussian(40, 1 / np.arange(1, 9)), **_ALARMS),
    Study("no clusters: n=40 d=60, round", gaussian(40, np.ones(60)), **_ALARMS),
    Study("no clusters: n=150 d=40, power law", gaussian(150, 1 / np.arange(1, 41)), **_ALARMS),
    Study("two blobs 3 sd apart: n=150 d=2", blobs(150, 2), **_POWER),
    Study("three blobs 3 sd apart: n=150 d=10", blobs(150, 10, 3), **_POWER),
    Study("two blobs 3 sd apart, 1 to 4: n=200 d=20", blobs(200, 20, every=5), **_POWER),
    Study("two blobs 3 sd apart: n=150 d=40", blobs(150, 40), **_POWER),
    Study("two blobs 3 sd apart: n=400 d=40", blobs(400, 40), **_POWER),
    Study("two blobs 3 sd apart, across a longer axis: n=200 d=10", blobs(200, 10, longest=4.0), **_FOUND),
)


N_WITHOUT_CLUSTERS = sum(not study.has_clusters for study in STUDIES)


def run_study(study: Study, n_sets: int) -> dict[str, Any]:
    """Share of the data sets in which the test, and each of its measures alone, finds structure at 5 %."""
    from fastsil import KMeansSweep

    random = np.random.default_rng(1)
    found = dict.fromkeys(MEASURES, 0)
    begin = time.perf_counter()
    for number in range(n_sets):
        sweep = KMeansSweep(range(2, 5), n_init=study.n_init, n_null=study.n_null, random_state=number)
        null = sweep.fit(study.draw(random)).null_
        for measure in MEASURES:
            found[measure] += getattr(null, measure) <= LEVEL
    return {
        "case": study.name,
        "n_null": study.n_null,
        "sets": n_sets,
        "found": found,
        "asked": study.asked,
        "seconds": time.perf_counter() - begin,
    }


def total_of_alarms(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum all data without clusters into one row."""
    return {
        "case": "no clusters: all of these",
        "n_null": rows[0]["n_null"],
        "sets": sum(row["sets"] for row in rows),
        "found": {measure: sum(row["found"][measure] for row in rows) for measure in MEASURES},
        "asked": _ALARMS_ASKED,
        "seconds": sum(row["seconds"] for row in rows),
    }

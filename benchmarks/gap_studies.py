"""Data without groups, and with: how often does the test of gaps find separate groups?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Draw = Callable[[np.random.Generator], NDArray[np.float64]]

LEVEL = 0.05
# Number of clusters that are tried for each data set.
N_CLUSTERS = range(2, 11)
# Data sets of a row for the record.
N_SETS = 40
_FEATURES = Path(__file__).parent.parent / "docs" / "data" / "image_features.npz"


@dataclass(frozen=True)
class GapStudy:
    """Data sets of one kind.

    Attributes
    ----------
    name : str
        What is drawn.
    draw : callable
        ``draw(random)``: a data set.
    k : int or None
        Number of groups; None if there are none.
    asked : tuple of two floats or None
        Least and largest share of the sets in which groups are to be found; None if nothing is asked.
    """

    name: str
    draw: Draw
    k: int | None
    asked: tuple[float, float] | None


def ball(n: int, d: int) -> Draw:
    """Uniform in a ball."""

    def draw(random: np.random.Generator) -> NDArray[np.float64]:
        normals = random.normal(size=(n, d))
        return normals / np.linalg.norm(normals, axis=1)[:, None] * random.uniform(size=(n, 1)) ** (1 / d)

    return draw


def student(n: int, d: int, freedom: float, correlation: float = 0.0) -> Draw:
    """Multivariate t, every two features correlated alike."""

    def draw(random: np.random.Generator) -> NDArray[np.float64]:
        common = np.sqrt(correlation) * random.normal(size=(n, 1))
        normals = common + np.sqrt(1 - correlation) * random.normal(size=(n, d))
        return normals / np.sqrt(random.chisquare(freedom, size=(n, 1)) / freedom)

    return draw


def copula(n: int, d: int, shape: float) -> Draw:
    """Gamma marginals that depend on each other as a Gaussian's do."""

    def draw(random: np.random.Generator) -> NDArray[np.float64]:
        from scipy.stats import gamma, norm

        root = random.normal(size=(d, d))
        covariance = root @ root.T / d + 0.3 * np.eye(d)
        normals = random.normal(size=(n, d)) @ np.linalg.cholesky(covariance).T / np.sqrt(np.diag(covariance))
        return gamma.ppf(norm.cdf(normals), shape)

    return draw


def relu(n: int, d_in: int, d_out: int) -> Draw:
    """The positive part of a random linear map of a Gaussian, as a layer of a network gives it."""
    return lambda random: np.maximum(
        0, random.normal(size=(n, d_in)) @ random.normal(size=(d_in, d_out)) / np.sqrt(d_in)
    )


def outliers(n: int, d: int) -> Draw:
    """A Gaussian, 3 % of whose samples lie six times as far out."""
    return lambda random: random.normal(size=(n, d)) * np.where(np.arange(n) < 0.03 * n, 6, 1)[:, None]


def unit_rows(n: int, d: int) -> Draw:
    """Rows of length 1 of a Gaussian with a power law."""

    def draw(random: np.random.Generator) -> NDArray[np.float64]:
        X = random.normal(size=(n, d)) / np.arange(1, d + 1) ** 0.5 + 0.5 * np.eye(d)[0]
        return X / np.linalg.norm(X, axis=1)[:, None]

    return draw


def segment(n: int, d: int) -> Draw:
    """A segment of ten standard deviations, with noise."""
    return lambda random: random.normal(size=(n, d)) + np.eye(d)[0] * random.uniform(-5, 5, size=(n, 1))


def sheet(n: int, d: int) -> Draw:
    """A sheet that is curved along two features, with noise."""

    def draw(random: np.random.Generator) -> NDArray[np.float64]:
        u = random.uniform(-1, 1, size=(n, 2))
        X = 0.2 * random.normal(size=(n, d))
        X[:, :2] += 3 * u
        X[:, 2] += 1.5 * u[:, 0] ** 2
        X[:, 3] += 1.5 * u[:, 0] * u[:, 1]
        return X

    return draw


def ring(n: int, d: int, arc: float) -> Draw:
    """A ring, or a part of one, with noise."""

    def draw(random: np.random.Generator) -> NDArray[np.float64]:
        angle = random.uniform(0, arc, size=n)
        X = 0.15 * random.normal(size=(n, d))
        X[:, 0] += np.cos(angle)
        X[:, 1] += np.sin(angle)
        return X

    return draw


def _image_features() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    stored = np.load(_FEATURES)
    return stored["features"].astype(np.float64), stored["classes"]


def permuted_components(random: np.random.Generator) -> NDArray[np.float64]:
    """Image features, each principal component permuted on its own: no groups are left."""
    X = _image_features()[0]
    X = X[random.permutation(len(X))[:300]]
    left, singular, _ = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    return np.column_stack([random.permutation(column) for column in (left * singular).T])[:, :100]


def one_class(random: np.random.Generator) -> NDArray[np.float64]:
    """Image features of one class."""
    X, classes = _image_features()
    return X[classes == random.integers(10)]


def one_digit(digits: tuple[int, ...]) -> Draw:
    """One of these handwritten digits, 170 of its images."""

    def draw(random: np.random.Generator) -> NDArray[np.float64]:
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        X = X[y == random.choice(digits)]
        return X[random.permutation(len(X))[:170]]

    return draw


def blobs(
    n: int, d: int, k: int, distance: float, *, sizes: tuple[float, ...] | None = None, cross: float = 1.0
) -> Draw:
    """Round groups of standard deviation 1, all as far apart; the last feature may spread more."""

    def draw(random: np.random.Generator) -> NDArray[np.float64]:
        centers = np.eye(2, d, k=1) * distance if k == 2 else np.eye(k, d) * distance / np.sqrt(2)
        shares = np.ones(k) if sizes is None else np.array(sizes)
        codes = random.choice(k, size=n, p=shares / shares.sum())
        X = random.normal(size=(n, d)) + (centers - centers.mean(axis=0) if k == 2 else centers)[codes]
        X[:, -1] *= cross
        return X

    return draw


def heavy_tailed(n: int, d: int, distance: float) -> Draw:
    """Two groups of a t of 4 degrees of freedom, all features correlated by 1/2, as Guo and Shah (2025) simulate.

    The groups lie along the longest axis, ``distance`` standard deviations of the normal part apart; 0 for one group.
    """
    noise = student(n, d, 4, 0.5)

    def draw(random: np.random.Generator) -> NDArray[np.float64]:
        away = distance * np.sqrt((1 + 0.5 * (d - 1)) / d)
        return noise(random) + away * random.integers(2, size=(n, 1))

    return draw


_LEVEL_ASKED = (0.0, 0.08)


def _none(name: str, draw: Draw) -> GapStudy:
    return GapStudy(name, draw, None, _LEVEL_ASKED)


STUDIES = (
    _none("Gaussian, 200 x 2", lambda random: random.normal(size=(200, 2))),
    _none("Gaussian, 300 x 10, one axis 9 times as long", lambda r: r.normal(size=(300, 10)) * np.r_[9, np.ones(9)]),
    _none("Gaussian, 500 x 50, power law", lambda r: r.normal(size=(500, 50)) / np.arange(1, 51) ** 0.5),
    _none("Gaussian, 200 x 500", lambda random: random.normal(size=(200, 500))),
    _none("uniform square, n = 300", lambda random: random.uniform(size=(300, 2))),
    _none("uniform square, n = 500", lambda random: random.uniform(size=(500, 2))),
    _none("uniform box 4:1, 500 x 2", lambda random: random.uniform(size=(500, 2)) * [4, 1]),
    _none("uniform box 4:1:1, 300 x 3", lambda random: random.uniform(size=(300, 3)) * [4, 1, 1]),
    _none("uniform disc, n = 300", ball(300, 2)),
    _none("uniform ball, 300 x 5", ball(300, 5)),
    _none("uniform cube, 1,000 x 10", lambda random: random.uniform(size=(1000, 10))),
    _none("exponential, 300 x 10", lambda random: random.exponential(size=(300, 10))),
    _none("exponential, 300 x 2", lambda random: random.exponential(size=(300, 2))),
    _none("Gaussian copula, gamma marginals, 300 x 10", copula(300, 10, 1.5)),
    _none("log-normal (0.5), 200 x 10", lambda random: np.exp(0.5 * random.normal(size=(200, 10)))),
    _none("log-normal (1), 300 x 10", lambda random: np.exp(random.normal(size=(300, 10)))),
    _none("t of 3 degrees of freedom, 200 x 10", lambda random: random.standard_t(3, size=(200, 10))),
    _none("multivariate t of 3 degrees of freedom, 300 x 10", student(300, 10, 3)),
    *(_none(f"t of 4, features correlated, 1,000 x {d:,}", heavy_tailed(1000, d, 0)) for d in (5, 50, 1000)),
    _none("Gaussian with 3 % outliers, 300 x 10", outliers(300, 10)),
    _none("ReLU features of a Gaussian, 300 x 50", relu(300, 10, 50)),
    _none("ReLU features of a Gaussian, 500 x 200", relu(500, 50, 200)),
    _none("unit rows of a Gaussian, 300 x 20", unit_rows(300, 20)),
    _none("segment with noise, 300 x 10", segment(300, 10)),
    _none("curved sheet, 300 x 10", sheet(300, 10)),
    _none("whole numbers, rounded Gaussian, 300 x 2", lambda random: np.rint(1.5 * random.normal(size=(300, 2)))),
    _none("yes or no, 400 x 8", lambda random: (random.uniform(size=(400, 8)) < 0.4).astype(float)),
    _none("image features, components permuted", permuted_components),
    _none("image features of one class", one_class),
    # The digits 1 and 5 are written in several ways: along the first axis of 5, Hartigans' dip has p < 0.001 (diptest).
    _none("one handwritten digit, all but 1 and 5", one_digit((0, 2, 3, 4, 6, 7, 8, 9))),
    GapStudy("the handwritten digit 1 (of three shapes)", one_digit((1,)), None, None),
    GapStudy("the handwritten digit 5 (of two shapes)", one_digit((5,)), None, None),
    GapStudy("ring, 300 x 5", ring(300, 5, 2 * np.pi), None, None),
    GapStudy("horseshoe, 300 x 5", ring(300, 5, 1.5 * np.pi), None, None),
    GapStudy("2 groups 4 sd apart, 300 x 2", blobs(300, 2, 2, 4), 2, (0.95, 1.0)),
    GapStudy("2 groups 4 sd apart, 300 x 10", blobs(300, 10, 2, 4), 2, (0.95, 1.0)),
    GapStudy("4 groups 4 sd apart, 300 x 10", blobs(300, 10, 4, 4), 4, (0.95, 1.0)),
    GapStudy("8 groups 4 sd apart, 300 x 10", blobs(300, 10, 8, 4), 8, (0.95, 1.0)),
    GapStudy("8 groups 4 sd apart, 500 x 10", blobs(500, 10, 8, 4), 8, (0.95, 1.0)),
    GapStudy("2 groups 5 sd apart, sizes 1 to 4, 300 x 10", blobs(300, 10, 2, 5, sizes=(1, 4)), 2, (0.9, 1.0)),
    GapStudy("5 groups 5 sd apart, sizes 1 to 4, 300 x 10", blobs(300, 10, 5, 5, sizes=(1, 2, 3, 4, 4)), 5, (0.9, 1.0)),
    GapStudy("2 groups 3 sd apart, 3,000 x 10", blobs(3000, 10, 2, 3), 2, (0.8, 1.0)),
    GapStudy("4 groups 3 sd apart, 3,000 x 10", blobs(3000, 10, 4, 3), 4, (0.8, 1.0)),
    GapStudy("2 groups 4 sd apart across a longer axis, 300 x 10", blobs(300, 10, 2, 4, cross=4), None, (0.9, 1.0)),
    GapStudy("2 groups 6 sd apart, 1,000 x 1,000", blobs(1000, 1000, 2, 6), 2, (0.9, 1.0)),
    GapStudy("4 groups 6 sd apart, 1,000 x 1,000", blobs(1000, 1000, 4, 6), 4, (0.9, 1.0)),
    *(
        GapStudy(
            f"2 groups of t of 4, features correlated, {distance} sd apart, 1,000 x {d:,}",
            heavy_tailed(1000, d, distance),
            2,
            None,
        )
        for d in (5, 50, 1000)
        for distance in (3, 5)
    ),
    GapStudy("2 groups 3 sd apart, 300 x 10", blobs(300, 10, 2, 3), 2, None),
)


def run_study(study: GapStudy, n_sets: int) -> dict[str, Any]:
    """Share of the data sets in which groups are found, with the right number, and with the caution for curves.

    Without null sets: they tell a cloud from a continuum, and the test of gaps does not look at them.
    """
    from fastsil import KMeansSweep

    random = np.random.default_rng([8, *study.name.encode()])
    found, right, cautioned = 0, 0, 0
    begin = time.perf_counter()
    for number in range(n_sets):
        sweep = KMeansSweep(N_CLUSTERS, n_init=3, n_null=0, random_state=number).fit(study.draw(random))
        verdict = sweep.verdict_
        found += verdict.kind == "groups"
        right += verdict.kind == "groups" and verdict.k == study.k
        cautioned += any("arcs of a ring" in reason for reason in verdict.reasons)
    return {
        "case": study.name,
        "sets": n_sets,
        "found": found,
        "right": None if study.k is None else right,
        "cautioned": cautioned,
        "dip": _hunt_dips(study, n_sets),
        "asked": study.asked,
        "seconds": time.perf_counter() - begin,
    }


def _hunt_dips(study: GapStudy, n_sets: int) -> int | None:
    """Sets in which dip hunting finds two groups; None where diptest is not installed.

    As Guo and Shah (2025): the direction between two centers of one half of the samples, Hartigans' dip of the other
    half along it; of five splits twice the median of the p-values.
    """
    try:
        import diptest
    except ImportError:
        return None
    from sklearn.cluster import KMeans

    random = np.random.default_rng([8, *study.name.encode()])
    found = 0
    for _ in range(n_sets):
        X = study.draw(random)
        p_values = []
        for split in range(5):
            first, second = np.array_split(np.random.default_rng(split).permutation(len(X)), 2)
            one, other = KMeans(2, n_init=3, random_state=split).fit(X[first]).cluster_centers_
            p_values.append(diptest.diptest(X[second] @ (other - one))[1])
        found += 2 * float(np.median(p_values)) <= LEVEL
    return found

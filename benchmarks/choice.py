"""Which rule names the right number of clusters most often, on labeled data?

The data are drawn, from recipes that vary the number, size, spread, distance and tails of groups and the number of
features, or come with scikit-learn. fastsil's rule was fixed before any of the drawn ones was looked at.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

N_CLUSTERS = range(2, 11)
RULES = (
    "fastsil's verdict",
    "highest silhouette",
    "Calinski-Harabasz",
    "Davies-Bouldin",
    "gap statistic",
    "prediction strength",
    "BIC",
    "CompSil",
)
N_DRAWN = 60
# Most samples of a data set.
_MOST_SAMPLES = 1000
# Random halves of prediction strength, and its threshold (Tibshirani and Walther 2005: 0.8 to 0.9).
_SPLITS, _STRENGTH = 5, 0.8
# Subsamples of CompSil and their share of the samples, as its authors' package has them for as few samples.
_SUBSAMPLES, _SHARE = 10, 0.8


@dataclass(frozen=True)
class Labeled:
    """A data set with groups that are known.

    Attributes
    ----------
    name : str
        Where it is from.
    X : ndarray of shape (n_samples, n_features)
        Samples.
    k : int
        Number of groups.
    """

    name: str
    X: NDArray[np.float64]
    k: int


def list_sets(n_drawn: int) -> Iterator[Labeled]:
    """Yield all data sets, of which ``n_drawn`` are drawn."""
    for number in range(n_drawn):
        yield draw_mixture(number)
    yield from _list_real_sets()


def draw_mixture(number: int) -> Labeled:
    """Draw groups by a recipe that depends on the number alone."""
    random = np.random.default_rng([2026, 11, number])
    k, d = int(random.integers(2, 9)), int(random.choice([2, 3, 5, 10, 30, 100]))
    n = int(random.choice([300, 500, 1000]))
    apart = random.uniform(4, 8)
    largest = random.choice([1.0, 1.0, 3.0, 6.0])
    spread = random.choice([1.0, 1.0, 2.0, 3.0])
    freedom = float(random.choice([5, 10, np.inf, np.inf]))
    stretched = bool(random.random() < 0.3)
    shares = random.uniform(1, largest, size=k)
    codes = np.sort(random.choice(k, size=n, p=shares / shares.sum()))
    scales = random.uniform(1, spread, size=k)
    tails = np.ones(n) if np.isinf(freedom) else np.sqrt(freedom / random.chisquare(freedom, size=n))
    X = random.normal(size=(n, d)) * (scales[codes] * tails)[:, None]
    if stretched:
        X *= random.uniform(0.4, 1.6, size=(k, d))[codes]
    X += _place_centers(random, k, d, apart, scales)[codes]
    name = f"{k} groups, {n} x {d}, {apart:.1f} sd apart, sizes to {largest:g}:1, spreads to {spread:g}:1"
    tail = "" if np.isinf(freedom) else f", t of {freedom:g}"
    return Labeled(f"{name}{tail}{', stretched' if stretched else ''} ({number})", X, k)


def _place_centers(
    random: np.random.Generator, k: int, d: int, apart: float, scales: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Draw centers until every two are apart, in units of the mean of their spreads."""
    width = apart * k ** (1 / d) * scales.mean()
    while True:
        for _ in range(200):
            centers = random.normal(size=(k, d)) * width / np.sqrt(2 * d)
            gaps = np.linalg.norm(centers[:, None] - centers, axis=2) / ((scales[:, None] + scales) / 2)
            closest = gaps[np.triu_indices(k, 1)].min()
            if apart <= closest <= 1.5 * apart:
                return centers
        width *= 1.1


def _list_real_sets() -> Iterator[Labeled]:
    from sklearn import datasets
    from sklearn.preprocessing import StandardScaler

    for name in ("iris", "wine", "breast_cancer", "digits"):
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        scaled = X if name == "digits" else StandardScaler().fit_transform(X)
        yield _cut(name, scaled, y)


def _cut(name: str, X: NDArray[np.float64], y: NDArray[Any]) -> Labeled:
    rows = np.random.default_rng(0).permutation(len(X))[:_MOST_SAMPLES]
    return Labeled(name, X[rows], len(np.unique(y[rows])))


def choose(data: Labeled) -> dict[str, int]:
    """Number of clusters that each rule names."""
    from fastsil import KMeansSweep

    X = data.X
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sweep = KMeansSweep(N_CLUSTERS, n_null=10, random_state=0).fit(X)
        results = sweep.sweep_results_
        ks = results["n_clusters"]
        chosen = (
            sweep.verdict_.k,
            ks[np.nanargmax(results["silhouette"])],
            ks[np.nanargmax(results["calinski_harabasz"])],
            ks[np.nanargmin(results["davies_bouldin"])],
            sweep.null_.gap_k,
            _by_prediction_strength(X),
            _by_bic(X),
            _by_compsil(X),
        )
    return {rule: int(k) for rule, k in zip(RULES, chosen, strict=True)}


def _fit(X: NDArray[np.float64], k: int, seed: int) -> Any:
    from sklearn.cluster import KMeans

    return KMeans(k, n_init=3, random_state=seed).fit(X)


def _by_prediction_strength(X: NDArray[np.float64]) -> int:
    """Largest k whose clusters of one half are mostly clusters of the other; 1 if there is none."""
    best = 1
    for k in N_CLUSTERS:
        strengths = [_prediction_strength(X, k, split) for split in range(_SPLITS)]
        if np.mean(strengths) + np.std(strengths, ddof=1) / np.sqrt(_SPLITS) >= _STRENGTH:
            best = k
    return best


def _prediction_strength(X: NDArray[np.float64], k: int, split: int) -> float:
    one, other = np.array_split(np.random.default_rng(split).permutation(len(X)), 2)
    own = _fit(X[other], k, split).labels_
    predicted = _fit(X[one], k, split).predict(X[other])
    shares = []
    for code in range(k):
        sizes = np.bincount(predicted[own == code], minlength=k).astype(float)
        n = sizes.sum()
        shares.append((sizes @ (sizes - 1)) / (n * (n - 1)) if n > 1 else 0.0)
    return min(shares)


def _by_bic(X: NDArray[np.float64]) -> int:
    from sklearn.mixture import GaussianMixture

    def bic(k: int) -> float:
        return float(GaussianMixture(k, n_init=2, reg_covar=1e-3, random_state=0).fit(X).bic(X))

    return min((1, *N_CLUSTERS), key=bic)


def _by_compsil(X: NDArray[np.float64]) -> int:
    """Highest mean over subsamples of micro and macro silhouettes, mixed by their difference (arXiv 2604.13816)."""
    from fastsil import silhouette_profile

    scores = []
    for k in N_CLUSTERS:
        pairs = []
        for seed in range(_SUBSAMPLES):
            rows = np.random.default_rng(seed).permutation(len(X))[: int(_SHARE * len(X))]
            profile = silhouette_profile(X[rows], _fit(X[rows], k, seed).labels_)
            pairs.append((profile.score, profile.macro_score))
        micro, macro = np.array(pairs).T
        difference = micro - macro
        weight = (1 + np.tanh(difference / (np.abs(difference).max() + 1e-12))) / 2
        scores.append(float((weight * micro + (1 - weight) * macro).mean()))
    return N_CLUSTERS[int(np.argmax(scores))]


def sum_up(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Count the data sets in which each rule is right."""
    right = {rule: sum(row["chosen"][rule] == row["k"] for row in rows) for rule in RULES}
    return {"case": f"right, of {len(rows)}", "k": None, "chosen": right}

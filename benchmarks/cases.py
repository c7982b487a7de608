"""Data recipes: the data of the measurements, and the ratios that are their goals."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Labeling = Callable[[NDArray[Any]], NDArray[Any]]


class Data(NamedTuple):
    X: NDArray[Any]
    labels: NDArray[Any]


class Case(NamedTuple):
    """A workload: its name, its recipe by size and dtype, and the goal of the ratio in each dtype."""

    name: str
    n: int
    make: Callable[[int, str], Data]
    floors: dict[str, float]
    needs: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """Return the packages that the data need and that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]


# Samples that are linked: of all, it would take n² numbers.
_LINKED = 4_000
# How far apart the groups' centers are, in units of the spread within a group: well mixed, as embeddings are.
_SEPARATION = 0.7
_CHUNK = 1 << 16


def overlapping_groups(n: int, d: int, n_groups: int, dtype: str, seed: int = 0, largest: float = 0.0) -> Data:
    """Draw groups that overlap, with a power-law spectrum: feature i of centers and spread ~ i^(-1/2), then a rotation.

    The labels are the groups drawn, which costs nothing; :func:`embedding_like` clusters instead. The first group gets
    a share of ``largest`` of the samples besides its own.
    """
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, d + 1) ** -0.5
    rotation = np.linalg.qr(rng.standard_normal((d, d)))[0] * spectrum[:, None]
    centers = _SEPARATION * rng.standard_normal((n_groups, d))
    labels = rng.integers(n_groups, size=n)
    labels[: int(largest * n)] = 0
    rng.shuffle(labels[: n if largest else 0])
    X = np.empty((n, d), dtype)
    for start in range(0, n, _CHUNK):
        drawn = labels[start : start + _CHUNK]
        X[start : start + _CHUNK] = (centers[drawn] + rng.standard_normal((len(drawn), d))) @ rotation
    return Data(X, labels)


def cluster(X: NDArray[Any], k: int) -> NDArray[Any]:
    """Cluster as a user does, and return the labels."""
    from sklearn.cluster import MiniBatchKMeans

    batch = min(4096, len(X))
    # A case that is made small keeps at least four samples a cluster.
    k = max(2, min(k, len(X) // 4))
    model = MiniBatchKMeans(k, batch_size=batch, init_size=max(batch, 3 * k), n_init=1, max_iter=20, random_state=0)
    return model.fit_predict(X)


def by_kmeans(k: int) -> Labeling:
    return lambda X: cluster(X, k)


def embedding_like(d: int, k: int) -> Callable[[int, str], Data]:
    def make(n: int, dtype: str) -> Data:
        X = overlapping_groups(n, d, k, dtype).X
        return Data(X, cluster(X, k))

    return make


def digits(k: int) -> Callable[[int, str], Data]:
    def make(n: int, dtype: str) -> Data:
        from sklearn.datasets import load_digits

        X = load_digits().data[:n].astype(dtype)
        return Data(X, cluster(X, k))

    return make


def at_random(k: int) -> Labeling:
    """Return labels without meaning: all clusters are about equally far, and bounds exclude none."""
    return lambda X: np.random.default_rng(1).integers(k, size=len(X))


def by_length(k: int) -> Labeling:
    """Return k classes of equal size by the distance from the middle: each lies around those before."""

    def label(X: NDArray[Any]) -> NDArray[Any]:
        lengths = np.linalg.norm(X - X.mean(axis=0), axis=1)
        return np.argsort(np.argsort(lengths)) * k // len(X)

    return label


def by_linkage(k: int) -> Labeling:
    """Return clusters of average linkage of some samples, and for each other sample that of the nearest of these."""

    def label(X: NDArray[Any]) -> NDArray[Any]:
        from sklearn.cluster import AgglomerativeClustering
        from sklearn.neighbors import KNeighborsClassifier

        some = X[:_LINKED]
        of_some = AgglomerativeClustering(min(k, len(some) - 1), linkage="average").fit_predict(some)
        return KNeighborsClassifier(1).fit(some, of_some).predict(X)

    return label


def by_density(X: NDArray[Any]) -> NDArray[Any]:
    """Return clusters of HDBSCAN in the first principal components, with noise as -1."""
    from sklearn.cluster import HDBSCAN
    from sklearn.decomposition import PCA

    reduced = PCA(min(3, *X.shape), random_state=0).fit_transform(X)
    return HDBSCAN(min_cluster_size=10, cluster_selection_method="leaf", copy=True).fit_predict(reduced)


def word_vectors(label: Labeling) -> Callable[[int, str], Data]:
    """Return the recipe of Russian word vectors, from the file in the package natasha; noise is left out."""

    def make(n: int, dtype: str) -> Data:
        from navec import Navec

        spec = find_spec("natasha")
        assert spec is not None
        assert spec.origin is not None
        path = Path(spec.origin).parent / "data" / "emb" / "navec_news_v1_1B_250K_300d_100q.tar"
        vectors = Navec.load(path).pq.unpack()[:-2]
        rows = np.random.default_rng(0).permutation(len(vectors))[:n]
        X = np.ascontiguousarray(vectors[rows], dtype=dtype)
        labels = label(X)
        return Data(np.ascontiguousarray(X[labels >= 0]), labels[labels >= 0])

    return make


def from_file(path: str, k: int) -> Case:
    """Make a case of the rows of a .npy file, at most all of them."""
    stored = np.load(path, mmap_mode="r")

    def make(n: int, dtype: str) -> Data:
        rows = np.sort(np.random.default_rng(0).permutation(len(stored))[:n])
        X = np.ascontiguousarray(stored[rows], dtype=dtype)
        return Data(X, cluster(X, k))

    return Case(f"{Path(path).stem} n={len(stored)} d={stored.shape[1]} k={k}", len(stored), make, {})


def _synthetic(label: str, n: int, d: int, k: int, float32: float, float64: float | None) -> Case:
    floors = {"float32": float32} if float64 is None else {"float32": float32, "float64": float64}
    return Case(f"n={label} d={d} k={k}", n, embedding_like(d, k), floors)


_NAVEC = ("navec", "natasha")

SYNTHETIC = (
    _synthetic("20k", 20_000, 64, 2, 12, 8),
    _synthetic("20k", 20_000, 128, 10, 18, 11),
    _synthetic("20k", 20_000, 512, 100, 30, 18),
    _synthetic("100k", 100_000, 128, 100, 120, 80),
    _synthetic("200k", 200_000, 128, 100, 170, 110),
    _synthetic("100k", 100_000, 2, 20, 60, 45),
    _synthetic("50k", 50_000, 768, 30, 50, 30),
    _synthetic("1M", 1_000_000, 128, 100, 200, None),
)
REAL = (
    Case("digits n=1797 d=64 k=10", 1797, digits(10), {}),
    Case("word vectors n=20k d=300 k=10", 20_000, word_vectors(by_kmeans(10)), {}, _NAVEC),
    Case("word vectors n=20k d=300 k=100", 20_000, word_vectors(by_kmeans(100)), {}, _NAVEC),
    Case("word vectors n=100k d=300 k=100", 100_000, word_vectors(by_kmeans(100)), {}, _NAVEC),
)
# Labels that k-means did not make, and very many clusters.
LABELINGS = tuple(
    Case(f"word vectors n=20k d=300 {name}", 20_000, word_vectors(label), {"float32": floor}, _NAVEC)
    for name, label, floor in (
        ("random labels k=10", at_random(10), 8),
        ("random labels k=100", at_random(100), 8),
        ("classes by length k=50", by_length(50), 8),
        ("average linkage k=50", by_linkage(50), 15),
        ("HDBSCAN without noise", by_density, 15),
        ("k-means k=1000", by_kmeans(1000), 15),
    )
)
CASES = SYNTHETIC + REAL

# What `python -m benchmarks` runs in under two minutes.
QUICK = ((SYNTHETIC[1], "float32"), (SYNTHETIC[0], "float64"), (REAL[0], "float64"))


def dtypes_of(case: Case) -> list[str]:
    return list(case.floors) or ["float32", "float64"]


def adversarial(dtype: str) -> dict[str, Data]:
    """Make data on which the digits of a distance are easily lost, by name; with few clusters and with many.

    An engine may take different strategies for 3 clusters and for 24, and has to keep its digits on each.
    """
    data = {f"{name}, k={k}": made for k in (3, 24) for name, made in _adversarial(k, dtype).items()}
    rng = np.random.default_rng(1)
    spread = rng.standard_normal((240, 8))
    codes = np.arange(240)
    data["20 clusters of one sample"] = Data(spread, np.where(codes < 20, codes + 3, codes % 3))
    data["n - 1 clusters"] = Data(spread, np.maximum(codes - 1, 0))
    data["overlapping groups"] = overlapping_groups(480, 64, 5, "float64")
    return {name: Data(np.ascontiguousarray(X, dtype=dtype), labels) for name, (X, labels) in data.items()}


def _adversarial(k: int, dtype: str) -> dict[str, Data]:
    rng = np.random.default_rng(0)
    n = max(240, 20 * k)
    labels = np.arange(n) % k
    spread = rng.standard_normal((n, 8))
    groups = spread + 3.0 * rng.standard_normal((k, 8))[labels]
    # Triples of clusters: two of them side by side, the third apart, the next triple further on.
    places = np.array([0.0, 1e-2, 10.0])[labels % 3] + 20.0 * (labels // 3)
    close = places[:, None] * np.eye(8)[0] + 1e-3 * spread
    made = {
        "spread 1, offset 1e4": groups + 1e4,
        "clusters 1e-2 apart of radius 1e-3, others at 10": close,
        "the same, 64 features": np.hstack([close, 1e-3 * rng.standard_normal((n, 56))]),
        "many duplicates": groups[rng.integers(k, 5 * k, size=n) // k * k + labels],
        "one feature": groups[:, :1],
        "4096 features": rng.standard_normal((n, 4096)) + labels[:, None],
        "heavy tails": rng.standard_t(1.5, (n, 8)),
        "scale 1e-25": 1e-25 * groups,
        "scale 1e25": 1e25 * groups,
    }
    if dtype == "float64":
        made["spread 1, offset 1e7"] = groups + 1e7
    return {name: Data(X, labels) for name, X in made.items()}

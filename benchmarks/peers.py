"""The contenders, and the naive reference that all of them are compared with. Nothing is imported before it runs."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Peer(NamedTuple):
    """A contender, and by how much its silhouettes may be off, by dtype."""

    name: str
    package: str
    samples: Callable[..., NDArray[Any]]  # (X, labels, **params)
    tolerance: dict[str, float]


def _fastsil(X, labels, **params):
    from fastsil import silhouette_samples

    return silhouette_samples(X, labels, **params)


def _sklearn(X, labels, **params):
    from sklearn.metrics import silhouette_samples

    return silhouette_samples(X, labels, **params)


def _sklearn_32(X, labels, **params):
    import sklearn
    from sklearn.metrics import silhouette_samples

    with sklearn.config_context(working_memory=32):
        return silhouette_samples(X, labels, **params)


_PROMISED = {"float32": 2e-6, "float64": 1e-10}
# Only shows that the same thing was computed: scikit-learn promises no digits.
_SAME_THING = {"float32": 1e-3, "float64": 1e-6}

FASTSIL = Peer("fastsil", "fastsil", _fastsil, _PROMISED)
SKLEARN = (
    Peer("scikit-learn", "sklearn", _sklearn, _SAME_THING),
    Peer("scikit-learn, working_memory=32", "sklearn", _sklearn_32, _SAME_THING),
)
PEERS = (FASTSIL, *SKLEARN)


def installed() -> list[Peer]:
    return [peer for peer in PEERS if find_spec(peer.package) is not None]


def reference(
    X: NDArray[Any], labels: NDArray[Any], rows: NDArray[np.intp] | None = None, kind: type = np.longdouble
) -> NDArray[Any]:
    """Compute silhouettes of some rows (default all) by plain differences and sums, in a wide type."""
    rows = np.arange(len(X)) if rows is None else rows
    codes = np.unique(labels, return_inverse=True)[1]
    sizes = np.bincount(codes)
    block = max(1, (1 << 22) // X.shape[1])
    sums = np.zeros((len(rows), len(sizes)), kind)
    for start in range(0, len(X), block):
        Y, own = X[start : start + block].astype(kind), codes[start : start + block]
        order = np.argsort(own, kind="stable")
        present, firsts = np.unique(own[order], return_index=True)
        for i, row in enumerate(rows):
            distances = np.sqrt(((Y - X[row].astype(kind)) ** 2).sum(axis=1))
            sums[i, present] += np.add.reduceat(distances[order], firsts)
    at, own = np.arange(len(rows)), codes[rows]
    alone = sizes[own] == 1
    a = sums[at, own] / np.maximum(sizes[own] - 1, 1)
    means = sums / sizes
    means[at, own] = np.inf
    b = means.min(axis=1)
    larger = np.maximum(a, b)
    silhouettes = np.where(larger > 0, (b - a) / np.where(larger > 0, larger, 1), 0)
    return np.where(alone, 0, silhouettes)

"""Input that is legal and hardly ever meant: distances as samples, graphs as distances, labels in another order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.runtime.caller import warn_caller
from fastsil.validation.arguments import Metric
from fastsil.validation.arrays import is_sparse

# Samples of which symmetry is looked at, and rounding relative to the largest value.
_LOOKED_AT = 256
_ROUNDING = 1e-5
# Smaller matrices may be symmetric by chance.
_LEAST_SIZE = 4
# Pairs without an entry whose rows are compared. Samples at distance 0 have equal rows; of a graph of neighbors, rows
# without an edge share few neighbors. 0 is equal, 1 disjoint.
_LOOKED_AT_PAIRS = 32
_UNLIKE = 0.15

_TAKE_SPARSE = ("euclidean", "l2", "sqeuclidean", "cosine", "correlation", "manhattan", "cityblock", "l1")


def look_like_distances(X: Any) -> bool:
    """Return whether checked data are square and symmetric with a zero diagonal, as distances are."""
    n_samples = X.shape[0]
    if n_samples != X.shape[1] or n_samples < _LEAST_SIZE:
        return False
    rows = np.unique(np.linspace(0, n_samples - 1, _LOOKED_AT).astype(np.intp))
    some = X[rows][:, rows].toarray() if is_sparse(X) else X[np.ix_(rows, rows)]
    some = np.asarray(some, dtype=np.float64)
    rounding = _ROUNDING * some.max()
    if rounding <= 0 or some.min() < -rounding or np.abs(some.diagonal()).max() > rounding:
        return False
    return bool((np.abs(some - some.T) <= rounding).all() and (np.abs(X.diagonal()) <= rounding).all())


def warn_of_distances(X: Any, metric: Metric) -> None:
    """Warn if checked samples look like distances."""
    if isinstance(metric, str) and look_like_distances(X):
        warn_caller(
            f"X is square and symmetric with zeros on its diagonal, as distances are, but metric={metric!r} takes its "
            "rows for samples. If these are distances, pass metric='precomputed'."
        )


def check_complete(X: Any) -> None:
    """Raise a ValueError if sparse distances are a graph of neighbors, whose absent entries are not 0.

    Parameters
    ----------
    X : CSR matrix of shape (n_samples, n_samples)
        Distances.
    """
    n_samples = X.shape[0]
    stored = np.diff(X.indptr)
    candidates = np.flatnonzero(stored < n_samples - 1)
    if not len(candidates):
        return
    picked = candidates[np.unique(np.linspace(0, len(candidates) - 1, _LOOKED_AT_PAIRS).astype(np.intp))]
    if not np.mean([_compare_rows(X, int(row), stored) for row in picked]) > _UNLIKE:
        return
    raise ValueError(
        f"X stores {int(stored.sum()):,} of {n_samples * (n_samples - 1):,} distances between samples, and absent ones "
        "would be read as 0, the nearest there is. A graph of nearest neighbors (kneighbors_graph, or scanpy's "
        "obsp['distances']) does not hold all distances: pass the samples and their metric, or all distances. If "
        "absent ones are 0, pass X.toarray()."
    )


def _compare_rows(X: Any, row: int, stored: NDArray[np.integer[Any]]) -> float:
    """Return how unlike the distances are from a sample, and from another one at distance 0 by an absent entry."""
    absent = np.setdiff1d(np.arange(X.shape[0]), [*X.indices[X.indptr[row] : X.indptr[row + 1]], row])
    if not len(absent):
        return 0.0
    pair = X[[row, int(absent[stored[absent].argmax()])]].toarray().astype(np.float64)
    total = float(np.abs(pair).sum())
    return float(np.abs(pair[0] - pair[1]).sum()) / total if total else 0.0


def check_sparse(X: Any, metric: Metric) -> None:
    """Raise a TypeError if X, or what a Dask array holds, is sparse and the metric takes no sparse matrix."""
    if is_sparse(getattr(X, "_meta", X)) and isinstance(metric, str) and metric not in (*_TAKE_SPARSE, "precomputed"):
        size = float(X.shape[0]) * X.shape[1] * X.dtype.itemsize / 2**20
        raise TypeError(
            f"metric={metric!r} takes no sparse matrix. Pass X.toarray() ({size:,.0f} MiB), reduce X by "
            f"sklearn.decomposition.TruncatedSVD, or take a metric of: {', '.join(_TAKE_SPARSE)}."
        )


def warn_of_order(X: Any, labels: Any, name: str = "labels") -> None:
    """Warn if the labels, or weights, have another pandas index than X: rows are matched by position."""
    if not (hasattr(X, "iloc") and hasattr(labels, "iloc")) or len(X) != len(labels) or X.index.equals(labels.index):
        return
    row = int(np.flatnonzero(np.asarray(X.index != labels.index))[:1].sum())
    of_labels, of_X = labels.index[[row]].tolist()[0], X.index[[row]].tolist()[0]
    warn_caller(
        f"{name} and X have different indexes (row {row}: {of_labels!r} and {of_X!r}), and rows are "
        f"matched by position. To match them by index, pass {name}.loc[X.index]; if positions are right, pass "
        f"{name}.to_numpy()."
    )

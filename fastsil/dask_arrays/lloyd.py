"""Lloyd's iterations of k-means: a task a block that adds up the members of every cluster, and a tree of sums.

The rule is that of scikit-learn's KMeans, so that both find the same centers from the same start, but for rounding:
samples about their mean, in their own type; empty clusters move to the samples that are farthest from their centers;
the end comes when the centers move by no more than ``tol`` times the variance.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.extmath import row_norms

if TYPE_CHECKING:
    from fastsil.dask_arrays.row_blocks import RowBlocks

# Rows at a time, and bytes of them and of their products with all centers.
_CHUNK_ROWS = 4096
_CHUNK_BYTES = 1 << 20

# Samples may lie this many standard deviations from the mean before their squares leave the range of their type.
_ROOM = 1e3


class Centers(NamedTuple):
    """Centers relative to the mean of all samples, in the type of the samples."""

    places: NDArray[Any]  # (k, n_features)
    mean: NDArray[Any]  # (n_features,)


class Members(NamedTuple):
    """Sums over the members of each cluster.

    Attributes
    ----------
    counts : ndarray of shape (k,)
        Number of members.
    sums : ndarray of shape (k, n_features)
        Sums of the members, relative to the mean of all samples.
    """

    counts: NDArray[np.int64]
    sums: NDArray[np.float64]


class Spread(NamedTuple):
    """Sums of the distances of each cluster's members to their mean, and of the squares of these."""

    distances: NDArray[np.float64]
    squares: NDArray[np.float64]


class Farthest(NamedTuple):
    """Samples farthest from their centers, the farthest first; coordinates as in :class:`Members`."""

    squares: NDArray[Any]
    codes: NDArray[np.int32]
    samples: NDArray[Any]


def check_range(X: RowBlocks) -> None:
    """Raise a ValueError if squares of distances leave the range of the type of X."""
    spread, limits = float(np.sqrt(X.moments.variances.max())), np.finfo(X.dtype)
    if spread != 0 and not _ROOM * np.sqrt(limits.tiny) < spread < np.sqrt(limits.max) / _ROOM:
        raise ValueError(f"squares of {spread:.2g} are beyond {X.dtype}; multiply X so that it is near 1.")


def place_centers(X: RowBlocks, centers: NDArray[Any]) -> Centers:
    """Place centers relative to the mean of some samples."""
    mean = X.moments.mean.astype(X.dtype)
    return Centers(np.asarray(centers - mean, dtype=X.dtype), mean)


def run_lloyd(X: RowBlocks, start: NDArray[Any], *, tol: float, max_iter: int) -> tuple[NDArray[Any], int]:
    """Iterate from a start of shape (k, n_features) until the centers stay; return them and the number of iterations.

    Parameters
    ----------
    X : RowBlocks
        Samples.
    start : ndarray of shape (k, n_features)
        Centers.
    tol, max_iter
        As scikit-learn's KMeans has them.
    """
    centers, enough = place_centers(X, start), tol * float(X.moments.variances.mean())
    n_iter, change = 0, np.inf
    while n_iter < max_iter and change > enough:
        n_iter += 1
        members = _fill_empty(X, centers, X.reduce(sum_members, add_fields, centers))
        moved = _average(members).astype(X.dtype)
        change = float(np.square(moved - centers.places).sum())
        # Labels that stay leave the centers where they are: sums are in the same order in every pass.
        centers = centers._replace(places=moved)
    return centers.places + centers.mean, n_iter


def assign_rows(X: NDArray[Any], places: NDArray[Any], mean: NDArray[Any]) -> NDArray[np.int32]:
    """Return the nearest center of every row."""
    labels = np.empty(len(X), np.int32)
    for rows, _, codes in _iterate(X, Centers(places, mean)):
        labels[rows] = codes
    return labels


def sum_members(X: NDArray[Any], centers: Centers) -> Members:
    """Sum the rows that are nearest to each center: some thousand in the type of X, and these sums in float64."""
    k = len(centers.places)
    members = Members(np.zeros(k, np.int64), np.zeros(centers.places.shape))
    one_hot, places = np.zeros((_CHUNK_ROWS, k), X.dtype), np.arange(_CHUNK_ROWS)
    for _, rows, codes in _iterate(X, centers):
        here = slice(len(codes))
        one_hot[places[here], codes] = 1
        members.sums[:] += one_hot[here].T @ rows
        one_hot[places[here], codes] = 0
        members.counts[:] += np.bincount(codes, minlength=k)
    return members


def measure_spread(X: NDArray[Any], centers: Centers, means: NDArray[np.float64]) -> Spread:
    """Measure the distances of the rows to the mean of their cluster, relative to the mean of all samples."""
    spread = Spread(np.zeros(len(means)), np.zeros(len(means)))
    for _, rows, codes in _iterate(X, centers):
        squares = np.square(rows - means[codes]).sum(axis=1)
        spread.distances[:] += np.bincount(codes, weights=np.sqrt(squares), minlength=len(means))
        spread.squares[:] += np.bincount(codes, weights=squares, minlength=len(means))
    return spread


def sum_squares(X: NDArray[Any], centers: Centers) -> float:
    """Sum squared distances of rows to their nearest centers, in float64."""
    return sum(float(squares.sum()) for squares, _, _ in _measure(X, centers))


def compute_inertia(X: RowBlocks, centers: NDArray[Any]) -> float:
    """Compute the sum of squared distances to the nearest centers, in one pass."""
    return float(X.reduce(sum_squares, sum, place_centers(X, centers)))


def draw_row(X: RowBlocks, start: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    """Draw a row in proportion to its squared distance to the nearest center; of shape (1, n_features)."""
    centers = place_centers(X, start)
    totals = X.reduce(_list_squares, np.concatenate, centers)
    ends = np.cumsum(totals)
    target = random.uniform() * ends[-1]
    block = min(int(np.searchsorted(ends, target)), len(ends) - 1)
    rest = target - (ends[block] - totals[block])
    rows = X.array.blocks[block].compute()
    squares = np.concatenate([squares for squares, _, _ in _measure(rows, centers)])
    row = min(int(np.searchsorted(np.cumsum(squares, dtype=np.float64), rest)), len(rows) - 1)
    return np.asarray(rows[[row]], dtype=X.dtype)


def add_fields(parts: list[Any]) -> Any:
    """Add the sums of several blocks, field by field."""
    return type(parts[0])(*(np.sum(values, axis=0) for values in zip(*parts, strict=True)))


def _iterate(X: NDArray[Any], centers: Centers) -> Iterator[tuple[slice, NDArray[Any], NDArray[np.intp]]]:
    """Yield rows at a time: which, relative to the mean, and their nearest centers; the next ones overwrite both.

    (A worker process gives memory back at once, so that new arrays for each step took four times the time.)
    """
    k, n_features = centers.places.shape
    step = min(_CHUNK_ROWS, max(1, _CHUNK_BYTES // (X.dtype.itemsize * max(k, n_features))))
    halves = row_norms(centers.places, squared=True) / 2
    moved, closeness = np.empty((step, n_features), X.dtype), np.empty((step, k), X.dtype)
    codes = np.empty(step, np.intp)
    for low in range(0, len(X), step):
        rows = slice(low, min(low + step, len(X)))
        here = slice(rows.stop - low)
        np.subtract(X[rows], centers.mean, out=moved[here])
        np.matmul(moved[here], centers.places.T, out=closeness[here])
        np.subtract(closeness[here], halves, out=closeness[here])
        closeness[here].argmax(axis=1, out=codes[here])
        yield rows, moved[here], codes[here]


def _measure(X: NDArray[Any], centers: Centers) -> Iterator[tuple[NDArray[Any], NDArray[np.int32], NDArray[Any]]]:
    """Yield rows at a time: squared distances to their nearest centers, these centers, the rows."""
    for _, rows, codes in _iterate(X, centers):
        apart = rows.astype(np.float64) - centers.places[codes]
        yield np.einsum("ij,ij->i", apart, apart), codes.astype(np.int32), rows.copy()


def _list_squares(X: NDArray[Any], centers: Centers) -> NDArray[np.float64]:
    return np.array([sum_squares(X, centers)])


def _fill_empty(X: RowBlocks, centers: Centers, members: Members) -> Members:
    """Move empty clusters to the samples that are farthest from their centers, as scikit-learn does."""
    empty = np.flatnonzero(members.counts == 0)
    if not len(empty):
        return members
    merge = partial(_merge_farthest, most=len(empty))
    far: Farthest = X.reduce(_find_farthest, merge, centers, len(empty))
    if far.squares[0] == 0:
        return members
    counts, sums = members.counts.copy(), members.sums.copy()
    for cluster, code, sample in zip(empty, far.codes, far.samples, strict=False):
        sums[code] -= sample
        counts[code] -= 1
        sums[cluster], counts[cluster] = sample, 1
    return Members(counts, sums)


def _find_farthest(X: NDArray[Any], centers: Centers, most: int) -> Farthest:
    parts = [Farthest(*some) for some in _measure(X, centers)]
    return _merge_farthest(parts, most)


def _merge_farthest(parts: list[Farthest], most: int) -> Farthest:
    found = Farthest(*map(np.concatenate, zip(*parts, strict=True)))
    order = np.argsort(-found.squares, kind="stable")[:most]
    return Farthest(*(values[order] for values in found))


def _average(members: Members) -> NDArray[np.float64]:
    """Return the means; a cluster that is still empty gets that of the largest, as in scikit-learn."""
    means = members.sums / np.maximum(members.counts, 1)[:, None]
    means[members.counts == 0] = means[members.counts.argmax()]
    return np.asarray(means)

"""Samples of a Dask array as a sweep takes them: some rows in memory, passes over all rows block by block.

An index brings rows into memory, as that of an array does, so that what needs a few thousand rows (starts of k-means,
the test of gaps, null sets, stability) takes both alike. A pass is one task a block and a tree of merges; nothing is
held between two passes but its result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from dask import delayed
from numpy.typing import NDArray

from fastsil.dask_arrays.graph import tree
from fastsil.dask_arrays.inputs import check_array
from fastsil.validation import check_data
from fastsil.validation.arrays import is_sparse, iterate_chunks, result_dtype

Floats = NDArray[np.float64]

# Rows mapped at a time.
_PART_BYTES = 64 << 10
_LEAST_ROWS = 64


class Moments(NamedTuple):
    """Number of rows, their mean, and the sum of squares of each feature about it, or of products of features."""

    n: int
    mean: Floats
    scatter: Floats

    @property
    def variances(self) -> Floats:
        """Variance of each feature (n in the denominator)."""
        return (self.scatter.diagonal() if self.scatter.ndim == 2 else self.scatter) / self.n


class RowBlocks:
    """Samples in blocks of whole rows.

    Parameters
    ----------
    array : dask.array.Array of shape (n_samples, n_features)
        float32 or float64, one chunk of features, no empty chunk of rows.
    """

    def __init__(self, array: Any) -> None:
        self.array = array
        self._taken: tuple[bytes, NDArray[Any]] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.array.shape  # type: ignore[no-any-return]

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype  # type: ignore[no-any-return]

    @property
    def nbytes(self) -> int:
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def __getitem__(self, rows: NDArray[np.intp] | slice) -> NDArray[Any]:
        """Compute some rows, given in ascending order, into memory; the last ones are kept, for the next k."""
        rows = np.arange(self.shape[0])[rows] if isinstance(rows, slice) else rows
        # Threads that take rows at once overwrite each other's: each returns its own.
        key, taken = hashlib.sha256(rows.tobytes()).digest(), self._taken
        if taken is None or taken[0] != key:
            taken = self._taken = key, np.ascontiguousarray(self.array[rows].compute(), dtype=self.dtype)
        return taken[1]

    @property
    def blocks(self) -> list[Any]:
        """The blocks, as delayed arrays."""
        return list(self.array.to_delayed(optimize_graph=False)[:, 0])

    @property
    def starts(self) -> list[int]:
        """Number of rows before each block."""
        sizes = np.array(self.array.chunks[0])
        return (np.cumsum(sizes) - sizes).tolist()  # type: ignore[no-any-return]

    def map_rows(self, function: Callable[[Any], Any]) -> RowBlocks:
        """Return the samples that a function makes of each block; it takes any number of rows."""
        like = function(np.zeros((1, self.shape[1]), self.dtype))
        chunks = (self.array.chunks[0], (like.shape[1],))
        known = {"function": function, "like": like[:0]}
        return RowBlocks(self.array.map_blocks(_map_parts, **known, dtype=like.dtype, chunks=chunks, meta=like[:0]))

    def map_to_labels(self, function: Callable[..., Any], **known: Any) -> Any:
        """Return one label a row as a lazy array in the chunks of the samples."""
        return self.array.map_blocks(function, drop_axis=1, dtype=np.int32, meta=np.empty(0, np.int32), **known)

    def reduce(
        self,
        measure: Callable[..., Any],
        merge: Callable[[list[Any]], Any],
        *known: Any,
        of_blocks: Sequence[Sequence[Any]] = (),
    ) -> Any:
        """Compute ``merge`` of what ``measure(block, *known)`` gives, in one pass.

        Parameters
        ----------
        measure, merge : callable
            Of a block, and of a list of results in the order of the blocks.
        *known
            Further arguments, sent to each worker once.
        of_blocks : sequence of sequence
            Further arguments before these, one for each block.
        """
        measure_block, known = delayed(measure), tuple(delayed(each, traverse=False) for each in known)
        parts = [measure_block(*block, *known) for block in zip(self.blocks, *of_blocks, strict=True)]
        return tree(merge, parts).compute()

    @cached_property
    def moments(self) -> Moments:
        """Mean and variances, in one pass."""
        found: Moments = self.reduce(measure_moments, merge_moments)
        return found

    def compute_products(self) -> Moments:
        """Compute the mean and the products of features about it, in one pass."""
        found: Moments = self.reduce(measure_moments, merge_moments, True)
        return found

    def compute_digest(self) -> str:
        """Compute a digest of the contents and their cut into blocks."""
        parts: str = self.reduce(_digest_block, "".join)
        return hashlib.sha256(f"{self.shape} {self.dtype} {parts}".encode()).hexdigest()


def check_samples(X: Any) -> RowBlocks:
    """Return a user's Dask array as blocks of rows; all values are checked, in the pass that measures their moments.

    Raises
    ------
    ValueError
        If it is not two-dimensional, is empty, its chunks have unknown sizes, or a value is not finite.
    TypeError
        If its blocks are no NumPy arrays.
    """
    blocks = open_samples(X)
    given = RowBlocks(_filled(check_array(X)))
    blocks.moments = given.reduce(_check_block, merge_moments, of_blocks=[given.starts])
    return blocks


def open_samples(X: Any) -> RowBlocks:
    """Return a user's Dask array as blocks of rows in float32 or float64, without a look at the values."""
    X = _filled(check_array(X))
    return RowBlocks(X.astype(result_dtype(X.dtype)))


def _filled(X: Any) -> Any:
    return X.rechunk((tuple(size for size in X.chunks[0] if size), X.chunks[1]))


def _check_block(X: Any, first_row: int) -> Moments:
    if not isinstance(X, np.ndarray):
        kind = f"{type(X).__module__}.{type(X).__name__}"
        advice = "X.map_blocks(lambda block: block.toarray())" if is_sparse(X) else "X.map_blocks(cupy.asnumpy)"
        raise TypeError(f"a block of X is a {kind}, and a sweep takes NumPy arrays; pass {advice}, for example.")
    X = check_data(X, first_row=first_row, warns=False)
    return measure_moments(X)


def measure_moments(X: NDArray[Any], of_pairs: bool = False) -> Moments:
    """Measure the moments of a block, relative to its first row, so that an offset costs no digits."""
    first = X[0].astype(np.float64)
    total = sum((chunk - first).sum(axis=0) for _, chunk in iterate_chunks(X))
    mean = total / len(X)
    scatter = np.zeros((X.shape[1],) * (2 if of_pairs else 1))
    for _, chunk in iterate_chunks(X):
        centered = (chunk - first) - mean
        scatter += centered.T @ centered if of_pairs else np.einsum("ij,ij->j", centered, centered)
    return Moments(len(X), first + mean, scatter)


def merge_moments(parts: list[Moments]) -> Moments:
    """Merge the moments of several blocks, in their order (Chan, Golub and LeVeque)."""
    merged = parts[0]
    for part in parts[1:]:
        n, apart = merged.n + part.n, part.mean - merged.mean
        between = np.multiply.outer(apart, apart) if merged.scatter.ndim == 2 else apart**2
        mean = merged.mean + apart * (part.n / n)
        merged = Moments(n, mean, merged.scatter + part.scatter + between * (merged.n * part.n / n))
    return merged


def _map_parts(X: NDArray[Any], function: Callable[[Any], Any], like: NDArray[Any]) -> NDArray[Any]:
    """Apply a function of rows to a few at a time; on a whole block, its temporary arrays took four times the time."""
    mapped = np.empty((len(X), like.shape[1]), like.dtype)
    step = max(_LEAST_ROWS, _PART_BYTES // (X.dtype.itemsize * X.shape[1]))
    for start in range(0, len(X), step):
        rows = slice(start, start + step)
        mapped[rows] = function(X[rows])
    return mapped


def _digest_block(X: NDArray[Any]) -> str:
    return hashlib.sha256(f"{X.shape}".encode() + np.ascontiguousarray(X).tobytes()).hexdigest()

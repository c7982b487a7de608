"""Results of the latest calls, for callers that ask for the same ones twice.

Code written for scikit-learn calls ``silhouette_score`` and then ``silhouette_samples`` for the same labels, and each
computes everything. While fastsil stands in scikit-learn's place, the second call is answered from here. At any other
time nothing is remembered: what a call of fastsil costs is what it takes.

A result is found by a digest of the contents of X and of the labels. No reference to X is kept, and data that were
changed in place are other data.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.terms import SilhouetteTerms
from fastsil.runtime.lazy_imports import make_fork_safe_lock
from fastsil.runtime.threads import enough_for_threads, run_tasks
from fastsil.validation.arrays import is_sparse
from fastsil.validation.partition import Partition

# A score, and its samples, in two metrics: what a script has in hand at a time.
_MAX_RESULTS = 2
# All of them together; a result is 20 bytes a sample, so that one of 3 million samples is kept.
_MAX_BYTES = 64 << 20

# Pieces that threads take in turn.
_PIECE_BYTES = 4 << 20

_LOCK = make_fork_safe_lock()


class Memo:
    """The latest results; empty and idle until it is switched on.

    Parameters
    ----------
    max_results : int
        Results kept at most, the least recently used leaving first.
    max_bytes : int
        Bytes that they take at most, all together.
    """

    def __init__(self, max_results: int = _MAX_RESULTS, max_bytes: int = _MAX_BYTES) -> None:
        self._max_results = max_results
        self._max_bytes = max_bytes
        self._results: OrderedDict[bytes, SilhouetteTerms] = OrderedDict()
        self._is_on = False

    def switch(self, *, on: bool) -> None:
        """Start remembering, or stop and forget everything."""
        with _LOCK:
            self._is_on = on
            if not on:
                self._results.clear()

    def recall(
        self,
        X: Any,
        partition: Partition,
        metric: Any,
        metric_params: dict[str, Any],
        compute: Callable[[], SilhouetteTerms],
        *,
        n_jobs: int,
    ) -> SilhouetteTerms:
        """What ``compute()`` gives for these arguments: remembered if it can be, else computed and remembered.

        Callables, keywords that are neither numbers, words nor arrays of numbers, and data in a file are not looked up:
        they may change unseen, or take as long to read as to score.

        Parameters
        ----------
        X : ndarray or CSR matrix of shape (n_samples, n_features)
            Samples, checked.
        partition : Partition
            Samples grouped by cluster; only its codes count, as terms know no labels.
        metric : str or callable
            Metric.
        metric_params : dict
            Its keywords.
        compute : callable
            Computes the terms for these arguments.
        n_jobs : int
            Threads for the digest.
        """
        if not self._is_on or not isinstance(metric, str) or _is_mapped(X):
            return compute()
        described = _description(X, metric, metric_params)
        if described is None:
            return compute()
        key = _digest(described, [*_list_arrays(X), partition.codes, *_arrays_in(metric_params)], n_jobs=n_jobs)
        with _LOCK:
            remembered = self._results.get(key)
            if remembered is not None:
                self._results.move_to_end(key)
        if remembered is not None:
            return _copy(remembered)
        terms = compute()
        self._keep(key, terms)
        return terms

    def _keep(self, key: bytes, terms: SilhouetteTerms) -> None:
        if _size(terms) > self._max_bytes:
            return
        kept = _copy(terms)
        with _LOCK:
            if not self._is_on:
                return
            self._results[key] = kept
            self._results.move_to_end(key)
            while len(self._results) > self._max_results or self._bytes() > self._max_bytes:
                self._results.popitem(last=False)

    def _bytes(self) -> int:
        return sum(map(_size, self._results.values()))


MEMO = Memo()
"""The one that the public functions ask; switched by :mod:`fastsil.scoring.sklearn_patch`."""


def _size(terms: SilhouetteTerms) -> int:
    return terms.a.nbytes + terms.b.nbytes + terms.neighbor.nbytes


def _copy(terms: SilhouetteTerms) -> SilhouetteTerms:
    """Arrays of its own: callers may write to what they are given."""
    return replace(terms, a=terms.a.copy(), b=terms.b.copy(), neighbor=terms.neighbor.copy())


def _is_mapped(X: Any) -> bool:
    while isinstance(X, np.ndarray):
        if isinstance(X, np.memmap):
            return True
        X = X.base
    return False


def _description(X: Any, metric: str, params: dict[str, Any]) -> bytes | None:
    """Everything about a call but the contents of arrays; None if it cannot be told completely."""
    about = [metric, "sparse" if is_sparse(X) else "dense", X.shape, X.dtype.str]
    for name, value in sorted(params.items()):
        if isinstance(value, np.ndarray) and value.dtype.kind in "biufc":
            about += [name, value.shape, value.dtype.str]
        elif value is None or isinstance(value, (bool, int, float, str)):
            about += [name, repr(value)]
        else:
            return None
    return repr(about).encode()


def _list_arrays(X: Any) -> list[NDArray[Any]]:
    return [X.data, X.indices, X.indptr] if is_sparse(X) else [X]


def _arrays_in(params: dict[str, Any]) -> list[NDArray[Any]]:
    return [value for _, value in sorted(params.items()) if isinstance(value, np.ndarray)]


def _digest(described: bytes, arrays: list[NDArray[Any]], *, n_jobs: int) -> bytes:
    """SHA-1 of the SHA-1 of every piece: the fastest in Python's own library, and threads can share it."""
    pieces = [piece for array in arrays for piece in _pieces(array)]
    digests = [b""] * len(pieces)

    def hash_piece(index: int, _stop: NDArray[np.uint8]) -> None:
        digests[index] = _sha1(pieces[index])

    sizes = [len(piece) for piece in pieces]
    run_tasks(hash_piece, range(len(pieces)), sizes, n_jobs=enough_for_threads(n_jobs, sum(sizes), _PIECE_BYTES))
    return _sha1(b"".join([_sha1(described), *digests]))


def _pieces(array: NDArray[Any]) -> Iterator[NDArray[np.uint8]]:
    everything = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    for start in range(0, len(everything), _PIECE_BYTES):
        yield everything[start : start + _PIECE_BYTES]


def _sha1(contents: Any) -> bytes:
    return hashlib.sha1(contents, usedforsecurity=False).digest()

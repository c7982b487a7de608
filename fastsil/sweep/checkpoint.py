"""A folder that a long sweep can go on from: one file for each piece of work, whole or not there.

A record names the data (by their contents) and the parameters; every file repeats that identity, so that pieces of
another sweep are never taken for one's own. Files hold plain arrays and are read without pickle.
"""

from __future__ import annotations

import hashlib
import json
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from fastsil.runtime.atomic_files import read_json, replacing, write_json

_RECORD = "checkpoint.json"
# To be raised when the contents of pieces or their computation change.
_VERSION = 2
_IDENTITY = "identity"
# Bytes of data digested at a time: of a file mapped into memory, no more need be there at once.
_CHUNK = 64 << 20

Arrays = dict[str, NDArray[Any]]
Recall = Callable[[str, Callable[[], Arrays | None]], Arrays | None]
"""``recall(name, compute)``: the arrays of that name from an earlier run, or else computed and kept (None is not)."""


def forget(name: str, compute: Callable[[], Arrays | None]) -> Arrays | None:
    """Compute, where nothing is kept."""
    return compute()


class Checkpoint:
    """The folder of one sweep.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there.
    data : str
        Digest of the data, by :func:`compute_digest`.
    parameters : mapping of str to str
        Parameters on which the results depend, besides the data.
    seed : int
        Used if the folder has none yet; see ``seed``.

    Attributes
    ----------
    seed : int
        That of the run that made the folder, which may have been drawn.

    Raises
    ------
    ValueError
        If the folder is of other data or of other parameters.
    OSError
        If it cannot be made or written to.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     first = Checkpoint(folder, data="a", parameters={"n_init": "3"}, seed=7)
    ...     first.save("fit-2", {"labels": np.array([0, 1])})
    ...     again = Checkpoint(folder, data="a", parameters={"n_init": "3"}, seed=8)
    ...     again.seed, again.load("fit-2")["labels"]
    (7, array([0, 1]))
    """

    def __init__(self, folder: str | Path, *, data: str, parameters: Mapping[str, str], seed: int) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        record = read_json(self._folder / _RECORD)
        if record:
            _refuse_others(self._folder, record, data, parameters)
        elif (self._folder / _RECORD).exists():
            _warn_damaged(self._folder / _RECORD)
        self.seed = int(record.get("seed", seed))
        identity = json.dumps([_VERSION, data, dict(parameters), self.seed], sort_keys=True)
        self._identity = hashlib.sha256(identity.encode()).hexdigest()
        for draft in self._folder.glob(".*-*.npz"):  # of a run that was killed
            draft.unlink(missing_ok=True)
        self._record = {} if record else {"data": data, "parameters": dict(parameters), "seed": self.seed}

    def load(self, name: str) -> Arrays | None:
        """Return the arrays stored under a name; None if there are none, or, with a log line, if their file is
        damaged.
        """
        path = self._folder / f"{name}.npz"
        if not path.exists():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError):
            _warn_damaged(path)
            return None
        mine = str(arrays.pop(_IDENTITY, "")) == self._identity
        return arrays if mine else None

    def save(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep arrays under a name; they are there after a crash, whole, or not at all."""
        if self._record:  # which comes with the first piece: work that fails at once leaves nothing
            write_json(self._folder / _RECORD, self._record, durable=True)
            self._record = {}
        with replacing(self._folder / f"{name}.npz", durable=True) as draft, draft.open("wb") as file:
            np.savez(file, **{_IDENTITY: np.array(self._identity)}, **dict(arrays))  # type: ignore[arg-type]

    def recall(self, prefix: str) -> Recall:
        """Return a :data:`Recall` whose names begin with ``prefix``."""

        def recall(name: str, compute: Callable[[], Arrays | None]) -> Arrays | None:
            kept = self.load(prefix + name)
            if kept is None:
                kept = compute()
                if kept is not None:
                    self.save(prefix + name, kept)
            return kept

        return recall


def compute_digest(X: Any) -> str:
    """Digest of shape, type and contents of samples.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Samples; read in pieces.
    """
    digest = hashlib.sha256(f"{X.shape} {X.dtype}".encode())
    sparse: bool = issparse(X)
    for array in (X.data, X.indices, X.indptr) if sparse else (X,):
        step = max(1, _CHUNK // max(1, array[:1].nbytes))
        for start in range(0, len(array), step):
            digest.update(np.ascontiguousarray(array[start : start + step]).view(np.uint8).data)
    return digest.hexdigest()


def described(value: Any) -> str:
    """Describe a parameter in a form that is equal in another process; arrays by their contents.

    Examples
    --------
    >>> described({"V": None, "p": 2.0}), described(range(2, 5)), described(len)
    ("{'V': None, 'p': 2.0}", 'range(2, 5)', 'builtins.len')
    """
    if isinstance(value, np.ndarray):
        return f"array {compute_digest(value)}" if value.ndim and value.dtype != object else repr(value.tolist())
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {described(value[key])}" for key in sorted(value)) + "}"
    if hasattr(value, "get_params") and not isinstance(value, type):
        return f"{type(value).__module__}.{type(value).__qualname__}({described(value.get_params())})"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(described, value)) + "]"
    if callable(value):
        return f"{value.__module__}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return repr(value)


def _refuse_others(folder: Path, record: Mapping[str, Any], data: str, parameters: Mapping[str, str]) -> None:
    if record.get("data") != data:
        raise ValueError(
            f"the checkpoint in {folder} is of other data; pass the data that it was begun with, or another folder."
        )
    before: Mapping[str, str] = record.get("parameters", {})
    changed = [
        f"{name} was {before.get(name, 'not there')} and is {parameters.get(name, 'not there')}"
        for name in sorted({*before, *parameters})
        if before.get(name) != parameters.get(name)
    ]
    if changed:
        raise ValueError(
            f"the checkpoint in {folder} is of other parameters: {'; '.join(changed)}. Pass the same, or another "
            "folder."
        )


def _warn_damaged(path: Path) -> None:
    warnings.warn(f"{path} is damaged; what it held is computed again.", UserWarning, stacklevel=2)

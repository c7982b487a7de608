"""A folder that a long sweep can go on from: one file for each piece of work, whole or not there.

A record names the data (by their contents) and the parameters; every file repeats that identity, so that pieces of
another sweep are never taken for one's own. Files hold plain arrays, behind a digest of them, and are read without
pickle. (joblib.Memory unpickles, and gave wrong arrays back for 520 of 600 files with damaged bytes.)
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

from fastsil.runtime.atomic_files import read_record, replacing, write_record

_RECORD = "checkpoint.json"
# To be raised when pieces hold something else, or are computed in another way.
_VERSION = 4
# Begins every file of a piece; a digest of the rest follows, then the identity, then the arrays as an .npz.
_MAGIC = b"fastsil piece\n"
_DIGEST_BYTES = 32
_ENDING = ".piece"
_DRAFT = re.compile(r"\.fastsil-[0-9a-f]{16}")
# Bytes of data digested at a time: of a file mapped into memory, no more need be there at once.
_CHUNK = 64 << 20

Arrays = dict[str, NDArray[Any]]
# Of a piece to be written, while other runs end in the same folder.
_ATTEMPTS = 4

CachedCall = Callable[[str, Callable[[], Arrays | None]], Arrays | None]
"""``cached(name, compute)``: the arrays of that name from an earlier run, or else computed and kept (None is not)."""


def no_cache(name: str, compute: Callable[[], Arrays | None]) -> Arrays | None:
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
        If it cannot be made.

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
        record = read_record(self._folder / _RECORD)
        if record:
            _refuse_others(self._folder, record, data, parameters)
            seed = record["seed"]
        elif record is not None:
            _warn_damaged(self._folder / _RECORD)
        self.seed = seed
        identity = json.dumps([_VERSION, data, dict(parameters), seed], sort_keys=True)
        self._identity = hashlib.sha256(identity.encode()).digest()
        self._record = {} if record else {"data": data, "parameters": dict(parameters), "seed": seed}
        self._has_warned = False

    def load(self, name: str) -> Arrays | None:
        """Return the arrays kept under a name; None if there are none, or, with a warning, if their file is damaged."""
        path = self._folder / f"{name}{_ENDING}"
        try:
            with path.open("rb") as file:
                return _read_piece(file, self._identity)
        except FileNotFoundError:
            return None
        except Exception:  # damage may bring any reader to raise anything
            _warn_damaged(path)
            return None

    def save(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Keep arrays under a name: after a crash they are there as a whole or not at all.

        Where they cannot be written, a warning says so once; the results in memory count.
        """
        try:
            for _ in range(_ATTEMPTS):
                # Another run in the folder, once it is finished, removes all drafts.
                with contextlib.suppress(FileNotFoundError):
                    return self._write(name, arrays)
            self._write(name, arrays)
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True
                warnings.warn(
                    f"the checkpoint in {self._folder} cannot be written ({error.strerror or error}); the sweep goes "
                    "on, and a later one computes again what is not kept there.",
                    UserWarning,
                    stacklevel=2,
                )

    def _write(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        if self._record:  # which comes with the first piece: work that fails at once leaves nothing
            write_record(self._folder / _RECORD, self._record, durable=True)
            self._record = {}
        with replacing(self._folder / f"{name}{_ENDING}", durable=True) as draft, draft.open("r+b") as file:
            _write_piece(file, self._identity, arrays)

    def cached(self, prefix: str) -> CachedCall:
        """Return a :data:`CachedCall` whose names begin with ``prefix``."""

        def cached(name: str, compute: Callable[[], Arrays | None]) -> Arrays | None:
            kept = self.load(prefix + name)
            if kept is None:
                kept = compute()
                if kept is not None:
                    self.save(prefix + name, kept)
            return kept

        return cached


def has_pieces(folder: Path) -> bool:
    """Return whether there is something to go on from."""
    return any(_is_piece(path) for path in folder.glob(f"*{_ENDING}"))


def remove_pieces(folder: Path) -> None:
    """Remove the files of a checkpoint, which their contents show to be ours, and nothing else."""
    for path in folder.glob("*"):
        if _is_piece(path) or (_DRAFT.fullmatch(path.name) and path.is_file()):
            path.unlink(missing_ok=True)
    with contextlib.suppress(ValueError):
        if read_record(folder / _RECORD) is not None:
            (folder / _RECORD).unlink(missing_ok=True)


def _is_piece(path: Path) -> bool:
    if path.suffix != _ENDING or path.is_symlink():
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def _write_piece(file: IO[bytes], identity: bytes, arrays: Mapping[str, NDArray[Any]]) -> None:
    file.write(_MAGIC + bytes(_DIGEST_BYTES) + identity)
    np.savez(file, **dict(arrays))  # type: ignore[arg-type]
    file.seek(len(_MAGIC) + _DIGEST_BYTES)
    digest = _digest_rest(file)
    file.seek(len(_MAGIC))
    file.write(digest)


def _read_piece(file: IO[bytes], identity: bytes) -> Arrays | None:
    """Return the arrays of a piece; None if it is of another sweep.

    Raises
    ------
    ValueError
        If its bytes are not those that were written.
    """
    head = file.read(len(_MAGIC) + _DIGEST_BYTES)
    if head != _MAGIC + _digest_rest(file):
        raise ValueError("damaged")
    file.seek(len(head))
    if file.read(len(identity)) != identity:
        return None
    with np.load(file, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def _digest_rest(file: IO[bytes]) -> bytes:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.digest()


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

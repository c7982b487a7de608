"""NumPy's files, .npy and .npz, of samples or of labels; never a pickle.

A header is held against the bytes that follow it before NumPy makes room for what it promises.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.cli.readers.records import LABEL_NAMES, DataFile, DataFileError, check_room, choose, refuse_names

_NPY_MAGIC = b"\x93NUMPY"
# What numpy says of a .npy file, and what it means to a user.
_NO_PICKLE = (
    "holds Python objects, which only a pickle can bring back, and a pickle can run any code; save numbers, "
    "for example numpy.save(path, numpy.asarray(X, dtype=float))."
)
_NPY_REASONS = {
    "Python objects": _NO_PICKLE,
    "allow_pickle": _NO_PICKLE,
    "mmap length": "is cut short: it has fewer bytes than its header says.",
    "EOF": "is cut short, within its header.",
    "empty file": "is empty: its array has no entries.",
}


def read_npy(path: Path, key: str | None, labels_column: str | None, drop: tuple[str, ...]) -> DataFile:
    refuse_names(path, key=key, labels_column=labels_column, drop=drop)
    return DataFile(_load_npy(path))


def read_npz(path: Path, key: str | None, labels_column: str | None, drop: tuple[str, ...]) -> DataFile:
    refuse_names(path, drop=drop)
    labels = None if labels_column is None else np.ravel(_load_npz(path, labels_column, ()))
    return DataFile(_load_npz(path, key, ("X", "x", "data")), labels=labels)


def read_label_npy(path: Path, key: str | None) -> NDArray[Any]:
    refuse_names(path, key=key)
    return _load_npy(path)


def read_label_npz(path: Path, key: str | None) -> NDArray[Any]:
    return _load_npz(path, key, LABEL_NAMES)


def _load_npy(path: Path) -> NDArray[Any]:
    with path.open("rb") as file:
        magic = file.read(len(_NPY_MAGIC))
        if not magic:
            raise DataFileError(f"{path} is empty (0 bytes).")
        if magic != _NPY_MAGIC:
            raise DataFileError(f"{path} is no .npy file: it begins with {magic!r}; write it with numpy.save.")
        file.seek(0)
        _check_header(str(path), file, path.stat().st_size, exact=False)
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
    except ValueError as error:
        reasons = [reason for fragment, reason in _NPY_REASONS.items() if fragment in str(error)]
        if not reasons:
            raise
        raise DataFileError(f"{path} {reasons[0]}") from error


def _load_npz(path: Path, key: str | None, names: Sequence[str]) -> NDArray[Any]:
    if not zipfile.is_zipfile(path):
        raise DataFileError(f"{path} is no .npz file, or is cut short; write it with numpy.savez.")
    with np.load(path, allow_pickle=False) as archive:
        name = choose(path, archive.files, key, names, "array")
        _check_member(path, archive.zip, name)
        return np.asarray(archive[name])


def _check_member(path: Path, archive: Any, name: str) -> None:
    """Refuse an array whose header does not fit its bytes, or that does not fit the memory, which numpy takes first."""
    if f"{name}.npy" not in archive.namelist():
        raise DataFileError(f"{path}:{name} is no array; write arrays with numpy.savez.")
    stored = archive.getinfo(f"{name}.npy").file_size
    with archive.open(f"{name}.npy") as member:
        _check_header(f"{path}:{name}", member, stored, exact=True)
    check_room(path, stored)


def _check_header(name: str, file: Any, n_bytes: int, *, exact: bool) -> None:
    """Refuse an array whose header promises other bytes than there are, before numpy makes room for them."""
    version = np.lib.format.read_magic(file)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read_header:
        raise DataFileError(f"{name} has fields with names, and is no array of numbers.")
    shape, _, dtype = read_header[version](file)
    if dtype.hasobject:
        raise DataFileError(f"{name} {_NO_PICKLE}")
    promised, there = math.prod(shape) * dtype.itemsize, n_bytes - file.tell()
    if promised > there and min(shape, default=0) >= 0:
        raise DataFileError(f"{name} {_NPY_REASONS['mmap length']}")
    if min(shape, default=0) < 0 or (exact and promised != there):
        raise DataFileError(f"{name} is damaged: its header says {shape} of {dtype}, and {there:,} bytes follow.")

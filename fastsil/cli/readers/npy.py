"""NumPy's files, .npy and .npz, of samples or of labels; never a pickle."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.cli.readers.records import (
    LABEL_NAMES,
    DataFile,
    DataFileError,
    LabelFile,
    Reading,
    check_room,
    choose,
    refuse_names,
)

# NumPy's messages about an array, and their meaning for users.
_NO_PICKLE = (
    "holds Python objects, which only a pickle can bring back, and a pickle can run any code; save numbers, "
    "for example numpy.save(path, numpy.asarray(X, dtype=float))."
)
_REASONS = {
    "Python objects": _NO_PICKLE,
    "allow_pickle": _NO_PICKLE,
    "mmap length": "is cut short: it has fewer bytes than its header declares.",
    "EOF": "is cut short.",
    "No data left": "is empty (0 bytes).",
    "empty file": "is empty: its array has no entries.",
    "magic": "is no .npy file; write it with numpy.save.",
}


def read_npy(path: Path, reading: Reading) -> DataFile:
    refuse_names(
        path,
        key=reading.key,
        labels_column=reading.labels_column,
        features=reading.features,
        exclude=reading.exclude,
    )
    return DataFile(_load_npy(path))


def read_npz(path: Path, reading: Reading) -> DataFile:
    refuse_names(path, features=reading.features, exclude=reading.exclude)
    labels = None if reading.labels_column is None else np.ravel(_load_npz(path, reading.labels_column, ())[1])
    return DataFile(_load_npz(path, reading.key, ("X", "x", "data"))[1], labels=labels)


def read_label_npy(path: Path, reading: Reading) -> LabelFile:
    refuse_names(path, key=reading.key)
    return LabelFile(_load_npy(path))


def read_label_npz(path: Path, reading: Reading) -> LabelFile:
    name, labels = _load_npz(path, reading.key, LABEL_NAMES)
    return LabelFile(labels, name)


def _load_npy(path: Path) -> NDArray[Any]:
    with _in_one_sentence(str(path)):
        # Not numpy.load, which takes an .npz or a pickle of that name as well.
        return np.lib.format.open_memmap(path, mode="r")


def _load_npz(path: Path, key: str | None, names: Sequence[str]) -> tuple[str, NDArray[Any]]:
    with path.open("rb") as file:
        # numpy.load takes a file that is no .npz for another format.
        if file.read(2) != b"PK" or not zipfile.is_zipfile(file):
            raise DataFileError(f"{path} is no .npz file, or is damaged or cut short; write it with numpy.savez.")
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            return _load_member(path, archive, key, names)


def _load_member(path: Path, archive: Any, key: str | None, names: Sequence[str]) -> tuple[str, NDArray[Any]]:
    name = choose(path, archive.files, key, names, "array")
    if f"{name}.npy" not in archive.zip.namelist():
        raise DataFileError(f"{path}:{name} is no array; write arrays with numpy.savez.")
    check_room(path, archive.zip.getinfo(f"{name}.npy").file_size)
    with _in_one_sentence(f"{path}:{name}"):
        return name, np.asarray(archive[name])


@contextlib.contextmanager
def _in_one_sentence(name: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        reasons = [reason for fragment, reason in _REASONS.items() if fragment in str(error)]
        if not reasons:
            raise
        raise DataFileError(f"{name} {reasons[0]}") from error

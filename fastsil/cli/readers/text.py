"""Text: tables of samples or labels in .csv, .csv.gz and .tsv, and .txt with a label a line."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsil.cli.readers.records import (
    LABEL_NAMES,
    DataFile,
    DataFileError,
    check_room,
    choose,
    first_line,
    get_suffix,
    listed,
    refuse_names,
)
from fastsil.runtime.memory import available_bytes

if TYPE_CHECKING:
    import pandas as pd

# A line of text longer than this is no row of a table.
_LONGEST_LINE = 64 << 20


def read_table(path: Path, key: str | None, labels_column: str | None, drop: tuple[str, ...]) -> DataFile:
    frame = _load_frame(path)
    names = list(frame.columns)
    for name in (*drop, *([labels_column] if labels_column else []), *([key] if key else [])):
        choose(path, names, name, (), "column")
    labels = None if labels_column is None else _label_values(frame[labels_column])
    features = frame[[name for name in names if name != labels_column and name not in drop]]
    if key is not None:
        features = features[[key]]
    return _numeric_features(path, features, labels)


def read_label_table(path: Path, key: str | None) -> NDArray[Any]:
    frame = _load_frame(path)
    return _label_values(frame[choose(path, list(frame.columns), key, LABEL_NAMES, "column")])


def read_label_lines(path: Path, key: str | None) -> NDArray[Any]:
    refuse_names(path, key=key)
    check_room(path, path.stat().st_size)
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    words = [line.strip() for line in (lines[:-1] if lines[-1] == "" else lines)]
    if "" in words or not words:
        raise DataFileError(f"{path}: line {words.index('') + 1 if words else 1} is empty; write one label a line.")
    try:
        return np.array([int(word) for word in words])
    except ValueError:
        return np.array(words)


def _numeric_features(path: Path, features: pd.DataFrame, labels: NDArray[Any] | None) -> DataFile:
    numeric = [name for name in features.columns if features[name].dtype.kind in "biuf"]
    if not numeric:
        raise DataFileError(f"{path} has no numeric column to use as a feature; it has: {listed(features.columns)}.")
    _check_gaps(path, features[numeric])
    left_out = [name for name in features.columns if name not in numeric]
    notes = [f"columns used: {listed(numeric)} ({len(numeric)} numeric)"]
    if left_out:
        notes.append(f"columns left out, not numeric: {listed(left_out)}")
    values = features[numeric].to_numpy()
    X = values if values.dtype.kind == "f" else values.astype(np.float64)
    return DataFile(np.ascontiguousarray(X), columns=tuple(numeric), labels=labels, notes=tuple(notes))


def _check_gaps(path: Path, features: pd.DataFrame) -> None:
    for name in features.columns:
        gaps = features[name].isna().to_numpy()
        if gaps.any():
            row = int(gaps.argmax())
            raise DataFileError(
                f"{path}: column {name!r} has {int(gaps.sum())} empty or NaN cells, the first in row {row + 1} of the "
                f"data (or that line is short of cells); fill them or drop those rows."
            )


def _label_values(column: Any) -> NDArray[Any]:
    values = column.to_numpy()
    # pandas keeps text as objects; labels need one type that sorts.
    return values if values.dtype.kind in "biuf" or column.isna().any() else np.asarray(values.astype(str))


def _load_frame(path: Path) -> pd.DataFrame:
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(f"reading {path} needs pandas; install it with: pip install 'fastsil[frames]'") from error
    separator = "\t" if get_suffix(path) == ".tsv" else ","
    try:
        first = _first_row(path, separator)
        with _unpacked(path) as text:
            # index_col=False: else a line with one cell too many silently makes the first column an index.
            frame: pd.DataFrame = pd.read_csv(
                text,
                sep=separator,
                encoding="utf-8-sig",
                header=0 if _is_header(first) else None,
                index_col=False,
                low_memory=False,
                on_bad_lines="error",
                skipinitialspace=True,
                **_choose_precision(pd),
            )
    except pd.errors.EmptyDataError:
        raise DataFileError(f"{path} is empty.") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = first_line(error).removeprefix("Error tokenizing data. C error: ").rstrip(".")
        raise DataFileError(f"{path}: its lines have different numbers of cells ({reason}).") from error
    frame.columns = frame.columns.map(str)
    return frame


def _choose_precision(pd: Any) -> dict[str, Any]:
    """Return pandas's keywords for exact numbers, which versions before 3 need and later ones reject."""
    return {"float_precision": "round_trip"} if int(pd.__version__.partition(".")[0]) < 3 else {}


def _first_row(path: Path, separator: str) -> list[str]:
    with _unpacked(path) as packed, io.TextIOWrapper(packed, encoding="utf-8-sig", newline="") as file:
        return next(csv.reader(_lines(path, file), delimiter=separator), [])


def _lines(path: Path, file: IO[str]) -> Iterator[str]:
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise DataFileError(f"{path} has a line of more than {_LONGEST_LINE:,} letters; is it a table?")
        yield line


@contextlib.contextmanager
def _unpacked(path: Path) -> Iterator[io.BufferedReader]:
    """Yield the bytes of a text, unpacked, as long as they fit the memory that is free."""
    check_room(path, path.stat().st_size)
    with gzip.open(path) if get_suffix(path) == ".csv.gz" else path.open("rb") as packed:
        limited = _Limited(packed, available_bytes())
        try:
            yield io.BufferedReader(limited)
        except Exception:
            # pandas has errors of its own for a file that fails.
            if limited.is_over():
                raise DataFileError(
                    f"{path} unpacks to more than the {limited.most:,} bytes of memory that are free; save a part, "
                    "or an .npy file, which is read in place."
                ) from None
            raise


class _Limited(io.RawIOBase):
    """A file that ends with an error where more has been read than there may be."""

    def __init__(self, file: Any, most: int | None) -> None:
        self.n_read = 0
        self._file = file
        self.most = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        read = int(self._file.readinto(buffer))
        self.n_read += read
        if self.is_over():
            raise OSError("too large")
        return read

    def is_over(self) -> bool:
        return self.most is not None and self.n_read > self.most


def _is_header(cells: Sequence[str]) -> bool:
    """Return whether a first line is names: any cell that is not a number."""

    def is_number(cell: str) -> bool:
        try:
            float(cell)
        except ValueError:
            return False
        return True

    return not all(is_number(cell) for cell in cells)

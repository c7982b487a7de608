"""Files: tables of numbers and labels in, results out.

Knows .npy, .npz, .csv (.csv.gz, .tsv), .parquet, .arrow, .feather, folders of these three, and .txt for labels.
``FILE:NAME`` names one array of an .npz or one column of a table. Whatever is wrong with a file ends as a
:class:`DataFileError` of one sentence. Results are written beside their place first and then moved there, so that
nobody meets half a file.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import math
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsil.files.arrow import ENDINGS, ending_in, read_arrow, read_arrow_labels
from fastsil.files.records import LABEL_NAMES, DataFile, DataFileError, choose, listed
from fastsil.memory import available_bytes

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DataFile",
    "DataFileError",
    "read_data",
    "read_json",
    "read_labels",
    "replacing",
    "write_columns",
    "write_csv",
    "write_json",
]

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
# A line of text longer than this is no row of a table.
_LONGEST_LINE = 64 << 20


def read_data(
    source: str | Path, *, key: str | None = None, labels_column: str | None = None, drop: Sequence[str] = ()
) -> DataFile:
    """Read samples.

    Parameters
    ----------
    source : str or Path
        A .npy, .npz, .csv, .csv.gz, .tsv, .parquet, .arrow or .feather file, or a folder of files of one of the last
        three kinds, read in the order of their names; ``FILE:NAME`` is ``key`` in another place.
    key : str, optional
        Which array of an .npz, or which column of vectors of a .parquet. By default the only one, or ``X``.
    labels_column : str, optional
        Column of a table (array of an .npz) to be returned as labels and not as a feature.
    drop : sequence of str
        Columns of a table that are no features, such as numbers of rows.

    Returns
    -------
    DataFile

    Raises
    ------
    DataFileError
        If the file is not there, is damaged, or has no two-dimensional numbers.
    ImportError
        If the package that reads it is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     np.save(folder + "/X.npy", np.eye(3))
    ...     read_data(folder + "/X.npy").X.shape
    (3, 3)
    """
    path, key = _split_key(source, key)
    read = _reader(path, _DATA_READERS, "data")
    with _one_sentence(path):
        found: DataFile = read(path, key, labels_column, tuple(drop))
        _check_samples(path, found.X)
    return found


def read_labels(source: str | Path, *, key: str | None = None) -> NDArray[Any]:
    """Read labels, one for each sample.

    Parameters
    ----------
    source : str or Path
        A .npy, .npz, .csv, .csv.gz, .tsv, .parquet, .arrow or .feather file, a folder of files of one of the last
        three kinds, or a .txt with a label a line; ``FILE:NAME`` is ``key`` in another place.
    key : str, optional
        Which array or column. By default the only one, or the one named label(s), cluster(s) or y.

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    DataFileError
        If the file is not there, is damaged, or has not one column of labels.
    ImportError
        If the package that reads it is not installed.
    """
    path, key = _split_key(source, key)
    read = _reader(path, _LABEL_READERS, "labels")
    with _one_sentence(path):
        labels = np.asarray(read(path, key))
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1:
            raise DataFileError(f"{path} has an array of shape {labels.shape}; labels are one for each sample.")
    return labels


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """A place to write to that becomes ``path`` when the block ends well, and vanishes when it does not.

    ``durable``: on the disk before it becomes ``path``, so that no crash of the machine leaves an empty file there.
    """
    draft = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield draft
        if durable:
            with draft.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_csv(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """Write columns of equal length as a CSV with a header; NaN as an empty cell."""
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in zip(*(column.tolist() for column in columns.values()), strict=True):
            writer.writerow(["" if value != value else value for value in row])


def write_columns(stem: Path, columns: Mapping[str, NDArray[Any]]) -> Path:
    """Write columns of equal length as ``stem.parquet``, or as ``stem.npz`` without pyarrow; say which."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        path = stem.with_suffix(".npz")
        with replacing(path) as draft, draft.open("wb") as file:
            np.savez_compressed(file, **dict(columns))  # type: ignore[arg-type]
        return path
    path = stem.with_suffix(".parquet")
    with replacing(path) as draft:
        pq.write_table(pa.table({name: pa.array(column) for name, column in columns.items()}), draft)
    return path


def write_json(path: Path, record: Mapping[str, Any], *, durable: bool = False) -> None:
    """Write a record of plain values."""
    with replacing(path, durable=durable) as draft:
        draft.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a record written by :func:`write_json`; an empty one if there is none that can be read."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _split_key(source: str | Path, key: str | None) -> tuple[Path, str | None]:
    path = Path(source)
    before, colon, after = str(source).rpartition(":")
    if key is None and colon and after and not path.exists() and _suffix(Path(before)) in _LABEL_READERS:
        return Path(before), after
    return path, key


def _suffix(path: Path) -> str:
    name = path.name.lower()
    return ".csv.gz" if name.endswith(".csv.gz") else path.suffix.lower()


def _reader(path: Path, readers: Mapping[str, Callable[..., Any]], what: str) -> Callable[..., Any]:
    if not path.exists():
        raise DataFileError(f"there is no file {path}.")
    suffix = ending_in(path) if path.is_dir() else _suffix(path)
    if suffix not in readers:
        raise DataFileError(f"{path} has the ending {suffix or '(none)'}; {what} are read from {', '.join(readers)}.")
    return readers[suffix]


@contextlib.contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    """Turn what readers raise into a DataFileError that names the file."""
    try:
        yield
    except (DataFileError, ImportError):
        raise
    except OSError as error:
        raise DataFileError(f"{path} cannot be read: {error.strerror or _first_line(error)}.") from error
    except (EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataFileError(f"{path} is damaged or cut short ({_first_line(error)}).") from error
    except UnicodeDecodeError as error:
        raise DataFileError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    except (ValueError, KeyError, OverflowError, RuntimeError, csv.Error) as error:
        raise DataFileError(f"{path} cannot be read: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _check_room(path: Path, n_bytes: int) -> None:
    """Refuse before anything is read what is larger, unpacked, than the memory that is free."""
    available = available_bytes()
    if available is not None and n_bytes > available:
        raise DataFileError(
            f"{path} holds {n_bytes:,} bytes once unpacked, but only {available:,} bytes of memory are free; "
            "save a part of it, or an .npy file, which is read in place."
        )


def _check_samples(path: Path, X: NDArray[Any]) -> None:
    if X.dtype.kind not in "biuf":
        raise DataFileError(f"{path} holds {X.dtype} and not numbers; save X as float32 or float64.")
    if X.ndim != 2:
        advice = "reshape it to (n_samples, n_features)" if X.ndim else "a single number is no data"
        raise DataFileError(f"{path} has an array of shape {X.shape}; {advice}.")
    if 0 in X.shape:
        raise DataFileError(f"{path} is empty: its array has shape {X.shape}.")


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
    _check_room(path, stored)


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


def _read_npy(path: Path, key: str | None, labels_column: str | None, drop: tuple[str, ...]) -> DataFile:
    _refuse_names(path, key=key, labels_column=labels_column, drop=drop)
    return DataFile(_load_npy(path))


def _read_npz(path: Path, key: str | None, labels_column: str | None, drop: tuple[str, ...]) -> DataFile:
    _refuse_names(path, drop=drop)
    labels = None if labels_column is None else np.ravel(_load_npz(path, labels_column, ()))
    return DataFile(_load_npz(path, key, ("X", "x", "data")), labels=labels)


def _refuse_names(path: Path, **given: Any) -> None:
    named = [name for name, value in given.items() if value]
    if named:
        raise DataFileError(f"{path} has no named columns, so {named[0].replace('_', ' ')} does not apply to it.")


def _read_table(path: Path, key: str | None, labels_column: str | None, drop: tuple[str, ...]) -> DataFile:
    frame = _load_frame(path)
    names = list(frame.columns)
    for name in (*drop, *([labels_column] if labels_column else []), *([key] if key else [])):
        choose(path, names, name, (), "column")
    labels = None if labels_column is None else _label_values(frame[labels_column])
    features = frame[[name for name in names if name != labels_column and name not in drop]]
    if key is not None:
        features = features[[key]]
    return _numeric_features(path, features, labels)


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
    # pandas keeps text as objects; labels want one type that sorts.
    return values if values.dtype.kind in "biuf" or column.isna().any() else np.asarray(values.astype(str))


def _read_label_table(path: Path, key: str | None) -> NDArray[Any]:
    frame = _load_frame(path)
    return _label_values(frame[choose(path, list(frame.columns), key, LABEL_NAMES, "column")])


def _read_label_npy(path: Path, key: str | None) -> NDArray[Any]:
    _refuse_names(path, key=key)
    return _load_npy(path)


def _read_label_npz(path: Path, key: str | None) -> NDArray[Any]:
    return _load_npz(path, key, LABEL_NAMES)


def _read_label_lines(path: Path, key: str | None) -> NDArray[Any]:
    _refuse_names(path, key=key)
    _check_room(path, path.stat().st_size)
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    words = [line.strip() for line in (lines[:-1] if lines[-1] == "" else lines)]
    if "" in words or not words:
        raise DataFileError(f"{path}: line {words.index('') + 1 if words else 1} is empty; write one label a line.")
    try:
        return np.array([int(word) for word in words])
    except ValueError:
        return np.array(words)


def _load_frame(path: Path) -> pd.DataFrame:
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(f"reading {path} needs pandas; install it with: pip install 'fastsil[frames]'") from error
    separator = "\t" if _suffix(path) == ".tsv" else ","
    try:
        first = _first_row(path, separator)
        with _unpacked(path) as text:
            # index_col=False: else a line with one cell too many silently makes the first column an index.
            frame = pd.read_csv(
                text,
                sep=separator,
                encoding="utf-8-sig",
                header=0 if _is_header(first) else None,
                index_col=False,
                low_memory=False,
                on_bad_lines="error",
                skipinitialspace=True,
            )
    except pd.errors.EmptyDataError:
        raise DataFileError(f"{path} is empty.") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = _first_line(error).removeprefix("Error tokenizing data. C error: ").rstrip(".")
        raise DataFileError(f"{path}: its lines have different numbers of cells ({reason}).") from error
    frame.columns = frame.columns.map(str)
    return frame


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
    """The bytes of a text, unpacked, as long as they fit the memory that is free."""
    _check_room(path, path.stat().st_size)
    with gzip.open(path) if _suffix(path) == ".csv.gz" else path.open("rb") as packed:
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
    """Whether a first line is names: any cell that is not a number."""

    def is_number(cell: str) -> bool:
        try:
            float(cell)
        except ValueError:
            return False
        return True

    return not all(is_number(cell) for cell in cells)


_DATA_READERS: dict[str, Callable[..., DataFile]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": _read_table,
    ".csv.gz": _read_table,
    ".tsv": _read_table,
    **dict.fromkeys(ENDINGS, read_arrow),
}
_LABEL_READERS: dict[str, Callable[..., NDArray[Any]]] = {
    ".npy": _read_label_npy,
    ".npz": _read_label_npz,
    ".csv": _read_label_table,
    ".csv.gz": _read_label_table,
    ".tsv": _read_label_table,
    **dict.fromkeys(ENDINGS, read_arrow_labels),
    ".txt": _read_label_lines,
}

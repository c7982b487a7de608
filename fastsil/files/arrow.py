"""Parquet and Arrow files, one or a folder of them, as one array; read batch by batch, never held twice.

An array that is too large to be held at ease goes into a temporary file and is mapped from there: the system takes its
pages back when memory is short. The folder for it is Python's (``TMPDIR`` chooses another), and the file is gone when
the array is.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.files.records import LABEL_NAMES, VECTOR_NAMES, DataFile, DataFileError, choose, listed

ENDINGS = (".parquet", ".arrow", ".feather")

# Larger arrays go through the disk.
_HELD_BYTES = 256 << 20
# Bytes of the rows that are converted at a time.
_BATCH_BYTES = 16 << 20
# Numbers in a vector, where the type does not say.
_USUAL_LENGTH = 1024


def read_arrow(path: Path, key: str | None, labels_column: str | None, drop: tuple[str, ...]) -> DataFile:
    """Read samples: the numeric columns, or the one column of vectors."""
    table = _open(path)
    for name in (*drop, *([labels_column] if labels_column else []), *([key] if key else [])):
        choose(path, table.names, name, (), "column")
    names = [key] if key else [name for name in table.names if name != labels_column and name not in drop]
    source = _source_of(path, table, names)
    labels: list[Any] = []
    X = _join(_convert(table, source, labels_column, labels), table.n_rows)
    notes = [*source.notes, *_notes_of_left_out(names, source)]
    if isinstance(X, np.memmap):
        notes.append(f"unpacked into a temporary file of {X.nbytes / 2**30:.1f} GiB in {tempfile.gettempdir()}")
    return DataFile(
        X,
        columns=source.features,
        labels=None if labels_column is None else _label_values(labels),
        notes=tuple(notes),
    )


def read_arrow_labels(path: Path, key: str | None) -> NDArray[Any]:
    """Read one column, and nothing else."""
    table = _open(path)
    name = choose(path, table.names, key, LABEL_NAMES, "column")
    return _label_values([batch.column(0) for batch in table.batches([name], 1)])


def ending_in(folder: Path) -> str:
    """The ending that all data files of a folder have.

    Raises
    ------
    DataFileError
        If there is none, or several.
    """
    endings = {file.suffix.lower() for file in _data_files(folder)}
    if len(endings) != 1:
        there = f"has {' and '.join(sorted(endings))} files" if endings else "has none"
        raise DataFileError(
            f"{folder} is a folder; name a file in it, or a folder of files of one kind: {', '.join(ENDINGS)} "
            f"(it {there})."
        )
    return endings.pop()


def _data_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS and not file.name.startswith("."))


@dataclass(frozen=True)
class _Table:
    """Files of one schema, one after the other.

    Attributes
    ----------
    types : dict of str to pyarrow.DataType
        Of each column.
    n_rows : int
        Of all files.
    files : list of (Path, callable)
        With ``read(columns, n_rows)``, which gives batches of at most about so many rows.
    """

    types: dict[str, Any]
    n_rows: int
    files: list[tuple[Path, Callable[[list[str], int], Iterable[Any]]]]

    @property
    def names(self) -> list[str]:
        return list(self.types)

    def batches(self, columns: Sequence[str], width: int) -> Iterator[Any]:
        """Record batches of some columns, so many numbers a row."""
        n_rows = max(1, _BATCH_BYTES // (8 * width))
        for path, read in self.files:
            with _in_one_sentence(path):
                yield from read(list(columns), n_rows)


@contextlib.contextmanager
def _in_one_sentence(path: Path) -> Iterator[None]:
    """Turn pyarrow's complaint into a DataFileError that names the file."""
    import pyarrow as pa

    try:
        yield
    except pa.ArrowInvalid as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        what = path.suffix.removeprefix(".")
        raise DataFileError(f"{path} is no {what} file, or is damaged ({reason}).") from error


def _open(path: Path) -> _Table:
    try:
        import pyarrow as pa  # noqa: F401
    except ImportError as error:
        raise ImportError(f"reading {path} needs pyarrow; install it with: pip install 'fastsil[frames]'") from error
    files = _data_files(path) if path.is_dir() else [path]
    opened = []
    for file in files:
        with _in_one_sentence(file):
            opened.append((_open_parquet if file.suffix.lower() == ".parquet" else _open_ipc)(file))
    types = opened[0][0]
    for file, (others, _, _) in zip(files, opened, strict=True):
        if others != types:
            raise DataFileError(
                f"{file} has other columns or types than {files[0].name}; they must be the same in all."
            )
    readers = [(file, read) for file, (_, _, read) in zip(files, opened, strict=True)]
    return _Table(types, sum(n_rows for _, n_rows, _ in opened), readers)


def _open_parquet(path: Path) -> tuple[dict[str, Any], int, Callable[..., Iterable[Any]]]:
    import pyarrow.parquet as pq

    def read(columns: list[str], n_rows: int) -> Iterable[Any]:
        # Without buffering ahead, a row group of any size passes through a few pages.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            yield from file.iter_batches(batch_size=n_rows, columns=columns, use_threads=False)

    with pq.ParquetFile(path) as file:
        return _types_of(file.schema_arrow), file.metadata.num_rows, read


def _open_ipc(path: Path) -> tuple[dict[str, Any], int, Callable[..., Iterable[Any]]]:
    import pyarrow as pa

    def all_batches() -> Iterator[Any]:
        with pa.memory_map(str(path)) as file:
            try:
                reader = pa.ipc.open_file(file)
            except pa.ArrowInvalid:
                yield from pa.ipc.open_stream(file)
                return
            for index in range(reader.num_record_batches):
                yield reader.get_batch(index)

    def read(columns: list[str], n_rows: int) -> Iterable[Any]:
        for batch in all_batches():
            chosen = batch.select(columns)
            for start in range(0, len(chosen), n_rows):
                yield chosen.slice(start, n_rows)

    with pa.memory_map(str(path)) as file:
        try:
            schema = pa.ipc.open_file(file).schema
        except pa.ArrowInvalid:
            schema = pa.ipc.open_stream(file).schema
    return _types_of(schema), sum(len(batch) for batch in all_batches()), read


def _types_of(schema: Any) -> dict[str, Any]:
    # What pandas kept of an index that has no name.
    return {
        name: kind for name, kind in zip(schema.names, schema.types, strict=True) if not name.startswith("__index_")
    }


class _Source:
    """Columns that become features, batch by batch.

    Attributes
    ----------
    columns : tuple of str
        Columns to be read.
    features : tuple of str
        Names of the features, if they have names.
    notes : tuple of str
        What was chosen.
    left_out : str
        Why other columns are not.
    """

    columns: tuple[str, ...]
    features: tuple[str, ...] = ()
    notes: tuple[str, ...]
    left_out = ""
    width = 1

    def rows(self, batch: Any) -> NDArray[Any]:
        """The rows of a batch as an array."""
        raise NotImplementedError

    def finish(self) -> None:
        """Complain of what was met on the way."""


class _Numbers(_Source):
    """One feature a column."""

    left_out = ", not numeric"

    def __init__(self, path: Path, types: dict[str, Any]) -> None:
        self.columns = self.features = tuple(types)
        self.notes = (f"columns used: {listed(self.columns)} ({len(types)} numeric)",)
        self.width = len(types)
        self._path = path
        kind = np.result_type(*(_dtype_of(kind) for kind in types.values()))
        self._dtype = kind if kind.kind == "f" else np.dtype(np.float64)
        self._n_rows = 0
        self._gaps: dict[str, list[int]] = {}

    def rows(self, batch: Any) -> NDArray[Any]:
        rows = np.empty((len(batch), self.width), self._dtype)
        for place, name in enumerate(self.columns):
            values = batch.column(place).to_numpy(zero_copy_only=False)
            rows[:, place] = values.astype(np.float64) if values.dtype == object else values
            self._look_for_gaps(name, rows[:, place])
        self._n_rows += len(batch)
        return rows

    def _look_for_gaps(self, name: str, values: NDArray[Any]) -> None:
        if np.isnan(values.sum()):
            gaps = np.flatnonzero(np.isnan(values))
            # The sum of infinities is none, either.
            if len(gaps):
                first, count = self._gaps.get(name, [self._n_rows + int(gaps[0]), 0])
                self._gaps[name] = [first, count + len(gaps)]

    def finish(self) -> None:
        for name in self.columns:
            if name in self._gaps:
                first, count = self._gaps[name]
                raise DataFileError(
                    f"{self._path}: column {name!r} has {count} empty or NaN cells, the first in row {first + 1} of "
                    "the data; fill them or drop those rows."
                )


class _Vectors(_Source):
    """One column, whose cells are vectors, as embeddings are often kept."""

    def __init__(self, path: Path, name: str, kind: Any) -> None:
        self.columns = (name,)
        self.width = getattr(kind, "list_size", _USUAL_LENGTH)
        self.notes = (f"features: the vectors of column {name!r}",)
        self._path = path
        self._lengths: set[int] = set()

    def rows(self, batch: Any) -> NDArray[Any]:
        import pyarrow.compute as pc

        cells = batch.column(0)
        lengths = pc.fill_null(pc.list_value_length(cells), 0)
        self._lengths |= set(pc.unique(lengths).to_pylist())
        if len(self._lengths) > 1:
            raise DataFileError(
                f"{self._path}: the vectors of column {self.columns[0]!r} have {len(self._lengths)} different lengths."
            )
        values = pc.list_flatten(cells).to_numpy(zero_copy_only=False)
        return np.asarray(values).reshape(len(cells), -1)


def _source_of(path: Path, table: _Table, names: Sequence[str]) -> _Source:
    vectors = [name for name in names if _is_vector(table.types[name])]
    if vectors and table.n_rows:
        name = choose(path, vectors, None, VECTOR_NAMES, "column of vectors")
        return _Vectors(path, name, table.types[name])
    numeric = {name: table.types[name] for name in names if _is_number(table.types[name])}
    if not numeric:
        raise DataFileError(f"{path} has no numeric column to use as a feature; it has: {listed(names)}.")
    return _Numbers(path, numeric)


def _notes_of_left_out(names: Sequence[str], source: _Source) -> list[str]:
    left_out = [name for name in names if name not in source.columns]
    return [f"columns left out{source.left_out}: {listed(left_out)}"] if left_out else []


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _is_vector(kind: Any) -> bool:
    from pyarrow import types

    listing = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(listing) and _is_number(kind.value_type)


def _dtype_of(kind: Any) -> np.dtype[Any]:
    from pyarrow import types

    return np.dtype(bool) if types.is_boolean(kind) else np.dtype(kind.to_pandas_dtype())


def _convert(table: _Table, source: _Source, labels_column: str | None, labels: list[Any]) -> Iterator[NDArray[Any]]:
    """Rows of every batch; its labels are put into ``labels``."""
    also = [] if labels_column is None or labels_column in source.columns else [labels_column]
    for batch in table.batches([*source.columns, *also], source.width):
        if labels_column is not None:
            labels.append(batch.column(batch.schema.names.index(labels_column)))
        yield source.rows(batch)
    source.finish()


def _join(parts: Iterator[NDArray[Any]], n_rows: int) -> NDArray[Any]:
    """Parts as one array, in memory or mapped from a temporary file."""
    first = next(parts, None)
    if first is None:
        return np.empty((0, 0))
    shape = (n_rows, first.shape[1])
    if n_rows * first.shape[1] * first.itemsize <= _HELD_BYTES:
        joined, row = np.empty(shape, first.dtype), 0
        for part in _all_of(first, parts):
            joined[row : row + len(part)] = part
            row += len(part)
        return joined
    with tempfile.TemporaryFile(prefix="fastsil-") as file:
        # Written, not mapped for writing: a full disk is an error then, and does not end the process.
        for part in _all_of(first, parts):
            file.write(np.ascontiguousarray(part, dtype=first.dtype).data)
        file.flush()
        return np.memmap(file, dtype=first.dtype, mode="r", shape=shape)


def _all_of(first: NDArray[Any], rest: Iterator[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    yield first
    yield from rest


def _label_values(parts: Sequence[Any]) -> NDArray[Any]:
    """A column of labels in one type that sorts; missing ones as None."""
    import pyarrow as pa

    column = pa.chunked_array(parts) if parts else pa.chunked_array([pa.array([], pa.int64())])
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    values = column.to_numpy(zero_copy_only=False)
    return values if values.dtype.kind in "biuf" or column.null_count else np.asarray(values.astype(str))

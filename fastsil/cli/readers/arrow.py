"""Parquet and Arrow files, one or a folder of them, as one array; read batch by batch, never held twice.

An array that is too large to be held at ease goes into a temporary file and is mapped from there: the system takes its
pages back when memory is short. The folder for it is Python's (``TMPDIR`` chooses another), and the file is gone when
the array is.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.cli.readers.arrow_tables import Table, open_table
from fastsil.cli.readers.columns import UNNAMED, describe_gaps, is_index, note_suspects, select_columns
from fastsil.cli.readers.records import (
    LABEL_NAMES,
    VECTOR_NAMES,
    DataFile,
    DataFileError,
    LabelFile,
    Reading,
    check_room,
    choose,
    listed,
)

# Larger arrays go through the disk.
_HELD_BYTES = 256 << 20
# Numbers in a vector, where the type does not fix them.
_USUAL_LENGTH = 1024


def read_arrow(path: Path, reading: Reading) -> DataFile:
    """Read samples: the numeric columns, or the one column of vectors."""
    table = open_table(path)
    names, notes = select_columns(path, table.names, reading, _find_index(path, table))
    labels_column = reading.labels_column
    source = _find_source(path, table, names)
    labels: list[Any] = []
    X = _join(path, _convert(table, source, labels_column, labels), table.n_rows)
    if source.gaps and not (reading.allow_gaps or reading.drop_missing):
        raise DataFileError(f"{path}: {describe_gaps(source.gaps)[0]}")
    gaps = [] if reading.drop_missing else describe_gaps(source.gaps)
    notes = [*source.notes, *notes, *_note_left_out(names, source), *gaps]
    notes += note_suspects(X, source.features, {name for name in source.features if _is_integer(table.types[name])})
    if isinstance(X, np.memmap):
        notes.append(f"unpacked into a temporary file of {X.nbytes / 2**30:.1f} GiB in {tempfile.gettempdir()}")
    return DataFile(
        X,
        columns=source.features,
        labels=None if labels_column is None else _label_values(path, labels),
        notes=tuple(notes),
    )


def read_arrow_labels(path: Path, reading: Reading) -> LabelFile:
    """Read one column, and nothing else."""
    table = open_table(path)
    there = table.names if reading.key in table.names else table.columns
    name = choose(path, there, reading.key, LABEL_NAMES, "column")
    return LabelFile(_label_values(path, _read_column(path, table, name)), name)


def _read_column(path: Path, table: Table, name: str) -> list[Any]:
    check_room(path, table.n_rows)
    return [batch.column(0) for batch in table.batches([name], 1)]


def _find_index(path: Path, table: Table) -> list[str]:
    """Return the columns that are an index: by pandas's record, or without a name and numbers of rows."""
    nameless = [name for name in table.columns if UNNAMED.fullmatch(name) and _is_integer(table.types[name])]
    return [
        *table.index,
        *(
            name
            for name in nameless
            if is_index(_label_values(path, _read_column(path, table, name)), first=name == table.columns[0])
        ),
    ]


class _Source:
    """Columns that become features, batch by batch.

    Attributes
    ----------
    columns : tuple of str
        Columns to be read.
    features : tuple of str
        Names of the features, if they have names.
    notes : tuple of str
        Remarks on the choices made.
    left_out : str
        Why other columns are not.
    gaps : dict of str to (int, int)
        First row and number of the gaps of each feature that has any.
    """

    columns: tuple[str, ...]
    features: tuple[str, ...] = ()
    notes: tuple[str, ...]
    left_out = ""
    width = 1

    def __init__(self) -> None:
        self.gaps: dict[str, tuple[int, int]] = {}

    def rows(self, batch: Any) -> NDArray[Any]:
        """Return the rows of a batch as an array."""
        raise NotImplementedError


class _Numbers(_Source):
    """One feature a column."""

    left_out = ", not numeric"

    def __init__(self, types: dict[str, Any]) -> None:
        super().__init__()
        self.columns = self.features = tuple(types)
        self.notes = (f"columns used: {listed(self.columns)} ({len(types)} numeric)",)
        self.width = len(types)
        kind = np.result_type(*(_find_dtype(kind) for kind in types.values()))
        self._dtype = kind if kind.kind == "f" else np.dtype(np.float64)
        self._n_rows = 0

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
                first, count = self.gaps.get(name, (self._n_rows + int(gaps[0]), 0))
                self.gaps[name] = (first, count + len(gaps))


class _Vectors(_Source):
    """One column, whose cells are vectors, as embeddings are often kept."""

    def __init__(self, path: Path, name: str, width: int) -> None:
        super().__init__()
        self.columns = (name,)
        self.width = width
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


def _find_source(path: Path, table: Table, names: Sequence[str]) -> _Source:
    vectors = [name for name in names if _is_vector(table.types[name])]
    if vectors and table.n_rows:
        name = choose(path, vectors, None, VECTOR_NAMES, "column of vectors")
        usual = getattr(table.types[name], "list_size", _USUAL_LENGTH)
        return _Vectors(path, name, table.lengths.get(name, usual))
    numeric = {name: table.types[name] for name in names if _is_number(table.types[name])}
    if not numeric:
        raise DataFileError(f"{path} has no numeric column to use as a feature; it has: {listed(names)}.")
    return _Numbers(numeric)


def _note_left_out(names: Sequence[str], source: _Source) -> list[str]:
    left_out = sorted(set(names) - set(source.columns), key=names.index)
    return [f"columns left out{source.left_out}: {listed(left_out)}"] if left_out else []


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))


def _is_integer(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind))


def _is_vector(kind: Any) -> bool:
    from pyarrow import types

    listing = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(listing) and _is_number(kind.value_type)


def _find_dtype(kind: Any) -> np.dtype[Any]:
    from pyarrow import types

    return np.dtype(bool) if types.is_boolean(kind) else np.dtype(kind.to_pandas_dtype())


def _convert(table: Table, source: _Source, labels_column: str | None, labels: list[Any]) -> Iterator[NDArray[Any]]:
    """Yield rows of every batch; its labels are appended to ``labels``."""
    also = [] if labels_column is None or labels_column in source.columns else [labels_column]
    for batch in table.batches([*source.columns, *also], source.width):
        if labels_column is not None:
            labels.append(batch.column(batch.schema.names.index(labels_column)))
        yield source.rows(batch)


def _join(path: Path, parts: Iterator[NDArray[Any]], n_rows: int) -> NDArray[Any]:
    """Join parts to one array of ``n_rows`` rows, in memory or mapped from a temporary file."""
    first = next(parts, None)
    if first is None:
        return np.empty((0, 0))
    shape = (n_rows, first.shape[1])
    n_bytes = n_rows * first.shape[1] * first.itemsize
    parts = _counted(path, first, parts, n_rows)
    if n_bytes <= _HELD_BYTES:
        joined, row = np.empty(shape, first.dtype), 0
        for part in parts:
            joined[row : row + len(part)] = part
            row += len(part)
        return joined
    _check_disk(path, n_bytes)
    with tempfile.TemporaryFile(prefix="fastsil-") as file:
        # Written, not mapped for writing: a full disk is an error then, and does not end the process.
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype=first.dtype).data)
        file.flush()
        return np.memmap(file, dtype=first.dtype, mode="r", shape=shape)


def _check_disk(path: Path, n_bytes: int) -> None:
    """Refuse, before anything is written, a file larger than the space for temporary files."""
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise DataFileError(
            f"{path} holds {n_bytes:,} bytes once unpacked, but only {free:,} bytes are free in {folder}; save a part "
            "of it, or name another folder in the environment variable TMPDIR."
        )


def _counted(path: Path, first: NDArray[Any], rest: Iterator[NDArray[Any]], n_rows: int) -> Iterator[NDArray[Any]]:
    """Yield all parts; raise a DataFileError if their number of rows is not the one that the file declares."""
    there = 0
    for part in itertools.chain([first], rest):
        there += len(part)
        if there > n_rows:
            break
        yield part
    if there != n_rows:
        raise DataFileError(f"{path} is damaged: it declares {n_rows:,} rows, and has {there:,}.")


def _label_values(path: Path, parts: Sequence[Any]) -> NDArray[Any]:
    """Return a column of labels in one type that sorts; missing ones as None."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pa.chunked_array(parts) if parts else pa.chunked_array([pa.array([], pa.int64())])
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        # In an array every label takes as much as the longest.
        check_room(path, 4 * len(column) * (pc.max(pc.utf8_length(column)).as_py() or 0))
    values = column.to_numpy(zero_copy_only=False)
    return values if values.dtype.kind in "biuf" or column.null_count else np.asarray(values.astype(str))

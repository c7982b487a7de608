"""Parquet and Arrow files, one or a folder of them, as one table that is read in batches.

A file of few bytes may unpack to any number of them, by compression or because repeats are counted and not kept. The
declared sizes are checked before anything is unpacked.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastsil.cli.readers.parquet_footer import read_footer
from fastsil.cli.readers.records import DataFileError, check_room, first_line

ENDINGS = (".parquet", ".arrow", ".feather")

# Bytes of the rows that are converted at a time.
_BATCH_BYTES = 16 << 20


def ending_in(folder: Path) -> str:
    """Return the ending that all data files of a folder have.

    Raises
    ------
    DataFileError
        If there is none, or several.
    """
    endings = {file.suffix.lower() for file in list_data_files(folder)}
    if len(endings) != 1:
        there = f"has {' and '.join(sorted(endings))} files" if endings else "has none"
        raise DataFileError(
            f"{folder} is a folder; name a file in it, or a folder of files of one kind: {', '.join(ENDINGS)} "
            f"(it {there})."
        )
    return endings.pop()


def list_data_files(folder: Path) -> list[Path]:
    """Return the data files of a folder, in the order of their names."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in ENDINGS and not file.name.startswith("."))


@dataclass(frozen=True)
class Table:
    """Files of one schema, one after the other.

    Attributes
    ----------
    types : dict of str to pyarrow.DataType
        Type of each column.
    n_rows : int
        Rows of all files, as they declare.
    lengths : dict of str to int
        Numbers in a row of each column of vectors, on average, where a file declares it without being unpacked.
    files : list of (Path, callable)
        With ``read(columns, n_rows)``, which gives batches of at most about ``n_rows`` rows.
    index : tuple of str
        Columns that are the index of a pandas DataFrame.
    """

    types: dict[str, Any]
    n_rows: int
    lengths: dict[str, int]
    files: list[tuple[Path, Callable[[list[str], int], Iterable[Any]]]]
    index: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        return list(self.types)

    @property
    def columns(self) -> list[str]:
        """Names of the columns that are no index."""
        return [name for name in self.types if name not in self.index]

    def batches(self, columns: Sequence[str], width: int) -> Iterator[Any]:
        """Yield record batches of some columns, ``width`` numbers a row."""
        n_rows = max(1, _BATCH_BYTES // (8 * width))
        for path, read in self.files:
            if n_rows == 1:
                check_room(path, 8 * width)
            with _in_one_sentence(path):
                for batch in read(list(columns), n_rows):
                    # Damaged offsets may point anywhere: unchecked, they are read past the end of the memory.
                    batch.validate(full=True)
                    yield batch


@contextlib.contextmanager
def _in_one_sentence(path: Path) -> Iterator[None]:
    """Turn pyarrow's complaint into a DataFileError that names the file."""
    import pyarrow as pa

    try:
        yield
    except pa.ArrowMemoryError as error:
        raise DataFileError(f"{path} takes more memory to unpack than there is ({first_line(error)}).") from error
    except (pa.ArrowException, OSError) as error:
        # Damage within a file is an OSError without a number; the system's own errors have one.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        what = path.suffix.removeprefix(".")
        raise DataFileError(f"{path} is no {what} file, or is damaged ({first_line(error)}).") from error


def open_table(path: Path) -> Table:
    """Open the files of a path, without reading a row.

    Raises
    ------
    DataFileError
        If they are damaged, differ in their columns, or could not be unpacked here.
    ImportError
        Without pyarrow.
    """
    try:
        import pyarrow as pa  # noqa: F401
    except ImportError as error:
        raise ImportError(f"reading {path} needs pyarrow; install it with: pip install 'fastsil[frames]'") from error
    files = list_data_files(path) if path.is_dir() else [path]
    opened = []
    for file in files:
        with _in_one_sentence(file):
            opened.append((_open_parquet if file.suffix.lower() == ".parquet" else _open_ipc)(file))
    types = opened[0].types
    for file, one in zip(files, opened, strict=True):
        if one.types != types:
            raise DataFileError(
                f"{file} has other columns or types than {files[0].name}; they must be the same in all."
            )
    lengths: dict[str, int] = {}
    for one in opened:
        lengths |= {name: max(length, lengths.get(name, 0)) for name, length in one.lengths.items()}
    return Table(types, sum(one.n_rows for one in opened), lengths, [one.files[0] for one in opened], opened[0].index)


def _open_parquet(path: Path) -> Table:
    import pyarrow.parquet as pq

    def read(columns: list[str], n_rows: int) -> Iterable[Any]:
        # Without buffering ahead, a row group of any size passes through a few pages.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            yield from file.iter_batches(batch_size=n_rows, columns=columns, use_threads=False)

    with pq.ParquetFile(path) as file:
        schema, n_rows = file.schema_arrow, file.metadata.num_rows
    types = _find_types(schema)
    has_vectors = any(kind.num_fields for kind in types.values())
    return Table(types, n_rows, _find_lengths(path) if has_vectors else {}, [(path, read)], _find_index(schema))


def _find_lengths(path: Path) -> dict[str, int]:
    """Return the number of values in a row of each column: repeats take no bytes of a file, so its size does not show
    it.
    """
    lengths: dict[str, int] = {}
    for group in read_footer(path)[4]:
        for column in group[1]:
            # The numbers of vectors are a column within the column.
            name, n_values = column[3][3][0].decode(), column[3][5]
            lengths[name] = max(-(-n_values // max(1, group[3])), lengths.get(name, 1))
    return lengths


def _open_ipc(path: Path) -> Table:
    import pyarrow as pa
    from pyarrow import dataset

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
            reader = pa.ipc.open_file(file)
        except pa.ArrowInvalid:
            schema = pa.ipc.open_stream(file).schema
            file.seek(0)
            sizes = _count_batch_rows(file)
            n_rows, largest = sum(sizes), max(sizes, default=0)
        else:
            schema = reader.schema
            n_rows = int(dataset.dataset(path, format="ipc").count_rows())
            largest = n_rows // max(1, reader.num_record_batches)
    _check_batch(path, schema, largest)
    return Table(_find_types(schema), n_rows, {}, [(path, read)], _find_index(schema))


def _count_batch_rows(stream: Any) -> list[int]:
    """Return the rows of each batch of an Arrow stream, without unpacking any."""
    import pyarrow as pa

    batches = (message for message in pa.ipc.MessageReader.open_stream(stream) if message.type == "record batch")
    # Read as one of no columns, a batch has its length only.
    return [pa.ipc.read_record_batch(message, pa.schema([])).num_rows for message in batches]


def _check_batch(path: Path, schema: Any, n_rows: int) -> None:
    """Raise a DataFileError if a batch of ``n_rows`` rows does not fit in memory."""
    batch_bytes = n_rows * sum(map(_bits_of, schema.types)) // 8
    if batch_bytes > path.stat().st_size:  # compressed: otherwise it is read where it lies
        check_room(path, batch_bytes)


def _bits_of(kind: Any) -> int:
    try:
        return int(kind.bit_width)
    except ValueError:  # not the same in all rows
        return 0


def _find_types(schema: Any) -> dict[str, Any]:
    return dict(zip(schema.names, schema.types, strict=True))


def _find_index(schema: Any) -> tuple[str, ...]:
    """Return the columns that pandas wrote as the index, by its record of it or by the name of one without a name."""
    try:
        recorded = [*json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])]
    except (ValueError, AttributeError, TypeError):  # not what pandas writes
        recorded = []
    return tuple(name for name in schema.names if name in recorded or name.startswith("__index_level_"))

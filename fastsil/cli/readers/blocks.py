"""Files as Dask arrays, of which no more than a block is held in a task: each part is read where it is needed.

A file of a folder of tables is a block, and so are some rows of a .npy and of a .zarr. Workers on other machines must
see the files under the same path.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.cli.readers.arrow import read_arrow
from fastsil.cli.readers.arrow_tables import list_data_files, open_table
from fastsil.cli.readers.npy import read_npy
from fastsil.cli.readers.records import DataFile, DataFileError, Reading, get_suffix
from fastsil.cli.readers.zarr import open_zarr

# Bytes of the rows of a .npy or .zarr that are one block.
_BLOCK_BYTES = 64 << 20


class _Part(NamedTuple):
    """A block: the call that reads it, and its number of rows."""

    read: Callable[..., NDArray[Any]]
    arguments: tuple[Any, ...]
    n_rows: int


def read_blocks(path: Path, reading: Reading) -> DataFile:
    """Read samples as a Dask array; only the first file of a folder is read at once, for its columns.

    Raises
    ------
    DataFileError
        If the path has another ending, or differs in its files.
    ImportError
        Without the package that reads it.
    """
    import dask.array as da
    from dask import delayed

    path = path.absolute()
    if reading.drop_missing:
        raise DataFileError(f"{path} is read in blocks, which --drop-missing cannot shorten; drop the rows first.")
    cut = {".npy": _cut_npy, ".zarr": _cut_zarr}.get(get_suffix(path), _cut_tables)
    found, parts = cut(path, reading)
    width, dtype = found.X.shape[1], found.X.dtype
    blocks = [
        da.from_delayed(delayed(part.read)(*part.arguments), shape=(part.n_rows, width), dtype=dtype)
        for part in parts
        if part.n_rows
    ]
    return replace(found, X=da.concatenate(blocks), notes=(*found.notes, f"read in {len(blocks):,} blocks"))


def _cut_tables(path: Path, reading: Reading) -> tuple[DataFile, list[_Part]]:
    files = list_data_files(path) if path.is_dir() else [path]
    open_table(path)  # raises, if the files differ in their columns
    parts = [_Part(_read_table, (file, reading), open_table(file).n_rows) for file in files]
    return read_arrow(files[0], reading), parts


def _read_table(file: Path, reading: Reading) -> NDArray[Any]:
    return np.asarray(read_arrow(file, reading).X)


def _cut_npy(path: Path, reading: Reading) -> tuple[DataFile, list[_Part]]:
    found = read_npy(path, reading)
    return found, _cut_rows(_read_npy_rows, path, reading, found.X)


def _read_npy_rows(path: Path, reading: Reading, start: int, stop: int) -> NDArray[Any]:
    # Mapped: a copy of every block in every pass took a third of a pass.
    return np.asarray(read_npy(path, reading).X[start:stop])


def _cut_zarr(path: Path, reading: Reading) -> tuple[DataFile, list[_Part]]:
    array = open_zarr(path, reading)
    return DataFile(array), _cut_rows(_read_zarr_rows, path, reading, array, array.chunks[0])


def _read_zarr_rows(path: Path, reading: Reading, start: int, stop: int) -> NDArray[Any]:
    return np.asarray(open_zarr(path, reading)[start:stop])


def _cut_rows(read: Callable[..., Any], path: Path, reading: Reading, array: Any, chunk: int = 1) -> list[_Part]:
    """Cut the rows of an array into blocks of whole chunks."""
    if len(array.shape) != 2:
        raise DataFileError(f"{path} has an array of shape {array.shape}; reshape it to (n_samples, n_features).")
    n_rows, row_bytes = array.shape[0], max(1, array.dtype.itemsize * array.shape[1])
    step = chunk * max(1, _BLOCK_BYTES // (row_bytes * chunk))
    return [
        _Part(read, (path, reading, start, stop), stop - start)
        for start in range(0, n_rows, step)
        for stop in [min(start + step, n_rows)]
    ]

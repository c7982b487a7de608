"""Arrays of a .zarr, a folder of chunks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastsil.cli.readers.records import DataFile, Reading, check_room, choose, refuse_names


def read_zarr(path: Path, reading: Reading) -> DataFile:
    """Read samples: the only array, the one called ``X``, or the requested one."""
    array = open_zarr(path, reading)
    check_room(path, array.nbytes)
    return DataFile(array[:])


def open_zarr(path: Path, reading: Reading) -> Any:
    """Open an array of a .zarr, without reading a chunk.

    Raises
    ------
    DataFileError
        If there are several, and none is requested or likely.
    ImportError
        Without zarr.
    """
    refuse_names(path, features=reading.features, exclude=reading.exclude, labels_column=reading.labels_column)
    try:
        import zarr
    except ImportError as error:
        raise ImportError(f"reading {path} needs zarr; install it with: pip install 'fastsil[zarr]'") from error
    opened: Any = zarr.open(str(path), mode="r")
    if not hasattr(opened, "array_keys"):
        return opened
    return opened[choose(path, sorted(opened.array_keys()), reading.key, ("X", "embeddings"), "array")]

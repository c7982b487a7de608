"""Files of results, written under a temporary name and then moved into place: no reader finds half a file."""

from __future__ import annotations

import contextlib
import csv
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a path to write to; move it to ``path`` when the block ends well, else delete it.

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
    """Write columns of equal length as ``stem.parquet``, or as ``stem.npz`` without pyarrow; return the path."""
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

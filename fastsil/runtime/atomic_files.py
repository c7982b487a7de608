"""Files that appear whole or not at all: written under a random name of their own, then moved into their place."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Of a record's other values, so that damage is seen.
_DIGEST = "sha256"


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield an empty draft that becomes ``path`` when the block ends well, and is removed when it does not.

    No two drafts have one name, and a link of a draft's name is never followed.

    ``durable``: on the disk before it becomes ``path``, so that no crash of the machine leaves an empty file there.
    """
    draft = path.with_name(f".fastsil-{secrets.token_hex(8)}")
    draft.open("xb").close()
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
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
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


def write_record(path: Path, record: Mapping[str, Any], *, durable: bool = False) -> None:
    """Write a record of plain values, with a digest of them."""
    text = json.dumps({**record, _DIGEST: _compute_digest(record)}, indent=2, ensure_ascii=False) + "\n"
    with replacing(path, durable=durable) as draft:
        draft.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_record(path: Path) -> dict[str, Any] | None:
    """Return a record written by :func:`write_record`; an empty one if it is damaged, None if there is none.

    Raises
    ------
    ValueError
        If there is something else of that name.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(record, dict) or _DIGEST not in record:
        raise ValueError(f"{path} is no record of fastsil; move it away, or choose another folder.")
    digest = record.pop(_DIGEST)
    return record if digest == _compute_digest(record) else {}


def _compute_digest(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()

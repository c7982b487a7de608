"""The footer of a Parquet file, which declares the size of each column, as numbers, bytes, lists and dictionaries.

pyarrow ends the process where a footer is damaged in certain places. This module reads any bytes, or raises.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

# Kinds of values in Thrift's compact protocol.
_TRUE, _FALSE, _BYTE, _INTEGERS, _DOUBLE, _BINARY, _LISTS, _STRUCT = 1, 2, 3, (4, 5, 6), 7, 8, (9, 10), 12


def read_footer(path: Path) -> dict[int, Any]:
    """Return the fields of the metadata by their numbers in Parquet's definition; those of structures likewise.

    Raises
    ------
    ValueError
        If it is damaged.
    """
    with path.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        n_bytes = struct.unpack("<I", file.read(4))[0]
        file.seek(-8 - n_bytes, os.SEEK_END)
        reader = _CompactReader(file.read(n_bytes))
    try:
        return reader.read_struct()
    except (IndexError, RecursionError) as error:
        raise ValueError("its footer is damaged") from error


class _CompactReader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read_struct(self) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while head := self._read_byte():
            number = number + (head >> 4) if head >> 4 else self._read_integer()
            kind = head & 15
            # Within a structure, a truth value has no bytes of its own.
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._read(kind)
        return fields

    def _read(self, kind: int) -> Any:
        if kind in (_TRUE, _FALSE, _BYTE):
            return self._read_byte()
        if kind in _INTEGERS:
            return self._read_integer()
        if kind in _LISTS:
            head = self._read_byte()
            return [self._read(head & 15) for _ in range(self._read_size() if head >> 4 == 15 else head >> 4)]
        if kind == _STRUCT:
            return self.read_struct()
        if kind not in (_DOUBLE, _BINARY):
            raise ValueError(f"its footer has a value of the unknown kind {kind}")
        size = 8 if kind == _DOUBLE else self._read_size()
        self._at += size
        return self._data[self._at - size : self._at]

    def _read_byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _read_size(self) -> int:
        size = shift = 0
        while (byte := self._read_byte()) & 128:
            size |= (byte & 127) << shift
            shift += 7
        return size | byte << shift

    def _read_integer(self) -> int:
        size = self._read_size()
        return size >> 1 ^ -(size & 1)

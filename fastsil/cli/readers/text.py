"""Text: tables of samples or labels in .csv, .csv.gz and .tsv, and .txt with a label a line."""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsil.cli.readers.columns import UNNAMED, describe_gaps, is_index, note_suspects, quote_name, select_columns
from fastsil.cli.readers.records import (
    LABEL_NAMES,
    VECTOR_NAMES,
    DataFile,
    DataFileError,
    LabelFile,
    Reading,
    check_room,
    choose,
    first_line,
    get_suffix,
    listed,
    refuse_names,
)
from fastsil.cli.readers.text_format import TextFormat, find_format, is_written_with
from fastsil.runtime.memory import available_bytes

if TYPE_CHECKING:
    import pandas as pd

# A line of text longer than this is no row of a table.
_LONGEST_LINE = 64 << 20
# Numbers with either decimal mark, or with marks of thousands; dates are none.
_GROUPED = r"[+-]?(\d+|\d{1,3}([.,' ]\d{3})+)([.,]\d+)?"
# Vectors as Python, JSON or NumPy write them.
_VECTOR = r"\s*\[[\d\s.,eE+-]+\]\s*"
# The format is found in at most this number of lines, or fewer if they are long.
_SHOWN_LINES = 500
_FEWEST_LINES = 4
_SHOWN_LETTERS = 1 << 18


def read_table(path: Path, reading: Reading) -> DataFile:
    frame, found = _load_frame(path, reading)
    there = list(frame.columns)
    index, empty = _find_index(frame, found)
    names, notes = select_columns(path, [name for name in there if name not in empty], reading, index)
    labels = None if reading.labels_column is None else _label_values(frame[reading.labels_column])
    notes += _read_thousands(path, frame, names, found.decimal)
    kinds = {name: kind.kind for name, kind in frame.dtypes.items()}
    if vectors := [name for name in names if kinds[name] not in "biuf" and _has_vectors(frame[name])]:
        name = choose(path, vectors, None, VECTOR_NAMES, "column of vectors")
        X, left_out = _parse_vectors(path, name, frame[name]), [other for other in names if other != name]
        notes = [*found.notes, f"features: the vectors of column {name!r}", *notes]
        return DataFile(X, labels=labels, notes=(*notes, *[f"columns left out: {listed(left_out)}"][: len(left_out)]))
    numeric = [name for name in names if kinds[name] in "biuf"]
    if not numeric:
        raise DataFileError(f"{path} has no numeric column to use as a feature; it has: {listed(there)}.")
    remarks = [found.remark] if found.remark else []
    notes = [*found.notes, *remarks, f"columns used: {listed(numeric)} ({len(numeric)} numeric)", *notes]
    if empty:
        notes.append(f"columns left out, empty and without a name: {listed(empty)}")
    if left_out := [name for name in names if kinds[name] not in "biuf"]:
        notes.append(f"columns left out, not numeric: {listed(left_out)}")
    features = frame[numeric]
    is_gap = features.isna().to_numpy()
    gappy = {numeric[place]: is_gap[:, place] for place in np.flatnonzero(is_gap.any(axis=0))}
    if gaps := describe_gaps({name: (int(rows.argmax()), int(rows.sum())) for name, rows in gappy.items()}):
        if not (reading.allow_gaps or reading.drop_missing):
            raise DataFileError(f"{path}: {gaps[0]}")
        notes += [] if reading.drop_missing else gaps
    values = features.to_numpy()
    X = np.ascontiguousarray(values if values.dtype.kind == "f" else values.astype(np.float64))
    notes += note_suspects(X, numeric, {name for name in numeric if kinds[name] in "iu"})
    assumed = found.header if found.remark else None
    return DataFile(X, columns=tuple(numeric), labels=labels, notes=tuple(notes), assumed_header=assumed)


def _has_vectors(column: Any) -> bool:
    """Return whether a column is text like ``[0.1, 0.2]`` or ``[0.1 0.2]``."""
    shown = column.dropna().astype(str).head(_SHOWN_LINES)
    return len(shown) > 0 and bool(shown.str.fullmatch(_VECTOR).all())


def _parse_vectors(path: Path, name: str, column: Any) -> NDArray[np.float64]:
    rows: list[NDArray[np.float64]] = []
    for row, cell in enumerate(column, 1):
        try:
            if not isinstance(cell, str):
                raise ValueError
            rows.append(np.array(cell.strip(" []").replace(",", " ").split(), dtype=np.float64))
        except ValueError:
            where = f"{path}: column {name!r} has no vector in row {row} of the data, but {str(cell)[:40]!r}"
            raise DataFileError(f"{where}; write all numbers of each vector, or drop such rows.") from None
        if len(rows[-1]) != len(rows[0]):
            raise DataFileError(
                f"{path}: the vector in row {row} of column {name!r} has length {len(rows[-1])}, and that in row 1 has "
                f"{len(rows[0])}."
            )
    return np.array(rows)


def read_label_table(path: Path, reading: Reading) -> LabelFile:
    frame, found = _load_frame(path, reading)
    index, empty = _find_index(frame, found)
    there = list(frame.columns)
    if reading.key not in there:
        there = [name for name in there if name not in (*index, *empty)]
    name = choose(path, there, reading.key, LABEL_NAMES, "column")
    return LabelFile(_label_values(frame[name]), name, found.header, found.notes, found.remark)


def read_label_lines(path: Path, reading: Reading) -> LabelFile:
    refuse_names(path, key=reading.key)
    check_room(path, path.stat().st_size)
    lines = path.read_text(encoding="utf-8-sig").split("\n")
    words = [line.strip() for line in (lines[:-1] if lines[-1] == "" else lines)]
    if "" in words or not words:
        raise DataFileError(f"{path}: line {words.index('') + 1 if words else 1} is empty; write one label a line.")
    header = bool(reading.header)
    words = words[header:]
    try:
        return LabelFile(np.array([int(word) for word in words]), header=header)
    except ValueError:
        return LabelFile(np.array(words), header=header)


def _read_thousands(path: Path, frame: pd.DataFrame, names: Sequence[str], decimal: str) -> list[str]:
    """Read columns of numbers with marks of thousands, in place; return notes on them, and on other decimal marks.

    Raises
    ------
    DataFileError
        If the mark could be a decimal mark as well.
    """
    read: list[str] = []
    with_another: list[str] = []
    for name in names:
        if frame[name].dtype.kind in "biuf":
            continue
        cells = frame[name].dropna().astype(str).str.strip()
        if not len(cells) or not cells.head(_SHOWN_LINES).str.fullmatch(_GROUPED).all():
            continue
        grouped = rf"[+-]?\d{{1,3}}(?P<mark>[.,' ])\d{{3}}(?:(?P=mark)\d{{3}})*(?:{re.escape(decimal)}\d*)?"
        marks = cells.str.extract(f"^{grouped}$")["mark"]
        if marks.isna().all():
            with_another.append(name)
            continue
        mark = str(marks.dropna().iloc[0])
        plain = cells.str.replace(mark, "", regex=False)
        others = cells[marks.isna()]
        # Of two different marks in a number the last one is decimal; a mark that comes twice is not.
        no_decimal = mark in "' "
        certain = cells.str.contains(re.escape(decimal) if no_decimal else rf"{re.escape(mark)}.*[.,]").any()
        if no_decimal and not certain and not len(others):  # a number of a telephone, for example
            continue
        is_plain = others.str.fullmatch(rf"[+-]?\d+(?:{re.escape(decimal)}\d*)?").all()
        if mark == decimal or not (certain or no_decimal) or not is_plain or (marks.dropna() != mark).any():
            example = next((cell for cell in cells if mark in cell), cells.iloc[0])
            raise DataFileError(
                f"{path}: column {name!r} has numbers such as {example}, in which a mark may stand for thousands or "
                "for decimals. Write them without marks of thousands, name the decimal mark with --decimal, or leave "
                f"the column out with --exclude {quote_name(name)}."
            )
        frame[name] = plain.str.replace(decimal, ".", regex=False).astype(np.float64).reindex(frame.index)
        read.append(name)
    notes = [f"columns read with marks of thousands: {listed(read)}"] if read else []
    if with_another:
        example = frame[with_another[0]].dropna().iloc[0]
        notes.append(f"these have numbers such as {example}: {listed(with_another)}; see --decimal")
    return notes


def _find_index(frame: pd.DataFrame, found: TextFormat) -> tuple[list[str], list[str]]:
    """Return the columns without names that are an index, and those that have nothing in them."""
    nameless = [
        (place, name)
        for place, name in enumerate(frame.columns)
        if not found.header or place >= len(found.cells) or not found.cells[place] or UNNAMED.fullmatch(name)
    ]
    empty = [name for _, name in nameless if len(frame) and frame[name].isna().all()]
    index = [name for place, name in nameless if found.header and is_index(frame[name].to_numpy(), first=place == 0)]
    return index, empty


def _label_values(column: Any) -> NDArray[Any]:
    values = column.to_numpy()
    # pandas keeps text as objects; labels need one type that sorts.
    return values if values.dtype.kind in "biuf" or column.isna().any() else np.asarray(values.astype(str))


def _load_frame(path: Path, reading: Reading) -> tuple[pd.DataFrame, TextFormat]:
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(f"reading {path} needs pandas; install it with: pip install 'fastsil[frames]'") from error
    try:
        found = find_format(_first_lines(path), reading, "\t" if get_suffix(path) == ".tsv" else ",")
        with _unpacked(path) as text, warnings.catch_warnings():
            # Cells beyond the names would be lost with a warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # index_col=False: else a line with one cell too many silently makes the first column an index.
            frame: pd.DataFrame = pd.read_csv(
                text,
                sep=found.separator,
                decimal=found.decimal,
                encoding="utf-8-sig",
                header=0 if found.header else None,
                names=_name_cells(found),
                skiprows=found.n_skipped,
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
    names = [str(name).strip() for name in frame.columns]
    frame.columns = names if len(set(names)) == len(names) else frame.columns.map(str)
    if reading.decimal is None and found.separator != "," and _has_decimal_commas(frame, found):
        # They begin after the first lines.
        return _load_frame(path, reading._replace(decimal=","))
    return frame, found


def _name_cells(found: TextFormat) -> list[str] | None:
    """Return names of all cells where every line but the first ends with a separator; else pandas names them."""
    if not found.header or found.n_cells == len(found.cells):
        return None
    names: list[str] = []
    for place, cell in enumerate((*found.cells, "")):
        name = cell or f"Unnamed: {place}"
        names.append(name if name not in names else f"{name}.{place}")
    return names


def _has_decimal_commas(frame: pd.DataFrame, found: TextFormat) -> bool:
    """Return whether a column is text only because of its decimal commas."""
    if found.decimal == ",":
        return False
    texts = (frame[name].dropna() for name, kind in frame.dtypes.items() if kind.kind not in "biuf")
    return any(all(is_written_with(",", str(cell)) for cell in column) for column in texts if len(column))


def _choose_precision(pd: Any) -> dict[str, Any]:
    """Return pandas's keywords for exact numbers, which versions before 3 need and later ones reject."""
    return {"float_precision": "round_trip"} if int(pd.__version__.partition(".")[0]) < 3 else {}


def _first_lines(path: Path) -> list[str]:
    """Return the lines at the beginning of a text that show its format; empty ones are left out."""
    lines: list[str] = []
    n_letters = 0
    with _unpacked(path) as packed, io.TextIOWrapper(packed, encoding="utf-8-sig", newline="") as file:
        for line in _lines(path, file):
            if line.strip("\r\n "):
                lines.append(line)
                n_letters += len(line)
            if len(lines) >= _SHOWN_LINES or (len(lines) >= _FEWEST_LINES and n_letters > _SHOWN_LETTERS):
                break
    return lines


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

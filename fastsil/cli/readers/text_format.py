"""The format of a text table, found in its first lines.

That is the separator, the decimal mark, and whether the first line is the names of the columns.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Sequence
from typing import NamedTuple

from fastsil.cli.readers.records import DataFileError, Reading, listed

_SEPARATORS = (",", ";", "\t")
_SEPARATOR_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " "}
# The first line that spreadsheets read as a declaration.
_DECLARED = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)

_NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
_DECIMALS_ONLY = re.compile(r"-0,\d|[+-]?\d+,0\d")
_INTEGER = re.compile(r"[+-]?\d+")
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+")
# Cells that pandas reads as missing.
_MISSING = frozenset(
    ("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "None")
) | {"NaN", "-NaN", "nan", "-nan", "n/a", "null"}
_TRUTHS = frozenset(("True", "False", "TRUE", "FALSE", "true", "false"))
# Lines of samples that make a difference of format no chance.
_FEW_LINES = 3

Rows = Sequence[Sequence[str]]


class TextFormat(NamedTuple):
    """Format of a text table.

    Attributes
    ----------
    separator : str
        One character between cells.
    decimal : str
        ``"."`` or ``","``.
    header : bool
        Whether the first line is the names of the columns.
    cells : tuple of str
        The first line.
    n_cells : int
        Cells of the first line of data; one more than names if all lines end with a separator.
    n_skipped : int
        Lines before the table.
    notes : tuple of str
        Remarks on separator and decimal mark, where they are not the default.
    remark : str
        The same on the header, where it is not certain.
    """

    separator: str
    decimal: str
    header: bool
    cells: tuple[str, ...]
    n_cells: int
    n_skipped: int
    notes: tuple[str, ...]
    remark: str


def find_format(lines: Sequence[str], reading: Reading, default: str) -> TextFormat:
    """Return the format of a table whose first lines these are; what ``reading`` requests is not searched for.

    Raises
    ------
    DataFileError
        If ``reading`` requests a separator or a decimal mark that there is not.
    csv.Error
        If the lines are no table.
    """
    declared = _DECLARED.fullmatch(lines[0]) if lines else None
    if declared:
        lines = lines[1:]
        default = declared[1]
    separator, decimal = _parse_separator(reading.sep), _parse_decimal(reading.decimal)
    found = separator or (default if declared else _find_separator(lines, default, decimal))
    rows = _split(lines, found)
    mark = decimal or _find_decimal(rows, found)
    notes = []
    if (found, mark) != (separator or default, decimal or "."):
        name = {"\t": "tab", " ": "space"}.get(found, repr(found))
        notes.append(f"read with the separator {name} and the decimal mark {mark!r}; --sep and --decimal choose others")
    if found == "," and not separator and rows and _are_pairs(rows):
        notes.append("read as two columns of integers; --decimal , reads one column of numbers with decimals")
    header, remark = judge_header(rows, quoted=_is_only_first_quoted(lines))
    if reading.header is not None:
        header, remark = reading.header, ""
    cells = tuple(rows[0]) if rows else ()
    return TextFormat(
        found,
        mark,
        header,
        cells,
        _count_cells(rows),
        1 if declared else 0,
        tuple(notes),
        remark,
    )


def is_written_with(mark: str, cell: str) -> bool:
    """Return whether a cell is a number with this decimal mark, or without any."""
    other = "." if mark == "," else ","
    return other not in cell and _NUMBER.fullmatch(cell.strip()) is not None


def _parse_separator(text: str | None) -> str | None:
    separator = text if text is None else _SEPARATOR_NAMES.get(text.lower(), text)
    if separator is not None and (len(separator) != 1 or separator in '"\r\n'):
        raise DataFileError(f"--sep {text!r} is no separator; write one character, such as ',' or ';', or tab.")
    return separator


def _parse_decimal(text: str | None) -> str | None:
    if text not in (None, ".", ","):
        raise DataFileError(f"--decimal {text!r} is no decimal mark; write '.' or ','.")
    return text


def _split(lines: Sequence[str], separator: str) -> list[list[str]]:
    rows = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    return [cells for row in rows if (cells := [cell.strip() for cell in row]) not in ([], [""])]


def _find_separator(lines: Sequence[str], default: str, decimal: str | None) -> str:
    """Return the separator that is in every line; of several, the one whose cells are as many, and numbers."""
    ranks: dict[str, tuple[bool, float, bool]] = {}
    for separator in _SEPARATORS:
        try:
            rows = _split(lines, separator)
        except csv.Error:  # a cell of more letters than a cell may have
            continue
        lengths = {len(row) for row in rows}
        if min(lengths, default=0) < 2:
            continue
        cells = [cell for row in rows[1:] or rows for cell in row if cell not in _MISSING]
        if separator == "," == decimal and not any("," in cell for cell in cells):
            continue
        share = sum(_NUMBER.fullmatch(cell) is not None for cell in cells) / max(1, len(cells))
        is_even = len({len(row) for row in rows[1:]} or lengths) == 1
        ranks[separator] = (is_even, share, separator == default)
    if default == "," and decimal != "." and _is_one_column(lines):
        return ";"
    if ranks:
        return max(ranks, key=lambda separator: ranks[separator])
    if default == decimal == ",":
        return ";"
    numbers = [line.split() for line in lines]
    # As numpy.savetxt writes them.
    in_columns = len({len(row) for row in numbers}) == 1 and all(map(_is_numeric, numbers[1:] or numbers))
    return " " if in_columns and len(numbers[0]) > 1 else default


def _is_one_column(lines: Sequence[str]) -> bool:
    """Return whether lines are numbers with a decimal comma, not two integers."""
    first, *cells = [line.strip() for line in lines if line.strip()] or [""]
    if len(cells) < _FEW_LINES or not all(is_written_with(",", cell) for cell in cells):
        return False
    # No integer is written as -0 or 05. Else a name of one cell must stand above, and no numbers of rows.
    if any(_DECIMALS_ONLY.match(cell) for cell in cells):
        return "," not in first or is_written_with(",", first)
    wholes = [cell.partition(",")[0] for cell in cells]
    return "," not in first and any("," in cell for cell in cells) and not _is_count(wholes)


def _are_pairs(rows: Rows) -> bool:
    """Return whether all rows, with the first, are two integers, which one number with a decimal comma looks like."""
    return all(len(row) == 2 and all(map(_INTEGER.fullmatch, row)) and row[1].isdigit() for row in rows)


def _find_decimal(rows: Rows, separator: str) -> str:
    numbers = [cell for row in rows for cell in row if _NUMBER.fullmatch(cell)]
    commas = [cell for cell in numbers if "," in cell]
    # Between commas, numbers in quotes may have commas that separate thousands.
    if separator == "," and all(_THOUSANDS.fullmatch(cell) for cell in commas):
        return "."
    return "," if len(commas) > sum("." in cell for cell in numbers) else "."


def _count_cells(rows: Rows) -> int:
    """Return the cells of a line of data: one more than in the first if every line ends with a separator."""
    n_cells = len(rows[0]) if rows else 0
    longer = len(rows) > 1 and all(len(row) == n_cells + 1 and row[-1] == "" for row in rows[1:])
    return n_cells + 1 if longer else n_cells


def _is_only_first_quoted(lines: Sequence[str]) -> bool:
    return len(lines) > 1 and lines[0].startswith('"') and not any('"' in line for line in lines[1:])


def judge_header(rows: Rows, *, quoted: bool = False) -> tuple[bool, str]:
    """Return whether the first row is names, and a remark if this is not certain.

    Parameters
    ----------
    rows : sequence of sequences of str
        First rows of a table.
    quoted : bool
        Whether the first row is in quotes, and no other is.

    Examples
    --------
    >>> judge_header([["x", "y"], ["1", "2"]])
    (True, '')
    >>> judge_header([["0.5", "0.1"], ["1.5", "2.5"]])
    (False, '')
    """
    if not rows:
        return True, ""
    first, data = rows[0], rows[1:]
    columns = [[row[place] for row in data if place < len(row)] for place in range(len(first))]
    texts = [
        place for place, cell in enumerate(first) if cell not in _MISSING | _TRUTHS and not _NUMBER.fullmatch(cell)
    ]
    header = f"the first line ({listed(first)}) is read as the names of the columns; --no-header reads it as a sample"
    sample = f"the first line ({listed(first)}) is read as a sample; --header reads it as the names of the columns"
    if any(_is_numeric(columns[place]) for place in texts):
        return True, ""
    numbers = [place for place, cell in enumerate(first) if _NUMBER.fullmatch(cell)]
    cells = [first[place] for place in numbers]
    differ = _differ_in_format(cells, [columns[place] for place in numbers])
    if texts:
        # Words above words.
        if all(first[place] in columns[place] for place in texts):
            return False, sample
        if not numbers:
            return True, ""
        repeat = any(len(set(columns[place])) < len(columns[place]) for place in texts)
        is_name = repeat or differ or (len(numbers) > 1 and _count_up(cells))
        return is_name, header if is_name else sample
    if not numbers or any(cell in _MISSING for cell in first[numbers[0] : numbers[-1]]):
        return False, ""
    count_up = _count_up(cells)
    if quoted or (first[0] == "" and (not _is_numeric(columns[0]) or _is_count(columns[0]))):
        return True, "" if count_up and first[0] == "" else header
    values = _values(first)
    if any(_values(row) == values for row in data):
        return False, sample if count_up else ""
    if len(cells) == 1:
        is_name = differ or cells[0] == "0"
        return is_name, header if is_name else sample if cells[0] == "1" else ""
    if count_up or differ:
        return True, header
    return False, sample if _is_evenly_spaced(cells) else ""


def _values(cells: Sequence[str]) -> list[float | str]:
    return [float(cell.replace(",", ".")) if _NUMBER.fullmatch(cell) else cell for cell in cells if cell != ""]


def _is_numeric(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell not in _MISSING]
    return bool(filled) and all(map(_NUMBER.fullmatch, filled))


def _is_count(cells: Sequence[str]) -> bool:
    """Return whether these are 0, 1, 2, … or 1, 2, 3, …"""
    values = _values(cells)
    return any(values == [start + step for step in range(len(values))] for start in (0, 1))


def _count_up(cells: Sequence[str], shortest: int = 3) -> bool:
    """Return whether these are a count, or several that are not shorter than this, as of tables put side by side."""
    starts = [place for place, cell in enumerate(cells) if cell == cells[0]]
    runs = [cells[begin:end] for begin, end in zip(starts, [*starts[1:], None], strict=True)]
    return all(_is_count(run) and (len(runs) == 1 or len(run) >= shortest) for run in runs)


def _differ_in_format(cells: Sequence[str], below: Rows) -> bool:
    """Return whether these are integers as names are, over numbers that are all written with a decimal mark."""
    is_distinct = len(set(cells)) == len(cells) or _count_up(cells, shortest=2)
    if not is_distinct or not all(map(_INTEGER.fullmatch, cells)):
        return False
    integers = [
        [_INTEGER.fullmatch(cell) is not None for cell in column if cell not in _MISSING]
        for column in below
        if len(column) >= _FEW_LINES and _is_numeric(column)
    ]
    # Columns of integers stand for nothing; each of the others must agree.
    fractions = [column for column in integers if not all(column)]
    return len(fractions) >= min(2, len(cells)) > 0 and not any(map(any, fractions))


def _is_evenly_spaced(cells: Sequence[str]) -> bool:
    """Return whether these are at least three rising numbers at equal distances, such as years or wavelengths."""
    values = [value for value in _values(cells) if isinstance(value, float)]
    steps = [after - before for before, after in itertools.pairwise(values)]
    return len(steps) > 1 and steps[0] > 0 and max(steps) - min(steps) < 1e-6 * steps[0]

"""Columns of a table: which are features, which are an index, and which look like no features."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.cli.readers.records import DataFileError, Reading, choose, listed
from fastsil.report.suggestions import suggest
from fastsil.report.words import count

# Names that pandas gives to columns of a text that have none, as its own index in a file has none.
UNNAMED = re.compile(r"Unnamed: \d+(\.\d+)*")

_ID_ROWS = 10
"""Fewer integers than this are all different by chance."""

_LABEL_WORDS = ("label", "labels", "cluster", "clusters", "target", "class")


def select_columns(
    path: Path, there: Sequence[str], reading: Reading, index: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """Return the columns that may be features, and remarks on those left out.

    Parameters
    ----------
    path : Path
        File of the table, for messages.
    there : sequence of str
        All columns.
    reading : Reading
        Requests.
    index : sequence of str
        Columns that are an index, and features only if they are requested.
    """
    excluded = set(_expand_names(path, there, reading.exclude))
    if reading.labels_column is not None:
        excluded.add(choose(path, there, reading.labels_column, (), "column"))
    if reading.key is not None:
        wanted = [choose(path, there, reading.key, (), "column")]
    else:
        wanted = _expand_names(path, there, reading.features)
        index = () if wanted else [name for name in index if name not in excluded]
        wanted = wanted or [name for name in there if name not in index]
    names = [name for name in wanted if name not in excluded]
    notes = []
    if reading.key is None and index:
        notes.append(f"column left out, an index: {listed(index)}; --features takes it")
    if reading.labels_column in wanted:
        notes.append(f"column left out, the labels: {reading.labels_column}")
    if not names:
        raise DataFileError(f"{path} has no column left to use as a feature; it has: {listed(there)}.")
    return names, notes


def _expand_names(path: Path, there: Sequence[str], texts: Sequence[str]) -> list[str]:
    """Return the columns that texts name: one, several with commas between, or ranges ``A:C``."""
    names: list[str] = []
    for text in texts:
        # Names may have commas and colons themselves.
        ends = _find_ends(there, text)
        for part in [text] if ends else text.split(","):
            first, last = ends or _find_ends(there, part.strip()) or (part.strip(), part.strip())
            start, stop = (there.index(choose(path, there, end, (), "column")) for end in (first, last))
            if start > stop:
                raise DataFileError(
                    f"{path}: the range {part} is empty; write the column that comes first there first."
                )
            names += there[start : stop + 1]
    return list(dict.fromkeys(names))


def _find_ends(there: Sequence[str], text: str) -> tuple[str, str] | None:
    """Return first and last of a range, or a name twice; None if it is neither."""
    if text in there:
        return text, text
    colons = [place for place, letter in enumerate(text) if letter == ":"]
    pairs = [(text[:colon].strip() or there[0], text[colon + 1 :].strip() or there[-1]) for colon in colons]
    return next((pair for pair in pairs if set(pair) <= set(there)), None)


def is_index(values: NDArray[Any], *, first: bool) -> bool:
    """Return whether a column without a name is numbers of rows.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        The column.
    first : bool
        Whether it is the first of the table: then it may also be the index of rows that were chosen, shuffled or
        put together.
    """
    if values.dtype.kind not in "iu" or not len(values):
        return False
    if _counts_rows(values):
        return True
    return first and (len(np.unique(values)) == len(values) or bool(np.all((np.diff(values) == 1) | (values[1:] == 0))))


def describe_gaps(gaps: Mapping[str, tuple[int, int]]) -> list[str]:
    """Return a sentence for each column with gaps, of which ``gaps`` has the first row and the number."""
    return [
        f"column {name!r} has {count(n_gaps, 'empty or NaN cell')}, the first in row {first + 1} of the data (or that "
        f"line is short of cells); fill them, drop those rows ({suggest('--drop-missing', drop_missing=True)}), or "
        f"leave it out with --exclude {quote_name(name)}."
        for name, (first, n_gaps) in gaps.items()
    ]


def note_suspects(X: NDArray[Any], names: Sequence[str], integers: Collection[str]) -> list[str]:
    """Return a warning for each kind of features that are hardly features: numbers of rows, ids, labels.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        The features.
    names : sequence of str
        Their names.
    integers : collection of str
        Names of those that were integers.
    """
    if not len(X):
        return []
    columns = dict(zip(names, X.T, strict=False))  # the numbers of vectors have no names
    counts = [name for name in names if _counts_rows(columns[name])]
    rest = [name for name in names if name in integers and name not in counts]
    ids = [name for name in rest if _is_all_different(columns[name])]
    if len(ids) == len(names):  # measurements in whole numbers
        ids = []
    labels = [name for name in rest if name.lower() in _LABEL_WORDS]
    nameless = [name for name in rest if UNNAMED.fullmatch(name) and name not in ids]
    reasons = (
        ("count the rows, as an index does", counts),
        ("are integers that are all different, as ids are", ids),
        ("have a name as labels have", labels),
        ("are integers without a name, as an index is", nameless),
    )
    return [_warn(suspects, why) for why, suspects in reasons if suspects]


def note_copies(X: NDArray[Any], names: Sequence[str], labels: NDArray[Any]) -> list[str]:
    """Return a warning if features are equal to the labels."""
    if labels.dtype.kind not in "biuf" or len(labels) != len(X):
        return []
    copies = [
        name
        for place, name in enumerate(names)
        if all(np.array_equal(X[:end, place], labels[:end]) for end in (10, len(X)))
    ]
    return [_warn(copies, "are equal to the labels")] if copies else []


def _warn(names: Sequence[str], why: str) -> str:
    exclude = " ".join(f"--exclude {quote_name(name)}" for name in names[:8])
    return f"columns used as features although they {why}: {listed(names)}; {exclude} leaves them out"


def quote_name(name: str) -> str:
    return name if re.fullmatch(r"[\w.-]+", name) else f"'{name}'"


def _counts_rows(values: NDArray[Any]) -> bool:
    if len(values) < 3 or values[0] not in (0, 1):
        return False
    start = int(values[0])
    # Most columns are none, as the first rows show.
    return all(np.array_equal(values[:end], np.arange(start, start + end)) for end in (3, len(values)))


def _is_all_different(values: NDArray[Any]) -> bool:
    return len(values) >= _ID_ROWS and all(
        len(np.unique(values[:end])) == min(end, len(values)) for end in (1000, len(values))
    )

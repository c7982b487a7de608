"""Records of files that were read, and the error for files that cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from fastsil.runtime.memory import available_bytes

LABEL_NAMES = ("label", "labels", "cluster", "clusters", "y")
"""Names that a column of labels is known by."""

VECTOR_NAMES = ("embedding", "embeddings", "vector", "X")
"""Names that a column of vectors is known by."""


class DataFileError(ValueError):
    """A file that cannot be read as requested; the message names the file and the reason."""


class Reading(NamedTuple):
    """Parts of a file to be read, and its format.

    Attributes
    ----------
    key : str or None
        Which array of an .npz, or which column of vectors of a .parquet. By default the only one, or ``X``.
    labels_column : str or None
        Column of a table (array of an .npz) to be returned as labels and not as a feature.
    features : sequence of str
        Columns of a table that are features: names, several with commas, ranges ``A:C``. By default all numeric ones.
    exclude : sequence of str
        Columns of a table that are no features, likewise.
    header : bool or None
        Whether the first line of a text is the names of its columns. By default that is found out, as the next two are.
    sep : str or None
        Character between the cells of a text.
    decimal : str or None
        Decimal mark of a text, ``"."`` or ``","``.
    allow_gaps : bool
        Read empty cells of a table as NaN, with a note, instead of an error.
    drop_missing : bool
        Leave out rows with empty cells or NaN, with a note.
    """

    key: str | None = None
    labels_column: str | None = None
    features: Sequence[str] = ()
    exclude: Sequence[str] = ()
    header: bool | None = None
    sep: str | None = None
    decimal: str | None = None
    allow_gaps: bool = False
    drop_missing: bool = False


@dataclass(frozen=True)
class LabelFile:
    """Contents of a file of labels.

    Attributes
    ----------
    labels : ndarray of shape (n_samples,)
        One label for each sample.
    column : str or None
        Column of a table, or array of an .npz, that they were read from.
    header : bool or None
        Whether the first line of a text was read as names.
    notes : tuple of str
        Remarks on the reading for users.
    remark : str
        Another on the first line, which a number of samples makes needless.
    """

    labels: NDArray[Any]
    column: str | None = None
    header: bool | None = None
    notes: tuple[str, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class DataFile:
    """Contents of a file of samples.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features)
        The samples; a memory map for .npy.
    columns : tuple of str
        Names of the features, if the file has names.
    labels : ndarray of shape (n_samples,) or None
        The requested column of labels.
    notes : tuple of str
        Remarks on the reading for users, such as columns left out.
    assumed_header : bool or None
        Whether the first line of a text was read as names, if this was not certain.
    """

    X: NDArray[Any]
    columns: tuple[str, ...] = ()
    labels: NDArray[Any] | None = None
    notes: tuple[str, ...] = ()
    assumed_header: bool | None = None


def choose(path: Path, there: Sequence[str], key: str | None, names: Sequence[str], kind: str) -> str:
    """Return the requested name, else the only one, else the first of ``names`` that exists."""
    shown = ", ".join(there[:12]) + (", …" if len(there) > 12 else "") if there else "none"
    if key is not None:
        if key not in there:
            raise DataFileError(f"{path} has no {kind} {key!r}; it has: {shown}.")
        return key
    likely = [name for name in names if name in there]
    if len(there) == 1 or likely:
        return there[0] if len(there) == 1 else likely[0]
    example = f"; choose one, for example {path}:{there[0]}" if there else ""
    kinds = kind.replace("column", "columns", 1) if " of " in kind else f"{kind}s"
    raise DataFileError(f"{path} has {len(there)} {kinds} ({shown}){example}.")


def listed(names: Sequence[str] | Any) -> str:
    names = [str(name) for name in names]
    return ", ".join(names[:8]) + (f", … ({len(names)} in all)" if len(names) > 8 else "")


def refuse_names(path: Path, **given: Any) -> None:
    named = [name for name, value in given.items() if value]
    if named:
        raise DataFileError(f"{path} has no named columns, so {named[0].replace('_', ' ')} does not apply to it.")


def check_room(path: Path, n_bytes: int) -> None:
    """Refuse, before anything is read, a file that is larger, unpacked, than the free memory."""
    available = available_bytes()
    if available is not None and n_bytes > available:
        raise DataFileError(
            f"{path} holds {n_bytes:,} bytes once unpacked, but only {available:,} bytes of memory are free; "
            "save a part of it, or an .npy file, which is read in place."
        )


def get_suffix(path: Path) -> str:
    name = path.name.lower()
    return ".csv.gz" if name.endswith(".csv.gz") else path.suffix.lower()


def first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]

"""Files: tables of numbers and labels in, results out.

Reads .npy, .npz, .csv (.csv.gz, .tsv), .parquet, .arrow, .feather, folders of these three, .zarr, and .txt for labels.
``FILE:NAME`` names one array of an .npz or one column of a table. Every fault of a file ends as a
:class:`DataFileError` of one sentence.
"""

from __future__ import annotations

import contextlib
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.cli.readers.arrow import read_arrow, read_arrow_labels
from fastsil.cli.readers.arrow_tables import ENDINGS, ending_in
from fastsil.cli.readers.columns import note_copies
from fastsil.cli.readers.npy import read_label_npy, read_label_npz, read_npy, read_npz
from fastsil.cli.readers.records import DataFile, DataFileError, LabelFile, Reading, first_line, get_suffix
from fastsil.cli.readers.text import read_label_lines, read_label_table, read_table
from fastsil.cli.readers.zarr import read_zarr
from fastsil.runtime.lazy_imports import import_on_first_use

__all__ = [
    "DataFile",
    "DataFileError",
    "LabelFile",
    "Reading",
    "can_be_blocks",
    "drop_gaps",
    "name_data",
    "read_data",
    "read_labeled",
    "read_labels",
    "read_weights",
]

_DATA_READERS: dict[str, Callable[..., DataFile]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".csv": read_table,
    ".csv.gz": read_table,
    ".tsv": read_table,
    ".zarr": read_zarr,
    **dict.fromkeys(ENDINGS, read_arrow),
}
_BLOCK_ENDINGS = (".npy", ".zarr", *ENDINGS)
_LABEL_READERS: dict[str, Callable[..., LabelFile]] = {
    ".npy": read_label_npy,
    ".npz": read_label_npz,
    ".csv": read_label_table,
    ".csv.gz": read_label_table,
    ".tsv": read_label_table,
    **dict.fromkeys(ENDINGS, read_arrow_labels),
    ".txt": read_label_lines,
}


def read_data(source: str | Path, *, in_blocks: bool = False, **reading: Any) -> DataFile:
    """Read samples.

    Parameters
    ----------
    source : str or Path
        A .npy, .npz, .csv, .csv.gz, .tsv, .parquet, .arrow or .feather file, a folder of files of one of the last
        three kinds, read in the order of their names, or a .zarr; ``FILE:NAME`` is ``key`` in another place.
    in_blocks : bool
        Return a Dask array, whose blocks are read when they are computed.
    **reading
        Fields of :class:`Reading`: columns to be read, and the format of a text.

    Returns
    -------
    DataFile

    Raises
    ------
    DataFileError
        If the file is not there, is damaged, or has no two-dimensional numbers.
    ImportError
        If the package that reads it is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     np.save(folder + "/X.npy", np.eye(3))
    ...     read_data(folder + "/X.npy").X.shape
    (3, 3)
    """
    path, request = _split_key(source, Reading(**reading))
    read = _reader(path, _DATA_READERS, "data")
    if in_blocks:
        _reader(path, dict.fromkeys(_BLOCK_ENDINGS, read), "blocks")
        read = import_on_first_use("fastsil.cli.readers.blocks").read_blocks
    with _one_sentence(path):
        found: DataFile = read(path, request)
        _check_samples(path, found.X)
    return found


def can_be_blocks(source: str | Path) -> bool:
    """Return whether :func:`read_data` reads a file in blocks."""
    path = _split_key(source, Reading())[0]
    return (ending_in(path) if path.is_dir() and path.suffix != ".zarr" else get_suffix(path)) in _BLOCK_ENDINGS


def drop_gaps(found: DataFile, labels: NDArray[Any] | None = None) -> tuple[DataFile, NDArray[Any] | None]:
    """Leave out the rows that have NaN, and their labels; with a note, if there are any.

    Raises
    ------
    DataFileError
        If no row is left.
    """
    if found.X.dtype.kind != "f" or (labels is not None and len(labels) != len(found.X)):
        return found, labels
    with np.errstate(all="ignore"):
        # Infinities of both signs add up to NaN as well.
        suspects = np.flatnonzero(np.isnan(found.X.sum(axis=1)))
    gaps = suspects[np.isnan(found.X[suspects]).any(axis=1)]
    if not len(gaps):
        return found, labels
    kept = np.ones(len(found.X), dtype=bool)
    kept[gaps] = False
    if not kept.any():
        raise DataFileError("every row has empty or NaN cells; leave columns out with --exclude, or fill them.")
    note = (
        f"rows left out, with empty or NaN cells: {len(gaps):,} of {len(kept):,}, the first is row {gaps[0] + 1}; the "
        "results have the other rows, in their order"
    )
    own = None if found.labels is None else found.labels[kept]
    return (
        replace(found, X=found.X[kept], labels=own, notes=(*found.notes, note)),
        None if labels is None else labels[kept],
    )


def read_labels(source: str | Path, *, n_samples: int | None = None, **reading: Any) -> LabelFile:
    """Read labels, one for each sample.

    Parameters
    ----------
    source : str or Path
        A .npy, .npz, .csv, .csv.gz, .tsv, .parquet, .arrow or .feather file, a folder of files of one of the last
        three kinds, or a .txt with a label a line; ``FILE:NAME`` is ``key`` in another place.
    n_samples : int, optional
        Number of samples: it decides whether the first line of a text is a label or a name.
    **reading
        Fields of :class:`Reading`: ``key`` is by default the only column, or the one named label(s), cluster(s) or y.

    Returns
    -------
    LabelFile

    Raises
    ------
    DataFileError
        If the file is not there, is damaged, or has not one column of labels.
    ImportError
        If the package that reads it is not installed.
    """
    path, request = _split_key(source, Reading(**reading))
    read = _reader(path, _LABEL_READERS, "labels")
    with _one_sentence(path):
        found: LabelFile = read(path, request)
        if n_samples is not None and found.header is not None:
            found = _fit_header(found, n_samples, lambda header: read(path, request._replace(header=header)))
        labels = np.asarray(found.labels)
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1:
            raise DataFileError(f"{path} has an array of shape {labels.shape}; labels are one for each sample.")
    notes = found.notes if not found.remark or len(labels) == n_samples else (*found.notes, found.remark)
    return replace(found, labels=labels, notes=notes)


def read_labeled(source: str | Path, labels: str | Path | None, **reading: Any) -> tuple[DataFile, NDArray[Any] | None]:
    """Read samples and their labels; a column that the labels are taken from is no feature.

    Parameters
    ----------
    source : str or Path
        As in :func:`read_data`.
    labels : str, Path or None
        As in :func:`read_labels`, also a column of ``source``; None if ``labels_column`` names it, or for no labels.
    **reading
        Fields of :class:`Reading`.

    Returns
    -------
    DataFile
        With the remarks on both.
    ndarray of shape (n_samples,), or None

    Raises
    ------
    DataFileError, ImportError
        As :func:`read_data` and :func:`read_labels`.
    """
    text = {name: reading.get(name) for name in ("header", "sep", "decimal")}
    if labels is not None and _is_same_file(source, labels):
        column = read_labels(labels, **text).column
        if column is not None:
            reading, labels = {**reading, "labels_column": column}, None
    found = read_data(source, **reading)
    if labels is None:
        return found, found.labels
    given = read_labels(labels, n_samples=len(found.X), **text)
    if found.assumed_header is not None and len(given.labels) != len(found.X):
        header = not found.assumed_header
        with contextlib.suppress(DataFileError):
            other = read_data(source, **{**reading, "header": header})
            if len(other.X) == len(given.labels):
                note = f"the first line is read as {_name_line(header)}: there are {len(other.X):,} labels"
                found = replace(other, notes=(note, *other.notes))
    notes = (*found.notes, *given.notes, *note_copies(found.X, found.columns, given.labels))
    return replace(found, notes=notes), given.labels


def read_weights(source: str | Path, column: str, n_samples: int, reading: Reading) -> NDArray[np.float64]:
    """Read a column of a table of samples that holds their weights.

    Raises
    ------
    DataFileError
        If there is no such column, or it holds no numbers.
    """
    text = {"header": reading.header, "sep": reading.sep, "decimal": reading.decimal}
    found = read_labels(source, n_samples=n_samples, key=column, **text).labels
    try:
        return found.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataFileError(f"column {column} of {source} has entries that are no numbers, as weights are.") from error


def name_data(source: str | Path, key: str | None = None) -> str:
    """Return a name for the samples of a file, for a folder: that of the file, with the array or column chosen.

    Examples
    --------
    >>> name_data("there/images.v2.npy"), name_data("two.npz:train"), name_data("two.npz", "a/b")
    ('images.v2', 'two-train', 'two-a_b')
    """
    path, request = _split_key(source, Reading(key=key))
    suffix = get_suffix(path)
    name = path.name[: -len(suffix)] if suffix in {*_DATA_READERS, *_LABEL_READERS} else path.name
    member = "" if request.key is None else "-" + re.sub(r"[^\w.-]", "_", request.key)
    return name + member or "data"


def _is_same_file(source: str | Path, labels: str | Path) -> bool:
    (path, _), (other, _) = _split_key(source, Reading()), _split_key(labels, Reading())
    return path.exists() and other.exists() and path.samefile(other)


def _name_line(header: bool) -> str:
    return "names" if header else "a row"


def _fit_header(found: LabelFile, n_samples: int, read: Callable[[bool], LabelFile]) -> LabelFile:
    """Return the labels with the first line read as a label or not, whichever gives one for each sample."""
    if len(found.labels) != n_samples + (-1 if found.header else 1):
        return found
    try:
        other = read(not found.header)
    except DataFileError:  # the requested column has no name then
        return found
    if len(other.labels) != n_samples:
        return found
    note = f"the first line of the labels is read as {_name_line(not found.header)}: there are {n_samples:,} samples"
    return replace(other, notes=(note,))


def _split_key(source: str | Path, reading: Reading) -> tuple[Path, Reading]:
    path = Path(source)
    before, colon, after = str(source).rpartition(":")
    known = {*_DATA_READERS, *_LABEL_READERS}
    if reading.key is None and colon and after and not path.exists() and get_suffix(Path(before)) in known:
        return Path(before), reading._replace(key=after)
    return path, reading


def _reader(path: Path, readers: Mapping[str, Callable[..., Any]], what: str) -> Callable[..., Any]:
    if not path.exists():
        raise DataFileError(f"there is no file {path}.")
    suffix = ending_in(path) if path.is_dir() and path.suffix != ".zarr" else get_suffix(path)
    if suffix not in readers:
        raise DataFileError(f"{path} has the ending {suffix or '(none)'}; {what} are read from {', '.join(readers)}.")
    return readers[suffix]


@contextlib.contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    """Turn readers' exceptions into a DataFileError that names the file."""
    try:
        yield
    except (DataFileError, ImportError):
        raise
    except OSError as error:
        raise DataFileError(f"{path} cannot be read: {error.strerror or first_line(error)}.") from error
    except (EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataFileError(f"{path} is damaged or cut short ({first_line(error)}).") from error
    except UnicodeDecodeError as error:
        raise DataFileError(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    except Exception as error:  # damaged bytes bring readers to raise anything
        raise DataFileError(f"{path} cannot be read: {first_line(error)}") from error


def _check_samples(path: Path, X: NDArray[Any]) -> None:
    if X.dtype.kind not in "biuf":
        raise DataFileError(f"{path} holds {X.dtype} and not numbers; save X as float32 or float64.")
    if X.ndim != 2:
        advice = "reshape it to (n_samples, n_features)" if X.ndim else "a single number is no data"
        raise DataFileError(f"{path} has an array of shape {X.shape}; {advice}.")
    if 0 in X.shape:
        raise DataFileError(f"{path} is empty: its array has shape {X.shape}.")

"""Files: tables of numbers and labels in, results out.

Reads .npy, .npz, .csv (.csv.gz, .tsv), .parquet, .arrow, .feather, folders of these three, and .txt for labels.
``FILE:NAME`` names one array of an .npz or one column of a table. Every fault of a file ends as a
:class:`DataFileError` of one sentence.
"""

from __future__ import annotations

import contextlib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.cli.readers.arrow import read_arrow, read_arrow_labels
from fastsil.cli.readers.arrow_tables import ENDINGS, ending_in
from fastsil.cli.readers.npy import read_label_npy, read_label_npz, read_npy, read_npz
from fastsil.cli.readers.records import DataFile, DataFileError, first_line, get_suffix
from fastsil.cli.readers.text import read_label_lines, read_label_table, read_table

__all__ = [
    "DataFile",
    "DataFileError",
    "read_data",
    "read_labels",
]

_DATA_READERS: dict[str, Callable[..., DataFile]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".csv": read_table,
    ".csv.gz": read_table,
    ".tsv": read_table,
    **dict.fromkeys(ENDINGS, read_arrow),
}
_LABEL_READERS: dict[str, Callable[..., NDArray[Any]]] = {
    ".npy": read_label_npy,
    ".npz": read_label_npz,
    ".csv": read_label_table,
    ".csv.gz": read_label_table,
    ".tsv": read_label_table,
    **dict.fromkeys(ENDINGS, read_arrow_labels),
    ".txt": read_label_lines,
}


def read_data(
    source: str | Path, *, key: str | None = None, labels_column: str | None = None, drop: Sequence[str] = ()
) -> DataFile:
    """Read samples.

    Parameters
    ----------
    source : str or Path
        A .npy, .npz, .csv, .csv.gz, .tsv, .parquet, .arrow or .feather file, or a folder of files of one of the last
        three kinds, read in the order of their names; ``FILE:NAME`` is ``key`` in another place.
    key : str, optional
        Which array of an .npz, or which column of vectors of a .parquet. By default the only one, or ``X``.
    labels_column : str, optional
        Column of a table (array of an .npz) to be returned as labels and not as a feature.
    drop : sequence of str
        Columns of a table that are no features, such as numbers of rows.

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
    path, key = _split_key(source, key)
    read = _reader(path, _DATA_READERS, "data")
    with _one_sentence(path):
        found: DataFile = read(path, key, labels_column, tuple(drop))
        _check_samples(path, found.X)
    return found


def read_labels(source: str | Path, *, key: str | None = None) -> NDArray[Any]:
    """Read labels, one for each sample.

    Parameters
    ----------
    source : str or Path
        A .npy, .npz, .csv, .csv.gz, .tsv, .parquet, .arrow or .feather file, a folder of files of one of the last
        three kinds, or a .txt with a label a line; ``FILE:NAME`` is ``key`` in another place.
    key : str, optional
        Which array or column. By default the only one, or the one named label(s), cluster(s) or y.

    Returns
    -------
    ndarray of shape (n_samples,)

    Raises
    ------
    DataFileError
        If the file is not there, is damaged, or has not one column of labels.
    ImportError
        If the package that reads it is not installed.
    """
    path, key = _split_key(source, key)
    read = _reader(path, _LABEL_READERS, "labels")
    with _one_sentence(path):
        labels = np.asarray(read(path, key))
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        if labels.ndim != 1:
            raise DataFileError(f"{path} has an array of shape {labels.shape}; labels are one for each sample.")
    return labels


def _split_key(source: str | Path, key: str | None) -> tuple[Path, str | None]:
    path = Path(source)
    before, colon, after = str(source).rpartition(":")
    if key is None and colon and after and not path.exists() and get_suffix(Path(before)) in _LABEL_READERS:
        return Path(before), after
    return path, key


def _reader(path: Path, readers: Mapping[str, Callable[..., Any]], what: str) -> Callable[..., Any]:
    if not path.exists():
        raise DataFileError(f"there is no file {path}.")
    suffix = ending_in(path) if path.is_dir() else get_suffix(path)
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

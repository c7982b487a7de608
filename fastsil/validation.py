"""All checks of user input, once, at the public functions. Below them arrays are right.

Errors have scikit-learn's types and say which argument, what came, what is wanted, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array, column_or_1d

from fastsil.memory import require
from fastsil.partition import Partition, partition_from_codes
from fastsil.scaling import is_sparse
from fastsil.sklearn_compat import VALID_METRICS, InvalidParameterError

Metric = str | Callable[..., float]

# Rows checked for NaN and infinity at a time: small beside X, large beside the cost of a call.
_FINITE_CHUNK_BYTES = 4 << 20
_CONVERTED_BYTES = 16 << 20


def check_metric(metric: Any) -> Metric:
    """Return ``metric`` if scikit-learn knows it or it is callable; else suggest the nearest name."""
    if callable(metric):
        return cast(Metric, metric)
    if isinstance(metric, str) and metric in VALID_METRICS:
        return metric
    near = difflib.get_close_matches(str(metric), VALID_METRICS, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InvalidParameterError(
        f"metric={metric!r} is not known.{hint} Pass a callable or one of: {', '.join(VALID_METRICS)}."
    )


def name_of_metric(metric: Metric) -> str:
    """What a metric is called; of a callable, its own name."""
    return metric if isinstance(metric, str) else getattr(metric, "__name__", "callable")


def is_dask_array(X: Any) -> bool:
    """Whether X is a Dask array, without importing Dask.

    Raises
    ------
    TypeError
        If it is another collection of Dask, which would silently be computed as a whole.
    """
    room = type(X).__module__.split(".")
    if room[0] not in ("dask", "dask_expr") or not hasattr(X, "__dask_graph__"):
        return False
    if type(X).__name__ == "Array":
        return True
    raise TypeError(
        f"X is a {room[0]} {type(X).__name__}; pass a Dask array, for example frame.to_dask_array(lengths=True)."
    )


def check_data(X: Any, *, metric: Metric = "euclidean", first_row: int = 0) -> Any:
    """Return X as a C-contiguous float32 or float64 array (or CSR matrix), copied only if it must be.

    Parameters
    ----------
    X : array-like or sparse matrix of shape (n_samples, n_features)
        float32 stays float32; everything else that is a number becomes float64. Distances
        (``metric="precomputed"``) and data for other engines than ours keep their type.
    metric : str or callable
        Only ``"precomputed"`` matters: distances must be square. Their values are checked by
        :func:`check_row_of_distances`, in the pass that reads them.
    first_row : int
        Number of the first row, for messages, where X is a part of the data.

    Raises
    ------
    TypeError
        If X is a collection of Dask.
    ValueError
        If X is not a two-dimensional array of finite numbers with at least one row and column.
    """
    if is_dask_array(X):
        raise TypeError(
            "X is a Dask array, which would be computed as a whole here; pass X.compute(), or score it by "
            "silhouette_samples, silhouette_score, silhouette_profile or silhouette_estimate."
        )
    if isinstance(X, np.ma.MaskedArray) and np.ma.is_masked(X):
        raise ValueError("X has masked entries; fill or drop them first (for example X.filled(0)).")
    X = cast(Any, check_array)(X, accept_sparse=["csr"], dtype="numeric", ensure_all_finite=False, input_name="X")
    sparse = is_sparse(X)
    if not sparse and metric != "precomputed":
        _check_room(X)
    # In the machine's byte order: NumPy's sums and numba's kernels want it, and >f4 is float32 all the same.
    X = X.astype(X.dtype.newbyteorder("="), copy=False)
    if metric == "precomputed":
        if X.shape[0] != X.shape[1]:
            raise ValueError(f"metric='precomputed' needs a square matrix of distances, got X of shape {X.shape}.")
        return X
    check_finite(X, first_row=first_row)
    dtype = np.float32 if X.dtype == np.float32 else np.float64
    if sparse:
        return X.astype(dtype, copy=False)
    if X.dtype == dtype and X.flags.c_contiguous and X.flags.aligned:
        return np.asarray(X)
    # A block at a time, for Ctrl-C.
    converted = np.empty(X.shape, dtype)
    step = max(1, _CONVERTED_BYTES // (converted.itemsize * X.shape[1]))
    for start in range(0, len(X), step):
        converted[start : start + step] = X[start : start + step]
    return converted


def _check_room(X: NDArray[Any]) -> None:
    """Raise a MemoryError, before anything is read, if X must be copied and the copy does not fit."""
    wanted = np.dtype(np.float32 if X.dtype.newbyteorder("=") == np.float32 else np.float64)
    if X.dtype == wanted and X.flags.c_contiguous:
        return
    order = "in C order" if X.flags.c_contiguous else f"in C order (it has strides {X.strides})"
    require(
        float(X.shape[0]) * X.shape[1] * wanted.itemsize,
        f"A copy of X ({X.dtype}, shape {X.shape}) as {wanted} {order}",
        "Give it as a float32 or float64 array in C order, which is read in place, in memory or from a file.",
    )


def check_finite(X: Any, *, first_row: int = 0) -> None:
    """Raise a ValueError that says where, if X (an array or a CSR matrix) has a NaN or an infinity."""
    sparse = is_sparse(X)
    # In the order of memory: a mapped file in Fortran order would be read page by page for every block of rows.
    flipped = not sparse and X.flags.f_contiguous and not X.flags.c_contiguous
    values = X.data if sparse else X.T if flipped else X
    if values.dtype.kind not in "fc":
        return
    step = max(1, _FINITE_CHUNK_BYTES // max(values.itemsize * (values.shape[1] if values.ndim == 2 else 1), 1))
    for start in range(0, len(values), step):
        chunk = values[start : start + step]
        # NaN and infinity survive a sum (overflow makes one too, so a bad sum only means: look).
        with np.errstate(over="ignore", invalid="ignore"):
            suspect = not np.isfinite(chunk.sum(dtype=chunk.dtype))
        if not suspect or np.isfinite(chunk).all():
            continue
        first, *second = (int(axis[0]) for axis in np.nonzero(~np.isfinite(chunk)))
        place = (start + first, *second)
        if sparse:
            row, column = int(np.searchsorted(X.indptr, place[0], side="right")) - 1, int(X.indices[place[0]])
        else:
            row, column = reversed(place) if flipped else place
        _raise_not_finite(values[place], first_row + row, column)


def _check_distances_between(X: Any, rows: NDArray[np.intp], drawn: Any) -> None:
    """Raise a ValueError, with the row and column of X, if the distances between some samples are no distances.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_samples)
        Distances.
    rows : ndarray of shape (n_rows,)
        The samples, sorted.
    drawn : ndarray or CSR matrix of shape (n_rows, n_rows)
        The distances between them.
    """
    values = drawn.data if is_sparse(drawn) else drawn
    sizes = np.abs(drawn.diagonal().astype(np.float64))
    if values.size == 0 or (
        np.isfinite(values).all() and values.min() >= 0 and sizes.max() <= diagonal_tolerance(X.dtype)
    ):
        return
    for row in rows:
        check_row_of_distances(X, int(row), of=rows)


def check_row_of_distances(X: Any, row: int, *, of: NDArray[np.intp] | None = None) -> None:
    """Raise a ValueError if a row of distances (an array or a CSR matrix) is not what scikit-learn takes.

    Distances are finite and not negative. On the diagonal they are 0, up to 100 eps for floating-point types.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_samples)
        Distances.
    row : int
        The row.
    of : ndarray, optional
        Columns that are looked at, sorted; all by default.
    """
    if is_sparse(X):
        entries = slice(X.indptr[row], X.indptr[row + 1])
        values, columns = X.data[entries], X.indices[entries]
        diagonal = values[columns == row].sum(dtype=np.float64)
    else:
        values, columns, diagonal = X[row], np.arange(X.shape[1]), X[row, row]
    if of is not None:
        among = np.isin(columns, of)
        values, columns = values[among], columns[among]
    for place in np.flatnonzero(~np.isfinite(values))[:1]:
        _raise_not_finite(values[place], row, columns[place])
    if abs(float(diagonal)) > diagonal_tolerance(X.dtype):
        raise ValueError(
            "The precomputed distance matrix contains non-zero elements on the diagonal "
            f"(row {row}: {diagonal}). Use np.fill_diagonal(X, 0)."
        )
    for place in np.flatnonzero(values < 0)[:1]:
        raise ValueError(
            f"Negative values in X: row {row}, column {columns[place]} is {values[place]}. "
            "metric='precomputed' takes distances; turn similarities into distances first (for example X.max() - X)."
        )


def diagonal_tolerance(dtype: np.dtype[Any]) -> float:
    """Largest absolute value on the diagonal of distances that counts as 0, which is scikit-learn's."""
    return 100 * float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0


def check_labels(labels: Any, n_samples: int) -> Partition:
    """Return the labels as a partition of the samples.

    Raises
    ------
    ValueError
        If labels is not one-dimensional, has missing values, has another length than X, or has
        fewer than 2 or more than n_samples - 1 distinct values.
    TypeError
        If labels mixes types that have no order, strings and numbers for one.
    """
    partition = check_part_labels(labels, n_samples)
    check_n_classes(partition.n_clusters, n_samples)
    return partition


def check_part_labels(labels: Any, n_samples: int, *, first_row: int = 0) -> Partition:
    """As :func:`check_labels`, for a part of the data that begins at ``first_row`` and may be of one cluster."""
    classes, codes = _encode(_check_label_array(labels, n_samples, first_row))
    return partition_from_codes(classes, codes)


def check_n_classes(n_classes: int, n_samples: int) -> None:
    """Raise a ValueError if so many samples cannot have silhouettes with so many labels."""
    if not 1 < n_classes < n_samples:
        raise ValueError(
            f"Number of labels is {n_classes}. Valid values are 2 to n_samples - 1 (inclusive): a silhouette "
            f"compares a sample's own cluster with another one, and at least one of the {n_samples} samples "
            "needs a companion in its cluster."
        )


def check_scored(
    X: Any, labels: Any, metric: Metric, ignore_label: Any
) -> tuple[Any, Partition, NDArray[np.bool_] | None]:
    """Return data and partition of the samples that are scored, and which these are (None for all)."""
    check_metric(metric)
    X = check_data(X, metric=metric)
    partition, kept = check_scored_labels(labels, X.shape[0], ignore_label)
    if kept is None:
        return X, partition, None
    rows = np.flatnonzero(kept)
    drawn = samples_at(X, rows, metric)
    if metric == "precomputed":
        # Here, where rows have the numbers that the caller knows.
        _check_distances_between(X, rows, drawn)
    return drawn, partition, kept


def check_scored_labels(labels: Any, n_samples: int, ignore_label: Any) -> tuple[Partition, NDArray[np.bool_] | None]:
    """Return the partition of the samples that are scored, and which these are (None for all)."""
    if ignore_label is None:
        return check_labels(labels, n_samples), None
    labels, kept = check_ignored(labels, n_samples, ignore_label)
    if kept.all():
        return check_labels(labels, n_samples), None
    return check_labels(labels[kept], int(kept.sum())), kept


def samples_at(X: Any, rows: NDArray[np.intp], metric: Metric) -> Any:
    """Some samples of checked data, copied; of distances, those between them."""
    if not is_sparse(X):
        require(
            float(len(rows)) * (len(rows) if metric == "precomputed" else X.shape[1]) * X.itemsize,
            f"A copy of the {len(rows):,} samples that are scored",
            "Leave out less, or draw fewer (sample_size).",
        )
    if metric != "precomputed":
        return X[rows]
    # At once where NumPy can, so that only what is left is copied.
    return X[np.ix_(rows, rows)] if isinstance(X, np.ndarray) else X[rows][:, rows]


def check_ignored(labels: Any, n_samples: int, ignore_label: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the labels as an array, and which samples have another label than ``ignore_label``.

    Raises
    ------
    ValueError
        As :func:`check_labels`; or if every sample has that label, or fewer than 2 labels are left.
    """
    if np.ndim(ignore_label) != 0:
        raise ValueError(f"ignore_label={ignore_label!r} must be one label (-1 for the noise of DBSCAN) or None.")
    labels = _check_label_array(labels, n_samples)
    kept = have_another_label(labels, ignore_label)
    left = np.count_nonzero(kept)
    if not left:
        raise ValueError(
            f"All {n_samples} samples have the label {ignore_label!r} that ignore_label leaves out; there is nothing "
            "to score. Did the clustering find only noise?"
        )
    if left < n_samples:
        n_labels = len(_encode(labels[kept])[0])
        if not 1 < n_labels < left:
            raise ValueError(
                f"Number of labels is {n_labels} among the {left} samples that ignore_label={ignore_label!r} leaves. "
                "Valid values are 2 to the number of such samples - 1 (inclusive)."
            )
    return labels, kept


def have_another_label(labels: NDArray[Any], ignore_label: Any) -> NDArray[np.bool_]:
    """Which samples have another label than ``ignore_label``."""
    # As objects, since NumPy has no order for strings beside numbers.
    comparable = labels if labels.dtype.kind in "iuf" and not isinstance(ignore_label, str) else labels.astype(object)
    return np.asarray(comparable != ignore_label, dtype=bool)


def check_labelings(labelings: Any, n_samples: int) -> list[Partition]:
    """Return several labelings of the same samples as partitions.

    Raises
    ------
    ValueError, TypeError
        As :func:`check_labels`, with the place of the labeling that is wrong; or if there is none, or if
        ``labelings`` is one labeling and not several.
    """
    if isinstance(labelings, str) or not isinstance(labelings, Iterable):
        raise TypeError(f"labelings must be a sequence of label arrays, got {type(labelings).__name__}.")
    listed = list(labelings)
    if not listed:
        raise ValueError("labelings is empty; pass at least one array of labels.")
    if all(np.ndim(labels) == 0 for labels in listed):
        raise ValueError(
            "labelings is one labeling, not a sequence of them; pass [labels], or call silhouette_samples(X, labels)."
        )
    partitions = []
    for place, labels in enumerate(listed):
        try:
            partitions.append(check_labels(labels, n_samples))
        except (ValueError, TypeError) as error:
            raise type(error)(f"labelings[{place}]: {error}") from error
    return partitions


def check_average(average: str) -> str:
    """Return ``average`` if it is ``"micro"`` or ``"macro"``."""
    if average not in ("micro", "macro"):
        raise InvalidParameterError(
            f"average={average!r} is not known; pass 'micro' (mean over samples) or 'macro' (mean over clusters)."
        )
    return average


def check_space(space: str) -> str:
    """Return ``space`` if it is ``"transformed"`` or ``"input"``."""
    if space not in ("transformed", "input"):
        raise InvalidParameterError(
            f"space={space!r} is not known; pass 'transformed' (as a pipeline's last step gets samples) or 'input'."
        )
    return space


def check_undefined(undefined: Any) -> Any:
    """Return ``undefined`` if it is a number or ``"raise"``."""
    if undefined != "raise" and (isinstance(undefined, bool) or not isinstance(undefined, (int, float, np.number))):
        raise InvalidParameterError(
            f"undefined={undefined!r} must be a number, the score of labels without a silhouette, or 'raise'."
        )
    return undefined


def check_integer(name: str, value: Any) -> None:
    """Raise a TypeError unless the argument of this name is an integer."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}.")


def check_sample_size(sample_size: Any) -> int | None:
    """Return ``sample_size`` if it is None or a positive integer."""
    if sample_size is None:
        return None
    if isinstance(sample_size, bool) or not isinstance(sample_size, (int, np.integer)) or sample_size < 1:
        raise InvalidParameterError(f"sample_size={sample_size!r} must be a positive integer or None (all samples).")
    return int(sample_size)


def check_tol(tol: Any) -> float:
    """Return ``tol`` if it is a positive number."""
    if isinstance(tol, bool) or not isinstance(tol, (int, float, np.number)) or not 0 < tol < np.inf:
        raise InvalidParameterError(
            f"tol={tol!r} must be a positive number: half the width of the interval of the mean silhouette, say 1e-3."
        )
    return float(tol)


def check_refine_to(refine_to: Any, *, exact: bool) -> float | None:
    """Return ``refine_to`` if it is None or a width of intervals, which only guesses have."""
    if refine_to is None:
        return None
    if exact:
        raise ValueError("refine_to computes some of the samples exactly; with exact=True, all are. Pass exact=False.")
    number = isinstance(refine_to, (int, float, np.number)) and not isinstance(refine_to, bool)
    if not number or not refine_to >= 0:
        raise InvalidParameterError(
            f"refine_to={refine_to!r} must be 0 or more: the widest interval that a sample may keep, such as 0.05."
        )
    return float(refine_to)


def check_confidence(confidence: Any) -> float:
    """Return ``confidence`` if it is a number between 0 and 1."""
    number = isinstance(confidence, (int, float, np.number)) and not isinstance(confidence, bool)
    if not number or not 0 < confidence < 1:
        raise InvalidParameterError(f"confidence={confidence!r} must be a number between 0 and 1, such as 0.99.")
    return float(confidence)


def _raise_not_finite(value: Any, row: int, column: int) -> None:
    kind = "NaN" if np.isnan(value) else "infinity"
    raise ValueError(
        f"Input X contains {kind}: row {row}, column {column} is {value}. "
        "Drop or impute such rows first (sklearn.impute.SimpleImputer fills gaps)."
    )


def _check_label_array(labels: Any, n_samples: int, first_row: int = 0) -> NDArray[Any]:
    labels = cast(Any, column_or_1d)(_as_label_array(labels), warn=True)
    if len(labels) != n_samples:
        raise ValueError(
            f"labels has {len(labels)} entries but X has {n_samples} rows "
            "(inconsistent numbers of samples); pass one label per row of X."
        )
    _check_labels_present(labels, first_row)
    return cast(NDArray[Any], labels)


def _as_label_array(labels: Any) -> Any:
    if isinstance(labels, np.ma.MaskedArray):
        if np.ma.is_masked(labels):
            first = int(np.flatnonzero(np.ma.getmaskarray(labels))[0])
            raise ValueError(f"labels has a masked entry at row {first}; drop those rows of X and labels first.")
        return labels.data
    return labels


def _check_labels_present(labels: NDArray[Any], first_row: int) -> None:
    if labels.dtype.kind == "f":
        missing = ~np.isfinite(labels)
    elif labels.dtype.kind == "O":
        missing = np.fromiter((value is None or value != value for value in labels), bool, len(labels))
    else:
        return
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise ValueError(
            f"labels contains {labels[row]} (NaN, infinity or missing) at row {first_row + row}; drop those rows."
        )


def _encode(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    if labels.dtype.kind in "iu":
        # np.unique sorts all labels; small integers, the usual case, are counted instead.
        low, high = int(labels.min()), int(labels.max())
        if high - low <= 2 * len(labels):
            # In 64 bits, as int8 labels -128 and 127 are 255 apart; uint64 only after the subtraction.
            shifted = (labels - labels.min()) if labels.dtype.kind == "u" else labels.astype(np.int64) - low
            present = np.bincount(shifted.astype(np.intp, copy=False)) > 0
            codes = (np.cumsum(present) - 1)[shifted]
            classes = np.empty(np.count_nonzero(present), dtype=labels.dtype)
            classes[codes] = labels
            return classes, codes
    try:
        classes, codes = np.unique(labels, return_inverse=True)
    except TypeError as error:
        kinds = sorted({type(value).__name__ for value in labels})
        raise TypeError(f"labels mixes types that have no order ({', '.join(kinds)}); convert them to one.") from error
    return classes, codes

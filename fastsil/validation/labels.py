"""Labels, and which samples are scored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d

from fastsil.runtime.threads import CALLING_THREAD, count_threads_of_call, run_over_rows
from fastsil.validation.arrays import is_missing
from fastsil.validation.partition import MANY_LABELS, Partition, partition_from_codes


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
    """Check labels as :func:`check_labels` does, for a part of the data that begins at ``first_row``; one cluster is
    enough.
    """
    classes, codes = _encode(_check_label_array(labels, n_samples, first_row))
    return partition_from_codes(classes, codes)


def check_n_classes(n_classes: int, n_samples: int) -> None:
    """Raise a ValueError if ``n_samples`` samples with ``n_classes`` distinct labels cannot have silhouettes."""
    if not 1 < n_classes < n_samples:
        raise ValueError(
            f"Number of labels is {n_classes}. Valid values are 2 to n_samples - 1 (inclusive): a silhouette "
            f"compares a sample's own cluster with another one, and at least one of the {n_samples} samples "
            "needs a companion in its cluster."
        )


def check_drawn(n_classes: int, sample_size: int) -> None:
    """Raise a ValueError if a random subset has too few or too many labels."""
    if not 1 < n_classes < sample_size:
        raise ValueError(
            f"Number of labels is {n_classes} in the random subset of sample_size={sample_size} samples. Valid values "
            "are 2 to sample_size - 1 (inclusive). Take a larger sample_size, or estimate the score of all samples "
            "with tol=0.01 in its place."
        )


def check_labelings(
    labelings: Any, n_samples: int, ignore_label: Any = None, sample_weight: NDArray[np.float64] | None = None
) -> list[tuple[Partition, NDArray[np.bool_] | None]]:
    """Return several labelings of one data set, each as :func:`check_scored_labels` does.

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
    checked = []
    for place, labels in enumerate(listed):
        try:
            checked.append(check_scored_labels(labels, n_samples, ignore_label, sample_weight))
        except (ValueError, TypeError) as error:
            raise type(error)(f"labelings[{place}]: {error}") from error
    return checked


def check_ignored(labels: Any, n_samples: int, ignore_label: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the labels as an array, and which samples have another label than ``ignore_label``.

    Raises
    ------
    ValueError
        As :func:`check_labels`; or if every sample has that label, or fewer than 2 labels are left.
    """
    labels, kept = mark_scored(labels, n_samples, ignore_label)
    _check_some_left(kept, ignore_label)
    left = np.count_nonzero(kept)
    if left < n_samples:
        n_labels = len(_encode(labels[kept])[0])
        if not 1 < n_labels < left:
            raise ValueError(
                f"Number of labels is {n_labels} among the {left} samples that ignore_label={ignore_label!r} leaves. "
                "Valid values are 2 to the number of such samples - 1 (inclusive)."
            )
    return labels, kept


def _check_some_left(kept: NDArray[np.bool_], ignore_label: Any) -> None:
    if not kept.any():
        raise ValueError(
            f"All {len(kept)} samples have the label {ignore_label!r} that ignore_label leaves out; there is nothing "
            "to score. Did the clustering find only noise?"
        )


def mark_scored(labels: Any, n_samples: int, ignore_label: Any) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the labels of some samples as an array, and which of them are scored.

    Raises
    ------
    ValueError
        If labels is not one-dimensional, has another length than X, or has missing values that are not left out.
    """
    if np.ndim(ignore_label) != 0:
        raise ValueError(f"ignore_label={ignore_label!r} must be one label (-1 for the noise of DBSCAN) or None.")
    leaves_out_missing = ignore_label is not None and is_missing(ignore_label)
    labels = _check_label_array(labels, n_samples, may_miss=leaves_out_missing)
    if not leaves_out_missing:
        _check_kind(labels, ignore_label)
    return labels, have_another_label(labels, ignore_label)


def have_another_label(labels: NDArray[Any], ignore_label: Any) -> NDArray[np.bool_]:
    """Mark the samples with another label than ``ignore_label``, which is NaN for missing labels, and None for none."""
    if ignore_label is None:
        return np.ones(len(labels), dtype=bool)
    if is_missing(ignore_label):
        return ~_find_missing(labels)
    # As objects, since NumPy cannot order strings and numbers together.
    comparable = labels if labels.dtype.kind in "iuf" and not isinstance(ignore_label, str) else labels.astype(object)
    return np.asarray(comparable != ignore_label, dtype=bool)


def _check_kind(labels: NDArray[Any], ignore_label: Any) -> None:
    """Refuse text for numbers and numbers for text, which would leave nothing out."""
    if ignore_label is None:
        return
    is_text = {isinstance(label, (str, bytes)) for label in (labels.tolist() if labels.dtype == object else labels[:1])}
    if is_text == {not isinstance(ignore_label, (str, bytes))}:
        what = "text" if True in is_text else "integers" if labels.dtype.kind in "iu" else "numbers"
        shown = ", ".join(map(repr, np.unique(labels)[:2].tolist()))
        raise ValueError(f"ignore_label={ignore_label!r} is no label; labels are {what} such as {shown}.")


def check_scored_labels(
    labels: Any, n_samples: int, ignore_label: Any, sample_weight: NDArray[np.float64] | None = None
) -> tuple[Partition, NDArray[np.bool_] | None]:
    """Return the partition of the samples that are scored, and which these are (None for all)."""
    if sample_weight is not None:
        return _check_weighted_labels(labels, n_samples, ignore_label, sample_weight)
    if ignore_label is None:
        return check_labels(labels, n_samples), None
    labels, kept = check_ignored(labels, n_samples, ignore_label)
    if kept.all():
        return check_labels(labels, n_samples), None
    return check_labels(labels[kept], int(kept.sum())), kept


def _check_weighted_labels(
    labels: Any, n_samples: int, ignore_label: Any, sample_weight: NDArray[np.float64]
) -> tuple[Partition, NDArray[np.bool_] | None]:
    """Return what :func:`check_scored_labels` does where a sample may count more or less than once."""
    labels, kept = mark_scored(labels, n_samples, ignore_label)
    _check_some_left(kept, ignore_label)
    partition = check_weighted(check_part_labels(labels[kept], int(kept.sum())), sample_weight[kept])
    return partition, None if kept.all() else kept


def check_weighted(partition: Partition, sample_weight: NDArray[np.float64]) -> Partition:
    """Return a partition with weights.

    Raises
    ------
    ValueError
        If fewer than 2 clusters have weight, or all samples with weight are alone and count once at most.
    """
    partition = partition.weighted(sample_weight)
    assert partition.weights is not None
    with_weight = int(np.count_nonzero(partition.weights.totals))
    if not partition.has_silhouettes:
        raise ValueError(
            f"Number of labels is {with_weight}, counting those with a positive sample_weight. A silhouette compares a "
            "sample's own cluster with another one: at least 2 are needed, and at least one sample needs a companion "
            "with weight in its cluster, or a weight above 1."
        )
    return partition


def _check_label_array(labels: Any, n_samples: int, first_row: int = 0, *, may_miss: bool = False) -> NDArray[Any]:
    array = _as_label_array(labels, may_miss=may_miss)
    if len(array) != n_samples:
        raise ValueError(
            f"labels has {len(array)} entries but X has {n_samples} rows "
            "(inconsistent numbers of samples); pass one label per row of X."
        )
    if not may_miss:
        _check_labels_present(array, first_row)
    return array


def _as_label_array(given: Any, *, may_miss: bool) -> NDArray[Any]:
    labels: Any = given
    if isinstance(labels, np.ma.MaskedArray):
        if np.ma.is_masked(labels) and not may_miss:
            first = int(np.flatnonzero(np.ma.getmaskarray(labels))[0])
            raise ValueError(
                f"labels has a masked entry at row {first}; leave such samples out with ignore_label=numpy.nan, or "
                "drop those rows of X and labels."
            )
        mask = np.ma.getmaskarray(labels)
        labels = np.where(mask, np.array(None), labels.data) if mask.any() else labels.data
    array: NDArray[Any] = cast(Any, column_or_1d)(labels, warn=True)
    if array.dtype.kind in "US" and isinstance(given, (list, tuple)) and any(map(is_missing, given)):
        # NumPy writes a NaN among strings as "nan".
        array = np.array(given, dtype=object)
    return array.astype(object) if array.dtype.kind == "T" else array


def _find_missing(labels: Any) -> NDArray[np.bool_]:
    if labels.dtype.kind in "fc":
        return np.asarray(np.isnan(labels))
    if labels.dtype.kind in "mM":
        return np.asarray(np.isnat(labels))
    if labels.dtype.kind == "O":
        return np.fromiter(map(is_missing, labels), bool, len(labels))
    return np.zeros(len(labels), dtype=bool)


def _check_labels_present(labels: NDArray[Any], first_row: int) -> None:
    for row in np.flatnonzero(_find_missing(labels))[:1]:
        raise ValueError(
            f"labels contains {labels[row]} (a missing value) at row {first_row + row}; leave such samples out with "
            "ignore_label=numpy.nan, or drop those rows of X and labels."
        )
    infinite = np.flatnonzero(np.isinf(labels)) if labels.dtype.kind in "fc" else ()
    for row in infinite[:1]:
        raise ValueError(f"labels contains {labels[row]} (infinity) at row {first_row + row}; drop those rows.")


def _encode(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.integer[Any]]]:
    if labels.dtype.kind in "iu":
        # np.unique sorts all labels; small integers, the usual case, are counted instead.
        low, high = int(labels.min()), int(labels.max())
        if high - low <= 2 * len(labels):
            present = np.zeros(high - low + 1, dtype=bool)

            # In 64 bits, as int8 labels -128 and 127 differ by 255; uint64 only after the subtraction.
            def shift(rows: slice) -> NDArray[np.intp]:
                some = labels[rows]
                shifted = (some - labels.dtype.type(low)) if some.dtype.kind == "u" else some.astype(np.int64) - low
                return shifted.astype(np.intp, copy=False)

            def mark(rows: slice) -> None:
                present[shift(rows)] = True

            def encode(rows: slice) -> None:
                codes[rows] = code[shift(rows)]

            n_jobs = count_threads_of_call() if len(labels) > MANY_LABELS else CALLING_THREAD
            run_over_rows(mark, len(labels), n_jobs=n_jobs)
            code = (np.cumsum(present) - 1).astype(np.int32)
            codes: NDArray[np.integer[Any]] = np.empty(len(labels), dtype=np.int32)
            run_over_rows(encode, len(labels), n_jobs=n_jobs)
            # A sum that leaves the type comes back into it.
            return np.flatnonzero(present).astype(labels.dtype) + labels.dtype.type(low), codes
    try:
        classes, codes = np.unique(labels, return_inverse=True)
    except TypeError as error:
        kinds = sorted({type(value).__name__ for value in labels})
        raise TypeError(f"labels mixes types that have no order ({', '.join(kinds)}); convert them to one.") from error
    return classes, codes

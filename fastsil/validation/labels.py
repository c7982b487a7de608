"""Labels, and which samples are scored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import column_or_1d

from fastsil.validation.partition import Partition, partition_from_codes


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


def check_labelings(labelings: Any, n_samples: int) -> list[Partition]:
    """Return several labelings of one data set as partitions.

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
    _check_kind(labels, ignore_label)
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
    """Mark the samples with another label than ``ignore_label``."""
    # As objects, since NumPy cannot order strings and numbers together.
    comparable = labels if labels.dtype.kind in "iuf" and not isinstance(ignore_label, str) else labels.astype(object)
    return np.asarray(comparable != ignore_label, dtype=bool)


def _check_kind(labels: NDArray[Any], ignore_label: Any) -> None:
    """Refuse text for numbers and numbers for text, which would leave nothing out."""
    is_text = {isinstance(label, (str, bytes)) for label in (labels.tolist() if labels.dtype == object else labels[:1])}
    if is_text == {not isinstance(ignore_label, (str, bytes))}:
        what = "text" if True in is_text else "integers" if labels.dtype.kind in "iu" else "numbers"
        shown = ", ".join(map(repr, np.unique(labels)[:2].tolist()))
        raise ValueError(f"ignore_label={ignore_label!r} is no label; labels are {what} such as {shown}.")


def check_scored_labels(labels: Any, n_samples: int, ignore_label: Any) -> tuple[Partition, NDArray[np.bool_] | None]:
    """Return the partition of the samples that are scored, and which these are (None for all)."""
    if ignore_label is None:
        return check_labels(labels, n_samples), None
    labels, kept = check_ignored(labels, n_samples, ignore_label)
    if kept.all():
        return check_labels(labels, n_samples), None
    return check_labels(labels[kept], int(kept.sum())), kept


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
            # In 64 bits, as int8 labels -128 and 127 differ by 255; uint64 only after the subtraction.
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

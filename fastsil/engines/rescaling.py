"""Distances that leave the range of floating-point numbers: noticed in the results, computed again, or refused.

Squares of distances overflow above 1e154 and vanish below 1e-162 in float64 (1e19 and 1e-22 in float32). Silhouettes do
not depend on the scale of the data, so a power of two brings data of any scale to where squares fit. It cannot help
where one set of data holds both ends: then a result that has no digits is refused, not given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.scaling import largest_magnitude, near_one
from fastsil.engines.terms import SilhouetteTerms
from fastsil.runtime.threads import count_threads_of_call, run_over_rows
from fastsil.validation import Metric
from fastsil.validation.arrays import is_sparse
from fastsil.validation.partition import Partition, find_group_argmin

# Powers below this are about to lose digits.
_SMALLEST_POWER = 1e-290
# Squares in float32 likewise.
_SMALLEST_SINGLE = 1e-30
# Of samples, of which several copies are made at a time: few next to the memory of any engine.
_CHUNK_BYTES = 1 << 20
# Mean distances that a sample may be away from 0. A rounded value is off by a share u of itself (6e-8 or 1e-16), so a
# distance from y by u (|y| + |z|) at most, a mean distance D by u (2 |y| + D), and a silhouette by twice that of its
# larger mean distance: by 1.1e-6 where |y| = 4 D in float32, half of what is promised.
_FAR = {np.dtype(np.float32): 4.0, np.dtype(np.float64): 1e5}
OUT_OF_RANGE = (
    "means of the distances in X leave the range of float64; multiply X by a constant that brings them near 1."
)


@dataclass(frozen=True)
class ScaleBehavior:
    """Dependence of a metric on the size of differences.

    Attributes
    ----------
    degree : int
        A distance grows with this power of the scale of the data.
    power : float
        Power that differences are raised to before the last step.
    keeps_single : bool
        Whether float32 data are computed in float32.
    """

    degree: int = 1
    power: float = 1.0
    keeps_single: bool = False

    def least(self, dtype: np.dtype[Any]) -> float:
        """Return the mean distance below which digits may have been lost."""
        single = self.keeps_single and dtype == np.float32
        return float((_SMALLEST_SINGLE if single else _SMALLEST_POWER) ** (self.degree / self.power))


def find_reference_behavior(metric: Metric, metric_params: dict[str, Any]) -> ScaleBehavior | None:
    """Return the behavior of a metric of scikit-learn that grows with the data; None for others."""
    if metric in ("euclidean", "l2", "nan_euclidean"):
        return ScaleBehavior(power=2)
    if metric == "minkowski":
        p = metric_params.get("p", 2)
        return make_power_behavior(float(p)) if isinstance(p, (int, float, np.number)) and p > 0 else None
    return None


def make_power_behavior(p: float) -> ScaleBehavior:
    return ScaleBehavior(power=min(max(p, 1.0), 100.0))


def retry_rescaled(
    compute: Callable[[Any], list[SilhouetteTerms]], X: Any, partitions: Sequence[Partition], behavior: ScaleBehavior
) -> list[SilhouetteTerms]:
    """Return ``compute(X)``, or where digits were lost, the result for X in another type and scale.

    Parameters
    ----------
    compute : callable
        Gives the terms of each partition.
    X : ndarray or CSR matrix of shape (n_samples, n_features), float32 or float64
        Samples.
    partitions : sequence of Partition
        Several partitions of these samples.
    behavior : ScaleBehavior
        Scale behavior of the metric.

    Raises
    ------
    ValueError
        If no scale of X keeps the digits of all distances.
    """
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        terms = compute(X)
        if all(_first_lost(X, *one, behavior) is None for one in zip(terms, partitions, strict=True)):
            return terms
        if not math.isfinite(largest_magnitude(X)):
            raise ValueError("X leaves the range of float64 under V or VI; give X and V or VI in other units.")
        X, exponent = near_one(X)
        terms = compute(X)
    for one in zip(terms, partitions, strict=True):
        row = _first_lost(X, *one, behavior)
        if row is not None:
            raise ValueError(
                f"distances of row {row} have no digits left in float64: the largest value of X is about "
                f"{_format_power_of_ten(largest_magnitude(X), -exponent)}. Take outliers out, or score parts of X that "
                "are of one scale."
            )
    return [replace(one, exponent=one.exponent + exponent * behavior.degree) for one in terms]


def find_far_rows(X: NDArray[Any], means: NDArray[np.float64], power: float, degree: int) -> NDArray[np.intp]:
    """Find samples so far from 0 that the rounding of X is too much of their mean Minkowski distances.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        Samples, each value rounded once.
    means : ndarray of shape (n_samples,)
        The larger of each sample's mean distances, or less.
    power : float
        Power of the distances, 1 or more.
    degree : int
        1 for distances, 2 for their squares.
    """
    means = means ** (1.0 / degree)
    step = max(1, _CHUNK_BYTES // (8 * X.shape[1]))
    unit = largest_magnitude(X) or 1.0
    lengths = [
        np.linalg.norm(X[start : start + step] / np.float64(unit), power, axis=1) for start in range(0, len(X), step)
    ]
    # The square of a distance is off by twice the share of the distance.
    return np.flatnonzero(np.concatenate(lengths) > _FAR[X.dtype] / degree * means / unit)


def is_rounding_harmless(
    X: NDArray[np.float32], means: NDArray[np.float64], power: float, behavior: ScaleBehavior
) -> bool:
    """Return whether silhouettes are certain to be right although the values of X were rounded to float32.

    Parameters
    ----------
    X, means, power
        As for :func:`find_far_rows`.
    behavior : ScaleBehavior
        Scale behavior of the metric: means that are too small for float32 say nothing.
    """
    return bool(means.min() >= behavior.least(X.dtype)) and len(find_far_rows(X, means, power, behavior.degree)) == 0


def check_given(terms: SilhouetteTerms) -> None:
    """Raise a ValueError if means of distances have left the range of float64."""
    means = np.maximum(terms.a, terms.b)
    if not np.isfinite(means).all() or ((means > 0) & (means < _SMALLEST_POWER)).any():
        raise ValueError(OUT_OF_RANGE)


def check_lengths(X: Any, without: NDArray[np.intp]) -> None:
    """Raise a ValueError if a row that was taken for one without a direction is not 0."""
    for row in without:
        entries = X[[row]].data if is_sparse(X) else X[row]
        if np.any(entries):
            raise ValueError(f"row {row} of X is too short to have a direction in {X.dtype}; multiply X by 2.0**500.")


def _first_lost(X: Any, terms: SilhouetteTerms, partition: Partition, behavior: ScaleBehavior) -> int | None:
    """Return a sample whose mean distances have overflowed or vanished, or None."""
    least, doubtful = behavior.least(X.dtype), []

    def look(rows: slice) -> None:
        means = np.maximum(terms.a[rows], terms.b[rows])
        # A NaN fails both.
        if not (means.min() >= least and means.max() < math.inf):
            doubtful.append(rows)

    run_over_rows(look, len(terms.a), n_jobs=count_threads_of_call())
    if not doubtful:
        return None
    means = np.maximum(terms.a, terms.b)
    overflowed = np.flatnonzero(~np.isfinite(means))
    if len(overflowed):
        return int(overflowed[0])
    if behavior.degree == 0:
        return None
    small = np.flatnonzero(means < least)
    return _first_without_company(X, small, terms.neighbor, partition)


def _first_without_company(
    X: Any, rows: NDArray[np.intp], neighbor: NDArray[np.int32], partition: Partition
) -> int | None:
    """Return a sample that differs from a member of its own or of its nearest other cluster, or None."""
    firsts = partition.order[partition.offsets[:-1]]
    if partition.sample_weight is not None:
        firsts = find_group_argmin(partition.codes, -partition.sample_weight, partition.n_clusters)
    clusters = np.unique(np.concatenate([partition.codes[rows], neighbor[rows]]))
    uniform = np.zeros(partition.n_clusters, dtype=bool)
    for cluster in clusters:
        members = _find_counted(partition, cluster)
        uniform[cluster] = _all_equal(X, members, np.broadcast_to(firsts[cluster], members.shape))
    own, other = partition.codes[rows], neighbor[rows]
    alike = uniform[own] & uniform[other]
    for row, mine, theirs in zip(rows[alike], own[alike], other[alike], strict=True):
        # The sample itself need not count in its cluster.
        if not _all_equal(X, firsts[[mine, mine]], np.array([firsts[theirs], row])):
            return int(row)
    return None if alike.all() else int(rows[~alike][0])


def _find_counted(partition: Partition, cluster: int) -> NDArray[np.intp]:
    """Return the members of a cluster that have weight."""
    members = partition.order[partition.offsets[cluster] : partition.offsets[cluster + 1]]
    return members if partition.sample_weight is None else members[partition.sample_weight[members] > 0]


def _all_equal(X: Any, rows: NDArray[np.intp], others: NDArray[np.intp]) -> bool:
    step = max(1, _CHUNK_BYTES // (8 * X.shape[1]))
    for start in range(0, len(rows), step):
        left, right = X[rows[start : start + step]], X[others[start : start + step]]
        different = (left != right).nnz if is_sparse(X) else (left != right).any()
        if different:
            return False
    return True


def _format_power_of_ten(value: float, exponent: int) -> str:
    """Format ``value`` times a power of two, rounded to a power of ten, which may be beyond float64."""
    return f"1e{round(math.log10(value or 1.0) + exponent * math.log10(2)):+d}"

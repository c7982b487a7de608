"""From sums of distances to the two mean distances of every sample, a range of groups at a time.

A mean that is no number is kept once it is met, as a minimum keeps it.
"""

from __future__ import annotations

from numba import njit

_FLAGS = {"nogil": True, "cache": True, "error_model": "numpy", "fastmath": {"contract"}}


@njit(**_FLAGS)
def keep_nearest(
    sums,  # IN (n_samples, n_groups) sums over the members of each group of a range
    groups,  # IN (n_samples,) group of every sample
    first,  # IN first group of the range
    sizes,  # IN (n_all_groups,) members of each group
    own,  # OUT (n_samples,) mean over the other members of the own group, where it is in the range
    other,  # OUT (n_samples,) smallest mean over another group, if smaller than what stands there
    which,  # OUT (n_samples,) int32, the group that gives it; negative while there is none
):
    """Take what a range of groups contributes to the two mean distances of every sample."""
    for i in range(len(sums)):
        for c in range(sums.shape[1]):
            group = first + c
            if group == groups[i]:
                own[i] = sums[i, c] / max(sizes[group] - 1, 1)
                continue
            mean = sums[i, c] / sizes[group]
            if which[i] < 0 or _is_nearer(mean, other[i]):
                other[i] = mean
                which[i] = group


@njit(**_FLAGS)
def keep_nearest_transposed(
    sums,  # IN (n_groups, n_rows) sums over the members of each group of a range
    groups,  # IN (n_rows,) own group of every row
    first,  # IN first group of the range
    sizes,  # IN (n_all_groups,) members of each group
    own,  # OUT (n_rows,) mean over the other members of the own group, where it is in the range
    other,  # OUT (n_rows,) smallest mean over another group, if smaller than what stands there
    which,  # OUT (n_rows,) int32, the group that gives it; negative while there is none
):
    """Take what a range of groups contributes to the two mean distances of every row; samples lie side by side."""
    for c in range(len(sums)):
        group = first + c
        size = sizes[group]
        total = sums[c]
        for i in range(len(total)):
            mean = total[i] / size
            nearer = groups[i] != group and (which[i] < 0 or _is_nearer(mean, other[i]))
            own[i] = total[i] / max(size - 1, 1) if groups[i] == group else own[i]
            other[i] = mean if nearer else other[i]
            which[i] = group if nearer else which[i]


@njit(**_FLAGS)
def _is_nearer(mean, other):
    return mean < other or (mean != mean and other == other)

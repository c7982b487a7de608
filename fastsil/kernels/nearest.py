"""From sums of distances to the two mean distances of every sample, a range of groups at a time.

A mean that is no number is kept once it is met, as a minimum keeps it.
"""

from __future__ import annotations

from fastsil.kernels.caching import jit

_FLAGS = {"fastmath": {"contract"}}


@jit(**_FLAGS)
def keep_nearest(
    sums,  # IN (n_groups, n_rows) sums over the members of each group of a range
    groups,  # IN (n_rows,) own group of every row
    first,  # IN first group of the range
    totals,  # IN (n_all_groups,) what sums over each group are divided by: its members, or their total weight
    own_totals,  # IN (n_rows,) the same for the own group, or None: its members but one
    a,  # OUT (n_rows,) mean over the other members of the own group, where it is in the range
    b,  # OUT (n_rows,) smallest mean over another group, if smaller than what stands there
    neighbor,  # OUT (n_rows,) int32, the group that gives it; negative while there is none
):
    """Update the two mean distances of every row with the sums of a range of groups; samples lie side by side."""
    for c in range(len(sums)):
        group = first + c
        size = totals[group]
        total = sums[c]
        for i in range(len(total)):
            mean = total[i] / size
            nearer = groups[i] != group and (neighbor[i] < 0 or _is_nearer(mean, b[i]))
            a[i] = total[i] / _own_total(size, own_totals, i) if groups[i] == group else a[i]
            b[i] = mean if nearer else b[i]
            neighbor[i] = group if nearer else neighbor[i]


@jit(**_FLAGS)
def keep_nearer(
    rows,  # IN (n_pairs,) row of each pair; a row may occur several times
    groups,  # IN (n_pairs,) its group
    means,  # IN (n_pairs,) mean distance between them
    b,  # INOUT (n_rows,) smallest mean distance so far
    neighbor,  # INOUT (n_rows,) the group that gives it; of groups that tie, the first
):
    """Update the smallest mean distance of rows with those to some more groups."""
    for e in range(len(rows)):
        i = rows[e]
        if means[e] < b[i] or (means[e] == b[i] and groups[e] < neighbor[i]):
            b[i] = means[e]
            neighbor[i] = groups[e]


@jit(**_FLAGS)
def _is_nearer(mean, b):
    return mean < b or (mean != mean and b == b)


@jit(**_FLAGS)
def _own_total(size, own_totals, i):
    return max(size - 1, 1) if own_totals is None else own_totals[i]

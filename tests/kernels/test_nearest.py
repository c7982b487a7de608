"""The two mean distances of every sample, from sums that come a range of groups at a time."""

import numpy as np
import pytest

import reference
from fastsil.kernels import nearest as kernels


def sums_and_groups(hole):
    rng = np.random.default_rng(4)
    groups = rng.permutation(np.arange(25) % 5).astype(np.int32)
    sums = rng.integers(1, 4, size=(5, 25)).astype(float)
    if hole is not None:
        sums[hole] = np.nan
    return sums, groups, np.bincount(groups), (np.zeros(25), np.full(25, np.inf), np.full(25, -1, np.int32))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("hole", [None, (0, 3), (2, 7), (4, slice(None)), (slice(None), 9)], ids=str)
def test_range_by_range(width, hole, weighted):
    """A mean that is no number is met first, last, or everywhere: it stays, whatever comes after."""
    sums, groups, totals, found = sums_and_groups(hole)
    own_totals = np.random.default_rng(5).uniform(0.1, 9.0, size=25) if weighted else None
    totals = totals + 0.5 if weighted else totals
    for first in range(0, 5, width):
        kernels.keep_nearest(sums[first : first + width], groups, first, totals, own_totals, *found)
    for actual, wanted in zip(found, reference.keep_nearest(sums, groups, totals, own_totals), strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_the_first_of_groups_that_tie_stays_nearest():
    rng = np.random.default_rng(5)
    rows, groups = rng.integers(0, 6, size=40), rng.integers(0, 9, size=40).astype(np.int32)
    means = rng.integers(1, 5, size=40).astype(float)
    b, neighbor = rng.integers(1, 6, size=6).astype(float), rng.integers(0, 9, size=6).astype(np.int32)
    wanted = reference.keep_nearer(rows, groups, means, b.copy(), neighbor.copy())
    kernels.keep_nearer(rows, groups, means, b, neighbor)
    np.testing.assert_array_equal((b, neighbor), wanted)

"""Profiles that a sweep keeps: the same bits when they are read, in few bytes a sample."""

import numpy as np
import pytest

from fastsil import silhouette_profile
from fastsil.sweep.kept_profiles import KeptProfiles, keep_arrays, keep_profile
from fastsil.validation import check_labels

N = 500
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(N, 3))
LABELS = RANDOM.choice(np.array(["left", "middle", "right"]), size=N)
PARTITION = check_labels(LABELS, N)
ARRAYS = ("silhouettes", "a", "b", "labels", "neighbor", "lower", "upper", "ignored")

CASES = {
    "exact": lambda: silhouette_profile(X, LABELS),
    "float32": lambda: silhouette_profile(X.astype(np.float32), LABELS),
    "guessed": lambda: silhouette_profile(X, LABELS, exact=False),
    # Mean distances that are infinite in float64, while silhouettes are not lost.
    "beyond float64": lambda: silhouette_profile(X / np.abs(X).max() * 1.7e308, LABELS),
}


@pytest.mark.parametrize("case", CASES)
def test_a_profile_that_is_read_has_the_same_bits(case):
    given = CASES[case]()
    kept = keep_profile(given, PARTITION)
    from_arrays = keep_arrays(3, kept.as_arrays(3), PARTITION, dtype=kept.dtype, metric=kept.metric)
    for read in (kept.read(), from_arrays.read()):
        for name in ARRAYS:
            np.testing.assert_array_equal(getattr(read, name), getattr(given, name), strict=True)
        np.testing.assert_array_equal(read.clusters.neighbor, given.clusters.neighbor)
        assert (read.metric, read.exact, read.work) == (given.metric, given.exact, given.work)


def held_bytes(kept):
    arrays = [kept.codes, kept.terms.a, kept.terms.b, kept.terms.neighbor, *kept.guesses.values()]
    return sum(array.nbytes for array in arrays) / N


def test_few_bytes_are_held():
    assert held_bytes(keep_profile(CASES["exact"](), PARTITION)) == 18
    assert held_bytes(keep_profile(CASES["guessed"](), PARTITION)) == 18 + 24


def test_a_profile_is_read_when_it_is_asked_for():
    given = CASES["exact"]()
    profiles = KeptProfiles({3: keep_profile(given, PARTITION)})
    assert 3 in profiles
    assert 4 not in profiles
    assert list(profiles) == [3]
    assert profiles[3].score == given.score
    assert profiles.get(4) is None
    assert KeptProfiles({}) == {}

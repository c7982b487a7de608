"""The Euclidean engine where bounds exclude clusters: data on which a bound that is a little too tight would show.

The contract suite draws small clusters; these are large enough for every kind of bound that the engine has.
"""

import numpy as np
import pytest

import reference
from assertions import assert_terms_close
from fastsil.engines.euclidean import engine as euclidean
from fastsil.engines.euclidean.engine import compute_terms
from fastsil.runtime.progress import ignore_progress
from fastsil.validation.partition import partition_from_codes

SIZES = (700, 520, 130, 90, 66, 40, 20, 5, 2, 1)


def codes_of(sizes, rng):
    return rng.permutation(np.repeat(np.arange(len(sizes)), sizes))


def overlapping_with_a_power_law_spectrum(rng, codes):
    spectrum = np.arange(1, 25) ** -0.7
    centers = 0.5 * rng.normal(size=(len(SIZES), 24))
    return (centers[codes] + rng.normal(size=(len(codes), 24))) * spectrum


def labels_without_meaning(rng, codes):
    return rng.normal(size=(len(codes), 24))


def heavy_tails(rng, codes):
    return rng.standard_t(1.5, size=(len(codes), 12)) + rng.normal(size=(len(SIZES), 12))[codes]


def one_outlier_a_cluster(rng, codes):
    X = rng.normal(size=(len(codes), 16)) + 3 * rng.normal(size=(len(SIZES), 16))[codes]
    for code in range(len(SIZES)):
        X[np.flatnonzero(codes == code)[0]] *= 300
    return X


def clusters_of_two_far_clumps(rng, codes):
    """The center of such a cluster is far from all of its members: nothing about it says how far they are."""
    side = rng.choice([-1.0, 1.0], size=len(codes))
    return side[:, None] * rng.normal(size=(len(SIZES), 20))[codes] * 5 + 0.1 * rng.normal(size=(len(codes), 20))


def shells_around_one_center(rng, codes):
    """All centers coincide; only the radii differ."""
    directions = rng.normal(size=(len(codes), 10))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions * (1 + codes[:, None])


def thin_sticks(rng, codes):
    """Covariances of rank one and very different directions."""
    sticks = rng.normal(size=(len(SIZES), 30))
    along = 4 * rng.normal(size=(len(codes), 1))
    centers = rng.normal(size=(len(SIZES), 30))
    return centers[codes] + along * sticks[codes] + 1e-3 * rng.normal(size=(len(codes), 30))


def far_from_zero(rng, codes):
    return 1e4 + rng.normal(size=(len(SIZES), 40))[codes] + rng.normal(size=(len(codes), 40))


def tight_clusters_at_all_scales(rng, codes):
    scales = 10.0 ** -np.arange(len(SIZES))[:, None]
    centers = scales * rng.normal(size=(len(SIZES), 18))
    return centers[codes] + 0.1 * scales[codes] * rng.normal(size=(len(codes), 18))


def few_features(rng, codes):
    return rng.normal(size=(len(codes), 3)) + 2 * rng.normal(size=(len(SIZES), 3))[codes]


def duplicates(rng, codes):
    return rng.normal(size=(9, 14))[rng.integers(9, size=len(codes))]


def a_grid_full_of_ties(rng, codes):
    return rng.integers(-1, 2, size=(len(codes), 9)).astype(float)


CASES = [
    overlapping_with_a_power_law_spectrum,
    labels_without_meaning,
    heavy_tails,
    one_outlier_a_cluster,
    clusters_of_two_far_clumps,
    shells_around_one_center,
    thin_sticks,
    far_from_zero,
    tight_clusters_at_all_scales,
    few_features,
    duplicates,
    a_grid_full_of_ties,
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_near_is_excluded(case, dtype, monkeypatch):
    # All the bounds there are, on data for which the engine itself would not prepare them.
    monkeypatch.setattr(euclidean, "SMALL_PRODUCTS", 0)
    monkeypatch.setattr(euclidean, "choose_basis_size", lambda data, choice, load: choice[0])
    rng = np.random.default_rng(0)
    codes = codes_of(SIZES, rng)
    X = case(rng, codes).astype(dtype)
    partition = partition_from_codes(np.arange(len(SIZES)), codes)
    terms = compute_terms(X, partition, n_jobs=2, tick=ignore_progress)
    assert_terms_close(terms, reference.compute_terms(X, codes), dtype=dtype)


def test_well_separated_clusters_need_few_pairs():
    """The other side of the promise: what cannot be the nearest is not computed."""
    rng = np.random.default_rng(0)
    codes = codes_of((100,) * 20, rng)
    X = (10 * rng.normal(size=(20, 16))[codes] + rng.normal(size=(2000, 16))).astype(np.float32)
    work = compute_terms(X, partition_from_codes(np.arange(20), codes), n_jobs=2, tick=ignore_progress).work
    assert "pruned" in work.strategy
    # Half of n²/k for the own clusters, n²/k for one other cluster a sample, and a little.
    assert work.share < 2.0 / 20


@pytest.mark.parametrize("n_clusters", [2, 3])
def test_with_few_clusters_every_pair_is_computed_once(n_clusters):
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.arange(900) % n_clusters)
    X = rng.normal(size=(900, 12))
    work = compute_terms(X, partition_from_codes(np.arange(n_clusters), codes), n_jobs=2, tick=ignore_progress).work
    assert "symmetric" in work.strategy
    assert work.share < 0.56

"""Means from sorted features: whatever the memory budget cuts into, and where prefix sums of values lose digits."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import reference
from assertions import assert_same_bits, assert_terms_close
from fastsil.engines import dispatch, manhattan
from fastsil.runtime.progress import ignore_progress
from fastsil.validation.partition import partition_from_codes


def compute(X, codes, *, n_jobs=2, tick=ignore_progress):
    partition = partition_from_codes(np.arange(codes.max() + 1), codes)
    return manhattan.compute_terms(X, partition, n_jobs=n_jobs, tick=tick)


def tight_clusters_and_a_far_one(rng, codes):
    centers = np.zeros((codes.max() + 1, 6))
    centers[1, 0] = 1e-2
    centers[2] = 10
    centers[3:] = 1e7
    return centers[codes] + 1e-3 * rng.normal(size=(len(codes), 6))


def offset(rng, codes):
    return 1e7 + rng.normal(size=(len(codes), 6))


def magnitudes(rng, codes):
    return rng.normal(size=(len(codes), 6)) * 10.0 ** rng.integers(-9, 9, size=(len(codes), 1))


def ties(rng, codes):
    return rng.integers(-2, 3, size=(len(codes), 6)).astype(float)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("data", [tight_clusters_and_a_far_one, offset, magnitudes, ties])
def test_digits_are_kept(data, dtype):
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.arange(150) % 5)
    X = data(rng, codes).astype(dtype)
    assert_terms_close(compute(X, codes), reference.compute_terms(X, codes, "manhattan"), dtype=dtype)


def test_a_walk_of_many_stretches_keeps_digits():
    """Steps far smaller than a ulp of the sum they are added to: one member at -1e7, all others within 1."""
    rng = np.random.default_rng(1)
    codes = np.arange(30_000) % 2
    X = rng.uniform(size=(30_000, 1))
    X[:2] = -1e7
    terms = compute(X, codes)
    some = rng.integers(30_000, size=20)
    wide = X.astype(reference.WIDE)
    for i in some:
        distances = np.abs(wide - wide[i])[:, 0]
        own = codes == codes[i]
        assert abs(terms.a[i] / (distances[own].sum() / (own.sum() - 1)) - 1) <= 1e-13
        assert abs(terms.b[i] / distances[~own].mean() - 1) <= 1e-13


@pytest.mark.parametrize("form", [np.asarray, csr_array])
@pytest.mark.parametrize("n_jobs", [1, 2, 5])
def test_same_bits_within_any_memory(form, n_jobs, monkeypatch):
    """One cluster and one feature at a time, or all at once."""
    rng = np.random.default_rng(2)
    codes = rng.permutation(np.arange(200) % 9)
    X = rng.normal(size=(200, 5)) * (rng.random(size=(200, 5)) < 0.5) + codes[:, None] % 2
    whole = compute(X, codes, n_jobs=1)
    for budget in (1, 200 * 8 * 4, 200 * 8 * 100):
        monkeypatch.setattr(manhattan, "_BYTES", budget)
        monkeypatch.setattr(manhattan, "_BYTES_A_SAMPLE", 0)
        cut = compute(form(X), codes, n_jobs=n_jobs)
        for name in ("a", "b", "neighbor"):
            assert_same_bits(getattr(cut, name), getattr(whole, name))


def test_progress_of_all_ranges_adds_up(monkeypatch):
    monkeypatch.setattr(manhattan, "_BYTES", 1)
    monkeypatch.setattr(manhattan, "_BYTES_A_SAMPLE", 16)
    rng = np.random.default_rng(3)
    shares: list[float] = []
    compute(rng.normal(size=(60, 4)), np.arange(60) % 5, tick=shares.append)
    assert sum(shares) == pytest.approx(1)


def test_no_pairs_are_computed():
    work = compute(np.random.default_rng(4).normal(size=(20, 3)), np.arange(20) % 3).work
    assert (work.strategy, work.pairs, work.share) == ("manhattan: sorted features", 0, 0.0)
    assert set(work.seconds) == {"sort", "walk"}


@pytest.mark.parametrize(("n_clusters", "engine"), [(20, "manhattan"), (400, "coordinatewise")])
def test_very_many_clusters_take_all_pairs(n_clusters, engine):
    """A walk's step costs the number of clusters, a pair does not: singletons around a large cluster, for example."""
    codes = np.minimum(np.arange(1200), n_clusters - 1)
    X = 1e6 + np.random.default_rng(5).normal(size=(1200, 40))
    partition = partition_from_codes(np.arange(n_clusters), codes)
    terms = dispatch.compute_terms(X, partition, "manhattan", {}, n_jobs=2, tick=ignore_progress)
    assert terms.work.strategy.startswith(engine)
    assert_terms_close(terms, reference.compute_terms(X, codes, "manhattan"), dtype=np.float64)

"""Intervals of mean distances hold the truth, on any data, and exact rows are those of the exact engine."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given

import reference
from assertions import assert_same_bits, assert_terms_close, with_peak
from fastsil.engines.euclidean.approximation import EuclideanRows, approximator
from fastsil.engines.euclidean.approximation import moment_table as table
from fastsil.engines.scaling import scale_data
from fastsil.validation.partition import partition_from_codes
from strategies import labeled_data

DTYPES = [np.float32, np.float64]


def rows_of(X, codes, n_jobs=1):
    codes = np.unique(codes, return_inverse=True)[1]
    partition = partition_from_codes(np.arange(codes.max() + 1), codes)
    return EuclideanRows(X, partition, n_jobs=n_jobs), partition


def assert_intervals_hold(X, codes):
    rows, partition = rows_of(X, codes)
    found = rows.approximate()
    expected = reference.compute_terms(X, partition.codes)
    for name in ("a", "b"):
        lower, guess, upper = getattr(found, name).T
        truth = getattr(expected, name)[partition.order]
        # Below the smallest number whose square is one, float64 knows nothing.
        assert (lower <= truth * (1 + 1e-12) + 1e-150).all(), name
        assert (truth <= upper * (1 + 1e-12) + 1e-150).all(), name
        assert (lower <= guess).all(), name
        assert (guess <= upper).all(), name
    return found, expected


@pytest.mark.parametrize("dtype", DTYPES)
def test_intervals_hold_for_drawn_data(dtype):
    @given(labeled_data(dtype=dtype))
    def check(data):
        assert_intervals_hold(*data)

    check()


def adversarial():
    rng = np.random.default_rng(0)
    codes = np.arange(300) % 5
    spread = rng.normal(size=(300, 12))
    yield "offset", spread + 1e4 + codes[:, None], codes
    yield "far apart", spread + 1e4 * rng.normal(size=(5, 12))[codes], codes
    yield "heavy tails", rng.standard_t(1.1, size=(300, 12)), codes
    yield "near-duplicates", codes[:, None] + 1e-5 * spread, codes
    yield "one outlier", np.where(np.arange(300)[:, None] == 7, 1e5, spread), codes
    yield "singletons", spread, np.where(np.arange(300) < 40, np.arange(300) + 5, codes)
    yield "tiny", 1e-30 * spread, codes
    yield "huge", 1e30 * spread, codes
    yield "many features", rng.normal(size=(300, 500)) * np.arange(1, 501) ** -0.5, codes
    yield "flat", spread[:, :2] @ rng.normal(size=(2, 12)), codes


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("X", "codes"), [case[1:] for case in adversarial()], ids=[case[0] for case in adversarial()])
def test_intervals_hold_for_adversarial_data(X, codes, dtype):
    assert_intervals_hold(np.ascontiguousarray(X, dtype=dtype), codes)


def small_beside_large(radius, n_features, seed):
    """Draw skewed clusters of some radius around 0, beside others of radius 1; float32."""
    rng = np.random.default_rng(seed)
    codes = np.arange(400) % 4
    X = rng.exponential(size=(400, n_features)) ** 3 + 10 * rng.normal(size=(4, n_features))[codes]
    X[codes < 2] *= radius / 10
    return X.astype(np.float32), codes


@pytest.mark.parametrize("n_features", [3, 40])
@pytest.mark.parametrize("radius", [1e-5, 1e-9, 1e-11, 1e-14, 1e-18, 1e-24, 1e-38])
def test_intervals_hold_for_small_clusters_beside_large_ones(radius, n_features):
    """Products of such a cluster with its skew, fourth powers, vanish in float32."""
    for seed in range(3):
        X, codes = small_beside_large(radius, n_features, seed)
        assert_intervals_hold(X, codes)
        rows, partition = rows_of(X, codes)
        found = rows.compute(np.arange(400))
        expected = reference.compute_terms(X, codes)
        for name in ("a", "b"):
            np.testing.assert_allclose(getattr(found, name)[:, 1], getattr(expected, name)[partition.order], rtol=2e-6)


def test_distances_whose_squares_vanish_are_computed_in_float64():
    """Clusters of equal samples have no variance that would tell."""
    X = np.repeat(np.float32([[1e3, 1e-25], [1e3, 3e-25], [1e3, 7e-25], [2e3, 0]]), 5, axis=0)
    rows, _ = rows_of(X, np.arange(20) // 5)
    for found in (rows.approximate(), rows.compute(np.arange(20))):
        np.testing.assert_allclose(found.b[:15, 1], np.repeat([2e-25, 2e-25, 4e-25], 5), rtol=1e-6)
        assert (found.a[:, 1] == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_features", [2, 30, 250])
def test_exact_rows_equal_the_reference(dtype, n_features):
    rng = np.random.default_rng(1)
    codes = rng.permutation(np.arange(240) % 12)
    codes[:2] = 12, 13
    X = (rng.normal(size=(14, n_features))[codes] + rng.normal(size=(240, n_features))).astype(dtype)
    rows, partition = rows_of(X, codes)
    positions = np.arange(0, 240, 3)
    found = rows.compute(positions)
    chosen = partition.order[positions]
    expected = reference.compute_terms(X, partition.codes)
    expected = reference.Terms(*(values[chosen] for values in expected))
    for column in range(3):
        terms = expected._replace(a=found.a[:, column], b=found.b[:, column], neighbor=found.neighbor)
        assert_terms_close(terms, expected, dtype=dtype)
    assert 0 < rows.pairs < len(positions) * len(X)


@pytest.mark.parametrize("budget", [table._FACTORS_BYTES, 0], ids=["factor", "leading directions"])
def test_guesses_are_near(budget, monkeypatch):
    """To second order; the root mean square distance is off by far more."""
    monkeypatch.setattr(table, "_FACTORS_BYTES", budget)
    rng = np.random.default_rng(2)
    spectrum = np.arange(1, 81) ** -0.5
    codes = rng.integers(6, size=3000)
    X = (0.7 * rng.normal(size=(6, 80))[codes] + rng.normal(size=(3000, 80))) * spectrum
    found, expected = assert_intervals_hold(X[:900], codes[:900])
    order = np.argsort(codes[:900], kind="stable")
    squares = reference.compute_terms(X[:900], codes[:900], "sqeuclidean")
    for name in ("a", "b"):
        truth = getattr(expected, name)[order]
        error = np.abs(getattr(found, name)[:, 1] / truth - 1)
        assert error.max() < 5e-3
        assert error.mean() < np.mean(np.sqrt(getattr(squares, name)[order]) / truth - 1) / 8


def test_same_bits_for_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(table, "_PIECE", 100)
    rng = np.random.default_rng(3)
    X, codes = rng.normal(size=(2000, 20)), rng.integers(7, size=2000)
    alone, together = (rows_of(X, codes, n_jobs)[0] for n_jobs in (1, 3))
    for one, other in zip(alone.approximate(), together.approximate(), strict=True):
        assert_same_bits(one, other)
    positions = np.arange(0, 2000, 7)
    for one, other in zip(alone.compute(positions), together.compute(positions), strict=True):
        assert_same_bits(one, other)


def test_covariances_are_summed_within_a_budget(monkeypatch):
    """Few at a time or all at once, in pieces or not, the moments are the same but for rounding."""
    rng = np.random.default_rng(4)
    X, codes = rng.normal(size=(3000, 10)), rng.integers(30, size=3000)
    whole = rows_of(X, codes)[0].approximate()
    monkeypatch.setattr(table, "_SUMS_BYTES", 0)
    monkeypatch.setattr(table, "_PIECE", 10)
    for one, other in zip(whole, rows_of(X, codes)[0].approximate(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


def test_the_table_of_many_clusters_is_made_without_copies_of_it():
    codes = np.arange(6000) % 1000
    X = np.random.default_rng(0).normal(size=(6000, 24)).astype(np.float32)
    data = scale_data(X, partition_from_codes(np.arange(1000), codes))

    def make():
        return table.make_table(table.measure_clusters(data, n_jobs=1), X.dtype)

    make()
    made, peak = with_peak(make)
    assert made.vectors.dtype == np.float32
    assert peak < 3 * made.vectors.nbytes


def test_the_first_round_is_cut_as_if_no_cluster_were_excluded(monkeypatch):
    monkeypatch.setattr(approximator, "_ROUND_CANDIDATES", 2000)
    X, codes = np.zeros((500, 3)), np.arange(500) % 20
    rows, partition = rows_of(X, codes)
    rounds = [(start, end) for start, end, _ in rows._approximator.rounds(partition.order)]
    assert rounds[0] == (0, 100)
    assert rounds[-1][1] == 500


def test_no_member_is_farther_from_the_center_than_the_radius():
    """In exact arithmetic: a root that is rounded down is less."""
    for seed in range(20):
        X = np.random.default_rng(seed).normal(size=(30, 3))
        data = scale_data(X, partition_from_codes(np.arange(1), np.zeros(30, np.intp)))
        made = table.make_table(table.measure_clusters(data, n_jobs=1), np.dtype(np.float64))
        center = [Fraction(value) for value in made.bounds.centers[0].tolist()]
        rows = (X * data.scale).tolist()
        squares = [sum((Fraction(x) - c) ** 2 for x, c in zip(row, center, strict=True)) for row in rows]
        assert max(squares) <= Fraction(made.moments.radius[0]) ** 2


def test_the_rest_of_a_covariance_counts_as_members_meet_it():
    """The mean of uᵀΣu over the members is |Σ|², and so it is in the directions that are kept and on the rest."""
    u = np.random.default_rng(0).normal(size=(4000, 60)) * np.arange(1, 61) ** -0.1
    covariance = u.T @ u / len(u)
    summary = table._leading_directions(covariance)
    left = np.trace(covariance) - summary.theta.sum()
    kept = (summary.theta**2).sum()
    whole = (covariance**2).sum()
    assert kept < 0.8 * whole
    np.testing.assert_allclose(kept + summary.rest_mean * left, whole, rtol=0.05)


def test_norms_of_the_residual_are_not_less_than_they_are():
    """A covariance of as many directions as are kept, but for next to nothing: differences lose all digits."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        u = rng.normal(size=(200, 60)) * np.where(np.arange(60) < 32, 1.0, 1e-9)
        covariance = u.T @ u / len(u)
        summary = table._leading_directions(covariance)
        basis = summary.vectors.astype(np.longdouble)
        products = basis @ covariance
        outside = np.eye(60) - basis.T @ basis
        assert summary.leak >= np.linalg.norm((products @ outside).astype(float))
        assert summary.rest >= np.linalg.norm((outside @ covariance @ outside).astype(float))


def test_covariances_may_be_smaller_than_they_are():
    """By the rounding of their entries: what is made from them is not, for samples on a line."""
    rounding = table._bound_rounding(np.dtype(np.float32), 3)
    line = np.outer(np.random.default_rng(0).normal(size=50), [1.0, 2.0, 2.0])
    line -= line.mean(axis=0)
    covariance = line.T @ line / len(line)
    summary = table.summarize_covariance(covariance * (1 - rounding), 1, rounding)
    factor = np.sqrt(summary.theta)[:, None] * summary.vectors
    # But for the square of the rounding.
    assert np.linalg.eigvalsh(factor.T @ factor - covariance)[0] >= -2 * rounding**2 * np.trace(covariance)
    squares = (line**2).sum(axis=1)
    summaries = table.make_summaries(1, 3, 3, np.float32)
    summaries.set(0, summary)
    moments = table.ClusterMoments(
        sizes=np.array([50]),
        centers=np.zeros((1, 3)),
        variance=np.array([squares.mean() * 1.01]),
        fourth=np.array([(squares**2).mean()]),
        skew=(squares @ line / 50)[None],
        radius=np.sqrt(squares.max(keepdims=True)),
        covariances=summaries,
    )
    assert table.make_table(moments, np.dtype(np.float32)).bounds.spectral[0] >= np.linalg.norm(covariance, 2)

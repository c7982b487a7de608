"""Estimates hold what they promise: intervals that contain the exact values, no wider than asked for."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastsil.scoring.estimate.rounds as module
import reference
from assertions import tolerance_of
from fastsil import silhouette_estimate, silhouette_profile, silhouette_score
from fastsil.engines.intervals import open_rows
from fastsil.scoring.estimate.confidence_interval import MeanIntervals
from fastsil.validation.partition import partition_from_codes
from strategies import labeled_data


def overlapping(n, d, k, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    spectrum = np.arange(1, d + 1) ** -0.5
    X = (0.8 * rng.normal(size=(k, d))[labels] + rng.normal(size=(n, d))) * spectrum
    return X.astype(dtype), labels


def heavy_tails(n, d, k, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    X = rng.standard_t(2.5, size=(n, d)) + 3 * rng.normal(size=(k, d))[labels]
    return X.astype(dtype), labels


@pytest.fixture
def always_estimate(monkeypatch):
    """Estimate even what is as soon computed."""
    monkeypatch.setattr("fastsil.scoring.estimate.exact_is_as_cheap", lambda partition, n_features: False)


def assert_holds(estimate, X, labels, **params):
    profile = silhouette_profile(X, labels, **params)
    low, high = estimate.interval
    assert low <= silhouette_score(X, labels, **params) <= high
    assert low <= estimate.score <= high
    low, high = estimate.macro_interval
    assert low <= silhouette_score(X, labels, average="macro", **params) <= high
    low, high = estimate.negative_interval
    assert low <= profile.n_negative / profile.n_samples <= high
    clusters = estimate.clusters
    # A float32 profile rounds silhouettes before it takes means.
    assert (clusters.low <= profile.clusters.silhouette + 1e-7).all()
    assert (profile.clusters.silhouette <= clusters.high + 1e-7).all()
    assert (clusters.low <= clusters.silhouette).all()
    assert (clusters.silhouette <= clusters.high).all()
    np.testing.assert_array_equal(clusters.label, profile.clusters.label)
    np.testing.assert_array_equal(clusters.size, profile.clusters.size)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("make", "tol"), [(overlapping, 5e-3), (heavy_tails, 3e-2)])
def test_intervals_hold_and_are_narrow(make, tol, dtype, always_estimate):
    X, labels = make(6000, 12, 8, dtype)
    estimate = silhouette_estimate(X, labels, tol=tol, random_state=0)
    assert_holds(estimate, X, labels)
    assert not estimate.exact
    assert estimate.n_exact < 3000
    assert estimate.rounds > 0
    for (low, high), widest in [
        (estimate.interval, 1),
        (estimate.macro_interval, 1),
        (estimate.negative_interval, 10),
        *((interval, 10) for interval in zip(estimate.clusters.low, estimate.clusters.high, strict=True)),
    ]:
        assert high - low <= 2 * widest * tol * (1 + 1e-9)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan"])
def test_small_data_and_linear_metrics_are_exact(metric):
    X, labels = overlapping(300, 5, 3)
    estimate = silhouette_estimate(X, labels, metric=metric)
    assert estimate.exact
    assert estimate.rounds == 0
    assert estimate.score == silhouette_score(X, labels, metric=metric)
    assert estimate.interval == (estimate.score, estimate.score)
    assert_holds(estimate, X, labels, metric=metric)


def test_a_tolerance_that_needs_all_samples_computes_all(always_estimate):
    X, labels = overlapping(1000, 6, 4)
    estimate = silhouette_estimate(X, labels, tol=1e-9, random_state=0)
    assert estimate.exact
    assert estimate.score == silhouette_score(X, labels)


def test_small_clusters_and_singletons_count(always_estimate):
    """They are computed as a whole, and the interval of their mean is a point."""
    X, labels = overlapping(6000, 12, 4, np.float64)
    labels[:5], labels[5], labels[6] = 10, 11, 12
    estimate = silhouette_estimate(X, labels, tol=2e-3, random_state=0)
    assert not estimate.exact
    assert_holds(estimate, X, labels)
    small = estimate.clusters.size < 6
    np.testing.assert_array_equal(estimate.clusters.low[small], estimate.clusters.high[small])
    assert (estimate.clusters.silhouette[-2:] == 0).all()


@pytest.mark.parametrize("metric", ["chebyshev", "mahalanobis", "precomputed", "callable"])
def test_other_metrics(metric, always_estimate):
    X, labels = overlapping(1500, 3, 4, np.float64)
    params = {"metric": metric}
    if metric == "precomputed":
        X = np.sqrt(((X[:, None] - X) ** 2).sum(axis=2))
    if metric == "callable":
        X, labels, params = X[:300], labels[:300], {"metric": lambda x, y: float(np.abs(x - y).max())}
    tol = 0.15 if metric == "callable" else 0.05
    estimate = silhouette_estimate(X, labels, tol=tol, confidence=0.9, random_state=0, **params)
    assert not estimate.exact or metric == "callable"
    assert_holds(estimate, X, labels, **params)


def test_the_same_seed_gives_the_same_estimate_on_any_number_of_threads(always_estimate):
    X, labels = overlapping(4000, 10, 5)
    one, other = (silhouette_estimate(X, labels, tol=5e-3, random_state=3, n_jobs=n_jobs) for n_jobs in (1, 3))
    assert one.interval == other.interval
    assert one.n_exact == other.n_exact
    assert silhouette_estimate(X, labels, tol=5e-3, random_state=4).interval != one.interval


def test_a_label_is_left_out(always_estimate):
    X, labels = overlapping(4000, 10, 5)
    labels[::7] = -1
    estimate = silhouette_estimate(X, labels, tol=5e-3, random_state=0, ignore_label=-1)
    assert estimate.n_samples == np.count_nonzero(labels != -1)
    assert_holds(estimate, X[labels != -1], labels[labels != -1])


class Known:
    """Rows whose silhouettes are known: only the draws differ from one repetition to the next."""

    pairs = 0

    def __init__(self, intervals, silhouettes):
        self._intervals = intervals
        self._silhouettes = silhouettes

    def intervals(self, tick=None):
        return self._intervals.copy()

    def exact(self, positions, tick=None):
        return self._silhouettes[positions]


@pytest.mark.slow
@pytest.mark.parametrize(("make", "tol"), [(overlapping, 0.02), (heavy_tails, 0.05)])
def test_coverage(make, tol):
    """At the smallest confidence that anybody asks for, so that a mistake would show."""
    X, labels = make(3000, 6, 5, np.float64)
    partition = partition_from_codes(np.arange(5), labels)
    rows = open_rows(X, partition, "euclidean", {}, n_jobs=1)
    known = Known(rows.intervals(), rows.exact(np.arange(3000)))
    profile = silhouette_profile(X, labels)
    repetitions, confidence = 150, 0.6
    missed = np.zeros(4)
    for seed in range(repetitions):
        request = module.Request(tol, confidence, np.random.RandomState(seed), 1)
        rounds = module.Rounds(known, partition, request, known.intervals())
        assert rounds.run()
        estimate = rounds.finish()
        truths = [profile.score, profile.macro_score, profile.n_negative / 3000, profile.clusters.silhouette[2]]
        intervals = [
            estimate.interval,
            estimate.macro_interval,
            estimate.negative_interval,
            (estimate.clusters.low[2], estimate.clusters.high[2]),
        ]
        missed += [not low <= truth <= high for truth, (low, high) in zip(truths, intervals, strict=True)]
    assert (missed <= (1 - confidence) * repetitions).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_intervals_of_silhouettes_hold_for_drawn_data(dtype):
    @given(labeled_data(dtype=dtype))
    def check(data):
        X, labels = data
        codes = np.unique(labels, return_inverse=True)[1]
        partition = partition_from_codes(np.arange(codes.max() + 1), codes)
        lower, guess, upper = open_rows(X, partition, "euclidean", {}, n_jobs=1).intervals().T
        truth = reference.silhouette_samples(X, labels)[partition.order]
        ours = silhouette_profile(X, labels).silhouettes[partition.order]
        assert (lower <= truth).all()
        assert (truth <= upper).all()
        assert (lower <= ours).all()
        assert (ours <= upper).all()
        assert (lower <= guess).all()
        assert (guess <= upper).all()

    check()


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1))
def test_guesses_are_corrected_by_what_is_drawn(seed):
    """Guesses that are off by a constant still lead to intervals that hold: nothing rests on their being good."""
    rng = np.random.default_rng(seed)
    n = 500
    truth = rng.uniform(-0.2, 0.6, n)
    intervals = np.stack([truth - rng.uniform(0.2, 0.4, n), truth - 0.15, truth + rng.uniform(0.0, 0.2, n)], axis=1)
    partition = partition_from_codes(np.arange(3), np.sort(np.arange(n) % 3))
    rounds = module.Rounds(
        Known(intervals, truth), partition, module.Request(0.03, 0.9999, np.random.RandomState(seed), 1), intervals
    )
    if rounds.run():
        estimate = rounds.finish()
        assert estimate.interval[0] <= truth.mean() <= estimate.interval[1]
        assert abs(estimate.score - truth.mean()) < 0.03


@pytest.mark.parametrize(("argument", "value"), [("tol", 0), ("tol", "a"), ("confidence", 1), ("confidence", True)])
def test_bad_arguments(argument, value):
    X, labels = overlapping(30, 2, 3)
    with pytest.raises(ValueError, match=argument):
        silhouette_estimate(X, labels, **{argument: value})


def test_it_shows_itself(always_estimate):
    X, labels = overlapping(3000, 6, 3)
    estimate = silhouette_estimate(X, labels, tol=5e-3, random_state=0)
    assert f"score={estimate.score:.4f} ± 0.00" in repr(estimate)
    assert f"n_exact={estimate.n_exact}" in repr(estimate)
    assert "<table>" in estimate._repr_html_()
    exact = silhouette_estimate(X[:50], labels[:50])
    assert "±" not in repr(exact)
    assert "exact" in repr(exact)
    assert "All 50 samples were computed" in exact._repr_html_()
    assert tolerance_of(X.dtype) > 0


class Bounded(MeanIntervals):
    """Intervals that refuse draws outside of the range that was fixed before them."""

    def add(self, means, values, least, most):
        assert (least[means] - 1e-12 <= values).all()
        assert (values <= most[means] + 1e-12).all()
        super().add(means, values, least, most)


class Counted(Known):
    """Known rows that note what is computed."""

    computed = ()

    def exact(self, positions, tick=None):
        self.computed = np.concatenate([self.computed, positions])
        return super().exact(positions)


@pytest.mark.parametrize("end", [0, 2])
def test_draws_lie_in_the_ranges_that_were_fixed_before_them(end, monkeypatch):
    """Though every silhouette is at one end of its interval; and nothing is computed twice."""
    monkeypatch.setattr(module, "MeanIntervals", Bounded)
    rng = np.random.default_rng(0)
    n = 3000
    guess = np.concatenate([rng.uniform(-0.1, 0.1, n // 2), rng.uniform(0.2, 0.6, n // 2)])
    intervals = np.stack([guess - 0.3, guess, guess + 0.3], axis=1)
    partition = partition_from_codes(np.arange(3), np.sort(np.arange(n) % 3))
    rows = Counted(intervals, intervals[:, end].copy())
    rounds = module.Rounds(rows, partition, module.Request(0.03, 0.9, np.random.RandomState(0), 1), rows.intervals())
    assert rounds.run()
    estimate = rounds.finish()
    assert estimate.rounds > 1
    assert estimate.n_exact == len(rows.computed) == len(set(rows.computed))


class Weighed(MeanIntervals):
    """Intervals that note how many draws each mean has been told, and the last round of them."""

    def add(self, means, values, least, most):
        self.n_told = np.bincount(means, minlength=len(least))
        self.told = np.bincount(means, weights=values, minlength=len(least)) / np.maximum(self.n_told, 1)


def some_rounds(monkeypatch):
    """Rounds on guesses that are wrong everywhere, in clusters of unequal sizes; and the true means."""
    monkeypatch.setattr(module, "MeanIntervals", Weighed)
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(3), [5, 20, 75])
    truth = rng.uniform(-0.4, 0.6, 100)
    intervals = np.stack([truth - 0.3, truth - rng.uniform(-0.2, 0.25, 100), truth + 0.3], axis=1)
    intervals[::7] = truth[::7, None]
    partition = partition_from_codes(np.arange(3), codes)
    request = module.Request(0.03, 0.9, np.random.RandomState(0), 1)
    rounds = module.Rounds(Known(intervals, truth), partition, request, intervals)
    means = np.bincount(codes, weights=truth) / partition.sizes
    return rounds, np.array([truth.mean(), means.mean(), (truth < 0).mean(), *means])


@pytest.mark.parametrize("purpose", range(4))
def test_draws_have_the_mean_that_is_sought_where_they_are_told(purpose, monkeypatch):
    """Whatever they were drawn for: each sample is drawn as often as its chance is, and the average is exact."""
    rounds, truth = some_rounds(monkeypatch)
    purposes = rounds._purposes()
    chances = rounds._find_chances(purposes)[0][purpose]
    chances = np.round(1000 * chances / chances.max())
    counts = np.array([chances.sum()], dtype=int)
    monkeypatch.setattr(rounds, "_draw_positions", lambda *_: np.repeat(np.arange(100), chances.astype(int)))
    rounds._draw(chances, counts, purposes)
    told = rounds._means.n_told > 0
    assert told[module._SHARE]
    # Samples whose sign is certain are not drawn for the share of negative ones.
    assert told.all() == (purpose != module._SHARE)
    np.testing.assert_allclose(rounds._means.told[told], truth[told], atol=1e-12)


def test_draws_of_a_fixed_number_for_each_cluster_tell_of_clusters_only(monkeypatch):
    rounds, _ = some_rounds(monkeypatch)
    purposes = rounds._purposes()
    rounds._draw(rounds._find_chances(purposes)[0][-1], np.array([2, 0, 5]), purposes)
    np.testing.assert_array_equal(rounds._means.n_told, [0, 0, 0, 2, 0, 5])


def test_draws_for_a_cluster_are_from_it(monkeypatch):
    """Points that are rounded up to its end too."""
    rounds, _ = some_rounds(monkeypatch)
    chances = np.where(np.arange(100) % 2, 0.0, rounds._find_chances(rounds._purposes())[0][-1])
    rounds._request = rounds._request._replace(random_state=SimpleNamespace(random_sample=np.ones))
    drawn = rounds._draw_positions(chances, np.array([2, 1, 3]))
    np.testing.assert_array_equal(rounds._codes[drawn], [0, 0, 1, 2, 2, 2])
    assert (chances[drawn] > 0).all()
    assert chances[rounds._draw_positions(chances, np.array([4]))].all()

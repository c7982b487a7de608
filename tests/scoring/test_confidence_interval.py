"""Intervals of means hold with the stated confidence, for any shape of distribution, whenever one stops."""

from itertools import product

import numpy as np
import pytest

from fastsil.scoring.estimate.confidence_interval import MeanIntervals

REPETITIONS = 400


def rare_jumps(rng, n):
    """Mostly 0, rarely 1: few draws look as if there were no spread at all."""
    return (rng.random(n) < 0.01).astype(float)


def tiny_spread(rng, n):
    return np.clip(rng.normal(0.3, 1e-3, n), 0, 1)


def coins(rng, n):
    return rng.integers(0, 2, n).astype(float)


def heavy_tails(rng, n):
    return np.clip(np.abs(rng.standard_t(1.5, n)) / 100, 0, 1)


SHAPES = {rare_jumps: 0.01, tiny_spread: 0.3, coins: 0.5, heavy_tails: None}


def mean_of(shape):
    known = SHAPES[shape]
    return shape(np.random.default_rng(99), 4_000_000).mean() if known is None else known


class Interval(MeanIntervals):
    """Of one mean, from 0 to 1."""

    def __init__(self, confidence, guess=0.5):
        super().__init__(confidence, np.zeros(1), np.ones(1), np.full(1, guess))

    def take(self, values, least=0.0, most=1.0):
        self.add(np.zeros(len(values), dtype=int), values, np.full(1, least), np.full(1, most))

    def needed(self, half_width, least=0.0, most=1.0):
        return self.draws_needed(*(np.full(1, value) for value in (half_width, least, most)))[0]

    def holds(self, mean):
        return self.low[0] <= mean <= self.high[0]


def count_misses(confidence, rounds, mean, guess=0.5, repetitions=REPETITIONS):
    """Count the repetitions whose interval has ever left the mean out."""
    missed = 0
    for seed in range(repetitions):
        interval, held = Interval(confidence, guess), True
        for values in rounds(np.random.default_rng(seed)):
            interval.take(values)
            held &= interval.holds(mean)
        missed += not held
    return missed


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("confidence", [0.6, 0.8, 0.99])
def test_coverage_at_all_times(shape, confidence):
    missed = count_misses(confidence, lambda rng: [shape(rng, n) for n in (5, 20, 100, 400)], mean_of(shape))
    assert missed <= (1 - confidence) * REPETITIONS


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_one_value_in_all_draws_narrows_the_interval_as_far_as_may_be(end):
    """If the other end came with a chance p, n draws would all miss it with probability (1 - p)^n: a mean that is p
    from the value must be held as long as this is α / 2, and hardly any longer.
    """
    n, confidence = 100, 0.8
    farthest = 1 - ((1 - confidence) / 2) ** (1 / n)
    interval = Interval(confidence, guess=end)
    interval.take(np.full(n, end))
    assert farthest < 2 * interval.half_width[0] < 1.1 * farthest


@pytest.mark.slow
def test_coverage_of_a_chance_that_is_as_small_as_the_interval_allows():
    """All draws are 0 nearly as often as the upper limit may be missed; a limit at half its distance would be missed
    much more often.
    """
    n, confidence, repetitions = 100, 0.6, 2000
    interval = Interval(confidence, guess=0.0)
    interval.take(np.zeros(n))
    mean = 1.001 * interval.high[0]
    missed = count_misses(confidence, lambda rng: [(rng.random(n) < mean).astype(float)], mean, 0.0, repetitions)
    assert 0.4 * (1 - confidence) * repetitions < missed <= (1 - confidence) * repetitions


def test_the_variable_may_change_from_round_to_round():
    """As long as its mean stays; a round with a narrow range narrows the interval much."""
    rng = np.random.default_rng(0)
    interval = Interval(0.99)
    interval.take(rng.uniform(0.0, 1.0, 200))
    before = interval.half_width
    interval.take(rng.uniform(0.45, 0.55, 400), 0.45, 0.55)
    assert interval.holds(0.5)
    assert interval.half_width < before / 4


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_as_many_draws_as_were_forecast_are_enough(shape):
    """Or nearly: the forecast knows the spread of the first draws only."""
    rng = np.random.default_rng(1)
    interval = Interval(0.99)
    interval.take(shape(rng, 2000))
    wanted = interval.half_width[0] / 3
    needed = interval.needed(wanted)
    assert 0 < needed < 100_000
    interval.take(shape(rng, needed))
    assert wanted / 3 < interval.half_width[0] < 1.3 * wanted


def test_small_spread_needs_few_draws():
    """The interval narrows like 1 / n where the spread is small compared with the range, not like 1 / √n."""
    interval = Interval(0.99, guess=0.3)
    interval.take(tiny_spread(np.random.default_rng(2), 3000))
    hoeffding = np.sqrt(np.log(200) / 6000)
    assert interval.half_width[0] < hoeffding / 10


def test_what_is_certain_is_taken_in():
    interval = Interval(0.99, guess=0.25)
    assert interval.mean == 0.25
    interval.narrow(np.array([0.3]), np.array([2.0]))
    assert interval.holds(0.3)
    assert (interval.low, interval.high) == (0.3, 1.0)
    assert interval.mean == 0.3
    assert interval.needed(1.0) == 0
    interval.take(np.empty(0))
    assert (interval.low, interval.high) == (0.3, 1.0)
    interval.take(np.array([0.5]), 0.4, 0.6)
    assert 0.4 <= interval.low[0] <= interval.high[0] <= 0.6


def test_means_do_not_disturb_each_other():
    """Each has the interval that it would have alone, in whatever order their draws come."""
    rng = np.random.default_rng(3)
    draws = [rng.random(n) / (n + 1) for n in (30, 3, 100)]
    together = MeanIntervals(0.9, np.zeros(4), np.ones(4), np.full(4, 0.5))
    mixed = rng.permutation(np.repeat([0, 1, 3], [30, 3, 100]))
    values = np.empty(len(mixed))
    for mean, some in zip((0, 1, 3), draws, strict=True):
        values[mixed == mean] = some
    for part in (slice(50), slice(50, None)):
        together.add(mixed[part], values[part], np.zeros(4), np.ones(4))
    for mean, some in zip((0, 1, 3), draws, strict=True):
        alone, first = Interval(0.9), np.count_nonzero(mixed[:50] == mean)
        alone.take(some[:first])
        alone.take(some[first:])
        assert together.low[mean] == pytest.approx(alone.low[0], rel=1e-9)
        assert together.high[mean] == pytest.approx(alone.high[0], rel=1e-9)
    assert (together.low[2], together.high[2]) == (0.0, 1.0)


@pytest.mark.parametrize("variable", [{0.0: 0.02, 1.0: 0.98}, {0.0: 0.5, 0.2: 0.5}, {0.0: 0.5, 0.5: 0.1, 1.0: 0.4}])
@pytest.mark.parametrize("guess", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("rounds", [(1,), (2,), (1, 2), (1, 1, 1)])
def test_the_capital_is_a_martingale(variable, guess, rounds):
    """At the true mean its expectation, summed over all outcomes, is 1: all else rests on this line of the proof."""
    mean = sum(value * chance for value, chance in variable.items())
    expected = np.zeros(2)
    for outcome in product(variable, repeat=sum(rounds)):
        interval = Interval(0.9, guess)
        for values in np.split(np.array(outcome), np.cumsum(rounds)[:-1]):
            interval.take(values)
        chance = np.prod([variable[value] for value in outcome])
        expected += chance * np.exp(interval._log_capital(np.array([mean, -mean]))[0])
    np.testing.assert_allclose(expected, 1, rtol=1e-12)


@pytest.mark.parametrize("values", [[0.5], [0.0, 1.0], [0.9] * 30, [0.2, 0.3] * 500, [0.0] * 40])
def test_limits_are_where_the_capital_has_grown_enough(values):
    interval = Interval(0.9)
    interval.take(np.array(values))
    capital = np.exp(interval._log_capital(interval._limits)[0])
    inside = interval._limits > [0.0, -1.0]
    assert (capital[inside] >= 20).all()
    assert (capital[inside] < 20.01).all()
    assert inside.any()


@pytest.mark.slow
def test_coverage_where_the_interval_is_as_narrow_as_it_may_be(monkeypatch):
    """A fair coin and a small share throughout: the capital crosses 1 / α about as often as it may."""
    monkeypatch.setattr(MeanIntervals, "_choose_shares", lambda self, means, *rest: np.full(2 * len(means), 0.1))
    confidence = 0.7

    def rounds(rng):
        return coins(rng, 4000).reshape(-1, 40)

    missed = count_misses(confidence, rounds, 0.5)
    assert 0.6 * (1 - confidence) * REPETITIONS < missed <= (1 - confidence) * REPETITIONS

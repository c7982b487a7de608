"""Intervals of means hold with the stated confidence, for any shape of distribution, whenever one stops."""

from itertools import product

import numpy as np
import pytest

from fastsil.scoring.estimate import confidence_interval
from fastsil.scoring.estimate.confidence_interval import MeanInterval

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


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("confidence", [0.8, 0.99])
def test_coverage_at_all_times(shape, confidence):
    """A repetition counts as missed if the interval has ever left the mean out, after any of its rounds."""
    mean = mean_of(shape)
    missed = 0
    for seed in range(REPETITIONS):
        rng = np.random.default_rng(seed)
        interval = MeanInterval(confidence, 0.0, 1.0, 0.5)
        held = True
        for n in (5, 20, 100, 400):
            interval.add(shape(rng, n), 0.0, 1.0)
            held &= interval.low <= mean <= interval.high
        missed += not held
    assert missed <= (1 - confidence) * REPETITIONS


def test_the_variable_may_change_from_round_to_round():
    """As long as its mean stays; a round with a narrow range narrows the interval much."""
    rng = np.random.default_rng(0)
    interval = MeanInterval(0.99, 0.0, 1.0, 0.5)
    interval.add(rng.uniform(0.0, 1.0, 200), 0.0, 1.0)
    before = interval.half_width
    interval.add(rng.uniform(0.45, 0.55, 400), 0.45, 0.55)
    assert interval.low <= 0.5 <= interval.high
    assert interval.half_width < before / 4


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_as_many_draws_as_were_forecast_are_enough(shape):
    """Or nearly: the forecast knows the spread of the first draws only."""
    rng = np.random.default_rng(1)
    interval = MeanInterval(0.99, 0.0, 1.0, 0.5)
    interval.add(shape(rng, 2000), 0.0, 1.0)
    wanted = interval.half_width / 3
    needed = interval.draws_needed(wanted, 0.0, 1.0)
    assert 0 < needed < 100_000
    interval.add(shape(rng, needed), 0.0, 1.0)
    assert wanted / 3 < interval.half_width < 1.3 * wanted


def test_small_spread_needs_few_draws():
    """The interval narrows like 1 / n where the spread is small compared with the range, not like 1 / √n."""
    interval = MeanInterval(0.99, 0.0, 1.0, 0.3)
    interval.add(tiny_spread(np.random.default_rng(2), 3000), 0.0, 1.0)
    hoeffding = np.sqrt(np.log(200) / 6000)
    assert interval.half_width < hoeffding / 10


def test_what_is_certain_is_taken_in():
    interval = MeanInterval(0.99, -1.0, 1.0, 0.25)
    assert interval.mean == 0.25
    interval.narrow(0.3, 2.0)
    assert (interval.low, interval.high) == (0.3, 1.0)
    assert interval.mean == 0.3
    assert interval.draws_needed(1.0, 0.0, 1.0) == 0
    interval.add(np.empty(0), 0.0, 1.0)
    assert (interval.low, interval.high) == (0.3, 1.0)


@pytest.mark.parametrize("variable", [{0.0: 0.02, 1.0: 0.98}, {0.0: 0.5, 0.2: 0.5}, {0.0: 0.5, 0.5: 0.1, 1.0: 0.4}])
@pytest.mark.parametrize("guess", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("rounds", [(1,), (2,), (1, 2), (1, 1, 1)])
def test_the_products_are_supermartingales(variable, guess, rounds):
    """Their expectation, summed over all outcomes, never exceeds 1: the line of the proof that all else rests on."""
    mean = sum(value * chance for value, chance in variable.items())
    for side, sign in (("_below", 1.0), ("_above", -1.0)):
        expected = 0.0
        for outcome in product(variable, repeat=sum(rounds)):
            interval = MeanInterval(0.9, 0.0, 1.0, guess)
            for values in np.split(np.array(outcome), np.cumsum(rounds)[:-1]):
                interval.add(values, 0.0, 1.0)
            found = getattr(interval, side)
            chance = np.prod([variable[value] for value in outcome])
            expected += chance * np.exp(found.total - sign * mean * found.weight - found.penalty)
        assert expected <= 1 + 1e-12


@pytest.mark.slow
def test_coverage_where_the_interval_is_as_narrow_as_it_may_be(monkeypatch):
    """A fair coin and a small λ throughout: the products are nearly martingales, and cross 1 / α about as often as they
    may.
    """
    monkeypatch.setattr(confidence_interval, "_LAMBDAS", confidence_interval._LAMBDAS[36:37])
    monkeypatch.setattr(confidence_interval, "_PSI", confidence_interval._PSI[36:37])
    missed, confidence = 0, 0.7
    for seed in range(REPETITIONS):
        draws = coins(np.random.default_rng(seed), 4000)
        interval = MeanInterval(confidence, 0.0, 1.0, 0.5)
        held = True
        for start in range(0, len(draws), 10):
            interval.add(draws[start : start + 10], 0.0, 1.0)
            held &= interval.low <= 0.5 <= interval.high
        missed += not held
    assert 0.6 * (1 - confidence) * REPETITIONS < missed <= (1 - confidence) * REPETITIONS

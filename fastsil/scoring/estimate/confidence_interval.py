"""Means of bounded variables from random draws, with intervals that hold at any sample size and whenever one stops.

Let a variable X be at least l, and its mean be μ. A bet of a share β < 1 of the capital on a draw, at odds that are
fair if the mean is m, multiplies the capital by

    1 + β (X - m) / (m - l),

which is never negative. For m = μ its expectation is 1, so that the capital, 1 at first, is a nonnegative martingale;
by Ville's inequality it ever reaches 1 / α with probability α at most. It falls with m. The m for which it is 1 / α is
therefore a lower limit of μ, and with probability 1 - α the limits after all draws hold at once. The mirrored variable
gives the upper limit. l and β, and even the variable itself, may change from draw to draw as earlier draws suggest, as
long as its mean stays μ. Nothing is assumed of the shape of the distribution: the interval is as honest for heavy tails
and few draws as it is for many.

If X is l with a small probability q, and a little above its mean otherwise, n draws raise the capital most by the share

    β = 1 - 1 / r,      where  r - 1 - log r = log(1 / α) / (n q).

For other distributions it is a good share too, with the variance of X / (μ - l) for q.

References
----------
I. Waudby-Smith, A. Ramdas (2024), "Estimating means of bounded random variables by betting", Journal of the Royal
Statistical Society B 86, 1-27.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Before anything is seen, q is taken to be this; later it counts as much as one draw.
_SPREAD = 0.05
# r by the right side of its equation.
_R = np.geomspace(1.001, 1e9, 500)
_GROWTH = _R - 1.0 - np.log(_R)
# For shares and forecasts, a mean is this far from the ends of the range at least, in units of the range.
_LEAST_REACH = 0.001
# Most steps of Newton's method, and the surplus of the capital's logarithm at which they end.
_STEPS, _EXCESS = 50, 1e-4
# Not zero, so that nothing is divided by zero.
_TINY = 1e-300


class _Draws(NamedTuple):
    """Draws and mirrored draws: how far above the least value each is, and the share that was bet on it."""

    mean: NDArray[np.intp]
    least: NDArray[np.float64]
    excess: NDArray[np.float64]
    share: NDArray[np.float64]


class MeanIntervals:
    """Some means of bounded variables, from rounds of independent draws.

    Parameters
    ----------
    confidence : float
        Probability with which each interval holds its mean, after all rounds at once.
    low, high : ndarray of shape (n_means,)
        Certain bounds on the means, without any draw.
    guess : ndarray of shape (n_means,)
        Probable means.
    """

    def __init__(
        self, confidence: float, low: NDArray[np.float64], high: NDArray[np.float64], guess: NDArray[np.float64]
    ) -> None:
        self._log_alpha = math.log(2.0 / (1.0 - confidence))
        self._guess = guess
        # Lower limits of the means, and of the mirrored means.
        self._limits = np.concatenate([low, -high])
        self._total = np.zeros(len(guess))
        # Number, sum and squares of the draws, from their guess and in units of their range: rounds with different
        # variables compare there.
        self._seen = np.zeros((3, len(guess)))
        none = np.zeros(0)
        self._draws = _Draws(np.zeros(0, dtype=np.intp), none, none, none)

    @property
    def low(self) -> NDArray[np.float64]:
        return self._limits[: len(self._guess)]

    @property
    def high(self) -> NDArray[np.float64]:
        return 0.0 - self._limits[len(self._guess) :]

    @property
    def half_width(self) -> NDArray[np.float64]:
        return (self.high - self.low) / 2

    @property
    def mean(self) -> NDArray[np.float64]:
        """The means of the draws, or without draws the guesses; where the interval leaves one out, its nearest end."""
        n_draws = self._seen[0]
        means = np.where(n_draws > 0, self._total / np.maximum(n_draws, 1), self._guess)
        return np.minimum(np.maximum(means, self.low), self.high)

    def narrow(self, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
        """Narrow the intervals to certain bounds."""
        # Rounding may put certain bounds an ulp past each other.
        low, high = np.minimum(np.maximum(self.low, low), self.high), np.maximum(np.minimum(self.high, high), self.low)
        self._limits = np.concatenate([low, -high])

    def add(
        self,
        means: NDArray[np.intp],
        values: NDArray[np.float64],
        least: NDArray[np.float64],
        most: NDArray[np.float64],
    ) -> None:
        """Take in a round of draws.

        Parameters
        ----------
        means : ndarray of shape (n_draws,)
            Which mean each draw is for.
        values : ndarray of shape (n_draws,)
            Independent draws of variables with the means that are sought.
        least, most : ndarray of shape (n_means,)
            Range of the variables, known before the draws; of those that are drawn.
        """
        if len(values) == 0:
            return
        order = np.argsort(means, kind="stable")
        means, values = means[order], values[order]
        drawn = np.bincount(means, minlength=len(least)) > 0
        least, most = np.where(drawn, least, self.low), np.where(drawn, most, self.high)
        self.narrow(least, most)
        ends = np.concatenate([least, -most])
        shares = self._choose_shares(means, values, least, most)
        both = np.concatenate([means, means + len(least)])
        excess = np.maximum(np.concatenate([values, -values]) - ends[both], 0.0)
        new = _Draws(both, ends[both], excess, shares)
        self._draws = _Draws(*(np.concatenate(columns) for columns in zip(self._draws, new, strict=True)))
        self._raise_limits()

    def draws_needed(
        self, half_width: NDArray[np.float64], least: NDArray[np.float64], most: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Return the numbers of draws of variables with these ranges that will probably narrow the intervals to these
        half-widths.
        """
        mean, span = np.clip(self.mean, least, most), most - least
        near = np.maximum(_LEAST_REACH * span, _TINY)
        below, above = np.maximum(mean - least, near), np.maximum(most - mean, near)
        variance = _spread(self._seen) / np.maximum(self._seen[0], 1)
        # n draws bring a limit to the mean by the deviation times √(2 log(1 / α) / n), and the reach times
        # log(1 / α) / n, about: so the sides part the width.
        deviation, linear = span * np.sqrt(variance), (below + above) / 2
        root = 2 * half_width / (deviation + np.sqrt(deviation**2 + 4 * linear * half_width))
        wanted = mean - root * (deviation + below * root)
        low = np.clip(wanted, self.low, np.maximum(self.high - 2 * half_width, self.low))
        limits = np.concatenate([low, -low - 2 * half_width])
        # With two values, the lower of which is the least, the variance decides how likely it is now and how likely it
        # would be at the limit; the logarithm of the capital grows by the divergence of the first from the second.
        reach = np.concatenate([below, above])
        odds = np.maximum((np.tile(deviation, 2) / reach) ** 2, 1e-9)
        way = np.clip((np.concatenate([mean, -mean]) - limits) / reach, 1e-9, 1 - 1e-9)
        growth = (-np.log1p(-way) - odds * np.log1p(way / odds)) / (1 + odds)
        missing = self._log_alpha - self._log_capital(np.maximum(limits, self._limits))[0]
        draws = np.where(limits > self._limits, np.ceil(missing / growth), 0).reshape(2, -1).max(axis=0)
        return np.where((self.half_width > half_width) & (span > 0), np.maximum(draws, 1), 0).astype(np.int64)

    def _choose_shares(
        self,
        means: NDArray[np.intp],
        values: NDArray[np.float64],
        least: NDArray[np.float64],
        most: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return the shares to bet on draws and on mirrored draws, each from the draws before it; count the draws."""
        n_new = np.bincount(means, minlength=len(least))
        span, planned = (most - least)[means], (self._seen[0] + n_new)[means]
        scaled = (values - self._guess[means]) / span
        columns = np.stack([np.ones(len(means)), scaled, scaled**2])
        sums = np.cumsum(columns, axis=1) - columns
        first = np.repeat(np.cumsum(n_new) - n_new, n_new)
        seen = self._seen[:, means] + sums - sums[:, first]
        # The guess counts as a draw.
        seen[0] += 1
        at = (self._guess - least)[means] / span + seen[1] / seen[0]
        reach = np.clip([at, 1 - at], _LEAST_REACH, 1)
        odds = (_spread(seen) / reach**2 + _SPREAD) / seen[0]
        self._seen += [_sum_by(means, column, len(least)) for column in columns]
        self._total += _sum_by(means, values, len(least))
        r = np.interp(self._log_alpha / (planned * odds), _GROWTH, _R)
        return np.ravel(1.0 - 1.0 / r).astype(np.float64)

    def _log_capital(self, limits: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the logarithm of the capital that bets against each limit have made, and how fast it falls."""
        mean, least, excess, share = self._draws
        distance = np.maximum(limits[mean] - least, _TINY)
        ratio = excess / distance
        factor = 1.0 - share + share * ratio
        fall = share * ratio / factor / distance
        return _sum_by(mean, np.log(factor), len(limits)), _sum_by(mean, fall, len(limits))

    def _raise_limits(self) -> None:
        """Raise the limits to where the capital is 1 / α, by Newton's method.

        The logarithm of the capital is convex, so that no step goes too far; with fewer steps limits are only lower.
        """
        # At the end of the range the capital is infinite.
        inside = 1e-9 * np.tile(self.high - self.low, 2)
        for _ in range(_STEPS):
            log_capital, fall = self._log_capital(self._limits + inside)
            excess = log_capital - self._log_alpha
            if (excess <= _EXCESS).all():
                break
            step = np.divide(excess, fall, out=np.zeros_like(fall), where=excess > _EXCESS)
            self._limits = self._limits + np.where(step > 0, inside + step, 0.0)


def _spread(seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squares of draws around their mean, from number, sum and squares around a guess."""
    n_draws, total, squares = seen
    return np.asarray(np.maximum(squares - total**2 / np.maximum(n_draws, 1), 0.0))


def _sum_by(means: NDArray[np.intp], values: NDArray[np.float64], n_means: int) -> NDArray[np.float64]:
    return np.asarray(np.bincount(means, weights=values, minlength=n_means), dtype=np.float64)

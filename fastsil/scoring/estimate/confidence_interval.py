"""Means of bounded variables from random draws, with intervals that hold at any sample size and whenever one stops.

For draws X of a variable with mean μ, let m be a number fixed before the draw, c = m - (the least that X can be),
ξ = (X - m) / c >= -1, and 0 <= λ < 1 fixed before the draw too. Fan's inequality gives

    E exp(λ ξ - ξ² ψ(λ))  <=  1 + λ (μ - m) / c  <=  exp(λ (μ - m) / c),      ψ(λ) = -log(1 - λ) - λ,

so that the product of exp(λ (X - μ) / c - ξ² ψ(λ)) over the draws is a nonnegative supermartingale. By Ville's
inequality it never exceeds 1 / α but with probability α, at any time, and so, but with that probability,

    μ  >=  (Σ λ X / c - Σ ξ² ψ(λ) - log(1 / α)) / Σ (λ / c)

at every time at once. The mirrored variable gives the upper limit. m, c and λ, and even the variable itself, may
change from draw to draw as earlier draws suggest, as long as its mean stays μ. Nothing is assumed of the shape of the
distribution: the interval is as honest for heavy tails and few draws as it is for many.

References
----------
X. Fan, I. Grama, Q. Liu (2015), "Exponential inequalities for martingales with applications", Electronic Journal of
Probability 20, 1-22.
I. Waudby-Smith, A. Ramdas (2024), "Estimating means of bounded random variables by betting", Journal of the Royal
Statistical Society B 86, 1-27.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# λ is chosen from these: whichever would have given the narrowest interval for the spread seen so far.
_LAMBDAS = np.concatenate([np.geomspace(1e-4, 0.5, 48), np.linspace(0.5, 0.98, 17)[1:]])
_PSI = -np.log1p(-_LAMBDAS) - _LAMBDAS
# Before anything is seen, ξ² is taken to be this; later it counts as much as one draw.
_SPREAD = 0.02
# Numbers of draws that a forecast looks ahead to.
_AHEAD = np.unique(np.geomspace(1, 1 << 40, 241).astype(np.int64))


@dataclass
class _Side:
    """Lower limit of a mean."""

    log_alpha: float
    weight: float = 0.0
    total: float = 0.0
    penalty: float = 0.0
    spread: float = 0.0
    n_draws: int = 0

    def limit(self) -> float:
        if self.weight == 0:
            return -math.inf
        return (self.total - self.penalty - self.log_alpha) / self.weight

    def add(self, values: NDArray[np.float64], center: float, reach: float, n_planned: int) -> None:
        """Add draws that are no more than ``reach`` below a center that was fixed before them."""
        chosen = int(np.argmin(self._half_widths(reach, n_planned)))
        scaled = (values - center) / reach
        squares = float((scaled**2).sum())
        self.weight += len(values) * float(_LAMBDAS[chosen]) / reach
        self.total += float(values.sum()) * float(_LAMBDAS[chosen]) / reach
        self.penalty += squares * float(_PSI[chosen])
        # Later draws have a center that is nearer to the mean.
        self.spread += squares - float(scaled.sum()) ** 2 / len(values)
        self.n_draws += len(values)

    def half_widths(self, reach: float, n_more: NDArray[np.int64]) -> NDArray[np.float64]:
        """Predict the distance of the limit below the mean after ``n_more`` further draws."""
        return np.asarray(self._half_widths(reach, n_more[:, None]).min(axis=1))

    def _half_widths(self, reach: float, n_more: int | NDArray[np.int64]) -> NDArray[np.float64]:
        """Predict the distance for each λ."""
        # In units of the reach, in which rounds with different variables compare.
        square = (self.spread + _SPREAD) / (self.n_draws + 1)
        penalty = self.penalty + self.log_alpha + n_more * square * _PSI
        return np.asarray(penalty / (self.weight + n_more * _LAMBDAS / reach))


@dataclass
class MeanInterval:
    """The mean of a bounded variable, from rounds of independent draws.

    Parameters
    ----------
    confidence : float
        Probability with which the interval holds the mean, after all rounds at once.
    low, high : float
        Certain bounds on the mean, without any draw.
    guess : float
        Probable mean.
    """

    confidence: float
    low: float
    high: float
    guess: float
    _below: _Side = field(init=False)
    _above: _Side = field(init=False)
    _total: float = 0.0
    _n_draws: int = 0

    def __post_init__(self) -> None:
        log_alpha = math.log(2.0 / (1.0 - self.confidence))
        self._below, self._above = _Side(log_alpha), _Side(log_alpha)

    @property
    def half_width(self) -> float:
        return (self.high - self.low) / 2

    @property
    def mean(self) -> float:
        """The mean of the draws, or without draws the guess; where the interval leaves it out, its nearest end."""
        mean = self._total / self._n_draws if self._n_draws else self.guess
        return min(max(mean, self.low), self.high)

    def narrow(self, low: float, high: float) -> None:
        """Narrow the interval to certain bounds."""
        # Rounding may put certain bounds an ulp past each other.
        self.low, self.high = min(max(self.low, low), self.high), max(min(self.high, high), self.low)

    def add(self, values: NDArray[np.float64], least: float, most: float) -> None:
        """Take in a round of draws.

        Parameters
        ----------
        values : ndarray of shape (n_draws,)
            Independent draws of a variable with the mean that is sought.
        least, most : float
            Its range, known before the draws.
        """
        if len(values) == 0:
            return
        center = min(max(self.mean, least), most)
        below, above = self._reaches(center, least, most)
        self._below.add(values, center, below, len(values))
        self._above.add(-values, -center, above, len(values))
        self._total += float(values.sum())
        self._n_draws += len(values)
        self.narrow(self._below.limit(), -self._above.limit())

    def draws_needed(self, half_width: float, least: float, most: float) -> int:
        """Return the number of draws of a variable with this range that will probably narrow the interval to this
        half-width.
        """
        if self.half_width <= half_width or most <= least:
            return 0
        below, above = self._reaches(min(max(self.mean, least), most), least, most)

        expected = (self._below.half_widths(below, _AHEAD) + self._above.half_widths(above, _AHEAD)) / 2
        enough = np.flatnonzero(expected <= half_width)
        return int(_AHEAD[enough[0]] if len(enough) else _AHEAD[-1])

    @staticmethod
    def _reaches(center: float, least: float, most: float) -> tuple[float, float]:
        # More than is needed does no harm; next to nothing, with a center that proves to be off, would.
        least_reach = max((most - least) / 4, 1e-300)
        return max(center - least, least_reach), max(most - center, least_reach)

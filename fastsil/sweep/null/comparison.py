"""Comparison of the data with data without clusters: scores of both, and the tests and choices that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fastsil.report.tables import Column, html_table
from fastsil.report.words import count
from fastsil.scoring.diagnosis import NullReference
from fastsil.sweep.results import SweepRow, with_columns

# Scores that differ by less are equal but for rounding: data of no spread have no evidence against the null.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class NullComparison:
    """Scores of the data and of data without clusters, at the same number of samples.

    Attributes
    ----------
    n_clusters : ndarray of shape (n_tried,), int
        Numbers of clusters from 2 on, rising.
    n_samples : int
        Samples of each set.
    silhouette, inertia : ndarray of shape (n_tried,)
        Mean silhouette and inertia of the data, or of the rows of them that were drawn.
    null_silhouettes, null_inertias : ndarray of shape (n_null, n_tried)
        Silhouettes and inertias of each null set; NaN where a fit failed.
    total, null_totals : float, ndarray of shape (n_null,)
        Sums of squares about the mean: the inertia of one cluster.
    mixture_gain, null_mixture_gains : float, ndarray of shape (n_null,)
        Log-likelihoods that a mixture of two Gaussians gains over one, along a principal axis
        (``fastsil.sweep.null.mixture_gain``).

    Examples
    --------
    >>> import numpy as np
    >>> from fastsil.sweep.null import NullComparison
    >>> comparison = NullComparison(
    ...     n_clusters=np.array([2, 3]), n_samples=90, silhouette=np.array([0.5, 0.8]), inertia=np.array([40.0, 9.0]),
    ...     null_silhouettes=np.array([[0.3, 0.3], [0.4, 0.3], [0.3, 0.2]]), null_inertias=np.full((3, 2), 50.0),
    ...     total=90.0, null_totals=np.full(3, 90.0), mixture_gain=30.0,
    ...     null_mixture_gains=np.array([1.0, 0.5, 2.0]))
    >>> comparison.p_value
    0.25
    >>> comparison.p_values
    array([0.25, 0.25])
    >>> comparison.gap_k
    3
    """

    n_clusters: NDArray[np.int64]
    n_samples: int
    silhouette: NDArray[np.float64]
    inertia: NDArray[np.float64]
    null_silhouettes: NDArray[np.float64]
    null_inertias: NDArray[np.float64]
    total: float
    null_totals: NDArray[np.float64]
    mixture_gain: float
    null_mixture_gains: NDArray[np.float64]

    def _repr_html_(self) -> str:
        """Return the scores of the data and of the null sets for each k, under the p-value, for notebooks."""
        scores = {
            "mean silhouette": self.silhouette,
            "null mean": self.mean,
            "null sd": self.std,
            "null z": self.z,
            "p of this k alone": self.p_values,
        }
        columns = [Column("k", tuple(map(str, self.n_clusters)))]
        for title, values in scores.items():
            columns.append(Column(title, tuple(f"{value:.3f}" if np.isfinite(value) else "-" for value in values)))
        words = (
            f"<b>p = {self.p_value:.3f}</b>, one test for every k ({count(self.n_null, 'null set')} of "
            f"{count(self.n_samples, 'sample')})."
        )
        return f"<div><p>{words}</p>{html_table(columns)}</div>"

    @property
    def n_null(self) -> int:
        """Number of null sets."""
        return len(self.null_silhouettes)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of the null sets' mean silhouettes, for each k; of shape (n_tried,)."""
        return np.asarray(self.null_silhouettes.mean(axis=0))

    @property
    def std(self) -> NDArray[np.float64]:
        """Their standard deviation (n_null - 1 in the denominator), for each k."""
        return np.asarray(self.null_silhouettes.std(axis=0, ddof=1))

    @property
    def z(self) -> NDArray[np.float64]:
        """Return the standard deviations between the data's score and the null mean, for each k."""
        return _standardize(self.silhouette - self.mean, self.std)

    @property
    def p_values(self) -> NDArray[np.float64]:
        """Return ``(r + 1) / (n_null + 1)`` for each k, r the number of null sets that score as high; NaN where a fit
        failed.

        Each is valid for its k alone; the lowest of several is too optimistic.
        """
        as_high = np.count_nonzero(self.null_silhouettes >= self.silhouette - _ROUNDING, axis=0)
        known = np.isfinite(self.mean) & np.isfinite(self.silhouette)
        return np.where(known, (as_high + 1) / (self.n_null + 1), np.nan)

    @property
    def p_value(self) -> float:
        """P-value of one test for the whole sweep: more structure than in the null sets, at any k.

        Each set's mean silhouette at each k, and the share of its sum of squares that the clusters explain, are
        standardized by the mean and spread of all other sets, the data among them, and added. The highest sum over k is
        half of the statistic; the other half is the gain of a mixture of two Gaussians over one (its root, which is
        about normal). Both are standardized alike. All sets are treated alike, so that the p-value ``(r + 1) / (n_null
        + 1)`` is exact for any law of the scores. NaN where no k was scored in all sets.
        """
        of_clusters = _beyond_others(_highest(self._silhouettes_beyond + self._explained_beyond))
        return self._compute_p(of_clusters + self._mixture_beyond)

    @property
    def p_silhouette(self) -> float:
        """P-value of the test by the silhouettes alone."""
        return self._compute_p(_highest(self._silhouettes_beyond))

    @property
    def p_inertia(self) -> float:
        """P-value of the test by the inertia alone."""
        return self._compute_p(_highest(self._explained_beyond))

    @property
    def p_mixture(self) -> float:
        """P-value of the test by the mixture alone, for all k."""
        return self._compute_p(self._mixture_beyond)

    @cached_property
    def _silhouettes_beyond(self) -> NDArray[np.float64]:
        return _beyond_others(np.vstack([self.silhouette, self.null_silhouettes]))

    @cached_property
    def _explained_beyond(self) -> NDArray[np.float64]:
        within = np.vstack([self.inertia, self.null_inertias])
        totals = np.concatenate([[self.total], self.null_totals])[:, None]
        # Samples that are all alike have nothing to explain.
        return _beyond_others(1 - np.divide(within, totals, out=np.ones_like(within), where=totals > 0))

    @cached_property
    def _mixture_beyond(self) -> NDArray[np.float64]:
        return _beyond_others(np.sqrt(np.concatenate([[self.mixture_gain], self.null_mixture_gains])))

    def _compute_p(self, statistic: NDArray[np.float64]) -> float:
        """Compute the p-value of the first of the statistics of all sets."""
        if np.isnan(statistic[0]):
            return float(np.nan)
        return float((np.count_nonzero(statistic[1:] >= statistic[0] - _ROUNDING) + 1) / (self.n_null + 1))

    @property
    def gap(self) -> NDArray[np.float64]:
        """Gap statistic for each k: mean logarithm of the null sets' inertias less that of the data's."""
        return self._gaps()[0][1:]

    @property
    def gap_error(self) -> NDArray[np.float64]:
        """Standard error of the gap for each k, that of the simulation included."""
        return self._gaps()[1][1:]

    @property
    def gap_k(self) -> int:
        """The choice by the gap: smallest k whose gap is within one standard error of the next k's, or above; 1 counts.

        The largest k tried, if there is none before it.

        References
        ----------
        R. Tibshirani, G. Walther, T. Hastie (2001), "Estimating the number of clusters in a data set via the gap
        statistic", Journal of the Royal Statistical Society B 63, 411-423.
        """
        gap, error = self._gaps()
        good = np.flatnonzero(gap[:-1] >= gap[1:] - error[1:])
        return int(([1, *self.n_clusters])[good[0] if len(good) else -1])

    def reference_at(self, k: int) -> NullReference | None:
        """Return the null sets' scores at this k, and the p-value of the whole sweep, which chose the k, for a
        diagnosis.
        """
        found = np.flatnonzero(self.n_clusters == k)
        if len(found) == 0:
            return None
        at = found[0]
        return NullReference(float(self.silhouette[at]), float(self.mean[at]), float(self.std[at]), self.p_value)

    def _gaps(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Compute gap and standard error, one cluster first."""
        with np.errstate(divide="ignore", invalid="ignore"):
            of_data = np.log(np.concatenate([[self.total], self.inertia]))
            of_null = np.log(np.column_stack([self.null_totals, self.null_inertias]))
            gap = of_null.mean(axis=0) - of_data
            error = of_null.std(axis=0) * np.sqrt(1 + 1 / self.n_null)
        return gap, error


def with_null_columns(rows: Sequence[SweepRow], null: NullComparison) -> list[SweepRow]:
    """Extend rows of a sweep by the comparison at their k."""
    score_of = {row.n_clusters: row.silhouette for row in rows}
    scores = np.array([score_of[int(k)] for k in null.n_clusters])
    return with_columns(
        rows,
        null.n_clusters,
        {
            "null_score": null.silhouette,
            "null_mean": null.mean,
            "null_std": null.std,
            "null_z": null.z,
            "null_p": null.p_values,
            "null_excess": _standardize(scores - null.mean, null.std),
            "gap": null.gap,
            "gap_error": null.gap_error,
        },
    )


def _highest(beyond: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each set's highest value over the k that were scored in all sets; NaN if there is none."""
    usable = np.isfinite(beyond).all(axis=0)
    return np.max(beyond, axis=1, where=usable, initial=-np.inf) if usable.any() else np.full(len(beyond), np.nan)


def _beyond_others(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each set's (row's) values, in standard deviations of all other sets above their mean."""
    beyond = np.empty_like(values)
    for place in range(len(values)):
        others = np.delete(values, place, axis=0)
        beyond[place] = _standardize(values[place] - others.mean(axis=0), others.std(axis=0, ddof=1))
    return beyond


def _standardize(difference: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide by the spread; differences of the size of rounding become 0."""
    difference = np.where(np.abs(difference) <= _ROUNDING, 0.0, difference)
    return np.asarray(difference / np.maximum(spread, _ROUNDING))

"""Which k to look at, and whether data without clusters speak against any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05
"""The usual level of a test."""

SCORE_TOLERANCE = 0.005
"""Scores that differ by less are called equally good: restarts of k-means move a mean silhouette this much."""


class NullTest(Protocol):
    """What is asked of a comparison with data without clusters; :class:`fastsil.sweep.null.NullComparison` has it."""

    @property
    def n_null(self) -> int: ...
    @property
    def n_samples(self) -> int: ...
    @property
    def p_value(self) -> float: ...
    @property
    def p_silhouette(self) -> float: ...
    @property
    def p_inertia(self) -> float: ...
    @property
    def p_mixture(self) -> float: ...
    @property
    def gap_k(self) -> int: ...


def choose_k(results: Mapping[str, NDArray[Any]], null: NullTest | None) -> int:
    """The k to look at: furthest above data without clusters where there is structure, else of the highest score.

    Of several that are about as far above, the one of the highest mean silhouette.

    Parameters
    ----------
    results : mapping of str to ndarray of shape (n_tried,)
        ``sweep_results_`` of a sweep.
    null : NullTest or None
        The comparison, if there was one.

    Returns
    -------
    int
        Of equally good ones the smallest; the least k that was clustered, if none has a score.
    """
    ks, scores = results["n_clusters"], results["silhouette"]
    if not np.isfinite(scores).any():
        return int(ks[0] if np.isnan(results["inertia"]).all() else ks[np.nanargmax(results["inertia"])])
    if null is None or not is_test(null) or null.p_value > LEVEL:
        return int(ks[np.nanargmax(scores)])
    return k_with_largest_excess(results)


def k_with_largest_excess(results: Mapping[str, NDArray[Any]]) -> int:
    """The k whose mean silhouette is furthest above that of null sets; of several as far, the one that scores highest.

    Parameters
    ----------
    results : mapping of str to ndarray of shape (n_tried,)
        ``sweep_results_`` of a sweep with null sets.
    """
    # The scores of all samples, not of those drawn for the comparison: they depend less on luck.
    scores = results["silhouette"]
    above = np.nan_to_num(scores - results["null_mean"], nan=-np.inf)
    return int(results["n_clusters"][np.nanargmax(np.where(above >= above.max() - SCORE_TOLERANCE, scores, np.nan))])


def lowest_k(results: Mapping[str, NDArray[Any]]) -> int | None:
    """The k of the lowest mean silhouette, if that is negative: who sees it asks whether something is broken."""
    scores = results["silhouette"]
    if not (scores < 0).any():
        return None
    return int(results["n_clusters"][np.nanargmin(scores)])


def is_test(null: NullTest | None) -> bool:
    """Whether there were enough null sets for a test at 5 %."""
    return null is not None and np.isfinite(null.p_value) and 1 / (null.n_null + 1) <= LEVEL

"""Which k to look at: the one whose clusters are separate, and score highest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.sweep.gaps import GapTest
from fastsil.sweep.null import NullComparison

LEVEL = 0.05
"""The usual level of a test."""

SCORE_TOLERANCE = 0.005
"""Scores that differ by less are called equally good: restarts of k-means move a mean silhouette this much."""


# A k whose gaps are clear to this share of the clearest one, or to one standard deviation, is separate as well.
_AS_CLEAR = 0.9


def choose_k(results: Mapping[str, NDArray[Any]], null: NullComparison | None, gaps: GapTest | None = None) -> int:
    """Choose the k to look at.

    Where there are gaps: of the k whose gaps are about the clearest, the one of the highest silhouettes, micro and
    macro mean alike. Where there are none: the k of the highest mean silhouette. Of k that score equally well, the one
    that is furthest above data without clusters.

    Parameters
    ----------
    results : mapping of str to ndarray of shape (n_tried,)
        ``sweep_results_`` of a sweep.
    null : NullComparison or None
        The comparison with data without clusters, if there was one.
    gaps : GapTest or None
        The test of gaps, if there was one. Without it, the k furthest above data without clusters is chosen, if they
        are exceeded.

    Returns
    -------
    int
        Of equally good ones the smallest; the least k that was clustered, if none has a score.
    """
    ks, scores = results["n_clusters"], results["silhouette"]
    if not np.isfinite(scores).any():
        return int(ks[0] if np.isnan(results["inertia"]).all() else ks[np.nanargmax(results["inertia"])])
    if has_gaps(gaps):
        good, ranks = list_good_k(results, gaps), rank_k(results, gaps)
        excess = results.get("null_excess", np.full(len(ks), np.nan))
        ranks = np.where(
            np.isin(ks, good), np.nan_to_num(excess, nan=0.0) if np.isfinite(excess).any() else ranks, np.nan
        )
        return int(ks[np.nanargmax(ranks)])
    if gaps is not None or null is None or not is_test(null) or null.p_value > LEVEL:
        return int(ks[np.nanargmax(scores)])
    return k_with_largest_excess(results)


def has_gaps(gaps: GapTest | None) -> bool:
    """Return whether the clusters of some k are separated by gaps."""
    return gaps is not None and gaps.p_clusters <= LEVEL


def list_separate_k(results: Mapping[str, NDArray[Any]], gaps: GapTest) -> list[int]:
    """List the k whose gaps are about the clearest."""
    scored = results["n_clusters"][np.isfinite(results["silhouette"]) & ~mark_repeats(results)]
    z = {int(k): float(value) for k, value in zip(gaps.n_clusters, gaps.z, strict=True) if k in scored}
    clearest = max(z.values())
    return [k for k, value in z.items() if value >= min(_AS_CLEAR * clearest, clearest - 1)]


def rank_k(results: Mapping[str, NDArray[Any]], gaps: GapTest | None) -> NDArray[np.float64]:
    """Return the values that rank k, one for each; NaN for k that are out of the question."""
    if gaps is None or not has_gaps(gaps):
        return np.where(mark_repeats(results), np.nan, results["silhouette"])
    separate = np.isin(results["n_clusters"], list_separate_k(results, gaps))
    return np.where(separate, (results["silhouette"] + results["macro_silhouette"]) / 2, np.nan)


def mark_repeats(results: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Mark the k whose clustering is that of a smaller k: with fewer distinct samples than k, each is a cluster."""
    ks = results["n_clusters"]
    found = results.get("n_found", ks)
    first = np.array([int(np.flatnonzero(found == count)[0]) for count in found], dtype=np.intp)
    return np.asarray((found > 0) & (found < ks) & (first < np.arange(len(ks))))


def list_good_k(results: Mapping[str, NDArray[Any]], gaps: GapTest | None) -> list[int]:
    """List the k that rank as high as the best; of estimated scores, all whose intervals overlap with its own."""
    ranks = rank_k(results, gaps)
    half_widths = (results["silhouette_high"] - results["silhouette_low"]) / 2
    best = int(np.nanargmax(ranks))
    tolerance = np.maximum(SCORE_TOLERANCE, half_widths + half_widths[best])
    return [int(k) for k in results["n_clusters"][ranks >= ranks[best] - tolerance]]


def k_with_largest_excess(results: Mapping[str, NDArray[Any]]) -> int:
    """Return the k whose mean silhouette is furthest above that of null sets; of several as far, the one that scores
    highest.

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
    """Return the k of the lowest mean silhouette, if that is negative: readers take it for an error."""
    scores = results["silhouette"]
    if not (scores < 0).any():
        return None
    return int(results["n_clusters"][np.nanargmin(scores)])


def is_test(null: NullComparison | None) -> bool:
    """Return whether there were enough null sets for a test at 5 %."""
    return null is not None and np.isfinite(null.p_value) and 1 / (null.n_null + 1) <= LEVEL

"""One cloud, a continuum, or separate groups: the answer of the test of gaps in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.report.suggestions import suggest_sweep
from fastsil.report.words import join_words
from fastsil.sweep.gaps import MAX_DEPTH, GapsAtK, GapTest
from fastsil.sweep.null import NullComparison
from fastsil.sweep.verdict.choice import LEVEL, has_gaps, is_test, list_good_k, list_separate_k

# Finer clusters of different clusters are this dense between them where groups touch, or where clusters are arcs.
_TOUCHING = 0.5

# Samples, and the distance in standard deviations at which two round groups of equal size are found in 8 of 10 sets of
# up to as many; measured in 2 and 20 dimensions.
_DETECTABLE = ((80, 6.0), (150, 5.0), (250, 4.0), (800, 3.5), (np.inf, 3.0))

N_NULL = 39
"""Null sets to suggest: enough for a test at 5 % that does not miss much."""

# Pairs that a sentence names at most.
_MOST_PAIRS = 3


@dataclass(frozen=True)
class GapFindings:
    """Results of the test of gaps at one k.

    Attributes
    ----------
    test : GapTest
        The test.
    k : int
        The chosen k.
    labels : sequence
        Names of the clusters, sorted.
    finer_depth : float
        Of :func:`fastsil.sweep.gaps.measure_finer_depth`; NaN where it was not measured.
    """

    test: GapTest
    k: int
    labels: Sequence[Any]
    finer_depth: float = float("nan")

    @property
    def at_k(self) -> GapsAtK | None:
        return self.test.at(self.k)

    @property
    def depth(self) -> float:
        """Density midway between the clusters of k; NaN if they were not found again in parts of the data."""
        at_k = self.at_k
        return at_k.depth if at_k is not None and (at_k.midway.sum() + at_k.near.sum()) > 0 else float(np.nan)

    @property
    def separate_pairs(self) -> tuple[tuple[Any, Any], ...]:
        at_k = self.at_k
        if at_k is None or not has_gaps(self.test):
            return ()
        return tuple((self.labels[i], self.labels[j]) for i, j in at_k.pairs[at_k.separate])


def name_kind(gaps: GapTest, null: NullComparison | None) -> str | None:
    """Return ``"groups"``, ``"cloud"`` or ``"continuum"``; None if nothing distinguishes the last two."""
    if gaps.p_value <= LEVEL:
        return "groups"
    if null is None or not is_test(null):
        return None
    return "cloud" if null.p_value > LEVEL else "continuum"


def write_headline(kind: str | None, gaps: GapTest, k: int, good_k: Sequence[int]) -> str:
    """Return the answer in a sentence."""
    if kind == "groups" and not has_gaps(gaps):
        return "There are separate groups, but k-means cuts across them."
    if kind == "groups":
        return f"Separate groups: k = {_join_or(good_k if len(good_k) > 1 else [k])}."
    return {
        "cloud": "No groups found: the data look like one random cloud.",
        "continuum": "No separate groups found, though this is not a plain random cloud.",
        None: "No separate groups found.",
    }[kind]


def explain_kind(
    results: Mapping[str, NDArray[Any]], found: GapFindings, kind: str | None, null: NullComparison | None
) -> list[str]:
    """Return the sentences behind the answer: the decision first, the statistics last."""
    if kind == "groups":
        return _explain_groups(results, found)
    midway = _write_midway(found)
    if kind == "cloud":
        assert null is not None
        return [
            f"Random clouds of the same spread score as high (p = {null.p_value:.2f}).",
            midway,
            _write_limit(found.test.n_samples),
        ]
    if kind == "continuum":
        assert null is not None
        return [
            "The data may be skewed, heavy-tailed or curved, have outliers, or consist of groups that overlap.",
            midway,
            "The clusters can serve as segments; do not report them as types that exist.",
            f"Random clouds of the same spread do not score as high ({_write_p(null.p_value)}).",
        ]
    return [midway, _write_limit(found.test.n_samples), "Whether the data are one random cloud was not tested."]


def explain_choice(results: Mapping[str, NDArray[Any]], found: GapFindings, kind: str | None) -> list[str]:
    """Explain the choice of k."""
    ks, scores = results["n_clusters"], results["silhouette"]
    at = int(np.flatnonzero(ks == found.k)[0])
    if kind != "groups" or not has_gaps(found.test):
        return [f"The highest mean silhouette is {np.nanmax(scores):.3f}, at k = {ks[np.nanargmax(scores)]}."]
    separate = list_separate_k(results, found.test)
    sentences = [
        f"The gaps are clearest at k = {separate[0]}."
        if len(separate) == 1
        else f"The gaps are about as clear at k = {join_words([f'{k}' for k in separate])}; of these k = {found.k} has "
        f"the highest silhouettes (mean {scores[at]:.3f}; every cluster counted alike, "
        f"{results['macro_silhouette'][at]:.3f})."
    ]
    good = list_good_k(results, found.test)
    if len(good) > 1:
        sentences.append(f"k = {join_words([f'{k}' for k in good])} do equally well.")
    best = int(ks[np.nanargmax(scores)])
    if best not in separate:
        sentences.append(f"k = {best} scores higher ({np.nanmax(scores):.3f}), but its gaps are less clear.")
    return sentences


def advise_on_kind(kind: str | None, found: GapFindings, null: NullComparison | None) -> list[str]:
    """Return advice on what to try next."""
    if kind == "groups":
        across = (
            "k-means sees the directions of largest spread first: leave out features that spread for other reasons."
        )
        return [] if has_gaps(found.test) else [across]
    if kind is None:
        return advise_on_null(null, "See whether the data are more than one random cloud")
    return ["Groups may show in other features."]


def advise_on_null(null: NullComparison | None, words: str) -> list[str]:
    """Advise to compare with data without clusters, unless that was done."""
    done = null is not None and null.n_null >= N_NULL
    return [] if done else [f"{words}: {suggest_sweep(n_null=N_NULL)}"]


def _explain_groups(results: Mapping[str, NDArray[Any]], found: GapFindings) -> list[str]:
    at_k = found.at_k
    if not has_gaps(found.test) or at_k is None:
        axis = int(np.argmax(found.test.axis_z)) + 1
        return [
            f"Along principal axis {axis} there is a gap: samples in it are {found.test.axis_depth[axis - 1]:.0%} as "
            f"dense as next to it ({_write_p(found.test.p_value)}).",
            "The clusters of no k follow this gap, because the data spread more in another direction.",
        ]
    sentences = [_write_midway(found, found.test.p_value), _write_pairs(found, at_k)]
    if found.finer_depth >= _TOUCHING:
        sentences.append(
            "A closer look finds bridges between the groups: they touch, or they are arcs of a ring or another curve. "
            "Look at a map of the data before you count them."
        )
    return sentences


def _write_midway(found: GapFindings, p_value: float | None = None) -> str:
    if not np.isfinite(found.depth):
        return "k-means finds other clusters in parts of the data, so that no gap between them could be measured."
    if p_value is None and found.depth <= MAX_DEPTH:
        return "Some gaps between the clusters are seen, but chance brings as deep ones."
    p = "" if p_value is None else f" ({_write_p(p_value)})"
    return f"Midway between neighboring centers samples are {found.depth:.0%} as dense as near them{p}."


def _write_pairs(found: GapFindings, at_k: GapsAtK) -> str:
    n_pairs = len(at_k.pairs)
    joined = [(found.labels[i], found.labels[j]) for i, j in at_k.pairs[~at_k.separate]]
    if n_pairs == 1:
        return "The two clusters are separate." if not joined else "The two clusters run into each other."
    if not joined:
        return f"All {n_pairs} pairs of clusters are separate."
    count = f"{n_pairs - len(joined)} of {n_pairs} pairs of clusters are separate"
    if len(joined) > _MOST_PAIRS:
        return f"{count}; {len(joined)} run into each other."
    names = join_words([f"{i} and {j}" for i, j in joined]) if len(joined) > 1 else f"{joined[0][0]} and {joined[0][1]}"
    return f"{count}; clusters {names} run into each other."


def _write_limit(n_samples: int) -> str:
    distance = next(distance for most, distance in _DETECTABLE if n_samples < most)
    return (
        f"Groups whose centers are less than about {distance:g} standard deviations apart could not be seen in "
        f"{n_samples:,} samples."
    )


def _write_p(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"


def _join_or(ks: Sequence[int]) -> str:
    words = [f"{k}" for k in ks]
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))

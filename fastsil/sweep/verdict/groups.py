"""One cloud, a continuum, or separate groups: the answer of the test of gaps in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.report.suggestions import suggest, suggest_sweep
from fastsil.report.words import join_words
from fastsil.sweep.gaps import MAX_DEPTH, GapsAtK, GapTest
from fastsil.sweep.null import NullComparison
from fastsil.sweep.verdict.choice import LEVEL, has_gaps, is_test, list_good_k, list_separate_k

# The bridges out of clusters are this dense where groups touch, or where clusters are arcs of a curve.
_TOUCHING = 0.6

# Samples, and the distance in standard deviations at which two round groups of equal size are found in 8 of 10 sets of
# up to as many; measured in 2 and 20 dimensions.
_DETECTABLE = ((80, 6.0), (150, 5.0), (250, 4.0), (800, 3.5), (np.inf, 3.0))

N_NULL = 39
"""Null sets to suggest: enough for a test at 5 % that does not miss much."""

DO_NOT_REPORT = "Do not report these clusters as groups."
"""The decision where no groups were found."""

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
    def touching(self) -> bool:
        """Whether a closer look finds bridges between the groups."""
        return self.finer_depth >= _TOUCHING

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
        return "There are separate groups, but the clusters cut across them."
    if kind == "groups":
        return f"Separate groups: k = {_join_or(good_k if len(good_k) > 1 else [k])}."
    return {
        "cloud": "No groups found: the data look like one random cloud.",
        "continuum": "No separate groups found, though this is not a plain random cloud.",
        None: "No separate groups found.",
    }[kind]


def explain_kind(found: GapFindings, kind: str | None, null: NullComparison | None) -> list[str]:
    """Return the sentences behind the answer: the decision, then the evidence."""
    if kind == "groups":
        return _explain_groups(found)
    midway, limit = _write_midway(found), _write_limit(found.test.n_samples)
    if kind == "cloud":
        return [DO_NOT_REPORT, midway, limit]
    if kind == "continuum":
        return [
            "The clusters can serve as segments; do not report them as types that exist.",
            "The data may be skewed, heavy-tailed or curved, have outliers, or consist of groups that overlap.",
            midway,
        ]
    return [DO_NOT_REPORT, midway, limit, "No test was made of whether the data are one random cloud."]


def write_statistics(found: GapFindings, kind: str | None, null: NullComparison | None) -> list[str]:
    """Return the tests behind the answer."""
    if kind == "groups":
        return [f"Chance seldom brings such gaps ({_write_p(found.test.p_value)})."]
    if kind is None or null is None:
        return []
    if kind == "continuum":
        return [write_null_test(null)]
    return [f"Random clouds of the same spread come as far (p = {null.p_value:.2f})."]


def write_null_test(null: NullComparison) -> str:
    """Describe how the data stand out from sets without clusters: from all of them, or from nearly all."""
    if null.p_value * (null.n_null + 1) < 1.5:
        return f"The data stand out from all {null.n_null} random clouds of the same spread."
    return f"Few random clouds of the same spread come as far ({_write_p(null.p_value)})."


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
        else f"The gaps are about as clear at k = {join_words([f'{k}' for k in separate])}.",
        f"{'It' if len(separate) == 1 else f'Of these, k = {found.k}'} has a mean silhouette of {scores[at]:.3f}"
        f"{'.' if len(separate) == 1 else ', the highest.'}",
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
        across = "Clusters follow the directions of largest spread: leave out features that spread for other reasons."
        shapes = [_advise_on_shapes()] if found.touching or not has_gaps(found.test) else []
        return shapes if has_gaps(found.test) else [across, *shapes]
    if kind is None:
        return advise_on_null(null, "See whether the data are more than one random cloud")
    return ["Groups may show in other features."]


def _advise_on_shapes() -> str:
    sweep = suggest(
        "try HDBSCAN in a SilhouetteSweep, and compare by DBCV",
        clusterer="hdbscan",
        param="min_cluster_size=5:50:5",
        density=True,
    )
    return f"If groups may be rings or chains, which silhouettes do not see: {sweep}"


def advise_on_null(null: NullComparison | None, words: str) -> list[str]:
    """Advise to compare with data without clusters, unless that was done."""
    done = null is not None and null.n_null >= N_NULL
    return [] if done else [f"{words}: {suggest_sweep(n_null=N_NULL)}"]


def _explain_groups(found: GapFindings) -> list[str]:
    at_k = found.at_k
    if not has_gaps(found.test) or at_k is None:
        axis = int(np.argmax(found.test.axis_z)) + 1
        return [
            "Do not report these clusters as the groups.",
            f"There is a gap along principal axis {axis}: samples in it are {found.test.axis_depth[axis - 1]:.0%} as "
            "dense as next to it.",
            "The clusters of no k follow this gap: the data spread more in another direction, or the clusters are "
            "arcs of a ring or another curve.",
        ]
    share = at_k.separate.mean() if len(at_k.separate) else 0.0
    which = "The" if share == 1 else "Most" if share >= 0.5 else "Some"
    decision = f"{which} clusters of k = {found.k} can be reported as groups."
    if found.touching:
        decision = f"You can report that there are groups; check their number, k = {found.k}, on a map."
    sentences = [decision, *_write_pairs(found, at_k), _write_midway(found, tested=True)]
    if found.touching:
        sentences.append("A closer look finds bridges: groups touch, or they are arcs of a ring or another curve.")
    return sentences


def _write_midway(found: GapFindings, *, tested: bool = False) -> str:
    if not np.isfinite(found.depth):
        return "k-means finds other clusters in parts of the data, so that no gap between them could be measured."
    if not tested and found.depth <= MAX_DEPTH:
        return "Some gaps between the clusters are seen, but chance brings as deep ones."
    return f"Midway between neighboring centers samples are {found.depth:.0%} as dense as near them."


def _write_pairs(found: GapFindings, at_k: GapsAtK) -> list[str]:
    n_pairs = len(at_k.pairs)
    joined = [(found.labels[i], found.labels[j]) for i, j in at_k.pairs[~at_k.separate]]
    if n_pairs == 1:
        return ["The two clusters are separate." if not joined else "The two clusters run into each other."]
    if not joined:
        return [f"All {n_pairs} pairs of clusters are separate."]
    sentences = [f"{n_pairs - len(joined)} of {n_pairs} pairs of clusters are separate."]
    if len(joined) <= _MOST_PAIRS:
        sentences.append(f"These run into each other: {'; '.join(f'{i} and {j}' for i, j in joined)}.")
    return sentences


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

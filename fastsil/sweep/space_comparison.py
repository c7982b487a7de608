"""Several geometries side by side, in words: would another one help?

Mean silhouettes of different geometries do not compare. How far the data rise above data without clusters does: by the
p-value of one test for each geometry, then in standard deviations of the null sets' scores, at the k that is furthest
above these in silhouettes. (At whichever k is furthest in standard deviations, a few outliers among the samples drawn
for the comparison would decide.) Of few null sets the standard deviation is not known well; what differs by less than
that is called alike, and the geometry that was given first stays the main one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastsil.report.suggestions import suggest_sweep
from fastsil.report.words import format_distinguishable, join_words
from fastsil.sweep.feature_space import FailedSpace
from fastsil.sweep.geometry_sweep import GeometrySweep
from fastsil.sweep.verdict.choice import LEVEL, is_test
from fastsil.sweep.verdict.groups import N_NULL
from fastsil.validation.arrays import is_sparse

# Principal components to suggest, where there are more features than that.
_COMPONENTS = (50, 10)


def find_furthest_space(sweeps: Sequence[GeometrySweep]) -> int:
    """Place of the geometry in which the data rise furthest above data without clusters.

    Of those with the lowest p-value, the one of the highest excess; the first one, if it is much the same.
    """
    best = max(range(len(sweeps)), key=lambda place: (-sweeps[place].p_value, sweeps[place].excess))
    return 0 if _beyond(sweeps[best], sweeps[0]) == 0 else best


def _beyond(one: GeometrySweep, other: GeometrySweep) -> int:
    """Return 1 if the data rise further in the one, -1 if in the other, 0 if the difference is within its error."""
    if one.p_value != other.p_value:
        return 1 if one.p_value < other.p_value else -1
    assert one.null is not None
    # Two standard errors of the logarithm of a ratio of standard deviations, each of n_null normal values.
    error = 2 / np.sqrt(one.null.n_null - 1) * max(abs(one.excess), abs(other.excess))
    difference = one.excess - other.excess
    return 0 if abs(difference) <= error else int(np.sign(difference))


def compare_geometries(sweeps: Sequence[GeometrySweep], chosen: GeometrySweep) -> tuple[str, ...]:
    """Describe the findings in each geometry, compared with the first one; nothing for a single one.

    Parameters
    ----------
    sweeps : sequence of GeometrySweep
        In the order in which they were requested.
    chosen : GeometrySweep
        The one that the verdict is about.
    """
    if len(sweeps) < 2:
        return ()
    first = sweeps[0]
    with_gaps = any(sweep.clearest_gap > -np.inf for sweep in sweeps)
    if not all(sweep.furthest is not None and is_test(sweep.null) for sweep in sweeps):
        return (_answer_by_gaps(first, chosen),) if with_gaps else _without_null(sweeps)
    return (
        _answer_by_gaps(first, chosen) if with_gaps else _answer(first, chosen),
        *(_describe(sweep, first) for sweep in sweeps),
        "Compare the standard deviations and p; mean silhouettes have another scale in each geometry."
        + _describe_several(chosen.p_value, len(sweeps)),
    )


def _answer_by_gaps(first: GeometrySweep, chosen: GeometrySweep) -> str:
    if chosen is first:
        return f"No: in no other geometry are the gaps between the clusters clearly deeper than in {first.name}."
    return f"Yes: the gaps between the clusters are clearest in {chosen.name}."


def _answer(first: GeometrySweep, chosen: GeometrySweep) -> str:
    if chosen is first and first.p_value > LEVEL:
        return f"No: the data score no higher than data without clusters in any geometry (p > {LEVEL})."
    if chosen is first:
        return (
            f"No: in no other geometry are the data clearly further above data without clusters than in {first.name}."
        )
    return f"Yes: the data are further above data without clusters in {chosen.name} than in {first.name}."


def _describe(sweep: GeometrySweep, first: GeometrySweep) -> str:
    furthest = sweep.furthest
    assert furthest is not None
    data, null = format_distinguishable(furthest.silhouette, furthest.null_mean)
    numbers = (
        f"at k = {furthest.n_clusters} the data score {data} and data without clusters {null}, "
        f"{furthest.null_excess:+.1f} standard deviations; p = {sweep.p_value:.3f} over every k."
    )
    if sweep is first:
        return f"{sweep.name}: {numbers}"
    beyond = _beyond(sweep, first)
    words = {1: "helps", 0: "makes little difference", -1: "does not help"}[beyond]
    return f"{sweep.name} {words}: {numbers}{_less_clear(sweep, first) if beyond < 0 else ''}"


def _less_clear(sweep: GeometrySweep, first: GeometrySweep) -> str:
    """Explain a low p-value without help: it shows that there is structure, not how clear it is."""
    if sweep.p_value > LEVEL:
        return ""
    return f" The low p says that there is structure here too, but it is less clear than in {first.name}."


def _describe_several(p_value: float, n_sweeps: int) -> str:
    """Warn where one low p-value among several may be chance."""
    if p_value > LEVEL or n_sweeps * p_value <= LEVEL:
        return ""
    return (
        f" By chance alone, the lowest of {n_sweeps} p-values is {p_value:.3f} or less in up to "
        f"{min(n_sweeps * p_value, 1.0):.0%} of data without clusters."
    )


def _without_null(sweeps: Sequence[GeometrySweep]) -> tuple[str, ...]:
    scores = [f"{sweep.name} {sweep.best_score:.3f} (k = {sweep.best_k})" for sweep in sweeps]
    return (
        f"Highest mean silhouettes: {join_words(scores)}.",
        "These scores cannot be compared: another metric or fewer dimensions change the scores of data without "
        f"clusters too. Compare each geometry with data without clusters: {suggest_sweep(n_null=N_NULL)}",
    )


def suggest_geometries(sweep: GeometrySweep, X: Any) -> str:
    """Return how to try other geometries that exist for these data; empty if there are none.

    Parameters
    ----------
    sweep : GeometrySweep
        The only one that was tried.
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data as they were given.
    """
    metric, (n_samples, n_features) = sweep.frame.metric, X.shape
    # Keywords are of one metric and number of features; what stands in for a covariance without inverse is our own.
    if callable(metric) or (sweep.frame.params and not sweep.frame.note):
        return ""
    # Whitening fewer samples than that puts all of them equally far from each other.
    can_whiten = n_samples > n_features + 1 and not is_sparse(X)
    others = {"cosine": n_features > 1, "mahalanobis": n_features > 1 and can_whiten}
    metrics = [metric, *(other for other, exists in others.items() if exists and other != metric)]
    components = next((count for count in _COMPONENTS if count < min(n_features, n_samples - 1)), None)
    changes: dict[str, Any] = {"metric": metrics} if len(metrics) > 1 else {}
    if components is not None and sweep.pca is None:
        changes["pca"] = [None, components]
    return suggest_sweep(**changes) if changes else ""


def explain_failures(outcomes: Sequence[GeometrySweep | FailedSpace]) -> tuple[str, ...]:
    """Say which geometries failed, and why."""
    return tuple(f"{one.name} is left out: {one.reason}" for one in outcomes if isinstance(one, FailedSpace))

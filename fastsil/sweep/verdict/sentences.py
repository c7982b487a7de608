"""The verdict's sentences: the structure, the choice of k and its reasons, what to try next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.report.suggestions import suggest_sweep
from fastsil.report.words import (
    Reading,
    format_counts,
    format_distinguishable,
    format_reading,
    join_words,
    read_score,
    warn_of_many_features,
)
from fastsil.scoring.diagnosis import Finding
from fastsil.sweep.null import NullComparison
from fastsil.sweep.verdict.choice import LEVEL, SCORE_TOLERANCE, has_gaps, is_test, list_good_k, lowest_k, mark_repeats
from fastsil.sweep.verdict.groups import (
    DO_NOT_REPORT,
    GapFindings,
    advise_on_kind,
    advise_on_null,
    explain_choice,
    explain_kind,
    name_kind,
    write_headline,
    write_null_test,
    write_statistics,
)
from fastsil.sweep.verdict.record import Verdict

# Adjusted Rand index of two clusterings from which on they are much the same, and partly so.
_SAME, _ALIKE = 0.8, 0.5

# Findings that say why a mean silhouette is negative, or that it should not be.
_CAUSES_OF_NEGATIVE_MEANS = {"labels_shuffled", "labels_do_not_fit", "unequal_spread"}

# Share of samples with a negative silhouette that clean clusters have at most.
_FEW = 0.01

# Numbers of clusters that a sentence lists at most.
_MOST_NAMED = 4


def judge(
    results: Mapping[str, NDArray[Any]],
    k: int,
    *,
    n_features: int,
    null: NullComparison | None = None,
    findings: Sequence[Finding] = (),
    lowest_findings: Sequence[Finding] = (),
    geometries: Sequence[str] = (),
    other_geometries: str = "",
    gaps: GapFindings | None = None,
    can_change: bool = True,
) -> Verdict:
    """Judge the results of a sweep.

    Parameters
    ----------
    results : mapping of str to ndarray of shape (n_tried,)
        ``sweep_results_`` of a sweep.
    k : int
        The k to judge, as :func:`fastsil.sweep.verdict.choose_k` gives it.
    n_features : int
        Number of features of the data.
    null : NullComparison, optional
        The comparison with data without clusters.
    findings : sequence of Finding
        What a diagnosis of that k found; what merely says how to read the scores (severity ``"note"``), and what the
        comparison says already, is left out.
    lowest_findings : sequence of Finding
        What a diagnosis of :func:`lowest_k` found.
    geometries : sequence of str
        Sentences that compare the geometries, where several were tried.
    other_geometries : str
        How to try others; empty if several were tried, or no other one exists for the data.
    gaps : GapFindings, optional
        What the test of gaps found about that k.
    can_change : bool
        Whether the sweep has the parameters that advice would change.
    """
    at = int(np.flatnonzero(results["n_clusters"] == k)[0])
    score = float(results["silhouette"][at])
    if not np.isfinite(score):
        return Verdict("none", None, False, _say_what_is_missing(results))
    reading = read_score(score)
    compared = is_test(null)
    kind = None if gaps is None else name_kind(gaps.test, null)
    counts = [int(results[name][at]) for name in ("n_negative", "n_zero", "n_positive")]
    structure = _choose_structure(reading, kind, null if compared else None, gaps, counts)
    nothing = structure == "none" and (compared or gaps is not None)
    if gaps is None:
        headline = _headline(structure, k, reading, compared)
        evidence, statistics = _choice(results, at, structure, compared), _comparison(results, at, null)
    else:
        good_k = list_good_k(results, gaps.test) if kind == "groups" else [k]
        headline = write_headline(kind, gaps.test, k, good_k)
        evidence = [*explain_kind(gaps, kind, null), *explain_choice(results, gaps, kind)]
        statistics = write_statistics(gaps, kind, null)
    reasons = [
        *evidence,
        *([format_reading(score, n_features)] if reading.structure == structure and not nothing else []),
        *([format_counts(counts[0], sum(counts))] if counts[0] else []),
        *_fewer_found(results),
        *statistics,
        *_agreement(results, at, nothing=nothing),
        *_negative_means(results, lowest_findings),
        *(f"{finding.severity.capitalize()}: {finding.message}" for finding in _told(findings)),
    ]
    # Where distances are alike, other geometries help; these are suggested, if there are any.
    advice = [finding.advice for finding in _told(findings) if finding.code != "distances_alike"]
    if can_change:
        advice += _advice(results, at, structure, n_features, null, other_geometries, gaps, kind)
    verdict = Verdict(
        structure,
        k,
        compared or gaps is not None,
        headline,
        tuple(filter(None, reasons)),
        tuple(geometries),
        tuple(advice),
        reading,
    )
    if gaps is None:
        return verdict
    return replace(
        verdict,
        kind=kind,
        good_k=tuple(good_k),
        gap_p=gaps.test.p_value,
        gap_depth=gaps.depth,
        separate_pairs=gaps.separate_pairs,
    )


def _say_what_is_missing(results: Mapping[str, NDArray[Any]]) -> str:
    """Return the headline of a sweep without any score."""
    ks = results["n_clusters"][np.isfinite(results["inertia"]) & (results["n_clusters"] > 1)]
    if not len(ks):
        return "Only k = 1 was clustered, which has no silhouette: nothing can be said."
    done = f"k = {ks[0]} is clustered" if len(ks) == 1 else f"{len(ks)} k are clustered, from {ks[0]} to {ks[-1]}"
    return f"No verdict yet: {done}, but not scored."


def _choose_structure(
    reading: Reading, kind: str | None, null: NullComparison | None, gaps: GapFindings | None, counts: Sequence[int]
) -> str:
    """Choose the reading where there is structure, "weak" at least; "none" where a test finds nothing."""
    if gaps is not None and kind != "groups":
        return "none"
    if gaps is None and null is None:
        return reading.structure
    if gaps is None and null is not None and null.p_value > LEVEL:
        return "none"
    if gaps is not None and reading.structure in ("none", "weak") and _are_clean(gaps, counts):
        return "reasonable"
    return "weak" if reading.structure == "none" else reading.structure


def _are_clean(gaps: GapFindings, counts: Sequence[int]) -> bool:
    """Return whether all pairs of clusters are separate, and hardly a sample lies nearer to another cluster."""
    at_k = gaps.at_k
    if at_k is None or not len(at_k.pairs) or gaps.touching:
        return False
    return bool(at_k.separate.all()) and counts[0] <= _FEW * sum(counts)


def _headline(structure: str, k: int, reading: Reading, tested: bool) -> str:
    if not tested and structure == "none":
        return f"By the usual table none of the clusterings shows a substantial structure; k = {k} scores highest."
    if not tested:
        return f"k = {k} scores highest: {reading.words}."
    if structure == "none":
        return "No structure found: data without clusters score as high."
    if structure == "weak":
        return f"There is structure, though a weak one: k = {k}."
    return f"There is {reading.words}: k = {k}."


def _comparison(results: Mapping[str, NDArray[Any]], at: int, null: NullComparison | None) -> list[str]:
    """Describe the height of scores of data without clusters."""
    if null is None or not np.isfinite(null.p_value):
        return ["Whether data without clusters would score as high was not tested."]
    if not is_test(null):
        return [f"{null.n_null} sets without clusters are too few for a test at 5 %."]
    k, mean = results["n_clusters"][at], float(results["null_mean"][at])
    numbers = (
        f"Random sets that spread like the data, without clusters, have a mean silhouette of {mean:.3f} at k = {k}."
    )
    if null.p_value <= LEVEL:
        return [numbers, *_which_shows(null)]
    return [
        numbers,
        f"Over all k, and with inertia and shape, such sets often reach the data (p = {null.p_value:.2f}; the usual "
        "limit is 0.05).",
    ]


def _which_shows(null: NullComparison) -> list[str]:
    """Name the measures by which the data stand out."""
    p_values = {"silhouette": null.p_silhouette, "inertia": null.p_inertia, "shape": null.p_mixture}
    showing = [f"the {name}" for name, p_value in p_values.items() if p_value <= LEVEL]
    if len(showing) == len(p_values):
        alone = "each shows it alone too"
    elif showing:
        alone = f"alone, only {join_words(showing)} {'shows' if len(showing) == 1 else 'show'} it"
    else:
        alone = "none shows it alone"
    return [write_null_test(null), f"This takes silhouette, inertia and shape together; {alone}."]


def _choice(results: Mapping[str, NDArray[Any]], at: int, structure: str, tested: bool) -> list[str]:
    """Explain the choice of k, and the case for others."""
    ks, scores, macro = results["n_clusters"], results["silhouette"], results["macro_silhouette"]
    score, best = float(scores[at]), int(np.nanargmax(scores))
    if tested and structure == "none":
        return [DO_NOT_REPORT, f"The highest mean silhouette is {scores[best]:.3f}, at k = {ks[best]}."]
    chosen = f"The choice is k = {ks[at]}, with the highest mean silhouette: {score:.3f}."
    if at != best:
        higher, lower = format_distinguishable(float(scores[best]), score)
        there, here = format_distinguishable(float(results["null_mean"][best]), float(results["null_mean"][at]))
        chosen = (
            f"The choice is k = {ks[at]}, which is furthest above data without clusters. k = {ks[best]} scores "
            f"higher ({higher}, not {lower}), but there data without clusters do so too ({there}, not {here})."
        )
    near = [f"{k}" for k in ks[(np.abs(scores - score) < SCORE_TOLERANCE) & ~mark_repeats(results)] if k != ks[at]]
    macro_best = int(np.nanargmax(macro))
    also = []
    if near:
        also.append(f"k = {join_words(near)} {'scores' if len(near) == 1 else 'score'} within {SCORE_TOLERANCE} of it.")
    if macro[macro_best] - macro[at] >= SCORE_TOLERANCE:
        also.append(f"The mean of the clusters' means is highest at k = {ks[macro_best]}.")
    return [" ".join([chosen, *also])]


def _fewer_found(results: Mapping[str, NDArray[Any]]) -> list[str]:
    """Say for which k fewer clusters were found."""
    ks = results["n_clusters"]
    found = results.get("n_found", ks)
    fewer = (found > 0) & (found < ks)
    if not fewer.any():
        return []
    where = join_words([f"{k}" for k in ks[fewer]]) if fewer.sum() <= _MOST_NAMED else f"{ks[fewer].min()} and more"
    counts = join_words([f"{n}" for n in np.unique(found[fewer])])
    return [f"For k = {where} only {counts} clusters were found; the data hardly have more distinct samples."]


def _agreement(results: Mapping[str, NDArray[Any]], at: int, *, nothing: bool) -> list[str]:
    """Describe how much the clusters depend on the sample, if that was measured."""
    mean = float(results["stability"][at]) if "stability" in results else np.nan
    if not np.isfinite(mean):
        return []
    words = "much the same" if mean >= _SAME else "partly the same" if mean >= _ALIKE else "different"
    spread = float(results["stability_std"][at])
    by_shape = " The shape of the data can do that without clusters." if nothing and mean >= _ALIKE else ""
    return [
        f"Two random parts of the data, clustered separately, give {words} clusters: adjusted Rand index {mean:.2f} ± "
        f"{spread:.2f}, where 1 is the same and 0 is chance.{by_shape}"
    ]


def _negative_means(results: Mapping[str, NDArray[Any]], findings: Sequence[Finding]) -> list[str]:
    """Explain whether a negative mean is an error."""
    lowest = lowest_k(results)
    if lowest is None:
        return []
    ks = results["n_clusters"][results["silhouette"] < 0]
    where = (
        f"k = {join_words([f'{k}' for k in ks])}"
        if len(ks) <= _MOST_NAMED
        else f"{len(ks)} of {len(results['n_clusters'])} k"
    )
    causes = [finding.message for finding in findings if finding.code in _CAUSES_OF_NEGATIVE_MEANS]
    words = f"The mean silhouette is negative at {where}."
    return [f"{words} Of the lowest, k = {lowest}: {causes[0]}" if causes else words]


def _told(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity != "note" and finding.code != "no_structure"]


def _advice(
    results: Mapping[str, NDArray[Any]],
    at: int,
    structure: str,
    n_features: int,
    null: NullComparison | None,
    other_geometries: str,
    gaps: GapFindings | None,
    kind: str | None,
) -> list[str]:
    nothing_tested = gaps is None and is_test(null) and structure == "none"
    advice = []
    if gaps is not None:
        advice += advise_on_kind(kind, gaps, null)
    elif not is_test(null):
        words = (
            "A low score may be a weak structure or none, and a high one can come from the shape of the data alone. "
            "Compare with data without clusters"
        )
        advice += advise_on_null(null, words)
    if not nothing_tested and kind not in ("cloud", "continuum"):
        advice.append(_advise_larger(results, at))
    across = kind == "groups" and gaps is not None and not has_gaps(gaps.test)
    if structure in ("none", "weak") or across:
        if other_geometries:
            advice.append(f"See whether clusters stand out more in another geometry: {other_geometries}")
        advice.append(warn_of_many_features(float(results["silhouette"][at]), n_features))
    if nothing_tested:
        advice.append("Try other features, or a method for clusters that are not round (HDBSCAN).")
    return [sentence for sentence in advice if sentence]


def _advise_larger(results: Mapping[str, NDArray[Any]], at: int) -> str:
    """Advise to try larger k, if the chosen one is the largest and there are larger ones."""
    ks = results["n_clusters"]
    n_samples = int(sum(results[name][at] for name in ("n_negative", "n_zero", "n_positive")))
    k, step = int(ks[at]), int(np.diff(ks[-2:]).sum())
    larger = range(k, min(2 * k, n_samples - 1) + 1, max(step, 1))
    if len(ks) < 2 or at < len(ks) - 1 or len(larger) < 2:
        return ""
    return f"k = {k} is the largest that was tried. Try larger ones: {suggest_sweep(n_clusters=larger)}"

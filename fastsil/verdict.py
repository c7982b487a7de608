"""What a sweep amounts to: is there structure, which k shows it best, why, and what to try next.

Two measures are kept apart. Kaufman and Rousseeuw's table reads the height of a mean silhouette; it was made for few
features, and k-means reaches some height in anything. The comparison with data without clusters tells whether there is
structure at all, and at which k the data rise above them. Only that comparison may say that there is none.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastsil.diagnosis import Finding
from fastsil.report import Reading, count_sentence, many_features_sentence, reading_of, score_sentence

# The usual level of a test.
_LEVEL = 0.05

# Scores that differ by less are called equally good: restarts of k-means move a mean silhouette this much.
_NEAR = 0.005

# Adjusted Rand index of two clusterings from which on they are much the same, and partly so.
_SAME, _ALIKE = 0.8, 0.5

# Findings that say why a mean silhouette is negative, or that it should not be.
_CAUSES_OF_NEGATIVE_MEANS = {"labels_shuffled", "labels_do_not_fit", "unequal_spread"}

# Numbers of clusters that a sentence lists at most.
_MOST_NAMED = 4


class NullTest(Protocol):
    """What is asked of a comparison with data without clusters; :class:`fastsil.null.NullComparison` has it."""

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
    def gap_k(self) -> int: ...


@dataclass(frozen=True)
class Verdict:
    """What a sweep amounts to, in plain words; ``str()`` gives all of them.

    Attributes
    ----------
    structure : str
        ``"none"``, ``"weak"``, ``"reasonable"`` or ``"strong"``. If the data were compared with data without clusters:
        ``"none"`` if they do not rise above them, else the usual reading of the mean silhouette of ``k``, ``"weak"`` at
        least. Without a comparison it is that reading alone, and ``tested`` is False.
    k : int or None
        The chosen number of clusters: where the data rise furthest above data without clusters, or, without a
        comparison, where they score highest. None if the comparison found no structure, or if nothing was scored.
    tested : bool
        Whether the data were compared with enough sets without clusters for a test at 5 %.
    headline : str
        The answer in a sentence.
    reasons : tuple of str
        Sentences with the numbers behind it.
    advice : tuple of str
        Sentences: what to try next.
    reading : Reading or None
        The usual reading of the mean silhouette, whatever the comparison says; None if there is none.

    Examples
    --------
    >>> import numpy as np
    >>> from fastsil import KMeansSweep
    >>> noise = np.random.default_rng(3).normal(size=(120, 2)) * [5, 1]
    >>> verdict = KMeansSweep(range(2, 6), n_null=19, random_state=0).fit(noise).verdict_
    >>> verdict.structure, verdict.k, verdict.headline
    ('none', None, 'No structure found: data without clusters score as high.')
    """

    structure: str
    k: int | None
    tested: bool
    headline: str
    reasons: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    reading: Reading | None = None

    def __str__(self) -> str:
        lines = [self.headline, "", *_bullets(self.reasons)]
        if self.advice:
            lines += ["", "What to try next:", *_bullets(self.advice)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        next_steps = f"<p>What to try next:</p>{_html_list(self.advice)}" if self.advice else ""
        return f"<div><p><b>{html.escape(self.headline)}</b></p>{_html_list(self.reasons)}{next_steps}</div>"


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
    if null is None or not _is_test(null) or null.p_value > _LEVEL:
        return int(ks[np.nanargmax(scores)])
    # The scores of all samples, not of those drawn for the comparison: they depend less on luck.
    above = np.nan_to_num(scores - results["null_mean"], nan=-np.inf)
    return int(ks[np.nanargmax(np.where(above >= above.max() - _NEAR, scores, np.nan))])


def lowest_k(results: Mapping[str, NDArray[Any]]) -> int | None:
    """The k of the lowest mean silhouette, if that is negative: who sees it asks whether something is broken."""
    scores = results["silhouette"]
    if not (scores < 0).any():
        return None
    return int(results["n_clusters"][np.nanargmin(scores)])


def judge(
    results: Mapping[str, NDArray[Any]],
    k: int,
    *,
    n_features: int,
    null: NullTest | None = None,
    findings: Sequence[Finding] = (),
    lowest_findings: Sequence[Finding] = (),
) -> Verdict:
    """Put together what a sweep found.

    Parameters
    ----------
    results : mapping of str to ndarray of shape (n_tried,)
        ``sweep_results_`` of a sweep.
    k : int
        The k to judge, as :func:`choose_k` gives it.
    n_features : int
        Number of features of the data.
    null : NullTest, optional
        The comparison with data without clusters.
    findings : sequence of Finding
        What a diagnosis of that k found; what merely says how to read the scores (severity ``"note"``), and what the
        comparison says already, is left out.
    lowest_findings : sequence of Finding
        What a diagnosis of :func:`lowest_k` found.
    """
    at = int(np.flatnonzero(results["n_clusters"] == k)[0])
    score = float(results["silhouette"][at])
    if not np.isfinite(score):
        return Verdict(
            "none", None, False, f"Only k = {k} was clustered, which has no silhouette: nothing can be said."
        )
    tested = null is not None and _is_test(null)
    reading = reading_of(score)
    structure = _structure(reading, null.p_value if null is not None and tested else np.nan)
    found = structure != "none" or not tested
    reasons = [
        *_comparison(results, at, null),
        *_choice(results, at, structure, tested),
        score_sentence(score),
        *_counts(results, at),
        *_agreement(results, at, nothing=tested and structure == "none"),
        *_negative_means(results, lowest_findings),
        *(f"{finding.severity.capitalize()}: {finding.message}" for finding in _told(findings)),
    ]
    return Verdict(
        structure,
        k if found else None,
        tested,
        _headline(structure, k, reading, tested),
        tuple(reason for reason in reasons if reason),
        tuple(_advice(results, at, structure, n_features, null, findings)),
        reading,
    )


def _is_test(null: NullTest | None) -> bool:
    return null is not None and np.isfinite(null.p_value) and 1 / (null.n_null + 1) <= _LEVEL


def _structure(reading: Reading, p_value: float) -> str:
    if np.isfinite(p_value) and p_value > _LEVEL:
        return "none"
    if np.isfinite(p_value) and reading.structure == "none":
        return "weak"
    return reading.structure


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


def _comparison(results: Mapping[str, NDArray[Any]], at: int, null: NullTest | None) -> list[str]:
    """How high data without clusters score."""
    if null is None or not np.isfinite(null.p_value):
        return ["Whether data without clusters would score as high was not tested."]
    if not _is_test(null):
        return [f"{null.n_null} sets without clusters are too few for a test at 5 %."]
    score, mean, spread = (float(results[name][at]) for name in ("null_score", "null_mean", "null_std"))
    numbers = (
        f"At k = {results['n_clusters'][at]} the data have a mean silhouette of {score:.3f}, and {null.n_null} random "
        f"sets that spread like them but have no clusters {mean:.3f} ± {spread:.3f} ({null.n_samples:,} samples each)."
    )
    if null.p_value <= _LEVEL:
        return [f"{numbers} {_which_shows(null)}"]
    return [
        f"{numbers} Over every k, and with the inertia, such sets often come as far (p = {null.p_value:.2f}, where "
        "0.05 is the usual limit)."
    ]


def _which_shows(null: NullTest) -> str:
    """By which of the two measures the data stand out."""
    alone = {
        (True, True): "each shows it alone",
        (True, False): "the silhouette shows it alone, the inertia does not",
        (False, True): "the inertia shows it alone, the silhouette does not",
        (False, False): "neither would show it alone",
    }[null.p_silhouette <= _LEVEL, null.p_inertia <= _LEVEL]
    return (
        "Silhouette and inertia together are further out than chance brings such sets "
        f"(p = {null.p_value:.3f}, one test for every k); {alone}."
    )


def _choice(results: Mapping[str, NDArray[Any]], at: int, structure: str, tested: bool) -> list[str]:
    """Why this k, and what speaks for others."""
    ks, scores, macro = results["n_clusters"], results["silhouette"], results["macro_silhouette"]
    score, best = float(scores[at]), int(np.nanargmax(scores))
    if tested and structure == "none":
        return [f"The highest mean silhouette is {scores[best]:.3f}, at k = {ks[best]}."]
    chosen = f"The choice is k = {ks[at]}, with the highest mean silhouette: {score:.3f}."
    if at != best:
        chosen = (
            f"The choice is k = {ks[at]}, which is furthest above data without clusters. k = {ks[best]} scores "
            f"higher ({scores[best]:.3f}, not {score:.3f}), but there data without clusters do so too "
            f"({results['null_mean'][best]:.3f})."
        )
    near = [f"{k}" for k in ks[np.abs(scores - score) < _NEAR] if k != ks[at]]
    macro_best = int(np.nanargmax(macro))
    also = []
    if near:
        also.append(f"k = {_enumerated(near)} {'scores' if len(near) == 1 else 'score'} within {_NEAR} of it.")
    if macro[macro_best] - macro[at] >= _NEAR:
        also.append(f"With every cluster counted alike (macro mean) k = {ks[macro_best]} is ahead.")
    return [" ".join([chosen, *also])]


def _counts(results: Mapping[str, NDArray[Any]], at: int) -> list[str]:
    negative, *others = (int(results[name][at]) for name in ("n_negative", "n_zero", "n_positive"))
    return [count_sentence(negative, negative + sum(others))]


def _agreement(results: Mapping[str, NDArray[Any]], at: int, *, nothing: bool) -> list[str]:
    """How much the clusters depend on which samples there are, if that is known."""
    mean = float(results["stability"][at]) if "stability" in results else np.nan
    if not np.isfinite(mean):
        return []
    words = "much the same" if mean >= _SAME else "partly the same" if mean >= _ALIKE else "other"
    spread = float(results["stability_std"][at])
    by_shape = " The shape of the data can do that without clusters." if nothing and mean >= _ALIKE else ""
    return [
        f"Two random parts of the data, clustered apart, give {words} clusters: adjusted Rand index {mean:.2f} ± "
        f"{spread:.2f}, where 1 is the same and 0 is chance.{by_shape}"
    ]


def _negative_means(results: Mapping[str, NDArray[Any]], findings: Sequence[Finding]) -> list[str]:
    """Whether a negative mean is an error."""
    lowest = lowest_k(results)
    if lowest is None:
        return []
    ks = results["n_clusters"][results["silhouette"] < 0]
    where = (
        f"k = {_enumerated([f'{k}' for k in ks])}"
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
    null: NullTest | None,
    findings: Sequence[Finding],
) -> list[str]:
    ks, tested = results["n_clusters"], _is_test(null)
    advice = [finding.advice for finding in _told(findings)]
    if tested and structure == "none":
        return [
            *advice,
            "Do not read these clusters as groups that exist: k-means divides anything.",
            "Try another geometry (metric='cosine' or 'mahalanobis'), fewer features (PCA), other features, or a "
            "method for clusters that are not round (HDBSCAN).",
        ]
    if not tested:
        advice.append(
            "Compare with data without clusters (n_null=39; --n-null 39): a low score cannot tell a weak structure "
            "from none, and a high one can come from the shape of the data alone."
        )
    if at == len(ks) - 1 and len(ks) > 1:
        advice.append(f"k = {ks[at]} is the largest that was tried: try larger ones.")
    if structure in ("none", "weak"):
        advice.append(
            "See whether clusters stand out more in another geometry (metric='cosine' or 'mahalanobis') or with fewer "
            "features (PCA), each beside null sets of its own."
        )
        advice.append(many_features_sentence(float(results["silhouette"][at]), n_features))
    return [sentence for sentence in advice if sentence]


def _enumerated(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _bullets(sentences: Sequence[str]) -> list[str]:
    return [
        textwrap.fill(sentence, 92, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
        for sentence in sentences
    ]


def _html_list(sentences: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences) + "</ul>"

"""Results in words: the usual reading of a mean silhouette, cells of tables, sentences.

Knows plain records and arrays only; who prints them, and where, is not its business.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Scores that differ by less are shown as equally good: restarts of k-means move a mean silhouette this much.
_LEVEL = 0.05
_NEAR = 0.005

# From about this number of features on, distances differ so little that even clear groups score low.
_MANY_FEATURES = 20


@dataclass(frozen=True)
class Reading:
    """What a mean silhouette usually means.

    Attributes
    ----------
    structure : str
        ``"strong"``, ``"reasonable"``, ``"weak"`` or ``"none"``.
    words : str
        The same as part of a sentence.
    bounds : str
        The scores that are read so.
    """

    structure: str
    words: str
    bounds: str


# L. Kaufman and P. J. Rousseeuw (1990), Finding Groups in Data, Wiley, table 4 of chapter 2: the score that
# a reading begins above.
_READINGS = (
    (0.70, Reading("strong", "a strong structure", "above 0.70")),
    (0.50, Reading("reasonable", "a reasonable structure", "0.51 to 0.70")),
    (0.25, Reading("weak", "a weak structure that could be artificial", "0.26 to 0.50")),
    (-np.inf, Reading("none", "no substantial structure", "0.25 or less")),
)


def reading_of(score: float) -> Reading:
    """Reading of a mean silhouette by Kaufman and Rousseeuw's table.

    Parameters
    ----------
    score : float
        Mean silhouette, -1 to 1.

    Examples
    --------
    >>> reading_of(0.62).words
    'a reasonable structure'
    """
    # Compared as it is shown: 0.704 is shown as 0.70, which is not above 0.70.
    shown = round(score, 2)
    return next(reading for above, reading in _READINGS if shown > above)


def readings() -> tuple[Reading, ...]:
    """Kaufman and Rousseeuw's table, the strongest structure first."""
    return tuple(reading for _, reading in _READINGS)


@dataclass(frozen=True)
class Column:
    """A column of a table for reading.

    Attributes
    ----------
    title : str
        Its heading.
    cells : tuple of str
        One for each row.
    """

    title: str
    cells: tuple[str, ...]


def sweep_columns(results: Mapping[str, NDArray[Any]]) -> list[Column]:
    """Columns for reading of a sweep's results.

    Parameters
    ----------
    results : mapping of str to ndarray of shape (n_tried,)
        ``sweep_results_`` of a sweep, or a part of its rows.
    """
    seconds = np.nansum([results["fit_seconds"], results["score_seconds"]], axis=0)
    scored = np.isfinite(results["silhouette"])
    return [
        Column("k", tuple(f"{k}" for k in results["n_clusters"])),
        Column("inertia", tuple(map(_number, results["inertia"]))),
        Column("mean silhouette", tuple(map(_score, results["silhouette"]))),
        Column("macro mean", tuple(map(_score, results["macro_silhouette"]))),
        Column("negative", tuple(map(_count, results["n_negative"], scored))),
        Column("zero", tuple(map(_count, results["n_zero"], scored))),
        Column("positive", tuple(map(_count, results["n_positive"], scored))),
        *_null_columns(results),
        Column("seconds", tuple(f"{value:.2f}" for value in seconds)),
    ]


def _null_columns(results: Mapping[str, NDArray[Any]]) -> list[Column]:
    """How high data without clusters score, if that is known."""
    if not np.isfinite(results.get("null_mean", np.nan)).any():
        return []
    z = tuple(f"{value:+.1f}" if np.isfinite(value) else "-" for value in results["null_z"])
    return [Column("null mean", tuple(map(_score, results["null_mean"]))), Column("null z", z)]


def cluster_columns(clusters: Any) -> list[Column]:
    """Columns for reading of a table of clusters (attributes as :class:`fastsil.profile.ClusterTable` has)."""
    everywhere = np.ones(len(clusters.size), dtype=bool)
    return [
        Column("cluster", tuple(f"{label}" for label in clusters.label)),
        Column("samples", tuple(map(_count, clusters.size, everywhere))),
        Column("mean silhouette", tuple(map(_score, clusters.silhouette))),
        Column("negative", tuple(map(_count, clusters.negative, everywhere))),
        Column("mean a", tuple(map(_number, clusters.a))),
        Column("mean b", tuple(map(_number, clusters.b))),
        Column("nearest other", tuple(f"{label}" for label in clusters.neighbor)),
    ]


def html_table(columns: Sequence[Column]) -> str:
    """Columns as a table of HTML; whatever the cells hold shows as text.

    Examples
    --------
    >>> html_table([Column("k", ("2", "<b>"))])
    '<table><tr><th>k</th></tr><tr><td>2</td></tr><tr><td>&lt;b&gt;</td></tr></table>'
    """
    head = "".join(f"<th>{html.escape(column.title)}</th>" for column in columns)
    rows = zip(*(column.cells for column in columns), strict=True)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def sweep_headline(results: Mapping[str, NDArray[Any]], *, best_k: int) -> str:
    """What a sweep says, in one short sentence.

    Parameters
    ----------
    results : mapping of str to ndarray of shape (n_tried,)
        ``sweep_results_`` of a sweep.
    best_k : int
        The k of the highest mean silhouette.

    Examples
    --------
    >>> sweep_headline({"n_clusters": np.array([2, 3]), "silhouette": np.array([0.5, 0.8])}, best_k=3)
    'k = 3 scores highest: a strong structure.'
    """
    score = float(results["silhouette"][results["n_clusters"] == best_k][0])
    if not np.isfinite(score):
        return f"Only k = {best_k} was clustered, which has no silhouette."
    reading = reading_of(score)
    if reading.structure == "none":
        return f"By the usual table none of the clusterings shows a substantial structure; k = {best_k} scores highest."
    return f"k = {best_k} scores highest: {reading.words}."


def sweep_sentences(results: Mapping[str, NDArray[Any]], *, best_k: int, n_features: int) -> list[str]:
    """What a sweep says, in plain sentences: which k, how good that is, and what speaks against it.

    Parameters
    ----------
    results : mapping of str to ndarray of shape (n_tried,)
        ``sweep_results_`` of a sweep.
    best_k : int
        The k of the highest mean silhouette.
    n_features : int
        Number of features of the data.
    """
    ks, scores = results["n_clusters"], results["silhouette"]
    best = int(np.flatnonzero(ks == best_k)[0])
    if not np.isfinite(scores[best]):
        return [f"k = {best_k} alone was tried, and a silhouette needs two clusters: nothing can be said about k."]
    score = float(scores[best])
    answer = f"The choice is k = {best_k}, with the highest mean silhouette: {score:.3f}."
    sentences = [answer, score_sentence(score), *_caveats(results, best, n_features)]
    counts = [int(results[name][best]) for name in ("n_negative", "n_zero", "n_positive")]
    return [*sentences, count_sentence(counts[0], sum(counts))]


def null_sentences(p_value: float, *, n_null: int, n_samples: int, gap_k: int) -> list[str]:
    """Whether data without clusters score as high, and what the gap statistic would choose.

    Parameters
    ----------
    p_value : float
        Of one test for all k.
    n_null, n_samples : int
        Number of null sets, and samples of each.
    gap_k : int
        Choice by the gap statistic.
    """
    if not np.isfinite(p_value):
        return []
    sets = f"{n_null} sets of {n_samples:,} samples with the data's mean and covariance but no clusters"
    if p_value <= _LEVEL:
        answer = f"There is structure: the data score higher than {sets} (p = {p_value:.3f})."
    elif 1 / (n_null + 1) > _LEVEL:
        answer = f"{n_null} sets without clusters are too few for a test at 5 %; take 19 or more."
    else:
        answer = f"No structure found: {sets} score as high (p = {p_value:.2f})."
    return [answer, f"By the gap statistic k = {gap_k}."]


def score_sentence(score: float) -> str:
    """How good a mean silhouette is, by the usual table."""
    reading = reading_of(score)
    return f"By Kaufman and Rousseeuw's table that is {reading.words} ({reading.bounds})."


def count_sentence(n_negative: int, n_samples: int) -> str:
    """How many samples lie nearer to another cluster."""
    share = f"{n_negative / n_samples:.1%}"
    return (
        f"{n_negative:,} of {n_samples:,} samples ({share}) lie nearer, on average, to another cluster than their own."
    )


def many_features_sentence(score: float, n_features: int) -> str:
    """A warning against reading a low score too strictly; empty where it does not apply."""
    if score > 0.5 or n_features < _MANY_FEATURES:
        return ""
    return (
        f"With {n_features:,} features distances differ little, so that even real groups can score low: compare the k "
        "with each other more than with that table."
    )


def _caveats(results: Mapping[str, NDArray[Any]], best: int, n_features: int) -> list[str]:
    ks, scores, macro = results["n_clusters"], results["silhouette"], results["macro_silhouette"]
    near = [f"{k}" for k in ks[np.abs(scores - scores[best]) < _NEAR] if k != ks[best]]
    macro_best = int(np.nanargmax(macro))
    caveats = [many_features_sentence(float(scores[best]), n_features)]
    if near:
        scored = "scores" if len(near) == 1 else "score"
        caveats.append(f"k = {_enumerated(near)} {scored} within {_NEAR} of it, too near to choose by.")
    if macro[macro_best] - macro[best] >= _NEAR:
        caveats.append(f"With every cluster counted alike (macro mean) k = {ks[macro_best]} is ahead.")
    if len(ks) > 1 and best == len(ks) - 1:
        caveats.append("It is the largest k that was tried; larger ones may score higher.")
    return [caveat for caveat in caveats if caveat]


def _enumerated(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _number(value: float) -> str:
    """Four digits, or all digits before the point."""
    if not np.isfinite(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _score(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else "-"


def _count(value: int, known: bool) -> str:
    return f"{value:,}" if known else "-"

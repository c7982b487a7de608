"""The verdict on a sweep, as a record that prints itself."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastsil.report.words import Reading


@dataclass(frozen=True)
class Verdict:
    """The verdict on a sweep, in plain words; ``str()`` gives all of them.

    Attributes
    ----------
    structure : str
        ``"none"`` if there are no separate groups. Otherwise the usual reading of the mean silhouette of ``k``:
        ``"weak"`` (the least), ``"reasonable"`` (the least where all clusters are separate and hardly a silhouette is
        negative) or ``"strong"``. Without the test of gaps: ``"none"`` if the data score no higher than data without
        clusters. Without both tests the reading alone, which may be ``"none"``; ``tested`` is then False.
    k : int or None
        The chosen number of clusters. Where there are no separate groups, the one that scores highest: its clusters are
        segments. None if nothing was scored.
    tested : bool
        Whether gaps were looked for, or the data compared with enough sets without clusters for a test at 5 %.
    headline : str
        The answer in a sentence.
    reasons : tuple of str
        Sentences with the numbers behind it.
    geometries : tuple of str
        Sentences that compare the geometries, if there were several: which shows more, and by how much.
    advice : tuple of str
        Sentences: what to try next.
    reading : Reading or None
        The usual reading of the mean silhouette, whatever the tests say; None if there is none.
    kind : str or None
        ``"groups"``: separate groups. ``"cloud"``: like one Gaussian cloud. ``"continuum"``: not one Gaussian cloud,
        but without gaps. None if gaps were not looked for, or if there are none and nothing was compared with a cloud.
    good_k : tuple of int
        Where there are separate groups: all k that do equally well, often a single one.
    gap_p : float
        P-value of the test of gaps, one test for every k; NaN without.
    gap_depth : float
        Density midway between neighboring centers of k, as a share of the density near them; NaN if unknown.
    separate_pairs : tuple of pairs
        Labels of the clusters of k that are separated by a gap, pair by pair.

    Examples
    --------
    >>> import numpy as np
    >>> from fastsil import KMeansSweep
    >>> noise = np.random.default_rng(3).normal(size=(120, 2)) * [5, 1]
    >>> verdict = KMeansSweep(range(2, 6), n_null=19, random_state=0).fit(noise).verdict_
    >>> verdict.structure, verdict.kind, verdict.headline
    ('none', 'cloud', 'No groups found: the data look like one random cloud.')
    """

    structure: str
    k: int | None
    tested: bool
    headline: str
    reasons: tuple[str, ...] = ()
    geometries: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    reading: Reading | None = None
    kind: str | None = None
    good_k: tuple[int, ...] = ()
    gap_p: float = float("nan")
    gap_depth: float = float("nan")
    separate_pairs: tuple[tuple[Any, Any], ...] = ()

    def __str__(self) -> str:
        lines = [self.headline, "", *_bullets(self.reasons)]
        for title, sentences in self.lists():
            lines += ["", title, *_bullets(sentences)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        more = "".join(f"<p>{title}</p>{_html_list(sentences)}" for title, sentences in self.lists())
        return f"<div><p><b>{html.escape(self.headline)}</b></p>{_html_list(self.reasons)}{more}</div>"

    def lists(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return the lists below the reasons: titles with their sentences."""
        lists = (("Would another geometry help?", self.geometries), ("What to try next:", self.advice))
        return [(title, sentences) for title, sentences in lists if sentences]


def _bullets(sentences: Sequence[str]) -> list[str]:
    return [
        textwrap.fill(sentence, 92, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
        for sentence in sentences
    ]


def _html_list(sentences: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences) + "</ul>"

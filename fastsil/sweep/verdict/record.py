"""What a sweep amounts to, as a record that prints itself."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from fastsil.report.words import Reading


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
    geometries : tuple of str
        Sentences that compare the geometries, if there were several: which shows more, and by how much.
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
    geometries: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    reading: Reading | None = None

    def __str__(self) -> str:
        lines = [self.headline, "", *_bullets(self.reasons)]
        for title, sentences in self.lists():
            lines += ["", title, *_bullets(sentences)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        more = "".join(f"<p>{title}</p>{_html_list(sentences)}" for title, sentences in self.lists())
        return f"<div><p><b>{html.escape(self.headline)}</b></p>{_html_list(self.reasons)}{more}</div>"

    def lists(self) -> list[tuple[str, tuple[str, ...]]]:
        """What stands below the reasons: titles with their sentences."""
        lists = (("Would another geometry help?", self.geometries), ("What to try next:", self.advice))
        return [(title, sentences) for title, sentences in lists if sentences]


def _bullets(sentences: Sequence[str]) -> list[str]:
    return [
        textwrap.fill(sentence, 92, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
        for sentence in sentences
    ]


def _html_list(sentences: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(sentence)}</li>" for sentence in sentences) + "</ul>"

"""Findings of a diagnosis as records, as text for a terminal, and as HTML in which all text is escaped."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

# Worst first.
SEVERITIES = ("fault", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes
    ----------
    code : str
        Its name, for programs.
    severity : str
        ``"fault"`` (something is broken), ``"warning"`` (the scores mean less than they seem to) or ``"note"``
        (how to read them).
    message : str
        The finding, with its numbers.
    advice : str
        One sentence: what to do.
    numbers : mapping of str to float
        The numbers by name, without units unless the message names one.
    clusters : tuple
        Labels of the clusters that it is about; empty if it is about all.
    """

    code: str
    severity: str
    message: str
    advice: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    clusters: tuple[Any, ...] = ()

    def __str__(self) -> str:
        body = [*textwrap.wrap(self.message, 90), *textwrap.wrap(f"-> {self.advice}", 90, subsequent_indent="   ")]
        return "\n".join([f"{self.severity.upper()}  {self.code}", *(f"  {line}" for line in body)])


@dataclass(frozen=True)
class Diagnosis:
    """Findings, worst first, and which checks were made.

    Attributes
    ----------
    findings : tuple of Finding
        The findings.
    checked, not_checked : tuple of str
        Codes that were looked for, and those for which the evidence was missing.

    Examples
    --------
    >>> from fastsil import silhouette_profile
    >>> X, labels = [[0.0], [1.0], [7.0], [6.0], [5.0]], [0, 0, 1, 1, -1]
    >>> silhouette_profile(X, labels).diagnose().codes
    ('noise_label', 'singletons', 'means_disagree')
    """

    findings: tuple[Finding, ...]
    checked: tuple[str, ...]
    not_checked: tuple[str, ...]

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of the findings."""
        return tuple(finding.code for finding in self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __str__(self) -> str:
        parts = [self._headline(), *map(str, self.findings)]
        if self.not_checked:
            parts.append("\n".join(textwrap.wrap(self._left_out(), 92)))
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        rows = "".join(
            "<tr>" + "".join(f"<td style='text-align:left;vertical-align:top'>{cell}</td>" for cell in cells) + "</tr>"
            for cells in map(_make_cells, self.findings)
        )
        table = f"<table>{rows}</table>" if rows else ""
        left_out = f"<p><small>{html.escape(self._left_out())}</small></p>" if self.not_checked else ""
        return f"<div><p><b>{html.escape(self._headline())}</b></p>{table}{left_out}</div>"

    def _headline(self) -> str:
        found = len(self.findings)
        what = "Nothing found" if not found else "1 finding" if found == 1 else f"{found} findings"
        return f"{what} in {len(self.checked)} checks."

    def _left_out(self) -> str:
        return f"Not checked, for lack of data or of a null reference: {', '.join(self.not_checked)}."


def _make_cells(finding: Finding) -> tuple[str, str]:
    words = f"{html.escape(finding.message)}<br><i>{html.escape(finding.advice)}</i>"
    return f"<b>{html.escape(finding.severity)}</b><br><code>{html.escape(finding.code)}</code>", words

"""Sentences about scores and counts, and Kaufman and Rousseeuw's reading of a mean silhouette."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# From about this number of features on, distances differ so little that even clear groups score low.
_MANY_FEATURES = 20


@dataclass(frozen=True)
class Reading:
    """The usual meaning of a range of mean silhouettes.

    Attributes
    ----------
    structure : str
        ``"strong"``, ``"reasonable"``, ``"weak"`` or ``"none"``.
    words : str
        The reading as part of a sentence.
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
    (0.50, Reading("reasonable", "a reasonable structure", "above 0.50, up to 0.70")),
    (0.25, Reading("weak", "a weak structure that could be artificial", "above 0.25, up to 0.50")),
    (-np.inf, Reading("none", "no substantial structure", "0.25 or less")),
)


def read_score(score: float) -> Reading:
    """Return the reading of a mean silhouette by Kaufman and Rousseeuw's table.

    Parameters
    ----------
    score : float
        Mean silhouette, -1 to 1.

    Examples
    --------
    >>> read_score(0.62).words
    'a reasonable structure'
    """
    # Rounding of the computation makes no difference.
    shown = round(score, 6)
    return next(reading for above, reading in _READINGS if shown > above)


def readings() -> tuple[Reading, ...]:
    """Return Kaufman and Rousseeuw's table, the strongest structure first."""
    return tuple(reading for _, reading in _READINGS)


def format_score(score: float) -> str:
    """Describe a mean silhouette by the usual table."""
    reading = read_score(score)
    # Scores are shown with three or four digits, which could be a bound where the score is not.
    near = any(read_score(round(score, digits)) != reading for digits in (3, 4))
    shown = f"{round(score, 6):g}" if near else "that"
    return f"By Kaufman and Rousseeuw's table {shown} is {reading.words} ({reading.bounds})."


def format_reading(score: float, n_features: int) -> str:
    """Describe a mean silhouette by the usual table, where that informs: it misleads in many features."""
    return "" if score <= 0.5 and n_features >= _MANY_FEATURES else format_score(score)


def format_counts(n_negative: int, n_samples: int) -> str:
    """Describe the number of samples that lie nearer to another cluster."""
    if n_negative == 0:
        return "No sample lies nearer, on average, to another cluster than its own."
    verb, own = ("lies", "its") if n_negative == 1 else ("lie", "their")
    return (
        f"{n_negative:,} of {count(n_samples, 'sample')} ({n_negative / n_samples:.1%}) {verb} nearer, on average, to "
        f"another cluster than {own} own."
    )


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, in the plural but for 1.

    Examples
    --------
    >>> count(1, "sample"), count(1200, "sample"), count(0, "entry", "entries")
    ('1 sample', '1,200 samples', '0 entries')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def warn_of_many_features(score: float, n_features: int) -> str:
    """Return a warning against reading a low score too strictly; empty where it does not apply."""
    if score > 0.5 or n_features < _MANY_FEATURES:
        return ""
    return (
        f"With {n_features:,} features distances differ little, so that even real groups can score low: compare the k "
        "with each other."
    )


def format_bytes(n_bytes: float) -> str:
    """Return a size in the unit that suits it.

    Examples
    --------
    >>> format_bytes(512), format_bytes(3 * 2**20)
    ('512 bytes', '3.0 MiB')
    """
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if n_bytes < 1024:
            return f"{n_bytes:.0f} {unit}" if unit == "bytes" else f"{n_bytes:.1f} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.1f} TiB"


def format_distinguishable(one: float, other: float) -> tuple[str, str]:
    """Format two scores with three decimals, or with more, six at most, if they are equal otherwise.

    Examples
    --------
    >>> format_distinguishable(0.25, 0.1), format_distinguishable(0.18912, 0.18871), format_distinguishable(0.5, 0.5)
    (('0.250', '0.100'), ('0.1891', '0.1887'), ('0.500', '0.500'))
    """
    for decimals in range(3, 7):
        words = f"{one:.{decimals}f}", f"{other:.{decimals}f}"
        if words[0] != words[1]:
            return words
    return f"{one:.3f}", f"{other:.3f}"


def join_words(words: Sequence[str]) -> str:
    """Join words with commas, and "and" before the last.

    Examples
    --------
    >>> join_words(["2", "3", "5"])
    '2, 3 and 5'
    """
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def show_text(given: object, *, longest: int = 40) -> str:
    r"""Return text of a user as one short line that is safe to print.

    Characters that a terminal obeys (escapes, controls), marks that change the direction of text and halves of
    surrogates are written as escapes of Python.

    Examples
    --------
    >>> show_text("red \x1b[31m"), show_text("a" * 9, longest=5)
    ('red \\x1b[31m', 'aaaa…')
    """
    text = str(given)
    if len(text) > longest:
        text = text[: longest - 1] + "…"
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)

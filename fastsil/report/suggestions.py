"""What users can run next, where they are: an expression of Python, or a command to paste.

Sentences are written by packages that do not know who reads them. The command line says so for the time of a command;
otherwise the reader is a program.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

Writer = Callable[[Mapping[str, Any]], str]
"""Of the command that was given, with some parameters changed: its text."""

_command: ContextVar[Writer | None] = ContextVar("command", default=None)


@contextlib.contextmanager
def on_command_line(write: Writer) -> Iterator[None]:
    """Suggest commands instead of expressions within the block."""
    token = _command.set(write)
    try:
        yield
    finally:
        _command.reset(token)


def suggest(python: str, **changes: Any) -> str:
    """Return an expression, or the command with these changes.

    Examples
    --------
    >>> suggest("StandardScaler().fit_transform(X)", standardize=True)
    'StandardScaler().fit_transform(X)'
    >>> with on_command_line(lambda changes: f"fastsil sweep data.csv --{' --'.join(changes)}"):
    ...     suggest("StandardScaler().fit_transform(X)", standardize=True)
    'fastsil sweep data.csv --standardize'
    """
    write = _command.get()
    return python if write is None else write(changes)


def suggest_sweep(**changes: Any) -> str:
    """Return how to repeat a sweep with other parameters.

    Examples
    --------
    >>> suggest_sweep(n_null=39)
    'sweep.set_params(n_null=39).fit(X)'
    """
    given = ", ".join(f"{name}={value!r}" for name, value in changes.items())
    return suggest(f"sweep.set_params({given}).fit(X)", **changes)


def suggest_standardizing(*, sparse: bool = False) -> str:
    """Return how to give every feature the same variance."""
    return suggest(f"StandardScaler({'with_mean=False' if sparse else ''}).fit_transform(X)", standardize=True)


def for_python(words: str) -> str:
    """Return words about expressions; nothing on the command line."""
    return words if _command.get() is None else ""

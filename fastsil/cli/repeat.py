"""The command that was given, with some options changed, as text to paste."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import typer

from fastsil.cli import results_folder
from fastsil.report.suggestions import Writer

# Options of how a command runs, not of what it does.
_LEFT_OUT = ("resume", "force", "quiet")
# Options of a sweep over k that a sweep over a parameter does not take.
ONLY_OVER_K = ("k", "pca", "n_init", "n_stability", "tol", "resume", "dask", "n_null")


def write_command(context: typer.Context, changes: Mapping[str, Any]) -> str:
    """Return the command of a context with these changes, by the names of parameters of a sweep.

    Of a command that has not these options, the options alone.

    Parameters
    ----------
    context : typer.Context
        Of the command that was given.
    changes : mapping of str to object
        New values, as :class:`fastsil.KMeansSweep` takes them, or as the command does.
    """
    if not changes.keys() <= {*(param.name for param in context.command.params), "n_clusters"}:
        return " ".join(f"--{name.replace('_', '-')}" for name in changes)
    values = {**context.params, **_find_earlier(context), **dict(_translate(*change) for change in changes.items())}
    left_out = (*_LEFT_OUT, *(ONLY_OVER_K if "param" in changes else ()))
    words = ["fastsil", str(context.info_name)]
    for param in context.command.params:
        value = values.get(str(param.name))
        listed = [] if value is None else value if isinstance(value, (list, tuple)) else [value]
        if param.name in left_out or list(map(str, listed)) == _list_default(param):
            continue
        name = max(param.opts, key=len)
        if param.param_type_name == "argument":
            words += map(str, listed)
        elif isinstance(value, bool):
            words.append(name if value else max(param.secondary_opts, key=len))
        else:
            words += [word for one in listed for word in (name, str(one))]
    return shlex.join(words)


def describe_error(error: Exception, write: Writer) -> str:
    """Return the words of an error, with what a command can do about it in place of what a program can."""
    words, missing, _ = str(error).partition("Drop or impute such rows first")
    if missing and "NaN" in words:
        return f"{words}Leave such rows out: {write({'drop_missing': True})}"
    return str(error) or type(error).__name__


def _list_default(param: Any) -> list[str]:
    """Return the words of a parameter's default; an argument is always written."""
    if param.param_type_name == "argument":
        return []
    default = param.default() if callable(param.default) else param.default
    if param.name == "pca":
        return ["none"]
    return list(map(str, default if isinstance(default, (list, tuple)) else [] if default is None else [default]))


def _find_earlier(context: typer.Context) -> dict[str, Any]:
    """Return the settings of the sweep that is gone on with; nothing for a sweep that begins."""
    if context.params.get("resume") is None:
        return {}
    asked = results_folder.read_asked(context.params["resume"])
    return {"file": asked["file"], "out": context.params["resume"], **asked["reading"], **asked["settings"]}


def _translate(name: str, value: Any) -> tuple[str, Any]:
    """Return the name and value that the command has for a parameter of a sweep."""
    if name == "n_clusters":
        step = f":{value.step}" if value.step != 1 else ""
        return "k", f"{value.start}:{value[-1]}{step}"
    return name, ["none" if one is None else one for one in value] if name == "pca" else value

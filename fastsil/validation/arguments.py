"""Arguments that are neither data nor labels."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from fastsil.runtime.sklearn_compat import VALID_METRICS, InvalidParameterError

Metric = str | Callable[..., float]


def check_metric(metric: Any) -> Metric:
    """Return ``metric`` if it is callable or a metric of scikit-learn; else raise an error that suggests the nearest
    name.
    """
    if callable(metric):
        return cast(Metric, metric)
    if isinstance(metric, str) and metric in VALID_METRICS:
        return metric
    if metric is None:
        raise InvalidParameterError(
            "metric=None is not known. Leave it out for Euclidean distance, pass 'precomputed' for given distances, "
            f"a callable, or another one of: {', '.join(VALID_METRICS)}."
        )
    near = difflib.get_close_matches(metric, VALID_METRICS, n=1, cutoff=0.5) if isinstance(metric, str) else ()
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InvalidParameterError(
        f"metric={metric!r} is not known.{hint} Pass a callable or one of: {', '.join(VALID_METRICS)}."
    )


def get_metric_name(metric: Metric) -> str:
    """Return the name of a metric; of a callable, its own name."""
    return metric if isinstance(metric, str) else getattr(metric, "__name__", "callable")


def check_average(average: str) -> str:
    """Return ``average`` if it is ``"micro"`` or ``"macro"``."""
    if average not in ("micro", "macro"):
        raise InvalidParameterError(
            f"average={average!r} is not known; pass 'micro' (mean over samples) or 'macro' (mean over clusters)."
        )
    return average


def check_space(space: str) -> str:
    """Return ``space`` if it is ``"transformed"`` or ``"input"``."""
    if space not in ("transformed", "input"):
        raise InvalidParameterError(
            f"space={space!r} is not known; pass 'transformed' (as a pipeline's last step gets samples) or 'input'."
        )
    return space


def check_undefined(undefined: Any) -> Any:
    """Return ``undefined`` if it is a number or ``"raise"``."""
    if undefined != "raise" and (isinstance(undefined, bool) or not isinstance(undefined, (int, float, np.number))):
        raise InvalidParameterError(
            f"undefined={undefined!r} must be a number, the score of labels without a silhouette, or 'raise'."
        )
    return undefined


def check_integer(name: str, value: Any) -> None:
    """Raise a TypeError unless the argument of this name is an integer."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {value!r} of type {type(value).__name__}.")


def check_sample_size(sample_size: Any) -> int | None:
    """Return ``sample_size`` if it is None or a positive integer."""
    if sample_size is None:
        return None
    if isinstance(sample_size, bool) or not isinstance(sample_size, (int, np.integer)) or sample_size < 1:
        raise InvalidParameterError(f"sample_size={sample_size!r} must be a positive integer or None (all samples).")
    return int(sample_size)


def check_tol(tol: Any) -> float:
    """Return ``tol`` if it is a positive number."""
    if isinstance(tol, bool) or not isinstance(tol, (int, float, np.number)) or not 0 < tol < np.inf:
        raise InvalidParameterError(
            f"tol={tol!r} must be a positive number: half the width of the interval of the mean silhouette, say 1e-3."
        )
    return float(tol)


def check_refine_to(refine_to: Any, *, exact: bool) -> float | None:
    """Return ``refine_to`` if it is None or a width of intervals, which only guesses have."""
    if refine_to is None:
        return None
    if exact:
        raise ValueError("refine_to computes some of the samples exactly; with exact=True, all are. Pass exact=False.")
    number = isinstance(refine_to, (int, float, np.number)) and not isinstance(refine_to, bool)
    if not number or not refine_to >= 0:
        raise InvalidParameterError(
            f"refine_to={refine_to!r} must be 0 or more: the widest interval that a sample may keep, such as 0.05."
        )
    return float(refine_to)


def check_confidence(confidence: Any) -> float:
    """Return ``confidence`` if it is a number between 0 and 1."""
    number = isinstance(confidence, (int, float, np.number)) and not isinstance(confidence, bool)
    if not number or not 0 < confidence < 1:
        raise InvalidParameterError(f"confidence={confidence!r} must be a number between 0 and 1, such as 0.99.")
    return float(confidence)

"""The pieces of scikit-learn that fastsil calls by another name than its public one.

The original functions are bound here once, so that a program in which fastsil stands in
scikit-learn's place still reaches scikit-learn's own, and so that a private name that moves between
releases has one place to be mended.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CellType
from typing import Any, TypeVar

from sklearn.metrics.cluster import silhouette_samples, silhouette_score
from sklearn.metrics.pairwise import distance_metrics, pairwise_distances_chunked
from sklearn.utils import metaestimators

try:
    from sklearn.utils._param_validation import InvalidParameterError
except ImportError:  # pragma: no cover - a private name; both bases are what callers catch

    class InvalidParameterError(ValueError, TypeError):  # type: ignore[no-redef]
        """A parameter that is not among the allowed ones."""


try:
    from sklearn.metrics.pairwise import _VALID_METRICS
except ImportError:  # pragma: no cover - a private name; the public table lacks SciPy's metrics
    _VALID_METRICS = sorted(distance_metrics())

try:
    from sklearn.metrics.pairwise import PAIRWISE_BOOLEAN_FUNCTIONS as _BOOLEAN
except ImportError:  # pragma: no cover - a name that is public but not promised
    _BOOLEAN = ["dice", "jaccard", "rogerstanimoto", "russellrao", "sokalsneath", "yule"]

# Metrics of truth values.
BOOLEAN_METRICS: tuple[str, ...] = tuple(_BOOLEAN)

VALID_METRICS: tuple[str, ...] = tuple(sorted({*_VALID_METRICS, "precomputed"}))

SILHOUETTE_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "silhouette_samples": silhouette_samples,
    "silhouette_score": silhouette_score,
}

__all__ = [
    "BOOLEAN_METRICS",
    "SILHOUETTE_FUNCTIONS",
    "VALID_METRICS",
    "InvalidParameterError",
    "available_if",
    "find_code",
    "pairwise_distances_chunked",
]

_Method = TypeVar("_Method", bound=Callable[..., Any])


def available_if(check: Callable[[Any], bool]) -> Callable[[_Method], _Method]:
    """Wrap scikit-learn's decorator of the same name, which has no types, so that the method keeps its type."""
    return metaestimators.available_if(check)  # type: ignore[no-any-return]


def find_code(function: Callable[..., Any]) -> CellType:
    """Return the closure cell that holds the body of a public function of scikit-learn, called after its checks of
    parameters.

    Raises
    ------
    RuntimeError
        If the function is no such wrapper.
    """
    body = getattr(function, "__wrapped__", None)
    for cell in getattr(function, "__closure__", None) or ():
        if body is not None and cell.cell_contents is body:
            return cell  # type: ignore[no-any-return]
    name = getattr(function, "__qualname__", repr(function))
    raise RuntimeError(
        f"{name} is not built as scikit-learn 1.6 to 1.9 build it, so that it cannot be replaced in place; import "
        "fastsil's function instead, or another version of scikit-learn."
    )

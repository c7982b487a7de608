"""The pieces of scikit-learn that fastsil calls by another name than its public one.

The original functions are bound here once, so that a program in which fastsil stands in
scikit-learn's place still reaches scikit-learn's own, and so that a private name that moves between
releases has one place to be mended.
"""

from __future__ import annotations

from sklearn.metrics.pairwise import distance_metrics, pairwise_distances_chunked

try:
    from sklearn.utils._param_validation import InvalidParameterError
except ImportError:  # pragma: no cover - a private name; both bases are what callers catch

    class InvalidParameterError(ValueError, TypeError):  # type: ignore[no-redef]
        """A parameter that is not among the allowed ones."""


try:
    from sklearn.metrics.pairwise import _VALID_METRICS
except ImportError:  # pragma: no cover - a private name; the public table lacks SciPy's metrics
    _VALID_METRICS = sorted(distance_metrics())

VALID_METRICS: tuple[str, ...] = tuple(sorted({*_VALID_METRICS, "precomputed"}))

__all__ = ["VALID_METRICS", "InvalidParameterError", "pairwise_distances_chunked"]

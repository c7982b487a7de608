"""Keywords that a metric takes, and an error for others that says where they belong."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from scipy.spatial import distance
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import PAIRWISE_DISTANCE_FUNCTIONS

from fastsil.runtime.sklearn_compat import VALID_METRICS
from fastsil.validation.arguments import Metric, get_metric_name

_SCORES = ("silhouette_samples", "silhouette_score", "silhouette_profile", "silhouette_estimate")
_SIMPLIFIED = ("simplified_silhouette_samples", "simplified_silhouette_score")
_MANY = ("silhouette_samples_many", "silhouette_profiles")
_LABELINGS = (*_SCORES, *_MANY, *_SIMPLIFIED, "silhouette_by", "plan", "SilhouetteStream", "SilhouetteScorer")

# Keywords of the public functions, and the functions that take them.
KEYWORDS: dict[str, tuple[str, ...]] = {
    "ignore_label": _LABELINGS,
    "n_jobs": (*_LABELINGS, "KMeansSweep"),
    "progress": (*_SCORES, *_MANY, "silhouette_by", "KMeansSweep"),
    "sample_size": ("silhouette_score",),
    "sample_weight": (*_SCORES, *_MANY, *_SIMPLIFIED, "silhouette_by"),
    "random_state": ("silhouette_score", "silhouette_estimate", "KMeansSweep"),
    "average": ("silhouette_score", "simplified_silhouette_score", "SilhouetteScorer"),
    "centers": _SIMPLIFIED,
    "groups": ("silhouette_by",),
    "other": ("silhouette_by",),
    "tol": ("silhouette_score", "silhouette_estimate", "plan"),
    "confidence": ("silhouette_estimate",),
    "exact": ("silhouette_profile",),
    "refine_to": ("silhouette_profile",),
    "labelings": _MANY,
    "space": ("SilhouetteScorer",),
    "undefined": ("SilhouetteScorer",),
    **dict.fromkeys(
        ("n_clusters", "estimator", "pca", "n_init", "n_null", "n_stability", "gaps", "refit", "checkpoint"),
        ("KMeansSweep",),
    ),
}


def check_metric_params(metric: Metric, params: Mapping[str, Any]) -> None:
    """Raise a TypeError if the metric does not take one of the keywords."""
    if not params:
        return
    taken = _find_keywords(metric)
    if taken is None:
        return
    # Of scikit-learn's own function for distances, for every metric but given distances.
    general = () if metric == "precomputed" else _names(pairwise_distances, without=("X", "Y", "metric", "n_jobs"))
    for name in params:
        if name not in taken and name not in (general or ()):
            others = f" (it takes {', '.join(taken)})" if taken else ""
            raise TypeError(
                f"metric={get_metric_name(metric)!r} takes no keyword {name!r}{others}.{_suggest(name, taken)}"
            )


def _suggest(name: str, taken: tuple[str, ...]) -> str:
    """Return a sentence that says where a keyword belongs, or which one is nearest; empty if none is near."""
    known = {each: f"Pass it to {_join(functions)}." for each, functions in KEYWORDS.items()}
    for metric in VALID_METRICS:
        for each in _find_keywords(metric) or ():
            if each not in KEYWORDS:
                takers = [other for other in VALID_METRICS if each in (_find_keywords(other) or ())]
                known[each] = f"It is a keyword of metric={_join([repr(other) for other in takers])}."
    if name in known:
        return f" {known[name]}"
    near = difflib.get_close_matches(name, [*taken, *known], n=1, cutoff=0.6)
    if not near:
        return ""
    where = "" if near[0] in taken else f" {known[near[0]]}"
    return f" Did you mean {near[0]!r}?{where}"


def _find_keywords(metric: Metric) -> tuple[str, ...] | None:
    """Return the keywords of a metric; None if they are not known."""
    if callable(metric):
        return _names(metric, skip=2)
    if metric == "precomputed":
        return ()
    function = PAIRWISE_DISTANCE_FUNCTIONS.get(metric) or getattr(distance, metric, None)
    # SciPy's loop over pairs takes no ``centered``.
    names = None if function is None else _names(function, skip=2, without=("centered",))
    # scikit-learn takes only the inverse.
    return ("V", *names) if metric == "mahalanobis" and names is not None else names


def _names(function: Callable[..., Any], *, skip: int = 0, without: tuple[str, ...] = ()) -> tuple[str, ...] | None:
    """Return the names of a function's parameters; None if it takes any."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[skip:]
    except (TypeError, ValueError):
        return None
    if function is not pairwise_distances and any(each.kind is each.VAR_KEYWORD for each in parameters):
        return None
    return tuple(
        each.name
        for each in parameters
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY) and each.name not in without
    )


def _join(words: list[str] | tuple[str, ...]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]

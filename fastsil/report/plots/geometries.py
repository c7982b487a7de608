"""Several geometries side by side: their scores, and how far these lie above data without clusters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsil.report.plots.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    axes_for,
    finish_against_k,
    two_axes_for,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Geometries take turns with these; those that share a color differ in their mark.
_TURNS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, GREY)
_MARKS = ("o", "s", "^", "D", "v", "P")

Tables = Mapping[str, Mapping[str, NDArray[Any]]]
"""For the name of each geometry, the results of a sweep in it."""


def draw_geometries(tables: Tables, *, axes: Any = None) -> NDArray[Any]:
    """Draw both pictures of several geometries side by side.

    Parameters
    ----------
    tables : mapping of str to mapping of str to ndarray of shape (n_tried,)
        For the name of each geometry, the results of a sweep in it.
    axes : sequence of two matplotlib Axes, optional
        Where to draw; a new figure's by default.

    Returns
    -------
    ndarray of two matplotlib Axes
        Without null sets the second one has a note instead.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    left, right = two_axes_for(axes)
    draw_geometry_scores(tables, ax=left)
    draw_geometry_excess(tables, ax=right)
    return np.array([left, right], dtype=object)


def draw_geometry_scores(tables: Tables, *, ax: Axes | None = None) -> Axes:
    """Draw the mean silhouettes of each geometry against k, and dashed those of its data without clusters.

    Parameters
    ----------
    tables : mapping of str to mapping of str to ndarray of shape (n_tried,)
        For the name of each geometry, the results of a sweep in it.
    ax : matplotlib Axes, optional
        Where to draw; a new figure's by default.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> ax = draw_geometry_scores({"cosine": {"n_clusters": np.array([2, 3]), "silhouette": np.array([0.5, 0.8])}})
    >>> ax.get_ylabel()
    'mean silhouette'
    """
    ax = axes_for(ax, figsize=(7, 4.2))
    dashed = False
    for place, (name, results) in enumerate(tables.items()):
        _draw(ax, results["n_clusters"], results["silhouette"], place, label=name)
        null_mean = results.get("null_mean", np.full(len(results["n_clusters"]), np.nan))
        there = np.isfinite(null_mean)
        ax.plot(results["n_clusters"][there], null_mean[there], "--", color=_color(place), linewidth=1)
        dashed |= bool(there.any())
    if dashed:
        ax.plot([], [], "--", color=INK, linewidth=1, label="the same without clusters")
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_ylabel("mean silhouette")
    ax.set_title("Mean silhouettes: the scales differ from geometry to geometry", loc="left", fontsize="medium")
    finish_against_k(ax, _ks(tables))
    return ax


def draw_geometry_excess(tables: Tables, *, ax: Axes | None = None) -> Axes:
    """Draw for each geometry how many standard deviations the data lie above data without clusters, against k.

    Parameters
    ----------
    tables : mapping of str to mapping of str to ndarray of shape (n_tried,)
        For the name of each geometry, the results of a sweep in it.
    ax : matplotlib Axes, optional
        Where to draw; a new figure's by default.

    Returns
    -------
    matplotlib Axes
        A note takes its place where there were no null sets.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    ax = axes_for(ax, figsize=(7, 4.2))
    ax.axhspan(-2, 2, color=ORANGE, alpha=0.25, linewidth=0, label="data without clusters (± 2 sd)")
    compared = False
    for place, (name, results) in enumerate(tables.items()):
        excess = results.get("null_excess", np.full(len(results["n_clusters"]), np.nan))
        _draw(ax, results["n_clusters"], excess, place, label=name)
        compared |= bool(np.isfinite(excess).any())
    if not compared:
        ax.annotate("no null sets were drawn", (0.5, 0.5), xycoords="axes fraction", ha="center", va="bottom")
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_ylabel("above data without clusters (sd)")
    ax.set_title("How far above data without clusters: compare this", loc="left", fontsize="medium")
    finish_against_k(ax, _ks(tables))
    return ax


def _draw(ax: Axes, n_clusters: NDArray[Any], values: NDArray[Any], place: int, *, label: str) -> None:
    there = np.isfinite(values)
    mark = _MARKS[place % len(_MARKS)]
    ax.plot(n_clusters[there], values[there], "-", marker=mark, markersize=5, color=_color(place), label=label)


def _color(place: int) -> str:
    return _TURNS[place % len(_TURNS)]


def _ks(tables: Tables) -> NDArray[Any]:
    return np.unique(np.concatenate([results["n_clusters"] for results in tables.values()]))

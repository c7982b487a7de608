"""Samples in a plane, colored by cluster or by silhouette."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsil.report.plots.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, YELLOW, axes_for
from fastsil.report.words import show_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Clusters on a map take turns with these; clusters that share a color differ in their mark.
_TURNS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW, GREY)
_MARKS = ("o", "s", "^", "D", "P", "X")


def draw_map(coordinates: NDArray[Any], codes: NDArray[Any], classes: NDArray[Any], *, ax: Axes | None = None) -> Axes:
    """Draw samples in the plane, colored by cluster, with each cluster's label at its middle.

    Parameters
    ----------
    coordinates : ndarray of shape (n_samples, 2)
        Places of the samples.
    codes : ndarray of shape (n_samples,), integer
        Index into ``classes`` for every sample.
    classes : ndarray of shape (n_clusters,)
        Labels of the clusters.
    ax : matplotlib Axes, optional
        Where to draw; a new figure's by default.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    ax = axes_for(ax, figsize=(6, 5))
    for cluster, label in enumerate(classes):
        x, y = coordinates[codes == cluster].T
        if not len(x):
            continue
        color = _TURNS[cluster % len(_TURNS)]
        mark = _MARKS[cluster // len(_TURNS) % len(_MARKS)]
        ax.scatter(x, y, s=_dot_size(len(codes)), c=color, marker=mark, linewidths=0, alpha=0.7)
        name = ax.annotate(show_text(label), (np.median(x), np.median(y)), parse_math=False, ha="center", va="center")
        name.set_bbox({"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": color, "alpha": 0.85})
        name.set_fontsize("small")
    _finish_map(ax)
    return ax


def draw_silhouette_map(coordinates: NDArray[Any], silhouettes: NDArray[Any], *, ax: Axes | None = None) -> Axes:
    """Draw samples in the plane, colored by silhouette, negative ones as crosses on top.

    Parameters
    ----------
    coordinates : ndarray of shape (n_samples, 2)
        Places of the samples.
    silhouettes : ndarray of shape (n_samples,)
        Silhouettes, -1 to 1.
    ax : matplotlib Axes, optional
        Where to draw; a new figure's by default.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    ax = axes_for(ax, figsize=(6, 5))
    from matplotlib.colors import LinearSegmentedColormap

    colors = LinearSegmentedColormap.from_list("silhouette", [VERMILION, "#E4E0DA", BLUE])
    reach = max(float(np.abs(silhouettes).max(initial=0.0)), 1e-9)
    size = _dot_size(len(silhouettes))
    for part, mark, size_of_mark in ((silhouettes >= 0, "o", size), (silhouettes < 0, "x", 1.5 * size)):
        x, y = coordinates[part].T
        dots = ax.scatter(
            x,
            y,
            s=size_of_mark,
            c=silhouettes[part],
            cmap=colors,
            vmin=-reach,
            vmax=reach,
            marker=mark,
            linewidths=0.8,
        )
    bar = ax.figure.colorbar(dots, ax=ax, location="bottom", fraction=0.05, aspect=30)
    bar.set_label("silhouette (negative: crosses)", fontsize="small")
    _finish_map(ax)
    return ax


def _dot_size(n_samples: int) -> float:
    """Return the area of a dot in square points: small enough that a thousand do not hide each other."""
    return float(np.clip(12000 / max(n_samples, 1), 3, 30))


def _finish_map(ax: Axes) -> None:
    # Equal steps on both axes: a map that stretches one shows clusters that are not there.
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xlabel("first principal component")
    ax.set_ylabel("second principal component")
    ax.tick_params(labelsize="small")

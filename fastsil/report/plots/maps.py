"""Samples in a plane, colored by cluster or by silhouette."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsil.report.plots.canvas import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION, YELLOW, axes_for
from fastsil.report.words import show_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colors of clusters on a map; clusters that share a color lie far apart, and differ in their mark.
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
    there = [cluster for cluster in range(len(classes)) if (codes == cluster).any()]
    middles = np.array([np.median(coordinates[codes == cluster], axis=0) for cluster in there]).reshape(-1, 2)
    for cluster, (turn, repeats) in zip(there, choose_colors(middles, len(_TURNS)), strict=True):
        label, (x, y) = classes[cluster], coordinates[codes == cluster].T
        color, mark = _TURNS[turn], _MARKS[repeats % len(_MARKS)]
        ax.scatter(x, y, s=_dot_size(len(codes)), c=color, marker=mark, linewidths=0, alpha=0.7)
        name = ax.annotate(show_text(label), (np.median(x), np.median(y)), parse_math=False, ha="center", va="center")
        name.set_bbox({"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": color, "alpha": 0.85})
        name.set_fontsize("small")
    _finish_map(ax)
    return ax


def choose_colors(middles: NDArray[Any], n_colors: int) -> list[tuple[int, int]]:
    """Choose a color for each cluster: a new one while there are any, then that whose clusters are farthest away.

    Parameters
    ----------
    middles : ndarray of shape (n_clusters, 2)
        Middles of the clusters on the map.
    n_colors : int
        Number of colors.

    Returns
    -------
    list of (int, int)
        For each cluster its color, and how many before it have the same.

    Examples
    --------
    >>> choose_colors(np.array([[0.0, 0.0], [5.0, 0.0], [1.0, 0.0], [4.0, 0.0]]), 2)
    [(0, 0), (1, 0), (1, 1), (0, 1)]
    """
    chosen: list[tuple[int, int]] = []
    taken: list[list[int]] = [[] for _ in range(n_colors)]
    for cluster, middle in enumerate(middles):
        nearest = [np.linalg.norm(middles[of] - middle, axis=1).min() if of else np.inf for of in taken]
        color = int(np.argmax(nearest))
        chosen.append((color, len(taken[color])))
        taken[color].append(cluster)
    return chosen


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

"""A sweep against the number of clusters: the elbow, the mean silhouettes, the stability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsil.report.plots.canvas import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    SKY,
    VERMILION,
    axes_for,
    finish_against_k,
    two_axes_for,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_sweep_elbow(
    results: Mapping[str, NDArray[Any]],
    *,
    best_k: int | None = None,
    chosen_k: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the inertia of a sweep against the number of clusters.

    Parameters
    ----------
    results : mapping of str to ndarray of shape (n_tried,)
        ``sweep_results_`` of a sweep; of data without clusters only where they are known, as a band.
    best_k, chosen_k : int, optional
        The number of clusters of the highest silhouette, and the one that was chosen, to mark.
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
    ax = axes_for(ax, figsize=(7, 4.2))
    n_clusters, inertia = results["n_clusters"], results["inertia"]
    if "gap" in results:
        # Null sets may have fewer samples than the data. The gap is the logarithm of a ratio at the same number.
        null_mean = inertia * np.exp(results["gap"])
        _draw_null_band(ax, n_clusters, null_mean, null_mean * results["gap_error"])
    _draw_curve(ax, n_clusters, inertia, "o-", color=BLUE, label="inertia")
    ax.set_ylim(bottom=0)
    if ax.get_ylim()[1] >= 1000:
        ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.set_ylabel("inertia: squared distances to centers")
    ax.set_title("Elbow: look for a kink after which the curve flattens", loc="left", fontsize="medium")
    _finish_with_choice(ax, n_clusters, best_k, chosen_k)
    return ax


def draw_sweep_scores(
    results: Mapping[str, NDArray[Any]],
    *,
    best_k: int | None = None,
    chosen_k: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean silhouettes of a sweep against the number of clusters.

    Parameters
    ----------
    results : mapping of str to ndarray of shape (n_tried,)
        ``sweep_results_`` of a sweep; of data without clusters only where they are known, as a band.
    best_k, chosen_k : int, optional
        The number of clusters of the highest silhouette, and the one that was chosen, to mark.
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
    ax = axes_for(ax, figsize=(7, 4.2))
    n_clusters = results["n_clusters"]
    if "null_mean" in results:
        _draw_null_band(ax, n_clusters, results["null_mean"], results["null_std"])
    _draw_curve(ax, n_clusters, results["silhouette"], "o-", color=BLUE, zorder=3, label="mean over samples")
    macro = results["macro_silhouette"]
    _draw_curve(ax, n_clusters, macro, "s--", color=GREY, markersize=4, label="mean of cluster means")
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_ylabel("mean silhouette")
    ax.set_title("Silhouette: higher is better, 1 is perfect, 0 is on the border", loc="left", fontsize="medium")
    _finish_with_choice(ax, n_clusters, best_k, chosen_k)
    return ax


def draw_stability(
    results: Mapping[str, NDArray[Any]],
    *,
    best_k: int | None = None,
    chosen_k: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the agreement of clusterings of two random parts of the data against the number of clusters.

    Parameters
    ----------
    results : mapping of str to ndarray of shape (n_tried,)
        ``sweep_results_`` of a sweep, with the mean and standard deviation of the adjusted Rand index.
    best_k, chosen_k : int, optional
        The number of clusters of the highest silhouette, and the one that was chosen, to mark.
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
    ax = axes_for(ax, figsize=(7, 4.2))
    n_clusters, stability, spread = results["n_clusters"], results["stability"], results["stability_std"]
    there = np.isfinite(stability)
    ax.errorbar(n_clusters[there], stability[there], spread[there], fmt="none", ecolor=SKY, elinewidth=2)
    _draw_curve(ax, n_clusters, stability, "o-", color=BLUE, label="agreement of two parts (± sd)")
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_ylim(min(-0.05, float(np.nanmin(stability, initial=0.0)) - 0.05), 1.05)
    ax.set_ylabel("adjusted Rand index")
    ax.set_title("Stability: 1 is the same clusters each time, 0 is chance", loc="left", fontsize="medium")
    _finish_with_choice(ax, n_clusters, best_k, chosen_k)
    return ax


def draw_sweep(
    results: Mapping[str, NDArray[Any]],
    *,
    best_k: int,
    chosen_k: int | None = None,
    axes: Sequence[Axes] | None = None,
) -> NDArray[Any]:
    """Draw the elbow and the silhouettes of a sweep side by side.

    Parameters
    ----------
    results : mapping of str to ndarray of shape (n_tried,)
        ``sweep_results_`` of a sweep.
    best_k, chosen_k : int, optional
        The number of clusters of the highest silhouette, and the one that was chosen, to mark.
    axes : sequence of two matplotlib Axes, optional
        Where to draw; a new figure's by default.

    Returns
    -------
    ndarray of two matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    left, right = two_axes_for(axes)
    draw_sweep_elbow(results, best_k=best_k, chosen_k=chosen_k, ax=left)
    draw_sweep_scores(results, best_k=best_k, chosen_k=chosen_k, ax=right)
    return np.array([left, right], dtype=object)


def _draw_curve(ax: Axes, n_clusters: NDArray[Any], values: NDArray[Any], style: str, **look: Any) -> None:
    """Draw a line through the values that exist, across the gaps of those that do not."""
    there = np.isfinite(values)
    ax.plot(n_clusters[there], values[there], style, **look)


def _draw_null_band(ax: Axes, n_clusters: NDArray[Any], mean: NDArray[Any], std: NDArray[Any]) -> None:
    """Draw the scores of data without clusters, where they exist, with two standard deviations to each side."""
    if not np.isfinite(mean).any():
        return
    _draw_curve(ax, n_clusters, mean, "-", color=ORANGE, linewidth=1, label="data without clusters (± 2 sd)")
    there = np.isfinite(mean) & np.isfinite(std)
    low, high = (mean - 2 * std)[there], (mean + 2 * std)[there]
    ax.fill_between(n_clusters[there], low, high, color=ORANGE, alpha=0.25, linewidth=0)


def _finish_with_choice(ax: Axes, n_clusters: NDArray[Any], best_k: int | None, chosen_k: int | None) -> None:
    if chosen_k is not None and chosen_k != best_k:
        ax.axvline(chosen_k, color=VERMILION, linewidth=1.4, label=f"choice: k = {chosen_k}")
    if best_k is not None:
        ax.axvline(best_k, color=VERMILION, linestyle=":", linewidth=1.6, label=f"highest silhouette: k = {best_k}")
    finish_against_k(ax, n_clusters)

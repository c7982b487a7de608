"""A sweep against the number of clusters: the elbow, and the mean silhouettes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsil.plots.canvas import BLUE, GREY, INK, ORANGE, VERMILION, axes_for, pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_elbow(
    n_clusters: NDArray[Any],
    inertia: NDArray[Any],
    *,
    null_mean: NDArray[Any] | None = None,
    null_std: NDArray[Any] | None = None,
    best_k: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the inertia against the number of clusters.

    Parameters
    ----------
    n_clusters : ndarray of shape (n_tried,)
        Numbers of clusters.
    inertia : ndarray of shape (n_tried,)
        Within-cluster sums of squares; NaN where there is none.
    null_mean, null_std : ndarray of shape (n_tried,), optional
        Mean and standard deviation of the same for data without clusters; drawn as a band of two of them to each side.
    best_k : int, optional
        A number of clusters to mark.
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
    _draw_null_band(ax, n_clusters, null_mean, null_std)
    _draw_curve(ax, n_clusters, inertia, "o-", color=BLUE, label="inertia")
    ax.set_ylim(bottom=0)
    if ax.get_ylim()[1] >= 1000:
        ax.yaxis.set_major_formatter("{x:,.0f}")
    ax.set_ylabel("inertia: squared distances to centres")
    ax.set_title("Elbow: look for a kink after which the curve flattens", loc="left", fontsize="medium")
    _finish_against_k(ax, n_clusters, best_k)
    return ax


def draw_scores(
    n_clusters: NDArray[Any],
    silhouette: NDArray[Any],
    macro_silhouette: NDArray[Any] | None = None,
    *,
    null_mean: NDArray[Any] | None = None,
    null_std: NDArray[Any] | None = None,
    best_k: int | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean silhouette against the number of clusters.

    Parameters
    ----------
    n_clusters : ndarray of shape (n_tried,)
        Numbers of clusters.
    silhouette : ndarray of shape (n_tried,)
        Mean over samples; NaN where there is none.
    macro_silhouette : ndarray of shape (n_tried,), optional
        Mean of the clusters' means.
    null_mean, null_std : ndarray of shape (n_tried,), optional
        Mean and standard deviation of the same for data without clusters; drawn as a band of two of them to each side.
    best_k : int, optional
        A number of clusters to mark.
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
    _draw_null_band(ax, n_clusters, null_mean, null_std)
    _draw_curve(ax, n_clusters, silhouette, "o-", color=BLUE, zorder=3, label="mean over samples")
    if macro_silhouette is not None:
        _draw_curve(ax, n_clusters, macro_silhouette, "s--", color=GREY, markersize=4, label="mean of cluster means")
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_ylabel("mean silhouette")
    ax.set_title("Silhouette: higher is better, 1 is perfect, 0 is on the border", loc="left", fontsize="medium")
    _finish_against_k(ax, n_clusters, best_k)
    return ax


def draw_sweep(results: Mapping[str, NDArray[Any]], *, best_k: int, axes: Sequence[Axes] | None = None) -> NDArray[Any]:
    """Draw the elbow and the silhouettes of a sweep side by side.

    Parameters
    ----------
    results : mapping of str to ndarray of shape (n_tried,)
        ``sweep_results_`` of a sweep.
    best_k : int
        The number of clusters to mark.
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
    if axes is None:
        axes = pyplot().subplots(1, 2, figsize=(13, 4.2), layout="constrained")[1]
    left, right = axes
    draw_elbow(results["n_clusters"], results["inertia"], best_k=best_k, ax=left)
    draw_sweep_scores(results, best_k=best_k, ax=right)
    return np.array([left, right], dtype=object)


def draw_sweep_scores(results: Mapping[str, NDArray[Any]], *, best_k: int, ax: Axes | None = None) -> Axes:
    """Draw the mean silhouettes of a sweep, as :func:`draw_scores`, from the columns of its results."""
    return draw_scores(
        results["n_clusters"],
        results["silhouette"],
        results["macro_silhouette"],
        null_mean=results.get("null_mean"),
        null_std=results.get("null_std"),
        best_k=best_k,
        ax=ax,
    )


def _draw_curve(ax: Axes, n_clusters: NDArray[Any], values: NDArray[Any], style: str, **look: Any) -> None:
    """A line through the values that are there, over the gaps of those that are not."""
    there = np.isfinite(values)
    ax.plot(n_clusters[there], values[there], style, **look)


def _draw_null_band(ax: Axes, n_clusters: NDArray[Any], mean: NDArray[Any] | None, std: NDArray[Any] | None) -> None:
    if mean is None or not np.isfinite(mean).any():
        return
    _draw_curve(ax, n_clusters, mean, "-", color=ORANGE, linewidth=1, label="data without clusters (± 2 sd)")
    if std is not None:
        there = np.isfinite(mean) & np.isfinite(std)
        low, high = (mean - 2 * std)[there], (mean + 2 * std)[there]
        ax.fill_between(n_clusters[there], low, high, color=ORANGE, alpha=0.25, linewidth=0)


def _finish_against_k(ax: Axes, n_clusters: NDArray[Any], best_k: int | None) -> None:
    from matplotlib.ticker import MaxNLocator

    if best_k is not None:
        ax.axvline(best_k, color=VERMILION, linestyle=":", linewidth=1.6, label=f"highest silhouette: k = {best_k}")
    ax.set_xlabel("number of clusters k")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=16))
    ax.set_xlim(n_clusters.min() - 0.5, n_clusters.max() + 0.5)
    ax.grid(axis="y", color="#DDDDDD", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.legend(facecolor="white", edgecolor="none", framealpha=0.9, fontsize="small")

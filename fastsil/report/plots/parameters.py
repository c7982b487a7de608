"""A sweep over a parameter: scores, numbers of clusters and noise against its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsil.report.plots.canvas import BLUE, GREY, INK, SKY, VERMILION, axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_parameter_sweep(
    results: Mapping[str, NDArray[Any]], name: str, *, chosen: int | None = None, ax: Axes | None = None
) -> Axes:
    """Draw the scores of the values of a parameter, the clusters found above them, and the share of noise as bars.

    Parameters
    ----------
    results : mapping of str to ndarray of shape (n_values,)
        ``sweep_results_`` of a sweep over a parameter.
    name : str
        Name of the parameter.
    chosen : int, optional
        Place of the value that was chosen, to mark.
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
    scores, places = results["score"], np.arange(len(results["value"]))
    ax.bar(places, np.nan_to_num(results["noise_share"]), width=0.6, color=SKY, alpha=0.4, label="share of noise")
    ax.plot(places, results["silhouette"], "s--", color=GREY, markersize=4, label="mean silhouette without noise")
    ax.plot(places, scores, "o-", color=BLUE, label="score: noise counts 0")
    for place, score, count in zip(places, scores, results["n_clusters"], strict=True):
        if np.isfinite(score):
            ax.annotate(f"{count}", (place, score), (0, 6), textcoords="offset points", ha="center", fontsize="small")
    if chosen is not None:
        ax.axvline(chosen, color=VERMILION, linestyle=":", label=f"chosen: {results['value'][chosen]}")
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_xticks(
        places, [f"{value:g}" if isinstance(value, (int, float)) else f"{value}" for value in results["value"].tolist()]
    )
    ax.set_xlabel(name)
    ax.set_ylabel("mean silhouette, share of noise")
    ax.set_title("Silhouettes, with the number of clusters found", loc="left", fontsize="medium")
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.17), ncols=2, frameon=False, fontsize="small")
    return ax

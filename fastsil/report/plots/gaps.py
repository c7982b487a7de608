"""Samples along the line between two clusters: with a gap, or without."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsil.report.plots.canvas import BLUE, INK, axes_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_profile_between(counts: NDArray[Any], title: str, ax: Axes | None = None) -> Axes:
    """Draw how many samples lie where along the line through two centers.

    Parameters
    ----------
    counts : ndarray of shape (n_bins,)
        Samples in bins of equal width from -1 to 1; the centers are at -1/2 and 1/2.
    title : str
        The two clusters.
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
    ax = axes_for(ax, figsize=(7, 3.2))
    # Two bins as one: fewer, wider bars show the valley rather than the noise.
    bars = np.asarray(counts, dtype=np.float64).reshape(-1, 2).sum(axis=1)
    width = 2 / len(bars)
    ax.bar(-1 + width * np.arange(len(bars)), bars, width=width, align="edge", color=BLUE, edgecolor="white")
    for center in (-0.5, 0.5):
        ax.axvline(center, color=INK, linestyle="--", linewidth=1)
    ax.set_xlim(-1, 1)
    ax.set_xticks([-0.5, 0.0, 0.5], ["center", "midway", "center"])
    ax.set_ylabel("samples")
    ax.set_title(f"Between clusters {title}", loc="left", fontsize="medium")
    return ax

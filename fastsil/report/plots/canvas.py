"""Parts that all pictures share: colors, Axes, and figures as files."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE = "#0072B2"
SKY = "#56B4E9"
VERMILION = "#D55E00"
ORANGE = "#E69F00"
GREEN = "#009E73"
PURPLE = "#CC79A7"
YELLOW = "#F0E442"
INK = "#222222"
GREY = "#8A8A8A"

# Inches of curves under which a legend has space for two columns.
_TWO_COLUMNS = 4.5

_NEEDS_MATPLOTLIB = "pictures need matplotlib; install it with: pip install 'fastsil[plots]'"


def new_figure(width: float = 7.0, height: float = 4.2) -> Figure:
    """Return a figure without a window: it needs no display, and pyplot holds no reference to it.

    Parameters
    ----------
    width, height : float
        Size in inches.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(_NEEDS_MATPLOTLIB) from error
    return Figure(figsize=(width, height), layout="constrained")


def save_picture(figure: Figure, path: Path | IO[bytes]) -> None:
    """Save a figure as PNG, sharp enough for a page, to a path or an open file."""
    figure.savefig(path, format="png", dpi=160, facecolor="white")


def pyplot() -> Any:
    """Return matplotlib.pyplot, or raise an error that names the extra."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(_NEEDS_MATPLOTLIB) from error
    return plt


def axes_for(ax: Axes | None, *, figsize: tuple[float, float]) -> Axes:
    """Return the Axes given, or those of a new figure, without the two lines of the frame that carry no scale."""
    if ax is None:
        axes: Axes = pyplot().subplots(figsize=figsize, layout="constrained")[1]
        ax = axes
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def two_axes_for(axes: Any) -> Any:
    """Return two Axes side by side, those of a new figure if none are given."""
    return pyplot().subplots(1, 2, figsize=(13, 4.2), layout="constrained")[1] if axes is None else axes


def finish_against_k(ax: Axes, n_clusters: NDArray[Any]) -> None:
    """Finish curves against k: whole numbers on the x axis, faint horizontal lines, and a legend below, where it hides
    no curve.
    """
    from matplotlib.ticker import MaxNLocator

    ax.set_xlabel("number of clusters k")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=16))
    ax.set_xlim(n_clusters.min() - 0.5, n_clusters.max() + 0.5)
    ax.grid(axis="y", color="#DDDDDD", linewidth=0.7)
    ax.set_axisbelow(True)
    # A legend wider than the picture would be cut.
    ncols = 2 if ax.bbox.width / ax.figure.dpi >= _TWO_COLUMNS else 1
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.17), ncols=ncols, frameon=False, fontsize="small")

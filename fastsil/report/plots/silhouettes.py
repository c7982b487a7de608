"""The silhouettes of one clustering: as sorted bars, and how they are distributed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsil.report.plots.canvas import BLUE, GREY, INK, SKY, VERMILION, axes_for
from fastsil.report.words import show_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Bars drawn for one cluster at most: more than the pixels of its height, fewer than a picture of millions of
# samples would need seconds for.
_MAX_BARS = 1000

# Of more clusters than this, bars of samples are too thin to be seen: each is drawn as its mean and a range.
_MAX_BARRED = 50

# Share of a cluster's samples on either side of that range.
_OUTSIDE = 0.1

# More clusters than this leave no space for a label next to each.
_MAX_NAMED = 30

# Bars of a distribution on each side of 0 at most.
_BINS_A_SIDE = 40

# Gap between clusters, as a share of all samples; and of all gaps together, lest many leave no space for bars.
_GAP = 0.012
_ALL_GAPS = 0.3


def draw_silhouettes(
    silhouettes: NDArray[Any],
    codes: NDArray[Any],
    classes: NDArray[Any],
    *,
    score: float,
    ax: Axes | None = None,
) -> Axes:
    """Draw the silhouette plot: each cluster's samples as sorted bars, the mean as a line, negatives marked.

    Of more than 50 clusters, which are sorted by their means then, each is its mean and the range of 80 % of its
    samples.

    Parameters
    ----------
    silhouettes : ndarray of shape (n_samples,)
        Silhouettes, -1 to 1.
    codes : ndarray of shape (n_samples,), integer
        Index into ``classes`` for every sample.
    classes : ndarray of shape (n_clusters,)
        Labels of the clusters, in the order to draw them from the top; each has a sample.
    score : float
        Mean silhouette.
    ax : matplotlib Axes, optional
        Where to draw; a new figure's by default.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ImportError
        If matplotlib is not installed.

    References
    ----------
    P. J. Rousseeuw (1987), "Silhouettes: a graphical aid to the interpretation and validation of cluster
    analysis", Journal of Computational and Applied Mathematics 20, 53-65.

    Examples
    --------
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> import numpy as np
    >>> ax = draw_silhouettes(np.array([0.8, 0.6, -0.1]), np.array([0, 0, 1]), np.array(["u", "v"]), score=0.43)
    >>> ax.get_xlabel()
    'silhouette'
    """
    ax = axes_for(ax, figsize=(7.5, height_for(len(classes))))
    sizes = np.bincount(codes, minlength=len(classes))
    # Sorted within each cluster, one cluster after the other.
    ordered = np.split(silhouettes[np.lexsort((silhouettes, codes))], np.cumsum(sizes)[:-1])
    drawing = _draw_summary if len(classes) > _MAX_BARRED else _draw_clusters
    handles = drawing(ax, ordered, classes)
    _mark_mean(ax, score)
    lowest = min(float(silhouettes.min()), 0.0)
    ax.set_xlim(max(-1.0, lowest - 0.05), min(1.0, float(silhouettes.max()) + 0.05))
    ax.set_xlabel("silhouette")
    title = f"{len(classes):,} clusters, {len(codes):,} samples, {np.count_nonzero(silhouettes < 0):,} of them negative"
    ax.set_title(title, loc="left", fontsize="medium", pad=40 if handles else 22)
    _add_silhouette_legend(ax, score, handles)
    return ax


def describe_silhouettes(n_clusters: int) -> str:
    """Return what :func:`draw_silhouettes` shows of ``n_clusters`` clusters, for readers of the picture."""
    if n_clusters > _MAX_BARRED:
        return (
            "Silhouette plot: one line a cluster, sorted by mean (the dark curve); the band holds "
            f"{1 - 2 * _OUTSIDE:.0%} of the cluster's samples. What is left of 0, in orange, is nearer to another "
            "cluster. A cluster whose band ends before the dashed mean of all samples is a poor one."
        )
    return (
        "Silhouette plot: one bar a sample, sorted within its cluster; on the right, the "
        "cluster's samples and their mean. Bars left of 0, in orange, are samples nearer to another cluster. A "
        "cluster whose bars all end before the dashed mean is a poor one."
    )


def _draw_clusters(ax: Axes, ordered: Sequence[NDArray[Any]], classes: NDArray[Any]) -> list[Any]:
    """Draw each cluster's samples as bars, one cluster below the other."""
    n_samples = sum(map(len, ordered))
    gap = min(_GAP, _ALL_GAPS / len(classes)) * n_samples
    top = 0.0
    middles = []
    for cluster, values in enumerate(ordered):
        _draw_bars(ax, values[::-1], top, color=(BLUE, SKY)[cluster % 2])
        middles.append(top + len(values) / 2)
        top += len(values) + gap
    _name_clusters(ax, classes, ordered, middles)
    ax.set_ylim(top, -gap)
    ax.set_ylabel("cluster")
    return []


def _draw_summary(ax: Axes, ordered: Sequence[NDArray[Any]], classes: NDArray[Any]) -> list[Any]:
    """Draw mean and range of each cluster, sorted by the means; return what the legend names."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    means = np.array([values.mean(dtype=np.float64) for values in ordered])
    order = np.argsort(-means, kind="stable")
    low, high = np.array([np.quantile(ordered[c], (_OUTSIDE, 1 - _OUTSIDE)) for c in order]).T
    edges = np.arange(len(classes) + 1) - 0.5
    low, high = np.append(low, low[-1]), np.append(high, high[-1])
    ax.fill_betweenx(edges, np.maximum(low, 0), np.maximum(high, 0), step="post", color=SKY, linewidth=0)
    ax.fill_betweenx(edges, np.minimum(low, 0), np.minimum(high, 0), step="post", color=VERMILION, linewidth=0)
    ax.plot(means[order], np.arange(len(classes)), color=INK, linewidth=1.4)
    shown = np.unique(np.linspace(0, len(classes) - 1, _MAX_NAMED).round().astype(int))
    ax.set_yticks(shown, [show_text(classes[order[place]]) for place in shown], parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(edges[-1], edges[0])
    ax.set_ylabel("some of the clusters, sorted by mean")
    band = Patch(color=SKY, label=f"{1 - 2 * _OUTSIDE:.0%} of its samples")
    return [Line2D([], [], color=INK, linewidth=1.4, label="mean of a cluster"), band]


def draw_distribution(silhouettes: NDArray[Any], *, score: float, ax: Axes | None = None) -> Axes:
    """Draw how many samples have which silhouette, negatives marked, and the mean as a line.

    Parameters
    ----------
    silhouettes : ndarray of shape (n_samples,)
        Silhouettes, -1 to 1; NaN is left out.
    score : float
        Mean silhouette.
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
    there = silhouettes[np.isfinite(silhouettes)]
    # An edge at 0, so that no bar holds samples of either side.
    width = max(float(np.abs(there).max(initial=0.0)), 1e-9) / _BINS_A_SIDE
    edges = width * np.arange(-_BINS_A_SIDE, _BINS_A_SIDE + 1)
    counts = np.histogram(there, edges)[0]
    colors = np.where(edges[:-1] < -width / 2, VERMILION, BLUE)
    ax.bar(edges[:-1], counts, width=width, align="edge", color=colors, edgecolor="white", linewidth=0.3)
    ax.set_xlim(min(float(there.min(initial=0.0)), 0.0) - width, max(float(there.max(initial=0.0)), 0.0) + width)
    _mark_mean(ax, score)
    ax.set_xlabel("silhouette")
    ax.set_ylabel("samples")
    ax.set_title("Distribution: how many samples have which silhouette", loc="left", fontsize="medium", pad=22)
    _add_silhouette_legend(ax, score)
    return ax


def height_for(n_clusters: int) -> float:
    """Return the height in inches of a silhouette plot of ``n_clusters`` clusters."""
    return float(np.clip(2.2 + 0.33 * n_clusters, 3.6, 11))


def _draw_bars(ax: Axes, values: NDArray[Any], top: float, *, color: str) -> None:
    """Draw one cluster: bars from ``top`` downwards, longest first; negative ones in another color."""
    edges = top + np.arange(len(values) + 1)
    if len(values) > _MAX_BARS:
        # Values are sorted, so equal steps through them keep the outline.
        kept = np.linspace(0, len(values) - 1, _MAX_BARS).round().astype(int)
        values, edges = values[kept], np.linspace(top, top + len(values), _MAX_BARS + 1)
    outline = np.append(values, values[-1])
    ax.fill_betweenx(edges, 0, np.maximum(outline, 0), step="post", color=color, linewidth=0)
    ax.fill_betweenx(edges, 0, np.minimum(outline, 0), step="post", color=VERMILION, linewidth=0)


def _mark_mean(ax: Axes, score: float) -> None:
    ax.locator_params(axis="x", nbins=6)  # more do not fit a narrow picture
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.axvline(score, color=INK, linewidth=1.2, linestyle="--")


def _name_clusters(
    ax: Axes,
    classes: NDArray[Any],
    ordered: Sequence[NDArray[Any]],
    middles: Sequence[float],
) -> None:
    """Write the label of each cluster on the left, its size and mean on the right; of many clusters, only some."""
    every = -(-len(classes) // _MAX_NAMED)
    shown = range(0, len(classes), every)
    ax.set_yticks([middles[c] for c in shown], [show_text(classes[c]) for c in shown], parse_math=False)
    ax.tick_params(axis="y", length=0)
    if every > 1:
        return
    for cluster in shown:
        ax.annotate(
            f"{len(ordered[cluster]):,} · {ordered[cluster].mean(dtype=np.float64):+.2f}",
            (1.01, middles[cluster]),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize="small",
            color=INK,
        )
    ax.annotate("samples · mean", (1.01, 1.01), xycoords="axes fraction", va="bottom", fontsize="small", color=GREY)


def _add_silhouette_legend(ax: Axes, score: float, more: Sequence[Any] = ()) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    mean = Line2D([], [], color=INK, linestyle="--", linewidth=1.2, label=f"mean {score:.3f}")
    negative = Patch(color=VERMILION, label="nearer to another cluster")
    # Above the axes, where no bar can be, and under the title.
    ax.legend(
        handles=[mean, negative, *more],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=2,
        frameon=False,
        fontsize="small",
        borderaxespad=0.2,
        borderpad=0,
        handlelength=1.5,
        columnspacing=1.2,
    )

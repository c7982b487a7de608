"""Pictures: the silhouette plot, the distribution of silhouettes, the elbow, silhouettes against k, a map.

Functions of arrays that draw into matplotlib Axes and return them; they never show and never save. Colours are
of Okabe and Ito's set, which colour-blind readers tell apart, and no picture says anything by colour alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BLUE = "#0072B2"
_SKY = "#56B4E9"
_VERMILION = "#D55E00"
_ORANGE = "#E69F00"
_GREEN = "#009E73"
_PURPLE = "#CC79A7"
_YELLOW = "#F0E442"
_INK = "#222222"
_GREY = "#8A8A8A"

# Clusters on a map take turns with these; clusters that share a colour differ in their mark.
_TURNS = (_BLUE, _ORANGE, _GREEN, _PURPLE, _SKY, _VERMILION, _YELLOW, _GREY)
_MARKS = ("o", "s", "^", "D", "P", "X")

# Bars drawn for one cluster at most: more than the pixels of its height, fewer than a picture of millions of
# samples would need seconds for.
_MAX_BARS = 1000

# More clusters than this leave no room for a word beside each.
_MAX_NAMED = 30

# Bars of a distribution on each side of 0 at most.
_BINS_A_SIDE = 40

# Gap between clusters, as a share of all samples; and of all gaps together, lest many leave no room for bars.
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

    Parameters
    ----------
    silhouettes : ndarray of shape (n_samples,)
        Silhouettes, -1 to 1.
    codes : ndarray of shape (n_samples,), integer
        Index into ``classes`` for every sample.
    classes : ndarray of shape (n_clusters,)
        Labels of the clusters, in the order to draw them from the top.
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
    ax = _axes(ax, figsize=(7.5, height_for(len(classes))))
    sizes = np.bincount(codes, minlength=len(classes))
    gap = min(_GAP, _ALL_GAPS / len(classes)) * len(codes)
    top = 0.0
    middles = []
    for cluster, size in enumerate(sizes):
        values = np.sort(silhouettes[codes == cluster])[::-1]
        _draw_bars(ax, values, top, colour=(_BLUE, _SKY)[cluster % 2])
        middles.append(top + size / 2)
        top += size + gap
    _mark_mean(ax, score)
    _name_clusters(ax, classes, silhouettes, codes, sizes, middles)
    lowest = min(float(silhouettes.min()), 0.0)
    ax.set_xlim(max(-1.0, lowest - 0.05), min(1.0, float(silhouettes.max()) + 0.05))
    ax.set_ylim(top, -gap)
    ax.set_xlabel("silhouette")
    ax.set_ylabel("cluster")
    title = f"{len(classes)} clusters, {len(codes):,} samples, {np.count_nonzero(silhouettes < 0):,} of them negative"
    ax.set_title(title, loc="left", fontsize="medium", pad=22)
    _legend_of_silhouettes(ax, score)
    return ax


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
    ax = _axes(ax, figsize=(7, 4.2))
    _draw_null_band(ax, n_clusters, null_mean, null_std)
    _draw_curve(ax, n_clusters, inertia, "o-", color=_BLUE, label="inertia")
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
    ax = _axes(ax, figsize=(7, 4.2))
    _draw_null_band(ax, n_clusters, null_mean, null_std)
    _draw_curve(ax, n_clusters, silhouette, "o-", color=_BLUE, zorder=3, label="mean over samples")
    if macro_silhouette is not None:
        _draw_curve(ax, n_clusters, macro_silhouette, "s--", color=_GREY, markersize=4, label="mean of cluster means")
    ax.axhline(0, color=_INK, linewidth=0.8)
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
        axes = _pyplot().subplots(1, 2, figsize=(13, 4.2), layout="constrained")[1]
    left, right = axes
    draw_elbow(results["n_clusters"], results["inertia"], best_k=best_k, ax=left)
    draw_scores(results["n_clusters"], results["silhouette"], results["macro_silhouette"], best_k=best_k, ax=right)
    return np.array([left, right], dtype=object)


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
    ax = _axes(ax, figsize=(7, 4.2))
    there = silhouettes[np.isfinite(silhouettes)]
    # An edge at 0, so that no bar holds samples of either side.
    width = max(float(np.abs(there).max(initial=0.0)), 1e-9) / _BINS_A_SIDE
    edges = width * np.arange(-_BINS_A_SIDE, _BINS_A_SIDE + 1)
    counts = np.histogram(there, edges)[0]
    colours = np.where(edges[:-1] < -width / 2, _VERMILION, _BLUE)
    ax.bar(edges[:-1], counts, width=width, align="edge", color=colours, edgecolor="white", linewidth=0.3)
    ax.set_xlim(min(float(there.min(initial=0.0)), 0.0) - width, max(float(there.max(initial=0.0)), 0.0) + width)
    _mark_mean(ax, score)
    ax.set_xlabel("silhouette")
    ax.set_ylabel("samples")
    ax.set_title("Distribution: how many samples have which silhouette", loc="left", fontsize="medium", pad=22)
    _legend_of_silhouettes(ax, score)
    return ax


def draw_map(coordinates: NDArray[Any], codes: NDArray[Any], classes: NDArray[Any], *, ax: Axes | None = None) -> Axes:
    """Draw samples in the plane, coloured by cluster, with each cluster's label at its middle.

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
    ax = _axes(ax, figsize=(6, 5))
    for cluster, label in enumerate(classes):
        x, y = coordinates[codes == cluster].T
        if not len(x):
            continue
        colour = _TURNS[cluster % len(_TURNS)]
        mark = _MARKS[cluster // len(_TURNS) % len(_MARKS)]
        ax.scatter(x, y, s=_dot_size(len(codes)), c=colour, marker=mark, linewidths=0, alpha=0.7)
        name = ax.annotate(str(label), (np.median(x), np.median(y)), parse_math=False, ha="center", va="center")
        name.set_bbox({"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": colour, "alpha": 0.85})
        name.set_fontsize("small")
    _finish_map(ax)
    return ax


def draw_silhouette_map(coordinates: NDArray[Any], silhouettes: NDArray[Any], *, ax: Axes | None = None) -> Axes:
    """Draw samples in the plane, coloured by silhouette, negative ones as crosses on top.

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
    ax = _axes(ax, figsize=(6, 5))
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("silhouette", [_VERMILION, "#E4E0DA", _BLUE])
    reach = max(float(np.abs(silhouettes).max(initial=0.0)), 1e-9)
    size = _dot_size(len(silhouettes))
    for part, mark, size_of_mark in ((silhouettes >= 0, "o", size), (silhouettes < 0, "x", 1.5 * size)):
        x, y = coordinates[part].T
        dots = ax.scatter(
            x,
            y,
            s=size_of_mark,
            c=silhouettes[part],
            cmap=colours,
            vmin=-reach,
            vmax=reach,
            marker=mark,
            linewidths=0.8,
        )
    bar = ax.figure.colorbar(dots, ax=ax, location="bottom", fraction=0.05, aspect=30)
    bar.set_label("silhouette (negative: crosses)", fontsize="small")
    _finish_map(ax)
    return ax


def new_figure(width: float = 7.0, height: float = 4.2) -> Figure:
    """A figure that no window knows: it needs no display, and pyplot does not keep it.

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


def height_for(n_clusters: int) -> float:
    """Height in inches that a silhouette plot of so many clusters wants."""
    return float(np.clip(2.2 + 0.33 * n_clusters, 3.6, 11))


def save_picture(figure: Figure, path: Path | IO[bytes]) -> None:
    """Save a figure as PNG, sharp enough for a page, to a path or an open file."""
    figure.savefig(path, format="png", dpi=160, facecolor="white")


_NEEDS_MATPLOTLIB = "pictures need matplotlib; install it with: pip install 'fastsil[plots]'"


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(_NEEDS_MATPLOTLIB) from error
    return plt


def _axes(ax: Axes | None, *, figsize: tuple[float, float]) -> Axes:
    if ax is None:
        axes: Axes = _pyplot().subplots(figsize=figsize, layout="constrained")[1]
        ax = axes
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _dot_size(n_samples: int) -> float:
    """Area of a dot in square points: small enough that a thousand do not hide each other."""
    return float(np.clip(12000 / max(n_samples, 1), 3, 30))


def _finish_map(ax: Axes) -> None:
    # Equal steps on both axes: a map that stretches one shows clusters that are not there.
    ax.set_aspect("equal", adjustable="datalim")
    ax.set_xlabel("first principal component")
    ax.set_ylabel("second principal component")
    ax.tick_params(labelsize="small")


def _draw_curve(ax: Axes, n_clusters: NDArray[Any], values: NDArray[Any], style: str, **look: Any) -> None:
    """A line through the values that are there, over the gaps of those that are not."""
    there = np.isfinite(values)
    ax.plot(n_clusters[there], values[there], style, **look)


def _draw_null_band(ax: Axes, n_clusters: NDArray[Any], mean: NDArray[Any] | None, std: NDArray[Any] | None) -> None:
    if mean is None:
        return
    _draw_curve(ax, n_clusters, mean, "-", color=_ORANGE, linewidth=1, label="data without clusters (± 2 sd)")
    if std is not None:
        there = np.isfinite(mean) & np.isfinite(std)
        low, high = (mean - 2 * std)[there], (mean + 2 * std)[there]
        ax.fill_between(n_clusters[there], low, high, color=_ORANGE, alpha=0.25, linewidth=0)


def _draw_bars(ax: Axes, values: NDArray[Any], top: float, *, colour: str) -> None:
    """One cluster: bars from ``top`` downwards, longest first; negative ones in another colour."""
    edges = top + np.arange(len(values) + 1)
    if len(values) > _MAX_BARS:
        # Values are sorted, so equal steps through them keep the outline.
        kept = np.linspace(0, len(values) - 1, _MAX_BARS).round().astype(int)
        values, edges = values[kept], np.linspace(top, top + len(values), _MAX_BARS + 1)
    outline = np.append(values, values[-1])
    ax.fill_betweenx(edges, 0, np.maximum(outline, 0), step="post", color=colour, linewidth=0)
    ax.fill_betweenx(edges, 0, np.minimum(outline, 0), step="post", color=_VERMILION, linewidth=0)


def _mark_mean(ax: Axes, score: float) -> None:
    ax.axvline(0, color=_INK, linewidth=0.8)
    ax.axvline(score, color=_INK, linewidth=1.2, linestyle="--")


def _name_clusters(
    ax: Axes,
    classes: NDArray[Any],
    silhouettes: NDArray[Any],
    codes: NDArray[Any],
    sizes: NDArray[Any],
    middles: Sequence[float],
) -> None:
    """Label of each cluster on the left, its size and mean on the right; every so many if they are many."""
    every = -(-len(classes) // _MAX_NAMED)
    shown = range(0, len(classes), every)
    ax.set_yticks([middles[c] for c in shown], [str(classes[c]) for c in shown], parse_math=False)
    ax.tick_params(axis="y", length=0)
    if every > 1:
        return
    means = np.bincount(codes, weights=silhouettes, minlength=len(classes)) / np.maximum(sizes, 1)
    for cluster in shown:
        ax.annotate(
            f"{sizes[cluster]:,} · {means[cluster]:+.2f}",
            (1.01, middles[cluster]),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize="small",
            color=_INK,
        )
    ax.annotate("samples · mean", (1.01, 1.01), xycoords="axes fraction", va="bottom", fontsize="small", color=_GREY)


def _legend_of_silhouettes(ax: Axes, score: float) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    mean = Line2D([], [], color=_INK, linestyle="--", linewidth=1.2, label=f"mean {score:.3f}")
    negative = Patch(color=_VERMILION, label="left of 0: nearer to another cluster")
    # Above the axes, where no bar can be, and under the title.
    ax.legend(
        handles=[mean, negative],
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=2,
        frameon=False,
        fontsize="small",
        borderaxespad=0.2,
        borderpad=0,
    )


def _finish_against_k(ax: Axes, n_clusters: NDArray[Any], best_k: int | None) -> None:
    from matplotlib.ticker import MaxNLocator

    if best_k is not None:
        ax.axvline(best_k, color=_VERMILION, linestyle=":", linewidth=1.6, label=f"highest silhouette: k = {best_k}")
    ax.set_xlabel("number of clusters k")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=16))
    ax.set_xlim(n_clusters.min() - 0.5, n_clusters.max() + 0.5)
    ax.grid(axis="y", color="#DDDDDD", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.legend(facecolor="white", edgecolor="none", framealpha=0.9, fontsize="small")

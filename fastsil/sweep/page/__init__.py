"""A sweep as one HTML page that needs nothing else: no network, no scripts, pictures inside.

Pictures come from ``plots`` and words from ``report``; the page puts them together in a template that escapes
whatever is given to it, and forbids the browser to load anything.
"""

from __future__ import annotations

import base64
import datetime
import functools
import importlib.resources
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsil.report.plots import (
    describe_silhouettes,
    draw_distribution,
    draw_geometry_excess,
    draw_geometry_scores,
    draw_map,
    draw_profile_between,
    draw_silhouette_map,
    draw_stability,
    draw_sweep_elbow,
    draw_sweep_scores,
    height_for,
    new_figure,
    save_picture,
)
from fastsil.report.tables import Column, cluster_columns, geometry_columns, side_by_side, sweep_columns
from fastsil.report.words import count, format_bytes, read_score, readings, show_text
from fastsil.runtime.atomic_files import replacing
from fastsil.scoring.profile import SilhouetteProfile
from fastsil.sweep.gaps import GapsAtK
from fastsil.sweep.geometry_sweep import GeometrySweep
from fastsil.sweep.page.projection import Plane, principal_plane
from fastsil.sweep.verdict import Verdict

if TYPE_CHECKING:
    from jinja2 import Template
    from matplotlib.axes import Axes

_KINDS = {"groups": "separate groups", "cloud": "one random cloud", "continuum": "a continuum"}

# Pairs of clusters whose profiles are shown.
_MOST_PROFILES = 2

# Inches. A phone shows a picture of this width at about 80 pixels an inch, so that its letters stay legible.
_WIDTH, _HEIGHT = 4.8, 3.6

# Of pictures with a legend below.
_CURVES_HEIGHT = 4.6


@dataclass(frozen=True, eq=False)
class SweepContent:
    """Contents of a page of a sweep.

    Attributes
    ----------
    name : str
        Name of the data; may be empty.
    n_features : int
        Number of features of the data.
    n_bytes : int, optional
        Size of the data in memory.
    results : mapping of str to ndarray of shape (n_tried,)
        ``sweep_results_`` of a sweep.
    best_k : int
        The k of the highest mean silhouette.
    profiles : mapping of int to SilhouetteProfile
        For each k that was scored.
    coordinates : ndarray or CSR matrix of shape (n_samples, n_features), optional
        The samples as they were clustered, for a map.
    diagnosis : Diagnosis, optional
        What was found about that clustering.
    verdict : Verdict
        What the sweep amounts to; its k is looked at closely, or ``best_k`` if it has none.
    geometries : sequence of GeometrySweep
        All geometries that were tried; the rest is about the chosen one.
    failed_geometries : sequence of str
        Names of those that failed.
    geometry : str
        Name of that one.
    gaps : GapsAtK, optional
        Samples along the lines between the centers of k clusters.
    """

    name: str
    n_features: int
    results: Mapping[str, NDArray[Any]]
    best_k: int
    verdict: Verdict
    profiles: Mapping[int, SilhouetteProfile]
    coordinates: Any = None
    diagnosis: Any = None
    geometries: Sequence[GeometrySweep] = ()
    failed_geometries: Sequence[str] = ()
    geometry: str = ""
    gaps: GapsAtK | None = None
    n_bytes: int | None = None

    @property
    def k(self) -> int:
        """The k that is looked at closely."""
        return self.best_k if self.verdict.k is None else self.verdict.k


@dataclass(frozen=True)
class _Picture:
    """An image as an address that holds it, and its description for readers who cannot see it."""

    source: str
    alt: str
    caption: str = ""


def write_sweep_page(path: Path, content: SweepContent) -> None:
    """Write the page of a sweep; the file is whole or not there.

    Parameters
    ----------
    path : Path
        Where to write; a file that is there is replaced.
    content : SweepContent
        What the page shows.

    Raises
    ------
    ImportError
        If Jinja2 or matplotlib is not installed.
    OSError
        If it cannot be written.
    """
    chosen = content.profiles.get(content.k)
    plane = None if chosen is None or content.coordinates is None else principal_plane(content.coordinates)
    page = load_template().render(
        name=content.name,
        verdict=content.verdict,
        about=_about(content),
        facts=_facts(content),
        curves=_curves(content),
        geometry=content.geometry,
        geometries=_geometries(content),
        k=content.k,
        closer=[] if chosen is None else [*_close_pictures(chosen, content.k), *_gap_pictures(content, chosen)],
        maps=[] if chosen is None or plane is None else _maps(chosen, plane),
        plane=plane,
        gallery=_gallery(content),
        rows=_table(sweep_columns(content.results), marked=content.k),
        clusters=None if chosen is None else _table(cluster_columns(chosen.clusters)),
        failures=_failures(content.results),
        diagnosis=content.diagnosis,
        readings=readings(),
    )
    with replacing(path) as draft:
        draft.write_text(page, encoding="utf-8")


@functools.cache
def load_template() -> Template:
    """Load the template of the page.

    Raises
    ------
    ImportError
        If Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise ImportError("the report needs Jinja2; install it with: pip install 'fastsil[report]'") from error
    source = importlib.resources.files(__name__).joinpath("sweep.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source)


def _about(content: SweepContent) -> str:
    """Return the size of the data, and the date."""
    today = datetime.date.today()
    n_samples = [len(profile.labels) for profile in content.profiles.values()][:1]
    parts = [f"{n:,} samples x {count(content.n_features, 'feature')}" for n in n_samples]
    if content.n_bytes is not None:
        parts.append(format_bytes(content.n_bytes))
    return " · ".join([*parts, f"{today.day} {today:%B %Y}"])


def _facts(content: SweepContent) -> list[tuple[str, str]]:
    """Return the few numbers that matter, each under its name."""
    verdict, profile = content.verdict, content.profiles.get(content.k)
    row = int(np.flatnonzero(content.results["n_clusters"] == content.k)[0])
    facts = [("number of clusters k", " or ".join(map(str, verdict.good_k or (content.k,))))]
    if profile is not None:
        n_samples = len(profile.silhouettes)
        null = f"{content.results['null_mean'][row]:.3f}"
        facts += [
            ("what the data are", _KINDS[verdict.kind])
            if verdict.kind is not None
            else ("structure", verdict.structure)
            if verdict.tested
            else ("structure, by the usual table", read_score(profile.score).structure),
            ("mean silhouette", f"{profile.score:.3f}"),
            *(
                [("mean silhouette of data without clusters", null)]
                if np.isfinite(content.results["null_mean"][row])
                else []
            ),
            ("samples with a negative silhouette", f"{profile.n_negative / n_samples:.1%}"),
            ("metric", profile.metric) if content.geometry in ("", profile.metric) else ("geometry", content.geometry),
        ]
    inertia = float(content.results["inertia"][row])
    if np.isfinite(inertia) and not verdict.tested:
        facts.append(("inertia", f"{inertia:,.0f}" if inertia >= 1000 else f"{inertia:.4g}"))
    return facts


def _failures(results: Mapping[str, NDArray[Any]]) -> list[tuple[int, str]]:
    return [(k, error) for k, error in zip(results["n_clusters"], results["error"], strict=True) if error]


def _curves(content: SweepContent) -> list[_Picture]:
    results, best_k, chosen_k = content.results, content.best_k, content.verdict.k
    with_null = np.isfinite(results["null_mean"]).any()
    pictures: list[_Picture] = []
    if len(results["n_clusters"]) == 1:  # a curve of one point is none
        return pictures
    if content.profiles:
        band = (
            " The orange band is what data without clusters score: only what lies above it speaks for clusters."
            if with_null
            else ""
        )
        pictures.append(
            _picture(
                lambda ax: draw_sweep_scores(results, best_k=best_k, chosen_k=chosen_k, ax=ax),
                height=_CURVES_HEIGHT,
                alt=f"Curve of the mean silhouette against k; the highest is at k = {best_k}.",
                caption="Silhouette against k. Higher is better: 1 is perfect, 0 is on the border between clusters. A "
                "clear peak speaks for its k; a flat line says that no k is better than its neighbors." + band,
            )
        )
    if np.isfinite(results["inertia"]).any():
        band = " It falls for data without clusters too (orange band); what counts is how far below it is."
        pictures.append(
            _picture(
                lambda ax: draw_sweep_elbow(results, best_k=best_k, chosen_k=chosen_k, ax=ax),
                height=_CURVES_HEIGHT,
                alt="Curve of the inertia against k.",
                caption="The elbow. Inertia falls with more clusters whatever the data are, so look for a kink "
                "after which it flattens, not for the lowest point. Often there is none." + (band if with_null else ""),
            )
        )
    if np.isfinite(results["stability"]).any():
        pictures.append(
            _picture(
                lambda ax: draw_stability(
                    results["n_clusters"],
                    results["stability"],
                    results["stability_std"],
                    best_k=best_k,
                    chosen_k=chosen_k,
                    ax=ax,
                ),
                height=_CURVES_HEIGHT,
                alt="Curve of the agreement of clusterings of two parts of the data against k.",
                caption="Stability. Two random parts of the data were clustered apart: 1 means that both gave the same "
                "clusters, 0 that they agree no more than by chance. Clusters that exist are found again.",
            )
        )
    return pictures


def _geometries(content: SweepContent) -> dict[str, Any] | None:
    """Make tables and pictures of several geometries side by side; None for a single one."""
    if len(content.geometries) + len(content.failed_geometries) < 2:
        return None
    tables = {one.name: one.results for one in content.geometries}
    pictures = [
        _picture(
            lambda ax: draw_geometry_scores(tables, ax=ax),
            height=_CURVES_HEIGHT,
            alt="Curves of the mean silhouette against k, one for each geometry.",
            caption="Mean silhouettes of each geometry. Their scales differ, so a higher curve is not a better one: "
            "each counts only against its own data without clusters.",
        )
    ]
    compared = any(np.isfinite(results["null_excess"]).any() for results in tables.values())
    if compared:
        pictures.append(
            _picture(
                lambda ax: draw_geometry_excess(tables, ax=ax),
                height=_CURVES_HEIGHT,
                alt="Curves of how far the scores lie above data without clusters, one for each geometry.",
                caption="How far the scores lie above those of data without clusters, in standard deviations of "
                "these. Here the geometries do compare: the highest curve shows most structure.",
            )
        )
    return {
        "summary": _table(geometry_columns(content.geometries, content.failed_geometries), marked=content.geometry),
        "scores": _table(side_by_side(tables)),
        "pictures": pictures,
        "compared": compared,
    }


def _close_pictures(profile: SilhouetteProfile, k: int) -> list[_Picture]:
    return [
        _picture(
            lambda ax: _draw_bars(profile, ax),
            height=height_for(profile.n_clusters),
            alt=f"Silhouette plot of k = {k}: the silhouettes of every cluster.",
            caption=describe_silhouettes(profile.n_clusters),
        ),
        _picture(
            lambda ax: draw_distribution(profile.silhouettes, score=profile.score, ax=ax),
            alt=f"Histogram of the silhouettes of k = {k}.",
            caption="How many samples have which silhouette. One hill near 0 means that most samples lie "
            "between clusters; a hill far to the right means that they lie well inside.",
        ),
    ]


def _gap_pictures(content: SweepContent, profile: SilhouetteProfile) -> list[_Picture]:
    """Draw samples along the lines between the clusters that lie closest; nothing if there is no gap."""
    gaps = content.gaps
    if gaps is None or not len(gaps.closest):
        return []
    names = np.unique(profile.labels)
    pairs = gaps.closest[:_MOST_PROFILES]
    titles = [f"{names[i]} and {names[j]}" for i, j in gaps.pairs[pairs]]
    return [
        _picture(
            functools.partial(draw_profile_between, gaps.profiles[pair], title),
            height=_HEIGHT * 0.7,
            alt=f"Histogram of the samples along the line between clusters {title}.",
            caption=f"Samples along the line between the centers of clusters {title} (dashed lines). "
            + (
                "There is a gap between them."
                if separate
                else "There is no gap: as many samples lie midway as near the centers."
            ),
        )
        for pair, title, separate in zip(pairs, titles, gaps.separate[pairs], strict=True)
    ]


def _maps(profile: SilhouetteProfile, plane: Plane) -> list[_Picture]:
    classes, codes = np.unique(profile.labels[plane.rows], return_inverse=True)
    missing = [show_text(label) for label in np.setdiff1d(profile.labels, classes)]
    left_out = f" Too small to be among the samples drawn: {', '.join(missing)}." if missing else ""
    return [
        _picture(
            lambda ax: draw_map(plane.coordinates, codes, classes, ax=ax),
            height=_WIDTH * 0.9,
            alt="Map of the samples in two dimensions, colored by cluster.",
            caption="Colored by cluster; each label stands in the middle of its cluster." + left_out,
        ),
        _picture(
            lambda ax: draw_silhouette_map(plane.coordinates, profile.silhouettes[plane.rows], ax=ax),
            height=_WIDTH * 0.9,
            alt="The same map, colored by silhouette.",
            caption="Colored by silhouette: negative ones, marked by crosses, lie where clusters meet.",
        ),
    ]


def _gallery(content: SweepContent) -> list[_Picture]:
    """Draw the silhouette plot of each k, all on one scale."""
    if not content.profiles:
        return []
    lowest = min(min(float(profile.silhouettes.min()), 0.0) for profile in content.profiles.values())
    highest = max(float(profile.silhouettes.max()) for profile in content.profiles.values())

    def draw(profile: SilhouetteProfile, ax: Axes) -> None:
        _draw_bars(profile, ax).set_xlim(max(-1.0, lowest - 0.05), min(1.0, highest + 0.05))

    return [
        _picture(
            functools.partial(draw, profile),
            height=height_for(profile.n_clusters),
            alt=f"Silhouette plot of k = {k}.",
            caption=f"k = {k}: mean {profile.score:.3f}, {profile.n_negative:,} negative "
            f"({profile.n_negative / len(profile.silhouettes):.1%})"
            + (" · highest score" if k == content.best_k else ""),
        )
        for k, profile in content.profiles.items()
    ]


def _draw_bars(profile: SilhouetteProfile, ax: Axes) -> Axes:
    """Draw the silhouette plot without its legend, which does not fit a narrow picture; the page's text explains it."""
    if legend := profile.plot(ax).get_legend():
        legend.remove()
    return ax


def _table(columns: list[Column], *, marked: int | str | None = None) -> dict[str, Any]:
    rows = list(zip(*(column.cells for column in columns), strict=True))
    return {"titles": [column.title for column in columns], "rows": rows, "marked": str(marked)}


def _picture(draw: Callable[[Axes], Any], *, alt: str, caption: str, height: float = _HEIGHT) -> _Picture:
    figure = new_figure(_WIDTH, height)
    ax = figure.subplots()
    draw(ax)
    # The caption says it, in letters that wrap.
    ax.set_title("", loc="left")
    file = io.BytesIO()
    save_picture(figure, file)
    encoded = base64.b64encode(file.getvalue()).decode("ascii")
    return _Picture(f"data:image/png;base64,{encoded}", alt, caption)

"""A sweep as one HTML page that needs nothing else: no network, no scripts, pictures inside.

Pictures come from ``plots`` and words from ``report``; the page puts them together in a template that escapes
whatever is given to it, and forbids the browser to load anything.
"""

from __future__ import annotations

import base64
import functools
import importlib.resources
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastsil.files import replacing
from fastsil.page.plane import Plane, principal_plane
from fastsil.plots import (
    draw_distribution,
    draw_elbow,
    draw_map,
    draw_silhouette_map,
    draw_sweep_scores,
    height_for,
    new_figure,
    save_picture,
)
from fastsil.report import (
    Column,
    cluster_columns,
    reading_of,
    readings,
    sweep_columns,
    sweep_headline,
    sweep_sentences,
)

if TYPE_CHECKING:
    from jinja2 import Template
    from matplotlib.axes import Axes

# Inches. A phone shows a picture of this width at about 80 pixels an inch, so that its letters stay legible.
_WIDTH, _HEIGHT = 4.8, 3.6


class Profile(Protocol):
    """What the page asks of the scores of one clustering; :class:`fastsil.profile.SilhouetteProfile` has it."""

    @property
    def silhouettes(self) -> NDArray[Any]: ...
    @property
    def labels(self) -> NDArray[Any]: ...
    @property
    def metric(self) -> str: ...
    @property
    def n_clusters(self) -> int: ...
    @property
    def n_negative(self) -> int: ...
    @property
    def score(self) -> float: ...
    @property
    def clusters(self) -> Any: ...
    def plot(self, ax: Any = None) -> Any: ...


@dataclass(frozen=True, eq=False)
class SweepContent:
    """What a page of a sweep is made from.

    Attributes
    ----------
    name : str
        Name of the data; may be empty.
    n_features : int
        Number of features of the data.
    results : mapping of str to ndarray of shape (n_tried,)
        ``sweep_results_`` of a sweep.
    best_k : int
        The k of the highest mean silhouette.
    profiles : mapping of int to Profile
        For each k that was scored.
    coordinates : ndarray or CSR matrix of shape (n_samples, n_features), optional
        The samples as they were clustered, for a map.
    diagnosis : Diagnosis, optional
        What was found about the clustering of ``best_k``.
    remarks : sequence of str
        Sentences that follow those of :func:`fastsil.report.sweep_sentences`.
    """

    name: str
    n_features: int
    results: Mapping[str, NDArray[Any]]
    best_k: int
    profiles: Mapping[int, Profile]
    coordinates: Any = None
    diagnosis: Any = None
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class _Picture:
    """An image as an address that holds it, and what it shows for who cannot see it."""

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
    best = content.profiles.get(content.best_k)
    plane = None if best is None or content.coordinates is None else principal_plane(content.coordinates)
    page = load_template().render(
        name=content.name,
        headline=sweep_headline(content.results, best_k=content.best_k),
        sentences=[
            *sweep_sentences(content.results, best_k=content.best_k, n_features=content.n_features),
            *content.remarks,
        ],
        facts=_facts(content),
        curves=_curves(content),
        best_k=content.best_k,
        best=[] if best is None else _best_pictures(best, content.best_k),
        maps=[] if best is None or plane is None else _maps(best, plane),
        plane=plane,
        gallery=_gallery(content),
        rows=_table(sweep_columns(content.results), marked=content.best_k),
        clusters=None if best is None else _table(cluster_columns(best.clusters)),
        failures=_failures(content.results),
        diagnosis=content.diagnosis,
        readings=readings(),
    )
    with replacing(path) as draft:
        draft.write_text(page, encoding="utf-8")


@functools.cache
def load_template() -> Template:
    """The template of the page.

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


def _facts(content: SweepContent) -> list[tuple[str, str]]:
    """The few numbers that matter, each under its name."""
    best = content.profiles.get(content.best_k)
    row = int(np.flatnonzero(content.results["n_clusters"] == content.best_k)[0])
    facts = [("k of the highest score", f"{content.best_k}")]
    if best is not None:
        n_samples = len(best.silhouettes)
        share = best.n_negative / n_samples
        facts += [
            ("mean silhouette", f"{best.score:.3f}"),
            ("structure, by the usual table", reading_of(best.score).structure),
            ("samples with a negative silhouette", f"{share:.1%}"),
            ("metric", best.metric),
            ("samples", f"{n_samples:,}"),
        ]
    inertia = float(content.results["inertia"][row])
    if np.isfinite(inertia):
        facts.append(("inertia", f"{inertia:,.0f}" if inertia >= 1000 else f"{inertia:.4g}"))
    return [*facts, ("features", f"{content.n_features:,}")]


def _failures(results: Mapping[str, NDArray[Any]]) -> list[tuple[int, str]]:
    return [(k, error) for k, error in zip(results["n_clusters"], results["error"], strict=True) if error]


def _curves(content: SweepContent) -> list[_Picture]:
    results, best_k = content.results, content.best_k
    pictures = []
    if content.profiles:
        pictures.append(
            _picture(
                lambda ax: draw_sweep_scores(results, best_k=best_k, ax=ax),
                alt=f"Curve of the mean silhouette against k; the highest is at k = {best_k}.",
                caption="Silhouette against k. Higher is better: 1 is perfect, 0 is on the border between clusters. A "
                "clear peak speaks for its k; a flat line says that no k is better than its neighbours.",
            )
        )
    if np.isfinite(results["inertia"]).any():
        pictures.append(
            _picture(
                lambda ax: draw_elbow(results["n_clusters"], results["inertia"], best_k=best_k, ax=ax),
                alt="Curve of the inertia against k.",
                caption="The elbow. Inertia falls with more clusters whatever the data are, so look for a kink "
                "after which it flattens, not for the lowest point. Often there is none.",
            )
        )
    return pictures


def _best_pictures(best: Profile, k: int) -> list[_Picture]:
    return [
        _picture(
            lambda ax: _draw_bars(best, ax),
            height=height_for(best.n_clusters),
            alt=f"Silhouette plot of k = {k}: the silhouettes of every cluster as sorted bars.",
            caption="Silhouette plot: one bar a sample, sorted within its cluster; on the right, the "
            "cluster's samples and their mean. Bars left of 0, in orange, are samples nearer to another cluster. A "
            " cluster whose bars all end before the dashed mean is a poor one.",
        ),
        _picture(
            lambda ax: draw_distribution(best.silhouettes, score=best.score, ax=ax),
            alt=f"Histogram of the silhouettes of k = {k}.",
            caption="How many samples have which silhouette. One hill near 0 means that most samples lie "
            "between clusters; a hill far to the right means that they lie well inside.",
        ),
    ]


def _maps(best: Profile, plane: Plane) -> list[_Picture]:
    classes, codes = np.unique(best.labels[plane.rows], return_inverse=True)
    missing = [str(label) for label in np.setdiff1d(best.labels, classes)]
    left_out = f" Too small to be among the samples drawn: {', '.join(missing)}." if missing else ""
    return [
        _picture(
            lambda ax: draw_map(plane.coordinates, codes, classes, ax=ax),
            height=_WIDTH * 0.9,
            alt="Map of the samples in two dimensions, coloured by cluster.",
            caption="Coloured by cluster; each label stands in the middle of its cluster." + left_out,
        ),
        _picture(
            lambda ax: draw_silhouette_map(plane.coordinates, best.silhouettes[plane.rows], ax=ax),
            height=_WIDTH * 0.9,
            alt="The same map, coloured by silhouette.",
            caption="Coloured by silhouette: negative ones, marked by crosses, lie where clusters meet.",
        ),
    ]


def _gallery(content: SweepContent) -> list[_Picture]:
    """The silhouette plot of each k, all on one scale."""
    if not content.profiles:
        return []
    lowest = min(min(float(profile.silhouettes.min()), 0.0) for profile in content.profiles.values())
    highest = max(float(profile.silhouettes.max()) for profile in content.profiles.values())

    def draw(profile: Profile, ax: Axes) -> None:
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


def _draw_bars(profile: Profile, ax: Axes) -> Axes:
    """The silhouette plot without its legend, for which a narrow picture has no room; the page's text explains it."""
    profile.plot(ax).get_legend().remove()
    return ax


def _table(columns: list[Column], *, marked: int | None = None) -> dict[str, Any]:
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

"""The page of one clustering, and the parts of it that the page of a sweep shows too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastsil.engines.dispatch import find_coordinates
from fastsil.report.page import WIDTH, Picture, arrange_table, describe_data, draw_picture, render_page
from fastsil.report.plots import describe_silhouettes, draw_map, draw_silhouette_map, height_for
from fastsil.report.projection import Plane, principal_plane
from fastsil.report.tables import summarize_clusters
from fastsil.report.words import count, format_reading, read_score, show_text
from fastsil.runtime.atomic_files import replacing
from fastsil.scoring.diagnosis import Diagnosis
from fastsil.scoring.profile import SilhouetteProfile
from fastsil.validation import take_samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class ScorePage:
    """The page of labels that were scored; each picture is drawn once, when it is first needed.

    Attributes
    ----------
    name : str
        Name of the data; may be empty.
    profile : SilhouetteProfile
        The scores.
    diagnosis : Diagnosis
        Findings about them.
    X : ndarray or CSR matrix of shape (n_samples, n_features) or (n_samples, n_samples)
        The samples or distances that were scored, checked.
    """

    name: str
    profile: SilhouetteProfile
    diagnosis: Diagnosis
    X: Any

    @cached_property
    def silhouettes(self) -> Picture:
        """The silhouette plot."""
        return draw_silhouettes_picture(self.profile)

    def write(self, path: Path) -> None:
        """Write the page; the file is whole or not there.

        Raises
        ------
        ImportError
            If Jinja2 or matplotlib is not installed.
        OSError
            If it cannot be written.
        """
        profile = self.profile
        plane = self._find_plane()
        columns, summary = summarize_clusters(profile.clusters)
        page = render_page(
            "score.html",
            name=self.name,
            about=describe_data(len(profile.labels), self._n_features, getattr(self.X, "nbytes", None)),
            headline=self._write_headline(),
            decision=self._write_decision(),
            facts=self._list_facts(),
            diagnosis=self.diagnosis,
            pictures=[self.silhouettes, draw_distribution_picture(profile)],
            cluster_rows=arrange_table(columns),
            summary=summary,
            plane=plane,
            maps=[] if plane is None else draw_maps(profile, plane),
        )
        with replacing(path) as draft:
            draft.write_text(page, encoding="utf-8")

    @property
    def _n_features(self) -> int | None:
        return None if self.profile.metric == "precomputed" else int(self.X.shape[1])

    def _find_plane(self) -> Plane | None:
        """Find the plane in which the samples differ most, as the metric measures it; None for distances."""
        X, profile = self.X, self.profile
        if profile.n_ignored:
            X = take_samples(X, np.flatnonzero(~profile.ignored), profile.metric)
        coordinates = find_coordinates(X, profile.metric, {})
        return None if coordinates is None else principal_plane(coordinates)

    def _write_headline(self) -> str:
        severities = {finding.severity for finding in self.diagnosis}
        if "fault" in severities:
            return "Something is broken: do not use this score yet."
        care = ", to be read with care" if "warning" in severities else ""
        return f"The mean silhouette is {self.profile.score:.3f}{care}."

    def _write_decision(self) -> str:
        """Return what to do about the worst finding."""
        worst = next(iter(self.diagnosis), None)
        if worst is None or worst.severity == "note":
            return f"No fault was found in {count(len(self.diagnosis.checked), 'check')}."
        return worst.advice

    def _list_facts(self) -> list[tuple[str, str]]:
        profile = self.profile
        facts = [
            ("mean silhouette", f"{profile.score:.3f}"),
            ("mean of the clusters' means", f"{profile.macro_score:.3f}"),
            ("samples with a negative silhouette", f"{profile.n_negative / profile.n_samples:.1%}"),
            ("clusters", f"{profile.n_clusters:,}"),
            *([] if profile.sample_weight is None else [("total weight", f"{profile.sample_weight.sum():,.6g}")]),
            ("metric", profile.metric),
        ]
        if format_reading(profile.score, self._n_features or 0):
            facts.append(("structure, by the usual table", read_score(profile.score).structure))
        if profile.n_ignored:
            facts.append(("samples left out", f"{profile.n_ignored:,}"))
        return facts


def draw_silhouettes_picture(profile: SilhouetteProfile, limits: tuple[float, float] | None = None) -> Picture:
    """Draw the silhouette plot of a clustering, from one silhouette to another if ``limits`` are given."""

    def draw(ax: Axes) -> None:
        profile.plot(ax)
        if limits is not None:
            ax.set_xlim(limits)

    return draw_picture(
        draw,
        height=height_for(profile.n_clusters),
        alt=f"Silhouette plot of {count(profile.n_clusters, 'cluster')}: the silhouettes of every cluster.",
        caption=describe_silhouettes(profile.n_clusters),
    )


def draw_distribution_picture(profile: SilhouetteProfile) -> Picture:
    """Draw the histogram of the silhouettes of a clustering."""
    return draw_picture(
        profile.plot_distribution,
        alt=f"Histogram of the silhouettes of {count(profile.n_clusters, 'cluster')}.",
        caption="How many samples have which silhouette. One hill near 0 means that most samples lie "
        "between clusters; a hill far to the right means that they lie well inside.",
    )


def draw_maps(profile: SilhouetteProfile, plane: Plane) -> list[Picture]:
    """Draw the samples that were scored in a plane, by cluster and by silhouette."""
    scored = ~profile.ignored
    labels, silhouettes = profile.labels[scored], profile.silhouettes[scored]
    classes, codes = np.unique(labels[plane.rows], return_inverse=True)
    missing = [show_text(label) for label in np.setdiff1d(labels, classes)]
    left_out = f" Too small to be among the samples drawn: {', '.join(missing)}." if missing else ""
    return [
        draw_picture(
            lambda ax: draw_map(plane.coordinates, codes, classes, ax=ax),
            height=WIDTH * 0.9,
            alt="Map of the samples in two dimensions, colored by cluster.",
            caption="Colored by cluster; each label stands in the middle of its cluster." + left_out,
        ),
        draw_picture(
            lambda ax: draw_silhouette_map(plane.coordinates, silhouettes[plane.rows], ax=ax),
            height=WIDTH * 0.9,
            alt="The same map, colored by silhouette.",
            caption="Colored by silhouette. Crosses are negative: samples nearer to another cluster.",
        ),
    ]

"""A sweep as one HTML page.

Pictures come from ``plots`` and words from ``report``; what one clustering looks like is drawn by ``scoring.page``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.report.page import HEIGHT, Picture, arrange_table, describe_data, draw_picture, render_page
from fastsil.report.plots import (
    draw_geometry_excess,
    draw_geometry_scores,
    draw_profile_between,
    draw_stability,
    draw_sweep_elbow,
    draw_sweep_scores,
)
from fastsil.report.projection import Plane, principal_plane
from fastsil.report.tables import cluster_columns, geometry_columns, side_by_side, sweep_columns
from fastsil.report.words import read_score
from fastsil.runtime.atomic_files import replacing
from fastsil.scoring.page import draw_distribution_picture, draw_maps, draw_silhouettes_picture
from fastsil.scoring.profile import SilhouetteProfile
from fastsil.sweep.gaps import GapsAtK
from fastsil.sweep.geometry_sweep import GeometrySweep
from fastsil.sweep.verdict import Verdict

_KINDS = {"groups": "separate groups", "cloud": "one random cloud", "continuum": "a continuum"}

# Pairs of clusters whose profiles are shown.
_MOST_PROFILES = 2

# Inches, of pictures with a legend below.
_CURVES_HEIGHT = 4.6


@dataclass(frozen=True, eq=False)
class SweepPage:
    """The page of a sweep; each picture is drawn once, when it is first needed, and None if there is nothing to draw.

    Attributes
    ----------
    name : str
        Name of the data; may be empty.
    n_features : int
        Number of features of the data.
    n_bytes : int, optional
        Size of the data in memory.
    n_samples : int
        Number of samples; profiles may be of some of them.
    results : mapping of str to ndarray of shape (n_tried,)
        ``sweep_results_`` of a sweep.
    best_k : int
        The k of the highest mean silhouette.
    profiles : mapping of int to SilhouetteProfile
        For each k that was scored.
    coordinates : ndarray or CSR matrix of shape (n_profiled, n_features), optional
        The samples of the profile of k as they were clustered, for a map.
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
    n_samples: int
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

    @cached_property
    def scores(self) -> Picture | None:
        """The mean silhouettes against k."""
        return self._draw_curve(
            draw_sweep_scores,
            self.results["silhouette"],
            alt=f"Curve of the mean silhouette against k; the highest is at k = {self.best_k}.",
            caption="Silhouette against k. Higher is better: 1 is perfect, 0 is on the border between clusters. A "
            "clear peak speaks for its k; a flat line says that no k is better than its neighbors.",
            of_null=" The orange band is data without clusters: only what lies above it speaks for clusters.",
        )

    @cached_property
    def elbow(self) -> Picture | None:
        """The inertia against k."""
        return self._draw_curve(
            draw_sweep_elbow,
            self.results["inertia"],
            alt="Curve of the inertia against k.",
            caption="The elbow. Inertia falls with more clusters whatever the data are, so look for a kink "
            "after which it flattens, not for the lowest point. Often there is none.",
            of_null=" It falls for data without clusters too (orange band); what counts is how far below it is.",
        )

    @cached_property
    def stability(self) -> Picture | None:
        """The agreement of clusterings of parts of the data against k."""
        return self._draw_curve(
            draw_stability,
            self.results["stability"],
            alt="Curve of the agreement of clusterings of two parts of the data against k.",
            caption="Stability. Two random parts of the data were clustered separately: 1 means that both gave the "
            "same clusters, 0 that they agree no more than by chance. Clusters that exist are found again.",
        )

    @cached_property
    def geometry_scores(self) -> Picture | None:
        """The mean silhouettes of several geometries against k."""
        if not self._several_geometries:
            return None
        return draw_picture(
            lambda ax: draw_geometry_scores(self._tables, ax=ax),
            height=_CURVES_HEIGHT,
            alt="Curves of the mean silhouette against k, one for each geometry.",
            caption="Mean silhouettes of each geometry. Their scales differ, so a higher curve is not a better one: "
            "compare each only with its own data without clusters.",
        )

    @cached_property
    def geometry_excess(self) -> Picture | None:
        """The distance of each geometry's scores from those of data without clusters, against k."""
        if not self._several_geometries or not self._compared:
            return None
        return draw_picture(
            lambda ax: draw_geometry_excess(self._tables, ax=ax),
            height=_CURVES_HEIGHT,
            alt="Curves of how far the scores lie above data without clusters, one for each geometry.",
            caption="How far the scores lie above those of data without clusters, in standard deviations of "
            "these. These curves can be compared: the highest one shows most structure.",
        )

    @cached_property
    def silhouettes(self) -> dict[int, Picture]:
        """The silhouette plot of each k, all on one scale."""
        ends = [
            (float(np.nanmin(profile.silhouettes)), float(np.nanmax(profile.silhouettes)))
            for profile in self.profiles.values()
        ]
        lowest, highest = min((low for low, _ in ends), default=0.0), max((high for _, high in ends), default=0.0)
        limits = max(-1.0, min(lowest, 0.0) - 0.05), min(1.0, highest + 0.05)
        return {k: draw_silhouettes_picture(profile, limits) for k, profile in self.profiles.items()}

    def write(self, path: Path) -> None:
        """Write the page; the file is whole or not there.

        Raises
        ------
        ImportError
            If Jinja2 or matplotlib is not installed.
        OSError
            If it cannot be written.
        """
        chosen = self.profiles.get(self.k)
        plane = None if chosen is None else self._make_plane(chosen)
        page = render_page(
            "sweep.html",
            name=self.name,
            verdict=self.verdict,
            about=self._describe_data(),
            facts=self._list_facts(),
            curves=list(filter(None, [self.scores, self.elbow, self.stability])),
            geometry=self.geometry,
            geometries=self._compare_geometries(),
            k=self.k,
            closer=[] if chosen is None else self._look_closer(chosen),
            maps=[] if chosen is None or plane is None else draw_maps(chosen, plane),
            plane=plane,
            gallery=[self._caption(k) for k in self.profiles],
            rows=arrange_table(sweep_columns(self.results), marked=self.k),
            cluster_rows=None if chosen is None else arrange_table(cluster_columns(chosen.clusters)),
            failures=_list_failures(self.results),
            diagnosis=self.diagnosis,
        )
        with replacing(path) as draft:
            draft.write_text(page, encoding="utf-8")

    def _make_plane(self, chosen: SilhouetteProfile) -> Plane | None:
        """Return the plane of the samples that were scored; None without samples."""
        if self.coordinates is None:
            return None
        return principal_plane(self.coordinates[~chosen.ignored] if chosen.n_ignored else self.coordinates)

    def _draw_curve(
        self, draw: Callable[..., Any], values: NDArray[Any], *, alt: str, caption: str, of_null: str = ""
    ) -> Picture | None:
        """Draw a column of the results against k; a curve of one point is none."""
        if len(self.results["n_clusters"]) == 1 or not np.isfinite(values).any():
            return None
        columns = sweep_columns(self.results)
        hints = {
            int(k): "\n".join(f"{column.title}: {column.cells[row]}" for column in columns)
            for row, k in enumerate(self.results["n_clusters"])
        }
        return draw_picture(
            lambda ax: draw(self.results, best_k=self.best_k, chosen_k=self.verdict.k, ax=ax),
            height=_CURVES_HEIGHT,
            alt=alt,
            caption=caption + (of_null if np.isfinite(self.results["null_mean"]).any() else ""),
            hints=hints,
        )

    def _describe_data(self) -> str:
        described = describe_data(self.n_samples, self.n_features, self.n_bytes)
        n_shown = next((len(profile.labels) for profile in self.profiles.values()), self.n_samples)
        return described if n_shown == self.n_samples else f"{described} · pictures of {n_shown:,} samples drawn"

    def _list_facts(self) -> list[tuple[str, str]]:
        """Return the few numbers that matter, each under its name."""
        verdict, profile = self.verdict, self.profiles.get(self.k)
        row = self._find_row(self.k)
        facts = [("number of clusters k", " or ".join(map(str, verdict.good_k or (self.k,))))]
        if profile is not None:
            null = f"{self.results['null_mean'][row]:.3f}"
            facts += [
                ("what the data are", _KINDS[verdict.kind])
                if verdict.kind is not None
                else ("structure", verdict.structure)
                if verdict.tested
                else ("structure, by the usual table", read_score(self.results["silhouette"][row]).structure),
                ("mean silhouette", f"{self.results['silhouette'][row]:.3f}"),
                *(
                    [("mean silhouette of data without clusters", null)]
                    if np.isfinite(self.results["null_mean"][row])
                    else []
                ),
                ("samples with a negative silhouette", f"{self._negative_share(row):.1%}"),
                *([("samples left out", f"{profile.n_ignored:,}")] if profile.n_ignored else []),
                ("metric", profile.metric) if self.geometry in ("", profile.metric) else ("geometry", self.geometry),
            ]
        inertia = float(self.results["inertia"][row])
        if np.isfinite(inertia) and not verdict.tested:
            facts.append(("inertia", f"{inertia:,.0f}" if inertia >= 1000 else f"{inertia:.4g}"))
        return facts

    def _find_row(self, k: int) -> int:
        return int(np.flatnonzero(self.results["n_clusters"] == k)[0])

    def _negative_share(self, row: int) -> float:
        counts = [int(self.results[name][row]) for name in ("n_negative", "n_zero", "n_positive")]
        return counts[0] / sum(counts)

    @property
    def _several_geometries(self) -> bool:
        return len(self.geometries) + len(self.failed_geometries) > 1

    @property
    def _tables(self) -> dict[str, Mapping[str, NDArray[Any]]]:
        return {one.name: one.results for one in self.geometries}

    @property
    def _compared(self) -> bool:
        """Whether geometries were compared with data without clusters."""
        return any(np.isfinite(results["null_excess"]).any() for results in self._tables.values())

    def _compare_geometries(self) -> dict[str, Any] | None:
        """Make tables and pictures of several geometries side by side; None for a single one."""
        if not self._several_geometries:
            return None
        columns = geometry_columns(self.geometries, self.failed_geometries)
        return {
            "summary": arrange_table(columns, marked=self.geometry),
            "scores": arrange_table(side_by_side(self._tables)),
            "pictures": list(filter(None, [self.geometry_scores, self.geometry_excess])),
            "compared": self._compared,
        }

    def _look_closer(self, profile: SilhouetteProfile) -> list[Picture]:
        return [self.silhouettes[self.k], draw_distribution_picture(profile), *self._draw_gaps(profile)]

    def _draw_gaps(self, profile: SilhouetteProfile) -> list[Picture]:
        """Draw samples along the lines between the clusters that lie closest; nothing if there is no gap."""
        gaps = self.gaps
        if gaps is None or not len(gaps.closest):
            return []
        names = profile.clusters.label
        pairs = gaps.closest[:_MOST_PROFILES]
        titles = [f"{names[i]} and {names[j]}" for i, j in gaps.pairs[pairs]]
        return [
            draw_picture(
                functools.partial(draw_profile_between, gaps.profiles[pair], title),
                height=HEIGHT * 0.7,
                alt=f"Histogram of the samples along the line between clusters {title}.",
                caption=f"Samples along the line between the centers of clusters {title} (dashed lines). "
                + ("There is a gap between them." if separate else "There is no clear gap between them."),
            )
            for pair, title, separate in zip(pairs, titles, gaps.separate[pairs], strict=True)
        ]

    def _caption(self, k: int) -> Picture:
        """Return the silhouette plot of one of many k, with its numbers below."""
        row = self._find_row(k)
        numbers = f"mean {self.results['silhouette'][row]:.3f}, {self.results['n_negative'][row]:,} negative"
        share = f"{self._negative_share(row):.1%}"
        best = " · highest score" if k == self.best_k else ""
        return replace(self.silhouettes[k], caption=f"k = {k}: {numbers} ({share}){best}")


def describe_sweep(sweep: Any, X: Any, *, name: str) -> SweepPage:
    """Return the page of a sweep.

    Parameters
    ----------
    sweep : KMeansSweep or SilhouetteSweep
        Fitted.
    X : ndarray, CSR matrix or RowBlocks of shape (n_samples, n_features), optional
        Checked samples of the fit, for a map of them.
    name : str
        Name of the data.

    Raises
    ------
    ValueError
        If X has another number of rows than the data of the fit.
    """
    if X is not None and X.shape[0] != len(sweep.labels_):
        raise ValueError(f"X has {X.shape[0]} rows but {len(sweep.labels_)} were fitted; pass the data of the fit.")
    chosen = sweep.best_geometry_
    k = sweep.verdict_.k or chosen.best_k
    return SweepPage(
        name=name,
        n_features=sweep.n_features_in_,
        n_samples=len(sweep.labels_),
        results=chosen.results,
        best_k=chosen.best_k,
        verdict=sweep.verdict_,
        profiles=chosen.profiles,
        n_bytes=getattr(X, "nbytes", None),
        coordinates=None
        if X is None or chosen.metric == "precomputed"
        else chosen.frame.apply(chosen.take_profiled(X, k)),
        diagnosis=sweep.diagnosis_,
        geometries=sweep.geometries_,
        failed_geometries=list(getattr(sweep, "failed_geometries_", ())),
        geometry=chosen.name,
        gaps=None if sweep.gaps_ is None else sweep.gaps_.at(k),
    )


def _list_failures(results: Mapping[str, NDArray[Any]]) -> list[tuple[int, str]]:
    return [(k, error) for k, error in zip(results["n_clusters"], results["error"], strict=True) if error]

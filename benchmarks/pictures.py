"""Pictures of the kept results, into the documentation: ``python -m benchmarks pictures``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.growth import exponent

FOLDER = harness.ROOT / "docs" / "images"
_WORDS = {"n": "samples", "d": "features", "k": "clusters"}
_COLORS = {
    "fastsil": "#1a6faf",
    "fastsil, one thread": "#7fb2d9",
    "scikit-learn, working_memory=32": "#d1662b",
    "torchdr": "#6b7a3a",
}


def draw(folder: Path = FOLDER) -> list[Path]:
    """Draw the pictures that have results."""
    from matplotlib.figure import Figure

    drawn = []
    for name, subject, draw_on in (
        ("growth", "growth", _draw_growth),
        ("roofline", "kernels", _draw_roofline),
        ("scaling", "scaling", _draw_scaling),
    ):
        rows = harness.stored(subject)
        if not rows:
            continue
        figure = Figure(figsize=(8, 4), layout="constrained")
        draw_on(figure, rows)
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=150)
        drawn.append(path)
    return drawn


def _draw_growth(figure: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Draw time against n, d and k, both logarithmic, with the exponent of the upper half."""
    for ax, grows in zip(figure.subplots(1, 3, sharey=True), _WORDS, strict=True):
        family = sorted((row for row in rows if row["grows"] == grows), key=lambda row: row[grows])
        for contender in dict.fromkeys(name for row in family for name in row["seconds"]):
            known = [row for row in family if contender in row["seconds"]]
            times = np.array([np.median(row["seconds"][contender]) for row in known])
            ax.plot(
                [row[grows] for row in known],
                times,
                "o-",
                color=_COLORS.get(contender),
                markersize=4,
                label=contender if grows == "n" else None,
            )
            slope = f"{grows}$^{{{round(exponent(family, contender), 1) + 0.0}}}$"
            end = (known[-1][grows], times[-1])
            ax.annotate(slope, end, (4, 0), textcoords="offset points", color=_COLORS.get(contender), va="center")
        rest = ", ".join(f"{name} = {family[0][name]:,}" for name in _WORDS if name != grows)
        ax.set(xscale="log", yscale="log", xlabel=f"{_WORDS[grows]} {grows}", title=rest)
        ax.title.set_fontsize("medium")
        ax.grid(alpha=0.25, which="both", linewidth=0.5)
        # Space for the exponents at the right end of the curves.
        ax.set_xlim(right=ax.get_xlim()[1] * 3)
        if grows == "n":
            ax.set_ylabel("seconds")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)


def _draw_roofline(figure: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Draw rates of the kernels against the features, under the rate of a matrix product."""
    for ax, dtype in zip(figure.subplots(1, 2), ("float32", "float64"), strict=True):
        family = sorted((row for row in rows if row["dtype"] == dtype), key=lambda row: row["d"])
        features = [row["d"] for row in family]
        for name, words, style in (
            ("BLAS", "matrix product (BLAS)", "k--"),
            ("to", "distances to a cluster", "o-"),
            ("between", "distances between two", "s-"),
            ("within", "distances within one", "^-"),
        ):
            rates = [row["rates"][name]["rate"] for row in family]
            ax.plot(features, rates, style, markersize=4, linewidth=1.2, label=words)
        ax.set(xscale="log", yscale="log", xlabel="features d", ylabel="GFLOP/s, one thread", title=dtype)
        ax.grid(alpha=0.25, which="both", linewidth=0.5)
        ax.legend(fontsize=8)


def _draw_scaling(figure: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Draw the speed-up of recorded calls against workers: its bound, and with threads and Python counted."""
    for ax, name, title in zip(
        figure.subplots(1, 2, sharey=True),
        ("bound", "handed"),
        ("bound by tasks", "with Python, too"),
        strict=True,
    ):
        for row in rows:
            workers, times = [1, *map(int, row[name])], [1.0, *row[name].values()]
            ax.plot(workers, times, "o-", markersize=4, linewidth=1.2, label=row["case"] if name == "bound" else None)
        ax.plot([1, 64], [1, 64], "k--", linewidth=0.8)
        ax.set(xscale="log", yscale="log", xlabel="workers", title=title)
        ax.title.set_fontsize("medium")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_ticks([1, 2, 4, 8, 16, 32, 64], [1, 2, 4, 8, 16, 32, 64])
            axis.minorticks_off()
        ax.grid(alpha=0.25, linewidth=0.5)
        if name == "bound":
            ax.set_ylabel("times as fast as one thread")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)

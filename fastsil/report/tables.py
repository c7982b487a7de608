"""Records as cells and columns of tables, in plain text and in HTML.

It takes plain records and arrays; printing is up to its callers.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.report.words import show_text

# More clusters than the first number are too many to read; the second are shown.
_MANY_CLUSTERS, _SHOWN_CLUSTERS = 30, 20


@dataclass(frozen=True)
class Column:
    """A column of a table for reading.

    Attributes
    ----------
    title : str
        Its heading.
    cells : tuple of str
        One for each row.
    rank : int
        Columns of the highest rank are left out first where there is no space for all; those of rank 0 never.
    """

    title: str
    cells: tuple[str, ...]
    rank: int = 0


def fit_columns(columns: Sequence[Column], fits: Callable[[Sequence[Column]], bool]) -> list[Column]:
    """Leave out columns, the highest rank first, until the others fit or none but those of rank 0 are left.

    Examples
    --------
    >>> columns = [Column("k", ("2",)), Column("zero", ("0",), rank=2), Column("seconds", ("1",), rank=1)]
    >>> [column.title for column in fit_columns(columns, lambda kept: len(kept) <= 2)]
    ['k', 'seconds']
    """
    kept = list(columns)
    while not fits(kept) and (highest := max(column.rank for column in kept)) > 0:
        kept = [column for column in kept if column.rank < highest]
    return kept


def sweep_columns(results: Mapping[str, NDArray[Any]]) -> list[Column]:
    """Return a sweep's results as columns for readers.

    Parameters
    ----------
    results : mapping of str to ndarray of shape (n_tried,)
        ``sweep_results_`` of a sweep, or a part of its rows.
    """
    seconds = np.nansum([results["fit_seconds"], results["score_seconds"]], axis=0)
    scored = np.isfinite(results["silhouette"])
    return [
        Column("k", tuple(f"{k}" for k in results["n_clusters"])),
        *_found_column(results),
        *_value_columns(results),
        *_inertia_column(results),
        Column("mean silhouette", _estimates(results)),
        Column("macro mean", tuple(map(_score, results["macro_silhouette"])), rank=5),
        Column("negative", tuple(map(_count, results["n_negative"], scored))),
        Column("zero", tuple(map(_count, results["n_zero"], scored)), rank=6),
        Column("positive", tuple(map(_count, results["n_positive"], scored)), rank=6),
        *_null_columns(results),
        *_stability_columns(results),
        Column("seconds", tuple(f"{value:.2f}" for value in seconds), rank=4),
    ]


def _found_column(results: Mapping[str, NDArray[Any]]) -> list[Column]:
    """Return a column of the numbers of clusters that were found, if some are not those requested."""
    found = results.get("n_found", results["n_clusters"])
    if not ((found != results["n_clusters"]) & (found > 0)).any():
        return []
    return [Column("found", tuple(f"{count}" if count else "-" for count in found))]


def _inertia_column(results: Mapping[str, NDArray[Any]]) -> list[Column]:
    """Return a column of the inertia, unless the sweep was over a parameter, which has none."""
    return [] if "noise_share" in results else [Column("inertia", tuple(map(_number, results["inertia"])), rank=1)]


def _value_columns(results: Mapping[str, NDArray[Any]]) -> list[Column]:
    """Return columns of the values of a parameter and of the noise, if the sweep was over one."""
    if "noise_share" not in results:
        return []
    noise = tuple(f"{share:.1%}" if np.isfinite(share) else "-" for share in results["noise_share"])
    values = tuple(f"{value}" for value in results["value"])
    columns = [Column("value", values), Column("noise", noise), Column("score", tuple(map(_score, results["score"])))]
    measured = np.isfinite(results["dbcv"]).any()
    return [*columns, Column("DBCV", tuple(map(_score, results["dbcv"])))] if measured else columns


def _estimates(results: Mapping[str, NDArray[Any]]) -> tuple[str, ...]:
    """Return mean silhouettes, with half the width of the interval where they were estimated."""
    scores = results["silhouette"]
    half_widths = (results.get("silhouette_high", scores) - results.get("silhouette_low", scores)) / 2
    return tuple(
        _score(score) + (f" ± {half_width:.1g}" if half_width > 0 else "")
        for score, half_width in zip(scores, half_widths, strict=True)
    )


def _null_columns(results: Mapping[str, NDArray[Any]]) -> list[Column]:
    """Return columns of the scores of data without clusters, if they were computed."""
    if not np.isfinite(results.get("null_mean", np.nan)).any():
        return []
    z = tuple(f"{value:+.1f}" if np.isfinite(value) else "-" for value in results["null_z"])
    return [Column("null mean", tuple(map(_score, results["null_mean"])), rank=3), Column("null z", z, rank=2)]


def _stability_columns(results: Mapping[str, NDArray[Any]]) -> list[Column]:
    """Return columns of the agreement of clusterings of parts of the data, if it was computed."""
    if not np.isfinite(results.get("stability", np.nan)).any():
        return []
    cells = tuple(f"{value:.2f}" if np.isfinite(value) else "-" for value in results["stability"])
    return [Column("stability", cells, rank=2)]


def side_by_side(tables: Mapping[str, Mapping[str, NDArray[Any]]]) -> list[Column]:
    """Return the mean silhouettes of several sweeps of equal k as columns for readers, one column a sweep.

    Parameters
    ----------
    tables : mapping of str to mapping of str to ndarray of shape (n_tried,)
        For each name, the results of a sweep; of one that was cut short, those of the first k.

    Examples
    --------
    >>> side_by_side({"cosine": {"n_clusters": np.array([2, 3]), "silhouette": np.array([0.5, 0.8])}})
    [Column(title='k', cells=('2', '3'), rank=0), Column(title='cosine', cells=('0.5000', '0.8000'), rank=0)]
    """
    longest = max(tables.values(), key=lambda results: len(results["n_clusters"]))["n_clusters"]
    columns = [Column("k", tuple(f"{k}" for k in longest))]
    for name, results in tables.items():
        rest = ("-",) * (len(longest) - len(results["n_clusters"]))
        columns.append(Column(name.replace(",", ""), tuple(map(_score, results["silhouette"])) + rest))
        if np.isfinite(results.get("null_excess", np.nan)).any():
            excess = tuple(f"{value:+.1f}" if np.isfinite(value) else "-" for value in results["null_excess"])
            columns.append(Column("sd above null", excess + rest, rank=1))
    return columns


def geometry_columns(sweeps: Sequence[Any], failed: Sequence[str] = ()) -> list[Column]:
    """Return the findings of sweeps in several geometries as columns for readers.

    Parameters
    ----------
    sweeps : sequence
        With the attributes of :class:`fastsil.GeometrySweep`.
    failed : sequence of str
        Names of geometries that failed, for rows without numbers.
    """
    columns = [
        Column("geometry", tuple(sweep.name for sweep in sweeps)),
        Column("k", tuple(f"{sweep.chosen_k}" for sweep in sweeps)),
        Column("mean silhouette", tuple(_score(sweep.score_of(sweep.chosen_k)) for sweep in sweeps)),
    ]
    if any(sweep.null is not None for sweep in sweeps):
        excess = tuple(f"{sweep.excess:+.1f}" if np.isfinite(sweep.excess) else "-" for sweep in sweeps)
        p = tuple(f"{sweep.p_value:.3f}" if np.isfinite(sweep.p_value) else "-" for sweep in sweeps)
        columns += [Column("sd above null", excess, rank=2), Column("p", p, rank=1)]
    # Failed ones have a name and no numbers.
    rest = [tuple(failed), ("failed",) * len(failed), *[("-",) * len(failed)] * len(columns[2:])]
    return [replace(column, cells=column.cells + more) for column, more in zip(columns, rest, strict=True)]


def cluster_columns(clusters: Any) -> list[Column]:
    """Return a table of clusters as columns for readers (attributes as :class:`fastsil.scoring.profile.ClusterTable`
    has).
    """
    everywhere = np.ones(len(clusters.size), dtype=bool)
    return [
        Column("cluster", tuple(show_text(label) for label in clusters.label)),
        Column("samples", tuple(map(_count, clusters.size, everywhere))),
        Column("mean silhouette", tuple(map(_score, clusters.silhouette))),
        Column("negative", tuple(map(_count, clusters.negative, everywhere)), rank=1),
        Column("mean a", tuple(map(_number, clusters.a)), rank=3),
        Column("mean b", tuple(map(_number, clusters.b)), rank=3),
        Column("nearest other", tuple(show_text(label) for label in clusters.neighbor), rank=2),
    ]


def summarize_clusters(clusters: Any) -> tuple[list[Column], str]:
    """Return the table of clusters as columns, of many clusters those with the lowest mean silhouettes, and a sentence
    on the others; empty if there are none.
    """
    columns, means = cluster_columns(clusters), clusters.silhouette
    if len(means) <= _MANY_CLUSTERS:
        return columns, ""
    order = np.argsort(means, kind="stable")
    shown, others = order[:_SHOWN_CLUSTERS], means[order[_SHOWN_CLUSTERS:]]
    columns = [replace(column, cells=tuple(column.cells[row] for row in shown)) for column in columns]
    return columns, (
        f"These are the {_SHOWN_CLUSTERS} of {len(means):,} clusters with the lowest mean silhouettes; the others have "
        f"from {_score(others[0])} to {_score(others[-1])}."
    )


def estimate_columns(clusters: Any) -> list[Column]:
    """Return a table of estimates as columns for readers (attributes as ``ClusterEstimates`` has)."""
    return [
        Column("cluster", tuple(show_text(label) for label in clusters.label)),
        Column("samples", tuple(map(_count, clusters.size, np.ones(len(clusters.size), dtype=bool)))),
        Column("mean silhouette", tuple(map(_score, clusters.silhouette))),
        Column("from", tuple(map(_score, clusters.low))),
        Column("to", tuple(map(_score, clusters.high))),
    ]


def html_table(columns: Sequence[Column]) -> str:
    """Return columns as a table of HTML, with all cells escaped.

    Examples
    --------
    >>> html_table([Column("k", ("2", "<b>"))])
    '<table><tr><th>k</th></tr><tr><td>2</td></tr><tr><td>&lt;b&gt;</td></tr></table>'
    """
    head = "".join(f"<th>{html.escape(column.title)}</th>" for column in columns)
    rows = zip(*(column.cells for column in columns), strict=True)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _number(value: float) -> str:
    """Format a number with four digits, or with all digits before the point."""
    if not np.isfinite(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= 999.95 else f"{value:#.4g}"


def _score(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else "-"


def _count(value: int, known: bool) -> str:
    return f"{value:,}" if known else "-"

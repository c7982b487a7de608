"""A sweep over a clusterer's parameter on the command line: ``--clusterer hdbscan --param min_cluster_size=5:50:5``."""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fastsil.cli import console, results_folder
from fastsil.cli.repeat import ONLY_OVER_K
from fastsil.cli.sweep import CLUSTERERS, Settings, check_choice, name_features, show_written, standardized
from fastsil.report.tables import sweep_columns
from fastsil.sweep.parameter_sweep import SilhouetteSweep

# Clusterers of scikit-learn by their names on the command line: module, class, what is set beforehand.
_CLUSTERERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "kmeans": ("cluster", "KMeans", {}),
    "minibatch": ("cluster", "MiniBatchKMeans", {}),
    "bisecting": ("cluster", "BisectingKMeans", {}),
    "agglomerative": ("cluster", "AgglomerativeClustering", {}),
    "dbscan": ("cluster", "DBSCAN", {}),
    "hdbscan": ("cluster", "HDBSCAN", {"copy": True}),
    "optics": ("cluster", "OPTICS", {}),
    "gaussian-mixture": ("mixture", "GaussianMixture", {}),
}


def check_clusterer(name: str) -> None:
    """Raise a ValueError for a clusterer that is not one of a sweep over k, if it takes another parameter."""
    if name in _CLUSTERERS and name not in CLUSTERERS:
        raise ValueError(
            f"--clusterer {name} finds its own number of clusters; name a parameter, as in --param eps=0.5,1,2."
        )


def check_options(given: Mapping[str, Any]) -> None:
    """Raise a ValueError for an option that was given and has no place in a sweep over a parameter."""
    wrong = [name for name in given if name in ONLY_OVER_K and (name != "n_null" or given[name])]
    if wrong:
        raise ValueError(
            f"--{wrong[0].replace('_', '-')} is for a sweep over k; --param tries the values of another parameter. "
            "Leave one of them out."
        )


def run_parameter_sweep(
    X: Any,
    settings: Settings,
    param: str,
    out: Path,
    *,
    density: bool,
    n_jobs: int | None,
    quiet: bool,
    force: bool,
    columns: Sequence[str] = (),
) -> None:
    """Sweep, print and write.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Samples; or distances, for the metric ``precomputed``.
    settings : Settings
        Clusterer, metric, seed, whether to standardize.
    param : str
        ``NAME=VALUES``.
    out : Path
        Folder of the results.
    density : bool
        Measure DBCV too.
    n_jobs, quiet, force, columns
        As for :func:`fastsil.cli.sweep.run_sweep`.
    """
    name, values = parse_param(param)
    if len(settings.metric) > 1:
        raise ValueError("--param takes one --metric.")
    sweep = SilhouetteSweep(
        make_clusterer(settings.clusterer, name, settings.metric[0]),
        name,
        values,
        metric=settings.metric[0],
        density=density,
        random_state=settings.seed,
        n_jobs=n_jobs,
        progress=console.is_watched(quiet=quiet) and importlib.util.find_spec("tqdm") is not None,
    )
    with results_folder.prepare_folder(out, results_folder.PARAMETER_FILES, force=force):
        X = name_features(standardized(X) if settings.standardize else X, columns)
        sweep.fit(X)
        console.show_table(sweep_columns(sweep.sweep_results_), marked=sweep.best_index_)
        console.show_verdict(sweep.verdict_)
        kept = ("name", "metric", "clusterer", "seed", "standardize")
        record = {each: getattr(settings, each) for each in kept} | {"param": param, "n_samples": X.shape[0]}
        show_written(
            out, lambda pictures: results_folder.write_parameter_sweep(out, sweep, X, record, pictures=pictures)
        )


def make_clusterer(name: str, param: str, metric: str) -> Any:
    """Make the clusterer of this name, for given distances if the metric is ``precomputed``.

    Raises
    ------
    ValueError
        If the name is not known, or the clusterer takes no distances.
    """
    module, kind, preset = _CLUSTERERS[check_choice(name, _CLUSTERERS, "--clusterer")]
    clusterer = getattr(importlib.import_module(f"sklearn.{module}"), kind)(**preset)
    if name == "agglomerative" and param == "distance_threshold":
        clusterer.set_params(n_clusters=None)
    if metric == "precomputed":
        if "metric" not in clusterer.get_params():
            raise ValueError(f"--clusterer {name} takes no distances; choose agglomerative, dbscan, hdbscan or optics.")
        # Ward's linkage takes samples.
        clusterer.set_params(metric="precomputed", **({"linkage": "average"} if name == "agglomerative" else {}))
    return clusterer


def parse_param(text: str) -> tuple[str, list[Any]]:
    """Parse ``eps=0.2:1:0.2`` (both ends included) or ``min_samples=3,5,10``.

    Raises
    ------
    ValueError
        If the text is no such thing.

    Examples
    --------
    >>> parse_param("eps=0.2:1:0.2")
    ('eps', [0.2, 0.4, 0.6, 0.8, 1.0])
    >>> parse_param("max_features=3,none,auto")
    ('max_features', [3, None, 'auto'])
    """
    name, equals, listed = text.partition("=")
    try:
        if not (name.isidentifier() and equals and listed):
            raise ValueError
        if ":" not in listed:
            return name, [_parse_value(value) for value in listed.split(",")]
        first, last, *steps = (_parse_number(value) for value in listed.split(":"))
        (step,) = steps or [1]
        values = [_round(first + place * step) for place in range(math.floor((last - first) / step + 1e-9) + 1)]
    except (ValueError, TypeError, ZeroDivisionError):
        raise ValueError(
            f"--param {text} is not understood; write NAME=FIRST:LAST:STEP or NAME=VALUE,VALUE, as in "
            "min_cluster_size=5:50:5 or eps=0.5,1,2."
        ) from None
    if not values:
        raise ValueError(f"--param {text} has no value in it; write the smaller one first, as in eps=0.2:1:0.2.")
    return name, values


def _parse_number(text: str) -> int | float:
    return int(text) if text.lstrip("+-").isdigit() else float(text)


def _parse_value(text: str) -> Any:
    if text.lower() == "none":
        return None
    try:
        return _parse_number(text)
    except ValueError:
        return text


def _round(value: float) -> float:
    """Return 0.6 for 0.2 + 2 * 0.2."""
    return value if isinstance(value, int) else float(f"{value:.12g}")

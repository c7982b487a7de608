"""A sweep on the command line: its settings, its run and its interruption, its output."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from fastsil.cli import console, results_folder
from fastsil.cli.readers import Reading
from fastsil.engines.dispatch import estimate_pass_seconds
from fastsil.report.tables import geometry_columns, side_by_side, sweep_columns
from fastsil.runtime.threads import resolve_n_jobs
from fastsil.scoring.plan import format_seconds
from fastsil.sweep.estimator import KMeansSweep
from fastsil.sweep.kmeans import foresee_seconds
from fastsil.validation import check_data, check_metric, is_dask_array

CLUSTERERS: dict[str, str | None] = {
    "kmeans": None,
    "minibatch": "MiniBatchKMeans",
    "bisecting": "BisectingKMeans",
    "agglomerative": "AgglomerativeClustering",
}

# Seconds of compiling that are worth a remark.
_COMPILING_SECONDS = 2.0

# Exact scores that take longer are estimated instead, to within _TOL; fits that do are announced.
_LONG_SECONDS = 120.0
_TOL = 1e-3

# Exit codes that a shell reports for a program ended by SIGINT (Ctrl-C) and SIGTERM.
INTERRUPTED = 130
_TERMINATED = 143


class Settings(NamedTuple):
    """Settings of a sweep's work."""

    name: str
    k: str
    metric: list[str]
    pca: list[str]
    clusterer: str
    n_init: int
    n_null: int
    n_stability: int
    seed: int
    standardize: bool = False
    tol: float | None = None
    dask: str | None = None


class Asked(NamedTuple):
    """A sweep of a file, which can be repeated."""

    file: str
    reading: Reading
    settings: Settings

    def as_record(self) -> dict[str, Any]:
        """Return plain values for a file, with absolute paths, so that another folder can repeat the sweep."""
        return {
            "file": os.path.abspath(self.file),
            "reading": self.reading._asdict(),
            "settings": self.settings._asdict(),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], folder: Path) -> Self:
        """Make the settings from the values of :meth:`as_record`.

        Raises
        ------
        ValueError
            If the record is no such thing.
        """
        try:
            return cls(record["file"], Reading(**record["reading"]), Settings(**record["settings"]))
        except (TypeError, KeyError):
            raise ValueError(f"the record of the sweep in {folder} is damaged; begin it again with FILE.") from None


class _Terminated(BaseException):
    """SIGTERM; no error that anything else would handle."""


def run_sweep(
    X: Any,
    settings: Settings,
    out: Path,
    *,
    n_jobs: int | None,
    quiet: bool,
    columns: Sequence[str] = (),
    asked: Asked | None = None,
    force: bool = False,
) -> int:
    """Sweep, print and write; return the exit code.

    Parameters
    ----------
    X : array of shape (n_samples, n_features)
        Samples.
    settings : Settings
        Settings of the sweep.
    out : Path
        Folder of the results. Finished pieces are kept in it while the sweep runs, and after it was cut short.
    n_jobs : int or None
        Threads.
    quiet : bool
        No progress.
    columns : sequence of str
        Names of the features, if they have names.
    asked : Asked, optional
        What a later ``--resume`` reads in the folder.
    force : bool
        Replace files in it that are not fastsil's.

    Returns
    -------
    int
        0; 130 after Ctrl-C, 143 after SIGTERM.
    """
    ks = parse_k(settings.k)
    pcas = [_parse_pca(text) for text in settings.pca]
    estimator = _clusterer(settings)
    for metric in settings.metric:
        check_metric(metric)
    if estimator is None and settings.dask is None:
        _tell_long_fits(X.shape, ks, pcas, settings, n_jobs)
    from numba.core import event

    compiling: list[float] = []
    X = name_features(standardized(X) if settings.standardize else X, columns)
    with (
        results_folder.prepare_folder(out, results_folder.list_sweep_files(ks), force=force),
        results_folder.open_resumable(out, asked and asked.as_record()) as checkpoint,
    ):
        try:
            with (
                console.watching(ks, quiet=quiet) as listen,
                _listening_to_sigterm(),
                event.install_timer("numba:compile", compiling.append),
            ):
                sweep = KMeansSweep(
                    ks,
                    estimator=estimator,
                    metric=settings.metric,
                    pca=pcas,
                    n_init=settings.n_init,
                    n_null=settings.n_null,
                    n_stability=settings.n_stability,
                    tol=settings.tol,
                    checkpoint=checkpoint,
                    random_state=settings.seed,
                    n_jobs=n_jobs,
                    progress=listen,
                ).fit(X)
            if sweep.interrupted_:
                console.remark("Interrupted; finished results are shown and written. Ctrl-C again stops that too.")
            _show_sweep(sweep)
            if sum(compiling) > _COMPILING_SECONDS:
                console.remark(
                    f"{sum(compiling):.0f} seconds of the run went into compiling, which happens once on each machine."
                )
            data = settings.name if asked is None else Path(asked.file).name
            record = {**settings._asdict(), "data": data, "n_samples": X.shape[0], "n_features": X.shape[1]}
            show_written(out, lambda pictures: results_folder.write_sweep(out, sweep, X, record, pictures=pictures))
        except (KeyboardInterrupt, _Terminated) as signaled:
            _print_how_to_resume(out, asked)
            return INTERRUPTED if isinstance(signaled, KeyboardInterrupt) else _TERMINATED
        if sweep.interrupted_:
            _print_how_to_resume(out, asked)
            return INTERRUPTED
        results_folder.drop_checkpoint(out)
    return 0


def choose_tol(X: Any, settings: Settings, *, exact: bool, n_jobs: int | None) -> float | None:
    """Return the half-width to which scores are estimated, None for exact ones, and print it where it was not given.

    Parameters
    ----------
    X, settings, n_jobs
        As for :func:`run_sweep`.
    exact : bool
        Whether exact scores are wanted, however long they take.

    Raises
    ------
    ValueError
        If both are given.
    """
    if exact and settings.tol is not None:
        raise ValueError("--tol estimates scores and --exact computes them; give one of the two.")
    if exact and settings.dask is not None:
        raise ValueError("--exact computes pairs of samples, which --dask does not; leave one of the two out.")
    if exact or settings.tol is not None or settings.dask is not None:
        return settings.tol
    threads = resolve_n_jobs(n_jobs)
    seconds = sum(estimate_pass_seconds(X, metric, {}, n_jobs=threads) for metric in settings.metric)
    if seconds <= _LONG_SECONDS:
        return None
    console.remark(
        f"Exact scores would take about {format_seconds(seconds)}. They are estimated to within {_TOL} instead; "
        "--exact computes them.",
        style="yellow",
    )
    return _TOL


def _tell_long_fits(
    shape: tuple[int, int], ks: Sequence[int], pcas: Sequence[float | None], settings: Settings, n_jobs: int | None
) -> None:
    """Say before it begins how long k-means will take, if it is long."""
    n_features = sum(pca if isinstance(pca, int) else shape[1] for pca in pcas) * len(settings.metric)
    seconds = foresee_seconds((shape[0], n_features), ks, settings.n_init) / resolve_n_jobs(n_jobs)
    if seconds > _LONG_SECONDS:
        console.remark(
            f"k-means for {len(ks)} numbers of clusters will take about {format_seconds(seconds)}.", style="yellow"
        )


def show_written(out: Path, write: Callable[[bool], dict[str, str]]) -> None:
    """Write results and print their list; ``write`` is called with whether pictures can be drawn."""
    no_pictures = results_folder.pictures_missing()
    console.show_written(f"{out}/", write(not no_pictures))
    if no_pictures:
        console.remark(f"no pictures: {no_pictures}", style="yellow")
    elif no_page := results_folder.page_missing():
        console.remark(f"no report: {no_page}", style="yellow")


def standardized(X: Any) -> Any:
    """Give every feature mean 0 and variance 1."""
    from sklearn.preprocessing import StandardScaler

    return StandardScaler().fit_transform(check_data(X, warns=False))


def name_features(X: Any, columns: Sequence[str]) -> Any:
    """Return samples in a DataFrame, so that messages name the features, if there are names and pandas, and the samples
    are no Dask array.
    """
    if not columns or is_dask_array(X) or importlib.util.find_spec("pandas") is None:
        return X
    import pandas as pd

    return pd.DataFrame(X, columns=list(columns), copy=False)


def check_choice(name: str, table: Mapping[str, Any], what: str) -> str:
    """Return the name, if the table has it; else raise an error.

    Raises
    ------
    ValueError
        If it has not.
    """
    if name not in table:
        raise ValueError(f"{what} {name} is not known; choose one of: {', '.join(table)}.")
    return name


def _show_sweep(sweep: KMeansSweep) -> None:
    if len(sweep.geometries_) + len(sweep.failed_geometries_) > 1:
        _show_geometries(sweep)
    results = sweep.best_geometry_.results
    ks = results["n_clusters"].tolist()
    console.show_table(sweep_columns(results), marked=ks.index(sweep.verdict_.k or sweep.best_k_))
    console.show_verdict(sweep.verdict_)


def _show_geometries(sweep: KMeansSweep) -> None:
    """Print all geometries side by side, and the one that the other output describes."""
    sweeps = sweep.geometries_
    console.show_table(side_by_side({one.name: one.results for one in sweeps}))
    console.show_table(geometry_columns(sweeps, [*sweep.failed_geometries_]), marked=sweeps.index(sweep.best_geometry_))
    console.show_sentences([f"The rest is about {sweep.best_geometry_.name}."])


def _print_how_to_resume(out: Path, asked: Asked | None) -> None:
    if asked is not None and results_folder.is_resumable(out):
        console.remark(f"Finished work is kept. Go on with: fastsil sweep --resume {out}", style="yellow")
    else:
        console.remark("Interrupted; no work is kept for another run.", style="yellow")


@contextlib.contextmanager
def _listening_to_sigterm() -> Iterator[None]:
    """Stop the threads and end the sweep on SIGTERM, which batch systems send before they kill."""

    def stop(*_: object) -> None:
        raise _Terminated

    try:
        earlier = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread, which alone may handle signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


def _clusterer(settings: Settings) -> Any:
    from sklearn import cluster

    name = CLUSTERERS[check_choice(settings.clusterer, CLUSTERERS, "--clusterer")]
    if name is None:
        return None
    estimator = getattr(cluster, name)()
    return estimator.set_params(n_init=settings.n_init) if "n_init" in estimator.get_params() else estimator


def parse_k(text: str) -> list[int]:
    """Parse numbers of clusters from ``2:16``, ``2:64:2`` or ``2,5,10``."""
    try:
        if ":" in text:
            first, last, *step = (int(part) for part in text.split(":"))
            ks = list(range(first, last + 1, *step))
        else:
            ks = [int(part) for part in text.split(",")]
    except (ValueError, TypeError):
        raise ValueError(f"--k {text} is not understood; write 2:16, 2:64:2 or 2,5,10.") from None
    if not ks:
        raise ValueError(f"--k {text} has no number in it; write the smaller one first, as in 2:16.")
    return ks


def _parse_pca(text: str) -> int | float | None:
    """Parse a number of components, a share of the variance, or ``none``."""
    if text.lower() == "none":
        return None
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        raise ValueError(
            f"--pca {text} is not understood; write a number such as 50, a share as 0.9, or none."
        ) from None

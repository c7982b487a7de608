"""The commands: ``demo``, ``sweep``, ``score``, ``info``; their arguments."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import platform
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple, ParamSpec, cast

import numpy as np
import typer

from fastsil import __version__
from fastsil.cli import console, results_folder
from fastsil.cli.cluster import open_samples
from fastsil.cli.options import (
    ClustererOption,
    DaskOption,
    DecimalOption,
    DensityOption,
    DropOption,
    ExactOption,
    ExcludeOption,
    FeaturesOption,
    ForceOption,
    HeaderOption,
    JobsOption,
    KeyOption,
    KOption,
    MetricOption,
    MetricsOption,
    NullOption,
    OutOption,
    ParamOption,
    PcaOption,
    QuietOption,
    RestartsOption,
    ResumeOption,
    SeedOption,
    SepOption,
    StabilityOption,
    StandardizeOption,
    TolOption,
)
from fastsil.cli.parameter_sweep import check_clusterer, check_options, run_parameter_sweep
from fastsil.cli.readers import DataFile, Reading, drop_gaps, name_data, read_labeled, read_weights
from fastsil.cli.repeat import describe_error, write_command
from fastsil.cli.sweep import (
    INTERRUPTED,
    Asked,
    Settings,
    check_choice,
    choose_tol,
    run_sweep,
    show_written,
    standardized,
)
from fastsil.report.suggestions import on_command_line
from fastsil.report.tables import summarize_clusters
from fastsil.report.words import count, format_bytes, format_counts, format_reading
from fastsil.runtime.threads import resolve_n_jobs
from fastsil.scoring.diagnosis import Diagnosis
from fastsil.scoring.page import ScorePage
from fastsil.scoring.plan import plan
from fastsil.scoring.profile import SilhouetteProfile
from fastsil.scoring.scores import silhouette_profile
from fastsil.validation import check_data, check_metric

app = typer.Typer(
    help="Exact silhouettes: which number of clusters, and how good is it?",
    epilog="python -m fastsil SCRIPT.py ARGS (or -m MODULE ARGS) runs a program with fastsil in scikit-learn's place.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# The fewest null sets that can establish structure. For 15 numbers of clusters and 64 features they take 7 s on
# one core, whatever the number of samples; without them it stays open whether there is structure.
_N_NULL = 19

_Args = ParamSpec("_Args")

# What a user can mend: bad values, missing files, missing packages, too little memory.
_MENDABLE = (ValueError, TypeError, OSError, ImportError, MemoryError)


def _in_plain_words(command: Callable[_Args, None]) -> Callable[_Args, None]:
    """Turn errors into a sentence and exit code 2, Ctrl-C into one and exit code 130, and warnings into remarks."""

    @functools.wraps(command)
    def wrapped(*args: _Args.args, **kwargs: _Args.kwargs) -> None:
        write = functools.partial(write_command, cast(typer.Context, kwargs["context"]))
        with warnings.catch_warnings(record=True) as caught, on_command_line(write):
            warnings.simplefilter("default")
            try:
                command(*args, **kwargs)
            except _MENDABLE as error:
                console.complain(describe_error(error, write))
                raise typer.Exit(2) from None
            except KeyboardInterrupt:
                console.remark("Interrupted; there is no result yet.", style="yellow")
                raise typer.Exit(INTERRUPTED) from None
            finally:
                for message in dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught):
                    console.remark(f"note: {message}", style="yellow")

    return wrapped


class _Dataset(NamedTuple):
    """A data set that comes with scikit-learn."""

    loader: str
    what: str


_DATASETS = {
    "digits": _Dataset("load_digits", "handwritten digits, 8 x 8 pixels"),
    "iris": _Dataset("load_iris", "flowers of three species"),
    "wine": _Dataset("load_wine", "wines of three growers"),
    "breast-cancer": _Dataset("load_breast_cancer", "cells of tumors"),
}


@app.command()
@_in_plain_words
def demo(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help=f"One of: {', '.join(_DATASETS)}.")] = "digits",
    k: KOption = "2:16",
    metric: MetricsOption = ["euclidean"],  # noqa: B006 - typer copies it
    pca: PcaOption = None,
    standardize: StandardizeOption = False,
    out: OutOption = None,
    force: ForceOption = False,
    clusterer: ClustererOption = "kmeans",
    n_init: RestartsOption = 10,
    n_null: NullOption = _N_NULL,
    n_stability: StabilityOption = 0,
    seed: SeedOption = 0,
    n_jobs: JobsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Cluster a data set that comes with scikit-learn, and choose k."""
    from sklearn import datasets

    dataset = _DATASETS[check_choice(data, _DATASETS, "data")]
    loaded = getattr(datasets, dataset.loader)()
    X, truth = loaded.data, loaded.target
    settings = Settings(data, k, metric, pca or ["none"], clusterer, n_init, n_null, n_stability, seed, standardize)
    console.show_heading(data, f"{_shape(X)} ({dataset.what})")
    names = [*map(str, loaded.feature_names)]
    folder = out or Path(f"fastsil-{data}")
    code = run_sweep(X, settings, folder, n_jobs=n_jobs, quiet=quiet, force=force, columns=names)
    if code == 0:
        _compare_with_truth(standardized(X) if standardize else X, truth, metric[0], n_jobs)
        console.show_sentences(["", "Your own data: fastsil sweep FILE  (.npy, .npz, .csv or .parquet)"])
    raise typer.Exit(code)


@app.command()
@_in_plain_words
def sweep(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(
            help="Samples: .npy, .npz, .csv, .csv.gz, .tsv, .parquet, .arrow, a folder of such, or .zarr. Not for "
            "--resume."
        ),
    ] = None,
    k: KOption = "2:16",
    metric: MetricsOption = ["euclidean"],  # noqa: B006 - typer copies it
    pca: PcaOption = None,
    standardize: StandardizeOption = False,
    out: OutOption = None,
    force: ForceOption = False,
    clusterer: ClustererOption = "kmeans",
    param: ParamOption = None,
    density: DensityOption = False,
    n_init: RestartsOption = 10,
    n_null: NullOption = _N_NULL,
    n_stability: StabilityOption = 0,
    seed: SeedOption = 0,
    tol: TolOption = None,
    exact: ExactOption = False,
    key: KeyOption = None,
    features: FeaturesOption = None,
    exclude: ExcludeOption = None,
    header: HeaderOption = None,
    sep: SepOption = None,
    decimal: DecimalOption = None,
    drop_missing: DropOption = False,
    resume: ResumeOption = None,
    dask: DaskOption = None,
    n_jobs: JobsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Cluster your data for each k, score every clustering, and choose k."""
    if param is not None:
        check_options({name: value for name, value in context.params.items() if _is_given(context, name)})
    elif density:
        raise ValueError("--density goes with --param NAME=VALUES.")
    else:
        check_clusterer(clusterer)
    if resume is not None:
        asked = _asked_before(context, resume, file)
    elif file is None:
        raise ValueError("sweep needs a FILE of samples, or --resume DIR of an interrupted sweep.")
    else:
        name = name_data(file, key)
        settings = Settings(
            name, k, metric, pca or ["none"], clusterer, n_init, n_null, n_stability, seed, standardize, tol, dask
        )
        reading = Reading(key, None, features or (), exclude or (), header, sep, decimal, drop_missing=drop_missing)
        asked = Asked(file, reading, settings)
    if resume is not None and dask is not None:
        asked = asked._replace(settings=asked.settings._replace(dask=dask))
    folder = resume or out or Path(f"fastsil-{asked.settings.name}")
    kept: dict[str, Any] = {"n_jobs": n_jobs, "quiet": quiet, "force": force}
    may_move = resume is None and param is None and not exact
    with open_samples(asked, n_jobs, may_move=may_move) as (asked, found):
        if asked.reading.drop_missing:
            found, _ = drop_gaps(found)
        _show_data(asked.file, found)
        kept["columns"] = found.columns
        if param is not None:
            return run_parameter_sweep(found.X, asked.settings, param, folder, density=density, **kept)
        if resume is None:
            tol = choose_tol(found.X, asked.settings, exact=exact, n_jobs=n_jobs)
            asked = asked._replace(settings=asked.settings._replace(tol=tol))
        code = run_sweep(found.X, asked.settings, folder, asked=asked, **kept)
    raise typer.Exit(code)


def _is_given(context: typer.Context, name: str) -> bool:
    """Return whether a parameter was written on the command line."""
    return getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"


def _asked_before(context: typer.Context, folder: Path, file: str | None) -> Asked:
    """Return the settings of the sweep in a folder; the file may have moved, everything else stays."""
    changed = [
        name
        for name in context.params
        if name not in ("file", "resume", "dask", "n_jobs", "quiet", "force") and _is_given(context, name)
    ]
    if changed:
        raise ValueError(
            f"--resume goes on with the settings of {folder}; leave out --{changed[0].replace('_', '-')}, or begin a "
            "sweep of its own with --out."
        )
    asked = Asked.from_record(results_folder.read_asked(folder), folder)
    return asked if file is None else asked._replace(file=file)


@app.command()
@_in_plain_words
def score(
    context: typer.Context,
    file: Annotated[
        str, typer.Argument(help="Samples: .npy, .npz, .csv, .csv.gz, .tsv, .parquet, .arrow, or a folder of such.")
    ],
    labels: Annotated[
        str | None, typer.Argument(help="Labels: a file of those kinds or .txt; FILE:NAME for one of several columns.")
    ] = None,
    metric: MetricOption = "euclidean",
    standardize: StandardizeOption = False,
    out: OutOption = None,
    force: ForceOption = False,
    labels_column: Annotated[str | None, typer.Option(help="Column of FILE that holds the labels.")] = None,
    weight: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Column of FILE that says how often each sample counts.")
    ] = None,
    ignore_label: Annotated[
        str | None, typer.Option(help="Label of samples to leave out, such as -1 for noise, or nan for missing labels.")
    ] = None,
    key: KeyOption = None,
    features: FeaturesOption = None,
    exclude: ExcludeOption = None,
    header: HeaderOption = None,
    sep: SepOption = None,
    decimal: DecimalOption = None,
    drop_missing: DropOption = False,
    n_jobs: JobsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Score labels that you have: print the mean silhouette, problems found, and a row for each cluster."""
    if (labels is None) == (labels_column is None):
        raise ValueError("score needs the labels once: in a second FILE, or in --labels-column of the first.")
    check_metric(metric)
    columns = features or (), (*(exclude or ()), *([] if weight is None else [weight]))
    reading = Reading(key, labels_column, *columns, header, sep, decimal, drop_missing=drop_missing)
    found, given = read_labeled(file, labels, **reading._asdict())
    weights = None if weight is None else read_weights(file, weight, len(found.X), reading)
    if drop_missing:
        weights = weights if weights is None else drop_gaps(found, weights)[1]
        found, given = drop_gaps(found, given)
    _show_data(file, found)
    X = standardized(found.X) if standardize else found.X
    with results_folder.prepare_folder(out, results_folder.SCORE_FILES, force=force):
        started = time.perf_counter()
        show_bar = not quiet and sys.stderr.isatty() and importlib.util.find_spec("tqdm") is not None
        ignored = None if ignore_label is None else _parse_label(ignore_label, given)
        profile = silhouette_profile(
            X,
            given,  # type: ignore[arg-type]
            metric=metric,
            ignore_label=ignored,
            sample_weight=weights,
            n_jobs=n_jobs,
            progress=show_bar,
        )
        seconds = time.perf_counter() - started
        diagnosis = profile.diagnose(X, feature_names=found.columns)
        _show_profile(profile, diagnosis, seconds, found.X.shape[1])
        if out is not None:
            record = {"data": file, "labels": labels or labels_column, "metric": metric}
            record |= {} if weight is None else {"weight": weight}
            page = ScorePage(Path(file).name, profile, diagnosis, check_data(X, metric=metric, warns=False))
            show_written(out, lambda pictures: results_folder.write_score(out, page, record, pictures=pictures))


@app.command()
@_in_plain_words
def info(
    context: typer.Context,
    file: Annotated[str | None, typer.Argument(help="A file of samples; without one: versions and packages.")] = None,
    labels: Annotated[str | None, typer.Argument(help="Labels, as for score: prints the cost of scoring them.")] = None,
    metric: MetricOption = "euclidean",
    key: KeyOption = None,
    features: FeaturesOption = None,
    exclude: ExcludeOption = None,
    header: HeaderOption = None,
    sep: SepOption = None,
    decimal: DecimalOption = None,
    n_jobs: JobsOption = None,
) -> None:
    """Print the contents of a file and the cost of scoring it or, without a file, the versions installed."""
    if file is None:
        console.show_pairs(_about_installation())
        return
    reading = Reading(key, None, features or (), exclude or (), header, sep, decimal, allow_gaps=True)
    found, given = read_labeled(file, labels, **reading._asdict())
    console.show_pairs(_about_data(file, found))
    if given is not None:
        X, given = _keep_finite(found.X, given)
        planned = plan(X, given, metric=check_metric(metric), n_jobs=n_jobs)
        left_out = len(found.X) - len(X)
        console.show_sentences(
            ["", str(planned), *([f"Without the {left_out:,} rows that have gaps."] * bool(left_out))]
        )


def _keep_finite(X: Any, labels: Any) -> tuple[Any, Any]:
    """Return the rows without NaN and infinity, and their labels."""
    with np.errstate(all="ignore"):
        finite = np.isfinite(np.sum(X, axis=1, dtype=np.float64))
    return (X, labels) if finite.all() or len(labels) != len(X) else (X[finite], labels[finite])


def _show_data(file: str, found: DataFile) -> None:
    console.show_heading(Path(file).name, _shape(found.X))
    for note in found.notes:
        console.remark(note)


def _shape(X: Any) -> str:
    return f"{X.shape[0]:,} samples, {X.shape[1]:,} features, {X.dtype}"


def _parse_label(text: str, labels: Any) -> Any:
    """Return a label that was written on the command line as one of the type of the labels.

    Raises
    ------
    ValueError
        If the labels are numbers and this is none.
    """
    if text.lower() == "nan":
        return np.nan
    kind = np.asarray(labels).dtype.kind
    try:
        return int(text) if kind in "iu" else float(text) if kind == "f" else text
    except ValueError:
        raise ValueError(f"--ignore-label {text} is no number, but the labels are numbers.") from None


def _show_profile(profile: SilhouetteProfile, diagnosis: Diagnosis, seconds: float, n_features: int) -> None:
    columns, note = summarize_clusters(profile.clusters)
    console.show_table(columns)
    if note:
        console.show_sentences(["", f"{note} With --out DIR, clusters.csv has all."])
    left_out = f" {count(profile.n_ignored, 'sample')} left out." if profile.n_ignored else ""
    console.show_sentences(
        [
            f"Mean silhouette {profile.score:.4f}, mean of the clusters' means {profile.macro_score:.4f}.",
            *filter(None, [format_reading(profile.score, n_features)]),
            format_counts(profile.n_negative, profile.n_samples),
            f"{count(profile.n_samples, 'sample')} in {count(profile.n_clusters, 'cluster')}.{left_out} "
            f"{seconds:.2f} seconds.",
        ]
    )
    console.show_diagnosis(diagnosis)


def _compare_with_truth(X: Any, truth: Any, metric: str, n_jobs: int | None) -> None:
    """Print the score of the true classes of a known data set: seldom 1, and often low."""
    profile = silhouette_profile(X, truth, metric=metric, n_jobs=n_jobs)
    console.show_sentences(
        ["", f"For comparison: the {profile.n_clusters} true classes of these data score {profile.score:.3f}."]
    )


def _about_data(file: str, found: DataFile) -> dict[str, str]:
    X = found.X
    try:
        check_data(X)
        finite = "yes"
    except ValueError as error:
        finite = f"no. {str(error).partition(' Drop or impute')[0]}"
    about = {
        "file": f"{file} ({format_bytes(_measure_size(Path(file)))})" if Path(file).exists() else file,
        "samples": f"{X.shape[0]:,}",
        "features": f"{X.shape[1]:,}",
        "type": f"{X.dtype}",
        "size": f"{format_bytes(X.nbytes)}" + (", read in place from the file" if isinstance(X, np.memmap) else ""),
        "finite": finite,
        "pairs": f"{X.shape[0] ** 2:,} distances, were all of them computed",
    }
    return about | {f"note {i}": note for i, note in enumerate(found.notes, 1)}


def _about_installation() -> dict[str, str]:
    packages = ("numpy", "numba", "scipy", "scikit-learn", "typer", "rich", "tqdm", "matplotlib", "pandas", "pyarrow")
    about = {
        "fastsil": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {resolve_n_jobs(None)} cores to use",
    }
    return about | {package: _find_version(package) for package in packages}


def _find_version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed: pip install 'fastsil[all]'"


def _measure_size(path: Path) -> int:
    """Return the bytes of a file, or of the files in a folder."""
    files = [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(f"fastsil {__version__}")
        raise typer.Exit

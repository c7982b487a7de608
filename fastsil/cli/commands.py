"""The commands: ``demo``, ``sweep``, ``score``, ``info``."""

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
from typing import Annotated, Any, NamedTuple, ParamSpec

import numpy as np
import typer

from fastsil import __version__
from fastsil.cli import folder as results_folder
from fastsil.cli import screen
from fastsil.files import DataFile, read_data, read_labels
from fastsil.parallel import resolve_n_jobs
from fastsil.planning import plan
from fastsil.report import (
    cluster_columns,
    count_sentence,
    many_features_sentence,
    score_sentence,
    sweep_columns,
)
from fastsil.scores import silhouette_profile
from fastsil.sweep import KMeansSweep
from fastsil.validation import check_data, check_metric

app = typer.Typer(
    help="Exact silhouettes: which number of clusters, and how good is it?",
    epilog="python -m fastsil SCRIPT.py ARGS (or -m MODULE ARGS) runs a program with fastsil in scikit-learn's place.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# A score of so few products (samples² x features) takes well under a second; if it takes more than this, numba
# has been compiling.
_SMALL_SCORE = 10**10
_COMPILING_SECONDS = 2.0

# The fewest null sets that can tell structure from none. For 15 numbers of clusters and 64 features they take 7 s on
# one core, whatever the number of samples; without them the question that brings people here stays open.
_N_NULL = 19

_Args = ParamSpec("_Args")

# What a user can mend: bad values, missing files, missing packages, too little memory.
_MENDABLE = (ValueError, TypeError, OSError, ImportError, MemoryError)


def _in_plain_words(command: Callable[_Args, None]) -> Callable[_Args, None]:
    """Turn errors into a sentence and exit code 2, and warnings into remarks."""

    @functools.wraps(command)
    def wrapped(*args: _Args.args, **kwargs: _Args.kwargs) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            try:
                command(*args, **kwargs)
            except _MENDABLE as error:
                screen.complain(str(error) or type(error).__name__)
                raise typer.Exit(2) from None
            finally:
                for message in dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught):
                    screen.remark(f"note: {message}", style="yellow")

    return wrapped


class _Dataset(NamedTuple):
    """A data set that comes with scikit-learn."""

    loader: str
    what: str


_DATASETS = {
    "digits": _Dataset("load_digits", "8 x 8 pictures of handwritten digits"),
    "iris": _Dataset("load_iris", "flowers of three species, measured"),
    "wine": _Dataset("load_wine", "wines of three growers, analysed"),
    "breast-cancer": _Dataset("load_breast_cancer", "cells of tumours, measured"),
}

_CLUSTERERS: dict[str, str | None] = {
    "kmeans": None,
    "minibatch": "MiniBatchKMeans",
    "bisecting": "BisectingKMeans",
    "agglomerative": "AgglomerativeClustering",
}

KOption = Annotated[
    str, typer.Option("--k", help="Numbers of clusters: 2:16 (both included), 2:64:2 (every other), or 2,5,10.")
]
MetricOption = Annotated[
    str,
    typer.Option(help="euclidean, cosine, mahalanobis, or any metric of scikit-learn. k-means works in its geometry."),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder for the results (sweep, demo: fastsil-NAME if not given).")
]
SeedOption = Annotated[int, typer.Option(help="Seed: the same seed gives the same clusters.")]
RestartsOption = Annotated[int, typer.Option("--n-init", min=1, help="Restarts of k-means for each k.")]
NullOption = Annotated[
    int,
    typer.Option(
        min=0,
        help="Data sets without clusters to compare with: 19 or more tell whether there is structure at all, more find "
        "more, 0 leaves it open.",
    ),
]
StabilityOption = Annotated[
    int, typer.Option(min=0, help="Pairs of random parts of the data to cluster apart, to see whether they agree.")
]
ClustererOption = Annotated[str, typer.Option(help=f"One of: {', '.join(_CLUSTERERS)}.")]
JobsOption = Annotated[int | None, typer.Option("--n-jobs", "-j", help="Threads (default: all cores).")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
KeyOption = Annotated[
    str | None, typer.Option(help="Which array of an .npz, or which column of vectors of a .parquet (or FILE:KEY).")
]
DropOption = Annotated[
    list[str] | None, typer.Option(help="Column of a table that is no feature, such as an id. May be repeated.")
]


@app.command()
@_in_plain_words
def demo(
    data: Annotated[str, typer.Argument(help=f"One of: {', '.join(_DATASETS)}.")] = "digits",
    k: KOption = "2:16",
    metric: MetricOption = "euclidean",
    out: OutOption = None,
    clusterer: ClustererOption = "kmeans",
    n_init: RestartsOption = 10,
    n_null: NullOption = _N_NULL,
    n_stability: StabilityOption = 0,
    seed: SeedOption = 0,
    n_jobs: JobsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Cluster a data set that comes with scikit-learn, and say which k fits it."""
    from sklearn import datasets

    dataset = _DATASETS[_one_of(data, _DATASETS, "data")]
    X, truth = getattr(datasets, dataset.loader)(return_X_y=True)
    settings = _Settings(data, k, metric, clusterer, n_init, n_null, n_stability, seed, n_jobs, quiet)
    screen.show_heading(data, f"{_shape(X)} ({dataset.what}, from scikit-learn)")
    interrupted = _run_sweep(X, settings, out)
    if not interrupted:
        _compare_with_truth(X, truth, metric, n_jobs)
        screen.show_sentences(["", "Your own data: fastsil sweep FILE  (.npy, .npz, .csv or .parquet)"])
    raise typer.Exit(130 if interrupted else 0)


@app.command()
@_in_plain_words
def sweep(
    file: Annotated[
        str, typer.Argument(help="Samples: .npy, .npz, .csv, .csv.gz, .tsv, .parquet, .arrow, or a folder of such.")
    ],
    k: KOption = "2:16",
    metric: MetricOption = "euclidean",
    out: OutOption = None,
    clusterer: ClustererOption = "kmeans",
    n_init: RestartsOption = 10,
    n_null: NullOption = _N_NULL,
    n_stability: StabilityOption = 0,
    seed: SeedOption = 0,
    key: KeyOption = None,
    drop: DropOption = None,
    n_jobs: JobsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Cluster your data for each k, score each clustering exactly, and say which k fits."""
    found = read_data(file, key=key, drop=drop or ())
    name = Path(file).name.split(".")[0] or "data"
    settings = _Settings(name, k, metric, clusterer, n_init, n_null, n_stability, seed, n_jobs, quiet)
    _show_data(file, found)
    interrupted = _run_sweep(found.X, settings, out)
    raise typer.Exit(130 if interrupted else 0)


@app.command()
@_in_plain_words
def score(
    file: Annotated[
        str, typer.Argument(help="Samples: .npy, .npz, .csv, .csv.gz, .tsv, .parquet, .arrow, or a folder of such.")
    ],
    labels: Annotated[
        str | None, typer.Argument(help="Labels: a file of those kinds or .txt; FILE:NAME for one of several columns.")
    ] = None,
    metric: MetricOption = "euclidean",
    out: OutOption = None,
    labels_column: Annotated[str | None, typer.Option(help="Column of FILE that holds the labels.")] = None,
    key: KeyOption = None,
    drop: DropOption = None,
    n_jobs: JobsOption = None,
    quiet: QuietOption = False,
) -> None:
    """Score labels that you have: the mean silhouette, a row for each cluster, and what that means."""
    if (labels is None) == (labels_column is None):
        raise ValueError("score needs the labels once: as a second FILE, or as --labels-column of the first.")
    check_metric(metric)
    found = read_data(file, key=key, labels_column=labels_column, drop=drop or ())
    given = found.labels if labels is None else read_labels(labels)
    _show_data(file, found)
    with results_folder.prepared(out):
        started = time.perf_counter()
        show_bar = not quiet and sys.stderr.isatty() and importlib.util.find_spec("tqdm") is not None
        profile = silhouette_profile(found.X, given, metric=metric, n_jobs=n_jobs, progress=show_bar)  # type: ignore[arg-type]
        _show_profile(profile, time.perf_counter() - started, found.X.shape[1])
        if out is not None:
            record = {"data": file, "labels": labels or labels_column, "metric": metric}
            _show_written(out, lambda pictures: results_folder.write_score(out, profile, record, pictures=pictures))


@app.command()
@_in_plain_words
def info(
    file: Annotated[str | None, typer.Argument(help="A file of samples; without one: versions and packages.")] = None,
    labels: Annotated[
        str | None, typer.Argument(help="Labels, as for score: says what scoring them will cost.")
    ] = None,
    metric: MetricOption = "euclidean",
    key: KeyOption = None,
    drop: DropOption = None,
    n_jobs: JobsOption = None,
) -> None:
    """Say what is in a file, whether it can be scored and at what cost, or, without a file, what is installed."""
    if file is None:
        screen.show_pairs(_about_installation())
        return
    found = read_data(file, key=key, drop=drop or ())
    screen.show_pairs(_about_data(file, found))
    if labels is not None:
        planned = plan(found.X, read_labels(labels), metric=check_metric(metric), n_jobs=n_jobs)
        screen.show_sentences(["", str(planned)])


class _Settings(NamedTuple):
    """What a sweep on the command line was told."""

    name: str
    k: str
    metric: str
    clusterer: str
    n_init: int
    n_null: int
    n_stability: int
    seed: int
    n_jobs: int | None
    quiet: bool


def _run_sweep(X: Any, settings: _Settings, out: Path | None) -> bool:
    """Sweep, print, write; return whether Ctrl-C cut it short."""
    ks = _parse_k(settings.k)
    out = Path(f"fastsil-{settings.name}") if out is None else out
    estimator = _clusterer(settings)
    check_metric(settings.metric)
    with results_folder.prepared(out):
        with screen.watching(ks, quiet=settings.quiet) as listen:
            sweep = KMeansSweep(
                ks,
                estimator=estimator,
                metric=settings.metric,
                n_init=settings.n_init,
                n_null=settings.n_null,
                n_stability=settings.n_stability,
                random_state=settings.seed,
                n_jobs=settings.n_jobs,
                progress=listen,
            ).fit(X)
        _show_sweep(sweep, X.shape[1])
        record = {**settings._asdict(), "n_samples": X.shape[0], "n_features": X.shape[1]}
        _show_written(out, lambda pictures: results_folder.write_sweep(out, sweep, X, record, pictures=pictures))
        if not results_folder.pictures_missing() and (no_page := results_folder.page_missing()):
            screen.remark(f"no report: {no_page}", style="yellow")
    return bool(sweep.interrupted_)


def _show_sweep(sweep: KMeansSweep, n_features: int) -> None:
    results = sweep.sweep_results_
    chosen = int(np.flatnonzero(results["n_clusters"] == (sweep.verdict_.k or sweep.best_k_))[0])
    screen.show_table(sweep_columns(results), marked=chosen)
    screen.show_verdict(sweep.verdict_)
    slow = results["n_clusters"][results["score_seconds"] > _COMPILING_SECONDS]
    if len(slow) and len(sweep.labels_) ** 2 * n_features < _SMALL_SCORE:
        screen.remark(f"Most of the seconds at k = {', '.join(map(str, slow))} went into compiling, once a machine.")


def _show_written(out: Path, write: Callable[[bool], dict[str, str]]) -> None:
    no_pictures = results_folder.pictures_missing()
    screen.show_written(f"{out}/", write(not no_pictures))
    if no_pictures:
        screen.remark(f"no pictures: {no_pictures}", style="yellow")


def _clusterer(settings: _Settings) -> Any:
    from sklearn import cluster

    name = _CLUSTERERS[_one_of(settings.clusterer, _CLUSTERERS, "--clusterer")]
    if name is None:
        return None
    estimator = getattr(cluster, name)()
    return estimator.set_params(n_init=settings.n_init) if "n_init" in estimator.get_params() else estimator


def _parse_k(text: str) -> list[int]:
    """Numbers of clusters from ``2:16``, ``2:64:2`` or ``2,5,10``."""
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


def _one_of(name: str, table: dict[str, Any], what: str) -> str:
    if name not in table:
        raise ValueError(f"{what} {name} is not known; choose one of: {', '.join(table)}.")
    return name


def _show_data(file: str, found: DataFile) -> None:
    screen.show_heading(Path(file).name, _shape(found.X))
    for note in found.notes:
        screen.remark(note)


def _shape(X: Any) -> str:
    return f"{X.shape[0]:,} samples, {X.shape[1]:,} features, {X.dtype}"


def _show_profile(profile: Any, seconds: float, n_features: int) -> None:
    screen.show_table(cluster_columns(profile.clusters))
    sentences = [
        f"Mean silhouette {profile.score:.4f}, mean of the clusters' means {profile.macro_score:.4f} "
        f"({profile.n_clusters} clusters, {seconds:.2f} seconds).",
        score_sentence(profile.score),
        many_features_sentence(profile.score, n_features),
        count_sentence(profile.n_negative, profile.n_samples),
        f"negative {profile.n_negative:,}, zero {profile.n_zero:,}, positive {profile.n_positive:,}",
    ]
    screen.show_sentences([sentence for sentence in sentences if sentence])


def _compare_with_truth(X: Any, truth: Any, metric: str, n_jobs: int | None) -> None:
    """What the true classes of a known data set would score: seldom 1, and often little."""
    profile = silhouette_profile(X, truth, metric=metric, n_jobs=n_jobs)
    screen.show_sentences(
        ["", f"For comparison: the {profile.n_clusters} true classes of these data score {profile.score:.3f}."]
    )


def _about_data(file: str, found: DataFile) -> dict[str, str]:
    X = found.X
    try:
        check_data(X)
        finite = "yes"
    except ValueError as error:
        finite = f"no. {error}"
    about = {
        "file": f"{file} ({_bytes(_size_of(Path(file)))})" if Path(file).exists() else file,
        "samples": f"{X.shape[0]:,}",
        "features": f"{X.shape[1]:,}",
        "type": f"{X.dtype}",
        "size": f"{_bytes(X.nbytes)}" + (", read in place from the file" if isinstance(X, np.memmap) else ""),
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
    return about | {package: _version_of(package) for package in packages}


def _version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed: pip install 'fastsil[all]'"


def _size_of(path: Path) -> int:
    """Bytes of a file, or of the files in a folder."""
    files = [file for file in path.iterdir() if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def _bytes(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    if version:
        typer.echo(f"fastsil {__version__}")
        raise typer.Exit

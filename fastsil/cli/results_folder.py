"""The folder of results: its files, their contents and their meanings.

Every folder has a record in JSON that lists the files written, each with a digest. What does not agree with it is not
ours: it is never removed, and replaced only by ``--force``.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsil import __version__
from fastsil.report.page import Picture, load_templates
from fastsil.report.plots import draw_parameter_sweep, new_figure, save_picture
from fastsil.runtime.atomic_files import read_record, write_columns, write_csv, write_record
from fastsil.runtime.lazy_imports import import_on_first_use
from fastsil.scoring.page import ScorePage
from fastsil.sweep.checkpoint import has_pieces, remove_pieces
from fastsil.sweep.page import SweepPage, describe_sweep
from fastsil.validation import check_data, is_dask_array

if TYPE_CHECKING:
    from fastsil.scoring.profile import SilhouetteProfile
    from fastsil.sweep.estimator import KMeansSweep
    from fastsil.sweep.parameter_sweep import SilhouetteSweep

_RECORD = "fastsil.json"
PARAMETER_FILES = ("sweep.csv", "samples.parquet", "samples.npz", "parameter.png", "report.html")
SCORE_FILES = ("clusters.csv", "samples.parquet", "samples.npz", "silhouette.png", "report.html")

# What is left of a sweep that was cut short, and what it was asked.
_CHECKPOINT = "fastsil-checkpoint"
_ASKED = "asked.json"

# Blocks of lazy labels that are computed at a time.
_BLOCKS_AT_A_TIME = 64

_Pictures = Mapping[str, tuple[Picture | None, str]]


@contextlib.contextmanager
def prepare_folder(folder: Path | None, names: Iterable[str], *, force: bool = False) -> Iterator[None]:
    """Make the folder before any work, so that a place that cannot be written to is known at once.

    A folder that is still empty when the work ends goes again.

    Raises
    ------
    OSError
        If it cannot be made or written to.
    ValueError
        If it has files of these names that are not fastsil's, unless ``force`` allows to replace them.
    """
    if folder is None:
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"the folder {folder} cannot be written to: {error.strerror or error}.") from error
    index = _read_index(folder)
    foreign = [
        name for name in (*names, _RECORD) if os.path.lexists(folder / name) and not _is_own(folder, name, index)
    ]
    if foreign and not force:
        raise ValueError(
            f"{folder} has a file {foreign[0]} that fastsil did not write, or that was changed since; name another "
            "folder with --out, or replace it with --force."
        )
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def open_resumable(folder: Path, asked: Mapping[str, Any] | None) -> Iterator[Path | None]:
    """Open the place of finished pieces in a folder, and record the settings; None if nothing is to be kept.

    The pieces stay until :func:`drop_checkpoint`; if the work fails before there is a piece, the place is removed.
    """
    if asked is None:
        yield None
        return
    place = folder / _CHECKPOINT
    place.mkdir(exist_ok=True)
    if not read_record(place / _ASKED):
        write_record(place / _ASKED, asked, durable=True)
    try:
        yield place
    finally:
        if not is_resumable(folder):
            drop_checkpoint(folder)


def is_resumable(folder: Path) -> bool:
    """Return whether a sweep in this folder left something to go on from."""
    return has_pieces(folder / _CHECKPOINT)


def read_asked(folder: Path) -> dict[str, Any]:
    """Return the settings of the sweep that was interrupted in this folder.

    Raises
    ------
    ValueError
        If there is none.
    """
    asked = read_record(folder / _CHECKPOINT / _ASKED)
    if asked:
        return asked
    if asked is not None:
        raise ValueError(f"the record of the sweep in {folder} is damaged; begin it again with FILE.")
    if (read_record(folder / _RECORD) or {}).get("kind") == "sweep":
        raise ValueError(f"the sweep in {folder} is finished; there is nothing to go on with.")
    raise ValueError(f"there is no sweep in {folder} to go on with; name the folder of its results.")


def drop_checkpoint(folder: Path) -> None:
    """Remove the pieces of a sweep; nothing else that may be there."""
    place = folder / _CHECKPOINT
    remove_pieces(place)
    with contextlib.suppress(ValueError):
        if read_record(place / _ASKED) is not None:
            (place / _ASKED).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        place.rmdir()


def pictures_missing() -> str:
    """Return an empty text, or the reason why there will be no pictures."""
    try:
        new_figure()
    except ImportError as error:
        return str(error)
    return ""


def page_missing() -> str:
    """Return an empty text, or the reason why there will be no page."""
    try:
        load_templates()
    except ImportError as error:
        return str(error)
    return pictures_missing()


def write_sweep(
    folder: Path, sweep: KMeansSweep, X: Any, settings: Mapping[str, Any], *, pictures: bool
) -> dict[str, str]:
    """Write a sweep's results; return what each file is for, by name."""
    with _draft_in(folder) as draft:
        files = _write_sweep(draft, sweep, X, settings.get("data", settings["name"]), pictures=pictures)
        verdict = {name: getattr(sweep.verdict_, name) for name in ("kind", "structure", "k", "good_k", "tested")}
        settings = {
            **settings,
            "geometry": sweep.best_geometry_.name,
            "best_k": sweep.best_k_,
            "verdict": verdict,
            "n_clusters": sweep.best_geometry_.results["n_clusters"].tolist(),
        }
        return _publish(draft, folder, "sweep", settings, files)


def list_sweep_files(ks: Iterable[int]) -> list[str]:
    """Return the names of all files that a sweep may write."""
    curves = ("elbow.png", "silhouette.png", "geometries.png", "geometries_null.png")
    pictures = (*curves, *(f"silhouette_k{k}.png" for k in ks))
    return ["sweep.csv", "report.html", "samples.parquet", "samples.npz", "labels.npy", *pictures]


def _write_sweep(draft: Path, sweep: KMeansSweep, X: Any, name: str, *, pictures: bool) -> dict[str, str]:
    write_csv(draft / "sweep.csv", sweep.sweep_results_)
    files = {"sweep.csv": "the table, with every column"}
    rows = sweep.best_geometry_.profiled_rows
    columns = _drawn_columns(sweep.profiles_, rows) if rows else _sample_columns(sweep.profiles_)
    if columns:
        written = write_columns(draft / "samples", columns)
        of_rows = f" for {len(columns['row']):,} drawn rows" if rows else ""
        files[written.name] = f"labels, silhouettes and nearest other clusters of every k{of_rows}"
    if is_dask_array(X):
        _write_labels(draft / "labels.npy", sweep.labels_, sweep.best_k_)
        files["labels.npy"] = f"labels of all rows, for k = {sweep.best_k_}"
    if pictures:
        page = describe_sweep(sweep, _open_samples(X), name=name)
        files = _write_page(draft, page, _list_pictures(page)) | files
    return files


def _open_samples(X: Any) -> Any:
    if is_dask_array(X):
        return import_on_first_use("fastsil.dask_arrays").open_samples(X)
    return check_data(X, warns=False)


def _write_labels(path: Path, labels: Any, k: int) -> None:
    """Write lazy labels, some blocks at a time."""
    written = np.lib.format.open_memmap(path, mode="w+", dtype=np.min_scalar_type(k), shape=labels.shape)
    start = 0
    for low in range(0, labels.numblocks[0], _BLOCKS_AT_A_TIME):
        part = labels.blocks[low : low + _BLOCKS_AT_A_TIME].compute()
        written[start : start + len(part)] = part
        start += len(part)
    written.flush()


def write_parameter_sweep(
    folder: Path, sweep: SilhouetteSweep, X: Any, settings: Mapping[str, Any], *, pictures: bool
) -> dict[str, str]:
    """Write the results of a sweep over a parameter; return what each file is for, by name."""
    with _draft_in(folder) as draft:
        write_csv(draft / "sweep.csv", sweep.sweep_results_)
        written = write_columns(draft / "samples", _sample_columns(sweep.best_geometry_.profiles))
        meaning = "labels, silhouettes and nearest other clusters of the best value of each number of clusters found"
        files = {"sweep.csv": "the table, with every column", written.name: meaning}
        if pictures:
            figure = new_figure()
            draw_parameter_sweep(sweep.sweep_results_, sweep.param_name, chosen=sweep.best_index_, ax=figure.subplots())
            save_picture(figure, draft / "parameter.png")
            samples = check_data(X, metric=sweep.metric, warns=False)
            page = describe_sweep(sweep, samples, name=settings["name"])
            files = _write_page(draft, page, {}) | {"parameter.png": "scores, clusters and noise of each value"} | files
        verdict = {name: getattr(sweep.verdict_, name) for name in ("kind", "structure", "k", "good_k", "tested")}
        chosen = {"best_value": sweep.best_value_, "best_k": sweep.best_k_, "verdict": verdict}
        return _publish(draft, folder, "sweep", {**settings, **chosen}, files)


def _write_page(draft: Path, page: SweepPage | ScorePage, pictures: _Pictures) -> dict[str, str]:
    """Write a page, if it can be made, and pictures of it as files."""
    files = {}
    if not page_missing():
        page.write(draft / "report.html")
        files["report.html"] = "everything on one page, to open in a browser"
    for name, (picture, meaning) in pictures.items():
        if picture is not None:
            (draft / name).write_bytes(picture.png)
            files[name] = meaning
    return files


def write_score(folder: Path, page: ScorePage, settings: Mapping[str, Any], *, pictures: bool) -> dict[str, str]:
    """Write the scores of given labels; return what each file is for, by name."""
    profile = page.profile
    with _draft_in(folder) as draft:
        write_csv(draft / "clusters.csv", vars(profile.clusters))
        files = {"clusters.csv": "one row for each cluster"}
        # The names that SilhouetteProfile.to_frame gives.
        columns = {"label": profile.labels, "silhouette": profile.silhouettes}
        columns |= {name: getattr(profile, name) for name in ("a", "b", "neighbor")}
        written = write_columns(draft / "samples", columns)
        files[written.name] = "label, silhouette, a, b and nearest other cluster of each sample"
        if pictures:
            files = _write_page(draft, page, {"silhouette.png": (page.silhouettes, "the silhouette plot")}) | files
        settings = {**settings, "score": profile.score, "macro_score": profile.macro_score}
        return _publish(draft, folder, "score", settings, files)


def _sample_columns(profiles: Mapping[int, SilhouetteProfile]) -> dict[str, Any]:
    columns = {}
    for k, profile in profiles.items():
        columns[f"label_k{k}"] = profile.labels
        columns[f"silhouette_k{k}"] = profile.silhouettes
        columns[f"neighbor_k{k}"] = profile.neighbor
    return columns


def _drawn_columns(
    profiles: Mapping[int, SilhouetteProfile], rows: Mapping[int, NDArray[np.intp]]
) -> dict[str, NDArray[Any]]:
    """Return the columns of the rows that all profiles have, and which rows these are."""
    common = functools.reduce(np.intersect1d, rows.values())
    columns = {"row": common}
    for k, profile in profiles.items():
        kept = np.isin(rows[k], common)
        columns |= {name: values[kept] for name, values in _sample_columns({k: profile}).items()}
    return columns


def _list_pictures(page: SweepPage) -> _Pictures:
    """Return the pictures that a sweep writes as files, None where there is nothing to draw, and their meanings."""
    return {
        "elbow.png": (page.elbow, "inertia against k"),
        "silhouette.png": (page.scores, "mean silhouette against k"),
        "geometries.png": (page.geometry_scores, "mean silhouette against k in all geometries"),
        "geometries_null.png": (page.geometry_excess, "how far all geometries are above data without clusters"),
        f"silhouette_k{page.k}.png": (page.silhouettes.get(page.k), f"the silhouette plot of k = {page.k}"),
    }


@contextlib.contextmanager
def _draft_in(folder: Path) -> Iterator[Path]:
    """Make a folder within, of a random name, for files that are not finished."""
    with tempfile.TemporaryDirectory(prefix=".fastsil-", dir=folder) as draft:
        yield Path(draft)


def _publish(
    draft: Path, folder: Path, kind: str, settings: Mapping[str, Any], files: dict[str, str]
) -> dict[str, str]:
    """Move all files and their record to their places, and remove those of an earlier run that are not replaced."""
    earlier = _read_index(folder)
    index = {name: _compute_digest(draft / name) for name in files}
    write_record(draft / _RECORD, {"fastsil": __version__, "kind": kind, **settings, "files": index})
    files = {**files, _RECORD: "how this was made"}
    for name in files:
        os.replace(draft / name, folder / name)
    for name in earlier:
        if name not in files and _is_own(folder, name, earlier):
            (folder / name).unlink()
    return files


def _read_index(folder: Path) -> dict[str, str]:
    """Return the digests of the files that the record lists, with the record's own."""
    try:
        record = read_record(folder / _RECORD)
    except ValueError:
        return {}
    files = (record or {}).get("files")
    return {**files, _RECORD: _compute_digest(folder / _RECORD)} if isinstance(files, dict) else {}


def _is_own(folder: Path, name: str, index: Mapping[str, str]) -> bool:
    """Return whether a file is one that we wrote, and nobody changed since."""
    path = folder / name
    # Only plain names: an index could have been made to name anything.
    return (
        Path(name).name == name
        and path.is_file()
        and not path.is_symlink()
        and _compute_digest(path) == index.get(name)
    )


def _compute_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

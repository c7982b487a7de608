"""The folder of results: its files, their contents and their meanings.

Every folder has a record in JSON that lists the files written, so that a later run into the same folder removes those
that it does not write itself (a picture of another k, say) and touches nothing else.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastsil import __version__
from fastsil.report.plots import draw_sweep_elbow, draw_sweep_scores, height_for, new_figure, save_picture
from fastsil.runtime.atomic_files import read_json, replacing, write_columns, write_csv, write_json
from fastsil.sweep.page import load_template

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastsil.scoring.profile import SilhouetteProfile
    from fastsil.sweep.estimator import KMeansSweep

_RECORD = "fastsil.json"

# Pieces of an interrupted sweep, and its settings.
_CHECKPOINT = "checkpoint"
_ASKED = "asked.json"


@contextlib.contextmanager
def prepare_folder(folder: Path | None) -> Iterator[None]:
    """Make the folder before any work, so that a place that cannot be written to is known at once.

    A folder that is still empty when the work fails goes again.

    Raises
    ------
    OSError
        If it cannot be made or written to.
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
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            folder.rmdir()
        raise


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
    if not (place / _ASKED).exists():
        write_json(place / _ASKED, asked, durable=True)
    try:
        yield place
    finally:
        if not list(place.glob("*.npz")):
            drop_checkpoint(folder)


def read_asked(folder: Path) -> dict[str, Any]:
    """Return the settings of the sweep that was interrupted in this folder.

    Raises
    ------
    ValueError
        If there is none.
    """
    asked = read_json(folder / _CHECKPOINT / _ASKED)
    if asked:
        return asked
    if read_json(folder / _RECORD).get("kind") == "sweep":
        raise ValueError(f"the sweep in {folder} is finished; there is nothing to go on with.")
    raise ValueError(f"there is no sweep in {folder} to go on with; name the folder of its results.")


def drop_checkpoint(folder: Path) -> None:
    """Remove the pieces of a sweep; nothing else that may be there."""
    place = folder / _CHECKPOINT
    for path in (*place.glob("*.npz"), *place.glob(".*.npz"), place / _ASKED, place / "checkpoint.json"):
        path.unlink(missing_ok=True)
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
    """Return an empty text, or the reason why there will be no page of a sweep."""
    try:
        load_template()
    except ImportError as error:
        return str(error)
    return pictures_missing()


def write_sweep(
    folder: Path, sweep: KMeansSweep, X: Any, settings: Mapping[str, Any], *, pictures: bool
) -> dict[str, str]:
    """Write a sweep's results; return the meaning of each file, by name."""
    results, best = sweep.best_geometry_.results, sweep.best_k_
    write_csv(folder / "sweep.csv", sweep.sweep_results_)
    files = {"sweep.csv": "the table"}
    columns = _sample_columns(sweep.profiles_)
    if columns:
        written = write_columns(folder / "samples", columns)
        files[written.name] = "each sample's label, silhouette and nearest other cluster, for each k"
    if pictures:
        files |= _draw_sweep(folder, sweep)
    if not page_missing():
        sweep.report(folder / "report.html", X, name=settings["name"])
        files = {"report.html": "everything on one page, to open in a browser"} | files
    verdict = {name: getattr(sweep.verdict_, name) for name in ("kind", "structure", "k", "good_k", "tested")}
    settings = {
        **settings,
        "geometry": sweep.best_geometry_.name,
        "best_k": best,
        "verdict": verdict,
        "n_clusters": results["n_clusters"].tolist(),
    }
    return _finish(folder, "sweep", settings, files)


def write_score(
    folder: Path, profile: SilhouetteProfile, settings: Mapping[str, Any], *, pictures: bool
) -> dict[str, str]:
    """Write the scores of given labels; return the meaning of each file, by name."""
    write_csv(folder / "clusters.csv", vars(profile.clusters))
    files = {"clusters.csv": "one row for each cluster"}
    columns = {name: getattr(profile, name) for name in ("labels", "silhouettes", "a", "b", "neighbor")}
    written = write_columns(folder / "samples", columns)
    files[written.name] = "each sample's label, silhouette, a, b and nearest other cluster"
    if pictures:
        _save(folder / "silhouette.png", _silhouette_picture(profile))
        files["silhouette.png"] = "the silhouette plot"
    settings = {**settings, "score": profile.score, "macro_score": profile.macro_score}
    return _finish(folder, "score", settings, files)


def _sample_columns(profiles: Mapping[int, SilhouetteProfile]) -> dict[str, Any]:
    columns = {}
    for k, profile in profiles.items():
        columns[f"label_k{k}"] = profile.labels
        columns[f"silhouette_k{k}"] = profile.silhouettes
        columns[f"neighbor_k{k}"] = profile.neighbor
    return columns


def _draw_sweep(folder: Path, sweep: KMeansSweep) -> dict[str, str]:
    results, best, chosen = sweep.best_geometry_.results, sweep.best_geometry_.best_k, sweep.verdict_.k
    elbow, scores = new_figure(), new_figure()
    draw_sweep_elbow(results, best_k=best, chosen_k=chosen, ax=elbow.subplots())
    _save(folder / "elbow.png", elbow)
    files = {"elbow.png": "inertia against k"}
    if len(sweep.geometries_) > 1:
        both = new_figure(13)
        sweep.plot_geometries(both.subplots(1, 2))
        _save(folder / "geometries.png", both)
        files["geometries.png"] = "all geometries side by side"
    if not sweep.profiles_:
        return files
    draw_sweep_scores(results, best_k=best, chosen_k=chosen, ax=scores.subplots())
    _save(folder / "silhouette.png", scores)
    closer = chosen or best
    _save(folder / f"silhouette_k{closer}.png", _silhouette_picture(sweep.profiles_[closer]))
    return files | {
        "silhouette.png": "mean silhouette against k",
        f"silhouette_k{closer}.png": f"the silhouette plot of k = {closer}",
    }


def _silhouette_picture(profile: SilhouetteProfile) -> Figure:
    figure = new_figure(7.5, height_for(profile.n_clusters))
    profile.plot(figure.subplots())
    return figure


def _save(path: Path, figure: Figure) -> None:
    with replacing(path) as draft:
        save_picture(figure, draft)


def _finish(folder: Path, kind: str, settings: Mapping[str, Any], files: dict[str, str]) -> dict[str, str]:
    """Write the record, and remove files that an earlier record lists and this run did not write."""
    record = folder / _RECORD
    files = {**files, _RECORD: "how this was made"}
    earlier = read_json(record).get("files", [])
    write_json(record, {"fastsil": __version__, "kind": kind, **settings, "files": sorted(files)})
    for name in earlier:
        # A record could have been edited: only plain names, in this folder.
        if isinstance(name, str) and name not in files and Path(name).name == name:
            (folder / name).unlink(missing_ok=True)
    return files

"""A sweep in one geometry, its assessment, and the choice among several geometries.

Data are clustered and scored in each separately. Mean silhouettes of different geometries do not compare: fewer
dimensions or another metric raise or lower all of them, in data without clusters too. The rise of the data above such
data does compare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import FitFailedWarning

from fastsil.scoring.diagnosis import Diagnosis
from fastsil.sweep.block_kmeans import LazyLabels, are_blocks
from fastsil.sweep.checkpoint import CachedCall, Checkpoint, no_cache
from fastsil.sweep.clusterers import generator_for
from fastsil.sweep.feature_space import FailedSpace, FeatureSpace, raise_if_all_failed
from fastsil.sweep.fit_and_score import FittedK, search
from fastsil.sweep.gaps import MANY_SAMPLES, GapTest, find_gaps, measure_finer_depth
from fastsil.sweep.geometry_sweep import GeometrySweep
from fastsil.sweep.kept_profiles import KeptProfiles
from fastsil.sweep.null import NullComparison, compare_with_null, with_null_columns
from fastsil.sweep.prepared_blocks import BLOCK_TOL, PreparedBlocks
from fastsil.sweep.prepared_data import Estimation, PreparedData, SweptData
from fastsil.sweep.progress import Listener, Stages
from fastsil.sweep.results import SweepRow, make_columns
from fastsil.sweep.space_comparison import compare_geometries, explain_failures, find_furthest_space, suggest_geometries
from fastsil.sweep.stability import Stability, choose_sample_share, measure_stability, with_stability_columns
from fastsil.sweep.verdict import GapFindings, Verdict, has_gaps, judge, lowest_k
from fastsil.validation import get_metric_name

# Gaps of two geometries are about as clear, if they differ by less than this (standard deviations).
_ALIKE = 2.0


@dataclass(frozen=True)
class SweepSettings:
    """Settings of a sweep: its stages and their parameters.

    Attributes
    ----------
    n_tried : int
        Numbers of clusters.
    n_null, null_size, null_reference, n_stability, gaps
        As :class:`fastsil.KMeansSweep` has them.
    tol : float or None
        As :class:`fastsil.KMeansSweep` has it.
    seed : int
        Seed of all random draws.
    n_jobs : int
        Threads.
    sample_weight : ndarray of shape (n_samples,), optional
        How often each sample counts, in fits and scores.
    """

    n_tried: int
    n_null: int
    null_size: int
    null_reference: str
    n_stability: int
    gaps: bool
    tol: float | None
    seed: int
    n_jobs: int
    sample_weight: NDArray[np.float64] | None = None


def sweep_each(
    frames: Sequence[FeatureSpace | FailedSpace],
    X: Any,
    clusterers: Sequence[Any],
    settings: SweepSettings,
    listen: Listener,
    checkpoint: Checkpoint | None,
) -> list[GeometrySweep | FailedSpace]:
    """Sweep in each geometry; return fewer sweeps if Ctrl-C came between.

    Of several, those in which every k fails are returned as failed.

    Raises
    ------
    ValueError
        If all fail.
    KeyboardInterrupt
        If it comes before anything is found.
    """
    sweeps: list[GeometrySweep | FailedSpace] = []
    for place, frame in enumerate(frames):
        if isinstance(frame, FailedSpace):
            sweeps.append(frame)
            continue
        cached: CachedCall = no_cache if checkpoint is None else checkpoint.cached(f"{place}-")
        name = frame.name if len(frames) > 1 else ""
        try:
            sweeps.append(
                sweep_in(frame, X, clusterers, settings, _scale_listener(listen, place, len(frames), name), cached)
            )
        except KeyboardInterrupt:
            if not list_made(sweeps):
                raise
            break
        except (ValueError, TypeError, MemoryError) as error:
            sweeps.append(FailedSpace(frame.metric, frame.pca, error))
        if getattr(sweeps[-1], "interrupted", False):
            break
    raise_if_all_failed(sweeps)
    return sweeps


def list_made(outcomes: Sequence[GeometrySweep | FailedSpace]) -> list[GeometrySweep]:
    """List the geometries that did not fail."""
    return [outcome for outcome in outcomes if isinstance(outcome, GeometrySweep)]


def sweep_in(
    frame: FeatureSpace,
    X: Any,
    clusterers: Sequence[Any],
    settings: SweepSettings,
    listen: Listener,
    cached: CachedCall,
) -> GeometrySweep:
    """Cluster, score and compare in one geometry.

    Raises
    ------
    ValueError
        If every k fails.
    KeyboardInterrupt
        If it comes before anything is found.
    """
    data = frame.reduce(X)

    def prepare(samples: Any, n_jobs: int = 1, estimation: Estimation | None = None) -> PreparedData:
        weights = settings.sample_weight
        given = frame.geometry, frame.metric, frame.params, n_jobs, frame.row_dtype
        return PreparedData(samples, *given, estimation, weights)

    stages = Stages(listen, _work(settings, data.shape[0]))
    # Null sets and parts of the data are small, and are scored exactly.
    estimation = None if settings.tol is None else Estimation(settings.tol, settings.seed)
    prepared: SweptData
    if are_blocks(data):
        in_memory = partial(prepare, n_jobs=settings.n_jobs, estimation=estimation)
        estimation = estimation or Estimation(BLOCK_TOL, settings.seed)
        prepared = PreparedBlocks(data, frame, estimation, in_memory, settings.n_jobs)
    else:
        prepared = prepare(data, settings.n_jobs, estimation)
    findings, interrupted = search(prepared, clusterers, stages.listener("sweep"), cached)
    null, stability, gaps = None, None, None
    if not interrupted:
        labelings = {
            finding.row.n_clusters: prepared.open_labels(finding.clusterer)
            for finding in findings
            if finding.kept is not None
        }
        null, stability, gaps, interrupted = _compare(
            data, labelings, frame, prepare, findings, settings, stages, cached
        )
    rows = [finding.row for finding in findings]
    rows = rows if null is None else with_null_columns(rows, null)
    rows = rows if stability is None else with_stability_columns(rows, stability)
    fitted = [finding for finding in findings if not finding.row.error]
    kept = {each.row.n_clusters: each.kept for each in fitted if each.kept is not None}
    return GeometrySweep(
        frame=frame,
        rows=tuple(rows),
        estimators={finding.row.n_clusters: finding.clusterer for finding in fitted},
        profiles=KeptProfiles(kept),
        null=null,
        stability=stability,
        gaps=gaps,
        interrupted=interrupted,
        profiled_rows={k: profile.rows for k, profile in kept.items() if profile.rows is not None},
    )


def judge_space(
    sweep: GeometrySweep,
    X: Any,
    outcomes: Sequence[GeometrySweep | FailedSpace],
    *,
    seed: int,
    names: Sequence[Any],
    can_change: bool = True,
) -> tuple[Diagnosis | None, Verdict]:
    """Return the diagnosis of the chosen k, if it has scores, and the verdict on the sweep.

    Parameters
    ----------
    sweep : GeometrySweep
        In the chosen geometry.
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data as they were given.
    outcomes : sequence of GeometrySweep or FailedSpace
        In all geometries.
    seed : int
        Of the closer look at separate clusters.
    names : sequence of str
        Names of the features, if they have names.
    can_change : bool
        Whether the sweep has the parameters that advice would change.
    """
    reduced = sweep.frame.reduce(X)
    if sweep.pca is not None:
        names = [f"{place} of the principal components" for place in range(1, reduced.shape[1] + 1)]
    # A profile holds only the name of a callable, with which nothing can be measured.
    looked_at = None if callable(sweep.frame.metric) else reduced

    def diagnose(k: int) -> Diagnosis:
        reference = None if sweep.null is None else sweep.null.reference_at(k)
        samples = looked_at if looked_at is None else sweep.take_profiled(looked_at, k)
        return sweep.profiles[k].diagnose(samples, null=reference, feature_names=names, **sweep.frame.params)

    k, lowest = sweep.chosen_k, lowest_k(sweep.results)
    diagnoses = {each: diagnose(each) for each in sweep.profiles if each in (k, lowest)}
    found = {each: diagnosis.findings for each, diagnosis in diagnoses.items()}
    verdict = judge(
        sweep.results,
        k,
        n_features=reduced.shape[1],
        null=sweep.null,
        findings=found.get(k, ()),
        lowest_findings=() if lowest is None else found[lowest],
        geometries=(*compare_geometries(list_made(outcomes), sweep), *explain_failures(outcomes)),
        other_geometries=suggest_geometries(sweep, X) if can_change and len(outcomes) == 1 else "",
        gaps=_look_closer(sweep, reduced, k, seed),
        can_change=can_change,
    )
    return diagnoses.get(k), verdict


def take_counted(
    X: Any, labelings: Mapping[int, Any], sample_weight: NDArray[np.float64] | None
) -> tuple[Any, Mapping[int, Any]]:
    """Return the samples that have weight, and their labels: the test of gaps counts each once."""
    if sample_weight is None or sample_weight.all():
        return X, labelings
    counted = sample_weight > 0
    return X[counted], {k: np.asarray(labels)[counted] for k, labels in labelings.items()}


def _look_closer(sweep: GeometrySweep, reduced: Any, k: int, seed: int) -> GapFindings | None:
    """Apply the test of gaps to the chosen k."""
    if sweep.gaps is None or k not in sweep.profiles:
        return None
    profile, finer_depth = sweep.profiles[k], float(np.nan)
    if has_gaps(sweep.gaps):
        random = generator_for("closer look", seed)
        samples, labels = reduced, cast(Any, profile.labels)
        if k in sweep.profiled_rows:
            labels = LazyLabels(lambda rows: sweep.estimators[k].predict(sweep.frame.geometry.apply(samples[rows])))
        elif profile.n_ignored:
            samples, labels = samples[~profile.ignored], labels[~profile.ignored]
        elif profile.sample_weight is not None:
            samples, labels = samples[profile.sample_weight > 0], labels[profile.sample_weight > 0]
        finer_depth = measure_finer_depth(samples, sweep.frame.geometry.apply, labels, random)
    return GapFindings(sweep.gaps, k, profile.clusters.label.tolist(), finer_depth)


def choose_geometry(sweeps: Sequence[GeometrySweep]) -> int:
    """Place of the geometry that shows most.

    That of the clearest gaps, if there are gaps in any; the first one, if its gaps are about as clear. Without gaps,
    the geometry in which the data rise furthest above data without clusters; the first one without such data.
    """
    clearest = [sweep.clearest_gap for sweep in sweeps]
    if max(clearest) > -np.inf:
        best = int(np.argmax(clearest))
        return 0 if clearest[0] >= clearest[best] - _ALIKE else best
    if len(sweeps) == 1 or any(np.isnan(sweep.p_value) or np.isnan(sweep.excess) for sweep in sweeps):
        return 0
    return find_furthest_space(sweeps)


def long_table(outcomes: Sequence[GeometrySweep | FailedSpace], ks: Sequence[int]) -> dict[str, NDArray[Any]]:
    """Stack the results of several geometries, with columns that name the geometry; failed ones with their reason."""
    rows = [
        [SweepRow(k, error=outcome.reason) for k in ks] if isinstance(outcome, FailedSpace) else outcome.rows
        for outcome in outcomes
    ]
    counts = [len(of_one) for of_one in rows]
    pcas = [np.nan if outcome.pca is None else float(outcome.pca) for outcome in outcomes]
    return {
        "metric": np.repeat([get_metric_name(outcome.metric) for outcome in outcomes], counts),
        "pca": np.repeat(pcas, counts),
        **make_columns([row for of_one in rows for row in of_one]),
    }


def list_shortfalls(
    outcomes: Sequence[GeometrySweep | FailedSpace],
    frames: Sequence[FeatureSpace | FailedSpace],
    settings: SweepSettings,
) -> Iterator[tuple[str, type[Warning]]]:
    """Yield failed geometries, failed k and the stages missing after an interruption: text of a warning, and its
    category.
    """
    several = len(frames) > 1
    for outcome in outcomes:
        if isinstance(outcome, FailedSpace):
            yield f"{outcome.name} is left out: {outcome.reason}", FitFailedWarning
    sweeps = list_made(outcomes)
    for sweep in sweeps:
        where = f"{sweep.name}: " if several else ""
        if sweep.frame.note:
            yield f"{sweep.name}: {sweep.frame.note}", UserWarning
        failed = [row for row in sweep.rows if row.error]
        if failed:
            what = "; ".join(f"k={row.n_clusters}: {row.error}" for row in failed)
            yield f"{where}{len(failed)} of {settings.n_tried} clusterings failed. {what}", FitFailedWarning
    last = sweeps[-1]
    where = f" in {last.name}" if several else ""
    never = ", ".join(frame.name for frame in frames[len(outcomes) :])
    if last.interrupted or never:
        kept = [row for row in last.rows if not row.error]
        to_score = [row for row in kept if row.n_clusters > 1]
        waiting = [row for row in to_score if np.isnan(row.silhouette)]
        some = f"those of k = {_listed(waiting)} without a score"
        unscored = some if len(waiting) < len(to_score) else "none with a score"
        wanted = {"null sets": (settings.n_null, last.null), "stability": (settings.n_stability, last.stability)}
        missing = [name for name, (n, found) in wanted.items() if n and found is None]
        yield (
            f"interrupted: {len(last.rows)} of {settings.n_tried} clusterings{where} are finished and kept "
            f"(k = {_listed(kept)})"
            + (f", {unscored}" if waiting else "")
            + (f"; missing: {', '.join(missing)}." if missing else ".")
            + (f" Not begun: {never}." if never else ""),
            UserWarning,
        )


def _listed(rows: Sequence[SweepRow]) -> str:
    return ", ".join(str(row.n_clusters) for row in rows)


def _scale_listener(listen: Listener, place: int, count: int, geometry: str) -> Listener:
    """Scale the progress of one geometry among several, all alike."""
    return lambda event: listen(replace(event, share=(place + event.share) / count, geometry=geometry))


def _work(settings: SweepSettings, n_samples: int) -> dict[str, float]:
    """Return the work of the stages, in sweeps of all samples."""
    # The data are one more set among them.
    null = (settings.n_null + 1) * min(settings.null_size, n_samples) / n_samples if settings.n_null else 0.0
    gaps = 0.2 * min(1.0, MANY_SAMPLES / n_samples) if settings.gaps else 0.0
    return {
        "sweep": 1.0,
        "gaps": gaps,
        "null sets": null,
        "stability": 2 * settings.n_stability * choose_sample_share(n_samples),
    }


def _compare(
    data: Any,
    labelings: Mapping[int, Any],
    frame: FeatureSpace,
    prepare: Callable[[Any], PreparedData],
    findings: Sequence[FittedK],
    settings: SweepSettings,
    stages: Stages,
    cached: CachedCall,
) -> tuple[NullComparison | None, Stability | None, GapTest | None, bool]:
    """Run the comparisons requested beyond the sweep; return them, None if no k has a score, and whether Ctrl-C
    interrupted.
    """
    scored = [finding for finding in findings if finding.kept is not None]
    clusterers = [finding.unfitted for finding in scored]
    null, stability, gaps = None, None, None
    try:
        if settings.gaps and scored:
            data, labelings = take_counted(data, labelings, settings.sample_weight)
            gaps = find_gaps(
                data,
                frame.geometry.apply,
                labelings,
                random=generator_for("gaps", settings.seed),
                n_jobs=settings.n_jobs,
                tick=stages.tick("gaps"),
            )
        if settings.n_null and scored:
            null = compare_with_null(
                data,
                prepare,
                clusterers,
                ([finding.row.silhouette for finding in scored], [finding.row.inertia for finding in scored]),
                n_null=settings.n_null,
                null_size=settings.null_size,
                reference=settings.null_reference,
                random=generator_for("null sets", settings.seed),
                n_jobs=settings.n_jobs,
                tick=stages.tick("null sets"),
                cached=cached,
            )
        if settings.n_stability and scored:
            stability = measure_stability(
                data,
                prepare,
                clusterers,
                n_stability=settings.n_stability,
                random=generator_for("stability", settings.seed),
                n_jobs=settings.n_jobs,
                tick=stages.tick("stability"),
                cached=cached,
            )
    except KeyboardInterrupt:
        return null, stability, gaps, True
    return null, stability, gaps, False

"""One fit and one score for each number of clusters.

Fits are collected for scoring, because one pass over all pairs of samples serves several labelings. The pass runs once
these fits have taken as long as its estimated time, so that scoring stays below clustering, and an interruption loses
little.
"""

from __future__ import annotations

import contextlib
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from fastsil.runtime.progress import ProgressCallback
from fastsil.sweep.checkpoint import Arrays, CachedCall, no_cache
from fastsil.sweep.clusterers import get_fitted
from fastsil.sweep.kept_profiles import KeptProfile
from fastsil.sweep.prepared_data import Scored, SweptData
from fastsil.sweep.progress import Listener, SweepEvent
from fastsil.sweep.results import SweepRow

# A pass of fewer seconds is not worth waiting for.
_SHORT_PASS = 0.05
# Seconds that a pass may take after Ctrl-C.
_QUICK_PASS = 3.0


@dataclass(frozen=True)
class FittedK:
    """A row, and the objects behind it (None if it failed, or has no score); ``unfitted``: before its fit."""

    row: SweepRow
    unfitted: Any
    clusterer: Any = None
    kept: KeptProfile | None = None


def search(
    space: SweptData, clusterers: Sequence[Any], listen: Listener, cached: CachedCall = no_cache
) -> tuple[list[FittedK], bool]:
    """Search all clusterers; return the fits of each, and whether Ctrl-C interrupted the search.

    Parameters
    ----------
    space : PreparedData
        The samples.
    clusterers : sequence of clusterer
        One for each k, rising; they are cloned.
    listen : callable
        Called with every event.
    cached : callable
        Keeps fits and scores, and has those of an earlier run.

    Raises
    ------
    ValueError
        If all fail.
    KeyboardInterrupt
        If it comes before anything is found.
    """
    run = _Run(space, [clusterer.get_params()["n_clusters"] for clusterer in clusterers], listen, cached)
    interrupted = False
    try:
        for clusterer in clusterers:
            run.fit(clusterer)
            if run.is_pass_due():
                run.score_waiting()
        run.score_waiting()
    except KeyboardInterrupt:
        if len(run.fits) == len(run.failures):
            raise
        interrupted = True
        run.score_what_is_quick()
    fits = [run.fits[k] for k in sorted(run.fits)]
    if len(fits) == len(run.failures):
        first, cause = fits[0].row, run.failures[0]
        raise ValueError(f"every k failed; k={first.n_clusters}: {first.error}") from cause
    return fits, interrupted


class _Run:
    """Findings of a search in progress, and the fits that are not scored yet."""

    def __init__(self, space: SweptData, ks: Sequence[int], listen: Listener, cached: CachedCall) -> None:
        self.fits: dict[int, FittedK] = {}
        self.failures: list[Exception] = []
        self._space = space
        self._cached = cached
        self._unfitted: dict[int, Any] = {}
        self._waiting: dict[int, Any] = {}
        self._waited = 0.0
        self._pass_seconds = space.estimate_pass_seconds()
        self._progress = _Progress(ks, self._pass_seconds, listen)

    def fit(self, unfitted: Any) -> None:
        k = unfitted.get_params()["n_clusters"]
        self._unfitted[k] = unfitted
        self._progress.report(k, "clustering")
        try:
            clusterer, row = self._fit_or_load(unfitted, k)
            if k > 1:
                self._waiting[k] = self._space.partition_fit(get_fitted(clusterer))
                row = replace(row, n_found=self._waiting[k].n_clusters)
                self._waited += self._space.estimate_fit_seconds(unfitted, get_fitted(clusterer), row.fit_seconds)
            self.fits[k] = FittedK(row, unfitted, get_fitted(clusterer))
        except Exception as error:
            self._fail(k, error)
        self._progress.add_fit(k, self.fits[k].row.fit_seconds)
        if k not in self._waiting:
            self._finish(k)

    def _fit_or_load(self, unfitted: Any, k: int) -> tuple[Any, SweepRow]:
        """Return the clusterer after its fit, or after that of an earlier run."""
        clusterer = clone(unfitted)
        numbers: NDArray[np.float64] | None = None

        def fit() -> Arrays | None:
            nonlocal numbers
            started = time.perf_counter()
            with warnings.catch_warnings():
                # The row says how many clusters were found.
                warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
                _, inertia = self._space.fit(clusterer)
            seconds = time.perf_counter() - started
            fitted = get_fitted(clusterer)
            indices = self._space.measure_centers(fitted) if k > 1 else (np.nan, np.nan)
            numbers = np.array([inertia, seconds, *indices])
            state = self._space.extract_state(fitted)
            return None if state is None else state | {"numbers": numbers}

        kept = self._cached(f"fit-{k}", fit)
        if numbers is None:
            assert kept is not None
            self._space.restore(clusterer, kept)
            numbers = kept["numbers"]
        inertia, seconds, calinski_harabasz, davies_bouldin = numbers.tolist()
        row = SweepRow(
            k,
            n_found=1,
            inertia=inertia,
            fit_seconds=seconds,
            calinski_harabasz=calinski_harabasz,
            davies_bouldin=davies_bouldin,
        )
        return clusterer, row

    def is_pass_due(self) -> bool:
        return self._pass_seconds < _SHORT_PASS or self._waited >= self._pass_seconds

    def score_waiting(self) -> None:
        if not self._waiting:
            return
        try:
            self._score(list(self._waiting))
        except Exception:
            # Whose fault it was, shows when each is scored alone.
            for k in list(self._waiting):
                try:
                    self._score([k])
                except Exception as error:
                    self._fail(k, error)
                    self._finish(k)

    def score_what_is_quick(self) -> None:
        """Score the fits that wait after Ctrl-C, if it takes seconds; another Ctrl-C ends that."""
        if not self._space.estimates and self._pass_seconds <= _QUICK_PASS * self._space.n_jobs:
            with contextlib.suppress(KeyboardInterrupt):
                self.score_waiting()

    def _score(self, ks: list[int]) -> None:
        self._progress.report(ks[-1], "scoring")
        scored, seconds = self._score_or_load(ks)
        for k, (kept, values) in zip(ks, scored, strict=True):
            row: SweepRow = replace(self.fits[k].row, score_seconds=seconds / len(ks), **values)  # type: ignore[arg-type]
            self.fits[k] = replace(self.fits[k], row=row, kept=kept)
            self._finish(k)

    def _score_or_load(self, ks: list[int]) -> tuple[list[Scored], float]:
        """Return the scores of a pass, or those of an earlier run, and the seconds of the pass."""
        partitions = [self._waiting[k] for k in ks]
        # A pass has one file, since its last digits depend on the labelings that share it, which name the file.
        name = f"scores-{ks[0]}-{ks[-1]}-{self._space.name_pass(partitions)}"
        found: list[Scored] = []

        def score() -> Arrays:
            started = time.perf_counter()
            found.extend(self._space.score(partitions, self._progress.part(ks[-1], "scoring", len(ks))))
            return _as_arrays(ks, found) | {"seconds": np.array(time.perf_counter() - started)}

        kept = self._cached(name, score)
        assert kept is not None
        found = found or [
            self._space.read_scored(k, kept, partition) for k, partition in zip(ks, partitions, strict=True)
        ]
        return found, float(kept["seconds"])

    def _fail(self, k: int, error: Exception) -> None:
        self.failures.append(error)
        self.fits[k] = FittedK(SweepRow(k, error=f"{type(error).__name__}: {error}"), self._unfitted[k])

    def _finish(self, k: int) -> None:
        self._waiting.pop(k, None)
        self._waited = self._waited if self._waiting else 0.0
        if k > 1:
            self._progress.add_score(self.fits[k].row.score_seconds)
        self._progress.report(k, "done", self.fits[k].row)


def _as_arrays(ks: Sequence[int], scored: Sequence[Scored]) -> Arrays:
    arrays: Arrays = {}
    for k, (kept, values) in zip(ks, scored, strict=True):
        arrays |= kept.as_arrays(k)
        if kept.guesses or kept.rows is not None:
            arrays[f"values-{k}"] = np.array(json.dumps(values))
    return arrays


class _Progress:
    """The finished share of the sweep, by time: that of k-means grows with k, that of a score hardly does.

    The remaining time is predicted from the fits and scores so far; that of scores, while there are none, from the
    estimate for a pass over all pairs.
    """

    def __init__(self, ks: Sequence[int], pass_seconds: float, listen: Listener) -> None:
        self._all_k = sum(ks)
        self._n_scores = sum(k > 1 for k in ks)
        self._pass_seconds = pass_seconds
        self._fitted_k, self._fit_seconds = 0, 0.0
        self._scored, self._score_seconds = 0, 0.0
        self._shown = 0.0
        self._listen = listen

    def add_fit(self, k: int, seconds: float) -> None:
        self._fitted_k += k
        self._fit_seconds += np.nan_to_num(seconds)

    def add_score(self, seconds: float) -> None:
        self._scored += 1
        self._score_seconds += np.nan_to_num(seconds)

    def report(self, n_clusters: int, stage: str, row: SweepRow | None = None, *, ahead: float = 0.0) -> None:
        """Report to the listener; ``ahead`` are scores that are being computed."""
        # The estimate of the remaining time improves with each fit; the bar never goes back.
        self._shown = min(1.0, max(self._shown, self._share(ahead)))
        self._listen(SweepEvent(n_clusters, stage, self._shown, row))

    def part(self, n_clusters: int, stage: str, n_scores: int) -> ProgressCallback:
        """Return a callback for the progress of ``n_scores`` scores at once."""
        ahead = 0.0

        def tick(share: float) -> None:
            nonlocal ahead
            ahead += share * n_scores
            self.report(n_clusters, stage, ahead=ahead)

        return tick

    def _share(self, ahead: float) -> float:
        if self._fitted_k == self._all_k and self._scored == self._n_scores:
            return 1.0
        fits = self._fit_seconds * self._all_k / self._fitted_k if self._fitted_k else 0.0
        scores = self._pass_seconds or fits
        if self._scored:
            scores = self._score_seconds * self._n_scores / self._scored
        done = self._fit_seconds + self._score_seconds + scores * ahead / max(self._n_scores, 1)
        return done / (fits + scores) if fits + scores else 0.0

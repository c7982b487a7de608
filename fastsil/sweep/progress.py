"""Progress of a sweep: events for listeners, and the shares of successive stages."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from fastsil.runtime.progress import ProgressCallback, progress_bar
from fastsil.sweep.results import SweepRow


@dataclass(frozen=True)
class SweepEvent:
    """One event, passed to a callable given as ``progress``.

    Attributes
    ----------
    n_clusters : int
        The k at work; of several that are scored together the last. 0 where it is all of them.
    stage : str
        ``"clustering"``, ``"scoring"``, ``"done"``, ``"gaps"``, ``"null sets"`` or
        ``"stability"``.
    share : float
        Share of the whole sweep that is done, 0 to 1.
    row : SweepRow or None
        The result, once it is there (stage ``"done"``).
    geometry : str
        Name of the geometry at work, of several; else empty.
    """

    n_clusters: int
    stage: str
    share: float
    row: SweepRow | None = None
    geometry: str = ""


Listener = Callable[[SweepEvent], None]


@contextlib.contextmanager
def make_listener(progress: bool | Listener) -> Iterator[Listener]:
    if callable(progress):
        yield progress
        return
    with progress_bar("sweep", enabled=progress) as tick:
        shown = 0.0

        def listen(event: SweepEvent) -> None:
            nonlocal shown
            tick(event.share - shown)
            shown = event.share

        yield listen


class Stages:
    """Progress of work in stages, one after the other, each of a known part of the whole."""

    def __init__(self, listen: Listener, work: Mapping[str, float]) -> None:
        self._listen = listen
        ends = np.cumsum(list(work.values())) / sum(work.values())
        self._spans = dict(zip(work, pairwise([0.0, *ends.tolist()]), strict=True))

    def listener(self, name: str) -> Listener:
        """Return the listener of the stage that reports its own events; the first one."""
        end = self._spans[name][1]
        return lambda event: self._listen(replace(event, share=event.share * end))

    def tick(self, name: str) -> ProgressCallback:
        """Return the callback of a further stage."""
        done, end = self._spans[name]
        whole = end - done

        def tick(part: float) -> None:
            nonlocal done
            done = min(end, done + part * whole)
            self._listen(SweepEvent(0, name, done))

        return tick

"""How far a call is: shares of the work, and a bar that shows them."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

ProgressCallback = Callable[[float], None]
"""Called with the share (0 to 1) of the whole work that has just been finished."""


def ignore_progress(share: float) -> None:
    """Ignore a report of progress."""


def scale_progress(tick: ProgressCallback, share: float) -> ProgressCallback:
    """Return a callback for a part of the work, which reports to ``tick`` the given share of the whole."""
    return lambda done: tick(done * share)


@contextlib.contextmanager
def progress_bar(description: str, *, enabled: bool) -> Iterator[ProgressCallback]:
    """Show a tqdm bar from 0 to 100 % on standard error; yield its :data:`ProgressCallback`, silent if not enabled.

    Raises
    ------
    ImportError
        If it is enabled and tqdm is not installed.
    """
    if not enabled:
        yield ignore_progress
        return
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError("progress=True needs tqdm; install it with: pip install 'fastsil[progress]'") from error
    lock = threading.Lock()
    with tqdm(total=100, desc=description, unit="%", file=sys.stderr, bar_format=_BAR_FORMAT) as bar:

        def tick(share: float) -> None:
            with lock:
                # Shares need not add up to 1 to the last bit, and tqdm warns about a bar beyond its end.
                bar.update(min(100 * share, 100 - bar.n))

        yield tick


_BAR_FORMAT = "{desc}: {percentage:3.0f}% |{bar}| {elapsed} elapsed, {remaining} left"


def only_once(tick: ProgressCallback) -> ProgressCallback:
    """Limit progress to the whole where work is done again."""
    done = 0.0

    def limited(share: float) -> None:
        nonlocal done
        share = min(share, max(0.0, 1.0 - done)) if done + share > 1 + 1e-9 else share
        done += share
        tick(share)

    return limited

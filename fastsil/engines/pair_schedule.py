"""The schedule of all pairs of pieces: their tasks and their order.

Ranges of samples are cut into pieces of a size that depends on the data alone. Each pair of pieces is computed once,
for both sides, in a round-robin tournament: in each round every piece meets one other, so that tasks of a round write
to disjoint places, and a task needs only the earlier tasks of its own two pieces. There are no locks and no
atomics, and every sum is taken in the same order for any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastsil.kernels.micro import ROWS
from fastsil.runtime.progress import ProgressCallback
from fastsil.runtime.threads import enough_for_threads, run_tasks

# Products (pairs times features) of a task: 0.3 to 10 ms, long compared with the 20 microseconds that it takes to
# schedule it, short enough for interrupts and progress. Small work is cut into fewer products a task, so that few
# threads are idle at the end.
TASK_PRODUCTS = (2e7, 1e9)
N_TASKS = 256
# A piece is a multiple of a tile; small enough for many more tasks than threads, large enough to pack rarely.
_PIECE_ROWS = (ROWS, 4 * ROWS)
_PIECES = 64
# Products of all pairs below which starting threads costs more than it saves: digits, n = 1,797 with 2e8, take 5 ms on
# one thread and 10 ms on two.
_WORTH_THREADS = 1e9


Player = TypeVar("Player", bound=tuple[Any, ...])


class Piece(NamedTuple):
    """A range of the partition's order: some members of one cluster."""

    start: int
    end: int
    cluster: int


def run_piece_pairs(
    add: Callable[[Piece, Piece, NDArray[np.uint8]], None],
    pieces: list[Piece],
    members: tuple[int, int],
    *,
    n_jobs: int,
    tick: ProgressCallback,
) -> int:
    """Call ``add(rows, columns, stop)`` for every two pieces, and for each with itself, where either holds members.

    Parameters
    ----------
    add : callable
        Writes to the places of its two pieces only.
    pieces : list of Piece
        Pieces, sorted.
    members : tuple of int
        Start and end of a range of positions.
    n_jobs : int
        Number of threads.
    tick : callable
        Called with the share of the work that has been finished.

    Returns
    -------
    int
        Number of pairs of samples.
    """
    meetings = [(piece, piece) for piece in pieces] + list(chain.from_iterable(schedule_tournament(pieces)))
    tasks = [
        Task([rows], columns, count_pairs(rows, columns))
        for rows, columns in meetings
        if any(piece.start < members[1] and piece.end > members[0] for piece in (rows, columns))
    ]

    def run(index: int, stop: NDArray[np.uint8]) -> None:
        rows, columns = tasks[index].rows[0], tasks[index].columns
        assert columns is not None
        add(rows, columns, stop)

    run_in_turn(run, tasks, n_jobs=n_jobs, tick=tick)
    return int(sum(task.cost for task in tasks))


def piece_rows(n_samples: int, unit: int = ROWS, n_pieces: int = _PIECES) -> int:
    """Return the largest size of a piece if there are about ``n_pieces``; a multiple of ``unit``, the kernel's
    block.
    """
    least, most = _PIECE_ROWS
    return max(least, min(most, -(-n_samples // (n_pieces * unit)) * unit))


def worthwhile_threads(shape: tuple[int, int], n_jobs: int) -> int:
    """Return ``n_jobs``, or CALLING_THREAD where all pairs of n samples and features take little time."""
    return enough_for_threads(n_jobs, float(shape[0]) ** 2 * shape[1], _WORTH_THREADS)


class Task(NamedTuple):
    """All pairs within each of some pieces (no columns), or between one piece and another."""

    rows: list[Piece] | NDArray[np.intp]  # or an array of as many rows: there may be a million
    columns: Piece | None
    cost: float


def make_pieces(pieces: NDArray[np.intp]) -> list[Piece]:
    return [Piece(*piece) for piece in pieces.tolist()]


def count_pairs(rows: Piece, columns: Piece) -> int:
    return (rows.end - rows.start) * (columns.end - columns.start)


def run_in_turn(
    run: Callable[[int, NDArray[np.uint8]], None], tasks: list[Task], *, n_jobs: int, tick: ProgressCallback
) -> None:
    """Call ``run(index, stop)`` for every task, each after the earlier tasks of its own pieces."""
    # Only these are in more than one task; the start identifies them.
    meeting = {int(piece[0]) for task in tasks if task.columns for piece in (task.rows[0], task.columns)}
    after = find_earlier_tasks([_find_starts(task, meeting) for task in tasks]) if meeting else None
    run_tasks(run, range(len(tasks)), [task.cost for task in tasks], n_jobs=n_jobs, tick=tick, after=after)


def _find_starts(task: Task, meeting: set[int]) -> Collection[int]:
    """Return which of some pieces, named by their starts, a task adds to."""
    if task.columns:
        return task.rows[0][0], task.columns.start
    return meeting.intersection([row[0] for row in task.rows])


def schedule_tournament(pieces: list[Player]) -> list[list[tuple[Player, Player]]]:
    """Schedule all pairs of pieces, in rounds in which no piece occurs twice: the circle method."""
    players: list[Player | None] = [*pieces, None] if len(pieces) % 2 else [*pieces]
    half = len(players) // 2
    rounds = []
    for _ in range(len(players) - 1):
        pairs = zip(players[:half], reversed(players[half:]), strict=True)
        rounds.append([(min(a, b), max(a, b)) for a, b in pairs if a is not None and b is not None])
        players.insert(1, players.pop())
    return rounds


def find_earlier_tasks(places: Sequence[Collection[int]]) -> list[list[int]]:
    """Return, for each task, the last earlier one that writes to each of its places."""
    last: dict[int, int] = {}
    after = []
    for index, own in enumerate(places):
        after.append([last[place] for place in own if place in last])
        for place in own:
            last[place] = index
    return after

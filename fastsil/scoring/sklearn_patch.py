"""fastsil in place of scikit-learn, for code that is not to be changed.

The patch replaces the body behind a name, not the name. scikit-learn's functions check their parameters and then call
a body; while the patch holds, that body is ours. So every reference follows (``from sklearn.metrics import
silhouette_score`` in another module, a table of scores, a ``functools.partial``, a scorer), whenever it was made, and
nothing of ours is left when the patch is undone.
"""

from __future__ import annotations

from types import CellType, TracebackType
from typing import Any, Self

from fastsil.runtime.lazy_imports import make_fork_safe_lock
from fastsil.runtime.sklearn_compat import SILHOUETTE_FUNCTIONS, find_code
from fastsil.scoring.result_cache import RESULT_CACHE
from fastsil.scoring.scores import silhouette_samples, silhouette_score

_OURS = {"silhouette_samples": silhouette_samples, "silhouette_score": silhouette_score}


class _State:
    """Users of the patch: plain calls until they are undone, ``with`` blocks until they are left."""

    def __init__(self) -> None:
        self.lock = make_fork_safe_lock()
        self.calls = 0
        self.blocks = 0
        # Number of times that plain calls were undone, from which a block infers whether its own call was.
        self.epoch = 0
        self.replaced: list[tuple[CellType, Any]] = []

    def settle(self) -> None:
        """Put fastsil's bodies in place, or the originals back, by the counts. The lock is held."""
        wanted = self.calls + self.blocks > 0
        if wanted and not self.replaced:
            cells = {name: find_code(SILHOUETTE_FUNCTIONS[name]) for name in _OURS}
            self.replaced = [(cell, cell.cell_contents) for cell in cells.values()]
            for name, cell in cells.items():
                cell.cell_contents = _OURS[name]
        elif not wanted:
            for cell, original in self.replaced:
                cell.cell_contents = original
            self.replaced = []
        RESULT_CACHE.switch(on=wanted)


_STATE = _State()


class Patch:
    """The result of :func:`patch_sklearn`: a context manager, which may be ignored."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._is_call = True

    def __enter__(self) -> Self:
        with _STATE.lock:
            _STATE.blocks += 1
            # The call that made this object becomes the block; other plain calls stay.
            if self._is_call and self._epoch == _STATE.epoch:
                _STATE.calls -= 1
            self._is_call = False
            _STATE.settle()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with _STATE.lock:
            _STATE.blocks -= 1
            _STATE.settle()


def patch_sklearn() -> Patch:
    """Let ``sklearn.metrics.silhouette_score`` and ``silhouette_samples`` run on fastsil, for everybody in the process.

    References to these functions change too, and change back when the patch ends, whenever they were made. scikit-learn
    still checks the parameters; its signatures and docstrings stay. Calling it twice changes nothing. While it holds,
    the latest result for Euclidean distance is kept (not the data; 64 MiB at most), so that ``silhouette_samples``
    after ``silhouette_score`` for the same data and labels costs next to nothing.

    Worker processes are not patched, unless they are forked from one that is.

    Returns
    -------
    context manager
        With ``with patch_sklearn():`` the patch ends with the block. Blocks may be nested, also in several threads; the
        patch ends with the last one. Without ``with`` it holds until :func:`unpatch_sklearn`.

    Raises
    ------
    RuntimeError
        If this version of scikit-learn does not allow it.

    Examples
    --------
    >>> import sklearn.metrics
    >>> from fastsil import patch_sklearn
    >>> X, labels = [[0.0], [1.0], [5.0], [6.0], [7.0]], [0, 0, 1, 1, 1]
    >>> with patch_sklearn():
    ...     print(round(sklearn.metrics.silhouette_score(X, labels), 4))
    0.7775
    """
    with _STATE.lock:
        _STATE.calls += 1
        try:
            _STATE.settle()
        except BaseException:
            _STATE.calls -= 1
            raise
        return Patch(_STATE.epoch)


def unpatch_sklearn() -> None:
    """Take every plain :func:`patch_sklearn` back; ``with`` blocks that are still open keep the patch until they end.

    Examples
    --------
    >>> from fastsil import patch_sklearn, unpatch_sklearn
    >>> patch = patch_sklearn()
    >>> unpatch_sklearn()
    """
    with _STATE.lock:
        _STATE.calls = 0
        _STATE.epoch += 1
        _STATE.settle()


def is_patched() -> bool:
    """Return whether scikit-learn's silhouettes run on fastsil now."""
    return bool(_STATE.replaced)

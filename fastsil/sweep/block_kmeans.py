"""k-means for rising k of samples in blocks: starts compete on drawn rows, iterations are passes over the blocks."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from fastsil.runtime.lazy_imports import import_on_first_use
from fastsil.sweep.kmeans import TOL, KMeansPath

if TYPE_CHECKING:
    from fastsil.dask_arrays import RowBlocks


def are_blocks(X: Any) -> bool:
    """Return whether samples are in blocks, of a Dask array, without importing Dask."""
    module = sys.modules.get("fastsil.dask_arrays.row_blocks")
    return module is not None and isinstance(X, module.RowBlocks)


class BlockKMeansPath(KMeansPath):
    """Fits of k-means to samples in blocks, for rising k; their labels are lazy."""

    _X: RowBlocks

    def fit(self, k: int) -> KMeans:
        """Fit for k, which must be larger than that of the fit before.

        Raises
        ------
        ValueError
            If squares of distances leave the range of the type of the samples.
        """
        _lloyd().check_range(self._X)
        return super().fit(k)

    def _fit_all(self, centers: NDArray[Any], tol: float = TOL) -> KMeans:
        fitted = KMeans(len(centers), init=centers, n_init=1, tol=tol)
        found, n_iter = _lloyd().run_lloyd(self._X, centers, tol=fitted.tol, max_iter=fitted.max_iter)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # of centers that are equal
            # A fit to its own centers sets whatever scikit-learn's predict needs.
            fitted.fit(found)
        fitted.n_iter_ = n_iter
        self._end_at(fitted, found)
        return fitted

    def _take_start(self, fitted: KMeans) -> None:
        self._end_at(fitted, np.array(fitted.init))

    def _draw_row(self, centers: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
        return np.asarray(_lloyd().draw_row(self._X, centers, random))

    def _end_at(self, fitted: KMeans, centers: NDArray[Any]) -> None:
        fitted.cluster_centers_ = centers
        fitted.labels_ = assign_lazily(self._X, centers)
        fitted.inertia_ = _lloyd().compute_inertia(self._X, centers)


def assign_lazily(X: RowBlocks, centers: NDArray[Any]) -> Any:
    """Return the nearest center of every row as a lazy array, in the chunks of the rows."""
    return X.map_to_labels(_lloyd().assign_rows, **_lloyd().place_centers(X, centers)._asdict())


class LazyLabels:
    """Labels of samples in blocks; an index computes those of some rows into memory.

    Parameters
    ----------
    read : callable
        ``read(rows)``: their labels.
    """

    def __init__(self, read: Callable[[NDArray[np.intp]], NDArray[np.int32]]) -> None:
        self._read = read

    def __getitem__(self, rows: NDArray[np.intp]) -> NDArray[np.int32]:
        return self._read(rows)


def open_labels(X: RowBlocks, centers: NDArray[Any]) -> LazyLabels:
    """Return the nearest center of every row as labels of which some rows can be read."""
    placed = _lloyd().place_centers(X, centers)
    return LazyLabels(lambda rows: np.asarray(_lloyd().assign_rows(X[rows], *placed)))


def _lloyd() -> Any:
    return import_on_first_use("fastsil.dask_arrays.lloyd")

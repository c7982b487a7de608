"""What every sweep does after its fit: predict, tables, pictures, the page."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from fastsil.runtime.lazy_imports import import_on_first_use
from fastsil.runtime.sklearn_compat import available_if
from fastsil.sweep.feature_space import FeatureSpace
from fastsil.validation import Metric, check_data, is_dask_array, unpack_samples

if TYPE_CHECKING:
    import pandas as pd


def _best_can_predict(sweep: BaseSweep) -> bool:
    clusterer = getattr(sweep, "best_estimator_", sweep.estimator)
    return clusterer is None or hasattr(clusterer, "predict")


def _without_lazy_labels(clusterer: Any) -> Any:
    """Return a clusterer as it is sent to tasks, which would carry the graph of its labels to every worker."""
    sent = copy.copy(clusterer)
    if is_dask_array(getattr(sent, "labels_", None)):
        del sent.labels_
    return sent


def _predict_block(X: NDArray[Any], space: FeatureSpace, clusterer: Any, block_info: Any = None) -> NDArray[np.int32]:
    first_row = block_info[0]["array-location"][0][0] if block_info else 0
    samples = space.apply(check_data(X, first_row=first_row, warns=False))
    return np.asarray(clusterer.predict(samples), dtype=np.int32)


class BaseSweep(ClusterMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A sweep that has fitted several clusterings, and chosen one."""

    # Metric by which samples are checked: of given distances "precomputed".
    _checked_as: Metric = "euclidean"

    @available_if(_best_can_predict)
    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Cluster of each sample, by the chosen clusterer in the geometry that it was fitted in.

        Parameters
        ----------
        X : array-like, CSR matrix or Dask array of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels; of a Dask array a lazy array, in its chunks of rows.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the sweep is not fitted.
        ValueError
            If X is not an array of finite numbers with as many features as the data of the fit.
        """
        check_is_fitted(self)
        space, clusterer = self.best_geometry_.frame, self.best_estimator_
        if not is_dask_array(X):
            return np.asarray(clusterer.predict(space.apply(self._check(X))))
        lazy: Any = self._open_blocks(X).map_to_labels(
            _predict_block, space=space, clusterer=_without_lazy_labels(clusterer)
        )
        return lazy  # type: ignore[no-any-return]  # a Dask array, with the methods of an array

    def to_frame(self) -> pd.DataFrame:
        """Return ``sweep_results_`` as a pandas frame, one row for each k of each geometry.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        check_is_fitted(self)
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("to_frame needs pandas; install it with: pip install 'fastsil[frames]'") from error
        return pd.DataFrame(self.sweep_results_)

    def report(self, path: str | Path, X: ArrayLike | None = None, *, name: str = "") -> Path:
        """Write all that the sweep found as one HTML page that needs nothing else: no network, no other files.

        Parameters
        ----------
        path : str or Path
            Where to write, such as ``"report.html"``; a file that is there is replaced.
        X : array-like, CSR matrix or Dask array of shape (n_samples, n_features), optional
            The samples of the fit, for a map of them; the sweep does not keep them.
        name : str, default=""
            Name of the data.

        Returns
        -------
        Path
            Path of the file.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the sweep is not fitted.
        ValueError
            If X is not an array of finite numbers of the shape of the data of the fit.
        ImportError
            If Jinja2 or matplotlib is not installed.
        OSError
            If the file cannot be written.
        """
        check_is_fitted(self)
        from fastsil.sweep.page import describe_sweep

        data = None if X is None else self._open_blocks(X) if is_dask_array(X) else self._check(X)
        describe_sweep(self, data, name=name).write(Path(path))
        return Path(path)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _open_blocks(self, X: Any) -> Any:
        """Return a Dask array as blocks of rows, with the number of the features compared; values are not looked at."""
        blocks = import_on_first_use("fastsil.dask_arrays").open_samples(X)
        validate_data(self, blocks, reset=False, skip_check_array=True)
        return blocks

    def _check(self, X: Any, *, reset: bool = False) -> Any:
        """Return checked data, with the number and names of the features recorded or compared."""
        data = check_data(X := unpack_samples(X), metric=self._checked_as)
        validate_data(self, X, reset=reset, skip_check_array=True)
        return data

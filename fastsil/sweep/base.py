"""What every sweep does after its fit: predict, tables, pictures, the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from fastsil.runtime.sklearn_compat import available_if
from fastsil.validation import Metric, check_data, unpack_samples

if TYPE_CHECKING:
    import pandas as pd


def _best_can_predict(sweep: BaseSweep) -> bool:
    clusterer = getattr(sweep, "best_estimator_", sweep.estimator)
    return clusterer is None or hasattr(clusterer, "predict")


class BaseSweep(ClusterMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A sweep that has fitted several clusterings, and chosen one."""

    # Metric by which samples are checked: of given distances "precomputed".
    _checked_as: Metric = "euclidean"

    @available_if(_best_can_predict)
    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Cluster of each sample, by the chosen clusterer in the geometry that it was fitted in.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        ndarray of shape (n_samples,)
            Labels.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the sweep is not fitted.
        ValueError
            If X is not an array of finite numbers with as many features as the data of the fit.
        """
        check_is_fitted(self)
        data = self._check(X)
        return np.asarray(self.best_estimator_.predict(self.best_geometry_.frame.apply(data)))

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
        X : array-like or CSR matrix of shape (n_samples, n_features), optional
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

        describe_sweep(self, None if X is None else self._check(X), name=name).write(Path(path))
        return Path(path)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _check(self, X: Any, *, reset: bool = False) -> Any:
        """Return checked data, with the number and names of the features recorded or compared."""
        data = check_data(X := unpack_samples(X), metric=self._checked_as)
        validate_data(self, X, reset=reset, skip_check_array=True)
        return data

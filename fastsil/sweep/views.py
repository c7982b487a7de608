"""What a fitted sweep shows of itself: a frame, pictures, a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted, validate_data

from fastsil.scoring.diagnosis import Diagnosis
from fastsil.scoring.profile import SilhouetteProfile
from fastsil.sweep.one_space import GeometrySweep
from fastsil.sweep.verdict import Verdict
from fastsil.validation import check_data

if TYPE_CHECKING:
    import pandas as pd


class SweepViews:
    """For :class:`fastsil.KMeansSweep`, whose fitted attributes it reads."""

    sweep_results_: dict[str, NDArray[Any]]
    geometries_: tuple[GeometrySweep, ...]
    best_geometry_: GeometrySweep
    best_k_: int
    profiles_: dict[int, SilhouetteProfile]
    labels_: NDArray[Any]
    diagnosis_: Diagnosis | None
    verdict_: Verdict
    n_features_in_: int

    def to_frame(self) -> pd.DataFrame:
        """``sweep_results_`` as a pandas frame, one row for each k of each geometry.

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

    def plot(self, axes: Any = None) -> NDArray[Any]:
        """Draw the elbow and the silhouettes against k, in the chosen geometry.

        Parameters
        ----------
        axes : sequence of two matplotlib Axes, optional
            Where to draw; a new figure's by default.

        Returns
        -------
        ndarray of two matplotlib Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        check_is_fitted(self)
        from fastsil.report.plots import draw_sweep

        return draw_sweep(self.best_geometry_.results, best_k=self.best_k_, chosen_k=self.verdict_.k, axes=axes)

    def plot_geometries(self, axes: Any = None) -> NDArray[Any]:
        """Draw all geometries side by side: mean silhouettes, and how far they lie above data without clusters.

        Parameters
        ----------
        axes : sequence of two matplotlib Axes, optional
            Where to draw; a new figure's by default.

        Returns
        -------
        ndarray of two matplotlib Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        check_is_fitted(self)
        from fastsil.report.plots import draw_geometries

        return draw_geometries({sweep.name: sweep.results for sweep in self.geometries_}, axes=axes)

    def report(self, path: str | Path, X: ArrayLike | None = None, *, name: str = "") -> Path:
        """Write all that the sweep found as one HTML page that needs nothing else: no network, no other files.

        Parameters
        ----------
        path : str or Path
            Where to write, such as ``"report.html"``; a file that is there is replaced.
        X : array-like or CSR matrix of shape (n_samples, n_features), optional
            The samples of the fit, for a map of them; the sweep does not keep them.
        name : str, default=""
            What the data are called.

        Returns
        -------
        Path
            Of the file.

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
        from fastsil.sweep.page import SweepContent, write_sweep_page

        data: Any = None if X is None else check_data(X)
        if data is not None:
            validate_data(self, X, reset=False, skip_check_array=True)
            if data.shape[0] != len(self.labels_):
                raise ValueError(
                    f"X has {data.shape[0]} rows but {len(self.labels_)} were fitted; pass the data of the fit."
                )
        content = SweepContent(
            name=name,
            n_features=self.n_features_in_,
            results=self.best_geometry_.results,
            best_k=self.best_k_,
            verdict=self.verdict_,
            profiles=self.profiles_,
            coordinates=None if data is None else self.best_geometry_.frame.apply(data),
            diagnosis=self.diagnosis_,
            geometries=self.geometries_,
            geometry=self.best_geometry_.name,
        )
        write_sweep_page(Path(path), content)
        return Path(path)

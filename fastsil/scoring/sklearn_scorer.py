"""Silhouettes as ``scoring`` in scikit-learn's searches over clusterers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from fastsil.scoring.scores import silhouette_score
from fastsil.validation import (
    Metric,
    check_average,
    check_metric,
    check_metric_params,
    check_part_labels,
    check_sample_weight,
    check_space,
    check_undefined,
    mark_scored,
)


@dataclass(frozen=True)
class SilhouetteScorer:
    """A scorer of clusterers: ``GridSearchCV(KMeans(), grid, scoring=SilhouetteScorer())``.

    Called as ``scorer(estimator, X)``, it scores the labels that the fitted estimator gives to X: those of ``predict``,
    or, of a clusterer that cannot predict (DBSCAN, agglomerative clustering), those of a fresh fit to X. In a search,
    X is the held-out part of each split; to fit and score all samples, pass ``cv=[(rows, rows)]`` with
    ``rows = range(len(X))``.

    Parameters
    ----------
    metric : str or callable, default="euclidean"
        As for :func:`fastsil.silhouette_samples`.
    metric_params : dict, optional
        Its keywords.
    average : {"micro", "macro"}, default="micro"
        Mean over samples, or mean of the clusters' means.
    space : {"transformed", "input"}, default="transformed"
        Samples that a pipeline's clusters are scored on: as its last step gets them, or as the pipeline does. Scores in
        different spaces cannot be compared: take ``"input"`` to choose between transformations (numbers of components,
        say), ``"transformed"`` to choose between clusterers. Without a pipeline both are the same.
    ignore_label : object, optional
        Label of noise, which is left out: -1 for DBSCAN and HDBSCAN. A clusterer that calls most samples noise can
        score well; look at how many it keeps.
    undefined : float or "raise", default=-1.0
        Score of labels that have no silhouette: a single cluster, or as many clusters as samples. The default is the
        lowest score there is, so that a search prefers anything else. With ``"raise"`` the search's ``error_score``
        decides.
    n_jobs : int, optional
        Threads for each score. By default all cores that the process may use.

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it.

    Examples
    --------
    >>> from sklearn.cluster import KMeans
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn.model_selection import GridSearchCV
    >>> from fastsil import SilhouetteScorer
    >>> X, _ = make_blobs(150, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)
    >>> grid = {"n_clusters": [2, 3, 4, 5]}
    >>> search = GridSearchCV(KMeans(random_state=0), grid, scoring=SilhouetteScorer(), cv=3).fit(X)
    >>> search.best_params_
    {'n_clusters': 3}
    """

    metric: Metric = "euclidean"
    metric_params: dict[str, Any] | None = None
    average: Literal["micro", "macro"] = "micro"
    space: Literal["transformed", "input"] = "transformed"
    ignore_label: Any = None
    undefined: float | Literal["raise"] = -1.0
    n_jobs: int | None = None

    def __post_init__(self) -> None:
        check_metric(self.metric)
        check_metric_params(self.metric, self.metric_params or {})
        check_average(self.average)
        check_space(self.space)
        check_undefined(self.undefined)

    def __call__(self, estimator: Any, X: Any, y: object = None, sample_weight: Any = None) -> float:
        """Score the labels that a fitted clusterer gives to some samples.

        Parameters
        ----------
        estimator : clusterer, or Pipeline that ends in one
            Fitted.
        X : array-like or sparse matrix of shape (n_samples, n_features)
            Samples.
        y : object
            Ignored: a silhouette needs no truth.
        sample_weight : array-like of shape (n_samples,), optional
            How often each sample counts, as for :func:`fastsil.silhouette_samples`.

        Returns
        -------
        float
            Mean silhouette, or ``undefined``.

        Raises
        ------
        ValueError
            If X is invalid, or if the labels have no silhouette and ``undefined="raise"``.
        TypeError
            If the estimator gives no labels.
        """
        clusterer, transformed = _last_step(estimator, X)
        labels = np.asarray(_labels_by(clusterer, transformed))
        if self.undefined != "raise" and not self._have_silhouette(labels, sample_weight):
            return float(self.undefined)
        return silhouette_score(
            transformed if self.space == "transformed" else X,
            labels,
            metric=self.metric,
            average=self.average,
            ignore_label=self.ignore_label,
            sample_weight=sample_weight,
            n_jobs=self.n_jobs,
            **(self.metric_params or {}),
        )

    def _have_silhouette(self, labels: NDArray[Any], sample_weight: Any) -> bool:
        labels, kept = mark_scored(labels, len(labels), self.ignore_label)
        weights = check_sample_weight(sample_weight, len(labels))
        if not kept.any():
            return False
        partition = check_part_labels(labels[kept], int(kept.sum()))
        return partition.weighted(None if weights is None else weights[kept]).has_silhouettes


def _last_step(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return the clusterer of a pipeline, and the samples after the earlier steps."""
    while isinstance(estimator, Pipeline):
        if len(estimator) > 1:
            X = estimator[:-1].transform(X)
        estimator = estimator[-1]
    return estimator, X


def _labels_by(clusterer: Any, X: Any) -> Any:
    if hasattr(clusterer, "predict"):
        return clusterer.predict(X)
    if hasattr(clusterer, "fit_predict"):
        # labels_ are of the samples of the fit, which need not be these, even if they are as many.
        return clone(clusterer).fit_predict(X)
    raise TypeError(
        f"{type(clusterer).__name__} gives no labels: it has neither predict nor fit_predict; pass a clusterer, or a "
        "Pipeline that ends in one."
    )

"""Silhouettes of data that come in batches, and never all at once: :class:`SilhouetteStream`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsil.engines.linear.engine import check_directions, compute_row_terms
from fastsil.engines.linear.summaries import SQUARED_METRICS, ClusterSummaries, merge, normalize_lazily, summarize
from fastsil.engines.rescaling import OUT_OF_RANGE
from fastsil.engines.terms import compute_row_silhouettes
from fastsil.runtime.sklearn_compat import InvalidParameterError
from fastsil.runtime.threads import resolve_n_jobs
from fastsil.validation import check_average, check_data, check_n_classes, check_part_labels, mark_scored, warn_of_order
from fastsil.validation.arrays import is_missing, result_dtype, scatter_to_all
from fastsil.validation.partition import Partition


class SilhouetteStream:
    """Exact silhouettes of any amount of data, in two passes over batches of any size.

    The first pass keeps size, mean and spread of each cluster, 16 bytes a cluster and feature. For metrics whose mean
    distances follow from these, the second pass gives the silhouettes of each batch, to rounding those of
    :func:`fastsil.silhouette_samples` on all data at once. Nothing else is kept, so that a stream pickles into few
    bytes; streams that saw different data are merged. So it runs in any framework that maps and reduces.

    Parameters
    ----------
    metric : {"sqeuclidean", "cosine", "correlation"}
        A metric that needs no pairs. (For ``"euclidean"`` see Dask arrays, or files mapped into memory.)
    ignore_label : label, optional
        Samples with this label are left out of everything: -1 for the noise of DBSCAN and HDBSCAN, ``numpy.nan`` for
        missing labels. Their silhouettes are NaN.
    n_jobs : int, optional
        Threads. By default all cores that the process may use. The result is the same to the bit for any number.

    Attributes
    ----------
    n_samples_seen_ : int
        Samples of the first pass so far, without those that are left out.
    classes_ : ndarray of shape (n_clusters,)
        Their labels, sorted.
    cluster_sizes_ : ndarray of shape (n_clusters,)
        Samples with each label.

    Examples
    --------
    >>> import numpy as np
    >>> from fastsil import SilhouetteStream, silhouette_score
    >>> X = np.random.default_rng(0).normal(size=(60, 3)) + np.repeat([[0, 0, 5], [5, 0, 0]], 30, axis=0)
    >>> labels = np.repeat([0, 1], 30)
    >>> batches = [(X[:25], labels[:25]), (X[25:], labels[25:])]
    >>> stream = SilhouetteStream("cosine")
    >>> for batch, of_batch in batches:
    ...     stream = stream.partial_fit(batch, of_batch)
    >>> round(stream.score(batches), 6) == round(silhouette_score(X, labels, metric="cosine"), 6)
    True
    """

    def __init__(self, metric: str, *, ignore_label: Any = None, n_jobs: int | None = None) -> None:
        if metric not in SQUARED_METRICS:
            raise InvalidParameterError(
                f"metric={metric!r} needs pairs of samples, which a stream does not keep; pass one of "
                f"{', '.join(SQUARED_METRICS)}, or give all data to silhouette_score, as a mapped file or a Dask array."
            )
        self.metric = metric
        self.ignore_label = ignore_label
        self.n_jobs = n_jobs
        self._summaries: ClusterSummaries | None = None

    def partial_fit(self, X: ArrayLike, labels: ArrayLike) -> Self:
        """Take in a batch of the first pass.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Samples that were not taken in before.
        labels : array-like of shape (n_rows,)
            Label of each.

        Returns
        -------
        SilhouetteStream
            The stream itself.

        Raises
        ------
        ValueError
            If X or labels is invalid; the message names the place. The stream is as it was then.
        """
        data, partition, _ = self._check_batch(X, labels)
        if partition is None:
            return self
        view = normalize_lazily(data, self.metric)
        with np.errstate(over="ignore", invalid="ignore"):
            summaries = summarize(view, partition, n_jobs=resolve_n_jobs(self.n_jobs))
        if not np.isfinite(summaries.variances).all():
            raise ValueError(OUT_OF_RANGE)
        check_directions(view, self.metric)
        self._add(summaries)
        return self

    def merge(self, other: SilhouetteStream) -> Self:
        """Take in all that another stream took in.

        Parameters
        ----------
        other : SilhouetteStream
            A stream of the same metric and number of features, over other samples. It stays unchanged.

        Returns
        -------
        SilhouetteStream
            The stream itself.

        Raises
        ------
        ValueError
            If the other stream has another metric, ``ignore_label`` or number of features.
        """
        if other.metric != self.metric:
            raise ValueError(f"other has metric={other.metric!r}, this stream {self.metric!r}; merge streams of one.")
        labels = other.ignore_label, self.ignore_label
        if labels[0] != labels[1] and not all(map(is_missing, labels)):
            raise ValueError(f"other has ignore_label={labels[0]!r}, this stream {labels[1]!r}; merge streams of one.")
        if other._summaries is not None:
            self._check_n_features(other._summaries.origins.shape[1], "other")
            self._add(other._summaries)
        return self

    def score_samples(self, X: ArrayLike, labels: ArrayLike) -> NDArray[Any]:
        """Compute the silhouettes of a batch among all data of the first pass.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_rows, n_features)
            Samples that were taken in. (Others are scored as if they had been counted in their cluster.)
        labels : array-like of shape (n_rows,)
            Their labels, as then.

        Returns
        -------
        ndarray of shape (n_rows,)
            float32 for float32 input, else float64.

        Raises
        ------
        ValueError
            If X or labels is invalid, has a label that does not occur in the first pass, or if the first
            pass met fewer than two clusters.
        """
        silhouettes, _, kept = self._score_batch(X, labels)
        return silhouettes if kept.all() else scatter_to_all(silhouettes, kept)

    def score(
        self, batches: Iterable[tuple[ArrayLike, ArrayLike]], *, average: Literal["micro", "macro"] = "micro"
    ) -> float:
        """Compute the mean silhouette, in a second pass over the data.

        Parameters
        ----------
        batches : iterable of (X, labels)
            The samples that were taken in, in batches of any size.
        average : {"micro", "macro"}, default="micro"
            Mean over samples, or mean of the clusters' means.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If :meth:`score_samples` refuses a batch, or if the number of samples is not that of the first pass.
        """
        check_average(average)
        totals = np.zeros(len(self.classes_))
        n_scored = 0
        for X, labels in batches:
            silhouettes, codes, _ = self._score_batch(X, labels)
            totals += np.bincount(codes, weights=silhouettes, minlength=len(totals))
            n_scored += len(silhouettes)
        if n_scored != self.n_samples_seen_:
            raise ValueError(
                f"batches has {n_scored} samples, but {self.n_samples_seen_} were taken in; pass all of them again "
                "(an iterator that was used up gives none: make a new one)."
            )
        if average == "micro":
            return float(totals.sum() / n_scored)
        return float((totals / self.cluster_sizes_).mean())

    @property
    def n_samples_seen_(self) -> int:
        return 0 if self._summaries is None else int(self._summaries.sizes.sum())

    @property
    def classes_(self) -> NDArray[Any]:
        return self._require_summaries().classes

    @property
    def cluster_sizes_(self) -> NDArray[np.intp]:
        return self._require_summaries().sizes

    def _require_summaries(self) -> ClusterSummaries:
        if self._summaries is None:
            raise ValueError("the stream has taken nothing in; call partial_fit with every batch first.")
        return self._summaries

    def _add(self, summaries: ClusterSummaries) -> None:
        self._summaries = summaries if self._summaries is None else merge(self._summaries, summaries)

    def _score_batch(self, X: Any, labels: Any) -> tuple[NDArray[Any], NDArray[np.int32], NDArray[np.bool_]]:
        """Compute the silhouettes of the scored samples of a batch, the place of the label of each among the classes,
        and which samples they are.
        """
        summaries = self._require_summaries()
        check_n_classes(len(summaries.classes), self.n_samples_seen_)
        data, partition, kept = self._check_batch(X, labels)
        if partition is None:
            return np.empty(0, result_dtype(data.dtype)), np.empty(0, np.int32), kept
        codes = self._encode_labels(partition)
        terms = compute_row_terms(data, codes, summaries, n_jobs=resolve_n_jobs(self.n_jobs), metric=self.metric)
        silhouettes = compute_row_silhouettes(terms, summaries.sizes[codes] == 1)
        return silhouettes.astype(result_dtype(data.dtype), copy=False), codes, kept

    def _check_batch(self, X: Any, labels: Any) -> tuple[Any, Partition | None, NDArray[np.bool_]]:
        """Return the scored samples, their partition (None if there are none), and which they are."""
        warn_of_order(X, labels)
        data = check_data(X)
        self._check_n_features(data.shape[1], "X")
        labels, kept = mark_scored(labels, data.shape[0], self.ignore_label)
        if not kept.any():
            return data[:0], None, kept
        data = data if kept.all() else data[kept]
        return data, check_part_labels(labels[kept], data.shape[0]), kept

    def _check_n_features(self, n_features: int, name: str) -> None:
        known = n_features if self._summaries is None else self._summaries.origins.shape[1]
        if n_features != known:
            raise ValueError(f"{name} has {n_features} features, but the samples taken in have {known}.")

    def _encode_labels(self, partition: Partition) -> NDArray[np.int32]:
        """Return the places of a batch's labels among all classes."""
        classes = self._require_summaries().classes
        places = np.minimum(np.searchsorted(classes, partition.classes), len(classes) - 1)
        unknown = partition.classes[classes[places] != partition.classes]
        if len(unknown):
            label = unknown[:1].tolist()[0]
            raise ValueError(
                f"labels has {label!r}, which no batch of the first pass had; pass labels as they were then."
            )
        return places.astype(np.int32)[partition.codes]

"""Results of one pass over a clustering, as a frozen record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.dispatch import distances_between_some, find_coordinates
from fastsil.engines.terms import SilhouetteTerms, Work, compute_silhouettes
from fastsil.runtime.sklearn_compat import VALID_METRICS
from fastsil.scoring.diagnosis import Diagnosis, Evidence, NullReference, diagnose
from fastsil.validation import check_data, check_metric_params, look_like_distances, take_samples
from fastsil.validation.arrays import is_missing, scatter_to_all
from fastsil.validation.partition import Partition

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class ClusterTable:
    """One row a cluster, as arrays of shape (n_clusters,).

    Attributes
    ----------
    label : ndarray
        Label of the cluster.
    size : ndarray of intp
        Number of samples.
    silhouette : ndarray of float64
        Mean silhouette of its samples; with weights, their weighted mean, and so are the next two.
    a, b : ndarray of float64
        Mean of ``a`` and of ``b`` over its samples, in the units of the metric.
    negative : ndarray of intp
        Number of its samples with a silhouette below 0.
    neighbor : ndarray
        Label of the cluster that is the nearest other one for most of its samples; with weights, for most of its
        weight.
    """

    label: NDArray[Any]
    size: NDArray[np.intp]
    silhouette: NDArray[np.float64]
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    negative: NDArray[np.intp]
    neighbor: NDArray[Any]

    def _repr_html_(self) -> str:
        """Return the table, of many clusters the lowest ones, for notebooks."""
        from fastsil.report.tables import html_table, summarize_clusters

        columns, note = summarize_clusters(self)
        return f"<div>{html_table(columns)}<p>{note}</p></div>"


@dataclass(frozen=True, eq=False)
class SilhouetteProfile:
    """Silhouettes of a clustering, with the mean distances that they are computed from.

    Made by :func:`fastsil.silhouette_profile`. Arrays are in the order of the rows of X.

    Attributes
    ----------
    silhouettes : ndarray of shape (n_samples,)
        ``(b - a) / max(a, b)``, from -1 to 1; float32 for float32 data, else float64.
    a : ndarray of shape (n_samples,), float64
        Mean distance to the other members of the own cluster, in the units of the metric.
    b : ndarray of shape (n_samples,), float64
        Mean distance to the members of the nearest other cluster.
    labels : ndarray of shape (n_samples,)
        The labels that were scored.
    neighbor : ndarray of shape (n_samples,)
        Label of the nearest other cluster.
    lower, upper : ndarray of shape (n_samples,)
        The exact silhouette is certainly in between. Both are ``silhouettes`` where it was computed; with
        ``exact=False`` it was guessed, and ``a``, ``b`` and ``neighbor`` are guesses as well.
    ignored : ndarray of shape (n_samples,), bool
        Samples that ``ignore_label`` left out. Their ``silhouettes``, ``a`` and ``b`` are NaN, their ``neighbor`` is
        their own label; scores, counts and the table of clusters are those of the others.
    sample_weight : ndarray of shape (n_samples,), float64, or None
        Weights, if they were given; 0 for samples that are ignored. They enter all means; counts (``n_negative``,
        sizes of clusters) stay numbers of samples.
    metric : str
        Name of the metric.
    work : Work
        Engine, pairs computed, their share of n², seconds of each phase.

    Examples
    --------
    >>> from fastsil import silhouette_profile
    >>> profile = silhouette_profile([[0.0], [1.0], [5.0], [6.0], [7.0]], [0, 0, 1, 1, 1])
    >>> round(profile.score, 3), profile.n_negative
    (0.777, 0)
    >>> profile.clusters.size
    array([2, 3])
    """

    silhouettes: NDArray[Any]
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    labels: NDArray[Any]
    neighbor: NDArray[Any]
    lower: NDArray[Any]
    upper: NDArray[Any]
    ignored: NDArray[np.bool_]
    sample_weight: NDArray[np.float64] | None
    metric: str
    work: Work
    _partition: Partition
    _neighbor_codes: NDArray[np.int32]

    @property
    def n_samples(self) -> int:
        """Number of samples that were scored."""
        return self._partition.n_samples

    @property
    def n_ignored(self) -> int:
        """Number of samples that were left out."""
        return len(self.ignored) - self.n_samples

    @property
    def n_clusters(self) -> int:
        """Number of clusters that were scored."""
        return self._partition.n_clusters

    @cached_property
    def exact(self) -> bool:
        """Return whether every silhouette was computed, and none guessed."""
        return bool((self._select_scored(self.lower) == self._select_scored(self.upper)).all())

    @cached_property
    def score(self) -> float:
        """Mean silhouette over samples ("micro")."""
        return self._partition.mean(self._select_scored(self.silhouettes))

    @cached_property
    def macro_score(self) -> float:
        """Mean of the clusters' mean silhouettes: every cluster counts alike."""
        return self._partition.mean_of_means(self._select_scored(self.silhouettes))

    @cached_property
    def n_negative(self) -> int:
        """Number of samples that are nearer, on average, to another cluster than to their own."""
        return int(np.count_nonzero(self.silhouettes < 0))

    @cached_property
    def n_zero(self) -> int:
        """Number of samples with a silhouette of exactly 0 (clusters of one sample among them)."""
        return int(np.count_nonzero(self.silhouettes == 0))

    @cached_property
    def n_positive(self) -> int:
        """Number of samples that are nearer to their own cluster than to any other."""
        return int(np.count_nonzero(self.silhouettes > 0))

    @cached_property
    def clusters(self) -> ClusterTable:
        """One row a cluster."""
        partition = self._partition
        sizes = partition.sizes
        negative = np.bincount(partition.codes[self._select_scored(self.silhouettes) < 0], minlength=len(sizes))
        return ClusterTable(
            label=partition.classes,
            size=sizes,
            silhouette=partition.means(self._select_scored(self.silhouettes)),
            a=partition.means(self._select_scored(self.a)),
            b=partition.means(self._select_scored(self.b)),
            negative=negative,
            neighbor=partition.classes[_most_common_per_cluster(partition, self._neighbor_codes)],
        )

    def diagnose(
        self,
        X: Any = None,
        *,
        null: NullReference | None = None,
        feature_names: Sequence[Any] | None = None,
        **metric_params: Any,
    ) -> Diagnosis:
        """Diagnose broken or misleading labels, geometry, data and sizes.

        The data are an argument, and not kept: profiles stay small, and duplicates, distances and nearest centers need
        the samples themselves.

        Parameters
        ----------
        X : array-like or CSR matrix of shape (n_samples, n_features) or (n_samples, n_samples), optional
            The samples (or distances) that were scored. Without them only sizes, labels and means are looked at, and
            the diagnosis lists the checks that were not made.
        null : NullReference, optional
            Scores of data without clusters.
        feature_names : sequence of str, optional
            Names of the features; by default the columns of X, if it is a DataFrame.
        **metric_params
            Keywords of the metric that were given when it was scored.

        Returns
        -------
        Diagnosis
            Findings, worst first; ``print`` shows them in words.

        Raises
        ------
        ValueError
            If X is not what was scored: another number of rows, or not finite.

        Examples
        --------
        >>> import numpy as np
        >>> from fastsil import silhouette_profile
        >>> X = np.random.default_rng(0).normal(size=(60, 2)) + np.repeat([[0.0, 0.0], [9.0, 9.0]], 30, axis=0)
        >>> print(silhouette_profile(X, np.repeat([0, 1], 30)).diagnose(X))
        Nothing found in 12 checks.
        <BLANKLINE>
        Not checked, for lack of data or of a null reference: no_structure.
        """
        if self.metric in VALID_METRICS:  # else it is a callable's name
            check_metric_params(self.metric, metric_params)
        evidence = Evidence(self._select_scored(self.silhouettes), self._partition, null=null)
        if X is not None:
            names = getattr(X, "columns", ()) if feature_names is None else feature_names
            data = check_data(X, metric=self.metric, warns=False)
            if data.shape[0] != len(self.ignored):
                raise ValueError(
                    f"X has {data.shape[0]} rows but {len(self.ignored)} samples were scored; "
                    "pass the samples that were scored."
                )
            if self.n_ignored:
                data = take_samples(data, np.flatnonzero(~self.ignored), self.metric)
            if self.metric in ("mahalanobis", "seuclidean"):
                metric_params = {**metric_params, "sample_weight": self._partition.sample_weight}
            drawn, distances = distances_between_some(data, self.metric, metric_params)
            evidence = replace(
                evidence,
                coordinates=find_coordinates(data, self.metric, metric_params),
                distances=distances,
                drawn=drawn,
                unit_rows=self.metric == "cosine",
                are_distances=self.metric != "precomputed" and look_like_distances(data),
                feature_names=names if len(names) == data.shape[1] else (),
            )
        return diagnose(evidence)

    def to_frame(self) -> pd.DataFrame:
        """Return one row a sample: label, silhouette, a, b, neighbor; where silhouettes were guessed, lower and upper
        too.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError("to_frame needs pandas; install it with: pip install 'fastsil[frames]'") from error
        columns = {
            "label": self.labels,
            "silhouette": self.silhouettes,
            "a": self.a,
            "b": self.b,
            "neighbor": self.neighbor,
        }
        return pd.DataFrame(columns if self.exact else columns | {"lower": self.lower, "upper": self.upper})

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the silhouette plot: each cluster's samples as sorted bars, and the mean as a line.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure's by default.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from fastsil.report.plots import draw_silhouettes

        return draw_silhouettes(
            self._select_scored(self.silhouettes),
            self._partition.codes,
            self._partition.classes,
            score=self.score,
            ax=ax,
        )

    def plot_distribution(self, ax: Axes | None = None) -> Axes:
        """Draw how many samples have which silhouette, negatives marked.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure's by default.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from fastsil.report.plots import draw_distribution

        return draw_distribution(self._select_scored(self.silhouettes), score=self.score, ax=ax)

    def _select_scored(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the values of the samples that were scored, in the order of the partition's codes."""
        return values[~self.ignored] if self.n_ignored else values

    def __repr__(self) -> str:
        ignored = f"n_ignored={self.n_ignored}, " if self.n_ignored else ""
        guessed = "" if self.exact else "exact=False, "
        return (
            f"SilhouetteProfile(n_samples={self.n_samples}, {ignored}{guessed}n_clusters={self.n_clusters}, "
            f"metric={self.metric!r}, score={self.score:.4f}, macro_score={self.macro_score:.4f}, "
            f"n_negative={self.n_negative})"
        )

    def _repr_html_(self) -> str:
        """Return the table of clusters under the score, for notebooks."""
        from fastsil.report.words import format_score

        counts = f"{self.n_negative:,} of {self.n_samples:,} samples are negative."
        if self.n_ignored:
            counts += f" {self.n_ignored:,} more were left out."
        words = (
            f"<b>Mean silhouette {self.score:.4f}</b> (mean of the clusters' means {self.macro_score:.4f}). {counts}"
        )
        return f"<div><p>{words}<br>{format_score(self.score)}</p>{self.clusters._repr_html_()}</div>"


def make_profile(
    terms: SilhouetteTerms,
    partition: Partition,
    *,
    dtype: np.dtype[Any],
    metric: str,
    intervals: NDArray[np.float64] | None = None,
) -> SilhouetteProfile:
    """Make the record from an engine's answer; silhouettes are rounded to ``dtype`` at the very end.

    Guesses come with ``intervals``, lower bound, guess and upper bound of every silhouette.
    """
    silhouettes = compute_silhouettes(terms, partition) if intervals is None else intervals[:, 1]
    silhouettes = np.ascontiguousarray(silhouettes, dtype=dtype)
    return SilhouetteProfile(
        silhouettes=silhouettes,
        a=_undo_scaling(terms.a, terms.exponent),
        b=_undo_scaling(terms.b, terms.exponent),
        labels=partition.classes[partition.codes],
        neighbor=partition.classes[terms.neighbor],
        lower=silhouettes if intervals is None else _round_outwards(intervals, 0, dtype),
        upper=silhouettes if intervals is None else _round_outwards(intervals, 2, dtype),
        ignored=np.zeros(partition.n_samples, dtype=bool),
        sample_weight=partition.sample_weight,
        metric=metric,
        work=terms.work,
        _partition=partition,
        _neighbor_codes=terms.neighbor,
    )


def _round_outwards(intervals: NDArray[np.float64], column: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Round a bound to another type: outwards, except where the interval is a point."""
    bound = intervals[:, column].astype(dtype)
    outside = np.nextafter(bound, dtype.type(np.inf if column else -np.inf))
    return np.asarray(np.where(intervals[:, 0] == intervals[:, 2], bound, np.clip(outside, -1, 1)))


def get_terms(profile: SilhouetteProfile) -> SilhouetteTerms:
    """Return the engine's result from which the record was made."""
    return SilhouetteTerms(profile.a, profile.b, profile._neighbor_codes, profile.work)


def _undo_scaling(means: NDArray[np.float64], exponent: int) -> NDArray[np.float64]:
    """Scale mean distances back: beyond the range of float64, infinite or 0."""
    if exponent == 0:
        return means
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.ldexp(means, -exponent))


def add_ignored(profile: SilhouetteProfile, kept: NDArray[np.bool_], label: Any) -> SilhouetteProfile:
    """Extend the profile of the samples in ``kept`` to all of them; the others have the label ``label``."""
    # All came out of one array of labels, whose type holds this one as well.
    dtype = profile._partition.classes.dtype
    if dtype.kind in "mMfc" and is_missing(label):
        label = "NaT" if dtype.kind in "mM" else np.nan
    classes = np.append(profile._partition.classes, np.array([label], dtype=dtype))
    codes = scatter_to_all(profile._partition.codes, kept, len(classes) - 1)
    neighbor_codes = scatter_to_all(profile._neighbor_codes, kept, len(classes) - 1)
    return replace(
        profile,
        silhouettes=scatter_to_all(profile.silhouettes, kept),
        a=scatter_to_all(profile.a, kept),
        b=scatter_to_all(profile.b, kept),
        lower=scatter_to_all(profile.lower, kept),
        upper=scatter_to_all(profile.upper, kept),
        labels=classes[codes],
        neighbor=classes[neighbor_codes],
        ignored=~kept,
        sample_weight=None if profile.sample_weight is None else scatter_to_all(profile.sample_weight, kept, 0.0),
    )


def _most_common_per_cluster(partition: Partition, neighbors: NDArray[np.int32]) -> NDArray[np.intp]:
    most_common = np.empty(partition.n_clusters, dtype=np.intp)
    for cluster in range(partition.n_clusters):
        members = partition.order[partition.offsets[cluster] : partition.offsets[cluster + 1]]
        values, places, counts = np.unique(neighbors[members], return_inverse=True, return_counts=True)
        if partition.weights is not None and partition.weights.totals[cluster] > 0:
            counts = np.bincount(places, weights=partition.weights.values[members])
        most_common[cluster] = values[counts.argmax()]
    return most_common

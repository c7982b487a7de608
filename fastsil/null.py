"""What data without clusters score when they are clustered in the same way.

k-means finds clusters in anything: in a single elongated Gaussian too it lowers the inertia and gets silhouettes above
0. So the data are held against sets without clusters of the same mean and covariance, each clustered and scored alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import clone

from fastsil.checkpoint import Arrays, Recall, forget
from fastsil.clustering import fits_at_once, sum_of_squares_within
from fastsil.diagnosis import NullReference
from fastsil.parallel import Tick, ignore_progress, part_of, run_tasks
from fastsil.results import SweepRow, with_columns
from fastsil.search import Space
from fastsil.validation import check_integer

REFERENCES = ("gaussian", "uniform")

# Scores that differ by less are equal but for rounding: data of no spread have no evidence against the null.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class NullComparison:
    """Scores of the data beside those of data without clusters, at the same number of samples.

    Attributes
    ----------
    n_clusters : ndarray of shape (n_tried,), int
        Numbers of clusters from 2 on, rising.
    n_samples : int
        Samples of each set.
    silhouette, inertia : ndarray of shape (n_tried,)
        Mean silhouette and inertia of the data, or of the rows of them that were drawn.
    null_silhouettes, null_inertias : ndarray of shape (n_null, n_tried)
        The same of each null set; NaN where a fit failed.
    total, null_totals : float, ndarray of shape (n_null,)
        Sums of squares about the mean: the inertia of one cluster.

    Examples
    --------
    >>> import numpy as np
    >>> from fastsil.null import NullComparison
    >>> comparison = NullComparison(
    ...     n_clusters=np.array([2, 3]), n_samples=90, silhouette=np.array([0.5, 0.8]), inertia=np.array([40.0, 9.0]),
    ...     null_silhouettes=np.array([[0.3, 0.3], [0.4, 0.3], [0.3, 0.2]]), null_inertias=np.full((3, 2), 50.0),
    ...     total=90.0, null_totals=np.full(3, 90.0))
    >>> comparison.p_value
    0.25
    >>> comparison.p_values
    array([0.25, 0.25])
    >>> comparison.gap_k
    3
    """

    n_clusters: NDArray[np.int64]
    n_samples: int
    silhouette: NDArray[np.float64]
    inertia: NDArray[np.float64]
    null_silhouettes: NDArray[np.float64]
    null_inertias: NDArray[np.float64]
    total: float
    null_totals: NDArray[np.float64]

    @property
    def n_null(self) -> int:
        """Number of null sets."""
        return len(self.null_silhouettes)

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of the null sets' mean silhouettes, for each k; of shape (n_tried,)."""
        return np.asarray(self.null_silhouettes.mean(axis=0))

    @property
    def std(self) -> NDArray[np.float64]:
        """Their standard deviation (n_null - 1 in the denominator), for each k."""
        return np.asarray(self.null_silhouettes.std(axis=0, ddof=1))

    @property
    def z(self) -> NDArray[np.float64]:
        """How many standard deviations the data's score lies above the null mean, for each k."""
        return _standardised(self.silhouette - self.mean, self.std)

    @property
    def p_values(self) -> NDArray[np.float64]:
        """``(r + 1) / (n_null + 1)`` for each k, r the number of null sets that score as high; NaN where a fit failed.

        Each is for who looks at that k alone; the lowest of several says less than it seems to.
        """
        as_high = np.count_nonzero(self.null_silhouettes >= self.silhouette - _ROUNDING, axis=0)
        known = np.isfinite(self.mean) & np.isfinite(self.silhouette)
        return np.where(known, (as_high + 1) / (self.n_null + 1), np.nan)

    @property
    def p_value(self) -> float:
        """Of the test whether there is more structure than in the null sets at any k: one test for the whole sweep.

        Each set's mean silhouette at each k, and the share of its sum of squares that the clusters explain, are
        standardised by the mean and spread of all other sets, the data among them, and added; the statistic is the
        highest sum over k. All sets are treated alike, so that the p-value ``(r + 1) / (n_null + 1)`` is exact
        whatever the law of the scores. NaN where no k was scored in all sets.
        """
        return self._p_of(self._silhouettes_beyond + self._explained_beyond)

    @property
    def p_silhouette(self) -> float:
        """The same by the silhouettes alone."""
        return self._p_of(self._silhouettes_beyond)

    @property
    def p_inertia(self) -> float:
        """The same by the inertia alone."""
        return self._p_of(self._explained_beyond)

    @cached_property
    def _silhouettes_beyond(self) -> NDArray[np.float64]:
        return _beyond_others(np.vstack([self.silhouette, self.null_silhouettes]))

    @cached_property
    def _explained_beyond(self) -> NDArray[np.float64]:
        within = np.vstack([self.inertia, self.null_inertias])
        totals = np.concatenate([[self.total], self.null_totals])[:, None]
        # Samples that are all alike have nothing to explain.
        return _beyond_others(1 - np.divide(within, totals, out=np.ones_like(within), where=totals > 0))

    def _p_of(self, beyond: NDArray[np.float64]) -> float:
        """P-value of the highest entry of the first row among those of all rows, the columns being k."""
        beyond = beyond[:, np.isfinite(beyond).all(axis=0)]
        if beyond.shape[1] == 0:
            return float(np.nan)
        highest = beyond.max(axis=1)
        return float((np.count_nonzero(highest[1:] >= highest[0] - _ROUNDING) + 1) / (self.n_null + 1))

    @property
    def gap(self) -> NDArray[np.float64]:
        """Gap statistic for each k: mean logarithm of the null sets' inertias less that of the data's."""
        return self._gaps()[0][1:]

    @property
    def gap_error(self) -> NDArray[np.float64]:
        """Standard error of the gap for each k, that of the simulation included."""
        return self._gaps()[1][1:]

    @property
    def gap_k(self) -> int:
        """The choice by the gap: smallest k whose gap is within one standard error of the next k's, or above; 1 counts.

        The largest k tried, if there is none before it.

        References
        ----------
        R. Tibshirani, G. Walther, T. Hastie (2001), "Estimating the number of clusters in a data set via the gap
        statistic", Journal of the Royal Statistical Society B 63, 411-423.
        """
        gap, error = self._gaps()
        good = np.flatnonzero(gap[:-1] >= gap[1:] - error[1:])
        return int(([1, *self.n_clusters])[good[0] if len(good) else -1])

    def reference_at(self, k: int) -> NullReference | None:
        """What a diagnosis is told: the null sets at this k, and the p-value of the whole sweep, which chose the k."""
        found = np.flatnonzero(self.n_clusters == k)
        if len(found) == 0:
            return None
        at = found[0]
        return NullReference(float(self.silhouette[at]), float(self.mean[at]), float(self.std[at]), self.p_value)

    def _gaps(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Gap and standard error, one cluster first."""
        with np.errstate(divide="ignore", invalid="ignore"):
            of_data = np.log(np.concatenate([[self.total], self.inertia]))
            of_null = np.log(np.column_stack([self.null_totals, self.null_inertias]))
            gap = of_null.mean(axis=0) - of_data
            error = of_null.std(axis=0) * np.sqrt(1 + 1 / self.n_null)
        return gap, error


def check_null(n_null: Any, null_size: Any, reference: Any) -> None:
    """Check the parameters of a comparison.

    Raises
    ------
    ValueError
        If one is out of its range.
    TypeError
        If a number is not an integer.
    """
    for name, value in (("n_null", n_null), ("null_size", null_size)):
        check_integer(name, value)
    if n_null < 0 or n_null == 1:
        raise ValueError(f"n_null={n_null} gives no spread; pass 0 for none, or 19 or more for a test at 5 %.")
    if null_size < 3:
        raise ValueError(f"null_size={null_size} is too few samples to cluster; pass more, such as 1000.")
    if reference not in REFERENCES:
        raise ValueError(f"null_reference={reference!r} is not known; choose one of: {', '.join(REFERENCES)}.")


def with_null_columns(rows: Sequence[SweepRow], null: NullComparison) -> list[SweepRow]:
    """Rows of a sweep with what the comparison says of their k."""
    return with_columns(
        rows,
        null.n_clusters,
        {
            "null_score": null.silhouette,
            "null_mean": null.mean,
            "null_std": null.std,
            "null_z": null.z,
            "null_p": null.p_values,
            "gap": null.gap,
            "gap_error": null.gap_error,
        },
    )


def compare_with_null(
    X: Any,
    space_of: Callable[[Any], Space],
    clusterers: Sequence[Any],
    known: tuple[Sequence[float], Sequence[float]],
    *,
    n_null: int,
    null_size: int,
    reference: str,
    random: np.random.Generator,
    n_jobs: int,
    tick: Tick = ignore_progress,
    recall: Recall = forget,
) -> NullComparison:
    """Cluster and score null sets, and the data at the same number of samples.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        The data.
    space_of : callable
        ``space_of(X)``: a set of samples in the forms that are clustered and scored.
    clusterers : sequence of clusterer
        One for each k from 2 on, rising; they are cloned.
    known : tuple of two sequences of float
        Mean silhouettes and inertias of the data for these clusterers: taken where X has at most ``null_size`` rows.
        Otherwise so many rows are drawn, clustered and scored as well.
    n_null : int
        Number of null sets, 2 at least.
    null_size : int
        Samples of a set at most.
    reference : {"gaussian", "uniform"}
        What the null sets are drawn from.
    random : numpy Generator
        Draws rows and null sets.
    n_jobs : int
        Threads; the result does not depend on it.
    tick : callable
        Told the share of the work that has been finished.
    recall : callable
        Keeps what each set scores, and has it of an earlier run.
    """
    rows = np.arange(X.shape[0])
    if X.shape[0] > null_size:
        rows = np.sort(random.choice(X.shape[0], null_size, replace=False))
    drawn: Any = X[rows]
    subset = drawn.toarray() if issparse(X) else np.asarray(drawn)
    draw = _drawer(subset, reference)
    ks = [clusterer.get_params()["n_clusters"] for clusterer in clusterers]
    usable = [place for place, k in enumerate(ks) if k < len(subset)]
    clusterers = [clusterers[place] for place in usable]
    subset_space = space_of(subset)
    if len(subset) == X.shape[0]:
        silhouette, inertia = (np.array([column[place] for place in usable], dtype=np.float64) for column in known)
    else:
        kept = recall("null-data", lambda: _as_arrays(*_scores(subset_space, clusterers)))
        assert kept is not None
        silhouette, inertia = kept["silhouettes"], kept["inertias"]
    tick(1 / (n_null + 1))
    null_silhouettes, null_inertias = (np.full((n_null, len(clusterers)), np.nan) for _ in range(2))
    null_totals = np.full(n_null, np.nan)
    generators = random.spawn(n_null)

    def score_set(number: int, stop: NDArray[np.uint8]) -> None:
        def compute() -> Arrays | None:
            space = space_of(draw(generators[number]))
            scores = _as_arrays(*_scores(space, clusterers, stop)) | {"total": np.array(_total(space))}
            return None if stop[0] else scores

        kept = recall(f"null-{number}", compute)
        if kept is not None:
            null_totals[number] = kept["total"]
            null_silhouettes[number], null_inertias[number] = kept["silhouettes"], kept["inertias"]

    with fits_at_once(clusterers, n_jobs) as threads:
        run_tasks(score_set, range(n_null), [1.0] * n_null, n_jobs=threads, tick=part_of(tick, n_null / (n_null + 1)))
    return NullComparison(
        n_clusters=np.array([ks[place] for place in usable]),
        n_samples=len(subset),
        silhouette=silhouette,
        inertia=inertia,
        null_silhouettes=null_silhouettes,
        null_inertias=null_inertias,
        total=_total(subset_space),
        null_totals=null_totals,
    )


def draw_gaussian(X: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    """Gaussian samples whose mean and covariance are exactly those of X.

    The left singular vectors of the centred samples are replaced by random orthonormal ones. Given their mean and
    covariance, Gaussian samples have just this law, whatever the covariance, so that a test against such sets is exact:
    nothing is estimated.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.
    random : numpy Generator
        Draws the rotation.

    Returns
    -------
    ndarray of shape (n_samples, n_features), of the type of X

    References
    ----------
    Ø. Langsrud (2005), "Rotation tests", Statistics and Computing 15, 53-60.
    Y. Liu, D. N. Hayes, A. Nobel, J. S. Marron (2008), "Statistical significance of clustering for high-dimension,
    low-sample size data", Journal of the American Statistical Association 103, 1281-1293.

    Examples
    --------
    >>> import numpy as np
    >>> from fastsil.null import draw_gaussian
    >>> random = np.random.default_rng(0)
    >>> X = random.exponential(size=(50, 3))
    >>> np.allclose(np.cov(draw_gaussian(X, random).T), np.cov(X.T))
    True
    """
    return _drawer(X, "gaussian")(random)


def draw_uniform(X: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    """Samples uniform over the box around X along its principal axes, as the gap statistic has them.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.
    random : numpy Generator
        Draws the samples.

    Returns
    -------
    ndarray of shape (n_samples, n_features), of the type of X

    References
    ----------
    R. Tibshirani, G. Walther, T. Hastie (2001), "Estimating the number of clusters in a data set via the gap
    statistic", Journal of the Royal Statistical Society B 63, 411-423.
    """
    return _drawer(X, "uniform")(random)


def _drawer(X: NDArray[Any], reference: str) -> Callable[[np.random.Generator], NDArray[Any]]:
    """Draws sets from a null reference; what all of them share is computed once."""
    mean = X.mean(axis=0, dtype=np.float64)
    left, singular, axes = np.linalg.svd(X - mean, full_matrices=False)
    # Centred samples have one dimension less than there are samples, and what is left of it is rounding.
    tiny = singular.max(initial=0.0) * max(X.shape) * np.finfo(X.dtype).eps
    kept = int(np.count_nonzero(singular > tiny))
    axes = axes[:kept]
    along = left[:, :kept] * singular[:kept]
    low, high = along.min(axis=0), along.max(axis=0)

    def gaussian(random: np.random.Generator) -> NDArray[Any]:
        rotated = _random_orthonormal(len(X), kept, random) * singular[:kept]
        return np.asarray(mean + rotated @ axes, dtype=X.dtype)

    def uniform(random: np.random.Generator) -> NDArray[Any]:
        return np.asarray(mean + random.uniform(low, high, size=along.shape) @ axes, dtype=X.dtype)

    return {"gaussian": gaussian, "uniform": uniform}[reference]


def _random_orthonormal(n_samples: int, n_columns: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Orthonormal columns that sum to 0, uniformly at random.

    References
    ----------
    F. Mezzadri (2007), "How to generate random matrices from the classical compact groups", Notices of the AMS 54.
    """
    normals = random.standard_normal((n_samples, n_columns))
    normals -= normals.mean(axis=0)
    q, r = np.linalg.qr(normals)
    # LAPACK's signs depend on the normals; with a positive diagonal of R the law is uniform.
    return np.asarray(q * np.where(np.diag(r) < 0, -1.0, 1.0))


def _scores(
    space: Space, clusterers: Sequence[Any], stop: NDArray[np.uint8] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean silhouette and inertia for each clusterer; NaN where it fails, or once ``stop`` is set."""
    silhouettes, inertias = np.full(len(clusterers), np.nan), np.full(len(clusterers), np.nan)
    partitions = {}
    for place, clusterer in enumerate(clusterers):
        if stop is not None and stop[0]:
            break
        try:
            labels, inertias[place] = space.fit(clone(clusterer))
            partitions[place] = space.partition(labels)
        except Exception:  # as in the sweep itself: a k that fails leaves the others
            continue
    if partitions:
        profiles = space.score(list(partitions.values()), ignore_progress)
        silhouettes[list(partitions)] = [profile.score for profile in profiles]
    return silhouettes, inertias


def _as_arrays(silhouettes: NDArray[np.float64], inertias: NDArray[np.float64]) -> Arrays:
    return {"silhouettes": silhouettes, "inertias": inertias}


def _total(space: Space) -> float:
    return sum_of_squares_within(space.clustered, np.zeros(space.clustered.shape[0], dtype=int))


def _beyond_others(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each set's (row's) values, in standard deviations of all other sets above their mean."""
    beyond = np.empty_like(values)
    for place in range(len(values)):
        others = np.delete(values, place, axis=0)
        beyond[place] = _standardised(values[place] - others.mean(axis=0), others.std(axis=0, ddof=1))
    return beyond


def _standardised(difference: NDArray[np.float64], spread: NDArray[np.float64]) -> NDArray[np.float64]:
    """In units of the spread; what differs by rounding only does not differ."""
    difference = np.where(np.abs(difference) <= _ROUNDING, 0.0, difference)
    return np.asarray(difference / np.maximum(spread, _ROUNDING))

"""Clusterers of scikit-learn for several k, in the geometry of a metric.

k-means minimizes Euclidean distances only, so data are first mapped to a space where that is the metric (or ranks pairs
as the metric does): rows of length 1 for cosine, on which |x - y|² = 2 (1 - cos); whitened features for Mahalanobis.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse
from scipy.spatial.distance import cdist
from sklearn.base import clone
from sklearn.cluster import BisectingKMeans, KMeans, MiniBatchKMeans
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from fastsil.runtime.caller import warn_caller
from fastsil.sweep.block_kmeans import BlockKMeansPath, are_blocks
from fastsil.sweep.kmeans import KMeansPath, SharedKMeans, check_n_init, sum_squares_about
from fastsil.validation.arrays import iterate_chunks

DEFAULT_N_CLUSTERS = tuple(range(2, 17))
"""Numbers of clusters that a sweep tries unless others are requested."""

# Clusterers known to call BLAS in many small steps only (k-means++ seeds with products of a few rows), where
# its threads cost more than they save: k = 8 of 20,000 x 128 took 2.5 s with them and 0.1 s without on a
# busy machine of two cores, 15 fits of digits (1,797 x 64) 7.6 s and 0.14 s.
_K_MEANS = (KMeans, MiniBatchKMeans, BisectingKMeans, SharedKMeans)

# Prefix of the names of fitted arrays in a clusterer's state; placeholder for a value that cannot be kept.
_LEARNED = "learned."
_NOT_PLAIN = object()

# Passes of k-means of less work than this (samples x features x clusters: about 2 ms) run on one thread of
# OpenMP too, whose threads meet after each pass.
_SMALL_PASS = 100_000_000


def check_n_clusters(n_clusters: Any, n_samples: int) -> tuple[int, ...]:
    """Return the numbers of clusters to try, sorted, each once; the default ones as far as there are samples.

    Parameters
    ----------
    n_clusters : int or iterable of int
        As a user gave it.
    n_samples : int
        Number of samples to be clustered.

    Raises
    ------
    ValueError
        If there is none, or one is under 1 or over n_samples - 1.
    TypeError
        If one is not an integer.
    """
    tried: list[Any] = [n_clusters] if np.isscalar(n_clusters) or n_clusters is None else list(n_clusters)
    wrong = [k for k in tried if isinstance(k, bool) or not isinstance(k, (int, np.integer))]
    if wrong:
        raise TypeError(f"n_clusters has {wrong[0]!r}; pass an integer or several, for example range(2, 17).")
    if not tried:
        raise ValueError("n_clusters is empty; pass the numbers of clusters to try, for example range(2, 17).")
    if min(tried) < 1:
        raise ValueError(f"n_clusters has {min(tried)}; the least number of clusters is 1 (2 for a silhouette).")
    if max(tried) >= n_samples > min(tried) and sorted(tried) == sorted(DEFAULT_N_CLUSTERS):
        tried = [k for k in tried if k < n_samples]
        warn_caller(
            f"X has {n_samples} samples, and a silhouette needs fewer clusters than samples: k goes up to "
            f"{max(tried)}, and not to {max(DEFAULT_N_CLUSTERS)}."
        )
    if max(tried) >= n_samples:
        raise ValueError(
            f"n_clusters goes up to {max(tried)} but X has n_samples={n_samples}; a silhouette needs fewer "
            f"clusters than samples, so go up to {n_samples - 1} at most."
        )
    return tuple(sorted({int(k) for k in tried}))


def draw_seed(random_state: Any) -> int:
    """Return the seed of all random draws in a sweep: an int unchanged, else one drawn from the random state.

    Parameters
    ----------
    random_state : int, RandomState or None
        As scikit-learn takes it; None stands for NumPy's global state.
    """
    if isinstance(random_state, (int, np.integer)):
        check_random_state(random_state)
        return int(random_state)
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def make_clusterers(prototype: Any, ks: Sequence[int], seed: int, *, n_init: Any = 10) -> list[Any]:
    """Make one unfitted clusterer for each k, in the order of ``ks``.

    Parameters
    ----------
    prototype : clusterer or None
        To be cloned. None: k-means, with work that the fits share.
    ks : sequence of int
        Numbers of clusters.
    seed : int
        For clusterers that have a random state and leave it open.
    n_init : int or "auto"
        Seedings of k-means; read where no prototype is given.

    Raises
    ------
    TypeError
        If the prototype has no parameter ``n_clusters``.
    ValueError
        If n_init is wrong.
    """
    if prototype is None:
        return [SharedKMeans(k, n_init=check_n_init(n_init), random_state=seed) for k in ks]
    params = prototype.get_params() if hasattr(prototype, "get_params") else {}
    if "n_clusters" not in params:
        raise TypeError(
            f"estimator={prototype!r} has no parameter n_clusters; pass a clusterer that has one, such as "
            "sklearn.cluster.MiniBatchKMeans(), or sweep another parameter with SilhouetteSweep."
        )
    open_state = {"random_state": seed} if "random_state" in params and params["random_state"] is None else {}
    return [clone(prototype).set_params(n_clusters=k, **open_state) for k in ks]


def generator_for(purpose: str, random_state: Any) -> np.random.Generator:
    """Return the generator for a purpose, by a random state as scikit-learn takes it; of other states it draws.

    Parameters
    ----------
    purpose : str
        Distinguishes the generator from others of the sweep, and from a user's own with the same seed, of whose numbers
        the data may be made.
    random_state : int, RandomState or None
        The state.
    """
    if random_state is None:
        return np.random.default_rng()
    if isinstance(random_state, (int, np.integer)):
        return np.random.default_rng([int(random_state), *purpose.encode()])
    return np.random.default_rng(check_random_state(random_state).randint(np.iinfo(np.int32).max, size=4))


class Fitter:
    """Fits clusterers to one set of samples, those of k-means for rising k.

    Parameters
    ----------
    X : ndarray, CSR matrix or RowBlocks of shape (n_samples, n_features)
        Samples, in the geometry to cluster in.
    n_jobs : int
        Threads at most, for k-means; a small fit takes one. Other clusterers choose for themselves.
    sample_weight : ndarray of shape (n_samples,), optional
        How often each sample counts, for k-means and for clusterers whose ``fit`` takes it.
    """

    def __init__(self, X: Any, *, n_jobs: int, sample_weight: NDArray[np.float64] | None = None) -> None:
        self._X = X
        self._weights = sample_weight
        self._n_jobs = n_jobs
        self._path: KMeansPath | None = None

    def fit(self, clusterer: Any) -> tuple[Any, float]:
        """Fit once, in place.

        Parameters
        ----------
        clusterer : clusterer
            Unfitted.

        Returns
        -------
        labels : array of shape (n_samples,)
        inertia : float
            The clusterer's own, or else the sum of squares about the clusters' means in the space of X.
        """
        with threadpool_limits(_thread_limits(clusterer, self._X.shape, self._n_jobs)):
            if isinstance(clusterer, SharedKMeans):
                path = self._make_path(clusterer)
                clusterer.kmeans_ = path.fit(clusterer.n_clusters)
            elif self._weights is None:
                clusterer.fit(self._X)
            else:
                clusterer.fit(self._X, sample_weight=self._weights)
        labels = get_labels(clusterer)
        inertia = getattr(get_fitted(clusterer), "inertia_", None)
        return labels, float(sum_squares_within(self._X, labels, self._weights) if inertia is None else inertia)

    def restore(self, clusterer: Any, state: Mapping[str, NDArray[Any]]) -> None:
        """Restore a clusterer from the arrays of :func:`extract_state`, and go on from it."""
        if isinstance(clusterer, SharedKMeans):
            clusterer.kmeans_ = KMeans(clusterer.n_clusters, init=state["init"], n_init=1, tol=float(state["tol"]))
            self._make_path(clusterer).go_on_from(clusterer.kmeans_)
        fitted = get_fitted(clusterer)
        vars(fitted).update(json.loads(str(state["plain"])))
        learned = {name: values for name, values in state.items() if name.startswith(_LEARNED)}
        vars(fitted).update({name.removeprefix(_LEARNED): values for name, values in learned.items()})

    def _make_path(self, clusterer: SharedKMeans) -> KMeansPath:
        if self._path is None:
            n_init, seed = clusterer.n_init, clusterer.random_state
            if are_blocks(self._X):
                self._path = BlockKMeansPath(self._X, n_init=n_init, seed=seed)
            else:
                self._path = KMeansPath(self._X, n_init=n_init, seed=seed, sample_weight=self._weights)
        return self._path


def extract_state(fitted: Any) -> dict[str, NDArray[Any]] | None:
    """Return the fitted attributes of a clusterer as plain arrays; None if some are neither arrays nor plain values.

    Parameters
    ----------
    fitted : clusterer
        Fitted, as :func:`get_fitted` gives it.
    """
    learned = {name: value for name, value in vars(fitted).items() if name not in fitted.get_params(deep=False)}
    arrays = {name: value for name, value in learned.items() if isinstance(value, np.ndarray) and value.dtype != object}
    plain = {name: _to_plain_value(value) for name, value in learned.items() if name not in arrays}
    if any(value is _NOT_PLAIN for value in plain.values()):
        return None
    state = {_LEARNED + name: value for name, value in arrays.items()} | {"plain": np.array(json.dumps(plain))}
    init, tol = getattr(fitted, "init", None), getattr(fitted, "tol", np.nan)
    return state | {"init": init, "tol": np.array(tol)} if isinstance(init, np.ndarray) else state


def _to_plain_value(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return value if value is None or isinstance(value, (bool, int, float, str)) else _NOT_PLAIN


def get_fitted(clusterer: Any) -> Any:
    """Return the fitted clusterer for users: the clusterer itself, or the k-means behind its description."""
    return clusterer.kmeans_ if isinstance(clusterer, SharedKMeans) else clusterer


def get_labels(clusterer: Any) -> Any:
    """Return the labels of the samples that the clusterer was fitted to."""
    fitted = get_fitted(clusterer)
    if not hasattr(fitted, "labels_"):
        raise TypeError(f"{type(fitted).__name__} has no labels_ after fit; a sweep needs a clusterer that has.")
    return fitted.labels_


def sum_squares_within(X: Any, labels: Any, sample_weight: NDArray[np.float64] | None = None) -> float:
    """Sum over the samples of ``|x - m|²``, m the mean of the sample's cluster; in float64.

    Examples
    --------
    >>> import numpy as np
    >>> sum_squares_within(np.array([[0.0], [2.0], [7.0]]), [0, 0, 1])
    2.0
    """
    classes, codes = np.unique(labels, return_inverse=True)
    return sum_squares_about(X, _find_means(X, codes, len(classes), sample_weight), codes, sample_weight)


def _find_means(
    X: Any, codes: NDArray[np.intp], n_clusters: int, sample_weight: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Compute the mean of each cluster; none is empty. Of one without weight it is 0."""
    sums = np.zeros((n_clusters, X.shape[1]))
    for rows, chunk in iterate_chunks(X):
        counts = np.ones(len(chunk)) if sample_weight is None else sample_weight[rows]
        sums += csr_matrix((counts, (codes[rows], np.arange(len(chunk)))), shape=(n_clusters, len(chunk))) @ chunk
    totals = np.bincount(codes, weights=sample_weight)
    return np.asarray(sums / np.where(totals > 0, totals, 1)[:, None])


def center_indices(X: Any, labels: Any, sample_weight: NDArray[np.float64] | None = None) -> tuple[float, float]:
    """Compute the indices of Calinski and Harabasz and of Davies and Bouldin, as scikit-learn has them; NaN for sparse
    X.

    Both in two readings of X without a copy: scikit-learn's took 2.7 s for a million samples of 128 features.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Samples, in the geometry that was clustered in.
    labels : array of shape (n_samples,)
        At least two clusters, fewer than samples.
    sample_weight : ndarray of shape (n_samples,), optional
        How often each sample counts.

    Examples
    --------
    >>> import numpy as np
    >>> center_indices(np.array([[0.0], [2.0], [9.0], [11.0]]), [0, 0, 1, 1])
    (40.5, 0.2222222222222222)
    """
    if issparse(X):
        return np.nan, np.nan
    if sample_weight is not None and not sample_weight.all():
        counted = sample_weight > 0
        return center_indices(X[counted], np.asarray(labels)[counted], sample_weight[counted])
    classes, codes = np.unique(labels, return_inverse=True)
    n_clusters, sizes = len(classes), np.bincount(codes, weights=sample_weight)
    means = _find_means(X, codes, n_clusters, sample_weight)
    within, distances = 0.0, np.zeros(n_clusters)
    for rows, chunk in iterate_chunks(X):
        apart = chunk - means[codes[rows]]
        squares = np.einsum("ij,ij->i", apart, apart)
        roots = np.sqrt(squares)
        if sample_weight is not None:
            squares, roots = squares * sample_weight[rows], roots * sample_weight[rows]
        within += float(squares.sum())
        distances += np.bincount(codes[rows], weights=roots, minlength=n_clusters)
    return combine_spreads(means, sizes, within, distances)


def combine_spreads(
    means: NDArray[np.float64], sizes: NDArray[Any], within: float, distances: NDArray[np.float64]
) -> tuple[float, float]:
    """Compute the indices from the clusters' means and sizes, and from the distances of the members to the means: the
    sum of their squares, and their sum for each cluster.
    """
    n_clusters, n_samples = len(sizes), sizes.sum()
    between = float(sizes @ np.square(means - sizes @ means / n_samples).sum(axis=1))
    ratio = between * float(n_samples - n_clusters) / (within * (n_clusters - 1)) if within > 0 else 1.0
    return ratio, _davies_bouldin(means, distances / sizes)


def _davies_bouldin(means: NDArray[np.float64], spreads: NDArray[np.float64]) -> float:
    """Compute the index from the clusters' means and mean distances to them; 0 where either vanish, as
    scikit-learn has it.
    """
    apart = cdist(means, means)
    if np.allclose(spreads, 0) or np.allclose(apart, 0):
        return 0.0
    apart[apart == 0] = np.inf
    return float(((spreads[:, None] + spreads) / apart).max(axis=1).mean())


@contextlib.contextmanager
def fits_at_once(clusterers: Sequence[Any], n_jobs: int) -> Iterator[int]:
    """Yield the number of fits that may run at once, within the block: one a thread for k-means.

    A clusterer of another kind may share state between its fits, and runs alone.

    Parameters
    ----------
    clusterers : sequence of clusterer
        Clusterers to be fitted, each by a :class:`Fitter` of one thread.
    n_jobs : int
        Threads that may be used.
    """
    if not all(isinstance(clusterer, _K_MEANS) for clusterer in clusterers):
        yield 1
        return
    # Each fit limits BLAS to one thread and then gives back what it found. Fits that overlap would give back each
    # other's limits, in any order: so the limit stands before the first one comes and until the last one is gone.
    with threadpool_limits({"blas": 1}):
        yield n_jobs


def _thread_limits(clusterer: Any, shape: tuple[int, int], n_jobs: int) -> dict[str, int] | None:
    if not isinstance(clusterer, _K_MEANS):
        return None
    small = shape[0] * shape[1] * clusterer.n_clusters < _SMALL_PASS
    return {"blas": 1, "openmp": 1 if small else n_jobs}


def refuse_params(params: Iterable[str]) -> None:
    """Refuse further arguments of a sweep's ``fit``; a Pipeline or a search would pass them on."""
    for name in params:
        raise TypeError(f"KMeansSweep.fit takes no {name}; pass parameters to KMeansSweep(...) itself.")

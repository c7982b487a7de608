"""k-means for rising numbers of clusters, with work that the fits share.

Separate fits seed and restart again for every k, and would take most of the time of a sweep, whose scores share one
pass over the pairs of samples. Here the starts of a k compete on some of the rows, and only the best go on:

* seedings, as by greedy k-means++: orders of points of which the first k seed every k;
* the solution of the k before with a point added where that lowers the sum of squares most;
* the best of these, with the most dispensable centers moved to where they help most.

On large data the three best go on to more rows, because those that are best on some thousand rows are often not on all.
The last step is one fit of scikit-learn's KMeans from the centers that won. From one k to the next the inertia never
rises: if it would, the solution of the k before with a point added goes on to all rows, too, and cannot end higher.

References
----------
D. Arthur, S. Vassilvitskii (2007), "k-means++: the advantages of careful seeding", SODA 2007, 1027-1035.
A. Likas, N. Vlassis, J. J. Verbeek (2003), "The global k-means clustering algorithm", Pattern Recognition 36, 451-461.
P. Fränti, J. Kivijärvi (2000), "Randomized local search algorithm for the clustering problem", Pattern Analysis &
Applications 3, 358-369.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, issparse
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.metrics import pairwise_distances_argmin_min
from sklearn.utils.extmath import row_norms

from fastsil.validation.arrays import iterate_chunks

# Rows that starts compete on: a base, and further ones for each cluster.
_ROWS = 4096
_ROWS_PER_CLUSTER = 64

# Iterations after which starts are compared. The best one goes on until an iteration reduces the inertia by less than
# this share, or up to this number of iterations.
_N_SCREENING_ITERATIONS = 5
_SETTLED = 1e-4
_MOST = 100

# Starts that go on to more rows, and the number of these. Three end 0.04 to 0.05 % lower than one on word vectors.
# More rows spare a third of the iterations on all, and end 0.02 to 0.04 % lower.
_FINALISTS = 3
_FINAL_ROWS = 20_000
# They are held for the whole sweep, whose memory beyond copies of X is promised for any number of features.
_FINAL_BYTES = 64 << 20

TOL = 1e-4
"""scikit-learn's KMeans ends when squared moves of all centers add up to this share of the mean variance."""

# With many features and clusters that takes long: 119 iterations for k = 8 of 60,000 word vectors. A fit that began
# from centers of part of the rows ends when an iteration reduces the inertia by about this share: after 5 to 7
# iterations in place of 18 to 21, with 0.001 to 0.003 % more inertia (200,000 word vectors, 150,000 other samples).
_ENOUGH = 3e-6

# Points tried for each place of a seeding and for an added center; more with the logarithm of k, as in scikit-learn.
_TRIALS = 2

# Multiplications of rows and centers a second on one core, that fits are reckoned at.
_RATE = 1.5e10
# The competition of the starts as iterations on its rows for each restart, moves and settling included.
_ITERATIONS_PER_RESTART = 10
# Iterations of a fit that has not been made. They are 15 on 200,000 word vectors for k to 16; what scikit-learn does
# before takes as long again: the fits take 16.8 s on one core, where this foresees 17.8.
_TYPICAL_ITERATIONS = 30

# Products of rows and centers held at a time.
_PRODUCT_BYTES = 8 << 20


class SharedKMeans(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """One k of a :class:`KMeansPath`, as a description that clones.

    Parameters
    ----------
    n_clusters : int
        Number of clusters.
    n_init : int
        Seedings that compete.
    random_state : int
        Seed, the same for every k of a path.

    Attributes
    ----------
    kmeans_ : KMeans
        The fit.
    """

    kmeans_: KMeans

    def __init__(self, n_clusters: int = 2, *, n_init: int = 10, random_state: int = 0) -> None:
        self.n_clusters = n_clusters
        self.n_init = n_init
        self.random_state = random_state


def check_n_init(n_init: Any) -> int:
    """Return the number of seedings; 1 for ``"auto"``, as in scikit-learn.

    Raises
    ------
    ValueError
        If it is neither a positive integer nor ``"auto"``.
    """
    if isinstance(n_init, str) and n_init == "auto":
        return 1
    if isinstance(n_init, bool) or not isinstance(n_init, (int, np.integer)) or n_init < 1:
        raise ValueError(f"n_init={n_init!r} is no number of restarts; pass a positive integer or 'auto'.")
    return int(n_init)


class KMeansPath:
    """Fits of k-means to one set of samples, for rising k.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Samples, float32 or float64.
    n_init : int
        Seedings that compete for every k.
    seed : int
        Seed of all random draws: equal seeds give equal fits.
    sample_weight : ndarray of shape (n_samples,), optional
        How often each sample counts.

    Examples
    --------
    >>> import numpy as np
    >>> path = KMeansPath(np.array([[0.0], [1.0], [8.0], [9.0]]), n_init=2, seed=0)
    >>> [float(path.fit(k).inertia_) for k in (1, 2, 3)]
    [65.0, 1.0, 0.5]
    """

    def __init__(self, X: Any, *, n_init: int, seed: int, sample_weight: NDArray[np.float64] | None = None) -> None:
        self._X = X
        self._weights = sample_weight
        self._n_init = n_init
        self._seed = seed
        self._last: KMeans | None = None
        self._subsample: tuple[_Rows, _Seedings] | None = None
        self._final: _Rows | None = None

    def fit(self, k: int) -> KMeans:
        """Fit for k, which must be larger than that of the fit before.

        Returns
        -------
        KMeans
            Fitted; its ``init`` are the centers that it began from.
        """
        random = np.random.default_rng([self._seed, 1, k])
        rows, seedings = self._rows_for(k)
        starts = [seedings.first(k)]
        if self._last is not None:
            before = rows.from_data(self._last.cluster_centers_)
            starts += [rows.add_center(before, k, random)[None] for _ in range(self._n_moves)]
        more = self._more_rows_than(rows)
        best = rows.list_best_starts(np.concatenate(starts), 1 if more is rows else _FINALISTS)
        finalists = [self._improve(rows, solution, random) for solution in best]
        winner = finalists[0] if more is rows else more.take_best(rows, finalists)
        fitted = self._fit_all(more.to_data(winner.centers), more.choose_tol(winner))
        if self._last is not None and fitted.inertia_ > self._last.inertia_:
            fitted = self._fit_all(self._add_drawn_rows(self._last.cluster_centers_, k, random))
            if fitted.inertia_ > self._last.inertia_:
                self._take_start(fitted)
        self._keep(fitted)
        return fitted

    def _improve(self, rows: _Rows, solution: _Solution, random: np.random.Generator) -> _Solution:
        """Iterate to convergence, and again from the best of some moves of a center, if that is lower."""
        settled = rows.run_to_convergence(solution)
        if len(solution.centers) == 1:
            return settled
        moves = np.stack([rows.swap_center(settled.centers, random) for _ in range(self._n_moves)])
        moved = rows.list_best_starts(moves)[0]
        return rows.run_to_convergence(moved) if moved.inertia < settled.inertia else settled

    def _take_start(self, fitted: KMeans) -> None:
        """Put the centers that a fit began from in place of those that it ended at.

        With fewer distinct samples than clusters, scikit-learn moves empty clusters to samples that are none of their
        own, and a fit may end far above its start.
        """
        fitted.cluster_centers_ = np.array(fitted.init)
        fitted.labels_ = pairwise_distances_argmin_min(self._X, fitted.init)[0].astype(np.int32)
        fitted.inertia_ = sum_squares_about(self._X, fitted.init, fitted.labels_, self._weights)

    def _add_drawn_rows(self, centers: NDArray[Any], k: int, random: np.random.Generator) -> NDArray[Any]:
        """Add rows of all data to the centers, k in all, drawn in proportion to the squared distance to the nearest
        center.
        """
        while len(centers) < k:
            centers = np.concatenate([centers, self._draw_row(centers, random)])
        return centers

    def _draw_row(self, centers: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
        squares = pairwise_distances_argmin_min(self._X, centers)[1] ** 2
        cumulated = np.cumsum(squares if self._weights is None else squares * self._weights, dtype=np.float64)
        row = min(int(np.searchsorted(cumulated, random.uniform() * cumulated[-1])), self._X.shape[0] - 1)
        drawn: Any = self._X[[row]]
        return np.asarray(drawn.toarray() if issparse(self._X) else drawn)

    def go_on_from(self, fitted: KMeans) -> None:
        """Take a fit of an earlier run as the last one, as if it had been made here."""
        self._keep(fitted)

    def _keep(self, fitted: KMeans) -> None:
        # One cluster is no start: the fits are equal with and without it among the requested k.
        if fitted.n_clusters > 1:
            self._last = fitted

    @property
    def _n_moves(self) -> int:
        """Number of additions of a point, and of moves, that are tried: half the number of seedings."""
        return (self._n_init + 1) // 2

    def _rows_for(self, k: int) -> tuple[_Rows, _Seedings]:
        # More rows at powers of two only, and drawn anew: a path that goes on from an earlier run meets the same.
        n_rows = min(self._X.shape[0], _ROWS + _ROWS_PER_CLUSTER * (1 << k.bit_length()))
        if self._subsample is None or len(self._subsample[0].norms) != n_rows:
            rows = _Rows(self._X, n_rows, np.random.default_rng([self._seed, 0, n_rows]), self._weights)
            self._subsample = rows, _Seedings(rows, self._n_init, np.random.default_rng([self._seed, 0, n_rows, 1]))
        return self._subsample

    def _more_rows_than(self, rows: _Rows) -> _Rows:
        """Return the rows of the final, the same for every k; ``rows`` if they would not be many more."""
        n_samples, n_features = self._X.shape
        n_rows = min(_FINAL_ROWS, n_samples // 3, _FINAL_BYTES // (self._X.dtype.itemsize * n_features))
        if n_rows < 2 * len(rows.norms):
            return rows
        if self._final is None:
            self._final = _Rows(self._X, n_rows, np.random.default_rng([self._seed, 2]), self._weights)
        return self._final

    def _fit_all(self, centers: NDArray[Any], tol: float = TOL) -> KMeans:
        fitted = KMeans(len(centers), init=centers, n_init=1, tol=tol).fit(self._X, sample_weight=self._weights)
        if self._X.dtype == np.float32:  # whose sum scikit-learn rounds at every sample
            fitted.inertia_ = sum_squares_about(self._X, fitted.cluster_centers_, fitted.labels_, self._weights)
        return fitted


def estimate_seconds_of_products(fitted: KMeans, n_samples: int, n_init: int) -> float:
    """Estimate the time of a fit of a path on one core, by its iterations, which are equal on every run.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(500, 8))
    >>> 0 < estimate_seconds_of_products(KMeansPath(X, n_init=2, seed=0).fit(3), 500, 2) < 0.01
    True
    """
    return _seconds_of(fitted.n_iter_, fitted.cluster_centers_.size, n_samples, n_init)


def foresee_seconds(shape: tuple[int, int], ks: Sequence[int], n_init: int) -> float:
    """Estimate the time of fits that have not been made, on one core.

    Examples
    --------
    >>> 30 < foresee_seconds((1_000_000, 128), range(2, 17), 10) < 60
    True
    """
    n_samples, n_features = shape
    return sum(_seconds_of(_TYPICAL_ITERATIONS, k * n_features, n_samples, n_init) for k in ks)


def _seconds_of(n_iterations: int, n_entries: int, n_samples: int, n_init: int) -> float:
    """Return the seconds of a fit with that number of entries in its centers."""
    on_all = n_samples * (n_iterations + 1)
    on_some = min(n_samples, _ROWS) * _ITERATIONS_PER_RESTART * n_init
    return float((on_all + on_some) * n_entries / _RATE)


class _Solution(NamedTuple):
    """Centers and their inertia, both of the rows that starts compete on."""

    centers: NDArray[Any]
    inertia: float


class _Rows:
    """The rows that starts compete on, about their mean if they are dense, and iterations of k-means on them.

    With weights, rows are drawn as without, and count as often as they say.
    """

    def __init__(
        self, X: Any, n_rows: int, random: np.random.Generator, sample_weight: NDArray[np.float64] | None = None
    ) -> None:
        self._is_part = n_rows < X.shape[0]
        rows: Any = np.sort(random.choice(X.shape[0], n_rows, replace=False)) if self._is_part else slice(None)
        drawn: Any = X[rows]
        self.weights = None if sample_weight is None else sample_weight[rows]
        if self.weights is not None and not self.weights.any():
            self.weights = None
        self._sparse: bool = issparse(X)
        self.shift = np.zeros(X.shape[1]) if self._sparse else drawn.mean(axis=0, dtype=np.float64)
        self.X: Any = drawn if self._sparse else np.asarray(drawn - self.shift, dtype=X.dtype)
        self.norms: NDArray[Any] = row_norms(self.X, squared=True)
        # Of weights as shares of the largest, which float32 holds.
        self._shares = None if self.weights is None else (self.weights / self.weights.max()).astype(X.dtype)
        counts = np.ones(1) if self._shares is None else self._shares.astype(np.float64)
        self._total = float((counts * self.norms).sum(dtype=np.float64))

    def from_data(self, centers: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(centers - self.shift, dtype=self.X.dtype)

    def to_data(self, centers: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(centers + self.shift, dtype=self.X.dtype)

    def at(self, rows: Any) -> NDArray[Any]:
        """Return these rows, dense."""
        return np.asarray(self.X[rows].toarray() if self._sparse else self.X[rows])

    def squares(self, points: NDArray[Any]) -> NDArray[Any]:
        """Compute squared distances from points to all rows, of shape (n_points, n_rows)."""
        products: Any = (self.X @ points.T).T if self._sparse else points @ self.X.T
        squares = self.norms + row_norms(points, squared=True)[:, None] - 2 * products
        return np.asarray(np.maximum(squares, 0, out=squares))

    def draw_center(self, nearest: NDArray[Any], trials: int, random: np.random.Generator) -> tuple[int, NDArray[Any]]:
        """Return the best of some rows drawn in proportion to ``nearest``, and ``nearest`` after its addition.

        ``nearest`` are squared distances of all rows to their nearest centers; the best row reduces their sum most.
        """
        cumulated = np.cumsum(self._weigh(nearest), dtype=np.float64)
        rows = np.searchsorted(cumulated, random.uniform(size=trials) * cumulated[-1])
        rows = np.minimum(rows, len(nearest) - 1)
        squares = np.minimum(self.squares(self.at(rows)), nearest)
        best = int(self._weigh(squares).sum(axis=1).argmin())
        return int(rows[best]), squares[best]

    def draw_first(self, n_orders: int, random: np.random.Generator) -> NDArray[np.intp]:
        """Draw the first row of several orders."""
        if self.weights is None:
            return random.integers(len(self.norms), size=n_orders)
        return random.choice(len(self.norms), size=n_orders, p=self.weights / self.weights.sum())

    def _weigh(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return values by row, each as often as its row counts."""
        return values if self.weights is None else values * self.weights

    def add_center(self, centers: NDArray[Any], k: int, random: np.random.Generator) -> NDArray[Any]:
        """Return the centers and further ones, k in all."""
        nearest = self.squares(centers).min(axis=0)
        added = []
        for _ in range(len(centers), k):
            row, nearest = self.draw_center(nearest, _trials(k), random)
            added.append(row)
        return np.concatenate([centers, self.at(added)])

    def swap_center(self, centers: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
        """Move the most dispensable center to the row where it helps most; return the centers."""
        squares = self.squares(centers)
        own, second = np.partition(squares, 1, axis=0)[:2]
        nearest = squares.argmin(axis=0)
        least = int(np.bincount(nearest, weights=self._weigh(second - own), minlength=len(centers)).argmin())
        row, _ = self.draw_center(np.where(nearest == least, second, own), _trials(len(centers)), random)
        return np.concatenate([np.delete(centers, least, axis=0), self.at([row])])

    def list_best_starts(self, starts: NDArray[Any], n_best: int = 1) -> list[_Solution]:
        """Return the best of several starts, of shape (n_starts, k, n_features), after a few iterations."""
        at_once = max(1, _PRODUCT_BYTES // (len(self.norms) * starts.shape[1] * self.X.dtype.itemsize))
        solutions: list[_Solution] = []
        for low in range(0, len(starts), at_once):
            centers = starts[low : low + at_once]
            for _ in range(_N_SCREENING_ITERATIONS):
                centers, inertias = self._iterate(centers)
            solutions += map(_Solution, centers, inertias.tolist())
        return sorted(solutions, key=lambda solution: solution.inertia)[:n_best]

    def run_to_convergence(self, solution: _Solution) -> _Solution:
        """Return the solution after iterations until they hardly improve it."""
        for _ in range(_MOST):
            centers, inertias = self._iterate(solution.centers[None])
            better = _Solution(centers[0], float(inertias[0]))
            if better.inertia >= (1 - _SETTLED) * solution.inertia:
                return better
            solution = better
        return solution

    def take_best(self, others: _Rows, solutions: Sequence[_Solution]) -> _Solution:
        """Return the best of some solutions of other rows, after iterations on these."""
        centers = np.stack([self.from_data(others.to_data(solution.centers)) for solution in solutions])
        return self.run_to_convergence(self.list_best_starts(centers)[0])

    def choose_tol(self, solution: _Solution) -> float:
        """Return the tolerance with which KMeans goes on to all rows.

        Centers of n / k samples each that move by squares of t v in all, v the mean variance of d features, reduce the
        inertia, a share s of n d v, by n t v / k: that is t / (k d s) of it.
        """
        if not self._is_part or self._total <= 0:
            return TOL
        return max(TOL, _ENOUGH * solution.centers.size * solution.inertia / self._total)

    def _iterate(self, starts: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Run one iteration from each start: means of the rows nearest to each center, and inertias about these means.

        A center that is nearest to no row stays.
        """
        n_starts, k, n_features = starts.shape
        n_rows = len(self.norms)
        flat = starts.reshape(-1, n_features)
        closeness: NDArray[Any] = self.X @ flat.T - row_norms(flat, squared=True) / 2
        nearest = np.empty((n_rows, n_starts), dtype=np.int32)
        for start in range(n_starts):
            columns = slice(start * k, start * k + k)
            nearest[:, start] = closeness[:, columns].argmax(axis=1) + start * k
        entries = np.ones(nearest.size, dtype=self.X.dtype)
        if self._shares is not None:
            entries[:] = np.repeat(self._shares, n_starts)
        members = csc_matrix((entries, nearest.ravel(), np.arange(n_rows + 1) * n_starts), shape=(n_starts * k, n_rows))
        sums: Any = members @ self.X
        sums = sums.toarray() if self._sparse else sums
        weights = None if self._shares is None else entries
        counts = np.bincount(nearest.ravel(), weights=weights, minlength=n_starts * k)
        divisors = np.where(counts > 0, counts, 1)
        means = np.where(counts[:, None] > 0, sums / divisors[:, None], flat).astype(self.X.dtype)
        explained = row_norms(sums.astype(np.float64), squared=True) / divisors
        inertias = self._total - explained.reshape(n_starts, k).sum(axis=1)
        return means.reshape(starts.shape), inertias


class _Seedings:
    """Orders of rows as greedy k-means++ draws them; longer ones are made from shorter ones."""

    def __init__(self, rows: _Rows, n_orders: int, random: np.random.Generator) -> None:
        self._rows = rows
        self._random = random
        first = rows.draw_first(n_orders, random)
        self._orders = first[:, None]
        self._nearest = list(rows.squares(rows.at(first)))

    def first(self, k: int) -> NDArray[Any]:
        """Return the first k points of every order, of shape (n_orders, k, n_features)."""
        while self._orders.shape[1] < k:
            self._extend()
        chosen = self._orders[:, :k]
        return self._rows.at(chosen.ravel()).reshape(*chosen.shape, -1)

    def _extend(self) -> None:
        trials = _trials(self._orders.shape[1])
        added = [self._rows.draw_center(nearest, trials, self._random) for nearest in self._nearest]
        self._orders = np.column_stack([self._orders, [row for row, _ in added]])
        self._nearest = [nearest for _, nearest in added]


def _trials(k: int) -> int:
    return _TRIALS + int(np.log(k))


def sum_squares_about(
    X: Any, centers: NDArray[Any], codes: NDArray[Any], sample_weight: NDArray[np.float64] | None = None
) -> float:
    """Sum over the samples of ``|x - c|²``, c the center of the sample's cluster; in float64.

    Examples
    --------
    >>> import numpy as np
    >>> sum_squares_about(np.array([[0.0], [2.0], [7.0]]), np.array([[1.0], [7.0]]), np.array([0, 0, 1]))
    2.0
    """
    if sample_weight is None:
        return sum(float(np.square(chunk - centers[codes[rows]]).sum()) for rows, chunk in iterate_chunks(X))
    squares = ((rows, np.square(chunk - centers[codes[rows]]).sum(axis=1)) for rows, chunk in iterate_chunks(X))
    return sum(float(of_some @ sample_weight[rows]) for rows, of_some in squares)

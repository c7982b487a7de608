"""Cost of a call, predicted from a run on some of the samples, or from its sizes alone where that is enough."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastsil.engines.dispatch import NO_PAIRS, compute_terms, find_engine
from fastsil.engines.metric_maps import measure_spread, scale_to_ordinary
from fastsil.runtime.lazy_imports import import_on_first_use
from fastsil.runtime.progress import ignore_progress
from fastsil.runtime.threads import resolve_n_jobs
from fastsil.validation import Metric, check_scored, check_sparse, check_tol, get_metric_name, take_samples
from fastsil.validation.partition import Partition, partition_from_codes

# Samples of the run on some of them: at least this many a cluster, and enough for these products (samples² x features),
# so that the engine takes the strategy that it takes with all of them.
_PROBE_SAMPLES = (8_000, 32_000)
_PROBE_MEMBERS = 200
_PROBE_LEAST_PRODUCTS = 7e8
# With fewer members of each, whole clusters are taken instead, if each is at most this share of the samples.
_LEAST_MEMBERS = 20
_LARGEST_WHOLE = 0.125
# Products at most, by engine; others are timed on fewer samples, as their distances are slow.
_PROBE_MOST_PRODUCTS = {"euclidean": 1e11, "coordinatewise": 1e10}
_PROBE_SLOW = 2_500
# Bytes of their copy, and of their covariances, at most.
_PROBE_BYTES = 16 << 20
_COVARIANCE_BYTES = 15 << 20
# A run on this share of them before loads compiled code, and shows the part of the time that does not depend on pairs:
# the share that grows with n² (at least, and where that is not seen) in a run on some of the samples.
_FEW = 0.25
_QUADRATIC = (0.5, 0.75)
# No run on more samples if it would take longer (s).
_PROBE_SECONDS = 2.0
# Phases whose time grows with the pairs; that of all else grows with the samples.
_PAIR_PHASES = ("own clusters", "other clusters", "distances", "read")
# A mean without guesses is a mean of silhouettes, with about this variance; log(2 / 0.01) is the price of 99 %.
_VARIANCE = 0.04
_LOG = 5.3
# Bytes beyond the data at most, as promised and measured by ``python -m benchmarks memory``: a sample; a cluster and
# feature; a thread; and in all. Engines that sum distances from every sample to every cluster keep these sums, and
# Manhattan distance sorts some features at once.
_SAMPLE_BYTES, _CENTER_BYTES, _THREAD_BYTES, _BYTES = 100, 32, 8 << 20, 48 << 20
_KEEP_ALL_SUMS = ("manhattan", "coordinatewise", "sparse", "reference")
_SORTED_FEATURES = 16
# Metrics that the Euclidean engine computes without a map of the data.
_UNMAPPED = ("euclidean", "l2", "minkowski", "nan_euclidean")

# Clusters' worth of pairs that the exact engine computes a sample: half of the own cluster and a little more than one
# other, but never more than half of all pairs.
_EXACT_CLUSTERS = 2.0
_SYMMETRIC_SHARE = 0.5
# Products of the moments a sample: this often those of all vectors of a table, and a covariance. The number of
# vectors is repeated from fastsil.engines.euclidean.approximation.moment_table, whose import would load compiled code.
_MOMENT_VECTORS = 5.0
_FACTOR_FEATURES = 191
_DIRECTIONS = 32
# Rows that an estimate computes at least.
_LEAST_ROWS = 750
# Cost of loading the estimate's compiled code and of drawing, at least.
_LEAST_PRODUCTS = 1e10
# Products a second of a core in the Euclidean engine, each used for both of its samples, and distances a second in
# scikit-learn. A call that takes longer by these than this many seconds is called long.
_PRODUCTS = 5e10
_PAIRS = 1.25e8
_LONG_SECONDS = 60.0


@dataclass(frozen=True)
class Plan:
    """Predicted cost of the exact silhouettes of some data.

    Made by :func:`fastsil.plan`, from a run on a part of the samples. Seconds are meant to be right to a factor of 2 on
    a machine without other work.

    Attributes
    ----------
    strategy : str
        Engine and strategy that will probably be chosen.
    pairs : float
        Pairs of samples whose distance will be computed.
    seconds : float
        Wall-clock time.
    memory : int
        Bytes of memory beyond the data, at most.
    estimate_seconds : float
        Time of an estimate to within ``tol`` instead; equal to ``seconds`` where it would compute everything.
    tol : float
        As requested.
    metric : str
        Name of the metric.
    n_samples, n_features, n_clusters, n_jobs : int
        Size of the data, and number of threads.
    phases : mapping of str to float
        Seconds of each part of the work, in its order, by name; they add up to ``seconds``.

    Examples
    --------
    >>> from fastsil import plan
    >>> found = plan([[0.0], [1.0], [5.0], [6.0], [7.0]], [0, 0, 1, 1, 1])
    >>> bool(0 < found.seconds < 60)
    True
    """

    strategy: str
    pairs: float
    seconds: float
    memory: int
    estimate_seconds: float
    tol: float
    metric: str
    n_samples: int
    n_features: int
    n_clusters: int
    n_jobs: int
    phases: Mapping[str, float] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """``pairs`` as a share of all n² ordered pairs."""
        return self.pairs / self.n_samples**2

    def __str__(self) -> str:
        words = (
            f"Exact silhouettes of {self.n_samples:,} samples in {self.n_clusters:,} clusters ({self.strategy}): about "
            f"{format_seconds(self.seconds)} and at most {self.memory / 2**20:,.0f} MiB on {self.n_jobs} threads, "
            f"{self.share:.2%} of all pairs."
        )
        if self.estimate_seconds < self.seconds:
            words += f" To within {self.tol:g} (tol={self.tol:g}): about {format_seconds(self.estimate_seconds)}."
        return words


def format_seconds(seconds: float) -> str:
    """Format a time for readers.

    Examples
    --------
    >>> format_seconds(0.004), format_seconds(75), format_seconds(9000)
    ('0.01 seconds', '75 seconds', '2.5 hours')
    """
    if seconds < 120:
        return f"{max(seconds, 0.01):.2g} seconds" if seconds < 10 else f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def plan(
    X: ArrayLike,
    labels: ArrayLike,
    *,
    tol: float = 1e-3,
    metric: Metric = "euclidean",
    ignore_label: Any = None,
    n_jobs: int | None = None,
    **metric_params: Any,
) -> Plan:
    """Predict pairs, seconds and memory of exact silhouettes, and seconds of an estimate, in well under their time.

    The engine runs on a part of the samples of every cluster. Times of its phases are scaled by the number of samples,
    or by that of pairs.

    Parameters
    ----------
    X, labels, metric, ignore_label, n_jobs, **metric_params
        As for :func:`fastsil.silhouette_samples`.
    tol : float, default=1e-3
        Half-width of the interval of the estimate (:func:`fastsil.silhouette_estimate`).

    Returns
    -------
    Plan
        ``print`` shows it in words.

    Raises
    ------
    ValueError
        If an argument is invalid; the message names it and the place.

    Examples
    --------
    >>> from fastsil import plan
    >>> found = plan([[0.0], [1.0], [5.0], [6.0], [7.0]], [0, 0, 1, 1, 1])
    >>> found.n_samples, found.strategy, found.pairs
    (5, 'euclidean: symmetric', 12.0)
    """
    tol = check_tol(tol)
    data, partition, _ = check_scored(X, labels, metric, metric_params, ignore_label)
    check_sparse(data, metric)
    n_jobs = resolve_n_jobs(n_jobs)
    if metric in ("mahalanobis", "seuclidean") and all(value is None for value in metric_params.values()):
        # Those of a part of the samples may have no inverse.
        data = scale_to_ordinary(data)
        metric_params = {"V": measure_spread(data, metric)}
    engine = find_engine(data, metric, metric_params)
    probe = _Probe(data, partition, engine, metric, metric_params, n_jobs)
    phases = probe.phases()
    seconds = sum(phases.values())
    return Plan(
        strategy=probe.work.strategy,
        pairs=probe.pairs(),
        seconds=seconds,
        phases=phases,
        memory=_bound_memory(partition, data.shape[1], engine, metric, n_jobs),
        estimate_seconds=min(seconds, probe.estimate_seconds(tol)),
        tol=tol,
        metric=get_metric_name(metric),
        n_samples=partition.n_samples,
        n_features=data.shape[1],
        n_clusters=partition.n_clusters,
        n_jobs=n_jobs,
    )


def log_if_long(X: Any, partition: Partition, metric: Metric, metric_params: dict[str, Any], n_jobs: int) -> None:
    """Log a line before a call of more than about a minute, judged by the sizes of the data alone.

    The line shows on standard error unless logging is configured: a warning would end programs that turn warnings into
    errors, although nothing is wrong.
    """
    n_samples, within = float(partition.n_samples), _sum_squared_sizes(partition)
    by_products, by_pairs = X.shape[1] * within / _PRODUCTS / n_jobs, n_samples**2 / _PAIRS / n_jobs
    if max(by_products, by_pairs) < _LONG_SECONDS:
        return
    engine = find_engine(X, metric, metric_params)
    if engine not in NO_PAIRS and (by_products if engine == "euclidean" else by_pairs) >= _LONG_SECONDS:
        logging.getLogger("fastsil").warning(
            "Exact silhouettes of %s samples in %s clusters may take minutes. fastsil.plan(X, labels) predicts how "
            "long, and how long an estimate would take; silhouette_score(..., tol=0.001) estimates their mean.",
            f"{partition.n_samples:,}",
            f"{partition.n_clusters:,}",
        )


def exact_is_as_cheap(partition: Partition, n_features: int) -> bool:
    """Return whether exact Euclidean silhouettes cost no more than an estimate: of small data, or small clusters."""
    n_samples, within = partition.n_samples, _sum_squared_sizes(partition)
    exact = n_features * min(_EXACT_CLUSTERS * within, _SYMMETRIC_SHARE * n_samples**2)
    moments = _count_moment_products(n_samples, n_features, partition.n_clusters)
    rows = _LEAST_ROWS * n_features * 3 * within / n_samples
    return exact <= max(moments + rows, _LEAST_PRODUCTS)


def _count_moment_products(n_samples: int, n_features: int, n_clusters: int) -> float:
    """Count the products that the moments of an estimate take."""
    vectors = n_features + 1 if n_features <= _FACTOR_FEATURES else _DIRECTIONS
    return n_samples * n_features * (n_clusters + n_features + _MOMENT_VECTORS * vectors)


def _sum_squared_sizes(partition: Partition) -> float:
    return float((partition.sizes.astype(np.float64) ** 2).sum())


class _Probe:
    """A run on a part of the samples of every cluster, extrapolated to a run on all."""

    def __init__(
        self,
        X: Any,
        partition: Partition,
        engine: str,
        metric: Metric,
        metric_params: dict[str, Any],
        n_jobs: int,
    ) -> None:
        self._partition = partition
        self._engine = engine
        self._n_features = X.shape[1]

        def run(some: NDArray[np.intp]) -> None:
            part, of_part = _take_part(X, partition, some, metric)
            started = time.perf_counter()
            terms = compute_terms(part, of_part, metric, metric_params, n_jobs=n_jobs, tick=ignore_progress)
            self._spent = time.perf_counter() - started
            self._growth = partition.n_samples / len(some)
            self.work = terms.work

        n_rows = _how_many(partition, engine, X.shape[1], X.dtype.itemsize)
        self._whole = engine == "euclidean" and _takes_whole_clusters(partition, n_rows)
        choose = _whole_clusters if self._whole else _some_rows
        rows, few = choose(partition, n_rows), choose(partition, int(_FEW * n_rows))
        run(few)
        run(few)
        self._quadratic = 1.0
        strategy, before = self.work.strategy, self._pair_seconds()
        if len(few) < len(rows) and before / _FEW**2 + (self._spent - before) / _FEW < _PROBE_SECONDS:
            run(rows)
            self._quadratic = self._estimate_pair_share(
                len(few) / len(rows), before, same=self.work.strategy == strategy
            )
        else:
            rows = few
        if engine == "euclidean" and not exact_is_as_cheap(partition, X.shape[1]):
            self._guessed = self._estimate_moment_seconds(X, rows, metric, metric_params, n_jobs)

    def _estimate_moment_seconds(
        self, X: Any, rows: NDArray[np.intp], metric: Metric, metric_params: dict[str, Any], n_jobs: int
    ) -> float:
        """Estimate the seconds of an estimate's moments: by a run, or by their products where covariances take much
        memory.
        """
        n_clusters = self._partition.n_clusters
        if 8 * n_clusters * self._n_features**2 > _COVARIANCE_BYTES:
            of_product = self._pair_seconds() / max(1.0, self.work.pairs * self._n_features)
            return float(of_product * _count_moment_products(len(rows), self._n_features, n_clusters))
        some = _take_part(X, self._partition, rows, metric)
        open_rows = import_on_first_use("fastsil.engines.intervals").open_rows
        started = time.perf_counter()
        open_rows(*some, metric, metric_params, n_jobs=n_jobs).intervals()
        return time.perf_counter() - started

    def pairs(self) -> float:
        """Predict the number of pairs: of whole clusters, as many others are met whatever their number."""
        return self.work.pairs * self._growth ** (1 if self._meets_few else 2)

    def phases(self) -> dict[str, float]:
        """Predict the seconds of each phase with all samples, and of the time outside of phases."""
        found = {phase: self._grow(phase, spent) for phase, spent in self.work.seconds.items()}
        rest = max(self._spent - sum(self.work.seconds.values()), 0.0)
        return found | {"rest": rest * self._growth}

    def _grow(self, phase: str, spent: float) -> float:
        if self._whole:
            # Bounds are of every sample and every cluster.
            of_all = phase == "bounds" or (phase == "other clusters" and not self._meets_few)
            return spent * self._growth ** (2 if of_all else 1)
        of_pairs = phase in _PAIR_PHASES and self._engine not in NO_PAIRS
        return self._grown(spent) if of_pairs else spent * self._growth

    @property
    def _meets_few(self) -> bool:
        """Whether the run met whole clusters, and of the other ones those only that bounds had left."""
        return self._whole and self.work.strategy.endswith("pruned")

    def seconds(self) -> float:
        return sum(self.phases().values())

    def estimate_seconds(self, tol: float) -> float:
        """Predict the seconds of an estimate; infinite where it would compute all samples."""
        if self._engine in NO_PAIRS:
            return float("inf")
        n_samples = self._partition.n_samples
        if self._engine != "euclidean":
            rows = 2 * _LOG * _VARIANCE / tol**2
            return float("inf") if rows > n_samples / 2 else self.seconds() * rows / n_samples
        if exact_is_as_cheap(self._partition, self._n_features):
            return float("inf")
        # Rows are computed for one side only.
        rows = max(_LEAST_ROWS, 10 * self._partition.n_clusters)
        return self._guessed * self._growth + 2 * self._grown(self._pair_seconds()) * rows / n_samples

    def _grown(self, by_pairs: float) -> float:
        """Predict the time with all samples of the phases whose time grows with pairs."""
        return by_pairs * (self._quadratic * self._growth**2 + (1 - self._quadratic) * self._growth)

    def _estimate_pair_share(self, size: float, before: float, *, same: bool) -> float:
        """Estimate the share of such phases' time that grows with n², from a smaller run with an equal strategy."""
        least, usual = _QUADRATIC
        now = self._pair_seconds()
        if not same or now == 0:
            return usual
        # t(1) = 1 and t(size) = before / now for t(x) = q x² + (1 - q) x.
        return float(np.clip((1 - before / now / size) / (1 - size), least, 1.0))

    def _pair_seconds(self) -> float:
        return sum(self.work.seconds.get(phase, 0.0) for phase in _PAIR_PHASES)


def _take_part(X: Any, partition: Partition, some: NDArray[np.intp], metric: Metric) -> tuple[Any, Partition]:
    """Return some of the samples, and their partition."""
    part = X if len(some) == partition.n_samples else take_samples(X, some, metric)
    classes, codes = np.unique(partition.codes[some], return_inverse=True)
    return part, partition_from_codes(classes, codes)


def _how_many(partition: Partition, engine: str, n_features: int, itemsize: int) -> int:
    """Return the number of samples of a representative run."""
    if engine in NO_PAIRS:
        return _PROBE_SAMPLES[1]
    if engine not in _PROBE_MOST_PRODUCTS:
        return _PROBE_SLOW
    wanted = max(_PROBE_MEMBERS * partition.n_clusters, int((_PROBE_LEAST_PRODUCTS / n_features) ** 0.5))
    most = int((_PROBE_MOST_PRODUCTS[engine] / n_features) ** 0.5)
    most = min(most, max(_PROBE_SLOW, _PROBE_BYTES // (itemsize * n_features)))
    return min(int(np.clip(wanted, *_PROBE_SAMPLES)), most)


def _takes_whole_clusters(partition: Partition, n_rows: int) -> bool:
    """Return whether whole clusters are better samples: few members of each are tighter than all of them."""
    few_members = n_rows < _LEAST_MEMBERS * partition.n_clusters
    return few_members and partition.sizes.max() <= _LARGEST_WHOLE * n_rows * _FEW


def _whole_clusters(partition: Partition, n_rows: int) -> NDArray[np.intp]:
    """Choose samples that are whole clusters drawn at random, about ``n_rows`` in all."""
    if n_rows >= partition.n_samples:
        return np.arange(partition.n_samples)
    drawn = np.random.default_rng(0).permutation(partition.n_clusters)
    enough = int(np.searchsorted(np.cumsum(partition.sizes[drawn]), n_rows)) + 1
    is_drawn = np.zeros(partition.n_clusters, bool)
    is_drawn[drawn[:enough]] = True
    return np.flatnonzero(is_drawn[partition.codes])


def _some_rows(partition: Partition, n_rows: int) -> NDArray[np.intp]:
    """Choose samples from all clusters in proportion to their sizes, two of each at least if ``n_rows`` allows."""
    n_samples = partition.n_samples
    if n_rows >= n_samples:
        return np.arange(n_samples)
    positions = np.linspace(0, n_samples - 1, n_rows).astype(np.intp)
    largest = np.argsort(-partition.sizes, kind="stable")[: max(n_rows // 4, 2)]
    starts = partition.offsets[largest]
    seconds = np.minimum(starts + 1, partition.offsets[largest + 1] - 1)
    return np.sort(partition.order[np.unique(np.concatenate([positions, starts, seconds]))])


def _bound_memory(partition: Partition, n_features: int, engine: str, metric: Metric, n_jobs: int) -> int:
    """Return a bound on the bytes beyond the data."""
    n_samples, n_clusters = partition.n_samples, partition.n_clusters
    needed = _BYTES + n_jobs * _THREAD_BYTES + _SAMPLE_BYTES * n_samples
    if engine != "precomputed":
        needed += _CENTER_BYTES * n_clusters * n_features
    if engine in _KEEP_ALL_SUMS:
        needed += 8 * n_samples * n_clusters
    if engine == "manhattan":
        needed += 8 * n_samples * min(n_features, _SORTED_FEATURES)
    if engine == "euclidean" and metric not in _UNMAPPED:
        needed += 8 * n_samples * n_features
    return needed

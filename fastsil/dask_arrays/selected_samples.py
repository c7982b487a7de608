"""Single silhouettes of a Dask array: intervals of all samples, exact values of chosen ones; labels are in memory."""

from __future__ import annotations

from typing import Any

import dask
import numpy as np
from dask import delayed
from numpy.typing import NDArray

from fastsil.dask_arrays import approximation as guesses
from fastsil.dask_arrays import euclidean
from fastsil.dask_arrays.block_rows import Ignored
from fastsil.dask_arrays.graph import add_arrays, as_euclidean_array, score_blocks, shape_blocks, tree
from fastsil.dask_arrays.inputs import check_array, check_label_array, find_blocks
from fastsil.engines.euclidean.approximation import GUESS, LOWER, UPPER, Approximation
from fastsil.engines.intervals import intervals_from
from fastsil.engines.linear.summaries import SQUARED_METRICS
from fastsil.engines.terms import SilhouetteTerms, Work, compute_row_silhouettes
from fastsil.runtime.progress import ProgressCallback, ignore_progress
from fastsil.validation import Metric, check_scored_labels, get_metric_name
from fastsil.validation.partition import Partition

# Rows that are computed exactly at a time; all of them go to every block.
_ROWS_AT_A_TIME = 1 << 14


class BlockRows:
    """Rows of :class:`~fastsil.engines.intervals.MomentRows` on blocks; moments of clusters stay where Dask keeps them.

    Parameters
    ----------
    X, labels, metric, metric_params, ignore_label
        As for :func:`fastsil.dask_arrays.silhouettes_by_blocks`; a metric that is Euclidean, or is after a linear map.

    Attributes
    ----------
    labels : ndarray of shape (n_samples,)
        Labels of all samples.
    partition : Partition
        Partition of the samples that are scored.
    pairs : int
        Pairs of samples computed so far.

    Raises
    ------
    ValueError
        If the metric has no Euclidean form.
    """

    def __init__(
        self, X: Any, labels: Any, metric: Metric, metric_params: dict[str, Any], ignore_label: Any = None
    ) -> None:
        ignored = Ignored(ignore_label)
        X = check_array(X)
        self._dtype = X.dtype
        labels = check_label_array(labels, X, ignore_label)
        self._X, euclidean_metric, params = as_euclidean_array(X, metric, metric_params, ignored)
        if euclidean_metric != "euclidean" or params:
            raise ValueError(
                f"metric={get_metric_name(metric)!r} has no estimate on Dask arrays; pass euclidean, mahalanobis, "
                "seuclidean or a metric without pairs (cosine, correlation, sqeuclidean), or draw samples by "
                "silhouette_score(sample_size=)."
            )
        self.labels = labels.compute()
        self.partition: Partition
        self.partition, kept = check_scored_labels(self.labels, X.shape[0], ignore_label)
        self._scored = np.arange(X.shape[0]) if kept is None else np.flatnonzero(kept)
        blocks = find_blocks(self._X, labels)
        shaped = shape_blocks(blocks, ignored)
        self._survey, self._table, self._codes = dask.persist(shaped.survey, shaped.table, shaped.codes)
        self._blocks = blocks.X
        self.pairs = 0

    def intervals(self, tick: ProgressCallback = ignore_progress) -> NDArray[np.float64]:
        """Return lower bound, guess and upper bound of every silhouette, (n_samples, 3), by position."""
        found = self._approximate()
        tick(1.0)
        return self._compute_intervals(found)[self.partition.order]

    def exact(self, positions: NDArray[np.intp], tick: ProgressCallback = ignore_progress) -> NDArray[np.float64]:
        """Compute the silhouettes of some samples, given by ascending positions."""
        of_scored = self.partition.order[positions]
        # In the order of the rows, so that every block is read once.
        by_row = np.argsort(of_scored)
        silhouettes = np.empty(len(positions))
        silhouettes[by_row] = self._to_silhouettes(self._compute(of_scored[by_row]), of_scored[by_row])
        tick(1.0)
        return silhouettes

    def terms(self, refine_to: float | None) -> tuple[SilhouetteTerms, NDArray[np.float64]]:
        """Compute guesses of all terms, and intervals of the silhouettes, by scored row.

        Samples whose interval is wider than ``refine_to`` are computed exactly.
        """
        found = self._approximate()
        intervals = self._compute_intervals(found)
        a, b, neighbor = found.a[:, GUESS].copy(), found.b[:, GUESS].copy(), found.neighbor
        if refine_to is not None:
            wide = np.flatnonzero(intervals[:, UPPER] - intervals[:, LOWER] > refine_to)
            for start in range(0, len(wide), _ROWS_AT_A_TIME):
                rows = wide[start : start + _ROWS_AT_A_TIME]
                exact = self._compute(rows)
                a[rows], b[rows], neighbor[rows] = exact.a, exact.b, exact.neighbor
                intervals[rows] = self._to_silhouettes(exact, rows)[:, None]
        work = Work(f"moments, {len(self._blocks)} blocks", self.pairs, self.pairs / len(a) ** 2)
        return SilhouetteTerms(a=a, b=b, neighbor=neighbor, work=work), intervals

    def _approximate(self) -> Approximation:
        approximate = delayed(guesses.approximate_block)
        parts = dask.compute(
            [
                approximate(X, codes, self._survey, self._table)
                for X, codes in zip(self._blocks, self._codes, strict=True)
            ]
        )[0]
        return Approximation(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    def _compute_intervals(self, found: Approximation) -> NDArray[np.float64]:
        return intervals_from(found, self.partition.is_alone, self._dtype)

    def _compute(self, rows: NDArray[np.intp]) -> SilhouetteTerms:
        """Compute the exact terms of some scored rows, given in ascending order: they go to every block."""
        codes = self.partition.codes[rows]
        drawn = self._X[self._scored[rows]].rechunk((len(rows), -1)).to_delayed(optimize_graph=False)[0, 0]
        needed = delayed(euclidean.find_needed)(drawn, codes, self._survey, self._table)
        add_block = delayed(euclidean.add_block)
        sums = [
            add_block(None, drawn, needed, X, of_block, self._survey)
            for X, of_block in zip(self._blocks, self._codes, strict=True)
        ]
        terms: SilhouetteTerms = delayed(euclidean.combine_sums)(
            tree(add_arrays, sums), needed, codes, self._survey
        ).compute()
        self.pairs += terms.work.pairs
        return terms

    def _to_silhouettes(self, terms: SilhouetteTerms, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        return compute_row_silhouettes(terms, self.partition.is_alone[rows])


def terms_by_blocks(
    X: Any,
    labels: Any,
    metric: Metric,
    metric_params: dict[str, Any],
    ignore_label: Any = None,
    *,
    exact: bool = True,
    refine_to: float | None = None,
) -> tuple[SilhouetteTerms, NDArray[np.float64] | None, NDArray[Any]]:
    """Compute the terms of all scored samples, intervals of their silhouettes, and the labels of all samples, in
    memory.

    Parameters
    ----------
    X, labels, metric, metric_params, ignore_label
        As for :func:`fastsil.dask_arrays.silhouettes_by_blocks`.
    exact : bool
        False: terms are guessed, and there are intervals, unless the metric needs no pairs.
    refine_to : float, optional
        Samples whose interval is wider than this are computed exactly.
    """
    if not exact and metric not in SQUARED_METRICS:
        rows = BlockRows(X, labels, metric, metric_params, ignore_label)
        return *rows.terms(refine_to), rows.labels
    scored = score_blocks(check_array(X), labels, metric, metric_params, ignore_label)
    terms, in_memory = dask.compute(scored.terms, scored.blocks.labels)
    n_samples = sum(len(part.a) for part in terms)
    pairs = sum(part.work.pairs for part in terms)
    joined = SilhouetteTerms(
        a=np.concatenate([part.a for part in terms]),
        b=np.concatenate([part.b for part in terms]),
        neighbor=np.concatenate([part.neighbor for part in terms]),
        work=Work(f"{terms[0].work.strategy}, {len(terms)} blocks", pairs, pairs / n_samples**2),
    )
    return joined, None, np.concatenate([np.asarray(part).reshape(-1) for part in in_memory])

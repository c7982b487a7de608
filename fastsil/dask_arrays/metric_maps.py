"""Dask arrays mapped so that another metric becomes the Euclidean one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from dask import delayed
from numpy.typing import NDArray

from fastsil.engines.metric_maps import mahalanobis_map, seuclidean_map
from fastsil.engines.rescaling import OUT_OF_RANGE
from fastsil.validation import check_finite


class MapRecipe(NamedTuple):
    """Recipe of a map to Euclidean distance.

    Attributes
    ----------
    params : tuple of str
        Keywords of the metric that define it; without any, V is taken from the data.
    find : callable
        ``find(X, **keywords)``: the map, of which X gives no more than the number of features.
    spread : callable
        V of centered samples, but for the division by n - 1.
    """

    params: tuple[str, ...]
    find: Callable[..., NDArray[np.float64]]
    spread: Callable[[Any], Any]


LINEAR_MAPS = {
    "mahalanobis": MapRecipe(("V", "VI"), mahalanobis_map, lambda centered: centered.T @ centered),
    "seuclidean": MapRecipe(("V",), seuclidean_map, lambda centered: (centered**2).sum(axis=0)),
}


def mapped_array(X: Any, metric: str, metric_params: dict[str, Any], *, some_ignored: bool) -> Any:
    """Map X to float64 where Euclidean distances are those of the metric, without computing anything.

    Raises
    ------
    ValueError
        If V would be taken from samples some of which are left out.
    """
    how = LINEAR_MAPS[metric]
    # Before they are averaged: a gap would be in every row of the result.
    samples = X.astype(np.float64)
    samples = samples.map_blocks(_check_block, dtype=samples.dtype, meta=samples._meta)
    centered = samples - samples.mean(axis=0)
    if not metric_params and some_ignored:
        raise ValueError(
            f"metric={metric!r} with ignore_label needs V= for a Dask array; take it from the other samples."
        )
    given = metric_params or {"V": how.spread(centered) / (X.shape[0] - 1)}
    n_features = X.shape[1]
    width = (n_features,) if metric == "seuclidean" else (n_features, n_features)
    W = da.from_delayed(
        delayed(_find_map)(metric, n_features, not metric_params, **given), shape=width, dtype=np.float64
    )
    return centered * W if metric == "seuclidean" else centered @ W


def _find_map(metric: str, n_features: int, of_data: bool, **given: Any) -> NDArray[np.float64]:
    if of_data and not np.isfinite(given["V"]).all():
        raise ValueError(OUT_OF_RANGE)
    return LINEAR_MAPS[metric].find(np.empty((0, n_features)), **given)


def _check_block(block: Any, block_info: Any = None) -> Any:
    if block_info:
        check_finite(block, first_row=block_info[0]["array-location"][0][0])
    return block

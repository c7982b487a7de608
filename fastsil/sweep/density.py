"""DBCV: a measure of clusters of any shape, by the package hdbscan.

A cluster is sparse at the longest edge of a tree through its samples, and separate by the shortest way to another one;
distances in thin regions count more. DBCV is the mean over samples of ``(separation - sparseness) / max`` of their
cluster, from -1 to 1; noise counts 0.

References
----------
D. Moulavi, P. A. Jaskowiak, R. J. G. B. Campello, A. Zimek, J. Sander (2014), "Density-based clustering validation",
SIAM International Conference on Data Mining, 839-847.
"""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastsil.validation import have_another_label

# All pairs of a cluster are held, several times: 1 GiB for one cluster of this size.
_MOST_SAMPLES = 5_000
# A tree through fewer samples has no sample with two neighbors.
_LEAST_SIZE = 3


def check_density(*, are_distances: bool) -> None:
    """Raise an error if DBCV cannot be computed.

    Raises
    ------
    ImportError
        If hdbscan is not installed.
    ValueError
        If there are distances only.
    """
    if importlib.util.find_spec("hdbscan") is None:
        raise ImportError("density=True needs hdbscan; install it with: pip install 'fastsil[density]'")
    if are_distances:
        raise ValueError("density=True takes samples, since densities depend on the number of features.")


def measure_density(X: Any, labels: NDArray[Any], noise: Any, random: np.random.Generator) -> float:
    """Compute DBCV of a labeling; NaN of fewer than two clusters of three samples.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Samples. Of many, 5,000 are drawn.
    labels : ndarray of shape (n_samples,)
        Labels.
    noise : label
        Label of samples in no cluster.
    random : numpy Generator
        Draws rows.
    """
    from hdbscan.validity import validity_index

    rows = np.arange(len(labels))
    if len(rows) > _MOST_SAMPLES:
        rows = np.sort(random.permutation(len(rows))[:_MOST_SAMPLES])
    codes = _number_clusters(labels[rows], noise)
    if codes.max() < 1:
        return float(np.nan)
    samples = X[rows].toarray() if hasattr(X, "toarray") else X[rows]
    # Powers of distances in many features overflow, and those of copies are infinite.
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(validity_index(np.asarray(samples, dtype=np.float64), codes))


def _number_clusters(labels: NDArray[Any], noise: Any) -> NDArray[np.intp]:
    """Renumber the clusters that are large enough from 0; -1 for all other samples."""
    classes, counts = np.unique(labels[have_another_label(labels, noise)], return_counts=True)
    codes = np.full(len(labels), -1, dtype=np.intp)
    for code, label in enumerate(classes[counts >= _LEAST_SIZE]):
        codes[labels == label] = code
    return codes

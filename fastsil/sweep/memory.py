"""The memory that a sweep takes, before it begins."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastsil.validation.arrays import result_dtype

# Bytes a sample, bytes a sample for each k, and bytes of a sweep of any size.
_A_SAMPLE, _A_SAMPLE_AND_K, _FIXED = 100, 50, 160 << 20


def foresee_bytes(
    shape: tuple[int, ...], dtype: DTypeLike, n_ks: int, *, maps: bool = False, a_sample: float = 1.0
) -> int:
    """Return the bytes that a sweep in memory takes at most beyond the samples, but for sums of exact scores.

    Parameters
    ----------
    shape, dtype
        Of the samples.
    n_ks : int
        Numbers of clusters to try.
    maps : bool
        Whether the metric maps the samples, into another copy of them.
    a_sample : float
        Times what is kept of each sample, where more is done with it.

    Examples
    --------
    >>> foresee_bytes((10_000_000, 64), "float32", 15) >> 30
    12
    """
    n_samples, n_features = shape
    itemsize: Any = np.dtype(result_dtype(np.dtype(dtype))).itemsize
    n_copies = 3 if maps else 2  # scikit-learn's k-means makes two
    kept = a_sample * (_A_SAMPLE + _A_SAMPLE_AND_K * n_ks)
    return int(n_samples * (n_copies * n_features * itemsize + kept) + _FIXED)

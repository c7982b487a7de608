"""Linear maps after which another metric is the Euclidean one.

Mahalanobis distance, ``sqrt((x - y)^T VI (x - y))``, is Euclidean distance after ``x -> x W`` for any
W with ``W W^T = VI``; standardized Euclidean is the same with a diagonal VI. Cosine distance lives
on rows of length 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from scipy.spatial.distance import cdist
from sklearn.preprocessing import normalize

from fastsil.engines.scaling import is_ordinary, largest_magnitude, near_one
from fastsil.runtime.memory import require
from fastsil.runtime.sklearn_compat import InvalidParameterError
from fastsil.runtime.temporary_arrays import write_array, write_through

# Below this share of the largest eigenvalue, an eigenvalue of a covariance is rounding.
_SINGULAR = 1e-13
_CHUNK_BYTES = 4 << 20
# In so few features a copy in float64 takes 100 bytes a sample at most, and clusters are often so near to each
# other that float32 does not do, and the work would be done twice.
_FEW_FEATURES = 12
# Samples from which the location of the data is taken.
_TYPICAL_ROWS = 1001
# Magnitudes whose differences have variances, and products of these, within the range of float64.
_ORDINARY = (1e-60, 1e60)
_WORDS = (
    "X after the linear map of the metric takes %.1f GiB, which do not fit in memory; it is written to a temporary "
    "file in %s."
)

Result = TypeVar("Result")


def unit_rows(X: NDArray[Any]) -> NDArray[Any]:
    """Scale rows to length 1; a row of zeros stays."""
    X = np.asarray(X)
    largest = np.abs(X).max(axis=1, keepdims=True)
    largest[largest == 0] = 1
    # Scaled by the largest entry first: squares then neither overflow nor vanish.
    scaled = X / largest
    norms = np.sqrt(np.einsum("ij,ij->i", scaled, scaled, dtype=np.float64))[:, None]
    norms[norms == 0] = 1
    return np.asarray(scaled / norms, dtype=X.dtype)


def directions(X: Any, *, centered: bool = False) -> Any:
    """Scale rows to length 1, dense or sparse, where cosine distance is half the square of the Euclidean one.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Samples.
    centered : bool, default=False
        Take the mean of each row off before, for correlation; dense X only.
    """
    if issparse(X):
        return normalize(X)
    return unit_rows(X - X.mean(axis=1, keepdims=True, dtype=X.dtype) if centered else X)


def mahalanobis_map(
    X: NDArray[Any],
    *,
    V: NDArray[Any] | None = None,
    VI: NDArray[Any] | None = None,
    sample_weight: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Compute W of shape (n_features, n_features) with ``W W^T = VI``.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Data; its covariance (n - 1 in the denominator) is the default for ``V``.
    V : array-like of shape (n_features, n_features), optional
        Covariance, to be inverted.
    VI : array-like of shape (n_features, n_features), optional
        Inverse covariance. Wins over ``V``.
    sample_weight : ndarray of shape (n_samples,), optional
        How often each sample counts in the covariance of the data.

    Raises
    ------
    ValueError
        If a matrix has the wrong shape, is not finite, or has a negative eigenvalue.
    numpy.linalg.LinAlgError
        If a covariance has no inverse (a ValueError too).
    """
    n_features = X.shape[1]
    if VI is not None:
        values, vectors = _spectrum(VI, "VI", n_features)
        return vectors * np.sqrt(np.maximum(values, 0.0))
    of_data = V is None
    name = "the covariance of X" if of_data else "V"
    if of_data:
        V = measure_spread(X, "mahalanobis", sample_weight)
    values, vectors = _spectrum(V, name, n_features)
    if values[0] <= _SINGULAR * n_features * values[-1]:
        raise np.linalg.LinAlgError(
            f"Singular matrix: {name} has no inverse (smallest eigenvalue {values[0]:.3g}, largest "
            f"{values[-1]:.3g}). Drop constant or repeated features, reduce X by PCA, or pass VI=numpy.linalg.pinv("
            f"{'numpy.cov(X.T)' if of_data else 'V'})."
        )
    return vectors / np.sqrt(values)


def whiten_own_subspace(X: NDArray[Any], sample_weight: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Compute W of shape (n_features, rank) whose product ``W W^T`` is an inverse of the covariance where X spreads.

    For differences of samples, which lie in the subspace of the data, every generalized inverse gives one distance.

    Raises
    ------
    numpy.linalg.LinAlgError
        If the distances between all samples would be equal (a ValueError too).
    """
    n_features = X.shape[1]
    n_samples = len(X) if sample_weight is None else int(np.count_nonzero(sample_weight))
    covariance = measure_spread(X, "mahalanobis", sample_weight)
    # Features at one scale: a small feature is not taken for rounding of a large one.
    deviations = np.sqrt(covariance.diagonal())
    scale = np.divide(1.0, deviations, out=np.zeros(n_features), where=deviations > 0)
    values, vectors = _spectrum(scale[:, None] * covariance * scale, "the correlation of X", n_features)
    kept = values > _SINGULAR * n_features * max(values[-1], 0.0)
    rank = int(kept.sum())
    if rank >= n_samples - 1:
        raise np.linalg.LinAlgError(
            f"the covariance of {n_samples:,} samples of {n_features:,} features has rank {rank:,}: after whitening "
            f"all samples are equally far from each other. Reduce X by PCA to far fewer than {n_samples:,} components."
        )
    if rank == 0:
        raise np.linalg.LinAlgError(
            f"the covariance of X has rank 0 of {n_features:,} features: all samples are the same."
        )
    return np.asarray(scale[:, None] * vectors[:, kept] / np.sqrt(values[kept]))


def seuclidean_map(
    X: NDArray[Any], *, V: NDArray[Any] | None = None, sample_weight: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Scale of each feature, shape (n_features,), that makes standardized Euclidean plain Euclidean.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Data; its variances (n - 1 in the denominator) are the default for ``V``.
    V : array-like of shape (n_features,), optional
        Variances.
    sample_weight : ndarray of shape (n_samples,), optional
        How often each sample counts in the variances of the data.

    Raises
    ------
    ValueError
        If V has the wrong shape or a value that is not positive.
    """
    given = V is not None
    variances = np.asarray(V if given else measure_spread(X, "seuclidean", sample_weight), dtype=np.float64)
    if variances.shape != (X.shape[1],):
        raise ValueError(f"V has shape {variances.shape}; pass one variance per feature, shape ({X.shape[1]},).")
    wrong = ~(np.isfinite(variances) & (variances > 0))
    if wrong.any():
        column = int(wrong.argmax())
        raise ValueError(
            f"the variance of feature {column} is {variances[column]:g}; seuclidean divides by it. "
            "Drop constant features" + (" or correct V." if given else " or pass V=.")
        )
    return np.asarray(1.0 / np.sqrt(variances))


def measure_spread(
    X: NDArray[Any], metric: str, sample_weight: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return what ``V`` is by default: the covariance for Mahalanobis, the variances for standardized Euclidean.

    With weights, what it is where each sample occurs as often as its weight says.

    Raises
    ------
    ValueError
        If the weights add up to 1 at most.
    """
    total = len(X) if sample_weight is None else float(sample_weight.sum())
    if sample_weight is not None and total <= 1:
        raise ValueError(
            f"sample_weight adds up to {total:g}; metric={metric!r} divides the scatter of X by one less. Pass larger "
            "weights, or V=."
        )
    return _scatter(X, of_pairs=metric == "mahalanobis", weights=sample_weight) / (total - 1)


def make_weight_factors(w: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    """Scale of each feature that makes ``w |x - y|^power`` the power of a plain difference.

    Parameters
    ----------
    w : ndarray of shape (n_features,)
        Weights.
    power : float
        Positive. For infinity, the largest difference, weights mean what they mean in the installed SciPy: factors, or
        a choice of the features whose weight is positive.
    """
    if math.isinf(power):
        multiplied = cdist([[0.0]], [[1.0]], "chebyshev", w=[2.0])[0, 0] == 2.0
        return w if multiplied else (w > 0).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(w ** (1.0 / power))


class MappedData(NamedTuple):
    """Samples, and a linear map after which their Euclidean distances are those of a metric; applied when asked.

    Attributes
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Samples before the map.
    W : ndarray, optional
        As :func:`apply_map` takes it; without it X stays as it is.
    """

    X: Any
    W: NDArray[np.float64] | None = None

    def compute(self, dtype: Any = np.float64) -> Any:
        """Return the samples after the map, rounded to a type once."""
        return self.X if self.W is None else apply_map(self.X, self.W, dtype=dtype)

    def compute_in_single(self) -> NDArray[np.float32] | None:
        """Return float32 samples after the map in float32; None where they are worth no second attempt in float64, or
        would overflow.
        """
        if self.W is None or self.X.dtype != np.float32 or self.X.shape[1] <= _FEW_FEATURES:
            return None
        with np.errstate(over="ignore"):
            mapped = apply_map(self.X, self.W, dtype=np.float32)
        return mapped if is_ordinary(largest_magnitude(mapped), mapped.dtype) else None

    def take(self, rows: NDArray[np.intp]) -> MappedData:
        """Return some of the samples, with the map of all."""
        return self._replace(X=self.X[rows])


def run_mapped(
    data: MappedData, run: Callable[[Any], Result], is_harmless: Callable[[NDArray[np.float32], Result], bool]
) -> Result:
    """Run a computation after the map: of float32 data in float32, for half the memory, unless that would cost digits.

    Parameters
    ----------
    data : MappedData
        Samples and map.
    run : callable
        Computes from samples after the map.
    is_harmless : callable
        Whether a result of samples that were rounded to float32 is certain to be right.
    """
    mapped = data.compute_in_single()
    if mapped is not None:
        found = run(mapped)
        if is_harmless(mapped, found):
            return found
        del mapped, found
    return run(data.compute())


def whiten(X: NDArray[Any], V: Any = None, VI: Any = None, *, sample_weight: Any = None) -> MappedData:
    """Find the map after which Euclidean distances are the Mahalanobis distances of X."""
    if V is None and VI is None:
        X = scale_to_ordinary(X)
    return MappedData(X, mahalanobis_map(X, V=V, VI=VI, sample_weight=sample_weight))


def standardize(X: NDArray[Any], V: Any = None, *, sample_weight: Any = None) -> MappedData:
    """Find the map after which Euclidean distances are the standardized Euclidean distances of X."""
    if V is None:
        X = scale_to_ordinary(X)
    return MappedData(X, seuclidean_map(X, V=V, sample_weight=sample_weight))


def apply_map(X: NDArray[Any], W: NDArray[np.float64], *, dtype: Any = np.float64) -> NDArray[Any]:
    """Compute ``(X - center) W`` in float64, chunk by chunk; a W of one dimension scales the features.

    The row that is subtracted is not the mean but :func:`typical_row`: distances do not depend on it, and it keeps
    digits that an offset would cost, or a mean far from the data because of a few outliers.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples.
    W : ndarray of shape (n_features, n_mapped) or (n_features,)
        The map.
    dtype : dtype, default=float64
        Type that each value of the result is rounded to, once. A result that does not fit in memory is mapped
        from a temporary file.
    """
    shape = len(X), W.shape[-1]
    try:
        require(
            float(np.dtype(dtype).itemsize) * shape[0] * shape[1],
            "X after the linear map of the metric",
            "Score a part of it, or map and reduce the data yourself (by PCA, in float32) and take metric='euclidean'.",
        )
    except MemoryError:

        def write(file: IO[bytes]) -> None:
            for _, chunk in _map_chunks(X, W, dtype):
                file.write(chunk.astype(dtype).data)
                write_through(file)

        on_disk = write_array(write, shape, dtype, near=X, words=_WORDS)
        if on_disk is None:
            raise
        return on_disk
    mapped = np.empty(shape, dtype)
    for rows, chunk in _map_chunks(X, W, dtype):
        mapped[rows] = chunk
    return mapped


def _map_chunks(X: NDArray[Any], W: NDArray[np.float64], dtype: Any) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield rows and their mapped values in float64, which are near 0 where they are rounded to less."""
    center = typical_row(X)
    # What is typical of single features can be far from the data in the directions in which they spread least.
    middle = 0.0 if dtype == np.float64 else typical_row(_map_rows(X[:: _typical_step(X)], center, W))
    step = max(1, _CHUNK_BYTES // (8 * X.shape[1]))
    for start in range(0, len(X), step):
        rows = slice(start, start + step)
        mapped = _map_rows(X[rows], center, W)
        mapped -= middle
        yield rows, mapped


def _map_rows(rows: NDArray[Any], center: NDArray[np.float64], W: NDArray[np.float64]) -> NDArray[np.float64]:
    centered = rows - center
    return np.multiply(centered, W, out=centered) if W.ndim == 1 else np.asarray(centered @ W)


def _scatter(X: NDArray[Any], *, of_pairs: bool, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Sum over the samples of u uᵀ, or of u² only, for u = x - mean; chunk by chunk, in float64."""
    # Relative to a typical row first: the mean of data far from 0 is rounded.
    typical = typical_row(X)
    step = max(1, _CHUNK_BYTES // (8 * X.shape[1]))
    chunks = [slice(start, start + step) for start in range(0, len(X), step)]
    if weights is None:
        mean = sum((X[rows] - typical).sum(axis=0) for rows in chunks) / len(X)
    else:
        mean = sum(weights[rows] @ (X[rows] - typical) for rows in chunks) / weights.sum()
    total = np.zeros((X.shape[1],) * (2 if of_pairs else 1))
    for rows in chunks:
        centered = (X[rows] - typical) - mean
        if weights is not None:
            centered *= np.sqrt(weights[rows])[:, None]
        total += centered.T @ centered if of_pairs else np.einsum("ij,ij->j", centered, centered)
    return total


def typical_row(X: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the median of each feature over some of the samples."""
    return np.asarray(np.median(X[:: _typical_step(X)].astype(np.float64), axis=0))


def _typical_step(X: NDArray[Any]) -> int:
    return -(-len(X) // _TYPICAL_ROWS)


def scale_to_ordinary(X: NDArray[Any]) -> NDArray[Any]:
    """Return X, or X times a power of two if squares of its differences would leave the range of float64."""
    low, high = _ORDINARY
    if X.dtype != np.float64 or low <= (largest_magnitude(X) or 1.0) <= high:
        return X
    return np.asarray(near_one(X)[0])


def _spectrum(matrix: Any, name: str, n_features: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.shape != (n_features, n_features):
        raise InvalidParameterError(
            f"{name} has shape {matrix.shape}; X has {n_features} features, so pass ({n_features}, {n_features})."
        )
    if not np.isfinite(matrix).all():
        raise InvalidParameterError(f"{name} contains NaN or infinity.")
    # Only the symmetric part enters a quadratic form.
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    if values[0] < -1e-10 * max(values[-1], 0.0) - np.finfo(float).tiny:
        raise InvalidParameterError(
            f"{name} has a negative eigenvalue ({values[0]:.3g}); distances need a positive semi-definite matrix."
        )
    return values, vectors

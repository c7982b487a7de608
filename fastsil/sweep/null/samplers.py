"""Sets without clusters: Gaussian ones of the data's mean and covariance, or uniform over a box around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

REFERENCES = ("gaussian", "uniform")


def draw_gaussian(X: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    """Draw Gaussian samples whose mean and covariance are exactly those of X.

    The left singular vectors of the centered samples are replaced by random orthonormal ones. Given their mean and
    covariance, Gaussian samples have just this law, for any covariance, so that a test against such sets is exact:
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
    >>> from fastsil.sweep.null import draw_gaussian
    >>> random = np.random.default_rng(0)
    >>> X = random.exponential(size=(50, 3))
    >>> np.allclose(np.cov(draw_gaussian(X, random).T), np.cov(X.T))
    True
    """
    return drawer(X, "gaussian")(random)


def draw_uniform(X: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    """Draw samples uniform over the box around X along its principal axes, as the gap statistic has them.

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
    return drawer(X, "uniform")(random)


def drawer(X: NDArray[Any], reference: str) -> Callable[[np.random.Generator], NDArray[Any]]:
    """Return a function that draws sets from a null reference; work common to all of them is done once."""
    mean = X.mean(axis=0, dtype=np.float64)
    left, singular, axes = np.linalg.svd(X - mean, full_matrices=False)
    # Centered samples have one dimension less than there are samples; the last one is rounding.
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
    """Draw orthonormal columns that sum to 0, uniformly at random.

    References
    ----------
    F. Mezzadri (2007), "How to generate random matrices from the classical compact groups", Notices of the AMS 54.
    """
    normals = random.standard_normal((n_samples, n_columns))
    normals -= normals.mean(axis=0)
    q, r = np.linalg.qr(normals)
    # LAPACK's signs depend on the normals; with a positive diagonal of R the law is uniform.
    return np.asarray(q * np.where(np.diag(r) < 0, -1.0, 1.0))

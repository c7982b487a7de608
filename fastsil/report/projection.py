"""The plane in which samples differ most, for a map: the first two principal components of some of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

# More dots than this hide each other on a picture of a few inches.
_MAX_DOTS = 3000

# Sparse samples of more values than this (128 MiB) are left sparse, for a solver that fails on samples that are equal.
_MAX_DENSE = 2**24


@dataclass(frozen=True, eq=False)
class Plane:
    """Some samples in the plane of their first two principal components.

    Attributes
    ----------
    rows : ndarray of shape (n_drawn,)
        Which samples those are.
    coordinates : ndarray of shape (n_drawn, 2)
        Their places, in the units of the data.
    share : float
        Share of their variance that lies in the plane, 0 to 1.
    n_samples : int
        Number of samples that they were drawn from.
    """

    rows: NDArray[np.intp]
    coordinates: NDArray[np.float64]
    share: float
    n_samples: int


def principal_plane(X: Any) -> Plane:
    """Project at most 3,000 samples, drawn with a fixed seed, to their first two principal components.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n_samples, n_features)
        Samples, at least two.

    Returns
    -------
    Plane
        Of one feature only, the second coordinate is 0.

    Examples
    --------
    >>> import numpy as np
    >>> plane = principal_plane(np.array([[0.0, 0, 1], [1, 0, 1], [3, 0, 1]]))
    >>> plane.coordinates.shape, round(plane.share, 6)
    ((3, 2), 1.0)
    """
    from sklearn.decomposition import PCA

    n_samples, n_features = X.shape
    rows = np.arange(n_samples)
    if n_samples > _MAX_DOTS:
        rows = np.sort(np.random.default_rng(0).choice(n_samples, _MAX_DOTS, replace=False))
    drawn = X[rows].astype(np.float64)
    # Scaled, so that squares neither overflow nor vanish.
    scale = float(abs(drawn).max()) or 1.0
    drawn /= scale
    sparse = bool(issparse(drawn))
    wide = sparse and drawn.shape[0] * drawn.shape[1] > _MAX_DENSE
    if sparse and not wide:
        drawn = drawn.toarray()
    pca = PCA(min(2, n_features, len(rows)), svd_solver="arpack" if wide else "auto", random_state=0)
    # Samples that are all equal have no variance to take a share of.
    with np.errstate(invalid="ignore"):
        places = pca.fit_transform(drawn)
    coordinates = np.zeros((len(rows), 2))
    coordinates[:, : places.shape[1]] = places * scale
    return Plane(rows, coordinates, float(np.nan_to_num(pca.explained_variance_ratio_.sum())), n_samples)

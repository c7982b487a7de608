"""Whether two Gaussians fit samples better than one, along an axis in which they spread.

Few samples of many features show clusters so before k-means finds them.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from fastsil.engines.scaling import near_one

# Two clusters that lie apart spread along the first axis, and along the second where something else spreads more.
_AXES = 2
# Compared with the largest magnitude, a spread of this size is rounding.
_ROUNDING = 1e-12


def mixture_gain(X: NDArray[Any]) -> float:
    """Compute the log-likelihood that a mixture of two Gaussians gains over one, along a principal axis.

    The Gaussians have one variance and any weights; of the first two axes the one with the larger gain counts. Sets of
    equal mean and covariance can differ along a principal axis in their shape only, and few axes are examined: in
    clusters that k-means cuts from noise of many features, chance shows through much more.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Samples, dense.

    Returns
    -------
    float
        In nats; 0 where one Gaussian fits as well.

    Examples
    --------
    >>> import numpy as np
    >>> from fastsil.sweep.null import mixture_gain
    >>> random = np.random.default_rng(0)
    >>> one = random.normal(size=(200, 5))
    >>> two = one + np.repeat([[0], [4]], [40, 160], axis=0) * [1, 0, 0, 0, 0]
    >>> mixture_gain(one) < 5 < 20 < mixture_gain(two)
    True
    """
    values, _ = near_one(X)
    values -= values.mean(axis=0)
    # Relative to the largest deviation, so that squares are of ordinary size for all data.
    largest = np.abs(values).max()
    if largest <= _ROUNDING:
        return 0.0
    values /= largest
    along = PCA(min(_AXES, *values.shape), random_state=0).fit_transform(values)
    return max(_gain_along(column) for column in along.T)


def _gain_along(values: NDArray[np.float64]) -> float:
    spread = values.std()
    if spread <= _ROUNDING:
        return 0.0
    standardized = (values / spread)[:, None]
    of_one = -0.5 * (np.log(2 * np.pi) + 1)
    two = GaussianMixture(2, covariance_type="tied", tol=1e-4, random_state=0)
    with warnings.catch_warnings():
        # A few iterations less do not change the comparison.
        warnings.simplefilter("ignore", ConvergenceWarning)
        of_two = two.fit(standardized).score(standardized)
    return float(max(0.0, len(values) * (of_two - of_one)))

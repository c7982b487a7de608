"""Labelled data for Hypothesis: small, and full of what breaks silhouettes.

Hypothesis draws the structure (how many rows, which clumps, which offset), and a seed draws the digits: that finds
numerical accidents quickly and still shrinks to something readable. `labeled_data` mixes

* clumps of very different tightness that do not follow the labels (near-duplicates far from their cluster's center),
* offsets large compared with the spread, and overall scales,
* exact duplicates, ties on a grid of integers, constant columns, rows of zeros,
* singletons, and any number of clusters from 2 to n - 1.
"""

from __future__ import annotations

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np

MAX_SAMPLES = 32
MAX_FEATURES = 9
# Decimal exponents of the overall scale.
SCALES = st.integers(-6, 6)


@st.composite
def labels(draw, n_samples: int) -> np.ndarray:
    """Codes with 2 to n_samples - 1 distinct values, in any order, not necessarily without gaps."""
    n_clusters = draw(st.integers(2, n_samples - 1))
    # One of each, so that every cluster occurs; what is drawn for the rest decides the sizes.
    rest = draw(
        st.lists(st.integers(0, n_clusters - 1), min_size=n_samples - n_clusters, max_size=n_samples - n_clusters)
    )
    codes = np.array([*range(n_clusters), *rest])
    return codes[draw(st.permutations(range(n_samples)))] if draw(st.booleans()) else codes


def seeds():
    return st.integers(0, 2**32 - 1)


@st.composite
def grid_points(draw, n_samples: int, n_features: int) -> np.ndarray:
    """Integers from -3 to 3: ties, duplicates and rows of zeros everywhere."""
    return draw(hnp.arrays(np.float64, (n_samples, n_features), elements=st.integers(-3, 3).map(float)))


@st.composite
def clumped_points(draw, n_samples: int, n_features: int) -> np.ndarray:
    """Clumps of radius 1e-6 to 1 whose centers are 1e-3 to 1e3 apart."""
    rng = np.random.default_rng(draw(seeds()))
    n_clumps = draw(st.integers(1, 4))
    centers = rng.normal(size=(n_clumps, n_features)) * 10.0 ** rng.integers(-3, 4, size=(n_clumps, 1))
    clump = rng.integers(n_clumps, size=n_samples)
    radii = 10.0 ** rng.integers(-6, 1, size=n_clumps)
    return centers[clump] + rng.normal(size=(n_samples, n_features)) * radii[clump, None]


@st.composite
def points(draw, n_samples: int, n_features: int, *, scales=SCALES) -> np.ndarray:
    X = draw(st.one_of(grid_points(n_samples, n_features), clumped_points(n_samples, n_features)))
    if draw(st.booleans()):
        X = X[draw(st.lists(st.integers(0, n_samples - 1), min_size=n_samples, max_size=n_samples))]
    if draw(st.booleans()):
        X[:, draw(st.integers(0, n_features - 1))] = draw(st.sampled_from([0.0, 1.0, -7.5]))
    if draw(st.booleans()):
        X[draw(st.integers(0, n_samples - 1))] = 0.0
    X = X + draw(st.sampled_from([0.0, 0.0, 1.0, -1e4]))
    return X * 10.0 ** draw(scales)


@st.composite
def labeled_data(draw, *, dtype=np.float64, min_samples=3, **points_kwargs) -> tuple[np.ndarray, np.ndarray]:
    """(X of ``dtype``, labels); what the type rounds away is gone from X, for fastsil and for the reference alike."""
    n_samples = draw(st.integers(min_samples, MAX_SAMPLES))
    n_features = draw(st.integers(1, MAX_FEATURES))
    X = draw(points(n_samples, n_features, **points_kwargs))
    return X.astype(dtype), draw(labels(n_samples))

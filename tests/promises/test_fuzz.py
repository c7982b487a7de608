"""Drawn calls of the public functions on drawn data of any type, scale and structure, against the naive reference.

A result is right, or an error says why there is none: nothing else may happen. In each example the same data go through
every metric and every function, so that 100,000 cases are soon run:

    FASTSIL_HYPOTHESIS=long FASTSIL_EXAMPLES=6000 .venv/bin/pytest tests/promises/test_fuzz.py
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import event, given
from hypothesis import strategies as st

import reference
from assertions import assert_same_bits, tolerance_of
from fastsil import silhouette_profile, silhouette_samples, silhouette_samples_many, silhouette_score
from strategies import seeds

pytestmark = [
    pytest.mark.skipif(np.finfo(np.longdouble).maxexp < 2000, reason="the truth needs a wider range than float64"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

METRICS = [
    "euclidean",
    "sqeuclidean",
    "manhattan",
    "chebyshev",
    "hamming",
    "canberra",
    "braycurtis",
    "cosine",
    "correlation",
    "seuclidean",
    "mahalanobis",
]
SPARSE = ["euclidean", "sqeuclidean", "manhattan", "cosine"]
# Decimal exponents, and the largest value.
TYPES = {
    np.float64: (300, 1.7e308),
    np.float32: (36, 3e38),
    np.float16: (3, 6e4),
    np.int64: (9, 9e18),
    np.int8: (0, 127),
    bool: (0, 1),
}
# Where all that is compared is rounding: rows this near to parallel, covariances this near to singular.
ANGLE, CONDITION = 1e-3, 1e6


@st.composite
def drawn_data(draw):
    """Few decisions, many digits: structure is drawn, numbers come from a seed."""
    rng = np.random.default_rng(draw(seeds()))
    n_samples, n_features = draw(st.integers(3, 24)), draw(st.integers(1, 8))
    n_clusters = draw(st.integers(2, n_samples - 1))
    labels = rng.permutation(np.r_[np.arange(n_clusters), rng.integers(n_clusters, size=n_samples - n_clusters)])
    kind = draw(st.sampled_from(["grid", "normal", "clumps", "constant", "outlier"]))
    X = rng.integers(-3, 4, size=(n_samples, n_features)).astype(float)
    if kind in ("normal", "outlier"):
        X = rng.normal(size=X.shape)
    elif kind == "clumps":
        X = X[rng.integers(n_samples, size=n_samples)] + rng.normal(size=X.shape) * 10.0 ** rng.integers(-9, 1)
    elif kind == "constant":
        X[:] = X[0]
    if kind == "outlier":
        X[0] *= 10.0 ** rng.integers(1, 20)
    if draw(st.booleans()):
        X[rng.integers(n_samples, size=rng.integers(1, n_samples))] = 0.0
    if draw(st.booleans()):
        X[:, rng.integers(n_features)] = -7.5
    if draw(st.booleans()):
        X = X + 10.0 ** rng.integers(0, 7)
    dtype = draw(st.sampled_from(list(TYPES)))
    exponent, largest = TYPES[dtype]
    with np.errstate(all="ignore"):
        X = np.clip(X * 10.0 ** draw(st.integers(-exponent, exponent)), -largest, largest).astype(dtype)
    return X, labels, draw(st.integers(1, 3))


def truth(X, labels, metric):
    """Silhouettes, and what max(a, b) is for each."""
    wide = reference.pairwise_distances(X, metric)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    sizes, codes = np.array([len(rows) for rows in members]), np.unique(labels, return_inverse=True)[1]
    sums, rows = np.stack([wide[:, some].sum(axis=1) for some in members], axis=1), np.arange(len(labels))
    a = sums[rows, codes] / np.maximum(sizes[codes] - 1, 1)
    means = sums / sizes
    means[rows, codes] = np.inf
    # As NumPy's minimum, so that a distance that is no number shows.
    b = means.min(axis=1)
    larger = np.maximum(a, b)
    silhouettes = np.where(sizes[codes] > 1, (b - a) / np.where(larger > 0, larger, 1), 0)
    return np.where(np.isnan(silhouettes), 0, silhouettes), larger


def may_be_refused(X, metric, error):
    wide = X.astype(np.longdouble)
    if "have no digits left" in str(error) or "too short to have a direction" in str(error):
        return wide.any() and np.abs(wide).max() / np.abs(wide[wide != 0]).min() > 1e4
    if metric == "correlation":
        return (np.ptp(wide - wide[:, :1], axis=1) <= np.abs(wide).max(axis=1) * 1e-15).any()
    if metric == "seuclidean":
        return (np.ptp(wide, axis=0) <= np.abs(wide).max(axis=0) * 1e-15).any()
    return metric == "mahalanobis" and condition(wide) > CONDITION


def condition(wide):
    centered = wide - wide.mean(axis=0)
    largest = np.abs(centered).max()
    if largest == 0:
        return np.inf
    singular = np.linalg.svd((centered / largest).astype(float), compute_uv=False)
    return np.inf if len(wide) <= wide.shape[1] or singular[-1] == 0 else (singular[0] / singular[-1]) ** 2


def outcome(X, labels, metric, n_jobs):
    """Silhouettes, or None where there is a reason for the error."""
    try:
        return silhouette_samples(X, labels, metric=metric, n_jobs=n_jobs)
    except ValueError as error:
        if not may_be_refused(X.toarray() if scipy.sparse.issparse(X) else X, metric, error):
            raise
        event(f"{metric} refused")
        return None


def assert_right(found, X, labels, metric):
    expected, larger = truth(X, labels, metric)
    compared = np.ones(len(labels), dtype=bool)
    if metric in ("cosine", "correlation"):
        compared = larger > ANGLE
    if metric == "correlation":
        # Rows whose spread is rounding have a direction of rounding.
        wide = X.astype(np.longdouble)
        compared &= (np.ptp(wide, axis=1) > 1e-5 * np.abs(wide).max(axis=1)).all()
    if metric == "mahalanobis":
        compared &= condition(X.astype(np.longdouble)) < CONDITION
    tolerance = tolerance_of(X.dtype) * (100 if metric in ("mahalanobis", "correlation") else 1)
    np.testing.assert_allclose(
        found[compared], expected[compared].astype(float), rtol=0, atol=tolerance, err_msg=metric
    )


@given(drawn_data())
def test_every_call_is_right_or_refused_hypothesis(data):
    X, labels, n_jobs = data
    for metric in METRICS:
        found = outcome(X, labels, metric, n_jobs)
        if found is None:
            continue
        assert_right(found, X, labels, metric)
        profile = silhouette_profile(X, labels, metric=metric, n_jobs=1)
        assert_same_bits(profile.silhouettes, found)
        assert not np.isnan(profile.a).any() or metric == "braycurtis"
    for metric in SPARSE if X.dtype in (np.float32, np.float64) else ():
        found = outcome(scipy.sparse.csr_array(X), labels, metric, n_jobs)
        if found is not None and metric != "euclidean":  # scikit-learn's products lose digits
            assert_right(found, X, labels, metric)
    found = outcome(X, labels, "euclidean", n_jobs)
    if found is None:
        return
    for average, expected in (
        ("micro", found.mean(dtype=float)),
        ("macro", np.mean([found[labels == label].mean(dtype=float) for label in np.unique(labels)])),
    ):
        assert silhouette_score(X, labels, average=average) == pytest.approx(expected, abs=1e-6)
    both = silhouette_samples_many(X, [labels, labels[::-1]], n_jobs=n_jobs)
    np.testing.assert_allclose(both[0], found, rtol=0, atol=2 * tolerance_of(X.dtype))
    left_out = np.append(labels, -1), np.concatenate([X, X[:1]])
    ignoring = silhouette_samples(left_out[1], left_out[0], ignore_label=-1, n_jobs=n_jobs)
    assert np.isnan(ignoring[-1])
    np.testing.assert_allclose(ignoring[:-1], found, rtol=0, atol=tolerance_of(X.dtype))

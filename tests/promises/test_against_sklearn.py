"""scikit-learn's silhouettes and ours, side by side on drawn calls: the same numbers, or the same kind of error.

The data are benign (scikit-learn itself loses digits on offsets); the drawn part is the way of calling: metric, type,
container, labels. What is wrong with a call is drawn too.
"""

import importlib.util
import tempfile

import numpy as np
import pytest
import scipy.sparse
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

import fastsil
from assertions import TOLERANCE, assert_like_sklearn, outcome

METRICS = [
    *("euclidean", "l2", "cosine", "mahalanobis", "seuclidean"),
    *("manhattan", "l1", "cityblock", "sqeuclidean", "correlation", "chebyshev"),
    *("canberra", "braycurtis", "minkowski", "hamming"),
]
# scikit-learn's own rounding on top of ours: its float32 distances are sums in float64, rounded to float32.
ATOL = {np.dtype(np.float32): 2e-5, np.dtype(np.float64): 1e-9}
assert all(ATOL[dtype] > TOLERANCE[dtype] for dtype in TOLERANCE)


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def mapped(X):
    with tempfile.TemporaryFile() as file:
        mapping = np.memmap(file, dtype=X.dtype, shape=X.shape)
    mapping[:] = X
    return mapping


CONTAINERS = {
    "array": np.asarray,
    "Fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=0)[::2],
    "list": lambda X: X.tolist(),
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "read-only": read_only,
    "mapped": mapped,
    "masked": np.ma.masked_array,
    "csr": scipy.sparse.csr_array,
    "csc": scipy.sparse.csc_array,
    "coo": scipy.sparse.coo_array,
    "csr matrix": scipy.sparse.csr_matrix,
    "csc matrix": scipy.sparse.csc_matrix,
    "coo matrix": scipy.sparse.coo_matrix,
}
LABELINGS = {
    "integers": lambda codes: codes,
    "list": lambda codes: codes.tolist(),
    "strings": lambda codes: np.array([f"cluster {code}" for code in codes]),
    "objects": lambda codes: np.array([f"cluster {code}" for code in codes], dtype=object),
    "floats": lambda codes: codes / 2,
    "negative": lambda codes: -codes,
    "far apart": lambda codes: codes * 10**9,
    "booleans": lambda codes: codes % 2 == 0,
    "big-endian": lambda codes: codes.astype(">i8"),
    "masked": np.ma.masked_array,
}
if importlib.util.find_spec("pandas"):
    import pandas as pd

    CONTAINERS["pandas"] = pd.DataFrame
    LABELINGS["pandas"] = lambda codes: pd.Series(codes, index=codes[::-1])
    LABELINGS["categories"] = lambda codes: pd.Series([f"cluster {code}" for code in codes], dtype="category")
if importlib.util.find_spec("polars"):
    import polars as pl

    CONTAINERS["polars"] = lambda X: pl.DataFrame({f"feature {j}": column for j, column in enumerate(X.T)})
    LABELINGS["polars"] = pl.Series


@st.composite
def calls(draw):
    """(X, labels, metric) of a call that both should take, unless the metric does not suit the container."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_samples, n_features = draw(st.integers(8, 40)), draw(st.integers(1, 6))
    n_clusters = draw(st.integers(2, n_samples - 1))
    codes = rng.permutation(np.arange(n_samples) % n_clusters)
    X = rng.normal(size=(n_samples, n_features)) + codes[:, None]
    dtype = draw(st.sampled_from([np.float32, np.float64, np.int32, np.uint8, bool]))
    X = (X > 1) if dtype is bool else np.abs(20 * X).astype(dtype) if np.dtype(dtype).kind in "iu" else X.astype(dtype)
    return (
        CONTAINERS[draw(st.sampled_from(sorted(CONTAINERS)))](X),
        LABELINGS[draw(st.sampled_from(sorted(LABELINGS)))](codes),
        draw(st.sampled_from(METRICS)),
    )


def assert_same_outcome(ours, theirs, X=None):
    assert_like_sklearn(ours, theirs, atol=ATOL[np.dtype(np.float32 if _is_single(X) else np.float64)])


def _is_single(X):
    return (X.dtype if scipy.sparse.issparse(X) else np.asarray(X).dtype).newbyteorder("=") == np.float32


def _for_scikit_learn(X, metric):
    """Sparse X made dense for two metrics that take it here and that scikit-learn leaves to SciPy, which does not."""
    return X.toarray() if scipy.sparse.issparse(X) and metric in ("sqeuclidean", "correlation") else X


def _divides_by_zero(X, metric):
    """Correlation has no value for a row that is constant, standardized distance none for such a feature."""
    axis = {"correlation": 1, "seuclidean": 0}.get(metric)
    if axis is None or scipy.sparse.issparse(X):
        return False
    return (np.ptp(np.asarray(X, dtype=float), axis=axis) == 0).any()


def _is_resolved(call):
    """Whether a and b are far enough from rounding for s to be compared (parallel rows under cosine are not)."""
    profile = fastsil.silhouette_profile(call[0], call[1], metric=call[2])
    # Cosine distances of scikit-learn are off by about eps, whatever their size. A distance that is no number is no
    # excuse: it is compared.
    resolution = 1e-2 if _is_single(call[0]) else 1e-6
    return ~(np.maximum(profile.a, profile.b) <= resolution)


@given(calls())
def test_samples_hypothesis(call):
    X, labels, metric = call
    ours = outcome(fastsil.silhouette_samples, X, labels, metric=metric)
    theirs = outcome(sklearn.metrics.silhouette_samples, _for_scikit_learn(X, metric), labels, metric=metric)
    if metric == "mahalanobis" and scipy.sparse.issparse(X):
        # scikit-learn stumbles over NumPy's covariance of one sparse column.
        assert isinstance(ours, TypeError)
        assert isinstance(theirs, Exception)
        return
    if _divides_by_zero(_for_scikit_learn(X, metric), metric):
        # One such row or feature makes all silhouettes of scikit-learn 0; here it is an error that says where it is.
        assert isinstance(ours, ValueError)
        np.testing.assert_array_equal(theirs, 0)
        return
    if metric == "mahalanobis" and isinstance(ours, np.linalg.LinAlgError):
        # What scikit-learn gives for a singular covariance is an error or made of rounding.
        assert np.linalg.cond(np.atleast_2d(np.cov(np.asarray(X, dtype=float), rowvar=False))) > 1e10
        return
    if metric == "mahalanobis" and np.shape(X)[1] == 1 and not scipy.sparse.issparse(X):
        # Distances over the deviation. scikit-learn stumbles over NumPy's covariance of one column, a scalar.
        theirs = outcome(sklearn.metrics.silhouette_samples, X, labels)
    if not isinstance(ours, Exception) and not isinstance(theirs, Exception):
        resolved = _is_resolved(call)
        ours, theirs = ours[resolved], theirs[resolved]
    assert_same_outcome(ours, theirs, X)


@given(calls(), st.integers(1, 45), st.integers(0, 9))
def test_score_of_a_subset_hypothesis(call, sample_size, random_state):
    X, labels, metric = call
    if metric in ("mahalanobis", "seuclidean", "cosine", "correlation"):
        metric = "euclidean"  # a few rows may have no covariance, or be parallel: noise, not a difference
    params = {"metric": metric, "sample_size": sample_size, "random_state": random_state}
    assert_same_outcome(
        outcome(fastsil.silhouette_score, X, labels, **params),
        outcome(sklearn.metrics.silhouette_score, _for_scikit_learn(X, metric), labels, **params),
        X,
    )


@given(calls(), st.sampled_from(["array", "Fortran", "list", "csr", "csc"]), st.sampled_from([float, np.float32, int]))
def test_precomputed_hypothesis(call, container, dtype):
    X, labels, _ = call
    X = np.asarray(X.todense() if scipy.sparse.issparse(X) else X, dtype=float)
    distances = CONTAINERS[container](np.round(10 * np.abs(X[:, None] - X[None]).sum(axis=2)).astype(dtype))
    assert_same_outcome(
        outcome(fastsil.silhouette_samples, distances, labels, metric="precomputed"),
        outcome(sklearn.metrics.silhouette_samples, distances, labels, metric="precomputed"),
        distances,
    )


GOOD_X = np.random.default_rng(0).normal(size=(8, 3))
GOOD_LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2])
MISTAKES = {
    "NaN": lambda X, labels: (np.where(X[3, 1] == X, np.nan, X), labels),
    "infinity": lambda X, labels: (np.where(X[3, 1] == X, np.inf, X), labels),
    "labels too short": lambda X, labels: (X, labels[:-1]),
    "labels too long": lambda X, labels: (X, [*labels, 1]),
    "one label": lambda X, labels: (X, np.zeros(8)),
    "a label a row": lambda X, labels: (X, np.arange(8)),
    "no rows": lambda X, labels: (X[:0], labels[:0]),
    "no columns": lambda X, labels: (X[:, :0], labels),
    "one dimension": lambda X, labels: (X[:, 0], labels),
    "three dimensions": lambda X, labels: (X[:, :, None], labels),
    "a scalar": lambda X, labels: (1.0, labels),
    "X is None": lambda X, labels: (None, labels),
    "X is a string": lambda X, labels: ("data", labels),
    "labels is None": lambda X, labels: (X, None),
    "labels is a scalar": lambda X, labels: (X, 3),
    "labels is a matrix": lambda X, labels: (X, np.stack([labels, labels], axis=1)),
    "labels has NaN": lambda X, labels: (X, np.where(labels == 2, np.nan, labels)),
    "labels has infinity": lambda X, labels: (X, np.where(labels == 2, np.inf, labels)),
    "labels mixes strings and numbers": lambda X, labels: (X, np.array([*"aaabbb", 1, 1], dtype=object)),
    "complex": lambda X, labels: (X + 1j, labels),
    "strings": lambda X, labels: (np.full(X.shape, "one"), labels),
    "objects": lambda X, labels: (np.full(X.shape, {}, dtype=object), labels),
    "sparse NaN": lambda X, labels: (scipy.sparse.csr_array(np.where(X[3, 1] == X, np.nan, X)), labels),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "mahalanobis", "manhattan", "chebyshev"])
def test_the_same_error_for_the_same_mistake(mistake, metric):
    X, labels = MISTAKES[mistake](GOOD_X, GOOD_LABELS)
    for name in ("silhouette_samples", "silhouette_score"):
        theirs = outcome(getattr(sklearn.metrics, name), X, labels, metric=metric)
        assert isinstance(theirs, Exception), "scikit-learn takes this; it is no mistake"
        assert_same_outcome(outcome(getattr(fastsil, name), X, labels, metric=metric), theirs)


CONTAINERS_OF_X = ["array", "Fortran", "strided", "list", "csr", "csc", "coo"]


@given(
    st.sampled_from(sorted(MISTAKES)),
    st.sampled_from(METRICS),
    st.sampled_from(CONTAINERS_OF_X),
    st.sampled_from([np.float32, np.float64]),
    st.sampled_from(sorted(LABELINGS)),
    st.sampled_from(["silhouette_samples", "silhouette_score"]),
)
def test_the_same_error_for_a_drawn_mistake_hypothesis(mistake, metric, container, dtype, labeling, name):
    """A mistake in any container and type: what scikit-learn refuses is refused with an error of the same kind."""
    X, labels = MISTAKES[mistake](GOOD_X.astype(dtype), GOOD_LABELS)
    if labels is GOOD_LABELS:
        labels = LABELINGS[labeling](labels)
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "fc":
        X = CONTAINERS[container](X)
    theirs = outcome(getattr(sklearn.metrics, name), _for_scikit_learn(X, metric), labels, metric=metric)
    ours = outcome(getattr(fastsil, name), X, labels, metric=metric)
    assert isinstance(theirs, Exception), "scikit-learn takes this; it is no mistake"
    assert_same_outcome(ours, theirs)


@pytest.mark.parametrize(
    "params",
    [
        {"metric": "euclidian"},
        {"metric": None},
        {"metric": "euclidean", "color": 1},
        {"metric": "chebyshev", "color": 1},
        {"metric": "precomputed"},
        {"metric": "seuclidean", "V": np.ones(2)},
    ],
    ids=str,
)
def test_the_same_error_for_the_same_bad_parameter(params):
    theirs = outcome(sklearn.metrics.silhouette_samples, GOOD_X, GOOD_LABELS, **params)
    assert isinstance(theirs, Exception), "scikit-learn takes this; it is no mistake"
    assert_same_outcome(outcome(fastsil.silhouette_samples, GOOD_X, GOOD_LABELS, **params), theirs)


@pytest.mark.parametrize("sample_size", [0, -3, 2.5, "all"])
def test_the_same_error_for_a_bad_sample_size(sample_size):
    theirs = outcome(sklearn.metrics.silhouette_score, GOOD_X, GOOD_LABELS, sample_size=sample_size)
    assert_same_outcome(outcome(fastsil.silhouette_score, GOOD_X, GOOD_LABELS, sample_size=sample_size), theirs)


@pytest.mark.parametrize("metric", ["braycurtis", "dice", "jaccard"])
def test_a_distance_that_is_no_number_scores_as_in_scikit_learn(metric):
    """Two rows of zeros: some of SciPy's distances divide 0 by 0 there."""
    X = np.array([[0, 0], [0, 0], [1, 0], [1, 1], [0, 1]], dtype=bool)
    labels = [0, 0, 1, 1, 0]
    for name in ("silhouette_samples", "silhouette_score"):
        ours = outcome(getattr(fastsil, name), X, labels, metric=metric)
        assert_same_outcome(ours, outcome(getattr(sklearn.metrics, name), X, labels, metric=metric))


def test_scikit_learns_example_of_small_clusters():
    """A cluster of one, ties, and a cluster of two equal samples: 0, ..., 1 by convention."""
    X, labels = [[0.0], [1.0], [1.0], [2.0], [3.0], [3.0]], [0, 1, 1, 1, 2, 2]
    np.testing.assert_array_equal(fastsil.silhouette_samples(X, labels), [0, 0.5, 0.5, 0, 1, 1])

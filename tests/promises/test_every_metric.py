"""Every metric that scikit-learn's silhouettes know gives scikit-learn's answer, whichever engine computes it."""

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

import fastsil
import reference
from assertions import assert_like_sklearn, assert_silhouettes_close, outcome
from fastsil.runtime.sklearn_compat import VALID_METRICS
from strategies import labeled_data

N_SAMPLES = 24
LABELS = np.arange(N_SAMPLES) % 3
WEIGHTS = np.array([0.5, 0.0, 2.0, 1.0])


def numbers(rng):
    return rng.normal(size=(N_SAMPLES, 4)) + LABELS[:, None]


def counts(rng):
    return rng.integers(0, 4, size=(N_SAMPLES, 4))


def booleans(rng):
    X = rng.random(size=(N_SAMPLES, 9)) < 0.4
    # The boolean metrics of SciPy divide by zero where both rows are empty.
    X[:, 0] |= ~X.any(axis=1)
    return X


def angles(rng):
    """Latitude and longitude in radians."""
    return rng.uniform(-1.5, 1.5, size=(N_SAMPLES, 2))


def distances(rng):
    X = numbers(rng)
    return np.abs(X[:, None] - X[None]).sum(axis=2)


DATA = {"numbers": numbers, "counts": counts, "booleans": booleans, "angles": angles, "distances": distances}


def assert_same(X, n_jobs=None, **params):
    """As scikit-learn on one thread: on several, its distance of a sample from itself need not be 0."""
    ours = outcome(fastsil.silhouette_samples, X, LABELS, n_jobs=n_jobs, **params)
    theirs = outcome(sklearn.metrics.silhouette_samples, X, LABELS, **params)
    assert_like_sklearn(ours, theirs, atol=1e-9)


# Taken as samples, the distances have a singular covariance, for which scikit-learn answers with rounding.
PAIRS = [(metric, data) for metric in VALID_METRICS for data in DATA if (metric, data) != ("mahalanobis", "distances")]


@pytest.mark.parametrize(("metric", "data"), PAIRS)
@pytest.mark.parametrize("n_jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_every_metric(metric, data, n_jobs):
    assert_same(DATA[data](np.random.default_rng(0)), metric=metric, n_jobs=n_jobs)


@pytest.mark.parametrize("offset", [1e7, 1.7e9])
@pytest.mark.parametrize(
    "params",
    [
        *({"metric": metric} for metric in ("sqeuclidean", "chebyshev")),
        *({"metric": "minkowski", "p": p} for p in (1, 1.5, 2, 3)),
    ],
    ids=lambda params: " ".join(map(str, params.values())),
)
def test_weights_keep_the_digits_of_samples_far_from_zero(params, offset):
    """Weights multiply what is left after a typical sample is subtracted: to multiply first costs 1e-10 and more."""
    steps = np.random.default_rng(0).integers(-64, 64, size=(60, 5)) / 8.0
    near = fastsil.silhouette_samples(steps, np.arange(60) % 3, w=[0.1, 0.3, 1.7, 2.9, 0.7], **params)
    far = fastsil.silhouette_samples(steps + offset, np.arange(60) % 3, w=[0.1, 0.3, 1.7, 2.9, 0.7], **params)
    np.testing.assert_allclose(far, near, rtol=0, atol=1e-13)


def compute_weighted(X, w, metric, p=2.0):
    """Compute all distances in extended precision."""
    X, w = X.astype(np.longdouble), np.asarray(w, dtype=np.longdouble)
    gaps = np.abs(X[:, None] - X)
    if metric == "braycurtis":
        return (w * gaps).sum(axis=2) / (w * np.abs(X[:, None] + X)).sum(axis=2)
    return (w * gaps**p).sum(axis=2) ** (1 if metric == "sqeuclidean" else 1 / np.longdouble(p))


@pytest.mark.parametrize("place", ["all far", "one group far", "groups far apart", "one sample far"])
@pytest.mark.parametrize("offset", [1e7, 1.7e9, 1e13])
@pytest.mark.parametrize(
    "params",
    [
        *({"metric": metric} for metric in ("sqeuclidean", "braycurtis")),
        *({"metric": "minkowski", "p": p} for p in (0.5, 1, 1.5, 2, 3)),
    ],
    ids=lambda params: " ".join(map(str, params.values())),
)
def test_weights_cost_no_digits_wherever_groups_are(params, offset, place):
    rng = np.random.default_rng(1)
    labels = np.arange(60) % 4
    far = {
        "all far": np.ones(60),
        "one group far": labels == 1,
        "groups far apart": labels // 2 - 1.0,
        "one sample far": np.arange(60) == 7,
    }[place]
    X = rng.integers(-64, 64, size=(60, 5)) / 8.0 + offset * far[:, None] + 0.5
    w = [0.1, 0.3, 1.7, 2.9, 0.7]
    expected = sklearn.metrics.silhouette_samples(
        compute_weighted(X, w, **params).astype(float), labels, metric="precomputed"
    )
    atol = 1e-8 if params.get("p") == 0.5 else 1e-10
    np.testing.assert_allclose(fastsil.silhouette_samples(X, labels, w=w, **params), expected, rtol=0, atol=atol)


POWERS = [0.3, 0.5, 1, 1.5, 2, 2.7, 3, 2.0, 7, 40, True, np.inf, 0, -1, np.nan, None, "2"]
WEIGHTINGS = {"none": None, "weights": WEIGHTS, "negative": -WEIGHTS, "short": WEIGHTS[:2]}
# 0 to the power of -1, times a weight of 0, is NaN or 0, by which of SciPy's functions is called.
MINKOWSKI = [(p, name) for p in POWERS for name in WEIGHTINGS if (p, name) != (-1, "weights")]


@pytest.mark.slow
@pytest.mark.parametrize(("p", "weighting"), MINKOWSKI)
def test_minkowski(p, weighting):
    w = WEIGHTINGS[weighting]
    params = {"p": p} if w is None else {"p": p, "w": w}
    assert_same(numbers(np.random.default_rng(1)), metric="minkowski", **params)


@pytest.mark.parametrize(
    ("params", "engine"),
    [
        ({}, "euclidean"),
        ({"p": 2}, "euclidean"),
        ({"p": np.float64(1)}, "manhattan"),
        ({"p": 3}, "coordinatewise: minkowski"),
        ({"p": 2.7, "w": WEIGHTS}, "coordinatewise: minkowski"),
        ({"p": 2, "w": WEIGHTS}, "euclidean"),
        ({"p": 1, "w": WEIGHTS}, "manhattan"),
        ({"p": np.inf, "w": WEIGHTS}, "coordinatewise: chebyshev"),
    ],
    ids=str,
)
def test_minkowski_of_another_name_goes_to_its_engine(params, engine):
    profile = fastsil.silhouette_profile(numbers(np.random.default_rng(1)), LABELS, metric="minkowski", **params)
    assert profile.work.strategy.startswith(engine)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_minkowski_of_sparse_data_is_refused_as_in_scikit_learn(p):
    assert_same(csr_array(counts(np.random.default_rng(1))), metric="minkowski", p=p)


WEIGHTINGS_TO_SCALE = {
    "some": WEIGHTS,
    "list": WEIGHTS.tolist(),
    "booleans": WEIGHTS > 0,
    "none": None,
    "zeros": np.zeros(4),
    "negative": -WEIGHTS,
    "short": WEIGHTS[:2],
    "a matrix": WEIGHTS[None],
    "text": list("abcd"),
    "NaN": np.where(WEIGHTS > 0, WEIGHTS, np.nan),
}


@pytest.mark.slow
@pytest.mark.parametrize("weighting", WEIGHTINGS_TO_SCALE)
@pytest.mark.parametrize("metric", ["braycurtis", "canberra", "chebyshev", "hamming", "cityblock", "sqeuclidean"])
def test_weights(metric, weighting):
    for data in (counts, numbers):
        assert_same(data(np.random.default_rng(2)), metric=metric, w=WEIGHTINGS_TO_SCALE[weighting])


@given(
    labeled_data(scales=st.integers(-3, 3)),
    st.sampled_from([0.5, 1, 1.5, 2, 2.7, 3, 4.5, 7, 20, 300, np.inf]),
    st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=9, max_size=9),
)
def test_powers_and_weights_hypothesis(data, p, weights):
    """Also where sums of SciPy's powers vanish: against the definition, in a wider type."""
    X, labels = data
    w = np.array(weights[: X.shape[1]])
    w[0] = 1
    ours = fastsil.silhouette_samples(X, labels, metric="minkowski", p=p, w=w)
    if np.isinf(p):
        expected = reference.silhouette_samples(X[:, w > 0], labels, "chebyshev")
    else:
        expected = reference.silhouette_samples(X, labels, "minkowski", p=p, w=w)
    assert_silhouettes_close(ours, expected, dtype=X.dtype)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_callable(n_jobs):
    def largest_difference(x, y):
        return np.abs(x - y).max()

    assert_same(numbers(np.random.default_rng(3)), metric=largest_difference, n_jobs=n_jobs)
    assert_same(numbers(np.random.default_rng(3)), metric=lambda x, y, power: np.sum(np.abs(x - y) ** power), power=3)


@pytest.mark.parametrize("metric", ["nan_euclidean", "euclidean"])
def test_gaps_are_refused_as_in_scikit_learn(metric):
    X = numbers(np.random.default_rng(4))
    X[3, 1] = np.nan
    assert_same(X, metric=metric)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint64, np.float32, np.float64])
@pytest.mark.parametrize("largest", [1, 100, 127])
def test_integer_distances_neither_overflow_nor_are_cut(dtype, largest):
    D = np.random.default_rng(5).integers(0, largest + 1, size=(N_SAMPLES, N_SAMPLES)).astype(dtype)
    np.fill_diagonal(D, 0)
    exact = fastsil.silhouette_samples(D.astype(np.float64), LABELS, metric="precomputed")
    np.testing.assert_allclose(fastsil.silhouette_samples(D, LABELS, metric="precomputed"), exact, rtol=0, atol=1e-6)
    assert_same(D.astype(np.float64), metric="precomputed")


def test_negative_distances_are_refused_as_in_scikit_learn():
    D = distances(np.random.default_rng(6))
    D[2, 5] = -1
    assert_same(D, metric="precomputed")

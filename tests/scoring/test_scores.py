"""The public functions: what they return, and that each argument does what it says."""

import inspect

import numpy as np
import pytest
import sklearn.metrics
from scipy.sparse import csr_array

import reference
from assertions import assert_same_bits, assert_silhouettes_close
from fastsil import SilhouetteProfile, silhouette_profile, silhouette_samples, silhouette_score


def mixture(n_samples=90, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, size=n_samples, p=[0.5, 0.3, 0.1, 0.1])
    return (labels[:, None] + rng.normal(size=(n_samples, 3))).astype(dtype), labels


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("average", ["micro", "macro"])
def test_score_is_the_average_of_the_samples(average, dtype):
    X, labels = mixture(dtype=dtype)
    score = silhouette_score(X, labels, average=average)
    assert type(score) is float
    assert score == pytest.approx(float(reference.silhouette_score(X, labels, average=average)), abs=2e-6)
    profile = silhouette_profile(X, labels)
    assert score == pytest.approx(profile.score if average == "micro" else profile.macro_score, abs=1e-7)


@pytest.mark.parametrize("average", ["Micro", "weighted", None, 1])
def test_an_unknown_average_is_rejected(average):
    with pytest.raises(ValueError, match=r"average=.* 'micro' .* 'macro'"):
        silhouette_score(*mixture(), average=average)


def test_macro_differs_from_micro_when_clusters_differ_in_size():
    X, labels = mixture()
    assert silhouette_score(X, labels, average="macro") != pytest.approx(silhouette_score(X, labels), abs=1e-3)


@pytest.mark.parametrize("sample_size", [15, 40, 90, 1000])
@pytest.mark.parametrize("random_state", [0, 7, np.random.RandomState(3)])
def test_the_subset_is_that_of_scikit_learn(sample_size, random_state):
    X, labels = mixture()

    def fresh():
        # Both must start from the same state.
        state = np.random.RandomState()
        if isinstance(random_state, int):
            return random_state
        state.set_state(random_state.get_state())
        return state

    ours = silhouette_score(X, labels, sample_size=sample_size, random_state=fresh())
    theirs = sklearn.metrics.silhouette_score(X, labels, sample_size=sample_size, random_state=fresh())
    assert ours == pytest.approx(theirs, abs=1e-10)


def test_the_subset_follows_numpys_global_state_by_default():
    X, labels = mixture()
    scores = []
    for function in (silhouette_score, sklearn.metrics.silhouette_score):
        np.random.seed(11)  # noqa: NPY002 - scikit-learn's contract for random_state=None
        scores.append(function(X, labels, sample_size=30))
    assert scores[0] == pytest.approx(scores[1], abs=1e-10)


@pytest.mark.parametrize("container", [np.asarray, csr_array])
def test_a_subset_of_precomputed_distances(container):
    X, labels = mixture()
    distances = container(np.sqrt(((X[:, None] - X[None]) ** 2).sum(axis=2)))
    ours = silhouette_score(distances, labels, metric="precomputed", sample_size=40, random_state=0)
    theirs = sklearn.metrics.silhouette_score(distances, labels, metric="precomputed", sample_size=40, random_state=0)
    assert ours == pytest.approx(theirs, abs=1e-10)


@pytest.mark.parametrize("sample_size", [0, -1, 2.0, "half", True])
def test_a_sample_size_that_is_no_positive_integer_is_rejected(sample_size):
    with pytest.raises(ValueError, match="sample_size"):
        silhouette_score(*mixture(), sample_size=sample_size)


@pytest.mark.parametrize("n_jobs", [1, 2, -1, None, np.int64(2)])
def test_any_number_of_threads(n_jobs):
    X, labels = mixture()
    assert_same_bits(silhouette_samples(X, labels, n_jobs=n_jobs), silhouette_samples(X, labels))


@pytest.mark.parametrize(("n_jobs", "error"), [(0, ValueError), (1.5, TypeError), ("2", TypeError), (True, TypeError)])
@pytest.mark.parametrize("function", [silhouette_samples, silhouette_score, silhouette_profile])
def test_a_number_of_threads_that_is_none_is_rejected(function, n_jobs, error):
    with pytest.raises(error, match="n_jobs"):
        function(*mixture(), n_jobs=n_jobs)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "mahalanobis"])
def test_progress_goes_to_standard_error_and_ends(metric, capsys):
    pytest.importorskip("tqdm")
    X, labels = mixture()
    assert_same_bits(
        silhouette_samples(X, labels, metric=metric, progress=True), silhouette_samples(X, labels, metric=metric)
    )
    out, err = capsys.readouterr()
    assert out == ""
    assert "100%" in err


@pytest.mark.parametrize(
    ("metric", "params"),
    [
        ("mahalanobis", {}),
        ("mahalanobis", {"V": np.diag([1.0, 4.0, 0.25])}),
        ("mahalanobis", {"VI": np.array([[2.0, 0.5, 0], [0.5, 1, 0], [0, 0, 3]])}),
        ("seuclidean", {}),
        ("seuclidean", {"V": np.array([1.0, 4.0, 0.25])}),
        ("cosine", {}),
        ("correlation", {}),
        ("manhattan", {}),
        ("cityblock", {}),
        ("l1", {}),
        ("l2", {}),
        ("sqeuclidean", {}),
        ("chebyshev", {}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_metrics_equal_the_reference(metric, params, dtype):
    X, labels = mixture(dtype=dtype)
    assert_silhouettes_close(
        silhouette_samples(X, labels, metric=metric, **params),
        reference.silhouette_samples(X, labels, metric, **params),
        dtype=dtype,
    )


def test_a_callable_metric():
    X, labels = mixture(30)
    profile = silhouette_profile(X, labels, metric=lambda x, y: np.abs(x - y).max())
    np.testing.assert_allclose(
        profile.silhouettes, reference.silhouette_samples(X, labels, "chebyshev").astype(float), atol=1e-12
    )


@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis", "cosine"])
def test_a_keyword_that_the_metric_does_not_have_is_rejected(metric):
    with pytest.raises(TypeError, match=r"color|argument"):
        silhouette_samples(*mixture(), metric=metric, color="red")


def test_a_keyword_of_scikit_learns_distances_reaches_them():
    X, labels = mixture()
    squared = np.sum(X**2, axis=1)[:, None]
    np.testing.assert_allclose(
        silhouette_samples(X, labels, X_norm_squared=squared), silhouette_samples(X, labels), atol=1e-10
    )
    np.testing.assert_allclose(
        silhouette_samples(X, labels, metric="minkowski", p=1), silhouette_samples(X, labels, metric="l1"), atol=1e-10
    )


def test_signatures_extend_those_of_scikit_learn():
    for ours, theirs in [
        (silhouette_samples, sklearn.metrics.silhouette_samples),
        (silhouette_score, sklearn.metrics.silhouette_score),
    ]:
        our_parameters = inspect.signature(ours).parameters
        for name, parameter in inspect.signature(theirs).parameters.items():
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
                assert our_parameters[name].kind == parameter.kind
                assert our_parameters[name].default == parameter.default


def test_arguments_after_the_data_have_names():
    for function in (silhouette_samples, silhouette_score, silhouette_profile):
        with pytest.raises(TypeError, match="positional"):
            function(*mixture(), "euclidean")


def test_the_profile_is_exported():
    assert isinstance(silhouette_profile(*mixture()), SilhouetteProfile)


@pytest.mark.parametrize("metric", ["euclidean", "precomputed"])
def test_a_subset_without_a_small_cluster_is_named_as_the_reason(metric):
    X = np.random.default_rng(0).normal(size=(500, 2))
    labels = np.r_[np.zeros(499, dtype=int), 1]
    given = sklearn.metrics.pairwise_distances(X) if metric == "precomputed" else X
    with pytest.raises(ValueError, match="Number of labels is 1 in the random subset of sample_size=40 "):
        silhouette_score(given, labels, metric=metric, sample_size=40, random_state=0)
    assert np.isfinite(silhouette_score(given, labels, metric=metric, tol=0.01))

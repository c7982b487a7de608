"""The answer does not depend on how the data came or on how many threads there were."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from assertions import assert_same_bits, tolerance_of
from fastsil import silhouette_profile, silhouette_samples, silhouette_score
from strategies import labeled_data

METRICS = ["euclidean", "mahalanobis", "seuclidean", "cosine", "manhattan"]
# One or two for each engine.
METRICS_OF_ENGINES = [
    "euclidean",
    "mahalanobis",
    "seuclidean",
    "cosine",
    "correlation",
    "sqeuclidean",
    "manhattan",
    "nan_euclidean",
]


def assert_same_answers(given, same, **params):
    """All three functions give the same bits for the same (X, labels) in two shapes."""
    assert_same_bits(silhouette_samples(*given, **params), silhouette_samples(*same, **params))
    for average in ("micro", "macro"):
        score = silhouette_score(*given, average=average, **params)
        assert score == silhouette_score(*same, average=average, **params)
    profile, expected = silhouette_profile(*given, **params), silhouette_profile(*same, **params)
    for name in ("silhouettes", "a", "b", "_neighbor_codes"):
        assert_same_bits(getattr(profile, name), getattr(expected, name))
    assert (profile.score, profile.macro_score) == (expected.score, expected.macro_score)


def mixture(n_samples=60, n_features=4, n_clusters=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_clusters, size=n_samples)
    return 3 + labels[:, None] + rng.normal(size=(n_samples, n_features)), labels


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", METRICS_OF_ENGINES)
@pytest.mark.parametrize("n_clusters", [2, 6, 90])
def test_same_bits_for_any_number_of_threads(metric, n_clusters, dtype):
    # Few samples for distances of scikit-learn, which take their time.
    X, labels = mixture(400 if metric == "nan_euclidean" else 1500, 6, n_clusters)
    alone = silhouette_profile(X.astype(dtype), labels, metric=metric, n_jobs=1)
    for n_jobs in (2, 5, -1, None):
        together = silhouette_profile(X.astype(dtype), labels, metric=metric, n_jobs=n_jobs)
        for name in ("silhouettes", "a", "b", "neighbor"):
            assert_same_bits(getattr(together, name), getattr(alone, name))


@given(labeled_data(), st.sampled_from(["euclidean", "cosine", "sqeuclidean", "manhattan"]), st.integers(2, 7))
def test_same_bits_for_any_number_of_threads_hypothesis(data, metric, n_jobs):
    assert_same_bits(
        silhouette_samples(*data, metric=metric, n_jobs=n_jobs), silhouette_samples(*data, metric=metric, n_jobs=1)
    )


def _memmap(X, tmp_path):
    path = tmp_path / "X.npy"
    np.save(path, X)
    return np.load(path, mmap_mode="r")


def _strided(X, tmp_path):
    wide = np.full((2 * X.shape[0], 3 * X.shape[1]), np.nan, dtype=X.dtype)
    wide[::2, 1::3] = X
    return wide[::2, 1::3]


def _read_only(X, tmp_path):
    X = X.copy()
    X.flags.writeable = False
    return X


def _unaligned(X, tmp_path):
    return np.frombuffer(b"\0" + X.tobytes(), dtype=X.dtype, offset=1).reshape(X.shape)


def _subclass(X, tmp_path):
    class Tagged(np.ndarray):
        pass

    return X.view(Tagged)


CONTAINERS = {
    "Fortran order": lambda X, tmp_path: np.asfortranarray(X),
    "strided": _strided,
    "negative strides": lambda X, tmp_path: X[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": _read_only,
    "read-only memmap": _memmap,
    "unaligned": _unaligned,
    "big-endian": lambda X, tmp_path: X.astype(X.dtype.newbyteorder(">")),
    "subclass": _subclass,
    "masked without a mask": lambda X, tmp_path: np.ma.array(X),
    "list of lists": lambda X, tmp_path: X.tolist(),
    "tuple of arrays": lambda X, tmp_path: tuple(X),
    "objects": lambda X, tmp_path: X.astype(object),
    "longdouble": lambda X, tmp_path: X.astype(np.longdouble),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("metric", METRICS)
def test_container_of_data(container, metric, tmp_path):
    X, labels = mixture()
    assert_same_answers((CONTAINERS[container](X, tmp_path), labels), (X, labels), metric=metric)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames(library, metric):
    frames = pytest.importorskip(library)
    X, labels = mixture()
    frame = frames.DataFrame({f"feature {j}": X[:, j] for j in range(X.shape[1])})
    assert_same_answers((frame, frames.Series(labels)), (X, labels), metric=metric)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_of_mixed_numbers(library):
    frames = pytest.importorskip(library)
    frame = frames.DataFrame({"whole": [0, 1, 5, 6, 7], "half": np.array([0, 0.5, 1, 1, 2], dtype=np.float32)})
    labels = [0, 0, 1, 1, 1]
    assert_same_answers((frame, labels), ([[0, 0], [1, 0.5], [5, 1], [6, 1], [7, 2]], labels))


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan", "l2", "sqeuclidean"])
@pytest.mark.parametrize(
    "container",
    ["csr_array", "csr_matrix", "csc_array", "csc_matrix", "coo_array", "coo_matrix", "lil_matrix", "dok_array"],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_data(container, metric, dtype):
    X, labels = mixture()
    X[X < 3.5] = 0
    X = X.astype(dtype)
    sparse = getattr(scipy.sparse, container)(X)
    silhouettes = silhouette_samples(sparse, labels, metric=metric)
    np.testing.assert_allclose(
        silhouettes, silhouette_samples(X, labels, metric=metric), rtol=0, atol=10 * tolerance_of(dtype)
    )
    assert silhouettes.dtype == dtype
    assert_same_answers((sparse, labels), (scipy.sparse.csr_array(X), labels), metric=metric)


LABELS = {
    "list": lambda labels: labels.tolist(),
    "tuple": lambda labels: tuple(labels.tolist()),
    "int8": lambda labels: labels.astype(np.int8),
    "uint64": lambda labels: labels.astype(np.uint64),
    "big-endian": lambda labels: labels.astype(">i4"),
    "bytes": lambda labels: labels.astype("S2"),
    "strings": lambda labels: labels.astype(str),
    "objects": lambda labels: labels.astype(object),
    "string objects": lambda labels: labels.astype(str).astype(object),
    "floats": lambda labels: labels.astype(float),
    "negative": lambda labels: labels - 100,
    "far apart": lambda labels: labels * 2**40,
    "from the ends of int64": lambda labels: np.array([-(2**63), 0, 2**63 - 1])[labels],
    "from the ends of int8": lambda labels: np.array([-128, 0, 127], dtype=np.int8)[labels],
    "from the end of uint64": lambda labels: np.array([2**64 - 3, 2**64 - 2, 2**64 - 1], dtype=np.uint64)[labels],
    "strided": lambda labels: np.repeat(labels, 2)[::2],
    "read-only": lambda labels: np.broadcast_to(labels, labels.shape),
    "masked without a mask": np.ma.array,
}


@pytest.mark.parametrize("container", LABELS)
def test_container_of_labels(container):
    X, labels = mixture()
    assert_same_answers((X, LABELS[container](labels)), (X, labels))


def test_two_labels_as_booleans():
    X, labels = mixture(n_clusters=2)
    assert_same_bits(silhouette_samples(X, labels.astype(bool)), silhouette_samples(X, labels))


def test_series_with_an_index_of_its_own_and_categories():
    pandas = pytest.importorskip("pandas")
    X, labels = mixture()
    shuffled_index = np.random.default_rng(0).permutation(len(labels))
    assert_same_answers((X, pandas.Series(labels, index=shuffled_index)), (X, labels))
    names = pandas.Categorical.from_codes(labels, ["a", "b", "c"])
    assert_same_answers((X, names), (X, labels))
    assert_same_answers((X, pandas.Series(names)), (X, labels))
    assert_same_answers((X, pandas.Series(labels, dtype="Int64")), (X, labels))
    assert_same_answers((X, pandas.Series(names, dtype="string")), (X, labels))


def test_polars_series_of_text_and_categories():
    polars = pytest.importorskip("polars")
    X, labels = mixture()
    names = polars.Series(np.array(["a", "b", "c"])[labels])
    assert_same_answers((X, names), (X, labels))
    assert_same_answers((X, names.cast(polars.Enum(["a", "b", "c"]))), (X, labels))


@pytest.mark.parametrize("metric", METRICS)
def test_input_is_not_modified(metric):
    X, labels = mixture()
    X_before, labels_before = X.copy(), labels.copy()
    silhouette_samples(X, labels, metric=metric)
    assert_same_bits(X, X_before)
    assert_same_bits(labels, labels_before)


def test_precomputed_input_is_not_modified():
    X, labels = mixture(20)
    distances = np.abs(X[:, None] - X[None]).sum(axis=2)
    before = distances.copy()
    distances.flags.writeable = False
    silhouette_samples(distances, labels, metric="precomputed")
    assert_same_bits(distances, before)


def test_results_can_be_written_to_and_share_nothing():
    X, labels = mixture()
    first, second = silhouette_samples(X, labels), silhouette_samples(X, labels)
    first[:] = 9
    assert_same_bits(silhouette_samples(X, labels), second)

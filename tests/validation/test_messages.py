"""Bad input: one clear sentence that says which argument, what came, what is wanted; scikit-learn's exception types."""

import numpy as np
import pytest
from scipy.sparse import csc_matrix, csr_array, csr_matrix

from fastsil import (
    KMeansSweep,
    SilhouetteStream,
    silhouette_estimate,
    silhouette_profile,
    silhouette_samples,
    silhouette_samples_many,
    silhouette_score,
)
from fastsil.validation import check_data, check_labels, check_metric

GOOD_X = np.arange(12.0).reshape(6, 2)
GOOD_LABELS = [0, 0, 0, 1, 1, 1]


def changed(row, column, value, dtype=np.float64):
    X = GOOD_X.astype(dtype)
    X[row, column] = value
    return X


BAD_DATA = {
    "NaN": (changed(4, 1, np.nan), ValueError, r"X contains NaN: row 4, column 1"),
    "NaN in float32": (changed(0, 0, np.nan, np.float32), ValueError, r"X contains NaN: row 0, column 0"),
    "NaN in float16": (changed(2, 0, np.nan, np.float16), ValueError, r"X contains NaN: row 2, column 0"),
    "infinity": (changed(5, 0, np.inf), ValueError, r"X contains infinity: row 5, column 0"),
    "minus infinity": (changed(5, 0, -np.inf), ValueError, r"X contains infinity: row 5, column 0 is -inf"),
    "NaN in CSR": (csr_array(changed(3, 1, np.nan)), ValueError, r"X contains NaN: row 3, column 1"),
    "infinity in a CSR matrix": (csr_matrix(changed(1, 1, np.inf)), ValueError, r"infinity: row 1, column 1"),
    "NaN among objects": (changed(1, 0, np.nan).astype(object), ValueError, r"X contains NaN: row 1, column 0"),
    "one dimension": (np.arange(6.0), ValueError, "2D array"),
    "three dimensions": (np.zeros((6, 2, 2)), ValueError, "dim 3|3D"),
    "a scalar": (3.0, ValueError, "2D array"),
    "no rows": (np.zeros((0, 2)), ValueError, "0 sample"),
    "no columns": (np.zeros((6, 0)), ValueError, "0 feature"),
    "complex": (GOOD_X + 1j, ValueError, "[Cc]omplex"),
    "strings": (np.full((6, 2), "a"), ValueError, "a"),
    "objects that are no numbers": (np.full((6, 2), {}, dtype=object), TypeError, "dict"),
    "ragged": ([[0.0, 1.0], [2.0], [3.0, 4.0], [0, 0], [0, 0], [0, 0]], ValueError, "row 1 has 1"),
    "masked": (np.ma.masked_less(GOOD_X, 3), ValueError, "masked"),
}


@pytest.mark.parametrize("name", BAD_DATA)
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "mahalanobis", "manhattan"])
def test_bad_data(name, metric):
    X, error, match = BAD_DATA[name]
    for function in (silhouette_samples, silhouette_score, silhouette_profile):
        with pytest.raises(error, match=match):
            function(X, GOOD_LABELS, metric=metric)


BAD_LABELS = {
    "too few": ([0, 0, 1, 1, 1], ValueError, "labels has 5 entries but X has 6 rows"),
    "too many": ([0, 0, 0, 1, 1, 1, 1], ValueError, "labels has 7 entries but X has 6 rows"),
    "none": ([], ValueError, "labels has 0 entries"),
    "one cluster": ([1] * 6, ValueError, r"Number of labels is 1\. Valid values are 2 to n_samples - 1"),
    "a cluster a sample": (list(range(6)), ValueError, r"Number of labels is 6\. Valid values are 2 to n_samples - 1"),
    "two dimensions": (np.zeros((6, 2)), ValueError, "1d array"),
    "NaN": ([0, 0, np.nan, 1, 1, 1], ValueError, "labels contains nan .*at row 2"),
    "infinity": ([0, 0, 1, 1, np.inf, 1], ValueError, "labels contains inf .*at row 4"),
    "None among strings": (["a", "a", "b", "b", None, "b"], ValueError, "labels contains None .*at row 4"),
    "mixed types": (["a", "a", 1, 1, "b", "b"], TypeError, "labels mixes types"),
    "masked": (np.ma.array(GOOD_LABELS, mask=[0, 1, 0, 0, 0, 0]), ValueError, "masked entry at row 1"),
    "a scalar": (3, ValueError, "1d array"),
    "None": (None, ValueError, "1d array"),
}


@pytest.mark.parametrize("name", BAD_LABELS)
def test_bad_labels(name):
    labels, error, match = BAD_LABELS[name]
    if name == "mixed types":
        labels = np.array(labels, dtype=object)
    for function in (silhouette_samples, silhouette_score, silhouette_profile):
        with pytest.raises(error, match=match):
            function(GOOD_X, labels)


def test_missing_labels_of_pandas():
    pandas = pytest.importorskip("pandas")
    labels = pandas.Series([0, 0, None, 1, 1, 1], dtype="Int64")
    with pytest.raises((ValueError, TypeError)):
        silhouette_samples(GOOD_X, labels)
    with pytest.raises((ValueError, TypeError)):
        silhouette_samples(GOOD_X, pandas.Categorical(["a", "a", None, "b", "b", "b"]))


@pytest.mark.parametrize(
    ("metric", "suggestion"),
    [("euclidian", "euclidean"), ("Cosine", "cosine"), ("manhatan", "manhattan"), ("mahalonobis", "mahalanobis")],
)
def test_an_unknown_metric_suggests_the_nearest(metric, suggestion):
    for function in (silhouette_samples, silhouette_score, silhouette_profile):
        with pytest.raises(ValueError, match=rf"metric='{metric}' is not known\. Did you mean '{suggestion}'\?"):
            function(GOOD_X, GOOD_LABELS, metric=metric)


@pytest.mark.parametrize("metric", [None, 3, "", "zzzzzzzz"])
def test_a_metric_that_resembles_none_lists_them(metric):
    with pytest.raises(ValueError, match=r"is not known.*euclidean"):
        check_metric(metric)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("container", [np.asarray, csr_array])
def test_precomputed_distances_need_a_zero_diagonal(container, dtype):
    distances = np.array([[0, 1, 2], [1, 0, 1], [2, 1, 0]], dtype=dtype)
    assert silhouette_score(container(distances), [0, 0, 1], metric="precomputed") == pytest.approx(1 / 6, abs=1e-6)
    distances[1, 1] = 1
    with pytest.raises(ValueError, match=r"non-zero elements on the diagonal \(row 1"):
        silhouette_score(container(distances), [0, 0, 1], metric="precomputed")


def test_precomputed_distances_are_square():
    with pytest.raises(ValueError, match=r"square .* \(6, 2\)"):
        silhouette_samples(GOOD_X, GOOD_LABELS, metric="precomputed")


def test_a_column_of_labels_is_taken_with_scikit_learns_warning():
    from sklearn.exceptions import DataConversionWarning

    with pytest.warns(DataConversionWarning, match="column-vector"):
        silhouettes = silhouette_samples(GOOD_X, np.array(GOOD_LABELS)[:, None])
    np.testing.assert_array_equal(silhouettes, silhouette_samples(GOOD_X, GOOD_LABELS))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_good_data_is_not_copied(dtype, tmp_path):
    X = np.ascontiguousarray(GOOD_X, dtype=dtype)
    assert np.shares_memory(check_data(X), X)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert np.shares_memory(check_data(mapped), mapped)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_finite_data_whose_sum_overflows_is_good(dtype):
    X = np.full((6, 2), np.finfo(dtype).max, dtype=dtype)
    np.testing.assert_array_equal(check_data(X), X)


@pytest.mark.parametrize(
    ("given", "checked"),
    [
        (np.float32, np.float32),
        (">f4", np.float32),
        (np.float64, np.float64),
        (">f8", np.float64),
        (np.float16, np.float64),
        (np.int8, np.float64),
        (np.uint64, np.float64),
        (bool, np.float64),
        (np.longdouble, np.float64),
    ],
)
@pytest.mark.parametrize("container", [np.asarray, csr_array])
def test_types_after_the_check(given, checked, container):
    if container is csr_array and np.dtype(given) in (np.dtype(np.float16), np.dtype(">f4"), np.dtype(">f8")):
        X = check_data(GOOD_X.astype(given))  # SciPy stores neither
    else:
        X = check_data(container(GOOD_X.astype(given)))
    assert X.dtype == checked
    assert X.dtype.isnative


def test_a_bad_value_beyond_the_first_chunk_is_found():
    X = np.zeros((1_000_000, 2))
    X[987_654, 1] = np.nan
    with pytest.raises(ValueError, match="row 987654, column 1"):
        check_data(X)


def test_labels_become_a_partition_in_sorted_order():
    partition = check_labels(["b", "a", "c", "a"], 4)
    np.testing.assert_array_equal(partition.classes, ["a", "b", "c"])
    np.testing.assert_array_equal(partition.codes, [1, 0, 2, 0])
    sparse_integers = check_labels([10**12, -5, 10**12, 7], 4)
    np.testing.assert_array_equal(sparse_integers.classes, [-5, 7, 10**12])
    np.testing.assert_array_equal(sparse_integers.codes, [2, 0, 2, 1])


def _point_beyond_the_columns(X):
    X.indices[5] = X.shape[1]


def _point_before_the_columns(X):
    X.indices[5] = -1


def _let_a_row_end_before_it_begins(X):
    X.indptr[5] = X.indptr[7] + 3


def _let_the_last_row_end_beyond_the_data(X):
    X.indptr[-1] += 100_000


def _begin_late(X):
    X.indptr[0] = 3


def _leave_indices_out(X):
    X.indices = X.indices[:-5]


def _leave_a_row_out(X):
    X.indptr = X.indptr[:-1]


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "manhattan", "precomputed"])
@pytest.mark.parametrize(
    "damage",
    [
        _point_beyond_the_columns,
        _point_before_the_columns,
        _let_a_row_end_before_it_begins,
        _let_the_last_row_end_beyond_the_data,
        _begin_late,
        _leave_indices_out,
        _leave_a_row_out,
    ],
    ids=lambda damage: damage.__name__[1:],
)
@pytest.mark.parametrize("make", [csr_matrix, csc_matrix], ids=["csr", "csc"])
def test_a_damaged_sparse_matrix_is_refused(make, damage, metric):
    X = make(1.0 - np.eye(30))
    damage(X)
    with pytest.raises(ValueError, match="X is damaged"):
        silhouette_samples(X, np.arange(30) % 3, metric=metric)


@pytest.mark.parametrize(
    "use",
    [
        lambda X: SilhouetteStream("sqeuclidean").partial_fit(X, np.arange(30) % 3),
        lambda X: silhouette_samples_many(X, [np.arange(30) % 3]),
        lambda X: silhouette_estimate(X, np.arange(30) % 3),
        lambda X: KMeansSweep([2, 3]).fit(X),
    ],
    ids=["stream", "many labelings", "estimate", "sweep"],
)
def test_every_function_refuses_a_damaged_sparse_matrix(use):
    X = csr_matrix(1.0 - np.eye(30))
    _point_beyond_the_columns(X)
    with pytest.raises(ValueError, match="X is damaged"):
        use(X)


@pytest.mark.filterwarnings("ignore:X is square and symmetric")
def test_a_stream_refuses_damage_in_its_second_pass_too():
    X = csr_matrix(1.0 - np.eye(30))
    stream = SilhouetteStream("sqeuclidean").partial_fit(X, np.arange(30) % 3)
    _let_the_last_row_end_beyond_the_data(X)
    with pytest.raises(ValueError, match="X is damaged"):
        stream.score_samples(X, np.arange(30) % 3)


@pytest.mark.parametrize("index_dtype", [np.int32, np.int64])
def test_unsorted_and_repeated_entries_are_legal(index_dtype):
    X = csr_matrix(np.random.default_rng(0).integers(1, 5, (20, 6)).astype(float))
    indices = X.indices.reshape(20, 6)[:, ::-1].astype(index_dtype)
    doubled = np.concatenate([indices, indices], axis=1).ravel()
    values = np.repeat(X.data.reshape(20, 6)[:, ::-1] / 2, 2, axis=0).reshape(20, 12).ravel()
    messy = csr_matrix((values, doubled, (np.arange(21) * 12).astype(index_dtype)), shape=X.shape)
    labels = np.arange(20) % 3
    for metric in ("euclidean", "cosine", "manhattan"):
        expected = silhouette_samples(X, labels, metric=metric)
        np.testing.assert_allclose(silhouette_samples(messy, labels, metric=metric), expected, atol=1e-12)

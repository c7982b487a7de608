"""Entries that are missing or no numbers, in any container; and rows that reach a callable as they are."""

import warnings
from decimal import Decimal

import numpy as np
import pytest
import scipy.sparse
import sklearn.metrics

from fastsil import (
    KMeansSweep,
    SilhouetteStream,
    patch_sklearn,
    silhouette_estimate,
    silhouette_profile,
    silhouette_samples,
    silhouette_samples_many,
    silhouette_score,
)
from fastsil.validation import check_data

LABELS = [0, 0, 1, 1]
MISSING = {
    "None": [(None, 1), (1, 1), (5, 5), (6, 6)],
    "Decimal": [(Decimal("nan"), 1), (1, 1), (5, 5), (6, 6)],
    "signaling Decimal": [(Decimal("snan"), 1), (1, 1), (5, 5), (6, 6)],
    "object array": np.array([(None, 1), (1, 1), (5, 5), (6, 6)], dtype=object),
    "text": np.array([("nan", 1), (1, 1), (5, 5), (6, 6)], dtype=object),
    "NaT": np.array([("NaT", 1), (1, 1), (5, 5), (6, 6)], dtype="m8[D]"),
    "sparse": scipy.sparse.csr_array(np.array([(np.nan, 1), (1, 1), (5, 5), (6, 6)])),
}


def _missing_of_pandas():
    pandas = pytest.importorskip("pandas")
    return [
        [(pandas.NA, 1), (1, 1), (5, 5), (6, 6)],
        [(pandas.NaT, 1), (1, 1), (5, 5), (6, 6)],
        pandas.DataFrame({"x": pandas.array([None, 1, 5, 6], dtype="Int64"), "y": [1, 1, 5, 6]}),
        pandas.DataFrame({"x": [pandas.NA, 1, 5, 6], "y": [1, 1, 5, 6]}, dtype=object),
        pandas.DataFrame({"x": [Decimal("nan"), Decimal(1), Decimal(5), Decimal(6)], "y": [1, 1, 5, 6]}),
    ]


def _patched(X, labels, metric="euclidean"):
    with patch_sklearn():
        return sklearn.metrics.silhouette_score(X, labels, metric=metric)


@pytest.mark.parametrize("name", MISSING)
@pytest.mark.parametrize("metric", ["chebyshev", "canberra", "braycurtis", "hamming", "euclidean", "jaccard", max])
def test_a_missing_entry_is_found_in_every_container(name, metric):
    for function in (silhouette_samples, silhouette_profile, silhouette_estimate):
        with pytest.raises(ValueError, match="Input X contains NaN: row 0, column 0"):
            function(MISSING[name], LABELS, metric=metric)


@pytest.mark.parametrize("name", MISSING)
@pytest.mark.parametrize(
    "use",
    [
        lambda X: SilhouetteStream("sqeuclidean").partial_fit(X, LABELS),
        lambda X: silhouette_samples_many(X, [LABELS], metric="hamming"),
        lambda X: silhouette_score(X, LABELS, sample_size=3, random_state=0),
        lambda X: KMeansSweep([2]).fit(X),
        lambda X: silhouette_profile(np.eye(4, 2), LABELS).diagnose(X),
        lambda X: _patched(X, LABELS, "chebyshev"),
    ],
    ids=["stream", "many labelings", "subset", "sweep", "diagnosis", "patch"],
)
def test_a_missing_entry_is_found_by_every_function(name, use):
    with pytest.raises(ValueError, match="contains NaN"):
        use(MISSING[name])


def test_a_missing_entry_of_pandas_is_found():
    for X in _missing_of_pandas():
        with pytest.raises(ValueError, match="Input X contains NaN: row 0, column 0"):
            silhouette_samples(X, LABELS, metric="chebyshev")


def test_a_missing_entry_among_given_distances_is_found():
    distances = [[0, 1, None], [1, 0, 1], [None, 1, 0]]
    for given in (distances, np.array(distances, dtype=object), [[Decimal(0), 1, Decimal("nan")], *distances[1:]]):
        with pytest.raises(ValueError, match="Input X contains NaN: row 0, column 2"):
            silhouette_samples(given, [0, 0, 1], metric="precomputed")


def test_a_number_beyond_float64_is_infinite():
    if np.finfo(np.longdouble).max == np.finfo(float).max:
        pytest.skip("long double is float64 here")
    X = np.array([[1, 2], [3, np.longdouble("1e400")], [5, 6], [7, 8]])
    with pytest.raises(ValueError, match="Input X contains infinity: row 1, column 1"):
        silhouette_samples(X, LABELS, metric="chebyshev")
    with pytest.raises(ValueError, match="row 0, column 0 is 1000"):
        silhouette_samples([[10**400, 1], [1, 1], [5, 5], [6, 6]], LABELS)


def test_an_entry_that_is_no_number_is_named_with_its_place():
    with pytest.raises(ValueError, match="row 1, column 0 is 'a'"):
        silhouette_samples([[0, 1], ["a", 1], [5, 5], [6, 6]], LABELS)
    with pytest.raises(TypeError, match=r"row 1, column 1 is \{\}"):
        silhouette_samples([[0, 1], [2, {}], [5, 5], [6, 6]], LABELS)


def test_numbers_as_objects_are_taken():
    X = [[0, 1], [2, 3], [5, 5], [6, 7]]
    for same in ([[Decimal(x) for x in row] for row in X], np.array(X, dtype=object), np.array(X, dtype="m8[D]")):
        np.testing.assert_array_equal(silhouette_samples(same, LABELS), silhouette_samples(X, LABELS))
    distances = [[0, 1, 2, 3], [1, 0, 1, 2], [2, 1, 0, 1], [3, 2, 1, 0]]
    np.testing.assert_array_equal(
        silhouette_samples(np.array(distances, dtype=object), LABELS, metric="precomputed"),
        silhouette_samples(distances, LABELS, metric="precomputed"),
    )


def test_a_callable_gets_rows_of_the_type_given():
    table = np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0) ** 2))
    table = table + table.T
    np.fill_diagonal(table, 0)
    ids, labels = np.arange(6)[:, None], [0, 0, 1, 1, 0, 1]

    def look_up(a, b):
        return table[a[0], b[0]]

    expected = silhouette_samples(table, labels, metric="precomputed")
    np.testing.assert_allclose(silhouette_samples(ids, labels, metric=look_up), expected, atol=1e-12)
    profile = silhouette_profile(ids, labels, metric=look_up)
    np.testing.assert_allclose(profile.silhouettes, expected, atol=1e-12)
    assert profile.diagnose(ids).checked
    np.testing.assert_allclose(silhouette_samples_many(ids, [labels], metric=look_up)[0], expected, atol=1e-12)
    assert silhouette_estimate(ids, labels, metric=look_up).score == pytest.approx(expected.mean())
    assert _patched(ids, labels, look_up) == pytest.approx(expected.mean())

    bits = np.random.default_rng(0).random((6, 5)) < 0.5

    def differing(a, b):
        return float((a ^ b).sum())

    theirs = sklearn.metrics.silhouette_samples(bits, labels, metric=differing)
    np.testing.assert_allclose(silhouette_samples(bits, labels, metric=differing), theirs, atol=1e-12)


@pytest.mark.parametrize("metric", ["jaccard", "dice", "yule", "rogerstanimoto", "russellrao", "sokalsneath"])
def test_truth_values_reach_a_metric_of_these(metric):
    bits = np.random.default_rng(1).random((12, 6)) < 0.6
    labels = np.arange(12) % 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        theirs = sklearn.metrics.silhouette_samples(bits, labels, metric=metric)
        profile = silhouette_profile(bits, labels, metric=metric)
        assert profile.diagnose(bits).checked
    np.testing.assert_allclose(profile.silhouettes, theirs, atol=1e-12)
    with pytest.warns(sklearn.exceptions.DataConversionWarning, match="boolean"):
        silhouette_samples(bits.astype(int), labels, metric=metric)


def test_a_sweep_scores_truth_values_without_a_warning():
    bits = np.random.default_rng(2).random((40, 5)) < 0.5
    sweep = KMeansSweep([2, 3], metric="jaccard", gaps=False, random_state=0).fit(bits)
    expected = sklearn.metrics.silhouette_score(bits, sweep.labels_, metric="jaccard")
    assert sweep.profiles_[sweep.best_k_].score == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_data_at_any_address_are_taken(dtype):
    """Kernels read whole numbers of a machine's words: data between them are copied."""
    values = np.random.default_rng(0).normal(size=(20, 3)).astype(dtype)
    X = np.frombuffer(b"x" + values.tobytes(), dtype, offset=1).reshape(20, 3)
    assert not X.flags.aligned
    checked = check_data(X)
    assert checked.flags.aligned
    np.testing.assert_array_equal(checked, values)

"""The promise, case by case: every silhouette within 2e-6 of the truth for float32 input and 1e-10 for float64.

Each case is named for the accident that it provokes. The truth is the naive reference on the very same rounded input.
"""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import reference
from assertions import assert_same_bits, assert_silhouettes_close
from fastsil import silhouette_samples, silhouette_samples_many
from fastsil.engines.euclidean import engine as euclidean
from fastsil.engines.euclidean import symmetric
from strategies import MAX_FEATURES, labeled_data

DTYPES = [np.float32, np.float64]


@pytest.fixture(scope="module", params=["symmetric if small", "pruned if small", "symmetric in ranges"], autouse=True)
def way(request):
    """Small data are not pruned by themselves; the promise holds any way."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "pruned if small":
            patch.setattr(euclidean, "_SMALL_SYMMETRIC", 3)
            patch.setattr(euclidean._Search, "_symmetry_is_less_work", lambda *_: False)
        if request.param == "symmetric in ranges":
            patch.setattr(symmetric, "_SUMS_BYTES", 1)
            patch.setattr(symmetric, "_SUMS_BYTES_A_SAMPLE", 8)
        yield


def offset_large_beside_the_spread(rng):
    return 1e4 + rng.normal(size=(90, 5)), rng.integers(4, size=90)


def two_close_tight_clusters_and_a_far_one(rng):
    centers = np.array([[0, 0, 0], [1e-2, 0, 0], [10, 0, 0]])
    labels = np.arange(120) % 3
    return centers[labels] + 1e-3 * rng.normal(size=(120, 3)), labels


def many_exact_duplicates(rng):
    return rng.normal(size=(6, 4))[rng.integers(6, size=100)], rng.integers(3, size=100)


def clusters_of_one_repeated_point(rng):
    labels = np.arange(60) % 3
    return rng.normal(size=(3, 7))[labels], labels


def all_rows_equal(rng):
    return np.full((20, 3), 0.1), np.arange(20) % 4


def singletons_among_clusters(rng):
    return rng.normal(size=(50, 3)), np.r_[np.arange(20), np.full(30, 20)]


def one_pair_and_else_singletons(rng):
    return rng.normal(size=(40, 2)), np.r_[0, np.arange(39)]


def a_singleton_against_the_rest(rng):
    return rng.normal(size=(40, 3)), np.r_[0, np.ones(39, dtype=int)]


def one_feature(rng):
    return rng.normal(size=(80, 1)), rng.integers(5, size=80)


def many_features(rng):
    centers = rng.normal(size=(3, 4096))
    labels = np.arange(48) % 3
    return centers[labels] + rng.normal(size=(48, 4096)), labels


def many_features_with_an_offset_and_near_duplicates(rng):
    labels = np.arange(40) % 4
    return 100 + rng.normal(size=(8, 1500))[np.arange(40) // 5] + 1e-3 * rng.normal(size=(40, 1500)), labels


def three_samples(rng):
    return np.array([[0.0], [1.0], [5.0]]), np.array([0, 0, 1])


def more_features_than_samples(rng):
    return rng.normal(size=(5, 300)), np.array([0, 1, 0, 1, 2])


def near_duplicates_far_from_their_center(rng):
    """Each cluster has members in two tight clumps 1e3 apart: no single origin of a cluster is near its samples."""
    clump = np.arange(80) % 2
    return clump[:, None] * 1e3 + 1e-2 * rng.normal(size=(80, 4)), rng.integers(3, size=80)


def tight_pairs_of_two_clusters(rng):
    """Samples come in pairs 1e-4 apart, one in each cluster, all over a ball of radius 1."""
    pairs = np.repeat(rng.normal(size=(40, 6)), 2, axis=0)
    return pairs + 1e-4 * rng.normal(size=(80, 6)), np.tile([0, 1], 40)


def one_huge_outlier(rng):
    X = rng.normal(size=(60, 3))
    X[7] = 1e6
    return X, np.arange(60) % 3


def clusters_of_very_different_scale(rng):
    labels = np.arange(75) % 3
    return rng.normal(size=(75, 4)) * np.array([1e-4, 1, 1e4])[labels][:, None], labels


def constant_columns_and_zero_rows(rng):
    X = rng.normal(size=(50, 5))
    X[:, 2] = 3.3
    X[:, 4] = 0
    X[::5] = 0
    return X, rng.integers(4, size=50)


def ties_on_a_grid(rng):
    return rng.integers(-2, 3, size=(100, 2)), rng.integers(6, size=100)


def sizes_around_a_panel(rng):
    labels = np.repeat(np.arange(4), [255, 256, 257, 3])
    return rng.normal(size=(len(labels), 3)) + labels[:, None], labels[rng.permutation(len(labels))]


def one_large_cluster_and_many_small_ones(rng):
    labels = np.r_[np.zeros(500, dtype=int), np.repeat(np.arange(1, 41), 2)]
    return rng.normal(size=(580, 9)), rng.permutation(labels)


CASES = [
    offset_large_beside_the_spread,
    two_close_tight_clusters_and_a_far_one,
    many_exact_duplicates,
    clusters_of_one_repeated_point,
    all_rows_equal,
    singletons_among_clusters,
    one_pair_and_else_singletons,
    a_singleton_against_the_rest,
    one_feature,
    many_features,
    many_features_with_an_offset_and_near_duplicates,
    three_samples,
    more_features_than_samples,
    near_duplicates_far_from_their_center,
    tight_pairs_of_two_clusters,
    one_huge_outlier,
    clusters_of_very_different_scale,
    constant_columns_and_zero_rows,
    ties_on_a_grid,
    sizes_around_a_panel,
    one_large_cluster_and_many_small_ones,
]


def assert_promise_kept(X, labels, **kwargs):
    expected = reference.silhouette_samples(X, labels, **kwargs)
    assert_silhouettes_close(silhouette_samples(X, labels, **kwargs), expected, dtype=X.dtype)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("dtype", DTYPES)
def test_promise(case, dtype):
    X, labels = case(np.random.default_rng(0))
    assert_promise_kept(X.astype(dtype), labels)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_features", [*range(1, 10), 15, 16, 17, 31, 33, 63, 65, 127, 130, 257])
def test_promise_for_every_remainder_of_the_unrolled_loop(n_features, dtype):
    rng = np.random.default_rng(n_features)
    assert_promise_kept(rng.normal(size=(37, n_features)).astype(dtype), rng.integers(3, size=37))


@pytest.mark.parametrize(
    ("dtype", "scale"), [(np.float32, 1e15), (np.float32, 1e-15), (np.float64, 1e100), (np.float64, 1e-100)]
)
def test_promise_at_extreme_scales(dtype, scale):
    X, labels = two_close_tight_clusters_and_a_far_one(np.random.default_rng(1))
    assert_promise_kept((X * scale).astype(dtype), labels)


def test_promise_at_an_offset_where_scikit_learn_is_off_in_the_third_digit():
    rng = np.random.default_rng(2)
    assert_promise_kept(1e7 + rng.normal(size=(100, 4)), rng.integers(3, size=100))


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint8, np.int32, np.int64, np.uint16, bool])
def test_promise_for_narrow_types_is_that_of_float64(dtype):
    rng = np.random.default_rng(3)
    X = (100 * rng.random(size=(60, 4))).astype(dtype) if dtype is not bool else rng.random(size=(60, 4)) < 0.5
    assert_promise_kept(X, rng.integers(3, size=60))


@pytest.mark.parametrize("dtype", DTYPES)
def test_promise_for_every_memory_layout(dtype, tmp_path):
    rng = np.random.default_rng(4)
    X = (1e3 + rng.normal(size=(70, 6))).astype(dtype)
    labels = rng.integers(3, size=70)
    X.tofile(tmp_path / "X.raw")
    padded = np.zeros((140, 18), dtype=dtype)
    padded[::2, ::3] = X
    layouts = {
        "Fortran": np.asfortranarray(X),
        "strided": padded[::2, ::3],
        "reversed": np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
        "read-only memmap": np.memmap(tmp_path / "X.raw", dtype=dtype, mode="r", shape=X.shape),
    }
    expected = silhouette_samples(X, labels)
    assert_promise_kept(X, labels)
    for name, layout in layouts.items():
        assert np.array_equal(layout, X), name
        assert_same_bits(silhouette_samples(layout, labels), expected)


def test_promise_for_string_labels():
    rng = np.random.default_rng(5)
    assert_promise_kept(rng.normal(size=(40, 3)), rng.choice(["north", "south", "", "ünï"], size=40))


@pytest.mark.parametrize("n_features", [40, 256])
@given(st.integers(0, 2**32 - 1), st.sampled_from(["floats", "integers", "gray values"]), st.booleans())
def test_promise_for_equal_features(n_features, seed, kind, signed):
    """Few samples of one direction: steps of a sum are equal, and all of them round the same way."""
    rng = np.random.default_rng(seed)
    t = {
        "floats": rng.normal(size=6),
        "integers": rng.integers(-5, 6, 6) + 0.1,
        "gray values": rng.integers(0, 256, 6) / 255,
    }
    signs = rng.choice([-1.0, 1.0], n_features) if signed else np.ones(n_features)
    assert_promise_kept(np.outer(t[kind], signs).astype(np.float32), np.array([0, 1, 0, 1, 0, 1]))


@functools.cache
def groups_far_apart(n_features, dtype, apart):
    """Two groups, many clusters that each have samples of one only, and the true silhouettes."""
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 300
    X = (rng.normal(size=(600, n_features)) + apart * (labels % 2)[:, None]).astype(dtype)
    return X, labels, reference.silhouette_samples(X, labels)


@pytest.mark.parametrize(
    ("dtype", "apart"), [(np.float32, 8), (np.float32, 5.5), (np.float64, 400), (np.float64, 1000)]
)
@pytest.mark.parametrize("n_features", [24, 256])
def test_promise_where_groups_far_apart_share_an_origin(n_features, dtype, apart):
    """Labels cut across two groups: distances within one are small beside those to the center of all samples."""
    X, labels, expected = groups_far_apart(n_features, dtype, apart)
    assert_silhouettes_close(silhouette_samples(X, labels), expected, dtype=dtype)
    together = silhouette_samples_many(X, [labels, labels % 2])
    assert_silhouettes_close(together[0], expected, dtype=dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", ["mahalanobis", "seuclidean"])
def test_promise_through_a_linear_map(metric, dtype):
    rng = np.random.default_rng(6)
    X = (50 + rng.normal(size=(80, 5)) @ np.triu(rng.normal(size=(5, 5)) + 2 * np.eye(5))).astype(dtype)
    assert_promise_kept(X, rng.integers(4, size=80), metric=metric)


@given(labeled_data(dtype=np.float32))
def test_promise_hypothesis_float32(data):
    assert_promise_kept(*data)


@given(labeled_data(dtype=np.float64))
def test_promise_hypothesis_float64(data):
    assert_promise_kept(*data)


@given(st.integers(1, MAX_FEATURES), st.sampled_from([np.float16, np.int16]), st.integers(0, 2**32 - 1))
def test_promise_hypothesis_narrow_types(n_features, dtype, seed):
    rng = np.random.default_rng(seed)
    X = rng.integers(-500, 500, size=(20, n_features)).astype(dtype)
    assert_promise_kept(X, rng.permutation(np.arange(20) % rng.integers(2, 19)))

"""Samples grouped by cluster: order, offsets and codes say the same."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fastsil.validation import check_labels
from fastsil.validation import labels as labels_module
from fastsil.validation import partition as partitions
from fastsil.validation.partition import partition_from_codes
from strategies import labels


@given(st.integers(3, 30).flatmap(labels))
def test_members_of_a_cluster_stand_together_in_the_order_of_the_rows_hypothesis(codes):
    partition = partition_from_codes(np.arange(codes.max() + 1), codes)
    assert partition.n_samples == len(codes)
    assert partition.n_clusters == codes.max() + 1
    assert partition.offsets[0] == 0
    assert partition.offsets[-1] == len(codes)
    np.testing.assert_array_equal(partition.sizes, np.bincount(codes))
    for cluster in range(partition.n_clusters):
        members = partition.order[partition.offsets[cluster] : partition.offsets[cluster + 1]]
        np.testing.assert_array_equal(members, np.flatnonzero(codes == cluster))


def test_types_that_kernels_rely_on():
    for dtype in (np.int8, np.uint16, np.int64):
        partition = partition_from_codes(np.arange(2), np.array([1, 0, 1], dtype=dtype))
        assert partition.codes.dtype == np.int32
        assert partition.order.dtype == np.intp
        assert partition.offsets.dtype == np.intp
        assert all(values.flags.c_contiguous for values in (partition.codes, partition.order, partition.offsets))


@given(
    st.integers(3, 30).flatmap(labels),
    st.sampled_from([np.int8, np.uint8, np.int16, np.uint64, np.int64, np.float64, "U3", object]),
    st.integers(1, 4),
)
def test_labels_are_encoded_as_numpy_would_hypothesis(codes, dtype, stride):
    given_labels = (codes * stride).astype(dtype)
    partition = check_labels(given_labels, len(codes))
    classes, expected = np.unique(given_labels, return_inverse=True)
    np.testing.assert_array_equal(partition.classes, classes)
    assert partition.classes.dtype == classes.dtype
    np.testing.assert_array_equal(partition.codes, expected)


def test_many_labels():
    rng = np.random.default_rng(0)
    given_labels = rng.permutation(np.repeat(np.arange(100_000), 2))
    partition = check_labels(given_labels, len(given_labels))
    assert partition.n_clusters == 100_000
    np.testing.assert_array_equal(partition.sizes, np.full(100_000, 2))
    np.testing.assert_array_equal(partition.classes[partition.codes], given_labels)


def test_many_labels_are_grouped_by_stretches(monkeypatch):
    """As they are where one thread sorts all of them."""
    codes = np.random.default_rng(0).integers(7, size=1000)
    whole = check_labels(codes - 3, len(codes))
    for module in (partitions, labels_module):
        monkeypatch.setattr(module, "MANY_LABELS", 100)
    monkeypatch.setattr(partitions, "_SORTED_ROWS", 64)
    cut = check_labels(codes - 3, len(codes))
    for name in ("classes", "codes", "order", "offsets"):
        np.testing.assert_array_equal(getattr(cut, name), getattr(whole, name))
        assert getattr(cut, name).dtype == getattr(whole, name).dtype


def test_labels_from_end_to_end_of_their_type():
    """Their differences do not fit it."""
    for dtype in (np.int8, np.uint8, np.int16):
        ends = np.iinfo(dtype)
        for left_out in (0, 20):
            classes = np.arange(ends.min + left_out, ends.max + 1 - left_out).astype(dtype)
            given_labels = np.repeat(classes, 2)[::-1]
            partition = check_labels(given_labels, len(given_labels))
            np.testing.assert_array_equal(partition.classes, classes)
            np.testing.assert_array_equal(partition.codes, np.repeat(np.arange(len(classes)), 2)[::-1])


def test_relative_weights_give_the_same_means():
    """The greatest of each cluster is about 1, so that no product of two of them leaves the range of float64."""
    rng = np.random.default_rng(0)
    codes, values = np.arange(60) % 4, 10.0 ** rng.uniform(-99, 99, size=60)
    weighted = partition_from_codes(np.arange(4), codes).weighted(values)
    relative = weighted.with_relative_weights()
    heaviest = [relative.sample_weight[codes == code].max() for code in range(4)]
    assert all(0.5 <= weight <= 1 for weight in heaviest)
    np.testing.assert_array_equal(relative.sample_weight / relative.totals[codes], values / weighted.totals[codes])
    np.testing.assert_array_equal(
        relative.own_totals / relative.totals[codes], weighted.own_totals / weighted.totals[codes]
    )
    assert relative.weighted(None).with_relative_weights().weights is None

"""The assertions themselves: they pass what they should, and fail what they should."""

import numpy as np
import pytest

from assertions import TOLERANCE, assert_same_bits, assert_silhouettes_close, assert_terms_close, tolerance_of
from reference import compute_terms


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(np.float32, 2e-6), (np.float64, 1e-10), (np.float16, 1e-10), (np.int8, 1e-10), (">f4", 2e-6)],
)
def test_the_promise_by_input_type(dtype, tolerance):
    assert tolerance_of(np.dtype(dtype).newbyteorder("=")) == tolerance


@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
def test_silhouettes_pass_within_the_tolerance_and_fail_beyond(dtype):
    expected = np.array([0.25, -0.5, 0.0], dtype=dtype)
    assert_silhouettes_close(expected + dtype.type(0.9 * TOLERANCE[dtype]), expected, dtype=dtype)
    with pytest.raises(AssertionError, match="worst at 1"):
        assert_silhouettes_close(expected + np.array([0, 2, 1], dtype) * TOLERANCE[dtype], expected, dtype=dtype)


def test_nan_and_infinity_are_never_close():
    expected = np.zeros(2)
    for bad in (np.nan, np.inf):
        with pytest.raises(AssertionError, match="worst at 1"):
            assert_silhouettes_close(np.array([0.0, bad]), expected, dtype=np.float64)


def test_a_wrong_type_or_shape_fails():
    with pytest.raises(AssertionError, match="dtype"):
        assert_silhouettes_close(np.zeros(3, np.float32), np.zeros(3), dtype=np.float64)
    with pytest.raises(AssertionError, match="shape"):
        assert_silhouettes_close(np.zeros(3), np.zeros(2), dtype=np.float64)


def test_terms_are_relative_to_their_size_and_a_neighbor_may_tie():
    X, codes = np.array([[0.0], [2.0], [5.0], [5.0]]) * 1e9, np.array([0, 0, 1, 2])
    expected = compute_terms(X, codes)
    np.testing.assert_array_equal(expected.neighbor, [1, 1, 2, 1])
    assert_terms_close(expected, expected, dtype=np.float64)
    assert_terms_close(expected._replace(b=expected.b + np.array([1e-2, 1e-2, 0, 0])), expected, dtype=np.float64)
    assert_terms_close(expected._replace(neighbor=np.array([2, 2, 2, 1])), expected, dtype=np.float64)
    with pytest.raises(AssertionError, match="values of a"):
        assert_terms_close(expected._replace(a=expected.a + 10), expected, dtype=np.float64)
    with pytest.raises(AssertionError, match="neighbor"):
        assert_terms_close(expected._replace(neighbor=np.array([1, 1, 0, 1])), expected, dtype=np.float64)


def test_same_bits_sees_the_last_bit_and_the_sign_of_zero():
    values = np.array([1.0, 0.0])
    assert_same_bits(values, values.copy())
    with pytest.raises(AssertionError, match="first: 0"):
        assert_same_bits(np.nextafter(values, 2.0) * [1, 0], values)
    with pytest.raises(AssertionError, match="sign of a zero"):
        assert_same_bits(-values * [-1, 1], values)
    with pytest.raises(AssertionError, match="dtype"):
        assert_same_bits(values.astype(np.float32), values)

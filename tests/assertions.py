"""What "equal" means, in one place: fastsil's promise as a table, and assertions that say where it is broken."""

from __future__ import annotations

import re
import tracemalloc
import warnings

import numpy as np
import pytest

from fastsil.cli.readers import DataFileError

# Largest error of a silhouette against the reference, by the type of the input. Types that are not here
# (float16, integers, bool) are computed as float64.
TOLERANCE = {np.dtype(np.float32): 2e-6, np.dtype(np.float64): 1e-10}


def result_dtype(input_dtype) -> np.dtype:
    """float32 for float32 input, else float64."""
    return np.dtype(np.float32 if np.dtype(input_dtype) == np.float32 else np.float64)


def tolerance_of(input_dtype) -> float:
    return TOLERANCE[result_dtype(input_dtype)]


def assert_silhouettes_close(actual, expected, *, dtype, err_msg="") -> None:
    """Every silhouette is within the promise for input of type ``dtype``, and has the promised type."""
    actual = np.asarray(actual)
    assert actual.dtype == result_dtype(dtype), f"result has dtype {actual.dtype}, promised {result_dtype(dtype)}"
    assert actual.shape == np.shape(expected), f"result has shape {actual.shape}, expected {np.shape(expected)}"
    _assert_within(actual, expected, tolerance_of(dtype), "silhouette", err_msg)


def assert_terms_close(terms, expected, *, dtype) -> None:
    """``a`` and ``b`` as precise as the silhouettes, and ``neighbor`` a cluster that is as near as the nearest.

    Parameters
    ----------
    terms : has a, b, neighbor
        What an engine gave.
    expected : reference.Terms
        What the reference gave.
    """
    scale = np.maximum(expected.a, expected.b)
    scale = np.where(scale == 0, 1, scale)
    tolerance = tolerance_of(dtype)
    _assert_within(terms.a / scale, expected.a / scale, tolerance, "a, relative to max(a, b)")
    _assert_within(terms.b / scale, expected.b / scale, tolerance, "b, relative to max(a, b)")
    neighbor_means = expected.means[np.arange(len(expected.a)), terms.neighbor]
    _assert_within(neighbor_means / scale, expected.b / scale, tolerance, "distance to `neighbor`")


def assert_same_bits(actual, expected) -> None:
    """Equal shape, type and every bit; -0.0 is not 0.0."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype, f"dtype {actual.dtype} is not {expected.dtype}"
    assert actual.shape == expected.shape, f"shape {actual.shape} is not {expected.shape}"
    if actual.tobytes() != expected.tobytes():
        differ = np.flatnonzero(actual.ravel() != expected.ravel())
        first = differ[0] if len(differ) else "only in the sign of a zero or in a NaN"
        raise AssertionError(f"{len(differ)} of {actual.size} values differ in their bits, first: {first}")


def _assert_within(actual, expected, tolerance, what, err_msg="") -> None:
    # The comparison stays in the reference's precision: rounding it first would eat part of the tolerance.
    error = np.abs(np.asarray(actual).astype(np.longdouble) - np.asarray(expected).astype(np.longdouble))
    if (error <= tolerance).all():  # a NaN is not within
        return
    worst = int(np.where(np.isnan(error), np.inf, error).argmax())
    raise AssertionError(
        f"{np.count_nonzero(~(error <= tolerance))} of {error.size} values of {what} are off by more than "
        f"{tolerance:g}; worst at {worst}: {actual[worst]!r} instead of {expected[worst]!r}, "
        f"off by {float(error[worst]):.3g}. {err_msg}"
    )


def outcome(function, *args, **kwargs):
    """What a call gives: its result, or the exception that it raises."""
    with warnings.catch_warnings():
        # scikit-learn warns of conversions to float or bool for some metrics, and of its divisions by zero.
        warnings.simplefilter("ignore")
        try:
            return function(*args, **kwargs)
        except Exception as error:
            return error


def assert_like_sklearn(ours, theirs, *, atol) -> None:
    """Two outcomes are the same numbers to ``atol``, or the same kind of error."""
    if isinstance(theirs, Exception):
        assert isinstance(ours, Exception), f"scikit-learn raises {theirs!r}, fastsil gives {ours!r}"
        assert isinstance(ours, _kind_of(theirs)), f"scikit-learn raises {theirs!r}, fastsil raises {ours!r}"
        return
    assert not isinstance(ours, Exception), f"scikit-learn gives {theirs!r}, fastsil raises {ours!r}"
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol)


def _kind_of(error):
    """What a caller would catch: scikit-learn's private subclasses count as their public bases."""
    return next(kind for kind in type(error).__mro__ if kind.__module__ in ("builtins", "numpy.linalg"))


def assert_refused(reading, *words) -> None:
    """A file is refused in one sentence of one line, which holds the words (regular expressions)."""
    with pytest.raises(DataFileError) as caught:
        reading()
    sentence = str(caught.value)
    assert "\n" not in sentence
    for word in words:
        assert re.search(word, sentence), sentence


def with_peak(function):
    """What a function gives, and the peak of bytes that Python and NumPy held for it: no clock changes it.

    What compiled code loads counts: call the function before on something small.
    """
    tracemalloc.start()
    try:
        result = function()
        return result, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

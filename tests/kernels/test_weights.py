"""Weights, or None where there are none."""

import numpy as np

import reference
from fastsil.kernels import weights as kernels


def test_weights_are_taken_and_multiply():
    weights = np.array([0.5, 0.0, 3.0])
    for i in range(3):
        assert kernels.take_weight(weights, i) == reference.take_weight(weights, i)
        assert kernels.weigh(7.0, weights[i]) == reference.weigh(7.0, weights[i])
        np.testing.assert_array_equal(kernels.take_weights(weights, i), reference.take_weights(weights, i))


def test_without_weights_nothing_changes():
    assert kernels.take_weight(None, 2) is None
    assert kernels.take_weights(None, 2) is None
    assert kernels.weigh(7.0, None) == 7.0

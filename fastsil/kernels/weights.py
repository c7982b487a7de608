"""Weights of samples in sums: one kernel serves sums with weights and without.

Weights are an array or None. numba compiles a function for each type of its arguments, and drops the branch that the
type excludes, so that sums without weights cost nothing more. That works for arguments only: a kernel hands weights on
to these functions, and never looks at them itself.
"""

from fastsil.kernels.caching import jit

# Without any flag: a product that is rounded here has the same bits in every sum.
_FLAGS = {"fastmath": False}


@jit(**_FLAGS)
def take_weight(
    weights,  # IN (n_samples,) or None
    i,  # IN sample
):
    """Return the weight of one sample, or None."""
    return None if weights is None else weights[i]


@jit(**_FLAGS)
def take_weights(
    weights,  # IN (n_samples,) or None
    start,  # IN first sample
):
    """Return the weights from one sample on, or None."""
    return None if weights is None else weights[start:]


@jit(**_FLAGS)
def weigh(
    value,  # IN scalar
    weight,  # IN scalar or None
):
    """Return a value times a weight, or the value itself."""
    return value if weight is None else value * weight

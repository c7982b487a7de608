"""Mean distances without pairs: a guess with an interval for every sample, and the exact value for chosen ones.

One pass over the data computes the moments of every cluster (``moment_table``), in O(n · d²). They give, for any rows,
a guess of each mean distance and an interval that certainly holds it (``approximator``). Only the rows that are
requested exactly (``selected_samples``) cost more than the number of samples.
"""

from fastsil.engines.euclidean.approximation.approximator import GUESS, LOWER, UPPER, Approximation, Approximator
from fastsil.engines.euclidean.approximation.moment_table import (
    ClusterMoments,
    CovarianceSummaries,
    MomentTable,
    make_table,
    vanishes_in_single,
)
from fastsil.engines.euclidean.approximation.selected_samples import EuclideanRows

__all__ = [
    "GUESS",
    "LOWER",
    "UPPER",
    "Approximation",
    "Approximator",
    "ClusterMoments",
    "CovarianceSummaries",
    "EuclideanRows",
    "MomentTable",
    "make_table",
    "vanishes_in_single",
]

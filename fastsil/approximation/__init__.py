"""Mean distances without pairs: a guess with an interval for every sample, and the exact value for chosen ones.

One pass over the data gives the moments of every cluster (:mod:`fastsil.approximation.table`), in O(n · d²). From them
come, for any rows, a guess of each mean distance and an interval that certainly holds it
(:mod:`fastsil.approximation.rows`). Nothing here grows with the square of the number of samples, but the rows that are
asked for exactly (:mod:`fastsil.approximation.exact`).
"""

from fastsil.approximation.exact import EuclideanRows
from fastsil.approximation.rows import GUESS, LOWER, UPPER, Approximation, Approximator
from fastsil.approximation.table import (
    ClusterMoments,
    CovarianceSummary,
    MomentTable,
    make_table,
)

__all__ = [
    "GUESS",
    "LOWER",
    "UPPER",
    "Approximation",
    "Approximator",
    "ClusterMoments",
    "CovarianceSummary",
    "EuclideanRows",
    "MomentTable",
    "make_table",
]

"""The test of gaps: are there fewer samples between clusters than on either side of the gap?

A density with one peak along every line (a log-concave one) leaves no valley along the line between two centers, if
only samples are counted whose foot points lie on the facet that the two cells share: these fill a convex set, and the
marginal of a log-concave density on a convex set is log-concave (Prékopa). So for every pair of centers the samples
midway are compared with those near the two centers, in rows that the centers were not computed from. z is the sum over
all pairs of a k of (samples on the thinner side - samples midway), in standard deviations. The same along the first
principal axes finds groups that lie across a longer axis, which k-means divides first.

References
----------
A. Prékopa (1973), "On logarithmic concave measures and functions", Acta Scientiarum Mathematicarum 34, 335-343.
"""

from __future__ import annotations

from fastsil.sweep.gaps.finer import measure_finer_depth
from fastsil.sweep.gaps.gap_test import MANY_SAMPLES, find_gaps
from fastsil.sweep.gaps.record import MAX_DEPTH, GapsAtK, GapTest

__all__ = ["MANY_SAMPLES", "MAX_DEPTH", "GapTest", "GapsAtK", "find_gaps", "measure_finer_depth"]

"""The verdict on a sweep: whether there is structure, the k that shows it best, the reasons, and what to try next.

Three measures are separate. The test of gaps shows whether there are separate groups. The comparison with data without
clusters shows whether data without groups are more than one random cloud. Kaufman and Rousseeuw's table reads the
height of a mean silhouette; it was made for few features, and k-means reaches some height in anything.

``choice`` chooses k, ``groups`` and ``sentences`` write the reasons, and ``record`` holds and prints all of it.
"""

from fastsil.sweep.verdict.choice import choose_k, has_gaps, k_with_largest_excess, lowest_k
from fastsil.sweep.verdict.groups import GapFindings
from fastsil.sweep.verdict.record import Verdict
from fastsil.sweep.verdict.sentences import judge

__all__ = [
    "GapFindings",
    "Verdict",
    "choose_k",
    "has_gaps",
    "judge",
    "k_with_largest_excess",
    "lowest_k",
]

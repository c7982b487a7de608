"""What a sweep amounts to: is there structure, which k shows it best, why, and what to try next.

Two measures are kept apart. Kaufman and Rousseeuw's table reads the height of a mean silhouette; it was made for few
features, and k-means reaches some height in anything. The comparison with data without clusters tells whether there is
structure at all, and at which k the data rise above them. Only that comparison may say that there is none.

The ``choice`` is the k that is looked at, ``words`` say what there is and why, ``geometries`` compare what was tried
side by side, and the ``record`` holds and prints all of it.
"""

from fastsil.sweep.verdict.choice import NullTest, choose_k, k_with_largest_excess, lowest_k
from fastsil.sweep.verdict.record import Verdict
from fastsil.sweep.verdict.sentences import judge
from fastsil.sweep.verdict.spaces import compare_geometries, find_furthest_space

__all__ = [
    "NullTest",
    "Verdict",
    "choose_k",
    "compare_geometries",
    "find_furthest_space",
    "judge",
    "k_with_largest_excess",
    "lowest_k",
]

"""The comparison with data without clusters, clustered and scored as the data are.

k-means finds clusters in anything: in a single elongated Gaussian too it lowers the inertia and gets silhouettes above
0. So the data are compared with sets without clusters of equal mean and covariance, each clustered and scored alike.

``samplers`` draw the sets; ``scores`` clusters and scores them as the data are, with the gain of a ``mixture``;
``comparison`` holds the tests.
"""

from fastsil.sweep.null.comparison import NullComparison, with_null_columns
from fastsil.sweep.null.mixture import mixture_gain
from fastsil.sweep.null.samplers import REFERENCES, draw_gaussian, draw_uniform
from fastsil.sweep.null.scores import check_null, compare_with_null

__all__ = [
    "REFERENCES",
    "NullComparison",
    "check_null",
    "compare_with_null",
    "draw_gaussian",
    "draw_uniform",
    "mixture_gain",
    "with_null_columns",
]

"""What data without clusters score when they are clustered in the same way.

k-means finds clusters in anything: in a single elongated Gaussian too it lowers the inertia and gets silhouettes above
0. So the data are held against sets without clusters of the same mean and covariance, each clustered and scored alike.

``sets`` are drawn, ``clustered`` and scored as the data are, and looked at for a ``mixture``; the ``comparison`` says
what follows.
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

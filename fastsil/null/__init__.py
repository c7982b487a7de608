"""What data without clusters score when they are clustered in the same way.

k-means finds clusters in anything: in a single elongated Gaussian too it lowers the inertia and gets silhouettes above
0. So the data are held against sets without clusters of the same mean and covariance, each clustered and scored alike.

``sets`` are drawn, ``clustered`` and scored as the data are, and looked at for a ``mixture``; the ``comparison`` says
what follows.
"""

from fastsil.null.clustered import check_null, compare_with_null
from fastsil.null.comparison import NullComparison, with_null_columns
from fastsil.null.mixture import mixture_gain
from fastsil.null.sets import REFERENCES, draw_gaussian, draw_uniform

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

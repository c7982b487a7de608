"""The sweep: cluster for each k, score, compare with data without clusters, choose k, write the page."""

from fastsil.sweep.estimator import KMeansSweep
from fastsil.sweep.progress import SweepEvent
from fastsil.sweep.results import SweepRow

__all__ = ["KMeansSweep", "SweepEvent", "SweepRow"]

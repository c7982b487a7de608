"""The engine of metrics whose means need no pairs: cosine, correlation, squared Euclidean distance."""

from fastsil.engines.linear.engine import compute_terms

__all__ = ["compute_terms"]

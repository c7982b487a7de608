"""The Euclidean engine: pairs within clusters, and to the clusters that bounds cannot exclude."""

from fastsil.engines.euclidean.engine import compute_terms

__all__ = ["compute_terms"]

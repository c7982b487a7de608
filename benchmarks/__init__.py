"""Measurements of fastsil against scikit-learn, a BLAS product and naive references: ``python -m benchmarks``."""

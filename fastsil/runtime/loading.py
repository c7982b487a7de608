"""Modules of ours that are imported on first use, whole, and by one thread at a time."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from fastsil.runtime.lazy_imports import LOADING
from fastsil.runtime.undisturbed import undisturbed


def loaded(module: str) -> Any:
    """A module of ours, imported on first use: compiled kernels take as long as all of scikit-learn's metrics."""
    with LOADING:
        if module in sys.modules:
            return sys.modules[module]
        with undisturbed():
            return importlib.import_module(module)

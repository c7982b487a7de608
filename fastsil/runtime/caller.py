"""Warnings that point at the line of the user's program, however deep in the library they arise."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

_PACKAGES = ("fastsil", "sklearn")


def warn_caller(message: str) -> None:
    """Issue a UserWarning at the first line up the stack outside of fastsil and scikit-learn."""
    level = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None and str(frame.f_globals.get("__name__")).split(".")[0] in _PACKAGES:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)

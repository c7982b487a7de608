"""fastsil: exact silhouettes for millions of samples, and a k-means sweep that says which k.

The public names are loaded on first use, so that ``import fastsil`` costs no more than the
scikit-learn pieces that a program has loaded anyway.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fastsil.loading import loaded

if sys.maxsize < 2**32 or sys.byteorder != "little":
    raise ImportError(
        "fastsil runs on 64-bit little-endian platforms only; this Python is "
        f"{'32-bit' if sys.maxsize < 2**32 else '64-bit'} and {sys.byteorder}-endian."
    )

__version__ = "0.1.0"

__all__ = [
    "KMeansSweep",
    "NullReference",
    "Plan",
    "SilhouetteEstimate",
    "SilhouetteProfile",
    "SilhouetteScorer",
    "SilhouetteStream",
    "__version__",
    "patch_sklearn",
    "plan",
    "silhouette_estimate",
    "silhouette_profile",
    "silhouette_profiles",
    "silhouette_samples",
    "silhouette_samples_many",
    "silhouette_score",
    "unpatch_sklearn",
]

_ROOM_OF = {
    "KMeansSweep": "fastsil.sweep",
    "NullReference": "fastsil.diagnosis",
    "Plan": "fastsil.planning",
    "SilhouetteEstimate": "fastsil.estimate",
    "SilhouetteProfile": "fastsil.profile",
    "SilhouetteScorer": "fastsil.scorer",
    "SilhouetteStream": "fastsil.stream",
    "patch_sklearn": "fastsil.patch",
    "plan": "fastsil.planning",
    "silhouette_estimate": "fastsil.estimate",
    "silhouette_profile": "fastsil.scores",
    "silhouette_profiles": "fastsil.many",
    "silhouette_samples": "fastsil.scores",
    "silhouette_samples_many": "fastsil.many",
    "silhouette_score": "fastsil.scores",
    "unpatch_sklearn": "fastsil.patch",
}

if TYPE_CHECKING:
    from fastsil.diagnosis import NullReference
    from fastsil.estimate import SilhouetteEstimate, silhouette_estimate
    from fastsil.many import silhouette_profiles, silhouette_samples_many
    from fastsil.patch import patch_sklearn, unpatch_sklearn
    from fastsil.planning import Plan, plan
    from fastsil.profile import SilhouetteProfile
    from fastsil.scorer import SilhouetteScorer
    from fastsil.scores import silhouette_profile, silhouette_samples, silhouette_score
    from fastsil.stream import SilhouetteStream
    from fastsil.sweep import KMeansSweep
else:
    # Hidden from type checkers, to which every misspelt name would be an object.
    def __getattr__(name: str) -> object:
        if name in _ROOM_OF:
            return getattr(loaded(_ROOM_OF[name]), name)
        raise AttributeError(f"module 'fastsil' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

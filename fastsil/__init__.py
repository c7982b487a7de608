"""fastsil: exact silhouettes for millions of samples, and a k-means sweep that chooses k.

The public names are loaded on first use, so that ``import fastsil`` costs no more than the scikit-learn pieces that a
program has loaded anyway.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from fastsil.runtime.lazy_imports import import_on_first_use

if sys.maxsize < 2**32 or sys.byteorder != "little":
    raise ImportError(
        "fastsil runs on 64-bit little-endian platforms only; this Python is "
        f"{'32-bit' if sys.maxsize < 2**32 else '64-bit'} and {sys.byteorder}-endian."
    )

__version__ = "0.1.0"

__all__ = [
    "ClusterTable",
    "Diagnosis",
    "Finding",
    "GeometrySweep",
    "KMeansSweep",
    "NullComparison",
    "NullReference",
    "Plan",
    "SilhouetteCeiling",
    "SilhouetteEstimate",
    "SilhouetteProfile",
    "SilhouetteScorer",
    "SilhouetteStream",
    "SilhouetteSweep",
    "SilhouettesByGroup",
    "Stability",
    "SweepEvent",
    "SweepRow",
    "Verdict",
    "Work",
    "__version__",
    "patch_sklearn",
    "plan",
    "silhouette_by",
    "silhouette_ceiling",
    "silhouette_estimate",
    "silhouette_profile",
    "silhouette_profiles",
    "silhouette_samples",
    "silhouette_samples_many",
    "silhouette_score",
    "simplified_silhouette_samples",
    "simplified_silhouette_score",
    "unpatch_sklearn",
]

_MODULE_OF = {
    "ClusterTable": "fastsil.scoring.profile",
    "Diagnosis": "fastsil.scoring.diagnosis",
    "Finding": "fastsil.scoring.diagnosis",
    "GeometrySweep": "fastsil.sweep.geometry_sweep",
    "KMeansSweep": "fastsil.sweep.estimator",
    "NullComparison": "fastsil.sweep.null",
    "NullReference": "fastsil.scoring.diagnosis",
    "Plan": "fastsil.scoring.plan",
    "SilhouetteCeiling": "fastsil.scoring.ceiling",
    "SilhouetteEstimate": "fastsil.scoring.estimate",
    "SilhouetteProfile": "fastsil.scoring.profile",
    "SilhouetteScorer": "fastsil.scoring.sklearn_scorer",
    "SilhouetteStream": "fastsil.scoring.stream",
    "SilhouetteSweep": "fastsil.sweep.parameter_sweep",
    "SilhouettesByGroup": "fastsil.scoring.by_group",
    "Stability": "fastsil.sweep.stability",
    "SweepEvent": "fastsil.sweep.progress",
    "SweepRow": "fastsil.sweep.results",
    "Verdict": "fastsil.sweep.verdict",
    "Work": "fastsil.engines.terms",
    "patch_sklearn": "fastsil.scoring.sklearn_patch",
    "plan": "fastsil.scoring.plan",
    "silhouette_by": "fastsil.scoring.by_group",
    "silhouette_ceiling": "fastsil.scoring.ceiling",
    "silhouette_estimate": "fastsil.scoring.estimate",
    "silhouette_profile": "fastsil.scoring.scores",
    "silhouette_profiles": "fastsil.scoring.many_labelings",
    "silhouette_samples": "fastsil.scoring.scores",
    "silhouette_samples_many": "fastsil.scoring.many_labelings",
    "silhouette_score": "fastsil.scoring.scores",
    "simplified_silhouette_samples": "fastsil.scoring.simplified",
    "simplified_silhouette_score": "fastsil.scoring.simplified",
    "unpatch_sklearn": "fastsil.scoring.sklearn_patch",
}

if TYPE_CHECKING:
    from fastsil.engines.terms import Work
    from fastsil.scoring.by_group import SilhouettesByGroup, silhouette_by
    from fastsil.scoring.ceiling import SilhouetteCeiling, silhouette_ceiling
    from fastsil.scoring.diagnosis import Diagnosis, Finding, NullReference
    from fastsil.scoring.estimate import SilhouetteEstimate, silhouette_estimate
    from fastsil.scoring.many_labelings import silhouette_profiles, silhouette_samples_many
    from fastsil.scoring.plan import Plan, plan
    from fastsil.scoring.profile import ClusterTable, SilhouetteProfile
    from fastsil.scoring.scores import silhouette_profile, silhouette_samples, silhouette_score
    from fastsil.scoring.simplified import simplified_silhouette_samples, simplified_silhouette_score
    from fastsil.scoring.sklearn_patch import patch_sklearn, unpatch_sklearn
    from fastsil.scoring.sklearn_scorer import SilhouetteScorer
    from fastsil.scoring.stream import SilhouetteStream
    from fastsil.sweep.estimator import KMeansSweep
    from fastsil.sweep.geometry_sweep import GeometrySweep
    from fastsil.sweep.null import NullComparison
    from fastsil.sweep.parameter_sweep import SilhouetteSweep
    from fastsil.sweep.progress import SweepEvent
    from fastsil.sweep.results import SweepRow
    from fastsil.sweep.stability import Stability
    from fastsil.sweep.verdict import Verdict
else:
    # Hidden from type checkers, to which every misspelt name would be an object.
    def __getattr__(name: str) -> object:
        if name in _MODULE_OF:
            return getattr(import_on_first_use(_MODULE_OF[name]), name)
        raise AttributeError(f"module 'fastsil' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

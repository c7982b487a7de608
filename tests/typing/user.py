"""A user's program, for ``mypy --strict``: what the public names take and give, seen from outside the package.

Never run. A line that must be an error is marked with the error's code; a mark that is not needed is an error itself.
"""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import fastsil
from fastsil import (
    KMeansSweep,
    SilhouetteProfile,
    SilhouettesByGroup,
    SilhouetteSweep,
    patch_sklearn,
    silhouette_by,
    silhouette_ceiling,
    silhouette_profile,
    silhouette_profiles,
    silhouette_samples,
    silhouette_samples_many,
    silhouette_score,
    simplified_silhouette_samples,
    simplified_silhouette_score,
    unpatch_sklearn,
)

X: NDArray[np.float32] = np.zeros((4, 2), dtype=np.float32)
labels = [0, 0, 1, 1]

assert_type(fastsil.__version__, str)
assert_type(silhouette_samples(X, labels), NDArray[Any])
assert_type(silhouette_score(X, labels, metric="cosine", average="macro"), float)
assert_type(silhouette_score([[0.0], [1.0], [2.0]], ["a", "a", "b"], sample_size=3, random_state=0), float)
assert_type(silhouette_ceiling(X, min_cluster_size=2).interval, tuple[float, float])
assert_type(silhouette_by(X, labels, labels, other="mean"), SilhouettesByGroup)
assert_type(simplified_silhouette_samples(X, labels, centers=X[:2]), NDArray[Any])
assert_type(simplified_silhouette_score(X, labels, centers=[0, 2], metric="manhattan"), float)
assert_type(silhouette_samples_many(X, [labels, labels]), NDArray[Any])
assert_type(silhouette_profiles(X, [labels]), list[SilhouetteProfile])

profile = silhouette_profile(X, labels, metric="minkowski", p=3)
assert_type(profile, SilhouetteProfile)
assert_type(profile.score, float)
assert_type(profile.n_negative, int)
assert_type(profile.a, NDArray[np.float64])
assert_type(profile.clusters.size, NDArray[np.intp])
assert_type(profile.work.share, float)
for finding in profile.diagnose(X):
    assert_type(finding.code, str)

sweep = KMeansSweep(range(2, 4), metric="cosine", random_state=0).fit(X)
assert_type(sweep, KMeansSweep)
assert_type(sweep.best_k_, int)
assert_type(sweep.predict(X), NDArray[Any])
assert_type(sweep.report("report.html", X), Path)

assert_type(patch_sklearn().__enter__().__exit__(None, None, None), None)
unpatch_sklearn()

silhouette_score(X, labels, "cosine")  # type: ignore[call-arg]
silhouette_score(X, labels, average="mean")  # type: ignore[arg-type]
silhouette_score(X, labels, sample_size="all")  # type: ignore[arg-type]
silhouette_samples(X)  # type: ignore[call-arg]
KMeansSweep(n_cluster=3)  # type: ignore[call-arg]
profile.a = profile.b  # type: ignore[misc]
fastsil.silhouette_scores(X, labels)  # type: ignore[attr-defined]

over_values = SilhouetteSweep(None, "eps", [0.1, 0.2], metric="cosine").fit(X)
assert_type(over_values, SilhouetteSweep)
assert_type(over_values.verdict_.kind, str | None)

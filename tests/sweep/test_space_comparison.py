"""Geometries side by side: the sentences of the verdict that compare them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from fastsil.sweep.space_comparison import compare_geometries, find_furthest_space


def make_feature_map(name, *, z=np.nan, p=np.nan, score=0.3, n_null=39):
    row = SimpleNamespace(n_clusters=4, silhouette=score, null_mean=score - 0.1, null_excess=z)
    return SimpleNamespace(
        name=name,
        null=SimpleNamespace(p_value=p, n_null=n_null),
        best_k=3,
        clearest_gap=-np.inf,
        best_score=score,
        p_value=p,
        excess=z,
        furthest=None if np.isnan(z) else row,
    )


def test_geometries_are_compared_by_numbers_and_the_question_is_answered():
    plain, whitened = (
        make_feature_map("euclidean", z=3.0, p=0.025),
        make_feature_map("mahalanobis", z=8.5, p=0.025, score=0.2),
    )
    cosine = make_feature_map("cosine", z=1.0, p=0.025)
    answer, *each, scales = compare_geometries([plain, whitened, cosine], whitened)
    assert answer == "Yes: the data are further above data without clusters in mahalanobis than in euclidean."
    assert [sentence.replace(" standard deviations; p = 0.025 over every k.", "") for sentence in each] == [
        "euclidean: at k = 4 the data score 0.300 and data without clusters 0.200, +3.0",
        "mahalanobis helps: at k = 4 the data score 0.200 and data without clusters 0.100, +8.5",
        "cosine does not help: at k = 4 the data score 0.300 and data without clusters 0.200, +1.0 The low p "
        "says that there is structure here too, but it is less clear than in euclidean.",
    ]
    assert "the lowest of 3 p-values is 0.025 or less in up to 8% of data without clusters" in scales
    assert compare_geometries([plain, cosine], plain)[0].startswith(
        "No: in no other geometry are the data clearly further"
    )
    nothing = [make_feature_map("euclidean", z=0.1, p=0.6), make_feature_map("cosine", z=0.0, p=0.7)]
    assert compare_geometries(nothing, nothing[0])[0].startswith("No: the data score no higher than data without")
    assert "By chance" not in compare_geometries(nothing, nothing[0])[-1]
    assert compare_geometries(nothing, nothing[0])[2].endswith("p = 0.700 over every k.")


def test_geometries_that_the_null_sets_do_not_tell_apart_are_called_alike():
    first, near, far = (make_feature_map(f"{z}", z=z, p=0.05, n_null=19) for z in (32.0, 35.0, 90.0))
    assert find_furthest_space([first, near]) == 0
    assert compare_geometries([first, near], first)[2].startswith("35.0 makes little difference")
    assert find_furthest_space([first, near, far]) == 2
    assert find_furthest_space([first, make_feature_map("lower", z=1.0, p=0.01)]) == 1


def test_geometries_without_enough_null_sets_are_not_told_apart():
    sweeps = [make_feature_map("euclidean", score=0.3), make_feature_map("cosine", score=0.5)]
    scores, why = compare_geometries(sweeps, sweeps[0])
    assert scores == "Highest mean silhouettes: euclidean 0.300 (k = 3) and cosine 0.500 (k = 3)."
    assert why.endswith("clusters: sweep.set_params(n_null=39).fit(X)")
    few = [make_feature_map("euclidean", z=1.0, p=0.2, n_null=4), make_feature_map("cosine", z=1.0, p=0.2, n_null=4)]
    assert compare_geometries(few, few[0])[0].startswith("Highest mean silhouettes")
    assert compare_geometries(sweeps[:1], sweeps[0]) == ()


def test_gaps_say_which_geometry_helps():
    plain, whitened = make_feature_map("euclidean"), make_feature_map("mahalanobis")
    whitened.clearest_gap = 7.0
    answer = "Yes: the gaps between the clusters are clearest in mahalanobis."
    assert compare_geometries([plain, whitened], whitened) == (answer,)
    plain.clearest_gap = 6.0
    assert compare_geometries([plain, whitened], plain)[0].startswith("No: in no other geometry are the gaps")

"""Keywords that a metric does not take: an error at the call that names them, and where they belong."""

import inspect

import numpy as np
import pytest

import fastsil
from fastsil import (
    KMeansSweep,
    SilhouetteScorer,
    patch_sklearn,
    plan,
    silhouette_estimate,
    silhouette_profile,
    silhouette_profiles,
    silhouette_samples,
    silhouette_samples_many,
    silhouette_score,
)
from fastsil.validation import check_metric_params
from fastsil.validation.keywords import KEYWORDS

X = np.random.default_rng(0).normal(size=(20, 3))
LABELS = np.arange(20) % 2
D = np.sqrt(((X[:, None] - X[None]) ** 2).sum(axis=2))


def _dask(X, labels, **keywords):
    return silhouette_samples(pytest.importorskip("dask.array").from_array(X, chunks=(10, 3)), labels, **keywords)


def _estimate_dask(X, labels, **keywords):
    return silhouette_estimate(pytest.importorskip("dask.array").from_array(X, chunks=(10, 3)), labels, **keywords)


def _patched(X, labels, **keywords):
    import sklearn.metrics

    with patch_sklearn():
        return sklearn.metrics.silhouette_score(X, labels, **keywords)


def _scorer(X, labels, metric="euclidean", **keywords):
    return SilhouetteScorer(metric=metric, metric_params=keywords)


def _sweep(X, labels, metric="euclidean", **keywords):
    return KMeansSweep([2], metric=metric, metric_params=keywords).fit(X)


def _sweep_of_several(X, labels, metric="euclidean", **keywords):
    return KMeansSweep([2], metric=[metric, "cosine"], metric_params={metric: keywords}).fit(X)


def _diagnose(X, labels, metric="euclidean", **keywords):
    return silhouette_profile(X, labels, metric=metric).diagnose(X, **keywords)


ON_SAMPLES = [_dask, _estimate_dask, _sweep, _sweep_of_several]
CALLS = [
    *(
        silhouette_samples,
        silhouette_score,
        silhouette_profile,
        silhouette_estimate,
        plan,
        _patched,
        _scorer,
        _diagnose,
    ),
    lambda X, labels, **keywords: silhouette_score(X, labels, tol=0.1, **keywords),
    lambda X, labels, **keywords: silhouette_samples_many(X, [labels], **keywords),
    lambda X, labels, **keywords: silhouette_profiles(X, [labels], **keywords),
]


@pytest.mark.parametrize("call", [*CALLS, *ON_SAMPLES])
@pytest.mark.parametrize("metric", ["euclidean", "cosine", "mahalanobis", "chebyshev", "jaccard", "precomputed"])
def test_a_misspelled_keyword_is_named_with_the_nearest(call, metric):
    if metric == "precomputed" and call in ON_SAMPLES:
        return
    with pytest.raises(TypeError, match=rf"{metric}' takes no keyword 'ignore_lable'.*Did you mean 'ignore_label'\?"):
        call({"precomputed": D, "jaccard": X > 0}.get(metric, X), LABELS, metric=metric, ignore_lable=-1)


@pytest.mark.parametrize(
    ("metric", "keyword", "expected"),
    [
        ("precomputed", "sample_size", "Pass it to silhouette_score."),
        ("euclidean", "confidence", "Pass it to silhouette_estimate."),
        ("euclidean", "tol", "Pass it to silhouette_score, silhouette_estimate or plan."),
        ("euclidean", "VI", "It is a keyword of metric='mahalanobis'."),
        ("precomputed", "p", "It is a keyword of metric='minkowski'."),
        ("mahalanobis", "VJ", "(it takes V, VI). Did you mean 'V'?"),
        ("euclidean", "refine", "Did you mean 'refine_to'? Pass it to silhouette_profile."),
        ("euclidean", "zzzz", "takes no keyword 'zzzz' (it takes Y_norm_squared, squared, X_norm_squared)."),
    ],
)
def test_the_message_says_where_a_keyword_belongs(metric, keyword, expected):
    with pytest.raises(TypeError) as raised:
        silhouette_samples(D if metric == "precomputed" else X, LABELS, metric=metric, **{keyword: 1})
    assert str(raised.value).endswith(expected)


def test_keywords_of_functions_are_those_of_their_signatures():
    for keyword, names in KEYWORDS.items():
        for name in names:
            assert keyword in inspect.signature(getattr(fastsil, name)).parameters, (keyword, name)
    listed = {name for names in KEYWORDS.values() for name in names}
    for name in listed - {"KMeansSweep"}:
        public = set(inspect.signature(getattr(fastsil, name)).parameters)
        assert public - set(KEYWORDS) <= {"X", "labels", "metric", "metric_params", "y"}, name


def test_keywords_of_metrics_are_taken():
    w = np.ones(3)
    for metric, keywords in {
        "minkowski": {"p": 3, "w": w},
        "seuclidean": {"V": w},
        "mahalanobis": {"V": np.eye(3), "VI": None},
        "hamming": {"w": w},
        "euclidean": {"squared": True},
        "nan_euclidean": {"squared": True},
    }.items():
        assert np.isfinite(silhouette_samples(X, LABELS, metric=metric, **keywords)).all()
    np.testing.assert_allclose(
        silhouette_samples(X, LABELS, squared=True), silhouette_samples(X, LABELS, metric="sqeuclidean"), atol=1e-9
    )


def test_a_callable_takes_what_its_signature_takes():
    def power(x, y, p=2):
        return float((np.abs(x - y) ** p).sum())

    assert np.isfinite(silhouette_samples(X, LABELS, metric=power, p=3)).all()
    with pytest.raises(TypeError, match=r"metric='power' takes no keyword 'q' \(it takes p\)"):
        silhouette_samples(X, LABELS, metric=power, q=3)
    check_metric_params(lambda x, y, **others: 0.0, {"anything": 1})
    check_metric_params(max, {"key": None})

"""Silhouettes within groups: what a call for each group alone gives, and the published scores of single cells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist
from sklearn.datasets import load_iris

import reference
from assertions import assert_same_bits, assert_silhouettes_close
from fastsil import silhouette_by, silhouette_samples
from strategies import labeled_data


def twin(X, labels, other, metric="euclidean", **params):
    """Silhouettes whose ``b`` is the mean distance to the nearest, to all, or to the furthest other label."""
    codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)[1:]
    terms = reference.compute_terms(X, codes, metric, **params)
    b = []
    for i, own in enumerate(codes):
        others = np.flatnonzero(np.arange(len(sizes)) != own)
        to_others = terms.means[i, others]
        b.append(
            {
                "nearest": to_others.min(),
                "mean": (to_others * sizes[others]).sum() / sizes[others].sum(),
                "furthest": to_others.max(),
            }[other]
        )
    return reference.compute_silhouettes(terms.a, b, codes).astype(float)


def cells():
    """Three species, each from three batches that differ a little; one of them from one batch only."""
    X, species = load_iris(return_X_y=True)
    batch = np.random.RandomState(0).randint(3, size=len(X))
    X = (X + 0.3 * batch[:, None] * np.arange(4) / 4).astype(np.float32)
    batch[species == 0] = 0
    return X, species, batch


@pytest.mark.parametrize("other", ["nearest", "mean", "furthest"])
@given(data=labeled_data(min_samples=4), seed=st.integers(0, 99))
def test_each_group_alone(other, data, seed):
    X, labels = data
    groups = np.random.default_rng(seed).integers(0, 2, len(X))
    groups[:2] = [0, 1]
    allowed = {group: 1 < len(set(labels[groups == group])) < np.count_nonzero(groups == group) for group in (0, 1)}
    if not any(allowed.values()):
        with pytest.raises(ValueError, match="no group has silhouettes"):
            silhouette_by(X, labels, groups, other=other)
        return
    by = silhouette_by(X, labels, groups, other=other)
    for group, has_score in allowed.items():
        mine = groups == group
        assert by.n_labels[group] == len(set(labels[mine]))
        if not has_score:
            assert np.isnan(by.silhouettes[mine]).all()
            assert np.isnan([by.scores[group], by.macro_scores[group], by.mixing_scores[group]]).all()
            continue
        expected = twin(X[mine], labels[mine], other)
        assert_silhouettes_close(by.silhouettes[mine], expected, dtype=X.dtype)
        means = [expected[labels[mine] == label].mean() for label in np.unique(labels[mine])]
        assert by.scores[group] == pytest.approx(expected.mean(), abs=1e-10)
        assert by.macro_scores[group] == pytest.approx(np.mean(means), abs=1e-10)
        assert by.mixing_scores[group] == pytest.approx(1 - np.abs(expected).mean(), abs=1e-10)
    assert by.score == np.nanmean(by.scores)


@pytest.mark.parametrize(
    ("metric", "other", "expected"),
    [
        ("euclidean", "nearest", 0.8757107),
        ("euclidean", "mean", 0.87116885),
        ("euclidean", "furthest", 0.85577166),
        ("cosine", "mean", 0.65393513),
        ("cosine", "furthest", 0.6218669),
    ],
)
def test_published_scores_of_batches(metric, other, expected):
    """What scib-metrics 0.5.10 gives, in float32: ``silhouette_batch`` and ``bras``; it leaves species 0 out too."""
    X, species, batch = cells()
    by = silhouette_by(X, labels=batch, groups=species, metric=metric, other=other)
    assert by.mixing_score == pytest.approx(expected, abs=2e-6)
    assert np.isnan(by.mixing_scores).tolist() == [True, False, False]


@pytest.mark.parametrize("other", ["nearest", "mean", "furthest"])
@pytest.mark.parametrize("metric", ["sqeuclidean", "correlation", "manhattan", "chebyshev", "precomputed"])
def test_other_metrics(metric, other):
    X, species, batch = cells()
    X = X.astype(float)
    by = silhouette_by(
        cdist(X, X, "cityblock") if metric == "precomputed" else X, batch, species, metric=metric, other=other
    )
    mine = species == 2
    expected = twin(X[mine], batch[mine], other, "manhattan" if metric == "precomputed" else metric)
    assert_silhouettes_close(by.silhouettes[mine], expected, dtype=np.float64)


@pytest.mark.parametrize("metric", ["mahalanobis", "seuclidean"])
def test_every_group_is_measured_by_the_covariance_of_all(metric):
    X, species, batch = cells()
    X = X.astype(float)
    params = {"VI": np.linalg.inv(np.cov(X.T))} if metric == "mahalanobis" else {"V": X.var(axis=0, ddof=1)}
    mine = species == 1
    for by in (
        silhouette_by(X, batch, species, metric=metric),
        silhouette_by(X, batch, species, metric=metric, **params),
    ):
        expected = twin(X[mine], batch[mine], "nearest", metric, **params)
        np.testing.assert_allclose(by.silhouettes[mine], expected, atol=1e-9)


@pytest.mark.parametrize("other", ["nearest", "mean"])
def test_containers_threads_and_names(other):
    X, species, batch = cells()
    names, languages = np.array(["u", "v", "w"])[batch], np.array(["en", "fr", "de"])[species]
    by = silhouette_by(X, batch, species, other=other, n_jobs=1)
    named = silhouette_by(X, names, languages, other=other, n_jobs=3)
    assert named.groups.tolist() == ["de", "en", "fr"]
    assert_same_bits(named.silhouettes, by.silhouettes)
    sparse = silhouette_by(csr_array(X), batch, species, other=other)
    np.testing.assert_allclose(sparse.silhouettes, by.silhouettes, atol=2e-6)


def test_labels_that_are_left_out():
    X, species, batch = cells()
    by = silhouette_by(X, batch, species, ignore_label=2)
    kept = (batch != 2) & (species == 1)
    assert np.isnan(by.silhouettes[batch == 2]).all()
    assert_same_bits(by.silhouettes[kept], silhouette_samples(X[kept], batch[kept]))
    assert by.sizes.tolist() == [np.count_nonzero((batch != 2) & (species == group)) for group in range(3)]


def test_one_group_is_the_plain_call():
    X, species, _ = cells()
    by = silhouette_by(X, species, np.zeros(150, dtype=int))
    assert_same_bits(by.silhouettes, silhouette_samples(X, species))


def test_a_row_a_group():
    pytest.importorskip("pandas", exc_type=ImportError)
    X, species, batch = cells()
    by = silhouette_by(X, batch, species)
    frame = by.to_frame()
    assert frame.index.tolist() == [0, 1, 2]
    assert frame["mixing_score"].mean() == pytest.approx(by.mixing_score)
    assert repr(by).startswith("SilhouettesByGroup(n_groups=3, without_score=1, score=")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"groups": np.zeros(9)}, "groups has 9 entries but X has 150 rows"),
        ({"groups": np.where(np.arange(150) == 7, np.nan, 0.0)}, r"groups contains nan \(a missing value\) at row 7"),
        ({"other": "next"}, "other='next' is not known; pass 'nearest', 'mean' or 'furthest'"),
        ({"groups": np.arange(150)}, "no group has silhouettes"),
        ({"labels": np.zeros((3, 50))}, "shape"),
    ],
)
def test_arguments_that_are_wrong(arguments, words):
    X, species, batch = cells()
    with pytest.raises(ValueError, match=words):
        silhouette_by(**{"X": X, "labels": batch, "groups": species, **arguments})


def test_given_distances_are_checked():
    X, species, batch = cells()
    distances = cdist(X, X)
    distances[120, 130] = -1
    with pytest.raises(ValueError, match="Negative values in X: row 120, column 130"):
        silhouette_by(distances, batch, species, metric="precomputed")

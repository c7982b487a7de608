"""What is remembered while scikit-learn is patched: a call again costs nothing, and no other is taken for it."""

import functools
import gc
import weakref

import numpy as np
import pytest
import scipy.sparse
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st

from assertions import assert_same_bits
from fastsil import patch_sklearn, silhouette_profile, silhouette_samples, silhouette_score
from fastsil.engines.terms import SilhouetteTerms, Work
from fastsil.scoring import scores
from fastsil.scoring.result_cache import MEMO, Memo
from fastsil.validation.partition import partition_from_codes


def mixture(n_samples=50, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n_samples) % 3
    return labels[:, None] + rng.normal(size=(n_samples, 4)), labels


@pytest.fixture
def computed(monkeypatch):
    """The metrics of the calls that were computed."""
    metrics = []

    def counting(X, partition, metric, metric_params, **options):
        metrics.append(metric)
        return compute(X, partition, metric, metric_params, **options)

    compute = scores.compute_terms
    monkeypatch.setattr(scores, "compute_terms", counting)
    with patch_sklearn():
        yield metrics


def test_samples_after_the_score(computed):
    X, labels = mixture()
    score = sklearn.metrics.silhouette_score(X, labels)
    samples = sklearn.metrics.silhouette_samples(X, labels)
    assert computed == ["euclidean"]
    assert score == pytest.approx(samples.mean())


def test_other_containers_names_and_numbers_of_threads_of_the_same_call(computed):
    X, labels = mixture()
    expected = silhouette_samples(X, labels)
    for same_X in (X.copy(), np.asfortranarray(X), X.tolist()):
        for same_labels in (labels.tolist(), labels * 2 - 7, labels.astype(str)):
            assert_same_bits(silhouette_samples(same_X, same_labels, n_jobs=1), expected)
    profile = silhouette_profile(X, labels.astype(str))
    assert set(profile.neighbor) <= {"0", "1", "2"}
    assert len(computed) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda X, labels: X.__setitem__((7, 2), X[7, 2] + 1e-12),
        lambda X, labels: X.__setitem__(slice(None), X * -1),
        lambda X, labels: X.__setitem__(slice(None), X[::-1].copy()),
        lambda X, labels: labels.__setitem__(3, 2),
        lambda X, labels: labels.__setitem__(slice(None), labels[::-1].copy()),
    ],
    ids=["a digit", "signs", "order of rows", "a label", "order of labels"],
)
def test_changes_in_place_are_seen(computed, change):
    X, labels = mixture()
    silhouette_score(X, labels)
    change(X, labels)
    changed = silhouette_samples(X, labels)
    assert len(computed) == 2
    assert_same_bits(changed, silhouette_samples(X, labels))


def test_other_calls_are_not_taken_for_it(computed):
    X, labels = mixture()
    covariance = np.cov(X, rowvar=False)
    calls = [
        {"metric": "euclidean"},
        {"metric": "manhattan"},
        {"metric": "minkowski", "p": 3},
        {"metric": "minkowski", "p": 3.5},
        {"metric": "mahalanobis", "V": covariance},
        {"metric": "mahalanobis", "V": covariance * 2},
        {"metric": "mahalanobis", "VI": covariance},
    ]
    for params in calls:
        silhouette_score(X, labels, **params)
    assert len(computed) == len(calls)
    silhouette_score(X.astype(np.float32), labels)
    silhouette_score(X.reshape(25, 8), labels[:25])
    assert len(computed) == len(calls) + 2


def test_the_two_latest_are_kept(computed):
    X, labels = mixture()
    for metric in ("euclidean", "manhattan", "euclidean", "manhattan"):
        silhouette_score(X, labels, metric=metric)
    assert computed == ["euclidean", "manhattan"]
    for metric in ("chebyshev", "manhattan", "euclidean"):
        silhouette_score(X, labels, metric=metric)
    assert computed == ["euclidean", "manhattan", "chebyshev", "euclidean"]


@pytest.mark.parametrize(
    "metric",
    ["cosine", "sqeuclidean", "precomputed", lambda x, y: np.abs(x - y).sum()],
    ids=["cosine", "sqeuclidean", "precomputed", "callable"],
)
def test_what_costs_no_more_than_looking_it_up_or_may_change_unseen_is_computed(computed, metric):
    X, labels = mixture()
    if metric == "precomputed":
        X = sklearn.metrics.pairwise_distances(X)
    for _ in range(2):
        silhouette_score(X, labels, metric=metric)
    assert len(computed) == 2


def test_data_in_a_file_are_not_read_twice(computed, tmp_path):
    X, labels = mixture()
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for _ in range(2):
        silhouette_score(mapped, labels)
        silhouette_score(mapped[:20], labels[:20])
    assert len(computed) == 4


def test_sparse_data(computed):
    X, labels = mixture()
    X[X < 0.5] = 0
    for _ in range(2):
        silhouette_score(scipy.sparse.csr_array(X), labels, metric="manhattan")
    assert len(computed) == 1
    X[3, 1] = 9
    silhouette_score(scipy.sparse.csr_array(X), labels, metric="manhattan")
    assert len(computed) == 2


def test_results_share_nothing(computed):
    X, labels = mixture()
    first = silhouette_profile(X, labels)
    expected = first.a.copy()
    first.a[:] = first.b[:] = 9
    second = silhouette_profile(X, labels)
    assert_same_bits(second.a, expected)
    second.a[:] = 8
    assert_same_bits(silhouette_profile(X, labels).a, expected)
    assert len(computed) == 1


def test_the_data_are_not_kept_alive(computed):
    class Tracked(np.ndarray):
        pass

    X, labels = mixture()
    X = X.view(Tracked)
    gone = weakref.ref(X)
    silhouette_score(X, labels)
    del X
    gc.collect()
    assert gone() is None


def test_nothing_is_remembered_without_the_patch(monkeypatch):
    X, labels = mixture()
    with patch_sklearn():
        silhouette_score(X, labels)
        assert MEMO._results
    assert not MEMO._results
    silhouette_score(X, labels)
    assert not MEMO._results


def test_a_failure_is_not_remembered(computed):
    X, labels = mixture()
    for _ in range(2):
        with pytest.raises(TypeError):
            silhouette_score(X, labels, metric="chebyshev", color=1)
    assert not MEMO._results


def terms_of(n_samples, value=1.0):
    array = np.full(n_samples, value)
    return SilhouetteTerms(a=array, b=array, neighbor=np.zeros(n_samples, np.int32), work=Work("", 0, 0.0))


def test_bytes_are_bounded():
    memo = Memo(max_results=9, max_bytes=5000)
    memo.switch(on=True)
    for n_samples, kept in [(100, 1), (120, 2), (200, 1), (300, 1), (10, 2)]:
        partition = partition_from_codes(np.arange(2), np.arange(n_samples) % 2)
        compute = functools.partial(terms_of, n_samples)
        memo.recall(np.ones((n_samples, 1)), partition, "euclidean", {}, compute, n_jobs=1)
        assert memo._bytes() <= 5000
        assert len(memo._results) == kept


@given(st.integers(1, 5), st.integers(1, 40), st.data())
def test_any_change_of_a_large_array_is_seen_hypothesis(n_jobs, pieces, data):
    """Every byte counts, in the first piece and in the last, for any number of threads."""
    memo = Memo()
    memo.switch(on=True)
    n_samples = 3 + pieces * 40_000
    X, partition = np.zeros((n_samples, 1)), partition_from_codes(np.arange(2), np.arange(n_samples) % 2)
    row = data.draw(st.integers(0, n_samples - 1))
    byte = data.draw(st.integers(0, 7))
    memo.recall(X, partition, "euclidean", {}, lambda: terms_of(n_samples, 1), n_jobs=n_jobs)
    assert memo.recall(X, partition, "euclidean", {}, lambda: terms_of(n_samples, 2), n_jobs=1).a[0] == 1
    X.view(np.uint8)[row, byte] += 1
    assert memo.recall(X, partition, "euclidean", {}, lambda: terms_of(n_samples, 3), n_jobs=n_jobs).a[0] == 3

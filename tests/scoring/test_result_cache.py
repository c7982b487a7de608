"""The result that is kept while scikit-learn is patched: the same call is not computed again, and no other is taken
for it.
"""

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
from fastsil.scoring.result_cache import RESULT_CACHE, ResultCache
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
    calls = [{"metric": "manhattan"}, {"metric": "euclidean", "squared": False}, {"metric": lambda x, y: 1.0}]
    silhouette_score(X, labels)
    silhouette_score(X.astype(np.float32), labels)
    silhouette_score(X.reshape(25, 8), labels[:25])
    assert len(computed) == 3
    silhouette_score(X, labels)
    for params in calls * 2:
        silhouette_score(X, labels, **params)
    assert len(computed) == 4 + 2 * len(calls)
    silhouette_score(X, labels)
    assert len(computed) == 4 + 2 * len(calls)


def test_labels_of_one_byte(computed):
    """Of 200 samples: their positions do not fit the type of the labels."""
    X, labels = mixture(200)
    expected = silhouette_samples(X, labels)
    assert_same_bits(silhouette_samples(X, (labels - 2).astype(np.int8)), expected)
    assert len(computed) == 1
    labels[150] = (labels[150] + 1) % 3
    assert not np.array_equal(silhouette_samples(X, labels.astype(np.int8)), expected)
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
    X[X < 1.5] = 0
    sparse = scipy.sparse.csr_array(X)
    for _ in range(2):
        silhouette_score(sparse, labels)
    assert len(computed) == 1
    silhouette_score(X, labels)
    assert len(computed) == 2


@pytest.mark.parametrize("part", ["indices", "indptr"])
def test_the_structure_of_sparse_data_counts(computed, part):
    """The same values at other columns, or in other rows, are other data."""
    labels = np.arange(60) % 3
    values, columns = np.arange(1.0, 61.0), np.arange(60, dtype=np.int32) % 5
    ends = np.arange(61, dtype=np.int32)
    silhouette_score(scipy.sparse.csr_array((values, columns, ends), shape=(60, 40)), labels)
    changed = {"indices": columns.copy(), "indptr": ends.copy()}
    changed[part][7] += 1
    other = scipy.sparse.csr_array((values, changed["indices"], changed["indptr"]), shape=(60, 40))
    found = silhouette_samples(other, labels)
    assert len(computed) == 2
    np.testing.assert_allclose(found, silhouette_samples(other.toarray(), labels), atol=1e-12)


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
        assert RESULT_CACHE._latest
    assert not RESULT_CACHE._latest
    silhouette_score(X, labels)
    assert not RESULT_CACHE._latest


def test_a_failure_is_not_remembered(computed):
    X, labels = mixture()
    for _ in range(2):
        with pytest.raises(TypeError):
            silhouette_score(X, labels, metric="chebyshev", color=1)
    assert not RESULT_CACHE._latest


def terms_of(n_samples, value=1.0):
    array = np.full(n_samples, value)
    return SilhouetteTerms(a=array, b=array, neighbor=np.zeros(n_samples, np.int32), work=Work("", 0, 0.0))


def test_a_large_result_is_not_kept(monkeypatch):
    monkeypatch.setattr("fastsil.scoring.result_cache._MAX_BYTES", 2000)
    cache = ResultCache()
    cache.switch(on=True)
    for n_samples, kept in [(100, True), (101, False), (50, True)]:
        partition = partition_from_codes(np.arange(2), np.arange(n_samples) % 2)
        cache.get(np.ones((n_samples, 1)), partition, lambda n=n_samples: terms_of(n))
        assert (len(cache._latest[1].a) == n_samples) == kept


@given(st.integers(0, 40_000), st.integers(0, 7))
def test_any_change_of_a_large_array_is_seen_hypothesis(row, byte):
    """Every byte counts."""
    cache = ResultCache()
    cache.switch(on=True)
    X, partition = np.zeros((40_001, 1)), partition_from_codes(np.arange(2), np.arange(40_001) % 2)
    cache.get(X, partition, lambda: terms_of(40_001, 1))
    assert cache.get(X, partition, lambda: terms_of(40_001, 2)).a[0] == 1
    X.view(np.uint8)[row, byte] += 1
    assert cache.get(X, partition, lambda: terms_of(40_001, 3)).a[0] == 3

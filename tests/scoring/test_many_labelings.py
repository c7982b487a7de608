"""Several labelings in one call: what a call for each of them gives."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import config_context
from sklearn import metrics as sklearn_metrics

import reference
from assertions import assert_same_bits, assert_silhouettes_close, tolerance_of
from fastsil import silhouette_profiles, silhouette_samples, silhouette_samples_many
from fastsil.engines.euclidean import many_labelings as shared
from fastsil.runtime.progress import ignore_progress
from fastsil.validation.partition import partition_from_codes
from strategies import labeled_data
from strategies import labels as drawn_labels

METRICS = ["euclidean", "mahalanobis", "seuclidean", "sqeuclidean", "cosine", "correlation", "manhattan", "chebyshev"]


@pytest.fixture(params=["as chosen", "together", "one by one"])
def way(request, monkeypatch):
    """Labelings in one pass, each alone, or as the cost model decides."""
    if request.param != "as chosen":
        together = request.param == "together"
        monkeypatch.setattr(shared, "choose_together", lambda partitions, n: [*range(len(partitions))] * together)
    return request.param


def mixture(n_samples=90, n_features=6, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, n_features)) + 2 * rng.normal(size=(4, n_features))[np.arange(n_samples) % 4]
    labelings = [rng.permutation(np.arange(n_samples) % k) for k in (2, 3, 7, n_samples - 1)]
    return X.astype(dtype), labelings


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", METRICS)
def test_equal_to_a_call_for_each(metric, dtype, way):
    X, labelings = mixture(dtype=dtype)
    together = silhouette_samples_many(X, labelings, metric=metric)
    assert together.shape == (4, 90)
    for silhouettes, labels in zip(together, labelings, strict=True):
        assert_silhouettes_close(silhouettes, silhouette_samples(X, labels, metric=metric), dtype=dtype)
        expected = sklearn_metrics.silhouette_samples(X, labels, metric=metric)
        np.testing.assert_allclose(silhouettes, expected, rtol=0, atol=5 * tolerance_of(dtype))


def test_precomputed_distances_and_a_callable():
    X, labelings = mixture(30)
    distances = np.abs(X[:, None] - X[None]).max(axis=2)
    expected = silhouette_samples_many(X, labelings, metric="chebyshev")
    for given_as in ({"X": distances, "metric": "precomputed"}, {"X": X, "metric": lambda x, y: np.abs(x - y).max()}):
        np.testing.assert_allclose(silhouette_samples_many(labelings=labelings, **given_as), expected, atol=1e-12)


def test_profiles_are_those_of_the_silhouettes():
    X, labelings = mixture()
    profiles = silhouette_profiles(X, labelings)
    assert_same_bits(np.stack([profile.silhouettes for profile in profiles]), silhouette_samples_many(X, labelings))
    for profile, labels in zip(profiles, labelings, strict=True):
        np.testing.assert_array_equal(profile.labels, labels)
        terms = reference.compute_terms(X, labels)
        np.testing.assert_allclose(profile.a, terms.a.astype(float), rtol=1e-10)
        np.testing.assert_allclose(profile.b, terms.b.astype(float), rtol=1e-10)


def test_a_labeling_may_come_twice_and_in_any_container():
    X, (labels, *_) = mixture()
    names = np.array(["north", "south"])[labels]
    same = silhouette_samples_many(X, (labels, labels.tolist(), names, labels))
    for row in same[1:]:
        assert_same_bits(row, same[0])
    assert_same_bits(silhouette_samples_many(X, np.stack([labels, labels])), same[:2])


@pytest.mark.parametrize("metric", ["euclidean", "mahalanobis", "cosine", "manhattan"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_bits_for_any_number_of_threads(metric, dtype, way):
    X, labelings = mixture(1500, dtype=dtype)
    alone = silhouette_samples_many(X, labelings[:3], metric=metric, n_jobs=1)
    for n_jobs in (2, 5):
        assert_same_bits(silhouette_samples_many(X, labelings[:3], metric=metric, n_jobs=n_jobs), alone)


@st.composite
def many_labelings(draw, dtype):
    X, first = draw(labeled_data(dtype=dtype))
    return X, [first, *(draw(drawn_labels(len(X))) for _ in range(draw(st.integers(0, 3))))]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_promise_where_labels_do_not_follow_near_duplicates(dtype):
    rng = np.random.default_rng(3)
    clumps = 1e3 + 30 * rng.normal(size=(5, 8))[rng.integers(5, size=400)] + 1e-3 * rng.normal(size=(400, 8))
    assert_promise_kept(clumps.astype(dtype), [rng.integers(k, size=400) for k in (2, 3, 5, 8)])


@pytest.mark.parametrize("budget", [2, 4, 8, 1024])
def test_sums_stay_within_the_budget(budget):
    partitions = [partition_from_codes(np.arange(k), np.arange(4000) % k) for k in (2, 40, 41, 42)]
    with config_context(working_memory=budget):  # MiB
        chosen = shared.choose_together(partitions, 100_000)
    assert sum(16 * 4000 * partitions[place].n_clusters for place in chosen) <= budget * 2**20
    assert len(chosen) == {2: 0, 4: 2, 8: 4, 1024: 4}[budget]


def test_few_clusters_go_together_and_a_single_labeling_alone():
    X, labelings = mixture(600)
    works = [profile.work.strategy for profile in silhouette_profiles(X, [np.arange(600) % k for k in range(2, 9)])]
    assert all(work.startswith("euclidean: all pairs") for work in works)
    assert silhouette_profiles(X, labelings[:1])[0].work.strategy.startswith("euclidean")


def assert_promise_kept(X, labelings):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared, "choose_together", lambda partitions, n_features: [*range(len(partitions))])
        together = silhouette_samples_many(X, labelings)
    for silhouettes, labels in zip(together, labelings, strict=True):
        assert_silhouettes_close(silhouettes, reference.silhouette_samples(X, labels), dtype=X.dtype)


@given(many_labelings(np.float32))
def test_promise_hypothesis_float32(data):
    assert_promise_kept(*data)


@given(many_labelings(np.float64))
def test_promise_hypothesis_float64(data):
    assert_promise_kept(*data)


def test_the_bar_reaches_its_end(capsys):
    pytest.importorskip("tqdm")
    X, labelings = mixture()
    silhouette_samples_many(X, labelings, progress=True)
    assert "100%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("labelings", "error", "message"),
    [
        ([], ValueError, "labelings is empty"),
        (3, TypeError, "sequence of label arrays, got int"),
        ("012", TypeError, "sequence of label arrays, got str"),
        ([0, 1, 0], ValueError, "one labeling, not a sequence"),
        ([[0, 1, 0], [0, 1]], ValueError, r"labelings\[1\]: labels has 2 entries but X has 3 rows"),
        ([[0, 1, 0], [5, 5, 5]], ValueError, r"labelings\[1\]: Number of labels is 1"),
        ([[0, 1, 0], np.array([0, "a", "a"], dtype=object)], TypeError, r"labelings\[1\]: .*no order"),
    ],
)
def test_bad_labelings(labelings, error, message):
    with pytest.raises(error, match=message):
        silhouette_samples_many([[0.0], [1.0], [2.0]], labelings)


def test_meetings_of_units_give_the_bits_of_those_of_blocks(monkeypatch):
    """For more threads than blocks; of three units, the last of them short, and of clusters across their edges."""
    monkeypatch.setattr(shared, "_BLOCKS", 2)
    monkeypatch.setattr(shared, "worthwhile_threads", lambda shape, n_jobs: n_jobs)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 24)).astype(np.float32)
    partitions = [partition_from_codes(np.arange(k), rng.permutation(np.arange(2000) % k)) for k in (2, 5, 11)]
    few, many = (shared.compute_terms_many(X, partitions, n_jobs=n_jobs, tick=ignore_progress) for n_jobs in (2, 3))
    parts = [shared.Part(0, 1000, 0, True), shared.Part(1000, 2000, 1, True)]
    assert [len(shared._schedule_meetings(parts, n_jobs)) for n_jobs in (2, 3)] == [3, 2 * 6 + 9]
    for one, other in zip(few, many, strict=True):
        for name in ("a", "b", "neighbor"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))

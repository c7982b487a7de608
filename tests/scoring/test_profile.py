"""The record of one pass: consistent with itself and with a hand-made example."""

import dataclasses

import numpy as np
import pytest

import reference
from assertions import assert_terms_close
from fastsil import silhouette_profile, silhouette_samples

# Two clusters on a line and one sample alone. By hand: the first sample is 1 from its companion, 5 from "lone", and
# (9 + 10 + 12) / 3 from the members of "right".
X = np.array([[0.0], [1.0], [9.0], [10.0], [12.0], [5.0]])
LABELS = np.array(["left", "left", "right", "right", "right", "lone"])


@pytest.fixture
def profile():
    return silhouette_profile(X, LABELS)


def test_terms_by_hand(profile):
    np.testing.assert_allclose(profile.a, [1, 1, 2, 1.5, 2.5, 0])
    np.testing.assert_allclose(profile.b, [5, 4, 4, 5, 7, 4.5])
    np.testing.assert_array_equal(profile.neighbor, ["lone", "lone", "lone", "lone", "lone", "left"])
    np.testing.assert_allclose(profile.silhouettes, [4 / 5, 3 / 4, 2 / 4, 3.5 / 5, 4.5 / 7, 0])


def test_summary_by_hand(profile):
    assert (profile.n_samples, profile.n_clusters) == (6, 3)
    assert (profile.n_negative, profile.n_zero, profile.n_positive) == (0, 1, 5)
    assert profile.score == pytest.approx(np.mean([4 / 5, 3 / 4, 2 / 4, 3.5 / 5, 4.5 / 7, 0]))
    assert profile.macro_score == pytest.approx(np.mean([(4 / 5 + 3 / 4) / 2, 0, (2 / 4 + 3.5 / 5 + 4.5 / 7) / 3]))


def test_table_of_clusters_by_hand(profile):
    table = profile.clusters
    np.testing.assert_array_equal(table.label, ["left", "lone", "right"])
    np.testing.assert_array_equal(table.size, [2, 1, 3])
    np.testing.assert_allclose(table.silhouette, [0.775, 0, (2 / 4 + 3.5 / 5 + 4.5 / 7) / 3])
    np.testing.assert_allclose(table.a, [1, 0, 2])
    np.testing.assert_allclose(table.b, [4.5, 4.5, 16 / 3])
    np.testing.assert_array_equal(table.negative, [0, 0, 0])
    np.testing.assert_array_equal(table.neighbor, ["lone", "left", "lone"])


def test_counts_add_up_and_name_the_bad_cluster():
    rng = np.random.default_rng(0)
    labels = np.repeat([10, 20, 30], 30)
    points = labels[:, None] + rng.normal(size=(90, 2))
    labels[:3] = 30
    profile = silhouette_profile(points, labels)
    assert profile.n_negative + profile.n_zero + profile.n_positive == 90
    assert profile.n_negative == 3
    np.testing.assert_array_equal(profile.clusters.negative, [0, 0, 3])
    np.testing.assert_array_equal(profile.neighbor[:3], [10, 10, 10])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "mahalanobis"])
def test_terms_equal_the_reference(metric, dtype):
    rng = np.random.default_rng(1)
    points, codes = rng.normal(size=(80, 3)).astype(dtype), np.arange(80) % 5
    profile = silhouette_profile(points, codes, metric=metric)
    expected = reference.compute_terms(points, codes, metric)
    assert_terms_close(profile, expected, dtype=dtype)
    assert profile.metric == metric
    np.testing.assert_array_equal(profile.silhouettes, silhouette_samples(points, codes, metric=metric))
    assert profile.silhouettes.dtype == dtype
    assert profile.a.dtype == profile.b.dtype == np.float64


def test_labels_come_back_as_they_were_given():
    for labels in (LABELS, list(LABELS), np.array([3, 3, -1, -1, -1, 9], dtype=np.int16)):
        profile = silhouette_profile(X, labels)
        np.testing.assert_array_equal(profile.labels, labels)
        assert profile.labels.dtype == np.asarray(labels).dtype


def test_the_record_is_frozen(profile):
    with pytest.raises(dataclasses.FrozenInstanceError):
        profile.score = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        profile.a = np.zeros(6)


def test_repr_is_one_line_that_says_the_score(profile):
    assert "\n" not in repr(profile)
    assert f"score={profile.score:.4f}" in repr(profile)


def test_frame(profile):
    pytest.importorskip("pandas")
    frame = profile.to_frame()
    assert list(frame.columns) == ["label", "silhouette", "a", "b", "neighbor"]
    assert len(frame) == 6
    np.testing.assert_array_equal(frame["label"], LABELS)
    np.testing.assert_array_equal(frame["silhouette"], profile.silhouettes)


def test_work_is_on_the_profile(profile):
    assert profile.work.strategy
    assert profile.work.pairs <= 36
    assert 0 < profile.work.share <= 1


def test_a_callables_name_is_the_metric():
    def far(x, y):
        return float(np.abs(x - y).sum())

    assert silhouette_profile(X, LABELS, metric=far).metric == "far"


def test_html_shows_every_cluster_and_labels_as_text():
    html = silhouette_profile(X, np.where(LABELS == "lone", "<script>", LABELS))._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert html.count("<tr>") == 4

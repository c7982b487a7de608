"""The test of gaps: finds valleys that are there, none that are not, and does not depend on what must not matter."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.cluster import KMeans

from fastsil.sweep.gaps import MAX_DEPTH, find_gaps, gap_test, measure_finer_depth


def identity(X):
    return X


def cluster(X, ks):
    return {k: KMeans(k, n_init=3, random_state=0).fit_predict(X) for k in ks}


def run(X, ks=range(2, 6), *, labels=None, seed=0, n_jobs=1, transform=identity):
    labels = cluster(transform(X), ks) if labels is None else labels
    return find_gaps(X, transform, labels, random=np.random.default_rng(seed), n_jobs=n_jobs)


def make_blobs(k, distance, n=300, d=5, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, d)) + np.eye(k, d)[np.arange(n) % k] * distance / np.sqrt(2)


GROUPLESS = {
    "gaussian": lambda random: random.normal(size=(300, 5)) * [5, 1, 1, 1, 1],
    "uniform": lambda random: random.uniform(size=(300, 2)) * [3, 1],
    "log-normal": lambda random: np.exp(random.normal(size=(300, 5))),
    "heavy tails": lambda random: random.standard_t(3, size=(300, 5)),
    "outliers": lambda random: random.normal(size=(300, 5)) * np.where(np.arange(300) < 9, 8, 1)[:, None],
    "whole numbers": lambda random: np.rint(1.2 * random.normal(size=(300, 2))),
    "yes or no": lambda random: (random.uniform(size=(300, 6)) < 0.4).astype(float),
    "more features than samples": lambda random: random.normal(size=(60, 200)),
}


@pytest.mark.parametrize("kind", GROUPLESS)
def test_data_without_groups_have_no_gaps(kind):
    gaps = run(GROUPLESS[kind](np.random.default_rng(5)))
    assert gaps.p_value > 0.05


@pytest.mark.parametrize("k", [2, 3, 4])
def test_groups_are_found_with_their_number(k):
    gaps = run(make_blobs(k, 6))
    assert gaps.p_value < 0.001
    assert gaps.n_clusters[np.argmax(gaps.z)] == k
    best = gaps.at(k)
    assert best.depth < 0.2
    assert best.separate.all()
    np.testing.assert_array_equal(best.pairs, np.column_stack(np.triu_indices(k, 1)))


def test_halves_of_one_group_are_not_separate():
    gaps = run(make_blobs(2, 8, d=2), ks=[2, 3])
    assert gaps.at(2).separate.all()
    assert not gaps.at(3).separate.all()
    closest = gaps.at(3).closest[0]
    assert gaps.at(3).depths[closest] > MAX_DEPTH


def test_groups_across_a_longer_axis_are_found_along_another_axis():
    X = make_blobs(2, 5, d=4, n=400) * [1, 1, 1, 6]
    gaps = run(X)
    assert gaps.p_value < 0.001
    assert gaps.p_clusters > 0.05


def test_the_same_bits_for_any_number_of_threads():
    X = make_blobs(3, 4)
    one, two = (run(X, n_jobs=n_jobs) for n_jobs in (1, 2))
    np.testing.assert_array_equal(one.z, two.z)
    np.testing.assert_array_equal(one.axis_z, two.axis_z)
    np.testing.assert_array_equal(one.at(3).profiles, two.at(3).profiles)


@pytest.mark.parametrize(
    "change",
    [lambda X: X + 100, lambda X: X * 1e-3, lambda X: X * 1e120, lambda X: -X],
    ids=["moved", "small", "huge", "mirrored"],
)
def test_place_scale_and_direction_do_not_matter(change):
    X = make_blobs(3, 4)
    labels = cluster(X, range(2, 6))
    np.testing.assert_allclose(run(X, labels=labels).z, run(change(X), labels=labels).z, atol=0.2)


def test_rotation_does_not_matter():
    X = make_blobs(3, 4)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    labels = cluster(X, range(2, 6))
    np.testing.assert_allclose(run(X, labels=labels).z, run(X @ rotation, labels=labels).z, atol=0.2)


def test_sparse_data_are_tested_as_dense_ones():
    X = np.abs(make_blobs(3, 6, d=8))
    X[X < 0.5] = 0
    labels = cluster(X, range(2, 5))
    dense, thin = run(X, labels=labels), run(sparse.csr_matrix(X), labels=labels)
    np.testing.assert_allclose(dense.z, thin.z, atol=0.5)
    assert thin.p_value < 0.001


def test_copies_of_rows_count_once():
    X = np.random.default_rng(0).uniform(size=(150, 2))
    copied = np.repeat(X, 4, axis=0)
    labels = cluster(X, [2, 3])
    twice = run(copied, labels={k: np.repeat(codes, 4) for k, codes in labels.items()})
    assert abs(twice.z).max() < 3
    assert twice.p_value > 0.05


def test_labels_of_any_kind_name_the_clusters():
    X = make_blobs(2, 8)
    names = np.array(["b", "a"])[cluster(X, [2])[2]]
    assert run(X, labels={2: names}).at(2).separate.all()


def test_clusters_that_are_not_found_again_show_nothing():
    X = make_blobs(2, 8)
    labels = {2: np.random.default_rng(0).integers(2, size=len(X))}
    gaps = run(X, labels=labels)
    assert gaps.at(2).midway.sum() + gaps.at(2).near.sum() == 0
    assert gaps.at(2).z == 0


@pytest.mark.parametrize(
    "X",
    [
        np.random.default_rng(0).normal(size=(12, 3)),
        np.ones((50, 3)),
        np.repeat(np.random.default_rng(0).normal(size=(5, 3)), 20, axis=0),
    ],
    ids=["few samples", "all alike", "few distinct samples"],
)
def test_too_little_is_not_tested(X):
    assert run(X, labels={2: np.arange(len(X)) % 2}) is None


def test_constant_features_and_one_feature_do_no_harm():
    X = make_blobs(2, 8, d=2)[:, :1]
    assert run(X).p_value < 0.001
    assert run(np.column_stack([X, np.ones(len(X))])).p_value < 0.001


def test_many_features_and_whole_numbers_far_apart():
    X = make_blobs(2, 9, n=200, d=600)
    assert run(X).p_value < 0.01
    counts = np.random.default_rng(0).poisson(np.where(np.arange(300) % 2, 30, 3)[:, None], size=(300, 2))
    assert run(counts.astype(float)).p_value < 0.001


@pytest.mark.parametrize("arc", [2.0, 1.5], ids=["ring", "horseshoe"])
def test_finer_clusters_touch_where_clusters_are_arcs_of_a_curve(arc):
    # The first and the last third of a horseshoe lie far apart; each touches the one between them.
    random = np.random.default_rng(0)
    angle = random.uniform(0, arc * np.pi, size=1000)
    curve = np.column_stack([np.cos(angle), np.sin(angle)]) + 0.1 * random.normal(size=(1000, 2))
    assert measure_finer_depth(curve, identity, cluster(curve, [3])[3], np.random.default_rng(0)) > 0.6


def test_finer_clusters_of_groups_that_lie_apart_do_not_touch():
    random = np.random.default_rng(0)
    blobs = make_blobs(3, 8, n=1000, d=3)
    assert measure_finer_depth(blobs, identity, cluster(blobs, [3])[3], np.random.default_rng(0)) < 0.3
    assert np.isnan(measure_finer_depth(blobs[:30], identity, np.arange(30) % 3, random))


def test_contributions_of_copies_are_added_before_they_are_squared():
    """Or many copies of a row would be much evidence."""
    sums = np.array([1.0, 1.0, 1.0, 2.0])
    assert gap_test._standardize(sums, np.array([0, 0, 0, 1])) == pytest.approx(5 / np.sqrt(3**2 + 2**2))

"""k-means for rising k: never a worse fit for more clusters, and as good as separate fits."""

from __future__ import annotations

import warnings

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, make_blobs
from sklearn.exceptions import ConvergenceWarning

from fastsil import KMeansSweep
from fastsil.sweep import kmeans
from fastsil.sweep.kmeans import KMeansPath, sum_squares_about
from strategies import points

DIGITS = load_digits().data
BLOBS = make_blobs(600, centers=12, n_features=6, cluster_std=2.0, random_state=0)[0]
# Many features and no groups, as far as k-means is concerned.
CLOUD = np.random.default_rng(0).normal(size=(1500, 30)) / np.arange(1, 31) ** 0.5

# Groups that overlap, for which starts differ more.
RANDOM = np.random.default_rng(0)
CENTERS = 0.7 * RANDOM.normal(size=(12, 40))
OVERLAPPING = CENTERS[RANDOM.integers(12, size=6000)] + RANDOM.normal(size=(6000, 40))
OVERLAPPING = (OVERLAPPING / np.arange(1, 41) ** 0.5).astype(np.float32)


def path_of(X, ks, *, n_init=10, seed=0):
    path = KMeansPath(X, n_init=n_init, seed=seed)
    return {k: path.fit(k) for k in ks}


@st.composite
def data_and_ks(draw):
    X = draw(points(draw(st.integers(5, 30)), draw(st.integers(1, 5)), scales=st.just(0)))
    ks = draw(st.lists(st.integers(1, len(X) - 1), min_size=2, max_size=5, unique=True))
    return X.astype(draw(st.sampled_from([np.float32, np.float64]))), sorted(ks)


@given(data_and_ks(), st.integers(1, 4), st.integers(0, 9))
def test_inertia_never_rises_and_is_that_of_the_labels(drawn, n_init, seed):
    X, ks = drawn
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # duplicates
        fits = path_of(X, ks, n_init=n_init, seed=seed)
    # Rounding is that of the largest squares there are, in the type that scikit-learn computes in.
    rounding = 40 * np.finfo(X.dtype).eps * float(np.square(X.astype(np.float64)).sum() + 1e-30)
    inertias = [fitted.inertia_ for fitted in fits.values()]
    assert (np.diff(inertias) <= rounding).all(), inertias
    for k, fitted in fits.items():
        assert fitted.labels_.max() < k
        own = sum_squares_about(X, fitted.cluster_centers_, fitted.labels_)
        assert abs(fitted.inertia_ - own) <= rounding


@pytest.mark.parametrize("seed", range(8))
def test_inertia_never_rises_beyond_the_number_of_distinct_samples(seed):
    random = np.random.default_rng(seed)
    X = random.integers(0, 20, size=(7, 3)).astype(np.float32)[random.integers(0, 7, 26)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        inertias = [fitted.inertia_ for fitted in path_of(X, [9, 13, 15, 17, 22], n_init=2, seed=seed).values()]
    assert (np.diff(inertias) <= 1e-5 * np.square(X).sum()).all(), inertias


@pytest.mark.parametrize(
    "X",
    [
        pytest.param(DIGITS, id="digits", marks=pytest.mark.slow),
        pytest.param(BLOBS, id="blobs"),
        pytest.param(CLOUD, id="cloud", marks=pytest.mark.slow),
    ],
)
def test_inertia_is_that_of_separate_fits_with_ten_restarts(X):
    ks = range(2, 13)
    ours = [fitted.inertia_ for fitted in path_of(X, ks).values()]
    separate = [KMeans(k, n_init=10, random_state=0).fit(X).inertia_ for k in ks]
    ratios = np.array(ours) / separate
    assert ratios.mean() < 1.002
    assert ratios.max() < 1.015  # as much as another seed of the separate fits makes


def test_a_start_that_ends_worse_than_one_cluster_less_is_refused(monkeypatch):
    def poor(self, starts, n_best=1):
        return [kmeans._Solution(np.zeros_like(starts[0]) + 1e3 + np.arange(starts.shape[1])[:, None], np.inf)]

    before = path_of(BLOBS, range(2, 9))
    monkeypatch.setattr(kmeans._Rows, "list_best_starts", poor)
    monkeypatch.setattr(kmeans._Rows, "run_to_convergence", lambda self, solution: solution)
    path = KMeansPath(BLOBS, n_init=2, seed=0)
    path.go_on_from(before[8])
    assert path.fit(9).inertia_ < before[8].inertia_


def test_a_fit_can_be_had_again_from_its_parameters():
    fitted = path_of(BLOBS, range(2, 6))[5]
    again = clone(fitted).fit(BLOBS)
    np.testing.assert_array_equal(again.labels_, fitted.labels_)
    assert again.inertia_ == fitted.inertia_


def test_going_on_from_earlier_fits_gives_the_same_bits():
    whole = path_of(DIGITS, range(2, 10), n_init=2)
    path = KMeansPath(DIGITS, n_init=2, seed=0)
    path.go_on_from(whole[6])
    for k in range(7, 10):
        fitted = path.fit(k)
        assert fitted.cluster_centers_.tobytes() == whole[k].cluster_centers_.tobytes()
        np.testing.assert_array_equal(fitted.labels_, whole[k].labels_)


def test_starts_compete_on_some_of_the_rows_and_labels_are_of_all(monkeypatch):
    monkeypatch.setattr(kmeans, "_ROWS", 600)
    monkeypatch.setattr(kmeans, "_ROWS_PER_CLUSTER", 8)
    fits = path_of(DIGITS.astype(np.float32), range(2, 9))
    assert all(len(fitted.labels_) == len(DIGITS) for fitted in fits.values())
    separate = [KMeans(k, n_init=10, random_state=0).fit(DIGITS).inertia_ for k in fits]
    inertias = np.array([fitted.inertia_ for fitted in fits.values()])
    assert (inertias / separate).max() < 1.02
    assert (np.diff(inertias) <= 0).all()


def test_the_best_starts_are_compared_on_more_rows(monkeypatch):
    for name, value in (("_ROWS", 200), ("_ROWS_PER_CLUSTER", 1), ("_FINAL_ROWS", 1500)):
        monkeypatch.setattr(kmeans, name, value)
    finals = []

    def take_best(self, others, solutions, compare=kmeans._Rows.take_best):
        best = compare(self, others, solutions)
        alone = [compare(self, others, [solution]) for solution in solutions]
        assert (len(self.norms), len(solutions)) == (1500, 3)
        assert best.inertia < 1.005 * min(solution.inertia for solution in alone)
        finals.append(self.to_data(best.centers))
        return best

    monkeypatch.setattr(kmeans._Rows, "take_best", take_best)
    fits = path_of(OVERLAPPING, range(2, 9)).values()
    for fitted, final in zip(fits, finals, strict=True):
        np.testing.assert_array_equal(fitted.init, final)
    monkeypatch.setattr(kmeans, "_FINAL_BYTES", 300 * OVERLAPPING[0].nbytes)
    path_of(OVERLAPPING, range(2, 9))
    assert len(finals) == len(fits)


@pytest.mark.parametrize("k", [5, 12])
def test_a_fit_ends_when_iterations_gain_little_if_starts_competed_on_some_rows(monkeypatch, k):
    monkeypatch.setattr(kmeans, "_ENOUGH", enough := 1e-4)
    monkeypatch.setattr(kmeans, "_ROWS", 200)
    fitted = path_of(OVERLAPPING, [k])[k]
    steps = [KMeans(k, init=fitted.init, n_init=1, tol=0, max_iter=n) for n in (fitted.n_iter_ - 1, fitted.n_iter_)]
    before, after = (step.fit(OVERLAPPING).inertia_ for step in steps)
    assert 0.1 * enough < 1 - after / before < 3 * enough
    monkeypatch.setattr(kmeans, "_ROWS", len(OVERLAPPING))
    assert path_of(OVERLAPPING, [k])[k].tol == kmeans.TOL


def test_products_are_held_for_some_starts_at_a_time(monkeypatch):
    whole = path_of(BLOBS, range(2, 6))
    monkeypatch.setattr(kmeans, "_PRODUCT_BYTES", 1)
    for k, fitted in path_of(BLOBS, range(2, 6)).items():
        assert fitted.inertia_ == pytest.approx(whole[k].inertia_, rel=1e-12)


def test_sparse_rows():
    X = np.where(DIGITS > 8, DIGITS, 0)[:400]
    for k, fitted in path_of(csr_matrix(X), range(1, 6)).items():
        assert fitted.inertia_ == pytest.approx(path_of(X, range(1, 6))[k].inertia_, rel=0.02)


def test_fewer_points_than_clusters_is_scikit_learns_warning():
    X = np.repeat([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]], 4, axis=0)
    with pytest.warns(ConvergenceWarning, match=r"distinct clusters \(3\) found smaller than n_clusters \(4\)"):
        fits = path_of(X, range(2, 5))
    assert fits[3].inertia_ == fits[4].inertia_ == 0


@pytest.mark.parametrize("n_init", [0, 2.5, "many", True])
def test_wrong_numbers_of_restarts(n_init):
    with pytest.raises(ValueError, match="n_init"):
        KMeansSweep([2], n_init=n_init).fit(BLOBS)


def test_auto_is_one_restart():
    auto, one = (KMeansSweep(range(2, 6), n_init=n_init, random_state=0).fit(BLOBS) for n_init in ("auto", 1))
    np.testing.assert_array_equal(auto.sweep_results_["inertia"], one.sweep_results_["inertia"])


def test_the_center_that_is_missed_least_is_moved():
    """Of two in one group, one goes to the group that has none."""
    X = np.concatenate([BLOBS[:1] + 1e-2 * np.random.default_rng(0).normal(size=(50, 6)) + 100 * i for i in range(4)])
    rows = kmeans._Rows(X, len(X), np.random.default_rng(0))
    centers = rows.at([0, 1, 50, 100])
    moved = rows.swap_center(centers, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(rows.squares(moved).argmin(axis=1) // 50), [0, 1, 2, 3])

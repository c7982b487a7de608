"""The sweep: one fit a k, labels and inertia of the same fit, in the geometry of the metric."""

from __future__ import annotations

import pickle
from typing import ClassVar

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClusterMixin, clone
from sklearn.cluster import AgglomerativeClustering, BisectingKMeans, KMeans, MiniBatchKMeans
from sklearn.datasets import load_iris, make_blobs
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics import silhouette_samples as sklearn_silhouettes
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, normalize
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_info

from fastsil import KMeansSweep, silhouette_samples
from fastsil.sweep import clusterers as clustering
from fastsil.sweep.estimator import SweepEvent
from fastsil.validation import arrays

IRIS = load_iris().data


@pytest.fixture(scope="module")
def blobs():
    X, y = make_blobs(300, centers=[[0, 0], [9, 0], [0, 9], [9, 9]], random_state=3)
    return X, y


def expect_failures(estimator):
    """As of scikit-learn's own KMeans: repeated rows are drawn otherwise than rows with weights."""
    reason = "other rows are drawn for the starts of k-means"
    return {f"check_sample_weight_equivalence_on_{kind}_data": reason for kind in ("dense", "sparse")}


@parametrize_with_checks([KMeansSweep(range(2, 5), n_init=1, random_state=0)], expected_failed_checks=expect_failures)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_it_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)


def test_it_finds_the_number_of_blobs(blobs):
    X, y = blobs
    sweep = KMeansSweep(range(1, 8), random_state=0).fit(X)
    assert sweep.best_k_ == 4
    assert adjusted_rand_score(y, sweep.labels_) == 1.0
    assert sweep.best_score_ == np.nanmax(sweep.sweep_results_["silhouette"])
    np.testing.assert_array_equal(sweep.labels_, sweep.estimators_[4].labels_)
    assert sweep.best_estimator_ is sweep.estimators_[4]


@pytest.mark.parametrize("k", [2, 3, 7])
def test_a_row_is_what_kmeans_and_scikit_learns_silhouettes_say(k):
    sweep = KMeansSweep(range(2, 8), estimator=KMeans(n_init=3), random_state=5).fit(IRIS)
    kmeans = KMeans(k, n_init=3, random_state=5).fit(IRIS)
    row = _row(sweep, k)
    assert row["inertia"] == pytest.approx(kmeans.inertia_, rel=1e-12)
    expected = sklearn_silhouettes(IRIS, kmeans.labels_)
    np.testing.assert_allclose(sweep.profiles_[k].silhouettes, expected, atol=1e-9)
    assert row["silhouette"] == pytest.approx(expected.mean(), abs=1e-9)
    assert row["n_negative"] == np.count_nonzero(expected < 0)
    assert row["n_negative"] + row["n_zero"] + row["n_positive"] == len(IRIS)


@pytest.mark.parametrize(
    "estimator",
    [None, MiniBatchKMeans(n_init=1), BisectingKMeans(), AgglomerativeClustering(linkage="average")],
    ids=lambda estimator: type(estimator).__name__,
)
def test_labels_that_are_scored_are_the_labels_of_the_inertia_shown(estimator):
    """Sums of squares of the scored labels, about the clusterer's own centers where it has some."""
    sweep = KMeansSweep(range(2, 7), estimator=estimator).fit(IRIS)
    for k, profile in sweep.profiles_.items():
        labels = profile.labels
        np.testing.assert_array_equal(labels, sweep.estimators_[k].labels_)
        centers = getattr(sweep.estimators_[k], "cluster_centers_", None)
        if centers is None:
            centers = np.array([IRIS[labels == c].mean(axis=0) for c in range(k)])
        assert _row(sweep, k)["inertia"] == pytest.approx(((IRIS - centers[labels]) ** 2).sum(), rel=1e-9)


class FitCounter(ClusterMixin, BaseEstimator):
    """Gives other labels at every fit, so that a second fit cannot hide."""

    fits = 0

    def __init__(self, n_clusters=2):
        self.n_clusters = n_clusters

    def fit(self, X, y=None):
        type(self).fits += 1
        self.labels_ = np.random.default_rng(type(self).fits).permutation(np.arange(len(X)) % self.n_clusters)
        self.inertia_ = float(type(self).fits)
        return self


def test_each_k_is_fitted_once_and_scored_from_that_fit():
    FitCounter.fits = 0
    sweep = KMeansSweep(range(2, 6), estimator=FitCounter()).fit(IRIS)
    assert FitCounter.fits == 4
    np.testing.assert_array_equal(sweep.sweep_results_["inertia"], [1.0, 2.0, 3.0, 4.0])
    for k, profile in sweep.profiles_.items():
        np.testing.assert_allclose(
            profile.silhouettes, sklearn_silhouettes(IRIS, sweep.estimators_[k].labels_), atol=1e-9
        )


@pytest.mark.parametrize(
    ("metric", "map_"),
    [
        ("cosine", normalize),
        ("correlation", lambda X: normalize(X - X.mean(axis=1, keepdims=True))),
        ("seuclidean", lambda X: StandardScaler().fit_transform(X)),
        ("mahalanobis", lambda X: (X - X.mean(0)) @ np.linalg.cholesky(np.linalg.inv(np.cov(X.T)))),
        ("manhattan", lambda X: X),
    ],
)
def test_it_clusters_in_the_geometry_that_it_scores_in(metric, map_):
    """The partition is k-means' partition of the mapped data, and the scores are those of the metric."""
    sweep = KMeansSweep([3, 5], metric=metric, random_state=1).fit(IRIS)
    for k in (3, 5):
        labels = sweep.profiles_[k].labels
        mapped = map_(IRIS)
        centers = np.array([mapped[labels == c].mean(axis=0) for c in range(k)])
        distances = ((mapped[:, None, :] - centers) ** 2).sum(axis=2)
        # Converged k-means: every sample is at its nearest center (up to the tolerance that it stops at).
        own = np.take_along_axis(distances, labels[:, None].astype(int), axis=1)[:, 0]
        assert np.mean(own > distances.min(axis=1) * (1 + 1e-9)) < 0.02
        np.testing.assert_allclose(
            sweep.profiles_[k].silhouettes, silhouette_samples(IRIS, labels, metric=metric), atol=1e-9
        )
        assert sweep.profiles_[k].metric == metric


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "correlation", "seuclidean", "mahalanobis"])
def test_predict_maps_new_samples_as_it_mapped_the_old(metric):
    sweep = KMeansSweep([3], metric=metric, random_state=0).fit(IRIS)
    np.testing.assert_array_equal(
        sweep.predict(IRIS), sweep.best_estimator_.predict(sweep.best_geometry_.frame.apply(IRIS))
    )
    one_by_one = np.concatenate([sweep.predict(row[None]) for row in IRIS])
    np.testing.assert_array_equal(one_by_one, sweep.predict(IRIS))
    assert np.mean(one_by_one == sweep.labels_) > 0.98


def test_metric_params_reach_map_and_scores():
    V = np.diag([1.0, 4.0, 9.0, 16.0])
    sweep = KMeansSweep([3], metric="mahalanobis", metric_params={"V": V}, random_state=0).fit(IRIS)
    scaled = IRIS / np.sqrt(np.diag(V))
    np.testing.assert_allclose(sweep.profiles_[3].silhouettes, sklearn_silhouettes(scaled, sweep.labels_), atol=1e-9)


def test_float32_stays_float32_and_reads_in_place():
    X = IRIS.astype(np.float32)
    X.setflags(write=False)
    assert KMeansSweep([2], random_state=0).fit(X).profiles_[2].silhouettes.dtype == np.float32


def test_sparse_rows(blobs):
    X = np.maximum(blobs[0], 0)
    for metric in ("euclidean", "cosine"):
        dense, sparse = (KMeansSweep([3], metric=metric, random_state=0).fit(data) for data in (X, csr_matrix(X)))
        assert adjusted_rand_score(dense.labels_, sparse.labels_) == 1.0
        assert sparse.best_score_ == pytest.approx(dense.best_score_, abs=1e-9)
    with pytest.raises(ValueError, match="dense"):
        KMeansSweep([3], metric="mahalanobis").fit(csr_matrix(X))


class FailsAt(FitCounter):
    def __init__(self, n_clusters=2, bad=4, error=RuntimeError):
        super().__init__(n_clusters)
        self.bad = bad
        self.error = error

    def fit(self, X, y=None):
        if self.n_clusters >= self.bad:
            raise self.error("the disk is on fire")
        return super().fit(X)


def test_a_k_that_fails_is_recorded_and_the_others_stay():
    class FailsOnlyAtFour(FailsAt):
        def fit(self, X, y=None):
            return super().fit(X) if self.n_clusters == 4 else FitCounter.fit(self, X)

    sweep = KMeansSweep(range(2, 7), estimator=FailsOnlyAtFour())
    with pytest.warns(FitFailedWarning, match=r"1 of 5 .* k=4: RuntimeError: the disk is on fire"):
        sweep.fit(IRIS)
    assert sorted(sweep.profiles_) == [2, 3, 5, 6]
    np.testing.assert_array_equal(sweep.sweep_results_["n_clusters"], range(2, 7))
    assert list(sweep.sweep_results_["error"] != "") == [False, False, True, False, False]
    assert np.isnan(_row(sweep, 4)["silhouette"])
    assert not sweep.interrupted_


def test_if_all_fail_the_first_error_is_told():
    with pytest.raises(ValueError, match="every k failed; k=2: RuntimeError: the disk is on fire") as caught:
        KMeansSweep(range(2, 4), estimator=FailsAt(bad=0)).fit(IRIS)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_an_interrupt_keeps_what_is_finished():
    sweep = KMeansSweep(range(2, 9), estimator=FailsAt(bad=5, error=KeyboardInterrupt))
    with pytest.warns(UserWarning, match=r"3 of 7 .* \(k = 2, 3, 4\)"):
        sweep.fit(IRIS)
    assert sweep.interrupted_
    np.testing.assert_array_equal(sweep.sweep_results_["n_clusters"], [2, 3, 4])
    assert sweep.best_k_ in (2, 3, 4)
    assert len(sweep.labels_) == len(IRIS)


def test_an_interrupt_before_anything_is_finished_goes_through():
    with pytest.raises(KeyboardInterrupt):
        KMeansSweep(range(2, 9), estimator=FailsAt(bad=0, error=KeyboardInterrupt)).fit(IRIS)


class ThreadCounter(KMeans):
    """k-means that notes how many threads the libraries under it may use."""

    seen: ClassVar[list[tuple[str, int]]] = []

    def fit(self, X, y=None):
        type(self).seen += [(pool["user_api"], pool["num_threads"]) for pool in threadpool_info()]
        return super().fit(X)


def test_small_fits_of_k_means_keep_to_one_thread():
    KMeansSweep([2, 3], estimator=ThreadCounter(n_init=1), n_jobs=2).fit(IRIS)
    assert ThreadCounter.seen
    assert {threads for _, threads in ThreadCounter.seen} == {1}


def test_sum_of_squares_is_the_same_chunk_by_chunk_and_sparse(monkeypatch):
    labels = np.arange(len(IRIS)) % 7
    expected = sum(((IRIS[labels == c] - IRIS[labels == c].mean(axis=0)) ** 2).sum() for c in range(7))
    monkeypatch.setattr(arrays, "_CHUNK_BYTES", 8 * IRIS.shape[1] * 11)
    for X in (IRIS, csr_matrix(IRIS)):
        assert clustering.sum_squares_within(X, labels) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("n_clusters", "error", "words"),
    [
        (range(2, 151), ValueError, "up to 150 but X has n_samples=150"),
        ([], ValueError, "empty"),
        ([0, 2], ValueError, "least number of clusters is 1"),
        (2.5, TypeError, "2.5"),
        ([2, True], TypeError, "True"),
        ("many", TypeError, "many"),
        (None, TypeError, "None"),
    ],
)
def test_wrong_numbers_of_clusters(n_clusters, error, words):
    with pytest.raises(error, match=words):
        KMeansSweep(n_clusters).fit(IRIS)


def test_wrong_arguments_are_told_at_fit():
    with pytest.raises(ValueError, match="Did you mean 'euclidean'"):
        KMeansSweep(metric="euclidian").fit(IRIS)
    with pytest.raises(ValueError, match="precomputed"):
        KMeansSweep(metric="precomputed").fit(np.zeros((20, 20)))
    with pytest.raises(TypeError, match="n_clusters"):
        KMeansSweep(estimator=StandardScaler()).fit(IRIS)
    broken = IRIS.copy()
    broken[3, 1] = np.nan
    with pytest.raises(ValueError, match="row 3, column 1"):
        KMeansSweep().fit(broken)


def test_numbers_of_clusters_are_sorted_and_unique():
    assert list(KMeansSweep([5, 3, 5], random_state=0).fit(IRIS).sweep_results_["n_clusters"]) == [3, 5]
    assert list(KMeansSweep(4, random_state=0).fit(IRIS).sweep_results_["n_clusters"]) == [4]


def test_one_cluster_has_an_inertia_and_no_score():
    sweep = KMeansSweep(1, random_state=0).fit(IRIS)
    assert sweep.best_k_ == 1
    assert sweep.profiles_ == {}
    assert _row(sweep, 1)["inertia"] == pytest.approx(((IRIS - IRIS.mean(0)) ** 2).sum())


def test_random_state():
    def labels(**params):
        return KMeansSweep(range(4, 8), n_init=1, **params).fit(IRIS).sweep_results_["inertia"]

    np.testing.assert_array_equal(labels(random_state=1), labels(random_state=1))
    np.testing.assert_array_equal(
        labels(random_state=np.random.RandomState(1)), labels(random_state=np.random.RandomState(1))
    )
    assert (labels(random_state=1) != labels(random_state=2)).any()


def test_an_estimator_keeps_its_own_random_state():
    given = KMeans(n_init=1, random_state=7)
    sweep = KMeansSweep([6], estimator=given, random_state=0).fit(IRIS)
    assert sweep.best_estimator_.random_state == 7
    assert given.n_clusters == 8
    assert not hasattr(given, "labels_")


def test_predict_is_there_only_if_the_clusterer_has_it():
    sweep = KMeansSweep([2, 3], estimator=AgglomerativeClustering())
    assert not hasattr(sweep, "predict")
    assert not hasattr(sweep.fit(IRIS), "predict")
    with pytest.raises(NotFittedError):
        KMeansSweep().predict(IRIS)


def test_progress_tells_every_stage_and_never_goes_back():
    events: list[SweepEvent] = []
    KMeansSweep(range(2, 5), random_state=0, progress=events.append).fit(IRIS)
    shares = [event.share for event in events]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert [event.row.n_clusters for event in events if event.row is not None] == [2, 3, 4]
    assert {event.stage for event in events} == {"clustering", "scoring", "done", "gaps"}


def test_progress_bar_goes_to_standard_error(capsys):
    pytest.importorskip("tqdm")
    KMeansSweep(range(2, 4), random_state=0, progress=True).fit(IRIS)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "sweep: 100%" in captured.err


def test_clone_pickle_pipeline(blobs):
    sweep = KMeansSweep(range(2, 6), metric="cosine", random_state=0)
    assert clone(sweep).get_params() == sweep.get_params()
    fitted = pickle.loads(pickle.dumps(sweep.fit(IRIS)))
    np.testing.assert_array_equal(fitted.predict(IRIS), sweep.predict(IRIS))
    piped = make_pipeline(StandardScaler(), KMeansSweep(range(2, 6), random_state=0)).fit(blobs[0])
    assert piped[-1].best_k_ == 4
    np.testing.assert_array_equal(piped.predict(blobs[0]), piped[-1].labels_)


def test_to_frame_has_a_row_for_each_k():
    pandas = pytest.importorskip("pandas")
    sweep = KMeansSweep(range(2, 5), random_state=0).fit(pandas.DataFrame(IRIS, columns=list("abcd")))
    frame = sweep.to_frame()
    assert list(frame["n_clusters"]) == [2, 3, 4]
    assert list(sweep.feature_names_in_) == list("abcd")


def test_plot_draws_two_panels():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    left, right = KMeansSweep(range(2, 5), random_state=0).fit(IRIS).plot()
    np.testing.assert_array_equal(left.lines[0].get_xdata(), [2, 3, 4])
    assert right.get_ylabel() == "mean silhouette"
    matplotlib.pyplot.close("all")


def _row(sweep, k):
    at = int(np.flatnonzero(sweep.sweep_results_["n_clusters"] == k)[0])
    return {name: column[at] for name, column in sweep.sweep_results_.items()}

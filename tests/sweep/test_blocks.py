"""A sweep of a Dask array: the fits and the verdict of the same data in memory, labels that stay lazy."""

import os
import pickle
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.datasets import load_digits

from assertions import assert_same_bits
from clusters import local_cluster
from fastsil import KMeansSweep, SilhouetteSweep, silhouette_profile, silhouette_score
from fastsil.sweep import prepared_blocks
from fastsil.sweep.kmeans import KMeansPath

da = pytest.importorskip("dask.array", exc_type=ImportError)
dask = pytest.importorskip("dask")

from fastsil.dask_arrays import check_samples, lloyd  # noqa: E402
from fastsil.sweep.block_kmeans import BlockKMeansPath  # noqa: E402

KS = range(2, 6)
# Columns that estimates change.
OF_SCORES = ("silhouette", "silhouette_low", "silhouette_high", "macro_silhouette", "n_negative", "n_positive")


@pytest.fixture(autouse=True)
def _two_threads():
    with dask.config.set(scheduler="threads", num_workers=2):
        yield


def blobs(n_samples=3000, n_features=6, dtype=np.float32):
    random = np.random.default_rng(0)
    centers = 3 * random.normal(size=(4, n_features))
    X = centers[random.integers(4, size=n_samples)] + random.normal(size=(n_samples, n_features)) + 20
    return X.astype(dtype)


def cloud():
    return np.random.default_rng(1).normal(size=(1500, 4))


DATA = {"digits": load_digits().data[:700], "blobs": blobs(), "cloud": cloud()}


def sweep(X, chunks=None, **settings):
    of_blocks = X if chunks is None else da.from_array(X, chunks=chunks)
    return KMeansSweep(**{"n_clusters": KS, "n_init": 2, "random_state": 0} | settings).fit(of_blocks)


@pytest.fixture
def few_rows(monkeypatch):
    """Draw fewer rows for profiles than there are, so that scores are computed by blocks."""
    monkeypatch.setattr(prepared_blocks, "_MOST_ROWS", 400)


def assert_same_sweep(blocks, memory, *, scores=1e-12):
    """Compare all that a sweep found; scores to within a tolerance, times and labels apart."""
    for name, expected in memory.sweep_results_.items():
        if name.startswith("null_") or name.endswith("seconds") or name == "error":
            continue
        tolerance = 2 * scores if name in OF_SCORES else 1e-6
        scale = len(memory.labels_) * 10 if name.startswith("n_") and name in OF_SCORES else 1
        found = blocks.sweep_results_[name]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=tolerance * scale, err_msg=name)
    for name in ("k", "kind", "structure", "good_k", "tested"):
        assert getattr(blocks.verdict_, name) == getattr(memory.verdict_, name), name
    assert blocks.best_k_ == memory.best_k_


@pytest.mark.parametrize(
    ("name", "first"),
    [("digits", (1, 0, 299)), ("blobs", ()), ("blobs", (2700, 290)), ("cloud", (1, 0, 299))],
    ids=str,
)
def test_small_data_give_the_sweep_of_an_array(name, first):
    X = DATA[name]
    chunks = ((*first, len(X) - sum(first)), 2)
    memory, blocks = sweep(X), sweep(X, chunks)
    assert_same_sweep(blocks, memory)
    assert str(blocks.verdict_) == str(memory.verdict_)
    assert isinstance(blocks.labels_, da.Array)
    assert blocks.labels_.chunks == (tuple(size for size in chunks[0] if size),)
    assert_same_bits(blocks.labels_.compute(), memory.labels_)
    assert_same_bits(blocks.predict(X), memory.labels_)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"metric": "cosine"},
        pytest.param({"metric": "correlation"}, marks=pytest.mark.slow),
        pytest.param({"metric": "sqeuclidean"}, marks=pytest.mark.slow),
        {"metric": "mahalanobis"},
        pytest.param({"metric": "seuclidean"}, marks=pytest.mark.slow),
        pytest.param({"pca": 3}, marks=pytest.mark.slow),
        {"n_null": 2, "null_size": 100, "n_stability": 1},
    ],
    ids=str,
)
@pytest.mark.usefixtures("few_rows")
def test_scores_by_blocks_are_those_of_an_array(settings):
    X = DATA["blobs"]
    memory, blocks = sweep(X, **settings), sweep(X, (700, 4), **settings)
    exact = settings.get("metric") in prepared_blocks.METRICS_WITHOUT_PAIRS
    assert_same_sweep(blocks, memory, scores=1e-6 if exact else prepared_blocks.BLOCK_TOL)
    results = blocks.sweep_results_
    assert (results["n_negative"] + results["n_zero"] + results["n_positive"] == len(X)).all()
    assert (results["silhouette_low"] <= memory.sweep_results_["silhouette"] + 1e-6).all()
    assert (memory.sweep_results_["silhouette"] - 1e-6 <= results["silhouette_high"]).all()
    if blocks.null_ is not None:
        assert_same_bits(blocks.null_.null_silhouettes, memory.null_.null_silhouettes)
        assert_same_bits(blocks.stability_.scores, memory.stability_.scores)


@pytest.mark.usefixtures("few_rows")
def test_estimates_from_a_pool_hold_the_scores(monkeypatch):
    X, tol = DATA["blobs"], 0.04
    monkeypatch.setattr("fastsil.dask_arrays.pooled_rows._MOST_ROWS", 1500)
    for seed in range(2):
        found = sweep(X, (700, -1), gaps=False, tol=tol, random_state=seed).sweep_results_
        exact = sweep(X, gaps=False, random_state=seed).sweep_results_
        assert (found["silhouette_low"] <= exact["silhouette"]).all()
        assert (exact["silhouette"] <= found["silhouette_high"]).all()
        assert (np.abs(found["silhouette"] - exact["silhouette"]) <= tol / 4).all()
        assert (np.abs(found["macro_silhouette"] - exact["macro_silhouette"]) <= tol / 4).all()
        assert (np.abs(found["n_negative"] - exact["n_negative"]) <= tol * len(X)).all()
        assert (found["n_negative"] + found["n_zero"] + found["n_positive"] == len(X)).all()


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.usefixtures("few_rows")
def test_profiles_are_of_drawn_rows_and_all_clusters(metric):
    X = DATA["blobs"]
    found = sweep(X, (700, -1), metric=metric)
    rows, profile = found.best_geometry_.profiled_rows[4], found.profiles_[4]
    whole = silhouette_profile(X, found.estimators_[4].labels_.compute(), metric=metric)
    assert profile.n_samples == len(rows) == 400
    assert (np.diff(rows) > 0).all()
    assert_same_bits(profile.labels, whole.labels[rows])
    assert_same_bits(profile.neighbor, whole.neighbor[rows])
    assert profile.exact == (metric == "cosine")
    assert (profile.lower <= whole.silhouettes[rows] + 2e-6).all()
    assert (whole.silhouettes[rows] - 2e-6 <= profile.upper).all()
    np.testing.assert_allclose(profile.silhouettes, whole.silhouettes[rows], atol=1e-6 if metric == "cosine" else 0.03)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
@pytest.mark.usefixtures("few_rows")
def test_a_cluster_without_a_drawn_row_gets_one(metric):
    X = np.array(DATA["blobs"])
    X[1234] = [500, -500, 0, 0, 0, 0]  # in a cluster of its own
    found = sweep(X, (700, -1), metric=metric)
    for k in KS:
        rows, profile = found.best_geometry_.profiled_rows[k], found.profiles_[k]
        assert len(rows) == 401
        assert 1234 in rows
        assert profile.n_clusters == found.sweep_results_["n_found"][k - 2] == k
    assert found.sweep_results_["n_zero"][0] == 1


def test_the_path_is_that_of_an_array():
    for X in (DATA["digits"], DATA["blobs"]):
        memory, blocks = (kind(data, n_init=2, seed=0) for kind, data in path_kinds(X, 400))
        for k in range(1, 6):
            expected, found = memory.fit(k), blocks.fit(k)
            assert found.n_iter_ == expected.n_iter_
            assert found.inertia_ == pytest.approx(expected.inertia_, rel=1e-7)
            np.testing.assert_allclose(found.cluster_centers_, expected.cluster_centers_, atol=2e-5)
            assert_same_bits(found.labels_.compute(), expected.labels_)


def path_kinds(X, rows):
    return (KMeansPath, X), (BlockKMeansPath, check_samples(da.from_array(X, chunks=(rows, -1))))


@pytest.mark.parametrize("rows", [1, 7, 50])
def test_empty_clusters_move_as_in_scikit_learn(rows):
    random = np.random.default_rng(3)
    X = random.normal(size=(50, 2))
    start = np.concatenate([X[:3], [[90.0, 90.0], [91.0, 91.0]]])
    expected = KMeans(5, init=start, n_init=1).fit(X)
    blocks = check_samples(da.from_array(X, chunks=(rows, -1)))
    centers, n_iter = lloyd.run_lloyd(blocks, start, tol=1e-4, max_iter=300)
    assert n_iter == expected.n_iter_
    np.testing.assert_allclose(np.sort(centers, axis=0), np.sort(expected.cluster_centers_, axis=0), atol=1e-9)


def test_fewer_distinct_samples_than_clusters():
    X = np.repeat(np.random.default_rng(0).integers(0, 20, size=(5, 3)).astype(float), 8, axis=0)
    memory, blocks = sweep(X, gaps=False), sweep(X, (11, -1), gaps=False)
    np.testing.assert_array_equal(memory.sweep_results_["n_found"], blocks.sweep_results_["n_found"])
    np.testing.assert_allclose(memory.sweep_results_["silhouette"], blocks.sweep_results_["silhouette"])
    with pytest.raises(ValueError, match="all samples are in one cluster"):
        sweep(np.ones((30, 2)), (10, -1))


def test_a_row_is_drawn_where_samples_are_far():
    X = np.zeros((300, 2))
    X[211] = [1e3, 0]
    drawn = lloyd.draw_row(check_samples(da.from_array(X, chunks=(50, -1))), X[:1], np.random.default_rng(0))
    assert_same_bits(drawn, X[[211]])


@pytest.mark.parametrize("factor", [1e25, 1e-25])
def test_squares_beyond_the_type_are_refused(factor):
    with pytest.raises(ValueError, match="are beyond float32; multiply X so that it is near 1"):
        sweep(DATA["blobs"] * np.float32(factor), (700, -1), n_clusters=[3])


@pytest.mark.usefixtures("few_rows")
def test_predict_is_lazy_and_that_of_memory():
    X = DATA["blobs"]
    touched = []
    watched = da.from_array(X, chunks=(700, 3))
    watched = watched.map_blocks(lambda block: touched.append(1) or block, dtype=X.dtype, meta=X[:0])
    for metric in ("euclidean", "mahalanobis"):
        found = sweep(X, (700, -1), n_clusters=[3], metric=metric, gaps=False)
        labels = found.predict(watched)
        assert not touched
        assert labels.chunks == (watched.chunks[0],)
        assert_same_bits(labels.compute(), found.predict(X))
        touched.clear()
    in_memory = sweep(X, n_clusters=[3], gaps=False)
    assert_same_bits(in_memory.predict(watched).compute(), in_memory.labels_)
    with pytest.raises(ValueError, match="5 features"):
        found.predict(watched[:, :5])
    X = X.copy()
    X[1500, 2] = np.nan
    with pytest.raises(ValueError, match="row 1500, column 2 is nan"):
        found.predict(da.from_array(X, chunks=(700, -1))).compute()


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("most", [400, 10_000])
def test_a_folder_gives_the_same_bits(metric, most, tmp_path, monkeypatch):
    monkeypatch.setattr(prepared_blocks, "_MOST_ROWS", most)
    X, settings = DATA["blobs"], {"metric": metric, "checkpoint": tmp_path, "tol": 0.01, "gaps": False}
    first = sweep(X, (700, -1), **settings)
    monkeypatch.setattr(lloyd, "run_lloyd", None)
    again = sweep(X, (700, -1), **settings)
    for name, values in first.sweep_results_.items():
        assert_same_bits(again.sweep_results_[name], values)
    for name in ("silhouettes", "lower", "upper", "a", "b", "neighbor", "labels"):
        assert_same_bits(getattr(again.profiles_[4], name), getattr(first.profiles_[4], name))
    assert_same_bits(again.labels_.compute(), first.labels_.compute())
    with pytest.raises(ValueError, match="of other data"):
        sweep(X + 1, (700, -1), **settings)


@pytest.mark.usefixtures("few_rows")
def test_ctrl_c_keeps_what_is_found(monkeypatch):
    run_lloyd = lloyd.run_lloyd

    def interrupted(X, start, **settings):
        if len(start) == 5:
            raise KeyboardInterrupt
        return run_lloyd(X, start, **settings)

    monkeypatch.setattr(lloyd, "run_lloyd", interrupted)
    with pytest.warns(UserWarning, match="interrupted: 3 of 4 clusterings"):
        found = sweep(DATA["blobs"], (700, -1))
    assert found.interrupted_
    assert found.best_k_ == 4


@pytest.mark.usefixtures("few_rows")
def test_a_report_and_a_copy(tmp_path):
    X = DATA["blobs"]
    pytest.importorskip("jinja2", exc_type=ImportError)
    pytest.importorskip("matplotlib", exc_type=ImportError)
    found = sweep(X, (700, -1), n_clusters=[4])
    page = found.report(tmp_path / "page.html", da.from_array(X, chunks=(700, -1))).read_text()
    assert "3,000 samples" in page
    assert "pictures of 400 samples drawn" in page
    assert f"{found.best_score_:.3f}" in page
    again = pickle.loads(pickle.dumps(found))
    assert_same_bits(again.labels_.compute(), found.labels_.compute())


def test_what_is_wrong_is_said():
    X = blobs(200)
    with_gap = np.array(X)
    with_gap[73, 2] = np.nan
    unknown = da.from_array(X, chunks=(90, -1))
    unknown = unknown[unknown[:, 0] > 0]
    for of_blocks, settings, message in [
        (with_gap, {}, "row 73, column 2 is nan"),
        (X, {"estimator": MiniBatchKMeans()}, "takes no Dask array"),
        (X, {"metric": "manhattan"}, "metric='manhattan' needs all pairs"),
        (X, {"metric": lambda x, y: 0.0}, "needs all pairs"),
        (X[:, 0], {}, "Expected 2D array"),
        (X, {"n_clusters": 200}, "n_samples=200"),
    ]:
        with pytest.raises(ValueError, match=message):
            KMeansSweep(**{"n_clusters": [2, 3]} | settings).fit(da.from_array(of_blocks, chunks=90))
    with pytest.raises(ValueError, match=r"call X\.compute_chunk_sizes\(\)"):
        KMeansSweep([2]).fit(unknown)
    with pytest.raises(TypeError, match="sample_weight"):
        KMeansSweep([2]).fit(da.from_array(X, chunks=90), sample_weight=np.ones(200))
    with pytest.raises(TypeError, match=r"block\.toarray\(\)"):
        KMeansSweep([2]).fit(da.from_array(X, chunks=(90, -1)).map_blocks(csr_array, dtype=X.dtype))
    with pytest.raises(TypeError, match=r"pass X\.compute\(\)"):
        SilhouetteSweep(KMeans(), "n_clusters", [2, 3]).fit(da.from_array(X))
    assert silhouette_score(X, KMeansSweep([2, 3]).fit(da.from_array(X.astype(np.int16), chunks=90)).labels_) > 0


@pytest.fixture(scope="module")
def client():
    with local_cluster() as client:
        yield client


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.usefixtures("few_rows")
def test_a_cluster_of_processes_gives_the_same(client, metric):
    X = DATA["blobs"]
    with dask.config.set(scheduler=client):
        blocks = sweep(X, (700, -1), metric=metric, n_stability=2)
        labels, predicted = blocks.labels_.compute(), blocks.predict(da.from_array(X, chunks=(900, 2))).compute()
    memory = sweep(X, metric=metric, n_stability=2)
    assert_same_sweep(blocks, memory, scores=prepared_blocks.BLOCK_TOL)
    assert_same_bits(labels, memory.labels_)
    assert_same_bits(predicted, memory.labels_)


def slowly(block):
    time.sleep(0.02)
    return block


@pytest.mark.slow
def test_a_worker_that_is_killed_in_mid_fit_changes_nothing(client):
    X = DATA["blobs"]
    blocks = da.from_array(X, chunks=(250, -1)).map_blocks(slowly, dtype=X.dtype, meta=X[:0])
    pids = client.run(os.getpid)
    killed = threading.Event()

    def kill_in_mid_pass():
        while not any("sum_members" in str(key) for keys in client.has_what().values() for key in keys):
            time.sleep(0.001)
        os.kill(next(iter(pids.values())), signal.SIGKILL)
        killed.set()

    def listen(event):
        if (event.n_clusters, event.stage) == (4, "clustering"):
            threading.Thread(target=kill_in_mid_pass, daemon=True).start()

    with dask.config.set(scheduler=client):
        found = KMeansSweep(KS, n_init=2, random_state=0, progress=listen).fit(blocks)
        assert killed.is_set()
        assert_same_sweep(found, sweep(X))
        assert_same_bits(found.labels_.compute(), sweep(X).labels_)
    assert set(client.run(os.getpid).values()) != set(pids.values())


def test_threads_that_take_rows_at_once_get_their_own():
    X = np.arange(2000.0)[:, None]
    blocks = check_samples(da.from_array(X, chunks=(300, -1)))
    wanted = [np.arange(start, 2000, 7) for start in range(40)]
    with ThreadPoolExecutor(8) as pool:
        for rows, taken in zip(wanted, pool.map(blocks.__getitem__, wanted), strict=True):
            assert_same_bits(taken, X[rows])

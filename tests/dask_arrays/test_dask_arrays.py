"""Dask arrays give what the same data give in memory, on any chunks, and on a cluster that loses a worker."""

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

import reference
from assertions import assert_same_bits, assert_silhouettes_close, assert_terms_close
from clusters import local_cluster
from fastsil import (
    silhouette_estimate,
    silhouette_profile,
    silhouette_samples,
    silhouette_samples_many,
    silhouette_score,
)
from strategies import labeled_data, seeds

da = pytest.importorskip("dask.array", exc_type=ImportError)
dask = pytest.importorskip("dask")

from fastsil.dask_arrays import BlockRows, euclidean  # noqa: E402
from fastsil.dask_arrays import covariance_sketches as shapes  # noqa: E402
from fastsil.dask_arrays.block_rows import Ignored  # noqa: E402

EXACT = ["euclidean", "cosine", "correlation", "sqeuclidean"]
metrics = pytest.mark.parametrize("metric", EXACT)


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def overlapping(n_samples=900, n_features=12, n_clusters=7, spread=1.0):
    """Clusters of unequal size, shape and place, in no order: bounds exclude some clusters and not others."""
    rng = np.random.default_rng(0)
    labels = rng.integers(n_clusters, size=n_samples) * rng.integers(1, 3, size=n_samples) % n_clusters
    spectrum = np.arange(1, n_features + 1) ** -0.7
    X = rng.normal(size=(n_samples, n_features)) * spectrum
    X += spread * rng.normal(size=(n_clusters, n_features))[labels] * spectrum + 10
    return X, labels


def cut(X, chunks):
    return da.from_array(X, chunks=chunks)


@metrics
@given(data=labeled_data(scales=st.integers(-3, 3)), seed=seeds())
@settings(max_examples=15)
def test_any_chunks_give_the_samples_of_one_array(metric, data, seed):
    X, labels = data
    assume(metric != "correlation" or not (X[:, :1] == X).all(axis=1).any())
    rng = np.random.default_rng(seed)
    edges = np.unique([0, *rng.integers(0, len(X), size=3), len(X)])
    of_X = cut(X, (tuple(np.diff(edges).tolist()), int(rng.integers(1, X.shape[1] + 1))))
    given_labels = labels if rng.integers(2) else cut(labels, int(rng.integers(1, len(X) + 1)))
    samples = silhouette_samples(of_X, given_labels, metric=metric)
    assert samples.chunks == (of_X.chunks[0],)
    expected = silhouette_samples(X, labels, metric=metric)
    assert_silhouettes_close(samples.compute(), expected, dtype=np.float64)


@metrics
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_terms_are_those_of_the_reference(metric, dtype):
    X, labels = overlapping()
    X = (20 * X).astype(dtype)
    profile = silhouette_profile(cut(X, (250, -1)), cut(labels, 400), metric=metric)
    assert_terms_close(profile_terms(profile, labels), reference.compute_terms(X, labels, metric), dtype=dtype)
    assert profile.silhouettes.dtype == (np.float32 if dtype == np.float32 else np.float64)


def profile_terms(profile, labels):
    return type(
        "Terms", (), {"a": profile.a, "b": profile.b, "neighbor": np.searchsorted(np.unique(labels), profile.neighbor)}
    )


def test_bounds_exclude_most_clusters():
    """Else the equality above would say nothing of them. The own cluster is one of those that remain."""
    X, labels = overlapping(3000, 24, 30, spread=2.0)
    work = silhouette_profile(cut(X, (700, -1)), labels).work
    assert work.strategy == "euclidean: pruned, 5 blocks"
    assert 2 / 30 <= work.share < 4 / 30


def test_digits_survive_blocks_and_offsets():
    rng = np.random.default_rng(1)
    labels = rng.permutation(np.arange(300) % 3)
    X = (np.array([0.0, 1e-2, 10.0])[labels, None] + 1e-3 * rng.normal(size=(300, 6)) + 1).astype(np.float32)
    samples = silhouette_samples(cut(X, (37, -1)), labels).compute()
    terms = reference.compute_terms(X, labels, "euclidean")
    assert_silhouettes_close(samples, (terms.b - terms.a) / np.maximum(terms.a, terms.b), dtype=np.float32)


@pytest.mark.parametrize("magnitude", [1e-12, 1e12])
def test_single_precision_of_extreme_size_is_computed_in_double(magnitude):
    X, labels = overlapping(200)
    X = (X * magnitude).astype(np.float32)
    samples = silhouette_samples(cut(X, (60, -1)), labels).compute()
    assert_silhouettes_close(samples, silhouette_samples(X, labels), dtype=np.float32)


@pytest.mark.parametrize("metric", EXACT[:3])
@pytest.mark.parametrize("average", ["micro", "macro"])
def test_score_is_a_number_and_that_of_one_array(metric, average):
    X, labels = overlapping()
    score = silhouette_score(cut(X, (200, 5)), cut(labels, 300), metric=metric, average=average)
    assert type(score) is float
    assert score == pytest.approx(silhouette_score(X, labels, metric=metric, average=average), abs=1e-12)


def test_nothing_is_computed_for_samples_until_they_are_asked_for():
    touched = []
    X, labels = overlapping(100)
    watched = cut(X, (50, -1)).map_blocks(lambda block: touched.append(1) or block, dtype=X.dtype, meta=X[:0])
    samples = silhouette_samples(watched, cut(labels, 50), metric="cosine")
    assert not touched
    samples.compute()
    assert touched


@metrics
def test_ignored_samples_are_left_out(metric):
    X, labels = overlapping()
    labels = np.where(np.arange(900) < 300, -1, labels)  # a block of nothing else, and others of both
    labels[700:710] = -1
    samples = silhouette_samples(cut(X, (150, -1)), cut(labels, 150), metric=metric, ignore_label=-1).compute()
    expected = silhouette_samples(X, labels, metric=metric, ignore_label=-1)
    assert_same_bits(np.isnan(samples), labels == -1)
    assert_silhouettes_close(samples[labels >= 0], expected[labels >= 0], dtype=np.float64)
    score = silhouette_score(cut(X, (150, -1)), labels, metric=metric, ignore_label=-1)
    assert score == pytest.approx(np.nanmean(expected), abs=1e-12)
    profile = silhouette_profile(cut(X, (150, -1)), cut(labels, 150), metric=metric, ignore_label=-1)
    assert profile.n_ignored == 310
    assert profile.score == pytest.approx(score, abs=1e-12)


def test_labels_may_be_strings_and_blocks_may_be_empty():
    X, labels = overlapping(120)
    names = np.array(["ab", "c", "d", "eee", "f", "g", "h"])[labels]
    of_X = da.concatenate([cut(X, (50, -1)), cut(X[:0], (0, -1))]).rechunk(((50, 0, 70), -1))
    profile = silhouette_profile(of_X, cut(names, 60))
    expected = silhouette_profile(X, names)
    assert_silhouettes_close(profile.silhouettes, expected.silhouettes, dtype=np.float64)
    assert_same_bits(profile.neighbor, expected.neighbor)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_sparse_blocks(metric):
    X, labels = overlapping(120)
    X = np.where(np.abs(X - 10) > 0.5, X, 0)
    sparse = cut(X, (50, -1)).map_blocks(csr_array, dtype=X.dtype)
    samples = silhouette_samples(sparse, labels, metric=metric).compute()
    assert_silhouettes_close(samples, silhouette_samples(X, labels, metric=metric), dtype=np.float64)


@pytest.mark.parametrize("metric", ["mahalanobis", "seuclidean"])
def test_linear_maps_take_the_covariance_of_all_blocks(metric):
    X, labels = overlapping()
    samples = silhouette_samples(cut(X, (250, 5)), labels, metric=metric).compute()
    assert_silhouettes_close(samples, silhouette_samples(X, labels, metric=metric), dtype=np.float64)
    V = np.cov(X[:500], rowvar=False) if metric == "mahalanobis" else X[:500].var(axis=0)
    samples = silhouette_samples(cut(X, (250, 5)), labels, metric=metric, V=V).compute()
    assert_silhouettes_close(samples, silhouette_samples(X, labels, metric=metric, V=V), dtype=np.float64)


def farthest(x, y):
    return np.abs(x - y).max()


@pytest.mark.parametrize(
    "metric", ["manhattan", "braycurtis", farthest], ids=lambda metric: getattr(metric, "__name__", metric)
)
def test_any_other_metric_takes_all_pairs(metric):
    X, labels = overlapping(90)
    profile = silhouette_profile(cut(X, (40, -1)), labels, metric=metric)
    expected = silhouette_profile(X, labels, metric=metric)
    np.testing.assert_allclose(profile.silhouettes, expected.silhouettes, atol=1e-12)
    assert profile.work.pairs == 90**2


def test_a_drawn_subset_is_the_one_of_an_array():
    X, labels = overlapping()
    drawn = silhouette_score(cut(X, (250, -1)), cut(labels, 250), sample_size=200, random_state=3)
    assert drawn == pytest.approx(silhouette_score(X, labels, sample_size=200, random_state=3), abs=1e-12)


def test_what_is_wrong_is_said():
    X, labels = overlapping(100)
    of_X = cut(X, (40, -1))
    unknown = of_X[of_X[:, 0] > 0]
    for wrong, of_labels, message in [
        (unknown, labels, r"unknown sizes; call X\.compute_chunk_sizes\(\)"),
        (of_X, cut(labels, 40)[of_X[:, 0] > 0], r"call labels\.compute_chunk_sizes\(\)"),
        (of_X, cut(labels[:90], 40), "labels has 90 entries but X has 100 rows"),
        (of_X, labels[:90], "labels has 90 entries but X has 100 rows"),
        (of_X, np.zeros(100), "Number of labels is 1"),
        (of_X[:, 0], labels, "Expected 2D array"),
        (of_X[:0], labels[:0], "empty Dask array"),
        (of_X.astype(str), labels, "and not numbers"),
    ]:
        with pytest.raises(ValueError, match=message):
            silhouette_samples(wrong, of_labels)
    with pytest.raises(ValueError, match="Number of labels is 1"):
        silhouette_samples(of_X, cut(np.zeros(100), 50)).compute()
    with pytest.raises(ValueError, match="'precomputed' takes no Dask array"):
        silhouette_score(of_X, labels, metric="precomputed")
    with pytest.raises(TypeError, match=r"pass a Dask array of NumPy arrays"):
        silhouette_samples(of_X.map_blocks(np.ma.asarray).map_blocks(list, dtype=float, meta=X[:0]), labels).compute()
    with pytest.raises(ValueError, match=r"needs V= for a Dask array"):
        silhouette_samples(of_X, labels, metric="seuclidean", ignore_label=0)
    with pytest.raises(ValueError, match=r"multiply X by a power of two"):
        silhouette_samples(of_X * 1e80, labels).compute()


def test_what_takes_no_dask_array_does_not_compute_it_as_a_whole():
    X, labels = overlapping(100)
    of_X = cut(X, (40, -1))
    for call in (
        lambda: silhouette_samples_many(of_X, [labels]),
        lambda: silhouette_profile(X, labels).diagnose(of_X),
    ):
        with pytest.raises(TypeError, match=r"pass X\.compute\(\), or score it by"):
            call()


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "manhattan", "mahalanobis"])
def test_a_gap_is_told_by_its_row_among_all(metric):
    X, labels = overlapping(100)
    X[73, 2] = np.nan
    with pytest.raises(ValueError, match="row 73, column 2 is nan"):
        silhouette_samples(cut(X, (40, -1)), labels, metric=metric).compute()
    missing = np.where(np.arange(100) == 73, np.nan, labels)
    with pytest.raises(ValueError, match=r"labels contains nan .* at row 73"):
        silhouette_samples(cut(np.nan_to_num(X), (40, -1)), cut(missing, 40), metric=metric).compute()


@given(seed=seeds(), n_features=st.integers(1, 40))
def test_merged_shapes_bound_the_scatter(seed, n_features):
    """BᵀB <= S <= BᵀB + m I, however blocks are cut: eigenvalues of both differences tell."""
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(90, n_features)) * np.arange(1, n_features + 1) ** -rng.uniform(0, 2)
    edges = np.unique(rng.integers(1, 90, size=3))
    parts = [
        shapes.sketch_rows(part, np.zeros(len(part), np.int32), np.zeros((1, n_features)))
        for part in np.split(u, edges)
    ]
    merged = shapes.merge_shapes([None, *parts])
    left = u.T @ u - merged.rows[0].T @ merged.rows[0]
    values = np.linalg.eigvalsh(left)
    assert values[0] >= -1e-9 * merged.squares[0]
    assert values[-1] <= merged.residual_bound[0] + 1e-9 * merged.squares[0]
    assert merged.max_squared_radius[0] == pytest.approx((u**2).sum(axis=1).max(), rel=1e-12)
    np.testing.assert_allclose(merged.skews[0], ((u**2).sum(axis=1)[:, None] * u).sum(axis=0), atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_intervals_hold_every_silhouette(dtype):
    X, labels = overlapping(900)
    X = X.astype(dtype)
    rows = BlockRows(cut(X, (250, 5)), cut(labels, 300), "euclidean", {})
    lower, guess, upper = rows.intervals().T
    exact = silhouette_samples(X, labels)[rows.partition.order]
    assert (lower <= exact).all()
    assert (exact <= upper).all()
    assert (upper - lower).mean() < 0.3
    # Guesses are far better than what is certain.
    assert np.abs(guess - exact).max() < 0.03
    positions = np.array([3, 200, 201, 899])
    np.testing.assert_allclose(rows.exact(positions), exact[positions], atol=2e-6)


def test_guessed_profiles_hold_the_exact_one():
    X, labels = overlapping(900)
    labels[::9] = -1
    exact = silhouette_profile(X, labels, ignore_label=-1)
    guessed = silhouette_profile(cut(X, (250, -1)), labels, exact=False, ignore_label=-1)
    refined = silhouette_profile(cut(X, (250, -1)), labels, exact=False, refine_to=0.1, ignore_label=-1)
    scored = labels >= 0
    for profile in (guessed, refined):
        assert (profile.lower - 1e-12 <= exact.silhouettes)[scored].all()
        assert (exact.silhouettes <= profile.upper + 1e-12)[scored].all()
    assert (guessed.upper - guessed.lower)[scored].max() > 0.1 >= (refined.upper - refined.lower)[scored].max()
    assert 0 < refined.work.pairs < exact.work.pairs * 3
    score = silhouette_score(cut(X, (250, -1)), labels, tol=0.05, ignore_label=-1)
    assert score == pytest.approx(exact.score, abs=0.05)


@pytest.mark.parametrize("metric", ["euclidean", "seuclidean", "cosine"])
def test_estimates_are_within_their_intervals(metric):
    X, labels = overlapping(4000)
    estimate = silhouette_estimate(cut(X, (900, -1)), cut(labels, 1000), metric=metric, tol=0.005, random_state=0)
    exact = silhouette_profile(X, labels, metric=metric)
    assert estimate.interval[0] - 1e-12 <= exact.score <= estimate.interval[1] + 1e-12
    assert estimate.macro_interval[0] - 1e-12 <= exact.macro_score <= estimate.macro_interval[1] + 1e-12
    assert estimate.interval[1] - estimate.interval[0] <= 0.01 + 1e-12
    assert estimate.exact == (metric == "cosine")
    assert (estimate.clusters.low - 1e-12 <= exact.clusters.silhouette).all()


def test_estimates_leave_out_what_is_ignored():
    X, labels = overlapping(2000)
    labels[::3] = -1
    estimate = silhouette_estimate(cut(X, (900, -1)), labels, tol=0.01, random_state=0, ignore_label=-1)
    exact = silhouette_score(X, labels, ignore_label=-1)
    assert estimate.interval[0] <= exact <= estimate.interval[1]
    assert estimate.n_samples == np.count_nonzero(labels >= 0)
    with pytest.raises(ValueError, match="'manhattan' has no estimate on Dask arrays"):
        silhouette_estimate(cut(X, (900, -1)), labels, metric="manhattan")


def test_a_task_on_two_blocks_adds_only_what_is_asked_for():
    X, labels = overlapping(200)
    codes = labels.astype(np.int32)
    extent = euclidean.measure_block(X, labels, 0, Ignored())
    survey = euclidean.make_survey(extent, X.dtype, Ignored())
    needed = euclidean.Needed(np.array([3, 5, 4]), np.array([0, 0, 2], np.int32))
    before = np.array([1.0, 2.0, 3.0])
    sums = euclidean.add_block(before, X[:10], needed, X[100:], codes[100:], survey)
    distances = reference.pairwise_distances(np.vstack([X[[3, 5, 4]], X[100:]]), "euclidean")[:3, 3:]
    asked = codes[100:][None] == np.array([0, 0, 2])[:, None]
    np.testing.assert_allclose(sums, before + (distances * asked).sum(axis=1), rtol=1e-12)
    assert_same_bits(before, np.array([1.0, 2.0, 3.0]))


def test_without_dask_the_error_names_the_extra():
    code = "import sys; sys.modules['dask'] = sys.modules['dask.array'] = None\nimport fastsil.dask_arrays"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'fastsil[dask]'" in run.stderr


@pytest.fixture(scope="module")
def client():
    with local_cluster() as client:
        yield client


@pytest.mark.parametrize("metric", ["euclidean", pytest.param("cosine", marks=pytest.mark.slow)])
def test_a_cluster_of_processes_gives_the_same(client, metric):
    X, labels = overlapping(1500)
    with dask.config.set(scheduler=client):
        samples = silhouette_samples(cut(X, (200, -1)), cut(labels, 200), metric=metric).compute()
    assert_silhouettes_close(samples, silhouette_samples(X, labels, metric=metric), dtype=np.float64)


def test_tasks_of_a_cluster_may_call_and_get_the_same_bits(client):
    """Workers run tasks in threads of their own, several of which may call at once, each with threads of its own."""
    distributed = pytest.importorskip("distributed", exc_type=ImportError)
    X, labels = overlapping(1500)
    alone = silhouette_samples(X, labels).tobytes()
    tasks = [
        client.submit(lambda n_jobs: silhouette_samples(X, labels, n_jobs=n_jobs).tobytes(), n_jobs, pure=False)
        for n_jobs in (None, 1, 2) * 2
    ]
    assert set(client.gather(tasks)) == {alone}
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=4, processes=False, dashboard_address=":0", memory_limit=0
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as threads,
    ):
        same = threads.map(lambda _: silhouette_samples(X, labels, n_jobs=2).tobytes(), range(8), pure=False)
        assert set(threads.gather(same)) == {alone}


def slowly(block):
    time.sleep(0.05)
    return block


@pytest.mark.slow
def test_a_worker_that_is_killed_in_mid_run_changes_nothing(client):
    X, labels = overlapping(3000)
    blocks = cut(X, (250, -1)).map_blocks(slowly, dtype=X.dtype, meta=X[:0])
    future = client.compute(silhouette_samples(blocks, cut(labels, 250)))
    pids = client.run(os.getpid)
    # Once sums of pairs of blocks are held, a worker takes blocks, sums and what is known of clusters with it.
    while not any("add_block" in str(key) for keys in client.has_what().values() for key in keys):
        assert not future.done(), "the run ended before a worker could be killed"
        time.sleep(0.01)
    os.kill(next(iter(pids.values())), signal.SIGKILL)
    samples = future.result(timeout=600)
    assert set(client.run(os.getpid).values()) != set(pids.values())
    assert_silhouettes_close(samples, silhouette_samples(X, labels), dtype=np.float64)


def test_directions_bound_the_covariance_where_digits_are_lost():
    """Features of very different size: the smallest eigenvalues are lost in the largest, and may be 0 or nothing."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        u = rng.normal(size=(40, 3)) @ np.diag([1.0, 1e-9, 1e-9]) @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
        sketch = shapes.sketch_rows(u, np.zeros(40, np.int32), np.zeros((1, 3)))
        directions, theta, residual_bound = shapes.find_directions(sketch, np.array([40]))
        for v in u[:5] - u[5:10]:
            along = [sum(Fraction(a) * Fraction(b) for a, b in zip(row, v, strict=True)) for row in directions[0]]
            square = sum(Fraction(value) ** 2 for value in v)
            found = sum(Fraction(t) * z**2 for t, z in zip(theta[0], along, strict=True))
            found += Fraction(residual_bound[0]) * square
            true = sum(sum(Fraction(a) * Fraction(b) for a, b in zip(row, v, strict=True)) ** 2 for row in u) / 40
            assert true <= found


@pytest.mark.parametrize("metric", ["mahalanobis", "seuclidean"])
def test_variances_beyond_their_range_are_refused(metric):
    X = 1e200 * np.random.default_rng(0).normal(size=(30, 2))
    blocks = da.from_array(X, chunks=(10, -1))
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="multiply X by a constant"):
        silhouette_samples(blocks, np.arange(30) % 3, metric=metric).compute(scheduler="synchronous")

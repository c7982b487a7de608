"""What the bounds exclude is never missed: the pruned way equals the one that computes every pair."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assertions import with_peak
from fastsil.engines.euclidean import engine as euclidean
from fastsil.engines.euclidean import symmetric, tiles
from fastsil.engines.euclidean.tiles import Candidates, PairSums
from fastsil.engines.scaling import scale_data
from fastsil.runtime.progress import ignore_progress
from fastsil.validation.partition import partition_from_codes

# Both ways are within the promise of the truth; two roundings of the same sums differ by far less.
ROUNDING = {np.float32: 2e-6, np.float64: 1e-12}


def all_directions(data, choice, load):
    """Every basis, however little there is to exclude."""
    return min(choice[-1], -(-data.X.shape[1] // 16) * 16)


def terms_of(X, codes, strategy, monkeypatch, weights=None):
    """Terms by one of the ways, whatever the cost model says."""
    codes = np.unique(codes, return_inverse=True)[1]
    partition = partition_from_codes(np.arange(codes.max() + 1), codes).weighted(weights)
    few = partition.n_clusters if strategy == "symmetric" else 0
    monkeypatch.setattr(euclidean, "_ALWAYS_SYMMETRIC", few)
    monkeypatch.setattr(euclidean, "_SMALL_SYMMETRIC", few)
    monkeypatch.setattr(euclidean, "SMALL_PRODUCTS", 0)
    monkeypatch.setattr(euclidean._Search, "_symmetry_is_less_work", lambda *_: False)
    monkeypatch.setattr(euclidean, "choose_basis_size", all_directions)
    terms = euclidean.compute_terms(X, partition, n_jobs=2, tick=ignore_progress)
    assert strategy in terms.work.strategy
    return terms


def assert_same_answer(X, codes, monkeypatch, weights=None):
    pruned = terms_of(X, codes, "pruned", monkeypatch, weights)
    full = terms_of(X, codes, "symmetric", monkeypatch, weights)
    np.testing.assert_array_equal(pruned.a, full.a)
    tolerance = ROUNDING[X.dtype.type] * np.maximum(full.a, full.b)
    assert (np.abs(pruned.b - full.b) <= tolerance).all()
    # A neighbor may differ only where two clusters tie to rounding; then its mean is b all the same, as just seen.
    return np.mean(pruned.neighbor == full.neighbor)


def overlapping(n_samples, n_features, n_clusters, seed=0):
    rng = np.random.default_rng(seed)
    spectrum = np.arange(1, n_features + 1) ** -0.5
    codes = rng.integers(n_clusters, size=n_samples)
    centers = rng.normal(size=(n_clusters, n_features)) * spectrum
    return centers[codes] + rng.normal(size=(n_samples, n_features)) * spectrum, codes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("n_samples", "n_features", "n_clusters"),
    [
        pytest.param(1250, 12, 500, id="hundreds of clusters, most of one to four samples"),
        pytest.param(900, 1, 30, id="one feature"),
        pytest.param(900, 9, 9, id="just too many features for differences"),
        pytest.param(600, 200, 8, id="more features than members"),
        pytest.param(400, 1100, 4, id="more features than are packed at a time"),
        pytest.param(3000, 40, 2, id="two clusters"),
    ],
)
def test_pruned_equals_unpruned(dtype, n_samples, n_features, n_clusters, monkeypatch):
    X, codes = overlapping(n_samples, n_features, n_clusters)
    assert assert_same_answer(X.astype(dtype), codes, monkeypatch) == 1.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n_features", [1, 3, 40])
@pytest.mark.parametrize("n_clusters", [3, 20, 300])
def test_sums_of_ranges_of_clusters_equal_sums_of_all(n_clusters, n_features, dtype, monkeypatch):
    X, codes = overlapping(1500, n_features, n_clusters)
    codes[:400] = 0
    X = X.astype(dtype)
    whole = terms_of(X, codes, "symmetric", monkeypatch)
    monkeypatch.setattr(symmetric, "_SUMS_BYTES", 1)
    monkeypatch.setattr(symmetric, "_SUMS_BYTES_A_SAMPLE", 64)
    ranges = terms_of(X, codes, "symmetric", monkeypatch)
    np.testing.assert_allclose(ranges.b, whole.b, rtol=ROUNDING[dtype], atol=1e-30)
    np.testing.assert_array_equal(ranges.a, whole.a)
    np.testing.assert_array_equal(ranges.neighbor, whole.neighbor)


@pytest.mark.parametrize("budget", [1, 1 << 30])
def test_of_equally_near_clusters_the_first_is_taken(budget, monkeypatch):
    """Though the last is a copy of it, and found later."""
    monkeypatch.setattr(symmetric, "_SUMS_BYTES", budget)
    monkeypatch.setattr(symmetric, "_SUMS_BYTES_A_SAMPLE", 0)
    X = np.array([[0.0], [3.0], [4.0], [3.0], [4.0], [9.0]])
    terms = terms_of(X, np.array([0, 1, 1, 2, 2, 3]), "symmetric", monkeypatch)
    assert (terms.b[0], terms.neighbor[0]) == (3.5, 1)
    assert (terms.b[5], terms.neighbor[5]) == (5.5, 1)


def test_ranges_of_clusters_hold_what_their_sums_may_take(monkeypatch):
    rng = np.random.default_rng(0)
    monkeypatch.setattr(symmetric, "_SUMS_BYTES_A_SAMPLE", 0)
    for sizes in ([1] * 300, [500, *[1] * 200], [3, 900, 2, 40, *[20] * 30], rng.integers(1, 60, size=100).tolist()):
        partition = partition_from_codes(np.arange(len(sizes)), np.repeat(np.arange(len(sizes)), sizes))
        for budget in (1, 5_000, 100_000, 1 << 30):
            monkeypatch.setattr(symmetric, "_SUMS_BYTES", budget)
            edges = symmetric._cut_clusters(partition)
            assert (edges[0], edges[-1]) == (0, len(sizes))
            assert (np.diff(edges) > 0).all()
            n_samples = np.diff(partition.offsets[edges]).max() * min(2, len(edges) - 1)
            assert 8 * n_samples * np.diff(edges).max() <= max(budget, 16 * max(sizes))


def test_many_small_clusters_without_structure_take_all_pairs():
    """Where bounds exclude little, the bookkeeping of candidates costs more than the pairs, and a lot of memory."""
    rng = np.random.default_rng(0)
    codes = np.arange(3000) % 600
    partition = partition_from_codes(np.arange(600), codes)
    terms = euclidean.compute_terms(rng.normal(size=(3000, 90)), partition, n_jobs=2, tick=ignore_progress)
    assert "symmetric" in terms.work.strategy


def peak_beyond(n_samples, n_features, n_clusters):
    """Peak of memory of labels without meaning, in MiB; the data are not in it."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, n_features)).astype(np.float32)
    partition = partition_from_codes(np.arange(n_clusters), np.arange(n_samples) % n_clusters)
    terms, peak = with_peak(lambda: euclidean.compute_terms(X, partition, n_jobs=2, tick=ignore_progress))
    assert "symmetric" in terms.work.strategy
    return peak / (1 << 20)


def test_a_round_holds_little_where_every_cluster_is_a_candidate():
    """Clusters without structure leave nearly all of them to a sample, before it is seen that nothing is won."""
    peak_beyond(2000, 24, 400)
    assert peak_beyond(30_000, 24, 6000) < 50


def test_sums_to_the_parts_of_a_cluster_are_added(monkeypatch):
    """Where a tile of rows to all members is a long task; one cluster has no entry, and one is too small for parts."""
    monkeypatch.setattr(tiles, "_LEAST_PART", 7)
    monkeypatch.setattr(PairSums, "_task_pairs", lambda self, pairs: 3000.0)
    rng = np.random.default_rng(0)
    X, codes = rng.normal(size=(90, 5)), np.repeat(np.arange(4), [40, 5, 15, 30])
    data = scale_data(X, partition_from_codes(np.arange(4), codes))
    pairs = PairSums(data, np.zeros((5, 5)), 2)
    rows, clusters = rng.integers(0, 40, size=30), np.sort(rng.choice([1, 3], size=30))
    entries = zip(rows, clusters, strict=True)
    expected = [np.linalg.norm(X[codes == cluster] - X[row], axis=1).sum() for row, cluster in entries]
    np.testing.assert_allclose(pairs.to_clusters(rows, clusters), np.array(expected) * data.scale, rtol=1e-12)
    assert pairs.pairs == (codes == clusters[:, None]).sum()
    assert pairs._count_parts(np.array([0, 20, 0, 10])).tolist() == [4, 1, 2, 3]


def test_a_million_clusters_are_no_objects_of_python():
    n_clusters = 100_000
    X = np.arange(2.0 * n_clusters).reshape(-1, 1)
    data = scale_data(X, partition_from_codes(np.arange(n_clusters), np.arange(2 * n_clusters) // 2))
    pairs = PairSums(data, X[::2] + 0.5, 2)
    pairs.within_clusters(ignore_progress)  # the memory of the threads is kept
    (sums, _), peak = with_peak(lambda: pairs.within_clusters(ignore_progress))
    np.testing.assert_array_equal(sums, np.full(2 * n_clusters, data.scale))
    assert peak < 160 * n_clusters


def test_clusters_with_the_same_center(monkeypatch):
    X, _ = overlapping(1200, 20, 1)
    mirrored = np.vstack([X, -X])
    codes = np.tile(np.arange(len(X)) % 6, 2)
    assert_same_answer(mirrored, codes, monkeypatch)


@st.composite
def clusterings(draw):
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    n_samples = draw(st.integers(60, 500))
    n_features = draw(st.sampled_from([1, 2, 8, 9, 31, 70]))
    n_clusters = draw(st.integers(2, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = 10.0 ** draw(st.integers(-3, 3))
    tail = draw(st.sampled_from([1.2, 3.0, 30.0]))
    offset = draw(st.sampled_from([0.0, 100.0, 1e4]))
    codes = np.sort(rng.integers(n_clusters, size=n_samples) * rng.integers(0, 2, size=n_samples))
    codes[:2] = 0, codes.max() + 1
    centers = spread * rng.normal(size=(codes.max() + 1, n_features))
    X = centers[codes] + rng.standard_t(tail, size=(n_samples, n_features)) + offset
    if draw(st.booleans()):
        X[rng.integers(n_samples, size=n_samples // 3)] = X[0]
    return X.astype(dtype), rng.permutation(codes) if draw(st.booleans()) else codes


def draw_weights(rng, codes, kind):
    """Weights of some kind; every cluster has some."""
    n_samples = len(codes)
    if kind == "one holds nearly all":
        weights = np.full(n_samples, 1e-6)
    else:
        weights = 10.0 ** rng.uniform(
            *{"similar": (-1, 1), "of all sizes": (-6, 6), "extreme": (-99, 99)}[kind], n_samples
        )
    if kind != "similar":
        weights[rng.random(n_samples) < 0.3] = 0.0
    heavy = np.unique(codes, return_index=True)[1]
    weights[heavy] = 1e6 if kind == "one holds nearly all" else np.maximum(weights[heavy], 1e-3)
    return weights


KINDS_OF_WEIGHTS = ["similar", "of all sizes", "extreme", "one holds nearly all"]


@pytest.mark.slow
@given(clusterings(), st.sampled_from(KINDS_OF_WEIGHTS), st.integers(0, 2**32 - 1))
def test_pruned_equals_unpruned_with_weights_hypothesis(clustering, kind, seed):
    X, codes = clustering
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert_same_answer(X, codes, monkeypatch, draw_weights(np.random.default_rng(seed), codes, kind))


@pytest.mark.parametrize("dtype", [pytest.param(np.float32, marks=pytest.mark.slow), np.float64])
@pytest.mark.parametrize("kind", KINDS_OF_WEIGHTS)
@pytest.mark.parametrize(("n_samples", "n_features", "n_clusters"), [(1250, 12, 300), (900, 1, 30), (2500, 150, 25)])
def test_pruned_equals_unpruned_with_weights(n_samples, n_features, n_clusters, kind, dtype, monkeypatch):
    X, codes = overlapping(n_samples, n_features, n_clusters)
    weights = draw_weights(np.random.default_rng(1), codes, kind)
    assert_same_answer(X.astype(dtype), codes, monkeypatch, weights)


@given(clusterings())
def test_pruned_equals_unpruned_hypothesis(clustering):
    X, codes = clustering
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert_same_answer(X, codes, monkeypatch)


@pytest.mark.parametrize("offset", [1e3, 1.7e9, 3e11])
@pytest.mark.parametrize("nested", [True, False])
def test_a_rounded_center_excludes_no_cluster(nested, offset, monkeypatch):
    """Clusters of a few spacings of the type: their centers are off by a share of their radius."""
    rng = np.random.default_rng(0)
    n_clusters = 8 if nested else 24
    codes = rng.integers(n_clusters, size=600)
    unit = np.spacing(offset) * (16 if nested else 8)
    noise = rng.normal(size=(600, 16))
    if nested:
        X = offset + unit * 2.0 ** (codes - 4)[:, None] * noise
    else:
        X = offset + unit * (rng.normal(size=(n_clusters, 16))[codes] + 0.1 * noise)
    assert_same_answer(X, codes, monkeypatch)


def test_symmetry_is_for_clusters_that_bounds_do_not_exclude(monkeypatch):
    monkeypatch.setattr(euclidean, "SMALL_PRODUCTS", 0.0)
    X = np.random.default_rng(0).normal(size=(1600, 6))
    partition = partition_from_codes(np.arange(8), np.arange(1600) % 8)

    def strategy():
        return euclidean.compute_terms(X, partition, n_jobs=1, tick=ignore_progress).work.strategy

    assert strategy() == "euclidean: symmetric"
    X += 3.0 * (np.arange(1600) % 8)[:, None]
    assert strategy() == "euclidean: pruned"


def test_candidates_of_the_first_round_decide_for_small_data():
    X = np.random.default_rng(0).normal(size=(4000, 30))
    assert X.size * len(X) < euclidean.SMALL_PRODUCTS
    partition = partition_from_codes(np.arange(11), np.arange(4000) % 11)
    terms = euclidean.compute_terms(X, partition, n_jobs=1, tick=ignore_progress)
    assert terms.work.strategy == "euclidean: symmetric"
    assert terms.work.seconds["bounds"] > 0


def test_labels_without_structure_are_seen_before_bounds_are_made(monkeypatch):
    """Their moments cost a good part of all pairs."""
    monkeypatch.setattr(euclidean, "shared_basis", None)
    X = np.random.default_rng(0).normal(size=(6000, 40))
    partition = partition_from_codes(np.arange(30), np.arange(6000) % 30)
    terms = euclidean.compute_terms(X, partition, n_jobs=1, tick=ignore_progress)
    assert terms.work.strategy == "euclidean: symmetric"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_bound_above_a_computed_mean_by_less_than_its_rounding_excludes_nothing(dtype):
    """Two clusters tie, the second was computed, and it may be smaller than it is: the first is computed, and taken."""
    X = np.array([[0.0], [3.0], [4.0], [3.0], [4.0]]).astype(dtype)
    data = scale_data(X, partition_from_codes(np.arange(3), np.array([0, 1, 1, 2, 2])))
    pairs = PairSums(data, np.zeros((4, 1), dtype), 1)
    mean = 3.5 * data.scale
    lower = np.array([mean * (1 + (5e-6 if dtype == np.float32 else 5e-12)), 0.0])
    candidates = Candidates(0, np.zeros(2, np.int32), np.array([1, 2], np.int32), lower)
    found = pairs.nearest_candidates(np.array([0]), np.array([2], np.int32), [candidates])
    assert (found[0][0], found[1][0]) == (mean, 1)

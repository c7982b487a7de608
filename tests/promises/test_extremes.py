"""Data at the ends of what numbers can hold: a silhouette is right, or an error says why there is none."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist

import reference
from assertions import tolerance_of
from fastsil import plan, silhouette_profile, silhouette_samples, silhouette_samples_many
from fastsil.engines import manhattan
from fastsil.engines.linear.summaries import _cut_pieces
from fastsil.engines.scaling import as_writable
from fastsil.kernels import euclidean as kernels
from fastsil.kernels.tiles import Samples, make_workspace
from fastsil.runtime.threads import in_batches
from fastsil.validation import check_labels
from fastsil.validation.partition import partition_from_codes

pytestmark = [
    pytest.mark.skipif(np.finfo(np.longdouble).maxexp < 2000, reason="the truth needs a wider range than float64"),
    # Of scikit-learn's distances, and of divisions that are refused afterwards.
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

# Metrics that grow with the data, and metrics that do not see the scale.
GROWING = ["euclidean", "sqeuclidean", "manhattan", "chebyshev", "minkowski"]
FREE = ["cosine", "correlation", "hamming", "canberra", "braycurtis", "seuclidean", "mahalanobis"]


def blobs(n_samples=40, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n_samples) % 3
    return 3 * rng.normal(size=(3, 3))[labels] + rng.normal(size=(n_samples, 3)), labels


def truth(X, labels, metric):
    if metric == "minkowski":
        wide = X.astype(np.longdouble)
        given = (np.abs(wide[:, None] - wide[None]) ** 3).sum(axis=2) ** (np.longdouble(1) / 3)
        return reference.silhouette_samples(given, labels, metric="precomputed")
    return reference.silhouette_samples(X, labels, metric=metric)


def check(X, labels, metric, *, may_refuse=False):
    params = {"p": 3} if metric == "minkowski" else {}
    try:
        found = silhouette_samples(X, labels, metric=metric, **params)
    except ValueError:
        assert may_refuse, f"{metric} is refused"
        return
    np.testing.assert_allclose(
        found, truth(X, labels, metric).astype(float), rtol=0, atol=tolerance_of(X.dtype), err_msg=metric
    )


SCALES = [
    *((np.float32, scale) for scale in (3e37, 1e30, 1e-30, 1e-43)),
    *((np.float64, scale) for scale in (2e307, 1e200, 1e155, 1e-160, 1e-200, 1e-300, 2e-322)),
]


@pytest.mark.parametrize(("dtype", "scale"), SCALES, ids=str)
def test_any_scale(dtype, scale):
    X, labels = blobs()
    X = (X * scale).astype(dtype)
    for metric in GROWING:
        check(X, labels, metric)
    for metric in FREE:
        # Features of a few bits are constant, or have no direction.
        check(X, labels, metric, may_refuse=scale in (1e-43, 2e-322))


def test_sparse_data_of_any_scale():
    X, labels = blobs()
    X[np.abs(X) < 1] = 0
    for scale in (1e200, 1e-200):
        for metric in ("sqeuclidean", "manhattan", "euclidean"):
            found = silhouette_samples(csr_array(X * scale), labels, metric=metric)
            np.testing.assert_allclose(found, truth(X, labels, metric).astype(float), atol=1e-7)


def with_row(value, *, dtype=np.float64, scale=1.0):
    X, labels = blobs()
    X = (X * scale).astype(dtype)
    X[5] = value
    return X, labels


def with_zero_rows():
    X, labels = blobs()
    return np.vstack([X, np.zeros((100, 3))]), np.r_[labels, np.arange(100) % 3]


def of_many_scales():
    X, labels = blobs()
    return X * 10.0 ** np.random.default_rng(1).integers(-150, 150, size=(len(X), 1)), labels


MIXED = {
    "an outlier": with_row(1e18),
    "an outlier whose square overflows": with_row(1e160),
    "an outlier at the end": with_row(1e300),
    "an outlier in float32": with_row(1e30, dtype=np.float32),
    "an outlier at the end of float32": with_row(3e38, dtype=np.float32),
    "a tight clump far from 0 in float32": (
        np.array([1, 0.9, 1e-25, 2e-25, 5e-25, 7e-25], np.float32)[:, None],
        np.array([0, 0, 1, 1, 2, 2]),
    ),
    "a clump whose squares vanish": (np.array([1, 0.9, 1e-170, 2e-170, 5e-170])[:, None], np.array([0, 0, 1, 1, 2])),
    "rows of many scales": of_many_scales(),
    "signs of zero": (np.where(blobs()[0] > 0, -0.0, 0.0), blobs()[1]),
    "constant": (np.full((12, 3), 0.1), np.arange(12) % 3),
    "duplicates": (np.repeat(blobs()[0][:3], 5, axis=0), np.arange(15) % 3),
    "tiny duplicates": (np.repeat(blobs()[0][:3], 5, axis=0) * 1e-200, np.arange(15) % 3),
    "a zero row": with_row(0),
    "a hundred zero rows": with_zero_rows(),
    "clusters of one": (blobs()[0], np.r_[0, np.arange(39)]),
    "an offset": (blobs()[0] + 1e7, blobs()[1]),
    "an offset in float32": ((blobs()[0] + 1e4).astype(np.float32), blobs()[1]),
}


@pytest.mark.parametrize("case", MIXED)
def test_right_or_refused(case):
    for metric in [*GROWING, *FREE]:
        check(*MIXED[case], metric, may_refuse=True)


@pytest.mark.parametrize(
    ("case", "metric"),
    [
        *(("an outlier", metric) for metric in ("euclidean", "sqeuclidean", "manhattan", "seuclidean", "cosine")),
        *(("an outlier at the end of float32", metric) for metric in ("euclidean", "seuclidean", "manhattan")),
        *(("an outlier at the end", metric) for metric in ("manhattan", "chebyshev", "cosine")),
        *(("a tight clump far from 0 in float32", metric) for metric in ("euclidean", "sqeuclidean")),
        *(("a zero row", metric) for metric in ("cosine", "canberra", "braycurtis")),
        *(("a hundred zero rows", metric) for metric in ("cosine", "euclidean")),
        *(("constant", metric) for metric in GROWING),
        *(("tiny duplicates", metric) for metric in GROWING),
        *(("clusters of one", metric) for metric in [*GROWING, *FREE]),
        *(("an offset", metric) for metric in [*GROWING, "seuclidean", "mahalanobis"]),
    ],
)
def test_never_refused(case, metric):
    check(*MIXED[case], metric)


def test_a_refusal_names_a_row_and_the_size_of_the_largest_value():
    X, labels = with_row(1e300)
    with pytest.raises(ValueError, match=r"distances of row 0 have no digits left.*about 1e\+300.*outliers"):
        silhouette_samples(X, labels)


@pytest.mark.parametrize("scale", [2e307, 1e200, 2e-322])
def test_several_labelings_at_any_scale(scale):
    X, labels = blobs()
    labelings = [labels, np.roll(labels, 1), labels // 2]
    for found, one in zip(silhouette_samples_many(X * scale, labelings), labelings, strict=True):
        np.testing.assert_allclose(found, truth(X * scale, one, "euclidean").astype(float), atol=1e-10)


def test_mean_distances_are_in_units_of_the_data():
    X, labels = blobs()
    ordinary = silhouette_profile(X, labels, metric="manhattan")
    tiny = silhouette_profile(X * 2.0**-1000, labels, metric="manhattan")
    np.testing.assert_allclose(tiny.a, ordinary.a * 2.0**-1000, rtol=1e-13)
    np.testing.assert_allclose(tiny.b, ordinary.b * 2.0**-1000, rtol=1e-13)
    squares = silhouette_profile(X * 2.0**900, labels, metric="sqeuclidean")
    assert np.isposinf(squares.b).all()  # beyond float64, though the silhouettes are not
    np.testing.assert_allclose(squares.silhouettes, truth(X, labels, "sqeuclidean").astype(float), atol=1e-10)


@pytest.mark.parametrize("order", ["C", "F"])
def test_given_distances_whose_means_leave_the_range_are_refused(order):
    X, labels = blobs()
    distances = np.abs(X[:, :1] - X[:, :1].T)
    distances /= distances.max()
    for scale in (1.7e308, 1e-310, 1e-300):
        with pytest.raises(ValueError, match="leave the range of float64"):
            silhouette_samples(np.asarray(distances * scale, order=order), labels, metric="precomputed")
    zero = np.zeros((6, 6), order=order)
    np.testing.assert_array_equal(silhouette_samples(zero, [0, 0, 1, 1, 2, 2], metric="precomputed"), np.zeros(6))


BEYOND = 2**31 + 5


def test_rows_beyond_two_to_the_31(tmp_path):
    """Tiles of samples of a file with more rows than 32 bits count; the file has no blocks but those written to."""
    X = np.memmap(tmp_path / "X", np.float32, "w+", shape=(BEYOND + 2, 1))
    order = np.array([0, 1, BEYOND, BEYOND + 1])
    X[order, 0] = [1, 2, 4, 8]
    samples = Samples(as_writable(np.asarray(X)), order, np.zeros((1, 1), np.float32), np.float32(1))
    sums = np.zeros((1, 4))
    workspace, stop = make_workspace(np.float32, 1), np.zeros(1, np.uint8)
    kernels.add_distances_within(samples, np.array([[0, 4, 0]]), workspace, sums, np.zeros(1), stop)
    np.testing.assert_array_equal(sums[0], [1 + 3 + 7, 1 + 2 + 6, 3 + 2 + 4, 7 + 6 + 4])


def test_numbers_of_samples_beyond_two_to_the_31():
    assert manhattan._index_type(BEYOND) == np.int64
    assert manhattan._index_type(2**31 - 1) == np.int32
    plan = manhattan._plan(BEYOND, 10, 1000, 2)
    assert min(plan) >= 1
    batches = in_batches(BEYOND, n_jobs=2)
    assert batches[-1].stop == BEYOND
    assert sum(map(len, batches)) == BEYOND
    groups, bounds = _cut_pieces(np.array([0, 1]), np.array([BEYOND, 3]), 4096)
    assert bounds[-1] == BEYOND + 3
    assert (np.diff(bounds) > 0).all()
    assert np.count_nonzero(groups == 0) == -(-BEYOND // 4096)


@pytest.mark.parametrize("kind", [int, "far apart", str])
def test_a_million_classes(kind):
    labels = np.random.default_rng(0).permutation(np.r_[np.arange(1_000_000), 0, 1])
    given = labels * 2**40 if kind == "far apart" else labels.astype(kind)
    partition = check_labels(given, len(labels))
    assert partition.n_clusters == 1_000_000
    np.testing.assert_array_equal(partition.classes[partition.codes], given)


def test_more_classes_than_32_bits_count_are_refused():
    with pytest.raises(ValueError, match=r"2,147,483,653 distinct values; at most 2,147,483,647"):
        partition_from_codes(np.broadcast_to(np.int8(0), BEYOND), np.zeros(0, np.intp))


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean"])
def test_samples_times_clusters_beyond_two_to_the_31(metric):
    n_samples, n_clusters = 65_600, 32_800
    assert n_samples * n_clusters > 2**31
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(n_samples) % n_clusters)
    X = (3 * rng.normal(size=(n_clusters, 2))[labels] + 0.01 * rng.normal(size=(n_samples, 2))).astype(np.float32)
    found = silhouette_profile(X, labels, metric=metric)
    for row in (0, n_samples // 2, n_samples - 1):
        distances = cdist(X[[row]], X, metric)[0]
        means = np.bincount(labels, distances) / np.bincount(labels)
        own = labels[row]
        others = np.delete(means, own)
        np.testing.assert_allclose(found.a[row], 2 * means[own], rtol=1e-5)
        np.testing.assert_allclose(found.b[row], others.min(), rtol=1e-5)
        assert found.neighbor[row] == others.argmin() + (others.argmin() >= own)


@pytest.mark.parametrize("metric", ["euclidean", "sqeuclidean", "cosine", "manhattan"])
def test_features_beyond_two_to_the_31(metric):
    """As where words are hashed to 64 bits: most columns are empty, and their number means nothing."""
    rng = np.random.default_rng(0)
    X = csr_array(rng.normal(size=(30, 40)) * (rng.random((30, 40)) < 0.3) + np.eye(30, 40))
    columns = np.sort(rng.choice(2**20, size=40, replace=False)) * 2**13
    wide = csr_array((X.data, columns[X.indices], X.indptr.astype(np.int64)), shape=(30, 2**33))
    labels = np.arange(30) % 3
    expected = silhouette_samples(X.toarray(), labels, metric=metric)
    np.testing.assert_allclose(silhouette_samples(wide, labels, metric=metric), expected, rtol=0, atol=1e-10)
    assert plan(wide, labels, metric=metric).n_samples == 30


def test_features_that_a_metric_counts_are_refused_beyond_memory():
    wide = csr_array(([1.0, 2.0, 3.0], [0, 2**32, 5], [0, 1, 2, 3]), shape=(3, 2**33))
    with pytest.raises(
        MemoryError, match=r"8,589,934,592 features needs .* GiB \([0-9,]+ bytes\).*reduce the features"
    ):
        silhouette_samples(wide, [0, 0, 1], metric="correlation")

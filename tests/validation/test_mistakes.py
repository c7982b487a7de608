"""Input that is legal and hardly ever meant: a warning, or an error that says what to pass."""

import warnings

import numpy as np
import pytest
import sklearn.metrics
from scipy.sparse import csr_array, csr_matrix
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import kneighbors_graph, radius_neighbors_graph

from fastsil import (
    KMeansSweep,
    SilhouetteStream,
    silhouette_estimate,
    silhouette_profile,
    silhouette_samples,
    silhouette_samples_many,
    silhouette_score,
)

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, 200)
X = RNG.normal(size=(200, 5)) + 3 * RNG.normal(size=(4, 5))[LABELS]
D = pairwise_distances(X)


@pytest.mark.parametrize(
    "use",
    [
        lambda D: silhouette_samples(D, LABELS),
        lambda D: silhouette_score(D, LABELS, metric="cosine"),
        lambda D: silhouette_profile(D, LABELS, metric="manhattan"),
        lambda D: silhouette_estimate(D, LABELS),
        lambda D: silhouette_samples_many(D, [LABELS]),
        lambda D: SilhouetteStream("cosine").partial_fit(D, LABELS),
        lambda D: KMeansSweep([2], gaps=False).fit(D),
    ],
    ids=["samples", "score", "profile", "estimate", "many labelings", "stream", "sweep"],
)
@pytest.mark.parametrize("make", [np.asarray, np.float32, csr_array], ids=["float64", "float32", "csr"])
def test_distances_given_as_samples_are_warned_of_once(use, make):
    with pytest.warns(UserWarning, match=r"as distances are, but metric=.* pass metric='precomputed'") as caught:
        use(make(D))
    assert [warning.filename for warning in caught] == [__file__]


def test_distances_given_as_samples_are_in_the_diagnosis():
    with pytest.warns(UserWarning, match="as distances are"):
        profile = silhouette_profile(D, LABELS)
    assert "distances_as_samples" in profile.diagnose(D).codes
    assert "distances_as_samples" not in silhouette_profile(X, LABELS).diagnose(X).codes
    of_distances = silhouette_profile(D, LABELS, metric="precomputed")
    assert "distances_as_samples" not in of_distances.diagnose(D).codes


def test_square_samples_are_not_warned_of():
    upper, similar = np.triu(D), D + np.eye(200) * D.max()
    for square in (X @ X.T, upper, similar, -D, np.eye(200), np.zeros((200, 200)), RNG.normal(size=(200, 200))):
        silhouette_samples(square, LABELS)
    silhouette_samples(D[:40, :40], LABELS[:40], metric=lambda a, b: float(np.abs(a - b).sum()))


@pytest.mark.parametrize("mode", ["distance", "connectivity"])
@pytest.mark.parametrize("n_neighbors", [1, 15, 100])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("make", [csr_matrix, csr_array])
def test_a_graph_of_neighbors_is_no_matrix_of_distances(mode, n_neighbors, symmetric, make):
    graph = kneighbors_graph(X, n_neighbors, mode=mode)
    graph = make(graph.maximum(graph.T) if symmetric else graph)
    for use in (silhouette_samples, silhouette_score, silhouette_profile, silhouette_estimate):
        with pytest.raises(ValueError, match=r"X stores [\d,]+ of 39,800 distances .* read as 0"):
            use(graph, LABELS, metric="precomputed")
    with pytest.raises(ValueError, match="read as 0"):
        silhouette_samples_many(graph, [LABELS], metric="precomputed")
    expected = silhouette_samples(graph.toarray(), LABELS, metric="precomputed")
    assert np.isfinite(expected).all()


def test_a_graph_within_a_radius_is_no_matrix_of_distances():
    for radius in (1.0, 3.0, 6.0):
        with pytest.raises(ValueError, match="read as 0"):
            silhouette_samples(radius_neighbors_graph(X, radius, mode="distance"), LABELS, metric="precomputed")


def test_absent_distances_of_duplicates_are_0():
    copies = RNG.integers(0, 2, size=(200, 3)).astype(float)
    for distances in (pairwise_distances(copies), np.round(D), np.round(D, 1)):
        found = silhouette_samples(csr_array(distances), LABELS, metric="precomputed")
        np.testing.assert_allclose(found, silhouette_samples(distances, LABELS, metric="precomputed"), atol=1e-12)


LAYOUTS = {"C": np.ascontiguousarray, "Fortran": np.asfortranarray, "strided": lambda S: np.repeat(S, 2, 0)[::2]}


@pytest.mark.parametrize("layout", [*LAYOUTS, "csr"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rounding_below_0_is_read_as_0(layout, dtype):
    units = (X / np.linalg.norm(X, axis=1)[:, None]).astype(dtype)
    units[:60:3] = units[0]
    labels = LABELS.copy()
    labels[:60:3] = 0
    distances = 1 - units @ units.T
    distances[3, 5] = -4 * np.finfo(dtype).eps
    given = LAYOUTS.get(layout, csr_array)(distances)
    rounded = np.maximum(distances.astype(float), 0)
    np.fill_diagonal(rounded, 0)
    expected = sklearn.metrics.silhouette_samples(rounded, labels, metric="precomputed")
    atol = 1e-6 if dtype == np.float32 else 1e-10
    with pytest.warns(UserWarning, match=r"X has negative distances down to -\d.*are read as 0") as caught:
        found = silhouette_samples(given, labels, metric="precomputed")
    assert [warning.filename for warning in caught] == [__file__]
    np.testing.assert_allclose(found, expected, atol=atol)
    assert found.max() <= 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row in silhouette_samples_many(given, [labels, labels], metric="precomputed"):
            np.testing.assert_allclose(row, expected, atol=atol)
        estimate = silhouette_estimate(given, labels, metric="precomputed")
        assert estimate.score == pytest.approx(np.mean(expected), abs=1e-5)
        without = silhouette_samples(given, np.where(labels == 3, -1, labels), metric="precomputed", ignore_label=-1)
    assert np.isfinite(without[labels != 3]).all()


def test_more_than_rounding_below_0_is_refused_without_advice_to_invert():
    units = X / np.linalg.norm(X, axis=1)[:, None]
    distances = np.maximum(1 - units @ units.T, 0)
    np.fill_diagonal(distances, 0)
    for value in (-1.0, -1e-6):
        distances[3, 5] = value
        with pytest.raises(ValueError, match="Negative values in X: row 3, column 5") as raised:
            silhouette_samples(distances, LABELS, metric="precomputed")
        assert "max()" not in str(raised.value)


def test_similarities_are_not_given_a_zero_diagonal():
    units = X / np.linalg.norm(X, axis=1)[:, None]
    with pytest.raises(ValueError, match=r"non-zero elements on the diagonal .* as in similarities; pass distances"):
        silhouette_samples(units @ units.T, LABELS, metric="precomputed")


@pytest.mark.parametrize("metric", ["mahalanobis", "seuclidean", "chebyshev", "jaccard", "canberra", "minkowski"])
def test_a_metric_without_sparse_data_says_what_to_pass(metric):
    for use in (silhouette_samples, lambda X, labels, **keywords: silhouette_samples_many(X, [labels], **keywords)):
        with pytest.raises(TypeError, match=rf"metric='{metric}' takes no sparse matrix\. Pass X\.toarray\(\)"):
            use(csr_array(X), LABELS, metric=metric)


def test_a_metric_without_sparse_blocks_says_so_at_the_call():
    dask_array = pytest.importorskip("dask.array")
    blocks = dask_array.from_array(X, chunks=(50, 5)).map_blocks(csr_array)
    for metric in ("mahalanobis", "chebyshev"):
        with pytest.raises(TypeError, match=rf"metric='{metric}' takes no sparse matrix"):
            silhouette_samples(blocks, LABELS, metric=metric)


def test_labels_of_another_order_of_rows_are_warned_of():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, index=np.arange(200)[::-1])
    labels = pandas.Series(LABELS)
    match = r"different indexes \(row 0: 0 and 199\).*pass labels\.loc\[X\.index\]"
    for use in (silhouette_samples, lambda X, labels: silhouette_samples_many(X, [labels])[0]):
        with pytest.warns(UserWarning, match=match) as caught:
            found = use(frame, labels)
        assert [warning.filename for warning in caught] == [__file__]
        np.testing.assert_allclose(found, silhouette_samples(X, LABELS), atol=1e-12)
    with pytest.warns(UserWarning, match=match):
        SilhouetteStream("cosine").partial_fit(frame, labels)
    for agreeing in (labels.loc[frame.index], labels.to_numpy(), LABELS.tolist()):
        assert len(silhouette_samples(frame, agreeing)) == 200
    silhouette_samples(X, pandas.Series(LABELS, index=frame.index))


def test_no_metric_is_euclidean_only_if_left_out():
    with pytest.raises(ValueError, match=r"metric=None is not known\. Leave it out for Euclidean distance"):
        silhouette_samples(X, LABELS, metric=None)

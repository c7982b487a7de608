"""Several geometries in one call: each as if it were the only one, and a choice that can be defended."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse import random as random_sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import FitFailedWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastsil import KMeansSweep, silhouette_samples
from fastsil.report.tables import geometry_columns, side_by_side
from fastsil.sweep.one_space import choose_geometry

IRIS = load_iris().data
DIGITS = load_digits().data[:600]


def stretched(seed=0, n=150):
    """Two groups along a narrow direction, while another feature spreads widely: whitening shows them."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, 2)) * [0.15, 12.0]
    X[:, 0] += np.arange(n) % 2
    return X


def swept(X=IRIS, **params):
    return KMeansSweep(range(2, 5), **{"n_init": 2, "random_state": 0, **params}).fit(X)


@pytest.mark.slow
def test_each_geometry_is_as_if_it_were_the_only_one():
    together = swept(metric=["euclidean", "cosine", "mahalanobis"], pca=[None, 3], n_null=3)
    assert [sweep.name for sweep in together.geometries_] == [
        f"{metric}{pca}" for metric in ("euclidean", "cosine", "mahalanobis") for pca in ("", ", pca 3")
    ]
    for sweep in together.geometries_:
        alone = swept(metric=sweep.metric, pca=sweep.pca, n_null=3)
        for name in ("silhouette", "inertia", "null_z", "gap"):
            np.testing.assert_array_equal(sweep.results[name], alone.sweep_results_[name])


def test_components_are_scikit_learns():
    reduced = PCA(10, random_state=0).fit(DIGITS).transform(DIGITS)
    ours, theirs = swept(DIGITS, pca=10, metric="cosine"), swept(reduced, metric="cosine")
    np.testing.assert_allclose(
        ours.sweep_results_["silhouette"], theirs.sweep_results_["silhouette"], rtol=0, atol=1e-9
    )
    np.testing.assert_array_equal(ours.predict(DIGITS), ours.labels_)
    share = swept(DIGITS, pca=0.5).best_geometry_.frame.reduction.n_components_
    assert share == PCA(0.5).fit(DIGITS).n_components_


def test_one_geometry_has_the_table_of_one_and_several_a_long_one():
    one, several = swept(pca=2), swept(pca=[None, 2])
    assert "pca" not in one.sweep_results_
    assert list(several.sweep_results_)[:3] == ["metric", "pca", "n_clusters"]
    np.testing.assert_array_equal(several.sweep_results_["n_clusters"], [2, 3, 4] * 2)
    np.testing.assert_array_equal(several.sweep_results_["pca"], [np.nan] * 3 + [2.0] * 3)
    assert set(several.sweep_results_["metric"]) == {"euclidean"}
    assert len({len(column) for column in several.sweep_results_.values()}) == 1


def test_with_null_sets_the_geometry_furthest_above_them_is_chosen():
    X = stretched()
    sweep = swept(X, metric=["euclidean", "mahalanobis"], n_null=19)
    plain, whitened = sweep.geometries_
    assert plain.excess < whitened.excess
    assert sweep.best_geometry_ is whitened
    assert len(set(zip(sweep.profiles_[2].labels, np.arange(len(X)) % 2, strict=True))) == 2
    assert len(set(zip(plain.profiles[2].labels, np.arange(len(X)) % 2, strict=True))) == 4
    np.testing.assert_array_equal(sweep.predict(X), sweep.labels_)
    assert sweep.profiles_[2].metric == "mahalanobis"


def test_without_null_sets_and_gaps_no_choice_is_claimed():
    sweep = swept(stretched(), metric=["euclidean", "mahalanobis"], gaps=False)
    assert sweep.best_geometry_ is sweep.geometries_[0]
    assert choose_geometry(sweep.geometries_) == 0


@pytest.mark.slow
def test_the_report_and_the_pictures_show_all_geometries(tmp_path):
    pytest.importorskip("jinja2")
    matplotlib = pytest.importorskip("matplotlib")
    X = stretched()
    sweep = swept(X, metric=["euclidean", "mahalanobis"], n_null=19)
    answer = "Yes: the gaps between the clusters are clearest in mahalanobis."
    assert sweep.verdict_.geometries[0] == answer
    page = sweep.report(tmp_path / "report.html", X).read_text("utf-8")
    alone = swept(X, metric="mahalanobis", n_null=2).report(tmp_path / "alone.html", X).read_text("utf-8")
    assert answer in page
    assert page.count("<img") == alone.count("<img") + 2
    assert "Would another geometry help?" not in alone
    for one in sweep.geometries_:
        for value in one.results["silhouette"]:
            assert f"<td>{value:.4f}</td>" in page
    np.testing.assert_array_equal(sweep.plot()[0].lines[0].get_xdata(), [2, 3, 4])
    scores, excess = sweep.plot_geometries()
    for place, one in enumerate(sweep.geometries_):
        np.testing.assert_array_equal(scores.lines[2 * place].get_ydata(), one.results["silhouette"])
        np.testing.assert_array_equal(scores.lines[2 * place + 1].get_ydata(), one.results["null_mean"])
        np.testing.assert_array_equal(excess.lines[place].get_ydata(), one.results["null_excess"])
    assert [text.get_text() for text in scores.get_legend().get_texts()] == [
        "euclidean",
        "mahalanobis",
        "the same without clusters",
    ]
    matplotlib.pyplot.close("all")


def test_pictures_of_geometries_without_null_sets_say_so():
    matplotlib = pytest.importorskip("matplotlib")
    excess = swept(stretched(), metric=["euclidean", "cosine"]).plot_geometries()[1]
    assert [text.get_text() for text in excess.texts] == ["no null sets were drawn"]
    matplotlib.pyplot.close("all")


def test_an_interrupt_keeps_the_geometries_that_are_done():
    def stop(event):
        if event.geometry == "cosine":
            raise KeyboardInterrupt

    with pytest.warns(UserWarning, match=r"3 of 3 clusterings in euclidean .* Not begun: cosine, manhattan\."):
        sweep = swept(metric=["euclidean", "cosine", "manhattan"], progress=stop)
    assert sweep.interrupted_
    assert [one.name for one in sweep.geometries_] == ["euclidean"]
    assert set(sweep.sweep_results_["metric"]) == {"euclidean"}


def test_progress_runs_over_all_geometries():
    events = []
    swept(metric=["euclidean", "cosine"], n_null=2, n_stability=1, progress=events.append)
    shares = [event.share for event in events]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert [event.geometry for event in events if event.n_clusters == 2 and event.stage == "done"] == [
        "euclidean",
        "cosine",
    ]


def test_a_geometry_that_fails_leaves_the_others():
    X = np.random.default_rng(0).normal(size=(40, 50))
    with pytest.warns(FitFailedWarning, match="mahalanobis is left out: the covariance of 40 samples of 50 features"):
        sweep = swept(X, metric=["euclidean", "mahalanobis"], pca=[None, 5])
    reason = "has rank 39: after whitening all samples are equally far from each other"
    assert [one.name for one in sweep.geometries_] == ["euclidean", "euclidean, pca 5", "mahalanobis, pca 5"]
    assert list(sweep.failed_geometries_) == ["mahalanobis"]
    assert reason in sweep.failed_geometries_["mahalanobis"]
    assert any(sentence.startswith("mahalanobis is left out") for sentence in sweep.verdict_.geometries)
    table = sweep.sweep_results_
    failed = (table["metric"] == "mahalanobis") & np.isnan(table["pca"])
    np.testing.assert_array_equal(table["n_clusters"][failed], [2, 3, 4])
    assert all(reason in error for error in table["error"][failed])
    assert not any(table["error"][~failed])
    cells = {column.title: column.cells for column in geometry_columns(sweep.geometries_, ["mahalanobis"])}
    assert (cells["geometry"][-1], cells["k"][-1], cells["mean silhouette"][-1]) == ("mahalanobis", "failed", "-")
    with pytest.raises(np.linalg.LinAlgError, match="has rank 39"):
        swept(X, metric="mahalanobis")
    with pytest.raises(ValueError, match="V has shape"):
        swept(X, metric=["euclidean", "mahalanobis"], metric_params={"mahalanobis": {"V": np.eye(2)}})


def test_sparse_data_are_swept_in_the_geometries_that_take_them():
    X = random_sparse(60, 20, 0.3, format="csr", random_state=0)
    with pytest.warns(FitFailedWarning, match="mahalanobis is left out: .* makes sparse X dense"):
        sweep = swept(X, metric=["euclidean", "cosine", "mahalanobis"], pca=[None, 5])
    assert len(sweep.geometries_) == 5


def test_a_covariance_without_inverse_is_inverted_where_the_data_spread():
    X = np.c_[IRIS, IRIS @ np.ones(4), np.ones(150), 1e-3 * IRIS[:, 0]]
    with pytest.warns(UserWarning, match="mahalanobis: the covariance has rank 4 of 7 features"):
        sweep = swept(X, metric=["euclidean", "mahalanobis"], n_null=2)
    alone = swept(metric="mahalanobis", n_null=2)
    columns = ["silhouette", "inertia"]
    for name in columns:
        np.testing.assert_allclose(sweep.geometries_[1].results[name], alone.sweep_results_[name], rtol=1e-6)
    profile = sweep.geometries_[1].profiles[3]
    VI = sweep.geometries_[1].frame.params["VI"]
    found = silhouette_samples(X, profile.labels, metric="mahalanobis", VI=VI)
    np.testing.assert_allclose(found, profile.silhouettes, atol=1e-6)


def test_a_geometry_in_which_every_k_fails_leaves_the_others():
    def fails(x, y):
        raise ValueError("no distance")

    with pytest.warns(FitFailedWarning, match="fails is left out: every k failed; k=2: ValueError: no distance"):
        sweep = swept(IRIS[:30], metric=[fails, "euclidean"])
    assert sweep.best_geometry_.name == "euclidean"


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32])
def test_a_callable_gets_the_rows_as_they_were_given(dtype):
    seen = set()

    def differ(x, y):
        seen.add(x.dtype)
        return float((x != y).mean())

    X = (IRIS[::5] > 3).astype(dtype) if dtype is bool else (10 * IRIS[::5]).astype(dtype)
    sweep = KMeansSweep([2], metric=differ, n_null=2, null_size=20, gaps=False, random_state=0, n_init=1).fit(X)
    profile = sweep.profiles_[2]
    # Null sets are drawn from a Gaussian.
    assert np.dtype(dtype) in seen
    assert seen <= {np.dtype(dtype), np.dtype(np.float32 if dtype is np.float32 else np.float64)}
    np.testing.assert_array_equal(profile.silhouettes, silhouette_samples(X, profile.labels, metric=differ))


def test_metric_params_are_by_metric():
    V = np.diag([1.0, 4.0, 9.0, 16.0])
    sweep = swept(metric=["euclidean", "mahalanobis"], metric_params={"mahalanobis": {"V": V}})
    alone = swept(metric="mahalanobis", metric_params={"V": V})
    np.testing.assert_array_equal(sweep.geometries_[1].results["silhouette"], alone.sweep_results_["silhouette"])


def test_sparse_rows_are_reduced():
    X = np.where(DIGITS > 8, DIGITS, 0)
    dense, sparse = (swept(data, pca=5).sweep_results_["inertia"] for data in (X, csr_matrix(X)))
    np.testing.assert_allclose(sparse, dense, rtol=1e-6)


def test_it_clones_pickles_and_stands_in_a_pipeline():
    sweep = swept(metric=["euclidean", "cosine"], pca=[None, 2])
    assert clone(sweep).get_params() == sweep.get_params()
    fitted = pickle.loads(pickle.dumps(sweep))
    np.testing.assert_array_equal(fitted.predict(IRIS), sweep.predict(IRIS))
    piped = make_pipeline(StandardScaler(), KMeansSweep([2, 3], pca=[2, 3], random_state=0)).fit(IRIS)
    np.testing.assert_array_equal(piped.predict(IRIS), piped[-1].labels_)


def test_other_arguments_of_fit_are_refused():
    with pytest.raises(TypeError, match="takes no weights"):
        KMeansSweep([2]).fit_predict(IRIS, weights=1)


def test_it_is_no_transformer():
    assert not hasattr(KMeansSweep(), "get_feature_names_out")
    assert not hasattr(KMeansSweep(), "transform")


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"pca": 5}, ValueError, "pca=5 is out of range; pass 1 to 4 components"),
        ({"pca": 0}, ValueError, "pca=0"),
        ({"pca": 1.5}, ValueError, "pca=1.5"),
        ({"pca": []}, ValueError, "pca is empty"),
        ({"pca": "many"}, TypeError, "'many'"),
        ({"pca": [2, True]}, TypeError, "True"),
        ({"metric": []}, ValueError, "metric is empty"),
        ({"metric": ["euclidian"]}, ValueError, "Did you mean 'euclidean'"),
        ({"metric": ["euclidean", "precomputed"]}, ValueError, "no samples to cluster"),
        ({"metric": ["mahalanobis"], "metric_params": {"V": np.eye(4)}}, ValueError, "keywords by metric"),
    ],
)
def test_wrong_parameters(params, error, words):
    with pytest.raises(error, match=words):
        swept(**params)


def test_the_old_name_of_several_metrics_goes_on_working():
    names = ["euclidean", "cosine"]
    with pytest.warns(FutureWarning, match="metrics is now called metric") as caught:
        old = swept(metrics=names)
    assert caught[0].filename == __file__
    np.testing.assert_equal(old.sweep_results_["silhouette"], swept(metric=names).sweep_results_["silhouette"])


@pytest.mark.filterwarnings("ignore:metrics is now called metric:FutureWarning")
@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"metrics": "cosine"}, TypeError, "metric='cosine'"),
        ({"metrics": ["cosine"], "metric": "manhattan"}, ValueError, "both metric and metrics"),
    ],
)
def test_wrong_uses_of_the_old_name(params, error, words):
    with pytest.raises(error, match=words):
        swept(**params)


def test_tables_for_reading():
    sweeps = swept(metric=["euclidean", "cosine"], n_null=3).geometries_
    columns = side_by_side({one.name: one.results for one in sweeps})
    assert [column.title for column in columns] == ["k", "euclidean", "sd above null", "cosine", "sd above null"]
    assert {len(column.cells) for column in columns} == {3}
    cut = {"whole": sweeps[0].results, "cut": {name: column[:1] for name, column in sweeps[1].results.items()}}
    assert side_by_side(cut)[3].cells[1:] == ("-", "-")
    assert [column.title for column in geometry_columns(sweeps)][-2:] == ["sd above null", "p"]
    assert len(geometry_columns(swept(metric=["euclidean", "cosine"]).geometries_)) == 3

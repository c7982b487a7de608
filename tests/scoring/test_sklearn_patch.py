"""fastsil in scikit-learn's place: every reference follows, and nothing stays behind."""

import contextlib
import functools
import inspect
import pickle
import sys
import threading
import types

import numpy as np
import pytest
import sklearn.metrics
from sklearn.cluster import KMeans
from sklearn.metrics import cluster, make_scorer

import fastsil
from fastsil import patch_sklearn, unpatch_sklearn
from fastsil.runtime import sklearn_compat
from fastsil.scoring.sklearn_patch import is_patched

X, LABELS = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 3


@pytest.fixture(autouse=True)
def unpatched():
    assert not is_patched()
    yield
    assert not is_patched(), "the test left scikit-learn patched"


def is_ours(function):
    """Only our function knows macro averages."""
    try:
        function(X, LABELS, average="macro")
    except TypeError:
        return False
    return True


@pytest.fixture
def bound_before(monkeypatch):
    """A module of somebody else, imported before the patch."""
    module = types.ModuleType("somebody_else")
    code = """
import functools
from sklearn.metrics import silhouette_score, silhouette_samples as per_sample
SCORES = {"silhouette": silhouette_score}
bound = functools.partial(silhouette_score, metric="l2")
def score(X, labels, *, using=silhouette_score, **params):
    return using(X, labels, **params)
class Scorer:
    function = staticmethod(silhouette_score)
"""
    exec(code, module.__dict__)
    monkeypatch.setitem(sys.modules, "somebody_else", module)
    return module


def references(module):
    return [
        sklearn.metrics.silhouette_score,
        cluster.silhouette_score,
        cluster._unsupervised.silhouette_score,
        module.silhouette_score,
        module.SCORES["silhouette"],
        module.bound,
        module.score,
        module.Scorer.function,
    ]


def test_every_reference_follows_and_comes_back(bound_before):
    everywhere = references(bound_before)
    assert not any(map(is_ours, everywhere))
    with patch_sklearn():
        assert all(map(is_ours, everywhere))
        samples = bound_before.per_sample(X, LABELS, n_jobs=1, progress=False)
        np.testing.assert_array_equal(samples, fastsil.silhouette_samples(X, LABELS))
    assert not any(map(is_ours, everywhere))


def test_a_reference_made_under_the_patch_comes_back_too():
    with patch_sklearn():
        from sklearn.metrics import silhouette_score

        kept = functools.partial(silhouette_score)
        assert is_ours(kept)
    assert not is_ours(kept)


def test_the_functions_look_as_before():
    before = sklearn.metrics.silhouette_score
    signature, doc = inspect.signature(before), before.__doc__
    with patch_sklearn():
        after = sklearn.metrics.silhouette_score
        assert after is before
        assert inspect.signature(after) == signature
        assert after.__doc__ == doc
        assert pickle.loads(pickle.dumps(after)) is before


def test_scikit_learn_gives_its_own_numbers_again():
    unpatched = sklearn.metrics.silhouette_samples(X, LABELS)
    with patch_sklearn():
        np.testing.assert_allclose(sklearn.metrics.silhouette_samples(X, LABELS), unpatched, atol=1e-10)
    np.testing.assert_array_equal(sklearn.metrics.silhouette_samples(X, LABELS), unpatched)


def test_errors_are_still_scikit_learns():
    with patch_sklearn():
        with pytest.raises(
            sklearn_compat.InvalidParameterError, match="'metric' parameter of silhouette_score must be"
        ):
            sklearn.metrics.silhouette_score(X, LABELS, metric="nonsense")
        with pytest.raises(TypeError, match="positional"):
            sklearn.metrics.silhouette_score(X, LABELS, "euclidean")
        with pytest.raises(ValueError, match="Number of labels is 1"):
            sklearn.metrics.silhouette_score(X, np.zeros(40))


def test_a_plain_call_holds_until_it_is_taken_back_and_twice_is_once():
    patch_sklearn()
    patch_sklearn()
    assert is_ours(sklearn.metrics.silhouette_score)
    unpatch_sklearn()
    assert not is_ours(sklearn.metrics.silhouette_score)
    unpatch_sklearn()


def test_blocks_nest():
    with patch_sklearn():
        with patch_sklearn():
            assert is_patched()
        assert is_patched()
    assert not is_patched()


def test_a_block_leaves_a_plain_call_standing():
    patch_sklearn()
    with patch_sklearn():
        pass
    assert is_patched()
    unpatch_sklearn()


def test_a_block_is_not_broken_by_unpatch():
    with patch_sklearn():
        patch_sklearn()
        unpatch_sklearn()
        assert is_patched()
    assert not is_patched()


def test_unpatch_between_call_and_block():
    patch = patch_sklearn()
    unpatch_sklearn()
    with patch:
        assert is_patched()
    with patch:
        assert is_patched()


def test_a_block_ends_with_an_error():
    with pytest.raises(ZeroDivisionError), patch_sklearn():
        1 / 0  # noqa: B018
    assert not is_patched()


def test_threads_with_blocks_of_their_own():
    failures = []
    start = threading.Barrier(8)

    def work():
        start.wait()
        for _ in range(200):
            with patch_sklearn():
                if not is_patched():
                    failures.append("unpatched within a block")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert not is_patched()


def test_calls_in_one_thread_while_another_patches():
    expected = sklearn.metrics.silhouette_score(X, LABELS)
    done = threading.Event()

    def flip():
        while not done.is_set():
            with patch_sklearn():
                pass

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        for _ in range(100):
            assert sklearn.metrics.silhouette_score(X, LABELS) == pytest.approx(expected, abs=1e-10)
    finally:
        done.set()
        thread.join()


def test_a_scorer_made_before():
    scorer = make_scorer(sklearn.metrics.silhouette_score)
    with patch_sklearn():
        assert is_ours(functools.partial(scorer._score_func))


def test_metrics_that_go_through_scikit_learn():
    expected = sklearn.metrics.silhouette_score(X, LABELS, metric="chebyshev")
    with patch_sklearn():
        assert sklearn.metrics.silhouette_score(X, LABELS, metric="chebyshev") == pytest.approx(expected, abs=1e-12)


def test_a_version_of_scikit_learn_that_cannot_be_patched_is_left_alone(monkeypatch):
    def undecorated(X, labels):
        raise NotImplementedError

    monkeypatch.setitem(sklearn_compat.SILHOUETTE_FUNCTIONS, "silhouette_score", undecorated)
    with pytest.raises(RuntimeError, match=r"undecorated.* cannot be replaced in place"):
        patch_sklearn()
    assert not is_patched()
    assert not is_ours(sklearn.metrics.silhouette_samples)


@pytest.mark.filterwarnings("ignore")  # yellowbrick's own
def test_yellowbrick(monkeypatch):
    """Names bound on import, one of them in a table."""
    matplotlib = pytest.importorskip("matplotlib")
    # Yellowbrick 1.5 is older than the matplotlib and the scikit-learn here: it asks for a function that has gone, and
    # does not know a clusterer when it sees one.
    monkeypatch.setattr(matplotlib.cm, "get_cmap", lambda name: matplotlib.colormaps[name], raising=False)
    yellowbrick = pytest.importorskip("yellowbrick.cluster", exc_type=ImportError)
    results = []
    for patch in (contextlib.nullcontext, patch_sklearn):
        clusterer = KMeans(3, n_init=1, random_state=0)
        with patch():
            silhouettes = yellowbrick.SilhouetteVisualizer(clusterer, is_fitted=False, force_model=True).fit(X)
            elbow = yellowbrick.KElbowVisualizer(
                clusterer, k=(2, 5), metric="silhouette", timings=False, force_model=True
            ).fit(X)
            assert is_ours(yellowbrick.elbow.KELBOW_SCOREMAP["silhouette"]) == is_patched()
        results.append((silhouettes.silhouette_samples_, silhouettes.silhouette_score_, elbow.k_scores_))
    for theirs, ours in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-10)

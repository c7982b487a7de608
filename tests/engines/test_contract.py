"""One contract for all engines: (data, partition) -> SilhouetteTerms in the order of the rows, right, repeatable."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given
from scipy.sparse import csr_array, csr_matrix, issparse

import fastsil.engines
import reference
from assertions import assert_same_bits, assert_terms_close
from fastsil.engines.terms import SilhouetteTerms
from fastsil.runtime.progress import ignore_progress
from fastsil.validation.partition import partition_from_codes
from strategies import labeled_data

# Rounding a row to length 1 moves it by 1e-16: where a and b are both below this, rows are parallel but for that.
ANGLE = 1e-4


def distances_of(X):
    """Manhattan distances of the samples, in the form and type in which the samples come."""
    samples = np.asarray(X.toarray() if issparse(X) else X)
    distances = reference.pairwise_distances(samples, "manhattan").astype(X.dtype)
    return type(X)(distances) if issparse(X) else distances


def stored(X):
    return X if issparse(X) else csr_array(X)


class Case(NamedTuple):
    """An engine with one of its metrics."""

    engine: str
    metric: str
    params: dict[str, Any]
    takes_sparse: bool = False
    resolution: float = 0.0
    given: Callable[[Any], Any] = lambda X: X
    definition: dict[str, Any] = {}  # noqa: RUF012 - keywords of the metric in the reference

    def compute(self, X, codes, *, n_jobs=1, tick=ignore_progress) -> SilhouetteTerms:
        codes = np.asarray(codes)
        partition = partition_from_codes(np.arange(codes.max() + 1), codes)
        engine = importlib.import_module(f"fastsil.engines.{self.engine}")
        return engine.compute_terms(self.given(X), partition, n_jobs=n_jobs, tick=tick, **self.params)

    def expected(self, X, codes) -> reference.Terms:
        return reference.compute_terms(X, codes, self.metric, **self.definition)


CASES = [
    Case("euclidean", "euclidean", {}),
    Case("euclidean.many_labelings", "euclidean", {}),
    Case("linear", "sqeuclidean", {"metric": "sqeuclidean"}, takes_sparse=True),
    Case("linear", "cosine", {"metric": "cosine"}, takes_sparse=True, resolution=ANGLE),
    Case("linear", "correlation", {"metric": "correlation"}, takes_sparse=True, resolution=ANGLE),
    Case("manhattan", "manhattan", {}, takes_sparse=True),
    Case("precomputed", "manhattan", {}, takes_sparse=True, given=distances_of),
    *(
        Case("coordinatewise", metric, {"metric": metric})
        for metric in ("chebyshev", "hamming", "canberra", "braycurtis")
    ),
    Case("coordinatewise", "minkowski", {"metric": "minkowski", "p": 2.7}, definition={"p": 2.7}),
    Case("sparse", "euclidean", {}, takes_sparse=True, given=stored),
    Case("reference", "chebyshev", {"metric": "chebyshev", "metric_params": {}}),
    Case("reference", "manhattan", {"metric": "manhattan", "metric_params": {}}, takes_sparse=True),
]
# The engine of last resort is as good as scikit-learn's distances, so it is held to the contract with metrics that
# scikit-learn computes by differences (its dot-product form keeps neither 2e-6 nor 1e-10).

cases = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.engine}-{case.metric}")
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def blobs(dtype, n_samples=120, n_features=7, n_clusters=5, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.arange(n_samples) % n_clusters)
    X = (rng.normal(size=(n_clusters, n_features))[codes] + rng.normal(size=(n_samples, n_features))).astype(dtype)
    return X, codes


def test_every_engine_is_held_to_the_contract():
    names = {module.name for module in pkgutil.walk_packages(fastsil.engines.__path__, "fastsil.engines.")}
    entries = {name: getattr(importlib.import_module(name), "compute_terms", None) for name in names}
    engines = {name for name, entry in entries.items() if getattr(entry, "__module__", "") == name}
    held = {importlib.import_module(f"fastsil.engines.{case.engine}").compute_terms.__module__ for case in CASES}
    assert engines - {"fastsil.engines.dispatch"} == held


@cases
@dtypes
def test_terms_equal_the_reference(case, dtype):
    X, codes = blobs(dtype)
    assert_terms_close(case.compute(X, codes), case.expected(X, codes), dtype=dtype)


@cases
@dtypes
def test_types_and_shapes(case, dtype):
    X, codes = blobs(dtype)
    terms = case.compute(X, codes)
    for name, wanted in [("a", np.float64), ("b", np.float64), ("neighbor", np.int32)]:
        values = getattr(terms, name)
        assert values.dtype == wanted, name
        assert values.shape == (len(X),), name
    assert 0 <= terms.neighbor.min() <= terms.neighbor.max() < 5
    assert (terms.neighbor != codes).all()


@cases
def test_work_says_what_was_done(case):
    X, codes = blobs(np.float64)
    work = case.compute(X, codes).work
    assert case.engine == "reference" or work.strategy.startswith(case.engine.partition(".")[0])
    assert work.pairs >= 0
    assert work.share == pytest.approx(work.pairs / len(X) ** 2)
    assert work.seconds
    assert all(seconds >= 0 for seconds in work.seconds.values())


@cases
@dtypes
@pytest.mark.parametrize("n_clusters", [2, 3, 40])
def test_same_bits_for_any_number_of_threads(case, dtype, n_clusters):
    X, codes = blobs(dtype, n_samples=900, n_features=5, n_clusters=n_clusters)
    alone = case.compute(X, codes, n_jobs=1)
    for n_jobs in (2, 5):
        together = case.compute(X, codes, n_jobs=n_jobs)
        for name in ("a", "b", "neighbor"):
            assert_same_bits(getattr(together, name), getattr(alone, name))


@cases
def test_singletons_have_a_zero_and_a_finite_b(case):
    X, codes = blobs(np.float64, n_samples=30, n_clusters=29)
    terms = case.compute(X, codes)
    alone = np.bincount(codes)[codes] == 1
    assert (terms.a[alone] == 0).all()
    assert np.isfinite(terms.b).all()


@cases
@dtypes
def test_duplicates_have_a_exactly_zero(case, dtype):
    """Otherwise s = (b - a) / max(a, b) of rows that are all equal is noise divided by noise."""
    rng = np.random.default_rng(0)
    codes = np.arange(40) % 3
    X = (1000 + rng.normal(size=(3, 50)))[codes].astype(dtype)
    assert (case.compute(X, codes).a == 0).all()
    everything_equal = case.compute(np.tile(np.array([0.1, 0.7, 0.4], dtype), (40, 1)), codes)
    assert (everything_equal.a == 0).all()
    assert (everything_equal.b == 0).all()


@cases
def test_the_first_of_tying_neighbors_is_taken(case):
    X = np.repeat([[1.0, 2.0, 3.0], [3.0, 1.0, 2.0], [3.0, 1.0, 2.0]], 2, axis=0)
    terms = case.compute(X, [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(terms.neighbor, [1, 1, 2, 2, 1, 1])


@cases
def test_data_is_not_written_to(case):
    X, codes = blobs(np.float64)
    before = X.copy()
    X.flags.writeable = False
    case.compute(X, codes, n_jobs=2)
    assert_same_bits(X, before)


@cases
def test_progress_ends_at_the_whole(case):
    X, codes = blobs(np.float64, n_samples=700)
    shares: list[float] = []
    case.compute(X, codes, n_jobs=2, tick=shares.append)
    assert sum(shares) == pytest.approx(1)
    assert min(shares) >= 0


@pytest.mark.parametrize("case", [case for case in CASES if case.takes_sparse], ids=lambda case: case.engine)
@pytest.mark.parametrize("container", [csr_array, csr_matrix])
def test_sparse_data_gives_the_same(case, container):
    X, codes = blobs(np.float64)
    X[np.abs(X) < 0.7] = 0
    assert_terms_close(case.compute(container(X), codes), case.expected(X, codes), dtype=X.dtype)


def assert_drawn_terms_close(case, X, codes):
    if case.metric == "correlation":
        assume((np.ptp(X, axis=1) > 0).all())  # correlation has no value for a constant row
    if case.metric == "braycurtis":
        X = np.abs(X)
        assume(X.any(axis=1).all())  # Bray-Curtis has no value for two rows of zeros
    terms, expected = case.compute(X, codes), case.expected(X, codes)
    resolved = np.maximum(expected.a, expected.b) >= case.resolution
    assert_terms_close(
        SilhouetteTerms(terms.a[resolved], terms.b[resolved], terms.neighbor[resolved], terms.work),
        reference.Terms(*(values[resolved] for values in expected)),
        dtype=X.dtype,
    )


@cases
@given(data=labeled_data(dtype=np.float32))
def test_terms_equal_the_reference_hypothesis_float32(case, data):
    assert_drawn_terms_close(case, *data)


@cases
@given(data=labeled_data(dtype=np.float64))
def test_terms_equal_the_reference_hypothesis_float64(case, data):
    assert_drawn_terms_close(case, *data)

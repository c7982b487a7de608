"""Given distances: every layout and type in place, one pass, and what is no distance is refused."""

import subprocess
import sys

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix

import reference
from assertions import assert_same_bits, assert_terms_close, with_peak
from fastsil import silhouette_profile, silhouette_profiles, silhouette_samples, silhouette_score
from fastsil.engines import precomputed
from strategies import labels as drawn_labels


def mixture(n_samples=90, dtype=np.float64, n_clusters=4, symmetric=True):
    rng = np.random.default_rng(0)
    D = rng.integers(1, 100, size=(n_samples, n_samples)).astype(dtype)
    D = np.triu(D) + np.triu(D).T if symmetric else D
    np.fill_diagonal(D, 0)
    return D.astype(dtype), rng.permutation(np.arange(n_samples) % n_clusters)


@pytest.fixture
def many_tasks(monkeypatch):
    """Let small matrices be cut into tasks for every thread, and no task be large."""
    monkeypatch.setattr(precomputed, "_BYTES", 1)
    monkeypatch.setattr(precomputed, "_ALONE_BYTES", 0)
    monkeypatch.setattr(precomputed, "_STRIP_ROWS", (8, 16))


def unaligned(D):
    return np.frombuffer(b"\0" + D.tobytes(), dtype=D.dtype, offset=1).reshape(D.shape)


def read_only(D):
    D = D.copy()
    D.flags.writeable = False
    return D


LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "strided": lambda D: np.repeat(np.repeat(D, 2, axis=0), 2, axis=1)[::2, ::2],
    "backwards": lambda D: D[::-1, ::-1].copy()[::-1, ::-1],
    "a part of columns": lambda D: np.hstack([D, D])[:, : len(D)],
    "unaligned": unaligned,
    "read-only": read_only,
    "read-only Fortran": lambda D: read_only(D).T.copy(order="C").T,
    "csr": csr_array,
    "csr_matrix": csr_matrix,
    "csc": csc_array,
    "coo": coo_array,
}
TYPES = [np.float16, np.float32, np.float64, np.longdouble, ">f8", np.int8, np.uint8, np.int32, np.uint64, bool]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("n_jobs", [1, 2, 5])
def test_every_layout_gives_the_same_bits(layout, symmetric, n_jobs, many_tasks):
    D, labels = mixture(symmetric=symmetric)
    expected = silhouette_samples(D, labels, metric="precomputed", n_jobs=1)
    np.testing.assert_allclose(
        expected, sklearn.metrics.silhouette_samples(D, labels, metric="precomputed"), atol=1e-14
    )
    assert_same_bits(silhouette_samples(LAYOUTS[layout](D), labels, metric="precomputed", n_jobs=n_jobs), expected)


@pytest.mark.parametrize("layout", ["C", "Fortran", "strided", "csr"])
@pytest.mark.parametrize("n_jobs", [1, 5])
def test_several_labelings_from_one_reading_give_the_same_bits(layout, n_jobs, many_tasks, monkeypatch):
    monkeypatch.setattr(precomputed, "_CACHE_BYTES", 1)
    D, labels = mixture(symmetric=False)
    labelings = [labels, labels // 2, np.arange(90) % 31, np.maximum(np.arange(90) - 1, 0)]
    profiles = silhouette_profiles(LAYOUTS[layout](D), labelings, metric="precomputed", n_jobs=n_jobs)
    for profile, each in zip(profiles, labelings, strict=True):
        alone = silhouette_profile(D, each, metric="precomputed")
        assert profile.work.strategy.endswith("for 4 labelings")
        for name in ("a", "b", "silhouettes", "neighbor"):
            assert_same_bits(getattr(profile, name), getattr(alone, name))


@pytest.mark.parametrize("order", ["C", "F"])
def test_one_reading_for_several_labelings_is_checked(order):
    D, labels = mixture()
    D[7, 9] = -1
    for wrong, match in [(-1, "row 7, column 9 is -1"), (np.nan, "NaN: row 7, column 9")]:
        D[7, 9] = wrong
        with pytest.raises(ValueError, match=match):
            silhouette_profiles(D.copy(order=order), [labels, labels // 2], metric="precomputed")


BEYOND_MEMORY = """
import resource, sys
import numpy as np
from fastsil import silhouette_samples, silhouette_samples_many
path, order, n_samples = sys.argv[1], sys.argv[2], 12_000
labels = np.arange(n_samples) % 5
small = np.ones((500, 500), np.float32).copy(order=order)
np.fill_diagonal(small, 0)
silhouette_samples(small, labels[:500], metric="precomputed", n_jobs=2)
silhouette_samples_many(small, [labels[:500]] * 2, metric="precomputed", n_jobs=2)
D = np.memmap(path, dtype=np.float32, mode="r", shape=(n_samples, n_samples), order=order)
held = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (held * 1024 + D.nbytes // 3,) * 2)
try:
    np.ascontiguousarray(D[::-1])
except MemoryError:
    print("no memory for a copy")
print(silhouette_samples(D, labels, metric="precomputed").shape)
print(silhouette_samples_many(D, [labels, labels // 2], metric="precomputed").shape)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited in Linux' way")
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_mapped_file_larger_than_memory(order, tmp_path):
    """576 MB, all 0 and so not on the disk, in a process that may take a third of it."""
    with open(tmp_path / "D", "wb") as file:
        file.truncate(4 * 12_000**2)
    command = [sys.executable, "-c", BEYOND_MEMORY, str(tmp_path / "D"), order]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split("\n")[:-1] == ["no memory for a copy", "(12000,)", "(2, 12000)"], done.stderr


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("layout", ["C", "Fortran", "strided"])
def test_every_type_is_taken_for_what_it_is(dtype, layout):
    D, labels = mixture(dtype=dtype, symmetric=False)
    profile = silhouette_profile(LAYOUTS[layout](D), labels, metric="precomputed")
    expected = reference.compute_terms(D.astype(np.float64), labels, "precomputed")
    np.testing.assert_allclose(profile.a, expected.a.astype(float), rtol=1e-14)
    np.testing.assert_allclose(profile.b, expected.b.astype(float), rtol=1e-14)
    assert profile.silhouettes.dtype == (np.float32 if dtype == np.float32 else np.float64)


def test_large_integers_do_not_overflow():
    D, labels = mixture(dtype=np.int64)
    huge = D * (2**62 // 100)
    expected = silhouette_samples(D, labels, metric="precomputed")
    for layout in (np.ascontiguousarray, np.asfortranarray, csr_array):
        np.testing.assert_allclose(silhouette_samples(layout(huge), labels, metric="precomputed"), expected, atol=1e-12)


@pytest.mark.parametrize("layout", ["C", "Fortran", "strided", "csr"])
@pytest.mark.parametrize("n_clusters", [2, 31, 89])
def test_same_bits_within_any_memory(layout, n_clusters, monkeypatch):
    """One square of rows and one cluster at a time, or all at once."""
    D, labels = mixture(n_clusters=n_clusters)
    expected = silhouette_samples(D, labels, metric="precomputed", n_jobs=1)
    for name, value in [("_BYTES", 1), ("_STRIP_BYTES", 8 * 16 * 3), ("_STRIP_ROWS", (16, 16)), ("_ALONE_BYTES", 0)]:
        monkeypatch.setattr(precomputed, name, value)
    assert_same_bits(silhouette_samples(LAYOUTS[layout](D), labels, metric="precomputed", n_jobs=2), expected)


def test_of_clusters_that_tie_the_first_is_the_neighbor():
    D = np.ones((30, 30)) - np.eye(30)
    labels = np.arange(30) % 3
    for layout in LAYOUTS.values():
        neighbor = silhouette_profile(layout(D), labels, metric="precomputed").neighbor
        np.testing.assert_array_equal(neighbor, np.where(labels == 0, 1, 0))


def test_what_a_sparse_matrix_does_not_store_is_no_distance():
    """As in scikit-learn, samples without an entry are at distance 0."""
    D, labels = mixture()
    drawn = np.random.default_rng(1).choice([3, 40, 71], size=len(D))
    D = D[np.ix_(drawn, drawn)]
    twice = csr_array(D)
    twice.data[0], value = 1.0, twice.data[0]
    twice = csr_array(
        (np.r_[value - 1, twice.data], np.r_[twice.indices[0], twice.indices], np.r_[0, twice.indptr[1:] + 1]),
        shape=D.shape,
    )
    expected = sklearn.metrics.silhouette_samples(csr_array(D), labels, metric="precomputed")
    for given_as in (D, csr_array(D), csr_array(D.astype(np.int16)), twice):
        ours = silhouette_samples(given_as, labels, metric="precomputed")
        np.testing.assert_allclose(ours, expected, atol=1e-14)
    empty = csr_array(D.shape)
    assert not silhouette_samples(empty, labels, metric="precomputed").any()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_a_mapped_file_is_read_in_place(order, dtype, tmp_path):
    n_samples = 1500
    mapped = np.memmap(tmp_path / "D", dtype=dtype, mode="w+", shape=(n_samples, n_samples), order=order)
    D, labels = mixture(n_samples, dtype=dtype)
    mapped[:] = D
    mapped.flush()
    mapped = np.memmap(tmp_path / "D", dtype=dtype, mode="r", shape=(n_samples, n_samples), order=order)
    expected = silhouette_samples(D.copy(order=order), labels, metric="precomputed")
    del D
    ours, peak = with_peak(lambda: silhouette_samples(mapped, labels, metric="precomputed", n_jobs=2))
    assert_same_bits(ours, expected)
    assert peak < 1 << 20  # the matrix has 4.5 to 18 MB


def replace_at(value, row=37, column=11):
    def change(D):
        D[row, column] = value
        return D

    return change


BAD = {
    "NaN": (replace_at(np.nan), r"contains NaN: row 37, column 11"),
    "infinity": (replace_at(np.inf), r"contains infinity: row 37, column 11"),
    "minus infinity": (replace_at(-np.inf), r"contains infinity: row 37, column 11"),
    "NaN on the diagonal": (replace_at(np.nan, 50, 50), r"contains NaN: row 50, column 50"),
    "negative": (replace_at(-1), r"Negative values in X: row 37, column 11"),
    "diagonal": (replace_at(1e-3, 50, 50), r"non-zero elements on the diagonal \(row 50"),
    "negative diagonal": (replace_at(-1e-3, 50, 50), r"non-zero elements on the diagonal \(row 50"),
    "the first of several": (lambda D: replace_at(np.nan)(replace_at(-1, 60, 3)(D)), r"NaN: row 37, column 11"),
}


@pytest.mark.parametrize("mistake", BAD)
@pytest.mark.parametrize("layout", ["C", "Fortran", "strided", "csr"])
@pytest.mark.parametrize("n_jobs", [1, 5])
def test_what_is_no_distance_is_refused_as_in_scikit_learn(mistake, layout, n_jobs, many_tasks):
    change, match = BAD[mistake]
    D, labels = mixture()
    D = LAYOUTS[layout](change(D))
    with pytest.raises(ValueError, match=match):
        silhouette_samples(D, labels, metric="precomputed", n_jobs=n_jobs)
    with pytest.raises(ValueError):  # noqa: PT011 - scikit-learn has other words for it
        sklearn.metrics.silhouette_samples(D, labels, metric="precomputed")


@pytest.mark.parametrize("dtype", [np.int8, np.int64])
@pytest.mark.parametrize("layout", ["C", "Fortran", "csr"])
def test_integers_are_checked_too(dtype, layout):
    for value, row, match in [(-1, 3, "Negative"), (-128, 5, "diagonal"), (1, 5, "diagonal")]:
        D, labels = mixture(dtype=dtype)
        with pytest.raises(ValueError, match=match):
            silhouette_samples(LAYOUTS[layout](replace_at(value, row, 5)(D)), labels, metric="precomputed")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", ["C", "Fortran", "csr"])
def test_rounding_on_the_diagonal_is_tolerated_as_in_scikit_learn(dtype, layout):
    D, labels = mixture(dtype=dtype)
    np.fill_diagonal(D, 99 * np.finfo(dtype).eps)
    given_as = LAYOUTS[layout](D)
    expected = sklearn.metrics.silhouette_samples(given_as, labels, metric="precomputed")
    ours = silhouette_samples(given_as, labels, metric="precomputed")
    np.testing.assert_allclose(ours, expected, atol=1e-6 if dtype == np.float32 else 1e-14)
    np.fill_diagonal(D, 101 * np.finfo(dtype).eps)
    with pytest.raises(ValueError, match="diagonal"):
        silhouette_samples(LAYOUTS[layout](D), labels, metric="precomputed")


def test_a_sum_that_overflows_is_no_mistake():
    D, labels = mixture()
    D[np.ix_(labels == 0, labels == 1)] = np.finfo(np.float64).max
    expected = sklearn.metrics.silhouette_samples(D, labels, metric="precomputed")
    np.testing.assert_allclose(silhouette_samples(D, labels, metric="precomputed"), expected, atol=1e-14)


@pytest.mark.parametrize("layout", ["C", "Fortran", "csr"])
def test_a_subset_is_checked_as_in_scikit_learn(layout):
    """Gaps are refused wherever they are, other mistakes where they are drawn."""
    D, labels = mixture()
    drawn = np.random.RandomState(0).permutation(len(D))[:40]
    out, inside = next(i for i in range(len(D)) if i not in drawn), drawn[3]
    params = {"metric": "precomputed", "sample_size": 40, "random_state": 0}
    for value, row, column in [(-1.0, out, 2), (5.0, out, out), (-1.0, inside, drawn[9]), (5.0, inside, inside)]:
        given_as = LAYOUTS[layout](replace_at(value, row, column)(D.copy()))
        if row == out:
            theirs = sklearn.metrics.silhouette_score(given_as, labels, **params)
            assert silhouette_score(given_as, labels, **params) == pytest.approx(theirs, abs=1e-12)
            continue
        for function in (silhouette_score, sklearn.metrics.silhouette_score):
            with pytest.raises(ValueError, match=r"diagonal|Negative"):
                function(given_as, labels, **params)
    with pytest.raises(ValueError, match=f"NaN: row {out}, column 2"):
        silhouette_score(LAYOUTS[layout](replace_at(np.nan, out, 2)(D)), labels, **params)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_can_be_diagnosed(layout):
    D, labels = mixture()
    findings = silhouette_profile(D, labels, metric="precomputed").diagnose(D)
    given_as = LAYOUTS[layout](D)
    assert silhouette_profile(given_as, labels, metric="precomputed").diagnose(given_as).codes == findings.codes


@st.composite
def matrices(draw):
    n_samples = draw(st.integers(3, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    D = rng.random(size=(n_samples, n_samples)) * 10.0 ** draw(st.integers(-8, 8))
    np.fill_diagonal(D, 0)
    if draw(st.booleans()):
        # Several of each sample, so that a sparse matrix leaves out more than the diagonal.
        drawn = rng.integers(n_samples, size=n_samples)
        D = D[np.ix_(drawn, drawn)]
    return D.astype(draw(st.sampled_from([np.float32, np.float64]))), draw(drawn_labels(n_samples))


@given(matrices(), st.sampled_from(sorted(LAYOUTS)), st.integers(1, 3))
def test_terms_equal_the_reference_hypothesis(data, layout, n_jobs):
    D, labels = data
    codes = np.unique(labels, return_inverse=True)[1]
    profile = silhouette_profile(LAYOUTS[layout](D), codes, metric="precomputed", n_jobs=n_jobs)
    assert_terms_close(profile, reference.compute_terms(D, codes, "precomputed"), dtype=np.float64)

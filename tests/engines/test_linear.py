"""Means without pairs where they could lose digits: far outliers, far clusters, rows without direction, many pieces.

The contract suite draws small clusters; here are clusters of several pieces, summed in several waves.
"""

import numpy as np
import pytest
from scipy.sparse import csr_array

import reference
from assertions import assert_same_bits, assert_terms_close
from fastsil.engines.linear import engine as linear
from fastsil.engines.linear import summaries
from fastsil.runtime.progress import ignore_progress
from fastsil.validation.partition import partition_from_codes

METRICS = ["sqeuclidean", "cosine", "correlation"]


def compute(X, codes, metric, *, n_jobs=2, tick=ignore_progress):
    partition = partition_from_codes(np.arange(codes.max() + 1), codes)
    return linear.compute_terms(X, partition, n_jobs=n_jobs, tick=tick, metric=metric)


def far_first_member(rng, codes):
    """The origin of a cluster is its first member: here it lies where nobody else is."""
    X = rng.normal(size=(len(codes), 8))
    for code in range(codes.max() + 1):
        X[np.flatnonzero(codes == code)[0]] *= -1e6
    return X


def tight_clusters_and_a_far_one(rng, codes):
    centers = np.zeros((codes.max() + 1, 8))
    centers[1, 0] = 1e-2
    centers[2] = 10
    centers[3:] = 1e7
    # Narrower cones around the far centers would be beyond the reference, which works with 64 binary digits.
    radii = np.where(codes < 3, 1e-3, 1.0)
    return 1 + centers[codes] + radii[:, None] * rng.normal(size=(len(codes), 8))


def narrow_cone(rng, codes):
    """Angles of 1e-7: 1 - x.y of such rows has one digit."""
    return 1e7 + 10 * rng.normal(size=(len(codes), 8))


DATA = [far_first_member, tight_clusters_and_a_far_one, narrow_cone]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("data", DATA)
def test_digits_are_kept(data, metric, dtype):
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.arange(150) % 5)
    X = data(rng, codes).astype(dtype)
    if metric == "correlation" and (X[:, :1] == X).all(axis=1).any():
        X = X + np.arange(8, dtype=dtype) * np.spacing(np.abs(X).max())
    terms = compute(X, codes, metric)
    assert_terms_close(terms, reference.compute_terms(X, codes, metric), dtype=dtype)


@pytest.mark.parametrize("metric", METRICS)
def test_block_sizes_do_not_matter(metric, monkeypatch):
    """Sums of one row a piece, pieces in waves of 16, and tasks of one row give what large ones give."""
    rng = np.random.default_rng(1)
    codes = rng.permutation(np.arange(90) % 4)
    X = rng.normal(size=(90, 6)) + codes[:, None]
    whole = compute(X, codes, metric)
    monkeypatch.setattr(linear, "_TASK_ROWS", (1, 1))
    for name in ("_PIECE_BYTES", "_SUMS_BYTES", "_DENSE_BYTES"):
        monkeypatch.setattr(summaries, name, 1)
    pieces = compute(X, codes, metric)
    np.testing.assert_allclose(pieces.a, whole.a, rtol=1e-13)
    np.testing.assert_allclose(pieces.b, whole.b, rtol=1e-13)
    np.testing.assert_array_equal(pieces.neighbor, whole.neighbor)
    rows = compute(csr_array(X), codes, metric)
    for name in ("a", "b", "neighbor"):
        assert_same_bits(getattr(rows, name), getattr(pieces, name))


@pytest.mark.parametrize("n_rows", [1, 7, 100])
@pytest.mark.parametrize("metric", METRICS)
def test_large_data_are_summed_block_by_block(metric, n_rows, monkeypatch):
    """Some blocks lack a cluster. What is large is a matter of one constant."""
    rng = np.random.default_rng(8)
    codes = rng.permutation(np.arange(150) % 5)
    X = far_first_member(rng, codes)
    whole = compute(X, codes, metric)
    monkeypatch.setattr(summaries, "_BLOCK_BYTES", n_rows * X[0].nbytes)
    blocks = compute(X, codes, metric)
    np.testing.assert_allclose(blocks.a, whole.a, rtol=1e-12)
    np.testing.assert_allclose(blocks.b, whole.b, rtol=1e-12)
    np.testing.assert_array_equal(blocks.neighbor, whole.neighbor)


@pytest.mark.parametrize("metric", METRICS)
def test_same_bits_with_many_pieces(metric, monkeypatch):
    monkeypatch.setattr(summaries, "_PIECE_BYTES", 1 << 9)
    rng = np.random.default_rng(2)
    codes = rng.integers(7, size=3000)
    X = far_first_member(rng, codes)
    alone = compute(X, codes, metric, n_jobs=1)
    for n_jobs in (2, 3, 8):
        together = compute(X, codes, metric, n_jobs=n_jobs)
        for name in ("a", "b", "neighbor"):
            assert_same_bits(getattr(together, name), getattr(alone, name))


@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_a_row_of_zeros_is_at_distance_1_from_all_others(form):
    X = np.array([[1.0, 0], [0, 0], [0, 0], [0, 2], [0, 3], [0, 0]])
    codes = np.array([0, 0, 0, 1, 1, 2])
    terms = compute(form(X), codes, "cosine")
    np.testing.assert_array_equal(terms.a, [1, 1, 1, 0, 0, 0])
    np.testing.assert_array_equal(terms.b, [1, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(terms.neighbor, [1, 1, 1, 0, 0, 0])


def test_rows_of_one_direction_have_distance_0():
    """Rounding leaves 1e-32 between them; a silhouette of such numbers would be noise."""
    codes = np.arange(60) % 3
    X = np.outer(np.random.default_rng(3).uniform(0.1, 10, size=60), [0.1, 0.7, -0.3])
    for metric in ("cosine", "correlation"):
        terms = compute(X, codes, metric)
        assert (terms.a == 0).all()
        assert (terms.b == 0).all()


@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_correlation_names_a_constant_row(form):
    X = np.random.default_rng(4).normal(size=(9, 3))
    X[[4, 7]] = (0.1,)
    with pytest.raises(ValueError, match=r"all equal: row 4 and 1 more\. Drop"):
        compute(form(X), np.arange(9) % 2, "correlation")


def test_lengths_that_overflow_or_vanish():
    rng = np.random.default_rng(5)
    codes = np.arange(40) % 4
    X = rng.normal(size=(40, 5)) + codes[:, None]
    expected = reference.compute_terms(X, codes, "cosine")
    X *= 10.0 ** rng.choice([-300, -180, 0, 180, 300], size=(40, 1))
    assert_terms_close(compute(X, codes, "cosine"), expected, dtype=np.float64)


def test_repeated_entries_of_a_sparse_row_add_up():
    """And the caller's matrix keeps them."""
    rng = np.random.default_rng(6)
    X, codes = rng.normal(size=(12, 4)), np.arange(12) % 3
    indices = np.tile([3, 0, 1, 2, 0, 1, 2, 3], 12)
    data = np.concatenate([X[:, [3, 0, 1, 2]] / 4, X * 3 / 4], axis=1).ravel()
    repeated = csr_array((data, indices, np.arange(0, 97, 8)), shape=(12, 4))
    for metric in METRICS:
        terms = compute(repeated, codes, metric)
        assert_terms_close(terms, reference.compute_terms(X, codes, metric), dtype=np.float64)
    assert repeated.nnz == 96


@pytest.mark.parametrize("n_features", [1, 3])
def test_no_pairs_are_computed(n_features):
    X = np.random.default_rng(7).normal(size=(20, n_features))
    work = compute(X, np.arange(20) % 3, "cosine").work
    assert (work.strategy, work.pairs, work.share) == ("linear: cosine", 0, 0.0)

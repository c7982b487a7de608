"""Bounds on eigenvalues outside a basis hold, and are about the fourth root of the trace of the fourth power."""

from __future__ import annotations

import numpy as np
import pytest

from fastsil.engines.euclidean import engine
from fastsil.engines.euclidean.moments import cluster_centers
from fastsil.engines.euclidean.spectra import bound_outside, guess_norms
from fastsil.engines.scaling import scale_data
from fastsil.runtime.progress import ignore_progress
from fastsil.validation.partition import partition_from_codes


def bounded(X, codes, basis, weights=None, n_jobs=1):
    """The bounds of all clusters, and the eigenvalues that they bound, rising, both of scaled data."""
    data = scale_data(X, partition_from_codes(np.arange(codes.max() + 1), codes).weighted(weights))
    centers = cluster_centers(data, 1)
    u = X.astype(float) * data.scale - centers[codes]
    w = np.ones(len(X)) if weights is None else weights
    covariances = [(u[codes == c].T * w[codes == c]) @ u[codes == c] / w[codes == c].sum() for c in range(len(centers))]
    variance = np.array([np.trace(covariance) for covariance in covariances])
    outside = np.eye(X.shape[1]) - basis.T @ basis
    eigenvalues = np.array([np.linalg.eigvalsh(outside @ covariance @ outside) for covariance in covariances])
    return bound_outside(data, centers, variance, basis, n_jobs=n_jobs), eigenvalues


def overlapping(n_samples, n_features, k, dtype, decay=0.25):
    rng = np.random.default_rng(0)
    codes = np.arange(n_samples) % k
    X = rng.normal(size=(n_samples, n_features)) + 0.3 * rng.normal(size=(k, n_features))[codes]
    return (X * np.arange(1, n_features + 1) ** -decay).astype(dtype), codes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("n_samples", "n_features", "k", "n_vectors"), [(60, 5, 3, 2), (4_000, 30, 3, 16), (900, 250, 4, 32)]
)
def test_bounds_are_near_the_fourth_root(dtype, n_samples, n_features, k, n_vectors):
    """With more members than are summed at a time, and more features than a tile has."""
    X, codes = overlapping(n_samples, n_features, k, dtype)
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(n_features, n_vectors)))[0].T.copy()
    found, eigenvalues = bounded(X, codes, basis)
    roots = (eigenvalues**4).sum(axis=1) ** 0.25
    assert (found >= eigenvalues[:, -1]).all()
    np.testing.assert_allclose(found, roots, rtol=0.03 if dtype == np.float32 else 1e-8)
    assert found.tolist() == bounded(X, codes, basis, n_jobs=3)[0].tolist()


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_weights_are_numbers_of_copies(scale):
    X, codes = overlapping(600, 30, 3, np.float64)
    counts = np.random.default_rng(1).integers(4, size=600)
    basis = np.eye(4, 30)
    found, eigenvalues = bounded(X, codes, basis, weights=counts * scale)
    np.testing.assert_allclose(found, bounded(np.repeat(X, counts, axis=0), np.repeat(codes, counts), basis)[0])
    assert (found >= eigenvalues[:, -1]).all()


@pytest.mark.parametrize("n_vectors", [1, 16])
def test_a_norm_is_not_less_than_it_is(n_vectors):
    """Samples on a line: their one eigenvalue is the root of the trace, and roundings go either way."""
    rng = np.random.default_rng(0)
    codes = np.arange(1200) % 40
    X = (rng.normal(size=(1200, 1)) * rng.normal(size=(40, 50))[codes]).astype(np.float32)
    basis = np.linalg.qr(rng.normal(size=(50, n_vectors)))[0].T
    found, eigenvalues = bounded(X, codes, basis)
    assert (found >= eigenvalues[:, -1]).all()
    np.testing.assert_allclose(found, eigenvalues[:, -1], rtol=0.01)


def test_rows_of_zeros_in_a_basis_take_nothing_off():
    X, codes = overlapping(300, 20, 3, np.float64)
    np.testing.assert_allclose(*(bounded(X, codes, np.eye(n, 20) * (np.arange(n) < 4)[:, None])[0] for n in (4, 16)))


def test_clusters_so_tight_that_products_vanish():
    """Their variance is the bound; of one sample, or of copies, it is 0."""
    X, codes = overlapping(90, 6, 3, np.float32, decay=0.0)
    X[codes == 1] = 1e-24 * X[codes == 1]
    X[codes == 2] = 1.0
    found, eigenvalues = bounded(X, codes, np.eye(2, 6))
    assert found[0] > eigenvalues[0, -1] > 0
    assert found[1] >= eigenvalues[1].sum() > 0
    assert found[2] == 0


def test_norms_are_guessed_as_of_equal_eigenvalues():
    """16 of 1 outside the basis: the Frobenius norm is 4, the fourth root 2."""
    assert guess_norms(np.array([4.0]), np.array([16.0]), 100).tolist() == [2.0]
    assert guess_norms(np.array([4.0]), np.array([1e3]), 16).tolist() == [2.0]
    assert guess_norms(np.array([0.0]), np.array([1.0]), 16).tolist() == [0.0]


def test_tighter_norms_are_made_where_they_pay_and_change_no_value(monkeypatch):
    """Flat spectra leave many candidates to Frobenius norms; steep ones few, and cost nothing more."""

    def run(X, codes):
        made = []
        bound = lambda *args, **kwargs: made.append(1) or bound_outside(*args, **kwargs)  # noqa: E731
        monkeypatch.setattr(engine, "bound_outside", bound)
        partition = partition_from_codes(np.arange(20), codes)
        return engine.compute_terms(X, partition, n_jobs=1, tick=ignore_progress), len(made)

    flat, codes = overlapping(16_000, 120, 20, np.float32, decay=0.2)
    tight, n_made = run(flat, codes)
    assert n_made == 1
    monkeypatch.setattr(engine, "tighter_norms_pay", lambda *_: False)
    loose, n_made = run(flat, codes)
    assert n_made == 0
    assert tight.work.pairs < 0.8 * loose.work.pairs
    for name in ("a", "b", "neighbor"):
        np.testing.assert_array_equal(getattr(tight, name), getattr(loose, name))
    monkeypatch.undo()
    assert run(*overlapping(16_000, 120, 20, np.float32, decay=1.0))[1] == 0

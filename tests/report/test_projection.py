"""The plane of the first two principal components."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.decomposition import PCA

from fastsil.report import projection
from fastsil.report.projection import principal_plane


@pytest.mark.parametrize("container", [np.asarray, csr_matrix])
@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
@pytest.mark.parametrize("max_dense", [projection._MAX_DENSE, 10])
def test_the_plane_is_that_of_the_principal_components(container, scale, max_dense, monkeypatch):
    monkeypatch.setattr(projection, "_MAX_DENSE", max_dense)
    data = np.random.default_rng(0).normal(size=(40, 5)) * [5, 3, 1, 1, 1]
    found = principal_plane(container(data * scale))
    pca = PCA(2).fit(data)
    np.testing.assert_allclose(abs(found.coordinates / scale), abs(pca.transform(data)), rtol=1e-6, atol=1e-6)
    assert found.share == pytest.approx(pca.explained_variance_ratio_.sum())


def test_a_plane_of_many_samples_shows_some_of_them_always_the_same():
    data = np.random.default_rng(0).normal(size=(5000, 3))
    first, second = principal_plane(data), principal_plane(data)
    assert len(first.rows) == len(np.unique(first.rows)) == 3000
    assert first.n_samples == 5000
    np.testing.assert_array_equal(first.rows, second.rows)
    np.testing.assert_array_equal(first.coordinates, second.coordinates)


@pytest.mark.parametrize("data", [np.arange(5.0)[:, None], np.ones((4, 3)), np.array([[0.0, 1], [1, 0]])])
@pytest.mark.parametrize("container", [np.asarray, csr_matrix])
def test_a_plane_of_next_to_nothing(data, container):
    found = principal_plane(container(data))
    assert found.coordinates.shape == (len(data), 2)
    assert np.isfinite(found.coordinates).all()
    assert 0 <= found.share <= 1.0000001

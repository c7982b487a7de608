"""Embeddings in the containers in which people hold them."""

from __future__ import annotations

import importlib.util
import json
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from fastsil import KMeansSweep, silhouette_samples, silhouette_samples_many
from fastsil.validation import unpack_samples

V = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
LABELS = np.arange(20) % 2
CELLS = np.empty(20, dtype=object)
CELLS[:] = list(V)
CONTAINERS = {"objects": CELLS, "column of objects": CELLS[:, None], "lists": V.tolist(), "arrays": list(V)}

if importlib.util.find_spec("pandas"):
    import pandas as pd

    frame = pd.DataFrame({"embedding": list(V)})
    CONTAINERS |= {"series": frame["embedding"], "frame": frame, "series of lists": pd.Series(V.tolist())}
if importlib.util.find_spec("polars"):
    import polars as pl

    CONTAINERS |= {
        "polars lists": pl.Series(V.tolist()),
        "polars arrays": pl.Series(V.tolist(), dtype=pl.Array(pl.Float32, 3)),
        "polars frame": pl.DataFrame({"embedding": V.tolist()}),
    }
if importlib.util.find_spec("pyarrow"):
    import pyarrow as pa

    CONTAINERS |= {
        "arrow lists": pa.array(V.tolist()),
        "arrow fixed lists": pa.FixedSizeListArray.from_arrays(pa.array(V.ravel()), 3),
        "arrow chunks": pa.chunked_array([V[:9].tolist(), V[9:].tolist()]),
        "arrow table": pa.table({"embedding": V.tolist()}),
    }


class Tensor:
    """What a tensor of PyTorch has, which is not needed for it."""

    def __init__(self, values, device="cpu", dtype="torch.float32", requires_grad=False):
        self.values, self.device, self.dtype, self.requires_grad = values, device, dtype, requires_grad

    def detach(self):
        return Tensor(self.values, self.device, self.dtype)

    def cpu(self):
        raise AssertionError("never called for the caller")

    def float(self):
        return Tensor(self.values, self.device)

    def __len__(self):
        return len(self.values)

    def __array__(self, dtype=None, copy=None):
        if self.device != "cpu" or self.requires_grad or "bfloat16" in self.dtype:
            raise TypeError("can't convert")
        return np.asarray(self.values, dtype)


CONTAINERS["tensor"] = Tensor(V)
CONTAINERS["tensor with a gradient"] = Tensor(V, requires_grad=True)
CONTAINERS["tensor of bfloat16"] = Tensor(V, dtype="torch.bfloat16")


@pytest.mark.parametrize("name", CONTAINERS)
def test_vectors_are_stacked(name):
    X = CONTAINERS[name]
    assert np.asarray(unpack_samples(X)).shape == (20, 3)
    np.testing.assert_allclose(silhouette_samples(X, LABELS), silhouette_samples(V, LABELS), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(silhouette_samples_many(X, [LABELS])[0], silhouette_samples(V, LABELS), atol=1e-6)
    sweep = KMeansSweep([2], random_state=0, n_init=1, gaps=False).fit(X)
    assert sweep.n_features_in_ == 3
    np.testing.assert_array_equal(sweep.predict(X), sweep.labels_)


def test_everything_else_is_left_as_it_is():
    for X in (V, csr_matrix(V), V.astype(">f4"), V.T[::2], V.astype(object), [[1, 2], [3, 4]], [], "text", None):
        assert unpack_samples(X) is X


@pytest.mark.parametrize("wrap", [list, lambda cells: np.array([*cells, None], dtype=object)[:-1]])
def test_vectors_of_different_lengths_are_named(wrap):
    with pytest.raises(ValueError, match=r"X has vectors of 3 numbers, but row 4 has 2\."):
        silhouette_samples(wrap([*V[:4], V[4][:2], *V[5:]]), LABELS)
    with pytest.raises(ValueError, match="X has vectors of 3 numbers, but row 7 has nothing"):
        silhouette_samples(wrap([*V[:7], None, *V[8:]]), LABELS)


def test_vectors_as_text_are_told_how_to_read():
    column = np.array([json.dumps(v.tolist()) for v in V], dtype=object)
    with pytest.raises(ValueError, match=r"numpy\.array\(\[json\.loads\(text\) for text in column\]\)"):
        silhouette_samples(column, LABELS)
    X = np.array([json.loads(text) for text in column])
    np.testing.assert_allclose(silhouette_samples(X, LABELS), silhouette_samples(V, LABELS), atol=1e-5)


def test_vectors_next_to_other_columns_are_told_how_to_take():
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame({"id": range(20), "embedding": list(V)})
    with pytest.raises(TypeError, match=r"numpy\.stack\(X\['embedding'\]\)"):
        silhouette_samples(X, LABELS)
    np.testing.assert_array_equal(silhouette_samples(np.stack(X["embedding"]), LABELS), silhouette_samples(V, LABELS))


def test_tensors_on_another_device_are_told_to_move():
    with pytest.raises(TypeError, match=r"X is a tensor on cuda:0; pass X\.cpu\(\)\."):
        silhouette_samples(Tensor(V, "cuda:0"), LABELS)
    with pytest.raises(TypeError, match=r"pass X\.detach\(\)\.cpu\(\)\."):
        silhouette_samples(Tensor(V, "cuda:0", requires_grad=True), LABELS)


def test_short_types_of_machine_learning():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    short = V.astype(ml_dtypes.bfloat16)
    exact = silhouette_samples(short.astype(np.float64), LABELS)
    np.testing.assert_array_equal(silhouette_samples(short, LABELS), exact)


def test_anndata_is_taken_where_it_has_one_matrix():
    made = type("AnnData", (SimpleNamespace,), {"__module__": "anndata._core.anndata"})
    np.testing.assert_array_equal(
        silhouette_samples(made(X=csr_matrix(V), obsm={}), LABELS), silhouette_samples(csr_matrix(V), LABELS)
    )
    with pytest.raises(TypeError, match=r"pass one of them: adata\.X, adata\.obsm\['X_pca'\]\."):
        silhouette_samples(made(X=V, obsm={"X_pca": V}), LABELS)
    with pytest.raises(TypeError, match="AnnData without a matrix"):
        silhouette_samples(made(X=None, obsm={}), LABELS)

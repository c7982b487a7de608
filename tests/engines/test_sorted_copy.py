"""A mapped file that does not fit in memory is read from a sorted copy: the same bits, and no file stays."""

import logging
import mmap

import numpy as np
import pytest

import fastsil.engines.euclidean.sorted_copy as module
from assertions import assert_same_bits
from fastsil import silhouette_profile
from fastsil.runtime import temporary_arrays
from fastsil.validation.partition import partition_from_codes


@pytest.fixture
def file(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(7, size=900)
    np.save(tmp_path / "X.npy", (rng.normal(size=(7, 5))[labels] + rng.normal(size=(900, 5))).astype(np.float32))
    return tmp_path / "X.npy", labels


@pytest.fixture
def little_memory(monkeypatch):
    """As if memory had next to none left; blocks so small that there are several."""
    monkeypatch.setattr(module, "available_bytes", lambda: 10_000)
    monkeypatch.setattr(module, "_PART_OF_MEMORY", 3)


def mapped(path, how):
    X = np.load(path, mmap_mode="r")
    if how == "without a name":
        with open(path, "rb") as opened:
            whole = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(whole, np.float32, offset=X.offset).reshape(X.shape)
    return np.asarray(X) if how == "as an array" else X


@pytest.mark.parametrize("how", ["by its name", "as an array", "without a name"])
@pytest.mark.parametrize("metric", ["euclidean", "l2"])
def test_the_copy_gives_the_same_bits_is_logged_and_removed(file, how, metric, little_memory, caplog, monkeypatch):
    path, labels = file
    X = mapped(path, how)
    with caplog.at_level(logging.WARNING, "fastsil"):
        found = silhouette_profile(X, labels, metric=metric)
    place = "does not fit in memory; its rows are copied once, cluster by cluster, to a temporary file in"
    assert [place in record.getMessage() for record in caplog.records] == [True]
    assert (str(path.parent) in caplog.text) == (how != "without a name")
    assert [one.name for one in path.parent.iterdir()] == ["X.npy"]
    expected = silhouette_profile(np.load(path), labels, metric=metric)
    for name in ("silhouettes", "a", "b"):
        assert_same_bits(getattr(found, name), getattr(expected, name))
    np.testing.assert_array_equal(found.neighbor, expected.neighbor)


def test_rows_of_the_copy_are_those_of_the_partition(file, little_memory):
    X, labels = np.load(file[0], mmap_mode="r"), file[1]
    partition = partition_from_codes(np.arange(7), labels)
    rows, of_rows = module.sort_rows_to_file(X, partition)
    np.testing.assert_array_equal(rows, X[partition.order])
    np.testing.assert_array_equal(of_rows.order, np.arange(len(X)))
    np.testing.assert_array_equal(of_rows.offsets, partition.offsets)


def test_without_need_or_without_space_on_the_disk_there_is_no_copy(file, little_memory, monkeypatch):
    path, labels = file
    partition = partition_from_codes(np.arange(7), labels)
    in_memory, X = np.load(path), np.load(path, mmap_mode="r")

    def is_copied(X, partition=partition):
        rows, of_rows = module.sort_rows_to_file(X, partition)
        assert (rows is X) == (of_rows is partition)
        return rows is not X

    assert is_copied(X)
    assert not is_copied(in_memory)
    assert not is_copied(X, partition_from_codes(np.arange(7), np.sort(labels)))
    monkeypatch.setattr(temporary_arrays, "_SPARE_BYTES", 1 << 62)
    assert not is_copied(X)
    monkeypatch.setattr(temporary_arrays, "_SPARE_BYTES", 0)
    monkeypatch.setattr(module, "_write_sorted", lambda *args: (_ for _ in ()).throw(OSError("no space left")))
    assert not is_copied(X)
    monkeypatch.setattr(module, "available_bytes", lambda: None)
    assert not is_copied(X)

"""Parquet and Arrow files, and folders of them."""

import types

import numpy as np
import pytest

from assertions import assert_refused
from fastsil.cli.readers import arrow, read_data, read_labels, records
from fastsil.cli.readers import arrow_tables as tables

pandas = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

X = np.arange(12.0).reshape(4, 3) / 7
FRAME = pandas.DataFrame(X, columns=["a", "b", "c"])


def test_a_column_of_vectors_is_the_samples(tmp_path):
    frame = pandas.DataFrame({"id": range(4), "embedding": list(X)})
    frame.to_parquet(tmp_path / "x.parquet")
    np.testing.assert_array_equal(read_data(tmp_path / "x.parquet").X, X)
    frame.assign(other=list(X * 2)).rename(columns={"embedding": "e"}).to_parquet(tmp_path / "two.parquet")
    assert_refused(lambda: read_data(tmp_path / "two.parquet"), "2 column", "e, other")
    np.testing.assert_array_equal(read_data(f"{tmp_path}/two.parquet:other").X, X * 2)
    frame["embedding"] = [row[: 2 + (i % 2)] for i, row in enumerate(X)]
    frame.to_parquet(tmp_path / "x.parquet")
    assert_refused(lambda: read_data(tmp_path / "x.parquet"), "different lengths")


def write_folder(folder, frames, ending=".parquet"):
    folder.mkdir()
    for place, frame in enumerate(frames):
        path = folder / f"part-{place}{ending}"
        frame.to_parquet(path, row_group_size=2) if ending == ".parquet" else frame.to_feather(path)
    (folder / "_SUCCESS").touch()
    return folder


@pytest.mark.parametrize("ending", [".parquet", ".feather"])
def test_a_folder_is_read_as_one_table(ending, tmp_path):
    with_labels = FRAME.assign(who=list("dcba"))
    parts = [with_labels.iloc[:3].reset_index(drop=True), with_labels.iloc[3:].reset_index(drop=True)]
    folder = write_folder(tmp_path / "parts", parts, ending)
    found = read_data(folder, labels_column="who")
    np.testing.assert_array_equal(found.X, X)
    assert found.columns == ("a", "b", "c")
    assert list(found.labels) == list("dcba")
    assert list(read_labels(folder, key="who").labels) == list("dcba")


def test_a_folder_of_unlike_files_is_refused(tmp_path):
    folder = write_folder(tmp_path / "parts", [FRAME, FRAME.rename(columns={"c": "d"})])
    assert_refused(lambda: read_data(folder), r"part-1\.parquet has other columns", r"part-0\.parquet")
    FRAME.to_feather(folder / "more.feather")
    assert_refused(lambda: read_data(folder), "files of one kind", r"has \.feather and \.parquet files")


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_large_tables_are_mapped_from_a_temporary_file(dtype, tmp_path, monkeypatch):
    """What is large is a matter of one constant; batches are of one row here."""
    values = np.arange(60).reshape(20, 3).astype(dtype)
    pandas.DataFrame(values, columns=list("abc")).to_parquet(tmp_path / "x.parquet", row_group_size=7)
    pandas.DataFrame({"vectors": list(values)}).to_parquet(tmp_path / "v.parquet")
    held = [read_data(tmp_path / name).X for name in ("x.parquet", "v.parquet")]
    monkeypatch.setattr(arrow, "_HELD_BYTES", 0)
    monkeypatch.setattr(tables, "_BATCH_BYTES", 1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name, expected in zip(("x.parquet", "v.parquet"), held, strict=True):
        found = read_data(tmp_path / name)
        assert isinstance(found.X, np.memmap)
        assert found.X.dtype == expected.dtype
        np.testing.assert_array_equal(found.X, expected)
        assert "temporary file" in found.notes[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.parquet", "x.parquet"]


def test_gaps_in_any_batch_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_BATCH_BYTES", 1)
    frame = FRAME.assign(n=pandas.array([1, None, 3, None], dtype="Int64"), b=[0.0, 1.0, np.inf, -np.inf])
    frame.to_parquet(tmp_path / "x.parquet")
    assert_refused(lambda: read_data(tmp_path / "x.parquet"), "column 'n' has 2 empty or NaN cells, the first in row 2")


def test_categories_and_missing_labels_of_parquet(tmp_path):
    path = tmp_path / "y.parquet"
    pandas.DataFrame({"y": pandas.Categorical(["b", "a", "b"]), "z": [1, 2, None]}).to_parquet(path)
    assert list(read_labels(path).labels) == ["b", "a", "b"]
    assert np.isnan(read_labels(path, key="z").labels[2])


def test_parquet_needs_no_pandas(tmp_path, monkeypatch):
    FRAME.to_parquet(tmp_path / "x.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    np.testing.assert_array_equal(read_data(tmp_path / "x.parquet").X, X)


def write_arrow(path, table, *, stream=False):
    import pyarrow as pa

    new = pa.ipc.new_stream if stream else pa.ipc.new_file
    with new(path, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)


def test_bombs_are_refused_before_they_unpack(tmp_path, monkeypatch):
    """Repeats that take no bytes of a file, and more than the memory holds once they are unpacked."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    zeros = pa.array(np.zeros(6_000_000))
    pq.write_table(pa.table({"x": pa.FixedSizeListArray.from_arrays(zeros, 2_000_000)}), tmp_path / "fixed.parquet")
    lists = pa.LargeListArray.from_arrays(pa.array([0, 2_000_000, 4_000_000, 6_000_000]), zeros)
    pq.write_table(pa.table({"x": lists}), tmp_path / "lists.parquet")
    write_arrow(tmp_path / "x.arrow", pa.table({"x": zeros}))
    write_arrow(tmp_path / "stream.arrow", pa.table({"x": zeros}), stream=True)
    labels = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10_000, np.int8)), ["x" * 1_000])
    pq.write_table(pa.table({"y": labels}), tmp_path / "y.parquet")
    write_arrow(tmp_path / "small.arrow", pa.table({"a": [1.0, 2.0]}))
    before = pa.total_allocated_bytes()
    monkeypatch.setattr(records, "available_bytes", lambda: 10_000_000)
    vectors, columns = ("fixed.parquet", "lists.parquet"), ("x.arrow", "stream.arrow")
    for name, n_bytes in [*((name, "16,000,000") for name in vectors), *((name, "48,000,000") for name in columns)]:
        assert (tmp_path / name).stat().st_size < 100_000
        assert_refused(lambda name=name: read_data(tmp_path / name), name, f"{n_bytes} bytes", "free")
        assert pa.total_allocated_bytes() - before < 1_000_000
    assert_refused(lambda: read_labels(tmp_path / "y.parquet"), r"y\.parquet", "40,000,000 bytes", "free")
    np.testing.assert_array_equal(read_data(tmp_path / "small.arrow").X, [[1.0], [2.0]])
    # Several batches of what memory holds one by one are no bomb.
    monkeypatch.setattr(records, "available_bytes", lambda: 1_000_000)
    pa.feather.write_feather(pa.table({"x": zeros}), tmp_path / "x.feather", compression="zstd")
    assert read_data(tmp_path / "x.feather").X.shape == (6_000_000, 1)


def test_a_stream_that_ends_too_early_is_damage(tmp_path):
    import pyarrow as pa

    path = tmp_path / "x.arrow"
    write_arrow(
        path, pa.table({"a": np.arange(500.0), "y": pa.array(list("ab") * 250).dictionary_encode()}), stream=True
    )
    whole = path.read_bytes()
    np.testing.assert_array_equal(read_data(path, labels_column="y").X[:, 0], np.arange(500.0))
    # What is left out at most of the end is the mark of the end, which may be missing.
    for n_bytes in range(0, len(whole) - 8, 29):
        path.write_bytes(whole[:n_bytes])
        assert_refused(lambda: read_data(path, labels_column="y"), r"x\.arrow")


def test_files_larger_than_the_disk_are_refused_before_they_are_written(tmp_path, monkeypatch):
    FRAME.to_parquet(tmp_path / "x.parquet")
    monkeypatch.setattr(arrow, "_HELD_BYTES", 1)
    monkeypatch.setattr(arrow.shutil, "disk_usage", lambda folder: types.SimpleNamespace(free=50))
    assert_refused(lambda: read_data(tmp_path / "x.parquet"), "96 bytes", "only 50 bytes are free", "TMPDIR")


@pytest.mark.parametrize("held", [1, 1 << 20])
@pytest.mark.parametrize("said", [3, 5, 60])
def test_a_number_of_rows_that_is_not_true_is_damage(said, held, tmp_path, monkeypatch):
    monkeypatch.setattr(arrow, "_HELD_BYTES", held)
    FRAME.to_parquet(tmp_path / "x.parquet", index=False)
    whole = (tmp_path / "x.parquet").read_bytes()
    # Four rows in the metadata's compact notation, as the third field, before the list of row groups.
    assert whole.count(b"\x16\x08\x19") == 1
    (tmp_path / "x.parquet").write_bytes(whole.replace(b"\x16\x08\x19", bytes([0x16, 2 * said, 0x19])))
    assert_refused(lambda: read_data(tmp_path / "x.parquet"), r"x\.parquet", "damaged")


def test_damage_within_a_file_is_one_sentence(tmp_path):
    FRAME.to_parquet(tmp_path / "x.parquet", compression="zstd")
    whole = bytearray((tmp_path / "x.parquet").read_bytes())
    start = whole.index(b"\x28\xb5\x2f\xfd")
    whole[start : start + 4] = b"nope"
    (tmp_path / "x.parquet").write_bytes(whole)
    assert_refused(lambda: read_data(tmp_path / "x.parquet"), "is no parquet file, or is damaged")

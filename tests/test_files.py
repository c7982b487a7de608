"""Files: what is read, what is refused with which sentence, and that results appear whole or not at all."""

from __future__ import annotations

import gzip
import os
import pickle
import re
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from fastsil import files
from fastsil.files import (
    DataFileError,
    arrow,
    read_data,
    read_json,
    read_labels,
    replacing,
    write_columns,
    write_csv,
    write_json,
)

X = np.arange(12.0).reshape(4, 3) / 7

pandas = pytest.importorskip("pandas")
FRAME = pandas.DataFrame(X, columns=["a", "b", "c"])


def refuses(reading, *words):
    """The one sentence of the refusal; it is one line and holds the words."""
    with pytest.raises(DataFileError) as caught:
        reading()
    sentence = str(caught.value)
    assert "\n" not in sentence
    for word in words:
        assert re.search(word, sentence), sentence
    return sentence


def write_npy(path):
    np.save(path, X)


def write_npz(path):
    np.savez(path, X=X, y=np.zeros(4))


def write_csv_table(path):
    FRAME.to_csv(path, index=False)


def write_tsv(path):
    FRAME.to_csv(path, index=False, sep="\t")


def write_parquet(path):
    FRAME.to_parquet(path)


def write_feather(path):
    FRAME.to_feather(path)


def write_arrow_stream(path):
    import pyarrow as pa

    table = pa.Table.from_pandas(FRAME)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)


WRITERS = {
    ".npy": write_npy,
    ".npz": write_npz,
    ".csv": write_csv_table,
    ".csv.gz": write_csv_table,
    ".tsv": write_tsv,
    ".parquet": write_parquet,
    ".feather": write_feather,
    ".arrow": write_arrow_stream,
}


@pytest.mark.parametrize("ending", WRITERS)
def test_every_kind_gives_the_same_samples(ending, tmp_path):
    path = tmp_path / f"data{ending}"
    WRITERS[ending](path)
    np.testing.assert_array_equal(read_data(path).X, X)
    np.testing.assert_array_equal(read_data(str(path)).X, X)


@pytest.mark.parametrize("ending", WRITERS)
def test_every_kind_cut_short_or_made_of_noise_is_refused(ending, tmp_path):
    path = tmp_path / f"data{ending}"
    WRITERS[ending](path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    if ending not in (".csv", ".tsv"):  # a shorter text is a whole text
        refuses(lambda: read_data(path), "data")
    path.write_bytes(bytes(np.random.default_rng(0).integers(0, 256, 500, dtype=np.uint8)))
    refuses(lambda: read_data(path), "data")
    path.write_bytes(b"")
    refuses(lambda: read_data(path), "data")


def test_npy_is_read_in_place(tmp_path):
    np.save(tmp_path / "x.npy", X.astype(np.float32))
    found = read_data(tmp_path / "x.npy").X
    assert isinstance(found, np.memmap)
    assert found.dtype == np.float32
    assert not found.flags.writeable


def test_a_pickle_is_never_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "boom"), "w"))

    np.save(tmp_path / "x.npy", np.array([Bomb(), 1], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", X=np.array([Bomb(), 1], dtype=object))
    refuses(lambda: read_data(tmp_path / "x.npy"), "Python objects", "save numbers")
    refuses(lambda: read_data(tmp_path / "x.npz"), "Python objects", "save numbers")
    (tmp_path / "y.npy").write_bytes(pickle.dumps(Bomb()))
    refuses(lambda: read_data(tmp_path / "y.npy"), "is no .npy file")
    assert not (tmp_path / "boom").exists()


def test_npz_with_several_arrays(tmp_path):
    np.savez(tmp_path / "x.npz", first=X, second=X + 1)
    refuses(lambda: read_data(tmp_path / "x.npz"), "2 arrays", "first, second", "x.npz:first")
    np.testing.assert_array_equal(read_data(f"{tmp_path}/x.npz:second").X, X + 1)
    np.testing.assert_array_equal(read_data(tmp_path / "x.npz", key="first").X, X)
    refuses(lambda: read_data(f"{tmp_path}/x.npz:third"), "no array 'third'", "first, second")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(5), r"shape \(5,\)"),
        (np.zeros((2, 3, 4)), r"reshape"),
        (np.zeros((0, 3)), "empty"),
        (np.array([["a", "b"]]), "not numbers"),
        (np.zeros((2, 2), dtype=complex), "not numbers"),
    ],
)
def test_arrays_that_are_no_samples(array, words, tmp_path):
    np.save(tmp_path / "x.npy", array)
    refuses(lambda: read_data(tmp_path / "x.npy"), words)


def test_names_that_are_no_files(tmp_path):
    refuses(lambda: read_data(tmp_path / "none.npy"), "there is no file")
    refuses(lambda: read_data(tmp_path), "is a folder")
    (tmp_path / "x.xlsx").write_text("?")
    refuses(lambda: read_data(tmp_path / "x.xlsx"), r"\.xlsx", r"\.parquet")
    (tmp_path / "x").write_text("?")
    refuses(lambda: read_data(tmp_path / "x"), r"\(none\)")


def test_text_columns_are_left_out_with_a_note(tmp_path):
    FRAME.assign(name=list("uvwx")).to_csv(tmp_path / "x.csv", index=False)
    found = read_data(tmp_path / "x.csv")
    assert found.columns == ("a", "b", "c")
    assert any("left out" in note and "name" in note for note in found.notes)


def test_no_numeric_column(tmp_path):
    (tmp_path / "x.csv").write_text("name,town\nu,v\nw,x\n")
    refuses(lambda: read_data(tmp_path / "x.csv"), "no numeric column", "name, town")


def test_csv_without_a_header_loses_no_row(tmp_path):
    np.savetxt(tmp_path / "x.csv", X, delimiter=",", fmt="%.17g")
    np.testing.assert_array_equal(read_data(tmp_path / "x.csv").X, X)


def test_csv_with_a_byte_order_mark_spaces_and_crlf(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"\xef\xbb\xbfa, b\r\n1, 2\r\n3, 4.5\r\n")
    found = read_data(tmp_path / "x.csv")
    assert found.columns == ("a", "b")
    np.testing.assert_array_equal(found.X, [[1, 2], [3, 4.5]])


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n3,4,5\n", "different numbers of cells"),
        ("a,b\n1,2,3\n4,5,6\n", "different numbers of cells"),
        ("a,b\n1,2\n3\n", "'b' has 1 empty .* row 2"),
        ("a,b\n1,2\n,4\nnan,3\n", "'a' has 2 empty or NaN cells, the first in row 2"),
    ],
)
def test_ragged_text(text, words, zipped, tmp_path):
    path = tmp_path / ("x.csv.gz" if zipped else "x.csv")
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    refuses(lambda: read_data(path), words)


def test_labels_column_and_dropped_columns_are_no_features(tmp_path):
    FRAME.assign(id=range(4), kind=list("uvuv")).to_csv(tmp_path / "x.csv", index=False)
    found = read_data(tmp_path / "x.csv", labels_column="kind", drop=["id"])
    assert found.columns == ("a", "b", "c")
    assert list(found.labels) == list("uvuv")
    refuses(lambda: read_data(tmp_path / "x.csv", labels_column="sort"), "no column 'sort'", "kind")
    refuses(lambda: read_data(tmp_path / "x.csv", drop=["nr"]), "no column 'nr'")
    np.save(tmp_path / "x.npy", X)
    refuses(lambda: read_data(tmp_path / "x.npy", drop=["id"]), "no named columns")


def test_a_column_of_vectors_is_the_samples(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pandas.DataFrame({"id": range(4), "embedding": list(X)})
    frame.to_parquet(tmp_path / "x.parquet")
    np.testing.assert_array_equal(read_data(tmp_path / "x.parquet").X, X)
    frame.assign(other=list(X * 2)).rename(columns={"embedding": "e"}).to_parquet(tmp_path / "two.parquet")
    refuses(lambda: read_data(tmp_path / "two.parquet"), "2 column", "e, other")
    np.testing.assert_array_equal(read_data(f"{tmp_path}/two.parquet:other").X, X * 2)
    frame["embedding"] = [row[: 2 + (i % 2)] for i, row in enumerate(X)]
    frame.to_parquet(tmp_path / "x.parquet")
    refuses(lambda: read_data(tmp_path / "x.parquet"), "different lengths")


LABELS = np.array([3, 1, 1, 2])
LABEL_WRITERS = {
    ".npy": lambda path: np.save(path, LABELS),
    ".npz": lambda path: np.savez(path, X=X, labels=LABELS),
    ".csv": lambda path: path.write_text("id,cluster\n9,3\n8,1\n7,1\n6,2\n"),
    ".parquet": lambda path: pandas.DataFrame({"cluster": LABELS}).to_parquet(path),
    ".txt": lambda path: path.write_text("3\n1\n1\n2\n"),
}


@pytest.mark.parametrize("ending", LABEL_WRITERS)
def test_every_kind_gives_the_same_labels(ending, tmp_path):
    path = tmp_path / f"labels{ending}"
    LABEL_WRITERS[ending](path)
    np.testing.assert_array_equal(read_labels(path), LABELS)


def test_labels_of_words(tmp_path):
    (tmp_path / "l.txt").write_text("u\nv w\nu\n1\n")
    np.testing.assert_array_equal(read_labels(tmp_path / "l.txt"), ["u", "v w", "u", "1"])
    (tmp_path / "l.csv").write_text("kind,place\nu,x\nv,y\n")
    np.testing.assert_array_equal(read_labels(f"{tmp_path}/l.csv:place"), ["x", "y"])
    refuses(lambda: read_labels(tmp_path / "l.csv"), "2 columns", "kind, place")


def test_labels_that_are_none(tmp_path):
    np.save(tmp_path / "l.npy", X)
    refuses(lambda: read_labels(tmp_path / "l.npy"), r"shape \(4, 3\)")
    (tmp_path / "l.txt").write_text("1\n\n2\n")
    refuses(lambda: read_labels(tmp_path / "l.txt"), "line 2 is empty")
    (tmp_path / "l.txt").write_bytes(b"\xff\xfe\n")
    refuses(lambda: read_labels(tmp_path / "l.txt"), "UTF-8")
    np.save(tmp_path / "l.npy", LABELS[:, None])
    np.testing.assert_array_equal(read_labels(tmp_path / "l.npy"), LABELS)


def test_half_a_file_is_never_seen(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")

    def write_half():
        with replacing(path) as draft:
            draft.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_half()
    assert path.read_text() == "old"
    with replacing(path) as draft:
        draft.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_written_columns_come_back(tmp_path):
    columns = {"k": np.array([2, 3]), "score": np.array([0.1, np.nan]), "error": np.array(["", 'a, "b"'])}
    write_csv(tmp_path / "t.csv", columns)
    frame = pandas.read_csv(tmp_path / "t.csv", keep_default_na=False)
    assert list(frame["score"]) == [0.1, ""] or list(frame["score"]) == ["0.1", ""]
    assert frame["error"][1] == 'a, "b"'
    path = write_columns(tmp_path / "s", {"label": LABELS, "word": np.array(list("abcd"))})
    assert path == tmp_path / "s.parquet"
    assert list(pandas.read_parquet(path)["word"]) == list("abcd")


def test_without_pyarrow_columns_go_to_npz(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    path = write_columns(tmp_path / "s", {"label": LABELS})
    assert path == tmp_path / "s.npz"
    np.testing.assert_array_equal(np.load(path)["label"], LABELS)


def test_without_pandas_a_table_names_what_to_install(tmp_path, monkeypatch):
    FRAME.to_csv(tmp_path / "x.csv", index=False)
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'fastsil\[frames\]'"):
        read_data(tmp_path / "x.csv")


def test_json_comes_back_or_is_empty(tmp_path):
    write_json(tmp_path / "r.json", {"a": [1, "ü"]})
    assert read_json(tmp_path / "r.json") == {"a": [1, "ü"]}
    (tmp_path / "r.json").write_text("[1")
    assert read_json(tmp_path / "r.json") == {}
    assert read_json(tmp_path / "none.json") == {}


def write_folder(folder, frames, ending=".parquet"):
    folder.mkdir()
    for place, frame in enumerate(frames):
        path = folder / f"part-{place}{ending}"
        frame.to_parquet(path, row_group_size=2) if ending == ".parquet" else frame.to_feather(path)
    (folder / "_SUCCESS").touch()
    return folder


@pytest.mark.parametrize("ending", [".parquet", ".feather"])
def test_a_folder_is_read_as_one_table(ending, tmp_path):
    pytest.importorskip("pyarrow")
    with_labels = FRAME.assign(who=list("dcba"))
    parts = [with_labels.iloc[:3].reset_index(drop=True), with_labels.iloc[3:].reset_index(drop=True)]
    folder = write_folder(tmp_path / "parts", parts, ending)
    found = read_data(folder, labels_column="who")
    np.testing.assert_array_equal(found.X, X)
    assert found.columns == ("a", "b", "c")
    assert list(found.labels) == list("dcba")
    assert list(read_labels(folder, key="who")) == list("dcba")


def test_a_folder_of_unlike_files_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    folder = write_folder(tmp_path / "parts", [FRAME, FRAME.rename(columns={"c": "d"})])
    refuses(lambda: read_data(folder), r"part-1\.parquet has other columns", r"part-0\.parquet")
    FRAME.to_feather(folder / "more.feather")
    refuses(lambda: read_data(folder), "files of one kind", r"has \.feather and \.parquet files")


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_large_tables_are_mapped_from_a_temporary_file(dtype, tmp_path, monkeypatch):
    """What is large is a matter of one constant; batches are of one row here."""
    pytest.importorskip("pyarrow")
    values = np.arange(60).reshape(20, 3).astype(dtype)
    pandas.DataFrame(values, columns=list("abc")).to_parquet(tmp_path / "x.parquet", row_group_size=7)
    pandas.DataFrame({"vectors": list(values)}).to_parquet(tmp_path / "v.parquet")
    held = [read_data(tmp_path / name).X for name in ("x.parquet", "v.parquet")]
    monkeypatch.setattr(arrow, "_HELD_BYTES", 0)
    monkeypatch.setattr(arrow, "_BATCH_BYTES", 1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name, expected in zip(("x.parquet", "v.parquet"), held, strict=True):
        found = read_data(tmp_path / name)
        assert isinstance(found.X, np.memmap)
        assert found.X.dtype == expected.dtype
        np.testing.assert_array_equal(found.X, expected)
        assert "temporary file" in found.notes[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.parquet", "x.parquet"]


def test_gaps_in_any_batch_are_counted(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(arrow, "_BATCH_BYTES", 1)
    frame = FRAME.assign(n=pandas.array([1, None, 3, None], dtype="Int64"), b=[0.0, 1.0, np.inf, -np.inf])
    frame.to_parquet(tmp_path / "x.parquet")
    refuses(lambda: read_data(tmp_path / "x.parquet"), "column 'n' has 2 empty or NaN cells, the first in row 2")


def test_categories_and_missing_labels_of_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "y.parquet"
    pandas.DataFrame({"y": pandas.Categorical(["b", "a", "b"]), "z": [1, 2, None]}).to_parquet(path)
    assert list(read_labels(path)) == ["b", "a", "b"]
    assert np.isnan(read_labels(path, key="z")[2])


def test_parquet_needs_no_pandas(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    FRAME.to_parquet(tmp_path / "x.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    np.testing.assert_array_equal(read_data(tmp_path / "x.parquet").X, X)


def header_of(shape, descr="<f8", fortran=False):
    header = repr({"descr": descr, "fortran_order": fortran, "shape": shape}).encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


ABSURD = [(2**40, 2**10), (2**62, 2**62), (-1, 3), (2**31, 2**31, 2), (10**30,), (4, 4)]


@pytest.mark.parametrize("shape", ABSURD, ids=str)
def test_absurd_headers_are_refused_before_memory_is_taken(shape, tmp_path):
    contents = header_of(shape) + X.tobytes()  # 12 numbers
    (tmp_path / "x.npy").write_bytes(contents)
    refuses(lambda: read_data(tmp_path / "x.npy"), "x.npy")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("X.npy", contents)
    refuses(lambda: read_data(tmp_path / "x.npz"), "damaged|cannot be read|cut short")


def test_what_is_no_array_in_an_npz(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("X.txt", "hello")
    refuses(lambda: read_data(tmp_path / "x.npz"), "no array")
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as archive:
        archive.writestr("X.npy", "hello, I am no array")
    refuses(lambda: read_data(tmp_path / "y.npz"), "cannot be read")
    np.savez(tmp_path / "z.npz", X=np.zeros(3, dtype=[("ä", "f8")]))
    refuses(lambda: read_data(tmp_path / "z.npz"), "numbers")


def test_bombs_are_refused_before_they_unpack(tmp_path, monkeypatch):
    """Files that unpack to a hundred or a thousand times what they are, and more than the memory holds."""
    np.savez_compressed(tmp_path / "x.npz", X=np.zeros((2_000_000, 4)))
    row = b"0," * 9_999 + b"0\n"
    with gzip.open(tmp_path / "x.csv.gz", "wb") as file:
        for _ in range(1_000):
            file.write(row)
    with gzip.open(tmp_path / "line.csv.gz", "wb") as file:
        file.write(b"0," * 10_000_000)
    FRAME.to_parquet(tmp_path / "small.parquet")
    (tmp_path / "l.txt").write_text("0\n" * 6_000_000)
    monkeypatch.setattr(files, "available_bytes", lambda: 10_000_000)
    for name in ("x.npz", "x.csv.gz", "line.csv.gz"):
        started = time.perf_counter()
        refuses(lambda name=name: read_data(tmp_path / name), name, "bytes of memory", "free")
        assert time.perf_counter() - started < 2
    refuses(lambda: read_labels(tmp_path / "l.txt"), "12,000,000 bytes", "10,000,000")
    np.testing.assert_array_equal(read_data(tmp_path / "small.parquet").X, X)
    monkeypatch.setattr(files, "_LONGEST_LINE", 1000)
    monkeypatch.setattr(files, "available_bytes", lambda: None)
    refuses(lambda: read_data(tmp_path / "line.csv.gz"), "line of more than 1,000 letters")


def test_labels_and_columns_with_markup_stay_text(tmp_path):
    (tmp_path / "x.csv").write_text('<script>alert(1)</script>,"b&c"\n1,2\n3,4\n5,7\n')
    assert read_data(tmp_path / "x.csv").columns == ("<script>alert(1)</script>", "b&c")


WRITE = """
import os, resource, sys
from pathlib import Path
import numpy as np
from fastsil.files import write_columns, write_csv, write_json

folder = Path(sys.argv[1])
columns = {"value": np.random.default_rng(0).normal(size=20_000)}

def write_all():
    write_csv(folder / "a.csv", columns)
    write_json(folder / "b.json", {"values": columns["value"].tolist()})
    write_columns(folder / "c", columns)

if sys.argv[2] == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    failed = 0
    for write in (
        lambda: write_csv(folder / "a.csv", columns),
        lambda: write_json(folder / "b.json", {"values": columns["value"].tolist()}),
        lambda: write_columns(folder / "c", columns),
    ):
        try:
            write()
        except OSError:
            failed += 1
    print(failed)
else:
    write_all()
    print("ready", flush=True)
    while True:
        write_all()
"""


@pytest.mark.skipif(os.name != "posix", reason="limits and signals of POSIX")
def test_a_full_disk_leaves_the_old_files(tmp_path):
    for name in ("a.csv", "b.json", "c.parquet"):
        (tmp_path / name).write_text("old")
    command = [sys.executable, "-c", WRITE, str(tmp_path), "full"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout == "3\n"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ("a.csv", "b.json", "c.parquet"), "old"
    )


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_kill_at_any_moment_leaves_whole_files(tmp_path):
    for delay in (0.0, 0.01, 0.02, 0.035):
        command = [sys.executable, "-c", WRITE, str(tmp_path), "for ever"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "ready\n"
            time.sleep(delay)
            process.kill()
        assert len(pandas.read_csv(tmp_path / "a.csv")) == 20_000
        assert len(read_json(tmp_path / "b.json")["values"]) == 20_000
        assert len(pandas.read_parquet(tmp_path / "c.parquet")) == 20_000

"""Tables of every kind, and labels: what is read, and what is refused with which sentence."""

import gzip
import sys
import time

import numpy as np
import pytest

from assertions import assert_refused
from fastsil.cli.readers import read_data, read_labels, records, text

pandas = pytest.importorskip("pandas")

X = np.arange(12.0).reshape(4, 3) / 7
FRAME = pandas.DataFrame(X, columns=["a", "b", "c"])


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
        assert_refused(lambda: read_data(path), "data")
    path.write_bytes(bytes(np.random.default_rng(0).integers(0, 256, 500, dtype=np.uint8)))
    assert_refused(lambda: read_data(path), "data")
    path.write_bytes(b"")
    assert_refused(lambda: read_data(path), "data")


def test_text_columns_are_left_out_with_a_note(tmp_path):
    FRAME.assign(name=list("uvwx")).to_csv(tmp_path / "x.csv", index=False)
    found = read_data(tmp_path / "x.csv")
    assert found.columns == ("a", "b", "c")
    assert any("left out" in note and "name" in note for note in found.notes)


def test_no_numeric_column(tmp_path):
    (tmp_path / "x.csv").write_text("name,town\nu,v\nw,x\n")
    assert_refused(lambda: read_data(tmp_path / "x.csv"), "no numeric column", "name, town")


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
    assert_refused(lambda: read_data(path), words)


def test_labels_column_and_dropped_columns_are_no_features(tmp_path):
    FRAME.assign(id=range(4), kind=list("uvuv")).to_csv(tmp_path / "x.csv", index=False)
    found = read_data(tmp_path / "x.csv", labels_column="kind", exclude=["id"])
    assert found.columns == ("a", "b", "c")
    assert list(found.labels) == list("uvuv")
    assert_refused(lambda: read_data(tmp_path / "x.csv", labels_column="sort"), "no column 'sort'", "kind")
    assert_refused(lambda: read_data(tmp_path / "x.csv", exclude=["nr"]), "no column 'nr'")
    np.save(tmp_path / "x.npy", X)
    assert_refused(lambda: read_data(tmp_path / "x.npy", exclude=["id"]), "no named columns")


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
    np.testing.assert_array_equal(read_labels(path).labels, LABELS)


def test_labels_of_words(tmp_path):
    (tmp_path / "l.txt").write_text("u\nv w\nu\n1\n")
    np.testing.assert_array_equal(read_labels(tmp_path / "l.txt").labels, ["u", "v w", "u", "1"])
    (tmp_path / "l.csv").write_text("kind,place\nu,x\nv,y\n")
    np.testing.assert_array_equal(read_labels(f"{tmp_path}/l.csv:place").labels, ["x", "y"])
    assert_refused(lambda: read_labels(tmp_path / "l.csv"), "2 columns", "kind, place")


def test_without_pandas_a_table_names_what_to_install(tmp_path, monkeypatch):
    FRAME.to_csv(tmp_path / "x.csv", index=False)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'fastsil\[frames\]'"):
        read_data(tmp_path / "x.csv")


def test_labels_and_columns_with_markup_stay_text(tmp_path):
    (tmp_path / "x.csv").write_text('<script>alert(1)</script>,"b&c"\n1,2\n3,4\n5,7\n')
    assert read_data(tmp_path / "x.csv").columns == ("<script>alert(1)</script>", "b&c")


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
    for module in (records, text):
        monkeypatch.setattr(module, "available_bytes", lambda: 10_000_000)
    for name in ("x.npz", "x.csv.gz", "line.csv.gz"):
        started = time.perf_counter()
        assert_refused(lambda name=name: read_data(tmp_path / name), name, "bytes of memory", "free")
        assert time.perf_counter() - started < 2
    assert_refused(lambda: read_labels(tmp_path / "l.txt"), "12,000,000 bytes", "10,000,000")
    np.testing.assert_array_equal(read_data(tmp_path / "small.parquet").X, X)
    monkeypatch.setattr(text, "_LONGEST_LINE", 1000)
    for module in (records, text):
        monkeypatch.setattr(module, "available_bytes", lambda: None)
    assert_refused(lambda: read_data(tmp_path / "line.csv.gz"), "line of more than 1,000 letters")

"""Columns that are features, an index, or labels, in text and in Parquet and Arrow files."""

import numpy as np
import pytest

from assertions import assert_refused
from fastsil.cli.readers import arrow, read_data, read_labeled, read_labels
from fastsil.cli.readers import arrow_tables as tables
from fastsil.cli.readers.columns import note_suspects

pandas = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

X = np.random.default_rng(0).normal(size=(30, 4))
FRAME = pandas.DataFrame(X, columns=list("abcd"))
LABELS = np.arange(30) % 3
WRITERS = {
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    ".tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    ".parquet": lambda frame, path: frame.to_parquet(path),
    ".feather": lambda frame, path: frame.to_feather(path),
}
kinds = pytest.mark.parametrize("ending", WRITERS)


def write(frame, path):
    WRITERS["".join(path.suffixes)](frame, path)
    return path


INDEXES = {
    "counted": pandas.RangeIndex(30),
    "from one": pandas.RangeIndex(1, 31),
    "shuffled": pandas.Index(np.random.default_rng(1).permutation(900)[:30]),
    "put together": pandas.Index([*range(20), *range(10)]),
    "words": pandas.Index([f"row {row}" for row in range(30)]),
}


@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_the_index_of_pandas_is_no_feature(index, ending, tmp_path):
    frame = FRAME.set_index(INDEXES[index])
    path = tmp_path / f"x{ending}"
    frame.to_csv(path) if ending == ".csv" else frame.to_parquet(path, index=True)
    found = read_data(path)
    assert found.columns == ("a", "b", "c", "d")
    np.testing.assert_array_equal(found.X, X)
    kept = index in ("counted", "from one") and ending == ".parquet"  # as a range, in the metadata
    assert kept or any("left out" in note for note in found.notes)


def test_a_named_index_is_left_out_where_the_file_says_so(tmp_path):
    numbers = np.random.default_rng(1).permutation(900)[:30]
    frame = FRAME.set_index(pandas.Index(numbers, name="patient"))
    frame.to_parquet(tmp_path / "x.parquet")
    found = read_data(tmp_path / "x.parquet")
    assert found.columns == ("a", "b", "c", "d")
    assert "column left out, an index: patient; --features takes it" in found.notes
    np.testing.assert_array_equal(read_data(tmp_path / "x.parquet", features=["patient,a"]).X[:, 0], numbers)
    np.testing.assert_array_equal(read_labels(f"{tmp_path}/x.parquet:patient").labels, numbers)
    frame.to_csv(tmp_path / "x.csv")
    found = read_data(tmp_path / "x.csv")
    assert found.columns == ("patient", "a", "b", "c", "d")
    assert "all different, as ids are: patient; --exclude patient" in found.notes[-1]


@kinds
def test_an_index_that_was_written_as_a_column_is_left_out(ending, tmp_path):
    frame = pandas.concat([pandas.DataFrame({"Unnamed: 0.1": range(30), "Unnamed: 0": range(1, 31)}), FRAME], axis=1)
    found = read_data(write(frame, tmp_path / f"x{ending}"))
    assert found.columns == ("a", "b", "c", "d")
    assert any("an index: Unnamed: 0.1, Unnamed: 0" in note for note in found.notes)
    frame = FRAME.assign(**{"Unnamed: 0": LABELS})
    found = read_data(write(frame, tmp_path / f"y{ending}"))
    assert found.X.shape == (30, 5)
    assert "without a name, as an index is: Unnamed: 0; --exclude 'Unnamed: 0'" in found.notes[-1]


@kinds
def test_what_may_be_no_feature_is_named(ending, tmp_path):
    ids = np.random.default_rng(2).permutation(1000)[:30]
    frame = FRAME.assign(row=range(30), id=ids, Target=LABELS, few=LABELS, whole=np.arange(30.0) ** 2)
    found = read_data(write(frame, tmp_path / f"x{ending}"))
    assert found.X.shape == (30, 9)
    assert [note.split("although they ")[1] for note in found.notes if "although" in note] == [
        "count the rows, as an index does: row; --exclude row leaves them out",
        "are integers that are all different, as ids are: id; --exclude id leaves them out",
        "have a name as labels have: Target; --exclude Target leaves them out",
    ]


def test_measurements_in_whole_numbers_are_not_suspected():
    whole = np.random.default_rng(0).permutation(4000).reshape(1000, 4).astype(float)
    assert note_suspects(whole, list("abcd"), set("abcd")) == []
    assert note_suspects(np.arange(5.0)[:, None][[3, 1, 0, 4, 2]], ["a"], {"a"}) == []


@kinds
def test_features_are_named_one_by_one_or_in_ranges(ending, tmp_path):
    path = write(FRAME.assign(**{"e:f": LABELS, "g,h": LABELS}), tmp_path / f"x{ending}")
    for features, columns in {
        ("a", "c"): "a c",
        ("d,a",): "d a",
        ("b:d",): "b c d",
        (":b", "d"): "a b d",
        ("d:", "a"): "d e:f g,h a",
        ("c:e:f",): "c d e:f",
        ("g,h",): "g,h",
    }.items():
        assert read_data(path, features=features).columns == tuple(columns.split())
    assert read_data(path, exclude=["b:g,h"]).columns == ("a",)
    assert read_data(path, features=["a:d"], exclude=["b,c"]).columns == ("a", "d")
    assert any("columns used: a, d (2 numeric)" in note for note in read_data(path, features=["a,d"]).notes)
    assert_refused(lambda: read_data(path, features=["a:z"]), "no column 'a:z'")
    assert_refused(lambda: read_data(path, features=["d:a"]), "the range d:a is empty")
    assert_refused(lambda: read_data(path, features=["a"], exclude=["a"]), "no column left to use as a feature")
    np.save(tmp_path / "x.npy", X)
    assert_refused(lambda: read_data(tmp_path / "x.npy", features=["a"]), "no named columns")


@kinds
@pytest.mark.parametrize("name", ["label", "kind"])
def test_a_column_that_labels_are_taken_from_is_no_feature(name, ending, tmp_path, monkeypatch):
    path = write(FRAME.assign(**{name: LABELS}), tmp_path / f"x{ending}")
    monkeypatch.chdir(tmp_path)
    for labels in (f"{path}:{name}", f"x{ending}:{name}", *([path] if name == "label" else [])):
        found, given = read_labeled(path, labels)
        np.testing.assert_array_equal(found.X, X)
        np.testing.assert_array_equal(given, LABELS)
        assert f"column left out, the labels: {name}" in found.notes
    np.save(tmp_path / "l.npy", LABELS)
    found, given = read_labeled(path, tmp_path / "l.npy")
    assert f"although they are equal to the labels: {name}; --exclude {name}" in found.notes[-1]


def test_labels_of_an_archive_are_no_samples(tmp_path):
    np.savez(tmp_path / "x.npz", X=X, y=LABELS)
    found, given = read_labeled(tmp_path / "x.npz", tmp_path / "x.npz")
    np.testing.assert_array_equal(found.X, X)
    np.testing.assert_array_equal(given, LABELS)


@kinds
def test_gaps_are_an_error_or_a_note(ending, tmp_path):
    gappy = FRAME.copy()
    gappy.loc[[2, 5], "b"] = np.nan
    path = write(gappy, tmp_path / f"x{ending}")
    words = "column 'b' has 2 empty or NaN cells, the first in row 3 of the data"
    assert_refused(lambda: read_data(path), words, "--exclude b")
    assert read_data(path, exclude=["b"]).X.shape == (30, 3)
    found = read_data(path, allow_gaps=True)
    np.testing.assert_array_equal(found.X, gappy)
    assert any(words in note for note in found.notes)


def test_an_index_is_left_out_of_large_files_and_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(arrow, "_HELD_BYTES", 0)
    monkeypatch.setattr(tables, "_BATCH_BYTES", 1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "parts").mkdir()
    shuffled = FRAME.set_index(INDEXES["shuffled"]).assign(**{"Unnamed: 0": range(30)})
    for part in range(3):
        shuffled[10 * part : 10 * part + 10].to_parquet(tmp_path / "parts" / f"{part}.parquet")
    found = read_data(tmp_path / "parts")
    np.testing.assert_array_equal(found.X, X)
    assert any("an index: __index_level_0__, Unnamed: 0" in note for note in found.notes)


def test_records_of_an_index_that_pandas_did_not_write(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    for record in (b"{", b"[]", b'{"index_columns": [{"kind": "range"}]}', b'{"index_columns": 3}', b"\xff"):
        table = pa.table({"a": [0.5, 1.5], "b": [1.0, 2.0]}).replace_schema_metadata({b"pandas": record})
        pq.write_table(table, tmp_path / "x.parquet")
        np.testing.assert_array_equal(read_data(tmp_path / "x.parquet").X, [[0.5, 1], [1.5, 2]])

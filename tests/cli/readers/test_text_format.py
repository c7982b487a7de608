"""Text tables as programs write them: headers of numbers, separators, decimal marks; values are those of pandas."""

import csv
import gzip
import io

import numpy as np
import pytest

from assertions import assert_refused
from fastsil.cli.readers import read_data, read_labeled, read_labels
from fastsil.cli.readers.text_format import judge_header

pandas = pytest.importorskip("pandas")

X = np.random.default_rng(0).normal(size=(30, 4))
FRAME = pandas.DataFrame(X)
NAMED = FRAME.set_axis(list("abcd"), axis=1)


def write(path, content):
    data = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def assert_reads(path, expected, **reading):
    found = read_data(path, **reading)
    np.testing.assert_array_equal(found.X, expected)
    return found


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".csv.gz"])
@pytest.mark.parametrize(
    "names",
    ["0 1 2 3", "1 2 3 4", "0.0 1.0 2.0 3.0", "0 1 0 1", "400 410 420 430", "3 17 5 2", "a b a 0", "0 1 2 name"],
)
def test_names_that_are_numbers_are_no_sample(names, ending, tmp_path):
    separator = "\t" if ending == ".tsv" else ","
    lines = [separator.join(names.split()), FRAME.to_csv(index=False, header=False, sep=separator)]
    found = assert_reads(write(tmp_path / f"x{ending}", "\n".join(lines)), X)
    certain = {"a", "name"} & set(names.split())
    assert certain or "is read as the names of the columns; --no-header" in found.notes[0]
    path = write(tmp_path / f"q{ending}", FRAME.to_csv(index=False, sep=separator, quoting=csv.QUOTE_NONNUMERIC))
    assert_reads(path, X)


def test_the_first_line_is_what_the_option_says(tmp_path):
    path = write(tmp_path / "x.csv", FRAME.to_csv(index=False))
    assert_reads(path, np.vstack([range(4), X]), header=False)
    path = write(tmp_path / "y.csv", FRAME.to_csv(index=False, header=False))
    assert assert_reads(path, X).notes == assert_reads(path, X, header=False).notes
    assert_reads(path, X[1:], header=True)


@pytest.mark.parametrize(
    ("lines", "header", "said"),
    [
        ("0,1 1,0 0,1", False, True),  # the first row is in the data
        ("0,1,2 3,4,5 6,7,8", True, True),
        ("1,2 5,3 7,1", True, True),
        ("5,3 7,1 8,2", False, False),
        ("1990,2000,2010 5,3,4 7,1,9", False, True),
        ("400.5,410.5,420.5 0.5,0.1,0.2", False, True),
        ("True,False False,True True,True", False, False),
        ("flag,other False,True True,True", True, False),
        ("5.1,3.5,setosa 4.9,3.0,setosa 6.2,3.1,virginica", False, True),
        ("0,1,kind 4.9,3.0,setosa 6.2,3.1,setosa", True, True),
        ("u,v w,x u,v", False, True),  # labels without names
        ("kind,place u,x v,y", True, False),
        ("0 5 3", True, True),
        ("0 5 0", False, True),
        ("1 5 3", False, True),
        ("7 5 3", False, False),
        ("1.5,,2 3,4,5", False, False),
        ("NA,1.5 2,3", False, False),
        (",400,410 0,1.5,2.5 1,2.5,3.5", True, True),
        (",,0,1 0,0,1.5,2.5 1,1,2.5,3.5", True, False),
        (",0,1 u,1.5,2.5 v,2.5,3.5", True, False),
    ],
)
def test_first_lines(lines, header, said):
    found, remark = judge_header([line.split(",") for line in lines.split(" ")])
    assert found is header
    assert bool(remark) is said
    assert not said or ("--no-header" in remark) is header


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sep": ";", "decimal": ","}, "separator ';' and the decimal mark ','"),
        ({"sep": "\t", "decimal": ","}, "separator tab and the decimal mark ','"),
        ({"sep": ";"}, "separator ';' and the decimal mark '.'"),
        ({"decimal": ",", "quoting": csv.QUOTE_ALL}, "separator ',' and the decimal mark ','"),
    ],
    ids=str,
)
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("index", [True, False])
def test_separators_and_decimal_marks_are_found(options, said, header, index, tmp_path):
    content = NAMED.assign(n=range(5, 35)).to_csv(header=header, index=index and header, **options)
    path = write(tmp_path / "x.csv", b"\xef\xbb\xbf" + content.replace("\n", "\r\n").encode())
    with_arguments = pandas.read_csv(
        io.StringIO(content),
        header=0 if header else None,
        index_col=0 if index and header else None,
        **{name: value for name, value in options.items() if name != "quoting"},
    )
    found = assert_reads(path, with_arguments.to_numpy())
    assert any(said in note for note in found.notes)
    given = {name: value for name, value in options.items() if name != "quoting"}
    assert assert_reads(path, with_arguments.to_numpy(), **{"sep": ",", **given}).columns == found.columns


def test_commas_in_one_column_and_after_many_lines(tmp_path):
    path = write(tmp_path / "x.csv", FRAME[[0]].round(3).set_axis(["x"], axis=1).to_csv(index=False, decimal=","))
    lines = path.read_text().replace('"', "")
    assert_reads(write(path, lines), X[:, :1].round(3))
    assert_reads(write(path, lines.removeprefix("x\n")), X[:, :1].round(3))  # of -0,1 and 0,05
    found = assert_reads(write(path, "3,5\n2,7\n3,8\n"), [[3, 5], [2, 7], [3, 8]])
    assert found.notes[0].startswith("read as two columns of integers; --decimal ,")
    assert_reads(path, [[3.5], [2.7], [3.8]], decimal=",")
    assert_reads(write(path, "x,y\n3,05\n2,7\n3,8\n"), [[3, 5], [2, 7], [3, 8]])
    path = write(tmp_path / "y.csv", "a;b\n" + "1;2\n" * 2000 + "1,5;3\n")
    assert_reads(path, [[1, 2]] * 2000 + [[1.5, 3]])
    assert_refused(lambda: read_data(write(tmp_path / "z.csv", "a;b\n1,5;2,5\n3,5\n")), "different numbers of cells")
    path = write(tmp_path / "s.csv", "sep=;\na;b\n1,5;2\n2,5;3\n")  # as a spreadsheet writes it
    assert_reads(path, [[1.5, 2], [2.5, 3]])
    path = write(tmp_path / "t.csv", 'a,b\n"1,234",2\n"5,678",3\n"9,012",4\n')  # thousands are no decimals
    assert_refused(lambda: read_data(path), "numbers such as 1,234, in which a mark may stand for thousands")
    assert_reads(path, [[2], [3], [4]], exclude=["a"])
    path = write(tmp_path / "m.csv", "a;b;c\n1,5;2.5;x1\n2,5;3.5;x2\n")  # both marks
    assert "these have numbers such as 2.5: b; see --decimal" in assert_reads(path, [[1.5], [2.5]]).notes


@pytest.mark.parametrize("lines", ["a,b, 1,2.5, 3,4,", "a,b 1,2.5, 3,4,", "a,b, 1,2.5 3,4", "a;b; 1;2,5; 3;4;"])
def test_separators_at_the_end_of_lines_are_no_column(lines, tmp_path):
    assert assert_reads(write(tmp_path / "x.csv", lines.replace(" ", "\n")), [[1, 2.5], [3, 4]]).columns == ("a", "b")


def test_cells_beyond_the_names_are_not_lost(tmp_path):
    """With a warning only, pandas would leave out what stands behind the last name."""
    path = write(tmp_path / "x.csv", "x\n1,5\n2,7\n")
    assert_refused(lambda: read_data(path), "different numbers of cells")


def test_columns_between_spaces_are_found(tmp_path):
    np.savetxt(tmp_path / "x.csv", X)
    assert "separator space" in assert_reads(tmp_path / "x.csv", X).notes[0]
    np.savetxt(tmp_path / "x.csv", X, fmt="%8.3f", header="a b c d", comments="")
    assert assert_reads(tmp_path / "x.csv", np.loadtxt(tmp_path / "x.csv", skiprows=1)).columns == tuple("abcd")
    write(tmp_path / "l.csv", "T cell\nB cell\nT cell\n")
    assert list(read_labels(tmp_path / "l.csv").labels) == ["T cell", "B cell", "T cell"]


def test_formats_that_do_not_exist(tmp_path):
    path = write(tmp_path / "x.csv", "a b\n1 2\n3 4\n")
    assert_reads(path, [[1, 2], [3, 4]], sep="space")
    assert_refused(lambda: read_data(path, sep="--"), "--sep '--' is no separator", "one character")
    assert_refused(lambda: read_data(path, decimal=":"), "--decimal ':' is no decimal mark")


LABELS = np.arange(30) % 3


@pytest.mark.parametrize("name", ["l.csv", "l.txt", "l.tsv", "l.csv.gz"])
@pytest.mark.parametrize("first", ["", "0\n", "cluster\n", "7\n"])
@pytest.mark.parametrize("values", [LABELS, np.array(list("uvw") * 10)], ids=["numbers", "words"])
def test_the_number_of_samples_says_whether_labels_have_a_name(values, first, name, tmp_path):
    path = write(tmp_path / name, first + "\n".join(map(str, values)) + "\n")
    found = read_labels(path, n_samples=30)
    np.testing.assert_array_equal(found.labels, values)
    assert not any("--header" in note for note in found.notes)
    np.save(tmp_path / "x.npy", X)
    np.testing.assert_array_equal(read_labeled(tmp_path / "x.npy", path)[1], values)


def test_the_number_of_labels_says_whether_samples_have_names(tmp_path):
    whole = write(tmp_path / "x.csv", "0,1,2\n3,4,5\n6,7,9\n")
    for labels in ([0, 1, 1], [0, 1]):
        np.save(tmp_path / "l.npy", labels)
        found, given = read_labeled(whole, tmp_path / "l.npy")
        assert len(found.X) == len(given) == len(labels)
    np.save(tmp_path / "l.npy", [0, 1, 1])
    assert "there are 3 labels" in read_labeled(whole, tmp_path / "l.npy")[0].notes[0]
    assert len(read_labeled(whole, tmp_path / "l.npy", header=True)[0].X) == 2


def test_labels_with_an_index_or_a_semicolon(tmp_path):
    series = pandas.Series(LABELS)
    for content in (
        series.to_csv(),
        series.rename("cluster").to_csv(sep=";"),
        "id;cluster\n" + series.to_csv(sep=";")[3:],
    ):
        np.testing.assert_array_equal(read_labels(write(tmp_path / "l.csv", content)).labels, LABELS)


@pytest.mark.parametrize(
    ("cells", "separator", "values"),
    [
        (["1,234.5", "7.25", "-2,000,000"], ";", [1234.5, 7.25, -2e6]),
        (["1.234,5", "7,25", "-2.000.000"], ";", [1234.5, 7.25, -2e6]),
        (["1'234.5", "7.25", "2'000"], ",", [1234.5, 7.25, 2000]),
        (["1 234.5", "7", ""], ",", [1234.5, 7, np.nan]),
    ],
)
def test_marks_of_thousands_that_are_certain_are_read(tmp_path, cells, separator, values):
    lines = [f"x{separator}y", *(f"{cell}{separator}{row % 2}" for row, cell in enumerate(cells * 4))]
    found = assert_reads(
        write(tmp_path / "t.csv", "\n".join(lines) + "\n"), np.c_[values * 4, np.arange(12) % 2], allow_gaps=True
    )
    assert "columns read with marks of thousands: x" in found.notes


def test_numbers_of_telephones_are_no_thousands(tmp_path):
    path = write(tmp_path / "p.csv", "phone,y\n" + "555 123 456,1.5\n555 123 457,2.5\n" * 4)
    assert_reads(path, [[1.5], [2.5]] * 4)


@pytest.mark.parametrize("form", ["[0.5, -1.25, 3e2]", "[ 0.5 -1.25 300.]", " [0.5,-1.25,300]"])
def test_vectors_as_text_are_the_samples(tmp_path, form):
    lines = "\n".join(f'{row},"{form}"' for row in range(5))
    found = assert_reads(write(tmp_path / "v.csv", f"id,embedding\n{lines}\n"), [[0.5, -1.25, 300]] * 5)
    assert found.notes[-2:] == ("features: the vectors of column 'embedding'", "columns left out: id")
    path = write(tmp_path / "w.csv", f'e\n"{form}"\n"[1, 2]"\n')
    assert_refused(lambda: read_data(path), "the vector in row 2 of column 'e' has length 2, and that in row 1 has 3")
    cut = write(tmp_path / "c.csv", "id,e\n" + f'1,"{form}"\n' * 600 + '2,"[1 ... 2]"\n')
    assert_refused(lambda: read_data(cut), "column 'e' has no vector in row 601")

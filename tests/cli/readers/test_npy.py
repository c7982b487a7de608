"""NumPy's files and names of files: what is read, and what is refused with which sentence."""

import pickle
import zipfile

import numpy as np
import pytest

from assertions import assert_refused
from fastsil.cli.readers import read_data, read_labels

X = np.arange(12.0).reshape(4, 3) / 7


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
    assert_refused(lambda: read_data(tmp_path / "x.npy"), "Python objects", "save numbers")
    assert_refused(lambda: read_data(tmp_path / "x.npz"), "Python objects", "save numbers")
    (tmp_path / "y.npy").write_bytes(pickle.dumps(Bomb()))
    assert_refused(lambda: read_data(tmp_path / "y.npy"), "is no .npy file")
    assert not (tmp_path / "boom").exists()


def test_npz_with_several_arrays(tmp_path):
    np.savez(tmp_path / "x.npz", first=X, second=X + 1)
    assert_refused(lambda: read_data(tmp_path / "x.npz"), "2 arrays", "first, second", "x.npz:first")
    np.testing.assert_array_equal(read_data(f"{tmp_path}/x.npz:second").X, X + 1)
    np.testing.assert_array_equal(read_data(tmp_path / "x.npz", key="first").X, X)
    assert_refused(lambda: read_data(f"{tmp_path}/x.npz:third"), "no array 'third'", "first, second")


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
    assert_refused(lambda: read_data(tmp_path / "x.npy"), words)


def test_names_that_are_no_files(tmp_path):
    assert_refused(lambda: read_data(tmp_path / "none.npy"), "there is no file")
    assert_refused(lambda: read_data(tmp_path), "is a folder")
    (tmp_path / "x.xlsx").write_text("?")
    assert_refused(lambda: read_data(tmp_path / "x.xlsx"), r"\.xlsx", r"\.parquet")
    (tmp_path / "x").write_text("?")
    assert_refused(lambda: read_data(tmp_path / "x"), r"\(none\)")


def test_labels_that_are_none(tmp_path):
    np.save(tmp_path / "l.npy", X)
    assert_refused(lambda: read_labels(tmp_path / "l.npy"), r"shape \(4, 3\)")
    (tmp_path / "l.txt").write_text("1\n\n2\n")
    assert_refused(lambda: read_labels(tmp_path / "l.txt"), "line 2 is empty")
    (tmp_path / "l.txt").write_bytes(b"\xff\xfe\n")
    assert_refused(lambda: read_labels(tmp_path / "l.txt"), "UTF-8")


def test_a_column_of_labels_is_labels(tmp_path):
    np.save(tmp_path / "l.npy", np.array([[3], [1], [1], [2]]))
    np.testing.assert_array_equal(read_labels(tmp_path / "l.npy").labels, [3, 1, 1, 2])


def header_of(shape, descr="<f8", fortran=False):
    header = repr({"descr": descr, "fortran_order": fortran, "shape": shape}).encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


ABSURD = [(2**40, 2**10), (2**62, 2**62), (-1, 3), (2**31, 2**31, 2), (10**30,), (4, 4)]


@pytest.mark.parametrize("shape", ABSURD, ids=str)
def test_absurd_headers_are_refused_before_memory_is_taken(shape, tmp_path):
    contents = header_of(shape) + X.tobytes()  # 12 numbers
    (tmp_path / "x.npy").write_bytes(contents)
    assert_refused(lambda: read_data(tmp_path / "x.npy"), "x.npy")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("X.npy", contents)
    assert_refused(lambda: read_data(tmp_path / "x.npz"), "damaged|cannot be read|cut short")


def test_what_is_no_array_in_an_npz(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("X.txt", "hello")
    assert_refused(lambda: read_data(tmp_path / "x.npz"), "no array")
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as archive:
        archive.writestr("X.npy", "hello, I am no array")
    assert_refused(lambda: read_data(tmp_path / "y.npz"), "not numbers")
    np.savez(tmp_path / "z.npz", X=np.zeros(3, dtype=[("ä", "f8")]))
    assert_refused(lambda: read_data(tmp_path / "z.npz"), "numbers")

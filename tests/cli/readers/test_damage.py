"""Files with damaged bytes are refused in one sentence or read; they never end the process."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastsil.cli.readers import DataFileError, read_data, read_labels

ROWS = np.random.default_rng(0).normal(size=(40, 3))


def damage(data, seed):
    """Bytes changed at random places: single ones, bits, words of all ones or of a large number, ends."""
    draw, found = random.Random(seed), bytearray(data)
    place = draw.randrange(len(found) - 8)
    kind = draw.randrange(6)
    if kind <= 2:
        for _ in range(draw.choice([1, 1, 2, 8])):
            found[draw.randrange(len(found))] = draw.randrange(256)
    elif kind == 3:
        found[place] ^= 1 << draw.randrange(8)
    elif kind == 4:
        found[place : place + 8] = draw.choice(
            [b"\xff" * 8, bytes(8), b"\xff" * 7 + b"\x7f", b"\x40\x42\x0f" + bytes(5)]
        )
    else:
        del found[draw.randrange(len(found)) :]
    return bytes(found)


def read_damaged(path, n_seeds):
    """Read a file with each damage, as data and as labels; count what was refused."""
    whole, refused = path.read_bytes(), 0
    for seed in range(n_seeds):
        path.write_bytes(damage(whole, seed))
        print(path.name, seed, flush=True)  # the last line says what ended the process
        for read in (lambda: read_data(path, labels_column=label_column(path)), lambda: read_labels(f"{path}:label")):
            try:
                read()
            except DataFileError:
                refused += 1
    return refused


def label_column(path):
    return None if path.suffix == ".npy" else "label"


def write_arrays(folder):
    np.save(folder / "x.npy", ROWS)
    np.savez(folder / "x.npz", X=ROWS, label=np.array(list("abcd") * 10))
    np.savez_compressed(folder / "packed.npz", X=ROWS, label=np.arange(40) % 3)


def write_tables(folder):
    """Columns of numbers, of vectors of each kind, labels of each kind; files, streams, compressed and not."""
    import pyarrow as pa
    import pyarrow.feather
    import pyarrow.parquet as pq

    words = pa.array([f"w{row % 4}" for row in range(40)])
    vectors = pa.array(ROWS.tolist(), pa.list_(pa.float64()))
    tables = {
        "numbers": pa.table({"a": ROWS[:, 0], "b": ROWS[:, 1].astype("f4"), "label": words}),
        "lists": pa.table({"embedding": vectors, "label": words.dictionary_encode()}),
        "large": pa.table(
            {"embedding": vectors.cast(pa.large_list(pa.float32())), "label": words.cast(pa.large_string())}
        ),
        "fixed": pa.table({"embedding": vectors.cast(pa.list_(pa.float64(), 3)), "label": np.arange(40) % 3}),
    }
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
        pq.write_table(table, folder / f"{name}_plain.parquet", compression="none", use_dictionary=False)
        pa.feather.write_feather(table, folder / f"{name}.feather", compression="lz4")
        for kind, new in (("file", pa.ipc.new_file), ("stream", pa.ipc.new_stream)):
            with new(folder / f"{name}_{kind}.arrow", table.schema) as writer:
                writer.write_table(table, max_chunksize=20)


@pytest.mark.parametrize("n_seeds", [60, pytest.param(1500, marks=pytest.mark.slow)])
def test_damaged_arrays_are_refused_or_read(n_seeds, tmp_path):
    write_arrays(tmp_path)
    for path in list(tmp_path.iterdir()):
        assert read_damaged(path, n_seeds) > n_seeds / 4


@pytest.mark.parametrize("n_seeds", [12, pytest.param(500, marks=pytest.mark.slow)])
def test_damaged_tables_are_refused_or_read(n_seeds, tmp_path):
    pytest.importorskip("pyarrow")
    write_tables(tmp_path)
    code = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
from pathlib import Path
from test_damage import read_damaged
for path in sorted(Path({str(tmp_path)!r}).iterdir()):
    assert read_damaged(path, {n_seeds}) > {n_seeds} / 4
"""
    # In a process of its own: what these bytes did was to end it.
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=900)
    assert child.returncode == 0, (child.stdout[-200:], child.stderr[-2000:])


def test_lists_that_point_beyond_their_values_are_refused(tmp_path):
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"embedding": pa.array(ROWS[:3].tolist(), pa.list_(pa.float64()))})
    with pa.ipc.new_file(tmp_path / "x.arrow", table.schema) as writer:
        writer.write_table(table)
    whole = (tmp_path / "x.arrow").read_bytes()
    offsets, shifted = (np.array([0, 3, 6, last], np.int32).tobytes() for last in (9, 2**30))
    assert whole.count(offsets) == 1
    (tmp_path / "x.arrow").write_bytes(whole.replace(offsets, shifted))
    with pytest.raises(DataFileError, match=r"x\.arrow is no arrow file, or is damaged"):
        read_data(tmp_path / "x.arrow")


@pytest.mark.parametrize("header", [b"{'descr': '<f8', (", b"{'descr': '<f8'}", b"(" * 3000, b"\0" * 100])
def test_a_damaged_header_is_one_sentence(header, tmp_path):
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(80))
    with pytest.raises(DataFileError, match=r"x\.npy"):
        read_data(tmp_path / "x.npy")

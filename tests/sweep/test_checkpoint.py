"""A folder to go on from: the same bits, nobody else's pieces, and what is damaged is computed again."""

import functools
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.cluster import AgglomerativeClustering, BisectingKMeans, KMeans, MiniBatchKMeans
from sklearn.datasets import load_iris, make_blobs

from fastsil import KMeansSweep
from fastsil.sweep import checkpoint
from fastsil.sweep.checkpoint import Checkpoint, compute_digest, described
from fastsil.sweep.prepared_data import PreparedData

IRIS = load_iris().data
BLOBS = make_blobs(400, centers=7, n_features=5, cluster_std=2.0, random_state=1)[0].astype(np.float32)


def swept(folder, X=BLOBS, **params):
    return KMeansSweep(
        range(2, 8), **{"n_init": 2, "n_null": 4, "n_stability": 2, "random_state": 0, "checkpoint": folder, **params}
    ).fit(X)


def assert_same_bits(one, other):
    assert set(one.sweep_results_) == set(other.sweep_results_)
    for name, column in one.sweep_results_.items():
        if not name.endswith("seconds"):
            np.testing.assert_array_equal(column, other.sweep_results_[name], err_msg=name)
    for k, profile in one.profiles_.items():
        for part in ("silhouettes", "a", "b", "neighbor", "labels"):
            np.testing.assert_array_equal(getattr(profile, part), getattr(other.profiles_[k], part))
    assert one.p_value_ == other.p_value_ or np.isnan(one.p_value_)


@pytest.fixture
def stop_after(monkeypatch):
    """Ends a sweep by force after it has kept this number of pieces."""
    save = Checkpoint.save

    def arm(pieces):
        left = [pieces]

        def limited(self, name, arrays):
            if not left[0]:
                raise SystemExit
            left[0] -= 1
            save(self, name, arrays)

        monkeypatch.setattr(Checkpoint, "save", limited)

    yield arm
    monkeypatch.setattr(Checkpoint, "save", save)


@pytest.mark.parametrize("pieces", [4, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 6, 9, 12))])
def test_a_sweep_that_goes_on_gives_the_bits_of_one_in_one_go(pieces, tmp_path, stop_after, monkeypatch):
    monkeypatch.setattr(PreparedData, "estimate_pass_seconds", lambda self: 0.06)  # so that scores wait for each other
    whole = swept(None)
    save = Checkpoint.save
    stop_after(pieces)
    with pytest.raises(SystemExit):
        swept(tmp_path)
    monkeypatch.setattr(Checkpoint, "save", save)
    assert len(list(tmp_path.glob("*.piece"))) == pieces
    again = swept(tmp_path)
    assert_same_bits(again, whole)
    np.testing.assert_array_equal(again.predict(BLOBS), whole.predict(BLOBS))


def test_what_is_there_is_not_computed_again(tmp_path, monkeypatch):
    first = swept(tmp_path)
    monkeypatch.setattr(PreparedData, "fit", None)
    monkeypatch.setattr(PreparedData, "score", None)
    assert_same_bits(swept(tmp_path), first)


@pytest.mark.parametrize(
    "estimator",
    [KMeans(n_init=1), MiniBatchKMeans(n_init=1), BisectingKMeans(), AgglomerativeClustering()],
    ids=lambda estimator: type(estimator).__name__,
)
def test_other_clusterers_go_on_too(estimator, tmp_path):
    first, again = (swept(tmp_path, estimator=estimator, n_null=0) for _ in range(2))
    assert_same_bits(again, first)
    if hasattr(first, "predict"):
        np.testing.assert_array_equal(again.predict(BLOBS), first.predict(BLOBS))


@pytest.mark.slow
def test_several_geometries_go_on(tmp_path):
    params = {"metric": ["euclidean", "cosine"], "pca": [None, 2], "n_stability": 0}
    first, again = (swept(tmp_path, **params) for _ in range(2))
    assert_same_bits(again, first)


@pytest.mark.slow
def test_a_seed_that_was_drawn_is_kept(tmp_path):
    first, again = (swept(tmp_path, random_state=None) for _ in range(2))
    assert_same_bits(again, first)


@pytest.mark.slow
def test_more_null_sets_and_fewer_threads_go_on(tmp_path):
    swept(tmp_path, n_null=3, n_jobs=2)
    assert_same_bits(swept(tmp_path, n_null=6, n_jobs=1), swept(None, n_null=6))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"X": BLOBS + 1}, "other data"),
        ({"X": BLOBS.astype(np.float64)}, "other data"),
        ({"n_init": 3}, "n_init was 2 and is 3"),
        ({"metric": "cosine"}, "metric was 'euclidean' and is 'cosine'"),
        ({"random_state": 1}, "random_state was 0 and is 1"),
        ({"estimator": KMeans()}, "estimator was None"),
        ({"pca": 2}, "pca was None and is 2"),
    ],
)
def test_a_folder_of_another_sweep_is_refused(params, words, tmp_path):
    swept(tmp_path, n_null=0, n_stability=0)
    with pytest.raises(ValueError, match=words):
        swept(tmp_path, **{"n_null": 0, "n_stability": 0, **params})


@pytest.mark.parametrize(
    "harm", [lambda data: data[:100], lambda data: b"", lambda data: data[:300] + b"x" + data[301:]]
)
def test_damaged_pieces_are_told_and_computed_again(harm, tmp_path):
    first = swept(tmp_path, n_stability=0)
    for name in ("0-fit-4", "0-null-2"):
        path = tmp_path / f"{name}.piece"
        path.write_bytes(harm(path.read_bytes()))
    with pytest.warns(UserWarning, match=r"damaged; what it held is computed again"):
        again = swept(tmp_path, n_stability=0)
    assert_same_bits(again, first)


def test_pieces_of_another_sweep_are_left_out(tmp_path):
    folders = tmp_path / "a", tmp_path / "b"
    first = swept(folders[0], n_null=0, n_stability=0)
    swept(folders[1], X=BLOBS + 1, n_null=0, n_stability=0)
    os.replace(folders[1] / "0-fit-3.piece", folders[0] / "0-fit-3.piece")
    assert_same_bits(swept(folders[0], n_null=0, n_stability=0), first)


def test_a_piece_is_whole_or_not_there(tmp_path, monkeypatch):
    def tear(file, **arrays):
        file.write(b"half")
        raise KeyboardInterrupt

    kept = Checkpoint(tmp_path, data="a", parameters={}, seed=0)
    monkeypatch.setattr(checkpoint.np, "savez", tear)
    with pytest.raises(KeyboardInterrupt):
        kept.save("fit-2", {"labels": np.zeros(3)})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.json"]


def test_objects_are_not_read(tmp_path):
    kept = Checkpoint(tmp_path, data="a", parameters={}, seed=0)
    kept.save("fit-2", {"labels": np.array([object()])})
    with pytest.warns(UserWarning, match="damaged"):
        assert kept.load("fit-2") is None


def test_digests_are_of_contents(monkeypatch):
    monkeypatch.setattr(checkpoint, "_CHUNK", 256)
    assert compute_digest(IRIS) == compute_digest(np.asfortranarray(IRIS)) == compute_digest(IRIS.copy())
    changed = IRIS.copy()
    changed[149, 3] += 1e-9
    assert compute_digest(changed) != compute_digest(IRIS)
    assert compute_digest(csr_matrix(IRIS)) != compute_digest(csr_matrix(changed))
    assert described({"V": IRIS}) != described({"V": changed})
    assert described(KMeans(3)) != described(KMeans(4))


def test_no_damage_of_a_piece_comes_through(tmp_path):
    kept, arrays = Checkpoint(tmp_path, data="a", parameters={}, seed=0), {"labels": np.arange(40), "a": np.ones(3)}
    kept.save("fit-2", arrays)
    path = tmp_path / "fit-2.piece"
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.warns(UserWarning, match=r"fit-2\.piece is damaged"):
            assert kept.load("fit-2") is None
    path.write_bytes(whole)
    loaded = kept.load("fit-2")
    assert set(loaded) == set(arrays)


@pytest.mark.parametrize("contents", ["{", '{"sha256": "0", "data": 1}', "[" * 100_000])
def test_a_damaged_record_is_told_and_written_again(contents, tmp_path):
    first = swept(tmp_path, n_null=0, n_stability=0)
    (tmp_path / "checkpoint.json").write_text(contents)
    with pytest.warns(UserWarning, match=r"checkpoint\.json is damaged"):
        assert_same_bits(swept(tmp_path, n_null=0, n_stability=0), first)


def test_a_record_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "checkpoint.json").write_text('{"step": 1}')
    with pytest.raises(ValueError, match=r"checkpoint\.json is no record of fastsil"):
        swept(tmp_path)
    assert (tmp_path / "checkpoint.json").read_text() == '{"step": 1}'


@pytest.mark.parametrize("n_written", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 4))])
def test_a_full_disk_is_warned_of_and_changes_no_result(n_written, tmp_path, monkeypatch):
    left, write = [n_written], checkpoint._write_piece

    def fill(*args):
        if not left[0]:
            raise OSError(28, "No space left on device")
        left[0] -= 1
        write(*args)

    monkeypatch.setattr(checkpoint, "_write_piece", fill)
    with pytest.warns(UserWarning, match=r"cannot be written \(No space left on device\)") as caught:
        sweep = swept(tmp_path)
    assert len(caught) == 1
    assert_same_bits(sweep, swept(None))
    assert not list(tmp_path.glob(".fastsil-*"))


def test_two_at_once_in_one_folder_both_end_well(tmp_path):
    whole = swept(None)
    other = Checkpoint(tmp_path, data="b", parameters={}, seed=0)
    save = Checkpoint.save

    def save_while_another_does(self, name, arrays):
        save(other, name, {"x": np.zeros(2)})
        save(self, name, arrays)
        checkpoint.remove_pieces(tmp_path)  # the other one is finished

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoint, "save", save_while_another_does)
        assert_same_bits(swept(tmp_path), whole)


def test_a_draft_that_another_run_removes_is_written_again(tmp_path, monkeypatch):
    write, removed = checkpoint._write_piece, []

    def write_and_remove(file, identity, arrays):
        write(file, identity, arrays)
        if len(removed) < 3:
            removed.append(True)
            checkpoint.remove_pieces(tmp_path)

    monkeypatch.setattr(checkpoint, "_write_piece", write_and_remove)
    kept = Checkpoint(tmp_path, data="a", parameters={}, seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept.save("x", {"x": np.arange(3)})
    np.testing.assert_array_equal(kept.load("x")["x"], np.arange(3))


IN_ONE_FOLDER = """
import sys
import numpy as np
from fastsil import KMeansSweep

X = np.random.default_rng(0).normal(size=(400, 3))
sweep = KMeansSweep(range(2, 9), n_init=1, n_null=19, random_state=0, checkpoint=sys.argv[1] or None).fit(X)
print([x.hex() for x in sweep.sweep_results_["silhouette"]], [x.hex() for x in sweep.sweep_results_["null_mean"]])
"""


@pytest.mark.slow
def test_two_processes_in_one_folder_both_end_well(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}

    def start(folder):
        command = [sys.executable, "-W", "error", "-c", IN_ONE_FOLDER, folder]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    expected, _ = start("").communicate(timeout=600)
    for _ in range(3):
        for process in [start(str(tmp_path / "kept")) for _ in range(2)]:
            out, err = process.communicate(timeout=600)
            assert out == expected, err


def test_only_pieces_are_removed(tmp_path):
    Checkpoint(tmp_path, data="a", parameters={}, seed=0).save("0-fit-2", {"x": np.zeros(2)})
    mine = {"mine.npz": b"PK", ".mine.npz": b"PK", "mine.piece": b"mine", "asked.json": b"{}", ".fastsil-mine": b""}
    for name, contents in mine.items():
        (tmp_path / name).write_bytes(contents)
    (tmp_path / ".fastsil-0123456789abcdef").write_bytes(b"of a run that was killed")
    (tmp_path / "link.piece").symlink_to(tmp_path / "0-fit-2.piece")
    checkpoint.remove_pieces(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {*mine, "link.piece"}


CLOUD = np.random.default_rng(0).normal(size=(2500, 10))


@functools.cache
def _in_one_go():
    sweep = KMeansSweep(
        range(2, 10), metric=["euclidean", "manhattan"], pca=[None], n_init=2, n_null=19, random_state=0
    )
    return sweep.fit(CLOUD).sweep_results_


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_command_goes_on(ending, tmp_path):
    pytest.importorskip("typer")
    pytest.importorskip("matplotlib")
    pandas = pytest.importorskip("pandas")
    np.save(tmp_path / "X.npy", CLOUD)
    command = [sys.executable, "-m", "fastsil", "sweep"]
    asked = ["X.npy", "--k", "2:9", "--n-init", "2", "--n-null", "19", "--metric", "euclidean", "--metric", "manhattan"]

    def start(*args):
        return subprocess.Popen(
            [*command, *args], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    process = start(*asked, "-o", "there")
    kept = tmp_path / "there" / "fastsil-checkpoint"
    deadline = time.monotonic() + 60
    while not list(kept.glob("0-null-*.piece")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(ending)
    _, err = process.communicate(timeout=600)
    assert process.returncode == (143 if ending == signal.SIGTERM else -signal.SIGKILL), err
    assert ("Go on with: fastsil sweep --resume there" in err) == (ending == signal.SIGTERM)
    assert "Traceback" not in err
    assert not (tmp_path / "there" / "sweep.csv").exists()

    process = start("--resume", "there", "-q")
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert not kept.exists()
    table = pandas.read_csv(tmp_path / "there" / "sweep.csv")
    for name in ("inertia", "silhouette", "null_mean"):
        np.testing.assert_allclose(table[name], _in_one_go()[name], rtol=1e-13)


def test_digests_are_of_types():
    """The same bytes are other numbers in another type."""
    X = np.arange(12, dtype=np.float32).reshape(4, 3)
    assert len({compute_digest(X), compute_digest(X.view(np.int32)), compute_digest(X.view(np.uint32))}) == 3

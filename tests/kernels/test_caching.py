"""Compiled code in hostile places: no cache, a broken cache, somebody else's cache, or no compiler at all.

Each case is a process of its own, with a metric whose kernels are soon compiled.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import fastsil

X = np.random.default_rng(0).normal(size=(12, 2))
LABELS = np.arange(12) % 3
SCORE = """
import numpy as np, fastsil
print(fastsil.__file__)
X, labels = np.random.default_rng(0).normal(size=(12, 2)), np.arange(12) % 3
print(fastsil.silhouette_score(X, labels, metric={metric!r}))
"""
EXPECTED = {metric: fastsil.silhouette_score(X, LABELS, metric=metric) for metric in ("manhattan", "euclidean")}
PACKAGE = Path(fastsil.__file__).parent


def start(place: Path, *options: str, metric: str = "manhattan", **environment: str | None) -> subprocess.Popen[str]:
    """A process that scores with the package in ``place``, with changes of the environment (None: not there)."""
    # Packages next to fastsil, but not the folder that fastsil is in.
    others = [entry for entry in sys.path if entry and not (Path(entry) / "fastsil").exists()]
    others += [str(Path(np.__file__).parent.parent)]
    changed = {**os.environ, "PYTHONPATH": os.pathsep.join([str(place), *others]), **environment}
    return subprocess.Popen(
        [sys.executable, *options, "-c", SCORE.format(metric=metric)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=place.parent,
        env={name: value for name, value in changed.items() if value is not None},
    )


def finish(process: subprocess.Popen[str], place: Path, metric: str = "manhattan") -> None:
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    file, score = out.split("\n")[:2]
    assert file.startswith(str(place)), file
    assert float(score) == pytest.approx(EXPECTED[metric], abs=1e-12)


def copied(folder: Path) -> Path:
    """A copy of the package without anything compiled."""
    shutil.copytree(PACKAGE, folder / "fastsil", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def block(path: Path) -> None:
    """Let nothing be written under a name: root may write to any folder, but nobody into a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("in the way")


def test_no_home_and_an_install_that_cannot_be_written_to(tmp_path):
    place = copied(tmp_path / "lib")
    block(place / "fastsil" / "kernels" / "__pycache__")
    block(tmp_path / "home")
    nowhere = {"NUMBA_CACHE_DIR": None, "HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home" / "x")}
    finish(start(place, **nowhere), place)


@pytest.mark.slow
def test_a_zipped_install(tmp_path):
    place = tmp_path / "fastsil.zip"
    with zipfile.ZipFile(place, "w") as archive:
        for path in PACKAGE.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, Path("fastsil") / path.relative_to(PACKAGE))
    finish(start(place, NUMBA_CACHE_DIR=None, HOME=str(tmp_path)), place)


@pytest.mark.slow
def test_a_cache_that_two_fill_at_once_and_that_is_then_damaged(tmp_path):
    place, cache = copied(tmp_path / "lib"), tmp_path / "cache"
    both = [start(place, NUMBA_CACHE_DIR=str(cache)) for _ in range(2)]
    for process in both:
        finish(process, place)
    files = sorted(path for path in cache.rglob("*") if path.suffix in (".nbi", ".nbc"))
    assert {path.suffix for path in files} == {".nbi", ".nbc"}
    for number, path in enumerate(files):
        contents = path.read_bytes()
        path.write_bytes([b"", b"noise" * 100, contents[: len(contents) // 2]][number % 3])
    finish(start(place, NUMBA_CACHE_DIR=str(cache)), place)
    # It has been mended on the way.
    mended = {path: path.stat().st_mtime_ns for path in cache.rglob("*.nbc")}
    finish(start(place, "-O", NUMBA_CACHE_DIR=str(cache), NUMBA_NUM_THREADS="1"), place)
    # Code for another processor is no use, and nobody takes it.
    finish(start(place, NUMBA_CACHE_DIR=str(cache), NUMBA_CPU_NAME="generic", NUMBA_CPU_FEATURES=""), place)
    assert {path: path.stat().st_mtime_ns for path in mended} == mended


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_a_cache_on_a_full_disk(tmp_path):
    place = copied(tmp_path / "lib")
    (place / "sitecustomize.py").write_text(
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
    )
    finish(start(place, "-B", NUMBA_CACHE_DIR=str(tmp_path / "cache")), place)


@pytest.mark.parametrize("metric", EXPECTED)
def test_without_compilation(tmp_path, metric):
    place = copied(tmp_path / "lib")
    finish(start(place, "-O", metric=metric, NUMBA_DISABLE_JIT="1"), place, metric)


STOPPED = """
import os, signal, threading
import numpy as np, fastsil

signal.signal(signal.SIGINT, signal.default_int_handler)
X, labels = np.random.default_rng(0).normal(size=(12, 2)), np.arange(12) % 3
n_times = 0
while True:
    timer = threading.Timer(0.1 * 1.4**n_times, os.kill, [os.getpid(), signal.SIGINT])
    timer.start()
    try:
        score = fastsil.silhouette_score(X, labels, metric="euclidean")
        timer.cancel()
        timer.join()
        break
    except KeyboardInterrupt:
        n_times += 1
print(n_times, score)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_while_it_compiles(tmp_path):
    """Neither an import nor a compilation of numba is cut short, which would break it for the rest of the process."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    stopped = subprocess.run(
        [sys.executable, "-c", STOPPED], capture_output=True, text=True, timeout=600, env=environment, cwd=tmp_path
    )
    assert stopped.returncode == 0, stopped.stderr[-3000:]
    n_times, score = stopped.stdout.split()
    assert int(n_times) >= 3
    assert float(score) == pytest.approx(EXPECTED["euclidean"], abs=1e-12)
    again = subprocess.run(
        [sys.executable, "-c", SCORE.format(metric="euclidean")],
        capture_output=True,
        text=True,
        timeout=600,
        env=environment,
        cwd=tmp_path,
    )
    assert float(again.stdout.split("\n")[1]) == float(score), again.stderr[-3000:]


@pytest.mark.slow
def test_a_change_in_any_file_of_kernels_compiles_anew(tmp_path):
    place = copied(tmp_path / "place")
    cache = tmp_path / "cache"

    def stamps():
        return {path.name: path.read_bytes() for path in cache.rglob("*.nbi")}

    for change in ("", "", "\n# Another file than that of the kernel.\n"):
        before = stamps()
        with (place / "fastsil" / "kernels" / "nearest.py").open("a") as file:
            file.write(change)
        finish(start(place, NUMBA_CACHE_DIR=str(cache)), place)
        after = stamps()
        manhattan = [name for name in after if name.startswith("manhattan.")]
        assert manhattan
        assert all((before.get(name) == after[name]) == (bool(before) and not change) for name in manhattan)

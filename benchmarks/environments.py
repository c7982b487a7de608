"""An environment for each peer, since not all of them can be installed together.

They are made once, under ``benchmarks/.environments``; removing that folder removes them. Nothing else here installs
anything.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

FOLDER = Path(__file__).parent / ".environments"
# What peers import and do not name among their requirements; and the first Python that their source runs on.
_MORE = {"torchdr": ["matplotlib"], "pyspark": ["pandas", "pyarrow"]}
_PYTHON = {"manhattan-silhouette": (3, 14)}
_SECONDS = 1200


def python_of(package: str) -> Path | None:
    """Return the interpreter of a peer's environment; None where there is none."""
    python = FOLDER / package / "bin" / "python"
    return python if python.exists() else None


def make(packages: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Install each package into an environment of its own; yield it with ``"installed VERSION"`` or the reason
    why not.
    """
    for package in packages:
        yield package, f"installed {version_of(package)}" if python_of(package) else _install(package)


def _install(package: str) -> str:
    place = FOLDER / package
    interpreter = _interpreter(package)
    if interpreter is None:
        return f"not installed: needs Python {'.'.join(map(str, _PYTHON[package]))}, which is not on the path"
    subprocess.run([interpreter, "-m", "venv", place], check=True)
    # NumPy is what data are handed over in.
    command = [place / "bin" / "python", "-m", "pip", "install", "--quiet", "numpy", package, *_MORE.get(package, ())]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
        error = done.stderr.strip().splitlines()[-1:] if done.returncode else []
    except subprocess.TimeoutExpired:
        error = [f"not finished after {_SECONDS} s"]
    if error:
        shutil.rmtree(place)
        return f"not installed: {error[0]}"
    return f"installed {version_of(package)}"


def _interpreter(package: str) -> str | None:
    needed = _PYTHON.get(package, (3,))
    if sys.version_info >= needed:
        return sys.executable
    return shutil.which(f"python{'.'.join(map(str, needed))}")


def version_of(package: str) -> str:
    """Return the version of a peer in its environment, or of a package in this one."""
    command = [python_of(package) or sys.executable, "-c", _VERSION, package]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"


_VERSION = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))"

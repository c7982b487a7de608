"""Small changes of the code that the tests must notice, and a command that tries them.

``tests/mutants.toml`` lists them: a text that occurs once in a file of fastsil, another text in its place, and the
tests that must fail with it; or the reason for which nothing can notice it. From the root of the project,

    python -m tests.mutants                     every mutant: half an hour
    python -m tests.mutants --only bounds.py    those whose file, text or tests contain this

applies one at a time to a copy of the package, and runs its tests there. Kernels that were changed run without
compilation, which takes longer than a test of theirs, unless the mutant needs it (``compiled = true``).
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "tests" / "mutants.toml"
_SECONDS = 600


@dataclass(frozen=True)
class Mutant:
    """A change of the code."""

    file: str
    before: str
    after: str
    tests: tuple[str, ...] = ()
    equivalent: str = ""
    compiled: bool = True

    def __str__(self) -> str:
        before, after = (" ".join(text.split()) for text in (self.before, self.after))
        return f"{self.file}: {before} -> {after or '(removed)'}"

    def apply(self, source: str) -> str:
        """Return the changed source.

        Raises
        ------
        ValueError
            If the text does not occur exactly once.
        """
        count = source.count(self.before)
        if count != 1:
            raise ValueError(f"{self}\n  `before` occurs {count} times in {self.file}; it must occur once.")
        return source.replace(self.before, self.after)


def read_mutants(path: Path = LIST) -> list[Mutant]:
    """Read a list of mutants."""
    entries = tomllib.loads(path.read_text("utf-8"))["mutant"]
    for entry in entries:
        entry["tests"] = tuple(entry.get("tests", ()))
        entry.setdefault("compiled", not entry["file"].startswith("fastsil/kernels/"))
    return [Mutant(**entry) for entry in entries]


class Copy:
    """A copy of package and tests in a temporary folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("fastsil", "tests"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)

    def run(self, tests: tuple[str, ...], *, compiled: bool) -> tuple[int, str]:
        """Run tests; return pytest's exit status and the end of its output."""
        environment = os.environ | {
            "PYTHONPATH": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NUMBA_CACHE_DIR": str(self.folder / "cache"),
            "NUMBA_DISABLE_JIT": "0" if compiled else "1",
        }
        command = [sys.executable, "-m", "pytest", "-qx", "-n0", "-m", "", "-p", "no:cacheprovider", "--tb=line"]
        # Compiled arithmetic overflows in silence; NumPy's scalars, which take its place, warn.
        command += [] if compiled else ["-W", "ignore::RuntimeWarning"]
        try:
            done = subprocess.run(
                [*command, *tests], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=_SECONDS
            )
        except subprocess.TimeoutExpired:
            return -1, f"more than {_SECONDS} seconds"
        return done.returncode, "\n".join((done.stdout + done.stderr).splitlines()[-6:])

    def find_faults(self, mutants: list[Mutant]) -> Iterator[str]:
        """Try mutants one by one; yield what is wrong with the tests or with the list."""
        tried = [mutant for mutant in mutants if not mutant.equivalent]
        for compiled in (True, False):
            tests = tuple(sorted({test for m in tried if m.compiled == compiled for test in m.tests}))
            status, output = self.run(tests, compiled=compiled) if tests else (0, "")
            if status != 0:
                yield f"tests fail without any mutant:\n{output}"
                return
        for mutant in tried:
            path = self.folder / mutant.file
            source = path.read_text("utf-8")
            try:
                path.write_text(mutant.apply(source), "utf-8")
                status, output = self.run(mutant.tests, compiled=mutant.compiled)
            except ValueError as error:
                yield str(error)
                continue
            finally:
                path.write_text(source, "utf-8")
            if status == 1:
                print(f"noticed   {mutant}", flush=True)
            else:
                yield f"{mutant}\n" + ("  survives" if status == 0 else f"  cannot be tried:\n{output}")


def main(arguments: list[str] | None = None) -> int:
    """Try the mutants of the list; return 1 if a test does not notice one."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Try mutants on a copy of the code.")
    parser.add_argument("--only", default="", metavar="TEXT", help="mutants whose file, text or tests contain it")
    parser.add_argument("--list", type=Path, default=LIST, help="another list of mutants")
    chosen = parser.parse_args(arguments)
    mutants = [
        mutant for mutant in read_mutants(chosen.list) if chosen.only in f"{mutant} {mutant.before} {mutant.tests}"
    ]
    n_faults = 0
    with tempfile.TemporaryDirectory() as folder:
        for fault in Copy(Path(folder)).find_faults(mutants):
            n_faults += 1
            print(f"FAULT     {fault}", flush=True)
    n_equivalent = sum(bool(mutant.equivalent) for mutant in mutants)
    print(f"{len(mutants)} mutants: {n_faults} faults, {n_equivalent} that nothing can notice.")
    return int(n_faults > 0 or not mutants)


if __name__ == "__main__":
    sys.exit(main())

"""Fail unless the oldest releases that pyproject.toml allows are those of .ci/oldest.txt, and are installed here."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    pinned = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / ".ci" / "oldest.txt").read_text(), re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    allowed = dict(re.findall(r"([\w-]+)>=([\d.]+)", " ".join(project["dependencies"])))
    wrong = [
        f"{name}>={least} is allowed, but {pinned.get(name, 'nothing')} is tested"
        for name, least in allowed.items()
        if not f"{pinned.get(name, '')}.".startswith(f"{least}.")
    ]
    wrong += [
        f"{name}=={wanted} was wanted, but {version(name)} is installed"
        for name, wanted in pinned.items()
        if name in allowed and version(name) != wanted
    ]
    print("\n".join(wrong) or ", ".join(f"{name} {version(name)}" for name in allowed))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Fail if a test was skipped in every lane that collected it: then nobody ever ran it.

    python .ci/skipped_everywhere.py full.xml bare.xml ...

The files are pytest's --junitxml. A module that was skipped as a whole counts as run if any lane ran a test of it.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree


def outcomes(path: str) -> tuple[set[str], dict[str, str]]:
    """Tests of a lane that ran, and reasons of those that were skipped."""
    ran: set[str] = set()
    skipped: dict[str, str] = {}
    for case in ElementTree.parse(path).iter("testcase"):
        name = ".".join(part for part in (case.get("classname"), case.get("name")) if part)
        reason = case.find("skipped")
        # A test whose failure is expected ran.
        if reason is None or reason.get("type") == "pytest.xfail":
            ran.add(name)
        else:
            skipped[name] = reason.get("message", "no reason given")
    return ran, skipped


def main(paths: list[str]) -> int:
    lanes = [outcomes(path) for path in paths]
    ran = set().union(*(ran for ran, _ in lanes))
    reasons = {name: reason for _, skipped in lanes for name, reason in skipped.items()}
    never = {
        name: reason
        for name, reason in sorted(reasons.items())
        if name not in ran and not any(test.startswith(f"{name}.") for test in ran)
    }
    print(f"{len(ran)} tests ran in some lane; {len(reasons)} were skipped in some lane; {len(never)} in every lane.")
    for name, reason in never.items():
        print(f"  {name}: {reason}")
    if not ran:
        print("No test ran at all.")
    return 1 if never or not ran else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The list of mutants fits the code, and the command that tries them finds survivors."""

import ast
from pathlib import Path

import pytest

import mutants

ROOT = Path(__file__).resolve().parents[2]
MUTANTS = mutants.read_mutants()


def test_every_mutant_changes_one_place_of_the_code():
    as_they_are = {file: (ROOT / file).read_text("utf-8") for file in {mutant.file for mutant in MUTANTS}}
    dumps = {file: ast.dump(ast.parse(source)) for file, source in as_they_are.items()}
    for mutant in MUTANTS:
        assert ast.dump(ast.parse(mutant.apply(as_they_are[mutant.file]))) != dumps[mutant.file], mutant


def test_every_mutant_has_tests_or_a_reason():
    for mutant in MUTANTS:
        assert bool(mutant.tests) != bool(mutant.equivalent), mutant
        for test in mutant.tests:
            file, _, name = test.partition("::")
            functions = {
                node.name for node in ast.walk(ast.parse((ROOT / file).read_text("utf-8"))) if hasattr(node, "name")
            }
            assert not name or name.partition("[")[0] in functions, f"{mutant}: there is no {test}"


def test_no_mutant_is_listed_twice():
    assert len({(mutant.file, mutant.before, mutant.after) for mutant in MUTANTS}) == len(MUTANTS)


LISTED = """
[[mutant]]
file = "fastsil/validation/partition.py"
before = "return len(self.classes)"
after = "return len(self.classes) + 1"
tests = ["tests/validation/test_partition.py"]
[[mutant]]
file = "fastsil/validation/partition.py"
before = ":,} are supported."
after = ":,} were supported."
tests = ["tests/validation/test_partition.py"]
[[mutant]]
file = "fastsil/validation/partition.py"
before = "a text that is not there"
after = ""
tests = ["tests/validation/test_partition.py"]
"""


@pytest.mark.slow
def test_survivors_are_found(tmp_path, capsys):
    listed = tmp_path / "mutants.toml"
    listed.write_text(LISTED, "utf-8")
    assert mutants.main(["--list", str(listed)]) == 1
    noticed, survivor, missing, total = (line for line in capsys.readouterr().out.splitlines() if line[:2] != "  ")
    assert noticed.startswith("noticed")
    assert survivor.startswith("FAULT")
    assert ":,} were supported." in survivor
    assert "a text that is not there" in missing
    assert total == "3 mutants: 2 faults, 0 that nothing can notice."
    assert mutants.main(["--list", str(listed), "--only", "no mutant has this"]) == 1  # or a misspelling would pass

"""The examples in the docstrings, run on the package that is installed (not on the folder next to the tests)."""

import doctest
import importlib
import pkgutil

import pytest

import fastsil

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
MODULES = sorted(module.name for module in pkgutil.walk_packages(fastsil.__path__, "fastsil.", onerror=lambda _: None))
# Packages that need an extra, with all their modules; without it they are skipped.
NEEDS = {
    "fastsil.dask_arrays": ("dask.array",),
    "fastsil.cli": ("typer", "rich"),
    "fastsil.__main__": ("typer", "rich"),
    "fastsil.report.plots": ("matplotlib",),
}


def needs_of(name):
    return [package for top, packages in NEEDS.items() if f"{name}.".startswith(f"{top}.") for package in packages]


@pytest.mark.parametrize("name", ["fastsil", *MODULES])
def test_examples(name):
    for package in needs_of(name):
        pytest.importorskip(package, exc_type=ImportError)
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    # The runner prints the differences; pytest shows them with the failure.
    for test in doctest.DocTestFinder().find(module):
        runner.run(test)
    assert runner.failures == 0


# Records that other names hand to users; nobody makes one.
RECORDS = {
    *("ClusterTable", "Diagnosis", "Finding", "GeometrySweep", "NullComparison"),
    *("SilhouetteCeiling", "SilhouettesByGroup", "Stability", "SweepEvent", "SweepRow", "Verdict", "Work"),
}


def test_the_public_functions_have_examples():
    assert set(fastsil.__all__) >= RECORDS
    for name in set(fastsil.__all__) - RECORDS - {"__version__"}:
        assert ">>> " in (getattr(fastsil, name).__doc__ or ""), f"{name} shows no example"

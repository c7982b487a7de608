"""scikit-learn's own tests of silhouettes, run with our functions in place of theirs."""

import importlib
import inspect

import pytest

import fastsil

SUITE = "sklearn.metrics.cluster.tests.test_unsupervised"
NAMES = ["silhouette_samples", "silhouette_score"]


def _suite():
    try:
        return importlib.import_module(SUITE)
    except ImportError:
        return None


def _tests_of_silhouettes(suite):
    """Name and function of every test that calls one of the public functions."""
    for name, function in vars(suite).items():
        if name.startswith("test_") and inspect.isfunction(function) and set(NAMES) & set(function.__code__.co_names):
            yield name, function


def _cases():
    """(function, keyword arguments) of every test as its marks spread it out."""
    suite = _suite()
    for name, function in [] if suite is None else _tests_of_silhouettes(suite):
        calls = [{}]
        for mark in getattr(function, "pytestmark", []):
            calls = [{**call, **values} for call in calls for values in _values_of(mark)]
        for call in calls:
            yield pytest.param(function, call, id="-".join([name, *(_short(value) for value in call.values())]))


def _values_of(mark):
    assert mark.name == "parametrize", f"a mark that this test does not know: {mark.name}"
    names, rows = mark.args
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    return [dict(zip(names, row if len(names) > 1 else [row], strict=True)) for row in rows]


def _short(value):
    return getattr(value, "__name__", str(value))


CASES = list(_cases())


@pytest.mark.skipif(_suite() is None, reason="the installed scikit-learn ships without its tests")
def test_there_are_tests_to_run():
    """Otherwise the test below would have nothing to run, and pass."""
    assert len({case.values[0].__name__ for case in CASES}) >= 8


# Some of its tests give distances for samples.
@pytest.mark.filterwarnings("ignore:X is square and symmetric")
@pytest.mark.parametrize(("test", "arguments"), CASES)
def test_of_scikit_learn(test, arguments, monkeypatch):
    calls = []
    for name in NAMES:
        monkeypatch.setitem(test.__globals__, name, _noted(getattr(fastsil, name), calls))
    test(**arguments)
    assert calls


def _noted(function, calls):
    def noted(*args, **kwargs):
        calls.append(function)
        return function(*args, **kwargs)

    return noted

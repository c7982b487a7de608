"""Set-up of the suite: Hypothesis profiles, a quiet matplotlib, and a line that says which fastsil is tested.

The default profile is deterministic: the same examples on every run. To search longer, with new examples each time:

    FASTSIL_HYPOTHESIS=long .venv/bin/pytest -k hypothesis
    FASTSIL_HYPOTHESIS=long FASTSIL_EXAMPLES=100000 .venv/bin/pytest tests/promises/test_precision.py -k hypothesis
"""

import os

import hypothesis
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")

# Compiling a kernel inside an example is slow once and no fault of the example: no deadline.
hypothesis.settings.register_profile("ci", max_examples=40, derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile(
    "long",
    max_examples=int(os.environ.get("FASTSIL_EXAMPLES", "2000")),
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile(os.environ.get("FASTSIL_HYPOTHESIS", "ci"))


def pytest_report_header() -> str:
    import fastsil

    return f"fastsil {fastsil.__version__} from {fastsil.__path__[0]}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give property tests a name that `-k hypothesis` finds, wherever they stand."""
    for item in items:
        if getattr(getattr(item, "function", None), "is_hypothesis_test", False):
            item.extra_keyword_matches.add("hypothesis")

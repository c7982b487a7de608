"""Set-up of the suite: Hypothesis profiles, a quiet matplotlib, and a line that says which fastsil is tested.

The default profile is deterministic: the same few examples on every run; ``ci`` takes more of them. To search longer,
with new examples each time:

    FASTSIL_HYPOTHESIS=long .venv/bin/pytest -k hypothesis
    FASTSIL_HYPOTHESIS=long FASTSIL_EXAMPLES=100000 .venv/bin/pytest tests/promises/test_precision.py -k hypothesis
"""

import os
from typing import Any

import hypothesis
import numpy as np
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
# Threads of scikit-learn's k-means spin while they wait for each other: with two workers on two cores, 60 % of the time
# of tests of sweeps.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Compiling a kernel inside an example is slow once and no fault of the example: no deadline.
hypothesis.settings.register_profile("few", max_examples=12, derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile("ci", max_examples=40, derandomize=True, deadline=None, database=None)
hypothesis.settings.register_profile(
    "long",
    max_examples=int(os.environ.get("FASTSIL_EXAMPLES", "2000")),
    deadline=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile(os.environ.get("FASTSIL_HYPOTHESIS", "few"))


def pytest_report_header() -> str:
    import fastsil

    return f"fastsil {fastsil.__version__} from {fastsil.__path__[0]}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark property tests, for `-k hypothesis` and `-m hypothesis`, in every module; and as slow tests of weights in
    other types than float64, since weights compile every kernel again for every type.
    """
    for item in items:
        if getattr(getattr(item, "function", None), "is_hypothesis_test", False):
            item.add_marker(pytest.mark.hypothesis)
        if _has_weights(item) and _parameters(item).get("dtype", np.float64) is not np.float64:
            item.add_marker(pytest.mark.slow)


def _has_weights(item: pytest.Item) -> bool:
    given = _parameters(item)
    return bool(given.get("weighted")) or given.get("weights") is not None or item.path.stem == "test_weights"


def _parameters(item: pytest.Item) -> dict[str, Any]:
    return getattr(getattr(item, "callspec", None), "params", {})

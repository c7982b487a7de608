"""Drawn calls of the public functions on drawn data of any type, scale and structure, against the naive reference.

A result is right, or an error says why there is none: nothing else may happen. Some hundred cases of ``tests/fuzz.py``
run here; in each example of Hypothesis the same data go through every metric and the main functions.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import event, given
from hypothesis import strategies as st

import fuzz
from assertions import assert_same_bits, tolerance_of
from fastsil import silhouette_profile, silhouette_samples, silhouette_samples_many, silhouette_score
from fuzz import METRICS, SPARSE, TYPES, assert_right, may_be_refused
from strategies import seeds

pytestmark = [
    pytest.mark.skipif(np.finfo(np.longdouble).maxexp < 2000, reason="the truth needs a wider range than float64"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


@st.composite
def drawn_data(draw):
    """Few decisions, many digits: structure is drawn, numbers come from a seed."""
    rng = np.random.default_rng(draw(seeds()))
    n_samples, n_features = draw(st.integers(3, 24)), draw(st.integers(1, 8))
    n_clusters = draw(st.integers(2, n_samples - 1))
    labels = rng.permutation(np.r_[np.arange(n_clusters), rng.integers(n_clusters, size=n_samples - n_clusters)])
    kind = draw(st.sampled_from(["grid", "normal", "clumps", "constant", "outlier"]))
    with_zeros, with_constant, with_offset = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    X = fuzz.fill_values(
        rng,
        n_samples,
        n_features,
        kind,
        with_zeros=with_zeros,
        with_constant=with_constant,
        with_offset=with_offset,
    )
    dtype = draw(st.sampled_from(list(TYPES)))
    exponent, largest = TYPES[dtype]
    with np.errstate(all="ignore"):
        X = np.clip(X * 10.0 ** draw(st.integers(-exponent, exponent)), -largest, largest).astype(dtype)
    return X, labels, draw(st.integers(1, 3))


def outcome(X, labels, metric, n_jobs):
    """Silhouettes, or None where there is a reason for the error."""
    try:
        return silhouette_samples(X, labels, metric=metric, n_jobs=n_jobs)
    except ValueError as error:
        if not may_be_refused(X.toarray() if scipy.sparse.issparse(X) else X, metric, error):
            raise
        event(f"{metric} refused")
        return None


@given(drawn_data())
def test_every_call_is_right_or_refused_hypothesis(data):
    X, labels, n_jobs = data
    for metric in METRICS:
        found = outcome(X, labels, metric, n_jobs)
        if found is None:
            continue
        assert_right(found, X, labels, metric)
        profile = silhouette_profile(X, labels, metric=metric, n_jobs=1)
        assert_same_bits(profile.silhouettes, found)
        assert not np.isnan(profile.a).any() or metric == "braycurtis"
    for metric in SPARSE if X.dtype in (np.float32, np.float64) else ():
        found = outcome(scipy.sparse.csr_array(X), labels, metric, n_jobs)
        if found is not None and metric != "euclidean":  # scikit-learn's products lose digits
            assert_right(found, X, labels, metric)
    found = outcome(X, labels, "euclidean", n_jobs)
    if found is None:
        return
    for average, expected in (
        ("micro", found.mean(dtype=float)),
        ("macro", np.mean([found[labels == label].mean(dtype=float) for label in np.unique(labels)])),
    ):
        assert silhouette_score(X, labels, average=average) == pytest.approx(expected, abs=1e-6)
    both = silhouette_samples_many(X, [labels, labels[::-1]], n_jobs=n_jobs)
    np.testing.assert_allclose(both[0], found, rtol=0, atol=2 * tolerance_of(X.dtype))
    left_out = np.append(labels, -1), np.concatenate([X, X[:1]])
    ignoring = silhouette_samples(left_out[1], left_out[0], ignore_label=-1, n_jobs=n_jobs)
    assert np.isnan(ignoring[-1])
    np.testing.assert_allclose(ignoring[:-1], found, rtol=0, atol=tolerance_of(X.dtype))


@pytest.mark.parametrize("seed", range(4))
def test_drawn_cases_pass(seed, capsys):
    assert fuzz.main(["--cases", "100", "--seed", str(seed)]) == 0, capsys.readouterr().out


def test_a_wrong_result_is_noticed(monkeypatch, capsys):
    """And the line that is printed runs the case again."""
    monkeypatch.setattr(fuzz.fastsil, "silhouette_samples", lambda X, labels, **_: np.full(len(labels), 0.123))
    monkeypatch.setattr(fuzz, "CHECKS", {fuzz.check_samples: 1})
    assert fuzz.main(["--cases", "1"]) == 1
    assert "FAILED --seed 0 --only 0: check_samples: " in capsys.readouterr().out
    assert fuzz.main(["--only", "0"]) == 1

"""Drawn calls of the public functions on drawn data, against the naive reference; and a command for many of them.

Data have any type, scale and structure, and come in any container; the strategy of the Euclidean engine is forced each
way. A result is right, or an error says why there is none: nothing else may happen.

    python -m tests.fuzz --cases 100000 --seed 1    some hundred cases a second
    python -m tests.fuzz --seed 1 --only 4711       one of them again

A case follows from its seed and its number, and from which of pandas and polars are installed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import scipy.sparse

import fastsil
from fastsil.engines.euclidean import engine, many_labelings, symmetric

# Where the suite finds its modules; last, since names of the standard library are among them.
sys.path.append(str(Path(__file__).parent))

import reference
from assertions import assert_same_bits, tolerance_of

METRICS = [
    "euclidean",
    "sqeuclidean",
    "manhattan",
    "chebyshev",
    "hamming",
    "canberra",
    "braycurtis",
    "cosine",
    "correlation",
    "seuclidean",
    "mahalanobis",
]
SPARSE = ["euclidean", "sqeuclidean", "manhattan", "cosine"]
STRATEGIES = ["chosen", "symmetric", "in ranges", "pruned", "shared"]
# Decimal exponents, and the largest value.
TYPES = {
    np.float64: (300, 1.7e308),
    np.float32: (36, 3e38),
    np.float16: (3, 6e4),
    np.int64: (9, 9e18),
    np.int8: (0, 127),
    bool: (0, 1),
}
# Where all that is compared is rounding: rows this near to parallel, covariances this near to singular, and samples
# whose mean distances are this share of the largest, after a linear map.
ANGLE, CONDITION, DISTANCE = 1e-3, 1e6, 1e-7


@contextlib.contextmanager
def forced(strategy):
    """Let the Euclidean engine take a strategy, whatever its cost model says."""
    with contextlib.ExitStack() as stack:

        def change(*change):
            stack.enter_context(patch.object(*change))

        if strategy == "shared":
            change(many_labelings, "choose_together", lambda partitions, n_features: list(range(len(partitions))))
        elif strategy != "chosen":
            few = 0 if strategy == "pruned" else 10**9
            change(engine, "_ALWAYS_SYMMETRIC", few)
            change(engine, "_SMALL_SYMMETRIC", few)
            change(engine, "SMALL_PRODUCTS", 0)
            change(engine._Search, "_symmetry_is_less_work", lambda *_: False)
            if strategy == "in ranges":
                # Sums to a few clusters at a time, and small clusters together.
                change(symmetric, "_SUMS_BYTES", 512)
                change(symmetric, "_SUMS_BYTES_A_SAMPLE", 0)
                change(symmetric, "_MANY_CLUSTERS", 2)
                change(symmetric, "_BLOCK", 4)
            # Every basis, however little there is to exclude.
            change(
                engine, "choose_basis_size", lambda data, choice, load: min(choice[-1], -(-data.X.shape[1] // 16) * 16)
            )
        yield


class Case(NamedTuple):
    """A drawn call."""

    X: Any
    labels: np.ndarray
    metric: str
    strategy: str
    container: str
    n_jobs: int
    rng: np.random.Generator

    def __str__(self):
        shape = f"{len(self.X)} x {self.X.shape[1]} {self.X.dtype} in {len(set(self.labels.tolist()))} clusters"
        return f"{self.metric} of {shape} as {self.container}, {self.strategy}, n_jobs={self.n_jobs}"

    @property
    def given(self):
        return CONTAINERS[self.container](self.X)

    @property
    def params(self):
        return {"metric": self.metric, "n_jobs": self.n_jobs}


def fill_values(rng, n_samples, n_features, kind, *, with_zeros, with_constant, with_offset):
    """Numbers with ties, duplicates, offsets, zeros and outliers."""
    X = rng.integers(-3, 4, size=(n_samples, n_features)).astype(float)
    if kind in ("normal", "outlier"):
        X = rng.normal(size=X.shape)
    elif kind == "clumps":
        X = X[rng.integers(n_samples, size=n_samples)] + rng.normal(size=X.shape) * 10.0 ** rng.integers(-9, 1)
    elif kind == "constant":
        X[:] = X[0]
    elif kind == "line":
        X = np.outer(rng.normal(size=n_samples), np.ones(n_features))
    if kind == "outlier":
        X[0] *= 10.0 ** rng.integers(1, 20)
    if with_zeros:
        X[rng.integers(n_samples, size=rng.integers(1, n_samples))] = 0.0
    if with_constant:
        X[:, rng.integers(n_features)] = -7.5
    return X + 10.0 ** rng.integers(0, 7) if with_offset else X


def draw_values(rng, n_samples, n_features):
    kind = rng.choice(["grid", "normal", "clumps", "constant", "outlier", "line"])
    zeros, constant, offset = rng.random(3) < 0.3
    return fill_values(rng, n_samples, n_features, kind, with_zeros=zeros, with_constant=constant, with_offset=offset)


def draw_case(rng):
    n_samples = int(rng.integers(3, 25 if rng.random() < 0.8 else 61))
    n_features = int(rng.choice([1, 2, 3, 5, 8, 9, 17, 40], p=[0.2, 0.2, 0.15, 0.15, 0.1, 0.1, 0.05, 0.05]))
    n_clusters = int(rng.integers(2, n_samples if rng.random() < 0.3 else min(n_samples, 6)))
    labels = rng.permutation(np.r_[np.arange(n_clusters), rng.integers(n_clusters, size=n_samples - n_clusters)])
    dtype = list(TYPES)[rng.choice(len(TYPES), p=[0.35, 0.35, 0.05, 0.1, 0.1, 0.05])]
    exponent, largest = TYPES[dtype]
    scale = int(rng.integers(-exponent, exponent + 1)) if rng.random() < 0.5 else 0
    with np.errstate(over="ignore"):
        X = np.clip(draw_values(rng, n_samples, n_features) * 10.0**scale, -largest, largest).astype(dtype)
    metric = str(rng.choice(METRICS)) if rng.random() < 0.6 else "euclidean"
    strategy = str(rng.choice(STRATEGIES)) if metric in ("euclidean", "seuclidean", "mahalanobis") else "chosen"
    fits = [
        name for name in CONTAINERS if name != "sparse" or (metric in SPARSE[1:] and dtype in (np.float32, np.float64))
    ]
    container = str(rng.choice(fits)) if rng.random() < 0.5 else "array"
    return Case(X, labels, metric, strategy, container, int(rng.integers(1, 4)), rng)


def truth(X, labels, metric):
    """Silhouettes, and what max(a, b) is for each."""
    wide = reference.pairwise_distances(X, metric)
    codes, sizes = np.unique(labels, return_inverse=True, return_counts=True)[1:]
    sums, rows = np.stack([wide[:, codes == code].sum(axis=1) for code in range(len(sizes))], axis=1), np.arange(len(X))
    a = sums[rows, codes] / np.maximum(sizes[codes] - 1, 1)
    means = sums / sizes
    means[rows, codes] = np.inf
    # As NumPy's minimum, so that a distance that is no number shows.
    b = means.min(axis=1)
    larger = np.maximum(a, b)
    silhouettes = np.where(sizes[codes] > 1, (b - a) / np.where(larger > 0, larger, 1), 0)
    return np.where(np.isnan(silhouettes), 0, silhouettes), larger


def may_be_refused(X, metric, error):
    wide = X.astype(np.longdouble)
    if "multiply X by a" in str(error):
        # What never sees all data at once finds no scale for them.
        magnitudes = np.abs(wide[wide != 0])
        return magnitudes.max() > 1e60 or magnitudes.max() < 1e-20 or magnitudes.min() < 1e-60
    if any(words in str(error) for words in ("have no digits left", "too short to have a direction")):
        return wide.any() and np.abs(wide).max() / np.abs(wide[wide != 0]).min() > 1e4
    if metric == "correlation":
        return (np.ptp(wide - wide[:, :1], axis=1) <= np.abs(wide).max(axis=1) * 1e-15).any()
    if metric == "seuclidean":
        return (np.ptp(wide, axis=0) <= np.abs(wide).max(axis=0) * 1e-15).any()
    return metric == "mahalanobis" and condition(wide) > CONDITION


def condition(wide):
    centered = wide - wide.mean(axis=0)
    largest = np.abs(centered).max()
    if largest == 0:
        return np.inf
    singular = np.linalg.svd((centered / largest).astype(float), compute_uv=False)
    full = len(wide) > wide.shape[1] and singular[-1] > 1e-100 * singular[0]
    return (singular[0] / singular[-1]) ** 2 if full else np.inf


def tolerance(X, metric):
    return tolerance_of(X.dtype) * (100 if metric in ("mahalanobis", "correlation") else 1)


def find_compared(X, larger, metric):
    """Return the samples whose silhouette is more than rounding."""
    compared = np.ones(len(X), dtype=bool)
    if metric in ("cosine", "correlation"):
        compared = larger > ANGLE
    if metric == "correlation":
        # Rows whose spread is rounding have a direction of rounding.
        wide = X.astype(np.longdouble)
        compared &= (np.ptp(wide, axis=1) > 1e-5 * np.abs(wide).max(axis=1)).all()
    if metric == "mahalanobis":
        compared &= condition(X.astype(np.longdouble)) < CONDITION
    if metric in ("mahalanobis", "seuclidean"):
        # The mapped data are rounded once; what is nearer than that to two clusters has no digits left.
        compared &= larger > DISTANCE * larger.max()
    return compared


def assert_right(found, X, labels, metric):
    expected, larger = truth(X, labels, metric)
    compared = find_compared(X, larger, metric)
    np.testing.assert_allclose(
        found[compared], expected[compared].astype(float), rtol=0, atol=tolerance(X, metric), err_msg=metric
    )


def map_file(X):
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, X)
        file.flush()
        return np.load(file.name, mmap_mode="r")


def freeze(X):
    frozen = X.copy()
    frozen.flags.writeable = False
    return frozen


def to_frame(package, X):
    return X if X.dtype == np.float16 else importlib.import_module(package).DataFrame(X)


CONTAINERS = {
    "array": lambda X: X,
    "Fortran": np.asfortranarray,
    "backwards": lambda X: X[::-1].copy()[::-1],
    "every other column": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "other byte order": lambda X: X.astype(X.dtype.newbyteorder()),
    "unaligned": lambda X: np.frombuffer(b"-" + X.tobytes(), X.dtype, offset=1).reshape(X.shape),
    "read-only": freeze,
    # A mapped file cannot be removed on Windows.
    **({"file": map_file} if os.name == "posix" else {}),
    "lists": lambda X: X.tolist(),
    "sparse": scipy.sparse.csr_array,
    **{name: partial(to_frame, name) for name in ("pandas", "polars") if importlib.util.find_spec(name)},
}


def check_samples(case):
    found = fastsil.silhouette_samples(case.given, case.labels, **case.params)
    assert_right(found, case.X, case.labels, case.metric)


def check_score(case):
    found = fastsil.silhouette_samples(case.X, case.labels, **case.params)
    by_label = [found[case.labels == label].mean(dtype=float) for label in np.unique(case.labels)]
    for average, expected in (("micro", found.mean(dtype=float)), ("macro", np.mean(by_label))):
        score = fastsil.silhouette_score(case.given, case.labels, average=average, **case.params)
        np.testing.assert_allclose(score, expected, rtol=0, atol=tolerance(case.X, case.metric))


def check_profile(case):
    profile = fastsil.silhouette_profile(case.given, case.labels, **case.params)
    assert_right(profile.silhouettes, case.X, case.labels, case.metric)
    assert case.metric == "braycurtis" or not np.isnan(profile.a).any()
    assert profile.n_negative == np.count_nonzero(profile.silhouettes < 0)
    assert (profile.neighbor != case.labels).all()
    profile.diagnose(case.X)


def check_many(case):
    others = [case.labels, case.labels[::-1], np.arange(len(case.labels)) % 2]
    found = fastsil.silhouette_samples_many(case.given, others, **case.params)
    for silhouettes, labels in zip(found, others, strict=True):
        assert_right(silhouettes, case.X, labels, case.metric)
    profiles = fastsil.silhouette_profiles(case.given, others, **case.params)
    for silhouettes, profile in zip(found, profiles, strict=True):
        assert_same_bits(profile.silhouettes, silhouettes)


def check_guesses(case):
    metric = str(case.rng.choice(["euclidean", "seuclidean", "mahalanobis"]))
    case = case._replace(metric=metric, container=case.container.replace("sparse", "array"))
    profile = fastsil.silhouette_profile(case.given, case.labels, exact=False, **case.params)
    expected, larger = truth(case.X, case.labels, case.metric)
    compared, off = find_compared(case.X, larger, case.metric), tolerance(case.X, case.metric)
    assert (profile.lower - off <= expected)[compared].all()
    assert (expected <= profile.upper + off)[compared].all()


def check_estimate(case):
    tol, seed = float(case.rng.choice([1e-3, 0.03, 0.3])), int(case.rng.integers(1 << 31))
    with patch("fastsil.scoring.estimate.exact_is_as_cheap", lambda *_: False):
        found = fastsil.silhouette_estimate(
            case.given, case.labels, tol=tol, confidence=1 - 1e-9, random_state=seed, **case.params
        )
    expected, larger = truth(case.X, case.labels, case.metric)
    assert found.interval[1] - found.interval[0] <= 2 * tol * (1 + 1e-9)
    if find_compared(case.X, larger, case.metric).all():
        off, (low, high) = tolerance(case.X, case.metric), found.interval
        assert low - off <= expected.mean() <= high + off


def check_stream(case):
    case = case._replace(metric=str(case.rng.choice(["sqeuclidean", "cosine", "correlation"])))
    stream = fastsil.SilhouetteStream(case.metric)
    batches = np.array_split(np.arange(len(case.X)), case.rng.integers(1, 4))
    for rows in batches:
        stream.partial_fit(case.X[rows], case.labels[rows])
    found = np.concatenate([stream.score_samples(case.X[rows], case.labels[rows]) for rows in batches])
    assert_right(found, case.X, case.labels, case.metric)


def check_left_out(case):
    labels, X = np.append(case.labels, -1), np.concatenate([case.X, case.X[:1]])
    # The covariance or the variances are those of all samples that are scored.
    found = fastsil.silhouette_samples(X, labels, ignore_label=-1, **case.params)
    assert np.isnan(found[-1])
    assert_right(found[:-1], case.X, case.labels, case.metric)


def check_groups(case):
    case = case._replace(metric=case.metric if case.metric not in ("seuclidean", "mahalanobis") else "euclidean")
    groups = case.rng.integers(2, size=len(case.X))
    within = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    scored = [1 < len(set(case.labels[rows].tolist())) < len(rows) for rows in within]
    if not any(scored):
        return
    found = fastsil.silhouette_by(case.given, case.labels, groups, **case.params)
    for rows, is_scored in zip(within, scored, strict=True):
        if is_scored:
            assert_right(found.silhouettes[rows], case.X[rows], case.labels[rows], case.metric)


def check_ceiling(case):
    least = np.bincount(case.labels).min()
    found = fastsil.silhouette_ceiling(
        case.given, min_cluster_size=int(least), n_clusters=int(case.labels.max()) + 1, **case.params
    )
    expected, larger = truth(case.X, case.labels, case.metric)
    if find_compared(case.X, larger, case.metric).all():
        assert expected.mean() <= found.interval[1] + tolerance(case.X, case.metric)


def check_medoids(case):
    medoids = [int(np.flatnonzero(case.labels == label)[0]) for label in np.unique(case.labels)]
    case = case._replace(metric=case.metric if case.metric not in ("seuclidean", "mahalanobis") else "manhattan")
    found = fastsil.simplified_silhouette_samples(case.given, case.labels, centers=medoids, **case.params)
    terms = reference.compute_center_terms(case.X, case.labels, case.X[medoids], case.metric)
    larger = np.maximum(terms.a, terms.b)
    compared = find_compared(case.X, larger, case.metric) & (np.bincount(case.labels)[case.labels] > 1)
    expected = np.nan_to_num((terms.b - terms.a) / np.where(larger > 0, larger, 1))
    off = tolerance(case.X, case.metric)
    np.testing.assert_allclose(found[compared], expected[compared].astype(float), rtol=0, atol=off, err_msg=case.metric)


def check_plan(case):
    found = fastsil.plan(case.given, case.labels, **case.params)
    assert found.seconds >= 0
    assert found.pairs >= 0
    assert str(found)


def check_dask(case):
    if not importlib.util.find_spec("dask"):
        return
    import dask.array

    rows = max(1, len(case.X) // int(case.rng.integers(1, 4)))
    X = dask.array.from_array(case.X, chunks=(rows, -1))
    metric = case.metric if case.metric not in ("chebyshev", "hamming", "canberra", "braycurtis") else "euclidean"
    case = case._replace(metric=metric)
    found = fastsil.silhouette_samples(X, case.labels, metric=metric)
    assert_right(np.asarray(found.compute(scheduler="synchronous")), case.X, case.labels, metric)


def check_sweep(case):
    # k-means has no scale of its own.
    largest = np.abs(case.X.astype(float)).max()
    if len(np.unique(case.X, axis=0)) < 4 or not 1e-15 < largest < 1e15:
        return
    sweep = fastsil.KMeansSweep([2, 3], n_init=1, gaps=False, random_state=0, n_jobs=case.n_jobs)
    with forced(case.strategy):
        sweep.fit(case.X)
    for k, labels in sweep.labels_by_k_.items() if hasattr(sweep, "labels_by_k_") else [(0, sweep.labels_)]:
        assert len(labels) == len(case.X), k


# How often each is called.
CHECKS = {
    check_samples: 30,
    check_score: 8,
    check_profile: 10,
    check_many: 10,
    check_guesses: 10,
    check_estimate: 10,
    check_stream: 5,
    check_left_out: 5,
    check_groups: 5,
    check_ceiling: 3,
    check_medoids: 4,
    check_plan: 1,
    check_dask: 0.5,
    check_sweep: 0.2,
}


# Checks that draw another metric than that of the case.
REDRAWN = {check_guesses: ("seuclidean", "mahalanobis"), check_stream: ("cosine", "correlation")}


def run_case(seed, number):
    """Run one case; return what it was, and None or how it failed."""
    rng = np.random.default_rng([seed, number])
    weights = np.array(list(CHECKS.values()))
    check = list(CHECKS)[rng.choice(len(CHECKS), p=weights / weights.sum())]
    case = draw_case(rng)
    before = case.X.tobytes()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"), forced(case.strategy):
            warnings.simplefilter("ignore")
            check(case)
        assert case.X.tobytes() == before, "X was written to"
    except ValueError as error:
        if not any(may_be_refused(case.X, metric, error) for metric in {case.metric, *REDRAWN.get(check, ())}):
            return f"{check.__name__}: {case}", traceback.format_exc()
        return f"{check.__name__} refused", None
    except Exception:
        return f"{check.__name__}: {case}", traceback.format_exc()
    return check.__name__, None


def main(arguments=None):
    """Run cases; return 1 if one fails."""
    parser = argparse.ArgumentParser(description="Check drawn calls against the naive reference.")
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="the number of a case, to run again")
    chosen = parser.parse_args(arguments)
    numbers = range(chosen.cases) if chosen.only is None else [chosen.only]
    done, n_failed = Counter(), 0
    for number in numbers:
        what, failure = run_case(chosen.seed, number)
        if failure:
            n_failed += 1
            print(f"FAILED --seed {chosen.seed} --only {number}: {what}\n{failure}", flush=True)
        else:
            done[what] += 1
    print(f"{len(numbers)} cases, {n_failed} failed: " + ", ".join(f"{n} {what}" for what, n in done.most_common()))
    return int(n_failed > 0)


if __name__ == "__main__":
    sys.exit(main())

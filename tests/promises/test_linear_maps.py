"""Mahalanobis, standardized Euclidean and weights: float32 data have a float32 copy where it costs no digits."""

import logging
import tempfile
from pathlib import Path

import numpy as np
import pytest

import reference
from assertions import assert_same_bits, assert_silhouettes_close, with_peak
from fastsil import (
    silhouette_by,
    silhouette_ceiling,
    silhouette_estimate,
    silhouette_profile,
    silhouette_samples,
    silhouette_samples_many,
)
from fastsil.engines import dispatch, intervals
from fastsil.engines.metric_maps import apply_map, seuclidean_map, standardize, whiten
from fastsil.runtime import memory, temporary_arrays
from fastsil.scoring import by_group, ceiling

N_FEATURES = 16
WEIGHTS = np.geomspace(0.01, 30, N_FEATURES)


def correlated(rng, labels):
    return (rng.normal(size=(labels.max() + 1, N_FEATURES))[labels] + rng.normal(size=(len(labels), N_FEATURES))) @ (
        rng.normal(size=(N_FEATURES, N_FEATURES))
    )


def ill_conditioned(rng, labels):
    rotation = np.linalg.qr(rng.normal(size=(N_FEATURES, N_FEATURES)))[0]
    return correlated(rng, labels) @ (rotation * np.geomspace(1e-2, 1, N_FEATURES)) @ rotation.T


def scales_far_apart(rng, labels):
    return correlated(rng, labels) * np.geomspace(1e-2, 1e2, N_FEATURES)


def offset(rng, labels):
    return 1e4 + correlated(rng, labels)


def an_outlier(rng, labels):
    return correlated(rng, labels) + 1e4 * (np.arange(len(labels)) == 3)[:, None]


def groups_far_apart(rng, labels):
    """Every cluster has its nearest one within a group; groups are a thousand times as far from each other."""
    return rng.normal(size=(len(labels), N_FEATURES)) + 1e3 * (labels // 4)[:, None]


def clusters_that_shrink(rng, labels):
    """Some samples are as far from the origin as from the nearest other cluster, some much farther."""
    at = np.geomspace(1e-1, 1e3, labels.max() + 1)[labels]
    return rng.normal(size=N_FEATURES) * at[:, None] + 0.1 * rng.normal(size=(len(labels), N_FEATURES))


def tiny(rng, labels):
    return 1e-30 * correlated(rng, labels)


DATA = [
    correlated,
    ill_conditioned,
    scales_far_apart,
    offset,
    an_outlier,
    groups_far_apart,
    clusters_that_shrink,
    tiny,
]


def make(data):
    rng = np.random.default_rng(0)
    labels = np.arange(180) % 12
    return data(rng, labels).astype(np.float32), labels


def weighted(p):
    """Return the metric for float32 data, and the same distances as those of the reference."""
    return {"metric": "minkowski", "p": p, "w": WEIGHTS}


CALLS = {
    "mahalanobis": ({"metric": "mahalanobis"}, None),
    "seuclidean": ({"metric": "seuclidean"}, None),
    "seuclidean V": ({"metric": "seuclidean", "V": np.ones(N_FEATURES)}, None),
    "sqeuclidean w": ({"metric": "sqeuclidean", "w": WEIGHTS}, ("sqeuclidean", 2, {})),
    **{f"minkowski {p} w": (weighted(p), ("minkowski", p, {"p": p})) for p in (1, 1.5, 2, 3)},
}


EUCLIDEAN_CALLS = ["mahalanobis", "seuclidean", "seuclidean V", "minkowski 2 w"]


def compute_expected(X, labels, params, as_weights):
    if as_weights is None:
        return reference.silhouette_samples(X, labels, **params)
    metric, p, rest = as_weights
    return reference.silhouette_samples(
        X.astype(reference.WIDE) * WEIGHTS.astype(reference.WIDE) ** (1 / reference.WIDE(p)), labels, metric, **rest
    )


def watch_types(monkeypatch, module, name, place):
    """Types of the data that a function was given, as its argument at some place."""
    seen, original = [], getattr(module, name)

    def spy(*args, **kwargs):
        seen.append(args[place].dtype)
        return original(*args, **kwargs)

    monkeypatch.setattr(module, name, spy)
    return seen


@pytest.fixture
def types(monkeypatch):
    """Types of the data that engines were given."""
    return watch_types(monkeypatch, dispatch, "_run_route", 1)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("call", CALLS)
def test_the_promise_holds_through_maps_of_float32(call, data):
    X, labels = make(data)
    params, as_weights = CALLS[call]
    found = silhouette_samples(X, labels, **params)
    assert_silhouettes_close(found, compute_expected(X, labels, params, as_weights), dtype=np.float32)


@pytest.mark.parametrize("call", CALLS)
def test_a_float32_copy_serves_ordinary_data(call, types):
    for data in (correlated, offset, ill_conditioned):
        types.clear()
        silhouette_samples(*make(data), **CALLS[call][0])
        assert types == [np.float32]


@pytest.mark.parametrize("call", CALLS)
def test_data_that_rounding_would_harm_are_computed_in_float64(call, types, monkeypatch):
    """Without the bound, the promise is broken: it is not there for nothing."""
    X, labels = make(groups_far_apart)
    params, as_weights = CALLS[call]
    if call in ("mahalanobis", "seuclidean"):
        params = {"metric": "seuclidean", "V": np.geomspace(0.5, 2, N_FEATURES)}
    silhouette_samples(X, labels, **params)
    assert types[-1] == np.float64
    monkeypatch.setattr(dispatch, "is_rounding_harmless", lambda *_: True)
    rounded = silhouette_samples(X, labels, **params)
    assert types[-1] == np.float32
    assert np.abs(rounded - compute_expected(X, labels, params, as_weights)).max() > 2e-6


@pytest.fixture
def types_of_moments(monkeypatch):
    """Types of the data that guesses were made from."""
    return watch_types(monkeypatch, intervals, "EuclideanRows", 0)


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("call", EUCLIDEAN_CALLS)
def test_intervals_hold_through_maps_of_float32(call, data):
    X, labels = make(data)
    params, as_weights = CALLS[call]
    expected = compute_expected(X, labels, params, as_weights)
    guessed = silhouette_profile(X, labels, exact=False, **params)
    assert (guessed.lower <= expected).all()
    assert (guessed.upper >= expected).all()
    refined = silhouette_profile(X, labels, exact=False, refine_to=0.0, **params)
    assert_silhouettes_close(refined.silhouettes, expected, dtype=np.float32)


@pytest.mark.parametrize("call", EUCLIDEAN_CALLS)
def test_guesses_of_ordinary_data_are_made_from_a_float32_copy(call, types_of_moments):
    for data in (correlated, offset, ill_conditioned):
        types_of_moments.clear()
        silhouette_profile(*make(data), exact=False, **CALLS[call][0])
        assert types_of_moments == [np.float32]


def test_guesses_of_data_that_rounding_would_harm_are_made_in_float64(types_of_moments, monkeypatch):
    """Without the bound, what is exact breaks the promise."""
    X, labels = make(groups_far_apart)
    params = {"metric": "seuclidean", "V": np.geomspace(0.5, 2, N_FEATURES)}
    silhouette_profile(X, labels, exact=False, **params)
    assert types_of_moments == [np.float32, np.float64]
    monkeypatch.setattr(intervals, "is_rounding_harmless", lambda *_: True)
    rounded = silhouette_profile(X, labels, exact=False, refine_to=0.0, **params).silhouettes
    assert np.abs(rounded - compute_expected(X, labels, params, None)).max() > 2e-6


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize(("metric", "other"), [("mahalanobis", "nearest"), ("seuclidean", "mean")])
def test_the_promise_holds_within_groups(metric, data, other):
    X, labels = make(data)
    labels, groups = labels // 3, np.arange(len(X)) // 60
    V = np.cov(X.T.astype(np.float64)) if metric == "mahalanobis" else X.astype(np.float64).var(axis=0, ddof=1)
    by = silhouette_by(X, labels, groups, metric=metric, V=V, other=other)
    of_float64 = silhouette_by(X.astype(np.float64), labels, groups, metric=metric, V=V, other=other)
    assert_silhouettes_close(by.silhouettes, of_float64.silhouettes, dtype=np.float32)


def test_groups_that_rounding_would_harm_are_computed_in_float64(monkeypatch):
    X, labels = make(groups_far_apart)
    args = X, labels, np.arange(len(X)) // 60
    params = {"metric": "seuclidean", "V": np.geomspace(0.5, 2, N_FEATURES)}
    expected = silhouette_by(X.astype(np.float64), *args[1:], **params).silhouettes
    assert_silhouettes_close(silhouette_by(*args, **params).silhouettes, expected, dtype=np.float32)
    monkeypatch.setattr(by_group, "is_rounding_harmless", lambda *_: True)
    assert np.abs(silhouette_by(*args, **params).silhouettes - expected).max() > 2e-6


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("metric", ["mahalanobis", "seuclidean"])
def test_ceilings_hold_through_maps_of_float32(metric, data):
    X, _ = make(data)
    of_float64 = silhouette_ceiling(X.astype(np.float64), metric=metric, min_cluster_size=5).ceiling
    assert silhouette_ceiling(X, metric=metric, min_cluster_size=5).ceiling == pytest.approx(of_float64, abs=1.2e-6)


def test_a_float32_copy_serves_ceilings_of_samples_about_0():
    X, _ = make(correlated)
    assert ceiling._DistanceRows(X, "mahalanobis", {})._X.dtype == np.float32
    # Far from 0, rounding takes more of the distances.
    centered = X - X.mean(axis=0)
    radius = np.linalg.norm(centered, axis=1).mean()
    shift = radius / np.sqrt(N_FEATURES, dtype=np.float32)
    assert ceiling._are_centered(centered + 1.4 * shift)
    assert not ceiling._are_centered(centered + 1.6 * shift)


def test_several_labelings_share_the_float32_copy(types):
    X, labels = make(correlated)
    together = silhouette_samples_many(X, [labels, labels % 2], metric="seuclidean")
    assert types == [np.float32]
    for found, one in zip(together, (labels, labels % 2), strict=True):
        assert_silhouettes_close(found, reference.silhouette_samples(X, one, "seuclidean"), dtype=np.float32)


def make_many():
    rng = np.random.default_rng(0)
    labels = np.arange(40_000) % 200
    X = (rng.normal(size=(200, N_FEATURES))[labels] + rng.normal(size=(40_000, N_FEATURES))).astype(np.float32)
    return np.tile(X, 4)[:, : 4 * N_FEATURES] + rng.normal(size=(40_000, 4 * N_FEATURES)).astype(np.float32), labels


def measure_peak(call):
    """Compiled code is not the data's memory: the call is made before."""
    call()
    return with_peak(call)[1]


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({"metric": "mahalanobis"}, id="mahalanobis"),
        pytest.param({"metric": "seuclidean"}, id="seuclidean", marks=pytest.mark.slow),
        pytest.param(weighted(2), id="w", marks=pytest.mark.slow),
    ],
)
def test_float32_data_take_half_the_memory(params):
    X, labels = make_many()
    params = {name: np.tile(value, 4) if name == "w" else value for name, value in params.items()}
    peak = measure_peak(lambda: silhouette_samples(X, labels, n_jobs=1, **params))
    by_name = {"mahalanobis": whiten, "seuclidean": standardize}
    mapped = by_name[params["metric"]](X).compute() if params["metric"] in by_name else X * params["w"] ** 0.5
    mapped = mapped.astype(np.float32)
    plain = with_peak(lambda: silhouette_samples(mapped, labels, n_jobs=1))[1]
    assert peak - plain < 1.2 * X.nbytes


SCORES = {
    "an estimate": lambda X, labels, **params: silhouette_estimate(X, labels, tol=0.01, random_state=0, **params),
    "guesses": lambda X, labels, **params: silhouette_profile(X, labels, exact=False, **params),
    "groups": lambda X, labels, **params: silhouette_by(X, labels % 2, labels // 50, **params),
    "a ceiling": lambda X, labels, **params: silhouette_ceiling(X, tol=0.1, random_state=0, **params),
}


@pytest.mark.slow
@pytest.mark.parametrize("score", SCORES)
def test_other_scores_take_no_more_than_a_float32_copy_too(score):
    X, labels = make_many()
    mapped = standardize(X).compute(np.float32)
    peak, plain = (
        measure_peak(lambda: SCORES[score](data, labels, n_jobs=1, metric=metric))  # noqa: B023
        for data, metric in ((X, "seuclidean"), (mapped, "euclidean"))
    )
    assert peak - plain < 1.2 * X.nbytes


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_memory_has_no_room_for_is_mapped_from_a_file(dtype, monkeypatch, caplog, tmp_path):
    """The same bits, a line in the log, and no file stays."""
    X, labels = make(correlated)
    X = X.astype(dtype)
    expected = silhouette_samples(X, labels, metric="seuclidean")
    monkeypatch.setattr(memory, "_SMALL", 0)
    monkeypatch.setattr(memory, "available_bytes", lambda: X.nbytes - 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with caplog.at_level(logging.WARNING, "fastsil"):
        found = silhouette_samples(X, labels, metric="seuclidean")
    assert_same_bits(found, expected)
    assert [f"a temporary file in {tmp_path}" in record.getMessage() for record in caplog.records] == [True]
    assert list(tmp_path.iterdir()) == []


def test_a_mapped_copy_lies_in_the_folder_of_the_data(monkeypatch, caplog, tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "X.npy", rng.normal(size=(90, 10)))
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    W = seuclidean_map(X)
    expected = apply_map(X, W)
    monkeypatch.setattr(memory, "_SMALL", 0)
    monkeypatch.setattr(memory, "available_bytes", lambda: 0)
    with caplog.at_level(logging.WARNING, "fastsil"):
        found = apply_map(X, W)
    assert temporary_arrays.find_mapped_file(found) is not None
    assert str(tmp_path) in caplog.text
    assert_same_bits(np.asarray(found), expected)


def test_folders_that_are_memory_are_no_place_for_such_files(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    monkeypatch.setattr(temporary_arrays, "_MOUNTS", mounts)
    assert not temporary_arrays._is_memory(tmp_path)  # no such list on other systems
    mounts.write_text(f"disk {tmp_path} ext4 rw 0 0\nmemory /nowhere tmpfs rw 0 0\n")
    assert not temporary_arrays._is_memory(tmp_path)
    mounts.write_text(f"memory {tmp_path} tmpfs rw 0 0\n")
    assert temporary_arrays._is_memory(tmp_path)
    nothing = np.empty(0)
    monkeypatch.setattr(temporary_arrays, "_is_memory", lambda folder: True)
    assert temporary_arrays.write_array(Path.write_bytes, (0,), float, near=nothing, words="%f %s") is None


def test_the_profile_says_what_the_samples_say():
    X, labels = make(correlated)
    profile = silhouette_profile(X, labels, metric="mahalanobis")
    assert_same_bits(profile.silhouettes, silhouette_samples(X, labels, metric="mahalanobis"))
    assert profile.a.dtype == np.float64

"""Estimates from a pool of rows hold the score of all rows, with certain bounds on what the draw of the pool adds."""

import numpy as np
import pytest

from fastsil import silhouette_profile

da = pytest.importorskip("dask.array", exc_type=ImportError)
dask = pytest.importorskip("dask")

from fastsil.dask_arrays import check_samples, pooled_rows  # noqa: E402

DELTA = 0.1
REPEATS = 1000


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def share_missed(errors, n_draws, factor=1.0):
    """Return the share of pools whose mean error is further from that of all rows than a part of the bound."""
    random, missed, radii = np.random.default_rng(0), 0, np.abs(errors)
    for _ in range(REPEATS):
        drawn = random.integers(len(errors), size=n_draws)
        intervals = np.array([-1, 0, 1]) * radii[drawn, None]
        bound = factor * pooled_rows.bound_pool_error(intervals, DELTA)
        missed += abs(errors[drawn].mean() - errors.mean()) > bound
    return missed / REPEATS


def test_the_bound_holds_and_is_not_much_too_wide():
    errors = np.random.default_rng(1).choice([-0.8, 0.8], size=50_000)
    assert share_missed(errors, 4000) <= DELTA < share_missed(errors, 4000, factor=0.4)


def test_the_bound_holds_rare_errors():
    """Of 400 draws, one in seven pools has none of them, and then nothing shows that there are any."""
    errors = np.zeros(4000)
    errors[:20] = 1.0
    assert share_missed(errors, 400) <= DELTA


@pytest.mark.parametrize("n_pool", [700, 5000])
def test_a_pool_has_the_guesses_and_silhouettes_of_its_rows(n_pool, monkeypatch):
    monkeypatch.setattr(pooled_rows, "_MOST_ROWS", n_pool)
    random = np.random.default_rng(0)
    labels = random.integers(4, size=1500).astype(np.int32)
    X = (random.normal(size=(1500, 6)) + 2 * random.normal(size=(4, 6))[labels]).astype(np.float32)
    labels[labels == 2] = 7
    blocks = check_samples(da.from_array(X, chunks=(400, -1)))
    pool = pooled_rows.PooledRows(blocks, da.from_array(labels, chunks=400), np.random.default_rng(3))
    whole = silhouette_profile(X, labels)
    assert pool.is_whole == (n_pool > 1500)
    assert pool.partition.n_samples == min(n_pool, 1500)
    rows = pool._rows[pool.partition.order]
    np.testing.assert_array_equal(pool.partition.classes[pool.partition.codes[pool.partition.order]], labels[rows])
    lower, guess, upper = pool.intervals().T
    assert (lower <= whole.silhouettes[rows]).all()
    assert (whole.silhouettes[rows] <= upper).all()
    positions = np.array([0, 1, 300, 301, 650])
    np.testing.assert_allclose(pool.exact(positions), whole.silhouettes[rows[positions]], atol=2e-6)
    # What is taken from the pool's means of the guesses and given to those of all rows.
    score, macro, share = pool.correct()
    of_all = silhouette_profile(da.from_array(X, chunks=(400, -1)), labels, exact=False)
    assert guess.mean() + score == pytest.approx(of_all.score, abs=1e-6)
    assert pool.partition.means(pool.guesses.intervals[:, 1]).mean() + macro == pytest.approx(
        of_all.macro_score, abs=1e-6
    )
    assert (guess < 0).mean() + share == pytest.approx(of_all.n_negative / 1500, abs=1e-6)
    assert (pool.bound_error(0.01) == 0) == pool.is_whole

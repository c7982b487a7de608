"""The number of directions in a basis that all clusters share: the work that it saves, compared with its cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastsil.engines.scaling import ScaledData
from fastsil.validation.partition import Partition

# Numbers of directions to choose from for each of the bases that all clusters share, from the first to the last: each
# is made where it saves more than it costs. With no more features than directions the covariances are known in full.
SHARED_DIRECTIONS = ((32, 64), (128,))
# Bytes of their forms, p² numbers for each cluster, at most; p is a multiple of the unit: kernels
# take vectors by two and by four.
_FORMS_BYTES = 16 << 20
_UNIT = 16
# Samples that a search for directions looks at, and its rounds.
SEARCH_MEMBERS = 2048
SEARCH_ROUNDS = 2
# Candidates that are left in the end on data of all kinds, and the share of the others that a basis is expected to
# exclude: one of 128 directions comes second and finds less, one of all directions more. Measured for n = 20,000 to
# 200,000, d = 128 to 768: 32 directions exclude 0.9 of what can be excluded, 64 half of the rest, 128 a third of that.
_CANDIDATES_LEFT = 1.3
_EXPECTED_SHARE = {32: 0.5, 64: 0.56, 128: 0.3}
_MORE_BY_ALL = 0.1
# Both sides of a pair cost a little more than one.
_SYMMETRIC_COST = 1.1
# Cost of a product of the loops over covariances, in products of a tile; of a candidate on top of a product for
# each entry of its form; and of the loops that make a cluster's form for each entry. Set so that they reproduce the
# measurements at n = 100,000, d = 128, k = 100 in float32: 128 directions there save 0.09 s in the tiles and cost 0.2.
_LOOP_COST = 3
_CANDIDATE_COST = 3000
_INNER_COST = 30
# Cost of tighter norms outside a basis: of gathering and turning a value, in products, and of a product of their small
# tiles. Measured for n = 40,000 to 200,000, d = 64 to 1280, k = 10 to 200, on one thread.
_TURN_COST = 150
_NORM_COST = 1.5
# Bytes of the covariances, and of their parts outside the basis, that are held for them at a time, and of one at most.
_COVARIANCES_BYTES = (8 << 20, 26 << 20)
# On top of its products a pair costs a square root, sums and its share of gathering rows, as many features as this; the
# costs above hold for 128 features, where that is in them, and below a pair that is left out is worth more. With it
# n = 20,000, d = 32, k = 100 computes 2 to 3 % of the pairs instead of 16.
_PAIR_FEATURES = 200
_MEASURED_FEATURES = 128
# Cost of a candidate on top of its pairs, in pairs, for gathering the sample and for tiles that clusters do not
# fill, and as many products of a tile, for bookkeeping. Measured with clusters of ten.
_CANDIDATE_PAIRS = 50
_CANDIDATE_PRODUCTS = 20_000
# Products that take as long as the root and the sums of a pair.
_PAIR_PRODUCTS = 100


class CandidateCount(NamedTuple):
    """Work that bounds leave."""

    candidates: float  # a sample
    pairs: float  # a sample

    def in_pairs(self, n_features: int) -> float:
        """Convert the work to the number of pairs of large tiles that take as long."""
        return self.pairs + self.candidates * (_CANDIDATE_PAIRS + _CANDIDATE_PRODUCTS / (n_features + _PAIR_PRODUCTS))


def count_symmetric_pairs(partition: Partition) -> float:
    """Return the work of all pairs between clusters, each for both sides, in pairs for one side a sample."""
    squares = float((partition.sizes.astype(np.float64) ** 2).sum())
    return _SYMMETRIC_COST * (partition.n_samples - squares / partition.n_samples) / 2


def choose_basis_size(data: ScaledData, choice: tuple[int, ...], load: CandidateCount) -> int:
    """Choose the number of directions of a basis that all clusters share, given the work without it; 0 for no basis.

    Costs are counted in products of n_features a sample.
    """
    n_features = data.X.shape[1]
    most_vectors = most_directions(data.partition.n_clusters, n_features, data.dtype.itemsize)
    superfluous = _superfluous_pairs(data, load)
    worth = max(1.0, (1 + _PAIR_FEATURES / n_features) / (1 + _PAIR_FEATURES / _MEASURED_FEATURES))
    best, most = 0, 0.0
    for wanted in choice:
        n_vectors = min(wanted, most_vectors)
        share = _EXPECTED_SHARE[wanted] + (_MORE_BY_ALL if n_features <= n_vectors else 0.0)
        saved = worth * share * superfluous - _basis_cost(data, n_vectors, load)
        if n_vectors > 0 and saved > most:
            best, most = n_vectors, saved
    return best


def tighter_norms_pay(
    data: ScaledData, n_vectors: int, load: CandidateCount, find_least: Callable[[], CandidateCount]
) -> bool:
    """Return whether tighter norms of the covariances outside a basis save more than they cost.

    Parameters
    ----------
    data : ScaledData
        Samples and partition.
    n_vectors : int
        Directions of the basis.
    load : CandidateCount
        The work without them.
    find_least : callable
        Returns about the work with them; called only if it may be worth it.
    """
    n_samples, n_features = data.X.shape
    squares = data.partition.n_clusters * n_features * (n_features / 2 + 2 * n_vectors) / n_samples
    cost = _TURN_COST + _NORM_COST * (n_features / 2 + squares)
    if covariances_at_once(n_features, data.dtype.itemsize) == 0 or _superfluous_pairs(data, load) <= cost:
        return False
    return bool(load.in_pairs(n_features) - find_least().in_pairs(n_features) > cost)


def covariances_at_once(n_features: int, itemsize: int) -> int:
    """Return how many covariances are held at a time for tighter norms; 0 where one takes too much."""
    usual, most = _COVARIANCES_BYTES
    of_one = (8 + itemsize) * n_features**2
    return max(1, usual // of_one) if of_one <= most else 0


def most_directions(n_clusters: int, n_features: int, itemsize: int) -> int:
    """Return the largest allowed number of directions, a multiple of the unit; 0 where forms of the least one take too
    much.
    """
    largest = int(np.sqrt(_FORMS_BYTES / (itemsize * n_clusters)))
    return min(-(-n_features // _UNIT), largest // _UNIT) * _UNIT


def _superfluous_pairs(data: ScaledData, load: CandidateCount) -> float:
    """Return the work, in pairs a sample, that better bounds may save. If nothing can be excluded, all pairs are
    computed, and no more.
    """
    n_features = data.X.shape[1]
    needed = CandidateCount(_CANDIDATES_LEFT, _CANDIDATES_LEFT * _typical_size(data.partition.sizes))
    return min(load.in_pairs(n_features), float(data.partition.n_samples)) - needed.in_pairs(n_features)


def _basis_cost(data: ScaledData, n_vectors: int, load: CandidateCount) -> float:
    n_samples, n_features = data.X.shape
    search = 0.0 if n_features <= n_vectors else SEARCH_ROUNDS * min(1.0, SEARCH_MEMBERS / n_samples)
    cost = n_vectors * (1 + 2 * _LOOP_COST * (1 + search))
    # Its inner products with Σ times itself, for each cluster.
    cost += _INNER_COST * n_vectors**2 * data.partition.n_clusters / n_samples
    cost += load.candidates * (_CANDIDATE_COST + n_vectors**2) / n_features
    return float(cost)


def _typical_size(sizes: NDArray[np.intp]) -> float:
    """Return the mean over samples of the size of their cluster."""
    return float(np.sum(sizes.astype(np.float64) ** 2) / sizes.sum())

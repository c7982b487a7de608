"""The naive twins: what every fast function must equal.

NumPy only, nothing of fastsil, plain differences, one row at a time, in extended precision where the machine has it.
Function names are those of the engines and kernels. Nothing here is fast and nothing here is clever.

Kernels write into what they are given; their twins return it, and know nothing of tiles, blocks, scratch memory or
early exits. Where a kernel bounds a value, its twin gives the value.

The terms of a sample x of cluster A: ``a`` is the mean distance to the other members of A, ``b`` the smallest mean
distance to another cluster, and ``s = (b - a) / max(a, b)``; 0 where A has one member or where a = b = 0. With weights,
a mean distance is a weighted one, and of the sample itself the weight above 1 is left, at distance 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# 64 binary digits on x86, 113 or 53 elsewhere; 53 still give 1e-12 on everything here.
WIDE = np.longdouble


class Terms(NamedTuple):
    """``means[i, c]``: mean distance from sample i to cluster c, for the own cluster over the other members."""

    a: np.ndarray
    b: np.ndarray
    neighbor: np.ndarray
    means: np.ndarray


def euclidean_row(x, Y):
    return np.sqrt(((Y - x) ** 2).sum(axis=1))


def sqeuclidean_row(x, Y):
    return ((Y - x) ** 2).sum(axis=1)


def manhattan_row(x, Y):
    return np.abs(Y - x).sum(axis=1)


def chebyshev_row(x, Y):
    return np.abs(Y - x).max(axis=1)


def hamming_row(x, Y, w=1):
    w = np.broadcast_to(w, x.shape)
    return ((x != Y) * w).sum(axis=1, dtype=WIDE) / w.sum()


def canberra_row(x, Y, w=1):
    sizes = np.abs(x) + np.abs(Y)
    return (w * np.abs(Y - x) / np.where(sizes > 0, sizes, 1)).sum(axis=1)


def braycurtis_row(x, Y, w=1):
    """Of two rows of zeros, NaN; of x and -x, infinite."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return (w * np.abs(Y - x)).sum(axis=1) / (w * np.abs(Y + x)).sum(axis=1)


def minkowski_row(x, Y, p, w=1):
    return (w * np.abs(Y - x) ** p).sum(axis=1) ** (1 / p)


def cosine_row(x, Y):
    """1 - cos(x, y); rows are made unit length first, and 1 - u.v is taken as |u - v|² / 2, which keeps digits."""
    u, V = unit_rows(x[None])[0], unit_rows(Y)
    row = ((V - u) ** 2).sum(axis=1) / 2
    # A row of zeros has similarity 0 to every other row, and distance 0 to itself: scikit-learn's convention.
    row[(V == 0).all(axis=1)] = 1
    if not u.any():
        row[:] = 1
    return row


def correlation_row(x, Y):
    return cosine_row(x - x.mean(), Y - Y.mean(axis=1, keepdims=True))


def mahalanobis_row(x, Y, VI):
    difference = Y - x
    return np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", difference, VI, difference), 0))


def seuclidean_row(x, Y, V):
    return np.sqrt(((Y - x) ** 2 / V).sum(axis=1))


_ROWS = {
    "euclidean": euclidean_row,
    "l2": euclidean_row,
    "sqeuclidean": sqeuclidean_row,
    "manhattan": manhattan_row,
    "cityblock": manhattan_row,
    "l1": manhattan_row,
    "chebyshev": chebyshev_row,
    "hamming": hamming_row,
    "canberra": canberra_row,
    "braycurtis": braycurtis_row,
    "minkowski": minkowski_row,
    "cosine": cosine_row,
    "correlation": correlation_row,
    "mahalanobis": mahalanobis_row,
    "seuclidean": seuclidean_row,
}


def pairwise_distances(X, metric="euclidean", *, sample_weight=None, **params):
    """All distances, shape (n_samples, n_samples); the diagonal is 0."""
    X = np.asarray(X).astype(WIDE)
    if metric == "precomputed":
        return X
    if metric == "mahalanobis" and "VI" not in params:
        params = {"VI": inverse(params.get("V", covariance(X, sample_weight)))}
    if metric == "seuclidean" and "V" not in params:
        params = {"V": np.diag(covariance(X, sample_weight))}
    params = {name: np.asarray(value, dtype=WIDE) for name, value in params.items()}
    distances = np.stack([_ROWS[metric](x, X, **params) for x in X])
    np.fill_diagonal(distances, 0)
    return distances


def compute_terms(X, codes, metric="euclidean", *, sample_weight=None, **params):
    """Mean distances of every sample; ``codes`` are labels 0 to n_clusters - 1, each of which occurs."""
    distances = pairwise_distances(X, metric, sample_weight=sample_weight, **params)
    codes = np.asarray(codes)
    n_samples, n_clusters = len(codes), int(codes.max()) + 1
    weights = np.ones(n_samples, WIDE) if sample_weight is None else np.asarray(sample_weight, dtype=WIDE)
    members = [np.flatnonzero((codes == c) & (weights > 0)) for c in range(n_clusters)]
    means = np.zeros((n_samples, n_clusters), dtype=WIDE)
    for i in range(n_samples):
        for c in range(n_clusters):
            others = members[c][members[c] != i]
            total = weights[others].sum() + weight_of_repetitions(i, c, codes, weights)
            nothing = 0 if c == codes[i] else np.inf
            means[i, c] = (distances[i, others] * weights[others]).sum() / total if total > 0 else nothing
    a = means[np.arange(n_samples), codes]
    elsewhere = means.copy()
    elsewhere[np.arange(n_samples), codes] = np.inf
    return Terms(a=a, b=elsewhere.min(axis=1), neighbor=elsewhere.argmin(axis=1), means=means)


def weight_of_repetitions(i, c, codes, weights):
    """What is left of the weight of a sample in its own cluster when it is taken out once."""
    return max(weights[i] - 1, 0) if c == codes[i] else 0


def is_alone(codes, sample_weight=None):
    """Which samples have no companion in their cluster, not even a repetition of their own."""
    codes = np.asarray(codes)
    weights = np.ones(len(codes)) if sample_weight is None else np.asarray(sample_weight)
    others = [
        np.count_nonzero((codes == code) & (weights > 0) & (np.arange(len(codes)) != i)) for i, code in enumerate(codes)
    ]
    return (np.array(others) == 0) & (weights <= 1)


def compute_center_terms(X, codes, centers, metric="euclidean", **params):
    """Distances to centers in place of mean distances; by default to the means, of directions for cosine."""
    X, codes = np.asarray(X).astype(WIDE), np.asarray(codes)
    n_clusters = int(codes.max()) + 1
    if centers is None:
        points = {"cosine": unit_rows, "correlation": lambda X: unit_rows(X - X.mean(axis=1, keepdims=True))}
        points = points.get(metric, np.asarray)(X)
        centers = np.stack([points[codes == c].sum(axis=0) / np.count_nonzero(codes == c) for c in range(n_clusters)])
    means = np.stack([_ROWS[metric](x, np.asarray(centers).astype(WIDE), **params) for x in X])
    rows = np.arange(len(X))
    elsewhere = means.copy()
    elsewhere[rows, codes] = np.inf
    return Terms(a=means[rows, codes], b=elsewhere.min(axis=1), neighbor=elsewhere.argmin(axis=1), means=means)


def bound_rows(distances, own, fewest, most):
    """The highest silhouette of a sample: its m nearest in its cluster, all of the rest in another one."""
    ceilings = []
    for row, i in zip(np.asarray(distances, dtype=WIDE), own, strict=True):
        others = np.sort(np.delete(row, i))
        found = [0.0]
        for m in range(fewest, most + 1):
            a, b = others[:m].mean(), others[m:].mean()
            found.append((b - a) / b if b > 0 else 0.0)
        ceilings.append(max(found))
    return np.array(ceilings)


def compute_silhouettes(a, b, codes, sample_weight=None):
    """The last formula, sample by sample."""
    silhouettes = np.zeros(len(codes), dtype=WIDE)
    for i, alone in enumerate(is_alone(codes, sample_weight)):
        larger = max(a[i], b[i])
        if not alone and larger > 0:
            silhouettes[i] = (b[i] - a[i]) / larger
    return silhouettes


def silhouette_samples(X, labels, metric="euclidean", *, sample_weight=None, **params):
    codes = np.unique(np.asarray(labels), return_inverse=True)[1]
    terms = compute_terms(X, codes, metric, sample_weight=sample_weight, **params)
    return compute_silhouettes(terms.a, terms.b, codes, sample_weight)


def silhouette_score(X, labels, metric="euclidean", average="micro", *, sample_weight=None, **params):
    labels = np.asarray(labels)
    weights = np.ones(len(labels), WIDE) if sample_weight is None else np.asarray(sample_weight, dtype=WIDE)
    silhouettes = silhouette_samples(X, labels, metric, sample_weight=sample_weight, **params)
    if average == "micro":
        return np.average(silhouettes, weights=weights)
    groups = [labels == label for label in np.unique(labels)]
    return np.mean([np.average(silhouettes[of], weights=weights[of]) for of in groups if weights[of].any()])


def unit_rows(X):
    X = np.asarray(X).astype(WIDE)
    norms = np.sqrt((X**2).sum(axis=1, keepdims=True))
    return X / np.where(norms == 0, 1, norms)


def covariance(X, sample_weight=None):
    """Covariance of the columns, n - 1 in the denominator; a row counts as often as its weight says."""
    X = np.asarray(X).astype(WIDE)
    weights = np.ones(len(X), WIDE) if sample_weight is None else np.asarray(sample_weight, dtype=WIDE)
    centered = X - weights @ X / weights.sum()
    return (weights * centered.T) @ centered / (weights.sum() - 1)


def inverse(matrix):
    """Gauss-Jordan with row pivots, because NumPy's own has no extended precision."""
    work = np.array(matrix, dtype=WIDE)
    size = len(work)
    work = np.hstack([work, np.eye(size, dtype=WIDE)])
    for column in range(size):
        pivot = column + int(np.abs(work[column:, column]).argmax())
        work[[column, pivot]] = work[[pivot, column]]
        work[column] /= work[column, column]
        for row in range(size):
            if row != column:
                work[row] -= work[row, column] * work[column]
    return work[:, size:]


# Twins of fastsil.kernels.euclidean


def products(X, Y, origin):
    """Inner products of all rows of X with all rows of Y, relative to an origin."""
    return (np.asarray(X).astype(WIDE) - origin) @ (np.asarray(Y).astype(WIDE) - origin).T


def distances_between(X, Y):
    return np.stack([euclidean_row(x, np.asarray(Y).astype(WIDE)) for x in np.asarray(X).astype(WIDE)])


def add_distances_within(members, origin, weights=1):
    """(sum of the distances from each member to all, sum of (x.y)² over all ordered pairs)."""
    weights = np.broadcast_to(weights, len(members)).astype(WIDE)
    squares = products(members, members, origin) ** 2
    return distances_between(members, members) @ weights, weights @ squares @ weights


def add_distances_between(rows, columns, origin, row_weights=1, column_weights=1):
    """(sums over the columns for each row, over the rows for each column, sum of (x.y)² over both orders)."""
    distances, squares = distances_between(rows, columns), products(rows, columns, origin) ** 2
    row_weights = np.broadcast_to(row_weights, len(rows)).astype(WIDE)
    column_weights = np.broadcast_to(column_weights, len(columns)).astype(WIDE)
    return distances @ column_weights, row_weights @ distances, 2 * (row_weights @ squares @ column_weights)


def add_distances_to(rows, columns, weights=1):
    return distances_between(rows, columns) @ np.broadcast_to(weights, len(columns)).astype(WIDE)


def add_distances_by_groups(rows, columns, row_groups, column_groups, n_groups, row_weights=1, column_weights=1):
    """(sums over each group of columns for each row, over each group of rows for each column)."""
    distances = distances_between(rows, columns)
    to_columns, to_rows = distances * column_weights, (distances.T * row_weights).T
    of_rows, of_columns = np.zeros((n_groups, len(rows)), WIDE), np.zeros((n_groups, len(columns)), WIDE)
    for group in range(n_groups):
        of_rows[group] = to_columns[:, column_groups == group].sum(axis=1)
        of_columns[group] = to_rows[row_groups == group].sum(axis=0)
    return of_rows, of_columns


def fill_squares_to_centers(rows, centers, vectors, origin):
    """(squared distances to the centers, squared distances to the origin, components of x - origin)."""
    rows = np.asarray(rows).astype(WIDE)
    u = rows - origin
    squares = np.stack([sqeuclidean_row(row, centers) for row in rows])
    return squares, (u**2).sum(axis=1), u @ np.asarray(vectors).astype(WIDE).T


def fill_components(rows, center, vectors):
    """(components of x - center along the vectors, its squared length)."""
    u = np.asarray(rows).astype(WIDE) - center
    return u @ np.asarray(vectors).astype(WIDE).T, (u**2).sum(axis=1)


def sort_by_cluster(clusters):
    """Indices that sort clusters; those that tie stay in their order."""
    return np.argsort(clusters, kind="stable")


# Twins of fastsil.kernels.moments


def bound_pairs(X, clusters, centers, vectors):
    """Yield what the bounds of each pair of a sample and a cluster rest on: components and |u|²."""
    for x, cluster in zip(X, clusters, strict=True):
        yield fill_components(x[None], centers[cluster], vectors[cluster])


def add_differences(members, scale, origin, weights=1):
    return ((np.asarray(members).astype(WIDE) * scale - origin).T * weights).sum(axis=1)


def add_radial_moments(members, scale, center, weights=1):
    """(sum of r² u, (sum of r², sum of r⁴)) for u = x * scale - center and r = |u|."""
    u = np.asarray(members).astype(WIDE) * scale - center
    squares = (u**2).sum(axis=1)
    return (weights * squares) @ u, np.array([(weights * squares).sum(), (weights * squares**2).sum()])


def add_covariance_products(members, scale, center, basis, weights=1):
    u = np.asarray(members).astype(WIDE) * scale - center
    return basis @ (weights * u.T) @ u


# Twins of fastsil.kernels.bounds


def bound_mean_distance(x, members, weights=None):
    """The mean distance itself."""
    distances = euclidean_row(np.asarray(x).astype(WIDE), np.asarray(members).astype(WIDE))
    return np.average(distances, weights=weights)


def select_by_centers(x, own, X, codes):
    """The nearest other cluster, which has to be among the candidates, and the mean distance to it."""
    means = [
        np.inf if code == own else bound_mean_distance(x, X[codes == code]) for code in range(int(codes.max()) + 1)
    ]
    return int(np.argmin(means)), min(means)


def find_best_candidates(row, cluster, guess):
    """Cluster of the least guess of each row; of those that tie, the first."""
    return np.array([min(zip(guess[row == i], cluster[row == i], strict=True))[1] for i in range(row.max() + 1)])


def exclude_by_shared_basis(x, own, X, codes):
    """As select_by_centers."""
    return select_by_centers(x, own, X, codes)


# Twins of fastsil.kernels.approximation


def largest_square(X, scale, center):
    return ((np.asarray(X).astype(WIDE) * scale - center) ** 2).sum(axis=1).max(initial=0)


def factor_matrix(vectors):
    """The matrix that any factor must give again, from vectors that it is made of."""
    wide = np.asarray(vectors).astype(WIDE)
    return wide.T @ wide


def bound_and_guess(x, members, weights=None):
    """The mean distance itself; of a member, ``members`` are the others."""
    return bound_mean_distance(x, members, weights)


# Twins of fastsil.kernels.manhattan


def gather_column_sparse(dense, feature):
    return dense[:, feature]


def add_differences_sorted(X, groups, first, n_groups, weights=1):
    """Sum of |x_j - y_j| over the features and the members y of each group of a range, (n_samples, n_groups)."""
    X, weights = np.asarray(X).astype(WIDE), np.broadcast_to(weights, len(X))
    sums = np.zeros((len(X), n_groups), dtype=WIDE)
    for i, x in enumerate(X):
        for group in range(n_groups):
            members = groups == first + group
            sums[i, group] = manhattan_row(x, X[members]) @ weights[members]
    return sums


# Twins of fastsil.kernels.weights


def take_weight(weights, i):
    return weights[i]


def take_weights(weights, start):
    return weights[start:]


def weigh(value, weight):
    return value * weight


# Twins of fastsil.kernels.nearest


def keep_nearest(sums, groups, totals, own_totals=None):
    """(mean over the other members of the own group, smallest mean over another group, that group)."""
    means = sums / totals[:, None]
    samples = np.arange(len(groups))
    own = sums[groups, samples] / (np.maximum(totals[groups] - 1, 1) if own_totals is None else own_totals)
    means[groups, samples] = np.inf
    return own, means.min(axis=0), means.argmin(axis=0)


def keep_nearer(rows, groups, means, b, neighbor):
    """(smallest mean of each row, its group): of groups that tie, the first."""
    pairs = [*zip(rows, means, groups, strict=True), *zip(range(len(b)), b, neighbor, strict=True)]
    nearest = [min((mean, group) for row, mean, group in pairs if row == i) for i in range(len(b))]
    return np.array(nearest).T


def keep_least(rows, groups, means, n_rows):
    """(least lower bound, guess, not above it least upper bound) of each row, and the group of the least guess."""
    least = np.stack([means[rows == i].min(axis=0) for i in range(n_rows)])
    nearest = [groups[rows == i][means[rows == i, 1].argmin()] for i in range(n_rows)]
    least[:, 1] = np.minimum(least[:, 1], least[:, 2])
    return least, np.array(nearest)


# Twins of fastsil.kernels.precomputed


def sum_rows(distances, groups, n_groups, weights=None):
    """(n_groups, n_rows) sum of each row over the columns of each group; the smallest distance."""
    distances = np.asarray(distances).astype(WIDE)
    weighted = distances if weights is None else distances * weights
    return np.stack([weighted[:, groups == group].sum(axis=1) for group in range(n_groups)]), distances.min()


def sum_columns(distances, groups, n_groups, weights=None):
    return sum_rows(distances, groups, n_groups, weights)


def sum_columns_many(distances, groupings, n_groups, weights=None):
    """One grouping below the other."""
    return np.concatenate([sum_rows(distances, groups, n_groups, weights)[0] for groups in groupings]), distances.min()


def sum_rows_sparse(distances, groups, n_groups, weights=None):
    return sum_rows(distances, groups, n_groups, weights)


# Twins of fastsil.kernels.linear. A row is seen as z = (x - shift) * scale.


def seen_rows(X, shift, scale):
    return (np.asarray(X).astype(WIDE) - shift[:, None]) * scale[:, None]


def measure_lengths(X):
    """1 / length of each row, 0 for a row of zeros."""
    lengths = np.sqrt((np.asarray(X).astype(WIDE) ** 2).sum(axis=1))
    return np.where(lengths == 0, 0, 1 / np.where(lengths == 0, 1, lengths))


def measure_spreads(X):
    """(mean over features, 1 / length of the rest) of each row; 0 where all entries are equal."""
    X = np.asarray(X).astype(WIDE)
    means = X.mean(axis=1)
    inverse_lengths = measure_lengths(X - means[:, None])
    inverse_lengths[(X[:, :1] == X).all(axis=1)] = 0
    return means, inverse_lengths


def sum_offsets_pieces(Z, origin, weights=1):
    """(sum of z - origin, sum of |z - origin|²) over the rows of one piece."""
    offsets = Z - origin
    return (offsets.T * weights).sum(axis=1), ((offsets**2).T * weights).sum()


def pack_rows(Z, origin):
    """(z - origin, its squared length)."""
    return Z - origin, ((Z - origin) ** 2).sum(axis=1)


def multiply_rows(X, Y):
    return np.asarray(X).astype(WIDE) @ np.asarray(Y).astype(WIDE).T


def bound_values(Z, means, weights, constants):
    """The values themselves: weight * |z - mean|² + constant, (n_rows, n_centers)."""
    squares = np.stack([sqeuclidean_row(z, means) for z in Z])
    return squares * weights + constants


def choose_nearest(Z, groups, means, weights, constants, own_factors):
    """(value for the own group times its factor, smallest value for another group, that group)."""
    values = bound_values(Z, means, weights, constants)
    rows = np.arange(len(Z))
    own = values[rows, groups] * own_factors[groups]
    values[rows, groups] = np.inf
    return own, values.min(axis=1), values.argmin(axis=1)


def find_nearest_rows(Z, groups, means, weights, constants, own_factors):
    """The same for any number of rows."""
    return choose_nearest(Z, groups, means, weights, constants, own_factors)


def orthonormalize_rows(vectors):
    """Rows made orthonormal one after the other; 0 where a row depends on the ones before."""
    done = []
    for row in np.array(vectors, dtype=np.longdouble):
        left = row.copy()
        for _ in range(3):
            for earlier in done:
                left = left - (earlier @ left) * earlier
        dependent = left @ left <= np.longdouble(1e-20) * (row @ row)
        done.append(np.zeros_like(left) if dependent else left / np.sqrt(left @ left))
    return np.array(done)


def turn_members(members, scale, center):
    return (np.asarray(members).astype(WIDE) * scale - center).T


def fill_inner_products(left, right):
    return np.array([[np.sum(a * b) for b in right] for a in left])


def combine_rows(weights, vectors):
    return np.array([sum(w * v for w, v in zip(row, vectors, strict=True)) for row in weights])


def diagonalize(matrix):
    """Eigenvalues, ascending, and eigenvectors as rows."""
    values, vectors = np.linalg.eigh(matrix)
    return values, vectors.T


# Twins of fastsil.kernels.coordinatewise and fastsil.kernels.sparse


def add_distances(metric, X, codes, rows, columns, first, n_range, *, sample_weight=None, **params):
    """Sums to clusters ``first``, ... over the pairs of two ranges, samples sorted by cluster; Hamming counts."""
    X = np.asarray(X).astype(WIDE)
    weights = np.ones(len(X)) if sample_weight is None else sample_weight
    sums = np.zeros((n_range, len(X)), dtype=WIDE)
    for i in range(*rows):
        for j in range(*columns):
            distance = _ROWS[metric](X[i], X[j : j + 1], **params)[0] if i != j else 0
            distance *= np.broadcast_to(params.get("w", 1), X.shape[1]).sum() if metric == "hamming" else 1
            for to, place in [(j, i)] if rows == columns else [(j, i), (i, j)]:
                if first <= codes[to] < first + n_range and weights[to] > 0:
                    sums[codes[to] - first, place] += distance * weights[to]
    return sums


def add_distances_sparse(X, codes, rows, columns, first, n_range, sample_weight=None):
    return add_distances("euclidean", X, codes, rows, columns, first, n_range, sample_weight=sample_weight)


def bin_between_centers(X, centers, n_bins):
    """Bin of each row for each pair of centers; -1 where its foot point is nearer to a third center, or too far out."""
    k = len(centers)
    pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
    bins = np.full((len(X), len(pairs)), -1)
    for row, x in enumerate(X):
        for pair, (i, j) in enumerate(pairs):
            line = centers[j] - centers[i]
            if not line.any():
                continue
            place = (x - (centers[i] + centers[j]) / 2) @ line / (line @ line)
            foot = x - place * line
            nearest = ((foot - centers[i]) ** 2).sum()
            third = [((foot - centers[other]) ** 2).sum() for other in range(k) if other not in (i, j)]
            if -1 <= place < 1 and all(nearest <= square for square in third):
                bins[row, pair] = int(np.floor((place + 1) * n_bins / 2))
    return bins


def count_bins(bins, n_bins):
    return np.array([[(column == place).sum() for place in range(n_bins)] for column in bins.T])


def sum_bin_weights(bins, weights):
    return np.array([sum(weights[pair, place] for pair, place in enumerate(row) if place >= 0) for row in bins])


def run_lloyd(X, max_iter, centers):
    """Centers, labels, and the sum of squares about the centers that the labels are nearest to."""
    centers, labels = centers.copy(), None
    for _ in range(max_iter):
        squares = np.array([[((x - center) ** 2).sum() for center in centers] for x in X])
        before, labels = labels, squares.argmin(axis=1)
        if before is not None and (labels == before).all():
            break
        for center in set(labels):
            centers[center] = X[labels == center].mean(axis=0)
    return centers, labels, squares.min(axis=1).sum()

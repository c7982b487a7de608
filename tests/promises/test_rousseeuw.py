"""The values that the paper prints, asserted.

P. J. Rousseeuw (1987), "Silhouettes: a graphical aid to the interpretation and validation of cluster analysis",
Journal of Computational and Applied Mathematics 20, 53-65. Table 1: dissimilarities of twelve countries, means over
students' answers; figures 2 and 3: silhouettes of partitions into two and three clusters, to two decimals.
"""

import numpy as np
import pytest

import reference
from fastsil import silhouette_profile, silhouette_samples, silhouette_score

COUNTRIES = ["BEL", "BRA", "CHI", "CUB", "EGY", "FRA", "IND", "ISR", "USA", "USS", "YUG", "ZAI"]
# Lower triangle of table 1, row by row.
TABLE_1 = """
    5.58
    7.00 6.50
    7.08 7.00 3.83
    4.83 5.08 8.17 5.83
    2.17 5.75 6.67 6.92 4.92
    6.42 5.00 5.58 6.00 4.67 6.42
    3.42 5.50 6.42 6.42 5.00 3.92 6.17
    2.50 4.92 6.25 7.33 4.50 2.25 6.33 2.75
    6.08 6.67 4.25 2.67 6.00 6.17 6.17 6.92 6.17
    5.25 6.83 4.50 3.75 5.75 5.42 6.08 5.83 6.67 3.67
    4.75 3.00 6.08 6.67 5.00 5.58 4.83 6.17 5.67 6.50 6.92
"""
# Cluster, its countries with their silhouettes, as drawn; then the mean over all countries.
FIGURE_2 = (
    {
        1: {"USA": 0.43, "BEL": 0.39, "FRA": 0.35, "ISR": 0.30, "BRA": 0.22, "EGY": 0.20, "ZAI": 0.19},
        2: {"CUB": 0.40, "USS": 0.34, "CHI": 0.33, "YUG": 0.26, "IND": -0.04},
    },
    0.28,
)
FIGURE_3 = (
    {
        1: {"USA": 0.47, "FRA": 0.44, "BEL": 0.42, "ISR": 0.37, "EGY": 0.02},
        2: {"ZAI": 0.28, "BRA": 0.25, "IND": 0.17},
        3: {"CUB": 0.48, "USS": 0.44, "YUG": 0.31, "CHI": 0.31},
    },
    0.33,
)


def dissimilarities(dtype=np.float64):
    distances = np.zeros((12, 12), dtype=dtype)
    distances[np.tril_indices(12, -1)] = [float(value) for value in TABLE_1.split()]
    return distances + distances.T


def labels_and_silhouettes(figure):
    label_of = {country: label for label, members in figure.items() for country in members}
    silhouette_of = {country: value for members in figure.values() for country, value in members.items()}
    return [label_of[name] for name in COUNTRIES], [silhouette_of[name] for name in COUNTRIES]


figures = pytest.mark.parametrize(("figure", "mean"), [FIGURE_2, FIGURE_3], ids=["figure 2", "figure 3"])


@figures
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_silhouettes_as_printed(figure, mean, dtype):
    labels, printed = labels_and_silhouettes(figure)
    distances = dissimilarities(dtype)
    # Half of the last decimal, and a hair for the rounding of the table itself.
    np.testing.assert_allclose(silhouette_samples(distances, labels, metric="precomputed"), printed, atol=0.00501)
    assert silhouette_score(distances, labels, metric="precomputed") == pytest.approx(mean, abs=0.00501)


@figures
def test_the_reference_agrees_with_the_paper(figure, mean):
    labels, printed = labels_and_silhouettes(figure)
    np.testing.assert_allclose(
        reference.silhouette_samples(dissimilarities(), labels, metric="precomputed").astype(float),
        printed,
        atol=0.00501,
    )


def test_the_intermediate_country_of_figure_2():
    """India is the one country whose neighbor is nearer than its own cluster."""
    labels, _ = labels_and_silhouettes(FIGURE_2[0])
    profile = silhouette_profile(dissimilarities(), labels, metric="precomputed")
    assert profile.n_negative == 1
    india = COUNTRIES.index("IND")
    assert profile.silhouettes[india] < 0
    assert profile.neighbor[india] == 1

"""Results in words: the usual table, cells of tables, sentences about a score."""

from __future__ import annotations

import numpy as np
import pytest

from fastsil.report.tables import sweep_columns
from fastsil.report.words import format_counts, read_score, warn_of_many_features
from fastsil.scoring.scores import silhouette_profile


def results(scores, macro=None, ks=None, **columns):
    scores = np.array(scores, dtype=float)
    n = len(scores)
    return {
        "n_clusters": np.arange(2, 2 + n) if ks is None else np.array(ks),
        "inertia": np.linspace(1e6, 1, n),
        "silhouette": scores,
        "macro_silhouette": scores if macro is None else np.array(macro, dtype=float),
        "n_negative": np.full(n, 10),
        "n_zero": np.full(n, 0),
        "n_positive": np.full(n, 90),
        "fit_seconds": np.full(n, 0.25),
        "score_seconds": np.full(n, 0.5),
        "error": np.full(n, ""),
        **columns,
    }


@pytest.mark.parametrize(
    ("score", "structure"),
    [
        (1.0, "strong"),
        (0.71, "strong"),
        (0.70, "reasonable"),
        (0.51, "reasonable"),
        (0.504, "reasonable"),
        (0.5, "weak"),
        (0.26, "weak"),
        (0.25, "none"),
        (0.0, "none"),
        (-0.4, "none"),
    ],
)
def test_kaufman_and_rousseeuws_table(score, structure):
    assert read_score(score).structure == structure


def test_low_scores_in_many_dimensions_are_put_in_proportion():
    assert "With 64 features" in warn_of_many_features(0.2, n_features=64)
    assert warn_of_many_features(0.2, n_features=3) == ""
    assert warn_of_many_features(0.8, n_features=1000) == ""


def test_estimated_scores_are_shown_with_half_of_their_interval():
    table = results([0.5, 0.25], silhouette_low=np.array([0.499, 0.25]), silhouette_high=np.array([0.501, 0.25]))
    columns = {column.title: column.cells for column in sweep_columns(table)}
    assert columns["mean silhouette"] == ("0.5000 ± 0.001", "0.2500")


def test_table_shows_what_is_there_and_a_dash_for_what_is_not():
    columns = {column.title: column.cells for column in sweep_columns(results([0.5, np.nan]))}
    assert columns["k"] == ("2", "3")
    assert columns["inertia"] == ("1,000,000", "1.000")
    assert columns["mean silhouette"] == ("0.5000", "-")
    assert columns["negative"] == ("10", "-")
    assert columns["seconds"] == ("0.75", "0.75")


def test_numbers_have_four_digits_or_all_before_the_point():
    table = results([0.5] * 4) | {"inertia": np.array([41.0, 999.96, 0.0022344, 12345.6])}
    columns = {column.title: column.cells for column in sweep_columns(table)}
    assert columns["inertia"] == ("41.00", "1,000", "0.002234", "12,346")


def test_none_negative():
    assert format_counts(0, 50) == "No sample lies nearer, on average, to another cluster than its own."
    assert format_counts(1, 50).startswith("1 of 50 samples (2.0%) lies nearer")
    assert format_counts(2, 50).startswith("2 of 50 samples (4.0%) lie nearer")


def test_notebooks_show_many_clusters_as_the_lowest_ones():
    X = np.arange(80.0)[:, None] ** 2
    few, many = (silhouette_profile(X, np.arange(80) // size).clusters._repr_html_() for size in (20, 2))
    assert few.count("<tr>") == 1 + 4
    assert many.count("<tr>") == 1 + 20
    assert "These are the 20 of 40 clusters with the lowest mean silhouettes" in many

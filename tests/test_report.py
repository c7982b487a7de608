"""Results in words: the usual table, and sentences that say what the numbers say."""

from __future__ import annotations

import numpy as np
import pytest

from fastsil.report import count_sentence, many_features_sentence, reading_of, sweep_columns, sweep_sentences


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


def told(scores, best_k, n_features=2, **columns):
    return " ".join(sweep_sentences(results(scores, **columns), best_k=best_k, n_features=n_features))


@pytest.mark.parametrize(
    ("score", "structure"),
    [
        (1.0, "strong"),
        (0.71, "strong"),
        (0.70, "reasonable"),
        (0.51, "reasonable"),
        (0.504, "weak"),
        (0.26, "weak"),
        (0.25, "none"),
        (0.0, "none"),
        (-0.4, "none"),
    ],
)
def test_kaufman_and_rousseeuws_table(score, structure):
    assert reading_of(score).structure == structure


def test_the_choice_comes_first_with_its_reading():
    text = told([0.6, 0.8, 0.5], best_k=3)
    assert text.startswith("The choice is k = 3, with the highest mean silhouette: 0.800.")
    assert "a strong structure" in text
    assert "10 of 100 samples (10.0%)" in text


def test_scores_too_near_to_choose_by_are_named():
    text = told([0.6, 0.602, 0.599, 0.3], best_k=3)
    assert "k = 2 and 4 score within 0.005" in text
    assert "too near" not in told([0.6, 0.8, 0.5], best_k=3)


def test_a_choice_at_the_end_of_the_range_is_told():
    assert "largest k that was tried" in told([0.3, 0.4, 0.6], best_k=4)
    assert "largest k" not in told([0.6, 0.4, 0.3], best_k=2)


def test_a_macro_mean_that_disagrees_is_told():
    assert "(macro mean) k = 2 is ahead" in told([0.5, 0.6, 0.1], best_k=3, macro=[0.7, 0.4, 0.1])


def test_low_scores_in_many_dimensions_are_put_in_proportion():
    assert "With 64 features" in told([0.1, 0.2, 0.15], best_k=3, n_features=64)
    assert many_features_sentence(0.2, n_features=3) == ""
    assert many_features_sentence(0.8, n_features=1000) == ""


def test_one_cluster_alone_says_nothing():
    assert "nothing can be said" in told([np.nan], best_k=1, ks=[1])


def test_failed_rows_do_not_disturb():
    text = told([0.5, np.nan, 0.6], best_k=4)
    assert text.startswith("The choice is k = 4")


def test_table_shows_what_is_there_and_a_dash_for_what_is_not():
    columns = {column.title: column.cells for column in sweep_columns(results([0.5, np.nan]))}
    assert columns["k"] == ("2", "3")
    assert columns["inertia"] == ("1,000,000", "1")
    assert columns["mean silhouette"] == ("0.5000", "-")
    assert columns["negative"] == ("10", "-")
    assert columns["seconds"] == ("0.75", "0.75")


def test_none_negative():
    assert count_sentence(0, 50).startswith("0 of 50 samples (0.0%)")

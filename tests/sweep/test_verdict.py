"""The verdict: structure and k by the numbers, and every number behind it in plain words."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs

from fastsil import KMeansSweep
from fastsil.report.words import format_score, read_score
from fastsil.scoring.diagnosis import Finding
from fastsil.sweep.gaps import GapsAtK, GapTest
from fastsil.sweep.space_comparison import suggest_geometries
from fastsil.sweep.verdict import GapFindings, Verdict, choose_k, judge
from fastsil.sweep.verdict.choice import list_good_k

STRUCTURES = ["none", "weak", "reasonable", "strong"]


def results(scores, *, macro=None, ks=None, null_mean=np.nan, stability=np.nan, negative=10, margin=0.0):
    scores = np.array(scores, dtype=float)
    n = len(scores)
    return {
        "n_clusters": np.arange(2, 2 + n) if ks is None else np.array(ks),
        "inertia": np.linspace(1e6, 1, n),
        "silhouette": scores,
        "macro_silhouette": scores if macro is None else np.array(macro, dtype=float),
        "silhouette_low": scores - margin,
        "silhouette_high": scores + margin,
        "n_negative": np.full(n, negative),
        "n_zero": np.full(n, 0),
        "n_positive": np.full(n, 100 - negative),
        "null_score": scores,
        "null_mean": np.broadcast_to(null_mean, n),
        "null_std": np.full(n, 0.01),
        "stability": np.broadcast_to(stability, n),
        "stability_std": np.full(n, 0.02),
    }


def null_of(p_value, n_null=39, silhouette=0.02, inertia=0.02, mixture=0.02):
    alone = {"p_silhouette": silhouette, "p_inertia": inertia, "p_mixture": mixture}
    return SimpleNamespace(p_value=p_value, n_null=n_null, n_samples=1000, gap_k=2, **alone)


def judged(scores, *, null=None, findings=(), lowest_findings=(), n_features=2, **columns):
    table = results(scores, **columns)
    return judge(
        table,
        choose_k(table, null),
        n_features=n_features,
        null=null,
        findings=findings,
        lowest_findings=lowest_findings,
    )


def told(*args, **kwargs):
    return " ".join(str(judged(*args, **kwargs)).split())


def test_without_a_null_the_choice_is_the_highest_score_and_the_usual_table_reads_it():
    verdict = judged([0.6, 0.8, 0.5])
    assert (verdict.structure, verdict.k, verdict.tested) == ("strong", 3, False)
    assert verdict.headline == "k = 3 scores highest: a strong structure."
    text = told([0.6, 0.8, 0.5])
    assert "Whether data without clusters would score as high was not tested." in text
    assert "The choice is k = 3, with the highest mean silhouette: 0.800." in text
    assert "10 of 100 samples (10.0%)" in text
    assert "n_null=39" in text


def test_a_low_score_without_a_null_is_left_open():
    verdict = judged([0.1, 0.2, 0.15], n_features=64)
    assert (verdict.structure, verdict.k, verdict.tested) == ("none", 3, False)
    text = told([0.1, 0.2, 0.15], n_features=64)
    assert "A low score may be a weak structure or none" in text
    assert "With 64 features" in text


def test_a_null_that_scores_as_high_is_no_structure():
    verdict = judged([0.5, 0.6, 0.4], null=null_of(0.3), null_mean=0.5)
    assert (verdict.structure, verdict.k, verdict.tested) == ("none", 3, True)
    assert verdict.headline == "No structure found: data without clusters score as high."
    assert verdict.reading == read_score(0.6)
    text = told([0.5, 0.6, 0.4], null=null_of(0.3), null_mean=0.5)
    assert "Random sets that spread like the data, without clusters, have a mean silhouette of 0.500 at k = 3." in text
    assert "p = 0.30" in text
    assert "a reasonable structure" not in text
    assert "What to try next:" in text
    assert "The choice is" not in text


@pytest.mark.parametrize(("score", "structure"), [(0.1, "weak"), (0.3, "weak"), (0.6, "reasonable"), (0.9, "strong")])
def test_structure_that_a_null_does_not_reach_is_weak_at_least(score, structure):
    verdict = judged([0.0, score], null=null_of(0.025), null_mean=0.0)
    assert (verdict.structure, verdict.k, verdict.tested) == (structure, 3, True)
    assert "The data stand out from all 39 random clouds of the same spread." in verdict.reasons
    assert "no substantial structure" not in str(verdict)
    assert "come as far (p = 0.050)" in str(judged([0.0, score], null=null_of(0.05), null_mean=0.0))


@pytest.mark.parametrize(
    ("p_values", "words"),
    [
        ((0.02, 0.02, 0.02), "; each shows it alone too."),
        ((0.02, 0.3, 0.02), "; alone, only the silhouette and the shape show it."),
        ((0.3, 0.02, 0.3), "; alone, only the inertia shows it."),
        ((0.3, 0.3, 0.3), "; none shows it alone."),
    ],
)
def test_the_words_say_which_measure_found_it(p_values, words):
    silhouette, inertia, mixture = p_values
    null = null_of(0.025, silhouette=silhouette, inertia=inertia, mixture=mixture)
    assert words in told([0.5, 0.6], null=null, null_mean=0.1)


def test_the_choice_is_furthest_above_the_null_and_says_so():
    scores, null_mean = [0.6, 0.5, 0.3], [0.55, 0.2, 0.2]
    assert judged(scores, null=null_of(0.025), null_mean=null_mean).k == 3
    text = told(scores, null=null_of(0.025), null_mean=null_mean)
    assert (
        "k = 2 scores higher (0.600, not 0.500), but there data without clusters do so too (0.550, not 0.200)" in text
    )
    assert "without clusters, have a mean silhouette of 0.200 at k = 3." in text


def test_of_ks_that_are_about_as_far_above_the_null_the_one_that_scores_higher_is_chosen():
    assert judged([0.3, 0.204, 0.2], null=null_of(0.025), null_mean=[0.2, 0.1, 0.095]).k == 3
    assert judged([0.3, 0.19, 0.2], null=null_of(0.025), null_mean=[0.2, 0.1, 0.0]).k == 4


@pytest.mark.parametrize("null", [null_of(0.1, n_null=9), null_of(np.nan)])
def test_too_few_null_sets_are_no_test(null):
    verdict = judged([0.6, 0.8, 0.5], null=null, null_mean=[0.1, 0.7, 0.4])
    assert (verdict.structure, verdict.k, verdict.tested) == ("strong", 3, False)
    if np.isfinite(null.p_value):
        assert "9 sets without clusters are too few for a test at 5 %" in str(verdict)


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=6),
    st.none() | st.floats(0.001, 1),
)
def test_whatever_the_scores_the_verdict_holds_together(columns, p_value):
    scores, null_mean = zip(*columns, strict=True)
    null = None if p_value is None else null_of(p_value)
    verdict = judged(scores, null=null, null_mean=null_mean if null else np.nan)
    assert verdict.structure in STRUCTURES
    assert verdict.tested == (null is not None)
    assert verdict.k is not None
    assert (verdict.structure == "none") == (
        p_value > 0.05 if verdict.tested else read_score(max(scores)).structure == "none"
    )
    if verdict.tested and verdict.structure != "none":
        above = np.subtract(scores, null_mean)
        assert above[verdict.k - 2] >= above.max() - 0.005
        floor = STRUCTURES.index(read_score(scores[verdict.k - 2]).structure)
        assert STRUCTURES.index(verdict.structure) == max(1, floor)


def test_scores_too_near_to_choose_by_are_named():
    assert "k = 2 and 4 score within 0.005" in told([0.6, 0.602, 0.599, 0.3])
    assert "within 0.005" not in told([0.6, 0.8, 0.5])


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (0.5065, "that is a reasonable structure (above 0.50, up to 0.70)"),
        (0.50004, "0.50004 is a reasonable structure (above 0.50, up to 0.70)"),
        (0.5, "that is a weak structure that could be artificial (above 0.25, up to 0.50)"),
        (0.70049, "0.70049 is a strong structure (above 0.70)"),
        (0.2496, "that is no substantial structure (0.25 or less)"),
    ],
)
def test_a_score_is_in_the_range_that_its_digits_say(score, words):
    assert format_score(score) == f"By Kaufman and Rousseeuw's table {words}."


def test_a_choice_at_the_end_of_the_range_is_told():
    assert "largest that was tried. Try larger ones: sweep.set_params(n_clusters=range(4, 9)).fit(X)" in " ".join(
        told([0.3, 0.4, 0.6]).split()
    )
    assert "largest" not in told([0.6, 0.4, 0.3])


def test_a_macro_mean_that_disagrees_is_told():
    assert "The mean of the clusters' means is highest at k = 2." in told([0.5, 0.6, 0.1], macro=[0.7, 0.4, 0.1])


def test_one_cluster_alone_says_nothing():
    verdict = judged([np.nan], ks=[1])
    assert (verdict.structure, verdict.k, verdict.reasons) == ("none", None, ())
    assert "nothing can be said" in str(verdict)


def test_failed_rows_do_not_disturb():
    assert judged([0.5, np.nan, 0.6]).k == 4


def test_stability_is_told_if_it_is_known():
    assert "adjusted Rand index 0.95 ± 0.02" in told([0.5, 0.6], stability=0.95)
    assert "much the same clusters" in told([0.5, 0.6], stability=0.95)
    assert "give partly the same clusters" in told([0.5, 0.6], stability=0.6)
    assert "give different clusters" in told([0.5, 0.6], stability=0.2)
    assert "Rand" not in told([0.5, 0.6])


def test_stable_clusters_of_data_without_structure_are_explained():
    words = "The shape of the data can do that without clusters."
    assert words in told([0.5, 0.6], stability=0.95, null=null_of(0.3), null_mean=0.5)
    assert words not in told([0.5, 0.6], stability=0.95, null=null_of(0.02), null_mean=0.1)


def test_negative_means_are_explained():
    assert "negative at" not in told([0.2, 0.0])
    assert "The mean silhouette is negative at k = 3 and 4." in told([0.2, -0.1, -0.2])
    assert "negative at 5 of 6 k." in told([0.2, -0.1, -0.2, -0.1, -0.1, -0.1])
    found = [Finding("unequal_spread", "note", "That is no error.", "Look.")]
    assert "at k = 3. Of the lowest, k = 3: That is no error." in told([0.2, -0.1], lowest_findings=found)


def test_a_sweep_says_that_a_negative_mean_is_no_error():
    """Wide clusters around a tight one: every sample is at its nearest center, and most are nearer to the tight one."""
    random = np.random.default_rng(0)
    centers = np.vstack([6.5 * np.eye(5, 80), -6.5 * np.eye(5, 80), np.zeros(80)])
    spread = np.append(np.ones(10), 0.05)
    X = np.repeat(centers, 60, axis=0) + random.normal(size=(660, 80)) * np.repeat(spread, 60)[:, None]
    sweep = KMeansSweep([11], estimator=KMeans(init=centers, n_init=1)).fit(X)
    assert sweep.best_score_ < 0
    text = " ".join(sweep.verdict_.reasons)
    assert "100.0% of the samples are at their own nearest center. That is no error" in text


def test_faults_and_warnings_are_told_with_their_advice_and_notes_are_not():
    found = [
        Finding("duplicates", "warning", "There are copies.", "Drop them."),
        Finding("tiny_clusters", "note", "One is tiny.", "Look at it."),
        Finding("no_structure", "warning", "Told already.", "Told already."),
    ]
    text = told([0.5, 0.6], findings=found)
    assert "Warning: There are copies." in text
    assert "Drop them." in text
    assert "tiny" not in text
    assert "Told already" not in text


def test_words_are_narrow_and_html_is_escaped():
    found = [Finding("duplicates", "warning", "<script> " + "word " * 40, "Stop.")]
    verdict = judged([0.5, 0.6], findings=found)
    assert max(map(len, str(verdict).splitlines())) <= 92
    assert "<script>" not in verdict._repr_html_()
    assert "&lt;script&gt;" in verdict._repr_html_()
    assert verdict.headline in verdict._repr_html_()


def test_a_verdict_is_frozen():
    with pytest.raises(AttributeError):
        judged([0.5, 0.6]).k = 7
    assert Verdict("none", None, False, "words") == Verdict("none", None, False, "words")


def test_a_sweep_has_one():
    X = make_blobs(150, centers=[[0, 0], [9, 0], [0, 9]], random_state=0)[0]
    sweep = KMeansSweep(range(2, 6), n_init=2, n_null=19, n_stability=2, random_state=0).fit(X)
    assert (sweep.verdict_.structure, sweep.verdict_.k, sweep.verdict_.tested) == ("strong", 3, True)
    assert sweep.diagnosis_.codes == ()
    assert (sweep.verdict_.kind, sweep.verdict_.good_k) == ("groups", (3,))
    assert sweep.verdict_.separate_pairs == ((0, 1), (0, 2), (1, 2))
    assert "adjusted Rand index 1.00" in " ".join(sweep.verdict_.reasons)
    noise = np.random.default_rng(3).normal(size=(120, 2)) * [5, 1]
    sweep = KMeansSweep(range(2, 6), n_init=2, n_null=19, random_state=0).fit(noise)
    assert (sweep.verdict_.structure, sweep.verdict_.kind, sweep.verdict_.k) == ("none", "cloud", sweep.best_k_)
    assert "no_structure" in sweep.diagnosis_.codes


def test_a_sweep_tells_what_its_diagnosis_warns_of():
    X = np.random.default_rng(0).normal(size=(200, 5)) * [1, 1, 1000, 1, 1]
    verdict = KMeansSweep([2, 3], n_init=1, random_state=0).fit(X).verdict_
    assert any(reason.startswith("Warning: Feature 2") for reason in verdict.reasons)
    assert any("StandardScaler" in sentence for sentence in verdict.advice)


def test_scores_that_differ_are_written_so_that_they_differ():
    text = told([0.18912, 0.18871], null=null_of(0.025), null_mean=[0.18, 0.1])
    assert "k = 2 scores higher (0.1891, not 0.1887)" in text


def test_advice_names_the_options_that_compare_geometries_unless_they_were_compared():
    random = np.random.default_rng(0)

    def suggested(X, **params):
        sweep = KMeansSweep(2, gaps=False, **params).fit(X)
        return suggest_geometries(sweep.best_geometry_, X).removesuffix(").fit(X)").removeprefix("sweep.set_params(")

    many = random.normal(size=(80, 64))
    assert suggested(many) == "metric=['euclidean', 'cosine', 'mahalanobis'], pca=[None, 50]"
    assert suggested(many, metric="cosine", pca=3) == "metric=['cosine', 'mahalanobis']"
    assert suggested(many[:50]) == "metric=['euclidean', 'cosine'], pca=[None, 10]"
    assert suggested(csr_matrix(many)) == "metric=['euclidean', 'cosine'], pca=[None, 50]"
    assert suggested(many[:, :2]) == "metric=['euclidean', 'cosine', 'mahalanobis']"
    assert suggested(many[:, :1]) == ""
    assert suggested(many, metric="mahalanobis", metric_params={"V": np.eye(64)}) == ""
    assert suggested(many[:, :2], metric=lambda x, y: abs(x[0] - y[0])) == ""
    table = results([0.1, 0.2], null_mean=0.0)
    verdict = judge(table, 3, n_features=64, null=null_of(0.5), other_geometries="like this")
    assert verdict.advice[0] == "See whether clusters stand out more in another geometry: like this"
    verdict = judge(table, 3, n_features=64, null=null_of(0.025), geometries=("Yes: so.",))
    assert not any("geometry" in sentence for sentence in verdict.advice)
    assert "Would another geometry help?\n- Yes: so." in str(verdict)
    assert "<li>Yes: so.</li>" in verdict._repr_html_()


def make_gaps(z, *, depth=0.2, midway=2.0, axis_z=0.0):
    """A test of gaps for k = 2 and so on, with these statistics; all pairs alike."""
    clusters = []
    for k, value in enumerate(z, start=2):
        pairs = np.column_stack(np.triu_indices(k, 1))
        near, between = np.full((len(pairs), 2), 10.0), np.full(len(pairs), midway)
        clusters.append(GapsAtK(k, value, depth, pairs, near, between, np.zeros((len(pairs), 40))))
    return GapTest(300, tuple(clusters), np.array([axis_z]), np.array([0.3]))


def judge_gaps(scores, gaps, *, null=None, finer_depth=np.nan, macro=None, null_mean=np.nan):
    table = results(scores, macro=macro, null_mean=null_mean)
    k = choose_k(table, null, gaps)
    found = GapFindings(gaps, k, list(range(k)), finer_depth)
    return judge(table, k, n_features=2, null=null, gaps=found)


def test_the_first_sentence_says_which_of_the_three_it_is():
    none, some = make_gaps([0.0, 0.0], depth=1.04, midway=10), make_gaps([0.0, 9.0])
    cloud = judge_gaps([0.8, 0.5], none, null=null_of(0.4), null_mean=0.8)
    assert (cloud.kind, cloud.structure, cloud.k) == ("cloud", "none", 2)
    assert cloud.headline == "No groups found: the data look like one random cloud."
    assert "Random clouds of the same spread come as far (p = 0.40)." in cloud.reasons
    assert any("less than about 3.5 standard deviations apart could not be seen in 300" in r for r in cloud.reasons)
    continuum = judge_gaps([0.8, 0.5], none, null=null_of(0.02), null_mean=0.1)
    assert (continuum.kind, continuum.structure) == ("continuum", "none")
    assert continuum.headline.startswith("No separate groups found, though")
    assert "Midway between neighboring centers samples are 104% as dense as near them." in continuum.reasons
    groups = judge_gaps([0.5, 0.6], some, null=null_of(0.02), null_mean=0.1)
    assert (groups.kind, groups.structure, groups.k) == ("groups", "reasonable", 3)
    assert groups.headline == "Separate groups: k = 3."
    assert "All 3 pairs of clusters are separate." in groups.reasons
    assert groups.gap_p < 0.001
    assert groups.gap_depth == 0.2
    open_question = judge_gaps([0.8, 0.5], none)
    assert (open_question.kind, open_question.headline) == (None, "No separate groups found.")


def test_clean_groups_are_not_called_weak():
    gaps, table = make_gaps([0.0, 9.0]), results([0.2, 0.4])
    table["n_negative"], table["n_positive"] = np.array([0, 0]), np.array([50, 50])

    def structure(found):
        return judge(table, 3, n_features=2, gaps=found).structure

    assert structure(GapFindings(gaps, 3, [0, 1, 2])) == "reasonable"
    assert structure(GapFindings(gaps, 3, [0, 1, 2], 0.8)) == "weak"
    text = str(judge(table, 3, n_features=2, gaps=GapFindings(gaps, 3, [0, 1, 2])))
    assert "could be artificial" not in text
    assert "(0.0%)" not in text
    table["n_negative"] = np.array([5, 5])
    assert structure(GapFindings(gaps, 3, [0, 1, 2])) == "weak"


def test_the_decision_comes_first_and_the_test_last():
    reasons = judge_gaps([0.5, 0.6], make_gaps([0.0, 9.0]), null=null_of(0.02), null_mean=0.1).reasons
    assert reasons[0] == "The clusters of k = 3 can be reported as groups."
    assert reasons[-1] == "Chance seldom brings such gaps (p < 0.001)."
    assert judged([0.1, 0.2], null=null_of(0.5), null_mean=0.0).reasons[0] == "Do not report these clusters as groups."
    none = make_gaps([0.0, 0.0], depth=1.04, midway=10)
    for null in (None, null_of(0.4)):
        assert judge_gaps([0.8, 0.5], none, null=null).reasons[0] == "Do not report these clusters as groups."


def test_a_high_silhouette_without_gaps_is_no_strong_structure():
    assert judge_gaps([0.9, 0.95], make_gaps([0.0, 0.0]), null=null_of(0.02), null_mean=0.1).structure == "none"


def test_the_choice_is_among_the_k_of_clear_gaps():
    gaps = make_gaps([4.0, 10.0, 9.5, 3.0])
    assert judge_gaps([0.9, 0.5, 0.6, 0.9], gaps).k == 4
    assert judge_gaps([0.9, 0.6, 0.5, 0.9], gaps).k == 3
    assert judge_gaps([0.9, 0.6, 0.6, 0.9], gaps, macro=[0.9, 0.4, 0.5, 0.9]).k == 4
    text = str(judge_gaps([0.9, 0.5, 0.6, 0.9], gaps))
    assert "k = 2 scores higher (0.900), but its gaps are less clear." in text


def test_k_that_do_equally_well_are_all_named():
    verdict = judge_gaps([0.2, 0.5, 0.501], make_gaps([0.0, 10.0, 10.0]))
    assert verdict.headline == "Separate groups: k = 3 or 4."
    assert (verdict.good_k, verdict.k) == ((3, 4), 4)
    assert "k = 3 and 4 do equally well." in str(verdict)


def test_estimated_scores_whose_intervals_overlap_are_equally_good():
    gaps = make_gaps([10.0, 10.0, 10.0])
    assert list_good_k(results([0.5, 0.52, 0.49]), gaps) == [3]
    assert list_good_k(results([0.5, 0.52, 0.49], margin=0.012), gaps) == [2, 3]


def test_groups_that_touch_come_with_a_caution():
    gaps = make_gaps([9.0])
    touching = judge_gaps([0.5], gaps, finer_depth=0.8)
    assert touching.reasons[0] == "You can report that there are groups; check their number, k = 2, on a map."
    assert "arcs of a ring" in " ".join(str(touching).split())
    assert "arcs of a ring" not in str(judge_gaps([0.5], gaps, finer_depth=0.2))


def test_groups_that_k_means_cuts_across_are_told():
    verdict = judge_gaps([0.5, 0.4], make_gaps([0.0, 0.0], axis_z=8.0))
    assert (verdict.kind, verdict.k) == ("groups", 2)
    assert verdict.headline == "There are separate groups, but the clusters cut across them."
    assert "There is a gap along principal axis 1" in str(verdict)
    assert "arcs of a ring" in " ".join(str(verdict).split())


def test_one_k_everywhere_unless_the_highest_silhouette_is_asked_for():
    random = np.random.default_rng(0)
    centers = np.array([[0, 0], [5, 0], [2, 7], [60, 0], [60, 9], [74, 0]])
    X = centers[np.repeat(np.arange(6), [100, 100, 100, 30, 30, 30])] + random.normal(size=(390, 2))
    sweep = KMeansSweep(range(2, 9), n_init=3, random_state=0).fit(X)
    assert sweep.verdict_.k == sweep.best_k_ == len(np.unique(sweep.labels_)) == 6
    assert KMeansSweep(range(2, 9), n_init=3, random_state=0, refit="silhouette").fit(X).best_k_ == 2
    with pytest.raises(ValueError, match="refit"):
        KMeansSweep(refit="gap").fit(X)


def test_without_the_test_of_gaps_nothing_is_said_of_groups():
    X = make_blobs(90, centers=[[0, 0], [9, 0]], random_state=0)[0]
    sweep = KMeansSweep([2, 3], n_init=1, random_state=0, gaps=False).fit(X)
    assert sweep.gaps_ is None
    assert (sweep.verdict_.kind, sweep.verdict_.tested) == (None, False)

"""The page of labels that were scored."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.datasets import make_blobs

from fastsil import silhouette_profile

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from fastsil.scoring.page import ScorePage
from tests.report_pages import Page

X, BLOBS = make_blobs(90, centers=[[0, 0, 0], [9, 0, 0], [0, 9, 0]], random_state=0)
SHUFFLED = np.random.default_rng(0).permutation(BLOBS)


def page_of(tmp_path, labels, data=X, **options):
    profile = silhouette_profile(data, labels, **options)
    ScorePage("blobs.csv", profile, profile.diagnose(data), data).write(tmp_path / "report.html")
    return Page(tmp_path / "report.html")


def test_a_clustering_without_faults(tmp_path):
    page = page_of(tmp_path, BLOBS)
    score = silhouette_profile(X, BLOBS).score
    assert page.open == []
    assert f"How good are these clusters? · blobs.csv 90 samples x 3 features · {X.nbytes / 1024:.1f} KiB" in page.text
    assert f"The mean silhouette is {score:.3f}. No fault was found in 12 checks." in page.text
    # The silhouette plot, the distribution, two maps.
    assert len(page.all("img")) == 4


def test_a_fault_comes_first_with_what_to_do(tmp_path):
    text = page_of(tmp_path, SHUFFLED).text
    order = [text.index(words) for words in ("do not use this score yet", "Check that labels and data", "The clusters")]
    assert order == sorted(order)
    assert "labels_shuffled" in text


def test_a_warning_wants_care(tmp_path):
    text = page_of(tmp_path, np.append(BLOBS[:-1], 7)).text
    assert ", to be read with care. Inspect these samples as outliers" in text


def test_samples_left_out_are_on_no_picture_and_counted(tmp_path):
    text = page_of(tmp_path, BLOBS, ignore_label=2).text
    assert "samples left out 30" in text
    assert "all 60 samples" in text


def test_distances_have_no_map(tmp_path):
    page = page_of(tmp_path, BLOBS, cdist(X, X), metric="precomputed")
    assert "A map of" not in page.text
    assert "90 samples · " in page.text
    assert len(page.all("img")) == 2


def test_of_many_clusters_the_lowest_are_shown(tmp_path):
    page = page_of(tmp_path, np.arange(90) // 2)
    assert "These are the 20 of 45 clusters with the lowest mean silhouettes" in page.text
    assert len(page.all("tr")) == 2 + 20 + 4  # with two titles, and the table of readings


def test_labels_show_as_text(tmp_path):
    evil = "<script>alert('$\\x$')</script>"
    page = page_of(tmp_path, np.array(["a", "b", evil])[BLOBS])
    assert len(page.all("script")) == 1
    assert evil in page.text

"""The page of a sweep: whole, closed to the network, and text stays text."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import sys

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs

from fastsil import KMeansSweep

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

from fastsil.report.page import load_templates
from fastsil.report.projection import principal_plane
from tests.report_pages import Page

EVIL = "<script>alert('$\\x$')</script>"
X, _ = make_blobs(90, centers=[[0, 0, 0], [9, 0, 0], [0, 9, 0]], random_state=0)


def page_of(sweep, tmp_path, *args, **kwargs):
    return Page(sweep.report(tmp_path / "report.html", *args, **kwargs))


@pytest.fixture(scope="module")
def sweep():
    return KMeansSweep(range(2, 6), n_init=1, random_state=0).fit(X)


class NamedClusters(ClusterMixin, BaseEstimator):
    """k-means with labels that a page and a picture must not take for markup."""

    def __init__(self, n_clusters=2):
        self.n_clusters = n_clusters

    def fit(self, X, y=None):
        codes = KMeans(self.n_clusters, n_init=1, random_state=0).fit(X).labels_
        self.labels_ = np.array([f"{EVIL}{code}" for code in range(self.n_clusters)])[codes]
        return self


def test_every_k_is_there_and_what_was_found_about_it(sweep, tmp_path):
    page = page_of(sweep, tmp_path, X, name="three blobs")
    assert page.open == []
    assert "Separate groups: k = 3." in page.text
    assert "three blobs" in page.text
    for k, profile in sweep.profiles_.items():
        assert f"k = {k}: mean {profile.score:.3f}, {profile.n_negative:,} negative" in page.text
    for value in sweep.sweep_results_["silhouette"]:
        assert f"{value:.4f}" in page.text
    assert "all 90 samples" in page.text
    assert "Nothing was found in" in page.text
    # Two curves, two of the best k, two lines between its clusters, two maps, and one for each k.
    assert len(page.all("img")) == 8 + len(sweep.profiles_)
    assert page.text.count("There is a gap between them.") == 2
    assert all(image["alt"] for image in page.all("img"))


def test_nothing_is_loaded_from_anywhere(sweep, tmp_path):
    page = page_of(sweep, tmp_path, X)
    assert not page.all("link")
    assert not re.search(r"https?:|//[a-z]|url\(|@import", re.sub(r"base64,[A-Za-z0-9+/=]+", "", page.source))
    for image in page.all("img"):
        kind, data = image["src"].split(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data, validate=True).startswith(b"\x89PNG")
    assert all(link["href"].startswith("#") for link in page.all("a"))
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")


def test_the_browser_runs_the_script_that_sorts_tables_and_no_other(sweep, tmp_path):
    page = page_of(sweep, tmp_path, X)
    scripts = re.findall("<script>(.*?)</script>", page.source, re.DOTALL)
    assert len(scripts) == len(page.all("script")) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert not re.search("<[^>]* on[a-z]+ *=", page.source.replace(scripts[0], ""))


def test_curves_show_the_numbers_of_each_k_where_the_mouse_points(sweep, tmp_path):
    strips = [strip for strip in page_of(sweep, tmp_path).all("i") if strip]
    assert len(strips) == 2 * len(sweep.profiles_)
    for strip, (k, profile) in zip(strips, sweep.profiles_.items(), strict=False):
        assert strip["title"].startswith(f"k: {k}\n")
        assert f"mean silhouette: {profile.score:.4f}" in strip["title"]
    # Over the Axes of the picture, one next to the other.
    places = [tuple(map(float, re.findall(r"[\d.]+", strip["style"]))) for strip in strips[: len(sweep.profiles_)]]
    assert 5 < places[0][0] < 30
    assert 90 < sum(places[-1]) <= 100
    for (left, width), (following, _) in itertools.pairwise(places):
        assert left + width == pytest.approx(following, abs=0.02)


@pytest.mark.filterwarnings("ignore:1 of 3 clusterings failed")
def test_whatever_is_given_shows_as_text(tmp_path, monkeypatch):
    fit = NamedClusters.fit

    def fail_at_four(self, X, y=None):
        if self.n_clusters == 4:
            raise RuntimeError(EVIL)
        return fit(self, X)

    monkeypatch.setattr(NamedClusters, "fit", fail_at_four)
    sweep = KMeansSweep([2, 3, 4], estimator=NamedClusters()).fit(X)
    page = page_of(sweep, tmp_path, X, name=EVIL)
    assert len(page.all("script")) == 1
    assert f"Which number of clusters? · {EVIL}" in page.text
    assert f"k = 4: RuntimeError: {EVIL}" in page.text
    assert all(f"{EVIL}{code}" in page.text for code in range(3))


def test_without_the_data_there_is_no_map(sweep, tmp_path):
    page = page_of(sweep, tmp_path)
    assert "A map of" not in page.text
    assert "Not checked, for lack of data" in page.text  # no null sets
    assert len(page.all("img")) == 6 + len(sweep.profiles_)


def test_a_finding_comes_with_its_advice(tmp_path):
    data = np.vstack([X, [[500.0, 500.0, 500.0]]])
    sweep = KMeansSweep([2, 4], n_init=1, random_state=0).fit(data)
    page = page_of(sweep, tmp_path, data)
    findings = sweep.profiles_[sweep.best_k_].diagnose(data)
    assert "singletons" in findings.codes
    for finding in findings:
        assert " ".join(finding.message.split()) in page.text
        assert " ".join(finding.advice.split()) in page.text


def test_clusters_of_which_no_sample_is_on_the_map_are_named(tmp_path):
    data = np.random.default_rng(0).normal(size=(7000, 2))
    data[np.setdiff1d(np.arange(7000), principal_plane(data).rows)[0]] += 300
    page = page_of(KMeansSweep(2, n_init=1, random_state=0).fit(data), tmp_path, data)
    assert "3,000 of 7,000 samples, drawn at random" in page.text
    assert re.search(r"Too small to be among the samples drawn: [01]\.", page.text)


def test_k_of_one_has_an_inertia_only(tmp_path):
    page = page_of(KMeansSweep(1, random_state=0).fit(X), tmp_path, X)
    assert "Only k = 1 was clustered, which has no silhouette: nothing can be said." in page.text
    assert not page.all("img")


@pytest.mark.parametrize("metric", ["cosine", "mahalanobis", "manhattan", lambda x, y: abs(x - y).max()])
def test_every_metric_has_a_page(metric, tmp_path):
    sweep = KMeansSweep([2, 3], metric=metric, n_init=1, random_state=0).fit(X[:30])
    assert "A map of k" in page_of(sweep, tmp_path, X[:30]).text


def test_sparse_samples(tmp_path):
    data = csr_matrix(X)
    sweep = KMeansSweep([2, 3], n_init=1, random_state=0).fit(data)
    assert "A map of k" in page_of(sweep, tmp_path, data).text


def test_other_data_than_those_of_the_fit_are_refused(sweep, tmp_path):
    with pytest.raises(ValueError, match="X has 50 rows but 90 were fitted"):
        sweep.report(tmp_path / "report.html", X[:50])
    with pytest.raises(ValueError, match="features"):
        sweep.report(tmp_path / "report.html", X[:, :2])
    assert not list(tmp_path.iterdir())


def test_without_jinja_the_extra_is_named(sweep, tmp_path, monkeypatch):
    load_templates.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ImportError, match=r"pip install 'fastsil\[report\]'"):
        sweep.report(tmp_path / "report.html")
    assert not list(tmp_path.iterdir())

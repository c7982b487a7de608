"""Pictures show their data, draw into the given axes, and need no display."""

from __future__ import annotations

import sys

import numpy as np
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib import pyplot as plt  # noqa: E402

from fastsil import silhouette_profile  # noqa: E402
from fastsil.report.plots import (  # noqa: E402
    draw_distribution,
    draw_map,
    draw_profile_between,
    draw_silhouette_map,
    draw_silhouettes,
    draw_sweep,
    draw_sweep_elbow,
    draw_sweep_scores,
    new_figure,
    save_picture,
)
from fastsil.report.plots.maps import choose_colors  # noqa: E402

KS = np.arange(2, 8)
# As a formula, the first ends in an error and the second shows other letters.
FORMULAS = np.array(["$\\frac{1$", "a$b$c", "_^"])
SCORES = np.array([0.1, 0.3, np.nan, 0.2, 0.15, 0.1])
INERTIA = np.array([9e5, 5e5, np.nan, 3e5, 2e5, 1e5])
RESULTS = {"n_clusters": KS, "inertia": INERTIA, "silhouette": SCORES, "macro_silhouette": SCORES + 0.1}


@pytest.fixture(autouse=True)
def _no_figure_is_left():
    yield
    plt.close("all")


def outline(ax):
    """Right and left extent of everything filled, over all clusters."""
    corners = np.concatenate([path.vertices for fill in ax.collections for path in fill.get_paths()])
    return corners[:, 0].min(), corners[:, 0].max(), corners[:, 1].max()


@pytest.mark.parametrize("n_samples", [5, 50_000])
def test_bars_reach_from_the_lowest_to_the_highest_silhouette(n_samples):
    rng = np.random.default_rng(0)
    silhouettes = rng.uniform(-0.3, 0.8, n_samples)
    codes = np.arange(n_samples) % 2
    ax = draw_silhouettes(
        silhouettes, codes, np.array(["u", "v"]), score=silhouettes.mean(), ax=new_figure().subplots()
    )
    left, right, bottom = outline(ax)
    assert left == pytest.approx(silhouettes.min())
    assert right == pytest.approx(silhouettes.max())
    assert bottom == pytest.approx(n_samples, rel=0.05)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["u", "v"]
    assert f"{np.count_nonzero(silhouettes < 0):,} of them negative" in ax.get_title(loc="left")


def test_area_of_a_cluster_is_its_sum():
    """The filled area over 0 is the sum of the positive silhouettes: nothing is lost or drawn twice."""
    silhouettes = np.array([0.5, 0.25, 0.75, -0.1])
    ax = draw_silhouettes(silhouettes, np.array([0, 0, 0, 1]), np.arange(2), score=0.35, ax=new_figure().subplots())
    first = ax.collections[0].get_paths()[0].vertices
    x, y = first[:, 0], first[:, 1]
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert area == pytest.approx(1.5)


def test_many_clusters_are_means_and_ranges_in_the_order_of_their_means():
    rng = np.random.default_rng(1)
    codes = np.repeat(np.arange(60), 101)
    silhouettes = np.clip(rng.uniform(-0.4, 0.7, 60)[codes] + rng.normal(0, 0.1, len(codes)), -1, 1)
    order = rng.permutation(len(codes))
    ax = draw_silhouettes(silhouettes[order], codes[order], np.arange(60), score=0.1, ax=new_figure().subplots())
    assert len(ax.collections) == 2
    by_cluster = silhouettes.reshape(60, 101)
    curve = next(line for line in ax.lines if len(line.get_xdata()) == 60)
    np.testing.assert_allclose(curve.get_xdata(), np.sort(by_cluster.mean(axis=1))[::-1])
    left, right, _ = outline(ax)
    assert left == pytest.approx(np.quantile(by_cluster, 0.1, axis=1).min())
    assert right == pytest.approx(np.quantile(by_cluster, 0.9, axis=1).max())
    best = by_cluster.mean(axis=1).argmax()
    assert ax.get_yticklabels()[0].get_text() == f"{best}"
    assert "60 clusters, 6,060 samples" in ax.get_title(loc="left")


def test_many_clusters_keep_their_names_apart(tmp_path):
    rng = np.random.default_rng(1)
    codes = np.arange(3000) % 150
    figure = new_figure()
    ax = draw_silhouettes(rng.uniform(-1, 1, 3000), codes, np.arange(150), score=0.0, ax=figure.subplots())
    assert len(ax.get_yticks()) <= 30
    save_picture(figure, tmp_path / "many.png")
    assert (tmp_path / "many.png").read_bytes().startswith(b"\x89PNG")


def test_profile_draws_into_the_axes_given_and_makes_new_ones_otherwise():
    profile = silhouette_profile([[0.0], [1.0], [5.0], [6.0], [7.0]], list("uuvvv"))
    ax = new_figure().subplots()
    assert profile.plot(ax) is ax
    assert plt.get_fignums() == []
    assert profile.plot().figure.number in plt.get_fignums()


def test_curves_go_through_the_numbers_and_pass_over_gaps():
    ax = draw_sweep_elbow(RESULTS, best_k=3, ax=new_figure().subplots())
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), [2, 3, 5, 6, 7])
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), INERTIA[[0, 1, 3, 4, 5]])
    ax = draw_sweep_scores(RESULTS, best_k=3, ax=new_figure().subplots())
    curves = {line.get_label(): line for line in ax.lines}
    np.testing.assert_array_equal(curves["mean over samples"].get_ydata(), SCORES[[0, 1, 3, 4, 5]])
    assert "highest silhouette: k = 3" in curves


def test_null_band_of_scores_is_two_standard_deviations_wide():
    mean, std = np.linspace(0.3, 0.1, 6), np.full(6, 0.02)
    ax = draw_sweep_scores(RESULTS | {"null_mean": mean, "null_std": std}, ax=new_figure().subplots())
    curves = {line.get_label(): line for line in ax.lines}
    np.testing.assert_array_equal(curves["data without clusters (± 2 sd)"].get_ydata(), mean)
    corners = ax.collections[0].get_paths()[0].vertices
    assert corners[:, 1].min() == pytest.approx(mean.min() - 0.04)
    assert corners[:, 1].max() == pytest.approx(mean.max() + 0.04)


def test_null_band_of_the_elbow_is_the_gap_above_the_inertia():
    gap, error = np.full(6, np.log(2)), np.full(6, 0.1)
    ax = draw_sweep_elbow(RESULTS | {"gap": gap, "gap_error": error}, ax=new_figure().subplots())
    curves = {line.get_label(): line for line in ax.lines}
    there = np.isfinite(INERTIA)
    np.testing.assert_allclose(curves["data without clusters (± 2 sd)"].get_ydata(), 2 * INERTIA[there])
    assert ax.collections[0].get_paths()[0].vertices[:, 1].max() == pytest.approx(2.4 * 9e5)


def test_a_distribution_counts_every_sample_on_its_side_of_zero():
    silhouettes = np.append(np.random.default_rng(0).uniform(-0.2, 0.7, 500), [np.nan, 0.0])
    ax = draw_distribution(silhouettes, score=0.25, ax=new_figure().subplots())
    left = [bar.get_height() for bar in ax.patches if bar.get_x() < -1e-6]
    right = [bar.get_height() for bar in ax.patches if bar.get_x() > -1e-6]
    assert sum(left) == np.count_nonzero(silhouettes < 0)
    assert sum(right) == np.count_nonzero(silhouettes >= 0)
    assert ax.get_xlim()[0] > -0.25


def test_one_k_alone_can_be_drawn(tmp_path):
    figure = new_figure()
    draw_sweep(
        {"n_clusters": KS[:1], "inertia": INERTIA[:1], "silhouette": SCORES[:1], "macro_silhouette": SCORES[:1]},
        best_k=2,
        axes=figure.subplots(1, 2),
    )
    save_picture(figure, tmp_path / "one.png")


def test_without_matplotlib_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    for draw in (new_figure, lambda: draw_sweep_elbow(RESULTS)):
        with pytest.raises(ImportError, match=r"pip install 'fastsil\[plots\]'"):
            draw()


@pytest.mark.parametrize("n_clusters", [9, 12, 16])
def test_neighbors_on_the_map_have_different_colors(n_clusters):
    middles = np.random.default_rng(n_clusters).uniform(size=(n_clusters, 2))
    chosen = choose_colors(middles, 8)
    colors = np.array([color for color, _ in chosen])
    nearest = np.argsort(np.linalg.norm(middles[:, None] - middles, axis=2), axis=1)[:, 1]
    assert (colors[nearest] != colors).all()
    assert len(set(chosen)) == n_clusters


def test_a_map_shows_every_sample_of_every_cluster_and_its_label():
    rng = np.random.default_rng(0)
    places, codes = rng.normal(size=(60, 2)), np.arange(60) % 10
    labels = np.array([f"$\\{c}$" for c in range(10)])
    ax = draw_map(places, codes, labels, ax=new_figure().subplots())
    drawn = np.vstack([dots.get_offsets() for dots in ax.collections])
    np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(places, axis=0))
    assert [text.get_text() for text in ax.texts] == labels.tolist()
    ax.figure.canvas.draw()


def test_a_map_of_silhouettes_marks_the_negative_ones():
    places = np.array([[0.0, 0], [1, 1], [2, 2]])
    ax = draw_silhouette_map(places, np.array([0.5, -0.2, 0.0]), ax=new_figure().subplots())
    at_least_0, negative = ax.collections[:2]
    np.testing.assert_array_equal(at_least_0.get_offsets(), places[[0, 2]])
    np.testing.assert_array_equal(negative.get_offsets(), places[[1]])
    assert at_least_0.get_clim() == negative.get_clim() == (-0.5, 0.5)
    assert at_least_0.get_paths()[0].vertices.shape != negative.get_paths()[0].vertices.shape


def test_labels_are_no_formulas():
    ax = draw_silhouettes(
        np.array([0.5, 0.2]), np.array([0, 1]), np.array(["$\\x$", "b"]), score=0.3, ax=new_figure().subplots()
    )
    ax.figure.canvas.draw()


def test_samples_between_two_clusters_are_drawn_bin_by_bin():
    counts = np.arange(40)
    ax = draw_profile_between(counts, "1 and 2", ax=new_figure().subplots())
    assert [bar.get_height() for bar in ax.patches] == [counts[i : i + 2].sum() for i in range(0, 40, 2)]
    assert [line.get_xdata()[0] for line in ax.lines] == [-0.5, 0.5]
    assert ax.get_title(loc="left") == "Between clusters 1 and 2"


def test_names_of_clusters_are_no_formulas():
    rng = np.random.default_rng(0)
    codes = np.arange(60) % 3
    X = rng.normal(size=(60, 2)) + 9 * codes[:, None]
    profile = silhouette_profile(X, FORMULAS[codes])
    for draw in (profile.plot, lambda ax: draw_map(X, codes, FORMULAS, ax=ax)):
        figure, ax = plt.subplots()
        draw(ax=ax)
        figure.canvas.draw()
        texts = [text for text in figure.findobj(matplotlib.text.Text) if "$" in text.get_text()]
        assert {text.get_text() for text in texts} >= set(FORMULAS[:2]), draw
        assert not any(text.get_parse_math() for text in texts)

"""The command: what it prints, what it writes, and how it fails."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_iris
from sklearn.metrics import silhouette_samples, silhouette_score

pytest.importorskip("typer")
pytest.importorskip("matplotlib")
pandas = pytest.importorskip("pandas")

from typer.testing import CliRunner  # noqa: E402

from fastsil.cli.commands import app  # noqa: E402
from fastsil.cli.readers import Reading  # noqa: E402
from fastsil.cli.sweep import Asked, Settings  # noqa: E402
from fastsil.report.page import load_templates  # noqa: E402
from fastsil.runtime.atomic_files import write_record  # noqa: E402
from tests.report_pages import Page, assert_pictures_are_those_of_the_page  # noqa: E402

pytestmark = pytest.mark.usefixtures("folder")

IRIS = load_iris(as_frame=True)


def run(*args, exit_code=0):
    """Run the command, without null sets unless a test asks for some: they take a second."""
    if args[0] in ("sweep", "demo") and not {"--n-null", "--resume"} & set(args):
        args = (*args, "--n-null", "0")
    result = CliRunner().invoke(app, list(args), catch_exceptions=False)
    assert result.exit_code == exit_code, result.output
    return result


def fails(*args):
    """The sentence of a failure: exit code 2, one line, no traceback, nothing on standard output but headings."""
    result = run(*args, exit_code=2)
    assert "Traceback" not in result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1, result.stderr
    return lines[0]


def test_demo_sweeps_digits_and_writes_a_folder(folder):
    result = CliRunner().invoke(app, ["demo", "--k", "8:10"], catch_exceptions=False)
    assert "Separate groups: k = 9." in result.stdout
    assert "pairs of clusters are separate" in " ".join(result.stdout.split())
    assert "1,797 samples, 64 features" in result.stdout
    assert "Of these, k = 9 has a mean silhouette of" in " ".join(result.stdout.split())
    assert "no substantial structure" not in result.stdout
    assert "10 true classes" in result.stdout
    made = folder / "fastsil-digits"
    names = ["elbow.png", "fastsil.json", "samples.parquet", "silhouette.png", "silhouette_k9.png", "sweep.csv"]
    if importlib.util.find_spec("jinja2"):
        names.insert(2, "report.html")
        page = Page(made / "report.html")
        assert "A map of k = 9" in page.text
        assert_pictures_are_those_of_the_page(made, page)
    assert sorted(path.name for path in made.iterdir()) == names
    assert all(f"  {name}" in result.stdout for name in names)

    digits = load_digits().data
    table = pandas.read_csv(made / "sweep.csv").set_index("n_clusters")
    assert table.loc[9, "inertia"] == pytest.approx(KMeans(9, n_init=10, random_state=0).fit(digits).inertia_, rel=1e-3)
    samples = pandas.read_parquet(made / "samples.parquet")
    labels = samples["label_k9"].to_numpy()
    assert table.loc[9, "silhouette"] == pytest.approx(silhouette_score(digits, labels), abs=1e-8)
    np.testing.assert_allclose(samples["silhouette_k9"], silhouette_samples(digits, labels), atol=1e-8)
    assert {"label_k8", "silhouette_k10", "neighbor_k10"} <= set(samples)


@pytest.mark.slow
def test_null_sets_say_whether_there_is_structure(folder):
    result = run("sweep", "iris.npy", "--k", "2:3", "--n-null", "19", "--n-init", "2")
    assert "Separate groups: k = 2." in result.stdout
    table = pandas.read_csv(folder / "fastsil-iris" / "sweep.csv")
    assert (table["null_mean"] < table["silhouette"]).all()
    assert "n_null=1" in fails("sweep", "iris.npy", "--n-null", "1")


@pytest.mark.slow
def test_parts_of_the_data_are_compared(folder):
    result = run("sweep", "iris.npy", "--k", "2:3", "--n-stability", "2", "--n-init", "2")
    assert "adjusted Rand index" in result.stdout
    assert pandas.read_csv(folder / "fastsil-iris" / "sweep.csv")["stability"].between(0, 1).all()


@pytest.mark.slow
def test_geometries_are_shown_side_by_side(folder):
    result = run(
        "sweep",
        "iris.npy",
        "--k",
        "2:3",
        "--metric",
        "euclidean",
        "--metric",
        "cosine",
        "--pca",
        "none",
        "--pca",
        "2",
        "--n-null",
        "0",
    )
    assert "euclidean, pca 2" in result.stdout
    assert "The rest is about euclidean." in result.stdout
    assert "cosine, pca 2: k = 3: inertia" in result.stderr
    table = pandas.read_csv(folder / "fastsil-iris" / "sweep.csv")
    assert list(table["metric"]) == ["euclidean"] * 4 + ["cosine"] * 4
    assert table["pca"].isna().tolist() == [True, True, False, False] * 2
    result = run(
        "sweep", "iris.npy", "--k", "2:3", "--metric", "euclidean", "--metric", "cosine", "--n-null", "4", "-q"
    )
    assert "Would another geometry help?" in result.stdout
    assert json.loads((folder / "fastsil-iris" / "fastsil.json").read_text())["metric"] == ["euclidean", "cosine"]


def test_a_folder_is_gone_on_with_or_the_reason_is_printed(folder):
    result = run("sweep", "iris.npy", "--k", "2:4", "-q")
    assert not (folder / "fastsil-iris" / "fastsil-checkpoint").exists()
    assert "is finished; there is nothing to go on with" in fails("sweep", "--resume", "fastsil-iris")
    assert "no sweep in nowhere to go on with" in fails("sweep", "--resume", "nowhere")
    assert "sweep needs a FILE" in fails("sweep")
    asked = Asked(
        str(folder / "iris.npy"), Reading(), Settings("iris", "2:4", ["euclidean"], ["none"], "kmeans", 10, 0, 0, 0)
    )
    (folder / "there" / "fastsil-checkpoint").mkdir(parents=True)
    record = folder / "there" / "fastsil-checkpoint" / "asked.json"
    write_record(record, asked.as_record())
    assert "leave out --n-init" in fails("sweep", "--resume", "there", "--n-init", "3")
    again = run("sweep", "--resume", "there", "-q")
    assert "Separate groups: k = 2" in again.stdout
    assert again.stdout.split("Written")[0].count("0.6810") == result.stdout.split("Written")[0].count("0.6810")
    record.parent.mkdir()
    write_record(record, asked.as_record())
    record.write_text(record.read_text().replace("kmeans", "kmeens"))
    assert "is damaged" in fails("sweep", "--resume", "there")
    record.write_text('{"file": "iris.npy"}')
    assert "asked.json is no record of fastsil" in fails("sweep", "--resume", "there")


@pytest.mark.slow
def test_numbers_go_to_stdout_and_progress_to_stderr():
    result = run("sweep", "iris.npy", "--k", "2:4")
    assert "Separate groups: k = 2" in result.stdout
    assert "k = 3: inertia" in result.stderr
    assert "k = 3: inertia" not in result.stdout
    assert run("sweep", "iris.npy", "--k", "2:4", "--quiet").stderr == ""


@pytest.mark.slow
def test_a_second_run_replaces_its_own_files_only(folder):
    run("sweep", "iris.npy", "--k", "2:4", "--out", "there", "-q")
    (folder / "there" / "mine.txt").write_text("keep")
    (folder / "there" / "silhouette_k99.png").write_text("keep")
    run("sweep", "iris.npy", "--k", "3:4", "--out", "there", "-q")
    names = {path.name for path in (folder / "there").iterdir()}
    assert {"mine.txt", "silhouette_k99.png", "silhouette_k3.png"} <= names
    assert "silhouette_k2.png" not in names
    assert json.loads((folder / "there" / "fastsil.json").read_text())["n_clusters"] == [3, 4]


@pytest.mark.parametrize(
    "name", ["sweep.csv", *(pytest.param(name, marks=pytest.mark.slow) for name in ("silhouette.png", "fastsil.json"))]
)
def test_files_of_the_user_are_replaced_by_force_only(name, folder):
    (folder / "there").mkdir()
    (folder / "there" / name).write_text("mine")
    assert f"there has a file {name} that fastsil did not write" in fails(
        "sweep", "iris.npy", "--k", "2:3", "-o", "there"
    )
    assert (folder / "there" / name).read_text() == "mine"
    run("sweep", "iris.npy", "--k", "2:3", "-o", "there", "-q", "--force")
    run("sweep", "iris.npy", "--k", "2:3", "-o", "there", "-q")
    with (folder / "there" / "sweep.csv").open("a") as file:
        file.write("mine")
    assert "or that was changed since" in fails("sweep", "iris.npy", "--k", "2:3", "-o", "there")


def test_a_checkpoint_of_the_user_survives(folder):
    for place in ("there/checkpoint", "there/fastsil-checkpoint"):
        (folder / place).mkdir(parents=True)
        for name in ("mine.npz", ".mine.npz"):
            (folder / place / name).write_text("mine")
    (folder / "target").mkdir()
    (folder / "target" / "mine.npz").write_text("mine")
    (folder / "linked").mkdir()
    (folder / "linked" / "fastsil-checkpoint").symlink_to(folder / "target")
    for out in ("there", "linked"):
        run("sweep", "iris.npy", "--k", "2:3", "-q", "-o", out)
    for place in ("there/checkpoint", "there/fastsil-checkpoint", "target"):
        assert {path.name for path in (folder / place).iterdir()} <= {"mine.npz", ".mine.npz"}
        assert (folder / place / "mine.npz").read_text() == "mine"


HOSTILE = [
    "[/red]",
    "[unk]",
    "[bold]x",
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "\u202egnol",
    "a\nb",
    "l" * 5000,
    "$\\frac$",
]


def test_labels_and_names_are_printed_as_they_are(folder):
    np.save("names.npy", np.repeat(HOSTILE, 150 // len(HOSTILE) + 1)[:150])
    result = run("score", "iris.npy", "names.npy", "--out", "there")
    for shown in ("[/red]", "[unk]", "[bold]x", "\\x1b[31mred", "\\x1b]0;title", "\\u202egnol", "a\\nb", "lll…"):
        assert shown in result.stdout
    assert not {"\x1b", "\x07", "\u202e"} & set(result.output)
    assert "l" * 50 not in result.stdout
    label = pandas.read_csv(folder / "there" / "clusters.csv")["label"]
    assert set(label) == set(HOSTILE)
    IRIS.data.set_axis(["[/red]", "\x1b[31m", "\u202e", "[b]"], axis=1).to_csv("[bold]\x1b.csv", index=False)
    result = run("sweep", "[bold]\x1b.csv", "--k", "2:3")
    assert "columns used: [/red], \\x1b[31m, \\u202e, [b]" in result.stderr
    assert "\x1b" not in result.output


@pytest.mark.parametrize(
    "clusterer", ["bisecting", *(pytest.param(name, marks=pytest.mark.slow) for name in ("minibatch", "agglomerative"))]
)
def test_other_clusterers(clusterer):
    assert "Separate groups: k = 2" in run("sweep", "iris.npy", "--k", "2,4", "--clusterer", clusterer, "-q").stdout


@pytest.mark.parametrize(
    "metric", ["cosine", *(pytest.param(name, marks=pytest.mark.slow) for name in ("mahalanobis", "manhattan"))]
)
def test_metrics(metric, folder):
    run("sweep", "iris.csv", "--k", "3", "--metric", metric, "-q")
    samples = pandas.read_parquet(folder / "fastsil-iris" / "samples.parquet")
    expected = silhouette_samples(IRIS.data.to_numpy(), samples["label_k3"], metric=metric)
    np.testing.assert_allclose(samples["silhouette_k3"], expected, atol=1e-8)


def test_two_arrays_of_a_file_have_two_folders(folder):
    np.savez("two.v1.npz", train=IRIS.data, test=IRIS.data)
    run("sweep", "two.v1.npz:train", "--k", "2", "-q")
    run("sweep", "two.v1.npz", "--key", "test", "--k", "2", "-q")
    assert {path.name for path in folder.glob("fastsil-*")} == {"fastsil-two.v1-train", "fastsil-two.v1-test"}


def test_going_on_replaces_no_file_of_the_user(folder):
    settings = Settings("iris", "2:3", ["euclidean"], ["none"], "kmeans", 1, 0, 0, 0)
    record = Asked("iris.npy", Reading(), settings).as_record()
    (folder / "there" / "fastsil-checkpoint").mkdir(parents=True)
    write_record(folder / "there" / "fastsil-checkpoint" / "asked.json", record)
    (folder / "there" / "sweep.csv").write_text("mine")
    assert "there has a file sweep.csv that fastsil did not write" in fails("sweep", "--resume", "there")
    assert (folder / "there" / "sweep.csv").read_text() == "mine"
    run("sweep", "--resume", "there", "--force", "-q")
    assert (folder / "there" / "sweep.csv").read_text() != "mine"


def test_info_says_what_a_score_will_cost():
    printed = run("info", "iris.npy", "species.npy").stdout
    assert "Exact silhouettes of 150 samples in 3 clusters (euclidean: symmetric)" in " ".join(printed.split())
    assert "cosine" in " ".join(run("info", "iris.npy", "species.npy", "--metric", "cosine").stdout.split())


def test_info():
    printed = run("info", "iris.csv").stdout
    assert "150" in printed
    assert "float64" in printed
    assert "species" in printed
    assert "scikit-learn" in run("info").stdout
    broken = IRIS.data.to_numpy().copy()
    broken[7, 2] = np.inf
    np.save("broken.npy", broken)
    assert "row 7, column 2" in run("info", "broken.npy").stdout


def test_a_folder_of_parquet_files_is_a_file_of_samples(folder):
    pytest.importorskip("pyarrow")
    (folder / "parts").mkdir()
    features = IRIS.data.reset_index(drop=True)
    for place, rows in enumerate((features[:90], features[90:])):
        rows.reset_index(drop=True).to_parquet(folder / "parts" / f"{place}.parquet")
    printed = run("info", "parts").stdout
    assert "150" in printed
    assert "KiB" in printed
    np.save("labels.npy", IRIS.target.to_numpy())
    assert "0.503" in run("score", "parts", "labels.npy").stdout


def test_tables_as_pandas_writes_them_give_the_values_of_the_array(folder):
    """Names that are numbers, the index, the column of labels and decimal commas change nothing."""
    X, y = IRIS.data.to_numpy(), IRIS.target.to_numpy()
    frame = pandas.DataFrame(X)
    frame.to_csv("wide.csv", index=False)
    frame.to_csv("index.csv")
    frame.to_csv("german.csv", sep=";", decimal=",")
    frame.assign(label=y).to_csv("leak.csv", index=False)
    pandas.Series(y).to_csv("labels.csv", index=False)
    (folder / "numbers.csv").write_text("\n".join(map(str, y)))
    expected = f"Mean silhouette {silhouette_score(X, y):.4f}"
    for args in (
        ("wide.csv", "labels.csv"),
        ("index.csv", "numbers.csv"),
        ("german.csv", "labels.csv"),
        ("german.csv", "species.npy", "--sep", ";", "--decimal", ","),
        ("leak.csv", "leak.csv:label"),
        ("leak.csv", "leak.csv"),
        ("leak.csv", "species.npy", "--features", "0:3"),
        ("leak.csv", "species.npy", "--exclude", "label"),
    ):
        result = run("score", *args)
        assert expected in result.stdout, args
        assert "columns used: 0, 1, 2, 3 (4 numeric)" in result.stderr
    for name in ("wide.csv", "index.csv", "german.csv"):
        # It ends at k, after the data were read.
        assert "150 samples, 4 features" in run("sweep", name, "--k", "200", exit_code=2).stdout
    assert "separator ';' and the decimal mark ','" in run("info", "german.csv").stdout
    assert "151" in run("info", "wide.csv", "--no-header").stdout
    assert "equal to the labels: label" in run("score", "leak.csv", "species.npy").stderr


def test_a_sweep_is_resumed_with_the_columns_that_were_chosen(folder):
    reading = Reading(features=("petal length (cm),petal width (cm)",), header=True)
    settings = Settings("iris", "none", ["euclidean"], ["none"], "kmeans", 2, 0, 0, 0)  # it ends there
    (folder / "there" / "fastsil-checkpoint").mkdir(parents=True)
    asked = Asked(str(folder / "iris.csv"), reading, settings)
    write_record(folder / "there" / "fastsil-checkpoint" / "asked.json", asked.as_record())
    assert "leave out --features" in fails("sweep", "--resume", "there", "--features", "species")
    assert "150 samples, 2 features" in run("sweep", "--resume", "there", exit_code=2).stdout


def test_info_goes_on_at_gaps(folder):
    frame = IRIS.data.copy()
    frame.iloc[[7, 9], 2] = np.nan
    frame.to_csv("gaps.csv", index=False)
    frame.to_parquet("gaps.parquet")
    for name in ("gaps.csv", "gaps.parquet"):
        assert "2 empty or NaN cells, the first in row 8" in fails("score", name, "species.npy")
        printed = " ".join(run("info", name, "species.npy").stdout.split())
        assert "column 'petal length (cm)' has 2 empty or NaN cells, the first in row 8 of the data" in printed
        assert "finite no." in printed
        assert "Exact silhouettes of 148 samples in 3 clusters" in printed
        assert "Without the 2 rows that have gaps." in printed


def test_help_and_version():
    assert "demo" in run("--help").stdout
    assert "2:16" in run("sweep", "--help").stdout
    assert run("--version").stdout.startswith("fastsil ")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["sweep", "none.npy"], "there is no file none.npy"),
        (["sweep", "iris.csv", "--k", "abc"], "--k abc is not understood"),
        (["sweep", "iris.csv", "--k", "16:2"], "no number in it"),
        (["sweep", "iris.csv", "--k", "2:1:0"], "not understood"),
        (["sweep", "iris.csv", "--k", "2:150"], "n_samples=150"),
        (["sweep", "iris.csv", "--metric", "euclidian"], "Did you mean 'euclidean'"),
        (["sweep", "iris.csv", "--pca", "few"], "--pca few is not understood"),
        (["sweep", "iris.csv", "--pca", "9"], "pca=9 is out of range"),
        (["sweep", "iris.csv", "--clusterer", "magic"], "choose one of: kmeans"),
        (["sweep", "iris.csv", "--drop", "petals"], "no column 'petals'"),
        (["sweep", "iris.csv", "--out", "iris.npy"], "iris.npy cannot be written to"),
        (["sweep", "iris.csv", "--n-jobs", "0"], "n_jobs"),
        (["demo", "mars"], "choose one of: digits"),
        (["demo", "iris", "--metric", "seuclidean", "--metric", "nonsense"], "nonsense"),
        (["score", "iris.npy"], "labels once"),
        (["score", "iris.npy", "iris.npy"], "labels are one for each sample"),
        (["score", "iris.npy", "short.txt"], "labels has 2 entries but X has 150 rows"),
        (["info", "short.txt"], "ending .txt"),
    ],
)
def test_what_is_wrong_is_printed_in_a_sentence(args, words, folder):
    (folder / "short.txt").write_text("1\n2\n")
    before = sorted(path.name for path in folder.iterdir())
    assert words in fails(*args)
    assert sorted(path.name for path in folder.iterdir()) == before


def test_nan_in_the_data_is_printed_with_its_place(folder):
    broken = IRIS.data.to_numpy().copy()
    broken[7, 2] = np.nan
    np.save("broken.npy", broken)
    assert "row 7, column 2" in fails("sweep", "broken.npy")


def test_a_k_that_fails_is_a_note_and_the_others_are_shown(monkeypatch, folder):
    fit = KMeans.fit

    def fail_at_three(self, X, *args, **kwargs):
        if self.n_clusters == 3:
            raise RuntimeError("out of luck")
        return fit(self, X, *args, **kwargs)

    monkeypatch.setattr(KMeans, "fit", fail_at_three)
    result = run("sweep", "iris.npy", "--k", "2:4")
    assert "note: 1 of 3 clusterings failed. k=3: RuntimeError: out of luck" in result.stderr
    assert "Separate groups: k = 2" in result.stdout
    assert "out of luck" in (folder / "fastsil-iris" / "sweep.csv").read_text()


def test_without_matplotlib_there_is_a_table_and_a_note(monkeypatch, folder):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run("sweep", "iris.npy", "--k", "2:4", "-q")
    assert "Separate groups: k = 2" in result.stdout
    assert "pictures need matplotlib; install it with: pip install 'fastsil[plots]'" in result.stderr
    assert not list((folder / "fastsil-iris").glob("*.png"))


def test_without_jinja_there_are_pictures_and_a_note(monkeypatch, folder):
    load_templates.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    result = run("sweep", "iris.npy", "--k", "2:3", "-q")
    assert "no report: the report needs Jinja2; install it with: pip install 'fastsil[report]'" in result.stderr
    names = {path.name for path in (folder / "fastsil-iris").iterdir()}
    assert "silhouette.png" in names
    assert "report.html" not in names


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_its_packages_the_command_says_what_to_install(package):
    code = f"import sys; sys.modules[{package!r}] = None; from fastsil.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert (
        result.stderr == f"fastsil: the command fastsil needs {package}; install it with: pip install 'fastsil[all]'\n"
    )


def test_as_a_module_and_without_loading_more_than_it_needs():
    result = subprocess.run([sys.executable, "-m", "fastsil", "--version"], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("fastsil ")
    code = "import sys, fastsil.cli; print([m for m in ('typer', 'rich', 'sklearn', 'numba') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_keeps_what_is_finished_and_exits_with_130(folder):
    np.save("many.npy", np.random.default_rng(0).normal(size=(6000, 40)))
    command = [sys.executable, "-m", "fastsil", "sweep", "many.npy", "--k", "2:400", "--n-init", "1"]
    # Where the tests run in the background of a shell, signals of the keyboard are ignored, also by what they start.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
    seen = []
    for line in process.stderr:
        seen.append(line)
        if "k = 3" in line:
            break
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130, err
    assert "The choice is k = " in out
    assert "interrupted: " in err
    assert "Traceback" not in err
    assert len(pandas.read_csv(folder / "fastsil-many" / "sweep.csv")) >= 2

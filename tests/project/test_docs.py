"""Every code block of the README and of the documentation runs, and prints what the page shows."""

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

# Last, so that `fastsil` stays the package that the other tests meet.
sys.path.append(str(Path(__file__).resolve().parents[2] / "docs"))

import pages

# What pages need beyond what fastsil does; without it a page is not looked at.
PACKAGES = ("matplotlib", "yellowbrick", "pandas", "polars", "pyarrow", "dask")
# Blocks for the reader only: they install, or work on the reader's own files.
READER_ONLY = re.compile(r"^(#.*|python3? -m .*|\.venv/bin/.*|pip install .*|fastsil .*|)$")

WITH_BLOCKS = [page for page in pages.pages() if "```" in page.read_text("utf-8")]


@pytest.fixture(autouse=True)
def _no_figures_left():
    """Nor another style for them: importing yellowbrick sets one."""
    if not find_spec("matplotlib"):
        yield
        return
    import matplotlib.pyplot as plt

    with plt.rc_context():
        yield
    plt.close("all")


@pytest.mark.filterwarnings("ignore")  # yellowbrick's own
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.slow] * (page.name != "README.md")) for page in WITH_BLOCKS],
    ids=lambda page: str(page.relative_to(pages.ROOT)),
)
def test_blocks_print_what_the_page_shows(page, tmp_path, monkeypatch):
    code = "".join(block.code for block in pages.find_blocks(page.read_text("utf-8")))
    for package in PACKAGES:
        if re.search(rf"^(import|from) {package}\b", code, re.MULTILINE):
            pytest.importorskip(package, exc_type=ImportError)
    if "density=True" in code:
        pytest.importorskip("hdbscan", exc_type=ImportError)
    if "get_cmap" in code:  # put back what the page puts into matplotlib
        import matplotlib.cm

        monkeypatch.setattr(matplotlib.cm, "get_cmap", None, raising=False)
    wrong = [
        f"line {block.line}: {line}"
        for block, printed in pages.run_page(page, pages.prepare(tmp_path))
        for line in pages.differences(block.shown or "", printed)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: str(page.relative_to(pages.ROOT)))
def test_blocks_that_are_not_run_are_for_the_reader_only(page):
    for block in pages.find_blocks(page.read_text("utf-8")):
        if block.language == "sh":
            for line in block.code.splitlines():
                assert READER_ONLY.match(line), f"line {block.line}: {line}"
        else:
            assert block.language in ("python", "console"), f"line {block.line}: what is {block.language}?"


def test_a_wrong_page_is_noticed():
    assert not pages.differences("best k 6\nscore 0.10, 159 negative", "best k 6\nscore 0.11, 160 negative")
    assert pages.differences("score 0.10", "score 0.12")
    assert pages.differences("best k 6", "best k 7")
    assert pages.differences("k = 6 is best", "k = 6 is worst")
    assert pages.differences("", "something")
    block, later = pages.find_blocks("one\n```python\nprint(1)\n```\n\n```text\n2\n```\n\n```python\nx\n```\n")
    assert (block.shown, later.shown, later.line) == ("2\n", None, 10)

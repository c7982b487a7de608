"""House rules of prose that a machine can check: first words of docstrings, and figures of speech."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "fastsil").rglob("*.py"))
PAGES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "ARCHITECTURE.md"])

# A function's docstring begins with a verb: with none of these words, and with no plural or third person.
NO_VERB = re.compile(
    "A|All|An|And|As|At|By|Each|Every|Everything|For|From|How|If|In|Least|Like|Lower|Mean|Most|No|Nothing|"
    "Number|Of|On|One|Other|Our|Part|Rough|Same|Silhouette|So|Some|Such|The|Their|These|This|Those|Time|Two|"
    "Upper|What|When|Where|Whether|Which|Who|Why|With|Without"
)
VERBS_IN_S = {"Bypass", "Compress", "Express", "Pass", "Process"}
# A class's docstring begins with a noun phrase: with no question and no preposition.
NO_NOUNS = {"As", "By", "How", "In", "Of", "So", "What", "Where", "Whether", "Which", "Who", "Why"}

# Figures of speech: memory is no room, and a comparison is made with something, not beside it.
FIGURES = r"rooms?|beside|so many|told|held against|what speaks|where it stands|whoever|waits for (any|no)body"
TEXTS = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
# In a page a reader may ask and tell; code does not.
OF_CODE = r"tells?|asks?|asked for|knows"
IN_PAGES = re.compile(rf"\b({FIGURES})\b", re.IGNORECASE)
IN_SOURCES = re.compile(rf"\b({FIGURES}|{OF_CODE})\b", re.IGNORECASE)


def first_word(node):
    return ast.get_docstring(node).split()[0].rstrip(",.:;")


def documented(tree, kinds):
    return [node for node in ast.walk(tree) if isinstance(node, kinds) and ast.get_docstring(node)]


def is_property(function):
    return any("property" in ast.unparse(decorator) for decorator in function.decorator_list)


def faults_of_first_words(source):
    """Yield the line and the first word of docstrings that begin otherwise than the rule wants."""
    tree = ast.parse(source)
    for node in documented(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        word = first_word(node)
        plural = word.endswith("s") and word not in VERBS_IN_S
        if not is_property(node) and (NO_VERB.fullmatch(word) or plural or not re.fullmatch("[A-Z][a-z-]+", word)):
            yield node.lineno, word
    for node in documented(tree, ast.ClassDef):
        if first_word(node) in NO_NOUNS:
            yield node.lineno, first_word(node)


def figures_of_speech(source):
    """Yield the line and the word of figures of speech in comments and texts."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in TEXTS:
            for match in IN_SOURCES.finditer(token.string):
                yield token.start[0] + token.string.count("\n", 0, match.start()), match[0]


def faults_in_sources(rule):
    """List the places where a rule finds a fault."""
    return [
        f"{path.relative_to(ROOT)}:{line}: {word}" for path in SOURCES for line, word in rule(path.read_text("utf-8"))
    ]


def test_docstrings_begin_with_a_verb_or_a_noun():
    assert not faults_in_sources(faults_of_first_words)


def test_sources_use_no_figures_of_speech():
    assert not faults_in_sources(figures_of_speech)


def test_pages_use_no_figures_of_speech():
    faults = []
    for path in PAGES:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            faults += [f"{path.relative_to(ROOT)}:{number}: {match[0]}" for match in IN_PAGES.finditer(line)]
    assert not faults


@pytest.mark.parametrize(
    ("docstring", "fault"),
    [
        ("Return the mean.", None),
        ("What the mean is.", "What"),
        ("Whether there is a mean.", "Whether"),
        ("Returns the mean.", "Returns"),
        ("``x`` squared.", "``x``"),
    ],
)
def test_the_rule_of_first_words_finds_its_faults(docstring, fault):
    source = f'def mean():\n    """{docstring}"""\n'
    assert list(faults_of_first_words(source)) == ([(1, fault)] if fault else [])


def test_the_rule_of_figures_finds_its_faults():
    source = 'x = 1  # nothing beside it\ny = f"{x} tells of\\n {x}"\n'
    assert [word for _, word in figures_of_speech(source)] == ["beside", "tells"]

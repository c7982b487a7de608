"""The house rules that a machine can check: who imports whom, what a kernel is, what `import fastsil` loads."""

import ast
import contextlib
import functools
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from numba.core.dispatcher import Dispatcher

import fastsil
import fastsil.kernels
import reference

ROOT = Path(__file__).resolve().parents[2]
OPTIONAL = [
    "matplotlib",
    "pandas",
    "polars",
    "pyarrow",
    "typer",
    "rich",
    "tqdm",
    "jinja2",
    "dask",
    "distributed",
    "hdbscan",
    "zarr",
]
# scikit-learn loads some of them itself where they are installed; only what it does not load is our doing.
SCIKIT_LEARN = "import sklearn.metrics, sklearn.cluster, sklearn.utils"
KERNEL_MODULES = sorted(
    {module.name for module in pkgutil.iter_modules(fastsil.kernels.__path__, "fastsil.kernels.")}
    - {"fastsil.kernels.caching", "fastsil.kernels.micro"}
)
# Of functions that kernels call, and that are tested with them.
HELPERS = "fastsil.kernels.tiles"


def test_arrows_go_down_only():
    """The contracts of import-linter in pyproject.toml, on the installed package."""
    cli = pytest.importorskip("importlinter.cli", exc_type=ImportError)
    with contextlib.chdir(ROOT):
        assert cli.lint_imports(config_filename="pyproject.toml", no_cache=True) == 0


def test_the_picture_is_the_contract():
    """The packages of the picture and of the table in ARCHITECTURE.md are those of the contract and of the folder."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    picture = re.search(r"\n\n((?: {4}.+\n)+)", text)[1]
    drawn = [set(re.findall(r"\w+", line)) for line in picture.splitlines()]
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = [set(layer.split(" | ")) for layer in contracts[0]["layers"]]
    assert [packages for packages in drawn if packages] == layers
    packages = set.union(*layers) - {"__main__"}
    assert sorted(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == sorted(packages)
    assert packages == {module.name for module in pkgutil.iter_modules(fastsil.__path__)} - {"__main__"}


def test_tests_are_laid_out_as_the_packages_are():
    folders = {path.name for path in (ROOT / "tests").iterdir() if any(path.glob("**/test_*.py"))}
    packages = {module.name for module in pkgutil.iter_modules(fastsil.__path__)} - {"__main__"}
    assert folders == packages | {"project", "promises"}


def test_long_modules_have_a_reason():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    limit = int(re.search(r"A module has at most (\d+) lines", text)[1])
    named = set(re.findall(r"^- `(\S+\.py)`:", text, re.MULTILINE))
    paths = [path for pattern in ("fastsil/**/*.py", "tests/**/*.py", "*/*.py") for path in ROOT.glob(pattern)]
    long = {path.relative_to(ROOT).as_posix() for path in paths if len(path.read_text().splitlines()) > limit}
    assert long == named


def dispatchers():
    """(qualified name, dispatcher) of every compiled function that a module of kernels defines."""
    for path in KERNEL_MODULES:
        module = importlib.import_module(path)
        for name, value in vars(module).items():
            if isinstance(value, Dispatcher) and value.py_func.__module__ == path:
                yield f"{path}.{name}", value


COMPILED = dict(dispatchers())
KERNELS = {
    name: kernel
    for name, kernel in COMPILED.items()
    if not (name.rpartition(".")[2].startswith("_") or name.startswith(HELPERS))
}
compiled = pytest.mark.parametrize("name", COMPILED)
kernels = pytest.mark.parametrize("name", KERNELS)


def test_there_are_kernels_in_every_module_of_kernels():
    """Otherwise the tests below would have nothing to look at, and pass."""
    assert KERNEL_MODULES
    for path in set(KERNEL_MODULES) - {HELPERS}:
        assert any(name.startswith(f"{path}.") for name in KERNELS), f"{path} has no public kernel"


def test_every_decorated_function_is_looked_at():
    """The source names as many functions under a numba decorator as were found compiled."""
    for path in KERNEL_MODULES:
        tree = ast.parse(inspect.getsource(importlib.import_module(path)))
        decorated = {
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef)
            for decorator in node.decorator_list
            if any(isinstance(part, ast.Name) and "jit" in part.id for part in ast.walk(decorator))
        }
        assert decorated == {name.removeprefix(f"{path}.") for name in COMPILED if name.startswith(f"{path}.")}


@kernels
def test_a_kernel_has_a_naive_twin(name):
    kernel = name.rpartition(".")[2]
    assert callable(getattr(reference, kernel, None)), f"tests/reference.py has no {kernel}"


@kernels
def test_a_kernel_says_what_it_does(name):
    assert inspect.getdoc(KERNELS[name].py_func)


@kernels
def test_a_kernel_has_at_most_eight_arguments(name):
    assert len(inspect.signature(KERNELS[name].py_func).parameters) <= 8


@compiled
def test_flags(name):
    options = COMPILED[name].targetoptions
    assert options.get("nogil") is True
    assert options.get("error_model") == "numpy"
    assert not options.get("parallel")
    fastmath = options.get("fastmath", False)
    assert fastmath is False or isinstance(fastmath, set | frozenset), "fastmath is a named set, or documented as False"
    assert not fastmath or not {"nnan", "ninf", "fast"} & set(fastmath), "NaN and infinity must keep their meaning"


@compiled
def test_compiled_code_is_cached(name):
    assert type(COMPILED[name]._cache).__name__ != "NullCache"


@pytest.mark.parametrize("path", KERNEL_MODULES)
def test_kernels_import_nothing_of_ours_but_kernels(path):
    """The cache of compiled code does not see a change in another folder."""
    tree = ast.parse(inspect.getsource(importlib.import_module(path)))
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module]
        for imported in names:
            outside = imported.partition(".")[0] in {"__future__", "typing", "math", "numpy", "numba", "llvmlite"}
            assert outside or imported.startswith("fastsil.kernels."), f"{path} imports {imported}"


def test_the_reference_imports_nothing_of_what_it_judges():
    tree = ast.parse(inspect.getsource(reference))
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules <= {"__future__", "typing", "numpy", "math"}


@functools.cache
def loaded_by(statement):
    """Top-level names in sys.modules after a statement in a fresh interpreter, away from this folder."""
    code = f"import sys; {statement}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    # This interpreter's path, without the folder of the tests: an import must not find the helpers here.
    path = os.pathsep.join(entry for entry in sys.path if entry and Path(entry) != ROOT / "tests")
    environment = {**os.environ, "PYTHONPATH": path}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return set(result.stdout.split())


def test_import_fastsil_loads_next_to_nothing():
    assert not loaded_by("import fastsil") & {*OPTIONAL, "numba", "sklearn", "scipy", "numpy"}


def test_the_drop_in_loads_no_compiler():
    """It takes a third of a second, which a script that only imports the names must not pay."""
    names = "silhouette_samples, silhouette_score, silhouette_profile, patch_sklearn, plan"
    assert "numba" not in loaded_by(f"from fastsil import {names}")


def test_public_names_load_no_optional_package():
    """All of them in one interpreter, which takes a second to start."""
    names = ", ".join(name for name in fastsil.__all__ if name != "__version__")
    assert not (loaded_by(f"from fastsil import {names}") - loaded_by(SCIKIT_LEARN)) & set(OPTIONAL)


def test_scoring_loads_no_optional_package():
    loaded = loaded_by("import fastsil; fastsil.silhouette_score([[0.0], [1], [2]], [0, 0, 1])")
    assert not (loaded - loaded_by(SCIKIT_LEARN)) & set(OPTIONAL)


def test_public_names_are_all_there():
    for name in fastsil.__all__:
        assert getattr(fastsil, name) is not None
    assert set(fastsil.__all__) <= set(dir(fastsil))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        fastsil.nonsense  # noqa: B018


def test_the_package_is_typed():
    assert (Path(fastsil.__path__[0]) / "py.typed").exists()


@pytest.mark.parametrize(
    ("unlike", "words"),
    [("sys.maxsize = 2**31 - 1", "32-bit and little-endian"), ("sys.byteorder = 'big'", "64-bit and big-endian")],
)
def test_other_platforms_are_told(unlike, words):
    code = f"import sys; {unlike}\nimport fastsil"
    path = os.pathsep.join(entry for entry in sys.path if entry)
    environment = {**os.environ, "PYTHONPATH": path}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert result.returncode != 0
    assert words in result.stderr
    assert "64-bit little-endian platforms only" in result.stderr


def test_public_runs_take_the_versions_of_python_that_are_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [name[-4:] for name in project["classifiers"] if re.search(r"Python :: 3\.\d+$", name)]
    assert project["requires-python"] == f">={declared[0]}"
    matrix = re.search(r"python: \[(.+)\]", (ROOT / ".github" / "workflows" / "tests.yml").read_text())[1]
    assert re.findall(r"[\d.]+", matrix) == declared

"""``python -m fastsil SCRIPT``: a program runs as Python runs it, on fastsil."""

import functools
import os
import signal
import subprocess
import sys
import time
import zipapp

import pytest

from fastsil.cli.script import is_program

IS_OURS = """
import sys
import numpy as np
from sklearn.metrics import silhouette_score
X, labels = np.arange(6.0)[:, None], [0, 0, 0, 1, 1, 1]
try:
    silhouette_score(X, labels, average="macro")
except TypeError:
    print("theirs")
else:
    print("ours")
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def python(*arguments, **options):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, **options)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_a_script_runs_on_fastsil(folder):
    write(folder / "script.py", IS_OURS)
    assert python("script.py").stdout == "theirs\n"
    assert python("-m", "fastsil", "script.py").stdout == "ours\n"


@pytest.mark.slow
def test_a_module_runs_on_fastsil(folder):
    write(folder / "package" / "__init__.py", "")
    write(folder / "package" / "program.py", IS_OURS)
    result = python("-m", "fastsil", "-m", "package.program")
    assert result.stdout == "ours\n", result.stderr


SURROUNDINGS = """
import os, pickle, sys
import neighbor
class Thing: pass
thing = pickle.loads(pickle.dumps(Thing()))
names = sorted(set(globals()) - {"__annotations__", "__cached__"})
print(__name__, sys.argv, __file__, os.path.realpath(sys.path[0]), type(thing) is Thing)
print(names, __package__, __spec__ is None)
print(neighbor.__file__)
"""


@pytest.mark.parametrize("script", ["inner/script.py", pytest.param("./inner/script.py", marks=pytest.mark.slow)])
def test_surroundings_of_a_script_are_those_of_python(folder, script):
    write(folder / "inner" / "script.py", SURROUNDINGS)
    write(folder / "inner" / "neighbor.py", "")
    plain = python(script, "--k", "2", "-h")
    assert plain.returncode == 0
    ours = python("-m", "fastsil", script, "--k", "2", "-h")
    assert ours.stdout == plain.stdout, ours.stderr


@pytest.mark.slow
def test_surroundings_of_a_module_are_those_of_python(folder):
    write(folder / "package" / "__init__.py", "")
    write(folder / "package" / "program.py", SURROUNDINGS.replace("__spec__ is None", "__spec__.name"))
    write(folder / "neighbor.py", "")
    plain = python("-m", "package.program", "a")
    assert plain.returncode == 0
    assert python("-m", "fastsil", "-m", "package.program", "a").stdout == plain.stdout


@pytest.mark.slow
def test_a_script_given_with_its_folder_needs_no_ending(folder):
    write(folder / "program", "print('ran')")
    assert python("-m", "fastsil", f".{os.sep}program").stdout == "ran\n"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("sys.exit('why')", 1),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in [("sys.exit(7)", 7), ("sys.exit()", 0), ("1/0", 1)]),
    ],
)
def test_exit_codes_and_messages(folder, code, status):
    write(folder / "script.py", f"import sys\n{code}\n")
    plain, ours = python("script.py"), python("-m", "fastsil", "script.py")
    assert ours.returncode == plain.returncode == status
    assert (ours.stderr.splitlines() or [""])[-1] == (plain.stderr.splitlines() or [""])[-1]


RAISED = {
    "deep": "def divide():\n    return 1 / 0\n\ndivide()\n",
    "not Python": "def divide(:\n",
    "while another is handled": "try:\n    1 / 0\nexcept ZeroDivisionError:\n    [][1]\n",
    "from another": "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('no') from error\n",
    "with a hook": "import sys\nsys.excepthook = lambda kind, value, traceback: print(traceback.tb_lineno)\n1 / 0\n",
}


@pytest.mark.parametrize(
    "program", ["deep", *(pytest.param(name, marks=pytest.mark.slow) for name in RAISED if name != "deep")]
)
def test_a_traceback_is_that_of_python(folder, program):
    script = write(folder / "script.py", RAISED[program])
    plain, ours = python("script.py"), python("-m", "fastsil", "script.py")
    # Python names a script that it cannot read as it was given, others by their whole path.
    assert ours.stderr.replace(str(script), "script.py") == plain.stderr.replace(str(script), "script.py")
    assert ours.stdout == plain.stdout


@pytest.mark.slow
def test_a_traceback_of_a_module_begins_in_it(folder):
    write(folder / "package" / "__init__.py", "")
    module = write(folder / "package" / "program.py", "1 / 0\n")
    error = python("-m", "fastsil", "-m", "package.program").stderr
    assert error.startswith(f'Traceback (most recent call last):\n  File "{module}", line 1, in <module>\n')


def test_what_is_not_there():
    result = python("-m", "fastsil", "missing.py")
    assert (result.returncode, result.stderr) == (2, "fastsil: can't open file 'missing.py': no such file\n")
    for module in ("missing", "json.missing"):
        result = python("-m", "fastsil", "-m", module)
        assert (result.returncode, result.stderr) == (1, f"fastsil: no module named {module!r}\n")
    assert python("-m", "fastsil", "-m").returncode == 2


@pytest.mark.slow
def test_an_error_while_a_package_is_imported_is_shown_as_it_is(folder):
    write(folder / "broken" / "__init__.py", "import not_installed_at_all")
    result = python("-m", "fastsil", "-m", "broken.program")
    assert result.returncode == 1
    assert "ModuleNotFoundError: No module named 'not_installed_at_all'" in result.stderr


@pytest.mark.slow
def test_worker_processes_find_the_functions_of_the_script(folder):
    write(
        folder / "script.py",
        """
import multiprocessing
def square(x):
    return x * x
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(square, [1, 2, 3]))
""",
    )
    result = python("-m", "fastsil", "script.py")
    assert result.stdout == "[1, 4, 9]\n", result.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_ends_a_script_as_python_ends_it(folder):
    write(folder / "script.py", "import time\nprint('here', flush=True)\ntime.sleep(60)\n")
    command = [sys.executable, "-m", "fastsil", "script.py"]
    # Where the tests run in the background of a shell, signals of the keyboard are ignored, also by what they start.
    heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed
    ) as process:
        assert process.stdout.readline() == "here\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=600)
    assert process.returncode == -signal.SIGINT
    assert error.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize("command", ["demo", "sweep", "score", "info", "--version", "-h", "sweep.npy"])
def test_commands_are_no_programs(folder, command):
    write(folder / "demo", "raise SystemExit(9)")
    assert not is_program([command, "other.py"])


def test_no_arguments_are_no_program():
    assert not is_program([])


CLASSIC = """
import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_samples, silhouette_score
X = np.random.default_rng(0).normal(size=(300, 4))
for i in range(2, 6):
    kmeans = KMeans(n_clusters=i, n_init=1, random_state=0); labels = kmeans.fit_predict(X)
    print(f"{silhouette_score(X, labels):.9f}", (silhouette_samples(X, labels) < 0).sum())
"""


@pytest.mark.slow
def test_a_script_of_the_classic_kind(folder):
    write(folder / "script.py", CLASSIC)
    plain = python("script.py")
    assert plain.returncode == 0
    assert python("-m", "fastsil", "script.py").stdout == plain.stdout


def test_scripts_need_no_extras(folder):
    write(folder / "script.py", "import sys; print('typer' in sys.modules)")
    assert python("-m", "fastsil", "script.py").stdout == "False\n"


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_a_folder_or_an_archive_with_a_main_file(folder, packed):
    write(folder / "program" / "__main__.py", IS_OURS)
    if packed:
        zipapp.create_archive(folder / "program", folder / "program.pyz")
    result = python("-m", "fastsil", "program.pyz" if packed else f".{os.sep}program")
    assert result.stdout == "ours\n", result.stderr


@pytest.mark.slow
def test_a_thread_that_outlives_the_main_program(folder):
    code = """
import pickle, threading, time
class Thing: pass
def work():
    time.sleep(0.3)
    print(type(pickle.loads(pickle.dumps(Thing()))).__name__)
threading.Thread(target=work).start()
"""
    write(folder / "script.py", code)
    result = python("-m", "fastsil", "script.py")
    assert result.stdout == "Thing\n", result.stderr


def test_programs_are_known_by_the_separators_of_the_system(tmp_path, monkeypatch):
    import ntpath

    from fastsil.cli import script

    monkeypatch.setattr(script.Path, "exists", lambda path: True)
    monkeypatch.setattr(script.os, "path", ntpath)
    assert script.is_program(["./program"])
    assert script.is_program([".\\program"])
    assert not script.is_program(["sweep"])

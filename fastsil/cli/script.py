"""``python -m fastsil SCRIPT ARGS`` and ``-m MODULE ARGS``: existing programs, with fastsil in scikit-learn's place.

The program sees what Python shows it: ``__main__``, ``sys.argv``, ``sys.path``. It ends as it ends under Python, with
the same exit code and the same traceback.
"""

from __future__ import annotations

import builtins
import importlib.util
import io
import os
import runpy
import sys
import types
import zipfile
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path

_ENDINGS = (".py", ".pyw", ".pyz")


def is_program(arguments: Sequence[str]) -> bool:
    """Return whether these are a program and its arguments, rather than a command of fastsil and its own.

    A program is ``-m MODULE``, a name that ends as Python's files do, or an existing file given with its folder
    (``./program``): commands have neither dots nor slashes.

    Examples
    --------
    >>> is_program(["analysis.py", "--fast"]), is_program(["-m", "package"]), is_program(["sweep", "data.npy"])
    (True, True, False)
    """
    if not arguments:
        return False
    first = arguments[0]
    return first == "-m" or first.endswith(_ENDINGS) or (os.path.dirname(first) != "" and Path(first).exists())


def run_program(arguments: Sequence[str]) -> None:
    """Run it as ``__main__``, patched.

    Parameters
    ----------
    arguments : sequence of str
        ``["-m", module, ...]`` or ``[script, ...]``.

    Raises
    ------
    SystemExit
        If there is no such program (2 for a script, 1 for a module, as Python does), or as the program ends itself.
    BaseException
        Any exception of the program.
    """
    try:
        if arguments[0] == "-m":
            _run_module(arguments[1:])
        else:
            _run_script(arguments)
    except (Exception, KeyboardInterrupt) as error:
        _hide_own_frames(error)
        raise


def _hide_own_frames(error: BaseException) -> None:
    """Start the traceback at the program's first line, for every hook that may show it."""
    shown = error.__traceback__
    while shown is not None and shown.tb_frame.f_code.co_filename in (__file__, runpy.__file__, "<frozen runpy>"):
        shown = shown.tb_next
    hook = sys.excepthook

    def show(kind: type[BaseException], value: BaseException, traceback: types.TracebackType | None) -> None:
        # By now it also has the frames that the error has left.
        if value is error:
            value, traceback = value.with_traceback(shown), shown
        hook(kind, value, traceback)

    sys.excepthook = show


def _run_module(arguments: Sequence[str]) -> None:
    if not arguments:
        _give_up("-m needs the name of a module", 2)
    module = arguments[0]
    _begin(arguments, "")
    if not _is_found(module):
        _give_up(f"no module named {module!r}", 1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _run_script(arguments: Sequence[str]) -> None:
    script = arguments[0]
    if not os.path.exists(script):
        _give_up(f"can't open file {script!r}: no such file", 2)
    _begin(arguments, os.path.dirname(os.path.realpath(script)))
    if os.path.isdir(script) or zipfile.is_zipfile(script):
        runpy.run_path(script, run_name="__main__")
        return
    # runpy.run_path would change sys.argv[0], and take the module away while threads of the program still run.
    path = os.path.join(os.getcwd(), script)
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=path, __builtins__=builtins, __loader__=SourceFileLoader("__main__", path))
    sys.modules["__main__"] = main
    with io.open_code(path) as file:
        code = compile(file.read(), path, "exec")
    exec(code, main.__dict__)


def _begin(arguments: Sequence[str], folder: str) -> None:
    from fastsil.scoring.sklearn_patch import patch_sklearn

    if sys.stderr.isatty():
        print(f"fastsil: {arguments[0]} runs with fastsil in place of scikit-learn's silhouettes", file=sys.stderr)
    sys.argv[:] = arguments
    if not sys.flags.safe_path:
        # Python put the place of this program there.
        sys.path[0] = folder or os.getcwd()
    patch_sklearn()


def _is_found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError as error:
        # A package around it is missing; or something else that the package imports, which is its own error.
        if not f"{module}.".startswith(f"{error.name}."):
            raise
        return False


def _give_up(sentence: str, code: int) -> None:
    print(f"fastsil: {sentence}", file=sys.stderr)
    raise SystemExit(code)

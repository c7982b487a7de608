"""The command ``fastsil``: ``commands`` takes arguments, ``console`` prints, ``results_folder`` writes results.

``script`` runs programs of others.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

from fastsil.cli.script import is_program, run_program


def main() -> None:
    """Run the command; its packages are loaded here, so that an import of this package costs nothing.

    Raises
    ------
    SystemExit
        Always: 0 if all went well, 2 with one sentence on standard error if the user has something to mend,
        130 after Ctrl-C. A program that is run (``SCRIPT.py ARGS`` or ``-m MODULE ARGS``) ends as it likes.
    """
    if is_program(sys.argv[1:]):
        run_program(sys.argv[1:])
        return
    try:
        with _ending_on_interrupt():
            from fastsil.cli.commands import app
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich", "click"):
            raise
        sys.exit(_exit_with(f"the command fastsil needs {error.name}; install it with: pip install 'fastsil[all]'"))
    app(prog_name="fastsil")


@contextlib.contextmanager
def _ending_on_interrupt() -> Iterator[None]:
    """End the process on Ctrl-C with a line instead of a traceback, while nothing is begun that could be lost."""
    handler = signal.getsignal(signal.SIGINT)
    # In the background of a shell Ctrl-C is ignored.
    if handler is not signal.default_int_handler:
        yield
        return

    def end(*_: object) -> None:
        os.write(2, b"Interrupted; nothing was begun.\n")
        os._exit(130)

    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _exit_with(sentence: str) -> int:
    print(f"fastsil: {sentence}", file=sys.stderr)
    return 2

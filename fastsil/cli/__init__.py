"""The command ``fastsil``: ``commands`` takes arguments, ``screen`` prints, ``folder`` writes results.

``script`` runs programs of others.
"""

from __future__ import annotations

import sys

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
        from fastsil.cli.commands import app
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("typer", "rich", "click"):
            raise
        sys.exit(_exit_with(f"the command fastsil needs {error.name}; install it with: pip install 'fastsil[all]'"))
    app(prog_name="fastsil")


def _exit_with(sentence: str) -> int:
    print(f"fastsil: {sentence}", file=sys.stderr)
    return 2

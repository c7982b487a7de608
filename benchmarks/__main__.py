"""Runs the measurements in a child process whose BLAS is free to choose its best kernels for this machine."""

import os
import subprocess
import sys
from pathlib import Path

# Either makes OpenBLAS run kernels that are not this CPU's. scikit-learn would be slower for it and fastsil would not.
SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def main() -> int:
    if not any(name in os.environ for name in SLOWING):
        from benchmarks.run import main as run

        return run()
    environment = {name: value for name, value in os.environ.items() if name not in SLOWING}
    command = [sys.executable, "-m", "benchmarks", *sys.argv[1:]]
    with subprocess.Popen(command, env=environment, cwd=Path(__file__).parent.parent) as child:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:  # the child got it too, and ends by itself
                continue


if __name__ == "__main__":
    sys.exit(main())

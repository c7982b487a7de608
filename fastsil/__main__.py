"""``python -m fastsil`` is the command ``fastsil``."""

from fastsil.cli import main

if __name__ == "__main__":
    main()

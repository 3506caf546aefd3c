"""``python -m motet``: the same as the command ``motet``."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())

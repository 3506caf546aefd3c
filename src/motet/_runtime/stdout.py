"""The standard output of a program, when nobody reads it any more."""

import os
import sys
from pathlib import Path


def give_up_stdout() -> None:
    """Have the standard output lead nowhere, after it could not be written.

    What is still in its buffer has nowhere to go, and the interpreter flushes it once more
    when it ends.
    """
    with Path(os.devnull).open("w", encoding="utf-8") as devnull:
        os.dup2(devnull.fileno(), sys.stdout.fileno())

"""A program: tells which of several texts have the same mathematical result.

It runs in a process of its own and is started by its file name, so it imports nothing of
this package. It reads a JSON object with ``texts`` and the options of the comparison, and
writes the pairs of indices of the texts that mean the same.
"""

import json
import sys
from importlib import import_module
from itertools import combinations
from typing import Any, Final

# What takes longer is no answer that a model is asked for.
_PARSE_TIMEOUT: Final = 5  # seconds for one text
_VERIFY_TIMEOUT: Final = 2  # seconds for one pair


def main() -> None:
    """Answer the question on standard input."""
    task = json.load(sys.stdin)
    json.dump(equal_pairs(**task), sys.stdout)


def equal_pairs(texts: list[str], **options: Any) -> list[tuple[int, int]]:
    """Return the pairs of indices whose texts mean the same, the smaller index first."""
    math_verify = import_module("math_verify")
    parsed = [math_verify.parse(text, parsing_timeout=_PARSE_TIMEOUT) for text in texts]
    return [
        (i, j)
        for i, j in combinations(range(len(texts)), 2)
        if math_verify.verify(parsed[i], parsed[j], timeout_seconds=_VERIFY_TIMEOUT, **options)
    ]


if __name__ == "__main__":
    main()

"""What a docstring in Google's form says: of the function, and of each argument.

Reference: https://google.github.io/styleguide/pyguide.html, "3.8.3 Functions and Methods"
"""

import inspect
import re
from collections.abc import Iterable
from typing import Final

import attrs

_ARGUMENTS: Final = ("Args:", "Arguments:", "Parameters:")
# A heading stands alone on its line, without indentation. Not any word with a colon: a
# description may well end with "one of these:".
_HEADING: Final = re.compile(
    r"(?:Args|Arguments|Parameters|Keyword Args|Keyword Arguments|Other Parameters|Attributes"
    r"|Returns?|Yields?|Raises|Warns|Examples?|Notes?|See Also|References|Todo|Warnings?):$"
)
_ARGUMENT: Final = re.compile(r"\*{0,2}(?P<name>\w+)\s*(?:\([^)]*\))?\s*:\s*(?P<text>.*)")


@attrs.frozen
class Described:
    """What a docstring says.

    Attributes:
        description: the text before the first section.
        arguments: what stands under ``Args:``, by name, each as one line.
    """

    description: str = ""
    arguments: dict[str, str] = attrs.field(factory=dict)


def read_docstring(text: str | None) -> Described:
    """Take a docstring apart."""
    description: list[str] = []
    section = description
    arguments: list[str] = []
    others: list[str] = []
    for line in inspect.cleandoc(text or "").splitlines():
        if _HEADING.fullmatch(line.rstrip()):
            section = arguments if line.rstrip() in _ARGUMENTS else others
        else:
            section.append(line)
    return Described("\n".join(description).strip(), _arguments(arguments))


def _arguments(lines: Iterable[str]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    current: list[str] = []
    margin: int | None = None
    for line in lines:
        words = line.strip()
        if not words:
            continue
        indentation = len(line) - len(line.lstrip())
        margin = indentation if margin is None else margin
        argument = _ARGUMENT.fullmatch(words) if indentation <= margin else None
        if argument is not None:
            current = found.setdefault(argument["name"], [])
            words = argument["text"]
        current.append(words)
    return {name: " ".join(filter(None, words)) for name, words in found.items()}

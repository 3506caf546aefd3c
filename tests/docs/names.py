"""
The table of public names in docs/names.md, held against the code and the tests.

    python tests/docs/names.py

prints what is wrong with it. A row says of one or more names where each can be imported
from, which may be a module or a class, and which tests try it. Of names that only the
``mellea`` path has, and does not have yet, the last column says *later*.

This module reads the tests and does not import them.
"""

import ast
import functools
import importlib
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import attrs

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "names.md"
LATER: Final = "later"

# What has to stand in the table, by where it is imported from.
_MODULES: Final = (
    "motet",
    "motet.functional",
    "motet.backends",
    "motet.model_ids",
    "motet.testing",
)
_SESSION: Final = "motet.MelleaSession"

_CODE: Final = re.compile(r"`([^`]+)`")


@attrs.frozen
class Row:
    """One row of the table.

    Attributes:
        line: the line of the page, counted from 1.
        names: what it is about.
        places: where each of them can be imported from.
        tests: the ids of the tests, below the folder of the tests; empty for later ones.
        later: whether there is nothing to try yet.
    """

    line: int
    names: list[str]
    places: list[str]
    tests: list[str]
    later: bool


def rows() -> list[Row]:
    """Return the rows of the table."""
    found = []
    for number, line in enumerate(PAGE.read_text(encoding="utf-8").splitlines(), 1):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("| `") or len(cells) != 3:
            continue
        names, places, tests = (_CODE.findall(cell) for cell in cells)
        found.append(Row(number, names, places, tests, later=cells[2] == LATER))
    return found


def complaints() -> list[str]:
    """Return what is wrong with the table, in sentences; nothing if nothing is."""
    table = rows()
    said = [f"line {row.line}: {each}" for row in table for each in _wrong_with(row)]
    listed = {(place, name) for row in table for place in row.places for name in row.names}
    said += [
        f"`{name}` of `{place}` does not stand in the table"
        for place, name in _public()
        if (place, name) not in listed
    ]
    return said


def _wrong_with(row: Row) -> list[str]:
    if row.later:
        return []
    said = [
        f"`{place}` has no `{name}`"
        for place in row.places
        for name in row.names
        if not _can_be_imported(place, name)
    ]
    if not row.tests:
        said.append(f"no test tries {', '.join(row.names)}")
    return said + [f"there is no test {test}" for test in row.tests if not _exists(test)]


def _public() -> list[tuple[str, str]]:
    names = [(module, name) for module in _MODULES for name in _exported(module)]
    methods = [name for name in dir(_imported(_SESSION)) if not name.startswith("_")]
    return names + [(_SESSION, name) for name in methods]


def _exported(module: str) -> list[str]:
    """Return what a module exports: what it lists, or else imports under its own name on purpose."""
    imported = importlib.import_module(module)
    listed: list[str] | None = getattr(imported, "__all__", None)
    if listed is not None:
        return listed
    assert imported.__file__ is not None
    tree = ast.parse(Path(imported.__file__).read_text(encoding="utf-8"))
    froms = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return [alias.asname for node in froms for alias in node.names if alias.asname]


def _can_be_imported(place: str, name: str) -> bool:
    try:
        with _old_names_allowed():
            getattr(_imported(place), name)
    except (ImportError, AttributeError):
        return False
    return True


@contextmanager
def _old_names_allowed() -> Iterator[None]:
    """Let an old name of the table say that it is old."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _imported(place: str) -> Any:
    try:
        with _old_names_allowed():
            return importlib.import_module(place)
    except ModuleNotFoundError:
        module, _, name = place.rpartition(".")
        return getattr(_imported(module), name) if module else None


def _exists(test: str) -> bool:
    file, _, name = test.partition("::")
    return name.partition("[")[0] in _tests_in(ROOT / "tests" / file)


@functools.cache
def _tests_in(file: Path) -> frozenset[str]:
    if not file.exists():
        return frozenset()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


if __name__ == "__main__":
    found_wrong = complaints()
    print("\n".join(found_wrong) or f"{len(rows())} rows, and nothing is wrong with them")
    sys.exit(bool(found_wrong))

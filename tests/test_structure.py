"""The structure that the folder listing promises, read from the source and not from memory."""

import ast
import importlib.metadata
import inspect
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from importlinter.cli import lint_imports

import motet

ROOT: Final = Path(__file__).parent.parent
PACKAGE: Final = ROOT / "src" / "motet"
SOURCES: Final = sorted(PACKAGE.rglob("*.py"))
PLUGIN_SOURCES: Final = sorted((ROOT / "src" / "pytest_motet").rglob("*.py"))
COMPAT_SOURCES: Final = sorted((ROOT / "compat" / "src").rglob("*.py"))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    """Every module that a file imports, inside functions too, with its line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in names)
            case _:
                pass


@pytest.mark.parametrize("contract", ["layers", "sans-io"])
def test_imports_keep_the_contract(contract: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(ROOT)  # the linter changes sys.path, and this puts it back
    logs = [logging.getLogger(name) for name in ("motet", "mellea")]
    failed = lint_imports(
        limit_to_contracts=(contract,), no_cache=True, is_debug_mode=True, no_logo=True
    )
    for log in logs:
        log.disabled = False  # it configures logging, which switches off what it does not know
    assert not failed, "the report is in the captured output"


@pytest.mark.parametrize("path", [*SOURCES, *PLUGIN_SOURCES, *COMPAT_SOURCES], ids=_name)
def test_a_module_says_what_it_knows(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


# A loop of asyncio's own kind, for tests.
ASYNCIO_LOOP: Final = PACKAGE / "testing" / "virtual_asyncio.py"


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if PACKAGE / "_runtime" not in path.parents if path != ASYNCIO_LOOP],
    ids=_name,
)
def test_only_the_runtime_imports_asyncio(path: Path) -> None:
    found = [line for line, module in _imports(path) if module.split(".")[0] == "asyncio"]
    assert not found, f"asyncio is imported in line {found}"


@pytest.mark.parametrize("path", PLUGIN_SOURCES, ids=_name)
def test_the_plugin_uses_only_public_names(path: Path) -> None:
    found = [
        (line, module)
        for line, module in _imports(path)
        if module.split(".")[0] == "motet" and any(part[0] == "_" for part in module.split("."))
    ]
    assert not found


@pytest.mark.parametrize("path", COMPAT_SOURCES, ids=_name)
def test_compat_uses_only_public_names(path: Path) -> None:
    found = [
        (line, module)
        for line, module in _imports(path)
        if module.split(".")[0] == "motet" and any(part[0] == "_" for part in module.split("."))
    ]
    assert not found


@pytest.mark.parametrize("name", sorted(motet.__all__))
def test_a_public_name_says_that_it_comes_from_motet(name: str) -> None:
    public = getattr(motet, name)
    if inspect.isclass(public) or inspect.isfunction(public):
        assert public.__module__ == "motet"


def test_the_version_is_that_of_the_distribution() -> None:
    assert motet.__version__ == importlib.metadata.version("motet")

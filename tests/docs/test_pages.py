"""The pages of the documentation hold together, and speak of what there is."""

import builtins
import importlib.util
import re
from pathlib import Path

import pytest

import motet
import motet.functional
import motet.model_ids
import motet.streaming
import motet.testing
from docs.pages import PAGES, ROOT, anchors_of, blocks_of, links_of, pattern_of, text_of

ERRORS = ROOT / "docs" / "errors.md"

by_name = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def is_error(public: object) -> bool:
    return isinstance(public, type) and issubclass(public, Exception)


@by_name
def test_links_lead_somewhere(page: Path) -> None:
    for link in links_of(page):
        if link.startswith(("https://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        assert ROOT in [target, *target.parents], f"{link} leads out of the project"
        if anchor:
            assert anchor in anchors_of(target), f"{link}: there is no such heading"


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    to_do = [ROOT / "README.md"]
    while to_do:
        page = to_do.pop()
        if page in reached or page not in PAGES:
            continue
        reached.add(page)
        to_do += [(page.parent / link.partition("#")[0]).resolve() for link in links_of(page)]
    assert sorted(reached) == sorted(PAGES)


@by_name
def test_public_names_exist(page: Path) -> None:
    for module in (motet.testing, motet):
        for name in re.findall(rf"\b{module.__name__}\.([A-Za-z_]\w*)\b(?!\.)", text_of(page)):
            known = hasattr(motet, name) or hasattr(motet.testing, name)
            full = f"{module.__name__}.{name}"
            assert known or importlib.util.find_spec(full), full


def test_the_tree_of_errors_is_that_of_the_classes() -> None:
    tree = blocks_of(ERRORS)[0].text
    above: dict[int, type] = {}
    named: set[str] = set()
    for line in tree.splitlines():
        name = line.split()[0]
        depth = len(line) - len(line.lstrip())
        error: type = getattr(motet, name, None) or getattr(builtins, name)
        above[depth] = error
        if depth:
            assert issubclass(error, above[depth - 2]), f"{name} stands in the wrong place"
        for also in re.findall(r"also an? (\w+)", line):
            assert issubclass(error, getattr(builtins, also))
        named.add(name)
    assert {each for each in motet.__all__ if is_error(getattr(motet, each))} <= named


def test_there_is_advice_for_every_error() -> None:
    advice = text_of(ERRORS).partition("## What to do")[2]
    for name in motet.__all__:
        public = getattr(motet, name)
        if is_error(public) and not public.__subclasses__():
            assert f"`{name}`" in advice, f"docs/errors.md does not say what to do about {name}"


def test_the_changelog_knows_this_version() -> None:
    assert f"## {motet.__version__}" in text_of(ROOT / "docs" / "changelog.md")


def test_outputs_may_leave_things_open() -> None:
    pattern = pattern_of("a … c\n…\nthe end\n")
    assert pattern.fullmatch("a b c\none\ntwo\nthe end\n")
    assert pattern.fullmatch("a b c\nthe end\n")
    assert not pattern.fullmatch("a b\nthe end\n")
    assert not pattern.fullmatch("a b c\nthe end?\n")


def test_every_example_stands_on_the_first_page() -> None:
    page = ROOT / "docs" / "index.md"
    for example in sorted((ROOT / "examples").glob("*.py")):
        assert f"../examples/{example.name}" in links_of(page), f"{example.name} is not listed"

"""What makes a component, and what it consists of."""

from typing import Any

import pytest

from language.scripted import answer, arrive, lose, pending
from motet import (
    CBlock,
    Component,
    ComponentParseError,
    Instruction,
    Message,
    ModelOutputThunk,
    TemplateRepresentation,
    blockify,
)
from motet._language.component import is_component, pending_parts, unfinished_parts


class Bare(Component[str]):
    """Implements nothing."""


class Holder(Component[int]):
    """Consists of what it was given, and reads a number."""

    def __init__(self, *parts: Any) -> None:
        self._parts = list(parts)

    def parts(self) -> list[Any]:
        return self._parts

    def format_for_llm(self) -> str:
        return "holder"

    def _parse(self, computed: ModelOutputThunk[Any]) -> int:
        return int(computed.value or "")


class Duck:
    """A component by what it has, and not by inheritance."""

    def parts(self) -> list[Any]:
        return []

    def format_for_llm(self) -> str:
        return "duck"

    def parse(self, computed: Any) -> str:
        return ""

    def _parse(self, computed: Any) -> str:
        return ""


def test_what_is_not_implemented_says_which() -> None:
    bare: Any = Bare
    with pytest.raises(NotImplementedError, match=r"Bare does not implement parts\(\)"):
        bare().parts()
    with pytest.raises(NotImplementedError, match=r"Bare does not implement format_for_llm\(\)"):
        bare().format_for_llm()
    with pytest.raises(ComponentParseError, match="parsing failed: Bare does not implement"):
        bare().parse(answer("x"))


def test_a_failure_to_read_is_one_error_with_its_cause() -> None:
    assert Holder().parse(answer("3")) == 3
    with pytest.raises(ComponentParseError, match="component parsing failed: invalid literal") as c:
        Holder().parse(answer("three"))
    assert isinstance(c.value.__cause__, ValueError)


@pytest.mark.parametrize("thing", [Holder(), Duck(), Message("user", "x"), Instruction("x")])
def test_a_component_is_told_by_what_it_has(thing: Any) -> None:
    assert isinstance(thing, Component)
    assert is_component(thing)
    assert blockify(thing) is thing


@pytest.mark.parametrize("thing", [CBlock("x"), answer("x"), "x", None, 3, Holder, object()])
def test_what_is_no_component(thing: Any) -> None:
    assert not is_component(thing)


@pytest.mark.parametrize("thing", [CBlock("x"), answer("x")])
def test_what_can_be_a_part_stays(thing: Any) -> None:
    assert blockify(thing) is thing


def test_text_becomes_a_block() -> None:
    block = blockify("x")
    assert isinstance(block, CBlock)
    assert block.value == "x"


@pytest.mark.parametrize("wrong", [None, 3, b"x", ["x"], object(), Holder])
def test_what_can_be_no_part_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected a string, a CBlock, a component or"):
        blockify(wrong)


def test_pending_parts_come_once_and_depth_first() -> None:
    one, two, three, ready = pending(), pending(), pending(), answer("r")
    shared = Holder(two)
    tree = Holder(one, ready, shared, "text", None, CBlock("b"), shared, three, one)
    assert pending_parts(tree) == [one, two, three]
    arrive(two)
    assert pending_parts(tree) == [one, three]
    assert pending_parts(one) == [one]
    assert pending_parts(ready) == pending_parts("x") == []


def test_what_failed_is_unfinished_for_ever() -> None:
    one, two = pending(), pending()
    tree = Holder(one, two)
    lose(one)
    arrive(two)
    assert pending_parts(tree) == []
    assert unfinished_parts(tree) == [one]


def test_deep_and_circular_components_are_walked() -> None:
    leaf = pending()
    tree: Any = leaf
    for _ in range(5_000):
        tree = Holder(tree)
    assert pending_parts(tree) == [leaf]
    circle = Holder(leaf)
    circle.parts().append(circle)
    assert pending_parts(circle) == [leaf]


def test_a_foreign_part_is_named() -> None:
    with pytest.raises(ValueError, match="'some words' of type SomeWords is no part"):

        class SomeWords:
            def __str__(self) -> str:
                return "some words too many"

        pending_parts(Holder(SomeWords()))


def test_a_representation_has_the_documented_fields() -> None:
    representation = TemplateRepresentation("obj", {"a": 1})
    assert (representation.obj, representation.args) == ("obj", {"a": 1})
    for name in ("tools", "fields", "template", "template_order", "images"):
        assert getattr(representation, name) is None

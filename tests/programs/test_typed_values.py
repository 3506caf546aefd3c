"""attrs classes are read by pydantic, wherever an annotation names them."""

from __future__ import annotations

import collections.abc
import typing
from typing import Annotated, Any, Generic, Literal, TypeVar

import attrs
import pydantic
import pytest

from motet._language.records import misfits, readable
from motet._language.signatures import as_call, is_async, name_of, resolved_signature

T = TypeVar("T")


@attrs.define
class Leaf:
    """A leaf."""

    size: int
    _hidden: str = "h"
    made: str = attrs.field(default="unset", init=False)


@attrs.define
class Branch:
    leaves: list[Leaf]
    above: Tree | None = None


@attrs.define
class Tree:
    branches: dict[str, Branch] = attrs.field(factory=dict)


@attrs.define
class Strict:
    count: Any = attrs.field(validator=attrs.validators.instance_of(int))


@attrs.define
class Lost:
    what: Nowhere  # type: ignore[name-defined]  # noqa: F821


@attrs.define
class Box(Generic[T]):
    inside: T


def read(annotation: Any, value: Any) -> Any:
    return pydantic.TypeAdapter(readable(annotation)).validate_python(value)


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Leaf, {"size": "1"}, Leaf(1)),
        (Leaf, {"size": 1, "hidden": "x"}, Leaf(1, "x")),
        (typing.List[Leaf], [{"size": 1}], [Leaf(1)]),  # noqa: UP006 - as old code has it
        (tuple[Leaf, ...], [{"size": 1}], (Leaf(1),)),
        (Annotated[Leaf, "note"], {"size": 1}, Leaf(1)),
        (typing.Optional[Leaf], None, None),  # noqa: UP045 - as old code has it
        (Leaf | int, 3, 3),
        (Branch, {"leaves": [{"size": 1}]}, Branch([Leaf(1)])),
        (
            Tree,
            {"branches": {"a": {"leaves": [], "above": {"branches": {"b": {"leaves": []}}}}}},
            Tree({"a": Branch([], Tree({"b": Branch([])}))}),
        ),
        (Branch, {"leaves": [], "above": {}}, Branch([], Tree())),
    ],
)
def test_objects_of_the_classes_come_out(annotation: Any, value: Any, expected: Any) -> None:
    assert read(annotation, value) == expected


@pytest.mark.parametrize(
    "annotation",
    [
        int,
        None,
        Any,
        list[int],
        Literal["Leaf"],
        Box[int],  # pydantic says what it thinks of generic ones
        collections.abc.Callable[[int], str],
    ],
)
def test_an_annotation_without_such_a_class_is_left_alone(annotation: Any) -> None:
    assert readable(annotation) is annotation


def test_what_a_class_refuses_is_a_misfit() -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        read(Strict, {"count": "x"})
    (line,) = misfits(caught.value)
    assert "must be <class 'int'>" in line
    assert misfits(ZeroDivisionError("no")) == ["ZeroDivisionError: no"]


def test_a_name_that_is_not_known_is_refused() -> None:
    with pytest.raises(TypeError, match="Lost names 'Nowhere'"):
        readable(list[Lost])


def test_a_function_that_does_not_tell_its_parameters_is_refused() -> None:
    with pytest.raises(TypeError, match="does not tell"):
        resolved_signature(type)
    assert as_call(type, {"a": 1}) == ((), {"a": 1})


def test_a_class_is_a_callable_like_others() -> None:
    assert str(resolved_signature(Leaf)) == "(size: int, hidden: str = 'h') -> None"
    assert name_of(Leaf) == "Leaf"
    assert not is_async(Leaf)

"""What a model is told of a tool: types from the signature, texts from the docstring."""

import dataclasses
import functools
import json
from typing import Annotated, Any, Literal

import attrs
import pydantic
import pytest

from motet._language.tools.docstring import read_docstring
from motet._language.tools.tool import MelleaTool, tool

JSON = dict[str, Any]


def described(func: Any) -> JSON:
    return MelleaTool.from_callable(func).as_json_tool["function"]  # type: ignore[no-any-return]


def properties(func: Any) -> JSON:
    return described(func)["parameters"]["properties"]  # type: ignore[no-any-return]


def weather(city: str, days: int = 1) -> str:
    """Tell the weather.

    Rain included.

    Args:
        city: where;
            any town will do.
        days (int, optional): for how long.

    Returns:
        The weather: in words.
    """
    return f"{city} {days}"


def test_a_tool_is_described_as_the_protocols_want_it() -> None:
    assert MelleaTool.from_callable(weather).as_json_tool == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Tell the weather.\n\nRain included.",
            "parameters": {
                "type": "object",
                "required": ["city"],
                "properties": {
                    "city": {"type": "string", "description": "where; any town will do."},
                    "days": {"type": "integer", "description": "for how long.", "default": 1},
                },
            },
        },
    }


def test_what_may_be_none_need_not_be_given_and_is_not_null() -> None:
    def search(text: str | None, most: int | None = None) -> None: ...

    assert described(search)["parameters"] == {
        "type": "object",
        "required": [],
        "properties": {
            "text": {"type": "string", "description": ""},
            "most": {"type": "integer", "description": ""},
        },
    }


def test_what_has_no_annotation_is_told_as_text() -> None:
    def search(text, *rest, **options): ...  # type: ignore[no-untyped-def]  # on purpose

    assert properties(search) == {"text": {"type": "string", "description": ""}}


def test_arrays_keep_the_types_of_their_items() -> None:
    def add(numbers: list[int], names: dict[str, list[str]], either: int | str) -> None: ...

    assert properties(add) == {
        "numbers": {"type": "array", "items": {"type": "integer"}, "description": ""},
        "names": {
            "type": "object",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
            "description": "",
        },
        "either": {"type": ["integer", "string"], "description": ""},
    }


def test_choices_are_told() -> None:
    def paint(colour: Literal["red", "blue"], only: Literal["one"]) -> None: ...

    assert properties(paint) == {
        "colour": {"type": "string", "enum": ["red", "blue"], "description": ""},
        "only": {"type": "string", "enum": ["one"], "description": ""},
    }


class Town(pydantic.BaseModel):
    """A place."""

    name: str
    title: str | None = None


@dataclasses.dataclass
class Trip:
    towns: list[Town]
    nights: int = 1


@attrs.frozen
class Bill:
    trip: Trip
    _total: float = attrs.field(alias="total")


def test_models_dataclasses_and_attrs_classes_are_written_out() -> None:
    def pay(bill: Bill) -> None: ...

    town = {
        "type": "object",
        "description": "A place.",
        "required": ["name"],
        "properties": {"name": {"type": "string"}, "title": {"type": "string"}},
    }
    trip = {
        "type": "object",
        "required": ["towns"],
        "properties": {
            "towns": {"type": "array", "items": town},
            "nights": {"type": "integer", "default": 1},
        },
    }
    assert properties(pay) == {
        "bill": {
            "type": "object",
            "required": ["trip", "total"],
            "properties": {"trip": trip, "total": {"type": "number"}},
            "description": "",
        }
    }


class Tree(pydantic.BaseModel):
    children: list["Tree"] = []


def test_what_contains_itself_stays_a_reference() -> None:
    def plant(tree: Tree) -> None: ...

    schema = described(plant)["parameters"]
    assert schema["properties"]["tree"]["properties"]["children"]["items"] == {
        "$ref": "#/$defs/Tree"
    }
    assert set(schema["$defs"]) == {"Tree"}
    json.dumps(schema)


def test_a_description_may_stand_in_the_annotation() -> None:
    def go(speed: Annotated[int, pydantic.Field(description="in knots", ge=0)]) -> None: ...

    assert properties(go) == {"speed": {"type": "integer", "minimum": 0, "description": "in knots"}}


def test_names_that_mean_something_to_pydantic_are_names_like_others() -> None:
    def odd(model_config: int, schema: str, _x: int, self: int, copy: bool = False) -> None: ...

    assert list(properties(odd)) == ["model_config", "schema", "_x", "self", "copy"]


def test_a_default_that_json_cannot_hold_is_left_out() -> None:
    def go(how: Any = object()) -> None: ...  # noqa: B008 - on purpose

    assert properties(go) == {"how": {"description": ""}}


def test_a_type_that_json_does_not_have_is_refused() -> None:
    class Engine: ...

    def start(engine: Engine) -> None: ...

    with pytest.raises(TypeError, match=r"start\(\) cannot be described"):
        _ = MelleaTool.from_callable(start).as_json_tool


def test_a_name_that_is_not_known_is_refused() -> None:
    def start(engine: "Engine") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(TypeError, match="'Engine'"):
        _ = MelleaTool.from_callable(start).as_json_tool


class Kettle:
    def boil(self, litres: float) -> str:
        """Boil water."""
        return f"{litres} l"

    def __call__(self, litres: float) -> str:
        """Boil, too."""
        return f"{litres} l"

    @staticmethod
    def cool() -> None: ...


@pytest.mark.parametrize(
    ("func", "name", "parameters"),
    [
        (Kettle().boil, "boil", ["litres"]),
        (Kettle(), "Kettle", ["litres"]),
        (Kettle.cool, "cool", []),
        (functools.partial(weather, days=3), "weather", ["city", "days"]),
        (functools.partial(weather, "Rome"), "weather", ["days"]),
    ],
)
def test_whatever_can_be_called_can_be_a_tool(func: Any, name: str, parameters: list[str]) -> None:
    made = MelleaTool.from_callable(func)
    assert made.name == name
    assert list(made.as_json_tool["function"]["parameters"]["properties"]) == parameters


def test_the_decorator_takes_a_name_or_none() -> None:
    @tool
    def plain(x: int) -> int:
        """Say."""
        return x

    @tool(name="other")
    def named(x: int) -> int:
        return x

    assert (plain.name, named.name) == ("plain", "other")
    assert plain(3) == named(3) == plain.run(3) == plain.run(x=3) == 3
    assert named.as_json_tool["function"]["name"] == "other"
    assert plain.__doc__ == "Say."


def test_a_description_by_hand_is_passed_on_as_it_is() -> None:
    by_hand = {"type": "function", "function": {"name": "f", "parameters": {}}}
    assert MelleaTool("f", lambda **_: None, by_hand).as_json_tool == by_hand


@pytest.mark.parametrize("given", [3, None, "weather"])
def test_what_cannot_be_called_is_no_tool(given: Any) -> None:
    with pytest.raises(TypeError, match="should be a function"):
        MelleaTool.from_callable(given)


@pytest.mark.parametrize(
    ("text", "description", "arguments"),
    [
        (None, "", {}),
        ("One line.", "One line.", {}),
        ("Choose one of these:\n- a\n- b", "Choose one of these:\n- a\n- b", {}),
        ("X.\n\nArgs:\n    a: b: c\n    *rest: all\n", "X.", {"a": "b: c", "rest": "all"}),
        ("X.\n\nArgs:\n  a: one\n\n    two\n  b:\n    three", "X.", {"a": "one two", "b": "three"}),
        ("X.\n\nRaises:\n    E: no\n\nArgs:\n    a (list[int]): it", "X.", {"a": "it"}),
        ("Args:\n    text without a name", "", {}),
    ],
)
def test_docstrings(text: str | None, description: str, arguments: dict[str, str]) -> None:
    read = read_docstring(text)
    assert read.description == description
    assert read.arguments == arguments


def test_a_union_that_is_told_apart_by_a_tag_is_one_of_alternatives() -> None:
    class Cat(pydantic.BaseModel):
        kind: Literal["cat"]

    class Dog(pydantic.BaseModel):
        kind: Literal["dog"]

    def act(pet: Annotated[Cat | Dog, pydantic.Field(discriminator="kind")]) -> None: ...

    described_pet = properties(act)["pet"]
    assert set(described_pet) == {"anyOf", "description"}
    kinds = [each["properties"]["kind"]["enum"] for each in described_pet["anyOf"]]
    assert kinds == [["cat"], ["dog"]]

"""How the arguments that a model gives are read."""

import dataclasses
import logging
from typing import Any

import attrs
import pytest

from motet import ToolCallRequest
from motet._language.tools.parameters import UnfitArguments
from motet._language.tools.table import matched_calls, tools_of_options
from motet._language.tools.tool import MelleaTool


@attrs.frozen
class Point:
    x: float
    y: float = 0.0


@dataclasses.dataclass
class Line:
    name: str


def draw(
    text: str,
    size: int = 1,
    point: Point | None = None,
    lines: list[Line] = [],  # noqa: B006 - as users write it
    *,
    wide: bool = False,
) -> str:
    return f"{text} {size} {point} {lines} {wide}"


DRAW = MelleaTool.from_callable(draw)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"text": "a", "size": "3"}, {"text": "a", "size": 3}),
        ({"text": 3.5}, {"text": "3.5"}),
        ({"text": "a", "wide": "yes"}, {"text": "a", "wide": True}),
        ({"text": "a", "point": {"x": "1"}}, {"text": "a", "point": Point(1.0)}),
        ({"text": "a", "lines": [{"name": 1}]}, {"text": "a", "lines": [Line("1")]}),
        ({"text": "a", "colour": "red"}, {"text": "a", "colour": "red"}),
    ],
)
def test_arguments_are_read_as_they_can_be_meant(
    given: dict[str, Any], read: dict[str, Any]
) -> None:
    assert DRAW.read_arguments(given) == read


@pytest.mark.parametrize(
    ("given", "where"),
    [({}, "text"), ({"text": "a", "size": "big"}, "size"), ({"text": []}, "text")],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], where: str) -> None:
    with pytest.raises(UnfitArguments, match=f"- {where}: "):
        DRAW.read_arguments(given)


def test_what_may_be_none_and_was_not_given_is_none() -> None:
    def search(text: str | None, most: int | None = 3) -> tuple[Any, Any]:
        return text, most

    made = MelleaTool.from_callable(search)
    assert made.run(**made.read_arguments({})) == (None, 3)


def test_arguments_that_go_by_position_only_are_passed_so() -> None:
    def divide(a: int, b: int, /, *, digits: int = 2) -> float:
        return round(a / b, digits)

    made = MelleaTool.from_callable(divide)
    assert made.run(**made.read_arguments({"a": "1", "b": 3, "digits": 1})) == 0.3


def test_calls_are_matched_with_their_tools_in_the_order_of_the_model() -> None:
    tools = tools_of_options([draw, MelleaTool.from_callable(len, "measure")])
    calls = matched_calls(
        [ToolCallRequest("measure", {"obj": "x"}, "7"), ToolCallRequest("draw", {"text": 1})], tools
    )
    assert calls is not None
    assert list(calls) == ["measure", "draw"]
    assert calls["draw"].args == {"text": "1"}
    assert calls["measure"].id == "7"
    assert calls["measure"].call_func() == 1


def test_calls_of_one_tool_are_all_kept() -> None:
    request = [ToolCallRequest("draw", {"text": text}) for text in "abc"]
    calls = matched_calls(request, tools_of_options([draw]))
    assert calls is not None
    assert list(calls) == ["draw", "draw (2)", "draw (3)"]
    assert [call.name for call in calls.values()] == ["draw"] * 3
    assert [call.args["text"] for call in calls.values()] == ["a", "b", "c"]


def test_a_tool_that_there_is_not_is_left_out_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert matched_calls([ToolCallRequest("fly", {})], tools_of_options([draw])) is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "'fly'" in record.getMessage()


def test_arguments_that_do_not_fit_are_kept_as_they_came_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    given = {"text": "a", "size": "big", "wide": 7}
    calls = matched_calls([ToolCallRequest("draw", given)], tools_of_options([draw]))
    assert calls is not None
    assert calls["draw"].args == given
    (record,) = caplog.records
    assert "- size: " in record.getMessage()
    assert "- wide: " in record.getMessage()


def test_code_of_the_program_that_fails_while_arguments_are_read_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def explode(value: Any) -> float:
        raise ZeroDivisionError

    @attrs.frozen
    class Bomb:
        x: float = attrs.field(converter=explode)

    def throw(bomb: Bomb) -> None: ...

    throw.__annotations__["bomb"] = Bomb  # it is no name of this module
    calls = matched_calls([ToolCallRequest("throw", {"bomb": {"x": 1}})], tools_of_options([throw]))
    assert calls is not None
    assert calls["throw"].args == {"bomb": {"x": 1}}
    assert "could not be read" in caplog.text


def test_tools_may_be_functions_tools_and_what_is_like_one() -> None:
    class Foreign:
        name = "foreign"
        as_json_tool: dict[str, Any] = {}  # noqa: RUF012

        def run(self, **kwargs: Any) -> Any:
            return kwargs

    foreign = Foreign()
    tools = tools_of_options([draw, DRAW, foreign])
    assert tools == {"draw": DRAW, "foreign": foreign}
    assert set(tools_of_options({"paint": draw, "x": foreign})) == {"paint", "foreign"}
    calls = matched_calls([ToolCallRequest("foreign", {"a": "1"})], tools)
    assert calls is not None
    assert calls["foreign"].call_func() == {"a": "1"}


def test_what_is_no_tool_is_refused() -> None:
    with pytest.raises(TypeError, match="not int"):
        tools_of_options([3])

"""Ready requirements, and short ways to write them."""

import logging
import sys
from typing import Any

import anyio.lowlevel
import pytest

from motet import Backend, Context, ModelOutputThunk, ModelToolCall, SimpleContext
from motet._language.requirement import Requirement, ValidationResult
from motet._programs import markdown
from motet._programs.checks import (
    LLMaJRequirement,
    check,
    req,
    reqify,
    requirement_check_to_bool,
    simple_validate,
    tool_arg_validator,
    uses_tool,
)
from motet._programs.markdown import as_markdown_list, is_markdown_list, is_markdown_table
from motet.testing import ScriptedBackend

pytestmark = pytest.mark.anyio

IDLE: Backend = ScriptedBackend("never asked")


class Tool:
    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""


def answered(text: str) -> SimpleContext:
    return SimpleContext().add(ModelOutputThunk(text))


def called(**calls: dict[str, Any]) -> SimpleContext:
    asked = {name: ModelToolCall(name, Tool(name), args) for name, args in calls.items()}
    return SimpleContext().add(ModelOutputThunk("", tool_calls=asked or None))


async def validated(requirement: Requirement, ctx: Context) -> ValidationResult:
    return await requirement.validate(IDLE, ctx)


# Short forms.


def test_req_and_check_make_requirements() -> None:
    assert req("a").check_only is False
    assert check("a").check_only is True
    assert check("a", lambda _: True).validation_fn is not None
    with pytest.raises(TypeError):
        check("a", check_only=True)


def test_reqify_takes_strings_and_requirements() -> None:
    given = Requirement("a")
    assert reqify(given) is given
    assert reqify("b").description == "b"
    with pytest.raises(TypeError, match="not int"):
        reqify(3)


def test_a_judged_requirement_is_one() -> None:
    assert isinstance(LLMaJRequirement("x"), Requirement)
    assert LLMaJRequirement("x").use_aloras is False


@pytest.mark.parametrize(("score", "met"), [(0.51, True), (0.5, False), (0, False), (1, True)])
def test_a_requirement_check_is_met_above_one_half(score: float, met: bool) -> None:
    assert requirement_check_to_bool(f'{{"requirement_check": {{"score": {score}}}}}') is met


@pytest.mark.parametrize("text", ["yes", "{}", "[]", '{"requirement_check": 1}', ""])
def test_what_is_no_requirement_check_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="requirement check"):
        requirement_check_to_bool(text)


# simple_validate.


@pytest.mark.parametrize(
    ("outcome", "reason", "expected"),
    [
        (True, None, ValidationResult(True)),
        (True, "static", ValidationResult(True, reason="static")),
        (False, "static", ValidationResult(False, reason="static")),
        ((True, "fine"), "static", ValidationResult(True, reason="fine")),
        ((False, "bad"), None, ValidationResult(False, reason="bad")),
    ],
)
async def test_a_function_of_the_text_decides(
    outcome: Any, reason: str | None, expected: ValidationResult
) -> None:
    seen: list[str] = []

    def fn(text: str) -> Any:
        seen.append(text)
        return outcome

    requirement = Requirement("x", simple_validate(fn, reason=reason))
    assert await validated(requirement, answered("the text")) == expected
    assert seen == ["the text"]


@pytest.mark.parametrize("outcome", [1, None, (True, None), (1, "x"), (True,), "yes", [True, "x"]])
async def test_types_are_taken_exactly(outcome: Any) -> None:
    def odd(text: str) -> Any:
        return outcome

    with pytest.raises(ValueError, match="odd"):
        await validated(Requirement("x", simple_validate(odd)), answered("y"))


async def test_a_function_of_the_text_may_be_async() -> None:
    async def short(text: str) -> bool:
        await anyio.lowlevel.checkpoint()
        return len(text) < 5

    assert await validated(Requirement("x", simple_validate(short)), answered("four"))
    assert not await validated(Requirement("x", simple_validate(short)), answered("fiver"))


async def test_without_an_output_it_fails_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "motet"):
        result = await validated(Requirement("x", simple_validate(bool)), SimpleContext())
    assert not result
    assert [record.levelname for record in caplog.records] == ["WARNING"]


# Tools.


async def test_a_tool_must_be_called() -> None:
    requirement = uses_tool("search")
    assert requirement.description is not None
    assert "search" in requirement.description
    assert await validated(requirement, called(search={}, other={}))
    for context in (called(), called(other={}), SimpleContext()):
        result = await validated(requirement, context)
        assert not result
        assert result.reason


async def test_a_tool_is_known_by_its_function_or_itself() -> None:
    def search() -> None: ...

    assert await validated(uses_tool(search), called(search={}))
    assert await validated(uses_tool(Tool("search")), called(search={}))  # type: ignore[arg-type]
    assert uses_tool(search, check_only=True).check_only
    with pytest.raises(TypeError, match="expected a tool"):
        uses_tool(3)  # type: ignore[arg-type]  # that is what is tried


@pytest.mark.parametrize(
    ("ctx", "met"),
    [
        (called(search={"top": 3}), True),
        (called(search={"top": 30}), False),
        (called(search={"bottom": 3}), False),
        (called(other={"top": 3}), False),
        (called(), False),
    ],
)
async def test_an_argument_of_a_tool_is_checked(ctx: Context, met: bool) -> None:
    requirement = tool_arg_validator("few", "search", "top", lambda top: top < 10)
    result = await validated(requirement, ctx)
    assert bool(result) is met
    assert bool(result.reason) is not met


@pytest.mark.parametrize(
    ("ctx", "met"),
    [
        (called(a={"top": 3}, b={"top": 4}), True),
        (called(a={"top": 3}, b={}), True),
        (called(a={"top": 3}, b={"top": 40}), False),
        (called(a={}), False),
        (called(), False),
    ],
)
async def test_an_argument_of_every_tool_is_checked(ctx: Context, met: bool) -> None:
    requirement = tool_arg_validator("few", None, "top", lambda top: top < 10)
    assert bool(await validated(requirement, ctx)) is met


# Markdown.


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("- a\n- b", ["a", "b"]),
        ("1. a\n2. b\n\n* c", ["a", "b", "c"]),
        ("- a\n  - b\n  - c\n- d", ["a\nb\nc", "d"]),
        ("- `x`\n\n      code\n", ["`x`\ncode"]),
        ("Here you are:\n\n- a", None),
        ("- a\n\nThat is all.", None),
        ("a, b", None),
        ("", None),
    ],
)
async def test_a_markdown_list_is_known(text: str, items: list[str] | None) -> None:
    pytest.importorskip("markdown_it")
    assert as_markdown_list(answered(text)) == items
    assert bool(await validated(is_markdown_list, answered(text))) is (items is not None)


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("| a | b |\n|---|---|\n| 1 | 2 |", True),
        ("| a | b |\n| 1 | 2 |", False),
        ("A table:\n\n| a |\n|---|\n| 1 |", False),
        ("", False),
    ],
)
async def test_a_markdown_table_is_known(text: str, table: bool) -> None:
    pytest.importorskip("markdown_it")
    assert bool(await validated(is_markdown_table, answered(text))) is table


async def test_without_the_parser_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "markdown_it", None)
    markdown._parser.cache_clear()
    with pytest.raises(ImportError, match=r"motet\[markdown\]"):
        await validated(is_markdown_list, answered("- a"))
    markdown._parser.cache_clear()

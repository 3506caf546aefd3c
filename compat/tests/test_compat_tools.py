"""Tools as programs written for mellea make, offer and look for them."""

import json
import logging
from typing import Any

import pydantic
import pytest

import motet
from mellea.backends.tools import (
    MelleaTool,
    OllamaTool,
    add_tools_from_context_actions,
    add_tools_from_model_options,
    convert_function_to_ollama_tool,
    convert_tools_to_json,
    find_func,
    get_code_field_from_schema,
    json_extraction,
    parse_tools,
    tool,
    validate_tool_arguments,
)
from mellea.backends.utils import to_tool_calls
from motet import CBlock, Component, ModelOption, ModelToolCall, TemplateRepresentation


def weather(city: str, days: int = 1) -> str:
    """Tell the weather.

    Args:
        city: where
        days: for how long
    """
    return f"{city} {days}"


class Toolbox(Component[str]):
    def __init__(self, name: str) -> None:
        self.tool = MelleaTool.from_callable(weather, name)

    def parts(self) -> list[Any]:
        return []

    def format_for_llm(self) -> TemplateRepresentation:
        return TemplateRepresentation(self, {}, tools={self.tool.name: self.tool}, template="t")


def test_a_tool_is_one_of_motets() -> None:
    made = tool(weather)
    assert isinstance(made, MelleaTool)
    assert isinstance(made, motet.MelleaTool)
    assert tool(name="w")(weather).name == "w"
    assert made.run("Oslo", days=2) == "Oslo 2"


def test_an_async_tool_is_awaited_when_it_is_run() -> None:
    @tool
    async def later(x: int) -> int:
        return x + 1

    assert later.run(1) == 2


@pytest.mark.parametrize("given", [[weather], {"weather": weather}, [tool(weather)]])
def test_the_tools_of_the_options_are_found_by_name(given: Any) -> None:
    found: dict[str, Any] = {}
    add_tools_from_model_options(found, {ModelOption.TOOLS: given})
    assert list(found) == ["weather"]
    assert found["weather"].run("Rome") == "Rome 1"
    assert convert_tools_to_json(found)[0]["function"]["name"] == "weather"
    add_tools_from_model_options(found, {})
    assert list(found) == ["weather"]


def test_components_bring_tools_along_and_a_later_one_overrides() -> None:
    found: dict[str, Any] = {}
    last = Toolbox("a")
    add_tools_from_context_actions(found, [CBlock("x"), Toolbox("a"), Toolbox("b"), last])
    add_tools_from_context_actions(found, None)
    assert sorted(found) == ["a", "b"]
    assert found["a"] is last.tool


@pytest.mark.parametrize(
    ("text", "objects"),
    [
        ("", []),
        ('x {"a": 1} y {"b": {"c": 2}}', [{"a": 1}, {"b": {"c": 2}}]),
        ('[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
        ('{bad {"a": "}"}', [{"a": "}"}]),
        ("{" * 10_000, []),
        ('["a", 1] "b"', []),
    ],
)
def test_json_objects_are_found_in_a_text(text: str, objects: list[Any]) -> None:
    assert list(json_extraction(text)) == objects


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"name": "f", "arguments": {"x": 1}}, ("f", {"x": 1})),
        ({"name": "f", "parameters": {}}, ("f", {})),
        ({"type": "function", "function": {"name": "f", "arguments": {}}}, ("f", {})),
        ({"name": "f"}, (None, None)),
        ({"name": "f", "arguments": "{}"}, (None, None)),
        ("f", (None, None)),
    ],
)
def test_a_call_is_found_wherever_it_stands(said: Any, found: Any) -> None:
    assert find_func(said) == found


def test_calls_that_a_model_wrote_down_are_matched_with_their_tools(
    caplog: pytest.LogCaptureFixture,
) -> None:
    text = """
        {"name": "weather", "arguments": {"city": "Oslo", "days": "3"}}
        {"name": "unknown", "arguments": {}}
        {"name": "now", "parameters": {"made": "up"}}
    """
    assert [name for name, _ in parse_tools(text)] == ["weather", "unknown", "now"]

    def now() -> str:
        """Tell the time."""
        return "noon"

    tools = {each.__name__: tool(each) for each in (weather, now)}
    calls = to_tool_calls(tools, text)
    assert calls is not None
    assert calls["weather"].call_func() == "Oslo 3"
    assert calls["now"].args == {}
    assert "non-existing function: unknown" in caplog.text
    assert to_tool_calls(tools, "nothing") is None


def test_arguments_get_the_types_of_the_parameters() -> None:
    made = tool(weather)
    assert validate_tool_arguments(made, {"city": " Oslo ", "days": "3"}) == {
        "city": "Oslo",
        "days": 3,
    }
    assert validate_tool_arguments(made, {"city": "a", "more": 1}) == {"city": "a", "more": 1}
    assert validate_tool_arguments(object(), {"as": "is"}) == {"as": "is"}


@pytest.mark.parametrize(("args", "wrong"), [({}, "city"), ({"city": "a", "days": "x"}, "days")])
def test_arguments_that_do_not_fit_come_back_or_are_an_error(
    args: dict[str, Any], wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = tool(weather)
    assert validate_tool_arguments(made, args) == args
    assert wrong in caplog.text
    assert "Returning original arguments" in caplog.text
    with pytest.raises(pydantic.ValidationError):
        validate_tool_arguments(made, args, strict=True)


def test_strict_arguments_are_neither_unknown_nor_of_another_type() -> None:
    made = tool(weather)
    with pytest.raises(pydantic.ValidationError, match="more"):
        validate_tool_arguments(made, {"city": "a", "more": 1}, strict=True)
    with pytest.raises(pydantic.ValidationError, match="days"):
        validate_tool_arguments(made, {"city": "a", "days": "3"}, coerce_types=False, strict=True)
    assert validate_tool_arguments(
        made, {"city": "a", "days": 3}, coerce_types=False, strict=True
    ) == {"city": "a", "days": 3}


def test_models_among_the_arguments_are_mappings_until_the_tool_is_called() -> None:
    class Mail(pydantic.BaseModel):
        to: str

    def send(mail: Mail, copies: list[Mail], more: dict[str, Mail] | None = None) -> str:
        return mail.to + copies[0].to

    made = tool(send)
    args = {"mail": {"to": "a"}, "copies": [{"to": "b"}], "more": {"x": {"to": "c"}}}
    assert validate_tool_arguments(made, args) == args
    calls = to_tool_calls({"send": made}, json.dumps({"name": "send", "arguments": args}))
    assert calls is not None
    assert calls["send"].call_func() == "ab"


def test_the_description_for_ollama_is_one_of_pydantic() -> None:
    described = convert_function_to_ollama_tool(weather, "w")
    assert isinstance(described, OllamaTool)
    assert described.function is not None
    assert described.function["name"] == "w"
    assert described["type"] == "function"
    assert "type" in described
    assert 1 not in described
    assert described.get("nothing", 7) == 7
    with pytest.raises(KeyError):
        described["nothing"]
    described["type"] = "other"
    assert described.type == "other"
    dumped = described.model_dump(exclude_none=True)
    assert dumped["function"]["parameters"]["required"] == ["city"]
    json.dumps(dumped)


def test_the_argument_that_holds_code_is_known_by_its_name() -> None:
    def run(code: str) -> None: ...
    def look(city: str) -> None: ...

    for func, field in ((run, "code"), (look, None)):
        made = tool(func)
        call = ModelToolCall(made.name, made, {})
        assert get_code_field_from_schema(call) == field


def test_a_tool_of_another_library_must_be_of_that_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys
    from types import SimpleNamespace as Module

    class Theirs:
        name = "theirs"

        def run(self, tool_input: dict[str, Any]) -> Any:
            return tool_input

        def __call__(self, **kwargs: Any) -> Any:
            return kwargs

    def describe(each: Theirs) -> dict[str, Any]:
        return {"type": "function", "function": {"name": each.name, "parameters": {}}}

    modules = {
        "langchain_core": Module(),
        "langchain_core.tools": Module(BaseTool=Theirs),
        "langchain_core.utils": Module(),
        "langchain_core.utils.function_calling": Module(convert_to_openai_tool=describe),
        "smolagents": Module(Tool=Theirs),
        "smolagents.models": Module(get_tool_json_schema=describe),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    for make in (MelleaTool.from_langchain, MelleaTool.from_smolagents):
        made = make(Theirs())
        assert made.name == "theirs"
        assert made.as_json_tool["function"]["name"] == "theirs"
        assert made.run(x=1) == {"x": 1}
        with pytest.raises(ValueError, match="Tool type"):
            make(object())


def test_warnings_go_to_the_logger_of_programs(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="mellea"):
        validate_tool_arguments(tool(weather), {})
    assert {record.name for record in caplog.records} == {"mellea"}

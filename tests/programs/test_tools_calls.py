"""Which tools a call offers, and what of the calls goes into the next prompt."""

from typing import Any

import pytest

from motet import (
    Component,
    Context,
    Instruction,
    Message,
    ModelOption,
    ModelOutputThunk,
    ModelToolCall,
    OllamaModelBackend,
    SimpleContext,
    TemplateFormatter,
    TemplateRepresentation,
    ToolCallRequest,
)
from motet._language.message import ToolMessage
from motet._language.tools.tool import tool
from motet._programs.tools import acall_tools
from motet.testing import ScriptedBackend
from motet.testing.server import Reply, open_server

pytestmark = pytest.mark.anyio


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool(name="add")
def other_add(a: int) -> int:
    return a


def double(a: int) -> int:
    return 2 * a


class Bringing(Component[str]):
    """A component that brings tools along."""

    def __init__(self, *tools: Any) -> None:
        self.tools = {str(number): each for number, each in enumerate(tools)}

    def parts(self) -> list[Any]:
        return []

    def format_for_llm(self) -> TemplateRepresentation:
        return TemplateRepresentation(self, {}, tools=self.tools, template="use the tools")

    def _parse(self, computed: ModelOutputThunk[Any]) -> str:
        return computed.value or ""


class Remembering(SimpleContext):
    """A context that sends what was said."""

    def view_for_generation(self) -> list[Any]:
        return self.as_list()


async def offered(action: Any, ctx: Context | None = None, **call: Any) -> dict[str, Any]:
    backend = ScriptedBackend("ok")
    await backend.begin(action, ctx or SimpleContext(), **call)
    return dict(backend.requests[0].tools)


TOOLS = {ModelOption.TOOLS: [add, double]}


async def test_tools_are_offered_when_the_call_asks_for_them() -> None:
    assert await offered(Instruction("go"), model_options=TOOLS) == {}
    tools = await offered(Instruction("go"), model_options=TOOLS, tool_calls=True)
    assert tools.keys() == {"add", "double"}
    assert tools["add"] is add
    assert await offered(Instruction("go"), tool_calls=True) == {}


async def test_a_format_takes_the_place_of_tools_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    schema = {"type": "object"}
    tools = await offered(Instruction("go"), model_options=TOOLS, tool_calls=True, format=schema)
    assert tools == {}
    assert "none are offered" in caplog.text


async def test_components_bring_tools_along_and_the_action_has_the_last_word() -> None:
    ctx = Remembering().add(Bringing(double)).add(ModelOutputThunk("ok"))
    tools = await offered(Bringing(other_add), ctx, model_options=TOOLS, tool_calls=True)
    assert tools.keys() == {"add", "double"}
    assert tools["add"] is other_add


async def test_what_a_simple_context_holds_brings_nothing_along() -> None:
    ctx = SimpleContext().add(Bringing(double)).add(ModelOutputThunk("ok"))
    assert await offered(Instruction("go"), ctx, tool_calls=True) == {}


async def test_a_method_that_cannot_be_described_is_left_out_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def odd(x: Context) -> None: ...

    tools = await offered(Bringing(odd, add), tool_calls=True)
    assert tools.keys() == {"add"}
    assert "is no tool" in caplog.text


async def test_a_tool_of_the_options_that_is_none_is_refused_at_once() -> None:
    backend = ScriptedBackend("ok")
    with pytest.raises(TypeError, match="not int"):
        _ = backend.begin(
            Instruction("go"),
            SimpleContext(),
            model_options={ModelOption.TOOLS: [3]},
            tool_calls=True,
        )


async def test_calls_go_to_the_thunk_and_the_message() -> None:
    backend = ScriptedBackend([[ToolCallRequest("add", {"a": "1", "b": 2}, "id 1"), "let me see"]])
    thunk = backend.begin(Message("user", "1+2?"), SimpleContext(), model_options=TOOLS,
                          tool_calls=True)  # fmt: skip
    assert await thunk == "let me see"
    assert thunk.tool_calls is not None
    call = thunk.tool_calls["add"]
    assert (call.name, call.func, call.args, call.id) == ("add", add, {"a": 1, "b": 2}, "id 1")
    message = thunk.parsed_repr
    assert isinstance(message, Message)
    assert message.content == "let me see"
    assert message.tool_calls == thunk.tool_calls


async def test_a_reply_without_calls_has_none() -> None:
    thunk = ScriptedBackend("ok").begin(Message("user", "?"), SimpleContext())
    await thunk
    assert thunk.tool_calls is None
    assert thunk.parsed_repr is not None
    assert thunk.parsed_repr.tool_calls is None


async def test_calls_that_are_answered_are_repeated_in_the_next_prompt() -> None:
    asked = [
        ToolCallRequest("add", {"a": "1", "b": 2}, "id 1"),
        ToolCallRequest("double", {"a": 2}),
    ]
    backend = ScriptedBackend([[*asked, "let me see"]])
    thunk = backend.begin(Message("user", "?"), SimpleContext(), model_options=TOOLS,
                          tool_calls=True)  # fmt: skip
    first, second = await acall_tools(thunk, backend)
    formatter = TemplateFormatter("x")
    answer, *results = formatter.to_chat_messages([thunk, first, second])
    assert answer.role == "assistant"
    assert answer.content == "let me see"
    assert list(answer.tool_calls) == asked  # in the words of the model
    assert [(each.role, each.content, each.tool_name, each.tool_call_id) for each in results] == [
        ("tool", "3", "add", "id 1"),
        ("tool", "4", "double", None),
    ]
    assert formatter.to_chat_messages([thunk])[0].tool_calls == ()
    assert list(formatter.to_chat_messages([thunk, second])[0].tool_calls) == asked[1:]
    assert formatter.to_chat_messages([thunk, Message("user", "x"), first])[0].tool_calls == ()
    assert list(formatter.to_chat_messages([thunk.parsed_repr, first])[0].tool_calls) == asked[:1]


async def test_a_call_made_by_hand_is_repeated_with_its_arguments() -> None:
    thunk: ModelOutputThunk[Any] = ModelOutputThunk(
        "", tool_calls={"add": ModelToolCall("add", add, {"a": 1})}
    )
    result = ToolMessage("tool", "3", 3, "add", {"a": 1}, add)
    (answer, _) = TemplateFormatter("x").to_chat_messages([thunk, result])
    assert list(answer.tool_calls) == [ToolCallRequest("add", {"a": 1})]


async def test_a_tool_message_shows_what_it_is() -> None:
    message = ToolMessage("tool", "3", 3, "add", {"a": 1}, add)
    assert str(message) == "3"
    assert repr(message) == 'motet.ToolMessage(role="tool", content="3", name="add")'


async def test_a_tool_is_offered_called_and_answered_over_the_wire() -> None:
    async with open_server() as server:
        call = {"function": {"name": "add", "arguments": {"a": "19", "b": 23}}}
        server.script([Reply("", tool_calls=[call]), Reply("It is 42.")])
        backend = OllamaModelBackend(base_url=server.url)
        options = {ModelOption.TOOLS: [add]}
        question, ctx = Message("user", "19+23?"), Remembering()
        thunk, ctx = await backend.generate_from_context(
            question, ctx, model_options=options, tool_calls=True
        )
        (result,) = await acall_tools(thunk, backend)
        assert result.tool_output == 42
        final, _ = await backend.generate_from_context(result, ctx, model_options=options)
        assert await final == "It is 42."
        first, second = (request.body for request in server.requests)
        assert first["tools"] == [add.as_json_tool]
        assert second["messages"][1]["tool_calls"][0]["function"]["arguments"] == {
            "a": "19",
            "b": 23,
        }
        assert second["messages"][2]["content"] == "42"
        assert second["messages"][2]["tool_name"] == "add"

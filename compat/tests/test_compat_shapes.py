"""Replies and messages in the shape of OpenAI's protocol."""

import base64
import datetime
import json
from typing import Any

import pytest

from mellea.backends.tools import tool
from mellea.backends.utils import get_value, populate_response_metadata_openai_shape, to_chat
from mellea.formatters import TemplateFormatter
from mellea.helpers.openai_compatible_helpers import (
    CompletionUsage,
    build_completion_usage,
    build_tool_calls,
    chat_completion_delta_merge,
    extract_model_tool_requests,
    has_tool_calls,
    message_to_openai_message,
    messages_to_docs,
)
from motet import (
    ChatContext,
    Document,
    ImageBlock,
    ImageUrlBlock,
    Message,
    ModelOutputThunk,
    ModelToolCall,
    PendingReplyError,
    ToolMessage,
)

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(8)).decode()


@tool
def add(x: int, y: int) -> int:
    """Add."""
    return x + y


def asked(*calls: tuple[str, str | None]) -> dict[str, Any]:
    made = [{"id": "c", "function": {"name": name, "arguments": args}} for name, args in calls]
    return {"message": {"tool_calls": made}}


def test_calls_of_a_choice_are_matched_with_their_tools() -> None:
    calls = extract_model_tool_requests(
        {"add": add},
        asked(("add", '{"x": "1", "y": 2}'), ("unknown", "{}"), ("add", '{"x": 3, "y": 4}')),
    )
    assert calls is not None
    assert [call.call_func() for call in calls.values()] == [3, 7]
    assert list(calls) == ["add", "add (2)"]
    assert calls["add"].id == "c"


@pytest.mark.parametrize("message", [{}, {"tool_calls": None}, {"tool_calls": []}])
def test_a_choice_without_calls_has_none(message: dict[str, Any]) -> None:
    assert extract_model_tool_requests({"add": add}, {"message": message}) is None


def test_arguments_that_are_not_json_are_an_error_and_none_are_none() -> None:
    with pytest.raises(json.JSONDecodeError):
        extract_model_tool_requests({"add": add}, asked(("add", "{")))
    now = tool(lambda: 1, name="now")
    calls = extract_model_tool_requests({"now": now}, asked(("now", None)))
    assert calls is not None
    assert calls["now"].args == {}


def piece(**delta: Any) -> dict[str, Any]:
    return {"index": 0, "finish_reason": delta.pop("finish_reason", None), "delta": delta}


def called(index: int, **function: Any) -> dict[str, Any]:
    return piece(tool_calls=[{"index": index, "function": function}])


def test_the_pieces_of_a_choice_are_put_together() -> None:
    assert chat_completion_delta_merge([]) == {
        "finish_reason": None,
        "index": 0,
        "logprobs": None,
        "stop_reason": None,
        "message": {"content": "", "reasoning_content": "", "role": None, "tool_calls": []},
    }
    merged = chat_completion_delta_merge(
        [
            piece(role="assistant", content="Hel", reasoning_content="h"),
            piece(content="lo", reasoning="m"),
            called(0, name="f", arguments='{"x"'),
            called(1, name="g", arguments="{}"),
            called(0, name=None, arguments=": 1}"),
            called(1),
            piece(finish_reason="tool_calls") | {"stop_reason": "x", "logprobs": {"a": 1}},
        ]
    )
    message = merged.pop("message")
    assert merged == {
        "finish_reason": "tool_calls",
        "index": 0,
        "logprobs": {"a": 1},
        "stop_reason": "x",
    }
    assert message["content"], message["reasoning_content"] == ("Hello", "hm")
    assert message["role"] == "assistant"
    assert [call["function"] for call in message["tool_calls"]] == [
        {"name": "f", "arguments": '{"x": 1}'},
        {"name": "g", "arguments": "{}"},
    ]


def test_every_piece_of_a_call_may_be_a_call() -> None:
    pieces = [called(0, name="f", arguments="{}"), called(0, name="g", arguments="{}")]
    merged = chat_completion_delta_merge(pieces, force_all_tool_calls_separate=True)
    names = [call["function"]["name"] for call in merged["message"]["tool_calls"]]
    assert names == ["f", "g"]


def test_a_message_in_openais_shape() -> None:
    assert message_to_openai_message(Message("user", "hi")) == {"role": "user", "content": "hi"}
    images = [
        ImageBlock(PNG),
        ImageBlock(f"data:image/png;base64,{PNG}"),
        ImageUrlBlock("https://x/y"),
    ]
    content = message_to_openai_message(Message("user", "see", images=images))["content"]
    assert content[0] == {"type": "text", "text": "see"}
    urls = [part["image_url"]["url"] for part in content[1:]]
    assert urls[0] == urls[1] == f"data:image/png;base64,{PNG}"
    assert urls[2] == "https://x/y"


def test_documents_are_in_the_words_of_a_formatter_or_by_themselves() -> None:
    messages = [Message("user", "q", documents=["d", Document("t", "ti", "1")])]
    assert messages_to_docs(messages) == [
        {"text": "d"},
        {"text": "t", "title": "ti", "doc_id": "1"},
    ]
    assert message_to_openai_message(messages[0])["content"] == "q"
    worded = message_to_openai_message(messages[0], TemplateFormatter("m"))["content"]
    assert "ti: t" in worded


def test_the_result_of_a_tool_names_its_call() -> None:
    result = ToolMessage("tool", "3", 3, "add", {}, add, call_id="c1")
    assert message_to_openai_message(result) == {
        "role": "tool",
        "content": "3",
        "tool_call_id": "c1",
    }


def test_what_a_reply_cost_and_asked_for() -> None:
    reply: ModelOutputThunk[str] = ModelOutputThunk("v")
    assert build_completion_usage(reply) is None
    assert not has_tool_calls(reply)
    assert build_tool_calls(reply) is None
    reply.generation.usage = {"prompt_tokens": 1, "completion_tokens": 2}
    assert build_completion_usage(reply) == CompletionUsage(
        prompt_tokens=1, completion_tokens=2, total_tokens=3
    )
    day = datetime.date(2024, 1, 15)
    reply.tool_calls = {"add": ModelToolCall("add", add, {"x": day}, id="c1")}
    assert has_tool_calls(reply)
    (call,) = build_tool_calls(reply) or ()
    assert call["id"] == "c1"
    assert json.loads(call["function"]["arguments"]) == {"x": "2024-01-15"}


def test_values_of_mappings_and_objects() -> None:
    assert get_value({"a": 1}, "a") == 1
    assert get_value({"a": 1}, "b") is None
    assert get_value(Document("t"), "text") == "t"
    assert get_value(object(), "text") is None


@pytest.mark.parametrize(
    ("choices", "reasons"),
    [
        ([{"finish_reason": "stop"}, {"finish_reason": None}], ["stop"]),
        ([{"finish_reason": None}], None),
        ([], None),
    ],
)
def test_facts_of_a_reply_are_noted(choices: list[Any], reasons: list[str] | None) -> None:
    reply: ModelOutputThunk[str] = ModelOutputThunk("v")
    populate_response_metadata_openai_shape(reply, {"model": "m", "id": "i", "choices": choices})
    assert reply.generation.response_model == "m"
    assert reply.generation.response_id == "i"
    assert reply.generation.finish_reasons == reasons
    populate_response_metadata_openai_shape(reply, None)
    assert reply.generation.response_model == "m"


def test_a_conversation_as_roles_and_contents() -> None:
    ctx = ChatContext().add(Message("user", "one")).add(ModelOutputThunk("two"))
    assert to_chat(Message("user", "three"), ctx, TemplateFormatter("m"), "be kind") == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    with pytest.raises(PendingReplyError):
        TemplateFormatter("m").to_chat_messages([ModelOutputThunk(None)])

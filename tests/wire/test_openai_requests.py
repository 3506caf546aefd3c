"""Requests to OpenAI and its imitators: each option and message in its place."""

import json
from typing import Any

import pytest

from motet._values.chat import ChatMessage, ToolCallRequest
from motet._values.options import ModelOption
from motet._wire.openai_requests import chat_body, completion_body, strict_schema

USER = ChatMessage("user", "Hi")
PLAIN = {
    "model": "m",
    "messages": [{"role": "user", "content": "Hi"}],
    "stream": True,
    "stream_options": {"include_usage": True},
}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def body(options: dict[str, Any] | None = None, *messages: ChatMessage, **more: Any) -> Any:
    return json.loads(chat_body("m", messages or (USER,), options, **more))


OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "none": ({}, {}),
    "streaming is ours": ({"stream": False, ModelOption.STREAM_TIMEOUT: 3}, {}),
    "length": (
        {ModelOption.MAX_NEW_TOKENS: 9},
        {"max_completion_tokens": 9, "max_tokens": 9},
    ),
    "length, as OpenAI says": (
        {"max_tokens": 9},
        {"max_completion_tokens": 9, "max_tokens": 9},
    ),
    "seed, stops": (
        {ModelOption.SEED: 3, ModelOption.STOP_SEQUENCES: ["x"]},
        {"seed": 3, "stop": ["x"]},
    ),
    "OpenAI's own": ({"top_p": 0.4, "temperature": 0.1}, {"top_p": 0.4, "temperature": 0.1}),
    "window": ({ModelOption.CONTEXT_WINDOW: 99}, {}),
    "not given": ({"top_p": None, "seed": None}, {}),
    "thinking": (
        {ModelOption.THINKING: True},
        {"reasoning_effort": "medium", "chat_template_kwargs": {"enable_thinking": True}},
    ),
    "no thinking": (
        {ModelOption.THINKING: False},
        {"chat_template_kwargs": {"enable_thinking": False}},
    ),
    "level": ({ModelOption.THINKING: "low"}, {"reasoning_effort": "low"}),
    "level, as OpenAI says": ({"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
    "tool choice without tools": ({ModelOption.TOOL_CHOICE: "auto"}, {}),
    "extra body": (
        {
            ModelOption.THINKING: True,
            "temperature": 0.1,
            "extra_body": {
                "foo": 1,
                "temperature": 0.2,
                "chat_template_kwargs": {"z": 1},
            },
        },
        {
            "reasoning_effort": "medium",
            "temperature": 0.2,
            "foo": 1,
            "chat_template_kwargs": {"enable_thinking": True, "z": 1},
        },
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_each_option_has_its_place(name: str) -> None:
    options, expected = OPTIONS[name]
    given = json.dumps(options)
    assert body(options) == PLAIN | expected
    assert json.dumps(options) == given  # the caller's own


def test_a_strict_server_gets_no_field_that_only_imitators_know() -> None:
    options = {ModelOption.MAX_NEW_TOKENS: 9, ModelOption.THINKING: True}
    strict = {"max_completion_tokens": 9, "reasoning_effort": "medium"}
    assert body(options, strict=True) == PLAIN | strict
    assert body({ModelOption.THINKING: False}, strict=True)["reasoning_effort"] == "none"


def test_fields_that_a_server_refuses_are_left_out_unless_the_program_writes_them() -> None:
    options = {ModelOption.MAX_NEW_TOKENS: 9}
    less = body(options, without=("stream_options", "max_tokens"))
    assert "stream_options" not in less
    assert "max_tokens" not in less
    assert less["max_completion_tokens"] == 9
    written = {"extra_body": {"stream_options": {"x": 1}}}
    assert body(written, without=("stream_options",))["stream_options"] == {"x": 1}


@pytest.mark.parametrize(("prompt", "first"), [("Be brief.", "system"), ("", "user")])
def test_a_system_prompt_comes_first(prompt: str, first: str) -> None:
    assert body({ModelOption.SYSTEM_PROMPT: prompt})["messages"][0]["role"] == first


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("f", {"type": "function", "function": {"name": "f"}}),
        ({"type": "x"}, {"type": "x"}),
    ],
)
def test_tools_and_the_choice_among_them(choice: Any, sent: Any) -> None:
    sent_body = body({ModelOption.TOOL_CHOICE: choice}, tools=[TOOL])
    assert (sent_body["tools"], sent_body["tool_choice"]) == ([TOOL], sent)


def test_a_tool_result_names_its_call() -> None:
    asked = ChatMessage(
        "assistant", "", tool_calls=(ToolCallRequest("f", {"a": 1}, "c1"), ToolCallRequest("g", {}))
    )
    results = (
        ChatMessage("tool", "two", tool_name="g"),
        ChatMessage("tool", "one", tool_name="f", tool_call_id="c1"),
    )
    _, calls, two, one = body(None, USER, asked, *results)["messages"]
    assert calls["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "call_1", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    assert (two["tool_call_id"], one["tool_call_id"]) == ("call_1", "c1")
    assert two["content"] == "two"


def test_calls_without_ids_are_told_apart_by_their_order() -> None:
    asked = ChatMessage("assistant", "", tool_calls=(ToolCallRequest("f", {}),) * 2)
    result = ChatMessage("tool", "x", tool_name="f")
    *_, first, second = body(None, asked, result, result)["messages"]
    assert (first["tool_call_id"], second["tool_call_id"]) == ("call_1", "call_2")
    assert "tool_call_id" not in body(None, result)["messages"][0]


def test_images_are_parts_of_the_content() -> None:
    message = ChatMessage(
        "user", "Look", images=("aGk=", "https://x/y.png", "data:image/png;base64,aGk=")
    )
    text, *images = body(None, message)["messages"][0]["content"]
    assert text == {"type": "text", "text": "Look"}
    urls = [image["image_url"]["url"] for image in images]
    assert urls == ["data:image/png;base64,aGk=", "https://x/y.png", "data:image/png;base64,aGk="]


SCHEMA = {
    "title": "A [Person]",
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "x"},
        "pets": {"type": "array", "items": {"$ref": "#/$defs/Pet"}},
        "home": {"anyOf": [{"type": "object", "properties": {"at": {"type": "null"}}}]},
        "default": {"type": "string"},
    },
    "required": ["name"],
    "$defs": {"Pet": {"type": "object", "properties": {"kind": {"type": "string"}}}},
}


def test_a_schema_goes_as_it_is_to_most_servers() -> None:
    sent = body(None, schema=SCHEMA)["response_format"]
    assert sent == {
        "type": "json_schema",
        "json_schema": {"name": "A_Person", "schema": SCHEMA, "strict": True},
    }
    assert body(None, schema={})["response_format"]["json_schema"]["name"] == "reply"


def test_strict_servers_want_every_object_closed() -> None:
    given = json.dumps(SCHEMA)
    sent = body(None, schema=SCHEMA, strict=True)["response_format"]["json_schema"]["schema"]
    assert sent == strict_schema(SCHEMA)
    objects = [sent, sent["$defs"]["Pet"], sent["properties"]["home"]["anyOf"][0]]
    assert all(each["additionalProperties"] is False for each in objects)
    assert [each["required"] for each in objects] == [
        ["name", "pets", "home", "default"],
        ["kind"],
        ["at"],
    ]
    assert sent["properties"]["name"] == {"type": "string"}
    assert json.dumps(SCHEMA) == given


def test_a_raw_prompt_goes_as_it_is() -> None:
    options = {
        ModelOption.MAX_NEW_TOKENS: 9,
        ModelOption.SYSTEM_PROMPT: "dropped",
        ModelOption.THINKING: True,
        ModelOption.TOOL_CHOICE: "auto",
        "seed": 3,
    }
    sent = json.loads(completion_body("m", "Once", options, without=("max_tokens",)))
    assert sent == {
        "model": "m",
        "prompt": "Once",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 9,
        "seed": 3,
    }
    assert json.loads(completion_body("m", "x", schema=SCHEMA))["guided_json"] == SCHEMA


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"extra_body": [1]}, TypeError, "extra_body"),
        ({"top_p": object()}, TypeError, "top_p"),
        ({"user": "\ud800"}, ValueError, "user"),
        ({"seed": "x"}, TypeError, "SEED"),
    ],
)
def test_what_cannot_be_sent_is_named(options: Any, error: Any, named: str) -> None:
    with pytest.raises(error, match=named):
        body(options)

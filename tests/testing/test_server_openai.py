"""The simulated server speaks OpenAI's protocol over real HTTP, with faults."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from motet.testing import (
    Drop,
    EndlessLine,
    ErrorLine,
    Garbage,
    ModelServer,
    Outcome,
    Refuse,
    Reply,
    Stall,
    Truncate,
    open_server,
)

pytestmark = pytest.mark.anyio

CHAT = "/v1/chat/completions"
CALL = {"function": {"name": "f", "arguments": {"a": [1, 2]}}}


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with open_server(missing_models=["absent"]) as server:
        yield server


@pytest.fixture
async def client(server: ModelServer) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False) as client:
        yield client


def chat(text: str = "Hello.", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def events(body: str) -> list[Any]:
    parts = [part.removeprefix("data: ") for part in body.split("\n\n") if part]
    return [part if part == "[DONE]" else json.loads(part) for part in parts]


async def test_a_chat_streams_one_token_an_event(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Reply("Two words", thinking="Hm")])
    usage = {"stream_options": {"include_usage": True}}
    response = await client.post(CHAT, json=chat(stream=True, **usage))
    assert response.headers["content-type"] == "text/event-stream"
    *chunks, last, counts, done = events(response.text)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "Hm"},
        {"content": "Two"},
        {"content": " words"},
    ]
    assert last["choices"][0] == {
        "index": 0,
        "delta": {},
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert counts["choices"] == []
    assert counts["usage"] == {"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}
    assert done == "[DONE]"
    assert {chunk["model"] for chunk in chunks} == {"m-simulated"}
    (request,) = server.replies
    assert (request.prompt, request.streamed, request.tokens_sent) == ("Hello.", True, 3)


async def test_without_being_asked_for_usage_it_sends_none(client: httpx2.AsyncClient) -> None:
    response = await client.post(CHAT, json=chat(stream=True))
    assert not any(isinstance(each, dict) and "usage" in each for each in events(response.text))


async def test_a_plain_reply_is_the_default(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Reply("Two words", thinking="Hm", tool_calls=[CALL])])
    reply = (await client.post(CHAT, json=chat())).json()
    assert reply["object"] == "chat.completion"
    (choice,) = reply["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] == "Two words"
    assert choice["message"]["reasoning_content"] == "Hm"
    assert json.loads(choice["message"]["tool_calls"][0]["function"]["arguments"]) == {"a": [1, 2]}
    assert reply["usage"]["total_tokens"] == 5


async def test_tool_calls_stream_in_pieces(server: ModelServer, client: httpx2.AsyncClient) -> None:
    server.script([Reply("", tool_calls=[CALL, {**CALL, "id": "mine"}])])
    *chunks, last, _ = events((await client.post(CHAT, json=chat(stream=True))).text)
    assert last["choices"][0]["finish_reason"] == "tool_calls"
    arguments = {0: "", 1: ""}
    for chunk in chunks[1:]:
        (piece,) = chunk["choices"][0]["delta"]["tool_calls"]
        arguments[piece["index"]] += piece["function"]["arguments"]
    assert [json.loads(each) for each in arguments.values()] == [{"a": [1, 2]}] * 2
    assert chunks[4]["choices"][0]["delta"]["tool_calls"][0]["id"] == "mine"


async def test_a_bare_prompt_is_completed(server: ModelServer, client: httpx2.AsyncClient) -> None:
    server.script([Reply("a b")] * 2)
    body = {"model": "m", "prompt": ["Once"], "max_tokens": 1}
    reply = (await client.post("/v1/completions", json=body)).json()
    assert reply["object"] == "text_completion"
    assert (reply["choices"][0]["text"], reply["choices"][0]["finish_reason"]) == ("a", "length")
    first, *_ = events((await client.post("/v1/completions", json=body | {"stream": True})).text)
    assert first["choices"][0]["text"] == "a"
    refused = await client.post("/v1/completions", json=body | {"prompt": ["a", "b"]})
    assert refused.status_code == 400


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"max_completion_tokens": 1}, "one"),
        ({"max_tokens": 2}, "one two"),
        ({"stop": " three"}, "one two"),
        ({"stop": ["x", " two"]}, "one"),
    ],
)
async def test_options_have_their_effect(
    more: dict[str, Any], expected: str, server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Reply("one two three")])
    reply = (await client.post(CHAT, json=chat(**more))).json()
    assert reply["choices"][0]["message"]["content"] == expected


async def test_a_format_and_thinking_have_theirs(client: httpx2.AsyncClient) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    reply = (await client.post(CHAT, json=chat(response_format=wanted))).json()
    assert isinstance(json.loads(reply["choices"][0]["message"]["content"])["a"], int)
    for more in (
        {"reasoning_effort": "low"},
        {"chat_template_kwargs": {"enable_thinking": True}},
    ):
        reply = (await client.post(CHAT, json=chat(**more))).json()
        assert reply["choices"][0]["message"]["reasoning_content"]


async def test_content_may_be_a_list_of_parts(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    parts = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "x"}}]
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "tool", "content": "x", "tool_call_id": "c1"},
    ]
    assert (await client.post(CHAT, json={"model": "m", "messages": messages})).is_success
    assert server.replies[0].prompt == "Look"


BAD: dict[str, dict[str, Any]] = {
    "no model": {"messages": [{"role": "user", "content": "x"}]},
    "no messages": {"model": "m", "messages": []},
    "a wrong role": {"model": "m", "messages": [{"role": "boss", "content": "x"}]},
    "a nameless result": {"model": "m", "messages": [{"role": "tool", "content": "x"}]},
    "usage without a stream": chat(stream_options={"include_usage": True}),
    "several choices": chat(n=2),
    "a wrong format": chat(response_format={"type": "xml"}),
    "a wrong type": chat(seed="x"),
    "content": {"model": "m", "messages": [{"role": "user", "content": 3}]},
    "stop": chat(stop=[3]),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_request_is_refused_with_the_reason(
    name: str, client: httpx2.AsyncClient
) -> None:
    response = await client.post(CHAT, json=BAD[name])
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert response.json()["error"]["message"]


async def test_models_are_listed_and_missing_ones_named(client: httpx2.AsyncClient) -> None:
    listed = (await client.get("/v1/models")).json()
    (name,) = [model["id"] for model in listed["data"]]
    assert (await client.get(f"/v1/models/{name}")).json()["id"] == name
    for response in (
        await client.post(CHAT, json=chat() | {"model": "absent"}),
        await client.get("/v1/models/absent"),
    ):
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "model_not_found"
    assert (await client.get("/v1/nothing")).status_code == 404


async def test_a_model_is_there_after_it_was_pulled(client: httpx2.AsyncClient) -> None:
    body = {"model": "absent"}
    response = await client.post("/api/pull", json=body)
    *_, last = (json.loads(line) for line in response.text.splitlines())
    assert last == {"status": "success"}
    assert (await client.post(CHAT, json=chat() | body)).is_success
    listed = (await client.get("/api/tags")).json()["models"]
    assert "absent-simulated" in [model["name"] for model in listed]
    plain = await client.post("/api/pull", json=body | {"stream": False})
    assert plain.json() == {"status": "success"}


async def test_faults_are_in_the_words_of_the_protocol(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    words = ["a", "b", "c"]
    faults = [Garbage(1), ErrorLine(1, "sorry"), Truncate(1)]
    server.script([*(Reply(words, fault=fault) for fault in faults), Refuse(503, "busy")])
    garbage = (await client.post(CHAT, json=chat(stream=True))).content
    assert garbage.endswith(b"data: \xff\xfe<html>not what you asked for\n\n")
    failed = events((await client.post(CHAT, json=chat(stream=True))).text)
    assert failed[-1]["error"]["message"] == "sorry"
    cut = events((await client.post(CHAT, json=chat(stream=True))).text)
    assert cut[-1]["choices"][0]["delta"] == {"content": "a"}
    busy = await client.post(CHAT, json=chat(stream=True))
    assert (busy.status_code, busy.json()["error"]["message"]) == (503, "busy")
    assert busy.json()["error"]["type"] == "server_error"
    server.script([Reply(words, fault=EndlessLine(1, max_bytes=100_000)), Drop(1)])
    for _ in range(2):
        with pytest.raises(httpx2.TransportError):
            await client.post(CHAT, json=chat(stream=True))
    assert server.totals[Outcome.FAILED] == 5


async def test_a_stall_may_keep_the_connection_alive(
    server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Reply(["a", "b"], fault=Stall(1, 0.1, keep_alive=0.02))])
    text = (await client.post(CHAT, json=chat(stream=True))).text
    assert text.count(": still at work\n\n") >= 1
    server.script([Reply(["a", "b"], fault=Stall(1, 0.1, keep_alive=0.02))])
    text = (await client.post("/api/chat", json=chat())).text
    assert text.count("\n\n") >= 1


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
async def test_line_endings_and_cuts_are_as_they_are_scripted(
    newline: str, server: ModelServer, client: httpx2.AsyncClient
) -> None:
    server.script([Reply("né", newline=newline, slice_bytes=3, blank_lines=True)])
    content = (await client.post(CHAT, json=chat(stream=True))).content
    assert b"\n\n" not in content
    assert content.count(newline.encode() * 2) >= 4

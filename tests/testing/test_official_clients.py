"""The official clients of Ollama and OpenAI take the simulated server for a real one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import anyio
import pytest

from motet.testing import Drop, ErrorLine, ModelServer, Refuse, Reply, serve_in_thread

if TYPE_CHECKING:  # they take half a second to import, so each test that needs one does
    import ollama
    import openai

MODEL = "granite4.1:3b"
CALL = {"function": {"name": "f", "arguments": {"a": 1}}}
SAY = [{"role": "user", "content": "Say something."}]


@pytest.fixture(scope="module")
def shared_server() -> Iterator[ModelServer]:
    with serve_in_thread(missing_models=["absent"]) as server:
        yield server


@pytest.fixture
def server(shared_server: ModelServer) -> Iterator[ModelServer]:
    shared_server.reset()
    yield shared_server
    shared_server.block_until_idle()


@pytest.fixture
def to_openai(server: ModelServer) -> Iterator[openai.OpenAI]:
    import openai

    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
def to_ollama(server: ModelServer) -> Iterator[ollama.Client]:
    import ollama

    client = ollama.Client(server.url)
    yield client
    client._client.close()


def test_openai_streams(server: ModelServer, to_openai: openai.OpenAI) -> None:
    server.script([Reply("Two words", tool_calls=[CALL])])
    with to_openai.chat.completions.create(
        model=MODEL,
        messages=SAY,  # type: ignore[arg-type]
        stream=True,
        stream_options={"include_usage": True},
    ) as stream:
        chunks = list(stream)
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices) == "Two words"
    assert choices[-1].finish_reason == "tool_calls"
    pieces = [piece for choice in choices for piece in choice.delta.tool_calls or ()]
    assert pieces[0].function is not None
    assert pieces[0].function.name == "f"
    arguments = "".join(piece.function.arguments or "" for piece in pieces if piece.function)
    assert json.loads(arguments) == {"a": 1}
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == chunks[-1].usage.prompt_tokens + 3


def test_openai_reads_plain_replies_lists_and_completions(
    server: ModelServer, to_openai: openai.OpenAI
) -> None:
    server.script([Reply("Two words"), Reply("on we go")])
    reply = to_openai.chat.completions.create(model=MODEL, messages=SAY)  # type: ignore[call-overload]
    assert reply.choices[0].message.content == "Two words"
    assert reply.usage.completion_tokens == 2
    text = to_openai.completions.create(model=MODEL, prompt="Then")
    assert text.choices[0].text == "on we go"
    assert [model.id for model in to_openai.models.list()] == [f"{MODEL}-simulated"]


def test_openai_knows_the_errors(server: ModelServer, to_openai: openai.OpenAI) -> None:
    import openai

    server.script(
        [Refuse(429, "slow down", {"retry-after": "1"})],
        when=lambda request: request.body["model"] == "busy",
    )
    with pytest.raises(openai.NotFoundError, match="absent") as missing:
        to_openai.chat.completions.create(model="absent", messages=SAY)  # type: ignore[call-overload]
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.RateLimitError, match="slow down"):
        to_openai.chat.completions.create(model="busy", messages=SAY)  # type: ignore[call-overload]
    server.script([Reply(["a", "b"], fault=ErrorLine(1, "sorry"))])
    with pytest.raises(openai.APIError, match="sorry"):
        list(to_openai.chat.completions.create(model=MODEL, messages=SAY, stream=True))  # type: ignore[call-overload]


# Its own iterators are left to the garbage collector, which Trio reports.
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_openai_that_hangs_up_is_noticed(server: ModelServer) -> None:
    import openai

    server.script([Reply("a b c d", tokens_per_second=5)])
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="k") as client:
        stream = await client.chat.completions.create(
            model=MODEL,
            messages=SAY,  # type: ignore[arg-type]
            stream=True,
        )
        async for _ in stream:
            break
        await stream.close()
        with anyio.fail_after(5):
            await server.wait_until(lambda: server.replies[0].hung_up)


def test_ollama_streams(server: ModelServer, to_ollama: ollama.Client) -> None:
    server.script([Reply("Two words", thinking="Hm", tool_calls=[CALL])])
    chunks = list(to_ollama.chat(MODEL, SAY, stream=True, think=True))
    assert "".join(chunk.message.content or "" for chunk in chunks) == "Two words"
    assert "".join(chunk.message.thinking or "" for chunk in chunks) == "Hm"
    (call,) = [call for chunk in chunks for call in chunk.message.tool_calls or ()]
    assert (call.function.name, call.function.arguments) == ("f", {"a": 1})
    assert (chunks[-1].done, chunks[-1].done_reason, chunks[-1].eval_count) == (True, "stop", 4)


def test_ollama_reads_plain_replies_lists_and_pulls(
    server: ModelServer, to_ollama: ollama.Client
) -> None:
    server.script([Reply("Two words"), Reply("on we go")])
    assert to_ollama.chat(MODEL, SAY).message.content == "Two words"
    assert to_ollama.generate(MODEL, "Then", raw=True).response == "on we go"
    assert f"{MODEL}-simulated" in [model.model for model in to_ollama.list().models]
    assert to_ollama.show(MODEL).capabilities
    assert [each.status for each in to_ollama.pull("new", stream=True)][-1] == "success"
    assert to_ollama.ps().models


def test_ollama_knows_the_errors(server: ModelServer, to_ollama: ollama.Client) -> None:
    import ollama

    with pytest.raises(ollama.ResponseError, match="not found") as missing:
        to_ollama.chat("absent", SAY)
    assert missing.value.status_code == 404
    server.script([Reply(["a", "b"], fault=ErrorLine(1, "sorry")), Drop(1)])
    with pytest.raises(ollama.ResponseError, match="sorry"):
        list(to_ollama.chat(MODEL, SAY, stream=True))

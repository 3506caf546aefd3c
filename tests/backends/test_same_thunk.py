"""A reply is the same whether or not the caller streams it, from each kind of server."""

from collections.abc import Iterator
from typing import Any

import pytest

from motet import MelleaSession, ModelOption, open_session, tool
from motet.testing import ModelServer, Reply, serve_in_thread

KINDS = {"ollama": "", "openai": "/v1"}
CALL = {"id": "c1", "function": {"name": "add", "arguments": {"a": 1, "b": 2}}}


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with serve_in_thread() as server:
        yield server
        server.block_until_idle()


async def facts(session: MelleaSession, *, streamed: bool) -> dict[str, Any]:
    options = {ModelOption.STREAM: streamed, ModelOption.TOOLS: [add], ModelOption.THINKING: True}
    thunk = await session.ainstruct("1 + 2?", model_options=options, tool_calls=True, strategy=None)
    pieces = [piece async for piece in thunk] if streamed else []
    assert await thunk == "Three it is."
    assert "".join(pieces) == (thunk.value if streamed else "")
    assert thunk.generation.streaming is streamed
    calls = thunk.tool_calls or {}
    return {
        "value": thunk.value,
        "parsed": str(thunk.parsed_repr),
        "thinking": thunk.thinking,
        "calls": {name: (call.args, call.id) for name, call in calls.items()},
        "usage": thunk.generation.usage,
        "finish": thunk.generation.finish_reasons,
        "model": thunk.generation.response_model,
    }


@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS)
async def test_streamed_and_plain_calls_give_the_same_thunk(kind: str, server: ModelServer) -> None:
    server.script([Reply("Three it is.", thinking="Easy.", tool_calls=[CALL])] * 2)
    async with open_session(kind, "m", base_url=server.url + KINDS[kind]) as session:
        plain = await facts(session, streamed=False)
        assert plain == await facts(session, streamed=True)
    assert plain["thinking"] == "Easy."
    assert plain["calls"] == {"add": ({"a": 1, "b": 2}, "c1")}
    assert plain["usage"]["completion_tokens"] == 5
    assert all(request.body["stream"] is True for request in server.replies)

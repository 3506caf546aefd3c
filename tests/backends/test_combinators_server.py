"""Combined backends on servers with sockets: the loser's server notices, and nothing stays open."""

import anyio
import pytest

import motet
from motet import FallbackBackend, HedgedBackend, OllamaModelBackend, OpenAIBackend
from motet.testing import Drop, Refuse, Reply, Stall, open_server

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("kind", ["fallback", "hedged"])
async def test_the_server_of_the_loser_sees_a_hang_up(kind: str) -> None:
    async with open_server() as stalled, open_server() as well:
        stalled.script([Reply("never", fault=Stall(0))])
        well.script([Reply(["Here ", "it is."])])
        backends = [
            OllamaModelBackend("m", base_url=stalled.url),
            OpenAIBackend("m", base_url=f"{well.url}/v1"),
        ]
        backend: motet.Backend
        if kind == "fallback":
            backend = FallbackBackend(backends, first_token_timeout=0.1)
        else:
            backend = HedgedBackend(backends, delay=0.1)
        async with motet.open_session(backend) as m:
            thunk = await m.ainstruct("go", strategy=None)
            assert await thunk == "Here it is."
            with anyio.fail_after(10):
                # On a machine that is busy the request may not have come that far.
                await stalled.wait_until(lambda: len(stalled.hang_ups) == len(stalled.replies))
        assert thunk.generation.provider == "openai"
        assert thunk.generation.answered_by == f"openai::m at {well.url}/v1"


async def test_a_refusal_and_a_broken_connection_are_tried_again_within_one_call() -> None:
    async with open_server() as server:
        server.script([Refuse(503), Reply("x", fault=Drop(0)), Reply("Here.")])
        policy = motet.RetryPolicy(first_wait=0.01)
        async with motet.open_session(base_url=server.url, retries=policy) as m:
            thunk = await m.ainstruct("go", strategy=None)
            assert await thunk == "Here."
        failures = thunk.generation.failures or ()
        assert [type(each).__name__ for each in failures] == ["StatusError", "ConnectionLost"]
        assert [each.attempt for each in failures] == [1, 2]

"""Combined backends on servers with sockets: the loser's server notices, and nothing stays open."""

import anyio
import pytest

import motet
from backends.combined import COMBINED
from backends.raw import answers, chunked, raw_server
from motet import (
    FallbackBackend,
    HedgedBackend,
    OllamaModelBackend,
    OpenAIBackend,
    ReplyRefused,
)
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


REFUSED = (
    b'data: {"id":"c1","model":"m-1","choices":[{"index":0,"delta":{"refusal":"I will not."}}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n',
    b"data: [DONE]\n\n",
)


CALLED = (
    (
        b'data: {"id":"c1","model":"m-1","choices":[{"index":0,"delta":{"tool_calls":'
        b'[{"index":0,"id":"t1","function":{"name":"f","arguments":"{}"}}]}}]}\n\n'
    ),
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}\n\n',
    *REFUSED[2:],
)


@pytest.mark.parametrize("how", ["alone", *COMBINED])
@pytest.mark.parametrize("refused", [False, True], ids=["call of a tool", "refusal"])
async def test_a_reply_without_text_has_the_facts_of_the_backend_that_gave_it(
    how: str, refused: bool
) -> None:
    pieces = REFUSED if refused else CALLED
    async with raw_server(answers(chunked(*pieces))) as server:
        one = OpenAIBackend("m", base_url=server.url)
        async with motet.open_session(one if how == "alone" else COMBINED[how](one)) as m:
            thunk = await m.ainstruct("go", strategy=None)
            with anyio.fail_after(10):
                if refused:
                    with pytest.raises(ReplyRefused):
                        await thunk
                else:
                    assert await thunk == ""
    facts = thunk.generation
    assert facts.usage == {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    assert facts.finish_reasons == ["stop" if refused else "tool_calls"]
    assert (facts.model, facts.provider) == ("m", "openai")
    assert (facts.response_model, facts.response_id) == ("m-1", "c1")
    assert facts.answered_by == (None if how == "alone" else one.label)
    assert facts.ttfb_ms is not None


async def test_a_refusal_is_not_that_of_the_reply_when_another_one_answers() -> None:
    async with raw_server(answers(chunked(*REFUSED))) as server, open_server() as well:
        well.script([Reply("Here.")])
        refusing = OpenAIBackend("m", base_url=server.url)
        other = OllamaModelBackend("m", base_url=well.url)
        async with motet.open_session(FallbackBackend([refusing, other])) as m:
            thunk = await m.ainstruct("go", strategy=None)
            assert await thunk == "Here."
        assert thunk.generation.answered_by == other.label
        assert thunk.generation.response_id is None

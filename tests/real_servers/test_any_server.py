"""The OpenAI backend against a server nobody here wrote: streams, hang-ups, many at once."""

import time
from typing import Final

import anyio
import pytest

from motet import ModelOption, wait_for_all_mots
from motet._http.client import shared_transport
from motet._runtime.host import current_host
from motet.backends import OpenAIBackend

from .conftest import Tell
from .servers import RealServer

pytestmark = pytest.mark.anyio

LONG: Final = {ModelOption.MAX_NEW_TOKENS: 16_000}


async def test_a_reply_streams_with_its_facts(server: RealServer, tell: Tell) -> None:
    async with server.session() as m:
        thunk = await m.ainstruct("Say something.", model_options={ModelOption.MAX_NEW_TOKENS: 40})
        began = time.perf_counter()
        pieces = [piece async for piece in thunk]
        seconds = time.perf_counter() - began
        facts = thunk.generation
        assert facts.usage is not None
        assert facts.usage["completion_tokens"] == 40
        assert facts.finish_reasons == ["length"]
        assert facts.response_model == server.model
        assert facts.response_id is not None
        assert "".join(pieces) == thunk.value
        assert len(str(thunk.value).split()) == 40
        assert isinstance(m.backend, OpenAIBackend)
        assert await m.backend.models() == [server.model]
        tell("40 tokens", f"{len(pieces)} pieces, {seconds * 1e3:.0f} ms")


async def test_a_cancelled_reply_stops_the_server(server: RealServer, tell: Tell) -> None:
    async with server.session() as m:
        thunk = await m.ainstruct("Say a lot.", model_options=LONG)
        await thunk.astream()
        await server.wait_for(1)
        await thunk.cancel_generation()
        idle = await server.wait_for(0)
        words = len(str(thunk.value).split())
        assert words < 16_000
        tell("cancelled after the first token", f"free {idle * 1e3:.0f} ms on")
        await m.ainstruct("And now?", model_options={ModelOption.MAX_NEW_TOKENS: 5})


async def test_a_reply_that_nobody_waits_for_stops_the_server(
    server: RealServer, tell: Tell
) -> None:
    async with server.session() as m:
        thunk = await m.ainstruct("Say a lot.", model_options=LONG)
        with anyio.move_on_after(0.2):
            await thunk
        idle = await server.wait_for(0)
        tell("a wait of 0.2 s given up", f"free {idle * 1e3:.0f} ms on")
        assert idle < 5


async def test_a_session_that_is_left_stops_all_of_its_replies(
    server: RealServer, tell: Tell
) -> None:
    async with server.session() as m:
        for _ in range(server.slots):
            await m.ainstruct("Say a lot.", model_options=LONG)
        await server.wait_for(server.slots)
    idle = await server.wait_for(0)
    tell(f"replies left behind on every slot ({server.slots})", f"free {idle * 1e3:.0f} ms on")


async def test_fifty_calls_at_once(server: RealServer, tell: Tell) -> None:
    async with server.session() as m:
        began = time.perf_counter()
        thunks = [
            await m.ainstruct(f"Say {number}.", model_options={ModelOption.MAX_NEW_TOKENS: 60})
            for number in range(50)
        ]
        await wait_for_all_mots(thunks)
        seconds = time.perf_counter() - began
        assert all(len(str(thunk.value).split()) == 60 for thunk in thunks)
        assert all(thunk.generation.finish_reasons == ["length"] for thunk in thunks)
        assert await server.busy() == 0
        tell(f"50 calls of 60 tokens, {server.slots} at a time", f"{seconds:.2f} s")
    assert shared_transport(current_host()).leased == 0


async def test_fifty_calls_that_are_given_up_leave_nothing_running(
    server: RealServer, tell: Tell
) -> None:
    async with server.session(max_in_flight=8) as m:
        thunks = [await m.ainstruct("Say a lot.", model_options=LONG) for _ in range(50)]
        await server.wait_for(server.slots)
        began = time.perf_counter()
        with anyio.move_on_after(0.5):
            await wait_for_all_mots(thunks)
        given_up = time.perf_counter() - began
        idle = await server.wait_for(0)
        tell("50 calls given up", f"after {given_up:.2f} s, free {idle * 1e3:.0f} ms on")


async def test_texts_are_continued(server: RealServer) -> None:
    backend = OpenAIBackend(server.model, base_url=f"{server.url}/v1")
    options = {ModelOption.MAX_NEW_TOKENS: 6}
    thunks = await backend.generate_from_raw(["ba de", "go"], model_options=options)
    assert [len(str(thunk.value).split()) for thunk in thunks] == [6, 6]


async def test_options_reach_the_server(server: RealServer) -> None:
    async with server.session() as m:
        options = {ModelOption.SEED: 7, ModelOption.MAX_NEW_TOKENS: 12}
        first = await m.ainstruct("Say it.", model_options=options, await_result=True)
        again = await m.ainstruct("Say it.", model_options=options, await_result=True)
        assert str(first) == str(again)
        stopped = await m.ainstruct(
            "Say it.",
            model_options={**options, ModelOption.STOP_SEQUENCES: [str(first).split()[3]]},
            await_result=True,
        )
        assert stopped.generation.finish_reasons == ["stop"]
        assert str(first).startswith(str(stopped).rstrip())


async def test_a_connection_that_the_server_has_closed_is_no_error(server: RealServer) -> None:
    options = {ModelOption.MAX_NEW_TOKENS: 3}
    async with server.session() as m:
        await m.ainstruct("One.", model_options=options, await_result=True)
        await anyio.sleep(6)  # it closes idle ones after five seconds
        await m.ainstruct("Two.", model_options=options, await_result=True)

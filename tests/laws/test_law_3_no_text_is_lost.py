"""Law 3. A cancelled or timed-out read loses nothing, and text comes before an error.

The error carries the partial text. A reply without its terminal marker is an error,
never a success.
"""

import asyncio
import random
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from motet import (
    BackendError,
    ConnectionLost,
    GenerationCancelled,
    ModelOutputThunk,
    ProtocolError,
    open_session,
    start_session,
)
from motet._values.errors import ReplyError, TruncatedReply
from motet.testing import (
    Drop,
    ErrorLine,
    Fault,
    Garbage,
    ModelServer,
    Reply,
    Reset,
    Stall,
    Truncate,
)
from motet.testing.sweep import cancel_everywhere
from thunk.by_hand import scripted
from virtual_time import VIRTUAL_LOOPS, on_virtual_time

Thunk = ModelOutputThunk[Any]

TEXT = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.\u2028\n\U0001f512 {{x}}"


@pytest.mark.anyio
@on_virtual_time
@pytest.mark.parametrize("seed", range(20))
async def test_polling_with_any_timeouts_gives_the_whole_text(seed: int) -> None:
    chance = random.Random(seed)
    steps: list[str | float] = []
    for character in TEXT:
        steps += [character, chance.choice([0.0, 0.0, 0.125, 1.0])]
    thunk = scripted(*steps, linger=60)
    pieces: list[str] = []
    while not thunk.is_computed():
        with anyio.move_on_after(chance.choice([0, 0.125, 0.5, 3])):
            pieces.append(await thunk.astream())
        if chance.random() < 0.2:
            await anyio.sleep(chance.choice([0, 1, 5]))
        if chance.random() < 0.1:
            with anyio.move_on_after(0.25):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(thunk.avalue)  # somebody else, who gives up
    assert "".join(pieces) == TEXT == await thunk


@pytest.mark.parametrize("virtual", VIRTUAL_LOOPS)
def test_a_reader_that_is_cancelled_anywhere_and_goes_on_gets_the_whole_text(virtual: str) -> None:
    kept: list[Any] = []

    async def scenario() -> None:
        thunk, pieces = scripted("a", 1.0, "b", 1.0, "c", linger=60), []
        kept[:] = [thunk, pieces]
        await read_on()

    async def read_on() -> None:
        thunk, pieces = kept
        while not thunk.is_computed():
            pieces.append(await thunk.astream())

    async def nothing_is_lost() -> None:
        await read_on()
        assert "".join(kept[1]) == "abc" == await kept[0]
        kept.clear()

    # Long enough for the reply to end, and too short for *linger*.
    cancel_everywhere(scenario, loop=VIRTUAL_LOOPS[virtual], after=nothing_is_lost, patience=5)


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "uvloop"], indirect=True)
async def test_wait_for_around_every_read_loses_no_text_of_a_server(server: ModelServer) -> None:
    server.script([Reply(TEXT, slice_bytes=7, tokens_per_second=300)])
    thunk = await start_session(base_url=server.url, linger=60).ainstruct("Say something.")
    pieces: list[str] = []
    while not thunk.is_computed():
        with suppress(TimeoutError):
            pieces.append(await asyncio.wait_for(thunk.astream(), 0.002))
    assert "".join(pieces) == thunk.value == TEXT


@pytest.mark.anyio
@pytest.mark.parametrize("slice_bytes", [None, 1, 7, 64])
async def test_deltas_joined_are_what_the_server_sent_however_it_is_cut(
    server: ModelServer, slice_bytes: int | None
) -> None:
    server.script([Reply(list(TEXT), slice_bytes=slice_bytes)], repeat=True)
    async with open_session(base_url=server.url) as session:
        thunk = await session.ainstruct("Say something.")
        assert "".join([delta async for delta in thunk]) == TEXT
        assert await (await session.ainstruct("Say something.")) == TEXT
    assert [request.text_sent for request in server.replies] == [TEXT] * 2


FAULTS: dict[str, tuple[Fault, type[BackendError]]] = {
    "truncated": (Truncate(3), TruncatedReply),
    "an error line": (ErrorLine(3), ReplyError),
    "garbage": (Garbage(3), ProtocolError),
    "dropped": (Drop(3), ConnectionLost),
    "reset": (Reset(3), ConnectionLost),
}


@pytest.mark.anyio
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("reader", ["astream", "async for"])
async def test_text_that_came_before_an_error_is_read_before_it(
    server: ModelServer, fault: str, reader: str
) -> None:
    what, kind = FAULTS[fault]
    # Slowly: a reset overtakes what the kernel has not yet handed over.
    server.script([Reply(["a", "b", "c", "d"], fault=what, tokens_per_second=100)])
    pieces: list[str] = []
    async with open_session(base_url=server.url) as session:
        thunk = await session.ainstruct("Say something.")
        with pytest.raises(kind) as caught:
            if reader == "astream":
                while not thunk.is_computed():
                    pieces.append(await thunk.astream())
            else:
                async for piece in thunk:
                    pieces.append(piece)  # noqa: PERF401 - it raises on the way
    assert "".join(pieces) == caught.value.partial == thunk.partial == thunk.value == "abc"
    with pytest.raises(kind):
        await thunk


@pytest.mark.anyio
@pytest.mark.parametrize("tokens", range(5))
async def test_a_reply_without_its_end_is_never_a_success(server: ModelServer, tokens: int) -> None:
    server.script([Reply(["a", "b", "c", "d"], fault=Truncate(tokens))])
    async with open_session(base_url=server.url) as session:
        thunk = await session.ainstruct("Say something.")
        with pytest.raises(TruncatedReply) as caught:
            await thunk
    assert caught.value.partial == "abcd"[:tokens]


@pytest.mark.anyio
@pytest.mark.parametrize("linger", [0, 0.01])
async def test_what_had_arrived_when_a_reply_was_given_up_is_kept(
    server: ModelServer, linger: float
) -> None:
    server.script([Reply(["a", "b", "c"], fault=Stall(2))])
    session = start_session(base_url=server.url, linger=linger)
    thunk = await session.ainstruct("Say something.")
    pieces = ""
    while pieces != "ab":
        pieces += await thunk.astream()
    with anyio.move_on_after(0.001):
        await thunk.astream()
    with anyio.fail_after(60):
        await server.wait_idle()
    with pytest.raises(GenerationCancelled) as caught:
        await thunk
    assert caught.value.partial == "ab"

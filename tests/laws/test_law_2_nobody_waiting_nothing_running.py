"""Law 2. When the last one interested in a generation has gone, it ends and the server sees it.

On virtual clocks, to the moment, in `tests/thunk/test_interest.py`; here against a server,
which tells what it saw.
"""

import math
import random
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from motet import (
    GenerationCancelled,
    MelleaSession,
    ModelOutputThunk,
    as_completed,
    first_valid,
    gather_all,
    open_session,
    start_session,
    wait_for_all_mots,
    wait_for_quorum,
)
from motet._http.client import shared_transport
from motet._runtime.host import current_host
from motet.testing import ModelServer, Outcome, Reply, Stall
from motet.testing.leaks import no_leaks
from thunk.by_hand import others_wait
from thunk.ways import Thunk, by_async_for, by_loop

pytestmark = pytest.mark.anyio


async def in_a_block(thunk: Thunk) -> None:
    async with thunk:
        await thunk


async def by_arrivals(thunk: Thunk) -> None:
    async with as_completed([thunk]) as arriving:
        await anext(arriving)


WAYS: dict[str, Callable[[Thunk], Awaitable[Any]]] = {
    "avalue": ModelOutputThunk.avalue,
    "astream": by_loop,
    "async for": by_async_for,
    "async with": in_a_block,
    "as_completed": by_arrivals,
    "wait_for_all_mots": lambda thunk: wait_for_all_mots([thunk]),
    "gather_all": lambda thunk: gather_all([thunk]),
    "first_valid": lambda thunk: first_valid([thunk]),
    "wait_for_quorum": lambda thunk: wait_for_quorum([thunk], 1),
}


async def has_begun(server: ModelServer, calls: int = 1) -> None:
    with anyio.fail_after(60):
        await server.wait_until(lambda: sum(r.tokens_sent > 0 for r in server.replies) == calls)


async def idle(server: ModelServer) -> None:
    with anyio.fail_after(60):
        await server.wait_idle()


@pytest.mark.parametrize("way", WAYS)
async def test_a_wait_that_is_given_up_closes_the_request(way: str, server: ModelServer) -> None:
    server.script([Stall(2)])
    session = start_session(base_url=server.url, linger=0)
    thunk = await session.ainstruct("Say something.")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(WAYS[way], thunk)
        await has_begun(server)
        tasks.cancel_scope.cancel()
    await idle(server)
    (request,) = server.replies
    assert request.hung_up
    if way == "async with":
        assert thunk.cancelled
    else:
        with pytest.raises(GenerationCancelled, match=r"nobody|fan-out"):
            await thunk


async def test_a_request_that_somebody_else_waits_for_goes_on(server: ModelServer) -> None:
    server.script([Reply(["a", "b", "c"], tokens_per_second=20)])
    session = start_session(base_url=server.url, linger=0)
    thunk = await session.ainstruct("Say something.")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(thunk.avalue)
        for way in WAYS:
            if way != "async with":  # this one stops it on purpose
                async with anyio.create_task_group() as others:
                    others.start_soon(WAYS[way], thunk)
                    await others_wait()
                    others.cancel_scope.cancel()
    assert thunk.value == "abc"
    await idle(server)
    assert server.totals == {Outcome.FINISHED: 1}


async def test_a_request_that_nobody_has_asked_for_runs_to_its_end(server: ModelServer) -> None:
    server.script([Reply("Hello")])
    session = start_session(base_url=server.url, linger=0)
    thunk = await session.ainstruct("Say something.")
    with anyio.fail_after(60):
        await server.wait_until(lambda: server.totals.get(Outcome.FINISHED, 0) == 1)
    assert await thunk == "Hello"


async def test_a_request_with_an_infinite_linger_goes_on_alone(server: ModelServer) -> None:
    server.script([Reply(["a", "b", "c"], tokens_per_second=50)])
    session = start_session(base_url=server.url, linger=math.inf)
    thunk = await session.ainstruct("Say something.")
    with anyio.move_on_after(0.001):
        await thunk
    with anyio.fail_after(60):
        await server.wait_until(lambda: server.totals.get(Outcome.FINISHED, 0) == 1)
    assert await thunk == "abc"


@pytest.mark.parametrize("way", ["avalue", "astream"])
async def test_polling_keeps_a_request(way: str, server: ModelServer) -> None:
    server.script([Reply(["a", "b", "c", "d"], tokens_per_second=100)])
    session = start_session(base_url=server.url, linger=10)
    thunk = await session.ainstruct("Say something.")
    while not thunk.is_computed():
        with anyio.move_on_after(0.002):
            await WAYS[way](thunk)
    assert thunk.value == "abcd"
    await idle(server)
    assert server.totals == {Outcome.FINISHED: 1}


@pytest.mark.parametrize("block", [True, False], ids=["in a block", "without one"])
async def test_of_a_hundred_streams_whose_consumers_time_out_none_is_served_soon_after(
    server: ModelServer, block: bool
) -> None:
    server.script([Reply(["word "] * 5, tokens_per_second=10, fault=Stall(5))], repeat=True)

    async def consume(session: MelleaSession, number: int) -> None:
        thunk = await session.ainstruct(f"Say {number}.")
        with anyio.move_on_after(0.5) as scope:
            await WAYS[["astream", "async for"][number % 2]](thunk)
        assert scope.cancelled_caught

    async def consume_all(session: MelleaSession) -> None:
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(consume, session, number)
            await has_begun(server, 100)

    with no_leaks():
        if block:
            async with open_session(base_url=server.url) as session:
                await consume_all(session)
        else:
            await consume_all(start_session(base_url=server.url))
        await idle(server)
        if not block:  # the server may see a hang-up a step before its task is over
            await others_wait()
    assert server.totals == {Outcome.HUNG_UP: 100}


async def test_a_thousand_random_cancellations_leave_both_sides_agreed_and_able(
    server: ModelServer,
) -> None:
    chance = random.Random(20)
    # Paced, so that cancellations meet every phase: on the way there, before the first
    # token, between two, at the end.
    server.script(
        [
            Reply("a few words only", tokens_per_second=math.inf),
            Reply("a few words only", time_to_first_token=0.003, tokens_per_second=2000),
            Reply("a few words only", headers_at_once=True, tokens_per_second=500),
        ],
        repeat=True,
    )
    ended = {"complete": 0, "given up": 0}
    transport = shared_transport(current_host())
    ways = [way for way in WAYS if way not in ("first_valid", "wait_for_quorum")]

    async def call(session: MelleaSession, way: str, patience: float) -> None:
        thunk = await session.ainstruct("Say something.")
        with anyio.move_on_after(patience) as scope:
            await WAYS[way](thunk)
        ended["given up" if scope.cancelled_caught else "complete"] += 1

    with no_leaks():
        async with open_session(base_url=server.url, linger=0) as session:
            for _ in range(20):
                async with anyio.create_task_group() as tasks:
                    for _ in range(50):
                        # At once, at some moment, or never.
                        patience = chance.choice([0, 0.02, 0.1, 0.3, math.inf])
                        patience *= 1 - chance.random()
                        tasks.start_soon(call, session, chance.choice(ways), patience)
            assert sum(ended.values()) == 1000
            assert min(ended.values()) > 50, f"this tries too little: {ended}"
            await idle(server)
            # The server may have seen the end of a reply that its consumer had given up.
            assert server.totals.get(Outcome.FINISHED, 0) >= ended["complete"]
            assert sum(server.totals.values()) <= 1000
            assert server.serving == 0
            assert transport.leased == 0
            with anyio.fail_after(60):
                await server.wait_until(lambda: server.connections == transport.idle)
            accepted = server.connections_accepted
            server.reset()
            server.script([Reply("Hello")], repeat=True)
            for _ in range(20):
                assert await (await session.ainstruct("Say hello.")) == "Hello"
            assert server.connections_accepted <= accepted + 1
    with anyio.fail_after(60):
        await server.wait_idle(connections=True)
    assert transport.idle == transport.leased == 0


async def test_a_call_that_is_cancelled_before_it_was_sent_is_never_served(
    server: ModelServer,
) -> None:
    session = start_session(base_url=server.url, linger=0)
    thunk = await session.ainstruct("Say something.")
    with anyio.CancelScope() as scope:
        scope.cancel()
        await thunk
    await others_wait()
    with pytest.raises(GenerationCancelled):
        await thunk
    await idle(server)
    assert server.totals.get(Outcome.FINISHED, 0) == 0

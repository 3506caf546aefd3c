"""Who is interested in a reply keeps it; when nobody is left it ends *linger* seconds later.

All on virtual clocks, and exactly. Times are fractions that a float holds exactly.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from motet._thunk.fanout import first_valid, gather_all, wait_for_all_mots
from motet._thunk.fanout import wait_for_quorum as quorum
from motet._thunk.thunk import ModelOutputThunk
from motet._values.errors import GenerationCancelled
from motet.testing.leaks import no_leaks
from thunk.by_hand import interest, scripted
from thunk.ways import Thunk, by_as_completed, by_async_for, by_loop
from virtual_time import on_virtual_time

pytestmark = [pytest.mark.anyio, on_virtual_time]

Wait = Callable[[Thunk], Awaitable[Any]]


# What of a wait that is given up has *linger*; those of the second kind end at once.
PATIENT: dict[str, Wait] = {
    "avalue": ModelOutputThunk.avalue,
    "astream": ModelOutputThunk.astream,
    "loop": by_loop,
    "async for": by_async_for,
    "wait_for_all_mots": lambda thunk: wait_for_all_mots([thunk]),
    "gather_all": lambda thunk: gather_all([thunk]),
    "first_valid": lambda thunk: first_valid([thunk]),
    "wait_for_quorum": lambda thunk: quorum([thunk], 1),
}
BLOCKS: dict[str, Wait] = {"as_completed": by_as_completed}


@pytest.mark.parametrize("way", PATIENT)
@pytest.mark.parametrize("linger", [0, 0.25, 2.5])
async def test_an_abandoned_reply_ends_exactly_linger_after_the_last_one_has_gone(
    way: str, linger: float
) -> None:
    stopped: list[float] = []
    thunk = scripted(10.0, linger=linger, stopped=stopped)
    with anyio.move_on_after(1):
        await PATIENT[way](thunk)
    assert anyio.current_time() == 1
    assert interest(thunk) == 0
    await anyio.sleep(5)
    assert stopped == [1 + linger]
    with pytest.raises(GenerationCancelled, match="nobody was waiting"):
        await thunk


@pytest.mark.parametrize("way", BLOCKS)
async def test_a_block_stops_what_it_waited_for_at_once(way: str) -> None:
    stopped: list[float] = []
    thunk = scripted(10.0, linger=math.inf, stopped=stopped)
    with anyio.move_on_after(1):
        await BLOCKS[way](thunk)
    assert stopped == [1]


@pytest.mark.parametrize("way", PATIENT)
async def test_with_an_infinite_linger_an_abandoned_reply_goes_on_to_its_end(way: str) -> None:
    stopped: list[float] = []
    thunk = scripted(10.0, "Hello", linger=math.inf, stopped=stopped)
    with anyio.move_on_after(1):
        await PATIENT[way](thunk)
    assert await thunk == "Hello"
    assert anyio.current_time() == 10
    assert stopped == []


@pytest.mark.parametrize("linger", [0, 0.25, math.inf])
async def test_a_reply_that_nobody_has_asked_for_runs_on(linger: float) -> None:
    thunk = scripted(10.0, "Hello", linger=linger)
    await anyio.sleep(100)
    assert thunk.partial == "Hello"
    assert await thunk == "Hello"


@pytest.mark.parametrize("way", ["avalue", "astream", "wait_for_all_mots", "gather_all"])
async def test_polling_with_short_timeouts_keeps_the_reply(way: str) -> None:
    stopped: list[float] = []
    thunk = scripted(100.0, "Hello", linger=0.25, stopped=stopped)
    polls = 0
    while not thunk.is_computed():
        polls += 1
        with anyio.move_on_after(0.5):
            await PATIENT[way](thunk)
        await anyio.sleep(0.125)  # comes back in time
    assert await thunk == "Hello"
    assert stopped == []
    assert polls > 100


async def test_polling_that_comes_back_too_late_finds_it_ended() -> None:
    stopped: list[float] = []
    thunk = scripted(1.0, "Hel", 100.0, linger=0.25, stopped=stopped)
    with anyio.move_on_after(2):
        await thunk
    await anyio.sleep(0.5)
    with pytest.raises(GenerationCancelled) as caught:
        await thunk
    assert caught.value.partial == "Hel"
    assert stopped == [2.25]


async def test_new_interest_within_linger_counts_and_the_time_begins_anew() -> None:
    stopped: list[float] = []
    thunk = scripted(math.inf, linger=0.25, stopped=stopped)
    for _ in range(4):
        with anyio.move_on_after(1):
            await thunk
        await anyio.sleep(0.125)
    assert stopped == []
    await anyio.sleep(10)
    assert stopped == [1 + 3 * 1.125 + 0.25]


async def test_a_generation_that_ends_well_within_linger_is_complete() -> None:
    thunk = scripted(1.125, "Hello", linger=0.25)
    with anyio.move_on_after(1):
        await thunk
    await anyio.sleep(10)
    assert await thunk == "Hello"


async def test_the_last_of_many_counts() -> None:
    stopped: list[float] = []
    thunk = scripted(math.inf, linger=0.25, stopped=stopped)

    async def wait(seconds: float, way: str) -> None:
        with anyio.move_on_after(seconds):
            await PATIENT[way](thunk)

    async with anyio.create_task_group() as tasks:
        for seconds, way in enumerate(["avalue", "astream", "gather_all", "avalue"], start=1):
            tasks.start_soon(wait, seconds, way)
    assert stopped == []
    await anyio.sleep(1)
    assert stopped == [4.25]


async def test_a_reader_between_two_reads_is_interested() -> None:
    stopped: list[float] = []
    thunk = scripted("a", math.inf, linger=0.25, stopped=stopped)
    assert await thunk.astream() == "a"
    with anyio.move_on_after(1):
        await wait_for_all_mots([thunk])
    await anyio.sleep(10)
    assert interest(thunk) == 1
    assert stopped == []
    with anyio.move_on_after(1):
        await thunk.astream()
    await anyio.sleep(10)
    assert stopped == [12.25]


async def test_a_reader_that_waits_for_the_whole_has_one_interest() -> None:
    stopped: list[float] = []
    thunk = scripted("a", math.inf, linger=0.25, stopped=stopped)
    assert await thunk.astream() == "a"
    with anyio.move_on_after(1):
        await thunk
    await anyio.sleep(10)
    assert stopped == [1.25]


@pytest.mark.parametrize("linger", [0, 0.25])
async def test_a_wait_with_a_timeout_in_a_loop_leaves_the_loop_its_interest(linger: float) -> None:
    thunk = scripted("a", 2, "b", 2, "c", linger=linger)
    deltas = []
    async for delta in thunk:
        deltas.append(delta)
        with anyio.move_on_after(0.5):
            await thunk
        assert interest(thunk) == (delta != "c")
        await anyio.sleep(1)
    assert deltas == ["a", "b", "c"]
    assert await thunk == "abc"


@pytest.mark.parametrize("linger", [0, 0.25])
async def test_a_loop_that_is_left_after_such_a_wait_has_no_interest(linger: float) -> None:
    stopped: list[float] = []
    thunk = scripted("a", math.inf, linger=linger, stopped=stopped)
    async for _ in thunk:
        with anyio.move_on_after(1):
            await thunk
        break
    await anyio.sleep(10)
    assert stopped == [1 + linger]


@pytest.mark.parametrize("linger", [0, 0.25])
async def test_leaving_an_async_for_takes_the_interest_back(linger: float) -> None:
    stopped: list[float] = []
    thunk = scripted("a", math.inf, linger=linger, stopped=stopped)
    async for _ in thunk:
        await anyio.sleep(1)
        break
    await anyio.sleep(10)
    assert stopped == [1 + linger]


async def test_a_loop_whose_consumer_is_cancelled_between_two_deltas_ends_the_reply() -> None:
    stopped: list[float] = []
    thunk = scripted("a", math.inf, linger=0.25, stopped=stopped)
    with anyio.move_on_after(1):
        async for _ in thunk:
            await anyio.sleep(100)
    await anyio.sleep(10)
    assert stopped == [1.25]


async def test_cancelling_explicitly_within_linger_gives_the_partial_text() -> None:
    stopped: list[float] = []
    thunk = scripted("Hel", math.inf, linger=0.25, stopped=stopped)
    with anyio.move_on_after(1):
        await thunk
    await thunk.cancel_generation()
    assert stopped == [1]
    assert await thunk == "Hel"


async def test_a_waiter_that_dies_of_an_error_is_interested_no_more() -> None:
    stopped: list[float] = []
    thunk = scripted(math.inf, linger=0.25, stopped=stopped)

    async def fail() -> None:
        await anyio.sleep(1)
        raise OSError("cable")

    with pytest.raises(ExceptionGroup):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fail)
            await thunk
    await anyio.sleep(10)
    assert stopped == [1.25]


@pytest.mark.parametrize("linger", [0, 0.25])
async def test_a_hundred_streams_whose_consumers_time_out_cost_at_most_linger(
    linger: float,
) -> None:
    stopped: list[float] = []

    async def consume(number: int) -> None:
        thunk = scripted("a", *([0.125, "b"] * 1000), linger=linger, stopped=stopped)
        with anyio.move_on_after(0.5):
            if number % 2:
                await by_loop(thunk)
            else:
                await by_async_for(thunk)

    with no_leaks():
        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(consume, number)
        assert anyio.current_time() == 0.5
        await anyio.sleep(linger + 0.125)
    assert stopped == [0.5 + linger] * 100

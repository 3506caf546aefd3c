"""Reading a reply as it arrives: no delta is lost or told twice, and one task reads."""

import asyncio
import gc
import math
import weakref
from contextlib import suppress
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from motet._runtime.host import current_host
from motet._runtime.owner import Owner
from motet._thunk.fanout import gather_all, wait_for_all_mots
from motet._thunk.generation import Generation
from motet._thunk.thunk import ModelOutputThunk
from motet._values.errors import ConnectionLost, GenerationCancelled, SingleReaderError
from motet._values.states import GenerationState
from motet.testing.leaks import no_leaks
from thunk.by_hand import Reply, interest, others_wait, produced, scripted
from virtual_time import on_virtual_time

pytestmark = pytest.mark.anyio

Thunk = ModelOutputThunk[Any]


class Own(Exception):
    """An error of the test's."""


async def read_all(thunk: Thunk) -> list[str]:
    """Read as the documents do it."""
    pieces = []
    while not thunk.is_computed():
        pieces.append(await thunk.astream())
    return pieces


# What the end of the generation means for each kind of call.

ENDS = [
    GenerationState.DONE,
    GenerationState.FAILED,
    GenerationState.ABANDONED,
    GenerationState.CANCELLED,
]
LOST = {GenerationState.FAILED: Own, GenerationState.ABANDONED: GenerationCancelled}


async def reply_that(end: GenerationState, *, read: str = "") -> Reply:
    """Return a reply of "Hel", "lo" that has ended, with *read* read before the end came."""
    owner = Owner(current_host(), "the test")
    reply = Reply(owner=owner, linger=math.inf)
    if read:
        reply.feed(read)
        assert await reply.thunk.astream() == read
    reply.feed("Hello"[len(read) :])
    match end:
        case GenerationState.DONE:
            reply.end()
        case GenerationState.FAILED:
            reply.end(Own("broken"))
        case GenerationState.ABANDONED:
            owner.stop("the test wants it")
        case GenerationState.CANCELLED:
            await reply.thunk.cancel_generation()
        case _:
            raise AssertionError(end)
    await others_wait()
    assert reply.generation.state is end
    return reply


async def expect(thunk: Thunk, end: GenerationState) -> None:
    """Both calls give the whole outcome, as often as they are made."""
    for call in (thunk.astream, thunk.avalue, thunk.astream):
        if end in LOST:
            with pytest.raises(LOST[end]):
                await call()
        else:
            assert await call() == "Hello"
    assert thunk.is_computed()
    assert thunk.value == "Hello"


@pytest.mark.parametrize("end", ENDS)
async def test_is_computed_waits_for_a_consumer_except_after_a_cancellation(
    end: GenerationState,
) -> None:
    thunk = (await reply_that(end)).thunk
    known = end is GenerationState.CANCELLED
    assert thunk.is_computed() is known
    assert thunk.cancelled is known
    assert thunk.value == ("Hello" if known else None)


@pytest.mark.parametrize("end", ENDS)
async def test_avalue_after_the_end(end: GenerationState) -> None:
    thunk = (await reply_that(end)).thunk
    if end in LOST:
        with pytest.raises(LOST[end]):
            await thunk.avalue()
    else:
        assert await thunk.avalue() == "Hello"
    await expect(thunk, end)


@pytest.mark.parametrize("end", ENDS)
async def test_astream_that_begins_after_the_end(end: GenerationState) -> None:
    await expect((await reply_that(end)).thunk, end)


@pytest.mark.parametrize("end", ENDS)
async def test_astream_that_began_before_the_end(end: GenerationState) -> None:
    thunk = (await reply_that(end, read="Hel")).thunk
    if end is not GenerationState.CANCELLED:  # that drops what was not read
        assert not thunk.is_computed()
        assert await thunk.astream() == "lo", "the text comes before the error"
    await expect(thunk, end)
    assert interest(thunk) == 0


@pytest.mark.parametrize("end", ENDS)
async def test_cancelling_after_the_end_does_nothing(end: GenerationState) -> None:
    reply = await reply_that(end)
    await reply.thunk.cancel_generation()
    await reply.thunk.aclose()
    assert reply.generation.state is end
    assert reply.thunk.cancelled is (end is GenerationState.CANCELLED)
    await expect(reply.thunk, end)


async def test_is_computed_is_false_while_a_reader_has_text_before_it() -> None:
    reply = await reply_that(GenerationState.DONE, read="Hel")

    async def wait() -> None:
        assert await reply.thunk == "Hello"

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
    assert reply.thunk.value == "Hello"
    assert not reply.thunk.is_computed()
    assert await read_all(reply.thunk) == ["lo"]


# The pieces.


async def test_the_pieces_are_the_text() -> None:
    reply = Reply()
    pieces: list[str] = []

    async def read() -> None:
        pieces.extend(await read_all(reply.thunk))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        for delta in ("a", "b", "", "cd", "é", "\u2028"):
            reply.feed(delta)
            await others_wait()
        reply.end()
    assert "".join(pieces) == "abcdé\u2028"
    assert pieces[:2] == ["a", "b"]
    assert reply.thunk.is_computed()


async def test_a_slow_reader_gets_what_has_gathered_in_one_piece() -> None:
    reply = Reply()
    reply.feed("a")
    assert await reply.thunk.astream() == "a"
    reply.feed("b", "c", "d")
    assert await reply.thunk.astream() == "bcd"
    reply.feed("e")
    reply.end()
    await others_wait()
    assert await reply.thunk.astream() == "e"
    assert reply.thunk.is_computed()


async def test_a_reader_that_comes_late_gets_everything_from_the_start() -> None:
    reply = Reply()
    reply.feed(*"Hello")
    assert await reply.thunk.astream() == "Hello"


async def test_a_reader_slower_than_the_model_does_not_lose_the_tail() -> None:
    thunk = scripted(*"Hello")
    pieces = []
    while not thunk.is_computed():
        await others_wait()
        pieces.append(await thunk.astream())
    assert "".join(pieces) == "Hello"


async def test_the_end_may_come_with_an_empty_piece() -> None:
    reply = Reply()
    reply.feed("Hello")
    assert await reply.thunk.astream() == "Hello"
    reply.end()
    assert await reply.thunk.astream() == ""
    assert reply.thunk.is_computed()


async def test_a_value_made_by_hand_streams_as_a_whole_each_time() -> None:
    thunk: Thunk = ModelOutputThunk("Hello")
    assert await thunk.astream() == "Hello"
    assert await thunk.astream() == "Hello"
    assert await read_all(thunk) == []


async def test_the_writer_never_waits_for_a_reader() -> None:
    reply = Reply(linger=math.inf)
    await read_one_and_leave(reply)
    for _ in range(1000):
        reply.feed("x")
    reply.end()
    await others_wait()
    assert reply.generation.state is GenerationState.DONE
    assert await reply.thunk == "a" + "x" * 1000


async def read_one_and_leave(reply: Reply) -> None:
    reply.feed("a")
    assert await reply.thunk.astream() == "a"


async def test_text_comes_before_the_error_and_the_error_with_the_next_call() -> None:
    thunk = scripted("Hel", "lo", ConnectionLost("cable"))
    await others_wait()
    reply = await reply_that(GenerationState.FAILED, read="H")
    assert await reply.thunk.astream() == "ello"
    assert not reply.thunk.is_computed()
    with pytest.raises(Own):
        await reply.thunk.astream()
    assert reply.thunk.is_computed()
    with pytest.raises(ConnectionLost) as caught:
        await thunk.astream()
    assert caught.value.partial == "Hello", "whoever had not begun finds the text here"


# Cancelled reads.


async def test_a_read_that_is_cancelled_loses_nothing() -> None:
    reply = Reply(linger=60)
    pieces = []
    for delta in "Hello":
        with anyio.CancelScope() as scope:
            scope.cancel()
            await reply.thunk.astream()
        assert scope.cancelled_caught
        reply.feed(delta)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await reply.thunk.astream()
        assert scope.cancelled_caught
        pieces.append(await reply.thunk.astream())
    reply.end()
    pieces += await read_all(reply.thunk)
    assert "".join(pieces) == "Hello"


@pytest.mark.parametrize("ticks", range(6))
async def test_a_scope_that_is_cancelled_around_the_arrival_of_a_delta_loses_nothing(
    ticks: int,
) -> None:
    reply = Reply(linger=60)
    got: list[str] = []

    async def read(scope: anyio.CancelScope) -> None:
        with scope:
            got.append(await reply.thunk.astream())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read, scope := anyio.CancelScope())
        await others_wait()
        reply.feed("Hello")
        for _ in range(ticks):
            await anyio.lowlevel.checkpoint()
        scope.cancel()
    reply.feed("!")
    got.append(await reply.thunk.astream())
    assert "".join(got) == "Hello!"


@pytest.mark.parametrize("anyio_backend", ["asyncio", "uvloop"], indirect=True)
class TestNativeCancellation:
    """asyncio's own cancellation may come in the tick in which what was waited for arrives."""

    async def test_a_read_that_loses_the_race_by_one_tick_loses_no_text(self) -> None:
        reply = Reply(linger=60)
        reader = asyncio.create_task(reply.thunk.astream())
        await others_wait()
        reply.feed("Hello")
        reader.cancel()  # the ring is under way
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert await reply.thunk.astream() == "Hello"

    async def test_polling_with_wait_for_gets_the_whole_text(self) -> None:
        reply = Reply(linger=60)
        got: list[str] = []
        for number in range(200):
            reader = asyncio.ensure_future(asyncio.wait_for(reply.thunk.astream(), 60))
            for _ in range(1 + number % 7):
                await asyncio.sleep(0)
            reply.feed(f"{number} ")
            for _ in range(number % 5):
                await asyncio.sleep(0)
            reader.cancel()
            with suppress(asyncio.CancelledError):
                got.append(await reader)
        reply.end()
        got += await read_all(reply.thunk)
        assert "".join(got) == "".join(f"{number} " for number in range(200))

    @pytest.mark.parametrize("call", ["avalue", "astream"])
    async def test_a_wait_that_loses_the_race_by_one_tick_disturbs_nobody(self, call: str) -> None:
        reply = Reply(linger=0)
        loser = asyncio.create_task(getattr(reply.thunk, call)())
        other = asyncio.create_task(reply.thunk.avalue())
        await others_wait()
        reply.generation.watch(lambda _: loser.cancel())
        reply.end()  # empty, or the reader would have woken before
        with pytest.raises(asyncio.CancelledError):
            await loser
        assert await other == ""
        assert "".join(await read_all(reply.thunk)) == ""
        assert interest(reply.thunk) == 0

    async def test_wait_for_with_a_timeout_that_passes_leaves_the_reply_alone(self) -> None:
        reply = Reply(linger=60)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reply.thunk.avalue(), 0.001)
        reply.feed("Hello")
        reply.end()
        assert await asyncio.wait_for(reply.thunk.avalue(), 60) == "Hello"


# One reader.


async def test_a_second_reader_is_refused_at_once_and_the_first_goes_on() -> None:
    reply = Reply()
    got: list[str] = []

    async def read() -> None:
        got.append(await reply.thunk.astream())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await others_wait()
        with pytest.raises(SingleReaderError, match="await thunk"):
            await reply.thunk.astream()
        assert interest(reply.thunk) == 1
        reply.feed("Hello")
    assert got == ["Hello"]


async def test_tasks_may_read_one_after_the_other() -> None:
    reply = Reply()
    got: list[str] = []

    async def read_one() -> None:
        got.append(await reply.thunk.astream())

    for delta in "Hello":
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read_one)
            await others_wait()
            reply.feed(delta)
    reply.end()
    got += await read_all(reply.thunk)
    assert "".join(got) == "Hello"


async def test_a_reader_and_any_number_of_waiters_share_a_reply() -> None:
    reply = Reply()
    pieces: list[str] = []
    texts: list[str] = []

    async def read() -> None:
        pieces.extend(await read_all(reply.thunk))

    async def wait() -> None:
        texts.append(await reply.thunk)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        for _ in range(3):
            tasks.start_soon(wait)
        await others_wait()
        assert interest(reply.thunk) == 4
        for delta in "Hello":
            reply.feed(delta)
            await others_wait()
        reply.end()
    assert "".join(pieces) == "Hello"
    assert texts == ["Hello"] * 3
    assert interest(reply.thunk) == 0


async def test_avalue_of_the_reading_task_gives_up_the_rest() -> None:
    reply = Reply()
    reply.feed("Hel")
    assert await reply.thunk.astream() == "Hel"
    reply.feed("lo")
    reply.end()
    assert await reply.thunk.avalue() == "Hello"
    assert reply.thunk.is_computed()
    assert await reply.thunk.astream() == "Hello"
    assert interest(reply.thunk) == 0


@pytest.mark.parametrize("together", [wait_for_all_mots, gather_all])
async def test_a_fan_out_of_the_reading_task_gives_up_the_rest(together: Any) -> None:
    reply = Reply()
    reply.feed("Hel")
    assert await reply.thunk.astream() == "Hel"
    reply.feed("lo")
    reply.end()
    await together([reply.thunk])
    assert reply.thunk.is_computed()
    assert interest(reply.thunk) == 0


async def test_avalue_after_the_task_that_read_has_ended_gives_up_the_rest() -> None:
    reply = Reply(linger=math.inf)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read_one_and_leave, reply)
    reply.feed("b")
    reply.end()
    assert await reply.thunk == "ab"
    assert reply.thunk.is_computed()


# `async for`.


async def test_async_for_yields_the_deltas_and_then_the_thunk_is_computed() -> None:
    reply = Reply()
    got: list[str] = []

    async def read() -> None:
        async for delta in reply.thunk:
            got.append(delta)
            assert not reply.thunk.is_computed()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        for delta in ("He", "", "l", "lo"):
            await others_wait()
            reply.feed(delta)
        await others_wait()
        reply.end()
    assert got == ["He", "l", "lo"], "never an empty one"
    assert reply.thunk.is_computed()
    assert reply.thunk.value == "Hello"


async def test_async_for_over_an_empty_reply_has_no_round() -> None:
    thunk = scripted()
    assert [delta async for delta in thunk] == []
    assert thunk.is_computed()


async def test_async_for_raises_the_error_after_the_text() -> None:
    thunk = scripted("Hello", Own("broken"))
    deltas = aiter(thunk)
    assert await anext(deltas) == "Hello"
    with pytest.raises(Own):
        await anext(deltas)
    assert thunk.is_computed()


async def test_a_second_async_for_is_refused() -> None:
    reply = Reply()
    first = aiter(reply.thunk)
    with pytest.raises(RuntimeError, match="await thunk"):
        aiter(reply.thunk)
    reply.feed("Hello")
    reply.end()
    assert [delta async for delta in first] == ["Hello"]


async def test_async_for_over_a_reply_that_was_waited_for_has_one_round() -> None:
    reply = Reply()
    reply.feed("Hel", "lo")
    reply.end()
    await reply.thunk
    assert [delta async for delta in reply.thunk] == ["Hello"]
    assert reply.thunk.is_computed()


async def test_async_for_over_a_value_made_by_hand_has_no_round() -> None:
    assert [delta async for delta in ModelOutputThunk("by hand")] == []


async def test_async_for_over_a_reply_that_failed_before_raises() -> None:
    thunk = scripted("Hel", Own("broken"))
    with pytest.raises(Own):
        await thunk
    deltas = aiter(thunk)
    with pytest.raises(Own):
        while True:
            assert await anext(deltas) == "Hel"


async def test_async_for_after_an_astream_goes_on_where_that_stopped() -> None:
    reply = Reply()
    reply.feed("Hel")
    assert await reply.thunk.astream() == "Hel"
    reply.feed("lo")
    reply.end()
    assert [delta async for delta in reply.thunk] == ["lo"]


async def test_waiting_for_the_whole_inside_async_for_ends_the_loop() -> None:
    reply = Reply()
    reply.feed("Hel")
    reply.end()
    rounds = [(delta, await reply.thunk) async for delta in reply.thunk]
    assert rounds == [("Hel", "Hel")]


@pytest.mark.parametrize("stop", ["cancel_generation", "aclose"])
@pytest.mark.parametrize("by", ["the reader", "another task"])
async def test_cancelling_the_generation_ends_an_async_for(stop: str, by: str) -> None:
    reply = Reply()
    rounds: list[str] = []

    async def read() -> None:
        async for delta in reply.thunk:
            rounds.append(delta)
            if by == "the reader":
                await getattr(reply.thunk, stop)()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            await others_wait()
            reply.feed("Hel")
            await others_wait()
            if by == "another task":
                await getattr(reply.thunk, stop)()
    assert rounds == ["Hel"]
    assert reply.thunk.cancelled
    assert reply.thunk.value == "Hel"


async def test_cancelling_between_two_rounds_of_an_async_for_ends_it() -> None:
    reply = Reply()
    reply.feed("Hel")
    deltas = aiter(reply.thunk)
    assert await anext(deltas) == "Hel"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reply.thunk.cancel_generation)
    with pytest.raises(StopAsyncIteration):
        await anext(deltas)


async def test_an_iterator_that_has_ended_stays_ended() -> None:
    deltas = aiter(scripted("Hello"))
    assert await anext(deltas) == "Hello"
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await anext(deltas)


async def test_a_loop_that_was_left_may_be_followed_by_astream() -> None:
    reply = Reply(linger=60)
    reply.feed("Hel")
    async for _ in reply.thunk:
        break
    reply.feed("lo")
    reply.end()
    await others_wait()
    assert await reply.thunk.astream() == "lo"
    assert reply.thunk.is_computed()


@pytest.mark.parametrize("leave", ["break", "error", "cancelled"])
async def test_leaving_an_async_for_leaves_nothing_open(leave: str) -> None:
    with no_leaks():
        reply = Reply(linger=0)
        reply.feed("Hel")
        with anyio.CancelScope() as scope:
            try:
                async for _ in reply.thunk:
                    if leave == "break":
                        break
                    if leave == "error":
                        raise Own
                    scope.cancel()
            except Own:
                pass
        await others_wait()
        assert interest(reply.thunk) == 0
        assert reply.stopped
        with pytest.raises(GenerationCancelled):
            await reply.thunk


@on_virtual_time
async def test_a_reader_may_sleep_as_long_as_it_likes_between_two_reads() -> None:
    thunk = scripted(*"Hello", math.inf, linger=1)
    assert await thunk.astream() == "Hello"
    await anyio.sleep(3600)
    assert interest(thunk) == 1
    await thunk.aclose()
    assert thunk.value == "Hello"


@on_virtual_time
async def test_the_task_that_read_has_ended_and_its_interest_with_it() -> None:
    stopped: list[float] = []
    thunk = scripted("a", math.inf, linger=1, stopped=stopped)

    async def read_one() -> None:
        assert await thunk.astream() == "a"

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read_one)
    await anyio.sleep(10)
    assert stopped == [1]
    assert interest(thunk) == 0


@pytest.mark.parametrize("end", ENDS)
async def test_the_streams_of_a_reader_are_closed_when_the_generation_ends(
    end: GenerationState,
) -> None:
    with no_leaks():
        await reply_that(end, read="Hel")
        await others_wait()


async def test_a_task_does_not_keep_the_replies_that_it_has_read() -> None:
    async def read_one(to_the_end: bool) -> "weakref.ref[Generation]":
        async def produce(generation: Generation) -> None:
            generation.feed("Hello")
            await anyio.lowlevel.checkpoint()
            generation.feed("!")

        thunk = produced(produce)
        await thunk.astream()
        while to_the_end and not thunk.is_computed():
            await thunk.astream()
        generation = thunk._source
        await generation.wait_settled()
        return weakref.ref(generation)

    read = [await read_one(to_the_end) for to_the_end in (True, False)]
    await anyio.lowlevel.checkpoint()
    gc.collect()
    assert [each() for each in read] == [None, None]

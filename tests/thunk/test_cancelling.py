"""Stopping a generation on purpose: what had arrived is the value, for everybody."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from motet._runtime.host import current_host
from motet._runtime.owner import Owner
from motet._thunk.generation import Generation
from motet._thunk.thunk import ModelOutputThunk
from motet._values.states import GenerationState
from motet.testing.leaks import no_leaks
from thunk.by_hand import Reply, interest, others_wait, produced, scripted

pytestmark = pytest.mark.anyio

Thunk = ModelOutputThunk[Any]


class Own(Exception):
    """An error of the test's."""


async def test_cancelling_makes_what_had_arrived_the_value() -> None:
    reply = Reply()
    reply.feed("Hel")
    await others_wait()
    await reply.thunk.cancel_generation()
    assert reply.stopped, "it has unwound when the call returns"
    assert reply.thunk.is_computed()
    assert reply.thunk.cancelled
    assert reply.thunk.value == "Hel"
    assert reply.thunk.parsed_repr is None
    assert reply.thunk.generate_log is None
    assert reply.thunk.error is None
    assert await reply.thunk == str(reply.thunk) == "Hel"


async def test_cancelling_releases_everybody_who_waits() -> None:
    reply = Reply()
    got: list[str] = []

    async def take(call: str) -> None:
        got.append(await getattr(reply.thunk, call)())

    async with anyio.create_task_group() as tasks:
        for call in ("avalue", "avalue", "astream"):
            tasks.start_soon(take, call)
        await others_wait()
        reply.feed("Hel")
        await reply.thunk.cancel_generation()
    assert got == ["Hel"] * 3
    assert interest(reply.thunk) == 0


async def test_cancelling_before_anything_arrived_leaves_an_empty_value() -> None:
    reply = Reply()
    await reply.thunk.cancel_generation()
    assert reply.thunk.value == ""
    assert reply.thunk.cancelled


async def test_cancelling_before_the_task_has_begun_makes_no_noise() -> None:
    reply = Reply()
    with no_leaks():
        await reply.thunk.cancel_generation()
    assert reply.generation.state is GenerationState.CANCELLED
    assert reply.thunk.value == ""


async def test_cancelling_drops_the_deltas_that_were_not_read() -> None:
    reply = Reply()
    reply.feed("Hel")
    assert await reply.thunk.astream() == "Hel"
    reply.feed("lo")
    await reply.thunk.cancel_generation()
    assert reply.thunk.is_computed()
    assert await reply.thunk.astream() == "Hello"


async def test_cancelling_twice_and_from_several_tasks_is_harmless() -> None:
    reply = Reply()
    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(reply.thunk.cancel_generation)
    await reply.thunk.cancel_generation()
    await reply.thunk.aclose()
    assert reply.thunk.cancelled


async def test_a_complete_reply_is_not_cancelled() -> None:
    thunk = scripted("Hello")
    assert await thunk == "Hello"
    await thunk.cancel_generation()
    assert not thunk.cancelled
    assert thunk.value == "Hello"


async def test_cancelling_a_value_or_a_blank_does_nothing() -> None:
    for thunk in (ModelOutputThunk[str]("Hello"), ModelOutputThunk[str](None)):
        await thunk.cancel_generation()
        assert not thunk.cancelled
        await thunk.aclose()


@pytest.mark.parametrize("arguments", [{}, {"reason": "enough"}, {"error": OSError("enough")}])
async def test_a_reason_may_be_given_under_both_names(arguments: dict[str, Any]) -> None:
    reply = Reply()
    await reply.thunk.cancel_generation(**arguments)
    assert reply.thunk.cancelled


async def slow_to_stop(generation: Generation, released: anyio.Event) -> None:
    generation.feed("Hel")
    try:
        await anyio.sleep_forever()
    finally:
        with anyio.CancelScope(shield=True):
            await released.wait()


async def test_cancelling_waits_for_the_end_also_when_its_caller_is_cancelled() -> None:
    released = anyio.Event()

    async def produce(generation: Generation) -> None:
        await slow_to_stop(generation, released)

    thunk = produced(produce)
    await others_wait()
    ended: list[str] = []

    async def cancel(scope: anyio.CancelScope) -> None:
        with scope:
            await thunk.cancel_generation()
            ended.append("returned")
            await anyio.lowlevel.checkpoint()
        ended.append("cancelled" if scope.cancelled_caught else "not cancelled")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel, scope := anyio.CancelScope())
        await others_wait()
        scope.cancel()
        await others_wait()
        assert ended == []
        released.set()
    assert ended == ["returned", "cancelled"]
    assert thunk.is_computed()
    assert thunk.cancelled
    assert thunk.value == "Hel"


async def test_an_error_while_unwinding_is_the_outcome_and_known_to_who_cancelled() -> None:
    async def produce(generation: Generation) -> None:
        generation.feed("Hel")
        try:
            await anyio.sleep_forever()
        finally:
            raise Own("broken")

    thunk = produced(produce)
    await others_wait()
    await thunk.cancel_generation()
    assert thunk.is_computed()
    assert not thunk.cancelled
    with pytest.raises(Own):
        await thunk


async def test_a_generation_that_is_complete_in_spite_of_it_is_done() -> None:
    began: list[bool] = []

    async def produce(generation: Generation) -> None:
        began.append(True)
        with anyio.CancelScope(shield=True):
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            generation.feed("Hello")

    thunk = produced(produce)
    while not began:
        await anyio.lowlevel.checkpoint()
    await thunk.cancel_generation()
    assert await thunk == "Hello"
    assert not thunk.cancelled


async def test_who_stops_it_on_purpose_gets_the_text_although_its_session_is_ending() -> None:
    owner = Owner(current_host(), "the test")
    released = anyio.Event()

    async def produce(generation: Generation) -> None:
        await slow_to_stop(generation, released)

    thunk = produced(produce, owner=owner)
    await others_wait()
    owner.stop("its session was closed")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(thunk.cancel_generation)
        await others_wait()
        released.set()
    assert thunk.cancelled
    assert await thunk == "Hel"


# `async with thunk`.


async def test_leaving_the_block_stops_what_is_not_over() -> None:
    reply = Reply()
    async with reply.thunk as thunk:
        assert thunk is reply.thunk
        reply.feed("Hel")
        assert await thunk.astream() == "Hel"
    assert reply.stopped
    assert thunk.cancelled
    assert thunk.value == "Hel"


async def test_leaving_the_block_of_a_complete_reply_changes_nothing() -> None:
    async with scripted("Hello") as thunk:
        assert await thunk == "Hello"
    assert not thunk.cancelled
    async with ModelOutputThunk[str]("by hand") as value:
        pass
    assert value.value == "by hand"


@pytest.mark.parametrize("end", ["error", "cancelled", "break"])
async def test_however_the_block_ends_the_generation_has_stopped(end: str) -> None:
    reply = Reply()
    reply.feed("Hel")
    with no_leaks(), anyio.CancelScope() as scope:
        try:
            async with reply.thunk:
                async for _ in reply.thunk:
                    if end == "break":
                        break
                    if end == "error":
                        raise Own("broken")
                    scope.cancel()
                if end == "error":
                    pytest.fail("the error was swallowed")
        except Own:
            assert end == "error"
    assert scope.cancelled_caught is (end == "cancelled")
    assert reply.stopped
    assert reply.thunk.cancelled
    assert reply.thunk.value == "Hel"
    assert interest(reply.thunk) == 0


async def test_an_error_of_the_reply_leaves_the_block_as_it_is() -> None:
    with pytest.raises(Own):
        async with scripted("Hel", Own("broken")) as thunk:
            await thunk

"""Waiting for a reply inside of what produces it: refused, since neither could end before the other."""

from collections.abc import Awaitable, Callable

import anyio
import anyio.abc
import pytest

from motet import (
    PendingReplyError,
    RejectionSamplingStrategy,
    Requirement,
    open_session,
)
from motet._thunk.generation import Generation
from motet.testing import ScriptedBackend
from motet.testing.leaks import no_leaks
from thunk.by_hand import interest, produced
from thunk.ways import WAITS, Thunk, by_async_for

pytestmark = pytest.mark.anyio


def begin(work: Callable[[Thunk], Awaitable[object]]) -> Thunk:
    async def produce(generation: Generation) -> None:
        generation.feed("x")
        await work(thunk)

    thunk = produced(produce)
    return thunk


@pytest.mark.parametrize("wait", WAITS)
async def test_a_reply_is_not_waited_for_by_what_it_waits_for(wait: str) -> None:
    with no_leaks(), anyio.fail_after(10):
        thunk = begin(WAITS[wait])
        with pytest.raises(PendingReplyError, match="partial"):
            await thunk
        assert interest(thunk) == 0
    # The refusal was no reading: whoever may read it is not the second.
    assert thunk.is_computed()
    with pytest.raises(PendingReplyError):
        await by_async_for(thunk)


@pytest.mark.parametrize("wait", WAITS)
async def test_a_requirement_that_waits_for_the_reply_it_judges_says_so(wait: str) -> None:
    async def judge(_: object) -> bool:
        await WAITS[wait](thunk)
        raise AssertionError

    with no_leaks(), anyio.fail_after(10):
        async with open_session(ScriptedBackend("answer")) as m:
            thunk = await m.ainstruct(
                "go",
                requirements=[Requirement("be good", judge)],
                strategy=RejectionSamplingStrategy(loop_budget=2),
            )
            with pytest.raises(PendingReplyError):
                await thunk


async def test_deltas_that_others_were_reading_are_not_waited_for_inside() -> None:
    async def work(_: Thunk) -> None:
        await going_on.wait()
        await anext(deltas)

    with no_leaks(), anyio.fail_after(10):
        going_on = anyio.Event()
        thunk = begin(work)
        deltas = aiter(thunk)
        assert await anext(deltas) == "x"
        going_on.set()
        with pytest.raises(PendingReplyError):
            await thunk


async def test_what_a_generation_starts_in_the_task_group_of_others_may_wait_for_it() -> None:
    told: list[str] = []

    async def tell(thunk: Thunk) -> None:
        told.append(await thunk)

    with no_leaks(), anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:

            async def work(thunk: Thunk) -> None:
                tasks.start_soon(tell, thunk)
                await anyio.wait_all_tasks_blocked()

            assert await begin(work) == "x"
    assert told == ["x"]


async def test_a_generation_that_is_started_inside_may_wait_for_the_one_around_it() -> None:
    inner: list[Thunk] = []

    async def wait(_: Thunk) -> None:
        assert await outer == "x"

    async def work(_: Thunk) -> None:
        inner.append(begin(wait))
        await anyio.wait_all_tasks_blocked()

    with no_leaks(), anyio.fail_after(10):
        outer = begin(work)
        assert await outer == "x"
        assert await inner[0] == "x"

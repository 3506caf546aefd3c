"""Replies that would wait for each other: whoever would close the circle is told so instead."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from motet import (
    ChatContext,
    DependencyError,
    PendingReplyError,
    Requirement,
    first_valid,
    open_session,
    wait_for_all_mots,
)
from motet._runtime import circles
from motet._thunk.generation import Generation
from motet.testing import ScriptedBackend
from motet.testing.leaks import no_leaks
from thunk.by_hand import produced
from thunk.ways import WAITS, Thunk

pytestmark = pytest.mark.anyio

Work = Callable[[], Awaitable[object]]


def begin(work: Work) -> Thunk:
    async def produce(generation: Generation) -> None:
        await work()
        generation.feed("x")

    return produced(produce)


async def outcomes(*thunks: Thunk) -> list[str]:
    """Wait for each and return its text, or what its error is called."""
    found = []
    for thunk in thunks:
        try:
            found.append(await thunk)
        except Exception as exc:
            found.append(type(exc).__name__)
    return found


class Circle:
    """Replies of which each waits for the next one, and the last for the first.

    Args:
        wait: how the first one waits.
        others: how many there are beside it.
        first: whether it is the first to wait, too.
    """

    def __init__(
        self, wait: Callable[[Thunk], Awaitable[object]], others: int, first: bool
    ) -> None:
        async def work() -> None:
            self.thunks += [begin(self._waiting(number)) for number in range(1, others + 1)]
            if not first:
                await anyio.wait_all_tasks_blocked()
            await wait(self.thunks[1 % len(self.thunks)])

        self.thunks: list[Thunk] = [begin(work)]

    def _waiting(self, number: int) -> Work:
        async def work() -> None:
            await self.thunks[(number + 1) % len(self.thunks)]

        return work


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("others", [1, 3])
@pytest.mark.parametrize("wait", WAITS)
async def test_a_circle_is_not_closed(wait: str, others: int, first: bool) -> None:
    with no_leaks(), anyio.fail_after(10):
        circle = Circle(WAITS[wait], others, first)
        ended = await outcomes(*circle.thunks[:1])
        ended += await outcomes(*circle.thunks[1:])
        assert "PendingReplyError" in ended


async def test_one_who_waits_for_several_waits_in_a_circle_if_all_of_them_do() -> None:
    async def back() -> None:
        await outer

    async def work() -> None:
        await wait_for_all_mots([begin(back) for _ in range(3)])

    with no_leaks(), anyio.fail_after(10):
        outer = begin(work)
        assert await outcomes(outer) == ["PendingReplyError"]


async def test_it_does_not_if_one_of_them_ends_by_itself() -> None:
    inner: list[Thunk] = []

    async def back() -> None:
        await outer

    async def by_itself() -> None:
        await anyio.sleep(0.01)

    async def work() -> None:
        inner.extend(map(begin, (back, by_itself, back)))
        assert await first_valid(inner) is inner[1]

    with no_leaks(), anyio.fail_after(10):
        outer = begin(work)
        assert await outcomes(outer, *inner) == ["x"]
        assert await outcomes(*inner) == ["GenerationCancelled", "x", "GenerationCancelled"]


async def test_it_is_told_when_only_those_in_the_circle_are_left() -> None:
    async def back() -> None:
        await outer

    async def by_itself() -> None:
        await anyio.sleep(0.01)

    inner: list[Thunk] = []

    async def work() -> None:
        inner.extend(map(begin, (back, by_itself)))
        await wait_for_all_mots(inner)

    with no_leaks(), anyio.fail_after(10):
        outer = begin(work)
        assert await outcomes(outer) == ["PendingReplyError"]
        assert await outcomes(*inner) == ["PendingReplyError", "x"]


async def test_what_waits_in_the_task_group_of_others_closes_no_circle() -> None:
    told: list[str] = []

    async def back() -> None:
        assert await outer == "x"

    async def tell(thunk: Thunk) -> None:
        told.append(await thunk)

    with no_leaks(), anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:

            async def work() -> None:
                tasks.start_soon(tell, begin(back))
                await anyio.wait_all_tasks_blocked()

            outer = begin(work)
            assert await outer == "x"
    assert told == ["x"]


async def test_a_wait_that_was_given_up_is_part_of_no_circle() -> None:
    inner: list[Thunk] = []
    give_up = anyio.Event()

    async def back() -> None:
        await give_up.wait()
        assert await outer == "x"

    async def work() -> None:
        inner.append(begin(back))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(inner[0].avalue)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        give_up.set()
        await anyio.wait_all_tasks_blocked()

    with no_leaks(), anyio.fail_after(10):
        outer = begin(work)
        assert await outcomes(outer, *inner) == ["x"]
        assert await outcomes(*inner) == ["x"]


async def test_nobody_waits_for_one_who_waits_for_the_end_of_his_own() -> None:
    # Closing stops what is closed, so it may wait for its end; that may not wait for it in turn.
    async def back() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await outer

    async def work() -> None:
        async with begin(back):
            await anyio.wait_all_tasks_blocked()

    with no_leaks(), anyio.fail_after(10):
        outer = begin(work)
        assert await outcomes(outer) == ["x"]


# What users do.


@pytest.mark.parametrize("call", ["achat", "ainstruct", "both at once"])
async def test_a_requirement_that_goes_on_with_the_conversation_it_is_a_part_of(call: str) -> None:
    async def judge(_: object) -> bool:
        if call == "achat":
            answer: Any = await m.achat("Is it good?")
        elif call == "ainstruct":
            answer = await (await m.ainstruct("Is it good?"))
        else:
            answer = [await m.ainstruct("Is it good?"), await m.ainstruct("Is it right?")]
            await wait_for_all_mots(answer)
        return "answer" in str(answer)

    backend = ScriptedBackend(lambda _: "answer")
    with no_leaks(), anyio.fail_after(10):
        async with open_session(backend, ctx=ChatContext()) as m:
            thunk = await m.ainstruct("go", requirements=[Requirement("be good", judge)])
            with pytest.raises(PendingReplyError, match="in the same conversation"):
                await thunk
            # The turn is lost, and with it what would have come after it; the session goes on.
            assert await (await m.ainstruct("and now?")) == "answer"
    backend.assert_idle()


async def test_a_requirement_with_a_conversation_of_its_own_is_none() -> None:
    async def judge(_: object) -> bool:
        async with open_session(ScriptedBackend("yes")) as other:
            return str(await other.achat("Is it good?")) != ""

    with no_leaks(), anyio.fail_after(10):
        async with open_session(ScriptedBackend("answer"), ctx=ChatContext()) as m:
            thunk = await m.ainstruct("go", requirements=[Requirement("be good", judge)])
            assert await thunk == "answer"


async def test_a_prompt_that_needs_what_waits_for_its_answer() -> None:
    async def judge(_: object) -> bool:
        answer = await m.ainstruct("Is {{it}} good?", user_variables={"it": thunk})
        return "yes" in str(await answer)

    with no_leaks(), anyio.fail_after(10):
        async with open_session(ScriptedBackend("answer")) as m:
            thunk = await m.ainstruct("go", requirements=[Requirement("be good", judge)])
            with pytest.raises((PendingReplyError, DependencyError)):
                await thunk


# Tasks that are asyncio's own.


async def in_a_task(thunk: Thunk) -> object:
    return await asyncio.create_task(thunk.avalue())


async def in_a_gathering(thunk: Thunk) -> object:
    others = asyncio.gather(asyncio.sleep(0), thunk.avalue(), return_exceptions=True)
    return (await asyncio.gather(asyncio.sleep(0), others))[1][1]


async def in_a_group_of_asyncio(thunk: Thunk) -> object:
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(thunk.avalue())
    return waiting.result()


OWN_TASKS: dict[str, Callable[[Thunk], Awaitable[object]]] = {
    "create_task": in_a_task,
    "gather": in_a_gathering,
    "TaskGroup": in_a_group_of_asyncio,
}


@pytest.mark.parametrize("anyio_backend", ["asyncio", "uvloop"], indirect=True)
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("others", [0, 1, 2])
@pytest.mark.parametrize("wait", OWN_TASKS)
async def test_what_awaits_a_task_of_asyncio_waits_for_what_that_waits_for(
    wait: str, others: int, first: bool
) -> None:
    gathered: list[str] = []

    async def tell(thunk: Thunk) -> None:
        gathered.append(type(await OWN_TASKS[wait](thunk)).__name__)

    with no_leaks(), anyio.fail_after(10):
        circle = Circle(tell, others, first)
        ended = await outcomes(*circle.thunks[:1])
        ended += await outcomes(*circle.thunks[1:])
        assert "PendingReplyError" in gathered + ended


async def test_tasks_that_await_each_other_hold_up_nobody() -> None:
    one, other = object(), object()
    with no_leaks():
        thunk = begin(anyio.lowlevel.checkpoint)
        wait = circles.Wait((), one)
        assert not wait.holds_up(thunk._source, {id(one): id(other), id(other): id(one)})
        assert await thunk == "x"


@pytest.mark.parametrize("anyio_backend", ["asyncio", "uvloop"], indirect=True)
async def test_a_task_that_nobody_awaits_may_wait_for_what_has_started_it() -> None:
    tasks: list[asyncio.Task[str]] = []

    async def work() -> None:
        tasks.append(asyncio.create_task(outer.avalue()))
        await anyio.wait_all_tasks_blocked()

    with no_leaks(), anyio.fail_after(10):
        outer = begin(work)
        assert await outer == "x"
        assert await tasks[0] == "x"

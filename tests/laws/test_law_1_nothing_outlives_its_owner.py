"""Law 1. Every generation belongs to a session, every session to a block or an event loop.

When the owner ends, its requests are closed and its tasks have unwound before control
returns. No detached task, no leaked connection, thread, stream end or warning, on any path.
"""

import asyncio
import functools
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from motet import (
    MelleaSession,
    ModelOutputThunk,
    as_completed,
    gather_all,
    open_session,
    start_session,
)
from motet import wait_for_all_mots as wait_for_all
from motet._http.client import shared_transport
from motet._runtime.host import current_host
from motet._runtime.owner import Owner
from motet._runtime.portal import default_portal
from motet._thunk.generation import Generation
from motet._values.errors import GenerationCancelled, SessionClosed
from motet.testing import Drop, ModelServer, Refuse, Reply, Stall
from motet.testing.leaks import no_leaks
from motet.testing.sweep import cancel_everywhere
from thunk.by_hand import others_wait, scripted
from thunk.ways import Thunk, by_async_for, by_loop
from virtual_time import VIRTUAL_LOOPS

Loop = Callable[[], tuple[str, dict[str, Any]]]

LINGER = 0.25


# Thunks by themselves, on virtual clocks: what is cancelled has *linger*, and no more.


async def in_a_block(thunk: Thunk) -> None:
    async with thunk:
        await thunk.astream()


async def in_a_task(thunk: Thunk) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(thunk.avalue)
        tasks.start_soon(by_loop, thunk)
        await wait_for_all([thunk])


WAYS: dict[str, Callable[[Thunk], Awaitable[Any]]] = {
    "avalue": ModelOutputThunk.avalue,
    "astream": by_loop,
    "async for": by_async_for,
    "async with": in_a_block,
    "cancel_generation": ModelOutputThunk.cancel_generation,
    "wait_for_all_mots": lambda thunk: wait_for_all([thunk, scripted(1.5, "other")]),
    "gather_all": lambda thunk: gather_all([thunk, scripted(1.5, OSError("cable"))]),
    "tasks": in_a_task,
}


@pytest.mark.parametrize("virtual", VIRTUAL_LOOPS)
@pytest.mark.parametrize("way", WAYS)
def test_a_consumer_may_be_cancelled_anywhere_and_leaves_nothing(way: str, virtual: str) -> None:
    async def scenario() -> None:
        thunk = scripted("a", 1.0, "b", 1.0, linger=LINGER)
        await anyio.lowlevel.checkpoint()
        await WAYS[way](thunk)

    # Only what somebody has asked for and left is given up; before that it runs to its end.
    report = cancel_everywhere(scenario, loop=VIRTUAL_LOOPS[virtual], patience=4 + LINGER)
    assert len(report.checkpoints) > 1


@pytest.mark.parametrize("virtual", VIRTUAL_LOOPS)
def test_an_owner_that_ends_takes_everything_with_it_wherever_it_is_cancelled(virtual: str) -> None:
    async def scenario() -> None:
        owner = Owner(current_host(), "the test")
        try:
            thunks = [scripted("a", 1.0, "b", math.inf, owner=owner) for _ in range(3)]
            await by_loop(scripted("a", 1.0, "b", owner=owner))
            await thunks[0].astream()
            with anyio.move_on_after(1):
                await wait_for_all(thunks)
        finally:
            await owner.aclose("its block was left")

    cancel_everywhere(scenario, loop=VIRTUAL_LOOPS[virtual])


class Stubborn:
    """A generation that takes its time to unwind.

    Attributes:
        released: lets it.
        unwound: it has.
    """

    def __init__(self, owner: Owner) -> None:
        self.released = anyio.Event()
        self.unwound = False
        self.thunk: Thunk
        generation = Generation(self._produce, host=current_host(), owner=owner)
        self.thunk = ModelOutputThunk.pending(generation)
        generation.start()

    async def _produce(self, _: Generation) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            # Not by a shield, which is what is tried here.
            with anyio.CancelScope(shield=True):
                await self.released.wait()
            self.unwound = True


async def close_owner(stubborn: Stubborn, owner: Owner) -> None:
    await owner.aclose("it was closed")


async def cancel_thunk(stubborn: Stubborn, owner: Owner) -> None:
    await stubborn.thunk.cancel_generation()


async def leave_block(stubborn: Stubborn, owner: Owner) -> None:
    async with stubborn.thunk:
        pass


async def fail_beside(stubborn: Stubborn, owner: Owner) -> None:
    with pytest.raises(OSError, match="cable"):
        await wait_for_all([stubborn.thunk, scripted(OSError("cable"))])


async def leave_arrivals(stubborn: Stubborn, owner: Owner) -> None:
    async with as_completed([stubborn.thunk]):
        pass


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "uvloop"], indirect=True)
@pytest.mark.parametrize(
    "end",
    [close_owner, cancel_thunk, leave_block, fail_beside, leave_arrivals],
    ids=lambda end: end.__name__,
)
async def test_a_native_cancellation_does_not_cut_the_end_short(
    end: Callable[[Stubborn, Owner], Awaitable[None]],
) -> None:
    owner = Owner(current_host(), "the test")
    stubborn = Stubborn(owner)
    await others_wait()
    task = asyncio.ensure_future(end(stubborn, owner))
    await others_wait()
    for _ in range(2):
        task.cancel()
        await others_wait()
        assert not task.done(), "control has returned, and the generation has not unwound"
    stubborn.released.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stubborn.unwound


# Sessions, against a server.


Scenario = Callable[[MelleaSession], Awaitable[Any]]


async def call_only(session: MelleaSession) -> None:
    await session.ainstruct("Say something.")


async def call_and_wait(session: MelleaSession) -> None:
    assert (await session.ainstruct("Say something.", await_result=True)).value == "one two"


async def value(session: MelleaSession) -> None:
    assert await (await session.ainstruct("Say something.")).avalue() == "one two"


async def stream(session: MelleaSession) -> None:
    await by_loop(await session.ainstruct("Say something."))


async def fan_out(session: MelleaSession) -> None:
    await wait_for_all([await session.ainstruct(f"Say {number}.") for number in range(3)])


async def chat(session: MelleaSession) -> None:
    assert (await session.achat("Hello?")).content == "one two"


async def dependent(session: MelleaSession) -> None:
    first = await session.ainstruct("Say something.")
    await (await session.ainstruct("Say {{it}}.", user_variables={"it": first}))


SCENARIOS: dict[str, Scenario] = {
    "ainstruct": call_only,
    "ainstruct and wait": call_and_wait,
    "avalue": value,
    "astream": stream,
    "wait_for_all_mots": fan_out,
    "achat": chat,
    "a reply in a call": dependent,
}


async def idle(server: ModelServer) -> None:
    """Return when the server serves nobody; a connection may be kept until its loop ends."""
    with anyio.fail_after(60):
        await server.wait_idle()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_block_may_be_cancelled_anywhere_and_leaves_nothing(
    name: str, server: ModelServer, real_loop: Loop
) -> None:
    server.script([Reply(["one", " two"], tokens_per_second=500)], repeat=True)

    async def scenario() -> None:
        async with open_session(base_url=server.url) as session:
            await SCENARIOS[name](session)

    report = cancel_everywhere(scenario, loop=real_loop, after=functools.partial(idle, server))
    assert len(report.checkpoints) > 1
    server.block_until_idle(connections=True)


STEPS = {
    "a reply": Reply(["one", " two"], tokens_per_second=500),
    "a refusal": Refuse(503),
    "a broken reply": Reply(["one", " two"], fault=Drop(1), tokens_per_second=500),
}


@pytest.mark.parametrize("step", STEPS)
def test_the_task_of_a_call_may_be_cancelled_anywhere_and_leaves_nothing(
    step: str, server: ModelServer, real_loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoints in this are those of the connection, the request and the reply."""
    server.script([STEPS[step]], repeat=True)
    started: list[Generation] = []
    monkeypatch.setattr(Generation, "start", lambda generation: started.append(generation))

    async def scenario() -> None:
        session = start_session(base_url=server.url)
        for number in range(4):  # the later ones may find the connection of the first
            await session.ainstruct(f"Say {number}.")
            await started.pop()._run()  # in the task that is swept

    async def nothing_is_held() -> None:
        await idle(server)
        assert shared_transport(current_host()).leased == 0
        started.clear()

    report = cancel_everywhere(scenario, loop=real_loop, after=nothing_is_held)
    assert len(report.checkpoints) > 10
    server.block_until_idle(connections=True)


def test_a_block_that_is_cancelled_while_it_closes_closes_all_the_same(
    server: ModelServer, real_loop: Loop
) -> None:
    server.script([Stall(1)], repeat=True)

    async def scenario() -> None:
        async with open_session(base_url=server.url) as session:
            for _ in range(3):
                await session.ainstruct("Say something.")
            await (await session.ainstruct("Say something.")).astream()

    cancel_everywhere(scenario, loop=real_loop, after=functools.partial(idle, server))
    server.block_until_idle(connections=True)


async def busy(session: MelleaSession, server: ModelServer, calls: int = 3) -> list[Thunk]:
    """Return thunks whose replies the server has begun and will not end."""
    server.script([Stall(1)], repeat=True)
    thunks = [await session.ainstruct(f"Say {number}.") for number in range(calls)]
    with anyio.fail_after(60):
        await server.wait_until(lambda: sum(r.tokens_sent for r in server.replies) == calls)
        while not all(thunk.partial for thunk in thunks):
            await anyio.lowlevel.checkpoint()
    return thunks


@pytest.mark.anyio
@pytest.mark.parametrize("end", ["end", "error", "cancelled"])
async def test_when_a_block_is_left_its_requests_are_closed_and_its_tasks_have_unwound(
    server: ModelServer, end: str
) -> None:
    with no_leaks(), anyio.CancelScope() as scope:
        try:
            async with open_session(base_url=server.url) as session:
                thunks = await busy(session, server)
                if end == "error":
                    raise LookupError
                if end == "cancelled":
                    scope.cancel()
                    await anyio.lowlevel.checkpoint()
        except LookupError:
            assert end == "error"
    with anyio.fail_after(60):
        await server.wait_idle(connections=True)
    assert all(request.hung_up for request in server.replies)
    for thunk in thunks:
        with pytest.raises(GenerationCancelled, match="session") as caught:
            await thunk
        assert caught.value.partial == thunk.partial != ""
    with pytest.raises(SessionClosed):
        await session.ainstruct("Say something.")


@pytest.mark.anyio
async def test_a_block_does_not_touch_what_another_session_has_running(
    server: ModelServer,
) -> None:
    server.script([Reply("mine", tokens_per_second=1000)], repeat=True)
    async with open_session(base_url=server.url) as mine:
        thunk = await mine.ainstruct("Say something.")
        async with open_session(base_url=server.url) as other:
            await other.ainstruct("Say something.")
        assert await thunk == "mine"


@pytest.mark.anyio
async def test_a_session_in_an_async_generator_that_is_left_early_ends_with_it(
    server: ModelServer,
) -> None:
    async def replies() -> AsyncGenerator[Thunk]:
        async with open_session(base_url=server.url) as session:
            for thunk in await busy(session, server):
                yield thunk

    generator = replies()
    async for _ in generator:
        break
    await generator.aclose()
    with anyio.fail_after(60):
        await server.wait_idle(connections=True)


@pytest.mark.anyio
async def test_a_block_may_be_entered_in_one_task_and_left_in_another(
    server: ModelServer,
) -> None:
    block = open_session(base_url=server.url)

    async def enter() -> None:
        await busy(await block.__aenter__(), server)

    async def leave() -> None:
        await block.__aexit__(None, None, None)

    with no_leaks():
        for step in (enter, leave):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(step)
    server.block_until_idle(connections=True)


def test_a_session_without_a_block_ends_with_its_event_loop(
    server: ModelServer, real_loop: Loop
) -> None:
    kept: list[Thunk] = []

    async def main() -> None:
        kept.extend(await busy(start_session(base_url=server.url), server))

    name, options = real_loop()
    with no_leaks():
        anyio.run(main, backend=name, backend_options=options)
    server.block_until_idle(connections=True)
    assert all(request.hung_up for request in server.replies)
    for thunk in kept:
        with pytest.raises(GenerationCancelled, match="event loop ended"):
            str(thunk)


def test_a_session_that_is_used_on_several_loops_leaves_nothing_on_any(
    server: ModelServer, real_loop: Loop
) -> None:
    session = start_session(base_url=server.url)
    server.script([Reply("Hello")], repeat=True)

    async def main() -> None:
        assert await (await session.ainstruct("Say hello.")) == "Hello"

    for name, options in (real_loop(), ("trio", {}), real_loop()):
        with no_leaks():
            anyio.run(main, backend=name, backend_options=options)
        server.block_until_idle(connections=True)


def test_a_synchronous_call_that_is_over_leaves_nothing_open_at_the_server(
    server: ModelServer,
) -> None:
    server.script([Reply("Hello")], repeat=True)
    with start_session(base_url=server.url) as session:
        assert [session.instruct("Say hello.").value for _ in range(3)] == ["Hello"] * 3
    server.block_until_idle()
    default_portal().close()
    server.block_until_idle(connections=True)


@pytest.mark.anyio
async def test_the_tasks_of_a_hundred_calls_are_gone_with_the_block(server: ModelServer) -> None:
    server.script([Reply("Hello"), Stall(1)], repeat=True)
    with no_leaks():
        async with open_session(base_url=server.url) as session:
            thunks = [await session.ainstruct(f"Say {number}.") for number in range(100)]
            await others_wait()
            async with anyio.create_task_group() as tasks:
                for thunk in thunks[:50]:
                    tasks.start_soon(functools.partial(gather_all, [thunk]))
                with anyio.fail_after(30):
                    await server.wait_until(lambda: len(server.replies) == 100)
                tasks.cancel_scope.cancel()
    with anyio.fail_after(60):
        await server.wait_idle(connections=True)
    assert all(not thunk._source.live for thunk in thunks)

"""Waiting for the whole of a reply: one outcome, for everybody, for ever."""

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from motet._thunk.fanout import gather_all, wait_for_all_mots
from motet._thunk.generation import Generation
from motet._thunk.thunk import ModelOutputThunk
from motet._values.errors import ConnectionLost, GenerationCancelled
from thunk.by_hand import Reply, interest, others_wait, produced, scripted, stray

pytestmark = pytest.mark.anyio

Thunk = ModelOutputThunk[Any]


async def by_await(thunk: Thunk) -> str:
    return await thunk


WAYS: dict[str, Callable[[Thunk], Awaitable[Any]]] = {
    "await": by_await,
    "avalue": ModelOutputThunk.avalue,
    "astream": ModelOutputThunk.astream,
    "wait_for_all_mots": lambda thunk: wait_for_all_mots([thunk]),
    "gather_all": lambda thunk: gather_all([thunk]),
}


@pytest.mark.parametrize("way", ["await", "avalue"])
async def test_a_waiter_gets_the_whole_text(way: str) -> None:
    reply = Reply()
    reply.feed("Hel", "", "lo")
    reply.end()
    assert await WAYS[way](reply.thunk) == "Hello"
    assert reply.thunk.value == "Hello"
    assert reply.thunk.is_computed()


async def test_a_reply_may_be_empty() -> None:
    thunk = scripted()
    assert await thunk == ""
    assert thunk.is_computed()
    assert thunk.value == ""


async def test_the_end_is_not_known_before_somebody_has_looked() -> None:
    reply = Reply()
    reply.feed("Hello")
    reply.end()
    await others_wait()
    assert not reply.generation.live
    assert not reply.thunk.is_computed()
    assert reply.thunk.value is None
    assert reply.thunk.partial == "Hello"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("state", ["pending", "ended", "computed", "by hand"])
async def test_waiting_is_always_a_checkpoint(way: str, state: str) -> None:
    reply = Reply()
    reply.feed("Hello")
    thunk: Thunk = ModelOutputThunk("Hello") if state == "by hand" else reply.thunk
    if state in ("ended", "computed"):
        reply.end()
        await others_wait()
    if state == "computed":
        await reply.thunk
    with anyio.CancelScope() as scope:
        scope.cancel()
        await WAYS[way](thunk)
    assert scope.cancelled_caught
    reply.end()
    await others_wait()
    assert await thunk == "Hello"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("state", ["ended", "computed", "by hand"])
async def test_waiting_lets_others_run_even_when_there_is_nothing_to_wait_for(
    way: str, state: str
) -> None:
    ran: list[str] = []
    reply = Reply()
    reply.end()
    await others_wait()
    thunk: Thunk = ModelOutputThunk("") if state == "by hand" else reply.thunk
    if state == "computed":
        await thunk

    async def other() -> None:
        ran.append("other")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        for _ in range(2):  # Trio shuffles what is ready: in the second round it must be over
            await WAYS[way](thunk)
        assert ran == ["other"]


async def test_any_number_of_tasks_may_wait() -> None:
    reply = Reply()
    texts: list[str] = []

    async def wait(way: str) -> None:
        texts.append(await WAYS[way](reply.thunk))

    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(wait, ["await", "avalue"][number % 2])
        await others_wait()
        assert interest(reply.thunk) == 100
        reply.feed("Hello")
        reply.end()
    assert texts == ["Hello"] * 100
    assert interest(reply.thunk) == 0


async def test_a_waiter_that_is_cancelled_disturbs_no_other() -> None:
    reply = Reply(linger=0)
    texts: list[str] = []

    async def wait() -> None:
        texts.append(await reply.thunk)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        async with anyio.create_task_group() as others:
            for _ in range(3):
                others.start_soon(wait)
            await others_wait()
            others.cancel_scope.cancel()
        await others_wait()
        assert interest(reply.thunk) == 1
        assert not reply.stopped
        reply.feed("Hello")
        reply.end()
    assert texts == ["Hello"]


async def test_giving_up_a_wait_loses_nothing() -> None:
    reply = Reply(linger=60)
    reply.feed("Hel")
    for _ in range(3):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await reply.thunk
    assert reply.thunk.partial == "Hel"
    reply.feed("lo")
    reply.end()
    assert await reply.thunk == "Hello"


class Own(Exception):
    """An error of the test's."""


async def test_every_waiter_gets_the_same_error_object_now_and_later() -> None:
    reply = Reply()
    error = Own("broken")
    caught: list[BaseException] = []

    async def wait(way: str) -> None:
        try:
            await WAYS[way](reply.thunk)
        except Own as exc:
            caught.append(exc)

    async with anyio.create_task_group() as tasks:
        for way in ("await", "avalue", "wait_for_all_mots"):
            tasks.start_soon(wait, way)
        await others_wait()
        reply.end(error)
    for way in ("await", "avalue", "astream", "wait_for_all_mots"):
        await wait(way)
    assert caught == [error] * 7
    (outcome,) = await gather_all([reply.thunk])
    assert outcome.error is error


async def test_an_error_keeps_its_cause_and_the_frames_of_the_generation() -> None:
    cause = OSError("cable")

    async def break_down(_: Generation) -> None:
        await anyio.lowlevel.checkpoint()
        raise Own("broken") from cause

    thunk = produced(break_down)
    lengths = []
    for _ in range(3):
        with pytest.raises(Own) as caught:
            await thunk
        assert caught.value.__cause__ is cause
        assert caught.value.__context__ is cause or caught.value.__context__ is None
        names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert "break_down" in names
        lengths.append(len(names))
    assert lengths == sorted(lengths, reverse=True), "the traceback grows with every raise"


async def test_an_error_raised_while_another_is_handled_does_not_forget_its_own_cause() -> None:
    error = Own("broken")
    error.__cause__ = cause = OSError("cable")
    thunk = scripted(error)
    with pytest.raises(Own):
        try:
            raise LookupError
        except LookupError:
            await thunk
    assert error.__cause__ is cause


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (ExceptionGroup("one", [Own("a")]), Own),
        (ExceptionGroup("nested", [ExceptionGroup("one", [Own("a")])]), Own),
        (BaseExceptionGroup("base", [Own("a")]), Own),
        (ExceptionGroup("two", [Own("a"), Own("b")]), ExceptionGroup),
    ],
    ids=["one", "nested", "base", "two"],
)
async def test_a_single_error_comes_out_of_its_groups(
    raised: BaseException, seen: type[BaseException]
) -> None:
    with pytest.raises(seen) as caught:
        await scripted("text", raised)
    assert type(caught.value) is seen


async def test_an_error_of_a_task_group_inside_a_generation_comes_bare() -> None:
    async def break_down() -> None:
        await anyio.lowlevel.checkpoint()
        raise Own("broken")

    async def produce(generation: Generation) -> None:
        generation.feed("text")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(break_down)
            tasks.start_soon(anyio.sleep_forever)

    thunk = produced(produce)
    with pytest.raises(Own, match="broken"):
        await thunk
    assert thunk.partial == "text"


async def test_an_error_of_the_server_carries_the_text_that_had_arrived() -> None:
    with pytest.raises(ConnectionLost) as caught:
        await scripted("Hel", "lo", ConnectionLost("cable"))
    assert caught.value.partial == "Hello"


async def test_a_partial_text_that_an_error_brings_along_is_kept() -> None:
    with pytest.raises(ConnectionLost) as caught:
        await scripted("Hello", ConnectionLost("cable", partial="Hel"))
    assert caught.value.partial == "Hel"


async def test_after_a_failure_the_value_is_what_had_arrived() -> None:
    thunk = scripted("Hello", Own("broken"))
    with pytest.raises(Own):
        await thunk
    assert thunk.is_computed()
    assert thunk.value == "Hello"
    assert not thunk.cancelled


KINDS: list[BaseException] = [
    Own("an Exception"),
    BaseException("a BaseException"),
    KeyboardInterrupt("asked for by code"),
    SystemExit(3),
    StopIteration("one"),
    StopAsyncIteration("two"),
    GeneratorExit("three"),
    ExceptionGroup("group", [Own("a"), OSError("b")]),
    BaseExceptionGroup("base group", [Own("a"), SystemExit(3)]),
    TimeoutError("four"),
    RecursionError("five"),
]


@pytest.mark.parametrize(
    "error",
    # On asyncio a KeyboardInterrupt in a task goes on to whoever runs the event loop.
    [error for error in KINDS if not isinstance(error, KeyboardInterrupt)],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_of_any_kind_reaches_the_waiter_and_the_event_loop_goes_on(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    thunk = scripted("text", error)
    caught: list[BaseException] = []
    try:
        await thunk
    except BaseException as exc:
        caught.append(exc)
    (seen,) = caught
    if isinstance(error, StopIteration | StopAsyncIteration):
        # Python forbids these two to leave a coroutine as they are.
        seen = seen.__cause__ or seen
    assert seen is error
    assert thunk.partial == "text"
    assert await scripted("afterwards") == "afterwards"
    assert not caplog.records


async def test_a_cancellation_that_is_none_is_not_the_end_of_the_event_loop() -> None:
    async def produce(generation: Generation) -> None:
        generation.feed("Hel")
        await stray()

    thunk = produced(produce)
    for _ in range(2):
        with pytest.raises(GenerationCancelled, match="nothing had cancelled") as caught:
            await thunk
        assert caught.value.partial == "Hel"
        assert isinstance(caught.value.__cause__, anyio.get_cancelled_exc_class())
    assert await scripted("afterwards") == "afterwards"


@pytest.mark.parametrize("anyio_backend", ["asyncio", "uvloop"], indirect=True)
async def test_a_native_cancellation_of_its_task_still_ends_a_reply() -> None:
    reply = Reply()
    await others_wait()
    (task,) = (each for each in asyncio.all_tasks() if each.get_name() == "motet generation")
    task.cancel()
    with pytest.raises(GenerationCancelled, match="event loop ended"):
        await reply.thunk
    assert task.cancelled()


def test_a_reply_whose_event_loop_has_ended_is_a_failure_for_ever(
    anyio_backend: tuple[str, dict[str, Any]],
) -> None:
    kept: list[Reply] = []

    async def main() -> None:
        kept.append(Reply())
        kept[0].feed("Hel")
        await others_wait()

    anyio.run(main, backend=anyio_backend[0], backend_options=anyio_backend[1])
    (reply,) = kept
    assert reply.stopped
    for _ in range(2):
        with pytest.raises(GenerationCancelled, match="event loop ended") as caught:
            str(reply.thunk)
        assert caught.value.partial == "Hel"
    assert reply.thunk.partial == "Hel"

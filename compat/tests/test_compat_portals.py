"""However an async method of a session is run, `str()` of its reply waits in the task that asks."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import mellea
from mellea.stdlib import functional
from mellea.stdlib.context import SimpleContext
from motet.testing import Pause, ScriptedBackend
from motet.testing.leaks import no_leaks
from virtual_time import on_virtual_time

pytestmark = pytest.mark.anyio

on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio", "uvloop"], indirect=True)

Ask = Callable[[], Awaitable[list[Any]]]


def answer(request: object) -> Any:
    return ["one ", Pause(0.001), "two"]


def late(request: object) -> Any:
    return ["one ", Pause(100), "two"]


def session(**options: Any) -> Any:
    return mellea.MelleaSession(ScriptedBackend(answer), **options)


async def handed_over() -> Any:
    """Return a pending reply that was asked for in a task of its own, which has ended."""
    replies: list[Any] = []

    async def ask() -> None:
        replies.append(await session().ainstruct("x"))

    async with anyio.create_task_group() as tg:
        tg.start_soon(ask)
    return replies[0]


async def gathered() -> list[Any]:
    m = session()
    return await asyncio.gather(m.ainstruct("x"), m.aquery("an object", "what?"))


async def tasks() -> list[Any]:
    m = session()
    made = [asyncio.create_task(m.ainstruct("x")), asyncio.ensure_future(m.ainstruct("y"))]
    return [await each for each in made]


async def task_group() -> list[Any]:
    m = session()
    async with asyncio.TaskGroup() as tg:
        made = [tg.create_task(m.ainstruct("x")) for _ in range(2)]
    return [each.result() for each in made]


async def waited_for() -> list[Any]:
    return [await asyncio.wait_for(session().ainstruct("x"), 5)]


async def as_functions() -> list[Any]:
    backend = ScriptedBackend("one two")
    thunks = await asyncio.gather(
        functional.ainstruct("x", SimpleContext(), backend),
        functional.aquery("an object", "what?", SimpleContext(), backend),
    )
    return [thunk for thunk, _ in thunks]


@on_asyncio
@pytest.mark.parametrize("ask", [gathered, tasks, task_group, waited_for, as_functions])
async def test_asyncios_ways_to_run_a_call(ask: Ask) -> None:
    thunks = await ask()
    assert [str(each) for each in thunks] == ["one two"] * len(thunks)


# uvloop cannot have this factory on every Python.
@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks begin at once since Python 3.12")
@pytest.mark.parametrize("ask", [gathered, tasks, task_group, as_functions])
async def test_tasks_that_begin_at_once(ask: Ask) -> None:
    async def texts() -> list[str]:
        return [str(each) for each in await ask()]

    loop: Any = asyncio.get_running_loop()
    factory = loop.get_task_factory()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
    try:
        assert set(await asyncio.create_task(texts())) == {"one two"}
    finally:
        loop.set_task_factory(factory)


async def test_a_reply_of_another_task_needs_a_portal_of_this_one() -> None:
    thunk = await handed_over()
    with pytest.raises(RuntimeError, match=r"await thunk\.avalue\(\)"):
        str(thunk)
    session()  # making one is enough
    await anyio.lowlevel.checkpoint()  # it works from the next time on that this task runs
    assert str(thunk) == "one two"


async def test_children_of_a_group_wait_each_by_itself() -> None:
    m = session()
    texts: list[str] = []

    async def ask() -> None:
        texts.append(f"{await m.ainstruct('x')}")

    async with anyio.create_task_group() as tg:
        for _ in range(3):
            tg.start_soon(ask)
    assert texts == ["one two"] * 3


async def test_async_generators_and_context_variables() -> None:
    here: ContextVar[str] = ContextVar("here", default="outside")
    m = session()

    async def texts() -> AsyncIterator[str]:
        for _ in range(2):
            yield str(await m.ainstruct("x"))
            here.set("inside")

    assert [text async for text in texts()] == ["one two"] * 2
    assert here.get() == "inside"
    assert str(await m.ainstruct("x")) == "one two"
    here.set("later")
    assert here.get() == "later"


@on_virtual_time
async def test_a_group_that_ends_takes_the_wait_along() -> None:
    m = mellea.MelleaSession(ScriptedBackend(late))
    reached: list[str] = []

    async def ask() -> None:
        thunk = await m.ainstruct("x")
        reached.append("asked")
        reached.append(str(thunk))

    async with anyio.create_task_group() as tg:
        tg.start_soon(ask)
        await anyio.sleep(1)
        tg.cancel_scope.cancel()
    assert reached == ["asked"]


@on_asyncio
async def test_a_timeout_of_asyncio_reaches_the_wait() -> None:
    m = mellea.MelleaSession(ScriptedBackend(late))
    thunk = await m.ainstruct("x")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):  # noqa: ASYNC100 - str() waits
            str(thunk)
    assert thunk.partial == "one "
    await thunk.cancel_generation()
    assert str(thunk) == "one "


async def test_the_environment_switches_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MELLEA_IMPLICIT_WAIT", "0")
    thunk = await session().ainstruct("x")
    with pytest.raises(RuntimeError, match=r"await thunk\.avalue\(\)"):
        str(thunk)
    with pytest.raises(RuntimeError, match=r"await thunk\.avalue\(\)"):
        str((await functional.ainstruct("x", SimpleContext(), session().backend))[0])
    assert await thunk.avalue() == "one two"


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_task_that_got_a_portal_is_no_leak(loop: str) -> None:
    async def main() -> None:
        with no_leaks():
            assert str(await session().ainstruct("x")) == "one two"

    anyio.run(main, backend=loop)


async def test_the_methods_pass_for_async_ones() -> None:
    for name in ("ainstruct", "achat", "aact", "avalidate", "aquery", "atransform"):
        for owner in (mellea.MelleaSession, functional):
            if sys.version_info >= (3, 12):
                import inspect

                assert inspect.iscoroutinefunction(getattr(owner, name)), name
            else:
                assert asyncio.iscoroutinefunction(getattr(owner, name)), name

"""`str()` of a reply that is on its way waits in place, and nothing else does."""

import asyncio
import copy
from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import motet
from mellea import _implicit
from mellea.core.thunk import DefaultThunk, ExplicitThunk, ModelOutputThunk, become
from virtual_time import on_virtual_time

pytestmark = pytest.mark.anyio


async def slow(text: str = "here it is") -> AsyncIterator[str]:
    for word in text.split(" "):
        await anyio.sleep(0.01)
        yield f"{word} "


def reply(text: str = "here it is", cls: Any = ModelOutputThunk) -> Any:
    return become(motet.thunk_from(slow(text)), cls)


@on_virtual_time
async def test_str_waits_in_place_while_others_go_on() -> None:
    await _implicit.ensure()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await anyio.sleep(0.005)
            ticks += 1

    async with anyio.create_task_group() as tg:
        tg.start_soon(tick)
        await anyio.lowlevel.checkpoint()
        thunk = reply()
        assert f"it says: {thunk}" == "it says: here it is "
        tg.cancel_scope.cancel()
    assert ticks > 3


@on_virtual_time
async def test_it_waits_inside_other_code() -> None:
    await _implicit.ensure()
    one, two = reply("b"), reply("a")
    assert [str(each) for each in sorted([one, two], key=str)] == ["a ", "b "]
    inner = reply("inner")
    assert f"{f'{inner}'}!" == "inner !"
    assert "{}{}".format(reply("x"), reply("y")) == "x y "


async def test_without_a_portal_it_says_what_to_do() -> None:
    thunk = reply()
    with pytest.raises(RuntimeError, match=r"await thunk\.avalue\(\)"):
        str(thunk)
    assert await thunk == "here it is "


@on_virtual_time
async def test_only_str_waits() -> None:
    await _implicit.ensure()
    thunk = reply()
    assert repr(thunk) == "ModelOutputThunk(None)"
    assert thunk == thunk
    assert thunk
    assert hash(thunk) == hash(thunk)
    assert thunk.value is None
    assert thunk.parsed_repr is None
    assert not thunk.is_computed()
    await thunk


@on_virtual_time
async def test_a_thunk_of_the_default_strategy_waits_when_it_is_looked_at() -> None:
    await _implicit.ensure()
    assert reply("v", DefaultThunk).value == "v "
    assert reply("p", DefaultThunk).parsed_repr == "p "
    assert isinstance(reply("p", DefaultThunk), motet.ModelOutputThunk)


async def test_where_nothing_can_wait_a_look_at_the_value_says_what_to_do() -> None:
    thunk = reply("v", DefaultThunk)
    with pytest.raises(RuntimeError, match="await thunk"):
        _ = thunk.value
    assert thunk.parsed_repr is None
    await thunk
    assert thunk.value == "v "
    assert str(thunk.parsed_repr) == "v "


@on_virtual_time
async def test_a_session_may_do_without() -> None:
    await _implicit.ensure()
    thunk = reply("v", ExplicitThunk)
    with pytest.raises(RuntimeError, match="await thunk"):
        str(thunk)
    await thunk
    assert str(thunk) == "v "


@on_virtual_time
async def test_a_deadline_reaches_the_wait_and_loses_nothing() -> None:
    await _implicit.ensure()
    thunk = reply()
    with anyio.move_on_after(0.015) as scope:  # noqa: ASYNC100 - str() is a checkpoint here
        str(thunk)
    assert scope.cancelled_caught
    assert thunk.partial == "here "
    assert str(thunk) == "here it is "


@pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
async def test_a_native_cancellation_reaches_the_wait() -> None:
    thunk = reply("again " * 100)

    ready = asyncio.Event()

    async def wait() -> None:
        await _implicit.ensure()
        ready.set()
        str(thunk)

    task = asyncio.create_task(wait())
    await ready.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await anyio.sleep(0.3)  # its linger
    with pytest.raises(motet.GenerationCancelled):
        await thunk


async def test_every_thunk_is_an_instance() -> None:
    native = motet.thunk_from(slow())
    assert isinstance(native, ModelOutputThunk)
    assert not isinstance(native, DefaultThunk)
    assert not isinstance("text", ModelOutputThunk)
    await native
    assert isinstance(motet.ComputedModelOutputThunk(native), ModelOutputThunk)


async def test_a_computed_one_is_copied_and_converted() -> None:
    thunk = reply()
    with pytest.raises(RuntimeError, match="copy"):
        copy.copy(thunk)
    await thunk
    assert copy.copy(thunk).value == copy.deepcopy(thunk).value == "here it is "
    assert motet.ComputedModelOutputThunk(thunk) is thunk

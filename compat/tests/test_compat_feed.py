"""Backends that were written for mellea feed their thunks by a queue."""

import asyncio
from typing import Any

import anyio
import pytest

import motet
from mellea.core import feed
from mellea.core.feed import GenerateType
from mellea.core.thunk import ModelOutputThunk

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio", "uvloop"], indirect=True),
]


async def add(thunk: Any, item: str) -> None:
    thunk._underlying_value = (thunk._underlying_value or "") + item


async def note(thunk: Any) -> None:
    thunk.generation.model = "one of theirs"


def fed(*items: Any) -> Any:
    thunk: Any = ModelOutputThunk(None)
    thunk._gen.generate_type = GenerateType.ASYNC
    thunk._gen.process = add
    thunk._gen.post_process = note
    thunk._call.action = motet.CBlock("hello")
    for item in items:
        thunk._gen.queue.put_nowait(item)
    return thunk


async def test_a_queue_is_a_reply() -> None:
    thunk = fed("one ", "two", None)
    assert thunk.value is None
    assert await thunk.avalue() == "one two"
    assert thunk.is_computed()
    assert (thunk.value, thunk.parsed_repr) == ("one two", "one two")
    assert thunk.generation.model == "one of theirs"


async def test_it_streams() -> None:
    thunk = fed("one ")
    pieces = [await thunk.astream()]
    thunk._gen.queue.put_nowait("two")
    thunk._gen.queue.put_nowait(None)
    while not thunk.is_computed():
        pieces.append(await thunk.astream())
    assert pieces[0] == "one "
    assert "".join(pieces) == "one two"
    assert [piece async for piece in fed("x", None)] == ["x"]


async def test_an_exception_in_the_queue_is_raised_as_it_is() -> None:
    thunk = fed("so far", ValueError("from the provider"))
    assert await thunk.astream() == "so far"
    for _ in range(2):
        with pytest.raises(ValueError, match="from the provider"):
            await thunk.avalue()


async def test_a_reply_that_nobody_wants_stops_the_task_that_fills_the_queue() -> None:
    thunk = fed()
    thunk._gen.generate = asyncio.create_task(asyncio.sleep(3600))
    with anyio.move_on_after(0.01):
        await thunk.avalue()
    await thunk.cancel_generation()
    assert thunk._gen.generate.cancelled()


async def test_a_queue_that_is_never_empty_can_be_cancelled() -> None:
    thunk = fed()

    async def always() -> None:
        for _ in range(100_000):
            thunk._gen.queue.put_nowait("x")
            await asyncio.sleep(0)
        thunk._gen.queue.put_nowait(None)

    filling = asyncio.create_task(always())
    await thunk.astream()
    await thunk.cancel_generation()
    assert thunk.cancelled
    assert 0 < len(thunk.value) < 100_000
    filling.cancel()


async def test_a_reply_that_has_not_begun_can_be_cancelled() -> None:
    thunk: Any = ModelOutputThunk(None)
    stopped = asyncio.Event()
    thunk._gen.cancel_hook = stopped.set
    thunk._gen.generate = asyncio.create_task(stopped.wait())
    await thunk.cancel_generation()
    assert (thunk.cancelled, thunk.is_computed(), thunk.value) == (True, True, "")
    assert stopped.is_set()
    assert thunk._gen.generate.done()
    await thunk.cancel_generation()


async def test_a_task_that_takes_no_notice_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def deaf() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(3600)

    def fail() -> None:
        raise ValueError("on purpose")

    monkeypatch.setattr(feed, "STOP_TIMEOUT", 0.01)
    thunk = fed("x")
    thunk._gen.cancel_hook = fail
    thunk._gen.generate = asyncio.create_task(deaf())
    assert await thunk.astream() == "x"
    await thunk.cancel_generation()
    assert thunk.cancelled
    assert not thunk._gen.generate.done()
    assert "on purpose" in caplog.text
    thunk._gen.generate.cancel()


async def test_what_cannot_be_processed_is_refused() -> None:
    thunk = fed("text", None)
    thunk._gen.process = None
    with pytest.raises(RuntimeError, match=r"_gen\.process"):
        await thunk.avalue()


async def test_a_blank_without_a_queue_stays_one() -> None:
    blank: Any = ModelOutputThunk(None)
    with pytest.raises(RuntimeError, match="nothing to wait for"):
        await blank.avalue()
    assert str(blank) == ""

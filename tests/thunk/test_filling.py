"""Thunks that a program fills itself."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

import motet
from motet._thunk.filling import Feed
from motet.testing import ScriptedBackend
from virtual_time import on_virtual_time

pytestmark = pytest.mark.anyio


async def three(closed: list[str] | None = None) -> AsyncIterator[str]:
    try:
        for word in ("one ", "two ", "three"):
            await anyio.lowlevel.checkpoint()
            yield word
    finally:
        if closed is not None:
            closed.append("closed")


async def test_text_of_an_iterator_is_a_reply() -> None:
    assert motet.ModelOutputThunk(None).is_blank()
    thunk = motet.thunk_from(three())
    assert not thunk.is_blank()
    assert not thunk.is_computed()
    assert await thunk == "one two three"
    assert thunk.parsed_repr == "one two three"


async def test_it_streams() -> None:
    pieces = [piece async for piece in motet.thunk_from(three())]
    assert "".join(pieces) == "one two three"


async def test_its_error_is_that_of_the_reply_and_the_text_is_kept() -> None:
    async def broken() -> AsyncIterator[str]:
        yield "so far"
        raise OSError("the source is gone")

    thunk = motet.thunk_from(broken())
    with pytest.raises(OSError, match="the source is gone"):
        await thunk
    assert thunk.partial == "so far"


@on_virtual_time
async def test_nobody_waiting_closes_the_iterator() -> None:
    closed: list[str] = []

    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                yield "again "
                await anyio.sleep(1)
        finally:
            closed.append("closed")

    thunk = motet.thunk_from(endless())
    with anyio.move_on_after(3.5):
        await thunk
    assert not closed
    await anyio.sleep(1)
    assert closed == ["closed"]
    with pytest.raises(motet.GenerationCancelled):
        await thunk


async def test_a_session_that_ends_ends_what_was_filled_in_its_calls() -> None:
    unwound: list[str] = []

    async def produce(feed: Feed) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            unwound.append("unwound")

    class Own(ScriptedBackend):
        """A backend whose replies are filled by hand."""

        def begin(self, *_: Any, owner: Any = None, **__: Any) -> motet.ModelOutputThunk[Any]:
            return motet.fill_thunk(motet.ModelOutputThunk(None), produce, owner=owner)

    async with motet.open_session(Own("never")) as m:
        _ = await m.ainstruct("hello", strategy=None)
        await anyio.wait_all_tasks_blocked()
    assert unwound == ["unwound"]


async def test_only_a_blank_can_be_filled() -> None:
    async def nothing(feed: Feed) -> None: ...

    with pytest.raises(ValueError, match="only a blank"):
        _ = motet.fill_thunk(motet.ModelOutputThunk("there"), nothing)


async def test_one_thunk_tells_what_another_tells() -> None:
    known: motet.ModelOutputThunk[int] = motet.ModelOutputThunk("7", {"from": "a dice"}, 7)
    known.thinking = "rolling"
    shown: motet.ModelOutputThunk[int] = motet.ModelOutputThunk(None)

    async def produce(feed: Feed) -> None:
        feed(await known)
        motet.show_facts(known, shown)

    assert await motet.fill_thunk(shown, produce) == "7"
    assert (shown.meta, shown.parsed_repr, shown.thinking) == ({"from": "a dice"}, 7, "rolling")


async def test_an_iterator_that_always_has_something_can_be_cancelled() -> None:
    async def forever() -> AsyncIterator[str]:
        for _ in range(100_000):
            await anyio.lowlevel.cancel_shielded_checkpoint()  # as a queue that is never empty
            yield "x"

    thunk = motet.thunk_from(forever())
    await thunk.astream()
    await thunk.cancel_generation()
    assert thunk.cancelled

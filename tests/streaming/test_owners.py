"""Whose a run is: one that a session started ends with the session."""

from typing import Any

import anyio
import pytest

import motet
from motet.testing import NEVER, ScriptedBackend
from streaming.validators import Scripted, collect
from virtual_time import on_virtual_time

pytestmark = [pytest.mark.anyio, on_virtual_time]

REPLY = ["One. ", "Bad. ", NEVER]


async def test_an_abandoned_result_ends_with_its_session() -> None:
    backend = ScriptedBackend([REPLY])
    async with motet.open_session(backend) as m:
        result = await m.stream_with_chunking("count", requirements=[Scripted()])
        await anyio.sleep(1)
        assert backend.open_replies == 1
    backend.assert_idle()
    with pytest.raises(motet.GenerationCancelled):
        await result.acomplete()
    assert result.full_text == "One. Bad."


async def test_so_does_one_that_is_in_its_second_attempt() -> None:
    backend = ScriptedBackend([REPLY, ["Two. ", NEVER]])
    async with motet.open_session(backend) as m:
        result = await m.stream_with_chunking(
            "count", requirements=[Scripted({"Bad.": "fail"})], attempts=2
        )
        await anyio.sleep(1)
        assert result.attempts_used == 2
        assert backend.open_replies == 1
    backend.assert_idle()


async def test_a_streamer_of_a_session_ends_with_it() -> None:
    backend = ScriptedBackend([REPLY])
    async with motet.open_session(backend) as m:
        chunks = await m.stream("count", chunking="sentence")
        assert await anext(chunks) == "One."
    backend.assert_idle()
    with pytest.raises(motet.GenerationCancelled):
        async for _ in chunks:
            pass


async def test_so_does_a_streamer_in_its_second_attempt() -> None:
    backend = ScriptedBackend([REPLY, ["Two. ", "Three. ", NEVER]])
    async with motet.open_session(backend) as m:
        chunks = await m.stream(
            "count",
            chunking="sentence",
            requirements=[Scripted({"One.": "fail"})],
            attempts=2,
        )
        assert await anext(chunks) == "Two."
        assert chunks.attempts_used == 2
    backend.assert_idle()
    await chunks.aclose()


async def test_a_streamer_whose_session_has_ended_begins_no_second_attempt() -> None:
    backend = ScriptedBackend([REPLY, ["Two. ", NEVER]])
    async with anyio.create_task_group() as tasks, motet.open_session(backend) as m:
        requirement = Scripted({"One.": "fail"}, seconds={"One.": 1})
        chunks = await m.stream(
            "count", chunking="sentence", requirements=[requirement], attempts=2
        )

        async def read() -> None:
            with pytest.raises(motet.SessionClosed):
                await anext(chunks)

        tasks.start_soon(read)
        await anyio.sleep(0.5)
    assert len(backend.requests) == 1
    backend.assert_idle()


@pytest.mark.parametrize("whole", [False, True])
async def test_what_the_validators_of_a_streamer_ask_ends_with_its_session(whole: bool) -> None:
    backend = ScriptedBackend([["One. "], [NEVER]])

    class Asks(motet.Requirement):
        async def ask(self, backend: motet.Backend) -> None:
            thunk, _ = await backend.generate_from_context(
                motet.Message("user", "Well?"), motet.SimpleContext()
            )
            await thunk

        async def stream_validate(
            self, chunk: str, *, backend: motet.Backend, ctx: motet.Context
        ) -> motet.PartialValidationResult:
            if not whole:
                await self.ask(backend)
            return motet.PartialValidationResult("unknown")

        async def validate(
            self, backend: motet.Backend, ctx: motet.Context, **_: Any
        ) -> motet.ValidationResult:
            await self.ask(backend)
            return motet.ValidationResult(True)

    async with anyio.create_task_group() as tasks, motet.open_session(backend) as m:
        chunks = await m.stream("count", chunking="sentence", requirements=[Asks("is right")])

        async def read() -> None:
            with pytest.raises(motet.GenerationCancelled):
                await collect(chunks, [])

        tasks.start_soon(read)
        await anyio.sleep(1)
        assert len(backend.requests) == 2
        await m.aclose()
        backend.assert_idle()


@pytest.mark.parametrize("what", ["session", "result"])
async def test_a_validator_that_closes_what_it_is_a_part_of_ends_it(what: str) -> None:
    backend = ScriptedBackend([["One. ", "Two. ", NEVER]])
    closed: list[bool] = []

    class Closes(motet.Requirement):
        async def stream_validate(
            self, chunk: str, *, backend: motet.Backend, ctx: motet.Context
        ) -> motet.PartialValidationResult:
            if chunk == "Two.":
                await (m.aclose() if what == "session" else result.aclose())
                closed.append(True)
            return motet.PartialValidationResult("unknown")

    with anyio.fail_after(5):
        async with motet.open_session(backend) as m:
            result = await m.stream_with_chunking("count", requirements=[Closes("is right")])
            chunks: list[str] = []
            if what == "session":
                with pytest.raises(motet.GenerationCancelled, match="closed"):
                    await collect(result.astream(), chunks)
            else:
                await collect(result.astream(), chunks)
            assert chunks == ["One."]
            backend.assert_idle()
    assert not result.completed
    assert not closed


async def test_a_session_that_has_ended_starts_none() -> None:
    async with motet.open_session(ScriptedBackend([REPLY])) as m:
        pass
    with pytest.raises(motet.SessionClosed):
        await m.stream_with_chunking("count")
    with pytest.raises(motet.SessionClosed):
        await m.stream("count")


async def test_the_context_of_the_session_is_said_and_stays_as_it_is() -> None:
    backend = ScriptedBackend(["Hello.", "One. Two. "])
    async with motet.open_session(backend, ctx=motet.ChatContext()) as m:
        await m.achat("Hi.")
        before = m.ctx
        async with await m.stream_with_chunking("count") as result:
            assert [chunk async for chunk in result.astream()] == ["One.", "Two."]
        assert m.ctx is before
    assert [message.content for message in backend.requests[1].messages] == [
        "Hi.",
        "Hello.",
        "count",
    ]


@pytest.mark.parametrize("through_another", [False, True])
@pytest.mark.parametrize("what", ["acomplete", "astream", "events"])
async def test_a_validator_that_waits_for_the_run_it_is_a_part_of_is_told_so(
    what: str, through_another: bool
) -> None:
    async def wait(_: object = None) -> None:
        await (result.acomplete() if what == "acomplete" else anext(getattr(result, what)()))

    class Waits(motet.Requirement):
        async def stream_validate(
            self, chunk: str, *, backend: motet.Backend, ctx: motet.Context
        ) -> motet.PartialValidationResult:
            await (
                motet.fill_thunk(motet.ModelOutputThunk(None), wait) if through_another else wait()
            )
            raise AssertionError

    chunks: list[str] = []
    with anyio.fail_after(5):
        async with motet.open_session(ScriptedBackend([["One. ", "Two. "]])) as m:
            result = await m.stream_with_chunking("count", requirements=[Waits("is right")])
            with pytest.raises(motet.PendingReplyError):
                await collect(result.astream(), chunks)
    assert not chunks

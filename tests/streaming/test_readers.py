"""Who may look at a run, when, and what becomes of a run that everybody has left."""

import copy
import gc
from collections.abc import Sequence
from typing import Any, Final

import anyio
import pytest

from motet import (
    Backend,
    CBlock,
    GenerationCancelled,
    ModelOption,
    ModelOutputThunk,
    SessionClosed,
    SimpleContext,
    SingleReaderError,
    WrongEventLoop,
)
from motet._programs.streaming.chunked import StreamChunkingResult, stream_with_chunking
from motet._programs.streaming.events import ChunkEvent, CompletedEvent
from motet._programs.streaming.streamer import Streamer, stream
from motet._runtime.host import current_host
from motet._runtime.owner import Owner
from motet._wire.chunking import LineChunker
from motet.testing import ScriptedBackend, ScriptedStep
from programs.scripted import stopped
from streaming.validators import Scripted, collect
from virtual_time import on_virtual_time

pytestmark = [pytest.mark.anyio, on_virtual_time]

GO: Final = CBlock("go")
STEPS: Final[Sequence[ScriptedStep]] = ["One. ", 1.0, "Two. ", 1.0, "Three"]
CHUNKS: Final = ["One.", "Two.", "Three"]
ENDLESS: Final[Sequence[ScriptedStep]] = ["One. ", 3600.0, "Two. "]


async def begin(
    steps: Sequence[ScriptedStep] = STEPS, requirements: Sequence[Scripted] = (), **options: Any
) -> tuple[ScriptedBackend, StreamChunkingResult]:
    backend = ScriptedBackend([steps])
    return backend, await stream_with_chunking(
        GO, backend, SimpleContext(), requirements=requirements, **options
    )


async def streamed(
    steps: Sequence[ScriptedStep] = STEPS, requirements: Sequence[Scripted] = (), **options: Any
) -> tuple[ScriptedBackend, Streamer]:
    backend = ScriptedBackend([steps])
    options.setdefault("chunking", "sentence")
    return backend, await stream(GO, backend, SimpleContext(), requirements=requirements, **options)


async def all_chunks(chunks: Any) -> list[str]:
    return [chunk async for chunk in chunks]


async def all_texts(events: Any) -> list[str]:
    return [event.text async for event in events if isinstance(event, ChunkEvent)]


async def run_over(result: StreamChunkingResult) -> None:
    """Return when the run is over, without being interested in it."""
    await result._job.wait_settled()


# Readers.


async def test_both_logs_can_be_read_at_the_same_time() -> None:
    _, result = await begin()
    got: dict[str, list[str]] = {}

    async def read(name: str, fn: Any, log: Any) -> None:
        got[name] = await fn(log)

    async with anyio.create_task_group() as group:
        group.start_soon(read, "chunks", all_chunks, result.astream())
        group.start_soon(read, "events", all_texts, result.events())
    assert got == {"chunks": CHUNKS, "events": CHUNKS}
    await result.acomplete()


async def test_one_log_can_be_read_after_the_other_and_after_the_end() -> None:
    _, result = await begin()
    assert await all_chunks(result.astream()) == CHUNKS
    await result.acomplete()
    assert await all_texts(result.events()) == CHUNKS


async def test_neither_log_need_be_read() -> None:
    _, result = await begin()
    await result.acomplete()
    await result.acomplete()
    assert result.full_text == "One. Two. Three"
    assert anyio.current_time() == 2.0


async def test_a_run_that_nobody_looks_at_goes_on_to_its_end() -> None:
    backend, result = await begin()
    await anyio.sleep(10)
    assert backend.open_replies == 0
    assert not stopped(backend)
    assert result.as_thunk.value == "One. Two. Three"


@pytest.mark.parametrize("log", ["events", "astream"])
async def test_a_second_iteration_raises_at_its_first_step(log: str) -> None:
    _, result = await begin()
    first = getattr(result, log)()
    await anext(first)
    second = getattr(result, log)()
    with pytest.raises(SingleReaderError, match="another loop"):
        await anext(second)
    with pytest.raises(RuntimeError):
        await anext(getattr(result, log)())
    async for _ in first:  # the first is none the worse for it
        pass
    with pytest.raises(RuntimeError):
        await anext(getattr(result, log)())
    with pytest.raises(StopAsyncIteration):
        await anext(first)


async def test_an_iterator_that_was_never_stepped_is_no_reader() -> None:
    _, result = await begin()
    result.astream()
    assert await all_chunks(result.astream()) == CHUNKS


@pytest.mark.parametrize("form", ["events", "astream", "stream"])
async def test_a_second_task_in_the_same_loop_raises(form: str) -> None:
    if form == "stream":
        _, reader = await streamed(["One. ", 5.0])
        iterator: Any = reader
    else:
        _, result = await begin([5.0, "One. "])
        iterator = getattr(result, form)()
    errors: list[BaseException] = []

    async def step() -> None:
        try:
            await anext(iterator)
        except RuntimeError as exc:
            errors.append(exc)

    async with anyio.create_task_group() as group:
        group.start_soon(step)
        group.start_soon(step)
    assert [type(error) for error in errors] == [SingleReaderError]


async def test_a_cancelled_step_loses_nothing() -> None:
    _, result = await begin()
    got = []
    events = result.events()
    while True:
        with anyio.move_on_after(0.25):
            try:
                got.append(await anext(events))
            except StopAsyncIteration:
                break
    assert [event.text for event in got if isinstance(event, ChunkEvent)] == CHUNKS
    assert isinstance(got[-1], CompletedEvent)


async def test_a_cancelled_step_of_a_streamer_loses_nothing_while_it_waits_for_text() -> None:
    _, chunks = await streamed()
    got = []
    while True:
        with anyio.move_on_after(0.25):
            try:
                got.append(await anext(chunks))
            except StopAsyncIteration:
                break
    assert got == CHUNKS


async def test_a_second_loop_over_a_streamer_goes_on_where_the_first_stopped() -> None:
    _, chunks = await streamed()
    async for chunk in chunks:
        assert chunk == "One."
        break
    assert not chunks.completed_normally
    assert chunks.full_text == "One."
    assert await all_chunks(chunks) == ["Two.", "Three"]
    assert chunks.completed_normally


async def test_a_streamer_works_only_when_it_is_asked() -> None:
    requirement = Scripted()
    _, chunks = await streamed(["One. Two. Three"], [requirement])
    await anext(chunks)
    await anyio.sleep(5)
    assert requirement.log == ["r asked One."]


async def test_without_chunking_a_streamer_gives_what_arrives() -> None:
    _, chunks = await streamed(["O", 1.0, "", "ne. ", 1.0, "Tw"], chunking=None)
    assert await all_chunks(chunks) == ["O", "ne. ", "Tw"]
    assert chunks.full_text == "One. Tw"


# Errors surface once.


class Ouch(Exception):
    pass


async def test_an_error_that_astream_has_raised_is_not_raised_by_acomplete() -> None:
    _, result = await begin(requirements=[Scripted({"Two.": Ouch()})])
    got: list[str] = []
    with pytest.raises(Ouch):
        await collect(result.astream(), got)
    assert got == ["One."]
    await result.acomplete()
    assert not result.completed


async def test_an_error_that_acomplete_has_raised_is_not_raised_by_astream() -> None:
    _, result = await begin(requirements=[Scripted({"Two.": Ouch()})])
    with pytest.raises(Ouch):
        await result.acomplete()
    assert await all_chunks(result.astream()) == ["One."]
    await result.acomplete()


# Leaving.


async def test_leaving_the_block_stops_the_request() -> None:
    backend, result = await begin(ENDLESS)
    async with result:
        async for chunk in result.astream():
            assert chunk == "One."
            break
    assert backend.open_replies == 0
    assert stopped(backend) == [0.0]
    await result.acomplete()  # closed on purpose: no error
    assert not result.completed
    assert result.full_text == "One."
    assert result.as_thunk.cancelled
    events = [event async for event in result.events()]
    assert events == [ChunkEvent("One.", 0, 1), CompletedEvent(False, "One.", 1)]


async def test_leaving_the_block_of_a_streamer_stops_the_request() -> None:
    backend, chunks = await streamed(ENDLESS)
    async with chunks:
        async for _ in chunks:
            break
    assert stopped(backend) == [0.0]
    assert not chunks.completed_normally
    assert await all_chunks(chunks) == []


async def test_closing_is_harmless_when_repeated_and_when_nothing_was_read() -> None:
    backend, chunks = await streamed(ENDLESS)
    await chunks.aclose()
    await chunks.aclose()
    backend, result = await begin(ENDLESS)
    await result.aclose()
    await result.aclose()
    assert backend.open_replies == 0
    assert [event async for event in result.events()] == [CompletedEvent(False, "", 1)]


async def test_closing_after_the_end_changes_nothing() -> None:
    _, result = await begin()
    await result.acomplete()
    await result.aclose()
    assert result.completed
    _, chunks = await streamed()
    assert await all_chunks(chunks) == CHUNKS
    await chunks.aclose()
    assert chunks.completed_normally


@pytest.mark.parametrize("log", ["events", "astream"])
async def test_a_run_that_its_only_reader_has_left_is_stopped_after_the_linger(log: str) -> None:
    backend, result = await begin(ENDLESS)
    async for _ in getattr(result, log)():
        break
    gc.collect()
    await run_over(result)
    assert stopped(backend) == [0.25]
    with pytest.raises(GenerationCancelled) as caught:
        await result.acomplete()
    assert caught.value.partial == "One."


@pytest.mark.parametrize("log", ["events", "astream"])
async def test_a_reader_whose_task_is_over_is_not_interested_any_more(log: str) -> None:
    backend, result = await begin(ENDLESS)
    reader = getattr(result, log)()

    async def read() -> None:
        await anext(reader)

    async with anyio.create_task_group() as group:
        group.start_soon(read)
    gc.collect()
    await run_over(result)
    assert stopped(backend) == [0.25]


async def test_a_streamer_that_was_left_is_stopped_after_the_linger() -> None:
    backend, chunks = await streamed(ENDLESS)
    async for _ in chunks:
        break
    reply = chunks._run.thunk
    del chunks
    gc.collect()
    await reply._source.wait_settled()
    assert stopped(backend) == [0.25]


async def test_a_run_whose_only_waiter_was_cancelled_is_stopped_after_the_linger() -> None:
    backend, result = await begin(ENDLESS)
    with anyio.move_on_after(1):
        await result.acomplete()
    await run_over(result)
    assert stopped(backend) == [1.25]


async def test_a_run_goes_on_as_long_as_anybody_is_interested() -> None:
    backend, result = await begin(["One. ", 5.0, "Two. "])

    async def give_up() -> None:
        with anyio.move_on_after(1):
            await result.acomplete()

    async with anyio.create_task_group() as group:
        group.start_soon(give_up)
        assert await all_chunks(result.astream()) == ["One.", "Two."]
    assert not stopped(backend)


async def test_leaving_the_events_early_and_waiting_for_the_end_is_no_loss() -> None:
    backend, result = await begin()
    async for _ in result.events():
        break
    await result.acomplete()
    assert result.full_text == "One. Two. Three"
    assert not stopped(backend)


async def test_a_run_ends_with_its_owner() -> None:
    owner = Owner(current_host(), "the owner")
    with owner.current():
        backend, result = await begin(ENDLESS)
    await anyio.wait_all_tasks_blocked()
    assert owner.jobs == 2  # the run and its reply
    await owner.aclose("the owner went")
    assert backend.open_replies == 0
    assert not result.completed
    with pytest.raises(GenerationCancelled, match="the owner went"):
        await result.acomplete()
    with owner.current(), pytest.raises(SessionClosed):
        await stream_with_chunking(GO, backend, SimpleContext())


async def test_a_run_that_is_stopped_before_it_begins_ends_its_events_too() -> None:
    owner = Owner(current_host(), "the owner")
    with owner.current():
        backend, result = await begin(ENDLESS)
    await owner.aclose("the owner went")
    assert [event async for event in result.events()] == [CompletedEvent(False, "", 1)]
    assert backend.requests == []


async def test_a_validation_that_is_cancelled_ends_the_run_of_a_streamer() -> None:
    requirement = Scripted(seconds={"One.": 60.0})
    backend, chunks = await streamed(ENDLESS, [requirement])
    with anyio.move_on_after(1) as scope:
        await anext(chunks)
    assert scope.cancelled_caught
    assert stopped(backend) == [1.0]
    assert requirement.log == ["r asked One.", "r cancelled One."]
    assert await all_chunks(chunks) == []
    assert chunks.full_text == ""


async def test_a_run_belongs_to_its_event_loop() -> None:
    _, result = await begin()
    await result.acomplete()

    def elsewhere() -> None:
        async def use() -> None:
            with pytest.raises(WrongEventLoop):
                await result.acomplete()
            with pytest.raises(WrongEventLoop):
                await anext(result.events())

        anyio.run(use)

    await anyio.to_thread.run_sync(elsewhere)


# What is handed on.


class Counter(Scripted):
    """Counts what it was asked, as the documented example does."""

    count = 0

    async def stream_validate(self, chunk: str, *, backend: Any, ctx: Any) -> Any:
        self.count += 1
        return await super().stream_validate(chunk, backend=backend, ctx=ctx)


class CountedCopies(Scripted):
    copies = 0

    def __copy__(self) -> "CountedCopies":
        type(self).copies += 1
        twin = copy.copy(super())
        assert isinstance(twin, CountedCopies)
        return twin


async def test_each_run_has_copies_of_the_requirements() -> None:
    requirement = Counter({"Three": "fail"})
    for function in (stream_with_chunking, stream):
        result: Any = await function(
            GO, ScriptedBackend([STEPS]), SimpleContext(), requirements=[requirement]
        )
        if isinstance(result, Streamer):
            await all_chunks(result)
        else:
            await result.acomplete()
            [(used, _)] = result.streaming_failures
            assert isinstance(used, Counter)
            assert used is not requirement
            assert used.count == 3
    assert requirement.count == 0


async def test_a_validation_backend_serves_both_kinds_of_validation() -> None:
    judge = ScriptedBackend("yes")
    for options, expected in (({"validation_backend": judge}, judge), ({}, None)):
        requirement = Scripted()
        backend, result = await begin(["One. "], [requirement], **options)
        await result.acomplete()
        assert requirement.backends == [expected or backend] * 2


async def test_validators_get_a_context_with_the_action_and_the_reply() -> None:
    seen: list[Any] = []

    class Looks(Scripted):
        async def stream_validate(self, chunk: str, *, backend: Any, ctx: Any) -> Any:
            seen.append(ctx)
            return await super().stream_validate(chunk, backend=backend, ctx=ctx)

    ctx = SimpleContext()
    _, result = await begin(["One. "], [Looks()])
    await result.acomplete()
    action, reply = seen[0].as_list()
    assert action is GO
    assert isinstance(reply, ModelOutputThunk)
    assert ctx.as_list() == []


async def test_a_string_is_a_requirement_that_a_model_judges() -> None:
    backend = ScriptedBackend(lambda asked: "yes" if "Requirement:" in asked.prompt else "One. Two")
    result = await stream_with_chunking(GO, backend, SimpleContext(), requirements=["be short"])
    await result.acomplete()
    assert [bool(each) for each in result.final_validations] == [True]
    assert len(backend.requests) == 2


async def test_options_are_merged_and_streaming_is_always_on() -> None:
    backend = ScriptedBackend([STEPS], model_options={ModelOption.TEMPERATURE: 0.5})
    result = await stream_with_chunking(
        GO, backend, SimpleContext(), model_options={ModelOption.SEED: 3}
    )
    await result.acomplete()
    [request] = backend.requests
    assert request.options[ModelOption.STREAM] is True
    assert request.options[ModelOption.SEED] == 3
    assert request.options[ModelOption.TEMPERATURE] == 0.5


async def test_the_result_as_a_thunk() -> None:
    _, result = await begin()
    with pytest.raises(RuntimeError, match="acomplete"):
        repr(result.as_thunk)
    await result.acomplete()
    thunk = result.as_thunk
    assert thunk.is_computed()
    assert thunk.value == thunk.parsed_repr == "One. Two. Three"
    assert not thunk.cancelled
    assert thunk.generation.usage is not None
    assert thunk.generation.usage["completion_tokens"] == 3
    assert thunk.generation is not result._run.thunk.generation


class Computed(Backend):
    provider = "computed"

    async def generate_from_context(self, action: Any, ctx: Any, **_: Any) -> Any:
        thunk: ModelOutputThunk[str] = ModelOutputThunk("here already")
        return thunk, ctx.add(action).add(thunk)

    async def reply(self, request: Any, reply: Any) -> None:
        raise AssertionError


async def test_a_backend_that_does_not_stream_is_refused() -> None:
    for function, name in ((stream_with_chunking, "stream_with_chunking"), (stream, "stream")):
        with pytest.raises(RuntimeError, match=rf"{name}\(\) needs a reply"):
            await function(GO, Computed("m"), SimpleContext())


async def test_a_strategy_of_ones_own_cuts_the_text() -> None:
    _, result = await begin(["a\nb", 1.0, "\nc"], chunking=LineChunker())
    assert await all_chunks(result.astream()) == ["a", "b", "c"]


async def test_a_long_text_in_one_piece_does_not_keep_others_from_running() -> None:
    _, result = await begin(["word " * 5_000], [Scripted()], chunking="word")
    turns = 0
    async with anyio.create_task_group() as group:

        async def others() -> None:
            nonlocal turns
            while True:
                await anyio.lowlevel.checkpoint()
                turns += 1

        group.start_soon(others)
        await result.acomplete()
        group.cancel_scope.cancel()
    assert turns > 100

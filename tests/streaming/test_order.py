"""The guaranteed order of events, scenario by scenario, for both entry points."""

from collections.abc import Sequence
from typing import Any, Final

import anyio
import pytest

from motet import BackendError, CBlock, GenerationCancelled, SimpleContext
from motet._programs.streaming.chunked import StreamChunkingResult, stream_with_chunking
from motet._programs.streaming.events import (
    ChunkEvent,
    CompletedEvent,
    ErrorEvent,
    FullValidationEvent,
    QuickCheckEvent,
    StreamEvent,
    StreamingDoneEvent,
)
from motet._programs.streaming.streamer import Streamer, stream
from motet._wire.chunking import ChunkingStrategy
from motet.testing import ScriptedBackend, ScriptedStep
from programs.scripted import broken, stopped
from streaming.validators import Scripted, collect
from virtual_time import on_virtual_time

pytestmark = [pytest.mark.anyio, on_virtual_time]

TEXT: Final = "One. Two. Three"
STEPS: Final[Sequence[ScriptedStep]] = ["One", ". T", 1.0, "wo. ", 1.0, "Thr", "ee"]
GO: Final = CBlock("go")


class Ouch(Exception):
    """What a validator of these tests raises."""


def letters(events: Sequence[StreamEvent]) -> str:
    """Say an order of events as the contract does, such as ``Q0 C0 D F X``."""

    def letter(event: StreamEvent) -> str:
        match event:
            case QuickCheckEvent(chunk_index=index, passed=passed, attempt=1):
                return f"Q{index}" if passed else f"Q{index}!"
            case ChunkEvent(chunk_index=index, attempt=1):
                return f"C{index}"
            case StreamingDoneEvent(attempt=1):
                return "D"
            case FullValidationEvent(passed=passed, attempt=1):
                return "F" if passed else "F!"
            case ErrorEvent():
                return "E"
            case CompletedEvent(success=success, attempts_used=1):
                return "X" if success else "X!"
            case _:
                raise AssertionError(event)

    return " ".join(map(letter, events))


async def begin(
    requirements: Sequence[Scripted] | None, steps: Sequence[ScriptedStep] = STEPS, **options: Any
) -> tuple[ScriptedBackend, StreamChunkingResult]:
    backend = ScriptedBackend([steps])
    return backend, await stream_with_chunking(
        GO, backend, SimpleContext(), requirements=requirements, **options
    )


async def all_of(result: StreamChunkingResult) -> list[StreamEvent]:
    return [event async for event in result.events()]


async def all_chunks(chunks: Any) -> list[str]:
    return [chunk async for chunk in chunks]


async def streamed(
    requirements: Sequence[Scripted] | None, steps: Sequence[ScriptedStep] = STEPS, **options: Any
) -> tuple[ScriptedBackend, Streamer]:
    backend = ScriptedBackend([steps])
    options.setdefault("chunking", "sentence")
    return backend, await stream(GO, backend, SimpleContext(), requirements=requirements, **options)


# One test for each row.


@pytest.mark.parametrize(
    ("requirements", "order"),
    [
        ([Scripted({"One.": "pass"})], "Q0 C0 Q1 C1 Q2 C2 D F X"),
        ([Scripted(), Scripted(name="s")], "Q0 C0 Q1 C1 Q2 C2 D F X"),
        ([Scripted(), Scripted(final=False)], "Q0 C0 Q1 C1 Q2 C2 D F! X"),
        (None, "C0 C1 C2 D X"),
        ([], "C0 C1 C2 D X"),
    ],
    ids=["one requirement", "two", "a final validation is false", "no list", "an empty list"],
)
async def test_natural_end(requirements: list[Scripted] | None, order: str) -> None:
    _, result = await begin(requirements)
    assert letters(events := await all_of(result)) == order
    await result.acomplete()
    assert events[-1] == CompletedEvent(True, TEXT, 1)
    assert result.completed
    assert result.full_text == TEXT
    assert result.streaming_failures == []
    assert [each.result for each in result.final_validations] == [
        each.final for each in requirements or ()
    ]
    assert await all_chunks(result.astream()) == ["One.", "Two.", "Three"]

    _, chunks = await streamed(requirements)
    assert await all_chunks(chunks) == ["One.", "Two.", "Three"]
    assert chunks.completed_normally
    assert not chunks.failed_early
    assert chunks.full_text == TEXT
    assert chunks.failure_reason is None
    assert chunks.mot is not None
    assert chunks.mot.value == TEXT
    assert len(chunks.final_validations) == len(requirements or ())


@pytest.mark.parametrize(
    ("fails", "order", "text"),
    [("One.", "Q0! X!", ""), ("Two.", "Q0 C0 Q1! X!", "One.")],
)
async def test_fail_at_a_chunk(fails: str, order: str, text: str) -> None:
    steps: list[ScriptedStep] = [*STEPS[:4], 60.0, "never"]
    backend, result = await begin([Scripted({fails: "fail"}), Scripted(name="s")], steps)
    assert letters(events := await all_of(result)) == order
    await result.acomplete()
    assert events[-1] == CompletedEvent(False, text, 1)
    assert not result.completed
    assert result.full_text == text
    assert [partial.reason for _, partial in result.streaming_failures] == [f"r: {fails}"]
    assert result.final_validations == []
    assert result.as_thunk.cancelled
    assert backend.open_replies == 0
    assert len(stopped(backend)) == 1
    assert await all_chunks(result.astream()) == text.split()

    backend, chunks = await streamed([Scripted({fails: "fail"})], steps)
    assert await all_chunks(chunks) == text.split()
    assert chunks.failed_early
    assert not chunks.completed_normally
    assert chunks.failure_reason == f"Streaming validation failed: r: {fails}"
    assert chunks.full_text == text
    assert chunks.mot is None
    assert backend.open_replies == 0


async def test_several_fail_at_the_same_chunk() -> None:
    requirements = [
        Scripted({"Two.": "fail"}, name="a", seconds={"Two.": 2.0}),
        Scripted({}, name="b"),
        Scripted({"Two.": "fail"}, name="c"),
    ]
    _, result = await begin(requirements)
    events = await all_of(result)
    assert letters(events) == "Q0 C0 Q1! X!"
    last = events[-2]
    assert isinstance(last, QuickCheckEvent)
    assert [each.success for each in last.results] == ["fail", "unknown", "fail"]
    assert [partial.reason for _, partial in result.streaming_failures] == ["a: Two.", "c: Two."]


async def test_fail_on_the_flushed_fragment() -> None:
    backend, result = await begin([Scripted({"Three": "fail"})])
    assert letters(await all_of(result)) == "Q0 C0 Q1 C1 Q2! X!"
    await result.acomplete()
    assert not result.completed
    assert result.full_text == "One. Two."
    assert not result.as_thunk.cancelled
    assert not stopped(backend)

    _, chunks = await streamed([Scripted({"Three": "fail"})])
    assert await all_chunks(chunks) == ["One.", "Two."]
    assert chunks.failure_reason == "Streaming validation failed on flush: r: Three"
    assert not chunks.completed_normally


async def test_a_validator_raises() -> None:
    steps: list[ScriptedStep] = [*STEPS[:4], 60.0, "never"]
    log: list[str] = []

    def requirements() -> list[Scripted]:
        log.clear()
        return [
            Scripted({"Two.": Ouch("no")}, seconds={"Two.": 1.0}, log=log),
            Scripted(name="s", seconds={"Two.": 30.0}, log=log),
        ]

    backend, result = await begin(requirements(), steps)
    events = await all_of(result)
    assert letters(events) == "Q0 C0 E X!"
    assert events[-2] == ErrorEvent("Ouch", "no")
    assert events[-1] == CompletedEvent(False, "One.", 1)
    assert log[-1] == "s cancelled Two."
    with pytest.raises(Ouch):
        await result.acomplete()
    assert not result.completed
    assert result.full_text == "One."
    assert stopped(backend) == [2.0]

    backend, chunks = await streamed(requirements(), steps)
    got: list[str] = []
    with pytest.raises(Ouch):
        await collect(chunks, got)
    assert got == ["One."]
    assert chunks.full_text == "One."
    assert await all_chunks(chunks) == []
    assert log[-1] == "s cancelled Two."
    assert backend.open_replies == 0


async def test_the_final_validation_raises() -> None:
    _, result = await begin([Scripted(final=Ouch("no"))])
    assert letters(await all_of(result)) == "Q0 C0 Q1 C1 Q2 C2 D E X!"
    with pytest.raises(Ouch):
        await result.acomplete()
    assert not result.completed
    assert result.full_text == TEXT
    assert result.final_validations == []

    _, chunks = await streamed([Scripted(final=Ouch("no"))])
    got: list[str] = []
    with pytest.raises(Ouch):
        await collect(chunks, got)
    assert got == ["One.", "Two.", "Three"]
    assert chunks.completed_normally
    assert chunks.full_text == TEXT


@pytest.mark.parametrize(
    ("steps", "order", "text"),
    [([broken()], "E X!", ""), (["One. Tw", 1.0, broken()], "Q0 C0 E X!", "One.")],
)
async def test_the_server_fails(steps: list[ScriptedStep], order: str, text: str) -> None:
    _, result = await begin([Scripted()], steps)
    events = await all_of(result)
    assert letters(events) == order
    assert isinstance(events[-2], ErrorEvent)
    assert events[-2].exception_type == "BackendError"
    assert events[-1] == CompletedEvent(False, text, 1)
    with pytest.raises(BackendError, match="the script says so"):
        await result.acomplete()
    assert not result.completed
    assert result.full_text == text

    _, chunks = await streamed([Scripted()], steps)
    with pytest.raises(BackendError):
        await all_chunks(chunks)
    assert chunks.full_text == text
    assert not chunks.completed_normally


class Canceller(Scripted):
    """Cancels the reply that it validates a chunk of."""

    async def stream_validate(self, chunk: str, *, backend: Any, ctx: Any) -> Any:
        if chunk == "Two.":
            await ctx.last_output().cancel_generation()
        return await super().stream_validate(chunk, backend=backend, ctx=ctx)


async def test_the_generation_is_cancelled_from_outside() -> None:
    backend, result = await begin([Canceller()])
    assert letters(await all_of(result)) == "Q0 C0 Q1 C1 X!"
    with pytest.raises(GenerationCancelled) as caught:
        await result.acomplete()
    assert caught.value.partial == "One. Two. "
    assert not result.completed
    assert result.full_text == "One. Two."
    assert backend.open_replies == 0

    backend, chunks = await streamed([Canceller()])
    with pytest.raises(GenerationCancelled):
        await all_chunks(chunks)
    assert chunks.full_text == "One. Two."
    assert not chunks.completed_normally


class NoCopy(Scripted):
    def __copy__(self) -> "NoCopy":
        raise Ouch("not copied")


async def test_what_is_refused_at_the_start_is_raised_and_asks_nobody() -> None:
    backend = ScriptedBackend([STEPS])
    for function in (stream_with_chunking, stream):
        with pytest.raises(Ouch, match="not copied"):
            await function(GO, backend, SimpleContext(), requirements=[NoCopy()])
        with pytest.raises(ValueError, match="chapter"):
            # The alias is looked at before anything else is touched.
            await function(
                GO, backend, SimpleContext(), requirements=[NoCopy()], chunking="chapter"
            )
        with pytest.raises(TypeError):
            await function(GO, backend, SimpleContext(), model_options={"temperature": "hot"})
    await anyio.wait_all_tasks_blocked()
    assert backend.requests == []


# What else is guaranteed.


@pytest.mark.parametrize("sizes", [1, 2, 5, 15])
async def test_the_order_does_not_depend_on_how_the_text_arrives(sizes: int) -> None:
    steps = [TEXT[at : at + sizes] for at in range(0, len(TEXT), sizes)]
    _, result = await begin([Scripted()], steps)
    assert letters(await all_of(result)) == "Q0 C0 Q1 C1 Q2 C2 D F X"


async def test_a_chunk_is_validated_when_the_one_before_it_was_released() -> None:
    log: list[str] = []
    requirement = Scripted(log=log, seconds={"One.": 5.0})
    backend = ScriptedBackend([[TEXT]])
    result = await stream_with_chunking(GO, backend, SimpleContext(), requirements=[requirement])
    chunks = result.astream()
    assert await anext(chunks) == "One."
    assert anyio.current_time() == 5.0
    await result.acomplete()
    assert log == ["r asked One.", "r asked Two.", "r asked Three", f"r judged {TEXT}"]


async def test_nothing_after_a_failing_chunk_is_validated_though_it_had_arrived() -> None:
    requirement = Scripted({"Two.": "fail"})
    _, result = await begin([requirement], ["One. Two. Three. Four. "])
    assert letters(await all_of(result)) == "Q0 C0 Q1! X!"
    assert requirement.log == ["r asked One.", "r asked Two."]
    assert await all_chunks(result.astream()) == ["One."]


async def test_the_first_fail_stops_the_request_before_the_others_have_answered() -> None:
    requirements = [
        Scripted({"One.": "fail"}, seconds={"One.": 1.0}),
        Scripted(name="slow", seconds={"One.": 7.0}),
    ]
    backend, result = await begin(requirements, ["One. ", 60.0, "never"])
    events = await all_of(result)
    assert letters(events) == "Q0! X!"
    assert stopped(backend) == [1.0]
    assert anyio.current_time() == 7.0


async def test_validators_of_a_chunk_work_at_the_same_time() -> None:
    requirements = [Scripted(name=str(n), seconds={"One.": 3.0}) for n in range(5)]
    _, result = await begin(requirements, ["One. "])
    await result.acomplete()
    assert anyio.current_time() == 3.0


async def test_pass_does_not_spare_the_final_validation() -> None:
    requirement = Scripted({"One.": "pass"})
    _, result = await begin([requirement], ["One. "])
    await result.acomplete()
    assert requirement.log == ["r asked One.", "r judged One. "]


async def test_a_chunking_strategy_that_raises_ends_the_run_as_a_validator_does() -> None:
    class Bad(ChunkingStrategy):
        def split(self, accumulated_text: str) -> list[str]:
            raise Ouch("bad")

    backend, result = await begin(None, ["One. ", 60.0], chunking=Bad())
    assert letters(await all_of(result)) == "E X!"
    with pytest.raises(Ouch):
        await result.acomplete()
    assert backend.open_replies == 0


async def test_a_validator_must_return_a_partial_result() -> None:
    class Wrong(Scripted):
        async def stream_validate(self, chunk: str, *, backend: Any, ctx: Any) -> Any:
            return True

    _, result = await begin([Wrong()])
    with pytest.raises(TypeError, match="PartialValidationResult, not bool"):
        await result.acomplete()


@pytest.mark.parametrize(
    ("chunking", "fails", "text"),
    [
        ("word", "c", "a\n b"),
        ("paragraph", "c", "a\n b"),
        ("sentence", "Y?", " X!"),
    ],
)
async def test_full_text_has_what_is_between_released_chunks(
    chunking: str, fails: str, text: str
) -> None:
    whole = {"word": "a\n b  c d ", "paragraph": "a\n b\n\nc\n\nd", "sentence": " X!  Y? Z."}
    _, result = await begin([Scripted({fails: "fail"})], [whole[chunking]], chunking=chunking)
    await result.acomplete()
    assert result.full_text == text


async def test_full_text_of_chunks_that_are_not_in_the_text_is_the_chunks() -> None:
    class Shouting(ChunkingStrategy):
        def split(self, accumulated_text: str) -> list[str]:
            return [word if word == "a" else word.upper() for word in accumulated_text.split()]

    _, result = await begin([Scripted({"C": "fail"})], ["a bc "], chunking=Shouting())
    await result.acomplete()
    assert result.full_text == "a bc "
    _, result = await begin([Scripted({"D": "fail"})], ["a b c d "], chunking=Shouting())
    await result.acomplete()
    assert result.full_text == "aBC"


async def test_a_run_that_was_interrupted_while_validating_only_ends() -> None:
    backend, chunks = await streamed([Scripted(seconds={"One.": 60.0})])
    run = chunks._run
    with anyio.move_on_after(1):
        await run.step()
    assert run.interrupted
    assert await run.step() == CompletedEvent(False, "", 1)
    assert await run.step() is None
    assert run.over
    assert backend.open_replies == 0

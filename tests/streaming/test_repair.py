"""Streams that go on with another attempt after a chunk that was not valid."""

import copy
from collections.abc import Sequence
from typing import Any, Final

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

import motet
from motet import CBlock, Instruction, SimpleContext, ValidationResult
from motet.streaming import (
    ChunkEvent,
    CompletedEvent,
    ErrorEvent,
    FailedAttempt,
    FullValidationEvent,
    GoOn,
    QuickCheckEvent,
    RetryEvent,
    StartOver,
    StreamEvent,
    StreamingDoneEvent,
    StreamRepair,
    stream,
    stream_with_chunking,
)
from motet.testing import NEVER, ReplyOutcome, ScriptedBackend
from streaming.validators import Scripted
from virtual_time import on_virtual_time

pytestmark = [pytest.mark.anyio, on_virtual_time]

GO: Final = CBlock("go")
BAD_FIRST: Final = ["Good one. Bad. Never seen. ", "Good two. Better. "]


def told(events: Sequence[StreamEvent]) -> list[str]:
    """Say an order of events with their attempts, such as ``C0 R2(0)``."""

    def one(event: StreamEvent) -> str:
        match event:
            case QuickCheckEvent():
                return f"Q{event.chunk_index}" + ("" if event.passed else "!")
            case ChunkEvent():
                return f"C{event.chunk_index}"
            case StreamingDoneEvent():
                return "D"
            case FullValidationEvent():
                return "F" if event.passed else "F!"
            case RetryEvent():
                return f"R{event.attempt}({event.void_from},{event.chunk_index})"
            case ErrorEvent():
                return "E"
            case CompletedEvent():
                return ("X" if event.success else "X!") + str(event.attempts_used)
            case _:
                raise AssertionError(event)

    return list(map(one, events))


async def begin(
    replies: Sequence[Any], verdicts: Any, *, action: Any = GO, final: Any = True, **options: Any
) -> tuple[ScriptedBackend, Any]:
    backend = ScriptedBackend(replies)
    requirement = Scripted(verdicts, final=final)
    result = await stream_with_chunking(
        action, backend, SimpleContext(), requirements=[requirement], **options
    )
    return backend, result


async def events_of(result: Any) -> list[StreamEvent]:
    return [event async for event in result.events()]


async def test_a_bad_chunk_starts_over() -> None:
    backend, result = await begin(BAD_FIRST, {"Bad.": "fail"}, attempts=2)
    events = await events_of(result)
    assert told(events) == ["Q0", "C0", "Q1!", "R2(0,0)", "Q0", "C0", "Q1", "C1", "D", "F", "X2"]
    assert [getattr(event, "attempt", None) for event in events[:-1]] == [1] * 3 + [2] * 7
    assert [chunk async for chunk in result.astream()] == ["Good two.", "Better."]
    await result.acomplete()
    assert (result.completed, result.full_text) == (True, "Good two. Better. ")
    assert (result.attempts_used, result.streaming_failures) == (2, [])
    assert str(result.as_thunk) == "Good two. Better. "
    (given_up,) = result.failed_attempts
    assert (given_up.text, given_up.chunk, given_up.reasons) == ("Good one.", "Bad.", ["r: Bad."])
    backend.assert_idle()


async def test_one_attempt_stays_the_default() -> None:
    _, result = await begin(BAD_FIRST[:1], {"Bad.": "fail"})
    assert told(await events_of(result)) == ["Q0", "C0", "Q1!", "X!1"]


async def test_the_last_attempt_fails_as_the_only_one_would() -> None:
    replies = ["One. Bad.", "Two. Bad. ", "Three. Bad. "]
    _, result = await begin(replies, {"Bad.": "fail"}, attempts=3)
    events = await events_of(result)
    assert told(events) == [
        "Q0",
        "C0",
        "Q1!",
        "R2(0,0)",
        "Q0",
        "C0",
        "Q1!",
        "R3(0,0)",
        "Q0",
        "C0",
        "Q1!",
        "X!3",
    ]
    assert [chunk async for chunk in result.astream()] == ["Three."]
    assert (result.completed, result.full_text) == (False, "Three.")
    assert len(result.streaming_failures) == 1


async def test_the_bad_request_has_stopped_before_the_next_begins() -> None:
    backend, result = await begin([["Bad. ", NEVER], ["Good. "]], {"Bad.": "fail"}, attempts=2)
    await result.acomplete()
    first, second = backend.requests
    assert first.outcome is ReplyOutcome.CANCELLED
    assert first.ended_at is not None
    assert first.ended_at <= second.asked_at


async def test_an_instruction_is_told_what_was_wrong() -> None:
    backend, result = await begin(
        BAD_FIRST, {"Bad.": "fail"}, action=Instruction("Praise the sea."), attempts=2
    )
    await result.acomplete()
    first, second = backend.prompts
    assert "r: Bad." not in first
    assert "Praise the sea." in second
    assert "r: Bad." in second


async def test_validated_text_may_be_kept() -> None:
    backend, result = await begin(
        ["One. Two. Bad. More. ", "  Three. Four."],
        {"Bad.": "fail"},
        action=Instruction("Count."),
        attempts=2,
        repair=GoOn(),
    )
    events = await events_of(result)
    assert told(events) == [
        "Q0",
        "C0",
        "Q1",
        "C1",
        "Q2!",
        "R2(9,2)",
        "Q2",
        "C2",
        "Q3",
        "C3",
        "D",
        "F",
        "X2",
    ]
    assert [chunk async for chunk in result.astream()] == ["One.", "Two.", "Three.", "Four."]
    assert result.full_text == "One. Two. Three. Four."
    prompt = backend.prompts[1]
    for part in ("Count.", "One. Two.", "r: Bad."):
        assert part in prompt


async def test_a_requirement_that_counts_goes_on_where_the_kept_text_ends() -> None:
    class Counting(motet.Requirement):
        """Refuses one word, and more than three chunks."""

        count = 0

        async def stream_validate(self, chunk: str, **_: Any) -> motet.PartialValidationResult:
            self.count += 1
            bad = chunk == "Bad." or self.count > 3
            return motet.PartialValidationResult("fail" if bad else "pass", reason=f"{self.count}")

        async def validate(self, *_: Any, **__: Any) -> ValidationResult:
            return ValidationResult(self.count <= 3, reason=str(self.count))

    backend = ScriptedBackend(["One. Two. Bad. ", "Three. Four. "])
    mine = Counting("few")
    result = await stream_with_chunking(
        GO, backend, SimpleContext(), requirements=[mine], attempts=2, repair=GoOn()
    )
    events = await events_of(result)
    assert told(events) == ["Q0", "C0", "Q1", "C1", "Q2!", "R2(9,2)", "Q2", "C2", "Q3!", "X!2"]
    assert mine.count == 0


async def test_a_kept_beginning_is_judged_with_the_rest() -> None:
    seen: list[str] = []

    class Whole(Scripted):
        """Notes what it is to judge."""

        async def validate(self, backend: Any, ctx: Any, **_: Any) -> ValidationResult:
            seen.append(str(ctx.last_output()))
            return ValidationResult(True)

    backend = ScriptedBackend(["One. Bad. ", "Two."])
    result = await stream_with_chunking(
        GO,
        backend,
        SimpleContext(),
        requirements=[Whole({"Bad.": "fail"})],
        attempts=2,
        repair=GoOn(),
    )
    await result.acomplete()
    assert seen == ["One. Two."]


async def test_a_reply_that_is_not_valid_as_a_whole_is_tried_again() -> None:
    verdicts = iter([False, True])

    class Second(Scripted):
        """Refuses the first reply as a whole."""

        async def validate(self, *_: Any, **__: Any) -> ValidationResult:
            return ValidationResult(next(verdicts), reason="too plain")

    backend = ScriptedBackend(["Plain.", "Fancy."])
    result = await stream_with_chunking(
        GO, backend, SimpleContext(), requirements=[Second()], attempts=3
    )
    events = await events_of(result)
    assert told(events) == ["Q0", "C0", "D", "F!", "R2(0,0)", "Q0", "C0", "D", "F", "X2"]
    assert events[4] == RetryEvent(2, "too plain")
    assert [chunk async for chunk in result.astream()] == ["Fancy."]
    assert [bool(each) for each in result.final_validations] == [True]


async def test_the_streamer_gives_out_only_what_stands() -> None:
    backend = ScriptedBackend(BAD_FIRST)
    requirement = Scripted({"Bad.": "fail"})
    async with await stream(
        GO,
        backend,
        SimpleContext(),
        requirements=[requirement],
        chunking="sentence",
        attempts=2,
    ) as chunks:
        assert [chunk async for chunk in chunks] == ["Good two.", "Better."]
    assert (chunks.attempts_used, chunks.failed_early) == (2, False)
    assert chunks.completed_normally
    assert len(chunks.failed_attempts) == 1


async def test_an_error_in_an_early_attempt_gives_out_what_was_validated_before_it() -> None:
    _, result = await begin([["One. ", RuntimeError("the server broke")]], {}, attempts=2)
    chunks: list[str] = []
    with pytest.raises(RuntimeError, match="the server broke"):
        async for chunk in result.astream():
            chunks.append(chunk)  # noqa: PERF401 - an error must not lose the list
    assert chunks == ["One."]
    assert told(await events_of(result))[-2:] == ["E", "X!1"]


async def test_a_strategy_of_ones_own() -> None:
    asked: list[FailedAttempt] = []

    class Shorter(StreamRepair):
        """Asks something else."""

        def next_attempt(self, failed: FailedAttempt) -> tuple[Any, motet.Context]:
            asked.append(failed)
            return CBlock("shorter"), failed.ctx

    backend, result = await begin(BAD_FIRST, {"Bad.": "fail"}, attempts=2, repair=Shorter())
    await result.acomplete()
    assert [each.attempt for each in asked] == [1]
    assert backend.prompts[1] == "shorter"


async def test_a_strategy_that_raises_ends_the_run_with_its_error() -> None:
    class Broken(StreamRepair):
        """Has a bug."""

        def next_attempt(self, failed: FailedAttempt) -> tuple[Any, motet.Context]:
            raise KeyError("a bug")

    backend, result = await begin(BAD_FIRST, {"Bad.": "fail"}, attempts=2, repair=Broken())
    with pytest.raises(KeyError):
        await result.acomplete()
    assert told(await events_of(result))[-2:] == ["E", "X!1"]
    backend.assert_idle()


@pytest.mark.parametrize("attempts", [0, -1])
async def test_a_number_of_attempts_that_is_none_is_refused(attempts: int) -> None:
    with pytest.raises(ValueError, match="1 or more"):
        await begin(BAD_FIRST, {}, attempts=attempts)


@pytest.mark.parametrize(
    "options", [{"attempts": True}, {"attempts": 2.0}, {"repair": StartOver}, {"repair": "again"}]
)
async def test_other_mistakes_are_refused(options: Any) -> None:
    with pytest.raises(TypeError, match="should be"):
        await begin(BAD_FIRST, {}, **options)


async def test_leaving_between_two_attempts_leaves_nothing() -> None:
    backend, result = await begin(
        [["Bad. ", NEVER], [0.5, "Good. ", NEVER]], {"Bad.": "fail"}, attempts=2
    )
    async with result:
        async for event in result.events():
            if isinstance(event, RetryEvent):
                break
        await anyio.sleep(0.1)
    backend.assert_idle()
    assert not result.completed


# Whatever is cut where, and whatever fails how often: what readers of chunks get is the text.


@given(
    words=st.lists(st.sampled_from(["a", "b", "bad"]), min_size=1, max_size=6),
    cuts=st.lists(st.integers(1, 5), max_size=8),
    keeps=st.booleans(),
)
async def test_what_chunk_readers_get_is_the_text(
    words: list[str], cuts: list[int], keeps: bool
) -> None:
    text = " ".join(words) + " "
    deltas, rest = [], text
    for cut in cuts:
        deltas.append(rest[:cut])
        rest = rest[cut:]
    replies = [[each for each in [*deltas, rest] if each], "good words follow "]

    _, result = await begin(
        copy.deepcopy(replies[:1] if "bad" not in words else replies),
        {"bad": "fail"},
        chunking="word",
        attempts=2,
        repair=GoOn() if keeps else StartOver(),
    )
    events = await events_of(result)
    chunks = [chunk async for chunk in result.astream()]
    assert " ".join(chunks) == result.full_text.strip()
    assert isinstance(events[-1], CompletedEvent)
    shown: list[str] = []
    for event in events:
        if isinstance(event, RetryEvent):
            del shown[event.chunk_index :]
            assert len(" ".join(shown)) == event.void_from
        elif isinstance(event, ChunkEvent):
            assert event.chunk_index == len(shown)
            shown.append(event.text)
    assert shown == chunks

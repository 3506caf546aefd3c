"""Replies that are validated chunk by chunk, of a backend as programs wrote them for mellea."""

import asyncio
from typing import Any

import pytest

from mellea.core.backend import Backend
from mellea.core.base import CBlock, Context, GenerateType, ModelOutputThunk
from mellea.core.requirement import PartialValidationResult, Requirement, ValidationResult
from mellea.stdlib.chunking import (
    ChunkingStrategy,
    ParagraphChunker,
    SentenceChunker,
    WordChunker,
)
from mellea.stdlib.context import SimpleContext
from mellea.stdlib.streaming import (
    ChunkEvent,
    CompletedEvent,
    ErrorEvent,
    FullValidationEvent,
    QuickCheckEvent,
    RetryEvent,
    StreamChunkingResult,
    StreamEvent,
    StreamingDoneEvent,
    stream_with_chunking,
)

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio", "uvloop"], indirect=True),
]

TEXT = "One here. Two here. Three"
LETTERS = {
    QuickCheckEvent: "Q",
    ChunkEvent: "C",
    StreamingDoneEvent: "D",
    FullValidationEvent: "F",
    ErrorEvent: "E",
    CompletedEvent: "X",
}


class Fed(Backend):
    """Puts a text, letter by letter, on the queue of a thunk."""

    def __init__(self, *items: Any) -> None:
        self._model_id = "fed"
        self._provider = "test"
        self._items = items
        self.feeders: list[asyncio.Task[None]] = []
        self.options: Any = None

    async def _generate_from_context(
        self,
        action: Any,
        ctx: Context,
        *,
        format: Any = None,
        model_options: Any = None,
        tool_calls: bool = False,
    ) -> tuple[ModelOutputThunk[Any], Context]:
        self.options = model_options
        thunk: Any = ModelOutputThunk(None)
        thunk._call.action = action
        thunk._gen.generate_type = GenerateType.ASYNC
        thunk._gen.process = _add
        thunk._gen.post_process = _end
        thunk._gen.generate = asyncio.create_task(self._feed(thunk._gen.queue))
        self.feeders.append(thunk._gen.generate)
        return thunk, ctx.add(action).add(thunk)

    async def _feed(self, queue: asyncio.Queue[Any]) -> None:
        for item in self._items:
            for each in item if isinstance(item, str) else [item]:
                await queue.put(each)
                await asyncio.sleep(0)
        await queue.put(None)


async def _add(thunk: Any, item: str) -> None:
    thunk._underlying_value = (thunk._underlying_value or "") + item


async def _end(thunk: Any) -> None:
    thunk.generation.usage = {"total_tokens": 3}


class Looks(Requirement):
    """Looks at chunks as the test wants."""

    def __init__(self, at_chunk: Any = (), at_end: Any = True) -> None:
        super().__init__("looked at")
        self._at_chunk = dict(at_chunk)
        self._at_end = at_end
        self._seen = 0

    async def stream_validate(
        self, chunk: str, *, backend: Any, ctx: Any
    ) -> PartialValidationResult:
        said = self._at_chunk.get(self._seen, "unknown")
        self._seen += 1
        if isinstance(said, Exception):
            raise said
        return PartialValidationResult(said)

    async def validate(
        self, backend: Any, ctx: Any, *, format: Any = None, model_options: Any = None
    ) -> ValidationResult:
        if isinstance(self._at_end, Exception):
            raise self._at_end
        return ValidationResult(self._at_end)


async def run(
    *requirements: Requirement, items: Any = (TEXT,), **options: Any
) -> tuple[StreamChunkingResult, str, Fed]:
    """Return the result of a run that is over, and its events as letters."""
    backend = Fed(*items)
    result = await stream_with_chunking(
        CBlock("go"), backend, SimpleContext(), requirements=[*requirements], **options
    )
    events = [event async for event in result.events()]
    assert isinstance(events[-1], CompletedEvent)
    assert events[-1].full_text == result.full_text
    assert all(isinstance(event, StreamEvent) and event.timestamp for event in events)
    return result, "".join(LETTERS[type(event)] for event in events), backend


@pytest.mark.parametrize(
    ("requirement", "events", "completed", "text"),
    [
        pytest.param(None, "CCCDX", True, TEXT, id="nothing to validate"),
        pytest.param(Looks(), "QCQCQCDFX", True, TEXT, id="all is well"),
        pytest.param(Looks(at_end=False), "QCQCQCDFX", True, TEXT, id="the whole is not"),
        pytest.param(Looks({0: "fail"}), "QX", False, "", id="the first chunk is not"),
        pytest.param(Looks({1: "fail"}), "QCQX", False, "One here.", id="a chunk is not"),
        pytest.param(
            Looks({2: "fail"}), "QCQCQX", False, "One here. Two here.", id="the last is not"
        ),
    ],
)
async def test_what_happens_in_which_order(
    requirement: Any, events: str, completed: bool, text: str
) -> None:
    result, told, backend = await run(*([requirement] if requirement else []))
    await result.acomplete()
    assert told == events
    assert (result.completed, result.full_text) == (completed, text)
    assert len(result.streaming_failures) == (not completed)
    thunk = result.as_thunk
    assert (thunk.is_computed(), thunk.value, thunk.parsed_repr) == (True, text, text)
    assert thunk.cancelled == (told in {"QX", "QCQX"})
    if completed:
        assert thunk.generation.usage == {"total_tokens": 3}
    assert [chunk async for chunk in result.astream()] == text.replace(". ", ".|").split("|")[
        : told.count("C")
    ]
    assert all(each.done() for each in backend.feeders)


@pytest.mark.parametrize(
    ("requirement", "items", "events"),
    [
        pytest.param(Looks({1: ValueError("no")}), [TEXT], "QCEX", id="validating a chunk"),
        pytest.param(Looks(at_end=ValueError("no")), [TEXT], "QCQCQCDEX", id="validating it all"),
        pytest.param(Looks(), ["One. T", ValueError("no")], "QCEX", id="the server"),
    ],
)
async def test_an_error_is_told_and_raised_once(requirement: Any, items: Any, events: str) -> None:
    result, told, _ = await run(requirement, items=items)
    assert told == events
    assert not result.completed
    with pytest.raises(ValueError, match="no"):
        await result.acomplete()
    await result.acomplete()
    assert [chunk async for chunk in result.astream()]


async def test_both_readers_go_side_by_side() -> None:
    result = await stream_with_chunking(
        CBlock("go"), Fed(TEXT), SimpleContext(), requirements=[Looks()], chunking="word"
    )

    async def chunks() -> list[str]:
        return [chunk async for chunk in result.astream()]

    async def events() -> list[str]:
        return [each.text async for each in result.events() if isinstance(each, ChunkEvent)]

    one, two, _ = await asyncio.gather(chunks(), events(), result.acomplete())
    assert one == two == TEXT.split()


async def test_streaming_is_asked_for() -> None:
    _, _, backend = await run()
    assert backend.options["@@@stream@@@"] is True


async def test_the_chunkers_of_the_documents_are_strategies() -> None:
    text = "A b. C d.\n\nE"
    for chunker, chunks, rest in [
        (SentenceChunker(), ["A b.", "C d."], ["E"]),
        (WordChunker(), ["A", "b.", "C", "d."], ["E"]),
        (ParagraphChunker(), ["A b. C d."], ["E"]),
    ]:
        assert isinstance(chunker, ChunkingStrategy)
        assert (chunker.split(text), chunker.flush(text)) == (chunks, rest)


class Lines(ChunkingStrategy):
    """Cuts at the ends of lines."""

    def split(self, accumulated_text: str) -> list[str]:
        return accumulated_text.split("\n")[:-1]

    def flush(self, accumulated_text: str) -> list[str]:
        return [rest] if (rest := accumulated_text.split("\n")[-1]) else []


async def test_a_strategy_of_ones_own_cuts() -> None:
    result, told, _ = await run(items=["a\nb", "\nc"], chunking=Lines())
    assert told == "CCCDX"
    assert [chunk async for chunk in result.astream()] == ["a", "b", "c"]


async def test_what_cannot_be_streamed_is_refused() -> None:
    class Computed(Fed):
        async def _generate_from_context(self, action: Any, ctx: Any, **_: Any) -> Any:
            thunk: Any = ModelOutputThunk("already")
            return thunk, ctx.add(action).add(thunk)

    with pytest.raises(RuntimeError, match="computed"):
        await stream_with_chunking(CBlock("go"), Computed(), SimpleContext())
    with pytest.raises(ValueError, match="'sentence'"):
        await stream_with_chunking(CBlock("go"), Fed(), SimpleContext(), chunking="letter")


async def test_an_event_of_another_attempt_has_its_number() -> None:
    event = RetryEvent(attempt=2, reason="too long")
    assert isinstance(event, StreamEvent)
    assert (event.attempt, event.reason) == (2, "too long")

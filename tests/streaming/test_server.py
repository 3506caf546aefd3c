"""Streaming validation against the simulated server: what fails is stopped where it costs."""

from typing import Any

import anyio
import pytest

import motet
from motet import OllamaModelBackend, Requirement, SimpleContext
from motet._programs.streaming.chunked import stream_with_chunking
from motet._programs.streaming.events import (
    ChunkEvent,
    CompletedEvent,
    FullValidationEvent,
    QuickCheckEvent,
    StreamingDoneEvent,
)
from motet._programs.streaming.streamer import stream
from motet.testing.server import Drop, ModelServer, Reply, Stall, open_server

pytestmark = pytest.mark.anyio

TWO = "Water rises as vapour. It falls as rain."
FIVE = "One is here. Two is here. Three is here. Four is here. Five is here."


def backend(server: ModelServer) -> OllamaModelBackend:
    return OllamaModelBackend(base_url=server.url)


async def idle(server: ModelServer) -> None:
    with anyio.fail_after(10):
        while server.serving:
            await anyio.lowlevel.checkpoint()


class MaxSentences(Requirement):
    """Fails if there are more than *limit* sentences."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._count = 0

    def format_for_llm(self) -> str:
        return f"The response must be at most {self._limit} sentences."

    async def stream_validate(
        self, chunk: str, *, backend: Any, ctx: Any
    ) -> motet.PartialValidationResult:
        self._count += 1
        if self._count > self._limit:
            return motet.PartialValidationResult("fail", reason="Too many sentences")
        return motet.PartialValidationResult("unknown")

    async def validate(
        self, backend: Any, ctx: Any, *, format: Any = None, model_options: Any = None
    ) -> motet.ValidationResult:
        return motet.ValidationResult(result=True)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            TWO,
            [
                "chunk[0]: 'Water rises as vapour.'",
                "chunk[1]: 'It falls as rain.'",
                f"stream done — {len(TWO)} chars",
                "final: pass",
                "completed — success=True",
                "completed=True, failures=0",
            ],
        ),
        (
            FIVE,
            [
                "chunk[0]: 'One is here.'",
                "chunk[1]: 'Two is here.'",
                "chunk[2]: 'Three is here.'",
                (
                    "FAIL at chunk 3: [PartialValidationResult('fail', "
                    "reason='Too many sentences', score=None)]"
                ),
                "completed — success=False",
                "completed=False, failures=1",
            ],
        ),
    ],
    ids=["two sentences", "five"],
)
async def test_the_documented_programs_say_what_happens(text: str, lines: list[str]) -> None:
    said: list[str] = []
    async with open_server() as server:
        server.script([Reply(text), Reply(text)])
        async with motet.open_session(backend(server)) as m:
            requirement = MaxSentences(limit=3)
            action = motet.Instruction("Write a two-sentence summary of the water cycle.")
            result = await stream_with_chunking(
                action, m.backend, m.ctx, requirements=[requirement], chunking="sentence"
            )
            async for event in result.events():
                match event:
                    case ChunkEvent():
                        said.append(f"chunk[{event.chunk_index}]: {event.text!r}")
                    case QuickCheckEvent(passed=False):
                        said.append(f"FAIL at chunk {event.chunk_index}: {event.results}")
                    case StreamingDoneEvent():
                        said.append(f"stream done — {len(event.full_text)} chars")
                    case FullValidationEvent():
                        said.append(f"final: {'pass' if event.passed else 'fail'}")
                    case CompletedEvent():
                        said.append(f"completed — success={event.success}")
                    case _:
                        pass
            await result.acomplete()
            said.append(f"completed={result.completed}, failures={len(result.streaming_failures)}")
            assert said == lines

            result = await stream_with_chunking(
                action, m.backend, m.ctx, requirements=[requirement], chunking="sentence"
            )
            chunks = [chunk async for chunk in result.astream()]
            await result.acomplete()
            assert [f"chunk[{n}]: {chunk!r}" for n, chunk in enumerate(chunks)] == [
                line for line in lines if line.startswith("chunk")
            ]
            assert m.ctx.as_list() == []
        await idle(server)


async def test_a_chunk_that_fails_hangs_up_on_the_server() -> None:
    async with open_server() as server:
        server.script([Stall(2), Stall(2)])
        fails = MaxSentences(limit=0)  # it counts words as well as sentences
        result = await stream_with_chunking(
            motet.CBlock("go"),
            backend(server),
            SimpleContext(),
            requirements=[fails],
            chunking="word",
        )
        await result.acomplete()
        assert not result.completed
        assert result.as_thunk.cancelled
        await idle(server)

        chunks = await stream(
            motet.CBlock("go"),
            backend(server),
            SimpleContext(),
            requirements=[fails],
            chunking="word",
        )
        assert [chunk async for chunk in chunks] == []
        assert chunks.failed_early
        await idle(server)


async def test_leaving_the_block_hangs_up_on_the_server() -> None:
    async with open_server() as server:
        server.script([Stall(3), Stall(3)])
        async with await stream_with_chunking(
            motet.CBlock("go"), backend(server), SimpleContext(), chunking="word"
        ) as result:
            assert await anext(result.astream())
        await idle(server)
        async with await stream(motet.CBlock("go"), backend(server), SimpleContext()) as chunks:
            assert await anext(chunks)
        await idle(server)


async def test_an_error_of_the_server_is_raised_with_what_had_arrived() -> None:
    async with open_server() as server:
        server.script([Drop(3)])
        result = await stream_with_chunking(
            motet.CBlock("go"), backend(server), SimpleContext(), chunking="word"
        )
        with pytest.raises(motet.BackendError) as caught:
            await result.acomplete()
        assert caught.value.partial.startswith(result.full_text)
        assert not result.completed

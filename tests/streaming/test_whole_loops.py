"""Runs in event loops of their own: ended with them, cancelled everywhere, cut anywhere."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motet import CBlock, SimpleContext
from motet._programs.streaming.chunked import StreamChunkingResult, stream_with_chunking
from motet._programs.streaming.events import CompletedEvent, StreamEvent
from motet._programs.streaming.repair import GoOn, StartOver, StreamRepair
from motet._programs.streaming.streamer import stream
from motet.testing import ScriptedBackend, ScriptedStep
from motet.testing.sweep import cancel_everywhere
from streaming.validators import Scripted
from virtual_time import VIRTUAL_LOOPS

Loop = Callable[[], tuple[str, dict[str, Any]]]

GO: Final = CBlock("go")
STEPS: Final[Sequence[ScriptedStep]] = ["One. ", 1.0, "Two. Three"]


@pytest.fixture(params=VIRTUAL_LOOPS)
def loop(request: pytest.FixtureRequest) -> Loop:
    factory: Loop = VIRTUAL_LOOPS[request.param]
    return factory


def run(loop: Loop, main: Callable[[], Awaitable[None]]) -> None:
    name, options = loop()
    anyio.run(main, backend=name, backend_options=options)


def slow() -> list[Scripted]:
    return [Scripted(seconds={"Two.": 1.0}), Scripted(name="s", seconds={"One.": 1.0})]


def test_a_run_ends_with_its_event_loop(loop: Loop) -> None:
    kept: list[Any] = []

    async def main() -> None:
        backend = ScriptedBackend([["One. ", 3600.0, "Two. "]])
        result = await stream_with_chunking(GO, backend, SimpleContext())
        kept.extend([backend, result, result.events()])
        await anext(kept[2])

    run(loop, main)
    backend, result, _ = kept
    assert backend.open_replies == 0
    assert not result.completed
    assert result.full_text == "One."


# Cancelled anywhere.


def sweep(
    loop: Loop,
    scenario: Callable[[ScriptedBackend], Awaitable[object]],
    patience: float = 0.0,
    steps: Sequence[ScriptedStep] = STEPS,
) -> None:
    backends: list[ScriptedBackend] = []

    async def begin() -> None:
        backends.append(ScriptedBackend([steps]))
        await scenario(backends[-1])

    async def nothing_runs() -> None:
        assert backends[-1].open_replies == 0

    report = cancel_everywhere(begin, loop=loop, patience=patience, after=nothing_runs)
    assert report.checkpoints


async def last_is_terminal(result: StreamChunkingResult) -> None:
    events = [event async for event in result.events()]
    assert [isinstance(event, CompletedEvent) for event in events] == [
        *(False for _ in events[1:]),
        True,
    ]


@pytest.mark.parametrize("fails", [False, True])
def test_a_block_around_a_result_cancelled_everywhere(loop: Loop, fails: bool) -> None:
    async def scenario(backend: ScriptedBackend) -> None:
        requirements = [*slow(), Scripted({"Three": "fail"} if fails else {}, name="t")]
        result = await stream_with_chunking(GO, backend, SimpleContext(), requirements=requirements)
        try:
            async with result:
                async for _ in result.astream():
                    pass
                await result.acomplete()
        finally:
            assert not result._job.live
            with anyio.CancelScope(shield=True):
                await last_is_terminal(result)

    sweep(loop, scenario)


def test_a_result_without_a_block_cancelled_everywhere(loop: Loop) -> None:
    async def scenario(backend: ScriptedBackend) -> None:
        result = await stream_with_chunking(GO, backend, SimpleContext(), requirements=slow())
        async for _ in result.events():
            pass
        await result.acomplete()

    # Cancelled at its first checkpoint it has not been looked at, and goes on to its end.
    sweep(loop, scenario, patience=10.0)


def test_a_validator_that_raises_cancelled_everywhere(loop: Loop) -> None:
    async def scenario(backend: ScriptedBackend) -> None:
        requirements = [*slow(), Scripted({"Two.": ValueError("no")}, name="t")]
        async with await stream_with_chunking(
            GO, backend, SimpleContext(), requirements=requirements
        ) as result:
            with pytest.raises(ValueError, match="no"):
                await result.acomplete()

    sweep(loop, scenario)


def test_a_streamer_cancelled_everywhere(loop: Loop) -> None:
    async def scenario(backend: ScriptedBackend) -> None:
        async with await stream(
            GO, backend, SimpleContext(), chunking="sentence", requirements=slow()
        ) as chunks:
            async for _ in chunks:
                pass

    sweep(loop, scenario)


def test_a_streamer_without_a_block_cancelled_everywhere(loop: Loop) -> None:
    async def scenario(backend: ScriptedBackend) -> None:
        chunks = await stream(
            GO, backend, SimpleContext(), chunking="sentence", requirements=slow()
        )
        async for _ in chunks:
            pass

    sweep(loop, scenario, patience=10.0)


@pytest.mark.parametrize("repair", [StartOver(), GoOn()])
def test_a_repair_cancelled_everywhere(loop: Loop, repair: StreamRepair) -> None:
    async def scenario(backend: ScriptedBackend) -> None:
        backend.script([["Two. ", 1.0, "Three. "]])
        requirements = [*slow(), Scripted({"Bad.": "fail"}, name="t")]
        result = await stream_with_chunking(
            GO,
            backend,
            SimpleContext(),
            requirements=requirements,
            attempts=2,
            repair=repair,
        )
        try:
            async with result:
                async for _ in result.astream():
                    pass
                await result.acomplete()
        finally:
            with anyio.CancelScope(shield=True):
                await last_is_terminal(result)

    sweep(loop, scenario, steps=["One. ", 1.0, "Bad. ", 1.0, "Never. "])


def test_a_repair_of_a_streamer_cancelled_everywhere(loop: Loop) -> None:
    async def scenario(backend: ScriptedBackend) -> None:
        backend.script([["Two. ", 1.0, "Three. "]])
        async with await stream(
            GO,
            backend,
            SimpleContext(),
            chunking="sentence",
            requirements=[*slow(), Scripted({"Bad.": "fail"}, name="t")],
            attempts=2,
        ) as chunks:
            async for _ in chunks:
                pass

    sweep(loop, scenario, steps=["One. ", 1.0, "Bad. ", 1.0, "Never. "])


# Cut anywhere, by hypothesis: both forms, the same text.

deltas: Final = st.lists(st.text(alphabet=' .!?"\nab', max_size=5), max_size=8)


@pytest.mark.parametrize("library", VIRTUAL_LOOPS)
@pytest.mark.parametrize("chunking", ["sentence", "word", "paragraph"])
@given(deltas)
def test_chunks_do_not_depend_on_how_the_text_arrives(
    library: str, chunking: str, deltas: list[str]
) -> None:
    text = "".join(deltas)

    async def main() -> None:
        pieces: list[ScriptedStep] = [*deltas, 1.0, *reversed(deltas)]
        whole = text + "".join(reversed(deltas))
        results = []
        for steps in (pieces, [whole]):
            result = await stream_with_chunking(
                GO,
                ScriptedBackend([steps]),
                SimpleContext(),
                requirements=[Scripted()],
                chunking=chunking,
            )
            events: list[StreamEvent] = [event async for event in result.events()]
            chunks = [chunk async for chunk in result.astream()]
            results.append((events, chunks))
            assert events[-1] == CompletedEvent(True, whole, 1)
        assert results[0] == results[1]

    run(VIRTUAL_LOOPS[library], main)

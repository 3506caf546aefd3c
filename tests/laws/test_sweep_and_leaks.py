"""The tools that the laws are tried with: they catch what is planted, and name it."""

import contextlib
import itertools
import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from motet._runtime.host import current_host
from motet.testing.leaks import Leak, LeakError, no_leaks
from motet.testing.sweep import Report, SweepFailed, Way, cancel_everywhere
from virtual_time import VIRTUAL_LOOPS

Loop = Callable[[], tuple[str, dict[str, Any]]]


@pytest.fixture(params=VIRTUAL_LOOPS)
def loop(request: pytest.FixtureRequest) -> Loop:
    factory: Loop = VIRTUAL_LOOPS[request.param]
    return factory


def problems(report: Report) -> str:
    return "\n".join(problem for finding in report.findings for problem in finding.problems)


def test_a_clean_scenario_is_cancelled_once_at_every_checkpoint(loop: Loop) -> None:
    ended: list[str] = []

    async def scenario() -> None:
        reached = "nothing"
        try:
            await anyio.sleep(1)
            reached = "the first"
            await anyio.sleep(1)
            reached = "all"
        finally:
            ended.append(reached)

    report = cancel_everywhere(scenario, loop=loop, ways=[Way.SCOPE])
    assert report.runs == len(report.checkpoints) + 1
    assert sorted(set(ended), key=ended.index) == ["nothing", "the first", "all"]
    assert "nothing left" in str(report)


def test_an_asyncio_scenario_is_cancelled_in_three_ways() -> None:
    async def scenario() -> None:
        await anyio.sleep(1)

    report = cancel_everywhere(scenario, loop=VIRTUAL_LOOPS["virtual-asyncio"])
    assert report.runs == 3 * (len(report.checkpoints) + 1)


def test_the_report_names_the_checkpoint_and_what_was_left(loop: Loop) -> None:
    made: list[Any] = []

    async def scenario() -> None:
        send, receive = anyio.create_memory_object_stream[int](1)
        made.extend((send, receive))
        await anyio.sleep(1)  # cancelled here, nobody closes them
        send.close()
        receive.close()

    with pytest.raises(SweepFailed) as caught:
        cancel_everywhere(scenario, loop=loop, ways=[Way.SCOPE])
    for stream in made:
        stream.close()
    finding = caught.value.report.findings[0]
    line = scenario.__code__.co_firstlineno + 3
    assert finding.checkpoint is not None
    assert finding.checkpoint.where == f"{__file__}:{line} (scenario)"
    assert "stream MemoryObjectSendStream" in problems(caught.value.report)
    assert "stream MemoryObjectReceiveStream" in problems(caught.value.report)


def test_a_leaked_task_is_caught(loop: Loop) -> None:
    async def forgotten() -> None:
        await anyio.sleep(3)

    async def scenario() -> None:
        current_host().spawn(forgotten, name="forgotten", on_end=lambda: None)
        await anyio.sleep(1)

    with pytest.raises(SweepFailed, match="task 'forgotten'"):
        cancel_everywhere(scenario, loop=loop)
    cancel_everywhere(scenario, loop=loop, patience=3.5)  # they have ended by then


def test_a_swallowed_cancellation_is_caught(loop: Loop) -> None:
    async def scenario() -> None:
        with contextlib.suppress(BaseException):
            await anyio.sleep(1)

    with pytest.raises(SweepFailed) as caught:
        cancel_everywhere(scenario, loop=loop)
    assert "swallowed" in problems(caught.value.report)


def test_an_error_in_the_clean_up_is_caught(loop: Loop) -> None:
    async def scenario() -> None:
        lock = anyio.Lock()
        try:
            await anyio.sleep(1)
            await lock.acquire()
        finally:
            lock.release()

    with pytest.raises(SweepFailed, match="it raised RuntimeError"):
        cancel_everywhere(scenario, loop=loop)


def test_an_async_generator_that_is_not_closed_is_caught(loop: Loop) -> None:
    async def numbers() -> Any:
        for number in range(3):
            yield number

    kept: list[Any] = []

    async def scenario() -> None:
        kept.append(numbers())
        async for _ in kept[-1]:
            await anyio.sleep(1)
        await kept.pop().aclose()

    with pytest.raises(SweepFailed, match=r"async generator .*numbers"):
        cancel_everywhere(scenario, loop=loop)


def test_a_check_of_the_callers_runs_after_every_run(loop: Loop) -> None:
    held: list[int] = []

    async def scenario() -> None:
        held.append(1)
        await anyio.sleep(1)
        held.pop()

    async def nothing_is_held() -> None:
        await anyio.lowlevel.checkpoint()
        left, held[:] = held[:], []
        assert not left, "a lock was never released"

    with pytest.raises(SweepFailed, match="never released"):
        cancel_everywhere(scenario, loop=loop, after=nothing_is_held)


def test_text_that_a_native_cancellation_swallows_is_caught() -> None:
    """The bug that anyio's streams have: an item under way is lost with its receiver."""
    sent: list[int] = []
    got: list[int] = []

    async def scenario() -> None:
        sent.clear()
        got.clear()
        send, receive = anyio.create_memory_object_stream[int](1)

        async def produce() -> None:
            await anyio.sleep(1)
            sent.append(1)
            await send.send(1)

        with send, receive:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(produce)
                got.append(await receive.receive())

    async def nothing_is_lost() -> None:
        await anyio.lowlevel.checkpoint()
        assert sent == got

    loop = VIRTUAL_LOOPS["virtual-asyncio"]
    cancel_everywhere(scenario, loop=loop, after=nothing_is_lost, ways=[Way.SCOPE, Way.NATIVE])
    with pytest.raises(SweepFailed, match="at the end of the wait"):
        cancel_everywhere(scenario, loop=loop, after=nothing_is_lost, ways=[Way.NATIVE_LATE])


def test_a_scenario_without_an_end_is_given_up(loop: Loop) -> None:
    async def scenario() -> None:
        for second in itertools.count():
            await anyio.sleep(second)

    with pytest.raises(RuntimeError, match="20 times"):
        cancel_everywhere(scenario, loop=loop, limit=20)


@pytest.mark.anyio
async def test_a_block_that_leaves_nothing_passes() -> None:
    with no_leaks():
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.lowlevel.checkpoint)
        send, receive = anyio.create_memory_object_stream[int](1)
        send.close()
        receive.close()


@pytest.mark.anyio
async def test_a_task_that_outlives_a_block_is_named_with_where_it_waits() -> None:
    async def outlive() -> None:
        await anyio.sleep(60)

    async with anyio.create_task_group() as tasks:
        with pytest.raises(LeakError) as caught, no_leaks():
            tasks.start_soon(outlive, name="outlive")
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    (leak,) = caught.value.leaks
    assert (leak.kind, leak.name) == ("task", "'outlive'")
    assert "which waits in" in leak.where


def test_a_thread_that_outlives_a_block_is_named() -> None:
    go = threading.Event()
    thread = threading.Thread(target=go.wait, name="left over")
    with pytest.raises(LeakError) as caught, no_leaks():
        thread.start()
    go.set()
    thread.join()
    (leak,) = caught.value.leaks
    assert (leak.kind, leak.name) == ("thread", "'left over'")


def test_a_probe_tells_of_what_the_census_does_not_know() -> None:
    connections = [Leak("connection", "1")]
    with pytest.raises(LeakError, match="connection 2"), no_leaks(probes=[lambda: connections]):
        connections.append(Leak("connection", "2"))


def test_the_error_of_a_block_is_better_news_than_its_leaks() -> None:
    send, receive = anyio.create_memory_object_stream[int](1)
    with pytest.raises(ZeroDivisionError), no_leaks():
        send.clone().close()
        raise ZeroDivisionError
    send.close()
    receive.close()

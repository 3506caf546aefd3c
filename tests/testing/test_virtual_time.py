"""The clocks that other tests rely on: they jump, in order, and only when nothing can run."""

import asyncio
import subprocess
import sys
import time
from typing import Any, Literal

import anyio
import pytest
from anyio import from_thread

import motet
from motet.testing import Reply, ScriptedBackend, open_server, run_on_virtual_time, virtual_loop
from motet.testing.virtual_asyncio import VirtualEventLoop
from virtual_time import on_virtual_time


def virtual(test: Any) -> Any:
    """Have a test run on both clocks."""
    return pytest.mark.anyio(on_virtual_time(test))


Loop = Literal["asyncio", "trio"]
both_loops = pytest.mark.parametrize("loop", ["asyncio", "trio"])

HOUR = 3600  # seconds


@virtual
async def test_the_clock_begins_at_zero_in_every_test() -> None:
    assert anyio.current_time() == 0


@virtual
async def test_an_hour_of_sleep_moves_the_clock_by_an_hour() -> None:
    await anyio.sleep(HOUR)
    assert anyio.current_time() == HOUR


@virtual
async def test_a_sleep_may_be_longer_than_the_longest_wait_of_a_selector() -> None:
    await anyio.sleep(100 * 24 * HOUR)
    assert anyio.current_time() == 100 * 24 * HOUR


@virtual
async def test_timers_fire_in_order() -> None:
    fired: list[tuple[float, float]] = []

    async def sleep(seconds: float) -> None:
        await anyio.sleep(seconds)
        fired.append((seconds, anyio.current_time()))

    async with anyio.create_task_group() as task_group:
        for seconds in (30, 10, HOUR, 20):
            task_group.start_soon(sleep, seconds)

    assert fired == [(10, 10), (20, 20), (30, 30), (HOUR, HOUR)]


@virtual
async def test_the_clock_stands_still_while_a_task_can_run() -> None:
    with anyio.move_on_after(1) as scope:
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        assert anyio.current_time() == 0
    assert not scope.cancelled_caught


@virtual
async def test_a_deadline_cancels_at_its_time() -> None:
    with pytest.raises(TimeoutError):
        with anyio.fail_after(HOUR):
            await anyio.sleep(2 * HOUR)
    assert anyio.current_time() == HOUR


@virtual
async def test_a_deadline_that_is_moved_counts_from_where_it_was_moved_to() -> None:
    with anyio.move_on_after(10) as scope:
        await anyio.sleep(5)
        scope.deadline = anyio.current_time() + HOUR
        await anyio.sleep_forever()
    assert anyio.current_time() == 5 + HOUR


@virtual
async def test_waiting_for_ever_does_not_hold_up_a_deadline() -> None:
    async with anyio.create_task_group() as task_group:
        task_group.start_soon(anyio.sleep_forever)
        await anyio.sleep(HOUR)
        task_group.cancel_scope.cancel()
    assert anyio.current_time() == HOUR


@virtual
async def test_without_a_deadline_news_from_a_thread_is_waited_for() -> None:
    heard = anyio.Event()

    def tell() -> None:
        from_thread.run_sync(heard.set)

    async with anyio.create_task_group() as task_group:
        task_group.start_soon(anyio.to_thread.run_sync, tell)
        task_group.start_soon(anyio.sleep_forever)
        await heard.wait()
        task_group.cancel_scope.cancel()
    assert anyio.current_time() == 0


@virtual
async def test_a_limit_around_a_thread_passes_at_once() -> None:
    """What the clocks cannot know, and *patience* is for."""
    began = anyio.current_time()
    with anyio.move_on_after(HOUR) as scope:
        await anyio.to_thread.run_sync(_work)
    assert scope.cancelled_caught is False, "a thread is waited for in any case"
    assert anyio.current_time() == began + HOUR


def _work() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)


# The runner.


@both_loops
def test_a_function_runs_and_its_result_is_returned(loop: Loop) -> None:
    async def sleep(hours: int, name: str) -> tuple[str, float]:
        await anyio.sleep(hours * HOUR)
        return name, anyio.current_time()

    began = time.monotonic()
    assert run_on_virtual_time(sleep, 24, "a day", backend=loop) == ("a day", 24 * HOUR)
    assert time.monotonic() - began < HOUR


@both_loops
def test_an_error_comes_out_as_it_is(loop: Loop) -> None:
    async def fail() -> None:
        await anyio.sleep(HOUR)
        raise LookupError

    with pytest.raises(LookupError):
        run_on_virtual_time(fail, backend=loop)


@both_loops
def test_an_hour_of_replies_passes(loop: Loop) -> None:
    async def wait() -> float:
        backend = ScriptedBackend(lambda _: [HOUR / 60, "x"] * 60)
        options = {motet.ModelOption.STREAM_TIMEOUT: HOUR}
        async with motet.open_session(backend) as m:
            assert len(await (await m.ainstruct("go", model_options=options))) == 60
        return anyio.current_time()

    assert run_on_virtual_time(wait, backend=loop) == HOUR


@both_loops
def test_a_server_on_the_same_loop_keeps_exact_time(loop: Loop) -> None:
    async def wait() -> set[float]:
        async with (
            open_server(time_to_first_token=50, tokens_per_second=0.5) as server,
            motet.open_session(base_url=server.url) as m,
        ):
            server.script([Reply(["a", "b", "c"])], repeat=True)
            thunks = [await m.ainstruct("go") for _ in range(5)]
            await motet.wait_for_all_mots(thunks)
            assert anyio.current_time() == 50 + 2 * 2
            return {thunk.generation.ttfb_ms or 0 for thunk in thunks}

    assert run_on_virtual_time(wait, backend=loop) == {50_000}


@both_loops
def test_with_patience_news_from_a_thread_are_waited_for(loop: Loop) -> None:
    async def wait() -> float:
        with anyio.fail_after(HOUR):
            await anyio.to_thread.run_sync(_work)
        return anyio.current_time()

    assert run_on_virtual_time(wait, backend=loop, patience=30) == 0


@both_loops
def test_patience_does_not_hold_up_the_clock_for_good(loop: Loop) -> None:
    async def wait() -> float:
        await anyio.sleep(HOUR)
        return anyio.current_time()

    assert run_on_virtual_time(wait, backend=loop, patience=0.001) == HOUR


def test_a_thread_that_is_at_work_when_the_loop_ends_is_waited_for() -> None:
    done: list[str] = []

    def work() -> None:
        _work()
        done.append("all")

    async def leave_it() -> None:
        asyncio.get_running_loop().run_in_executor(None, work)

    with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
        runner.run(leave_it())
    assert done == ["all"]


def test_asyncio_programs_can_use_the_loop_alone() -> None:
    async def wait() -> float:
        async with asyncio.timeout(2 * HOUR):
            await asyncio.sleep(HOUR)
        return asyncio.get_running_loop().time()

    with asyncio.Runner(loop_factory=VirtualEventLoop) as runner:
        assert runner.run(wait()) == HOUR


def test_there_is_no_virtual_clock_for_others() -> None:
    with pytest.raises(ValueError, match="uvloop"):
        virtual_loop("uvloop")


def test_the_kit_loads_neither_loop_before_it_is_wanted() -> None:
    probe = """if True:
        import sys
        from motet.testing import virtual_loop
        assert "trio" not in sys.modules
        virtual_loop("trio")
        assert "trio" in sys.modules
        assert "motet.testing.virtual_asyncio" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", probe], check=True)

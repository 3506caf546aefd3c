"""The clocks that other tests rely on: they jump, in order, and only when nothing can run."""

import anyio
import pytest
from anyio import from_thread

from virtual_time import on_virtual_time

pytestmark = [pytest.mark.anyio, on_virtual_time]

HOUR = 3600  # seconds


async def test_the_clock_begins_at_zero_in_every_test() -> None:
    assert anyio.current_time() == 0


async def test_an_hour_of_sleep_moves_the_clock_by_an_hour() -> None:
    await anyio.sleep(HOUR)
    assert anyio.current_time() == HOUR


async def test_a_sleep_may_be_longer_than_the_longest_wait_of_a_selector() -> None:
    await anyio.sleep(100 * 24 * HOUR)
    assert anyio.current_time() == 100 * 24 * HOUR


async def test_timers_fire_in_order() -> None:
    fired: list[tuple[float, float]] = []

    async def sleep(seconds: float) -> None:
        await anyio.sleep(seconds)
        fired.append((seconds, anyio.current_time()))

    async with anyio.create_task_group() as task_group:
        for seconds in (30, 10, HOUR, 20):
            task_group.start_soon(sleep, seconds)

    assert fired == [(10, 10), (20, 20), (30, 30), (HOUR, HOUR)]


async def test_the_clock_stands_still_while_a_task_can_run() -> None:
    with anyio.move_on_after(1) as scope:
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        assert anyio.current_time() == 0
    assert not scope.cancelled_caught


async def test_a_deadline_cancels_at_its_time() -> None:
    with pytest.raises(TimeoutError):
        with anyio.fail_after(HOUR):
            await anyio.sleep(2 * HOUR)
    assert anyio.current_time() == HOUR


async def test_a_deadline_that_is_moved_counts_from_where_it_was_moved_to() -> None:
    with anyio.move_on_after(10) as scope:
        await anyio.sleep(5)
        scope.deadline = anyio.current_time() + HOUR
        await anyio.sleep_forever()
    assert anyio.current_time() == 5 + HOUR


async def test_waiting_for_ever_does_not_hold_up_a_deadline() -> None:
    async with anyio.create_task_group() as task_group:
        task_group.start_soon(anyio.sleep_forever)
        await anyio.sleep(HOUR)
        task_group.cancel_scope.cancel()
    assert anyio.current_time() == HOUR


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

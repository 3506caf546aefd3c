"""Ctrl-C at the worst moment: neither an interest nor a sleep is torn apart.

Each test presses it from within the code that must stay whole. `test_processes.py` does it
to whole programs, at whatever moment.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from motet._runtime.bell import Bell
from motet._runtime.host import current_host
from motet._thunk.generation import Generation
from motet._thunk.thunk import ModelOutputThunk
from thunk.by_hand import scripted
from thunk.ways import Thunk, by_async_for, by_loop


def press_ctrl_c() -> None:
    signal.raise_signal(signal.SIGINT)


def test_code_that_is_not_marked_is_interrupted_where_it_is() -> None:
    passed = False

    async def main() -> None:
        nonlocal passed
        press_ctrl_c()
        passed = True

    with pytest.raises(KeyboardInterrupt):
        trio.run(main)
    assert not passed


@pytest.mark.parametrize("consume", [ModelOutputThunk.avalue, by_loop, by_async_for])
def test_an_interrupted_consumer_takes_its_interest_back(
    consume: Callable[[Thunk], Awaitable[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    gain = Generation.gain_interest

    def gain_and_be_interrupted(generation: Generation) -> None:
        gain(generation)
        press_ctrl_c()

    async def main() -> None:
        stopped: list[float] = []
        thunk = scripted(60.0, linger=0.0, stopped=stopped)
        await trio.testing.wait_all_tasks_blocked()
        monkeypatch.setattr(Generation, "gain_interest", gain_and_be_interrupted)
        with pytest.raises(KeyboardInterrupt):
            await consume(thunk)
        await trio.testing.wait_all_tasks_blocked()
        assert len(stopped) == 1  # nobody was left who wanted it

    trio.run(main)


def test_an_interrupted_sleep_is_over_and_its_bell_can_be_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        loop = current_host().loop
        bell = Bell(loop)

        class PutToSleep:
            """``trio.lowlevel``, where Ctrl-C comes before the task is asleep."""

            def __getattr__(self, name: str) -> Any:
                return getattr(trio.lowlevel, name)

            def wait_task_rescheduled(self, abort: Any) -> Any:
                sleep = trio.lowlevel.wait_task_rescheduled(abort)  # noqa: ASYNC105 - Bell does
                press_ctrl_c()
                return sleep  # never awaited, if it is not brought back

        monkeypatch.setattr(loop, "_lowlevel", PutToSleep())
        with pytest.raises(KeyboardInterrupt):
            await bell.wait()
        bell.ring()  # wakes nobody

        monkeypatch.undo()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bell.wait)
            await trio.testing.wait_all_tasks_blocked()
            bell.ring()

    trio.run(main)


def test_a_sleep_that_is_cancelled_while_it_is_being_woken_up_harms_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class CancelledMeanwhile(asyncio.Future[None]):
        def done(self) -> bool:
            was = super().done()
            self.cancel()  # as asyncio's handler of Ctrl-C does
            return was

    async def main() -> None:
        bell = Bell(current_host().loop)
        monkeypatch.setattr(asyncio.get_running_loop(), "create_future", CancelledMeanwhile)
        sleeping = asyncio.create_task(bell.wait())
        await asyncio.sleep(0)
        monkeypatch.undo()
        bell.ring()
        await asyncio.wait([sleeping])
        assert sleeping.cancelled()

    asyncio.run(main())

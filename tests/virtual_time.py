"""
Event loops whose clock jumps: an hour's sleep takes no real time.

For tests of deadlines, silences and pauses, on asyncio and on Trio. A module or a
test selects them with one more mark:

    pytestmark = [pytest.mark.anyio, on_virtual_time]

Both clocks begin at 0 and stand still while any task can run. When none can, they
jump to the next deadline, so `anyio.current_time()` may be compared exactly as long
as the delays are whole numbers.

The clock does not know of threads or sockets at work: if a deadline is pending, it
jumps there without waiting for them. Tests with either run on the real loops.
`anyio.wait_all_tasks_blocked()` polls on asyncio and may move the clock by tenths of
a second.
"""

import asyncio
import math
import selectors
from collections.abc import Callable
from contextvars import Context
from typing import Final, TypeVarTuple

import pytest
from trio.testing import MockClock

Ts = TypeVarTuple("Ts")


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that counts a timeout instead of waiting for its end."""

    now: float = 0.0  # seconds

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # Without a deadline only a thread or a socket can bring news, so then it does wait.
        ready = super().select(None if timeout is None else 0)
        if not ready and timeout is not None:
            self.now += timeout
        return ready


class VirtualEventLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop with a clock that jumps when nothing can run."""

    def __init__(self) -> None:
        self._jumping_selector = _JumpingSelector()
        super().__init__(self._jumping_selector)

    def time(self) -> float:
        """Return the virtual time, in seconds since the loop was made."""
        return self._jumping_selector.now

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Schedule a callback as every loop does, but never for the end of time.

        asyncio wakes up once a day on behalf of a timer that is infinitely far, and so
        `sleep_forever()` would spin here instead of standing still.
        """
        if when == math.inf:
            return asyncio.TimerHandle(when, callback, args, self, context)
        return super().call_at(when, callback, *args, context=context)


# Functions, because a clock that was used once goes on from where it stopped.
VIRTUAL_LOOPS: Final[dict[str, Callable[[], tuple[str, dict[str, object]]]]] = {
    "virtual-asyncio": lambda: ("asyncio", {"loop_factory": VirtualEventLoop}),
    "virtual-trio": lambda: ("trio", {"clock": MockClock(autojump_threshold=0)}),
}

on_virtual_time: Final = pytest.mark.parametrize("anyio_backend", VIRTUAL_LOOPS, indirect=True)

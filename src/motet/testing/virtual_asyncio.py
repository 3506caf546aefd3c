"""An asyncio event loop whose clock jumps.

This module knows asyncio and nothing of Trio; `virtual_time` loads it when it is wanted.
"""

import asyncio
import math
import selectors
from collections.abc import Callable
from contextvars import Context
from typing import TypeVarTuple

Ts = TypeVarTuple("Ts")


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that counts a timeout instead of waiting for its end."""

    def __init__(self, patience: float) -> None:
        super().__init__()
        self.now = 0.0  # seconds
        self._patience = patience

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # Without a deadline only a thread or a socket can bring news, so then it does wait.
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(min(timeout, self._patience))
        if not ready:
            self.now += timeout
        return ready


class VirtualEventLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop with a clock that jumps when nothing can run.

    For ``asyncio.Runner(loop_factory=VirtualEventLoop)`` and whatever else takes a loop
    factory; see `motet.testing.virtual_loop` for what it promises.

    Args:
        patience: for how long it waits for news from threads and sockets before it jumps, in
            real seconds.
    """

    def __init__(self, *, patience: float = 0.0) -> None:
        self._jumping_selector = _JumpingSelector(patience)
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

    async def shutdown_default_executor(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - asyncio's signature
    ) -> None:
        """Wait for the threads of the loop's own executor, however long; they know no virtual time.

        asyncio gives them 300 seconds since Python 3.12, which here would be over at once.

        Args:
            timeout: in seconds; has no effect.
        """
        await super().shutdown_default_executor()

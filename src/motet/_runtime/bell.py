"""A bell for one sleeper.

What wakes a consumer never carries the thing that arrived, so a ring that is lost, as
in a native asyncio cancellation at the same moment, loses nothing.

It is a sleeper of the event loop's own for each sleep and not a memory object stream:
the stream makes a checkpoint before it waits, a whole pass of the event loop for every
token, and its two ends would have to be closed on every path.
"""

from contextlib import suppress

from .interrupts import in_one_piece
from .loops import AsyncioLoop, Sleeper, TrioLoop


class Bell:
    """Wakes the one task that waits for it.

    Args:
        loop: the event loop that both sides run on.
    """

    __slots__ = ("_closed", "_loop", "_sleeper")

    def __init__(self, loop: AsyncioLoop | TrioLoop) -> None:
        self._loop = loop
        self._closed = False
        self._sleeper: Sleeper | None = None

    def ring(self) -> None:
        """Wake the sleeper, if there is one. Never waits, never raises."""
        if self._sleeper is not None:
            sleeper, self._sleeper = self._sleeper, None
            with suppress(RuntimeError):  # its event loop was closed under it
                sleeper.wake()

    def close(self) -> None:
        """Wake the sleeper for good: no wait sleeps from now on."""
        self._closed = True
        self.ring()

    @in_one_piece
    async def wait(self) -> None:
        """Sleep until the next ring, or `close`."""
        if self._closed:
            return
        self._sleeper = self._loop.sleeper()
        try:
            await self._sleeper
        finally:
            self._sleeper = None

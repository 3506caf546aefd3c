"""A bell for one sleeper.

What travels through the memory object stream is only the ring, never the thing that
arrived: a native asyncio cancellation can swallow an item that is being handed over,
and a lost ring loses nothing.
"""

from contextlib import suppress

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream


class Bell:
    """Wakes the one task that waits for it.

    Its stream exists only from the first wait until `close` or an interrupted wait, so
    a sleeper that never comes back leaves no open stream behind.
    """

    __slots__ = ("_asleep", "_closed", "_doorstep", "_rope")

    def __init__(self) -> None:
        self._asleep = False
        self._closed = False
        self._rope: MemoryObjectSendStream[None] | None = None
        self._doorstep: MemoryObjectReceiveStream[None] | None = None

    def ring(self) -> None:
        """Wake the sleeper, if there is one. Never waits, never raises."""
        if self._asleep and self._rope is not None:
            self._asleep = False
            self._rope.send_nowait(None)

    def close(self) -> None:
        """Wake the sleeper for good: no wait sleeps from now on."""
        self._closed = True
        self._take_down()

    async def wait(self) -> None:
        """Sleep until the next ring, or `close`."""
        if self._closed:
            return
        if self._doorstep is None:
            self._rope, self._doorstep = anyio.create_memory_object_stream[None](1)
        self._asleep = True
        try:
            await self._doorstep.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError):
            pass
        except BaseException:
            # A ring that nobody heard may be left in it, and the next would not fit.
            self._take_down()
            raise
        finally:
            self._asleep = False

    def _take_down(self) -> None:
        # RuntimeError: the sleeper's event loop was closed under it; it cannot be woken.
        for end in (self._rope, self._doorstep):
            if end is not None:
                with suppress(RuntimeError):
                    end.close()
        self._rope = self._doorstep = None

"""A socket on asyncio, of whatever make.

anyio's own stream has the loop look out for one piece, then no more, and so on, which is
two system calls and as many visits to the selector for every token; here the loop goes on
reading until more waits than somebody should hold. And it reads into a buffer that is
there: asyncio's own would be new, and so large that the system has to map and unmap it,
which takes five times as long as the read.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

import anyio
import anyio.lowlevel
from anyio.abc import SocketAttribute

from .bell import Bell
from .loops import AsyncioLoop
from .sockets import READ_BYTES, UNIX, Socket, Take, is_readable

# A server that sends faster than its replies are read is held up from here on.
_MOST_WAITING: Final = 1024 * 1024  # bytes


class AsyncioSocket(Socket, asyncio.BufferedProtocol):
    """A socket on asyncio; the protocol of its transport as well.

    Args:
        loop: the event loop that it is used on.
    """

    def __init__(self, loop: AsyncioLoop) -> None:
        self._transport: Any = None
        # All sockets of the loop share it: it asks for it, reads and says so in one go.
        self._buffer = loop.read_buffer(READ_BYTES)
        self._take: Take | None = None
        self._arrived: deque[bytes] = deque()
        self._waiting = 0  # bytes
        self._is_held = False  # the transport does not read
        self._is_full = False  # the transport has more to send than the system takes
        self._ended = False  # nothing more will arrive
        self._lost: Exception | None = None  # what closed the transport
        self._closed = False  # by us
        self._news = Bell(loop)
        self._room = Bell(loop)

    @classmethod
    async def over(cls, raw: socket.socket, loop: AsyncioLoop) -> Self:
        """Return one over a socket that is connected, which is its own from then on."""
        native: Any = loop.native()
        is_unix = raw.family == UNIX
        create = native.create_unix_connection if is_unix else native.create_connection
        _, made = await create(lambda: cls(loop), sock=raw)
        return made  # type: ignore[no-any-return]

    # What the event loop calls.

    def connection_made(self, transport: Any) -> None:
        """Take the transport."""
        self._transport = transport
        # What was sent has been handed to the system when `send` returns.
        transport.set_write_buffer_limits(0)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where to put what has arrived."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what has arrived, or keep it."""
        data = bytes(self._buffer[:nbytes])
        if self._take is not None:
            if not self._take(data):
                self._take = None
                self._news.ring()
            return
        self._arrived.append(data)
        self._waiting += nbytes
        if self._waiting > _MOST_WAITING and not self._is_held:
            self._is_held = True
            self._transport.pause_reading()
        self._news.ring()

    def eof_received(self) -> bool:
        """Note that the other side sends no more; it may still be sent to."""
        self._ended = True
        self._news.ring()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the transport is closed."""
        self._ended = True
        self._lost = exc
        self._news.close()
        self._room.close()

    def pause_writing(self) -> None:
        """Have `send` wait."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Have it go on."""
        self._is_full = False
        self._room.ring()

    # What a stream does.

    async def receive(self, max_bytes: int = READ_BYTES) -> bytes:
        """Return what has arrived, waiting for it."""
        if self._arrived or self._ended:
            await anyio.lowlevel.checkpoint()
        while not self._arrived and not self._ended and not self._closed:
            await self._news.wait()
        if self._closed or not self._arrived:
            raise self._end()
        data = self._next()
        if len(data) > max_bytes:
            self._arrived.appendleft(data[max_bytes:])
            self._waiting += len(data) - max_bytes
            data = data[:max_bytes]
        return data

    async def pump(self, take: Take) -> None:
        """Hand on what arrives, as it arrives, until *take* returns false."""
        await anyio.lowlevel.checkpoint_if_cancelled()
        while self._arrived and not self._closed:
            if not take(self._next()):
                return
        self._take = take
        try:
            while self._take is not None and not self._ended and not self._closed:
                await self._news.wait()
            if self._take is not None:
                raise self._end()
        finally:
            self._take = None

    def _next(self) -> bytes:
        data = self._arrived.popleft()
        self._waiting -= len(data)
        if self._is_held and not self._arrived:
            self._is_held = False
            self._transport.resume_reading()
        return data

    def _end(self) -> Exception:
        """Return what there is to say instead of more."""
        if self._closed:
            return anyio.ClosedResourceError()
        if self._lost is None:
            return anyio.EndOfStream()
        broken = anyio.BrokenResourceError()
        broken.__cause__ = self._lost
        return broken

    async def send(self, item: bytes) -> None:
        """Send all of *item*."""
        await anyio.lowlevel.checkpoint_if_cancelled()
        if self._closed:
            raise anyio.ClosedResourceError
        if not self._transport.is_closing():
            self._transport.write(item)
            while self._is_full and not self._transport.is_closing():
                await self._room.wait()
        if self._transport.is_closing():
            raise anyio.BrokenResourceError from self._lost

    async def send_eof(self) -> None:
        """Send no more."""
        if not self._transport.is_closing():
            self._transport.write_eof()

    async def aclose(self) -> None:
        """Close it; what was not sent is not."""
        self._closed = True
        self._transport.abort()
        self._news.ring()
        await anyio.lowlevel.checkpoint()  # the event loop closes it meanwhile

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """The socket itself."""
        return {SocketAttribute.raw_socket: lambda: self._transport.get_extra_info("socket")}

    def has_news(self) -> bool:
        """Whether anything has arrived that was not received, the end included."""
        return (
            bool(self._arrived)
            or self._ended
            or is_readable(self._transport.get_extra_info("socket").fileno())
        )

"""A socket on Trio.

A read waits before it tries: what a reply is read for is never there yet. anyio's stream
tries first, which is a system call in vain for every token.
"""

import socket
from collections.abc import Callable, Mapping
from typing import Any

import anyio
import anyio.lowlevel
import trio
from anyio.abc import SocketAttribute

from .sockets import READ_BYTES, Socket, Take, is_readable


class TrioSocket(Socket):
    """A socket on Trio.

    Args:
        raw: what it is over: connected, not blocking, and its own from now on.
    """

    def __init__(self, raw: socket.socket) -> None:
        self._raw = raw

    async def receive(self, max_bytes: int = READ_BYTES) -> bytes:
        """Return what has arrived, waiting for it."""
        came: list[bytes] = []

        def take(data: bytes) -> bool:
            came.append(data)
            return False

        await self.pump(take, max_bytes)
        return came[0]

    async def pump(self, take: Take, most: int = READ_BYTES) -> None:
        """Hand on what arrives, *most* bytes at once, until *take* returns false."""
        # No coroutine stands between this and the wait: one would be made for every token.
        raw, wait_readable = self._raw, trio.lowlevel.wait_readable
        more = True
        while more:
            if raw.fileno() < 0:
                raise anyio.ClosedResourceError
            try:
                await wait_readable(raw)
                data = raw.recv(most)
            except BlockingIOError:
                continue
            except trio.ClosedResourceError as exc:
                raise anyio.ClosedResourceError from exc
            except OSError as exc:
                raise anyio.BrokenResourceError from exc
            if not data:
                raise anyio.EndOfStream
            more = take(data)

    async def send(self, item: bytes) -> None:
        """Send all of *item*."""
        await anyio.lowlevel.checkpoint_if_cancelled()
        rest = memoryview(item)
        while rest:
            if self._raw.fileno() < 0:
                raise anyio.ClosedResourceError
            try:
                rest = rest[self._raw.send(rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self._raw)
            except OSError as exc:
                raise anyio.BrokenResourceError from exc

    async def send_eof(self) -> None:
        """Send no more."""
        self._raw.shutdown(socket.SHUT_WR)

    async def aclose(self) -> None:
        """Close it; what was not sent is not."""
        if self._raw.fileno() >= 0:
            trio.lowlevel.notify_closing(self._raw)
            self._raw.close()
        await anyio.lowlevel.checkpoint()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """The socket itself."""
        return {SocketAttribute.raw_socket: lambda: self._raw}

    def has_news(self) -> bool:
        """Whether anything has arrived that was not received, the end included."""
        return is_readable(self._raw.fileno())

"""Connected sockets, for replies that come in many tiny pieces.

They are anyio's byte streams and do what anyio's own do, at less cost for each piece. On
asyncio the loop goes on reading until more waits than somebody should hold; anyio's
stream has it look out for one piece, then no more, and so on, which is two system calls
and as many visits to the selector for every token. On Trio they are anyio's streams, except
that a read waits first and does not try in vain before it does.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
from abc import abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream, SocketAttribute, SocketStream

from .bell import Bell
from .host import current_host
from .loops import AsyncioLoop

# RFC 8305, section 5, "Connection Attempt Delay".
_HEAD_START: Final = 0.25  # seconds

# A server that sends faster than its replies are read is held up from here on.
_MOST_WAITING: Final = 1024 * 1024  # bytes


class Socket(ByteStream):
    """A connected socket; one task reads it and one writes."""

    @abstractmethod
    def has_news(self) -> bool:
        """Whether anything has arrived that was not received, the end included."""


class TrioSocket(Socket):
    """A socket on Trio.

    Args:
        stream: what connected it.
    """

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._raw = stream.extra(SocketAttribute.raw_socket)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return what has arrived, waiting for it."""
        while True:
            if self._raw.fileno() < 0:
                raise anyio.ClosedResourceError
            await anyio.wait_readable(self._raw)
            try:
                data = self._raw.recv(max_bytes)
            except BlockingIOError:
                continue
            except OSError as exc:
                raise anyio.BrokenResourceError from exc
            if not data:
                raise anyio.EndOfStream
            return data

    async def send(self, item: bytes) -> None:
        """Send all of *item*."""
        await self._stream.send(item)

    async def send_eof(self) -> None:
        """Send no more."""
        await self._stream.send_eof()

    async def aclose(self) -> None:
        """Close it."""
        await self._stream.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Those of the stream that connected it."""
        return self._stream.extra_attributes

    def has_news(self) -> bool:
        return _is_readable(self._raw.fileno())


class AsyncioSocket(Socket):
    """A socket on asyncio; the protocol of its transport as well.

    Args:
        loop: the event loop that it is used on.
    """

    def __init__(self, loop: AsyncioLoop) -> None:
        self._transport: Any = None
        self._arrived: deque[bytes] = deque()
        self._waiting = 0  # bytes
        self._is_held = False  # the transport does not read
        self._is_full = False  # the transport has more to send than the system takes
        self._ended = False  # nothing more will arrive
        self._lost: Exception | None = None  # what closed the transport
        self._closed = False  # by us
        self._news = Bell(loop)
        self._room = Bell(loop)

    # What the event loop calls.

    def connection_made(self, transport: Any) -> None:
        """Take the transport."""
        self._transport = transport
        # What was sent has been handed to the system when `send` returns.
        transport.set_write_buffer_limits(0)

    def data_received(self, data: bytes) -> None:
        """Keep what has arrived."""
        self._arrived.append(bytes(data))
        self._waiting += len(data)
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

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return what has arrived, waiting for it."""
        if self._arrived or self._ended:
            await anyio.lowlevel.checkpoint()
        while not self._arrived and not self._ended and not self._closed:
            await self._news.wait()
        if self._closed:
            raise anyio.ClosedResourceError
        if not self._arrived:
            if self._lost is not None:
                raise anyio.BrokenResourceError from self._lost
            raise anyio.EndOfStream
        data = self._arrived.popleft()
        if len(data) > max_bytes:
            self._arrived.appendleft(data[max_bytes:])
            data = data[:max_bytes]
        self._waiting -= len(data)
        if self._is_held and not self._arrived:
            self._is_held = False
            self._transport.resume_reading()
        return data

    async def send(self, item: bytes) -> None:
        """Send all of *item*."""
        await anyio.lowlevel.checkpoint()
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
        return (
            bool(self._arrived)
            or self._ended
            or _is_readable(self._transport.get_extra_info("socket").fileno())
        )


async def open_socket(host: str, port: int) -> Socket:
    """Connect to a host, to the first of its addresses that answers.

    Raises:
        OSError: none does, or there is no such name.
    """
    loop = current_host().loop
    if not isinstance(loop, AsyncioLoop):
        return TrioSocket(await anyio.connect_tcp(host, port))
    return await _first_of(
        [
            functools.partial(_open_on_asyncio, loop, "create_connection", address, port)
            for address in await _addresses(host, port)
        ]
    )


async def open_unix_socket(path: str) -> Socket:
    """Connect to a Unix socket.

    Raises:
        OSError: nobody listens there.
    """
    loop = current_host().loop
    if not isinstance(loop, AsyncioLoop):
        return TrioSocket(await anyio.connect_unix(path))
    return await _open_on_asyncio(loop, "create_unix_connection", path)


async def _open_on_asyncio(loop: AsyncioLoop, create: str, *where: object) -> AsyncioSocket:
    _, opened = await getattr(loop.native(), create)(lambda: AsyncioSocket(loop), *where)
    return opened  # type: ignore[no-any-return]


async def _addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a host: as the system prefers them, but soon one of each family."""
    try:
        return [ipaddress.ip_address(host).compressed]
    except ValueError:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    families: dict[int, list[str]] = {}
    for family, *_, address in found:
        families.setdefault(family, []).append(str(address[0]))
    preferred, *others = families.values()
    rest = [
        address for family in (preferred[1:], *(each[1:] for each in others)) for address in family
    ]
    return list(dict.fromkeys([preferred[0], *(each[0] for each in others), *rest]))


async def _first_of(attempts: Sequence[Callable[[], Awaitable[Socket]]]) -> Socket:
    """Return what the first successful attempt returns; each gives the one before a head start."""
    if len(attempts) == 1:
        return await attempts[0]()
    winner: Socket | None = None
    errors: list[OSError] = []

    async def run(attempt: Callable[[], Awaitable[Socket]], over: anyio.Event) -> None:
        nonlocal winner
        try:
            opened = await attempt()
        except OSError as exc:
            errors.append(exc)
            over.set()
            return
        if winner is None:
            winner = opened
            group.cancel_scope.cancel()
        else:  # two in one turn of the event loop
            await anyio.aclose_forcefully(opened)

    try:
        async with anyio.create_task_group() as group:
            for attempt in attempts:
                over = anyio.Event()
                group.start_soon(run, attempt, over)
                with anyio.move_on_after(_HEAD_START):
                    await over.wait()
    except BaseException:
        if winner is not None:
            await anyio.aclose_forcefully(winner)
        raise
    if winner is None:
        raise OSError("; ".join(map(str, errors))) from errors[0]
    return winner


def _is_readable(descriptor: int) -> bool:
    import select

    if not hasattr(select, "poll"):  # pragma: no cover - Windows only
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()  # unlike select(), for any number of open files
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))

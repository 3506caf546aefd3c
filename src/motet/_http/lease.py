"""A transport for `httpx2` that leases single connections.

The connection pool of the library asks every idle connection whether it is alive when
one is wanted, and queues requests when none is free; at a thousand calls at once the
first costs more than the calls, and in the queue a cancelled request can take its
place with it (in httpx 0.28, for good). Here a connection is popped from a stack or
made, and there is no queue: whoever wants fewer connections makes fewer calls, see
`limiter`. That counts calls, and not the connections that are kept after them, so these
make room for new ones.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

import httpx2

from .connection import Connection, connect
from .limiter import default_limit

if TYPE_CHECKING:
    import ssl

    from .._runtime.sockets import Take

    Idle = list[Connection]
    # The hook that httpx2's own transport calls at each step; of these, two are made here.
    Trace = Callable[[str, Mapping[str, object]], Awaitable[None]]

# Servers drop idle connections after anything between five seconds and never. A lease
# looks whether the server has hung up, so this only bounds how long we keep sockets.
KEEPALIVE: Final = 30.0  # seconds


@functools.cache
def shared_ssl_context() -> ssl.SSLContext:
    """Return the TLS settings all transports share; making them takes 15 milliseconds."""
    return httpx2.create_ssl_context()


class Message(NamedTuple):
    """A request as it goes out."""

    url: httpx2.URL
    method: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes | httpx2.AsyncByteStream


class Room:
    """Room for the connections of one event loop: an idle one is closed where a new one has none.

    Args:
        most: how many may be open before that.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._transports: list[LeaseTransport] = []

    def share(self, transport: LeaseTransport) -> None:
        """Count the connections of a transport, too."""
        self._transports.append(transport)

    async def make(self) -> None:
        """Close what is idle, longest first, until those that are being opened have room.

        It waits for nobody's call: where all are in use, it is not the room that sets the limit.
        """
        while sum(each.open for each in self._transports) > self._most:
            kept = [idle for each in self._transports for idle in each.kept()]
            if not kept:
                return
            await min(kept, key=lambda idle: idle[0].expires).pop(0).aclose()


class LeaseTransport(httpx2.AsyncBaseTransport):
    """HTTP/1.1 connections, each leased to one request at a time.

    It belongs to the event loop that uses it.

    Args:
        keepalive: for how long an idle connection is kept, in seconds.
        ssl_context: TLS settings for https; the shared default without it.
        uds: the path of a Unix socket to connect to instead of the URL's host.
        room: what it shares with other transports of the event loop; room of its own without it.
    """

    def __init__(
        self,
        *,
        keepalive: float = KEEPALIVE,
        ssl_context: ssl.SSLContext | None = None,
        uds: str | None = None,
        room: Room | None = None,
    ) -> None:
        self._keepalive = keepalive
        self._ssl_context = ssl_context
        self._uds = uds
        self._idle: dict[tuple[bytes, bytes, int | None], Idle] = {}
        self._leased: set[Connection] = set()
        self._opening = 0
        self._room = Room(default_limit()) if room is None else room
        self._room.share(self)

    @property
    def leased(self) -> int:
        """How many connections serve a request."""
        return len(self._leased)

    @property
    def idle(self) -> int:
        """How many connections wait for one."""
        return sum(map(len, self._idle.values()))

    @property
    def open(self) -> int:
        """How many connections there are, or will be in a moment."""
        return self.leased + self.idle + self._opening

    def kept(self) -> list[Idle]:
        """Return the connections that wait for a request, by server, the longest first."""
        return [idle for idle in self._idle.values() if idle]

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request on a connection of its own and return when the headers are here.

        A cancellation closes the connection. A kept connection that turns out to be dead
        before the first byte of a response is replaced once.

        Raises:
            httpx2.TransportError: the connection failed.
            ProtocolError: the server does not speak HTTP.
        """
        message = Message(request.url, request.method.encode(), request.headers.raw, _body(request))
        return await self.send(message, request.extensions.get("trace", _no_trace))

    async def send(self, message: Message, trace: Trace) -> httpx2.Response:
        """Do as `handle_async_request` does, for who needs none of the library's requests."""
        url = message.url
        idle = self._idle.setdefault((url.raw_scheme, url.raw_host, url.port), [])
        connection = await self._kept(idle)
        if connection is not None:
            try:
                return await self._send(connection, message, idle, trace)
            except (httpx2.RemoteProtocolError, httpx2.NetworkError):
                # The server may close a kept connection at the very moment it is used
                # again; a request that could only be read once cannot be repeated, and one
                # that was answered, however badly, must not be.
                if connection.answered or not isinstance(message.body, bytes):
                    raise
        connection = await self._connect(url)
        return await self._send(connection, message, idle, trace, new=True)

    async def _kept(self, idle: Idle) -> Connection | None:
        while idle:
            connection = idle.pop()  # the one used last, which is the likeliest to be alive
            if not connection.is_stale():
                return connection
            await connection.aclose()
        return None

    async def _connect(self, url: httpx2.URL) -> Connection:
        secure = url.scheme == "https"
        self._opening += 1
        try:
            await self._room.make()
            return await connect(
                url.raw_host.decode("ascii"),
                url.port or (443 if secure else 80),
                ssl_context=(self._ssl_context or shared_ssl_context()) if secure else None,
                uds=self._uds,
            )
        finally:
            self._opening -= 1

    async def _send(
        self,
        connection: Connection,
        message: Message,
        idle: Idle,
        trace: Trace,
        *,
        new: bool = False,
    ) -> httpx2.Response:
        self._leased.add(connection)
        try:
            if new:
                await trace("connection.connect_tcp.complete", {})
            await connection.send(
                message.method, message.url.raw_path, message.headers, message.body
            )
            await trace("http11.send_request_body.complete", {})
            head = await connection.receive_head()
        except BaseException:
            self._leased.discard(connection)
            await connection.aclose()
            raise
        return httpx2.Response(
            head.status_code,
            headers=list(head.headers),
            stream=_LeasedStream(self, connection, idle),
        )

    async def give_back(self, connection: Connection, idle: Idle) -> None:
        """End a lease: the connection is kept if it can serve another request."""
        if connection not in self._leased:
            return  # it was closed with the transport
        self._leased.discard(connection)
        if connection.make_ready(self._keepalive):
            idle.append(connection)
        else:
            await connection.aclose()
        await self._close_expired()

    async def _close_expired(self) -> None:
        # Those used last are used first, so the others would wait for as long as there are calls.
        for idle in list(self._idle.values()):
            while idle and idle[0].has_expired():
                await idle.pop(0).aclose()

    async def close_idle(self) -> None:
        """Close the connections that serve nobody."""
        for idle in list(self._idle.values()):  # meanwhile others may ask new servers
            while idle:
                await idle.pop().aclose()

    async def aclose(self) -> None:
        """Close every connection, those in use too."""
        await self.close_idle()
        while self._leased:
            await self._leased.pop().aclose()


class _LeasedStream(httpx2.AsyncByteStream):
    """The body of a response, which holds its connection until it is closed."""

    def __init__(self, transport: LeaseTransport, connection: Connection, idle: Idle) -> None:
        self._transport = transport
        self._connection = connection
        self._idle: Idle | None = idle

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        data = await self._connection.read()
        if not data:
            raise StopAsyncIteration
        return data

    def pump(self, take: Take) -> Awaitable[None]:
        """Hand on the body without an iteration for each piece; see `Connection.pump`."""
        return self._connection.pump(take)

    async def aclose(self) -> None:
        idle, self._idle = self._idle, None
        if idle is not None:
            await self._transport.give_back(self._connection, idle)


async def _no_trace(event: str, info: Mapping[str, object]) -> None:
    """Follow nothing."""


def _body(request: httpx2.Request) -> bytes | httpx2.AsyncByteStream:
    try:
        return request.content
    except httpx2.RequestNotRead:
        stream = request.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        return stream

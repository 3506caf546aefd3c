"""A transport for `httpx2` that leases single connections.

The connection pool of the library asks every idle connection whether it is alive when
one is wanted, and queues requests when none is free; at a thousand calls at once the
first costs more than the calls, and in the queue a cancelled request can take its
place with it (in httpx 0.28, for good). Here a connection is popped from a stack or
made, and there is no queue: whoever wants fewer connections makes fewer calls, see
`limiter`. The protocol, TLS included, is still the library's.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

import anyio
import httpcore2
import httpx2

if TYPE_CHECKING:
    import ssl

# Servers drop idle connections after anything between five seconds and never. A lease
# looks whether the server has hung up, so this only bounds how long we keep sockets.
KEEPALIVE_EXPIRY: Final = 30.0  # seconds


@functools.cache
def shared_ssl_context() -> ssl.SSLContext:
    """Return the TLS settings all transports share; making them takes 15 milliseconds."""
    return httpx2.create_ssl_context()


class LeaseTransport(httpx2.AsyncBaseTransport):
    """HTTP/1.1 connections, each leased to one request at a time.

    It belongs to the event loop that uses it.

    Args:
        keepalive_expiry: for how long an idle connection is kept, in seconds.
        ssl_context: TLS settings for https; the shared default without it.
        uds: the path of a Unix socket to connect to instead of the URL's host.
    """

    def __init__(
        self,
        *,
        keepalive_expiry: float = KEEPALIVE_EXPIRY,
        ssl_context: ssl.SSLContext | None = None,
        uds: str | None = None,
    ) -> None:
        self._keepalive_expiry = keepalive_expiry
        self._ssl_context = ssl_context
        self._uds = uds
        self._idle: dict[tuple[bytes, bytes, int | None], list[httpcore2.AsyncHTTPConnection]] = {}
        self._leased: set[httpcore2.AsyncHTTPConnection] = set()

    @property
    def leased(self) -> int:
        """How many connections serve a request."""
        return len(self._leased)

    @property
    def idle(self) -> int:
        """How many connections wait for one."""
        return sum(map(len, self._idle.values()))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request on a connection of its own and return when the headers are here.

        A cancellation closes the connection. A kept connection that turns out to be dead
        before the first byte of a response is replaced once.

        Raises:
            httpx2.TransportError: the connection failed.
        """
        url = request.url
        origin = (url.raw_scheme, url.raw_host, url.port)
        idle = self._idle.setdefault(origin, [])
        connection, reused = await self._lease(idle, url)
        try:
            response = await self._send(connection, request)
        except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
            # The server may have closed a kept connection while we were writing to it.
            if not reused:
                raise
            connection = self._fresh(url)
            response = await self._send(connection, request)
        return httpx2.Response(
            response.status,
            headers=response.headers,
            stream=_LeasedStream(self, connection, response, idle),
            extensions=response.extensions,
        )

    async def _lease(
        self, idle: list[httpcore2.AsyncHTTPConnection], url: httpx2.URL
    ) -> tuple[httpcore2.AsyncHTTPConnection, bool]:
        while idle:
            connection = idle.pop()  # the one used last, which is the likeliest to be alive
            if connection.is_available() and not connection.has_expired():
                self._leased.add(connection)
                return connection, True
            await _close(connection)
        return self._fresh(url), False

    def _fresh(self, url: httpx2.URL) -> httpcore2.AsyncHTTPConnection:
        secure = url.scheme == "https"
        connection = httpcore2.AsyncHTTPConnection(
            origin=httpcore2.Origin(
                url.raw_scheme, url.raw_host, url.port or (443 if secure else 80)
            ),
            ssl_context=(self._ssl_context or shared_ssl_context()) if secure else None,
            keepalive_expiry=self._keepalive_expiry,
            uds=self._uds,
        )
        self._leased.add(connection)
        return connection

    async def _send(
        self, connection: httpcore2.AsyncHTTPConnection, request: httpx2.Request
    ) -> httpcore2.Response:
        url = request.url
        try:
            with _library_errors():
                return await connection.handle_async_request(
                    httpcore2.Request(
                        method=request.method,
                        url=httpcore2.URL(
                            scheme=url.raw_scheme,
                            host=url.raw_host,
                            port=url.port,
                            target=url.raw_path,
                        ),
                        headers=request.headers.raw,
                        content=_body(request),
                        extensions=request.extensions,
                    )
                )
        except BaseException:
            self._leased.discard(connection)
            await _close(connection)
            raise

    async def give_back(
        self,
        connection: httpcore2.AsyncHTTPConnection,
        idle: list[httpcore2.AsyncHTTPConnection],
    ) -> None:
        """End a lease: the connection is kept if it can serve another request."""
        self._leased.discard(connection)
        if connection.is_available():
            idle.append(connection)
        else:
            await _close(connection)

    async def close_idle(self) -> None:
        """Close the connections that serve nobody."""
        for idle in self._idle.values():
            while idle:
                await _close(idle.pop())

    async def aclose(self) -> None:
        """Close every connection, those in use too."""
        await self.close_idle()
        while self._leased:
            await _close(self._leased.pop())


class _LeasedStream(httpx2.AsyncByteStream):
    """The body of a response, which holds its connection until it is closed."""

    def __init__(
        self,
        transport: LeaseTransport,
        connection: httpcore2.AsyncHTTPConnection,
        response: httpcore2.Response,
        idle: list[httpcore2.AsyncHTTPConnection],
    ) -> None:
        self._transport = transport
        self._connection = connection
        self._response = response
        self._idle = idle

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _library_errors():
            async for data in self._response.stream:  # type: ignore[union-attr]
                yield data

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            try:
                await self._response.aclose()
            finally:
                await self._transport.give_back(self._connection, self._idle)


class _WholeBody:
    """A request body in one piece.

    A plain iterator: the library's own is an async generator, and one that a cancelled
    request leaves suspended is reported by Trio.
    """

    def __init__(self, data: bytes) -> None:
        self._data: bytes | None = data

    def __aiter__(self) -> _WholeBody:
        return self

    async def __anext__(self) -> bytes:
        if self._data is None:
            raise StopAsyncIteration
        data, self._data = self._data, None
        return data


def _body(request: httpx2.Request) -> Any:
    try:
        return _WholeBody(request.content)
    except httpx2.RequestNotRead:
        return request.stream


async def _close(connection: httpcore2.AsyncHTTPConnection) -> None:
    with anyio.CancelScope(shield=True):
        await connection.aclose()


class _library_errors:  # noqa: N801 - reads as the block it is
    """Raise what httpcore2 raises as the httpx2 error of the same name."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: object,
    ) -> None:
        if exc_type is None or exc_type.__module__.partition(".")[0] != "httpcore2":
            return
        error = getattr(httpx2, exc_type.__name__, None)
        if error is not None and issubclass(error, httpx2.TransportError):
            raise error(str(exc) or type(exc).__name__) from exc

"""Servers whose every byte a test decides: for what a proper server never sends."""

import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import anyio
import attrs
from anyio.abc import (
    AnyByteStream,
    ByteStream,
    Listener,
    SocketAttribute,
    TaskGroup,
    UNIXSocketStream,
)
from anyio.streams.tls import TLSListener

from motet._runtime.asyncio_sockets import AsyncioSocket
from motet._runtime.host import current_host
from motet._runtime.loops import AsyncioLoop

Handler = Callable[["Visit"], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\n"


@attrs.define
class Visit:
    """One connection, from the server's side.

    Attributes:
        server: the server it came to.
        requests: what it has brought.
    """

    stream: AnyByteStream
    server: "RawServer"
    requests: list[bytes] = attrs.field(factory=list)

    async def request(self) -> bytes:
        """Return the next request, head and body."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += await self.stream.receive()
        head, _, body = data.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        chunked = b"transfer-encoding: chunked" in head.lower()
        while len(body) < length or (chunked and not body.endswith(b"0\r\n\r\n")):
            body += await self.stream.receive()
        request = head + b"\r\n\r\n" + body
        self.requests.append(request)
        self.server.requests.append(request)
        return request

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)

    async def stay(self) -> None:
        """Wait until the client hangs up."""
        with suppress(anyio.EndOfStream):
            while True:
                await self.stream.receive()


@attrs.define
class RawServer:
    """What a test may know of the server.

    Attributes:
        port: its TCP port; 0 if it has none.
        url: its address.
        visits: the connections so far, oldest first.
        requests: the requests of all of them.
        open: how many connections are open.
    """

    port: int
    url: str
    visits: list[Visit] = attrs.field(factory=list)
    requests: list[bytes] = attrs.field(factory=list)
    open: int = 0
    changed: anyio.Event = attrs.field(factory=anyio.Event)

    def change(self, by: int) -> None:
        self.open += by
        self.changed.set()
        self.changed = anyio.Event()

    async def wait_empty(self) -> None:
        """Wait until every connection is closed."""
        with anyio.fail_after(10):
            while self.open:
                await self.changed.wait()


def answers(*responses: bytes, stay: bool = True) -> Handler:
    """Answer one request after the other; then wait for the client to go, or hang up."""

    async def handle(visit: Visit) -> None:
        for response in responses:
            await visit.request()
            await visit.send(response)
        if stay:
            await visit.stay()

    return handle


def whole(body: bytes, *headers: bytes) -> bytes:
    """Return a response whose head says how long it is."""
    extra = b"".join(header + b"\r\n" for header in headers)
    return OK + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n", headers: bytes = b"") -> bytes:
    """Return a chunked response."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return OK + headers + b"Transfer-Encoding: chunked\r\n\r\n" + body + end


class UnixListener(Listener[ByteStream]):
    """A Unix socket to listen on.

    On asyncio the callbacks of anyio's own Unix sockets run twice now and then, and fail.
    """

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen()
        self._socket.setblocking(False)

    async def serve(
        self, handler: Callable[[ByteStream], Any], task_group: TaskGroup | None = None
    ) -> None:
        async with anyio.create_task_group() as tasks:
            while True:
                await anyio.wait_readable(self._socket)
                accepted, _ = self._socket.accept()
                tasks.start_soon(handler, await self._stream(accepted))

    async def _stream(self, accepted: socket.socket) -> ByteStream:
        loop = current_host().loop
        if not isinstance(loop, AsyncioLoop):
            return await UNIXSocketStream.from_socket(accepted)
        _, stream = await loop.native().connect_accepted_socket(
            lambda: AsyncioSocket(loop), accepted
        )
        assert isinstance(stream, AsyncioSocket)
        return stream

    async def aclose(self) -> None:
        self._socket.close()


@asynccontextmanager
async def raw_server(
    *handlers: Handler,
    host: str = "127.0.0.1",
    uds: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncGenerator[RawServer]:
    """Serve; the first connection gets the first handler and all after the last the last."""
    listener: Listener[ByteStream]
    port = 0
    async with AsyncExitStack() as stack:
        if uds is None:
            tcp = await anyio.create_tcp_listener(local_host=host, local_port=0)
            port = tcp.extra(SocketAttribute.local_port)
            listener = tcp
        else:
            listener = UnixListener(uds)
        if tls is not None:
            listener = TLSListener(listener, tls, standard_compatible=False)
        name = f"[{host}]" if ":" in host else host
        server = RawServer(port, f"{'https' if tls else 'http'}://{name}:{port}")

        async def serve(stream: AnyByteStream) -> None:
            visit = Visit(stream, server)
            handler = handlers[min(len(server.visits), len(handlers) - 1)]
            server.visits.append(visit)
            server.change(+1)
            try:
                async with stream:
                    with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                        await handler(visit)
            except (OSError, anyio.BrokenResourceError):
                pass  # the client was gone
            finally:
                server.change(-1)

        await stack.enter_async_context(listener)
        tasks = await stack.enter_async_context(anyio.create_task_group())
        tasks.start_soon(listener.serve, serve)
        yield server
        tasks.cancel_scope.cancel()

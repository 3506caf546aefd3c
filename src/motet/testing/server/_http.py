"""
HTTP/1.1 on one accepted socket: requests in, bytes of responses out.

This module knows sockets and framing (by h11) and nothing of models. It uses the plain
socket and waits only when the socket is not ready: a token then costs one `send` and no
task switch, which is what lets one process serve a thousand paced replies.

Reference: RFC 9112
"""

import contextlib
import http
import socket
import struct
from collections.abc import Iterable
from typing import Final

import anyio
import attrs
import h11

# Pictures come inside of requests, as text.
MAX_BODY_BYTES: Final = 256 * 1024 * 1024
# What a client may send while its last request is being answered.
_MAX_EARLY_BYTES: Final = 1024 * 1024
_READ_BYTES: Final = 64 * 1024
_LINGER_NOT: Final = struct.pack("ii", 1, 0)  # closing sends RST instead of FIN

Headers = Iterable[tuple[str, str]]


class HungUp(Exception):
    """The client has closed or reset the connection."""


@attrs.frozen
class BadRequest(Exception):
    """What came is not HTTP, or too much of it."""

    status: int
    reason: str


@attrs.frozen
class HTTPRequest:
    """A request with its whole body; header names are in lower case."""

    method: str
    path: str  # without the query
    headers: dict[str, str]
    body: bytes


@attrs.define(eq=False)
class HTTPConnection:
    """The server's side of one connection.

    Writing checkpoints only if the client does not keep up. Who opens the connection
    closes its socket.
    """

    sock: socket.socket
    number: int
    _h11: h11.Connection = attrs.field(factory=lambda: h11.Connection(h11.SERVER), init=False)
    _chunked: bool = attrs.field(default=False, init=False)
    _ended: bool = attrs.field(default=False, init=False)
    _early_bytes: int = attrs.field(default=0, init=False)

    async def read_request(self) -> HTTPRequest | None:
        """Wait for the next request; ``None`` if the client closes instead.

        Raises:
            BadRequest: it is not HTTP; the connection can carry one response more.
        """
        self._early_bytes = 0
        head: h11.Request | None = None
        body = bytearray()
        while True:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError as exc:
                if self._ended:
                    return None
                raise BadRequest(exc.error_status_hint, str(exc)) from exc
            match event:
                case h11.Request():
                    head = event
                case h11.Data():
                    body += event.data
                    if len(body) > MAX_BODY_BYTES:
                        raise BadRequest(413, f"the body is longer than {MAX_BODY_BYTES} bytes")
                case h11.EndOfMessage():
                    assert head is not None
                    return _request(head, bytes(body))
                case h11.ConnectionClosed():
                    return None
                case _:
                    if self._h11.they_are_waiting_for_100_continue:
                        await self.write(
                            self.frame(h11.InformationalResponse(status_code=100, headers=[]))
                        )
                    await self._read()

    async def wait_hang_up(self) -> None:
        """Wait until the client closes the connection; what else it sends is kept.

        Runs beside the writing of a response.
        """
        while not self._ended:
            if self._early_bytes > _MAX_EARLY_BYTES:
                # It floods us while it has an answer to read: then not reading on is the
                # only limit there is, and writing will find out whether it goes away.
                await anyio.sleep_forever()
            await self._read()

    async def _read(self) -> None:
        data = await self._receive()
        self._ended = not data
        self._early_bytes += len(data)
        self._h11.receive_data(data)

    async def _receive(self) -> bytes:
        while True:
            try:
                return self.sock.recv(_READ_BYTES)
            except BlockingIOError:
                await anyio.wait_readable(self.sock)
            except OSError:
                return b""  # reset, which is the same to us

    def frame_head(self, status: int, headers: Headers) -> bytes:
        """Return the bytes of a response's head; without a length its body is chunked."""
        headers = list(headers)
        self._chunked = self._h11.their_http_version == b"1.1" and not any(
            name == "content-length" for name, _ in headers
        )
        return self.frame(
            h11.Response(
                status_code=status,
                reason=_reason(status),
                headers=[(name.encode(), value.encode()) for name, value in headers],
            )
        )

    def frame_data(self, data: bytes) -> bytes:
        """Return the bytes of a part of a body; a chunk, if the body has no length."""
        if self._chunked and data:
            # A reply is hundreds of chunks. h11 takes as long for each as all the rest
            # of what we do for a token, and its state is the same after it.
            return b"%x\r\n%b\r\n" % (len(data), data)
        return self.frame(h11.Data(data=data))

    def frame_end(self) -> bytes:
        """Return the bytes that end a body."""
        return self.frame(h11.EndOfMessage())

    def frame(self, event: h11.Event) -> bytes:
        """Return the bytes of any event."""
        return self._h11.send(event) or b""

    async def write(self, data: bytes) -> None:
        """Write bytes, waiting only while the client does not read.

        Raises:
            HungUp: the client has closed the connection.
        """
        while data:
            try:
                data = data[self.sock.send(data) :]
            except BlockingIOError:
                await anyio.wait_writable(self.sock)
            except OSError as exc:
                raise HungUp from exc

    def next_cycle(self) -> bool:
        """Get ready for the next request; false if the connection must be closed."""
        if self._ended:
            return False
        try:
            self._h11.start_next_cycle()
        except h11.LocalProtocolError:
            return False
        return True

    def shut_down(self) -> None:
        """Close the connection from any thread; its task then finds it closed."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket; nobody may be waiting for it."""
        self.sock.close()

    def reset(self) -> None:
        """Make closing the socket look like a crash to the client."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)


def _request(head: h11.Request, body: bytes) -> HTTPRequest:
    return HTTPRequest(
        method=head.method.decode("ascii"),
        path=head.target.decode("ascii").partition("?")[0],
        headers={name.decode("ascii"): value.decode("latin-1") for name, value in head.headers},
        body=body,
    )


def _reason(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""

"""One HTTP/1.1 connection to a model server: a request out, a response in, again.

The heads of requests and responses are h11's matter, which comes with `httpx2`; TLS is
anyio's. What is ours is made for replies of many tiny chunks: a
request leaves in one write, and all that one read of the socket brought comes out in
one piece, where the library makes an event of each chunk and passes it through four
generators.

No iterator here is a generator, so leaving a response early leaves nothing suspended.
"""

from __future__ import annotations

import functools
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import anyio
import h11
import httpx2
from anyio.streams.tls import TLSStream

from .._runtime.connecting import open_socket, open_unix_socket
from .._runtime.sockets import READ_BYTES
from .._values.errors import ProtocolError, ReplyTooLarge
from .._wire.chunked import ChunkedDecoder

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterable

    from anyio.abc import ByteStream

    from .._runtime.sockets import Socket, Take

# Status line and headers together; what is longer is hostile.
MAX_HEADER_BYTES: Final = 64 * 1024

# Answers that only say that the answer is still to come ("100 Continue", "103 Early Hints").
# A server sends one or two, one that sends them without end is hostile.
MAX_INTERIM_RESPONSES: Final = 16

# What systems take for a server that does not read: the usual window of TCP. A longer request
# may have to wait for the server, and meanwhile it may be refused. To listen for that costs a
# task, a tenth of a millisecond, which shorter ones are spared.
_ONE_WRITE: Final = 64 * 1024

_CUT_OFF: Final = "the server closed the connection in the body"

# What reading and writing say when the connection is not there any more.
_GONE: Final = (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError)

# The status that h11 would have a server answer with: "Request Header Fields Too Large".
_TOO_LARGE: Final = 431


class Connection:
    """A connection that serves one request at a time.

    Args:
        connected: the socket.
        secure: TLS over it, if there is.

    Attributes:
        answered: whether any byte has come since the request was sent.
        expires: until when an idle connection is kept, on the clock of `time.monotonic`.
    """

    __slots__ = (
        "_answer",
        "_bodiless",
        "_body",
        "_broken",
        "_complete",
        "_early",
        "_ended",
        "_http",
        "_sent",
        "_socket",
        "_stream",
        "answered",
        "expires",
    )

    def __init__(self, connected: Socket, secure: TLSStream | None = None) -> None:
        self._socket = connected
        self._stream: ByteStream = secure or connected
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEADER_BYTES)
        self._body: ChunkedDecoder | None = None
        self._early = b""  # of the body, what came together with the head
        self._broken: ProtocolError | None = None  # what is wrong with the body
        self._answer: h11.Response | Exception | None = None  # what came while we were sending
        self._sent = False  # the server has been given the whole request
        self._complete = False
        self._ended = False  # the server has closed its side
        self._bodiless = False  # an answer to HEAD has the headers of a body, and none
        self.expires = 0.0
        self.answered = False

    async def send(
        self,
        method: bytes,
        target: bytes,
        headers: list[tuple[bytes, bytes]],
        body: bytes | AsyncIterable[bytes],
    ) -> None:
        """Send a request, or as much of it as the server wants before it refuses it.

        Raises:
            httpx2.LocalProtocolError: it cannot be written as HTTP.
        """
        self._complete = self._sent = self.answered = False
        self._bodiless = method == b"HEAD"
        write, http = self._stream.send, self._http
        try:
            head = http.send(_request(method, target, tuple(headers))) or b""
            if isinstance(body, bytes):
                content = (http.send(h11.Data(data=body)) or b"") if body else b""
                request = head + content + (http.send(h11.EndOfMessage()) or b"")
                if len(request) > _ONE_WRITE:
                    await self._send_unless_refused(request)
                    return
                await write(request)
            else:
                await write(head)
                async for data in body:
                    await write(http.send(h11.Data(data=data)) or b"")
                await write(http.send(h11.EndOfMessage()) or b"")
            self._sent = True
        except h11.LocalProtocolError as exc:
            # Without its cause: h11 quotes the header that is wrong, which may be a key.
            text = str(exc) if "header" not in str(exc) else "a header is not valid in HTTP"
            raise httpx2.LocalProtocolError(text) from None
        except _GONE:
            # A server may refuse a request before it has read it all, and say why. If it
            # says nothing, reading its answer fails in the same way.
            pass

    async def _send_unless_refused(self, request: bytes) -> None:
        """Send a request that takes its time, and no more of it once it has been refused.

        Who refuses a request may keep the connection open and read no further, and then
        sending would not end.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._listen, tasks.cancel_scope)
            with suppress(*_GONE):  # not into the task group, which would wrap it; see `send`
                await self._stream.send(request)
                self._sent = True
            tasks.cancel_scope.cancel()

    async def _listen(self, sending: anyio.CancelScope) -> None:
        """Wait for the answer while the request is sent, and stop that unless it is welcome.

        Being cancelled loses nothing: `receive_head` goes on where this has stopped.
        """
        try:
            self._answer = answer = await self.receive_head()
            if 200 <= answer.status_code < 300:
                return  # a server may begin to answer before it has read all
        except (httpx2.TransportError, ProtocolError) as exc:
            self._answer = exc
        sending.cancel()

    async def receive_head(self) -> h11.Response:
        """Return the status and headers of the response.

        Raises:
            httpx2.TransportError: the connection broke.
            ProtocolError: HTTP was not spoken.
            ReplyTooLarge: the head is longer than `MAX_HEADER_BYTES`.
        """
        answer, self._answer = self._answer, None
        if isinstance(answer, Exception):
            raise answer
        if answer is not None:
            return answer
        interim = 0
        while True:
            event = self._next_event()
            if isinstance(event, h11.Response):
                if not self._bodiless and _is_chunked(event):
                    self._body = ChunkedDecoder()
                    self._early = self._http.trailing_data[0]
                return event
            if isinstance(event, h11.InformationalResponse):
                interim += 1
                if interim > MAX_INTERIM_RESPONSES:
                    raise ProtocolError(f"more than {MAX_INTERIM_RESPONSES} interim responses")
            elif event is h11.NEED_DATA and not await self._receive():
                raise httpx2.RemoteProtocolError("the server closed the connection unanswered")

    async def read(self) -> bytes:
        """Return the next bytes of the body, all that are here; ``b""`` at its end.

        Raises:
            httpx2.TransportError: the connection broke before the end of the body.
            ProtocolError: the body is not what its head says.
        """
        body = self._body
        if body is None:
            return await self._read_framed()
        while not body.complete:
            self._check()
            data, self._early = self._early or await self._read_socket(), b""
            if not data:
                raise httpx2.RemoteProtocolError(_CUT_OFF)
            payload = self._payload(body, data)
            if payload:
                return payload
        return b""

    async def pump(self, take: Take) -> None:
        """Hand on the body, piece by piece, to its end or until *take* returns false.

        Where nothing but the socket lies below, *take* is called as the bytes come in, and
        the task that called this sleeps until the end.

        Args:
            take: is given the payload.

        Raises:
            httpx2.TransportError, ProtocolError: as `read`, after what came before it.
        """
        body = self._body
        if body is None or self._stream is not self._socket:
            while data := await self.read():
                if not take(data):
                    return
            return

        def feed(data: bytes) -> bool:
            payload = self._payload(body, data)
            wants_more = not payload or take(payload)
            return wants_more and not body.complete and self._broken is None

        self._check()
        early, self._early = self._early, b""
        if not body.complete and (not early or feed(early)):
            try:
                await self._socket.pump(feed)
            except anyio.EndOfStream:
                raise httpx2.RemoteProtocolError(_CUT_OFF) from None
            except (anyio.BrokenResourceError, anyio.ClosedResourceError) as exc:
                raise httpx2.ReadError(_said(exc)) from exc
        self._check()

    def _payload(self, body: ChunkedDecoder, data: bytes) -> bytes:
        try:
            return body.feed(data)
        except ProtocolError as exc:
            self._broken = exc
            return body.rescued  # no text is lost

    def _check(self) -> None:
        if self._broken is not None:
            raise self._broken

    async def _read_framed(self) -> bytes:
        pieces: list[bytes] = []
        while not self._complete:
            try:
                event = self._next_event()
            except (httpx2.RemoteProtocolError, ProtocolError):
                if pieces:
                    break  # what came before it first; the parser says it again
                raise
            if type(event) is h11.Data:
                pieces.append(event.data)
            elif event is h11.NEED_DATA:
                if pieces:
                    break
                await self._receive()
            else:  # the end of the message, or of the connection that marks it
                self._complete = True
        return b"".join(pieces)

    def _next_event(self) -> object:
        try:
            return self._http.next_event()
        except h11.RemoteProtocolError as exc:
            if self._ended:
                raise httpx2.RemoteProtocolError(str(exc)) from exc
            if exc.error_status_hint == _TOO_LARGE:
                raise ReplyTooLarge(
                    f"the head of the response exceeds {MAX_HEADER_BYTES} bytes",
                    limit=MAX_HEADER_BYTES,
                ) from exc
            raise ProtocolError(f"the response is not HTTP: {exc}") from exc

    async def _receive(self) -> bool:
        """Give the parser what the socket has; false when the server has hung up."""
        data = await self._read_socket()
        if not data and self._http.their_state is h11.SEND_RESPONSE:
            return False  # what h11 would say of it is true and explains nothing
        self._ended = not data
        self._http.receive_data(data)
        return bool(data)

    async def _read_socket(self) -> bytes:
        """Return what the socket has; ``b""`` when the server has hung up."""
        try:
            data = await self._stream.receive(READ_BYTES)
        except anyio.EndOfStream:
            return b""
        except _GONE as exc:
            raise httpx2.ReadError(_said(exc)) from exc
        self.answered = True
        return data

    def make_ready(self, keepalive: float) -> bool:
        """Prepare for another request; false if there can be none.

        Args:
            keepalive: for how long it may wait for one, in seconds.
        """
        body, self._body = self._body, None
        if not self._sent:
            return False  # the server would take the next request for the rest of this one
        if body is not None:
            if not body.complete or body.surplus or self._http.our_state is not h11.DONE:
                return False
            # The parser has not seen the body, so it cannot go on to the next head.
            self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEADER_BYTES)
        elif self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            if self._http.trailing_data[0]:
                return False  # it would be taken for the answer to the next request
            self._http.start_next_cycle()
        else:
            return False
        self.expires = time.monotonic() + keepalive
        return True

    def is_stale(self) -> bool:
        """Whether an idle connection has waited too long, or the server has hung up."""
        # What comes over an idle connection is its end, or the answer to nobody's request.
        return self.has_expired() or self._socket.has_news() or _has_unread(self._stream)

    def has_expired(self) -> bool:
        """Whether an idle connection has waited too long."""
        return time.monotonic() > self.expires

    async def aclose(self) -> None:
        """Close the connection; a shielded checkpoint."""
        with anyio.CancelScope(shield=True):
            with suppress(anyio.BrokenResourceError, OSError):  # closed is closed
                await self._stream.aclose()


async def connect(
    host: str,
    port: int,
    *,
    ssl_context: ssl.SSLContext | None = None,
    uds: str | None = None,
) -> Connection:
    """Connect to a server.

    Args:
        host: its name or address; also the name that its certificate must have.
        port: its port.
        ssl_context: TLS settings; None for no TLS.
        uds: the path of a Unix socket to connect to instead.

    Raises:
        httpx2.ConnectError: there is no server, or no trust in it.
    """
    try:
        connected = await (open_socket(host, port) if uds is None else open_unix_socket(uds))
    except OSError as exc:
        where = f" ({uds})" if uds is not None else ""
        raise httpx2.ConnectError(_said(exc) + where) from exc
    if ssl_context is None:
        return Connection(connected)
    try:
        # Servers do not take part in a TLS shutdown, so none is demanded of them; where a
        # reply ends is HTTP's matter.
        secure = await TLSStream.wrap(
            connected, hostname=host, ssl_context=ssl_context, standard_compatible=False
        )
    except BaseException as exc:
        await anyio.aclose_forcefully(connected)
        if isinstance(exc, OSError | anyio.BrokenResourceError | anyio.EndOfStream):
            raise httpx2.ConnectError(_said(exc)) from exc
        raise
    return Connection(connected, secure)


@functools.lru_cache(maxsize=64)
def _request(method: bytes, target: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> h11.Request:
    # Cached, because h11 checks every header, and those of one backend differ in a length at most.
    return h11.Request(method=method, target=target, headers=list(headers))


def _has_unread(stream: ByteStream) -> bool:
    """Whether TLS has records that nobody has read: they came with others, so the socket has none."""
    if not isinstance(stream, TLSStream):
        return False
    # anyio has no public name for these.
    return bool(stream._read_bio.pending or stream._ssl_object.pending())


def _is_chunked(head: h11.Response) -> bool:
    """Whether the body is for `ChunkedDecoder`: chunked, on a connection that may be kept."""
    chunked = False
    for name, value in head.headers:
        if name == b"transfer-encoding":
            chunked = value.lower() == b"chunked"
        elif name == b"connection" and b"close" in value.lower():
            return False
    return chunked and head.http_version == b"1.1" and head.status_code not in (204, 304)


def _said(exc: BaseException) -> str:
    cause = exc.__cause__
    return str(exc) or (str(cause) if cause is not None else "") or type(exc).__name__

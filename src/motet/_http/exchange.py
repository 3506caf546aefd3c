"""One streamed exchange: a request out, the body of its response in, to its very end.

The body is handed on as bytes to a function that neither awaits nor raises. Connections of
ours call it where the bytes come in, so that a token wakes nobody but its reader; of other
clients the body is iterated over. Leaving the library's loop over a body early would leave
its generators suspended, which Trio reports, so there the exchange's own scope is
cancelled, and the next read unwinds everything from the inside. So does the end of the
server's time.

Whatever happens, the connection is free or closed when `exchange` returns. The client
may be one of ours or the user's own, of httpx2 or of httpx: only what the two have in
common is used, and their errors are told by name.
"""

from __future__ import annotations

import datetime
import email.utils
import functools
import logging
import math
import re
import ssl
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import anyio

from .._runtime.sockets import Take
from .._values.errors import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    CertificateError,
    ConnectionLost,
    Phase,
    ProtocolError,
    ReplyTooLarge,
)
from .._values.secrets import redacted
from .._values.timeouts import NO_TIMEOUTS, TimeLimit, Timeouts
from .._wire.decompress import Decompressor

_log: Final = logging.getLogger("motet")

# A body that goes on after the record that ends the reply is waited for, because only
# then can the connection be used again; but not for long.
DRAIN_TIMEOUT: Final = 1.0  # seconds

# What is kept of an error response.
MAX_ERROR_BYTES: Final = 64 * 1024

# Of a whole reply, with everything that a protocol puts around the text. A token takes some
# hundred bytes, so this is more than any model says, and less than fills the memory.
DEFAULT_MAX_REPLY_BYTES: Final = 256 * 1024 * 1024

# Fractions of a second are not in the RFC, and some servers send them. The length is what
# keeps a hostile one from an infinite wait.
_DECIMAL: Final = r"[0-9]{1,12}(\.[0-9]{1,12})?"

# What the libraries call the steps of a request, in their traces.
_CONNECTED: Final = ("connection.connect_tcp.complete", "connection.connect_unix_socket.complete")
_BEGUN: Final = ".send_request_headers.started"  # after the version of HTTP
_SENT: Final = ".send_request_body.complete"

# Sends a body, with extensions for the request, and returns a response of httpx2 or httpx.
Send = Callable[[bytes, dict[str, Any]], Awaitable[Any]]


class Sink:
    """Where the bytes of a response go.

    Attributes:
        begun: set by `data` when the reply has begun.
        complete: set by `data` when the reply has come to its end.
        silent: set by `data` when what came says nothing: the connection lives, and the
            server has not been heard of any more than before.
    """

    begun = False
    complete = False
    silent = False

    def status(self, status: int, headers: Mapping[str, str]) -> None:
        """Take the status of a response that will be read by `data`; may raise."""

    def data(self, data: bytes) -> None:
        """Take the next bytes; may raise, and does not wait."""

    def refused(self, status: int, headers: Mapping[str, str], body: bytes) -> BackendError:
        """Return the error for a response with an error status."""
        raise NotImplementedError


class Exchange:
    """The state of one exchange; `run` is its only method for others.

    Args:
        sink: where the bytes go.
        silence_timeout: for how long the server may be silent, in seconds; None for ever.
        timeouts: limits for parts of that time.
        clock: the time of the event loop.
        max_bytes: how long the body may be, decoded.

    Attributes:
        phase: what it is doing, or was when it failed.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        silence_timeout: float | None,
        clock: Callable[[], float],
        timeouts: Timeouts = NO_TIMEOUTS,
        max_bytes: float = DEFAULT_MAX_REPLY_BYTES,
    ) -> None:
        self._sink = sink
        self._max_bytes = max_bytes
        self._left = max_bytes
        self._clock = clock
        self._silence = math.inf if silence_timeout is None else silence_timeout
        self._timeouts = timeouts
        self._gap = self._silence if timeouts.gap is None else timeouts.gap
        self._began = self._connected = self._heard = -math.inf
        self._scope = anyio.CancelScope()
        self._watching = self._scope  # the scope that ends when the server's time does
        self._deadline = math.inf  # when that is, as far as is known now
        self.phase = Phase.CONNECTING
        self._failure: BaseException | None = None

    async def run(self, send: Send, url: str, content: bytes) -> None:
        """Send the request and hand the body to the sink, to its end.

        The limit for silence covers connecting, the headers and the first bytes together,
        and then every gap; see `Timeouts` for what goes before it.

        Raises:
            BackendUnavailable: there is no server at the address.
            CertificateError: TLS does not trust it.
            ReplyTooLarge: the body is longer than it may be.
            BackendTimeout: the server was silent for too long, or a limit of its own passed.
            ConnectionLost: the connection broke.
            BackendError: what the sink made of an error status, or raised.
        """
        with self._scope:
            self._began = self._connected = self._heard = self._clock()
            self._watch()
            try:
                await self._exchange(await send(content, {"trace": self._trace}))
            except Exception as exc:
                self._failure = self._translated(exc, url)
        if self._sink.complete:
            return
        if self._failure is not None:
            raise self._failure
        if self._scope.cancelled_caught:
            raise self._timed_out()

    async def _trace(self, event: str, info: object) -> None:
        """Follow a request that is being sent; the library's own hook for this."""
        # A connection that was kept from another request is not reported, nor is one that
        # serves several at once.
        if event in _CONNECTED or (self.phase is Phase.CONNECTING and event.endswith(_BEGUN)):
            self.phase = Phase.SENDING
            self._connected = self._clock()
            self._watch()
        elif event.endswith(_SENT):
            if self.phase is Phase.CONNECTING:
                self._connected = self._clock()
            self.phase = Phase.HEADERS
            self._watch()

    async def _exchange(self, response: Any) -> None:
        try:
            if not 200 <= response.status_code < 300:
                body = await self._error_body(response)
                raise self._sink.refused(response.status_code, response.headers, body)
            self._sink.status(response.status_code, response.headers)
            self.phase = Phase.FIRST_TOKEN
            self._watch()
            content = _already_read(response)
            if content is not None:
                self._take(content)
                return
            decoder = _decoder(response)
            take = self._take
            if decoder is not None:
                take = functools.partial(self._take_encoded, decoder)
            await self._read(response, take)
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def _read(self, response: Any, take: Take) -> None:
        """Hand the body on to *take* while the server's time lasts."""
        pump = _pump_of(response)
        if pump is None:
            await _iterate(response, take, self._scope)
            return
        # The limit moves with every token, and moving the deadline of a scope costs the event
        # loop a timer each time. A read of ours can be taken up again where it was given up: so
        # the deadline stays, and when it has passed, another stretch goes on to where the
        # limit is by then.
        self._scope.deadline = math.inf
        while True:
            with anyio.CancelScope(deadline=self._deadline) as self._watching:
                await pump(take)
                return
            if self._deadline <= self._watching.deadline:
                raise self._timed_out()

    def _take(self, data: bytes) -> bool:
        """Hand on the next bytes; false when what still comes is of no use."""
        if self._failure is not None:
            return False
        sink = self._sink
        if sink.complete:
            # After the end of the reply no byte is a sign of life that anybody waits for.
            return self._clock() < self._deadline and self._hand_on(data)
        taken = self._hand_on(data)
        if sink.begun:
            self.phase = Phase.STREAMING
        if taken and not sink.silent:
            self._heard = self._clock()
            if sink.complete:
                self._give_until(self._heard + DRAIN_TIMEOUT)
            elif sink.begun:
                self._give_until(self._heard + self._gap)
            else:
                self._watch()
        return taken

    def _hand_on(self, data: bytes) -> bool:
        try:
            self._left -= len(data)
            if self._left < 0:
                raise ReplyTooLarge(
                    f"the reply is longer than {self._max_bytes} bytes; if it should be, set "
                    "max_reply_bytes= of the backend to a larger value",
                    limit=int(self._max_bytes),
                )
            self._sink.data(data)
        except BaseException as exc:
            self._failure = exc
            return False
        return True

    def _take_encoded(self, decoder: Decompressor, data: bytes) -> bool:
        try:
            return all(map(self._take, decoder.feed(data)))
        except ProtocolError as exc:  # `_take` raises nothing
            self._failure = exc
            return False

    def _limit(self) -> TimeLimit:
        return self._timeouts.limit_in(
            self.phase,
            silence=self._silence,
            began=self._began,
            connected=self._connected,
            heard=self._heard,
        )

    def _watch(self) -> None:
        """Give the server until the limit that is in force now."""
        self._give_until(self._limit().deadline)

    def _give_until(self, deadline: float) -> None:
        self._deadline = deadline
        scope = self._watching
        follows = scope is self._scope  # and is no stretch, see `_read`
        if deadline < scope.deadline or (follows and deadline > scope.deadline):
            scope.deadline = deadline

    def _timed_out(self) -> BackendTimeout:
        limit = self._limit()
        return BackendTimeout(
            limit.passed(), timeout=limit.seconds, which=limit.which, phase=self.phase
        )

    async def _error_body(self, response: Any) -> bytes:
        """Return what explains an error status: what comes of it in time, within reason."""
        body = bytearray()
        decoder: Decompressor | None = None

        def take(data: bytes) -> bool:
            try:
                for piece in _decoded(decoder, data):
                    body.extend(piece)
                    if len(body) >= MAX_ERROR_BYTES:
                        return False
            except ProtocolError:  # what came before it has to do
                return False
            return True

        # A scope of its own: the status says more than that its explanation did not end, or
        # could not be read.
        with anyio.CancelScope(deadline=self._deadline) as scope:
            self._scope.deadline = math.inf
            try:
                content = _already_read(response)
                if content is not None:
                    return content[:MAX_ERROR_BYTES]
                decoder = _decoder(response)
                pump = _pump_of(response)
                await (pump(take) if pump else _iterate(response, take, scope))
            except Exception:
                _log.debug("the body of an error response broke off", exc_info=True)
        return bytes(body[:MAX_ERROR_BYTES])

    def _refused_by_hook(self, exc: Any) -> BackendError | None:
        """Return the error for a status that a hook of the user's own client has raised first.

        The client has closed the response by then, so there are words in it only if the hook
        has read them. None if the status is that of another request, such as one with which
        the client asks for a token, or is none that we would have raised.
        """
        response = exc.response
        if response.request.extensions.get("trace") != self._trace or response.is_success:
            return None
        body = b""
        with suppress(ProtocolError):  # the hook kept nothing; the status says more than that
            body = _already_read(response) or b""
        return self._sink.refused(response.status_code, response.headers, body[:MAX_ERROR_BYTES])

    def _translated(self, exc: Exception, url: str) -> BaseException:
        """Return an error of the HTTP library as one of ours."""
        if isinstance(exc, BackendError):
            return exc
        names = {cls.__name__ for cls in type(exc).__mro__}
        error: BackendError
        if "HTTPStatusError" in names:
            refused = self._refused_by_hook(exc)
            if refused is None:
                return exc
            error = refused
        elif (tls := _tls_error(exc)) is not None and _is_about_certificates(tls):
            error = CertificateError(
                f"TLS with {_origin(url)} failed: {_reason(tls)}; ssl_context= says whom to "
                "trust and who we are",
                phase=Phase.CONNECTING,
            )
        elif tls is not None and "ConnectError" in names:
            error = BackendUnavailable(
                f"TLS with {_origin(url)} failed: {_reason(tls)}; is it an http:// address?",
                phase=Phase.CONNECTING,
            )
        elif "ProxyError" in names:
            error = BackendUnavailable(
                f"the proxy before {_origin(url)} refused: {exc}", phase=Phase.CONNECTING
            )
        elif names & {"ConnectError", "ConnectTimeout"}:
            error = BackendUnavailable(
                f"nothing answers at {_origin(url)}: {exc}", phase=Phase.CONNECTING
            )
        elif "PoolTimeout" in names:
            error = BackendUnavailable(
                "the HTTP client's own pool had no connection to spare; "
                "give it higher limits, or let motet make the client"
            )
        elif "TimeoutException" in names:
            error = BackendTimeout(
                f"the HTTP client's own time limit passed: {str(exc) or type(exc).__name__}",
                phase=self.phase,
            )
        elif names & {"DecodingError", "UnsupportedProtocol", "LocalProtocolError"}:
            error = ProtocolError(f"{type(exc).__name__}: {exc}", phase=self.phase)
        elif names & {"TransportError", "NetworkError", "RemoteProtocolError"}:
            error = ConnectionLost(
                f"the connection broke: {str(exc) or type(exc).__name__}", phase=self.phase
            )
        else:
            return exc
        error.__cause__ = exc
        return error


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return for how many seconds a server asks to be left alone, None if it does not.

    Reference: RFC 9110, section 10.2.3, "Retry-After": seconds, or a date; and
    ``retry-after-ms``, milliseconds, which OpenAI's server sends and which is more exact.
    """
    exact = headers.get("retry-after-ms", "").strip()
    if re.fullmatch(_DECIMAL, exact):
        return float(exact) / 1000
    said = headers.get("retry-after", "").strip()
    if re.fullmatch(_DECIMAL, said):
        return float(said)
    try:
        date = email.utils.parsedate_to_datetime(said)
    except (ValueError, OverflowError):  # the latter for a year that no clock has
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=datetime.UTC)
    return max(0.0, (date - datetime.datetime.now(datetime.UTC)).total_seconds())


def should_retry(headers: Mapping[str, str]) -> bool | None:
    """Return whether a server says that asking again is of use, None if it does not say."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower())


def hide_secrets(exc: BackendError, secrets: Collection[str]) -> None:
    """Take out of an error what the request carried, should it have been repeated there.

    A cause that shows it, as the libraries do with a header that cannot be sent, goes.
    """
    exc.message = redacted(exc.message, secrets)
    exc.args = (exc.message,)
    cause = exc.__cause__
    while cause is not None:
        if redacted(str(cause), secrets) != str(cause):
            exc.__cause__, exc.__suppress_context__ = None, True
            break
        cause = cause.__cause__ or cause.__context__


def _already_read(response: Any) -> bytes | None:
    """Return the body, decoded, if a hook of the user's own client has read it; None if none has.

    Raises:
        ProtocolError: a hook has read it and kept nothing.
    """
    if not response.is_stream_consumed:
        return None
    try:
        content: bytes = response.content
    except RuntimeError as exc:
        raise ProtocolError(
            "a hook of the HTTP client has read the reply and kept nothing of it; "
            "let it call aread()"
        ) from exc
    return content


def _pump_of(response: Any) -> Callable[[Take], Awaitable[None]] | None:
    """Return what hands on the body of a response on one of our connections, None for others."""
    pump: Callable[[Take], Awaitable[None]] | None = getattr(response.stream, "pump", None)
    return pump


async def _iterate(response: Any, take: Take, scope: anyio.CancelScope) -> None:
    """Hand on the body of any response, to its end or until *take* returns false.

    The body as it comes, not as the library's own iterators give it: they count and decode,
    at twice the cost for each of many small chunks, and decode without a limit.

    Args:
        response: of httpx2 or httpx.
        take: is given bytes.
        scope: what this is called in.
    """
    async for data in aiter(response.stream):
        if not take(data):
            scope.cancel()


def _decoder(response: Any) -> Decompressor | None:
    coding = response.headers.get("content-encoding", "identity").strip()
    return None if coding.lower() in ("identity", "") else Decompressor(coding)


def _decoded(decoder: Decompressor | None, data: bytes) -> Iterator[bytes]:
    return iter([data]) if decoder is None else decoder.feed(data)


def _tls_error(exc: BaseException) -> ssl.SSLError | None:
    """Return the error of TLS that an error of an HTTP library comes from."""
    at: BaseException | None = exc
    while at is not None and not isinstance(at, ssl.SSLError):
        at = at.__cause__ or at.__context__
    return at


def _is_about_certificates(exc: ssl.SSLError) -> bool:
    # With TLS 1.3 a server complains of a client's certificate after the handshake.
    reason = exc.reason or ""
    return isinstance(exc, ssl.SSLCertVerificationError) or any(
        word in reason for word in ("CERT", "UNKNOWN_CA")
    )


def _reason(exc: ssl.SSLError) -> str:
    said = getattr(exc, "verify_message", "") or exc.reason or str(exc)
    return said.lower().replace("_", " ")


def _origin(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}"

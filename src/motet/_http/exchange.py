"""One streamed exchange: a request out, the body of its response in, to its very end.

The body is handed on as bytes to a function that neither awaits nor raises out of the
loop: leaving the library's loop over a body early would leave its generators
suspended, which Trio reports. What the function raises is remembered, the exchange's
own scope is cancelled, and the next read unwinds everything from the inside. So does
the end of the server's time.

Whatever happens, the connection is free or closed when `exchange` returns. The client
may be one of ours or the user's own, of httpx2 or of httpx: only what the two have in
common is used, and their errors are told by name.
"""

import datetime
import email.utils
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import anyio

from .._values.errors import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    ConnectionLost,
    Phase,
    ProtocolError,
)

_log: Final = logging.getLogger("motet")

# A body that goes on after the record that ends the reply is waited for, because only
# then can the connection be used again; but not for long.
DRAIN_TIMEOUT: Final = 1.0  # seconds

# An extension of responses whose body may be left early: no generators lie below it.
LEAVE_EARLY: Final = "motet.leave_early"

# What is kept of an error response.
MAX_ERROR_BYTES: Final = 64 * 1024


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

    Attributes:
        phase: what it is doing, or was when it failed.
    """

    def __init__(
        self, sink: Sink, *, silence_timeout: float | None, clock: Callable[[], float]
    ) -> None:
        self._sink = sink
        self._clock = clock
        self._timeout = math.inf if silence_timeout is None else silence_timeout
        self._scope = anyio.CancelScope()
        self.phase = Phase.CONNECTING
        self._failure: BaseException | None = None

    async def run(self, send: Send, url: str, content: bytes) -> None:
        """Send the request and hand the body to the sink, to its end.

        The limit for silence covers connecting, the headers and the first bytes together,
        and then every gap.

        Raises:
            BackendUnavailable: there is no server at the address.
            BackendTimeout: the server was silent for too long.
            ConnectionLost: the connection broke.
            BackendError: what the sink made of an error status, or raised.
        """
        with self._scope:
            self._expect(self._timeout)
            try:
                await self._exchange(await send(content, {"trace": self._trace}))
            except Exception as exc:
                self._failure = self._translated(exc, url)
        if self._failure is not None and not self._sink.complete:
            raise self._failure
        if self._scope.cancelled_caught and not self._sink.complete:
            raise BackendTimeout(
                f"the server was silent for {self._timeout:g} s; set ModelOption.STREAM_TIMEOUT "
                "to a larger value, or to None for no limit",
                timeout=self._timeout,
                phase=self.phase,
            )

    async def _trace(self, event: str, info: object) -> None:
        """Follow a request that is being sent; the library's own hook for this."""
        match event.rpartition(".")[0]:
            case _ if not event.endswith(".complete"):
                pass
            case "connection.connect_tcp" | "connection.connect_unix_socket":
                self.phase = Phase.SENDING
            case "http11.send_request_body":
                self.phase = Phase.HEADERS

    async def _exchange(self, response: Any) -> None:
        try:
            if not 200 <= response.status_code < 300:
                body = await self._error_body(response)
                raise self._sink.refused(response.status_code, response.headers, body)
            self._sink.status(response.status_code, response.headers)
            self.phase = Phase.FIRST_TOKEN
            # The library's own iterators count and decode; where nothing is encoded, its
            # bare stream costs half as much for each of many small chunks.
            encoded = "content-encoding" in response.headers
            stream = aiter(response.aiter_bytes() if encoded else response.stream)
            async for data in stream:
                # Nothing in here awaits or raises; see the module's text.
                if not self._is_over():
                    self._take(data)
                elif not encoded and LEAVE_EARLY in response.extensions:
                    await stream.aclose()  # a cancellation may not get through a flood
                    break
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    def _is_over(self) -> bool:
        """Whether what still comes is of no use: it failed, or the time after its end is over."""
        drained = self._sink.complete and self._clock() >= self._scope.deadline
        return drained or self._failure is not None

    def _take(self, data: bytes) -> None:
        draining = self._sink.complete
        try:
            self._sink.data(data)
        except BaseException as exc:
            self._failure = exc
            self._scope.cancel()
        if self._sink.begun:
            self.phase = Phase.STREAMING
        # After the end of the reply no byte is a sign of life that anybody waits for.
        if self._failure is None and not draining and not self._sink.silent:
            self._expect(DRAIN_TIMEOUT if self._sink.complete else self._timeout)

    def _expect(self, timeout: float) -> None:
        """Give the server *timeout* seconds from now until its next sign of life."""
        # One scope with a moving end: a scope for each read would cost as much as the read.
        self._scope.deadline = self._clock() + timeout

    async def _error_body(self, response: Any) -> bytes:
        """Return what explains an error status: what comes of it in time, within reason."""
        body = bytearray()
        encoded = "content-encoding" in response.headers
        stream = aiter(response.aiter_bytes() if encoded else response.stream)
        # A scope of its own: the status says more than that its explanation did not end.
        with anyio.CancelScope(deadline=self._scope.deadline) as scope:
            self._scope.deadline = math.inf
            try:
                async for data in stream:
                    if len(body) < MAX_ERROR_BYTES:
                        body += data
                    elif not encoded and LEAVE_EARLY in response.extensions:
                        await stream.aclose()
                        break
                    else:
                        scope.cancel()
            except Exception:
                _log.debug("the body of an error response broke off", exc_info=True)
        return bytes(body[:MAX_ERROR_BYTES])

    def _translated(self, exc: Exception, url: str) -> BaseException:
        """Return an error of the HTTP library as one of ours."""
        if isinstance(exc, BackendError):
            return exc
        names = {cls.__name__ for cls in type(exc).__mro__}
        if names & {"ConnectError", "ConnectTimeout"}:
            error: BackendError = BackendUnavailable(
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

    Reference: RFC 9110, section 10.2.3, "Retry-After": seconds, or a date.
    """
    said = headers.get("retry-after", "").strip()
    if said.isdecimal():
        return float(said)
    try:
        date = email.utils.parsedate_to_datetime(said)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=datetime.UTC)
    return max(0.0, (date - datetime.datetime.now(datetime.UTC)).total_seconds())


def _origin(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0].rpartition('@')[2]}"

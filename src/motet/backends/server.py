"""`ServerBackend`: what backends that ask a model server over HTTP have in common.

It always asks for a streamed reply, also for a caller who wants it in one piece: only
then does closing the connection stop the server. A protocol, bytes and pieces, is in
``_wire``; the connection in ``_http``; a backend brings the two together.
"""

from __future__ import annotations

import logging
import os
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

import attrs

from .._http.client import Clients
from .._http.exchange import Exchange, Sink, hide_secrets, retry_after, should_retry
from .._http.route import route_to
from .._runtime.host import current_host
from .._values.errors import (
    BackendError,
    BackendUnavailable,
    ModelNotFound,
    Phase,
    ReplyTooLarge,
    StatusError,
    TruncatedReply,
)
from .._values.options import ModelOption
from .._values.secrets import shown_url
from .._values.timeouts import NO_TIMEOUTS, as_timeouts
from .._wire.ndjson import LineSplitter
from .._wire.record import Record, Splitter
from .._wire.wording import error_text
from .base import Backend, Reply, Request

if TYPE_CHECKING:
    import ssl

    from .._http.client import Client
    from .._http.exchange import Send
    from .._http.limits import Limits
    from .._language.formatter import TemplateFormatter
    from .._values.retries import RetryPolicy
    from .._values.timeouts import Timeouts

_log: Final = logging.getLogger("motet")

HEADERS: Final = {
    "content-type": "application/json",
    # A compressed stream would be held back until the compressor has enough.
    "accept-encoding": "identity",
}

# A list of models is short; what is longer is none.
_MAX_PAGE_BYTES: Final = 8 * 1024 * 1024

Refused = Callable[[int, Mapping[str, str], bytes], BackendError]
Take = Callable[[bytes], None]


@attrs.frozen
class Asking:
    """One request as it goes to the server, and how its reply is read.

    Attributes:
        url: where it goes.
        body: its bytes.
        splitter: cuts the body of the response into pieces.
        record: puts them together.
    """

    url: str = attrs.field(repr=False)  # it may have a key in it
    body: bytes
    splitter: Splitter
    record: Record


class ServerBackend(Backend):
    """A backend that asks a model server over HTTP; the base of those that do.

    Args:
        model_id: the model, as the server calls it.
        base_url: where the server is.
        url: where most requests go.
        headers: headers of every request.
        formatter: puts components into words; one for the model without it.
        model_options: options for every call.
        timeout: for how long the server may be silent, in seconds; None for no limit.
        http_client: an ``AsyncClient`` of httpx2 or httpx to use as it is.
        max_in_flight: how many calls at once on one event loop; None for as many as the
            process may open sockets for, together with all other backends without a number.
        ssl_context, uds, proxy: the way to the server, see `route_to`.
        max_reply_bytes: how long the body of a response may be.
        retries: whether and when a request that failed is sent again, see `RetryPolicy`.
        limits: for the calls of this backend, see `Limits`.
        timeouts: limits for parts of a reply, see `Timeouts`.
    """

    takes_raw_prompts: ClassVar[bool] = True
    # What to do if there is none, and the options that this kind of server does not have.
    _advice_unavailable: ClassVar[str]
    _without_effect: ClassVar[Mapping[str, str]] = {
        ModelOption.LOGITS: "generation.logits stays None",
        ModelOption.RAW_LOGITS: "generation.raw_logits stays None",
    }

    def __init__(
        self,
        model_id: str,
        *,
        base_url: str,
        url: str,
        headers: Mapping[str, str],
        formatter: TemplateFormatter | None,
        model_options: Mapping[str, Any] | None,
        timeout: float | None,
        http_client: Any,
        max_in_flight: int | None,
        ssl_context: ssl.SSLContext | None,
        uds: str | os.PathLike[str] | None,
        proxy: str | None,
        max_reply_bytes: int,
        retries: RetryPolicy | int | None,
        limits: Limits | None,
        timeouts: Timeouts | None,
    ) -> None:
        super().__init__(
            model_id,
            formatter=formatter,
            model_options=model_options,
            retries=retries,
            limits=limits,
        )
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout should be a number of seconds above 0, not {timeout!r}")
        self.base_url: str = base_url
        self._shown_url: Final = shown_url(base_url)
        self._timeout = timeout
        self._timeouts = as_timeouts(timeouts)
        if not isinstance(max_reply_bytes, int) or max_reply_bytes < 1:
            raise ValueError(
                f"max_reply_bytes should be a whole number from 1, not {max_reply_bytes!r}"
            )
        self._max_reply_bytes = max_reply_bytes
        # With a client of the user's own, its environment is the client's matter.
        route = route_to(
            url,
            ssl_context=ssl_context,
            uds=uds,
            proxy="" if proxy is None and http_client is not None else proxy,
        )
        self._clients = Clients(url, headers, http_client, max_in_flight, route)
        self._told: set[str] = set()  # options that were found to have no effect
        # What the server refuses and has taken a request without.
        self._refused_fields: frozenset[str] = frozenset()

    @property
    def label(self) -> str:
        """What tells this backend from others: its kind, its model and its server."""
        return f"{super().label} at {self._shown_url}"

    # What a backend adds.

    @abstractmethod
    def _asking(self, request: Request, without: frozenset[str]) -> Asking:
        """Return what to send, and how to read what comes.

        Args:
            request: what to ask.
            without: fields to leave out, of those that `_remedied` has named.
        """

    def _refusal(self, status: int, said: str) -> BackendError | None:
        """Return the error for an error status, if it has one of its own."""
        return None

    async def _remedied(
        self, error: BackendError, without: frozenset[str]
    ) -> frozenset[str] | None:
        """Return the fields that a request which was refused is to be sent again without.

        That are *without*, those that it had been sent without, if something else has changed;
        None if nothing has. It is asked once for each message in a call, and may take its time.
        """
        return None

    # What they share.

    async def reply(self, request: Request, reply: Reply) -> None:
        """Ask the server and feed what it answers."""
        self._tell_of_unknown(request.options)
        client = self._clients.on(reply.host)
        clock = reply.host.time
        asked = clock()
        async with client.limiter:
            started = clock()
            reply.queued(started - asked)
            remedied: set[str] = set()
            # Of this call alone until a request without them was taken: it is a guess, and
            # other calls are not to suffer from a wrong one.
            without = self._refused_fields
            while True:
                asking = self._asking(request, without)
                try:
                    await self._ask(client, asking, request, reply, started, without)
                    return
                except (StatusError, ModelNotFound) as exc:
                    again = None
                    if exc.message not in remedied:
                        again = await self._remedied(exc, without)
                    if again is None:
                        raise
                    remedied.add(exc.message)
                    without = again

    async def _ask(
        self,
        client: Client,
        asking: Asking,
        request: Request,
        reply: Reply,
        started: float,
        without: frozenset[str],
    ) -> None:
        def accepted() -> None:
            self._refused_fields |= without

        sink = _ReplySink(self._refused, accepted, asking, reply, started)
        try:
            send = client.to("POST", asking.url)
            own = request.options.get(ModelOption.TIMEOUTS) or NO_TIMEOUTS
            limits = (request.silence_timeout, own.over(self._timeouts))
            await self._run(sink, send, asking.url, asking.body, *limits)
        finally:
            sink.note()

    async def _fetch(
        self, method: str, url: str, body: bytes = b"", *, take: Take | None = None
    ) -> bytes:
        """Send a request that asks the model for nothing; return what comes.

        The server may be silent for as long as the backend's own limit says; that of the
        options is about replies.

        Args:
            method: of HTTP.
            url: where it goes.
            body: its bytes.
            take: called with each line of the response as it comes; may raise, and ends the
                request then.

        Raises:
            BackendError: the server failed or refuses it.
        """
        sink = _PageSink(self._refused, take)
        send = self._clients.on(current_host()).to(method, url)
        try:
            await self._run(sink, send, url, body, None, self._timeouts)
        except BackendError as exc:
            raise exc.locate(backend=self.provider, model=self.model_id) from exc.__cause__
        return bytes(sink.page)

    async def _run(
        self,
        sink: _Sink,
        send: Send,
        url: str,
        body: bytes,
        silence_timeout: float | None,
        timeouts: Timeouts,
    ) -> None:
        limits = [each for each in (self._timeout, silence_timeout) if each is not None]
        exchange = Exchange(
            sink,
            silence_timeout=min(limits, default=None),
            timeouts=timeouts,
            clock=current_host().time,
            max_bytes=self._max_reply_bytes,
        )
        try:
            await exchange.run(send, url, body)
            sink.end()
        except BackendError as exc:
            exc.phase = exc.phase or exchange.phase
            hide_secrets(exc, self._clients.secrets)
            if type(exc) is BackendUnavailable:
                exc.message += f"; {self._advice_unavailable}{self._clients.hint}"
            raise

    def _refused(self, status: int, headers: Mapping[str, str], body: bytes) -> BackendError:
        said = error_text(body)
        return self._refusal(status, said) or StatusError(
            f"the server at {self._shown_url} answered {status}: {said or 'without saying why'}",
            status=status,
            retry_after=retry_after(headers),
            should_retry=should_retry(headers),
            phase=Phase.HEADERS,
        )

    def _tell_of_unknown(self, options: Mapping[str, Any]) -> None:
        """Warn, once, of an option that this kind of server does not have."""
        for name, effect in self._without_effect.items():
            if options.get(name) and name not in self._told:
                self._told.add(name)
                _log.warning(
                    "%s: the %s backend does not support it; %s", name, self.provider, effect
                )

    async def close_idle(self) -> None:
        """Close the connections of the running event loop that serve nobody."""
        await self._clients.close_idle(current_host())


class _Sink(Sink):
    """Where a response goes; the backend knows what an error status means."""

    def __init__(self, refused: Refused) -> None:
        self._refused = refused

    def refused(self, status: int, headers: Mapping[str, str], body: bytes) -> BackendError:
        return self._refused(status, headers, body)

    def end(self) -> None:
        """Take the end of the body; may raise."""


class _ReplySink(_Sink):
    """Takes the bytes of one reply apart and feeds the thunk."""

    def __init__(
        self,
        refused: Refused,
        accepted: Callable[[], None],
        asking: Asking,
        reply: Reply,
        started: float,
    ) -> None:
        super().__init__(refused)
        self._accepted = accepted
        self._reply = reply
        self._feed = reply.feed
        self._started = started
        self._splitter = asking.splitter
        self._record = asking.record

    def status(self, status: int, headers: Mapping[str, str]) -> None:
        self._accepted()

    def data(self, data: bytes) -> None:
        pieces = self._splitter.feed(data)
        for piece in pieces:
            self._take(piece)
        self.silent = not pieces and self._splitter.silent

    def _take(self, piece: bytes) -> None:
        text, thoughts = self._record.take(piece)
        if text:
            self._feed(text)
        if thoughts:
            self._reply.think(thoughts)
        if not self.begun and self._record.begun:
            self.begun = True
            self._reply.begun(self._reply.host.time() - self._started)
        if self._record.failure is not None:
            raise self._record.failure
        if self._record.done:
            self.complete = True

    def end(self) -> None:
        """Make sure that what came was all.

        Raises:
            TruncatedReply: the record that marks a complete reply has not come.
            BackendError: the reply is complete and cannot be used.
        """
        rest = self._splitter.finish()
        if rest:
            self._take(rest)
        if not self.complete:
            raise TruncatedReply(
                "the reply ended without the record that marks its end, so it may be cut short"
            )
        self._record.check()

    def note(self) -> None:
        """Leave what is known of the reply with the thunk, complete or not."""
        record = self._record
        self._reply.finish(
            usage=record.usage,
            model=record.model,
            finish_reasons=record.finish_reasons,
            response_id=record.response_id,
            response=record.response(),
            tool_calls=record.tool_calls,
        )


class _PageSink(_Sink):
    """Keeps a whole body, or hands on its lines."""

    def __init__(self, refused: Refused, take: Take | None) -> None:
        super().__init__(refused)
        self.page = bytearray()
        self._take = take
        self._lines = LineSplitter()

    def data(self, data: bytes) -> None:
        self.begun = True
        if self._take is not None:
            for line in self._lines.feed(data):
                self._take(line)
            return
        self.page += data
        if len(self.page) > _MAX_PAGE_BYTES:
            raise ReplyTooLarge(
                f"the answer is longer than {_MAX_PAGE_BYTES} bytes", limit=_MAX_PAGE_BYTES
            )

    def end(self) -> None:
        rest = self._lines.finish()
        if rest and self._take is not None:
            self._take(rest)

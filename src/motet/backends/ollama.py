"""The backend for Ollama, over its own protocol.

It always asks for a streamed reply, also for a caller who wants it in one piece: only
then does closing the connection stop the server. The protocol itself, bytes and
lines, is in ``_wire.ollama``; the connection in ``_http``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

import anyio

from .._http.client import Clients
from .._http.exchange import Exchange, Sink, retry_after
from .._runtime.host import current_host
from .._values.errors import (
    BackendError,
    BackendUnavailable,
    ModelNotFound,
    Phase,
    ReplyError,
    StatusError,
    TruncatedReply,
)
from .._values.model_ids import IBM_GRANITE_4_1_3B, ModelIdentifier
from .._values.options import normalise, validate_options
from .._wire.ndjson import LineSplitter
from .._wire.ollama import (
    OLLAMA_ALIASES,
    ReplyRecord,
    base_url_from_host,
    chat_body,
    decode_chunk,
    error_text,
)
from .base import Backend, Reply, Request

if TYPE_CHECKING:
    from .._language.formatter import TemplateFormatter

_HEADERS: Final = {
    "content-type": "application/json",
    "accept": "application/x-ndjson",
    # A compressed stream would be held back until the compressor has enough.
    "accept-encoding": "identity",
}


class OllamaModelBackend(Backend):
    """Talks to an Ollama server.

    The server is *base_url*, or else the environment variable ``OLLAMA_HOST`` (``host``,
    ``host:port`` or a URL, read when the backend is made), or else
    ``http://127.0.0.1:11434``. Nothing is opened before the first call.

    Args:
        model_id: the model, as ``ollama list`` shows it, or an identifier with that name.
        formatter: puts components into words; one for the model without it.
        base_url: where the server is.
        model_options: options for every call, under the names of `ModelOption` or Ollama's.
        timeout: for how long the server may be silent, in seconds; None for no limit. The
            smaller of this and ``ModelOption.STREAM_TIMEOUT`` counts.
        http_client: an ``AsyncClient`` of httpx2 or httpx to use as it is.
        max_in_flight: how many calls at once on one event loop; None for as many as the
            process may open sockets for.

    Raises:
        ValueError: *base_url* or ``OLLAMA_HOST`` is no address, or the identifier has no
            name for Ollama.
    """

    provider: ClassVar[str] = "ollama"

    def __init__(
        self,
        model_id: str | ModelIdentifier = IBM_GRANITE_4_1_3B,
        formatter: TemplateFormatter | None = None,
        base_url: str | None = None,
        model_options: Mapping[str, Any] | None = None,
        timeout: float | None = 300.0,
        *,
        http_client: Any = None,
        max_in_flight: int | None = None,
    ) -> None:
        if isinstance(model_id, ModelIdentifier):
            if not model_id.ollama_name:
                raise ValueError(
                    f"{model_id!r} has no ollama_name, so Ollama cannot be asked for it; "
                    "pass the name that `ollama list` shows as a string"
                )
            model_id = model_id.ollama_name
        super().__init__(model_id, formatter=formatter, model_options=model_options)
        if base_url is not None and not isinstance(base_url, str):
            raise TypeError(f"base_url should be a string, not {type(base_url).__name__}")
        self.base_url: str = (
            base_url_from_host(os.environ.get("OLLAMA_HOST"))
            if base_url is None
            else base_url_from_host(base_url, name="base_url")
        )
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout should be a number of seconds above 0, not {timeout!r}")
        self._timeout = timeout
        self._url = f"{self.base_url}/api/chat"
        self._clients = Clients(self._url, _HEADERS, http_client, max_in_flight)

    def normalised(self, model_options: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return options under the names of `ModelOption`, checked; Ollama's names are known."""
        return validate_options(normalise(model_options, OLLAMA_ALIASES))

    async def reply(self, request: Request, reply: Reply) -> None:
        """Ask the server and feed what it answers."""
        body = chat_body(
            self.model_id,
            request.messages,
            request.options,
            schema=request.schema,
            tools=[tool.as_json_tool for tool in request.tools.values()],
        )
        client = self._clients.on(reply.host)
        asked = anyio.current_time()
        async with client.limiter:
            started = anyio.current_time()
            reply.queued(started - asked)
            sink = _ChatReply(self, reply, started)
            exchange = Exchange(
                sink, silence_timeout=_smaller(self._timeout, request), clock=reply.host.time
            )
            try:
                await exchange.run(client.send, self._url, body)
                sink.end()
            except BackendError as exc:
                exc.phase = exc.phase or exchange.phase
                if isinstance(exc, BackendUnavailable):
                    exc.message += (
                        "; start Ollama with `ollama serve`, or name the server with "
                        "base_url= or the environment variable OLLAMA_HOST"
                    )
                raise
            finally:
                sink.note()

    async def close_idle(self) -> None:
        """Close the connections of the running event loop that serve nobody."""
        await self._clients.close_idle(current_host())

    def __repr__(self) -> str:
        return f"OllamaModelBackend(model_id={self.model_id!r}, base_url={self.base_url!r})"


class _ChatReply(Sink):
    """Takes the bytes of one reply apart and feeds the thunk."""

    def __init__(self, backend: OllamaModelBackend, reply: Reply, started: float) -> None:
        self._backend = backend
        self._reply = reply
        self._feed = reply.feed
        self._started = started
        self._lines = LineSplitter()
        self._record = ReplyRecord()

    def data(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            self._take(line)

    def _take(self, line: bytes) -> None:
        chunk = decode_chunk(line)
        if chunk.error:
            raise ReplyError(f"the server reported an error: {chunk.error_text()}")
        if not self.begun:
            self.begun = True
            self._reply.begun(anyio.current_time() - self._started)
        self._record.add(chunk)
        message = chunk.message
        if message is not None:
            if message.content:
                self._feed(message.content)
            if message.thinking:
                self._reply.think(message.thinking)
        if chunk.done:
            self.complete = True

    def end(self) -> None:
        """Make sure that what came was all.

        Raises:
            TruncatedReply: the line that marks a complete reply has not come.
        """
        rest = self._lines.finish()
        if rest:
            self._take(rest)
        if not self.complete:
            raise TruncatedReply(
                "the reply ended without the record that marks its end, so it may be cut short"
            )

    def note(self) -> None:
        """Leave what is known of the reply with the thunk, complete or not."""
        record = self._record
        self._reply.finish(
            usage=record.usage,
            model=record.model,
            finish_reasons=record.finish_reasons,
            response=record.response(),
            tool_calls=record.tool_calls,
        )

    def refused(self, status: int, headers: Mapping[str, str], body: bytes) -> BackendError:
        said = error_text(body)
        model, url = self._backend.model_id, self._backend.base_url
        if status == 404 and "not found" in said and "model" in said:
            return ModelNotFound(
                f"the server at {url} does not have the model {model!r}; "
                f"`ollama pull {model}` fetches it, `ollama list` shows what is there",
                phase=Phase.HEADERS,
            )
        return StatusError(
            f"the server at {url} answered {status}: {said or 'without saying why'}",
            status=status,
            retry_after=retry_after(headers),
            phase=Phase.HEADERS,
        )


def _smaller(timeout: float | None, request: Request) -> float | None:
    limits = [limit for limit in (timeout, request.silence_timeout) if limit is not None]
    return min(limits, default=None)

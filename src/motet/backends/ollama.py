"""The backend for Ollama, over its own protocol.

The protocol itself, bytes and lines, is in ``_wire.ollama``.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

import anyio

from .._http.exchange import DEFAULT_MAX_REPLY_BYTES
from .._runtime.host import LoopHost, current_host
from .._values.errors import BackendError, ModelNotFound, Phase, ReplyError, TruncatedReply
from .._values.model_ids import IBM_GRANITE_4_1_3B, ModelIdentifier
from .._values.options import normalise, validate_options
from .._wire.addresses import base_url_from_host
from .._wire.ndjson import LineSplitter
from .._wire.ollama import OLLAMA_ALIASES, ReplyRecord, chat_body, generate_body
from .._wire.ollama_models import PullProgress, model_names, pull_body, pull_progress
from .base import Request
from .server import HEADERS, Asking, ServerBackend

if TYPE_CHECKING:
    import ssl

    from .._http.limits import Limits
    from .._language.formatter import TemplateFormatter
    from .._values.retries import RetryPolicy
    from .._values.timeouts import Timeouts


_log: Final = logging.getLogger("motet")


class OllamaModelBackend(ServerBackend):
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
        pull: whether a call that finds the model missing has the server fetch it, which may
            take minutes, and goes on then. The progress is logged, or handed to a function.
        http_client: an ``AsyncClient`` of httpx2 or httpx to use as it is.
        max_in_flight: how many calls at once on one event loop; None for as many as the
            process may open sockets for, together with all other backends without a number.
        ssl_context: TLS settings for https, such as further certificate authorities or a
            certificate of one's own; None for what the system trusts.
        uds: the path of a Unix socket to connect to; *base_url* is what it is asked for.
        proxy: the URL of an HTTP or SOCKS proxy, ``""`` for none, None for what the
            environment says (``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``;
            never for this machine itself).
        max_reply_bytes: how long the body of a response may be.
        retries: whether and when a request that failed is sent again: a `RetryPolicy`, or how
            many attempts may follow the first. Without it a failed call stays failed.
        limits: how many calls at once, requests and tokens a minute; may be shared.
        timeouts: limits for parts of a reply, see `Timeouts`; ``ModelOption.TIMEOUTS`` of a call
            goes before them.

    Raises:
        ValueError: *base_url* or ``OLLAMA_HOST`` is no address, or the identifier has no
            name for Ollama.
    """

    provider: ClassVar[str] = "ollama"
    _advice_unavailable: ClassVar[str] = (
        "start Ollama with `ollama serve`, or name the server with base_url= or the "
        "environment variable OLLAMA_HOST"
    )

    def __init__(
        self,
        model_id: str | ModelIdentifier = IBM_GRANITE_4_1_3B,
        formatter: TemplateFormatter | None = None,
        base_url: str | None = None,
        model_options: Mapping[str, Any] | None = None,
        timeout: float | None = 300.0,
        *,
        pull: bool | Callable[[PullProgress], object] = False,
        http_client: Any = None,
        max_in_flight: int | None = None,
        ssl_context: ssl.SSLContext | None = None,
        uds: str | os.PathLike[str] | None = None,
        proxy: str | None = None,
        max_reply_bytes: int = DEFAULT_MAX_REPLY_BYTES,
        retries: RetryPolicy | int | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        if isinstance(model_id, ModelIdentifier):
            if not model_id.ollama_name:
                raise ValueError(
                    f"{model_id!r} has no ollama_name, so Ollama cannot be asked for it; "
                    "pass the name that `ollama list` shows as a string"
                )
            model_id = model_id.ollama_name
        if base_url is not None and not isinstance(base_url, str):
            raise TypeError(f"base_url should be a string, not {type(base_url).__name__}")
        url = (
            base_url_from_host(os.environ.get("OLLAMA_HOST"))
            if base_url is None
            else base_url_from_host(base_url, name="base_url")
        )
        self._pull = pull
        self._pulls = 0
        self._pulling: weakref.WeakKeyDictionary[LoopHost, anyio.Lock] = weakref.WeakKeyDictionary()
        super().__init__(
            model_id,
            base_url=url,
            url=f"{url}/api/chat",
            headers={**HEADERS, "accept": "application/x-ndjson"},
            formatter=formatter,
            model_options=model_options,
            timeout=timeout,
            http_client=http_client,
            max_in_flight=max_in_flight,
            ssl_context=ssl_context,
            uds=uds,
            proxy=proxy,
            max_reply_bytes=max_reply_bytes,
            retries=retries,
            limits=limits,
            timeouts=timeouts,
        )

    def normalised(self, model_options: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return options under the names of `ModelOption`, checked; Ollama's names are known."""
        return validate_options(normalise(model_options, OLLAMA_ALIASES))

    async def models(self) -> list[str]:
        """Return the names of the models that the server has.

        Raises:
            BackendError: the server failed, or does not list them.
        """
        page = await self._fetch("GET", f"{self.base_url}/api/tags")
        try:
            return model_names(page)
        except BackendError as exc:
            raise exc.locate(backend=self.provider, model=self.model_id) from exc.__cause__

    async def pull(
        self, model: str | None = None, *, progress: Callable[[PullProgress], object] | None = None
    ) -> None:
        """Have the server fetch a model, and return when it is there.

        A fetch that is cut short goes on from there the next time: cancelled, it costs
        nothing but the time.

        Args:
            model: its name in the Ollama library; the backend's own without it.
            progress: called with each `PullProgress`; must not block.

        Raises:
            ModelNotFound: the server cannot get it; says why.
            BackendError: the server failed.
        """
        name = model or self.model_id
        tell = progress or _log_progress
        there = False

        def take(line: bytes) -> None:
            nonlocal there
            told = pull_progress(line)
            there = there or told.done
            tell(told)

        try:
            await self._fetch("POST", f"{self.base_url}/api/pull", pull_body(name), take=take)
        except ReplyError as exc:
            raise ModelNotFound(
                f"the server at {self._shown_url} cannot get the model {name!r}: {exc.message}; "
                "https://ollama.com/library lists the names",
                backend=self.provider,
                model=self.model_id,
            ) from exc
        if not there:
            raise TruncatedReply(
                f"the server stopped telling of the model {name!r} before it was there",
                backend=self.provider,
                model=self.model_id,
            )

    async def _remedied(
        self, error: BackendError, without: frozenset[str]
    ) -> frozenset[str] | None:
        if not self._pull or not isinstance(error, ModelNotFound):
            return None
        pulls = self._pulls
        async with self._pulling.setdefault(current_host(), anyio.Lock()):
            if self._pulls == pulls:  # nobody has while this call waited
                await self.pull(progress=self._pull if callable(self._pull) else None)
                self._pulls += 1
        return without

    def _asking(self, request: Request, without: frozenset[str]) -> Asking:
        tools = [tool.as_json_tool for tool in request.tools.values()]
        if request.prompt is not None:
            path, body = (
                "/api/generate",
                generate_body(
                    self.model_id, request.prompt, request.options, schema=request.schema
                ),
            )
        else:
            path, body = (
                "/api/chat",
                chat_body(
                    self.model_id,
                    request.messages,
                    request.options,
                    schema=request.schema,
                    tools=tools,
                ),
            )
        return Asking(f"{self.base_url}{path}", body, LineSplitter(), ReplyRecord())

    def _refusal(self, status: int, said: str) -> BackendError | None:
        if status != 404 or "not found" not in said or "model" not in said:
            return None
        model = self.model_id
        return ModelNotFound(
            f"the server at {self._shown_url} does not have the model {model!r}; "
            f"`ollama pull {model}` fetches it, and so does the backend with pull=True; "
            "`ollama list` shows what is there",
            phase=Phase.HEADERS,
        )

    def __repr__(self) -> str:
        return f"OllamaModelBackend(model_id={self.model_id!r}, base_url={self._shown_url!r})"


def _log_progress(told: PullProgress) -> None:
    # Of the many lines about one part only the first and the last are worth a place in a log.
    if told.fraction is None or told.fraction >= 1:
        _log.info("ollama: %s", told)

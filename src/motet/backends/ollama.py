"""The backend for Ollama, over its own protocol.

The protocol itself, bytes and lines, is in ``_wire.ollama``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from .._values.errors import BackendError, ModelNotFound, Phase
from .._values.model_ids import IBM_GRANITE_4_1_3B, ModelIdentifier
from .._values.options import normalise, validate_options
from .._wire.addresses import base_url_from_host
from .._wire.ndjson import LineSplitter
from .._wire.ollama import OLLAMA_ALIASES, ReplyRecord, chat_body, generate_body
from .base import Request
from .server import HEADERS, Asking, ServerBackend

if TYPE_CHECKING:
    from .._language.formatter import TemplateFormatter


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
        http_client: an ``AsyncClient`` of httpx2 or httpx to use as it is.
        max_in_flight: how many calls at once on one event loop; None for as many as the
            process may open sockets for.

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
        if base_url is not None and not isinstance(base_url, str):
            raise TypeError(f"base_url should be a string, not {type(base_url).__name__}")
        url = (
            base_url_from_host(os.environ.get("OLLAMA_HOST"))
            if base_url is None
            else base_url_from_host(base_url, name="base_url")
        )
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
        )

    def normalised(self, model_options: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return options under the names of `ModelOption`, checked; Ollama's names are known."""
        return validate_options(normalise(model_options, OLLAMA_ALIASES))

    def _asking(self, request: Request) -> Asking:
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
            f"the server at {self.base_url} does not have the model {model!r}; "
            f"`ollama pull {model}` fetches it, `ollama list` shows what is there",
            phase=Phase.HEADERS,
        )

    def __repr__(self) -> str:
        return f"OllamaModelBackend(model_id={self.model_id!r}, base_url={self.base_url!r})"

"""The backend for OpenAI and the servers that speak its chat completions.

The protocol itself, bytes and events, is in ``_wire.openai_requests`` and
``_wire.openai_replies``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlsplit

import msgspec

from .._http.exchange import DEFAULT_MAX_REPLY_BYTES
from .._values.errors import BackendError, ModelNotFound, Phase, ProtocolError, StatusError
from .._values.model_ids import OPENAI_GPT_5_1, ModelIdentifier
from .._values.options import ModelOption, normalise, validate_options
from .._wire.addresses import base_url_of, below
from .._wire.openai_replies import ChatRecord
from .._wire.openai_requests import OPENAI_ALIASES, OPTIONAL_FIELDS, chat_body, completion_body
from .._wire.sse import EventSplitter
from .base import Request
from .server import HEADERS, Asking, ServerBackend

if TYPE_CHECKING:
    import ssl

    from .._http.limits import Limits
    from .._language.formatter import TemplateFormatter
    from .._values.retries import RetryPolicy
    from .._values.timeouts import Timeouts

OFFICIAL_BASE_URL: Final = "https://api.openai.com/v1"

# Refusals that may be about a field and not about what is in it.
_UNPROCESSABLE: Final = (400, 422)
# Such a message is about what a field says, or repeats the whole request: the field is known.
_ABOUT_A_VALUE: Final = re.compile(
    r"too (large|small|long|high|low|big|many)|(must|should) be|at (most|least)"
    r"|(less|greater|more) than|maximum|minimum|exceed|\brange|[\"']messages[\"']",
    re.IGNORECASE,
)


class OpenAIBackend(ServerBackend):
    """Talks to OpenAI, or to a server that speaks its chat completions.

    That are vLLM, llama.cpp, LM Studio, Ollama (below ``/v1``), OpenRouter, and many more.
    The server is *base_url*, or else the environment variable ``OPENAI_BASE_URL``, or else
    OpenAI's own. Nothing is opened before the first call. Where a server refuses a field
    that a request can do without, the request is sent again without it, and the backend
    remembers if that was taken.

    Args:
        model_id: the model, as the server calls it, or an identifier with that name.
        formatter: puts components into words; one for the model without it.
        base_url: where the server is, mostly with ``/v1`` at its end.
        model_options: options for every call, under the names of `ModelOption` or OpenAI's.
            ``extra_body`` is put over the body of each request.
        timeout: for how long the server may be silent, in seconds; None for no limit. The
            smaller of this and ``ModelOption.STREAM_TIMEOUT`` counts.
        api_key: the key, or else that in ``OPENAI_API_KEY``. OpenAI's own server needs one,
            others mostly do not. It is not shown anywhere.
        organization: whose account it is, or else ``OPENAI_ORG_ID``.
        project: which project of it, or else ``OPENAI_PROJECT_ID``.
        headers: further headers for every request.
        strict: whether the server refuses what it does not know and wants strict schemas,
            as OpenAI's own does; None to go by *base_url*.
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
        ValueError: there is no key for OpenAI's own server, *base_url* is no URL, or the
            identifier has no name for such servers.
    """

    provider: ClassVar[str] = "openai"
    _advice_unavailable: ClassVar[str] = (
        "start the server, or name another one with base_url= or the environment variable "
        "OPENAI_BASE_URL"
    )
    _without_effect: ClassVar[Mapping[str, str]] = {
        **ServerBackend._without_effect,
        ModelOption.CONTEXT_WINDOW: "such servers set it when they start",
    }

    def __init__(
        self,
        model_id: str | ModelIdentifier = OPENAI_GPT_5_1,
        formatter: TemplateFormatter | None = None,
        base_url: str | None = None,
        model_options: Mapping[str, Any] | None = None,
        timeout: float | None = 300.0,
        *,
        api_key: str | None = None,
        organization: str | None = None,
        project: str | None = None,
        headers: Mapping[str, str] | None = None,
        strict: bool | None = None,
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
            name = model_id.openai_name or model_id.hf_model_name
            if not name:
                raise ValueError(
                    f"{model_id!r} has neither an openai_name nor an hf_model_name; "
                    "pass the name that the server lists as a string"
                )
            model_id = name
        given = _text(base_url, "base_url") or os.environ.get("OPENAI_BASE_URL", "").strip()
        name = "base_url" if base_url else "OPENAI_BASE_URL"
        url = base_url_of(given or OFFICIAL_BASE_URL, name=name)
        key = _text(api_key, "api_key") or os.environ.get("OPENAI_API_KEY", "").strip()
        official = _is_official(url)
        if official and not key:
            raise ValueError(
                "OPENAI_API_KEY or api_key is required for OpenAI's own server; for another "
                "server pass base_url= or set OPENAI_BASE_URL"
            )
        self._has_key: Final = bool(key)
        self._strict: Final = official if strict is None else strict
        super().__init__(
            model_id,
            base_url=url,
            url=below(url, "/chat/completions"),
            headers={
                **HEADERS,
                "accept": "text/event-stream",
                **({"authorization": f"Bearer {key}"} if key else {}),
                **_account("openai-organization", organization, "OPENAI_ORG_ID"),
                **_account("openai-project", project, "OPENAI_PROJECT_ID"),
                **{name.lower(): value for name, value in (headers or {}).items()},
            },
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
        """Return options under the names of `ModelOption`, checked; OpenAI's names are known."""
        return validate_options(normalise(model_options, OPENAI_ALIASES))

    async def models(self) -> list[str]:
        """Return the names of the models that the server has.

        Raises:
            BackendError: the server failed, or does not list them.
        """
        page = await self._fetch("GET", below(self.base_url, "/models"))
        try:
            listed = msgspec.json.decode(page, type=_ModelList)
        except ValueError as exc:
            raise ProtocolError(
                f"not a list of models ({exc})", backend=self.provider, model=self.model_id
            ) from exc
        return [each.id for each in listed.data]

    def _asking(self, request: Request, without: frozenset[str]) -> Asking:
        options = request.options
        if request.prompt is not None:
            path = "/completions"
            body = completion_body(
                self.model_id, request.prompt, options, schema=request.schema, without=without
            )
        else:
            path = "/chat/completions"
            body = chat_body(
                self.model_id,
                request.messages,
                options,
                schema=request.schema,
                tools=[tool.as_json_tool for tool in request.tools.values()],
                strict=self._strict,
                without=without,
            )
        record = ChatRecord(choices_wanted=_choices_of(options))
        return Asking(below(self.base_url, path), body, EventSplitter(), record)

    async def _remedied(
        self, error: BackendError, without: frozenset[str]
    ) -> frozenset[str] | None:
        if not isinstance(error, StatusError) or error.status not in _UNPROCESSABLE:
            return None
        if _ABOUT_A_VALUE.search(error.message):
            return None
        named = {field for field in OPTIONAL_FIELDS if field in error.message}
        return without | named if named - without else None

    def _refusal(self, status: int, said: str) -> BackendError | None:
        if status != 404:
            return None
        lowered = said.lower()
        if "model" in lowered and ("not found" in lowered or "does not exist" in lowered):
            return ModelNotFound(
                f"the server at {self._shown_url} does not have the model {self.model_id!r}: {said}",
                phase=Phase.HEADERS,
            )
        hint = "" if "/v1" in self.base_url else "; base_url mostly ends in /v1"
        return StatusError(
            f"the server at {self._shown_url} has no chat completions at that address "
            f"(404: {said or 'without saying why'}){hint}",
            status=status,
            phase=Phase.HEADERS,
        )

    def __repr__(self) -> str:
        key = ", api_key='***'" if self._has_key else ""
        return f"OpenAIBackend(model_id={self.model_id!r}, base_url={self._shown_url!r}{key})"


class _ModelEntry(msgspec.Struct):
    id: str


class _ModelList(msgspec.Struct):
    data: list[_ModelEntry]


def _text(given: str | None, name: str) -> str:
    if given is not None and not isinstance(given, str):
        # Its type and not itself: it may be a key.
        raise TypeError(f"{name} should be a string, not {type(given).__name__}")
    return (given or "").strip()


def _account(header: str, given: str | None, variable: str) -> dict[str, str]:
    value = given or os.environ.get(variable, "").strip()
    return {header: value} if value else {}


def _is_official(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "api.openai.com" or host.endswith((".api.openai.com", ".openai.azure.com"))


def _choices_of(options: Mapping[str, Any]) -> int:
    extra = options.get("extra_body") or {}
    wanted = extra.get("n", options.get("n"))
    return wanted if isinstance(wanted, int) and wanted > 0 else 1

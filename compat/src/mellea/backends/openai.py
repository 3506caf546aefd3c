"""The backend for OpenAI and the servers that speak its protocol."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any, Final

import motet
from motet import ModelIdentifier, ModelOption
from motet.model_ids import OPENAI_GPT_5_1

from .._client_errors import for_openai
from .._left_out import ADAPTERS, LeftOut
from ..formatters.template_formatter import TemplateFormatter
from .backend import ServedBackend

__all__ = ["OpenAIBackend"]

_log: Final = logging.getLogger("mellea")

# What is told to motet's backend of the keywords that the official client knows; the others
# are for that client alone.
_KEYWORDS: Final[Mapping[str, str]] = {
    "timeout": "timeout",
    "organization": "organization",
    "project": "project",
    "default_headers": "headers",
    "headers": "headers",
    "http_client": "http_client",
    "max_in_flight": "max_in_flight",
    "strict": "strict",
}

_COMMON: Final[Mapping[str, str]] = {
    "seed": ModelOption.SEED,
    "stream": ModelOption.STREAM,
    "stop": ModelOption.STOP_SEQUENCES,
}


class OpenAIBackend(ServedBackend, motet.OpenAIBackend):
    """Talks to a server that speaks OpenAI's protocol; see `motet.OpenAIBackend`.

    Nothing is asked of the server when it is made. An error of the server is one of the
    package ``openai`` as well, if the program has imported that.

    Args:
        model_id: the model, as the server calls it, or an identifier.
        formatter: puts components into words; one for the model without it.
        base_url: where the server is, or else ``OPENAI_BASE_URL``, or else OpenAI's own.
        model_options: options for every call.
        default_to_constraint_checking_alora: without effect: there are no adapters.
        load_embedded_adapters: left out, as all adapters are.
        adapter_source: left out, as all adapters are.
        api_key: the key, or else that in ``OPENAI_API_KEY``.
        client_kwargs: ``timeout``, ``organization``, ``project``, ``default_headers`` and
            ``http_client``; others are ignored.

    Raises:
        ValueError: there is no key.
        LeftOut: adapters are asked for.
    """

    _provider = "openai"

    to_mellea_model_opts_map_chats: Final[Mapping[str, str]] = {
        "system": ModelOption.SYSTEM_PROMPT,
        "reasoning_effort": ModelOption.THINKING,
        "max_completion_tokens": ModelOption.MAX_NEW_TOKENS,
        "max_tokens": ModelOption.MAX_NEW_TOKENS,
        "tools": ModelOption.TOOLS,
        "functions": ModelOption.TOOLS,
        **_COMMON,
    }
    from_mellea_model_opts_map_chats: Final[Mapping[str, str]] = {
        ModelOption.SEED: "seed",
        ModelOption.MAX_NEW_TOKENS: "max_completion_tokens",
        ModelOption.STREAM: "stream",
        ModelOption.STOP_SEQUENCES: "stop",
    }
    to_mellea_model_opts_map_completions: Final[Mapping[str, str]] = {
        "max_tokens": ModelOption.MAX_NEW_TOKENS,
        **_COMMON,
    }
    from_mellea_model_opts_map_completions: Final[Mapping[str, str]] = {
        ModelOption.SEED: "seed",
        ModelOption.MAX_NEW_TOKENS: "max_tokens",
        ModelOption.STREAM: "stream",
        ModelOption.STOP_SEQUENCES: "stop",
    }

    def __init__(
        self,
        model_id: str | ModelIdentifier = OPENAI_GPT_5_1,
        formatter: Any = None,
        base_url: str | None = None,
        model_options: Mapping[str, Any] | None = None,
        *,
        default_to_constraint_checking_alora: bool = True,
        load_embedded_adapters: bool = False,
        adapter_source: str | None = None,
        api_key: str | None = None,
        **client_kwargs: Any,
    ) -> None:
        if load_embedded_adapters or adapter_source is not None:
            raise LeftOut(f"the adapters of OpenAIBackend are left out: {ADAPTERS}")
        if not (api_key or os.environ.get("OPENAI_API_KEY")):
            raise ValueError(
                "OPENAI_API_KEY or api_key is required but not set. For a server that wants no "
                "key, any text will do."
            )
        if not (base_url or os.environ.get("OPENAI_BASE_URL")):
            _log.warning(
                "OpenAIBackend asks OpenAI's own server, as neither base_url nor OPENAI_BASE_URL "
                "names another one"
            )
        known = {
            _KEYWORDS[name]: value for name, value in client_kwargs.items() if name in _KEYWORDS
        }
        motet.OpenAIBackend.__init__(
            self,
            model_id,
            TemplateFormatter(model_id) if formatter is None else formatter,
            base_url,
            model_options,
            api_key=api_key,
            **known,
        )

    async def reply(self, request: motet.Request, reply: motet.Reply) -> None:
        """Ask the server and feed what it answers."""
        try:
            await motet.OpenAIBackend.reply(self, request, reply)
        except motet.BackendError as exc:
            raise for_openai(exc) from exc.__cause__

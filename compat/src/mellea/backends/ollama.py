"""The backend for Ollama."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import motet
from motet import ModelIdentifier, ModelOption, ModelOutputThunk
from motet.model_ids import IBM_GRANITE_4_1_3B

from .._client_errors import for_ollama
from ..formatters.template_formatter import TemplateFormatter
from .backend import ServedBackend

__all__ = ["OllamaModelBackend", "chat_response_delta_merge"]

_log: Final = logging.getLogger("mellea")


class OllamaModelBackend(ServedBackend, motet.OllamaModelBackend):
    """Talks to an Ollama server; see `motet.OllamaModelBackend`.

    Nothing is asked of the server when it is made. An error of the server is an
    ``ollama.ResponseError`` as well, if the program has imported that.
    """

    _provider = "ollama"

    to_mellea_model_opts_map: Final[Mapping[str, str]] = {
        "system": ModelOption.SYSTEM_PROMPT,
        "think": ModelOption.THINKING,
        "num_ctx": ModelOption.CONTEXT_WINDOW,
        "num_predict": ModelOption.MAX_NEW_TOKENS,
        "seed": ModelOption.SEED,
        "tools": ModelOption.TOOLS,
        "stream": ModelOption.STREAM,
        "stop": ModelOption.STOP_SEQUENCES,
    }
    from_mellea_model_opts_map: Final[Mapping[str, str]] = {
        ModelOption.CONTEXT_WINDOW: "num_ctx",
        ModelOption.MAX_NEW_TOKENS: "num_predict",
        ModelOption.SEED: "seed",
        ModelOption.STOP_SEQUENCES: "stop",
    }

    def __init__(
        self,
        model_id: str | ModelIdentifier = IBM_GRANITE_4_1_3B,
        formatter: Any = None,
        base_url: str | None = None,
        model_options: Mapping[str, Any] | None = None,
        timeout: float | None = 300.0,
        **client: Any,
    ) -> None:
        motet.OllamaModelBackend.__init__(
            self,
            model_id,
            TemplateFormatter(model_id) if formatter is None else formatter,
            base_url,
            model_options,
            timeout,
            **client,
        )

    async def reply(self, request: motet.Request, reply: motet.Reply) -> None:
        """Ask the server and feed what it answers."""
        try:
            await motet.OllamaModelBackend.reply(self, request, reply)
        except motet.BackendError as exc:
            raise for_ollama(exc) from exc.__cause__

    async def generate_from_raw(
        self,
        actions: Sequence[Any],
        ctx: Any = None,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> list[ModelOutputThunk[Any]]:
        """Have texts continued as they are, each by a request of its own.

        A reply without any text is no failure: its thunk has an ``error`` that says so.
        """
        thunks = await motet.Backend.generate_from_raw(
            self,
            actions,
            ctx,
            format=format,
            model_options=model_options,
            tool_calls=tool_calls,
        )
        for number, thunk in enumerate(thunks):
            if not thunk.value and not thunk.thinking:
                thunk.error = RuntimeError(
                    f"generate_from_raw: request {number} returned an empty response from Ollama; "
                    "Ollama does that while it loads a model, so ask again (mellea#599, "
                    "ollama#16326)"
                )
                _log.warning("%s", thunk.error)
        return thunks


def chat_response_delta_merge(mot: ModelOutputThunk[Any], delta: Any) -> None:
    """Fold the next piece of a streamed reply into ``mot.raw.response``.

    The first piece itself becomes the response; texts, thoughts and tool calls of the others
    are added to it, and of every other field the first value stays.

    Args:
        mot: the thunk.
        delta: an ``ollama.ChatResponse``.
    """
    merged = mot.raw.response
    if merged is None:
        mot.raw.response = delta
        return
    merged.done = merged.done or delta.done
    for field in type(delta).model_fields:
        if field not in ("message", "done") and getattr(merged, field) is None:
            setattr(merged, field, getattr(delta, field))
    message, more = merged.message, delta.message
    message.role = message.role or more.role
    message.content = (message.content or "") + (more.content or "")
    if more.thinking:
        message.thinking = (message.thinking or "") + more.thinking
    if more.tool_calls:
        message.tool_calls = [*(message.tool_calls or ()), *more.tool_calls]

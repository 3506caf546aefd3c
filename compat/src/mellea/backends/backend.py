"""Backends that put components into words with a formatter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import motet
from motet import ChatMessage, Context, ImageBlock, Message, ModelIdentifier, ModelOutputThunk

from ..core.backend import Backend
from ..core.thunk import become
from ..formatters.template_formatter import TemplateFormatter

__all__ = ["FormatterBackend"]


class FormatterBackend(Backend):
    """A backend with a model, a formatter and options of its own; the base of most.

    Args:
        model_id: the model, as the server calls it, or an identifier.
        formatter: puts components into words; one for the model without it.
        model_options: options for every call, unless the call says otherwise.
    """

    def __init__(
        self,
        model_id: str | ModelIdentifier,
        formatter: Any = None,
        *,
        model_options: Mapping[str, Any] | None = None,
    ) -> None:
        given: dict[str, Any] = vars(self)
        given["model_id"] = model_id
        given["formatter"] = TemplateFormatter(model_id) if formatter is None else formatter
        given["model_options"] = {} if model_options is None else dict(model_options)

    def to_messages(self, entries: Sequence[Any]) -> Sequence[ChatMessage]:
        """Return the entries of a conversation as messages, in the words of the formatter."""
        formatter: Any = self.formatter
        own = type(formatter).to_chat_messages
        if isinstance(formatter, motet.TemplateFormatter) and own in _OURS:
            # What is sent tells more of each message than programs are shown.
            return motet.TemplateFormatter.to_chat_messages(formatter, entries)
        return [_as_sent(each, formatter) for each in formatter.to_chat_messages(entries)]


_OURS: Final = (TemplateFormatter.to_chat_messages, motet.TemplateFormatter.to_chat_messages)


def _as_sent(message: Any, formatter: Any) -> ChatMessage:
    if not isinstance(message, Message):
        return cast("ChatMessage", message)
    images = [
        each.base64 if isinstance(each, ImageBlock) else str(each.value)
        for each in message.images or ()
    ]
    return ChatMessage(message.role, formatter.print(message), images=images)


class ServedBackend(FormatterBackend):
    """What the backends that motet has for model servers need to be backends of this path."""

    # These are motet's own: a generation is made of a request to the server, and not of what
    # `_generate_from_context` returns.
    begin = motet.Backend.begin  # type: ignore[assignment]  # it says what it takes
    generate_from_raw = motet.Backend.generate_from_raw

    @property
    def _model_id(self) -> str:
        return self.model_id

    async def generate_from_context(
        self,
        action: Any,
        ctx: Any,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> tuple[ModelOutputThunk[Any], Any]:
        """Start a generation; see `motet.Backend.generate_from_context`."""
        thunk, context = await motet.Backend.generate_from_context(
            self,
            action,
            ctx,
            format=format,
            model_options=model_options,
            tool_calls=tool_calls,
        )
        return become(thunk), context

    async def _generate_from_context(
        self,
        action: Any,
        ctx: Context,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> tuple[ModelOutputThunk[Any], Context]:
        return await motet.Backend.generate_from_context(
            self,
            action,
            ctx,
            format=format,
            model_options=model_options,
            tool_calls=tool_calls,
        )

    async def _generate_from_raw(
        self,
        actions: Sequence[Any],
        ctx: Context,
        *,
        format: Any = None,
        model_options: Mapping[str, Any] | None = None,
        tool_calls: bool = False,
    ) -> tuple[list[ModelOutputThunk[Any]], dict[str, Any] | None]:
        thunks = await motet.Backend.generate_from_raw(
            self,
            actions,
            ctx,
            format=format,
            model_options=model_options,
            tool_calls=tool_calls,
        )
        usages = [each.generation.usage for each in thunks]
        if any(usage is None for usage in usages):
            return thunks, None
        names = ("prompt_tokens", "completion_tokens", "total_tokens")
        return thunks, {
            name: sum((usage or {}).get(name) or 0 for usage in usages) for name in names
        }

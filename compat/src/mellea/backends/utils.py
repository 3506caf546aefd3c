"""Small helpers of backends that programs write."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from motet import Context, ModelOutputThunk, ModelToolCall

from .tools import parse_tools, read_tool_arguments

__all__ = ["get_value", "populate_response_metadata_openai_shape", "to_chat", "to_tool_calls"]


_log: Final = logging.getLogger("mellea")


def get_value(obj: Any, key: str) -> Any:
    """Return what *obj* has under *key*, as a mapping or as an attribute; None for nothing."""
    return obj.get(key) if isinstance(obj, Mapping) else getattr(obj, key, None)


def populate_response_metadata_openai_shape(mot: ModelOutputThunk[Any], response: Any) -> None:
    """Note on a thunk which model answered, the reply's name, and why it ended.

    Args:
        mot: the thunk.
        response: a reply as OpenAI's protocol has it, a mapping or an object; None for none.
    """
    if response is None:
        return
    facts = mot.generation
    facts.response_model = get_value(response, "model")
    facts.response_id = get_value(response, "id")
    reasons = [
        get_value(choice, "finish_reason") for choice in get_value(response, "choices") or ()
    ]
    facts.finish_reasons = [reason for reason in reasons if reason is not None] or None


def to_chat(
    action: Any, ctx: Context, formatter: Any, system_prompt: str | None
) -> list[dict[str, str]]:
    """Return a conversation and what is to be said next as messages of a role and a content.

    Raises:
        PendingReplyError: an answer in it has not arrived.
    """
    said = [*(ctx.view_for_generation() or ()), action]
    messages = [
        {"role": each.role, "content": each.content} for each in formatter.to_chat_messages(said)
    ]
    if system_prompt:
        messages.insert(0, {"role": "system", "content": system_prompt})
    return messages


def to_tool_calls(tools: Mapping[str, Any], decoded_result: str) -> dict[str, ModelToolCall] | None:
    """Return the calls that a model wrote down as JSON, with their tools; None for none.

    A call of a tool that is not there is left out, with a warning.
    """
    calls: dict[str, ModelToolCall] = {}
    for name, args in parse_tools(decoded_result):
        tool = tools.get(name)
        if tool is None:
            warn_of_unknown(name)
            continue
        takes = tool.as_json_tool["function"]["parameters"].get("properties")
        calls[name] = ModelToolCall(name, tool, read_tool_arguments(tool, args if takes else {}))
    return calls or None


def warn_of_unknown(name: str) -> None:
    """Say that a model asked for a tool that it does not have."""
    _log.warning("model attempted to call a non-existing function: %s", name)

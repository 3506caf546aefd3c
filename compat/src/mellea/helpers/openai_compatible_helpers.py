"""Replies and messages in the shape of OpenAI's protocol, for programs that speak it themselves.

The backend of motet does not use these: it has its own, which cost nothing for each token.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypedDict

import pydantic

from motet import ImageBlock, Message, ModelOutputThunk, ModelToolCall, ToolMessage

from ..backends.tools import read_tool_arguments
from ..backends.utils import warn_of_unknown

__all__ = [
    "CompletionUsage",
    "ToolCallDict",
    "ToolCallFunction",
    "build_completion_usage",
    "build_tool_calls",
    "chat_completion_delta_merge",
    "extract_model_tool_requests",
    "has_tool_calls",
    "message_to_openai_message",
    "messages_to_docs",
]


class ToolCallFunction(TypedDict):
    """The function that a tool call names, and its arguments as JSON."""

    name: str
    arguments: str


class ToolCallDict(TypedDict):
    """A tool call."""

    id: str
    type: Literal["function"]
    function: ToolCallFunction
    index: NotRequired[int]


class CompletionUsage(pydantic.BaseModel):
    """What a reply cost, in tokens."""

    completion_tokens: int
    prompt_tokens: int
    total_tokens: int


def extract_model_tool_requests(
    tools: Mapping[str, Any], response: Mapping[str, Any]
) -> dict[str, ModelToolCall] | None:
    """Return the calls in a reply's choice, with their tools; None for none.

    A call of a tool that is not there is left out, with a warning. A further call of the
    same tool stands under its name with a number.

    Args:
        tools: the tools, by name.
        response: the choice: a mapping with a ``message``.

    Raises:
        json.JSONDecodeError: arguments of a call are not JSON.
    """
    calls: dict[str, ModelToolCall] = {}
    for asked in response["message"].get("tool_calls") or ():
        name = asked["function"]["name"]
        tool = tools.get(name)
        if tool is None:
            warn_of_unknown(name)
            continue
        args = json.loads(asked["function"]["arguments"] or "{}")
        key, count = name, 1
        while key in calls:
            count += 1
            key = f"{name} ({count})"
        calls[key] = ModelToolCall(name, tool, read_tool_arguments(tool, args), id=asked.get("id"))
    return calls or None


def chat_completion_delta_merge(
    chunks: Sequence[Mapping[str, Any]], force_all_tool_calls_separate: bool = False
) -> dict[str, Any]:
    """Return the pieces of a streamed choice as the choice of a plain reply.

    Args:
        chunks: the choices of the pieces, in order.
        force_all_tool_calls_separate: whether every piece of a tool call is a call of its
            own, for servers that give all of them the same index.
    """
    merged: dict[str, Any] = {
        "finish_reason": None,
        "index": 0,
        "logprobs": None,
        "stop_reason": None,
    }
    message: dict[str, Any] = {
        "content": "",
        "reasoning_content": "",
        "role": None,
        "tool_calls": [],
    }
    by_index: dict[Any, dict[str, Any]] = {}
    for chunk in chunks:
        for key in merged:
            if chunk.get(key) is not None:
                merged[key] = chunk[key]
        delta = chunk.get("delta") or {}
        message["role"] = message["role"] or delta.get("role")
        message["content"] += delta.get("content") or ""
        message["reasoning_content"] += (
            delta.get("reasoning_content") or delta.get("reasoning") or ""
        )
        for piece in delta.get("tool_calls") or ():
            call = None if force_all_tool_calls_separate else by_index.get(piece.get("index"))
            if call is None:
                call = {"function": {"name": "", "arguments": ""}}
                by_index[piece.get("index")] = call
                message["tool_calls"].append(call)
            for key in ("id", "type"):
                if piece.get(key):
                    call[key] = piece[key]
            for key, text in (piece.get("function") or {}).items():
                call["function"][key] = call["function"].get(key, "") + (text or "")
    return {**merged, "message": message}


def message_to_openai_message(msg: Message, formatter: Any = None) -> dict[str, Any]:
    """Return a message as OpenAI's protocol has it.

    Args:
        msg: the message.
        formatter: puts it into words, its documents included; without one the content is
            taken as it is.
    """
    text = msg.content if formatter is None else formatter.print(msg)
    answer: dict[str, Any] = {"role": msg.role, "content": text}
    if msg.images is not None:
        answer["content"] = [{"type": "text", "text": text}, *map(_image, msg.images)]
    if isinstance(msg, ToolMessage) and msg.call_id is not None:
        answer["tool_call_id"] = msg.call_id
    return answer


def _image(image: Any) -> dict[str, Any]:
    if isinstance(image, ImageBlock):
        return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image.base64}"}}
    return {"type": "image_url", "image_url": {"url": str(image.value)}}


def messages_to_docs(msgs: Sequence[Message]) -> list[dict[str, str]]:
    """Return the documents of messages, each with what it has of text, title and doc_id."""
    return [
        {
            name: value
            for name in ("text", "title", "doc_id")
            if (value := getattr(document, name)) is not None
        }
        for message in msgs
        for document in message.documents
    ]


def build_completion_usage(output: ModelOutputThunk[Any]) -> CompletionUsage | None:
    """Return what a reply cost; None if that is not known."""
    usage = output.generation.usage
    if usage is None:
        return None
    prompt, completion = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    return CompletionUsage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=usage.get("total_tokens") or prompt + completion,
    )


def has_tool_calls(output: ModelOutputThunk[Any]) -> bool:
    """Tell whether a reply asks for a tool."""
    return bool(output.tool_calls)


def build_tool_calls(output: ModelOutputThunk[Any]) -> list[ToolCallDict] | None:
    """Return the calls of a reply as OpenAI's protocol has them; None for none.

    What JSON does not have becomes text.
    """
    if not output.tool_calls:
        return None
    return [
        {
            "id": call.id or f"call_{uuid.uuid4().hex[:24]}",
            "type": "function",
            "function": {
                "name": call.name,
                "arguments": json.dumps(dict(call.args), default=str),
            },
        }
        for call in output.tool_calls.values()
    ]

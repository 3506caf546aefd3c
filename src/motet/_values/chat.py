"""What is said to a model, and the calls it asks for, between prompt and wire.

These values are neutral: they know neither the components they were made from nor the
bytes they become.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs

Role = Literal["system", "user", "assistant", "tool"]
"""Who speaks."""


@attrs.frozen
class ToolCallRequest:
    """A model asks for a tool to be called.

    Attributes:
        name: the tool, as the model calls it; there may be none of that name.
        arguments: the keyword arguments, as the model gave them: not checked.
        id: the server's name for this call, which the answer must repeat; some servers
            give none.
    """

    name: str
    arguments: Mapping[str, Any]
    id: str | None = None


# Not `tuple` itself, whose type says nothing of the items.
def _texts(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(items)


def _calls(items: Iterable[ToolCallRequest]) -> tuple[ToolCallRequest, ...]:
    return tuple(items)


@attrs.frozen
class ChatMessage:
    """One message of a conversation, as a model is shown it.

    Attributes:
        role: who speaks.
        content: the text.
        images: each as base64 text without a ``data:`` prefix, or as a URL.
        tool_calls: the calls that an assistant asked for in this message.
        tool_name: the tool whose result this is, for the role ``tool``.
        tool_call_id: the `ToolCallRequest.id` that this is the result of.
        thinking: what an assistant thought before it spoke.
    """

    role: Role
    content: str
    images: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    tool_calls: tuple[ToolCallRequest, ...] = attrs.field(default=(), converter=_calls)
    tool_name: str | None = None
    tool_call_id: str | None = None
    thinking: str | None = None

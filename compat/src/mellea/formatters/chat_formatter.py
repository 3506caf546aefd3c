"""What makes messages of a conversation, in whatever words."""

from collections.abc import Sequence
from typing import Any

from motet import Component, Message, ModelOutputThunk, PendingReplyError, TemplateRepresentation

from ..core.formatter import Formatter

__all__ = ["ChatFormatter"]


class ChatFormatter(Formatter):
    """Makes messages of a conversation; a subclass says with `print` in which words."""

    def to_chat_messages(self, cs: Sequence[Any]) -> list[Message]:
        """Return the entries of a conversation as messages.

        An answer that was read as a message is that message, and any other answer what it was
        read as; a message stays as it is; everything else the user says.

        Args:
            cs: the entries: components, blocks, and answers, which must have arrived.

        Raises:
            PendingReplyError: an answer has not arrived.
        """
        return [_message(each, self) for each in cs]


def _message(entry: Any, formatter: Formatter) -> Message:
    match entry:
        case ModelOutputThunk():
            text = str(entry)  # first, because this is what waits, or says why it cannot
            if not entry.is_computed():
                raise PendingReplyError(
                    "a conversation with an answer that has not arrived cannot be put into "
                    "messages; `await thunk.avalue()` first"
                )
            read = entry.parsed_repr
            if isinstance(read, Message):
                return read
            if isinstance(read, Component):
                return Message("assistant", formatter.print(read))
            return Message("assistant", text if read is None else str(read))
        case Message():
            return entry
        case _:
            images = None
            if isinstance(entry, Component):
                representation = entry.format_for_llm()
                if isinstance(representation, TemplateRepresentation):
                    images = representation.images
            return Message("user", formatter.print(entry), images=images)

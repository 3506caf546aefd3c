"""Messages of a conversation."""

from motet import Message as Message
from motet import ToolMessage as ToolMessage
from motet import as_chat_history as as_chat_history
from motet import as_generic_chat_history as as_generic_chat_history

__all__ = ["Message", "ToolMessage", "as_chat_history", "as_generic_chat_history"]

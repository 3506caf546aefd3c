"""A context as a list of messages: strictly, or with whatever is in it put into words."""

import logging
from collections.abc import Callable
from typing import Any, Final

from .._thunk.thunk import ModelOutputThunk
from .._values.errors import PendingReplyError
from .._values.misuse import WrongType
from .blocks import CBlock
from .context import Context
from .message import Message

_log: Final = logging.getLogger("motet")


def as_chat_history(ctx: Context) -> list[Message]:
    """Return the messages of a conversation, oldest first; turns that failed are left out.

    Raises:
        TypeError: an entry is neither a message nor the answer to one.
        PendingReplyError: an answer has not arrived.
    """
    return [_message(entry) for entry in ctx.as_list()]


def _message(entry: Any) -> Message:
    said = _arrived(entry).parsed_repr if isinstance(entry, ModelOutputThunk) else entry
    if not isinstance(said, Message):
        raise WrongType(
            f"this context is no chat: a {type(entry).__name__} in it is neither a Message nor "
            "the answer to one; as_generic_chat_history() takes whatever there is"
        )
    return said


def as_generic_chat_history(
    ctx: Context, formatter: Callable[[Any], str] | None = None
) -> list[Message]:
    """Return what a context holds as messages, oldest first; turns that failed are left out.

    Args:
        ctx: the context.
        formatter: puts into words what is neither text nor a message; `str` without it.

    Raises:
        PendingReplyError: an answer has not arrived.
    """
    return [_generic(entry, formatter) for entry in ctx.as_list()]


def _generic(entry: Any, formatter: Callable[[Any], str] | None) -> Message:
    match entry:
        case Message():
            return entry
        case ModelOutputThunk():
            return _answer(_arrived(entry), formatter)
        case CBlock():
            return Message("user", entry.value or "")
        case _:
            return Message("user", _in_words(entry, formatter))


def _answer(thunk: ModelOutputThunk[Any], formatter: Callable[[Any], str] | None) -> Message:
    match thunk.parsed_repr:
        case Message() as message:
            return message
        case str() as text:
            return Message("assistant", text)
        case None:
            return Message("assistant", str(thunk))
        case parsed:
            return Message("assistant", _in_words(parsed, formatter))


def _in_words(thing: Any, formatter: Callable[[Any], str] | None) -> str:
    if formatter is not None:
        return formatter(thing)
    _log.warning("a %s becomes a message as str() shows it", type(thing).__name__)
    return str(thing)


def _arrived(thunk: ModelOutputThunk[Any]) -> ModelOutputThunk[Any]:
    if not thunk.is_settled() and thunk.value is None:
        raise PendingReplyError(
            "an answer in this context has not arrived; `await` it before you ask for the history"
        )
    return thunk

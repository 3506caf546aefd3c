"""Requests to JSON, with a name for the part that cannot be written.

Options and messages come from the program, which may put anything into them; an encoder
would say what it cannot write, and not where that is.
"""

from collections.abc import Mapping
from typing import Any

import msgspec


def encode_body(body: Mapping[str, Any], options: Mapping[str, Any]) -> bytes:
    """Return a request as JSON.

    Args:
        body: the request.
        options: what in it comes from model options, under the names it is sent by.

    Raises:
        TypeError: a part cannot be written as JSON; says which.
        ValueError: a part contains itself, or a text has surrogate characters; says which.
    """
    try:
        return msgspec.json.encode(body)
    except TypeError as exc:
        raise TypeError(f"{_unsendable(body, options)} cannot be written as JSON: {exc}") from exc
    except (UnicodeEncodeError, RecursionError) as exc:
        raise ValueError(f"{_unsendable(body, options)} cannot be written as JSON: {exc}") from exc


def _unsendable(body: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """Name the part of a request that the encoder refuses."""
    parts = [(f"model option {key!r}", (key, value)) for key, value in options.items()]
    parts += [(f"message {index}", value) for index, value in enumerate(body.get("messages", ()))]
    parts += [(f"{key!r} of the request", value) for key, value in body.items()]
    return next((name for name, value in parts if not _can_encode(value)), "the request")


def _can_encode(value: Any) -> bool:
    try:
        msgspec.json.encode(value)
    except (TypeError, UnicodeEncodeError, RecursionError):
        return False
    return True

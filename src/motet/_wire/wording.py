"""What a server says when something is wrong, in one short line.

Servers and the proxies before them agree on no shape for an error, so it is looked for in
the usual places and otherwise quoted as it came, shortened.
"""

from typing import Any, Final

import msgspec

# Enough of a line or body to recognise it by, and little enough for a log.
_MOST_QUOTED: Final = 200
_MOST_ERROR_TEXT: Final = 500


def error_text(body: bytes) -> str:
    """Return what the body of an error response says, in one short line.

    Servers and the proxies before them agree on no shape, so this looks for the usual
    places in JSON and otherwise takes the text as it is. ``""`` if nothing is said.

    Args:
        body: the whole body, or as much of it as was read.
    """
    try:
        said = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        # Four bytes are the most that a character has: the rest would be cut off anyway.
        said = body[: 4 * _MOST_ERROR_TEXT].decode(errors="replace")
    return line_of(said)


def line_of(said: Any) -> str:
    """Return what a parsed error says, in one short line; ``""`` if nothing."""
    try:
        line = " ".join(_message_of(said).split())
    except RecursionError:
        return "an error that is nested too deep to be read"
    return line if len(line) <= _MOST_ERROR_TEXT else line[: _MOST_ERROR_TEXT - 3] + "..."


def _message_of(said: Any) -> str:
    """Find the words in an error of any shape."""
    match said:
        case str():
            return said
        case dict():
            # "msg" is in the items of the list that FastAPI has under "detail".
            inner = [said[key] for key in ("error", "message", "detail", "msg") if said.get(key)]
            if inner:
                return _message_of(inner[0])
        case list():
            return "; ".join(filter(None, map(_message_of, said)))
    return msgspec.json.encode(said).decode() if said else ""


def quoted(line: bytes) -> str:
    """Return bytes as a message may quote them."""
    if len(line) <= _MOST_QUOTED:
        return repr(line)
    return f"{line[:_MOST_QUOTED]!r}... ({len(line)} bytes)"

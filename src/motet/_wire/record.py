"""What the readers of all protocols have in common.

A backend reads a reply with two of these: a splitter cuts the bytes of a body into pieces,
and a record puts the pieces together. Neither waits or knows who listens.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from motet._values.chat import ToolCallRequest
from motet._values.errors import ReplyError


class Splitter(Protocol):
    """Cuts a body into pieces; see `LineSplitter` and `EventSplitter`."""

    @property
    def silent(self) -> bool:
        """Whether what came since the last piece says nothing: blanks, comments."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes and return the pieces they complete."""

    def finish(self) -> bytes:
        """Take the end and return the piece it left without an end, or ``b""``."""


class Record(Protocol):
    """Puts one reply together; the attributes say what is known so far.

    Attributes:
        done: whether the reply is complete; more may come all the same.
        failure: what the server said went wrong, in the piece that was taken last; for who
            takes the pieces to raise, after the text that came with it.
    """

    done: bool
    failure: ReplyError | None

    def take(self, piece: bytes) -> tuple[str, str]:
        """Merge the next piece; return the text and the thoughts it adds."""

    def check(self) -> None:
        """Raise if a complete reply cannot be used."""

    def response(self) -> dict[str, Any]:
        """Return the reply so far as one record."""

    @property
    def begun(self) -> bool:
        """Whether anything of the reply has come, and not only that there will be one."""

    @property
    def tool_calls(self) -> Sequence[ToolCallRequest]:
        """The calls that the model asked for."""

    @property
    def model(self) -> str | None:
        """The model that answers, in the server's words."""

    @property
    def response_id(self) -> str | None:
        """The server's name for the reply."""

    @property
    def finish_reasons(self) -> list[str] | None:
        """Why the reply ended, one for each choice."""

    @property
    def usage(self) -> dict[str, Any] | None:
        """The tokens of the prompt, of the reply and of both."""

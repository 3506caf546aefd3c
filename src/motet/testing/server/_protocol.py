"""
What every wire protocol of the simulated server speaks of: a prompt, deltas, a call.

This module knows data and the shape of a dialect. It knows neither a protocol nor HTTP,
sockets or time. A dialect turns a path and a body into a `Call`, which wants a reply
from the model, or into an `Answer`, which is one already.
"""

import enum
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import attrs

# No real tokeniser has tokens much longer; scripts without spaces are cut here, too.
_TOKEN: Final = re.compile(r"\s*\S{1,12}|\s+")


@attrs.frozen
class Turn:
    """One message of a conversation."""

    role: str
    text: str


@attrs.frozen
class Ask:
    """What the model is asked, whatever the protocol.

    Attributes:
        turns: the conversation, oldest first.
        schema: the JSON schema that the reply must fit.
        wants_json: the reply must be JSON of any shape.
        wants_thinking: thoughts come before the reply.
        seed: chooses between words that serve equally well.
        max_tokens: the reply ends after so many, thoughts included.
        stop: the reply ends before the first of these strings.
    """

    turns: tuple[Turn, ...]
    schema: Mapping[str, Any] | None = None
    wants_json: bool = False
    wants_thinking: bool = False
    seed: int = 0
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()

    @property
    def prompt(self) -> str:
        """The text of the last turn that the user wrote."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), "")

    @property
    def prompt_tokens(self) -> int:
        """How many tokens the conversation has."""
        return sum(len(tokenise(turn.text)) for turn in self.turns)


class Kind(enum.Enum):
    """What a delta adds to."""

    TEXT = enum.auto()
    THINKING = enum.auto()
    TOOL_CALL = enum.auto()


@attrs.frozen
class Delta:
    """A piece of a reply, sent on a line of its own."""

    kind: Kind
    text: str = ""
    tool_call: Mapping[str, Any] | None = None


@attrs.frozen
class Stats:
    """The numbers at the end of a reply; durations in seconds."""

    done_reason: str
    prompt_tokens: int
    reply_tokens: int
    prompt_duration: float
    reply_duration: float


class Writer(Protocol):
    """How a dialect writes one reply; each method returns bytes of the HTTP body."""

    stream_content_type: str

    def delta(self, delta: Delta) -> bytes:
        """Write one delta, line ending included."""
        ...

    def last(self, stats: Stats) -> bytes:
        """Write what ends a complete reply."""
        ...

    def whole(self, deltas: list[Delta], stats: Stats | None) -> bytes:
        """Write a reply that is not streamed; without *stats*, one that is not complete."""
        ...

    def error(self, message: str) -> bytes:
        """Write an error in the middle of a stream."""
        ...

    def garbage(self) -> bytes:
        """Write a piece of the stream that is not JSON."""
        ...

    def keep_alive(self) -> bytes:
        """Write what only shows that the connection lives."""
        ...

    def endless(self) -> bytes:
        """Write the beginning of a line, up to the inside of its text."""
        ...


@attrs.frozen
class Call:
    """A request that wants a reply from the model."""

    ask: Ask
    model: str  # with the suffix that says it is simulated
    streamed: bool
    writer: Writer


@attrs.frozen
class Answer:
    """A response that needs no model."""

    status: int
    payload: Any = None  # sent as JSON
    text: str | None = None  # sent instead, as it is
    content_type: str = "text/plain; charset=utf-8"  # of `text`
    effect: Callable[[], object] | None = None  # what it does, unless a script is in its place


def tokenise(text: str) -> list[str]:
    """Cut a text into tokens: words with the space before them, long ones in pieces.

    Joined they are the text again.
    """
    return _TOKEN.findall(text)


class Dialect(Protocol):
    """A protocol as the server speaks it."""

    def wants_reply(self, method: str, path: str) -> bool:
        """Whether a request asks the model for something."""
        ...

    def understand(self, method: str, path: str, body: bytes) -> Call | Answer:
        """Return what a request wants."""
        ...

    def error(self, status: int, message: str) -> object:
        """Return the payload of a response with an error status."""
        ...

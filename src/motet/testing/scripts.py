"""Replies as data, and which request gets which reply.

A *reply* is a text, or the steps that it consists of, one after the other:

    str                   a delta of text
    Thinking              a delta of reasoning
    Pause, or a number    seconds of silence; `NEVER` is a pause without end
    anyio.Event           silence until the test sets it
    ToolCallRequest       a tool that the model wants to be called
    Exception             the server fails; what is raised, as it is
    TRUNCATED             the reply ends without its end
    Finish                what the server says at the end, always the last step

This module knows what can be said and chooses; `scripted` does what stands here.
"""

import enum
import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import anyio
import attrs
from attrs.validators import ge, instance_of

from .._language.tools.table import Tool
from .._values.chat import ChatMessage, ToolCallRequest

_EXCERPT: Final = 60  # characters of a prompt that a message quotes


@attrs.frozen
class Pause:
    """The server is silent for some seconds of the event loop's clock.

    One that is longer than `ModelOption.STREAM_TIMEOUT` ends as it does with a real
    server: `BackendTimeout` is raised when that limit has passed.
    """

    seconds: float = attrs.field(validator=ge(0))


NEVER: Final = Pause(math.inf)
"""A pause without end: the server has taken the request, and never says (any more of) its reply."""


@attrs.frozen
class Thinking:
    """Reasoning text that arrives before, or between, the text of the reply."""

    text: str = attrs.field(validator=instance_of(str))


@attrs.frozen
class Truncated:
    """The reply ends here without its end, which is an error: `TruncatedReply`."""


TRUNCATED: Final = Truncated()
"""The one `Truncated`."""


@attrs.frozen(kw_only=True)
class Finish:
    """What the server says of its reply at the end.

    Attributes:
        usage: the tokens of prompt and completion; without it the words of the messages and
            the deltas of the reply are counted.
        finish_reason: why the reply ended.
        model: the model that answered, if it has another name than the one that was asked.
        response_id: the server's name for the reply.
        response: the reply as the server's own record, for `ModelOutputThunk.raw`.
    """

    usage: Mapping[str, Any] | None = None
    finish_reason: str | None = None
    model: str | None = None
    response_id: str | None = None
    response: Any = None


ScriptedStep: TypeAlias = (
    str | Thinking | Pause | float | anyio.Event | ToolCallRequest | Exception | Truncated | Finish
)
"""What a reply does next; see the module's text."""

ScriptedReply: TypeAlias = ScriptedStep | Iterable[ScriptedStep]
"""One step, or several. An iterator is asked for each step when its time has come."""


class ReplyOutcome(enum.Enum):
    """How a scripted reply ended, if it did."""

    OPEN = "open"
    COMPLETED = "completed"
    FAILED = "failed"  # by an error of the script, or by silence that was too long
    CANCELLED = "cancelled"


@attrs.define(eq=False)
class ScriptedRequest:
    """One request and what became of it. Times are those of its event loop's clock, seconds.

    Attributes:
        number: 0 for the first since the backend was made.
        messages: what was said, oldest first.
        options: the options in force, those of the backend and of the call.
        schema: the JSON schema that the reply had to conform to.
        tools: the tools that were offered, by name.
        silence_timeout: for how long the server was allowed to be silent, in seconds.
        asked_at: when the request came.
        first_delta_at: when the first text or thought was delivered.
        ended_at: when the reply ended.
        outcome: how it ended.
        error: what it failed with.
        sent: the deltas that were delivered, thoughts not included.
    """

    number: int
    messages: tuple[ChatMessage, ...] = attrs.field(repr=False)
    options: Mapping[str, Any] = attrs.field(repr=False)
    schema: Mapping[str, Any] | None = attrs.field(repr=False)
    tools: Mapping[str, Tool] = attrs.field(repr=False)
    silence_timeout: float | None = attrs.field(repr=False)
    asked_at: float
    first_delta_at: float | None = attrs.field(default=None, repr=False)
    ended_at: float | None = attrs.field(default=None, repr=False)
    outcome: ReplyOutcome = ReplyOutcome.OPEN
    error: Exception | None = attrs.field(default=None, repr=False)
    sent: list[str] = attrs.field(factory=list, repr=False)

    @property
    def prompt(self) -> str:
        """The text of the last message."""
        return self.messages[-1].content

    @property
    def text_sent(self) -> str:
        """The text that was delivered."""
        return "".join(self.sent)

    def describe(self) -> str:
        """Say in a line what this request is and how far it has come."""
        ended = "" if self.ended_at is None else f" after {self.ended_at - self.asked_at:.6g} s"
        deltas = "1 delta" if len(self.sent) == 1 else f"{len(self.sent)} deltas"
        return (
            f"request {self.number} {excerpt(self.prompt)}: {deltas} sent, "
            f"{self.outcome.value}{ended}"
        )


Condition: TypeAlias = str | re.Pattern[str] | Callable[[ScriptedRequest], object]
"""Which requests: a text that the prompt contains, a pattern found in it, or a function."""

Replies: TypeAlias = (
    str | Callable[[ScriptedRequest], ScriptedReply] | Iterable[ScriptedReply] | None
)
"""Replies for one request after the other; or a text, or a function, for all."""


class ScriptError(AssertionError):
    """A request came that no script has a reply for, or a reply was never asked for."""


_Source: TypeAlias = Callable[[ScriptedRequest], ScriptedReply] | deque[ScriptedReply]


@attrs.define
class Script:
    """Replies, and which requests they are for."""

    when: Condition | None
    source: _Source
    used: int = 0

    def fits(self, asked: ScriptedRequest) -> bool:
        """Tell whether the replies are for a request."""
        match self.when:
            case None:
                return True
            case str():
                return self.when in asked.prompt
            case re.Pattern():
                return self.when.search(asked.prompt) is not None
            case condition:
                return bool(condition(asked))

    def take(self, asked: ScriptedRequest) -> ScriptedReply | None:
        """Return the next reply, or None if none is left."""
        if isinstance(self.source, deque) and not self.source:
            return None
        self.used += 1
        return self.source.popleft() if isinstance(self.source, deque) else self.source(asked)

    def unused(self) -> list[str]:
        """Say of each reply that is left which one it is."""
        left = self.source if isinstance(self.source, deque) else ()
        return [f"{self.whose()}: {excerpt(repr(reply), quoted=False)}" for reply in left]

    def whose(self) -> str:
        """Say which requests the replies are for."""
        match self.when:
            case None:
                return "for any request"
            case re.Pattern():
                return f"for prompts that match {self.when.pattern!r}"
            case str():
                return f"for prompts with {self.when!r}"
            case condition:
                return f"for requests that fit {getattr(condition, '__name__', condition)!s}"

    def describe(self) -> str:
        """Say in a line which requests the replies are for, and how many are left."""
        left = f"{len(self.source)} left" if isinstance(self.source, deque) else "without end"
        return f"{self.whose()}: {self.used} replies used, {left}"


def source_of(replies: Replies) -> _Source:
    """Return where a script takes its replies from.

    Raises:
        TypeError, ValueError: what stands there cannot be a reply.
    """
    if isinstance(replies, str):
        text = replies
        return lambda _: text
    if callable(replies):
        return replies
    if not isinstance(replies, Iterable):
        raise TypeError(
            f"replies should be a list of replies, a text or a function, not {replies!r}"
        )
    listed = deque(replies)
    for reply in listed:
        # Steps that are made one by one are looked at when their time has come.
        if not isinstance(reply, Iterator):
            for step in steps_of(reply):
                check_step(step)
    return listed


_STEPS: Final = (
    str,
    Thinking,
    Pause,
    float,
    int,
    anyio.Event,
    ToolCallRequest,
    Exception,
    Truncated,
    Finish,
)


def check_step(step: object) -> None:
    """Look whether something can be a step.

    Raises:
        TypeError, ValueError: it cannot.
    """
    if not isinstance(step, _STEPS) or isinstance(step, bool):
        raise TypeError(f"not a step of a scripted reply: {step!r}")
    if isinstance(step, float | int) and not step >= 0:
        raise ValueError(f"a pause should be a number of seconds from 0 on, not {step!r}")


def steps_of(reply: ScriptedReply) -> Iterator[ScriptedStep]:
    """Yield the steps of a reply, each when it is asked for."""
    # A text is an iterable, too, and is meant as one delta.
    if isinstance(reply, Iterable) and not isinstance(reply, str):
        yield from reply
    else:
        yield reply


def excerpt(text: str, *, quoted: bool = True) -> str:
    """Return the beginning of a text, on one line, for a message."""
    line = " ".join(text.split())
    if len(line) > _EXCERPT:
        line = f"{line[: _EXCERPT - 1]}…"
    return repr(line) if quoted else line


def listed(head: str, lines: Iterable[str]) -> str:
    """Return a message with a list below it."""
    return "\n  ".join([f"{head}:", *lines])

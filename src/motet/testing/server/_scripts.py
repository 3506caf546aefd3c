"""
What the server shall do with a request, as data: good replies, refusals and faults.

This module knows what can be asked for and chooses the step for a request. It neither
writes bytes nor waits; `_perform` does what stands here.

A script is a list of steps. A step is a `Reply` (with or without a fault in it), a bare
fault (``Drop(3)`` is short for ``Reply(fault=Drop(3))``), or a response without any
reply: `Refuse`, `Redirect`, `EndlessHeaders`.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
from attrs.validators import ge, gt, optional

from motet.testing.server._records import ServedRequest

_tokens = attrs.field(default=0, validator=ge(0))


@attrs.frozen
class Drop:
    """Close the connection in the middle of the reply.

    Attributes:
        after_tokens: how many tokens are sent before; as for every fault.
    """

    after_tokens: int = _tokens


@attrs.frozen
class Reset:
    """Reset the connection (TCP RST) in the middle of the reply."""

    after_tokens: int = _tokens


@attrs.frozen
class Stall:
    """Send nothing for a while, by default until the client hangs up.

    Attributes:
        seconds: how long; then the reply goes on.
        keep_alive: meanwhile send, every so many seconds, what only shows that the connection
            lives: a comment, or a blank line.
    """

    after_tokens: int = _tokens
    seconds: float = attrs.field(default=math.inf, validator=ge(0))
    keep_alive: float | None = attrs.field(default=None, validator=optional(gt(0)))


@attrs.frozen
class Garbage:
    """Send bytes that are no piece of the protocol, then end the body properly.

    Attributes:
        data: the bytes; ``None`` for a line, or an event, that is not JSON.
    """

    after_tokens: int = _tokens
    data: bytes | None = None


@attrs.frozen
class ErrorLine:
    """Report an error inside the reply, on a line or in an event; the status is 200 already.

    A reply that is not streamed gets a status of 500 instead.
    """

    after_tokens: int = _tokens
    message: str = "the model runner has stopped (simulated)"


@attrs.frozen
class Truncate:
    """End the body properly, but without the line, or the events, that end a reply."""

    after_tokens: int = _tokens


@attrs.frozen
class EndlessLine:
    """Begin a line that does not end.

    Attributes:
        max_bytes: after so many the connection is closed, lest a test that fails to
            stop it fills the memory.
    """

    after_tokens: int = _tokens
    max_bytes: int = 64 * 1024 * 1024


Fault = Drop | Reset | Stall | Garbage | ErrorLine | Truncate | EndlessLine


@attrs.frozen
class Reply:
    r"""A reply with status 200.

    Attributes:
        text: what the model says: a text, cut into tokens; a list of tokens, sent as they
            are; ``None`` to let the server find a reply.
        thinking: what it thinks before, likewise; ``None`` to let the server decide.
        tool_calls: after the text; each as Ollama writes it, ``{"function": {"name": ...,
            "arguments": {...}}}``, perhaps with an ``id``, whatever protocol is spoken.
        time_to_first_token: seconds; ``None`` for the server's setting.
        tokens_per_second: ``math.inf`` for as fast as possible, ``None`` for the
            server's setting.
        headers_at_once: send the headers before the first token; ``None`` for the
            server's setting.
        done_reason: ``None`` for what is true.
        content_type: ``None`` for the right one.
        newline: what ends a line: ``"\n"`` or ``"\r\n"``; ``"\r"`` ends one of an event.
        blank_lines: put an empty line before each line.
        slice_bytes: deliver the body in HTTP chunks of so many bytes, so that the client
            gets lines and characters cut anywhere.
        fault: what goes wrong on the way.
    """

    text: str | Sequence[str] | None = None
    thinking: str | Sequence[str] | None = attrs.field(default=None, kw_only=True)
    tool_calls: Sequence[Mapping[str, Any]] = attrs.field(default=(), kw_only=True)
    time_to_first_token: float | None = attrs.field(
        default=None, kw_only=True, validator=optional(ge(0))
    )
    tokens_per_second: float | None = attrs.field(
        default=None, kw_only=True, validator=optional(gt(0))
    )
    headers_at_once: bool | None = attrs.field(default=None, kw_only=True)
    done_reason: str | None = attrs.field(default=None, kw_only=True)
    content_type: str | None = attrs.field(default=None, kw_only=True)
    newline: str = attrs.field(default="\n", kw_only=True)
    blank_lines: bool = attrs.field(default=False, kw_only=True)
    slice_bytes: int | None = attrs.field(default=None, kw_only=True, validator=optional(gt(0)))
    fault: Fault | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class Refuse:
    """A response with an error status.

    Attributes:
        error: stands in the body as the protocol wants it.
        body: sent instead, as it is.
    """

    status: int = 503
    error: str = "the server is too busy (simulated)"
    headers: Mapping[str, str] = attrs.field(factory=dict)
    body: bytes | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class Redirect:
    """A response that sends the client elsewhere."""

    location: str
    status: int = 307


@attrs.frozen
class EndlessHeaders:
    """A response whose headers do not end; `max_bytes` as for `EndlessLine`."""

    max_bytes: int = 64 * 1024 * 1024


Step = Reply | Refuse | Redirect | EndlessHeaders | Fault
_STEPS = (
    Reply,
    Refuse,
    Redirect,
    EndlessHeaders,
    Drop,
    Reset,
    Stall,
    Garbage,
    ErrorLine,
    Truncate,
    EndlessLine,
)

Condition = Callable[[ServedRequest], bool]


@attrs.define
class _Rule:
    steps: Iterator[Step]
    when: Condition | None
    path: str | None


@attrs.define
class Script:
    """The steps to come, and which request gets which.

    May be written from one thread while another takes steps from it.
    """

    _rules: deque[_Rule] = attrs.field(factory=deque, init=False)

    def add(
        self,
        steps: Iterable[Step],
        *,
        when: Condition | None = None,
        path: str | None = None,
        repeat: bool = False,
    ) -> None:
        """Append steps; see `ModelServer.script`.

        Raises:
            TypeError: one of them is not a step.
        """
        listed = list(steps)
        for step in listed:
            if not isinstance(step, _STEPS):
                raise TypeError(f"not a step of a script: {step!r}")
        if listed:
            self._rules.append(_Rule(_cycle(listed) if repeat else iter(listed), when, path))

    def take(self, request: ServedRequest) -> Step | None:
        """Return the step for a request, or ``None`` if no rule has one for it."""
        for rule in list(self._rules):
            wanted = request.path == rule.path if rule.path else request.wants_reply
            if wanted and (rule.when is None or rule.when(request)):
                step = next(rule.steps, None)
                if step is not None:
                    return step
        return None

    def clear(self) -> None:
        """Forget every step."""
        self._rules.clear()


def _cycle(steps: list[Step]) -> Iterator[Step]:
    while True:
        yield from steps

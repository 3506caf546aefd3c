"""
What the server has seen: every request, what was sent of its reply, how it ended.

This module knows counters and lists and nothing of sockets or protocols. The server's
own thread writes; any thread may read. Times are those of `time.monotonic`, in seconds:
all threads and processes of one machine share that clock, which a client under test can
therefore compare with its own.
"""

import enum
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs


class Outcome(enum.Enum):
    """How a request ended, if it did."""

    OPEN = "open"
    FINISHED = "finished"  # the whole reply was sent
    REFUSED = "refused"  # an error status or a redirect was sent
    FAILED = "failed"  # a scripted fault broke the reply
    HUNG_UP = "hung up"  # by the client
    STOPPED = "stopped"  # the server was closed


_EXCERPT: Final = 60  # characters of a prompt that a message quotes


@attrs.define(eq=False)
class ServedRequest:
    """One request and what became of it.

    Attributes:
        number: 0 for the first since the server was opened.
        connection: the number of the TCP connection it came on.
        headers: names in lower case.
        body: parsed JSON; the bytes, if it is none; ``None`` if there was none.
        wants_reply: the request asks the model for something.
        model: the name that the request gives.
        prompt: the last message of the user.
        streamed: the reply is, or would be, a stream.
        arrived_at: when the last byte of the request was here.
        first_token_at: when the first token had been written.
        ended_at: when the reply was over, or the client found to have hung up.
        sent: the tokens that were written, thoughts included.
    """

    number: int
    connection: int
    method: str
    path: str
    headers: Mapping[str, str] = attrs.field(repr=False)
    body: Any = attrs.field(repr=False)
    arrived_at: float = attrs.field(repr=False)
    wants_reply: bool = attrs.field(default=False, repr=False)
    model: str = ""
    prompt: str = ""
    streamed: bool = False
    first_token_at: float | None = attrs.field(default=None, repr=False)
    ended_at: float | None = attrs.field(default=None, repr=False)
    outcome: Outcome = Outcome.OPEN
    sent: list[str] = attrs.field(factory=list, repr=False)

    @property
    def tokens_sent(self) -> int:
        """How many tokens were written to the socket."""
        return len(self.sent)

    @property
    def text_sent(self) -> str:
        """The tokens that were written, joined."""
        return "".join(self.sent)

    @property
    def hung_up(self) -> bool:
        """The client went away before the reply was complete."""
        return self.outcome is Outcome.HUNG_UP

    def describe(self) -> str:
        """Say in a line what this request is and how far it has come."""
        excerpt = " ".join(self.prompt.split())
        if len(excerpt) > _EXCERPT:
            excerpt = excerpt[: _EXCERPT - 1] + "…"
        age = (self.ended_at or time.monotonic()) - self.arrived_at
        return (
            f"request {self.number} on connection {self.connection}: {self.method} {self.path}"
            f" {excerpt!r}, {self.tokens_sent} tokens sent, {self.outcome.value}"
            f" after {age:.3f} s"
        )


@attrs.define
class Log:
    """All requests since the server was opened or reset.

    Attributes:
        on_change: called, in the server's thread, after whatever changes here.
        keep: how many requests are remembered, the newest; ``None`` for all.
        requests: those that are.
        totals: how many have ended, and how.
    """

    on_change: Callable[[], None]
    keep: int | None = None
    requests: deque[ServedRequest] = attrs.field(init=False)
    totals: Counter[Outcome] = attrs.field(factory=Counter, init=False)
    _begun: int = attrs.field(default=0, init=False)
    # Insertion-ordered, and quick to delete from.
    _open: dict[ServedRequest, None] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.requests = deque(maxlen=self.keep)

    def begin(
        self,
        connection: int,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: Any,
    ) -> ServedRequest:
        """Enter a request that has arrived."""
        request = ServedRequest(
            self._begun, connection, method, path, headers, body, time.monotonic()
        )
        self._begun += 1
        self._open[request] = None
        self.requests.append(request)
        return request

    def sent(self, request: ServedRequest, token: str) -> None:
        """Enter a token that was written."""
        if not request.sent:
            request.first_token_at = time.monotonic()
        request.sent.append(token)
        self.on_change()

    def end(self, request: ServedRequest, outcome: Outcome) -> None:
        """Enter how a request ended; only the first end counts."""
        if request.outcome is Outcome.OPEN:
            request.ended_at = time.monotonic()
            request.outcome = outcome
            self._open.pop(request, None)
            self.totals[outcome] += 1
            self.on_change()

    def open(self) -> tuple[ServedRequest, ...]:
        """Return the requests that have not ended, oldest first."""
        return tuple(self._open)

    def serving(self) -> int:
        """Count the replies that are being generated now."""
        return sum(request.wants_reply for request in self.open())

    def clear(self) -> None:
        """Forget the requests that have ended."""
        self.requests = deque(self.open(), maxlen=self.keep)
        self.totals = Counter()

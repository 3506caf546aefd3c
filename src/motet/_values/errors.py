"""The errors of motet: what happened, where, and what had arrived by then.

This module knows facts and how to say them. It raises nothing itself.

    MotetError                    the program asked well, and there is no full reply
      BackendError                the model server failed
        BackendUnavailable        there is no server at that address
          CertificateError        TLS: one of the two does not trust the other
        ModelNotFound             the server does not have the model
        StatusError               the server refused the request
        ReplyError                the server reported an error inside its reply
        ReplyRefused              the model said that it will not answer
        ProtocolError             what came is not what the protocol says
          ReplyTooLarge           it is longer than the limit for it
        TruncatedReply            the reply ended without its end
        ConnectionLost            the connection broke while the reply was coming
        BackendTimeout            the server was silent for too long
      GenerationCancelled         nobody wanted the reply any more, or its owner ended
      DependencyError             a pending input of the call failed
      NoValidReply, QuorumNotReached      a fan-out did not get what it asked for

    RuntimeError                  the program asked wrongly
      WrongEventLoop, SingleReaderError, SessionClosed, PendingReplyError
"""

import enum
from collections.abc import Sequence
from typing import Any, Self

import attrs


class Phase(enum.StrEnum):
    """What a backend was doing; the value reads well after "while"."""

    CONNECTING = "connecting"
    SENDING = "sending the request"
    HEADERS = "waiting for the response headers"
    FIRST_TOKEN = "waiting for the first token"
    STREAMING = "reading the reply"


class MotetError(Exception):
    """The base of every error that is worth catching.

    Errors pickle with their facts, so they can cross a process boundary.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.__dict__.copy(), self.args)


def _restore(cls: type[MotetError], facts: dict[str, Any], args: tuple[Any, ...]) -> MotetError:
    # Not through __init__: the facts were checked once, and classes that are an
    # OSError as well would take positional arguments for errno and file name.
    error = cls.__new__(cls)
    error.__dict__.update(facts)
    error.args = args
    return error


@attrs.define(slots=False, eq=False, repr=False)
class BackendError(MotetError):
    """The model server failed, or could not be reached.

    Attributes:
        message: what happened, in words.
        backend: the name of the backend, such as ``ollama``.
        model: the model that was asked.
        phase: what the backend was doing.
        attempt: which try it was, counted from 1.
        partial: the text that had arrived before the error.
        earlier: the errors of the attempts, and of the other backends that were asked,
            before this one, oldest first.
    """

    message: str = ""
    backend: str | None = attrs.field(default=None, kw_only=True)
    model: str | None = attrs.field(default=None, kw_only=True)
    phase: Phase | None = attrs.field(default=None, kw_only=True)
    attempt: int = attrs.field(default=1, kw_only=True)
    partial: str = attrs.field(default="", kw_only=True)
    earlier: "tuple[BackendError, ...]" = attrs.field(default=(), kw_only=True)

    def __attrs_post_init__(self) -> None:
        Exception.__init__(self, self.message)

    def locate(
        self, *, backend: str, model: str, phase: Phase | None = None, attempt: int = 1
    ) -> Self:
        """Add where it happened to an error raised by code that could not know."""
        self.backend = self.backend or backend
        self.model = self.model or model
        self.phase = self.phase or phase
        self.attempt = max(self.attempt, attempt)
        return self

    def follow(self, errors: "Sequence[BackendError]") -> Self:
        """Put the errors that were met before this one ahead of those it has already."""
        # By identity: a backend may raise the same object again and again.
        told = {id(error): error for error in (*errors, *self.earlier) if error is not self}
        self.earlier = tuple(told.values())
        return self

    def __str__(self) -> str:
        where = [self.backend or "", self.model or "", f"while {self.phase}" if self.phase else ""]
        if self.attempt > 1:
            where.append(f"attempt {self.attempt}")
        facts = ", ".join(fact for fact in where if fact)
        text = f"{self.message} ({facts})" if facts else self.message
        if self.partial:
            text += f"; {len(self.partial)} characters had arrived, see `partial`"
        return text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


@attrs.define(slots=False, eq=False, repr=False)
class BackendUnavailable(BackendError, ConnectionError):
    """Nothing answers at the server's address."""


@attrs.define(slots=False, eq=False, repr=False)
class CertificateError(BackendUnavailable):
    """The server's certificate is not trusted, or the server does not trust ours.

    No part of the request has been sent to a server whose certificate is not trusted.
    """


@attrs.define(slots=False, eq=False, repr=False)
class ModelNotFound(BackendError, LookupError):
    """The server runs, and does not have the model."""


@attrs.define(slots=False, eq=False, repr=False)
class StatusError(BackendError):
    """The server answered with an HTTP error status.

    Attributes:
        status: the HTTP status code.
        retry_after: seconds the server asks to wait, if it said so.
        should_retry: whether the server says that asking again is of use; None if it does
            not say.
    """

    status: int = attrs.field(default=0, kw_only=True)
    retry_after: float | None = attrs.field(default=None, kw_only=True)
    should_retry: bool | None = attrs.field(default=None, kw_only=True)


@attrs.define(slots=False, eq=False, repr=False)
class ReplyError(BackendError):
    """The server accepted the request and reported an error inside the reply."""


@attrs.define(slots=False, eq=False, repr=False)
class ReplyRefused(BackendError):
    """The model said that it will not answer, in a place of the reply that is not its text.

    Servers let models do so where the reply must conform to a format, which no refusal
    does. Asking again seldom helps.

    Attributes:
        refusal: the model's words.
    """

    refusal: str = attrs.field(default="", kw_only=True)


@attrs.define(slots=False, eq=False, repr=False)
class ProtocolError(BackendError):
    """The server sent something that its protocol does not allow."""


@attrs.define(slots=False, eq=False, repr=False)
class ReplyTooLarge(ProtocolError):
    """The reply, or a part of it, is longer than what is taken from a server.

    Attributes:
        limit: how many bytes it may have.
    """

    limit: int = attrs.field(default=0, kw_only=True)


@attrs.define(slots=False, eq=False, repr=False)
class TruncatedReply(BackendError):
    """The body ended without the record that marks a complete reply."""


@attrs.define(slots=False, eq=False, repr=False)
class ConnectionLost(BackendError, ConnectionError):
    """The connection broke after the request was sent."""


@attrs.define(slots=False, eq=False, repr=False)
class BackendTimeout(BackendError, TimeoutError):
    """The server was silent for longer than the limit.

    Attributes:
        timeout: the limit that was passed, in seconds.
        which: its name: ``connecting``, ``headers``, ``first_token`` or ``gap`` of `Timeouts`, or
            ``silence``.
    """

    timeout: float = attrs.field(default=0.0, kw_only=True)
    which: str = attrs.field(default="silence", kw_only=True)


@attrs.define(slots=False, eq=False, repr=False)
class GenerationCancelled(MotetError):
    """The generation ended before its reply was complete, and not by its own fault.

    Attributes:
        reason: why: the last one who waited has gone, the session was closed, ...
        partial: the text that had arrived.
    """

    reason: str = "the generation was cancelled"
    partial: str = attrs.field(default="", kw_only=True)

    def __attrs_post_init__(self) -> None:
        Exception.__init__(self, self.reason)

    def __str__(self) -> str:
        if not self.partial:
            return self.reason
        return f"{self.reason}; {len(self.partial)} characters had arrived, see `partial`"

    def __repr__(self) -> str:
        return f"GenerationCancelled({str(self)!r})"


@attrs.define(slots=False, eq=False, repr=False)
class DependencyError(MotetError):
    """A call could not start because a pending reply it was given failed.

    The failure of that reply is the ``__cause__``.

    Attributes:
        message: which input failed.
        partial: always empty: the call had not begun.
    """

    message: str = "an input of this call failed"
    partial: str = attrs.field(default="", kw_only=True)

    def __attrs_post_init__(self) -> None:
        Exception.__init__(self, self.message)

    def __str__(self) -> str:
        cause = self.__cause__
        return f"{self.message}: {type(cause).__name__}: {cause}" if cause else self.message

    def __repr__(self) -> str:
        return f"DependencyError({str(self)!r})"


@attrs.define(slots=False, eq=False, repr=False)
class _FanOutError(MotetError):
    message: str
    errors: Sequence[Exception] = ()

    def __attrs_post_init__(self) -> None:
        Exception.__init__(self, self.message)

    def __str__(self) -> str:
        if not self.errors:
            return self.message
        first = self.errors[0]
        return f"{self.message}; the first error was {type(first).__name__}: {first}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class NoValidReply(_FanOutError):
    """All replies are there and none is valid.

    Attributes:
        message: how many there were.
        errors: those of the replies that failed, oldest first.
    """


class QuorumNotReached(_FanOutError):
    """So many replies failed that the quorum cannot be reached any more.

    Attributes:
        message: how many were wanted and how many can still come.
        errors: those of the replies that failed, oldest first.
    """


class WrongEventLoop(RuntimeError):
    """A reply was used on an event loop that is not the one it belongs to."""


class SingleReaderError(RuntimeError):
    """A second reader asked for the deltas of a reply that is being read."""


class SessionClosed(RuntimeError):
    """A call was made on a session that has ended."""


class PendingReplyError(RuntimeError):
    """Something needs the text of a reply that has not arrived and cannot wait here."""

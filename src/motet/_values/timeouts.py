"""`Timeouts`: how long each part of a reply may take, and which limit is in force.

This module computes with times and knows no clock.
"""

import math
from typing import Any, Final

import attrs

from .errors import Phase


def _seconds(value: Any) -> float | None:
    # As `ModelOption.STREAM_TIMEOUT` takes it: a limit without end is none.
    return None if isinstance(value, float) and value == math.inf else value


def _check(_: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{attribute.name} should be a number of seconds or None, not {value!r}")
    if not value > 0:
        raise ValueError(f"{attribute.name} should be above 0, not {value!r}")


def _limit() -> Any:
    return attrs.field(default=None, converter=_seconds, validator=_check)


@attrs.frozen(kw_only=True)
class Timeouts:
    """How long each part of a reply may take, in seconds; None leaves it to the other limits.

    For a part without a limit of its own the longest silence of the server counts,
    ``ModelOption.STREAM_TIMEOUT`` and the backend's ``timeout``; before the first token not
    even that, if *first_token* is given.

    Attributes:
        connecting: until the server has accepted the connection.
        headers: from then until the headers of the response have come. What TLS takes is
            part of it.
        first_token: from the beginning of the request until the first text, reasoning or
            tool call. Headers, comments and empty records are none.
        gap: between two of them, and until the end of the reply.
    """

    connecting: float | None = _limit()
    headers: float | None = _limit()
    first_token: float | None = _limit()
    gap: float | None = _limit()

    def over(self, other: "Timeouts") -> "Timeouts":
        """Return these, and those of *other* where these say nothing."""
        if self is NO_TIMEOUTS:
            return other
        mine = attrs.asdict(self)
        return Timeouts(**{name: value or getattr(other, name) for name, value in mine.items()})

    def limit_in(
        self, phase: Phase, *, silence: float, began: float, connected: float, heard: float
    ) -> "TimeLimit":
        """Return the limit that is in force while the backend is doing something.

        Args:
            phase: what it is doing.
            silence: the longest silence of the server, in seconds.
            began: when the request began.
            connected: when the connection was there.
            heard: when the server was last heard of.
        """
        quiet = TimeLimit("silence", heard, silence)
        if self is NO_TIMEOUTS:
            return quiet
        match phase:
            case Phase.STREAMING:
                return quiet if self.gap is None else TimeLimit("gap", heard, self.gap)
            case Phase.CONNECTING:
                own = _maybe("connecting", began, self.connecting)
            case Phase.SENDING | Phase.HEADERS:
                own = _maybe("headers", connected, self.headers)
            case _:
                own = None
        first = _maybe("first_token", began, self.first_token)
        limits = [each for each in (own, first) if each is not None] or [quiet]
        return min(limits, key=lambda each: each.deadline)


@attrs.frozen
class TimeLimit:
    """One limit: which one, since when it runs, and for how many seconds."""

    which: str
    since: float
    seconds: float

    @property
    def deadline(self) -> float:
        """When it will have passed."""
        return self.since + self.seconds

    def passed(self) -> str:
        """Say that it has passed, and what to do."""
        return _PASSED[self.which].format(f"{self.seconds:g}")


NO_TIMEOUTS: Final = Timeouts()

_ADVICE: Final = "; give Timeouts({}=...) more seconds, or None"
_PASSED: Final = {
    "connecting": "the server did not accept the connection within {} s"
    + _ADVICE.format("connecting"),
    "headers": "no headers of a response came within {} s of connecting"
    + _ADVICE.format("headers"),
    "first_token": "no token came within {} s of the request" + _ADVICE.format("first_token"),
    "gap": "nothing came for {} s in the middle of the reply" + _ADVICE.format("gap"),
    "silence": "the server was silent for {} s; the smaller of ModelOption.STREAM_TIMEOUT and of the "
    "backend's timeout= counts: set both to more seconds, or to None for no limit",
}


def _maybe(which: str, since: float, seconds: float | None) -> TimeLimit | None:
    return None if seconds is None else TimeLimit(which, since, seconds)


def as_timeouts(value: Any) -> Timeouts:
    """Return what a caller wrote, None as no limits.

    Raises:
        TypeError: it is something else.
    """
    if value is None:
        return NO_TIMEOUTS
    if not isinstance(value, Timeouts):
        raise TypeError(f"timeouts should be Timeouts or None, not {value!r}")
    return value

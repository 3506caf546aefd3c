"""`RetryPolicy`: which failures of a server are worth another attempt, and when.

This module computes and knows no clock: whoever makes the attempts sleeps.

Reference: RFC 9110, section 10.2.3, "Retry-After"; the statuses are those that the
clients of the model servers agree on.
"""

import math
import random
from collections.abc import Callable
from typing import Any, Final

import attrs

from .errors import (
    BackendError,
    BackendTimeout,
    BackendUnavailable,
    CertificateError,
    ConnectionLost,
    Phase,
    StatusError,
    TruncatedReply,
)

# 408 request timeout, 409 conflict (a lock on the server's side), 425 too early,
# 429 too many requests; and everything from 500.
_STATUSES: Final = frozenset({408, 409, 425, 429})

# Doubling an interval more often than this leaves what any wait may be.
_MOST_DOUBLINGS: Final = 30


def _seconds(minimum: float) -> Callable[[Any, "attrs.Attribute[Any]", Any], None]:
    def check(_: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{attribute.name} should be a number of seconds, not {value!r}")
        if not value >= minimum:
            raise ValueError(f"{attribute.name} should be at least {minimum:g}, not {value!r}")

    return check


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """When a request that failed is sent again.

    A request is sent again only while nothing of its reply has reached the thunk, neither
    text nor reasoning: what a reader has seen is never taken back. The n-th wait is
    ``first_wait * 2 ** (n - 1)`` seconds, at most *longest_wait*, less a random part of up
    to *jitter*; or as long as the server asks for.

    Attributes:
        retries: how many attempts may follow the first one; 0 for none.
        first_wait: the wait before the second attempt, in seconds.
        longest_wait: the longest wait of our own choice, in seconds.
        jitter: which part of a wait chance may take away, from 0 to 1, so that callers who
            failed together do not come back together.
        longest_hint: the longest wait that a server may ask for, in seconds. One that asks
            for more is not asked again.
        timeout: seconds from the beginning of the first attempt after which no wait may end.
            `math.inf` leaves it to the deadline of the caller.
    """

    retries: int = attrs.field(default=2)
    first_wait: float = attrs.field(default=0.5, validator=_seconds(0))
    longest_wait: float = attrs.field(default=8.0, validator=_seconds(0))
    jitter: float = attrs.field(default=0.25)
    longest_hint: float = attrs.field(default=120.0, validator=_seconds(0))
    timeout: float = attrs.field(default=math.inf, validator=_seconds(0))

    @retries.validator
    def _check_retries(self, _: object, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"retries should be a whole number, not {value!r}")
        if value < 0:
            raise ValueError(f"retries should be at least 0, not {value!r}")

    @jitter.validator
    def _check_jitter(self, _: object, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"jitter should be a number from 0 to 1, not {value!r}")
        if not 0 <= value <= 1:
            raise ValueError(f"jitter should be from 0 to 1, not {value!r}")

    def is_worth_it(self, error: BackendError) -> bool:
        """Tell whether the same request may succeed when it is sent again.

        Yes for a server that cannot be reached, a connection that broke, a reply without
        its end, and the statuses 408, 409, 425, 429 and from 500; where the server itself
        says so in ``x-should-retry``, that counts. A server that was silent for too long
        after it was reached is not asked again: that would take as long once more.
        """
        match error:
            case CertificateError():
                return False
            case StatusError():
                if error.should_retry is not None:
                    return error.should_retry
                return error.status in _STATUSES or error.status >= 500
            case BackendTimeout():
                return error.phase is Phase.CONNECTING
            case BackendUnavailable() | ConnectionLost() | TruncatedReply():
                return True
        return False

    def wait_after(
        self,
        error: BackendError,
        attempt: int,
        *,
        chance: Callable[[], float] = random.random,
    ) -> float:
        """Return for how many seconds to wait after a failed attempt.

        Args:
            error: how it failed.
            attempt: which one it was, from 1.
            chance: returns a number from 0 to 1.
        """
        hint = hint_of(error)
        if hint is not None:
            return hint
        wait = self.first_wait * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS)
        return float(min(wait, self.longest_wait) * (1 - self.jitter * chance()))


NO_RETRIES: Final = RetryPolicy(retries=0)


def hint_of(error: BackendError) -> float | None:
    """Return for how many seconds the server asks to wait, None if it does not."""
    return error.retry_after if isinstance(error, StatusError) else None


def as_retry_policy(value: Any) -> RetryPolicy:
    """Return the policy for what a caller wrote: a policy, a number of retries, None for none.

    Raises:
        TypeError, ValueError: it is none of these.
    """
    if value is None:
        return NO_RETRIES
    if isinstance(value, RetryPolicy):
        return value
    return RetryPolicy(retries=value)

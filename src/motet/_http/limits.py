"""`Limits`: how many calls at once, and how many requests and tokens a minute.

One object may stand before several backends, which then share its places. Who waits
holds nothing: the head of the queue looks by itself whether there is room, so a wait
that is cancelled leaves nothing behind, and the next one becomes the head.

This module knows queues and clocks, and nothing of requests.
"""

from __future__ import annotations

import math
import weakref
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
import attrs

from .._runtime.host import LoopHost, current_host

_MINUTE: Final = 60.0  # seconds
# By how much a success raises the limit of an adaptive one, shared by as many calls.
_STEP: Final = 1.0
_NOW: Final = -math.inf


@attrs.frozen
class LimitStatistics:
    """What is going on at `Limits`, on one event loop.

    Attributes:
        in_flight: how many calls hold a place.
        waiting: how many wait for one.
        max_in_flight: how many may hold one now; None for any number.
        requests: how many requests were let through in the last minute.
        tokens: how many tokens those took, as far as is known.
    """

    in_flight: int
    waiting: int
    max_in_flight: int | None
    requests: int
    tokens: int


class Limits:
    """Limits for the calls of one or more backends, on each event loop.

    Calls are let through in the order in which they came; one that is cancelled while it
    waits gives its turn to the next. Each attempt of a call that is tried again counts.
    A minute is any sixty seconds, not one of the clock.

    Args:
        max_in_flight: how many calls at once; None for any number.
        requests_per_minute: how many requests may begin in a minute; None for any number.
        tokens_per_minute: how many tokens the requests of a minute may take; None for any
            number. What a request will take is guessed from the length of its prompt and
            ``ModelOption.MAX_NEW_TOKENS``, and set right when the server has said it. A
            request that is larger than the limit has a minute for itself.
        adaptive: whether to find out how many calls at once the server takes: a refusal with
            status 429 halves the number, every success raises it a little, up to
            *max_in_flight*, which must be given then.

    Raises:
        TypeError, ValueError: an argument makes no sense.
    """

    def __init__(
        self,
        *,
        max_in_flight: int | None = None,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        adaptive: bool = False,
    ) -> None:
        self.max_in_flight: Final = _count("max_in_flight", max_in_flight)
        self.requests_per_minute: Final = _count("requests_per_minute", requests_per_minute)
        self.tokens_per_minute: Final = _count("tokens_per_minute", tokens_per_minute)
        if adaptive and max_in_flight is None:
            raise ValueError("adaptive limits need max_in_flight, the most that they may rise to")
        self.adaptive: Final = adaptive
        # Weak: a loop that is over takes its queue with it.
        self._queues: weakref.WeakKeyDictionary[LoopHost, _Queue] = weakref.WeakKeyDictionary()

    def _on(self, host: LoopHost) -> _Queue:
        queue = self._queues.get(host)
        if queue is None:
            queue = self._queues[host] = _Queue(self)
        return queue

    def statistics(self) -> LimitStatistics:
        """Return what is going on now, on the running event loop."""
        host = current_host()
        return self._on(host).statistics(host.time())

    @asynccontextmanager
    async def place(self, tokens: int = 0) -> AsyncGenerator[Place]:
        """Hold a place for one request; waits until there is one.

        Args:
            tokens: how many the request will take, as far as can be guessed.
        """
        host = current_host()
        queue = self._on(host)
        entry = await queue.enter(host, tokens)
        try:
            yield Place(queue, entry)
        finally:
            queue.leave()

    def __repr__(self) -> str:
        said = [
            f"{name}={value}"
            for name in ("max_in_flight", "requests_per_minute", "tokens_per_minute", "adaptive")
            if (value := getattr(self, name))
        ]
        return f"Limits({', '.join(said)})"


@attrs.define(eq=False)
class _Entry:
    """A request that was let through."""

    number: int
    when: float
    tokens: int
    is_recent: bool = False


class Place:
    """A place that a request holds."""

    def __init__(self, queue: _Queue, entry: _Entry) -> None:
        self._queue = queue
        self._entry = entry

    def took(self, tokens: int) -> None:
        """Set right how many tokens the request has taken."""
        self._queue.correct(self._entry, tokens)

    def succeeded(self) -> None:
        """Note that the server has served it."""
        self._queue.rise()

    def refused(self) -> None:
        """Note that the server has too much to do."""
        self._queue.fall(self._entry)


class _Queue:
    """The calls of one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._most: float = math.inf if limits.max_in_flight is None else limits.max_in_flight
        self._ceiling = self._most
        self._in_flight = 0
        self._waiting: dict[object, anyio.Event] = {}  # in order
        self._recent: deque[_Entry] = deque()
        self._tokens = 0  # of the recent ones
        self._number = 0  # of the last one that was let in
        self._fell = 0  # its number when the limit was last halved

    async def enter(self, host: LoopHost, tokens: int) -> _Entry:
        if not self._waiting and self._room_at(host.time(), tokens) == _NOW:
            return self._let_in(host.time(), tokens)
        me = object()
        bell = self._waiting[me] = anyio.Event()
        try:
            while True:
                then = math.inf
                if next(iter(self._waiting)) is me:
                    then = self._room_at(host.time(), tokens)
                    if then == _NOW:
                        break
                with anyio.CancelScope(deadline=then):
                    await bell.wait()
                bell = self._waiting[me] = anyio.Event()
        finally:
            del self._waiting[me]
            # Whether in or away: another one is the head now. It looks for itself, and it
            # sees this one in, because nothing is awaited before that.
            self._wake_head()
        return self._let_in(host.time(), tokens)

    def leave(self) -> None:
        self._in_flight -= 1
        self._wake_head()

    def _wake_head(self) -> None:
        for bell in self._waiting.values():
            bell.set()
            break

    def _let_in(self, now: float, tokens: int) -> _Entry:
        self._number += 1
        entry = _Entry(self._number, now, tokens)
        self._in_flight += 1
        if self._limits.requests_per_minute or self._limits.tokens_per_minute:
            entry.is_recent = True
            self._recent.append(entry)
            self._tokens += tokens
        return entry

    def _room_at(self, now: float, tokens: int) -> float:
        """Return when there may be room: `_NOW`, a time, or infinity when a call has to end first."""
        if self._in_flight + 1 > self._most:
            return math.inf
        self._forget(now)
        then = _NOW
        requests = self._limits.requests_per_minute
        if requests is not None and len(self._recent) >= requests:
            then = self._recent[len(self._recent) - requests].when + _MINUTE
        limit = self._limits.tokens_per_minute
        if limit is not None and self._recent:
            over = self._tokens + tokens - limit
            for entry in self._recent:
                if over <= 0:
                    break
                over -= entry.tokens
                then = max(then, entry.when + _MINUTE)
        return then

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0].when + _MINUTE <= now:
            entry = self._recent.popleft()
            entry.is_recent = False
            self._tokens -= entry.tokens

    def correct(self, entry: _Entry, tokens: int) -> None:
        if entry.is_recent:
            self._tokens += tokens - entry.tokens
        entry.tokens = tokens
        self._wake_head()

    def rise(self) -> None:
        if self._limits.adaptive and self._most < self._ceiling:
            self._most = min(self._ceiling, self._most + _STEP / self._most)
            self._wake_head()

    def fall(self, entry: _Entry) -> None:
        # Calls that were in flight together are refused together, which counts once.
        if self._limits.adaptive and entry.number > self._fell:
            self._most = max(1.0, self._most / 2)
            self._fell = self._number

    def statistics(self, now: float) -> LimitStatistics:
        self._forget(now)
        return LimitStatistics(
            self._in_flight,
            len(self._waiting),
            None if self._most == math.inf else math.floor(self._most),
            len(self._recent),
            self._tokens,
        )


def _count(name: str, value: Any) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
        raise TypeError(f"{name} should be a whole number from 1, or None, not {value!r}")
    if value is not None and value < 1:
        raise ValueError(f"{name} should be a whole number from 1, or None, not {value!r}")
    return value

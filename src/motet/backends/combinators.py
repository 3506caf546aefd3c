"""Backends made of backends: the next one, a second one, the one with the least to do.

They are backends themselves, so they can be combined in their turn, and everything that
holds for a backend holds for them. What they have in common is in `branches`.
"""

from __future__ import annotations

import math
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import anyio
import attrs

from .._values.errors import BackendError, BackendTimeout
from .._values.retries import RetryPolicy, hint_of
from .base import Backend, Reply, Request
from .branches import (
    Branch,
    CombinedBackend,
    InTurn,
    Watch,
    ask_branch,
    check_seconds,
    raise_last,
)

if TYPE_CHECKING:
    from .._runtime.host import LoopHost

# How many first tokens a percentile is taken from, and how many it takes at least.
_SEEN: Final = 256
_ENOUGH: Final = 10

_FAILURES: Final = RetryPolicy()
_MOST_DOUBLINGS: Final = 4


class FallbackBackend(CombinedBackend):
    """Asks the next backend when one fails, or lets one wait too long for its first token.

    It goes on to the next one only while nothing has arrived; afterwards an error is the
    error of the reply. A request that is given up is closed before the next one is sent.

    Args:
        backends: whom to ask, first to last.
        on: the errors after which the next one is asked, as for ``except``.
        first_token_timeout: for how long to wait for the first token of each but the last, in
            seconds, with all its retries and queues; None for as long as it takes.
        options: as for every combination: ``formatter``, ``model_options``, ``retries``,
            ``limits``.

    Raises:
        TypeError, ValueError: *backends* are none, or an argument makes no sense.
    """

    provider: ClassVar[str] = "fallback"

    def __init__(
        self,
        backends: Sequence[Backend],
        *,
        on: type[BackendError] | tuple[type[BackendError], ...] = BackendError,
        first_token_timeout: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(backends, **options)
        self._on = on if isinstance(on, tuple) else (on,)
        for kind in self._on:
            if not (isinstance(kind, type) and issubclass(kind, BackendError)):
                raise TypeError(f"on should be classes of BackendError, and one is {kind!r}")
        self._timeout = check_seconds("first_token_timeout", first_token_timeout, above=True)

    async def reply(self, request: Request, reply: Reply) -> None:
        """Ask one after the other."""
        # A first token that is late is what the time limit was given for.
        kinds = self._on if self._timeout == math.inf else (*self._on, BackendTimeout)
        in_turn = InTurn(self.backends, lambda exc: isinstance(exc, kinds), self._timeout)
        await in_turn.ask(request, reply)


class HedgedBackend(CombinedBackend):
    """Asks a second backend when the first takes unusually long; the first to begin answers.

    The request of the loser is closed at once. With more than two backends a further one is
    asked after each delay. One that fails before anything has arrived is as one that is
    slow, and when all that were asked have failed, the next is asked without waiting.

    Args:
        backends: whom to ask, first to last; the same one twice is a second request to it.
        delay: seconds to wait for the first token before the next one is asked.
        percentile: which part of the calls, in percent, should have no second request, as
            seen in the last 256 calls; *delay* counts until ten were seen.
        options: as for every combination: ``formatter``, ``model_options``, ``retries``,
            ``limits``.

    Raises:
        TypeError, ValueError: *backends* are none, or an argument makes no sense.
    """

    provider: ClassVar[str] = "hedged"

    def __init__(
        self,
        backends: Sequence[Backend],
        *,
        delay: float,
        percentile: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(backends, **options)
        if delay is None:
            raise TypeError("delay should be a number of seconds")
        self._delay = check_seconds("delay", delay)
        if percentile is not None and not 0 < percentile < 100:
            raise ValueError(f"percentile should be above 0 and below 100, not {percentile!r}")
        self._percentile = percentile
        self._seen: deque[float] = deque(maxlen=_SEEN)

    @property
    def delay(self) -> float:
        """After how many seconds without a token the next one is asked now."""
        seen = sorted(self._seen)
        if self._percentile is None or len(seen) < _ENOUGH:
            return self._delay
        return seen[min(len(seen) - 1, math.ceil(len(seen) * self._percentile / 100) - 1)]

    async def reply(self, request: Request, reply: Reply) -> None:
        """Ask the first, and the others as time passes."""
        began = reply.host.time()
        race = _Race(request, reply, self.delay)
        await race.run(self.backends)
        if race.began_at is not None:
            self._seen.append(race.began_at - began)
        race.end()


class _Race:
    """One reply for which several backends are asked; the first to begin has won."""

    def __init__(self, request: Request, reply: Reply, delay: float) -> None:
        self._request = request
        self._reply = reply
        self._delay = delay
        self._scopes: dict[Branch, anyio.CancelScope] = {}
        self._running = 0
        self._winner: Branch | None = None
        self._error: BackendError | None = None  # the winner's
        self._errors: list[BackendError] = []  # those of the others
        self._last: Branch | None = None  # of the others that failed
        self._decided = anyio.Event()
        self.began_at: float | None = None  # when the winner began

    async def run(self, backends: Sequence[Backend]) -> None:
        """Ask one after the other until one begins; return when all have ended."""
        async with anyio.create_task_group() as tasks:
            for backend in backends:
                self._decided = anyio.Event()
                self._running += 1
                tasks.start_soon(self._ask, backend, name="motet hedged request")
                with anyio.move_on_after(self._delay):
                    await self._decided.wait()
                if self._winner is not None:
                    break

    async def _ask(self, backend: Backend) -> None:
        branch = Branch(self._reply, backend, self._elect)
        scope = self._scopes[branch] = anyio.CancelScope()
        try:
            with scope:
                await ask_branch(self._request, branch, backend)
        except BackendError as exc:
            if branch.elected:
                self._error = exc
            else:
                self._errors.append(exc.with_traceback(None))
                self._last = branch
        finally:
            self._running -= 1
            if not self._running:
                self._decided.set()

    def _elect(self, branch: Branch) -> bool:
        if self._winner is not None or self._scopes[branch].cancel_called:
            return False
        self._winner = branch
        self.began_at = self._reply.host.time()
        self._decided.set()
        for other, scope in self._scopes.items():
            if other is not branch:
                scope.cancel()
        return True

    def end(self) -> None:
        """Note how the others failed; raise what the reply failed with."""
        error = self._error
        if self._winner is None and self._last is not None:
            error = self._errors.pop()
            self._last.give_up()
        for each in self._errors:
            self._reply.failed(each)
        if error is not None:
            raise_last(error, self._errors)


class BalancedBackend(CombinedBackend):
    """Spreads calls over several servers of the same model: each goes to the least busy one.

    One that fails *rests* for a while: calls go elsewhere, the one that met the failure
    too, as long as nothing has arrived. After its rest a single call probes it; if it
    answers, it is as good as the others again. When all of them rest, calls go to the one
    that has rested longest: no call is refused. What is known of the servers is known for
    each event loop.

    Args:
        backends: whom to ask.
        rest: for how long one that failed rests, in seconds, at first; it doubles with every
            probe that fails, up to sixteen times as long. A server that asks for more with
            ``Retry-After`` gets that.
        first_token_timeout: for how long to wait for the first token of one before the next is
            asked, in seconds; None for as long as it takes.
        options: as for every combination: ``formatter``, ``model_options``, ``retries``,
            ``limits``.

    Raises:
        TypeError, ValueError: *backends* are none, or an argument makes no sense.
    """

    provider: ClassVar[str] = "balanced"

    def __init__(
        self,
        backends: Sequence[Backend],
        *,
        rest: float = 10.0,
        first_token_timeout: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(backends, **options)
        self._rest = check_seconds("rest", rest)
        self._timeout = check_seconds("first_token_timeout", first_token_timeout, above=True)
        self._on: weakref.WeakKeyDictionary[LoopHost, _Endpoints] = weakref.WeakKeyDictionary()

    async def reply(self, request: Request, reply: Reply) -> None:
        """Ask the least busy one, and others if it fails."""
        endpoints = self._on.get(reply.host)
        if endpoints is None:
            endpoints = self._on[reply.host] = _Endpoints(self.backends, self._rest)
        order = endpoints.order(reply.host.time())
        in_turn = InTurn(
            [endpoint.backend for endpoint in order],
            _is_the_servers,
            self._timeout,
            _Bookkeeping(endpoints, order, reply.host.time),
        )
        await in_turn.ask(request, reply)


def _is_the_servers(error: BackendError) -> bool:
    """Whether another server may do better with the same request."""
    return isinstance(error, BackendTimeout) or _FAILURES.is_worth_it(error)


@attrs.define(eq=False)
class _Endpoint:
    """One server, on one event loop."""

    backend: Backend
    in_flight: int = 0
    failures: int = 0  # since it last answered
    rests_until: float = -math.inf
    probes: int = 0  # calls in flight that were sent while it was not known to be well
    turn: int = 0  # of the call that it was last given


class _Endpoints:
    """All of them."""

    def __init__(self, backends: Sequence[Backend], rest: float) -> None:
        self._endpoints = [_Endpoint(backend) for backend in backends]
        self._rest = rest
        self._turn = 0

    def order(self, now: float) -> list[_Endpoint]:
        """Return them as a call should try them."""

        def rank(endpoint: _Endpoint) -> tuple[float, ...]:
            if not endpoint.failures:
                return (1, endpoint.in_flight, endpoint.turn)
            if now >= endpoint.rests_until and not endpoint.probes:
                return (0, endpoint.rests_until)
            return (2, endpoint.rests_until, endpoint.in_flight)

        return sorted(self._endpoints, key=rank)

    def started(self, endpoint: _Endpoint) -> None:
        self._turn += 1
        endpoint.turn = self._turn
        endpoint.in_flight += 1

    def settled(self, endpoint: _Endpoint, error: BackendError | None, now: float) -> None:
        if error is None:
            endpoint.failures, endpoint.rests_until = 0, -math.inf
        elif _is_the_servers(error):
            # Calls that were in flight together meet the same failure, which counts once.
            if now >= endpoint.rests_until:
                endpoint.failures += 1
            rest = self._rest * 2.0 ** min(endpoint.failures - 1, _MOST_DOUBLINGS)
            until = now + max(rest, hint_of(error) or 0.0)
            endpoint.rests_until = max(endpoint.rests_until, until)


class _Bookkeeping(Watch):
    """Follows one call through the endpoints."""

    def __init__(
        self, endpoints: _Endpoints, order: Sequence[_Endpoint], clock: Callable[[], float]
    ) -> None:
        self._endpoints = endpoints
        self._order = order
        self._clock = clock
        self._probing = False

    def started(self, number: int) -> None:
        endpoint = self._order[number]
        self._endpoints.started(endpoint)
        self._probing = endpoint.failures > 0
        endpoint.probes += self._probing

    def settled(self, number: int, error: BackendError | None) -> None:
        self._endpoints.settled(self._order[number], error, self._clock())

    def ended(self, number: int) -> None:
        endpoint = self._order[number]
        endpoint.in_flight -= 1
        endpoint.probes -= self._probing

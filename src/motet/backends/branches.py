"""Branches: several backends that are asked for one reply, of which one answers.

A `Branch` is a writing end that holds back nothing and hands on nothing until it is
*elected*, which it is with the first thing that arrives, or with a complete reply in
which nothing did. From then on what is written to it goes straight on; what is written
to one that has lost goes nowhere, so no two texts are ever mixed.

Which backends are asked, and when, is the matter of the combinators.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn

import anyio
import attrs

from .._values.errors import BackendError, BackendTimeout, Phase
from .._values.options import DEFAULT_STREAM_TIMEOUT, ModelOption
from .._values.retries import NO_RETRIES
from .attempts import reply_with_retries
from .base import Backend, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._http.limits import Limits
    from .._language.formatter import TemplateFormatter
    from .._runtime.host import LoopHost
    from .._values.chat import ChatMessage
    from .._values.retries import RetryPolicy

Elect = Callable[["Branch"], bool]


class Branch(Reply):
    """The writing end of one backend among several.

    Args:
        outer: where what is written goes.
        backend: who writes.
        elect: called when the first thing arrives; returns whether this branch is it.

    Attributes:
        elected: whether it was elected; None as long as nothing has arrived.
    """

    __slots__ = ("_backend", "_began", "_by", "_elect", "_facts", "_outer", "_queued", "elected")

    def __init__(self, outer: Reply, backend: Backend, elect: Elect) -> None:
        self._outer = outer
        self._backend = backend
        self._elect = elect
        self._by: Backend | None = None
        self._queued = 0.0
        self._began: float | None = None
        self._facts: dict[str, Any] | None = None
        self.usage: dict[str, Any] | None = None
        self.elected: bool | None = None
        self.feed: Callable[[str], None] = self._feed
        self.host: LoopHost = outer.host

    @property
    def untouched(self) -> bool:
        """Whether nothing has arrived yet from this backend."""
        return self.elected is None

    def failed(self, error: BackendError) -> None:
        """Note an error that does not end the reply."""
        self._outer.failed(error)

    def think(self, text: str) -> None:
        """Add reasoning text that has arrived."""
        if self._is_elected():
            self._outer.think(text)

    def _feed(self, text: str) -> None:
        if self.elected or self._is_elected():
            self._outer.feed(text)

    def queued(self, seconds: float) -> None:
        """Note for how long the request waited for its turn on our side."""
        if self.elected:
            self._outer.queued(seconds)
        else:
            self._queued += seconds

    def begun(self, seconds: float) -> None:
        """Note how long after the request the first token came."""
        if self.elected:
            self._outer.begun(seconds)
        elif self._began is None:
            self._began = seconds

    def answered(self, backend: Backend) -> None:
        """Note which backend below this one answered."""
        self._by = backend

    def finish(self, **facts: Any) -> None:
        """Note what is known about the reply when it ends, should it become the reply."""
        self.usage = facts.get("usage")
        if self.elected:
            self._outer.finish(**facts)
        else:
            self._facts = facts

    def complete(self) -> bool:
        """Take the end of a complete reply; return whether it has become the reply."""
        return self._is_elected()

    def give_up(self) -> None:
        """Take it that no other branch is asked: the error of this one is that of the reply.

        It may have answered all the same, by a refusal, or with a tool call before it failed.
        """
        if self.elected is None and self._began is not None:
            self._hand_on()

    def _is_elected(self) -> bool:
        if self.elected is None:
            self.elected = self._elect(self)
            if self.elected:
                self._hand_on()
        return self.elected

    def _hand_on(self) -> None:
        """Hand on what is known so far."""
        self._outer.answered(self._by or self._backend)
        self._outer.queued(self._queued)
        if self._began is not None:
            self._outer.begun(self._began)
        if self._facts is not None:
            self._outer.finish(**self._facts)


class CombinedBackend(Backend):
    """A backend that asks others; the base of those that do.

    Args:
        backends: whom it asks.
        formatter: puts components into words; that of the first backend without it.
        model_options: options for every call. Those of each backend come below them.
        retries: whether and when all of it is tried again; each backend has its own retries
            below that.
        limits: for the calls of all together; each backend has its own limits below that,
            which are others.

    Raises:
        TypeError, ValueError: *backends* are none, or an argument makes no sense.
    """

    takes_raw_prompts: ClassVar[bool] = True

    def __init__(
        self,
        backends: Sequence[Backend],
        *,
        formatter: TemplateFormatter | None = None,
        model_options: Mapping[str, Any] | None = None,
        retries: RetryPolicy | int | None = None,
        limits: Limits | None = None,
    ) -> None:
        asked = tuple(backends)
        for backend in asked:
            if not isinstance(backend, Backend):
                raise TypeError(f"backends should be backends, and one of them is {backend!r}")
        if not asked:
            raise ValueError("backends should be at least one backend, and there is none")
        if limits is not None and any(limits is each for each in _limits_of(asked)):
            # The place that the combination holds is one that its backends wait for.
            raise ValueError(
                "limits are also those of one of the backends, so a call would wait for itself; "
                "give them to the combination or to its backends, not to both"
            )
        self.backends: Final = asked
        super().__init__(
            asked[0].model_id,
            formatter=formatter or asked[0].formatter,
            model_options=model_options,
            retries=retries,
            limits=limits,
        )

    def normalised(self, model_options: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return options under the names of `ModelOption`; the names of each backend are known.

        Raises:
            TypeError, ValueError: names the option and what is wrong with it.
        """
        for backend in self.backends:
            model_options = backend.normalised(model_options)
        return dict(model_options or {})

    def to_messages(self, entries: Sequence[Any]) -> Sequence[ChatMessage]:
        """Return the entries of a conversation as messages, as the first backend does."""
        return self.backends[0].to_messages(entries)

    async def close_idle(self) -> None:
        """Close the connections of the running event loop that serve nobody."""
        for backend in self.backends:
            await backend.close_idle()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.backends)!r})"


def _limits_of(backends: Iterable[Backend]) -> Iterator[Limits]:
    """Return the limits of backends, and of those that they are made of."""
    for backend in backends:
        if backend.limits is not None:
            yield backend.limits
        if isinstance(backend, CombinedBackend):
            yield from _limits_of(backend.backends)


async def ask_branch(request: Request, branch: Branch, backend: Backend) -> None:
    """Have one of several backends reply, with its own options and retries.

    Raises:
        BackendError: it failed.
        NotImplementedError: it cannot continue a text as it is.
    """
    if request.prompt is not None and not backend.takes_raw_prompts:
        raise NotImplementedError(f"{backend!r} cannot continue a text as it is")
    options = {**backend.model_options, **backend.normalised(request.options)}
    own = attrs.evolve(
        request,
        options=options,
        silence_timeout=options.get(ModelOption.STREAM_TIMEOUT, DEFAULT_STREAM_TIMEOUT),
    )
    # Not those of the call: they are for all of it.
    retries = backend.model_options.get(ModelOption.RETRIES, backend.retries) or NO_RETRIES
    await reply_with_retries(backend, own, branch, retries)
    branch.complete()


class Watch:
    """What is told of the backends that are asked in turn, by their numbers from 0."""

    def started(self, number: int) -> None:
        """One is asked."""

    def settled(self, number: int, error: BackendError | None) -> None:
        """It has begun to answer, or failed; it may do the one and then the other."""

    def ended(self, number: int) -> None:
        """It is not asked any more, however that came about."""


@attrs.frozen
class InTurn:
    """Ask one backend after the other, until one answers.

    Args:
        backends: whom to ask, first to last.
        moves_on: whether the next one is asked after an error.
        first_token_timeout: for how long to wait for the first token of one of them, in
            seconds. The last one is given all the time there is.
        watch: is told how it goes.
    """

    backends: Sequence[Backend]
    moves_on: Callable[[BackendError], bool]
    first_token_timeout: float
    watch: Watch = attrs.field(factory=Watch)

    async def ask(self, request: Request, reply: Reply) -> None:
        """Return when the reply is complete.

        Raises:
            BackendError: the last one; the others are its ``earlier``.
        """
        errors: list[BackendError] = []
        last = len(self.backends) - 1
        for number in range(last + 1):
            timeout = self.first_token_timeout if number < last else math.inf
            failure = await self._ask(number, request, reply, timeout)
            if failure is None:
                return
            error, branch = failure
            if branch.elected or number == last or not self.moves_on(error):
                branch.give_up()
                raise_last(error, errors)
            errors.append(error.with_traceback(None))
            reply.failed(error)

    async def _ask(
        self, number: int, request: Request, reply: Reply, patience: float
    ) -> tuple[BackendError, Branch] | None:
        """Ask one; return its error and its branch if it failed."""
        backend = self.backends[number]
        scope = anyio.CancelScope(deadline=reply.host.time() + patience)

        def elect(_: Branch) -> bool:
            if scope.cancel_called:
                return False
            scope.deadline = math.inf
            self.watch.settled(number, None)
            return True

        branch = Branch(reply, backend, elect)
        error: BackendError
        self.watch.started(number)
        try:
            with scope:
                await ask_branch(request, branch, backend)
            if branch.elected:
                return None
            error = BackendTimeout(
                f"no token came within {patience:g} s, so the next backend was asked",
                timeout=patience,
                which="first_token",
                backend=backend.provider,
                model=backend.model_id,
                phase=Phase.FIRST_TOKEN,
            )
        except BackendError as exc:
            error = exc
        finally:
            self.watch.ended(number)
        self.watch.settled(number, error)
        return error, branch


def raise_last(error: BackendError, errors: Sequence[BackendError]) -> NoReturn:
    """Raise the error of the last branch, which tells of the others."""
    raise error.follow(errors) from error.__cause__


def check_seconds(name: str, value: Any, *, above: bool = False) -> float:
    """Return a number of seconds, None as infinity.

    Raises:
        TypeError, ValueError: it is no such number.
    """
    if value is None:
        return math.inf
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} should be a number of seconds or None, not {value!r}")
    if not (value > 0 if above else value >= 0):
        raise ValueError(f"{name} should be {'above' if above else 'at least'} 0, not {value!r}")
    return float(value)

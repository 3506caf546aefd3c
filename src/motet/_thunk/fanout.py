"""Waiting for many replies at once.

Every function here behaves as a task group does: when it returns or raises, nothing
that it waited for is left running, except what somebody else waits for as well. None
of them starts a task for each reply, though: a reply that settles tells the group, at
a third of the cost. What is finished stays readable whatever happens to the others.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, cast

import anyio.lowlevel
import attrs

from .._runtime.bell import Bell
from .._runtime.circles import Wait
from .._runtime.host import current_host
from .._runtime.unwinding import see_end
from .._values.errors import NoValidReply, QuorumNotReached, SingleReaderError
from .generation import Generation
from .thunk import ModelOutputThunk

S = TypeVar("S")
Thunk = ModelOutputThunk[Any]

_SIBLING_FAILED: Final = "another reply of the same fan-out failed"
_NOT_NEEDED: Final = "the fan-out it was part of has what it wanted"


@attrs.frozen
class Outcome(Generic[S]):
    """How one reply ended: with a text, or with an error.

    Attributes:
        mot: the thunk.
        value: its text, or None if it failed.
        error: what ended it, or None if it is complete.
    """

    mot: ModelOutputThunk[S]
    value: str | None
    error: Exception | None

    @property
    def ok(self) -> bool:
        """Whether the reply is complete."""
        return self.error is None

    def unwrap(self) -> str:
        """Return the text, or raise the error."""
        if self.value is None:
            assert self.error is not None
            raise self.error
        return self.value


class _Group:
    """Interest in several replies, which come out in the order in which they settle."""

    def __init__(self, mots: Iterable[Thunk]) -> None:
        self._mots = check_mots(mots)
        self._pending: dict[Generation, Thunk] = {}
        self._arrived: deque[Thunk] = deque()
        self._waiting = False

    def __enter__(self) -> Self:
        self._host = current_host()
        self._bell = Bell(self._host.loop)
        live = [mot._source for mot in self._mots if mot._source.live]
        Wait(live, self._host.running_task()).check()  # before anything counts as interest
        for mot in self._mots:
            generation = mot._source
            if generation.live:
                self._pending[generation] = mot
                generation.gain_interest()
                generation.watch(self._settled)
            else:
                self._arrived.append(mot)
        return self

    def _settled(self, generation: Generation) -> None:
        self._arrived.append(self._pending.pop(generation))
        generation.lose_interest()
        self._bell.ring()

    async def next(self) -> Thunk | None:
        """Return the next thunk that has settled, or None after the last; for one task."""
        if self._waiting:
            raise SingleReaderError(
                "another task is waiting for the next reply of this fan-out; "
                "wait in one task and hand the replies on"
            )
        self._waiting = True
        try:
            while not self._arrived and self._pending:
                with Wait(self._pending, self._host.running_task()):
                    await self._bell.wait()
        finally:
            self._waiting = False
        return self._arrived.popleft() if self._arrived else None

    def leave(self) -> list[Generation]:
        """Give up what is pending, and return what nobody else is interested in."""
        self._bell.close()
        unwanted = []
        while self._pending:
            generation, _ = self._pending.popitem()
            generation.unwatch(self._settled)
            if generation.interest == 1:
                unwanted.append(generation)
            generation.lose_interest()
        return unwanted

    async def leave_and_stop(self, reason: str) -> None:
        """Give up what is pending; what nobody else wants has unwound when this returns."""
        unwanted = self.leave()
        for generation in unwanted:
            generation.stop(reason)
        if unwanted:
            await see_end(unwanted)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Reached with something pending only when the caller was cancelled: then each
        # generation has its *linger*, as after any wait that was given up.
        self.leave()


def check_mots(mots: Iterable[Thunk]) -> list[Thunk]:
    """Return the thunks, each once, after making sure that they can be waited for here.

    Raises:
        TypeError: an element is not a thunk.
        WrongEventLoop: one belongs to another event loop.
    """
    unique: dict[int, Thunk] = {}
    for position, mot in enumerate(_listed(mots)):
        if not isinstance(mot, ModelOutputThunk):
            hint = "; `await` the call first" if hasattr(mot, "__await__") else ""
            raise TypeError(
                f"mots should be ModelOutputThunks, element {position} is a "
                f"{type(mot).__name__}{hint}"
            )
        mot._check_usable()
        unique[id(mot)] = mot
    return list(unique.values())


def _listed(mots: Iterable[ModelOutputThunk[S]]) -> list[ModelOutputThunk[S]]:
    if isinstance(mots, ModelOutputThunk) or not isinstance(mots, Iterable):
        raise TypeError(
            f"mots should be a list of ModelOutputThunks, not one {type(mots).__name__}"
        )
    return list(mots)


async def wait_for_all_mots(mots: Iterable[Thunk]) -> None:
    """Wait until every thunk is computed.

    Always a checkpoint. The first failure is raised as it is, and before that the other
    thunks are stopped at the server and have unwound, unless somebody else waits for
    them; those that were complete stay computed. Giving up the wait gives up the
    interest in all of them. The same thunk may stand in *mots* twice.

    Args:
        mots: thunks of the running event loop; none is fine.

    Raises:
        WrongEventLoop: one belongs to another event loop; nothing was awaited.
        PendingReplyError: those that have not ended wait for the caller.
        TypeError: an element is not a thunk.
        BackendError, GenerationCancelled, DependencyError: as the thunk that failed.
    """
    failure: Thunk | None = None
    with _Group(mots) as group:
        await anyio.lowlevel.checkpoint()
        while failure is None and (mot := await group.next()) is not None:
            if mot._source.error is None:
                mot._take_outcome()
            else:
                failure = mot
        if failure is not None:
            await group.leave_and_stop(_SIBLING_FAILED)
    if failure is not None:
        failure._take_outcome()


async def gather_all(mots: Iterable[ModelOutputThunk[S]]) -> list[Outcome[S]]:
    """Wait until every thunk has ended, well or badly, and return how, in their order.

    Always a checkpoint. A failure stops nobody. Giving up the wait gives up the interest
    in all of them.

    Raises:
        WrongEventLoop: one belongs to another event loop; nothing was awaited.
        PendingReplyError: those that have not ended wait for the caller.
        TypeError: an element is not a thunk.
    """
    asked = _listed(mots)
    errors: dict[int, Exception] = {}
    with _Group(asked) as group:
        await anyio.lowlevel.checkpoint()
        while (mot := await group.next()) is not None:
            try:
                mot._take_outcome()
            except Exception as exc:
                errors[id(mot)] = exc
    return [
        Outcome(mot, None if id(mot) in errors else mot.value, errors.get(id(mot))) for mot in asked
    ]


class as_completed(Generic[S]):  # noqa: N801 - reads as the function it is used as
    """Iterate over thunks in the order in which they end.

    Use it as ``async with as_completed(mots) as arriving:`` and then
    ``async for mot in arriving:``. Every thunk comes once, computed; one that failed, too,
    and awaiting it raises. When the block is left early, what is still pending is
    stopped at the server and has unwound, unless somebody else waits for it.

    Raises:
        WrongEventLoop: one thunk belongs to another event loop.
        PendingReplyError: those that have not ended wait for the caller.
        TypeError: an element is not a thunk.
    """

    def __init__(self, mots: Iterable[ModelOutputThunk[S]]) -> None:
        self._group = _Group(mots)
        self._entered = False

    async def __aenter__(self) -> AsyncIterator[ModelOutputThunk[S]]:
        if self._entered:
            raise RuntimeError("this as_completed() was used before; make a new one")
        self._entered = True
        self._group.__enter__()
        return _Arrivals(self._group)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._group.leave_and_stop(_NOT_NEEDED)

    def __aiter__(self) -> AsyncIterator[ModelOutputThunk[S]]:
        raise TypeError(
            "as_completed() stops what is pending when you leave it, so it needs a block: "
            "`async with as_completed(mots) as arriving: async for mot in arriving: ...`"
        )


class _Arrivals(AsyncIterator[Thunk]):
    def __init__(self, group: _Group) -> None:
        self._group = group

    async def __anext__(self) -> Thunk:
        mot = await self._group.next()
        if mot is None:
            raise StopAsyncIteration
        with suppress(Exception):  # it is raised to whoever awaits the thunk
            mot._take_outcome()
        return mot


async def first_valid(
    mots: Iterable[ModelOutputThunk[S]],
    check: Callable[[ModelOutputThunk[S]], bool | Awaitable[bool]] | None = None,
) -> ModelOutputThunk[S]:
    """Wait for the first thunk that ends well and passes *check*, and return it.

    Always a checkpoint. The others are stopped at the server and have unwound when this
    returns, unless somebody else waits for them. Thunks are checked one at a time in
    the order in which they end.

    Args:
        mots: thunks of the running event loop, at least one.
        check: is given a computed thunk and tells whether it will do; sync or async. Without
            it the first complete reply wins.

    Raises:
        NoValidReply: all have ended and none will do; ``errors`` has those of the failed.
        ValueError: *mots* is empty.
        TypeError: *check* cannot be called.
        WrongEventLoop: one thunk belongs to another event loop.
        PendingReplyError: those that have not ended wait for the caller.
        Exception: what *check* raises; the others are stopped then, too.
    """
    if check is not None and not callable(check):
        raise TypeError(f"check should be a function of a thunk, not {type(check).__name__}")
    winners = await _first(mots, 1, check)
    if isinstance(winners, list):
        return winners[0]
    raise NoValidReply(
        f"none of {winners.seen} replies is valid; {len(winners.errors)} failed", winners.errors
    )


async def wait_for_quorum(mots: Iterable[ModelOutputThunk[S]], k: int) -> list[ModelOutputThunk[S]]:
    """Wait until *k* thunks have ended well, and return them in the order in which they did.

    Always a checkpoint. The others are stopped at the server and have unwound when this
    returns, unless somebody else waits for them.

    Args:
        mots: thunks of the running event loop.
        k: how many are wanted, at least 1 and at most as many as there are.

    Raises:
        QuorumNotReached: so many have failed that *k* cannot be reached; raised at once.
        ValueError: *k* is out of range.
        WrongEventLoop: one thunk belongs to another event loop.
        PendingReplyError: those that have not ended wait for the caller.
    """
    if not isinstance(k, int) or isinstance(k, bool) or k < 1:
        raise ValueError(f"k should be a whole number from 1, not {k!r}")
    winners = await _first(mots, k, None)
    if isinstance(winners, list):
        return winners
    raise QuorumNotReached(
        f"{k} of {winners.asked} replies were wanted and {len(winners.errors)} failed",
        winners.errors,
    )


@attrs.frozen
class _Shortfall:
    """Why fewer replies than wanted will ever do."""

    asked: int
    seen: int
    errors: Sequence[Exception]


async def _first(
    mots: Iterable[ModelOutputThunk[S]],
    wanted: int,
    check: Callable[[ModelOutputThunk[S]], bool | Awaitable[bool]] | None,
) -> list[ModelOutputThunk[S]] | _Shortfall:
    asked = check_mots(mots)
    if wanted > len(asked):
        raise ValueError(f"mots should be at least {wanted}, and their number is {len(asked)}")
    good: list[ModelOutputThunk[S]] = []
    errors: list[Exception] = []
    misfits = 0
    with _Group(asked) as group:
        await anyio.lowlevel.checkpoint()
        try:
            while len(good) < wanted <= len(asked) - len(errors) - misfits:
                mot = cast("ModelOutputThunk[S]", await group.next())
                try:
                    mot._take_outcome()
                except Exception as exc:
                    errors.append(exc)
                    continue
                if check is not None:
                    verdict = check(mot)
                    if not (verdict if isinstance(verdict, bool) else await _truth(verdict)):
                        misfits += 1
                        continue
                good.append(mot)
        except Exception:
            await group.leave_and_stop(_SIBLING_FAILED)
            raise
        await group.leave_and_stop(_NOT_NEEDED)
    if len(good) == wanted:
        return good
    return _Shortfall(len(asked), len(errors) + misfits, errors)


async def _truth(verdict: object) -> bool:
    return bool(await verdict if isinstance(verdict, Awaitable) else verdict)

"""A generation: the task that produces one reply, and everything it alone writes.

It keeps the text as it grows, ends exactly once with one outcome, and ends early when
nobody is interested any more. It never waits for a consumer and no consumer can make
it fail: it only rings a bell for whoever sleeps.

*Interest* is a call that waits for the outcome, or a reader that has begun and not
seen the end. A generation that nobody has asked for yet runs on; one that was asked
for and that everybody has left is stopped *linger* seconds later, by the deadline of
its own cancel scope, so that new interest within that time keeps it.
"""

import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Final

import anyio
import anyio.lowlevel

from .._runtime.bell import Bell
from .._runtime.circles import Wait, is_inside, note_interest, part_of
from .._runtime.host import LoopHost, check_here
from .._runtime.owner import Owner, current_owner, owned_by
from .._values.errors import BackendError, GenerationCancelled
from .._values.states import (
    GENERATION,
    LIVE_STATES,
    GenerationSignal,
    GenerationState,
    advance,
)

DEFAULT_LINGER: Final = 0.25  # seconds; long enough for a loop that polls with short timeouts

_NOBODY_WAITS: Final = "nobody was waiting for the reply any more"
_LOOP_ENDED: Final = "the event loop ended before the reply was complete"
_STRAY: Final = (
    "a {} came out of what produces the reply, though nothing had cancelled it; see `__cause__`"
)


class Generation:
    """One reply in the making; see the module's text.

    It is made and started by the event loop it belongs to, and only touched there.

    Attributes:
        live: whether more may come.
        host: of the event loop that it runs on; None for a value given by hand.
        state: where it is in its life.
        task: what it runs in, while it does.
        waits: what its code waits for.
        wanted: whether code that is a part of a generation has ever been interested in it.
        error: what ended it, if an error did.
    """

    __slots__ = (
        "__weakref__",
        "_bell",
        "_interest",
        "_linger",
        "_lingering",
        "_owner",
        "_parts",
        "_produce",
        "_scope",
        "_settled",
        "_stopping",
        "_traceback",
        "_watchers",
        "_whole",
        "error",
        "host",
        "live",
        "state",
        "task",
        "waits",
        "wanted",
    )

    def __init__(
        self,
        produce: Callable[["Generation"], Awaitable[None]] | None,
        *,
        host: LoopHost | None,
        owner: Owner | None = None,
        linger: float = DEFAULT_LINGER,
    ) -> None:
        self.state: GenerationState = GenerationState.BLANK
        self.host: LoopHost | None = host
        self.error: BaseException | None = None
        self._produce = produce
        self._owner = owner
        if owner is None and host is not None:
            self._owner = current_owner(host)
        self._linger = linger
        self._lingering = False
        self._interest = 0
        self._parts: list[str] = []
        self._whole: str | None = None
        self._traceback: TracebackType | None = None
        self._stopping: tuple[GenerationSignal, str] | None = None
        self._settled: anyio.Event | None = None
        self._watchers: list[Callable[[Generation], None]] | None = None
        self._bell: Bell | None = None  # there is one only if somebody reads deltas
        self._scope: anyio.CancelScope | None = None
        self.task: object | None = None
        self.waits: tuple[Wait, ...] = ()
        self.wanted: bool = False
        self.live: bool = produce is not None  # kept, since it is asked for again with every delta
        if produce is not None:
            self.state = advance(GENERATION, self.state, GenerationSignal.PLANNED)
            self._scope = anyio.CancelScope()

    @classmethod
    def finished(cls, text: str) -> "Generation":
        """Return one that is over before it began: a value given by hand."""
        generation = cls(None, host=None)
        generation.state = advance(GENERATION, generation.state, GenerationSignal.GIVEN)
        generation._whole = text
        return generation

    # What the producing task does.

    def start(self) -> None:
        """Start the task. Not a checkpoint.

        Raises:
            SessionClosed: the owner has ended.
            WrongEventLoop: the event loop is shutting down.
        """
        assert self.host is not None
        if self._owner is not None:
            self._owner.adopt(self)
        try:
            # The task's context variables are copied here, and its owner is one of them.
            with part_of(self), owned_by(self._owner):
                self.host.spawn(self._run, name="motet generation", on_end=self._ended)
        except BaseException:
            if self._owner is not None:
                self._owner.release(self)
            raise

    async def _run(self) -> None:
        assert self._produce is not None
        assert self._scope is not None
        assert self.host is not None
        self.state = advance(GENERATION, self.state, GenerationSignal.STARTED)
        self.task = self.host.running_task()
        complete = False
        try:
            with self._scope:
                # An event loop that ends right after the call, and an eager task factory,
                # find nothing begun that would have to be undone.
                await anyio.lowlevel.checkpoint()
                await self._produce(self)
                complete = True
        except anyio.get_cancelled_exc_class() as exc:
            # Not our own scope, which absorbs its own: the event loop is ending, if anything is.
            loop = self.host.loop
            if loop.is_closed() or loop.is_cancelled():
                self._settle_stopped(_LOOP_ENDED)
                raise
            # Code of the user's has raised it, or has waited for a task that was cancelled.
            self._settle_stopped(_STRAY.format(type(exc).__name__), exc)
        except BaseException as exc:
            if self.state not in LIVE_STATES:
                return  # its loop was closed under it, and the outcome is written
            if isinstance(exc, GeneratorExit) and not self.host.is_here():
                self._settle_stopped(_LOOP_ENDED)  # the coroutine is being closed
                return
            error = _unwrap(exc)
            self._settle(GenerationSignal.BROKE, error)
            if isinstance(error, KeyboardInterrupt) and self.host.loop.passes_interrupts:
                raise
        else:
            if complete:
                self._settle(GenerationSignal.ENDED)
            else:
                self._settle_stopped(_NOBODY_WAITS)

    def _ended(self) -> None:
        # Cancelled before its first step, or a loop that was closed under it.
        if self.state in LIVE_STATES:
            self._settle_stopped(_LOOP_ENDED)

    def _settle_stopped(self, otherwise: str, cause: BaseException | None = None) -> None:
        signal, reason = self._stopping or (GenerationSignal.ABANDONED, otherwise)
        if signal is GenerationSignal.CANCELLED:
            self._settle(signal)
        else:
            error = GenerationCancelled(reason, partial=self.text)
            error.__cause__ = cause
            self._settle(signal, error)

    def _settle(self, signal: GenerationSignal, error: BaseException | None = None) -> None:
        """Write the outcome. Happens once; a second one is a bug that `advance` reports."""
        self.state = advance(GENERATION, self.state, signal)
        self.live = False
        self._whole = "".join(self._parts)
        self._parts = []
        if error is not None:
            if isinstance(error, BackendError) and not error.partial:
                error.partial = self._whole
            self.error, self._traceback = error, error.__traceback__
        self._produce = None  # it reaches the prompt, the backend, the session ...
        self._scope = self.task = None
        if self._bell is not None:
            self._bell.close()
            self._bell = None
        if self._settled is not None:
            with suppress(RuntimeError):  # the loop was closed under those who wait
                self._settled.set()
        if self._watchers is not None:
            watchers, self._watchers = self._watchers, None
            for watcher in watchers:
                watcher(self)
        if self._owner is not None:
            self._owner.release(self)
            self._owner = None

    def feed(self, text: str) -> None:
        """Add text that has arrived. Never waits, never raises; the hot path."""
        self._parts.append(text)
        if self._bell is not None:
            self._bell.ring()

    # What consumers do.

    @property
    def text(self) -> str:
        """The text so far; after the end, all of it."""
        return "".join(self._parts) if self._whole is None else self._whole

    @property
    def parts(self) -> list[str]:
        """The text so far as it was fed; empty after the end."""
        return self._parts

    @property
    def interest(self) -> int:
        """How many wait for the outcome or read the deltas."""
        return self._interest

    def check_here(self) -> None:
        """Refuse a caller on another event loop.

        Raises:
            WrongEventLoop: names both loops.
        """
        if self.host is not None:
            check_here(self.host, "this reply")

    def check_outside(self) -> None:
        """Refuse a caller that this generation waits for, so that neither would ever end.

        Raises:
            PendingReplyError: a validator waits for the reply that it is to judge, for one.
        """
        if self.live and is_inside():
            self._wait().check()

    def task_here(self) -> object:
        """Return the task that the caller runs in.

        Raises:
            WrongEventLoop: it is one of another event loop; names both loops.
        """
        assert self.host is not None
        task = self.host.running_task()
        if task is None:
            self.check_here()
        return task

    def gain_interest(self) -> None:
        """Count one more who waits or reads."""
        self._interest += 1
        note_interest(self)
        if self._lingering and self._scope is not None:
            self._lingering = False
            self._scope.deadline = math.inf

    def lose_interest(self) -> None:
        """Count one less; with the last one the generation's time begins to run out."""
        self._interest -= 1
        if self._interest or not self.live or self._scope is None or self._linger == math.inf:
            return
        if self.host is not None and self.host.loop.is_closed():
            return  # it was closed under its tasks, and will never look at a deadline
        if self._linger <= 0:
            self.stop(_NOBODY_WAITS)
        else:
            assert self.host is not None
            self._lingering = True
            self._scope.deadline = self.host.time() + self._linger

    def stop(self, reason: str, *, explicitly: bool = False) -> None:
        """Cancel the generation. Not a checkpoint.

        The first reason given counts, except that one who stops it on purpose is not
        overruled by having been the last who waited.

        Args:
            reason: why, for whoever waits.
            explicitly: the consumer wants what has arrived as the value, no error.
        """
        if not self.live or self._scope is None:
            return
        if self._stopping is None or explicitly:
            signal = GenerationSignal.CANCELLED if explicitly else GenerationSignal.ABANDONED
            self._stopping = (signal, reason)
        with suppress(RuntimeError):  # its loop was closed under it
            self._scope.cancel()

    async def wait_settled(self) -> None:
        """Return when the outcome is written. Takes no interest; a checkpoint while it waits."""
        if self.live:
            if self._settled is None:
                self._settled = anyio.Event()
            await self._settled.wait()

    async def wait_outcome(self) -> None:
        """Do as `wait_settled` does, for code of the user's, which may wait in a circle.

        Raises:
            PendingReplyError: as `check_outside`.
        """
        if not is_inside():
            await self.wait_settled()
        elif self.live:
            with self._wait():
                await self.wait_settled()

    def watch(self, watcher: Callable[["Generation"], None]) -> None:
        """Have *watcher* called once, by the generation's task, when the outcome is written."""
        assert self.live
        if self._watchers is None:
            self._watchers = []
        self._watchers.append(watcher)

    def unwatch(self, watcher: Callable[["Generation"], None]) -> None:
        """Take a watcher back; harmless after the end."""
        if self._watchers is not None and watcher in self._watchers:
            self._watchers.remove(watcher)

    async def wait_delta(self) -> None:
        """Sleep until the next delta or the end; for one reader at a time.

        Raises:
            PendingReplyError: as `check_outside`.
        """
        if self._bell is None:
            assert self.host is not None
            self._bell = Bell(self.host.loop)
        if not is_inside():
            await self._bell.wait()
        else:
            with self._wait():
                await self._bell.wait()

    def _wait(self) -> Wait:
        assert self.host is not None
        return Wait((self,), self.host.running_task())

    def unwrap(self) -> str:
        """Return the outcome: the text, or raise the error.

        Raises:
            BaseException: what ended the generation; the same object every time.
        """
        assert self._whole is not None
        if self.error is not None:
            # Without this every raise would add its frames to the same traceback.
            raise self.error.with_traceback(self._traceback)
        return self._whole


def _unwrap(error: BaseException) -> BaseException:
    """Take a single error out of its groups, leaving out cancellations."""
    if isinstance(error, BaseExceptionGroup):
        cancelled, rest = error.split(anyio.get_cancelled_exc_class())
        if cancelled is not None and rest is not None:
            error = rest
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error

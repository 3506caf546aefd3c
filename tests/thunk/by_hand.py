"""Replies without a model: fed by the test, or by a script that the test writes down.

For tests of the layers that know outcomes, interest and deltas, and not who produces them.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
import anyio.lowlevel

from motet._runtime.host import current_host
from motet._runtime.owner import Owner
from motet._thunk.generation import DEFAULT_LINGER, Generation
from motet._thunk.thunk import ModelOutputThunk

Step = str | float | BaseException
"""What a script does next: a delta, seconds of silence, or an error."""


class Reply:
    """A reply that the test feeds and ends.

    Attributes:
        thunk: what its consumers hold.
        generation: what the thunk holds.
    """

    def __init__(self, *, linger: float = DEFAULT_LINGER, owner: Owner | None = None) -> None:
        self._begun = self._unwound = False
        self._over: Final = anyio.Event()
        self._error: BaseException | None = None
        self.generation: Final = Generation(
            self._produce, host=current_host(), owner=owner, linger=linger
        )
        self.thunk: Final[ModelOutputThunk[Any]] = ModelOutputThunk.pending(self.generation)
        self.generation.start()

    @property
    def stopped(self) -> bool:
        """Whether it was cancelled, and has unwound if it had begun."""
        return self._unwound or not (self._begun or self.generation.live)

    async def _produce(self, _: Generation) -> None:
        self._begun = True
        try:
            await self._over.wait()
            if self._error is not None:
                raise self._error
        except anyio.get_cancelled_exc_class():
            self._unwound = True
            raise

    def feed(self, *deltas: str) -> None:
        """Have deltas arrive."""
        for delta in deltas:
            self.generation.feed(delta)

    def end(self, error: BaseException | None = None) -> None:
        """Have the reply end well, or with an error; its task will run for that."""
        self._error = error
        self._over.set()


def scripted(
    *steps: Step,
    linger: float = DEFAULT_LINGER,
    owner: Owner | None = None,
    stopped: list[float] | None = None,
) -> ModelOutputThunk[Any]:
    """Return a thunk whose reply follows a script; when it is cancelled *stopped* gets the time."""

    async def produce(generation: Generation) -> None:
        try:
            for step in steps:
                match step:
                    case str():
                        generation.feed(step)
                    case BaseException():
                        raise step
                    case math.inf:
                        await anyio.sleep_forever()
                    case _:
                        await anyio.sleep(step)
        except anyio.get_cancelled_exc_class():
            if stopped is not None:
                stopped.append(anyio.current_time())
            raise

    return produced(produce, owner=owner, linger=linger)


def produced(
    produce: Callable[[Generation], Awaitable[None]],
    *,
    owner: Owner | None = None,
    linger: float = DEFAULT_LINGER,
) -> ModelOutputThunk[Any]:
    """Return the thunk of a generation that is produced so, and has been started."""
    generation = Generation(produce, host=current_host(), owner=owner, linger=linger)
    thunk: ModelOutputThunk[Any] = ModelOutputThunk.pending(generation)
    generation.start()
    return thunk


def interest(thunk: ModelOutputThunk[Any]) -> int:
    """Return how many wait for a thunk or read it."""
    return thunk._source.interest


async def others_wait() -> None:
    """Return when every other task waits for something that only the test can do."""
    # anyio polls on asyncio, and these spare it the first look at tasks that are about to wait.
    for _ in range(5):
        await anyio.lowlevel.checkpoint()
    await anyio.wait_all_tasks_blocked()


async def stray() -> None:
    """Let out a cancellation, though nothing has cancelled this task."""
    if asyncio._get_running_loop() is not None:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future
    kept: list[BaseException] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class() as exc:
            kept.append(exc)
    raise kept[0]

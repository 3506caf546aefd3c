"""A log: what was said stays until its one reader comes for it.

The writer never waits. The reader may come late, after the end, or never; what it has
been given is forgotten. It is a plain object and no async generator, so that leaving a
loop over it leaves nothing that an event loop would have to finalise.
"""

from __future__ import annotations

import functools
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import anyio.lowlevel

from ..._runtime.bell import Bell
from ..._runtime.circles import Wait
from ..._runtime.loops import is_finished
from ..._values.errors import SingleReaderError

if TYPE_CHECKING:
    from ..._thunk.generation import Generation

T = TypeVar("T")


class Log(Generic[T]):
    """Items in the order in which they were added, for one reader.

    Args:
        name: what the reader calls to get it, for messages.
        job: what adds the items; the reader counts as interested in it.
        at_end: called when the reader has had everything; may raise what ended the job.
    """

    __slots__ = ("_at_end", "_bell", "_claimed", "_closed", "_items", "_job", "_name")

    def __init__(self, name: str, job: Generation, at_end: Callable[[], None]) -> None:
        self._name = name
        self._job = job
        self._at_end = at_end
        self._items: deque[T] = deque()
        assert job.host is not None
        self._bell = Bell(job.host.loop)
        self._closed = False
        self._claimed = False  # by the iterator that was the first to begin

    def add(self, item: T) -> None:
        """Add an item. Never waits, never raises."""
        self._items.append(item)
        self._bell.ring()

    def close(self) -> None:
        """Say that there will be no more."""
        self._closed = True
        self._bell.close()

    def reader(self) -> LogReader[T]:
        """Return an iterator; of several, the first that is stepped is the reader."""
        return LogReader(self)


class LogReader(AsyncIterator[T]):
    """Iterates over a log."""

    __slots__ = ("__weakref__", "_begun", "_ended", "_interested", "_log", "_reading", "_task")

    def __init__(self, log: Log[T]) -> None:
        self._log = log
        self._begun = self._ended = self._interested = self._reading = False
        self._task: weakref.ref[object] | None = None

    def __aiter__(self) -> LogReader[T]:
        return self

    async def __anext__(self) -> T:
        """Return the next item, waiting for it. Always a checkpoint.

        A step that is cancelled loses nothing, the next one returns what it would have
        returned; until then the reader does not count as interested.

        Raises:
            SingleReaderError: another iterator has begun, or another task is in here.
            WrongEventLoop: the run belongs to another event loop.
            PendingReplyError: a requirement of the run reads it.
        """
        log = self._log
        task = log._job.task_here()
        if not self._begun:
            log._job.check_outside()
        self._claim()
        if self._ended:
            await anyio.lowlevel.checkpoint()
            raise StopAsyncIteration
        self._reading = True
        self._gain(task)
        try:
            if log._items or log._closed:
                await anyio.lowlevel.checkpoint()
            while not log._items and not log._closed:
                with Wait((log._job,), task):
                    await log._bell.wait()
        except BaseException:
            self._lose()
            raise
        finally:
            self._reading = False
        if log._items:
            return log._items.popleft()
        self._ended = True
        self._lose()
        log._at_end()
        raise StopAsyncIteration

    def _claim(self) -> None:
        log = self._log
        if not log._claimed:
            log._claimed = self._begun = True
        if not self._begun:
            raise SingleReaderError(
                f"{log._name} has been read, or is being read, by another loop; "
                "read it in one loop and keep what you need twice"
            )
        if self._reading:
            raise SingleReaderError(
                f"another task is waiting in this loop over {log._name}; read it in one task"
            )

    def _gain(self, task: object) -> None:
        job = self._log._job
        if not job.live:
            return
        if not self._interested:
            self._interested = True
            job.gain_interest()
        assert job.host is not None
        if self._task is None or self._task() is not task:
            self._task = weakref.ref(task)
            # When the reader's task is over, so is its interest; see `__del__` for one that
            # is gone before.
            job.host.loop.on_task_end(task, functools.partial(_task_gone, weakref.ref(self)))

    def _lose(self) -> None:
        if self._interested:
            self._interested = False
            self._log._job.lose_interest()

    def __del__(self) -> None:
        # The loop was left before the end. A garbage collector may call this anywhere.
        host = self._log._job.host
        if self._interested and host is not None and host.is_here():
            self._lose()


def _task_gone(reader: weakref.ref[LogReader[Any]]) -> None:
    left = reader()
    if left is None or left._reading:
        return
    # Another task may have read on meanwhile.
    if left._task is None or (task := left._task()) is None or is_finished(task):
        left._lose()

"""The one reader of a reply's deltas.

It remembers a position in the text that the generation keeps, and nothing is handed
over: a read that is cancelled has not moved the position, so nothing can be lost.
"""

import weakref
from collections.abc import Callable

import anyio.lowlevel

from .._runtime.interrupts import in_one_piece
from .._runtime.loops import is_finished
from .._values.errors import SingleReaderError
from .._values.states import DELIVERY, DeliverySignal, DeliveryState, advance
from .generation import Generation


class DeltaReader:
    """Where the reader of one generation is."""

    __slots__ = (
        "__weakref__",
        "_delivered",
        "_generation",
        "_interested",
        "_next",
        "_reading",
        "_task",
        "_unwatch",
        "state",
    )

    def __init__(self, generation: Generation) -> None:
        self.state = DeliveryState.IDLE
        self._generation = generation
        self._next = 0  # the first part that was not delivered
        self._delivered = 0  # characters; parts are gone when the text is whole
        self._reading = False
        self._interested = False
        self._task: weakref.ref[object] | None = None
        self._unwatch: Callable[[], None] = _nothing

    @in_one_piece
    async def receive(self) -> str:
        """Return the text that is new, waiting for it; after the end the rest, maybe empty.

        Always a checkpoint. A reader that is cancelled in here loses its interest until
        it comes back, and no text.

        Raises:
            SingleReaderError: another task is in here.
            WrongEventLoop: the reply belongs to another event loop.
            PendingReplyError: what produces the reply waits for the caller.
        """
        generation = self._generation
        if self._reading:
            raise SingleReaderError(
                "another task is reading the deltas of this reply; read them in one task, "
                "or use `await thunk` where only the whole text is wanted"
            )
        task = generation.task_here()
        if self._task is None or self._task() is not task:
            generation.check_outside()
            self._task = weakref.ref(task)
            self._unwatch()
            # When the reader's task is over, so is its interest. Weakly: a task may read
            # thousands of replies in its life, and must not keep them.
            gone = weakref.WeakMethod(self._task_gone)
            assert generation.host is not None
            self._unwatch = generation.host.loop.on_task_end(
                task, lambda: None if (call := gone()) is None else call()
            )
        self.state = advance(DELIVERY, self.state, DeliverySignal.ATTACHED)
        self._reading = True
        self._gain()
        try:
            if not generation.live or self._next < len(generation.parts):
                await anyio.lowlevel.checkpoint()
            while generation.live and self._next == len(generation.parts):
                await generation.wait_delta()
        except BaseException:
            self._lose()
            raise
        finally:
            self._reading = False
        return self._take()

    def _take(self) -> str:
        if self._generation.live:
            parts = self._generation.parts
            new = (
                parts[self._next] if len(parts) == self._next + 1 else "".join(parts[self._next :])
            )
            self._next = len(parts)
        else:
            new = self._generation.text[self._delivered :]
        self._delivered += len(new)
        return new

    def drain(self) -> None:
        """Note that the reader has seen the end, or does not want the rest."""
        self.state = advance(DELIVERY, self.state, DeliverySignal.DRAINED)
        self._unwatch()
        self._unwatch = _nothing
        self._lose()

    def leave(self) -> bool:
        """Take back the interest of a reader that has walked away; tell whether it had any.

        It may come back.
        """
        left = self._interested and not self._reading
        if left:
            self._lose()
        return left

    def come_back(self) -> None:
        """Take up the interest again, of a reader that goes on reading later."""
        self._gain()

    def _task_gone(self) -> None:
        # Another task may have read on meanwhile.
        if self._task is None or (task := self._task()) is None or is_finished(task):
            self.leave()

    def may_give_up(self) -> bool:
        """Whether the caller may drop the rest: it is the reader, or the reader is gone."""
        if self.state is not DeliveryState.ATTACHED or self._reading or self._task is None:
            return False
        task = self._task()
        assert self._generation.host is not None
        return task is None or task is self._generation.host.running_task() or is_finished(task)

    def _gain(self) -> None:
        if not self._interested and self._generation.live:
            self._interested = True
            self._generation.gain_interest()

    def _lose(self) -> None:
        if self._interested:
            self._interested = False
            self._generation.lose_interest()


def _nothing() -> None:
    """Undo nothing."""

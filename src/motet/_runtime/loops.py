"""Which event loop runs here, and what motet needs of it.

One adapter class for each kind of event loop, found through the *native* object of the
loop (the asyncio loop, the Trio token) and compared by identity. Never by ``id()``:
loops made one after the other get the same one again.

Neither library is imported here. A loop that runs has been imported by whoever runs
it, so ``sys.modules`` has it; a program on Trio never loads asyncio for us, nor the
other way round.
"""

from __future__ import annotations

import math
import sys
import weakref
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import suppress
from contextvars import Context
from itertools import count
from typing import Any, Final, Protocol

import anyio
from anyio import lowlevel

from .interrupts import protect_marked

_serials: Final = count(1)

# A clean-up that awaits more often than this, each time in spite of a cancellation, is
# left to the garbage collector.
_MOST_AWAITS: Final = 100


class Sleeper(Protocol):
    """A sleep of one task that ends when another wakes it; awaiting it is a checkpoint.

    An `anyio.Event` for each sleep would do as well. But a reader sleeps once for each
    token, and on asyncio making the event costs it a fifth of its way to the next.
    """

    def __await__(self) -> Generator[Any, Any, object]:
        """Sleep; a sleep that is cancelled is over."""

    def wake(self) -> None:
        """End the sleep. Harmless when it is over.

        Raises:
            RuntimeError: the loop was closed under it.
        """


class Loop(Protocol):
    """What the runtime needs of an event loop."""

    native: Callable[[], Any]  # the native object, None once it is gone
    flavor: str  # the name of the library that runs it
    serial: int  # unique in this process, unlike id()
    lets_out: tuple[type[BaseException], ...]  # what a task we start may end with
    passes_interrupts: bool  # whether KeyboardInterrupt goes through tasks to the runner

    def is_here(self) -> bool:
        """Tell whether the calling code runs on this loop."""

    def running_task(self) -> object | None:
        """Return the task that the calling code runs in, None if it is none of this loop's."""

    def holders(self) -> dict[int, int | None]:
        """Return by `id` for each task of this loop, on which it runs, the task that waits for its end.

        That is the one whose task group it is in, or that awaits it; None if that is not known.
        """

    def is_cancelled(self) -> bool:
        """Tell whether anything has cancelled the running task, where it is now."""

    def sleeper(self) -> Sleeper:
        """Return what one task can sleep on, once; to be called on this loop."""

    def is_closed(self) -> bool:
        """Tell whether this loop will never run again."""

    def time(self) -> float:
        """Return the loop's clock, in seconds; on the loop, in a task or not."""

    def is_running(self) -> bool:
        """Tell whether somebody runs this loop at the moment; from any thread."""

    def on_task_end(self, task: Any, callback: Callable[[], None]) -> Callable[[], None]:
        """Run *callback* on the loop some time after that task is over; return what undoes it."""

    def spawn(
        self,
        fn: Callable[..., Awaitable[None]],
        args: tuple[object, ...],
        name: str,
        context: Context,
        on_end: Callable[[], None],
    ) -> None:
        """Start a task of the loop's own; *on_end* runs after it, also if it never began."""

    def post(self, fn: Callable[..., object], *args: object) -> None:
        """Run *fn* on the loop soon, from any thread.

        Raises:
            RuntimeError: the loop has ended.
        """


class AsyncioLoop:
    """An asyncio event loop, of whatever make."""

    flavor: Final = "asyncio"

    def __init__(self, native: Any) -> None:
        asyncio = sys.modules["asyncio"]
        self.serial: int = next(_serials)
        self.passes_interrupts = True
        self.lets_out: tuple[type[BaseException], ...] = (
            asyncio.CancelledError,
            GeneratorExit,
            KeyboardInterrupt,
        )
        # Weak, because the registry that finds us is keyed weakly by the loop, and a
        # value that reaches its key would keep every loop alive for good.
        self.native: Callable[[], Any] = weakref.ref(native)
        self._running_loop: Callable[[], object] = asyncio._get_running_loop
        self._current_task: Callable[[object], object | None] = asyncio.current_task
        # asyncio itself keeps tasks weakly.
        self._tasks: dict[Any, Callable[[], None]] = {}
        self._read_buffer: memoryview | None = None

    def on_task_end(self, task: Any, callback: Callable[[], None]) -> Callable[[], None]:
        def ended(_: object) -> None:
            if not self.is_closed():
                callback()

        def undo() -> None:
            if (known := reference()) is not None:
                known.remove_done_callback(ended)

        reference = weakref.ref(task)
        task.add_done_callback(ended)
        return undo

    def is_here(self) -> bool:
        return self.running_task() is not None

    def running_task(self) -> object | None:
        # In Trio's guest mode the asyncio loop is "running" below a Trio task, too;
        # only inside a task of its own has it a current task.
        running = self._running_loop()
        if running is None or running is not self.native():
            return None
        return self._current_task(running)

    def holders(self) -> dict[int, int | None]:
        holders = _group_holders()
        for task in sys.modules["asyncio"].all_tasks(self.native()):
            for awaited in _awaited_futures(task):
                if holders.get(id(awaited), 0) is None:
                    holders[id(awaited)] = id(task)
            if holders[id(task)] is None and (parent := _parent_in_group(task)) is not None:
                holders[id(task)] = id(parent)
        return holders

    def is_cancelled(self) -> bool:
        task: Any = self.running_task()
        return anyio.current_effective_deadline() == -math.inf or task.cancelling() > 0

    def sleeper(self) -> Sleeper:
        return _AsyncioSleeper(self.native())

    def read_buffer(self, size: int) -> memoryview:
        """Return the buffer that everything read on this loop goes through."""
        if self._read_buffer is None:
            self._read_buffer = memoryview(bytearray(size))
        return self._read_buffer

    def is_closed(self) -> bool:
        native = self.native()
        return native is None or native.is_closed()

    def time(self) -> float:
        native: Any = self.native()
        now: float = native.time()
        return now

    def is_running(self) -> bool:
        native = self.native()
        return native is not None and native.is_running()

    def spawn(
        self,
        fn: Callable[..., Awaitable[None]],
        args: tuple[object, ...],
        name: str,
        context: Context,
        on_end: Callable[[], None],
    ) -> None:
        native: Any = self.native()
        task = native.create_task(fn(*args), name=name, context=context)
        if task.done():  # an eager task factory may have run it to its end
            on_end()
            return
        self._tasks[task] = on_end
        task.add_done_callback(self._ended)

    def _ended(self, task: Any) -> None:
        # A task that is cancelled before its first step never enters its coroutine,
        # so a ``finally`` in there is not enough.
        on_end = self._tasks.pop(task, None)
        if on_end is not None:
            on_end()
        if not task.cancelled():
            task.exception()  # an interrupt on its way through; asyncio wants it looked at

    def forget_tasks(self) -> None:
        """Unwind what a loop that was closed without cancelling has left."""
        while self._tasks:
            task, on_end = self._tasks.popitem()
            task._log_destroy_pending = False  # its outcome is written: nothing is lost
            if self.is_closed():
                self._unwind(task)
            on_end()

    def _unwind(self, task: Any) -> None:
        """Cancel a task that no loop will ever step again, by stepping it here.

        Without this, its scopes stay entered and anyio keeps them, and with them the task
        and its loop, for good. What it still wants to await is refused, too.
        """
        asyncio = sys.modules["asyncio"]
        native, running = self.native(), self._running_loop()
        coroutine = task.get_coro()
        # Made for those who implement tasks: https://docs.python.org/3/library/asyncio-extending.html
        asyncio._set_running_loop(native)
        asyncio._enter_task(native, task)
        try:
            for _ in range(_MOST_AWAITS):
                coroutine.throw(asyncio.CancelledError("the event loop was closed"))
        except BaseException:  # StopIteration, the cancellation, or what the loop says
            pass
        finally:
            asyncio._leave_task(native, task)
            asyncio._set_running_loop(running)

    def post(self, fn: Callable[..., object], *args: object) -> None:
        native = self.native()
        if native is None:
            raise RuntimeError("the event loop has ended")
        native.call_soon_threadsafe(fn, *args)

    def __str__(self) -> str:
        return f"asyncio event loop #{self.serial}" + (" (closed)" if self.is_closed() else "")


class TrioLoop:
    """A Trio run."""

    flavor: Final = "trio"

    def __init__(self, native: Any) -> None:
        self._lowlevel = sys.modules["trio"].lowlevel
        protect_marked(self._lowlevel)
        self.serial: int = next(_serials)
        self.passes_interrupts = False
        # Anything else that leaves a system task kills the whole run.
        self.lets_out: tuple[type[BaseException], ...] = (sys.modules["trio"].Cancelled,)
        self.native: Callable[[], Any] = weakref.ref(native)
        self._ended = False
        self._last_words: set[weakref.ref[Any]] = set()

    def on_task_end(self, task: Any, callback: Callable[[], None]) -> Callable[[], None]:
        # Trio tells nobody when a task ends, but forgets the task.
        def gone(_: object) -> None:
            self._last_words.discard(reference)
            with suppress(RuntimeError):  # the run has ended as well
                self.post(callback)

        reference = weakref.ref(task, gone)
        self._last_words.add(reference)
        return lambda: self._last_words.discard(reference)

    def is_here(self) -> bool:
        try:
            return self._lowlevel.current_trio_token() is self.native()
        except RuntimeError:
            return False

    def running_task(self) -> object | None:
        try:
            task: object = self._lowlevel.current_task()
        except RuntimeError:  # no run in this thread, or between two tasks of it
            return None
        return task if self.is_here() else None

    def holders(self) -> dict[int, int | None]:
        return _group_holders()

    def is_cancelled(self) -> bool:
        return anyio.current_effective_deadline() == -math.inf

    def sleeper(self) -> Sleeper:
        return _TrioSleeper(self._lowlevel)

    def is_closed(self) -> bool:
        return self._ended or self.native() is None

    def time(self) -> float:
        now: float = self._lowlevel.current_clock().current_time()
        return now

    def is_running(self) -> bool:
        return not self.is_closed()

    def forget_tasks(self) -> None:
        """Nothing to do: a Trio run ends with all its tasks."""
        self._ended = True

    def spawn(
        self,
        fn: Callable[..., Awaitable[None]],
        args: tuple[object, ...],
        name: str,
        context: Context,
        on_end: Callable[[], None],
    ) -> None:
        async def run() -> None:
            try:
                await fn(*args)
            finally:
                on_end()

        # System tasks are protected from KeyboardInterrupt, and cancelled when the
        # main task has ended.
        self._lowlevel.spawn_system_task(run, name=name, context=context)

    def post(self, fn: Callable[..., object], *args: object) -> None:
        native = self.native()
        if native is None or self._ended:
            raise RuntimeError("the Trio run has ended")
        try:
            native.run_sync_soon(fn, *args)
        except sys.modules["trio"].RunFinishedError:
            raise RuntimeError("the Trio run has ended") from None

    def __str__(self) -> str:
        return f"Trio run #{self.serial}" + (" (ended)" if self.is_closed() else "")


class _AsyncioSleeper:
    __slots__ = ("_future",)

    def __init__(self, native: Any) -> None:
        self._future = native.create_future()

    def __await__(self) -> Generator[Any, Any, object]:
        return self._future.__await__()  # type: ignore[no-any-return]

    def wake(self) -> None:
        if not self._future.done():
            # Ctrl-C cancels the main task, and with it its sleep, between any two steps.
            with suppress(sys.modules["asyncio"].InvalidStateError):
                self._future.set_result(None)


class _TrioSleeper:
    __slots__ = ("_lowlevel", "_task")

    def __init__(self, lowlevel: Any) -> None:
        self._lowlevel = lowlevel
        self._task: Any = None

    def __await__(self) -> Generator[Any, Any, object]:
        self._task = self._lowlevel.current_task()
        return self._lowlevel.wait_task_rescheduled(self._cancelled).__await__()  # type: ignore[no-any-return]

    def _cancelled(self, _: object) -> Any:
        self._task = None
        return self._lowlevel.Abort.SUCCEEDED

    def wake(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            self._lowlevel.reschedule(task)


def running_native() -> object | None:
    """Return the native object of the event loop the caller runs in, or None.

    Ten times as fast as asking anyio for its token, and made on every call.
    """
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None:
        native: object | None = asyncio._get_running_loop()
        if native is not None and asyncio.current_task() is not None:
            return native
    if "trio" in sys.modules:
        try:
            trio_token: object = sys.modules["trio"].lowlevel.current_trio_token()
        except (RuntimeError, AttributeError):  # AttributeError: trio is half imported
            pass
        else:
            return trio_token
    # A callback of an asyncio loop (no task), or no loop at all.
    try:
        return lowlevel.current_token().native_token
    except anyio.NoEventLoopError:
        return None


def _group_holders() -> dict[int, int | None]:
    return {each.id: each.parent_id for each in anyio.get_running_tasks()}


def _awaited_futures(task: Any) -> Iterator[object]:
    """Yield what a task of asyncio awaits: a future, or those that it gathers."""
    # asyncio tells nobody before Python 3.14, but its tasks have always known.
    left = [getattr(task, "_fut_waiter", None)]
    while left:
        future = left.pop()
        gathered = getattr(future, "_children", None)
        if gathered is None:
            yield future
        else:
            left.extend(gathered)


def _parent_in_group(task: Any) -> object | None:
    """Return the task whose `asyncio.TaskGroup` a task is in."""
    for callback, _ in getattr(task, "_callbacks", None) or ():
        parent: object | None = getattr(getattr(callback, "__self__", None), "_parent_task", None)
        if parent is not None:
            return parent
    return None


def adapt(native: Any) -> AsyncioLoop | TrioLoop:
    """Return a new adapter for the event loop with that native object."""
    if type(native).__module__.partition(".")[0] == "trio":
        return TrioLoop(native)
    return AsyncioLoop(native)


def is_finished(task: Any) -> bool:
    """Tell whether a task of either library has run to its end."""
    coroutine = task.get_coro() if hasattr(task, "get_coro") else task.coro
    return getattr(coroutine, "cr_frame", None) is None

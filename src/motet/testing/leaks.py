"""What a piece of code has left behind: tasks, threads, open streams, generators, connections, held locks.

A `Census` is taken before, and asked afterwards what is there that was not; `no_leaks`
does both around a block. It looks and never waits, so who allows something to go on
for a while (a generation has its *linger*) waits for that first.

It knows nothing of how the code was run, and works with and without an event loop.
"""

import contextvars
import gc
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import AsyncGeneratorType, CodeType, FrameType
from typing import Any, Final, Self

import anyio
import attrs
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from .._runtime.host import LoopHost

# Threads that wait for more work on behalf of a whole process or event loop.
_POOLS: Final = ("AnyIO worker thread", "Trio thread", "asyncio_", "motet portal")

# What the event loop finalises itself when it ends: the one generator of every host.
_KEPT_BY_THE_LOOP: Final[frozenset[CodeType]] = frozenset({LoopHost._live.__code__})

# What can be held, by module and class; those that were never imported hold nothing. Each says
# whether it is held now. Of a semaphore without a bound it cannot be known how much of it there
# was, so it counts as held when nothing is left.
_LOCKS: Final[Mapping[tuple[str, str], Callable[[Any], bool]]] = {
    **{
        (module, "Lock"): lambda lock: lock.locked()
        for module in ("asyncio.locks", "anyio._backends._asyncio", "anyio._backends._trio")
    },
    ("trio._sync", "Lock"): lambda lock: lock.locked(),
    ("trio._sync", "StrictFIFOLock"): lambda lock: lock.locked(),
    ("asyncio.locks", "Semaphore"): lambda semaphore: semaphore.locked(),
    ("asyncio.locks", "BoundedSemaphore"): (
        lambda semaphore: semaphore._value < semaphore._bound_value
    ),
    ("anyio._backends._asyncio", "Semaphore"): lambda semaphore: _is_taken(semaphore),
    ("anyio._backends._trio", "Semaphore"): lambda semaphore: _is_taken(semaphore),
    ("trio._sync", "Semaphore"): lambda semaphore: _is_taken(semaphore),
    ("anyio._backends._asyncio", "CapacityLimiter"): lambda limiter: limiter.borrowed_tokens > 0,
    ("anyio._backends._trio", "CapacityLimiter"): lambda limiter: limiter.borrowed_tokens > 0,
    ("trio._sync", "CapacityLimiter"): lambda limiter: limiter.borrowed_tokens > 0,
}

# They are set once and for all by whoever is the first to need them.
_KEPT_VARIABLES: Final = frozenset({"decimal_context", "current_async_library_cvar"})

_STREAMS: Final = frozenset({MemoryObjectSendStream, MemoryObjectReceiveStream})


@attrs.frozen
class Leak:
    """Something that should be over and is not.

    Attributes:
        kind: ``task``, ``thread``, ``stream``, ``async generator``, ``connection``, ``lock``,
            ``context variable``, or what a probe says.
        name: how it is called.
        where: where it waits or was made; empty if that cannot be known.
    """

    kind: str
    name: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f", {self.where}" if self.where else "")


class LeakError(AssertionError):
    """A block has left something behind.

    Attributes:
        leaks: what it was.
    """

    def __init__(self, leaks: Iterable[Leak]) -> None:
        self.leaks: Final = tuple(leaks)
        super().__init__("left behind: " + "; ".join(map(str, self.leaks)))


Probe = Callable[[], Iterable[Leak]]
"""Tells what is open now of a kind that this module does not know, such as a server's view."""


class Census:
    """What there is at one moment.

    It keeps what it has counted alive, so that nothing new can be mistaken for it.
    """

    def __init__(self, probes: Iterable[Probe] = ()) -> None:
        self._probes: Final = tuple(probes)
        self._known: set[int] = set()
        self._alive: list[object] = []
        self._told: set[Leak] = set()
        self._variables = contextvars.copy_context()

    @classmethod
    def take(cls, *, probes: Iterable[Probe] = ()) -> Self:
        """Count what there is. Not a checkpoint; inside an event loop its tasks count, too.

        Args:
            probes: functions to ask for what is open beside all this.
        """
        census = cls(probes)
        for thing, _ in _things():
            census._known.add(id(thing))
            census._alive.append(thing)
        for probe in census._probes:
            census._told.update(probe())
        return census

    def leaks(self) -> list[Leak]:
        """Return what is there now and was not when the census was taken. Not a checkpoint."""
        gc.collect()
        new = [leak() for thing, leak in _things() if id(thing) not in self._known]
        for probe in self._probes:
            new += [leak for leak in probe() if leak not in self._told]
        return new + list(self._changed_variables())

    def _changed_variables(self) -> Iterator[Leak]:
        """Tell of context variables that were set and not reset, in the same task or thread."""
        missing = object()
        for variable, value in contextvars.copy_context().items():
            if variable.name in _KEPT_VARIABLES:
                continue
            if self._variables.get(variable, missing) is not value:
                yield Leak("context variable", repr(variable.name), "which was set and not reset")


@contextmanager
def no_leaks(*, probes: Iterable[Probe] = ()) -> Iterator[None]:
    """Make sure that a block leaves nothing behind. Works in sync and in async code.

    A block that raises is not looked at: its own error is the better news.

    Args:
        probes: functions to ask for what is open beside what this module knows.

    Raises:
        LeakError: there is more than before; names each thing.
    """
    before = Census.take(probes=probes)
    yield
    leaks = before.leaks()
    if leaks:
        raise LeakError(leaks)


_Described = tuple[object, Callable[[], Leak]]


def _things() -> Iterator[_Described]:
    """Everything that can be left behind, and how to speak of it."""
    yield from _tasks()
    yield from _threads()
    locks = _lock_types()
    lease: Any = sys.modules.get("motet._http.lease")  # never loaded for this
    transport = None if lease is None else lease.LeaseTransport
    for thing in gc.get_objects():
        # By exact type: isinstance() would run the __class__ of every proxy there is.
        kind = type(thing)
        if kind in _STREAMS:
            if not thing._closed:
                yield thing, partial(_describe_stream, thing)
        elif kind is AsyncGeneratorType and _is_suspended(thing):
            yield thing, partial(_describe_generator, thing)
        elif kind in locks:
            if locks[kind](thing):
                yield thing, partial(_describe_lock, thing)
        elif kind is transport:
            # Idle connections are kept on purpose, until their event loop ends.
            for connection in thing._leased:
                yield connection, partial(_describe_connection, connection)


def _lock_types() -> dict[type, Callable[[Any], bool]]:
    """Return the classes of locks that are loaded, and what says of one whether it is held."""
    found = {}
    for (module, name), is_held in _LOCKS.items():
        cls = getattr(sys.modules.get(module), name, None)
        if cls is not None:
            found[cls] = is_held
    return found


def _is_taken(semaphore: Any) -> bool:
    bound = semaphore.max_value
    return bool(semaphore.value == 0 if bound is None else semaphore.value < bound)


def _tasks() -> Iterator[_Described]:
    try:
        running = anyio.get_running_tasks()
    except anyio.NoEventLoopError:
        return
    for task in running:
        # Compared by its coroutine: what anyio hands out is a new object every time.
        coroutine = _without_portal(task.coro)
        yield coroutine, partial(_describe_task, task, coroutine)


def _threads() -> Iterator[_Described]:
    for thread in threading.enumerate():
        if not thread.name.startswith(_POOLS):
            yield thread, partial(_describe_thread, thread)


def _without_portal(coroutine: Any) -> Any:
    """Return a task's own coroutine, around which greenback may have put one of its own."""
    while getattr(coroutine, "__name__", "") == "greenback_shim" and coroutine.cr_frame:
        inner = coroutine.cr_frame.f_locals.get("orig_coro")
        if inner is None:
            break
        coroutine = inner
    return coroutine


def _describe_task(task: anyio.TaskInfo, coroutine: Any) -> Leak:
    return Leak("task", repr(task.name), f"which waits in {innermost(coroutine)}")


def _describe_thread(thread: threading.Thread) -> Leak:
    frame = sys._current_frames().get(thread.ident or 0)
    return Leak("thread", repr(thread.name), f"which is in {place(frame)}" if frame else "")


def _describe_stream(stream: object) -> Leak:
    return Leak("stream", f"{type(stream).__name__} at {id(stream):#x}", _made(stream))


def _describe_lock(lock: Any) -> Leak:
    kind = type(lock)
    where = _made(lock)
    return Leak("lock", f"{kind.__name__} at {id(lock):#x}, which is held", where)


def _describe_generator(generator: Any) -> Leak:
    where = place(generator.ag_frame) if generator.ag_frame else _made(generator)
    return Leak("async generator", generator.__qualname__, f"suspended in {where}")


def _describe_connection(connection: Any) -> Leak:
    return Leak("connection", f"at {id(connection):#x}", "leased to a request that is over")


def _is_suspended(generator: Any) -> bool:
    """Tell whether an async generator has begun and not ended."""
    if generator.ag_frame is None or generator.ag_code in _KEPT_BY_THE_LOOP:
        return False
    if sys.version_info >= (3, 12):
        return bool(generator.ag_suspended)
    # One that has not begun stands on the line of its ``def``.
    return bool(generator.ag_frame.f_lineno != generator.ag_code.co_firstlineno)


def _made(thing: object) -> str:
    """Say where an object was made, which Python knows only while it traces allocations."""
    trace = tracemalloc.get_object_traceback(thing)
    if trace is None:
        return "" if tracemalloc.is_tracing() else "made somewhere (-X tracemalloc=10 tells where)"
    return "made by " + " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(trace))


def place(frame: FrameType) -> str:
    """Return where a frame is, as editors and people read it."""
    return f"{frame.f_code.co_filename}:{frame.f_lineno} ({frame.f_code.co_name})"


def frames(coroutine: object) -> list[FrameType]:
    """Return the frames of a suspended coroutine, outermost first, as far as Python shows them."""
    found: list[FrameType] = []
    here: Any = coroutine
    while here is not None:
        for prefix in ("cr", "gi", "ag"):
            frame = getattr(here, f"{prefix}_frame", None)
            if frame is not None:
                found.append(frame)
                here = getattr(here, "gi_yieldfrom" if prefix == "gi" else f"{prefix}_await", None)
                break
        else:
            break  # an object with an __await__ of its own, or one that has ended
    return found


def innermost(coroutine: object) -> str:
    """Return where a suspended coroutine waits."""
    stack = frames(coroutine)
    return place(stack[-1]) if stack else "code that Python does not show"

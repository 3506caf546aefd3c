"""One host for each running event loop: the only place that starts tasks.

A generation is a task of the event loop itself, not a child of whoever asked for it,
so a thunk needs no block around it. Two things make that safe: the loop ends its own
tasks before it ends itself, and the host's guard lets nothing out of such a task but
its cancellation. What belongs to the loop and must be closed with it, such as
connections, is closed by an async generator which the loop finalises, and both
libraries do this after the last task has unwound.

The host knows nothing of models and HTTP.
"""

import logging
import os
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Any, Final, TypeVar, TypeVarTuple, cast

import anyio

from .._values.errors import WrongEventLoop
from .loops import AsyncioLoop, TrioLoop, adapt, running_native

_log: Final = logging.getLogger("motet")

# Closing a connection takes no time; a server that does not take part in a TLS
# shutdown must not keep a program from ending.
CLOSE_TIMEOUT: Final = 5.0  # seconds

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class LoopHost:
    """Starts tasks on one event loop and closes what belongs to it."""

    def __init__(self, native: object) -> None:
        self.loop: AsyncioLoop | TrioLoop = adapt(native)
        self.closed: bool = False
        self._process = os.getpid()
        self.label: str = ""  # what users know it as, where they did not make it
        self.is_here: Callable[[], bool] = self.loop.is_here
        self.running_task: Callable[[], object | None] = self.loop.running_task
        self.post: Callable[..., None] = self.loop.post
        self.time: Callable[[], float] = self.loop.time
        self._resources: dict[Hashable, Any] = {}
        self._closers: list[Callable[[], Awaitable[object]]] = []
        self._lifespan = self._live()
        # The first step of an async generator registers it with the event loop.
        # Ours does not await in it, so that this needs no await either.
        with suppress(StopIteration):
            self._lifespan.asend(None).send(None)

    async def _live(self) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            self.closed = True
            with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_TIMEOUT):
                for close in reversed(self._closers):
                    try:
                        await close()
                    except Exception:
                        _log.exception("closing a resource of the %s failed", self.loop)
            self.loop.forget_tasks()
            # The loop's own hook for finalising us reaches the loop, so the registry would
            # keep it for good.
            with _registering:
                _hosts.pop(self.loop.native(), None)

    def spawn(
        self,
        fn: Callable[[*Ts], Awaitable[None]],
        *args: *Ts,
        name: str,
        on_end: Callable[[], None],
        context: Context | None = None,
    ) -> None:
        """Start a task that belongs to the event loop. Not a checkpoint.

        Args:
            fn: what to run; it should handle its errors, those that it lets out are logged.
            args: its arguments.
            name: the name of the task, for debuggers.
            on_end: called when the task is over, on the event loop, also if it never began.
            context: the context variables it sees; a copy of the caller's without it.
        """
        if self.closed or self.loop.is_closed():
            raise WrongEventLoop(f"the {self.loop} is shutting down: nothing can be started on it")
        guarded = (cast("Callable[..., Awaitable[None]]", fn), *args)
        if context is None:
            context = copy_context()
        elif "sniffio" in sys.modules:
            # A context from another thread may say that it is of the other library.
            context.run(sys.modules["sniffio"].current_async_library_cvar.set, self.loop.flavor)
        self.loop.spawn(self._guard, guarded, name, context, on_end)

    async def _guard(self, fn: Callable[..., Awaitable[None]], *args: object) -> None:
        try:
            await fn(*args)
        except self.loop.lets_out:
            raise
        except BaseException:  # on Trio it would end the whole run
            _log.exception("a task of motet let out an error; this is a bug in motet")

    def resource(
        self,
        key: Hashable,
        make: Callable[[], T],
        close: Callable[[T], Awaitable[object]] | None = None,
    ) -> T:
        """Return what this event loop keeps under *key*, made at the first call.

        *close* is awaited with it when the event loop ends, after its last task.
        """
        found: T | None = self._resources.get(key)
        if found is None:
            found = self._resources[key] = made = make()
            if close is not None:
                self._closers.append(lambda: close(made))
        return found

    def abandon(self) -> None:
        """Let go of a loop that was closed without having been shut down."""
        self.closed = True
        self._closers.clear()
        self._resources.clear()
        self.loop.forget_tasks()

    def was_left_by_fork(self) -> bool:
        """Tell whether it was the loop of a process that this one was forked from.

        Then it stands still here, whatever it says of itself: its thread does not exist. What
        runs on it is left alone, since the parent has a share in all that it would close.
        """
        # Trio goes on in the child if it is the thread of the run that forks.
        return os.getpid() != self._process and not self.is_here()

    def __str__(self) -> str:
        return self.label or str(self.loop)


# Weak keys: a loop that nobody uses any more takes its host with it.
_hosts: Final[weakref.WeakKeyDictionary[Any, LoopHost]] = weakref.WeakKeyDictionary()
_registering: Final = threading.Lock()


def current_host() -> LoopHost:
    """Return the host of the running event loop.

    Raises:
        WrongEventLoop: no event loop is running in this thread.
    """
    native = running_native()
    if native is None:
        raise WrongEventLoop(
            "no event loop is running here: call this from async code, "
            "or use the method without the `a` in front"
        )
    host = _hosts.get(native)
    if host is None or host.closed:
        _abandon_closed_loops()
        host = LoopHost(native)
        with _registering:
            _hosts[native] = host
    return host


def _abandon_closed_loops() -> None:
    with _registering:  # several threads may find the same dead loop
        closed = [(native, host) for native, host in _hosts.items() if host.loop.is_closed()]
        for native, host in closed:
            _hosts.pop(native, None)
            if not host.closed:
                host.abandon()


def check_here(host: LoopHost, what: str) -> None:
    """Refuse to go on when the caller is not on *host*'s event loop.

    Raises:
        WrongEventLoop: names both loops, and what to do.
    """
    if host.is_here():
        return
    if host.was_left_by_fork():
        raise WrongEventLoop(
            f"{what} belongs to the {host} of the process that this one was forked from, which "
            "does not run here; resolve it before the fork, or make a new call"
        )
    native = running_native()
    here = _hosts.get(native) if native is not None else None
    running = (
        "no event loop is running here"
        if native is None
        else f"this is {f'the {here}' if here else 'another'}"
    )
    if host.closed or host.loop.is_closed():
        raise WrongEventLoop(
            f"{what} belongs to the {host}, which is over, and {running}; "
            "what had arrived is in its `partial` or `value`, the rest needs a new call"
        )
    raise WrongEventLoop(
        f"{what} belongs to the {host}, and {running}; "
        "await it there, or resolve it before you pass it on"
    )

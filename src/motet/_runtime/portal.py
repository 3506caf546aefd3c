"""Running async code for code that is not: a thread with an event loop of its own.

The thread starts with the first call, never at import, and one is enough for a whole
process, because connections belong to event loops and not to sessions. A call made
from the portal's own thread (a tool that uses a session, say) goes to a portal one
level deeper: its loop is blocked by that very call, so it cannot serve it.

After a fork the child has the parent's portal and none of its threads, so it starts
anew. At exit the loop is stopped, and what still runs on it unwinds.
"""

import atexit
import concurrent.futures
import functools
import os
import threading
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, TypeVar, TypeVarTuple

import anyio

from .host import LoopHost, current_host

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# How long the end of the process waits for what still runs to unwind.
EXIT_TIMEOUT: Final = 5.0  # seconds

# A signal wakes no thread that is about to sleep on a lock, and none if the system gives it to another
# thread; Python sees to it as soon as the main thread is awake.
_LOOKS_UP: Final = 0.5  # seconds

# What errors call the loops of portals.
_LABEL: Final = "event loop behind the methods without await"
_DEEPER: Final = "{} that are called inside of one, level {}"


class _Call:
    """One call on its way through another thread's event loop, and its way back."""

    def __init__(self, fn: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        self.future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self._run = functools.partial(fn, *args)
        self._scope: anyio.CancelScope | None = None
        self._started = False
        self._cancelled = False

    def start(self, host: LoopHost, context: Context) -> None:
        """Start the call's task; runs on the loop."""
        self._started = True
        try:
            host.spawn(self._fulfil, name="motet call", on_end=self._ended, context=context)
        except BaseException as exc:
            self.future.set_exception(exc)

    async def _fulfil(self) -> None:
        try:
            with anyio.CancelScope() as self._scope:
                if self._cancelled:
                    self._scope.cancel()
                result = await self._run()
                self.future.set_result(result)
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as exc:
            # SystemExit and the like belong to the caller, not to the portal.
            self.future.set_exception(exc)

    def _ended(self) -> None:
        if not self.future.done():
            self.future.set_exception(
                RuntimeError("the event loop that served this call ended before it did")
            )

    def cancel(self) -> None:
        """Cancel the call; runs on the loop."""
        self._cancelled = True
        if not self._started:  # interrupted before it was handed over
            self.future.cancel()
        if self._scope is not None:
            self._scope.cancel()


# The portals whose calls the running code is part of, outermost first. A thread is not
# enough to tell: such code may go on in a worker thread while the portal waits for it.
_inside: Final[ContextVar[tuple["Portal", ...]]] = ContextVar("motet portals", default=())


def call_in_loop(
    host: LoopHost,
    fn: Callable[[*Ts], Awaitable[T]],
    *args: *Ts,
    context: Context | None = None,
) -> T:
    """Run an async function on the loop of *host* and block this thread until it ends.

    The caller's context variables are seen by it. When this thread is interrupted
    (Ctrl-C), the call is cancelled and seen to unwind before the interrupt goes on.

    Raises:
        RuntimeError: the loop has ended, or ends before the call does.
    """
    call = _Call(fn, args)
    try:
        host.post(call.start, host, copy_context() if context is None else context)
        result: T = _outcome(call.future)
    except BaseException:
        # Ctrl-C may come at any point, also between the two lines above.
        if not call.future.done():
            with suppress(RuntimeError):  # the loop has ended, and the call with it
                host.post(call.cancel)
                concurrent.futures.wait([call.future], timeout=EXIT_TIMEOUT)
        raise
    return result


def _outcome(future: concurrent.futures.Future[T]) -> T:
    """Wait for a future as its `result` does, and hear of Ctrl-C whenever it comes."""
    while True:
        try:
            return future.result(timeout=_LOOKS_UP)
        except TimeoutError:
            if future.done():  # it is the call's own, or the call has just ended
                return future.result()


class Portal:
    """A thread with an event loop that runs async functions for other threads."""

    def __init__(self, backend: str = "asyncio", level: int = 0) -> None:
        self._backend = backend
        self._level = level
        self._forget()
        _portals.add(self)

    def _forget(self) -> None:
        # Also what a forked child does: locks and threads of the parent mean nothing.
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._host: LoopHost | None = None
        self._stop: anyio.Event | None = None
        self._deeper: Portal | None = None

    def call(self, fn: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Run an async function on the portal's loop and wait for its result.

        It blocks the calling thread, so calling it from async code blocks that event
        loop; that is legal, and its name for async code is the function itself.

        Raises:
            RuntimeError: the interpreter is shutting down and starts no threads.
        """
        inside = _inside.get()
        here = threading.current_thread()
        portal: Portal = self
        while portal in inside or portal._thread is here:
            portal = portal._next()
        context = copy_context()
        context.run(_inside.set, (*inside, portal))
        return call_in_loop(portal._ready_host(), fn, *args, context=context)

    def _next(self) -> "Portal":
        with self._lock:
            if self._deeper is None:
                self._deeper = Portal(self._backend, self._level + 1)
            return self._deeper

    def _ready_host(self) -> LoopHost:
        with self._lock:
            if self._host is None or self._thread is None or not self._thread.is_alive():
                ready: concurrent.futures.Future[LoopHost] = concurrent.futures.Future()
                thread = threading.Thread(
                    target=self._serve,
                    args=(ready,),
                    name=f"motet portal {self._level}",
                    daemon=True,
                )
                try:
                    thread.start()
                except RuntimeError as exc:
                    raise RuntimeError(
                        "the interpreter is shutting down, so no thread can be started: "
                        "make the first synchronous call before the program ends"
                    ) from exc
                self._thread, self._host = thread, ready.result()
            return self._host

    def _serve(self, ready: "concurrent.futures.Future[LoopHost]") -> None:
        async def main() -> None:
            self._stop = anyio.Event()
            host = current_host()
            host.label = _LABEL if self._level == 0 else _DEEPER.format(_LABEL, self._level)
            ready.set_result(host)
            await self._stop.wait()

        try:
            anyio.run(main, backend=self._backend)
        except BaseException as exc:
            if ready.done():
                raise
            ready.set_exception(exc)

    def close(self) -> None:
        """Stop the loop and wait until what ran on it has unwound; the next call starts anew."""
        if self._deeper is not None:
            self._deeper.close()
        thread, host, stop = self._thread, self._host, self._stop
        if thread is None or host is None or stop is None or not thread.is_alive():
            return
        try:
            host.post(stop.set)
        except RuntimeError:  # it has just ended by itself
            return
        if thread is not threading.current_thread():
            thread.join(EXIT_TIMEOUT)
        self._thread = self._host = None


_portals: Final[weakref.WeakSet[Portal]] = weakref.WeakSet()


def _forget_all() -> None:
    for portal in list(_portals):
        portal._forget()


def _close_all() -> None:
    for portal in list(_portals):
        portal.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
atexit.register(_close_all)


@functools.cache
def default_portal() -> Portal:
    """Return the portal behind the synchronous methods of every session.

    Its event loop is asyncio; the environment variable ``MOTET_PORTAL=trio`` makes it Trio.
    """
    backend = os.environ.get("MOTET_PORTAL", "asyncio")
    if backend not in ("asyncio", "trio"):
        raise ValueError(f"MOTET_PORTAL must be asyncio or trio, not {backend!r}")
    return Portal(backend)


def run_in_portal(fn: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
    """Run an async function for code without await, and return what it returns.

    It runs on the event loop behind the synchronous methods of every session, in a thread of
    its own, and sees the caller's context variables. It blocks the calling thread; Ctrl-C
    there cancels it before it goes on. Sessions and replies that it leaves on that loop can
    be used by synchronous code.

    Args:
        fn: the function.
        args: its arguments.

    Raises:
        Exception: whatever *fn* raises.
        RuntimeError: the interpreter is shutting down and starts no threads.
    """
    return default_portal().call(fn, *args)

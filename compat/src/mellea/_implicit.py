"""`str()` of a reply that is on its way waits in place, in the task that asks for it.

Tasks that call an async method of a session get a greenback portal, through which code that
is not async can await: when the method is *called*, for the calling task, and when the
coroutine *runs*, for the task it runs in, which need not be the same. Other tasks go on
while one waits so. A task without a portal is told to use ``await thunk.avalue()``.

This is the only module that knows greenback. A portal costs a task about a microsecond
each time it is suspended; ``implicit_wait=False`` of a session, and the environment variable
``MELLEA_IMPLICIT_WAIT=0``, do without.
"""

import functools
import inspect
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar, cast

import greenback
import sniffio

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

VARIABLE: Final = "MELLEA_IMPLICIT_WAIT"
_NO: Final = frozenset({"0", "false", "no", "off"})


def allowed() -> bool:
    """Whether the environment lets tasks have portals; read at every call."""
    return os.environ.get(VARIABLE, "").strip().lower() not in _NO


def can_wait() -> bool:
    """Whether the running code is in a task that has a portal."""
    return _library() is not None and greenback.has_portal()


def wait(awaitable: Awaitable[T]) -> T:
    """Wait in place for something awaitable; only where `can_wait` says so."""
    return greenback.await_(awaitable)


def bestow() -> None:
    """Give the running task a portal, if there is one and it has none. Not a checkpoint."""
    task = _running_task()
    if task is not None and not greenback.has_portal(task):
        greenback.bestow_portal(task)


async def ensure() -> None:
    """Give the running task a portal, if it has none; a checkpoint only then."""
    if not greenback.has_portal():
        await greenback.ensure_portal()


def with_portal(method: F) -> F:
    """Make an async method of a session give portals, when it is called and when it runs.

    The type is left as it is: overloads would not survive anything else.
    """

    @functools.wraps(method)
    def call(session: Any, *args: Any, **kwargs: Any) -> Any:
        if not (session.implicit_wait and allowed()):
            return method(session, *args, **kwargs)
        bestow()
        return _ensured(functools.partial(method, session, *args, **kwargs))

    return cast("F", mark_async(call))


def function_with_portal(function: F) -> F:
    """Make an async function give portals, when it is called and when it runs."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not allowed():
            return function(*args, **kwargs)
        bestow()
        return _ensured(functools.partial(function, *args, **kwargs))

    return cast("F", mark_async(call))


async def _ensured(call: Callable[[], Coroutine[Any, Any, T]]) -> T:
    await ensure()
    return await call()


def mark_async(function: F) -> F:
    """Have a function that returns coroutines pass for an async one, where Python can."""
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(function)
    else:
        from asyncio import coroutines

        function._is_coroutine = coroutines._is_coroutine  # type: ignore[attr-defined]
    return function


def _library() -> str | None:
    try:
        return sniffio.current_async_library()
    except sniffio.AsyncLibraryNotFoundError:
        return None


def _running_task() -> Any:
    library = _library()
    if library == "trio":
        import trio

        return trio.lowlevel.current_task()
    if library == "asyncio":
        import asyncio

        return asyncio.current_task()
    return None

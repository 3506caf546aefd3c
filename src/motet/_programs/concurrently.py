"""Run several async functions at once and collect what they return.

A task group with habits of ours: results come back in the order of the functions, a single
error comes out as it is, not in a group, and a cancellation is one only if somebody cancelled.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

from .._runtime.host import current_host

T = TypeVar("T")


async def run_all(fns: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Run the functions concurrently and return what they return, in their order.

    The first that raises cancels the others; they have unwound when its error comes
    out. A checkpoint if one of the functions is.

    Raises:
        Exception: what the first function that failed raised.
        RuntimeError: it was a cancellation, and nothing had cancelled the function.
    """
    if len(fns) == 1:
        return [await _outcome(fns[0])]
    results: dict[int, T] = {}
    failures: list[Exception] = []

    async def run(position: int) -> None:
        try:
            results[position] = await _outcome(fns[position])
        except Exception as exc:
            failures.append(exc)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for position in range(len(fns)):
            group.start_soon(run, position)
    if failures:
        raise failures[0]
    return [results[position] for position in range(len(fns))]


async def _outcome(fn: Callable[[], Awaitable[T]]) -> T:
    """Await the function; an error is made of a cancellation that is none.

    A task group would take it for its own, and whoever waits for one that has ended.
    """
    try:
        return await fn()
    except anyio.get_cancelled_exc_class() as exc:
        if current_host().loop.is_cancelled():
            raise
        raise RuntimeError(
            f"a {type(exc).__name__} came out of a check, though nothing had cancelled it: it has "
            "raised that itself, or waited for a task that was cancelled"
        ) from exc

"""Run several async functions at once and collect what they return.

A task group with two habits of ours: results come back in the order of the functions,
and a single error comes out as it is, not in a group.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio

T = TypeVar("T")


async def run_all(fns: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Run the functions concurrently and return what they return, in their order.

    The first that raises cancels the others; they have unwound when its error comes
    out. A checkpoint if one of the functions is.

    Raises:
        Exception: what the first function that failed raised.
    """
    if len(fns) == 1:
        return [await fns[0]()]
    results: dict[int, T] = {}
    failures: list[Exception] = []

    async def run(position: int) -> None:
        try:
            results[position] = await fns[position]()
        except Exception as exc:
            failures.append(exc)
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        for position in range(len(fns)):
            group.start_soon(run, position)
    if failures:
        raise failures[0]
    return [results[position] for position in range(len(fns))]

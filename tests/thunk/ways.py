"""Ways to consume a reply to its end."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import anyio
import anyio.to_thread

from motet._thunk.fanout import as_completed, first_valid, gather_all, wait_for_all_mots
from motet._thunk.thunk import ModelOutputThunk

Thunk = ModelOutputThunk[Any]


async def by_loop(thunk: Thunk) -> None:
    while not thunk.is_computed():
        await thunk.astream()


async def by_async_for(thunk: Thunk) -> None:
    async for _ in thunk:
        pass


async def by_as_completed(thunk: Thunk) -> None:
    async with as_completed([thunk]) as arriving:
        async for _ in arriving:
            pass


async def in_a_group(thunk: Thunk) -> None:
    async with anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as inner:
            inner.start_soon(thunk.avalue)
        tasks.start_soon(anyio.sleep_forever)


WAITS: Final[dict[str, Callable[[Thunk], Awaitable[object]]]] = {
    "avalue": lambda thunk: thunk.avalue(),
    "astream": lambda thunk: thunk.astream(),
    "async for": by_async_for,
    "wait_for_all_mots": lambda thunk: wait_for_all_mots([thunk]),
    "gather_all": lambda thunk: gather_all([thunk]),
    "first_valid": lambda thunk: first_valid([thunk]),
    "as_completed": by_as_completed,
    "in a task group": in_a_group,
    "str in a thread": lambda thunk: anyio.to_thread.run_sync(str, thunk),
}

"""Ways to consume a reply to its end."""

from typing import Any

from motet._thunk.fanout import as_completed
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

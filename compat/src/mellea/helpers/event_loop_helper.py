"""Running async code for code that is not."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from motet import run_in_portal

__all__ = ["_run_async_in_thread"]

R = TypeVar("R")


def _run_async_in_thread(co: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine on an event loop in another thread, and return what it returns.

    See `motet.run_in_portal`.
    """

    async def awaited() -> R:
        return await co

    try:
        return run_in_portal(awaited)
    finally:
        co.close()  # it may not have been started

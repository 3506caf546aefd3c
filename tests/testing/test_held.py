"""Locks that are never released and context variables that are never reset are found."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Final

import anyio
import pytest
import trio

from motet.testing import LeakError, SweepFailed, cancel_everywhere, no_leaks, on_both_loops
from virtual_time import on_virtual_time

Lock = Any

variable: Final[ContextVar[str]] = ContextVar("mood", default="calm")

BOTH: Final[dict[str, Callable[[], Lock]]] = {
    "Lock": anyio.Lock,
    "Semaphore": lambda: anyio.Semaphore(1),
    "bounded Semaphore": lambda: anyio.Semaphore(2, max_value=2),
    "CapacityLimiter": lambda: anyio.CapacityLimiter(2),
}
OWN: Final[dict[str, dict[str, Callable[[], Lock]]]] = {
    "asyncio": {
        "Lock": asyncio.Lock,
        "Semaphore": asyncio.Semaphore,
        "BoundedSemaphore": lambda: asyncio.BoundedSemaphore(2),
    },
    "trio": {
        "Lock": trio.Lock,
        "StrictFIFOLock": trio.StrictFIFOLock,
        "Semaphore": lambda: trio.Semaphore(1),
        "CapacityLimiter": lambda: trio.CapacityLimiter(2),
    },
}


@pytest.fixture(autouse=True, scope="module")
def little_to_look_at() -> Iterator[None]:
    """Leave out what was there before: the leak check looks at everything that the collector knows."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.anyio
@on_virtual_time
@pytest.mark.parametrize("make", BOTH.values(), ids=BOTH)
async def test_a_lock_that_is_held_is_found(make: Callable[[], Lock]) -> None:
    lock = make()
    with no_leaks():
        await lock.acquire()
        lock.release()
    held = f"lock {type(lock).__name__} at .*, which is held"
    with pytest.raises(LeakError, match=held), no_leaks():
        await lock.acquire()
    with no_leaks():  # it was held before
        pass
    lock.release()


@pytest.mark.parametrize("loop", OWN)
def test_so_are_the_locks_of_the_event_loops_themselves(loop: str) -> None:
    async def main() -> None:
        for make in OWN[loop].values():
            lock = make()
            with pytest.raises(LeakError, match=f"lock {type(lock).__name__}"), no_leaks():
                await lock.acquire()
            lock.release()

    anyio.run(main, backend=loop)


def test_a_sweep_finds_a_lock_that_only_a_cancellation_leaves_held() -> None:
    kept: list[Lock] = []

    async def scenario() -> None:
        lock = anyio.Lock()
        kept.append(lock)
        await lock.acquire()
        await anyio.sleep(1)  # nobody releases it when this is cancelled
        lock.release()

    with pytest.raises(SweepFailed, match=r"Lock at .*, which is held"):
        on_both_loops(cancel_everywhere, scenario)


@pytest.mark.anyio
@on_virtual_time
async def test_a_context_variable_that_is_not_reset_is_found() -> None:
    with no_leaks():
        token = variable.set("cross")
        variable.reset(token)
    with pytest.raises(LeakError, match="context variable 'mood'"), no_leaks():
        token = variable.set("cross")
    with no_leaks():  # it was so before
        pass
    variable.reset(token)

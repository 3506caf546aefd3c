"""Event loops whose clock jumps: an hour of backoff takes no real time.

The clocks begin at 0 and stand still while any task can run. When none can, they jump to the
next deadline, so times may be compared exactly as long as the delays are whole numbers.

What they cannot know is whether a thread or another process is at work: if a deadline is
pending, they jump there without waiting for them, and a time limit around a call in
a worker thread, or on a server elsewhere, passes at once. *patience* makes them wait a
little. `ScriptedBackend` and code that stays on its event loop need none.
`anyio.wait_all_tasks_blocked()` polls on asyncio and may move the clock by tenths of a second.

This module knows event loops and nothing of models.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Literal, TypeAlias, TypeVar, TypeVarTuple

import anyio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LoopOptions: TypeAlias = tuple[str, dict[str, Any]]
"""The name and the options of an event loop, as `anyio.run` and anyio's pytest plugin take them."""


def virtual_loop(backend: str = "asyncio", *, patience: float = 0.0) -> LoopOptions:
    """Return the name and the options of an event loop on a virtual clock that starts at 0.

    They serve for one run: the clock goes on from where it stopped. ::

        name, options = virtual_loop("trio")
        anyio.run(main, backend=name, backend_options=options)

    Args:
        backend: ``"asyncio"`` or ``"trio"``.
        patience: for how long the clock waits for news from threads and sockets before it
            jumps, in real seconds.

    Raises:
        ValueError: there is no such event loop with a virtual clock. uvloop has its clock in
            its C code.
    """
    match backend:
        case "asyncio":
            from .virtual_asyncio import VirtualEventLoop

            return "asyncio", {"loop_factory": partial(VirtualEventLoop, patience=patience)}
        case "trio":
            from trio.testing import MockClock

            return "trio", {"clock": MockClock(autojump_threshold=patience)}
        case _:
            raise ValueError(
                f"there is no virtual clock for {backend!r}, only for asyncio and trio"
            )


def run_on_virtual_time(
    fn: Callable[[*Ts], Awaitable[T]],
    *args: *Ts,
    backend: Literal["asyncio", "trio"] = "asyncio",
    patience: float = 0.0,
) -> T:
    """Run an async function on a virtual clock and return its result; as `anyio.run` does.

    Args:
        fn: what to run.
        args: its arguments.
        backend: the event loop.
        patience: as for `virtual_loop`.

    Raises:
        Exception: what *fn* raises.
    """
    name, options = virtual_loop(backend, patience=patience)
    return anyio.run(fn, *args, backend=name, backend_options=options)

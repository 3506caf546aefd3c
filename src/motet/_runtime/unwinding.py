"""Waiting for something to have ended, whatever cancels the one who waits."""

from collections.abc import Awaitable, Callable

import anyio


async def see_through(wait: Callable[[], Awaitable[object]]) -> None:
    """Await ``wait()`` to its end; a cancellation that comes meanwhile is raised afterwards.

    A shielded cancel scope holds off anyio's and Trio's cancellations, and not the native
    one of an asyncio task, which `asyncio.timeout` and Ctrl-C use.

    Args:
        wait: what to await; after a native cancellation it is called again, so it must
            be right to call it twice.
    """
    interruption: BaseException | None = None
    with anyio.CancelScope(shield=True):
        while True:
            try:
                await wait()
                break
            except anyio.get_cancelled_exc_class() as exc:
                interruption = exc
    if interruption is not None:
        raise interruption

"""Waiting for something to have ended, whatever cancels the one who waits.

Such a wait is shielded, so two jobs that wait for each other's end would do so for ever,
and so would a job that waits for its own. Code of the user's runs inside jobs, validators
for one, and may close what it is a part of; see `circles`.
"""

from collections.abc import Awaitable, Callable, Collection

import anyio
import anyio.lowlevel

from .circles import Ending, shielded_wait


async def see_end(jobs: Collection[Ending]) -> None:
    """Wait until the jobs are over; a cancellation that comes meanwhile is raised afterwards.

    The caller's own job, and one that waits for it, cannot end while the caller waits. Those
    are left out, and the caller's cancellation, if it was stopped with them, is raised here.
    """
    with shielded_wait(jobs) as others:
        await _see_all(others)
    if len(others) < len(jobs):
        await anyio.lowlevel.checkpoint_if_cancelled()


async def _see_all(jobs: Collection[Ending]) -> None:
    async def over() -> None:
        for job in jobs:
            await job.wait_settled()

    await see_through(over)


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

"""Waiting for something to have ended, whatever cancels the one who waits.

Such a wait is shielded, so two jobs that wait for each other's end would do so for ever,
and so would a job that waits for its own. Code of the user's runs inside jobs, validators
for one, and may close what it is a part of. So it is known of which job the running code
is a part, and what each job waits for.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Protocol

import anyio
import anyio.lowlevel


class Ending(Protocol):
    """Something that runs, and can be waited for."""

    async def wait_settled(self) -> None:
        """Return when it is over."""


# Set where a job's task is started, so that tasks and threads which it starts see it, and jobs that
# it starts see themselves.
_inside: Final[ContextVar[Ending | None]] = ContextVar("motet job", default=None)

# What the code of a job waits for, shielded: one collection for each of its waits.
_waits: Final[dict[Ending, list[Collection[Ending]]]] = {}


@contextmanager
def part_of(job: Ending) -> Iterator[None]:
    """Have the tasks that the block starts be a part of *job*, and of no other."""
    token = _inside.set(job)
    try:
        yield
    finally:
        _inside.reset(token)


def is_part_of(job: Ending) -> bool:
    """Tell whether the running code, a thread's too, was started by *job*."""
    return _inside.get() is job


def is_held_by(task: object) -> bool:
    """Tell whether the running task is *task*, or that cannot end before it.

    A task that was started in a group of somebody else's, or in none, holds up nobody.
    """
    running = {each.id: each for each in anyio.get_running_tasks()}
    each: anyio.TaskInfo | None = anyio.get_current_task()
    while each is not None and each.id != id(task):
        each = None if each.parent_id is None else running.get(each.parent_id)
    return each is not None


async def see_end(jobs: Collection[Ending]) -> None:
    """Wait until the jobs are over; a cancellation that comes meanwhile is raised afterwards.

    The caller's own job, and one that waits for it, cannot end while the caller waits. Those
    are left out, and the caller's cancellation, if it was stopped with them, is raised here.
    """
    own = _inside.get()
    if own is None:
        await _see_all(jobs)
        return
    others = [job for job in jobs if not _waits_for(job, own)]
    waits = _waits.setdefault(own, [])
    waits.append(others)
    try:
        await _see_all(others)
    finally:
        # By identity: two waits of one job may be for the same jobs.
        waits[:] = [each for each in waits if each is not others]
        if not waits:
            _waits.pop(own, None)
    if len(others) < len(jobs):
        await anyio.lowlevel.checkpoint_if_cancelled()


async def _see_all(jobs: Collection[Ending]) -> None:
    async def over() -> None:
        for job in jobs:
            await job.wait_settled()

    await see_through(over)


def _waits_for(job: Ending, end: Ending) -> bool:
    """Tell whether *job* is *end*, or cannot end before it."""
    found, left = {job}, [job]
    while left:
        each = left.pop()
        if each is end:
            return True
        for jobs in tuple(_waits.get(each, ())):
            left.extend(new for new in jobs if new not in found)
            found.update(jobs)
    return False


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

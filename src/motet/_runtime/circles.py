"""Who waits for whom among the jobs of a program, so that none waits in a circle.

Code of the user's runs inside jobs, requirements and tools for two, and may wait for any reply:
for the one that it is a part of, or for one that waits for that. None of them would ever end. So
it is known of which job the running code is a part, and what each job waits for, and whoever
would close a circle is told so instead of waiting.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Final, Protocol

from .._values.errors import PendingReplyError
from .host import current_host


class Ending(Protocol):
    """Something that runs, and can be waited for."""

    task: object | None  # what it runs in, while it does
    waits: tuple["Wait", ...]  # what its code waits for
    wanted: bool  # whether a job's code may wait for it; see `note_interest`

    async def wait_settled(self) -> None:
        """Return when it is over."""


# Set where a job's task is started, so that tasks and threads which it starts see it, and jobs that
# it starts see themselves.
_inside: Final[ContextVar[Ending | None]] = ContextVar("motet job", default=None)


def is_inside() -> bool:
    """Tell whether the running code is a part of a job. If it is not, it waits in no circle."""
    return _inside.get() is not None


def note_interest(job: Ending) -> None:
    """Note that the running code may wait for *job*: one that no job's code waits for is in no circle."""
    if is_inside():
        job.wanted = True


@contextmanager
def part_of(job: Ending) -> Iterator[None]:
    """Have the tasks that the block starts be a part of *job*, and of no other."""
    token = _inside.set(job)
    try:
        yield
    finally:
        _inside.reset(token)


class Wait:
    """A block in which the running code waits for the first of some jobs to end.

    Nothing is noted for code that is a part of no job, since no job waits for that.

    Args:
        jobs: what it waits for; may shrink meanwhile.
        task: the one that waits; None for a thread.
        shielded: it waits for all of them, and no cancellation ends it.
    """

    __slots__ = ("_own", "_task", "jobs", "shielded")

    def __init__(
        self, jobs: Collection[Ending], task: object | None, *, shielded: bool = False
    ) -> None:
        self.jobs = jobs
        self.shielded = shielded
        self._own = _inside.get()
        self._task = task

    def check(self) -> None:
        """Refuse to wait in a circle.

        Raises:
            PendingReplyError: a requirement waits for the reply that it is to judge, for one.
        """
        if self._own is not None and self._closes_circle(self._own):
            raise PendingReplyError(
                "this reply cannot be waited for by what it waits for itself, such as a requirement, "
                "a tool or a hook of its own call, or another call that one of these makes in the "
                "same conversation: neither would ever end. What has arrived is in its `partial`; a "
                "call inside of another one needs a conversation of its own"
            )

    def __enter__(self) -> Collection[Ending]:
        self.check()
        if self._own is not None:
            self._own.waits = (*self._own.waits, self)
        return self.jobs

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._own is not None:
            self._own.waits = tuple(each for each in self._own.waits if each is not self)

    def _closes_circle(self, own: Ending) -> bool:
        # Nearly all waits are done with here.
        if self.shielded or any(job is not own and not job.waits for job in self.jobs):
            return False
        if not own.wanted and own not in self.jobs:
            return False
        reached = _reached(self.jobs)
        if own not in reached:
            return False
        holders = current_host().loop.holders()
        stuck = {job: job.waits for job in reached}
        stuck[own] += (self,)
        # Whoever waits for one that can end can end, too; who is left waits in a circle.
        free: list[Ending] | None = None
        while free is None or free:
            free = [
                job
                for job, waits in stuck.items()
                if not any(
                    wait.is_hopeless(stuck) and wait.holds_up(job, holders) for wait in waits
                )
            ]
            for job in free:
                del stuck[job]
        return own in stuck

    def holds_up(self, job: Ending, holders: dict[int, int | None]) -> bool:
        """Tell whether *job*, of which it is a part, cannot end before this wait.

        A task that was started in a group of somebody else's, and one that nobody awaits, holds up
        nobody. Of a thread it is not known, and what has started it most likely waits for it.

        Args:
            job: whose code waits.
            holders: of the tasks that run; see `Loop.holders`.
        """
        if self._task is None:
            return True
        each: int | None = id(self._task)
        seen: set[int] = set()
        while each is not None and each not in seen:  # asyncio's tasks can await each other
            if each == id(job.task):
                return True
            seen.add(each)
            each = holders.get(each)
        return False

    def is_hopeless(self, stuck: Collection[Ending]) -> bool:
        """Tell whether it cannot end before some of *stuck* do."""
        jobs = tuple(self.jobs)  # none are left where one has just ended
        decide = any if self.shielded else all
        return bool(jobs) and decide(job in stuck for job in jobs)


def shielded_wait(jobs: Iterable[Ending]) -> Wait:
    """Return a wait for those of the jobs that can end before the caller does.

    Its own job cannot, nor one whose code is in such a wait for that. One that merely waits for
    it can: it is stopped before it is seen to end.
    """
    own = _inside.get()
    others = [job for job in jobs if own is None or own not in _reached([job], shielded=True)]
    for job in others:
        note_interest(job)
    return Wait(others, None, shielded=True)


def _reached(jobs: Iterable[Ending], *, shielded: bool = False) -> set[Ending]:
    """Return the jobs, what those wait for, and so on; by shielded waits only, if wished."""
    found = set(jobs)
    left = list(found)
    while left:
        for wait in left.pop().waits:
            if wait.shielded or not shielded:
                new = [job for job in tuple(wait.jobs) if job not in found]
                found.update(new)
                left.extend(new)
    return found
